/* rtc_de_run(): checks, begins, polishes, gives the result. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/digest.h"
#include "actors/de/members.h"
#include "actors/de/objective.h"
#include "actors/de/polish.h"
#include "actors/de/run.h"

/* ---- Checks ---- */

static const char *check(const struct rtc_de_options *o, char *why, size_t size)
{
    bool scipy = o->method == RTC_DE_CLASSIC;
    if (!o->lower || !o->upper)
        return "bounds are needed, low and high for each parameter";
    if (!o->n || (uint64_t)o->n + o->n_moments > 50000)
        return "between 1 and 50,000 parameters and moments are possible";
    if (o->population > 1000000 || (o->retries < 0 && o->retries != RTC_NO_RETRY) ||
        o->deadline < 0 || o->max_seconds < 0)
        return "population, retries, deadline and max_seconds cannot be negative, nor absurd";
    if (o->n_moments > RTC_DE_MOMENTS_MAX || (o->n_moments && !o->targets))
        return "moments need as many targets, at most 1,024";
    if (o->full_weights && !o->weights)
        return "full_weights needs weights, a row for each moment";
    for (uint32_t i = 0; i < o->n_moments; i++) {
        if (!isfinite(o->targets[i]) || (o->relative && o->targets[i] == 0))
            return "targets must be finite numbers, and not 0 when gaps are relative to them";
    }
    if (o->x0) {
        for (uint32_t j = 0; j < o->n; j++) {
            if (!(o->x0[j] >= fmin(o->lower[j], o->upper[j]) &&
                  o->x0[j] <= fmax(o->lower[j], o->upper[j])))
                return "x0 lies outside of the bounds";
        }
    }
    if (o->init == RTC_DE_ARRAY && (!o->init_points || o->n_init < 5))
        return "init is an array of at least 5 points, each of all parameters";
    if (o->method == RTC_DE_LSHADE && o->init != RTC_DE_LATIN_HYPERCUBE && o->init != RTC_DE_ARRAY)
        return "lshade begins with a Latin hypercube or an array";
    if (!scipy && o->method != RTC_DE_LSHADE && o->init != RTC_DE_LATIN_HYPERCUBE)
        return "neldermead and tiktak begin as they do: init is not for them";
    if (o->method == RTC_DE_TIKTAK && o->x0)
        return "tiktak begins with Sobol's points: x0 is not for it";
    if (o->async && !scipy && o->method != RTC_DE_LSHADE)
        return "async is a variant of lshade and differential_evolution";
    if (o->async && (o->immediate || o->vectorized || o->compat != RTC_DE_NATIVE))
        return "async goes with neither immediate updating, nor vectorized, nor compat";
    if (o->vectorized && (o->kind != RTC_DE_TASK || o->targets || !scipy))
        return "vectorized is for tasks in C, without moments, and differential_evolution";
    return de_objective_check(o->kind, o->objective, why, size);
}

/* What a method would say when it is created, as far as it needs no cluster for it. */
static const char *check_method(const struct rtc_de_options *o, char *why, size_t size)
{
    struct rtc_de_options full;
    struct de_strategy strategy;
    struct de_space space;
    de_defaults(o, &full);
    const char *error = o->method == RTC_DE_CLASSIC ? de_check(&full) : NULL;
    if (!error && o->method == RTC_DE_CLASSIC)
        error = de_strategy_find(&strategy, &full);
    if (error)
        return error;
    error = de_space_init(&space, o, o->compat != RTC_DE_NATIVE, why, size);
    de_space_free(&space);
    return error;
}

int rtc_de_check(const struct rtc_de_options *options)
{
    char why[600];
    const char *error = check(options, why, sizeof(why));
    if (!error)
        error = check_method(options, why, sizeof(why));
    return error ? de_fail(RTC_E_INVALID, "%s", error) : 0;
}

/* ---- Beginning ---- */

struct candidate {
    double value;
    const struct de_entry *entry;
};

static int by_value(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    uint64_t a_id = x->entry->id, b_id = y->entry->id; /* the same order whatever the sort */
    return a_id < b_id ? -1 : a_id > b_id;
}

static bool inside(const struct run *run, const struct de_entry *e)
{
    const double *x = de_entry_x(e);
    for (uint32_t j = 0; j < run->o->n; j++) {
        if (!(x[j] >= run->space.lower[j] && x[j] <= run->space.upper[j]))
            return false;
    }
    return true;
}

/* Whether its point is among those before it that have its value. */
static bool repeated(const struct candidate *all, size_t i, uint32_t n)
{
    for (size_t k = i; k-- > 0 && all[k].value == all[i].value;) {
        if (!memcmp(de_entry_x(all[k].entry), de_entry_x(all[i].entry), n * sizeof(double)))
            return true;
    }
    return false;
}

/* The best of what was evaluated under other settings, before the first evaluation under these: up
 * to half of a population, so that a run that is started again begins as it did. */
static int find_seeds(struct run *run)
{
    const struct de_journal *j = &run->journal;
    struct candidate *all = calloc(j->n_order + 1, sizeof(*all));
    size_t n = 0, most = run->o->population ? run->o->population / 2 : 5 * (size_t)run->o->n;
    run->seeds = calloc(most + 1, sizeof(struct de_entry *));
    for (size_t i = 0; all && i < j->n_order; i++) {
        const struct de_entry *e = j->order[i];
        if (e->objective != j->objective)
            continue;
        if (e->settings == j->settings)
            break;
        double value = de_value_of(run->o, e->value, de_entry_moments(e), e->n_moments);
        if (!e->failed && isfinite(value) && inside(run, e))
            all[n++] = (struct candidate){value, e};
    }
    if (all)
        qsort(all, n, sizeof(*all), by_value);
    for (size_t i = 0; run->seeds && i < n && run->n_seeds < most; i++) {
        if (!repeated(all, i, run->o->n))
            run->seeds[run->n_seeds++] = all[i].entry;
    }
    free(all);
    return run->seeds && all ? 0 : RTC_E_NOMEM;
}

static int create_machine(struct run *run)
{
    const struct rtc_de_options *o = run->o;
    const char *error = NULL;
    double *seeds = calloc((size_t)run->n_seeds * o->n + 1, sizeof(double));
    if (!seeds)
        return de_fail(RTC_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < run->n_seeds; i++)
        memcpy(seeds + (size_t)i * o->n, de_entry_x(run->seeds[i]), o->n * sizeof(double));
    run->machine =
        de_machine_create(o, &run->space, run->workers_begun, seeds, run->n_seeds, &error);
    free(seeds);
    return run->machine ? 0 : de_fail(RTC_E_INVALID, "%s", error);
}

static int prepare(struct run *run)
{
    const struct rtc_de_options *o = run->o;
    char why[600];
    int rc = rtc_de_check(o);
    if (rc < 0)
        return rc;
    const char *error = de_space_init(&run->space, o, o->compat != RTC_DE_NATIVE, why, sizeof(why));
    if (error)
        return de_fail(RTC_E_INVALID, "%s", error);
    de_run_look_at_workers(run);
    rc = de_journal_open(&run->journal, run->rtc, o->name, o->n, de_digest_objective(o),
                         de_digest_settings(o));
    if (rc == RTC_E_EXISTS)
        return de_fail(rc,
                       "the evaluations stored under \"%s\" are not of %u parameters: give the "
                       "run another name",
                       o->name, o->n);
    run->workers_begun = run->workers;
    if (rc == 0)
        rc = de_journal_begin(&run->journal, &run->workers_begun);
    if (rc == 0 && !o->no_reuse && o->compat == RTC_DE_NATIVE)
        rc = find_seeds(run);
    if (rc < 0)
        return de_fail(rc, "%s", rtc_last_error());
    rc = create_machine(run);
    if (rc < 0)
        return rc;
    run->x = calloc(o->n, sizeof(double));
    run->pool = de_pool_create(run->rtc, o);
    return run->pool && run->x ? 0 : de_fail(RTC_E_NOMEM, "out of memory");
}

/* ---- Polishing ---- */

/* Of points at once; what is stored is not evaluated again. */
static int evaluate_batch(void *arg, const double *points, uint32_t count, double *ret_values)
{
    struct run *run = arg;
    uint32_t n = run->o->n, missing = 0;
    struct de_done done;
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        const struct de_entry *e = de_journal_find(&run->journal, points + (size_t)i * n);
        ret_values[i] = NAN;
        if (e && (!run->o->targets || e->n_moments == run->o->n_moments)) {
            ret_values[i] = de_run_worth(run, e);
            run->reused++;
            continue;
        }
        rc = de_pool_add(run->pool, i, points + (size_t)i * n);
        missing++;
    }
    if (rc == 0)
        rc = de_pool_send(run->pool);
    while (rc == 0 && missing && !run->stop) {
        rc = de_pool_wait(run->pool, RTC_MS(200));
        while (rc == 0 && de_pool_next(run->pool, &done)) {
            rc = de_run_store(run, &done, false);
            ret_values[done.id] = de_run_worth(run, run->journal.order[run->journal.n_order - 1]);
            missing--;
        }
        rc = rc == 0 ? de_pool_error(run->pool) : rc;
        de_run_pause(run);
    }
    if (rc == 0)
        rc = de_journal_flush(&run->journal);
    run->polish_rc = rc;
    return rc == 0 && run->stop ? -1 : rc;
}

static bool all_integers(const struct rtc_de_options *o)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < o->n && o->integrality; j++)
        n += o->integrality[j];
    return n == o->n;
}

/* Taken when it is lower, inside of the bounds, and the search ended by itself. */
static int polish(struct run *run, struct rtc_de_result *result)
{
    const struct rtc_de_options *o = run->o;
    struct de_polished p = {.x = malloc(o->n * sizeof(double)),
                            .jacobian = malloc(o->n * sizeof(double))};
    const char *error = p.x && p.jacobian ? NULL : "out of memory";
    /* Trials that are still out, when it was stopped, have no one left to be told to. */
    run->polish_rc = de_pool_clear(run->pool);
    if (run->polish_rc < 0)
        error = rtc_last_error();
    run->stop = NULL; /* the time may still be up, or the callback end it */
    de_pool_set_batch(run->pool, 1, run->workers);
    if (!error)
        error = de_polish(&run->space, result->x, evaluate_batch, run, &p);
    result->evaluations += error ? 0 : p.evaluations;
    if (!error && p.success && p.value < result->value) {
        de_machine_improve(run->machine, p.x, p.value, p.evaluations);
        memcpy(result->x, p.x, o->n * sizeof(double));
        result->value = p.value;
        result->jacobian = p.jacobian;
        p.jacobian = NULL;
    }
    free(p.x);
    free(p.jacobian);
    if (run->polish_rc < 0)
        return run->polish_rc;
    return error ? de_fail(RTC_E_INVALID, "polishing: %s", error) : 0;
}

/* ---- The end ---- */

static void say_message(const struct run *run, const struct de_state *s, struct rtc_de_result *r)
{
    static const char *const messages[] = {
        [DE_RUNNING] = "it was stopped",
        [DE_CONVERGED] = "Optimization terminated successfully.",
        [DE_MAX_GENERATIONS] = "Maximum number of iterations has been exceeded.",
        [DE_MAX_EVALUATIONS] = "Maximum number of function evaluations has been exceeded.",
        [DE_REACHED_EVALUATIONS] = "Maximum number of function evaluations has been reached."};
    /* Methods that are sized by their budget have done what they should when it is spent. */
    bool sized = run->o->method != RTC_DE_CLASSIC && s->status == DE_REACHED_EVALUATIONS;
    r->success = run->stop ? run->success : s->status == DE_CONVERGED || sized;
    snprintf(r->message, sizeof(r->message), "%s", run->stop ? run->stop : messages[s->status]);
}

static void check_constraints(const struct run *run, struct rtc_de_result *r)
{
    r->n_violations = run->space.n_violations;
    if (!r->n_violations)
        return;
    r->violations = calloc(r->n_violations, sizeof(double));
    if (!r->violations || de_space_violations(&run->space, r->x, r->violations))
        return;
    for (uint32_t i = 0; i < r->n_violations; i++)
        r->worst_violation = fmax(r->worst_violation, r->violations[i]);
    r->success = false;
    snprintf(r->message, sizeof(r->message),
             "The solution does not satisfy the constraints, MAXCV = %.17g", r->worst_violation);
}

static bool copy_population(struct run *run, const struct de_state *s, struct rtc_de_result *r)
{
    uint32_t n = run->o->n;
    r->np = s->population;
    r->n = n;
    r->population = calloc((size_t)r->np * n + 1, sizeof(double));
    r->values = calloc(r->np + 1, sizeof(double));
    if (!r->population || !r->values)
        return false;
    for (size_t i = 0; s->members && i < (size_t)r->np * n; i++)
        r->population[i] = de_space_scale(&run->space, (uint32_t)(i % n), s->members[i]);
    if (s->values)
        memcpy(r->values, s->values, r->np * sizeof(double));
    return true;
}

static int give_result(struct run *run, struct rtc_de_result *r)
{
    struct de_state s;
    struct de_pool_counts counts;
    *r = (struct rtc_de_result){0};
    de_machine_state(run->machine, &s);
    r->x = calloc(run->o->n, sizeof(double));
    if (!r->x)
        return de_fail(RTC_E_NOMEM, "out of memory");
    de_machine_best(run->machine, r->x);
    r->value = s.best;
    r->generations = s.generation;
    r->evaluations = s.evaluations;
    say_message(run, &s, r);
    if (!isfinite(r->value)) {
        r->success = false;
        snprintf(r->message, sizeof(r->message), "no evaluation succeeded (%s)",
                 run->stop ? run->stop : "the budget is spent");
    }
    int rc = 0;
    if (run->o->polish && !run->abort && !all_integers(run->o))
        rc = polish(run, r);
    if (rc < 0)
        return rc;
    check_constraints(run, r);
    de_machine_state(run->machine, &s);
    const struct de_entry *e = de_journal_find(&run->journal, r->x);
    if (e && e->n_moments) {
        r->n_moments = e->n_moments;
        r->moments = calloc(e->n_moments, sizeof(double));
        if (r->moments)
            memcpy(r->moments, de_entry_moments(e), e->n_moments * sizeof(double));
    }
    de_pool_counts(run->pool, &counts);
    r->evaluated = run->evaluated;
    r->reused = run->reused;
    r->failed = counts.failed;
    r->copies = counts.copies;
    r->busy_seconds = counts.busy_seconds;
    r->seconds = report_now(CLOCK_MONOTONIC) - run->began;
    return copy_population(run, &s, r) ? 0 : de_fail(RTC_E_NOMEM, "out of memory");
}

void rtc_de_result_free(struct rtc_de_result *result)
{
    free(result->x);
    free(result->population);
    free(result->values);
    free(result->jacobian);
    free(result->violations);
    free(result->moments);
    *result = (struct rtc_de_result){0};
}

static int go(struct run *run)
{
    bool ordered = de_machine_ordered(run->o);
    int rc = 0;
    if (run->o->replay && ordered) {
        rc = de_run_replay(run);
    } else {
        rc = ordered ? de_run_resume(run) : 0;
        if (rc == 1) { /* what is stored is still found by its points */
            de_machine_free(run->machine);
            rc = de_pool_clear(run->pool);
            run->reused = 0;
            rc = rc == 0 ? create_machine(run) : rc;
        }
        rc = rc == 0 ? de_run_loop(run) : rc;
    }
    if (rc == 0 && run->differ)
        rc = de_fail(RTC_E_INVALID,
                     "%llu evaluations gave another value than before: the "
                     "objective is not a function of its parameters alone",
                     (unsigned long long)run->differ);
    return rc;
}

int rtc_de_run(struct rtc *rtc, const struct rtc_de_options *options,
               struct rtc_de_result *ret_result)
{
    struct rtc_de_options o = *options, full;
    if (o.method != RTC_DE_CLASSIC && !o.max_evaluations)
        o.max_evaluations = 1000ull * o.n;
    if (!o.name)
        o.name = "run";
    struct run run = {.rtc = rtc, .o = &o, .began = report_now(CLOCK_MONOTONIC)};
    de_fail(0, "%s", "");
    de_defaults(&o, &full);
    run.generations_max = full.max_generations;
    run.looked = run.began;
    int rc = prepare(&run);
    if (rc == 0)
        de_run_progress(&run, false); /* who watches learns how large it will be */
    if (rc == 0)
        rc = go(&run);
    if (rc == 0)
        de_run_progress(&run, false);
    if (rc == 0) {
        rc = give_result(&run, ret_result);
        if (rc < 0)
            rtc_de_result_free(ret_result);
    }
    if (rc < 0 && !rtc_de_error()[0])
        de_fail(rc, "%s", rtc_last_error()[0] ? rtc_last_error() : rtc_error_text(rc));
    de_pool_free(run.pool);
    de_machine_free(run.machine);
    de_journal_close(&run.journal);
    de_space_free(&run.space);
    free(run.seeds);
    free(run.x);
    return rc;
}
