/* Slots and the tasks in them: taking, giving back, cancelling.
 *
 * Invariants: a slot's tasks are those that the head sent and that have neither completed nor been
 * given back. Those that are not parked stand in the order in which they came to `pending`, where
 * their records wait until the executor is ready, or to its ring: the first of them is the one that
 * runs. A slot without an executor is counted in n_waiting.
 */
#include <stdlib.h>

#include "runtime/core/node.h"

/* ---- Tasks of a slot ---- */

static struct rtci_held *task_at(const struct tasks *tasks, uint32_t i)
{
    return &tasks->at[(tasks->head + i) & (tasks->cap - 1)];
}

static bool same_task(struct rtci_id a, struct rtci_id b)
{
    return a.seq == b.seq && a.client == b.client;
}

static void tasks_grow(struct tasks *tasks)
{
    uint32_t cap = tasks->cap ? tasks->cap * 2 : 8;
    struct rtci_held *at = malloc(cap * sizeof(*at));
    RTCI_ASSERT(at);
    for (uint32_t i = 0; i < tasks->len; i++)
        at[i] = *task_at(tasks, i);
    free(tasks->at);
    *tasks = (struct tasks){.at = at, .len = tasks->len, .cap = cap};
}

void node_tasks_push(struct tasks *tasks, struct rtci_id id, uint32_t attempt, uint32_t claimed)
{
    if (RTCI_UNLIKELY(tasks->len == tasks->cap))
        tasks_grow(tasks);
    *task_at(tasks, tasks->len++) =
        (struct rtci_held){.id = id, .attempt = attempt, .claimed = claimed != 0};
}

/* Place of a task, or the number of tasks. */
static uint32_t task_find(const struct tasks *tasks, struct rtci_id id)
{
    uint32_t i = 0;
    while (i < tasks->len && !same_task(task_at(tasks, i)->id, id))
        i++;
    return i;
}

bool node_tasks_has(const struct tasks *tasks, struct rtci_id id)
{
    return task_find(tasks, id) < tasks->len;
}

/* Place of the first that is not parked, or the number of tasks. */
static uint32_t front_of(const struct tasks *tasks)
{
    uint32_t i = 0;
    while (i < tasks->len && RTCI_UNLIKELY(task_at(tasks, i)->claimed & NODE_PARKED))
        i++;
    return i;
}

bool node_tasks_running(const struct tasks *tasks)
{
    return front_of(tasks) < tasks->len;
}

static void new_front(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot)
{
    slot->told = false;
    slot->front_ns = now_ns;
    if (slot->tasks.len && !slot->actor)
        node_wake(core, now_ns + NODE_STARTED_NS);
}

static void task_take_quietly(struct slot *slot, uint32_t i)
{
    struct tasks *tasks = &slot->tasks;
    if (i == 0)
        tasks->head = (tasks->head + 1) & (tasks->cap - 1);
    for (tasks->len--; i && i < tasks->len; i++)
        *task_at(tasks, i) = *task_at(tasks, i + 1);
}

static void task_take(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot, uint32_t i)
{
    struct tasks *tasks = &slot->tasks;
    bool front = i == front_of(tasks);
    if (RTCI_UNLIKELY(task_at(tasks, i)->claimed & NODE_PARKED)) {
        struct rtci_id id = task_at(tasks, i)->id;
        node_parked_task_gone(core, slot->number, &id);
    }
    task_take_quietly(slot, i);
    if (front)
        new_front(core, now_ns, slot);
}

bool node_task_remove(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
                      struct rtci_id id)
{
    uint32_t i = task_find(&slot->tasks, id);
    if (i == slot->tasks.len)
        return false;
    task_take(core, now_ns, slot, i);
    return true;
}

/* ---- Slots ---- */

struct slot *node_slot(struct rtci_node_core *core, uint32_t number)
{
    if (RTCI_LIKELY(core->slot_cache && core->slots[core->slot_cache].number == number && number))
        return &core->slots[core->slot_cache];
    const uint32_t *index = number ? rtci_map_find(&core->slot_by_number, number, 0) : NULL;
    if (!index)
        return NULL;
    core->slot_cache = *index;
    return &core->slots[*index];
}

uint32_t node_slot_open(struct rtci_node_core *core, uint64_t now_ns,
                        const struct rtci_slot_open *open, struct rtci_node_actions *actions)
{
    if (!open->slot || node_slot(core, open->slot))
        return 0;
    uint32_t index = core->free_slot;
    if (index) {
        core->free_slot = core->slots[index].next_free;
    } else {
        NODE_GROW(core->slots, core->cap_slots, core->n_slots);
        index = core->n_slots++;
    }
    struct slot *slot = &core->slots[index];
    struct tasks tasks = slot->tasks;
    struct rtci_buf pending = slot->pending;
    uint64_t cpus = ((uint64_t)open->cpu + 9999) / 10000;
    *slot = (struct slot){.number = open->slot,
                          .job = open->job,
                          .cpus = cpus ? (uint32_t)cpus : 1,
                          .gpu = open->gpu,
                          .shape_client = open->shape_client,
                          .shape = open->shape,
                          .front_ns = now_ns,
                          .tasks = tasks,
                          .pending = pending};
    node_map_set(&core->slot_by_number, open->slot, 0, index);
    core->slot_cache = index;
    core->n_waiting++;
    node_trace(actions, "slot %u open job=%u cpu=%u gpu=%u", open->slot, open->job, open->cpu,
               open->gpu);
    return index;
}

void node_slot_free(struct rtci_node_core *core, uint32_t index)
{
    struct slot *slot = &core->slots[index];
    if (slot->proc) {
        core->procs[slot->proc].slot = 0;
        node_gpus_take(core, slot->gpu, slot->gpus, -1);
    } else {
        core->n_waiting--;
    }
    rtci_map_remove(&core->slot_by_number, slot->number, 0);
    node_parked_task_gone(core, slot->number, NULL);
    slot->tasks.len = slot->tasks.head = 0;
    if (slot->pending.cap > 64 * RTCI_KIB)
        rtci_buf_fini(&slot->pending);
    rtci_buf_clear(&slot->pending);
    slot->number = slot->proc = 0;
    slot->next_free = core->free_slot;
    core->free_slot = index;
}

static bool ready(const struct rtci_node_core *core, const struct slot *slot)
{
    return slot->proc && core->procs[slot->proc].ready;
}

static void say_returned(struct rtci_node_actions *actions, struct slot *slot,
                         const struct rtci_held *rows, uint32_t n)
{
    struct rtci_returned *returned =
        node_say(actions, RTCI_R_RETURNED, sizeof(*returned) + n * sizeof(*rows));
    returned->slot = slot->number;
    returned->n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_held *row = (struct rtci_held *)(returned + 1) + i;
        *row = rows[i];
        row->claimed = 0;
    }
    slot->recall_asked = false;
}

static void pass_on(struct rtci_node_core *core, struct slot *slot, const struct rtci_spec *spec,
                    struct rtci_node_actions *actions)
{
    bool direct = ready(core, slot);
    struct rtci_buf *buf = direct ? node_out(core, slot->proc, actions) : &slot->pending;
    void *at = rtci_buf_add(buf, spec->rec.size);
    RTCI_ASSERT(at);
    memcpy(at, spec, spec->rec.size);
    ((struct rtci_rec *)at)->flags = 0; /* the word by which it is claimed */
}

void node_task(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
               struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, spec->slot);
    if (RTCI_UNLIKELY(!slot))
        return; /* the slot was lost while it was on the way: the head has heard of that by now */
    if (RTCI_UNLIKELY(slot->blocked)) {
        /* Sent before the head knew. Behind a task that waits it could wait for ever: for itself.
         */
        struct rtci_held row = {{spec->seq, spec->client, 0}, spec->attempt, 0};
        bool asked = slot->recall_asked;
        say_returned(actions, slot, &row, 1);
        slot->recall_asked = asked;
        return;
    }
    struct tasks *tasks = &slot->tasks;
    bool parked = spec->n_refs && node_has_remote(&spec->rec);
    node_tasks_push(tasks, (struct rtci_id){spec->seq, spec->client, 0}, spec->attempt, 0);
    task_at(tasks, tasks->len - 1)->claimed = parked ? NODE_PARKED : 0;
    if (front_of(tasks) == tasks->len - 1)
        new_front(core, now_ns, slot);
    if (RTCI_UNLIKELY(!slot->decided)) {
        slot->decided = true;
        slot->command = spec->flags & RTCI_SPEC_COMMAND;
        node_bind(core, now_ns, slot, actions);
    }
    if (RTCI_UNLIKELY(parked))
        node_park_task(core, now_ns, spec, actions);
    else
        pass_on(core, slot, spec, actions);
}

static struct rtci_held *parked_find(const struct slot *slot, const struct rtci_spec *spec,
                                     uint32_t *ret_place)
{
    *ret_place = task_find(&slot->tasks, (struct rtci_id){spec->seq, spec->client, 0});
    struct rtci_held *task =
        *ret_place < slot->tasks.len ? task_at(&slot->tasks, *ret_place) : NULL;
    return task && task->claimed & NODE_PARKED && task->attempt == spec->attempt ? task : NULL;
}

bool node_task_is_parked(const struct rtci_node_core *core, const struct rtci_spec *spec)
{
    const uint32_t *index = rtci_map_find(&core->slot_by_number, spec->slot, 0);
    uint32_t place;
    return index && parked_find(&core->slots[*index], spec, &place);
}

void node_task_unpark(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, spec->slot);
    uint32_t place;
    struct rtci_held *task = slot ? parked_find(slot, spec, &place) : NULL;
    if (!task)
        return;
    if (slot->blocked) {
        node_task_return(core, spec, actions);
        return;
    }
    struct tasks *tasks = &slot->tasks;
    struct rtci_held row = *task;
    for (; place + 1 < tasks->len; place++)
        *task_at(tasks, place) = *task_at(tasks, place + 1);
    row.claimed = 0;
    *task_at(tasks, place) = row;
    if (front_of(tasks) == place)
        new_front(core, now_ns, slot);
    pass_on(core, slot, spec, actions);
}

void node_task_return(struct rtci_node_core *core, const struct rtci_spec *spec,
                      struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, spec->slot);
    uint32_t place;
    struct rtci_held *task = slot ? parked_find(slot, spec, &place) : NULL;
    if (!task)
        return;
    struct rtci_held row = *task;
    bool asked = slot->recall_asked;
    task->claimed = 0; /* its record is the caller's to drop */
    task_take_quietly(slot, place);
    say_returned(actions, slot, &row, 1);
    slot->recall_asked = asked;
}

void node_slot_flush(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
                     struct rtci_node_actions *actions)
{
    if (slot->pending.len) {
        struct rtci_buf *out = node_out(core, slot->proc, actions);
        rtci_buf_put(out, slot->pending.data, slot->pending.len);
        RTCI_ASSERT(!out->failed);
    }
    rtci_buf_clear(&slot->pending);
    new_front(core, now_ns, slot);
}

/* Its executor is gone. Whatever is not told as claimed, and what is on the way, never began. */
void node_slot_lost(struct rtci_node_core *core, struct slot *slot, const struct rtci_gone *gone,
                    struct rtci_node_actions *actions)
{
    const struct proc *proc = &core->procs[slot->proc];
    uint32_t log_len = gone->log ? gone->log_len : 0;
    if (log_len > RTCI_ERROR_LOG_MAX)
        log_len = RTCI_ERROR_LOG_MAX;
    struct rtci_slot_lost *lost = node_say(actions, RTCI_R_SLOT_LOST, sizeof(*lost) + log_len);
    uint32_t claimed =
        gone->claimed.id.client ? task_find(&slot->tasks, gone->claimed.id) : slot->tasks.len;
    if (slot->actor)
        claimed = 0; /* whose it is, a head that was restarted must know */
    if (claimed < slot->tasks.len) {
        lost->claimed = task_at(&slot->tasks, claimed)->id;
        lost->claimed_attempt = task_at(&slot->tasks, claimed)->attempt;
    }
    lost->slot = slot->number;
    lost->client = proc->number;
    lost->exit_status = gone->exit_status;
    lost->signal = gone->signal;
    lost->pid = proc->pid;
    lost->code = proc->no_register ? RTC_E_NO_REGISTER
                 : proc->bad       ? RTC_E_PROTOCOL
                 : gone->code      ? gone->code
                                   : RTC_E_CRASHED;
    lost->log_len = log_len;
    if (log_len)
        memcpy(lost + 1, gone->log + (gone->log_len - log_len), log_len);
    node_trace(actions, "slot %u lost code=%d", slot->number, lost->code);
}

/* ---- Giving back ---- */

/* Takes the record of a task out of those that wait for the executor. */
static void pending_remove(struct slot *slot, struct rtci_id id)
{
    struct rtci_buf *buf = &slot->pending;
    for (size_t at = 0; at < buf->len;) {
        const struct rtci_spec *spec = (const struct rtci_spec *)(buf->data + at);
        size_t size = spec->rec.size;
        if (spec->seq == id.seq && spec->client == id.client) {
            memmove(buf->data + at, buf->data + at + size, buf->len - at - size);
            buf->len -= size;
            return;
        }
        at += size;
    }
}

/* The executor has not begun to read: the newest `most` tasks (0 = all) come back at once. */
static void recall_pending(struct rtci_node_core *core, struct slot *slot, uint32_t most,
                           struct rtci_node_actions *actions)
{
    struct tasks *tasks = &slot->tasks;
    uint32_t n = most && most < tasks->len ? most : tasks->len;
    struct rtci_returned *returned =
        node_say(actions, RTCI_R_RETURNED, sizeof(*returned) + n * sizeof(struct rtci_held));
    returned->slot = slot->number;
    returned->n = n;
    struct rtci_held *rows = (struct rtci_held *)(returned + 1);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = *task_at(tasks, tasks->len - n + i);
        if (rows[i].claimed & NODE_PARKED)
            node_parked_task_gone(core, slot->number, &rows[i].id);
        else
            pending_remove(slot, rows[i].id);
        rows[i].claimed = 0;
    }
    tasks->len -= n;
    slot->recall_asked = false;
}

/* The executor has not seen these: of them too the newest come back at once. Returns how many; they
 * are the whole answer when they are enough. */
static uint32_t recall_parked(struct rtci_node_core *core, struct slot *slot, uint32_t most,
                              struct rtci_node_actions *actions)
{
    struct tasks *tasks = &slot->tasks;
    bool asked = slot->recall_asked;
    uint32_t n = 0;
    for (uint32_t i = tasks->len; i-- > 0 && core->parked_alive && (!most || n < most);) {
        struct rtci_held row = *task_at(tasks, i);
        if (!(row.claimed & NODE_PARKED))
            continue;
        node_parked_task_gone(core, slot->number, &row.id);
        task_take_quietly(slot, i);
        say_returned(actions, slot, &row,
                     1); /* the newest first: the head puts each to the front */
        n++;
    }
    slot->recall_asked = asked && !(most && n == most);
    return n;
}

void node_recall(struct rtci_node_core *core, struct slot *slot, uint32_t most,
                 struct rtci_node_actions *actions)
{
    if (!ready(core, slot)) {
        recall_pending(core, slot, most, actions);
        return;
    }
    uint32_t n = recall_parked(core, slot, most, actions);
    if (!most || n < most)
        node_act(actions, RTCI_NA_RECALL, slot->proc)->count = most ? most - n : 0;
}

void rtci_node_core_recalled(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                             const struct rtci_held *tasks, uint32_t n,
                             struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, token);
    if (!proc || !proc->slot)
        return;
    struct slot *slot = &core->slots[proc->slot];
    struct rtci_held *rows = n ? malloc(n * sizeof(*rows)) : NULL;
    RTCI_ASSERT(!n || rows);
    uint32_t taken = 0, end = slot->tasks.len;
    for (uint32_t i = 0, hint = 0; i < end && taken < n;) { /* in the order of the slot */
        const struct rtci_held *task = task_at(&slot->tasks, i);
        uint32_t j = 0;
        while (j < n && !same_task(tasks[(hint + j) % n].id, task->id))
            j++;
        if (j == n) {
            i++;
            continue;
        }
        hint = (hint + j + 1) % n;
        rows[taken++] = *task;
        task_take(core, now_ns, slot, i);
        end--;
    }
    for (uint32_t i = 0; i < taken && proc->n_cancels; i++)
        node_cancels_forget(core, token, &rows[i].id);
    if (taken || slot->recall_asked)
        say_returned(actions, slot, rows, taken);
    free(rows);
    if (proc->n_cancels)
        node_cancels_claimed(core, now_ns, token, actions);
    node_deadline(core, actions);
}

/* SLOT_FREE and RECALL. */
void node_slot_msg(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_slot_msg *msg,
                   struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, msg->slot);
    if (!slot)
        return; /* lost meanwhile: the head knows, or is about to */
    if (msg->rec.type == RTCI_R_RECALL) {
        slot->recall_asked = true;
        node_recall(core, slot, msg->op, actions);
        return;
    }
    uint32_t token = slot->proc;
    bool busy = node_tasks_running(&slot->tasks), actor = slot->actor;
    if (busy && ready(core, slot) && !actor)
        node_act(actions, RTCI_NA_RECALL, token)->count = 0;
    node_trace(actions, "slot %u free", slot->number);
    node_slot_free(core, (uint32_t)(slot - core->slots));
    if (!token)
        return;
    node_cancels_forget(core, token, NULL);
    /* Of a busy one the head wants nothing: it ends after what it runs. */
    if (actor)
        node_exec_end(core, now_ns, token, 9, actions);
    else if (busy && core->procs[token].state == PROC_READY)
        node_exec_end(core, now_ns, token, 0, actions);
    else
        node_exec_idle(core, now_ns, token);
    if (core->n_waiting)
        node_bind_waiting(core, now_ns, actions);
}

/* Tells the head what has been at the front for a while: it runs. */
void node_started(struct rtci_node_core *core, uint64_t now_ns, struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (!slot->number || slot->told || slot->actor || !node_tasks_running(&slot->tasks) ||
            !ready(core, slot))
            continue;
        if (now_ns < slot->front_ns + NODE_STARTED_NS) {
            node_wake(core, slot->front_ns + NODE_STARTED_NS);
            continue;
        }
        const struct rtci_held *task = task_at(&slot->tasks, front_of(&slot->tasks));
        struct rtci_cancel *started = node_say(actions, RTCI_R_STARTED, sizeof(*started));
        started->id = task->id;
        started->slot = slot->number;
        started->attempt = task->attempt;
        slot->told = true;
    }
}

/* ---- Cancelling. A task that was not begun is asked back; one that was gets the flag, then
 * SIGTERM, then SIGKILL. ---- */

void node_cancels_forget(struct rtci_node_core *core, uint32_t token, const struct rtci_id *id)
{
    for (uint32_t i = 0; i < core->n_cancels;) {
        if (core->cancels[i].proc != token || (id && !same_task(core->cancels[i].id, *id))) {
            i++;
            continue;
        }
        core->procs[token].n_cancels--;
        core->n_cancels--;
        memmove(&core->cancels[i], &core->cancels[i + 1],
                (core->n_cancels - i) * sizeof(*core->cancels));
    }
}

static void flag(struct rtci_node_core *core, uint64_t now_ns, struct cancel *cancel,
                 struct rtci_node_actions *actions)
{
    struct rtci_cancel *out = node_tell(core, cancel->proc, RTCI_R_CANCEL, sizeof(*out), actions);
    out->id = cancel->id;
    out->mode = cancel->mode;
    bool force = cancel->mode & RTCI_CANCEL_FORCE;
    if (force)
        node_kill(cancel->proc, 9, actions);
    cancel->stage = force ? 3 : 1;
    cancel->at_ns = force ? NODE_NEVER : now_ns + RTCI_CANCEL_GRACE_NS;
    node_wake(core, cancel->at_ns);
}

/* What was not among the recalled tasks has been claimed. */
void node_cancels_claimed(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                          struct rtci_node_actions *actions)
{
    for (uint32_t i = 0; i < core->n_cancels; i++) {
        if (core->cancels[i].proc == token && core->cancels[i].stage == 0)
            flag(core, now_ns, &core->cancels[i], actions);
    }
}

static struct cancel *cancel_find(struct rtci_node_core *core, uint32_t token, struct rtci_id id)
{
    for (uint32_t i = 0; i < core->n_cancels; i++) {
        if (core->cancels[i].proc == token && same_task(core->cancels[i].id, id))
            return &core->cancels[i];
    }
    return NULL;
}

void node_cancel(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_cancel *rec,
                 struct rtci_node_actions *actions)
{
    struct slot *slot = node_slot(core, rec->slot);
    uint32_t place = slot ? task_find(&slot->tasks, rec->id) : 0;
    if (!slot || place == slot->tasks.len)
        return; /* it ended, or its slot did: the head will hear */
    if (!ready(core, slot) || task_at(&slot->tasks, place)->claimed & NODE_PARKED) {
        struct rtci_held row = *task_at(&slot->tasks, place);
        bool asked = slot->recall_asked;
        pending_remove(slot, row.id);
        task_take(core, now_ns, slot, place);
        say_returned(actions, slot, &row, 1);
        slot->recall_asked = asked;
        return;
    }
    struct cancel *known = cancel_find(core, slot->proc, rec->id);
    if (known) {
        known->mode |= rec->mode;
        if (known->stage && known->stage < 3 && rec->mode & RTCI_CANCEL_FORCE)
            flag(core, now_ns, known, actions);
        return;
    }
    NODE_GROW(core->cancels, core->cap_cancels, core->n_cancels);
    core->cancels[core->n_cancels++] =
        (struct cancel){.id = rec->id, .proc = slot->proc, .mode = rec->mode, .at_ns = NODE_NEVER};
    core->procs[slot->proc].n_cancels++;
    uint32_t count = 0; /* of those in its ring, from this one on */
    for (; place < slot->tasks.len; place++)
        count += !(task_at(&slot->tasks, place)->claimed & NODE_PARKED);
    node_act(actions, RTCI_NA_RECALL, slot->proc)->count = count;
}

void node_cancel_timers(struct rtci_node_core *core, uint64_t now_ns,
                        struct rtci_node_actions *actions)
{
    for (uint32_t i = 0; i < core->n_cancels; i++) {
        struct cancel *cancel = &core->cancels[i];
        if (cancel->at_ns <= now_ns) {
            node_kill(cancel->proc, cancel->stage == 1 ? 15 : 9, actions);
            cancel->stage++;
            cancel->at_ns = cancel->stage == 2 ? now_ns + RTCI_CANCEL_GRACE_NS : NODE_NEVER;
        }
        node_wake(core, cancel->at_ns);
    }
    node_started(core, now_ns, actions);
}
