/* The driver's side: who is there, what they were given, the update and its repetition. */
#include "actors/ppo/team.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/learner.h"
#include "actors/report/clock.h"
#include "actors/rollout/spec.h"

#define TRIES_MAX 10 /* of one update */
#define WHY_MAX   512
#define SLOW      3u  /* updates in a row that took longer than one learner's, until it makes … */
#define ALONE     64u /* … so many */

struct team {
    struct rtc *rtc;
    struct team_options options;
    rtc_actor others[TEAM_MAX];
    uint32_t n_others;
    struct rtc_group *group; /* NULL: it is to be made */
    uint64_t number;         /* of groups so far */
    rtc_ref *fragments;      /* of the update at hand */
    size_t n_fragments, cap_fragments;
    void *before; /* the learner's state at its beginning */
    size_t before_size;
    uint32_t alone_left, slow;
    double alone_s; /* the last update by the caller's alone */
};

__attribute__((format(printf, 2, 3))) static void note(const struct team *t, const char *fmt, ...)
{
    char text[2 * WHY_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (t->options.on_note)
        t->options.on_note(t->options.arg, text);
}

uint32_t team_size(const struct team *t)
{
    return t->n_others + 1;
}

/* ---- Life ---- */

int team_open(struct rtc *rtc, const struct team_options *options, struct team **ret_team)
{
    void *spec = NULL;
    size_t size;
    struct team *t = calloc(1, sizeof(*t));
    *ret_team = t;
    if (!t)
        return RTC_E_NOMEM;
    t->rtc = rtc;
    t->options = *options;
    t->alone_left = options->always ? 0 : 1;
    t->options.patience = options->patience ? options->patience : LEARNER_PATIENCE;
    int rc = spec_pack(options->spec, &spec, &size);
    struct rtc_options needs = {.cpus = options->cpus};
    struct rtc_actor_options actor = {.max_restarts = RTC_RETRY_FOREVER, .needs = &needs};
    while (rc == 0 && t->n_others + 1 < options->learners && t->n_others + 1 < TEAM_MAX) {
        rc = rtc_actor_create(
            rtc, "learner",
            RTC_ARGS(rtc_bytes(options->config, sizeof(*options->config)), rtc_bytes(spec, size)),
            &actor, &t->others[t->n_others]);
        t->n_others += rc == 0;
    }
    free(spec);
    return rc;
}

void team_close(struct team **team)
{
    struct team *t = *team;
    if (!t)
        return;
    team_forget(t);
    (void)rtc_group_leave(&t->group);
    for (uint32_t i = 0; i < t->n_others; i++) {
        (void)!rtc_actor_kill(t->rtc, t->others[i], 0);
        (void)!rtc_actor_release(t->rtc, t->others[i]);
    }
    free(t->fragments);
    free(t->before);
    free(t);
    *team = NULL;
}

/* ---- Fragments ---- */

static int tell(struct team *t, const char *method, const struct rtc_args *args)
{
    return t->n_others
               ? rtc_actor_call_many(t->rtc, t->others, t->n_others, method, args, NULL, NULL)
               : 0;
}

int team_take(struct team *t, rtc_ref fragment)
{
    if (t->n_fragments == t->cap_fragments) {
        size_t cap = 2 * t->cap_fragments + 16;
        rtc_ref *more = realloc(t->fragments, cap * sizeof(*more));
        if (!more)
            return RTC_E_NOMEM;
        t->fragments = more;
        t->cap_fragments = cap;
    }
    int rc = rtc_retain(t->rtc, fragment);
    if (rc < 0)
        return rc;
    t->fragments[t->n_fragments++] = fragment;
    /* Without a group they get all of them when there is one. */
    return t->group ? tell(t, "take", RTC_ARGS(rtc_of_ref(fragment))) : 0;
}

static void drop_fragments(struct team *t)
{
    (void)!rtc_release_many(t->rtc, t->fragments, t->n_fragments);
    t->n_fragments = 0;
}

void team_forget(struct team *t)
{
    if (t->group && t->n_fragments)
        (void)!tell(t, "forget", NULL);
    drop_fragments(t);
}

/* ---- The group ---- */

/* Those that do not come are done without. */
static void await(struct team *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_others; i++) {
        int rc = rtc_actor_ready(t->rtc, t->others[i], t->options.patience);
        if (rc == 0) {
            t->others[n++] = t->others[i];
            continue;
        }
        note(t, "a learner is not there, and it goes on without it: %s", rtc_last_error());
        (void)!rtc_actor_kill(t->rtc, t->others[i], 0);
        (void)!rtc_actor_release(t->rtc, t->others[i]);
    }
    t->n_others = n;
}

static int put_state(struct team *t, rtc_ref *ret_ref)
{
    int64_t size = (int64_t)t->before_size;
    void *data;
    int rc = rtc_create(t->rtc, RTC_U8, &size, 1, &data, ret_ref);
    if (rc < 0)
        return rc;
    memcpy(data, t->before, t->before_size);
    return rtc_seal(t->rtc, *ret_ref);
}

/* One that died when it had begun to join does not come, and nobody says so: it is asked anew soon,
 * and later if that was too soon. */
static int64_t soon(const struct team *t, int tries)
{
    int64_t time = RTC_S(3) << tries;
    return time < t->options.patience ? time : t->options.patience;
}

/* Everybody with the state at the beginning of the update, and what was taken for it. */
static int form(struct team *t, struct ppo *ppo, int tries)
{
    char name[96];
    rtc_ref state;
    await(t);
    struct ppo_share alone = {.size = 1};
    ppo_share(ppo, &alone);
    if (!t->n_others)
        return 0;
    snprintf(name, sizeof(name), "rtc-learners-%u-%llu-%llu", t->others[0].client,
             (unsigned long long)t->others[0].seq, (unsigned long long)++t->number);
    int rc = put_state(t, &state);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < t->n_others; i++)
        rc = rtc_actor_call(t->rtc, t->others[i], "join",
                            RTC_ARGS(rtc_str(name), rtc_i64(i + 1), rtc_i64(team_size(t)),
                                     rtc_of_ref(state), rtc_i64(soon(t, tries))),
                            NULL, NULL);
    (void)!rtc_release(t->rtc, state);
    if (rc == 0)
        rc = rtc_group_join(t->rtc, name, 0, team_size(t), soon(t, tries), &t->group);
    if (rc < 0)
        return rc;
    struct ppo_share share = learner_share(t->group);
    ppo_share(ppo, &share);
    for (size_t i = 0; rc == 0 && i < t->n_fragments; i++)
        rc = tell(t, "take", RTC_ARGS(rtc_of_ref(t->fragments[i])));
    return rc;
}

/* ---- The update ---- */

static int attempt(struct team *t, struct ppo *ppo, const struct ppo_batch *batch, double progress,
                   int tries, struct ppo_stats *ret_stats)
{
    int rc = t->group ? 0 : form(t, ppo, tries);
    if (rc == 0)
        rc = tell(t, "learn", RTC_ARGS(rtc_f64(progress), rtc_i64((int64_t)batch->n)));
    return rc < 0 ? rc : ppo_update(ppo, batch, progress, ret_stats);
}

static int update_alone(struct team *t, struct ppo *ppo, const struct ppo_batch *batch,
                        double progress, struct ppo_stats *ret_stats)
{
    double began = report_now(CLOCK_MONOTONIC);
    struct ppo_share alone = {.size = 1};
    (void)rtc_group_leave(&t->group); /* the next one begins with a state for all */
    ppo_share(ppo, &alone);
    int rc = ppo_update(ppo, batch, progress, ret_stats);
    t->alone_s = report_now(CLOCK_MONOTONIC) - began;
    t->alone_left--;
    drop_fragments(t);
    return rc;
}

static int update_together(struct team *t, struct ppo *ppo, const struct ppo_batch *batch,
                           double progress, struct ppo_stats *ret_stats)
{
    char why[WHY_MAX];
    size_t size = ppo_state_size(ppo);
    int rc = 0;
    if (!t->before && !(t->before = malloc(size)))
        return RTC_E_NOMEM;
    t->before_size = size;
    ppo_save(ppo, t->before);
    for (int i = 0; i < TRIES_MAX; i++) {
        rc = attempt(t, ppo, batch, progress, i, ret_stats);
        if (rc >= 0 || rc == RTC_E_DISCONNECTED || rc == RTC_E_NOMEM)
            break;
        note(t, "learners broke off an update, and make it again: %s", rtc_last_error());
        (void)rtc_group_leave(&t->group);
        if (ppo_load(ppo, t->before, size, why, sizeof(why)) < 0)
            return RTC_E_INVALID;
    }
    drop_fragments(t);
    return rc;
}

int team_update(struct team *t, struct ppo *ppo, const struct ppo_batch *batch, double progress,
                struct ppo_stats *ret_stats)
{
    bool can_be_alone = !t->options.always && team_size(t) == 2 && ppo_apart(ppo);
    if (can_be_alone && t->alone_left)
        return update_alone(t, ppo, batch, progress, ret_stats);
    bool formed = t->group != NULL;
    double began = report_now(CLOCK_MONOTONIC);
    int rc = update_together(t, ppo, batch, progress, ret_stats);
    double took = report_now(CLOCK_MONOTONIC) - began;
    if (took < t->alone_s) {
        t->slow = 0;
    } else if (formed && ++t->slow >= SLOW) { /* to make the group takes its time */
        t->slow = 0;
        t->alone_left = can_be_alone ? ALONE : 0;
    }
    return rc;
}
