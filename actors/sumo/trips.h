/* What became of the vehicles of an episode, from SUMO's tripinfo output, by RESCO's definitions. */
#ifndef ACTORS_SUMO_TRIPS_H
#define ACTORS_SUMO_TRIPS_H

#include "actors/sumo/sim.h"

/* Arguments of `sumo` with which it writes the file that trips_read() reads. */
#define TRIPS_ARGUMENTS                                                                                \
    "--tripinfo-output.write-unfinished", "true", "--tripinfo-output.write-undeparted", "true"

struct trips { /* means over vehicles, s */
    uint32_t finished, unfinished, never_departed;
    double delay;    /* timeLoss + departDelay; of those that never got in, how long they waited */
    double duration; /* of those that departed; so is wait */
    double wait;     /* waitingTime: slower than 0.1 m/s */
};

/* The file is complete when the simulation was reset or closed. Removes it.
 * Errors, with a sentence in `why` (SUMO_WHY_MAX bytes): RTC_E_OS it cannot be read; RTC_E_PROTOCOL it
 * is not what it should be. */
int trips_read(const char *path, struct trips *ret_trips, char *why);

#endif
