/* The environment "sumo-vehicles": chosen vehicles of any scenario of SUMO are driven, others drive by
 * themselves. What its sources share; what it offers is in the table of its options
 * (vehicles_options.c), what an agent sees in graph.h.
 *
 * An agent is a vehicle: it begins when the vehicle departs, or when one of the `agents` before it has
 * made room, and ends (terminated) when it arrives, is taken out, or is teleported. Its number counts
 * the agents of the episode. Vehicles that wait for room drive by themselves meanwhile.
 *
 * In each simulation step of a decision an agent gets the speed that its action makes of the one it
 * has; the speedMode says which of SUMO's rules hold it back (bits: 1 safe speed, 2 greatest
 * acceleration, 4 greatest deceleration, 8 right of way, 16 red lights, 32 on the junction not; 31 is
 * SUMO's default, 0 none).
 *
 * Rewards are those of Flow (Wu et al. 2017, Vinitsky et al. 2018; flow/core/rewards.py,
 * flow/envs/merge.py), of the state at the end of a decision, with v the speeds of all vehicles and t
 * the target speed:
 *   desired-velocity   max(‖t‖ - ‖v - t‖, 0) / ‖t‖ (norms over the vehicles)
 *   average-velocity   mean of v / t
 *   own-velocity       the agent's own v / t: the only one in which agents are paid apart
 * plus headway_weight × Σ min(h - headway_min, 0) over agents (h: gap / speed, s), less
 * acceleration_weight × mean |acceleration| of the agents; of own-velocity the agent's own alone; plus
 * reward_offset. A decision in which vehicles collided pays 0, or collision_reward. Where vehicles
 * arrive, what is paid above 0 is lost by arriving: with an offset of -1 it is time that costs. */
#ifndef ACTORS_SUMO_VEHICLES_H
#define ACTORS_SUMO_VEHICLES_H

#include <rtc/env.h>

#include "actors/sumo/graph.h"
#include "actors/sumo/setup.h"
#include "actors/sumo/internal.h"

#define VEHICLES_AGENTS_MAX 256u
#define VEHICLES_TTC_LOW    1.5  /* s: below it a step of an agent counts as a conflict */
#define VEHICLES_DRAC_HIGH  3.35 /* m/s²: above it likewise */
#define SUMO_SPEED_MODE     31   /* what SUMO gives to every vehicle */

/* Sums over an episode: "return", "length", then these. */
enum vehicles_info {
    VEHICLES_RETURN,
    VEHICLES_LENGTH,
    VEHICLES_DEPARTED,
    VEHICLES_ARRIVED,
    VEHICLES_TELEPORTS,
    VEHICLES_COLLISIONS, /* vehicles in them, counted in each step */
    VEHICLES_AGENTS,
    /* m/s: means over simulation steps with vehicles (agents) of the mean over these. */
    VEHICLES_SPEED,
    VEHICLES_AGENT_SPEED,
    /* Of agents and who drives ahead of or behind them: the extremes of the episode, and how many
     * pairs × steps were beyond VEHICLES_TTC_LOW, VEHICLES_DRAC_HIGH. */
    VEHICLES_TTC_MIN,
    VEHICLES_DRAC_MAX,
    VEHICLES_CONFLICTS,
    VEHICLES_HARD_BRAKES,
    VEHICLES_INFOS
};

#define VEHICLES_INFO_NAMES                                                                \
    "return", "length", "departed", "arrived", "teleports", "collisions", "agents", "speed", \
        "agent_speed", "ttc_min", "drac_max", "conflicts", "hard_brakes"

enum vehicles_action { DRIVE_ACCELERATION, DRIVE_SPEED, DRIVE_DISCRETE };
enum vehicles_reward { PAY_DESIRED, PAY_AVERAGE, PAY_OWN };
enum vehicles_change { CHANGE_NONE, CHANGE_LEFT, CHANGE_RIGHT, CHANGES };

struct vehicles_agent {
    uint32_t vehicle, number; /* of the simulation; of the episode */
    uint32_t row;             /* of the graph; SUMO_NONE: it is gone */
    double action;            /* -1 to 1 */
    int32_t change;
    bool fresh; /* has not acted yet */
};

struct vehicles_slot {
    struct sumo_sim *sim; /* NULL: not started yet, or could not be */
    bool subscribed;
    struct graph graph;
    struct vehicles_agent *agents; /* in the order of their numbers */
    uint32_t n_agents, next;       /* number of the next */
    struct sumo_list waiting;      /* vehicles that were chosen and are no agents yet */
    double begin;                  /* s: the episode's */
    uint64_t seed, number, length, choice; /* choice: a random state */
    double sums[VEHICLES_INFOS];
    uint64_t n_speeds, n_agent_speeds; /* that the means are of */
    uint64_t departed;                 /* with those of the warmup */
    bool begun, lost, collided;
    uint32_t left; /* simulation steps of the decision */
    char *why;     /* lost: the sentence */
};

struct vehicles_env {
    uint32_t slots;
    struct vehicles_slot *slot;
    struct setup setup;
    struct graph_rules rules;
    struct graph_lane *lanes;
    double delta, seconds, warmup, share, step; /* step: s of the simulation's */
    uint32_t n_steps;                           /* of a decision */
    const char *type, *prefix;                  /* NULL: all */
    uint32_t agents_max;
    enum vehicles_action drive;
    uint32_t levels;
    bool changes, ragged, ends_on_collision;
    double max_accel, max_decel, max_speed;
    int32_t speed_mode, others_mode, change_mode; /* change_mode -1: as it is */
    enum vehicles_reward reward;
    double target, offset, collision_reward, headway_weight, headway_min, acceleration_weight;
    struct rtc_env_kind kind;
    float low[1], high[1];
    uint32_t choices[2];
};

extern const struct rtc_env_option vehicles_options[]; /* ended by a key of NULL */

/* vehicles_open.c */
int vehicles_open(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec,
                  void **ret_self);
void vehicles_close(void *self);

/* vehicles_drive.c: agents of one slot. Functions give 0, or an error of the simulation. */

/* After a simulation step: looks, and decides of each vehicle that departed whether it is chosen.
 * RTC_E_NOMEM where there is no memory; the simulation's sentence is not of it. */
int vehicles_look(struct vehicles_env *e, struct vehicles_slot *s);
/* Makes agents of those that wait, as long as there is room. */
int vehicles_adopt(struct vehicles_env *e, struct vehicles_slot *s);
/* Queues what the agents do in the next simulation step; first: of the decision. */
int vehicles_drive(struct vehicles_env *e, struct vehicles_slot *s, bool first);
/* What the bytes of an action mean. */
void vehicles_read_action(const struct vehicles_env *e, const void *bytes,
                          struct vehicles_agent *agent);
/* Which choices the vehicle of that row has. */
void vehicles_mask(const struct vehicles_env *e, const struct graph_vehicle *v, uint8_t *mask);

/* vehicles_pay.c */

/* Of the simulation step that was looked at: counts, speeds, how near it was to a collision. */
void vehicles_count(const struct vehicles_env *e, struct vehicles_slot *s);
/* Rewards of all that acted: `rewards` has a number for each. */
void vehicles_pay(const struct vehicles_env *e, const struct vehicles_slot *s, double *rewards);

/* vehicles_step.c */
int vehicles_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds);
int vehicles_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows);
int vehicles_begin(void *self, struct rtc_env_step *step);
int vehicles_step(void *self, struct rtc_env_step *step);

#endif
