/* The arena of the node: one sparse file, its extents kept here.
 *
 * Extents in order of address cover it without gaps; two free ones are never neighbours. Free ones
 * stand in bins (eight to a doubling) by size, the last freed first, so that a block of a size just
 * freed is given out again while its pages are warm. Large objects begin at and are rounded to
 * 2 MiB for the same reason. An entry is created by ALLOC, sealed by SEAL, and belongs to the list
 * of the process that may yet take it back (its ABORT or death) until it is final: a put when it is
 * sealed, a return value when its task's completion names it.
 */
#include <stdlib.h>

#include "runtime/core/node.h"

static uint64_t key_b(struct rtci_id id)
{
    return (uint64_t)id.client << 32 | id.index;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

static uint64_t align_of(uint64_t size)
{
    return size >= ARENA_LARGE ? ARENA_LARGE_ALIGN : ARENA_ALIGN;
}

static uint64_t rounded(uint64_t size)
{
    return round_up(size ? size : 1, align_of(size));
}

/* ---- Bins ---- */

static uint32_t bin_of(uint64_t size)
{
    uint64_t units = size / ARENA_ALIGN; /* at least 1 */
    if (units < 8)
        return (uint32_t)units;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(units);
    return (log - 2) * 8 + (uint32_t)(units >> (log - 3) & 7);
}

static void bin_add(struct arena *arena, uint32_t index)
{
    struct extent *extent = &arena->extents[index];
    uint32_t bin = bin_of(extent->size);
    extent->bin_prev = 0;
    extent->bin_next = arena->bins[bin];
    if (extent->bin_next)
        arena->extents[extent->bin_next].bin_prev = index;
    arena->bins[bin] = index;
    arena->bin_used[bin / 64] |= 1ull << bin % 64;
}

static void bin_remove(struct arena *arena, uint32_t index)
{
    struct extent *extent = &arena->extents[index];
    uint32_t bin = bin_of(extent->size);
    *(extent->bin_prev ? &arena->extents[extent->bin_prev].bin_next : &arena->bins[bin]) =
        extent->bin_next;
    if (extent->bin_next)
        arena->extents[extent->bin_next].bin_prev = extent->bin_prev;
    if (!arena->bins[bin])
        arena->bin_used[bin / 64] &= ~(1ull << bin % 64);
}

static uint32_t bin_next(const struct arena *arena, uint32_t bin)
{
    for (uint32_t word = bin / 64; word < ARENA_BINS / 64; word++) {
        uint64_t bits = arena->bin_used[word];
        if (word == bin / 64)
            bits &= ~0ull << bin % 64;
        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return ARENA_BINS;
}

/* ---- Extents ---- */

static uint32_t extent_new(struct arena *arena, uint64_t offset, uint64_t size)
{
    uint32_t index = arena->free_extent;
    if (index) {
        arena->free_extent = arena->extents[index].next;
    } else {
        NODE_GROW(arena->extents, arena->cap_extents, arena->n_extents);
        index = arena->n_extents++;
    }
    arena->extents[index] = (struct extent){.offset = offset, .size = size};
    return index;
}

/* Splits off what lies behind the first `size` bytes, as a free extent. */
static void split(struct arena *arena, uint32_t index, uint64_t size)
{
    struct extent *extent = &arena->extents[index];
    if (extent->size == size)
        return;
    uint32_t rest = extent_new(arena, extent->offset + size, extent->size - size);
    extent = &arena->extents[index];
    arena->extents[rest].prev = index;
    arena->extents[rest].next = extent->next;
    if (extent->next)
        arena->extents[extent->next].prev = rest;
    extent->next = rest;
    extent->size = size;
    bin_add(arena, rest);
}

/* Takes [offset, offset + size) out of the free extent `index`. Returns the extent of it. */
static uint32_t carve(struct arena *arena, uint32_t index, uint64_t offset, uint64_t size)
{
    bin_remove(arena, index);
    uint64_t lead = offset - arena->extents[index].offset;
    if (lead) {
        split(arena, index, lead);
        uint32_t rest = arena->extents[index].next;
        bin_add(arena, index);
        index = rest;
        bin_remove(arena, index);
    }
    split(arena, index, size);
    arena->used += size;
    return index;
}

static void absorb_next(struct arena *arena, uint32_t index)
{
    struct extent *extent = &arena->extents[index];
    uint32_t next = extent->next;
    bin_remove(arena, next);
    extent->size += arena->extents[next].size;
    extent->next = arena->extents[next].next;
    if (extent->next)
        arena->extents[extent->next].prev = index;
    arena->extents[next] = (struct extent){.next = arena->free_extent};
    arena->free_extent = next;
}

static void extent_free(struct arena *arena, uint32_t index)
{
    struct extent *extent = &arena->extents[index];
    arena->used -= extent->size;
    extent->entry = 0;
    if (extent->next && !arena->extents[extent->next].entry)
        absorb_next(arena, index);
    if (extent->prev && !arena->extents[extent->prev].entry) {
        uint32_t prev = extent->prev;
        bin_add(arena, index); /* absorbing takes it out again */
        bin_remove(arena, prev);
        absorb_next(arena, prev);
        index = prev;
    }
    bin_add(arena, index);
}

/* The offset at which `size` fits into the extent, or UINT64_MAX. */
static uint64_t fit(const struct extent *extent, uint64_t size)
{
    uint64_t at = round_up(extent->offset, align_of(size));
    uint64_t skipped = at - extent->offset;
    return skipped <= extent->size && extent->size - skipped >= size ? at : UINT64_MAX;
}

/* Best fit: the smallest extent of the first bin that has one. */
static uint32_t find_room(const struct arena *arena, uint64_t size)
{
    for (uint32_t bin = bin_next(arena, bin_of(size)); bin < ARENA_BINS;
         bin = bin_next(arena, bin + 1)) {
        uint32_t best = 0;
        for (uint32_t at = arena->bins[bin]; at; at = arena->extents[at].bin_next) {
            if (fit(&arena->extents[at], size) == UINT64_MAX)
                continue;
            if (arena->extents[at].size == size)
                return at;
            if (!best || arena->extents[at].size < arena->extents[best].size)
                best = at;
        }
        if (best)
            return best;
        if (bin + 1 >= ARENA_BINS)
            break;
    }
    return 0;
}

/* ---- Entries ---- */

void node_arena_init(struct rtci_node_core *core)
{
    struct arena *arena = &core->arena;
    arena->size = core->config.store & ~(uint64_t)(ARENA_ALIGN - 1);
    arena->n_extents = 1;
    /* Untouched memory costs nothing: the tables are as long as they can get. */
    arena->entries = calloc(RTCI_ARENA_ENTRIES, sizeof(*arena->entries));
    arena->objects = calloc(RTCI_ARENA_ENTRIES, sizeof(*arena->objects));
    RTCI_ASSERT(arena->entries && arena->objects);
    if (arena->size)
        bin_add(arena, extent_new(arena, 0, arena->size));
    node_warm_init(core);
}

void node_arena_fini(struct rtci_node_core *core)
{
    free(core->arena.entries);
    free(core->arena.objects);
    free(core->arena.extents);
    free(core->arena.warm);
    rtci_map_fini(&core->arena.by_id);
}

const struct rtci_arena_entry *rtci_node_core_arena_entry(const struct rtci_node_core *core,
                                                          uint32_t index)
{
    return index < RTCI_ARENA_ENTRIES ? &core->arena.entries[index] : NULL;
}

static void changed(struct rtci_node_actions *actions, uint32_t index)
{
    node_act(actions, RTCI_NA_STORE_SET, 0)->object = index;
}

static void own(struct rtci_node_core *core, uint32_t index, uint32_t token)
{
    struct object *object = &core->arena.objects[index];
    object->owner = token;
    object->prev = 0;
    object->next = core->procs[token].objects;
    if (object->next)
        core->arena.objects[object->next - 1].prev = index + 1;
    core->procs[token].objects = index + 1;
}

static void disown(struct rtci_node_core *core, uint32_t index)
{
    struct object *object = &core->arena.objects[index];
    if (!object->owner)
        return;
    *(object->prev ? &core->arena.objects[object->prev - 1].next
                   : &core->procs[object->owner].objects) = object->next;
    if (object->next)
        core->arena.objects[object->next - 1].prev = object->prev;
    object->owner = object->next = object->prev = 0;
}

static bool entry_new(struct arena *arena, uint32_t *ret_index)
{
    if (arena->free_entry) {
        *ret_index = arena->free_entry - 1;
        arena->free_entry = arena->objects[*ret_index].next;
        arena->objects[*ret_index].next = 0;
        return true;
    }
    while (arena->n_entries < RTCI_ARENA_ENTRIES && arena->entries[arena->n_entries].state)
        arena->n_entries++; /* adopted ones */
    if (arena->n_entries == RTCI_ARENA_ENTRIES)
        return false;
    *ret_index = arena->n_entries++;
    return true;
}

static void entry_free(struct rtci_node_core *core, uint32_t index,
                       struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    struct rtci_arena_entry *entry = &arena->entries[index];
    disown(core, index);
    rtci_map_remove(&arena->by_id, entry->id.seq, key_b(entry->id));
    extent_free(arena, arena->objects[index].extent);
    *entry = (struct rtci_arena_entry){0};
    arena->objects[index] = (struct object){0};
    core->pull_retry = core->n_pull_queue != 0;
    if (index < arena->n_entries) { /* else: it is found by counting up */
        arena->objects[index].next = arena->free_entry;
        arena->free_entry = index + 1;
    }
    changed(actions, index);
}

void rtci_node_core_arena_adopt(struct rtci_node_core *core, uint32_t index,
                                const struct rtci_arena_entry *entry)
{
    struct arena *arena = &core->arena;
    if (core->told || index >= RTCI_ARENA_ENTRIES || arena->entries[index].state ||
        entry->state < 1 || entry->state > 2 || !entry->id.client || entry->offset % ARENA_ALIGN ||
        entry->size > arena->size || entry->offset > arena->size - entry->size ||
        rtci_map_find(&arena->by_id, entry->id.seq, key_b(entry->id)))
        return;
    uint64_t size = rounded(entry->size);
    for (uint32_t bin = bin_next(arena, bin_of(size)); bin < ARENA_BINS;
         bin = bin_next(arena, bin + 1)) {
        for (uint32_t at = arena->bins[bin]; at; at = arena->extents[at].bin_next) {
            const struct extent *extent = &arena->extents[at];
            if (entry->offset < extent->offset || entry->offset - extent->offset > extent->size ||
                extent->size - (entry->offset - extent->offset) < size)
                continue;
            uint32_t taken = carve(arena, at, entry->offset, size);
            arena->extents[taken].entry = index + 1;
            arena->entries[index] = *entry;
            arena->objects[index] = (struct object){.extent = taken};
            node_map_set(&arena->by_id, entry->id.seq, key_b(entry->id), index);
            return;
        }
        if (bin + 1 >= ARENA_BINS)
            return;
    }
}

static uint32_t *entry_of(struct rtci_node_core *core, struct rtci_id id)
{
    return rtci_map_find(&core->arena.by_id, id.seq, key_b(id));
}

/* ---- Requests ---- */

static int make_room(struct rtci_node_core *core, const struct rtci_alloc *alloc,
                     uint32_t *ret_index)
{
    struct arena *arena = &core->arena;
    if (alloc->size > arena->size)
        return RTC_E_TOO_LARGE;
    uint64_t size = rounded(alloc->size);
    uint32_t room = size <= arena->size ? find_room(arena, size) : 0;
    if (!room || !entry_new(arena, ret_index))
        return RTC_E_STORE_FULL;
    uint32_t extent = carve(arena, room, fit(&arena->extents[room], size), size);
    arena->extents[extent].entry = *ret_index + 1;
    arena->objects[*ret_index] = (struct object){.extent = extent};
    arena->entries[*ret_index] = (struct rtci_arena_entry){
        .id = alloc->id, .offset = arena->extents[extent].offset, .size = alloc->size, .state = 1};
    node_map_set(&arena->by_id, alloc->id.seq, key_b(alloc->id), *ret_index);
    return 0;
}

uint64_t node_arena_next(const struct arena *arena, uint64_t size)
{
    uint32_t room = find_room(arena, size);
    return room ? fit(&arena->extents[room], size) : UINT64_MAX;
}

/* Asked again (after a restart, or by the next attempt of a task), the answer is the same place. */
void node_alloc(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                const struct rtci_alloc *alloc, struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    const uint32_t *known = entry_of(core, alloc->id);
    uint32_t index = known ? *known : 0;
    int status = 0;
    bool pulled = known && arena->objects[index].pull; /* nobody else may write it */
    if (known && !pulled && arena->entries[index].size != alloc->size) {
        entry_free(core, index, actions);
        known = NULL;
    }
    if (pulled) {
        status = RTC_E_STORE_FULL;
    } else if (!known) {
        status = make_room(core, alloc, &index);
        if (status == 0)
            own(core, index, token);
    } else if (arena->objects[index].owner) {
        disown(core, index);
        own(core, index, token);
    }
    struct rtci_grant *grant = node_tell(core, token, RTCI_R_GRANT, sizeof(*grant), actions);
    grant->id = alloc->id;
    grant->status = status;
    grant->cools = arena->cools;
    if (status)
        return;
    arena->entries[index].client = core->procs[token].number;
    node_warm_placed(core, now_ns, &arena->extents[arena->objects[index].extent], actions);
    grant->offset = arena->entries[index].offset;
    grant->size = alloc->size;
    changed(actions, index);
}

int node_arena_reserve(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                       uint64_t size, uint32_t *ret_entry, struct rtci_node_actions *actions)
{
    struct rtci_alloc alloc = {.id = id, .size = size};
    if (size > core->arena.size || rounded(size) > core->arena.size)
        return RTC_E_TOO_LARGE;
    if (entry_of(core, id)) /* a process here writes one of that name: it ends, or goes */
        return RTC_E_STORE_FULL;
    int status = make_room(core, &alloc, ret_entry);
    if (status)
        return status;
    node_warm_placed(core, now_ns, &core->arena.extents[core->arena.objects[*ret_entry].extent],
                     actions);
    changed(actions, *ret_entry);
    return 0;
}

void node_arena_seal(struct rtci_node_core *core, uint32_t entry, struct rtci_node_actions *actions)
{
    core->arena.entries[entry].state = 2;
    changed(actions, entry);
}

void node_arena_free(struct rtci_node_core *core, uint32_t entry, struct rtci_node_actions *actions)
{
    entry_free(core, entry, actions);
}

bool rtci_node_core_object(const struct rtci_node_core *core, struct rtci_id id,
                           uint64_t *ret_offset, uint64_t *ret_size)
{
    const uint32_t *known = rtci_map_find(&core->arena.by_id, id.seq, key_b(id));
    if (!known || core->arena.entries[*known].state != 2)
        return false;
    *ret_offset = core->arena.entries[*known].offset;
    *ret_size = core->arena.entries[*known].size;
    return true;
}

void node_abort(struct rtci_node_core *core, uint32_t token, const struct rtci_alloc *alloc,
                struct rtci_node_actions *actions)
{
    const uint32_t *known = entry_of(core, alloc->id);
    if (known && core->arena.objects[*known].owner == token)
        entry_free(core, *known, actions);
}

enum node_verdict node_seal(struct rtci_node_core *core, uint32_t token, const struct rtci_put *put,
                            struct rtci_node_actions *actions)
{
    const uint32_t *known = entry_of(core, put->id);
    if (!known)
        return NODE_DROP; /* read again after a restart, and freed since */
    struct rtci_arena_entry *entry = &core->arena.entries[*known];
    if (entry->offset != put->offset && entry->state == 1 &&
        core->arena.objects[*known].owner == token) {
        entry_free(core, *known, actions); /* likewise: its request was read and granted again */
        return NODE_DROP;
    }
    if (entry->offset != put->offset || entry->size != put->size ||
        entry->client != core->procs[token].number)
        return NODE_BAD;
    if (entry->state != 2) {
        entry->state = 2;
        changed(actions, *known);
        core->pull_retry = core->n_pull_queue != 0; /* one may wait for this very object */
    }
    if (put->id.client == core->procs[token].number)
        disown(core, *known);
    return NODE_PASS;
}

enum node_verdict node_done_objects(struct rtci_node_core *core, uint32_t token,
                                    const struct rtci_done *done, struct rtci_node_actions *actions)
{
    const struct rtci_resolved *rows = rtci_done_returns(done);
    for (uint32_t i = 0; done->status == 0 && i < done->n_returns; i++) {
        if (rows[i].kind != RTCI_KIND_ARENA)
            continue;
        const uint32_t *known = entry_of(core, (struct rtci_id){done->seq, done->client, i});
        const struct rtci_arena_entry *entry = known ? &core->arena.entries[*known] : NULL;
        if (!entry)
            return NODE_DROP;
        if (entry->state != 2 || entry->offset != rows[i].offset || entry->size != rows[i].size)
            return NODE_BAD;
        disown(core, *known);
    }
    /* Whatever else the task began is in nobody's hands now. */
    for (uint32_t at = core->procs[token].objects, next; at; at = next) {
        next = core->arena.objects[at - 1].next;
        struct rtci_id id = core->arena.entries[at - 1].id;
        if (id.seq == done->seq && id.client == done->client)
            entry_free(core, at - 1, actions);
    }
    return NODE_PASS;
}

void node_object_free(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_ids *ids,
                      struct rtci_node_actions *actions)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        if (core->pull_by_id.n && node_pull_stop(core, now_ns, id[i], actions))
            continue;
        const uint32_t *known = entry_of(core, id[i]);
        if (known)
            entry_free(core, *known, actions);
    }
}

void node_objects_abandon(struct rtci_node_core *core, uint32_t token,
                          struct rtci_node_actions *actions)
{
    while (core->procs[token].objects)
        entry_free(core, core->procs[token].objects - 1, actions);
}

/* What was being written by a process that is no more goes; the rest is told. */
void node_hello_objects(struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    for (uint32_t i = 0; i < RTCI_ARENA_ENTRIES && arena->by_id.n; i++) {
        struct rtci_arena_entry *entry = &arena->entries[i];
        if (entry->state == 1 && !arena->objects[i].owner && !arena->objects[i].pull) {
            uint32_t token = node_proc_number(core, entry->client);
            if (token)
                own(core, i, token);
            else
                entry_free(core, i, actions);
        } else if (entry->state == 2) {
            struct rtci_put *put = node_say(actions, RTCI_R_OBJECT_HELD, sizeof(*put));
            put->id = entry->id;
            put->kind = RTCI_KIND_ARENA;
            put->size = entry->size;
            put->offset = entry->offset;
        }
    }
}

void node_arena_check(const struct rtci_node_core *core)
{
    const struct arena *arena = &core->arena;
    uint64_t at_byte = 0, used = 0;
    uint32_t entries = 0, first = 0;
    for (uint32_t i = 1; i < arena->n_extents && !first; i++)
        first = arena->extents[i].size && !arena->extents[i].offset ? i : 0;
    for (uint32_t at = first, prev = 0; at; prev = at, at = arena->extents[at].next) {
        const struct extent *extent = &arena->extents[at];
        RTCI_ASSERT(extent->offset == at_byte && extent->prev == prev && extent->size);
        RTCI_ASSERT(extent->entry || !prev || arena->extents[prev].entry);
        at_byte += extent->size;
        if (!extent->entry)
            continue;
        uint32_t index = extent->entry - 1;
        const struct rtci_arena_entry *entry = &arena->entries[index];
        RTCI_ASSERT(entry->state && arena->objects[index].extent == at);
        RTCI_ASSERT(entry->offset == extent->offset && extent->size == rounded(entry->size));
        const uint32_t *known = rtci_map_find(&arena->by_id, entry->id.seq, key_b(entry->id));
        RTCI_ASSERT(known && *known == index);
        RTCI_IMPLIES(arena->objects[index].owner,
                     core->procs[arena->objects[index].owner].state != PROC_FREE);
        used += extent->size;
        entries++;
    }
    node_warm_check(core);
    RTCI_ASSERT(at_byte == arena->size && used == arena->used && entries == arena->by_id.n);
}
