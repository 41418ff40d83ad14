/* What the hub does with what arrives: hellos, frames of sessions, bulk frames. */
#include <rtc/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/net/peers.h"
#include "runtime/wire/wire.h"

/* How long a second daemon with a node's key waits for whether the first is still there: it beats
 * each second. */
#define RIVAL_NS    (2500 * RTCI_NS_PER_MS)
#define RENEWS_MAX  100 /* a second, for who sends what nobody here knows */
#define REFUSED_MAX 4   /* a second, for the log */

static void answer(struct rtci_hub *hub, const struct rtci_arrival *a, uint32_t attempt,
                   const struct rtci_net_welcome *welcome)
{
    struct rtci_net_prefix prefix = {RTCI_NET_WELCOME, attempt};
    struct rtci_net_part parts[] = {{&prefix, sizeof(prefix)}, {welcome, sizeof(*welcome)}};
    /* One that is lost is asked for again. */
    RTCI_IGNORE(rtci_socket_send(hub->router, a->rid, parts, 2) == 0);
}

static struct rtci_net_welcome begin(const struct rtci_hub *hub, uint64_t session)
{
    struct rtci_net_welcome w = {.epoch = hub->config.epoch,
                                 .session = session,
                                 .lease_ns = hub->config.lease_ns,
                                 .now_ns = hub->now_ns};
    rtci_net_text(w.release, sizeof(w.release), RTC_VERSION_STRING);
    return w;
}

static void refuse(struct rtci_hub *hub, const struct rtci_arrival *a,
                   const struct rtci_net_read *r, struct rtci_net_welcome *w)
{
    w->node = 0;
    answer(hub, a, r->attempt, w);
    rtci_hub_complain(hub, "node '%s' at %s may not join: %s", r->hello.name, a->address, w->text);
}

/* Nothing is known here of its session: no number. */
static void renew(struct rtci_hub *hub, const struct rtci_arrival *a, uint32_t attempt,
                  uint64_t session)
{
    bool asked = attempt != 0; /* by a hello: those are not many */
    if (hub->now_ns - hub->renewed_ns >= RTCI_NS_PER_S) {
        hub->renewed_ns = hub->now_ns;
        hub->renewed = 0;
    }
    struct rtci_net_welcome w = begin(hub, session);
    if (asked || hub->renewed++ < RENEWS_MAX)
        answer(hub, a, attempt, &w);
}

void rtci_hub_complain(struct rtci_hub *hub, const char *fmt, ...)
{
    if (hub->now_ns - hub->refused_ns >= RTCI_NS_PER_S) {
        hub->refused_ns = hub->now_ns;
        hub->refused = 0;
    }
    if (hub->refused++ >= REFUSED_MAX || hub->n_events >= RTCI_HUB_EVENTS / 2) {
        hub->suppressed++;
        return;
    }
    struct rtci_hub_event *event = rtci_hub_emit(hub, RTCI_HUB_REFUSED, 0);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(event->text, sizeof(event->text), fmt, args);
    va_end(args);
    if (hub->suppressed && n > 0 && (size_t)n < sizeof(event->text))
        snprintf(event->text + n, sizeof(event->text) - (size_t)n, " (%llu more were not told)",
                 (unsigned long long)hub->suppressed);
    hub->suppressed = 0;
}

/* ---- Hellos ---- */

static bool live(const struct rtci_hub *hub, const struct rtci_peer *p)
{
    enum rtci_session_state state = rtci_session_state(p->session, hub->now_ns);
    return state != RTCI_SESSION_DEAD && state != RTCI_SESSION_BROKEN;
}

/* Another start of a daemon with the key of one that is joined. Either that was the same daemon,
 * and its end is about to be noticed, or its state directory was copied. */
static bool waits(struct rtci_hub *hub, struct rtci_peer *p, const struct rtci_net_hello *h)
{
    if (p->rival != h->instance || hub->now_ns - p->rival_ns > 2 * RIVAL_NS) {
        p->rival = h->instance;
        p->rival_ns = hub->now_ns;
    }
    return hub->now_ns - p->rival_ns < RIVAL_NS;
}

static void join(struct rtci_hub *hub, const struct rtci_arrival *a, const struct rtci_net_read *r,
                 struct rtci_net_welcome *w)
{
    struct rtci_peer *older = rtci_peer_of_key(hub, a->user);
    if (older && older->node != w->node) {
        struct rtci_hub_event *event = rtci_hub_emit(hub, RTCI_HUB_DEAD, older->node);
        snprintf(event->text, sizeof(event->text), "it joined again, as node %u", w->node);
    }
    if (older)
        rtci_peer_remove(hub, older);
    struct rtci_peer *p = rtci_peer_add(hub, a->user, w->node, &r->hello);
    if (p && !rtci_peer_bind(hub, p, a)) {
        rtci_peer_remove(hub, p);
        p = NULL;
    }
    if (!p) {
        w->status = RTC_E_NOMEM;
        rtci_net_text(w->text, sizeof(w->text), "the head is out of memory");
        refuse(hub, a, r, w);
        return;
    }
    rtci_hub_emit(hub, RTCI_HUB_JOINED, p->node)->hello = &p->hello;
    answer(hub, a, r->attempt, w);
}

static void on_hello(struct rtci_hub *hub, const struct rtci_arrival *a,
                     const struct rtci_net_read *r)
{
    const struct rtci_net_hello *h = &r->hello;
    struct rtci_net_welcome w = begin(hub, h->session);
    /* What happened to older connections that had its descriptor comes first. */
    rtci_hub_watch(hub);
    if (a->fd < 0 || (uint32_t)a->fd >= hub->n_fds || !hub->fds[a->fd].open)
        return;
    struct rtci_peer *p = rtci_peer_of_key(hub, a->user);
    bool is_live = p && live(hub, p);
    if (is_live && p->session_id == h->session && p->instance == h->instance) {
        if (!rtci_peer_bind(hub, p, a))
            return;
        w.node = p->node;
        w.resumed = 1;
        answer(hub, a, r->attempt, &w);
        return;
    }
    if (h->epoch != 0) {
        renew(hub, a, r->attempt, h->session);
        return;
    }
    if (is_live && p->instance != h->instance && !p->broken && !p->cut) {
        if (waits(hub, p, h))
            return;
        if (p->heard_ns > p->rival_ns) {
            w.status = RTC_E_BUSY;
            snprintf(w.text, sizeof(w.text),
                     "a node with the same key is already joined from %s (node %u): give this one "
                     "a state directory of its own",
                     p->address, p->node);
            refuse(hub, a, r, &w);
            return;
        }
    }
    uint8_t key[RTCI_KEY_BYTES];
    rtci_user_key(a->user, key);
    hub->config.admit(hub->config.admit_arg, key, h, &w);
    if (w.status != 0)
        refuse(hub, a, r, &w);
    else
        join(hub, a, r, &w);
}

static void on_old_hello(struct rtci_hub *hub, const struct rtci_arrival *a,
                         const struct rtci_net_read *r)
{
    struct rtci_net_welcome w = begin(hub, 0);
    w.status = RTC_E_VERSION;
    snprintf(w.text, sizeof(w.text),
             "the head is rtc %s (protocol %u), the node is rtc %s (protocol %u): install the same",
             RTC_VERSION_STRING, RTCI_WIRE_VERSION, r->hello.release, r->hello.wire_version);
    refuse(hub, a, r, &w);
}

/* ---- Sessions ---- */

static void message(struct rtci_hub *hub, struct rtci_peer *p, const void *payload, size_t size)
{
    payload = rtci_net_aligned(payload, size, &hub->copy);
    RTCI_ASSERT(payload); /* a session cannot be told that a message did not come after all */
    struct rtci_hub_event *event = rtci_hub_emit(hub, RTCI_HUB_MESSAGE, p->node);
    event->data = payload;
    event->size = size;
    p->taken = true;
}

static void on_session(struct rtci_hub *hub, const struct rtci_arrival *a,
                       const struct rtci_net_read *r)
{
    const void *payload;
    size_t size;
    uint64_t seq;
    struct rtci_peer *p = rtci_peer_of_rid(hub, &hub->controls, a->rid, a->user);
    if (!p) {
        p = rtci_peer_of_key(hub, a->user);
        hub->ignored++;
        if (!p || p->session_id != r->session) /* else it is of a connection before this one */
            renew(hub, a, 0, r->session);
        return;
    }
    enum rtci_session_result result =
        rtci_session_receive(p->session, hub->now_ns, a->data, a->size, &payload, &size, &seq);
    rtci_peer_touch(hub, p);
    if (result == RTCI_SESSION_OTHER || result == RTCI_SESSION_INVALID) {
        hub->ignored++;
        if (rtci_session_state(p->session, hub->now_ns) == RTCI_SESSION_BROKEN)
            hub->check_ns = hub->now_ns;
        return;
    }
    p->heard_ns = hub->now_ns;
    if (p->broken && rtci_session_state(p->session, hub->now_ns) == RTCI_SESSION_UP) {
        p->broken = false;
        rtci_hub_emit(hub, RTCI_HUB_RESUMED, p->node);
    }
    if (result == RTCI_SESSION_MESSAGE)
        message(hub, p, payload, size);
}

/* ---- Calls and bulk ---- */

static void for_head(struct rtci_hub *hub, enum rtci_hub_type type, uint32_t from,
                     const struct rtci_net_read *r)
{
    const void *body = rtci_net_aligned(r->body, r->body_size, &hub->copy);
    if (!body)
        return;
    struct rtci_hub_event *event = rtci_hub_emit(hub, type, from);
    event->data = body;
    event->size = r->body_size;
}

/* On to another node, as it came but for who it is from, which is known here. */
static int pass_on(struct rtci_hub *hub, uint32_t magic, uint32_t from, uint32_t to,
                   const uint8_t *rid)
{
    struct rtci_net_bulk head = {magic, from, to, 0};
    memcpy(zmq_msg_data(&hub->in), &head, sizeof(head));
    size_t size = zmq_msg_size(&hub->in);
    int rc = rtci_socket_relay(hub->router, rid, &hub->in);
    hub->relayed += rc == 0 ? size : 0;
    return rc;
}

static void on_call(struct rtci_hub *hub, const struct rtci_arrival *a,
                    const struct rtci_net_read *r)
{
    struct rtci_peer *from = rtci_peer_of_rid(hub, &hub->controls, a->rid, a->user), *to;
    if (!from || !live(hub, from)) {
        hub->ignored++;
        return;
    }
    if (r->to == RTCI_HEAD_NODE) {
        for_head(hub, RTCI_HUB_CALL, from->node, r);
        return;
    }
    to = rtci_peer_of_node(hub, r->to);
    if (to && to->has_control) /* what does not go on is sent again */
        RTCI_IGNORE(pass_on(hub, RTCI_NET_CALL, from->node, r->to, to->control) == 0);
}

static void on_bulker(struct rtci_hub *hub, const struct rtci_arrival *a,
                      const struct rtci_net_read *r)
{
    struct rtci_peer *p = rtci_peer_of_key(hub, a->user);
    if (!p || p->session_id != r->session || !rtci_peer_bind_bulk(hub, p, a->rid))
        return; /* it asks again */
    struct rtci_net_part part = {a->data, a->size};
    RTCI_IGNORE(rtci_socket_send(hub->router, a->rid, &part, 1) == 0);
}

static void on_bulk(struct rtci_hub *hub, const struct rtci_arrival *a,
                    const struct rtci_net_read *r)
{
    struct rtci_peer *from = rtci_peer_of_rid(hub, &hub->bulks, a->rid, a->user), *to;
    if (!from || !live(hub, from)) {
        hub->ignored++;
        return;
    }
    if (r->to == RTCI_HEAD_NODE) {
        for_head(hub, RTCI_HUB_BULK, from->node, r);
        return;
    }
    to = rtci_peer_of_node(hub, r->to);
    if (to && to->has_bulk &&
        pass_on(hub, RTCI_NET_BULK, from->node, r->to, to->bulk) == RTC_E_DISCONNECTED)
        rtci_peer_unbind_bulk(hub, to);
}

void rtci_hub_arrived(struct rtci_hub *hub, const struct rtci_arrival *arrival)
{
    struct rtci_net_read r;
    rtci_net_read(arrival->data, arrival->size, &r);
    switch (r.kind) {
    case RTCI_NET_IS_SESSION: on_session(hub, arrival, &r); break;
    case RTCI_NET_IS_CALL: on_call(hub, arrival, &r); break;
    case RTCI_NET_IS_BULK: on_bulk(hub, arrival, &r); break;
    case RTCI_NET_IS_HELLO: on_hello(hub, arrival, &r); break;
    case RTCI_NET_IS_OLD_HELLO: on_old_hello(hub, arrival, &r); break;
    case RTCI_NET_IS_BULKER: on_bulker(hub, arrival, &r); break;
    default: hub->ignored++; break;
    }
}
