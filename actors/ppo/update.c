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

/* What the policy is before the update, for the penalty. Learners take passes by turns. */
static int remember(struct ppo *ppo, const struct ppo_batch *batch)
{
    const struct nn_backend *b = ppo->backend;
    uint64_t nodes = nn_needs(ppo->nn, ppo->policy);
    uint32_t turn = 0, learners = ppo->share.size > 1 ? ppo->share.size : 1;
    for (size_t i = 0, n; i < batch->n; i += n, turn++) {
        void *to = (char *)ppo->old_all + i * ppo->width * b->element;
        n = batch->n - i < ppo->rows ? batch->n - i : ppo->rows;
        if (turn % learners != ppo->share.rank) {
            b->fill(to, 0, n * ppo->width);
            continue;
        }
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
    return ppo_join_elements(ppo, ppo->old_all, batch->n * ppo->width);
}

static void gather_old(struct ppo *ppo, const uint32_t *index, size_t n)
{
    size_t row = ppo->width * ppo->backend->element;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)ppo->old + i * row, (const char *)ppo->old_all + index[i] * row, row);
}

static void forward(struct ppo *ppo, const struct ppo_loss *loss)
{
    const struct nn_backend *b = ppo->backend;
    const void *out = nn_out(ppo->nn, ppo->policy);
    const uint32_t *index = loss->index;
    const struct nn_choices *choices = &ppo->config.choices;
    size_t n = loss->n;
    bool masked = loss->batch->masks != NULL, penalty = loss->kl != NULL;
    nn_forward(ppo->nn, n,
               (loss->policy ? nn_needs(ppo->nn, ppo->policy) : 0) |
                   (loss->value ? nn_needs(ppo->nn, ppo->value) : 0));
    if (!loss->policy)
        return;
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

/* From the derivatives of the distribution to those of what the network gives. */
static void policy_back(struct ppo *ppo, size_t n, bool penalty)
{
    const struct nn_backend *b = ppo->backend;
    const struct nn_choices *choices = &ppo->config.choices;
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
}

static void back(struct ppo *ppo, const struct ppo_loss *loss)
{
    int heads[3];
    size_t n = 0;
    if (loss->policy) {
        policy_back(ppo, loss->n, loss->kl != NULL);
        heads[n++] = ppo->policy;
    }
    if (loss->policy && ppo->log_sigma >= 0)
        heads[n++] = ppo->log_sigma;
    if (loss->value)
        heads[n++] = ppo->value;
    nn_back(ppo->nn, loss->n, heads, n, false);
}

static void standardise(const struct ppo *ppo, struct ppo_loss *loss, const uint32_t *index,
                        size_t n)
{
    loss->advantage_scale = 1;
    if (ppo->config.advantages != PPO_IN_MINIBATCH || n < 2)
        return;
    double squares = spread(loss->advantages, index, n, &loss->advantage_mean);
    loss->advantage_scale = 1 / (sqrt(squares / (double)(n - 1)) + 1e-8);
}

static void add_up(struct ppo_stats *stats, const struct ppo_sums *sums, double share)
{
    stats->policy_loss += sums->policy * share;
    stats->value_loss += sums->value * share;
    stats->entropy += sums->entropy * share;
    stats->approx_kl += sums->approx_kl * share;
    stats->old_approx_kl += sums->old_approx_kl * share;
    stats->kl += sums->kl * share;
    stats->clip_fraction += sums->clipped * share;
    stats->value_clip_fraction += sums->value_clipped * share;
}

/* One step. *ret_kl: the part of its mean of (ρ - 1) - log ρ that is this learner's. */
static int learn(struct ppo *ppo, struct ppo_loss *loss, const uint32_t *index, size_t n,
                 struct ppo_stats *stats, double *ret_kl)
{
    struct ppo_part part = ppo_part_of(ppo, n);
    struct ppo_sums sums = {0};
    double squares[NN_NODES_MAX], share = 1 / (double)n;
    standardise(ppo, loss, index, n);
    loss->index = index + part.first;
    loss->n = part.n;
    loss->total = n;
    loss->policy = part.policy;
    loss->value = part.value;
    if (part.n > 0) {
        gather(ppo, loss->batch, loss->index, loss->n);
        forward(ppo, loss);
        if (ppo->backend->element == sizeof(double))
            ppo_loss_f64(loss, &sums);
        else
            ppo_loss_f32(loss, &sums);
        back(ppo, loss);
    } else {
        ppo->backend->fill(nn_grads(ppo->nn), 0, nn_count(ppo->nn));
    }
    int rc = ppo_join_gradients(ppo, &part, squares);
    if (rc < 0)
        return rc;
    double norm =
        nn_learner_move(&ppo->learner, part.nodes, squares, stats->rate, ppo->config.norm_max);
    stats->minibatches++;
    stats->skipped += !isfinite(norm);
    stats->grad_norm += norm;
    add_up(stats, &sums, share);
    *ret_kl = sums.approx_kl * share;
    return 0;
}

/* Sums of all learners. */
static int join_stats(struct ppo *ppo, struct ppo_stats *stats)
{
    double *const each[] = {&stats->policy_loss,   &stats->value_loss,         &stats->entropy,
                            &stats->approx_kl,     &stats->old_approx_kl,      &stats->kl,
                            &stats->clip_fraction, &stats->value_clip_fraction};
    double all[sizeof(each) / sizeof(each[0])];
    const size_t n = sizeof(each) / sizeof(each[0]);
    for (size_t i = 0; i < n; i++)
        all[i] = *each[i];
    int rc = ppo_join_numbers(ppo, all, n);
    for (size_t i = 0; i < n; i++)
        *each[i] = all[i];
    return rc;
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

/* The epochs. */
static int learn_all(struct ppo *ppo, struct ppo_loss *loss, size_t n, const uint32_t *order,
                     struct ppo_stats *stats)
{
    const struct ppo_config *c = &ppo->config;
    size_t size = c->minibatch < n ? c->minibatch : n;
    for (bool stop = n == 0; stats->epochs < c->epochs && !stop; stats->epochs++) {
        double kl = 0;
        if (!order)
            shuffle(ppo->order, n, &ppo->shuffle_state);
        const uint32_t *index = order ? order + stats->epochs * n : ppo->order;
        int rc = 0;
        for (size_t i = 0; rc >= 0 && i < n && (n - i >= size || !c->drop_rest); i += size)
            rc = learn(ppo, loss, index + i, n - i < size ? n - i : size, stats, &kl);
        if (rc >= 0 && c->target_kl > 0)
            rc = ppo_join_numbers(ppo, &kl, 1);
        if (rc < 0)
            return rc;
        stop = c->target_kl > 0 && kl > c->target_kl;
    }
    int rc = join_stats(ppo, stats);
    return rc < 0 ? rc : ppo_join_parts(ppo);
}

int ppo_update_in_order(struct ppo *ppo, const struct ppo_batch *batch, double progress,
                        const uint32_t *order, struct ppo_stats *ret_stats)
{
    const struct ppo_config *c = &ppo->config;
    size_t n = active_rows(ppo, batch);
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
    int rc = loss.kl ? remember(ppo, batch) : 0;
    if (rc >= 0)
        rc = learn_all(ppo, &loss, n, order, &stats);
    if (rc < 0)
        return rc;
    settle(ppo, &stats);
    *ret_stats = stats;
    return 0;
}

int ppo_update(struct ppo *ppo, const struct ppo_batch *batch, double progress,
               struct ppo_stats *ret_stats)
{
    return ppo_update_in_order(ppo, batch, progress, NULL, ret_stats);
}
