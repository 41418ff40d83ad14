/* The low-discrepancy points of SciPy, bit for bit, and the generators as it leaves them.
 * sampling_golden.py made the file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actors/de/sampling.h"
#include "tests/de/golden.h"

#define LINES  686
#define POINTS 1000u

static double points[DE_SOBOL_MAX * POINTS], again[DE_SOBOL_MAX * POINTS];

static const char *sample(const char *sequence, struct de_random *random, uint32_t n,
                          uint32_t count)
{
    return strcmp(sequence, "sobol") ? de_sample_halton(random, n, count, points)
                                     : de_sample_sobol(random, n, count, points);
}

/* Returns what the line should be. */
static void run(const char *line, char *out, size_t size)
{
    char sequence[16], generator[16];
    unsigned seed, n, count;
    struct de_random random;
    double after[5];
    out[0] = 0;
    if (sscanf(line, "%15s %15s %u %u %u", sequence, generator, &seed, &n, &count) != 5 ||
        n > DE_SOBOL_MAX || count > POINTS)
        return;
    bool scrambled = strcmp(generator, "none") != 0;
    if (!strcmp(generator, "mt19937"))
        de_random_mt19937(&random, seed);
    else
        de_random_pcg64(&random, seed);
    if (seed % 2 == 0)
        de_random_u32(&random);
    if (sample(sequence, scrambled ? &random : NULL, n, count))
        return;
    uint64_t state = golden_digest(1, points, (size_t)n * count);
    for (int i = 0; i < 5; i++)
        after[i] = i < 3 ? de_random_double(&random) : de_random_u32(&random);
    if (scrambled)
        state = golden_digest(state, after, 5);
    snprintf(out, size, "%s %s %u %u %u %016" PRIx64, sequence, generator, seed, n, count, state);
}

/* What is refused, and says so, draws nothing. */
static int check_limits(const char *sequence)
{
    struct de_random random, before;
    de_random_pcg64(&random, 1);
    before = random;
    bool refused = sample(sequence, &random, 0, 1) && sample(sequence, &random, 1, 0) &&
                   sample(sequence, &random, DE_SOBOL_MAX + 1, 1) &&
                   sample(sequence, &random, 1, (1u << 30) + 1);
    bool same = de_random_double(&random) == de_random_double(&before);
    if (!refused || !same)
        printf("%s: the limits do not hold\n", sequence);
    return !refused || !same;
}

/* With Philox the points are a function of the stream, and in each coordinate each sixteenth of
 * [0, 1) has its share of them. */
static int check_philox(const char *sequence, uint32_t n, uint32_t count)
{
    struct de_random random;
    int wrong = 0;
    for (int time = 0; time < 2; time++) {
        de_random_philox(&random, 1, 2, 3);
        if (sample(sequence, &random, n, count))
            return 1;
        if (time == 0)
            memcpy(again, points, sizeof(points));
    }
    wrong += memcmp(again, points, sizeof(points)) != 0;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t shares[16] = {0};
        for (uint32_t i = 0; i < count; i++) {
            double x = points[(size_t)i * n + j];
            if (x >= 0 && x < 1)
                shares[(int)(x * 16)]++;
        }
        /* Halton's discrepancy in the coordinate of 29 allows for some more or less. */
        uint32_t slack = strcmp(sequence, "sobol") ? 8 : 0;
        for (uint32_t k = 0; k < 16; k++)
            wrong += shares[k] + slack < count / 16 || shares[k] > count / 16 + slack;
    }
    de_random_philox(&random, 1, 2, 4);
    sample(sequence, &random, n, count);
    wrong += memcmp(again, points, sizeof(points)) == 0;
    if (wrong)
        printf("%s with Philox: %d things are wrong\n", sequence, wrong);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    int lines = 0, wrong = argc == 2 ? golden_compare(argv[1], run, &lines) : 1;
    for (int i = 0; i < 2; i++) {
        const char *sequence = i ? "halton" : "sobol";
        wrong += check_limits(sequence) + check_philox(sequence, 10, 512);
    }
    return wrong || lines != LINES;
}
