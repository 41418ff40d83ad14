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

static struct cls *class_at(struct rtci_head_core *core, uint32_t number)
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
    struct cls *cls = class_at(core, number);
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
    struct cls *cls = class_at(core, entry->cls);
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
    struct cls *cls = class_at(core, entry->cls);
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

static uint32_t ready_first(const struct cls *cls)
{
    for (uint32_t i = 0; i < cls->n_buckets; i++) {
        if (cls->buckets[i].head)
            return cls->buckets[i].head;
    }
    return 0;
}

static int32_t ready_priority(const struct cls *cls)
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

static bool allowed(const struct node *node, uint32_t number, const struct cls *cls)
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
static const char *lacking(struct node *node, const struct cls *cls, bool total)
{
    const struct rtci_shape *shape = &cls->shape;
    if ((total ? node->cpu : node->cpu_free) < (int64_t)shape->cpu)
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

static bool usable(const struct node *node)
{
    return node->state == RTCI_NODE_ALIVE && node->ready && !node->cordoned;
}

bool head_feasible(struct rtci_head_core *core, const struct cls *cls)
{
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        struct node *node = &core->nodes[i];
        if (node->state != RTCI_NODE_DEAD && allowed(node, i, cls) && !lacking(node, cls, true))
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

uint32_t head_class_depth(const struct cls *cls)
{
    if (!cls->mean_ns)
        return 2;
    if (cls->mean_ns > 10 * RTCI_NS_PER_MS)
        return 1;
    uint64_t ahead = RTCI_PREFETCH_AHEAD_NS / (cls->mean_ns + 1);
    return 2 + (uint32_t)(ahead > RTCI_PREFETCH_MAX - 2 ? RTCI_PREFETCH_MAX - 2 : ahead);
}

static void hungry(struct rtci_head_core *core, uint32_t number)
{
    struct slot *slot = &core->slots[number];
    struct cls *cls = class_at(core, slot->cls);
    if (slot->hungry || slot->draining || slot->blocked || !slot->used)
        return;
    slot->hungry = true;
    slot->hungry_next = cls->hungry;
    cls->hungry = number;
}

static void unhungry(struct rtci_head_core *core, uint32_t number)
{
    struct slot *slot = &core->slots[number];
    if (!slot->hungry)
        return;
    uint32_t *at = &class_at(core, slot->cls)->hungry;
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
    const struct cls *cls = class_at(core, slot->cls);
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
    struct cls *cls = class_at(core, cls_number);
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
    take(node, cls, 1);
    if (!survivor)
        tell_open(core, number);
    return number;
}

void head_slot_release(struct rtci_head_core *core, uint32_t number, bool tell)
{
    struct slot *slot = &core->slots[number];
    struct cls *cls = class_at(core, slot->cls);
    struct node *node = &core->nodes[slot->node];
    RTCI_ASSERT(slot->used && !slot->inflight);
    unhungry(core, number);
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
        node->cpu_free -= (int64_t)cls->shape.cpu; /* lent: take gives it back below */
    }
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
    if (!slot->used || slot->blocked)
        return;
    struct cls *cls = class_at(core, slot->cls);
    if (!slot->inflight && (slot->draining || !cls->n_ready) && !core->recovering)
        head_slot_release(core, number, true);
    else if (slot->inflight * 2 <= head_class_depth(cls))
        hungry(core, number);
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
    *(entry->prev ? &head_entry(core, entry->prev)->next : &slot->head) = entry->next;
    *(entry->next ? &head_entry(core, entry->next)->prev : &slot->tail) = entry->prev;
    slot->inflight--;
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
    int64_t cpu = (int64_t)class_at(core, slot->cls)->shape.cpu;
    if (blocked) {
        unhungry(core, number);
        node->n_blocked++;
        node->cpu_free += cpu;
        head_node_dirty(core, slot->node);
    } else {
        node->n_blocked--;
        node->cpu_free -= cpu;
        head_slot_check(core, number);
    }
}

/* ---- Sending ---- */

/* The value of an argument as it stands in its producer's result. Which return: id.index. */
static const struct rtci_resolved *value_of(struct rtci_head_core *core, struct rtci_id id,
                                            struct rtci_resolved *ret_row, const char **ret_base)
{
    uint32_t index = head_find(core, id);
    if (!index)
        return NULL;
    struct entry *entry = head_entry(core, index);
    if (entry->put) {
        *ret_row =
            (struct rtci_resolved){entry->put->kind, entry->put->n_refs, entry->put->size, 0};
        ret_row->offset =
            entry->put->kind == RTCI_KIND_ARENA ? entry->put->offset : sizeof(*entry->put);
        *ret_base = (const char *)entry->put;
        return ret_row;
    }
    if (!entry->result || !entry->result->n_returns)
        return NULL;
    uint32_t row = id.index < entry->result->n_returns ? id.index : 0;
    *ret_row = rtci_done_returns(entry->result)[row];
    *ret_base = (const char *)entry->result;
    return ret_row;
}

static size_t row_bytes(const struct rtci_resolved *row)
{
    if (row->kind != RTCI_KIND_INLINE && row->kind != RTCI_KIND_ERROR)
        return 0;
    return RTCI_ALIGN8(row->n_refs * sizeof(struct rtci_id) + row->size);
}

static size_t resolved_size(struct rtci_head_core *core, const struct rtci_spec *spec)
{
    size_t bytes = 0;
    struct rtci_resolved row;
    const char *base;
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        if (value_of(core, rtci_spec_refs(spec)[i], &row, &base) &&
            bytes + row_bytes(&row) <= RTCI_INLINE_DEPS_MAX)
            bytes += row_bytes(&row);
    }
    return bytes + spec->n_refs * sizeof(row);
}

static void write_resolved(struct rtci_head_core *core, struct rtci_spec *out)
{
    size_t bytes = 0, at = rtci_spec_size(out) + out->n_refs * sizeof(struct rtci_resolved);
    struct rtci_resolved *rows = (struct rtci_resolved *)((char *)out + rtci_spec_size(out));
    const char *base;
    for (uint32_t i = 0; i < out->n_refs; i++) {
        struct rtci_resolved row = {.kind = RTCI_KIND_ABSENT};
        bool have = value_of(core, rtci_spec_refs(out)[i], &row, &base);
        size_t size = have ? row_bytes(&row) : 0;
        if (have && row.kind != RTCI_KIND_ARENA && bytes + size > RTCI_INLINE_DEPS_MAX) {
            row = (struct rtci_resolved){.kind = RTCI_KIND_ABSENT};
        } else if (have && size) {
            memcpy((char *)out + at, base + row.offset,
                   row.n_refs * sizeof(struct rtci_id) + row.size);
            row.offset = at;
            at += size;
            bytes += size;
        } else if (have && row.kind != RTCI_KIND_ARENA) {
            row.offset = at;
        } else if (have) {
            row.n_refs = 0;
        }
        rows[i] = row;
    }
}

/* What the node needs to know of the resources to set up an executor: see struct rtci_spec. */
static uint32_t profile(const struct cls *cls)
{
    uint32_t cpus = (cls->shape.cpu + 9999) / 10000, gpus = (cls->shape.gpu + 9999) / 10000;
    return (cpus ? cpus & 0xffff : 1) | (gpus & 0xffff) << 16;
}

static void send_task(struct rtci_head_core *core, uint32_t number, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    struct slot *slot = &core->slots[number];
    const struct rtci_spec *spec = entry->spec;
    size_t size = rtci_spec_size(spec);
    size_t extra = spec->n_refs ? resolved_size(core, spec) : 0;
    head_ready_remove(core, index);
    head_move(core, index, RTCI_TASK_LEASED);
    head_slot_add(core, number, index);
    entry->attempt++;
    entry->started_ns = core->now_ns;
    struct rtci_spec *out = head_out(core, slot->node, RTCI_R_TASK, size + extra);
    if (!out)
        return; /* the node is going: node_down takes the task back */
    uint32_t whole = out->rec.size;
    memcpy(out, spec, size);
    out->rec = (struct rtci_rec){whole, RTCI_R_TASK, 0};
    out->attempt = entry->attempt;
    out->slot = number;
    out->job = class_at(core, slot->cls)->job;
    out->deadline_ns = entry->deadline_ns;
    out->shape = profile(class_at(core, slot->cls));
    if (spec->n_refs)
        write_resolved(core, out);
}

/* ---- The pass ---- */

static bool fits(struct rtci_head_core *core, uint32_t number, const struct cls *cls)
{
    struct node *node = &core->nodes[number];
    return usable(node) && allowed(node, number, cls) && !lacking(node, cls, false);
}

/* Bytes of the task's large arguments that lie on the node. */
static uint64_t bytes_on(struct rtci_head_core *core, const struct rtci_spec *spec, uint32_t node)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < spec->n_refs && i < 64; i++) {
        uint32_t index = head_find(core, rtci_spec_refs(spec)[i]);
        struct entry *entry = index ? head_entry(core, index) : NULL;
        struct client *owner = entry ? head_client(core, entry->client) : NULL;
        if (entry && entry->put && entry->put->kind == RTCI_KIND_ARENA && owner->node == node)
            bytes += entry->put->size;
    }
    return bytes;
}

/* Packs to 50 % of a node's CPUs, then spreads; SPREAD takes the emptiest; large arguments win. */
static uint32_t find_node(struct rtci_head_core *core, struct cls *cls)
{
    const struct rtci_spec *spec = head_entry(core, ready_first(cls))->spec;
    if (cls->shape.placement == RTCI_PLACE_NODE_SOFT && cls->shape.node < core->n_nodes &&
        cls->shape.node && fits(core, cls->shape.node, cls))
        return cls->shape.node;
    uint32_t best = 0, probes = 0;
    int64_t best_score = -1;
    for (uint32_t i = 0; i < core->n_nodes && probes < 64; i++) {
        uint32_t number = cls->cursor + i;
        number = number >= core->n_nodes ? number - core->n_nodes : number;
        if (!number || !fits(core, number, cls))
            continue;
        probes++;
        struct node *node = &core->nodes[number];
        int64_t free = node->cpu ? node->cpu_free * 1000 / node->cpu : 1000;
        bool pack = cls->shape.placement != RTCI_PLACE_SPREAD && free >= 500;
        int64_t score = pack ? 2000 : free;
        if (spec->n_refs)
            score += (int64_t)(bytes_on(core, spec, number) >> 10) * 4096;
        if (score > best_score) {
            best = number;
            best_score = score;
            cls->cursor = number;
            if (pack && !spec->n_refs)
                break;
        }
    }
    return best;
}

static void fill(struct rtci_head_core *core, uint32_t number, struct cls *cls, uint32_t upto)
{
    struct slot *slot = &core->slots[number];
    while (slot->inflight < upto && cls->n_ready) {
        if (slot->inflight && slot->bytes > RTCI_PREFETCH_BYTES_MAX)
            break;
        send_task(core, number, ready_first(cls));
    }
}

static void infeasible(struct rtci_head_core *core, struct cls *cls)
{
    char text[512];
    head_why_class(core, cls, text, sizeof(text));
    if (cls->shape.flags & RTCI_SHAPE_FAIL_INFEASIBLE) {
        while (cls->n_ready)
            head_fail_simple(core, ready_first(cls), RTCI_TASK_FAILED, RTC_E_INFEASIBLE, text);
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
    struct cls *cls = class_at(core, cls_number);
    uint32_t node = find_node(core, cls);
    if (!node)
        return false;
    uint32_t first = ready_first(cls);
    if (core->nodes[node].n_blocked >= RTCI_EXEC_EXTRA_MAX) {
        first = deepest_waited(core, cls_number);
        if (!first)
            return false;
    }
    uint32_t slot = head_slot_make(core, 0, node, cls_number);
    send_task(core, slot, first);
    return true;
}

static void recall(struct rtci_head_core *core, uint32_t number, uint32_t most)
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

/* A class found no room: take a slot of a class that has more than its share. */
static void drain_other(struct rtci_head_core *core, struct cls *cls)
{
    int32_t prio = ready_priority(cls);
    uint32_t victim = 0, most = 0;
    for (uint32_t i = 0; i < core->n_classes; i++) {
        struct cls *other = core->classes[i];
        if (other == cls || !other->n_slots)
            continue;
        bool lower = other->n_ready && ready_priority(other) < prio;
        if (!lower && other->n_slots <= cls->n_slots)
            continue;
        for (uint32_t at = other->slot_head; at; at = core->slots[at].cls_next) {
            struct slot *slot = &core->slots[at];
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
    unhungry(core, victim);
    core->slots[victim].draining = true;
    recall(core, victim, 0);
}

static void starve(struct rtci_head_core *core, struct cls *cls)
{
    if (!cls->starving_ns)
        cls->starving_ns = core->now_ns;
    drain_other(core, cls);
    uint64_t again = core->now_ns + RTCI_SLOT_QUANTUM_NS;
    if (core->actions->deadline_ns > again)
        core->actions->deadline_ns = again;
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
    struct cls *cls = class_at(core, number);
    if (search) {
        /* One task each to as many new slots as fit, before any is stocked up. */
        uint32_t idle = 0;
        for (uint32_t at = cls->hungry; at && idle < cls->n_ready; at = core->slots[at].hungry_next)
            idle += !core->slots[at].inflight;
        while (cls->n_ready > idle && new_slot(core, number))
            cls = class_at(core, number);
    }
    uint32_t depth = head_class_depth(cls);
    uint32_t n = cls->n_slots ? cls->n_slots : 1;
    uint32_t share = (cls->n_ready + n - 1) / n + 1;
    if (share < depth)
        depth = share;
    for (uint32_t pass = 0; pass < 2 && cls->n_ready; pass++) {
        for (uint32_t at = pass ? cls->slot_head : cls->hungry, next; at && cls->n_ready;
             at = next) {
            struct slot *slot = &core->slots[at];
            next = pass ? slot->cls_next : slot->hungry_next;
            if (!pass)
                unhungry(core, at);
            if (!slot->draining && !slot->blocked)
                fill(core, at, cls, depth);
        }
        if (cls->n_slots > 64)
            break; /* many slots: they come by being hungry */
    }
    if (cls->n_ready && !cls->n_slots && !cls->hungry && search) {
        bool feasible = head_feasible(core, cls);
        if (!feasible && core->n_nodes > 1)
            infeasible(core, cls);
        else if (feasible)
            cls->noticed = false;
    }
    if (cls->n_ready && search)
        starve(core, cls);
    else
        cls->starving_ns = 0;
    if (!cls->n_ready)
        release_idle(core, cls);
}

/* A slot of this class has nothing while another has several waiting: give some back. */
static void balance(struct rtci_head_core *core)
{
    for (uint32_t d = 0; d < core->n_dirty; d++) {
        struct node *node = &core->nodes[core->dirty[d]];
        if (!usable(node) || node->cpu_free <= 0)
            continue;
        for (uint32_t i = 0; i < core->n_classes && i < 64; i++) {
            struct cls *cls = core->classes[i];
            if (cls->n_ready || !cls->n_slots || cls->mean_ns < 1000000 ||
                lacking(node, cls, false))
                continue;
            for (uint32_t at = cls->slot_head; at; at = core->slots[at].cls_next) {
                if (core->slots[at].inflight > 1 && !core->slots[at].blocked) {
                    recall(core, at, core->slots[at].inflight / 2);
                    break;
                }
            }
        }
    }
}

static int by_turn(const struct cls *a, const struct cls *b)
{
    int32_t pa = ready_priority(a), pb = ready_priority(b);
    if (pa != pb)
        return pa > pb ? -1 : 1;
    return a->n_slots < b->n_slots ? -1 : a->n_slots > b->n_slots;
}

void head_place(struct rtci_head_core *core)
{
    if (!core->n_active && !core->n_dirty)
        return;
    /* Few classes are active at a time: insertion sort by priority, then by fewest slots. */
    for (uint32_t i = 1; i < core->n_active; i++) {
        uint32_t number = core->active[i], j = i;
        for (; j && by_turn(class_at(core, number), class_at(core, core->active[j - 1])) < 0; j--)
            core->active[j] = core->active[j - 1];
        core->active[j] = number;
    }
    uint32_t keep = 0, n = core->n_active;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = core->active[i];
        struct cls *cls = class_at(core, number);
        cls->active_at = 0;
        if (!cls->n_ready) {
            release_idle(core, cls);
            continue;
        }
        /* A class that found no room searches again only when some node got something back. */
        bool search = core->n_dirty || !cls->starving_ns ||
                      core->now_ns - cls->starving_ns >= RTCI_SLOT_QUANTUM_NS;
        place_class(core, number, search);
        if (class_at(core, number)->n_ready) {
            core->active[keep++] = number;
            class_at(core, number)->active_at = keep;
        }
    }
    for (uint32_t i = n; i < core->n_active; i++) { /* woken by what failed in this pass */
        uint32_t number = core->active[i];
        core->active[keep++] = number;
        class_at(core, number)->active_at = keep;
    }
    core->n_active = keep;
    balance(core);
    for (uint32_t i = 0; i < core->n_dirty; i++)
        core->nodes[core->dirty[i]].dirty = false;
    core->n_dirty = 0;
}

int head_why_class(struct rtci_head_core *core, const struct cls *cls, char *text, size_t size)
{
    const struct rtci_shape *shape = &cls->shape;
    uint32_t busy = 0, never = 0, label = 0, held = 0;
    const char *what = "cpu";
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        struct node *node = &core->nodes[i];
        if (node->state == RTCI_NODE_DEAD)
            continue;
        if (!allowed(node, i, cls))
            label++;
        else if (lacking(node, cls, true)) {
            never++;
            what = lacking(node, cls, true);
        } else if (!usable(node))
            held++;
        else {
            busy++;
            if (lacking(node, cls, false))
                what = lacking(node, cls, false);
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
    return n + snprintf(text + n, size - (size_t)n,
                        "; %u node(s) could but are busy (%.24s), %u cordoned, %u too small, %u "
                        "excluded by label or node",
                        busy, what, held, never, label);
}
