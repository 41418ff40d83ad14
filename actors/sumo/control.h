/* The lights of one simulation: which green each signal shows, yellow between two greens, least and
 * greatest times. A decision is choices, then a stretch of simulation, in which yellows end by
 * themselves. Times are seconds of the simulation. */
#ifndef ACTORS_SUMO_CONTROL_H
#define ACTORS_SUMO_CONTROL_H

#include "actors/sumo/plan.h"

struct control_rules {
    double yellow;    /* s between two greens; 0: none */
    double min_green; /* a green lasts at least as long, yellow not counted */
    bool settled;     /* the first greens have lasted as long when an episode begins */
    double max_green; /* who chooses a green that was on for as long gets the next one; 0: for ever */
};

struct control_light {
    uint32_t green; /* shown, or behind the yellow that is shown */
    bool yellow;
    double since; /* when its yellow began, or that of the last change */
};

struct control {
    struct sumo_sim *sim;
    const struct sumo_plan *plan;
    struct control_rules rules;
    struct control_light *lights; /* of the plan's signals */
    double until;                  /* of the stretch that is simulated */
    struct sumo_counters counters; /* of all of it, when it is done */
};

/* Of an open simulation and a plan that live longer. False: no memory. */
bool control_make(struct control *c, struct sumo_sim *sim, const struct sumo_plan *plan,
                  const struct control_rules *rules);
void control_free(struct control *c);

/* The functions below give 0 or more, or an error of the simulation. */

/* After a reset: all signals show their first green. */
int control_reset(struct control *c);
/* May the signal change now? */
bool control_may_change(const struct control *c, uint32_t signal);
/* Shows the green when it may, else it stays with what it shows. */
int control_choose(struct control *c, uint32_t signal, uint32_t green);
/* Simulates `seconds`: begin, then next until it gives 0. In between the simulator works. */
int control_begin(struct control *c, double seconds);
int control_next(struct control *c);
int control_run(struct control *c, double seconds); /* both */

#endif
