/* An ask that finds its node's queue full is dropped, and so is the rest of one whose node cannot
 * be reached: who asked asks again. */
#include "runtime/node/transfer_serve.h"

#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

static uint32_t peer_of(const struct rtci_serve *serve, uint32_t node)
{
    uint32_t i = 0;
    while (i < serve->n_peers && serve->peers[i]->node != node)
        i++;
    return i;
}

static void peer_remove(struct rtci_serve *serve, uint32_t i)
{
    free(serve->peers[i]);
    serve->peers[i] = serve->peers[--serve->n_peers];
}

static void say_gone(struct rtci_serve *serve, uint32_t node, uint64_t pull)
{
    struct rtci_bulk gone = {.magic = RTCI_BULK_MAGIC, .kind = RTCI_BULK_GONE, .pull = pull};
    (void)serve->ops->send(serve->arg, node, &gone, sizeof(gone), NULL, 0); /* or at the next ask */
}

/* Sends what the socket takes. 0: all is sent, or it is not here. */
static int serve_one(struct rtci_serve *serve, uint32_t node, struct rtci_ask *ask)
{
    while (ask->at < ask->end) {
        const void *data;
        uint64_t size, left = ask->end - ask->at;
        if (!serve->ops->find(serve->arg, &ask->blob, &data, &size) || size != ask->blob.size) {
            say_gone(serve, node, ask->pull);
            return 0;
        }
        struct rtci_bulk head = {.magic = RTCI_BULK_MAGIC,
                                 .kind = RTCI_BULK_CHUNK,
                                 .pull = ask->pull,
                                 .offset = ask->at,
                                 .size = left < RTCI_CHUNK_BYTES ? left : RTCI_CHUNK_BYTES};
        int rc = serve->ops->send(serve->arg, node, &head, sizeof(head),
                                  (const char *)data + ask->at, head.size);
        if (rc)
            return rc;
        serve->sent += head.size;
        ask->at += head.size;
    }
    return 0;
}

/* Returns false when the node has no asks any more. */
static bool serve_peer(struct rtci_serve *serve, struct rtci_asks *peer)
{
    uint32_t sent = 0;
    int rc = 0;
    while (sent < peer->n && (rc = serve_one(serve, peer->node, &peer->ask[sent])) == 0)
        sent++;
    if (rc && rc != RTC_E_AGAIN)
        return false;
    peer->n -= sent;
    memmove(peer->ask, peer->ask + sent, peer->n * sizeof(*peer->ask));
    return peer->n != 0;
}

void rtci_serve_more(struct rtci_serve *serve)
{
    for (uint32_t i = serve->n_peers; i-- > 0;) {
        if (!serve_peer(serve, serve->peers[i]))
            peer_remove(serve, i);
    }
}

static bool is_sane(const struct rtci_bulk_ask *ask)
{
    const struct rtci_blob *blob = &ask->blob;
    return (blob->kind == RTCI_BLOB_OBJECT || blob->kind == RTCI_BLOB_PROGRAM) &&
           ask->head.pull != 0 && ask->head.offset % RTCI_CHUNK_BYTES == 0 && ask->head.size != 0 &&
           ask->head.size <= RTCI_TRANSFER_PULL * RTCI_CHUNK_BYTES && blob->size <= INT64_MAX &&
           ask->head.offset < blob->size && ask->head.size <= blob->size - ask->head.offset;
}

bool rtci_serve_ask(struct rtci_serve *serve, uint32_t node, const struct rtci_bulk_ask *ask)
{
    if (!is_sane(ask))
        return false;
    uint32_t i = peer_of(serve, node);
    if (i == serve->n_peers) {
        if (serve->n_peers == serve->cap_peers) {
            uint32_t cap = serve->cap_peers ? serve->cap_peers * 2 : 8;
            struct rtci_asks **peers = realloc(serve->peers, cap * sizeof(struct rtci_asks *));
            if (!peers)
                return true;
            serve->peers = peers;
            serve->cap_peers = cap;
        }
        serve->peers[i] = malloc(sizeof(struct rtci_asks));
        if (!serve->peers[i])
            return true;
        serve->peers[i]->node = node;
        serve->peers[i]->n = 0;
        serve->n_peers++;
    }
    struct rtci_asks *peer = serve->peers[i];
    uint64_t at = ask->head.offset, end = at + ask->head.size;
    for (uint32_t k = 0; k < peer->n; k++) {
        const struct rtci_ask *known = &peer->ask[k];
        if (known->pull == ask->head.pull && known->at <= at && end <= known->end)
            return true; /* asked again while it waits here */
    }
    if (peer->n < RTCI_TRANSFER_ASKS)
        peer->ask[peer->n++] = (struct rtci_ask){ask->head.pull, at, end, ask->blob};
    if (!serve_peer(serve, peer))
        peer_remove(serve, i);
    return true;
}

void rtci_serve_node_gone(struct rtci_serve *serve, uint32_t node)
{
    uint32_t i = peer_of(serve, node);
    if (i < serve->n_peers)
        peer_remove(serve, i);
}

void rtci_serve_fini(struct rtci_serve *serve)
{
    while (serve->n_peers)
        peer_remove(serve, 0);
    free(serve->peers);
}
