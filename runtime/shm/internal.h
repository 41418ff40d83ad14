/* What the files of this module share: the layout of a memory file, and an end of it.
 *
 * Layout: a page of header, a page with the words on which the process of the CLIENT end sleeps, ring
 * A (client to daemon, caller to callee), ring B (back). Positions count bytes ever written or
 * consumed; their difference is the fill. Each ring is mapped twice in a row, so that a span never
 * wraps. The words have a page of their own because peers of lanes map it, and nothing else.
 */
#ifndef RTCI_SHM_INTERNAL_H
#define RTCI_SHM_INTERNAL_H

#include <stdatomic.h>

#include "runtime/base/bounds.h"
#include "runtime/base/clock.h"
#include "runtime/shm/chan.h"
#include "runtime/shm/lane.h"

#define CHAN_MAGIC  0x52544344u
#define HEADER_SIZE 8192u
#define WAKE_OFFSET 4096u
#define WAKE_SIZE   4096u

/* ASLEEP waits for records, ASLEEP_ROOM also for others to consume. */
enum { AWAKE = 0, ASLEEP = 1, ASLEEP_FD = 2, ASLEEP_ROOM = 3 };

struct ring_words {
    _Alignas(128) _Atomic uint64_t head; /* producer: bytes published; pairs with the peer's peek */
    _Alignas(128) _Atomic uint64_t tail; /* consumer: bytes consumed; pairs with reserve */
};

struct rtci_wake_words {
    _Atomic uint32_t sleeping; /* futex word */
    _Atomic uint32_t kicks;
};

struct chan_header {
    uint32_t magic;
    uint32_t version;
    uint64_t bytes;
    _Alignas(128) struct rtci_chan_info info;
    struct ring_words ring[2]; /* 0: A, 1: B */
    _Alignas(128) _Atomic uint32_t daemon_sleeping;
    _Alignas(WAKE_OFFSET) struct rtci_wake_words wake;
};
_Static_assert(offsetof(struct chan_header, wake) == WAKE_OFFSET, "the header is one page");
_Static_assert(sizeof(struct chan_header) <= HEADER_SIZE, "and the words another");

struct rtci_chan {
    struct chan_header *hdr;
    enum rtci_chan_end end;
    bool borrows;            /* the mapping is the other end's */
    int bell_fd;             /* CLIENT: the daemon's eventfd */
    struct rtci_waker waker; /* CLIENT: of its own process; else of the other end's */
    uint64_t cap;
    /* Producer's side, private. */
    uint8_t *out;
    struct ring_words *out_words;
    uint64_t out_reserved, out_published,
        out_tail; /* out_tail: last seen, never ahead of the truth */
    /* Consumer's side, private. */
    uint8_t *in;
    struct ring_words *in_words;
    uint64_t in_read, in_consumed, in_head;
    uint64_t room_told; /* lanes: who waits for room was last looked for at this in_consumed */
    uint32_t epoch;     /* last seen daemon_epoch (CLIENT) */
    /* CLIENT: waiting. */
    uint32_t spin_ns; /* how long spinning pays at present */
    uint32_t waits;
    uint64_t no_spin_until; /* the cores are wanted by others */
    uint32_t kicks;         /* seen by the last wait that returned */
    bool (*also)(void *arg);
    void *also_arg;
};

static inline uint64_t now_ns(void)
{
    return rtci_clock_ns();
}

/* sleep.c: wakes a producer that sleeps for room. */
void rtci_chan_tell_room(struct rtci_chan *chan);
/* chan.c: the file is what rtci_chan_create made, so that it cannot shrink under us. */
int rtci_chan_check_file(int fd, uint64_t *ret_bytes) RTCI_MUST_USE;

#endif
