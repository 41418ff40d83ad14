#include "actors/sumo/see.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MIN_GAP    2.5 /* m between standing vehicles: SUMO's default, sumo-rl's constant */
#define LANE_FULL  28  /* vehicles: what RESCO divides by */
#define FAST       20  /* m/s, the same */
#define DRQ_VALUES 5
#define NEAR_FULL  10 /* vehicles: what JUNCTION divides by, so that usual numbers are about 1 */
#define CLEAR      3  /* times that who stands inside the junction counts more */
#define MOST       4  /* of its waiting times: a jam's grow without end */

struct entry {
    const char *name;
    uint32_t parts;
};
#define X(NAME, name, parts, about) [SEE_##NAME] = {name, parts},
static const struct entry observations[] = {SEE_OBSERVATIONS(X)};
#undef X
#define X(NAME, name, parts, about) [PAY_##NAME] = {name, parts},
static const struct entry rewards[] = {SEE_REWARDS(X)};
#undef X

static uint32_t find(const struct entry *entries, uint32_t n, const char *name, char *ret_known,
                     size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(entries[i].name, name) == 0)
            return i;
    }
    for (uint32_t i = 0; i < n && used < size; i++)
        used +=
            (size_t)snprintf(ret_known + used, size - used, "%s%s", i ? ", " : "", entries[i].name);
    return n;
}

enum see_observation see_observation_of(const char *name, char *ret_known, size_t size)
{
    return (enum see_observation)find(observations, SEE_OBSERVATIONS_END, name, ret_known, size);
}

enum see_reward see_reward_of(const char *name, char *ret_known, size_t size)
{
    return (enum see_reward)find(rewards, SEE_REWARDS_END, name, ret_known, size);
}

uint32_t see_parts(enum see_observation observation, enum see_reward reward)
{
    return observations[observation].parts | rewards[reward].parts;
}

/* ---- Observations ---- */

struct see_size see_size_of(const struct plan_signal *signal)
{
    return (struct see_size){signal->n_greens, signal->lanes.n, signal->n_movements};
}

uint32_t see_floats(enum see_observation observation, struct see_size size, uint32_t *ret_shape,
                    uint32_t *ret_ndim)
{
    uint32_t n = 0;
    *ret_ndim = 1;
    switch (observation) {
    case SEE_SUMO_RL: n = size.greens + 1 + 2 * size.lanes; break;
    case SEE_DRQ:
    case SEE_DRQ_NORM:
        n = size.lanes * DRQ_VALUES;
        *ret_ndim = 3;
        ret_shape[0] = 1;
        ret_shape[1] = size.lanes;
        ret_shape[2] = DRQ_VALUES;
        return n;
    case SEE_MPLIGHT: n = 1 + size.movements; break;
    case SEE_WAVE: n = size.movements; break;
    case SEE_JUNCTION: n = size.greens + 2 + size.lanes * DRQ_VALUES; break;
    case SEE_OBSERVATIONS_END: break;
    }
    ret_shape[0] = n;
    return n;
}

static double sum_of(const double *column, const struct plan_list *lanes)
{
    double sum = 0;
    for (uint32_t i = 0; i < lanes->n; i++)
        sum += column[lanes->at[i]];
    return sum;
}

/* How full of n vehicles the lane is, in sumo-rl's order of operations. */
static float share(const struct sense *sense, uint32_t lane, double n)
{
    double room = sense->plan->lengths[lane] / (MIN_GAP + sense->lengths[lane]), x = n / room;
    return (float)(x < 1 ? x : 1);
}

static void write_sumo_rl(const struct control *control, const struct sense *sense, uint32_t signal,
                          struct see_size size, float *x)
{
    const struct plan_list *lanes = &sense->plan->signals[signal].lanes;
    const struct control_light *light = &control->lights[signal];
    double since = sumo_sim_time(control->sim) - light->since;
    x[light->green] = 1;
    x[size.greens] = since > control->rules.min_green + control->rules.yellow - 1e-6;
    x += size.greens + 1;
    for (uint32_t i = 0; i < lanes->n; i++) {
        x[i] = share(sense, lanes->at[i], sense->vehicles[lanes->at[i]]);
        x[size.lanes + i] = share(sense, lanes->at[i], sense->halting[lanes->at[i]]);
    }
}

/* That the phase is compared with the number of the lane is RESCO's way. */
static void write_drq(const struct control *control, const struct sense *sense, uint32_t signal,
                      double full, double fast, float *x)
{
    const struct plan_list *lanes = &sense->plan->signals[signal].lanes;
    for (uint32_t i = 0; i < lanes->n; i++, x += DRQ_VALUES) {
        uint32_t lane = lanes->at[i];
        x[0] = i == control->lights[signal].green;
        x[1] = (float)(sense->approach[lane] / full);
        x[2] = (float)(sense->total_wait[lane] / full);
        x[3] = (float)(sense->queue[lane] / full);
        x[4] = (float)(sense->speed[lane] / fast / full);
    }
}

static void write_movements(enum see_observation observation, const struct control *control,
                            const struct sense *sense, uint32_t signal, float *x)
{
    const struct plan_signal *s = &sense->plan->signals[signal];
    bool wave = observation == SEE_WAVE;
    if (!wave)
        *x++ = (float)control->lights[signal].green;
    for (uint32_t i = 0; i < s->n_movements; i++) {
        const struct plan_movement *m = &s->movements[i];
        double here = sum_of(sense->queue, &m->lanes);
        x[i] = (float)(wave ? here + sum_of(sense->approach, &m->lanes)
                            : here - sum_of(sense->queue, &m->next));
    }
}

static void write_junction(const struct control *control, const struct sense *sense,
                           uint32_t signal, struct see_size size, float *x)
{
    const struct plan_list *lanes = &sense->plan->signals[signal].lanes;
    x[control->lights[signal].green] = 1;
    x[size.greens] = (float)(sense->inside[signal] / NEAR_FULL);
    x[size.greens + 1] = (float)(sense->blocked[signal] / NEAR_FULL);
    x += size.greens + 2;
    for (uint32_t i = 0; i < lanes->n; i++, x += DRQ_VALUES) {
        uint32_t lane = lanes->at[i];
        x[0] = (float)(sense->approach[lane] / NEAR_FULL);
        x[1] = (float)(sense->queue[lane] / NEAR_FULL);
        x[2] = (float)fmin(sense->total_wait[lane] / (NEAR_FULL * LANE_FULL), MOST);
        x[3] = (float)(sense->speed[lane] / (NEAR_FULL * FAST));
        x[4] = (float)(sense->coming[lane] / NEAR_FULL);
    }
}

void see_write(enum see_observation observation, const struct control *control,
               const struct sense *sense, uint32_t signal, struct see_size size, float *ret_x)
{
    uint32_t shape[3], ndim;
    memset(ret_x, 0, see_floats(observation, size, shape, &ndim) * sizeof(*ret_x));
    switch (observation) {
    case SEE_SUMO_RL: write_sumo_rl(control, sense, signal, size, ret_x); break;
    case SEE_DRQ: write_drq(control, sense, signal, 1, 1, ret_x); break;
    case SEE_DRQ_NORM: write_drq(control, sense, signal, LANE_FULL, FAST, ret_x); break;
    case SEE_MPLIGHT:
    case SEE_WAVE: write_movements(observation, control, sense, signal, ret_x); break;
    case SEE_JUNCTION: write_junction(control, sense, signal, size, ret_x); break;
    case SEE_OBSERVATIONS_END: break;
    }
}

/* ---- Rewards ---- */

double see_queue(const struct sense *sense, uint32_t signal)
{
    return sum_of(sense->queue, &sense->plan->signals[signal].lanes);
}

double see_pay(enum see_reward reward, const struct sense *sense, uint32_t signal, double *last)
{
    const struct plan_signal *s = &sense->plan->signals[signal];
    double x, before = *last;
    switch (reward) {
    case PAY_DIFF_WAITING_TIME:
        *last = sum_of(sense->waiting, &s->lanes) / 100.0;
        return before - *last;
    case PAY_AVERAGE_SPEED:
        x = sum_of(sense->seen, &s->lanes);
        return x > 0 ? sum_of(sense->shares, &s->lanes) / x : 1;
    case PAY_QUEUE: return -sum_of(sense->halting, &s->lanes);
    case PAY_PRESSURE:
        return sum_of(sense->vehicles, &s->outs) - sum_of(sense->vehicles, &s->lanes);
    case PAY_WAIT: return -sum_of(sense->total_wait, &s->lanes);
    case PAY_WAIT_NORM:
        x = -sum_of(sense->total_wait, &s->lanes) / (8 * LANE_FULL);
        return fmin(fmax(x, -4), 4);
    case PAY_RESCO_QUEUE: return -see_queue(sense, signal);
    case PAY_RESCO_PRESSURE: return sum_of(sense->queue, &s->nexts) - see_queue(sense, signal);
    case PAY_DELAY: return -sense->delays[signal] / LANE_FULL;
    case PAY_CLEAR_DELAY:
        return -(sense->delays[signal] + CLEAR * sense->blocked[signal]) / LANE_FULL;
    case SEE_REWARDS_END: break;
    }
    return 0;
}
