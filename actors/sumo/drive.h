/* The environment of vehicles under drivers that learn nothing: what others are measured by. Needs the
 * environments of rtc/env.h. */
#ifndef ACTORS_SUMO_DRIVE_H
#define ACTORS_SUMO_DRIVE_H

#include <rtc/env.h>

#define DRIVE_OPTIONS_MAX 64u

enum driver { DRIVER_HUMAN, DRIVER_IDLE, DRIVER_RANDOM, DRIVERS };

struct drive {
    struct rtc_env_option options[DRIVE_OPTIONS_MAX];
    size_t n_options;
    uint32_t seeds, first_seed;
    uint32_t jobs; /* simulations at the same time, 256 at most */
};

const char *driver_name(enum driver driver);
const char *driver_about(enum driver driver);
/* Episodes with so many seeds: means of what each tells, in the order of the environment's infos
 * (VEHICLES_INFOS of them), less those that were lost. Errors: those of rtc/env.h. */
int drive(const struct drive *d, enum driver driver, double *means, uint32_t *ret_lost);

/* `rtc sumo env` (driving.c): the command with its arguments, argv[0] its name. Returns the exit
 * status. */
int drive_main(int argc, char **argv);

#endif
