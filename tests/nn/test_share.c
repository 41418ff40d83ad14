/* Several learners against one: the same gradients, and where networks are parted the same bits. */
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rtc/error.h>

#include "actors/nn/random.h"
#include "actors/ppo/inner.h"

#define ROWS  230
#define SEEN  5
#define MOST  4
#define ASIDE (1u << 16)

/* Threads in place of processes: what a group does, by a barrier and a place to put things. */
struct meeting {
    pthread_barrier_t barrier;
    uint32_t size;
    void *given[MOST];
    int fails_at, calls; /* a call that fails for all; 0: none */
};
struct member {
    struct meeting *meeting;
    uint32_t rank;
    struct ppo *ppo;
    struct ppo_batch batch;
    struct ppo_stats stats;
    int updates, rc;
    pthread_t thread;
};

static int join(void *arg, void *data, size_t n, size_t element)
{
    struct member *m = arg;
    double sums[ASIDE / 8];
    assert(n * 8 <= sizeof(sums));
    m->meeting->given[m->rank] = data;
    pthread_barrier_wait(&m->meeting->barrier);
    for (size_t i = 0; i < n; i++) {
        double x = 0;
        for (uint32_t r = 0; r < m->meeting->size; r++)
            x = element == 8 ? x + ((double *)m->meeting->given[r])[i]
                             : (double)((float)x + ((float *)m->meeting->given[r])[i]);
        sums[i] = x;
    }
    if (m->rank == 0)
        m->meeting->calls++;
    pthread_barrier_wait(&m->meeting->barrier);
    for (size_t i = 0; i < n; i++) {
        if (element == 8)
            ((double *)data)[i] = sums[i];
        else
            ((float *)data)[i] = (float)sums[i];
    }
    int fails = m->meeting->fails_at;
    return fails && m->meeting->calls >= fails ? RTC_E_CRASHED : 0;
}

static int spread(void *arg, void *data, size_t bytes, uint32_t root)
{
    struct member *m = arg;
    m->meeting->given[m->rank] = data;
    pthread_barrier_wait(&m->meeting->barrier);
    if (m->rank != root)
        memcpy(data, m->meeting->given[root], bytes);
    pthread_barrier_wait(&m->meeting->barrier);
    return 0;
}

static void *run(void *arg)
{
    struct member *m = arg;
    m->rc = 0;
    for (int i = 0; m->rc == 0 && i < m->updates; i++)
        m->rc = ppo_update(m->ppo, &m->batch, 0.1 * i, &m->stats);
    return NULL;
}

static void update_together(struct member *members, uint32_t size, bool by_rows, int fails_at)
{
    struct meeting meeting = {.size = size, .fails_at = fails_at};
    pthread_barrier_init(&meeting.barrier, NULL, size);
    for (uint32_t r = 0; r < size; r++) {
        struct member *m = &members[r];
        m->meeting = &meeting;
        m->rank = r;
        struct ppo_share share = {
            .rank = r, .size = size, .by_rows = by_rows, .sum = join, .spread = spread, .arg = m};
        ppo_share(m->ppo, &share);
        assert_int_equal(pthread_create(&m->thread, NULL, run, m), 0);
    }
    for (uint32_t r = 0; r < size; r++)
        pthread_join(members[r].thread, NULL);
    pthread_barrier_destroy(&meeting.barrier);
}

/* ---- One batch for all ---- */

static float seen[ROWS * SEEN], logp[ROWS], values[ROWS], advantages[ROWS], returns[ROWS];
static float numbers[ROWS * 2];
static int32_t actions[ROWS * 2];
static uint8_t active[ROWS], masks[ROWS * 6];

static struct ppo *create(const struct ppo_config *config, const struct nn_backend *backend)
{
    char why[256] = "";
    struct ppo *ppo = NULL;
    if (ppo_create(config, backend, &ppo, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    return ppo;
}

static struct ppo_batch draw(const struct ppo_config *config)
{
    struct ppo *ppo = create(config, nn_cpu_f32());
    bool chooses = config->choices.n > 0;
    uint64_t seed = 9;
    for (int i = 0; i < ROWS * SEEN; i++)
        seen[i] = (float)nn_normal(&seed);
    for (int i = 0; i < ROWS * 6; i++)
        masks[i] = i % 6 == 0 || i % 6 == 3 || nn_uniform(&seed) < 0.7;
    ppo_act(ppo, ROWS, seen, chooses ? masks : NULL, false,
            chooses ? (void *)actions : (void *)numbers, logp, values);
    for (int i = 0; i < ROWS; i++) {
        logp[i] += 0.1f * (float)nn_normal(&seed);
        advantages[i] = (float)nn_normal(&seed);
        returns[i] = values[i] + advantages[i];
        active[i] = i % 7 != 0;
    }
    ppo_destroy(&ppo);
    return (struct ppo_batch){.n = ROWS,
                              .seen = seen,
                              .masks = chooses ? masks : NULL,
                              .actions = chooses ? (void *)actions : (void *)numbers,
                              .logp = logp,
                              .values = values,
                              .advantages = advantages,
                              .returns = returns,
                              .active = active};
}

static void configure(struct ppo_config *c, enum ppo_semantics semantics, bool shared,
                      bool numbers_)
{
    ppo_defaults(semantics, c);
    c->n_floats = SEEN;
    if (numbers_)
        c->n_numbers = 2;
    else
        c->choices = (struct nn_choices){.n = 2, .width = 6, .sizes = {3, 3}};
    c->hidden[0] = 32;
    c->hidden[1] = 24;
    c->shared = shared;
    c->epochs = 3;
    c->minibatch = 64;
    c->batch_max = ROWS;
    c->rate.from = 1e-3;
    c->drop_rest = false;
    c->norm_max = semantics == PPO_CLEANRL ? 0.5 : 0;
}

static void open_members(struct member *m, uint32_t n, const struct ppo_config *c,
                         const struct nn_backend *backend, int updates)
{
    struct ppo_batch batch = draw(c);
    for (uint32_t r = 0; r < n; r++)
        m[r] = (struct member){.ppo = create(c, backend), .batch = batch, .updates = updates};
}

static void close_members(struct member *m, uint32_t n)
{
    for (uint32_t r = 0; r < n; r++)
        ppo_destroy(&m[r].ppo);
}

static double element(const void *data, size_t i, const struct nn_backend *b)
{
    return b->element == 8 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* ‖g - g₁‖ / ‖g₁‖ of a whole batch as one minibatch. */
static void expect_gradients(const struct ppo_config *config, const struct nn_backend *b)
{
    struct ppo_config c = *config;
    c.epochs = 1;
    c.minibatch = ROWS;
    for (uint32_t size = 1; size <= MOST; size++) {
        struct member one, many[MOST];
        open_members(&one, 1, &c, b, 1);
        open_members(many, size, &c, b, 1);
        run(&one);
        update_together(many, size, true, 0);
        double off = 0, norm = 0;
        for (size_t i = 0; i < nn_count(one.ppo->nn); i++) {
            double g = element(nn_grads(one.ppo->nn), i, b);
            double d = g - element(nn_grads(many[size - 1].ppo->nn), i, b);
            off += d * d;
            norm += g * g;
        }
        assert_true(norm > 0 && sqrt(off / norm) <= (b->element == 8 ? 1e-12 : 1e-6));
        assert_true(fabs(one.stats.loss - many[0].stats.loss) < 1e-6);
        close_members(&one, 1);
        close_members(many, size);
    }
}

/* Whole updates: all members have the same bits, and nearly those of one. */
static void expect_updates(const struct ppo_config *c, const struct nn_backend *b)
{
    for (uint32_t size = 2; size <= MOST; size++) {
        struct member one, many[MOST];
        open_members(&one, 1, c, b, 2);
        open_members(many, size, c, b, 2);
        run(&one);
        update_together(many, size, true, 0);
        size_t n = nn_count(one.ppo->nn);
        for (uint32_t r = 1; r < size; r++) {
            assert_memory_equal(nn_params(many[r].ppo->nn), nn_params(many[0].ppo->nn),
                                n * b->element);
            assert_memory_equal(&many[r].stats, &many[0].stats, sizeof(one.stats));
        }
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(element(nn_params(many[0].ppo->nn), i, b) -
                             element(nn_params(one.ppo->nn), i, b)) < 1e-4);
        assert_int_equal(one.stats.minibatches, many[0].stats.minibatches);
        assert_true(fabs(one.stats.kl - many[0].stats.kl) < 1e-5);
        close_members(&one, 1);
        close_members(many, size);
    }
}

static void rows_are_shared(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct ppo_config c;
        configure(&c, i & 1 ? PPO_RLLIB : PPO_CLEANRL, i & 2, i & 4);
        expect_gradients(&c, nn_cpu_f32());
        expect_gradients(&c, nn_cpu_f64());
        expect_updates(&c, nn_cpu_f32());
        expect_updates(&c, nn_cpu_f64());
    }
}

/* More learners than rows in the last minibatch: some have none. */
static void some_have_no_rows(void **state)
{
    (void)state;
    struct ppo_config c;
    configure(&c, PPO_CLEANRL, true, false);
    c.minibatch = 98; /* of 197: the last one has a row */
    expect_updates(&c, nn_cpu_f32());
}

static void two_part_the_networks(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct member one, two[2];
        struct ppo_config c;
        configure(&c, i & 1 ? PPO_RLLIB : PPO_CLEANRL, false, i & 2);
        c.target_kl = i & 4 ? 0.02 : 0;
        open_members(&one, 1, &c, nn_cpu_f32(), 3);
        open_members(two, 2, &c, nn_cpu_f32(), 3);
        run(&one);
        update_together(two, 2, false, 0);
        size_t n = nn_count(one.ppo->nn) * sizeof(float);
        for (int r = 0; r < 2; r++) {
            assert_int_equal(two[r].rc, 0);
            assert_memory_equal(nn_params(two[r].ppo->nn), nn_params(one.ppo->nn), n);
            assert_memory_equal(two[r].ppo->learner.moments, one.ppo->learner.moments, 2 * n);
            assert_memory_equal(&two[r].stats, &one.stats, sizeof(one.stats));
            assert_true(two[r].ppo->kl_coef == one.ppo->kl_coef);
        }
        close_members(&one, 1);
        close_members(two, 2);
    }
}

static void a_sum_fails(void **state)
{
    (void)state;
    for (int by_rows = 0; by_rows < 2; by_rows++) {
        struct ppo_config c;
        struct member m[2];
        configure(&c, PPO_RLLIB, false, false);
        open_members(m, 2, &c, nn_cpu_f32(), 1);
        update_together(m, 2, by_rows, 3);
        assert_int_equal(m[0].rc, RTC_E_CRASHED);
        assert_int_equal(m[1].rc, RTC_E_CRASHED);
        close_members(m, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_shared), cmocka_unit_test(some_have_no_rows),
        cmocka_unit_test(two_part_the_networks), cmocka_unit_test(a_sum_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
