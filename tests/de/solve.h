/* A run of differential evolution without a cluster: what rtc_de_run() does around the machine,
 * with a function of this process as the objective. */
#ifndef TESTS_DE_SOLVE_H
#define TESTS_DE_SOLVE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/members.h"
#include "actors/de/polish.h"

#define NUMBERS(...) ((const double[]){__VA_ARGS__})
/* Within a tolerance and 1e-7 of the number, as numpy's assert_allclose. */
#define NEAR(a, b, tolerance)                                                          \
    do {                                                                               \
        double a_ = (a), b_ = (b);                                                     \
        if (!(fabs(a_ - b_) <= (tolerance) + 1e-7 * fabs(b_)))                         \
            fail_msg("%s is %.17g, not %.17g to %g", #a, a_, b_, (double)(tolerance)); \
    } while (0)

typedef double (*solve_fn)(const double *x, uint32_t n);

struct solved {
    struct rtc_de_result result;
    uint64_t calls; /* of the objective; a vectorized one takes a generation in each */
    enum de_status status;
    double convergence;
    bool rose; /* whether the best value was ever higher than before */
};

static inline double solve_rosen(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        sum += 100 * pow(x[i + 1] - x[i] * x[i], 2) + pow(1 - x[i], 2);
    return sum;
}

struct solve_context {
    const struct rtc_de_options *o;
    solve_fn fn;
    struct de_space space;
    struct de_classic *de;
    struct solved *s;
    const char *stop;
    uint32_t generation;
    double best;
};

static inline int solve_evaluate(void *arg, const double *points, uint32_t count,
                                 double *ret_values)
{
    struct solve_context *c = arg;
    for (uint32_t i = 0; i < count; i++)
        ret_values[i] = c->fn(points + (size_t)i * c->o->n, c->o->n);
    c->s->calls += count;
    return 0;
}

/* The callback after each generation, and what else is to be seen then. */
static inline void solve_look(struct solve_context *c)
{
    struct de_state state;
    de_classic_state(c->de, &state);
    c->s->rose |= state.best > c->best;
    c->best = state.best;
    if (state.generation == c->generation)
        return;
    c->generation = state.generation;
    struct rtc_de_progress p = {.generation = state.generation,
                                .generation_done = true,
                                .evaluations = state.evaluations,
                                .best = state.best,
                                .convergence = state.convergence,
                                .population = state.members,
                                .values = state.values,
                                .np = state.population,
                                .n = c->o->n};
    if (c->o->callback && c->o->callback(c->o->arg, &p) != RTC_DE_GO_ON)
        c->stop = "callback function requested stop early by returning True";
}

static inline void solve_generations(struct solve_context *c)
{
    const double *points;
    struct de_state state;
    de_classic_state(c->de, &state);
    double *values = calloc(state.population, sizeof(double));
    c->best = INFINITY;
    for (uint32_t count; values && !c->stop && (count = de_classic_ask(c->de, &points)) > 0;) {
        uint64_t calls = c->s->calls;
        solve_evaluate(c, points, count, values);
        if (c->o->vectorized)
            c->s->calls = calls + 1;
        de_classic_tell(c->de, values);
        solve_look(c);
    }
    free(values);
}

/* Taken when it is lower, inside of the bounds, and the search ended by itself. */
static inline const char *solve_polish(struct solve_context *c)
{
    struct rtc_de_result *r = &c->s->result;
    uint32_t n = c->o->n, integers = 0;
    for (uint32_t j = 0; j < n && c->o->integrality; j++)
        integers += c->o->integrality[j];
    if (!c->o->polish || integers == n)
        return NULL;
    struct de_polished p = {.x = calloc(n, sizeof(double)), .jacobian = calloc(n, sizeof(double))};
    const char *error = "out of memory";
    if (p.x && p.jacobian)
        error = de_polish(&c->space, r->x, solve_evaluate, c, &p);
    r->evaluations += error ? 0 : p.evaluations;
    if (!error && p.success && p.value < r->value) {
        de_classic_improve(c->de, p.x, p.value, p.evaluations);
        memcpy(r->x, p.x, n * sizeof(double));
        r->value = p.value;
        r->jacobian = p.jacobian;
        p.jacobian = NULL;
    }
    free(p.x);
    free(p.jacobian);
    return error;
}

static inline void solve_say(struct solve_context *c)
{
    static const char *const messages[] = {
        [DE_RUNNING] = "it was stopped",
        [DE_CONVERGED] = "Optimization terminated successfully.",
        [DE_MAX_GENERATIONS] = "Maximum number of iterations has been exceeded.",
        [DE_MAX_EVALUATIONS] = "Maximum number of function evaluations has been exceeded.",
        [DE_REACHED_EVALUATIONS] = "Maximum number of function evaluations has been reached."};
    struct rtc_de_result *r = &c->s->result;
    r->success = !c->stop && c->s->status == DE_CONVERGED;
    snprintf(r->message, sizeof(r->message), "%s", c->stop ? c->stop : messages[c->s->status]);
    r->n_violations = c->space.n_violations;
    r->violations = calloc(r->n_violations + 1, sizeof(double));
    if (!r->violations || de_space_violations(&c->space, r->x, r->violations))
        return;
    for (uint32_t i = 0; i < r->n_violations; i++)
        r->worst_violation = fmax(r->worst_violation, r->violations[i]);
    r->success = false;
    snprintf(r->message, sizeof(r->message),
             "The solution does not satisfy the constraints, MAXCV = %.17g", r->worst_violation);
}

static inline const char *solve_finish(struct solve_context *c)
{
    struct rtc_de_result *r = &c->s->result;
    struct de_state state;
    de_classic_state(c->de, &state);
    c->s->status = state.status;
    c->s->convergence = state.convergence;
    r->x = calloc(c->o->n, sizeof(double));
    r->n = c->o->n;
    r->np = state.population;
    r->population = calloc((size_t)r->np * r->n, sizeof(double));
    r->values = calloc(r->np, sizeof(double));
    if (!r->x || !r->population || !r->values)
        return "out of memory";
    de_classic_best(c->de, r->x);
    r->value = state.best;
    r->generations = state.generation;
    r->evaluations = state.evaluations;
    const char *error = solve_polish(c);
    solve_say(c);
    for (size_t i = 0; i < (size_t)r->np * r->n; i++)
        r->population[i] = de_space_scale(&c->space, (uint32_t)(i % r->n), state.members[i]);
    memcpy(r->values, state.values, r->np * sizeof(double));
    return error;
}

static inline void solve_free(struct solved *s)
{
    struct rtc_de_result *r = &s->result;
    free(r->x);
    free(r->population);
    free(r->values);
    free(r->jacobian);
    free(r->violations);
    *s = (struct solved){0};
}

/* The generator that options.compat and options.seed mean. */
static inline void solve_random(const struct rtc_de_options *o, struct de_random *random)
{
    if (o->compat == RTC_DE_SCIPY_SEED)
        de_random_mt19937(random, (uint32_t)o->seed);
    else
        de_random_pcg64(random, o->seed);
}

/* NULL, or what could not be, a sentence; then nothing is to be freed. */
static inline const char *solve(const struct rtc_de_options *o, solve_fn fn, struct solved *ret)
{
    static char why[200];
    struct de_random random;
    struct solve_context c = {.o = o, .fn = fn, .s = ret};
    *ret = (struct solved){0};
    const char *error = de_space_init(&c.space, o, o->compat != RTC_DE_NATIVE, why, sizeof(why));
    solve_random(o, &random);
    if (!error)
        c.de = de_classic_create(&c.space, o, &random, &error);
    if (c.de) {
        solve_generations(&c);
        error = solve_finish(&c);
        if (error)
            solve_free(ret);
        de_classic_free(c.de);
    }
    de_space_free(&c.space);
    return error;
}

/* Why no machine can be had of these options, or NULL. */
static inline const char *solve_refusal(const struct rtc_de_options *o)
{
    static char why[200];
    struct de_space space;
    struct de_random random;
    const char *error = de_space_init(&space, o, false, why, sizeof(why));
    de_random_pcg64(&random, 1);
    if (!error)
        de_classic_free(de_classic_create(&space, o, &random, &error));
    de_space_free(&space);
    return error;
}

#endif
