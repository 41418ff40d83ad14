#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/bounds.h"
#include "runtime/net/peers.h"
#include "runtime/wire/wire.h"

#define ZAP_ENFORCE_DOMAIN 93  /* zmq.h of 4.3 hides it; the library has it */
#define QUEUED             128 /* frames on their way to one connection */
#define WINDOW_BYTES       (16 * RTCI_MIB)
#define WAITING_MAX        (64 * RTCI_MIB) /* for room in one session */
#define GATHER_BYTES       (32 * RTCI_KIB) /* smaller spans are put together until the flush */
#define IGNORED_MAX        256             /* in one take */
#define CHECK_NS           (100 * RTCI_NS_PER_MS)
#define FULL_NS            (2 * RTCI_NS_PER_MS) /* then a full queue is tried again */
#define WATCHED                                                                           \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* ---- Opening and closing ---- */

/* Each connection is a descriptor. */
static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint16_t port_of(void *socket)
{
    char endpoint[256] = "";
    size_t size = sizeof(endpoint);
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return 0;
    const char *colon = strrchr(endpoint, ':');
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

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
    RTCI_ASSERT(
        zmq_setsockopt(hub->router, ZMQ_ZAP_DOMAIN, RTCI_ZAP_DOMAIN, strlen(RTCI_ZAP_DOMAIN)) == 0);
    /* Without it a handler that is missing would mean that everybody may. */
    rtci_socket_set(hub->router, ZAP_ENFORCE_DOMAIN, 1);
    if (zmq_bind(hub->router, hub->config.bind) != 0)
        return rtci_net_sentence(text, size, RTC_E_OS, "cannot listen on %s: %s%s",
                                 hub->config.bind, zmq_strerror(errno),
                                 errno == EADDRINUSE ? " (is another `rtc head` running?)" : "");
    hub->port = port_of(hub->router);
    return 0;
}

int rtci_hub_open(const struct rtci_hub_config *config, struct rtci_hub **ret_hub, char *ret_text,
                  size_t size)
{
    struct rtci_hub *hub = calloc(1, sizeof(*hub));
    *ret_hub = NULL;
    if (!hub)
        return rtci_net_sentence(ret_text, size, RTC_E_NOMEM, "out of memory");
    hub->config = *config;
    hub->config.lease_ns = config->lease_ns ? config->lease_ns : 10 * RTCI_NS_PER_S;
    hub->config.window = config->window ? config->window : WINDOW_BYTES;
    zmq_msg_init(&hub->in);
    raise_limits();
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
    if (state == RTCI_SESSION_SUSPECT && !p->broken)
        tell_broken(hub, p, "nothing was heard of it for 3 s");
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

struct rtci_hub_event rtci_hub_take(struct rtci_hub *hub, uint64_t now_ns)
{
    struct rtci_hub_event event = {.type = RTCI_HUB_NONE};
    struct rtci_arrival arrival;
    hub->now_ns = now_ns;
    if (pop(hub, &event))
        return event;
    release(hub);
    if (hub->takes++ % 64 == 0)
        rtci_zap_serve(hub->zap);
    uint32_t n = 0;
    for (; n < IGNORED_MAX && receive(hub, &arrival); n++) {
        if (arrival.user)
            rtci_hub_arrived(hub, &arrival);
        else
            hub->ignored++;
        if (pop(hub, &event))
            return event;
        release(hub);
    }
    rtci_zap_serve(hub->zap);
    rtci_hub_watch(hub);
    if (hub->n_events == 0 && n < IGNORED_MAX)
        tell_cuts(hub);
    if (hub->n_events == 0)
        check_all(hub);
    pop(hub, &event);
    return event;
}

/* ---- Sending ---- */

/* Moves what waits into the session, as far as it has room. */
static void pump(struct rtci_peer *p)
{
    uint64_t seq;
    while (p->out_at < p->out.len) {
        size_t n = rtci_net_cut(p->out.data + p->out_at, p->out.len - p->out_at);
        RTCI_ASSERT(n > 0);
        if (rtci_session_send(p->session, p->out.data + p->out_at, n, &seq) != 0)
            break;
        p->out_at += n;
    }
    if (p->out_at == p->out.len) {
        rtci_buf_clear(&p->out);
        p->out_at = 0;
    } else if (p->out_at > p->out.len / 2) {
        p->out.len -= p->out_at;
        memmove(p->out.data, p->out.data + p->out_at, p->out.len);
        p->out_at = 0;
    }
}

int rtci_hub_send(struct rtci_hub *hub, uint32_t node, const void *span, size_t size)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    uint64_t seq;
    if (!p)
        return RTC_E_DISCONNECTED;
    for (size_t at = 0, n; at < size; at += n)
        if ((n = rtci_net_cut((const uint8_t *)span + at, size - at)) == 0)
            return RTC_E_TOO_LARGE;
    if (p->out.len - p->out_at + size > WAITING_MAX)
        return RTC_E_AGAIN;
    rtci_peer_touch(hub, p);
    hub->unsent = true;
    size_t at = 0, n;
    for (; p->out.len == 0 && size >= GATHER_BYTES && at < size; at += n) {
        n = rtci_net_cut((const uint8_t *)span + at, size - at);
        if (rtci_session_send(p->session, (const uint8_t *)span + at, n, &seq) != 0)
            break;
    }
    rtci_buf_put(&p->out, (const uint8_t *)span + at, size - at);
    RTCI_ASSERT(!p->out.failed); /* what was begun cannot be taken back */
    return 0;
}

void rtci_hub_commit(struct rtci_hub *hub)
{
    for (struct rtci_peer *p = hub->dirty; p; p = p->next_dirty) {
        if (!p->taken)
            continue;
        rtci_session_commit(p->session, UINT64_MAX);
        p->taken = false;
        hub->unsent = true; /* the acknowledgement has its time */
    }
}

/* When it is to be done again. */
static uint64_t flush_peer(struct rtci_hub *hub, struct rtci_peer *p)
{
    struct rtci_frame frame;
    const void *payload;
    size_t size;
    pump(p);
    if (!p->has_control)
        return UINT64_MAX;
    while (rtci_session_next(p->session, hub->now_ns, &frame, &payload, &size)) {
        struct rtci_net_part parts[] = {{&frame, sizeof(frame)}, {payload, size}};
        int rc = rtci_socket_send(hub->router, p->control, parts, 2);
        if (rc == RTC_E_DISCONNECTED) {
            rtci_session_link_down(p->session, hub->now_ns);
            rtci_peer_cut(hub, p);
            return UINT64_MAX;
        }
        if (rc != 0)
            return hub->now_ns + FULL_NS;
        rtci_session_sent(p->session, hub->now_ns);
    }
    return rtci_session_deadline(p->session);
}

void rtci_hub_flush(struct rtci_hub *hub, uint64_t now_ns)
{
    struct rtci_peer *p = hub->dirty;
    bool all = now_ns >= hub->due_ns;
    hub->now_ns = now_ns;
    hub->dirty = NULL;
    hub->unsent = false;
    if (all)
        hub->due_ns = UINT64_MAX;
    for (struct rtci_peer *next; p; p = next) {
        next = p->next_dirty;
        p->dirty = false;
        uint64_t due = all ? UINT64_MAX : flush_peer(hub, p);
        hub->due_ns = due < hub->due_ns ? due : hub->due_ns;
        if (p->taken) /* still to be committed */
            rtci_peer_touch(hub, p);
    }
    for (uint32_t i = 0; all && i < hub->cap_peers; i++) {
        uint64_t due = hub->peers[i] ? flush_peer(hub, hub->peers[i]) : UINT64_MAX;
        hub->due_ns = due < hub->due_ns ? due : hub->due_ns;
    }
}

uint64_t rtci_hub_deadline(struct rtci_hub *hub)
{
    bool now = hub->n_events || hub->cuts || hub->unsent || hub->check_at < hub->cap_peers ||
               rtci_socket_ready(hub->router) & ZMQ_POLLIN ||
               rtci_socket_ready(hub->zap) & ZMQ_POLLIN ||
               rtci_socket_ready(hub->watch.pair) & ZMQ_POLLIN;
    if (now)
        return 0;
    return hub->n_peers && hub->check_ns < hub->due_ns ? hub->check_ns : hub->due_ns;
}

void rtci_hub_drop(struct rtci_hub *hub, uint32_t node)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    if (p)
        rtci_peer_remove(hub, p);
}

int rtci_hub_bulk(struct rtci_hub *hub, uint32_t node, const void *head, size_t head_size,
                  const void *data, size_t size)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    struct rtci_net_bulk bulk = {RTCI_NET_BULK, RTCI_NET_HEAD_NODE, node, 0};
    struct rtci_net_part parts[] = {{&bulk, sizeof(bulk)}, {head, head_size}, {data, size}};
    if (head_size + size > RTCI_BULK_MAX)
        return RTC_E_TOO_LARGE;
    if (!p || !p->has_bulk)
        return RTC_E_DISCONNECTED;
    int rc = rtci_socket_send(hub->router, p->bulk, parts, 3);
    if (rc == RTC_E_DISCONNECTED)
        rtci_peer_unbind_bulk(hub, p);
    return rc;
}
