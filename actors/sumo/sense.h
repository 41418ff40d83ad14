/* What detectors would say of the lanes of a plan: counts, waiting times as sumo-rl adds them up,
 * queues as RESCO counts them. One for each simulation. */
#ifndef ACTORS_SUMO_SENSE_H
#define ACTORS_SUMO_SENSE_H

#include "actors/sumo/plan.h"

/* Counted at each look: what is not asked for costs nothing. */
enum sense_parts {
    SENSE_COUNTS = 1,  /* vehicles, halting, lengths; of all lanes of the plan */
    SENSE_WAITING = 2, /* sumo-rl's accumulated waiting */
    SENSE_SPEED = 4,
    SENSE_QUEUES = 8,  /* RESCO's */
    SENSE_ENTRIES = 16, /* who came onto a lane */
    SENSE_DELAY = 32    /* by signals */
};

/* Columns have a row for each lane of the plan, and are borrowed until the next look. */
struct sense {
    const struct sumo_plan *plan;
    uint32_t parts;
    double distance; /* m: RESCO's detectors see vehicles whose next signal is so near */

    const double *vehicles, *halting, *lengths; /* m: the mean length of the vehicles */
    /* Of the time that a vehicle waited in all (over --waiting-time-memory) what it waited on this
     * lane: the rest is what it had on others when it was last seen there. Summed over the lane, s. */
    double *waiting;
    double *shares; /* speed over what is allowed, summed */
    double *seen;   /* vehicles that this sum is over */
    /* Within the distance. A vehicle that was seen standing counts as queued, and its waiting time
     * grows, until it is no longer seen, even when it drives (RESCO's rule). */
    double *queue, *approach, *total_wait /* s */, *speed /* m/s, summed */;

    /* Vehicles that came onto the lane since the reset, less those that left it for another of the same
     * signal. */
    double *entries;

    double *coming; /* within the distance, on their way to this lane, and not on it yet */

    /* A row for each signal: of the vehicles whose next signal it is, and of those inside its junction,
     * the sum of 1 - speed over what is allowed, which is what SUMO adds to their time loss each
     * second; how many are inside the junction, and how many of these stand. */
    double *delays, *inside, *blocked;

    struct sense_vehicle *of; /* by the number of the vehicle */
    uint32_t n_of;
    struct sense_stay *stays;
    uint32_t n_stays, room_stays;
    uint32_t look; /* counts */
    void *memory;
};

bool sense_make(struct sense *s, const struct sumo_plan *plan, uint32_t parts, double distance);
void sense_free(struct sense *s);
/* What the simulation must bring; borrowed from the plan. */
struct sumo_wants sense_wants(const struct sense *s);
void sense_reset(struct sense *s); /* another episode */
/* Looks; `seconds` have gone since the last look (RESCO's waiting times). False: no memory. */
bool sense_look(struct sense *s, const struct sumo_view *view, double seconds);

#endif
