/* Ready queues, the resources of nodes, and the slots that reserve them. */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

struct cls *head_class(struct rtci_head_core *core, uint32_t number)
{
    RTCI_ASSERT(number && number <= core->n_classes);
    return core->classes[number - 1];
}
/* ---- Ready queues ---- */

static struct bucket *bucket_of(struct cls *cls, int32_t prio)
{
    uint32_t at = 0;
    while (at < cls->n_buckets && cls->buckets[at].prio > prio)
        at++;
    if (at < cls->n_buckets && cls->buckets[at].prio == prio)
        return &cls->buckets[at];
    HEAD_GROW(cls->buckets, cls->cap_buckets, cls->n_buckets);
    memmove(&cls->buckets[at + 1], &cls->buckets[at],
            (cls->n_buckets - at) * sizeof(struct bucket));
    cls->n_buckets++;
    cls->buckets[at] = (struct bucket){.prio = prio};
    return &cls->buckets[at];
}

static void activate(struct rtci_head_core *core, uint32_t number)
{
    struct cls *cls = head_class(core, number);
    if (cls->active_at)
        return;
    HEAD_GROW(core->active, core->cap_active, core->n_active);
    core->active[core->n_active++] = number;
    cls->active_at = core->n_active;
    cls->starving_ns = 0;
}

void head_ready_push(struct rtci_head_core *core, uint32_t index, bool front)
{
    struct entry *entry = head_entry(core, index);
    struct cls *cls = head_class(core, entry->cls);
    struct bucket *bucket = bucket_of(cls, entry->spec->priority);
    entry->next = front ? bucket->head : 0;
    entry->prev = front ? 0 : bucket->tail;
    if (entry->next)
        head_entry(core, entry->next)->prev = index;
    else
        bucket->tail = index;
    if (entry->prev)
        head_entry(core, entry->prev)->next = index;
    else
        bucket->head = index;
    bucket->n++;
    cls->n_ready++;
    core->stats.tasks_ready++;
    if (entry->flags & EF_WAITED) {
        HEAD_GROW(core->waited, core->cap_waited, core->n_waited);
        core->waited[core->n_waited++] = index;
    }
    activate(core, entry->cls);
}

void head_ready_remove(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    struct cls *cls = head_class(core, entry->cls);
    struct bucket *bucket = bucket_of(cls, entry->spec->priority);
    if (entry->prev)
        head_entry(core, entry->prev)->next = entry->next;
    else
        bucket->head = entry->next;
    if (entry->next)
        head_entry(core, entry->next)->prev = entry->prev;
    else
        bucket->tail = entry->prev;
    entry->next = entry->prev = 0;
    RTCI_ASSERT(bucket->n && cls->n_ready);
    bucket->n--;
    cls->n_ready--;
    core->stats.tasks_ready--;
    if (!bucket->n && cls->n_buckets > 1) {
        uint32_t at = (uint32_t)(bucket - cls->buckets);
        memmove(bucket, bucket + 1, (cls->n_buckets - at - 1) * sizeof(*bucket));
        cls->n_buckets--;
    }
}

uint32_t head_ready_first(const struct cls *cls)
{
    for (uint32_t i = 0; i < cls->n_buckets; i++) {
        if (cls->buckets[i].head)
            return cls->buckets[i].head;
    }
    return 0;
}

int32_t head_ready_priority(const struct cls *cls)
{
    for (uint32_t i = 0; i < cls->n_buckets; i++) {
        if (cls->buckets[i].head)
            return cls->buckets[i].prio;
    }
    return INT32_MIN;
}

/* ---- Resources ---- */

static int64_t *custom_free(struct node *node, const char *name)
{
    for (uint32_t i = 0; i < node->n_custom; i++) {
        if (!strncmp(node->custom[i].name, name, sizeof(node->custom[i].name)))
            return &node->custom_free[i];
    }
    return NULL;
}

bool head_allowed(const struct node *node, uint32_t number, const struct cls *cls)
{
    if (cls->shape.placement == RTCI_PLACE_NODE && cls->shape.node != number)
        return false;
    for (uint32_t i = 0; i < cls->shape.n_labels; i++) {
        bool found = false;
        for (uint32_t j = 0; j < node->n_labels && !found; j++)
            found =
                !strncmp(node->labels[j].key, cls->labels[i].key, sizeof(cls->labels[i].key)) &&
                !strncmp(node->labels[j].value, cls->labels[i].value, sizeof(cls->labels[i].value));
        if (!found)
            return false;
    }
    return true;
}

/* What is missing for a slot of the class; NULL when it fits. `total`: on an empty node. */
const char *head_lacking(struct node *node, const struct cls *cls, bool total)
{
    const struct rtci_shape *shape = &cls->shape;
    int64_t cpu_free = node->cpu_free - (cls->actor ? node->cpu_lent : 0);
    if ((total ? node->cpu : cpu_free) < (int64_t)shape->cpu)
        return "cpu";
    if ((total ? node->gpu : node->gpu_free) < (int64_t)shape->gpu)
        return "gpu";
    if ((total ? node->mem : node->mem_free) < (int64_t)shape->mem)
        return "mem";
    if ((total ? node->gpu_mem : node->gpu_mem_free) < (int64_t)shape->gpu_mem)
        return "gpu_mem";
    for (uint32_t i = 0; i < shape->n_custom; i++) {
        int64_t *left = custom_free(node, cls->custom[i].name);
        int64_t have = !left   ? 0
                       : total ? (int64_t)node->custom[left - node->custom_free].amount
                               : *left;
        if (have < (int64_t)cls->custom[i].amount)
            return cls->custom[i].name;
    }
    return NULL;
}

static void take(struct node *node, const struct cls *cls, int sign)
{
    node->cpu_free -= sign * (int64_t)cls->shape.cpu;
    node->gpu_free -= sign * (int64_t)cls->shape.gpu;
    node->mem_free -= sign * (int64_t)cls->shape.mem;
    node->gpu_mem_free -= sign * (int64_t)cls->shape.gpu_mem;
    for (uint32_t i = 0; i < cls->shape.n_custom; i++) {
        int64_t *left = custom_free(node, cls->custom[i].name);
        if (left)
            *left -= sign * (int64_t)cls->custom[i].amount;
    }
}

bool head_usable(const struct node *node)
{
    return node->state == RTCI_NODE_ALIVE;
}

void head_node_recount(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    node->cpu_free = node->cpu;
    node->gpu_free = node->gpu;
    node->mem_free = node->mem;
    node->gpu_mem_free = node->gpu_mem;
    for (uint32_t i = 0; i < node->n_custom; i++)
        node->custom_free[i] = (int64_t)node->custom[i].amount;
    node->counted = true;
    node->cpu_lent = 0;
    head_groups_recount(core, number);
    for (uint32_t at = node->slots; at; at = core->slots[at].node_next) {
        const struct cls *cls = head_class(core, core->slots[at].cls);
        if (core->slots[at].group)
            continue;
        take(node, cls, 1);
        node->cpu_lent += core->slots[at].blocked ? (int64_t)cls->shape.cpu : 0;
    }
    node->cpu_free += node->cpu_lent;
}

bool head_feasible(struct rtci_head_core *core, const struct cls *cls)
{
    if (cls->shape.group.client)
        return head_group_feasible(core, cls);
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        struct node *node = &core->nodes[i];
        if (node->state != RTCI_NODE_DEAD && head_allowed(node, i, cls) &&
            !head_lacking(node, cls, true))
            return true;
    }
    return false;
}

void head_node_dirty(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    if (node->dirty)
        return;
    node->dirty = true;
    HEAD_GROW(core->dirty, core->cap_dirty, core->n_dirty);
    core->dirty[core->n_dirty++] = number;
}

/* ---- Slots ---- */

#define AHEAD_MAX_NS (50 * RTCI_NS_PER_MS)
#define LONG_NS      (10 * RTCI_NS_PER_MS) /* worth no queue, where the way is short */

/* How many tasks of the class a slot of the node holds: what runs, and work for two round trips. */
uint32_t head_class_depth(const struct cls *cls, const struct node *node)
{
    bool far = node->rtt_ns > cls->mean_ns / 20;
    if (!cls->mean_ns)
        return 2;
    if (cls->mean_ns > LONG_NS && !far)
        return 1;
    uint64_t ahead_ns = 2 * node->rtt_ns < AHEAD_MAX_NS ? 2 * node->rtt_ns : AHEAD_MAX_NS;
    if (ahead_ns < RTCI_PREFETCH_AHEAD_NS)
        ahead_ns = RTCI_PREFETCH_AHEAD_NS;
    uint64_t ahead = ahead_ns / (cls->mean_ns + 1);
    return 2 + (uint32_t)(ahead > RTCI_PREFETCH_MAX - 2 ? RTCI_PREFETCH_MAX - 2 : ahead);
}

static void hungry(struct rtci_head_core *core, uint32_t number)
{
    struct slot *slot = &core->slots[number];
    struct cls *cls = head_class(core, slot->cls);
    if (slot->hungry || slot->draining || slot->blocked || !slot->used)
        return;
    slot->hungry = true;
    slot->hungry_next = cls->hungry;
    cls->hungry = number;
}

void head_unhungry(struct rtci_head_core *core, uint32_t number)
{
    struct slot *slot = &core->slots[number];
    if (!slot->hungry)
        return;
    uint32_t *at = &head_class(core, slot->cls)->hungry;
    while (*at != number)
        at = &core->slots[*at].hungry_next;
    *at = slot->hungry_next;
    slot->hungry = false;
}

/* A number rests before it comes again: what crosses the end of its slot must not meet the next. */
#define SLOTS_RESTING 256

static void slot_free(struct rtci_head_core *core, uint32_t number)
{
    core->slots[number] = (struct slot){0};
    if (core->n_free_slots++)
        core->slots[core->free_slot_last].hungry_next = number;
    else
        core->free_slot = number;
    core->free_slot_last = number;
}

static void slot_unfree(struct rtci_head_core *core, uint32_t number)
{
    uint32_t last = 0, *at = &core->free_slot;
    while (*at && *at != number) {
        last = *at;
        at = &core->slots[*at].hungry_next;
    }
    RTCI_ASSERT(*at);
    *at = core->slots[number].hungry_next;
    if (core->free_slot_last == number)
        core->free_slot_last = last;
    core->n_free_slots--;
}

static void tell_open(struct rtci_head_core *core, uint32_t number)
{
    const struct slot *slot = &core->slots[number];
    const struct cls *cls = head_class(core, slot->cls);
    struct rtci_slot_open *out = head_out(core, slot->node, RTCI_R_SLOT_OPEN, sizeof(*out));
    if (!out)
        return;
    out->slot = number;
    out->job = cls->job;
    out->shape_client = cls->shape_client;
    out->shape = cls->shape_number;
    out->cpu = cls->shape.cpu;
    out->gpu = cls->shape.gpu;
    out->gpu_mem = cls->shape.gpu_mem;
}

uint32_t head_slot_make(struct rtci_head_core *core, uint32_t number, uint32_t node_number,
                        uint32_t cls_number)
{
    bool survivor = number != 0;
    if (survivor) {
        HEAD_GROW(core->slots, core->cap_slots, number);
        while (core->n_slots <= number)
            slot_free(core, core->n_slots++);
        slot_unfree(core, number);
    } else if (core->n_free_slots > SLOTS_RESTING) {
        number = core->free_slot;
        slot_unfree(core, number);
    } else {
        number = core->n_slots;
        HEAD_GROW(core->slots, core->cap_slots, number);
        core->n_slots++;
    }
    struct slot *slot = &core->slots[number];
    struct node *node = &core->nodes[node_number];
    struct cls *cls = head_class(core, cls_number);
    *slot = (struct slot){
        .node = node_number, .cls = cls_number, .used = true, .since_ns = core->now_ns};
    slot->cls_next = cls->slot_head;
    if (cls->slot_head)
        core->slots[cls->slot_head].cls_prev = number;
    cls->slot_head = number;
    cls->n_slots++;
    slot->node_next = node->slots;
    if (node->slots)
        core->slots[node->slots].node_prev = number;
    node->slots = number;
    node->n_slots++;
    if (RTCI_UNLIKELY(cls->shape.group.client != 0))
        head_group_slot(core, slot, cls);
    if (RTCI_LIKELY(!slot->group))
        take(node, cls, 1);
    if (!survivor)
        tell_open(core, number);
    return number;
}

/* The CPUs of a task that waits are another's. */
static void lend(struct rtci_head_core *core, const struct slot *slot, int sign)
{
    int64_t cpu = sign * (int64_t)head_class(core, slot->cls)->shape.cpu;
    if (slot->group)
        head_group_lend(core, slot, cpu);
    else
        core->nodes[slot->node].cpu_free += cpu, core->nodes[slot->node].cpu_lent += cpu;
}

void head_slot_release(struct rtci_head_core *core, uint32_t number, bool tell)
{
    struct slot *slot = &core->slots[number];
    struct cls *cls = head_class(core, slot->cls);
    struct node *node = &core->nodes[slot->node];
    RTCI_ASSERT(slot->used && !slot->inflight);
    head_unhungry(core, number);
    *(slot->cls_prev ? &core->slots[slot->cls_prev].cls_next : &cls->slot_head) = slot->cls_next;
    if (slot->cls_next)
        core->slots[slot->cls_next].cls_prev = slot->cls_prev;
    *(slot->node_prev ? &core->slots[slot->node_prev].node_next : &node->slots) = slot->node_next;
    if (slot->node_next)
        core->slots[slot->node_next].node_prev = slot->node_prev;
    cls->n_slots--;
    node->n_slots--;
    if (slot->blocked) {
        node->n_blocked--;
        lend(core, slot, -1); /* take gives it back below */
    }
    if (RTCI_UNLIKELY(slot->group != 0))
        head_group_unslot(core, slot, cls);
    else
        take(node, cls, -1);
    if (tell) {
        struct rtci_slot_msg *out = head_out(core, slot->node, RTCI_R_SLOT_FREE, sizeof(*out));
        if (out)
            out->slot = number;
    }
    head_node_dirty(core, slot->node);
    slot_free(core, number);
}

/* After a task left it: is it to be refilled, or to end? */
void head_slot_check(struct rtci_head_core *core, uint32_t number)
{
    struct slot *slot = &core->slots[number];
    const struct node *node = &core->nodes[slot->node];
    if (!slot->used || slot->blocked || node->state == RTCI_NODE_JOINING ||
        node->state == RTCI_NODE_SUSPECT || node->state == RTCI_NODE_DEAD)
        return; /* of a node that is away: looked at when it is back */
    struct cls *cls = head_class(core, slot->cls);
    if (RTCI_UNLIKELY(cls->actor))
        return; /* it ends with its actor */
    if (node->cpu_free < 0 && cls->shape.cpu && !slot->draining && !slot->group) {
        /* A task that waited took its CPUs back: what ends first gives way. */
        head_unhungry(core, number);
        slot->draining = true;
        head_recall(core, number, 0);
    }
    bool over = slot->draining || !head_usable(node) || (!cls->n_ready && !core->recovering);
    if (!slot->inflight && over)
        head_slot_release(core, number, true);
    else if (slot->inflight * (node->rtt_ns ? 1 : 2) <= head_class_depth(cls, node))
        hungry(core, number); /* from afar at once: half is over when more arrives */
}

void head_slot_add(struct rtci_head_core *core, uint32_t number, uint32_t index)
{
    struct slot *slot = &core->slots[number];
    struct entry *entry = head_entry(core, index);
    entry->slot = number;
    entry->next = 0;
    entry->prev = slot->tail;
    if (slot->tail)
        head_entry(core, slot->tail)->next = index;
    else
        slot->head = index;
    slot->tail = index;
    if (!slot->inflight)
        slot->moved_ns = core->now_ns;
    slot->inflight++;
    slot->bytes += entry->spec->rec.size;
    core->stats.tasks_leased++;
}

void head_slot_take(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    if (!entry->slot)
        return;
    struct slot *slot = &core->slots[entry->slot];
    entry->flags &= (uint16_t)~EF_CONFIRMED;
    *(entry->prev ? &head_entry(core, entry->prev)->next : &slot->head) = entry->next;
    *(entry->next ? &head_entry(core, entry->next)->prev : &slot->tail) = entry->prev;
    slot->inflight--;
    slot->moved_ns = core->now_ns;
    slot->bytes -= entry->spec->rec.size;
    core->stats.tasks_leased--;
    entry->slot = entry->next = entry->prev = 0;
}

void head_slot_blocked(struct rtci_head_core *core, uint32_t number, bool blocked)
{
    struct slot *slot = &core->slots[number];
    struct node *node = &core->nodes[slot->node];
    if (slot->blocked == blocked)
        return;
    slot->blocked = blocked;
    if (blocked) {
        head_unhungry(core, number);
        node->n_blocked++;
        lend(core, slot, 1);
        head_node_dirty(core, slot->node);
    } else {
        node->n_blocked--;
        lend(core, slot, -1);
        head_slot_check(core, number);
    }
}
