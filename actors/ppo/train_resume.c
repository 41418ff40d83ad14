/* Going on where another run was. */
#include <stdlib.h>

#include "actors/ppo/train_inner.h"

void train_drop_open(struct train *t)
{
    for (uint32_t i = 0; t->open && i < t->options.actors; i++) {
        if (t->open[i].seq)
            (void)!rtc_release(t->rtc, t->open[i]);
        t->open[i].seq = 0;
    }
}

int train_ask_open(struct train *t)
{
    int rc = 0;
    bool all = t->options.lag == 0 && !t->lowered;
    train_drop_open(t);
    for (uint32_t i = 0; i < t->options.actors; i++)
        all &= !t->runners[i].away; /* else some make what others would have made */
    for (uint32_t i = 0; rc == 0 && all && i < t->options.actors; i++)
        rc = rollout_save(t->rtc, t->runners[i].actor, &t->open[i]);
    return train_fail_rtc(t, rc);
}

int train_episodes(struct train *t, uint32_t actor, const void **ret_data, size_t *ret_size)
{
    struct rtc_value value;
    if (!t->open[actor].seq)
        return train_fail(t, RTC_E_NOT_FOUND, "it is not known where the episodes of an actor are");
    int rc = rtc_get(t->rtc, t->open[actor], RTC_FOREVER, &value);
    return train_fail_rtc(t, rc < 0 ? rc : rtc_value_bytes(&value, ret_data, ret_size));
}

uint32_t train_go_on_in(struct train *t, const void *const *data, const size_t *sizes)
{
    uint32_t failed = 0, n = t->options.actors;
    rtc_ref *refs = calloc(n, sizeof(*refs));
    for (uint32_t i = 0; refs && i < n; i++) {
        if (rollout_restore(t->rtc, t->runners[i].actor, data[i], sizes[i], &refs[i]) < 0)
            refs[i].seq = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct rtc_value value;
        bool fine = refs && refs[i].seq && rtc_get(t->rtc, refs[i], RTC_FOREVER, &value) == 0;
        failed += !fine;
        if (!fine)
            train_note(t, "a rollout actor begins new episodes: %s",
                       refs ? rtc_last_error() : "out of memory");
        if (refs && refs[i].seq)
            (void)!rtc_release(t->rtc, refs[i]);
    }
    free(refs);
    return failed;
}

double *train_window(struct train *t, size_t *ret_n)
{
    *ret_n = (size_t)t->options.window * t->spec->n_infos;
    return t->infos;
}

void train_window_is_back(struct train *t)
{
    t->progress.episodes = t->episodes_before;
    t->episodes_before = 0;
    for (uint32_t i = 0; i < t->options.window; i++) {
        t->returns[i] = t->infos[i * t->spec->n_infos];
        t->lengths[i] = t->infos[i * t->spec->n_infos + 1];
    }
}
