/* Operations among a fixed set of processes on one host, over one segment of shared memory.
 *
 * Every member has counters and slots in the segment, and only it writes them. An operation is a number
 * of *rounds*, the same for all members; in each a member stages what others need of it in its slot,
 * reduces its own block of the round, and takes what others have reduced; a counter tells how many
 * rounds it has done of each. A slot is used again when all members are done with its round. So there
 * is no lock, and a member that dies leaves nothing but counters that stand still: who waits for one of
 * those asks whether its member lives (a descriptor of its process), and ends the group for all.
 *
 * Every element is reduced by one member, in the order of ranks: results are the same bits on all of
 * them, and in each run. (Where all of it fits into one slot, each member reduces all of it, with the
 * same operations.) */
#ifndef RTCI_COLLECTIVE_COLLECTIVE_H
#define RTCI_COLLECTIVE_COLLECTIVE_H

#include <rtc/error.h>
#include <rtc/value.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/collective/kernels.h"

struct rtci_collective; /* one member */

/* ---- segment.c ---- */
uint32_t rtci_collective_rank(const struct rtci_collective *c);
uint32_t rtci_collective_size(const struct rtci_collective *c);
uint64_t rtci_collective_epoch(const struct rtci_collective *c);
/* Tells the others that it takes part no more, and frees. NULL is fine. */
void rtci_collective_leave(struct rtci_collective *c);

/* ---- operations.c ----
 * One thread at a time. Times are absolute, of CLOCK_MONOTONIC. Return 0 or RTC_E_*: then the group is
 * broken, for all and for ever, unless it is RTC_E_INVALID for arguments that cannot be. */
int rtci_collective_all_reduce(struct rtci_collective *c, const void *send, void *recv, size_t count,
                               enum rtc_dtype dtype, enum rtci_reduction op,
                               uint64_t deadline_ns) RTCI_MUST_USE;
/* `count` elements for each member: send has size × count. */
int rtci_collective_reduce_scatter(struct rtci_collective *c, const void *send, void *recv,
                                   size_t count, enum rtc_dtype dtype, enum rtci_reduction op,
                                   uint64_t deadline_ns) RTCI_MUST_USE;
/* `count` elements of each member: recv has size × count. */
int rtci_collective_all_gather(struct rtci_collective *c, const void *send, void *recv, size_t count,
                               enum rtc_dtype dtype, uint64_t deadline_ns) RTCI_MUST_USE;
int rtci_collective_broadcast(struct rtci_collective *c, void *buffer, size_t count,
                              enum rtc_dtype dtype, uint32_t root,
                              uint64_t deadline_ns) RTCI_MUST_USE;
int rtci_collective_barrier(struct rtci_collective *c, uint64_t deadline_ns) RTCI_MUST_USE;

/* ---- breakage.c ---- */
/* Ends what all members do; any thread. why: one sentence, may be NULL. */
void rtci_collective_abort(struct rtci_collective *c, const char *why);
/* Why the group is broken, in a sentence without a name; "" when it is not. */
void rtci_collective_why(const struct rtci_collective *c, char *text, size_t size);

/* ---- meet.c ---- */
struct rtci_meeting {
    uint8_t token[16]; /* those who come must know it */
    uint32_t rank, size;
    uint64_t epoch;       /* rank 0 says it */
    uint64_t deadline_ns; /* absolute */
    /* Rank 0: called a few times a second while others are missing; negative ends the meeting. */
    int (*tick)(void *arg);
    void *arg;
};
#define RTCI_MEETING_ADDRESS 32u /* bytes of an address, with its NUL */
/* Rank 0: a socket with an address of its own. Negative: -errno. */
int rtci_meeting_open(char ret_address[RTCI_MEETING_ADDRESS]);
/* Rank 0: waits for all others and makes the group. `why`: a sentence when that failed.
 * RTC_E_TIMEOUT, RTC_E_OS, RTC_E_NOMEM, or what tick returned. Does not close the socket. */
int rtci_meeting_host(int listener, const struct rtci_meeting *meeting, char *why, size_t why_size,
                      struct rtci_collective **ret) RTCI_MUST_USE;
/* The others. RTC_E_AGAIN: nobody is at that address (any more). */
int rtci_meeting_visit(const char *address, const struct rtci_meeting *meeting, char *why,
                       size_t why_size, struct rtci_collective **ret) RTCI_MUST_USE;

#endif
