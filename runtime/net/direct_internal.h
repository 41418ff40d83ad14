/* The inside of direct.c and direct_dial.c. */
#ifndef RTCI_NET_DIRECT_INTERNAL_H
#define RTCI_NET_DIRECT_INTERNAL_H

#include "runtime/base/bounds.h"
#include "runtime/base/map.h"
#include "runtime/net/direct.h"
#include "runtime/net/frames.h"
#include "runtime/net/sockets.h"

enum { IN, OUT, WAYS };             /* connections that the other made, and that were dialled */
enum { BULK, CALLS, LANES };        /* of each */
enum { OUT_CALLS = WAYS, SOCKETS }; /* IN, OUT and this */

#define AWAKE_SOCKET(i) (1u << (i))
#define AWAKE_WATCH(i)  (8u << (i))
#define AWAKE_WATCHES   56u
#define AWAKE_ZAP       64u
#define AWAKE_ALL       127u

struct lane {
    bool there;
    int fd;
    uint8_t rid[RTCI_RID_BYTES];
};
struct way {
    bool up; /* both are there */
    struct lane lanes[LANES];
};
struct peer {
    uint32_t node;
    bool known;             /* the head told its key */
    bool asked;             /* the head was asked, and has not answered */
    bool dialling, dialled; /* until `until_ns`; dialled: OUT has connections */
    bool came, went;        /* to be told */
    uint8_t key[RTCI_KEY_BYTES];
    char address[64], endpoint[80];
    struct way ways[WAYS];
    uint64_t next_ns, until_ns; /* of the dial */
    uint64_t again_ns;          /* out of reach until; 0: no */
};
struct rtci_direct {
    struct rtci_keys keys;
    void *context, *sockets[SOCKETS], *zap;
    struct rtci_watch watches[SOCKETS];
    uint16_t port;
    uint64_t now_ns, due_ns;
    struct peer *peers;
    uint32_t n_peers, cap_peers;
    struct rtci_map nodes, users, dials; /* to peers */
    uint32_t n_dials, n_dialling, n_tell, takes;
    zmq_msg_t in;
    struct rtci_buf copy;
    uint32_t awake; /* what may have something: was told so, or was used since it was empty */
    uint32_t fd_bits[RTCI_FDS_MAX];
};

void *rtci_direct_socket(const struct rtci_direct *d, int way, int lane);
bool rtci_direct_is_up(const struct peer *p);
uint64_t rtci_direct_rid(const uint8_t *rid); /* as a number */
void rtci_direct_way_end(struct way *way);
void rtci_direct_hang_up(struct rtci_direct *d, struct peer *p);
void rtci_direct_dial(struct rtci_direct *d, struct peer *p);
void rtci_direct_dial_end(struct rtci_direct *d, struct peer *p);
void rtci_direct_timers(struct rtci_direct *d);
int rtci_direct_say(struct rtci_direct *d, int way, int lane, const uint8_t *rid, uint32_t what);

#endif
