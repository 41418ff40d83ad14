/* What learning costs: see ppo.h. In a library of its own, because what it links (OpenBLAS) would
 * be loaded by every executor of the bench too. */
#include "tests/bench/ppo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "actors/nn/random.h"
#include "actors/ppo/trainer.h"

#define ROWS    128
#define SAMPLES 100000

struct shape {
    uint32_t seen, actions, hidden;
};
static const struct shape small = {4, 2, 64}, large = {33, 8, 256};

static double samples[SAMPLES];

static double median_us(double (*once)(void *arg), void *arg)
{
    size_t n = 0;
    for (int i = 0; i < 20; i++)
        once(arg);
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < SAMPLES; n++)
        samples[n] = once(arg) * 1e6;
    return bench_median(samples, n);
}

/* ---- One update of one minibatch ---- */

struct update {
    struct ppo *ppo;
    struct ppo_batch batch;
};

static double update_once(void *arg)
{
    struct update *u = arg;
    struct ppo_stats stats;
    double start = bench_now();
    ppo_update(u->ppo, &u->batch, 0, &stats);
    return bench_now() - start;
}

static double update_us(const struct shape *shape)
{
    static float seen[ROWS * 64], logp[ROWS], values[ROWS], advantages[ROWS], returns[ROWS];
    static int32_t actions[ROWS];
    struct ppo_config config;
    struct update u = {.batch = {.n = ROWS,
                                 .seen = seen,
                                 .actions = actions,
                                 .logp = logp,
                                 .values = values,
                                 .advantages = advantages,
                                 .returns = returns}};
    char why[256];
    uint64_t seed = 1;
    ppo_defaults(PPO_CLEANRL, &config);
    config.n_floats = shape->seen;
    config.choices = (struct nn_choices){1, shape->actions, {shape->actions}};
    config.hidden[0] = config.hidden[1] = shape->hidden;
    config.epochs = 1;
    config.minibatch = config.batch_max = ROWS;
    config.rate = (struct nn_schedule){.kind = NN_CONSTANT, .from = 1e-6};
    if (ppo_create(&config, nn_cpu_f32(), &u.ppo, why, sizeof(why)) < 0) {
        fprintf(stderr, "rtc-bench: %s\n", why);
        return NAN;
    }
    for (size_t i = 0; i < ROWS * shape->seen; i++)
        seen[i] = (float)nn_normal(&seed);
    ppo_act(u.ppo, ROWS, seen, NULL, false, actions, logp, values);
    for (int i = 0; i < ROWS; i++) {
        advantages[i] = (float)nn_normal(&seed);
        returns[i] = values[i] + advantages[i];
    }
    double us = median_us(update_once, &u);
    ppo_destroy(&u.ppo);
    return us;
}

/* ---- The same products by OpenBLAS, and nothing else ---- */

static float matrices[3][256 * 256];

static void product(enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb, uint32_t m, uint32_t n,
                    uint32_t k)
{
    cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, 1, matrices[0],
                (int)(ta == CblasTrans ? m : k), matrices[1], (int)(tb == CblasTrans ? k : n), 0,
                matrices[2], (int)n);
}

/* A layer there and back; the first has no gradient of what it sees. */
static void layer(uint32_t in, uint32_t out, bool first)
{
    product(CblasNoTrans, CblasNoTrans, ROWS, out, in);
    product(CblasTrans, CblasNoTrans, in, out, ROWS);
    if (!first)
        product(CblasNoTrans, CblasTrans, ROWS, in, out);
}

static double products_once(void *arg)
{
    const struct shape *shape = arg;
    double start = bench_now();
    for (int net = 0; net < 2; net++) {
        layer(shape->seen, shape->hidden, true);
        layer(shape->hidden, shape->hidden, false);
        layer(shape->hidden, net ? 1 : shape->actions, false);
    }
    return bench_now() - start;
}

static double products_us(const struct shape *shape)
{
    openblas_set_num_threads(1);
    for (size_t i = 0; i < 256 * 256; i++) {
        matrices[0][i] = (float)(i % 7);
        matrices[1][i] = (float)(i % 5);
    }
    return median_us(products_once, (void *)(uintptr_t)shape);
}

/* ---- CartPole from end to end ---- */

double load_ppo_cartpole_64(void)
{
    char why[256] = "";
    struct ppo_trainer *trainer;
    struct ppo_training training = {
        .environment = "CartPole-v1", .slots = 4, .steps = 128, .total = UINT64_C(1) << 40};
    struct ppo_progress progress;
    ppo_defaults(PPO_CLEANRL, &training.config);
    if (ppo_trainer_create(&training, &trainer, why, sizeof(why)) < 0) {
        fprintf(stderr, "rtc-bench: %s\n", why);
        return NAN;
    }
    int rc = 0;
    double start = bench_now(), n = 0;
    for (; rc >= 0 && bench_now() - start < bench_seconds; n += 512)
        rc = ppo_trainer_iterate(trainer, &progress, why, sizeof(why));
    n /= bench_now() - start;
    ppo_trainer_destroy(&trainer);
    return rc < 0 ? NAN : n;
}

double load_ppo_update_64(void)
{
    return update_us(&small);
}

double load_ppo_update_256(void)
{
    return update_us(&large);
}

double load_ppo_products_64(void)
{
    return products_us(&small);
}

double load_ppo_products_256(void)
{
    return products_us(&large);
}
