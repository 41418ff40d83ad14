/* What leaves the hub: spans into sessions, their frames and bulk frames into the ROUTER. */
#include <rtc/error.h>
#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/net/peers.h"

#define WAITING_MAX  (64 * RTCI_MIB)      /* for room in one session */
#define GATHER_BYTES (32 * RTCI_KIB)      /* smaller spans are put together until the flush */
#define FULL_NS      (2 * RTCI_NS_PER_MS) /* then a full queue is tried again */

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
        hub->awake |= AWAKE_ROUTER; /* the call may have seen to what had come */
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
    bool now = hub->n_events || hub->cuts || hub->unsent || hub->check_at < hub->cap_peers;
    if (!now && hub->awake & AWAKE_ROUTER && !(rtci_socket_ready(hub->router) & ZMQ_POLLIN))
        hub->awake &= ~AWAKE_ROUTER;
    if (!now && hub->awake & AWAKE_ZAP && !(rtci_socket_ready(hub->zap) & ZMQ_POLLIN))
        hub->awake &= ~AWAKE_ZAP;
    if (!now && hub->awake & AWAKE_WATCH && !(rtci_socket_ready(hub->watch.pair) & ZMQ_POLLIN))
        hub->awake &= ~AWAKE_WATCH;
    now = now || hub->awake;
    if (now)
        return 0;
    return hub->n_peers && hub->check_ns < hub->due_ns ? hub->check_ns : hub->due_ns;
}

bool rtci_hub_queued(const struct rtci_hub *hub)
{
    return hub->n_events != 0;
}

void rtci_hub_signal(struct rtci_hub *hub, uint32_t fds)
{
    hub->awake |= fds & AWAKE_ALL;
}

void rtci_hub_drop(struct rtci_hub *hub, uint32_t node)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    if (p)
        rtci_peer_remove(hub, p);
}

uint64_t rtci_hub_relayed(const struct rtci_hub *hub)
{
    return hub->relayed;
}

int rtci_hub_bulk(struct rtci_hub *hub, uint32_t node, const void *head, size_t head_size,
                  const void *data, size_t size)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    struct rtci_net_bulk bulk = {RTCI_NET_BULK, RTCI_HEAD_NODE, node, 0};
    struct rtci_net_part parts[] = {{&bulk, sizeof(bulk)}, {head, head_size}, {data, size}};
    if (head_size + size > RTCI_BULK_MAX)
        return RTC_E_TOO_LARGE;
    if (!p || !p->has_bulk)
        return RTC_E_DISCONNECTED;
    int rc = rtci_socket_send(hub->router, p->bulk, parts, 3);
    hub->awake |= AWAKE_ROUTER;
    if (rc == RTC_E_DISCONNECTED)
        rtci_peer_unbind_bulk(hub, p);
    return rc;
}

int rtci_hub_call(struct rtci_hub *hub, uint32_t node, const void *head, size_t head_size,
                  const void *data, size_t size)
{
    struct rtci_peer *p = rtci_peer_of_node(hub, node);
    struct rtci_net_bulk call = {RTCI_NET_CALL, RTCI_HEAD_NODE, node, 0};
    struct rtci_net_part parts[] = {{&call, sizeof(call)}, {head, head_size}, {data, size}};
    if (head_size + size > RTCI_CALL_MAX)
        return RTC_E_TOO_LARGE;
    if (!p || !p->has_control)
        return RTC_E_DISCONNECTED;
    hub->awake |= AWAKE_ROUTER; /* the call may have seen to what had come */
    return rtci_socket_send(hub->router, p->control, parts, 3);
}
