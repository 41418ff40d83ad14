/* What an agent of a signal sees, and what it is paid: the definitions of sumo-rl (LucasAlegre/sumo-rl,
 * v1.4.5) and RESCO (Ault & Sharon 2021, Pi-Star-Lab/RESCO); and two that look inside the junction too,
 * where vehicles wait that turn: JUNCTION and DELAY, which is the loss of time of SUMO's trips. */
#ifndef ACTORS_SUMO_SEE_H
#define ACTORS_SUMO_SEE_H

#include "actors/sumo/control.h"
#include "actors/sumo/sense.h"

/* X(NAME, name, parts of sense.h, about) */
#define SEE_OBSERVATIONS(X)                                                                            \
    X(SUMO_RL, "sumo-rl", SENSE_COUNTS, "green one-hot, may change, density and queue of each lane")   \
    X(DRQ, "drq", SENSE_QUEUES, "for each lane: is it the phase, approaching, waiting, queue, speed")  \
    X(DRQ_NORM, "drq-norm", SENSE_QUEUES, "the same over 28, 28, 28 and 560: RESCO's IDQN and IPPO")   \
    X(MPLIGHT, "mplight", SENSE_QUEUES, "phase, for each movement queue minus queue behind it")        \
    X(WAVE, "wave", SENSE_QUEUES, "for each movement the vehicles within the distance")                \
    X(JUNCTION, "junction", SENSE_QUEUES | SENSE_DELAY,                                                \
      "green one-hot, vehicles inside the junction, of them standing; lanes: drq, vehicles to come")
#define SEE_REWARDS(X)                                                                                 \
    X(DIFF_WAITING_TIME, "diff-waiting-time", SENSE_WAITING, "(waiting before - waiting now) / 100")   \
    X(AVERAGE_SPEED, "average-speed", SENSE_SPEED, "mean of speed over what is allowed; 1: nobody")    \
    X(QUEUE, "queue", SENSE_COUNTS, "minus the halting vehicles")                                      \
    X(PRESSURE, "pressure", SENSE_COUNTS, "vehicles on lanes away minus on lanes that lead here")      \
    X(WAIT, "wait", SENSE_QUEUES, "minus RESCO's waiting time")                                        \
    X(WAIT_NORM, "wait-norm", SENSE_QUEUES, "the same over 224, from -4 to 4: IDQN and IPPO")          \
    X(RESCO_QUEUE, "resco-queue", SENSE_QUEUES, "minus RESCO's queues")                                \
    X(RESCO_PRESSURE, "resco-pressure", SENSE_QUEUES, "minus queues, plus those at the next signals")  \
    X(DELAY, "delay", SENSE_DELAY,                                                                     \
      "minus 1 - speed over what is allowed, of all vehicles whose next signal it is, over 28")        \
    X(CLEAR_DELAY, "clear-delay", SENSE_DELAY,                                                         \
      "the same; who stands inside the junction counts four times")

#define X(NAME, name, parts, about) SEE_##NAME,
enum see_observation { SEE_OBSERVATIONS(X) SEE_OBSERVATIONS_END };
#undef X
#define X(NAME, name, parts, about) PAY_##NAME,
enum see_reward { SEE_REWARDS(X) SEE_REWARDS_END };
#undef X

/* By its name; the END of the enumeration: there is none of it, and `ret_known` (size bytes) lists
 * those there are. */
enum see_observation see_observation_of(const char *name, char *ret_known, size_t size);
enum see_reward see_reward_of(const char *name, char *ret_known, size_t size);
uint32_t see_parts(enum see_observation observation, enum see_reward reward);

struct see_size { /* of a signal, or the largest of several: what a signal lacks is 0 then */
    uint32_t greens, lanes, movements;
};
struct see_size see_size_of(const struct plan_signal *signal);
/* Numbers of an observation; ret_shape takes 1 to 3 dimensions and ret_ndim how many. */
uint32_t see_floats(enum see_observation observation, struct see_size size, uint32_t *ret_shape,
                    uint32_t *ret_ndim);
void see_write(enum see_observation observation, const struct control *control,
               const struct sense *sense, uint32_t signal, struct see_size size, float *ret_x);

/* `last` keeps what diff-waiting-time compares with: 0 at the start of an episode. */
double see_pay(enum see_reward reward, const struct sense *sense, uint32_t signal, double *last);
/* Queued vehicles at a signal, RESCO's (SENSE_QUEUES). */
double see_queue(const struct sense *sense, uint32_t signal);

#endif
