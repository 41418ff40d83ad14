/* The example of a mean field game against published numbers, against numbers of other solvers on
 * the same grid, and against what each solution of the equations has. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "examples/mfg/aiyagari.h"

#define THETAS 50u

static const struct aiyagari_household huggett = {
    .rho = 0.05, .gamma = 2, .z = {0.1, 0.2}, .lambda = {1.2, 1.2}, .amin = -0.15, .amax = 5};
static const struct aiyagari_household household_a = {
    .rho = 0.05, .gamma = 2, .z = {1, 2}, .lambda = {1. / 3, 1. / 3}, .amax = 20};
static const struct aiyagari_household household_b = {
    .rho = 0.05, .gamma = 2, .z = {0.2, 0.4}, .lambda = {1, 1}, .amax = 20};
static const struct aiyagari_firm firm_a = {1. / 3, 0.05, 0.1}, firm_b = {1. / 3, 0.05, 0.3};

static struct aiyagari *create(struct aiyagari_household household, uint32_t points)
{
    struct aiyagari *model;
    household.points = points;
    assert_int_equal(aiyagari_create(&household, &model), 0);
    return model;
}

/* Half a unit of the last digit that the other number has, and a little for its own error. */
static void assert_digits(double value, double expected, int digits)
{
    double unit = pow(10, -digits);
    if (!(fabs(value - expected) <= 0.51 * unit))
        fail_msg("%.12g instead of %.12g", value, expected);
}

static double solve(struct aiyagari *model, double r, double w, bool warm)
{
    assert_int_equal(aiyagari_solve(model, r, w, warm), 0);
    return aiyagari_solution(model)->capital;
}

/* Of the notebook of Ahn and Moll. Its tolerance is coarse, so the second and third number are only
 * had from where the solution before them ended. */
static void published(void **state)
{
    (void)state;
    const double expected[] = {39.104796555465526, 5.9052049733275469, 5.9052051500667417};
    const struct aiyagari_household household = {.rho = 0.04,
                                                 .gamma = 1,
                                                 .z = {0.1, 1},
                                                 .lambda = {0.1, 0.1},
                                                 .amin = 1e-10,
                                                 .amax = 40,
                                                 .delta = 1000,
                                                 .tolerance = 1e-6};
    struct aiyagari *model = create(household, 1000);
    for (int i = 0; i < 3; i++) {
        double capital = i ? solve(model, 0.03, 0.9, true) : solve(model, 0.05, 1, false);
        double error = fabs(capital / expected[i] - 1);
        print_message("K = %.17g, %.1e from the published one\n", capital, error);
        assert_true(error < (i ? 1e-12 : 1e-8));
    }
    aiyagari_free(model);
}

static void equilibria(void **state)
{
    (void)state;
    const struct {
        const struct aiyagari_household *household;
        const struct aiyagari_firm *firm;
        uint32_t points;
        double r, capital;
    } cases[] = {
        {&huggett, NULL, 500, .0319165827, 0},
        {&huggett, NULL, 1000, .0339348337, 0},
        {&huggett, NULL, 2000, .0349945723, 0},
        {&huggett, NULL, 4000, .0355395876, 0},
        {&household_a, &firm_a, 500, .0439111795, .31720019},
        {&household_a, &firm_a, 1000, .0449920305, .31180180},
        {&household_a, &firm_a, 4000, .0459122444, .30732529},
        {&household_b, &firm_b, 500, .0457976496, .31995505},
        {&household_b, &firm_b, 1000, .0471392293, .31334969},
        {&household_b, &firm_b, 4000, .0482352039, .30812045},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aiyagari *model = create(*cases[i].household, cases[i].points);
        assert_int_equal(aiyagari_equilibrium(model, cases[i].firm), 0);
        assert_digits(aiyagari_solution(model)->r, cases[i].r, 10);
        assert_digits(aiyagari_solution(model)->capital, cases[i].capital, 8);
        if (cases[i].firm == &firm_a && cases[i].points == 1000) {
            assert_digits(aiyagari_gini(model), .37259508, 8);
            assert_digits(aiyagari_top_share(model, 0.1), .240106, 6);
        }
        aiyagari_free(model);
    }
}

static void supply_and_values(void **state)
{
    (void)state;
    const double supply[] = {-.07651605, -.06470730, -.04745149, -.01845332, .04876513};
    struct aiyagari *model = create(huggett, 1000);
    for (int i = 0; i < 5; i++)
        assert_digits(solve(model, 0.01 * i, 1, i > 0), supply[i], 8);
    assert_digits(aiyagari_solution(model)->mass[0], .01242303, 8); /* indebted and poor, r = .04 */
    aiyagari_free(model);
    model = create(huggett, 500);
    const struct aiyagari_solution *s = aiyagari_solution(model);
    assert_digits(solve(model, 0.03, 1, false), -.0089308954, 10);
    assert_digits(s->value[0], -143.92177434, 8);
    assert_digits(s->value[1], -141.19251145, 8);
    assert_true(s->consumption[0] == 0.03 * -0.15 + 0.1);
    assert_digits(s->consumption[1], .12946782, 8);
    aiyagari_free(model);
}

/* Both equations hold at each point, with the rows of a transition matrix whose diagonal is what
 * makes their sum 0; and policies have the order that theory says. Consumption is the same at the
 * two points between which saving changes its sign, as both see the slope between them. */
static void check_structure(const struct aiyagari_household *h, const struct aiyagari_solution *s,
                            uint32_t n)
{
    double total = 0, step = s->a[1] - s->a[0];
    for (uint32_t k = 0; k < n; k++) {
        double lambda = h->lambda[k % 2], out = s->fall[k] + s->rise[k] + lambda;
        double value = -out * s->value[k] + lambda * s->value[k ^ 1];
        double flow = -out * s->mass[k] + h->lambda[(k ^ 1) % 2] * s->mass[k ^ 1];
        if (k >= 2) {
            value += s->fall[k] * s->value[k - 2];
            flow += s->rise[k - 2] * s->mass[k - 2];
            assert_true(s->consumption[k] >= s->consumption[k - 2]);
        }
        if (k + 2 < n) {
            value += s->rise[k] * s->value[k + 2];
            flow += s->fall[k + 2] * s->mass[k + 2];
        }
        double u = pow(s->consumption[k], 1 - h->gamma) / (1 - h->gamma);
        assert_true(fabs(h->rho * s->value[k] - u - value) < 1e-8);
        assert_true(fabs(flow) <= 1e-13 * (out + 1) * s->mass[k]);
        assert_true(s->fall[k] >= 0 && s->rise[k] >= 0 && s->mass[k] >= 0);
        assert_true(fabs((s->rise[k] - s->fall[k]) * step - s->saving[k]) < 1e-12);
        assert_true(k % 2 == 0 || s->consumption[k] > s->consumption[k - 1]);
        total += s->mass[k];
    }
    assert_true(s->fall[0] + s->fall[1] + s->rise[n - 1] + s->rise[n - 2] == 0); /* no way out */
    assert_true(fabs(total - 1) < 1e-12);
    assert_true(s->saving[0] == 0 && s->saving[2] < 0);
}

static void structure(void **state)
{
    (void)state;
    const struct aiyagari_household *const households[] = {&huggett, &household_a, &household_b};
    for (int i = 0; i < 3; i++) {
        struct aiyagari *model = create(*households[i], 300);
        double before = -INFINITY;
        for (double r = -0.02; r < 0.0495; r += 0.005) {
            double capital = solve(model, r, 1, true);
            assert_true(capital > before);
            before = capital;
            check_structure(households[i], aiyagari_solution(model), 600);
        }
        aiyagari_free(model);
    }
    /* All save for ever: the mass is at the end of the grid, and is there exactly. */
    struct aiyagari *model = create(huggett, 1000);
    assert_digits(solve(model, 0.2, 1, false), 5, 6);
    aiyagari_free(model);
}

/* Money in other units: inequality has none. */
static void units(void **state)
{
    (void)state;
    struct aiyagari_household scaled = household_a;
    for (int i = 0; i < 2; i++)
        scaled.z[i] *= 8;
    scaled.amax *= 8;
    struct aiyagari *one = create(household_a, 400), *other = create(scaled, 400);
    assert_true(fabs(8 * solve(one, 0.04, 1, false) / solve(other, 0.04, 1, false) - 1) < 1e-9);
    assert_true(fabs(aiyagari_gini(one) - aiyagari_gini(other)) < 1e-9);
    assert_true(fabs(aiyagari_top_share(one, 0.1) - aiyagari_top_share(other, 0.1)) < 1e-9);
    assert_true(fabs(aiyagari_top_share(one, 1) - 1) < 1e-9);
    aiyagari_free(one);
    aiyagari_free(other);
}

static void calibration(void **state)
{
    (void)state;
    const double theta[] = {0.05, 2, 0.5, 0.4, 0.2};
    const struct {
        uint32_t points;
        double moments[AIYAGARI_MOMENTS];
    } rows[] = {
        {100, {4.363644, .364796, .235255, .185384, .742273, .308619, .038470}},
        {200, {4.458383, .364274, .236389, .176562, .762869, .290269, .040842}},
        {400, {4.508028, .365113, .237510, .172192, .788571, .280155, .042711}},
        {1000, {4.538598, .366188, .238464, .169637, .834599, .273671, .044224}},
    };
    /* Of 200 points, to the last bit: any compiler and processor that rounds as IEEE 754 asks. */
    const double bits[] = {0x1.1d562536ddfc2p+2, 0x1.75042503df848p-2, 0x1.e4201d342ba39p-3,
                           0x1.69991c809e25bp-3, 0x1.8696c90efa70dp-1, 0x1.293c4ea80b54ap-2,
                           0x1.4e9448b7a6302p-5};
    for (int i = 0; i < 4; i++) {
        double moments[AIYAGARI_MOMENTS], again[AIYAGARI_MOMENTS];
        assert_int_equal(aiyagari_moments(theta, rows[i].points, moments), 0);
        for (int k = 0; k < AIYAGARI_MOMENTS; k++)
            assert_digits(moments[k], rows[i].moments[k], 6);
        assert_int_equal(aiyagari_moments(theta, rows[i].points, again), 0);
        assert_memory_equal(moments, again, sizeof(again));
        if (rows[i].points == 200)
            assert_memory_equal(moments, bits, sizeof(bits));
    }
}

static void box(void **state)
{
    (void)state;
    const double low[] = {0.03, 1, 0.1, 0.1, 0}, high[] = {0.08, 4, 1.5, 0.8, 1};
    uint64_t seed = 1;
    for (uint32_t i = 0; i < THETAS + 32; i++) {
        double theta[AIYAGARI_PARAMETERS], moments[AIYAGARI_MOMENTS];
        for (int k = 0; k < AIYAGARI_PARAMETERS; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            double u = i < THETAS ? (double)(seed >> 11) * 0x1p-53 : i >> k & 1; /* or a corner */
            theta[k] = low[k] + u * (high[k] - low[k]);
        }
        assert_int_equal(aiyagari_moments(theta, 200, moments), 0);
        assert_true(moments[0] > -6 && moments[0] < 100 * theta[0]);
        for (int k = 1; k < AIYAGARI_MOMENTS; k++)
            assert_true(isfinite(moments[k]) && moments[k] >= 0);
    }
}

/* Utility has three formulas around log; the moments do not jump from one to the next. */
static void around_log(void **state)
{
    (void)state;
    const double gammas[] = {0.99 - 1e-9, 0.99 + 1e-9, 1 - 1e-9,    1,
                             1,           1 + 1e-9,    1.01 - 1e-9, 1.01 + 1e-9};
    double before[AIYAGARI_MOMENTS] = {0}, moments[AIYAGARI_MOMENTS];
    for (int i = 0; i < 8; i++) {
        const double theta[] = {0.05, gammas[i], 0.5, 0.4, 0.2};
        assert_int_equal(aiyagari_moments(theta, 200, moments), 0);
        for (int k = 0; k < AIYAGARI_MOMENTS && i % 2; k++)
            assert_true(fabs(moments[k] - before[k]) < 1e-7);
        memcpy(before, moments, sizeof(before));
    }
}

static void refused(void **state)
{
    (void)state;
    double moments[AIYAGARI_MOMENTS] = {7};
    const double bad[][AIYAGARI_PARAMETERS] = {{0, 2, .5, .4, .2},    {.05, 0, .5, .4, .2},
                                               {.05, 2, -1, .4, .2},  {.05, 2, .5, 1, .2},
                                               {.05, 2, .5, .4, -50}, {.05, NAN, .5, .4, .2}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(aiyagari_moments(bad[i], 200, moments), AIYAGARI_E_PARAMETERS);
    const double theta[] = {0.05, 2, 0.5, 0.4, 0.2}, indebted[] = {0.05, 2, 0.5, 0.4, 100};
    assert_int_equal(aiyagari_moments(theta, 3, moments), AIYAGARI_E_PARAMETERS);
    assert_int_equal(aiyagari_moments(indebted, 200, moments), AIYAGARI_E_INCOME);
    struct aiyagari_household household = household_a;
    household.max_iterations = 2;
    struct aiyagari *model = create(household, 200);
    assert_int_equal(aiyagari_solve(model, 0.03, 1, true), AIYAGARI_E_CONVERGENCE);
    assert_int_equal(aiyagari_solve(model, 0.03, -1, true), AIYAGARI_E_PARAMETERS);
    aiyagari_free(model);
    household = household_a;
    household.amax = 0.05; /* all that they may own is less than what a firm asks for */
    model = create(household, 200);
    assert_int_equal(aiyagari_equilibrium(model, &firm_a), AIYAGARI_E_EQUILIBRIUM);
    assert_non_null(strstr(aiyagari_error(AIYAGARI_E_EQUILIBRIUM), "clears"));
    aiyagari_free(model);
    aiyagari_free(NULL);
    assert_true(moments[0] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(equilibria),
        cmocka_unit_test(supply_and_values),
        cmocka_unit_test(structure),
        cmocka_unit_test(units),
        cmocka_unit_test(calibration),
        cmocka_unit_test(box),
        cmocka_unit_test(around_log),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
