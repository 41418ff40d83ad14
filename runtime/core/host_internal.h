/* Inside of the node core. */
#ifndef RTCI_CORE_HOST_INTERNAL_H
#define RTCI_CORE_HOST_INTERNAL_H

#include <rtc/error.h>

#include "runtime/base/bounds.h"
#include "runtime/core/core.h"

enum local_state {
    LOCAL_FREE,
    LOCAL_ASKED,    /* CLIENT_NEW sent, CLIENT_ID not yet here */
    LOCAL_STARTING, /* executor: spawned, has not reached rtc_init() */
    LOCAL_ALIVE,
    LOCAL_ENDING,   /* told to go; its end is awaited */
};

/* A process of this host: driver, tool or executor. */
struct local {
    uint8_t state, role;
    bool killed, blocked, recalling, command, survivor;
    uint32_t client, job, pid;
    uint32_t driver;        /* executor: token of the driver whose program it runs */
    uint32_t slot;          /* executor: the slot it serves, 0 = idle */
    uint32_t profile_cpus;
    uint64_t profile_gpus;
    uint32_t queued;        /* TASK records in its ring, as far as told */
    uint64_t since_ns;      /* idle since, or starting since */
    uint64_t kill_ns;       /* next escalation, 0 = none */
    int32_t kill_signal;
    struct rtci_id cancel;  /* task being cancelled in it */
    uint64_t read_bytes;    /* to be told as CREDIT */
    uint32_t out;           /* place in actions->out + 1 */
    uint32_t shape_client, shape;
    uint64_t job_hi, job_lo;
    char name[64], ns[64];
    struct rtci_held *held; /* of a survivor */
    uint32_t n_held;
};

struct nslot {
    bool used, blocked;
    uint32_t exec;     /* token, 0 = none yet */
    uint32_t job;
    uint64_t gpus;     /* indexes it was given */
    struct rtci_buf queue; /* TASK records that wait for the executor */
    bool freed;        /* SLOT_FREE came */
};

struct hold {
    struct rtci_id id;
    uint32_t token;
    uint32_t count;
};

struct extent { /* free space of the arena, by offset */
    uint64_t offset, size;
};

struct rtci_node_core {
    struct rtci_node_config config;
    uint64_t now_ns;
    struct local *locals; /* by token */
    uint32_t n_locals, cap_locals, n_execs;
    struct nslot *slots;
    uint32_t n_slots, cap_slots;
    struct hold *holds; /* explicit ones; few */
    uint32_t n_holds, cap_holds;
    struct rtci_arena_entry *entries;
    uint32_t n_entries, cap_entries;
    struct extent *extents;
    uint32_t n_extents, cap_extents;
    uint64_t gpus_busy;
    bool said_hello;
    struct rtci_node_actions *actions;
};

bool node_grow(void *array, uint32_t *cap, uint32_t n, size_t size);
#define NODE_GROW(array, cap, n) node_grow(&(array), &(cap), (n), sizeof(*(array)))

/* node.c */
struct local *node_local(struct rtci_node_core *core, uint32_t token);
struct local *node_by_client(struct rtci_node_core *core, uint32_t client, uint32_t *ret_token);
void *node_to_head(struct rtci_node_core *core, uint16_t type, size_t size);
void *node_to_client(struct rtci_node_core *core, uint32_t token, uint16_t type, size_t size);
void node_put_client(struct rtci_node_core *core, uint32_t token, const void *rec, size_t size);
struct rtci_node_action *node_act(struct rtci_node_core *core, enum rtci_node_action_type type,
                                  uint32_t token);

/* node_slots.c */
void node_on_task(struct rtci_node_core *core, const struct rtci_spec *task);
void node_on_slot_free(struct rtci_node_core *core, uint32_t number);
void node_on_recall(struct rtci_node_core *core, const struct rtci_slot_msg *msg);
void node_on_cancel(struct rtci_node_core *core, const struct rtci_cancel *cancel);
void node_on_job_end(struct rtci_node_core *core, uint32_t job);
void node_on_client_id(struct rtci_node_core *core, const struct rtci_client_id *id);
void node_exec_ready(struct rtci_node_core *core, uint32_t token);
void node_exec_gone(struct rtci_node_core *core, const struct rtci_gone *gone);
void node_on_blocked(struct rtci_node_core *core, uint32_t token, bool blocked);
void node_prestart(struct rtci_node_core *core, uint32_t driver);
void node_exec_tick(struct rtci_node_core *core);
void node_end(struct rtci_node_core *core, uint32_t token, bool now);
struct nslot *node_slot(struct rtci_node_core *core, uint32_t number);
uint32_t node_exec_new(struct rtci_node_core *core, uint32_t driver, uint32_t job, bool command,
                       uint32_t cpus, uint64_t gpus);

/* node_refs.c */
void node_on_hold(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids, bool hold);
void node_holds_gone(struct rtci_node_core *core, uint32_t token);
void node_hold_add(struct rtci_node_core *core, uint32_t token, struct rtci_id id);
bool node_keeps(const struct rtci_node_core *core);

/* node_arena.c */
void node_arena_init(struct rtci_node_core *core);
void node_on_alloc(struct rtci_node_core *core, uint32_t token, const struct rtci_alloc *alloc);
void node_on_abort(struct rtci_node_core *core, uint32_t client, struct rtci_id id);
/* True when the object is where the record says and may be told to the head. */
bool node_on_seal(struct rtci_node_core *core, uint32_t client, const struct rtci_put *put);
void node_on_object_free(struct rtci_node_core *core, const struct rtci_ids *ids);
void node_arena_client_gone(struct rtci_node_core *core, uint32_t client);
void node_arena_hello(struct rtci_node_core *core);
bool node_arena_result(struct rtci_node_core *core, const struct rtci_done *done);

#endif
