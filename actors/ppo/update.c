/* The update: epochs of minibatches over a batch. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "actors/nn/random.h"
#include "actors/ppo/inner.h"

/* Mean, and sum of squares about it, of what the index names. */
static double spread(const float *x, const uint32_t *index, size_t n, double *ret_mean)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[index[i]];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[index[i]] - mean) * ((double)x[index[i]] - mean);
    *ret_mean = mean;
    return squares;
}

static double explained(const struct ppo_batch *batch, const uint32_t *index, size_t n)
{
    double mean, sum = 0, squares = 0;
    double total = spread(batch->returns, index, n, &mean);
    for (size_t i = 0; i < n; i++)
        sum += (double)batch->returns[index[i]] - (double)batch->values[index[i]];
    for (size_t i = 0; i < n; i++) {
        double off = (double)batch->returns[index[i]] - (double)batch->values[index[i]];
        squares += (off - sum / (double)n) * (off - sum / (double)n);
    }
    return total > 0 ? 1 - squares / total : NAN;
}

/* Rows of the batch into the network's input, and what goes with them beside it. */
static void gather(struct ppo *ppo, const struct ppo_batch *batch, const uint32_t *index, size_t n)
{
    const struct ppo_config *c = &ppo->config;
    const struct nn_backend *b = ppo->backend;
    size_t choices = c->choices.n;
    ppo_see(ppo, batch->seen, index, n);
    if (!choices)
        b->gather(ppo->numbers, batch->actions, c->n_numbers, index, n);
    for (size_t i = 0; choices && i < n; i++)
        memcpy(ppo->chosen + i * choices, (const int32_t *)batch->actions + index[i] * choices,
               choices * sizeof(int32_t));
    for (size_t i = 0; batch->masks && choices && i < n; i++)
        memcpy(ppo->masks + i * ppo->width, batch->masks + index[i] * (size_t)ppo->width,
               ppo->width);
}

/* What the policy is before the update, for the penalty. */
static void remember(struct ppo *ppo, const struct ppo_batch *batch)
{
    const struct nn_backend *b = ppo->backend;
    uint64_t nodes = nn_needs(ppo->nn, ppo->policy);
    for (size_t i = 0, n; i < batch->n; i += n) {
        void *to = (char *)ppo->old_all + i * ppo->width * b->element;
        n = batch->n - i < ppo->rows ? batch->n - i : ppo->rows;
        ppo_see(ppo, batch->seen + i * ppo->config.n_floats, NULL, n);
        nn_forward(ppo->nn, n, nodes);
        if (ppo->config.choices.n)
            b->categorical(&ppo->config.choices, n, nn_out(ppo->nn, ppo->policy),
                           batch->masks ? batch->masks + i * ppo->width : NULL, NULL, to, NULL,
                           NULL);
        else
            b->copy_columns(to, ppo->width, nn_out(ppo->nn, ppo->policy), ppo->width, ppo->width, n,
                            false);
    }
    if (ppo->log_sigma >= 0)
        b->copy_columns(ppo->old_log_sigma, ppo->width, nn_out(ppo->nn, ppo->log_sigma), ppo->width,
                        ppo->width, 1, false);
}

static void gather_old(struct ppo *ppo, const uint32_t *index, size_t n)
{
    size_t row = ppo->width * ppo->backend->element;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)ppo->old + i * row, (const char *)ppo->old_all + index[i] * row, row);
}

static void forward(struct ppo *ppo, const uint32_t *index, size_t n, bool masked, bool penalty)
{
    const struct nn_backend *b = ppo->backend;
    const void *out = nn_out(ppo->nn, ppo->policy);
    uint64_t nodes = nn_needs(ppo->nn, ppo->policy) | nn_needs(ppo->nn, ppo->value);
    const struct nn_choices *choices = &ppo->config.choices;
    nn_forward(ppo->nn, n, nodes);
    if (penalty)
        gather_old(ppo, index, n);
    if (choices->n) {
        b->categorical(choices, n, out, masked ? ppo->masks : NULL, ppo->chosen, ppo->all,
                       ppo->logp, ppo->entropy);
        if (penalty)
            b->categorical_kl(choices, n, ppo->old, ppo->all, ppo->kl);
        return;
    }
    const void *log_sigma = nn_out(ppo->nn, ppo->log_sigma);
    b->gaussian(n, ppo->width, out, log_sigma, ppo->numbers, ppo->logp, ppo->entropy);
    if (penalty)
        b->gaussian_kl(n, ppo->width, ppo->old, ppo->old_log_sigma, out, log_sigma, ppo->kl);
}

static void back(struct ppo *ppo, size_t n, bool penalty)
{
    const struct nn_backend *b = ppo->backend;
    const struct nn_choices *choices = &ppo->config.choices;
    const int heads[3] = {ppo->policy, ppo->value, ppo->log_sigma};
    void *dout = nn_grad(ppo->nn, ppo->policy);
    if (choices->n) {
        b->categorical_back(choices, n, ppo->all, ppo->chosen, ppo->dlogp, ppo->dentropy, dout);
        if (penalty)
            b->categorical_kl_back(choices, n, ppo->old, ppo->all, ppo->dkl, dout);
    } else {
        const void *out = nn_out(ppo->nn, ppo->policy), *s = nn_out(ppo->nn, ppo->log_sigma);
        void *ds = nn_grad(ppo->nn, ppo->log_sigma);
        b->gaussian_back(n, ppo->width, out, s, ppo->numbers, ppo->dlogp, ppo->dentropy, dout, ds);
        if (penalty)
            b->gaussian_kl_back(n, ppo->width, ppo->old, ppo->old_log_sigma, out, s, ppo->dkl, dout,
                                ds);
    }
    nn_back(ppo->nn, n, heads, choices->n ? 2 : 3, false);
}

static void standardise(const struct ppo *ppo, struct ppo_loss *loss)
{
    double squares, n = (double)loss->n;
    loss->advantage_scale = 1;
    if (ppo->config.advantages != PPO_IN_MINIBATCH || loss->n < 2)
        return;
    squares = spread(loss->advantages, loss->index, loss->n, &loss->advantage_mean);
    loss->advantage_scale = 1 / (sqrt(squares / (n - 1)) + 1e-8);
}

/* One step. Returns its mean of (ρ - 1) - log ρ. */
static double learn(struct ppo *ppo, struct ppo_loss *loss, struct ppo_stats *stats)
{
    double share = 1 / (double)loss->n;
    struct ppo_sums sums;
    gather(ppo, loss->batch, loss->index, loss->n);
    forward(ppo, loss->index, loss->n, loss->batch->masks != NULL, loss->kl != NULL);
    standardise(ppo, loss);
    if (ppo->backend->element == sizeof(double))
        ppo_loss_f64(loss, &sums);
    else
        ppo_loss_f32(loss, &sums);
    back(ppo, loss->n, loss->kl != NULL);
    double norm = nn_learner_step(&ppo->learner, stats->rate, ppo->config.norm_max);
    stats->minibatches++;
    stats->skipped += !isfinite(norm);
    stats->policy_loss += sums.policy * share;
    stats->value_loss += sums.value * share;
    stats->entropy += sums.entropy * share;
    stats->approx_kl += sums.approx_kl * share;
    stats->old_approx_kl += sums.old_approx_kl * share;
    stats->kl += sums.kl * share;
    stats->clip_fraction += sums.clipped * share;
    stats->value_clip_fraction += sums.value_clipped * share;
    stats->grad_norm += norm;
    return sums.approx_kl * share;
}

static void settle(struct ppo *ppo, struct ppo_stats *stats)
{
    double *const means[] = {&stats->policy_loss,   &stats->value_loss,          &stats->entropy,
                             &stats->approx_kl,     &stats->old_approx_kl,       &stats->kl,
                             &stats->clip_fraction, &stats->value_clip_fraction, &stats->grad_norm};
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]) && stats->minibatches; i++)
        *means[i] /= stats->minibatches;
    stats->loss = stats->policy_loss + ppo->config.value_coef * stats->value_loss -
                  stats->entropy_coef * stats->entropy + stats->kl_coef * stats->kl;
    if (ppo->kl_coef > 0 && stats->kl > 2 * ppo->config.kl_target)
        ppo->kl_coef *= 1.5;
    else if (ppo->kl_coef > 0 && stats->kl < 0.5 * ppo->config.kl_target)
        ppo->kl_coef *= 0.5;
}

/* Once for the batch: (A - mean) / max(1e-4, biased deviation). */
static void standardise_batch(struct ppo *ppo, const struct ppo_batch *batch, const uint32_t *index,
                              size_t n)
{
    double mean, deviation = sqrt(spread(batch->advantages, index, n, &mean) / (double)n);
    double scale = 1 / (deviation > 1e-4 ? deviation : 1e-4);
    for (size_t i = 0; i < n; i++)
        ppo->advantages[index[i]] = (float)(((double)batch->advantages[index[i]] - mean) * scale);
}

static void shuffle(uint32_t *order, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        uint32_t j = nn_below(state, (uint32_t)i), keep = order[i - 1];
        order[i - 1] = order[j];
        order[j] = keep;
    }
}

static size_t active_rows(struct ppo *ppo, const struct ppo_batch *batch)
{
    size_t n = 0;
    assert(batch->n <= ppo->config.batch_max);
    for (size_t i = 0; i < batch->n; i++) {
        if (!batch->active || batch->active[i])
            ppo->order[n++] = (uint32_t)i;
    }
    return n;
}

void ppo_update_in_order(struct ppo *ppo, const struct ppo_batch *batch, double progress,
                         const uint32_t *order, struct ppo_stats *ret_stats)
{
    const struct ppo_config *c = &ppo->config;
    size_t n = active_rows(ppo, batch), size = c->minibatch < n ? c->minibatch : n;
    struct ppo_stats stats = {.rate = nn_schedule_at(&c->rate, progress),
                              .entropy_coef = nn_schedule_at(&c->entropy, progress),
                              .kl_coef = ppo->kl_coef,
                              .explained_variance = NAN};
    struct ppo_loss loss = {.config = c,
                            .entropy_coef = stats.entropy_coef,
                            .kl_coef = stats.kl_coef,
                            .batch = batch,
                            .advantages = batch->advantages,
                            .logp = ppo->logp,
                            .entropy = ppo->entropy,
                            .kl = c->kl_coef > 0 ? ppo->kl : NULL,
                            .values = nn_out(ppo->nn, ppo->value),
                            .dlogp = ppo->dlogp,
                            .dentropy = ppo->dentropy,
                            .dkl = ppo->dkl,
                            .dvalues = nn_grad(ppo->nn, ppo->value)};
    if (n > 0)
        stats.explained_variance = explained(batch, ppo->order, n);
    if (n > 0 && c->advantages == PPO_IN_BATCH) {
        standardise_batch(ppo, batch, ppo->order, n);
        loss.advantages = ppo->advantages;
    }
    if (loss.kl)
        remember(ppo, batch);
    for (bool stop = n == 0; stats.epochs < c->epochs && !stop; stats.epochs++) {
        double kl = 0;
        if (!order)
            shuffle(ppo->order, n, &ppo->shuffle_state);
        loss.index = order ? order + stats.epochs * n : ppo->order;
        for (size_t i = 0; i < n && (n - i >= size || !c->drop_rest);
             i += size, loss.index += size) {
            loss.n = n - i < size ? n - i : size;
            kl = learn(ppo, &loss, &stats);
        }
        stop = c->target_kl > 0 && kl > c->target_kl;
    }
    settle(ppo, &stats);
    *ret_stats = stats;
}

void ppo_update(struct ppo *ppo, const struct ppo_batch *batch, double progress,
                struct ppo_stats *ret_stats)
{
    ppo_update_in_order(ppo, batch, progress, NULL, ret_stats);
}
