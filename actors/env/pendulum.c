/* Pendulum-v1: swing a pendulum up and hold it, with a continuous torque, as in Gymnasium. Never
 * terminated; truncated after 200 steps. The torque is of single precision, and so is what
 * Gymnasium (with NumPy 2) computes from it alone. */
#include <math.h>

#include "actors/env/classic.h"

#define SPEED_MAX  8.0
#define TORQUE_MAX 2.0f
#define STEP       0.05 /* s */

struct params {
    double gravity;
};

static const float high[] = {1, 1, (float)SPEED_MAX}, low[] = {-1, -1, -(float)SPEED_MAX};
static const float torque_high[] = {TORQUE_MAX}, torque_low[] = {-TORQUE_MAX};
static const struct rtc_env_kind kind = {
    .name = "pendulum",
    .observation = {.n_floats = 3, .low = low, .high = high},
    .action = {.n_floats = 1, .low = torque_low, .high = torque_high, .clips = true},
};
static const struct rtc_env_option options[] = {{"g", "10.0", "gravity, m/s^2"},
                                                {NULL, NULL, NULL}};

static int pendulum_open(const struct rtc_env_config *config, void *params,
                         struct rtc_env_spec *ret_spec)
{
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = ret_spec->n_kinds = 1;
    ret_spec->kinds = &kind;
    return rtc_env_option_f64(config, options[0].key, -1e3, 1e3,
                              &((struct params *)params)->gravity);
}

static int pendulum_reset(const void *params, void *state, uint64_t seed)
{
    double *s = ((struct pendulum *)state)->state;
    (void)params;
    s[0] = rtc_env_uniform(&seed, -M_PI, M_PI);
    s[1] = rtc_env_uniform(&seed, -1, 1);
    return 0;
}

/* Into [-pi, pi), by the rule of Python's %. */
static double normalize(double angle)
{
    double turn = fmod(angle + M_PI, 2 * M_PI);
    if (turn < 0)
        turn += 2 * M_PI;
    return turn - M_PI;
}

static int pendulum_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    double gravity = ((const struct params *)params)->gravity;
    double *s = ((struct pendulum *)state)->state, theta = s[0], speed = s[1];
    float u = *(const float *)turn->actions;
    u = u > TORQUE_MAX ? TORQUE_MAX : u < -TORQUE_MAX ? -TORQUE_MAX : u;
    double angle = normalize(theta);
    float effort = 0.001f * (u * u), push = 3.0f * u;
    turn->rewards[0] = -(angle * angle + 0.1 * (speed * speed) + (double)effort);
    speed += (3 * gravity / 2 * sin(theta) + (double)push) * STEP;
    speed = speed > SPEED_MAX ? SPEED_MAX : speed < -SPEED_MAX ? -SPEED_MAX : speed;
    s[0] = theta + speed * STEP;
    s[1] = speed;
    return 0;
}

static int pendulum_observe(const void *params, const void *state, uint32_t slot,
                            const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params, (void)turn;
    const double *s = ((const struct pendulum *)state)->state;
    float *row = classic_row(rows, slot, 3);
    if (!row)
        return 0;
    row[0] = (float)cos(s[0]);
    row[1] = (float)sin(s[0]);
    row[2] = (float)s[1];
    return 0;
}

const struct rtc_env_single rtci_env_pendulum = {
    .abi = RTC_ENV_ABI,
    .max_episode_steps = 200,
    .name = "Pendulum-v1",
    .about = "swing a pendulum up and hold it; a torque from -2 to 2",
    .options = options,
    .params_size = sizeof(struct params),
    .state_size = sizeof(struct pendulum),
    .open = pendulum_open,
    .reset = pendulum_reset,
    .step = pendulum_step,
    .observe = pendulum_observe,
};
