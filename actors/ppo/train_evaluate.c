/* Whole episodes of the policy as it is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/train_inner.h"

static int take_evaluation(struct train *t, rtc_ref ref, struct train_evaluation *e,
                           double *squares)
{
    struct rtc_value value;
    struct rollout_result r;
    int rc = rtc_get(t->rtc, ref, RTC_FOREVER, &value);
    if (rc < 0)
        return train_fail_rtc(t, rc);
    if (rollout_result_of(&value, &r) < 0 || r.n_infos != t->spec->n_infos)
        return train_fail(t, RTC_E_TYPE,
                          "a rollout actor answered with something else than episodes");
    for (size_t i = 0; i < r.n_episodes; i++) {
        double x = r.sums[i * r.n_infos];
        e->mean_return += x;
        *squares += x * x;
        e->mean_length += r.sums[i * r.n_infos + 1];
        e->min_return = fmin(e->min_return, x);
        e->max_return = fmax(e->max_return, x);
        if (e->sums)
            memcpy(e->sums + e->episodes * r.n_infos, r.sums + i * r.n_infos,
                   r.n_infos * sizeof(double));
        e->episodes++;
    }
    return 0;
}

/* Of `parts` that share the episodes, one. */
struct evaluation_part {
    uint32_t part, parts, episodes;
    uint64_t seed;
};

static int ask_evaluation(struct train *t, const struct evaluation_part *p, rtc_ref *ret_ref)
{
    uint32_t n = p->episodes / p->parts + (p->part < p->episodes % p->parts);
    rtc_actor actor = t->runners[train_owner(t, p->part)].actor;
    return train_fail_rtc(t, rollout_evaluate(t->rtc, actor, (uint32_t)t->done, t->weights, n,
                                              rtc_env_seed(p->seed, p->part + 1), ret_ref));
}

/* One that failed, because a simulator died, is made again. */
static int await_evaluation(struct train *t, const struct evaluation_part *p, rtc_ref *ref,
                            struct train_evaluation *e, double *squares)
{
    int rc = take_evaluation(t, *ref, e, squares);
    for (int i = 0; i < TRAIN_FAILURES_MAX && rc < 0; i++) {
        if (rc == RTC_E_ACTOR_DEAD || rc == RTC_E_DISCONNECTED || rc == RTC_E_TYPE)
            return rc;
        train_note(t, "an evaluation was lost, and is made again: %s", t->why);
        (void)!rtc_release(t->rtc, *ref);
        ref->seq = 0;
        rc = ask_evaluation(t, p, ref);
        if (rc == 0)
            rc = take_evaluation(t, *ref, e, squares);
    }
    return rc;
}

int train_evaluate(struct train *t, uint32_t episodes, uint64_t seed,
                   struct train_evaluation *ret_evaluation)
{
    uint32_t actors = t->options.actors < episodes ? t->options.actors : episodes;
    struct evaluation_part p = {.parts = actors, .episodes = episodes, .seed = seed};
    struct train_evaluation e = {
        .min_return = INFINITY, .max_return = -INFINITY, .sums = ret_evaluation->sums};
    double squares = 0;
    rtc_ref *refs = calloc(actors + 1, sizeof(*refs));
    int rc = refs ? 0 : train_fail(t, RTC_E_NOMEM, "out of memory");
    if (rc == 0 && !t->has_weights)
        rc = train_publish(t);
    for (p.part = 0; rc == 0 && p.part < actors; p.part++)
        rc = ask_evaluation(t, &p, &refs[p.part]);
    for (p.part = 0; refs && p.part < actors; p.part++) {
        rtc_ref *ref = &refs[p.part];
        if (ref->seq && rc >= 0)
            rc = await_evaluation(t, &p, ref, &e, &squares);
        if (ref->seq)
            (void)!rtc_release(t->rtc, *ref);
    }
    free(refs);
    if (rc < 0 || !e.episodes)
        return rc;
    double n = e.episodes;
    e.mean_return /= n;
    e.mean_length /= n;
    e.deviation = sqrt(fmax(0, squares / n - e.mean_return * e.mean_return));
    *ret_evaluation = e;
    return 0;
}
