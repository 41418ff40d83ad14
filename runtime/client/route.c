/* See route.h. */
#include "runtime/client/route.h"

#include <stdlib.h>

#include "runtime/base/map.h"
#include "runtime/client/actor.h"
#include "runtime/client/lanes.h"

enum { WAY_CALLS = 1, WAY_ANSWERS = 2, WAY_DAEMON = 4 };

struct rtci_routes {
    struct rtci_peer **at;
    uint32_t n, cap, n_callers;
    struct rtci_map by_client;
};

static struct rtci_routes *routes_of(struct rtc *rtc)
{
    if (!rtc->routes)
        rtc->routes = calloc(1, sizeof(*rtc->routes));
    return rtc->routes;
}

struct rtci_peer *rtci_peer_get(struct rtc *rtc, uint32_t node, uint32_t client)
{
    struct rtci_routes *routes = routes_of(rtc);
    if (!routes)
        return NULL;
    const uint32_t *known = rtci_map_find(&routes->by_client, client, 0);
    if (known) {
        struct rtci_peer *peer = routes->at[*known];
        peer->node = node ? node : peer->node;
        return peer;
    }
    if (routes->n == routes->cap) {
        uint32_t cap = routes->cap ? routes->cap * 2 : 16;
        struct rtci_peer **at = realloc(routes->at, cap * sizeof(struct rtci_peer *));
        if (!at)
            return NULL;
        routes->at = at;
        routes->cap = cap;
    }
    struct rtci_peer *peer = calloc(1, sizeof(*peer));
    if (!peer || !rtci_map_set(&routes->by_client, client, 0, routes->n)) {
        free(peer);
        return NULL;
    }
    *peer = (struct rtci_peer){.node = node, .client = client};
    routes->at[routes->n++] = peer;
    return peer;
}

/* The daemon knows all that was told to it: what follows from a call cannot come before that. */
static bool all_heard(struct rtc *rtc)
{
    return rtci_chan_consumed(rtc->chan) >= rtc->told && rtc->actors->outbox.len == 0;
}

void *rtci_route_reserve(struct rtc *rtc, struct rtci_peer *peer, size_t size,
                         uint64_t *ret_lane_end)
{
    struct lane *lane = rtci_lane_to(rtc, peer);
    void *at = lane && all_heard(rtc) ? rtci_lane_reserve(lane, size) : NULL;
    *ret_lane_end = at ? rtci_lane_end(lane) : 0;
    peer->ways |= at ? WAY_CALLS : WAY_DAEMON;
    return at ? at : rtci_chan_reserve(rtc->chan, size);
}

int rtci_route_reserve_reply(struct rtc *rtc, struct rtci_peer *peer, size_t size, bool *by_daemon,
                             void **ret_record)
{
    void *at = NULL;
    if (peer->answers && !*by_daemon && all_heard(rtc))
        at = rtci_lane_reserve(peer->answers, size);
    if (RTCI_LIKELY(at != NULL)) {
        peer->ways |= WAY_ANSWERS;
        *ret_record = at;
        return 0;
    }
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, ret_record));
    peer->ways |= WAY_DAEMON; /* not before: while it waited, others may have sent */
    *by_daemon = true;
    return 0;
}

void rtci_route_send(struct rtc *rtc, struct rtci_peer *peer)
{
    uint8_t ways = peer->ways;
    peer->ways = 0;
    if (ways & WAY_CALLS && peer->calls) /* else it ended meanwhile */
        rtci_lane_send(peer->calls);
    if (ways & WAY_ANSWERS && peer->answers)
        rtci_lane_send(peer->answers);
    if (ways & WAY_DAEMON) {
        uint64_t told = rtc->told; /* calls and answers are no news to the head */
        rtci_send(rtc);
        rtc->told = told;
    }
}

void rtci_route_probe(struct rtc *rtc, uint32_t node, uint32_t client, uint64_t seq)
{
    struct {
        struct rtci_spec spec;
        struct rtci_call call;
    } out = {.spec = {.rec = {sizeof(out), RTCI_R_ACTOR_CALL, 0},
                      .seq = seq,
                      .client = rtc->client,
                      .n_returns = 1,
                      .flags = RTCI_SPEC_CALL,
                      .name_len = sizeof(struct rtci_call)},
             .call = {.order = 1, .node = node, .client = client}};
    uint64_t told = rtc->told; /* it is no news to the head */
    rtci_outbox(rtc, &out);
    rtc->told = told;
}

void rtci_route_record(struct rtc *rtc, const struct rtci_rec *rec)
{
    const struct rtci_spec *spec = (const struct rtci_spec *)rec;
    if (rec->type == RTCI_R_ACTOR_REPLY)
        rtci_on_actor_reply(rtc, (const struct rtci_done *)rec);
    else if (rtci_spec_call(spec)->order == 0)
        rtci_on_note(rtc, spec);
    else if (rtc->on_call)
        rtc->on_call(rtc, spec);
}

void rtci_route_begun(struct rtc *rtc, struct rtci_peer *peer, uint64_t order)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    if (!peer->place)
        peer->place = ++rtc->routes->n_callers;
    if (peer->place > RTCI_CHAN_CALLERS) {
        info->more_callers = 1; /* of these it is not known */
        return;
    }
    volatile struct rtci_chan_caller *at = &info->callers[peer->place - 1];
    at->begun = order;
    if (at->client != peer->client || at->node != peer->node) {
        at->node = peer->node;
        __atomic_store_n(&at->client, peer->client, __ATOMIC_RELEASE);
    }
}

void rtci_route_called(struct rtc *rtc, struct rtci_peer *peer)
{
    if (!peer->place)
        rtci_route_begun(rtc, peer, 0);
}

void rtci_routes_destroy(struct rtc *rtc)
{
    rtci_lanes_destroy(rtc);
    if (!rtc->routes)
        return;
    for (uint32_t i = 0; i < rtc->routes->n; i++)
        free(rtc->routes->at[i]);
    free(rtc->routes->at);
    rtci_map_fini(&rtc->routes->by_client);
    free(rtc->routes);
    rtc->routes = NULL;
}
