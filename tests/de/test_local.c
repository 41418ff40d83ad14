/* The simplex goes SciPy's way, starts do not know of each other, budgets are kept, and both
 * methods find what they should. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/de/local.h"

#define D         5u
#define WINDOW    64u
#define MOST      20000u
#define INSTANCES 31u

static const double lower[D] = {-5, -5, -5, -5, -5}, upper[D] = {5, 5, 5, 5, 5};

/* ---- Functions ---- */

static double rotation[D][D], shift[D];

static void make_instance(uint64_t seed)
{
    struct de_random random;
    de_random_philox(&random, seed, 7, 7);
    for (uint32_t i = 0; i < D; i++) {
        double *row = rotation[i], norm = 0;
        for (uint32_t j = 0; j < D; j++)
            row[j] = de_random_normal(&random, 0, 1);
        for (uint32_t k = 0; k < i; k++) { /* Gram-Schmidt */
            double dot = 0;
            for (uint32_t j = 0; j < D; j++)
                dot += row[j] * rotation[k][j];
            for (uint32_t j = 0; j < D; j++)
                row[j] -= dot * rotation[k][j];
        }
        for (uint32_t j = 0; j < D; j++)
            norm += row[j] * row[j];
        for (uint32_t j = 0; j < D; j++)
            row[j] /= sqrt(norm);
        shift[i] = de_random_uniform(&random, -2.5, 2.5);
    }
}

static double rosenbrock(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100 * a * a + b * b;
    }
    return sum;
}

static double rotated(const double *x, uint32_t n)
{
    double z[D];
    for (uint32_t i = 0; i < n; i++) {
        z[i] = 1;
        for (uint32_t j = 0; j < n; j++)
            z[i] += rotation[i][j] * (x[j] - shift[j]);
    }
    return rosenbrock(z, n);
}

static double rastrigin(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double z = x[i] - shift[i];
        sum += z * z - 10 * cos(2 * 3.14159265358979323846 * z) + 10;
    }
    return sum;
}

static double waves(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i] + 30 * fabs(x[i] - floor(x[i] + 0.5));
    return sum;
}

/* Its minimum lies outside the box. */
static double bowl(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double z = x[i] - 0.5 * x[(i + 1) % n] - (i ? 1 : 6);
        sum += z * z;
    }
    return sum;
}

static double undefined(const double *x, uint32_t n)
{
    return (void)x, n ? NAN : 0;
}

static double half_undefined(const double *x, uint32_t n)
{
    return x[0] + x[1] > 1 ? NAN : rosenbrock(x, n);
}

/* ---- A driver of both methods ---- */

struct machine {
    struct de_neldermead *nm; /* or */
    struct de_tiktak *tt;
    double (*function)(const double *x, uint32_t n);
    uint32_t n, window;
    uint64_t order;              /* which is told next: 0 the first, else at random */
    uint32_t told, reached;      /* reached: evaluations until the value is at most `target` */
    double target, values[MOST]; /* values: as told */
    double best, best_x[D];
    struct de_state state;
};

static bool ask(struct machine *m, struct de_trial *ret_trial)
{
    return m->nm ? de_neldermead_ask(m->nm, ret_trial) : de_tiktak_ask(m->tt, ret_trial);
}

static bool tell(struct machine *m, uint64_t id, double value)
{
    return m->nm ? de_neldermead_tell(m->nm, id, value) : de_tiktak_tell(m->tt, id, value);
}

static void look(struct machine *m)
{
    if (m->nm)
        de_neldermead_state(m->nm, &m->state);
    else
        de_tiktak_state(m->tt, &m->state);
    assert_int_equal(m->state.evaluations, m->told);
    assert_true(m->state.best == m->best && m->state.values[0] == m->best);
}

static double evaluate(const struct machine *m, const double *x)
{
    for (uint32_t j = 0; j < m->n; j++)
        assert_true(x[j] >= lower[j] && x[j] <= upper[j]);
    return m->function(x, m->n);
}

/* Runs it to its end and frees it. */
static void run(struct machine *m)
{
    struct {
        uint64_t id;
        double value;
    } out[WINDOW];
    struct de_random random;
    struct de_trial trial;
    uint32_t n = 0;
    uint64_t next = 0;
    m->best = INFINITY;
    de_random_philox(&random, m->order, 1, 1);
    for (;;) {
        for (; n < m->window && ask(m, &trial); n++) {
            assert_int_equal(trial.id, next++);
            out[n].id = trial.id;
            out[n].value = evaluate(m, trial.x);
        }
        if (!n)
            break;
        uint32_t k = m->order ? de_random_choice(&random, n) : 0;
        assert_true(tell(m, out[k].id, out[k].value));
        assert_false(tell(m, out[k].id, out[k].value)); /* once */
        assert_true(m->told < MOST);
        m->values[m->told++] = out[k].value;
        m->best = fmin(m->best, out[k].value);
        if (m->best <= m->target && !m->reached)
            m->reached = m->told;
        look(m);
        memmove(&out[k], &out[k + 1], (--n - k) * sizeof(out[0]));
    }
    assert_int_not_equal(m->state.status, DE_RUNNING);
    if (m->nm)
        de_neldermead_best(m->nm, m->best_x);
    else
        de_tiktak_best(m->tt, m->best_x);
    if (isfinite(m->best))
        assert_true(m->function(m->best_x, m->n) == m->best);
    de_neldermead_free(m->nm);
    de_tiktak_free(m->tt);
    m->state.members = m->state.values = NULL;
}

static struct machine *neldermead(double (*function)(const double *, uint32_t), uint32_t n,
                                  uint32_t window, const struct de_neldermead_options *options)
{
    struct de_box box = {n, lower, upper};
    const char *error;
    struct machine *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->function = function;
    m->n = n;
    m->window = window;
    m->target = 1e-6;
    m->nm = de_neldermead_create(&box, options, &error);
    assert_non_null(m->nm);
    return m;
}

static struct machine *tiktak(double (*function)(const double *, uint32_t), uint32_t n,
                              const struct de_tiktak_options *options)
{
    struct de_box box = {n, lower, upper};
    const char *error;
    struct machine *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->function = function;
    m->n = n;
    m->window = options->workers ? options->workers : 1;
    m->target = 1e-6;
    m->tt = de_tiktak_create(&box, options, &error);
    assert_non_null(m->tt);
    return m;
}

/* ---- SciPy's way ----
 * The best value after each iteration, of scipy.optimize.minimize(method='Nelder-Mead') 1.10.1 on
 * f(-5 + 10 u) with initial_simplex = u and u + step along each axis, xatol = fatol = 0; collected
 * by its callback. */
static const double plain[] = {
    24.200000000000035,   24.200000000000035,   9.9991821289063161,   4.6874228000640947,
    4.6874228000640947,   4.0990925222635468,   4.0990925222635468,   4.0990925222635468,
    3.9895087320917844,   3.8111597087470641,   3.3777277825613439,   3.3777277825613439,
    3.3715881371181342,   2.9503092540497491,   2.9503092540497491,   2.557450602519487,
    2.557450602519487,    2.4906091890697115,   2.1420639093050844,   2.1420639093050844,
    1.9787836813916415,   1.9787836813916415,   1.6041223066627346,   1.6041223066627346,
    1.5672038124659666,   1.379332881478651,    1.3760642497288589,   1.2757125542076577,
    1.157610367309601,    1.157610367309601,    0.80590312554060273,  0.80590312554060273,
    0.80590312554060273,  0.66931036980068448,  0.66931036980068448,  0.662544662755576,
    0.59591835342016641,  0.57418037019935908,  0.56621249305516497,  0.5636574732035069,
    0.52185611644245677,  0.52185611644245677,  0.46425142554284199,  0.46425142554284199,
    0.42089454356424583,  0.38984281587219261,  0.31561521245857455,  0.30463139987186405,
    0.17834198404684928,  0.17834198404684928,  0.16180908662092275,  0.10980896172567675,
    0.049897887237934611, 0.049897887237934611, 0.049897887237934611, 0.049897887237934611,
    0.049897887237934611, 0.034324515453380389, 0.034324515453380389, 0.019355673056978773};
/* The others after every sixth. */
static const double adaptive[] = {59.059497070312261, 18.212337348089225,  18.212337348089225,
                                  9.7413785606345087, 5.7373653838976839,  3.0765704193912944,
                                  1.0581768758602963, 0.96684161052777851, 0.70616498570057051,
                                  0.60786213252809951};
static const double shrunk[] = {34.25,
                                23.528758866364576,
                                23.528758866364576,
                                22.616903932577756,
                                22.303606166254845,
                                22.097425219768265,
                                22.027693671606869,
                                22.006725447993944,
                                22.003354459102376,
                                22.001357198529867};
static const double clipped[] = {16.8125,
                                 12.973772883668072,
                                 8.7611483224793503,
                                 4.3707878720781759,
                                 4.3707878720781759,
                                 4.3490944048230595,
                                 4.3392931543299245,
                                 4.32142118595916,
                                 4.3075370511612547,
                                 4.2996862734946069};
static const struct {
    const char *name;
    double (*function)(const double *x, uint32_t n);
    uint32_t n, every, evaluations; /* of 60 iterations */
    bool adaptive;
    double u[4], step;
    const double *values;
} references[] = {
    {"Rosenbrock", rosenbrock, 2, 1, 117, false, {0.38, 0.6}, 0.1, plain},
    {"adaptive", rosenbrock, 4, 6, 109, true, {0.38, 0.6, 0.45, 0.7}, 0.1, adaptive},
    {"with a shrink", waves, 3, 6, 116, false, {0.1, 0.75, 0.3}, 0.1, shrunk},
    {"clipped", bowl, 3, 6, 111, false, {0.9, 0.9, 0.05}, 0.1, clipped},
};

static void as_scipy(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof(references) / sizeof(references[0]); r++) {
        struct de_box box = {references[r].n, lower, upper};
        struct de_simplex_options options = {0, 0, references[r].adaptive};
        struct de_simplex *s = de_simplex_create(&box);
        struct de_trial trial;
        uint32_t iterations = 0, evaluations = 0;
        double difference = 0;
        assert_non_null(s);
        de_simplex_begin_at(s, &options, references[r].u, references[r].step);
        while (iterations < 60) {
            assert_true(de_simplex_ask(s, ++evaluations, &trial));
            assert_true(de_simplex_tell(s, evaluations, references[r].function(trial.x, box.n)));
            if (de_simplex_iterations(s) == iterations || ++iterations % references[r].every)
                continue;
            double expected = references[r].values[iterations / references[r].every - 1];
            difference = fmax(difference, fabs(de_simplex_best(s) / expected - 1));
        }
        print_message("%s: differs by %.2g\n", references[r].name, difference);
        assert_true(difference <= 1e-12);
        assert_int_equal(evaluations, references[r].evaluations);
        de_simplex_free(s);
    }
}

/* ---- Multistart ---- */

static void one_start(void **state)
{
    (void)state;
    const double x0[2] = {-1.2, 1};
    struct de_neldermead_options options = {.x0 = x0, .starts = 1};
    struct machine *m = neldermead(rosenbrock, 2, 1, &options);
    m->target = 1e-8;
    run(m);
    print_message("1e-8 after %u evaluations, over after %u\n", m->reached, m->told);
    assert_in_range(m->reached, 1, 299);
    assert_int_equal(m->state.status, DE_CONVERGED);
    assert_true(m->values[0] > 24.19 && m->values[0] < 24.21); /* began there */
    free(m);
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Whatever the order, all starts evaluate the same points: the same values, when sorted. */
static void starts_are_independent(void **state)
{
    (void)state;
    struct machine *first = NULL;
    make_instance(4);
    for (uint64_t order = 0; order < 6; order++) {
        struct de_neldermead_options options = {
            .seed = 4, .starts = 7, .concurrent = order == 1 ? 3 : 7};
        struct machine *m = neldermead(rotated, D, order ? 40 : 1, &options);
        m->order = order;
        run(m);
        assert_int_equal(m->state.status, DE_CONVERGED);
        qsort(m->values, m->told, sizeof(m->values[0]), ascending);
        if (!first) {
            first = m;
            continue;
        }
        assert_int_equal(m->told, first->told);
        assert_int_equal(m->state.generation, first->state.generation);
        assert_memory_equal(m->values, first->values, m->told * sizeof(m->values[0]));
        assert_memory_equal(m->best_x, first->best_x, sizeof(m->best_x));
        free(m);
    }
    free(first);
}

static void rotated_rosenbrock(void **state)
{
    (void)state;
    uint32_t solved = 0, evaluations = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct de_neldermead_options options = {.seed = seed, .max_evaluations = 10000};
        struct machine *m = neldermead(rotated, D, 1, &options);
        make_instance(seed);
        run(m);
        assert_int_equal(m->told, 10000);
        solved += m->reached > 0;
        evaluations += m->reached ? m->reached : m->told;
        free(m);
    }
    print_message("multistart: %u of %u, %u evaluations each\n", solved, INSTANCES,
                  solved ? evaluations / solved : 0);
    assert_true(solved >= INSTANCES - 1);
}

/* ---- TikTak ---- */

static double tiktak_on(double (*function)(const double *, uint32_t), uint64_t seed,
                        uint32_t workers, uint64_t order, double *ret_x)
{
    struct de_tiktak_options options = {.seed = seed, .max_evaluations = 10000, .workers = workers};
    struct machine *m = tiktak(function, D, &options);
    m->order = order;
    run(m);
    double best = m->best;
    memcpy(ret_x, m->best_x, sizeof(m->best_x));
    free(m);
    return best;
}

static void many_minima(void **state)
{
    (void)state;
    double single[15], global[15], x[D];
    for (uint64_t seed = 0; seed < 15; seed++) {
        struct de_neldermead_options options = {.seed = seed, .starts = 1};
        make_instance(seed);
        struct machine *m = neldermead(rastrigin, D, 1, &options);
        run(m);
        single[seed] = m->best;
        free(m);
        global[seed] = tiktak_on(rastrigin, seed, 4, 0, x);
    }
    qsort(single, 15, sizeof(single[0]), ascending);
    qsort(global, 15, sizeof(global[0]), ascending);
    print_message("Rastrigin: one start %.3g, tiktak %.3g\n", single[7], global[7]);
    assert_true(global[7] <= 3 && global[7] < single[7] / 2);
}

static void order_of_answers(void **state)
{
    (void)state;
    uint32_t solved = 0;
    double a[D], b[D];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        make_instance(seed);
        solved += tiktak_on(rotated, seed, 8, 0, a) <= 1e-6;
    }
    print_message("tiktak: %u of 10\n", solved);
    assert_true(solved >= 9);
    for (uint64_t order = 0; order < 2; order++) {
        double first = tiktak_on(rotated, 3, 8, order, a),
               again = tiktak_on(rotated, 3, 8, order, b);
        assert_true(first == again);
        assert_memory_equal(a, b, sizeof(a));
    }
}

/* Few points and searches: it ends before the budget, polished. */
static void polish(void **state)
{
    (void)state;
    struct de_tiktak_options options = {
        .seed = 1, .max_evaluations = 10000, .workers = 3, .points = 20, .keep = 4};
    struct machine *m = tiktak(bowl, 2, &options), *rough;
    run(m);
    assert_int_equal(m->state.status, DE_CONVERGED);
    assert_true(m->told < 2000);
    options.final_fatol = options.fatol = 1e-2;
    rough = tiktak(bowl, 2, &options);
    run(rough);
    assert_true(rough->told < m->told && rough->best > m->best);
    free(rough);
    free(m);
}

/* ---- Both ---- */

static void budgets(void **state)
{
    (void)state;
    double (*const functions[])(const double *, uint32_t) = {rosenbrock, bowl, half_undefined,
                                                             undefined};
    for (uint32_t budget = 1; budget <= 400; budget += budget < 30 ? 1 : 37) {
        for (uint32_t f = 0; f < 4; f++) {
            struct de_neldermead_options options = {
                .max_evaluations = budget, .concurrent = 5, .seed = f};
            struct de_tiktak_options other = {.max_evaluations = budget, .workers = 5, .seed = f};
            struct machine *m = neldermead(functions[f], D, 16, &options);
            m->order = f;
            run(m);
            assert_int_equal(m->told, budget);
            assert_int_equal(m->state.status, DE_REACHED_EVALUATIONS);
            assert_true(isfinite(m->best) == (functions[f] != undefined) || budget < 30);
            free(m);
            m = tiktak(functions[f], D, &other);
            m->order = f;
            run(m);
            assert_true(m->told == budget || m->state.status == DE_CONVERGED);
            assert_true(m->told <= budget);
            free(m);
        }
    }
}

static void bad_options(void **state)
{
    (void)state;
    const double low[2] = {0, 1}, high[2] = {1, INFINITY}, outside[1] = {2};
    const char *error;
    struct de_box box = {2, low, high};
    struct de_neldermead_options nm = {.max_evaluations = 100};
    struct de_tiktak_options tt = {.max_evaluations = 100};
    assert_null(de_neldermead_create(&box, &nm, &error));
    assert_non_null(strstr(error, "bounds"));
    assert_null(de_tiktak_create(&box, &tt, &error));
    assert_non_null(strstr(error, "bounds"));
    box.n = 1;
    nm.x0 = outside;
    assert_null(de_neldermead_create(&box, &nm, &error));
    assert_non_null(strstr(error, "x0"));
    nm = (struct de_neldermead_options){.seed = 1};
    assert_null(de_neldermead_create(&box, &nm, &error));
    assert_non_null(strstr(error, "without end"));
    tt.points = 101;
    assert_null(de_tiktak_create(&box, &tt, &error));
    assert_non_null(strstr(error, "points"));
    tt = (struct de_tiktak_options){.seed = 1};
    assert_null(de_tiktak_create(&box, &tt, &error));
    assert_non_null(strstr(error, "budget"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_scipy),
        cmocka_unit_test(one_start),
        cmocka_unit_test(starts_are_independent),
        cmocka_unit_test(rotated_rosenbrock),
        cmocka_unit_test(many_minima),
        cmocka_unit_test(order_of_answers),
        cmocka_unit_test(polish),
        cmocka_unit_test(budgets),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
