/* The arena's bookkeeping: which bytes of the one sparse memory file belong to which object. Large
 * blocks are rounded to 2 MiB, so that a freed one, its pages already touched, serves the next of
 * about its size; the lowest fitting block is taken, so the warm part stays low. */
#include <stdlib.h>

#include "runtime/core/host_internal.h"

#define SMALL_ALIGN 4096u
#define LARGE_ALIGN (2 * RTCI_MIB)

static uint64_t block_size(uint64_t size)
{
    uint64_t unit = size >= RTCI_MIB ? LARGE_ALIGN : SMALL_ALIGN;
    return (size + unit - 1) / unit * unit;
}

void node_arena_init(struct rtci_node_core *core)
{
    if (!core->config.store)
        return;
    NODE_GROW(core->extents, core->cap_extents, 0);
    core->extents[0] = (struct extent){0, core->config.store / LARGE_ALIGN * LARGE_ALIGN};
    core->n_extents = core->extents[0].size ? 1 : 0;
}

static void free_insert(struct rtci_node_core *core, uint64_t offset, uint64_t size)
{
    uint32_t at = 0;
    while (at < core->n_extents && core->extents[at].offset < offset)
        at++;
    struct extent *prev = at ? &core->extents[at - 1] : NULL;
    struct extent *next = at < core->n_extents ? &core->extents[at] : NULL;
    bool joins_prev = prev && prev->offset + prev->size == offset;
    bool joins_next = next && offset + size == next->offset;
    if (joins_prev && joins_next) {
        prev->size += size + next->size;
        memmove(next, next + 1, (--core->n_extents - at) * sizeof(*next));
    } else if (joins_prev) {
        prev->size += size;
    } else if (joins_next) {
        next->offset = offset;
        next->size += size;
    } else {
        NODE_GROW(core->extents, core->cap_extents, core->n_extents);
        memmove(&core->extents[at + 1], &core->extents[at],
                (core->n_extents++ - at) * sizeof(struct extent));
        core->extents[at] = (struct extent){offset, size};
    }
}

/* Takes [offset, offset + size) out of the free extents; false when it is not free. */
static bool free_carve(struct rtci_node_core *core, uint64_t offset, uint64_t size)
{
    for (uint32_t i = 0; i < core->n_extents; i++) {
        struct extent at = core->extents[i];
        if (offset < at.offset || offset + size > at.offset + at.size)
            continue;
        memmove(&core->extents[i], &core->extents[i + 1],
                (--core->n_extents - i) * sizeof(struct extent));
        if (offset > at.offset)
            free_insert(core, at.offset, offset - at.offset);
        if (offset + size < at.offset + at.size)
            free_insert(core, offset + size, at.offset + at.size - offset - size);
        return true;
    }
    return false;
}

static uint32_t find(const struct rtci_node_core *core, struct rtci_id id)
{
    for (uint32_t i = 1; i < core->n_entries; i++) {
        if (core->entries[i].state && rtci_id_equal(core->entries[i].id, id))
            return i;
    }
    return 0;
}

static void set(struct rtci_node_core *core, uint32_t index)
{
    node_act(core, RTCI_NA_STORE_SET, 0)->object = index;
}

static void drop(struct rtci_node_core *core, uint32_t index)
{
    struct rtci_arena_entry *entry = &core->entries[index];
    free_insert(core, entry->offset, entry->size);
    memset(entry, 0, sizeof(*entry));
    set(core, index);
}

static uint32_t allocate(struct rtci_node_core *core, uint32_t client, struct rtci_id id,
                         uint64_t bytes)
{
    uint64_t size = block_size(bytes);
    uint64_t unit = bytes >= RTCI_MIB ? LARGE_ALIGN : SMALL_ALIGN;
    uint32_t index = 1;
    while (index < core->n_entries && core->entries[index].state)
        index++;
    if (index >= RTCI_ARENA_ENTRIES)
        return 0;
    for (uint32_t i = 0; i < core->n_extents; i++) {
        uint64_t offset = (core->extents[i].offset + unit - 1) / unit * unit;
        if (offset + size > core->extents[i].offset + core->extents[i].size)
            continue;
        RTCI_ASSERT(free_carve(core, offset, size));
        NODE_GROW(core->entries, core->cap_entries, index);
        if (index >= core->n_entries)
            core->n_entries = index + 1;
        core->entries[index] = (struct rtci_arena_entry){id, offset, size, 1, client};
        set(core, index);
        return index;
    }
    return 0;
}

void node_on_alloc(struct rtci_node_core *core, uint32_t token, const struct rtci_alloc *alloc)
{
    uint32_t client = core->locals[token].client;
    uint32_t index = find(core, alloc->id);
    bool mine = alloc->id.client == client || core->locals[token].role == RTCI_ROLE_EXECUTOR;
    if (index && core->entries[index].size < alloc->size) { /* a leftover of a dead attempt */
        drop(core, index);
        index = 0;
    }
    if (!index && mine && alloc->size <= core->config.store)
        index = allocate(core, client, alloc->id, alloc->size);
    struct rtci_grant *out = node_to_client(core, token, RTCI_R_GRANT, sizeof(*out));
    out->id = alloc->id;
    out->status = index ? 0 : RTC_E_STORE_FULL;
    if (!index)
        return;
    core->entries[index].client = client;
    out->offset = core->entries[index].offset;
    out->size = core->entries[index].size;
}

void node_on_abort(struct rtci_node_core *core, uint32_t client, struct rtci_id id)
{
    uint32_t index = find(core, id);
    if (index && core->entries[index].state == 1 && core->entries[index].client == client)
        drop(core, index);
}

bool node_on_seal(struct rtci_node_core *core, uint32_t client, const struct rtci_put *put)
{
    uint32_t index = find(core, put->id);
    if (!index || put->id.client != client || core->entries[index].offset != put->offset ||
        core->entries[index].size < put->size)
        return false;
    core->entries[index].state = 2;
    set(core, index);
    return true;
}

/* Large returns of a task become sealed with its completion. False: it lies about where they are.
 */
bool node_arena_result(struct rtci_node_core *core, const struct rtci_done *done)
{
    for (uint32_t i = 0; i < done->n_returns; i++) {
        const struct rtci_resolved *ret = &rtci_done_returns(done)[i];
        if (ret->kind != RTCI_KIND_ARENA)
            continue;
        uint32_t index = find(core, (struct rtci_id){done->seq, done->client, i});
        if (!index || core->entries[index].offset != ret->offset ||
            core->entries[index].size < ret->size)
            return false;
        core->entries[index].state = 2;
        set(core, index);
    }
    return true;
}

void node_on_object_free(struct rtci_node_core *core, const struct rtci_ids *ids)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = find(core, id[i]);
        if (index)
            drop(core, index);
    }
}

/* A dead process leaves what it had not finished writing. */
void node_arena_client_gone(struct rtci_node_core *core, uint32_t client)
{
    for (uint32_t i = 1; client && i < core->n_entries; i++) {
        if (core->entries[i].state == 1 && core->entries[i].client == client)
            drop(core, i);
    }
}

void node_arena_hello(struct rtci_node_core *core)
{
    for (uint32_t i = 1; i < core->n_entries; i++) {
        const struct rtci_arena_entry *entry = &core->entries[i];
        if (entry->state != 2)
            continue;
        struct rtci_put *out = node_to_head(core, RTCI_R_OBJECT_HELD, sizeof(*out));
        out->id = entry->id;
        out->kind = RTCI_KIND_ARENA;
        out->size = entry->size;
        out->offset = entry->offset;
    }
}

const struct rtci_arena_entry *rtci_node_core_arena_entry(const struct rtci_node_core *core,
                                                          uint32_t index)
{
    RTCI_ASSERT(index < core->n_entries);
    return &core->entries[index];
}

void rtci_node_core_arena_adopt(struct rtci_node_core *core, uint32_t index,
                                const struct rtci_arena_entry *entry)
{
    if (!index || index >= RTCI_ARENA_ENTRIES || (entry->state != 1 && entry->state != 2) ||
        !entry->size || entry->size % SMALL_ALIGN || entry->offset % SMALL_ALIGN ||
        entry->offset > core->config.store || entry->size > core->config.store ||
        !free_carve(core, entry->offset, entry->size))
        return;
    NODE_GROW(core->entries, core->cap_entries, index);
    if (core->n_entries <= index)
        core->n_entries = index + 1;
    core->entries[index] = *entry;
}
