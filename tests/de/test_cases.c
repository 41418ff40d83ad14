/* SciPy's own cases of differential evolution, 52 of them, each named by its number. Here: the ways
 * to begin and to end, and results. 1-15 stand in test_operators.c, 33 and 36-40 in
 * test_constraints.c, 41-48 in test_lampinen.c, 49 and 50 in test_integers.c. Polishing is on where
 * it is on there. Seeds are ours, since the streams of newer releases of SciPy are other ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/de/solve.h"
#include "tests/de/usual.h"

/* ---- Beginning ---- */

/* 16: an array is of n_init points of n, so it cannot have another width. */
static void bad_init(void **state)
{
    (void)state;
    double points[10] = {0};
    struct rtc_de_options o = usual;
    o.init = (enum rtc_de_init)77;
    refuses(&o, "init");
    o.init = RTC_DE_ARRAY;
    refuses(&o, "5 points");
    o.n_init = 5;
    refuses(&o, "5 points");
    o.init_points = points;
    o.n_init = 4;
    refuses(&o, "5 points");
}

static void check_begin(const struct rtc_de_options *o, uint32_t np, struct de_state *ret_state,
                        struct de_classic **ret_de, struct de_space *space)
{
    char why[200];
    struct de_random random;
    const char *error;
    de_random_pcg64(&random, o->seed);
    assert_null(de_space_init(space, o, false, why, sizeof(why)));
    *ret_de = de_classic_create(space, o, &random, &error);
    assert_non_null(*ret_de);
    de_classic_state(*ret_de, ret_state);
    assert_int_equal(ret_state->population, np);
    assert_int_equal(ret_state->evaluations, 0);
    for (uint32_t i = 0; i < np; i++)
        assert_true(isinf(ret_state->values[i]));
}

static void first_populations(void **state) /* 17-19 */
{
    (void)state;
    double points[10], low = INFINITY, high = -INFINITY;
    struct rtc_de_options o = usual;
    struct de_state s;
    struct de_classic *de;
    struct de_space space;
    o.init = RTC_DE_ARRAY;
    o.strategy = "best2bin";
    o.popsize = 5;
    o.init_points = points;
    o.n_init = 5;
    for (int i = 0; i < 10; i++)
        points[i] = -1 + i * 4 / 9.0;
    check_begin(&o, 5, &s, &de, &space);
    for (int i = 0; i < 10; i++) {
        low = fmin(low, s.members[i]);
        high = fmax(high, s.members[i]);
        NEAR(s.members[i], fmin(fmax(points[i] / 2, 0), 1), 1e-15);
    }
    assert_true(low == 0 && high == 1);
    de_classic_free(de);
    de_space_free(&space);
    o = usual; /* one in each of 98 rows, in each parameter */
    o.popsize = 49;
    check_begin(&o, 98, &s, &de, &space);
    for (uint32_t j = 0; j < 2; j++) {
        bool seen[98] = {0};
        for (uint32_t i = 0; i < 98; i++)
            seen[(int)(s.members[i * 2 + j] * 98)] = true;
        for (uint32_t i = 0; i < 98; i++)
            assert_true(seen[i]);
    }
    de_classic_free(de);
    de_space_free(&space);
    const double x0[2] = {0.3, 1.7};
    o = usual;
    o.x0 = x0;
    check_begin(&o, 30, &s, &de, &space);
    NEAR(s.members[0], 0.15, 1e-15);
    NEAR(s.members[1], 0.85, 1e-15);
    de_classic_free(de);
    de_space_free(&space);
    o.x0 = NUMBERS(0.2, 2.1);
    refuses(&o, "x0");
    o.x0 = NUMBERS(0.2, NAN);
    refuses(&o, "x0");
    struct solved solved;
    o.x0 = NUMBERS(0.2, 0.8);
    assert_null(solve(&o, solve_rosen, &solved));
    assert_true(solved.result.success);
    solve_free(&solved);
}

/* ---- Ending ---- */

static void check_end(const struct rtc_de_options *o, uint32_t generations, uint64_t evaluations,
                      const char *word)
{
    struct solved s;
    assert_null(solve(o, solve_rosen, &s));
    const struct rtc_de_result *r = &s.result;
    assert_int_equal(r->generations, generations);
    if (evaluations)
        assert_int_equal(r->evaluations, evaluations);
    assert_int_equal(r->evaluations, s.calls);
    assert_false(r->success);
    if (!strstr(r->message, word))
        fail_msg("%s: nothing of %s", r->message, word);
    for (uint32_t i = 0; i < r->np; i++)
        assert_true(r->values[i] >= r->values[0]);
    assert_false(s.rose);
    solve_free(&s);
}

static void limits(void **state) /* 20-26 */
{
    (void)state;
    struct rtc_de_options o = usual;
    o.max_generations = 1;
    check_end(&o, 1, 0, "Maximum number of iterations has been exceeded.");
    o.polish = false;
    check_end(&o, 1, 60, "Maximum number of iterations has been exceeded.");
    o.popsize = 3;
    o.max_generations = RTC_DE_NO_GENERATION;
    check_end(&o, 0, 6, "iterations has been exceeded.");
    o.max_generations = 1;
    o.max_evaluations = 12;
    check_end(&o, 1, 12, "iterations");
    o.max_generations = 0; /* the next one stops: after an evaluation more, or with none */
    check_end(&o, 2, 13, "evaluations has been exceeded.");
    o.immediate = false;
    check_end(&o, 2, 12, "evaluations has been reached.");
    o = usual;
    o.polish = false;
    o.max_evaluations = 1;
    check_end(&o, 1, 2, "Maximum number of function evaluations has been exceeded.");
    o.popsize = 5;
    o.max_evaluations = 40;
    check_end(&o, 4, 41, "Maximum number of function evaluations has been exceeded.");
    o.immediate = false;
    o.max_evaluations = 47;
    check_end(&o, 5, 47, "Maximum number of function evaluations has been reached.");
    o = usual;
    o.max_generations = 50;
    check_end(&o, 50, 0, "iterations");
}

static void quadratics(void **state) /* 27, 30, and that `value` is the function's at x */
{
    (void)state;
    struct solved a, b;
    struct rtc_de_options o = {.n = 1,
                               .lower = NUMBERS(-100),
                               .upper = NUMBERS(100),
                               .tol = 0.02,
                               .immediate = true,
                               .polish = true};
    assert_null(solve(&o, quadratic, &a));
    for (uint32_t i = 0; i < a.result.np; i++)
        assert_true(a.result.values[i] >= a.result.values[0]);
    assert_true(a.result.value == quadratic(a.result.x, 1));
    solve_free(&a);
    for (enum rtc_de_init init = RTC_DE_LATIN_HYPERCUBE; init < RTC_DE_ARRAY; init++) {
        o.init = init;
        o.tol = 0.5;
        o.polish = false;
        assert_null(solve(&o, quadratic, &a));
        assert_null(solve(&o, quadratic, &b));
        assert_true(a.result.x[0] == b.result.x[0]);
        assert_int_equal(a.result.evaluations, b.result.evaluations);
        solve_free(&a);
        solve_free(&b);
    }
}

static double parabola(const double *x, uint32_t n)
{
    (void)n;
    return 1 + 2 * x[0] + 3 * x[0] * x[0];
}

static void optima(void **state) /* 28, 29, 31 */
{
    (void)state;
    struct solved s;
    struct rtc_de_options o = usual;
    double mean = 0, deviation = 0;
    o.n = 1;
    o.lower = NUMBERS(-10);
    o.upper = NUMBERS(10);
    assert_null(solve(&o, parabola, &s));
    NEAR(s.result.value, 2 / 3.0, 1.5e-7);
    solve_free(&s);
    assert_null(solve(&usual, solve_rosen, &s));
    assert_true(s.result.success);
    assert_string_equal(s.result.message, "Optimization terminated successfully.");
    NEAR(s.result.x[0], 1, 1.5e-7);
    NEAR(s.result.x[1], 1, 1.5e-7);
    for (uint32_t i = 0; i < s.result.np; i++) /* converged, also after polishing */
        mean += s.result.values[i] / s.result.np;
    for (uint32_t i = 0; i < s.result.np; i++)
        deviation += pow(s.result.values[i] - mean, 2) / s.result.np;
    assert_true(sqrt(deviation) <= 0.01 * mean);
    solve_free(&s);
    o = usual;
    o.tol = 0.2;
    o.polish = false;
    assert_null(solve(&o, solve_rosen, &s));
    assert_int_equal(s.status, DE_CONVERGED);
    assert_true(s.convergence < 0.2);
    solve_free(&s);
}

static double sometimes_infinite(const double *x, uint32_t n)
{
    (void)n;
    return x[0] < 0.5 ? INFINITY : x[1];
}

static double never_a_number(const double *x, uint32_t n)
{
    (void)n;
    return x[0] < 0.5 ? INFINITY : NAN;
}

static void infinite(void **state) /* 32 */
{
    (void)state;
    struct solved s;
    struct rtc_de_options o = usual;
    o.upper = NUMBERS(1, 1);
    for (int immediate = 0; immediate < 2; immediate++) {
        o.immediate = immediate;
        assert_null(solve(&o, sometimes_infinite, &s));
        assert_true(s.result.x[0] >= 0.5 && s.result.value < 1e-3);
        solve_free(&s);
        o.max_generations = 20;
        assert_null(solve(&o, never_a_number, &s));
        assert_true(isinf(s.result.value) && !s.result.success);
        solve_free(&s);
        o.max_generations = 0;
    }
}

/* 34: `workers` does not override immediate updating. The machine then asks for one point at a
 * time, however many workers there are; otherwise for all of a generation at once. */
static void updating(void **state)
{
    (void)state;
    struct rtc_de_options o = usual;
    struct de_state s;
    struct de_classic *de;
    struct de_space space;
    const double *points;
    const double values[30] = {0};
    o.workers = 2;
    for (int immediate = 0; immediate < 2; immediate++) {
        o.immediate = immediate;
        check_begin(&o, 30, &s, &de, &space);
        assert_int_equal(de_classic_ask(de, &points), 30);
        de_classic_tell(de, NUMBERS(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0,
                                    1, 2, 3, 4, 5, 6, 7, 8, 9));
        assert_int_equal(de_classic_ask(de, &points), immediate ? 1 : 30);
        de_classic_tell(de, values);
        de_classic_free(de);
        de_space_free(&space);
    }
    o.vectorized = true; /* SciPy warns, and defers */
    refuses(&o, "deferred");
}

static enum rtc_de_verdict stop_at(void *arg, const struct rtc_de_progress *p)
{
    return p->generation == *(uint32_t *)arg ? RTC_DE_STOP : RTC_DE_GO_ON;
}

/* 35: of what may be returned, there is nothing but the verdict. */
static void callback(void **state)
{
    (void)state;
    uint32_t ten = 10, never = UINT32_MAX;
    for (int immediate = 0; immediate < 2; immediate++) {
        struct solved a, b;
        struct rtc_de_options o = usual;
        o.immediate = immediate;
        o.max_generations = 10;
        assert_null(solve(&o, solve_rosen, &b));
        o.max_generations = 0;
        o.callback = stop_at;
        o.arg = &ten;
        assert_null(solve(&o, solve_rosen, &a));
        assert_string_equal(a.result.message,
                            "callback function requested stop early by returning True");
        assert_false(a.result.success);
        assert_int_equal(a.result.generations, 10);
        assert_int_equal(b.result.generations, 10);
        assert_int_equal(a.result.evaluations, b.result.evaluations);
        assert_true(a.result.value == b.result.value);
        assert_memory_equal(a.result.x, b.result.x, 2 * sizeof(double));
        assert_memory_equal(a.result.jacobian, b.result.jacobian, 2 * sizeof(double));
        assert_memory_equal(a.result.population, b.result.population, 60 * sizeof(double));
        assert_memory_equal(a.result.values, b.result.values, 30 * sizeof(double));
        solve_free(&a);
        solve_free(&b);
        o.arg = &never;
        assert_null(solve(&o, solve_rosen, &a));
        assert_true(a.result.success);
        solve_free(&a);
    }
}

/* ---- A generation in one call ---- */

static void vectorized(void **state) /* 51 */
{
    (void)state;
    struct solved a, b;
    struct rtc_de_options o = usual;
    o.upper = NUMBERS(10, 10);
    o.immediate = false;
    for (int polish = 0; polish < 2; polish++) {
        o.polish = polish;
        o.vectorized = false;
        assert_null(solve(&o, solve_rosen, &a));
        o.vectorized = true;
        assert_null(solve(&o, solve_rosen, &b));
        assert_memory_equal(a.result.x, b.result.x, 2 * sizeof(double));
        assert_int_equal(a.result.generations, b.result.generations);
        assert_int_equal(b.result.evaluations, b.calls);
        assert_true(polish || b.calls == b.result.generations + 1);
        solve_free(&a);
        solve_free(&b);
    }
}

/* 52: an objective gives one number and a strategy writes n of them, so neither can be of the wrong
 * shape. A constraint can lack what it needs. */
static void shapes(void **state)
{
    (void)state;
    const struct rtc_de_constraint wrong[] = {{.matrix = NUMBERS(1, 1), .m = 1},
                                              {.m = 1, .upper = zeros},
                                              {.matrix = zeros, .upper = zeros}};
    struct rtc_de_options o = usual;
    o.n_constraints = 1;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        o.constraints = &wrong[i];
        refuses(&o, "constraint 1: ");
    }
}

static void own_best1bin(void *arg, uint32_t candidate, const double *population, uint32_t np,
                         uint32_t n, double (*draw)(void *state), void *state, double *ret_trial)
{
    uint32_t a = (uint32_t)(draw(state) * np), b = (uint32_t)(draw(state) * np);
    uint32_t filled = (uint32_t)(draw(state) * n);
    assert_ptr_equal(arg, zeros);
    assert_true(candidate < np && a < np && b < np);
    for (uint32_t j = 0; j < n; j++) {
        if (draw(state) < 0.7 || j == filled)
            ret_trial[j] = population[j] + 0.7 * (population[a * n + j] - population[b * n + j]);
    }
}

static void own_strategy(void **state)
{
    (void)state;
    struct solved s;
    struct rtc_de_options o = usual;
    o.strategy_fn = own_best1bin;
    o.arg = (void *)zeros;
    assert_null(solve(&o, solve_rosen, &s));
    assert_true(s.result.success);
    NEAR(s.result.x[0], 1, 1e-6);
    NEAR(s.result.x[1], 1, 1e-6);
    solve_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_init),     cmocka_unit_test(first_populations),
        cmocka_unit_test(limits),       cmocka_unit_test(quadratics),
        cmocka_unit_test(optima),       cmocka_unit_test(infinite),
        cmocka_unit_test(updating),     cmocka_unit_test(callback),
        cmocka_unit_test(vectorized),   cmocka_unit_test(shapes),
        cmocka_unit_test(own_strategy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
