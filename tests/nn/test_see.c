/* Attention over what an agent sees: its derivatives through the whole loss, no order of those that
 * are seen, nothing of those that are not there; ragged observations of agents that come and go,
 * and that it learns from them. */
#include "actors/ppo/collect.h"
#include "actors/ppo/trainer.h"
#include "tests/nn/nets.h"

#define ROWS     24
#define ELEMENTS 5
#define ELEMENT  4
#define SEEN     (ELEMENTS * ELEMENT)

static struct ppo *create(const struct ppo_config *config, const struct nn_backend *backend)
{
    char why[256] = "";
    struct ppo *ppo = NULL;
    if (ppo_create(config, backend, &ppo, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    return ppo;
}

static void small(struct ppo_config *config, enum ppo_semantics semantics, bool chooses)
{
    ppo_defaults(semantics, config);
    config->n_floats = SEEN;
    config->elements = ELEMENTS;
    config->element = ELEMENT;
    config->attention_dim = 6;
    config->attention_heads = 2;
    config->n_hidden = 1;
    config->hidden[0] = 7;
    config->minibatch = config->batch_max = ROWS;
    config->epochs = 1;
    config->seed = 3;
    config->n_numbers = chooses ? 0 : 2;
    if (chooses)
        config->choices = (struct nn_choices){.n = 2, .width = 5, .sizes = {3, 2}};
}

/* Row i sees i modulo ELEMENTS others, at any places. */
static void draw_seen(float *seen, uint64_t *seed)
{
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < ELEMENTS; k++) {
            float *row = seen + i * SEEN + k * ELEMENT;
            bool there = k == 0 || (k + i) % ELEMENTS < i % ELEMENTS;
            row[0] = there ? 1 : 0;
            for (int j = 1; j < ELEMENT; j++)
                row[j] = (float)nn_normal(seed); /* also where nobody is */
        }
    }
}

/* ---- Derivatives ---- */

static double loss_of(struct ppo *ppo, const struct ppo_batch *batch, const uint32_t *order)
{
    struct ppo_stats stats;
    ppo_update_in_order(ppo, batch, 0, order, &stats);
    return stats.loss;
}

static void check_gradients(enum ppo_semantics semantics, bool chooses, bool shared)
{
    static float seen[ROWS * SEEN], logp[ROWS], values[ROWS], advantages[ROWS], returns[ROWS];
    static int32_t actions[ROWS * 2];
    struct ppo_config config;
    uint32_t order[ROWS];
    uint64_t seed = 11;
    small(&config, semantics, chooses);
    config.shared = shared;
    config.rate = (struct nn_schedule){.kind = NN_CONSTANT, .from = 1e-300}; /* nothing moves */
    config.norm_max = 0;
    struct ppo *ppo = create(&config, nn_cpu_f64());
    struct nn *nn = ppo_net(ppo);
    double *at = nn_params(nn);
    size_t n = nn_count(nn);
    for (size_t i = 0; i < n; i++) /* heads that begin near 0 would pass nothing back */
        at[i] += 0.3 * nn_normal(&seed);
    draw_seen(seen, &seed);
    ppo_act(ppo, ROWS, seen, NULL, false, actions, logp, values);
    for (int i = 0; i < ROWS; i++) {
        order[i] = (uint32_t)i;
        logp[i] += 0.05f * (float)nn_normal(&seed);
        advantages[i] = (float)nn_normal(&seed);
        returns[i] = values[i] + 0.5f * (float)nn_normal(&seed);
    }
    const struct ppo_batch batch = {.n = ROWS,
                                    .seen = seen,
                                    .actions = actions,
                                    .logp = logp,
                                    .values = values,
                                    .advantages = advantages,
                                    .returns = returns};
    loss_of(ppo, &batch, order);
    double *gradient = malloc(n * sizeof(*gradient)), biggest = 0;
    memcpy(gradient, nn_grads(nn), n * sizeof(*gradient));
    for (size_t i = 0; i < n; i++) {
        double h = 1e-6, kept = at[i];
        at[i] = kept + h;
        double more = loss_of(ppo, &batch, order);
        at[i] = kept - h;
        double less = loss_of(ppo, &batch, order);
        at[i] = kept;
        double expected = (more - less) / (2 * h);
        if (!(fabs(gradient[i] - expected) <= 1e-6 + 1e-5 * fabs(expected)))
            fail_msg("parameter %zu of %zu: %.9g, by differences %.9g", i, n, gradient[i],
                     expected);
        biggest = fmax(biggest, fabs(expected));
    }
    assert_true(biggest > 0.01);
    free(gradient);
    ppo_destroy(&ppo);
}

static void test_gradients(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++)
        check_gradients(k & 1 ? PPO_RLLIB : PPO_CLEANRL, k & 2, k & 4);
}

/* ---- What is seen ---- */

static void near_all(const float *a, const float *b, size_t n, double within)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)a[i] - (double)b[i]) <= within))
            fail_msg("%zu: %.9g is not %.9g", i, (double)a[i], (double)b[i]);
    }
}

static void test_order(void **state)
{
    (void)state;
    static float seen[ROWS * SEEN], other[ROWS * SEEN], values[ROWS], again[ROWS];
    float means[ROWS * 2], means_again[ROWS * 2];
    struct ppo_config config;
    uint64_t seed = 5;
    small(&config, PPO_CLEANRL, false);
    struct ppo *ppo = create(&config, nn_cpu_f32());
    draw_seen(seen, &seed);
    memcpy(other, seen, sizeof(seen));
    for (int i = 0; i < ROWS; i++) { /* round by 1 to 3 places */
        for (int k = 1; k < ELEMENTS; k++) {
            int to = 1 + (k + i % 3) % (ELEMENTS - 1);
            memcpy(other + i * SEEN + to * ELEMENT, seen + i * SEEN + k * ELEMENT,
                   ELEMENT * sizeof(float));
        }
    }
    ppo_act(ppo, ROWS, seen, NULL, true, means, NULL, values);
    ppo_act(ppo, ROWS, other, NULL, true, means_again, NULL, again);
    near_all(values, again, ROWS, 1e-6);
    near_all(means, means_again, ROWS * 2, 1e-6);
    /* what stands in rows of nobody is not looked at */
    for (int i = 0; i < ROWS * ELEMENTS; i++) {
        for (int j = 1; seen[i * ELEMENT] == 0 && j < ELEMENT; j++)
            seen[i * ELEMENT + j] = 1000;
    }
    ppo_values(ppo, ROWS, seen, again);
    assert_memory_equal(values, again, sizeof(values));
    /* what stands in those of somebody is */
    for (int i = 0; i < ROWS; i++)
        seen[i * SEEN + ELEMENT * (ELEMENTS - 1) + 1] += 1;
    ppo_values(ppo, ROWS, seen, again);
    assert_memory_not_equal(values, again, sizeof(values));
    ppo_destroy(&ppo);
}

/* ---- Crowds: up to three agents a slot, each sees 0 to 4 others in any order; exactly one of them
 * points to what is to be done ---- */

#define AGENTS 3
#define OTHERS 4

struct crowd {
    uint64_t chance;
    uint32_t n, ids, id[AGENTS], left[AGENTS], others[AGENTS], right[AGENTS], wanted[AGENTS];
    bool stepped;
};

static const uint32_t crowd_choices[] = {3};
static const struct rtc_env_kind crowd_kind = {
    .name = "one",
    .observation = {.n_floats = (1 + OTHERS) * 5, .ndim = 2, .shape = {1 + OTHERS, 5}},
    .action = {.n_choices = 1, .choices = crowd_choices},
};

static int crowd_open(const struct rtc_env_config *config, void *params,
                      struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->features = RTC_ENV_RAGGED;
    ret_spec->rows_max = AGENTS;
    ret_spec->n_kinds = 1;
    ret_spec->kinds = &crowd_kind;
    return 0;
}

static void arrive(struct crowd *c)
{
    while (c->n < AGENTS && nn_below(&c->chance, 3)) {
        c->id[c->n] = c->ids++;
        c->left[c->n++] = 1 + nn_below(&c->chance, 5);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        c->others[i] = nn_below(&c->chance, OTHERS + 1);
        c->right[i] = c->others[i] ? nn_below(&c->chance, c->others[i]) : 0;
        c->wanted[i] = c->others[i] ? nn_below(&c->chance, 3) : 0;
    }
}

static int crowd_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    *(struct crowd *)state = (struct crowd){.chance = seed};
    arrive(state);
    return 0;
}

static int crowd_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    (void)params;
    struct crowd *c = state;
    c->stepped = true;
    for (uint32_t i = 0; i < c->n; i++) {
        int32_t action;
        memcpy(&action, (const char *)turn->actions + i * turn->action_stride, sizeof(action));
        turn->rewards[i] = (uint32_t)action == c->wanted[i];
        turn->ends[i] = --c->left[i] == 0 ? RTC_ENV_TERMINATED : 0;
    }
    return 0;
}

/* Own row: present, then zeros; others: present, does it count, what it says as one of three. */
static void crowd_write(struct crowd *c, uint32_t i, float *to)
{
    memset(to, 0, (1 + c->others[i]) * 5 * sizeof(*to));
    to[0] = 1;
    for (uint32_t k = 0; k < c->others[i]; k++) {
        float *row = to + 5 * (1 + k);
        uint32_t says = k == c->right[i] ? c->wanted[i] : (c->wanted[i] + 1 + k % 2) % 3;
        row[0] = 1;
        row[1] = k == c->right[i];
        row[2 + says] = 1;
    }
}

static void add_row(struct crowd *c, uint32_t i, uint32_t slot, struct rtc_env_rows *rows)
{
    const struct rtc_env_row row = {.slot = slot,
                                    .agent = c->id[i],
                                    .flags = RTC_ENV_ACTIVE,
                                    .size = 4 * 5 * (1 + c->others[i])};
    float *to = rtc_env_row_add(rows, &row, NULL);
    if (to)
        crowd_write(c, i, to);
}

static int crowd_observe(const void *params, const void *state, uint32_t slot,
                         const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params;
    struct crowd *c = (struct crowd *)(uintptr_t)state;
    for (uint32_t i = 0; turn && i < c->n; i++) {
        if (turn->ends[i])
            add_row(c, i, slot, rows);
    }
    if (turn)
        return 0;
    if (c->stepped) { /* who ended is gone, others come */
        uint32_t kept = 0;
        for (uint32_t i = 0; i < c->n; i++) {
            if (c->left[i] > 0) {
                c->id[kept] = c->id[i];
                c->left[kept++] = c->left[i];
            }
        }
        c->n = kept;
        c->stepped = false;
        arrive(c);
    }
    for (uint32_t i = 0; i < c->n; i++)
        add_row(c, i, slot, rows);
    return 0;
}

static const struct rtc_env_single crowd = {
    .abi = RTC_ENV_ABI,
    .max_episode_steps = 30,
    .name = "Crowd",
    .about = "agents that see each other",
    .state_size = sizeof(struct crowd),
    .open = crowd_open,
    .reset = crowd_reset,
    .step = crowd_step,
    .observe = crowd_observe,
};
RTC_ENV(crowd)

/* ---- Fragments of them ---- */

struct rig {
    struct rtc_env *env;
    struct ppo_config config;
    struct ppo_collector collector;
    struct ppo *ppo;
};

static void rig_open(struct rig *rig, uint32_t slots, uint32_t steps, uint32_t dim)
{
    char why[256] = "";
    struct rtc_env_config config = {.slots = slots};
    assert_int_equal(rtc_env_open("Crowd", &config, &rig->env), 0);
    ppo_defaults(PPO_CLEANRL, &rig->config);
    rig->config.hidden[0] = rig->config.hidden[1] = 32;
    rig->config.attention_dim = dim;
    rig->config.attention_heads = 2;
    rig->config.gamma = 0.5;
    rig->config.bootstrap = true;
    rig->config.rate = (struct nn_schedule){.kind = NN_CONSTANT, .from = 3e-3};
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

/* Behind what a row has there are zeros, and where it goes on is its own agent. */
static void check_rows(const struct rig *rig, const struct ppo_batch *batch, uint32_t *ret_short)
{
    const struct ppo_collector *c = &rig->collector;
    for (uint32_t i = 0; i < batch->n; i++) {
        const float *row = batch->seen + (size_t)i * 25;
        uint32_t n = c->table[i].size / 20;
        for (uint32_t k = 0; k <= OTHERS; k++)
            assert_true(row[5 * k] == (k < n ? 1.0f : 0.0f));
        for (uint32_t k = 5 * n; k < 25; k++)
            assert_true(row[k] == 0);
        *ret_short += n < 1 + OTHERS;
        if (c->next[i] == RTC_ENV_NONE) {
            double after = c->ends[i] & RTC_ENV_TERMINATED ? 0 : (double)c->last[i];
            double want = (double)c->rewards[i] + 0.5 * after;
            assert_true(fabs((double)batch->returns[i] - want) < 1e-5);
        } else {
            assert_int_equal(c->table[i].agent, c->table[c->next[i]].agent);
            assert_int_equal(c->table[i].slot, c->table[c->next[i]].slot);
        }
    }
}

static double share_right(const struct rig *rig, const struct ppo_batch *batch)
{
    double right = 0;
    for (uint32_t i = 0; i < batch->n; i++)
        right += (double)rig->collector.rewards[i];
    return right / (double)batch->n;
}

/* With attention what one of them says is found wherever it stands. */
static void test_learning(void **state)
{
    (void)state;
    for (uint32_t dim = 0; dim <= 16; dim += 16) {
        struct rig rig = {0};
        struct ppo_batch batch;
        struct ppo_stats stats;
        uint32_t n_short = 0;
        double first = 0, last = 0;
        rig_open(&rig, 8, 64, dim);
        for (int fragment = 0; fragment < 60; fragment++) {
            assert_int_equal(ppo_collect(&rig.collector, rig.ppo, &batch), 0);
            check_rows(&rig, &batch, &n_short);
            first += fragment < 2 ? share_right(&rig, &batch) / 2 : 0;
            last += fragment >= 55 ? share_right(&rig, &batch) / 5 : 0;
            ppo_update(rig.ppo, &batch, 0, &stats);
            assert_int_equal(stats.skipped, 0);
        }
        assert_true(n_short > 1000);
        if (!(first < 0.7 && (dim == 0 || last > 0.95)))
            fail_msg("attention of %u: %.3f of the choices were right, then %.3f", dim, first,
                     last);
        rig_close(&rig);
    }
}

/* ---- What is refused ---- */

static void refused(const struct ppo_config *config, const char *words)
{
    char why[256] = "";
    struct ppo *ppo = NULL;
    assert_int_equal(ppo_create(config, nn_cpu_f32(), &ppo, why, sizeof(why)), RTC_E_INVALID);
    if (!strstr(why, words))
        fail_msg("\"%s\" does not speak of %s", why, words);
}

static void test_refusals(void **state)
{
    (void)state;
    struct ppo_config config;
#define REFUSED(change, words)         \
    small(&config, PPO_CLEANRL, true); \
    config.change;                     \
    refused(&config, words)
    REFUSED(elements = 1, "rows of an observation");
    REFUSED(element = 3, "rows of an observation");
    REFUSED(attention_heads = 4, "multiple of its heads");
    REFUSED(attention_heads = 0, "multiple of its heads");
    REFUSED(attention_dim = 5000, "4,096");
    char why[256] = "";
    struct rtc_env *env;
    struct ppo_collector collector;
    assert_int_equal(rtc_env_open("CartPole-v1", NULL, &env), 0);
    ppo_defaults(PPO_CLEANRL, &config);
    config.attention_dim = 8;
    assert_int_equal(ppo_collector_init(&collector, env, 8, &config, why, sizeof(why)),
                     RTC_E_INVALID);
    assert_non_null(strstr(why, "CartPole-v1 cannot be learnt by PPO: attention is over rows"));
    rtc_env_close(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
