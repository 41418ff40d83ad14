/* Ghosts: attempts on a node that is away. Their task is tried a second time elsewhere, and the
 * first result wins, whichever attempt it is of. A task has one ghost at most.
 *
 * A suspected attempt is not dead: what it submitted lives on until its node is declared lost.
 * Invariants: a ghost's entry has not ended, and stands in the list of its node.
 */
#include "runtime/core/head_internal.h"

static void link_ghost(struct rtci_head_core *core, uint32_t index, uint32_t number)
{
    struct entry *entry = head_entry(core, index);
    struct node *node = &core->nodes[number];
    entry->ghost_node = number;
    entry->flags |= EF_GHOST;
    entry->ghost_prev = 0;
    entry->ghost_next = node->ghosts;
    if (node->ghosts)
        head_entry(core, node->ghosts)->ghost_prev = index;
    node->ghosts = index;
}

void head_ghost_clear(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    if (!entry->ghost_node)
        return;
    struct node *node = &core->nodes[entry->ghost_node];
    *(entry->ghost_prev ? &head_entry(core, entry->ghost_prev)->ghost_next : &node->ghosts) =
        entry->ghost_next;
    if (entry->ghost_next)
        head_entry(core, entry->ghost_next)->ghost_prev = entry->ghost_prev;
    entry->ghost_node = entry->ghost_attempt = entry->ghost_slot = 0;
    entry->ghost_next = entry->ghost_prev = 0;
    entry->flags &= (uint16_t) ~(EF_GHOST | EF_GHOST_RAN | EF_GHOST_SEEN);
}

bool head_ghost_is(const struct entry *entry, uint32_t node, uint32_t attempt)
{
    return entry->flags & EF_GHOST && node && entry->ghost_node == node &&
           entry->ghost_attempt == attempt;
}

void head_ghost_note(struct rtci_head_core *core, uint32_t index, uint32_t node, uint32_t slot,
                     uint32_t attempt)
{
    struct entry *entry = head_entry(core, index);
    if (entry->ghost_node)
        return;
    link_ghost(core, index, node);
    entry->ghost_slot = slot;
    entry->ghost_attempt = attempt;
}

/* The attempt's node is away: the task goes to the front of its queue, if it may be tried again. */
void head_ghost_make(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    bool may = entry->kind == ENTRY_TASK &&
               (entry->spec->retries < 0 || entry->failures < (uint32_t)entry->spec->retries);
    bool placed = entry->state == RTCI_TASK_LEASED || entry->state == RTCI_TASK_RUNNING;
    if (!may || !placed || entry->ghost_node)
        return;
    head_ghost_note(core, index, core->slots[entry->slot].node, entry->slot, entry->attempt);
    if (entry->state == RTCI_TASK_RUNNING)
        entry->flags |= EF_GHOST_RAN;
    head_slot_take(core, index);
    head_move(core, index, RTCI_TASK_RETRYING);
    entry->failures++;
    core->stats.tasks_retried_total++;
    head_j_attempt(core, entry);
    head_make_ready(core, index, true);
}

/* Back into its slot as if nothing had been: the second attempt was not placed yet. */
bool head_ghost_return(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    uint32_t slot = entry->ghost_slot;
    if (entry->state != RTCI_TASK_READY || !slot || slot >= core->n_slots ||
        !core->slots[slot].used || core->slots[slot].node != entry->ghost_node ||
        core->slots[slot].cls != entry->cls)
        return false;
    bool ran = entry->flags & EF_GHOST_RAN;
    head_ready_remove(core, index);
    head_move(core, index, RTCI_TASK_LEASED);
    entry->attempt = entry->ghost_attempt;
    if (entry->failures)
        entry->failures--;
    core->stats.tasks_retried_total--;
    head_j_attempt(core, entry);
    head_slot_add(core, slot, index);
    if (ran)
        head_move(core, index, RTCI_TASK_RUNNING);
    head_ghost_clear(core, index);
    return true;
}

/* The node is back with its session: whatever was not placed again goes on there. */
void head_ghosts_return(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t at = core->nodes[number].ghosts, next; at; at = next) {
        next = head_entry(core, at)->ghost_next;
        if (head_entry(core, at)->attempt == head_entry(core, at)->ghost_attempt)
            head_ghost_return(core, at);
    }
}

/* The node is back with a new session, and has said what it has: other ghosts there are no more. */
void head_ghosts_settle(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t at = core->nodes[number].ghosts, next; at; at = next) {
        struct entry *entry = head_entry(core, at);
        next = entry->ghost_next;
        if (!(entry->flags & EF_GHOST_SEEN))
            head_ghost_clear(core, at);
        entry->flags &= (uint16_t)~EF_GHOST_SEEN;
    }
}

/* The attempt is dead, and what it submitted goes with it. */
void head_ghost_dead(struct rtci_head_core *core, uint32_t index)
{
    uint32_t number = head_entry(core, index)->ghost_node;
    head_ghost_clear(core, index);
    head_cancel_children_on(core, index, RTCI_CANCEL_FORCE, number, true);
}

/* Their executor is dead: the one that it had begun is, and the others will not begin. */
void head_ghosts_lost(struct rtci_head_core *core, uint32_t number,
                      const struct rtci_slot_lost *lost)
{
    uint32_t claimed = lost->claimed.client ? head_find(core, lost->claimed) : 0;
    if (claimed && head_ghost_is(head_entry(core, claimed), number, lost->claimed_attempt))
        head_ghost_dead(core, claimed);
    for (uint32_t at = core->nodes[number].ghosts, next; at && lost->slot; at = next) {
        next = head_entry(core, at)->ghost_next;
        if (head_entry(core, at)->ghost_slot == lost->slot)
            head_ghost_clear(core, at);
    }
}

void head_ghosts_end(struct rtci_head_core *core, uint32_t number)
{
    while (core->nodes[number].ghosts)
        head_ghost_dead(core, core->nodes[number].ghosts);
}

/* The task has ended by another attempt: this one may stop, if its node can be told. */
void head_ghost_stop(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    if (RTCI_LIKELY(!(entry->flags & EF_GHOST)))
        return;
    uint32_t slot = entry->ghost_slot;
    const struct node *node = &core->nodes[entry->ghost_node];
    if (node->ready && !node->suspect && slot && slot < core->n_slots && core->slots[slot].used &&
        core->slots[slot].node == entry->ghost_node)
        head_tell_cancel(core, index, slot, entry->ghost_attempt, 0);
    head_ghost_clear(core, index);
}
