#include <errno.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/net/dial.h"
#include "runtime/wire/wire.h"

#define QUEUED_CONTROL 256
#define QUEUED_BULK    64
#define WINDOW_BYTES   (16 * RTCI_MIB)
#define IGNORED_MAX    256                     /* in one take */
#define PAUSE_NS       (1500 * RTCI_NS_PER_MS) /* the loop looks at least each second */
#define WATCHED                                                                    \
    (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED | \
     ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED)

/* ---- Opening and closing ---- */

static void *open_dealer(struct rtci_link *l, int queued)
{
    void *socket = rtci_socket_open(l->context, ZMQ_DEALER, queued);
    if (!socket)
        return NULL;
    rtci_socket_set(socket, ZMQ_IMMEDIATE, 1);
    rtci_socket_set(socket, ZMQ_CONNECT_TIMEOUT, 5000);
    rtci_socket_set(socket, ZMQ_RECONNECT_IVL, 50);
    rtci_socket_set(socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    rtci_socket_curve(socket, &l->config.keys, l->config.join.server);
    return socket;
}

static void split_addresses(struct rtci_link *l)
{
    const char *at = l->config.join.addresses;
    while (*at && l->n_addresses < RTCI_LINK_ADDRESSES) {
        size_t n = strcspn(at, ",");
        memcpy(l->addresses[l->n_addresses++], at, n);
        at += n + (at[n] == ',');
    }
}

bool rtci_link_new_session(struct rtci_link *l)
{
    rtci_session_free(l->session);
    do
        randombytes_buf(&l->session_id, sizeof(l->session_id));
    while (l->session_id == 0);
    struct rtci_session_config config = {
        .id = l->session_id, .dials = true, .window = l->config.window};
    l->session = rtci_session_create(&config, l->now_ns);
    l->welcomed = false;
    l->epoch = 0;
    l->node = 0;
    return l->session != NULL;
}

int rtci_link_open(const struct rtci_link_config *config, struct rtci_link **ret_link,
                   char *ret_text, size_t size)
{
    struct rtci_link *l = calloc(1, sizeof(*l));
    *ret_link = NULL;
    if (!l)
        return rtci_net_sentence(ret_text, size, RTC_E_NOMEM, "out of memory");
    l->config = *config;
    l->config.window = config->window ? config->window : WINDOW_BYTES;
    if (l->config.window < 2 * RTCI_SESSION_MESSAGE_MAX)
        l->config.window = 2 * RTCI_SESSION_MESSAGE_MAX;
    l->probe = -1;
    zmq_msg_init(&l->in);
    split_addresses(l);
    l->context = rtci_net_start();
    l->control = l->context ? open_dealer(l, QUEUED_CONTROL) : NULL;
    l->bulk = l->control ? open_dealer(l, QUEUED_BULK) : NULL;
    if (!l->bulk ||
        !rtci_watch_open(&l->control_watch, l->context, l->control, "control", WATCHED) ||
        !rtci_watch_open(&l->bulk_watch, l->context, l->bulk, "bulk", WATCHED) ||
        !rtci_link_new_session(l)) {
        int rc = rtci_net_sentence(ret_text, size, RTC_E_OS, "no sockets: %s", zmq_strerror(errno));
        rtci_link_close(l);
        return rc;
    }
    randombytes_buf(&l->instance, sizeof(l->instance));
    rtci_dial_begin(l);
    *ret_link = l;
    return 0;
}

void rtci_link_close(struct rtci_link *l)
{
    if (!l)
        return;
    if (l->control && l->bulk)
        rtci_dial_stop(l);
    zmq_msg_close(&l->in);
    rtci_watch_close(&l->control_watch);
    rtci_watch_close(&l->bulk_watch);
    rtci_socket_close(&l->control);
    rtci_socket_close(&l->bulk);
    rtci_net_stop(l->context);
    rtci_session_free(l->session);
    rtci_buf_fini(&l->copy);
    sodium_memzero(l, sizeof(*l));
    free(l);
}

uint32_t rtci_link_fds(struct rtci_link *l, int ret_fds[RTCI_FDS_MAX])
{
    ret_fds[0] = rtci_socket_fd(l->control);
    ret_fds[1] = rtci_socket_fd(l->bulk);
    ret_fds[2] = rtci_socket_fd(l->control_watch.pair);
    ret_fds[3] = rtci_socket_fd(l->bulk_watch.pair);
    return 4;
}

/* ---- Events ---- */

struct rtci_link_event *rtci_link_emit(struct rtci_link *l, enum rtci_link_type type)
{
    RTCI_ASSERT(l->n_events < RTCI_LINK_EVENTS);
    struct rtci_link_event *event = &l->events[(l->first_event + l->n_events++) % RTCI_LINK_EVENTS];
    *event = (struct rtci_link_event){.type = type, .epoch = l->epoch, .lease_ns = l->lease_ns};
    return event;
}

static bool pop(struct rtci_link *l, struct rtci_link_event *ret_event)
{
    if (l->n_events == 0)
        return false;
    *ret_event = l->events[l->first_event];
    l->first_event = (l->first_event + 1) % RTCI_LINK_EVENTS;
    l->n_events--;
    return true;
}

void rtci_link_broke(struct rtci_link *l, const char *fmt, ...)
{
    char text[RTCI_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char *told = l->told[l->address];
    if (!l->broken)
        memset(l->told, 0, sizeof(l->told));
    l->broken = true;
    if (strcmp(text, told) == 0)
        return;
    memcpy(told, text, sizeof(text));
    memcpy(rtci_link_emit(l, RTCI_LINK_BROKEN)->text, text, sizeof(text));
}

static void ask_renewal(struct rtci_link *l)
{
    if (l->renewing)
        return;
    l->renewing = true;
    rtci_session_link_down(l->session, l->now_ns);
    rtci_link_emit(l, RTCI_LINK_RENEW);
}

/* ---- What the head says ---- */

static void welcome(struct rtci_link *l, const struct rtci_net_welcome *w, uint32_t attempt)
{
    uint64_t later =
        (l->attempt - attempt) * RTCI_DIAL_ASK_NS; /* hellos after the one that was answered */
    l->lease_ns = w->lease_ns;
    rtci_session_set_lease(l->session, l->lease_ns);
    l->heard_ns = l->now_ns;
    l->failures = 0;
    l->phase = RTCI_DIAL_UP;
    l->phase_ns = l->now_ns;
    l->bulk_ns = 0;
    rtci_dial_bulk(l);
    if (!l->welcomed) {
        l->welcomed = true;
        l->config.flags &= ~RTCI_HELLO_FRESH;
        l->broken = false;
        l->node = w->node;
        l->epoch = w->epoch;
        struct rtci_link_event *event = rtci_link_emit(l, RTCI_LINK_WELCOME);
        event->node = w->node;
        event->rtt_ns = l->now_ns - l->said_ns + later;
        event->head_ns = w->now_ns + event->rtt_ns / 2;
        const char *from = zmq_msg_gets(&l->in, "Peer-Address");
        snprintf(event->text, sizeof(event->text), "%s", from ? from : "");
    }
    rtci_session_link_up(l->session, l->now_ns);
}

static void on_welcome(struct rtci_link *l, const struct rtci_net_read *r)
{
    const struct rtci_net_welcome *w = &r->welcome;
    bool asked =
        l->phase == RTCI_DIAL_HELLO && r->attempt >= l->first_attempt && r->attempt <= l->attempt;
    bool unasked = l->phase == RTCI_DIAL_UP && r->attempt == 0 && w->status == 0 && w->node == 0;
    if (l->renewing || (!asked && !unasked))
        return;
    if (w->status < 0) {
        rtci_session_link_down(l->session, l->now_ns);
        struct rtci_link_event *event = rtci_link_emit(l, RTCI_LINK_REFUSED);
        event->status = w->status;
        memcpy(event->text, w->text, sizeof(event->text));
        rtci_dial_stop(l);
        return;
    }
    if (w->session != l->session_id)
        return;
    if (w->node == 0 || (l->welcomed && !w->resumed)) {
        if (l->welcomed)
            ask_renewal(l);
        return;
    }
    welcome(l, w, r->attempt);
}

static void message(struct rtci_link *l, enum rtci_link_type type, uint32_t node, const void *data,
                    size_t size)
{
    data = rtci_net_aligned(data, size, &l->copy);
    RTCI_ASSERT(data);
    struct rtci_link_event *event = rtci_link_emit(l, type);
    event->node = node;
    event->data = data;
    event->size = size;
}

static void on_session(struct rtci_link *l, const void *data, size_t size)
{
    const void *payload;
    size_t payload_size;
    uint64_t seq;
    if (l->phase != RTCI_DIAL_UP || l->renewing)
        return;
    enum rtci_session_result result =
        rtci_session_receive(l->session, l->now_ns, data, size, &payload, &payload_size, &seq);
    enum rtci_session_state state = rtci_session_state(l->session, l->now_ns);
    if (state == RTCI_SESSION_BROKEN)
        ask_renewal(l); /* the two contradict each other: it cannot go on, so it begins anew */
    if (result == RTCI_SESSION_OTHER || result == RTCI_SESSION_INVALID)
        return;
    l->heard_ns = l->now_ns;
    if (l->broken && state == RTCI_SESSION_UP) {
        l->broken = false;
        rtci_link_emit(l, RTCI_LINK_RESUMED);
    }
    if (result == RTCI_SESSION_MESSAGE)
        message(l, RTCI_LINK_MESSAGE, l->node, payload, payload_size);
}

static void arrived(struct rtci_link *l, bool on_bulk)
{
    struct rtci_net_read r;
    const void *data = zmq_msg_data(&l->in);
    size_t size = zmq_msg_size(&l->in);
    if (l->phase == RTCI_DIAL_STOPPED)
        return;
    rtci_net_read(data, size, &r);
    if (!on_bulk && r.kind == RTCI_NET_IS_SESSION)
        on_session(l, data, size);
    if (!on_bulk && r.kind == RTCI_NET_IS_WELCOME)
        on_welcome(l, &r);
    if (!on_bulk && r.kind == RTCI_NET_IS_CALL && r.to == l->node && l->welcomed && !l->renewing)
        message(l, RTCI_LINK_CALL, r.from, r.body, r.body_size);
    if (!on_bulk)
        return;
    l->bulk_heard_ns = l->now_ns;
    if (r.kind == RTCI_NET_IS_BULKER && r.session == l->session_id && l->welcomed)
        l->bulk_up = true;
    if (r.kind == RTCI_NET_IS_BULK && r.to == l->node && l->welcomed)
        message(l, RTCI_LINK_BULK, r.from, r.body, r.body_size);
}

/* ---- Taking ---- */

static bool receive(struct rtci_link *l, void *socket)
{
    zmq_msg_close(&l->in);
    zmq_msg_init(&l->in);
    int rc;
    while ((rc = zmq_msg_recv(&l->in, socket, ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    return rc >= 0;
}

/* What stands in sockets was said to one that was there, perhaps before the head took it for dead:
 * an answer to what is asked now was not. */
void rtci_link_paused(struct rtci_link *l, uint64_t now_ns)
{
    l->first_attempt = l->attempt + 1;
    l->hello_ns = 0;
    if (l->phase == RTCI_DIAL_UP && !l->renewing)
        rtci_session_link_up(l->session, now_ns);
}

static void notice_pause(struct rtci_link *l)
{
    uint64_t gap = l->took_ns ? l->now_ns - l->took_ns : 0,
             most = rtci_session_silence(l->lease_ns);
    l->took_ns = l->now_ns;
    if (gap > (most < PAUSE_NS ? most : PAUSE_NS))
        rtci_link_paused(l, l->now_ns);
}

struct rtci_link_event rtci_link_take(struct rtci_link *l, uint64_t now_ns)
{
    struct rtci_link_event event = {.type = RTCI_LINK_NONE};
    l->now_ns = now_ns;
    notice_pause(l);
    if (pop(l, &event) || (!l->awake && now_ns < rtci_dial_deadline(l)))
        return event;
    uint32_t look = l->awake;
    l->awake = 0; /* unless there is more than is taken now */
    for (uint32_t n = 0; look & AWAKE_CONTROL && n < IGNORED_MAX && receive(l, l->control); n++) {
        l->awake |= AWAKE_CONTROL;
        arrived(l, false);
        if (pop(l, &event)) {
            l->awake |= look;
            return event;
        }
    }
    for (uint32_t n = 0; look & AWAKE_BULK && n < IGNORED_MAX && receive(l, l->bulk); n++) {
        l->awake |= AWAKE_BULK;
        arrived(l, true);
        if (pop(l, &event)) {
            l->awake |= look & AWAKE_WATCHES;
            return event;
        }
    }
    if (look & AWAKE_WATCHES)
        rtci_dial_watch(l);
    if (l->n_events >= RTCI_LINK_EVENTS / 2)
        l->awake |= look & AWAKE_WATCHES; /* some may be left */
    if (l->n_events < RTCI_LINK_EVENTS / 2)
        rtci_dial_time(l);
    pop(l, &event);
    return event;
}
