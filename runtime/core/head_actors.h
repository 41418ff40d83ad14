/* Actors and placement groups of the head core: their tables. head_internal.h has the rest. */
#ifndef RTCI_CORE_HEAD_ACTORS_H
#define RTCI_CORE_HEAD_ACTORS_H

#include "runtime/core/core.h"

struct client;
struct jactor;
struct cls;
struct rtci_head_core;
struct slot;
struct sub;

/* ---- Actors ---- */
enum actor_ends {
    AE_STOP = 1u,       /* told to end after its mailbox; `cause` says by whom */
    AE_KILL = 2u,       /* told to end at once */
    AE_NO_RESTART = 4u, /* … for good */
    AE_MOVE = 8u,       /* told to stop because its node is drained: it goes on elsewhere */
};
struct actor {
    uint32_t entry;   /* its id, spec, incarnation (attempt), slot; 0 = free */
    uint8_t state;    /* enum rtci_actor_state */
    uint8_t ends;     /* enum actor_ends */
    bool named;       /* the name is its own */
    bool idle;        /* it stands in core->actors_idle */
    bool due;         /* it stands in core->actors_due, for due_ns: its restart, or its kill */
    uint32_t job;     /* its own when it is detached */
    uint32_t node, client, pid; /* where it is, or was last */
    uint32_t restarts, failures; /* in all; since it last lived for a while */
    uint32_t pending;
    uint64_t created_ns, since_ns, due_ns;
    struct rtci_cause cause; /* DEAD: why; before: why it ended last, or will */
    struct sub *waits;       /* who asked where it is; newer_than: by its name */
    uint32_t n_waits, cap_waits;
    uint32_t monitors; /* first */
    uint32_t next_free;
};
struct actor_name {
    char *name; /* ns, NUL, name; NULL = free */
    uint32_t len, entry;
    uint32_t next; /* of the same hash; of the free ones */
};
struct monitor {
    uint32_t client;
    bool used, fired; /* fired: the DOWN was sent, and is not answered yet */
    uint64_t number;
    struct rtci_id id;
    uint32_t incarnation;
    uint32_t next, prev; /* of the actor, while it lives */
    uint32_t client_next, client_prev;
    struct rtci_cause cause;
};
struct link {
    struct rtci_id a, b;
};

/* ---- Placement groups ---- */
struct bundle {
    struct rtci_bundle need;
    uint32_t custom; /* first of its own in group->custom */
    uint32_t node;   /* where it is reserved; 0 = nowhere */
    bool tried;      /* by the placement under way */
    int64_t cpu_free, gpu_free, mem_free, gpu_mem_free; /* of it, for slots */
    int64_t cpu_lent;
};
struct group {
    struct rtci_id id;
    bool used, queued, noticed; /* queued: it stands in core->group_queue */
    uint32_t state, strategy;
    uint32_t job, n, n_customs, n_slots;
    struct bundle *bundles;
    struct rtci_custom *custom;
    int64_t *custom_free;
    struct sub *waits;
    uint32_t n_waits, cap_waits, next_free;
    uint64_t created_ns;
};

/* ---- Calls ---- */

/* head_actors.c: creation, places, ends. `index` is that of the entry. */
struct actor *head_actor(struct rtci_head_core *core, uint32_t index);
uint32_t head_actor_find(struct rtci_head_core *core, struct rtci_id id); /* its entry; 0 */
void head_actor_create(struct rtci_head_core *core, struct client *client,
                       const struct rtci_spec *spec);
void head_actor_ready(struct rtci_head_core *core, uint32_t index, bool front);
void head_actor_sent(struct rtci_head_core *core, uint32_t index, uint32_t slot);
void head_actor_up(struct rtci_head_core *core, const struct client *client,
                   const struct rtci_actor_up *up);
void head_actor_failed(struct rtci_head_core *core, const struct client *client,
                       const struct rtci_actor_failed *failed);
/* Is this executor the process in which the actor starts or lives? */
bool head_actor_is(struct rtci_head_core *core, const struct client *client, struct rtci_id id);
/* Its process, or its node, is gone. It is restarted or dies. */
void head_actor_lost(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause);
void head_actor_returned(struct rtci_head_core *core, uint32_t index); /* it never began there */
void head_actor_dies(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause);
/* What a task of its kind would fail of. */
void head_actor_fails(struct rtci_head_core *core, uint32_t index, const struct rtci_fail *fail,
                      const char *text);
bool head_actor_unused(struct rtci_head_core *core, uint32_t index); /* may be freed */
void head_actor_free(struct rtci_head_core *core, uint32_t index);
void head_cause(struct rtci_cause *cause, uint32_t kind, int code, const char *text);
void head_actor_replay(struct rtci_head_core *core, uint32_t client, const struct jactor *at);

/* head_actor_ends.c: stopping, killing, coming back, timers */
void head_actor_end(struct rtci_head_core *core, const struct client *client,
                    const struct rtci_actor_end *end);
void head_actor_kill(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause,
                     uint32_t ends);
void head_actor_stop(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause,
                     uint32_t ends);
void head_actor_due(struct rtci_head_core *core, uint32_t index, uint64_t at_ns);
void head_actor_drain(struct rtci_head_core *core, uint32_t slot);
void head_actor_held(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_held *held);
void head_actors_settle(struct rtci_head_core *core, uint32_t node);
void head_actors_recovered(struct rtci_head_core *core);
void head_actors_tick(struct rtci_head_core *core);

/* head_actor_names.c: names, and where actors are */
void head_actor_name_take(struct rtci_head_core *core, uint32_t index);
void head_actor_name_drop(struct rtci_head_core *core, uint32_t index);
/* Who has the name of this one: its entry; 0. */
uint32_t head_actor_name_holder(struct rtci_head_core *core, uint32_t index);
void head_actor_where(struct rtci_head_core *core, struct client *client,
                      const struct rtci_actor_where *where);
void head_actor_tell(struct rtci_head_core *core, uint32_t index); /* those who wait */
void head_actor_names_fini(struct rtci_head_core *core);
void head_actor_row(struct rtci_head_core *core, uint32_t index, struct rtci_row_actor *row);

/* head_actor_watch.c: monitors and links */
void head_monitor(struct rtci_head_core *core, struct client *client,
                  const struct rtci_actor_monitor *rec);
void head_demonitor(struct rtci_head_core *core, struct client *client,
                    const struct rtci_actor_monitor *rec);
void head_monitor_set(struct rtci_head_core *core, const struct monitor *monitor);
void head_monitors_fire(struct rtci_head_core *core, uint32_t index);
void head_monitors_again(struct rtci_head_core *core, const struct client *client);
void head_monitors_forget(struct rtci_head_core *core, struct client *client);
void head_link(struct rtci_head_core *core, const struct rtci_actor_link *rec);
void head_links_end(struct rtci_head_core *core, uint32_t index);

/* head_kv.c */
void head_kv_forget_actor(struct rtci_head_core *core, struct rtci_id id); /* what it has saved */

/* head_groups.c: resources and places; head_group_life.c: the rest */
struct group *head_group(struct rtci_head_core *core, struct rtci_id id); /* NULL */
void head_groups_recount(struct rtci_head_core *core, uint32_t node);
uint32_t head_group_node(struct rtci_head_core *core, const struct cls *cls);
bool head_group_feasible(struct rtci_head_core *core, const struct cls *cls);
void head_group_slot(struct rtci_head_core *core, struct slot *slot, const struct cls *cls);
void head_group_unslot(struct rtci_head_core *core, const struct slot *slot, const struct cls *cls);
void head_group_lend(struct rtci_head_core *core, const struct slot *slot, int64_t cpu);
void head_group_let_go(struct rtci_head_core *core, struct group *group);
void head_group_reset(struct group *group, uint32_t at);
void head_group_answer(struct rtci_head_core *core, const struct group *group,
                       const struct sub *sub, int status, bool partly);
void head_group_tell_all(struct rtci_head_core *core, struct group *group, int status);
/* Why no bundle of the group can ever hold a slot of the class. */
int head_group_why_not(const struct group *group, const struct cls *cls, char *text, size_t size);
void head_group_why(struct rtci_head_core *core, const struct group *group, char *text, size_t size);
void head_group_queue(struct rtci_head_core *core, struct group *group);
void head_groups_place(struct rtci_head_core *core);
void head_group_create(struct rtci_head_core *core, struct client *client,
                       const struct rtci_group_create *rec);
void head_group_where(struct rtci_head_core *core, struct client *client,
                      const struct rtci_group_remove *rec);
/* Ends what waits for the group, as tasks of that class, if it is time. */
void head_group_ready_tasks(struct rtci_head_core *core, uint32_t cls);
void head_group_remove(struct rtci_head_core *core, struct client *client,
                       const struct rtci_group_remove *rec);
void head_groups_job_end(struct rtci_head_core *core, uint32_t job);
void head_groups_node_end(struct rtci_head_core *core, uint32_t node);
void head_groups_adrift(struct rtci_head_core *core);
void head_group_replay(struct rtci_head_core *core, struct rtci_id id, uint32_t state,
                       const uint32_t *nodes, uint32_t n);
void head_groups_fini(struct rtci_head_core *core);
void head_group_row(struct rtci_head_core *core, uint32_t number, struct rtci_row_group *row);

/* head_journal.c */
/* An actor as it is now: with `client` {its creator}, in this order after its ACTOR_CREATE. */
struct jactor {
    uint64_t seq, created_ns;
    uint32_t incarnation, restarts, failures, node, job;
    uint8_t state, ends, named, pad;
    uint32_t client, pid;
    struct rtci_cause cause;
};
void head_j_group(struct rtci_head_core *core, const struct group *group);
void head_j_actor(struct rtci_head_core *core, const struct actor *actor);
void head_j_monitor(struct rtci_head_core *core, const struct monitor *monitor);
void head_j_link(struct rtci_head_core *core, const struct link *link, bool on);

#endif
