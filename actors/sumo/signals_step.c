/* Episodes and steps. All simulators of a step work at the same time; a slot whose simulator died,
 * or did not answer, is told as lost, and has another one. */
#include "actors/sumo/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Episodes ---- */

static int blame(struct signals_slot *s, int rc)
{
    return rtc_env_fail(rc, "%s", sumo_sim_error(s->sim));
}

/* The view of a simulation that begins is there at once. */
static int look(struct signals_slot *s, double seconds)
{
    return sense_look(&s->sense, sumo_sim_view(s->sim), seconds)
               ? 0
               : rtc_env_fail(RTC_E_NOMEM, "out of memory");
}

static int begin_episode(struct signals_env *e, uint32_t slot)
{
    struct signals_slot *s = &e->slot[slot];
    uint32_t seed = (uint32_t)rtc_env_seed(s->seed, s->number), n;
    const char *const *arguments = signals_arguments(e, slot, &n);
    bool fresh = !s->sim;
    int rc = fresh ? signals_start(e, slot, seed) : sumo_sim_reset(s->sim, seed, arguments, n);
    if (rc < 0 && !fresh && !sumo_sim_pid(s->sim)) /* it died amid this: another one may not */
        rc = sumo_sim_reset(s->sim, seed, arguments, n);
    if (rc < 0)
        return fresh ? rc : blame(s, rc);
    if (s->control.sim != s->sim) {
        struct sumo_wants wants = sense_wants(&s->sense);
        s->control.sim = s->sim;
        if ((rc = sumo_sim_subscribe(s->sim, &wants)) < 0) {
            s->control.sim = NULL;
            return blame(s, rc);
        }
    }
    memset(s->last, 0, e->plan->n_signals * sizeof(*s->last));
    memset(s->sums, 0, sizeof(s->sums));
    s->length = 0;
    s->lost = false;
    s->stepping = 0;
    s->end = sumo_sim_time(s->sim) + e->seconds;
    sense_reset(&s->sense);
    rc = control_reset(&s->control);
    return rc < 0 ? blame(s, rc) : look(s, 0);
}

int signals_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds)
{
    struct signals_env *e = self;
    for (uint32_t i = first; i < first + n; i++) {
        struct signals_slot *s = &e->slot[i];
        s->number = !seeds && s->begun ? s->number + 1 : 0;
        if (seeds)
            s->seed = seeds[i - first];
        s->begun = true;
        int rc = begin_episode(e, i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int signals_reset_at(void *self, uint32_t first, uint32_t n, const uint64_t *seeds,
                            const uint64_t *numbers)
{
    struct signals_env *e = self;
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        struct signals_slot *s = &e->slot[first + i];
        s->seed = seeds[i];
        s->number = numbers[i];
        s->begun = true;
        rc = begin_episode(e, first + i);
    }
    return rc;
}

/* ---- Rows ---- */

/* Each agent's row; with `final`, the last of the episode. */
static int write_rows(struct signals_env *e, uint32_t slot, struct rtc_env_rows *rows, bool first)
{
    struct signals_slot *s = &e->slot[slot];
    uint32_t n = e->plan->n_signals;
    float *x = NULL;
    for (uint32_t i = 0; i < n; i++) {
        struct see_size size = signals_size(e, i);
        uint32_t kind = e->n_kinds == 1 ? 0 : i, shape[3], ndim;
        uint32_t floats = see_floats(e->observation, size, shape, &ndim);
        uint8_t *mask = NULL;
        if (!e->one || i == 0) {
            const struct rtc_env_row row = {.slot = slot,
                                            .agent = i,
                                            .kind = kind,
                                            .policy = e->kinds[kind].policy,
                                            .flags = RTC_ENV_ACTIVE | (first ? RTC_ENV_FIRST : 0),
                                            .size = 4 * e->kinds[kind].observation.n_floats};
            x = rtc_env_row_add(rows, &row, &mask);
            if (!x)
                return rtc_env_fail(RTC_E_TOO_LARGE, "no room for the rows of slot %u", slot);
        }
        if (mask && e->padded) /* a caller may have masks for what has none */
            memset(mask, 1, e->plan->signals[i].n_greens);
        see_write(e->observation, &s->control, &s->sense, i, size, x);
        x += floats;
    }
    return 0;
}

int signals_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows)
{
    struct signals_env *e = self;
    int rc = 0;
    for (uint32_t i = first; i < first + n && !rc; i++)
        rc = write_rows(e, i, rows, e->slot[i].length == 0);
    return rc;
}

/* ---- Steps ---- */

static void lose(struct signals_slot *s)
{
    free(s->why);
    s->why = strdup(sumo_sim_error(s->sim));
    s->lost = true;
    s->stepping = 0;
}

/* The choices of a slot, from row k of the step on. Returns its number of rows. */
static uint32_t choose(struct signals_env *e, uint32_t slot, const struct rtc_env_step *step,
                       uint32_t k)
{
    struct signals_slot *s = &e->slot[slot];
    uint32_t n = e->plan->n_signals, rows = e->one ? 1 : n;
    const char *at = (const char *)step->actions + k * step->action_stride;
    int rc = 0;
    free(s->why);
    s->why = NULL;
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        int32_t green;
        memcpy(&green, e->one ? at + 4 * (size_t)i : at + i * step->action_stride, sizeof(green));
        uint32_t before = s->control.lights[i].green;
        rc = control_choose(&s->control, i, (uint32_t)green);
        s->sums[INFO_CHANGES] += s->control.lights[i].green != before;
    }
    if (rc >= 0)
        rc = control_begin(&s->control, e->delta);
    if (rc < 0)
        lose(s);
    else
        s->stepping = 1;
    return rows;
}

int signals_begin(void *self, struct rtc_env_step *step)
{
    struct signals_env *e = self;
    uint32_t k = 0;
    for (uint32_t i = step->first; i < step->first + step->n; i++)
        k += choose(e, i, step, k);
    return 0;
}

static void count(struct signals_slot *s)
{
    const struct sumo_counters *c = &s->control.counters;
    s->sums[INFO_DEPARTED] += c->departed;
    s->sums[INFO_ARRIVED] += c->arrived;
    s->sums[INFO_TELEPORTS] += c->teleports_begun;
    s->sums[INFO_COLLISIONS] += c->collisions;
}

/* Until all of them are where they should be: each round one stretch of each. */
static void simulate(struct signals_env *e, uint32_t first, uint32_t n)
{
    for (bool any = true; any;) {
        any = false;
        for (uint32_t i = first; i < first + n; i++) {
            struct signals_slot *s = &e->slot[i];
            if (!s->stepping)
                continue;
            int rc = control_next(&s->control);
            if (rc < 0) {
                lose(s);
                continue;
            }
            s->stepping = rc;
            if (rc == 0)
                count(s);
            any |= rc > 0;
        }
    }
}

static int read_trips(struct signals_env *e, struct signals_slot *s, double *sums)
{
    struct trips t;
    char why[SUMO_WHY_MAX];
    if (!e->trips)
        return 0;
    int rc = trips_read(s->trips[(s->number + 1) & 1], &t, why);
    if (rc < 0)
        return rtc_env_fail(rc, "%s", why);
    sums[INFO_DELAY] = t.delay;
    sums[INFO_TRIP_TIME] = t.duration;
    sums[INFO_WAITING_TIME] = t.wait;
    sums[INFO_UNFINISHED] = t.unfinished;
    sums[INFO_NEVER_DEPARTED] = t.never_departed;
    return 0;
}

/* Tells of the episode and begins the next one, with which SUMO finishes the files of this one. */
static int end_episode(struct signals_env *e, uint32_t slot, uint32_t ends,
                       struct rtc_env_episodes *episodes)
{
    struct signals_slot *s = &e->slot[slot];
    struct rtc_env_episode told = {.slot = slot,
                                   .ends = ends,
                                   .number = s->number,
                                   .seed = rtc_env_seed(s->seed, s->number),
                                   .why = s->why};
    double sums[INFO_COUNT];
    memcpy(sums, s->sums, sizeof(sums));
    s->number++;
    int rc = begin_episode(e, slot);
    if (rc == 0 && !(ends & RTC_ENV_LOST))
        rc = read_trips(e, s, sums);
    if (rc < 0 || !episodes)
        return rc;
    uint32_t i = episodes->n++, n = e->trips ? INFO_COUNT : INFO_DELAY;
    episodes->list[i] = told;
    if (episodes->sums)
        memcpy(episodes->sums + (size_t)i * n, sums, n * sizeof(sums[0]));
    return 0;
}

static void pay(struct signals_env *e, struct signals_slot *s, struct rtc_env_step *step,
                uint32_t k, uint32_t ends)
{
    uint32_t n = e->plan->n_signals, rows = e->one ? 1 : n;
    double all = 0;
    for (uint32_t i = 0; i < n; i++) {
        double x = s->lost ? 0 : see_pay(e->reward, &s->sense, i, &s->last[i]);
        all += x;
        s->sums[INFO_RETURN] += x;
        if (!e->one)
            *(float *)(void *)((char *)step->rewards + (k + i) * step->reward_stride) = (float)x;
    }
    if (e->one)
        *(float *)(void *)((char *)step->rewards + k * step->reward_stride) = (float)all;
    for (uint32_t i = 0; i < rows; i++)
        step->ends[(k + i) * step->ends_stride] = (uint8_t)ends;
    s->sums[INFO_LENGTH] = (double)++s->length;
}

static int finish_slot(struct signals_env *e, uint32_t slot, struct rtc_env_step *step, uint32_t k)
{
    struct signals_slot *s = &e->slot[slot];
    uint32_t ends = s->lost ? RTC_ENV_LOST | RTC_ENV_TRUNCATED : 0;
    int rc = s->lost ? 0 : look(s, e->delta);
    if (rc < 0)
        return rc;
    if (!s->lost && sumo_sim_time(s->sim) >= s->end - 1e-6)
        ends = RTC_ENV_TRUNCATED;
    pay(e, s, step, k, ends);
    if (ends == RTC_ENV_TRUNCATED && step->final &&
        (rc = write_rows(e, slot, step->final, false)) < 0)
        return rc;
    if (ends && (rc = end_episode(e, slot, ends, step->episodes)) < 0)
        return rc;
    return write_rows(e, slot, step->rows, s->length == 0);
}

int signals_step(void *self, struct rtc_env_step *step)
{
    struct signals_env *e = self;
    uint32_t rows = e->one ? 1 : e->plan->n_signals;
    int rc = 0;
    simulate(e, step->first, step->n);
    for (uint32_t i = 0; i < step->n && !rc; i++)
        rc = finish_slot(e, step->first + i, step, i * rows);
    return rc;
}

static const struct rtc_env_class sumo_signals = {
    .abi = RTC_ENV_ABI,
    .name = "sumo-signals",
    .about = "traffic signals of a net of SUMO, by the definitions of sumo-rl or RESCO",
    .options = signals_options,
    .open = signals_open,
    .close = signals_close,
    .reset = signals_reset,
    .observe = signals_observe,
    .begin = signals_begin,
    .step = signals_step,
    .reset_at = signals_reset_at,
};
RTC_ENV_CLASS(sumo_signals)
