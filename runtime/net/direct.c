/* ROUTERs: one is bound and lets others in, two dial: for bulk frames, and for calls. Their
 * connections get their routing ids here, each once, so that a message tells which node was
 * dialled; its key was proven by CURVE. On the bound one the key that comes with each message tells
 * it, and what the connection is for was asked on it first. */
#include "runtime/net/direct_internal.h"

#include <errno.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUED      128 /* frames on their way to one node */
#define IGNORED_MAX 256 /* in one take */
#define USER_DIGITS 64
#define BEAT_MS     1500 /* ZeroMQ's own heartbeats find a connection that went silent … */
#define SILENCE_MS  4000 /* … and end it */

/* ---- Opening and closing ---- */

static int open_socket(struct rtci_direct *d, int way, const char *bind, char *text, size_t size)
{
    static const char *const names[] = {"direct-in", "direct-out", "direct-calls"};
    void *socket = d->sockets[way] = rtci_socket_open(d->context, ZMQ_ROUTER, QUEUED);
    if (!socket ||
        !rtci_watch_open(&d->watches[way], d->context, socket, names[way], ZMQ_EVENT_DISCONNECTED))
        return rtci_net_sentence(text, size, RTC_E_OS, "no sockets: %s", zmq_strerror(errno));
    rtci_socket_set(socket, ZMQ_ROUTER_MANDATORY, 1);
    rtci_socket_set(socket, ZMQ_HEARTBEAT_IVL, BEAT_MS);
    rtci_socket_set(socket, ZMQ_HEARTBEAT_TIMEOUT, SILENCE_MS);
    if (way != IN)
        return 0;
    rtci_socket_curve(socket, &d->keys, NULL);
    rtci_zap_require(socket);
    if (zmq_bind(socket, bind) != 0)
        return rtci_net_sentence(text, size, RTC_E_OS, "cannot listen on %s: %s", bind,
                                 zmq_strerror(errno));
    d->port = rtci_socket_port(socket);
    return 0;
}

int rtci_direct_open(const struct rtci_direct_config *config, struct rtci_direct **ret_direct,
                     char *ret_text, size_t size)
{
    struct rtci_direct *d = calloc(1, sizeof(*d));
    *ret_direct = NULL;
    if (!d)
        return rtci_net_sentence(ret_text, size, RTC_E_NOMEM, "out of memory");
    d->keys = config->keys;
    d->due_ns = UINT64_MAX;
    zmq_msg_init(&d->in);
    rtci_net_raise_limits();
    d->context = rtci_net_start();
    d->zap = d->context ? rtci_zap_open(d->context) : NULL;
    int rc = d->zap ? 0 : rtci_net_sentence(ret_text, size, RTC_E_OS, "no sockets");
    if (!rc && config->bind)
        rc = open_socket(d, IN, config->bind, ret_text, size);
    if (!rc)
        rc = open_socket(d, OUT, NULL, ret_text, size);
    if (!rc)
        rc = open_socket(d, OUT_CALLS, NULL, ret_text, size);
    if (rc)
        rtci_direct_close(d);
    else
        *ret_direct = d;
    return rc;
}

void rtci_direct_close(struct rtci_direct *d)
{
    if (!d)
        return;
    zmq_msg_close(&d->in);
    for (int i = 0; i < SOCKETS; i++) {
        rtci_watch_close(&d->watches[i]);
        rtci_socket_close(&d->sockets[i]);
    }
    rtci_socket_close(&d->zap);
    rtci_net_stop(d->context);
    rtci_map_fini(&d->nodes);
    rtci_map_fini(&d->users);
    rtci_map_fini(&d->dials);
    rtci_buf_fini(&d->copy);
    free(d->peers);
    sodium_memzero(d, sizeof(*d));
    free(d);
}

uint16_t rtci_direct_port(const struct rtci_direct *d)
{
    return d->port;
}

uint32_t rtci_direct_fds(struct rtci_direct *d, int ret_fds[RTCI_FDS_MAX])
{
    uint32_t n = 0;
    d->fd_bits[n] = AWAKE_ZAP;
    ret_fds[n++] = rtci_socket_fd(d->zap);
    for (int i = 0; i < SOCKETS; i++) {
        if (!d->sockets[i])
            continue;
        d->fd_bits[n] = AWAKE_SOCKET(i);
        ret_fds[n++] = rtci_socket_fd(d->sockets[i]);
        d->fd_bits[n] = AWAKE_WATCH(i);
        ret_fds[n++] = rtci_socket_fd(d->watches[i].pair);
    }
    return n;
}

/* ---- Peers ---- */

static struct peer *at_index(const struct rtci_direct *d, const uint32_t *index)
{
    return index ? &d->peers[*index] : NULL;
}

static struct peer *of_node(const struct rtci_direct *d, uint32_t node)
{
    return at_index(d, rtci_map_find(&d->nodes, node, 0));
}

/* NULL: out of memory. Never fewer: nodes are numbered within a bound. */
static struct peer *make(struct rtci_direct *d, uint32_t node)
{
    struct peer *p = of_node(d, node);
    if (p)
        return p;
    if (d->n_peers == d->cap_peers) {
        uint32_t cap = d->cap_peers ? 2 * d->cap_peers : 16;
        struct peer *peers = realloc(d->peers, cap * sizeof(*peers));
        if (!peers)
            return NULL;
        d->peers = peers;
        d->cap_peers = cap;
    }
    if (!rtci_map_set(&d->nodes, node, 0, d->n_peers))
        return NULL;
    p = &d->peers[d->n_peers++];
    *p = (struct peer){.node = node};
    return p;
}

/* Half of a key names it in the map; who comes out is compared whole. */
static void halves(const uint8_t key[RTCI_KEY_BYTES], uint64_t ret_half[2])
{
    memcpy(ret_half, key, 2 * sizeof(uint64_t));
}

static struct peer *of_key(const struct rtci_direct *d, const uint8_t key[RTCI_KEY_BYTES])
{
    uint64_t half[2];
    halves(key, half);
    struct peer *p = at_index(d, rtci_map_find(&d->users, half[0], half[1]));
    return p && memcmp(p->key, key, RTCI_KEY_BYTES) == 0 ? p : NULL;
}

static bool may_connect(void *arg, const uint8_t key[RTCI_KEY_BYTES])
{
    return of_key(arg, key) != NULL;
}

void rtci_direct_add(struct rtci_direct *d, uint64_t now_ns, uint32_t node, const char *address,
                     const uint8_t key[RTCI_KEY_BYTES])
{
    d->awake = AWAKE_ALL;
    struct peer *p = make(d, node);
    uint64_t half[2];
    d->now_ns = now_ns;
    if (!p)
        return;
    p->asked = false;
    bool other = !p->known || memcmp(p->key, key, RTCI_KEY_BYTES) != 0;
    bool moved = other || strncmp(p->address, address, sizeof(p->address) - 1) != 0;
    if (other) {
        halves(p->key, half);
        if (p->known && of_key(d, p->key) == p)
            rtci_map_remove(&d->users, half[0], half[1]);
        rtci_direct_hang_up(d, p);
        rtci_direct_way_end(&p->ways[IN]);
        p->known = false;
        halves(key, half);
        if (!rtci_map_set(&d->users, half[0], half[1], (uint32_t)(p - d->peers)))
            return;
        memcpy(p->key, key, RTCI_KEY_BYTES);
        p->known = true;
    }
    if (moved)
        snprintf(p->address, sizeof(p->address), "%.63s", address);
    if (!rtci_direct_is_up(p) && (moved || (!p->dialling && now_ns >= p->again_ns)))
        rtci_direct_dial(d, p);
}

bool rtci_direct_wants(struct rtci_direct *d, uint64_t now_ns, uint32_t node)
{
    struct peer *p = make(d, node);
    if (!p || p->asked || p->dialling || rtci_direct_is_up(p) || now_ns < p->again_ns)
        return false;
    p->asked = true;
    return true;
}

void rtci_direct_ask_again(struct rtci_direct *d)
{
    for (uint32_t i = 0; i < d->n_peers; i++)
        d->peers[i].asked = false;
}

/* ---- What comes ---- */

static void tell(struct rtci_direct *d, struct peer *p, bool came)
{
    d->n_tell += !p->came && !p->went;
    p->came |= came;
    p->went |= !came;
}

static void lost(struct rtci_direct *d, struct peer *p, int way)
{
    rtci_direct_way_end(&p->ways[way]);
    if (way == OUT)
        rtci_direct_hang_up(d, p);
    if (p->came && !rtci_direct_is_up(p)) { /* told of before it was known to have come */
        d->n_tell -= !p->went;
        p->came = false;
    }
    tell(d, p, false);
    if (!rtci_direct_is_up(p) && p->address[0] && !p->dialling)
        rtci_direct_dial(d, p);
}

static void disconnected(struct rtci_direct *d, int way, int fd)
{
    for (uint32_t i = 0; i < d->n_peers; i++) {
        struct way *w = &d->peers[i].ways[way];
        for (int lane = 0; lane < LANES; lane++) {
            if (!w->lanes[lane].there || w->lanes[lane].fd != fd)
                continue;
            w->lanes[lane].there = false;
            if (w->up)
                lost(d, &d->peers[i], way);
        }
    }
}

static void watch(struct rtci_direct *d)
{
    struct rtci_watch_event e;
    for (int i = 0; i < SOCKETS; i++) {
        while (d->sockets[i] && rtci_watch_take(&d->watches[i], &e)) {
            if (e.event == ZMQ_EVENT_DISCONNECTED)
                disconnected(d, i == IN ? IN : OUT, e.value);
        }
    }
}

/* A question came, or the answer to one. What ended is seen to first: the new connection may have
 * the descriptor of an old one. */
static void came(struct rtci_direct *d, struct peer *p, int way, const uint8_t *rid, uint32_t what)
{
    watch(d);
    bool was = rtci_direct_is_up(p);
    int on = what > RTCI_NET_DIRECT_CALLS ? CALLS : BULK;
    struct way *w = &p->ways[way];
    struct lane *lane = &w->lanes[on];
    what -= on == CALLS ? RTCI_NET_DIRECT_CALLS : 0;
    if (what != (way == IN ? RTCI_NET_DIRECT_ASK : RTCI_NET_DIRECT_ANSWER))
        return;
    if (way == OUT && (!p->dialled || memcmp(lane->rid, rid, RTCI_RID_BYTES) != 0))
        return;
    if (way == IN && rtci_direct_say(d, IN, on, rid, RTCI_NET_DIRECT_ANSWER) != 0)
        return;
    if (way == IN && lane->there && memcmp(lane->rid, rid, RTCI_RID_BYTES) != 0)
        rtci_direct_way_end(w); /* it dialled anew, both */
    memcpy(lane->rid, rid, RTCI_RID_BYTES);
    lane->fd = zmq_msg_get(&d->in, ZMQ_SRCFD);
    lane->there = true;
    w->up = w->lanes[BULK].there && w->lanes[CALLS].there;
    if (!w->up)
        return;
    p->again_ns = 0;
    rtci_direct_dial_end(d, p);
    if (way == IN && !p->ways[OUT].up)
        rtci_direct_hang_up(d, p);
    if (!was)
        tell(d, p, true);
}

static struct peer *sender(struct rtci_direct *d, int way, const uint8_t *rid)
{
    const char *user = way == IN ? zmq_msg_gets(&d->in, "User-Id") : NULL;
    uint8_t key[RTCI_KEY_BYTES];
    if (way == OUT)
        return at_index(d, rtci_map_find(&d->dials, rtci_direct_rid(rid), 0));
    if (!user || strlen(user) != USER_DIGITS || rid[0] != 0 ||
        sodium_hex2bin(key, sizeof(key), user, USER_DIGITS, NULL, NULL, NULL) != 0)
        return NULL;
    return of_key(d, key);
}

static bool arrived(struct rtci_direct *d, int way, const uint8_t *rid,
                    struct rtci_direct_event *ret_event)
{
    struct peer *p = sender(d, way, rid);
    struct rtci_net_read r;
    if (!p)
        return false;
    rtci_net_read(zmq_msg_data(&d->in), zmq_msg_size(&d->in), &r);
    if (r.kind == RTCI_NET_IS_DIRECT)
        came(d, p, way, rid, r.attempt);
    bool call = r.kind == RTCI_NET_IS_CALL;
    const struct lane *lane = &p->ways[way].lanes[call ? CALLS : BULK];
    if ((r.kind != RTCI_NET_IS_BULK && !call) || !lane->there ||
        memcmp(lane->rid, rid, RTCI_RID_BYTES) != 0)
        return false;
    const void *body = rtci_net_aligned(r.body, r.body_size, &d->copy);
    *ret_event = (struct rtci_direct_event){call ? RTCI_DIRECT_CALL : RTCI_DIRECT_BULK, p->node,
                                            body, r.body_size};
    return body != NULL;
}

static bool take_told(struct rtci_direct *d, struct rtci_direct_event *ret_event)
{
    for (uint32_t i = 0; i < d->n_peers && d->n_tell; i++) {
        struct peer *p = &d->peers[i];
        if (!p->came && !p->went)
            continue;
        *ret_event = (struct rtci_direct_event){.type = p->went ? RTCI_DIRECT_DOWN : RTCI_DIRECT_UP,
                                                .node = p->node};
        if (p->went)
            p->went = false;
        else
            p->came = false;
        d->n_tell -= !p->came && !p->went;
        return true;
    }
    return false;
}

struct rtci_direct_event rtci_direct_take(struct rtci_direct *d, uint64_t now_ns)
{
    struct rtci_direct_event event = {.type = RTCI_DIRECT_NONE};
    uint8_t rid[RTCI_RID_BYTES];
    int got;
    d->now_ns = now_ns;
    if (take_told(d, &event) || (!d->awake && now_ns < d->due_ns))
        return event;
    uint32_t look = d->awake, empty = 0;
    d->awake = 0; /* unless there is more than is taken now */
    if (d->takes++ % 64 == 0 && look & AWAKE_ZAP)
        rtci_zap_serve(d->zap, may_connect, d);
    for (int i = SOCKETS; i-- > 0;) { /* calls first */
        for (int n = 0; look & AWAKE_SOCKET(i) && d->sockets[i] && n < IGNORED_MAX; n++) {
            if ((got = rtci_socket_receive(d->sockets[i], &d->in, rid)) < 0) {
                empty |= AWAKE_SOCKET(i);
                d->awake &= ~AWAKE_SOCKET(i);
                break;
            }
            d->awake |= AWAKE_SOCKET(i);
            if ((got && arrived(d, i == IN ? IN : OUT, rid, &event)) || take_told(d, &event)) {
                d->awake |= look & ~empty;
                return event;
            }
        }
    }
    if (look & AWAKE_ZAP)
        rtci_zap_serve(d->zap, may_connect, d);
    if (look & AWAKE_WATCHES)
        watch(d);
    rtci_direct_timers(d);
    take_told(d, &event);
    return event;
}

/* What was used, and has nothing after all, sleeps. */
static bool ready(struct rtci_direct *d, uint32_t bit, void *socket)
{
    if (d->awake & bit && !(socket && rtci_socket_ready(socket) & ZMQ_POLLIN))
        d->awake &= ~bit;
    return d->awake & bit;
}

uint64_t rtci_direct_deadline(struct rtci_direct *d)
{
    bool now = d->n_tell || ready(d, AWAKE_ZAP, d->zap);
    for (int i = 0; i < SOCKETS; i++) {
        now = now || ready(d, AWAKE_SOCKET(i), d->sockets[i]);
        now = now || ready(d, AWAKE_WATCH(i), d->watches[i].pair);
    }
    return now ? 0 : d->due_ns;
}

void rtci_direct_signal(struct rtci_direct *d, uint32_t fds)
{
    for (uint32_t i = 0; i < RTCI_FDS_MAX; i++)
        d->awake |= fds & (1u << i) ? d->fd_bits[i] : 0;
}

/* ---- What leaves ---- */

static int send_frame(struct rtci_direct *d, int lane, uint32_t node, const void *head,
                      size_t head_size, const void *data, size_t size)
{
    struct peer *p = of_node(d, node);
    struct rtci_net_bulk bulk = {lane == CALLS ? RTCI_NET_CALL : RTCI_NET_BULK, 0, node, 0};
    struct rtci_net_part parts[] = {{&bulk, sizeof(bulk)}, {head, head_size}, {data, size}};
    if (head_size + size > (lane == CALLS ? RTCI_CALL_MAX : RTCI_BULK_MAX))
        return RTC_E_TOO_LARGE;
    int rc = RTC_E_DISCONNECTED;
    for (int way = WAYS; p && way-- > 0 && rc == RTC_E_DISCONNECTED;) {
        if (p->ways[way].up)
            rc = rtci_socket_send(rtci_direct_socket(d, way, lane), p->ways[way].lanes[lane].rid,
                                  parts, 3);
        d->awake |= AWAKE_SOCKET(way == OUT && lane == CALLS ? OUT_CALLS : way); /* as above */
        if (p->ways[way].up && rc == RTC_E_DISCONNECTED)
            lost(d, p, way);
    }
    return rc;
}

int rtci_direct_send(struct rtci_direct *d, uint32_t node, const void *head, size_t head_size,
                     const void *data, size_t size)
{
    return send_frame(d, BULK, node, head, head_size, data, size);
}

int rtci_direct_call(struct rtci_direct *d, uint32_t node, const void *head, size_t head_size,
                     const void *data, size_t size)
{
    return send_frame(d, CALLS, node, head, head_size, data, size);
}

enum rtci_direct_state rtci_direct_state(const struct rtci_direct *d, uint32_t node)
{
    const struct peer *p = of_node(d, node);
    return !p                     ? RTCI_DIRECT_UNKNOWN
           : rtci_direct_is_up(p) ? RTCI_DIRECT_LINKED
           : p->dialling          ? RTCI_DIRECT_DIALING
           : p->again_ns          ? RTCI_DIRECT_RELAYED
                                  : RTCI_DIRECT_UNKNOWN;
}
