/* What a client knows of each future and object.
 *
 * Own ones (made by this client) lie in a paged array indexed by their sequence number, so that
 * finding one is two loads and no hash. Pages are freed when everything in them is released.
 * Others' lie in a small hash table.
 */
#ifndef RTCI_CLIENT_SLOT_H
#define RTCI_CLIENT_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"
#include "runtime/wire/wire.h"

enum slot_state {
    SLOT_NONE, /* the number was not given out (or its submit failed) */
    SLOT_PENDING,
    SLOT_WRITING, /* rtc_create()d, not sealed */
    SLOT_READY,
    SLOT_FAILED,
    SLOT_GONE, /* released; a late result is ignored */
};
enum slot_where {
    WHERE_INLINE, /* u.bytes */
    WHERE_HEAP,   /* u.heap, `size` bytes; for FAILED: a struct rtci_fail with its strings */
    WHERE_ARENA,  /* u.offset */
    WHERE_MULTI,  /* u.multi: several returns, a slot each */
    WHERE_SHARED, /* FAILED return of several: the failure is the parent's */
    WHERE_ALIAS,  /* u.alias: of a call to an actor; the value is an object of the actor's process */
    WHERE_REMOTE, /* READY, and lies on another host: fetched when it is asked for */
};
#define SLOT_RELEASED 1u /* by the user; lives on because something pins it */
#define SLOT_PUT      2u /* made by rtc_put or rtc_create */
#define SLOT_AT_HEAD  4u /* the head knows it */
#define SLOT_THEN     8u /* a callback waits for it */
#define SLOT_BORROWED 16u
#define SLOT_CONTAINS 32u /* the value contains references */
#define SLOT_CALL     64u /* the result of a call to an actor: the head knows it only when AT_HEAD */
#define SLOT_ACTOR    128u /* a handle */

#define SLOT_UNSAID 255u /* in `ran`, of a task or put: the head is told of it later (withheld.h) */

#define SLOT_INLINE_BYTES 24u

struct multi;
struct borrowed;
struct call;
struct slot {
    uint8_t state; /* enum slot_state */
    uint8_t where; /* enum slot_where */
    uint8_t flags;
    uint8_t ran;      /* FAILED call: enum rtc_ran; else 0, or: */
    uint32_t stamp;   /* of the rtc_wait that saw it last: finds duplicates */
    uint32_t retains; /* by rtc_retain(), of an own one; each is a pin too */
    uint32_t pins;    /* containers of this process, waiting callers, callbacks */
    uint64_t size;    /* of the value */
    union {
        uint8_t bytes[SLOT_INLINE_BYTES];
        void *heap;
        uint64_t offset; /* REMOTE: of the daemon's epochs, the one in which it was asked for, + 1 */
        struct multi *multi;
        struct borrowed *alias;
        struct call *call; /* PENDING, with SLOT_CALL */
    } u;
};
_Static_assert(sizeof(struct slot) == 48, "a million futures are 48 MB");

struct multi {
    uint32_t n, n_gone;
    struct call *call; /* PENDING, with SLOT_CALL */
    struct slot slot[];
};

#define SLOT_PAGE_BITS 10u
#define SLOT_PAGE      (1u << SLOT_PAGE_BITS)
#define SLOT_DIR_BITS  10u
#define SLOT_DIR       (1u << SLOT_DIR_BITS)

/* What rtc_wait needs of a slot, apart and small: it looks at every one of a long list, again and
 * again. Only of slots that are alive and have one return; the others are looked up. */
#define MARK_ALIVE      0x40000000u
#define MARK_DONE       0x80000000u
#define MARK_STAMP_MASK 0x3fffffffu /* of the rtc_wait that saw it last: finds duplicates */

struct slot_page {
    uint32_t n_live; /* not NONE and not GONE */
    uint32_t n_used; /* numbers given out */
    uint32_t mark[SLOT_PAGE];
    struct slot slot[SLOT_PAGE];
};
struct slot_dir {
    uint32_t n_pages;
    struct slot_page *page[SLOT_DIR];
};
struct slots {
    struct slot_page *last; /* page of last_index */
    uint64_t last_index;
    struct slot_dir **dir;
    uint64_t n_dirs;
    struct slot_page **spare;
    uint32_t n_spare;
};

void rtci_slots_init(struct slots *slots);
/* Frees pages; the caller has cleared what slots own. */
void rtci_slots_fini(struct slots *slots);
/* Makes the slot of number seq: counted as live, zeroed. Numbers must come in rising order. NULL:
 * out of memory. */
struct slot *rtci_slots_add(struct slots *slots, uint64_t seq);
struct slot *rtci_slots_find_slow(struct slots *slots, uint64_t seq);
/* Forgets all stamps: their numbers begin anew. */
void rtci_slots_clear_stamps(struct slots *slots);
/* The slot is GONE (or NONE): its page may be freed. */
void rtci_slots_gone(struct slots *slots, uint64_t seq);
void rtci_slots_each(struct slots *slots, void (*fn)(void *arg, uint64_t seq, struct slot *slot),
                     void *arg);

/* NULL when the number's page is gone or was never there. */
static inline struct slot *rtci_slots_find(struct slots *slots, uint64_t seq)
{
    if (RTCI_LIKELY(slots->last && seq >> SLOT_PAGE_BITS == slots->last_index))
        return &slots->last->slot[seq & (SLOT_PAGE - 1)];
    return rtci_slots_find_slow(slots, seq);
}

/* NULL as above. */
static inline uint32_t *rtci_slots_mark(struct slots *slots, uint64_t seq)
{
    if (RTCI_UNLIKELY(!slots->last || seq >> SLOT_PAGE_BITS != slots->last_index) &&
        !rtci_slots_find_slow(slots, seq))
        return NULL;
    return &slots->last->mark[seq & (SLOT_PAGE - 1)];
}
/* The slot became READY or FAILED. */
static inline void rtci_slots_done(struct slots *slots, uint64_t seq)
{
    *rtci_slots_mark(slots, seq) |= MARK_DONE;
}

/* ---- Others' ---- */
struct borrowed {
    struct borrowed *next;
    struct rtci_id id;
    uint32_t holds;   /* by rtc_retain and rtc_newest */
    uint32_t replies; /* of these, answers that came with a hold */
    bool argument;  /* of the running task: its value came with the task */
    bool pulled;    /* asked for by WANT */
    struct slot *alias; /* the result of a call that waits for this, its value; NULL = none … */
    struct rtci_id alias_id; /* … and its name */
    struct slot slot;
};
struct borrowed_map {
    struct borrowed **bucket;
    uint32_t n, cap;
};
struct borrowed *rtci_borrowed_find(const struct borrowed_map *map, struct rtci_id id);
struct borrowed *rtci_borrowed_add(struct borrowed_map *map, struct rtci_id id);
void rtci_borrowed_remove(struct borrowed_map *map, struct borrowed *borrowed);
void rtci_borrowed_fini(struct borrowed_map *map);

#endif
