/* The records that processes, nodes and the head exchange.
 *
 * A *span* is a run of records, each a multiple of 8 bytes, each beginning with struct rtci_rec.
 * The same bytes lie in shared-memory rings, in frames between hosts, and in the journal: a record
 * is encoded once by its writer and copied from there on. Little-endian; every field is validated
 * once by rtci_wire_check() before anything else looks at it (a peer may write garbage: the
 * receiver copies the span out of shared memory first, then checks, then uses).
 *
 * Directions:  C client (driver or executor) · N node core · H head core
 */
#ifndef RTCI_WIRE_WIRE_H
#define RTCI_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define RTCI_WIRE_VERSION 1u
#define RTCI_ALIGN8(n)    (((n) + 7u) & ~(size_t)7u)

/* X(value, NAME, struct or -, "direction"). The checker refuses types not listed. */
#define RTCI_REC_MAP(X)                                                                            \
    X(1, SUBMIT, "C>N>H: a task; struct rtci_spec")                                                \
    X(2, SHAPE, "C>N>H: a resource shape of this client; struct rtci_shape")                       \
    X(3, FUNCTION, "C>N>H: name of a function hash; struct rtci_function")                         \
    X(4, RELEASE, "C>N>H: references dropped by their creator; struct rtci_range")                 \
    X(5, WANT, "C>N>H: tell me when these are done; struct rtci_ids")                              \
    X(6, HOLD, "C>N>H: this client also holds these; struct rtci_ids")                             \
    X(7, DROP, "C>N>H: this client no longer holds these (undoes HOLD); struct rtci_ids")          \
    X(8, CANCEL, "C>N>H, H>N>C: struct rtci_cancel")                                               \
    X(9, PUT, "C>N>H: a small object published; struct rtci_put")                                  \
    X(10, ALLOC, "C>N: room in the arena; struct rtci_alloc")                                      \
    X(11, SEAL, "C>N>H: a large object is complete; struct rtci_put with kind ARENA")              \
    X(12, ABORT, "C>N: give up an unsealed object; struct rtci_alloc")                             \
    X(13, BLOCKED, "C>N>H: the running task waits for these ids; struct rtci_ids")                 \
    X(14, UNBLOCKED, "C>N>H: it waits no longer; struct rtci_ids with n = 0")                      \
    X(15, PROGRESS, "C>N>H>N>C: struct rtci_progress")                                             \
    X(16, KV, "C>N>H: key-value request; struct rtci_kv")                                          \
    X(17, QUERY, "C>N>H: state of the cluster; struct rtci_query")                                 \
    X(18, PUBLISH, "C>N>H: new version of a named object; struct rtci_named")                      \
    X(19, SUBSCRIBE, "C>N>H: newest version above one; struct rtci_named")                         \
    X(20, BYE, "C>N: clean end of the client; header only")                                        \
    X(21, DONE, "C>N>H: a task ended; struct rtci_done")                                           \
    X(32, RESULT, "H>N>C: outcome of a task or object; struct rtci_done")                          \
    X(33, TASK, "H>N>C: run this; struct rtci_spec with resolved arguments")                       \
    X(34, GRANT, "N>C: answer to ALLOC; struct rtci_grant")                                        \
    X(35, REPLY, "H>N>C: answer to KV, QUERY, PUBLISH, SUBSCRIBE; struct rtci_reply")              \
    X(36, NOTICE, "H>N>C: text for the driver's terminal; struct rtci_notice")                     \
    X(37, LOG, "N>C: forwarded output of an executor; struct rtci_notice")                         \
    X(38, SHUTDOWN, "N>C: end yourself after the running task; header only")                       \
    X(64, FROM_CLIENT, "N>H: records of one client follow inside; struct rtci_wrap")               \
    X(65, TO_CLIENT, "H>N: records for one client inside; struct rtci_wrap")                       \
    X(66, CLIENT_NEW, "N>H: a process attached; struct rtci_client_new")                           \
    X(67, CLIENT_ID, "H>N: answer: its number; struct rtci_client_id")                             \
    X(68, CLIENT_GONE, "N>H: it is gone: drop what it holds; struct rtci_client_gone")             \
    X(69, JOB_END, "H>N: kill the job's executors; struct rtci_job_end")                           \
    X(70, NODE_HELLO, "N>H: resources and what survived; struct rtci_node_hello")                  \
    X(71, SLOT_HELD, "N>H: after a restart: a slot and its tasks; struct rtci_slot_held")          \
    X(72, NODE_READY, "N>H: all surviving clients and slots have been told; header only")          \
    X(73, SLOT_LOST, "N>H: the slot's executor died; struct rtci_slot_lost")                       \
    X(74, SLOT_FREE, "H>N: the slot ends; struct rtci_slot_msg")                                   \
    X(75, RECALL, "H>N: give back tasks not begun; struct rtci_slot_msg")                          \
    X(76, RETURNED, "N>H: tasks given back unbegun; struct rtci_returned")                         \
    X(77, CREDIT, "N>H: the client read so many bytes of results; struct rtci_credit")             \
    X(78, OBJECT_FREE, "H>N: delete your copy; struct rtci_ids")                                   \
    X(79, SLOT_BLOCKED, "N>H: BLOCKED/UNBLOCKED of a slot; struct rtci_slot_msg")                  \
    X(80, CORDON, "C>N>H: lease nothing to a node (op 1) or again (op 0); struct rtci_slot_msg")   \
    X(81, OBJECT_HELD, "N>H: after a restart: an object in my arena; struct rtci_put")             \
    X(82, STOP, "C>N: stop the daemon; struct rtci_slot_msg (op 1 = now)")                         \
    X(83, STARTED, "N>H: an executor claimed the task; struct rtci_cancel")                        \
    X(84, SLOT_OPEN, "H>N: a new slot and its resources, before its TASKs; struct rtci_slot_open")    \
    X(85, PULLED, "N>H: copies of these objects lie here now; struct rtci_ids")                    \
    X(86, PULL_FAILED, "N>H: no copy from a node; struct rtci_cancel, slot = node, mode = RTC_E_*") \
    X(87, PROGRAM_WANT, "N>H, H>N: which program runs the tasks of a job; struct rtci_job_end")    \
    X(88, PROGRAM, "N>H, H>N: the answer; struct rtci_program")                                    \
    X(89, LEAVE, "N>H: this node ends; H>N: it has nothing left and shall end; header only")       \
    X(90, PEER_WANT, "N>H: who and where is that node (op 1: when is it lost); struct rtci_slot_msg") \
    X(91, PEER, "H>N: the answer, said to both of them; struct rtci_peer_at")                      \
    X(92, ACTOR_CREATE, "C>N>H: struct rtci_spec with struct rtci_actor_options")                  \
    X(93, ACTOR_WHERE, "C>N>H: where does it live; struct rtci_actor_where")                       \
    X(94, ACTOR_IS, "H>N>C: the answer; struct rtci_actor_is")                                     \
    X(95, ACTOR_START, "H>N>C: be this actor; struct rtci_spec as in a TASK")                      \
    X(96, ACTOR_UP, "C>N>H: its constructor is done; struct rtci_actor_up")                        \
    X(97, ACTOR_FAILED, "C>N>H: its constructor failed; struct rtci_actor_failed")                 \
    X(98, ACTOR_STOP, "C>N>H, H>N>C: end after what is in the mailbox; struct rtci_actor_end")     \
    X(99, ACTOR_KILL, "C>N>H, H>N: end now; struct rtci_actor_end")                                \
    X(100, ACTOR_MONITOR, "C>N>H: tell me of its death; struct rtci_actor_monitor")                \
    X(101, ACTOR_DEMONITOR, "C>N>H: do not, or: I have heard; struct rtci_actor_monitor")          \
    X(102, ACTOR_LINK, "C>N>H: two die together; struct rtci_actor_link")                          \
    X(103, ACTOR_DOWN, "H>N>C: a monitored one is dead; struct rtci_actor_down")                   \
    X(104, ACTOR_CALL, "C>N>N>C: struct rtci_spec with struct rtci_call")                          \
    X(105, ACTOR_REPLY, "C>N>N>C: struct rtci_done")                                               \
    X(106, GROUP_CREATE, "C>N>H: reserve bundles of resources; struct rtci_group_create")          \
    X(107, GROUP_REMOVE, "C>N>H: give them back; struct rtci_group_remove")                        \
    X(108, GROUP_WHERE, "C>N>H: tell me when it is ready; struct rtci_group_remove")               \
    X(109, GROUP_IS, "H>N>C: the answer to these; struct rtci_group_is")                           \
    X(120, LIFE, "H>N: lives of a node ended, or this is yours; struct rtci_life")

enum rtci_rec_type {
#define X(value, name, text) RTCI_R_##name = (value),
    RTCI_REC_MAP(X)
#undef X
};

struct rtci_rec {
    uint32_t size; /* of the whole record, this header included; multiple of 8 */
    uint16_t type; /* enum rtci_rec_type */
    uint16_t flags;
};

/* Names an object. A task is named by the id of its first return (index 0); a put has index 0.
 * Layout equals the public rtc_ref. client 0 is "none". Numbers of clients are never used again,
 * seq counts up by one within a client (tasks and puts share the sequence, starting at 1). */
struct rtci_id {
    uint64_t seq;
    uint32_t client;
    uint32_t index;
};

/* `index` of an id that is an actor's handle, where ids of objects may stand beside it: arguments, and
 * what values contain. */
#define RTCI_HANDLE 0xffffffffu

static inline bool rtci_id_equal(struct rtci_id a, struct rtci_id b)
{
    return a.seq == b.seq && a.client == b.client && a.index == b.index;
}

/* ---- Shapes: what a task needs. Interned per client; shape numbers count from 0 in the order of
 * the SHAPE records of that client. Shape 0 must be declared too (usually {cpu = 10000}). ---- */
enum rtci_placement { RTCI_PLACE_DEFAULT, RTCI_PLACE_SPREAD, RTCI_PLACE_NODE, RTCI_PLACE_NODE_SOFT };

struct rtci_custom {
    char name[24];   /* zero-padded */
    uint64_t amount; /* 1/10,000 */
};
struct rtci_label {
    char key[24];
    char value[40];
};
struct rtci_shape {
    struct rtci_rec rec;
    uint32_t number;   /* client-scoped */
    uint32_t cpu;      /* 1/10,000 */
    uint32_t gpu;      /* 1/10,000 */
    uint16_t n_custom; /* struct rtci_custom[] follow */
    uint16_t n_labels; /* struct rtci_label[] follow those */
    uint64_t gpu_mem;  /* bytes */
    uint64_t mem;      /* bytes */
    uint32_t placement;/* enum rtci_placement */
    uint32_t node;     /* for RTCI_PLACE_NODE* */
    uint32_t flags;    /* RTCI_SHAPE_* */
    uint32_t pad;
    struct rtci_id group; /* placement group to draw from, client 0 = none; index: which bundle, or … */
};
#define RTCI_ANY_BUNDLE 0xffffffffu
#define RTCI_SHAPE_FAIL_INFEASIBLE 1u /* error at once when no node can ever fulfil it */

struct rtci_function {
    struct rtci_rec rec;
    uint64_t hash;
    uint32_t name_len; /* name follows, no NUL */
    uint32_t pad;
};

/* ---- Tasks ---- */
enum rtci_spec_flags {
    RTCI_SPEC_RETRY_ON_ERROR = 1u,
    RTCI_SPEC_COMMAND = 2u,     /* the built-in command runner; args[0] is a map */
    RTCI_SPEC_DETACHED = 4u,    /* not cancelled when the parent's attempt dies */
    RTCI_SPEC_NAMED = 8u,       /* name_len bytes of a user-given name stand in the data */
};
/* An argument of a task: a value in the data area, or one of the references. */
struct rtci_arg {
    uint32_t size;   /* bytes of the value; RTCI_ARG_REF for a reference */
    uint32_t offset; /* from the start of the data area; for a reference: its index in refs */
};
#define RTCI_ARG_REF 0xffffffffu

/* SUBMIT and TASK. Layout after the struct:
 *   struct rtci_id   refs[n_refs]     ids the task depends on; unresolved, or puts and results
 *   struct rtci_arg  args[n_args]
 *   uint8_t          data[data_size]  values (each 8-aligned), padded to 8
 *   uint8_t          name[name_len]   padded to 8 (only with NAMED)
 * and in a TASK additionally:
 *   struct rtci_resolved resolved[n_refs], then their inline bytes (each 8-aligned). */
struct rtci_spec {
    struct rtci_rec rec;
    uint64_t seq;      /* with client: the id */
    uint32_t client;   /* submitter; the node overwrites what the peer wrote with the channel's */
    uint32_t shape;    /* client-scoped number; in a TASK: whole CPUs | whole GPUs << 16 */
    uint64_t function; /* rtci_function_hash(name); 0 for commands */
    uint64_t parent_seq; /* task that submitted this one; parent_client 0 = the driver's main */
    uint32_t parent_client;
    uint16_t n_returns; /* 1..RTCI_RETURNS_MAX (0 is made 1: a task always has a result) */
    uint16_t flags;     /* enum rtci_spec_flags */
    int32_t priority;   /* higher first */
    int32_t retries;    /* after crashes; -1 = for ever */
    uint64_t deadline_ns; /* absolute, CLOCK_MONOTONIC of the host; 0 = none */
    uint32_t depth;     /* 0 for tasks of a driver, parent's + 1 otherwise */
    uint32_t n_refs;
    uint32_t n_args;
    uint32_t data_size;
    /* Filled by the head in a TASK, zero in a SUBMIT: */
    uint32_t attempt;   /* counts from 1 */
    uint32_t slot;      /* of the node it goes to */
    uint32_t name_len;
    uint32_t job;       /* filled by the head in a TASK */
};
_Static_assert(sizeof(struct rtci_spec) == 96, "spec header");

enum rtci_kind {
    RTCI_KIND_INLINE = 0, /* the bytes follow, 8-aligned */
    RTCI_KIND_ARENA = 1,  /* in the arena of the node: offset, size */
    RTCI_KIND_ERROR = 2,  /* a struct rtci_fail follows in the bytes */
    RTCI_KIND_ABSENT = 3, /* too much to ship: fetch by WANT before the task runs */
    RTCI_KIND_REMOTE = 4, /* H>N only: in the arena of the node `offset`; the node makes it ARENA */
};
struct rtci_resolved { /* also: one return value in a DONE/RESULT */
    uint32_t kind;     /* enum rtci_kind */
    uint32_t n_refs;   /* references contained in the value: struct rtci_id[] before its bytes */
    uint64_t size;     /* of the value, without the ids */
    uint64_t offset;   /* ARENA: byte offset in the arena (its ids: see struct rtci_done). INLINE,
                          ERROR: of the ids (or the bytes, if n_refs is 0) from the record's start */
};

/* Why something failed; the travelling error. Strings follow in this order, not terminated:
 * function, text, log. Padded to 8. */
struct rtci_fail {
    int32_t code;        /* RTC_E_* */
    int32_t user_code;   /* what the task returned */
    int32_t exit_status; /* -1 = did not exit */
    int32_t signal;      /* 0 = none */
    uint32_t pid;
    uint32_t node;
    struct rtci_id origin; /* the task that failed first */
    uint16_t function_len;
    uint16_t text_len;
    uint16_t log_len;
    uint16_t attempts;
};

/* RESULT, flags: nobody asked for the values yet: large ones may stay where they are (REMOTE rows). */
#define RTCI_RESULT_LAZY 1u

/* DONE (executor to head) and RESULT (head to whoever holds the future): the same layout, so that
 * the head stores and forwards the bytes. struct rtci_resolved ret[n_returns] follow, then bytes.
 * The ids that ARENA rows contain are the last bytes of the record, in the order of the rows.
 * When status != 0 there is exactly one `ret`, of kind ERROR, and it stands for all returns. */
struct rtci_done {
    struct rtci_rec rec;
    uint64_t seq;
    uint32_t client;
    uint32_t attempt;
    int32_t status;     /* 0 or RTC_E_* */
    uint32_t n_returns; /* rows that follow */
    uint64_t run_ns;    /* time on the executor */
};

/* ---- References ---- */
struct rtci_range { /* RELEASE: `count` consecutive tasks or puts of `client`, return `index` each; */
    struct rtci_rec rec; /* index RTCI_ALL_RETURNS: all returns of each */
    uint64_t seq;
    uint64_t count;
    uint32_t client;
    uint32_t index;
};
#define RTCI_ALL_RETURNS 0xffffffffu

struct rtci_ids { /* WANT, HOLD, DROP, BLOCKED, OBJECT_FREE */
    struct rtci_rec rec;
    uint32_t n; /* struct rtci_id[] follow */
    uint32_t arg; /* BLOCKED: how many must be done. DROP of a process: how many answers with a hold
                   * it has seen, | RTCI_DROP_REPLY when it drops only these, not its HOLD */
};
#define RTCI_DROP_REPLY 0x80000000u

struct rtci_cancel { /* CANCEL, STARTED */
    struct rtci_rec rec;
    struct rtci_id id;
    uint32_t mode;  /* RTCI_CANCEL_* */
    uint32_t slot;  /* H>N, STARTED */
    uint32_t attempt;
    uint32_t pad;
};
#define RTCI_CANCEL_FORCE       1u /* SIGKILL at once */
#define RTCI_CANCEL_NO_CHILDREN 2u
#define RTCI_CANCEL_DEADLINE    4u /* the reason is the deadline */

/* ---- Objects ---- */
struct rtci_put { /* PUT, SEAL, OBJECT_HELD. struct rtci_id contained[n_refs], then INLINE bytes */
    struct rtci_rec rec;
    struct rtci_id id;
    uint32_t kind; /* INLINE or ARENA */
    uint32_t n_refs;
    uint64_t size;
    uint64_t offset;
};
struct rtci_alloc { /* ALLOC, ABORT */
    struct rtci_rec rec;
    struct rtci_id id; /* the object that will be there; answers repeat it */
    uint64_t size;
};
struct rtci_grant {
    struct rtci_rec rec;
    struct rtci_id id;
    int32_t status; /* 0 or RTC_E_STORE_FULL, … */
    uint32_t cools; /* when it changes, mapped pages of the arena may be gone */
    uint64_t offset;
    uint64_t size;
};

/* ---- Requests with an answer. `request` is chosen by the client and comes back; the client
 * repeats unanswered requests after a restart of the daemon, so every one is idempotent. ---- */
enum rtci_kv_op { RTCI_KV_PUT = 1, RTCI_KV_GET, RTCI_KV_DELETE, RTCI_KV_LIST, RTCI_KV_PUT_NEW };
struct rtci_kv { /* then: ns, key, value, unpadded between, padded at the end. Several KV records in
                    one turn are one commit: that is the bulk put. LIST: key = prefix, value = the
                    last key seen (start after it); answers are pages. */
    struct rtci_rec rec;
    uint64_t request;
    uint32_t op;
    uint16_t ns_len;
    uint16_t key_len;
    uint32_t value_len;
    uint32_t pad;
};
enum rtci_query_what {
    RTCI_Q_STATUS = 1, RTCI_Q_NODES, RTCI_Q_TASKS, RTCI_Q_OBJECTS, RTCI_Q_JOBS, RTCI_Q_WHY,
    RTCI_Q_FLUSH, RTCI_Q_ACTORS, RTCI_Q_GROUPS,
};
#define RTCI_Q_LAST RTCI_Q_GROUPS
struct rtci_query {
    struct rtci_rec rec;
    uint64_t request;
    uint32_t what;
    uint32_t limit;        /* rows wanted, at most 4096 */
    uint64_t cursor;       /* 0 first; then what the last page's reply said */
    struct rtci_id id;     /* WHY; OBJECTS and TASKS: 0 */
};
struct rtci_named { /* PUBLISH, SUBSCRIBE; then ns, name */
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id;   /* PUBLISH */
    uint64_t version;    /* SUBSCRIBE: answer with one newer than this, waiting if need be;
                            PUBLISH: 0 = next */
    uint16_t ns_len;
    uint16_t name_len;
    uint32_t flags;      /* RTCI_NAMED_NOWAIT: SUBSCRIBE answers NOT_FOUND at once */
};
#define RTCI_NAMED_NOWAIT 1u
struct rtci_reply {
    struct rtci_rec rec;
    uint64_t request;
    int32_t status;
    uint32_t n;        /* rows */
    uint64_t cursor;   /* next page, 0 = last; PUBLISH, SUBSCRIBE: the version */
    struct rtci_id id; /* SUBSCRIBE: the object, already held for this client */
    uint32_t size;     /* bytes that follow: rows of struct rtci_row_*, KV value, or KV list
                          ({u16 key_len, u32 value_len, key, value} packed, unaligned) */
    uint32_t pad;
};
struct rtci_notice { /* NOTICE, LOG, text follows */
    struct rtci_rec rec;
    uint32_t pid;
    uint32_t stream; /* 1 stdout, 2 stderr, 0 the runtime */
    uint32_t text_len;
    uint32_t job;
};
struct rtci_progress { /* text follows. A client that wants progress of its tasks gets it pushed. */
    struct rtci_rec rec;
    struct rtci_id id;
    double fraction; /* 0..1 */
    uint32_t text_len;
    uint32_t pad;
};

/* Rows of QUERY answers; fixed, so that the CLI and the API print them. */
struct rtci_row_node {
    uint32_t node, state; /* enum rtci_node_state */
    uint64_t incarnation;
    uint64_t cpu_total, cpu_used, gpu_total, gpu_used, mem_total, mem_used; /* 1/10,000; bytes */
    uint64_t store_total, store_used;
    uint32_t slots, running, clients, path; /* enum rtci_path */
    char name[64];
    char address[64]; /* where other nodes reach it directly; empty: not at all */
};
/* How what is large gets to a node from others. */
enum rtci_path { RTCI_PATH_UNKNOWN, RTCI_PATH_HEAD, RTCI_PATH_DIRECT, RTCI_PATH_RELAYED };
struct rtci_row_task {
    struct rtci_id id;
    struct rtci_id parent;
    uint32_t job, node;
    uint32_t state; /* enum rtci_task_state */
    uint32_t attempt;
    int32_t status, priority;
    uint64_t submitted_ns, started_ns, ended_ns; /* 0 = not yet */
    double progress;
    char name[64];  /* function, or the user's name */
    char why[160];  /* what it waits for, empty when it does not */
};
struct rtci_row_object {
    struct rtci_id id;
    uint64_t size;
    uint32_t job, node; /* node 0: inline at the head */
    uint32_t holders, pins;
    uint32_t state, pad; /* task state of its producer; DONE for puts */
};
struct rtci_row_job {
    uint32_t job, state; /* 1 running, 2 ended */
    uint32_t driver_pid, node;
    uint64_t id_hi, id_lo;
    uint64_t tasks_waiting, tasks_running, tasks_done, tasks_failed;
    uint64_t started_ns;
    char name[64];
};
struct rtci_row_status {
    uint64_t epoch, now_ns, started_ns, lease_ns;
    uint64_t nodes, clients, jobs;
    uint64_t tasks_alive, tasks_ready, tasks_running, tasks_done_total, tasks_failed_total,
        tasks_retried_total;
    uint64_t objects, kv_keys, kv_bytes, journal_turns, journal_bytes, pid;
    uint64_t relayed_bytes; /* of bulk frames between other nodes, since the head was started */
    char state_dir[128];
    char version[32];
};

/* ---- Node and head ---- */
struct rtci_wrap { /* FROM_CLIENT, TO_CLIENT: `rec.size` covers the records inside */
    struct rtci_rec rec;
    uint32_t client;
    uint32_t pad;
};
enum rtci_role { RTCI_ROLE_DRIVER = 1, RTCI_ROLE_EXECUTOR, RTCI_ROLE_TOOL };
struct rtci_client_new {
    struct rtci_rec rec;
    uint32_t token;   /* the node's own number for it, repeated in CLIENT_ID */
    uint32_t role;
    uint32_t client;  /* after a restart of the node or head: the number it has; else 0 */
    uint32_t job;     /* EXECUTOR: the job it serves; after a restart also for drivers; else 0 */
    uint32_t pid;
    uint32_t slot_profile;
    uint64_t job_hi, job_lo; /* DRIVER: 128-bit id chosen by the driver */
    char name[64];
    char ns[64];      /* namespace */
};
struct rtci_client_id {
    struct rtci_rec rec;
    uint32_t token, client, job;
    int32_t status; /* 0 or why it was refused */
};
struct rtci_client_gone {
    struct rtci_rec rec;
    uint32_t client;
    uint32_t clean; /* BYE was seen */
};
struct rtci_job_end {
    struct rtci_rec rec;
    uint32_t job;
    uint32_t pad;
};
struct rtci_node_hello { /* struct rtci_custom[n_custom], struct rtci_label[n_labels] follow */
    struct rtci_rec rec;
    uint64_t incarnation;
    uint64_t cpu, gpu; /* 1/10,000 */
    uint64_t mem, gpu_mem, store; /* bytes */
    uint16_t n_custom, n_labels;
    uint32_t n_gpus;
    uint64_t rtt_ns;   /* a question to the head and its answer, when it joined; 0 = on its host */
    char name[64];
    char address[64];  /* where other nodes may reach it, host:port; empty = nowhere */
    char arch[16];     /* of its programs: x86_64, aarch64 */
};
#define RTCI_HELLO_AGAIN 1u /* flag of NODE_HELLO: this daemon said it before, and knows all holds */
#define RTCI_HELLO_ANEW  2u /* … no process of before is left */

struct rtci_held { /* one task found in an executor's ring after a restart */
    struct rtci_id id;
    uint32_t attempt;
    uint32_t claimed;
};
struct rtci_slot_held { /* struct rtci_held[n] follow */
    struct rtci_rec rec;
    uint32_t slot, client, job, n;
    uint32_t blocked, shape_client, shape;
    uint32_t actor; /* 1: the one held is an actor, its attempt the incarnation */
};
struct rtci_slot_lost { /* strings: log (last lines) follows */
    struct rtci_rec rec;
    uint32_t slot;
    uint32_t client;      /* executor's client number, 0 if it never attached */
    struct rtci_id claimed; /* the task that was running; client 0: none */
    uint32_t claimed_attempt;
    int32_t exit_status;  /* -1 = signal */
    int32_t signal;
    uint32_t pid;
    int32_t code;         /* RTC_E_CRASHED, RTC_E_NO_REGISTER, RTC_E_OOM, RTC_E_OS (spawn failed) */
    uint32_t log_len;
};
struct rtci_slot_msg { /* SLOT_FREE, RECALL, SLOT_BLOCKED, CORDON, STOP */
    struct rtci_rec rec;
    uint32_t slot; /* CORDON: node */
    uint32_t op;   /* RECALL: most to give back, 0 = all; SLOT_BLOCKED: 1 or 0; CORDON: as below */
};
enum rtci_cordon_op { RTCI_CORDON_OFF, RTCI_CORDON_ON, RTCI_CORDON_DRAIN };
/* A TASK for a slot that was not opened, or was lost since, is one that crossed the SLOT_LOST: the
 * node drops it. So the number of a slot comes again only long after it ended. */
struct rtci_slot_open {
    struct rtci_rec rec;
    uint32_t slot, job;
    uint32_t shape_client, shape;
    uint32_t cpu, gpu; /* 1/10,000 */
    uint64_t gpu_mem;
};
struct rtci_returned { /* struct rtci_held[n] follow */
    struct rtci_rec rec;
    uint32_t slot, n;
};
struct rtci_credit {
    struct rtci_rec rec;
    uint32_t client, pad;
    uint64_t bytes;
};
/* PROGRAM, H>N1: a detached actor may need it when its driver's host is gone. */
#define RTCI_PROGRAM_KEEP 1u
struct rtci_program { /* the driver's executable: named by its contents, fetched by who lacks it */
    struct rtci_rec rec;
    uint32_t job;
    int32_t status;    /* 0, or why there is none */
    uint64_t size;
    uint8_t hash[32];  /* BLAKE2b-256 */
    uint32_t node;     /* where it can be had */
    uint32_t pad;
    char arch[16];
    char path[256];    /* as the driver was started, for messages */
    char cwd[256];
};
struct rtci_peer_at { /* the head's loop answers it, so that the core knows nothing of keys */
    struct rtci_rec rec;
    uint32_t node, pad;
    uint8_t key[32];
    char address[64];  /* host:port; empty: it cannot be dialled, but may come */
};

/* ---- Functions ---- */

/* Validates the record at the start of `data` (len bytes available): size, alignment, type, and
 * that every count and offset inside lies within it. Returns its size, or a negative RTC_E_PROTOCOL.
 * After success every accessor below is safe on it. Any bytes may be passed; none are modified. */
int64_t rtci_wire_check(const void *data, size_t len) RTCI_MUST_USE;

/* A checked span holds records of this type and no other. */
bool rtci_wire_only(const void *span, size_t len, uint16_t type);

const char *rtci_wire_name(uint16_t type);           /* "SUBMIT"; "?" when unknown */
uint64_t rtci_function_hash(const char *name, size_t len); /* XXH3, never 0 */

static inline const struct rtci_id *rtci_spec_refs(const struct rtci_spec *s)
{
    return (const struct rtci_id *)(s + 1);
}
static inline const struct rtci_arg *rtci_spec_args(const struct rtci_spec *s)
{
    return (const struct rtci_arg *)(rtci_spec_refs(s) + s->n_refs);
}
static inline const uint8_t *rtci_spec_data(const struct rtci_spec *s)
{
    return (const uint8_t *)(rtci_spec_args(s) + s->n_args);
}
static inline const char *rtci_spec_name(const struct rtci_spec *s)
{
    return (const char *)rtci_spec_data(s) + RTCI_ALIGN8(s->data_size);
}
/* Size of a spec without the resolved section of a TASK. */
static inline size_t rtci_spec_size(const struct rtci_spec *s)
{
    return sizeof(*s) + s->n_refs * sizeof(struct rtci_id) + s->n_args * sizeof(struct rtci_arg) +
           RTCI_ALIGN8(s->data_size) + RTCI_ALIGN8(s->name_len);
}
static inline const struct rtci_resolved *rtci_task_resolved(const struct rtci_spec *s)
{
    return (const struct rtci_resolved *)((const char *)s + rtci_spec_size(s));
}
static inline const struct rtci_resolved *rtci_done_returns(const struct rtci_done *d)
{
    return (const struct rtci_resolved *)(d + 1);
}
/* How many references the large values of a DONE contain; their ids end the record. */
static inline uint64_t rtci_done_arena_refs(const struct rtci_done *d)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < d->n_returns; i++) {
        const struct rtci_resolved *row = &rtci_done_returns(d)[i];
        total += row->kind == RTCI_KIND_ARENA ? row->n_refs : 0;
    }
    return total;
}

#endif
