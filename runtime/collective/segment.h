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

/* What the members of one host know of those of others; all of them may write it. */
struct elsewhere {
    /* By host: the last call that all its members are in. */
    _Atomic uint64_t entered[RTCI_COLLECTIVE_RANKS_MAX];
    /* By rank: the call before which it left, 0: it has not; how often it was said to be gone. */
    _Atomic uint64_t left[RTCI_COLLECTIVE_RANKS_MAX];
    _Atomic uint32_t gone[RTCI_COLLECTIVE_RANKS_MAX];
    _Atomic uint64_t probed_ns;
    _Atomic uint32_t awaited; /* the rank that the leader waits for, and one more */
};

struct segment {
    uint32_t magic, size;
    uint64_t epoch, bytes;
    uint64_t slot_bytes, slots_offset;
    _Alignas(64) struct breakage breakage;
    struct elsewhere elsewhere;
    struct member members[];
};

struct hosts;
struct rtci_collective {
    struct segment *segment;
    uint32_t rank, size; /* among the members of this host */
    struct hosts *hosts; /* NULL: there are no others */
    uint32_t round;  /* begun by this member, modulo 2^32 */
    uint64_t n_calls;
    uint32_t spins, spins_max; /* looks at a counter before sleeping for it */
    const struct rtci_kernels *kernels;
    uint64_t deadline_ns; /* of the call */
    int pidfds[RTCI_COLLECTIVE_RANKS_MAX];
};

#define LINE 64u
struct span { /* elements */
    size_t begin, n;
};
struct job {
    const char *send;
    char *recv;
    size_t count;   /* elements: of all (all-reduce, broadcast), of each member */
    size_t element; /* bytes */
    size_t block;   /* elements of one member in a whole round */
    size_t n_rounds;
    uint32_t base; /* the first round's number */
    uint32_t root;
    enum rtc_dtype dtype;
    enum rtci_reduction op;
    bool streams;
};

static inline char *slot_at(const struct rtci_collective *c, uint32_t rank, uint32_t round)
{
    const struct segment *s = c->segment;
    return (char *)c->segment + s->slots_offset +
           ((uint64_t)rank * SLOTS + (round & (SLOTS - 1))) * s->slot_bytes;
}

uint64_t segment_now_ns(void);
/* A sealed file of a fresh segment; slot_bytes: 0 = the usual. Negative: -errno. */
int segment_create(uint32_t size, uint64_t epoch, const uint32_t *pids, uint64_t slot_bytes);
/* Maps it. Ownership: takes pidfds, of which there are `size`; fd stays the caller's. NULL: errno. */
struct rtci_collective *segment_map(int fd, uint32_t rank, uint32_t size, const int *pidfds);

/* Counts one round of this member, and wakes who waits for it. */
void counter_add(struct rtci_collective *c, enum counter_kind kind);
/* Waits until all others have counted up to `target`. */
int wait_all(struct rtci_collective *c, enum counter_kind kind, uint32_t target) RTCI_MUST_USE;
/* … until that one has. */
int wait_one(struct rtci_collective *c, uint32_t rank, enum counter_kind kind,
             uint32_t target) RTCI_MUST_USE;
/* Have all others? */
bool all_counted(const struct rtci_collective *c, enum counter_kind kind, uint32_t target);

/* ---- operations.c ---- */
int begin_call(struct rtci_collective *c, enum call_kind kind, struct job *job,
               uint64_t deadline) RTCI_MUST_USE;
/* The slot of this round was another round's, with which all must be done. */
int wait_slot(struct rtci_collective *c, uint32_t round) RTCI_MUST_USE;
/* All have come; do they call the same? */
int compare_calls(struct rtci_collective *c) RTCI_MUST_USE;
/* They do not; returns what break_group() does. */
int tell_mismatch(struct rtci_collective *c, uint32_t rank, const struct call *mine,
                  const struct call *theirs);

/* ---- breakage.c ---- */
static inline bool is_broken(const struct rtci_collective *c)
{
    return RTCI_UNLIKELY(atomic_load_explicit(&c->segment->breakage.state, memory_order_acquire));
}
/* The first to come says it; what it was, for this member. Ranks are those of the group. */
int break_group(struct rtci_collective *c, enum breakage_kind kind, uint32_t rank, uint32_t other,
                const char *text);
/* The same, said only to the members of this host. Was it the first? */
bool note_end(struct rtci_collective *c, enum breakage_kind kind, uint32_t rank, uint32_t other,
              const char *text);
/* The code of a broken group. */
int breakage_code(const struct rtci_collective *c);
/* Looks whether those who have not counted up to `target` are still there: 0 or negative. */
int check_others(struct rtci_collective *c, enum counter_kind kind, uint32_t target) RTCI_MUST_USE;
void wake_everybody(struct rtci_collective *c);

#endif
