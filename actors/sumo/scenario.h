/* Scenarios by name or path. */
#ifndef ACTORS_SUMO_SCENARIO_H
#define ACTORS_SUMO_SCENARIO_H

#include "actors/sumo/sim.h"

#define SCENARIO_PATH_MAX 4096

struct scenario {
    char sumocfg[SCENARIO_PATH_MAX];
    char net[SCENARIO_PATH_MAX]; /* that was made for it; "": the sumocfg names its own */
    double seconds;              /* from its begin to its end; 0: it does not say */
};

/* A path of a .sumocfg, or the name of one in the folder of scenarios: RTC_SUMO_SCENARIOS,
 * share/rtc/sumo beside the program, or the build's. The net of a scenario NAME with a NAME.netgcfg
 * is made by netgenerate, of one with a NAME.netccfg by netconvert, when it is first used or its files
 * have changed, into XDG_CACHE_HOME or ~/.cache.
 * Errors, with a sentence in `why` (SUMO_WHY_MAX bytes): RTC_E_NOT_FOUND there is none (it lists those
 * there are); RTC_E_COMMAND its net could not be made. */
int scenario_find(const char *name, struct scenario *ret_scenario, char *why);
/* Calls fn with the name of each and the first comment of its file, in the order of names. */
int scenario_list(void (*fn)(void *arg, const char *name, const char *about), void *arg);

#endif
