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

int train_evaluate(struct train *t, uint32_t episodes, uint64_t seed,
                   struct train_evaluation *ret_evaluation)
{
    uint32_t actors = t->options.actors < episodes ? t->options.actors : episodes;
    struct train_evaluation e = {
        .min_return = INFINITY, .max_return = -INFINITY, .sums = ret_evaluation->sums};
    double squares = 0;
    rtc_ref *refs = calloc(actors + 1, sizeof(*refs));
    int rc = refs ? 0 : train_fail(t, RTC_E_NOMEM, "out of memory");
    if (rc == 0 && !t->has_weights)
        rc = train_publish(t);
    uint32_t asked = 0;
    for (; rc == 0 && asked < actors; asked++) {
        uint32_t n = episodes / actors + (asked < episodes % actors);
        rc = train_fail_rtc(t, rollout_evaluate(t->rtc, t->runners[train_owner(t, asked)].actor,
                                                (uint32_t)t->done, t->weights, n,
                                                rtc_env_seed(seed, asked + 1), &refs[asked]));
    }
    for (uint32_t i = 0; i < asked; i++) {
        int one = refs[i].seq ? take_evaluation(t, refs[i], &e, &squares) : 0;
        rc = rc < 0 ? rc : one;
        if (refs[i].seq)
            (void)!rtc_release(t->rtc, refs[i]);
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
