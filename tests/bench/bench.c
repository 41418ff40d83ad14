/* rtc-bench: what tasks and objects cost on this machine, against an embedded cluster (or the one
 * at
 * --address). A row is the median of five rounds after one that is not counted, in turn with rounds
 * of the baseline that it is compared with; everything runs as users run it: journal, references
 * and acknowledgements on. */
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rtc/rtc.h>

#include "tests/bench/bench.h"
#if RTC_BASELINES
#include "tests/bench/baselines.h"
#endif
#if RTC_PPO
#include "tests/bench/ppo.h"
#endif

#define ROUNDS 5
#define MANY   1000000
#define LARGE  ((size_t)64 << 20)

RTC_TASK(noop)
{
    return rtc_return_i64(call, 0);
}

/* Long enough that a second one needs an executor of its own. */
RTC_TASK(nap)
{
    struct timespec t = {.tv_nsec = 100 * 1000 * 1000};
    nanosleep(&t, NULL);
    return rtc_return_i64(call, 0);
}

RTC_TASK(returns_many)
{
    for (int64_t i = 0; i < 3000; i++)
        RTC_TRY(rtc_return_i64(call, i));
    return 0;
}

RTC_TASK(count_args)
{
    return rtc_return_i64(call, (int64_t)rtc_arg_count(call));
}

RTC_TASK(die_once)
{
    if (rtc_call_attempt(call) == 1)
        raise(SIGKILL);
    return rtc_return_i64(call, 0);
}

static struct rtc *rtc;
double bench_seconds = 1;
static rtc_ref refs[MANY];
static struct rtc_value values[10000];
static char *from, *to;

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct rtc *bench_rtc(void)
{
    return rtc;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_size);
    return v[n / 2];
}

void bench_need(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

void bench_pin(int pid, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    long n = sysconf(_SC_NPROCESSORS_CONF);
    for (long i = 0; i < n; i++) {
        if (cpu < 0 || i == cpu % n)
            CPU_SET((size_t)i, &set);
    }
    if (sched_setaffinity(pid, sizeof(set), &set))
        fprintf(stderr, "rtc-bench: process %d cannot be pinned to CPU %d\n", pid, cpu);
}

static void get_all(size_t n)
{
    RTC_CHECK(rtc_get_many(rtc, refs, n, RTC_S(120), NULL));
    RTC_CHECK(rtc_release_many(rtc, refs, n));
}

static void one(const char *task)
{
    rtc_ref ref;
    RTC_CHECK(rtc_submit(rtc, task, NULL, NULL, &ref));
    RTC_CHECK(rtc_get(rtc, ref, RTC_S(60), &values[0]));
    RTC_CHECK(rtc_release(rtc, ref));
}

int bench_daemon_pid(struct rtc *of)
{
    char *json = NULL;
    RTC_CHECK(rtc_query(of, "status", &json));
    const char *at = strstr(json, "\"pid\":");
    long pid = at ? strtol(at + 6, NULL, 10) : 0;
    free(json);
    return (int)pid;
}

/* Driver and executors on one CPU, the daemon on the other, as the baseline; or all free again. */
static void pin_cluster(bool pin)
{
    int daemon = bench_daemon_pid(rtc), keeper = 0, pids[64];
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", daemon);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d %*s %*c %d", &keeper) != 1)
        keeper = 0;
    if (file)
        fclose(file);
    size_t n = keeper ? bench_children(keeper, pids, 64) : 0;
    for (size_t i = 0; i < n; i++)
        bench_pin(pids[i], !pin ? -1 : pids[i] == daemon ? 1 : 0);
    bench_pin(0, pin ? 0 : -1);
}

static double tasks_sync(void)
{
    static double took[100000];
    size_t n = 0;
    one("noop");
    pin_cluster(true);
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 100000; n++) {
        double start = bench_now();
        one("noop");
        took[n] = (bench_now() - start) * 1e6;
    }
    pin_cluster(false);
    return bench_median(took, n);
}

static double tasks_async(void)
{
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_submit(rtc, "noop", NULL, NULL, &refs[i]));
        get_all(1000);
    }
    return n / (bench_now() - start);
}

static double tasks_bulk(void)
{
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 10000) {
        RTC_CHECK(rtc_submit_many(rtc, "noop", NULL, 10000, NULL, refs));
        get_all(10000);
    }
    return n / (bench_now() - start);
}

/* A million wait at a node that starts nothing; the time is from when it may. */
static double tasks_drain_1m(void)
{
    RTC_CHECK(rtc_cordon(rtc, 1, true));
    RTC_CHECK(rtc_submit_many(rtc, "noop", NULL, MANY, NULL, refs));
    RTC_CHECK(rtc_flush(rtc, RTC_FOREVER));
    double start = bench_now();
    RTC_CHECK(rtc_cordon(rtc, 1, false));
    RTC_CHECK(rtc_get_many(rtc, refs, MANY, RTC_S(120), NULL));
    double took = bench_now() - start;
    RTC_CHECK(rtc_release_many(rtc, refs, MANY));
    return took;
}

static double tasks_command(void)
{
    const char *const argv[] = {"/bin/true", NULL};
    struct rtc_command command = {.argv = argv};
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 500) {
        for (int i = 0; i < 500; i++)
            RTC_CHECK(rtc_submit_command(rtc, &command, NULL, &refs[i]));
        get_all(500);
    }
    return n / (bench_now() - start);
}

static double put_small(void)
{
    struct rtc_value v = rtc_i64(1);
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_put(rtc, &v, &refs[i]));
        RTC_CHECK(rtc_release_many(rtc, refs, 1000));
    }
    return n / (bench_now() - start);
}

static double get_small(void)
{
    struct rtc_value v = rtc_i64(1);
    RTC_CHECK(rtc_put(rtc, &v, &refs[0]));
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_get(rtc, refs[0], RTC_FOREVER, &v));
    }
    n /= bench_now() - start;
    RTC_CHECK(rtc_release(rtc, refs[0]));
    return n;
}

static double memcpy_warm(void)
{
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n++) {
        memcpy(to, from, LARGE);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return n * (double)LARGE / (bench_now() - start) / 1e9;
}

static double put_large(void)
{
    struct rtc_value v = rtc_bytes(from, LARGE);
    double took = 0, n = 0;
    while (took < bench_seconds) {
        double start = bench_now();
        RTC_CHECK(rtc_put(rtc, &v, &refs[0]));
        took += bench_now() - start;
        RTC_CHECK(rtc_release(rtc, refs[0]));
        n++;
    }
    return n * (double)LARGE / took / 1e9;
}

static double get_large(void)
{
    static double took[10000];
    struct rtc_value v = rtc_bytes(from, LARGE);
    RTC_CHECK(rtc_put(rtc, &v, &refs[0]));
    for (int i = 0; i < 10000; i++) {
        double start = bench_now();
        RTC_CHECK(rtc_get(rtc, refs[0], RTC_FOREVER, &v));
        took[i] = (bench_now() - start) * 1e6;
    }
    RTC_CHECK(rtc_release(rtc, refs[0]));
    return bench_median(took, 10000);
}

static void put_10k(void)
{
    for (int i = 0; i < 10000; i++) {
        struct rtc_value v = rtc_i64(i);
        RTC_CHECK(rtc_put(rtc, &v, &refs[i]));
        values[i] = rtc_of_ref(refs[i]);
    }
}

static double get_10k_refs(void)
{
    rtc_ref holder;
    put_10k();
    struct rtc_value v = rtc_list(values, 10000);
    RTC_CHECK(rtc_put(rtc, &v, &holder));
    uint64_t sum = 0;
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n++) {
        const rtc_ref *inside;
        size_t count;
        RTC_CHECK(rtc_get(rtc, holder, RTC_FOREVER, &v));
        RTC_CHECK(rtc_value_refs(&v, &inside, &count));
        for (size_t i = 0; i < count; i++) /* each one is looked at */
            sum += inside[i].seq;
    }
    n /= bench_now() - start;
    __asm__ volatile("" : : "r"(sum));
    RTC_CHECK(rtc_release(rtc, holder));
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return n;
}

static double wait_1k(void)
{
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n++) {
        size_t left = 1000, ready, count;
        for (size_t i = 0; i < left; i++)
            RTC_CHECK(rtc_submit(rtc, "noop", NULL, NULL, &refs[i]));
        for (; left; left--) {
            RTC_CHECK(rtc_wait(rtc, refs, left, 1, RTC_S(60), &ready, &count));
            RTC_CHECK(rtc_release(rtc, refs[ready]));
            memmove(&refs[ready], &refs[ready + 1], (left - ready - 1) * sizeof(*refs));
        }
    }
    return n / (bench_now() - start);
}

static double args_10k(void)
{
    rtc_ref ref;
    put_10k();
    struct rtc_args args = {values, 10000};
    double start = bench_now();
    RTC_CHECK(rtc_submit(rtc, "count_args", &args, NULL, &ref));
    int64_t n = 0;
    RTC_CHECK(rtc_get_i64(rtc, ref, RTC_S(60), &n));
    double took = (bench_now() - start) * 1e3;
    RTC_CHECK(rtc_release(rtc, ref));
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return n == 10000 ? took : NAN;
}

static double returns_3k(void)
{
    double start = bench_now();
    RTC_CHECK(rtc_submit(rtc, "returns_many", NULL, RTC_OPTIONS(.returns = 3000), refs));
    RTC_CHECK(rtc_get_many(rtc, refs, 3000, RTC_S(60), NULL));
    double took = (bench_now() - start) * 1e3;
    RTC_CHECK(rtc_release_many(rtc, refs, 3000));
    return took;
}

static double get_10k(void)
{
    put_10k();
    double start = bench_now();
    RTC_CHECK(rtc_get_many(rtc, refs, 10000, RTC_S(60), NULL));
    double took = (bench_now() - start) * 1e3;
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return took;
}

static double fault_executor(void)
{
    double start = bench_now();
    one("die_once");
    return (bench_now() - start) * 1e3;
}

/* Killed after a stretch of full load: the journal holds what it holds then. */
static double fault_head(void)
{
    tasks_async();
    int pid = bench_daemon_pid(rtc);
    double start = bench_now();
    if (pid <= 0 || kill((pid_t)pid, SIGKILL))
        return NAN;
    one("noop");
    return (bench_now() - start) * 1e3;
}

struct row {
    const char *name, *unit;
    double (*run)(void);
    const char *baseline; /* its ratio is to this one */
    bool once;
};

#define IS_RATE(row) (strchr((row)->unit, '/') != NULL)

static const struct row baselines[] = {
    {"memcpy_warm", "GB/s", memcpy_warm, NULL, false},
#if RTC_BASELINES
    {"ring_path_sync", "us", bench_ring_path_sync, NULL, false},
    {"ring_path", "1/s", bench_ring_path, NULL, false},
    {"lane_rtt", "us", bench_lane_rtt, NULL, false},
    {"lane_path", "1/s", bench_lane_path, NULL, false},
    {"futex_rtt", "us", bench_futex_rtt, NULL, false},
    {"spin_rtt", "us", bench_spin_rtt, NULL, false},
    {"uds_rtt", "us", bench_uds_rtt, NULL, false},
    {"zmq_tcp_rtt", "us", bench_zmq_tcp_rtt, NULL, false},
    {"zmq_curve_rtt", "us", bench_zmq_curve_rtt, NULL, false},
    {"zmq_tcp_msgs", "1/s", bench_zmq_tcp_msgs, NULL, false},
    {"zmq_curve", "GB/s", bench_zmq_curve, NULL, false},
    {"lmdb_put", "us", bench_lmdb_put, NULL, false},
    {"spawn", "us", bench_spawn, NULL, false},
    {"sgemm", "GFLOP/s", bench_sgemm, NULL, false},
#endif
#if RTC_PPO
    {"ppo_products_64", "us", bench_ppo_products_64, NULL, false},
    {"ppo_products_256", "us", bench_ppo_products_256, NULL, false},
#endif
    {"sumo_bare", "1/s", bench_sumo_bare, NULL, false},
    {"sumo_bare_all", "1/s", bench_sumo_bare_all, NULL, false},
    {"sumo_alone", "1/s", bench_sumo_all, NULL, false}, /* of ppo_sumo: sumo_all */
    {"sumo_bare01", "1/s", bench_sumo_bare01, NULL, false},
};
#define N_BASELINES (sizeof(baselines) / sizeof(baselines[0]))

static double actor_sync(void)
{
    return bench_actor_sync(rtc);
}

static double actor_async(void)
{
    return bench_actor_async(rtc);
}

static double actor_nn(void)
{
    return bench_actor_nn(rtc);
}

static double actor_arg(void)
{
    return bench_actor_arg(rtc);
}

static double actor_create(void)
{
    return bench_actor_create(rtc);
}

static const struct row rows[] = {
    {"tasks_sync", "us", tasks_sync, "ring_path_sync", false},
    {"tasks_async", "1/s", tasks_async, "ring_path", false},
    {"tasks_bulk", "1/s", tasks_bulk, "ring_path", false},
    {"tasks_clients", "1/s", bench_tasks_clients, NULL, false},
    {"tasks_drain_1m", "s", tasks_drain_1m, NULL, false},
    {"tasks_command", "1/s", tasks_command, NULL, false},
    {"get_small", "1/s", get_small, NULL, false},
    {"put_small", "1/s", put_small, NULL, false},
    {"put_large", "GB/s", put_large, "memcpy_warm", false},
    {"get_large", "us", get_large, NULL, false},
    {"get_10k_refs", "1/s", get_10k_refs, NULL, false},
    {"wait_1k", "1/s", wait_1k, NULL, false},
    {"args_10k", "ms", args_10k, NULL, false},
    {"returns_3k", "ms", returns_3k, NULL, false},
    {"get_10k", "ms", get_10k, NULL, false},
    {"head_ready", "ms", bench_head_ready, NULL, false},
    {"first_task", "ms", bench_first_task, NULL, false},
    {"idle_memory", "MB", bench_idle_memory, NULL, true},
    {"sim_10k", "us", bench_sim_10k, NULL, true},
    {"de_overhead", "us", bench_de_overhead, NULL, false},
    {"de_utilisation", "of 1", bench_de_utilisation, NULL, true},
    {"fault_executor", "ms", fault_executor, NULL, false},
    {"fault_head", "ms", fault_head, NULL, false},
    {"tasks_remote", "1/s", bench_tasks_remote, NULL, false},
    {"task_remote_sync", "us", bench_task_remote_sync, "zmq_curve_rtt", false},
    {"actor_remote_sync", "us", bench_actor_remote_sync, "zmq_curve_rtt", false},
    {"actor_remote_async", "1/s", bench_actor_remote_async, NULL, false},
    {"transfer_256m", "GB/s", bench_transfer_256m, "zmq_curve", false},
    {"allreduce_hosts_64m", "GB/s", bench_allreduce_hosts_64m, "zmq_curve", false},
    {"allreduce_hosts_sync", "us", bench_allreduce_hosts_sync, "zmq_curve_rtt", false},
    {"worker_join", "ms", bench_worker_join, NULL, false},
    {"worker_program", "ms", bench_worker_program, NULL, false},
    {"worker_memory", "MB", bench_worker_memory, NULL, false},
    {"fault_node", "ms", bench_fault_node, NULL, false},
    {"actor_sync", "us", actor_sync, "futex_rtt", false},
    {"actor_async", "1/s", actor_async, NULL, false},
    {"actor_nn", "1/s", actor_nn, NULL, false},
    {"actor_arg", "1/s", actor_arg, NULL, false},
    {"actor_create", "1/s", actor_create, NULL, false},
    {"light_pingpong", "ns", bench_light_pingpong, NULL, false},
    {"light_count", "1/s", bench_light_count, NULL, false},
    {"light_create", "1/s", bench_light_create, NULL, false},
    {"light_memory", "B", bench_light_memory, NULL, false},
    {"engine_pingpong", "ns", bench_engine_pingpong, NULL, false},
    {"engine_count", "1/s", bench_engine_count, NULL, false},
    {"engine_create", "1/s", bench_engine_create, NULL, false},
    {"engine_memory", "B", bench_engine_memory, NULL, false},
    {"placement_group", "1/s", bench_placement_group, NULL, false},
    {"allreduce_64m", "GB/s", bench_allreduce_64m, "memcpy_warm", false},
#if RTC_PPO
    {"ppo_update_64", "us", bench_ppo_update_64, "ppo_products_64", false},
    {"ppo_update_256", "us", bench_ppo_update_256, "ppo_products_256", false},
    {"ppo_cartpole_64", "1/s", bench_ppo_cartpole_64, NULL, false},
    {"ppo_cartpole_256", "1/s", bench_ppo_cartpole_256, NULL, false},
    {"ppo_sumo", "1/s", bench_ppo_sumo, "sumo_alone", false},
    {"ppo_first_update", "s", bench_ppo_first_update, NULL, false},
    {"ppo_memory", "MB", bench_ppo_memory, NULL, false},
    {"ppo_memory_6x2", "MB", bench_ppo_memory_6x2, NULL, false},
#endif
    {"sumo_one_a", "1/s", bench_sumo_one_a, "sumo_bare", false},
    {"sumo_one_b", "1/s", bench_sumo_one_b, "sumo_bare", false},
    {"sumo_all", "1/s", bench_sumo_all, "sumo_bare_all", false},
    {"sumo_step01", "1/s", bench_sumo_step01, "sumo_bare01", false},
    {"sumo_reset_a", "ms", bench_sumo_reset_a, NULL, false},
    {"sumo_reset_b", "ms", bench_sumo_reset_b, NULL, false},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *find_row(const struct row *list, size_t n, const char *name)
{
    for (size_t i = 0; name && i < n; i++) {
        if (!strcmp(list[i].name, name))
            return &list[i];
    }
    return NULL;
}

/* What is compared with two threads that talk over ZeroMQ has a process more at each end, woken and
 * waking: a limit of two more round trips. */
#define WAKES 2

/* Rounds of a row, in turn with rounds of what it is compared with. */
struct rounds {
    double value[ROUNDS], base[ROUNDS], wake[ROUNDS];
    size_t n;
};

static void run_rounds(const struct row *row, const struct row *base, struct rounds *r)
{
    const struct row *wake = NULL;
    if (row->baseline && !strcmp(row->baseline, "zmq_curve_rtt"))
        wake = find_row(baselines, N_BASELINES, "futex_rtt");
    r->n = row->once ? 1 : ROUNDS;
    if (!row->once)
        row->run(); /* warm-up */
    for (size_t i = 0; i < r->n; i++) {
        r->base[i] = base ? base->run() : NAN;
        r->wake[i] = wake ? wake->run() : NAN;
        r->value[i] = row->run();
    }
}

static void run_row(const struct row *row, bool json)
{
    const struct row *base = find_row(baselines, N_BASELINES, row->baseline);
    struct rounds r;
    run_rounds(row, base, &r);
    double mid = bench_median(r.value, r.n), low = bench_median(r.base, r.n);
    double wake = bench_median(r.wake, r.n), ratio = IS_RATE(row) ? mid / low : low / mid;
    if (isnan(mid)) {
        fprintf(stderr, "rtc-bench: %s could not be measured\n", row->name);
        return;
    }
    if (json) {
        printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"min\":%.6g,\"max\":%.6g,"
               "\"rounds\":%zu",
               row->name, mid, row->unit, r.value[0], r.value[r.n - 1], r.n);
        if (base && !isnan(low))
            printf(",\"ratio\":%.4g,\"baseline\":\"%s\",\"baseline_value\":%.6g", ratio, base->name,
                   low);
        if (!isnan(wake))
            printf(",\"futex_rtt\":%.6g", wake);
        printf(",\"params\":{\"seconds\":%g}}\n", bench_seconds);
    } else {
        printf("%-16s %14.6g %-7s (%.6g to %.6g)", row->name, mid, row->unit, r.value[0],
               r.value[r.n - 1]);
        if (base && !isnan(low))
            printf("  %.3g of %s %.6g", ratio, base->name, low);
        if (!isnan(wake))
            printf(", %.3g with %d futex_rtt %.6g", (low + WAKES * wake) / mid, WAKES, wake);
        printf("\n");
    }
    fflush(stdout);
}

static int usage(FILE *out, int rc)
{
    fprintf(
        out,
        "usage: rtc bench [NAME…] [--list] [--json] [--seconds S] [--address A]\n\n"
        "Runs the rows named, or all of them, and prints the median of %d rounds of S seconds\n"
        "(default 1); `baseline` runs what they are compared with. A ratio of 1 is the limit.\n",
        ROUNDS);
    return rc;
}

static int list(void)
{
    for (size_t i = 0; i < N_ROWS; i++)
        printf("%-16s %s\n", rows[i].name, rows[i].unit);
    for (size_t i = 0; i < N_BASELINES; i++)
        printf("%-16s %s (baseline)\n", baselines[i].name, baselines[i].unit);
    return 0;
}

static bool named(int argc, char **argv, const char *name)
{
    for (int a = optind; a < argc; a++) {
        if (!strcmp(argv[a], name))
            return true;
    }
    return false;
}

static bool run_rows(int argc, char **argv, bool json)
{
    bool any = false;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (optind < argc && !named(argc, argv, rows[i].name))
            continue;
        run_row(&rows[i], json);
        any = true;
    }
    for (size_t i = 0; i < N_BASELINES; i++) {
        if (!named(argc, argv, baselines[i].name) && !named(argc, argv, "baseline"))
            continue;
        run_row(&baselines[i], json);
        any = true;
    }
    return any;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"list", 0, NULL, 'l'},    {"json", 0, NULL, 'j'},
                                            {"seconds", 1, NULL, 's'}, {"address", 1, NULL, 'a'},
                                            {"as", 1, NULL, 'A'},      {"help", 0, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct rtc_config config = {.address = "embedded", .name = "bench"};
    bool json = false;
    const char *as = NULL;
    for (int c;
         !getenv("RTC_EXECUTOR") && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'l': return list();
        case 'h': return usage(stdout, 0);
        case 'j': json = true; break;
        case 's': bench_seconds = strtod(optarg, NULL); break;
        case 'a': config.address = optarg; break;
        case 'A':
            as = optarg;
            config.address = getenv("RTC_ADDRESS");
            break;
        default: return usage(stderr, 2);
        }
    }
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    if (as) {
        int rc = strcmp(as, "stranger") ? bench_as(rtc, as) : bench_as_stranger(rtc);
        rtc_shutdown(&rtc);
        return rc;
    }
    from = malloc(LARGE);
    to = malloc(LARGE);
    if (!from || !to)
        return 1;
    memset(from, 1, LARGE);
    memset(to, 1, LARGE);
    bool any = run_rows(argc, argv, json);
    rtc_shutdown(&rtc);
    if (!any)
        fprintf(stderr, "rtc bench: no row of that name; `rtc bench --list` prints them\n");
    return any ? 0 : 2;
}
