/* The learnt controller beside those that need no learning. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/run.h"
#include "actors/sumo/drive.h"
#include "actors/sumo/evaluate.h"

#define SEEDS       10
#define FIRST_SEED  1000000u /* SUMO's; training's are drawn from all there are */
#define NAME_COLUMN 24

static const char *option_of(const struct ppo_run *run, const char *key)
{
    const struct rtc_env_config *config = run->settings->train.env_config;
    for (size_t i = 0; i < config->n_options; i++) {
        if (strcmp(config->options[i].key, key) == 0 && config->options[i].value[0])
            return config->options[i].value;
    }
    return NULL;
}

static double number_of(const struct ppo_run *run, const char *key, double otherwise)
{
    const char *text = option_of(run, key);
    return text ? strtod(text, NULL) : otherwise;
}

enum column { DELAY, TRIP, WAIT, COLUMNS };
static const char *const infos[COLUMNS] = {"delay", "trip_time", "waiting_time"};

static void print_row(const char *name, const double values[COLUMNS][SEEDS])
{
    struct spread delay = spread_of(values[DELAY], SEEDS);
    printf("  %-*s %10.2f %8.2f %8.2f %12.2f %10.2f\n", NAME_COLUMN, name, delay.mean, delay.median,
           delay.max, spread_of(values[TRIP], SEEDS).mean, spread_of(values[WAIT], SEEDS).mean);
}

static uint32_t info_at(const struct rtc_env_spec *spec, const char *name)
{
    uint32_t at = 0;
    while (at < spec->n_infos && strcmp(spec->infos[at], name) != 0)
        at++;
    return at;
}

static void print_learned(const struct rtc_env_spec *spec, const double *sums)
{
    double values[COLUMNS][SEEDS];
    for (int k = 0; k < COLUMNS; k++) {
        uint32_t at = info_at(spec, infos[k]);
        for (uint32_t i = 0; i < SEEDS; i++)
            values[k][i] = at < spec->n_infos ? sums[i * spec->n_infos + at] : NAN;
    }
    print_row("learned (PPO)", values);
}

static int baseline(const struct ppo_run *run, const struct scenario *scenario,
                    enum controller_kind kind)
{
    struct evaluation e = {
        .sim = {.sumocfg_file = scenario->sumocfg,
                .net_file = scenario->net[0] ? scenario->net : option_of(run, "net_file"),
                .route_files = option_of(run, "route_files"),
                .additional_files = option_of(run, "additional_files"),
                .step_length = number_of(run, "step_length", 0)},
        .signals = option_of(run, "signals"),
        .controller = kind,
        .rules = {.yellow = number_of(run, "yellow_time", 3),
                  .min_green = number_of(run, "min_green", 0)},
        .delta = number_of(run, "delta_time", 10),
        .seconds = number_of(run, "num_seconds", scenario->seconds > 0 ? scenario->seconds : 3600),
        .begin = -1,
        .teleport = number_of(run, "time_to_teleport", -1),
        .first_seed = FIRST_SEED,
        .n_seeds = SEEDS,
        .jobs = run->plan->envs ? run->plan->envs : 1};
    struct outcome outcomes[SEEDS];
    char report[256], why[SUMO_WHY_MAX];
    int rc = evaluate(&e, outcomes, report, why);
    if (rc < 0) {
        printf("  %-*s %s\n", NAME_COLUMN, controller_name(kind), why);
        return rc;
    }
    double values[COLUMNS][SEEDS];
    for (int i = 0; i < SEEDS; i++) {
        values[DELAY][i] = outcomes[i].trips.delay;
        values[TRIP][i] = outcomes[i].trips.duration;
        values[WAIT][i] = outcomes[i].trips.wait;
    }
    print_row(controller_name(kind), values);
    return 0;
}

/* ---- Vehicles ---- */

static const char *const told[] = {"speed",   "agent_speed", "arrived",   "collisions",
                                   "ttc_min", "drac_max",    "conflicts", "hard_brakes"};
#define INFOS_MAX 64
#define N_TOLD    (sizeof(told) / sizeof(told[0]))

static void print_infos(const struct rtc_env_spec *spec, const char *name, const double *values)
{
    printf("  %-*s", NAME_COLUMN, name);
    for (size_t i = 0; i < N_TOLD; i++) {
        uint32_t at = info_at(spec, told[i]);
        printf(" %11.2f", at < spec->n_infos ? values[at] : NAN);
    }
    putchar('\n');
}

static void drive_as(const struct ppo_run *run, const struct train *train, enum driver driver)
{
    const struct rtc_env_config *config = run->settings->train.env_config;
    const struct rtc_env_spec *spec = train_spec(train);
    double means[INFOS_MAX];
    uint32_t lost;
    struct drive d = {.n_options = config->n_options,
                      .seeds = SEEDS,
                      .first_seed = FIRST_SEED,
                      .jobs = run->plan->envs ? run->plan->envs : 1};
    if (d.n_options > DRIVE_OPTIONS_MAX || spec->n_infos > INFOS_MAX)
        return;
    memcpy(d.options, config->options, d.n_options * sizeof(d.options[0]));
    if (drive(&d, driver, means, &lost) < 0)
        printf("  %-*s %s\n", NAME_COLUMN, driver_name(driver), rtc_env_error());
    else
        print_infos(spec, driver_name(driver), means);
}

static void compare_vehicles(struct ppo_run *run, struct train *train, const double *sums)
{
    const struct rtc_env_spec *spec = train_spec(train);
    double means[INFOS_MAX] = {0};
    const char *name = option_of(run, "scenario");
    run_line_note(&run->line, "");
    printf("%s on %d seeds that it was not trained on (m/s, s, m/s²; human: nobody is driven):\n",
           name ? name : "the scenario", SEEDS);
    printf("  %-*s", NAME_COLUMN, "");
    for (size_t i = 0; i < N_TOLD; i++)
        printf(" %11s", told[i]);
    putchar('\n');
    for (uint32_t i = 0; i < SEEDS * spec->n_infos && spec->n_infos <= INFOS_MAX; i++)
        means[i % spec->n_infos] += sums[i] / SEEDS;
    print_infos(spec, "learned (PPO)", means);
    drive_as(run, train, DRIVER_HUMAN);
    drive_as(run, train, DRIVER_RANDOM);
    fflush(stdout);
}

void ppo_compare(struct ppo_run *run, struct train *train)
{
    static const enum controller_kind kinds[] = {CONTROLLER_FIXED, CONTROLLER_ACTUATED,
                                                 CONTROLLER_MAX_PRESSURE};
    struct scenario scenario = {0};
    char why[SUMO_WHY_MAX];
    const struct rtc_env_spec *spec = train_spec(train);
    struct train_evaluation e = {.sums = calloc((size_t)SEEDS * spec->n_infos, sizeof(double))};
    const char *name = option_of(run, "scenario");
    int rc = e.sums ? train_evaluate(train, SEEDS, UINT64_C(0xfeed), &e) : RTC_E_NOMEM;
    if (rc < 0) {
        run_line_note(&run->line, train_error(train));
        free(e.sums);
        return;
    }
    if (run->settings->vehicles) {
        compare_vehicles(run, train, e.sums);
        free(e.sums);
        return;
    }
    if (name && scenario_find(name, &scenario, why) < 0)
        snprintf(scenario.sumocfg, sizeof(scenario.sumocfg), "%s", name);
    run_line_note(&run->line, "");
    printf("%s on %d seeds that it was not trained on:\n", name ? name : "the scenario", SEEDS);
    printf("  %-*s %10s %8s %8s %12s %10s\n", NAME_COLUMN, "", "delay, s", "median", "greatest",
           "trip time, s", "wait, s");
    print_learned(spec, e.sums);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        (void)!baseline(run, &scenario, kinds[i]);
    fflush(stdout);
    free(e.sums);
}
