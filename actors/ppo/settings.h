/* From what a user wrote to what a training does. */
#ifndef ACTORS_PPO_SETTINGS_H
#define ACTORS_PPO_SETTINGS_H

#include "actors/config/plan.h"
#include "actors/ppo/train.h"

#define TRAIN_OPTIONS_MAX (CONFIG_OPTIONS_MAX + 8u)

/* A training's options, and what they point to. */
struct train_settings {
    struct train_options train;
    struct rtc_env_config env_config;
    struct rtc_env_option options[TRAIN_OPTIONS_MAX];
    struct config_options given; /* what the user's of them are */
    bool sumo;                   /* the environment is that of traffic signals */
    bool vehicles;               /* that of vehicles */
};

/* The settings are borrowed as long as *ret is used. Without an environment it is traffic signals,
 * and without a scenario SUMO's crossing. Errors: RTC_E_INVALID, with a sentence in `why`. */
int train_settings(const struct ppo_settings *settings, const struct ppo_plan *plan,
                   struct train_settings *ret, char *why, size_t why_size);

#endif
