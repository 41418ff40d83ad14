/* The serving side of transfers: asks of other nodes, sent as their sockets take it. */
#ifndef RTCI_NODE_TRANSFER_SERVE_H
#define RTCI_NODE_TRANSFER_SERVE_H

#include "runtime/node/transfer.h"

struct rtci_ask {
    uint64_t pull, at, end; /* [at, end) is still to be sent */
    struct rtci_blob blob;
};
/* Asks of one node, oldest first. */
struct rtci_asks {
    uint32_t node, n;
    struct rtci_ask ask[RTCI_TRANSFER_ASKS];
};
struct rtci_serve {
    const struct rtci_transfer_ops *ops;
    void *arg;
    struct rtci_asks **peers; /* those with asks */
    uint32_t n_peers, cap_peers;
    uint64_t sent;
};

/* False when the frame makes no sense. */
bool rtci_serve_ask(struct rtci_serve *serve, uint32_t node, const struct rtci_bulk_ask *ask);
/* Sends on; what finds no room stays. */
void rtci_serve_more(struct rtci_serve *serve);
void rtci_serve_node_gone(struct rtci_serve *serve, uint32_t node);
void rtci_serve_fini(struct rtci_serve *serve);

#endif
