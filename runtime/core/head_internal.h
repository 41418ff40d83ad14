/* Inside of the head core. Tables are arrays of indexes that grow; 0 is "none" everywhere, so that
 * zeroed memory is a valid empty link. Nothing is ordered by address. */
#ifndef RTCI_CORE_HEAD_INTERNAL_H
#define RTCI_CORE_HEAD_INTERNAL_H

#include <rtc/error.h>
#include "runtime/base/bounds.h"
#include "runtime/base/map.h"
#include "runtime/core/core.h"
#include "runtime/core/grow.h"
#include "runtime/core/head_actors.h"

enum entry_kind { ENTRY_TASK = 1, ENTRY_PUT = 2, ENTRY_ACTOR = 3 };

enum entry_flags {
    EF_UNDELIVERED = 1u,  /* stands in the undelivered list of its creator */
    EF_RELEASED = 2u,     /* the creator dropped everything */
    EF_WAITED = 4u,       /* a blocked task waits for it */
    EF_DEADLINE = 8u,     /* the pending cancel is the deadline's */
    EF_PINNED_DEPS = 16u, /* its reference arguments are pinned by it */
    EF_CANCEL = 32u,      /* it was told to stop, or will be when its node is back; journalled */
    EF_FORCE = 64u,       /* … at once */
    EF_CONFIRMED = 128u,  /* a node that came back has it in its slot */
    EF_GHOST_SEEN = 256u, /* … or its ghost */
    EF_GHOST_RAN = 512u,  /* the ghost was known to run */
    EF_GHOST = 1024u,     /* it has one; the rest of that is seldom looked at */
    EF_HOME = 2048u,      /* its large values lie on `node`, at the offsets of their rows */
    EF_DOUBT = 4096u,     /* its last attempt was on `node` when the head ended: head_doubts.c */
};

/* A task, an object that was put, or an actor: then its state as a task says where it stands in the
 * queues and slots, and it is the only one in its slot as long as it lives (head_actors.c). */
struct entry {
    uint64_t seq;
    uint32_t client;   /* number */
    uint8_t kind;      /* enum entry_kind */
    uint8_t state;     /* enum rtci_task_state; puts: DONE */
    uint16_t flags;    /* enum entry_flags */
    uint32_t holds;    /* returns the creator still holds */
    uint32_t ext;      /* nodes that hold it explicitly: edges in ext_edges */
    uint32_t ext_edges;
    uint32_t pins;     /* pending tasks and containers that need it */
    uint32_t deps;     /* arguments not resolved yet */
    uint32_t edges;    /* first edge to who waits: dependants and WANTing clients */
    uint32_t cls;
    uint32_t slot;
    uint32_t next, prev; /* ready queue of the class, or tasks of the slot */
    uint32_t und_next;   /* undelivered list */
    uint32_t child, sib_next, sib_prev; /* children that are not terminal */
    uint32_t parent;   /* of an actor: its place in core->actors */
    uint32_t generation; /* of the index: edges of a former entry mean nothing to the next */
    uint32_t attempt; /* of the current or last execution; counts from 1 */
    uint32_t failures; /* attempts that ended badly */
    uint32_t node;    /* where it ran; its large results lie there. In doubt: where it may run */
    uint32_t heap;    /* place in the deadline heap, 0 = not there */
    struct rtci_spec *spec;
    struct rtci_done *result;
    struct rtci_put *put;
    uint64_t deadline_ns, submitted_ns, started_ns, ended_ns;
    double progress;
    /* An earlier attempt, on a node that is away (or was): head_ghosts.c. Node 0: there is none. */
    uint32_t ghost_node, ghost_slot, ghost_attempt, ghost_next, ghost_prev;
    uint32_t copies;   /* edges: further nodes that have its values; EDGE_GONE: its home has not */
};

/* NODE_STALE: its node came back, and has not said HOLD again. */
enum edge_kind {
    EDGE_DEP = 1,
    EDGE_WANT = 2,
    EDGE_NODE = 3,
    EDGE_NODE_STALE = 4,
    EDGE_COPY = 5,
    EDGE_GONE = 6
};
struct edge {
    uint32_t next;
    uint32_t who; /* entry index, client number or node number */
    uint32_t kind;
    uint32_t generation; /* of the entry; of a node: answers with a hold that it did not tell of;
                            of a copy: which return */
};

#define PAGE_SHIFT 10
#define PAGE_SIZE  (1u << PAGE_SHIFT)
struct page {
    uint32_t used;
    uint32_t at[PAGE_SIZE];
};
struct client {
    uint32_t number, node, job, role, pid;
    bool alive, reported;
    uint64_t last_seq;    /* of all that it numbered and the head knows … */
    uint64_t last_submit; /* … and of its tasks: an actor that saves says them late */
    struct page **pages;
    uint64_t first_page; /* seq >> PAGE_SHIFT of pages[0] */
    uint32_t n_pages, cap_pages;
    uint32_t *shapes; /* class index + 1 */
    uint32_t n_shapes;
    int64_t credit;
    uint32_t monitors; /* first of its own */
    uint32_t und_head, und_tail; /* terminal entries not pushed yet for lack of credit */
    struct rtci_buf shape_recs;  /* SHAPE records, for snapshots */
    char name[64];
};

struct bucket {
    int32_t prio;
    uint32_t head, tail, n;
};
#define CUSTOM_MAX RTCI_CUSTOM_MAX
enum twin { TWIN_COMMAND, TWIN_ACTOR, TWIN_READY };
struct cls {
    uint32_t job;
    bool command;
    bool actor; /* its slots have one actor each, for as long as that lives */
    struct rtci_shape shape;
    struct rtci_custom custom[RTCI_CUSTOM_MAX];
    struct rtci_label labels[RTCI_LABELS_MAX];
    struct bucket *buckets; /* by priority, highest first */
    uint32_t n_buckets, cap_buckets;
    uint32_t n_ready, n_slots;
    uint32_t slot_head;  /* slots of the class */
    uint32_t unstick_at; /* the slot to be looked at next; 0: the first */
    uint32_t hungry;     /* first slot that may take more */
    uint64_t mean_ns;    /* of its tasks; 0 = unknown */
    uint64_t starving_ns;/* since when it found no room; 0 = it does not starve */
    uint32_t cursor;     /* where the search for a node goes on */
    uint32_t active_at;  /* place in the active list + 1 */
    uint32_t twins[3];   /* classes of this shape: enum twin */
    bool ready;          /* of what is done when its placement group is ready */
    uint64_t search_ns;  /* when it looks through the nodes again though none changed */
    bool noticed, infeasible;
    uint32_t shape_client, shape_number;
};

struct slot {
    uint32_t node, cls, client;
    uint32_t inflight, head, tail; /* tasks, oldest first */
    uint64_t bytes;
    uint64_t since_ns, moved_ns; /* moved: when a task last left it, or came when it was empty */
    uint32_t cls_next, cls_prev, hungry_next;
    uint32_t node_next, node_prev;
    bool used, blocked, draining, hungry, recalling, held;
    bool reported; /* by its node, which came back and is not ready yet */
    uint32_t group, bundle; /* it takes from this bundle, not from the node; group 0 = none */
};

struct node {
    uint32_t state; /* enum rtci_node_state */
    bool hello, ready, cordoned, dirty;
    uint64_t incarnation, rtt_ns;
    int64_t cpu, gpu, mem, gpu_mem;           /* total */
    int64_t cpu_free, gpu_free, mem_free, gpu_mem_free;
    int64_t cpu_lent; /* of what is free: of tasks that wait; not for actors or groups, which stay */
    uint64_t store;
    struct rtci_custom custom[RTCI_CUSTOM_MAX];
    int64_t custom_free[RTCI_CUSTOM_MAX];
    struct rtci_label labels[RTCI_LABELS_MAX];
    uint32_t n_custom, n_labels;
    uint32_t slots, n_slots, n_blocked;
    uint32_t out; /* place in actions->out + 1 */
    char name[64];
    bool suspect, draining;
    bool again;      /* the head had it before this session: what it tells is compared with that */
    bool known;      /* it said hello, in this session or in one before: what it has is there */
    bool holds_told; /* what it holds is told whole before it is ready */
    bool anew;       /* nothing of it is left from before this session */
    bool leaving;    /* it was told to end */
    bool counted;    /* what is free of it was counted: slots and bundles are taken off */
    uint32_t group_mark, group_n; /* bundles here, of the group that is being placed */
    uint32_t ghosts; /* first of the attempts on it that are tried elsewhere too */
    char cause[96]; /* DEAD: why */
    char address[64]; /* where others may reach it */
    uint32_t path;    /* enum rtci_path */
};
#define HEAD_OWN_NODE 1u /* the one on the head's own host */

struct job {
    uint32_t number, driver, node;
    bool alive, used;
    uint64_t id_hi, id_lo, started_ns;
    uint64_t done, failed;
    char name[64], ns[64];
    struct rtci_program *program; /* when its node has told; asked for by other nodes */
    struct program_wait *program_waits;
    uint32_t n_program_waits, cap_program_waits;
    uint32_t origin;   /* of a detached actor's: the one that created it, which has the program */
    uint32_t detached; /* such jobs of this one, that are alive */
    bool program_kept; /* its program is journalled, and the head's node has been told to keep it */
};
struct program_wait {
    uint32_t node, job;
};

struct function {
    uint64_t hash;
    char *name;
};
struct kv {
    char *key; /* ns, NUL, key */
    uint32_t key_len, ns_len;
    uint32_t size;
    uint8_t *value;
};
#define KV_BLOCK 128u
struct kv_block {
    uint32_t n; /* at least 1 */
    struct kv kv[KV_BLOCK];
};
struct kv_place { /* block == n_kv_blocks: behind the last */
    uint32_t block, at;
};
struct sub {
    uint32_t client;
    uint64_t request, newer_than;
};
struct named {
    char *name; /* ns, NUL, name */
    uint32_t len, job;
    uint64_t version;
    struct rtci_id id;
    struct sub *subs;
    uint32_t n_subs, cap_subs;
};

/* A cancel that came before the nodes told what they still hold: the task may be there. */
struct late_cancel {
    uint32_t index, generation, mode;
};
/* An answer that waits until all nodes have told what they hold. */
struct late_result {
    uint32_t client, index, generation;
};
struct stray {
    uint32_t node;
    struct rtci_id id;
};

struct rtci_head_core {
    struct rtci_head_config config;
    uint64_t now_ns;
    bool replaying, recovering, sweep;
    bool doubts; /* entries may be EF_DOUBT */
    uint64_t hold_until_ns;
    struct entry *entries;
    uint32_t n_entries, cap_entries, free_entry;
    struct edge *edges;
    uint32_t n_edges, cap_edges, free_edge;
    struct client **clients; /* by number */
    uint32_t n_clients, cap_clients;
    struct cls **classes;
    uint32_t n_classes, cap_classes;
    uint32_t *active;
    uint32_t n_active, cap_active;
    struct slot *slots;
    uint32_t n_slots, cap_slots;
    uint32_t free_slot, free_slot_last, n_free_slots; /* oldest first, linked by hungry_next */
    struct node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *dirty;
    uint32_t n_dirty, cap_dirty;
    uint64_t unstick_ns; /* when slots that nothing comes out of are looked at; UINT64_MAX: never */
    struct job *jobs;
    uint32_t n_jobs, cap_jobs;
    struct function *functions;
    uint32_t n_functions, cap_functions;
    struct kv_block **kv_blocks; /* all keys in order, in blocks: an insertion moves one block */
    uint32_t n_kv_blocks, cap_kv_blocks, n_kvs;
    struct named *nameds;
    uint32_t n_nameds, cap_nameds;
    uint32_t *heap; /* entries by deadline */
    uint32_t n_heap, cap_heap;
    uint32_t *waited; /* ready tasks that a blocked one waits for */
    uint32_t n_waited, cap_waited;
    struct late_cancel *late_cancels;
    uint32_t n_late_cancels, cap_late_cancels;
    struct stray *strays; /* objects a node came back with and nobody knows, so far */
    uint32_t n_strays, cap_strays;
    uint64_t strays_ns; /* when those still unknown are deleted */
    struct rtci_head_stats stats;
    struct rtci_row_status info;
    struct rtci_head_actions *actions; /* of the call under way */
    bool replayed; /* there was one before it */
    struct late_result *late_results;
    uint32_t n_late_results, cap_late_results;
    uint32_t copy_turn; /* of several nodes that have an object, the next one */
    bool losses;        /* some value may be lost: tasks are looked at before they become ready */
    bool settled;       /* all nodes have told what they hold */
    struct actor *actors;
    uint32_t n_actors, cap_actors, free_actor;
    uint32_t *actors_idle; /* entries without handles, to be looked at */
    uint32_t n_actors_idle, cap_actors_idle;
    uint32_t *actors_due;
    uint32_t n_actors_due, cap_actors_due;
    uint64_t actors_due_ns; /* the first of them; UINT64_MAX = none */
    bool actors_adrift; /* some lived before the head was restarted, and their node has not told yet */
    struct actor_name *names;
    uint32_t n_names, cap_names, free_name;
    struct rtci_map name_by_hash;
    struct monitor *monitors;
    uint32_t n_monitors, cap_monitors, free_monitor;
    struct rtci_map monitor_by_number; /* and client */
    struct link *links;
    uint32_t n_links, cap_links;
    struct group *groups;
    uint32_t n_groups, cap_groups, free_group;
    uint32_t *group_queue; /* those to be placed, oldest first */
    uint32_t n_group_queue, cap_group_queue;
    struct rtci_map group_by_id;
    uint32_t group_mark, group_cursor;
    uint32_t group_classes; /* classes whose slots are in groups */
    bool groups_dirty;      /* one came into the queue */
    bool groups_placed;     /* one is ready since the last pass */
    bool groups_adrift;     /* some had a place before the head was restarted */
};

#define HEAD_GROW(array, cap, n) core_grow(&(array), &(cap), (n), sizeof(*(array)))

/* head_tasks.c */
struct entry *head_entry(struct rtci_head_core *core, uint32_t index);
uint32_t head_find(struct rtci_head_core *core, struct rtci_id id);
uint32_t head_entry_new(struct rtci_head_core *core, struct client *client, uint64_t seq, int kind);
void head_entry_try_free(struct rtci_head_core *core, uint32_t index);
void head_move(struct rtci_head_core *core, uint32_t index, uint32_t state);
void head_submit(struct rtci_head_core *core, struct client *client, const struct rtci_spec *spec);
/* `node`: where it comes from; 0 = the journal. */
void head_done(struct rtci_head_core *core, uint32_t index, const struct rtci_done *done,
               uint32_t node);
/* True when an argument of the task is lost: it failed. */
bool head_fail_if_lost(struct rtci_head_core *core, uint32_t index);
void head_fail(struct rtci_head_core *core, uint32_t index, uint32_t state,
               const struct rtci_fail *fail, const char *text, const char *log, size_t log_len);
void head_fail_simple(struct rtci_head_core *core, uint32_t index, uint32_t state, int code,
                      const char *text);
void head_make_ready(struct rtci_head_core *core, uint32_t index, bool front);
const char *head_function_name(struct rtci_head_core *core, const struct entry *entry, size_t *len);
bool head_terminal(const struct entry *entry);
void head_children_leave(struct rtci_head_core *core, uint32_t index);
/* Pins its references, counts those to be waited for; returns one that failed, or 0. A reference that
 * is none fails it: *ret_bad. */
uint32_t head_submit_refs(struct rtci_head_core *core, const struct client *client, uint32_t index,
                          bool *ret_bad);
void head_fail_dependant(struct rtci_head_core *core, uint32_t index, uint32_t dep);
void head_free_copy(struct rtci_head_core *core, uint32_t node, struct rtci_id id);

/* head_refs.c */
void head_release(struct rtci_head_core *core, struct client *client, const struct rtci_range *range);
void head_put(struct rtci_head_core *core, struct client *client, const struct rtci_put *put);
void head_want(struct rtci_head_core *core, struct client *client, const struct rtci_ids *ids);
/* An answer that holds the object goes to the node: a DROP that does not know of it does not count. */
void head_hold_answered(struct rtci_head_core *core, uint32_t node, struct rtci_id id);
void head_hold(struct rtci_head_core *core, uint32_t node, struct client *client,
               const struct rtci_ids *ids, bool hold);
/* Those of the node end: all; or the stale ones, which it did not say again. */
void head_holds_end(struct rtci_head_core *core, uint32_t node, bool stale);
void head_object_held(struct rtci_head_core *core, uint32_t node, const struct rtci_put *put);
void head_strays(struct rtci_head_core *core);
void head_pin(struct rtci_head_core *core, const struct rtci_id *ids, uint32_t n);
void head_unpin(struct rtci_head_core *core, const struct rtci_id *ids, uint32_t n);
void head_push(struct rtci_head_core *core, uint32_t index);
/* `lazy`: the client did not ask for the values. */
void head_push_to(struct rtci_head_core *core, struct client *client, uint32_t index, bool lazy);
void head_flush_undelivered(struct rtci_head_core *core, struct client *client);
void head_edge_add(struct rtci_head_core *core, uint32_t *list, uint32_t kind, uint32_t who);
void head_edges_free(struct rtci_head_core *core, uint32_t *list);
uint32_t head_pin_contained(struct rtci_head_core *core, uint32_t index, bool pin);

/* head_copies.c: where large values lie */
/* Makes an ARENA row of return `ret` one that is right on that node. */
void head_copies_row(struct rtci_head_core *core, struct entry *entry, uint32_t ret, uint32_t node,
                     struct rtci_resolved *row);
bool head_copies_lost(struct rtci_head_core *core, struct entry *entry, uint32_t ret);
bool head_copies_any_lost(struct rtci_head_core *core, struct entry *entry);
void head_copies_story(struct rtci_head_core *core, const struct entry *entry, char *text, size_t size);
/* True: the answer is put off, for a value that some node may yet tell of. */
bool head_copies_wait(struct rtci_head_core *core, const struct client *client, uint32_t index);
uint64_t head_bytes_at(struct rtci_head_core *core, const struct rtci_spec *spec, uint32_t node);
void head_copies_home(struct rtci_head_core *core, uint32_t index, uint32_t node);
/* The task has ended before: are the values of this completion of no use? */
bool head_copies_second(struct rtci_head_core *core, struct entry *entry, uint32_t node,
                        const struct rtci_done *done);
void head_copies_free(struct rtci_head_core *core, struct entry *entry, uint32_t node);
void head_copies_held(struct rtci_head_core *core, uint32_t node, struct rtci_id id);
void head_copies_drop(struct rtci_head_core *core, uint32_t node, struct rtci_id id);
void head_pulled(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids);
void head_pull_failed(struct rtci_head_core *core, uint32_t node, const struct rtci_cancel *rec);
void head_copies_end(struct rtci_head_core *core, uint32_t node); /* it is dead, `cause` is set */
void head_copies_settle(struct rtci_head_core *core);

/* head_clients.c */
struct client *head_client(struct rtci_head_core *core, uint32_t number);
void head_client_new(struct rtci_head_core *core, uint32_t node, const struct rtci_client_new *rec);
void head_client_gone(struct rtci_head_core *core, uint32_t number);
void head_sweep_ended(struct rtci_head_core *core);
void head_shape(struct rtci_head_core *core, struct client *client, const struct rtci_shape *shape);
void head_function(struct rtci_head_core *core, const struct rtci_function *function);
struct client *head_client_make(struct rtci_head_core *core, uint32_t number);
uint32_t head_command_class(struct rtci_head_core *core, uint32_t number);
uint32_t head_actor_class(struct rtci_head_core *core, uint32_t number);
uint32_t head_ready_class(struct rtci_head_core *core, uint32_t number);
void head_job_end(struct rtci_head_core *core, uint32_t job); /* and all that is its */
uint32_t head_job_make(struct rtci_head_core *core, uint32_t number);

/* head_slots.c */
struct cls *head_class(struct rtci_head_core *core, uint32_t number);
uint32_t head_ready_first(const struct cls *cls);
int32_t head_ready_priority(const struct cls *cls);
/* What is missing for a slot of the class; NULL when it fits. `total`: on an empty node. */
const char *head_lacking(struct node *node, const struct cls *cls, bool total);
bool head_allowed(const struct node *node, uint32_t number, const struct cls *cls);
bool head_usable(const struct node *node);
void head_unhungry(struct rtci_head_core *core, uint32_t number);
void head_node_recount(struct rtci_head_core *core, uint32_t number); /* what its slots leave free */
/* head_send.c */
void head_send_task(struct rtci_head_core *core, uint32_t slot, uint32_t index);
/* head_place.c and head_slots.c */
void head_ready_push(struct rtci_head_core *core, uint32_t index, bool front);
void head_ready_remove(struct rtci_head_core *core, uint32_t index);
void head_place(struct rtci_head_core *core);
void head_slot_take(struct rtci_head_core *core, uint32_t index); /* task leaves its slot */
void head_slot_add(struct rtci_head_core *core, uint32_t slot, uint32_t index);
void head_slot_check(struct rtci_head_core *core, uint32_t slot); /* free it or call it hungry */
void head_slot_release(struct rtci_head_core *core, uint32_t slot, bool tell);
uint32_t head_slot_make(struct rtci_head_core *core, uint32_t number, uint32_t node, uint32_t cls);
void head_slot_blocked(struct rtci_head_core *core, uint32_t slot, bool blocked);
void head_node_dirty(struct rtci_head_core *core, uint32_t node);
void head_recall(struct rtci_head_core *core, uint32_t number, uint32_t most);
bool head_feasible(struct rtci_head_core *core, const struct cls *cls);
int head_why_class(struct rtci_head_core *core, const struct cls *cls, char *text, size_t size);
uint32_t head_class_depth(const struct cls *cls, const struct node *node);

/* head_fail.c */
void head_cancel(struct rtci_head_core *core, uint32_t index, uint32_t mode);
/* Of a job that ends: not put off until nodes have told what they hold, which dies with it. */
#define HEAD_CANCEL_NOW 0x100u
/* When the nodes have said what they run. */
void head_cancel_later(struct rtci_head_core *core, uint32_t index, uint32_t mode);
void head_late_cancels(struct rtci_head_core *core);
void head_cancel_children(struct rtci_head_core *core, uint32_t index, uint32_t mode);
/* Those that were submitted on the node, or (on: false) those that were not. */
void head_cancel_children_on(struct rtci_head_core *core, uint32_t index, uint32_t mode,
                             uint32_t node, bool on);
void head_cancelled(struct rtci_head_core *core, uint32_t index); /* it was told to stop, and has */
void head_tell_cancel(struct rtci_head_core *core, uint32_t index, uint32_t slot, uint32_t attempt,
                      uint32_t mode);
void head_slot_lost(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_lost *lost);
void head_returned(struct rtci_head_core *core, uint32_t node, const struct rtci_returned *ret);
void head_slot_held(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_held *held);
void head_deadline_add(struct rtci_head_core *core, uint32_t index);
void head_deadline_remove(struct rtci_head_core *core, uint32_t index);
void head_deadlines(struct rtci_head_core *core);
void head_attempt_failed(struct rtci_head_core *core, uint32_t index, const struct rtci_fail *fail,
                         const char *text, const char *log, size_t log_len);

/* head_nodes.c */
void head_hello(struct rtci_head_core *core, uint32_t number, const struct rtci_node_hello *rec);
void head_ready(struct rtci_head_core *core, uint32_t number);
void head_node_end(struct rtci_head_core *core, uint32_t number, const char *cause, bool left);
void head_cordon(struct rtci_head_core *core, uint32_t number, uint32_t op);
void head_cordon_replay(struct rtci_head_core *core, uint32_t number, uint32_t op);
void head_drained(struct rtci_head_core *core);

/* head_ghosts.c */
bool head_ghost_is(const struct entry *entry, uint32_t node, uint32_t attempt);
void head_ghost_note(struct rtci_head_core *core, uint32_t index, uint32_t node, uint32_t slot,
                     uint32_t attempt);
void head_ghost_make(struct rtci_head_core *core, uint32_t index);
bool head_ghost_return(struct rtci_head_core *core, uint32_t index);
void head_ghost_clear(struct rtci_head_core *core, uint32_t index);
void head_ghost_dead(struct rtci_head_core *core, uint32_t index);
void head_ghost_stop(struct rtci_head_core *core, uint32_t index);
void head_ghosts_return(struct rtci_head_core *core, uint32_t number);
void head_ghosts_settle(struct rtci_head_core *core, uint32_t number);
void head_ghosts_lost(struct rtci_head_core *core, uint32_t number, const struct rtci_slot_lost *lost);
void head_ghosts_end(struct rtci_head_core *core, uint32_t number);

/* head_kv.c */
void head_kv(struct rtci_head_core *core, struct client *client, const struct rtci_kv *rec);
/* The head's own keys; a value of NULL deletes. */
void head_kv_own(struct rtci_head_core *core, const char *ns, const char *key, const void *value,
                 uint32_t size);
void head_kv_set(struct rtci_head_core *core, const char *key, uint32_t key_len, uint32_t ns_len,
                 const void *value, uint32_t size, bool present);
/* Executors do not know the namespace: empty means the one of their job. */
const char *head_namespace(struct rtci_head_core *core, const struct client *client,
                           const char *given, uint32_t *len);

/* head_named.c */
void head_publish(struct rtci_head_core *core, struct client *client, const struct rtci_named *rec);
void head_subscribe(struct rtci_head_core *core, struct client *client, const struct rtci_named *rec);
void head_named_set(struct rtci_head_core *core, const char *name, uint32_t len, uint32_t job,
                    uint64_t version, struct rtci_id id);
void head_named_job_end(struct rtci_head_core *core, uint32_t job);

/* head_kv.c: answers */
void head_reply(struct rtci_head_core *core, struct client *client, uint64_t request, int status,
                uint32_t n, uint64_t cursor, struct rtci_id id, const void *data, uint32_t size);

/* head_programs.c */
void head_program_want(struct rtci_head_core *core, uint32_t node, const struct rtci_job_end *want);
void head_program(struct rtci_head_core *core, uint32_t node, const struct rtci_program *program);
void head_program_forget(struct job *job);
void head_program_ended(struct rtci_head_core *core, uint32_t job); /* nobody needs it any more */
void head_programs_recovered(struct rtci_head_core *core);
/* The node came back, maybe with another daemon: what it told is asked anew. */
void head_programs_again(struct rtci_head_core *core, uint32_t node);
void head_programs_settle(struct rtci_head_core *core, uint32_t node); /* it is ready again */
void head_program_keep(struct rtci_head_core *core, uint32_t job); /* it will be asked for */
void head_log(struct rtci_head_core *core, const struct rtci_notice *line);

/* head_query.c */
void head_query(struct rtci_head_core *core, struct client *client, const struct rtci_query *query);

/* head_journal.c: what changed, written as it changes (nothing while replaying) */
void head_j_client(struct rtci_head_core *core, const struct client *client);
void head_j_client_gone(struct rtci_head_core *core, uint32_t number);
void head_j_job(struct rtci_head_core *core, const struct job *job);
void head_j_record(struct rtci_head_core *core, uint32_t client, const struct rtci_rec *rec);
void head_j_attempt(struct rtci_head_core *core, const struct entry *entry);
bool head_last_attempt(const struct entry *entry);
void head_doubt(struct rtci_head_core *core, uint32_t index, uint32_t node);
void head_doubts_end(struct rtci_head_core *core, uint32_t node, const char *text);
void head_doubts_settle(struct rtci_head_core *core, uint32_t node);
void head_doubts_over(struct rtci_head_core *core);
void head_j_cancel(struct rtci_head_core *core, const struct entry *entry);
void head_j_named(struct rtci_head_core *core, const struct named *named);
void head_j_kv(struct rtci_head_core *core, const struct kv *kv, bool present);
void head_j_cordon(struct rtci_head_core *core, uint32_t number);
void head_j_node_hold(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids,
                      bool hold);

/* head.c: each call begins and finishes; output */
void head_begin(struct rtci_head_core *core, uint64_t now_ns, struct rtci_head_actions *actions);
void head_finish(struct rtci_head_core *core);
void *head_out(struct rtci_head_core *core, uint32_t node, uint16_t type, size_t size);
/* Room for a record of `size` bytes to one client; NULL when it is not attached. */
void *head_out_client(struct rtci_head_core *core, const struct client *client, uint16_t type,
                      size_t size);
void head_trace(struct rtci_head_core *core, const char *fmt, ...) RTCI_PRINTF(2, 3);
static inline struct node *head_node(struct rtci_head_core *core, uint32_t node)
{
    return node < core->n_nodes ? &core->nodes[node] : NULL;
}

#endif
