/* Placement groups: bundles of resources, reserved on nodes all at once or not at all.
 *
 * A reservation is made in one step, so that groups which compete cannot each hold a part of what
 * another needs. What runs in a bundle takes from it and not from its node. A group that is removed
 * gives its resources back when the last that ran in it has ended; the bundles of a node that was
 * lost are placed again, while the others stay where they are.
 *
 * Invariants: of a group that is ready all bundles have a node; of one that never was, none; what
 * is free in a bundle and what its slots take is what it was given. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

struct group *head_group(struct rtci_head_core *core, struct rtci_id id)
{
    const uint32_t *at = rtci_map_find(&core->group_by_id, id.seq, id.client);
    return at ? &core->groups[*at] : NULL;
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

/* What of the bundle is missing on the node; NULL when it fits. `total`: on an empty one. */
static const char *lacking(struct node *node, const struct group *group, uint32_t at, bool total)
{
    const struct rtci_bundle *need = &group->bundles[at].need;
    if ((total ? node->cpu : node->cpu_free - node->cpu_lent) < (int64_t)need->cpu)
        return "cpu";
    if ((total ? node->gpu : node->gpu_free) < (int64_t)need->gpu)
        return "gpu";
    if ((total ? node->mem : node->mem_free) < (int64_t)need->mem)
        return "mem";
    if ((total ? node->gpu_mem : node->gpu_mem_free) < (int64_t)need->gpu_mem)
        return "gpu_mem";
    const struct rtci_custom *custom = &group->custom[group->bundles[at].custom];
    for (uint32_t i = 0; i < need->n_custom; i++) {
        const int64_t *left = custom_free(node, custom[i].name);
        int64_t have = !left   ? 0
                       : total ? (int64_t)node->custom[left - node->custom_free].amount
                               : *left;
        if (have < (int64_t)custom[i].amount)
            return custom[i].name;
    }
    return NULL;
}

static void take(struct node *node, const struct group *group, uint32_t at, int sign)
{
    const struct rtci_bundle *need = &group->bundles[at].need;
    node->cpu_free -= sign * (int64_t)need->cpu;
    node->gpu_free -= sign * (int64_t)need->gpu;
    node->mem_free -= sign * (int64_t)need->mem;
    node->gpu_mem_free -= sign * (int64_t)need->gpu_mem;
    const struct rtci_custom *custom = &group->custom[group->bundles[at].custom];
    for (uint32_t i = 0; i < need->n_custom; i++) {
        int64_t *left = custom_free(node, custom[i].name);
        if (left)
            *left -= sign * (int64_t)custom[i].amount;
    }
}

void head_group_reset(struct group *group, uint32_t at)
{
    struct bundle *bundle = &group->bundles[at];
    bundle->cpu_free = bundle->need.cpu;
    bundle->cpu_lent = 0;
    bundle->gpu_free = bundle->need.gpu;
    bundle->mem_free = (int64_t)bundle->need.mem;
    bundle->gpu_mem_free = (int64_t)bundle->need.gpu_mem;
    for (uint32_t i = 0; i < bundle->need.n_custom; i++)
        group->custom_free[bundle->custom + i] = (int64_t)group->custom[bundle->custom + i].amount;
}

/* What the groups have of a node that tells its resources. */
void head_groups_recount(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t g = 1; g < core->n_groups; g++) {
        const struct group *group = &core->groups[g];
        for (uint32_t i = 0; i < group->n; i++) {
            if (group->bundles[i].node == number)
                take(&core->nodes[number], group, i, 1);
        }
    }
}

/* ---- What runs in a bundle ---- */

static int64_t *bundle_custom(struct group *group, const struct bundle *bundle, const char *name)
{
    for (uint32_t i = 0; i < bundle->need.n_custom; i++) {
        if (!strncmp(group->custom[bundle->custom + i].name, name, 24))
            return &group->custom_free[bundle->custom + i];
    }
    return NULL;
}

/* `total`: into an empty one. */
static bool holds(struct group *group, const struct bundle *bundle, const struct cls *cls,
                  bool total)
{
    const struct rtci_shape *shape = &cls->shape;
    const struct rtci_bundle *need = &bundle->need;
    int64_t cpu_free = bundle->cpu_free - (cls->actor ? bundle->cpu_lent : 0);
    if ((total ? (int64_t)need->cpu : cpu_free) < (int64_t)shape->cpu ||
        (total ? (int64_t)need->gpu : bundle->gpu_free) < (int64_t)shape->gpu ||
        (total ? (int64_t)need->mem : bundle->mem_free) < (int64_t)shape->mem ||
        (total ? (int64_t)need->gpu_mem : bundle->gpu_mem_free) < (int64_t)shape->gpu_mem)
        return false;
    for (uint32_t i = 0; i < shape->n_custom; i++) {
        const int64_t *left = bundle_custom(group, bundle, cls->custom[i].name);
        int64_t have = !left   ? 0
                       : total ? (int64_t)group->custom[left - group->custom_free].amount
                               : *left;
        if (have < (int64_t)cls->custom[i].amount)
            return false;
    }
    return true;
}

static bool is_meant(const struct cls *cls, uint32_t at)
{
    return cls->shape.group.index == RTCI_ANY_BUNDLE || cls->shape.group.index == at;
}

/* A node on which a slot of the class fits into its bundle; 0. */
uint32_t head_group_node(struct rtci_head_core *core, const struct cls *cls)
{
    struct group *group = head_group(core, cls->shape.group);
    for (uint32_t i = 0; group && group->state == RTCI_GROUP_READY && i < group->n; i++) {
        const struct bundle *bundle = &group->bundles[i];
        if (is_meant(cls, i) && bundle->node < core->n_nodes &&
            head_usable(&core->nodes[bundle->node]) && holds(group, bundle, cls, false))
            return bundle->node;
    }
    return 0;
}

bool head_group_feasible(struct rtci_head_core *core, const struct cls *cls)
{
    struct group *group = head_group(core, cls->shape.group);
    for (uint32_t i = 0; group && group->state != RTCI_GROUP_REMOVED && i < group->n; i++) {
        if (is_meant(cls, i) && holds(group, &group->bundles[i], cls, true))
            return true;
    }
    return false;
}

static void bundle_take(struct group *group, struct bundle *bundle, const struct cls *cls, int sign)
{
    bundle->cpu_free -= sign * (int64_t)cls->shape.cpu;
    bundle->gpu_free -= sign * (int64_t)cls->shape.gpu;
    bundle->mem_free -= sign * (int64_t)cls->shape.mem;
    bundle->gpu_mem_free -= sign * (int64_t)cls->shape.gpu_mem;
    for (uint32_t i = 0; i < cls->shape.n_custom; i++) {
        int64_t *left = bundle_custom(group, bundle, cls->custom[i].name);
        if (left)
            *left -= sign * (int64_t)cls->custom[i].amount;
    }
}

/* A slot opens in a bundle on its node. One that a node came back with takes what there is. */
void head_group_slot(struct rtci_head_core *core, struct slot *slot, const struct cls *cls)
{
    struct group *group = head_group(core, cls->shape.group);
    struct bundle *best = NULL;
    for (uint32_t i = 0; group && i < group->n; i++) {
        struct bundle *bundle = &group->bundles[i];
        if (!is_meant(cls, i) || bundle->node != slot->node)
            continue;
        bool fits = holds(group, bundle, cls, false);
        if (!best || fits)
            best = bundle;
        if (fits)
            break;
    }
    if (!best)
        return;
    slot->group = (uint32_t)(group - core->groups);
    slot->bundle = (uint32_t)(best - group->bundles);
    group->n_slots++;
    bundle_take(group, best, cls, 1);
}

/* `cpu` more of it are free: a slot lends them, or takes them back. */
void head_group_lend(struct rtci_head_core *core, const struct slot *slot, int64_t cpu)
{
    if (slot->group)
        core->groups[slot->group].bundles[slot->bundle].cpu_free += cpu,
            core->groups[slot->group].bundles[slot->bundle].cpu_lent += cpu;
}

static void group_free(struct rtci_head_core *core, struct group *group)
{
    for (uint32_t i = 0; i < group->n; i++) {
        uint32_t number = group->bundles[i].node;
        if (!number || number >= core->n_nodes || core->nodes[number].state == RTCI_NODE_DEAD ||
            !core->nodes[number].counted)
            continue;
        take(&core->nodes[number], group, i, -1);
        head_node_dirty(core, number);
    }
    rtci_map_remove(&core->group_by_id, group->id.seq, group->id.client);
    free(group->bundles);
    free(group->custom);
    free(group->custom_free);
    free(group->waits);
    *group = (struct group){.next_free = core->free_group, .queued = group->queued};
    core->free_group = (uint32_t)(group - core->groups);
}

/* Removed, and nothing runs in it (any more). */
void head_group_let_go(struct rtci_head_core *core, struct group *group)
{
    if (--group->n_slots == 0 && group->state == RTCI_GROUP_REMOVED)
        group_free(core, group);
}

void head_group_unslot(struct rtci_head_core *core, const struct slot *slot, const struct cls *cls)
{
    if (!slot->group)
        return;
    struct group *group = &core->groups[slot->group];
    bundle_take(group, &group->bundles[slot->bundle], cls, -1);
    head_group_let_go(core, group);
}

/* ---- Telling ---- */

void head_group_answer(struct rtci_head_core *core, const struct group *group,
                       const struct sub *sub, int status, bool partly)
{
    uint32_t n = group->state == RTCI_GROUP_READY || partly ? group->n : 0;
    struct rtci_group_is *out = head_out_client(core, head_client(core, sub->client),
                                                RTCI_R_GROUP_IS, sizeof(*out) + n * 4);
    if (!out)
        return;
    memset(out->text, 0, sizeof(out->text));
    out->request = sub->request;
    out->id = group->id;
    out->status = status;
    out->state = group->state;
    out->n = n;
    out->pad = 0;
    if (status || partly)
        head_group_why(core, group, out->text, sizeof(out->text));
    for (uint32_t i = 0; i < n; i++)
        ((uint32_t *)(out + 1))[i] = group->bundles[i].node;
}

void head_group_tell_all(struct rtci_head_core *core, struct group *group, int status)
{
    for (uint32_t i = 0; i < group->n_waits; i++)
        head_group_answer(core, group, &group->waits[i], status, false);
    if (group->state != RTCI_GROUP_PENDING)
        group->n_waits = 0;
}

/* ---- Placing ---- */

static bool usable(struct rtci_head_core *core, uint32_t number)
{
    return number && head_usable(&core->nodes[number]);
}

/* How many bundles of the group that is being placed are on the node. */
static uint32_t *count_on(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = &core->nodes[number];
    if (node->group_mark != core->group_mark) {
        node->group_mark = core->group_mark;
        node->group_n = 0;
    }
    return &node->group_n;
}

static void put(struct rtci_head_core *core, struct group *group, uint32_t at, uint32_t number)
{
    group->bundles[at].node = number;
    group->bundles[at].tried = true;
    take(&core->nodes[number], group, at, 1);
    ++*count_on(core, number);
}

static uint32_t choose(struct rtci_head_core *core, const struct group *group, uint32_t at,
                       uint32_t last)
{
    bool spread = group->strategy & 1; /* SPREAD, STRICT_SPREAD */
    uint32_t best = 0;
    if (!spread && last && usable(core, last) && !lacking(&core->nodes[last], group, at, false))
        return last;
    for (uint32_t k = 0; k < core->n_nodes; k++) {
        uint32_t i = core->group_cursor + k;
        i = i >= core->n_nodes ? i - core->n_nodes : i;
        if (!usable(core, i) || lacking(&core->nodes[i], group, at, false))
            continue;
        uint32_t n = *count_on(core, i);
        if (!spread && n)
            return i; /* where others of it are already */
        if (group->strategy == RTCI_GROUP_STRICT_SPREAD && n)
            continue;
        if (spread && !n)
            return i;
        if (!best || (spread && n < *count_on(core, best)))
            best = i;
    }
    return best;
}

/* All on one node? */
static uint32_t choose_one(struct rtci_head_core *core, struct group *group)
{
    for (uint32_t k = 0; k < core->n_nodes; k++) {
        uint32_t i = core->group_cursor + k, n = 0;
        i = i >= core->n_nodes ? i - core->n_nodes : i;
        if (!usable(core, i))
            continue;
        struct node *node = &core->nodes[i];
        while (n < group->n && !lacking(node, group, n, false))
            take(node, group, n++, 1);
        for (uint32_t undo = n; undo-- > 0;)
            take(node, group, undo, -1);
        if (n == group->n)
            return i;
    }
    return 0;
}

/* Large bundles first: small ones fit beside them, not the other way round. */
static int by_size(const void *a, const void *b)
{
    const struct bundle *x = *(const struct bundle *const *)a,
                        *y = *(const struct bundle *const *)b;
    if (x->need.gpu != y->need.gpu)
        return x->need.gpu > y->need.gpu ? -1 : 1;
    if (x->need.cpu != y->need.cpu)
        return x->need.cpu > y->need.cpu ? -1 : 1;
    if (x->need.mem != y->need.mem)
        return x->need.mem > y->need.mem ? -1 : 1;
    return x < y ? -1 : x > y; /* both are of one array */
}

static bool place_each(struct rtci_head_core *core, struct group *group)
{
    struct bundle *order[RTCI_BUNDLES_MAX];
    uint32_t n = 0, last = 0;
    for (uint32_t i = 0; i < group->n; i++) {
        if (!group->bundles[i].node)
            order[n++] = &group->bundles[i];
        else
            ++*count_on(core, group->bundles[i].node);
    }
    qsort(order, n, sizeof(order[0]), by_size);
    uint32_t done = 0;
    for (; done < n; done++) {
        uint32_t at = (uint32_t)(order[done] - group->bundles);
        last = choose(core, group, at, last);
        if (!last)
            break;
        put(core, group, at, last);
    }
    if (done == n)
        return true;
    for (uint32_t i = 0; i < group->n; i++) { /* nothing of it stays */
        if (!group->bundles[i].tried)
            continue;
        take(&core->nodes[group->bundles[i].node], group, i, -1);
        group->bundles[i].node = 0;
        group->bundles[i].tried = false;
    }
    return false;
}

static bool place(struct rtci_head_core *core, struct group *group)
{
    bool fresh = true, packs = !(group->strategy & 1);
    for (uint32_t i = 0; i < group->n && fresh; i++)
        fresh = !group->bundles[i].node;
    core->group_mark++;
    uint32_t one = packs && fresh ? choose_one(core, group) : 0;
    for (uint32_t i = 0; one && i < group->n; i++)
        put(core, group, i, one);
    if (!one && (group->strategy == RTCI_GROUP_STRICT_PACK || !place_each(core, group)))
        return false;
    for (uint32_t i = 0; i < group->n; i++)
        group->bundles[i].tried = false;
    if (!packs)
        core->group_cursor = core->group_cursor + 1 < core->n_nodes ? core->group_cursor + 1 : 0;
    return true;
}

/* Could it ever be, as the nodes are? The first bundle that cannot; group->n: all of them together.
 */
static bool feasible(struct rtci_head_core *core, const struct group *group, uint32_t *ret_at,
                     const char **ret_what)
{
    uint32_t nodes = 0;
    *ret_what = "cpu";
    for (uint32_t n = 1; n < core->n_nodes; n++)
        nodes += core->nodes[n].state != RTCI_NODE_DEAD && core->nodes[n].hello;
    for (uint32_t i = 0; i < group->n; i++) {
        bool found = false;
        for (uint32_t n = 1; n < core->n_nodes && !found; n++) {
            if (core->nodes[n].state == RTCI_NODE_DEAD || !core->nodes[n].hello)
                continue;
            const char *what = lacking(&core->nodes[n], group, i, true);
            found = !what;
            *ret_what = what ? what : *ret_what;
        }
        *ret_at = i;
        if (!found)
            return false;
    }
    *ret_at = group->n;
    if (group->strategy == RTCI_GROUP_STRICT_SPREAD)
        return group->n <= nodes;
    uint64_t cpu = 0, most = 0, all = 0, gpu = 0, most_gpu = 0, all_gpu = 0;
    for (uint32_t i = 0; i < group->n; i++)
        cpu += group->bundles[i].need.cpu, gpu += group->bundles[i].need.gpu;
    for (uint32_t n = 1; n < core->n_nodes; n++) {
        const struct node *node = &core->nodes[n];
        if (node->state == RTCI_NODE_DEAD || !node->hello)
            continue;
        most = (uint64_t)node->cpu > most ? (uint64_t)node->cpu : most;
        most_gpu = (uint64_t)node->gpu > most_gpu ? (uint64_t)node->gpu : most_gpu;
        all += (uint64_t)node->cpu, all_gpu += (uint64_t)node->gpu;
    }
    bool one = group->strategy == RTCI_GROUP_STRICT_PACK;
    *ret_what = cpu > (one ? most : all) ? "cpu" : "gpu";
    return cpu <= (one ? most : all) && gpu <= (one ? most_gpu : all_gpu);
}

void head_group_why(struct rtci_head_core *core, const struct group *group, char *text, size_t size)
{
    static const char *const names[] = {"pack", "spread", "strict pack", "strict spread"};
    uint32_t at, left = 0;
    const char *what;
    text[0] = 0;
    if (group->state != RTCI_GROUP_PENDING)
        return;
    for (uint32_t i = 0; i < group->n; i++)
        left += !group->bundles[i].node;
    if (feasible(core, group, &at, &what))
        snprintf(text, size, "%u of its %u bundles (%s) wait until they fit all at once", left,
                 group->n, names[group->strategy]);
    else if (at < group->n)
        snprintf(text, size,
                 "no node can ever hold bundle %u (%g cpu, %g gpu): too small in %.24s; add a node "
                 "that can, or ask for less",
                 at, group->bundles[at].need.cpu / 1e4, group->bundles[at].need.gpu / 1e4, what);
    else if (group->strategy == RTCI_GROUP_STRICT_SPREAD)
        snprintf(text, size, "its %u bundles need as many nodes (strict spread), and there are not",
                 group->n);
    else
        snprintf(text, size, "%s cannot ever hold its %u bundles together (%s): too small in %s",
                 group->strategy == RTCI_GROUP_STRICT_PACK ? "one node" : "all nodes together",
                 group->n, names[group->strategy], what);
}

void head_group_queue(struct rtci_head_core *core, struct group *group)
{
    core->groups_dirty = true;
    if (group->queued)
        return; /* also: by one that had its place in the table before and was removed */
    HEAD_GROW(core->group_queue, core->cap_group_queue, core->n_group_queue);
    core->group_queue[core->n_group_queue++] = (uint32_t)(group - core->groups);
    group->queued = true;
}

/* In the order in which they came; one that does not fit does not hold up those behind it. */
void head_groups_place(struct rtci_head_core *core)
{
    if (!core->n_group_queue || (!core->groups_dirty && !core->n_dirty))
        return;
    uint32_t keep = 0;
    core->groups_dirty = false;
    for (uint32_t i = 0; i < core->n_group_queue; i++) {
        uint32_t number = core->group_queue[i];
        struct group *group = &core->groups[number];
        if (!group->used || group->state != RTCI_GROUP_PENDING) {
            group->queued = false;
            continue;
        }
        if (!place(core, group)) {
            uint32_t at;
            const char *what;
            core->group_queue[keep++] = number;
            if (!group->noticed && !feasible(core, group, &at, &what)) {
                group->noticed = true;
                head_group_tell_all(core, group, RTC_E_INFEASIBLE);
                core->groups_placed = true; /* who waits for it looks again */
            }
            continue;
        }
        group->queued = group->noticed = false;
        group->state = RTCI_GROUP_READY;
        head_trace(core, "group %u:%llu ready", group->id.client,
                   (unsigned long long)group->id.seq);
        head_j_group(core, group);
        head_group_tell_all(core, group, 0);
        core->groups_placed = true; /* what waits for a place in it looks for one */
    }
    core->n_group_queue = keep;
}
