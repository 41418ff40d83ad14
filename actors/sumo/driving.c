/* `rtc sumo env`: what the environments can be told, and drivers of vehicles. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/sumo/drive.h"
#include "actors/sumo/signals.h"
#include "actors/sumo/vehicles.h"

#define SEEDS_MAX 100000u

struct arguments {
    struct drive d;
    const char *controllers;
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
        printf("  %-20s %s\n", driver_name((enum driver)i), driver_about((enum driver)i));
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
    if (!equals || equals == text || d->n_options == DRIVE_OPTIONS_MAX) {
        fprintf(stderr,
                "rtc sumo: --set is \"%s\"; it must be KEY=VALUE, %u times at most; `rtc sumo env` "
                "names the keys\n",
                text, DRIVE_OPTIONS_MAX);
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
static int parse(int argc, char **argv, struct arguments *a)
{
    struct drive *d = &a->d;
    static const struct option options[] = {
        {"scenario", 1, NULL, 's'}, {"controller", 1, NULL, 'c'},
        {"seeds", 1, NULL, 'n'},    {"first-seed", 1, NULL, 'f'},
        {"jobs", 1, NULL, 'j'},     {"set", 1, NULL, 'o'},
        {NULL, 0, NULL, 0}};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct arguments){
        .controllers = "human,idle,random",
        .d = {.seeds = 5, .first_seed = 1, .jobs = (uint32_t)(cpus > 0 ? cpus : 1)}};
    static char scenario[] = "scenario";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;
        switch (c) {
        case 's':
            d->options[d->n_options++] = (struct rtc_env_option){.key = scenario, .value = optarg};
            break;
        case 'c': a->controllers = optarg; break;
        case 'n': good = whole("seeds", optarg, 1, &d->seeds); break;
        case 'f': good = whole("first-seed", optarg, 0, &d->first_seed); break;
        case 'j': good = whole("jobs", optarg, 1, &d->jobs); break;
        case 'o': good = set(d, optarg); break;
        default: good = false;
        }
        if (!good || d->n_options == DRIVE_OPTIONS_MAX)
            return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "rtc sumo: \"%s\" is not an option; see rtc sumo --help\n", argv[optind]);
        return 2;
    }
    return -1;
}

static const char *info_name(int i)
{
    static const char *const names[VEHICLES_INFOS] = {VEHICLES_INFO_NAMES};
    return names[i];
}

static int run(const struct drive *d, enum driver driver, bool first)
{
    double means[VEHICLES_INFOS];
    uint32_t lost;
    if (drive(d, driver, means, &lost) < 0) {
        fprintf(stderr, "rtc sumo: %s\n", rtc_env_error());
        return 1;
    }
    if (first)
        printf("means of %u episodes, seeds %u to %u:\n%-10s", d->seeds, d->first_seed,
               d->first_seed + d->seeds - 1, "");
    for (int k = 0; first && k < VEHICLES_INFOS; k++)
        printf(" %11s", info_name(k));
    printf("%s%-10s", first ? "\n" : "", driver_name(driver));
    for (int k = 0; k < VEHICLES_INFOS; k++)
        printf(" %11.2f", means[k]);
    printf("%s\n", lost ? "  (some were lost: their simulations died)" : "");
    fflush(stdout);
    return 0;
}

/* The next of names with commas; DRIVERS: there is none of that name. */
static enum driver next_driver(const char **at)
{
    size_t n = strcspn(*at, ",");
    int i = 0;
    for (const char *name; i < DRIVERS; i++) {
        name = driver_name((enum driver)i);
        if (strlen(name) == n && strncmp(name, *at, n) == 0)
            break;
    }
    *at += n + ((*at)[n] == ',');
    return (enum driver)i;
}

int drive_main(int argc, char **argv)
{
    struct arguments a;
    if (argc == 1)
        return list_all();
    int rc = parse(argc, argv, &a);
    if (rc >= 0)
        return rc;
    for (const char *at = a.controllers; *at;) {
        if (next_driver(&at) == DRIVERS) {
            fprintf(stderr,
                    "rtc sumo: there is no driver in \"%s\" of that name; there are human, idle "
                    "and random\n",
                    a.controllers);
            return 2;
        }
    }
    bool first = true;
    for (const char *at = a.controllers; *at && rc <= 0; first = false)
        rc = run(&a.d, next_driver(&at), first);
    return rc > 0 ? rc : 0;
}
