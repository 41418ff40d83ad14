/* Going on with less memory. */
#include <malloc.h>

#include "actors/ppo/train_inner.h"

uint32_t train_environments(const struct train *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->options.actors; i++)
        n += t->runners[i].retired ? 0 : t->env_config.slots;
    return n;
}

int train_trim(struct train *t)
{
    rtc_ref ref;
    int rc = 0;
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
    for (uint32_t i = 0; rc == 0 && i < t->options.actors; i++) {
        if (t->runners[i].retired)
            continue;
        rc = train_fail_rtc(t, rollout_trim(t->rtc, t->runners[i].actor, &ref));
        if (rc == 0)
            (void)!rtc_release(t->rtc, ref);
    }
    return rc;
}

/* Slots of an actor with which a fragment has as many samples as before. */
static uint32_t fitting(const struct train *t, uint32_t most)
{
    uint32_t samples = t->options.fragment * t->env_config.slots;
    while (most > 1 && samples % most)
        most--;
    return most ? most : 1;
}

int train_lower(struct train *t, uint32_t environments)
{
    uint32_t actors = 0, slots = t->env_config.slots, kept = 0;
    for (uint32_t i = 0; i < t->options.actors; i++)
        actors += !t->runners[i].retired;
    if (environments == 0 || environments >= train_environments(t))
        return 0;
    slots = fitting(t, environments / actors);
    t->options.fragment = t->options.fragment * t->env_config.slots / slots;
    t->env_config.slots = slots;
    t->lowered++;
    for (uint32_t i = 0; i < t->options.actors; i++) {
        if (t->runners[i].retired)
            continue;
        train_end_actor(t, i);
        bool keep = kept++ < environments;
        t->runners[i].away = t->runners[i].retired = !keep;
        int rc = keep ? train_start_actor(t, i) : 0;
        if (rc < 0)
            return rc;
    }
    actors = actors < environments ? actors : environments;
    train_note(t,
               "%u rollout actor%s × %u environment%s go on, with new episodes and fragments of %u "
               "steps",
               actors, actors == 1 ? "" : "s", slots, slots == 1 ? "" : "s", t->options.fragment);
    return train_ask_anew(t, 0, true);
}
