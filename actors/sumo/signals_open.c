/* Opening: options, one simulation to learn the net from, kinds of agents. */
#include "actors/sumo/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MORE 1e9

/* ---- Options ---- */

static int read_words(struct signals_env *e, const struct rtc_env_config *config, bool *ret_resco)
{
    static const char *const definitions[] = {"sumo-rl", "resco", NULL};
    static const char *const agents[] = {"each", "one", NULL};
    static const char *const policies[] = {"separate", "shared", NULL};
    int definition = 0, agent = 0, policy = 0, rc;
    char known[512];
    if ((rc = setup_word(config, "definition", definitions, &definition)) ||
        (rc = setup_word(config, "agents", agents, &agent)) ||
        (rc = setup_word(config, "policies", policies, &policy)) ||
        (rc = rtc_env_option_bool(config, "trips", &e->trips)))
        return rc;
    const char *see = setup_text(config, "observation"), *pay = setup_text(config, "reward");
    see = see ? see : definition ? "drq-norm" : "sumo-rl";
    pay = pay ? pay : definition ? "wait-norm" : "diff-waiting-time";
    if ((e->observation = see_observation_of(see, known, sizeof(known))) == SEE_OBSERVATIONS_END)
        return rtc_env_fail(RTC_E_INVALID, "there is no observation \"%s\"; there are %s", see,
                            known);
    if ((e->reward = see_reward_of(pay, known, sizeof(known))) == SEE_REWARDS_END)
        return rtc_env_fail(RTC_E_INVALID, "there is no reward \"%s\"; there are %s", pay, known);
    e->one = agent;
    e->shared = policy && !agent;
    *ret_resco = definition;
    return 0;
}

static int read_numbers(struct signals_env *e, const struct rtc_env_config *config, bool resco)
{
    double otherwise = resco ? 3600 : 20000;
    int rc;
    if (e->setup.scenario.seconds > 0)
        otherwise = e->setup.scenario.seconds;
    if ((rc = setup_number(config, "delta_time", 0.001, MORE, resco ? 10 : 5, &e->delta)) ||
        (rc = setup_number(config, "yellow_time", 0, MORE, resco ? 3 : 2, &e->rules.yellow)) ||
        (rc = setup_number(config, "min_green", 0, MORE, resco ? 0 : 5, &e->rules.min_green)) ||
        (rc = setup_number(config, "max_green", 0, MORE, 0, &e->rules.max_green)) ||
        (rc = setup_number(config, "num_seconds", 0.001, MORE, otherwise, &e->seconds)) ||
        (rc = setup_number(config, "distance", 0, MORE, 200, &e->distance)))
        return rc;
    if (e->rules.yellow >= e->delta)
        return rtc_env_fail(RTC_E_INVALID,
                            "yellow_time is %g s and delta_time %g s; a decision must be longer "
                            "than the yellow that it begins with",
                            e->rules.yellow, e->delta);
    e->rules.settled = resco;
    return 0;
}

static int read_options(struct signals_env *e, struct rtc_env_config *config)
{
    bool resco = false;
    int rc = setup_read(&e->setup, config);
    if (rc == 0)
        rc = read_words(e, config, &resco);
    return rc ? rc : read_numbers(e, config, resco);
}

/* ---- Simulations ---- */

const char *const *signals_arguments(struct signals_env *e, uint32_t slot, uint32_t *ret_n)
{
    static const char *const more[] = {TRIPS_ARGUMENTS};
    struct signals_slot *s = &e->slot[slot];
    uint32_t n = e->setup.n_arguments;
    if (e->trips) {
        for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++)
            e->setup.arguments[n++] = more[i];
        e->setup.arguments[n++] = "--tripinfo-output";
        e->setup.arguments[n++] = s->trips[s->number & 1];
    }
    *ret_n = n;
    return e->setup.arguments;
}

int signals_start(struct signals_env *e, uint32_t slot, uint32_t seed)
{
    uint32_t n;
    const char *const *arguments = signals_arguments(e, slot, &n);
    return setup_start(&e->setup, slot, seed, arguments, n, &e->slot[slot].sim);
}

/* The first slot's simulation stays: its first reset finds it running. */
static int learn_net(struct signals_env *e, const char *signals)
{
    char why[SUMO_WHY_MAX];
    int rc = signals_start(e, 0, 0);
    if (rc == 0 && (rc = sumo_plan_make(e->slot[0].sim, signals, &e->plan, why)) != 0)
        rtc_env_fail(rc, "'%s': %s", setup_name(&e->setup), why);
    return rc;
}

static int make_slots(struct signals_env *e)
{
    uint32_t parts = see_parts(e->observation, e->reward);
    for (uint32_t i = 0; i < e->slots; i++) {
        struct signals_slot *s = &e->slot[i];
        s->seed = i;
        s->last = calloc((size_t)e->plan->n_signals + 1, sizeof(*s->last));
        if (!s->last || !sense_make(&s->sense, e->plan, parts, e->distance) ||
            !control_make(&s->control, NULL, e->plan, &e->rules))
            return rtc_env_fail(RTC_E_NOMEM, "out of memory for slot %u", i);
    }
    return 0;
}

/* ---- Kinds ---- */

struct see_size signals_size(const struct signals_env *e, uint32_t signal)
{
    return e->shared ? e->size : see_size_of(&e->plan->signals[signal]);
}

static void find_size(struct signals_env *e)
{
    for (uint32_t i = 0; i < e->plan->n_signals; i++) {
        struct see_size size = see_size_of(&e->plan->signals[i]), *most = &e->size;
        if (i > 0 && (size.greens != most->greens || size.lanes != most->lanes ||
                      size.movements != most->movements))
            e->padded = true;
        most->greens = size.greens > most->greens ? size.greens : most->greens;
        most->lanes = size.lanes > most->lanes ? size.lanes : most->lanes;
        most->movements = size.movements > most->movements ? size.movements : most->movements;
    }
    e->padded = e->padded && e->shared;
}

/* Of signals first to first + n - 1. */
static int make_kind(struct signals_env *e, uint32_t kind, uint32_t first, uint32_t n)
{
    struct rtc_env_kind *k = &e->kinds[kind];
    struct signals_kind *parts = &e->parts[kind];
    struct rtc_env_space *see = &k->observation, *act = &k->action;
    parts->choices = calloc(n, sizeof(uint32_t));
    if (!parts->choices)
        return RTC_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct see_size size = signals_size(e, first + i);
        uint32_t shape[3], ndim;
        see->n_floats += see_floats(e->observation, size, shape, &ndim);
        if (n == 1 && (see->ndim = ndim) > 0)
            memcpy(see->shape, shape, ndim * sizeof(shape[0]));
        parts->choices[i] = size.greens;
    }
    act->n_choices = n;
    act->choices = parts->choices;
    act->masked = e->padded;
    k->name = e->one || e->shared ? "signal" : e->plan->signals[first].id;
    k->policy = e->shared ? 0 : kind;
    if (e->observation != SEE_SUMO_RL)
        return 0;
    parts->low = calloc(see->n_floats, sizeof(float));
    parts->high = calloc(see->n_floats, sizeof(float));
    for (uint32_t i = 0; parts->high && i < see->n_floats; i++)
        parts->high[i] = 1;
    see->low = parts->low;
    see->high = parts->high;
    return parts->low && parts->high ? 0 : RTC_E_NOMEM;
}

static int make_kinds(struct signals_env *e)
{
    uint32_t n = e->plan->n_signals;
    int rc = 0;
    find_size(e);
    e->n_kinds = e->one || e->shared ? 1 : n;
    e->kinds = calloc(e->n_kinds, sizeof(*e->kinds));
    e->parts = calloc(e->n_kinds, sizeof(*e->parts));
    if (!e->kinds || !e->parts)
        rc = RTC_E_NOMEM;
    for (uint32_t i = 0; i < e->n_kinds && !rc; i++)
        rc = make_kind(e, i, i, e->one ? n : 1);
    return rc ? rtc_env_fail(rc, "out of memory for %u signals", n) : 0;
}

void signals_close(void *self)
{
    struct signals_env *e = self;
    for (uint32_t i = 0; e->slot && i < e->slots; i++) {
        struct signals_slot *s = &e->slot[i];
        sumo_sim_close(&s->sim);
        control_free(&s->control);
        sense_free(&s->sense);
        free(s->last);
        free(s->why);
        for (int k = 0; e->trips && k < 2; k++)
            (void)unlink(s->trips[k]);
    }
    for (uint32_t i = 0; e->parts && i < e->n_kinds; i++) {
        free(e->parts[i].low);
        free(e->parts[i].high);
        free(e->parts[i].choices);
    }
    free(e->kinds);
    free(e->parts);
    free(e->slot);
    setup_free(&e->setup);
    sumo_plan_free(&e->plan);
    free(e);
}

/* Files that no other slot of any program has. */
static void name_trips(struct signals_env *e)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    for (uint32_t i = 0; i < e->slots; i++) {
        for (int k = 0; k < 2; k++)
            snprintf(e->slot[i].trips[k], sizeof(e->slot[i].trips[k]),
                     "%s/rtc-trips-%d-%p-%u.%d.xml", folder, (int)getpid(), (void *)e, i, k);
    }
}

int signals_open(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec,
                 void **ret_self)
{
    static const char *const infos[INFO_COUNT] = {
        "return",  "length", "departed",  "arrived",      "teleports",  "collisions",
        "changes", "delay",  "trip_time", "waiting_time", "unfinished", "never_departed"};
    struct signals_env *e = calloc(1, sizeof(*e));
    struct rtc_env_config own = *config;
    int rc = e ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    if (rc == 0) {
        e->slots = config->slots;
        e->slot = calloc(e->slots, sizeof(*e->slot));
        rc = e->slot ? read_options(e, &own) : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    }
    if (rc == 0) {
        name_trips(e);
        rc = learn_net(e, setup_text(&own, "signals"));
    }
    if (e && own.options != config->options)
        free((void *)(uintptr_t)own.options);
    if (rc == 0 && (rc = make_slots(e)) == 0)
        rc = make_kinds(e);
    if (rc < 0) {
        if (e)
            signals_close(e);
        return rc;
    }
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = e->one ? 1 : e->plan->n_signals;
    ret_spec->n_kinds = e->n_kinds;
    ret_spec->kinds = e->kinds;
    ret_spec->n_infos = e->trips ? INFO_COUNT : INFO_DELAY;
    ret_spec->infos = infos;
    *ret_self = e;
    return 0;
}
