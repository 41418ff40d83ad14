#include "actors/run/host.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/config/text.h"

#define TEXT_MAX 16384u

/* The number behind a word at the beginning of a line. */
static bool find(const char *text, const char *word, uint64_t *ret)
{
    size_t n = strlen(word);
    for (const char *at = text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        if (!strncmp(at, word, n)) {
            *ret = strtoull(at + n, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool number(const char *text, uint64_t *ret)
{
    char *end;
    if (!text || text[0] < '0' || text[0] > '9') /* "max": no limit */
        return false;
    *ret = strtoull(text, &end, 10);
    return *end == '\n' || !*end;
}

bool run_host_memory(struct run_host *host, const char *meminfo, const char *group_max,
                     const char *group_current, const char *group_stat)
{
    uint64_t total = 0, available = 0, limit, current, cache = 0;
    bool known = meminfo && find(meminfo, "MemTotal:", &total) &&
                 find(meminfo, "MemAvailable:", &available) && total <= UINT64_MAX / 1024;
    total = known ? total * 1024 : 0;
    if (known) {
        host->total = total;
        host->used = available * 1024 < total ? total - available * 1024 : 0;
        host->group = false;
    }
    if (!number(group_max, &limit) || !number(group_current, &current) || limit == 0 ||
        (known && limit >= total))
        return known;
    if (group_stat && !find(group_stat, "inactive_file ", &cache))
        find(group_stat, "total_inactive_file ", &cache);
    host->total = limit;
    host->used = cache < current ? current - cache : 0;
    host->group = true;
    return true;
}

void run_host_cpu(struct run_host *host, const char *stat)
{
    unsigned long long t[8] = {0};
    host->cpu = NAN;
    if (!stat || sscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
                        &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    uint64_t ticks = 0;
    for (int i = 0; i < 8; i++)
        ticks += t[i];
    uint64_t busy = ticks - t[3] - t[4]; /* idle, waiting for disks */
    if (host->ticks && ticks > host->ticks && busy >= host->busy)
        host->cpu = (double)(busy - host->busy) / (double)(ticks - host->ticks);
    if (host->cpu > 1)
        host->cpu = 1;
    host->busy = busy;
    host->ticks = ticks;
}

/* ---- Reading ---- */

static const char *slurp(const char *path, char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? text : NULL;
}

/* The folder of this process's control group: "0::/user.slice/…", or of the controller "memory". */
static bool group_folder(const char *cgroup, char *out, size_t size, bool *ret_v2)
{
    for (const char *at = cgroup; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        const char *first = strchr(at, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        size_t len = second ? strcspn(second + 1, "\n") : 0;
        *ret_v2 = first && first + 1 == second;
        bool v1 = second && !strncmp(first, ":memory:", 8);
        if (second && (*ret_v2 || v1)) {
            snprintf(out, size, "/sys/fs/cgroup%s%.*s", v1 ? "/memory" : "", (int)len, second + 1);
            return true;
        }
    }
    return false;
}

/* The group or the one above it that is fullest, or the host where no group has a limit. */
static void read_groups(struct run_host *host, const char *meminfo, char *folder, bool v2,
                        char (*texts)[TEXT_MAX])
{
    static const char *const names[2][3] = {
        {"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"},
        {"memory.max", "memory.current", "memory.stat"}};
    size_t top = strlen(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    char path[2200];
    while (strlen(folder) >= top) {
        const char *group[3];
        struct run_host one = {0};
        for (int i = 0; i < 3; i++) {
            snprintf(path, sizeof(path), "%s/%s", folder, names[v2][i]);
            group[i] = slurp(path, texts[i]);
        }
        run_host_memory(&one, meminfo, group[0], group[1], group[2]);
        if (one.group && (!host->group || (double)one.used / (double)one.total >
                                              (double)host->used / (double)host->total)) {
            host->used = one.used;
            host->total = one.total;
            host->group = true;
        }
        *strrchr(folder, '/') = 0;
    }
}

static bool read_memory(struct run_host *host, char (*texts)[TEXT_MAX])
{
    char folder[2048];
    bool v2 = false;
    const char *meminfo = slurp("/proc/meminfo", texts[0]);
    bool known = run_host_memory(host, meminfo, NULL, NULL, NULL);
    if (slurp("/proc/self/cgroup", texts[1]) && group_folder(texts[1], folder, sizeof(folder), &v2))
        read_groups(host, meminfo, folder, v2, texts + 1);
    return known || host->group;
}

bool run_host_read(struct run_host *host)
{
    char(*texts)[TEXT_MAX] = malloc(4 * TEXT_MAX);
    if (!texts)
        return false;
    bool known = read_memory(host, texts);
    run_host_cpu(host, slurp("/proc/stat", texts[0]));
    free(texts);
    return known;
}

/* ---- The guard ---- */

static uint64_t part(uint64_t total, uint64_t thousandths)
{
    return total / 1000 * thousandths + total % 1000 * thousandths / 1000;
}

static uint32_t fewer(uint32_t environments, uint64_t over, uint64_t env_bytes)
{
    uint64_t go = env_bytes ? over / env_bytes + 1 : 1;
    uint64_t quarter = environments / 4 ? environments / 4 : 1; /* at least, so that it helps */
    go = go < quarter ? quarter : go;
    return go >= environments ? 1 : environments - (uint32_t)go;
}

static enum run_guard_level level_of(const struct run_guard *g, const struct run_host *h,
                                     uint64_t shed)
{
    uint64_t warn = part(h->total, 750), good = part(h->total, 700);
    if (shed < warn) { /* a target of the user's below that */
        warn = part(shed, 860);
        good = part(shed, 800);
    }
    if (h->used >= shed)
        return RUN_GUARD_SHED;
    if (h->used >= warn)
        return RUN_GUARD_WARN;
    return h->used >= good && g->level != RUN_GUARD_GOOD ? RUN_GUARD_WARN : RUN_GUARD_GOOD;
}

static void say(const struct run_host *h, struct run_advice *a, uint32_t environments)
{
    char used[24], total[24];
    int n = snprintf(a->sentence, sizeof(a->sentence), "memory: %s of %s%s in use",
                     config_bytes_text(h->used, used, sizeof(used)),
                     config_bytes_text(h->total, total, sizeof(total)),
                     h->group ? " of the control group" : "");
    if (n < 0 || (size_t)n >= sizeof(a->sentence))
        return;
    if (a->environments)
        snprintf(a->sentence + n, sizeof(a->sentence) - (size_t)n,
                 "; caches are freed, and environments become %u instead of %u", a->environments,
                 environments);
    else if (a->free_caches)
        snprintf(a->sentence + n, sizeof(a->sentence) - (size_t)n,
                 "; caches are freed; one environment is left, and stays");
    else if (a->level == RUN_GUARD_GOOD)
        snprintf(a->sentence + n, sizeof(a->sentence) - (size_t)n, ": enough again");
}

void run_guard_step(struct run_guard *guard, const struct run_host *host, uint64_t target,
                    uint32_t environments, uint64_t env_bytes, struct run_advice *ret_advice)
{
    struct run_advice a = {0};
    uint64_t shed = part(host->total, 875);
    if (target && target < host->total)
        shed = target;
    if (!host->total) {
        *ret_advice = a;
        return;
    }
    a.level = level_of(guard, host, shed);
    bool first = !guard->peak || host->used > guard->peak + part(host->total, 20);
    a.say = a.level != guard->level && (a.level > guard->level || a.level == RUN_GUARD_GOOD);
    if (a.level == RUN_GUARD_SHED && first) {
        a.free_caches = a.say = true;
        a.environments = environments > 1 ? fewer(environments, host->used - shed, env_bytes) : 0;
        guard->peak = host->used;
    }
    if (a.level == RUN_GUARD_GOOD)
        guard->peak = 0;
    guard->level = a.level;
    if (a.say)
        say(host, &a, environments);
    *ret_advice = a;
}
