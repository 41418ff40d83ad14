/* What members of a group on different hosts say to each other: notes from process to process, by way
 * of the nodes' daemons. What is large is an object, which the other host's node pulls; the note names
 * it, and it is kept until the other member says that it is done with it. A note may come twice (a
 * daemon was started again): they are numbered. */
#ifndef RTCI_EXEC_BRIDGE_H
#define RTCI_EXEC_BRIDGE_H

#include "runtime/client/client.h"
#include "runtime/collective/collective.h"

struct parcel;
struct post;
struct mail { /* a note that has come */
    struct mail *next;
    struct rtci_letter letter;
    uint32_t node, client; /* of who sent it */
    struct parcel *parcel;
    bool asked;         /* for the object */
    uint64_t failed_ns; /* it cannot be had, since then */
};
struct bridge {
    struct bridge *next;
    struct rtc *rtc; /* NULL: it was shut down */
    uint8_t token[16];
    uint32_t rank, size, number;
    size_t inline_max; /* of a parcel that goes inside a note */
    struct {
        uint32_t node, client; /* client 0: not known yet */
        uint64_t sent, seen;   /* numbers of notes */
        uint32_t gone;         /* answers to probes, not told yet */
        bool lost;             /* a note from it is missing */
    } at[RTCI_COLLECTIVE_RANKS_MAX];
    char why[128]; /* a process is gone */
    struct mail *mails, **mails_end;
    struct post *posts;    /* not answered yet */
    struct post *answered; /* … whose parcels are still to be dropped */
    size_t n_posts;
    uint64_t last_post;
    uint32_t n_new; /* notes that came since the last look */
};

/* Kinds of notes, beside those of the collective's letters. */
enum bridge_note {
    NOTE_DONE = 100, /* `call`: a parcel of the receiver is not needed any more */
    NOTE_HELLO,      /* to rank 0: a member of another host */
    NOTE_TABLE,      /* from rank 0: who is where */
    NOTE_REFUSED,    /* … or why not */
    NOTE_MEET,       /* from the leader of a host to the members there: where to meet */
    NOTE_BYE,        /* to rank 0: not any more */
};
#define NOTE_ALONE NOTE_HELLO /* from there on: not numbered */

extern const struct rtci_bridge rtci_bridge;

/* Notes with this token are kept from now on. NULL: out of memory. */
struct bridge *rtci_bridge_open(struct rtc *rtc, const uint8_t token[16], uint32_t rank,
                                uint32_t size);
void rtci_bridge_close(struct bridge *bridge); /* NULL is fine */
/* The handle is shut down: its groups can do nothing any more. */
void rtci_bridges_close(struct rtc *rtc);
/* A note with these bytes, to a rank whose place is known, or to any process. */
int rtci_bridge_note(struct bridge *bridge, uint32_t rank, uint32_t kind, const void *data,
                     size_t size) RTCI_MUST_USE;
int rtci_bridge_note_to(struct bridge *bridge, uint32_t node, uint32_t client, uint32_t kind,
                        const void *data, size_t size) RTCI_MUST_USE;
/* The next note of the joining kinds, to be freed with rtci_bridge_free(); NULL: none has come. Its
 * data: letter.parcel. */
struct mail *rtci_bridge_take(struct bridge *bridge, uint32_t kind);
void rtci_bridge_free(struct bridge *bridge, struct mail *mail);
int rtci_bridge_read(struct bridge *bridge) RTCI_MUST_USE; /* what stands in the ring */
int rtci_bridge_wait(struct bridge *bridge, uint64_t until_ns) RTCI_MUST_USE;

#endif
