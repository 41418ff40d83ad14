/* What leaves a link: hellos, spans into the session, frames, bulk frames. */
#include <rtc/error.h>
#include <sodium.h>

#include "runtime/base/bounds.h"
#include "runtime/net/dial.h"
#include "runtime/wire/wire.h"

#define BULK_NS (2 * RTCI_NS_PER_S) /* on bulk, when it was answered: it keeps NATs awake */
#define FULL_NS (2 * RTCI_NS_PER_MS)

size_t rtci_link_room(const struct rtci_link *l)
{
    struct rtci_session_counts counts;
    if (!l->welcomed || l->renewing || l->phase == RTCI_DIAL_STOPPED)
        return 0;
    rtci_session_counts(l->session, &counts);
    size_t left = l->config.window > counts.kept ? l->config.window - counts.kept : 0;
    /* Two messages that follow each other are together larger than the size to cut at. */
    size_t overhead = rtci_session_overhead() * (2 * left / RTCI_MESSAGE_BYTES + 2);
    return left > overhead ? left - overhead : 0;
}

int rtci_link_send(struct rtci_link *l, const void *span, size_t size, uint64_t *ret_seq)
{
    if (size > rtci_link_room(l))
        return l->welcomed && l->phase != RTCI_DIAL_STOPPED ? RTC_E_AGAIN : RTC_E_DISCONNECTED;
    for (size_t at = 0, n; at < size; at += n)
        if ((n = rtci_net_cut((const uint8_t *)span + at, size - at)) == 0)
            return RTC_E_TOO_LARGE;
    for (size_t at = 0, n; at < size; at += n) {
        n = rtci_net_cut((const uint8_t *)span + at, size - at);
        int rc = rtci_session_send(l->session, (const uint8_t *)span + at, n, ret_seq);
        RTCI_ASSERT(rc == 0); /* there is room, and half a span cannot be taken back */
    }
    l->unsent = true;
    return 0;
}

uint64_t rtci_link_committed(const struct rtci_link *l)
{
    struct rtci_session_counts counts;
    rtci_session_counts(l->session, &counts);
    return counts.peer_committed;
}

void rtci_link_commit(struct rtci_link *l)
{
    rtci_session_commit(l->session, UINT64_MAX);
    l->unsent = true;
}

void rtci_link_uncommitted(struct rtci_link *l,
                           void (*fn)(void *arg, const void *data, size_t size), void *arg)
{
    rtci_session_each(l->session, fn, arg);
}

void rtci_link_renew(struct rtci_link *l, uint64_t now_ns)
{
    l->now_ns = now_ns;
    if (!l->renewing)
        return;
    l->renewing = false;
    l->bulk_up = false;
    RTCI_ASSERT(rtci_link_new_session(l));
    l->hello_ns = 0;
    l->first_attempt = l->attempt + 1;
    if (l->phase == RTCI_DIAL_UP || l->phase == RTCI_DIAL_HELLO) {
        l->phase = RTCI_DIAL_HELLO;
        l->phase_ns = now_ns;
    }
}

static void say_hello(struct rtci_link *l)
{
    struct rtci_net_prefix prefix = {RTCI_NET_HELLO, l->attempt + 1};
    struct rtci_net_hello h = {.wire_version = RTCI_WIRE_VERSION,
                               .session = l->session_id,
                               .epoch = l->welcomed ? l->epoch : 0,
                               .instance = l->instance,
                               .flags = l->config.flags};
    struct rtci_net_part parts[] = {{&prefix, sizeof(prefix)}, {&h, sizeof(h)}};
    rtci_net_text(h.release, sizeof(h.release), RTC_VERSION_STRING);
    rtci_net_text(h.token, sizeof(h.token), l->config.join.token);
    rtci_net_text(h.name, sizeof(h.name), l->config.name);
    rtci_net_text(h.arch, sizeof(h.arch), l->config.arch);
    bool said = rtci_socket_send(l->control, NULL, parts, 2) == 0;
    sodium_memzero(h.token, sizeof(h.token));
    l->hello_ns = l->now_ns + (said ? RTCI_DIAL_ASK_NS : FULL_NS);
    l->awake = AWAKE_ALL;
    if (!said)
        return;
    l->attempt++;
    l->said_ns = l->now_ns;
}

static void say_bulk_hello(struct rtci_link *l)
{
    struct rtci_net_bulker bulker = {RTCI_NET_BULKER, 0, l->session_id};
    struct rtci_net_part part = {&bulker, sizeof(bulker)};
    RTCI_IGNORE(rtci_socket_send(l->bulk, NULL, &part, 1) == 0);
    l->awake = AWAKE_ALL;
    l->bulk_ns = l->now_ns + (l->bulk_up ? BULK_NS : RTCI_DIAL_ASK_NS);
}

void rtci_link_flush(struct rtci_link *l, uint64_t now_ns)
{
    struct rtci_frame frame;
    const void *payload;
    size_t size;
    l->now_ns = now_ns;
    l->unsent = false;
    l->full_ns = UINT64_MAX;
    if (l->phase == RTCI_DIAL_HELLO && !l->renewing && now_ns >= l->hello_ns)
        say_hello(l);
    if (l->phase != RTCI_DIAL_UP || l->renewing)
        return;
    if (l->bulk_connected && now_ns >= l->bulk_ns)
        say_bulk_hello(l);
    while (rtci_session_next(l->session, now_ns, &frame, &payload, &size)) {
        struct rtci_net_part parts[] = {{&frame, sizeof(frame)}, {payload, size}};
        if (rtci_socket_send(l->control, NULL, parts, 2) != 0) {
            l->full_ns = now_ns + FULL_NS;
            return;
        }
        rtci_session_sent(l->session, now_ns);
        l->awake |= AWAKE_CONTROL; /* the call may have seen to what had come */
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t rtci_link_deadline(struct rtci_link *l)
{
    bool now = l->n_events || l->unsent;
    if (!now && l->awake & AWAKE_CONTROL && !(rtci_socket_ready(l->control) & ZMQ_POLLIN))
        l->awake &= ~AWAKE_CONTROL;
    if (!now && l->awake & AWAKE_BULK && !(rtci_socket_ready(l->bulk) & ZMQ_POLLIN))
        l->awake &= ~AWAKE_BULK;
    if (!now && l->awake & AWAKE_WATCHES &&
        !(rtci_socket_ready(l->control_watch.pair) & ZMQ_POLLIN) &&
        !(rtci_socket_ready(l->bulk_watch.pair) & ZMQ_POLLIN))
        l->awake &= ~AWAKE_WATCHES;
    now = now || l->awake;
    if (now)
        return 0;
    uint64_t due = rtci_dial_deadline(l);
    if (l->renewing)
        return due;
    if (l->phase == RTCI_DIAL_HELLO)
        due = earlier(due, l->hello_ns);
    if (l->phase == RTCI_DIAL_UP) {
        due = earlier(due, l->bulk_connected ? l->bulk_ns : UINT64_MAX);
        due =
            earlier(due, l->full_ns != UINT64_MAX ? l->full_ns : rtci_session_deadline(l->session));
    }
    return due;
}

static int send_frame(struct rtci_link *l, void *socket, const struct rtci_net_bulk *frame,
                      const void *head, size_t head_size, const void *data, size_t size)
{
    struct rtci_net_part parts[] = {{frame, sizeof(*frame)}, {head, head_size}, {data, size}};
    if (head_size + size > (frame->magic == RTCI_NET_CALL ? RTCI_CALL_MAX : RTCI_BULK_MAX))
        return RTC_E_TOO_LARGE;
    if (l->phase != RTCI_DIAL_UP || l->renewing)
        return RTC_E_DISCONNECTED;
    return rtci_socket_send(socket, NULL, parts, 3);
}

int rtci_link_bulk(struct rtci_link *l, uint32_t node, const void *head, size_t head_size,
                   const void *data, size_t size)
{
    struct rtci_net_bulk bulk = {RTCI_NET_BULK, 0, node, 0};
    if (!l->bulk_up)
        return head_size + size > RTCI_BULK_MAX ? RTC_E_TOO_LARGE : RTC_E_DISCONNECTED;
    l->awake = AWAKE_ALL;
    return send_frame(l, l->bulk, &bulk, head, head_size, data, size);
}

int rtci_link_call(struct rtci_link *l, uint32_t node, const void *head, size_t head_size,
                   const void *data, size_t size)
{
    struct rtci_net_bulk call = {RTCI_NET_CALL, 0, node, 0};
    l->awake |= AWAKE_CONTROL; /* the call may have seen to what had come */
    return send_frame(l, l->control, &call, head, head_size, data, size);
}

void rtci_link_signal(struct rtci_link *l, uint32_t fds)
{
    l->awake |= (fds & (AWAKE_CONTROL | AWAKE_BULK)) | (fds >> 2 ? AWAKE_WATCHES : 0);
}

uint64_t rtci_link_heard(const struct rtci_link *l)
{
    return l->heard_ns;
}
