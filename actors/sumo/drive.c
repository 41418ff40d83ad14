#include "actors/sumo/drive.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 256u

static const struct {
    const char *name, *about;
} drivers[DRIVERS] = {{"human", "nobody is driven: all drive as the scenario says"},
                      {"idle", "no acceleration, or the middle of the speeds; no change of lanes"},
                      {"random", "each action as likely"}};

const char *driver_name(enum driver driver)
{
    return drivers[driver].name;
}

const char *driver_about(enum driver driver)
{
    return drivers[driver].about;
}

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
    struct rtc_env_option options[DRIVE_OPTIONS_MAX + 1];
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

int drive(const struct drive *d, enum driver driver, double *means, uint32_t *ret_lost)
{
    uint32_t slots = d->jobs < d->seeds ? d->jobs : d->seeds;
    uint64_t seeds[SLOTS_MAX];
    struct cab cab;
    *ret_lost = 0;
    slots = slots < SLOTS_MAX ? slots : SLOTS_MAX;
    int rc = cab_open(&cab, d, driver, slots);
    for (uint32_t at = 0; at < d->seeds && rc == 0; at += slots) {
        uint32_t n = d->seeds - at < slots ? d->seeds - at : slots;
        for (uint32_t i = 0; i < n; i++)
            seeds[i] = d->first_seed + at + i;
        rc = run_episodes(&cab, driver, seeds, n, ret_lost);
    }
    for (uint32_t k = 0; rc == 0 && k < cab.spec->n_infos; k++)
        means[k] = cab.means[k] / (d->seeds > *ret_lost ? d->seeds - *ret_lost : 1);
    cab_free(&cab);
    return rc;
}
