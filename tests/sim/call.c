/* Calls to actors: drivers that make them, executors that are called, and the nodes between, whose
 * frames to each other are lost, repeated, late and cut. The book: of one caller they run in order,
 * each at most once; each has one outcome, and it is true. */
#include <stdlib.h>
#include <string.h>

#include "runtime/core/calls.h"
#include "tests/sim/sim.h"

#define ASKED_WHERE   1u
#define ASKED_CHANGED 2u

static uint32_t draw(struct sim *sim, uint32_t below) /* apart: what others draw stays as it was */
{
    return rng_below(&sim->call_rng, below);
}

/* ---- Between nodes ---- */

static int on_send(void *arg, uint32_t to, const void *head, size_t head_size, const void *data,
                   size_t size)
{
    struct vnode *node = arg, *other;
    struct sim *sim = node->sim;
    if (!to || to > sim->swarm.nodes)
        return RTC_E_DISCONNECTED;
    other = &sim->nodes[to - 1];
    bool cut = node->cut || other->cut;
    if (cut && draw(sim, 2))
        return RTC_E_DISCONNECTED;
    if (draw(sim, 1000) < sim->swarm.loss)
        return RTC_E_AGAIN;
    uint32_t index = (uint32_t)(node - sim->nodes);
    for (uint32_t n = draw(sim, 1000) < sim->swarm.repeat ? 2 : 1; n > 0; n--) {
        if (cut || draw(sim, 1000) < sim->swarm.loss)
            continue;
        struct message *message = sim_message_new(index, 0, head, head_size);
        if (size)
            rtci_buf_put(&message->span, data, size);
        uint64_t at = sim->now_ns + sim->swarm.delay_ns / 2 + 1;
        at = at > other->call_ns ? at : other->call_ns;
        other->call_ns = at; /* mostly in order */
        at += draw(sim, 1000) < sim->swarm.repeat ? draw(sim, 5 * SIM_MS) : 0;
        sim_at(sim, at, EV_CALLS, to - 1, node->number, message);
    }
    return 0;
}

static void on_span(void *arg, uint32_t from, const void *span, size_t size)
{
    struct vnode *node = arg;
    rtci_node_core_node_span(node->core, node->sim->now_ns, from, span, size, &node->actions);
}

static void on_watch(void *arg, uint32_t to) /* all are told of all */
{
    (void)arg;
    (void)to;
}

void sim_calls_frame(struct sim *sim, uint32_t index, uint32_t from, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    if (node->calls && !node->cut) {
        rtci_calls_frame(node->calls, sim->now_ns, from, message->span.data, message->span.len);
        sim_node_wake(sim, index, sim->now_ns + draw(sim, 20 * SIM_US));
    }
    sim_message_free(message);
}

void sim_calls_open(struct sim *sim, struct vnode *node)
{
    static const struct rtci_calls_ops ops = {on_send, on_span, on_watch};
    node->sim = sim;
    rtci_calls_free(node->calls);
    node->calls = rtci_calls_create(&ops, node, ++sim->instances);
    RTCI_ASSERT(node->calls);
}

void sim_calls_close(struct vnode *node)
{
    rtci_calls_free(node->calls);
    node->calls = NULL;
}

static void put_life(struct rtci_buf *span, uint32_t node, uint64_t life, bool lives)
{
    struct rtci_life rec = {
        .rec = {sizeof(rec), RTCI_R_LIFE, 0}, .node = node, .lives = lives, .life = life};
    rtci_buf_put(span, &rec, sizeof(rec));
}

/* What the head's loop says to a node that has joined: its life, and which others have ended. */
void sim_calls_joined(struct sim *sim, uint32_t index)
{
    struct rtci_buf span = {0};
    put_life(&span, sim->nodes[index].number, sim->nodes[index].lived, true);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        const struct vnode *other = &sim->nodes[i];
        if (i != index && other->number)
            put_life(&span, other->number, other->lived - (other->gone ? 0 : 1), !other->gone);
    }
    sim_link_send(sim, index, true,
                  sim_message_new(index, sim->nodes[index].link, span.data, span.len));
    rtci_buf_fini(&span);
    if (sim->nodes[index].calls)
        rtci_calls_linked(sim->nodes[index].calls, sim->now_ns, 0);
}

void sim_calls_lost(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->gone = true;
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct rtci_buf span = {0};
        put_life(&span, node->number, node->lived, false);
        if (i != index && sim->nodes[i].ends[1])
            sim_link_send(sim, i, true,
                          sim_message_new(i, sim->nodes[i].link, span.data, span.len));
        rtci_buf_fini(&span);
    }
}

/* The end of a node's turn: the head's words to the loop, then what goes to others. */
void sim_calls_turn(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    for (size_t at = 0; at < node->actions.loop.len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(node->actions.loop.data + at);
        const struct rtci_life *life = (const struct rtci_life *)rec;
        at += rec->size;
        if (rec->type != RTCI_R_LIFE)
            continue;
        if (life->node == node->number)
            rtci_calls_life(node->calls, sim->now_ns, life->life);
        else
            rtci_calls_gone(node->calls, sim->now_ns, life->node, life->life, life->lives);
    }
    rtci_buf_clear(&node->actions.loop);
    for (uint32_t i = 0; i < node->actions.n_to_nodes; i++) {
        struct rtci_buf *buf = &node->actions.to_nodes[i].buf;
        sim_check_span(sim, buf, "a node said to another");
        rtci_calls_send(node->calls, sim->now_ns, node->actions.to_nodes[i].node, buf->data,
                        buf->len);
        rtci_buf_clear(buf);
    }
    node->actions.n_to_nodes = 0;
}

void sim_calls_flush(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    rtci_calls_commit(node->calls);
    rtci_calls_flush(node->calls, sim->now_ns);
    uint64_t due = rtci_calls_deadline(node->calls);
    if (due != UINT64_MAX)
        sim_node_wake(sim, index, due > sim->now_ns ? due : sim->now_ns + 1);
}

/* ---- The caller ---- */

static struct vcall *call_of(struct sim *sim, uint32_t client, uint64_t seq)
{
    const uint32_t *at = rtci_map_find(&sim->call_by_id, seq, client);
    return at ? &sim->calls[*at] : NULL;
}

static void ask(struct sim *sim, struct vproc *proc, uint32_t index, uint32_t what)
{
    struct callee *callee = &proc->callees[index];
    struct rtci_actor_where *where = sim_write(sim, proc, RTCI_R_ACTOR_WHERE, sizeof(*where));
    callee->asked |= what;
    where->request = (uint64_t)what << 32 | index;
    where->id = callee->id;
    where->flags = what == ASKED_CHANGED ? RTCI_WHERE_CHANGED : 0;
    where->incarnation = callee->incarnation;
}

void sim_call_callee(struct sim *sim, struct vproc *proc, struct rtci_id id)
{
    if (!sim->swarm.calls)
        return;
    sim_grow(&proc->callees, &proc->cap_callees, proc->n_callees, sizeof(*proc->callees));
    proc->callees[proc->n_callees++] = (struct callee){.id = id};
    ask(sim, proc, proc->n_callees - 1, ASKED_WHERE);
}

static void write_call(struct sim *sim, struct vproc *proc, const struct vcall *call,
                       uint16_t flags)
{
    struct rtci_spec *spec =
        sim_write(sim, proc, RTCI_R_ACTOR_CALL, sizeof(*spec) + sizeof(struct rtci_call));
    const struct callee *callee = &proc->callees[call->callee];
    spec->seq = call->seq;
    spec->client = proc->number;
    spec->n_returns = 1;
    spec->flags = RTCI_SPEC_CALL | flags;
    spec->name_len = sizeof(struct rtci_call);
    *(struct rtci_call *)(spec + 1) = (struct rtci_call){.actor = callee->id,
                                                         .order = call->order,
                                                         .node = call->node,
                                                         .client = call->client,
                                                         .incarnation = call->incarnation,
                                                         .caller_node = 77};
}

static void make_call(struct sim *sim, struct vproc *proc, uint32_t index)
{
    struct callee *callee = &proc->callees[index];
    sim_grow(&sim->calls, &sim->cap_calls, sim->n_calls, sizeof(*sim->calls));
    struct vcall *call = &sim->calls[sim->n_calls];
    *call = (struct vcall){.proc = proc->index,
                           .callee = index,
                           .seq = proc->next_seq++,
                           .order = ++callee->order,
                           .incarnation = callee->incarnation,
                           .node = callee->node,
                           .client = callee->client};
    RTCI_ASSERT(rtci_map_set(&sim->call_by_id, call->seq, proc->number, sim->n_calls++));
    proc->calls_left--;
    proc->calls_open++;
    write_call(sim, proc, call, 0);
}

void sim_call_step(struct sim *sim, struct vproc *proc)
{
    for (uint32_t i = 0; i < proc->n_callees; i++) {
        for (uint32_t n = draw(sim, 6); n > 0 && proc->callees[i].known && proc->calls_left; n--)
            make_call(sim, proc, i);
    }
}

static void ends(struct sim *sim, struct vproc *proc, struct vcall *call, enum call_outcome outcome)
{
    SIM_CHECK(sim, outcome != CALL_DONE || call->ran == 1, "call %u:%llu is done and ran %u times",
              proc->number, (unsigned long long)call->seq, call->ran);
    SIM_CHECK(sim, outcome != CALL_NOT_RUN || !call->ran, "call %u:%llu ran, and it is denied",
              proc->number, (unsigned long long)call->seq);
    call->outcome = outcome;
    proc->calls_open--;
    sim->n_outcomes[outcome]++;
}

/* The incarnation that they were for is gone. */
static void resolve(struct sim *sim, struct vproc *proc, uint32_t index)
{
    for (uint32_t i = 0; i < sim->n_calls; i++) {
        struct vcall *call = &sim->calls[i];
        if (call->proc == proc->index && call->callee == index && call->outcome == CALL_OPEN)
            ends(sim, proc, call, call->lost ? call->lost : CALL_UNKNOWN);
    }
    proc->callees[index].known = false;
    proc->callees[index].order = 0;
}

void sim_call_is(struct sim *sim, struct vproc *proc, const struct rtci_actor_is *is)
{
    uint32_t index = (uint32_t)is->request, what = (uint32_t)(is->request >> 32);
    SIM_CHECK(sim, index < proc->n_callees, "an answer to nobody");
    struct callee *callee = &proc->callees[index];
    if (!(callee->asked & what))
        return; /* it was repeated */
    callee->asked &= ~what;
    bool alive = is->status == 0 && is->state == RTCI_ACTOR_ALIVE;
    if (callee->known && (!alive || is->incarnation != callee->incarnation))
        resolve(sim, proc, index);
    if (is->status || is->state == RTCI_ACTOR_DEAD)
        return;
    if (!alive) {
        if (!(callee->asked & ASKED_WHERE))
            ask(sim, proc, index, ASKED_WHERE);
        return;
    }
    callee->known = true;
    callee->node = is->node;
    callee->client = is->client;
    callee->incarnation = is->incarnation;
    if (!(callee->asked & ASKED_CHANGED))
        ask(sim, proc, index, ASKED_CHANGED);
}

static void on_gone(struct sim *sim, struct vproc *proc, const struct rtci_done *done,
                    const struct rtci_fail *fail)
{
    for (uint32_t i = 0; i < sim->n_calls; i++) {
        struct vcall *call = &sim->calls[i];
        if (call->proc != proc->index || call->outcome != CALL_OPEN || call->lost ||
            !rtci_id_equal(proc->callees[call->callee].id, fail->origin) ||
            (uint16_t)call->incarnation != fail->attempts)
            continue;
        call->lost = call->order > done->seq ? CALL_NOT_RUN : CALL_HAS_RUN;
    }
}

static void on_reply(struct sim *sim, struct vproc *proc, const struct rtci_done *done)
{
    const struct rtci_fail *fail =
        (const struct rtci_fail *)((const char *)done + rtci_done_returns(done)->offset);
    if (done->rec.flags & RTCI_REPLY_GONE) {
        on_gone(sim, proc, done, fail);
        return;
    }
    struct vcall *call = call_of(sim, proc->number, done->seq);
    SIM_CHECK(sim, call && done->client == proc->number, "an answer to nobody's call");
    if (call->outcome != CALL_OPEN)
        return;
    if (!done->status) {
        ends(sim, proc, call, CALL_DONE);
        return;
    }
    SIM_CHECK(sim, fail->attempts == (uint16_t)call->incarnation, "of another incarnation");
    if (!call->lost)
        call->lost = done->rec.flags & RTCI_REPLY_NEVER_RAN ? CALL_NOT_RUN : CALL_UNKNOWN;
    sim->n_refused++;
    sim_say(sim, "call %u:%llu is refused: %s", proc->number, (unsigned long long)call->seq,
            call->lost == CALL_NOT_RUN ? "it did not run" : "nobody knows");
}

/* Its daemon was started again: what has no answer is said again. */
void sim_call_epoch(struct sim *sim, struct vproc *proc)
{
    for (uint32_t i = 0; i < proc->n_callees; i++) {
        for (uint32_t what = ASKED_WHERE; what <= ASKED_CHANGED; what++) {
            if (proc->callees[i].asked & what)
                ask(sim, proc, i, what);
        }
    }
    for (uint32_t i = 0; i < sim->n_calls; i++) {
        struct vcall *call = &sim->calls[i];
        if (call->proc == proc->index && call->outcome == CALL_OPEN && !call->lost &&
            proc->callees[call->callee].known)
            write_call(sim, proc, call, RTCI_SPEC_REPEATED);
    }
}

/* ---- The actor ---- */

static struct rtci_gone_caller *caller_of(struct vproc *proc, uint32_t client, uint32_t node)
{
    for (uint32_t i = 0; i < proc->n_callers; i++) {
        if (proc->callers[i].client == client)
            return &proc->callers[i];
    }
    sim_grow(&proc->callers, &proc->cap_callers, proc->n_callers, sizeof(*proc->callers));
    proc->callers[proc->n_callers] = (struct rtci_gone_caller){.client = client, .node = node};
    return &proc->callers[proc->n_callers++];
}

static void answer(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec)
{
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    struct rtci_done *done = sim_write(sim, proc, RTCI_R_ACTOR_REPLY, head + 8);
    done->seq = spec->seq;
    done->client = spec->client;
    done->attempt = rtci_spec_call(spec)->caller_node;
    done->n_returns = 1;
    *(struct rtci_resolved *)(done + 1) = (struct rtci_resolved){.size = 8, .offset = head};
}

/* What stands in the ring of one that is dead was not begun. */
void sim_call_arrives(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec)
{
    const struct rtci_call *to = rtci_spec_call(spec);
    struct rtci_gone_caller *caller = caller_of(proc, spec->client, to->caller_node);
    struct vcall *call = call_of(sim, spec->client, spec->seq);
    SIM_CHECK(sim, call && call->order == to->order, "a call that nobody made");
    SIM_CHECK(sim,
              rtci_id_equal(proc->act.id, to->actor) && proc->act.incarnation == to->incarnation,
              "a call came to another actor");
    sim_say(sim, "call %u:%llu, order %llu, arrives at process %u", spec->client,
            (unsigned long long)spec->seq, (unsigned long long)to->order, proc->index);
    if (!proc->alive || to->order <= caller->begun)
        return;
    SIM_CHECK(sim, to->order == caller->begun + 1, "call %llu of %u comes after %llu",
              (unsigned long long)to->order, spec->client, (unsigned long long)caller->begun);
    SIM_CHECK(sim, !call->ran && call->outcome != CALL_NOT_RUN, "a call runs that must not");
    caller->begun++;
    call->ran++;
    answer(sim, proc, spec);
}

void sim_call_record(struct sim *sim, struct vproc *proc, const struct rtci_rec *rec)
{
    if (rec->type == RTCI_R_ACTOR_REPLY)
        on_reply(sim, proc, (const struct rtci_done *)rec);
    else
        sim_call_arrives(sim, proc, (const struct rtci_spec *)rec);
}

void sim_calls_finished(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        const struct vnode *node = &sim->nodes[i];
        SIM_CHECK(sim,
                  !node->calls || rtci_calls_settled(node->calls) == rtci_calls_sent(node->calls),
                  "node %u has said something that never arrived", i);
    }
}
