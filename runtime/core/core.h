/* The deterministic machines: head core and node core.
 *
 * Both are pure: no I/O, clock, thread, random source or environment. Time and seed come in with
 * events; what is to be done goes out as actions. The same bytes (wire/wire.h) go between them
 * whether they live in one process, in two, or in the simulator.
 *
 * EFFECT ORDER IS CONTRACT: what `persist` holds after a step is committed before any byte of any
 * outgoing message of that step leaves, and before the input that caused it is acknowledged (taken
 * out of its ring). A loop may run many steps, then commit once, then send all: actions accumulate
 * in struct rtci_*_actions until the loop clears them.
 */
#ifndef RTCI_CORE_CORE_H
#define RTCI_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/bounds.h"
#include "runtime/base/buf.h"
#include "runtime/wire/actor.h"

/* ---- States. X(NAME, "text", allowed next states as a mask of RTCI_TS_BIT) ---- */
#define RTCI_TS_BIT(s) (1u << RTCI_TASK_##s)
#define RTCI_TASK_STATE_MAP(X)                                                                     \
    X(WAITING, "waiting", RTCI_TS_BIT(READY) | RTCI_TS_BIT(FAILED) | RTCI_TS_BIT(CANCELLED))       \
    X(READY, "ready",                                                                              \
      RTCI_TS_BIT(LEASED) | RTCI_TS_BIT(FAILED) | RTCI_TS_BIT(CANCELLED) | RTCI_TS_BIT(DONE))      \
    X(LEASED, "leased",                                                                            \
      RTCI_TS_BIT(RUNNING) | RTCI_TS_BIT(READY) | RTCI_TS_BIT(DONE) | RTCI_TS_BIT(FAILED) |        \
          RTCI_TS_BIT(CANCELLING) | RTCI_TS_BIT(RETRYING) | RTCI_TS_BIT(CANCELLED))                \
    X(RUNNING, "running",                                                                          \
      RTCI_TS_BIT(DONE) | RTCI_TS_BIT(FAILED) | RTCI_TS_BIT(CANCELLING) | RTCI_TS_BIT(RETRYING) |  \
          RTCI_TS_BIT(READY))                                                                      \
    X(CANCELLING, "cancelling",                                                                    \
      RTCI_TS_BIT(CANCELLED) | RTCI_TS_BIT(DONE) | RTCI_TS_BIT(FAILED))                            \
    X(RETRYING, "retrying", RTCI_TS_BIT(READY) | RTCI_TS_BIT(FAILED) | RTCI_TS_BIT(CANCELLED))     \
    X(DONE, "done", 0u)                                                                            \
    X(FAILED, "failed", 0u)                                                                        \
    X(CANCELLED, "cancelled", 0u)

enum rtci_task_state {
#define X(name, text, next) RTCI_TASK_##name,
    RTCI_TASK_STATE_MAP(X)
#undef X
    RTCI_TASK_STATE_COUNT
};
enum rtci_node_state {
    RTCI_NODE_JOINING,
    RTCI_NODE_ALIVE,
    RTCI_NODE_CORDONED,
    RTCI_NODE_DEAD,
    RTCI_NODE_SUSPECT, /* its connection broke; it may come back within its lease */
    RTCI_NODE_DRAINING /* it runs what it has, then is told to leave */
};

/* ---- Actors. As for tasks ---- */
#define RTCI_AS_BIT(s) (1u << RTCI_ACTOR_##s)
#define RTCI_ACTOR_STATE_MAP(X)                                                                    \
    X(CREATED, "created", RTCI_AS_BIT(PENDING) | RTCI_AS_BIT(DEAD))                                \
    X(PENDING, "pending", RTCI_AS_BIT(STARTING) | RTCI_AS_BIT(DEAD))                               \
    X(STARTING, "starting",                                                                        \
      RTCI_AS_BIT(ALIVE) | RTCI_AS_BIT(PENDING) | RTCI_AS_BIT(RESTARTING) | RTCI_AS_BIT(DEAD))     \
    X(ALIVE, "alive", RTCI_AS_BIT(RESTARTING) | RTCI_AS_BIT(DEAD))                                 \
    X(RESTARTING, "restarting", RTCI_AS_BIT(STARTING) | RTCI_AS_BIT(DEAD))                         \
    X(DEAD, "dead", 0u)

enum rtci_actor_state {
#define X(name, text, next) RTCI_ACTOR_##name,
    RTCI_ACTOR_STATE_MAP(X)
#undef X
    RTCI_ACTOR_STATE_COUNT
};
enum rtci_group_state {
    RTCI_GROUP_PENDING, /* not all of its bundles are placed: none is, or a node was lost */
    RTCI_GROUP_READY,
    RTCI_GROUP_REMOVED
};

const char *rtci_task_state_name(uint32_t state);
const char *rtci_actor_state_name(uint32_t state);

/* ======================= Head core ======================= */
struct rtci_head_core;

struct rtci_head_config {
    uint64_t epoch;      /* of this start of the head; counts up with every restart */
    uint64_t now_ns;     /* CLOCK_MONOTONIC */
    uint64_t seed;
    uint32_t tasks_max;  /* 0 = RTCI_TASKS_MAX */
    bool check;          /* rtci_head_core_check() after every step */
};

struct rtci_out {        /* bytes for one node */
    uint32_t node;
    struct rtci_buf buf; /* a span */
};
struct rtci_head_actions {
    struct rtci_buf persist; /* state changes since the last clear; empty = nothing to commit */
    struct rtci_out *out;    /* nodes with something to be sent, in the order first touched */
    uint32_t n_out, cap_out;
    uint64_t deadline_ns;    /* call rtci_head_core_tick no later than this; UINT64_MAX = never */
    struct rtci_buf trace;   /* text lines, when tracing is on (golden traces, flight recorder) */
    bool trace_on;
};
/* Empties persist, out and trace, keeping memory for the next turn. */
void rtci_head_actions_clear(struct rtci_head_actions *actions);
void rtci_head_actions_fini(struct rtci_head_actions *actions);

int rtci_head_core_create(const struct rtci_head_config *config, struct rtci_head_core **ret_core)
    RTCI_MUST_USE;
void rtci_head_core_destroy(struct rtci_head_core *core);

/* Recovery, before anything else and in the order written: bytes of earlier `persist` buffers or of
 * rtci_head_core_snapshot. Idempotent. Returns 0 or RTC_E_CORRUPT with *reterr text. */
int rtci_head_core_replay(struct rtci_head_core *core, const void *data, size_t len,
                          const char **reterr) RTCI_MUST_USE;
/* After the last replay: tasks that were neither done nor reported by a node become ready only when
 * their node says NODE_READY or when `hold_ns` passed since now_ns. */
void rtci_head_core_recovered(struct rtci_head_core *core, uint64_t now_ns, uint64_t hold_ns);
/* Writes the whole state as replayable records: calls emit with chunks of at most ~1 MiB. */
int rtci_head_core_snapshot(struct rtci_head_core *core,
                            int (*emit)(void *arg, const void *data, size_t len),
                            void *arg) RTCI_MUST_USE;

/* Membership. Node numbers are the loop's (1..RTCI_NODES_MAX): one for life. An incarnation is a
 * session of the node; what comes from an older one is refused.
 * node_up of one that the head still has: its daemon was started again, or its session is a new one.
 * Its executors and clients live on, and what it does not tell of before NODE_READY has not begun or
 * is gone. Of a node whose processes died too, the loop says node_down first. */
void rtci_head_core_node_up(struct rtci_head_core *core, uint64_t now_ns, uint32_t node,
                            uint64_t incarnation, struct rtci_head_actions *actions);
void rtci_head_core_node_down(struct rtci_head_core *core, uint64_t now_ns, uint32_t node,
                              uint64_t incarnation, const char *cause,
                              struct rtci_head_actions *actions);
/* Its connection broke: nothing new is placed there, and what may be retried is tried elsewhere too.
 * The first result wins. Then either it resumes its session, or its lease ends: node_down. */
void rtci_head_core_node_suspect(struct rtci_head_core *core, uint64_t now_ns, uint32_t node,
                                 uint64_t incarnation, struct rtci_head_actions *actions);
void rtci_head_core_node_resumed(struct rtci_head_core *core, uint64_t now_ns, uint32_t node,
                                 uint64_t incarnation, struct rtci_head_actions *actions);
/* A span from a node: NODE_HELLO, FROM_CLIENT{…}, DONE wrapped, RETURNED, …. Already checked
 * by rtci_wire_check record by record (the loop does it on its private copy). */
void rtci_head_core_receive(struct rtci_head_core *core, uint64_t now_ns, uint32_t node,
                            uint64_t incarnation, const void *span, size_t len,
                            struct rtci_head_actions *actions);
/* The placement pass and the timers. The loop calls it once after the receives of a turn. */
void rtci_head_core_tick(struct rtci_head_core *core, uint64_t now_ns,
                         struct rtci_head_actions *actions);

/* Recomputes every redundant index, aborts with the story when one differs. O(state). */
void rtci_head_core_check(const struct rtci_head_core *core);

struct rtci_head_stats {
    uint64_t tasks_alive, tasks_waiting, tasks_ready, tasks_leased, tasks_done_total,
        tasks_failed_total, tasks_retried_total, clients, jobs, nodes, objects, kv_keys, kv_bytes;
    uint64_t actors, groups; /* those alone that are not dead or removed */
    uint64_t bytes_alive; /* of specs, results, values: what a snapshot would hold */
};
void rtci_head_core_stats(const struct rtci_head_core *core, struct rtci_head_stats *ret_stats);
/* The durable key-value store, for what the loop itself keeps: namespaces that begin with "rtc/", which
 * only tools may see beside it. Values are the core's, until the next call. put with value NULL
 * deletes. each: in order of the keys, which are not terminated; returns how many there were. */
int rtci_head_core_kv_get(struct rtci_head_core *core, const char *ns, const char *key,
                          const void **ret_value, uint32_t *ret_size);
void rtci_head_core_kv_put(struct rtci_head_core *core, uint64_t now_ns, const char *ns,
                           const char *key, const void *value, uint32_t size,
                           struct rtci_head_actions *actions);
uint32_t rtci_head_core_kv_each(struct rtci_head_core *core, const char *ns,
                                void (*fn)(void *arg, const char *key, uint32_t key_len,
                                           const void *value, uint32_t size),
                                void *arg);
/* Facts of the loop shown by QUERY STATUS. */
/* What was found out about the address that a node told: it can be reached there, or not. */
void rtci_head_core_set_path(struct rtci_head_core *core, uint32_t node, enum rtci_path path);
void rtci_head_core_set_info(struct rtci_head_core *core, const struct rtci_row_status *info);

/* ======================= Node core ======================= */
struct rtci_node_core;

struct rtci_node_config {
    uint64_t now_ns;
    uint64_t incarnation;
    uint64_t cpu, gpu;            /* 1/10,000 */
    uint64_t mem, gpu_mem, store; /* bytes */
    uint32_t n_gpus;
    uint32_t prestart;            /* executors started ahead for a new job; 0 = number of CPUs */
    uint32_t exec_extra_max;      /* 0 = RTCI_EXEC_EXTRA_MAX */
    bool store_used;              /* after a restart: memory of the arena may be there */
    bool anew;                    /* no process of before is left */
    bool tokens_rest;             /* a token comes again as late as possible */
    uint64_t rtt_ns;              /* see struct rtci_node_hello */
    uint32_t number;              /* the head's for it; 0 = not known yet */
    char name[64], address[64], arch[16];
    struct rtci_custom custom[16];
    struct rtci_label labels[16];
    uint32_t n_custom, n_labels;
};

enum rtci_node_action_type {
    RTCI_NA_WELCOME = 1, /* a driver's or tool's CLIENT_ID came: tell it (status != 0: refuse, close) */
    RTCI_NA_SPAWN,       /* start an executor */
    RTCI_NA_KILL,        /* signal an executor's process group */
    RTCI_NA_RECALL,      /* take back unclaimed tasks of this executor's ring (compare-and-swap, from
                            the newest); answer with rtci_node_core_recalled */
    RTCI_NA_CLOSE,       /* forget the client: free its channel. status != 0: say why */
    RTCI_NA_STORE_SET,   /* write arena table entry (adoptable after a restart) */
    RTCI_NA_STORE_WARM,  /* touch this range of the arena, some time; it may have become an object's */
    RTCI_NA_STORE_COOL,  /* give the memory of this range back, now */
    RTCI_NA_STOP,        /* stop the daemon */
    RTCI_NA_PULL,        /* fetch the object `id` from node `source` into [offset, offset + size) of
                            the arena; answer with rtci_node_core_pulled */
    RTCI_NA_PULL_STOP,   /* write no more of it; answer as well, with RTC_E_CANCELLED */
};
struct rtci_node_action {
    enum rtci_node_action_type type;
    uint32_t token;      /* the client or executor meant */
    uint32_t client;     /* its number (WELCOME, SPAWN) */
    uint32_t job;
    int32_t status;      /* WELCOME: 0 or RTC_E_*; STOP: 1 = now */
    int32_t signal;      /* KILL */
    uint32_t profile_cpus; /* SPAWN: OMP_NUM_THREADS and friends */
    uint64_t profile_gpus; /* SPAWN: bit mask for CUDA_VISIBLE_DEVICES */
    uint32_t driver_token; /* SPAWN: whose program to run; 0 = the built-in command runner, or … */
    bool program;        /* SPAWN: … that of the job, whose driver is on another host; then the loop
                            says rtci_node_core_begun() when it has it */
    bool far;            /* SPAWN: the driver is on another host, and so is its terminal */
    uint32_t count;      /* RECALL: most, 0 = all */
    uint32_t object;     /* STORE_SET: index of the entry */
    uint64_t offset, size; /* STORE_WARM, STORE_COOL, PULL */
    uint32_t source;     /* PULL: number of the node that has it */
    struct rtci_id id;   /* PULL, PULL_STOP */
};
struct rtci_client_out {  /* bytes for one client's ring */
    uint32_t token;
    struct rtci_buf buf;
};
struct rtci_node_out {    /* calls and answers of actors, for another node */
    uint32_t node;
    struct rtci_buf buf;  /* a span: rtci_node_core_node_span() there */
};
struct rtci_node_actions {
    struct rtci_buf to_head; /* a span */
    struct rtci_buf loop;    /* records of the head that are the loop's: PROGRAM, PROGRAM_WANT, PEER,
                                LIFE, LEAVE, JOB_END */
    struct rtci_client_out *out;
    uint32_t n_out, cap_out;
    struct rtci_node_out *to_nodes;
    uint32_t n_to_nodes, cap_to_nodes;
    struct rtci_node_action *act;
    uint32_t n_act, cap_act;
    uint64_t deadline_ns;
    struct rtci_buf trace;
    bool trace_on;
};
void rtci_node_actions_clear(struct rtci_node_actions *actions);
void rtci_node_actions_fini(struct rtci_node_actions *actions);

int rtci_node_core_create(const struct rtci_node_config *config, struct rtci_node_core **ret_core)
    RTCI_MUST_USE;
void rtci_node_core_destroy(struct rtci_node_core *core);
/* Where other nodes may reach this one; told by the next hello. */
void rtci_node_core_set_address(struct rtci_node_core *core, const char *address);
void rtci_node_core_set_rtt(struct rtci_node_core *core, uint64_t rtt_ns); /* told by the next hello */
void rtci_node_core_set_number(struct rtci_node_core *core, uint32_t number); /* when it has joined */
const char *rtci_node_core_name(const struct rtci_node_core *core);

/* First call after create, and again when the head has a new epoch: says NODE_HELLO and everything
 * that survived (clients, slots with their tasks, sealed objects). */
void rtci_node_core_hello(struct rtci_node_core *core, uint64_t now_ns,
                          struct rtci_node_actions *actions);
/* Says NODE_READY: from here on the head leases tasks to the node, and takes for lost what it leased
 * before and was not told of. So the completions that stand in rings, and executors that ended
 * meanwhile, come first. */
void rtci_node_core_ready(struct rtci_node_core *core, struct rtci_node_actions *actions);

/* Between the two, for each message of the session before that the head is not known to have
 * committed, in their order: says again what hello does not tell. */
void rtci_node_core_renew(struct rtci_node_core *core, uint64_t now_ns, const void *old_span,
                          size_t len, struct rtci_node_actions *actions);

/* A process attached. Tokens of drivers and tools are the loop's, 1..RTCI_TOKEN_EXEC-1; those of
 * executors are chosen by the node core (SPAWN tells them), RTCI_TOKEN_EXEC..RTCI_CLIENTS_MAX-1. A
 * token is free again after its CLOSE. For a survivor of a restart, `survivor` holds what its channel
 * header kept, under the token it had; else NULL. Survivors attach before hello. */
#define RTCI_TOKEN_EXEC (RTCI_CLIENTS_MAX / 2 + 1)
struct rtci_attach {
    uint32_t token, role, pid;
    uint64_t job_hi, job_lo;
    char name[64], ns[64];
};
struct rtci_survivor {
    uint32_t client, job, slot; /* slot 0 = none (slots count from 1) */
    uint32_t profile_cpus;
    uint64_t profile_gpus;
    uint32_t driver_token;
    uint32_t shape_client, shape; /* of the slot's class */
    bool program;                 /* see RTCI_NA_SPAWN */
    bool attached;                /* executor had reached rtc_init() */
    bool actor;                   /* `held` is the actor that it is, its attempt the incarnation */
    bool restarts;                /* … which the head may start elsewhere */
    const struct rtci_held *held; /* executor: tasks in its ring, oldest first */
    uint32_t n_held;
};
void rtci_node_core_attach(struct rtci_node_core *core, uint64_t now_ns,
                           const struct rtci_attach *attach, const struct rtci_survivor *survivor,
                           struct rtci_node_actions *actions);
/* The executor asked for by SPAWN reached rtc_init() (its channel says so). */
void rtci_node_core_executor_ready(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                   uint32_t pid, struct rtci_node_actions *actions);
/* The executor asked for by a SPAWN of a program is started now: its time to reach rtc_init() counts
 * from here. */
void rtci_node_core_begun(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                          struct rtci_node_actions *actions);
/* A driver or tool is gone (EOF), or an executor exited. For executors: how, and the task that was
 * claimed but has no completion (claimed.client 0 = none), and those in the ring unclaimed. The loop
 * has first fed every completion that stood in the ring. */
struct rtci_gone_caller {
    uint32_t client, node;
    uint64_t begun;
};
struct rtci_gone {
    uint32_t token;
    int32_t code;        /* RTC_E_CRASHED; RTC_E_OS: could not be spawned; RTC_E_PROTOCOL: it wrote
                            nonsense, claims included */
    int32_t exit_status; /* -1 = signal */
    int32_t signal;
    struct rtci_held claimed;
    const struct rtci_held *unclaimed;
    uint32_t n_unclaimed;
    const char *log;     /* last lines */
    uint32_t log_len;
    const struct rtci_gone_caller *callers; /* of an actor: who called it, and what was begun */
    uint32_t n_callers;
};
void rtci_node_core_gone(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_gone *gone,
                         struct rtci_node_actions *actions);
/* A span out of a client's ring, on a private copy, checked record by record. */
void rtci_node_core_client_span(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                const void *span, size_t len, struct rtci_node_actions *actions);
/* The client read `bytes` out of its ring since the last call. */
void rtci_node_core_client_read(struct rtci_node_core *core, uint32_t token, uint64_t bytes,
                                struct rtci_node_actions *actions);
/* A span of another node's actions->to_nodes, checked record by record. */
void rtci_node_core_node_span(struct rtci_node_core *core, uint64_t now_ns, uint32_t from,
                              const void *span, size_t len, struct rtci_node_actions *actions);
/* The head had taken this node for dead: its processes are, and say nothing to other nodes any more. */
extern const char rtci_life_over[];
void rtci_node_core_life_over(struct rtci_node_core *core);
/* A span of actions->to_nodes that is not sent, text says why: calls in it are answered. */
void rtci_node_core_not_sent(struct rtci_node_core *core, const char *text, const void *span,
                             size_t len, struct rtci_node_actions *actions);
/* The head has not been heard for most of a lease, and may soon take this node for dead: actors that
 * it may start elsewhere are stopped where they are. false: it is heard again. */
void rtci_node_core_fence(struct rtci_node_core *core, bool fence,
                          struct rtci_node_actions *actions);
/* A span from the head. */
void rtci_node_core_head_span(struct rtci_node_core *core, uint64_t now_ns, const void *span,
                              size_t len, struct rtci_node_actions *actions);
/* Answer to RECALL. */
void rtci_node_core_recalled(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                             const struct rtci_held *tasks, uint32_t n,
                             struct rtci_node_actions *actions);
/* Answer to PULL: the object is complete (0), or why it could not be had. */
void rtci_node_core_pulled(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                           int status, struct rtci_node_actions *actions);
/* Where a complete object lies here, for other nodes that pull it; any later call may free it. */
bool rtci_node_core_object(const struct rtci_node_core *core, struct rtci_id id,
                           uint64_t *ret_offset, uint64_t *ret_size);
void rtci_node_core_tick(struct rtci_node_core *core, uint64_t now_ns,
                         struct rtci_node_actions *actions);
void rtci_node_core_check(const struct rtci_node_core *core);

/* Arena table: entries the loop mirrors into memory that outlives the daemon. */
struct rtci_arena_entry {
    struct rtci_id id;
    uint64_t offset, size;
    uint32_t state;  /* 0 free, 1 created (being written), 2 sealed */
    uint32_t client; /* creator */
};
#define RTCI_ARENA_ENTRIES 65536u
const struct rtci_arena_entry *rtci_node_core_arena_entry(const struct rtci_node_core *core,
                                                          uint32_t index);
/* Before hello, after a restart: what the table held. Overlapping or impossible entries are
 * dropped. */
void rtci_node_core_arena_adopt(struct rtci_node_core *core, uint32_t index,
                                const struct rtci_arena_entry *entry);

#endif
