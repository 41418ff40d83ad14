#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/net/peers.h"
#include "runtime/wire/wire.h"

#define QUEUED       128 /* frames on their way to one connection */
#define WINDOW_BYTES (16 * RTCI_MIB)
#define PAUSE_NS     (1500 * RTCI_NS_PER_MS) /* the loop looks at least each second */
#define IGNORED_MAX  256                     /* in one take */
#define CHECK_NS     (100 * RTCI_NS_PER_MS)
#define WATCHED                                                                           \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* ---- Opening and closing ---- */

static int open_sockets(struct rtci_hub *hub, char *text, size_t size)
{
    hub->context = rtci_net_start();
    hub->router = hub->context ? rtci_socket_open(hub->context, ZMQ_ROUTER, QUEUED) : NULL;
    hub->zap = hub->router ? rtci_zap_open(hub->context) : NULL;
    if (!hub->zap || !rtci_watch_open(&hub->watch, hub->context, hub->router, "hub", WATCHED))
        return rtci_net_sentence(text, size, RTC_E_OS, "no sockets: %s", zmq_strerror(errno));
    rtci_socket_set(hub->router, ZMQ_ROUTER_MANDATORY, 1);
    rtci_socket_set(hub->router, ZMQ_BACKLOG, 1024);
    rtci_socket_curve(hub->router, &hub->config.keys, NULL);
    rtci_zap_require(hub->router);
    if (zmq_bind(hub->router, hub->config.bind) != 0)
        return rtci_net_sentence(text, size, RTC_E_OS, "cannot listen on %s: %s%s",
                                 hub->config.bind, zmq_strerror(errno),
                                 errno == EADDRINUSE ? " (is another `rtc head` running?)" : "");
    hub->port = rtci_socket_port(hub->router);
    return 0;
}

int rtci_hub_open(const struct rtci_hub_config *config, struct rtci_hub **ret_hub, char *ret_text,
                  size_t size)
{
    struct rtci_hub *hub = calloc(1, sizeof(*hub));
    *ret_hub = NULL;
    if (!hub)
        return rtci_net_sentence(ret_text, size, RTC_E_NOMEM, "out of memory");
    hub->awake = AWAKE_ALL;
    hub->config = *config;
    hub->config.lease_ns = config->lease_ns ? config->lease_ns : RTCI_LEASE_NS;
    hub->config.window = config->window ? config->window : WINDOW_BYTES;
    zmq_msg_init(&hub->in);
    rtci_net_raise_limits();
    int rc = open_sockets(hub, ret_text, size);
    if (rc != 0)
        rtci_hub_close(hub);
    else
        *ret_hub = hub;
    return rc;
}

void rtci_hub_close(struct rtci_hub *hub)
{
    if (!hub)
        return;
    for (uint32_t i = 0; i < hub->cap_peers; i++)
        if (hub->peers[i])
            rtci_peer_remove(hub, hub->peers[i]);
    zmq_msg_close(&hub->in);
    rtci_watch_close(&hub->watch);
    rtci_socket_close(&hub->router);
    rtci_socket_close(&hub->zap);
    rtci_net_stop(hub->context);
    rtci_map_fini(&hub->keys);
    rtci_map_fini(&hub->nodes);
    rtci_map_fini(&hub->controls);
    rtci_map_fini(&hub->bulks);
    rtci_buf_fini(&hub->copy);
    free(hub->peers);
    free(hub->fds);
    sodium_memzero(hub, sizeof(*hub));
    free(hub);
}

uint16_t rtci_hub_port(const struct rtci_hub *hub)
{
    return hub->port;
}

uint32_t rtci_hub_fds(struct rtci_hub *hub, int ret_fds[RTCI_FDS_MAX])
{
    ret_fds[0] = rtci_socket_fd(hub->router);
    ret_fds[1] = rtci_socket_fd(hub->zap);
    ret_fds[2] = rtci_socket_fd(hub->watch.pair);
    return 3;
}

/* ---- The monitor ---- */

static struct rtci_hub_fd *fd_of(struct rtci_hub *hub, int fd)
{
    if (fd < 0)
        return NULL;
    if ((uint32_t)fd >= hub->n_fds) {
        uint32_t n = (uint32_t)fd + 64;
        struct rtci_hub_fd *fds = realloc(hub->fds, n * sizeof(*fds));
        if (!fds)
            return NULL;
        memset(fds + hub->n_fds, 0, (n - hub->n_fds) * sizeof(*fds));
        hub->fds = fds;
        hub->n_fds = n;
    }
    return &hub->fds[fd];
}

static void name_peer(int fd, char *ret_text, size_t size)
{
    struct sockaddr_storage at;
    socklen_t length = sizeof(at);
    char host[48], port[8];
    if (getpeername(fd, (struct sockaddr *)&at, &length) == 0 &&
        getnameinfo((struct sockaddr *)&at, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(ret_text, size, "%s:%s", host, port);
    else
        snprintf(ret_text, size, "an address that is gone");
}

static void on_end(struct rtci_hub *hub, struct rtci_hub_fd *at)
{
    struct rtci_peer *p = at->slot ? hub->peers[at->slot - 1] : NULL;
    if (p)
        rtci_peer_cut(hub, p);
    else if (hub->failure)
        rtci_hub_complain(hub, "%s connected, and %s", at->address, hub->failure);
    hub->failure = NULL;
    *at = (struct rtci_hub_fd){0};
    if (p)
        p->fd = -1;
}

void rtci_hub_watch(struct rtci_hub *hub)
{
    struct rtci_watch_event e;
    while (rtci_watch_take(&hub->watch, &e)) {
        struct rtci_hub_fd *at;
        switch (e.event) {
        case ZMQ_EVENT_ACCEPTED:
            at = fd_of(hub, e.value);
            if (!at)
                break;
            if (at->slot)
                on_end(hub, at);
            at->open = true;
            name_peer(e.value, at->address, sizeof(at->address));
            break;
        case ZMQ_EVENT_DISCONNECTED:
            at = fd_of(hub, e.value);
            if (at)
                on_end(hub, at);
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            hub->failure = "does not speak as a node with this head's join line does";
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            hub->failure = "left before it had said who it is";
            break;
        default: break;
        }
    }
}

/* ---- Taking ---- */

struct rtci_hub_event *rtci_hub_emit(struct rtci_hub *hub, enum rtci_hub_type type, uint32_t node)
{
    RTCI_ASSERT(hub->n_events < RTCI_HUB_EVENTS);
    uint32_t at = (hub->first_event + hub->n_events++) % RTCI_HUB_EVENTS;
    struct rtci_hub_event *event = &hub->events[at];
    event->type = type;
    event->node = node;
    event->data = NULL;
    event->size = 0;
    event->hello = NULL;
    event->text[0] = '\0';
    return event;
}

/* False: there is none. A message that cannot be one has no user. */
static bool receive(struct rtci_hub *hub, struct rtci_arrival *ret_arrival)
{
    uint8_t rid[256];
    int size;
    while ((size = zmq_recv(hub->router, rid, sizeof(rid), ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    if (size < 0)
        return false;
    while (zmq_msg_recv(&hub->in, hub->router, ZMQ_DONTWAIT) < 0 && errno == EINTR)
        ;
    struct rtci_arrival a = {.data = zmq_msg_data(&hub->in), .size = zmq_msg_size(&hub->in)};
    bool one = !zmq_msg_more(&hub->in);
    /* Of the body: the frame with the routing id may be without it. */
    const char *user = zmq_msg_gets(&hub->in, "User-Id");
    /* Ids that a client chose are longer or shorter, or begin with something else. */
    if (one && size == RTCI_RID_BYTES && rid[0] == 0 && user && strlen(user) == RTCI_USER_DIGITS) {
        memcpy(a.rid, rid, RTCI_RID_BYTES);
        a.user = user;
        a.address = zmq_msg_gets(&hub->in, "Peer-Address");
        a.address = a.address ? a.address : "an unknown address";
        a.fd = zmq_msg_get(&hub->in, ZMQ_SRCFD);
    }
    for (bool more = !one; more;) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        more = zmq_msg_recv(&rest, hub->router, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
    *ret_arrival = a;
    return true;
}

static void release(struct rtci_hub *hub)
{
    zmq_msg_close(&hub->in);
    zmq_msg_init(&hub->in);
}

static bool pop(struct rtci_hub *hub, struct rtci_hub_event *ret_event)
{
    if (hub->n_events == 0)
        return false;
    *ret_event = hub->events[hub->first_event];
    hub->first_event = (hub->first_event + 1) % RTCI_HUB_EVENTS;
    hub->n_events--;
    return true;
}

static void tell_broken(struct rtci_hub *hub, struct rtci_peer *p, const char *why)
{
    p->broken = true;
    struct rtci_hub_event *event = rtci_hub_emit(hub, RTCI_HUB_BROKEN, p->node);
    snprintf(event->text, sizeof(event->text), "%s", why);
}

/* What its connection had brought was taken before: nothing that arrived is lost for it. */
static void tell_cuts(struct rtci_hub *hub)
{
    for (uint32_t i = 0; i < hub->cap_peers && hub->cuts && hub->n_events == 0; i++) {
        struct rtci_peer *p = hub->peers[i];
        if (!p || !p->cut)
            continue;
        hub->cuts--;
        p->cut = false;
        rtci_session_link_down(p->session, hub->now_ns);
        if (!p->broken)
            tell_broken(hub, p, "its connection ended");
    }
}

static void check(struct rtci_hub *hub, struct rtci_peer *p)
{
    enum rtci_session_state state = rtci_session_state(p->session, hub->now_ns);
    if (state == RTCI_SESSION_SUSPECT && !p->broken) {
        char why[64];
        snprintf(why, sizeof(why), "nothing was heard of it for %.1f s",
                 (double)rtci_session_silence(hub->config.lease_ns) / 1e9);
        tell_broken(hub, p, why);
    }
    if (state != RTCI_SESSION_DEAD && state != RTCI_SESSION_BROKEN)
        return;
    struct rtci_hub_event *event = rtci_hub_emit(hub, RTCI_HUB_DEAD, p->node);
    if (state == RTCI_SESSION_DEAD)
        snprintf(event->text, sizeof(event->text), "nothing was heard of it for %.1f s",
                 (double)hub->config.lease_ns / 1e9);
    else
        snprintf(event->text, sizeof(event->text), "its session contradicts itself");
    rtci_peer_remove(hub, p);
}

static void check_all(struct rtci_hub *hub)
{
    if (hub->check_at >= hub->cap_peers && hub->now_ns >= hub->check_ns) {
        hub->check_at = 0;
        hub->check_ns = hub->now_ns + CHECK_NS;
    }
    for (; hub->check_at < hub->cap_peers && hub->n_events == 0; hub->check_at++)
        if (hub->peers[hub->check_at])
            check(hub, hub->peers[hub->check_at]);
}

/* This process was stopped, or waited for its disk: nobody was silent for that. */
static void notice_pause(struct rtci_hub *hub, uint64_t now_ns)
{
    uint64_t gap = hub->took_ns ? now_ns - hub->took_ns : 0;
    hub->took_ns = now_ns;
    for (uint32_t i = 0; gap > PAUSE_NS && i < hub->cap_peers; i++) {
        if (hub->peers[i])
            rtci_session_paused(hub->peers[i]->session, gap);
    }
}

struct rtci_hub_event rtci_hub_take(struct rtci_hub *hub, uint64_t now_ns)
{
    struct rtci_hub_event event = {.type = RTCI_HUB_NONE};
    struct rtci_arrival arrival;
    hub->now_ns = now_ns;
    if (pop(hub, &event))
        return event;
    release(hub);
    notice_pause(hub, now_ns);
    if (!hub->awake && !hub->cuts && hub->check_at >= hub->cap_peers && now_ns < hub->check_ns)
        return event;
    uint32_t look = hub->awake, n = 0;
    hub->awake = 0; /* unless there is more than is taken now */
    if (hub->takes++ % 64 == 0)
        rtci_zap_serve(hub->zap, NULL, NULL);
    for (; look & AWAKE_ROUTER && n < IGNORED_MAX && receive(hub, &arrival); n++) {
        hub->awake |= AWAKE_ROUTER;
        if (arrival.user)
            rtci_hub_arrived(hub, &arrival);
        else
            hub->ignored++;
        if (pop(hub, &event)) {
            hub->awake |= look;
            return event;
        }
        release(hub);
    }
    if (look & AWAKE_ZAP)
        rtci_zap_serve(hub->zap, NULL, NULL);
    if (look & AWAKE_WATCH)
        rtci_hub_watch(hub);
    if (hub->n_events)
        hub->awake |= look & AWAKE_WATCH; /* some may be left */
    if (hub->n_events == 0 && n < IGNORED_MAX)
        tell_cuts(hub);
    if (hub->n_events == 0)
        check_all(hub);
    pop(hub, &event);
    return event;
}
