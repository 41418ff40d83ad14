/* Every sum, product and draw stands in the order in which numpy does it: that is what makes the
 * trajectory SciPy's, bit for bit. The file is compiled without contraction of floating point. */
#include "actors/de/members.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/sampling.h"

uint32_t de_population(uint32_t popsize, uint32_t n)
{
    uint64_t np = (uint64_t)popsize * n;
    return np < 5 ? 5 : np > UINT32_MAX ? UINT32_MAX : (uint32_t)np;
}

static double or_default(double given, double otherwise)
{
    return given < 0 ? 0 : given > 0 ? given : otherwise;
}

void de_defaults(const struct rtc_de_options *given, struct rtc_de_options *ret_options)
{
    struct rtc_de_options *o = ret_options;
    *o = *given;
    o->tol = or_default(o->tol, 0.01);
    o->recombination = or_default(o->recombination, 0.7);
    if (o->mutation[0] == 0 && o->mutation[1] == 0) {
        o->mutation[0] = 0.5;
        o->mutation[1] = 1;
    }
    if (o->max_generations == 0)
        o->max_generations = 1000;
    else if (o->max_generations == RTC_DE_NO_GENERATION)
        o->max_generations = 0;
    if (!o->strategy)
        o->strategy = "best1bin";
}

const char *de_check(const struct rtc_de_options *o)
{
    for (int i = 0; i < 2; i++) {
        if (!(o->mutation[i] >= 0 && o->mutation[i] < 2))
            return "mutation must be a number in [0, 2), or two of them, low and high";
    }
    if (!(o->recombination >= 0 && o->recombination <= 1))
        return "recombination must be a number in [0, 1]";
    if ((unsigned)o->init > RTC_DE_ARRAY)
        return "init is one of Latin hypercube, Sobol, Halton, random, or an array";
    if (o->vectorized && o->immediate)
        return "a vectorized objective needs deferred updating";
    return NULL;
}

/* ---- As numpy sums ---- */

static double pairwise_sum(const double *x, size_t n)
{
    if (n < 8) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += x[i];
        return sum;
    }
    if (n > 128) {
        size_t half = n / 2;
        half -= half % 8;
        return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
    }
    double r[8];
    memcpy(r, x, sizeof(r));
    size_t i = 8;
    for (; i < n - n % 8; i += 8) {
        for (size_t k = 0; k < 8; k++)
            r[k] += x[i + k];
    }
    double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

bool de_members_spread(const struct de_members *members, double *ret_mean, double *ret_deviation)
{
    const double *values = members->values;
    for (uint32_t i = 0; i < members->np; i++) {
        if (isinf(values[i]))
            return false;
    }
    *ret_mean = pairwise_sum(values, members->np) / members->np;
    for (uint32_t i = 0; i < members->np; i++) {
        double off = values[i] - *ret_mean;
        members->scratch[i] = off * off;
    }
    *ret_deviation = sqrt(pairwise_sum(members->scratch, members->np) / members->np);
    return true;
}

double de_members_convergence(const struct de_members *members)
{
    double mean, deviation;
    return de_members_spread(members, &mean, &deviation) ? deviation / (fabs(mean) + DBL_EPSILON)
                                                         : INFINITY;
}

bool de_members_converged(const struct de_members *members, const struct rtc_de_options *options)
{
    double mean, deviation;
    return de_members_spread(members, &mean, &deviation) &&
           deviation <= options->atol + options->tol * fabs(mean);
}

/* ---- The first population ---- */

static bool latin_hypercube(struct de_members *members, struct de_random *random)
{
    uint32_t np = members->np, n = members->n;
    double segment = 1.0 / np, *samples = malloc((size_t)np * n * sizeof(double));
    if (!samples)
        return false;
    for (size_t i = 0; i < (size_t)np * n; i++)
        samples[i] = segment * de_random_double(random) + (double)(i / n) * segment;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t i = 0; i < np; i++)
            members->indices[i] = i;
        de_random_shuffle(random, members->indices, np);
        for (uint32_t i = 0; i < np; i++)
            members->u[(size_t)i * n + j] = samples[(size_t)members->indices[i] * n + j];
    }
    free(samples);
    return true;
}

static const char *fill(struct de_members *members, const struct rtc_de_options *o,
                        struct de_random *random)
{
    size_t total = (size_t)members->np * members->n;
    const char *error = NULL;
    switch (o->init) {
    case RTC_DE_LATIN_HYPERCUBE:
        if (!latin_hypercube(members, random))
            return "out of memory";
        break;
    case RTC_DE_SOBOL: error = de_sample_sobol(random, members->n, members->np, members->u); break;
    case RTC_DE_HALTON:
        error = de_sample_halton(random, members->n, members->np, members->u);
        break;
    case RTC_DE_RANDOM:
        for (size_t i = 0; i < total; i++)
            members->u[i] = de_random_double(random);
        break;
    case RTC_DE_ARRAY:
        for (size_t i = 0; i < total; i++) {
            double u =
                de_space_unscale(members->space, (uint32_t)(i % members->n), o->init_points[i]);
            members->u[i] = u < 0 ? 0 : u > 1 ? 1 : u;
        }
    }
    for (uint32_t j = 0; o->x0 && j < members->n && !error; j++) {
        members->u[j] = de_space_unscale(members->space, j, o->x0[j]);
        if (!(members->u[j] >= 0 && members->u[j] <= 1))
            error = "x0 lies outside of the bounds";
    }
    return error;
}

static const char *size_of(const struct de_space *space, const struct rtc_de_options *o,
                           uint32_t *ret_np)
{
    uint32_t counted = o->compat == RTC_DE_NATIVE ? space->n - space->n_equal : space->n;
    uint32_t np = o->population
                      ? o->population
                      : de_population(o->popsize ? o->popsize : 15, counted ? counted : 1);
    if (o->init == RTC_DE_ARRAY) {
        np = o->n_init;
        if (!o->init_points || np < 5)
            return "init is an array of at least 5 points, each of all parameters";
    }
    if (np < 5 || np > 10000000)
        return "a population has at least 5 members, and at most 10,000,000";
    for (*ret_np = np; o->init == RTC_DE_SOBOL && *ret_np & (*ret_np - 1);)
        *ret_np += *ret_np & -*ret_np;
    return NULL;
}

const char *de_members_create(struct de_members *members, const struct de_space *space,
                              const struct rtc_de_options *options, struct de_random *random)
{
    uint32_t np, m = space->n_violations ? space->n_violations : 1;
    const char *error = size_of(space, options, &np);
    if (error)
        return error;
    *members = (struct de_members){.space = space,
                                   .n = space->n,
                                   .np = np,
                                   .m = m,
                                   .as_scipy = options->compat != RTC_DE_NATIVE};
    members->u = calloc((size_t)np * space->n, sizeof(double));
    members->values = calloc(np, sizeof(double));
    members->violations = calloc((size_t)np * m, sizeof(double));
    members->feasible = calloc(np, sizeof(bool));
    members->indices = calloc(np, sizeof(uint32_t));
    members->scratch = calloc(np, sizeof(double));
    if (!members->u || !members->values || !members->violations || !members->feasible ||
        !members->indices || !members->scratch)
        error = "out of memory";
    else
        error = fill(members, options, random);
    for (uint32_t i = 0; i < np && !error; i++) {
        members->values[i] = INFINITY;
        members->feasible[i] = true;
    }
    if (error)
        de_members_free(members);
    return error;
}

void de_members_seed(struct de_members *members, const double *points, uint32_t count, bool x0)
{
    uint32_t first = x0 ? 1 : 0, n = members->n;
    for (uint32_t i = 0; i < count && first + i < members->np; i++) {
        for (uint32_t j = 0; j < n; j++) {
            double u = de_space_unscale(members->space, j, points[(size_t)i * n + j]);
            members->u[(size_t)(first + i) * n + j] = u < 0 ? 0 : u > 1 ? 1 : u;
        }
    }
}

void de_members_free(struct de_members *members)
{
    free(members->u);
    free(members->values);
    free(members->violations);
    free(members->feasible);
    free(members->indices);
    free(members->scratch);
    *members = (struct de_members){0};
}

void de_members_set(struct de_members *members, uint32_t at, const double *u, double value,
                    bool feasible, const double *violations)
{
    memcpy(members->u + (size_t)at * members->n, u, members->n * sizeof(double));
    memcpy(members->violations + (size_t)at * members->m, violations, members->m * sizeof(double));
    members->values[at] = value;
    members->feasible[at] = feasible;
}

static void swap(double *a, double *b, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        double x = a[j];
        a[j] = b[j];
        b[j] = x;
    }
}

void de_members_promote(struct de_members *members)
{
    uint32_t best = UINT32_MAX, least = 0;
    for (uint32_t i = 0; i < members->np; i++) {
        if (members->feasible[i] &&
            (best == UINT32_MAX || members->values[i] < members->values[best]))
            best = i;
    }
    for (uint32_t i = 0; i < members->np && best == UINT32_MAX; i++) {
        members->scratch[i] =
            pairwise_sum(members->violations + (size_t)i * members->m, members->m);
        if (members->scratch[i] < members->scratch[least])
            least = i;
    }
    uint32_t at = best == UINT32_MAX ? least : best;
    if (!at)
        return;
    bool feasible = members->feasible[0];
    swap(members->u, members->u + (size_t)at * members->n, members->n);
    swap(members->violations, members->violations + (size_t)at * members->m, members->m);
    swap(members->values, members->values + at, 1);
    members->feasible[0] = members->feasible[at];
    members->feasible[at] = feasible;
}

void de_members_point(const struct de_members *members, const double *u, double *ret_x)
{
    for (uint32_t j = 0; j < members->n; j++)
        ret_x[j] = de_space_scale(members->space, j, u[j]);
}
