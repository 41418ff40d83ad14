/* Back-pressure between light actors: who has sent to a full mailbox is muted, that is not run,
 * until that mailbox is half empty. Nobody is blocked, and no circle of actors can stop:
 *
 *   an actor for which others wait is never muted.
 *
 * Were there a circle of waiting actors, then the one that was muted last would have had somebody
 * waiting for it at that moment, so it would not have been muted. All of this is decided under one
 * lock. So each chain of muted actors ends at one that is not muted and has messages: it runs. */
#include <errno.h>
#include <time.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

/* `s` waits no more. The lock is held. */
static void unlink_one(struct rtci_light_actor *s)
{
    struct rtci_light_actor *r = s->muted_by;
    if (s->wait_prev)
        s->wait_prev->wait_next = s->wait_next;
    else
        atomic_store(&r->waiters, s->wait_next);
    if (s->wait_next)
        s->wait_next->wait_prev = s->wait_prev;
    s->muted_by = s->wait_next = s->wait_prev = NULL;
}

/* All that wait for `r` can run, except one, which is running. The lock is held. */
static void release(struct rtci_light_ctx *ctx, struct rtci_light_actor *r,
                    const struct rtci_light_actor *except)
{
    struct rtci_light_actor *s = atomic_exchange(&r->waiters, NULL), *next;
    for (; s; s = next) {
        next = s->wait_next;
        s->muted_by = s->wait_next = s->wait_prev = NULL;
        if (s != except)
            rtci_light_yield(ctx, s);
    }
}

bool rtci_light_mute(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    struct rtci_light *light = ctx->light;
    bool muted = false;
    pthread_mutex_lock(&light->mute_lock);
    struct rtci_light_actor *r = NULL;
    if (!atomic_load(&a->waiters) && !atomic_load(&a->killed_by) &&
        !atomic_load_explicit(&light->stopping, memory_order_relaxed))
        r = rtci_light_pin(light, ctx->full);
    if (r) {
        struct rtci_light_actor *first = atomic_load(&r->waiters);
        a->muted_by = r;
        a->wait_next = first;
        a->wait_prev = NULL;
        if (first)
            first->wait_prev = a;
        atomic_store(&r->waiters, a);
        /* Either it sees the new waiter when it has worked messages off, or this sees that it has.
         */
        uint32_t max = atomic_load_explicit(&r->mail_max, memory_order_relaxed);
        if (RTCI_LIGHT_COUNT(rtci_light_unpin(r)) <= rtci_light_low(max))
            release(ctx, r, a);
        else
            muted = true;
    }
    ctx->full = (rtci_light_id){0, 0};
    pthread_mutex_unlock(&light->mute_lock);
    if (muted)
        atomic_fetch_add_explicit(&light->mutes, 1, memory_order_relaxed);
    return muted;
}

void rtci_light_unmute(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    pthread_mutex_lock(&ctx->light->mute_lock);
    release(ctx, a, NULL);
    pthread_mutex_unlock(&ctx->light->mute_lock);
}

void rtci_light_unmute_one(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    pthread_mutex_lock(&ctx->light->mute_lock);
    if (a->muted_by) {
        unlink_one(a);
        rtci_light_yield(ctx, a);
    }
    pthread_mutex_unlock(&ctx->light->mute_lock);
}

void rtci_light_worked(struct rtci_light_ctx *ctx, struct rtci_light_actor *a, uint32_t done)
{
    uint32_t before = RTCI_LIGHT_COUNT(atomic_fetch_sub(&a->word, done));
    uint32_t low = rtci_light_low(atomic_load_explicit(&a->mail_max, memory_order_relaxed));
    if (before - done > low)
        return;
    if (RTCI_UNLIKELY(atomic_load(&a->waiters) != NULL))
        rtci_light_unmute(ctx, a);
    if (RTCI_UNLIKELY(before > low && atomic_load(&ctx->light->n_room))) {
        pthread_mutex_lock(&ctx->light->room_lock);
        pthread_cond_broadcast(&ctx->light->room);
        pthread_mutex_unlock(&ctx->light->room_lock);
    }
}

int rtci_light_tell_wait(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag,
                         const void *data, size_t size, uint64_t timeout_ns)
{
    struct rtci_light *light = ctx->light;
    RTCI_ASSERT(ctx->outside); /* an actor is muted instead */
    int rc = rtci_light_tell(ctx, to, tag, data, size);
    if (rc != RTC_E_AGAIN || light->stepped)
        return rc;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ns > 1000000 * RTCI_NS_PER_S)
        timeout_ns = 1000000 * RTCI_NS_PER_S;
    uint64_t at = (uint64_t)until.tv_sec * RTCI_NS_PER_S + (uint64_t)until.tv_nsec + timeout_ns;
    until.tv_sec = (time_t)(at / RTCI_NS_PER_S);
    until.tv_nsec = (long)(at % RTCI_NS_PER_S);
    pthread_mutex_lock(&light->room_lock);
    atomic_fetch_add(&light->n_room, 1);
    int waited = 0;
    while ((rc = rtci_light_tell(ctx, to, tag, data, size)) == RTC_E_AGAIN && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&light->room, &light->room_lock, &until);
    atomic_fetch_sub(&light->n_room, 1);
    pthread_mutex_unlock(&light->room_lock);
    return rc == RTC_E_AGAIN ? RTC_E_TIMEOUT : rc;
}
