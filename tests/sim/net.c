/* The cores, the links between them, and what happens to them. A turn of a node or of the head is
 * what the daemon's loop does: feed what came, tick, perform, send; the head's changes are
 * journalled before anything of its turn leaves, and rings forget only what was journalled. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static struct message *message_new(uint32_t node, uint32_t link, const void *span, size_t len)
{
    struct message *message = calloc(1, sizeof(*message));
    RTCI_ASSERT(message);
    message->node = node;
    message->link = link;
    rtci_buf_put(&message->span, span, len);
    return message;
}

static void message_free(struct message *message)
{
    rtci_buf_fini(&message->span);
    free(message->marks);
    free(message);
}

/* Whatever goes over a link must stand the receiver's check. */
static void check_span(struct sim *sim, const struct rtci_buf *span, const char *what)
{
    for (size_t at = 0; at < span->len;) {
        int64_t size = rtci_wire_check(span->data + at, span->len - at);
        const struct rtci_rec *rec = (const struct rtci_rec *)(span->data + at);
        SIM_CHECK(sim, size > 0, "%s a malformed %s of %u bytes", what, rtci_wire_name(rec->type),
                  rec->size);
        at += (size_t)size;
    }
}

static void print_trace(struct sim *sim, const char *who, uint32_t number, struct rtci_buf *trace)
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

static uint64_t link_delay(struct sim *sim, const struct vnode *node)
{
    uint64_t delay = sim->swarm.delay_ns * node->slow;
    return sim_between(sim, delay / 4, delay * 2) + 1;
}

static struct vproc *by_token(struct vnode *node, uint32_t token)
{
    for (uint32_t i = 0; i < node->n_procs; i++) {
        if (node->procs[i]->token == token)
            return node->procs[i];
    }
    return NULL;
}

/* ---- A node's turn ---- */

void sim_node_wake(struct sim *sim, uint32_t index, uint64_t at_ns)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->up || at_ns >= node->turn_ns)
        return;
    node->turn_ns = at_ns;
    sim_at(sim, at_ns, EV_NODE_TURN, index, node->link, NULL);
}

static void feed(struct sim *sim, struct vnode *node, struct vproc *proc)
{
    uint64_t end = proc->base + proc->up.len;
    if (proc->fed == end || !proc->number)
        return;
    struct rtci_buf span = {0};
    rtci_buf_put(&span, proc->up.data + (proc->fed - proc->base), end - proc->fed);
    check_span(sim, &span, "a client wrote");
    proc->fed = end;
    rtci_node_core_client_span(node->core, sim->now_ns, proc->token, span.data, span.len,
                               &node->actions);
    rtci_buf_fini(&span);
}

static void consume(struct vproc *proc, uint64_t position)
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

static void forget(struct vnode *node, struct vproc *proc)
{
    proc->forgotten = true;
    for (uint32_t i = 0; i < node->n_procs; i++) {
        if (node->procs[i] == proc)
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
        forget(node, proc);
        break;
    case RTCI_NA_STORE_SET:
        SIM_CHECK(sim, act->object < 256, "object %u", act->object);
        node->table[act->object] = *rtci_node_core_arena_entry(node->core, act->object);
        break;
    case RTCI_NA_STORE_WARM: break;
    case RTCI_NA_STORE_COOL:
        for (uint32_t i = 0; i < 256; i++)
            SIM_CHECK(sim,
                      !node->table[i].state || node->table[i].offset >= act->offset + act->size ||
                          node->table[i].offset + node->table[i].size <= act->offset,
                      "the memory of object %u was given back", i);
        break;
    case RTCI_NA_PULL: {
        struct message *message = message_new(index, node->life, act, sizeof(*act));
        sim_at(sim, sim->now_ns + 2 * link_delay(sim, node), EV_PULL, index, 0, message);
        break;
    }
    case RTCI_NA_PULL_STOP: {
        struct message *message = message_new(index, node->life, act, sizeof(*act));
        sim_at(sim, sim->now_ns + SIM_US, EV_PULL, index, 0, message);
        break;
    }
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
        check_span(sim, &out->buf, "a client was told");
        struct vproc *proc = by_token(node, out->token);
        if (!proc)
            continue; /* gone before it could be told */
        for (size_t at = 0; at < out->buf.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(out->buf.data + at);
            if (proc->alive)
                sim_proc_record(sim, proc, rec);
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
    check_span(sim, &node->actions.to_head, "the node said");
    struct message *message =
        message_new(index, node->link, node->actions.to_head.data, node->actions.to_head.len);
    message->marks = marks;
    message->n_marks = n;
    uint64_t at = sim->now_ns + link_delay(sim, node);
    if (at <= node->last_to_head_ns)
        at = node->last_to_head_ns + 1;
    node->last_to_head_ns = at;
    sim_at(sim, at, EV_TO_HEAD, index, 0, message);
}

static void end_turn(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    perform(sim, index);
    flush(sim, node);
    perform(sim, index);
    send_to_head(sim, index);
    uint64_t deadline = node->actions.deadline_ns;
    print_trace(sim, "node ", node->number, &node->actions.trace);
    rtci_node_actions_clear(&node->actions);
    rtci_node_core_check(node->core);
    if (deadline != UINT64_MAX)
        sim_node_wake(sim, index, deadline > sim->now_ns ? deadline : sim->now_ns + 1);
}

static void node_turn(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->turn_ns = UINT64_MAX;
    for (uint32_t i = 0; i < node->n_procs; i++)
        feed(sim, node, node->procs[i]);
    for (uint32_t i = 0; i < node->n_inbox; i++) {
        struct message *message = node->inbox[i];
        rtci_node_core_head_span(node->core, sim->now_ns, message->span.data, message->span.len,
                                 &node->actions);
        message_free(message);
    }
    node->n_inbox = 0;
    rtci_node_core_tick(node->core, sim->now_ns, &node->actions);
    end_turn(sim, index);
}

/* A copy has come, or its source has not got it (any more). */
static void on_pull(struct sim *sim, uint32_t index, struct message *message)
{
    struct vnode *node = &sim->nodes[index];
    const void *data = message->span.data;
    const struct rtci_node_action *act = data;
    int status = act->type == RTCI_NA_PULL_STOP ? RTC_E_CANCELLED : RTC_E_LOST;
    uint64_t offset, size;
    for (uint32_t i = 0; i < sim->swarm.nodes && act->type == RTCI_NA_PULL; i++) {
        const struct vnode *from = &sim->nodes[i];
        if (from->up && from->number == act->source && from != node &&
            rtci_node_core_object(from->core, act->id, &offset, &size) && size == act->size)
            status = 0;
    }
    if (node->up && message->link == node->life) {
        rtci_node_core_pulled(node->core, sim->now_ns, act->id, status, &node->actions);
        end_turn(sim, index);
        sim->n_pulled += status == 0;
        sim->n_not_pulled += status != 0;
    }
    message_free(message);
}

static void process_exit(struct sim *sim, struct vproc *proc, int32_t code)
{
    struct vnode *node = &sim->nodes[proc->node];
    if (proc->forgotten || !node->up)
        return;
    feed(sim, node, proc);
    struct rtci_held held[1024];
    uint32_t slot, n = sim_proc_held(proc, held, 1024, &slot);
    bool running = n && held[0].claimed;
    struct rtci_gone gone = {.token = proc->token,
                             .code = code,
                             .exit_status = proc->signal ? -1 : proc->exit_status,
                             .signal = proc->signal,
                             .unclaimed = held + running,
                             .n_unclaimed = n - running,
                             .log = "last words",
                             .log_len = 10};
    if (running)
        gone.claimed = held[0];
    rtci_node_core_gone(node->core, sim->now_ns, &gone, &node->actions);
    end_turn(sim, proc->node);
}

/* ---- The head's turn ---- */

static void head_wake(struct sim *sim, uint64_t at_ns)
{
    if (at_ns >= sim->head_turn_ns)
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
        struct vnode *node = NULL;
        uint32_t index = 0;
        for (; index < sim->swarm.nodes; index++) {
            if (sim->nodes[index].up && sim->nodes[index].number == actions->out[i].node)
                node = &sim->nodes[index];
            if (node)
                break;
        }
        if (!node || !span->len)
            continue;
        check_span(sim, span, "the head said");
        struct message *message = message_new(index, node->link, span->data, span->len);
        uint64_t at = sim->now_ns + link_delay(sim, node);
        if (at <= node->last_to_node_ns)
            at = node->last_to_node_ns + 1;
        node->last_to_node_ns = at;
        sim_at(sim, at, EV_TO_NODE, index, 0, message);
    }
    uint64_t deadline = actions->deadline_ns;
    print_trace(sim, "head ", (uint32_t)sim->head_epoch, &actions->trace);
    rtci_head_actions_clear(actions);
    struct rtci_head_stats stats;
    rtci_head_core_stats(sim->head, &stats);
    if (stats.tasks_alive < 300 || sim->steps % 16 == 0)
        rtci_head_core_check(sim->head);
    if (deadline != UINT64_MAX)
        head_wake(sim, deadline > sim->now_ns ? deadline : sim->now_ns + 1);
}

static void head_turn(struct sim *sim)
{
    sim->head_turn_ns = UINT64_MAX;
    for (uint32_t i = 0; i < sim->n_inbox; i++) {
        struct message *message = sim->inbox[i];
        struct vnode *node = &sim->nodes[message->node];
        if (message->link == node->link && node->up) {
            rtci_head_core_receive(sim->head, sim->now_ns, node->number, node->incarnation,
                                   message->span.data, message->span.len, &sim->head_actions);
            sim_at(sim, sim->now_ns + link_delay(sim, node), EV_ACK, message->node, 0, message);
        } else {
            message_free(message);
        }
    }
    sim->n_inbox = 0;
    rtci_head_core_tick(sim->head, sim->now_ns, &sim->head_actions);
    head_end(sim);
}

static void on_ack(struct sim *sim, struct message *message)
{
    if (message->link == sim->nodes[message->node].link) {
        for (uint32_t i = 0; i < message->n_marks; i++)
            consume(sim->procs[message->marks[i].proc], message->marks[i].position);
    }
    message_free(message);
}

/* ---- Starts and ends ---- */

static void head_create(struct sim *sim)
{
    struct rtci_head_config config = {
        .epoch = ++sim->head_epoch, .now_ns = sim->now_ns, .seed = sim->seed};
    int rc = rtci_head_core_create(&config, &sim->head);
    SIM_CHECK(sim, rc == 0, "no head");
    sim->head_actions.trace_on = sim->verbose;
    sim->head_turn_ns = UINT64_MAX;
}

static void survivors(struct sim *sim, struct vnode *node)
{
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
                                         .attached = proc->attached,
                                         .held = held};
        survivor.n_held = sim_proc_held(proc, held, 1024, &survivor.slot);
        rtci_node_core_attach(node->core, sim->now_ns, &attach, proc->number ? &survivor : NULL,
                              &node->actions);
    }
}

static void node_core_create(struct sim *sim, struct vnode *node)
{
    node->config.now_ns = sim->now_ns;
    node->config.incarnation = node->incarnation;
    int rc = rtci_node_core_create(&node->config, &node->core);
    SIM_CHECK(sim, rc == 0, "no node");
    node->actions.trace_on = sim->verbose;
    node->config.store_used = true; /* by the next one */
    node->life++;
}

/* Says hello, and in the same message all that stands in the rings, so that what had ended is not
 * begun again. */
static void node_hello(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    rtci_head_core_node_up(sim->head, sim->now_ns, node->number, node->incarnation,
                           &sim->head_actions);
    rtci_node_core_hello(node->core, sim->now_ns, &node->actions);
    rtci_node_core_ready(node->core, &node->actions);
    for (uint32_t i = 0; i < node->n_procs; i++) {
        struct vproc *proc = node->procs[i];
        proc->fed = proc->sent = proc->base;
        feed(sim, node, proc);
    }
    end_turn(sim, index);
    head_wake(sim, sim->now_ns);
}

static void node_start(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    node->up = true;
    node->number = ++sim->next_number;
    node->incarnation++;
    node->link++;
    node->turn_ns = UINT64_MAX;
    node_core_create(sim, node);
    node_hello(sim, index);
}

static void node_stop(struct vnode *node)
{
    rtci_node_core_destroy(node->core);
    node->core = NULL;
    rtci_node_actions_fini(&node->actions);
    for (uint32_t i = 0; i < node->n_inbox; i++)
        message_free(node->inbox[i]);
    node->n_inbox = 0;
}

/* The host is gone, with all that ran and lay there. It comes back as another one. */
void sim_node_kill(struct sim *sim, uint32_t index)
{
    struct vnode *node = &sim->nodes[index];
    if (!node->up)
        return;
    sim_say(sim, "node %u (%u) dies", index, node->number);
    sim->n_node_kills++;
    node->up = false;
    node->link++;
    node_stop(node);
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
    rtci_head_core_node_down(sim->head, sim->now_ns, node->number, node->incarnation, "it died",
                             &sim->head_actions);
    head_end(sim);
    head_wake(sim, sim->now_ns);
    sim_at(sim, sim->now_ns + sim_between(sim, SIM_MS, 50 * SIM_MS), EV_REJOIN, index, 0, NULL);
}

void sim_head_kill(struct sim *sim, bool daemons)
{
    sim_say(sim, "the head dies%s", daemons ? " with the daemons" : "");
    sim->n_head_kills++;
    rtci_head_core_destroy(sim->head);
    rtci_head_actions_fini(&sim->head_actions);
    for (uint32_t i = 0; i < sim->n_inbox; i++)
        message_free(sim->inbox[i]);
    sim->n_inbox = 0;
    head_create(sim);
    const char *text = "";
    int rc = rtci_head_core_replay(sim->head, sim->journal.data, sim->journal.len, &text);
    SIM_CHECK(sim, rc == 0, "replay: %s", text);
    rtci_head_core_recovered(sim->head, sim->now_ns, 10 * SIM_S);
    rtci_head_core_check(sim->head);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct vnode *node = &sim->nodes[i];
        if (!node->up)
            continue;
        node->link++;
        node->turn_ns = UINT64_MAX;
        for (uint32_t k = 0; k < node->n_inbox; k++)
            message_free(node->inbox[k]);
        node->n_inbox = 0;
        if (daemons) {
            node_stop(node);
            node_core_create(sim, node);
            survivors(sim, node);
        }
        node_hello(sim, i);
        for (uint32_t k = 0; k < node->n_procs; k++)
            sim_proc_epoch(sim, node->procs[k]);
    }
}

static int emit(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* The journal is folded into what is alive, as the store does it now and then. */
static void fold(struct sim *sim)
{
    struct rtci_buf folded = {0};
    int rc = rtci_head_core_snapshot(sim->head, emit, &folded);
    SIM_CHECK(sim, rc == 0, "snapshot");
    rtci_buf_fini(&sim->journal);
    sim->journal = folded;
}

static void chaos(struct sim *sim)
{
    const struct swarm *swarm = &sim->swarm;
    if (sim->now_ns < sim->end_chaos_ns)
        sim_at(sim, sim->now_ns + sim_between(sim, swarm->chaos_ns / 2, swarm->chaos_ns * 2),
               EV_CHAOS, 0, 0, NULL);
    if (sim_chance(sim, 100))
        fold(sim);
    if (sim_chance(sim, swarm->kill_head))
        sim_head_kill(sim, false);
    if (sim_chance(sim, swarm->kill_daemon))
        sim_head_kill(sim, true);
    if (swarm->nodes > 1 && sim_chance(sim, swarm->kill_node))
        sim_node_kill(sim, 1 + (uint32_t)sim_between(sim, 0, swarm->nodes - 2));
    struct vnode *node = &sim->nodes[sim_between(sim, 0, swarm->nodes - 1)];
    if (!node->n_procs || !node->up)
        return;
    struct vproc *proc = node->procs[sim_between(sim, 0, node->n_procs - 1)];
    bool driver = proc->role == RTCI_ROLE_DRIVER;
    if (proc->alive && proc->number &&
        sim_chance(sim, driver ? swarm->kill_driver : swarm->kill_exec))
        sim_proc_kill(sim, proc, 9);
}

void sim_event(struct sim *sim, const struct event *event)
{
    struct vnode *node = &sim->nodes[event->a];
    struct message *message = event->message;
    switch (event->type) {
    case EV_NODE_TURN:
        if (node->up && event->b == node->link && node->turn_ns == event->at_ns)
            node_turn(sim, event->a);
        break;
    case EV_HEAD_TURN:
        if (event->a == (uint32_t)sim->head_epoch && sim->head_turn_ns == event->at_ns)
            head_turn(sim);
        break;
    case EV_TO_HEAD:
        if (message->link != node->link) {
            message_free(message);
            break;
        }
        sim_grow(&sim->inbox, &sim->cap_inbox, sim->n_inbox, sizeof(*sim->inbox));
        sim->inbox[sim->n_inbox++] = message;
        head_wake(sim, sim->now_ns + sim_between(sim, 0, 20 * SIM_US));
        break;
    case EV_TO_NODE:
        if (message->link != node->link) {
            message_free(message);
            break;
        }
        sim_grow(&node->inbox, &node->cap_inbox, node->n_inbox, sizeof(*node->inbox));
        node->inbox[node->n_inbox++] = message;
        sim_node_wake(sim, event->a, sim->now_ns + sim_between(sim, 0, 20 * SIM_US));
        break;
    case EV_ACK: on_ack(sim, message); break;
    case EV_PROC: sim_proc_step(sim, sim->procs[event->a]); break;
    case EV_ATTACH: {
        struct vproc *proc = sim->procs[event->a];
        if (!proc->alive || proc->forgotten)
            break;
        proc->attached = true;
        rtci_node_core_executor_ready(sim->nodes[proc->node].core, sim->now_ns, proc->token,
                                      proc->index, &sim->nodes[proc->node].actions);
        end_turn(sim, proc->node);
        sim_proc_wake(sim, proc, SIM_US);
        break;
    }
    case EV_EXIT: process_exit(sim, sim->procs[event->a], (int32_t)event->b); break;
    case EV_CHAOS: chaos(sim); break;
    case EV_REJOIN: node_start(sim, event->a); break;
    case EV_PULL: on_pull(sim, event->a, message); break;
    default: SIM_FAIL(sim, "event %u", event->type);
    }
}

static void attach_driver(struct sim *sim, uint32_t index, uint32_t token)
{
    struct vproc *proc = sim_proc_new(sim, index, token, RTCI_ROLE_DRIVER);
    proc->job_lo = sim_between(sim, 1, UINT32_MAX);
    proc->to_submit = sim->swarm.tasks / sim->swarm.drivers;
    struct rtci_attach attach = {
        .token = token, .role = RTCI_ROLE_DRIVER, .pid = proc->index, .job_lo = proc->job_lo};
    snprintf(attach.name, sizeof(attach.name), "sim");
    struct vnode *node = &sim->nodes[index];
    rtci_node_core_attach(node->core, sim->now_ns, &attach, NULL, &node->actions);
    sim->drivers_left++;
    end_turn(sim, index);
}

void sim_start(struct sim *sim)
{
    head_create(sim);
    rtci_head_core_recovered(sim->head, sim->now_ns, 0);
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
        node_start(sim, i);
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
    rtci_head_core_stats(sim->head, &stats);
    rtci_head_core_check(sim->head);
    SIM_CHECK(sim, sim->drivers_left == 0, "%u drivers wait for ever", sim->drivers_left);
    SIM_CHECK(sim, stats.tasks_alive == 0 && stats.objects == 0,
              "%llu tasks and %llu objects are left", (unsigned long long)stats.tasks_alive,
              (unsigned long long)stats.objects);
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
            message_free(sim->heap[i].message);
    }
    for (uint32_t i = 0; i < sim->n_inbox; i++)
        message_free(sim->inbox[i]);
    for (uint32_t i = 0; i < sim->swarm.nodes; i++) {
        struct vnode *node = &sim->nodes[i];
        if (node->up)
            node_stop(node);
        free(node->inbox);
        free(node->procs);
    }
    for (uint32_t i = 0; i < sim->n_procs; i++)
        sim_proc_free(sim->procs[i]);
    rtci_head_core_destroy(sim->head);
    rtci_head_actions_fini(&sim->head_actions);
    rtci_buf_fini(&sim->journal);
    rtci_map_fini(&sim->known_by_id);
    free(sim->inbox);
    free(sim->nodes);
    free(sim->procs);
    free(sim->known);
    free(sim->heap);
}
