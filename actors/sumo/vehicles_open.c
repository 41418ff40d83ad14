/* Opening: options, one simulation to learn the net from. */
#include "actors/sumo/vehicles.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MORE 1e9

/* ---- Options ---- */

static int read_words(struct vehicles_env *e, const struct rtc_env_config *config)
{
    static const char *const drives[] = {"acceleration", "speed", "discrete", NULL};
    static const char *const graphs[] = {"knn", "radius", NULL};
    static const char *const rewards[] = {"desired-velocity", "average-velocity", "own-velocity",
                                          NULL};
    int drive = 0, graph = 0, reward = 0, rc;
    if ((rc = setup_word(config, "actions", drives, &drive)) ||
        (rc = setup_word(config, "graph", graphs, &graph)) ||
        (rc = setup_word(config, "reward", rewards, &reward)) ||
        (rc = rtc_env_option_bool(config, "lane_change", &e->changes)) ||
        (rc = rtc_env_option_bool(config, "ragged", &e->ragged)) ||
        (rc = rtc_env_option_bool(config, "end_on_collision", &e->ends_on_collision)))
        return rc;
    e->type = setup_text(config, "type");
    e->prefix = setup_text(config, "prefix");
    e->drive = (enum vehicles_action)drive;
    e->reward = (enum vehicles_reward)reward;
    e->rules.within = graph;
    return 0;
}

static int read_whole(const struct rtc_env_config *config, const char *key, int64_t low,
                      int64_t high, int64_t otherwise, int64_t *ret_n)
{
    *ret_n = otherwise;
    return setup_text(config, key) ? rtc_env_option_i64(config, key, low, high, ret_n) : 0;
}

static int read_counts(struct vehicles_env *e, const struct rtc_env_config *config)
{
    int64_t agents, levels, speed, others, change, neighbours;
    int rc;
    if ((rc = read_whole(config, "agents", 1, VEHICLES_AGENTS_MAX, 20, &agents)) ||
        (rc = read_whole(config, "levels", 2, 65, 5, &levels)) ||
        (rc = read_whole(config, "speed_mode", 0, 127, SUMO_SPEED_MODE, &speed)) ||
        (rc = read_whole(config, "others_speed_mode", 0, 127, SUMO_SPEED_MODE, &others)) ||
        (rc = read_whole(config, "lane_change_mode", 0, 4095, e->changes ? 512 : -1, &change)) ||
        (rc = read_whole(config, "neighbours", 0, GRAPH_NEIGHBOURS_MAX, 10, &neighbours)))
        return rc;
    e->agents_max = (uint32_t)agents;
    e->levels = (uint32_t)levels;
    e->speed_mode = (int32_t)speed;
    e->others_mode = (int32_t)others;
    e->change_mode = (int32_t)change;
    e->rules.neighbours = (uint32_t)neighbours;
    return 0;
}

static int read_numbers(struct vehicles_env *e, const struct rtc_env_config *config)
{
    double otherwise = e->setup.scenario.seconds > 0 ? e->setup.scenario.seconds : 3600;
    int rc;
    if ((rc = setup_number(config, "share", 0, 1, 1, &e->share)) ||
        (rc = setup_number(config, "max_accel", 0.001, 100, 3, &e->max_accel)) ||
        (rc = setup_number(config, "max_decel", 0.001, 100, 3, &e->max_decel)) ||
        (rc = setup_number(config, "max_speed", 0.001, 300, 30, &e->max_speed)) ||
        (rc = setup_number(config, "radius", 0, MORE, 100, &e->rules.radius)) ||
        (rc = setup_number(config, "target_speed", 0.001, 300, 20, &e->target)) ||
        (rc = setup_number(config, "reward_offset", -MORE, MORE, 0, &e->offset)) ||
        (rc = setup_number(config, "collision_reward", -MORE, MORE, 0, &e->collision_reward)) ||
        (rc = setup_number(config, "headway_weight", 0, MORE, 0, &e->headway_weight)) ||
        (rc = setup_number(config, "headway_min", 0, MORE, 1, &e->headway_min)) ||
        (rc = setup_number(config, "acceleration_weight", 0, MORE, 0, &e->acceleration_weight)) ||
        (rc = setup_number(config, "delta_time", 0.001, MORE, 0, &e->delta)) ||
        (rc = setup_number(config, "num_seconds", 0.001, MORE, otherwise, &e->seconds)) ||
        (rc = setup_number(config, "warmup", 0, MORE, 0, &e->warmup)))
        return rc;
    return setup_number(config, "time_period", 0.001, MORE, e->seconds, &e->rules.period);
}

static int add_arguments(struct vehicles_env *e, const struct rtc_env_config *config)
{
    static const char *const actions[] = {"none", "warn", "teleport", "remove", NULL};
    bool junctions = true;
    const char *action = rtc_env_option(config, "collision_action");
    int rc = rtc_env_option_bool(config, "collision_junctions", &junctions);
    int known = 0;
    while (rc == 0 && actions[known] && strcmp(actions[known], action) != 0)
        known++;
    if (rc == 0 && !actions[known])
        rc = rtc_env_fail(
            RTC_E_INVALID,
            "option collision_action is \"%s\"; it must be none, warn, teleport or remove", action);
    if (rc == 0 && !setup_has(&e->setup, "--collision.action") &&
        !(rc = setup_argument(&e->setup, "--collision.action")))
        rc = setup_argument(&e->setup, actions[known]);
    if (rc == 0 && junctions && !setup_has(&e->setup, "--collision.check-junctions"))
        rc = setup_argument(&e->setup, "--collision.check-junctions");
    return rc;
}

static int read_options(struct vehicles_env *e, struct rtc_env_config *config)
{
    int rc = setup_read(&e->setup, config);
    if (rc == 0)
        rc = read_words(e, config);
    if (rc == 0)
        rc = read_counts(e, config);
    if (rc == 0)
        rc = read_numbers(e, config);
    return rc ? rc : add_arguments(e, config);
}

/* ---- The net ---- */

/* Lanes are named by their edge, an underscore, and their number from the right. */
static int learn_lanes(struct vehicles_env *e, struct sumo_sim *sim)
{
    struct names edges = {0};
    uint32_t n = sumo_sim_n_lanes(sim), most = 0;
    uint32_t *edge = calloc((size_t)n + 1, sizeof(*edge)),
             *count = calloc((size_t)n + 1, sizeof(*count));
    bool good = edge && count && (e->lanes = calloc((size_t)n + 1, sizeof(*e->lanes)));
    for (uint32_t i = 0; i < n && good; i++) {
        const char *name = sumo_sim_lane_name(sim, i), *end = strrchr(name, '_');
        size_t size = end ? (size_t)(end - name) : strlen(name);
        edge[i] = names_add(&edges, name, size);
        good = edge[i] != NAMES_NONE;
        e->lanes[i].index = end ? (uint32_t)strtoul(end + 1, NULL, 10) : 0;
        if (good)
            count[edge[i]]++;
    }
    for (uint32_t i = 0; i < n && good; i++) {
        e->lanes[i].n = count[edge[i]];
        if (sumo_sim_lane_name(sim, i)[0] != ':' && e->lanes[i].n > most)
            most = e->lanes[i].n;
    }
    names_free(&edges);
    free(edge);
    free(count);
    e->rules.lanes = e->lanes;
    e->rules.n_lanes = n;
    if (!good)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for %u lanes", n);
    if (e->changes && most < 2)
        return rtc_env_fail(RTC_E_INVALID,
                            "option lane_change: no edge of '%s' has two lanes; leave it out",
                            setup_name(&e->setup));
    return 0;
}

static int learn_steps(struct vehicles_env *e, struct sumo_sim *sim)
{
    e->step = sumo_sim_step_length(sim);
    if (!(e->delta > 0))
        e->delta = e->step;
    double n = round(e->delta / e->step);
    if (n < 1 || n > 1e6 || fabs(n * e->step - e->delta) > 1e-6)
        return rtc_env_fail(RTC_E_INVALID,
                            "option delta_time is %g s, and a simulation step %g s; it must be a "
                            "whole number of them",
                            e->delta, e->step);
    e->n_steps = (uint32_t)n;
    return 0;
}

/* The first slot's simulation stays: its first reset finds it running. */
static int learn_net(struct vehicles_env *e)
{
    uint32_t type;
    int rc =
        setup_start(&e->setup, 0, 0, e->setup.arguments, e->setup.n_arguments, &e->slot[0].sim);
    if (rc != 0)
        return rc;
    struct sumo_sim *sim = e->slot[0].sim;
    if (e->type && (rc = sumo_sim_type(sim, e->type, &type)) != 0)
        return rtc_env_fail(rc, "option type: %s", sumo_sim_error(sim));
    rc = learn_lanes(e, sim);
    return rc ? rc : learn_steps(e, sim);
}

/* ---- The spec ---- */

static void describe(struct vehicles_env *e)
{
    struct rtc_env_space *see = &e->kind.observation, *act = &e->kind.action;
    uint32_t rows = 1 + e->rules.neighbours;
    e->kind.name = "vehicle";
    see->n_floats = rows * GRAPH_WIDTH;
    see->ndim = 2;
    see->shape[0] = rows;
    see->shape[1] = GRAPH_WIDTH;
    e->low[0] = -1;
    e->high[0] = 1;
    if (e->drive == DRIVE_DISCRETE) {
        e->choices[act->n_choices++] = e->levels;
    } else {
        act->n_floats = 1;
        act->low = e->low;
        act->high = e->high;
        act->clips = true;
    }
    if (e->changes)
        e->choices[act->n_choices++] = CHANGES;
    act->choices = act->n_choices ? e->choices : NULL;
    act->masked = e->changes;
}

void vehicles_close(void *self)
{
    struct vehicles_env *e = self;
    for (uint32_t i = 0; e->slot && i < e->slots; i++) {
        struct vehicles_slot *s = &e->slot[i];
        sumo_sim_close(&s->sim);
        graph_free(&s->graph);
        free(s->agents);
        free(s->waiting.at);
        free(s->why);
    }
    free(e->slot);
    free(e->lanes);
    setup_free(&e->setup);
    free(e);
}

static int make_slots(struct vehicles_env *e, uint32_t n)
{
    e->slots = n;
    e->slot = calloc(n, sizeof(*e->slot));
    for (uint32_t i = 0; e->slot && i < n; i++)
        e->slot[i].seed = i;
    return e->slot ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
}

int vehicles_open(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec,
                  void **ret_self)
{
    static const char *const infos[VEHICLES_INFOS] = {VEHICLES_INFO_NAMES};
    struct vehicles_env *e = calloc(1, sizeof(*e));
    struct rtc_env_config own = *config;
    int rc = e ? make_slots(e, config->slots) : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    if (rc == 0)
        rc = read_options(e, &own);
    if (own.options != config->options)
        free((void *)(uintptr_t)own.options);
    for (uint32_t i = 0; i < config->slots && rc == 0; i++) {
        e->slot[i].agents = calloc(e->agents_max, sizeof(*e->slot[i].agents));
        if (!e->slot[i].agents)
            rc = rtc_env_fail(RTC_E_NOMEM, "out of memory for slot %u", i);
    }
    if (rc == 0)
        rc = learn_net(e);
    if (rc < 0) {
        if (e)
            vehicles_close(e);
        return rc;
    }
    describe(e);
    ret_spec->features = e->ragged ? RTC_ENV_RAGGED : 0;
    ret_spec->rows_max = e->agents_max;
    ret_spec->n_kinds = 1;
    ret_spec->kinds = &e->kind;
    ret_spec->n_infos = VEHICLES_INFOS;
    ret_spec->infos = infos;
    *ret_self = e;
    return 0;
}
