#include "actors/rollout/collect.h"
#include "actors/rollout/replay.h"
#include "actors/rollout/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct group {
    uint32_t first, n; /* slots */
    struct rtc_env_step step;
    uint32_t from; /* its rows that act now: from here on, so many */
    uint32_t acting;
    struct rtc_env_rows final; /* of the last step, room for all its rows */
    uint32_t *finals;
    char *within; /* actions within their bounds, where the environment would refuse others */
};

struct collector {
    struct collect_options options;
    struct rtc_env_config config;
    struct rtc_env *env;       /* NULL: it failed */
    struct rtc_env_spec *spec; /* a copy, whatever becomes of it */
    bool fresh;                /* its episodes have not begun */
    bool clips;                /* some actions have bounds that the environment does not see to */
    void *policy;
    size_t dist_size;
    uint32_t version, n_groups;
    struct group groups[COLLECT_GROUPS_MAX];
    struct rtc_env_rows rows; /* of the fragment at hand */
    struct fragment *fragment;
    uint64_t *random;
    struct replay replay; /* of greedy ones nothing is kept */
    float *values;        /* of final observations */
    uint64_t fragments;
    struct collect_counts counts;
    struct rtc_env_episodes ended; /* since the last run; grows */
    char lost[256];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Opening ---- */

static int make_group(struct collector *c, struct group *group)
{
    size_t rows = (size_t)group->n * c->spec->rows_max;
    struct rtc_env_rows *final = &group->final;
    *final = (struct rtc_env_rows){.cap = (uint32_t)rows,
                                   .data = malloc(rows * c->spec->observation_size),
                                   .size = rows * c->spec->observation_size,
                                   .stride = c->spec->observation_size,
                                   .masks = malloc(rows * c->spec->mask_size + 1),
                                   .table = calloc(rows, sizeof(struct rtc_env_row))};
    group->finals = calloc(rows, sizeof(group->finals[0]));
    bool clips = c->clips;
    group->within = clips ? malloc(rows * c->spec->action_size) : NULL;
    if (!final->data || !final->masks || !final->table || !group->finals ||
        (clips && !group->within))
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for %zu rows", rows);
    return 0;
}

static bool has_bounds(const struct rtc_env_space *space)
{
    return space->n_floats && !space->clips && (space->low || space->high);
}

static int make_groups(struct collector *c)
{
    for (uint32_t i = 0; i < c->spec->n_kinds; i++)
        c->clips |= has_bounds(&c->spec->kinds[i].action);
    uint32_t slots = c->spec->slots, n = c->options.groups ? c->options.groups : 1;
    n = n > COLLECT_GROUPS_MAX ? COLLECT_GROUPS_MAX : n;
    c->n_groups = n > slots ? slots : n;
    for (uint32_t g = 0, first = 0; g < c->n_groups; g++) {
        struct group *group = &c->groups[g];
        group->first = first;
        group->n = slots / c->n_groups + (g < slots % c->n_groups);
        first += group->n;
        int rc = make_group(c, group);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Each time it is opened, the episodes are other ones. */
static int begin_episodes(struct collector *c)
{
    uint64_t base = rtc_env_seed(c->options.seed, c->counts.opens - 1);
    uint64_t *seeds = calloc(c->spec->slots, sizeof(*seeds));
    int rc = seeds ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < c->spec->slots; i++) {
        seeds[i] = rtc_env_seed(base, (uint64_t)c->options.first_slot + i + 1);
        c->random[i] = ~seeds[i];
        replay_begin(&c->replay, i, seeds[i]);
    }
    for (uint32_t g = 0; rc == 0 && g < c->n_groups; g++) {
        struct group *group = &c->groups[g];
        group->final.n = 0;
        group->final.used = 0;
        rc = rtc_env_reset(c->env, group->first, group->n, seeds + group->first, &group->final);
    }
    free(seeds);
    c->fresh = rc < 0;
    return rc;
}

static int open_env(struct collector *c)
{
    c->counts.opens++;
    void *bytes = NULL;
    size_t size;
    int rc = rtc_env_open(c->options.env, &c->config, &c->env);
    c->fresh = true;
    if (rc < 0 || c->spec)
        return rc;
    rc = spec_pack(rtc_env_spec_of(c->env), &bytes, &size);
    if (rc == 0)
        rc = spec_unpack(bytes, size, &c->spec);
    free(bytes);
    return rc;
}

static int open_all(struct collector *c)
{
    const struct collect_options *options = &c->options;
    int rc = open_env(c);
    if (rc < 0 || (rc = make_groups(c)) < 0)
        return rc;
    size_t rows = (size_t)c->spec->slots * c->spec->rows_max;
    c->random = calloc(c->spec->slots, sizeof(c->random[0]));
    c->values = calloc(rows, sizeof(c->values[0]));
    if (!c->random || !c->values)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for %zu rows", rows);
    if ((rc = replay_init(&c->replay, c->spec->slots, c->spec->action_size)) < 0)
        return rc;
    rc = options->policy->open(c->spec, options->policy_config, options->policy_config_size,
                               (uint32_t)rows, &c->policy, &c->dist_size);
    return rc < 0 ? rc : 0;
}

/* What the config points to is the caller's, and needed again when the environment is. */
static int keep_config(struct collector *c, const struct rtc_env_config *config)
{
    c->config = config ? *config : (struct rtc_env_config){.slots = 1};
    c->config.options = NULL;
    if (!c->config.n_options)
        return 0;
    struct rtc_env_option *copy = calloc(c->config.n_options, sizeof(*copy));
    if (!copy)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    for (size_t i = 0; i < c->config.n_options; i++) {
        copy[i].key = strdup(config->options[i].key);
        copy[i].value = strdup(config->options[i].value);
    }
    c->config.options = copy;
    return 0;
}

int collector_open(const struct collect_options *options, struct collector **ret)
{
    struct collector *c = calloc(1, sizeof(*c));
    if (!c)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    c->options = *options;
    c->options.env = strdup(options->env);
    int rc = keep_config(c, options->config);
    if (rc == 0)
        rc = open_all(c);
    if (rc < 0)
        collector_close(&c);
    *ret = c;
    return rc < 0 ? rc : 0;
}

void collector_close(struct collector **collector)
{
    struct collector *c = *collector;
    if (!c)
        return;
    rtc_env_close(&c->env);
    if (c->policy)
        c->options.policy->close(c->policy);
    for (uint32_t g = 0; g < c->n_groups; g++) {
        free(c->groups[g].final.data);
        free(c->groups[g].final.masks);
        free(c->groups[g].final.table);
        free(c->groups[g].finals);
        free(c->groups[g].within);
    }
    for (size_t i = 0; i < c->config.n_options; i++) {
        free((char *)(uintptr_t)c->config.options[i].key);
        free((char *)(uintptr_t)c->config.options[i].value);
    }
    free((void *)(uintptr_t)c->config.options);
    free((char *)(uintptr_t)c->options.env);
    free(c->spec);
    free(c->random);
    replay_fini(&c->replay);
    free(c->values);
    free(c->ended.list);
    free(c->ended.sums);
    free(c);
    *collector = NULL;
}

/* ---- Acting ---- */

static int act(struct collector *c, const struct group *group, bool values_only)
{
    struct fragment *f = c->fragment;
    uint32_t at = group->from;
    struct rollout_batch batch = {
        .n = group->acting,
        .rows = f->table + at,
        .observations = (char *)f->observations + (size_t)at * c->spec->observation_size,
        .masks = f->masks ? f->masks + (size_t)at * c->spec->mask_size : NULL,
        .random = c->random,
        .greedy = c->options.greedy,
        .values_only = values_only,
        .values = f->values + at};
    if (!values_only) {
        batch.actions = (char *)f->actions + (size_t)at * c->spec->action_size;
        batch.log_probs = f->log_probs + at;
        batch.dists = f->dists ? (char *)f->dists + (size_t)at * c->dist_size : NULL;
    }
    uint64_t begin = now_ns();
    int rc = batch.n ? c->options.policy->act(c->policy, &batch) : 0;
    c->counts.policy_ns += now_ns() - begin;
    return rc;
}

/* The fragment keeps them as they were drawn: that is what their probabilities are of. */
static const void *within_bounds(struct collector *c, const struct group *group)
{
    const struct fragment *f = c->fragment;
    size_t size = c->spec->action_size;
    const char *drawn = (char *)f->actions + group->from * size;
    if (!c->clips)
        return drawn;
    memcpy(group->within, drawn, group->acting * size);
    for (uint32_t i = 0; i < group->acting; i++) {
        const struct rtc_env_space *space = &c->spec->kinds[f->table[group->from + i].kind].action;
        for (uint32_t k = 0; has_bounds(space) && k < space->n_floats; k++) {
            float x;
            memcpy(&x, group->within + i * size + 4 * k, 4);
            x = space->low && x < space->low[k] ? space->low[k] : x;
            x = space->high && x > space->high[k] ? space->high[k] : x;
            memcpy(group->within + i * size + 4 * k, &x, 4);
        }
    }
    return group->within;
}

/* Room for one more episode of each slot. */
static int grow_ended(struct collector *c)
{
    struct rtc_env_episodes *ended = &c->ended;
    if (ended->n + c->spec->slots <= ended->cap)
        return 0;
    uint32_t cap = 2 * (ended->cap + c->spec->slots);
    struct rtc_env_episode *list = realloc(ended->list, cap * sizeof(*list));
    ended->list = list ? list : ended->list;
    double *sums = realloc(ended->sums, (size_t)cap * c->spec->n_infos * sizeof(*sums));
    ended->sums = sums ? sums : ended->sums;
    if (!list || !sums)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for %u episodes", cap);
    ended->cap = cap;
    return 0;
}

static int begin(struct collector *c, struct group *group)
{
    struct fragment *f = c->fragment;
    uint32_t at = group->from;
    group->final.n = 0;
    group->final.used = 0;
    group->step = (struct rtc_env_step){.first = group->first,
                                        .n = group->n,
                                        .actions = within_bounds(c, group),
                                        .rewards = f->rewards + at,
                                        .ends = f->ends + at,
                                        .next = f->next + at,
                                        .finals = group->finals,
                                        .rows = &c->rows,
                                        .final = &group->final,
                                        .episodes = &c->ended};
    int rc = grow_ended(c);
    if (rc < 0)
        return rc;
    replay_step(&c->replay, group->first, group->n);
    for (uint32_t i = at; !c->options.greedy && i < at + group->acting; i++)
        replay_act(&c->replay, f->table[i].slot,
                   (const char *)f->actions + i * c->spec->action_size);
    uint64_t from = now_ns();
    rc = rtc_env_begin(c->env, &group->step);
    c->counts.env_ns += now_ns() - from;
    return rc;
}

/* Of new rows, and of last observations: policies and learners see all of them as long. */
static void fill_up(const struct collector *c, const struct group *group, uint32_t from)
{
    if (!(c->spec->features & RTC_ENV_RAGGED))
        return;
    rtc_env_rows_fill(&c->rows, from);
    rtc_env_rows_fill(&group->final, 0);
}

/* What the policy thinks would still have come where an episode was broken off. */
static int bootstrap(struct collector *c, const struct group *group)
{
    const struct fragment *f = c->fragment;
    struct rollout_batch batch = {.n = group->final.n,
                                  .rows = group->final.table,
                                  .observations = group->final.data,
                                  .masks = c->spec->mask_size ? group->final.masks : NULL,
                                  .random = c->random,
                                  .values_only = true,
                                  .values = c->values};
    bool any = false;
    for (uint32_t i = 0; i < group->acting; i++)
        any |= f->ends[group->from + i] == RTC_ENV_TRUNCATED;
    if (any && batch.n) {
        int rc = c->options.policy->act(c->policy, &batch);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < group->acting; i++) {
        bool counts =
            f->ends[group->from + i] == RTC_ENV_TRUNCATED && group->finals[i] != RTC_ENV_NONE;
        f->bootstraps[group->from + i] = counts ? c->values[group->finals[i]] : 0;
    }
    return 0;
}

static int finish(struct collector *c, struct group *group)
{
    struct fragment *f = c->fragment;
    uint32_t before = c->rows.n, episodes = c->ended.n;
    uint64_t from = now_ns();
    int rc = rtc_env_finish(c->env, &group->step);
    c->counts.env_ns += now_ns() - from;
    if (rc >= 0)
        fill_up(c, group, before);
    if (rc < 0 || (rc = bootstrap(c, group)) < 0)
        return rc;
    for (uint32_t i = group->from; i < group->from + group->acting; i++) {
        f->versions[i] = c->version;
        c->counts.active += f->table[i].flags & RTC_ENV_ACTIVE ? 1 : 0;
    }
    for (uint32_t i = episodes; i < c->ended.n; i++) {
        struct rtc_env_episode *episode = &c->ended.list[i];
        replay_next(&c->replay, episode->slot);
        c->counts.lost += episode->ends & RTC_ENV_LOST ? 1 : 0;
        if (episode->ends & RTC_ENV_LOST && episode->why)
            snprintf(c->lost, sizeof(c->lost), "%s", episode->why);
        episode->why = NULL;
    }
    c->counts.episodes += c->ended.n - episodes;
    c->counts.rows += group->acting;
    group->from = before;
    group->acting = c->rows.n - before;
    return 0;
}

/* ---- Running ---- */

static int first_rows(struct collector *c, struct group *group)
{
    group->from = c->rows.n;
    int rc = rtc_env_observe(c->env, group->first, group->n, &c->rows);
    group->acting = c->rows.n - group->from;
    if (rc == 0) {
        fill_up(c, group, group->from);
        rc = act(c, group, false);
    }
    return rc < 0 ? rc : begin(c, group);
}

static int run(struct collector *c, uint32_t steps)
{
    int rc = 0;
    for (uint32_t g = 0; rc >= 0 && g < c->n_groups; g++)
        rc = first_rows(c, &c->groups[g]);
    for (uint32_t t = 1; rc >= 0 && t <= steps; t++) {
        for (uint32_t g = 0; rc >= 0 && g < c->n_groups; g++) {
            rc = finish(c, &c->groups[g]);
            if (rc >= 0 && t == steps && g == 0)
                c->fragment->head->acted = c->groups[0].from;
            if (rc >= 0)
                rc = act(c, &c->groups[g], t == steps);
            if (rc >= 0 && t < steps)
                rc = begin(c, &c->groups[g]);
        }
    }
    return rc < 0 ? rc : 0;
}

int collector_run(struct collector *c, struct fragment *fragment)
{
    const struct fragment_shape *shape = &fragment->head->shape;
    c->fragment = fragment;
    c->ended.n = 0;
    c->rows = (struct rtc_env_rows){.cap = shape->cap,
                                    .data = fragment->observations,
                                    .size = (size_t)shape->cap * shape->observation_size,
                                    .stride = shape->observation_size,
                                    .masks = fragment->masks,
                                    .table = fragment->table};
    int rc = 0;
    if (!c->env)
        rc = open_env(c);
    if (rc == 0 && c->fresh)
        rc = begin_episodes(c);
    if (rc == 0)
        rc = run(c, shape->steps);
    if (rc < 0) {
        rtc_env_close(&c->env); /* nothing is known of it */
        return rc;
    }
    fragment->head->rows = c->rows.n;
    fragment->head->version = c->version;
    fragment->head->number = c->fragments++;
    return 0;
}

int collector_save(struct collector *c, void **ret_data, size_t *ret_size)
{
    if (!c->env || c->fresh)
        return rtc_env_fail(RTC_E_NOT_FOUND, "no episode is open");
    return replay_pack(&c->replay, c->env, c->random, c->counts.opens, ret_data, ret_size);
}

int collector_restore(struct collector *c, const void *data, size_t size)
{
    uint64_t opens = 0;
    int rc = c->env ? 0 : open_env(c);
    if (rc == 0)
        rc = replay_unpack(&c->replay, c->env, data, size, c->random, &opens);
    if (rc < 0) {
        rtc_env_close(&c->env);
        return rc;
    }
    for (uint32_t g = 0; g < c->n_groups; g++)
        c->groups[g].final.n = 0;
    c->counts.opens = opens;
    c->fresh = false;
    return 0;
}

int collector_load(struct collector *c, uint32_t version, const void *weights, size_t size)
{
    int rc = c->options.policy->load(c->policy, weights, size);
    if (rc == 0)
        c->version = version;
    return rc;
}

/* ---- Asking ---- */

const struct rtc_env_spec *collector_spec(const struct collector *c)
{
    return c->spec;
}

struct fragment_shape collector_shape(const struct collector *c, uint32_t steps)
{
    return fragment_shape_of(c->spec, c->dist_size, steps);
}

struct collect_episodes collector_episodes(const struct collector *c)
{
    return (struct collect_episodes){c->ended.list, c->ended.sums, c->ended.n};
}

struct collect_counts collector_counts(const struct collector *c)
{
    return c->counts;
}

const char *collector_lost(const struct collector *c)
{
    return c->lost;
}
