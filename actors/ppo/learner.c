/* The actor's side of a team: a learner, its batch, and its place in the group. */
#include <stdlib.h>
#include <string.h>

#include <rtc/actor.h>
#include <rtc/group.h>

#include "actors/ppo/batch.h"
#include "actors/ppo/collect.h"
#include "actors/ppo/learner.h"
#include "actors/rollout/spec.h"

struct learner {
    struct ppo *ppo;
    struct ppo_config config;
    struct rtc_env_spec *spec;
    struct train_batch batch;
    struct rtc_group *group;
};

/* ---- The group as sums ---- */

static int sum(void *arg, void *data, size_t n, size_t element)
{
    return rtc_group_all_reduce(arg, data, data, n, element == sizeof(double) ? RTC_F64 : RTC_F32,
                                RTC_SUM, LEARNER_PATIENCE);
}

static int spread(void *arg, void *data, size_t bytes, uint32_t root)
{
    return rtc_group_broadcast(arg, data, bytes, RTC_U8, root, LEARNER_PATIENCE);
}

struct ppo_share learner_share(struct rtc_group *group)
{
    return (struct ppo_share){.rank = rtc_group_rank(group),
                              .size = rtc_group_size(group),
                              .sum = sum,
                              .spread = spread,
                              .arg = group};
}

/* ---- Life ---- */

static int fail(struct rtc_call *call, int rc)
{
    return rtc_fail(call, rc, "%s", rtc_env_error());
}

static int init(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    const void *config, *spec;
    size_t config_size, spec_size;
    char why[512];
    RTC_TRY(rtc_arg_bytes(call, 0, &config, &config_size));
    RTC_TRY(rtc_arg_bytes(call, 1, &spec, &spec_size));
    if (config_size != sizeof(self->config))
        return rtc_fail(call, RTC_E_VERSION, "the driver's program is another than the learner's");
    memcpy(&self->config, config, config_size);
    int rc = spec_unpack(spec, spec_size, &self->spec);
    if (rc < 0)
        return fail(call, rc);
    rc = ppo_fit(self->spec, &self->config, why, sizeof(why));
    if (rc == 0)
        rc = ppo_create(&self->config, nn_cpu_f32(), &self->ppo, why, sizeof(why));
    if (rc < 0)
        return rtc_fail(call, rc, "%s", why);
    rc = train_batch_init(&self->batch, self->spec, self->config.batch_max);
    return rc < 0 ? rtc_fail(call, rc, "out of memory for %u samples", self->config.batch_max) : 0;
}

static void drop(void *state)
{
    struct learner *self = state;
    (void)rtc_group_leave(&self->group);
    train_batch_fini(&self->batch);
    ppo_destroy(&self->ppo);
    free(self->spec);
}

/* ---- Methods ---- */

/* join(group's name, rank, size, state, how long to wait): what it had taken is forgotten. */
static int join(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    const char *name;
    int64_t rank, size, timeout;
    struct rtc_array state;
    char why[512];
    RTC_TRY(rtc_arg_str(call, 0, &name, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &rank));
    RTC_TRY(rtc_arg_i64(call, 2, &size));
    RTC_TRY(rtc_arg_array(call, 3, &state));
    RTC_TRY(rtc_arg_i64(call, 4, &timeout));
    int rc = ppo_load(self->ppo, state.data, state.size, why, sizeof(why));
    if (rc < 0)
        return rtc_fail(call, rc, "%s", why);
    self->batch.n = 0;
    (void)rtc_group_leave(&self->group);
    rc = rtc_group_join(rtc_call_rtc(call), name, (uint32_t)rank, (uint32_t)size, timeout,
                        &self->group);
    if (rc < 0)
        return rtc_fail(call, rc, "%s", rtc_last_error());
    struct ppo_share share = learner_share(self->group);
    ppo_share(self->ppo, &share);
    return rtc_return_i64(call, 0);
}

static int take(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    struct rtc_array array;
    struct fragment fragment;
    RTC_TRY(rtc_arg_array(call, 0, &array));
    int rc = fragment_read(array.data, array.size, &fragment);
    if (rc == 0 && train_batch_add(&self->batch, &fragment, &self->config) < 0)
        rc = RTC_E_INVALID;
    return rc < 0 ? fail(call, rc) : rtc_return_i64(call, 0);
}

static int forget(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    self->batch.n = 0;
    return rtc_return_i64(call, 0);
}

/* What the others wait for is not coming. */
static int give_up(struct rtc_call *call, struct learner *self, int rc, const char *why)
{
    rc = rtc_fail(call, rc, "%s", why);
    if (self->group)
        (void)rtc_group_abort(self->group, why);
    (void)rtc_group_leave(&self->group);
    return rc;
}

/* learn(progress, rows that there are) */
static int learn(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    struct ppo_stats stats;
    double progress;
    int64_t rows;
    RTC_TRY(rtc_arg_f64(call, 0, &progress));
    RTC_TRY(rtc_arg_i64(call, 1, &rows));
    if (!self->group)
        return rtc_fail(call, RTC_E_INVALID, "this learner is in no group yet");
    if (self->batch.n != (size_t)rows)
        return give_up(call, self, RTC_E_INVALID, "a learner has not all of the batch");
    struct ppo_batch batch = train_batch_view(&self->batch);
    int rc = ppo_update(self->ppo, &batch, progress, &stats);
    self->batch.n = 0;
    return rc < 0 ? give_up(call, self, rc, rtc_last_error())
                  : rtc_return_i64(call, (int64_t)ppo_learner(self->ppo)->steps);
}

RTC_ACTOR(learner, struct learner, .init = init, .drop = drop,
          .methods = {RTC_METHOD(join), RTC_METHOD(take), RTC_METHOD(forget), RTC_METHOD(learn)});
