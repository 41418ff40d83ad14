/* See lanes.h. */
#include "runtime/client/lanes.h"

#include <stdlib.h>

#include "runtime/base/log.h"
#include "runtime/client/actor.h"
#include "runtime/shm/doorman.h"

/* It may have been stopped, or called by too many at once. */
#define DIALS         3
#define DIAL_AGAIN_NS RTCI_NS_PER_S

struct lane {
    struct rtci_lane *lane;
    struct rtci_chan *ring; /* NULL: not open yet */
    struct rtci_peer *peer;
    struct lane *next; /* dialled, and not open yet */
};

/* `at` and `n` change only where records are read, and nobody does that while another thread polls.
 */
struct rtci_lanes {
    struct rtci_doorman *doorman;
    struct lane *at[RTCI_LANES_MAX];
    uint32_t n;
    struct lane *dialled;
    struct rtci_buf copy;
};

bool rtci_lanes_want(void *arg)
{
    const struct rtc *rtc = arg;
    const struct rtci_lanes *lanes = __atomic_load_n(&rtc->lanes, __ATOMIC_ACQUIRE);
    if (!lanes)
        return false;
    for (uint32_t i = 0; i < lanes->n; i++) {
        if (rtci_chan_readable(lanes->at[i]->ring))
            return true;
    }
    return rtci_doorman_news(lanes->doorman);
}

/* ---- Made ---- */

static struct rtci_lanes *lanes_of(struct rtc *rtc)
{
    if (rtc->lanes || rtc->no_lanes)
        return rtc->lanes;
    struct rtci_lanes *lanes = calloc(1, sizeof(*lanes));
    struct rtci_doorman_config config = {.arena = rtc->arena_inode,
                                         .client = rtc->client,
                                         .chan_fd = rtc->chan_fd,
                                         .wake_fd = rtc->wake_fd,
                                         .chan = rtc->chan};
    if (!lanes || rtc->arena_inode == 0 || rtci_doorman_start(&config, &lanes->doorman) < 0) {
        free(lanes);
        rtc->no_lanes = true;
        return NULL;
    }
    __atomic_store_n(&rtc->lanes, lanes, __ATOMIC_RELEASE);
    return lanes;
}

void rtci_lanes_listen(struct rtc *rtc)
{
    struct rtci_lanes *lanes = lanes_of(rtc);
    if (lanes)
        RTCI_IGNORE(rtci_doorman_listen(lanes->doorman));
}

static void dial(struct rtc *rtc, struct rtci_peer *peer)
{
    struct rtci_lanes *lanes = lanes_of(rtc);
    struct lane *l = lanes ? calloc(1, sizeof(*l)) : NULL;
    peer->dialled = true;
    if (l)
        l->lane = rtci_doorman_dial(lanes->doorman, peer->client);
    if (!l || !l->lane) {
        free(l);
        return;
    }
    l->peer = peer;
    l->next = lanes->dialled;
    lanes->dialled = l;
}

struct lane *rtci_lane_to(struct rtc *rtc, struct rtci_peer *peer)
{
    if (RTCI_UNLIKELY(!peer->dialled) && peer->client != rtc->client &&
        (!rtc->node || rtc->node == peer->node) && peer->refused < DIALS &&
        (!peer->refused || rtci_now_ns() >= peer->dial_at_ns))
        dial(rtc, peer);
    return peer->calls;
}

/* ---- Sending ---- */

void *rtci_lane_reserve(struct lane *l, size_t size)
{
    return rtci_chan_reserve(l->ring, size);
}

void rtci_lane_send(struct lane *l)
{
    rtci_chan_publish(l->ring);
    rtci_chan_ring(l->ring);
    rtci_lane_rewind(l->ring);
}

uint64_t rtci_lane_end(const struct lane *l)
{
    return rtci_lane_reserved(l->ring);
}

/* ---- Ended ---- */

static void close_lane(struct rtc *rtc, uint32_t i, const char *why)
{
    struct lane *l = rtc->lanes->at[i];
    bool caller = l->lane->caller;
    uint64_t taken = rtci_chan_consumed(l->ring);
    RTCI_LOG(DEBUG, CLIENT, "the lane %s client %u ends: %s", caller ? "to" : "from",
             l->peer->client, why);
    if (caller)
        l->peer->calls = NULL;
    else if (l->peer->answers == l)
        l->peer->answers = NULL;
    rtci_doorman_retire(rtc->lanes->doorman, l->lane);
    rtc->lanes->at[i] = rtc->lanes->at[--rtc->lanes->n];
    if (caller) /* by the daemon now: it says what it cannot bring */
        rtci_actors_unsent(rtc, l->peer, taken);
    free(l);
    rtc->changes++;
}

/* ---- Reading ---- */

/* A private copy of the next record of the span, checked; NULL: nonsense. */
static struct rtci_rec *copy_record(struct rtci_lanes *lanes, const void *from, size_t left,
                                    size_t *ret_size)
{
    struct rtci_rec head;
    if (left < sizeof(head))
        return NULL;
    memcpy(&head, from, sizeof(head));
    *ret_size = head.size;
    if (head.size < sizeof(head) || head.size > left || head.size % 8)
        return NULL;
    uint32_t size = head.type == RTCI_LANE_SKIP ? sizeof(head) : head.size;
    rtci_buf_clear(&lanes->copy);
    struct rtci_rec *rec = rtci_buf_add(&lanes->copy, size);
    if (!rec)
        return NULL;
    memcpy(rec, from, size);
    *rec = head; /* it may have changed between the two looks */
    return head.type == RTCI_LANE_SKIP || rtci_wire_check(rec, size) == head.size ? rec : NULL;
}

/* The daemon would not let a process speak for another. */
static bool take_record(struct rtc *rtc, struct lane *l, struct rtci_rec *rec)
{
    if (rec->type == RTCI_LANE_SKIP)
        return true;
    if (l->lane->caller) {
        if (rec->type != RTCI_R_ACTOR_REPLY || rec->flags & RTCI_REPLY_GONE)
            return false;
    } else {
        struct rtci_spec *spec = (struct rtci_spec *)rec;
        if (rec->type != RTCI_R_ACTOR_CALL)
            return false;
        struct rtci_call *call = (struct rtci_call *)(uintptr_t)rtci_spec_call(spec);
        spec->client = l->lane->peer;
        call->caller_node = call->node; /* we are on one */
        l->peer->node = call->node;
    }
    rtci_route_record(rtc, rec);
    return true;
}

static bool drain_lane(struct rtc *rtc, struct lane *l)
{
    const void *span;
    size_t len, size;
    if (rtci_chan_peek(l->ring, &span, &len) < 0)
        return false;
    if (len == 0)
        return true;
    for (size_t at = 0; at < len; at += size) {
        struct rtci_rec *rec = copy_record(rtc->lanes, (const char *)span + at, len - at, &size);
        if (!rec || !take_record(rtc, l, rec))
            return false;
    }
    rtci_chan_advance(l->ring, len);
    rtci_chan_consume(l->ring);
    rtc->changes++;
    return true;
}

/* ---- News of the doorman ---- */

static void see_dialled(struct rtc *rtc)
{
    struct rtci_lanes *lanes = rtc->lanes;
    for (struct lane **at = &lanes->dialled, *l; (l = *at);) {
        int state = atomic_load_explicit(&l->lane->state, memory_order_acquire);
        if (state == RTCI_LANE_MEETING) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        if (state == RTCI_LANE_REFUSED || lanes->n == RTCI_LANES_MAX) {
            l->peer->refused++;
            l->peer->dialled = false;
            l->peer->dial_at_ns = rtci_now_ns() + DIAL_AGAIN_NS;
            rtci_doorman_retire(lanes->doorman, l->lane);
            free(l);
            continue;
        }
        l->ring = l->lane->ring;
        l->peer->calls = l;
        lanes->at[lanes->n++] = l;
    }
}

static void see_arrived(struct rtc *rtc)
{
    struct rtci_lanes *lanes = rtc->lanes;
    for (struct rtci_lane *lane; (lane = rtci_doorman_next(lanes->doorman));) {
        struct rtci_peer *peer = rtc->on_call ? rtci_peer_get(rtc, 0, lane->peer) : NULL;
        struct lane *l = peer && lanes->n < RTCI_LANES_MAX ? calloc(1, sizeof(*l)) : NULL;
        if (!l) {
            rtci_doorman_retire(lanes->doorman, lane);
            continue;
        }
        *l = (struct lane){.lane = lane, .ring = lane->ring, .peer = peer};
        peer->answers = l;
        rtci_route_begun(rtc, peer, 0); /* should we die now, it is told */
        lanes->at[lanes->n++] = l;
    }
}

void rtci_lanes_drain(struct rtc *rtc)
{
    struct rtci_lanes *lanes = rtc->lanes;
    bool news = rtci_doorman_news(lanes->doorman);
    if (RTCI_UNLIKELY(news)) {
        rtci_doorman_news_clear(lanes->doorman);
        see_dialled(rtc);
        see_arrived(rtc);
    }
    for (uint32_t i = lanes->n; i-- > 0;) {
        struct lane *l = lanes->at[i];
        int state =
            news ? atomic_load_explicit(&l->lane->state, memory_order_acquire) : RTCI_LANE_OPEN;
        if (state != RTCI_LANE_OPEN && !l->lane->caller) {
            close_lane(rtc, i, l->lane->why); /* whoever would hear the answers is gone */
            continue;
        }
        if (!drain_lane(rtc, l)) {
            close_lane(rtc, i, "what came is nonsense");
            continue;
        }
        if (state == RTCI_LANE_CLOSING)
            l->peer->calls = NULL;
        else if (state == RTCI_LANE_DEAD)
            close_lane(rtc, i, l->lane->why);
    }
}

void rtci_lanes_destroy(struct rtc *rtc)
{
    struct rtci_lanes *lanes = rtc->lanes;
    if (!lanes)
        return;
    rtci_doorman_stop(lanes->doorman);
    for (uint32_t i = 0; i < lanes->n; i++)
        free(lanes->at[i]);
    for (struct lane *l = lanes->dialled, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    rtci_buf_fini(&lanes->copy);
    free(lanes);
    rtc->lanes = NULL;
}
