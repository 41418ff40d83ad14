/* SciPy's cases of constraints: 33 and 36-40 of those that test_cases.c counts, and the message of
 * a run that finds nothing feasible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/de/solve.h"

static void rule(void **state) /* 36 */
{
    (void)state;
    const double none[2] = {0, 0}, half[2] = {0.5, 0.5}, ones[2] = {1, 1}, one[2] = {1, 0};
    assert_true(de_space_accepts(0.1, true, none, 1, true, none, 1));
    assert_false(de_space_accepts(1, true, none, 0.1, true, none, 1));
    assert_true(de_space_accepts(0.1, true, none, 0.1, true, none, 1));
    assert_true(de_space_accepts(9.9, true, none, 1, false, one, 1));
    assert_false(de_space_accepts(0.1, false, one, 1, true, none, 1));
    assert_true(de_space_accepts(0.1, false, half, 1, false, ones, 2));
    assert_true(de_space_accepts(0.1, false, half, 1, false, NUMBERS(1, 0.5), 2));
    assert_false(de_space_accepts(1, false, half, 1, false, NUMBERS(1, 0.4), 2));
}

static int total(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] + x[1];
    return 0;
}

static int square_and_difference(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] + x[1];
    ret[1] = x[0] - x[1];
    return 0;
}

static int square_both_ways(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] + x[1];
    ret[1] = x[0] * x[0] - x[1];
    return 0;
}

/* Each row: a point of two, then by how much each component is violated there. */
static void check_violations(const struct rtc_de_constraint *constraints, uint32_t n, uint32_t m,
                             const double *rows, uint32_t n_rows)
{
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(0, 0),
                               .upper = NUMBERS(2, 2),
                               .constraints = constraints,
                               .n_constraints = n};
    struct de_space space;
    char why[200];
    double got[8];
    assert_null(de_space_init(&space, &o, false, why, sizeof(why)));
    assert_int_equal(space.n_violations, m);
    for (uint32_t i = 0; i < n_rows; i++) {
        const double *row = rows + (size_t)i * (2 + m);
        bool feasible = true;
        for (uint32_t k = 0; k < m; k++)
            feasible &= row[2 + k] == 0;
        assert_int_equal(de_space_violations(&space, row, got), feasible);
        for (uint32_t k = 0; k < m; k++) {
            if (isfinite(row[2 + k]))
                NEAR(got[k], row[2 + k], 1e-12);
            else
                assert_true(got[k] == row[2 + k]);
        }
    }
    de_space_free(&space);
}

static void violations(void **state) /* 37, 38 */
{
    (void)state;
    const struct rtc_de_constraint both[] = {
        {.fn = total, .m = 1, .upper = NUMBERS(1.9)},
        {.fn = square_and_difference, .m = 2, .upper = NUMBERS(1.8, 1.8)}};
    const struct rtc_de_constraint two_sided[] = {
        {.fn = square_both_ways, .m = 2, .lower = NUMBERS(-1, -0.85), .upper = NUMBERS(2, 2)}};
    const struct rtc_de_constraint linear[] = {
        {.matrix = NUMBERS(1, 1), .m = 1, .upper = NUMBERS(1.9)}};
    check_violations(both, 1, 1, NUMBERS(1, 1, 0.1), 1);
    check_violations(linear, 1, 1, NUMBERS(1, 1, 0.1, 2, 2, 2.1, 0.5, 0.5, 0), 3);
    check_violations(both, 2, 3,
                     NUMBERS(1.2, 1, 0.3, 0.64, 0, 2, 2, 2.1, 4.2, 0, 0.5, 0.5, 0, 0, 0), 3);
    check_violations(two_sided, 1, 2,
                     NUMBERS(0.5, 1, 0, 0, 0.5, 1.2, 0, 0.1, 1.2, 1.2, 0.64, 0, 0.1, -1.2, 0.19, 0,
                             0.1, 2, 0.01, 1.14),
                     5);
}

static void impossible(void **state) /* 39 */
{
    (void)state;
    struct solved s;
    const struct rtc_de_constraint never = {.fn = total, .m = 1, .upper = NUMBERS(-1)};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(0, 0),
                               .upper = NUMBERS(2, 2),
                               .constraints = &never,
                               .n_constraints = 1,
                               .popsize = 3,
                               .seed = 1,
                               .immediate = true,
                               .polish = true};
    assert_null(solve(&o, solve_rosen, &s));
    assert_true(s.result.worst_violation > 0);
    assert_false(s.result.success);
    assert_non_null(strstr(s.result.message, "does not satisfy the constraints, MAXCV = "));
    solve_free(&s);
}

static void rosen_below_a_line(void **state) /* 40 */
{
    (void)state;
    const struct rtc_de_constraint kinds[] = {
        {.matrix = NUMBERS(1, 1), .m = 1, .upper = NUMBERS(1.9)},
        {.fn = total, .m = 1, .upper = NUMBERS(1.9)}};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct solved s;
        struct rtc_de_options o = {.n = 2,
                                   .lower = NUMBERS(0, 0),
                                   .upper = NUMBERS(2, 2),
                                   .constraints = &kinds[seed % 2],
                                   .n_constraints = 1,
                                   .seed = seed,
                                   .immediate = seed % 3 != 0,
                                   .polish = true};
        assert_null(solve(&o, solve_rosen, &s));
        assert_true(s.result.success);
        assert_true(s.result.x[0] + s.result.x[1] <= 1.9);
        NEAR(s.result.x[0], 0.96632622, 1e-4);
        NEAR(s.result.x[1], 0.93367155, 1e-4);
        NEAR(s.result.value, 0.00113524, 1e-7);
        solve_free(&s);
    }
}

/* 33: where nothing is feasible, what violates the least is the best, wherever it was. */
static void least_violation(void **state)
{
    (void)state;
    const struct rtc_de_constraint never = {.fn = total, .m = 1, .upper = NUMBERS(-1)};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(0, 0),
                               .upper = NUMBERS(2, 2),
                               .constraints = &never,
                               .n_constraints = 1};
    for (int generations = 0; generations < 2; generations++) {
        struct solved s;
        o.max_generations = generations ? 1 : RTC_DE_NO_GENERATION;
        o.immediate = generations;
        assert_null(solve(&o, solve_rosen, &s));
        assert_int_equal(s.result.np, 30);
        assert_int_equal(s.result.evaluations, 0);
        for (uint32_t i = 0; i < s.result.np; i++) {
            const double *x = s.result.population + (size_t)i * 2;
            assert_true(isinf(s.result.values[i]));
            assert_true(x[0] + x[1] >= s.result.population[0] + s.result.population[1]);
        }
        solve_free(&s);
    }
    struct de_space space;
    struct de_random random;
    struct de_members m;
    char why[200];
    double least = INFINITY;
    assert_null(de_space_init(&space, &o, false, why, sizeof(why)));
    de_random_pcg64(&random, 1);
    assert_null(de_members_create(&m, &space, &o, &random));
    for (uint32_t i = 0; i < m.np; i++) {
        m.feasible[i] = false;
        m.violations[i] = (i + 10) % m.np; /* member 20 has none */
        least = fmin(least, m.violations[i]);
    }
    double u = m.u[40];
    de_members_promote(&m);
    assert_true(m.violations[0] == least && m.violations[20] == 10);
    assert_true(m.u[0] == u);
    de_members_free(&m);
    de_space_free(&space);
}

static int above(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[1] - (x[0] - 1) * (x[0] - 1);
    return 0;
}

static int below(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[1] + x[0] * x[0];
    return 0;
}

static void message(void **state) /* with the number that SciPy's test has, from its generator */
{
    (void)state;
    struct solved s;
    const struct rtc_de_constraint c[] = {{.fn = above, .m = 1, .lower = NUMBERS(0)},
                                          {.fn = below, .m = 1, .upper = NUMBERS(0)}};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(-1, -1),
                               .upper = NUMBERS(2, 1),
                               .constraints = c,
                               .n_constraints = 2,
                               .max_generations = 10,
                               .seed = 864197532,
                               .compat = RTC_DE_SCIPY_SEED,
                               .immediate = true};
    assert_null(solve(&o, solve_rosen, &s));
    assert_false(s.result.success);
    assert_non_null(strstr(s.result.message, "MAXCV = 0.404"));
    solve_free(&s);
}

/* A constraint that fails, or says NaN, is violated as badly as can be. */
static int fails(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = 0;
    ret[1] = x[1] > 1 ? NAN : 0;
    return x[0] > 1 ? -1 : 0;
}

static void failing(void **state)
{
    (void)state;
    const struct rtc_de_constraint c = {.fn = fails, .m = 2, .upper = NUMBERS(1, 1)};
    check_violations(&c, 1, 2, NUMBERS(0, 0, 0, 0, 2, 0, INFINITY, INFINITY, 0, 2, 0, INFINITY), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule),
        cmocka_unit_test(violations),
        cmocka_unit_test(impossible),
        cmocka_unit_test(rosen_below_a_line),
        cmocka_unit_test(least_violation),
        cmocka_unit_test(message),
        cmocka_unit_test(failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
