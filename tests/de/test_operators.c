/* SciPy's cases of what differential evolution is made of: 1-15 of those that test_cases.c counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/de/solve.h"
#include "tests/de/usual.h"

static void mutants(void **state) /* 1-6 */
{
    (void)state;
    static const double expected[] = {
        [DE_BEST1] = 0.05,         [DE_RAND1] = 0.25, [DE_RANDTOBEST1] = 0.15,
        [DE_CURRENTTOBEST1] = 0.1, [DE_BEST2] = -0.1, [DE_RAND2] = 0.1};
    const uint32_t samples[5] = {2, 3, 4, 5, 6};
    double u[7], mutant;
    for (int i = 0; i < 7; i++)
        u[i] = 0.1 * (i + 1);
    const struct de_members members = {.n = 1, .np = 7, .m = 1, .u = u};
    for (enum de_base base = DE_BEST1; base <= DE_RAND2; base++) {
        de_mutant(&members, base, 0.5, 1, samples, &mutant);
        NEAR(mutant, expected[base], 1e-15);
    }
}

static void names(void **state) /* 7, 10 */
{
    (void)state;
    static const char *const bases[] = {"best1",          "rand1", "randtobest1",
                                        "currenttobest1", "best2", "rand2"};
    struct rtc_de_options o = usual;
    struct de_strategy strategy;
    char name[32];
    o.strategy = name;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "%s%s", bases[i / 2], i % 2 ? "bin" : "exp");
        assert_null(de_strategy_find(&strategy, &o));
        assert_int_equal(strategy.base, i / 2);
        assert_int_equal(strategy.binomial, i % 2);
        o.max_generations = 1;
        assert_null(solve_refusal(&o));
    }
    static const char *const wrong[] = {"abc", "", "bin", "best1", "best1bins", "best3bin"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        o.strategy = wrong[i];
        refuses(&o, "strategy");
    }
}

/* 8: a pair is drawn from, in either order, and one number is not. What is drawn is in the goldens:
 * "settings" and "constant" of scipy_more_golden.py. */
static void dither(void **state)
{
    (void)state;
    static const double mutation[4][2] = {{0, 0}, {0.5, 1}, {1, 0.5}, {0.5, 0.5}};
    struct solved s[4];
    for (int i = 0; i < 4; i++) {
        struct rtc_de_options o = usual, full;
        memcpy(o.mutation, mutation[i], sizeof(o.mutation));
        de_defaults(&o, &full);
        assert_true(full.mutation[0] == (i ? mutation[i][0] : 0.5));
        assert_true(full.mutation[1] == (i ? mutation[i][1] : 1));
        o.polish = false;
        o.max_generations = 20;
        assert_null(solve(&o, solve_rosen, &s[i]));
    }
    assert_true(s[0].result.value == s[1].result.value && s[0].result.value == s[2].result.value);
    assert_true(s[0].result.value != s[3].result.value);
    for (int i = 0; i < 4; i++)
        solve_free(&s[i]);
}

static void bad_mutation(void **state) /* 9 */
{
    (void)state;
    static const double wrong[][2] = {{0.5, 3}, {-1, 1}, {0.1, NAN},
                                      {NAN, 1}, {2, 2},  {0.5, INFINITY}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rtc_de_options o = usual;
        memcpy(o.mutation, wrong[i], sizeof(o.mutation));
        refuses(&o, "mutation");
    }
}

static void scaling(void **state) /* 11, 12 */
{
    (void)state;
    struct de_space space;
    char why[200];
    const double low = 0, high = 100;
    for (int reversed = 0; reversed < 2; reversed++) {
        struct rtc_de_options o = {
            .n = 1, .lower = reversed ? &high : &low, .upper = reversed ? &low : &high};
        assert_null(de_space_init(&space, &o, false, why, sizeof(why)));
        assert_true(de_space_scale(&space, 0, 0.3) == 30);
        assert_true(de_space_unscale(&space, 0, 30) == 0.3);
        de_space_free(&space);
    }
    struct rtc_de_options o = {.n = 2, .lower = NUMBERS(2, 1), .upper = NUMBERS(2, 3)};
    assert_null(de_space_init(&space, &o, false, why, sizeof(why)));
    assert_true(de_space_unscale(&space, 0, 2) == 0.5 && de_space_unscale(&space, 1, 2) == 0.5);
    de_space_free(&space);
    struct solved s;
    o = usual;
    o.lower = o.upper = NUMBERS(2, 3);
    assert_null(solve(&o, quadratic, &s));
    assert_true(s.result.x[0] == 2 && s.result.x[1] == 3);
    solve_free(&s);
}

static void repair(void **state) /* 13 */
{
    (void)state;
    double trial[7] = {1.1, -100, 0.9, 2, 300, -1e-5, NAN};
    struct de_random random;
    de_random_pcg64(&random, 1);
    de_repair(trial, 7, &random);
    assert_true(trial[2] == 0.9);
    for (int i = 0; i < 7; i++)
        assert_true(trial[i] >= 0 && trial[i] <= 1);
}

/* 14: bounds are two arrays of n, so there is no pair that is one number or three. */
static void bounds(void **state)
{
    (void)state;
    struct rtc_de_options o = usual;
    o.upper = NUMBERS(1, INFINITY);
    refuses(&o, "finite");
    o.upper = NUMBERS(NAN, 1);
    refuses(&o, "finite");
    o.upper = NULL;
    refuses(&o, "bounds");
    o = usual;
    o.n = 0;
    refuses(&o, "parameters");
}

static void samples(void **state) /* 15 */
{
    (void)state;
    uint32_t indices[6];
    struct de_members members = {.n = 6, .np = 6, .indices = indices};
    struct de_random random;
    de_random_pcg64(&random, 1);
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t candidate = round % 6, seen = 1u << candidate;
        de_samples(&members, candidate, &random);
        for (int i = 0; i < 5; i++)
            seen |= 1u << indices[i];
        assert_int_equal(seen, 63);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants),      cmocka_unit_test(names),   cmocka_unit_test(dither),
        cmocka_unit_test(bad_mutation), cmocka_unit_test(scaling), cmocka_unit_test(repair),
        cmocka_unit_test(bounds),       cmocka_unit_test(samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
