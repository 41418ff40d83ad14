#include "actors/sumo/drive.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rtc/env.h>

#include "actors/sumo/see.h"
#include "actors/sumo/signals.h"
#include "actors/sumo/vehicles.h"

#define OPTIONS_MAX 48u
#define SEEDS_MAX   100000u
#define SLOTS_MAX   256u

enum driver { DRIVER_HUMAN, DRIVER_IDLE, DRIVER_RANDOM, DRIVERS };
static const struct {
    const char *name, *about;
} drivers[DRIVERS] = {{"human", "nobody is driven: all drive as the scenario says"},
                      {"idle", "no acceleration, or the middle of the speeds; no change of lanes"},
                      {"random", "each action as likely"}};

struct drive {
    struct rtc_env_option options[OPTIONS_MAX];
    size_t n_options;
    const char *controllers;
    uint32_t seeds, first_seed, jobs;
};

/* ---- What there is ---- */

static void list_options(const char *name, const struct rtc_env_option *options)
{
    printf("options of the environment %s, what they are when they are not given, and what they "
           "say:\n",
           name);
    for (const struct rtc_env_option *o = options; o->key; o++)
        printf("  %-20s %-9s %s\n", o->key, *o->value ? o->value : "\"\"", o->about);
}

static int list_all(void)
{
    list_options("sumo-signals", signals_options);
    puts("observations:");
#define X(NAME, name, parts, about) printf("  %-20s %s\n", name, about);
    SEE_OBSERVATIONS(X)
#undef X
    puts("rewards:");
#define X(NAME, name, parts, about) printf("  %-20s %s\n", name, about);
    SEE_REWARDS(X)
#undef X
    list_options("sumo-vehicles", vehicles_options);
    puts("drivers, to be run with --scenario:");
    for (int i = 0; i < DRIVERS; i++)
        printf("  %-20s %s\n", drivers[i].name, drivers[i].about);
    return 0;
}

/* ---- Arguments ---- */

static bool whole(const char *option, const char *text, uint32_t low, uint32_t *ret_n)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end != text && !*end && text[0] != '-' && n >= low && n <= SEEDS_MAX) {
        *ret_n = (uint32_t)n;
        return true;
    }
    fprintf(stderr, "rtc sumo: --%s is \"%s\"; it must be a whole number from %u to %u\n", option,
            text, low, SEEDS_MAX);
    return false;
}

/* Later ones win. */
static bool set(struct drive *d, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text || d->n_options == OPTIONS_MAX) {
        fprintf(stderr,
                "rtc sumo: --set is \"%s\"; it must be KEY=VALUE, %u times at most; `rtc sumo env` "
                "names the keys\n",
                text, OPTIONS_MAX);
        return false;
    }
    *equals = '\0';
    size_t i = 0;
    while (i < d->n_options && strcmp(d->options[i].key, text) != 0)
        i++;
    d->options[i] = (struct rtc_env_option){.key = text, .value = equals + 1};
    d->n_options += i == d->n_options;
    return true;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct drive *d)
{
    static const struct option options[] = {
        {"scenario", 1, NULL, 's'}, {"controller", 1, NULL, 'c'},
        {"seeds", 1, NULL, 'n'},    {"first-seed", 1, NULL, 'f'},
        {"jobs", 1, NULL, 'j'},     {"set", 1, NULL, 'o'},
        {NULL, 0, NULL, 0}};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *d = (struct drive){.controllers = "human,idle,random",
                        .seeds = 5,
                        .first_seed = 1,
                        .jobs = (uint32_t)(cpus > 0 ? cpus : 1)};
    static char scenario[] = "scenario";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;
        switch (c) {
        case 's':
            d->options[d->n_options++] = (struct rtc_env_option){.key = scenario, .value = optarg};
            break;
        case 'c': d->controllers = optarg; break;
        case 'n': good = whole("seeds", optarg, 1, &d->seeds); break;
        case 'f': good = whole("first-seed", optarg, 0, &d->first_seed); break;
        case 'j': good = whole("jobs", optarg, 1, &d->jobs); break;
        case 'o': good = set(d, optarg); break;
        default: good = false;
        }
        if (!good || d->n_options == OPTIONS_MAX)
            return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "rtc sumo: \"%s\" is not an option; see rtc sumo --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

/* ---- Driving ---- */

struct cab { /* an environment, and room for a step of it */
    struct rtc_env *env;
    const struct rtc_env_spec *spec;
    struct rtc_env_rows rows;
    struct rtc_env_episodes episodes;
    char *actions;
    float *rewards;
    uint8_t *ends, *done; /* done: a byte a slot */
    double *sums, *means;
    uint64_t random[SLOTS_MAX]; /* of each slot: of its episode */
};

static void cab_free(struct cab *cab)
{
    rtc_env_close(&cab->env);
    void *const all[] = {cab->rows.data, cab->rows.table, cab->rows.masks,    cab->actions,
                         cab->rewards,   cab->ends,       cab->episodes.list, cab->sums,
                         cab->means,     cab->done};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

static int cab_open(struct cab *cab, const struct drive *d, enum driver driver, uint32_t slots)
{
    struct rtc_env_option options[OPTIONS_MAX + 1];
    struct rtc_env_config config = {.slots = slots, .options = options, .n_options = d->n_options};
    memset(cab, 0, sizeof(*cab));
    memcpy(options, d->options, d->n_options * sizeof(*options));
    if (driver == DRIVER_HUMAN) {
        size_t i = 0;
        while (i < config.n_options && strcmp(options[i].key, "share") != 0)
            i++;
        options[i] = (struct rtc_env_option){.key = "share", .value = "0"};
        config.n_options += i == config.n_options;
    }
    int rc = rtc_env_open("sumo-vehicles", &config, &cab->env);
    if (rc < 0)
        return rc;
    cab->spec = rtc_env_spec_of(cab->env);
    size_t rows = (size_t)slots * cab->spec->rows_max, n_infos = cab->spec->n_infos;
    cab->rows = (struct rtc_env_rows){.cap = (uint32_t)rows,
                                      .data = calloc(rows, cab->spec->observation_size),
                                      .size = rows * cab->spec->observation_size,
                                      .masks = calloc(rows, cab->spec->mask_size + 1),
                                      .table = calloc(rows, sizeof(struct rtc_env_row))};
    cab->actions = calloc(rows, cab->spec->action_size);
    cab->rewards = calloc(rows, sizeof(float));
    cab->ends = calloc(rows, 1);
    cab->done = calloc(slots, 1);
    cab->sums = calloc(slots * n_infos, sizeof(double));
    cab->means = calloc(n_infos, sizeof(double));
    cab->episodes = (struct rtc_env_episodes){
        .cap = slots, .list = calloc(slots, sizeof(struct rtc_env_episode)), .sums = cab->sums};
    bool good = cab->rows.data && cab->rows.masks && cab->rows.table && cab->actions &&
                cab->rewards && cab->ends && cab->done && cab->sums && cab->means &&
                cab->episodes.list;
    return good ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory for %zu rows", rows);
}

static void act(struct cab *cab, enum driver driver)
{
    const struct rtc_env_space *space = &cab->spec->kinds[0].action;
    for (uint32_t i = 0; i < cab->rows.n; i++) {
        char *to = cab->actions + i * cab->spec->action_size;
        uint64_t *random = &cab->random[cab->rows.table[i].slot];
        const uint8_t *mask = cab->rows.masks + i * cab->spec->mask_size;
        for (uint32_t k = 0; k < space->n_floats; k++, to += 4) {
            float x = driver == DRIVER_RANDOM ? (float)rtc_env_uniform(random, -1, 1) : 0;
            memcpy(to, &x, sizeof(x));
        }
        for (uint32_t k = 0; k < space->n_choices; mask += space->choices[k], k++, to += 4) {
            bool changes = k == space->n_choices - 1 && space->masked;
            int32_t x = changes ? 0 : (int32_t)(space->choices[k] / 2);
            if (driver == DRIVER_RANDOM)
                do {
                    x = (int32_t)(rtc_env_random(random) % space->choices[k]);
                } while (space->masked && !mask[x]);
            memcpy(to, &x, sizeof(x));
        }
    }
}

/* One episode of each slot; what comes behind it is not looked at. */
static int run_episodes(struct cab *cab, enum driver driver, const uint64_t *seeds, uint32_t n,
                        uint32_t *lost)
{
    struct rtc_env_step step = {.n = n,
                                .actions = cab->actions,
                                .rewards = cab->rewards,
                                .ends = cab->ends,
                                .rows = &cab->rows,
                                .episodes = &cab->episodes};
    uint32_t left = n;
    cab->rows.n = 0;
    memset(cab->done, 0, n);
    for (uint32_t i = 0; i < n; i++)
        cab->random[i] = ~seeds[i];
    int rc = rtc_env_reset(cab->env, 0, n, seeds, &cab->rows);
    while (rc == 0 && left > 0) {
        act(cab, driver);
        cab->rows.n = cab->episodes.n = 0;
        rc = rtc_env_step(cab->env, &step);
        for (uint32_t i = 0; rc == 0 && i < cab->episodes.n; i++) {
            const struct rtc_env_episode *episode = &cab->episodes.list[i];
            if (cab->done[episode->slot])
                continue;
            cab->done[episode->slot] = 1;
            left--;
            *lost += episode->ends & RTC_ENV_LOST ? 1 : 0;
            for (uint32_t k = 0; k < cab->spec->n_infos && !(episode->ends & RTC_ENV_LOST); k++)
                cab->means[k] += cab->sums[(size_t)i * cab->spec->n_infos + k];
        }
    }
    return rc < 0 ? rc : 0;
}

static int run(const struct drive *d, enum driver driver, bool first)
{
    uint32_t slots = d->jobs < d->seeds ? d->jobs : d->seeds, lost = 0;
    uint64_t seeds[SLOTS_MAX];
    struct cab cab;
    slots = slots < SLOTS_MAX ? slots : SLOTS_MAX;
    int rc = cab_open(&cab, d, driver, slots);
    for (uint32_t at = 0; at < d->seeds && rc == 0; at += slots) {
        uint32_t n = d->seeds - at < slots ? d->seeds - at : slots;
        for (uint32_t i = 0; i < n; i++)
            seeds[i] = d->first_seed + at + i;
        rc = run_episodes(&cab, driver, seeds, n, &lost);
    }
    if (rc < 0) {
        fprintf(stderr, "rtc sumo: %s\n", rtc_env_error());
        cab_free(&cab);
        return 1;
    }
    if (first)
        printf("means of %u episodes, seeds %u to %u:\n%-10s", d->seeds, d->first_seed,
               d->first_seed + d->seeds - 1, "");
    for (uint32_t k = 0; first && k < cab.spec->n_infos; k++)
        printf(" %11s", cab.spec->infos[k]);
    printf("%s%-10s", first ? "\n" : "", drivers[driver].name);
    for (uint32_t k = 0; k < cab.spec->n_infos; k++)
        printf(" %11.2f", cab.means[k] / (d->seeds > lost ? d->seeds - lost : 1));
    printf("%s\n", lost ? "  (some were lost: their simulations died)" : "");
    fflush(stdout);
    cab_free(&cab);
    return 0;
}

/* The next of names with commas; DRIVERS: there is none of that name. */
static enum driver next_driver(const char **at)
{
    size_t n = strcspn(*at, ",");
    int i = 0;
    while (i < DRIVERS && (strlen(drivers[i].name) != n || strncmp(drivers[i].name, *at, n) != 0))
        i++;
    *at += n + ((*at)[n] == ',');
    return (enum driver)i;
}

int drive_main(int argc, char **argv)
{
    struct drive d;
    if (argc == 1)
        return list_all();
    int rc = parse(argc, argv, &d);
    if (rc >= 0)
        return rc;
    for (const char *at = d.controllers; *at;) {
        if (next_driver(&at) == DRIVERS) {
            fprintf(stderr,
                    "rtc sumo: there is no driver in \"%s\" of that name; there are human, idle "
                    "and random\n",
                    d.controllers);
            return 2;
        }
    }
    bool first = true;
    for (const char *at = d.controllers; *at && rc <= 0; first = false)
        rc = run(&d, next_driver(&at), first);
    return rc > 0 ? rc : 0;
}
