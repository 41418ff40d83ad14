/* Mutation and crossover, in numpy's order of roundings and SciPy's order of draws. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/members.h"

static const char *const base_names[] = {"best1",          "rand1", "randtobest1",
                                         "currenttobest1", "best2", "rand2"};

const char *de_strategy_find(struct de_strategy *strategy, const struct rtc_de_options *options)
{
    const char *name = options->strategy;
    size_t len = strlen(name);
    *strategy = (struct de_strategy){.own = options->strategy_fn ? options : NULL};
    if (strategy->own)
        return NULL;
    strategy->binomial = len > 3 && !strcmp(name + len - 3, "bin");
    for (size_t i = 0; i < sizeof(base_names) / sizeof(base_names[0]) && len > 3; i++) {
        if (strlen(base_names[i]) == len - 3 && !strncmp(base_names[i], name, len - 3) &&
            (strategy->binomial || !strcmp(name + len - 3, "exp"))) {
            strategy->base = (enum de_base)i;
            return NULL;
        }
    }
    return "the strategy is not one of SciPy's twelve (best1bin, …, rand2exp)";
}

/* SciPy shuffles all of them for it: half the time a trial takes, and the only way to its numbers.
 */
static void shuffle_all(struct de_members *members, uint32_t candidate, struct de_random *random)
{
    for (uint32_t i = 0, at = 0; i < members->np; i++) {
        if (i != candidate)
            members->indices[at++] = i;
    }
    de_random_shuffle(random, members->indices, members->np - 1);
}

void de_samples(struct de_members *members, uint32_t candidate, struct de_random *random)
{
    uint32_t *indices = members->indices, others = members->np - 1 < 5 ? members->np - 1 : 5;
    if (members->as_scipy)
        shuffle_all(members, candidate, random);
    for (uint32_t i = 0; i < others && !members->as_scipy; i++) {
        bool taken = true;
        while (taken) {
            indices[i] = de_random_choice(random, members->np);
            taken = indices[i] == candidate;
            for (uint32_t k = 0; k < i; k++)
                taken |= indices[k] == indices[i];
        }
    }
    if (others < 5) /* rand2 looks at a fifth */
        indices[4] = 0;
}

void de_mutant(const struct de_members *members, enum de_base base, double f, uint32_t candidate,
               const uint32_t *samples, double *ret_u)
{
    uint32_t n = members->n;
    const double *best = members->u, *self = best + (size_t)candidate * n, *r[5];
    for (uint32_t i = 0; i < 5; i++)
        r[i] = best + (size_t)samples[i] * n;
    for (uint32_t j = 0; j < n; j++) {
        double u;
        switch (base) {
        case DE_BEST1: u = best[j] + f * (r[0][j] - r[1][j]); break;
        case DE_RAND1: u = r[0][j] + f * (r[1][j] - r[2][j]); break;
        case DE_RANDTOBEST1:
            u = r[0][j];
            u += f * (best[j] - u);
            u += f * (r[1][j] - r[2][j]);
            break;
        case DE_CURRENTTOBEST1: u = self[j] + f * (best[j] - self[j] + r[0][j] - r[1][j]); break;
        case DE_BEST2: u = best[j] + f * (r[0][j] + r[1][j] - r[2][j] - r[3][j]); break;
        default: u = r[0][j] + f * (r[1][j] + r[2][j] - r[3][j] - r[4][j]); break;
        }
        ret_u[j] = u;
    }
}

static double draw(void *state)
{
    return de_random_double(state);
}

/* A strategy of the user's works in the parameters' own units. */
static void own_trial(const struct de_members *members, const struct rtc_de_options *o,
                      uint32_t candidate, struct de_random *random, double *ret_trial)
{
    uint32_t n = members->n, np = members->np;
    double *points = malloc((size_t)np * n * sizeof(double));
    memcpy(ret_trial, members->u + (size_t)candidate * n, n * sizeof(double));
    if (!points)
        return;
    for (uint32_t i = 0; i < np; i++)
        de_members_point(members, members->u + (size_t)i * n, points + (size_t)i * n);
    double *trial = malloc(n * sizeof(double));
    if (trial) {
        memcpy(trial, points + (size_t)candidate * n, n * sizeof(double));
        o->strategy_fn(o->arg, candidate, points, np, n, draw, random, trial);
        for (uint32_t j = 0; j < n; j++)
            ret_trial[j] = de_space_unscale(members->space, j, trial[j]);
    }
    free(trial);
    free(points);
}

double de_draw_scale(const struct rtc_de_options *options, struct de_random *random)
{
    const double *f = options->mutation;
    return f[0] == f[1] ? f[0] : de_random_uniform(random, fmin(f[0], f[1]), fmax(f[0], f[1]));
}

void de_make_trial(struct de_members *members, const struct de_strategy *strategy, double f,
                   double recombination, uint32_t candidate, struct de_random *random,
                   double *mutant, double *ret_trial)
{
    uint32_t n = members->n;
    double *trial = ret_trial;
    if (strategy->own) {
        own_trial(members, strategy->own, candidate, random, trial);
        return;
    }
    memcpy(trial, members->u + (size_t)candidate * n, n * sizeof(double));
    uint32_t at = de_random_choice(random, n), filled = at;
    de_samples(members, candidate, random);
    de_mutant(members, strategy->base, f, candidate, members->indices, mutant);
    bool going = true;
    for (uint32_t j = 0; j < n; j++) {
        bool crosses = de_random_double(random) < recombination;
        if (strategy->binomial) {
            if (crosses || j == filled)
                trial[j] = mutant[j];
        } else if (going && (crosses || j == 0)) {
            trial[at] = mutant[at];
            at = (at + 1) % n;
        } else {
            going = false;
        }
    }
}

void de_repair(double *trial, size_t total, struct de_random *random)
{
    for (size_t i = 0; i < total; i++) {
        if (!(trial[i] <= 1 && trial[i] >= 0)) /* also what is no number */
            trial[i] = de_random_double(random);
    }
}
