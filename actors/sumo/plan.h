/* What the signals of a net are to who controls them: green phases, the yellow between each two of
 * them, the lanes that lead to them, movements. Taken once from a simulation; read-only afterwards, and
 * good for all simulations of the same net. */
#ifndef ACTORS_SUMO_PLAN_H
#define ACTORS_SUMO_PLAN_H

#include "actors/sumo/sim.h"

#define PLAN_GREENS_MAX 64u /* of a signal */

struct plan_list { /* of numbers, each once */
    uint32_t *at;
    uint32_t n, room;
};

/* The phases of the signal's program 0 that show no yellow and not only red, in their order (as sumo-rl
 * takes them). Lanes here and below are numbers of struct sumo_plan's. */
struct plan_green {
    char *state;
    struct plan_list lanes; /* that it lets go: by G, or by g where it has no G */
    struct plan_list next;  /* lanes of other signals that these lead to, straight on if they may */
};
struct plan_movement { /* from an edge to an edge */
    struct plan_list lanes, next;
};
struct plan_signal {
    uint32_t number; /* of the simulation */
    char *id;
    char *program; /* its id: "0", or of the first that there is */
    uint32_t n_greens;
    struct plan_green *greens;
    char **yellows; /* [from * n_greens + to]: what shows between them */
    struct plan_list lanes; /* that lead to it, in the order of its links */
    struct plan_list outs;  /* that lead away from it */
    struct plan_list nexts; /* lanes of other signals that these lead to */
    uint32_t n_movements;
    struct plan_movement *movements; /* in the order of their first links */
    uint32_t n_links, *link_lanes;   /* by the index of a link: the lane that leads to it; NONE */
};
struct sumo_plan {
    uint32_t n_signals;
    struct plan_signal *signals;
    uint32_t n_lanes, n_in; /* the first n_in lead to signals; the others away from them */
    uint32_t *lanes;        /* numbers of the simulation */
    double *lengths;        /* m */
    uint32_t *owners;       /* the first of the signals that a lane leads to; SUMO_NONE */
    uint32_t n_at, *at;     /* lane of the simulation -> of the plan; SUMO_NONE */
    uint32_t *inside;       /* lane of the simulation -> the signal in whose junction it is; or NONE */
    uint32_t n_signal_at, *signal_at; /* signal of the simulation -> of the plan; SUMO_NONE */
};

/* ids: of signals with commas; NULL or "": all. `why` takes the sentence (SUMO_WHY_MAX bytes): which
 * signal, what is wrong with it, what to do.
 * Errors: RTC_E_NOT_FOUND no such signal; RTC_E_INVALID no signals at all, or one without green phases;
 * those of the simulation. */
int sumo_plan_make(struct sumo_sim *sim, const char *ids, struct sumo_plan **ret_plan, char *why);
void sumo_plan_free(struct sumo_plan **plan);
/* plan_maps.c: fills inside, signal_at and link_lanes, from the links of each signal. RTC_E_NOMEM. */
int sumo_plan_maps(struct sumo_plan *plan, struct sumo_sim *sim,
                   struct sumo_link *const *links, const uint32_t *n);

#endif
