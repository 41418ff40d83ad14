/* Cancelling tasks, and waiting for acknowledgement. */
#include "runtime/client/light.h"
#include "runtime/client/submit.h"
#include "runtime/client/withheld.h"

int rtci_cancel_locked(struct rtc *rtc, rtc_ref ref, unsigned flags)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (!slot)
        return rc;
    if (rtci_slot_done(slot) || (slot->flags & SLOT_PUT))
        return 0; /* finished: nothing to cancel */
    if (slot->flags & SLOT_CALL)
        return rtci_call_cancel(rtc, slot);
    struct rtci_cancel cancel = {.rec = {.size = sizeof(cancel), .type = RTCI_R_CANCEL},
                                 .id = rtci_id_of(ref),
                                 .mode = flags};
    cancel.id.index = 0;
    if (RTCI_UNLIKELY(slot->ran == SLOT_UNSAID)) { /* leaves with the task */
        void *at;
        RTCI_TRY(rtci_withhold_room(rtc, sizeof(cancel), &at));
        memcpy(at, &cancel, sizeof(cancel));
        return 0;
    }
    return rtci_send_record(rtc, &cancel);
}

int rtc_cancel(struct rtc *rtc, rtc_ref ref, unsigned flags)
{
    if (flags & ~(unsigned)(RTC_CANCEL_FORCE | RTC_CANCEL_NO_CHILDREN))
        return rtci_error(RTC_E_INVALID, "flags = %u are unknown", flags);
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_cancel_locked(rtc, ref, flags);
    rtci_leave(rtc);
    return rc;
}

static int not_all(int rc)
{
    return rtci_error(rc, "not everything was acknowledged: the timeout of the call passed");
}

static int flush_locked(struct rtc *rtc, uint64_t deadline_ns)
{
    RTCI_TRY(rtci_speak(rtc, deadline_ns));
    while (
        rtci_actors_queued(rtc)) { /* calls that wait for their actor to live, or for arguments */
        int rc = rtci_block(rtc, 0, deadline_ns);
        if (rc < 0)
            return rc == RTC_E_TIMEOUT ? not_all(rc) : rc;
    }
    rtci_flush_releases(rtc);
    rtci_send(rtc);
    uint64_t target = rtci_chan_written(rtc->chan);
    for (;;) {
        uint64_t consumed = rtci_chan_consumed(rtc->chan);
        if (consumed >= target)
            return 0;
        /* Wakes when the daemon has taken out everything up to the target. */
        size_t room = rtci_chan_room(rtc->chan) + (size_t)(target - consumed);
        int rc = rtci_block(rtc, room, deadline_ns);
        if (rc == RTC_E_TIMEOUT && rtci_chan_consumed(rtc->chan) < target)
            return not_all(rc);
        if (rc < 0 && rc != RTC_E_TIMEOUT)
            return rc;
    }
}

int rtc_flush(struct rtc *rtc, int64_t timeout)
{
    if (rtc && rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "rtc_flush()");
    RTCI_TRY(rtci_enter(rtc));
    int rc = flush_locked(rtc, rtci_deadline(timeout));
    rtci_leave(rtc);
    return rc;
}
