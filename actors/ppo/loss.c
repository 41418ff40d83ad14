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

void NN_JOIN(ppo_loss, NN_SUFFIX)(const struct ppo_loss *loss, struct ppo_sums *ret_sums)
{
    const struct ppo_config *c = loss->config;
    struct ppo_sums sums = {0};
    real share = 1 / (real)loss->n, clip = (real)c->clip;
    real mean = (real)loss->advantage_mean, scale = (real)loss->advantage_scale;
    for (size_t i = 0; i < loss->n; i++) {
        uint32_t at = loss->index[i];
        real log_ratio = ((const real *)loss->logp)[i] - loss->batch->logp[at];
        real ratio = real_exp(log_ratio), slope, value_slope;
        bool clipped, value_clipped;
        real value = ((const real *)loss->values)[i];
        sums.policy +=
            (double)surrogate(ratio, (loss->advantages[at] - mean) * scale, clip, &slope, &clipped);
        sums.value += (double)value_loss(c, value, loss->batch->values[at],
                                         loss->batch->returns[at], &value_slope, &value_clipped);
        ((real *)loss->dlogp)[i] = slope * share;
        ((real *)loss->dentropy)[i] = -(real)loss->entropy_coef * share;
        ((real *)loss->dvalues)[i] = (real)c->value_coef * value_slope * share;
        if (loss->kl) {
            sums.kl += (double)((const real *)loss->kl)[i];
            ((real *)loss->dkl)[i] = (real)loss->kl_coef * share;
        }
        sums.entropy += (double)((const real *)loss->entropy)[i];
        sums.old_approx_kl -= (double)log_ratio;
        sums.approx_kl += (double)(ratio - 1 - log_ratio);
        sums.clipped += clipped;
        sums.value_clipped += value_clipped;
    }
    *ret_sums = sums;
}
