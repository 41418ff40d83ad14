/* rtc-sim: runs seeds. See sim.h. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

static void dump(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_procs; i++) {
        const struct vproc *proc = sim->procs[i];
        if (!proc || proc->forgotten || proc->exited)
            continue;
        const struct run *run = &proc->run;
        fprintf(stderr,
                "process %u client %u node %u token %u alive %d attached %d stop %d tasks %u "
                "runs %d (%u:%llu kind %u phase %u blocked %d)\n",
                proc->index, proc->number, proc->node, proc->token, proc->alive, proc->attached,
                proc->stop, proc->n_tasks, run->active, run->id.client,
                (unsigned long long)run->id.seq, run->script.kind, run->phase, run->blocked);
    }
}

__attribute__((noreturn)) void sim_fail(struct sim *sim, const char *file, int line,
                                        const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr,
            "\nSEED=%llu failed at %.6f s, step %llu (%s:%d): ", (unsigned long long)sim->seed,
            (double)sim->now_ns / 1e9, (unsigned long long)sim->steps, file, line);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nreplay: rtc-sim --seed %llu --verbose\n", (unsigned long long)sim->seed);
    if (sim->verbose)
        dump(sim);
    va_end(args);
    abort();
}

void sim_say(struct sim *sim, const char *fmt, ...)
{
    if (!sim->verbose)
        return;
    va_list args;
    va_start(args, fmt);
    printf("%12.6f ", (double)sim->now_ns / 1e9);
    vprintf(fmt, args);
    putchar('\n');
    fflush(stdout);
    va_end(args);
}

void *sim_grow(void *array, uint32_t *cap, uint32_t n, size_t size)
{
    void *at;
    memcpy(&at, array, sizeof(at));
    if (n < *cap)
        return at;
    uint32_t want = *cap ? *cap * 2 : 16;
    at = realloc(at, want * size);
    RTCI_ASSERT(at);
    memcpy(array, &at, sizeof(at));
    *cap = want;
    return at;
}

bool sim_chance(struct sim *sim, uint32_t permille)
{
    return permille && rng_below(&sim->rng, 1000) < permille;
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    return low >= high ? low : low + rng_next(&sim->rng) % (high - low + 1);
}

/* ---- Events: a heap by time, then by the order in which they were planned ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t at_ns, uint32_t type, uint32_t a, uint32_t b,
            struct message *message)
{
    sim_grow(&sim->heap, &sim->cap_heap, sim->n_heap, sizeof(*sim->heap));
    struct event event = {at_ns, sim->order++, type, a, b, message};
    uint32_t i = sim->n_heap++;
    for (; i && before(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
    sim->n_work += type < EV_BEAT || type > EV_POLL;
}

static struct event next_event(struct sim *sim)
{
    struct event first = sim->heap[0], last = sim->heap[--sim->n_heap];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= sim->n_heap)
            break;
        if (child + 1 < sim->n_heap && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    if (sim->n_heap)
        sim->heap[i] = last;
    return first;
}

/* ---- One seed ---- */

/* Each seed has its own mix, so that rare things are common in some. */
static uint32_t some(struct sim *sim, uint32_t most)
{
    return sim_chance(sim, 500) ? 0 : (uint32_t)sim_between(sim, 1, most);
}

static void draw_swarm(struct sim *sim, uint32_t nodes, uint32_t tasks)
{
    struct swarm *swarm = &sim->swarm;
    swarm->nodes = nodes ? nodes : (uint32_t)sim_between(sim, 1, 4);
    swarm->drivers = (uint32_t)sim_between(sim, 1, 3);
    swarm->tasks = tasks ? tasks : (uint32_t)sim_between(sim, 20, 600);
    swarm->window = (uint32_t)sim_between(sim, 1, 200);
    swarm->cpus = (uint32_t)sim_between(sim, 1, 4);
    swarm->p_kind[DO_FAIL] = some(sim, 200);
    swarm->p_kind[DO_CRASH] = some(sim, 60);
    swarm->p_kind[DO_NEST] = some(sim, 200);
    swarm->p_kind[DO_HOLD] = some(sim, 200);
    swarm->p_kind[DO_LARGE] = some(sim, 100);
    swarm->p_kind[DO_SPAWN] = some(sim, 100);
    swarm->p_dep = some(sim, 600);
    swarm->p_put = some(sim, 200);
    swarm->p_large_put = some(sim, 50);
    swarm->p_contain = some(sim, 1000);
    swarm->p_cancel = some(sim, 60);
    swarm->p_release = some(sim, 200);
    swarm->p_priority = some(sim, 500);
    swarm->p_deadline = some(sim, 50);
    swarm->p_stubborn = some(sim, 300);
    swarm->p_retry_on_error = some(sim, 500);
    swarm->p_detached = some(sim, 300);
    struct rng apart = {sim->seed * 0xd1342543de82ef95u + 7}; /* what others draw stays as it was */
    swarm->actors = rng_below(&apart, 2) ? 0 : 1 + rng_below(&apart, 40);
    swarm->calls = swarm->actors && rng_below(&apart, 3) ? 1 + rng_below(&apart, 600) : 0;
    sim->call_rng = apart;
    swarm->delay_ns = sim_chance(sim, 500) ? 10 * SIM_US : sim_between(sim, SIM_US, 2 * SIM_MS);
    swarm->run_ns = sim_between(sim, 1, 3 * SIM_MS);
    if (sim_chance(sim, 300))
        return; /* nothing dies */
    swarm->chaos_ns = sim_between(sim, 200 * SIM_US, 20 * SIM_MS);
    swarm->kill_exec = some(sim, 500);
    swarm->kill_head = some(sim, 200);
    swarm->kill_daemon = some(sim, 200);
    swarm->kill_node = some(sim, 100);
    swarm->kill_driver = some(sim, 50);
    swarm->kill_one_daemon = some(sim, 200);
    swarm->cut = some(sim, 200);
    swarm->drain = some(sim, 100);
    swarm->loss = some(sim, 50);
    swarm->repeat = some(sim, 100);
    swarm->no_register = some(sim, 30);
    swarm->spawn_fails = some(sim, 50);
}

static void report(struct sim *sim)
{
    printf("seed=%llu nodes=%u tasks=%u steps=%llu time=%.3fs results=%llu runs=%llu kills=%llu "
           "heads=%llu nodes_lost=%llu recalled=%llu cancels=%llu blocked=%llu grants=%llu "
           "holds=%llu pulled=%llu not_pulled=%llu daemons=%llu suspects=%llu cuts=%llu lost=%llu "
           "leaves=%llu actors=%llu downs=%llu groups=%llu calls=%u done=%llu not_run=%llu "
           "has_run=%llu unknown=%llu refused=%llu",
           (unsigned long long)sim->seed, sim->swarm.nodes, sim->n_known,
           (unsigned long long)sim->steps, (double)sim->now_ns / 1e9,
           (unsigned long long)sim->n_results, (unsigned long long)sim->n_runs,
           (unsigned long long)sim->n_kills, (unsigned long long)sim->n_head_kills,
           (unsigned long long)sim->n_node_kills, (unsigned long long)sim->n_recalled,
           (unsigned long long)sim->n_cancels, (unsigned long long)sim->n_blocked,
           (unsigned long long)sim->n_grants, (unsigned long long)sim->n_holds,
           (unsigned long long)sim->n_pulled, (unsigned long long)sim->n_not_pulled,
           (unsigned long long)sim->n_daemon_kills, (unsigned long long)sim->n_suspects,
           (unsigned long long)sim->n_cuts, (unsigned long long)sim->n_lost,
           (unsigned long long)sim->n_leaves, (unsigned long long)sim->n_actor_starts,
           (unsigned long long)sim->n_downs, (unsigned long long)sim->n_groups, sim->n_calls,
           (unsigned long long)sim->n_outcomes[CALL_DONE],
           (unsigned long long)sim->n_outcomes[CALL_NOT_RUN],
           (unsigned long long)sim->n_outcomes[CALL_HAS_RUN],
           (unsigned long long)sim->n_outcomes[CALL_UNKNOWN], (unsigned long long)sim->n_refused);
    for (uint32_t i = 1; i < 64; i++) {
        if (sim->n_failed[i])
            printf(" E%u=%llu", i, (unsigned long long)sim->n_failed[i]);
    }
    putchar('\n');
}

#define END_OF_TIME (600 * SIM_S)

static void run_seed(uint64_t seed, uint32_t nodes, uint32_t tasks, bool verbose)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    RTCI_ASSERT(sim);
    sim->seed = seed;
    sim->rng = (struct rng){seed * 0x9e3779b97f4a7c15u + 1};
    sim->now_ns = SIM_S;
    sim->verbose = verbose;
    sim->head_turn_ns = UINT64_MAX;
    draw_swarm(sim, nodes, tasks);
    sim->end_chaos_ns = sim->now_ns + sim_between(sim, 20 * SIM_MS, 2 * SIM_S);
    sim_start(sim);
    while (sim->n_heap) {
        struct event event = next_event(sim);
        SIM_CHECK(sim, event.at_ns >= sim->now_ns, "time ran backwards");
        sim->now_ns = event.at_ns;
        sim->n_work -= event.type < EV_BEAT || event.type > EV_POLL;
        sim->steps++;
        SIM_CHECK(sim, sim->now_ns < END_OF_TIME, "it never becomes quiet");
        sim_event(sim, &event);
        if (!sim->n_work && sim_link_quiet(sim))
            break;
    }
    sim_finished(sim);
    if (verbose)
        report(sim);
    sim_stop(sim);
    free(sim);
}

static int usage(void)
{
    fputs(
        "rtc-sim [--seed S | --seeds FROM:TO] [--nodes N] [--tasks T] [--verbose]\n"
        "rtc-sim --profile [--nodes 10000] [--tasks 10000000] [--json]\n"
        "A profile measures what the head costs at that size; anything else looks for mistakes.\n",
        stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},  {"seeds", required_argument, NULL, 'S'},
        {"nodes", required_argument, NULL, 'n'}, {"tasks", required_argument, NULL, 't'},
        {"profile", no_argument, NULL, 'p'},     {"json", no_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0}};
    uint64_t from = 1, to = 1, tasks = 0;
    uint32_t nodes = 0;
    bool profile = false, json = false, verbose = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end = NULL;
        switch (c) {
        case 's': from = to = strtoull(optarg, NULL, 10); break;
        case 'S':
            from = strtoull(optarg, &end, 10);
            to = end && *end == ':' ? strtoull(end + 1, NULL, 10) : from;
            break;
        case 'n': nodes = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 't': tasks = strtoull(optarg, NULL, 10); break;
        case 'p': profile = true; break;
        case 'j': json = true; break;
        case 'v': verbose = true; break;
        default: return usage();
        }
    }
    if (profile || nodes >= 1000 || tasks >= 1000000)
        return sim_big(nodes ? nodes : 10000, tasks ? tasks : 10000000, from, json);
    for (uint64_t seed = from; seed <= to; seed++)
        run_seed(seed, nodes, (uint32_t)tasks, verbose);
    printf("%llu seeds, from %llu\n", (unsigned long long)(to - from + 1),
           (unsigned long long)from);
    return 0;
}
