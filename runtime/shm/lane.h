/* Lanes: channels between two processes of one host, a caller and a callee, that pass no daemon.
 *
 * A lane is a memory file as a channel's, and its ends are used with the functions of chan.h. But
 * neither end sleeps on it: a process sleeps in rtci_chan_wait() of its channel to the daemon only,
 * which looks at its lanes too (rtci_chan_watch), and whoever writes into a lane wakes the other
 * process there. For that each hands the other the memory file of its own channel and, if it has
 * one, its wake eventfd; of the file the peer maps one page, that with the words to sleep on.
 *
 * Trust: as in chan.h, at both ends. Copy, then check, then use.
 */
#ifndef RTCI_SHM_LANE_H
#define RTCI_SHM_LANE_H

#include "runtime/shm/chan.h"

struct rtci_wake_words;

/* How to wake a process that sleeps in rtci_chan_wait(), or on its rtc_fd(). */
struct rtci_waker {
    struct rtci_wake_words *words;
    int fd; /* eventfd, or -1 */
};
/* From the memory file of its channel, which stays the caller's; wake_fd becomes the waker's on
 * success. RTC_E_PROTOCOL, RTC_E_VERSION when it is none; RTC_E_NOMEM. */
int rtci_waker_open(int chan_fd, int wake_fd, struct rtci_waker *ret_waker) RTCI_MUST_USE;
/* Of a process that is this one: valid as long as chan; not to be closed. */
struct rtci_waker rtci_waker_of(struct rtci_chan *chan);
void rtci_waker_close(struct rtci_waker *waker); /* zeroed is fine */

/* An end (CALLER or CALLEE) of the lane in the file. Does not own fd, nor what is in `peer`, which
 * must outlive it. Errors: as rtci_chan_open(). */
int rtci_lane_open(int fd, enum rtci_chan_end end, const struct rtci_waker *peer,
                   struct rtci_chan **ret_lane) RTCI_MUST_USE;
/* The other end on the same mapping: as rtci_chan_open_peer(). */
int rtci_lane_open_peer(struct rtci_chan *lane, const struct rtci_waker *peer,
                        struct rtci_chan **ret_peer) RTCI_MUST_USE;

/* Producer: when everything is taken out and much of the ring lies behind, goes on at its start: so
 * that as little memory is touched as is needed at a time. Not between a reserve and its publish. The
 * consumer sees a record of type RTCI_LANE_SKIP, which may be longer than others, and steps over it. */
#define RTCI_LANE_SKIP 0xffffu
void rtci_lane_rewind(struct rtci_chan *lane);
size_t rtci_lane_capacity(const struct rtci_chan *lane); /* the largest record that can be reserved */
/* Producer: where what was reserved ends. When the other side is gone, what ends beyond
 * rtci_chan_consumed() never reached it. */
uint64_t rtci_lane_reserved(const struct rtci_chan *lane);

#endif
