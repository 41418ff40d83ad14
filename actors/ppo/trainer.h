/* PPO in one process: slots of an environment of rtc/env.h are stepped, and what they gave is
 * learnt from, in turn.
 *
 *   struct ppo_trainer *trainer;
 *   struct ppo_training training = {.environment = "CartPole-v1", .slots = 4, .steps = 128,
 *                                   .total = 500000};
 *   ppo_defaults(PPO_CLEANRL, &training.config);
 *   … ppo_trainer_create(&training, &trainer, why, sizeof(why)) …
 *   while (!ppo_trainer_done(trainer))
 *       ppo_trainer_iterate(trainer, &progress, why, sizeof(why));
 *
 * All agents have one policy: their kinds must see and do the same. Thread: one at a time. Blocks:
 * as long as the environment does. Errors: as in rtc/env.h and ppo.h, with a sentence in `why`. */
#ifndef ACTORS_PPO_TRAINER_H
#define ACTORS_PPO_TRAINER_H

#include <rtc/env.h>

#include "actors/ppo/ppo.h"

#define PPO_EPISODES 100 /* of which the mean return is kept */

struct ppo_training {
    const char *environment;
    struct rtc_env_option options[8]; /* ended by a key of NULL */
    uint32_t slots, steps;            /* a fragment: steps of each slot */
    uint64_t total;                   /* steps of slots until the end of the schedules */
    bool one_core; /* else two learn, where policy and value are apart: with the same bits */
    struct ppo_config config; /* what is seen and done, and batch_max, come from the environment */
};
struct ppo_progress {
    uint64_t iterations, steps, episodes;
    double mean_return, mean_length; /* of the last PPO_EPISODES episodes; NAN: none yet */
    double collect_s, update_s;      /* seconds of this iteration */
    struct ppo_stats stats;
};

struct ppo_trainer;

int ppo_trainer_create(const struct ppo_training *training, struct ppo_trainer **ret_trainer,
                       char *why, size_t why_size);
void ppo_trainer_destroy(struct ppo_trainer **trainer); /* NULL is fine */
/* A fragment and an update. */
int ppo_trainer_iterate(struct ppo_trainer *trainer, struct ppo_progress *ret_progress, char *why,
                        size_t why_size);
bool ppo_trainer_done(const struct ppo_trainer *trainer); /* no whole iteration is left */
struct ppo *ppo_trainer_ppo(struct ppo_trainer *trainer);

#endif
