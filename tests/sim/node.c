/* A node of the simulator: its daemon's turns. A turn is what the daemon's
 * loop does: feed what came, tick, perform, send. Rings forget only what the head has committed. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

/* Whatever goes over a link must stand the receiver's check. */
void sim_check_span(struct sim *sim, const struct rtci_buf *span, const char *what)
{
    for (size_t at = 0; at < span->len;) {
        int64_t size = rtci_wire_check(span->data + at, span->len - at);
        const struct rtci_rec *rec = (const struct rtci_rec *)(span->data + at);
        SIM_CHECK(sim, size > 0, "%s a malformed %s of %u bytes", what, rtci_wire_name(rec->type),
                  rec->size);
        at += (size_t)size;
    }
}

void sim_print_trace(struct sim *sim, const char *who, uint32_t number, struct rtci_buf *trace)
{
    for (size_t at = 0; sim->verbose && at < trace->len;) {
        const char *line = (const char *)trace->data + at;
        size_t len = 0;
        while (at + len < trace->len && line[len] != '\n')
            len++;
        sim_say(sim, "%s%u %.*s", who, number, (int)len, line);
        at += len + 1;
    }
    rtci_buf_clear(trace);
}

static struct vproc *by_token(struct vnode *node, uint32_t token)
{
    for (uint32_t i = 0; i < node->n_procs; i++) {
        if (node->procs[i]->token == token && !node->procs[i]->closed)
            return node->procs[i];
    }
    return NULL;
}

/* A copy has come, or its source has not got it (any more). */
void sim_node_pulled(struct sim *sim, uint32_t index, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    const void *data = message->span.data;
    const struct rtci_node_action *act = data;
    int status = act->type == RTCI_NA_PULL_STOP ? RTC_E_CANCELLED : RTC_E_LOST;
    uint64_t offset, size;
    for (uint32_t i = 0; i < sim->swarm.nodes && act->type == RTCI_NA_PULL; i++) {
        const struct vnode *from = &sim->nodes[i];
        if (from->up && !from->core && from->number == act->source) { /* it will be back */
            sim_at(sim, sim->now_ns + SIM_MS, EV_PULL, index, 0, message);
            return;
        }
        if (from->core && from->number == act->source && from != node &&
            rtci_node_core_object(from->core, act->id, &offset, &size) && size == act->size)
            status = 0;
    }
    if (node->core && message->link == node->daemons) {
        rtci_node_core_pulled(node->core, sim->now_ns, act->id, status, &node->actions);
        sim_node_end(sim, index);
        sim->n_pulled += status == 0;
        sim->n_not_pulled += status != 0;
    }
    sim_message_free(message);
}

/* ---- A node's turn ---- */

void sim_node_wake(struct sim *sim, uint32_t index, uint64_t at_ns)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->core || at_ns >= node->turn_ns)
        return;
    node->turn_ns = at_ns;
    sim_at(sim, at_ns, EV_NODE_TURN, index, node->link, NULL);
}

void sim_feed(struct sim *sim, struct vnode *node, struct vproc *proc)
{
    uint64_t end = proc->base + proc->up.len;
    if (proc->fed == end || !proc->number || proc->closed)
        return;
    struct rtci_buf span = {0};
    rtci_buf_put(&span, proc->up.data + (proc->fed - proc->base), end - proc->fed);
    sim_check_span(sim, &span, "a client wrote");
    proc->fed = end;
    rtci_node_core_client_span(node->core, sim->now_ns, proc->token, span.data, span.len,
                               &node->actions);
    rtci_buf_fini(&span);
}

void sim_consume(struct vproc *proc, uint64_t position)
{
    if (position <= proc->base)
        return;
    size_t n = position - proc->base;
    RTCI_ASSERT(n <= proc->up.len);
    memmove(proc->up.data, proc->up.data + n, proc->up.len - n);
    proc->up.len -= n;
    proc->base = position;
}

static void spawn(struct sim *sim, uint32_t index, const struct rtci_node_action *act)
{
    struct vproc *proc = sim_proc_new(sim, index, act->token, RTCI_ROLE_EXECUTOR);
    proc->number = act->client;
    proc->job = act->job;
    proc->driver_token = act->driver_token;
    proc->program = act->program;
    if (act->program)
        rtci_node_core_begun(sim->nodes[index].core, sim->now_ns, act->token,
                             &sim->nodes[index].actions);
    proc->profile_cpus = act->profile_cpus;
    proc->profile_gpus = act->profile_gpus;
    if (sim_chance(sim, sim->swarm.spawn_fails)) {
        proc->exit_status = 12;
        proc->alive = false;
        sim_at(sim, sim->now_ns + SIM_US, EV_EXIT, proc->index, RTC_E_OS, NULL);
        return;
    }
    if (!sim_chance(sim, sim->swarm.no_register))
        sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, 3 * SIM_MS), EV_ATTACH, proc->index, 0,
               NULL);
}

/* What was read from channels that are closed has been committed: they are given back. */
void sim_closed(struct vnode *node, uint64_t committed)
{
    for (uint32_t i = node->n_procs; i-- > 0;) {
        struct vproc *proc = node->procs[i];
        if (proc->closed && proc->closed_seq && proc->closed_seq <= committed)
            node->procs[i] = node->procs[--node->n_procs];
    }
}

static void perform_one(struct sim *sim, uint32_t index, const struct rtci_node_action *act)
{
    struct vnode *node = &sim->nodes[index];
    struct vproc *proc = by_token(node, act->token);
    struct rtci_held held[1024];
    switch (act->type) {
    case RTCI_NA_WELCOME:
        SIM_CHECK(sim, proc && act->status == 0, "a driver was refused: %d", act->status);
        proc->number = act->client;
        proc->job = act->job;
        proc->attached = true;
        sim_proc_wake(sim, proc, SIM_US);
        break;
    case RTCI_NA_SPAWN:
        SIM_CHECK(sim, !proc, "token %u is in use", act->token);
        spawn(sim, index, act);
        break;
    case RTCI_NA_KILL:
        if (proc && proc->alive)
            sim_proc_kill(sim, proc, act->signal);
        break;
    case RTCI_NA_RECALL: {
        uint32_t n = proc ? sim_proc_recall(sim, proc, act->count, held, 1024) : 0;
        sim->n_recalled += n;
        rtci_node_core_recalled(node->core, sim->now_ns, act->token, held, n, &node->actions);
        break;
    }
    case RTCI_NA_CLOSE:
        SIM_CHECK(sim, proc, "a token nobody has was closed");
        SIM_CHECK(sim, !proc->alive || proc->bye, "a living client was closed: %d", act->status);
        proc->closed = proc->forgotten = true;
        proc->closed_seq = 0;
        break;
    case RTCI_NA_STORE_SET:
        SIM_CHECK(sim, act->object < 256, "object %u", act->object);
        node->table[act->object] = *rtci_node_core_arena_entry(node->core, act->object);
        break;
    case RTCI_NA_PULL:
        sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, 4 * SIM_MS * node->slow), EV_PULL, index,
               0, sim_message_new(index, node->daemons, act, sizeof(*act)));
        break;
    case RTCI_NA_PULL_STOP:
        sim_at(sim, sim->now_ns + SIM_US, EV_PULL, index, 0,
               sim_message_new(index, node->daemons, act, sizeof(*act)));
        break;
    case RTCI_NA_STORE_WARM: break;
    case RTCI_NA_STOP: sim_node_leave(sim, index); break;
    case RTCI_NA_STORE_COOL:
        for (uint32_t i = 0; i < 256; i++)
            SIM_CHECK(sim,
                      !node->table[i].state || node->table[i].offset >= act->offset + act->size ||
                          node->table[i].offset + node->table[i].size <= act->offset,
                      "the memory of object %u was given back", i);
        break;
    default: SIM_FAIL(sim, "action %d", act->type);
    }
}

/* As in the daemon, actions come before what was written to rings in the same turn. */
static void perform(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    for (uint32_t i = 0; i < node->actions.n_act; i++) { /* actions may add actions */
        struct rtci_node_action act = node->actions.act[i];
        perform_one(sim, index, &act);
    }
    node->actions.n_act = 0;
}

static void flush(struct sim *sim, struct vnode *node)
{
    for (uint32_t i = 0; i < node->actions.n_out; i++) {
        struct rtci_client_out *out = &node->actions.out[i];
        sim_check_span(sim, &out->buf, "a client was told");
        struct vproc *proc = by_token(node, out->token);
        if (!proc)
            continue; /* gone before it could be told */
        for (size_t at = 0; at < out->buf.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(out->buf.data + at);
            if (proc->alive)
                sim_proc_record(sim, proc, rec);
            else if (rec->type == RTCI_R_ACTOR_CALL)
                sim_call_arrives(sim, proc, (const struct rtci_spec *)rec);
            at += rec->size;
        }
        rtci_node_core_client_read(node->core, out->token, out->buf.len, &node->actions);
        out->buf.len = 0;
    }
    rtci_node_core_tick(node->core, sim->now_ns, &node->actions); /* says the credits */
}

static void send_to_head(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    uint32_t n = 0;
    struct mark *marks = calloc(node->n_procs + 1, sizeof(*marks));
    RTCI_ASSERT(marks);
    for (uint32_t i = 0; i < node->n_procs; i++) {
        struct vproc *proc = node->procs[i];
        if (proc->fed > proc->sent)
            marks[n++] = (struct mark){proc->index, proc->fed};
        proc->sent = proc->fed;
    }
    if (!n && !node->actions.to_head.len) {
        free(marks);
        return;
    }
    sim_check_span(sim, &node->actions.to_head, "the node said");
    struct message *message =
        sim_message_new(index, node->link, node->actions.to_head.data, node->actions.to_head.len);
    message->marks = marks;
    message->n_marks = n;
    message->calls = rtci_calls_sent(node->calls);
    sim_link_send(sim, index, false, message);
    for (uint32_t i = 0; i < node->n_procs; i++) {
        if (node->procs[i]->closed && !node->procs[i]->closed_seq)
            node->procs[i]->closed_seq = message->seq;
    }
}

void sim_node_end(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    perform(sim, index);
    sim_calls_turn(sim, index);
    flush(sim, node);
    perform(sim, index);
    sim_calls_turn(sim, index);
    flush(sim, node);
    send_to_head(sim, index);
    sim_calls_flush(sim, index);
    sim_link_forget(node);
    uint64_t deadline = node->actions.deadline_ns;
    sim_print_trace(sim, "node ", node->number, &node->actions.trace);
    rtci_node_actions_clear(&node->actions);
    rtci_node_core_check(node->core);
    if (deadline != UINT64_MAX)
        sim_node_wake(sim, index, deadline > sim->now_ns ? deadline : sim->now_ns + 1);
}

void sim_node_turn(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->turn_ns = UINT64_MAX;
    for (uint32_t i = 0; i < node->n_procs; i++)
        sim_feed(sim, node, node->procs[i]);
    uint64_t seq = 0;
    for (uint32_t i = 0; i < node->n_inbox; i++) {
        struct message *message = node->inbox[i];
        if (message->link == node->link) {
            seq = message->seq;
            rtci_node_core_head_span(node->core, sim->now_ns, message->span.data, message->span.len,
                                     &node->actions);
        }
        sim_message_free(message);
    }
    node->n_inbox = 0;
    rtci_node_core_tick(node->core, sim->now_ns, &node->actions);
    sim_node_end(sim, index);
    sim_link_commit(sim, index, true, seq);
}

void sim_report_exit(struct sim *sim, struct vnode *node, struct vproc *proc)
{
    sim_feed(sim, node, proc);
    struct rtci_held held[1024];
    uint32_t slot, n = sim_proc_held(proc, held, 1024, &slot);
    bool running = n && held[0].claimed;
    struct rtci_gone gone = {.token = proc->token,
                             .code = proc->exit_code,
                             .exit_status = proc->signal ? -1 : proc->exit_status,
                             .signal = proc->signal,
                             .unclaimed = held + running,
                             .n_unclaimed = n - running,
                             .log = "last words",
                             .log_len = 10,
                             .callers = proc->callers,
                             .n_callers = proc->n_callers};
    if (running)
        gone.claimed = held[0];
    rtci_node_core_gone(node->core, sim->now_ns, &gone, &node->actions);
}

void sim_process_exit(struct sim *sim, struct vproc *proc, int32_t code)
{
    struct vnode *node = &sim->nodes[proc->node];
    proc->exit_code = code;
    proc->exited = true;
    if (proc->forgotten || !node->core)
        return; /* the daemon hears of it when it is back */
    sim_report_exit(sim, node, proc);
    sim_node_end(sim, proc->node);
}
