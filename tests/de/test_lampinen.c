/* The problems of Lampinen's paper on constraints (2002), cases 41-48 of SciPy's that test_cases.c
 * counts. They are Michalewicz's and others', collected by Koziel & Michalewicz (1999). Polishing
 * is on, as it is there; its search is SLSQP, where SciPy's is a trust region. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/de/solve.h"

/* `known` is of n parameters; they may lie x_tolerance away, NULL: not looked at. */
static void check_seed(const struct rtc_de_options *given, solve_fn fn, const double *known,
                       double x_tolerance, double value, double tolerance, uint64_t seed)
{
    struct solved s;
    struct rtc_de_options o = *given;
    o.seed = seed;
    o.immediate = true;
    o.polish = true;
    assert_null(solve(&o, fn, &s));
    const struct rtc_de_result *r = &s.result;
    assert_true(r->success);
    assert_true(r->worst_violation == 0);
    NEAR(fn(r->x, o.n), r->value, 0);
    NEAR(r->value, value, tolerance);
    for (uint32_t j = 0; j < o.n; j++) {
        assert_true(r->x[j] >= o.lower[j] && r->x[j] <= o.upper[j]);
        if (known)
            NEAR(r->x[j], known[j], x_tolerance);
    }
    solve_free(&s);
}

/* Points are compared for the first seed alone: about an optimum as flat as some of these are,
 * differences of values say little of where it is. */
static void check(const struct rtc_de_options *o, solve_fn fn, const double *known,
                  double x_tolerance, double value, double tolerance)
{
    check_seed(o, fn, known, x_tolerance, value, tolerance, o->seed ? o->seed : 1234);
    for (uint64_t seed = 1; seed <= 5; seed++)
        check_seed(o, fn, NULL, 0, value, tolerance, seed);
}

struct cell { /* of a matrix, counted from 1 as in the literature */
    uint32_t row, column;
    double value;
};

static void put(double *matrix, uint32_t n, const struct cell *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        matrix[(cells[i].row - 1) * n + cells[i].column - 1] = cells[i].value;
}

static double quadratic_and_linear(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += i < 4 ? 5 * x[i] - 5 * x[i] * x[i] : -x[i];
    return sum;
}

static void l1(void **state) /* 41: nine linear inequalities, six of them active */
{
    (void)state;
    static const struct cell cells[] = {
        {1, 1, 2},  {1, 2, 2},  {1, 10, 1}, {1, 11, 1}, {2, 1, -8}, {2, 10, 1}, {3, 4, -2},
        {3, 5, -1}, {3, 10, 1}, {4, 1, 2},  {4, 3, 2},  {4, 10, 1}, {4, 12, 1}, {5, 2, -8},
        {5, 11, 1}, {6, 6, -2}, {6, 7, -1}, {6, 11, 1}, {7, 2, 2},  {7, 3, 2},  {7, 11, 1},
        {7, 12, 1}, {8, 3, -8}, {8, 12, 1}, {9, 8, -2}, {9, 9, -1}, {9, 12, 1}};
    double matrix[9 * 13] = {0}, upper[13];
    put(matrix, 13, cells, sizeof(cells) / sizeof(cells[0]));
    for (uint32_t j = 0; j < 13; j++)
        upper[j] = j < 9 || j == 12 ? 1 : 100;
    const struct rtc_de_constraint c = {
        .matrix = matrix, .m = 9, .upper = NUMBERS(10, 0, 0, 10, 0, 0, 10, 0, 0)};
    struct rtc_de_options o = {.n = 13,
                               .lower = (const double[13]){0},
                               .upper = upper,
                               .constraints = &c,
                               .n_constraints = 1,
                               .popsize = 5};
    const double *known = NUMBERS(1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 1);
    check(&o, quadratic_and_linear, known, 6e-4, -15, 5e-3);
}

static double l2_value(const double *x, uint32_t n)
{
    (void)n;
    return pow(x[0] - 10, 2) + 5 * pow(x[1] - 12, 2) + pow(x[2], 4) + 3 * pow(x[3] - 11, 2) +
           10 * pow(x[4], 6) + 7 * x[5] * x[5] + pow(x[6], 4) - 4 * x[5] * x[6] - 10 * x[5] -
           8 * x[6];
}

static int l2_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = 127 - 2 * x[0] * x[0] - 3 * pow(x[1], 4) - x[2] - 4 * x[3] * x[3] - 5 * x[4];
    ret[1] = 282 - 7 * x[0] - 3 * x[1] - 10 * x[2] * x[2] - x[3] + x[4];
    ret[2] = 196 - 23 * x[0] - x[1] * x[1] - 6 * x[5] * x[5] + 8 * x[6];
    ret[3] =
        -4 * x[0] * x[0] - x[1] * x[1] + 3 * x[0] * x[1] - 2 * x[2] * x[2] - 5 * x[5] + 11 * x[6];
    return 0;
}

static void l2(void **state) /* 42 */
{
    (void)state;
    double low[7], high[7];
    for (uint32_t j = 0; j < 7; j++) {
        low[j] = -10;
        high[j] = 10;
    }
    const struct rtc_de_constraint c = {.fn = l2_constraints, .m = 4, .lower = NUMBERS(0, 0, 0, 0)};
    struct rtc_de_options o = {.n = 7,
                               .lower = low,
                               .upper = high,
                               .strategy = "rand1bin",
                               .constraints = &c,
                               .n_constraints = 1};
    const double *known =
        NUMBERS(2.330499, 1.951372, -0.4775414, 4.365726, -0.6244870, 1.038131, 1.594227);
    check(&o, l2_value, known, 1e-4, 680.6300599487869, 680.63e-7);
}

static double l3_value(const double *x, uint32_t n)
{
    (void)n;
    return x[0] * x[0] + x[1] * x[1] + x[0] * x[1] - 14 * x[0] - 16 * x[1] + pow(x[2] - 10, 2) +
           4 * pow(x[3] - 5, 2) + pow(x[4] - 3, 2) + 2 * pow(x[5] - 1, 2) + 5 * x[6] * x[6] +
           7 * pow(x[7] - 11, 2) + 2 * pow(x[8] - 10, 2) + pow(x[9] - 7, 2) + 45;
}

static int l3_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = 3 * pow(x[0] - 2, 2) + 4 * pow(x[1] - 3, 2) + 2 * x[2] * x[2] - 7 * x[3] - 120;
    ret[1] = 5 * x[0] * x[0] + 8 * x[1] + pow(x[2] - 6, 2) - 2 * x[3] - 40;
    ret[2] = x[0] * x[0] + 2 * pow(x[1] - 2, 2) - 2 * x[0] * x[1] + 14 * x[4] - 6 * x[5];
    ret[3] = 0.5 * pow(x[0] - 8, 2) + 2 * pow(x[1] - 4, 2) + 3 * x[4] * x[4] - x[5] - 30;
    ret[4] = -3 * x[0] + 6 * x[1] + 12 * pow(x[8] - 8, 2) - 7 * x[9];
    return 0;
}

static void l3(void **state) /* 43: linear and other constraints together */
{
    (void)state;
    static const struct cell cells[] = {{1, 1, 4},  {1, 2, 5},  {1, 7, -3},  {1, 8, 9},
                                        {2, 1, 10}, {2, 2, -8}, {2, 7, -17}, {2, 8, 2},
                                        {3, 1, -8}, {3, 2, 2},  {3, 9, 5},   {3, 10, -2}};
    double matrix[3 * 10] = {0}, low[10], high[10];
    put(matrix, 10, cells, sizeof(cells) / sizeof(cells[0]));
    for (uint32_t j = 0; j < 10; j++) {
        low[j] = -10;
        high[j] = 10;
    }
    const struct rtc_de_constraint c[] = {
        {.matrix = matrix, .m = 3, .upper = NUMBERS(105, 0, 12)},
        {.fn = l3_constraints, .m = 5, .upper = NUMBERS(0, 0, 0, 0, 0)}};
    struct rtc_de_options o = {
        .n = 10, .lower = low, .upper = high, .popsize = 3, .constraints = c, .n_constraints = 2};
    const double *known = NUMBERS(2.171996, 2.363683, 8.773926, 5.095984, 0.9906548, 1.430574,
                                  1.321644, 9.828726, 8.280092, 8.375927);
    check(&o, l3_value, known, 1e-5, 24.3062091, 1e-5);
}

static double l4_value(const double *x, uint32_t n)
{
    (void)n;
    return x[0] + x[1] + x[2];
}

static int l4_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[5] - 833.33252 * x[3] - 100 * x[0] + 83333.333;
    ret[1] = x[1] * x[6] - 1250 * x[4] - x[1] * x[3] + 1250 * x[3];
    ret[2] = x[2] * x[7] - 1250000 - x[2] * x[4] + 2500 * x[4];
    return 0;
}

static void l4(void **state) /* a heat exchanger: numbers of very different size, all active */
{
    (void)state;
    static const struct cell cells[] = {{1, 4, 0.0025}, {1, 6, 0.0025},  {2, 5, 0.0025},
                                        {2, 7, 0.0025}, {2, 4, -0.0025}, {3, 8, 0.01},
                                        {3, 5, -0.01}};
    double matrix[3 * 8] = {0};
    put(matrix, 8, cells, sizeof(cells) / sizeof(cells[0]));
    const struct rtc_de_constraint c[] = {
        {.matrix = matrix, .m = 3, .upper = NUMBERS(1, 1, 1)},
        {.fn = l4_constraints, .m = 3, .lower = NUMBERS(0, 0, 0)}};
    struct rtc_de_options o = {.n = 8,
                               .lower = NUMBERS(100, 1000, 1000, 10, 10, 10, 10, 10),
                               .upper = NUMBERS(10000, 10000, 10000, 1000, 1000, 1000, 1000, 1000),
                               .strategy = "rand1bin",
                               .popsize = 3,
                               .constraints = c,
                               .n_constraints = 2};
    const double *known = NUMBERS(579.306692, 1359.97063, 5109.9707, 182.0177, 295.601172, 217.9823,
                                  286.416528, 395.601172);
    check(&o, l4_value, known, 0.02, 7049.248, 1e-3);
}

static double l5_value(const double *x, uint32_t n)
{
    (void)n;
    double a = pow(sin(2 * M_PI * x[0]), 3) * sin(2 * M_PI * x[1]);
    return -a / (pow(x[0], 3) * (x[0] + x[1]));
}

static int l5_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] - x[1] + 1;
    ret[1] = 1 - x[0] + pow(x[1] - 4, 2);
    return 0;
}

static void l5(void **state) /* 44: the optimum lies inside */
{
    (void)state;
    const struct rtc_de_constraint c = {.fn = l5_constraints, .m = 2, .upper = NUMBERS(0, 0)};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(0, 0),
                               .upper = NUMBERS(10, 10),
                               .strategy = "rand1bin",
                               .constraints = &c,
                               .n_constraints = 1};
    check(&o, l5_value, NUMBERS(1.22797135, 4.24537337), 1e-3, -0.095825, 1e-4);
}

static double l6_value(const double *x, uint32_t n)
{
    (void)n;
    return pow(x[0] - 10, 3) + pow(x[1] - 20, 3);
}

static int l6_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = pow(x[0] - 5, 2) + pow(x[1] - 5, 2);
    ret[1] = pow(x[0] - 6, 2) + pow(x[1] - 5, 2);
    return 0;
}

static void l6(void **state) /* 45: a sliver between two circles */
{
    (void)state;
    const struct rtc_de_constraint c = {.fn = l6_constraints,
                                        .m = 2,
                                        .lower = NUMBERS(100, -INFINITY),
                                        .upper = NUMBERS(INFINITY, 82.81)};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(13, 0),
                               .upper = NUMBERS(100, 100),
                               .strategy = "rand1bin",
                               .tol = 1e-7,
                               .constraints = &c,
                               .n_constraints = 1};
    check(&o, l6_value, NUMBERS(14.095, 0.84296), 1e-4, -6961.814744, 1e-3);
}

static double l7_value(const double *x, uint32_t n)
{
    (void)n;
    return 5.3578547 * x[2] * x[2] + 0.8356891 * x[0] * x[4] + 37.293239 * x[0] - 40792.141;
}

static int l7_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] =
        85.334407 + 0.0056858 * x[1] * x[4] + 0.0006262 * x[0] * x[3] - 0.0022053 * x[2] * x[4];
    ret[1] = 80.51249 + 0.0071317 * x[1] * x[4] + 0.0029955 * x[0] * x[1] + 0.0021813 * x[2] * x[2];
    ret[2] = 9.300961 + 0.0047026 * x[2] * x[4] + 0.0012547 * x[0] * x[2] + 0.0019085 * x[2] * x[3];
    return 0;
}

static void l7(void **state) /* 46: each constraint has two sides */
{
    (void)state;
    const struct rtc_de_constraint c = {
        .fn = l7_constraints, .m = 3, .lower = NUMBERS(0, 90, 20), .upper = NUMBERS(92, 110, 25)};
    struct rtc_de_options o = {.n = 5,
                               .lower = NUMBERS(78, 33, 27, 27, 27),
                               .upper = NUMBERS(102, 45, 45, 45, 45),
                               .strategy = "rand1bin",
                               .constraints = &c,
                               .n_constraints = 1};
    const double *known = NUMBERS(78.00000686, 33.00000362, 29.99526064, 44.99999971, 36.77579979);
    check(&o, l7_value, known, 1e-3, -30665.537578, 1e-3);
}

static double l8_value(const double *x, uint32_t n)
{
    (void)n;
    return 3 * x[0] + 1e-6 * pow(x[0], 3) + 2 * x[1] + 2e-6 / 3 * pow(x[1], 3);
}

static int l8_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = 1000 * (sin(-x[2] - 0.25) + sin(-x[3] - 0.25)) + 894.8 - x[0];
    ret[1] = 1000 * (sin(x[2] - 0.25) + sin(x[2] - x[3] - 0.25)) + 894.8 - x[1];
    ret[2] = 1000 * (sin(x[3] - 0.25) + sin(x[3] - x[2] - 0.25)) + 1294.8;
    return 0;
}

/* 47: three bands that are all but equalities. The point is that of the equalities; of the bands it
 * lies 0.0016 away. */
static void l8(void **state)
{
    (void)state;
    const double band[3] = {0.001, 0.001, 0.001}, below[3] = {-0.001, -0.001, -0.001};
    const struct rtc_de_constraint c[] = {
        {.matrix = NUMBERS(0, 0, -1, 1, 0, 0, 1, -1), .m = 2, .lower = NUMBERS(-0.55, -0.55)},
        {.fn = l8_constraints, .m = 3, .lower = below, .upper = band}};
    struct rtc_de_options o = {.n = 4,
                               .lower = NUMBERS(0, 0, -0.55, -0.55),
                               .upper = NUMBERS(1200, 1200, 0.55, 0.55),
                               .seed = 3,
                               .max_generations = 5000,
                               .constraints = c,
                               .n_constraints = 2};
    check(&o, l8_value, NUMBERS(679.9453, 1026.067, 0.1188764, -0.3962336), 2e-3, 5126.4981, 2e-2);
}

static double l9_value(const double *x, uint32_t n)
{
    (void)n;
    return x[0] * x[0] + pow(x[1] - 1, 2);
}

static int l9_constraints(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[1] - x[0] * x[0];
    return 0;
}

static void l9(void **state) /* 48: two optima */
{
    (void)state;
    struct solved s;
    const struct rtc_de_constraint c = {
        .fn = l9_constraints, .m = 1, .lower = NUMBERS(-0.001), .upper = NUMBERS(0.001)};
    struct rtc_de_options o = {.n = 2,
                               .lower = NUMBERS(-1, -1),
                               .upper = NUMBERS(1, 1),
                               .strategy = "rand1bin",
                               .constraints = &c,
                               .n_constraints = 1};
    check(&o, l9_value, NULL, 0, 0.75, 1e-3);
    o.seed = 1234;
    o.immediate = o.polish = true;
    assert_null(solve(&o, l9_value, &s));
    NEAR(fabs(s.result.x[0]), sqrt(0.5), 1e-3);
    NEAR(s.result.x[1], 0.5, 1e-3);
    solve_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l1), cmocka_unit_test(l2), cmocka_unit_test(l3),
        cmocka_unit_test(l4), cmocka_unit_test(l5), cmocka_unit_test(l6),
        cmocka_unit_test(l7), cmocka_unit_test(l8), cmocka_unit_test(l9),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
