/* Runs of SciPy's differential evolution, bit for bit, beyond those of test_scipy.c: the ways to
 * begin, integers, constraints by Lampinen's rule, budgets, odd bounds. scipy_more_golden.py made
 * the file. */
#include <inttypes.h>

#include "tests/de/golden.h"
#include "tests/de/solve.h"

#define N           3u
#define GENERATIONS 20u
#define LINES       684

/* ---- Objectives: every operation stands where numpy does it ---- */

static double sphere(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static double half_infinite(const double *x, uint32_t n)
{
    return x[0] < 0.25 ? INFINITY : sphere(x, n);
}

static double mostly_infinite(const double *x, uint32_t n)
{
    return x[0] < 2.3 ? INFINITY : sphere(x, n);
}

/* ---- Constraints ---- */

static int total(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] + x[1];
    return 0;
}

static int pair(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] + x[1];
    ret[1] = x[0] - x[1];
    return 0;
}

static int circle(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] + x[1] * x[1] + x[2] * x[2];
    return 0;
}

#define SUM                                        \
    {                                              \
        .fn = total, .m = 1, .upper = NUMBERS(1.9) \
    }
#define PAIR                                                                   \
    {                                                                          \
        .fn = pair, .m = 2, .lower = NUMBERS(0.9, 0.5), .upper = NUMBERS(2, 2) \
    }

static const struct rtc_de_constraint sum_pair[] = {SUM, PAIR};
static const struct rtc_de_constraint linear[] = {{.matrix = NUMBERS(1, 2, -1, 0, -1, 1),
                                                   .m = 2,
                                                   .lower = NUMBERS(-0.5, -INFINITY),
                                                   .upper = NUMBERS(0.5, 1)}};
static const struct rtc_de_constraint band[] = {
    {.fn = circle, .m = 1, .lower = NUMBERS(3.999), .upper = NUMBERS(4.001)}};
static const struct rtc_de_constraint bands[] = {
    {.fn = circle, .m = 1, .lower = NUMBERS(3.9), .upper = NUMBERS(4.1)},
    {.fn = total, .m = 1, .lower = NUMBERS(0.35), .upper = NUMBERS(0.4)}};
static const struct rtc_de_constraint never[] = {{.fn = total, .m = 1, .upper = NUMBERS(-10)}};

/* ---- Problems ---- */

static double array[9 * N];
static const double x0[N] = {0.2, 0.8, -1.5}, corner[N] = {2.5, -2, 0.1};
static const bool two_integers[N] = {true, false, true}, all_integers[N] = {true, true, true},
                  one_integer[N] = {true, false, false};

static const struct problem {
    const char *name;
    solve_fn fn;
    struct rtc_de_options o; /* what differs from usual */
} problems[] = {
    {"sobol", golden_rosen, {.init = RTC_DE_SOBOL}},
    {"halton", golden_rosen, {.init = RTC_DE_HALTON}},
    {"random", golden_rosen, {.init = RTC_DE_RANDOM}},
    {"array", golden_rosen, {.init = RTC_DE_ARRAY, .init_points = array, .n_init = 9}},
    {"x0", golden_rosen, {.x0 = x0}},
    {"array_x0", sphere, {.init = RTC_DE_ARRAY, .init_points = array, .n_init = 9, .x0 = x0}},
    {"sobol_x0", sphere, {.init = RTC_DE_SOBOL, .x0 = corner}},
    {"integers",
     golden_rosen,
     {.integrality = two_integers, .lower = NUMBERS(-7, -7, -7), .upper = NUMBERS(9, 9, 9)}},
    {"integers_only",
     sphere,
     {.integrality = all_integers, .lower = NUMBERS(-70, -70, -70), .upper = NUMBERS(90, 90, 90)}},
    {"integers_odd",
     golden_rosen,
     {.integrality = two_integers,
      .lower = NUMBERS(-7.3, -2, 0.2),
      .upper = NUMBERS(8.6, 2.5, 4.1)}},
    {"sum", golden_rosen, {.constraints = sum_pair, .n_constraints = 1}},
    {"pair", golden_rosen, {.constraints = sum_pair + 1, .n_constraints = 1}},
    {"both", golden_rosen, {.constraints = sum_pair, .n_constraints = 2}},
    {"linear", golden_rosen, {.constraints = linear, .n_constraints = 1}},
    {"band", sphere, {.constraints = band, .n_constraints = 1}},
    {"bands", sphere, {.constraints = bands, .n_constraints = 2}},
    {"never", golden_rosen, {.constraints = never, .n_constraints = 1}},
    {"integers_sum",
     golden_rosen,
     {.constraints = sum_pair,
      .n_constraints = 1,
      .integrality = one_integer,
      .init = RTC_DE_HALTON}},
    {"half_infinite", half_infinite, {.n = 0}},
    {"mostly_infinite", mostly_infinite, {.n = 0}},
    {"infinite_pair",
     mostly_infinite,
     {.constraints = sum_pair, .n_constraints = 1, .init = RTC_DE_RANDOM}},
    {"budget", golden_rosen, {.max_evaluations = 100}},
    {"budget_sum",
     golden_rosen,
     {.max_evaluations = 100, .constraints = sum_pair, .n_constraints = 1}},
    {"budget_first", golden_rosen, {.max_evaluations = 13}},
    {"vectorized", golden_rosen, {.vectorized = true}},
    {"settings",
     golden_rosen,
     {.mutation = {0.9, 0.4}, .recombination = 0.4, .tol = 0.1, .atol = 0.05}},
    {"constant", golden_rosen, {.mutation = {0.8, 0.8}, .recombination = 0.9}},
    {"fixed", golden_rosen, {.lower = NUMBERS(-2, 1.25, -2), .upper = NUMBERS(2.5, 1.25, 2.5)}},
    {"reversed", golden_rosen, {.lower = NUMBERS(2.5, -2, 2.5), .upper = NUMBERS(-2, 2.5, -2)}},
};

/* Population, values and violations of where a run is that ends after so many generations. Within a
 * longer one it is not to be seen: it asks nothing at the end of a generation whose last trials are
 * not feasible. Generation 0 is the first population, before anything was evaluated. */
static uint64_t digest_at(const struct rtc_de_options *options, solve_fn fn, uint32_t generation,
                          uint64_t state)
{
    struct rtc_de_options o = *options;
    struct de_random random;
    struct de_state s;
    struct de_space space;
    char why[200];
    const char *error;
    const double *points;
    double values[64], violations[8] = {0}, x[N];
    o.max_generations = generation ? generation : RTC_DE_NO_GENERATION;
    solve_random(&o, &random);
    if (de_space_init(&space, &o, true, why, sizeof(why)))
        return 0;
    struct de_classic *de = de_classic_create(&space, &o, &random, &error);
    for (uint32_t count; de && generation && (count = de_classic_ask(de, &points)) > 0;) {
        for (uint32_t i = 0; i < count; i++)
            values[i] = fn(points + (size_t)i * N, N);
        de_classic_tell(de, values);
    }
    if (de) {
        de_classic_state(de, &s);
        state = golden_digest(state, s.members, (size_t)s.population * N);
        state = generation ? golden_digest(state, s.values, s.population) : state;
        for (uint32_t i = 0; i < s.population && generation; i++) {
            for (uint32_t j = 0; j < N; j++)
                x[j] = de_space_scale(&space, j, s.members[(size_t)i * N + j]);
            de_space_violations(&space, x, violations);
            state = golden_digest(state, violations, space.n_violations ? space.n_violations : 1);
        }
    }
    de_classic_free(de);
    de_space_free(&space);
    return state;
}

/* Returns what the line should be. */
static void run(const char *line, char *out, size_t size)
{
    char name[32], generator[16], strategy[32], updating[16];
    unsigned seed;
    size_t k = 0;
    struct solved s;
    out[0] = 0;
    if (sscanf(line, "%31s %15s %31s %15s %u", name, generator, strategy, updating, &seed) != 5)
        return;
    while (k < sizeof(problems) / sizeof(problems[0]) && strcmp(problems[k].name, name) != 0)
        k++;
    if (k == sizeof(problems) / sizeof(problems[0]))
        return;
    struct rtc_de_options o = problems[k].o;
    o.n = N;
    o.lower = o.lower ? o.lower : NUMBERS(-2, -2, -2);
    o.upper = o.upper ? o.upper : NUMBERS(2.5, 2.5, 2.5);
    o.strategy = strategy;
    o.popsize = 7;
    o.max_generations = GENERATIONS;
    o.immediate = strcmp(updating, "deferred") != 0;
    o.seed = seed;
    o.compat = strcmp(generator, "mt19937") ? RTC_DE_SCIPY_GENERATOR : RTC_DE_SCIPY_SEED;
    if (solve(&o, problems[k].fn, &s))
        return;
    const struct rtc_de_result *r = &s.result;
    bool broken = s.status == DE_MAX_EVALUATIONS || s.status == DE_REACHED_EVALUATIONS;
    uint64_t state = digest_at(&o, problems[k].fn, 0, 1);
    for (uint32_t g = 1; g <= r->generations - broken; g++)
        state = digest_at(&o, problems[k].fn, g, state);
    state = golden_digest(golden_digest(state, r->x, N), &r->value, 1);
    snprintf(out, size, "%s %s %s %s %u %u %" PRIu64 " %d %.17g %016" PRIx64, name, generator,
             strategy, updating, seed, r->generations, r->evaluations, r->success,
             r->worst_violation, state);
    solve_free(&s);
}

int main(int argc, char **argv)
{
    int lines = 0;
    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < (int)N; j++)
            array[i * (int)N + j] = (7 * i + 3 * j) % 11 * 0.5 - 2.25;
    }
    int wrong = argc == 2 ? golden_compare(argv[1], run, &lines) : 1;
    return wrong || lines != LINES;
}
