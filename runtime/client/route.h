/* Calls and answers between two processes: how they get there.
 *
 * A *peer* is another process that this one calls, or that calls it. What is reserved for a peer
 * arrives there in the order in which it was sent. Today it goes by way of the daemon of this host; a
 * direct ring to a process of the same host goes below this.
 *
 * What this process told the daemon before (holds, objects made known) has been heard when the peer
 * sees the record: that is so by way of the daemon's ring. A direct way must wait until
 * rtci_chan_consumed() has passed rtci_chan_written(), or leave such a record to the other way. Calls
 * may overtake each other (they carry their order), answers too.
 */
#ifndef RTCI_CLIENT_ROUTE_H
#define RTCI_CLIENT_ROUTE_H

#include "runtime/client/client.h"

struct rtci_peer {
    uint32_t node, client; /* the client's number names it; node: where it was when it was last seen */
    uint32_t place; /* in the channel's header, as one who calls this process; 0 = none yet */
};

/* Made when it is not there; NULL: out of memory. Never freed before the end. */
struct rtci_peer *rtci_peer_get(struct rtc *rtc, uint32_t node, uint32_t client);
/* Room for one ACTOR_CALL or ACTOR_REPLY, to be filled and sent before the lock is dropped; NULL
 * when there is none now: the next rtci_block() with room may have changed that. */
void *rtci_route_reserve(struct rtc *rtc, struct rtci_peer *peer, size_t size);
/* Publishes what was reserved for it, and wakes it. */
void rtci_route_send(struct rtc *rtc, struct rtci_peer *peer);
/* The same, waiting for room. */
int rtci_route_reserve_wait(struct rtc *rtc, struct rtci_peer *peer, size_t size,
                            uint64_t deadline_ns, void **ret_record) RTCI_MUST_USE;
/* Whatever brought it, a call, note or answer goes to its reader by this. */
void rtci_route_record(struct rtc *rtc, const struct rtci_rec *rec);
/* An actor's process: the calls of this peer up to `order` were begun. What stands there is found by
 * whoever outlives the process. */
void rtci_route_begun(struct rtc *rtc, struct rtci_peer *peer, uint64_t order);
void rtci_routes_destroy(struct rtc *rtc);

#endif
