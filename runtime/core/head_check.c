/* Recomputes what is kept twice. For tests and the simulator; O(state). */
#include <stdio.h>

#include "runtime/core/head_internal.h"

static void check_slots(const struct rtci_head_core *core)
{
    for (uint32_t i = 1; i < core->n_slots; i++) {
        const struct slot *slot = &core->slots[i];
        if (!slot->used)
            continue;
        uint32_t n = 0, last = 0;
        uint64_t bytes = 0;
        for (uint32_t at = slot->head; at; at = core->entries[at].next) {
            const struct entry *entry = &core->entries[at];
            RTCI_ASSERT(entry->slot == i && entry->prev == last && entry->cls == slot->cls);
            RTCI_ASSERT(entry->state == RTCI_TASK_LEASED || entry->state == RTCI_TASK_RUNNING ||
                        entry->state == RTCI_TASK_CANCELLING);
            bytes += entry->spec->rec.size;
            last = at;
            n++;
        }
        RTCI_IMPLIES(slot->reported, !core->nodes[slot->node].ready);
        RTCI_ASSERT(slot->tail == last && slot->inflight == n && slot->bytes == bytes);
    }
}

/* An actor is dead exactly when its entry is, and has its place alone. */
static void check_actors(const struct rtci_head_core *core)
{
    uint32_t living = 0, named = 0, names = 0, watched = 0, unfired = 0;
    for (uint32_t i = 1; i < core->n_actors; i++) {
        const struct actor *actor = &core->actors[i];
        if (!actor->entry)
            continue;
        const struct entry *entry = &core->entries[actor->entry];
        bool placed = actor->state == RTCI_ACTOR_STARTING || actor->state == RTCI_ACTOR_ALIVE;
        RTCI_ASSERT(entry->kind == ENTRY_ACTOR && entry->parent == i);
        RTCI_ASSERT((actor->state == RTCI_ACTOR_DEAD) == head_terminal(entry));
        RTCI_IMPLIES(entry->slot, placed && core->slots[entry->slot].node == actor->node);
        RTCI_IMPLIES(placed && !entry->slot, core->actors_adrift || core->replaying);
        RTCI_IMPLIES(actor->n_waits, actor->state < RTCI_ACTOR_DEAD);
        RTCI_IMPLIES(actor->ends, placed);
        RTCI_IMPLIES(actor->state == RTCI_ACTOR_DEAD, !actor->named && !actor->monitors);
        living += actor->state != RTCI_ACTOR_DEAD;
        named += actor->named;
        for (uint32_t at = actor->monitors; at; at = core->monitors[at].next) {
            RTCI_ASSERT(core->monitors[at].used && !core->monitors[at].fired);
            watched++;
        }
    }
    for (uint32_t i = 1; i < core->n_names; i++) {
        names += core->names[i].name != NULL;
        RTCI_IMPLIES(core->names[i].name,
                     core->actors[core->entries[core->names[i].entry].parent].named);
    }
    for (uint32_t i = 1; i < core->n_monitors; i++)
        unfired += core->monitors[i].used && !core->monitors[i].fired;
    RTCI_ASSERT(living == core->stats.actors && named == names && watched == unfired);
}

/* A group has all of its bundles or waits for those it has not; slots take no more than there is.
 */
static void check_groups(const struct rtci_head_core *core)
{
    uint32_t living = 0;
    for (uint32_t g = 1; g < core->n_groups; g++) {
        const struct group *group = &core->groups[g];
        uint32_t slots = 0, placed = 0;
        if (!group->used)
            continue;
        living += group->state != RTCI_GROUP_REMOVED;
        for (uint32_t i = 0; i < group->n; i++) {
            const struct bundle *bundle = &group->bundles[i];
            int64_t cpu = bundle->need.cpu;
            placed += bundle->node != 0;
            RTCI_ASSERT(!bundle->tried);
            for (uint32_t at = 1; at < core->n_slots; at++) {
                const struct slot *slot = &core->slots[at];
                if (!slot->used || slot->group != g || slot->bundle != i)
                    continue;
                RTCI_ASSERT(slot->node == bundle->node);
                slots++;
                cpu -= slot->blocked ? 0 : core->classes[slot->cls - 1]->shape.cpu;
            }
            RTCI_ASSERT(cpu == bundle->cpu_free);
        }
        RTCI_ASSERT(slots == group->n_slots);
        RTCI_IMPLIES(group->state == RTCI_GROUP_READY, placed == group->n);
        RTCI_IMPLIES(group->state == RTCI_GROUP_PENDING, placed < group->n && group->queued);
        RTCI_IMPLIES(group->state == RTCI_GROUP_REMOVED, slots);
    }
    RTCI_ASSERT(living == core->stats.groups);
}

static void check_classes(const struct rtci_head_core *core)
{
    uint64_t ready = 0;
    for (uint32_t c = 0; c < core->n_classes; c++) {
        const struct cls *cls = core->classes[c];
        uint32_t n = 0, slots = 0;
        for (uint32_t b = 0; b < cls->n_buckets; b++) {
            RTCI_ASSERT(!b || cls->buckets[b - 1].prio > cls->buckets[b].prio);
            for (uint32_t at = cls->buckets[b].head; at; at = core->entries[at].next) {
                RTCI_ASSERT(core->entries[at].state == RTCI_TASK_READY);
                RTCI_ASSERT(core->entries[at].cls == c + 1 && !core->entries[at].slot);
                n++;
            }
        }
        for (uint32_t at = cls->slot_head; at; at = core->slots[at].cls_next) {
            RTCI_ASSERT(core->slots[at].used && core->slots[at].cls == c + 1);
            RTCI_IMPLIES(cls->actor, core->slots[at].inflight == 1);
            slots++;
        }
        RTCI_ASSERT(n == cls->n_ready && slots == cls->n_slots);
        RTCI_ASSERT(!n || cls->active_at);
        ready += n;
    }
    RTCI_ASSERT(ready == core->stats.tasks_ready);
}

static void check_nodes(const struct rtci_head_core *core)
{
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        const struct node *node = &core->nodes[i];
        if (node->state == RTCI_NODE_DEAD)
            continue;
        int64_t cpu = node->cpu, blocked_cpu = 0;
        uint32_t blocked = 0;
        for (uint32_t at = node->slots; at; at = core->slots[at].node_next) {
            int64_t need = (int64_t)core->classes[core->slots[at].cls - 1]->shape.cpu;
            need = core->slots[at].group ? 0 : need; /* taken with its bundle */
            cpu -= need;
            blocked += core->slots[at].blocked;
            blocked_cpu += core->slots[at].blocked ? need : 0;
        }
        for (uint32_t g = 1; g < core->n_groups && node->counted; g++) {
            for (uint32_t k = 0; k < core->groups[g].n; k++)
                cpu -=
                    core->groups[g].bundles[k].node == i ? core->groups[g].bundles[k].need.cpu : 0;
        }
        uint32_t last = 0;
        for (uint32_t at = node->ghosts; at; at = core->entries[at].ghost_next) {
            RTCI_ASSERT(core->entries[at].ghost_node == i && core->entries[at].ghost_prev == last);
            last = at;
        }
        RTCI_ASSERT(node->ready || node->state == RTCI_NODE_JOINING);
        RTCI_ASSERT(node->suspect == (node->state == RTCI_NODE_SUSPECT));
        RTCI_ASSERT(!node->ready || !node->again);
        RTCI_ASSERT(cpu + blocked_cpu == node->cpu_free && blocked == node->n_blocked);
        RTCI_ASSERT(blocked_cpu == node->cpu_lent);
    }
}

/* A ghost is an attempt that may yet end well; marks of a node's hello end with its READY. */
static void check_attempts(const struct rtci_head_core *core, const struct entry *entry)
{
    if (entry->flags & EF_CONFIRMED)
        RTCI_ASSERT(entry->slot && !core->nodes[core->slots[entry->slot].node].ready);
    RTCI_ASSERT(!(entry->flags & EF_GHOST) == !entry->ghost_node);
    if (!entry->ghost_node) {
        RTCI_ASSERT(!(entry->flags & (EF_GHOST_SEEN | EF_GHOST_RAN)) && !entry->ghost_next);
        return;
    }
    const struct node *node = &core->nodes[entry->ghost_node];
    RTCI_ASSERT(entry->kind == ENTRY_TASK && !head_terminal(entry) && entry->ghost_attempt);
    RTCI_ASSERT(node->state != RTCI_NODE_DEAD && node->ghosts);
    RTCI_IMPLIES(entry->flags & EF_GHOST_SEEN, !node->ready);
}

static void check_entries(const struct rtci_head_core *core)
{
    uint64_t tasks = 0, objects = 0, leased = 0;
    for (uint32_t i = 1; i < core->n_entries; i++) {
        const struct entry *entry = &core->entries[i];
        if (!entry->kind)
            continue;
        tasks += entry->kind == ENTRY_TASK;
        objects += entry->kind == ENTRY_PUT;
        leased += entry->slot != 0;
        RTCI_ASSERT(entry->kind == ENTRY_PUT || entry->spec);
        RTCI_IMPLIES(entry->kind == ENTRY_TASK && head_terminal(entry), entry->result);
        RTCI_IMPLIES(entry->kind == ENTRY_TASK && entry->state == RTCI_TASK_WAITING, entry->deps);
        check_attempts(core, entry);
        uint32_t ext = 0;
        for (uint32_t at = entry->ext_edges; at; at = core->edges[at].next)
            ext++;
        RTCI_ASSERT(ext == entry->ext);
        /* What nobody can ask for must be gone. */
        RTCI_ASSERT(!head_terminal(entry) || entry->holds || entry->pins || entry->ext ||
                    entry->flags & EF_UNDELIVERED);
    }
    RTCI_ASSERT(tasks == core->stats.tasks_alive && objects == core->stats.objects);
    RTCI_ASSERT(leased == core->stats.tasks_leased);
}

void rtci_head_core_check(const struct rtci_head_core *core)
{
    check_slots(core);
    check_classes(core);
    check_actors(core);
    check_groups(core);
    check_nodes(core);
    check_entries(core);
    for (uint32_t i = 0; i < core->n_heap; i++)
        RTCI_ASSERT(core->entries[core->heap[i]].heap == i + 1);
}
