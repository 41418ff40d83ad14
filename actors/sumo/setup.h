/* What the environments of SUMO are told alike: files or a scenario, the backend, arguments of the
 * simulator. The options that are read here are scenario, net_file, route_files, additional_files,
 * step_length, backend, gui, pin, time_to_teleport, max_depart_delay, waiting_time_memory, begin,
 * arguments, start_timeout, step_timeout, recycle_episodes and memory_limit; a class that lacks one in
 * its table does without it. Functions that fail have called rtc_env_fail(). */
#ifndef ACTORS_SUMO_SETUP_H
#define ACTORS_SUMO_SETUP_H

#include <rtc/env.h>

#include "actors/sumo/scenario.h"

#define SETUP_ARGUMENTS_MAX 64u /* of the simulator */

struct setup {
    struct sumo_options sim; /* its strings are ours, or of `texts` */
    struct scenario scenario;
    char *texts; /* options, one behind the other */
    const char *arguments[SETUP_ARGUMENTS_MAX]; /* the last eight are the class's to fill */
    uint32_t n_arguments;
};

/* Reads the options, and makes *config one whose values live as long as the setup: its list of
 * options is freed by the caller when it is another than before. */
int setup_read(struct setup *setup, struct rtc_env_config *config);
void setup_free(struct setup *setup);
/* Starts a simulation of a slot with these arguments, those of the setup first. */
int setup_start(const struct setup *setup, uint32_t slot, uint32_t seed,
                const char *const *arguments, uint32_t n, struct sumo_sim **ret_sim);
/* The sumocfg, or the net. */
const char *setup_name(const struct setup *setup);
/* One more argument. */
int setup_argument(struct setup *setup, const char *text);
/* Is the option ("--begin") among the arguments? */
bool setup_has(const struct setup *setup, const char *option);

/* NULL where it is empty. */
const char *setup_text(const struct rtc_env_config *config, const char *key);
/* An empty one is `otherwise`. */
int setup_number(const struct rtc_env_config *config, const char *key, double low, double high,
                 double otherwise, double *ret_x);
/* The number of the word; words are ended by NULL. */
int setup_word(const struct rtc_env_config *config, const char *key, const char *const *words,
               int *ret_i);

#endif
