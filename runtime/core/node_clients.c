/* Local processes: attaching, leaving, and what they and the head say to each other. Runs of
 * records that only pass through are copied with one memcpy, wrapped in FROM_CLIENT. */
#include "runtime/core/node.h"

struct proc *node_proc(struct rtci_node_core *core, uint32_t token)
{
    if (!token || token >= core->n_procs || core->procs[token].state == PROC_FREE)
        return NULL;
    return &core->procs[token];
}

uint32_t node_proc_number(const struct rtci_node_core *core, uint32_t number)
{
    const uint32_t *token = rtci_map_find(&core->proc_by_number, number, 0);
    return token ? *token : 0;
}

void node_proc_number_set(struct rtci_node_core *core, uint32_t token, uint32_t number)
{
    core->procs[token].number = number;
    node_map_set(&core->proc_by_number, number, 0, token);
}

/* ---- Coming ---- */

void node_client_new(struct rtci_node_core *core, uint32_t token, struct rtci_node_actions *actions)
{
    const struct proc *proc = &core->procs[token];
    struct rtci_client_new *rec = node_say(actions, RTCI_R_CLIENT_NEW, sizeof(*rec));
    rec->token = token;
    rec->role = proc->role;
    rec->client = proc->number;
    rec->job = proc->job;
    rec->pid = proc->pid;
    rec->slot_profile = proc->cpus;
    rec->job_hi = proc->job_hi;
    rec->job_lo = proc->job_lo;
    memcpy(rec->name, proc->name, sizeof(rec->name) - 1);
    memcpy(rec->ns, proc->ns, sizeof(rec->ns) - 1);
}

/* An executor that outlived the daemon: its slot and the tasks in its ring. */
static void adopt_executor(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                           const struct rtci_survivor *survivor, struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    proc->state = survivor->attached ? PROC_READY : PROC_STARTING;
    proc->ready = survivor->attached;
    proc->cpus = survivor->profile_cpus;
    proc->gpus = survivor->profile_gpus;
    proc->gpu = 10000 * (uint32_t)__builtin_popcountll(proc->gpus);
    proc->command = survivor->driver_token == 0 && !survivor->program;
    proc->since_ns = proc->started_ns = now_ns;
    core->n_execs++;
    struct job *job = node_job(core, proc->job, true);
    job->n_execs++;
    if (!survivor->attached)
        node_wake(core, now_ns + RTCI_EXEC_REGISTER_NS);
    if (!survivor->slot || !survivor->n_held || node_slot(core, survivor->slot)) {
        node_exec_idle(core, now_ns, token);
        return;
    }
    struct rtci_slot_open open = {.slot = survivor->slot,
                                  .job = proc->job,
                                  .shape_client = survivor->shape_client,
                                  .shape = survivor->shape};
    uint32_t index = node_slot_open(core, now_ns, &open, actions);
    struct slot *slot = &core->slots[index];
    slot->cpus = proc->cpus;
    slot->gpu = proc->gpu;
    slot->gpus = proc->gpus;
    slot->command = proc->command;
    slot->actor = survivor->actor;
    slot->restarts = survivor->restarts;
    slot->decided = true;
    slot->proc = token;
    slot->front_ns = now_ns;
    node_gpus_take(core, slot->gpu, slot->gpus, 1);
    proc->slot = index;
    for (uint32_t i = 0; i < survivor->n_held; i++)
        node_tasks_push(&slot->tasks, survivor->held[i].id, survivor->held[i].attempt,
                        survivor->held[i].claimed);
    slot->told = survivor->held[0].claimed;
    core->n_waiting--; /* it was opened without an executor */
}

void rtci_node_core_attach(struct rtci_node_core *core, uint64_t now_ns,
                           const struct rtci_attach *attach, const struct rtci_survivor *survivor,
                           struct rtci_node_actions *actions)
{
    uint32_t token = attach->token;
    RTCI_ASSERT(token && token < RTCI_CLIENTS_MAX);
    struct proc *proc = &core->procs[token];
    RTCI_ASSERT(proc->state == PROC_FREE);
    if (core->n_procs <= token)
        core->n_procs = token + 1;
    *proc = (struct proc){.state = PROC_NUMBERING,
                          .role = (uint8_t)attach->role,
                          .pid = attach->pid,
                          .job_hi = attach->job_hi,
                          .job_lo = attach->job_lo};
    memcpy(proc->name, attach->name, sizeof(proc->name) - 1);
    memcpy(proc->ns, attach->ns, sizeof(proc->ns) - 1);
    if (survivor && survivor->client && !node_proc_number(core, survivor->client)) {
        proc->job = survivor->job;
        proc->state = PROC_ATTACHED;
        node_proc_number_set(core, token, survivor->client);
        if (proc->role == RTCI_ROLE_EXECUTOR)
            adopt_executor(core, now_ns, token, survivor, actions);
        else
            node_job(core, proc->job, true)->driver = token;
    } else if (proc->role == RTCI_ROLE_EXECUTOR) { /* nobody asked for it */
        node_kill(token, 9, actions);
        proc->state = PROC_ENDING;
        proc->kill_ns = NODE_NEVER;
        core->n_execs++;
        return;
    }
    if (core->told)
        node_client_new(core, token, actions);
    node_deadline(core, actions);
}

/* The head's answer to CLIENT_NEW. */
void node_client_id(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_client_id *rec,
                    struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, rec->token);
    if (!proc || (proc->number && proc->number != rec->client))
        return;
    if (rec->status != 0 || !rec->client) {
        int status = rec->status ? rec->status : RTC_E_PROTOCOL;
        if (proc->role == RTCI_ROLE_EXECUTOR && proc->state != PROC_NUMBERING) {
            node_exec_end(core, now_ns, rec->token, 9, actions);
        } else if (proc->role == RTCI_ROLE_EXECUTOR) {
            struct rtci_gone gone = {.token = rec->token, .code = status, .exit_status = -1};
            node_exec_gone(core, now_ns, &gone, actions);
        } else {
            if (!proc->number)
                node_act(actions, RTCI_NA_WELCOME, rec->token)->status = status;
            node_proc_forget(core, rec->token, status, actions);
        }
        return;
    }
    if (proc->state != PROC_NUMBERING || node_proc_number(core, rec->client))
        return;
    node_proc_number_set(core, rec->token, rec->client);
    proc->job = rec->job;
    if (proc->role == RTCI_ROLE_EXECUTOR) {
        node_exec_numbered(core, now_ns, rec->token, actions);
        return;
    }
    if (proc->gone) {
        node_proc_forget(core, rec->token, 0, actions);
        return;
    }
    proc->state = PROC_ATTACHED;
    struct rtci_node_action *act = node_act(actions, RTCI_NA_WELCOME, rec->token);
    act->client = rec->client;
    act->job = rec->job;
    if (proc->role == RTCI_ROLE_DRIVER) {
        node_job(core, rec->job, true)->driver = rec->token;
        node_prestart(core, now_ns, rec->job, actions);
    }
}

void rtci_node_core_executor_ready(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                   uint32_t pid, struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, token);
    if (!proc || proc->role != RTCI_ROLE_EXECUTOR)
        return;
    proc->pid = pid;
    if (proc->state != PROC_STARTING)
        return;
    proc->state = PROC_READY;
    proc->ready = true;
    proc->since_ns = now_ns;
    node_trace(actions, "executor %u ready", token);
    if (proc->slot)
        node_slot_flush(core, now_ns, &core->slots[proc->slot], actions);
    else
        node_wake(core, now_ns + RTCI_EXEC_IDLE_NS);
    node_deadline(core, actions);
}

/* ---- Going ---- */

void node_proc_forget(struct rtci_node_core *core, uint32_t token, int status,
                      struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    node_drop_all(core, token, actions);
    node_objects_abandon(core, token, actions);
    if (proc->number) {
        node_parked_client_gone(core, proc->number);
        rtci_map_remove(&core->proc_by_number, proc->number, 0);
        struct rtci_client_gone *gone = node_say(actions, RTCI_R_CLIENT_GONE, sizeof(*gone));
        gone->client = proc->number;
        gone->clean = proc->bye;
    }
    struct job *job = node_job(core, proc->job, false);
    if (job && job->driver == token) {
        job->driver = 0;
        node_job_try_free(core, proc->job);
    }
    for (uint32_t i = 0; proc->credit_due && i < core->n_credit; i++) {
        if (core->credit[i] == token) {
            core->credit[i] = core->credit[--core->n_credit];
            break;
        }
    }
    bool known = proc->role != RTCI_ROLE_EXECUTOR || proc->state != PROC_NUMBERING;
    *proc = (struct proc){0};
    if (known) /* the loop has heard of it */
        node_act(actions, RTCI_NA_CLOSE, token)->status = status;
    node_trace(actions, "client token=%u forgotten status=%d", token, status);
}

void rtci_node_core_gone(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_gone *gone,
                         struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, gone->token);
    if (!proc)
        return;
    if (proc->role == RTCI_ROLE_EXECUTOR)
        node_exec_gone(core, now_ns, gone, actions);
    else if (proc->state == PROC_NUMBERING && core->told)
        proc->gone = true; /* the head is about to give it a number: it must hear of its end */
    else
        node_proc_forget(core, gone->token, 0, actions);
    node_deadline(core, actions);
}

/* It wrote nonsense: it is disconnected, nothing else is disturbed. */
static void disconnect(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                       struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    if (proc->role != RTCI_ROLE_EXECUTOR) {
        node_proc_forget(core, token, RTC_E_PROTOCOL, actions);
        return;
    }
    proc->bad = true; /* its gone() settles the tasks */
    node_exec_end(core, now_ns, token, 9, actions);
}

/* ---- Records of clients ---- */

static enum node_verdict on_done(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                 const struct rtci_done *done, struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    if (RTCI_UNLIKELY(proc->role != RTCI_ROLE_EXECUTOR))
        return NODE_BAD;
    struct rtci_id id = {done->seq, done->client, 0};
    bool known = proc->slot && node_task_remove(core, now_ns, &core->slots[proc->slot], id);
    if (RTCI_UNLIKELY(proc->n_cancels))
        node_cancels_forget(core, token, &id);
    bool large = proc->objects != 0;
    const struct rtci_resolved *rows = rtci_done_returns(done);
    for (uint32_t i = 0; i < done->n_returns; i++)
        large |= rows[i].kind == RTCI_KIND_ARENA;
    if (RTCI_LIKELY(!large))
        return NODE_PASS;
    enum node_verdict verdict = node_done_objects(core, token, done, actions);
    return verdict == NODE_DROP && known ? NODE_BAD : verdict;
}

/* A put is the client's own; a return value is of a task that this executor runs. One of a task
 * that ended is read again after a restart: nobody waits for the answer. */
static enum node_verdict may_alloc(const struct rtci_node_core *core, const struct proc *proc,
                                   struct rtci_id id)
{
    if (id.client == proc->number)
        return id.index ? NODE_BAD : NODE_PASS;
    if (proc->role != RTCI_ROLE_EXECUTOR)
        return NODE_BAD;
    return proc->slot && node_tasks_has(&core->slots[proc->slot].tasks, id) ? NODE_PASS : NODE_DROP;
}

static void on_blocked(struct rtci_node_core *core, uint32_t token, const struct rtci_rec *rec,
                       struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    struct rtci_wrap *wrap = node_say(actions, RTCI_R_FROM_CLIENT, sizeof(*wrap) + rec->size);
    wrap->client = proc->number;
    memcpy(wrap + 1, rec, rec->size);
    if (!proc->slot)
        return;
    struct slot *slot = &core->slots[proc->slot];
    slot->blocked = rec->type == RTCI_R_BLOCKED;
    struct rtci_slot_msg *msg = node_say(actions, RTCI_R_SLOT_BLOCKED, sizeof(*msg));
    msg->slot = slot->number;
    msg->op = slot->blocked;
    if (slot->blocked && slot->tasks.len > 1)
        node_recall(core, slot, 0, actions);
}

/* Records that the node handles itself. */
static enum node_verdict on_taken(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                  const struct rtci_rec *rec, struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_ALLOC: {
        enum node_verdict verdict = may_alloc(core, proc, ((const struct rtci_alloc *)at)->id);
        if (verdict != NODE_PASS)
            return verdict;
        node_alloc(core, now_ns, token, at, actions);
        return NODE_DROP;
    }
    case RTCI_R_ABORT: node_abort(core, token, at, actions); return NODE_DROP;
    case RTCI_R_HOLD: node_hold(core, token, at, actions); return NODE_DROP;
    case RTCI_R_DROP: node_drop(core, token, at, actions); return NODE_DROP;
    case RTCI_R_BYE: proc->bye = true; return NODE_DROP;
    case RTCI_R_BLOCKED:
    case RTCI_R_UNBLOCKED: on_blocked(core, token, rec, actions); return NODE_DROP;
    case RTCI_R_STOP:
        if (proc->role == RTCI_ROLE_EXECUTOR)
            return NODE_BAD;
        node_act(actions, RTCI_NA_STOP, token)->status =
            (int32_t)((const struct rtci_slot_msg *)at)->op;
        return NODE_DROP;
    default: return NODE_BAD;
    }
}

/* Records that pass through once they are seen to be the client's to say. */
static enum node_verdict on_passing(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                    const struct rtci_rec *rec, struct rtci_node_actions *actions)
{
    const struct proc *proc = &core->procs[token];
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_DONE: return on_done(core, now_ns, token, at, actions);
    case RTCI_R_RELEASE:
        return ((const struct rtci_range *)at)->client == proc->number ? NODE_PASS : NODE_BAD;
    case RTCI_R_PUT:
        return ((const struct rtci_put *)at)->id.client == proc->number ? NODE_PASS : NODE_BAD;
    case RTCI_R_SEAL: return node_seal(core, token, at, actions);
    case RTCI_R_SHAPE:
    case RTCI_R_FUNCTION:
    case RTCI_R_WANT:
    case RTCI_R_CANCEL:
    case RTCI_R_PROGRESS:
    case RTCI_R_KV:
    case RTCI_R_QUERY:
    case RTCI_R_PUBLISH:
    case RTCI_R_SUBSCRIBE:
    case RTCI_R_ACTOR_WHERE:
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL:
    case RTCI_R_ACTOR_MONITOR:
    case RTCI_R_ACTOR_DEMONITOR:
    case RTCI_R_ACTOR_LINK:
    case RTCI_R_GROUP_REMOVE:
    case RTCI_R_GROUP_WHERE:
    case RTCI_R_CORDON: return NODE_PASS;
    case RTCI_R_ACTOR_CREATE:
        return ((const struct rtci_spec *)at)->client == proc->number ? NODE_PASS : NODE_BAD;
    case RTCI_R_GROUP_CREATE:
        return ((const struct rtci_group_create *)at)->id.client == proc->number ? NODE_PASS
                                                                                 : NODE_BAD;
    case RTCI_R_ACTOR_UP:
    case RTCI_R_ACTOR_FAILED: return node_actor_said(core, proc, rec);
    case RTCI_R_ACTOR_CALL:
    case RTCI_R_ACTOR_REPLY: return node_route(core, token, rec, actions);
    default: return NODE_BAD;
    }
}

static bool is_taken(uint16_t type)
{
    return (type >= RTCI_R_HOLD && type <= RTCI_R_DROP) || type == RTCI_R_ALLOC ||
           (type >= RTCI_R_ABORT && type <= RTCI_R_UNBLOCKED) || type == RTCI_R_BYE ||
           type == RTCI_R_STOP;
}

static void pass_on(struct rtci_node_actions *actions, uint32_t number, const char *run,
                    const char *end)
{
    size_t size = (size_t)(end - run);
    if (!size)
        return;
    struct rtci_wrap *wrap = rtci_buf_add(&actions->to_head, sizeof(*wrap) + size);
    RTCI_ASSERT(wrap);
    *wrap = (struct rtci_wrap){.rec = {(uint32_t)(sizeof(*wrap) + size), RTCI_R_FROM_CLIENT, 0},
                               .client = number};
    memcpy(wrap + 1, run, size);
}

void rtci_node_core_client_span(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                const void *span, size_t len, struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, token);
    if (!proc || proc->bad)
        return;
    uint32_t number = proc->number;
    const char *run = span, *end = run + len;
    bool bad = number == 0; /* nothing may be said before the welcome */
    for (const char *at = run; !bad && (size_t)(end - at) >= sizeof(struct rtci_rec);) {
        const struct rtci_rec *rec = (const struct rtci_rec *)at;
        const char *next = at + rec->size;
        if (RTCI_LIKELY(rec->type == RTCI_R_SUBMIT)) {
            bad = ((const struct rtci_spec *)rec)->client != number;
        } else {
            enum node_verdict verdict;
            if (is_taken(rec->type)) { /* what it says must stand behind what came before it */
                pass_on(actions, number, run, at);
                run = at;
                verdict = on_taken(core, now_ns, token, rec, actions);
            } else {
                verdict = on_passing(core, now_ns, token, rec, actions);
            }
            bad = verdict == NODE_BAD;
            if (verdict == NODE_DROP) {
                pass_on(actions, number, run, at);
                run = next;
            }
        }
        if (bad)
            end = at;
        at = next;
    }
    if (number)
        pass_on(actions, number, run, end);
    if (bad)
        disconnect(core, now_ns, token, actions);
    node_deadline(core, actions);
}

/* ---- To clients ---- */

/* A subscriber's object is held for it by the head: from here on it is this process's. */
static void on_reply(struct rtci_node_core *core, uint32_t token, const struct rtci_reply *reply,
                     struct rtci_node_actions *actions)
{
    if (!reply->id.client || reply->status != 0)
        return;
    if (token)
        node_hold_one(core, token, reply->id, actions);
    else
        node_hold_none(core, reply->id, actions);
}

/* Likewise who asked for an actor by its name. */
static void on_actor_is(struct rtci_node_core *core, uint32_t token, const struct rtci_actor_is *is,
                        struct rtci_node_actions *actions)
{
    if (!(is->flags & RTCI_IS_HELD))
        return;
    if (token)
        node_hold_one(core, token, is->id, actions);
    else
        node_hold_none(core, is->id, actions);
}

static void tell_run(struct rtci_node_core *core, uint32_t token, const char *run, const char *end,
                     struct rtci_node_actions *actions)
{
    if (!token || run == end)
        return;
    void *at = rtci_buf_add(node_out(core, token, actions), (size_t)(end - run));
    RTCI_ASSERT(at);
    memcpy(at, run, (size_t)(end - run));
}

void node_to_client(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_wrap *wrap,
                    struct rtci_node_actions *actions)
{
    uint32_t token = node_proc_number(core, wrap->client);
    const char *run = (const char *)(wrap + 1), *end = (const char *)wrap + wrap->rec.size;
    for (const char *at = run; (size_t)(end - at) >= sizeof(struct rtci_rec);) {
        const struct rtci_rec *rec = (const struct rtci_rec *)at;
        const char *next = at + rec->size;
        if (RTCI_UNLIKELY(rec->type == RTCI_R_REPLY)) {
            on_reply(core, token, (const struct rtci_reply *)rec, actions);
        } else if (RTCI_UNLIKELY(rec->type == RTCI_R_ACTOR_IS)) {
            on_actor_is(core, token, (const struct rtci_actor_is *)rec, actions);
        } else if (rec->type == RTCI_R_RESULT && RTCI_UNLIKELY(node_has_remote(rec))) {
            tell_run(core, token, run, at, actions);
            run = next;
            if (token && rec->flags & RTCI_RESULT_LAZY)
                node_lazy_result(core, token, rec, actions);
            else if (token)
                node_park_result(core, now_ns, wrap->client, (const struct rtci_done *)rec,
                                 actions);
        }
        at = next;
    }
    tell_run(core, token, run, end, actions);
}

static void say_credit(struct proc *proc, struct rtci_node_actions *actions)
{
    struct rtci_credit *credit = node_say(actions, RTCI_R_CREDIT, sizeof(*credit));
    credit->client = proc->number;
    credit->bytes = proc->read;
    proc->read = 0;
}

void rtci_node_core_client_read(struct rtci_node_core *core, uint32_t token, uint64_t bytes,
                                struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, token);
    if (!proc || !proc->number || !bytes)
        return;
    proc->read += bytes;
    if (!proc->credit_due) {
        NODE_GROW(core->credit, core->cap_credit, core->n_credit);
        core->credit[core->n_credit++] = token;
        proc->credit_due = true;
    }
    if (proc->read >= NODE_CREDIT_CHUNK)
        say_credit(proc, actions);
    node_deadline(core, actions); /* the rest is said by the next tick */
}

void node_credits(struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    for (uint32_t i = 0; i < core->n_credit; i++) {
        struct proc *proc = &core->procs[core->credit[i]];
        proc->credit_due = false;
        if (proc->read)
            say_credit(proc, actions);
    }
    core->n_credit = 0;
}
