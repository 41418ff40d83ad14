/* Nodes: joining, coming back, being away for a moment, leaving, ending.
 *
 * A node has a number for life; its incarnation counts its sessions, and what comes from an older
 * one is not listened to. A node that comes back with a new session while the head still has it is
 * not lost: its slots and clients stay in place, unreported, until it has told what it holds; at
 * its NODE_READY the rest is given up. No result that it may have said before can be missing by
 * then: the node sends on what the head had not committed before it says that it is ready.
 */
#include <stdio.h>

#include "runtime/core/head_internal.h"

/* The state that is shown follows from what is known of the node. */
static void restate(struct node *node)
{
    node->state = !node->ready     ? RTCI_NODE_JOINING
                  : node->suspect  ? RTCI_NODE_SUSPECT
                  : node->draining ? RTCI_NODE_DRAINING
                  : node->cordoned ? RTCI_NODE_CORDONED
                                   : RTCI_NODE_ALIVE;
}

/* The node, if it lives and this is its session. */
static struct node *current(struct rtci_head_core *core, uint32_t number, uint64_t incarnation)
{
    struct node *node = number ? head_node(core, number) : NULL;
    if (!node || node->state == RTCI_NODE_DEAD || node->incarnation != incarnation)
        return NULL;
    return node;
}

/* ---- Coming ---- */

/* A new session of a node that the head still has. Nothing is sent before its hello. */
static void again(struct rtci_head_core *core, uint32_t number, uint64_t incarnation)
{
    struct node *node = &core->nodes[number];
    node->incarnation = incarnation;
    node->hello = node->ready = node->suspect = false;
    node->again = true;
    restate(node);
    head_programs_again(core, number);
    for (uint32_t at = node->slots; at; at = core->slots[at].node_next) {
        struct slot *slot = &core->slots[at];
        head_unhungry(core, at);
        slot->reported = slot->recalling = false;
        for (uint32_t task = slot->head; task; task = head_entry(core, task)->next)
            head_entry(core, task)->flags &= (uint16_t)~EF_CONFIRMED;
    }
    for (uint32_t at = node->ghosts; at; at = head_entry(core, at)->ghost_next)
        head_entry(core, at)->flags &= (uint16_t)~EF_GHOST_SEEN;
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (client && client->alive && client->node == number)
            client->reported = false;
    }
    head_trace(core, "node %u again", number);
}

static struct node *make(struct rtci_head_core *core, uint32_t number)
{
    HEAD_GROW(core->nodes, core->cap_nodes, number);
    for (; core->n_nodes <= number; core->n_nodes++)
        core->nodes[core->n_nodes].state = RTCI_NODE_DEAD;
    return &core->nodes[number];
}

void rtci_head_core_node_up(struct rtci_head_core *core, uint64_t now_ns, uint32_t number,
                            uint64_t incarnation, struct rtci_head_actions *actions)
{
    RTCI_ASSERT(number && number <= RTCI_NODES_MAX);
    head_begin(core, now_ns, actions);
    struct node *node = make(core, number);
    if (node->state != RTCI_NODE_DEAD) {
        if (node->incarnation != incarnation)
            again(core, number, incarnation);
        head_finish(core);
        return;
    }
    bool dirty = node->dirty; /* it may stand in that list since it was lost */
    *node = (struct node){.state = RTCI_NODE_JOINING,
                          .incarnation = incarnation,
                          .cordoned = node->cordoned, /* before a restart of the head */
                          .draining = node->draining,
                          .again = core->replayed};
    node->dirty = dirty;
    core->stats.nodes++;
    head_finish(core);
}

/* ---- What it holds of others' objects, until it has said so again ---- */

static void holds_doubt(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t i = 1; i < core->n_entries; i++) {
        uint32_t at = core->entries[i].kind ? core->entries[i].ext_edges : 0;
        for (; at; at = core->edges[at].next) {
            if (core->edges[at].who != number)
                continue;
            core->edges[at].kind = EDGE_NODE_STALE;
            core->edges[at].generation = 0; /* answers on their way are lost, and asked for anew */
        }
    }
}

/* ---- Telling what it has ---- */

void head_hello(struct rtci_head_core *core, uint32_t number, const struct rtci_node_hello *rec)
{
    struct node *node = &core->nodes[number];
    if (node->hello)
        return;
    node->hello = node->known = true;
    node->holds_told = rec->rec.flags & RTCI_HELLO_AGAIN;
    node->anew = rec->rec.flags & RTCI_HELLO_ANEW;
    node->cpu = (int64_t)rec->cpu;
    node->gpu = (int64_t)rec->gpu;
    node->mem = (int64_t)rec->mem;
    node->gpu_mem = (int64_t)rec->gpu_mem;
    node->store = rec->store;
    node->rtt_ns = rec->rtt_ns;
    node->n_custom = rec->n_custom < RTCI_CUSTOM_MAX ? rec->n_custom : RTCI_CUSTOM_MAX;
    node->n_labels = rec->n_labels < RTCI_LABELS_MAX ? rec->n_labels : RTCI_LABELS_MAX;
    const struct rtci_custom *custom = (const struct rtci_custom *)(rec + 1);
    for (uint32_t i = 0; i < node->n_custom; i++)
        node->custom[i] = custom[i];
    const struct rtci_label *labels = (const struct rtci_label *)(custom + rec->n_custom);
    for (uint32_t i = 0; i < node->n_labels; i++)
        node->labels[i] = labels[i];
    memcpy(node->name, rec->name, sizeof(node->name));
    node->name[sizeof(node->name) - 1] = 0;
    memcpy(node->address, rec->address, sizeof(node->address));
    node->path = number == HEAD_OWN_NODE ? RTCI_PATH_HEAD
                 : node->address[0]      ? RTCI_PATH_UNKNOWN
                                         : RTCI_PATH_RELAYED;
    head_node_recount(core, number);
    if (node->again)
        holds_doubt(core, number);
    head_trace(core, "node %u hello cpu=%llu", number, (unsigned long long)rec->cpu);
}

/* What the node did not tell of never reached its executor, or was lost on the way: it has not
 * begun. The newest first, so that their order stays. */
static void settle_tasks(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t at = core->slots[number].tail, before; at; at = before) {
        struct entry *entry = head_entry(core, at);
        before = entry->prev;
        if (entry->flags & EF_CONFIRMED) {
            entry->flags &= (uint16_t)~EF_CONFIRMED;
            continue;
        }
        if (entry->state == RTCI_TASK_CANCELLING) {
            head_cancelled(core, at);
            continue;
        }
        head_slot_take(core, at);
        entry->attempt--;
        head_make_ready(core, at, true);
    }
}

static void settle(struct rtci_head_core *core, uint32_t number)
{
    head_ghosts_settle(core, number);
    head_doubts_settle(core, number);
    head_actors_settle(core, number);
    for (uint32_t at = core->nodes[number].slots, next; at; at = next) {
        next = core->slots[at].node_next;
        if (head_class(core, core->slots[at].cls)->actor) {
            core->slots[at].reported = false;
            continue;
        }
        settle_tasks(core, at);
        struct slot *slot = &core->slots[at];
        bool reported = slot->reported;
        slot->reported = false;
        if (!reported && slot->used && !slot->inflight)
            head_slot_release(core, at, false);
    }
    if (core->nodes[number].again && core->nodes[number].holds_told)
        head_holds_end(core, number, true);
    if (core->nodes[number].again)
        head_programs_settle(core, number);
    core->nodes[number].again = false;
}

/* Slots that were kept while the node was away go on, or end with what the node has in them. */
static void reopen(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    for (uint32_t at = node->slots, next; at; at = next) {
        next = core->slots[at].node_next;
        struct slot *slot = &core->slots[at];
        slot->draining = node->cordoned || (slot->draining && !slot->inflight);
        if (node->draining && head_class(core, slot->cls)->actor)
            head_actor_drain(core, at);
        else if (node->draining)
            head_recall(core, at, 0);
        head_slot_check(core, at);
    }
    head_node_dirty(core, number);
}

void head_ready(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    if (node->ready || !node->hello)
        return;
    if (node->again)
        settle(core, number);
    node = &core->nodes[number];
    node->ready = true;
    restate(node);
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (client && client->alive && client->node == number && !client->reported)
            head_client_gone(core, i);
    }
    bool all = true;
    for (uint32_t i = 1; i < core->n_nodes; i++)
        all &= core->nodes[i].state == RTCI_NODE_DEAD || core->nodes[i].ready;
    if (all)
        core->recovering = false;
    reopen(core, number);
}

/* ---- Away for a moment ---- */

void rtci_head_core_node_suspect(struct rtci_head_core *core, uint64_t now_ns, uint32_t number,
                                 uint64_t incarnation, struct rtci_head_actions *actions)
{
    struct node *node = current(core, number, incarnation);
    if (!node || !node->ready || node->suspect)
        return;
    head_begin(core, now_ns, actions);
    node->suspect = true;
    restate(node);
    head_trace(core, "node %u suspect", number);
    for (uint32_t at = node->slots; at; at = core->slots[at].node_next) {
        head_unhungry(core, at);
        core->slots[at].draining = true;
        for (uint32_t task = core->slots[at].tail, before; task; task = before) {
            before = head_entry(core, task)->prev;
            head_ghost_make(core, task);
        }
    }
    head_finish(core);
}

void rtci_head_core_node_resumed(struct rtci_head_core *core, uint64_t now_ns, uint32_t number,
                                 uint64_t incarnation, struct rtci_head_actions *actions)
{
    struct node *node = current(core, number, incarnation);
    if (!node || !node->suspect)
        return;
    head_begin(core, now_ns, actions);
    node->suspect = false;
    restate(node);
    head_trace(core, "node %u resumed", number);
    head_ghosts_return(core, number);
    reopen(core, number);
    head_finish(core);
}

void rtci_head_core_set_path(struct rtci_head_core *core, uint32_t number, enum rtci_path path)
{
    struct node *node = head_node(core, number);
    if (node && node->state != RTCI_NODE_DEAD && number != HEAD_OWN_NODE)
        node->path = path;
}

/* ---- Ending ---- */

/* True when the slot is gone too. `left`: by its own will, so that what had not begun is known: all
 * but the first of each slot. */
static bool end_tasks(struct rtci_head_core *core, uint32_t slot, uint32_t number, const char *text,
                      bool left)
{
    while (core->slots[slot].head) {
        uint32_t index = left ? core->slots[slot].tail : core->slots[slot].head;
        struct entry *entry = head_entry(core, index);
        if (entry->kind == ENTRY_ACTOR) {
            struct rtci_cause cause;
            head_cause(&cause, RTCI_CAUSE_NODE_LOST, RTC_E_NODE_LOST, text);
            cause.node = number;
            head_actor_lost(core, index, &cause); /* and with it its slot */
            return true;
        }
        if (left && entry->state == RTCI_TASK_LEASED && index != core->slots[slot].head) {
            head_slot_take(core, index);
            entry->attempt--;
            head_make_ready(core, index, true);
            continue;
        }
        struct rtci_fail fail = {.code = RTC_E_NODE_LOST, .exit_status = -1, .node = number};
        head_attempt_failed(core, index, &fail, text, NULL, 0);
    }
    return false;
}

void head_node_end(struct rtci_head_core *core, uint32_t number, const char *cause, bool left)
{
    struct node *node = &core->nodes[number];
    node->state = RTCI_NODE_DEAD;
    core->stats.nodes--;
    if (node->cordoned) { /* it joins as any other */
        node->cordoned = node->draining = false;
        head_j_cordon(core, number);
    }
    char text[192];
    snprintf(text, sizeof(text), "node %u (%s) was lost: %s", number, node->name, cause);
    snprintf(node->cause, sizeof(node->cause), "%s", cause);
    head_trace(core, "%s", text);
    head_copies_end(core, number);
    head_ghosts_end(core, number);
    head_doubts_end(core, number, text);
    while (core->nodes[number].slots) {
        uint32_t slot = core->nodes[number].slots;
        head_unhungry(core, slot);
        core->slots[slot].draining = true; /* not refilled by what ends in it */
        if (!end_tasks(core, slot, number, text, left))
            head_slot_release(core, slot, false);
    }
    head_groups_node_end(core, number);
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (client && client->alive && client->node == number)
            head_client_gone(core, i);
    }
    head_holds_end(core, number, false);
}

void rtci_head_core_node_down(struct rtci_head_core *core, uint64_t now_ns, uint32_t number,
                              uint64_t incarnation, const char *cause,
                              struct rtci_head_actions *actions)
{
    if (!current(core, number, incarnation))
        return;
    head_begin(core, now_ns, actions);
    head_node_end(core, number, cause, false);
    head_finish(core);
}

/* ---- Draining: an operator takes a node out ---- */

void head_cordon(struct rtci_head_core *core, uint32_t number, uint32_t op)
{
    struct node *node = number ? head_node(core, number) : NULL;
    if (!node || node->state == RTCI_NODE_DEAD)
        return;
    node->cordoned = op != RTCI_CORDON_OFF;
    node->draining = op == RTCI_CORDON_DRAIN;
    node->leaving &= node->draining;
    head_j_cordon(core, number);
    restate(node);
    for (uint32_t at = node->slots, next; at && node->ready && !node->suspect; at = next) {
        next = core->slots[at].node_next;
        head_unhungry(core, at);
        core->slots[at].draining = node->cordoned;
        if (node->draining && head_class(core, core->slots[at].cls)->actor)
            head_actor_drain(core, at);
        else if (node->draining)
            head_recall(core, at, 0);
        head_slot_check(core, at);
    }
    head_node_dirty(core, number);
}

/* Of a node that is expected back. */
void head_cordon_replay(struct rtci_head_core *core, uint32_t number, uint32_t op)
{
    struct node *node = make(core, number);
    node->cordoned = op != RTCI_CORDON_OFF;
    node->draining = op == RTCI_CORDON_DRAIN;
}

/* A drained node in which nothing is left may end. */
void head_drained(struct rtci_head_core *core)
{
    for (uint32_t i = 0; i < core->n_dirty; i++) {
        struct node *node = &core->nodes[core->dirty[i]];
        if (core->dirty[i] == HEAD_OWN_NODE || node->state != RTCI_NODE_DRAINING || node->n_slots ||
            node->leaving)
            continue;
        node->leaving = head_out(core, core->dirty[i], RTCI_R_LEAVE, sizeof(struct rtci_rec));
    }
}
