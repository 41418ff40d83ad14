#include "actors/de/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/evaluation.h"
#include "actors/report/clock.h"

#define TASK_SECONDS 200e-6 /* a task that lasts so long is worth its while */
#define CRASHES      3      /* that an evaluation survives, as the runtime has it */
#define STRAGGLES    2.5    /* times the mean: then it gets a second copy */

struct flight;
struct leg { /* of a flight: its task, or the second one of the same points */
    struct flight *flight;
    rtc_ref ref;
    bool waits; /* its callback has not run yet */
};
struct flight {
    struct de_pool *pool;
    struct flight *next, *previous; /* of all that live */
    struct leg legs[2];
    bool done, held; /* held: waits to be read */
    int attempts;
    uint32_t n;
    double sent;
    uint64_t *ids;
    double *x;
    void *answers; /* a copy of what came back; NULL: it failed as a whole */
    size_t size;
};
struct de_pool {
    struct rtc *rtc;
    const struct rtc_de_options *o;
    void *spec;
    size_t spec_size;
    const char *task;
    struct flight *out;
    struct flight **ready;                 /* came back, in order */
    uint32_t n_ready, cap_ready, at_ready; /* at_ready: being read */
    size_t at_answer;
    uint32_t at_point, batch, n_adding, cap_adding;
    uint64_t *ids; /* being added */
    double *x, mean_seconds;
    char why[640];
    int fatal, busy; /* busy: callbacks may run while the flights are gone through */
    struct de_pool_counts counts;
};

static bool make_room(struct de_pool *pool, uint32_t points)
{
    if (points <= pool->cap_adding)
        return true;
    uint64_t *ids = realloc(pool->ids, points * sizeof(*ids));
    pool->ids = ids ? ids : pool->ids;
    double *x = realloc(pool->x, (size_t)points * pool->o->n * sizeof(double));
    pool->x = x ? x : pool->x;
    pool->cap_adding = ids && x ? points : pool->cap_adding;
    return ids && x;
}

struct de_pool *de_pool_create(struct rtc *rtc, const struct rtc_de_options *options)
{
    struct de_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->rtc = rtc;
    pool->o = options;
    pool->task = options->kind == RTC_DE_TASK ? options->objective : DE_TASK;
    pool->spec = de_spec_pack(options, &pool->spec_size);
    pool->batch = 1;
    if (pool->spec && make_room(pool, DE_BATCH))
        return pool;
    de_pool_free(pool);
    return NULL;
}

static void free_flight(struct flight *flight)
{
    if (flight) {
        free(flight->ids);
        free(flight->x);
        free(flight->answers);
    }
    free(flight);
}

static void drop(struct flight *f);

static bool waits(const struct flight *f)
{
    return f->legs[0].waits || f->legs[1].waits;
}

/* Calls into the runtime run callbacks, which may end any flight: none is freed meanwhile. */
static void sweep(struct de_pool *pool)
{
    for (struct flight *f = pool->out, *next; f; f = next) {
        next = f->next;
        drop(f);
    }
}

int de_pool_clear(struct de_pool *pool)
{
    bool waiting = true;
    int rc = 0;
    pool->busy++;
    for (struct flight *f = pool->out; f; f = f->next)
        f->done = true; /* callbacks leave it alone */
    for (struct flight *f = pool->out; f; f = f->next) {
        for (int k = 0; k < 2; k++) {
            if (f->legs[k].waits)
                (void)!rtc_cancel(pool->rtc, f->legs[k].ref, RTC_CANCEL_FORCE);
        }
    }
    while (waiting) {
        waiting = false;
        for (struct flight *f = pool->out; f; f = f->next)
            waiting |= waits(f);
        if (waiting && rc < 0 && rc != RTC_E_TIMEOUT)
            return rc; /* the cluster is lost, and all would have come back in the call that told */
        rc = waiting ? rtc_poll(pool->rtc, RTC_S(1)) : 0;
    }
    for (struct flight *f = pool->out, *next; f; f = next) {
        next = f->next;
        free_flight(f);
    }
    pool->out = NULL;
    pool->busy--;
    pool->n_ready = pool->at_ready = pool->at_point = pool->n_adding = 0;
    pool->at_answer = 0;
    pool->counts.points = pool->counts.tasks = pool->counts.ready = 0;
    return 0;
}

void de_pool_free(struct de_pool *pool)
{
    if (!pool || de_pool_clear(pool) < 0)
        return;
    free(pool->ready);
    free(pool->spec);
    free(pool->ids);
    free(pool->x);
    free(pool);
}

/* ---- Out ---- */

static void on_done(struct rtc *rtc, rtc_ref ref, void *arg);

static int send(struct de_pool *pool, struct flight *flight, int copy)
{
    const struct rtc_de_options *o = pool->o;
    int rc = rtc_submit(
        pool->rtc, pool->task,
        RTC_ARGS(rtc_bytes(flight->x, (size_t)flight->n * o->n * sizeof(double)),
                 rtc_bytes(pool->spec, pool->spec_size)),
        RTC_OPTIONS(.cpus = o->cpus, .mem = o->mem, .retries = o->deadline > 0 ? RTC_NO_RETRY : 0),
        &flight->legs[copy].ref);
    if (rc < 0)
        return rc;
    flight->legs[copy].flight = flight;
    flight->legs[copy].waits = true;
    return rtc_then(pool->rtc, flight->legs[copy].ref, on_done, &flight->legs[copy]);
}

static int launch(struct de_pool *pool, const uint64_t *ids, const double *x, uint32_t n,
                  int attempts)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    size_t size = (size_t)n * pool->o->n * sizeof(double);
    if (!flight)
        return RTC_E_NOMEM;
    flight->pool = pool;
    flight->n = n;
    flight->attempts = attempts;
    flight->sent = report_now(CLOCK_MONOTONIC);
    flight->ids = malloc(n * sizeof(*flight->ids));
    flight->x = malloc(size);
    if (!flight->ids || !flight->x) {
        free_flight(flight);
        return RTC_E_NOMEM;
    }
    memcpy(flight->ids, ids, n * sizeof(*ids));
    memcpy(flight->x, x, size);
    flight->next = pool->out;
    if (pool->out)
        pool->out->previous = flight;
    pool->out = flight;
    pool->counts.tasks++;
    return send(pool, flight, 0);
}

int de_pool_send(struct de_pool *pool)
{
    uint32_t n = pool->n_adding;
    pool->n_adding = 0;
    return n ? launch(pool, pool->ids, pool->x, n, 0) : 0;
}

int de_pool_add(struct de_pool *pool, uint64_t id, const double *x)
{
    memcpy(pool->x + (size_t)pool->n_adding * pool->o->n, x, pool->o->n * sizeof(double));
    pool->ids[pool->n_adding++] = id;
    pool->counts.points++;
    return pool->n_adding >= pool->batch ? de_pool_send(pool) : 0;
}

void de_pool_set_batch(struct de_pool *pool, uint32_t together, uint32_t workers)
{
    if (pool->o->vectorized) {
        pool->batch = make_room(pool, together) ? together : pool->cap_adding;
        return;
    }
    double fit = pool->mean_seconds > 0 ? TASK_SECONDS / pool->mean_seconds : 1;
    /* Two tasks for each worker even out what differs; where all is over in a moment, one does. */
    double whole = pool->mean_seconds * together;
    uint32_t tasks = (whole > 0 && whole < 1e-3 ? 1 : 2) * (workers ? workers : 1);
    uint32_t most = (together + tasks - 1) / tasks;
    uint32_t batch = fit < 1 ? 1 : fit > DE_BATCH ? DE_BATCH : (uint32_t)fit;
    pool->batch = batch < most ? batch : most;
}

int de_pool_second_copies(struct de_pool *pool, uint32_t idle)
{
    double t = report_now(CLOCK_MONOTONIC);
    int rc = 0;
    pool->busy++;
    for (struct flight *f = pool->out; f && idle && rc == 0 && pool->mean_seconds > 0;
         f = f->next) {
        double enough = STRAGGLES * pool->mean_seconds * f->n + 0.05;
        if (f->done || f->legs[1].waits || t - f->sent < enough)
            continue;
        rc = send(pool, f, 1);
        pool->counts.copies += rc == 0;
        idle--;
    }
    pool->busy--;
    sweep(pool);
    return rc;
}

/* ---- Back ---- */

static void unlink_flight(struct de_pool *pool, struct flight *f)
{
    if (f->previous)
        f->previous->next = f->next;
    else
        pool->out = f->next;
    if (f->next)
        f->next->previous = f->previous;
}

/* The memory of a flight lives until all its callbacks ran, and until it was read. */
static void drop(struct flight *f)
{
    if (!f->done || f->held || waits(f) || f->pool->busy)
        return;
    unlink_flight(f->pool, f);
    free_flight(f);
}

static void push_ready(struct de_pool *pool, struct flight *flight)
{
    if (pool->n_ready == pool->cap_ready) {
        uint32_t cap = pool->cap_ready ? 2 * pool->cap_ready : 64;
        struct flight **ready = realloc(pool->ready, cap * sizeof(struct flight *));
        if (!ready) {
            pool->fatal = RTC_E_NOMEM;
            return;
        }
        pool->ready = ready;
        pool->cap_ready = cap;
    }
    flight->held = true;
    pool->ready[pool->n_ready++] = flight;
    pool->counts.ready += flight->n;
}

static int most_attempts(const struct rtc_de_options *o)
{
    if (o->on_failure == RTC_DE_PENALISE || o->retries == RTC_NO_RETRY)
        return 0;
    return o->retries ? o->retries : 2;
}

/* The points of a task that failed as a whole, once more: each by itself, if there were several.
 * Deadlines are watched in the executors, since the time in the queue is none of an evaluation's;
 * one that overran dies like any other, and the runtime does not try it again. */
static bool again(struct de_pool *pool, struct flight *f, const struct rtc_failure *failure)
{
    int most = most_attempts(pool->o);
    bool late = failure->exit_status == DE_LATE;
    if (late)
        snprintf(pool->why, sizeof(pool->why), "it did not end within %g s, the deadline",
                 pool->o->deadline);
    else if (pool->o->deadline > 0 && failure->code == RTC_E_CRASHED && most < CRASHES)
        most = CRASHES;
    if (f->n == 1 && f->attempts >= most)
        return false;
    for (uint32_t i = 0; i < f->n; i++) {
        int rc =
            launch(pool, &f->ids[i], f->x + (size_t)i * pool->o->n, 1, f->attempts + (f->n == 1));
        pool->fatal = rc < 0 ? rc : pool->fatal;
    }
    pool->counts.tasks--;
    return true;
}

/* As soon as they are back: stragglers are looked for while a generation is still out. The CPU time
 * of a task stands in its last answer. */
static void learn_durations(struct de_pool *pool, const struct flight *f)
{
    struct de_answer a;
    double cores = pool->o->cpus < 1 ? 1 : pool->o->cpus, whole = 0;
    for (size_t at = 0; de_answer_next(f->answers, f->size, &at, &a);) {
        double s = a.seconds;
        whole += s;
        pool->mean_seconds = pool->mean_seconds > 0 ? 0.98 * pool->mean_seconds + 0.02 * s : s;
        if (whole > 0.05 && a.cpu_seconds > 1.5 * whole * cores + 0.05)
            pool->counts.overcommitted = true;
    }
    pool->counts.busy_seconds += whole;
}

static void came_back(struct flight *f, struct rtc *rtc, rtc_ref ref)
{
    struct de_pool *pool = f->pool;
    struct rtc_value v;
    int rc = rtc_get(rtc, ref, RTC_FOREVER, &v);
    if (rc == RTC_E_DISCONNECTED || rc == RTC_E_CLOSED) {
        pool->fatal = rc;
        return;
    }
    if (rc == 0 && v.type == RTC_BYTES) {
        f->answers = malloc(v.as.bytes.size + 1);
        f->size = v.as.bytes.size;
        if (f->answers) {
            memcpy(f->answers, v.as.bytes.data, f->size);
            learn_durations(pool, f);
        }
    } else {
        snprintf(pool->why, sizeof(pool->why), "%s", rc < 0 ? rtc_last_error() : "no answer");
    }
    if (rc < 0 && waits(f))
        return; /* the other copy may still do it */
    f->done = true;
    struct rtc_failure failure = {.code = rc};
    if (rc < 0 && rtc_failure_of(rtc, ref, &failure) < 0)
        failure.code = rc;
    if (rc < 0 && again(pool, f, &failure))
        return;
    push_ready(pool, f);
}

static void on_done(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct leg *leg = arg;
    struct flight *f = leg->flight;
    struct leg *other = leg == &f->legs[0] ? &f->legs[1] : &f->legs[0];
    leg->waits = false;
    bool late = f->done;
    if (!late)
        came_back(f, rtc, ref);
    (void)!rtc_release(rtc, ref); /* it is ours: it cannot fail */
    if (!late && f->done && other->waits)
        (void)!rtc_cancel(rtc, other->ref, RTC_CANCEL_FORCE);
    drop(f);
}

int de_pool_wait(struct de_pool *pool, int64_t timeout)
{
    int rc = rtc_poll(pool->rtc, timeout);
    if (pool->fatal)
        return pool->fatal;
    return rc == RTC_E_TIMEOUT ? 0 : rc;
}

/* One answer of a flight that is being read; false when an evaluation that failed is tried again.
 */
static bool take(struct de_pool *pool, struct flight *f, uint32_t i, struct de_done *done)
{
    struct de_answer a = {.value = NAN, .failed = true, .why = pool->why, .node = ""};
    if (f->answers && !de_answer_next(f->answers, f->size, &pool->at_answer, &a))
        a = (struct de_answer){.value = NAN, .failed = true, .why = "no answer", .node = ""};
    const double *x = f->x + (size_t)i * pool->o->n;
    if (!a.failed && isnan(a.value)) {
        a.failed = true;
        a.why = "its value is not a number (NaN)";
    }
    if (!a.failed && pool->o->targets && a.n_moments != pool->o->n_moments) {
        snprintf(pool->why, sizeof(pool->why), "it gave %u moments, and there are %u targets",
                 a.n_moments, pool->o->n_moments);
        a.failed = true;
        a.why = pool->why;
    }
    *done = (struct de_done){.id = f->ids[i],
                             .x = x,
                             .moments = a.moments,
                             .n_moments = a.n_moments,
                             .value = a.failed ? NAN : a.value,
                             .seconds = a.seconds,
                             .failed = a.failed,
                             .node = a.node};
    if (!a.failed)
        return true;
    bool whole = !f->answers; /* tried again already */
    if (!whole && f->attempts < most_attempts(pool->o)) {
        int rc = launch(pool, &f->ids[i], x, 1, f->attempts + 1);
        pool->fatal = rc < 0 ? rc : pool->fatal;
        return false;
    }
    pool->counts.failed++;
    if (pool->o->failed)
        pool->o->failed(pool->o->arg, x, a.why);
    if (pool->o->on_failure != RTC_DE_FATAL)
        return true;
    /* It does not count: started again, it is tried again. */
    pool->fatal = de_fail(RTC_E_TASK_FAILED, "an evaluation failed: %s", a.why);
    return false;
}

int de_pool_error(const struct de_pool *pool)
{
    return pool->fatal;
}

bool de_pool_next(struct de_pool *pool, struct de_done *ret_done)
{
    while (pool->at_ready < pool->n_ready && !pool->fatal) {
        struct flight *f = pool->ready[pool->at_ready];
        if (pool->at_point == f->n) {
            pool->at_point = 0;
            pool->at_answer = 0;
            pool->at_ready++;
            pool->counts.tasks--;
            f->held = false;
            drop(f); /* or on_done() does, once a copy that is being cancelled is gone */
            continue;
        }
        uint32_t i = pool->at_point++;
        pool->counts.ready--;
        if (take(pool, f, i, ret_done)) {
            pool->counts.points--;
            return true;
        }
    }
    if (!pool->fatal)
        pool->n_ready = pool->at_ready = 0;
    return false;
}

void de_pool_why(struct de_pool *pool, char *text, size_t size)
{
    text[0] = 0;
    pool->busy++;
    for (struct flight *f = pool->out; f && !text[0]; f = f->next) {
        if (f->legs[0].waits && rtc_why(pool->rtc, f->legs[0].ref, text, size) < 0)
            text[0] = 0;
    }
    pool->busy--;
    sweep(pool);
}

void de_pool_counts(const struct de_pool *pool, struct de_pool_counts *ret_counts)
{
    *ret_counts = pool->counts;
}
