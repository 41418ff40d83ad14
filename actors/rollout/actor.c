/* The actor's side: a collector, and one more for each evaluation. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <rtc/actor.h>

#include "actors/rollout/collect.h"
#include "actors/rollout/result.h"
#include "actors/rollout/spec.h"

#define OPTIONS_MAX    256
#define EVALUATE_STEPS 64 /* of an evaluation at a time */

struct rollout {
    struct collector *collector;
    struct collect_options options; /* what it was opened with; all it points to is owned */
    struct rtc_env_config config;
    uint32_t version;
    bool loaded;
};

static int fail(struct rtc_call *call, int rc)
{
    return rtc_fail(call, rc, "%s", rtc_env_error());
}

/* ---- Life ---- */

/* A list of keys and values, one after the other. */
static int read_config(struct rtc_call *call, struct rtc_env_config *config)
{
    struct rtc_value list, item;
    int64_t slots;
    RTC_TRY(rtc_arg(call, 1, &list));
    RTC_TRY(rtc_arg_i64(call, 2, &slots));
    size_t n = rtc_value_len(&list) / 2;
    if (n > OPTIONS_MAX || slots < 1 || slots > RTC_ENV_SLOTS_MAX)
        return rtc_fail(call, RTC_E_INVALID, "%zu options, %lld slots: that cannot be", n,
                        (long long)slots);
    struct rtc_env_option *options = calloc(n + 1, sizeof(*options));
    if (!options)
        return rtc_fail(call, RTC_E_NOMEM, "out of memory");
    *config = (struct rtc_env_config){
        .slots = (uint32_t)slots, .options = n ? options : NULL, .n_options = n};
    for (size_t i = 0; i < 2 * n; i++) {
        const char *text;
        size_t len;
        RTC_TRY(rtc_value_at(&list, i, &item));
        RTC_TRY(rtc_value_str(&item, &text, &len));
        *(i % 2 ? &options[i / 2].value : &options[i / 2].key) = strndup(text, len);
    }
    return 0;
}

static int init(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    struct collect_options *options = &self->options;
    const char *env, *policy;
    const void *config;
    int64_t groups, seed, first_slot;
    RTC_TRY(rtc_arg_str(call, 0, &env, NULL));
    RTC_TRY(read_config(call, &self->config));
    RTC_TRY(rtc_arg_i64(call, 3, &groups));
    RTC_TRY(rtc_arg_i64(call, 4, &seed));
    RTC_TRY(rtc_arg_i64(call, 5, &first_slot));
    RTC_TRY(rtc_arg_str(call, 6, &policy, NULL));
    RTC_TRY(rtc_arg_bytes(call, 7, &config, &options->policy_config_size));
    options->policy = rollout_policy_find(policy);
    if (!options->policy)
        return rtc_fail(call, RTC_E_NOT_FOUND, "this program has no policy \"%s\"", policy);
    void *copy = malloc(options->policy_config_size + 1);
    options->env = strdup(env);
    if (!copy || !options->env)
        return rtc_fail(call, RTC_E_NOMEM, "out of memory");
    memcpy(copy, config, options->policy_config_size);
    options->policy_config = copy;
    options->config = &self->config;
    /* Started again, it has other episodes: those that it gave are not to be given twice. */
    options->seed = rtc_env_seed((uint64_t)seed, rtc_self_incarnation(call) - 1);
    options->first_slot = (uint32_t)first_slot;
    options->groups = (uint32_t)groups;
    int rc = collector_open(options, &self->collector);
    return rc < 0 ? fail(call, rc) : 0;
}

static void drop(void *state)
{
    struct rollout *self = state;
    collector_close(&self->collector);
}

/* ---- Methods ---- */

static int describe(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    struct fragment_shape shape = collector_shape(self->collector, 1);
    void *bytes;
    size_t size;
    int rc = spec_pack(collector_spec(self->collector), &bytes, &size);
    if (rc < 0)
        return fail(call, rc);
    struct rtc_value list[] = {rtc_bytes(bytes, size), rtc_i64(shape.dist_size)};
    struct rtc_value value = rtc_list(list, 2);
    rc = rtc_return(call, &value);
    free(bytes);
    return rc;
}

static int load(struct rtc_call *call, struct collector *collector, uint32_t *ret_version)
{
    int64_t version;
    struct rtc_array weights;
    RTC_TRY(rtc_arg_i64(call, 0, &version));
    RTC_TRY(rtc_arg_array(call, 1, &weights));
    *ret_version = (uint32_t)version;
    int rc = collector_load(collector, *ret_version, weights.data, weights.size);
    return rc < 0 ? fail(call, rc) : 0;
}

static int load_new(struct rtc_call *call, struct rollout *self)
{
    int64_t version;
    RTC_TRY(rtc_arg_i64(call, 0, &version));
    if (self->loaded && self->version == (uint32_t)version)
        return 0;
    RTC_TRY(load(call, self->collector, &self->version));
    self->loaded = true;
    return 0;
}

static int give(struct rtc_call *call, const struct rollout *self, rtc_ref fragment,
                const struct rollout_episode *episodes, const double *sums, size_t n)
{
    struct collect_counts counts = collector_counts(self->collector);
    struct rollout_result result = {.fragment = fragment,
                                    .episodes = episodes,
                                    .sums = sums,
                                    .n_episodes = n,
                                    .n_infos = collector_spec(self->collector)->n_infos,
                                    .rows = (int64_t)counts.rows,
                                    .active = (int64_t)counts.active,
                                    .lost = (int64_t)counts.lost,
                                    .opens = (int64_t)counts.opens,
                                    .policy_ns = (int64_t)counts.policy_ns,
                                    .env_ns = (int64_t)counts.env_ns};
    snprintf(result.lost_why, sizeof(result.lost_why), "%s", collector_lost(self->collector));
    return rollout_return(call, &result);
}

static struct rollout_episode episode_of(const struct rtc_env_episode *e)
{
    return (struct rollout_episode){e->slot, e->ends, e->number, e->seed};
}

static int give_fragment(struct rtc_call *call, const struct rollout *self, rtc_ref fragment)
{
    struct collect_episodes all = collector_episodes(self->collector);
    struct rollout_episode *episodes = calloc(all.n + 1, sizeof(*episodes));
    if (!episodes)
        return rtc_fail(call, RTC_E_NOMEM, "out of memory");
    for (size_t i = 0; i < all.n; i++)
        episodes[i] = episode_of(&all.list[i]);
    int rc = give(call, self, fragment, episodes, all.sums, all.n);
    free(episodes);
    return rc;
}

/* The fragment is made where it stays: in the object store. */
static int collect(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    struct fragment fragment;
    int64_t steps;
    void *block;
    rtc_ref ref;
    RTC_TRY(load_new(call, self));
    RTC_TRY(rtc_arg_i64(call, 2, &steps));
    struct fragment_shape shape =
        collector_shape(self->collector, steps > 0 && steps <= INT32_MAX ? (uint32_t)steps : 0);
    int64_t size = (int64_t)fragment_size(&shape);
    if (size == 0 || shape.steps == 0)
        return rtc_fail(call, RTC_E_INVALID, "a fragment cannot have %lld steps", (long long)steps);
    RTC_TRY(rtc_create(rtc, RTC_U8, &size, 1, &block, &ref));
    fragment_make(block, &shape, &fragment);
    int rc = collector_run(self->collector, &fragment);
    RTC_TRY(rtc_seal(rtc, ref));
    rc = rc < 0 ? fail(call, rc) : give_fragment(call, self, ref);
    int released = rtc_release(rtc, ref);
    return rc < 0 ? rc : released;
}

static int save(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    void *data;
    size_t size;
    int rc = collector_save(self->collector, &data, &size);
    if (rc < 0)
        return fail(call, rc);
    rc = rtc_return_bytes(call, data, size);
    free(data);
    return rc;
}

static int restore(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    int rc = collector_restore(self->collector, data, size);
    return rc < 0 ? fail(call, rc) : rtc_return_i64(call, 0);
}

static int trim(struct rtc_call *call)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
    return rtc_return_i64(call, 0);
}

/* ---- Evaluation ---- */

/* Episode i is number i / slots of slot i % slots. */
struct evaluation {
    uint32_t n, slots, n_infos;
    uint32_t done;
    struct rollout_episode *episodes;
    double *sums;
};

static void take(struct evaluation *ev, const struct collect_episodes *ended)
{
    for (size_t k = 0; k < ended->n; k++) {
        const struct rtc_env_episode *e = &ended->list[k];
        uint64_t i = e->number * ev->slots + e->slot;
        if (i >= ev->n)
            continue;
        ev->episodes[i] = episode_of(e);
        memcpy(&ev->sums[i * ev->n_infos], &ended->sums[k * ev->n_infos],
               ev->n_infos * sizeof(double));
        ev->done++;
    }
}

static int evaluate_all(struct rtc_call *call, struct collector *collector, struct evaluation *ev)
{
    struct fragment_shape shape = collector_shape(collector, EVALUATE_STEPS);
    struct fragment fragment;
    uint32_t version;
    RTC_TRY(load(call, collector, &version));
    void *block = aligned_alloc(64, fragment_size(&shape));
    int rc = block ? 0 : rtc_fail(call, RTC_E_NOMEM, "out of memory");
    while (rc == 0 && ev->done < ev->n) {
        fragment_make(block, &shape, &fragment);
        rc = collector_run(collector, &fragment);
        if (rc < 0) {
            fail(call, rc);
        } else if (rtc_cancelled(call)) {
            rc = rtc_fail(call, RTC_E_CANCELLED, "the evaluation was cancelled");
        } else {
            struct collect_episodes ended = collector_episodes(collector);
            take(ev, &ended);
        }
    }
    free(block);
    return rc;
}

static int evaluate(struct rtc_call *call)
{
    struct rollout *self = rtc_self(call);
    struct collector *collector;
    int64_t n, seed;
    RTC_TRY(rtc_arg_i64(call, 2, &n));
    RTC_TRY(rtc_arg_i64(call, 3, &seed));
    if (n < 1 || n > UINT16_MAX)
        return rtc_fail(call, RTC_E_INVALID, "%lld episodes cannot be evaluated: 1 to %u can",
                        (long long)n, UINT16_MAX);
    struct rtc_env_config config = self->config;
    struct collect_options options = self->options;
    config.slots = config.slots < (uint32_t)n ? config.slots : (uint32_t)n;
    options.config = &config;
    options.seed = (uint64_t)seed;
    options.first_slot = 0;
    options.greedy = true;
    int rc = collector_open(&options, &collector);
    if (rc < 0)
        return fail(call, rc);
    struct evaluation ev = {
        .n = (uint32_t)n, .slots = config.slots, .n_infos = collector_spec(collector)->n_infos};
    ev.episodes = calloc(ev.n, sizeof(*ev.episodes));
    ev.sums = calloc((size_t)ev.n * ev.n_infos, sizeof(*ev.sums));
    if (ev.episodes && ev.sums)
        rc = evaluate_all(call, collector, &ev);
    else
        rc = rtc_fail(call, RTC_E_NOMEM, "out of memory");
    if (rc == 0)
        rc = give(call, self, (rtc_ref){0}, ev.episodes, ev.sums, ev.n);
    collector_close(&collector);
    free(ev.episodes);
    free(ev.sums);
    return rc;
}

RTC_ACTOR(rollout, struct rollout, .init = init, .drop = drop,
          .methods = {RTC_METHOD(describe), RTC_METHOD(collect), RTC_METHOD(evaluate),
                      RTC_METHOD(save), RTC_METHOD(restore), RTC_METHOD(trim)});
