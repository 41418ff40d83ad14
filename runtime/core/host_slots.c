/* Slots and executors: which process runs what, starting, ending, killing. */
#include <stdlib.h>

#include "runtime/core/host_internal.h"

struct nslot *node_slot(struct rtci_node_core *core, uint32_t number)
{
    NODE_GROW(core->slots, core->cap_slots, number);
    if (core->n_slots <= number)
        core->n_slots = number + 1;
    return &core->slots[number];
}

static uint32_t free_token(struct rtci_node_core *core)
{
    /* From the top: the loop numbers what attaches from the bottom. */
    for (uint32_t i = RTCI_CLIENTS_MAX - 1; i > RTCI_CLIENTS_MAX / 2; i--) {
        if (i >= core->n_locals || core->locals[i].state == LOCAL_FREE)
            return i;
    }
    return 0;
}

static uint32_t driver_of(struct rtci_node_core *core, uint32_t job)
{
    for (uint32_t i = 1; i < core->n_locals; i++) {
        const struct local *local = &core->locals[i];
        if (local->state == LOCAL_ALIVE && local->role == RTCI_ROLE_DRIVER && local->job == job)
            return i;
    }
    return 0;
}

/* Asks the head for a client number; the answer starts the process. */
uint32_t node_exec_new(struct rtci_node_core *core, uint32_t driver, uint32_t job, bool command,
                       uint32_t cpus, uint64_t gpus)
{
    uint32_t token = free_token(core);
    if (!token)
        return 0;
    NODE_GROW(core->locals, core->cap_locals, token);
    if (core->n_locals <= token)
        core->n_locals = token + 1;
    struct local *local = &core->locals[token];
    memset(local, 0, sizeof(*local));
    local->state = LOCAL_ASKED;
    local->role = RTCI_ROLE_EXECUTOR;
    local->job = job;
    local->driver = command ? 0 : driver;
    local->command = command;
    local->profile_cpus = cpus ? cpus : 1;
    local->profile_gpus = gpus;
    local->since_ns = core->now_ns;
    memcpy(local->name, core->locals[driver].name, sizeof(local->name));
    memcpy(local->ns, core->locals[driver].ns, sizeof(local->ns));
    core->n_execs++;
    struct rtci_client_new *out = node_to_head(core, RTCI_R_CLIENT_NEW, sizeof(*out));
    out->token = token;
    out->role = RTCI_ROLE_EXECUTOR;
    out->job = job;
    memcpy(out->name, local->name, sizeof(out->name));
    memcpy(out->ns, local->ns, sizeof(out->ns));
    return token;
}

void node_prestart(struct rtci_node_core *core, uint32_t driver)
{
    struct local *local = &core->locals[driver];
    uint32_t job = local->job;
    for (uint32_t i = 0; i < core->config.prestart && core->n_execs < RTCI_CLIENTS_MAX / 2; i++)
        node_exec_new(core, driver, job, false, 1, 0);
}

void node_on_client_id(struct rtci_node_core *core, const struct rtci_client_id *id)
{
    struct local *local = node_local(core, id->token);
    if (!local)
        return;
    bool survivor = local->survivor;
    if (id->status == 0) {
        local->client = id->client;
        local->job = id->job;
    }
    if (local->role == RTCI_ROLE_EXECUTOR) {
        if (id->status) {
            node_end(core, id->token, true);
            return;
        }
        if (survivor || local->state != LOCAL_ASKED)
            return;
        local->state = LOCAL_STARTING;
        local->since_ns = core->now_ns;
        struct rtci_node_action *act = node_act(core, RTCI_NA_SPAWN, id->token);
        act->client = id->client;
        act->job = id->job;
        act->profile_cpus = local->profile_cpus;
        act->profile_gpus = local->profile_gpus;
        act->driver_token = local->driver;
        return;
    }
    if (survivor && !id->status)
        return;
    struct rtci_node_action *act = node_act(core, RTCI_NA_WELCOME, id->token);
    act->client = id->client;
    act->job = id->job;
    act->status = id->status;
    if (id->status)
        return;
    local->state = LOCAL_ALIVE;
    if (local->role == RTCI_ROLE_DRIVER)
        node_prestart(core, id->token);
}

/* ---- Tasks ---- */

static uint64_t take_gpus(struct rtci_node_core *core, uint32_t n)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < core->config.n_gpus && i < 64 && n; i++) {
        if (core->gpus_busy >> i & 1)
            continue;
        mask |= 1ull << i;
        n--;
    }
    core->gpus_busy |= mask;
    return mask;
}

/* An executor that is idle and of the right kind; a ready one rather than one that starts. */
static uint32_t find_exec(struct rtci_node_core *core, const struct nslot *slot, bool command,
                          uint32_t cpus)
{
    uint32_t starting = 0;
    for (uint32_t i = RTCI_CLIENTS_MAX / 2; i < core->n_locals; i++) {
        const struct local *local = &core->locals[i];
        if (local->role != RTCI_ROLE_EXECUTOR || local->slot || local->job != slot->job ||
            local->command != command || local->profile_cpus != cpus ||
            local->profile_gpus != slot->gpus)
            continue;
        if (local->state == LOCAL_ALIVE)
            return i;
        if (local->state == LOCAL_ASKED || local->state == LOCAL_STARTING)
            starting = i;
    }
    return starting;
}

static void send(struct rtci_node_core *core, struct nslot *slot, const void *task, size_t size)
{
    struct local *local = &core->locals[slot->exec];
    if (local->state == LOCAL_ALIVE) {
        node_put_client(core, slot->exec, task, size);
        local->queued++;
    } else {
        rtci_buf_put(&slot->queue, task, size);
    }
}

static void lose_slot(struct rtci_node_core *core, uint32_t number, int code, int errno_value)
{
    struct rtci_slot_lost *out = node_to_head(core, RTCI_R_SLOT_LOST, sizeof(*out));
    out->slot = number;
    out->code = code;
    out->exit_status = errno_value;
    struct nslot *slot = &core->slots[number];
    core->gpus_busy &= ~slot->gpus;
    rtci_buf_fini(&slot->queue);
    memset(slot, 0, sizeof(*slot));
}

void node_on_task(struct rtci_node_core *core, const struct rtci_spec *task)
{
    struct nslot *slot = node_slot(core, task->slot);
    if (!slot->used) {
        uint32_t cpus = task->shape & 0xffff, gpus = task->shape >> 16;
        bool command = task->flags & RTCI_SPEC_COMMAND;
        slot->used = true;
        slot->job = task->job;
        slot->gpus = gpus ? take_gpus(core, gpus) : 0;
        uint32_t token = find_exec(core, slot, command, cpus);
        if (!token) {
            uint32_t driver = driver_of(core, task->job);
            token = node_exec_new(core, driver, task->job, command, cpus, slot->gpus);
            slot = node_slot(core, task->slot);
        }
        slot->exec = token;
        if (!token) {
            lose_slot(core, task->slot, RTC_E_OS, 11);
            return;
        }
        core->locals[token].slot = task->slot;
    }
    send(core, slot, task, task->rec.size);
}

void node_exec_ready(struct rtci_node_core *core, uint32_t token)
{
    struct local *local = &core->locals[token];
    local->state = LOCAL_ALIVE;
    local->since_ns = core->now_ns;
    if (!local->slot)
        return;
    struct nslot *slot = &core->slots[local->slot];
    for (size_t at = 0; at < slot->queue.len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(slot->queue.data + at);
        node_put_client(core, token, rec, rec->size);
        local->queued++;
        at += rec->size;
    }
    rtci_buf_fini(&slot->queue);
}

void node_on_slot_free(struct rtci_node_core *core, uint32_t number)
{
    if (!number || number >= core->n_slots || !core->slots[number].used)
        return;
    struct nslot *slot = &core->slots[number];
    struct local *local = node_local(core, slot->exec);
    if (local) {
        local->slot = 0;
        local->since_ns = core->now_ns;
    }
    core->gpus_busy &= ~slot->gpus;
    rtci_buf_fini(&slot->queue);
    memset(slot, 0, sizeof(*slot));
}

/* Gives back what still waits for its executor to start; true when that was all. */
static bool return_queue(struct rtci_node_core *core, uint32_t number, const struct rtci_id *only)
{
    struct nslot *slot = &core->slots[number];
    struct rtci_buf rows = {0}, keep = {0};
    uint32_t n = 0;
    for (size_t at = 0; at < slot->queue.len;) {
        const struct rtci_spec *spec = (const struct rtci_spec *)(slot->queue.data + at);
        struct rtci_id id = {spec->seq, spec->client, 0};
        at += spec->rec.size;
        if (only && !rtci_id_equal(*only, id)) {
            rtci_buf_put(&keep, spec, spec->rec.size);
            continue;
        }
        struct rtci_held held = {id, spec->attempt, 0};
        rtci_buf_put(&rows, &held, sizeof(held));
        n++;
    }
    rtci_buf_fini(&slot->queue);
    slot->queue = keep;
    if (n) {
        struct rtci_returned *out = node_to_head(core, RTCI_R_RETURNED, sizeof(*out) + rows.len);
        out->slot = number;
        out->n = n;
        memcpy(out + 1, rows.data, rows.len);
    }
    rtci_buf_fini(&rows);
    return n != 0;
}

void node_on_recall(struct rtci_node_core *core, const struct rtci_slot_msg *msg)
{
    if (msg->slot >= core->n_slots || !core->slots[msg->slot].used)
        return;
    struct nslot *slot = &core->slots[msg->slot];
    struct local *local = node_local(core, slot->exec);
    if (local && local->state == LOCAL_ALIVE) {
        node_act(core, RTCI_NA_RECALL, slot->exec)->count = msg->op;
        return;
    }
    if (!return_queue(core, msg->slot, NULL)) { /* an answer is owed */
        struct rtci_returned *out = node_to_head(core, RTCI_R_RETURNED, sizeof(*out));
        out->slot = msg->slot;
    }
}

void rtci_node_core_recalled(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                             const struct rtci_held *tasks, uint32_t n,
                             struct rtci_node_actions *actions)
{
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    core->actions = actions;
    struct local *local = node_local(core, token);
    if (!local || !local->slot)
        return;
    local->queued -= n < local->queued ? n : local->queued;
    struct rtci_returned *out =
        node_to_head(core, RTCI_R_RETURNED, sizeof(*out) + n * sizeof(*tasks));
    out->slot = local->slot;
    out->n = n;
    if (n)
        memcpy(out + 1, tasks, n * sizeof(*tasks));
}

void node_on_blocked(struct rtci_node_core *core, uint32_t token, bool blocked)
{
    struct local *local = &core->locals[token];
    if (local->role != RTCI_ROLE_EXECUTOR || !local->slot || local->blocked == blocked)
        return;
    local->blocked = blocked;
    struct rtci_slot_msg *out = node_to_head(core, RTCI_R_SLOT_BLOCKED, sizeof(*out));
    out->slot = local->slot;
    out->op = blocked;
    if (blocked)
        node_act(core, RTCI_NA_RECALL, token);
}

/* ---- Ends ---- */

static void kill_exec(struct rtci_node_core *core, uint32_t token, int sig)
{
    struct local *local = &core->locals[token];
    if (local->state == LOCAL_ASKED)
        return; /* no process yet */
    node_act(core, RTCI_NA_KILL, token)->signal = sig;
    local->killed = true;
    local->kill_signal = sig == 15 ? 9 : 0;
    local->kill_ns = sig == 15 ? core->now_ns + RTCI_CANCEL_GRACE_NS : 0;
}

/* Ends an executor: at once, or when it is idle. */
void node_end(struct rtci_node_core *core, uint32_t token, bool now)
{
    struct local *local = &core->locals[token];
    if (local->state == LOCAL_ASKED) { /* never started: its number comes back unused */
        struct rtci_gone gone = {.token = token, .code = RTC_E_JOB_ENDED, .exit_status = -1};
        rtci_node_core_gone(core, core->now_ns, &gone, core->actions);
        return;
    }
    bool was_alive = local->state == LOCAL_ALIVE;
    local->state = LOCAL_ENDING;
    if (now || !was_alive) {
        kill_exec(core, token, 9);
        return;
    }
    node_to_client(core, token, RTCI_R_SHUTDOWN, sizeof(struct rtci_rec));
    local->kill_signal = 9;
    local->kill_ns = core->now_ns + RTCI_CANCEL_GRACE_NS;
}

void node_on_job_end(struct rtci_node_core *core, uint32_t job)
{
    for (uint32_t i = 1; i < core->n_locals; i++) {
        const struct local *local = &core->locals[i];
        if (local->state != LOCAL_FREE && local->state != LOCAL_ENDING &&
            local->role == RTCI_ROLE_EXECUTOR && local->job == job)
            node_end(core, i, true);
    }
}

void node_on_cancel(struct rtci_node_core *core, const struct rtci_cancel *cancel)
{
    if (!cancel->slot || cancel->slot >= core->n_slots || !core->slots[cancel->slot].used)
        return;
    struct nslot *slot = &core->slots[cancel->slot];
    struct local *local = node_local(core, slot->exec);
    if (!local || local->state != LOCAL_ALIVE) {
        return_queue(core, cancel->slot, &cancel->id);
        return;
    }
    /* Whether it has begun only its ring can tell: what has not comes back, the rest is asked. */
    node_act(core, RTCI_NA_RECALL, slot->exec);
    struct rtci_cancel *out = node_to_client(core, slot->exec, RTCI_R_CANCEL, sizeof(*out));
    *out = *cancel;
    local->cancel = cancel->id;
    if (cancel->mode & RTCI_CANCEL_FORCE) {
        local->kill_signal = 9;
        local->kill_ns = core->now_ns + 1;
    } else {
        local->kill_signal = 15;
        local->kill_ns = core->now_ns + RTCI_CANCEL_GRACE_NS;
    }
}

void node_exec_gone(struct rtci_node_core *core, const struct rtci_gone *gone)
{
    struct local *local = &core->locals[gone->token];
    uint32_t number = local->slot;
    core->n_execs--;
    if (!number)
        return;
    return_queue(core, number, NULL);
    if (gone->n_unclaimed) {
        size_t rows = gone->n_unclaimed * sizeof(struct rtci_held);
        struct rtci_returned *back = node_to_head(core, RTCI_R_RETURNED, sizeof(*back) + rows);
        back->slot = number;
        back->n = gone->n_unclaimed;
        memcpy(back + 1, gone->unclaimed, rows);
    }
    uint32_t log_len = gone->log_len > RTCI_ERROR_LOG_MAX ? RTCI_ERROR_LOG_MAX : gone->log_len;
    struct rtci_slot_lost *out = node_to_head(core, RTCI_R_SLOT_LOST, sizeof(*out) + log_len);
    out->slot = number;
    out->client = local->client;
    out->claimed = gone->claimed.id;
    out->claimed_attempt = gone->claimed.attempt;
    out->exit_status = gone->exit_status;
    out->signal = gone->signal;
    out->pid = local->pid;
    out->code = local->killed && local->state == LOCAL_STARTING ? RTC_E_NO_REGISTER : gone->code;
    out->log_len = log_len;
    if (log_len)
        memcpy(out + 1, gone->log + gone->log_len - log_len, log_len);
    struct nslot *slot = &core->slots[number];
    core->gpus_busy &= ~slot->gpus;
    rtci_buf_fini(&slot->queue);
    memset(slot, 0, sizeof(*slot));
    local->slot = 0;
}

/* Timers: register, escalate, end surplus executors. */
void node_exec_tick(struct rtci_node_core *core)
{
    uint32_t idle = 0;
    for (uint32_t i = RTCI_CLIENTS_MAX / 2; i < core->n_locals; i++) {
        struct local *local = &core->locals[i];
        if (local->role != RTCI_ROLE_EXECUTOR || local->state == LOCAL_FREE)
            continue;
        uint64_t next = UINT64_MAX;
        if (local->state == LOCAL_STARTING && !local->killed) {
            next = local->since_ns + RTCI_EXEC_REGISTER_NS;
            if (next <= core->now_ns)
                kill_exec(core, i, 9);
        }
        if (local->kill_ns && local->kill_ns <= core->now_ns && !local->queued &&
            local->cancel.client) {
            local->kill_ns = 0; /* what was to be cancelled ended by itself */
            local->cancel = (struct rtci_id){0};
        }
        if (local->kill_ns && local->kill_ns <= core->now_ns)
            kill_exec(core, i, local->kill_signal);
        if (local->kill_ns && local->kill_ns < next)
            next = local->kill_ns;
        if (local->state == LOCAL_ALIVE && !local->slot && ++idle > core->config.prestart) {
            uint64_t ends = local->since_ns + RTCI_EXEC_IDLE_NS;
            if (ends <= core->now_ns)
                node_end(core, i, false);
            else if (ends < next)
                next = ends;
        }
        if (next > core->now_ns && next < core->actions->deadline_ns)
            core->actions->deadline_ns = next;
    }
}
