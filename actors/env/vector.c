/* Many copies of a single environment as one: new episodes, time limits, sums and seeds, for
 * classes that only know what one copy does in one step. */
#include <stdio.h>
#include <stdlib.h>

#include "actors/env/inner.h"

#define OWN_INFOS 2 /* return, length */

struct copy {
    uint64_t seed, number; /* as in struct rtc_env_episode; seed: of number 0 */
    uint64_t length;       /* steps of this episode */
    double *sums;          /* n_infos */
    char *why;             /* how it was lost in the last step; NULL */
    uint32_t n_rows;
    bool begun; /* was reset before */
};

struct vector {
    const struct rtc_env_single *single;
    void *params;
    uint32_t slots, rows_max, n_infos;
    uint64_t limit; /* steps of an episode; 0 = none */
    size_t stride;
    char *states;
    struct copy *copies;
    double *sums;
    const char **infos;
    /* Of the copy that is stepped. */
    double *rewards, *turn_infos;
    uint8_t *ends;
};

static void *state_of(const struct vector *v, uint32_t slot)
{
    return v->states + slot * v->stride;
}

static void vector_close(void *self)
{
    struct vector *v = self;
    for (uint32_t i = 0; v->copies && i < v->slots; i++) {
        if (v->single->drop && v->states)
            v->single->drop(v->params, state_of(v, i));
        free(v->copies[i].why);
    }
    if (v->single->close && v->params)
        v->single->close(v->params);
    free(v->params);
    free(v->states);
    free(v->copies);
    free(v->sums);
    free(v->infos);
    free(v->rewards);
    free(v->turn_infos);
    free(v->ends);
    free(v);
}

/* The names of the sums: those of every environment, then the class's. */
static int name_infos(struct vector *v, struct rtc_env_spec *spec)
{
    v->n_infos = spec->n_infos + OWN_INFOS;
    v->infos = calloc(v->n_infos, sizeof(v->infos[0]));
    if (!v->infos)
        return RTC_E_NOMEM;
    v->infos[0] = "return";
    v->infos[1] = "length";
    for (uint32_t i = 0; i < spec->n_infos; i++)
        v->infos[OWN_INFOS + i] = spec->infos[i];
    spec->infos = v->infos;
    spec->n_infos = v->n_infos;
    return 0;
}

static int allocate(struct vector *v)
{
    v->stride = (v->single->state_size + 15) / 16 * 16;
    v->states = calloc(v->slots, v->stride ? v->stride : 16);
    v->copies = calloc(v->slots, sizeof(v->copies[0]));
    v->sums = calloc((size_t)v->slots * v->n_infos, sizeof(v->sums[0]));
    v->rewards = calloc(v->rows_max, sizeof(v->rewards[0]));
    v->turn_infos = calloc(v->n_infos, sizeof(v->turn_infos[0]));
    v->ends = calloc(v->rows_max, 1);
    if (!v->states || !v->copies || !v->sums || !v->rewards || !v->turn_infos || !v->ends)
        return RTC_E_NOMEM;
    for (uint32_t i = 0; i < v->slots; i++) {
        v->copies[i].seed = i;
        v->copies[i].sums = v->sums + (size_t)i * v->n_infos;
    }
    return 0;
}

int rtci_env_vector_open(const struct rtc_env_single *single, const struct rtc_env_config *config,
                         struct rtc_env_spec *ret_spec, void **ret_self)
{
    int64_t limit = 0;
    struct vector *v = calloc(1, sizeof(*v));
    if (!v)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    v->single = single;
    v->slots = config->slots;
    v->params = calloc(1, single->params_size ? single->params_size : 1);
    int rc = v->params ? rtc_env_option_i64(config, "max_episode_steps", 0, UINT32_MAX, &limit)
                       : RTC_E_NOMEM;
    if (rc >= 0)
        rc = single->open(config, v->params, ret_spec);
    if (rc >= 0) {
        v->limit = (uint64_t)limit;
        v->rows_max = ret_spec->rows_max ? ret_spec->rows_max : 1;
        ret_spec->max_episode_steps = (uint32_t)limit;
        rc = name_infos(v, ret_spec);
    }
    if (rc >= 0)
        rc = allocate(v);
    if (rc < 0) {
        vector_close(v);
        return rc == RTC_E_NOMEM ? rtc_env_fail(rc, "out of memory for %u slots", config->slots)
                                 : rc;
    }
    *ret_self = v;
    return 0;
}

/* Begins the episode that the copy's seed and number say. */
static int begin_episode(struct vector *v, uint32_t slot)
{
    struct copy *copy = &v->copies[slot];
    copy->length = 0;
    memset(copy->sums, 0, v->n_infos * sizeof(copy->sums[0]));
    int rc = v->single->reset(v->params, state_of(v, slot), rtc_env_seed(copy->seed, copy->number));
    return rc < 0 ? rtci_env_blame(rc, "slot %u cannot begin an episode", slot) : 0;
}

static int vector_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds)
{
    struct vector *v = self;
    for (uint32_t i = first; i < first + n; i++) {
        struct copy *copy = &v->copies[i];
        copy->number = !seeds && copy->begun ? copy->number + 1 : 0;
        if (seeds)
            copy->seed = seeds[i - first];
        copy->begun = true;
        int rc = begin_episode(v, i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int vector_reset_at(void *self, uint32_t first, uint32_t n, const uint64_t *seeds,
                           const uint64_t *numbers)
{
    struct vector *v = self;
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        struct copy *copy = &v->copies[first + i];
        copy->seed = seeds[i];
        copy->number = numbers[i];
        copy->begun = true;
        rc = begin_episode(v, first + i);
    }
    return rc;
}

static int observe_slot(struct vector *v, uint32_t slot, struct rtc_env_rows *rows)
{
    struct copy *copy = &v->copies[slot];
    uint32_t from = rows->n;
    int rc = v->single->observe(v->params, state_of(v, slot), slot, NULL, rows);
    if (rc < 0)
        return rtci_env_blame(rc, "slot %u", slot);
    copy->n_rows = rows->n - from;
    if (copy->n_rows > v->rows_max)
        return rtc_env_fail(RTC_E_INVALID, "slot %u gave %u rows; rows_max of its spec is %u", slot,
                            copy->n_rows, v->rows_max);
    for (uint32_t i = from; rows->table && !copy->length && i < rows->n; i++)
        rows->table[i].flags |= RTC_ENV_FIRST;
    return 0;
}

static int vector_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows)
{
    int rc = 0;
    for (uint32_t i = first; i < first + n && rc >= 0; i++)
        rc = observe_slot(self, i, rows);
    return rc;
}

static int tell_episode(struct vector *v, uint32_t slot, uint32_t end,
                        struct rtc_env_episodes *episodes)
{
    struct copy *copy = &v->copies[slot];
    if (end & RTC_ENV_LOST && !(copy->why = strdup(rtc_env_error())))
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    if (!episodes)
        return 0;
    uint32_t i = episodes->n++;
    episodes->list[i] = (struct rtc_env_episode){.slot = slot,
                                                 .ends = end,
                                                 .number = copy->number,
                                                 .seed = rtc_env_seed(copy->seed, copy->number),
                                                 .why = copy->why};
    if (episodes->sums)
        memcpy(episodes->sums + (size_t)i * v->n_infos, copy->sums,
               v->n_infos * sizeof(copy->sums[0]));
    return 0;
}

/* Results of the rows, from row k of the step on, and the sums. Returns whether any of them ended.
 */
static bool settle(struct vector *v, struct copy *copy, struct rtc_env_turn *turn,
                   struct rtc_env_step *step, uint32_t k)
{
    bool lost = turn->end & RTC_ENV_LOST, any = false;
    for (uint32_t i = 0; i < turn->n; i++, k++) {
        turn->ends[i] |= (uint8_t)turn->end;
        turn->rewards[i] = lost ? 0 : turn->rewards[i];
        any |= turn->ends[i] != 0;
        copy->sums[0] += turn->rewards[i];
        *(float *)(void *)((char *)step->rewards + k * step->reward_stride) =
            (float)turn->rewards[i];
        step->ends[k * step->ends_stride] = turn->ends[i];
    }
    copy->sums[1] = (double)copy->length;
    for (uint32_t i = OWN_INFOS; !lost && i < v->n_infos; i++)
        copy->sums[i] += turn->infos[i - OWN_INFOS];
    return any;
}

static int step_slot(struct vector *v, uint32_t slot, struct rtc_env_step *step, uint32_t k)
{
    struct copy *copy = &v->copies[slot];
    void *state = state_of(v, slot);
    struct rtc_env_turn turn = {.n = copy->n_rows,
                                .actions = (const char *)step->actions + k * step->action_stride,
                                .action_stride = step->action_stride,
                                .rewards = v->rewards,
                                .ends = v->ends,
                                .infos = v->turn_infos};
    memset(turn.rewards, 0, turn.n * sizeof(turn.rewards[0]));
    memset(turn.ends, 0, turn.n);
    memset(turn.infos, 0, (v->n_infos - OWN_INFOS) * sizeof(turn.infos[0]));
    free(copy->why);
    copy->why = NULL;
    int rc = v->single->step(v->params, state, &turn);
    if (rc < 0)
        return rtci_env_blame(rc, "slot %u", slot);
    copy->length++;
    if (turn.end & RTC_ENV_LOST || copy->length == v->limit)
        turn.end |= RTC_ENV_TRUNCATED;
    bool ended = settle(v, copy, &turn, step, k);
    if (ended && step->final && !(turn.end & RTC_ENV_LOST) &&
        (rc = v->single->observe(v->params, state, slot, &turn, step->final)) < 0)
        return rtci_env_blame(rc, "slot %u", slot);
    if (!turn.end)
        return 0;
    if ((rc = tell_episode(v, slot, turn.end, step->episodes)) < 0)
        return rc;
    copy->number++;
    return begin_episode(v, slot);
}

static int vector_step(void *self, struct rtc_env_step *step)
{
    struct vector *v = self;
    uint32_t k = 0;
    for (uint32_t slot = step->first; slot < step->first + step->n; slot++) {
        uint32_t acted = v->copies[slot].n_rows;
        int rc = step_slot(v, slot, step, k);
        if (rc >= 0)
            rc = observe_slot(v, slot, step->rows);
        if (rc < 0)
            return rc;
        k += acted;
    }
    return 0;
}

const struct rtc_env_class rtci_env_vector = {
    .abi = RTC_ENV_ABI,
    .name = "vector",
    .close = vector_close,
    .reset = vector_reset,
    .observe = vector_observe,
    .step = vector_step,
    .reset_at = vector_reset_at,
};
