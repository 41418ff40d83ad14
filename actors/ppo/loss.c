/* Compiled for float and for double; sums are in double precision, in the order of the rows. */
#include "actors/ppo/loss.h"

#include "actors/nn/functions.h"

/* -min(ρ A, clip(ρ) A) and its derivative by log ρ. */
static real surrogate(real ratio, real advantage, real clip, real *ret_slope, bool *ret_clipped)
{
    real least = 1 - clip, most = 1 + clip;
    real inside = ratio < least ? least : ratio > most ? most : ratio;
    real plain = -advantage * ratio, clipped = -advantage * inside;
    bool blocked = clipped > plain;
    *ret_slope = blocked ? 0 : plain;
    *ret_clipped = inside != ratio;
    return blocked ? clipped : plain;
}

/* The loss of one value and its derivative. Where both sides of a maximum are equal, each has half
 * of the derivative. */
static real value_loss(const struct ppo_config *c, real value, real old, real goal, real *ret_slope,
                       bool *ret_clipped)
{
    real off = value - goal, square = off * off;
    *ret_clipped = false;
    if (c->value_loss == PPO_VALUE_BOUNDED) {
        *ret_clipped = square > (real)c->value_clip;
        *ret_slope = *ret_clipped ? 0 : 2 * off;
        return *ret_clipped ? (real)c->value_clip : square;
    }
    *ret_slope = off;
    if (c->value_loss == PPO_VALUE_PLAIN)
        return square / 2;
    real clip = (real)c->clip, moved = value - old;
    real near = old + (moved < -clip ? -clip : moved > clip ? clip : moved);
    real bounded = (near - goal) * (near - goal);
    if (moved >= -clip && moved <= clip)
        return square / 2;
    *ret_clipped = bounded > square;
    *ret_slope = bounded > square ? 0 : bounded == square ? off / 2 : off;
    return (bounded > square ? bounded : square) / 2;
}

static void policy_rows(const struct ppo_loss *loss, struct ppo_sums *sums)
{
    real share = 1 / (real)loss->total, clip = (real)loss->config->clip;
    real mean = (real)loss->advantage_mean, scale = (real)loss->advantage_scale;
    for (size_t i = 0; i < loss->n; i++) {
        uint32_t at = loss->index[i];
        real log_ratio = ((const real *)loss->logp)[i] - loss->batch->logp[at];
        real ratio = real_exp(log_ratio), slope;
        bool clipped;
        sums->policy +=
            (double)surrogate(ratio, (loss->advantages[at] - mean) * scale, clip, &slope, &clipped);
        ((real *)loss->dlogp)[i] = slope * share;
        ((real *)loss->dentropy)[i] = -(real)loss->entropy_coef * share;
        if (loss->kl) {
            sums->kl += (double)((const real *)loss->kl)[i];
            ((real *)loss->dkl)[i] = (real)loss->kl_coef * share;
        }
        sums->entropy += (double)((const real *)loss->entropy)[i];
        sums->old_approx_kl -= (double)log_ratio;
        sums->approx_kl += (double)(ratio - 1 - log_ratio);
        sums->clipped += clipped;
    }
}

static void value_rows(const struct ppo_loss *loss, struct ppo_sums *sums)
{
    const struct ppo_config *c = loss->config;
    real share = 1 / (real)loss->total;
    for (size_t i = 0; i < loss->n; i++) {
        uint32_t at = loss->index[i];
        real slope, value = ((const real *)loss->values)[i];
        bool clipped;
        sums->value += (double)value_loss(c, value, loss->batch->values[at],
                                          loss->batch->returns[at], &slope, &clipped);
        ((real *)loss->dvalues)[i] = (real)c->value_coef * slope * share;
        sums->value_clipped += clipped;
    }
}

void NN_JOIN(ppo_loss, NN_SUFFIX)(const struct ppo_loss *loss, struct ppo_sums *ret_sums)
{
    struct ppo_sums sums = {0};
    if (loss->policy)
        policy_rows(loss, &sums);
    if (loss->value)
        value_rows(loss, &sums);
    *ret_sums = sums;
}
