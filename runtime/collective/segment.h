/* Between the files of this module: what lies in the segment. */
#ifndef RTCI_COLLECTIVE_SEGMENT_H
#define RTCI_COLLECTIVE_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/collective/collective.h"

#define COLLECTIVE_MAGIC 0x31676372u
/* Rounds that a member can be ahead of another. Three are in work at once: staged, reduced, taken. */
#define SLOTS 4u
/* Calls that a member can be ahead of another, and one more. */
#define CALLS (2 * SLOTS) /* a power of two as well */
_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are found by a mask");

enum counter_kind { STAGED, REDUCED, DONE, COUNTERS };
/* Written by its member. Who sleeps for it says so first and looks again; the member looks for
 * sleepers after it has counted. Both are sequentially consistent: one of them sees the other. */
struct counter {
    _Alignas(64) _Atomic uint32_t value; /* rounds, modulo 2^32 */
    _Atomic uint32_t sleepers;
};

/* What a member calls, to be held against what the others do. */
enum call_kind { CALL_BARRIER, CALL_BROADCAST, CALL_GATHER, CALL_REDUCE, CALL_SCATTER };
struct call {
    uint64_t number, count;
    uint32_t kind;
    uint16_t dtype, op;
    uint32_t root, pad;
};

struct member {
    struct counter counters[COUNTERS];
    _Alignas(64) _Atomic uint32_t left;
    _Atomic uint32_t cpu; /* on which it was when it last counted */
    uint32_t pid; /* as rank 0 sees it */
    struct call calls[CALLS];
};

enum breakage_kind {
    WHOLE,
    BROKEN_DEATH,   /* the process of `rank` ended */
    BROKEN_LEAVE,   /* … left, while others needed it */
    BROKEN_ABORT,   /* … called rtc_group_abort() */
    BROKEN_TIMEOUT, /* … did not wait any longer, for `other` */
    BROKEN_MISMATCH /* `rank` calls something else than `other`: text says what */
};
struct breakage { /* first comes, all stays: `state` is set last */
    _Atomic uint32_t state; /* 0, 1 = being written, 2 */
    uint32_t kind, rank, other;
    char text[192];
};

struct segment {
    uint32_t magic, size;
    uint64_t epoch, bytes;
    uint64_t slot_bytes, slots_offset;
    _Alignas(64) struct breakage breakage;
    struct member members[];
};

struct rtci_collective {
    struct segment *segment;
    uint32_t rank, size;
    uint32_t round;  /* begun by this member, modulo 2^32 */
    uint64_t n_calls;
    uint32_t spins, spins_max; /* looks at a counter before sleeping for it */
    const struct rtci_kernels *kernels;
    uint64_t deadline_ns; /* of the call */
    int pidfds[RTCI_COLLECTIVE_RANKS_MAX];
};

static inline char *slot_at(const struct rtci_collective *c, uint32_t rank, uint32_t round)
{
    const struct segment *s = c->segment;
    return (char *)c->segment + s->slots_offset +
           ((uint64_t)rank * SLOTS + (round & (SLOTS - 1))) * s->slot_bytes;
}

uint64_t segment_now_ns(void);
/* A sealed file of a fresh segment; negative: -errno. */
int segment_create(uint32_t size, uint64_t epoch, const uint32_t *pids);
/* Maps it. Ownership: takes pidfds, of which there are `size`; fd stays the caller's. NULL: errno. */
struct rtci_collective *segment_map(int fd, uint32_t rank, uint32_t size, const int *pidfds);

/* Counts one round of this member, and wakes who waits for it. */
void counter_add(struct rtci_collective *c, enum counter_kind kind);
/* Waits until all others have counted up to `target`. */
int wait_all(struct rtci_collective *c, enum counter_kind kind, uint32_t target) RTCI_MUST_USE;

/* ---- breakage.c ---- */
static inline bool is_broken(const struct rtci_collective *c)
{
    return RTCI_UNLIKELY(atomic_load_explicit(&c->segment->breakage.state, memory_order_acquire));
}
/* The first to come says it; what it was, for this member. */
int break_group(struct rtci_collective *c, enum breakage_kind kind, uint32_t rank, uint32_t other,
                const char *text);
/* The code of a broken group. */
int breakage_code(const struct rtci_collective *c);
/* Looks whether those who have not counted up to `target` are still there: 0 or negative. */
int check_others(struct rtci_collective *c, enum counter_kind kind, uint32_t target) RTCI_MUST_USE;
void wake_everybody(struct rtci_collective *c);

#endif
