/* Acrobot-v1: swing the end of two links, driven at the joint between them, above a line (Sutton
 * 1996), as in Gymnasium: the equations of Sutton & Barto's book, one Runge-Kutta step of 0.2 s, -1
 * a step and 0 for the last one; truncated after 500. Sums and products stand in the order in which
 * Gymnasium has them. */
#include <math.h>

#include "actors/env/classic.h"

#define STEP     0.2 /* s */
#define GRAVITY  9.8
#define MASS_1   1.0
#define MASS_2   1.0
#define LENGTH_1 1.0
#define CENTRE_1 0.5 /* of mass, along the link */
#define CENTRE_2 0.5
#define INERTIA  1.0
#define SPEED_1  (4 * M_PI) /* at most */
#define SPEED_2  (9 * M_PI)

static const uint32_t choices[] = {3};
static const float high[] = {1, 1, 1, 1, (float)SPEED_1, (float)SPEED_2};
static const float low[] = {-1, -1, -1, -1, -(float)SPEED_1, -(float)SPEED_2};
static const struct rtc_env_kind kind = {
    .name = "acrobot",
    .observation = {.n_floats = 6, .low = low, .high = high},
    .action = {.n_choices = 1, .choices = choices},
};

static int acrobot_open(const struct rtc_env_config *config, void *params,
                        struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = ret_spec->n_kinds = 1;
    ret_spec->kinds = &kind;
    return 0;
}

/* Gymnasium rounds what an episode begins with to single precision. */
static int acrobot_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    for (int i = 0; i < 4; i++)
        ((struct acrobot *)state)->state[i] = (float)rtc_env_uniform(&seed, -0.1, 0.1);
    return 0;
}

/* The derivatives of the four parts of the state. */
static void derive(const double s[4], double torque, double ret_d[4])
{
    double theta1 = s[0], theta2 = s[1], speed1 = s[2], speed2 = s[3];
    double cosine2 = cos(theta2), sine2 = sin(theta2);
    double d1 =
        MASS_1 * (CENTRE_1 * CENTRE_1) +
        MASS_2 * (LENGTH_1 * LENGTH_1 + CENTRE_2 * CENTRE_2 + 2 * LENGTH_1 * CENTRE_2 * cosine2) +
        INERTIA + INERTIA;
    double d2 = MASS_2 * (CENTRE_2 * CENTRE_2 + LENGTH_1 * CENTRE_2 * cosine2) + INERTIA;
    double phi2 = MASS_2 * CENTRE_2 * GRAVITY * cos(theta1 + theta2 - M_PI / 2.0);
    double phi1 = -MASS_2 * LENGTH_1 * CENTRE_2 * (speed2 * speed2) * sine2 -
                  2 * MASS_2 * LENGTH_1 * CENTRE_2 * speed2 * speed1 * sine2 +
                  (MASS_1 * CENTRE_1 + MASS_2 * LENGTH_1) * GRAVITY * cos(theta1 - M_PI / 2) + phi2;
    double acc2 = (torque + d2 / d1 * phi1 -
                   MASS_2 * LENGTH_1 * CENTRE_2 * (speed1 * speed1) * sine2 - phi2) /
                  (MASS_2 * (CENTRE_2 * CENTRE_2) + INERTIA - d2 * d2 / d1);
    ret_d[0] = speed1;
    ret_d[1] = speed2;
    ret_d[2] = -(d2 * acc2 + phi1) / d1;
    ret_d[3] = acc2;
}

static void ahead(const double s[4], double dt, const double d[4], double ret_s[4])
{
    for (int i = 0; i < 4; i++)
        ret_s[i] = s[i] + dt * d[i];
}

/* Speeds are bounded, so these are a few turns. */
static double wrap(double x)
{
    while (x > M_PI)
        x -= 2 * M_PI;
    while (x < -M_PI)
        x += 2 * M_PI;
    return x;
}

static double bound(double x, double limit)
{
    return x > limit ? limit : x < -limit ? -limit : x;
}

static int acrobot_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    (void)params;
    double *s = ((struct acrobot *)state)->state, k1[4], k2[4], k3[4], k4[4], at[4];
    double torque = *(const int32_t *)turn->actions - 1;
    derive(s, torque, k1);
    ahead(s, STEP / 2.0, k1, at);
    derive(at, torque, k2);
    ahead(s, STEP / 2.0, k2, at);
    derive(at, torque, k3);
    ahead(s, STEP, k3, at);
    derive(at, torque, k4);
    for (int i = 0; i < 4; i++)
        s[i] += STEP / 6.0 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    s[0] = wrap(s[0]);
    s[1] = wrap(s[1]);
    s[2] = bound(s[2], SPEED_1);
    s[3] = bound(s[3], SPEED_2);
    bool reached = -cos(s[0]) - cos(s[1] + s[0]) > 1.0;
    turn->end = reached ? RTC_ENV_TERMINATED : 0;
    turn->rewards[0] = reached ? 0 : -1;
    return 0;
}

static int acrobot_observe(const void *params, const void *state, uint32_t slot,
                           const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params, (void)turn;
    const double *s = ((const struct acrobot *)state)->state;
    float *row = classic_row(rows, slot, 6);
    for (int i = 0; row && i < 2; i++) {
        row[2 * i] = (float)cos(s[i]);
        row[2 * i + 1] = (float)sin(s[i]);
        row[4 + i] = (float)s[2 + i];
    }
    return 0;
}

const struct rtc_env_single rtci_env_acrobot = {
    .abi = RTC_ENV_ABI,
    .max_episode_steps = 500,
    .name = "Acrobot-v1",
    .about = "swing two links above a line; 3 actions",
    .state_size = sizeof(struct acrobot),
    .open = acrobot_open,
    .reset = acrobot_reset,
    .step = acrobot_step,
    .observe = acrobot_observe,
};
