/* For tests of lanes: a process's end of everything, without a daemon. */
#ifndef TESTS_UNIT_LANE_HELP_H
#define TESTS_UNIT_LANE_HELP_H

#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/bounds.h"
#include "runtime/shm/doorman.h"
#include "runtime/wire/wire.h"
#include <rtc/error.h>

struct party {
    int fd, wake;
    struct rtci_chan *chan; /* to a daemon that is not there */
    struct rtci_doorman *doorman;
    struct rtci_lane *lane;
    struct rtci_chan *ring;
    size_t room;
    uint32_t client;
    uint32_t late; /* waits that ended by themselves: nobody woke us */
};

static inline uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Is there a reason to stop waiting? */
static inline bool party_wants(void *arg)
{
    struct party *p = arg;
    return (p->ring && rtci_chan_readable(p->ring)) ||
           (p->ring && p->room && rtci_chan_room(p->ring) >= p->room) ||
           (p->doorman && rtci_doorman_news(p->doorman));
}

static inline void party_open(struct party *p, uint64_t arena, uint32_t client, bool doorman)
{
    memset(p, 0, sizeof(*p));
    p->client = client;
    p->fd = rtci_chan_create(4096);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RTCI_ASSERT(p->fd >= 0 && p->wake >= 0);
    RTCI_ASSERT(rtci_chan_open(p->fd, RTCI_CHAN_CLIENT, -1, p->wake, &p->chan) == 0);
    rtci_chan_watch(p->chan, party_wants, p);
    struct rtci_doorman_config config = {arena, client, p->fd, p->wake, p->chan};
    if (doorman)
        RTCI_ASSERT(rtci_doorman_start(&config, &p->doorman) == 0);
}

static inline void party_close(struct party *p)
{
    rtci_doorman_stop(p->doorman);
    rtci_chan_close(p->chan);
    close(p->fd);
    close(p->wake);
}

static inline void party_wait(struct party *p, size_t room)
{
    uint64_t begin = clock_ns();
    p->room = room;
    RTCI_IGNORE(rtci_chan_wait(p->chan, room ? SIZE_MAX : 0, UINT64_MAX));
    p->room = 0;
    p->late += clock_ns() - begin > RTCI_NS_PER_S * 9 / 10;
    if (p->doorman)
        rtci_doorman_news_clear(p->doorman);
}

static inline int lane_state(const struct rtci_lane *lane)
{
    return atomic_load_explicit(&lane->state, memory_order_acquire);
}

static inline int party_dial(struct party *p, uint32_t callee)
{
    p->lane = rtci_doorman_dial(p->doorman, callee);
    RTCI_ASSERT(p->lane);
    while (lane_state(p->lane) == RTCI_LANE_MEETING)
        party_wait(p, 0);
    if (lane_state(p->lane) != RTCI_LANE_REFUSED)
        p->ring = p->lane->ring;
    return lane_state(p->lane);
}

static inline void party_accept(struct party *p)
{
    while (!(p->lane = rtci_doorman_next(p->doorman)))
        party_wait(p, 0);
    p->ring = p->lane->ring;
}

/* Record n of a stream: its length and bytes follow from n. */
static inline uint32_t stream_size(uint64_t n, uint32_t longest)
{
    uint64_t state = n * 2654435761u;
    return 16 + draw(&state) % (longest / 8) * 8;
}

static inline bool stream_put(struct rtci_chan *ring, uint64_t n, uint32_t longest)
{
    uint32_t size = stream_size(n, longest);
    uint64_t *at = rtci_chan_reserve(ring, size);
    if (!at)
        return false;
    *(struct rtci_rec *)at = (struct rtci_rec){.size = size, .type = RTCI_R_TASK};
    for (uint32_t i = 1; i < size / 8; i++)
        at[i] = n * 31 + i;
    return true;
}

/* Takes at most `most` of what is there, one by one. Returns the number of the next one. */
static inline uint64_t stream_take(struct rtci_chan *ring, uint64_t next, uint64_t most,
                                   uint32_t longest)
{
    const void *span;
    size_t len;
    RTCI_ASSERT(rtci_chan_peek(ring, &span, &len) == 0);
    for (size_t at = 0; at < len && most;) {
        const uint64_t *rec = (const uint64_t *)((const char *)span + at);
        uint32_t size = ((const struct rtci_rec *)rec)->size;
        if (((const struct rtci_rec *)rec)->type == RTCI_LANE_SKIP) {
            RTCI_ASSERT(size <= len - at);
            at += size;
            rtci_chan_advance(ring, size);
            rtci_chan_consume(ring);
            continue;
        }
        RTCI_ASSERT(size == stream_size(next, longest) && size <= len - at);
        for (uint32_t i = 1; i < size / 8; i++)
            RTCI_ASSERT(rec[i] == next * 31 + i);
        next++;
        most--;
        at += size;
        rtci_chan_advance(ring, size);
        rtci_chan_consume(ring);
    }
    return next;
}

#endif
