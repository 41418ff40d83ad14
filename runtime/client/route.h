/* Calls and answers between two processes: how they get there.
 *
 * A *peer* is another process that this one calls, or that calls it. Two ways lead to it: by the
 * daemon of this host, or, on this host, by a lane. A lane is taken only when the daemon has heard
 * all that this process told it before: so that what somebody does because of a call or an answer
 * comes after what was done before it. What is sent one way may overtake what is sent the other: the
 * actor puts calls into their order, and the values of a stream go one way.
 */
#ifndef RTCI_CLIENT_ROUTE_H
#define RTCI_CLIENT_ROUTE_H

#include "runtime/client/client.h"

struct rtci_peer {
    uint32_t node, client; /* the client's number names it; node: where it was when it was last seen */
    uint32_t place;        /* in the channel's header, as one who calls this process; 0 = none yet */
    bool dialled;          /* … for a lane: answered, or not yet */
    uint8_t refused;       /* how often there was none */
    uint8_t ways;          /* that have something reserved and not sent */
    uint64_t dial_at_ns;   /* it is dialled again */
    struct lane *calls;    /* lane for our calls to it; NULL: none (yet) */
    struct lane *answers;  /* … for our answers to its calls */
};
struct rtci_spec;

/* Made when it is not there; NULL: out of memory. Never freed before the end. */
struct rtci_peer *rtci_peer_get(struct rtc *rtc, uint32_t node, uint32_t client);
/* Room for one ACTOR_CALL, to be filled and sent before the lock is dropped; NULL when there is none
 * now: the next rtci_block() with room may have changed that. *ret_lane_end: where it ends in the lane
 * (see rtci_lane_reserved); 0: it goes by the daemon. */
void *rtci_route_reserve(struct rtc *rtc, struct rtci_peer *peer, size_t size,
                         uint64_t *ret_lane_end);
/* The same for an ACTOR_REPLY, waiting for room. *by_daemon: it must go that way; set when it does. */
int rtci_route_reserve_reply(struct rtc *rtc, struct rtci_peer *peer, size_t size, bool *by_daemon,
                             void **ret_record) RTCI_MUST_USE;
/* Asks whether a process is there; the answer comes with this seq (RTCI_PROBE and more). */
void rtci_route_probe(struct rtc *rtc, uint32_t node, uint32_t client, uint64_t seq);
/* Publishes what was reserved for it, and wakes it. */
void rtci_route_send(struct rtc *rtc, struct rtci_peer *peer);
/* Whatever brought it, a call, note or answer goes to its reader by this. */
void rtci_route_record(struct rtc *rtc, const struct rtci_rec *rec);
/* An actor's process: the calls of this peer up to `order` were begun. What stands there is found by
 * whoever outlives the process. */
void rtci_route_begun(struct rtc *rtc, struct rtci_peer *peer, uint64_t order);
void rtci_route_called(struct rtc *rtc, struct rtci_peer *peer); /* none, so far as is known */
void rtci_routes_destroy(struct rtc *rtc);

#endif
