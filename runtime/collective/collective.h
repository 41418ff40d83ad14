/* Operations among a fixed set of processes, over one segment of shared memory on each host.
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
#include <stdbool.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/collective/kernels.h"

struct rtci_collective; /* one member */

/* ---- segment.c ----
 * rank and size are those of the group. */
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

/* ---- hosts.c: members on several hosts ---- */
/* Bytes that other hosts get; who made them fills them in before they are sent for the first time. */
struct rtci_parcel {
    void *data;
    size_t size;
};
struct rtci_letter {
    uint32_t kind, from, index; /* from: the rank that wrote it */
    uint64_t call, round;
    struct rtci_parcel *parcel; /* NULL: it brings nothing */
};
/* What carries letters between processes on different hosts: each once, unless one of them is lost.
 * Any thread. Functions return 0 or negative RTC_E_*. */
struct rtci_bridge {
    int (*parcel)(void *arg, size_t size, struct rtci_parcel **ret);
    void (*release)(void *arg, struct rtci_parcel *parcel);
    /* The parcel is kept until it has arrived, and may be released at once. */
    int (*send)(void *arg, uint32_t rank, const struct rtci_letter *letter);
    /* 1: a letter has come, with all that it brings. Its parcel is to be released; 0: none has. */
    int (*receive)(void *arg, struct rtci_letter *ret);
    size_t (*unanswered)(void *arg); /* parcels sent that may not have arrived */
    int (*wait)(void *arg, uint64_t until_ns); /* until something may have come */
    void (*probe)(void *arg, uint32_t rank);   /* asks whether its process is there */
    /* An answer has come that it is not; `why`: more of that, or "". True once for each answer. */
    bool (*gone)(void *arg, uint32_t rank, char *why, size_t size);
    const char *(*why)(void *arg); /* the last failure in this thread */
};
struct rtci_hosts {
    const struct rtci_bridge *bridge;
    void *arg;
    uint32_t rank, size;
    size_t small; /* bytes that a letter brings at no cost */
    struct {
        uint32_t host, pid; /* hosts: numbers from 0, in the order of their lowest ranks */
    } members[RTCI_COLLECTIVE_RANKS_MAX];
};
/* The members that have met are those of one host; here is who the others are. RTC_E_NOMEM. */
int rtci_collective_join_hosts(struct rtci_collective *c,
                               const struct rtci_hosts *hosts) RTCI_MUST_USE;
/* Bytes of a slot, when no host has more members than that; for rtci_meeting. */
uint64_t rtci_collective_hosts_slot(uint32_t members);

/* ---- meet.c ---- */
struct rtci_meeting {
    uint8_t token[16]; /* those who come must know it */
    uint32_t rank, size;
    uint32_t number;      /* of this process; told to the one that hosts */
    uint64_t epoch;       /* the host says it */
    uint64_t deadline_ns; /* absolute */
    /* Who hosts: called a few times a second while others are missing; negative ends the meeting. */
    int (*tick)(struct rtci_meeting *meeting);
    /* Who hosts: all are there; those that came have these numbers and processes, by rank. */
    int (*all)(struct rtci_meeting *meeting, const uint32_t *numbers, const uint32_t *pids);
    void *arg;
    uint64_t here;       /* ranks that have come, a bit each; for tick */
    uint64_t elsewhere;  /* ranks that do not come here, a bit each; tick may add some */
    uint64_t slot_bytes; /* 0: the usual */
};
#define RTCI_MEETING_ADDRESS 32u /* bytes of an address, with its NUL */
/* Rank 0: a socket with an address of its own. Negative: -errno. */
int rtci_meeting_open(char ret_address[RTCI_MEETING_ADDRESS]);
/* Who hosts: waits for all others and makes the group. `why`: a sentence when that failed.
 * RTC_E_TIMEOUT, RTC_E_OS, RTC_E_NOMEM, or what tick or all returned. Does not close the socket. */
int rtci_meeting_host(int listener, struct rtci_meeting *meeting, char *why, size_t why_size,
                      struct rtci_collective **ret) RTCI_MUST_USE;
/* The others. RTC_E_AGAIN: nobody is at that address (any more). */
int rtci_meeting_visit(const char *address, const struct rtci_meeting *meeting, char *why,
                       size_t why_size, struct rtci_collective **ret) RTCI_MUST_USE;

#endif
