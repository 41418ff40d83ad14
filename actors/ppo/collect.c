/* Rows are written where the batch has them; the environment says for each where it goes on. */
#include "actors/ppo/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON 16u /* steps: as long as a thread takes to wake up */

static int refuse(char *why, size_t size, const struct rtc_env_spec *spec, const char *what)
{
    snprintf(why, size, "%s cannot be learnt by PPO: %s", spec->name, what);
    return RTC_E_INVALID;
}

static bool same_space(const struct rtc_env_space *a, const struct rtc_env_space *b)
{
    return a->n_floats == b->n_floats && a->n_choices == b->n_choices && a->masked == b->masked &&
           (!a->n_choices || !memcmp(a->choices, b->choices, a->n_choices * sizeof(a->choices[0])));
}

int ppo_fit(const struct rtc_env_spec *spec, struct ppo_config *config, char *why, size_t size)
{
    const struct rtc_env_space *seen = &spec->kinds[0].observation, *done = &spec->kinds[0].action;
    for (uint32_t i = 1; i < spec->n_kinds; i++) {
        if (!same_space(seen, &spec->kinds[i].observation) ||
            !same_space(done, &spec->kinds[i].action))
            return refuse(why, size, spec,
                          "its kinds of agents see or do different things, and "
                          "here they have one policy");
    }
    if (seen->n_choices || (spec->features & RTC_ENV_RAGGED && seen->ndim != 2))
        return refuse(why, size, spec,
                      "observations are to be numbers, always as many, or rows of a matrix");
    if (config->attention_dim && (seen->ndim != 2 || seen->shape[0] < 2))
        return refuse(why, size, spec,
                      "attention is over rows of an observation, its own and those of others that "
                      "it sees, and these have no rows (use_attention: false)");
    if (!done->n_floats == !done->n_choices || done->n_choices > NN_CHOICES_MAX)
        return refuse(why, size, spec, "actions are to be up to 16 choices, or numbers");
    config->n_floats = seen->n_floats;
    config->elements = seen->ndim == 2 ? seen->shape[0] : 1;
    config->element = seen->ndim == 2 ? seen->shape[1] : seen->n_floats;
    config->n_numbers = done->n_floats;
    config->choices = (struct nn_choices){.n = done->n_choices};
    for (uint32_t i = 0; i < done->n_choices; i++) {
        config->choices.sizes[i] = done->choices[i];
        config->choices.width += done->choices[i];
    }
    return 0;
}

static int allocate(struct ppo_collector *c)
{
    size_t rows = c->cap, floats = c->config->n_floats;
    size_t action = c->spec->action_size, slots = c->spec->slots;
    float **const each[] = {&c->rewards, &c->logp,       &c->values,
                            &c->last,    &c->advantages, &c->returns};
    bool ok = true;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
        ok &= (*each[i] = calloc(rows, sizeof(float))) != NULL;
    ok &= (c->seen = calloc(rows * floats, sizeof(float))) != NULL;
    ok &= (c->final_seen = calloc(c->final_cap * floats, sizeof(float))) != NULL;
    ok &= (c->final_values = calloc(c->final_cap, sizeof(float))) != NULL;
    ok &= (c->final_table = calloc(c->final_cap, sizeof(c->final_table[0]))) != NULL;
    ok &= (c->ends = calloc(rows, 1)) != NULL && (c->active = calloc(rows, 1)) != NULL;
    ok &= (c->next = calloc(rows, sizeof(c->next[0]))) != NULL;
    ok &= (c->finals = calloc(rows, sizeof(c->finals[0]))) != NULL;
    ok &= (c->table = calloc(rows, sizeof(c->table[0]))) != NULL;
    ok &= (c->actions = calloc(rows, action)) != NULL;
    ok &= (c->episodes = calloc(slots, sizeof(c->episodes[0]))) != NULL;
    ok &= (c->sums = calloc(slots * c->spec->n_infos, sizeof(c->sums[0]))) != NULL;
    if (c->spec->mask_size)
        ok &= (c->masks = calloc(rows, c->spec->mask_size)) != NULL;
    const struct rtc_env_space *done = &c->spec->kinds[0].action;
    if (done->n_floats && !done->clips && (done->low || done->high))
        ok &= (c->clipped = calloc(slots * c->spec->rows_max, action)) != NULL;
    return ok ? 0 : RTC_E_NOMEM;
}

int ppo_collector_init(struct ppo_collector *c, struct rtc_env *env, uint32_t steps,
                       struct ppo_config *config, char *why, size_t why_size)
{
    const struct rtc_env_spec *spec = rtc_env_spec_of(env);
    uint64_t rows = ((uint64_t)steps + 1) * spec->slots * spec->rows_max;
    memset(c, 0, sizeof(*c));
    int rc = ppo_fit(spec, config, why, why_size);
    if (rc < 0)
        return rc;
    if (steps == 0 || rows > 1u << 28)
        return refuse(why, why_size, spec, "a fragment is of 1 to 2^28 rows");
    c->env = env;
    c->spec = spec;
    c->config = config;
    c->steps = steps;
    c->cap = (uint32_t)rows;
    /* Rows that can end: each of them, in the worst case, and a step's for which room is asked. */
    c->final_cap = c->cap;
    config->batch_max = (uint32_t)(rows - (uint64_t)spec->slots * spec->rows_max);
    if ((rc = allocate(c)) < 0) {
        snprintf(why, why_size, "out of memory for fragments of %u rows", c->cap);
        ppo_collector_fini(c);
        return rc;
    }
    struct rtc_env_rows none = {.cap = c->cap,
                                .data = c->seen,
                                .size = rows * spec->observation_size,
                                .stride = spec->observation_size,
                                .masks = c->masks,
                                .table = c->table};
    uint64_t *seeds = calloc(spec->slots, sizeof(*seeds));
    for (uint32_t i = 0; seeds && i < spec->slots; i++)
        seeds[i] = rtc_env_seed(config->seed, i + 1);
    rc = seeds ? rtc_env_reset(env, 0, spec->slots, seeds, &none) : RTC_E_NOMEM;
    free(seeds);
    if (rc < 0) {
        snprintf(why, why_size, "%s", rc == RTC_E_NOMEM ? "out of memory" : rtc_env_error());
        ppo_collector_fini(c);
    }
    return rc;
}

void ppo_collector_fini(struct ppo_collector *c)
{
    void *const all[] = {c->seen,       c->rewards,      c->logp,        c->values,   c->last,
                         c->advantages, c->returns,      c->ends,        c->masks,    c->active,
                         c->next,       c->finals,       c->table,       c->actions,  c->clipped,
                         c->final_seen, c->final_values, c->final_table, c->episodes, c->sums};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    memset(c, 0, sizeof(*c));
}

/* Actions within the bounds of their space, for an environment that refuses others; as they were
 * drawn they stay in the batch. */
static const void *within(struct ppo_collector *c, const float *actions, uint32_t n)
{
    const struct rtc_env_space *done = &c->spec->kinds[0].action;
    if (!c->clipped)
        return actions;
    for (size_t i = 0; i < (size_t)n * done->n_floats; i++) {
        size_t k = i % done->n_floats;
        float x = actions[i];
        x = done->low && x < done->low[k] ? done->low[k] : x;
        c->clipped[i] = done->high && x > done->high[k] ? done->high[k] : x;
    }
    return c->clipped;
}

/* One step of all slots, on rows `from` to rows->n - 1. */
static int step(struct ppo_collector *c, struct ppo *ppo, struct rtc_env_rows *rows,
                struct rtc_env_rows *final, uint32_t from)
{
    uint32_t n = rows->n - from;
    size_t mask = c->spec->mask_size, action = c->spec->action_size;
    char *actions = (char *)c->actions + from * action;
    struct rtc_env_episodes episodes = {
        .cap = c->spec->slots, .list = c->episodes, .sums = c->sums};
    ppo_act(ppo, n, c->seen + from * (size_t)c->config->n_floats,
            mask ? c->masks + from * mask : NULL, false, actions, c->logp + from, c->values + from);
    for (uint32_t i = from; i < rows->n; i++)
        c->active[i] = c->table[i].flags & RTC_ENV_ACTIVE ? 1 : 0;
    struct rtc_env_step turn = {.n = c->spec->slots,
                                .actions = within(c, (const float *)(void *)actions, n),
                                .rewards = c->rewards + from,
                                .ends = c->ends + from,
                                .next = c->next + from,
                                .finals = c->finals + from,
                                .rows = rows,
                                .final = final,
                                .episodes = &episodes};
    uint32_t ended = final->n;
    int rc = rtc_env_step(c->env, &turn);
    if (rc >= 0 && c->spec->features & RTC_ENV_RAGGED) {
        rtc_env_rows_fill(rows, from + n);
        rtc_env_rows_fill(final, ended);
    }
    for (uint32_t i = 0; rc >= 0 && c->on_episode && i < episodes.n; i++)
        c->on_episode(c->arg, &episodes.list[i], c->sums + (size_t)i * c->spec->n_infos);
    return rc;
}

/* Values of last observations, and of those behind the fragment. */
static void look_ahead(struct ppo_collector *c, struct ppo *ppo, uint32_t n, uint32_t all,
                       uint32_t finals)
{
    ppo_values(ppo, all - n, c->seen + n * (size_t)c->config->n_floats, c->values + n);
    ppo_values(ppo, finals, c->final_seen, c->final_values);
    for (uint32_t i = 0; i < n; i++) {
        c->last[i] = c->finals[i] == RTC_ENV_NONE ? 0 : c->final_values[c->finals[i]];
        if (c->ends[i] & RTC_ENV_LOST)
            c->active[i] = 0;
    }
}

int ppo_collect(struct ppo_collector *c, struct ppo *ppo, struct ppo_batch *ret_batch)
{
    size_t size = c->spec->observation_size;
    struct rtc_env_rows rows = {.cap = c->cap,
                                .data = c->seen,
                                .size = c->cap * size,
                                .stride = size,
                                .masks = c->masks,
                                .table = c->table};
    struct rtc_env_rows final = {.cap = c->final_cap,
                                 .data = c->final_seen,
                                 .size = c->final_cap * size,
                                 .stride = size,
                                 .table = c->final_table};
    uint32_t from = 0, n = 0;
    int rc = rtc_env_observe(c->env, 0, c->spec->slots, &rows);
    if (rc >= 0 && c->spec->features & RTC_ENV_RAGGED)
        rtc_env_rows_fill(&rows, 0);
    for (uint32_t t = 0; rc >= 0 && t < c->steps; t++, from = n) {
        n = rows.n;
        if (c->on_soon && t + SOON == c->steps)
            c->on_soon(c->arg);
        rc = step(c, ppo, &rows, &final, from);
    }
    if (rc < 0)
        return rc;
    look_ahead(c, ppo, n, rows.n, final.n);
    struct ppo_steps steps = {.n = n,
                              .rewards = c->rewards,
                              .ends = c->ends,
                              .next = c->next,
                              .values = c->values,
                              .last = c->last};
    ppo_advantages(&steps, c->config->gamma, c->config->lambda, c->config->bootstrap, c->advantages,
                   c->returns);
    *ret_batch = (struct ppo_batch){.n = n,
                                    .seen = c->seen,
                                    .masks = c->masks,
                                    .actions = c->actions,
                                    .logp = c->logp,
                                    .values = c->values,
                                    .advantages = c->advantages,
                                    .returns = c->returns,
                                    .active = c->active};
    return 0;
}
