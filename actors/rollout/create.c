/* The driver's side. */
#include <stdlib.h>

#include "actors/rollout/rollout.h"
#include "actors/rollout/spec.h"

int rollout_create(struct rtc *rtc, const struct rollout_options *options,
                   const struct rtc_actor_options *actor_options, rtc_actor *ret_actor)
{
    const struct rtc_env_config none = {0};
    const struct rtc_env_config *config = options->config ? options->config : &none;
    size_t n = 2 * config->n_options;
    struct rtc_value *texts = calloc(n + 1, sizeof(*texts));
    if (!texts)
        return RTC_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct rtc_env_option *option = &config->options[i / 2];
        texts[i] = rtc_str(i % 2 ? option->value : option->key);
    }
    int rc =
        rtc_actor_create(rtc, "rollout",
                         RTC_ARGS(rtc_str(options->env), rtc_list(texts, n),
                                  rtc_i64(config->slots ? config->slots : 1),
                                  rtc_i64(options->groups), rtc_i64((int64_t)options->seed),
                                  rtc_i64(options->first_slot), rtc_str(options->policy),
                                  rtc_bytes(options->policy_config, options->policy_config_size)),
                         actor_options, ret_actor);
    free(texts);
    return rc;
}

int rollout_describe(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref)
{
    return rtc_actor_call(rtc, actor, "describe", NULL, NULL, ret_ref);
}

int rollout_description_of(const struct rtc_value *value, struct rtc_env_spec **ret_spec,
                           size_t *ret_dist_size)
{
    struct rtc_value bytes, size;
    const void *data;
    size_t len;
    int64_t dist_size;
    RTC_TRY(rtc_value_at(value, 0, &bytes));
    RTC_TRY(rtc_value_bytes(&bytes, &data, &len));
    RTC_TRY(rtc_value_at(value, 1, &size));
    RTC_TRY(rtc_value_i64(&size, &dist_size));
    *ret_dist_size = (size_t)dist_size;
    return spec_unpack(data, len, ret_spec);
}

int rollout_collect(struct rtc *rtc, rtc_actor actor, uint32_t version, rtc_ref weights,
                    uint32_t steps, rtc_ref *ret_ref)
{
    return rtc_actor_call(rtc, actor, "collect",
                          RTC_ARGS(rtc_i64(version), rtc_of_ref(weights), rtc_i64(steps)), NULL,
                          ret_ref);
}

int rollout_save(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref)
{
    return rtc_actor_call(rtc, actor, "save", NULL, NULL, ret_ref);
}

int rollout_restore(struct rtc *rtc, rtc_actor actor, const void *data, size_t size,
                    rtc_ref *ret_ref)
{
    return rtc_actor_call(rtc, actor, "restore", RTC_ARGS(rtc_bytes(data, size)), NULL, ret_ref);
}

int rollout_trim(struct rtc *rtc, rtc_actor actor, rtc_ref *ret_ref)
{
    return rtc_actor_call(rtc, actor, "trim", NULL, NULL, ret_ref);
}

int rollout_evaluate(struct rtc *rtc, rtc_actor actor, uint32_t version, rtc_ref weights,
                     uint32_t episodes, uint64_t seed, rtc_ref *ret_ref)
{
    return rtc_actor_call(
        rtc, actor, "evaluate",
        RTC_ARGS(rtc_i64(version), rtc_of_ref(weights), rtc_i64(episodes), rtc_i64((int64_t)seed)),
        NULL, ret_ref);
}
