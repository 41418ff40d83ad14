/* Kernels of every instruction set against plain loops and libm. */
#include "tests/nn/nets.h"

static uint64_t chance = 1;

static void each(void (*check)(const struct nn_backend *b))
{
    const struct nn_backend *b;
    for (uint32_t f64 = 0; f64 < 2; f64++) {
        for (uint32_t i = 0; (b = nn_cpu_at(i, f64)); i++)
            check(b);
    }
}

static void fill_normal(const struct nn_backend *b, void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nets_set(b, data, i, nn_normal(&chance));
}

static void check_product(const struct nn_backend *b, size_t m, size_t n, size_t k, bool ta,
                          bool tb, bool add)
{
    size_t gap = n + 3; /* c has columns that are not its own */
    void *x = b->alloc(m * k), *y = b->alloc(k * n), *c = b->alloc(m * gap),
         *was = b->alloc(m * gap);
    fill_normal(b, x, m * k);
    fill_normal(b, y, k * n);
    fill_normal(b, c, m * gap);
    memcpy(was, c, m * gap * b->element);
    struct nn_gemm g = {.m = m,
                        .n = n,
                        .k = k,
                        .a = x,
                        .a_row = ta ? 1 : k,
                        .a_col = ta ? m : 1,
                        .b = y,
                        .b_row = tb ? 1 : n,
                        .b_col = tb ? k : 1,
                        .c = c,
                        .c_row = gap,
                        .add = add};
    b->gemm(&g);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < gap; j++) {
            double want = j >= n || add ? nets_get(b, was, i * gap + j) : 0, scale = 1;
            for (size_t p = 0; j < n && p < k; p++) {
                double term = nets_get(b, x, i * g.a_row + p * g.a_col) *
                              nets_get(b, y, p * g.b_row + j * g.b_col);
                want += term;
                scale += fabs(term);
            }
            double got = nets_get(b, c, i * gap + j);
            if (fabs(got - want) > scale * (b->element == 8 ? 1e-14 : 1e-6))
                fail_msg("%s %zu x %zu x %zu %d%d%d: (%zu, %zu) is %.9g, not %.9g", b->name, m, n,
                         k, ta, tb, add, i, j, got, want);
        }
    }
    b->free(x);
    b->free(y);
    b->free(c);
    b->free(was);
}

static void products(const struct nn_backend *b)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 32, 33, 64, 130};
    for (int i = 0; i < 300; i++) {
        size_t m = sizes[nn_below(&chance, 14)], n = sizes[nn_below(&chance, 14)];
        uint32_t kind = nn_below(&chance, 8);
        check_product(b, m, n, sizes[nn_below(&chance, 14)], kind & 1, kind & 2, kind & 4);
    }
    for (size_t narrow = 1; narrow <= 5; narrow++) {
        for (uint32_t kind = 0; kind < 8; kind++) {
            check_product(b, 128, narrow, 64, kind & 1, kind & 2, kind & 4);
            check_product(b, 40, narrow, 37, kind & 1, kind & 2, kind & 4);
            check_product(b, 19, 64, narrow, kind & 1, kind & 2, kind & 4);
            check_product(b, 128, 24, narrow, kind & 1, kind & 2, kind & 4);
            check_product(b, 19, narrow, narrow, kind & 1, kind & 2, kind & 4);
        }
    }
    check_product(b, 128, 256, 300, false, true, true);
    check_product(b, 320, 330, 320, true, false, true); /* OpenBLAS, whatever the instruction set */
    check_product(b, 320, 330, 320, false, true, false);
}

static void test_products(void **state)
{
    (void)state;
    each(products);
}

/* The largest error of y, in units of the last place of floats. */
static double ulps(double got, double want)
{
    int exponent;
    frexp(want, &exponent);
    return fabs(got - want) / ldexp(1, exponent - 24);
}

static void functions(const struct nn_backend *b)
{
    enum { N = 40001 };
    void *x = b->alloc(N), *y = b->alloc(N);
    double tanh_worst = 0, sigmoid_worst = 0;
    for (size_t i = 0; i < N; i++)
        nets_set(b, x, i, i & 1 ? (double)(i - N / 2.0) / 2000 : exp(((double)i - N) / 2000));
    memcpy(y, x, N * b->element);
    b->activate(NN_TANH, 1, N, NULL, y, NULL);
    for (size_t i = 0; i < N; i++)
        tanh_worst = fmax(tanh_worst, ulps(nets_get(b, y, i), tanh(nets_get(b, x, i))));
    memcpy(y, x, N * b->element);
    b->activate(NN_SIGMOID, 1, N, NULL, y, NULL);
    for (size_t i = 0; i < N; i++)
        sigmoid_worst =
            fmax(sigmoid_worst, ulps(nets_get(b, y, i), 1 / (1 + exp(-nets_get(b, x, i)))));
    print_message("%s: tanh %.2f, sigmoid %.2f ulp\n", b->name, tanh_worst, sigmoid_worst);
    assert_true(tanh_worst <= 2.5 && sigmoid_worst <= 4);
    static const double special[] = {0, -0.0, 1e-30, 30, -30, 1e30, -1e30, INFINITY, -INFINITY};
    for (size_t i = 0; i < 9; i++)
        nets_set(b, x, i, special[i]);
    b->activate(NN_TANH, 1, 9, NULL, x, NULL);
    for (size_t i = 0; i < 9; i++)
        assert_true(fabs(nets_get(b, x, i) - tanh(special[i])) <= 1e-7 * fabs(tanh(special[i])));
    nets_set(b, x, 0, NAN);
    b->activate(NN_TANH, 1, 9, NULL, x, NULL);
    assert_true(isnan(nets_get(b, x, 0)));
    b->free(x);
    b->free(y);
}

static void test_functions(void **state)
{
    (void)state;
    each(functions);
}

/* Probabilities by exp and log of libm; masked ones are exactly 0. */
static void categorical(const struct nn_backend *b)
{
    enum { ROWS = 50 };
    const struct nn_choices choices = {.n = 2, .width = 7, .sizes = {3, 4}};
    void *logits = b->alloc(ROWS * 7), *all = b->alloc(ROWS * 7), *logp = b->alloc(ROWS),
         *entropy = b->alloc(ROWS);
    uint8_t masks[ROWS * 7];
    int32_t actions[ROWS * 2];
    for (size_t i = 0; i < ROWS * 7; i++) {
        nets_set(b, logits, i, 4 * nn_normal(&chance));
        masks[i] = i % 7 == 0 || i % 7 == 3 || nn_below(&chance, 2);
    }
    for (size_t i = 0; i < ROWS * 2; i++)
        actions[i] = 0;
    b->categorical(&choices, ROWS, logits, masks, actions, all, logp, entropy);
    for (size_t i = 0; i < ROWS; i++) {
        double want = 0, h = 0;
        for (size_t c = 0, at = i * 7; c < 2; at += choices.sizes[c++]) {
            double sum = 0;
            for (size_t j = at; j < at + choices.sizes[c]; j++)
                sum += masks[j] ? exp(nets_get(b, logits, j)) : 0;
            want += nets_get(b, logits, at) - log(sum);
            for (size_t j = at; j < at + choices.sizes[c]; j++) {
                double p = exp(nets_get(b, logits, j)) / sum;
                h -= masks[j] ? p * log(p) : 0;
                assert_true(masks[j] ? nets_get(b, all, j) <= 0 : nets_get(b, all, j) == -1e8);
            }
        }
        double tolerance = b->element == 8 ? 1e-12 : 1e-5;
        assert_true(fabs(nets_get(b, logp, i) - want) < tolerance * (1 + fabs(want)));
        assert_true(fabs(nets_get(b, entropy, i) - h) < tolerance);
    }
    b->free(logits);
    b->free(all);
    b->free(logp);
    b->free(entropy);
}

/* 40,000 draws of four values of which one is not allowed. */
static void draws(const struct nn_backend *b)
{
    enum { N = 40000 };
    const struct nn_choices choices = {.n = 1, .width = 4, .sizes = {4}};
    static const uint8_t mask[4] = {1, 0, 1, 1};
    void *logits = b->alloc(4);
    int count[4] = {0};
    for (size_t i = 0; i < 4; i++)
        nets_set(b, logits, i, log((double)i + 1));
    for (int i = 0; i < N; i++) {
        double u = nn_uniform(&chance);
        int32_t action;
        float logp;
        b->categorical_draw(&choices, 1, logits, mask, &u, &action, &logp);
        assert_true(fabs(logp - log((action + 1) / 8.0)) < 1e-5);
        count[action]++;
    }
    assert_int_equal(count[1], 0);
    for (int i = 0; i < 4; i++)
        assert_true(i == 1 || fabs(count[i] - N * (i + 1) / 8.0) < 5 * sqrt(N * 0.25));
    int32_t action;
    float logp;
    b->categorical_draw(&choices, 1, logits, NULL, NULL, &action, &logp);
    assert_int_equal(action, 3);
    b->free(logits);
}

static void test_categorical(void **state)
{
    (void)state;
    each(categorical);
    each(draws);
}

/* Of products with wide sides each row is the same bits, whatever stands beside it. */
static void test_rows_alone(void **state)
{
    (void)state;
    const struct nn_backend *b;
    uint64_t seed = 5;
    for (uint32_t at = 0; (b = nn_cpu_at(at, false)); at++) {
        for (int turn = 0; turn < 60; turn++) {
            size_t n = 5 + nn_below(&seed, 90), k = 5 + nn_below(&seed, 60), m = 20;
            float *a = malloc(m * k * sizeof(*a)), *w = malloc(n * k * sizeof(*w));
            float *whole = malloc(m * n * sizeof(*whole)), *parts = malloc(m * n * sizeof(*parts));
            for (size_t i = 0; i < m * k; i++)
                a[i] = (float)nn_normal(&seed);
            for (size_t i = 0; i < n * k; i++)
                w[i] = (float)nn_normal(&seed);
            for (size_t i = 0; i < m * n; i++)
                whole[i] = parts[i] = (float)nn_normal(&seed);
            struct nn_gemm g = {.m = m, .n = n, .k = k, .a = a, .b = w, .c = whole};
            g.a_row = k;
            g.a_col = 1;
            g.b_row = turn % 3 ? n : 1;
            g.b_col = turn % 3 ? 1 : k;
            g.c_row = n;
            g.add = turn & 1;
            b->gemm(&g);
            for (size_t i = 0; i < m; i += g.m) {
                g.m = 1 + nn_below(&seed, 8);
                g.m = g.m > m - i ? m - i : g.m;
                g.a = a + i * k;
                g.c = parts + i * n;
                b->gemm(&g);
            }
            assert_memory_equal(whole, parts, m * n * sizeof(*whole));
            free(a);
            free(w);
            free(whole);
            free(parts);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_products),
        cmocka_unit_test(test_functions), cmocka_unit_test(test_categorical)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
