/* What a light actor waits for from elsewhere: results of tasks and of other processes' actors, and
 * their deaths. Whichever thread of the host hears of it puts it into the actor's mailbox, so that
 * it goes on in a turn of its own. */
#include <stdlib.h>

#include "runtime/exec/light_host.h"

struct far {
    struct far *next, **link; /* of a monitor: in the list, by rtc's lock */
    rtci_light_id to;
    rtc_ref ref; /* kept until it ran; none: a monitor */
    void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg);
    void (*down_fn)(struct rtc *rtc, const struct rtc_down *down, void *arg);
    void *arg;
    uint64_t monitor;
    struct rtc_down down;
};
static struct far *monitors;

static void unlink_far(struct far *far)
{
    if (!far->link)
        return;
    *far->link = far->next;
    if (far->next)
        far->next->link = far->link;
    far->link = NULL;
}

void rtci_far_drop(void *arg)
{
    struct far *far = arg;
    if (far->ref.client)
        RTCI_IGNORE(rtc_release(rtci_lights.rtc, far->ref));
    free(far);
}

void rtci_far_run(void *arg)
{
    struct far *far = arg;
    if (far->fn)
        far->fn(rtci_lights.rtc, far->ref, far->arg);
    else
        far->down_fn(rtci_lights.rtc, &far->down, far->arg);
    rtci_far_drop(far);
}

static void post(struct far *far)
{
    if (rtci_light_push_block(rtci_light_ctx_now(), far->to, TAG_FAR, far, 0, rtci_far_drop))
        rtci_far_drop(far); /* it is dead */
}

static void on_result(struct rtc *rtc, rtc_ref ref, void *arg)
{
    (void)rtc, (void)ref;
    post(arg);
}

int rtci_far_then(struct run *run, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
                  void *arg)
{
    struct rtc *rtc = rtci_lights.rtc;
    struct far *far = calloc(1, sizeof(*far));
    if (!far)
        return rtci_error(RTC_E_NOMEM, "out of memory for a callback");
    int rc = rtci_enter(rtc);
    if (rc < 0) {
        free(far);
        return rc;
    }
    rc = rtci_retain_locked(rtc, ref);
    if (rc == 0) {
        *far = (struct far){.to = run->cell->id, .ref = ref, .fn = fn, .arg = arg};
        rc = rtci_then_locked(rtc, ref, on_result, far);
        if (rc < 0)
            RTCI_IGNORE(rtci_release_locked(rtc, ref));
    }
    if (rc < 0)
        free(far);
    rtci_chan_kick(rtc->chan); /* the first thread reads for all */
    rtci_leave(rtc);
    return rc;
}

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg)
{
    struct far *far = arg;
    far->down = *down;
    pthread_mutex_lock(&rtc->lock);
    unlink_far(far);
    pthread_mutex_unlock(&rtc->lock);
    post(far);
}

int rtci_far_monitor(struct run *run, rtc_actor actor,
                     void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                     uint64_t *ret_monitor)
{
    struct rtc *rtc = rtci_lights.rtc;
    struct far *far = calloc(1, sizeof(*far));
    if (!far)
        return rtci_error(RTC_E_NOMEM, "out of memory for a monitor");
    *far = (struct far){.to = run->cell->id, .down_fn = fn, .arg = arg};
    uint64_t number = 0;
    pthread_mutex_lock(&rtc->lock);
    far->next = monitors;
    far->link = &monitors;
    if (far->next)
        far->next->link = &far->next;
    monitors = far;
    pthread_mutex_unlock(&rtc->lock);
    run->plainly = true;
    int rc = rtc_monitor(rtc, actor, on_down, far, &number);
    run->plainly = false;
    pthread_mutex_lock(&rtc->lock);
    if (rc < 0) {
        unlink_far(far);
        free(far);
    } else { /* unless it has been called back */
        struct far *f = monitors;
        while (f && f != far)
            f = f->next;
        if (f)
            f->monitor = number;
    }
    pthread_mutex_unlock(&rtc->lock);
    if (rc == 0 && ret_monitor)
        *ret_monitor = number;
    return rc;
}

int rtci_far_demonitor(struct run *run, uint64_t monitor)
{
    struct rtc *rtc = rtci_lights.rtc;
    run->plainly = true;
    int rc = rtc_demonitor(rtc, monitor);
    run->plainly = false;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rtc->lock);
    struct far *far = monitors;
    while (far && far->monitor != monitor)
        far = far->next;
    if (far)
        unlink_far(far);
    pthread_mutex_unlock(&rtc->lock);
    free(far);
    return 0;
}
