/* Episodes and steps. All simulators of a step work at the same time; a slot whose simulator died,
 * or did not answer, is told as lost, and has another one. */
#include "actors/sumo/vehicles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Episodes ---- */

static int blame(const struct vehicles_slot *s, int rc)
{
    return rc == RTC_E_NOMEM ? rtc_env_fail(rc, "out of memory")
                             : rtc_env_fail(rc, "%s", sumo_sim_error(s->sim));
}

static int subscribe(struct vehicles_slot *s)
{
    const struct sumo_wants wants = {.vehicle_vars = graph_wants(), .events = true};
    int rc = s->subscribed ? 0 : sumo_sim_subscribe(s->sim, &wants);
    s->subscribed = rc == 0;
    return rc;
}

static void clear(struct vehicles_slot *s, uint64_t seed)
{
    s->n_agents = s->next = s->waiting.n = 0;
    s->length = s->n_speeds = s->n_agent_speeds = s->departed = 0;
    s->lost = s->collided = false;
    s->left = 0;
    s->choice = ~seed;
}

/* Vehicles that departed before an episode are chosen among as the others. */
static int warm_up(struct vehicles_env *e, struct vehicles_slot *s)
{
    double begin = sumo_sim_time(s->sim);
    int rc = vehicles_look(e, s);
    while (rc == 0 && sumo_sim_time(s->sim) < begin + e->warmup - 1e-6) {
        rc = sumo_sim_step(s->sim, 0);
        if (rc == 0)
            rc = vehicles_look(e, s);
    }
    s->begin = sumo_sim_time(s->sim);
    memset(s->sums, 0, sizeof(s->sums));
    s->sums[VEHICLES_TTC_MIN] = GRAPH_TTC_MAX;
    return rc ? rc : vehicles_adopt(e, s);
}

static int begin_episode(struct vehicles_env *e, uint32_t slot)
{
    struct vehicles_slot *s = &e->slot[slot];
    uint64_t seed = rtc_env_seed(s->seed, s->number);
    const char *const *arguments = e->setup.arguments;
    uint32_t n = e->setup.n_arguments;
    bool fresh = !s->sim;
    int rc = fresh ? setup_start(&e->setup, slot, (uint32_t)seed, arguments, n, &s->sim)
                   : sumo_sim_reset(s->sim, (uint32_t)seed, arguments, n);
    if (rc < 0 && fresh)
        return rc;
    if (rc < 0 && !sumo_sim_pid(s->sim)) /* it died amid this: another one may not */
        rc = sumo_sim_reset(s->sim, (uint32_t)seed, arguments, n);
    if (rc == 0)
        rc = subscribe(s);
    clear(s, seed);
    if (rc == 0)
        rc = warm_up(e, s);
    return rc ? blame(s, rc) : 0;
}

int vehicles_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds)
{
    struct vehicles_env *e = self;
    for (uint32_t i = first; i < first + n; i++) {
        struct vehicles_slot *s = &e->slot[i];
        s->number = !seeds && s->begun ? s->number + 1 : 0;
        if (seeds)
            s->seed = seeds[i - first];
        s->begun = true;
        int rc = begin_episode(e, i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int vehicles_reset_at(void *self, uint32_t first, uint32_t n, const uint64_t *seeds,
                             const uint64_t *numbers)
{
    struct vehicles_env *e = self;
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        struct vehicles_slot *s = &e->slot[first + i];
        s->seed = seeds[i];
        s->number = numbers[i];
        s->begun = true;
        rc = begin_episode(e, first + i);
    }
    return rc;
}

/* ---- Rows ---- */

static int write_row(struct vehicles_env *e, uint32_t slot, const struct vehicles_agent *a,
                     struct rtc_env_rows *rows)
{
    struct vehicles_slot *s = &e->slot[slot];
    float seen[GRAPH_ROWS_MAX * GRAPH_WIDTH];
    uint8_t *mask = NULL;
    uint32_t most = (1 + e->rules.neighbours) * GRAPH_WIDTH;
    uint32_t n = graph_write(&s->graph, &e->rules, a->row, sumo_sim_time(s->sim) - s->begin, seen) *
                 GRAPH_WIDTH;
    if (!e->ragged) {
        memset(seen + n, 0, (most - n) * sizeof(*seen));
        n = most;
    }
    const struct rtc_env_row row = {.slot = slot,
                                    .agent = a->number,
                                    .flags = RTC_ENV_ACTIVE | (a->fresh ? RTC_ENV_FIRST : 0),
                                    .size = (uint32_t)(n * sizeof(*seen))};
    void *to = rtc_env_row_add(rows, &row, &mask);
    if (!to)
        return rtc_env_fail(RTC_E_TOO_LARGE, "no room for the rows of slot %u", slot);
    memcpy(to, seen, row.size);
    if (mask && e->changes)
        vehicles_mask(e, &s->graph.at[a->row], mask);
    return 0;
}

/* Of the agents that are there. */
static int write_rows(struct vehicles_env *e, uint32_t slot, struct rtc_env_rows *rows)
{
    const struct vehicles_slot *s = &e->slot[slot];
    int rc = 0;
    for (uint32_t i = 0; i < s->n_agents && !rc; i++) {
        if (s->agents[i].row != SUMO_NONE)
            rc = write_row(e, slot, &s->agents[i], rows);
    }
    return rc;
}

int vehicles_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows)
{
    int rc = 0;
    for (uint32_t i = first; i < first + n && !rc; i++)
        rc = write_rows(self, i, rows);
    return rc;
}

/* ---- Steps ---- */

static void lose(struct vehicles_slot *s, int rc)
{
    free(s->why);
    s->why = strdup(rc == RTC_E_NOMEM ? "out of memory" : sumo_sim_error(s->sim));
    s->lost = true;
    s->left = 0;
}

/* Commands and the beginning of a simulation step. */
static void go(struct vehicles_env *e, struct vehicles_slot *s, bool first)
{
    int rc = vehicles_drive(e, s, first);
    if (rc == 0)
        rc = sumo_sim_step_begin(s->sim, 0);
    if (rc < 0)
        lose(s, rc);
}

int vehicles_begin(void *self, struct rtc_env_step *step)
{
    struct vehicles_env *e = self;
    const char *at = step->actions;
    for (uint32_t i = step->first; i < step->first + step->n; i++) {
        struct vehicles_slot *s = &e->slot[i];
        free(s->why);
        s->why = NULL;
        s->collided = false;
        s->left = e->n_steps;
        for (uint32_t k = 0; k < s->n_agents; k++, at += step->action_stride) {
            vehicles_read_action(e, at, &s->agents[k]);
            s->agents[k].fresh = false;
        }
        go(e, s, true);
    }
    return 0;
}

static bool is_over(const struct vehicles_slot *s)
{
    return sumo_sim_view(s->sim)->counters.min_expected == 0;
}

/* The simulation step that was begun, and the beginning of the next one. */
static void go_on(struct vehicles_env *e, struct vehicles_slot *s)
{
    int rc = sumo_sim_step_end(s->sim);
    if (rc == 0)
        rc = vehicles_look(e, s);
    if (rc < 0) {
        lose(s, rc);
        return;
    }
    vehicles_count(e, s);
    s->left--;
    if ((s->collided && e->ends_on_collision) || is_over(s))
        s->left = 0;
    if (s->left > 0)
        go(e, s, false);
}

static void simulate(struct vehicles_env *e, uint32_t first, uint32_t n)
{
    for (bool any = true; any;) {
        any = false;
        for (uint32_t i = first; i < first + n; i++) {
            struct vehicles_slot *s = &e->slot[i];
            if (s->left == 0)
                continue;
            go_on(e, s);
            any |= s->left > 0;
        }
    }
}

static int end_episode(struct vehicles_env *e, uint32_t slot, uint32_t ends,
                       struct rtc_env_episodes *episodes)
{
    struct vehicles_slot *s = &e->slot[slot];
    struct rtc_env_episode told = {.slot = slot,
                                   .ends = ends,
                                   .number = s->number,
                                   .seed = rtc_env_seed(s->seed, s->number),
                                   .why = s->why};
    double sums[VEHICLES_INFOS];
    memcpy(sums, s->sums, sizeof(sums));
    sums[VEHICLES_SPEED] /= s->n_speeds ? (double)s->n_speeds : 1;
    sums[VEHICLES_AGENT_SPEED] /= s->n_agent_speeds ? (double)s->n_agent_speeds : 1;
    if (sums[VEHICLES_AGENTS] == 0 && e->share >= 1 && !(ends & RTC_ENV_LOST))
        return rtc_env_fail(RTC_E_NOT_FOUND,
                            "in an episode of '%s' nobody was driven: of %llu vehicles that "
                            "departed none is of type \"%s\" with an id that begins with \"%s\"",
                            setup_name(&e->setup), (unsigned long long)s->departed,
                            e->type ? e->type : "", e->prefix ? e->prefix : "");
    s->number++;
    int rc = begin_episode(e, slot);
    if (rc < 0 || !episodes)
        return rc;
    uint32_t i = episodes->n++;
    episodes->list[i] = told;
    if (episodes->sums)
        memcpy(episodes->sums + (size_t)i * VEHICLES_INFOS, sums, sizeof(sums));
    return 0;
}

static void pay(struct vehicles_env *e, struct vehicles_slot *s, struct rtc_env_step *step,
                uint32_t k, uint32_t ends)
{
    double rewards[VEHICLES_AGENTS_MAX];
    if (s->lost)
        memset(rewards, 0, sizeof(rewards));
    else
        vehicles_pay(e, s, rewards);
    for (uint32_t i = 0; i < s->n_agents; i++) {
        bool gone = !s->lost && s->agents[i].row == SUMO_NONE;
        s->sums[VEHICLES_RETURN] += rewards[i];
        *(float *)(void *)((char *)step->rewards + (k + i) * step->reward_stride) =
            (float)rewards[i];
        step->ends[(k + i) * step->ends_stride] = gone ? RTC_ENV_TERMINATED : (uint8_t)ends;
    }
    s->sums[VEHICLES_LENGTH] = (double)++s->length;
}

static uint32_t ends_of(const struct vehicles_env *e, const struct vehicles_slot *s)
{
    if (s->lost)
        return RTC_ENV_LOST | RTC_ENV_TRUNCATED;
    if ((s->collided && e->ends_on_collision) || is_over(s))
        return RTC_ENV_TERMINATED;
    return sumo_sim_time(s->sim) >= s->begin + e->seconds - 1e-6 ? RTC_ENV_TRUNCATED : 0;
}

static int finish_slot(struct vehicles_env *e, uint32_t slot, struct rtc_env_step *step, uint32_t k)
{
    struct vehicles_slot *s = &e->slot[slot];
    uint32_t ends = ends_of(e, s);
    int rc = 0;
    pay(e, s, step, k, ends);
    if (ends && !s->lost && step->final && (rc = write_rows(e, slot, step->final)) < 0)
        return rc;
    if (ends)
        rc = end_episode(e, slot, ends, step->episodes);
    else if ((rc = vehicles_adopt(e, s)) < 0)
        rc = blame(s, rc);
    return rc < 0 ? rc : write_rows(e, slot, step->rows);
}

int vehicles_step(void *self, struct rtc_env_step *step)
{
    struct vehicles_env *e = self;
    uint32_t k = 0, n;
    int rc = 0;
    simulate(e, step->first, step->n);
    for (uint32_t i = 0; i < step->n && !rc; i++, k += n) {
        n = e->slot[step->first + i].n_agents;
        rc = finish_slot(e, step->first + i, step, k);
    }
    return rc;
}

static const struct rtc_env_class sumo_vehicles = {
    .abi = RTC_ENV_ABI,
    .name = "sumo-vehicles",
    .about = "chosen vehicles of a scenario of SUMO; each sees a graph of those around it",
    .options = vehicles_options,
    .open = vehicles_open,
    .close = vehicles_close,
    .reset = vehicles_reset,
    .observe = vehicles_observe,
    .begin = vehicles_begin,
    .step = vehicles_step,
    .reset_at = vehicles_reset_at,
};
RTC_ENV_CLASS(sumo_vehicles)
