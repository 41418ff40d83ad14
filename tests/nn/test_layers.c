/* Layers and optimisers against PyTorch's, outputs and gradients, on every instruction set. */
#include "tests/nn/fixture.h"

static struct fixture f;

static void put(const struct nn_backend *b, void *to, const char *name)
{
    size_t n = 0;
    const float *from = fixture_get(&f, name, &n);
    b->upload(to, from, n);
}

static void compare(const struct nn_backend *b, const void *got, const char *name)
{
    size_t n = 0;
    const float *want = fixture_get(&f, name, &n);
    float *floats = calloc(n, sizeof(*floats));
    b->download(floats, got, n);
    fixture_compare(floats, want, n, 2e-5, name);
    free(floats);
}

static void recurrent(const struct nn_backend *b)
{
    struct nn *nn;
    assert_int_equal(nn_create(b, &nn), 0);
    int x = nn_input(nn, 4, 1), keep = nn_input(nn, 1, 1);
    int h = nn_lstm(nn, x, keep, 6, NN_ORTHOGONAL, 1);
    int y = nn_linear(nn, nn_norm(nn, h), 6, NN_SILU, NN_ORTHOGONAL, 1);
    assert_int_equal(nn_plan(nn, 15), 0);
    nn_lanes(nn, 3);
    put(b, nn_params(nn), "lstm_params");
    put(b, nn_out(nn, x), "lstm_x");
    put(b, nn_out(nn, keep), "lstm_keep");
    put(b, nn_state(nn, h), "lstm_c");
    put(b, (char *)nn_state(nn, h) + 15 * 6 * b->element, "lstm_h");
    nn_forward(nn, 15, nn_needs(nn, y));
    compare(b, nn_out(nn, y), "lstm_y");
    size_t half = 3 * 6 * b->element;
    char *after = malloc(2 * half);
    memcpy(after, nn_state_after(nn, h), half);
    memcpy(after + half, (char *)nn_state_after(nn, h) + 15 * 6 * b->element, half);
    compare(b, after, "lstm_after");
    free(after);
    put(b, nn_grad(nn, y), "lstm_w");
    nn_back(nn, 15, &y, 1, false);
    compare(b, nn_grads(nn), "lstm_grads");
    nn_destroy(&nn);
}

static void attention(const struct nn_backend *b)
{
    struct nn *nn;
    int in[3], projected[3];
    static const char *const names[] = {"attend_q", "attend_k", "attend_v"};
    assert_int_equal(nn_create(b, &nn), 0);
    for (int i = 0; i < 3; i++)
        in[i] = nn_input(nn, 8, i ? 4 : 1);
    int present = nn_input(nn, 1, 4);
    for (int i = 0; i < 3; i++)
        projected[i] = nn_linear(nn, in[i], 8, NN_IDENTITY, NN_ORTHOGONAL, 1);
    int y = nn_attention(nn, projected[0], projected[1], projected[2], present, 2);
    assert_int_equal(nn_plan(nn, 7), 0);
    put(b, nn_params(nn), "attend_params");
    put(b, nn_out(nn, present), "attend_present");
    for (int i = 0; i < 3; i++)
        put(b, nn_out(nn, in[i]), names[i]);
    nn_forward(nn, 7, nn_needs(nn, y));
    compare(b, nn_out(nn, y), "attend_y");
    put(b, nn_grad(nn, y), "attend_w");
    nn_back(nn, 7, &y, 1, false);
    compare(b, nn_grads(nn), "attend_grads");
    nn_destroy(&nn);
}

static void steps(const struct nn_backend *b)
{
    static const char *const names[] = {"steps_adam", "steps_adamw", "steps_sgd"};
    for (int rule = 0; rule < 3; rule++) {
        struct nn *nn;
        struct nn_learner learner;
        assert_int_equal(nn_create(b, &nn), 0);
        nn_parameter(nn, 20, 0);
        assert_int_equal(nn_plan(nn, 1), 0);
        assert_int_equal(nn_learner_init(&learner, nn, (enum nn_rule)rule), 0);
        learner.decay = rule == NN_SGD ? 0 : 0.1;
        learner.beta1 = 0.9;
        put(b, nn_params(nn), "steps_before");
        for (size_t t = 0; t < 4; t++) {
            b->upload(nn_grads(nn), (const float *)fixture_get(&f, "steps_grads", NULL) + 20 * t,
                      20);
            nn_learner_step(&learner, 0.01, 0);
        }
        compare(b, nn_params(nn), names[rule]);
        nn_learner_fini(&learner);
        nn_destroy(&nn);
    }
}

static void each(void (*check)(const struct nn_backend *b))
{
    const struct nn_backend *b;
    for (uint32_t i = 0; (b = nn_cpu_at(i / 2, i & 1)); i++)
        check(b);
}

static void test_recurrent(void **state)
{
    (void)state;
    each(recurrent);
}

static void test_attention(void **state)
{
    (void)state;
    each(attention);
}

static void test_steps(void **state)
{
    (void)state;
    each(steps);
}

static void test_schedules(void **state)
{
    (void)state;
    const struct nn_schedule line = {.kind = NN_LINEAR_TO, .from = 2, .to = 1};
    const struct nn_schedule wave = {.kind = NN_COSINE_TO, .from = 1, .to = 0, .warmup = 0.5};
    const struct nn_schedule flat = {.kind = NN_CONSTANT, .from = 3};
    assert_true(nn_schedule_at(&line, 0) == 2 && nn_schedule_at(&line, 0.25) == 1.75);
    assert_true(nn_schedule_at(&line, 1) == 1 && nn_schedule_at(&line, 7) == 1);
    assert_true(nn_schedule_at(&wave, 0) == 0 && nn_schedule_at(&wave, 0.25) == 0.5);
    assert_true(nn_schedule_at(&wave, 0.5) == 1 && fabs(nn_schedule_at(&wave, 0.75) - 0.5) < 1e-12);
    assert_true(nn_schedule_at(&flat, 0.9) == 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recurrent), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_schedules)};
    f = fixture_open(argc > 1 ? argv[1] : "golden", "layers");
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    free(f.data);
    return rc;
}
