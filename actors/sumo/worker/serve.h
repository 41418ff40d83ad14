/* Answers one message of TraCI out of libsumo. */
#ifndef ACTORS_SUMO_WORKER_SERVE_H
#define ACTORS_SUMO_WORKER_SERVE_H

#include "actors/sumo/traci.h"

enum serve_next { SERVE_ON, SERVE_CLOSED, SERVE_BROKEN };

/* `request` is at the first command. Broken: there is no simulation any more, and the answer says
 * why. */
enum serve_next serve_message(struct traci_in request, struct traci_out *answer);

#endif
