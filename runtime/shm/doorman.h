/* The doorman of a process makes its lanes (lane.h) and watches them, in a thread of its own: so no
 * call waits for a handshake, and the death of the other side is known also where nobody waits.
 *
 * Where they meet follows from what both know: a process that can be called listens on an abstract
 * local socket whose name is made of the node's arena (the inode of its memory file) and the
 * process's client number. The caller dials and sends a struct rtci_lane_hello with the descriptors
 * {memory of the lane, memory of its channel, its wake eventfd if it has one}; the answer is a
 * struct rtci_lane_answer with {memory of the callee's channel, its wake eventfd if it has one}. The
 * socket then stays open and silent: its EOF is the death of the other side, or of the lane.
 *
 * Trust: the other side must be of the same user (the kernel says so), and its messages, sizes,
 * seals and numbers are checked. Garbage ends that lane, nothing else; why says so.
 *
 * Threads: rtci_doorman_dial, _next and _retire, and the rings, belong to whoever owns the process's
 * channel (struct rtc's lock); rtci_doorman_news to any thread.
 */
#ifndef RTCI_SHM_DOORMAN_H
#define RTCI_SHM_DOORMAN_H

#include <stdatomic.h>

#include "runtime/shm/lane.h"

#define RTCI_LANE_MAGIC    0x314c5452u /* "RTL1" */
#define RTCI_LANE_WHY_MAX  120u

struct rtci_lane_hello {
    uint32_t magic, version; /* RTCI_WIRE_VERSION */
    uint32_t client;         /* of the caller */
    uint32_t callee;         /* whom it wants to call */
    uint64_t arena;          /* of its node */
};
struct rtci_lane_answer {
    uint32_t magic, version;
    int32_t status; /* 0, or RTC_E_* */
    uint32_t client;
    char why[RTCI_LANE_WHY_MAX]; /* it was refused */
};
/* 0, or why a message of the other side is none; the sentence has room for RTCI_LANE_WHY_MAX. Any
 * bytes may be passed. */
int rtci_lane_hello_check(const struct rtci_lane_hello *hello, uint32_t n_fds, uint64_t arena,
                          uint32_t client, char *ret_why) RTCI_MUST_USE;
int rtci_lane_answer_check(const struct rtci_lane_answer *answer, uint32_t n_fds, uint32_t callee,
                           char *ret_why) RTCI_MUST_USE;

enum rtci_lane_state {
    RTCI_LANE_MEETING, /* the other side has not answered yet */
    RTCI_LANE_OPEN,
    RTCI_LANE_REFUSED, /* there will be none; why says why not */
    RTCI_LANE_CLOSING, /* it shall end. The callee takes nothing out any more and retires it; the
                        * caller writes nothing more and waits until it is DEAD */
    RTCI_LANE_DEAD     /* the other process is gone, or has retired it. What it wrote before may be
                        * read; what it has not taken out of our ring it never will */
};
struct rtci_lane {
    _Atomic int state;      /* written by the doorman; acquire */
    bool caller;            /* our end of it */
    uint32_t peer;          /* the other side's client number */
    uint32_t pid;           /* … and process, if it is visible here; from OPEN on */
    struct rtci_chan *ring; /* from OPEN on */
    void *owner;            /* the owner's to use */
    char why[RTCI_LANE_WHY_MAX];
};

struct rtci_doorman;
struct rtci_doorman_config {
    uint64_t arena;         /* which node: inode of the arena's memory file */
    uint32_t client;        /* which process */
    int chan_fd;            /* memory of its channel; duplicated */
    int wake_fd;            /* or -1; duplicated */
    struct rtci_chan *chan; /* kicked when there is news; must outlive the doorman */
};
/* Starts the thread. RTC_E_OS, RTC_E_NOMEM. */
int rtci_doorman_start(const struct rtci_doorman_config *config,
                       struct rtci_doorman **ret_doorman) RTCI_MUST_USE;
/* Ends the thread and closes all lanes. NULL is fine. */
void rtci_doorman_stop(struct rtci_doorman *doorman);
/* From now on others can call us. RTC_E_OS, RTC_E_EXISTS: somebody else has the name. */
int rtci_doorman_listen(struct rtci_doorman *doorman) RTCI_MUST_USE;

/* A lane to the process with that number: at once, MEETING. NULL: no memory, or too many lanes. */
struct rtci_lane *rtci_doorman_dial(struct rtci_doorman *doorman, uint32_t callee);
/* True when a state has changed or a lane has come since it was last cleared: before looking. */
bool rtci_doorman_news(struct rtci_doorman *doorman);
void rtci_doorman_news_clear(struct rtci_doorman *doorman);
/* A lane that others opened to us, OPEN or already DEAD; NULL: no more. */
struct rtci_lane *rtci_doorman_next(struct rtci_doorman *doorman);
/* The owner does not use it any more; the other side sees it die, once nothing is taken out of it
 * any more: then, not before. The pointer is invalid at once. */
void rtci_doorman_retire(struct rtci_doorman *doorman, struct rtci_lane *lane);

#endif
