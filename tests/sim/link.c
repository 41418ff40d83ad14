/* Sessions between the nodes and the head, over links that lose, repeat, delay and break. A frame
 * that is lost was accepted all the same: the sender does not hear of it. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { TO_HEAD, TO_NODE };

struct message *sim_message_new(uint32_t node, uint32_t link, const void *span, size_t len)
{
    struct message *message = calloc(1, sizeof(*message));
    RTCI_ASSERT(message);
    message->node = node;
    message->link = link;
    rtci_buf_put(&message->span, span, len);
    return message;
}

void sim_message_free(struct message *message)
{
    rtci_buf_fini(&message->span);
    free(message->marks);
    free(message);
}

static uint64_t delay(struct sim *sim, const struct vnode *node)
{
    uint64_t usual = sim->swarm.delay_ns * node->slow;
    return sim_between(sim, usual / 4, usual * 2) + 1;
}

static void fly(struct sim *sim, uint32_t index, uint32_t to, const struct rtci_frame *frame,
                const void *payload, size_t size)
{
    struct vnode *node = &sim->nodes[index];
    uint64_t at = sim->now_ns + delay(sim, node);
    if (at <= node->last_ns[to])
        at = node->last_ns[to] + 1; /* a link keeps the order of what it delivers */
    node->last_ns[to] = at;
    if (node->cut & (1u << to) || sim_chance(sim, index ? sim->swarm.loss : 0)) {
        sim->n_lost++;
        return;
    }
    struct message *message = sim_message_new(index, node->link, frame, sizeof(*frame));
    if (size)
        rtci_buf_put(&message->span, payload, size);
    uint32_t type = frame->kind == RTCI_FRAME_DATA ? EV_FRAME : EV_BEAT;
    if (sim_chance(sim, index ? sim->swarm.repeat : 0)) {
        struct message *twice =
            sim_message_new(index, node->link, message->span.data, message->span.len);
        sim_at(sim, at + sim_between(sim, 1, 5 * SIM_MS), type, index, to, twice);
    }
    sim_at(sim, at, type, index, to, message);
}

/* What an end has to send goes out; it is looked at again when it has something to say by itself.
 */
static void pump(struct sim *sim, uint32_t index, uint32_t to)
{
    struct vnode *node = &sim->nodes[index];
    struct rtci_session *session = node->ends[to];
    struct rtci_frame frame;
    const void *payload;
    size_t size;
    if (!session)
        return;
    while (rtci_session_next(session, sim->now_ns, &frame, &payload, &size)) {
        fly(sim, index, to, &frame, payload, size);
        rtci_session_sent(session, sim->now_ns);
    }
    uint64_t due = rtci_session_deadline(session);
    if (to == TO_NODE && due > sim->now_ns + SIM_SUSPECT_NS)
        due = sim->now_ns + SIM_SUSPECT_NS; /* the head looks whether the node is silent */
    if (due == UINT64_MAX || due >= node->poll_ns[to])
        return;
    node->poll_ns[to] = due > sim->now_ns ? due : sim->now_ns + 1;
    sim_at(sim, node->poll_ns[to], EV_POLL, index, to, NULL);
}

/* What the head thinks of the node's connection. */
static void judge(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    struct rtci_session *session = node->ends[TO_NODE];
    if (!session || !sim->head)
        return;
    enum rtci_session_state state = rtci_session_state(session, sim->now_ns);
    SIM_CHECK(sim, state != RTCI_SESSION_BROKEN, "the session of node %u contradicts itself",
              index);
    if (state == RTCI_SESSION_DEAD) {
        sim_node_lost(sim, index, "its lease ended");
    } else if (state == RTCI_SESSION_SUSPECT && !node->suspect) {
        node->suspect = true;
        sim->n_suspects++;
        sim_say(sim, "node %u is suspect", index);
        rtci_head_core_node_suspect(sim->head, sim->now_ns, node->number, node->link,
                                    &sim->head_actions);
        sim_head_wake(sim, sim->now_ns);
    } else if (state == RTCI_SESSION_UP && node->suspect) {
        node->suspect = false;
        node->unblocked_ns = sim->now_ns;
        sim_say(sim, "node %u resumes", index);
        rtci_head_core_node_resumed(sim->head, sim->now_ns, node->number, node->link,
                                    &sim->head_actions);
        sim_head_wake(sim, sim->now_ns);
    }
}

void sim_link_poll(struct sim *sim, uint32_t index, uint32_t to)
{
    struct vnode *node = &sim->nodes[index];
    if (node->poll_ns[to] != sim->now_ns)
        return;
    node->poll_ns[to] = UINT64_MAX;
    pump(sim, index, to);
    if (to == TO_NODE)
        judge(sim, index);
}

static void arrived(struct sim *sim, uint32_t index, uint32_t to, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    if (to == TO_HEAD) {
        sim_grow(&sim->inbox, &sim->cap_inbox, sim->n_inbox, sizeof(*sim->inbox));
        sim->inbox[sim->n_inbox++] = message;
        sim_head_wake(sim, sim->now_ns + sim_between(sim, 0, 20 * SIM_US));
    } else {
        sim_grow(&node->inbox, &node->cap_inbox, node->n_inbox, sizeof(*node->inbox));
        node->inbox[node->n_inbox++] = message;
        sim_node_wake(sim, index, sim->now_ns + sim_between(sim, 0, 20 * SIM_US));
    }
}

/* Rings forget what the head has committed. */
static void consume(struct sim *sim, struct message *message)
{
    for (uint32_t i = 0; i < message->n_marks; i++)
        sim_consume(sim->procs[message->marks[i].proc], message->marks[i].position);
    message->n_marks = 0;
}

void sim_link_forget(struct vnode *node)
{
    struct sim *sim = node->sim;
    struct rtci_session_counts counts;
    if (!node->ends[TO_HEAD])
        return;
    uint64_t settled = node->calls ? rtci_calls_settled(node->calls) : 0;
    rtci_session_counts(node->ends[TO_HEAD], &counts);
    uint32_t n = 0;
    for (; n < node->n_sent && node->sent[n]->seq <= counts.peer_committed &&
           node->sent[n]->calls <= settled;
         n++) {
        consume(sim, node->sent[n]);
        sim_message_free(node->sent[n]);
    }
    sim_closed(node, counts.peer_committed);
    node->n_sent -= n;
    memmove(node->sent, node->sent + n, node->n_sent * sizeof(*node->sent));
}

void sim_link_frame(struct sim *sim, uint32_t index, uint32_t to, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    /* Who sends to the head receives from the node's end: the other end of the pair. */
    struct rtci_session *session = node->ends[!to];
    const void *payload = NULL;
    size_t size = 0;
    uint64_t seq = 0;
    enum rtci_session_result result =
        session ? rtci_session_receive(session, sim->now_ns, message->span.data, message->span.len,
                                       &payload, &size, &seq)
                : RTCI_SESSION_OTHER;
    if (result != RTCI_SESSION_OTHER && result != RTCI_SESSION_INVALID) {
        if (to == TO_HEAD)
            judge(sim, index);
        else
            sim_link_forget(node);
        if (result == RTCI_SESSION_MESSAGE) {
            struct message *whole = sim_message_new(index, node->link, payload, size);
            whole->seq = seq;
            arrived(sim, index, to, whole);
        }
        pump(sim, index, !to);
    }
    sim_message_free(message);
}

/* The node's messages are kept with what they let rings forget, until they are committed. */
void sim_link_send(struct sim *sim, uint32_t index, bool to_node, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    struct rtci_session *session = node->ends[to_node];
    int rc = session
                 ? rtci_session_send(session, message->span.data, message->span.len, &message->seq)
                 : 0;
    SIM_CHECK(sim, rc == 0, "the window is full: %d", rc);
    if (to_node) {
        sim_message_free(message);
    } else {
        sim_grow(&node->sent, &node->cap_sent, node->n_sent, sizeof(*node->sent));
        node->sent[node->n_sent++] = message;
    }
    pump(sim, index, to_node);
}

void sim_link_commit(struct sim *sim, uint32_t index, bool at_node, uint64_t seq)
{
    struct rtci_session *session = sim->nodes[index].ends[at_node ? TO_HEAD : TO_NODE];
    if (!session)
        return;
    rtci_session_commit(session, seq);
    pump(sim, index, at_node ? TO_HEAD : TO_NODE);
}

void sim_link_end(struct sim *sim, uint32_t index, bool heads)
{
    struct vnode *node = &sim->nodes[index];
    uint32_t which = heads ? TO_NODE : TO_HEAD;
    rtci_session_free(node->ends[which]);
    node->ends[which] = NULL;
    (void)sim;
}

/* A new session of the node, of which both ends know: the question and its answer are not played.
 */
void sim_link_new(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->link++;
    node->suspect = false;
    node->poll_ns[0] = node->poll_ns[1] = UINT64_MAX;
    for (uint32_t end = 0; end < 2; end++) {
        uint64_t slowest = 4 * sim->swarm.delay_ns * node->slow;
        struct rtci_session_config config = {.id = (uint64_t)index << 32 | node->link,
                                             .dials = end == TO_HEAD,
                                             .window = 64 * RTCI_MIB,
                                             .beat_ns = 10 * SIM_MS,
                                             .retry_ns = 2 * SIM_MS + slowest,
                                             .silence_ns = SIM_SUSPECT_NS + slowest,
                                             .lease_ns = SIM_LEASE_NS};
        rtci_session_free(node->ends[end]);
        node->ends[end] = rtci_session_create(&config, sim->now_ns);
        RTCI_ASSERT(node->ends[end]);
    }
    rtci_session_link_up(node->ends[TO_HEAD], sim->now_ns);
    pump(sim, index, TO_HEAD);
    pump(sim, index, TO_NODE);
}

/* The link breaks, and is made anew later; or it delivers nothing one way, or both. */
void sim_link_break(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (node->cut || !node->ends[TO_HEAD] || !node->ends[TO_NODE])
        return;
    bool breaks = sim_chance(sim, 500);
    node->cut = breaks ? 3 : (uint32_t)sim_between(sim, 1, 3);
    sim_say(sim, "the link of node %u %s", index, breaks ? "breaks" : "is cut");
    sim->n_cuts++;
    for (uint32_t end = 0; end < 2 && breaks; end++)
        rtci_session_link_down(node->ends[end], sim->now_ns);
    uint64_t most = sim_chance(sim, 100) ? 500 * SIM_MS : 60 * SIM_MS;
    sim_at(sim, sim->now_ns + sim_between(sim, SIM_MS, most), EV_HEAL, index, breaks, NULL);
}

void sim_link_heal(struct sim *sim, uint32_t index, bool broke)
{
    struct vnode *node = &sim->nodes[index];
    node->cut = 0;
    if (broke && node->ends[TO_HEAD])
        rtci_session_link_up(node->ends[TO_HEAD], sim->now_ns);
    pump(sim, index, TO_HEAD);
    pump(sim, index, TO_NODE);
}

/* Nothing is on its way that anybody waits for. */
bool sim_link_quiet(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        const struct vnode *node = &sim->nodes[i];
        if (node->suspect || node->n_sent)
            return false;
        struct rtci_session_counts counts;
        if (node->ends[TO_NODE])
            rtci_session_counts(node->ends[TO_NODE], &counts);
        if (node->ends[TO_NODE] && (counts.kept || counts.peer_committed < counts.sent))
            return false;
    }
    return true;
}
