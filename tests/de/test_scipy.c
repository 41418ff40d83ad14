/* The trajectories of SciPy's differential evolution, bit for bit: 12 strategies, both updatings,
 * both generators, two functions, five seeds. scipy_golden.py made the file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/space.h"
#include "tests/de/golden.h"

#define N     3u
#define N_MAX 10u

/* As numpy sums eight or more: in eight partial sums. */
static double sphere(const double *x, uint32_t n)
{
    double sum = 0, r[8];
    for (uint32_t i = 0; i < 8 && n >= 8; i++)
        r[i] = x[i] * x[i];
    if (n >= 8)
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (uint32_t i = n >= 8 ? 8 : 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static uint32_t evaluate(struct de_classic *de, double (*function)(const double *, uint32_t),
                         uint32_t n)
{
    const double *points;
    static double values[512];
    uint32_t count = de_classic_ask(de, &points);
    for (uint32_t i = 0; i < count; i++)
        values[i] = function(points + (size_t)i * n, n);
    if (count)
        de_classic_tell(de, values);
    return count;
}

/* Returns what the line should be. */
static void run(const char *line, char *out, size_t size)
{
    char generator[16], strategy[32], updating[16], function[16];
    unsigned seed;
    const char *error;
    static const double lower[N] = {-2, -2, -2}, upper[N] = {2.5, 2.5, 2.5};
    struct de_space space;
    char why[128];
    struct de_random random;
    out[0] = 0;
    if (sscanf(line, "%15s %31s %15s %15s %u", generator, strategy, updating, function, &seed) != 5)
        return;
    struct rtc_de_options options = {.n = N,
                                     .lower = lower,
                                     .upper = upper,
                                     .compat = RTC_DE_SCIPY_GENERATOR,
                                     .strategy = strategy,
                                     .max_generations = 60,
                                     .popsize = 7,
                                     .immediate = strcmp(updating, "deferred") != 0};
    if (!strcmp(generator, "mt19937"))
        de_random_mt19937(&random, seed);
    else
        de_random_pcg64(&random, seed);
    if (de_space_init(&space, &options, true, why, sizeof(why)))
        return;
    struct de_classic *de = de_classic_create(&space, &options, &random, &error);
    if (!de)
        return;
    struct de_state s;
    de_classic_state(de, &s);
    uint64_t state = golden_digest(1, s.members, (size_t)s.population * N);
    double (*f)(const double *, uint32_t) = strcmp(function, "rosen") ? sphere : golden_rosen;
    evaluate(de, f, N);
    for (uint32_t seen = 0; s.status == DE_RUNNING;) {
        evaluate(de, f, N);
        de_classic_state(de, &s);
        /* A generation is over when the next one begins with the next question. */
        uint64_t whole = (uint64_t)s.population * (seen + 2);
        if (seen == 60 || s.evaluations < whole)
            continue;
        seen++;
        state = golden_digest(golden_digest(state, s.members, (size_t)s.population * N), s.values,
                              s.population);
    }
    snprintf(out, size, "%s %s %s %s %u %u %" PRIu64 " %016" PRIx64, generator, strategy, updating,
             function, seed, s.generation, s.evaluations, state);
    de_classic_free(de);
    de_space_free(&space);
}

/* Whole runs with SciPy's defaults and default_rng(seed), to their end. */
static const struct whole {
    double (*function)(const double *, uint32_t);
    uint32_t n;
    double low, high;
    uint32_t popsize, seed;
    const char *strategy;
    bool deferred;
    uint32_t most, generations;
    uint64_t evaluations;
    double best;
} wholes[] = {
    {golden_rosen, 2, 0, 2, 15, 1, "best1bin", false, 1000, 139, 4200, 0.0},
    {golden_rosen, 5, 0, 2, 15, 1, "best1bin", false, 1000, 608, 45675, 0.0},
    {golden_rosen, 5, 0, 2, 15, 1, "best1bin", true, 1000, 650, 48825, 0.0},
    {sphere, 10, -100, 100, 8, 42, "rand1bin", true, 1000, 1000, 80080, 1.1944219189636307e-19},
    {golden_rosen, 2, 0, 2, 15, 7, "best1exp", false, 1000, 135, 4080, 0.0},
    {golden_rosen, 4, 0, 2, 15, 7, "rand1exp", true, 1000, 1000, 60060, 1.7163887664379046e-28},
    {golden_rosen, 4, 0, 2, 15, 7, "best2bin", true, 1000, 1000, 60060, 1.035379938102578e-30},
    {golden_rosen, 4, 0, 2, 15, 7, "rand2bin", false, 1000, 1000, 60060, 5.758529741445124e-17},
    {golden_rosen, 4, 0, 2, 15, 7, "rand2exp", false, 1000, 1000, 60060, 3.442167574615177e-17},
    {golden_rosen, 4, 0, 2, 15, 7, "randtobest1bin", false, 1000, 468, 28140, 0.0},
    {golden_rosen, 4, 0, 2, 15, 7, "randtobest1exp", true, 1000, 540, 32460, 0.0},
};

static int check_whole(const struct whole *w)
{
    double lower[N_MAX], upper[N_MAX];
    const char *error;
    struct de_random random;
    struct de_state s;
    for (uint32_t i = 0; i < w->n; i++) {
        lower[i] = w->low;
        upper[i] = w->high;
    }
    struct de_space space;
    char why[128];
    struct rtc_de_options options = {.n = w->n,
                                     .lower = lower,
                                     .upper = upper,
                                     .compat = RTC_DE_SCIPY_GENERATOR,
                                     .strategy = w->strategy,
                                     .max_generations = w->most,
                                     .popsize = w->popsize,
                                     .immediate = !w->deferred};
    de_random_pcg64(&random, w->seed);
    if (de_space_init(&space, &options, true, why, sizeof(why)))
        return 1;
    struct de_classic *de = de_classic_create(&space, &options, &random, &error);
    if (!de)
        return 1;
    while (evaluate(de, w->function, w->n)) {
    }
    de_classic_state(de, &s);
    bool same =
        s.generation == w->generations && s.evaluations == w->evaluations && s.best == w->best;
    if (!same)
        printf("%s: %u generations, %llu evaluations, %.17g; SciPy: %u, %llu, %.17g\n", w->strategy,
               s.generation, (unsigned long long)s.evaluations, s.best, w->generations,
               (unsigned long long)w->evaluations, w->best);
    de_classic_free(de);
    de_space_free(&space);
    return !same;
}

int main(int argc, char **argv)
{
    int lines = 0, wrong = argc == 2 ? golden_compare(argv[1], run, &lines) : 1;
    for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++)
        wrong += check_whole(&wholes[i]);
    return wrong || lines < 480;
}
