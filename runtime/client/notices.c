/* What comes in without being asked for, and what runs when it does: output of tasks, progress,
 * callbacks, the descriptor for event loops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/withheld.h"

void rtci_on_notice(struct rtc *rtc, const struct rtci_notice *notice)
{
    if (rtc->quiet || rtc->executor)
        return;
    char prefix[96];
    if (notice->rec.type == RTCI_R_LOG)
        snprintf(prefix, sizeof(prefix), "(%.48s pid=%u) ", rtc->name, notice->pid);
    else
        snprintf(prefix, sizeof(prefix), "(rtc) ");
    const char *at = (const char *)(notice + 1), *end = at + notice->text_len;
    flockfile(stderr);
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((line_end ? line_end : end) - at);
        fprintf(stderr, "%s%.*s\n", prefix, (int)len, at);
        at += len + 1;
    }
    funlockfile(stderr);
}

void rtci_on_progress(struct rtc *rtc, const struct rtci_progress *progress)
{
    if (!rtc->on_progress)
        return;
    struct progress *p = malloc(sizeof(*p) + progress->text_len + 1);
    if (!p)
        return;
    p->next = NULL;
    p->ref = rtci_ref_of(progress->id);
    p->fraction = progress->fraction;
    memcpy(p->text, progress + 1, progress->text_len);
    p->text[progress->text_len] = '\0';
    *rtc->progress_tail = p;
    rtc->progress_tail = &p->next;
}

/* The slot became done: its callbacks are to run at the end of the call that found out. */
void rtci_on_done_slot(struct rtc *rtc, rtc_ref ref)
{
    struct then **at = &rtc->thens;
    while (*at) {
        struct then *then = *at;
        if (then->ref.seq != ref.seq || then->ref.client != ref.client ||
            then->ref.index != ref.index) {
            at = &then->next;
            continue;
        }
        *at = then->next;
        then->next = NULL;
        *rtc->thens_tail = then;
        rtc->thens_tail = &then->next;
    }
}

/* Nothing comes any more: those that wait are told in the call that finds out. */
void rtci_thens_end(struct rtc *rtc)
{
    *rtc->thens_tail = rtc->thens;
    while (*rtc->thens_tail)
        rtc->thens_tail = &(*rtc->thens_tail)->next;
    rtc->thens = NULL;
}

static bool run_then(struct rtc *rtc)
{
    struct then *then = rtc->thens_ready;
    if (!then)
        return false;
    rtc->thens_ready = then->next;
    if (!rtc->thens_ready)
        rtc->thens_tail = &rtc->thens_ready;
    pthread_mutex_unlock(&rtc->lock);
    then->fn(rtc, then->ref, then->arg);
    pthread_mutex_lock(&rtc->lock);
    int rc = 0;
    struct slot *slot = rtci_find(rtc, then->ref, false, &rc);
    if (slot && slot->pins > 0)
        rtci_unpin(rtc, slot, then->ref);
    free(then);
    return true;
}

static bool run_progress(struct rtc *rtc)
{
    struct progress *p = rtc->progress_ready;
    if (!p)
        return false;
    rtc->progress_ready = p->next;
    if (!rtc->progress_ready)
        rtc->progress_tail = &rtc->progress_ready;
    void (*fn)(void *, rtc_ref, double, const char *) = rtc->on_progress;
    void *arg = rtc->on_progress_arg;
    pthread_mutex_unlock(&rtc->lock);
    if (fn)
        fn(arg, p->ref, p->fraction, p->text);
    pthread_mutex_lock(&rtc->lock);
    free(p);
    return true;
}

/* The lock is dropped around each; rtc calls inside callbacks queue theirs behind. */
void rtci_run_callbacks(struct rtc *rtc)
{
    rtc->in_callbacks = true;
    while (run_progress(rtc) || run_then(rtc) || rtci_run_down(rtc)) {
    }
    rtc->in_callbacks = false;
}

int rtc_then(struct rtc *rtc, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
             void *arg)
{
    if (!fn)
        return rtci_error(RTC_E_INVALID, "fn is NULL");
    if (RTCI_UNLIKELY(rtc && rtc->light)) {
        int here = rtc->light->then(rtc, ref, fn, arg);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_then_locked(rtc, ref, fn, arg);
    rtci_leave(rtc);
    return rc;
}

int rtci_then_locked(struct rtc *rtc, rtc_ref ref,
                     void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg), void *arg)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, true, &rc);
    struct then *then = slot ? calloc(1, sizeof(*then)) : NULL;
    if (slot && !then)
        rc = rtci_error(RTC_E_NOMEM, "out of memory for a callback");
    if (then) {
        *then = (struct then){.next = rtc->thens, .ref = ref, .fn = fn, .arg = arg};
        rtc->thens = then;
        slot->flags |= SLOT_THEN;
        slot->pins++; /* it may be released before it is done: the callback still runs */
        if (rtci_slot_done(slot))
            rtci_on_done_slot(rtc, ref);
    }
    return rc;
}

int rtc_on_progress(struct rtc *rtc,
                    void (*fn)(void *arg, rtc_ref task, double fraction, const char *text),
                    void *arg)
{
    RTCI_TRY(rtci_enter(rtc));
    rtc->on_progress = fn;
    rtc->on_progress_arg = arg;
    rtci_leave(rtc);
    return 0;
}

int rtc_fd(struct rtc *rtc)
{
    RTCI_TRY(rtci_enter(rtc));
    int fd = rtc->wake_fd;
    if (fd < 0)
        fd = rtci_error(RTC_E_UNSUPPORTED,
                        "rtc_fd() is for drivers: a task cannot poll its executor's "
                        "channel");
    else
        rtc->fd_mode = true;
    rtci_leave(rtc);
    return fd;
}

int rtc_poll(struct rtc *rtc, int64_t timeout)
{
    RTCI_TRY(rtci_enter(rtc));
    if (rtc->fd_mode) {
        uint64_t count;
        RTCI_IGNORE(read(rtc->wake_fd, &count, sizeof(count)));
    }
    uint64_t deadline = rtci_deadline(timeout), changes = rtc->changes;
    int rc = rtci_drain(rtc);
    if (rtc->light && rtc->light->inside() && timeout != 0)
        rc = rtci_lights_waits(rtc, "rtc_poll()");
    if (rc == 0 && rtc->changes == changes && !rtci_callbacks_due(rtc) && timeout != 0)
        rc = rtci_speak(rtc, deadline);
    while (rc == 0 && rtc->changes == changes && !rtci_callbacks_due(rtc) && timeout != 0)
        rc = rtci_block(rtc, 0, deadline);
    if (rc == RTC_E_TIMEOUT)
        rc = rtci_error(rc, "nothing happened within the timeout of the call");
    rtci_leave(rtc);
    return rc;
}
