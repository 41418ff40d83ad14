/* Lanes inside the junctions of signals, by SUMO's names for them: ":JUNCTION_EDGE_LANE". */
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

int sumo_plan_inside(struct sumo_plan *plan, struct sumo_sim *sim, struct sumo_link *const *links,
                     const uint32_t *n)
{
    plan->n_at = sumo_sim_n_lanes(sim);
    plan->inside = malloc(((size_t)plan->n_at + 1) * sizeof(*plan->inside));
    if (!plan->inside)
        return RTC_E_NOMEM;
    memset(plan->inside, 0xff, plan->n_at * sizeof(*plan->inside)); /* SUMO_NONE */
    for (uint32_t k = 0; k < plan->n_signals; k++) {
        for (uint32_t i = 0; i < n[k]; i++) {
            uint32_t via = links[k][i].via;
            if (via != SUMO_NONE && plan->inside[via] == SUMO_NONE)
                mark(plan, sim, k, via);
        }
    }
    return 0;
}
