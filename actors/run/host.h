/* What the host has left: CPU and memory, from the texts of the kernel. Functions here are pure, but
 * for run_host_read(). */
#ifndef ACTORS_RUN_HOST_H
#define ACTORS_RUN_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_host { /* zeroed at first, then kept: CPU is the difference of two readings */
    uint64_t used, total; /* bytes; of the control group where it has a limit below the host's */
    bool group;           /* they are the control group's */
    double cpu;           /* 0 to 1 since the last reading; not a number at the first */
    uint64_t busy, ticks;
};

/* Texts of /proc/meminfo and /proc/stat; of memory.max, memory.current and memory.stat of the control
 * group (version 2), or of memory.limit_in_bytes, memory.usage_in_bytes and memory.stat (version 1).
 * NULL: there is none. What can be dropped at any time (page cache) counts as free. Returns false when
 * there is nothing to be told. */
bool run_host_memory(struct run_host *host, const char *meminfo, const char *group_max,
                     const char *group_current, const char *group_stat);
void run_host_cpu(struct run_host *host, const char *stat);
/* Reads all of it. Blocks for some 50 µs. False when /proc cannot be read. */
bool run_host_read(struct run_host *host);

/* ---- The guard ---- */

enum run_guard_level {
    RUN_GUARD_GOOD,
    RUN_GUARD_WARN, /* 75 %: it is said */
    RUN_GUARD_SHED, /* 87.5 %, or the target: free caches, and let environments go */
};

struct run_guard { /* zeroed at first */
    enum run_guard_level level;
    uint64_t peak; /* when it last asked for fewer environments */
};

struct run_advice {
    enum run_guard_level level;
    bool say;            /* the sentence is new */
    bool free_caches;
    uint32_t environments; /* how many there should be: fewer than now, at least one; 0: as they are */
    char sentence[256];
};

/* What to do about it. It asks once for each level that is reached, and again for fewer environments
 * when it grew by another 2 % of the total since; it is good again below 70 %. Nothing is ever to be
 * killed.
 *   target       bytes in use at which environments go; 0: 87.5 %
 *   env_bytes    what one is estimated to take */
void run_guard_step(struct run_guard *guard, const struct run_host *host, uint64_t target,
                    uint32_t environments, uint64_t env_bytes, struct run_advice *ret_advice);

#endif
