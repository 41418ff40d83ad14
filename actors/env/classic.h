/* The environments of classic control, as classes of single ones, and their states for tests. */
#ifndef ACTORS_ENV_CLASSIC_H
#define ACTORS_ENV_CLASSIC_H

#include <rtc/env.h>

struct cartpole {
    double state[4]; /* x, its velocity, theta, its velocity */
};
struct acrobot {
    double state[4]; /* theta of both links, their velocities */
};
struct pendulum {
    double state[2]; /* theta, its velocity */
};

extern const struct rtc_env_single rtci_env_cartpole, rtci_env_acrobot, rtci_env_pendulum;

/* The row of the only agent; NULL: no room. */
static inline float *classic_row(struct rtc_env_rows *rows, uint32_t slot, uint32_t n_floats)
{
    struct rtc_env_row row;
    memset(&row, 0, sizeof(row));
    row.slot = slot;
    row.flags = RTC_ENV_ACTIVE;
    row.size = 4 * n_floats;
    return (float *)rtc_env_row_add(rows, &row, NULL);
}

#endif
