/* Connections from node to node, for calls and bulk frames: what two nodes send each other need not
 * pass the head where one of them can reach the other.
 *
 * A node listens on one port, with its own key, and lets in only keys that the head has told it. It
 * dials the nodes that it was told the address of: two connections, so that calls do not stand behind
 * bulk frames. They carry frames both ways, so it is enough that one of the two nodes can be reached.
 * A way counts when a question and its answer have gone over both; from the loss of one on nothing is
 * sent on it. Who a frame is from, is said by the key of its connection.
 *
 * One thread uses it, as with hub and link: take until there is nothing more, ask for the deadline
 * last before sleeping on the descriptors. Nothing blocks.
 */
#ifndef RTCI_NET_DIRECT_H
#define RTCI_NET_DIRECT_H

#include "runtime/net/net.h"

#define RTCI_DIRECT_DIAL_NS  (1500 * 1000000ull)      /* then a node counts as out of reach … */
#define RTCI_DIRECT_AGAIN_NS (5 * 60 * 1000000000ull) /* … so long, or until its address changes \
                                                       */

enum rtci_direct_state {
    RTCI_DIRECT_UNKNOWN, /* nothing is known of that node, or its connection was lost */
    RTCI_DIRECT_DIALING,
    RTCI_DIRECT_LINKED,
    RTCI_DIRECT_RELAYED, /* it cannot be reached */
};

struct rtci_direct;
struct rtci_direct_config {
    struct rtci_keys keys;
    const char *bind; /* "tcp://" with address and port, "*" for any; NULL: it does not listen */
};
enum rtci_direct_type {
    RTCI_DIRECT_NONE,
    RTCI_DIRECT_UP,   /* frames to `node` go directly now */
    RTCI_DIRECT_DOWN, /* a connection to `node` was lost, with what was on its way */
    RTCI_DIRECT_BULK, /* data, size: a frame of node `node` */
    RTCI_DIRECT_CALL, /* the same on the way of calls */
};
struct rtci_direct_event {
    enum rtci_direct_type type;
    uint32_t node;
    const void *data; /* aligned to 8; valid until the next call */
    size_t size;
};

/* RTC_E_OS with a sentence (the port is in use). */
int rtci_direct_open(const struct rtci_direct_config *config, struct rtci_direct **ret_direct,
                     char *ret_text, size_t size) RTCI_MUST_USE;
void rtci_direct_close(struct rtci_direct *direct);          /* NULL is fine */
uint16_t rtci_direct_port(const struct rtci_direct *direct); /* 0: it does not listen */
uint32_t rtci_direct_fds(struct rtci_direct *direct, int ret_fds[RTCI_FDS_MAX]);
struct rtci_direct_event rtci_direct_take(struct rtci_direct *direct, uint64_t now_ns);
void rtci_direct_signal(struct rtci_direct *direct, uint32_t fds); /* as rtci_hub_signal */
uint64_t rtci_direct_deadline(struct rtci_direct *direct);

/* The head says who that node is, and where it can be reached ("": nowhere). It may connect from
 * now on; and it is dialled, if there is no way to it and it is not known to be out of reach. What
 * another key had under this number ends. */
void rtci_direct_add(struct rtci_direct *direct, uint64_t now_ns, uint32_t node,
                     const char *address, const uint8_t key[RTCI_KEY_BYTES]);
/* Should the head be asked about that node? True once, and again after a loss or when it is time to
 * try once more. */
bool rtci_direct_wants(struct rtci_direct *direct, uint64_t now_ns, uint32_t node);
/* What was asked and not answered is asked again: the head is another one. */
void rtci_direct_ask_again(struct rtci_direct *direct);
/* A frame; best effort. RTC_E_AGAIN: full, RTC_E_DISCONNECTED: there is no direct way now. */
int rtci_direct_send(struct rtci_direct *direct, uint32_t node, const void *head, size_t head_size,
                     const void *data, size_t size) RTCI_MUST_USE;
int rtci_direct_call(struct rtci_direct *direct, uint32_t node, const void *head, size_t head_size,
                     const void *data, size_t size) RTCI_MUST_USE;
enum rtci_direct_state rtci_direct_state(const struct rtci_direct *direct, uint32_t node);

#endif
