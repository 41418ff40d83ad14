/* SciPy's cases of integers: 49 and 50 of those that test_cases.c counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/de/solve.h"

#define DRAWS 10000u
#define MOST  256u

/* Bounds of the integers 1 and 3, as a space has them. */
static void check_limits(const double *lower, const double *upper, const double *want_lower,
                         const double *want_upper)
{
    static const bool integrality[3] = {true, false, true};
    for (int legacy = 0; legacy < 2; legacy++) {
        struct de_space space;
        char why[200];
        struct rtc_de_options o = {
            .n = 3, .lower = lower, .upper = upper, .integrality = integrality};
        const char *error = de_space_init(&space, &o, legacy, why, sizeof(why));
        if (!want_lower) {
            assert_non_null(error);
            assert_non_null(strstr(error, "no integer"));
            de_space_free(&space);
            continue;
        }
        assert_null(error);
        for (uint32_t j = 0; j < 3; j++) {
            NEAR(space.lower[j], want_lower[j], 1e-14);
            NEAR(space.upper[j], want_upper[j], 1e-14);
            for (int i = 0; i <= 100 && !legacy; i++) {
                double x = de_space_scale(&space, j, i / 100.0);
                assert_true(!integrality[j] || (x == rint(x) && x >= lower[j] && x <= upper[j]));
            }
        }
        de_space_free(&space);
    }
}

static void limits(void **state) /* 49 */
{
    (void)state;
    check_limits(NUMBERS(0.2, 0.9, 3.3), NUMBERS(1.1, 2.2, 4.9), NUMBERS(0.5, 0.9, 3.5),
                 NUMBERS(1.5, 2.2, 4.5));
    check_limits(NUMBERS(-1.2, 0.9, -10.3), NUMBERS(-0.9, 2.2, 4.1), NUMBERS(-1.5, 0.9, -10.5),
                 NUMBERS(-0.5, 2.2, 4.5));
    check_limits(NUMBERS(-10.2, 0.9, -10.9), NUMBERS(-8.1, 2.2, -9.9999),
                 NUMBERS(-10.5, 0.9, -10.5), NUMBERS(-8.5, 2.2, -9.5));
    check_limits(NUMBERS(-10.2, 0.9, -10.9), NUMBERS(-10.1, 2.2, -9.9999), NULL, NULL);
}

/* 50: how many failures there were before the fifth success, of a fair coin. */
static uint32_t counts[MOST];
static double mean;

static void draw_counts(void)
{
    struct de_random random;
    de_random_pcg64(&random, 6519843218105u);
    memset(counts, 0, sizeof(counts));
    mean = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t failures = 0;
        for (uint32_t successes = 0; successes < 5;) {
            if (de_random_double(&random) < 0.5)
                successes++;
            else
                failures++;
        }
        assert_true(failures < MOST);
        counts[failures]++;
        mean += (double)failures / DRAWS;
    }
}

static double minus_log_likelihood(const double *x, uint32_t n)
{
    (void)n;
    double sum = 0, r = x[0], p = x[1];
    for (uint32_t k = 0; k < MOST; k++) {
        if (counts[k])
            sum -= counts[k] *
                   (lgamma(k + r) - lgamma(k + 1.0) - lgamma(r) + r * log(p) + k * log1p(-p));
    }
    return isnan(sum) ? INFINITY : sum;
}

static void negative_binomial(void **state) /* 50 */
{
    (void)state;
    static const bool integrality[2] = {true, false};
    struct solved raw, polished;
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(1, 0),
                               .upper = NUMBERS(18, 0.95),
                               .integrality = integrality,
                               .immediate = true,
                               .seed = 1};
    draw_counts();
    assert_null(solve(&o, minus_log_likelihood, &raw));
    assert_true(raw.result.x[0] == 5);
    NEAR(raw.result.x[1], 0.5, 0.5 * 0.025);
    o.polish = true;
    assert_null(solve(&o, minus_log_likelihood, &polished));
    assert_true(polished.result.x[0] == 5);
    assert_true(polished.result.value <= raw.result.value);
    NEAR(polished.result.x[1], 5 / (5 + mean), 1e-5); /* the maximum, in closed form */
    solve_free(&raw);
    solve_free(&polished);
}

static double off(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t j = 0; j < n; j++)
        sum += (x[j] - 2.4) * (x[j] - 2.4);
    return sum;
}

/* Where all are integers there is nothing to polish. */
static void nothing_to_polish(void **state)
{
    (void)state;
    static const bool integrality[2] = {true, true};
    struct solved s;
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(-9, -9),
                               .upper = NUMBERS(9, 9),
                               .integrality = integrality,
                               .polish = true};
    assert_null(solve(&o, off, &s));
    assert_true(s.result.x[0] == 2 && s.result.x[1] == 2);
    assert_null(s.result.jacobian);
    assert_int_equal(s.result.evaluations, 30 * (s.result.generations + 1));
    solve_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),
        cmocka_unit_test(negative_binomial),
        cmocka_unit_test(nothing_to_polish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
