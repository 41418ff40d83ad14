/* A channel between one client process (driver, executor, tool) and the daemon of its host: two
 * single-producer single-consumer rings of records in one sealed memory file, each mapped twice in
 * a row so that a span never wraps, and doorbells.
 *
 * The memory file outlives both ends (the keeper holds it), so what stands in a ring survives a
 * kill -9 of either. The consumer takes a span out (`consume`) only when its effects are committed:
 * a position behind the consumer's tail *is* the acknowledgement.
 *
 * Trust: the daemon never trusts anything in the mapping. It reads positions once into locals,
 * checks their distance against the capacity, copies the span out, and validates the copy. A peer
 * that wrote nonsense gets RTC_E_PROTOCOL and is disconnected; nothing else is disturbed. The memory
 * file is sealed against shrinking, so no access can SIGBUS.
 */
#ifndef RTCI_SHM_CHAN_H
#define RTCI_SHM_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

enum rtci_chan_end {
    RTCI_CHAN_CLIENT,
    RTCI_CHAN_DAEMON,
    RTCI_CHAN_CALLER, /* of a lane: lane.h */
    RTCI_CHAN_CALLEE
};
struct rtci_chan;

/* An actor's process: of the calls of this client to it, those up to `begun` were begun. */
#define RTCI_CHAN_CALLERS 96u
struct rtci_chan_caller {
    uint32_t client, node; /* client 0 = free; written after the others */
    uint64_t begun;
};

/* What the two ends keep about the client in the mapping, for a restarted daemon. Written by the
 * daemon (but `attached`: by the executor); believed only after checks. */
struct rtci_chan_info {
    uint32_t role, client, job, pid;
    uint32_t slot, profile_cpus;
    uint64_t profile_gpus;
    uint32_t driver_token, shape_client, shape;
    uint32_t attached;     /* the executor reached rtc_init() */
    uint32_t daemon_epoch; /* counts restarts of the daemon; clients repeat open requests */
    uint32_t closed;       /* daemon: you were disconnected, RTC_E_* as positive number */
    uint64_t cancel_seq;   /* executor: the task it runs shall stop (0 = none) … */
    uint32_t cancel_client;/* … and its client */
    uint32_t stop;         /* executor: end after this task */
    /* Executor: if it is an actor that may be started elsewhere, it begins nothing when this is over
     * (rtci_clock_boot_ns(); 0: that time never comes). */
    uint64_t leased_ns;
    /* Executor: the task it runs, when its record was freed before its end because results it waits
     * for filled the ring (client 0: none; written last, cleared after its DONE is published). */
    uint64_t running_seq;
    uint32_t running_client, running_attempt, running_slot;
    uint32_t running_actor; /* enum rtci_chan_actor */
    uint32_t program; /* executor: of a driver on another host */
    uint32_t far;     /* executor: its driver is on another host */
    uint32_t more_callers; /* actor: there are more than fit in here */
    uint32_t node; /* the number of this one */
    struct rtci_chan_caller callers[RTCI_CHAN_CALLERS];
};

/* Creates the memory file (memfd, F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_SEAL) with rings of `bytes` each.
 * Returns the descriptor (close-on-exec) or a negative RTC_E_*. */
int rtci_chan_create(size_t bytes) RTCI_MUST_USE;
/* Maps it. Checks seals, size and magic first. Does not own fd. `bell_fd` is the daemon's eventfd
 * (CLIENT end: rung when the daemon sleeps). `wake_fd` may be -1: else, when the client announced
 * that it sleeps on a descriptor, the DAEMON end writes this eventfd instead of the futex. */
int rtci_chan_open(int fd, enum rtci_chan_end end, int bell_fd, int wake_fd,
                   struct rtci_chan **ret_chan) RTCI_MUST_USE;
/* The other end on the same mapping, which `chan` owns and must outlive: for two threads of one
 * process, so that ThreadSanitizer, which knows memory by its address, sees both. */
int rtci_chan_open_peer(struct rtci_chan *chan, int bell_fd, int wake_fd,
                        struct rtci_chan **ret_peer) RTCI_MUST_USE;
void rtci_chan_close(struct rtci_chan *chan); /* unmaps what it owns; NULL is fine */
volatile struct rtci_chan_info *rtci_chan_info(struct rtci_chan *chan);

/* ---- Producer ---- */
/* Room for `size` bytes (a multiple of 8, at most RTCI_RECORD_MAX) at the end of what is written;
 * NULL when the ring lacks it. Several reserves may follow each other before one publish. */
void *rtci_chan_reserve(struct rtci_chan *chan, size_t size);
/* Gives back the last `size` reserved bytes that are not wanted. */
void rtci_chan_unreserve(struct rtci_chan *chan, size_t size);
/* Makes everything reserved visible to the consumer. No doorbell. */
void rtci_chan_publish(struct rtci_chan *chan);
/* Wakes the consumer if it sleeps (one fence and one load when it does not). After publish. */
void rtci_chan_ring(struct rtci_chan *chan);
size_t rtci_chan_room(struct rtci_chan *chan);       /* bytes free now */
uint64_t rtci_chan_written(struct rtci_chan *chan);  /* total bytes ever published */
uint64_t rtci_chan_consumed(struct rtci_chan *chan); /* of those, taken out by the peer (= acked) */

/* ---- Consumer ---- */
/* What is readable beyond what was `advance`d over: a span in the mapping (the peer may still change
 * it: the daemon copies it). Sets *ret_len, possibly 0. RTC_E_PROTOCOL when positions are nonsense. */
int rtci_chan_peek(struct rtci_chan *chan, const void **ret_span, size_t *ret_len) RTCI_MUST_USE;
void rtci_chan_advance(struct rtci_chan *chan, size_t bytes); /* private read position */
void rtci_chan_consume(struct rtci_chan *chan);  /* publishes the read position: frees the room */
/* The private read position: total bytes ever advanced over. */
uint64_t rtci_chan_position(struct rtci_chan *chan);
/* Frees only what lies before `position` (at most the read position; going back does nothing): an
 * executor reads beyond the tasks it has not finished. Pointers into a peeked span stay valid until
 * their place is freed. */
void rtci_chan_consume_to(struct rtci_chan *chan, uint64_t position);
/* CLIENT end, lanes: true when there is something to peek; CLIENT end also when the daemon's epoch or
 * closed word changed. */
bool rtci_chan_readable(struct rtci_chan *chan);

/* CLIENT end: sleeps until readable, room of `room` bytes is free (0 = do not care), or the
 * deadline (absolute CLOCK_MONOTONIC ns, UINT64_MAX = none). Spins briefly first when spinning has
 * paid before. Returns 0, or RTC_E_TIMEOUT. Spurious returns of 0 are possible. Sleeps at most 1 s
 * at a time (returns 0), so that the caller can look whether the daemon's host process is alive. */
int rtci_chan_wait(struct rtci_chan *chan, size_t room, uint64_t deadline_ns) RTCI_MUST_USE;
/* CLIENT end: rtci_chan_wait() looks at this too, before it sleeps and while it spins: fn says
 * whether there is a reason to return. It runs in the thread that waits. Who makes it true
 * rings or kicks afterwards. Waiting for room elsewhere: room UINT64_MAX. */
void rtci_chan_watch(struct rtci_chan *chan, bool (*fn)(void *arg), void *arg);
/* CLIENT end: from now on wake me through wake_fd (an event loop polls it) until the next wait. */
void rtci_chan_arm_fd(struct rtci_chan *chan);
/* Any thread of the client: makes a rtci_chan_wait of another thread return, or the next one: who is
 * to be woken may not have begun to wait. Wakes who sleeps on wake_fd. */
void rtci_chan_kick(struct rtci_chan *chan);

/* DAEMON end: before sleeping: announces it on this channel. True when there is something to read
 * after all (then do not sleep). After waking: disarm. */
bool rtci_chan_arm(struct rtci_chan *chan);
void rtci_chan_disarm(struct rtci_chan *chan);

/* ---- Claims: TASK records in the ring to an executor. rec.flags of a TASK is its state word. ---- */
enum rtci_claim { RTCI_CLAIM_QUEUED = 0, RTCI_CLAIM_CLAIMED = 1, RTCI_CLAIM_RECALLED = 2 };
/* Executor: takes the task for itself; false when the daemon recalled it. `rec` is in the mapping. */
bool rtci_chan_claim(struct rtci_chan *chan, const void *rec);
/* DAEMON end: walks TASK records between the executor's consumed position and what was written, on
 * the daemon's own mapping, from oldest to newest, bounded and checked; calls fn for each with the
 * record (copied header only is safe) and its state. */
struct rtci_chan_task {
    uint64_t position;
    uint64_t seq;
    uint32_t client, attempt, slot, state;
    uint32_t actor; /* enum rtci_chan_actor */
};
enum rtci_chan_actor { RTCI_CHAN_NO_ACTOR, RTCI_CHAN_ACTOR, RTCI_CHAN_ACTOR_RESTARTS };
/* A task named by info.running_* comes first, as claimed. */
/* Fills at most `cap` of the newest-last list; returns how many there are, or RTC_E_PROTOCOL. */
int rtci_chan_tasks(struct rtci_chan *chan, struct rtci_chan_task *ret_tasks, uint32_t cap)
    RTCI_MUST_USE;
/* DAEMON end, of an actor's process that is gone: who called it, and how many of its calls were begun:
 * those that the process told of, then those whose calls it has not read. RTC_E_PROTOCOL as above. */
int rtci_chan_callers(struct rtci_chan *chan, struct rtci_chan_caller *ret_callers, uint32_t cap)
    RTCI_MUST_USE;
/* DAEMON end: QUEUED -> RECALLED for one of them; false when it was claimed meanwhile. */
bool rtci_chan_recall(struct rtci_chan *chan, const struct rtci_chan_task *task);

#endif
