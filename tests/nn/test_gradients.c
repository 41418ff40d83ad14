/* Every layer and distribution against differences, in double precision. */
#include "tests/nn/nets.h"

#define ROWS 9

/* The loss: heads times numbers drawn once. */
struct net {
    struct nn *nn;
    int heads[4];
    size_t n_heads, lanes;
    int flags;    /* an input of zeros and ones; 0: none */
    uint32_t per; /* rows of inputs for each of the batch, but of the first one */
    uint64_t needs;
    double *weights;
};

static size_t head_size(const struct net *net, size_t i)
{
    return ROWS * nn_width(net->nn, net->heads[i]);
}

static double loss_of(void *arg)
{
    struct net *net = arg;
    const double *w = net->weights;
    double sum = 0;
    nn_forward(net->nn, ROWS, net->needs);
    for (size_t i = 0; i < net->n_heads; i++) {
        const double *y = nn_out(net->nn, net->heads[i]);
        for (size_t j = 0; j < head_size(net, i); j++)
            sum += y[j] * *w++;
    }
    return sum;
}

static void back(struct net *net, bool add)
{
    const double *w = net->weights;
    for (size_t i = 0; i < net->n_heads; i++) {
        memcpy(nn_grad(net->nn, net->heads[i]), w, head_size(net, i) * sizeof(*w));
        w += head_size(net, i);
    }
    nn_back(net->nn, ROWS, net->heads, net->n_heads, add);
}

/* Plans and draws the network, and checks the derivative of each parameter. */
static void check_net(struct net *net, const char *what)
{
    assert_int_equal(nn_plan(net->nn, ROWS), 0);
    assert_int_equal(nn_init(net->nn, 3), 0);
    size_t total = 0, n = nn_count(net->nn);
    for (size_t i = 0; i < net->n_heads; i++) {
        net->needs |= nn_needs(net->nn, net->heads[i]);
        total += head_size(net, i);
    }
    net->weights = nets_normals(total, 5);
    double *shift = nets_normals(n, 6), *params = nn_params(net->nn), *grads = nn_grads(net->nn);
    for (size_t i = 0; i < n; i++)
        params[i] += 0.1 * shift[i];
    for (int i = 0; net->needs >> i; i++) {
        /* Inputs are whatever nobody computes. */
        double *x = nn_out(net->nn, i), *draw = nets_normals(8 * ROWS * 64, 7 + (uint64_t)i);
        size_t own, size = ROWS * nn_width(net->nn, i) * (i && net->per ? net->per : 1);
        nn_param_at(net->nn, i, &own);
        for (size_t k = 0; i == net->flags && k < size; k++)
            draw[k] = k % 4 != 2 && k / 3 != 2;
        if (own == 0 && nn_needs(net->nn, i) == UINT64_C(1) << i)
            memcpy(x, draw, size * sizeof(*x));
        free(draw);
    }
    if (net->lanes)
        nn_lanes(net->nn, net->lanes);
    loss_of(net);
    back(net, false);
    nets_differences(loss_of, net, params, grads, n, what);
    double *once = calloc(n, sizeof(*once));
    memcpy(once, grads, n * sizeof(*once));
    loss_of(net);
    back(net, true);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(grads[i] - 2 * once[i]) <= 1e-9 * (1 + fabs(once[i])));
    free(once);
    free(shift);
    free(net->weights);
    nn_destroy(&net->nn);
}

static struct net begin(void)
{
    struct net net = {0};
    assert_int_equal(nn_create(nn_cpu_f64(), &net.nn), 0);
    return net;
}

static void test_linear(void **state)
{
    (void)state;
    static const enum nn_act acts[] = {NN_IDENTITY, NN_TANH, NN_RELU, NN_SILU, NN_SIGMOID};
    for (size_t i = 0; i < 5; i++) {
        struct net net = begin();
        int x = nn_input(net.nn, 5, 1);
        int h = nn_linear(net.nn, x, 7, acts[i], NN_ORTHOGONAL, 1.4);
        net.heads[net.n_heads++] = nn_linear(net.nn, h, 3, acts[i], NN_LECUN, 1);
        check_net(&net, "linear");
    }
}

/* A trunk that several heads share, sums and parts side by side. */
static void test_branches(void **state)
{
    (void)state;
    struct net net = begin();
    int x = nn_input(net.nn, 4, 1);
    int trunk = nn_linear(net.nn, x, 6, NN_TANH, NN_ORTHOGONAL, 1);
    int a = nn_linear(net.nn, trunk, 6, NN_RELU, NN_ORTHOGONAL, 1);
    int sum = nn_add(net.nn, trunk, a), both = nn_concat(net.nn, a, sum);
    net.heads[net.n_heads++] = nn_linear(net.nn, both, 2, NN_IDENTITY, NN_ORTHOGONAL, 1);
    net.heads[net.n_heads++] = nn_linear(net.nn, trunk, 1, NN_IDENTITY, NN_ORTHOGONAL, 1);
    check_net(&net, "branches");
}

static void test_norm(void **state)
{
    (void)state;
    struct net net = begin();
    int x = nn_input(net.nn, 4, 1);
    int a = nn_linear(net.nn, x, 6, NN_TANH, NN_ORTHOGONAL, 1);
    int b = nn_norm(net.nn, a);
    net.heads[net.n_heads++] = nn_add(net.nn, b, nn_norm(net.nn, nn_add(net.nn, a, b)));
    check_net(&net, "norm");
}

/* Three steps of three lanes, with episodes that begin in the middle; from a state that is not 0.
 */
static void test_lstm(void **state)
{
    (void)state;
    struct net net = begin();
    int x = nn_input(net.nn, 3, 1), keep = nn_input(net.nn, 1, 1);
    int a = nn_linear(net.nn, x, 4, NN_TANH, NN_ORTHOGONAL, 1);
    int h = nn_lstm(net.nn, a, keep, 5, NN_ORTHOGONAL, 1);
    net.heads[net.n_heads++] = nn_linear(net.nn, h, 2, NN_IDENTITY, NN_ORTHOGONAL, 1);
    net.heads[net.n_heads++] = nn_lstm(net.nn, h, keep, 3, NN_LECUN, 1);
    net.flags = keep;
    net.lanes = 3;
    check_net(&net, "LSTM");
}

/* One row after the other with the state carried on is all rows at once. */
static void test_lstm_steps(void **state)
{
    (void)state;
    struct nn *nn = begin().nn;
    int x = nn_input(nn, 3, 1), keep = nn_input(nn, 1, 1);
    int h = nn_lstm(nn, x, keep, 5, NN_ORTHOGONAL, 1);
    assert_int_equal(nn_plan(nn, 12), 0);
    assert_int_equal(nn_init(nn, 1), 0);
    double *draw = nets_normals(36, 1), *flags = nn_out(nn, keep), all[60];
    nn_lanes(nn, 3);
    memcpy(nn_out(nn, x), draw, 36 * sizeof(*draw));
    for (int i = 0; i < 12; i++)
        flags[i] = i != 7;
    nn_forward(nn, 12, nn_needs(nn, h));
    memcpy(all, nn_out(nn, h), sizeof(all));
    for (int t = 0; t < 4; t++) {
        memcpy(nn_out(nn, x), draw + 9 * t, 9 * sizeof(*draw));
        for (int i = 0; i < 3; i++)
            flags[i] = 3 * t + i != 7;
        nn_forward(nn, 3, nn_needs(nn, h));
        const double *now = nn_out(nn, h);
        for (int i = 0; i < 15; i++)
            assert_true(fabs(now[i] - all[15 * t + i]) < 1e-12);
        memcpy(nn_state(nn, h), nn_state_after(nn, h), 2 * 12 * 5 * sizeof(double));
    }
    free(draw);
    nn_destroy(&nn);
}

/* Neighbours of which some, and for one row all, are not there; keys that are values too. */
static void test_attention(void **state)
{
    (void)state;
    for (int same = 0; same < 2; same++) {
        struct net net = begin();
        int x = nn_input(net.nn, 4, 1), near = nn_input(net.nn, 3, 3);
        int present = nn_input(net.nn, 1, 3);
        int q = nn_linear(net.nn, x, 6, NN_IDENTITY, NN_ORTHOGONAL, 1);
        int k = nn_linear(net.nn, near, 6, NN_TANH, NN_ORTHOGONAL, 1);
        int v = same ? k : nn_linear(net.nn, near, 6, NN_IDENTITY, NN_ORTHOGONAL, 1);
        int y = nn_attention(net.nn, q, k, v, present, 2);
        net.heads[net.n_heads++] =
            nn_linear(net.nn, nn_add(net.nn, y, q), 2, NN_IDENTITY, NN_LECUN, 1);
        net.flags = present;
        net.per = 3;
        check_net(&net, "attention");
    }
}

/* What is computed again is what was kept: the same bits, in less memory. */
static void test_recompute(void **state)
{
    (void)state;
    struct nn *nn[2];
    double *draw = nets_normals(ROWS * 4, 1);
    for (int again = 0; again < 2; again++) {
        nn[again] = begin().nn;
        int x = nn_input(nn[again], 4, 1), y = x;
        for (int i = 0; i < 3; i++) {
            int first = nn_linear(nn[again], y, 8, NN_SILU, NN_ORTHOGONAL, 1);
            y = nn_norm(nn[again], nn_linear(nn[again], first, 8, NN_TANH, NN_ORTHOGONAL, 1));
            if (again)
                nn_recompute(nn[again], first, y);
        }
        assert_int_equal(nn_plan(nn[again], ROWS), 0);
        assert_int_equal(nn_init(nn[again], 1), 0);
        memcpy(nn_out(nn[again], x), draw, ROWS * 4 * sizeof(*draw));
        nn_forward(nn[again], ROWS, nn_needs(nn[again], y));
        nn_backend_of(nn[again])->fill(nn_grad(nn[again], y), 0.5, ROWS * 8);
        ((double *)nn_grad(nn[again], y))[3] = 2;
        nn_back(nn[again], ROWS, &y, 1, false);
    }
    assert_memory_equal(nn_grads(nn[0]), nn_grads(nn[1]), nn_count(nn[0]) * sizeof(double));
    double sum = nn_backend_of(nn[0])->sum_squares(nn_grads(nn[0]), nn_count(nn[0]));
    assert_true(sum > 1e-6);
    nn_destroy(&nn[0]);
    nn_destroy(&nn[1]);
    free(draw);
}

/* Frozen layers let gradients through and have none themselves; steps leave them as they are. */
static void test_frozen(void **state)
{
    (void)state;
    struct net net = begin();
    int x = nn_input(net.nn, 4, 1);
    int a = nn_linear(net.nn, x, 5, NN_TANH, NN_ORTHOGONAL, 1);
    int b = nn_linear(net.nn, a, 5, NN_TANH, NN_ORTHOGONAL, 1);
    int c = nn_linear(net.nn, b, 2, NN_IDENTITY, NN_ORTHOGONAL, 1);
    nn_freeze(net.nn, b, true);
    assert_int_equal(nn_plan(net.nn, ROWS), 0);
    assert_int_equal(nn_init(net.nn, 1), 0);
    net.heads[net.n_heads++] = c;
    net.needs = nn_needs(net.nn, c);
    net.weights = nets_normals(head_size(&net, 0), 2);
    double *draw = nets_normals(ROWS * 4, 3);
    memcpy(nn_out(net.nn, x), draw, ROWS * 4 * sizeof(*draw));
    loss_of(&net);
    back(&net, false);
    size_t n, at = nn_param_at(net.nn, b, &n);
    double *params = nn_params(net.nn), *grads = nn_grads(net.nn);
    for (size_t i = 0; i < n; i++)
        assert_true(grads[at + i] == 0);
    nets_differences(loss_of, &net, params, grads, at, "below a frozen layer");
    nets_differences(loss_of, &net, params + at + n, grads + at + n, nn_count(net.nn) - at - n,
                     "above a frozen layer");
    struct nn_learner learner;
    assert_int_equal(nn_learner_init(&learner, net.nn, NN_ADAMW), 0);
    double *before = calloc(nn_count(net.nn), sizeof(double));
    memcpy(before, params, nn_count(net.nn) * sizeof(double));
    assert_true(nn_learner_step(&learner, 0.01, 0.5) > 0);
    for (size_t i = 0; i < nn_count(net.nn); i++)
        assert_true((before[i] == params[i]) == (i >= at && i < at + n));
    nn_learner_fini(&learner);
    free(before);
    free(draw);
    free(net.weights);
    nn_destroy(&net.nn);
}

/* ---- Distributions ---- */

struct chances {
    const struct nn_backend *b;
    struct nn_choices choices;
    double x[ROWS * 5], log_sigma[5], old[ROWS * 5], old_log_sigma[5], actions[ROWS * 5];
    double all[ROWS * 5], logp[ROWS], entropy[ROWS], kl[ROWS];
    double wp[ROWS], wh[ROWS], wk[ROWS];
    uint8_t masks[ROWS * 5];
    int32_t chosen[ROWS * 2];
};

static double sum_up(const struct chances *c)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS; i++)
        sum += c->wp[i] * c->logp[i] + c->wh[i] * c->entropy[i] + c->wk[i] * c->kl[i];
    return sum;
}

static double categorical_loss(void *arg)
{
    struct chances *c = arg;
    c->b->categorical(&c->choices, ROWS, c->x, c->masks, c->chosen, c->all, c->logp, c->entropy);
    c->b->categorical_kl(&c->choices, ROWS, c->old, c->all, c->kl);
    return sum_up(c);
}

static double gaussian_loss(void *arg)
{
    struct chances *c = arg;
    c->b->gaussian(ROWS, 5, c->x, c->log_sigma, c->actions, c->logp, c->entropy);
    c->b->gaussian_kl(ROWS, 5, c->old, c->old_log_sigma, c->x, c->log_sigma, c->kl);
    return sum_up(c);
}

static void draw_chances(struct chances *c)
{
    uint64_t seed = 11;
    *c = (struct chances){.b = nn_cpu_f64(), .choices = {.n = 2, .width = 5, .sizes = {2, 3}}};
    for (size_t i = 0; i < ROWS * 5; i++) {
        c->x[i] = nn_normal(&seed);
        c->old[i] = nn_normal(&seed);
        c->actions[i] = nn_normal(&seed);
        c->log_sigma[i % 5] = 0.3 * nn_normal(&seed);
        c->old_log_sigma[i % 5] = 0.3 * nn_normal(&seed);
        c->masks[i] = i % 5 != 1 && i % 5 != 4 ? 1 : nn_below(&seed, 2) == 1;
    }
    for (size_t i = 0; i < ROWS; i++) {
        c->wp[i] = nn_normal(&seed);
        c->wh[i] = nn_normal(&seed);
        c->wk[i] = nn_normal(&seed);
        c->chosen[2 * i + 1] = (int32_t)nn_below(&seed, 2);
    }
}

static void test_categorical(void **state)
{
    (void)state;
    struct chances *c = calloc(1, sizeof(*c));
    double dx[ROWS * 5];
    draw_chances(c);
    c->b->categorical(&c->choices, ROWS, c->old, c->masks, NULL, c->old, NULL, NULL);
    categorical_loss(c);
    c->b->categorical_back(&c->choices, ROWS, c->all, c->chosen, c->wp, c->wh, dx);
    c->b->categorical_kl_back(&c->choices, ROWS, c->old, c->all, c->wk, dx);
    for (size_t i = 0; i < ROWS * 5; i++)
        assert_true(c->masks[i] || dx[i] == 0);
    nets_differences(categorical_loss, c, c->x, dx, ROWS * 5, "categorical");
    free(c);
}

static void test_gaussian(void **state)
{
    (void)state;
    struct chances *c = calloc(1, sizeof(*c));
    double dx[ROWS * 5], ds[5];
    draw_chances(c);
    gaussian_loss(c);
    c->b->gaussian_back(ROWS, 5, c->x, c->log_sigma, c->actions, c->wp, c->wh, dx, ds);
    c->b->gaussian_kl_back(ROWS, 5, c->old, c->old_log_sigma, c->x, c->log_sigma, c->wk, dx, ds);
    nets_differences(gaussian_loss, c, c->x, dx, ROWS * 5, "mean");
    nets_differences(gaussian_loss, c, c->log_sigma, ds, 5, "log sigma");
    free(c);
}

/* Orthonormal whichever side is longer; the same for float and double but for rounding. */
static void test_init(void **state)
{
    (void)state;
    struct nn *nn[2];
    for (int k = 0; k < 2; k++) {
        assert_int_equal(nn_create(k ? nn_cpu_f64() : nn_cpu_f32(), &nn[k]), 0);
        int x = nn_input(nn[k], 12, 1);
        int y = nn_linear(nn[k], x, 5, NN_TANH, NN_ORTHOGONAL, 2);
        nn_linear(nn[k], y, 9, NN_TANH, NN_ORTHOGONAL, 2);
        assert_int_equal(nn_plan(nn[k], 1), 0);
        assert_int_equal(nn_init(nn[k], 42), 0);
    }
    const float *f = nn_params(nn[0]);
    const double *w = nn_params(nn[1]);
    for (size_t i = 0; i < nn_count(nn[1]); i++)
        assert_true(fabs(w[i] - (double)f[i]) < 1e-7);
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            double columns = 0, rows = 0;
            for (size_t i = 0; i < 12; i++)
                columns += w[i * 5 + a] * w[i * 5 + b];
            for (size_t i = 0; i < 9; i++)
                rows += w[65 + a * 9 + i] * w[65 + b * 9 + i];
            assert_true(fabs(columns - (a == b ? 4 : 0)) < 1e-6);
            assert_true(fabs(rows - (a == b ? 4 : 0)) < 1e-6);
        }
    }
    nn_destroy(&nn[0]);
    nn_destroy(&nn[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),      cmocka_unit_test(test_branches),
        cmocka_unit_test(test_norm),        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_lstm_steps),  cmocka_unit_test(test_attention),
        cmocka_unit_test(test_recompute),   cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_categorical), cmocka_unit_test(test_gaussian),
        cmocka_unit_test(test_init),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
