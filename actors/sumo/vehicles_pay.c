/* Rewards, and what is told of an episode. */
#include "actors/sumo/vehicles.h"

#include <math.h>

/* ---- Counting ---- */

static void count_pair(struct vehicles_slot *s, uint32_t row)
{
    const struct graph_vehicle *v = &s->graph.at[row];
    if (v->leader == SUMO_NONE)
        return;
    double ahead = s->graph.at[v->leader].speed;
    double ttc = graph_ttc(v->gap, v->speed, ahead), drac = graph_drac(v->gap, v->speed, ahead);
    s->sums[VEHICLES_TTC_MIN] = fmin(s->sums[VEHICLES_TTC_MIN], ttc);
    s->sums[VEHICLES_DRAC_MAX] = fmax(s->sums[VEHICLES_DRAC_MAX], drac);
    s->sums[VEHICLES_CONFLICTS] += ttc < VEHICLES_TTC_LOW;
    s->sums[VEHICLES_HARD_BRAKES] += drac > VEHICLES_DRAC_HIGH;
}

static bool is_agent(const struct vehicles_slot *s, uint32_t row)
{
    for (uint32_t i = 0; i < s->n_agents; i++) {
        if (s->agents[i].row == row)
            return true;
    }
    return false;
}

/* Each pair once: an agent behind another one is counted as the follower. */
static void count_safety(struct vehicles_slot *s)
{
    for (uint32_t i = 0; i < s->n_agents; i++) {
        uint32_t row = s->agents[i].row;
        if (row == SUMO_NONE)
            continue;
        count_pair(s, row);
        uint32_t behind = s->graph.at[row].follower;
        if (behind != SUMO_NONE && !is_agent(s, behind))
            count_pair(s, behind);
    }
}

void vehicles_count(const struct vehicles_env *e, struct vehicles_slot *s)
{
    const struct sumo_view *view = sumo_sim_view(s->sim);
    const struct sumo_counters *c = &view->counters;
    double all = 0, agents = 0;
    uint32_t n = 0, n_agents = 0;
    (void)e;
    s->sums[VEHICLES_DEPARTED] += c->departed;
    s->sums[VEHICLES_ARRIVED] += c->arrived;
    s->sums[VEHICLES_TELEPORTS] += c->teleports_begun;
    s->sums[VEHICLES_COLLISIONS] += c->collisions;
    s->collided = s->collided || c->collisions > 0;
    for (uint32_t i = 0; i < s->graph.n; i++) {
        if (!s->graph.at[i].there)
            continue;
        all += s->graph.at[i].speed;
        n++;
    }
    for (uint32_t i = 0; i < s->n_agents; i++) {
        if (s->agents[i].row == SUMO_NONE)
            continue;
        agents += s->graph.at[s->agents[i].row].speed;
        n_agents++;
    }
    if (n > 0) /* sums, until the episode ends */
        s->sums[VEHICLES_SPEED] += all / n;
    s->n_speeds += n > 0;
    if (n_agents > 0)
        s->sums[VEHICLES_AGENT_SPEED] += agents / n_agents;
    s->n_agent_speeds += n_agents > 0;
    count_safety(s);
}

/* ---- Paying ---- */

static double pay_all(const struct vehicles_env *e, const struct vehicles_slot *s)
{
    double sum = 0, squares = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->graph.n; i++) {
        const struct graph_vehicle *v = &s->graph.at[i];
        if (!v->there)
            continue;
        sum += v->speed;
        squares += (v->speed - e->target) * (v->speed - e->target);
        n++;
    }
    if (n == 0)
        return 0;
    if (e->reward == PAY_AVERAGE)
        return sum / n / e->target;
    double most = e->target * sqrt(n), off = sqrt(squares);
    return off < most ? (most - off) / most : 0;
}

/* Of one agent: what its headway and its acceleration cost. */
static void cost(const struct vehicles_env *e, const struct vehicles_slot *s,
                 const struct vehicles_agent *a, double *ret_headway, double *ret_acceleration)
{
    const struct graph_vehicle *v = &s->graph.at[a->row];
    *ret_headway = 0;
    if (v->leader != SUMO_NONE && v->speed > 0)
        *ret_headway = fmax(e->headway_min - fmax(v->gap / v->speed, 0), 0);
    *ret_acceleration = fabs(v->acceleration);
}

void vehicles_pay(const struct vehicles_env *e, const struct vehicles_slot *s, double *rewards)
{
    double headways = 0, accelerations = 0, all = pay_all(e, s);
    bool own = e->reward == PAY_OWN;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_agents; i++) {
        const struct vehicles_agent *a = &s->agents[i];
        double headway, acceleration;
        rewards[i] = s->collided ? e->collision_reward : own ? 0 : all + e->offset;
        if (a->row == SUMO_NONE || s->collided)
            continue;
        cost(e, s, a, &headway, &acceleration);
        if (own)
            rewards[i] = s->graph.at[a->row].speed / e->target + e->offset -
                         e->headway_weight * headway - e->acceleration_weight * acceleration;
        headways += headway;
        accelerations += acceleration;
        n++;
    }
    for (uint32_t i = 0; i < s->n_agents && !own && !s->collided && n > 0; i++)
        rewards[i] -= e->headway_weight * headways + e->acceleration_weight * accelerations / n;
}
