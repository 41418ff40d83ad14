/* Threads of the pool that find nothing: they look around for a little while, then sleep on a
 * futex.
 *
 * No wake-up is lost: who adds work first adds it, then looks whether somebody sleeps; who goes to
 * sleep first says so, then looks once more whether there is work. Few are needed: while one thread
 * is searching, nobody else is woken; what it leaves, it wakes another for. One of the sleeping
 * threads watches the clock: for the timers, and, while others run, for actors that wait behind a
 * long turn. When all sleep and no timer runs, nothing ticks. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/exec/light_internal.h"

#define SPIN_MAX 256u

static void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_sleep(_Atomic uint32_t *at, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / RTCI_NS_PER_S), (long)(ns % RTCI_NS_PER_S)};
    syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, 0, ns == UINT64_MAX ? NULL : &t, NULL, 0);
}

static void rouse(struct rtci_light_ctx *ctx)
{
    if (!atomic_exchange(&ctx->wake, 1)) {
        atomic_fetch_add_explicit(&ctx->light->wakes, 1, memory_order_relaxed);
        syscall(SYS_futex, &ctx->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* Takes entry i off the list of those that sleep. idle_lock is held. */
static void unpark(struct rtci_light *light, uint32_t i)
{
    uint32_t n = atomic_load(&light->n_idle);
    light->workers[light->idle[i]].parked = false;
    for (; i + 1 < n; i++)
        light->idle[i] = light->idle[i + 1];
    atomic_fetch_sub(&light->n_idle, 1);
}

void rtci_light_notify(struct rtci_light *light)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&light->n_idle, memory_order_relaxed) ||
        atomic_load_explicit(&light->n_searching, memory_order_relaxed))
        return;
    struct rtci_light_ctx *woken = NULL;
    pthread_mutex_lock(&light->idle_lock);
    uint32_t n = atomic_load(&light->n_idle);
    if (n && !atomic_load(&light->n_searching)) {
        uint32_t i = n - 1; /* the last, its cache is the warmest; but leave one at the clock */
        if (i && light->idle[i] + 1 == atomic_load(&light->sentinel))
            i--;
        woken = &light->workers[light->idle[i]];
        unpark(light, i);
        woken->searching = true;
        atomic_fetch_add(&light->n_searching, 1);
    }
    pthread_mutex_unlock(&light->idle_lock);
    if (woken)
        rouse(woken);
}

void rtci_light_kick(struct rtci_light *light)
{
    uint32_t sentinel = atomic_load(&light->sentinel);
    if (sentinel)
        rouse(&light->workers[sentinel - 1]);
}

void rtci_light_wake_all(struct rtci_light *light)
{
    for (uint32_t i = 0; i < light->n_threads; i++)
        rouse(&light->workers[i]);
}

static void note_turns(struct rtci_light_ctx *ctx)
{
    for (uint32_t i = 0; i < ctx->light->n_threads; i++)
        ctx->seen[i] = atomic_load_explicit(&ctx->light->workers[i].turns, memory_order_relaxed);
}

/* How long to sleep. idle_lock is held, and this thread is among those that sleep. */
static uint64_t alarm_in(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    uint32_t nobody = 0;
    if (!atomic_compare_exchange_strong(&light->sentinel, &nobody, ctx->index + 1) &&
        nobody != ctx->index + 1)
        return UINT64_MAX;
    uint64_t due = atomic_load(&light->timers.next), in = UINT64_MAX;
    if (due != UINT64_MAX) {
        uint64_t now = rtci_light_now(light);
        in = due > now ? due - now : 0;
    }
    bool deaf = atomic_load(&light->n_idle) == light->n_threads;
    atomic_store(&light->deaf, deaf);
    return deaf || in < RTCI_LIGHT_TICK_NS ? in : RTCI_LIGHT_TICK_NS;
}

static void park(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    note_turns(ctx);
    pthread_mutex_lock(&light->idle_lock);
    light->idle[atomic_fetch_add(&light->n_idle, 1)] = ctx->index;
    ctx->parked = true;
    uint64_t ns = alarm_in(ctx);
    pthread_mutex_unlock(&light->idle_lock);
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&light->stopping) && !rtci_light_work_visible(light) && ns) {
        atomic_store_explicit(&ctx->parks, ctx->parks + 1, memory_order_relaxed);
        if (!atomic_load(&ctx->wake))
            futex_sleep(&ctx->wake, ns);
    }
    atomic_store(&ctx->wake, 0);
    pthread_mutex_lock(&light->idle_lock);
    for (uint32_t i = 0; ctx->parked && i < atomic_load(&light->n_idle); i++) {
        if (light->idle[i] == ctx->index)
            unpark(light, i);
    }
    if (atomic_load(&light->sentinel) == ctx->index + 1) {
        atomic_store(&light->sentinel, 0);
        atomic_store(&light->deaf, false);
    }
    pthread_mutex_unlock(&light->idle_lock);
}

/* Who ends it with success as the last lets another look whether there is more, or watch the clock.
 */
static void end_search(struct rtci_light_ctx *ctx, bool found)
{
    struct rtci_light *light = ctx->light;
    ctx->searching = false;
    bool last = atomic_fetch_sub(&light->n_searching, 1) == 1;
    if (found && last && atomic_load(&light->n_idle) &&
        (!atomic_load(&light->sentinel) || rtci_light_work_visible(light)))
        rtci_light_notify(light);
}

/* What others have. At most half of the threads look for it at a time. */
static struct rtci_light_actor *search(struct rtci_light_ctx *ctx)
{
    struct rtci_light *light = ctx->light;
    if (!ctx->searching) {
        if (2 * atomic_load(&light->n_searching) >= light->n_threads)
            return NULL;
        ctx->searching = true;
        atomic_fetch_add(&light->n_searching, 1);
    }
    struct rtci_light_actor *a = rtci_light_steal(ctx);
    uint32_t spins = 0;
    for (; !a && spins < ctx->spin && light->n_threads > 1; spins++) {
        for (int i = 0; i < 8; i++)
            cpu_pause();
        if (rtci_light_work_visible(light))
            a = rtci_light_steal(ctx);
    }
    /* Spinning that found something is worth more of it. */
    if (a && spins)
        ctx->spin = ctx->spin * 2 < SPIN_MAX ? ctx->spin * 2 : SPIN_MAX;
    else if (!a)
        ctx->spin = ctx->spin > 8 ? ctx->spin / 2 : 4;
    end_search(ctx, a != NULL);
    return a;
}

void *rtci_light_worker(void *arg)
{
    struct rtci_light_ctx *ctx = arg;
    struct rtci_light *light = ctx->light;
    while (!atomic_load_explicit(&light->stopping, memory_order_relaxed)) {
        struct rtci_light_actor *a = rtci_light_next(ctx);
        if (!a)
            a = search(ctx);
        else if (RTCI_UNLIKELY(ctx->searching)) /* was woken to search, but has work of its own */
            end_search(ctx, true);
        if (a) {
            rtci_light_turn(ctx, a);
            continue;
        }
        park(ctx);
        if (atomic_load_explicit(&light->timers.next, memory_order_relaxed) != UINT64_MAX)
            rtci_light_timers_run(ctx, rtci_light_now(light));
    }
    return NULL;
}
