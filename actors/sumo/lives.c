/* How long a simulator lives. SUMO loses a few KB with each episode, and a few networks more; so
 * after some episodes, or with too much memory, another process takes its place. Between episodes
 * nothing is lost by it; one that grows beyond its limit within an episode is killed. */
#include <stdio.h>
#include <unistd.h>

#include "actors/sumo/internal.h"

#define LOOK_STEPS  16u /* between two looks at its memory: 5 us each */
#define GROWTH      4u  /* times what it had after its first episode */
#define LEAST_LIMIT (1ull << 30)

static uint64_t memory_of(pid_t pid)
{
    char path[64];
    unsigned long long all = 0, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned long long mb(uint64_t bytes)
{
    return bytes >> 20;
}

int sumo_lives_begin(struct sumo_sim *sim)
{
    struct sumo_lives *l = &sim->lives;
    l->processes++;
    l->episodes = 0;
    l->steps = 0;
    l->limit = sim->options.memory_limit;
    uint64_t memory = l->limit ? memory_of(sim->process.pid) : 0;
    if (memory <= l->limit)
        return 0;
    return sumo_fail(sim, RTC_E_NOMEM,
                     "the simulation of '%s' has %llu MB when it begins, and may have %llu MB; "
                     "raise memory_limit",
                     sumo_input_name(sim), mb(memory), mb(l->limit));
}

bool sumo_lives_over(struct sumo_sim *sim)
{
    struct sumo_lives *l = &sim->lives;
    uint64_t memory = memory_of(sim->process.pid);
    if (!l->limit) {
        l->limit = GROWTH * memory;
        l->limit = l->limit > LEAST_LIMIT ? l->limit : LEAST_LIMIT;
    }
    if (memory > l->limit)
        l->too_large++;
    else if (++l->episodes < sim->options.recycle_episodes)
        return false;
    return true;
}

int sumo_lives_look(struct sumo_sim *sim)
{
    struct sumo_lives *l = &sim->lives;
    uint64_t memory;
    if (++l->steps % LOOK_STEPS || !l->limit || (memory = memory_of(sim->process.pid)) <= l->limit)
        return 0;
    l->too_large++;
    sumo_end(sim);
    return sumo_fail(sim, RTC_E_NOMEM,
                     "the simulation of '%s' was killed: it had %llu MB, and may have %llu MB; "
                     "raise memory_limit if it may need that much",
                     sumo_input_name(sim), mb(memory), mb(l->limit));
}

struct sumo_counts sumo_sim_counts(const struct sumo_sim *sim)
{
    return (struct sumo_counts){.processes = sim->lives.processes,
                                .too_large = sim->lives.too_large};
}
