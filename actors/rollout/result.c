#include "actors/rollout/result.h"

#include <stdio.h>

/* X(name): numbers in the order in which they travel */
#define NUMBERS(X) X(rows) X(active) X(lost) X(opens) X(policy_ns) X(env_ns)
enum { FRAGMENT, EPISODES, SUMS, LOST_WHY, NUMBERS_AT };
#define X(name) +1
#define N_ITEMS (NUMBERS_AT NUMBERS(X))
enum { ITEMS = N_ITEMS };
#undef X
#define EPISODE_WORDS ((int64_t)(sizeof(struct rollout_episode) / 8))
_Static_assert(sizeof(struct rollout_episode) % 8 == 0, "an array of u64");

int rollout_return(struct rtc_call *call, const struct rollout_result *r)
{
    struct rtc_array episodes = {.data = r->episodes,
                                 .size = r->n_episodes * sizeof(r->episodes[0]),
                                 .shape = {(int64_t)r->n_episodes, EPISODE_WORDS},
                                 .ndim = 2,
                                 .dtype = RTC_U64};
    struct rtc_array sums = {.data = r->sums,
                             .size = r->n_episodes * r->n_infos * sizeof(r->sums[0]),
                             .shape = {(int64_t)r->n_episodes, (int64_t)r->n_infos},
                             .ndim = 2,
                             .dtype = RTC_F64};
    struct rtc_value list[ITEMS] = {r->fragment.seq ? rtc_of_ref(r->fragment) : rtc_nil(),
                                    rtc_nd(&episodes), rtc_nd(&sums), rtc_str(r->lost_why)};
    size_t i = NUMBERS_AT;
#define X(name) list[i++] = rtc_i64(r->name);
    NUMBERS(X)
#undef X
    struct rtc_value value = rtc_list(list, i);
    return rtc_return(call, &value);
}

static int number(const struct rtc_value *list, size_t i, int64_t *ret)
{
    struct rtc_value item;
    RTC_TRY(rtc_value_at(list, i, &item));
    return rtc_value_i64(&item, ret);
}

static int array(const struct rtc_value *list, size_t i, struct rtc_array *ret)
{
    struct rtc_value item;
    RTC_TRY(rtc_value_at(list, i, &item));
    RTC_TRY(rtc_value_array(&item, ret));
    return ret->ndim == 2 && rtc_dtype_size(ret->dtype) == 8 ? 0 : RTC_E_TYPE;
}

int rollout_result_of(const struct rtc_value *value, struct rollout_result *ret)
{
    struct rtc_value item;
    struct rtc_array episodes, sums;
    const char *why;
    size_t len, i = NUMBERS_AT;
    *ret = (struct rollout_result){0};
    RTC_TRY(rtc_value_at(value, FRAGMENT, &item));
    if (item.type != RTC_NIL)
        RTC_TRY(rtc_value_ref(&item, &ret->fragment));
    RTC_TRY(array(value, EPISODES, &episodes));
    RTC_TRY(array(value, SUMS, &sums));
    if (episodes.shape[0] != sums.shape[0] || episodes.shape[1] != EPISODE_WORDS)
        return RTC_E_TYPE;
    ret->episodes = episodes.data;
    ret->sums = sums.data;
    ret->n_episodes = (size_t)episodes.shape[0];
    ret->n_infos = (size_t)sums.shape[1];
    RTC_TRY(rtc_value_at(value, LOST_WHY, &item));
    RTC_TRY(rtc_value_str(&item, &why, &len));
    snprintf(ret->lost_why, sizeof(ret->lost_why), "%.*s", (int)len, why);
#define X(name) RTC_TRY(number(value, i++, &ret->name));
    NUMBERS(X)
#undef X
    return 0;
}
