/* Actors that are told to end, and those that come back: orders, timers, nodes that tell what they
 * hold. */
#include <stdio.h>

#include "runtime/core/head_internal.h"

/* ---- Orders ---- */

static void tell_end(struct rtci_head_core *core, uint32_t index, uint16_t type)
{
    const struct entry *entry = head_entry(core, index);
    if (!entry->slot)
        return; /* it is told when its node has told of it */
    struct rtci_actor_end *out = head_out(core, core->slots[entry->slot].node, type, sizeof(*out));
    if (!out)
        return;
    out->id = (struct rtci_id){entry->seq, entry->client, 0};
    out->slot = entry->slot;
    out->incarnation = entry->attempt;
}

static bool is_placed(const struct actor *actor)
{
    return actor->state == RTCI_ACTOR_STARTING || actor->state == RTCI_ACTOR_ALIVE;
}

void head_actor_kill(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause,
                     uint32_t ends)
{
    struct actor *actor = head_actor(core, index);
    if (!is_placed(actor)) {
        if (ends & AE_NO_RESTART)
            head_actor_dies(core, index, cause);
        return;
    }
    uint32_t was = actor->ends;
    actor->ends |= (uint8_t)(AE_KILL | ends);
    if (!(was & (AE_STOP | AE_KILL)))
        actor->cause = *cause; /* who was first */
    if (was != actor->ends)
        head_j_actor(core, actor);
    tell_end(core, index, RTCI_R_ACTOR_KILL);
}

void head_actor_stop(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause,
                     uint32_t ends)
{
    struct actor *actor = head_actor(core, index);
    if (actor->state == RTCI_ACTOR_DEAD || actor->ends & AE_STOP)
        return;
    if (!is_placed(actor)) {
        head_actor_dies(core, index, cause);
        return;
    }
    bool told = actor->ends & (AE_KILL | AE_MOVE);
    actor->ends |= (uint8_t)ends;
    if (!(actor->ends & AE_KILL))
        actor->cause = *cause;
    head_j_actor(core, actor);
    head_actor_due(core, index, core->now_ns + RTCI_ACTOR_STOP_NS);
    if (!told)
        tell_end(core, index, RTCI_R_ACTOR_STOP);
}

/* ACTOR_STOP and ACTOR_KILL of a client. */
void head_actor_end(struct rtci_head_core *core, const struct client *client,
                    const struct rtci_actor_end *end)
{
    uint32_t index = head_actor_find(core, end->id);
    if (!index || head_actor(core, index)->state == RTCI_ACTOR_DEAD)
        return;
    struct rtci_cause cause;
    char text[192];
    bool stop = end->rec.type == RTCI_R_ACTOR_STOP;
    if (stop && head_actor(core, index)->client == client->number)
        snprintf(text, sizeof(text), "it ended itself");
    else
        snprintf(text, sizeof(text), "it was %s by client %u (pid %u, '%.64s') of job %u",
                 stop ? "told to stop" : "killed", client->number, client->pid, client->name,
                 client->job);
    head_cause(&cause, stop ? RTCI_CAUSE_STOPPED : RTCI_CAUSE_KILLED, RTC_E_CANCELLED, text);
    cause.client = client->number;
    if (stop)
        head_actor_stop(core, index, &cause, AE_STOP);
    else
        head_actor_kill(core, index, &cause, end->flags & RTCI_END_NO_RESTART ? AE_NO_RESTART : 0);
}

/* Its node is drained: one that may be restarted goes on elsewhere, others keep the node. */
void head_actor_drain(struct rtci_head_core *core, uint32_t slot)
{
    uint32_t index = core->slots[slot].head;
    if (!index)
        return;
    struct actor *actor = head_actor(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(head_entry(core, index)->spec);
    bool again = options->max_restarts < 0 || actor->restarts < (uint32_t)options->max_restarts;
    if (!again || actor->ends)
        return;
    actor->ends = AE_MOVE;
    head_cause(&actor->cause, RTCI_CAUSE_STOPPED, RTC_E_CANCELLED, "its node is drained");
    head_j_actor(core, actor);
    head_actor_due(core, index, core->now_ns + RTCI_ACTOR_STOP_NS);
    tell_end(core, index, RTCI_R_ACTOR_STOP);
}

/* ---- Timers ---- */

void head_actor_due(struct rtci_head_core *core, uint32_t index, uint64_t at_ns)
{
    struct actor *actor = head_actor(core, index);
    actor->due_ns = at_ns;
    if (!actor->due) {
        HEAD_GROW(core->actors_due, core->cap_actors_due, core->n_actors_due);
        core->actors_due[core->n_actors_due++] = head_entry(core, index)->parent;
        actor->due = true;
    }
    if (at_ns < core->actors_due_ns)
        core->actors_due_ns = at_ns;
}

/* Freed while it stood in a list: now its number may be given again. */
static bool freed(struct rtci_head_core *core, uint32_t number)
{
    struct actor *actor = &core->actors[number];
    if (actor->entry)
        return false;
    if (!actor->idle && !actor->due) {
        actor->next_free = core->free_actor;
        core->free_actor = number;
    }
    return true;
}

static void one_due(struct rtci_head_core *core, struct actor *actor)
{
    uint32_t index = actor->entry;
    if (actor->state == RTCI_ACTOR_RESTARTING &&
        head_entry(core, index)->state == RTCI_TASK_RETRYING)
        head_make_ready(core, index, false);
    if (!is_placed(actor) || !(actor->ends & (AE_STOP | AE_MOVE)))
        return;
    actor->ends |= AE_KILL; /* it takes too long */
    tell_end(core, index, RTCI_R_ACTOR_KILL);
}

static void timers(struct rtci_head_core *core)
{
    if (core->now_ns < core->actors_due_ns)
        return;
    uint32_t keep = 0, n = core->n_actors_due;
    core->actors_due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = core->actors_due[i];
        struct actor *actor = &core->actors[number];
        if (actor->entry && actor->due_ns > core->now_ns) {
            core->actors_due[keep++] = number;
            if (actor->due_ns < core->actors_due_ns)
                core->actors_due_ns = actor->due_ns;
            continue;
        }
        actor->due = false;
        if (!freed(core, number))
            one_due(core, actor);
    }
    /* What became due meanwhile stands behind. */
    memmove(&core->actors_due[keep], &core->actors_due[n],
            (core->n_actors_due - n) * sizeof(*core->actors_due));
    core->n_actors_due -= n - keep;
}

static void without_handles(struct rtci_head_core *core)
{
    for (uint32_t i = 0; i < core->n_actors_idle; i++) { /* more may come meanwhile */
        uint32_t number = core->actors_idle[i], index = core->actors[number].entry;
        core->actors[number].idle = false;
        if (freed(core, number))
            continue;
        const struct entry *entry = head_entry(core, index);
        if (entry->holds || entry->pins || entry->ext)
            continue;
        struct rtci_cause cause;
        head_cause(&cause, RTCI_CAUSE_HANDLES, RTC_E_RELEASED, "its last handle was released");
        head_actor_stop(core, index, &cause, AE_STOP);
    }
    core->n_actors_idle = 0;
}

/* Since the head was restarted their node has not come, and its time is over. */
static void adrift(struct rtci_head_core *core)
{
    if (core->now_ns < core->hold_until_ns) {
        if (core->hold_until_ns < core->actions->deadline_ns)
            core->actions->deadline_ns = core->hold_until_ns;
        return;
    }
    core->actors_adrift = false;
    for (uint32_t i = 1; i < core->n_actors; i++) {
        uint32_t index = core->actors[i].entry;
        if (!index || !is_placed(&core->actors[i]) || head_entry(core, index)->slot)
            continue;
        struct rtci_cause cause;
        char text[192];
        snprintf(text, sizeof(text), "its node %u did not come back after the head was restarted",
                 core->actors[i].node);
        head_cause(&cause, RTCI_CAUSE_NODE_LOST, RTC_E_NODE_LOST, text);
        cause.node = core->actors[i].node;
        head_actor_lost(core, index, &cause);
    }
}

void head_actors_tick(struct rtci_head_core *core)
{
    if (core->actors_adrift)
        adrift(core);
    if (core->n_actors_idle)
        without_handles(core);
    timers(core);
    if (core->actors_due_ns < core->actions->deadline_ns)
        core->actions->deadline_ns = core->actors_due_ns;
}

/* ---- Coming back ---- */

/* After the last replay. */
void head_actors_recovered(struct rtci_head_core *core)
{
    for (uint32_t i = 1; i < core->n_actors; i++) {
        uint32_t index = core->actors[i].entry;
        if (!index)
            continue;
        core->actors_adrift |= is_placed(&core->actors[i]);
        if (core->actors[i].state == RTCI_ACTOR_RESTARTING &&
            head_entry(core, index)->state == RTCI_TASK_RETRYING)
            head_make_ready(core, index, true);
        if (is_placed(&core->actors[i]) && core->actors[i].ends & (AE_STOP | AE_MOVE))
            head_actor_due(core, index, core->now_ns + RTCI_ACTOR_STOP_NS);
        head_entry_try_free(core, index);
    }
}

/* A node has the process of an actor. Is it the one that is believed to live? Else it ends. */
void head_actor_held(struct rtci_head_core *core, uint32_t node, const struct rtci_slot_held *held)
{
    const struct rtci_held *row = (const struct rtci_held *)(held + 1);
    uint32_t index = held->n ? head_actor_find(core, row->id) : 0, number = held->slot;
    struct entry *entry = index ? head_entry(core, index) : NULL;
    struct actor *actor = index ? head_actor(core, index) : NULL;
    bool used = number < core->n_slots && core->slots[number].used;
    bool mine = actor && is_placed(actor) && actor->node == node && number && number <= 1000000 &&
                entry->attempt == row->attempt && (entry->slot ? entry->slot == number : !used);
    if (!mine) {
        struct rtci_slot_msg *out = head_out(core, node, RTCI_R_SLOT_FREE, sizeof(*out));
        if (out)
            out->slot = number;
        return;
    }
    if (!entry->slot) {
        head_slot_make(core, number, node, entry->cls);
        head_slot_add(core, number, index);
    }
    core->slots[number].client = held->client;
    core->slots[number].reported = !core->nodes[node].ready;
    if (!core->nodes[node].ready)
        entry->flags |= EF_CONFIRMED;
    if ((bool)held->blocked != core->slots[number].blocked)
        head_slot_blocked(core, number, held->blocked);
    if (actor->ends & AE_KILL)
        tell_end(core, index, RTCI_R_ACTOR_KILL);
    else if (actor->ends & (AE_STOP | AE_MOVE))
        tell_end(core, index, RTCI_R_ACTOR_STOP);
}

/* The node is ready, and has told of all that it has. One that had been sent and did not begin is
 * placed again; one that lived is lost. */
void head_actors_settle(struct rtci_head_core *core, uint32_t node)
{
    for (uint32_t i = 1; i < core->n_actors; i++) {
        uint32_t index = core->actors[i].entry;
        if (!index || !is_placed(&core->actors[i]) || core->actors[i].node != node)
            continue;
        struct entry *entry = head_entry(core, index);
        if (entry->flags & EF_CONFIRMED) {
            entry->flags &= (uint16_t)~EF_CONFIRMED;
            continue;
        }
        if (core->actors[i].state == RTCI_ACTOR_STARTING) {
            head_actor_returned(core, index);
            continue;
        }
        struct rtci_cause cause;
        head_cause(&cause, RTCI_CAUSE_EXIT, RTC_E_CRASHED,
                   "its node came back without it: its process ended meanwhile");
        cause.node = node;
        head_actor_lost(core, index, &cause);
    }
}
