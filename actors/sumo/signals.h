/* The environment "sumo-signals": traffic signals of any net of SUMO. What its sources share; what it
 * offers is in the table of its options (signals_options.c) and in see.h. */
#ifndef ACTORS_SUMO_SIGNALS_H
#define ACTORS_SUMO_SIGNALS_H

#include <rtc/env.h>

#include "actors/sumo/see.h"
#include "actors/sumo/setup.h"
#include "actors/sumo/trips.h"

/* Sums over an episode: "return", "length", then these. */
enum signals_info {
    INFO_RETURN,
    INFO_LENGTH,
    INFO_DEPARTED,
    INFO_ARRIVED,
    INFO_TELEPORTS,
    INFO_COLLISIONS,
    INFO_CHANGES, /* of a green, of all signals */
    /* With the option trips; those that end in "time" and the delay are means over vehicles */
    INFO_DELAY,
    INFO_TRIP_TIME,
    INFO_WAITING_TIME,
    INFO_UNFINISHED,
    INFO_NEVER_DEPARTED,
    INFO_COUNT
};

struct signals_slot {
    struct sumo_sim *sim; /* NULL: not started yet, or could not be */
    struct control control;
    struct sense sense;
    double end;          /* s: the episode's */
    double *last;        /* of each signal, see_pay() */
    uint64_t seed, number, length;
    double sums[INFO_COUNT];
    bool begun, lost;
    int stepping;        /* 1: the simulator works */
    char *why;           /* lost: the sentence */
    char trips[2][256];  /* files of this episode and the one before */
};

struct signals_kind { /* what a kind of rtc/env.h points to */
    float *low, *high;
    uint32_t *choices;
};

struct signals_env {
    uint32_t slots;
    struct signals_slot *slot;
    struct sumo_plan *plan;

    struct setup setup;
    struct control_rules rules;
    double delta, seconds, distance;
    enum see_observation observation;
    enum see_reward reward;
    bool one, shared, padded, trips;
    struct see_size size; /* padded: the largest; else of each signal */

    uint32_t n_kinds;
    struct rtc_env_kind *kinds;
    struct signals_kind *parts;
};

extern const struct rtc_env_option signals_options[]; /* ended by a key of NULL */

/* signals_open.c */
int signals_open(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec, void **ret_self);
void signals_close(void *self);
/* Starts the simulation of a slot, with the seed. */
int signals_start(struct signals_env *e, uint32_t slot, uint32_t seed);
/* The arguments with the file that the slot's trips go to. */
const char *const *signals_arguments(struct signals_env *e, uint32_t slot, uint32_t *ret_n);
struct see_size signals_size(const struct signals_env *e, uint32_t signal);

/* signals_step.c */
int signals_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds);
int signals_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows);
int signals_begin(void *self, struct rtc_env_step *step);
int signals_step(void *self, struct rtc_env_step *step);

#endif
