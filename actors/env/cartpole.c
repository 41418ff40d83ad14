/* CartPole-v1: a pole on a cart that is pushed left or right (Barto, Sutton & Anderson 1983), with
 * the constants, order of roundings and rewards of Gymnasium's. An episode ends when the cart is
 * 2.4 from the middle or the pole leans by 12 degrees; after 500 steps it is truncated. */
#include <math.h>

#include "actors/env/classic.h"

#define GRAVITY     9.8
#define MASS_CART   1.0
#define MASS_POLE   0.1
#define LENGTH      0.5 /* half of the pole's */
#define FORCE       10.0
#define TAU         0.02 /* s */
#define X_LIMIT     2.4
#define ANGLE_LIMIT (12 * 2 * M_PI / 360)

struct params {
    bool sutton_barto; /* rewards: 0, and -1 for the fall; else 1 for each step */
};

static const uint32_t choices[] = {2};
static const float high[] = {(float)(X_LIMIT * 2), INFINITY, (float)(ANGLE_LIMIT * 2), INFINITY};
static const float low[] = {-(float)(X_LIMIT * 2), -INFINITY, -(float)(ANGLE_LIMIT * 2), -INFINITY};
static const struct rtc_env_kind kind = {
    .name = "cart",
    .observation = {.n_floats = 4, .low = low, .high = high},
    .action = {.n_choices = 1, .choices = choices},
};
static const struct rtc_env_option options[] = {
    {"sutton_barto_reward", "false", "0 for a step and -1 for the fall, instead of 1 for each"},
    {NULL, NULL, NULL}};

static int cartpole_open(const struct rtc_env_config *config, void *params,
                         struct rtc_env_spec *ret_spec)
{
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = ret_spec->n_kinds = 1;
    ret_spec->kinds = &kind;
    return rtc_env_option_bool(config, options[0].key, &((struct params *)params)->sutton_barto);
}

static int cartpole_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    for (int i = 0; i < 4; i++)
        ((struct cartpole *)state)->state[i] = rtc_env_uniform(&seed, -0.05, 0.05);
    return 0;
}

static int cartpole_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    const double mass = MASS_POLE + MASS_CART, pole = MASS_POLE * LENGTH;
    double *s = ((struct cartpole *)state)->state, x = s[0], x_dot = s[1], theta = s[2],
           theta_dot = s[3];
    double force = *(const int32_t *)turn->actions == 1 ? FORCE : -FORCE;
    double cosine = cos(theta), sine = sin(theta);
    double pushed = (force + pole * (theta_dot * theta_dot) * sine) / mass;
    double theta_acc = (GRAVITY * sine - cosine * pushed) /
                       (LENGTH * (4.0 / 3.0 - MASS_POLE * (cosine * cosine) / mass));
    double x_acc = pushed - pole * theta_acc * cosine / mass;
    s[0] = x + TAU * x_dot;
    s[1] = x_dot + TAU * x_acc;
    s[2] = theta + TAU * theta_dot;
    s[3] = theta_dot + TAU * theta_acc;
    bool fell = s[0] < -X_LIMIT || s[0] > X_LIMIT || s[2] < -ANGLE_LIMIT || s[2] > ANGLE_LIMIT;
    turn->end = fell ? RTC_ENV_TERMINATED : 0;
    turn->rewards[0] = ((const struct params *)params)->sutton_barto ? (fell ? -1 : 0) : 1;
    return 0;
}

static int cartpole_observe(const void *params, const void *state, uint32_t slot,
                            const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params, (void)turn;
    float *row = classic_row(rows, slot, 4);
    for (int i = 0; row && i < 4; i++)
        row[i] = (float)((const struct cartpole *)state)->state[i];
    return 0;
}

const struct rtc_env_single rtci_env_cartpole = {
    .abi = RTC_ENV_ABI,
    .max_episode_steps = 500,
    .name = "CartPole-v1",
    .about = "balance a pole on a cart; 2 actions",
    .options = options,
    .params_size = sizeof(struct params),
    .state_size = sizeof(struct cartpole),
    .open = cartpole_open,
    .reset = cartpole_reset,
    .step = cartpole_step,
    .observe = cartpole_observe,
};
