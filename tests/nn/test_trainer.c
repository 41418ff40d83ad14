/* Fragments of agents that come and go, wait, end and are lost; runs that repeat to the bit; and
 * what cannot be learnt. */
#include "actors/ppo/collect.h"
#include "actors/ppo/trainer.h"
#include "tests/nn/nets.h"

/* ---- Errands: up to four agents a slot, each for a few steps; who is alone waits in odd ones ----
 */

#define AGENTS 4

struct errands {
    uint64_t chance;
    uint32_t n, ids, step; /* agents there; given so far */
    uint32_t id[AGENTS], left[AGENTS];
};

static const uint32_t choices[] = {3};
static const struct rtc_env_kind kind = {
    .name = "runner",
    .observation = {.n_floats = 3},
    .action = {.n_choices = 1, .choices = choices, .masked = true},
};

static int errands_open(const struct rtc_env_config *config, void *params,
                        struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->rows_max = AGENTS;
    ret_spec->n_kinds = 1;
    ret_spec->kinds = &kind;
    return 0;
}

static void arrive(struct errands *e)
{
    while (e->n < AGENTS && (e->n == 0 || nn_below(&e->chance, 2))) {
        e->id[e->n] = e->ids++;
        e->left[e->n++] = 1 + nn_below(&e->chance, 6);
    }
}

static int errands_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    *(struct errands *)state = (struct errands){.chance = seed};
    arrive(state);
    return 0;
}

static bool waits(const struct errands *e)
{
    return e->n == 1 && e->step % 2 == 1;
}

static bool allowed(uint32_t id, uint32_t left, uint32_t action)
{
    return action == 0 || (action == 1 && id % 2 == 1) || (action == 2 && left > 2);
}

static int errands_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    (void)params;
    struct errands *e = state;
    bool idle = waits(e);
    e->step++;
    for (uint32_t i = 0; i < e->n; i++) {
        int32_t action;
        memcpy(&action, (const char *)turn->actions + i * turn->action_stride, sizeof(action));
        assert_true(idle || allowed(e->id[i], e->left[i], (uint32_t)action));
        turn->rewards[i] = 0.1 * e->id[i] + (idle ? 0 : action);
        turn->ends[i] = --e->left[i] == 0 ? RTC_ENV_TERMINATED : 0;
    }
    if (nn_below(&e->chance, 40) == 0) {
        rtc_env_fail(RTC_E_INVALID, "the road is closed");
        turn->end = RTC_ENV_LOST;
    }
    return 0;
}

static int errands_observe(const void *params, const void *state, uint32_t slot,
                           const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params;
    struct errands *e = (struct errands *)(uintptr_t)state;
    if (!turn) {
        /* Who has arrived is gone for good; others come. */
        uint32_t kept = 0;
        for (uint32_t i = 0; i < e->n; i++) {
            if (e->left[i] > 0) {
                e->id[kept] = e->id[i];
                e->left[kept++] = e->left[i];
            }
        }
        if (kept < e->n) {
            e->n = kept;
            arrive(e);
        }
    }
    for (uint32_t i = 0; i < e->n; i++) {
        struct rtc_env_row row = {.slot = slot,
                                  .agent = e->id[i],
                                  .flags = waits(e) ? 0 : RTC_ENV_ACTIVE,
                                  .size = 3 * sizeof(float)};
        uint8_t *mask;
        if (turn && !turn->ends[i])
            continue;
        float *seen = rtc_env_row_add(rows, &row, &mask);
        if (!seen)
            continue;
        seen[0] = (float)e->id[i];
        seen[1] = (float)e->left[i];
        seen[2] = (float)e->step;
        for (uint32_t a = 0; mask && a < 3; a++)
            mask[a] = allowed(e->id[i], e->left[i], a);
    }
    return 0;
}

static const struct rtc_env_single errands = {
    .abi = RTC_ENV_ABI,
    .max_episode_steps = 9,
    .name = "Errands",
    .about = "agents that come and go",
    .state_size = sizeof(struct errands),
    .open = errands_open,
    .reset = errands_reset,
    .step = errands_step,
    .observe = errands_observe,
};
RTC_ENV(errands)

/* ---- Fragments ---- */

struct rig {
    struct rtc_env *env;
    struct ppo_config config;
    struct ppo_collector collector;
    struct ppo *ppo;
};

static void rig_open(struct rig *rig, const char *name, uint32_t slots, uint32_t steps,
                     enum ppo_semantics semantics)
{
    char why[256] = "";
    struct rtc_env_config config = {.slots = slots};
    assert_int_equal(rtc_env_open(name, &config, &rig->env), 0);
    ppo_defaults(semantics, &rig->config);
    rig->config.hidden[0] = rig->config.hidden[1] = 16;
    if (ppo_collector_init(&rig->collector, rig->env, steps, &rig->config, why, sizeof(why)) < 0 ||
        ppo_create(&rig->config, nn_cpu_f32(), &rig->ppo, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

static void rig_close(struct rig *rig)
{
    ppo_collector_fini(&rig->collector);
    ppo_destroy(&rig->ppo);
    rtc_env_close(&rig->env);
}

static float value_of(struct rig *rig, float id, float left, float step)
{
    const float seen[3] = {id, left, step};
    float value;
    ppo_values(rig->ppo, 1, seen, &value);
    return value;
}

struct seen {
    int terminated, truncated, lost, waiting, beyond;
};

/* One row: where it goes on, what it is worth there, and its advantage by the definition. */
static void check_row(struct rig *rig, const struct ppo_batch *batch, uint32_t i,
                      struct seen *count)
{
    const struct ppo_collector *c = &rig->collector;
    const float *now = c->seen + 3 * i;
    bool waiting = !(c->table[i].flags & RTC_ENV_ACTIVE);
    count->waiting += waiting;
    assert_int_equal(batch->active[i], !waiting && !(c->ends[i] & RTC_ENV_LOST));
    if (c->ends[i] & RTC_ENV_LOST) {
        count->lost++;
        assert_true(batch->advantages[i] == 0);
        return;
    }
    double after = 0, behind = 0;
    if (c->ends[i] & RTC_ENV_TERMINATED) {
        count->terminated++;
    } else if (c->ends[i] & RTC_ENV_TRUNCATED) {
        count->truncated++;
        if (rig->config.bootstrap)
            after = (double)value_of(rig, now[0], now[1] - 1, now[2] + 1);
    } else {
        const float *next = c->seen + 3 * (size_t)c->next[i];
        assert_true(next[0] == now[0] && next[1] == now[1] - 1 && next[2] == now[2] + 1);
        assert_int_equal(c->table[i].slot, c->table[c->next[i]].slot);
        after = (double)value_of(rig, next[0], next[1], next[2]);
        count->beyond += c->next[i] >= batch->n;
        behind = c->next[i] < batch->n ? (double)batch->advantages[c->next[i]] : 0;
    }
    double want = (double)c->rewards[i] + rig->config.gamma * after - (double)batch->values[i] +
                  rig->config.gamma * rig->config.lambda * behind;
    assert_true(fabs(want - (double)batch->advantages[i]) < 1e-4);
    assert_true(fabs(want + (double)batch->values[i] - (double)batch->returns[i]) < 1e-4);
}

static void test_fragments(void **state)
{
    (void)state;
    for (int semantics = 0; semantics < 2; semantics++) {
        struct rig rig = {0};
        struct ppo_batch batch;
        struct ppo_stats stats;
        struct seen count = {0};
        rig_open(&rig, "Errands", 5, 16, (enum ppo_semantics)semantics);
        for (int fragment = 0; fragment < 10; fragment++) {
            assert_int_equal(ppo_collect(&rig.collector, rig.ppo, &batch), 0);
            assert_true(batch.n >= 80 && batch.n <= rig.config.batch_max);
            for (uint32_t i = 0; i < batch.n; i++)
                check_row(&rig, &batch, i, &count);
            ppo_update(rig.ppo, &batch, 0.1 * fragment, &stats);
            assert_int_equal(stats.skipped, 0);
        }
        assert_true(count.terminated && count.truncated && count.lost && count.waiting &&
                    count.beyond);
        rig_close(&rig);
    }
}

/* Numbers beyond their bounds are clipped for an environment that would refuse them, and learnt
 * from as they were drawn. */
static void test_numbers(void **state)
{
    (void)state;
    struct rig rig = {0};
    struct ppo_batch batch;
    struct ppo_stats stats;
    rig_open(&rig, "Pendulum-v1", 3, 50, PPO_CLEANRL);
    const struct rtc_env_space *space = &rtc_env_spec_of(rig.env)->kinds[0].action;
    bool beyond = false;
    for (int fragment = 0; fragment < 3; fragment++) {
        assert_int_equal(ppo_collect(&rig.collector, rig.ppo, &batch), 0);
        for (size_t i = 0; i < batch.n; i++)
            beyond |= fabsf(((const float *)batch.actions)[i]) > space->high[0];
        ppo_update(rig.ppo, &batch, 0, &stats);
    }
    assert_true(beyond && stats.skipped == 0 && isfinite(stats.loss));
    rig_close(&rig);
}

/* ---- Runs ---- */

static void test_repeats(void **state)
{
    (void)state;
    struct ppo_progress progress[2];
    float *params[2];
    size_t n = 0;
    for (int k = 0; k < 2; k++) {
        char why[256];
        struct ppo_trainer *trainer;
        struct ppo_training training = {
            .environment = "Errands", .slots = 3, .steps = 32, .total = 96 * 5 + 17};
        ppo_defaults(PPO_RLLIB, &training.config);
        training.config.hidden[0] = training.config.hidden[1] = 32;
        training.config.seed = 9;
        assert_int_equal(ppo_trainer_create(&training, &trainer, why, sizeof(why)), 0);
        while (!ppo_trainer_done(trainer))
            assert_int_equal(ppo_trainer_iterate(trainer, &progress[k], why, sizeof(why)), 0);
        n = nn_count(ppo_net(ppo_trainer_ppo(trainer)));
        params[k] = malloc(n * sizeof(float));
        memcpy(params[k], nn_params(ppo_net(ppo_trainer_ppo(trainer))), n * sizeof(float));
        progress[k].collect_s = progress[k].update_s = 0;
        ppo_trainer_destroy(&trainer);
    }
    assert_memory_equal(params[0], params[1], n * sizeof(float));
    assert_memory_equal(&progress[0], &progress[1], sizeof(progress[0]));
    assert_int_equal(progress[0].iterations, 5);
    assert_int_equal(progress[0].steps, 480);
    free(params[0]);
    free(params[1]);
}

/* Two cores learn what one does. */
static void test_two_cores(void **state)
{
    (void)state;
    for (int semantics = 0; semantics < 2; semantics++) {
        struct ppo_progress progress[2];
        float *params[2];
        size_t n = 0;
        for (int k = 0; k < 2; k++) {
            char why[256];
            struct ppo_trainer *trainer;
            struct ppo_training training = {
                .environment = "Errands", .slots = 3, .steps = 32, .total = 96 * 100};
            ppo_defaults((enum ppo_semantics)semantics, &training.config);
            training.config.epochs = 4;
            training.config.hidden[0] = training.config.hidden[1] = 32;
            training.one_core = k == 0;
            assert_int_equal(ppo_trainer_create(&training, &trainer, why, sizeof(why)), 0);
            while (!ppo_trainer_done(trainer))
                assert_int_equal(ppo_trainer_iterate(trainer, &progress[k], why, sizeof(why)), 0);
            n = nn_count(ppo_net(ppo_trainer_ppo(trainer)));
            params[k] = malloc(n * sizeof(float));
            memcpy(params[k], nn_params(ppo_net(ppo_trainer_ppo(trainer))), n * sizeof(float));
            progress[k].collect_s = progress[k].update_s = 0;
            ppo_trainer_destroy(&trainer);
        }
        assert_memory_equal(params[0], params[1], n * sizeof(float));
        assert_memory_equal(&progress[0], &progress[1], sizeof(progress[0]));
        free(params[0]);
        free(params[1]);
    }
}

static void refused(const struct ppo_training *training, int code, const char *word)
{
    char why[256] = "";
    struct ppo_trainer *trainer = NULL;
    assert_int_equal(ppo_trainer_create(training, &trainer, why, sizeof(why)), code);
    assert_null(trainer);
    if (!strstr(why, word))
        fail_msg("\"%s\" does not speak of %s", why, word);
}

static const uint32_t many_choices[NN_CHOICES_MAX + 1] = {2, 2, 2, 2, 2, 2, 2, 2, 2,
                                                          2, 2, 2, 2, 2, 2, 2, 2};
static const struct rtc_env_kind odd_kinds[] = {
    {.name = "a", .observation = {.n_floats = 3}, .action = {.n_floats = 1}},
    {.name = "b", .observation = {.n_floats = 4}, .action = {.n_floats = 1}},
};
static const struct rtc_env_kind crowded = {
    .name = "c",
    .observation = {.n_floats = 3},
    .action = {.n_choices = NN_CHOICES_MAX + 1, .choices = many_choices}};

static int odd_open(const struct rtc_env_config *config, void *params,
                    struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->rows_max = ret_spec->n_kinds = 2;
    ret_spec->kinds = odd_kinds;
    return 0;
}

static int crowded_open(const struct rtc_env_config *config, void *params,
                        struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->rows_max = ret_spec->n_kinds = 1;
    ret_spec->kinds = &crowded;
    return 0;
}

static const struct rtc_env_single odd = {.abi = RTC_ENV_ABI,
                                          .name = "Odd",
                                          .about = "two kinds",
                                          .open = odd_open,
                                          .reset = errands_reset,
                                          .step = errands_step,
                                          .observe = errands_observe};
static const struct rtc_env_single crowd = {.abi = RTC_ENV_ABI,
                                            .name = "Crowd",
                                            .about = "17 choices",
                                            .open = crowded_open,
                                            .reset = errands_reset,
                                            .step = errands_step,
                                            .observe = errands_observe};
RTC_ENV(odd)
RTC_ENV(crowd)

static void test_refusals(void **state)
{
    (void)state;
    struct ppo_training training = {
        .environment = "CartPole-v2", .slots = 4, .steps = 128, .total = 1000};
    ppo_defaults(PPO_CLEANRL, &training.config);
    refused(&training, RTC_E_NOT_FOUND, "CartPole-v2");
    training.environment = "Odd";
    refused(&training, RTC_E_INVALID, "one policy");
    training.environment = "Crowd";
    refused(&training, RTC_E_INVALID, "16 choices");
    training.environment = "CartPole-v1";
    training.options[0] = (struct rtc_env_option){.key = "gravity", .value = "9"};
    refused(&training, RTC_E_NOT_FOUND, "gravity");
    training.options[0].key = NULL;
    training.config.clip = -1;
    refused(&training, RTC_E_INVALID, "clip");
    training.config.clip = 0.2;
    training.total = 511;
    refused(&training, RTC_E_INVALID, "511");
    training.slots = 0;
    refused(&training, RTC_E_INVALID, "slots");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragments), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_repeats), cmocka_unit_test(test_two_cores),
        cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
