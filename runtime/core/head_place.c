/* Placement: classes, slots and nodes.
 *
 * A slot is the resources of one class reserved on one node; tasks of the class flow through it. A
 * task that ends makes its slot hungry; a hungry slot is refilled from the class's queue in O(1).
 * Nodes are only searched when a class has more ready tasks than its slots take, and then only from
 * where the last search stopped, or among the nodes that got something back since the last pass.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"
static bool fits(struct rtci_head_core *core, uint32_t number, const struct cls *cls)
{
    struct node *node = &core->nodes[number];
    return head_usable(node) && head_allowed(node, number, cls) && !head_lacking(node, cls, false);
}

/* How many nodes that fit are compared. Those beyond come next: the cursor goes on. */
#define PROBES       64u
#define PROBES_MANY  8u    /* of more than 256: a few are about as good, and cost less to look at */
#define PROBES_BYTES 1024u /* when large arguments are to be near */

struct candidate {
    uint32_t node;
    uint64_t bytes; /* of the arguments that lie there */
    bool pack;      /* less than half of it is taken: it is filled before others are begun */
    int64_t free;   /* share of its CPUs, in 1/1000 */
};

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes;
    if (a->pack != b->pack)
        return a->pack;
    return !a->pack && a->free > b->free;
}

static bool has_large(struct rtci_head_core *core, const struct rtci_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_refs && i < 64; i++) {
        uint32_t index = head_find(core, rtci_spec_refs(spec)[i]);
        const struct entry *entry = index ? head_entry(core, index) : NULL;
        if (entry && entry->put && entry->put->kind == RTCI_KIND_ARENA)
            return true;
        for (uint32_t k = 0; entry && entry->result && k < entry->result->n_returns; k++) {
            if (rtci_done_returns(entry->result)[k].kind == RTCI_KIND_ARENA)
                return true;
        }
    }
    return false;
}

/* Where most of the large arguments lie; else packs nodes until half of their CPUs are taken, then
 * goes to the emptiest. SPREAD goes to the emptiest at once. Among equals each has its turn. */
static uint32_t find_node(struct rtci_head_core *core, struct cls *cls)
{
    if (RTCI_UNLIKELY(cls->shape.group.client != 0))
        return head_group_node(core, cls);
    const struct rtci_spec *spec = head_entry(core, head_ready_first(cls))->spec;
    if (cls->shape.placement == RTCI_PLACE_NODE_SOFT && cls->shape.node < core->n_nodes &&
        cls->shape.node && fits(core, cls->shape.node, cls))
        return cls->shape.node;
    bool large = spec->n_refs && has_large(core, spec);
    uint32_t probes = 0, most = PROBES;
    struct candidate best = {0};
    if (large)
        most = PROBES_BYTES;
    else if (core->n_nodes > 256)
        most = PROBES_MANY;
    for (uint32_t i = 0; i < core->n_nodes && probes < most; i++) {
        uint32_t number = cls->cursor + i;
        number = number >= core->n_nodes ? number - core->n_nodes : number;
        if (!number || !fits(core, number, cls))
            continue;
        probes++;
        const struct node *node = &core->nodes[number];
        struct candidate at = {.node = number,
                               .bytes = large ? head_bytes_at(core, spec, number) : 0,
                               .free = node->cpu ? node->cpu_free * 1000 / node->cpu : 1000};
        at.pack = cls->shape.placement != RTCI_PLACE_SPREAD && at.free > 500;
        if (!best.node || better(&at, &best))
            best = at;
        if (best.pack && !large)
            break;
    }
    if (best.node)
        cls->cursor = best.pack ? best.node : best.node + 1;
    if (cls->cursor >= core->n_nodes)
        cls->cursor = 0;
    return best.node;
}

static void fill(struct rtci_head_core *core, uint32_t number, struct cls *cls, uint32_t upto)
{
    struct slot *slot = &core->slots[number];
    while (slot->inflight < upto && cls->n_ready) {
        if (slot->inflight && slot->bytes > RTCI_PREFETCH_BYTES_MAX)
            break;
        head_send_task(core, number, head_ready_first(cls));
    }
}

static void infeasible(struct rtci_head_core *core, struct cls *cls)
{
    char text[512];
    head_why_class(core, cls, text, sizeof(text));
    /* A new node may be large enough, but the bundles of a group stay as they are. */
    if (cls->shape.flags & RTCI_SHAPE_FAIL_INFEASIBLE || cls->shape.group.client) {
        while (cls->n_ready)
            head_fail_simple(core, head_ready_first(cls), RTCI_TASK_FAILED, RTC_E_INFEASIBLE, text);
        return;
    }
    if (cls->noticed)
        return;
    cls->noticed = true;
    struct client *driver = head_client(core, core->jobs[cls->job].driver);
    size_t len = strlen(text);
    struct rtci_notice *out = head_out_client(core, driver, RTCI_R_NOTICE, sizeof(*out) + len);
    if (!out)
        return;
    out->pid = out->stream = 0;
    out->text_len = (uint32_t)len;
    out->job = cls->job;
    memcpy(out + 1, text, len);
}

/* Beyond the bound of blocked executors only what somebody waits for starts, deepest first. */
static uint32_t deepest_waited(struct rtci_head_core *core, uint32_t cls_number)
{
    uint32_t best = 0, keep = 0;
    for (uint32_t i = 0; i < core->n_waited; i++) {
        uint32_t index = core->waited[i];
        struct entry *entry = index < core->n_entries ? &core->entries[index] : NULL;
        if (!entry || entry->kind != ENTRY_TASK || entry->state != RTCI_TASK_READY ||
            !(entry->flags & EF_WAITED))
            continue;
        core->waited[keep++] = index;
        if (entry->cls == cls_number &&
            (!best || entry->spec->depth > head_entry(core, best)->spec->depth))
            best = index;
    }
    core->n_waited = keep;
    return best;
}

static bool new_slot(struct rtci_head_core *core, uint32_t cls_number)
{
    struct cls *cls = head_class(core, cls_number);
    uint32_t node = find_node(core, cls);
    if (!node)
        return false;
    uint32_t first = head_ready_first(cls);
    if (core->nodes[node].n_blocked >= RTCI_EXEC_EXTRA_MAX) {
        first = deepest_waited(core, cls_number);
        if (!first)
            return false;
    }
    uint32_t slot = head_slot_make(core, 0, node, cls_number);
    head_send_task(core, slot, first);
    return true;
}

/* Shorter tasks are over before an order to give them back arrives. */
#define BALANCE_MEAN_NS RTCI_NS_PER_MS
#define UNSTICK_MAX     1024u /* slots of a class that are looked at in a turn */

void head_recall(struct rtci_head_core *core, uint32_t number, uint32_t most)
{
    struct slot *slot = &core->slots[number];
    if (slot->recalling || slot->inflight < 2)
        return;
    struct rtci_slot_msg *out = head_out(core, slot->node, RTCI_R_RECALL, sizeof(*out));
    if (!out)
        return;
    slot->recalling = true;
    out->slot = number;
    out->op = most;
}

/* What one gives back the other can take. */
static bool same_pool(const struct cls *a, const struct cls *b)
{
    return a->shape.group.client == b->shape.group.client &&
           a->shape.group.seq == b->shape.group.seq;
}

/* A class found no room: take a slot of a class that has more than its share. */
static void drain_other(struct rtci_head_core *core, struct cls *cls)
{
    int32_t prio = head_ready_priority(cls);
    uint32_t victim = 0, most = 0;
    for (uint32_t i = 0; i < core->n_classes; i++) {
        struct cls *other = core->classes[i];
        if (other == cls || !other->n_slots || other->actor || !same_pool(cls, other))
            continue;
        bool lower = other->n_ready && head_ready_priority(other) < prio;
        if (!lower && other->n_slots <= cls->n_slots)
            continue;
        for (uint32_t at = other->slot_head; at; at = core->slots[at].cls_next) {
            struct slot *slot = &core->slots[at];
            if (slot->blocked || !head_usable(&core->nodes[slot->node]))
                continue; /* its CPUs are lent out already, or cannot be had */
            if (slot->draining) {
                victim = 0;
                i = core->n_classes;
                break; /* one is on its way */
            }
            if ((lower || core->now_ns - slot->since_ns >= RTCI_SLOT_QUANTUM_NS) &&
                other->n_slots > most) {
                most = other->n_slots;
                victim = at;
            }
        }
    }
    if (!victim)
        return;
    head_unhungry(core, victim);
    core->slots[victim].draining = true;
    if (!core->slots[victim].inflight)
        head_slot_release(core, victim, true);
    else /* the first stays: where the way is long, classes would else take turns and begin nothing
          */
        head_recall(core, victim, core->slots[victim].inflight - 1);
}

static void starve(struct rtci_head_core *core, struct cls *cls)
{
    if (!cls->starving_ns)
        cls->starving_ns = core->now_ns;
    drain_other(core, cls);
    cls->search_ns = core->now_ns + RTCI_SLOT_QUANTUM_NS;
}

/* Tasks are short, and nothing has come out of this slot for a while: one of them holds it up. */
static bool stuck(const struct rtci_head_core *core, const struct slot *slot, const struct cls *cls)
{
    return slot->inflight && cls->mean_ns < BALANCE_MEAN_NS &&
           core->now_ns >= slot->moved_ns + RTCI_SLOT_QUANTUM_NS;
}

/* Slots that wait for work when there is none give their resources back. */
static void release_idle(struct rtci_head_core *core, struct cls *cls)
{
    for (uint32_t at = cls->hungry, next; at; at = next) {
        next = core->slots[at].hungry_next;
        if (!core->slots[at].inflight && !core->slots[at].blocked)
            head_slot_release(core, at, true);
    }
}

static void place_class(struct rtci_head_core *core, uint32_t number, bool search)
{
    struct cls *cls = head_class(core, number);
    if (RTCI_UNLIKELY(cls->ready)) {
        head_group_ready_tasks(core, number);
        return;
    }
    if (search) {
        /* One task each to as many new slots as fit, before any is stocked up. */
        uint32_t idle = 0;
        for (uint32_t at = cls->hungry; at && idle < cls->n_ready; at = core->slots[at].hungry_next)
            idle += !core->slots[at].inflight;
        while (cls->n_ready > idle && new_slot(core, number))
            cls = head_class(core, number);
    }
    uint32_t n = cls->n_slots && !cls->actor ? cls->n_slots : 1;
    uint32_t share = (cls->n_ready + n - 1) / n + 1;
    for (uint32_t pass = 0; pass < 2 && cls->n_ready && !cls->actor; pass++) {
        for (uint32_t at = pass ? cls->slot_head : cls->hungry, next; at && cls->n_ready;
             at = next) {
            struct slot *slot = &core->slots[at];
            next = pass ? slot->cls_next : slot->hungry_next;
            if (!pass)
                head_unhungry(core, at);
            const struct node *node = &core->nodes[slot->node];
            uint32_t depth = head_class_depth(cls, node);
            bool held_up = cls->n_slots > 1 && stuck(core, slot, cls);
            if (!slot->draining && !slot->blocked && !held_up && head_usable(node))
                fill(core, at, cls, share < depth ? share : depth);
        }
        if (cls->n_slots > 64)
            break; /* many slots: they come by being hungry */
    }
    if (cls->n_ready && (!cls->n_slots || cls->actor) && !cls->hungry && search) {
        bool feasible = head_feasible(core, cls);
        if (!feasible && core->n_nodes > 1)
            infeasible(core, cls);
        else if (feasible)
            cls->noticed = false;
    }
    if (!cls->n_ready) {
        cls->starving_ns = 0;
        release_idle(core, cls);
        return;
    }
    if (search)
        starve(core, cls);
    if (core->actions->deadline_ns > cls->search_ns)
        core->actions->deadline_ns = cls->search_ns;
}

/* A core has nothing while a slot of this class has several waiting: some are given back. Where
 * tasks are short they would be over before the order arrives: see unstick(). */
static void balance_node(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    if (!head_usable(node) || node->cpu_free <= 0)
        return;
    for (uint32_t i = 0; i < core->n_classes && i < 64; i++) {
        struct cls *cls = core->classes[i];
        if (cls->n_ready || !cls->n_slots || cls->actor || cls->shape.group.client ||
            !head_allowed(node, number, cls) || head_lacking(node, cls, false))
            continue;
        if (cls->mean_ns < BALANCE_MEAN_NS) {
            if (core->unstick_ns == UINT64_MAX)
                core->unstick_ns = core->now_ns + RTCI_SLOT_QUANTUM_NS;
            continue;
        }
        for (uint32_t at = cls->slot_head; at; at = core->slots[at].cls_next) {
            if (core->slots[at].inflight > 1 && !core->slots[at].blocked &&
                !core->slots[at].recalling && head_usable(&core->nodes[core->slots[at].node])) {
                head_recall(core, at, core->slots[at].inflight / 2);
                break;
            }
        }
    }
}

static bool somewhere_free(struct rtci_head_core *core, const struct cls *cls)
{
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        struct node *node = &core->nodes[i];
        if (head_usable(node) && node->cpu_free > 0 && head_allowed(node, i, cls) &&
            !head_lacking(node, cls, false))
            return true;
    }
    return false;
}

/* One task may hold up all those behind it, however short they are: a slot that has several and
 * that nothing came out of for a while gives them back, if a core has nothing. Looked at that often
 * while there is such a slot; of many, some at a time. */
static void unstick(struct rtci_head_core *core)
{
    core->unstick_ns = UINT64_MAX;
    for (uint32_t i = 0; i < core->n_classes && i < 64; i++) {
        struct cls *cls = core->classes[i];
        const struct slot *next = &core->slots[cls->unstick_at];
        bool goes_on = cls->unstick_at && next->used && head_class(core, next->cls) == cls;
        uint32_t at = goes_on ? cls->unstick_at : cls->slot_head;
        bool several = false;
        if (cls->n_ready || cls->actor || cls->shape.group.client ||
            cls->mean_ns >= BALANCE_MEAN_NS)
            continue;
        for (uint32_t looked = 0; at && looked < UNSTICK_MAX; looked++) {
            const struct slot *slot = &core->slots[at];
            several |= slot->inflight > 1 && !slot->blocked;
            if (slot->inflight > 1 && !slot->blocked && stuck(core, slot, cls) &&
                somewhere_free(core, cls))
                head_recall(core, at, 0);
            at = slot->cls_next;
        }
        cls->unstick_at = at;
        if (several || at)
            core->unstick_ns = core->now_ns + RTCI_SLOT_QUANTUM_NS;
    }
}

static void balance(struct rtci_head_core *core)
{
    for (uint32_t d = 0; d < core->n_dirty; d++)
        balance_node(core, core->dirty[d]);
    if (core->now_ns >= core->unstick_ns)
        unstick(core);
    if (core->unstick_ns < core->actions->deadline_ns)
        core->actions->deadline_ns = core->unstick_ns;
}

static int by_turn(const struct cls *a, const struct cls *b)
{
    int32_t pa = head_ready_priority(a), pb = head_ready_priority(b);
    if (pa != pb)
        return pa > pb ? -1 : 1;
    return a->n_slots < b->n_slots ? -1 : a->n_slots > b->n_slots;
}

void head_place(struct rtci_head_core *core)
{
    head_groups_place(core);
    if (!core->n_active && !core->n_dirty && core->now_ns < core->unstick_ns) {
        if (core->unstick_ns < core->actions->deadline_ns)
            core->actions->deadline_ns = core->unstick_ns;
        return;
    }
    /* Few classes are active at a time: insertion sort by priority, then by fewest slots. */
    for (uint32_t i = 1; i < core->n_active; i++) {
        uint32_t number = core->active[i], j = i;
        for (; j && by_turn(head_class(core, number), head_class(core, core->active[j - 1])) < 0;
             j--)
            core->active[j] = core->active[j - 1];
        core->active[j] = number;
    }
    uint32_t keep = 0, n = core->n_active;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = core->active[i];
        struct cls *cls = head_class(core, number);
        cls->active_at = 0;
        if (!cls->n_ready) {
            release_idle(core, cls);
            continue;
        }
        /* A class that found no room searches again only when some node got something back. */
        bool search = core->n_dirty || !cls->starving_ns || core->now_ns >= cls->search_ns ||
                      (core->groups_placed && cls->shape.group.client);
        place_class(core, number, search);
        if (head_class(core, number)->n_ready) {
            core->active[keep++] = number;
            head_class(core, number)->active_at = keep;
        }
    }
    for (uint32_t i = n; i < core->n_active; i++) { /* woken by what failed in this pass */
        uint32_t number = core->active[i];
        core->active[keep++] = number;
        head_class(core, number)->active_at = keep;
    }
    core->n_active = keep;
    balance(core);
    for (uint32_t i = 0; i < core->n_dirty; i++)
        core->nodes[core->dirty[i]].dirty = false;
    core->n_dirty = 0;
    core->groups_placed = false;
}

static int why_group(struct rtci_head_core *core, const struct cls *cls, char *text, size_t size)
{
    struct rtci_id id = cls->shape.group;
    const struct group *group = head_group(core, id);
    if (!group || group->state == RTCI_GROUP_REMOVED)
        return snprintf(text, size, "its placement group %u:%llu was removed, or never was",
                        id.client, (unsigned long long)id.seq);
    if (!head_group_feasible(core, cls))
        return head_group_why_not(group, cls, text, size);
    if (group->state == RTCI_GROUP_PENDING)
        return snprintf(text, size, "its placement group %u:%llu is not ready", id.client,
                        (unsigned long long)id.seq);
    return snprintf(text, size, "its bundle of group %u:%llu is busy, or its node away", id.client,
                    (unsigned long long)id.seq);
}

int head_why_class(struct rtci_head_core *core, const struct cls *cls, char *text, size_t size)
{
    const struct rtci_shape *shape = &cls->shape;
    uint32_t busy = 0, never = 0, label = 0, held = 0;
    const char *what = "cpu";
    if (shape->group.client)
        return why_group(core, cls, text, size);
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        struct node *node = &core->nodes[i];
        if (node->state == RTCI_NODE_DEAD)
            continue;
        if (!head_allowed(node, i, cls))
            label++;
        else if (head_lacking(node, cls, true)) {
            never++;
            what = head_lacking(node, cls, true);
        } else if (!head_usable(node))
            held++;
        else {
            busy++;
            if (head_lacking(node, cls, false))
                what = head_lacking(node, cls, false);
        }
    }
    int n = snprintf(text, size, "it needs %g cpu", shape->cpu / 1e4);
    if (shape->gpu && n < (int)size)
        n += snprintf(text + n, size - (size_t)n, ", %g gpu", shape->gpu / 1e4);
    if (shape->mem && n < (int)size)
        n += snprintf(text + n, size - (size_t)n, ", %g MiB mem", (double)shape->mem / (1 << 20));
    for (uint32_t i = 0; i < shape->n_custom && n < (int)size; i++)
        n += snprintf(text + n, size - (size_t)n, ", %g %.24s", (double)cls->custom[i].amount / 1e4,
                      cls->custom[i].name);
    if (n >= (int)size)
        return n;
    if (!busy && !held)
        return n + snprintf(text + n, size - (size_t)n,
                            "; no node can ever fulfil it (%u too small in %.24s, %u excluded by "
                            "label or node): add a node that can, or ask for less",
                            never, what, label);
    return n + snprintf(
                   text + n, size - (size_t)n,
                   "; %u node(s) could but are busy (%.24s), %u cordoned or away, %u too small, %u "
                   "excluded by label or node",
                   busy, what, held, never, label);
}
