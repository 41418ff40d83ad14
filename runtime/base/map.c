#include "runtime/base/map.h"

#include <stdlib.h>

#define MAP_FIRST 16u

void rtci_map_fini(struct rtci_map *map)
{
    free(map->entries);
    *map = (struct rtci_map){0};
}

/* The entry of the key, or the empty one where it belongs. */
static struct rtci_map_entry *place(struct rtci_map_entry *entries, uint32_t cap, uint64_t a,
                                    uint64_t b)
{
    uint32_t i = (uint32_t)rtci_map_hash(a, b) & (cap - 1);
    while (entries[i].used && (entries[i].a != a || entries[i].b != b))
        i = (i + 1) & (cap - 1);
    return &entries[i];
}

static bool grow(struct rtci_map *map)
{
    if (map->cap > UINT32_MAX / 2)
        return false;
    uint32_t cap = map->cap ? map->cap * 2 : MAP_FIRST;
    struct rtci_map_entry *entries = calloc(cap, sizeof(*entries));
    if (!entries)
        return false;
    for (uint32_t i = 0; i < map->cap; i++) {
        if (map->entries[i].used)
            *place(entries, cap, map->entries[i].a, map->entries[i].b) = map->entries[i];
    }
    free(map->entries);
    map->entries = entries;
    map->cap = cap;
    return true;
}

bool rtci_map_set(struct rtci_map *map, uint64_t a, uint64_t b, uint32_t value)
{
    if (map->n >= map->cap - map->cap / 4 && !grow(map))
        return false;
    struct rtci_map_entry *entry = place(map->entries, map->cap, a, b);
    map->n += !entry->used;
    *entry = (struct rtci_map_entry){a, b, value, 1};
    return true;
}

bool rtci_map_remove(struct rtci_map *map, uint64_t a, uint64_t b)
{
    if (map->n == 0)
        return false;
    uint32_t mask = map->cap - 1;
    struct rtci_map_entry *entries = map->entries;
    struct rtci_map_entry *entry = place(entries, map->cap, a, b);
    if (!entry->used)
        return false;
    uint32_t hole = (uint32_t)(entry - entries);
    for (uint32_t i = (hole + 1) & mask; entries[i].used; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)rtci_map_hash(entries[i].a, entries[i].b) & mask;
        /* May it move back to the hole? Not when its home lies behind it, cyclically. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            entries[hole] = entries[i];
            hole = i;
        }
    }
    entries[hole].used = 0;
    map->n--;
    return true;
}
