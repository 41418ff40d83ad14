/* Policies: who acts in rollouts. A policy is known by its name, so that an actor in another
 * process finds the same one. Functions return 0, or rtc_env_fail(…). Thread: one at a time for
 * each `self`. */
#ifndef ACTORS_ROLLOUT_POLICY_H
#define ACTORS_ROLLOUT_POLICY_H

#include <rtc/env.h>

/* Rows to act on, from one time of one group of slots. */
struct rollout_batch {
    uint32_t n;
    const struct rtc_env_row *rows;
    const void *observations; /* spec->observation_size bytes each; zeros behind row->size */
    const uint8_t *masks;     /* spec->mask_size bytes each; NULL where no action is masked */
    uint64_t *random;         /* rtc_env_random() states, one for each slot: random[row->slot] */
    bool greedy;              /* the most probable action, the mean */
    bool values_only;         /* actions, log_probs and dists are NULL */
    void *actions;            /* spec->action_size bytes each */
    float *log_probs;         /* of the actions */
    float *values;            /* what is still to come, as the policy thinks */
    void *dists;              /* parameters of the distributions, dist_size bytes each */
};

struct rollout_policy {
    const char *name;
    /* config: what the driver gave to the actor, for instance which layers there are. The most rows
     * of a batch is known. ret_dist_size: bytes, a multiple of 4; 0: none are kept. */
    int (*open)(const struct rtc_env_spec *spec, const void *config, size_t config_size,
                uint32_t rows_max, void **ret_self, size_t *ret_dist_size);
    void (*close)(void *self);
    /* Before the first batch, and for each new version. Observation statistics are part of them. */
    int (*load)(void *self, const void *weights, size_t size);
    int (*act)(void *self, const struct rollout_batch *batch);
};

#define ROLLOUT_POLICIES_MAX 16
/* Ownership: borrowed for ever. Thread: before any is looked for. */
void rollout_policy_register(const struct rollout_policy *policy);
const struct rollout_policy *rollout_policy_find(const char *name);

#endif
