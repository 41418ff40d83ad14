/* The inside of a hub: who is joined, and by which connections. A connection has the routing id
 * that the ROUTER gave it, which no client chooses and no other ever gets; so two that claim to be
 * one are still two here, and nobody can take over what is sent to another. Who it is, is said by
 * the key with which each of its messages was encrypted. */
#ifndef RTCI_NET_PEERS_H
#define RTCI_NET_PEERS_H

#include "runtime/base/buf.h"
#include "runtime/base/map.h"
#include "runtime/net/frames.h"
#include "runtime/net/sockets.h"

#define RTCI_USER_DIGITS 64

struct rtci_peer {
    struct rtci_peer *next_dirty; /* it may have something to send or to commit */
    bool dirty, taken;            /* taken: messages since the last commit */
    uint32_t slot, node;
    uint8_t key[RTCI_KEY_BYTES];
    char user[RTCI_USER_DIGITS + 1]; /* the key, as messages carry it */
    uint64_t session_id, instance;
    struct rtci_session *session;
    struct rtci_net_hello hello;
    char address[64];
    uint8_t control[RTCI_RID_BYTES], bulk[RTCI_RID_BYTES];
    bool has_control, has_bulk;
    int fd;           /* of control; -1: none */
    bool cut, broken; /* its connection ended, and that has (not) been told */
    uint64_t heard_ns;
    uint64_t rival, rival_ns; /* another instance with its key, and since when that asks */
    struct rtci_buf out;      /* a span that waits for room in the session */
    size_t out_at;
};

struct rtci_hub_fd { /* by descriptor */
    bool open;
    uint32_t slot; /* + 1; 0: of nobody yet */
    char address[64];
};

#define RTCI_HUB_EVENTS 16

struct rtci_hub {
    struct rtci_hub_config config;
    void *context, *router, *zap;
    struct rtci_watch watch;
    uint16_t port;
    uint64_t now_ns;
    struct rtci_peer **peers; /* by slot; NULL: free */
    uint32_t n_peers, cap_peers;
    struct rtci_map keys, nodes, controls, bulks; /* to slots */
    struct rtci_hub_fd *fds;
    uint32_t n_fds;
    struct rtci_peer *dirty;
    uint64_t due_ns;   /* of the first of the sessions' deadlines */
    uint64_t check_ns; /* when to look for silent ones */
    uint32_t check_at; /* how far that is; cap_peers: done */
    uint32_t cuts;     /* peers with `cut` */
    uint64_t took_ns; /* when events were asked for last */
    bool unsent;
    uint32_t awake; /* bits as rtci_hub_fds: may have something, was told so or used since empty */
    struct rtci_hub_event events[RTCI_HUB_EVENTS]; /* to be taken */
    uint32_t first_event, n_events;
    zmq_msg_t in; /* what the events' data point into */
    struct rtci_buf copy;
    uint32_t takes;
    const char *failure; /* a handshake failed; whose is said next */
    uint64_t refused_ns, renewed_ns;
    uint32_t refused, renewed; /* in that second */
    uint64_t suppressed, ignored, relayed;
};

#define AWAKE_ROUTER 1u
#define AWAKE_ZAP    2u
#define AWAKE_WATCH  4u
#define AWAKE_ALL    7u

struct rtci_arrival { /* a message, and what is known of who sent it */
    uint8_t rid[RTCI_RID_BYTES];
    const char *user, *address;
    int fd;
    const uint8_t *data;
    size_t size;
};

struct rtci_hub_event *rtci_hub_emit(struct rtci_hub *hub, enum rtci_hub_type type, uint32_t node);
/* Somebody was refused: for the log, some a second. */
void rtci_hub_complain(struct rtci_hub *hub, const char *fmt, ...) RTCI_PRINTF(2, 3);
void rtci_hub_watch(struct rtci_hub *hub); /* takes what the monitor has */
void rtci_hub_arrived(struct rtci_hub *hub, const struct rtci_arrival *arrival);

void rtci_user_key(const char *user, uint8_t ret_key[RTCI_KEY_BYTES]);
struct rtci_peer *rtci_peer_of_key(const struct rtci_hub *hub, const char *user);
struct rtci_peer *rtci_peer_of_node(const struct rtci_hub *hub, uint32_t node);
struct rtci_peer *rtci_peer_of_rid(const struct rtci_hub *hub, const struct rtci_map *map,
                                   const uint8_t *rid, const char *user);
/* NULL: out of memory. One of the same node is removed. */
struct rtci_peer *rtci_peer_add(struct rtci_hub *hub, const char *user, uint32_t node,
                                const struct rtci_net_hello *hello);
void rtci_peer_remove(struct rtci_hub *hub, struct rtci_peer *peer);
bool rtci_peer_bind(struct rtci_hub *hub, struct rtci_peer *peer,
                    const struct rtci_arrival *arrival);
bool rtci_peer_bind_bulk(struct rtci_hub *hub, struct rtci_peer *peer, const uint8_t *rid);
void rtci_peer_unbind_bulk(struct rtci_hub *hub, struct rtci_peer *peer);
void rtci_peer_touch(struct rtci_hub *hub, struct rtci_peer *peer);
void rtci_peer_cut(struct rtci_hub *hub, struct rtci_peer *peer);

#endif
