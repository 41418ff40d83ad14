/* The loop between a method and the cluster. Every evaluation is in the key-value store before the
 * method hears of it; what stands there is not evaluated again. Since a method does the same when
 * it is told the same, a run that was killed, driver and all, goes through what it had done in a
 * moment and continues with the identical next point. */
#include "actors/de/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FLUSH 256u /* evaluations put into the store at once */

struct flight {
    rtc_ref ref;
    uint64_t id;
    double *x, value, seconds;
    bool used, failed;
    struct run *run;
    uint32_t index;
};
struct run {
    struct rtc *rtc;
    const struct de_options *o;
    struct de_box box;
    struct de_classic *classic;
    struct de_lshade *lshade;
    const double *batch; /* of the classic method: asked, handed out, told */
    double *batch_values;
    uint32_t n_batch, handed, back;
    struct flight *flights;
    uint32_t cap, n_flights, most;
    uint32_t *idle, *ready, n_ready; /* idle: cap - n_flights of them */
    struct de_stored **known;        /* what the store held, by hash; open addressing */
    size_t cap_known, n_known;
    uint64_t objective;
    uint64_t next_key; /* evaluations are numbered as they come */
    struct de_progress progress;
    void (*failed_fn)(void *arg, const double *x, const char *why);
    void *arg;
    double began;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Evaluations, in executors ---- */

/* kind, text, parameters → value, seconds */
RTC_TASK(de_evaluate)
{
    int64_t kind;
    const char *text;
    const void *x;
    size_t len, size;
    double value, begin = now();
    char why[600], name[512];
    RTC_TRY(rtc_arg_i64(call, 0, &kind));
    RTC_TRY(rtc_arg_str(call, 1, &text, &len));
    RTC_TRY(rtc_arg_bytes(call, 2, &x, &size));
    snprintf(name, sizeof(name), "%.*s", (int)len, text);
    if (de_objective_value((enum de_objective_kind)kind, name, x, (uint32_t)(size / sizeof(double)),
                           &value, why, sizeof(why)))
        return rtc_fail(call, RTC_E_TASK_FAILED, "%s", why);
    double result[2] = {value, now() - begin};
    return rtc_return_bytes(call, result, sizeof(result));
}

/* ---- The method, asked for one point at a time ---- */

static bool method_ask(struct run *run, uint64_t *ret_id, const double **ret_x)
{
    struct de_trial trial;
    if (run->lshade) {
        if (!de_lshade_ask(run->lshade, &trial))
            return false;
        *ret_id = trial.id;
        *ret_x = trial.x;
        return true;
    }
    if (run->handed == run->n_batch) {
        if (run->back < run->n_batch)
            return false;
        run->n_batch = de_classic_ask(run->classic, &run->batch);
        run->handed = run->back = 0;
    }
    if (!run->n_batch)
        return false;
    *ret_id = run->handed;
    *ret_x = run->batch + (size_t)run->handed++ * run->o->n;
    return true;
}

static void method_tell(struct run *run, uint64_t id, double value)
{
    if (run->lshade) {
        de_lshade_tell(run->lshade, id, value);
        return;
    }
    run->batch_values[id] = value;
    if (++run->back == run->n_batch)
        de_classic_tell(run->classic, run->batch_values);
}

static void method_state(struct run *run)
{
    if (run->lshade)
        de_lshade_state(run->lshade, &run->progress.state);
    else
        de_classic_state(run->classic, &run->progress.state);
}

static const char *method_create(struct run *run)
{
    const struct de_options *o = run->o;
    const char *error = NULL;
    if (o->method == DE_SCIPY) {
        struct de_random random;
        struct de_classic_options classic = o->classic;
        if (o->generator == DE_MT19937)
            de_random_mt19937(&random, (uint32_t)o->seed);
        else
            de_random_pcg64(&random, o->seed);
        classic.population = o->population ? o->population : de_population(15, o->n);
        classic.max_evaluations = o->max_evaluations;
        run->batch_values = calloc(classic.population, sizeof(double));
        run->classic = de_classic_create(&run->box, &classic, &random, &error);
        return run->classic && run->batch_values ? NULL : error ? error : "out of memory";
    }
    struct de_lshade_options lshade = {.seed = o->seed,
                                       .max_evaluations =
                                           o->max_evaluations ? o->max_evaluations : 1000ull * o->n,
                                       .population = o->population,
                                       .workers = run->progress.workers,
                                       .async = o->method == DE_LSHADE_ASYNC};
    run->lshade = de_lshade_create(&run->box, &lshade, &error);
    return run->lshade ? NULL : error ? error : "out of memory";
}

/* ---- The journal ---- */

static uint64_t hash_objective(const struct de_options *o)
{
    uint64_t hash = 0xcbf29ce484222325u + (uint64_t)o->kind;
    for (const char *at = o->objective; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_point(const struct de_options *o, const double *x)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < o->n; i++) {
        uint64_t word;
        memcpy(&word, &x[i], sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static size_t stored_size(uint32_t n)
{
    return sizeof(struct de_stored) + n * sizeof(double);
}

static void remember(struct run *run, struct de_stored *stored)
{
    uint64_t at = hash_point(run->o, (const double *)(stored + 1));
    while (run->known[at & (run->cap_known - 1)])
        at++;
    run->known[at & (run->cap_known - 1)] = stored;
    run->n_known++;
}

/* What the list gives need not be aligned: it is copied before it is looked at. */
static struct de_stored *copy_stored(const void *data, size_t size)
{
    struct de_stored *copy = size < sizeof(*copy) ? NULL : malloc(size);
    if (!copy)
        return NULL;
    memcpy(copy, data, size);
    if (size == stored_size(copy->n))
        return copy;
    free(copy);
    return NULL;
}

static bool grow_known(struct run *run)
{
    struct de_stored **old = run->known;
    size_t cap = run->cap_known;
    run->known = calloc(2 * cap, sizeof(*run->known));
    if (!run->known) {
        run->known = old;
        return false;
    }
    run->cap_known = 2 * cap;
    run->n_known = 0;
    for (size_t i = 0; i < cap; i++) {
        if (old[i])
            remember(run, old[i]);
    }
    free(old);
    return true;
}

static int load_one(void *arg, const char *key, const void *data, size_t size)
{
    struct run *run = arg;
    const char *number = strrchr(key, '/');
    struct de_stored *stored = copy_stored(data, size);
    if (number)
        run->next_key = strtoull(number + 1, NULL, 10) + 1; /* they come in order */
    if (!stored)
        return 0;
    if (stored->n != run->o->n || stored->objective != run->objective ||
        (2 * (run->n_known + 1) > run->cap_known && !grow_known(run))) {
        free(stored); /* of another number of parameters, or objective; or evaluated again */
        return 0;
    }
    remember(run, stored);
    return 0;
}

static const struct de_stored *look_up(const struct run *run, const double *x)
{
    for (uint64_t at = hash_point(run->o, x); run->known[at & (run->cap_known - 1)]; at++) {
        const struct de_stored *stored = run->known[at & (run->cap_known - 1)];
        if (!memcmp(stored + 1, x, run->o->n * sizeof(double)))
            return stored;
    }
    return NULL;
}

/* All that came back, in the store; then the method is told. */
static int count_ready(struct run *run)
{
    struct rtc_kv_pair pairs[FLUSH];
    static char keys[FLUSH][128];
    size_t size = stored_size(run->o->n);
    char *data = malloc(FLUSH * size);
    int rc = data ? 0 : RTC_E_NOMEM;
    for (uint32_t from = 0; rc == 0 && from < run->n_ready; from += FLUSH) {
        uint32_t part = run->n_ready - from < FLUSH ? run->n_ready - from : FLUSH;
        for (uint32_t i = 0; i < part; i++) {
            const struct flight *flight = &run->flights[run->ready[from + i]];
            struct de_stored *stored = (struct de_stored *)(data + i * size);
            *stored = (struct de_stored){flight->value, flight->seconds, run->o->n, flight->failed,
                                         run->objective};
            memcpy(stored + 1, flight->x, run->o->n * sizeof(double));
            snprintf(keys[i], sizeof(keys[i]), "de/%.64s/%012llu", run->o->name,
                     (unsigned long long)run->next_key++);
            pairs[i] = (struct rtc_kv_pair){keys[i], stored, size};
        }
        rc = rtc_kv_put_many(run->rtc, pairs, part);
    }
    free(data);
    for (uint32_t i = 0; rc == 0 && i < run->n_ready; i++) {
        struct flight *flight = &run->flights[run->ready[i]];
        run->progress.evaluated++;
        run->progress.failed += flight->failed;
        run->progress.busy_seconds += flight->seconds;
        flight->used = false;
        run->idle[run->cap - run->n_flights--] = flight->index;
        method_tell(run, flight->id, flight->value);
    }
    run->n_ready = 0;
    return rc;
}

/* ---- The loop ---- */

static void on_done(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct flight *flight = arg;
    struct run *run = flight->run;
    struct rtc_value v;
    double result[2] = {INFINITY, 0};
    int rc = rtc_get(rtc, ref, RTC_FOREVER, &v);
    flight->failed = rc < 0 || v.type != RTC_BYTES || v.as.bytes.size != sizeof(result);
    if (!flight->failed)
        memcpy(result, v.as.bytes.data, sizeof(result));
    else if (run->failed_fn)
        run->failed_fn(run->arg, flight->x, rtc_last_error());
    flight->failed |= isnan(result[0]);
    flight->value = isnan(result[0]) ? INFINITY : result[0];
    flight->seconds = result[1];
    run->ready[run->n_ready++] = flight->index;
    (void)!rtc_release(rtc, ref); /* it is ours: it cannot fail */
}

static int submit(struct run *run, uint64_t id, const double *x)
{
    const struct de_options *o = run->o;
    struct flight *flight = &run->flights[run->idle[run->cap - run->n_flights - 1]];
    flight->used = true;
    flight->id = id;
    memcpy(flight->x, x, o->n * sizeof(double));
    int rc = rtc_submit(
        run->rtc, "de_evaluate",
        RTC_ARGS(rtc_i64(o->kind), rtc_str(o->objective), rtc_bytes(x, o->n * sizeof(double))),
        RTC_OPTIONS(.deadline = (int64_t)(o->deadline_s * 1e9)), &flight->ref);
    if (rc == 0)
        rc = rtc_then(run->rtc, flight->ref, on_done, flight);
    run->n_flights += rc == 0;
    return rc;
}

/* As many as may be in flight; what is known is told at once. */
static int feed(struct run *run)
{
    uint64_t id;
    const double *x;
    while (run->n_flights < run->most && method_ask(run, &id, &x)) {
        const struct de_stored *stored = look_up(run, x);
        if (stored) {
            run->progress.reused++;
            method_tell(run, id, stored->value);
            continue;
        }
        int rc = submit(run, id, x);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const char *budget_spent(const struct run *run)
{
    if (run->o->max_seconds > 0 && now() - run->began > run->o->max_seconds)
        return "the time is up";
    if (run->progress.state.best <= run->o->target)
        return "the target is reached";
    return NULL;
}

static int loop(struct run *run, bool (*progress)(void *arg, const struct de_progress *progress),
                const char **ret_message)
{
    double told = now();
    /* A generation counts when it is whole, if all of it is out at once. */
    bool together = run->o->method != DE_LSHADE_ASYNC && run->cap >= run->progress.state.population;
    for (;;) {
        int rc = feed(run);
        if (rc < 0)
            return rc;
        if (!run->n_flights)
            return 0;
        while (rc == 0 && (together ? run->n_ready < run->n_flights : !run->n_ready)) {
            rc = rtc_poll(run->rtc, RTC_MS(200));
            rc = rc == RTC_E_TIMEOUT ? 0 : rc;
            if (rc == 0 && now() - told > 0.5) {
                told = now();
                method_state(run);
                run->progress.seconds = told - run->began;
                run->progress.in_flight = run->n_flights;
                if ((*ret_message = budget_spent(run)))
                    return 0;
                if (progress && !progress(run->arg, &run->progress)) {
                    *ret_message = "it was stopped";
                    return 0;
                }
            }
        }
        if (rc == 0)
            rc = count_ready(run);
        if (rc < 0)
            return rc;
        method_state(run);
        if ((*ret_message = budget_spent(run)))
            return 0;
    }
}

static uint32_t cluster_cpus(struct rtc *rtc)
{
    struct rtc_node_info nodes[256];
    size_t n = 0;
    double cpus = 0;
    if (rtc_nodes(rtc, nodes, 256, &n) < 0)
        return 1;
    for (size_t i = 0; i < n && i < 256; i++)
        cpus += nodes[i].cpus;
    return cpus < 1 ? 1 : (uint32_t)cpus;
}

static int prepare(struct run *run, const char **ret_error)
{
    const struct de_options *o = run->o;
    uint32_t cpus = cluster_cpus(run->rtc);
    run->progress.workers = o->workers > 0 ? (uint32_t)o->workers : cpus;
    /* A generation's points are all there at once: what does not run waits in the cluster's queue.
     */
    run->most = o->workers > 0 ? (uint32_t)o->workers : o->method == DE_LSHADE_ASYNC ? cpus : 65536;
    *ret_error = method_create(run);
    if (*ret_error)
        return RTC_E_INVALID;
    method_state(run);
    uint32_t size = run->progress.state.population;
    run->cap = run->most < size ? run->most : size;
    if (o->method == DE_LSHADE_ASYNC)
        run->cap = run->most;
    run->most = run->cap;
    run->cap_known = 1024;
    run->known = calloc(run->cap_known, sizeof(*run->known));
    run->flights = calloc(run->cap, sizeof(*run->flights));
    run->ready = calloc(run->cap, sizeof(*run->ready));
    run->idle = calloc(run->cap, sizeof(*run->idle));
    double *x = calloc((size_t)run->cap * o->n, sizeof(double));
    if (!run->known || !run->flights || !run->ready || !run->idle || !x) {
        free(x);
        *ret_error = "out of memory";
        return RTC_E_NOMEM;
    }
    for (uint32_t i = 0; i < run->cap; i++) {
        run->flights[i] = (struct flight){.x = x + (size_t)i * o->n, .run = run, .index = i};
        run->idle[i] = i;
    }
    char prefix[80];
    snprintf(prefix, sizeof(prefix), "de/%.64s/", o->name);
    return rtc_kv_list(run->rtc, prefix, load_one, run);
}

static const char *message_of(const struct run *run)
{
    static const char *const messages[] = {
        [DE_RUNNING] = "it was stopped",
        [DE_CONVERGED] = "Optimization terminated successfully.",
        [DE_MAX_GENERATIONS] = "Maximum number of iterations has been exceeded.",
        [DE_MAX_EVALUATIONS] = "Maximum number of function evaluations has been exceeded.",
        [DE_REACHED_EVALUATIONS] = "Maximum number of function evaluations has been reached."};
    return messages[run->progress.state.status];
}

/* What is still out is of no use any more; its callbacks must have run before its memory goes. */
static void clean_up(struct run *run)
{
    run->failed_fn = NULL;
    for (uint32_t i = 0; i < run->cap && run->n_ready < run->n_flights; i++) {
        if (run->flights[i].used)
            (void)!rtc_cancel(run->rtc, run->flights[i].ref, RTC_CANCEL_FORCE);
    }
    while (run->n_ready < run->n_flights) {
        int rc = rtc_poll(run->rtc, RTC_S(1));
        if (rc < 0 && rc != RTC_E_TIMEOUT)
            break;
    }
    for (size_t i = 0; run->known && i < run->cap_known; i++)
        free(run->known[i]);
    free(run->known);
    if (run->flights)
        free(run->flights[0].x);
    free(run->flights);
    free(run->ready);
    free(run->idle);
    free(run->batch_values);
    de_classic_free(run->classic);
    de_lshade_free(run->lshade);
}

int de_run(struct rtc *rtc, const struct de_options *options,
           bool (*progress)(void *arg, const struct de_progress *progress),
           void (*failed_fn)(void *arg, const double *x, const char *why), void *arg,
           struct de_result *ret_result, const char **ret_error)
{
    struct run run = {.rtc = rtc,
                      .o = options,
                      .box = {options->n, options->lower, options->upper},
                      .failed_fn = failed_fn,
                      .arg = arg,
                      .began = now()};
    *ret_result = (struct de_result){0};
    *ret_error = de_objective_check(options->kind, options->objective);
    if (!*ret_error)
        run.objective = hash_objective(options);
    int rc = *ret_error ? RTC_E_INVALID : prepare(&run, ret_error);
    if (rc == 0)
        rc = loop(&run, progress, &ret_result->message);
    if (rc == 0) {
        method_state(&run);
        run.progress.seconds = now() - run.began;
        run.progress.in_flight = run.n_flights;
        ret_result->x = calloc(options->n, sizeof(double));
        ret_result->progress = run.progress;
        ret_result->value = run.progress.state.best;
        if (!ret_result->message)
            ret_result->message = message_of(&run);
        if (ret_result->x && run.lshade)
            de_lshade_best(run.lshade, ret_result->x);
        else if (ret_result->x)
            de_classic_best(run.classic, ret_result->x);
    }
    clean_up(&run);
    return rc;
}
