/* The learner's networks as a policy of rollouts (actors/rollout/policy.h), named "ppo". Its config
 * is a struct ppo_config in which what is seen and done is filled when it is opened; its weights
 * are the parameters, as floats. */
#ifndef ACTORS_PPO_ACT_H
#define ACTORS_PPO_ACT_H

#include "actors/ppo/ppo.h"
#include "actors/rollout/policy.h"

/* Registered by a constructor of this library. */
extern const struct rollout_policy ppo_policy;

size_t ppo_weights_size(struct ppo *ppo); /* bytes */
void ppo_weights_get(struct ppo *ppo, float *to);
void ppo_weights_set(struct ppo *ppo, const float *from);

#endif
