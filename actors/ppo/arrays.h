/* All of a learner that an update changes: for checkpoints. Three arrays of floats, parameters and
 * Adam's moments, and a few numbers. */
#ifndef ACTORS_PPO_ARRAYS_H
#define ACTORS_PPO_ARRAYS_H

#include "actors/ppo/ppo.h"

struct ppo_state {
    size_t n; /* parameters */
    float *parameters, *first, *second;
    uint64_t steps;             /* of Adam */
    uint64_t acting, shuffling; /* random states */
    double kl_coef;
};
/* Ownership: ppo_state_fini(). Errors: RTC_E_NOMEM. */
int ppo_state_get(struct ppo *ppo, struct ppo_state *ret);
/* Of a learner with the same networks: n is its own. */
void ppo_state_set(struct ppo *ppo, const struct ppo_state *state);
void ppo_state_fini(struct ppo_state *state);

#endif
