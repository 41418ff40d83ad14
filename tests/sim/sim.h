/* The simulator: one head core and N node cores in one thread, one clock, one seed.
 *
 * What outlives a daemon (rings, processes, the arena's table) lives in struct vproc and struct vnode
 * beside the cores; what a crash loses lives in the cores and on the links. A virtual process writes
 * the records a real one would; what its tasks do stands in their arguments (struct script), so any
 * executor knows. Everything is drawn from the seed, and a failing seed replays exactly.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <rtc/error.h>
#include <stdio.h>

#include "runtime/base/bounds.h"
#include "runtime/base/map.h"
#include "runtime/core/calls.h"
#include "runtime/core/core.h"
#include "runtime/core/session.h"
#include "tests/lib/rng.h"

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_S  1000000000ull

enum sim_event_type {
    EV_NODE_TURN,
    EV_HEAD_TURN,
    EV_HEAD_START,
    EV_JOIN,
    EV_HEAL,
    EV_LEAVE,
    EV_CORDON,
    EV_FRAME,
    EV_BEAT, /* this and the next are no work: they go on for ever */
    EV_POLL,
    EV_PROC,
    EV_ATTACH,
    EV_EXIT,
    EV_CHAOS,
    EV_REJOIN,
    EV_PULL,
    EV_CALLS,
};
struct event {
    uint64_t at_ns, order;
    uint32_t type, a, b;
    struct message *message;
};
/* What an input ring may forget once the head has committed it. */
struct mark {
    uint32_t proc;
    uint64_t position;
};
struct message {
    uint32_t node, link; /* dropped when the session is another one by now */
    uint64_t seq;
    struct rtci_buf span;
    struct mark *marks;
    uint32_t n_marks;
    uint64_t calls; /* … and other nodes have what was said to them up to this */
};

/* ---- Tasks ---- */
enum script_kind { DO_PLAIN, DO_FAIL, DO_CRASH, DO_NEST, DO_HOLD, DO_LARGE, DO_SPAWN, DO_KINDS };
struct script { /* the argument of a task */
    uint32_t kind, children;
    uint64_t run_ns;
    uint32_t crashes;  /* attempts that crash */
    uint32_t stubborn; /* ignores the cancel flag */
    uint64_t seed;
};
/* What the simulator knows of a task or put, and has seen of it. */
struct known {
    struct rtci_id id;
    struct script script;
    uint32_t parent, cpu; /* index + 1 of the task that submitted it */
    int32_t retries, status;
    uint32_t n_deps, deps[4]; /* indexes + 1 */
    bool actor;          /* retries: of its process; cancelled: told to end for good; status: cause */
    uint32_t name;       /* … one of a few; 0 = none */
    bool put, result, released, cancelled, deadline, creator_dead, large;
    uint32_t begun, results, attempt;
    uint32_t node, life; /* where it began last */
    uint64_t epoch;      /* … under which head */
};

/* ---- Processes ---- */
struct vtask {
    struct rtci_spec *spec; /* copy of the TASK record */
    bool recalled;
};
struct run {
    bool active, blocked, was_blocked, cancel;
    uint32_t task; /* known index + 1 */
    struct rtci_id id;
    uint32_t attempt, slot, phase, cpu, depth;
    struct script script;
    uint64_t until_ns;
    uint64_t first_child;
    uint32_t n_children;
    struct rtci_id refs[4];
    uint32_t n_refs;
};
struct vhold {
    struct rtci_id id;
    uint64_t drop_ns;
    bool wanted;
};
struct vact { /* the actor that an executor is; client 0 = none */
    struct rtci_id id;
    uint32_t incarnation, slot;
    uint64_t until_ns;
    bool said, failed, stop;
};
/* An actor that a driver calls, and where it lives. */
struct callee {
    struct rtci_id id;
    uint32_t node, client, incarnation, asked;
    uint64_t order;
    bool known;
};
enum call_outcome { CALL_OPEN, CALL_DONE, CALL_NOT_RUN, CALL_HAS_RUN, CALL_UNKNOWN, CALL_OUTCOMES };
struct vcall {
    uint32_t proc, callee, node, client, incarnation, ran;
    uint64_t seq, order;
    enum call_outcome outcome, lost; /* lost: what becomes of it when its actor is known to be gone */
};
struct vproc {
    uint32_t index, node, token, role, number, job, driver_token, profile_cpus;
    bool program; /* of a driver on another host */
    uint64_t profile_gpus, job_lo;
    bool alive, attached, stop, exited, bye, forgotten;
    int32_t exit_code;
    /* Its channel stays until the head has committed what was read from it, and that it is gone. */
    bool closed;
    uint64_t closed_seq;
    int32_t exit_status, signal;
    uint64_t stepping_ns; /* when its next step comes; UINT64_MAX = none planned */
    /* ring to the daemon */
    struct rtci_buf up;
    uint64_t base, fed, sent;
    /* as a client */
    uint64_t next_seq;
    bool declared;
    uint32_t *live; /* known indexes of what it submitted or put and has not released */
    uint32_t n_live, cap_live;
    struct vhold *holds;
    uint32_t n_holds, cap_holds;
    /* a large object on its way */
    struct rtci_id alloc_id;
    uint64_t alloc_size, grant_offset;
    uint32_t alloc_state; /* 0 none, 1 asked, 2 granted, 3 refused */
    /* executor */
    struct vtask *tasks;
    uint32_t n_tasks, cap_tasks;
    struct run run;
    struct vact act;
    struct rtci_gone_caller *callers; /* of the actor, and what was begun of theirs */
    uint32_t n_callers, cap_callers;
    /* driver */
    struct callee *callees;
    uint32_t n_callees, cap_callees, calls_left, calls_open;
    uint32_t to_submit, open, actors_left, actors_open;
    uint64_t group;       /* its placement group; 0 = none */
    uint32_t group_shape; /* … and of the shapes the last, which is in it */
    uint64_t started_ns;
};

struct vnode {
    struct sim *sim;
    struct rtci_calls *calls; /* with other nodes; the daemon's, as the core */
    uint64_t lived, call_ns; /* lived: the life that the head gave it */
    bool gone; /* the head has given up this life */
    struct rtci_node_core *core;
    struct rtci_node_config config;
    struct rtci_node_actions actions;
    uint32_t life;   /* how often the host ended */
    bool up;         /* the host; its daemon is there when it has a core */
    uint32_t number; /* the head's for it */
    uint32_t link;   /* its session */
    struct rtci_session *ends[2]; /* the node's, and the head's of it */
    bool suspect;                 /* the head was told so */
    uint32_t cut;                 /* ways on which nothing is delivered: bit 0 to the head */
    uint64_t last_ns[2], poll_ns[2];
    struct message **sent; /* to the head, and not known to be committed */
    uint32_t n_sent, cap_sent;
    uint64_t turn_ns, unblocked_ns; /* when a task last took its CPUs back */
    struct rtci_arena_entry table[256];
    struct message **inbox;
    uint32_t n_inbox, cap_inbox;
    struct vproc **procs; /* those whose token is in use */
    uint32_t n_procs, cap_procs;
    uint32_t daemons; /* that ended: what was asked for by one before is nothing to the next */
    uint32_t slow; /* its links take this many times as long */
};

struct swarm { /* drawn anew for each seed: what happens, and how much of it, in 1/1000 */
    uint32_t nodes, drivers, tasks, window;
    uint32_t p_kind[DO_KINDS], p_dep, p_put, p_large_put, p_cancel, p_release, p_priority,
        p_deadline, p_contain, p_stubborn, p_retry_on_error, p_detached;
    uint32_t kill_exec, kill_node, kill_head, kill_daemon, no_register, spawn_fails, kill_driver;
    uint32_t kill_one_daemon, cut, loss, repeat, drain;
    uint64_t delay_ns, run_ns, chaos_ns;
    uint32_t cpus, actors, calls;
};

struct sim {
    uint64_t seed, now_ns, order, steps, end_chaos_ns;
    struct rng rng;
    struct swarm swarm;
    struct event *heap;
    uint32_t n_heap, cap_heap, n_work; /* n_work: events but beats */
    struct rtci_head_core *head;
    struct rtci_head_actions head_actions;
    uint64_t head_epoch, head_turn_ns;
    struct rtci_buf journal;
    struct message **inbox;
    uint32_t n_inbox, cap_inbox;
    struct vnode *nodes;
    struct vproc **procs;
    uint32_t n_procs, cap_procs;
    struct known *known;
    uint32_t n_known, cap_known;
    struct rtci_map known_by_id;
    uint32_t drivers_left;
    bool verbose, broken;
    struct rng call_rng;
    uint64_t instances, lives;
    struct vcall *calls;
    uint32_t n_calls, cap_calls;
    struct rtci_map call_by_id;
    uint64_t n_outcomes[CALL_OUTCOMES], n_refused;
    /* what happened, for coverage */
    uint64_t n_results, n_runs, n_kills, n_head_kills, n_node_kills, n_recalled, n_cancels,
        n_blocked, n_grants, n_pulled, n_not_pulled, n_holds, n_daemon_kills, n_suspects, n_cuts,
        n_lost, n_leaves, n_downs, n_actor_starts, n_groups, n_failed[64];
};

#define SIM_FAIL(sim, ...) sim_fail(sim, __FILE__, __LINE__, __VA_ARGS__)
#define SIM_CHECK(sim, expr, ...)         \
    do {                                  \
        if (__builtin_expect(!(expr), 0)) \
            SIM_FAIL(sim, __VA_ARGS__);   \
    } while (0)
__attribute__((noreturn)) void sim_fail(struct sim *sim, const char *file, int line,
                                        const char *fmt, ...) RTCI_PRINTF(4, 5);
void sim_say(struct sim *sim, const char *fmt, ...) RTCI_PRINTF(2, 3);
void *sim_grow(void *array, uint32_t *cap, uint32_t n, size_t size);
bool sim_chance(struct sim *sim, uint32_t permille);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
void sim_at(struct sim *sim, uint64_t at_ns, uint32_t type, uint32_t a, uint32_t b,
            struct message *message);

#define SIM_SUSPECT_NS (25 * SIM_MS)
#define SIM_LEASE_NS   (10 * SIM_S)

/* link.c: sessions over bad links. Way 0 is to the head. */
struct message *sim_message_new(uint32_t node, uint32_t link, const void *span, size_t len);
void sim_message_free(struct message *message);
void sim_link_new(struct sim *sim, uint32_t node);
void sim_link_end(struct sim *sim, uint32_t node, bool heads);
void sim_link_send(struct sim *sim, uint32_t node, bool to_node, struct message *message);
void sim_link_commit(struct sim *sim, uint32_t node, bool at_node, uint64_t seq);
void sim_link_frame(struct sim *sim, uint32_t node, uint32_t to, struct message *message);
void sim_link_poll(struct sim *sim, uint32_t node, uint32_t to);
void sim_link_break(struct sim *sim, uint32_t node);
void sim_link_heal(struct sim *sim, uint32_t node, bool broke);
bool sim_link_quiet(const struct sim *sim);
void sim_link_forget(struct vnode *node); /* of the rings, what has arrived */

/* head.c */
void sim_head_first(struct sim *sim);
void sim_head_start(struct sim *sim);
void sim_head_kill(struct sim *sim, bool daemons);
void sim_head_fold(struct sim *sim);
void sim_head_turn(struct sim *sim);
void sim_head_wake(struct sim *sim, uint64_t at_ns);

/* node.c */
void sim_check_span(struct sim *sim, const struct rtci_buf *span, const char *what);
void sim_print_trace(struct sim *sim, const char *who, uint32_t number, struct rtci_buf *trace);
void sim_node_wake(struct sim *sim, uint32_t node, uint64_t at_ns);
void sim_node_turn(struct sim *sim, uint32_t node);
void sim_node_pulled(struct sim *sim, uint32_t index, struct message *message);
void sim_node_end(struct sim *sim, uint32_t node); /* of a turn */
void sim_feed(struct sim *sim, struct vnode *node, struct vproc *proc);
void sim_report_exit(struct sim *sim, struct vnode *node, struct vproc *proc);
void sim_closed(struct vnode *node, uint64_t committed);
void sim_consume(struct vproc *proc, uint64_t position);
void sim_process_exit(struct sim *sim, struct vproc *proc, int32_t code);

/* host.c */
void sim_node_start(struct sim *sim, uint32_t node);
void sim_node_leave(struct sim *sim, uint32_t node);
void sim_node_join(struct sim *sim, uint32_t node);
void sim_node_kill(struct sim *sim, uint32_t node);
void sim_node_lost(struct sim *sim, uint32_t node, const char *cause);
void sim_node_stop(struct vnode *node);
void sim_daemon_kill(struct sim *sim, uint32_t node);

/* net.c: what happens */
void sim_start(struct sim *sim);
void sim_stop(struct sim *sim);
void sim_event(struct sim *sim, const struct event *event);
void sim_finished(struct sim *sim);

/* proc.c: virtual processes */
struct vproc *sim_proc_new(struct sim *sim, uint32_t node, uint32_t token, uint32_t role);
void sim_proc_free(struct vproc *proc);
void sim_proc_wake(struct sim *sim, struct vproc *proc, uint64_t delay_ns);
void sim_proc_step(struct sim *sim, struct vproc *proc);
void sim_proc_record(struct sim *sim, struct vproc *proc, const struct rtci_rec *rec);
void sim_proc_kill(struct sim *sim, struct vproc *proc, int signal);
void sim_proc_epoch(struct sim *sim, struct vproc *proc); /* its daemon was started again */
uint32_t sim_proc_recall(struct sim *sim, struct vproc *proc, uint32_t most,
                         struct rtci_held *ret_held, uint32_t cap);
uint32_t sim_proc_held(const struct vproc *proc, struct rtci_held *ret_held, uint32_t cap,
                       uint32_t *ret_slot);
/* exec.c */
void sim_exec_step(struct sim *sim, struct vproc *proc);
void sim_exec_clear(struct vproc *proc);
/* client.c */
void *sim_write(struct sim *sim, struct vproc *proc, uint16_t type, size_t size);
void sim_write_ids(struct sim *sim, struct vproc *proc, uint16_t type, const struct rtci_id *ids,
                   uint32_t n, uint32_t arg);
void sim_declare(struct sim *sim, struct vproc *proc);
struct known *sim_known(struct sim *sim, struct rtci_id id); /* NULL when there is none */
uint32_t sim_known_new(struct sim *sim, struct rtci_id id);
void sim_live(struct vproc *proc, uint32_t index);
uint32_t sim_submit(struct sim *sim, struct vproc *proc, const struct script *script,
                    const struct known *parent, uint32_t depth, const uint32_t *deps,
                    uint32_t n_deps);
uint32_t sim_put(struct sim *sim, struct vproc *proc, const uint32_t *contained, uint32_t n);
void sim_release(struct sim *sim, struct vproc *proc, uint32_t index);
void sim_on_result(struct sim *sim, struct vproc *proc, const struct rtci_done *done);
void sim_alloc(struct sim *sim, struct vproc *proc, struct rtci_id id, uint64_t size);
void sim_seal(struct sim *sim, struct vproc *proc);
void sim_draw_script(struct sim *sim, struct script *script, uint32_t depth);
uint64_t sim_value(struct rtci_id id);
/* actor.c */
void sim_actor_driver(struct sim *sim, struct vproc *proc, bool last);
void sim_actor_down(struct sim *sim, struct vproc *proc, const struct rtci_actor_down *down);
void sim_actor_start(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec);
void sim_actor_group(struct sim *sim, struct vproc *proc, const struct rtci_group_is *is);
bool sim_actor_step(struct sim *sim, struct vproc *proc);
/* call.c */
void sim_calls_open(struct sim *sim, struct vnode *node);
void sim_calls_close(struct vnode *node);
void sim_calls_frame(struct sim *sim, uint32_t node, uint32_t from, struct message *message);
void sim_calls_joined(struct sim *sim, uint32_t node);
void sim_calls_lost(struct sim *sim, uint32_t node);
void sim_calls_turn(struct sim *sim, uint32_t node);
void sim_calls_flush(struct sim *sim, uint32_t node);
void sim_calls_finished(struct sim *sim);
void sim_call_callee(struct sim *sim, struct vproc *proc, struct rtci_id id);
void sim_call_step(struct sim *sim, struct vproc *proc);
void sim_call_is(struct sim *sim, struct vproc *proc, const struct rtci_actor_is *is);
void sim_call_epoch(struct sim *sim, struct vproc *proc);
void sim_call_arrives(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec);
void sim_call_record(struct sim *sim, struct vproc *proc, const struct rtci_rec *rec);
/* driver.c */
void sim_driver_step(struct sim *sim, struct vproc *proc);

/* big.c: the head alone, at a size that no test machine has */
int sim_big(uint32_t nodes, uint64_t tasks, uint64_t seed, bool json);

#endif
