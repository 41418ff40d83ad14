/* Steps and resets of both backends beside a bare loop on libsumo, interleaved:
 *   sumo_bench BARE SUMOCFG [ROUNDS [DECISIONS [CPU]]]
 * A decision sets the states of all signals, simulates 5 s, and brings numbers, halting, waiting
 * times and mean lengths of all lanes that lead to signals; "blind" is a stock `sumo` that is asked
 * for nothing but its counters, the bound of sumo_one_b. Rows: median wall clock, median CPU of the
 * simulator and of this process together, and both against the bare loop. */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "actors/sumo/sim.h"
#include "tests/lib/rng.h"

#define ROUNDS_MAX 100
#define RESETS     20

static const char *bare, *sumocfg;
static int rounds = 5, decisions = 200, cpu = -1;

struct row {
    const char *name;
    double wall[ROUNDS_MAX], cpu[ROUNDS_MAX];
    int n;
    long departed;
};

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double cpu_of(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%llu", &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return (double)ns * 1e-9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *from, int n)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, from, (size_t)n * sizeof(*sorted));
    qsort(sorted, (size_t)n, sizeof(*sorted), compare);
    return sorted[n / 2];
}

static void die(const char *text)
{
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static struct sumo_sim *open_sim(enum sumo_backend backend, unsigned seed)
{
    struct sumo_options options = {.backend = backend,
                                   .sumocfg_file = sumocfg,
                                   .seed = seed,
                                   .pin = cpu >= 0,
                                   .cpu = cpu >= 0 ? (uint32_t)cpu : 0};
    struct sumo_sim *sim;
    char why[SUMO_WHY_MAX];
    if (sumo_sim_open(&options, &sim, why) != 0)
        die(why);
    return sim;
}

static void subscribe(struct sumo_sim *sim)
{
    uint32_t *lanes = calloc(sumo_sim_n_lanes(sim), sizeof(*lanes)), n = 0;
    for (uint32_t i = 0; i < sumo_sim_n_signals(sim); i++) {
        struct sumo_link *links;
        uint32_t n_links;
        if (sumo_sim_links(sim, i, &links, &n_links) != 0)
            die(sumo_sim_error(sim));
        for (uint32_t k = 0; k < n_links; k++) {
            bool known = false;
            for (uint32_t j = 0; j < n && !known; j++)
                known = lanes[j] == links[k].from;
            if (!known)
                lanes[n++] = links[k].from;
        }
        free(links);
    }
    struct sumo_wants wants = {.lanes = lanes,
                               .n_lanes = n,
                               .lane_vars =
                                   SUMO_BIT(SUMO_LANE_VEHICLES) | SUMO_BIT(SUMO_LANE_HALTING) |
                                   SUMO_BIT(SUMO_LANE_WAITING) | SUMO_BIT(SUMO_LANE_LENGTH)};
    if (sumo_sim_subscribe(sim, &wants) != 0)
        die(sumo_sim_error(sim));
    free(lanes);
}

static void decide(struct sumo_sim *sim, struct sumo_program **programs, struct rng *rng)
{
    for (uint32_t k = 0; k < sumo_sim_n_signals(sim); k++) {
        const struct sumo_program *p = programs[k];
        if (sumo_sim_set_state(sim, k, p->phases[rng_below(rng, p->n_phases)].state) != 0)
            die(sumo_sim_error(sim));
    }
    if (sumo_sim_step(sim, sumo_sim_time(sim) + 5) != 0)
        die(sumo_sim_error(sim));
}

static void run_sim(struct row *row, enum sumo_backend backend, unsigned seed, bool blind)
{
    struct sumo_sim *sim = open_sim(backend, seed);
    uint32_t n = sumo_sim_n_signals(sim), n_programs;
    struct sumo_program **programs = calloc(n, sizeof(struct sumo_program *));
    struct rng rng = {seed};
    if (!blind)
        subscribe(sim);
    for (uint32_t k = 0; k < n; k++) {
        if (sumo_sim_programs(sim, k, &programs[k], &n_programs) != 0)
            die(sumo_sim_error(sim));
    }
    double wall = seconds(CLOCK_MONOTONIC),
           ours = seconds(CLOCK_PROCESS_CPUTIME_ID) + cpu_of(sumo_sim_pid(sim));
    for (int i = 0; i < decisions; i++) {
        decide(sim, programs, &rng);
        row->departed += sumo_sim_view(sim)->counters.departed;
    }
    row->wall[row->n] = seconds(CLOCK_MONOTONIC) - wall;
    row->cpu[row->n++] = seconds(CLOCK_PROCESS_CPUTIME_ID) + cpu_of(sumo_sim_pid(sim)) - ours;
    free(programs);
    sumo_sim_close(&sim);
}

static void run_bare(struct row *row, unsigned seed)
{
    char command[2048];
    double load;
    long departed = 0;
    snprintf(command, sizeof(command), "%s '%s' %u %d", bare, sumocfg, seed, decisions);
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%lf %lf %lf %ld", &row->wall[row->n], &row->cpu[row->n], &load,
                        &departed) != 4)
        die("the bare loop failed");
    pclose(pipe);
    row->n++;
    row->departed += departed;
}

static void run_resets(const char *name, enum sumo_backend backend)
{
    struct sumo_sim *sim = open_sim(backend, 1);
    double wall[RESETS], used[RESETS];
    subscribe(sim);
    for (int i = 0; i < RESETS; i++) {
        if (sumo_sim_step(sim, sumo_sim_time(sim) + 100) != 0)
            die(sumo_sim_error(sim));
        wall[i] = seconds(CLOCK_MONOTONIC);
        used[i] = cpu_of(sumo_sim_pid(sim));
        if (sumo_sim_reset(sim, 2 + (unsigned)i, NULL, 0) != 0)
            die(sumo_sim_error(sim));
        wall[i] = seconds(CLOCK_MONOTONIC) - wall[i];
        used[i] = cpu_of(sumo_sim_pid(sim)) - used[i];
    }
    printf("%-14s %8.2f ms, CPU %.2f ms\n", name, median(wall, RESETS) * 1e3,
           median(used, RESETS) * 1e3);
    sumo_sim_close(&sim);
}

int main(int argc, char **argv)
{
    struct row rows[] = {
        {.name = "bare"}, {.name = "sumo_one_a"}, {.name = "sumo_one_b"}, {.name = "blind"}};
    if (argc < 3)
        die("usage: sumo_bench BARE SUMOCFG [ROUNDS [DECISIONS [CPU]]]");
    bare = argv[1];
    sumocfg = argv[2];
    rounds = argc > 3 ? atoi(argv[3]) : rounds;
    rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    decisions = argc > 4 ? atoi(argv[4]) : decisions;
    if (argc > 5) {
        cpu_set_t set;
        cpu = atoi(argv[5]);
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
    for (int i = 0; i < rounds; i++) {
        run_bare(&rows[0], (unsigned)i + 1);
        run_sim(&rows[1], SUMO_LIBSUMO, (unsigned)i + 1, false);
        run_sim(&rows[2], SUMO_TRACI, (unsigned)i + 1, false);
        run_sim(&rows[3], SUMO_TRACI, (unsigned)i + 1, true);
    }
    double wall = median(rows[0].wall, rounds), used = median(rows[0].cpu, rounds);
    for (int i = 0; i < 4; i++) {
        double w = median(rows[i].wall, rounds), c = median(rows[i].cpu, rounds);
        printf("%-14s %8.0f/s, CPU %.0f us a decision; of bare %.2f, by CPU %.2f; %ld departed\n",
               rows[i].name, decisions / w, c / decisions * 1e6, wall / w, used / c,
               rows[i].departed);
    }
    run_resets("sumo_reset_a", SUMO_LIBSUMO);
    run_resets("sumo_reset_b", SUMO_TRACI);
    return 0;
}
