/* Between bridge.c and bridge_in.c. */
#ifndef RTCI_EXEC_BRIDGE_INTERNAL_H
#define RTCI_EXEC_BRIDGE_INTERNAL_H

#include "runtime/exec/bridge.h"

/* In a note's data; what it brings follows. */
struct envelope {
    uint8_t token[16];
    uint64_t number; /* 0: of a kind that is not numbered */
    uint32_t kind, from, index, pad;
    uint64_t call, round;
    uint64_t post; /* answered with NOTE_DONE; 0: what it brings is inside */
    uint64_t size;
};

struct parcel {
    struct rtci_parcel told;
    uint32_t refs;
    rtc_ref ref;  /* client 0: it is in `inside` */
    bool writing; /* made here, not sealed yet */
    bool foreign; /* … of another process, to which `post` is to be answered */
    uint32_t from;
    uint64_t post;
    _Alignas(16) char inside[];
};
struct post {
    struct post *next;
    uint64_t number;
    struct parcel *parcel;
};

/* ---- bridge.c ---- */
int rtci_bridge_enter(struct bridge *b) RTCI_MUST_USE; /* takes the lock of the handle */
/* One with a copy of these bytes; data may be NULL. NULL: out of memory. */
struct parcel *rtci_parcel_inside(const void *data, size_t size);
/* One reference less, with the lock. dead: nothing can be said any more. */
void rtci_parcel_discard(struct bridge *b, struct parcel *parcel, bool dead);

/* ---- bridge_in.c ---- */
void rtci_bridge_on_record(struct rtc *rtc, const struct rtci_rec *rec);
int rtci_bridge_receive(void *arg, struct rtci_letter *ret);
/* Drops what others are done with; with the lock. */
void rtci_bridge_drop_answered(struct bridge *b, bool dead);

#endif
