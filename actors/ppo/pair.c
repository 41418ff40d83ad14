#include "actors/ppo/pair.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/ppo/inner.h"
#include "actors/report/clock.h"

#define LOOKS 5000u /* for the other one, before it sleeps: some 100 µs */
#define SLOW  3u    /* updates of two in a row that took longer than one's, until one does … */
#define ALONE 64u   /* … so many */
#define CHUNK 512u  /* numbers of a sum at a time */

/* Each counts where it is; who waits for the other looks for a while, then sleeps. */
struct side {
    _Alignas(64) _Atomic uint64_t count;
    atomic_bool sleeps;
    void *data;
    struct ppo_pair *pair;
    uint32_t rank;
    struct ppo *ppo;
};

struct ppo_pair {
    struct side sides[2];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool ready; /* the thread was told */
    bool ends;
    uint32_t alone_left, slow;
    double alone_s; /* the last update by one */
    /* Of an update. */
    const struct ppo_batch *batch;
    double progress;
};

/* ---- Meeting ---- */

static void count_up(struct ppo_pair *p, uint32_t rank)
{
    atomic_fetch_add(&p->sides[rank].count, 1);
    if (atomic_load(&p->sides[!rank].sleeps)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

static void await(struct ppo_pair *p, uint32_t rank, uint64_t count)
{
    struct side *self = &p->sides[rank], *other = &p->sides[!rank];
    for (uint32_t i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&other->count, memory_order_acquire) >= count)
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&self->sleeps, true);
    while (atomic_load(&other->count) < count)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_store(&self->sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

static void meet(struct ppo_pair *p, uint32_t rank)
{
    count_up(p, rank);
    await(p, rank, atomic_load_explicit(&p->sides[rank].count, memory_order_relaxed));
}

/* ---- What the share is given ---- */

static int sum(void *arg, void *data, size_t n, size_t element)
{
    struct side *self = arg;
    struct ppo_pair *p = self->pair;
    union {
        float f32[CHUNK];
        double f64[CHUNK];
    } sums;
    self->data = data;
    meet(p, self->rank);
    const char *a = p->sides[0].data, *b = p->sides[1].data;
    for (size_t from = 0, k; from < n; from += k) {
        k = n - from < CHUNK ? n - from : CHUNK;
        for (size_t i = from; i < from + k; i++) {
            if (element == sizeof(float))
                sums.f32[i - from] =
                    ((const float *)(const void *)a)[i] + ((const float *)(const void *)b)[i];
            else
                sums.f64[i - from] =
                    ((const double *)(const void *)a)[i] + ((const double *)(const void *)b)[i];
        }
        meet(p, self->rank); /* both have read it */
        memcpy((char *)data + from * element, &sums, k * element);
    }
    return 0;
}

static int spread(void *arg, void *data, size_t bytes, uint32_t root)
{
    struct side *self = arg;
    struct ppo_pair *p = self->pair;
    self->data = data;
    meet(p, self->rank);
    if (self->rank != root)
        memcpy(data, p->sides[root].data, bytes);
    meet(p, self->rank);
    return 0;
}

/* ---- The second one ---- */

/* As the first one is now: its caller may have loaded a state. */
static void follow(struct ppo *ppo, const struct ppo *first)
{
    size_t bytes = nn_count(ppo->nn) * ppo->backend->element;
    memcpy(nn_params(ppo->nn), nn_params(first->nn), bytes);
    memcpy(ppo->learner.moments, first->learner.moments, 2 * bytes);
    ppo->learner.steps = first->learner.steps;
    ppo->shuffle_state = first->shuffle_state;
    ppo->kl_coef = first->kl_coef;
}

/* Meetings: when an update is near, when it is there, when it may begin, when it is done. */
static void *run(void *arg)
{
    struct ppo_pair *p = arg;
    for (;;) {
        struct ppo_stats stats;
        meet(p, 1);
        meet(p, 1);
        if (p->ends)
            return NULL;
        follow(p->sides[1].ppo, p->sides[0].ppo);
        meet(p, 1);
        (void)ppo_update(p->sides[1].ppo, p->batch, p->progress, &stats); /* its sums do not fail */
        meet(p, 1);
    }
}

static void make_ready(struct ppo_pair *p)
{
    if (!p->ready)
        count_up(p, 0);
    p->ready = true;
}

void ppo_pair_ready(struct ppo_pair *p)
{
    if (!p->alone_left)
        make_ready(p);
}

static int update_both(struct ppo_pair *p, const struct ppo_batch *batch, double progress,
                       struct ppo_stats *ret_stats)
{
    p->batch = batch;
    p->progress = progress;
    make_ready(p);
    meet(p, 0);
    meet(p, 0);
    int rc = ppo_update(p->sides[0].ppo, batch, progress, ret_stats);
    meet(p, 0);
    p->ready = false;
    return rc;
}

static void share(struct ppo_pair *p, uint32_t rank, bool alone)
{
    struct ppo_share share = {
        .rank = rank, .size = alone ? 1 : 2, .sum = sum, .spread = spread, .arg = &p->sides[rank]};
    ppo_share(p->sides[rank].ppo, &share);
}

int ppo_pair_update(struct ppo_pair *p, const struct ppo_batch *batch, double progress,
                    struct ppo_stats *ret_stats)
{
    bool alone = p->alone_left > 0;
    double began = report_now(CLOCK_MONOTONIC);
    share(p, 0, alone);
    int rc = alone ? ppo_update(p->sides[0].ppo, batch, progress, ret_stats)
                   : update_both(p, batch, progress, ret_stats);
    double took = report_now(CLOCK_MONOTONIC) - began;
    if (alone) {
        p->alone_s = took;
        p->alone_left--;
    } else if (took < p->alone_s) {
        p->slow = 0;
    } else if (++p->slow == SLOW) {
        p->slow = 0;
        p->alone_left = ALONE;
    }
    return rc;
}

/* ---- Life ---- */

static bool have_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

static int start(struct ppo_pair *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        p->sides[i].pair = p;
        p->sides[i].rank = i;
        share(p, i, false);
    }
    p->alone_left = 1; /* to know how long one takes */
    return pthread_create(&p->thread, NULL, run, p) == 0 ? 0 : RTC_E_OS;
}

static void free_pair(struct ppo_pair **pair)
{
    share(*pair, 0, true);
    ppo_destroy(&(*pair)->sides[1].ppo);
    free(*pair);
    *pair = NULL;
}

int ppo_pair_open(struct ppo *first, struct ppo_pair **ret_pair)
{
    char why[256];
    *ret_pair = NULL;
    if (!have_cores() || !ppo_apart(first))
        return 0;
    struct ppo_pair *p = aligned_alloc(_Alignof(struct ppo_pair), sizeof(*p));
    if (!p)
        return RTC_E_NOMEM;
    memset(p, 0, sizeof(*p));
    p->sides[0].ppo = first;
    int rc = ppo_create(&first->config, first->backend, &p->sides[1].ppo, why, sizeof(why));
    if (rc == 0)
        rc = start(p);
    if (rc < 0)
        free_pair(&p);
    *ret_pair = p;
    return rc;
}

void ppo_pair_close(struct ppo_pair **pair)
{
    struct ppo_pair *p = *pair;
    if (!p)
        return;
    p->ends = true;
    make_ready(p);
    meet(p, 0);
    pthread_join(p->thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free_pair(pair);
}
