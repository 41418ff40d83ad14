/* Inside of the node core. One table of local processes indexed by token, one of slots, one of jobs,
 * one of holds, and the arena. Links are indexes, 0 is "none" (token 0, slot 0, … are never used).
 *
 * Life of an executor: NUMBERING (the head is asked for its number) → STARTING (SPAWN was asked for)
 * → READY → ENDING (told to stop, or killed) → its gone() frees the token. Tasks wait in their slot
 * until its executor is READY.
 */
#ifndef RTCI_CORE_NODE_H
#define RTCI_CORE_NODE_H

#include <rtc/error.h>

#include "runtime/base/bounds.h"
#include "runtime/base/map.h"
#include "runtime/core/core.h"
#include "runtime/core/grow.h"

#define NODE_GPUS_MAX      64u
#define NODE_STARTED_NS    (10 * RTCI_NS_PER_MS) /* a task this long at the front is told STARTED */
#define NODE_CREDIT_CHUNK  (64 * RTCI_KIB)
#define NODE_NEVER         UINT64_MAX
#define ARENA_ALIGN        64u
#define ARENA_LARGE        RTCI_MIB         /* objects from this size on … */
#define ARENA_LARGE_ALIGN  (2 * RTCI_MIB)   /* … begin and end at multiples of this */
#define ARENA_BINS         512u

/* What becomes of a client's record: on to the head, nothing, or the end of the client. */
enum node_verdict { NODE_PASS, NODE_DROP, NODE_BAD };
enum proc_state { PROC_FREE, PROC_NUMBERING, PROC_ATTACHED, PROC_STARTING, PROC_READY, PROC_ENDING };

/* A local process: driver, tool or executor. */
struct proc {
    uint8_t state; /* enum proc_state; drivers and tools: NUMBERING, ATTACHED */
    uint8_t role;
    bool gone;        /* died before it had a number: forgotten when that comes */
    bool bye;
    bool ending;      /* executor: to end as soon as it has a number */
    bool ready;       /* executor: reached rtc_init() */
    bool no_register; /* killed because it did not reach rtc_init() */
    bool bad;         /* executor: wrote nonsense; being killed */
    bool command;     /* executor of the built-in command runner */
    bool idle;        /* executor: stands in its job's list of those without a slot */
    bool credit_due;  /* stands in core->credit */
    bool before;      /* it had its number when the head last told of the life of this node */
    bool over;        /* for the head it has ended: nothing it says goes to other nodes */
    uint8_t kill_stage;
    uint32_t number, job, pid;
    uint32_t slot;       /* index of the executor's slot */
    uint32_t cpus, gpu;  /* profile: whole CPUs, and GPUs in 1/10,000 */
    uint64_t gpus;       /* bit mask */
    uint32_t next, prev; /* idle list */
    uint32_t out;        /* where its bytes stood last in actions->out */
    uint32_t holds;      /* first of its explicit references */
    uint32_t objects;    /* first of its objects that may yet be taken back; entry index + 1 */
    uint32_t n_cancels;
    uint64_t read;       /* bytes read, not yet told as credit */
    uint64_t since_ns;   /* idle since */
    uint64_t started_ns; /* its program was started, or found after a restart */
    uint64_t kill_ns;    /* ENDING: when to be less polite */
    uint64_t job_hi, job_lo;
    char name[64], ns[64];
};

/* A first-in first-out of the tasks of a slot. One whose arguments are on their way here is marked
 * in `claimed`; when they are here it goes to the end: those not marked stand as in the ring. */
#define NODE_PARKED 2u
struct tasks {
    struct rtci_held *at;
    uint32_t head, len, cap; /* cap: power of two */
};
struct slot {
    uint32_t number; /* the head's; 0 = free entry */
    uint32_t proc;   /* its executor; 0 = none could be had yet */
    uint32_t job, cpus, gpu;
    uint32_t shape_client, shape;
    uint32_t next_free;
    bool blocked, command;
    bool decided; /* its first task came: it is known which program runs */
    bool told;       /* STARTED was said of the front task */
    bool recall_asked; /* the head waits for a RETURNED */
    bool actor;        /* its one task is an actor, for as long as that lives */
    bool restarts;     /* … and may be started elsewhere */
    bool fenced;       /* … and is stopped, for that */
    uint64_t front_ns; /* since when the front task is the front */
    uint64_t gpus;
    struct tasks tasks;
    struct rtci_buf pending; /* TASK records, while the executor is not ready */
};
struct job {
    uint32_t number; /* 0 = free entry */
    uint32_t driver;
    uint32_t idle, idle_last; /* executors without a slot, the last used first */
    uint32_t n_idle, n_execs;
    uint32_t next_free;
};
struct hold {
    struct rtci_id id; /* client 0 = free entry */
    uint32_t proc;
    uint32_t next_id, next, prev; /* of the same object; of the same process */
    uint32_t replies;             /* answers with a hold that passed here and were not dropped */
    uint32_t seen;                /* answers of the head with a hold, of which it was not told */
    bool said;                    /* the process itself said HOLD */
};
struct cancel {
    struct rtci_id id;
    uint32_t proc, mode;
    uint32_t stage; /* 0 asked back, 1 flagged, 2 SIGTERM, 3 SIGKILL */
    uint64_t at_ns;
};

/* An object on its way here. */
struct pull {
    struct rtci_id id;
    uint64_t size;
    uint32_t source;
    uint32_t entry; /* in the arena, + 1; 0: it stands in the queue until there is room */
    uint32_t waits; /* first of the records that wait for it */
    uint32_t next_free;
    bool used, stopping; /* stopping: deleted meanwhile; the loop was told */
};
struct wait {
    uint32_t parked, next;
};
/* A RESULT or TASK that names objects which are not here yet. */
struct parked {
    struct rtci_rec *rec; /* NULL: free, or not wanted any more */
    uint32_t missing;     /* waits */
    uint32_t client;      /* RESULT: whose */
    uint32_t slot;        /* TASK: the head's number */
    uint32_t next_free;
};

/* The arena: extents in order of address cover all of it; the free ones stand in bins by size. */
struct extent {
    uint64_t offset, size;
    uint32_t prev, next;         /* by address */
    uint32_t bin_prev, bin_next; /* free: of the same bin, the last freed first */
    uint32_t entry;              /* used: entry + 1; 0 = free */
};
struct object { /* beside struct rtci_arena_entry of the same index */
    uint32_t extent;
    uint32_t owner, next, prev; /* in the list of the process that may yet take it back */
    uint32_t pull;              /* state 1: it is being fetched */
};
struct arena {
    uint64_t size, used;
    struct rtci_arena_entry *entries; /* RTCI_ARENA_ENTRIES of each */
    struct object *objects;
    uint32_t n_entries, free_entry; /* + 1 */
    struct extent *extents;
    uint32_t n_extents, cap_extents, free_extent;
    uint32_t bins[ARENA_BINS];
    uint64_t bin_used[ARENA_BINS / 64];
    struct rtci_map by_id;
    uint8_t *warm;    /* bit per ARENA_LARGE_ALIGN: its memory may be there */
    uint64_t warm_ns; /* when the first few MiB are touched */
    uint64_t cool_ns; /* when what is free is given back */
    uint32_t cools;   /* how often it was: writers' page tables are empty there */
};
#define NODE_FIRST_EXTENT 1u /* the one at offset 0 */

struct rtci_node_core {
    struct rtci_node_config config;
    bool told; /* hello was said */
    bool was_ready; /* ready was said once */
    uint32_t last_token; /* given to an executor, less RTCI_TOKEN_EXEC */
    uint32_t prestart, execs_max;
    uint32_t n_procs; /* tokens below this were used */
    uint32_t last_node; /* where the last call to another node stands in actions->to_nodes */
    uint32_t n_execs;
    struct proc *procs; /* RTCI_CLIENTS_MAX */
    struct slot *slots;
    uint32_t n_slots, cap_slots, free_slot, n_waiting, slot_cache;
    struct job *jobs;
    uint32_t n_jobs, cap_jobs, free_job;
    struct hold *holds;
    uint32_t n_holds, cap_holds, free_hold, holds_alive;
    struct cancel *cancels;
    uint32_t n_cancels, cap_cancels;
    uint32_t *credit;
    uint32_t n_credit, cap_credit;
    uint32_t gpu_free[NODE_GPUS_MAX];
    uint64_t scan_ns; /* next look at timers; NODE_NEVER = nothing waits */
    struct rtci_map slot_by_number, job_by_number, proc_by_number, hold_by_id;
    struct arena arena;
    struct pull *pulls;
    uint32_t n_pulls, cap_pulls, free_pull;
    struct wait *waits;
    uint32_t n_waits, cap_waits, free_wait;
    struct parked *parked;
    uint32_t n_parked, cap_parked, free_parked, parked_alive;
    uint32_t *pull_queue; /* pulls that wait for room */
    uint32_t n_pull_queue, cap_pull_queue;
    bool pull_retry; /* something was freed, or came into the queue */
    struct rtci_map pull_by_id;
};

#define NODE_GROW(array, cap, n) core_grow(&(array), &(cap), (n), sizeof(*(array)))
void node_map_set(struct rtci_map *map, uint64_t a, uint64_t b, uint32_t value);

/* node.c: output */
void *node_say(struct rtci_node_actions *actions, uint16_t type, size_t size); /* to the head */
void *node_tell(struct rtci_node_core *core, uint32_t token, uint16_t type, size_t size,
                struct rtci_node_actions *actions);
struct rtci_buf *node_out(struct rtci_node_core *core, uint32_t token,
                          struct rtci_node_actions *actions);
struct rtci_node_action *node_act(struct rtci_node_actions *actions, uint32_t type, uint32_t token);
void node_trace(struct rtci_node_actions *actions, const char *fmt, ...) RTCI_PRINTF(2, 3);
void node_wake(struct rtci_node_core *core, uint64_t at_ns);
void node_deadline(const struct rtci_node_core *core, struct rtci_node_actions *actions);

/* node_clients.c */
struct proc *node_proc(struct rtci_node_core *core, uint32_t token);
uint32_t node_proc_number(const struct rtci_node_core *core, uint32_t number); /* → token, 0 */
void node_client_new(struct rtci_node_core *core, uint32_t token,
                     struct rtci_node_actions *actions);
void node_client_id(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_client_id *rec,
                    struct rtci_node_actions *actions);
/* Tells the head, drops what it held, frees the token. */
void node_proc_forget(struct rtci_node_core *core, uint32_t token, int status,
                      struct rtci_node_actions *actions);
void node_proc_number_set(struct rtci_node_core *core, uint32_t token, uint32_t number);
void node_credits(struct rtci_node_core *core, struct rtci_node_actions *actions);
void node_to_client(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_wrap *wrap,
                    struct rtci_node_actions *actions);

/* node_slots.c: slots and their tasks */
struct slot *node_slot(struct rtci_node_core *core, uint32_t number);
uint32_t node_slot_open(struct rtci_node_core *core, uint64_t now_ns,
                        const struct rtci_slot_open *open, struct rtci_node_actions *actions);
void node_slot_free(struct rtci_node_core *core, uint32_t index);
void node_task(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
               struct rtci_node_actions *actions);
/* The task left its slot (completed or given back). False when it was not there. */
bool node_task_remove(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
                      struct rtci_id id);
bool node_tasks_has(const struct tasks *tasks, struct rtci_id id); /* whatever the index */
bool node_tasks_running(const struct tasks *tasks); /* any that its executor may have begun */
bool node_task_is_parked(const struct rtci_node_core *core, const struct rtci_spec *spec);
/* Its arguments are here: it goes to the executor. */
void node_task_unpark(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions);
/* They cannot be had: it goes back to the head. */
void node_task_return(struct rtci_node_core *core, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions);
void node_tasks_push(struct tasks *tasks, struct rtci_id id, uint32_t attempt, uint32_t claimed);
void node_slot_lost(struct rtci_node_core *core, struct slot *slot, const struct rtci_gone *gone,
                    struct rtci_node_actions *actions);
void node_slot_flush(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
                     struct rtci_node_actions *actions);
void node_slot_msg(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_slot_msg *msg,
                   struct rtci_node_actions *actions);
void node_recall(struct rtci_node_core *core, struct slot *slot, uint32_t most,
                 struct rtci_node_actions *actions);
void node_cancel(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_cancel *cancel,
                 struct rtci_node_actions *actions);
void node_cancels_forget(struct rtci_node_core *core, uint32_t token, const struct rtci_id *id);
void node_cancels_claimed(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                          struct rtci_node_actions *actions);
void node_started(struct rtci_node_core *core, uint64_t now_ns, struct rtci_node_actions *actions);
void node_cancel_timers(struct rtci_node_core *core, uint64_t now_ns,
                        struct rtci_node_actions *actions);

/* node_execs.c: executors and jobs */
void node_gpus_take(struct rtci_node_core *core, uint32_t gpu, uint64_t mask, int sign);
struct job *node_job(struct rtci_node_core *core, uint32_t number, bool make);
void node_bind(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
               struct rtci_node_actions *actions);
void node_bind_waiting(struct rtci_node_core *core, uint64_t now_ns,
                       struct rtci_node_actions *actions);
void node_exec_idle(struct rtci_node_core *core, uint64_t now_ns, uint32_t token);
void node_exec_unidle(struct rtci_node_core *core, uint32_t token);
void node_exec_end(struct rtci_node_core *core, uint64_t now_ns, uint32_t token, int signal,
                   struct rtci_node_actions *actions);
void node_exec_numbered(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                        struct rtci_node_actions *actions);
void node_exec_gone(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_gone *gone,
                    struct rtci_node_actions *actions);
void node_prestart(struct rtci_node_core *core, uint64_t now_ns, uint32_t job,
                   struct rtci_node_actions *actions);
void node_job_end(struct rtci_node_core *core, uint64_t now_ns, uint32_t job,
                  struct rtci_node_actions *actions);
void node_job_try_free(struct rtci_node_core *core, uint32_t number);
void node_exec_timers(struct rtci_node_core *core, uint64_t now_ns,
                      struct rtci_node_actions *actions);
void node_kill(uint32_t token, int signal, struct rtci_node_actions *actions);

/* node_refs.c */
void node_hold(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids,
               struct rtci_node_actions *actions);
void node_hold_none(struct rtci_node_core *core, struct rtci_id id,
                    struct rtci_node_actions *actions);
void node_drop(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids,
               struct rtci_node_actions *actions);
void node_hold_one(struct rtci_node_core *core, uint32_t token, struct rtci_id id,
                   struct rtci_node_actions *actions);
void node_drop_all(struct rtci_node_core *core, uint32_t token, struct rtci_node_actions *actions);
/* Nobody here holds the object; `seen`: how many answers of the head with a hold passed here. */
void node_say_drop(struct rtci_node_actions *actions, struct rtci_id id, uint32_t seen);
void node_say_ids(struct rtci_node_actions *actions, uint16_t type, const struct rtci_id *ids,
                  uint32_t n);
void node_hello_holds(struct rtci_node_core *core, struct rtci_node_actions *actions);
void node_refs_check(const struct rtci_node_core *core);

/* node_actors.c */
void node_life(struct rtci_node_core *core, const struct rtci_life *life);
void node_actor_start(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions);
void node_actor_end(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_actor_end *end,
                    struct rtci_node_actions *actions);
/* Its callers hear which of their calls were begun. */
void node_actor_gone(struct rtci_node_core *core, const struct slot *slot,
                     const struct rtci_gone *gone, struct rtci_node_actions *actions);
const struct rtci_held *node_actor_of(const struct slot *slot); /* NULL: it is none's */
enum node_verdict node_actor_said(struct rtci_node_core *core, const struct proc *proc,
                                  const struct rtci_rec *rec);
enum node_verdict node_route(struct rtci_node_core *core, uint32_t token,
                             const struct rtci_rec *rec, struct rtci_node_actions *actions);

/* node_warm.c */
void node_warm_init(struct rtci_node_core *core);
void node_warm_placed(struct rtci_node_core *core, uint64_t now_ns, const struct extent *extent,
                      struct rtci_node_actions *actions);
void node_warm_timers(struct rtci_node_core *core, uint64_t now_ns,
                      struct rtci_node_actions *actions);
void node_warm_check(const struct rtci_node_core *core);

/* node_arena.c */
void node_arena_init(struct rtci_node_core *core);
void node_arena_fini(struct rtci_node_core *core);
/* Where an object of that size would be placed now; UINT64_MAX: nowhere. */
uint64_t node_arena_next(const struct arena *arena, uint64_t size);
void node_alloc(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                const struct rtci_alloc *alloc, struct rtci_node_actions *actions);
void node_abort(struct rtci_node_core *core, uint32_t token, const struct rtci_alloc *alloc,
                struct rtci_node_actions *actions);
/* DROP: the object is not there (any more); BAD: the record does not say what was granted. */
enum node_verdict node_seal(struct rtci_node_core *core, uint32_t token,
                            const struct rtci_put *put, struct rtci_node_actions *actions);
/* The values of a completion stay; DROP and BAD as above. */
enum node_verdict node_done_objects(struct rtci_node_core *core, uint32_t token,
                                    const struct rtci_done *done,
                                    struct rtci_node_actions *actions);
/* Room for a copy; RTC_E_STORE_FULL: later, RTC_E_TOO_LARGE: never. */
int node_arena_reserve(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                       uint64_t size, uint32_t *ret_entry, struct rtci_node_actions *actions);
void node_arena_seal(struct rtci_node_core *core, uint32_t entry, struct rtci_node_actions *actions);
void node_arena_free(struct rtci_node_core *core, uint32_t entry, struct rtci_node_actions *actions);
void node_object_free(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_ids *ids,
                      struct rtci_node_actions *actions);
/* What the process had begun and not finished. */
void node_objects_abandon(struct rtci_node_core *core, uint32_t token,
                          struct rtci_node_actions *actions);
void node_hello_objects(struct rtci_node_core *core, struct rtci_node_actions *actions);
void node_arena_check(const struct rtci_node_core *core);

/* node_pull.c */
bool node_has_remote(const struct rtci_rec *rec); /* a RESULT or TASK */
void node_park_result(struct rtci_node_core *core, uint64_t now_ns, uint32_t client,
                      const struct rtci_done *done, struct rtci_node_actions *actions);
/* The task stands in its slot, marked. */
/* Nobody asked for its values yet: those that are here are told, the others stay where they are. */
void node_lazy_result(struct rtci_node_core *core, uint32_t token, const struct rtci_rec *rec,
                      struct rtci_node_actions *actions);
void node_park_task(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                    struct rtci_node_actions *actions);
void node_parked_client_gone(struct rtci_node_core *core, uint32_t client);
void node_parked_task_gone(struct rtci_node_core *core, uint32_t slot,
                           const struct rtci_id *id); /* NULL: all of the slot */
void node_pull_place(struct rtci_node_core *core, uint64_t now_ns,
                     struct rtci_node_actions *actions);
bool node_pull_stop(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                    struct rtci_node_actions *actions);
void node_pull_fini(struct rtci_node_core *core);
void node_pull_check(const struct rtci_node_core *core);

#endif
