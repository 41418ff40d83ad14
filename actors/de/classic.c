/* Generations of differential evolution as SciPy 1.10 makes them: when it draws, evaluates,
 * promotes and stops. The file is compiled without contraction of floating point. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/members.h"

enum phase { START, ASKED_START, GENERATION, ASKED, OVER };

struct de_classic {
    struct rtc_de_options o;
    const struct de_space *space;
    struct de_members members;
    struct de_strategy strategy;
    struct de_random random;
    enum phase phase;
    enum de_status status;
    uint32_t n, np, generation, candidate;
    uint64_t evaluations;
    double scale;
    double *trials, *trial_values, *trial_violations, *points, *mutant; /* np of the first four */
    bool *trial_feasible;
    uint32_t *asked_of; /* which trial, or member, a point that was asked is */
    uint32_t n_trials, asked;
    bool again; /* the first population was evaluated twice: see begins() */
};

/* ---- Creation ---- */

static bool allocate(struct de_classic *de)
{
    size_t total = (size_t)de->np * de->n;
    de->trials = calloc(total, sizeof(double));
    de->points = calloc(total, sizeof(double));
    de->trial_values = calloc(de->np, sizeof(double));
    de->trial_violations = calloc((size_t)de->np * de->members.m, sizeof(double));
    de->trial_feasible = calloc(de->np, sizeof(bool));
    de->asked_of = calloc(de->np, sizeof(uint32_t));
    de->mutant = calloc(de->n, sizeof(double));
    return de->trials && de->points && de->trial_values && de->trial_violations &&
           de->trial_feasible && de->asked_of && de->mutant;
}

struct de_classic *de_classic_create(const struct de_space *space,
                                     const struct rtc_de_options *options,
                                     const struct de_random *random, const char **ret_error)
{
    struct de_classic *de = calloc(1, sizeof(*de));
    *ret_error = "out of memory";
    if (!de)
        return NULL;
    de_defaults(options, &de->o);
    de->space = space;
    de->random = *random;
    de->n = space->n;
    *ret_error = de_check(&de->o);
    if (!*ret_error)
        *ret_error = de_strategy_find(&de->strategy, &de->o);
    if (!*ret_error)
        *ret_error = de_members_create(&de->members, space, &de->o, &de->random);
    de->np = de->members.np;
    if (!*ret_error && !allocate(de))
        *ret_error = "out of memory";
    if (*ret_error) {
        de_classic_free(de);
        return NULL;
    }
    return de;
}

void de_classic_free(struct de_classic *de)
{
    if (!de)
        return;
    de_members_free(&de->members);
    void *const parts[] = {de->trials,         de->points,   de->trial_values, de->trial_violations,
                           de->trial_feasible, de->asked_of, de->mutant};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(de);
}

/* ---- Asking ---- */

static void end(struct de_classic *de, enum de_status status)
{
    de->status = status;
    de->phase = OVER;
}

/* How many of `count` the budget still allows. */
static uint32_t allowed(const struct de_classic *de, uint32_t count)
{
    uint64_t most = de->o.max_evaluations;
    uint64_t left = most > de->evaluations ? most - de->evaluations : 0;
    return !most || left > count ? count : (uint32_t)left;
}

static bool all_infinite(const struct de_classic *de)
{
    uint32_t i = 0;
    while (i < de->np && isinf(de->members.values[i]))
        i++;
    return i == de->np;
}

/* What is feasible of a block is asked; the rest has infinite values at once. */
static void choose(struct de_classic *de, const double *block, uint32_t count, double *values,
                   bool *feasible, double *violations)
{
    de->asked = 0;
    de->n_trials = count;
    for (uint32_t i = 0; i < count; i++) {
        double *x = de->points + (size_t)de->asked * de->n;
        de_members_point(&de->members, block + (size_t)i * de->n, x);
        values[i] = INFINITY;
        feasible[i] = true;
        if (de->space->n_violations)
            feasible[i] = de_space_violations(de->space, x, violations + (size_t)i * de->members.m);
        if (feasible[i])
            de->asked_of[de->asked++] = i;
    }
    bool one = de->phase == GENERATION && de->o.immediate; /* which looks at its budget before */
    de->asked = one ? de->asked : allowed(de, de->asked);
}

static void ask_start(struct de_classic *de)
{
    struct de_members *m = &de->members;
    choose(de, m->u, de->np, m->values, m->feasible, m->violations);
    de->phase = ASKED_START;
}

static bool out_of_budget(struct de_classic *de)
{
    uint64_t most = de->o.max_evaluations;
    if (!most || (de->o.immediate ? de->evaluations <= most : de->evaluations < most))
        return false;
    de->generation++; /* SciPy counts the one that it breaks off */
    end(de, de->evaluations == most ? DE_REACHED_EVALUATIONS : DE_MAX_EVALUATIONS);
    return true;
}

/* Whether the generation may go on, or begin. */
static bool begins(struct de_classic *de)
{
    if (de->candidate == 0 && de->generation == de->o.max_generations) {
        end(de, DE_MAX_GENERATIONS);
        return false;
    }
    if (de->candidate == 0 && !de->again && all_infinite(de)) {
        de->again = true; /* SciPy takes such a population for one that was never evaluated */
        ask_start(de);
        return false;
    }
    if (de->candidate == 0) {
        de->again = false;
        de->scale = de_draw_scale(&de->o, &de->random);
    }
    return !out_of_budget(de);
}

static void ask_trials(struct de_classic *de)
{
    uint32_t count = de->o.immediate ? 1 : de->np;
    for (uint32_t i = 0; i < count; i++)
        de_make_trial(&de->members, &de->strategy, de->scale, de->o.recombination,
                      de->candidate + i, &de->random, de->mutant, de->trials + (size_t)i * de->n);
    de_repair(de->trials, (size_t)count * de->n, &de->random);
    choose(de, de->trials, count, de->trial_values, de->trial_feasible, de->trial_violations);
    de->phase = ASKED;
}

static void settle(struct de_classic *de);

uint32_t de_classic_ask(struct de_classic *de, const double **ret_points)
{
    *ret_points = de->points;
    while (de->phase != OVER) {
        if (de->phase == ASKED_START || de->phase == ASKED) {
            if (de->asked)
                return de->asked;
            settle(de); /* none of them was feasible */
        } else if (de->phase == START) {
            ask_start(de);
        } else if (begins(de)) {
            ask_trials(de);
        }
    }
    return 0;
}

/* ---- Telling ---- */

static bool accepted(const struct de_classic *de, uint32_t trial, uint32_t at)
{
    const struct de_members *m = &de->members;
    return de_space_accepts(de->trial_values[trial], de->trial_feasible[trial],
                            de->trial_violations + (size_t)trial * m->m, m->values[at],
                            m->feasible[at], m->violations + (size_t)at * m->m, m->m);
}

static void accept(struct de_classic *de, uint32_t trial, uint32_t at)
{
    de_members_set(&de->members, at, de->trials + (size_t)trial * de->n, de->trial_values[trial],
                   de->trial_feasible[trial], de->trial_violations + (size_t)trial * de->members.m);
}

static void generation_done(struct de_classic *de)
{
    de->phase = GENERATION;
    de->candidate = 0;
    de->generation++;
    if (de_members_converged(&de->members, &de->o))
        end(de, DE_CONVERGED);
}

/* All values of what was asked are there. */
static void settle(struct de_classic *de)
{
    if (de->phase == ASKED_START) {
        de_members_promote(&de->members);
        de->phase = GENERATION;
    } else if (de->o.immediate) {
        if (accepted(de, 0, de->candidate)) {
            accept(de, 0, de->candidate);
            if (accepted(de, 0, 0))
                de_members_promote(&de->members);
        }
        de->phase = GENERATION;
        if (++de->candidate == de->np)
            generation_done(de);
    } else {
        for (uint32_t i = 0; i < de->n_trials; i++) {
            if (accepted(de, i, i))
                accept(de, i, i);
        }
        de_members_promote(&de->members);
        generation_done(de);
    }
}

void de_classic_tell(struct de_classic *de, const double *values)
{
    double *into = de->phase == ASKED_START ? de->members.values : de->trial_values;
    for (uint32_t i = 0; i < de->asked; i++)
        into[de->asked_of[i]] = isnan(values[i]) ? INFINITY : values[i];
    de->evaluations += de->o.vectorized ? 1 : de->asked;
    settle(de);
}

void de_classic_seed(struct de_classic *de, const double *points, uint32_t count)
{
    de_members_seed(&de->members, points, count, de->o.x0 != NULL);
}

void de_classic_improve(struct de_classic *de, const double *x, double value, uint64_t evaluations)
{
    de->evaluations += evaluations;
    for (uint32_t j = 0; x && j < de->n; j++)
        de->members.u[j] = de_space_unscale(de->space, j, x[j]);
    if (x)
        de->members.values[0] = value;
}

/* ---- Looking ---- */

void de_classic_state(const struct de_classic *de, struct de_state *ret_state)
{
    *ret_state = (struct de_state){.status = de->status,
                                   .generation = de->generation,
                                   .population = de->np,
                                   .evaluations = de->evaluations,
                                   .members = de->members.u,
                                   .values = de->members.values,
                                   .best = de->members.values[0],
                                   .convergence = de_members_convergence(&de->members)};
}

void de_classic_best(const struct de_classic *de, double *ret_x)
{
    de_members_point(&de->members, de->members.u, ret_x);
}
