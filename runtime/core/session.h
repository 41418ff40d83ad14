/* A reliable session over links that lose, repeat and break.
 *
 * Each end numbers its messages from 1, keeps them until the other end has committed them, and
 * sends them again when it must. A link delivers whole frames, mostly in order; it may drop any
 * (ZeroMQ does at full queues and at reconnects), and after it was replaced frames of the old one
 * may still arrive among those of the new one. So every frame says which link it is of, the last
 * number that was sent, the last that was received in order, and the last that was committed:
 *   - a number beyond the next is a gap: the receiver asks for what is missing;
 *   - a new link begins with a SYNC of both ends: each goes on behind what the other has received;
 *   - acknowledgement follows the commit: an end that crashed is sent again what it had received
 * and not committed. Like the other machines it has no I/O and no clock: frames go in and come out,
 * the time is told. */
#ifndef RTCI_CORE_SESSION_H
#define RTCI_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/bounds.h"

#define RTCI_FRAME_MAGIC 0x46435452u /* "RTCF" */
/* One message: the largest record, and what may be wrapped around it on its way. */
#define RTCI_SESSION_MESSAGE_MAX (RTCI_RECORD_MAX + 64 * RTCI_KIB)

enum rtci_frame_kind { RTCI_FRAME_SYNC = 1, RTCI_FRAME_DATA, RTCI_FRAME_BEAT, RTCI_FRAME_AGAIN };

struct rtci_frame { /* little endian; the payload of DATA follows */
    uint32_t magic;
    uint16_t kind;  /* enum rtci_frame_kind */
    uint16_t reply; /* SYNC: an answer to one */
    uint64_t session;
    uint64_t link;      /* counts the links of the session, by the end that dials */
    uint64_t seq;       /* DATA: its number; else the last that was sent */
    uint64_t received;  /* in order */
    uint64_t committed; /* at most `received` */
};

enum rtci_session_state {
    RTCI_SESSION_DOWN, /* no link, or it has not been answered yet */
    RTCI_SESSION_UP,
    RTCI_SESSION_SUSPECT, /* its link broke, or it is silent; it may come back */
    RTCI_SESSION_DEAD,    /* silent for a lease: what it says is not listened to */
    RTCI_SESSION_BROKEN   /* the other end contradicted itself, or forgot what it had committed */
};
enum rtci_session_result {
    RTCI_SESSION_NOTHING,  /* nothing for the caller */
    RTCI_SESSION_MESSAGE,  /* the payload is the next message */
    RTCI_SESSION_REPEATED, /* it was received before */
    RTCI_SESSION_OTHER,    /* a frame of another session, or of an older link */
    RTCI_SESSION_INVALID   /* not a frame, or one that cannot be */
};

struct rtci_session_config {
    uint64_t id;
    bool dials;           /* this end makes the links */
    bool answers;         /* a beat is answered with one: where there are none but those that ask */
    size_t window;        /* bytes kept at most, headers included; at least one message */
    uint64_t beat_ns;     /* 0: 1 s, or a tenth of the lease; a frame at least so often */
    uint64_t retry_ns;    /* 0: 200 ms; for what was not answered */
    uint64_t silence_ns;  /* 0: 3 s, or 3 tenths of the lease; then the other end is suspected */
    uint64_t lease_ns;    /* 0: 10 s; then it is dead */
    uint64_t sent_before; /* resumed from what was stored: the last number that was sent, … */
    uint64_t committed_before; /* … and the last that this end had committed */
};
struct rtci_session;

/* NULL: out of memory. */
struct rtci_session *rtci_session_create(const struct rtci_session_config *config, uint64_t now_ns);
void rtci_session_free(struct rtci_session *session); /* NULL is fine */

/* Takes a copy. 0 and *ret_seq, its number; RTC_E_AGAIN: the window is full, until the other end
 * has committed more; RTC_E_TOO_LARGE; RTC_E_NOMEM. */
int rtci_session_send(struct rtci_session *session, const void *data, size_t size,
                      uint64_t *ret_seq);
/* What a message of one byte takes of the window, less that byte. */
size_t rtci_session_overhead(void);
/* Calls fn for each message that is kept: sent, and not known to be committed by the other end;
 * oldest first. */
void rtci_session_each(const struct rtci_session *session,
                       void (*fn)(void *arg, const void *data, size_t size), void *arg);
/* A frame came. ret_payload points into it; *ret_seq is its message's number. */
enum rtci_session_result rtci_session_receive(struct rtci_session *session, uint64_t now_ns,
                                              const void *frame, size_t size,
                                              const void **ret_payload, size_t *ret_size,
                                              uint64_t *ret_seq);
/* What was received up to this number is durable here. */
void rtci_session_commit(struct rtci_session *session, uint64_t seq);
/* A link was made (by the end that dials), or the one there was broke. */
void rtci_session_link_up(struct rtci_session *session, uint64_t now_ns);
void rtci_session_link_down(struct rtci_session *session, uint64_t now_ns);

/* The frame that is to go out next, if there is one: ret_frame, then ret_size bytes of payload,
 * valid until the next call. It stays the next until rtci_session_sent(): a link that is full is
 * tried again later. */
bool rtci_session_next(struct rtci_session *session, uint64_t now_ns, struct rtci_frame *ret_frame,
                       const void **ret_payload, size_t *ret_size);
void rtci_session_sent(struct rtci_session *session, uint64_t now_ns);
/* The end that dials learns the lease, and what follows from it, from the other one. */
void rtci_session_set_lease(struct rtci_session *session, uint64_t lease_ns);
/* How long the other end of one with that lease may be silent before it is suspected. */
uint64_t rtci_session_silence(uint64_t lease_ns);
/* This end did not look at its links for so long: the silence of that time means nothing. */
void rtci_session_paused(struct rtci_session *session, uint64_t gap_ns);
/* When rtci_session_next() is to be asked again though nothing happened. */
uint64_t rtci_session_deadline(const struct rtci_session *session);
enum rtci_session_state rtci_session_state(const struct rtci_session *session, uint64_t now_ns);

struct rtci_session_counts {
    uint64_t numbered, sent, received, committed, peer_committed; /* numbers; numbered: given out */
    uint64_t resent, repeated, gaps, links;
    size_t kept; /* bytes of the window in use */
};
void rtci_session_counts(const struct rtci_session *session,
                         struct rtci_session_counts *ret_counts);

#endif
