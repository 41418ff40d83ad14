/* The loss of a minibatch: what each row adds to it, and its derivatives. One variant for float and
 * one for double. */
#ifndef ACTORS_PPO_LOSS_H
#define ACTORS_PPO_LOSS_H

#include "actors/ppo/ppo.h"

struct ppo_loss {
    const struct ppo_config *config;
    double entropy_coef, kl_coef;
    size_t n, total;       /* rows; of the whole minibatch, of which means are */
    const uint32_t *index; /* of the rows in the batch */
    bool policy, value;    /* which parts of it: sums and derivatives of another stay as they are */
    const struct ppo_batch *batch;
    const float *advantages;
    double advantage_mean, advantage_scale; /* subtracted, then multiplied */
    /* The backend's elements, n each. */
    const void *logp, *entropy, *kl, *values;
    void *dlogp, *dentropy, *dkl, *dvalues;
};
struct ppo_sums {
    double policy, value, entropy, approx_kl, old_approx_kl, kl, clipped, value_clipped;
};
void ppo_loss_f32(const struct ppo_loss *loss, struct ppo_sums *ret_sums);
void ppo_loss_f64(const struct ppo_loss *loss, struct ppo_sums *ret_sums);

#endif
