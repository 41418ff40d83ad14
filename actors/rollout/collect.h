/* Collecting: an environment and a policy, and the fragments that they make together.
 *
 * Slots are stepped in groups, by turns: while the policy acts for one group, the simulations of
 * the others run, where an environment's work is done elsewhere (rtc_env_begin()). What a slot does
 * depends on its seed and the policy alone, not on the number of groups or of other slots.
 *
 * Errors: those of rtc/env.h, with the sentence of rtc_env_error(). Thread: one at a time. */
#ifndef ACTORS_ROLLOUT_COLLECT_H
#define ACTORS_ROLLOUT_COLLECT_H

#include "actors/rollout/fragment.h"
#include "actors/rollout/policy.h"

#define COLLECT_GROUPS_MAX 8

struct collector;

struct collect_options {
    const char *env;
    const struct rtc_env_config *config; /* the slots stand there */
    const struct rollout_policy *policy;
    const void *policy_config;
    size_t policy_config_size;
    /* Of the episodes and of the policy's choices: slot i has those of (seed, first_slot + i). */
    uint64_t seed;
    uint32_t first_slot;
    uint32_t groups; /* 0 = 1; at most as many as slots */
    bool greedy;
};
/* What was done since the beginning. */
struct collect_counts {
    uint64_t rows, active; /* acted on */
    uint64_t episodes, lost;
    uint64_t opens;             /* of the environment: more than one when it failed */
    uint64_t policy_ns, env_ns; /* time in each, the waiting for simulations included */
};
/* Episodes that ended: in the order in which they did. */
struct collect_episodes {
    const struct rtc_env_episode *list; /* `why` is NULL */
    const double *sums;                 /* spec->n_infos for each */
    size_t n;
};

int collector_open(const struct collect_options *options, struct collector **ret);
void collector_close(struct collector **collector);
const struct rtc_env_spec *collector_spec(const struct collector *collector);
struct fragment_shape collector_shape(const struct collector *collector, uint32_t steps);
int collector_load(struct collector *collector, uint32_t version, const void *weights, size_t size);
/* Fills an empty fragment of collector_shape(). After an error of the environment the next call
 * opens it again, with other seeds. */
int collector_run(struct collector *collector, struct fragment *fragment);
/* Where its episodes are, between two runs; and a new one brought there, which then gives the same
 * fragments (replay.h). Ownership: *ret_data is freed by the caller. After an error of restore it
 * begins new episodes. */
int collector_save(struct collector *collector, void **ret_data, size_t *ret_size);
int collector_restore(struct collector *collector, const void *data, size_t size);
/* Valid until the next collector_run(), which begins a new list. */
struct collect_episodes collector_episodes(const struct collector *collector);
struct collect_counts collector_counts(const struct collector *collector);
/* Why an episode was lost last; "" when none was. */
const char *collector_lost(const struct collector *collector);

#endif
