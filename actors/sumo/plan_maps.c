/* From numbers of the simulation to those of the plan. Lanes inside a junction are known by SUMO's
 * names for them: ":JUNCTION_EDGE_LANE". */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/plan.h"

/* Of ":A_12_0" the 2 of ":A"; 0: it is not such a name. */
static size_t junction_size(const char *lane)
{
    size_t n = strlen(lane);
    for (int part = 0; part < 2 && n > 0; part++) {
        size_t digits = 0;
        while (n > 0 && isdigit((unsigned char)lane[n - 1])) {
            n--;
            digits++;
        }
        if (digits == 0 || n == 0 || lane[n - 1] != '_')
            return 0;
        n--;
    }
    return lane[0] == ':' ? n : 0;
}

/* All lanes of the junction that `via` lies in. */
static void mark(struct sumo_plan *plan, struct sumo_sim *sim, uint32_t signal, uint32_t via)
{
    const char *name = sumo_sim_lane_name(sim, via);
    size_t size = junction_size(name);
    for (uint32_t i = 0; size > 0 && i < plan->n_at; i++) {
        const char *other = sumo_sim_lane_name(sim, i);
        if (strncmp(other, name, size) == 0 && junction_size(other) == size)
            plan->inside[i] = signal;
    }
}

static void map_inside(struct sumo_plan *plan, struct sumo_sim *sim, struct sumo_link *const *links,
                       const uint32_t *n)
{
    memset(plan->inside, 0xff, plan->n_at * sizeof(*plan->inside)); /* SUMO_NONE */
    for (uint32_t k = 0; k < plan->n_signals; k++) {
        for (uint32_t i = 0; i < n[k]; i++) {
            uint32_t via = links[k][i].via;
            if (via != SUMO_NONE && plan->inside[via] == SUMO_NONE)
                mark(plan, sim, k, via);
        }
    }
}

static int map_links(struct sumo_plan *plan, uint32_t signal, const struct sumo_link *links,
                     uint32_t n)
{
    struct plan_signal *s = &plan->signals[signal];
    for (uint32_t i = 0; i < n; i++)
        s->n_links = links[i].index >= s->n_links ? links[i].index + 1 : s->n_links;
    s->link_lanes = malloc(((size_t)s->n_links + 1) * sizeof(*s->link_lanes));
    if (!s->link_lanes)
        return RTC_E_NOMEM;
    memset(s->link_lanes, 0xff, s->n_links * sizeof(*s->link_lanes)); /* SUMO_NONE */
    for (uint32_t i = n; i > 0; i--) {
        if (links[i - 1].from != SUMO_NONE)
            s->link_lanes[links[i - 1].index] = plan->at[links[i - 1].from];
    }
    return 0;
}

int sumo_plan_maps(struct sumo_plan *plan, struct sumo_sim *sim, struct sumo_link *const *links,
                   const uint32_t *n)
{
    plan->n_signal_at = sumo_sim_n_signals(sim);
    plan->inside = malloc(((size_t)plan->n_at + 1) * sizeof(*plan->inside));
    plan->signal_at = malloc(((size_t)plan->n_signal_at + 1) * sizeof(*plan->signal_at));
    int rc = plan->inside && plan->signal_at ? 0 : RTC_E_NOMEM;
    if (rc == 0) {
        memset(plan->signal_at, 0xff, plan->n_signal_at * sizeof(*plan->signal_at));
        map_inside(plan, sim, links, n);
    }
    for (uint32_t k = 0; k < plan->n_signals && !rc; k++) {
        plan->signal_at[plan->signals[k].number] = k;
        rc = map_links(plan, k, links[k], n[k]);
    }
    return rc;
}
