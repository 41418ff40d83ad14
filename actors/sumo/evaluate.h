/* Episodes of a scenario under a controller, one for each seed, on several cores. */
#ifndef ACTORS_SUMO_EVALUATE_H
#define ACTORS_SUMO_EVALUATE_H

#include "actors/sumo/controllers.h"
#include "actors/sumo/scenario.h"
#include "actors/sumo/trips.h"

#define GRIDLOCK_SECONDS 300.0 /* of standing, after which SUMO would move a vehicle by magic */
#define GRIDLOCK_SHARE   0.1

struct evaluation {
    struct sumo_options sim; /* seed and extra are ours */
    const char *signals;     /* ids with commas; NULL: all */
    enum controller_kind controller;
    struct control_rules rules;
    double delta, seconds, distance;
    double begin;    /* s; negative: the scenario's */
    double teleport; /* s; -1: never */
    uint32_t first_seed, n_seeds, jobs;
    /* Called after each episode, by any thread but one at a time. May be NULL. */
    void (*done)(void *arg, const struct evaluation *e, uint32_t i);
    void *arg;
};
struct outcome { /* of an episode */
    uint32_t seed;
    struct trips trips;
    double queue; /* mean over decisions of all signals' queues over their number plus 1 (sic: RESCO) */
    uint32_t departed, teleports, collisions;
    uint32_t running, stuck; /* vehicles in the net at its end; of them those that stood for so long */
    bool gridlock;           /* stuck are the share of those running, or more */
    double wall;             /* s */
};

/* Fills n_seeds outcomes. `ret_report` (256 bytes) takes the backend.
 * Errors, with a sentence in `why` (SUMO_WHY_MAX bytes): those of the simulation and the plan. */
int evaluate(const struct evaluation *e, struct outcome *outcomes, char *ret_report, char *why);

struct spread {
    double mean, median, sd, min, max;
};
struct spread spread_of(const double *x, uint32_t n);

#endif
