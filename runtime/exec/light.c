/* The engine of light actors as a whole: its beginning, its end, and running it by hand. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

static void init_ctx(struct rtci_light *light, struct rtci_light_ctx *ctx, uint32_t index)
{
    ctx->light = light;
    ctx->index = index;
    ctx->spin = 16;
    pthread_mutex_init(&ctx->lock, NULL);
}

static void init_locks(struct rtci_light *light)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&light->table_lock, NULL);
    pthread_mutex_init(&light->inject_lock, NULL);
    pthread_mutex_init(&light->idle_lock, NULL);
    pthread_mutex_init(&light->mute_lock, NULL);
    pthread_mutex_init(&light->room_lock, NULL);
    pthread_mutex_init(&light->timers.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&light->room, &attr);
    pthread_condattr_destroy(&attr);
}

static void free_all(struct rtci_light *light)
{
    for (size_t i = 0; i < RTCI_LIGHT_ACTORS / RTCI_LIGHT_PAGE; i++)
        free((void *)light->pages[i]);
    rtci_light_depot_fini(&light->messages);
    for (size_t i = 0; i < RTCI_LIGHT_CLASSES; i++)
        rtci_light_depot_fini(&light->blocks[i]);
    for (uint32_t i = 0; i < light->n_workers; i++)
        pthread_mutex_destroy(&light->workers[i].lock);
    pthread_mutex_destroy(&light->outside.lock);
    pthread_mutex_destroy(&light->table_lock);
    pthread_mutex_destroy(&light->inject_lock);
    pthread_mutex_destroy(&light->idle_lock);
    pthread_mutex_destroy(&light->mute_lock);
    pthread_mutex_destroy(&light->room_lock);
    pthread_cond_destroy(&light->room);
    free(light->ready);
    free(light->workers);
    free(light);
}

static void join_threads(struct rtci_light *light)
{
    atomic_store(&light->stopping, true);
    rtci_light_wake_all(light);
    for (uint32_t i = 0; i < light->n_threads; i++)
        pthread_join(light->workers[i].thread, NULL);
}

int rtci_light_start(const struct rtci_light_config *config, struct rtci_light **ret)
{
    *ret = NULL;
    if (config->threads > RTCI_LIGHT_THREADS)
        return RTC_E_INVALID;
    struct rtci_light *light = aligned_alloc(64, (sizeof(*light) + 63) / 64 * 64);
    uint32_t n = config->threads ? config->threads : 1;
    struct rtci_light_ctx *workers = aligned_alloc(64, n * sizeof(*workers));
    if (!light || !workers) {
        free(light);
        free(workers);
        return RTC_E_NOMEM;
    }
    memset(light, 0, sizeof(*light));
    memset(workers, 0, n * sizeof(*workers));
    light->workers = workers;
    light->n_workers = n;
    light->stepped = !config->threads;
    light->timers.free = UINT32_MAX;
    atomic_store(&light->timers.next, UINT64_MAX);
    init_locks(light);
    rtci_light_depots_init(light);
    init_ctx(light, &light->outside, UINT32_MAX);
    light->outside.outside = true;
    for (uint32_t i = 0; i < n; i++) {
        init_ctx(light, &workers[i], i);
        workers[i].seed = config->seed;
    }
    /* The threads look at each other from the beginning; empty ones do no harm. */
    light->n_threads = config->threads;
    light->lives = config->lives;
    for (uint32_t i = 0; i < config->threads; i++) {
        if (pthread_create(&workers[i].thread, NULL, rtci_light_worker, &workers[i])) {
            atomic_store(&light->stopping, true);
            rtci_light_wake_all(light);
            while (i--)
                pthread_join(workers[i].thread, NULL);
            free_all(light);
            return RTC_E_OS;
        }
    }
    *ret = light;
    return 0;
}

static struct rtci_light_actor *slot_at(struct rtci_light *light, uint32_t i)
{
    struct rtci_light_actor *_Atomic *page = light->pages[i / RTCI_LIGHT_PAGE];
    return page ? page[i % RTCI_LIGHT_PAGE] : NULL;
}

/* All die first, then what is in the mailboxes is dropped: nothing is alive to send any more. */
static void kill_all(struct rtci_light *light)
{
    struct rtci_light_ctx *ctx = &light->workers[0];
    uint32_t n = atomic_load(&light->n_slots);
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_light_actor *a = slot_at(light, i);
        if (!a || a->status != RTCI_LIGHT_ALIVE)
            continue;
        struct rtci_light_down why = {.who = rtci_light_id_of(a), .reason = RTCI_LIGHT_SHUTDOWN};
        rtci_light_die(ctx, a, &why);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_light_actor *a = slot_at(light, i);
        if (a && a->status == RTCI_LIGHT_DYING)
            RTCI_ASSERT(rtci_light_bury(ctx, a, NULL));
    }
}

void rtci_light_end(struct rtci_light *light)
{
    if (!light)
        return;
    join_threads(light);
    light->stepped = true; /* whom a death wakes is only put aside */
    kill_all(light);
    rtci_light_timers_fini(&light->workers[0]);
    struct rtci_light_stats stats;
    rtci_light_stats(light, &stats);
    RTCI_ASSERT(stats.messages_out == 0 && stats.blocks_out == 0);
    free_all(light);
}

struct rtci_light_ctx *rtci_light_outside(struct rtci_light *light)
{
    return &light->outside;
}

static void add_stats(struct rtci_light_ctx *ctx, struct rtci_light_stats *ret)
{
    ret->created += atomic_load(&ctx->created);
    ret->died += atomic_load(&ctx->died);
    ret->turns += atomic_load(&ctx->turns);
    ret->messages += atomic_load(&ctx->n_messages);
    ret->steals += atomic_load(&ctx->steals);
    ret->parks += atomic_load(&ctx->parks);
    ret->messages_out += (uint64_t)atomic_load(&ctx->messages.out);
    for (size_t i = 0; i < RTCI_LIGHT_CLASSES; i++)
        ret->blocks_out += (uint64_t)atomic_load(&ctx->blocks[i].out);
}

void rtci_light_stats(struct rtci_light *light, struct rtci_light_stats *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < light->n_workers; i++)
        add_stats(&light->workers[i], ret);
    add_stats(&light->outside, ret);
    ret->wakes = atomic_load(&light->wakes);
    ret->mutes = atomic_load(&light->mutes);
    ret->bytes = atomic_load(&light->bytes);
}

bool rtci_light_step(struct rtci_light *light)
{
    RTCI_ASSERT(light->stepped);
    struct rtci_light_ctx *ctx = &light->workers[0];
    struct rtci_light_actor *a = rtci_light_next(ctx);
    if (a)
        rtci_light_turn(ctx, a);
    return a != NULL;
}

bool rtci_light_step_time(struct rtci_light *light)
{
    RTCI_ASSERT(light->stepped);
    uint64_t due = atomic_load(&light->timers.next);
    if (due == UINT64_MAX)
        return false;
    if (due > atomic_load(&light->stepped_now))
        atomic_store(&light->stepped_now, due);
    rtci_light_timers_run(&light->workers[0], due);
    return true;
}
