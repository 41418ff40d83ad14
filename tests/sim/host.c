/* Hosts and their daemons: what outlives a daemon is there for the next, what a host had is gone
 * with it. The head does not hear of either: it misses the node, until it is back or its lease
 * ends. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

/* Channels that were closed are there again: what was said of them may be lost. */
static void reopen(struct vnode *node)
{
    for (uint32_t i = node->n_procs; i-- > 0;) {
        struct vproc *proc = node->procs[i];
        if (!proc->closed)
            continue;
        if (!proc->number) {
            node->procs[i] = node->procs[--node->n_procs];
            continue;
        }
        uint32_t token = proc->role == RTCI_ROLE_EXECUTOR ? RTCI_TOKEN_EXEC : 1;
        for (uint32_t k = 0; k < node->n_procs; k++) { /* its own may be another's by now */
            if (k != i && node->procs[k]->token == token) {
                token++;
                k = UINT32_MAX;
            }
        }
        proc->token = token;
        proc->closed = proc->forgotten = false;
    }
}

static void survivors(struct sim *sim, struct vnode *node)
{
    reopen(node);
    for (uint32_t i = 0; i < 256; i++)
        rtci_node_core_arena_adopt(node->core, i, &node->table[i]);
    for (uint32_t i = 0; i < node->n_procs; i++) {
        struct vproc *proc = node->procs[i];
        struct rtci_attach attach = {
            .token = proc->token, .role = proc->role, .pid = proc->index, .job_lo = proc->job_lo};
        snprintf(attach.name, sizeof(attach.name), "sim");
        struct rtci_held held[1024];
        struct rtci_survivor survivor = {.client = proc->number,
                                         .job = proc->job,
                                         .profile_cpus = proc->profile_cpus,
                                         .profile_gpus = proc->profile_gpus,
                                         .driver_token = proc->driver_token,
                                         .program = proc->program,
                                         .attached = proc->attached,
                                         .held = held};
        survivor.actor = proc->act.id.client != 0;
        survivor.n_held = sim_proc_held(proc, held, 1024, &survivor.slot);
        rtci_node_core_attach(node->core, sim->now_ns, &attach, proc->number ? &survivor : NULL,
                              &node->actions);
    }
}

static void core_create(struct sim *sim, struct vnode *node)
{
    node->config.now_ns = sim->now_ns;
    node->config.incarnation = node->link;
    int rc = rtci_node_core_create(&node->config, &node->core);
    SIM_CHECK(sim, rc == 0, "no node");
    rtci_node_core_set_number(node->core, node->number);
    sim_calls_open(sim, node);
    node->actions.trace_on = sim->verbose;
    node->config.store_used = true; /* by the next one */
}

/* What the head had not committed is read again from the rings by a new daemon, and given again by
 * one that lives: then the head is a new one. It all comes before NODE_READY, so that what had
 * ended is not begun again. */
static void tell_all(struct sim *sim, uint32_t index, bool fresh)
{
    struct vnode *node = &sim->nodes[index];
    rtci_node_core_hello(node->core, sim->now_ns, &node->actions);
    for (uint32_t i = 0; i < node->n_sent; i++) {
        struct message *message = node->sent[i];
        if (!fresh)
            rtci_node_core_renew(node->core, sim->now_ns, message->span.data, message->span.len,
                                 &node->actions);
        sim_message_free(message);
    }
    node->n_sent = 0;
    for (uint32_t i = 0; i < node->n_procs; i++) {
        struct vproc *proc = node->procs[i];
        proc->sent = proc->base;
        proc->fed = fresh ? proc->base : proc->fed;
        proc->closed_seq = 0;
        sim_feed(sim, node, proc);
    }
    for (uint32_t i = 0; i < node->n_procs && fresh; i++) {
        if (node->procs[i]->exited)
            sim_report_exit(sim, node, node->procs[i]);
    }
    rtci_node_core_ready(node->core, &node->actions);
}

/* The daemon asks to join, until it can. */
void sim_node_join(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->up)
        return;
    if (!sim->head || node->cut) {
        sim_at(sim, sim->now_ns + 2 * SIM_MS, EV_JOIN, index, 0, NULL);
        return;
    }
    bool fresh = !node->core;
    sim_link_new(sim, index);
    node->unblocked_ns = sim->now_ns;
    for (uint32_t i = 0; i < node->n_inbox; i++)
        sim_message_free(node->inbox[i]);
    node->n_inbox = 0;
    node->turn_ns = UINT64_MAX;
    if (fresh) {
        core_create(sim, node);
        survivors(sim, node);
    }
    sim_say(sim, "node %u joins, session %u", index, node->link);
    rtci_head_core_node_up(sim->head, sim->now_ns, node->number, node->link, &sim->head_actions);
    tell_all(sim, index, fresh);
    sim_calls_joined(sim, index);
    sim_node_end(sim, index);
    sim_head_wake(sim, sim->now_ns);
    for (uint32_t i = 0; i < node->n_procs; i++)
        sim_proc_epoch(sim, node->procs[i]);
}

/* Its daemon is gone, and comes back; what it served goes on. */
void sim_daemon_kill(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->core)
        return;
    sim_say(sim, "the daemon of node %u dies", index);
    sim->n_daemon_kills++;
    sim_node_stop(node);
    sim_link_end(sim, index, false);
    if (node->ends[1])
        rtci_session_link_down(node->ends[1], sim->now_ns);
    sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, 60 * SIM_MS), EV_JOIN, index, 0, NULL);
}

void sim_node_stop(struct vnode *node)
{
    node->daemons++;
    sim_calls_close(node);
    rtci_node_core_destroy(node->core);
    node->core = NULL;
    rtci_node_actions_fini(&node->actions);
    for (uint32_t i = 0; i < node->n_inbox; i++)
        sim_message_free(node->inbox[i]);
    node->n_inbox = 0;
}

/* The host is gone, with all that ran and lay there. */
static void host_ends(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->up = false;
    node->life++;
    if (node->core)
        sim_node_stop(node);
    sim_link_end(sim, index, false);
    for (uint32_t i = 0; i < node->n_sent; i++)
        sim_message_free(node->sent[i]);
    node->n_sent = 0;
    memset(node->table, 0, sizeof(node->table));
    for (uint32_t i = 0; i < node->n_procs; i++) {
        struct vproc *proc = node->procs[i];
        sim->drivers_left -= proc->alive && proc->role == RTCI_ROLE_DRIVER;
        proc->alive = false;
        proc->forgotten = true;
        for (uint32_t k = 0; k < sim->n_known; k++)
            sim->known[k].creator_dead |= sim->known[k].id.client == proc->number;
    }
    node->n_procs = 0;
}

/* The head does not hear of it: it misses the node, until that comes back or its lease ends. */
void sim_node_kill(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->up)
        return;
    sim_say(sim, "node %u dies", index);
    sim->n_node_kills++;
    host_ends(sim, index);
    if (node->ends[1])
        rtci_session_link_down(node->ends[1], sim->now_ns);
    uint64_t away = sim_chance(sim, 250) ? SIM_LEASE_NS + SIM_S : 80 * SIM_MS;
    sim_at(sim, sim->now_ns + sim_between(sim, SIM_MS, away), EV_REJOIN, index, 0, NULL);
}

/* It was drained, and nothing is left in it: sometimes it ends, telling so. */
void sim_node_leave(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    SIM_CHECK(sim, index, "the head's own node is told to leave");
    sim->n_leaves++;
    if (sim_chance(sim, 500))
        return; /* the operator lets it in again */
    struct rtci_rec leave = {sizeof(leave), RTCI_R_LEAVE, 0};
    rtci_buf_put(&node->actions.to_head, &leave, sizeof(leave));
    sim_at(sim, sim->now_ns + SIM_US, EV_LEAVE, index, 0, NULL);
}

/* The head gives the node up; one that lives ends what it has, as it hears nothing either. */
void sim_node_lost(struct sim *sim, uint32_t index, const char *cause)
{
    struct vnode *node = &sim->nodes[index];
    sim_say(sim, "node %u is lost: %s", index, cause);
    sim_link_end(sim, index, true);
    sim_calls_lost(sim, index);
    node->suspect = false;
    if (sim->head)
        rtci_head_core_node_down(sim->head, sim->now_ns, node->number, node->link, cause,
                                 &sim->head_actions);
    sim_head_wake(sim, sim->now_ns);
    if (node->up) {
        host_ends(sim, index);
        sim_at(sim, sim->now_ns + SIM_MS, EV_REJOIN, index, 0, NULL);
    }
}

/* The host was started again: whatever the head had of it is lost. */
void sim_node_start(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (node->up)
        return;
    if (!sim->head) {
        sim_at(sim, sim->now_ns + 2 * SIM_MS, EV_REJOIN, index, 0, NULL);
        return;
    }
    node->number = index + 1;
    sim_node_lost(sim, index, "its host was started again");
    node->up = true;
    node->lived = ++sim->lives;
    node->gone = false;
    node->config.store_used = false;
    sim_node_join(sim, index);
}
