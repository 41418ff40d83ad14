/* What happens to the head, the nodes and what is between them, and the end of it all. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static void chaos(struct sim *sim)
{
    const struct swarm *swarm = &sim->swarm;
    if (sim->now_ns < sim->end_chaos_ns)
        sim_at(sim, sim->now_ns + sim_between(sim, swarm->chaos_ns / 2, swarm->chaos_ns * 2),
               EV_CHAOS, 0, 0, NULL);
    if (sim_chance(sim, 100))
        sim_head_fold(sim);
    if (sim_chance(sim, swarm->kill_head))
        sim_head_kill(sim, false);
    if (sim_chance(sim, swarm->kill_daemon))
        sim_head_kill(sim, true);
    if (swarm->nodes > 1 && sim_chance(sim, swarm->kill_node))
        sim_node_kill(sim, 1 + (uint32_t)sim_between(sim, 0, swarm->nodes - 2));
    if (sim_chance(sim, swarm->kill_one_daemon))
        sim_daemon_kill(sim, (uint32_t)sim_between(sim, 0, swarm->nodes - 1));
    if (sim_chance(sim, swarm->drain)) {
        uint32_t which = (uint32_t)sim_between(sim, 0, swarm->nodes - 1);
        sim_at(sim, sim->now_ns, EV_CORDON, which, (uint32_t)sim_between(sim, 1, 2), NULL);
        for (uint32_t i = 1; i < 40; i++) /* until it is heard: whoever says it may die */
            sim_at(sim, sim->now_ns + i * 300 * SIM_MS, EV_CORDON, which, RTCI_CORDON_OFF, NULL);
    }
    if (swarm->nodes > 1 && sim_chance(sim, swarm->cut))
        sim_link_break(sim, 1 + (uint32_t)sim_between(sim, 0, swarm->nodes - 2));
    struct vnode *node = &sim->nodes[sim_between(sim, 0, swarm->nodes - 1)];
    if (!node->n_procs || !node->up)
        return;
    struct vproc *proc = node->procs[sim_between(sim, 0, node->n_procs - 1)];
    bool driver = proc->role == RTCI_ROLE_DRIVER;
    if (proc->alive && proc->number &&
        sim_chance(sim, driver ? swarm->kill_driver : swarm->kill_exec))
        sim_proc_kill(sim, proc, 9);
}

/* An operator, by way of some driver. */
static void cordon(struct sim *sim, uint32_t index, uint32_t op)
{
    for (uint32_t i = 0; i < sim->n_procs; i++) {
        struct vproc *proc = sim->procs[i];
        if (proc->role != RTCI_ROLE_DRIVER || !proc->alive || !proc->number)
            continue;
        struct rtci_slot_msg *msg = sim_write(sim, proc, RTCI_R_CORDON, sizeof(*msg));
        msg->slot = index + 1;
        msg->op = op;
        break;
    }
}

static void executor_attached(struct sim *sim, struct vproc *proc)
{
    struct vnode *node = &sim->nodes[proc->node];
    if (!proc->alive || proc->forgotten)
        return;
    proc->attached = true;
    sim_proc_wake(sim, proc, SIM_US);
    if (!node->core)
        return; /* its next daemon sees it */
    rtci_node_core_executor_ready(node->core, sim->now_ns, proc->token, proc->index,
                                  &node->actions);
    sim_node_end(sim, proc->node);
}

void sim_event(struct sim *sim, const struct event *event)
{
    struct vnode *node = &sim->nodes[event->a];
    switch (event->type) {
    case EV_NODE_TURN:
        if (node->core && event->b == node->link && node->turn_ns == event->at_ns)
            sim_node_turn(sim, event->a);
        break;
    case EV_HEAD_TURN:
        if (sim->head && event->a == (uint32_t)sim->head_epoch && sim->head_turn_ns == event->at_ns)
            sim_head_turn(sim);
        break;
    case EV_HEAD_START: sim_head_start(sim); break;
    case EV_FRAME:
    case EV_BEAT: sim_link_frame(sim, event->a, event->b, event->message); break;
    case EV_POLL: sim_link_poll(sim, event->a, event->b); break;
    case EV_HEAL: sim_link_heal(sim, event->a, event->b); break;
    case EV_LEAVE: sim_node_kill(sim, event->a); break;
    case EV_CORDON: cordon(sim, event->a, event->b); break;
    case EV_JOIN: sim_node_join(sim, event->a); break;
    case EV_PROC: sim_proc_step(sim, sim->procs[event->a]); break;
    case EV_ATTACH: executor_attached(sim, sim->procs[event->a]); break;
    case EV_EXIT: sim_process_exit(sim, sim->procs[event->a], (int32_t)event->b); break;
    case EV_CHAOS: chaos(sim); break;
    case EV_REJOIN: sim_node_start(sim, event->a); break;
    case EV_CALLS: sim_calls_frame(sim, event->a, event->b, event->message); break;
    case EV_PULL: sim_node_pulled(sim, event->a, event->message); break;
    default: SIM_FAIL(sim, "event %u", event->type);
    }
}

static void attach_driver(struct sim *sim, uint32_t index, uint32_t token)
{
    struct vproc *proc = sim_proc_new(sim, index, token, RTCI_ROLE_DRIVER);
    proc->job_lo = sim_between(sim, 1, UINT32_MAX);
    proc->to_submit = sim->swarm.tasks / sim->swarm.drivers;
    proc->actors_left = sim->swarm.actors / sim->swarm.drivers;
    proc->calls_left = sim->swarm.calls / sim->swarm.drivers;
    struct rtci_attach attach = {
        .token = token, .role = RTCI_ROLE_DRIVER, .pid = proc->index, .job_lo = proc->job_lo};
    snprintf(attach.name, sizeof(attach.name), "sim");
    struct vnode *node = &sim->nodes[index];
    rtci_node_core_attach(node->core, sim->now_ns, &attach, NULL, &node->actions);
    sim->drivers_left++;
    sim_node_end(sim, index);
}

void sim_start(struct sim *sim)
{
    sim_head_first(sim);
    sim->nodes = calloc(sim->swarm.nodes, sizeof(*sim->nodes));
    RTCI_ASSERT(sim->nodes);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct vnode *node = &sim->nodes[i];
        node->slow = sim_chance(sim, 100) ? 10 : 1;
        node->config = (struct rtci_node_config){.cpu = 10000ull * sim->swarm.cpus,
                                                 .mem = 8 * RTCI_GIB,
                                                 .store = 256 * RTCI_MIB,
                                                 .prestart = 1 + i % 2};
        snprintf(node->config.name, sizeof(node->config.name), "node%u", i);
        sim_node_start(sim, i);
    }
    for (uint32_t i = 0; i < sim->swarm.drivers; i++)
        attach_driver(sim, i % 2 ? i % sim->swarm.nodes : 0, i + 1);
    if (sim->swarm.chaos_ns)
        sim_at(sim, sim->now_ns + sim->swarm.chaos_ns, EV_CHAOS, 0, 0, NULL);
}

/* When all drivers have left and nothing moves any more, nothing may be left. */
void sim_finished(struct sim *sim)
{
    struct rtci_head_stats stats;
    SIM_CHECK(sim, sim->head, "the head is away");
    rtci_head_core_stats(sim->head, &stats);
    rtci_head_core_check(sim->head);
    sim_calls_finished(sim);
    SIM_CHECK(sim, sim->drivers_left == 0, "%u drivers wait for ever", sim->drivers_left);
    SIM_CHECK(sim, stats.tasks_alive == 0 && stats.objects == 0,
              "%llu tasks and %llu objects are left", (unsigned long long)stats.tasks_alive,
              (unsigned long long)stats.objects);
    SIM_CHECK(sim, stats.actors == 0 && stats.groups == 0, "%llu actors, %llu groups are left",
              (unsigned long long)stats.actors, (unsigned long long)stats.groups);
    SIM_CHECK(sim, stats.clients == 0 && stats.jobs == 0, "%llu clients, %llu jobs are left",
              (unsigned long long)stats.clients, (unsigned long long)stats.jobs);
    SIM_CHECK(sim, stats.bytes_alive == 0, "%llu bytes are left",
              (unsigned long long)stats.bytes_alive);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct vnode *node = &sim->nodes[i];
        SIM_CHECK(sim, !node->n_procs, "process %u is left on node %u",
                  node->n_procs ? node->procs[0]->index : 0, i);
        for (uint32_t k = 0; k < 256; k++)
            SIM_CHECK(sim, !node->table[k].state, "object %u:%llu is left on node %u",
                      node->table[k].id.client, (unsigned long long)node->table[k].id.seq, i);
    }
}

void sim_stop(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_heap; i++) {
        if (sim->heap[i].message)
            sim_message_free(sim->heap[i].message);
    }
    for (uint32_t i = 0; i < sim->n_inbox; i++)
        sim_message_free(sim->inbox[i]);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct vnode *node = &sim->nodes[i];
        if (node->core)
            sim_node_stop(node);
        sim_link_end(sim, i, true);
        sim_link_end(sim, i, false);
        for (uint32_t k = 0; k < node->n_sent; k++)
            sim_message_free(node->sent[k]);
        free(node->sent);
        free(node->inbox);
        free(node->procs);
    }
    for (uint32_t i = 0; i < sim->n_procs; i++)
        sim_proc_free(sim->procs[i]);
    rtci_head_core_destroy(sim->head);
    rtci_head_actions_fini(&sim->head_actions);
    rtci_buf_fini(&sim->journal);
    rtci_map_fini(&sim->known_by_id);
    rtci_map_fini(&sim->call_by_id);
    free(sim->calls);
    free(sim->inbox);
    free(sim->nodes);
    free(sim->procs);
    free(sim->known);
    free(sim->heap);
}
