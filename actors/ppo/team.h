/* The learners of a training: the caller's own is the first, the others are actors.
 *
 * Every learner gets every fragment and makes the same update (share.h); sums go through a group
 * (rtc/group.h). The caller's has the state that counts: the others get it when the group is made.
 * When a learner dies in the midst of an update, the group is made again, with the one that was
 * started in its place, and so is the update, from where it began: nothing is lost. One that does
 * not come back within team_options.patience is done without. Learners that take turns are on the
 * caller's host while it has room for them: they speak with each other for every minibatch.
 *
 * Where two give the bits of one (ppo_apart()), the caller's learns alone at first, and for a while
 * whenever two took longer than one, because others have the cores.
 *
 * Thread: that of the handle of rtc. Errors: those of rtc, with the sentence of rtc_last_error().
 */
#ifndef ACTORS_PPO_TEAM_H
#define ACTORS_PPO_TEAM_H

#include <rtc/actor.h>
#include <rtc/env.h>

#include "actors/ppo/ppo.h"

#define TEAM_MAX 64u

struct team_options {
    uint32_t learners; /* the caller's counts */
    double cpus;       /* of each of the others; RTC_NONE: it takes turns */
    const struct rtc_env_spec *spec;
    const struct ppo_config *config; /* of the caller's learner */
    int64_t patience;                /* for one that is started; 0 = 60 s */
    bool always;                     /* also where one would be faster */
    void (*on_note)(void *arg, const char *sentence);
    void *arg;
};

struct team;

/* Starts the others; waits for nobody. */
int team_open(struct rtc *rtc, const struct team_options *options, struct team **ret_team);
void team_close(struct team **team);         /* NULL is fine */
uint32_t team_size(const struct team *team); /* with the caller's */
/* A fragment of the update at hand: all get it in the order of these calls. */
int team_take(struct team *team, rtc_ref fragment);
/* Without an update: what was taken is not wanted. */
void team_forget(struct team *team);
/* ppo_update() by all. ppo, batch: the caller's, of the fragments that were taken.
 * Errors: also RTC_E_CRASHED, learners died again and again. */
int team_update(struct team *team, struct ppo *ppo, const struct ppo_batch *batch, double progress,
                struct ppo_stats *ret_stats);

#endif
