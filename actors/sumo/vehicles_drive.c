/* Agents: which vehicles they are, and what they do. */
#include "actors/sumo/vehicles.h"

#include <string.h>

/* ---- Which ---- */

static bool is_chosen(const struct vehicles_env *e, struct vehicles_slot *s,
                      const struct graph_vehicle *v)
{
    const char *name = sumo_sim_vehicle_name(s->sim, v->vehicle);
    const char *type = sumo_sim_type_name(s->sim, v->type);
    if ((e->type && (!type || strcmp(type, e->type) != 0)) ||
        (e->prefix && strncmp(name, e->prefix, strlen(e->prefix)) != 0))
        return false;
    return rtc_env_uniform(&s->choice, 0, 1) < e->share;
}

/* The row of each agent; one without is gone for good, also when it comes back (a teleport). */
static void find_agents(struct vehicles_slot *s)
{
    for (uint32_t i = 0; i < s->n_agents; i++) {
        struct vehicles_agent *a = &s->agents[i];
        uint32_t row = a->row == SUMO_NONE ? SUMO_NONE : graph_row(&s->graph, a->vehicle);
        a->row = row != SUMO_NONE && s->graph.at[row].there ? row : SUMO_NONE;
    }
}

int vehicles_look(struct vehicles_env *e, struct vehicles_slot *s)
{
    const struct sumo_view *view = sumo_sim_view(s->sim);
    int rc = 0;
    if (!graph_look(&s->graph, &e->rules, view))
        return RTC_E_NOMEM;
    find_agents(s);
    s->departed += view->departed.n;
    for (uint32_t i = 0; i < view->departed.n && rc == 0; i++) {
        uint32_t vehicle = view->departed.at[i], row = graph_row(&s->graph, vehicle);
        if (row == SUMO_NONE) /* it has arrived in the same step */
            continue;
        if (is_chosen(e, s, &s->graph.at[row])) {
            if (!sumo_list_add(&s->waiting, vehicle))
                return RTC_E_NOMEM;
        } else if (e->others_mode != SUMO_SPEED_MODE) {
            rc = sumo_sim_set_speed_mode(s->sim, vehicle, e->others_mode);
        }
    }
    return rc;
}

static void drop_gone(struct vehicles_slot *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n_agents; i++) {
        if (s->agents[i].row != SUMO_NONE)
            s->agents[kept++] = s->agents[i];
    }
    s->n_agents = kept;
}

int vehicles_adopt(struct vehicles_env *e, struct vehicles_slot *s)
{
    uint32_t kept = 0;
    int rc = 0;
    drop_gone(s);
    for (uint32_t i = 0; i < s->waiting.n; i++) {
        uint32_t vehicle = s->waiting.at[i], row = graph_row(&s->graph, vehicle);
        if (row == SUMO_NONE)
            continue;
        if (s->n_agents == e->agents_max || !s->graph.at[row].there || rc != 0) {
            s->waiting.at[kept++] = vehicle;
            continue;
        }
        s->agents[s->n_agents++] = (struct vehicles_agent){
            .vehicle = vehicle, .number = s->next++, .row = row, .fresh = true};
        s->sums[VEHICLES_AGENTS]++;
        if (e->speed_mode != SUMO_SPEED_MODE)
            rc = sumo_sim_set_speed_mode(s->sim, vehicle, e->speed_mode);
        if (rc == 0 && e->change_mode >= 0)
            rc = sumo_sim_set_lane_change_mode(s->sim, vehicle, e->change_mode);
    }
    s->waiting.n = kept;
    return rc;
}

/* ---- What they do ---- */

void vehicles_read_action(const struct vehicles_env *e, const void *bytes,
                          struct vehicles_agent *agent)
{
    const char *at = bytes;
    int32_t choice = 0;
    float x = 0;
    if (e->drive == DRIVE_DISCRETE) {
        memcpy(&choice, at, sizeof(choice));
        agent->action = 2.0 * choice / (e->levels - 1) - 1;
    } else {
        memcpy(&x, at, sizeof(x));
        agent->action = (double)(x < -1 ? -1 : x > 1 ? 1 : x);
    }
    agent->change = CHANGE_NONE;
    if (e->changes)
        memcpy(&agent->change, at + 4, sizeof(agent->change));
}

void vehicles_mask(const struct vehicles_env *e, const struct graph_vehicle *v, uint8_t *mask)
{
    const struct graph_lane *lane = &e->lanes[v->lane];
    uint32_t levels = e->drive == DRIVE_DISCRETE ? e->levels : 0;
    memset(mask, 1, levels + CHANGES);
    mask[levels + CHANGE_LEFT] = lane->index + 1 < lane->n;
    mask[levels + CHANGE_RIGHT] = lane->index > 0;
}

static double next_speed(const struct vehicles_env *e, const struct vehicles_agent *a, double speed)
{
    double most = e->max_accel * e->step, least = -e->max_decel * e->step;
    double more = a->action >= 0 ? a->action * most : -a->action * least;
    if (e->drive == DRIVE_SPEED) {
        more = (a->action + 1) / 2 * e->max_speed - speed;
        more = more < least ? least : more > most ? most : more;
    }
    return speed + more > 0 ? speed + more : 0;
}

int vehicles_drive(struct vehicles_env *e, struct vehicles_slot *s, bool first)
{
    int rc = 0;
    for (uint32_t i = 0; i < s->n_agents && rc == 0; i++) {
        const struct vehicles_agent *a = &s->agents[i];
        if (a->row == SUMO_NONE)
            continue;
        const struct graph_vehicle *v = &s->graph.at[a->row];
        rc = sumo_sim_set_speed(s->sim, a->vehicle, next_speed(e, a, v->speed));
        if (rc == 0 && first && a->change != CHANGE_NONE) {
            uint32_t index = e->lanes[v->lane].index;
            index = a->change == CHANGE_LEFT ? index + 1 : index - 1;
            rc = sumo_sim_change_lane(s->sim, a->vehicle, index, e->delta);
        }
    }
    return rc;
}
