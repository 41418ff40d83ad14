/* Timers of light actors: one heap for the engine. Whichever thread looks first sends what is due.
 */
#include <stdlib.h>
#include <time.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

#define NONE UINT32_MAX

uint64_t rtci_light_now(struct rtci_light *light)
{
    if (light->stepped)
        return atomic_load(&light->stepped_now);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool before(const struct rtci_light_timers *timers, uint32_t a, uint32_t b)
{
    const struct rtci_light_timer *x = &timers->all[a], *y = &timers->all[b];
    return x->due != y->due ? x->due < y->due : x->seq < y->seq;
}

static void put(struct rtci_light_timers *timers, uint32_t pos, uint32_t i)
{
    timers->heap[pos] = i;
    timers->all[i].pos = pos;
}

static void sift(struct rtci_light_timers *timers, uint32_t pos)
{
    uint32_t i = timers->heap[pos];
    for (; pos && before(timers, i, timers->heap[(pos - 1) / 2]); pos = (pos - 1) / 2)
        put(timers, pos, timers->heap[(pos - 1) / 2]);
    for (;;) {
        uint32_t child = pos * 2 + 1;
        if (child + 1 < timers->n && before(timers, timers->heap[child + 1], timers->heap[child]))
            child++;
        if (child >= timers->n || !before(timers, timers->heap[child], i))
            break;
        put(timers, pos, timers->heap[child]);
        pos = child;
    }
    put(timers, pos, i);
}

static bool room(struct rtci_light_timers *timers)
{
    if (timers->free != NONE || timers->used < timers->cap)
        return true;
    uint32_t cap = timers->cap ? timers->cap * 2 : 64;
    struct rtci_light_timer *all = realloc(timers->all, cap * sizeof(*all));
    if (!all)
        return false;
    timers->all = all;
    uint32_t *heap = realloc(timers->heap, cap * sizeof(*heap));
    if (!heap)
        return false;
    timers->heap = heap;
    timers->cap = cap;
    return true;
}

static void note_next(struct rtci_light_timers *timers)
{
    atomic_store(&timers->next, timers->n ? timers->all[timers->heap[0]].due : UINT64_MAX);
}

/* Takes a timer out of the heap; its message is the caller's. The lock is held. */
static struct rtci_light_msg *take(struct rtci_light_timers *timers, uint32_t i)
{
    struct rtci_light_timer *timer = &timers->all[i];
    uint32_t pos = timer->pos, last = timers->heap[--timers->n];
    if (last != i) {
        put(timers, pos, last);
        sift(timers, pos);
    }
    timer->gen++;
    timer->pos = timers->free;
    timers->free = i;
    note_next(timers);
    struct rtci_light_msg *msg = timer->msg;
    timer->msg = NULL;
    return msg;
}

int rtci_light_timer_add(struct rtci_light *light, uint64_t delay_ns, rtci_light_id to,
                         struct rtci_light_msg *msg, uint64_t *ret_timer)
{
    uint64_t now = rtci_light_now(light);
    uint64_t due = delay_ns < UINT64_MAX - now ? now + delay_ns : UINT64_MAX - 1;
    struct rtci_light_timers *timers = &light->timers;
    int rc = 0;
    bool first = false;
    pthread_mutex_lock(&timers->lock);
    if (timers->n >= RTCI_LIGHT_TIMERS) {
        rc = RTC_E_AGAIN;
    } else if (!room(timers)) {
        rc = RTC_E_NOMEM;
    } else {
        uint32_t i = timers->free;
        if (i != NONE) {
            timers->free = timers->all[i].pos;
        } else {
            i = timers->used++;
            timers->all[i].gen = 1;
        }
        struct rtci_light_timer *timer = &timers->all[i];
        timer->due = due;
        timer->seq = timers->seq++;
        timer->to = to;
        timer->msg = msg;
        put(timers, timers->n++, i);
        sift(timers, timer->pos);
        first = timer->pos == 0;
        note_next(timers);
        if (ret_timer)
            *ret_timer = (uint64_t)timer->gen << 32 | i;
    }
    pthread_mutex_unlock(&timers->lock);
    if (first)
        rtci_light_kick(light);
    return rc;
}

int rtci_light_after(struct rtci_light_ctx *ctx, uint64_t delay_ns, rtci_light_id to, uint16_t tag,
                     const void *data, size_t size, uint64_t *ret_timer)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_TELL, data, size);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    int rc = rtci_light_timer_add(ctx->light, delay_ns, to, msg, ret_timer);
    if (rc)
        rtci_light_msg_drop(ctx, msg);
    return rc;
}

int rtci_light_after_block(struct rtci_light_ctx *ctx, uint64_t delay_ns, rtci_light_id to,
                           uint16_t tag, void *block, size_t size, void (*drop)(void *block))
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_TELL, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    rtci_light_attach(msg, block, size, drop);
    int rc = rtci_light_timer_add(ctx->light, delay_ns, to, msg, NULL);
    if (rc)
        rtci_light_msg_free(ctx, msg);
    return rc;
}

bool rtci_light_cancel(struct rtci_light_ctx *ctx, uint64_t timer)
{
    struct rtci_light_timers *timers = &ctx->light->timers;
    uint32_t i = (uint32_t)timer;
    struct rtci_light_msg *msg = NULL;
    pthread_mutex_lock(&timers->lock);
    if (i < timers->used && timers->all[i].gen == timer >> 32 && timers->all[i].msg)
        msg = take(timers, i);
    pthread_mutex_unlock(&timers->lock);
    if (msg)
        rtci_light_msg_drop(ctx, msg);
    return msg != NULL;
}

void rtci_light_timers_run(struct rtci_light_ctx *ctx, uint64_t now)
{
    struct rtci_light_timers *timers = &ctx->light->timers;
    while (atomic_load_explicit(&timers->next, memory_order_relaxed) <= now) {
        struct rtci_light_msg *msg = NULL;
        rtci_light_id to;
        pthread_mutex_lock(&timers->lock);
        if (timers->n && timers->all[timers->heap[0]].due <= now) {
            to = timers->all[timers->heap[0]].to;
            msg = take(timers, timers->heap[0]);
        }
        pthread_mutex_unlock(&timers->lock);
        if (!msg)
            return;
        if (rtci_light_deliver(ctx, to, msg, RTCI_LIGHT_ANY) < 0)
            rtci_light_msg_drop(ctx, msg);
    }
}

void rtci_light_timers_fini(struct rtci_light_ctx *ctx)
{
    struct rtci_light_timers *timers = &ctx->light->timers;
    while (timers->n)
        rtci_light_msg_drop(ctx, take(timers, timers->heap[0]));
    free(timers->all);
    free(timers->heap);
    pthread_mutex_destroy(&timers->lock);
}
