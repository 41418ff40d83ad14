#include "runtime/client/slot.h"

#include <stdlib.h>
#include <string.h>

/* Pages kept for reuse: put and release in a loop must not call malloc and touch fresh memory. */
#define SPARE_MAX 32u

void rtci_slots_init(struct slots *slots)
{
    memset(slots, 0, sizeof(*slots));
}

static void page_free(struct slots *slots, struct slot_page *page)
{
    if (!slots->spare)
        slots->spare = calloc(SPARE_MAX, sizeof(*slots->spare));
    if (slots->spare && slots->n_spare < SPARE_MAX)
        slots->spare[slots->n_spare++] = page;
    else
        free(page);
}

static struct slot_page *page_new(struct slots *slots)
{
    if (slots->n_spare == 0)
        return calloc(1, sizeof(struct slot_page));
    struct slot_page *page = slots->spare[--slots->n_spare];
    memset(page, 0, sizeof(*page));
    return page;
}

void rtci_slots_fini(struct slots *slots)
{
    for (uint64_t d = 0; d < slots->n_dirs; d++) {
        for (uint32_t p = 0; slots->dir[d] && p < SLOT_DIR; p++)
            free(slots->dir[d]->page[p]);
        free(slots->dir[d]);
    }
    free(slots->dir);
    for (uint32_t i = 0; i < slots->n_spare; i++)
        free(slots->spare[i]);
    free(slots->spare);
    memset(slots, 0, sizeof(*slots));
}

static struct slot_page *page_of(struct slots *slots, uint64_t index)
{
    uint64_t d = index >> SLOT_DIR_BITS;
    if (d >= slots->n_dirs || !slots->dir[d])
        return NULL;
    return slots->dir[d]->page[index & (SLOT_DIR - 1)];
}

struct slot *rtci_slots_find_slow(struct slots *slots, uint64_t seq)
{
    struct slot_page *page = page_of(slots, seq >> SLOT_PAGE_BITS);
    if (!page)
        return NULL;
    slots->last = page;
    slots->last_index = seq >> SLOT_PAGE_BITS;
    return &page->slot[seq & (SLOT_PAGE - 1)];
}

static struct slot_page *page_make(struct slots *slots, uint64_t index)
{
    uint64_t d = index >> SLOT_DIR_BITS;
    if (d >= slots->n_dirs) {
        uint64_t n = d + 16;
        struct slot_dir **dir = realloc(slots->dir, n * sizeof(*dir));
        if (!dir)
            return NULL;
        memset(dir + slots->n_dirs, 0, (n - slots->n_dirs) * sizeof(*dir));
        slots->dir = dir;
        slots->n_dirs = n;
    }
    if (!slots->dir[d] && !(slots->dir[d] = calloc(1, sizeof(struct slot_dir))))
        return NULL;
    struct slot_page *page = page_new(slots);
    if (page) {
        slots->dir[d]->page[index & (SLOT_DIR - 1)] = page;
        slots->dir[d]->n_pages++;
    }
    return page;
}

struct slot *rtci_slots_add(struct slots *slots, uint64_t seq)
{
    uint64_t index = seq >> SLOT_PAGE_BITS;
    struct slot_page *page =
        slots->last && index == slots->last_index ? slots->last : page_of(slots, index);
    if (RTCI_UNLIKELY(!page)) {
        page = page_make(slots, index);
        if (!page)
            return NULL;
    }
    slots->last = page;
    slots->last_index = index;
    page->n_live++;
    page->n_used = (uint32_t)(seq & (SLOT_PAGE - 1)) + 1;
    page->mark[seq & (SLOT_PAGE - 1)] = MARK_ALIVE;
    return &page->slot[seq & (SLOT_PAGE - 1)];
}

void rtci_slots_gone(struct slots *slots, uint64_t seq)
{
    uint64_t index = seq >> SLOT_PAGE_BITS;
    struct slot_page *page =
        slots->last && index == slots->last_index ? slots->last : page_of(slots, index);
    RTCI_ASSERT(page && page->n_live > 0);
    page->mark[seq & (SLOT_PAGE - 1)] = 0;
    if (--page->n_live > 0 || page->n_used < SLOT_PAGE)
        return;
    uint64_t d = index >> SLOT_DIR_BITS;
    slots->dir[d]->page[index & (SLOT_DIR - 1)] = NULL;
    if (slots->last == page)
        slots->last = NULL;
    page_free(slots, page);
    /* A directory that is full of freed pages will never be written again. */
    if (--slots->dir[d]->n_pages == 0 && (index & (SLOT_DIR - 1)) == SLOT_DIR - 1) {
        free(slots->dir[d]);
        slots->dir[d] = NULL;
    }
}

void rtci_slots_each(struct slots *slots, void (*fn)(void *arg, uint64_t seq, struct slot *slot),
                     void *arg)
{
    for (uint64_t d = 0; d < slots->n_dirs; d++) {
        for (uint64_t p = 0; slots->dir[d] && p < SLOT_DIR; p++) {
            struct slot_page *page = slots->dir[d]->page[p];
            for (uint64_t i = 0; page && i < SLOT_PAGE; i++) {
                if (page->slot[i].state != SLOT_NONE && page->slot[i].state != SLOT_GONE)
                    fn(arg, (((d << SLOT_DIR_BITS) + p) << SLOT_PAGE_BITS) + i, &page->slot[i]);
            }
        }
    }
}

void rtci_slots_clear_stamps(struct slots *slots)
{
    for (uint64_t d = 0; d < slots->n_dirs; d++) {
        for (uint64_t p = 0; slots->dir[d] && p < SLOT_DIR; p++) {
            struct slot_page *page = slots->dir[d]->page[p];
            for (uint64_t i = 0; page && i < SLOT_PAGE; i++) {
                struct slot *slot = &page->slot[i];
                page->mark[i] &= ~MARK_STAMP_MASK;
                bool multi = slot->where == WHERE_MULTI && slot->state != SLOT_GONE;
                for (uint32_t k = 0; multi && k < slot->u.multi->n; k++)
                    slot->u.multi->slot[k].stamp = 0;
            }
        }
    }
}

/* ---- Others' ---- */
static uint32_t id_hash(struct rtci_id id)
{
    uint64_t h = (id.seq * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)id.client << 32 | id.index);
    h *= 0xff51afd7ed558ccdull;
    return (uint32_t)(h >> 32);
}

struct borrowed *rtci_borrowed_find(const struct borrowed_map *map, struct rtci_id id)
{
    if (map->cap == 0)
        return NULL;
    for (struct borrowed *b = map->bucket[id_hash(id) & (map->cap - 1)]; b; b = b->next) {
        if (rtci_id_equal(b->id, id))
            return b;
    }
    return NULL;
}

static bool grow(struct borrowed_map *map)
{
    uint32_t cap = map->cap ? map->cap * 2 : 64;
    struct borrowed **bucket = calloc(cap, sizeof(*bucket));
    if (!bucket)
        return false;
    for (uint32_t i = 0; i < map->cap; i++) {
        for (struct borrowed *b = map->bucket[i], *next; b; b = next) {
            next = b->next;
            uint32_t h = id_hash(b->id) & (cap - 1);
            b->next = bucket[h];
            bucket[h] = b;
        }
    }
    free(map->bucket);
    map->bucket = bucket;
    map->cap = cap;
    return true;
}

struct borrowed *rtci_borrowed_add(struct borrowed_map *map, struct rtci_id id)
{
    if (map->n >= map->cap && !grow(map))
        return NULL;
    struct borrowed *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->id = id;
    b->slot.state = SLOT_PENDING;
    b->slot.flags = SLOT_BORROWED | SLOT_AT_HEAD;
    uint32_t h = id_hash(id) & (map->cap - 1);
    b->next = map->bucket[h];
    map->bucket[h] = b;
    map->n++;
    return b;
}

void rtci_borrowed_remove(struct borrowed_map *map, struct borrowed *borrowed)
{
    struct borrowed **at = &map->bucket[id_hash(borrowed->id) & (map->cap - 1)];
    while (*at != borrowed)
        at = &(*at)->next;
    *at = borrowed->next;
    map->n--;
    free(borrowed);
}

void rtci_borrowed_fini(struct borrowed_map *map)
{
    for (uint32_t i = 0; i < map->cap; i++) {
        for (struct borrowed *b = map->bucket[i], *next; b; b = next) {
            next = b->next;
            free(b);
        }
    }
    free(map->bucket);
    memset(map, 0, sizeof(*map));
}
