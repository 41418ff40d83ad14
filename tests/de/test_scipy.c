/* The trajectories of SciPy's differential evolution, bit for bit: 12 strategies, both updatings,
 * both generators, two functions, five seeds. scipy_golden.py made the file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/method.h"

#define N 3u

static double rosen(const double *x)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < N; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100.0 * (a * a) + b * b;
    }
    return sum;
}

static double sphere(const double *x)
{
    double sum = 0;
    for (uint32_t i = 0; i < N; i++)
        sum += x[i] * x[i];
    return sum;
}

static uint64_t digest(uint64_t state, const double *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, &numbers[i], sizeof(word));
        state = (state ^ word) * 0x9e3779b97f4a7c15u;
        state ^= state >> 29;
    }
    return state;
}

static void evaluate(struct de_classic *de, double (*function)(const double *))
{
    const double *points;
    double values[64];
    uint32_t count = de_classic_ask(de, &points);
    for (uint32_t i = 0; i < count; i++)
        values[i] = function(points + (size_t)i * N);
    if (count)
        de_classic_tell(de, values);
}

/* Returns what the line should be. */
static void run(const char *line, char *out, size_t size)
{
    char generator[16], strategy[32], updating[16], function[16];
    unsigned seed;
    const char *error;
    static const double lower[N] = {-2, -2, -2}, upper[N] = {2.5, 2.5, 2.5};
    struct de_box box = {N, lower, upper};
    struct de_random random;
    out[0] = 0;
    if (sscanf(line, "%15s %31s %15s %15s %u", generator, strategy, updating, function, &seed) != 5)
        return;
    struct de_classic_options options = {.strategy = strategy,
                                         .max_generations = 60,
                                         .population = de_population(7, N),
                                         .tol = 0.01,
                                         .mutation = {0.5, 1},
                                         .recombination = 0.7,
                                         .deferred = !strcmp(updating, "deferred")};
    if (!strcmp(generator, "mt19937"))
        de_random_mt19937(&random, seed);
    else
        de_random_pcg64(&random, seed);
    struct de_classic *de = de_classic_create(&box, &options, &random, &error);
    if (!de)
        return;
    struct de_state s;
    de_classic_state(de, &s);
    uint64_t state = digest(1, s.members, (size_t)s.population * N);
    double (*f)(const double *) = strcmp(function, "rosen") ? sphere : rosen;
    evaluate(de, f);
    for (uint32_t seen = 0; s.status == DE_RUNNING;) {
        evaluate(de, f);
        de_classic_state(de, &s);
        /* A generation is over when the next one begins with the next question. */
        uint64_t whole = (uint64_t)s.population * (seen + 2);
        if (seen == 60 || s.evaluations < whole)
            continue;
        seen++;
        state = digest(digest(state, s.members, (size_t)s.population * N), s.values, s.population);
    }
    snprintf(out, size, "%s %s %s %s %u %u %" PRIu64 " %016" PRIx64, generator, strategy, updating,
             function, seed, s.generation, s.evaluations, state);
    de_classic_free(de);
}

int main(int argc, char **argv)
{
    char line[256], mine[256];
    int wrong = 0, lines = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: test_scipy GOLDEN\n");
        return 2;
    }
    for (; fgets(line, sizeof(line), file); lines++) {
        line[strcspn(line, "\n")] = 0;
        run(line, mine, sizeof(mine));
        if (strcmp(line, mine) != 0 && wrong++ < 10)
            printf("SciPy: %s\nhere:  %s\n", line, mine);
    }
    fclose(file);
    printf("%d of %d trajectories are SciPy's\n", lines - wrong, lines);
    return wrong || lines < 480;
}
