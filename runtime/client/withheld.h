/* What an actor that saves its state says to others, before that state is saved.
 *
 * Calls stand in the queues of their actors and are not sent; tasks are written, as is what the head
 * has to know of them (objects that contain their references, cancels), but not into the ring. When a
 * save begins, the tasks go into the ring with it, in one piece: so the head gets both, or neither.
 * The calls leave when the save is committed (exec/actor_outbox.c). Who waits for something meanwhile
 * could wait for what was never said: then everything leaves at once.
 *
 * A task that the head does not know yet keeps its arguments, and its own futures, so that no release
 * comes before it. Everything here needs the lock. */
#ifndef RTCI_CLIENT_WITHHELD_H
#define RTCI_CLIENT_WITHHELD_H

#include "runtime/client/args.h"
#include "runtime/client/client.h"

struct call;
struct withheld {
    struct rtci_buf records; /* SUBMIT, PUT, CANCEL, as they go into the ring */
    uint64_t *calls;         /* by their results, in the order in which they were made */
    uint32_t n_calls, cap_calls;
    bool sending;  /* a thread does, and may have given the lock away */
    bool fetching; /* what is waited for is somewhere: nothing that is withheld brings it */
    /* A save that is under way is committed first. RTC_E_TIMEOUT. */
    int (*settle)(struct rtc *rtc, uint64_t deadline_ns);
};

static inline bool rtci_withheld_any(const struct rtc *rtc)
{
    return rtc->withheld && (rtc->withheld->n_calls || rtc->withheld->records.len);
}

/* It is time to save, so that all of it stands in the ring with the save. */
static inline bool rtci_withheld_much(const struct rtc *rtc)
{
    return rtc->withheld && rtc->withheld->records.len >= RTCI_MIB / 2;
}

/* ---- Withholding; rtc->withheld is there ---- */
void rtci_withhold_call(struct rtc *rtc, struct call *call);
/* Room for a record, where otherwise rtci_reserve() gives it. RTC_E_AGAIN: it is too much. */
int rtci_withhold_room(struct rtc *rtc, size_t size, void **ret_record) RTCI_MUST_USE;
void rtci_withhold_unroom(struct rtc *rtc, size_t size);
/* The task stands in that room, its futures are made. Its arguments were kept before. */
void rtci_withhold_task(struct rtc *rtc, uint64_t seq, uint32_t n_returns);
void rtci_withhold_args(struct rtc *rtc, const struct task_plan *task, bool keep);
/* One of these is not known to the head yet, and withheld. */
bool rtci_unsaid(struct rtc *rtc, const struct rtci_id *ids, size_t n);

/* ---- Leaving ---- */
/* Waits for room: the next rtci_withheld_send() need not, for what it sends in one piece. */
int rtci_withheld_room(struct rtc *rtc) RTCI_MUST_USE;
/* Sends the record, and with it what is withheld for the head. `kept`: nobody takes that back when
 * this process dies. */
int rtci_withheld_send(struct rtc *rtc, const void *record, bool kept) RTCI_MUST_USE;
/* These calls may go, in this order. */
void rtci_withheld_release(struct rtc *rtc, const uint64_t *calls, uint32_t n);
/* Another thread may sleep: the one that saves, or one that waits to send. */
void rtci_withheld_wake(struct rtc *rtc);
int rtci_speak_now(struct rtc *rtc, uint64_t deadline_ns) RTCI_MUST_USE;

/* Before a wait: everything leaves. */
static inline int rtci_speak(struct rtc *rtc, uint64_t deadline_ns)
{
    return RTCI_LIKELY(!rtc->withheld) ? 0 : rtci_speak_now(rtc, deadline_ns);
}
/* Before a wait for these; one that has no time looks whether they are there, which they never were if
 * they had not left. */
int rtci_speak_for(struct rtc *rtc, const rtc_ref *refs, size_t n,
                   uint64_t deadline_ns) RTCI_MUST_USE;

#endif
