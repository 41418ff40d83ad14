/* Differential evolution in the steady state: a trial replaces its target when it is told, and
 * nobody waits for the slowest. F is drawn for each trial (Scott & De Jong 2015 on what asynchrony
 * does). A run is a function of its options and of the order of asking and telling. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/members.h"

#define STEADY UINT32_MAX /* the generation of its streams */

struct slot {
    uint64_t id;
    bool used;
};
struct de_steady {
    struct rtc_de_options o;
    const struct de_space *space;
    struct de_members members;
    struct de_strategy strategy;
    enum de_status status;
    uint32_t n, np, n_slots;
    uint64_t next_id, settled, evaluations; /* settled: also without an evaluation */
    struct slot *slots;
    double *trials, *points, *mutant, *violations; /* n_slots of the first two */
};

struct de_steady *de_steady_create(const struct de_space *space,
                                   const struct rtc_de_options *options,
                                   const struct de_random *random, uint32_t workers,
                                   const char **ret_error)
{
    struct de_steady *de = calloc(1, sizeof(*de));
    *ret_error = "out of memory";
    if (!de)
        return NULL;
    de_defaults(options, &de->o);
    de->space = space;
    struct de_random first = *random;
    de->n = space->n;
    *ret_error = de_check(&de->o);
    if (!*ret_error)
        *ret_error = de_strategy_find(&de->strategy, &de->o);
    if (!*ret_error)
        *ret_error = de_members_create(&de->members, space, &de->o, &first);
    de->np = de->members.np;
    de->n_slots = 4 * workers + 64;
    de->slots = calloc(de->n_slots, sizeof(*de->slots));
    de->trials = calloc((size_t)de->n_slots * de->n, sizeof(double));
    de->points = calloc((size_t)de->n_slots * de->n, sizeof(double));
    de->mutant = calloc(de->n, sizeof(double));
    de->violations = calloc(space->n_violations ? space->n_violations : 1, sizeof(double));
    if (!*ret_error && (!de->slots || !de->trials || !de->points || !de->mutant || !de->violations))
        *ret_error = "out of memory";
    if (*ret_error) {
        de_steady_free(de);
        return NULL;
    }
    return de;
}

void de_steady_free(struct de_steady *de)
{
    if (!de)
        return;
    de_members_free(&de->members);
    free(de->slots);
    free(de->trials);
    free(de->points);
    free(de->mutant);
    free(de->violations);
    free(de);
}

void de_steady_seed(struct de_steady *de, const double *points, uint32_t count)
{
    de_members_seed(&de->members, points, count, de->o.x0 != NULL);
}

static uint32_t best_of(const struct de_members *m)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < m->np; i++) {
        if (m->feasible[i] == m->feasible[best] ? m->values[i] < m->values[best] : m->feasible[i])
            best = i;
    }
    return best;
}

/* What a trial draws is a function of its number: how many draws another one took, which depends on
 * when it was made, does not change it. */
static void make(struct de_steady *de, uint64_t id, uint32_t target, double *trial)
{
    struct de_random random;
    de_random_philox(&random, de->o.seed, STEADY, (uint32_t)id);
    double scale = de_draw_scale(&de->o, &random);
    de_make_trial(&de->members, &de->strategy, scale, de->o.recombination, target, &random,
                  de->mutant, trial);
    de_repair(trial, de->n, &random);
}

static void settle(struct de_steady *de, uint32_t target, const double *trial, double value,
                   bool feasible)
{
    struct de_members *m = &de->members;
    if (de_space_accepts(value, feasible, de->violations, m->values[target], m->feasible[target],
                         m->violations + (size_t)target * m->m, m->m)) {
        de_members_set(m, target, trial, value, feasible, de->violations);
    }
    if (++de->settled % de->np == 0 && de_members_converged(m, &de->o))
        de->status = DE_CONVERGED;
    if (de->settled == (uint64_t)de->np * (1 + (uint64_t)de->o.max_generations) &&
        de->status == DE_RUNNING)
        de->status = DE_MAX_GENERATIONS;
}

/* The strategies take the first member for the best. It changes places with it only for as long as
 * a trial is made: trials that are out know their targets by their places. */
static void make_from_best(struct de_steady *de, uint64_t id, uint32_t target, double *trial)
{
    struct de_members *m = &de->members;
    uint32_t best = best_of(m);
    uint32_t at = target == best ? 0 : target == 0 ? best : target;
    double *a = m->u, *b = m->u + (size_t)best * de->n;
    for (int round = 0; round < 2; round++) {
        for (uint32_t j = 0; j < de->n && best; j++) {
            double u = a[j];
            a[j] = b[j];
            b[j] = u;
        }
        if (round == 0)
            make(de, id, at, trial);
    }
}

bool de_steady_ask(struct de_steady *de, struct de_trial *ret_trial)
{
    uint64_t most = de->o.max_evaluations;
    uint64_t last = (uint64_t)de->np * (1 + (uint64_t)de->o.max_generations);
    uint32_t at = 0;
    while (at < de->n_slots && de->slots[at].used)
        at++;
    while (de->status == DE_RUNNING && at < de->n_slots && de->next_id < last) {
        if (most && de->evaluations >= most)
            return false;
        uint64_t id = de->next_id++;
        uint32_t target = (uint32_t)(id % de->np);
        double *trial = de->trials + (size_t)at * de->n, *x = de->points + (size_t)at * de->n;
        if (id < de->np)
            memcpy(trial, de->members.u + (size_t)target * de->n, de->n * sizeof(double));
        else
            make_from_best(de, id, target, trial);
        de_members_point(&de->members, trial, x);
        if (de_space_violations(de->space, x, de->violations)) {
            de->evaluations++;
            de->slots[at] = (struct slot){.id = id, .used = true};
            *ret_trial = (struct de_trial){id, x};
            return true;
        }
        if (id < de->np)
            de_members_set(&de->members, target, trial, INFINITY, false, de->violations);
        settle(de, target, trial, INFINITY, false);
    }
    return false;
}

bool de_steady_tell(struct de_steady *de, uint64_t id, double value)
{
    uint32_t at = 0;
    while (at < de->n_slots && !(de->slots[at].used && de->slots[at].id == id))
        at++;
    if (at == de->n_slots)
        return false;
    de->slots[at].used = false;
    memset(de->violations, 0, de->members.m * sizeof(double));
    settle(de, (uint32_t)(id % de->np), de->trials + (size_t)at * de->n,
           isnan(value) ? INFINITY : value, true);
    if (de->o.max_evaluations && de->status == DE_RUNNING &&
        de->evaluations >= de->o.max_evaluations) {
        uint32_t out = 0;
        for (uint32_t i = 0; i < de->n_slots; i++)
            out += de->slots[i].used;
        if (!out)
            de->status = DE_REACHED_EVALUATIONS;
    }
    return true;
}

void de_steady_state(const struct de_steady *de, struct de_state *ret_state)
{
    const struct de_members *m = &de->members;
    *ret_state = (struct de_state){.status = de->status,
                                   .generation = (uint32_t)(de->settled / de->np),
                                   .population = de->np,
                                   .evaluations = de->evaluations,
                                   .members = m->u,
                                   .values = m->values,
                                   .best = m->values[best_of(m)],
                                   .convergence = de_members_convergence(m)};
}

uint64_t de_steady_asked(const struct de_steady *de)
{
    return de->next_id;
}

void de_steady_best(const struct de_steady *de, double *ret_x)
{
    const struct de_members *m = &de->members;
    de_members_point(m, m->u + (size_t)best_of(m) * de->n, ret_x);
}
