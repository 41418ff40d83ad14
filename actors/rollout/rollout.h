/* Rollout actors: each owns some slots of an environment and a policy, and gives fragments.
 *
 *   RTC_TRY(rollout_create(rtc, &options, NULL, &actor));
 *   RTC_TRY(rollout_collect(rtc, actor, version, weights, steps, &future));
 *   RTC_TRY(rtc_get(rtc, future, RTC_FOREVER, &value));
 *   RTC_TRY(rollout_result_of(&value, &result));        // result.fragment is in the object store
 *
 * An environment that fails makes the call fail with its sentence, and is opened again by the next
 * one. An actor that dies is the caller's to replace, or restarts (rtc_actor_options): then it has
 * other episodes than before. Errors of all: those of rtc/actor.h. Thread: that of the rtc handle.
 */
#ifndef ACTORS_ROLLOUT_ROLLOUT_H
#define ACTORS_ROLLOUT_ROLLOUT_H

#include <rtc/actor.h>

#include "actors/rollout/fragment.h"

struct rollout_options {
    const char *env;
    const struct rtc_env_config *config;
    const char *policy; /* registered in the actors' program */
    const void *policy_config;
    size_t policy_config_size;
    uint64_t seed;       /* see struct collect_options */
    uint32_t first_slot; /* of this actor's: no two of a run have the same slots */
    uint32_t groups;
};
int rollout_create(struct rtc *rtc, const struct rollout_options *options,
                   const struct rtc_actor_options *actor_options, rtc_actor *ret_actor);

/* What the environment is like, and how much the policy keeps of each row: the result is read with
 * rollout_description_of(). Ownership: *ret_spec is freed by the caller. */
int rollout_describe(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref);
int rollout_description_of(const struct rtc_value *value, struct rtc_env_spec **ret_spec,
                           size_t *ret_dist_size);

/* A fragment of so many steps, by the policy with these weights, an object of version `version`.
 * Ownership: *ret_ref is released by the caller, and with it the fragment. */
int rollout_collect(struct rtc *rtc, rtc_actor actor, uint32_t version, rtc_ref weights,
                    uint32_t steps, rtc_ref *ret_ref);
/* Gives back what the actor's process only keeps (malloc_trim). */
int rollout_trim(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref);
/* Whole episodes with the policy's best actions, in an environment of its own: the same ones for
 * the same seed and number of slots. Its result has no fragment. */
int rollout_evaluate(struct rtc *rtc, rtc_actor actor, uint32_t version, rtc_ref weights,
                     uint32_t episodes, uint64_t seed, rtc_ref *ret_ref);

/* Where its episodes are, as bytes; and a new actor of the same options brought there: it then gives
 * the fragments that the other one would have given. */
int rollout_save(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref);
int rollout_restore(struct rtc *rtc, rtc_actor actor, const void *data, size_t size,
                    rtc_ref *ret_ref);

struct rollout_episode {
    uint32_t slot, ends; /* enum rtc_env_ends */
    uint64_t number, seed;
};
/* Valid until the value is not. */
struct rollout_result {
    rtc_ref fragment; /* rtc_get() gives an array of bytes for fragment_read() */
    const struct rollout_episode *episodes;
    const double *sums; /* n_infos for each episode */
    size_t n_episodes, n_infos;
    /* Since the actor began; struct collect_counts. */
    int64_t rows, active, lost, opens, policy_ns, env_ns;
    char lost_why[256]; /* of the last that was lost; "" */
};
int rollout_result_of(const struct rtc_value *value, struct rollout_result *ret);

#endif
