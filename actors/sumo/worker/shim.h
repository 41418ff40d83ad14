/* libsumo for C. One simulation in this process. Functions that fail return false and leave a
 * sentence in `why` (SHIM_WHY_MAX bytes); no exception gets out. Values are written and read as
 * TraCI has them, with their type in front, so that both backends say the same bytes. */
#ifndef ACTORS_SUMO_WORKER_SHIM_H
#define ACTORS_SUMO_WORKER_SHIM_H

#include "actors/sumo/traci.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHIM_WHY_MAX 512

const char *shim_version(void); /* "SUMO 1.15.0" */
int32_t shim_api(void);
void shim_warm(void); /* what can be done once, before workers are forked */
/* Ends the simulation there was. One that cannot be loaded leaves none. */
bool shim_load(const char *const *arguments, uint32_t n, char *why);
bool shim_step(double until, char *why);
void shim_close(void);

bool shim_get(uint8_t command, uint8_t variable, const char *id, struct traci_out *out, char *why);
bool shim_set(uint8_t command, uint8_t variable, const char *id, struct traci_in *value, char *why);

/* Writes the first answer. */
bool shim_subscribe(uint8_t command, const char *id, const uint8_t *variables, uint8_t n,
                    struct traci_out *out, char *why);
bool shim_unsubscribe(uint8_t command, const char *id);
/* Subscribes to each vehicle when it departs; n = 0: no longer, and ends those to vehicles. */
void shim_follow(const uint8_t *variables, uint8_t n);
/* Of a leg: the subscriptions to the simulation alone. */
void shim_collect_leg(struct traci_out *out);
/* Forgets vehicles that arrived, then writes how many answers there are, and all. */
void shim_collect(struct traci_out *out);

#ifdef __cplusplus
}
#endif
#endif
