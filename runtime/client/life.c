/* Entering and leaving public calls: the lock, the states in which no call is possible, callbacks.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/client/client.h"
#include "runtime/client/open.h"

static uint64_t fork_generation = 1;

static void forked_in_child(void)
{
    fork_generation++;
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked_in_child);
}

uint64_t rtci_fork_generation(void)
{
    return fork_generation;
}

uint64_t rtci_now_ns(void)
{
    return rtci_clock_ns();
}

uint64_t rtci_deadline(int64_t timeout)
{
    if (timeout < 0)
        return UINT64_MAX;
    uint64_t now = rtci_now_ns();
    return UINT64_MAX - now <= (uint64_t)timeout ? UINT64_MAX : now + (uint64_t)timeout;
}

int rtci_enter(struct rtc *rtc)
{
    if (RTCI_UNLIKELY(!rtc))
        return rtci_error(RTC_E_CLOSED, "the handle is NULL: rtc_init() was not called, or "
                                        "rtc_shutdown() was");
    if (RTCI_UNLIKELY(rtc->fork_generation != fork_generation))
        return rtci_error(
            RTC_E_FORKED,
            "this process was forked from the one that called rtc_init(): only that one "
            "may use the handle (execute a program that calls rtc_init() instead)");
    pthread_mutex_lock(&rtc->lock);
    if (RTCI_UNLIKELY(rtc->dead < 0)) {
        int rc = rtci_error(rtc->dead, "%s", rtc->dead_text);
        pthread_mutex_unlock(&rtc->lock);
        return rc;
    }
    return 0;
}

int rtci_die(struct rtc *rtc, int code, const char *fmt, ...)
{
    if (rtc->dead == 0) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(rtc->dead_text, sizeof(rtc->dead_text), fmt, args);
        va_end(args);
        rtc->dead = code;
        rtc->changes++;
        rtci_thens_end(rtc);
        if (rtc->waiters)
            pthread_cond_broadcast(&rtc->cond);
    }
    return rtci_error(rtc->dead, "%s", rtc->dead_text);
}

/* Keeps rtc_fd() honest: announces that we sleep on it; what came in between makes it readable. */
static void arm_fd(struct rtc *rtc)
{
    if (!rtc->polling && rtc->dead == 0)
        rtci_chan_arm_fd(rtc->chan);
}

void rtci_leave(struct rtc *rtc)
{
    if (RTCI_UNLIKELY(rtci_callbacks_due(rtc) && !rtc->in_callbacks))
        rtci_run_callbacks(rtc);
    if (RTCI_UNLIKELY(rtc->fd_mode))
        arm_fd(rtc);
    pthread_mutex_unlock(&rtc->lock);
}

uint32_t rtci_client_number(const struct rtc *rtc)
{
    return rtc->client;
}

const char *rtci_client_space(const struct rtc *rtc)
{
    return rtc->space;
}

static void free_slot(void *arg, uint64_t seq, struct slot *slot)
{
    (void)seq;
    (void)arg;
    if (slot->where == WHERE_MULTI) {
        for (uint32_t i = 0; i < slot->u.multi->n; i++) {
            if (slot->u.multi->slot[i].where == WHERE_HEAP)
                free(slot->u.multi->slot[i].u.heap);
        }
        free(slot->u.multi);
    } else if (slot->where == WHERE_HEAP) {
        free(slot->u.heap);
    }
}

void rtci_client_destroy(struct rtc *rtc)
{
    if (!rtc)
        return;
    rtci_actors_destroy(rtc);
    rtci_slots_each(&rtc->slots, free_slot, NULL);
    rtci_slots_fini(&rtc->slots);
    for (uint32_t i = 0; i < rtc->borrowed.cap; i++) {
        for (struct borrowed *b = rtc->borrowed.bucket[i]; b; b = b->next)
            free_slot(NULL, 0, &b->slot);
    }
    rtci_borrowed_fini(&rtc->borrowed);
    for (struct then *t = rtc->thens, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    for (struct then *t = rtc->thens_ready, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    for (struct progress *p = rtc->progress_ready, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    rtci_placements_fini(rtc);
    free(rtc->functions);
    free(rtc->shapes);
    rtci_buf_fini(&rtc->shape_bytes);
    rtci_buf_fini(&rtc->blocked_ids);
    free(rtc->queue);
    rtci_chan_close(rtc->chan);
    rtci_arena_unmap(rtc);
    int fds[] = {rtc->sock, rtc->wake_fd, rtc->bell_fd, rtc->chan_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    pthread_cond_destroy(&rtc->cond);
    pthread_mutex_destroy(&rtc->lock);
    free(rtc);
}

struct rtc *rtci_client_create(void)
{
    struct rtc *rtc = calloc(1, sizeof(*rtc));
    if (!rtc)
        return NULL;
    pthread_mutex_init(&rtc->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rtc->cond, &attr);
    pthread_condattr_destroy(&attr);
    rtci_slots_init(&rtc->slots);
    rtc->fork_generation = fork_generation;
    rtc->sock = rtc->wake_fd = rtc->bell_fd = rtc->chan_fd = -1;
    rtc->next_seq = 1;
    rtc->next_request = 1;
    rtc->n_threads = 1;
    rtc->thens_tail = &rtc->thens_ready;
    rtc->progress_tail = &rtc->progress_ready;
    if (rtci_actors_init(rtc) < 0) {
        rtci_client_destroy(rtc);
        return NULL;
    }
    return rtc;
}
