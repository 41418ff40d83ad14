/* The lanes of this process (runtime/shm/doorman.h): one to each process of this host that it calls,
 * one from each that calls it. Calls go out on the first kind, answers on the second. What cannot go
 * there goes by the daemon: the actor's process puts calls into their order (rtci_call.order).
 *
 * Needs the lock, all of it, but for rtci_lanes_want.
 */
#ifndef RTCI_CLIENT_LANES_H
#define RTCI_CLIENT_LANES_H

#include "runtime/client/client.h"
#include "runtime/client/route.h"

struct rtci_lanes;
struct lane; /* our end of one */

/* For rtci_chan_watch(), arg = rtc: the poller looks at this without the lock, while nobody drains. */
bool rtci_lanes_want(void *arg);
/* An actor's process: others may call it without the daemon; where that is not possible, with it. */
void rtci_lanes_listen(struct rtc *rtc);
/* The lane for calls to the peer, dialled when there is none; NULL: not yet, or never. */
struct lane *rtci_lane_to(struct rtc *rtc, struct rtci_peer *peer);
/* Room for a record; NULL when it is full. */
void *rtci_lane_reserve(struct lane *lane, size_t size);
void rtci_lane_send(struct lane *lane); /* publishes, and wakes the other side */
uint64_t rtci_lane_end(const struct lane *lane); /* rtci_lane_reserved() */
/* Handles what came, and what became of lanes. */
void rtci_lanes_drain(struct rtc *rtc);
void rtci_lanes_destroy(struct rtc *rtc);

#endif
