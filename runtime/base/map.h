/* A hash map from 16 bytes of key to 32 bits: open addressing, linear probing, no tombstones
 * (removal shifts back). For what has no index of its own; nothing iterates it, so its order is
 * never seen. Zero-initialised is empty and valid. */
#ifndef RTCI_BASE_MAP_H
#define RTCI_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

struct rtci_map_entry {
    uint64_t a, b;
    uint32_t value;
    uint32_t used;
};
struct rtci_map {
    struct rtci_map_entry *entries; /* power of two, at most 3/4 full */
    uint32_t cap, n;
};

void rtci_map_fini(struct rtci_map *map);
/* Sets or replaces. False when memory is out (the map is unchanged). */
bool rtci_map_set(struct rtci_map *map, uint64_t a, uint64_t b, uint32_t value) RTCI_MUST_USE;
/* False when it was not there. */
bool rtci_map_remove(struct rtci_map *map, uint64_t a, uint64_t b);

static inline uint64_t rtci_map_hash(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

/* Where the value stands (until the next set or remove), or NULL. */
static inline uint32_t *rtci_map_find(const struct rtci_map *map, uint64_t a, uint64_t b)
{
    if (map->n == 0)
        return NULL;
    uint32_t mask = map->cap - 1;
    for (uint32_t i = (uint32_t)rtci_map_hash(a, b) & mask; map->entries[i].used;
         i = (i + 1) & mask) {
        if (map->entries[i].a == a && map->entries[i].b == b)
            return &map->entries[i].value;
    }
    return NULL;
}

#endif
