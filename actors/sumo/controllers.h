/* Controllers that need no learning: what a learnt one has to beat. */
#ifndef ACTORS_SUMO_CONTROLLERS_H
#define ACTORS_SUMO_CONTROLLERS_H

#include "actors/sumo/control.h"
#include "actors/sumo/sense.h"

/* X(NAME, name, m that its detectors see, about) */
#define CONTROLLERS(X)                                                                                 \
    X(FIXED, "fixed", 0, "fixed times: the net's program 0, run by SUMO")                              \
    X(ACTUATED, "actuated", 0, "SUMO's own actuated logic on program 0's phases, greens 5 to 50 s")    \
    X(WEBSTER, "webster", 0, "cycle and splits by Webster's formula from flows of the last minutes")   \
    X(LONGEST_QUEUE, "longest-queue", 200, "the green that lets most queued vehicles go")              \
    X(MAX_PRESSURE, "maxpressure", 200, "most queued vehicles, less those queued where they go")       \
    X(MAX_WAVE, "maxwave", 50, "most vehicles near, queued or not")                                    \
    X(RANDOM, "random", 0, "any green")

#define X(NAME, name, distance, about) CONTROLLER_##NAME,
enum controller_kind { CONTROLLERS(X) CONTROLLERS_END };
#undef X

struct controller_lights; /* Webster's plans */

struct controller {
    enum controller_kind kind;
    struct sumo_sim *sim; /* borrowed, as the plan is */
    const struct sumo_plan *plan;
    struct control control;
    struct sense sense;
    double delta; /* s between decisions */
    struct sumo_counters counters;
    uint64_t random;
    uint32_t *numbers; /* of the plan's signals */
    struct controller_lights *lights;
};

/* CONTROLLERS_END: there is none of that name; `ret_known` (size bytes) lists those there are. */
enum controller_kind controller_of(const char *name, char *ret_known, size_t size);
const char *controller_name(enum controller_kind kind);
const char *controller_about(enum controller_kind kind);

/* delta and rules are of those that decide (not of those that SUMO runs, and Webster's decides when it
 * likes). distance: 0 takes the controller's own. Errors: RTC_E_NOMEM. */
int controller_make(struct controller *c, enum controller_kind kind, struct sumo_sim *sim,
                    const struct sumo_plan *plan, const struct control_rules *rules, double delta,
                    double distance, uint64_t seed);
void controller_free(struct controller *c); /* zeroed is fine */
/* What the simulation must bring, from before controller_begin() on; borrowed. */
struct sumo_wants controller_wants(const struct controller *c);
/* At the beginning of an episode. Errors here and below: RTC_E_NOMEM, those of the simulation
 * (sumo_sim_error()). */
int controller_begin(struct controller *c);
/* Decides and simulates, until `until` (s), a decision's time at most; counts in c->counters. */
int controller_run(struct controller *c, double until);

/* webster.c */
int webster_begin(struct controller *c);
void webster_end(struct controller *c);
int webster_decide(struct controller *c);

#endif
