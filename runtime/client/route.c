/* See route.h. */
#include "runtime/client/route.h"

#include <stdlib.h>

#include "runtime/base/map.h"
#include "runtime/client/actor.h"

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

void *rtci_route_reserve(struct rtc *rtc, struct rtci_peer *peer, size_t size)
{
    (void)peer;
    return rtci_chan_reserve(rtc->chan, size);
}

void rtci_route_send(struct rtc *rtc, struct rtci_peer *peer)
{
    (void)peer;
    rtci_send(rtc);
}

int rtci_route_reserve_wait(struct rtc *rtc, struct rtci_peer *peer, size_t size,
                            uint64_t deadline_ns, void **ret_record)
{
    (void)peer;
    return rtci_reserve(rtc, size, deadline_ns, ret_record);
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

void rtci_routes_destroy(struct rtc *rtc)
{
    if (!rtc->routes)
        return;
    for (uint32_t i = 0; i < rtc->routes->n; i++)
        free(rtc->routes->at[i]);
    free(rtc->routes->at);
    rtci_map_fini(&rtc->routes->by_client);
    free(rtc->routes);
    rtc->routes = NULL;
}
