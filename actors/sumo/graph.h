/* What a vehicle sees: itself and its neighbours, as a graph around it, and how near it came to a
 * collision with who drives ahead.
 *
 * An observation is a matrix of GRAPH_WIDTH columns: first the vehicle itself, then its neighbours,
 * one row each. Columns, of a row for vehicle j that vehicle i sees:
 *
 *   0      present       1; 0 in rows that only fill up
 *   1, 2   x, y          of its front, m / 1000: 0 to 1000 m is 0 to 1; netconvert's nets begin at 0
 *   3      speed         (m/s - 15) / 5
 *   4      acceleration  m/s² within -5 to 5, / 5
 *   5      lane          its index over the greatest of its edge; 0 on the right; 0 on a single lane
 *   6, 7   heading       sine and cosine of its angle; north is 0, clockwise
 *   8, 9   time          sine and cosine of 2π × seconds of the episode / time_period
 *   10     ahead         m from i to j along i's heading / 100; of the vehicle itself: 0, as the next
 *   11     aside         m to the left of it / 100
 *   12     closing       m/s of j - m/s of i, / 5
 *   13     relation      1: i follows j; -1: j follows i; 0: neither
 *
 * 1 to 9 are the features of a node, 10 to 13 those of an edge. Neighbours are the one ahead, the one
 * behind, then others from near to far by the straight distance of fronts (ties: who departed first);
 * "knn": up to so many; "radius": of these only who is not farther than the radius, but for the one
 * ahead and the one behind. Vehicles that are not on the road (a teleport) are not seen. */
#ifndef ACTORS_SUMO_GRAPH_H
#define ACTORS_SUMO_GRAPH_H

#include "actors/sumo/sim.h"

#define GRAPH_NODE           9u
#define GRAPH_EDGE           4u
#define GRAPH_WIDTH          (1 + GRAPH_NODE + GRAPH_EDGE)
#define GRAPH_NEIGHBOURS_MAX 64u
#define GRAPH_ROWS_MAX       (1 + GRAPH_NEIGHBOURS_MAX)

#define GRAPH_TTC_MAX  100.0 /* s: what is farther from a collision is as far */
#define GRAPH_DRAC_MAX 100.0 /* m/s² */

struct graph_lane { /* of an edge, from the right */
    uint32_t index, n;
};

struct graph_vehicle {
    uint32_t vehicle, type; /* numbers of the simulation */
    bool there;             /* on the road */
    double x, y, speed, acceleration, sine, cosine;
    uint32_t lane;      /* number of the simulation */
    double place;       /* column "lane" */
    uint32_t leader;    /* row; SUMO_NONE */
    uint32_t follower;  /* row of the nearest that follows it; SUMO_NONE */
    double gap;         /* m from its front to its leader's back */
};

struct graph_rules {
    const struct graph_lane *lanes; /* of the simulation */
    uint32_t n_lanes;
    uint32_t neighbours;
    bool within; /* the radius */
    double radius, period;
};

struct graph { /* of one simulation */
    struct graph_vehicle *at;
    uint32_t n, room;
    uint32_t *row_of; /* vehicle of the simulation -> row; SUMO_NONE */
    uint32_t n_row_of;
};

/* The variables of vehicles that are needed. */
uint32_t graph_wants(void);
void graph_free(struct graph *graph);
/* Looks at all vehicles, in the order of the view. False: no memory. */
bool graph_look(struct graph *graph, const struct graph_rules *rules, const struct sumo_view *view);
/* SUMO_NONE: not there. */
uint32_t graph_row(const struct graph *graph, uint32_t vehicle);
/* What the vehicle of that row sees, `time` s into the episode: rows are written one behind the other.
 * `to` has room for 1 + rules->neighbours. Returns how many there are. */
uint32_t graph_write(const struct graph *graph, const struct graph_rules *rules, uint32_t row,
                     double time, float *to);

/* Time to collision with the leader (s), and the deceleration that avoids it (m/s²), as they are
 * defined for two vehicles that keep their speeds: gap / (v - v_leader), (v - v_leader)² / (2 gap).
 * Who does not come nearer has GRAPH_TTC_MAX and 0; where there is no gap left, 0 and
 * GRAPH_DRAC_MAX. */
double graph_ttc(double gap, double speed, double leader_speed);
double graph_drac(double gap, double speed, double leader_speed);

#endif
