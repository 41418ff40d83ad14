/* Updates of PPO against PyTorch's, advantages against their definition, and repeatability. */
#include <rtc/env.h>

#include "actors/ppo/ppo.h"
#include "tests/nn/fixture.h"

static const char *folder;

static struct ppo *create(const struct ppo_config *config, const struct nn_backend *backend)
{
    char why[256] = "";
    struct ppo *ppo = NULL;
    if (ppo_create(config, backend, &ppo, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    return ppo;
}

static void fill_case(struct ppo_config *config, enum ppo_semantics semantics, bool shared)
{
    ppo_defaults(semantics, config);
    config->n_floats = 5;
    config->hidden[0] = 16;
    config->hidden[1] = 12;
    config->shared = shared;
    config->epochs = 3;
    config->minibatch = 12;
    config->batch_max = 48;
    config->rate = (struct nn_schedule){.kind = NN_CONSTANT, .from = 2.5e-3};
    config->norm_max = 0.5;
    config->epsilon = 1e-5;
    config->value_clip = 1.5;
}

static void choose(struct ppo_config *config, uint32_t n, uint32_t a, uint32_t b)
{
    config->choices = (struct nn_choices){.n = n, .width = a + b, .sizes = {a, b}};
}

/* One update of the same batch in the same order: weights and statistics. */
static void compare_update(const char *name, const struct ppo_config *config,
                           const struct nn_backend *backend)
{
    struct fixture f = fixture_open(folder, name);
    size_t n = 0, n_masks = 0;
    const float *before = fixture_get(&f, "before", &n);
    struct ppo *ppo = create(config, backend);
    assert_int_equal(nn_count(ppo_net(ppo)), n);
    backend->upload(nn_params(ppo_net(ppo)), before, n);
    const int32_t *wide = fixture_find(&f, "masks", &n_masks);
    uint8_t masks[48 * 6] = {0};
    for (size_t i = 0; wide && i < n_masks; i++)
        masks[i] = (uint8_t)wide[i];
    struct ppo_batch batch = {.n = 48,
                              .seen = fixture_get(&f, "seen", NULL),
                              .masks = wide ? masks : NULL,
                              .actions = fixture_get(&f, "actions", NULL),
                              .logp = fixture_get(&f, "logp", NULL),
                              .values = fixture_get(&f, "values", NULL),
                              .advantages = fixture_get(&f, "advantages", NULL),
                              .returns = fixture_get(&f, "returns", NULL)};
    struct ppo_stats s;
    ppo_update_in_order(ppo, &batch, 0, fixture_get(&f, "order", NULL), &s);
    float *after = calloc(n, sizeof(*after));
    backend->download(after, nn_params(ppo_net(ppo)), n);
    double tolerance = backend->element == 8 ? 3e-6 : 1e-5;
    fixture_compare(after, fixture_get(&f, "after", NULL), n, tolerance, name);
    const float stats[] = {
        (float)s.policy_loss,   (float)s.value_loss,    (float)s.entropy,
        (float)s.approx_kl,     (float)s.old_approx_kl, (float)s.kl,
        (float)s.clip_fraction, (float)s.grad_norm,     (float)s.explained_variance};
    fixture_compare(stats, fixture_get(&f, "stats", NULL), 9, 1e-4, name);
    assert_int_equal(s.minibatches, 12);
    free(after);
    free(f.data);
    ppo_destroy(&ppo);
}

static void test_updates(void **state)
{
    (void)state;
    struct ppo_config config;
    const struct nn_backend *b;
    for (uint32_t i = 0; (b = nn_cpu_at(i / 2, i & 1)); i++) {
        fill_case(&config, PPO_CLEANRL, false);
        choose(&config, 1, 3, 0);
        compare_update("ppo_cleanrl", &config, b);
        fill_case(&config, PPO_CLEANRL, true);
        choose(&config, 2, 2, 4);
        compare_update("ppo_choices", &config, b);
        fill_case(&config, PPO_CLEANRL, false);
        config.n_numbers = 3;
        compare_update("ppo_numbers", &config, b);
        fill_case(&config, PPO_RLLIB, false);
        choose(&config, 1, 4, 0);
        compare_update("ppo_rllib", &config, b);
        fill_case(&config, PPO_RLLIB, true);
        config.n_numbers = 2;
        config.entropy.from = 0.005;
        compare_update("ppo_rllib_numbers", &config, b);
    }
}

/* Two agents over three steps: one goes on, one terminates and a new one begins in its place. */
static void test_advantages(void **state)
{
    (void)state;
    const float rewards[] = {1, 2, 3, 4, 5, 6}, values[] = {.1f, .2f, .3f, .4f, .5f, .6f, .7f, .8f};
    const float last[] = {0, 0, 9, 7, 0, 0};
    float a[6], r[6];
    uint8_t ends[] = {0, RTC_ENV_TERMINATED, RTC_ENV_TRUNCATED, 0, 0, 0};
    const uint32_t next[] = {2, RTC_ENV_NONE, RTC_ENV_NONE, 5, 6, 7};
    struct ppo_steps steps = {
        .n = 6, .rewards = rewards, .ends = ends, .next = next, .values = values, .last = last};
    ppo_advantages(&steps, 0.9, 0.8, true, a, r);
    double a5 = 6 + 0.9 * 0.8 - 0.6, a4 = 5 + 0.9 * 0.7 - 0.5;
    double a3 = 4 + 0.9 * 0.6 - 0.4 + 0.72 * a5, a2 = 3 + 0.9 * 9 - 0.3, a1 = 2 - 0.2;
    double want[] = {1 + 0.9 * 0.3 - 0.1 + 0.72 * a2, a1, a2, a3, a4, a5};
    for (int i = 0; i < 6; i++) {
        assert_true(fabs(a[i] - want[i]) < 1e-5);
        assert_true(fabs(r[i] - (want[i] + values[i])) < 1e-5);
    }
    ppo_advantages(&steps, 0.9, 0.8, false, a, r); /* a truncated one ends */
    assert_true(fabs(a[2] - 2.7) < 1e-5);
    ends[2] = RTC_ENV_TRUNCATED | RTC_ENV_LOST;
    ppo_advantages(&steps, 0.9, 0.8, true, a, r);
    assert_true(a[2] == 0 && r[2] == values[2]);
}

/* A batch from a seed, with rows that do not count. */
struct drawn {
    float seen[100 * 4], logp[100], values[100], advantages[100], returns[100];
    int32_t actions[100];
    uint8_t active[100];
    struct ppo_batch batch;
};

static void draw(struct drawn *d, struct ppo *ppo, uint64_t seed)
{
    for (int i = 0; i < 400; i++)
        d->seen[i] = (float)nn_normal(&seed);
    ppo_act(ppo, 100, d->seen, NULL, false, d->actions, d->logp, d->values);
    for (int i = 0; i < 100; i++) {
        d->advantages[i] = (float)nn_normal(&seed);
        d->returns[i] = d->values[i] + d->advantages[i];
        d->active[i] = i % 3 != 0;
    }
    d->batch = (struct ppo_batch){.n = 100,
                                  .seen = d->seen,
                                  .actions = d->actions,
                                  .logp = d->logp,
                                  .values = d->values,
                                  .advantages = d->advantages,
                                  .returns = d->returns,
                                  .active = d->active};
}

static void small(struct ppo_config *config, enum ppo_semantics semantics)
{
    ppo_defaults(semantics, config);
    config->n_floats = 4;
    choose(config, 1, 3, 0);
    config->hidden[0] = config->hidden[1] = 32;
    config->minibatch = 16;
    config->batch_max = 100;
}

/* Rows that are not active change nothing, whatever stands in them; two learners with one seed
 * agree to the bit. */
static void test_repeats(void **state)
{
    (void)state;
    for (int semantics = 0; semantics < 2; semantics++) {
        struct ppo_config config;
        struct drawn *d = calloc(2, sizeof(*d));
        struct ppo *ppo[2];
        struct ppo_stats stats[2];
        small(&config, (enum ppo_semantics)semantics);
        for (int k = 0; k < 2; k++) {
            ppo[k] = create(&config, nn_cpu_f32());
            draw(&d[k], ppo[k], 77);
            for (int i = 0; k && i < 100; i += 3)
                d[k].returns[i] = d[k].advantages[i] = d[k].logp[i] = 1e30f;
            for (int i = 0; i < 3; i++)
                ppo_update(ppo[k], &d[k].batch, 0.1 * i, &stats[k]);
        }
        size_t n = nn_count(ppo_net(ppo[0])) * sizeof(float);
        assert_memory_equal(nn_params(ppo_net(ppo[0])), nn_params(ppo_net(ppo[1])), n);
        assert_memory_equal(&stats[0], &stats[1], sizeof(stats[0]));
        assert_int_equal(stats[0].minibatches, semantics ? 30 * (66 / 16) : 4 * 5);
        assert_int_equal(stats[0].skipped, 0);
        ppo_destroy(&ppo[0]);
        ppo_destroy(&ppo[1]);
        free(d);
    }
}

/* What goes on from a saved state is what would have gone on. */
static void test_state(void **state)
{
    (void)state;
    struct ppo_config config;
    struct drawn *d = calloc(3, sizeof(*d));
    struct ppo *ppo[2];
    struct ppo_stats stats[2];
    char why[256] = "";
    small(&config, PPO_RLLIB);
    for (int k = 0; k < 2; k++)
        ppo[k] = create(&config, nn_cpu_f32());
    draw(&d[2], ppo[0], 4);
    ppo_update(ppo[0], &d[2].batch, 0, &stats[0]);
    size_t size = ppo_state_size(ppo[0]), n = nn_count(ppo_net(ppo[0])) * sizeof(float);
    char *saved = malloc(size);
    ppo_save(ppo[0], saved);
    assert_int_equal(ppo_load(ppo[1], saved, size, why, sizeof(why)), 0);
    for (int k = 0; k < 2; k++) {
        draw(&d[k], ppo[k], 6);
        ppo_update(ppo[k], &d[k].batch, 0, &stats[k]);
    }
    assert_memory_equal(d[0].actions, d[1].actions, sizeof(d[0].actions));
    assert_memory_equal(nn_params(ppo_net(ppo[0])), nn_params(ppo_net(ppo[1])), n);
    assert_memory_equal(&stats[0], &stats[1], sizeof(stats[0]));
    assert_int_equal(ppo_load(ppo[1], saved, size - 1, why, sizeof(why)), RTC_E_INVALID);
    assert_non_null(strstr(why, "bytes"));
    saved[0] ^= 1;
    assert_int_equal(ppo_load(ppo[1], saved, size, why, sizeof(why)), RTC_E_INVALID);
    assert_non_null(strstr(why, "no state"));
    saved[0] ^= 1;
    ppo_destroy(&ppo[1]);
    config.hidden[0] = 24;
    config.hidden[1] = 43;
    ppo[1] = create(&config, nn_cpu_f32());
    assert_int_equal(ppo_load(ppo[1], saved, size, why, sizeof(why)), RTC_E_INVALID);
    ppo_destroy(&ppo[1]);
    ppo[1] = create(&config, nn_cpu_f64());
    assert_int_equal(ppo_load(ppo[1], saved, size, why, sizeof(why)), RTC_E_INVALID);
    assert_non_null(strstr(why, "networks"));
    ppo_destroy(&ppo[0]);
    ppo_destroy(&ppo[1]);
    free(saved);
    free(d);
}

/* The penalty's coefficient follows the divergence; an epoch beyond target_kl is the last. */
static void test_divergence(void **state)
{
    (void)state;
    struct ppo_config config;
    struct drawn *d = calloc(1, sizeof(*d));
    struct ppo_stats s;
    small(&config, PPO_RLLIB);
    config.rate.from = 1e-2;
    struct ppo *ppo = create(&config, nn_cpu_f32());
    draw(d, ppo, 5);
    ppo_update(ppo, &d->batch, 0, &s);
    assert_true(s.kl > 2 * config.kl_target && s.kl_coef == 0.2);
    ppo_update(ppo, &d->batch, 0, &s);
    assert_true(fabs(s.kl_coef - 0.3) < 1e-12);
    ppo_destroy(&ppo);
    config.rate.from = 1e-9;
    ppo = create(&config, nn_cpu_f32());
    draw(d, ppo, 5);
    ppo_update(ppo, &d->batch, 0, &s);
    assert_true(fabs(s.kl) < 1e-6 && fabs(s.approx_kl) < 1e-6);
    ppo_update(ppo, &d->batch, 0, &s);
    assert_true(s.kl_coef == 0.1);
    ppo_destroy(&ppo);
    small(&config, PPO_CLEANRL);
    config.rate.from = 1e-2;
    config.target_kl = 1e-4;
    ppo = create(&config, nn_cpu_f32());
    draw(d, ppo, 5);
    ppo_update(ppo, &d->batch, 0, &s);
    assert_int_equal(s.epochs, 1);
    ppo_destroy(&ppo);
    free(d);
}

/* Gradients that are not finite are not followed, and are told. */
static void test_not_finite(void **state)
{
    (void)state;
    struct ppo_config config;
    struct drawn *d = calloc(1, sizeof(*d));
    struct ppo_stats s;
    small(&config, PPO_CLEANRL);
    struct ppo *ppo = create(&config, nn_cpu_f32());
    draw(d, ppo, 5);
    size_t n = nn_count(ppo_net(ppo)) * sizeof(float);
    void *before = malloc(n);
    memcpy(before, nn_params(ppo_net(ppo)), n);
    d->returns[1] = NAN;
    ppo_update(ppo, &d->batch, 0, &s);
    assert_int_equal(s.skipped, 4); /* once in each epoch */
    for (size_t i = 0; i < nn_count(ppo_net(ppo)); i++)
        assert_true(isfinite(((const float *)nn_params(ppo_net(ppo)))[i]));
    assert_true(memcmp(before, nn_params(ppo_net(ppo)), n) != 0);
    free(before);
    ppo_destroy(&ppo);
    free(d);
}

static void refused(const struct ppo_config *config, const char *word)
{
    char why[256] = "";
    struct ppo *ppo = NULL;
    assert_int_equal(ppo_create(config, nn_cpu_f32(), &ppo, why, sizeof(why)), RTC_E_INVALID);
    assert_null(ppo);
    if (!strstr(why, word))
        fail_msg("\"%s\" does not speak of %s", why, word);
}

static void test_refusals(void **state)
{
    (void)state;
    struct ppo_config config;
#define REFUSED(change, word)  \
    small(&config, PPO_RLLIB); \
    config.change;             \
    refused(&config, word)
    REFUSED(n_floats = 0, "observation");
    REFUSED(n_numbers = 2, "action");
    REFUSED(choices.n = 0, "action");
    REFUSED(choices.width = 7, "width");
    REFUSED(choices.sizes[0] = 0, "choice");
    REFUSED(n_hidden = 9, "hidden");
    REFUSED(hidden[1] = 0, "hidden");
    REFUSED(gamma = 1.5, "gamma");
    REFUSED(lambda = NAN, "lambda");
    REFUSED(clip = 0, "clip");
    REFUSED(rate.from = -1, "rate");
    REFUSED(value_clip = 0, "value_clip");
    REFUSED(kl_target = 0, "kl_target");
    REFUSED(epochs = 0, "epochs");
    REFUSED(batch_max = 0, "batch_max");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),    cmocka_unit_test(test_advantages),
        cmocka_unit_test(test_repeats),    cmocka_unit_test(test_state),
        cmocka_unit_test(test_divergence), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_refusals),
    };
    folder = argc > 1 ? argv[1] : "golden";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
