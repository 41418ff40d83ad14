/* L-SHADE finds what the literature says it finds, and what it does is a function of its seed and
 * of the order of what it is told. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/de/method.h"

#define D         5u
#define BUDGET    10000u
#define WINDOW    64u
#define INSTANCES 31u

struct instance { /* a shifted and rotated Rosenbrock function */
    double rotation[D][D], shift[D];
};

static void make_instance(struct instance *in, uint64_t seed)
{
    struct de_random random;
    de_random_philox(&random, seed, 7, 7);
    for (uint32_t i = 0; i < D; i++) {
        double *row = in->rotation[i], norm = 0;
        for (uint32_t j = 0; j < D; j++)
            row[j] = de_random_normal(&random, 0, 1);
        for (uint32_t k = 0; k < i; k++) { /* Gram-Schmidt */
            double dot = 0;
            for (uint32_t j = 0; j < D; j++)
                dot += row[j] * in->rotation[k][j];
            for (uint32_t j = 0; j < D; j++)
                row[j] -= dot * in->rotation[k][j];
        }
        for (uint32_t j = 0; j < D; j++)
            norm += row[j] * row[j];
        for (uint32_t j = 0; j < D; j++)
            row[j] /= sqrt(norm);
        in->shift[i] = de_random_uniform(&random, -2.5, 2.5);
    }
}

static double value_of(const struct instance *in, const double *x)
{
    double z[D], sum = 0;
    for (uint32_t i = 0; i < D; i++) {
        z[i] = 1;
        for (uint32_t j = 0; j < D; j++)
            z[i] += in->rotation[i][j] * (x[j] - in->shift[j]);
    }
    for (uint32_t i = 0; i + 1 < D; i++) {
        double a = z[i + 1] - z[i] * z[i], b = 1 - z[i];
        sum += 100 * a * a + b * b;
    }
    return sum;
}

/* Up to `window` trials are out; which is told next, `order` says (0: the first, 1: the last, else
 * at random). Returns the best value; ret_x gets the best point. */
static double run(uint64_t seed, bool async, uint32_t window, uint64_t order, double *ret_x)
{
    static const double lower[D] = {-5, -5, -5, -5, -5}, upper[D] = {5, 5, 5, 5, 5};
    struct de_box box = {D, lower, upper};
    struct de_lshade_options options = {.seed = seed,
                                        .max_evaluations = BUDGET,
                                        .population = 10 * D,
                                        .workers = window,
                                        .async = async};
    const char *error;
    struct instance in;
    struct de_lshade *de = de_lshade_create(&box, &options, &error);
    struct de_state state;
    struct de_random random;
    struct {
        uint64_t id;
        double value;
    } out[WINDOW];
    uint32_t n = 0;
    assert_non_null(de);
    make_instance(&in, seed);
    de_random_philox(&random, order, 1, 1);
    for (;;) {
        struct de_trial trial;
        while (n < window && de_lshade_ask(de, &trial)) {
            out[n].id = trial.id;
            out[n++].value = value_of(&in, trial.x);
        }
        if (!n)
            break;
        uint32_t k = order == 0 ? 0 : order == 1 ? n - 1 : de_random_choice(&random, n);
        assert_true(de_lshade_tell(de, out[k].id, out[k].value));
        assert_false(de_lshade_tell(de, out[k].id, out[k].value)); /* once */
        memmove(&out[k], &out[k + 1], (--n - k) * sizeof(out[0]));
    }
    de_lshade_state(de, &state);
    assert_int_equal(state.status, DE_REACHED_EVALUATIONS);
    assert_int_equal(state.evaluations, BUDGET);
    assert_int_equal(state.population, 4);
    de_lshade_best(de, ret_x);
    assert_true(fabs(value_of(&in, ret_x) - state.best) <= 1e-9 * (1 + state.best));
    de_lshade_free(de);
    return state.best;
}

static void rotated_rosenbrock(void **state)
{
    (void)state;
    double x[D];
    for (int async = 0; async < 2; async++) {
        uint32_t reached = 0;
        for (uint64_t seed = 1; seed <= INSTANCES; seed++)
            reached += run(seed, async, async ? 32 : 1, async ? 5 : 0, x) <= 1e-6;
        print_message("%s: %u of %u\n", async ? "async" : "generations", reached, INSTANCES);
        assert_true(reached >= INSTANCES - 1);
    }
}

/* Generations do not depend on who answers first; the steady state does, and on nothing else. */
static void order_of_answers(void **state)
{
    (void)state;
    double a[D], b[D];
    double first = run(3, false, 1, 0, a), last = run(3, false, WINDOW, 1, b);
    assert_true(first == last);
    assert_memory_equal(a, b, sizeof(a));
    first = run(3, true, 32, 99, a);
    last = run(3, true, 32, 99, b);
    assert_true(first == last);
    assert_memory_equal(a, b, sizeof(a));
    run(3, true, 32, 100, b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void bad_options(void **state)
{
    (void)state;
    const double lower[2] = {0, 1}, upper[2] = {1, INFINITY};
    const char *error;
    struct de_box box = {2, lower, upper};
    struct de_lshade_options options = {.max_evaluations = 100};
    assert_null(de_lshade_create(&box, &options, &error));
    assert_non_null(strstr(error, "bounds"));
    box.n = 1;
    options.max_evaluations = 0;
    assert_null(de_lshade_create(&box, &options, &error));
    assert_non_null(strstr(error, "budget"));
    /* All values infinite or not numbers: it ends all the same. */
    options.max_evaluations = 200;
    struct de_lshade *de = de_lshade_create(&box, &options, &error);
    struct de_trial trial;
    uint32_t n = 0;
    for (; de_lshade_ask(de, &trial); n++)
        assert_true(de_lshade_tell(de, trial.id, n % 2 ? NAN : INFINITY));
    assert_int_equal(n, 200);
    de_lshade_free(de);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotated_rosenbrock),
        cmocka_unit_test(order_of_answers),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
