#include "runtime/node/peering.h"

#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/net/direct.h"
#include "runtime/node/blobs.h"
#include "runtime/node/calling.h"

#define CALL_AFTER 8
#define TAKEN_MAX  64 /* frames; then the rest of the loop has its turn */

struct rtci_peering {
    struct rtci_daemon *daemon;
    struct rtci_direct *direct;
    bool all_here; /* the head is reached over loopback only: all of its nodes are on this host */
    uint64_t frames, bytes, calls; /* sent directly; calls: frames of them */
};

static bool over_loopback(const struct rtci_join *join)
{
    for (const char *at = join->addresses; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "127.", 4) != 0)
            return false;
    }
    return true;
}

static bool watch(struct rtci_peering *p)
{
    int fds[RTCI_FDS_MAX];
    uint32_t n = rtci_direct_fds(p->direct, fds);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= rtci_daemon_watch(p->daemon, fds[i], RTCI_TAG_DIRECT + i) != NULL;
    return ok;
}

int rtci_peering_open(struct rtci_daemon *daemon, const struct rtci_keys *keys,
                      const struct rtci_join *join, struct rtci_peering **ret_peering)
{
    const struct rtci_daemon_options *o = &daemon->options;
    struct rtci_peering *p = calloc(1, sizeof(*p));
    struct rtci_direct_config config = {.keys = *keys};
    char bind[64], port[16] = "*", text[RTCI_TEXT_MAX];
    if (!p)
        return RTC_E_NOMEM;
    p->daemon = daemon;
    p->all_here = over_loopback(join);
    if (o->peer_port > 0)
        snprintf(port, sizeof(port), "%d", o->peer_port);
    snprintf(bind, sizeof(bind), "tcp://%s:%s", p->all_here ? "127.0.0.1" : "*", port);
    if (!o->embedded && o->peer_port >= 0)
        config.bind = bind;
    int rc = rtci_direct_open(&config, &p->direct, text, sizeof(text));
    if (rc)
        fprintf(stderr, "rtc worker: for other nodes: %s\n", text);
    else if (!watch(p))
        rc = RTC_E_NOMEM;
    if (rc)
        rtci_peering_close(p);
    else
        *ret_peering = p;
    return rc;
}

void rtci_peering_close(struct rtci_peering *p)
{
    if (!p)
        return;
    if (p->frames || p->calls)
        RTCI_LOG(
            INFO, NODE,
            "%llu bytes in %llu frames, and %llu frames of calls, went directly to other nodes",
            (unsigned long long)p->bytes, (unsigned long long)p->frames,
            (unsigned long long)p->calls);
    rtci_direct_close(p->direct);
    free(p);
}

/* One address fits a hello: that of the interface which leads to the head. Where that is loopback
 * though the head has other addresses too, it would say nothing to others. */
void rtci_peering_welcome(struct rtci_peering *p, const char *head)
{
    uint16_t port = rtci_direct_port(p->direct);
    const char *given = p->daemon->options.address;
    char host[64] = "", list[RTCI_ADDRESS_MAX];
    rtci_direct_ask_again(p->direct);
    if (!given && rtci_address_towards(head, host, sizeof(host)) &&
        (p->all_here || strncmp(host, "127.", 4) != 0))
        given = host;
    rtci_addresses(given, port, list, sizeof(list));
    list[strcspn(list, ",")] = 0;
    rtci_node_core_set_address(p->daemon->node, port && strlen(list) < 64 ? list : "");
    if (port)
        RTCI_LOG(INFO, NODE, "other nodes may reach this one at %s", list);
}

void rtci_peering_record(struct rtci_peering *p, const struct rtci_rec *rec)
{
    const struct rtci_peer_at *peer = (const struct rtci_peer_at *)rec;
    if (p && peer->node != p->daemon->number)
        rtci_direct_add(p->direct, p->daemon->now_ns, peer->node, peer->address, peer->key);
}

void rtci_peering_signal(struct rtci_peering *p, uint32_t fds)
{
    rtci_direct_signal(p->direct, fds);
}

bool rtci_peering_take(struct rtci_peering *p)
{
    for (int n = 0; n < TAKEN_MAX; n++) {
        struct rtci_direct_event event = rtci_direct_take(p->direct, p->daemon->now_ns);
        switch (event.type) {
        case RTCI_DIRECT_NONE: return n != 0;
        case RTCI_DIRECT_UP: RTCI_LOG(INFO, NODE, "node %u is reached directly", event.node); break;
        case RTCI_DIRECT_DOWN:
            RTCI_LOG(INFO, NODE, "a direct connection to node %u was lost", event.node);
            rtci_daemon_bulk_again(p->daemon, event.node);
            rtci_calling_linked(p->daemon, event.node);
            break;
        case RTCI_DIRECT_BULK:
            rtci_daemon_bulk(p->daemon, event.node, event.data, event.size);
            break;
        case RTCI_DIRECT_CALL:
            rtci_calling_frame(p->daemon, event.node, event.data, event.size);
            if (n > CALL_AFTER)
                return true; /* it does not wait for what else may come */
            break;
        }
    }
    return true;
}

uint64_t rtci_peering_deadline(struct rtci_peering *p)
{
    return rtci_direct_deadline(p->direct);
}

/* There is no direct way: the head is asked for one, where it can be. */
static void want(struct rtci_peering *p, uint32_t node, bool ask)
{
    struct rtci_slot_msg rec = {{sizeof(rec), RTCI_R_PEER_WANT, 0}, node, 0};
    if (ask && rtci_direct_wants(p->direct, p->daemon->now_ns, node))
        rtci_buf_put(&p->daemon->actions.to_head, &rec, sizeof(rec));
}

int rtci_peering_send(struct rtci_peering *p, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size, bool ask)
{
    int rc = rtci_direct_send(p->direct, node, head, head_size, data, size);
    if (rc == 0) {
        p->frames++;
        p->bytes += head_size + size;
    }
    if (rc == RTC_E_DISCONNECTED)
        want(p, node, ask);
    return rc;
}

int rtci_peering_call(struct rtci_peering *p, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size, bool ask)
{
    int rc = rtci_direct_call(p->direct, node, head, head_size, data, size);
    p->calls += rc == 0;
    if (rc == RTC_E_DISCONNECTED)
        want(p, node, ask);
    return rc;
}
