/* Every sum, product and draw stands in the order in which numpy does it: that is what makes the
 * trajectory SciPy's, bit for bit. The file is compiled without contraction of floating point. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/method.h"

enum base { BEST1, RAND1, RANDTOBEST1, CURRENTTOBEST1, BEST2, RAND2, BASES };
static const char *const base_names[BASES] = {"best1",          "rand1", "randtobest1",
                                              "currenttobest1", "best2", "rand2"};
enum phase { START, ASKED_START, GENERATION, ASKED, OVER };

struct de_classic {
    struct de_classic_options o;
    struct de_box box;
    struct de_random random;
    enum base base;
    bool binomial;
    enum phase phase;
    enum de_status status;
    uint32_t n, np, generation, candidate;
    uint64_t evaluations;
    double scale;
    double *middle, *width; /* of the box */
    double *members, *values;
    double *trials, *trial_values, *points; /* np of each; points: in the box's units */
    double *mutant;
    uint32_t *indices;
    uint32_t asked;
    bool again; /* the first population was evaluated twice: see ask() */
};

uint32_t de_population(uint32_t popsize, uint32_t n)
{
    uint64_t np = (uint64_t)popsize * n;
    return np < 5 ? 5 : np > UINT32_MAX ? UINT32_MAX : (uint32_t)np;
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

/* Mean and deviation (of the population) of the values; false when one is infinite. */
static bool spread(const struct de_classic *de, double *ret_mean, double *ret_deviation)
{
    double *scratch = de->points; /* nothing is asked when this is looked at */
    for (uint32_t i = 0; i < de->np; i++) {
        if (isinf(de->values[i]))
            return false;
    }
    *ret_mean = pairwise_sum(de->values, de->np) / de->np;
    for (uint32_t i = 0; i < de->np; i++) {
        double off = de->values[i] - *ret_mean;
        scratch[i] = off * off;
    }
    *ret_deviation = sqrt(pairwise_sum(scratch, de->np) / de->np);
    return true;
}

/* ---- Making the first population ---- */

static void latin_hypercube(struct de_classic *de)
{
    double segment = 1.0 / de->np;
    double *samples = de->trials;
    for (size_t i = 0; i < (size_t)de->np * de->n; i++)
        samples[i] = segment * de_random_double(&de->random) + (double)(i / de->n) * segment;
    for (uint32_t j = 0; j < de->n; j++) {
        for (uint32_t i = 0; i < de->np; i++)
            de->indices[i] = i;
        de_random_shuffle(&de->random, de->indices, de->np);
        for (uint32_t i = 0; i < de->np; i++)
            de->members[(size_t)i * de->n + j] = samples[(size_t)de->indices[i] * de->n + j];
    }
}

static double unscale(const struct de_classic *de, uint32_t j, double x)
{
    return (x - de->middle[j]) / de->width[j] + 0.5;
}

static double scale(const struct de_classic *de, uint32_t j, double u)
{
    return de->middle[j] + (u - 0.5) * de->width[j];
}

static const char *make_members(struct de_classic *de)
{
    size_t total = (size_t)de->np * de->n;
    if (de->o.init == DE_LATIN_HYPERCUBE)
        latin_hypercube(de);
    for (size_t i = 0; de->o.init == DE_UNIFORM && i < total; i++)
        de->members[i] = de_random_double(&de->random);
    for (size_t i = 0; de->o.init == DE_ARRAY && i < total; i++) {
        double u = unscale(de, (uint32_t)(i % de->n), de->o.init_points[i]);
        de->members[i] = u < 0 ? 0 : u > 1 ? 1 : u;
    }
    for (uint32_t j = 0; de->o.x0 && j < de->n; j++) {
        double u = unscale(de, j, de->o.x0[j]);
        if (!(u >= 0 && u <= 1))
            return "x0 lies outside of the bounds";
        de->members[j] = u;
    }
    for (uint32_t i = 0; i < de->np; i++)
        de->values[i] = INFINITY;
    return NULL;
}

/* ---- Creation ---- */

static const char *find_strategy(struct de_classic *de, const char *name)
{
    size_t len = strlen(name);
    if (len < 4)
        return "the strategy is not one of SciPy's twelve (best1bin, …, rand2exp)";
    de->binomial = !strcmp(name + len - 3, "bin");
    for (int i = 0; i < BASES; i++) {
        if (strlen(base_names[i]) == len - 3 && !strncmp(base_names[i], name, len - 3) &&
            (de->binomial || !strcmp(name + len - 3, "exp"))) {
            de->base = (enum base)i;
            return NULL;
        }
    }
    return "the strategy is not one of SciPy's twelve (best1bin, …, rand2exp)";
}

static const char *check(const struct de_box *box, const struct de_classic_options *o)
{
    if (!box->n || box->n > 100000 || o->population < 5 || o->population > 10000000)
        return "at least one parameter and a population of at least 5 are needed";
    for (uint32_t j = 0; j < box->n; j++) {
        if (!isfinite(box->lower[j]) || !isfinite(box->upper[j]))
            return "bounds must be finite pairs (low, high), one for each parameter";
    }
    for (int i = 0; i < 2; i++) {
        if (!(o->mutation[i] >= 0 && o->mutation[i] < 2))
            return "mutation must be a number in [0, 2), or two of them, low and high";
    }
    if (o->init == DE_ARRAY && !o->init_points)
        return "init is an array, and the array is missing";
    return NULL;
}

static bool allocate(struct de_classic *de)
{
    size_t total = (size_t)de->np * de->n;
    size_t points = total > de->np ? total : de->np; /* also scratch of np numbers */
    de->middle = calloc(de->n, sizeof(double));
    de->width = calloc(de->n, sizeof(double));
    de->members = calloc(total, sizeof(double));
    de->values = calloc(de->np, sizeof(double));
    de->trials = calloc(total, sizeof(double));
    de->trial_values = calloc(de->np, sizeof(double));
    de->points = calloc(points, sizeof(double));
    de->mutant = calloc(de->n, sizeof(double));
    de->indices = calloc(de->np, sizeof(uint32_t));
    return de->middle && de->width && de->members && de->values && de->trials && de->trial_values &&
           de->points && de->mutant && de->indices;
}

struct de_classic *de_classic_create(const struct de_box *box,
                                     const struct de_classic_options *options,
                                     const struct de_random *random, const char **ret_error)
{
    *ret_error = check(box, options);
    struct de_classic *de = *ret_error ? NULL : calloc(1, sizeof(*de));
    if (!de)
        return NULL;
    de->o = *options;
    de->box = *box;
    de->random = *random;
    de->n = box->n;
    de->np = options->population;
    *ret_error = find_strategy(de, options->strategy ? options->strategy : "best1bin");
    if (*ret_error || !allocate(de)) {
        de_classic_free(de);
        return NULL;
    }
    for (uint32_t j = 0; j < de->n; j++) {
        de->middle[j] = 0.5 * (box->lower[j] + box->upper[j]);
        de->width[j] = fabs(box->lower[j] - box->upper[j]);
    }
    de->scale = options->mutation[0];
    *ret_error = make_members(de);
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
    void *const parts[] = {de->middle,       de->width,  de->members, de->values, de->trials,
                           de->trial_values, de->points, de->mutant,  de->indices};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(de);
}

/* ---- One trial ---- */

static void select_five(struct de_classic *de, uint32_t candidate)
{
    for (uint32_t i = 0, at = 0; i < de->np; i++) {
        if (i != candidate)
            de->indices[at++] = i;
    }
    de_random_shuffle(&de->random, de->indices, de->np - 1);
}

static void mutate(const struct de_classic *de, uint32_t candidate, double *out)
{
    const double *best = de->members, *self = best + (size_t)candidate * de->n, *r[5];
    double f = de->scale;
    for (uint32_t i = 0; i < 5; i++) /* a population of five has four others */
        r[i] = i < de->np - 1 ? best + (size_t)de->indices[i] * de->n : best;
    for (uint32_t j = 0; j < de->n; j++) {
        switch (de->base) {
        case BEST1: out[j] = best[j] + f * (r[0][j] - r[1][j]); break;
        case RAND1: out[j] = r[0][j] + f * (r[1][j] - r[2][j]); break;
        case RANDTOBEST1:
            out[j] = r[0][j];
            out[j] += f * (best[j] - out[j]);
            out[j] += f * (r[1][j] - r[2][j]);
            break;
        case CURRENTTOBEST1: out[j] = self[j] + f * (best[j] - self[j] + r[0][j] - r[1][j]); break;
        case BEST2: out[j] = best[j] + f * (r[0][j] + r[1][j] - r[2][j] - r[3][j]); break;
        default: out[j] = r[0][j] + f * (r[1][j] + r[2][j] - r[3][j] - r[4][j]); break;
        }
    }
}

static void make_trial(struct de_classic *de, uint32_t candidate, double *trial)
{
    memcpy(trial, de->members + (size_t)candidate * de->n, de->n * sizeof(double));
    uint32_t at = de_random_choice(&de->random, de->n), fill = at;
    select_five(de, candidate);
    mutate(de, candidate, de->mutant);
    bool going = true;
    for (uint32_t j = 0; j < de->n; j++) {
        bool crosses = de_random_double(&de->random) < de->o.recombination;
        if (de->binomial) {
            if (crosses || j == fill)
                trial[j] = de->mutant[j];
        } else if (going && (crosses || j == 0)) {
            trial[at] = de->mutant[at];
            at = (at + 1) % de->n;
        } else {
            going = false;
        }
    }
}

/* What left the box is drawn anew. */
static void repair(struct de_classic *de, double *trial, size_t total)
{
    for (size_t i = 0; i < total; i++) {
        if (trial[i] > 1 || trial[i] < 0)
            trial[i] = de_random_double(&de->random);
    }
}

static void to_points(struct de_classic *de, const double *members, uint32_t count)
{
    for (size_t i = 0; i < (size_t)count * de->n; i++)
        de->points[i] = scale(de, (uint32_t)(i % de->n), members[i]);
}

/* ---- Generations ---- */

static void promote_best(struct de_classic *de)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < de->np; i++) {
        if (de->values[i] < de->values[best])
            best = i;
    }
    double *a = de->members, *b = a + (size_t)best * de->n, value = de->values[0];
    for (uint32_t j = 0; j < de->n && best; j++) {
        double x = a[j];
        a[j] = b[j];
        b[j] = x;
    }
    de->values[0] = de->values[best];
    de->values[best] = value;
}

static void end(struct de_classic *de, enum de_status status)
{
    de->status = status;
    de->phase = OVER;
}

static void generation_done(struct de_classic *de)
{
    double mean, deviation;
    de->phase = GENERATION;
    if (spread(de, &mean, &deviation) && deviation <= de->o.atol + de->o.tol * fabs(mean))
        end(de, DE_CONVERGED);
}

/* How many of `count` the budget still allows. */
static uint32_t allowed(const struct de_classic *de, uint32_t count)
{
    uint64_t left =
        de->o.max_evaluations > de->evaluations ? de->o.max_evaluations - de->evaluations : 0;
    return !de->o.max_evaluations || left > count ? count : (uint32_t)left;
}

static bool all_infinite(const struct de_classic *de)
{
    uint32_t i = 0;
    while (i < de->np && isinf(de->values[i]))
        i++;
    return i == de->np;
}

static void begin_generation(struct de_classic *de)
{
    de->again = false;
    de->generation++;
    if (de->o.mutation[0] != de->o.mutation[1])
        de->scale = de_random_uniform(&de->random, fmin(de->o.mutation[0], de->o.mutation[1]),
                                      fmax(de->o.mutation[0], de->o.mutation[1]));
    de->candidate = 0;
}

static bool out_of_budget(struct de_classic *de)
{
    uint64_t most = de->o.max_evaluations;
    if (!most || (de->o.deferred ? de->evaluations < most : de->evaluations <= most))
        return false;
    end(de, de->evaluations == most ? DE_REACHED_EVALUATIONS : DE_MAX_EVALUATIONS);
    return true;
}

uint32_t de_classic_ask(struct de_classic *de, const double **ret_points)
{
    *ret_points = de->points;
    if (de->phase == ASKED_START || de->phase == ASKED)
        return de->asked;
    bool begins = de->phase == GENERATION && de->candidate == 0;
    if (begins && de->generation == de->o.max_generations) {
        end(de, DE_MAX_GENERATIONS);
    } else if (begins && !de->again && all_infinite(de)) {
        de->phase = START; /* SciPy takes such a population for one that was never evaluated */
        de->again = true;
    }
    if (de->phase == START) {
        de->phase = ASKED_START;
        to_points(de, de->members, de->np);
        de->asked = allowed(de, de->np);
        return de->asked;
    }
    if (de->phase == OVER)
        return 0;
    if (de->candidate == 0)
        begin_generation(de);
    if (out_of_budget(de))
        return 0;
    uint32_t count = de->o.deferred ? de->np : 1;
    for (uint32_t i = 0; i < count; i++)
        make_trial(de, de->candidate + i, de->trials + (size_t)i * de->n);
    repair(de, de->trials, (size_t)count * de->n);
    to_points(de, de->trials, count);
    de->phase = ASKED;
    de->asked = de->o.deferred ? allowed(de, count) : count;
    return de->asked;
}

static void accept(struct de_classic *de, uint32_t at, uint32_t trial)
{
    memcpy(de->members + (size_t)at * de->n, de->trials + (size_t)trial * de->n,
           de->n * sizeof(double));
    de->values[at] = de->trial_values[trial];
}

void de_classic_tell(struct de_classic *de, const double *values)
{
    double *into = de->phase == ASKED_START ? de->values : de->trial_values;
    uint32_t count = de->o.deferred || de->phase == ASKED_START ? de->np : 1;
    for (uint32_t i = 0; i < count; i++)
        into[i] = i < de->asked && !isnan(values[i]) ? values[i] : INFINITY;
    de->evaluations += de->asked;
    if (de->phase == ASKED_START) {
        promote_best(de);
        de->phase = GENERATION;
        return;
    }
    if (de->o.deferred) {
        for (uint32_t i = 0; i < de->np; i++) {
            if (de->trial_values[i] <= de->values[i])
                accept(de, i, i);
        }
        promote_best(de);
        generation_done(de);
        return;
    }
    if (de->trial_values[0] <= de->values[de->candidate]) {
        accept(de, de->candidate, 0);
        if (de->trial_values[0] <= de->values[0])
            promote_best(de);
    }
    de->phase = GENERATION;
    if (++de->candidate == de->np) {
        de->candidate = 0;
        generation_done(de);
    }
}

void de_classic_state(const struct de_classic *de, struct de_state *ret_state)
{
    double mean, deviation;
    *ret_state = (struct de_state){.status = de->status,
                                   .generation = de->generation,
                                   .population = de->np,
                                   .evaluations = de->evaluations,
                                   .members = de->members,
                                   .values = de->values,
                                   .best = de->values[0],
                                   .convergence = INFINITY};
    if (de->phase != ASKED && de->phase != ASKED_START && spread(de, &mean, &deviation))
        ret_state->convergence = deviation / (fabs(mean) + DBL_EPSILON);
}

void de_classic_best(const struct de_classic *de, double *ret_x)
{
    for (uint32_t j = 0; j < de->n; j++)
        ret_x[j] = scale(de, j, de->members[j]);
}
