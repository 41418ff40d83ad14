/* The head of the simulator: its turns, and what becomes of it. Its changes are journalled before
 * anything of its turn leaves. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void sim_head_wake(struct sim *sim, uint64_t at_ns)
{
    if (!sim->head || at_ns >= sim->head_turn_ns)
        return;
    sim->head_turn_ns = at_ns;
    sim_at(sim, at_ns, EV_HEAD_TURN, (uint32_t)sim->head_epoch, 0, NULL);
}

static void head_end(struct sim *sim)
{
    struct rtci_head_actions *actions = &sim->head_actions;
    rtci_buf_put(&sim->journal, actions->persist.data, actions->persist.len); /* committed */
    for (uint32_t i = 0; i < actions->n_out; i++) {
        struct rtci_buf *span = &actions->out[i].buf;
        uint32_t index = actions->out[i].node - 1;
        if (!span->len)
            continue;
        sim_check_span(sim, span, "the head said");
        sim_link_send(sim, index, true,
                      sim_message_new(index, sim->nodes[index].link, span->data, span->len));
    }
    uint64_t deadline = actions->deadline_ns;
    sim_print_trace(sim, "head ", (uint32_t)sim->head_epoch, &actions->trace);
    rtci_head_actions_clear(actions);
    struct rtci_head_stats stats;
    rtci_head_core_stats(sim->head, &stats);
    if (stats.tasks_alive < 300 || sim->steps % 16 == 0)
        rtci_head_core_check(sim->head);
    if (deadline != UINT64_MAX)
        sim_head_wake(sim, deadline > sim->now_ns ? deadline : sim->now_ns + 1);
}

/* What was received is committed with what it changed; then it is acknowledged. */
void sim_head_turn(struct sim *sim)
{
    sim->head_turn_ns = UINT64_MAX;
    uint64_t *received = calloc(sim->swarm.nodes, sizeof(*received));
    RTCI_ASSERT(received);
    for (uint32_t i = 0; i < sim->n_inbox; i++) {
        struct message *message = sim->inbox[i];
        struct vnode *node = &sim->nodes[message->node];
        if (message->link == node->link && node->ends[1]) {
            rtci_head_core_receive(sim->head, sim->now_ns, node->number, node->link,
                                   message->span.data, message->span.len, &sim->head_actions);
            received[message->node] = message->seq;
        }
        sim_message_free(message);
    }
    sim->n_inbox = 0;
    rtci_head_core_tick(sim->head, sim->now_ns, &sim->head_actions);
    head_end(sim);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++)
        sim_link_commit(sim, i, false, received[i]);
    free(received);
}

/* ---- Starts and ends ---- */

static void create(struct sim *sim)
{
    struct rtci_head_config config = {
        .epoch = ++sim->head_epoch, .now_ns = sim->now_ns, .seed = sim->seed};
    int rc = rtci_head_core_create(&config, &sim->head);
    SIM_CHECK(sim, rc == 0, "no head");
    sim->head_actions.trace_on = sim->verbose;
    sim->head_turn_ns = UINT64_MAX;
}

void sim_head_first(struct sim *sim)
{
    create(sim);
    rtci_head_core_recovered(sim->head, sim->now_ns, 0);
}

/* It waits for all that were members. They ask to join as they see that it is another one. */
void sim_head_start(struct sim *sim)
{
    create(sim);
    const char *text = "";
    int rc = rtci_head_core_replay(sim->head, sim->journal.data, sim->journal.len, &text);
    SIM_CHECK(sim, rc == 0, "replay: %s", text);
    rtci_head_core_recovered(sim->head, sim->now_ns, SIM_LEASE_NS);
    rtci_head_core_check(sim->head);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        rtci_head_core_node_up(sim->head, sim->now_ns, sim->nodes[i].number, 0, &sim->head_actions);
        if (sim->nodes[i].core)
            sim_at(sim, sim->now_ns + sim_between(sim, 1, 5 * SIM_MS), EV_JOIN, i, 0, NULL);
    }
    sim_head_wake(sim, sim->now_ns);
}

void sim_head_kill(struct sim *sim, bool daemons)
{
    if (!sim->head)
        return;
    sim_say(sim, "the head dies%s", daemons ? " with the daemons" : "");
    sim->n_head_kills++;
    rtci_head_core_destroy(sim->head);
    sim->head = NULL;
    rtci_head_actions_fini(&sim->head_actions);
    for (uint32_t i = 0; i < sim->n_inbox; i++)
        sim_message_free(sim->inbox[i]);
    sim->n_inbox = 0;
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        sim_link_end(sim, i, true);
        sim->nodes[i].suspect = false;
        if (daemons)
            sim_daemon_kill(sim, i);
    }
    sim_at(sim, sim->now_ns + sim_between(sim, 1, 40 * SIM_MS), EV_HEAD_START, 0, 0, NULL);
}

static int emit(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* The journal is folded into what is alive, as the store does it now and then. */
void sim_head_fold(struct sim *sim)
{
    struct rtci_buf folded = {0};
    if (!sim->head || sim->head_actions.persist.len)
        return; /* what is not committed yet may not get in by this way */
    int rc = rtci_head_core_snapshot(sim->head, emit, &folded);
    SIM_CHECK(sim, rc == 0, "snapshot");
    rtci_buf_fini(&sim->journal);
    sim->journal = folded;
}
