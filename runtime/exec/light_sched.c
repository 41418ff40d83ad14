/* Which light actor runs next. A thread has a slot for the one it woke last, whose message is still
 * in its cache, and a run queue from which others steal; what comes from outside, or does not fit,
 * goes through a list that all look at. */
#include <stdlib.h>

#include "runtime/exec/light_internal.h"

#define MASK (RTCI_LIGHT_RING - 1)

static bool ring_push(struct rtci_light_ring *ring, struct rtci_light_actor *a)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) >= RTCI_LIGHT_RING)
        return false;
    atomic_store_explicit(&ring->at[tail & MASK], a, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

/* By anyone. An entry is only overwritten when the head is beyond it, and then the exchange fails.
 */
static struct rtci_light_actor *ring_pop(struct rtci_light_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    for (;;) {
        if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
            return NULL;
        struct rtci_light_actor *a =
            atomic_load_explicit(&ring->at[head & MASK], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&ring->head, &head, head + 1,
                                                  memory_order_acq_rel, memory_order_acquire))
            return a;
    }
}

static uint64_t ring_count(struct rtci_light_ring *ring)
{
    uint64_t head = atomic_load(&ring->head), tail = atomic_load(&ring->tail);
    return tail > head ? tail - head : 0;
}

static void inject(struct rtci_light *light, struct rtci_light_actor *a)
{
    a->run_next = NULL;
    pthread_mutex_lock(&light->inject_lock);
    if (light->inject_last)
        light->inject_last->run_next = a;
    else
        light->inject_first = a;
    light->inject_last = a;
    atomic_fetch_add(&light->n_injected, 1);
    pthread_mutex_unlock(&light->inject_lock);
}

/* One to run, and a share of the rest for the own queue. */
static struct rtci_light_actor *take_injected(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    if (!atomic_load_explicit(&light->n_injected, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&light->inject_lock);
    uint32_t n = atomic_load(&light->n_injected), share = n / light->n_workers + 1, taken = 0;
    struct rtci_light_actor *first = light->inject_first, *a = first;
    while (a && taken < share && taken < RTCI_LIGHT_RING / 4) {
        struct rtci_light_actor *next = a->run_next;
        if (taken && !ring_push(&ctx->ring, a))
            break;
        taken++;
        a = next;
    }
    light->inject_first = a;
    if (!a)
        light->inject_last = NULL;
    atomic_fetch_sub(&light->n_injected, taken);
    pthread_mutex_unlock(&light->inject_lock);
    return first;
}

/* Without threads: a set, from which the seed draws. */
static void add_ready(struct rtci_light *light, struct rtci_light_actor *a)
{
    if (light->n_ready == light->cap_ready) {
        size_t cap = light->cap_ready ? light->cap_ready * 2 : 64;
        struct rtci_light_actor **ready =
            realloc(light->ready, cap * sizeof(struct rtci_light_actor *));
        RTCI_ASSERT(ready);
        light->ready = ready;
        light->cap_ready = cap;
    }
    light->ready[light->n_ready++] = a;
}

void rtci_light_yield(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    if (ctx->light->stepped) {
        add_ready(ctx->light, a);
        return;
    }
    if (ctx->outside || !ring_push(&ctx->ring, a))
        inject(ctx->light, a);
    rtci_light_notify(ctx->light);
}

void rtci_light_requeue(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    if (ctx->light->stepped) {
        add_ready(ctx->light, a);
        return;
    }
    if (!ring_push(&ctx->ring, a))
        inject(ctx->light, a);
    /* When it is all there is, it stays here, where its cache is. */
    if (atomic_load_explicit(&ctx->slot, memory_order_relaxed) || ring_count(&ctx->ring) > 1)
        rtci_light_notify(ctx->light);
}

void rtci_light_schedule(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    if (ctx->outside || ctx->light->stepped) {
        rtci_light_yield(ctx, a);
        return;
    }
    struct rtci_light_actor *before = atomic_exchange_explicit(&ctx->slot, a, memory_order_acq_rel);
    if (before)
        rtci_light_yield(ctx, before);
    else if (RTCI_UNLIKELY(atomic_load_explicit(&ctx->light->deaf, memory_order_relaxed)))
        rtci_light_kick(ctx->light);
}

static struct rtci_light_actor *next_of_own(struct rtci_light_ctx *ctx)
{
    if (atomic_load_explicit(&ctx->slot, memory_order_relaxed)) {
        struct rtci_light_actor *a =
            atomic_exchange_explicit(&ctx->slot, NULL, memory_order_acq_rel);
        if (a && ctx->lifo++ < RTCI_LIGHT_LIFO)
            return a;
        /* Two that wake each other would run for ever, and the queue never. */
        ctx->lifo = 0;
        if (a && !ring_push(&ctx->ring, a))
            inject(ctx->light, a);
    }
    struct rtci_light_actor *a = ring_pop(&ctx->ring);
    if (a)
        ctx->lifo = 0;
    return a;
}

/* Half of another's queue, at most a quarter of a ring. */
static struct rtci_light_actor *steal_from(struct rtci_light_ctx *ctx,
                                           struct rtci_light_ctx *victim)
{
    struct rtci_light_actor *a = ring_pop(&victim->ring);
    if (!a) {
        /* What is in the slot runs next there, unless the turn before it is a long one: then the
         * same turn is seen twice, a tick apart. */
        uint64_t turns = atomic_load_explicit(&victim->turns, memory_order_relaxed);
        bool same = ctx->seen[victim->index] == turns;
        if (same && atomic_load_explicit(&victim->slot, memory_order_relaxed))
            a = atomic_exchange_explicit(&victim->slot, NULL, memory_order_acq_rel);
        return a;
    }
    uint64_t n = ring_count(&victim->ring) / 2;
    for (; n && n <= RTCI_LIGHT_RING / 4; n--) {
        struct rtci_light_actor *more = ring_pop(&victim->ring);
        if (!more)
            break;
        if (!ring_push(&ctx->ring, more)) {
            inject(ctx->light, more);
            break;
        }
    }
    return a;
}

struct rtci_light_actor *rtci_light_steal(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    struct rtci_light_actor *a = take_injected(ctx);
    for (uint32_t i = 1; !a && i < light->n_threads; i++) {
        struct rtci_light_ctx *victim = &light->workers[(ctx->index + i) % light->n_threads];
        a = steal_from(ctx, victim);
        if (a)
            atomic_store_explicit(&ctx->steals, ctx->steals + 1, memory_order_relaxed);
    }
    return a;
}

bool rtci_light_work_visible(struct rtci_light *light)
{
    if (atomic_load(&light->n_injected))
        return true;
    for (uint32_t i = 0; i < light->n_threads; i++) {
        if (ring_count(&light->workers[i].ring))
            return true;
    }
    return false;
}

struct rtci_light_actor *rtci_light_next(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    if (light->stepped) {
        if (!light->n_ready)
            return NULL;
        ctx->seed = ctx->seed * 6364136223846793005u + 1442695040888963407u;
        size_t i = (size_t)(ctx->seed >> 33) % light->n_ready;
        struct rtci_light_actor *a = light->ready[i];
        light->ready[i] = light->ready[--light->n_ready];
        return a;
    }
    if (RTCI_UNLIKELY(++ctx->ticks % 64 == 0)) {
        if (atomic_load_explicit(&light->timers.next, memory_order_relaxed) != UINT64_MAX)
            rtci_light_timers_run(ctx, rtci_light_now(light));
        struct rtci_light_actor *a = take_injected(ctx);
        if (a)
            return a;
    }
    struct rtci_light_actor *a = next_of_own(ctx);
    return a ? a : take_injected(ctx);
}
