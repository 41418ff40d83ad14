/* Dialling other nodes: both connections at a time, again when nobody answers, and after a loss. */
#include <stdio.h>
#include <string.h>

#include "runtime/net/direct_internal.h"

/* Of two that could dial each other one waits: mostly one connection comes of it. */
#define YIELD_NS (300 * RTCI_NS_PER_MS)
/* An unanswered dial is begun anew once: it may have come before the other side was told the key.
 */
#define REDIAL_NS (500 * RTCI_NS_PER_MS)

void *rtci_direct_socket(const struct rtci_direct *d, int way, int lane)
{
    return d->sockets[way == OUT && lane == CALLS ? OUT_CALLS : way];
}

bool rtci_direct_is_up(const struct peer *p)
{
    return p->ways[IN].up || p->ways[OUT].up;
}

uint64_t rtci_direct_rid(const uint8_t *rid)
{
    uint64_t number = 0;
    memcpy(&number, rid, RTCI_RID_BYTES);
    return number;
}

void rtci_direct_way_end(struct way *way)
{
    way->up = way->lanes[BULK].there = way->lanes[CALLS].there = false;
}

void rtci_direct_hang_up(struct rtci_direct *d, struct peer *p)
{
    for (int lane = 0; lane < LANES && p->dialled; lane++) {
        zmq_disconnect(rtci_direct_socket(d, OUT, lane), p->endpoint);
        d->awake = AWAKE_ALL;
        rtci_map_remove(&d->dials, rtci_direct_rid(p->ways[OUT].lanes[lane].rid), 0);
    }
    p->dialled = false;
    rtci_direct_way_end(&p->ways[OUT]);
}

void rtci_direct_dial_end(struct rtci_direct *d, struct peer *p)
{
    d->n_dialling -= p->dialling;
    p->dialling = false;
}

static void give_up(struct rtci_direct *d, struct peer *p)
{
    rtci_direct_hang_up(d, p);
    rtci_direct_dial_end(d, p);
    p->again_ns = d->now_ns + RTCI_DIRECT_AGAIN_NS;
}

int rtci_direct_say(struct rtci_direct *d, int way, int lane, const uint8_t *rid, uint32_t what)
{
    struct rtci_net_prefix prefix = {RTCI_NET_DIRECT,
                                     what + (lane == CALLS ? RTCI_NET_DIRECT_CALLS : 0)};
    struct rtci_net_part part = {&prefix, sizeof(prefix)};
    d->awake = AWAKE_ALL;
    return rtci_socket_send(rtci_direct_socket(d, way, lane), rid, &part, 1);
}

/* What is said waits in the connection until it stands. */
static bool dial_lane(struct rtci_direct *d, struct peer *p, int lane)
{
    uint8_t *rid = p->ways[OUT].lanes[lane].rid;
    void *socket = rtci_direct_socket(d, OUT, lane);
    uint32_t number = ++d->n_dials;
    rid[0] = 'd'; /* those that ZeroMQ chooses begin with 0 */
    memcpy(rid + 1, &number, sizeof(number));
    rtci_socket_curve(socket, &d->keys, p->key);
    RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_CONNECT_ROUTING_ID, rid, RTCI_RID_BYTES) == 0);
    if (!rtci_map_set(&d->dials, rtci_direct_rid(rid), 0, (uint32_t)(p - d->peers)) ||
        zmq_connect(socket, p->endpoint) != 0) {
        rtci_map_remove(&d->dials, rtci_direct_rid(rid), 0);
        return false;
    }
    RTCI_IGNORE(rtci_direct_say(d, OUT, lane, rid, RTCI_NET_DIRECT_ASK) == 0);
    return true;
}

/* New connections. */
static void dial(struct rtci_direct *d, struct peer *p)
{
    rtci_direct_hang_up(d, p);
    p->next_ns = d->now_ns + REDIAL_NS;
    if (p->next_ns > p->until_ns - REDIAL_NS)
        p->next_ns = p->until_ns;
    snprintf(p->endpoint, sizeof(p->endpoint), "tcp://%s", p->address);
    if (!dial_lane(d, p, BULK)) {
        give_up(d, p); /* it is no address */
        return;
    }
    p->dialled = true;
    if (!dial_lane(d, p, CALLS))
        give_up(d, p);
}

void rtci_direct_dial(struct rtci_direct *d, struct peer *p)
{
    if (!p->address[0]) { /* it may come by itself */
        give_up(d, p);
        return;
    }
    bool first = memcmp(d->keys.public_key, p->key, RTCI_KEY_BYTES) < 0 || !d->sockets[IN];
    uint64_t begin = d->now_ns + (first ? 0 : YIELD_NS);
    d->n_dialling += !p->dialling;
    p->dialling = true;
    p->next_ns = begin;
    p->until_ns = begin + RTCI_DIRECT_DIAL_NS;
    p->again_ns = 0;
    d->due_ns = begin < d->due_ns ? begin : d->due_ns;
}

void rtci_direct_timers(struct rtci_direct *d)
{
    if (d->now_ns < d->due_ns)
        return;
    d->due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < d->n_peers && d->n_dialling; i++) {
        struct peer *p = &d->peers[i];
        if (!p->dialling)
            continue;
        if (d->now_ns >= p->until_ns)
            give_up(d, p);
        else if (d->now_ns >= p->next_ns)
            dial(d, p);
        if (p->dialling && p->next_ns < d->due_ns)
            d->due_ns = p->next_ns;
    }
}
