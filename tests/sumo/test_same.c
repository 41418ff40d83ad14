/* Both backends drive the same simulation: positions of all vehicles and states of all signals over
 * 600 steps, with actions, on every network that there is. test_same [SEEDS] [NET] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/rng.h"
#include "tests/sumo/nets.h"

#define STEPS 600

struct run {
    struct sumo_sim *sim;
    struct rng rng;
    uint64_t sum;
};

static void add(struct run *run, const void *at, size_t size)
{
    while (size > 0) {
        uint64_t word = 0;
        size_t n = size < sizeof(word) ? size : sizeof(word);
        memcpy(&word, at, n);
        run->sum = (run->sum ^ word) * 1099511628211u;
        run->sum ^= run->sum >> 29;
        at = (const uint8_t *)at + n;
        size -= n;
    }
}

static void add_view(struct run *run)
{
    const struct sumo_view *view = sumo_sim_view(run->sim);
    add(run, &view->time, sizeof(view->time));
    add(run, &view->counters, sizeof(view->counters));
    for (uint32_t i = 0; i < view->n_signals; i++) {
        add(run, view->signal_state[i], strlen(view->signal_state[i]));
        add(run, view->signal_program[i], strlen(view->signal_program[i]));
        add(run, &view->signal[SUMO_SIGNAL_NEXT_SWITCH][i], sizeof(double));
    }
    for (uint32_t i = 0; i < view->n_lanes; i++) {
        for (int var = 0; var < SUMO_LANE_IDS; var++)
            add(run, &view->lane[var][i], sizeof(double));
    }
    for (uint32_t i = 0; i < view->n_vehicles; i++) {
        const char *name = sumo_sim_vehicle_name(run->sim, view->vehicle[i]);
        add(run, name, strlen(name));
        for (int var = 0; var < SUMO_VEHICLE_VARS; var++)
            add(run, &view->vehicles[var][i], sizeof(double));
    }
}

/* Every few steps some signal changes and some vehicle is driven; sometimes several steps are one.
 */
static int act(struct run *run, int step)
{
    const struct sumo_view *view = sumo_sim_view(run->sim);
    int rc = 0;
    if (view->n_signals && step % 7 == 3) {
        char state[512];
        uint32_t signal = rng_below(&run->rng, view->n_signals);
        snprintf(state, sizeof(state), "%s", view->signal_state[signal]);
        for (char *at = state; *at; at++)
            *at = "rgGy"[rng_below(&run->rng, 4)];
        rc = sumo_sim_set_state(run->sim, signal, state);
    } else if (view->n_signals && step % 31 == 30) {
        rc = sumo_sim_set_program(run->sim, rng_below(&run->rng, view->n_signals), "0");
    }
    if (rc == 0 && view->n_vehicles && step % 5 == 2) {
        uint32_t vehicle = view->vehicle[rng_below(&run->rng, view->n_vehicles)];
        rc = sumo_sim_set_speed(run->sim, vehicle, rng_below(&run->rng, 15));
        if (rc == 0)
            rc = sumo_sim_change_lane(run->sim, vehicle, 0, 10);
    }
    return rc;
}

static int simulate(struct run *run, const struct net *net, unsigned seed)
{
    struct sumo_wants wants = {.n_lanes = SUMO_ALL,
                               .n_signals = SUMO_ALL,
                               .lane_vars = 127,
                               .signal_vars = 15,
                               .vehicle_vars = (1u << SUMO_VEHICLE_VARS) - 1,
                               .events = true};
    if (seed % 2 == 0) /* vehicles on some lanes only */
        wants.n_vehicle_lanes = sumo_sim_n_lanes(run->sim) / 2;
    int rc = sumo_sim_reset(run->sim, seed, NULL, 0);
    *run = (struct run){.sim = run->sim, .rng = {seed}, .sum = 14695981039346656037u};
    if (rc == 0)
        rc = sumo_sim_subscribe(run->sim, &wants);
    for (int step = 0; step < STEPS && rc == 0;) {
        int more = step % 20 == 10 ? 5 : 1;
        rc = act(run, step);
        if (rc == 0 && step % 40 == 10) { /* what comes in the middle is sent along */
            rc = sumo_sim_queue_leg(run->sim,
                                    sumo_sim_time(run->sim) + 2 * sumo_sim_step_length(run->sim));
            rc = rc ? rc : act(run, 3);
        }
        if (rc == 0)
            rc = sumo_sim_step(run->sim,
                               sumo_sim_time(run->sim) + more * sumo_sim_step_length(run->sim));
        if (rc == 0)
            add_view(run);
        step += more;
    }
    if (rc != 0)
        printf("%s, seed %u: %s\n", net->name, seed, sumo_sim_error(run->sim));
    return rc;
}

static int compare(const struct net *net, unsigned seeds)
{
    struct run a = {0}, b = {0};
    char why[SUMO_WHY_MAX];
    struct sumo_options one = net_options(net, SUMO_LIBSUMO, 1),
                        other = net_options(net, SUMO_TRACI, 1);
    int rc = sumo_sim_open(&one, &a.sim, why);
    if (rc == 0)
        rc = sumo_sim_open(&other, &b.sim, why);
    if (rc != 0)
        printf("%s: %s\n", net->name, why);
    for (unsigned seed = 1; seed <= seeds && rc == 0; seed++) {
        rc = simulate(&a, net, seed);
        if (rc == 0)
            rc = simulate(&b, net, seed);
        if (rc == 0) {
            const struct sumo_view *view = sumo_sim_view(a.sim);
            printf("%s seed %u: %u vehicles at %g s, libsumo %016lx, traci %016lx\n", net->name,
                   seed, view->n_vehicles, view->time, (unsigned long)a.sum, (unsigned long)b.sum);
            rc = a.sum == b.sum ? 0 : -1;
        }
    }
    sumo_sim_close(&a.sim);
    sumo_sim_close(&b.sim);
    return rc;
}

int main(int argc, char **argv)
{
    struct net nets[NETS_MAX];
    unsigned seeds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    const char *missing = backend_missing(SUMO_LIBSUMO);
    missing = missing ? missing : backend_missing(SUMO_TRACI);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    size_t n = nets_find(nets);
    for (size_t i = 0; i < n; i++) {
        if ((argc <= 2 || strcmp(argv[2], nets[i].name) == 0) && compare(&nets[i], seeds) != 0)
            return 1;
    }
    return 0;
}
