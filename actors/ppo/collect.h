/* Fragments: rows of an environment's slots with what became of them. */
#ifndef ACTORS_PPO_COLLECT_H
#define ACTORS_PPO_COLLECT_H

#include <rtc/env.h>

#include "actors/ppo/ppo.h"

struct ppo_collector {
    struct rtc_env *env;
    const struct rtc_env_spec *spec;
    struct ppo_config *config;
    uint32_t steps;
    uint32_t cap, final_cap; /* rows: of a fragment and those behind it; last observations */
    /* A row each. */
    float *seen, *rewards, *logp, *values, *last, *advantages, *returns;
    uint8_t *ends, *masks, *active;
    uint32_t *next, *finals;
    struct rtc_env_row *table;
    void *actions;
    float *clipped; /* what the environment gets of actions that it does not clip itself; NULL */
    /* Last observations. */
    float *final_seen, *final_values;
    struct rtc_env_row *final_table;
    struct rtc_env_episode *episodes;
    double *sums;
    void (*on_episode)(void *arg, const struct rtc_env_episode *episode, const double *sums);
    void (*on_soon)(void *arg); /* a few steps before the end; NULL */
    void *arg;
};

/* Fills what is seen and done. Errors: RTC_E_INVALID it cannot be learnt: the sentence says why. */
int ppo_fit(const struct rtc_env_spec *spec, struct ppo_config *config, char *why, size_t why_size);
/* Opens nothing: env is the caller's. Fills what is seen and done, and batch_max, of config. */
int ppo_collector_init(struct ppo_collector *c, struct rtc_env *env, uint32_t steps,
                       struct ppo_config *config, char *why, size_t why_size);
void ppo_collector_fini(struct ppo_collector *c);
/* The next `steps` steps of all slots, with advantages. *ret_batch: valid until the next call.
 * Errors: those of the environment, see rtc_env_error(). */
int ppo_collect(struct ppo_collector *c, struct ppo *ppo, struct ppo_batch *ret_batch);

#endif
