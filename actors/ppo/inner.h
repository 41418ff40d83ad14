/* What the parts of a learner share. */
#ifndef ACTORS_PPO_INNER_H
#define ACTORS_PPO_INNER_H

#include "actors/ppo/loss.h"
#include "actors/ppo/share.h"

struct ppo {
    struct ppo_config config;
    const struct nn_backend *backend;
    struct nn *nn;
    struct nn_learner learner;
    int seen, policy, value, log_sigma; /* nodes; log_sigma: -1 where actions are choices */
    int others, present;                /* nodes, with attention; then `seen` is the own row */
    uint32_t width;                     /* of the policy's output */
    size_t rows;                        /* of a pass, at most */
    double kl_coef;                     /* now */
    uint64_t act_state, shuffle_state;
    struct ppo_share share;
    bool parted; /* of two learners one has the policy, the other the value */
    /* Of a pass: `rows` each. */
    void *all, *old, *numbers; /* × width */
    void *logp, *entropy, *kl, *dlogp, *dentropy, *dkl;
    int32_t *chosen;
    uint8_t *masks;
    double *draws;
    float *row_floats;
    float *parts; /* with attention: rows, taken apart */
    /* Of an update: batch_max each. */
    void *old_all; /* × width, where there is a penalty */
    void *old_log_sigma;
    float *advantages;
    uint32_t *order;
};

/* see.c: the inputs; the layers over them, once for each network: returns the node where hidden layers
 * begin; and the rows that `index` names (NULL: the first n) into the inputs. */
int ppo_see_inputs(struct ppo *ppo);
int ppo_see_layers(struct ppo *ppo);
void ppo_see(struct ppo *ppo, const float *seen, const uint32_t *index, size_t n);

#endif
