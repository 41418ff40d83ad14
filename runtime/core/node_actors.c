/* Actors of this node: their executors, and the calls that pass through.
 *
 * An actor has its slot, and with it an executor, for itself. Its creation stands among the slot's
 * tasks as long as it lives, so that a head that was restarted is told of it. Calls and answers go
 * from process to process: here, or by way of the loop to the node where the other one is; the
 * order of what one says to another is kept. A call that cannot be given to its actor is answered
 * here. */
#include <stdio.h>

#include "runtime/core/calls.h"
#include "runtime/core/node.h"

const char rtci_life_over[] =
    "the head had taken this host for dead: it was not heard for its lease; "
    "what its programs had begun has ended";

/* ---- Life ---- */

void node_actor_start(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, spec->slot);
    if (!slot || slot->actor)
        return; /* the slot was lost meanwhile */
    slot->actor = true;
    slot->job = spec->job; /* a detached one is a job of its own */
    slot->restarts = rtci_spec_options(spec)->max_restarts != 0;
    node_task(core, now_ns, spec, actions);
    node_trace(actions, "slot %u is actor %u:%llu incarnation %u", spec->slot, spec->client,
               (unsigned long long)spec->seq, spec->attempt);
}

const struct rtci_held *node_actor_of(const struct slot *slot)
{
    const struct tasks *tasks = &slot->tasks;
    return slot->actor && tasks->len ? &tasks->at[tasks->head & (tasks->cap - 1)] : NULL;
}

static bool is_it(const struct slot *slot, struct rtci_id id, uint32_t incarnation)
{
    const struct rtci_held *held = slot ? node_actor_of(slot) : NULL;
    return held && held->id.seq == id.seq && held->id.client == id.client &&
           held->attempt == incarnation;
}

/* It is not running yet, or is only being asked for. */
static void end_early(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
                      struct rtci_node_actions *actions)
{
    struct rtci_gone gone = {.code = RTC_E_CRASHED, .exit_status = -1, .signal = 9};
    uint32_t token = slot->proc;
    node_slot_lost(core, slot, &gone, actions);
    node_slot_free(core, (uint32_t)(slot - core->slots));
    if (token)
        node_exec_end(core, now_ns, token, 9, actions);
}

void node_actor_end(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_actor_end *end,
                    struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, end->slot);
    if (!is_it(slot, end->id, end->incarnation))
        return; /* it has ended: the head will hear */
    struct proc *proc = slot->proc ? &core->procs[slot->proc] : NULL;
    if (!proc || proc->state == PROC_NUMBERING) {
        end_early(core, now_ns, slot, actions);
    } else if (end->rec.type == RTCI_R_ACTOR_STOP && proc->ready &&
               !(node_actor_of(slot)->claimed & NODE_PARKED)) {
        memcpy(node_tell(core, slot->proc, RTCI_R_ACTOR_STOP, sizeof(*end), actions), end,
               sizeof(*end));
    } else { /* nothing is in the mailbox of one that has not begun */
        node_kill(slot->proc, 9, actions);
    }
}

void rtci_node_core_fence(struct rtci_node_core *core, bool fence,
                          struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (!slot->number || !slot->actor || !slot->restarts || !slot->proc ||
            slot->fenced == fence || core->procs[slot->proc].state == PROC_NUMBERING)
            continue;
        slot->fenced = fence;
        node_kill(slot->proc, fence ? 19 : 18, actions); /* SIGSTOP, SIGCONT */
    }
}

enum node_verdict node_actor_said(struct rtci_node_core *core, const struct proc *proc,
                                  const struct rtci_rec *rec)
{
    const struct rtci_actor_up *up = (const struct rtci_actor_up *)rec;
    if (proc->role != RTCI_ROLE_EXECUTOR)
        return NODE_BAD;
    const struct slot *slot = proc->slot ? &core->slots[proc->slot] : NULL;
    _Static_assert(offsetof(struct rtci_actor_up, incarnation) ==
                       offsetof(struct rtci_actor_failed, incarnation),
                   "both name the actor in the same place");
    return is_it(slot, up->id, up->incarnation) ? NODE_PASS : NODE_DROP;
}

/* ---- Calls ---- */

void rtci_node_core_set_number(struct rtci_node_core *core, uint32_t number)
{
    core->config.number = number;
}

static void *to_node(struct rtci_node_core *core, uint32_t node, const struct rtci_rec *rec,
                     struct rtci_node_actions *actions)
{
    uint32_t i = core->last_node;
    if (i >= actions->n_to_nodes || actions->to_nodes[i].node != node) {
        for (i = 0; i < actions->n_to_nodes && actions->to_nodes[i].node != node;)
            i++;
    }
    if (i == actions->n_to_nodes) {
        NODE_GROW(actions->to_nodes, actions->cap_to_nodes, i);
        actions->n_to_nodes++;
        actions->to_nodes[i].node = node;
        rtci_buf_clear(&actions->to_nodes[i].buf);
    }
    core->last_node = i;
    void *at = rtci_buf_add(&actions->to_nodes[i].buf, rec->size);
    RTCI_ASSERT(at);
    memcpy(at, rec, rec->size);
    return at;
}

/* Clients write what they like: a number that no node can have is nowhere. */
static bool is_other(const struct rtci_node_core *core, uint32_t node)
{
    return node && node <= RTCI_NODES_MAX && node != core->config.number;
}

/* To a process of this node, or to the node that has it. NULL when it is nowhere. */
static void *deliver(struct rtci_node_core *core, uint32_t node, uint32_t client,
                     const struct rtci_rec *rec, struct rtci_node_actions *actions)
{
    uint32_t token = node_proc_number(core, client);
    if (!token)
        return is_other(core, node) ? to_node(core, node, rec, actions) : NULL;
    void *at = rtci_buf_add(node_out(core, token, actions), rec->size);
    RTCI_ASSERT(at);
    memcpy(at, rec, rec->size);
    return at;
}

/* The call is not given to its actor. */
static void refuse(struct rtci_node_core *core, const struct rtci_spec *spec, const char *text,
                   struct rtci_node_actions *actions)
{
    struct rtci_call_answer answer;
    const struct rtci_call *call = rtci_spec_call(spec);
    bool unknown = spec->flags & RTCI_SPEC_REPEATED;
    rtci_call_answer(&answer, spec->seq, spec->client, call,
                     unknown ? RTCI_REPLY_UNKNOWN : RTCI_REPLY_NEVER_RAN, text);
    deliver(core, call->caller_node, spec->client, &answer.done.rec, actions);
}

void node_actor_gone(struct rtci_node_core *core, const struct slot *slot,
                     const struct rtci_gone *gone, struct rtci_node_actions *actions)
{
    const struct rtci_held *held = node_actor_of(slot);
    for (uint32_t i = 0; held && i < gone->n_callers; i++) {
        const struct rtci_gone_caller *caller = &gone->callers[i];
        const struct rtci_call call = {.actor = held->id,
                                       .node = core->config.number,
                                       .incarnation = held->attempt,
                                       .caller_node = caller->node};
        struct rtci_call_answer answer;
        rtci_call_answer(&answer, caller->begun, caller->client, &call, RTCI_REPLY_GONE, "");
        deliver(core, caller->node, caller->client, &answer.done.rec, actions);
    }
}

/* Is that process there? Its node says so; for one that is lost, the node of who asked does. */
static void route_probe(struct rtci_node_core *core, const struct rtci_spec *spec, bool ours,
                        struct rtci_node_actions *actions)
{
    const struct rtci_call *call = rtci_spec_call(spec);
    bool here = node_proc_number(core, call->client) != 0;
    if (ours && !here && is_other(core, call->node)) {
        struct rtci_spec *out = to_node(core, call->node, &spec->rec, actions);
        ((struct rtci_call *)rtci_spec_call(out))->caller_node = core->config.number;
        return;
    }
    struct rtci_call_answer answer;
    rtci_call_answer(&answer, spec->seq, spec->client, call, here ? 0 : RTCI_REPLY_NEVER_RAN, "");
    deliver(core, ours ? 0 : call->caller_node, spec->client, &answer.done.rec, actions);
}

static void route_call(struct rtci_node_core *core, const struct rtci_spec *spec, bool ours,
                       struct rtci_node_actions *actions)
{
    const struct rtci_call *call = rtci_spec_call(spec);
    uint32_t token = node_proc_number(core, call->client);
    const struct proc *proc = token ? &core->procs[token] : NULL;
    bool here = proc && proc->slot && proc->state == PROC_READY &&
                is_it(&core->slots[proc->slot], call->actor, call->incarnation);
    if (call->order && !call->actor.client) {
        route_probe(core, spec, ours, actions);
        return;
    }
    if (!call->order) { /* a note: to whoever has that number, or to nobody */
        struct rtci_spec *note = deliver(core, call->node, call->client, &spec->rec, actions);
        if (note && ours)
            ((struct rtci_call *)rtci_spec_call(note))->caller_node = core->config.number;
        return;
    }
    bool elsewhere = ours && !token && is_other(core, call->node);
    if (here && spec->flags & RTCI_SPEC_ASK)
        return; /* its answer is on its way, or will be */
    if (here || elsewhere) {
        struct rtci_spec *out = deliver(core, call->node, call->client, &spec->rec, actions);
        if (ours) /* who calls writes what it likes; where it is, its node knows */
            ((struct rtci_call *)rtci_spec_call(out))->caller_node = core->config.number;
        return;
    }
    char text[128];
    snprintf(text, sizeof(text), "actor %u:%llu is not here any more (incarnation %u, node %u)",
             call->actor.client, (unsigned long long)call->actor.seq, call->incarnation,
             core->config.number);
    refuse(core, spec, text, actions);
}

/* The loop compares lives later: whom the head numbers behind this is of the new one. */
void node_life(struct rtci_node_core *core, const struct rtci_life *life)
{
    for (uint32_t i = 1; i < core->n_procs && life->node == core->config.number; i++)
        core->procs[i].before = core->procs[i].number != 0;
}

void rtci_node_core_life_over(struct rtci_node_core *core)
{
    for (uint32_t i = 1; i < core->n_procs; i++)
        core->procs[i].over = core->procs[i].before;
}

/* ACTOR_CALL and ACTOR_REPLY of a local process. */
enum node_verdict node_route(struct rtci_node_core *core, uint32_t token,
                             const struct rtci_rec *rec, struct rtci_node_actions *actions)
{
    const struct proc *proc = &core->procs[token];
    void *at = (void *)(uintptr_t)rec; /* the loop's own copy */
    if (rec->type == RTCI_R_ACTOR_CALL) {
        struct rtci_spec *spec = at;
        if (spec->client != proc->number)
            return NODE_BAD;
        if (RTCI_UNLIKELY(proc->over)) {
            if (rtci_spec_call(spec)->order)
                refuse(core, spec, rtci_life_over, actions);
            return NODE_DROP;
        }
        if (!core->was_ready) /* read from its ring by a daemon before, too, perhaps */
            spec->flags |= RTCI_SPEC_REPEATED;
        route_call(core, spec, true, actions);
        return NODE_DROP;
    }
    const struct rtci_done *done = at;
    if (proc->role != RTCI_ROLE_EXECUTOR)
        return NODE_BAD;
    if (RTCI_LIKELY(!proc->over) || node_proc_number(core, done->client))
        deliver(core, done->attempt, done->client, rec, actions);
    return NODE_DROP;
}

void rtci_node_core_not_sent(struct rtci_node_core *core, const char *text, const void *span,
                             size_t len, struct rtci_node_actions *actions)
{
    for (size_t at = 0; at < len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + at);
        const struct rtci_spec *spec = (const struct rtci_spec *)rec;
        if (rec->type == RTCI_R_ACTOR_CALL && rtci_spec_call(spec)->order)
            refuse(core, spec, text, actions);
        at += rec->size;
    }
}

void rtci_node_core_node_span(struct rtci_node_core *core, uint64_t now_ns, uint32_t from,
                              const void *span, size_t len, struct rtci_node_actions *actions)
{
    (void)now_ns;
    for (size_t at = 0; at + sizeof(struct rtci_rec) <= len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + at);
        if (rec->type == RTCI_R_ACTOR_CALL &&
            rtci_spec_call((const struct rtci_spec *)rec)->caller_node == from)
            route_call(core, (const struct rtci_spec *)rec, false, actions);
        else if (rec->type == RTCI_R_ACTOR_REPLY) /* its caller may be gone */
            deliver(core, 0, ((const struct rtci_done *)rec)->client, rec, actions);
        at += rec->size;
    }
    node_deadline(core, actions);
}
