/* An opened environment with room for its steps, for tests. */
#ifndef TESTS_SUMO_GYM_H
#define TESTS_SUMO_GYM_H

#include <rtc/env.h>

struct gym {
    struct rtc_env *env;
    const struct rtc_env_spec *spec;
    uint32_t n_rows; /* of all slots */
    float *seen, *final, *rewards;
    uint8_t *masks, *ends;
    int32_t *actions; /* spec->action_size for each row */
    struct rtc_env_row *table, *final_table;
    uint32_t *next, *finals_of; /* of the rows that acted */
    struct rtc_env_rows rows, finals;
    struct rtc_env_episodes episodes;
    double *sums;
};

/* sumo-signals, or another. Options as "key=value", ended by NULL. Returns what rtc_env_open() did. */
int gym_open(struct gym *gym, uint32_t slots, const char *const *options);
int gym_open_named(struct gym *gym, const char *name, uint32_t slots, const char *const *options);
void gym_close(struct gym *gym);
int gym_reset(struct gym *gym, const uint64_t *seeds);
int gym_step(struct gym *gym); /* all slots, with gym->actions */
/* Random greens for all, each drawn by rtc_env_random(). */
void gym_draw(struct gym *gym, uint64_t *random);
/* The sum of squares of the bits of all observations, as make_signals.py has it. */
uint64_t gym_digest(const struct gym *gym);

#endif
