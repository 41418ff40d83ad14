/* What goes wrong: deadlines, cancels, dead executors, and tasks that come back. */
#include <stdio.h>

#include "runtime/core/head_internal.h"

/* ---- Deadlines: a binary heap of entries, ties by index ---- */

static bool sooner(struct rtci_head_core *core, uint32_t a, uint32_t b)
{
    uint64_t da = core->entries[a].deadline_ns, db = core->entries[b].deadline_ns;
    return da != db ? da < db : a < b;
}

static void heap_set(struct rtci_head_core *core, uint32_t at, uint32_t index)
{
    core->heap[at] = index;
    core->entries[index].heap = at + 1;
}

static void heap_sift(struct rtci_head_core *core, uint32_t at)
{
    uint32_t index = core->heap[at];
    while (at && sooner(core, index, core->heap[(at - 1) / 2])) {
        heap_set(core, at, core->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= core->n_heap)
            break;
        if (child + 1 < core->n_heap && sooner(core, core->heap[child + 1], core->heap[child]))
            child++;
        if (!sooner(core, core->heap[child], index))
            break;
        heap_set(core, at, core->heap[child]);
        at = child;
    }
    heap_set(core, at, index);
}

void head_deadline_add(struct rtci_head_core *core, uint32_t index)
{
    HEAD_GROW(core->heap, core->cap_heap, core->n_heap);
    core->heap[core->n_heap++] = index;
    heap_sift(core, core->n_heap - 1);
}

void head_deadline_remove(struct rtci_head_core *core, uint32_t index)
{
    uint32_t at = head_entry(core, index)->heap;
    if (!at)
        return;
    head_entry(core, index)->heap = 0;
    uint32_t last = core->heap[--core->n_heap];
    if (last != index) {
        core->heap[at - 1] = last;
        heap_sift(core, at - 1);
    }
}

void head_deadlines(struct rtci_head_core *core)
{
    while (core->n_heap && core->entries[core->heap[0]].deadline_ns <= core->now_ns) {
        uint32_t index = core->heap[0];
        head_deadline_remove(core, index);
        head_cancel(core, index, RTCI_CANCEL_DEADLINE);
    }
}

/* ---- Cancel ---- */

void head_cancel_children(struct rtci_head_core *core, uint32_t index, uint32_t mode)
{
    /* Each cancel takes a pending child out of the list; running ones stay until they end. */
    uint32_t child = core->replaying ? 0 : head_entry(core, index)->child;
    while (child) {
        uint32_t next = head_entry(core, child)->sib_next;
        head_cancel(core, child, mode);
        child = next;
    }
}

void head_cancel_children_on(struct rtci_head_core *core, uint32_t index, uint32_t mode,
                             uint32_t node, bool on)
{
    uint32_t child = head_entry(core, index)->child;
    while (child) {
        const struct entry *entry = head_entry(core, child);
        uint32_t next = entry->sib_next;
        if ((head_client(core, entry->client)->node == node) == on)
            head_cancel(core, child, mode);
        child = next;
    }
}

static void end_cancelled(struct rtci_head_core *core, uint32_t index, uint32_t mode)
{
    bool deadline = mode & RTCI_CANCEL_DEADLINE;
    head_fail_simple(core, index, deadline ? RTCI_TASK_FAILED : RTCI_TASK_CANCELLED,
                     deadline ? RTC_E_DEADLINE : RTC_E_CANCELLED,
                     deadline ? "its deadline passed before it ended" : "it was cancelled");
}

void head_cancelled(struct rtci_head_core *core, uint32_t index)
{
    end_cancelled(core, index,
                  head_entry(core, index)->flags & EF_DEADLINE ? RTCI_CANCEL_DEADLINE : 0);
}

/* An order that waits for others to obey outlives the daemon; the end of a job is journalled as
 * such. */
static void remember(struct rtci_head_core *core, struct entry *entry, uint32_t mode)
{
    uint32_t flags = EF_CANCEL | (mode & RTCI_CANCEL_FORCE ? EF_FORCE : 0);
    if (mode & HEAD_CANCEL_NOW || (entry->flags & flags) == flags)
        return;
    entry->flags |= (uint16_t)flags;
    head_j_cancel(core, entry);
}

void head_cancel_later(struct rtci_head_core *core, uint32_t index, uint32_t mode)
{
    HEAD_GROW(core->late_cancels, core->cap_late_cancels, core->n_late_cancels);
    core->late_cancels[core->n_late_cancels++] = (struct late_cancel){
        index, head_entry(core, index)->generation, mode | RTCI_CANCEL_NO_CHILDREN};
}

void head_tell_cancel(struct rtci_head_core *core, uint32_t index, uint32_t slot, uint32_t attempt,
                      uint32_t mode)
{
    const struct entry *entry = head_entry(core, index);
    struct rtci_cancel *out = head_out(core, core->slots[slot].node, RTCI_R_CANCEL, sizeof(*out));
    if (!out)
        return;
    out->id = (struct rtci_id){entry->seq, entry->client, 0};
    out->mode = mode;
    out->slot = slot;
    out->attempt = attempt;
    out->pad = 0;
}

void head_cancel(struct rtci_head_core *core, uint32_t index, uint32_t mode)
{
    struct entry *entry = head_entry(core, index);
    if (entry->kind != ENTRY_TASK || head_terminal(entry))
        return;
    if (!(mode & RTCI_CANCEL_NO_CHILDREN))
        head_cancel_children(core, index, mode & (RTCI_CANCEL_FORCE | HEAD_CANCEL_NOW));
    entry = head_entry(core, index);
    if (head_terminal(entry))
        return;
    if (mode & RTCI_CANCEL_DEADLINE)
        entry->flags |= EF_DEADLINE;
    if (entry->state == RTCI_TASK_READY && core->recovering && !(mode & HEAD_CANCEL_NOW)) {
        remember(core, entry, mode);
        head_cancel_later(core, index, mode);
        return;
    }
    if (entry->state == RTCI_TASK_WAITING || entry->state == RTCI_TASK_READY) {
        end_cancelled(core, index, mode);
        return;
    }
    if (entry->state == RTCI_TASK_LEASED || entry->state == RTCI_TASK_RUNNING)
        head_move(core, index, RTCI_TASK_CANCELLING);
    remember(core, entry, mode);
    head_tell_cancel(core, index, entry->slot, entry->attempt,
                     mode & ~(HEAD_CANCEL_NOW | RTCI_CANCEL_NO_CHILDREN));
}

void head_late_cancels(struct rtci_head_core *core)
{
    for (uint32_t i = 0; i < core->n_late_cancels; i++) {
        struct late_cancel late = core->late_cancels[i];
        if (head_entry(core, late.index)->generation == late.generation)
            head_cancel(core, late.index, late.mode);
    }
    core->n_late_cancels = 0;
}

/* ---- Attempts that ended badly ---- */

void head_attempt_failed(struct rtci_head_core *core, uint32_t index, const struct rtci_fail *fail,
                         const char *text, const char *log, size_t log_len)
{
    struct entry *entry = head_entry(core, index);
    uint32_t slot = entry->slot;
    if (entry->state == RTCI_TASK_CANCELLING) {
        head_cancelled(core, index);
        return;
    }
    bool again = entry->spec->retries < 0 || entry->failures < (uint32_t)entry->spec->retries;
    if (!again) {
        char whole[RTCI_ERROR_TEXT_MAX];
        snprintf(whole, sizeof(whole), "%s; attempt %u of %u, none is left", text,
                 entry->failures + 1, (uint32_t)entry->spec->retries + 1);
        head_fail(core, index, RTCI_TASK_FAILED, fail, whole, log, log_len);
        return;
    }
    head_slot_take(core, index);
    head_move(core, index, RTCI_TASK_RETRYING);
    entry->failures++;
    core->stats.tasks_retried_total++;
    head_j_attempt(core, entry);
    head_cancel_children_on(core, index, RTCI_CANCEL_FORCE, entry->ghost_node, false);
    head_make_ready(core, index, true);
    if (slot)
        head_slot_check(core, slot);
}

static int line_len(const char *text, uint32_t len)
{
    const char *end = memchr(text, '\n', len);
    return (int)(end ? end - text : len);
}

static void lost_text(const struct rtci_slot_lost *lost, uint32_t node, char *text)
{
    if (lost->code == RTC_E_NO_REGISTER)
        snprintf(text, RTCI_ERROR_TEXT_MAX,
                 "its executor (pid %u) did not reach rtc_init() in %llu s: call "
                 "it at the top of main()",
                 lost->pid, (unsigned long long)(RTCI_EXEC_REGISTER_NS / RTCI_NS_PER_S));
    else if (lost->code == RTC_E_OS && lost->log_len)
        snprintf(text, RTCI_ERROR_TEXT_MAX, "its executor could not be started on node %u: %.*s",
                 node, line_len((const char *)(lost + 1), lost->log_len), (const char *)(lost + 1));
    else if (lost->code == RTC_E_OS)
        snprintf(text, RTCI_ERROR_TEXT_MAX,
                 "its executor could not be started on node %u (errno %d)", node,
                 lost->exit_status);
    else if (lost->code == RTC_E_PROTOCOL)
        snprintf(text, RTCI_ERROR_TEXT_MAX,
                 "its executor (pid %u on node %u) wrote nonsense into the memory that it shares "
                 "with the daemon, and was killed: the task, or a library in it, writes where it "
                 "must not",
                 lost->pid, node);
    else if (lost->signal)
        snprintf(text, RTCI_ERROR_TEXT_MAX,
                 "its executor (pid %u on node %u) was killed by signal %d%s", lost->pid, node,
                 lost->signal,
                 lost->signal == 11  ? " (a bad access or a stack overflow)"
                 : lost->signal == 6 ? " (abort)"
                                     : "");
    else
        snprintf(text, RTCI_ERROR_TEXT_MAX,
                 "its executor (pid %u on node %u) exited with status %d in the middle of it",
                 lost->pid, node, lost->exit_status);
}

static void actor_slot_lost(struct rtci_head_core *core, uint32_t number, uint32_t node,
                            const struct rtci_slot_lost *lost)
{
    struct rtci_cause cause;
    char text[RTCI_ERROR_TEXT_MAX];
    bool crashed = !lost->code || lost->code == RTC_E_PROTOCOL;
    uint32_t kind = lost->code == RTC_E_OOM                                     ? RTCI_CAUSE_OOM
                    : lost->code == RTC_E_NO_REGISTER || lost->code == RTC_E_OS ? RTCI_CAUSE_START
                    : lost->signal                                              ? RTCI_CAUSE_SIGNAL
                                                                                : RTCI_CAUSE_EXIT;
    lost_text(lost, node, text);
    head_cause(&cause, kind, crashed ? RTC_E_CRASHED : lost->code, text);
    cause.exit_status = lost->exit_status;
    cause.signal = lost->signal;
    cause.pid = lost->pid;
    cause.node = node;
    head_actor_lost(core, core->slots[number].head, &cause);
}

void head_slot_lost(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_lost *lost)
{
    head_ghosts_lost(core, node, lost);
    if (!lost->slot || lost->slot >= core->n_slots || !core->slots[lost->slot].used ||
        core->slots[lost->slot].node != node)
        return;
    uint32_t number = lost->slot;
    if (head_class(core, core->slots[number].cls)->actor) {
        actor_slot_lost(core, number, node, lost);
        return;
    }
    core->slots[number].draining = true; /* nothing more into it */
    char text[RTCI_ERROR_TEXT_MAX];
    lost_text(lost, node, text);
    bool crashed = !lost->code || lost->code == RTC_E_PROTOCOL;
    struct rtci_fail fail = {.code = crashed ? RTC_E_CRASHED : lost->code,
                             .exit_status = lost->exit_status,
                             .signal = lost->signal,
                             .pid = lost->pid,
                             .node = node};
    uint32_t index = lost->claimed.client ? head_find(core, lost->claimed) : 0;
    if (index && head_entry(core, index)->slot == number &&
        head_entry(core, index)->attempt == lost->claimed_attempt)
        head_attempt_failed(core, index, &fail, text, (const char *)(lost + 1), lost->log_len);
    /* The others never began: they go back to the front, the newest first so that order stays. An
     * executor that could not even start, or whose claims cannot be read, costs the first of them
     * an attempt, or it would go on for ever. */
    bool blame = !lost->claimed.client && (lost->code == RTC_E_NO_REGISTER ||
                                           lost->code == RTC_E_OS || lost->code == RTC_E_PROTOCOL);
    while (core->slots[number].used && core->slots[number].head) {
        uint32_t at = blame ? core->slots[number].head : core->slots[number].tail;
        struct entry *entry = head_entry(core, at);
        if (blame || entry->state == RTCI_TASK_CANCELLING) {
            blame = false;
            head_attempt_failed(core, at, &fail, text, (const char *)(lost + 1), lost->log_len);
            continue;
        }
        head_slot_take(core, at);
        entry->attempt--;
        head_make_ready(core, at, true);
    }
    if (core->slots[number].used)
        head_slot_release(core, number, false);
}

void head_returned(struct rtci_head_core *core, uint32_t node, const struct rtci_returned *ret)
{
    if (!ret->slot || ret->slot >= core->n_slots || !core->slots[ret->slot].used ||
        core->slots[ret->slot].node != node)
        return;
    core->slots[ret->slot].recalling = false;
    const struct rtci_held *held = (const struct rtci_held *)(ret + 1);
    for (uint32_t i = ret->n; i-- > 0;) { /* newest first: the front ends up in the old order */
        uint32_t index = head_find(core, held[i].id);
        if (!index)
            continue;
        struct entry *entry = head_entry(core, index);
        if (head_ghost_is(entry, node, held[i].attempt))
            head_ghost_clear(core, index);
        if (entry->slot != ret->slot || entry->attempt != held[i].attempt)
            continue;
        if (entry->kind == ENTRY_ACTOR) {
            head_actor_returned(core, index);
            return;
        }
        if (entry->state == RTCI_TASK_CANCELLING) {
            head_cancelled(core, index);
            continue;
        }
        /* RUNNING is what the node believed of the first in the ring, until it got it back. */
        if (entry->state != RTCI_TASK_LEASED && entry->state != RTCI_TASK_RUNNING)
            continue;
        head_slot_take(core, index);
        entry->attempt--; /* it never began */
        head_make_ready(core, index, true);
    }
    head_slot_check(core, ret->slot);
}

/* ---- A node tells what its executors have ---- */

/* The task stands in an executor's ring: is it what the head believes? */
static void confirm(struct rtci_head_core *core, uint32_t number, const struct rtci_held *row)
{
    uint32_t index = head_find(core, row->id), node = core->slots[number].node;
    struct entry *entry = index ? head_entry(core, index) : NULL;
    if (!entry || entry->kind != ENTRY_TASK || head_terminal(entry) ||
        entry->state == RTCI_TASK_WAITING)
        return; /* ended, or its completion comes next */
    if (head_ghost_is(entry, node, row->attempt) &&
        (entry->attempt != row->attempt || !head_ghost_return(core, index))) {
        entry->flags |= EF_GHOST_SEEN;
        return;
    }
    if (!entry->slot) {
        head_ready_remove(core, index);
        head_move(core, index, RTCI_TASK_LEASED);
        entry->flags &= (uint16_t)~EF_DOUBT;
        entry->attempt = row->attempt;
        head_slot_add(core, number, index);
    } else if (entry->slot != number) { /* placed elsewhere since; the first result wins */
        head_ghost_note(core, index, node, number, row->attempt);
        entry->flags |= entry->ghost_node == node ? EF_GHOST_SEEN : 0;
        return;
    } else if (entry->attempt != row->attempt) {
        return;
    }
    entry->flags |= EF_CONFIRMED;
    if (row->claimed && entry->state == RTCI_TASK_LEASED)
        head_move(core, index, RTCI_TASK_RUNNING);
    if (entry->state == RTCI_TASK_CANCELLING) /* the order may have been lost */
        head_tell_cancel(core, index, number, entry->attempt,
                         (entry->flags & EF_FORCE ? RTCI_CANCEL_FORCE : 0) |
                             (entry->flags & EF_DEADLINE ? RTCI_CANCEL_DEADLINE : 0));
}

static uint32_t class_held(struct rtci_head_core *core, const struct rtci_slot_held *held)
{
    const struct rtci_held *row = (const struct rtci_held *)(held + 1);
    const struct client *shaper = head_client(core, held->shape_client);
    for (uint32_t i = 0; i < held->n; i++) {
        uint32_t index = head_find(core, row[i].id);
        if (index && head_entry(core, index)->cls)
            return head_entry(core, index)->cls;
    }
    return shaper && held->shape < shaper->n_shapes ? shaper->shapes[held->shape] : 0;
}

void head_slot_held(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_held *held)
{
    const struct rtci_held *row = (const struct rtci_held *)(held + 1);
    uint32_t number = held->slot;
    bool used = number && number < core->n_slots && core->slots[number].used;
    bool actor = used && head_class(core, core->slots[number].cls)->actor;
    if (actor || held->actor || (held->n && head_actor_find(core, row->id))) {
        head_actor_held(core, node, held);
        return;
    }
    bool known = used && core->slots[number].node == node;
    uint32_t cls = known ? core->slots[number].cls : class_held(core, held);
    if (!number || number > 1000000 || !cls || (used && !known)) {
        struct rtci_slot_msg *out = head_out(core, node, RTCI_R_SLOT_FREE, sizeof(*out));
        if (out)
            out->slot = number;
        return;
    }
    if (!known)
        head_slot_make(core, number, node, cls);
    core->slots[number].client = held->client;
    core->slots[number].reported = !core->nodes[node].ready;
    for (uint32_t i = 0; i < held->n; i++)
        confirm(core, number, &row[i]);
    if ((bool)held->blocked != core->slots[number].blocked)
        head_slot_blocked(core, number, held->blocked);
    else
        head_slot_check(core, number);
}
