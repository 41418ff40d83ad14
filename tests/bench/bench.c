/* rtc-bench: what tasks and objects cost on this machine, against an embedded cluster (or the one
 * at
 * --address). A row is the median of five rounds after one that is not counted; everything runs as
 * users run it: journal, references and acknowledgements on. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rtc/rtc.h>

#define ROUNDS 5
#define MANY   1000000
#define LARGE  ((size_t)64 << 20)

RTC_TASK(noop)
{
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
static double seconds = 1;
static rtc_ref refs[MANY];
static struct rtc_value values[10000];
static char *from, *to;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_size);
    return v[n / 2];
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

static double tasks_sync(void)
{
    static double took[100000];
    size_t n = 0;
    for (double end = now() + seconds; now() < end && n < 100000; n++) {
        double start = now();
        one("noop");
        took[n] = (now() - start) * 1e6;
    }
    return median(took, n);
}

static double tasks_async(void)
{
    double start = now(), n = 0;
    for (; now() - start < seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_submit(rtc, "noop", NULL, NULL, &refs[i]));
        get_all(1000);
    }
    return n / (now() - start);
}

static double tasks_bulk(void)
{
    double start = now(), n = 0;
    for (; now() - start < seconds; n += 10000) {
        RTC_CHECK(rtc_submit_many(rtc, "noop", NULL, 10000, NULL, refs));
        get_all(10000);
    }
    return n / (now() - start);
}

/* A million wait at a node that starts nothing; the time is from when it may. */
static double tasks_drain_1m(void)
{
    RTC_CHECK(rtc_cordon(rtc, 1, true));
    RTC_CHECK(rtc_submit_many(rtc, "noop", NULL, MANY, NULL, refs));
    RTC_CHECK(rtc_flush(rtc, RTC_FOREVER));
    double start = now();
    RTC_CHECK(rtc_cordon(rtc, 1, false));
    RTC_CHECK(rtc_get_many(rtc, refs, MANY, RTC_S(120), NULL));
    double took = now() - start;
    RTC_CHECK(rtc_release_many(rtc, refs, MANY));
    return took;
}

static double tasks_command(void)
{
    const char *const argv[] = {"/bin/true", NULL};
    struct rtc_command command = {.argv = argv};
    double start = now(), n = 0;
    for (; now() - start < seconds; n += 500) {
        for (int i = 0; i < 500; i++)
            RTC_CHECK(rtc_submit_command(rtc, &command, NULL, &refs[i]));
        get_all(500);
    }
    return n / (now() - start);
}

static double put_small(void)
{
    struct rtc_value v = rtc_i64(1);
    double start = now(), n = 0;
    for (; now() - start < seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_put(rtc, &v, &refs[i]));
        RTC_CHECK(rtc_release_many(rtc, refs, 1000));
    }
    return n / (now() - start);
}

static double get_small(void)
{
    struct rtc_value v = rtc_i64(1);
    RTC_CHECK(rtc_put(rtc, &v, &refs[0]));
    double start = now(), n = 0;
    for (; now() - start < seconds; n += 1000) {
        for (int i = 0; i < 1000; i++)
            RTC_CHECK(rtc_get(rtc, refs[0], RTC_FOREVER, &v));
    }
    n /= now() - start;
    RTC_CHECK(rtc_release(rtc, refs[0]));
    return n;
}

static double memcpy_warm(void)
{
    double start = now(), n = 0;
    for (; now() - start < seconds; n++) {
        memcpy(to, from, LARGE);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return n * (double)LARGE / (now() - start) / 1e9;
}

static double put_large(void)
{
    struct rtc_value v = rtc_bytes(from, LARGE);
    double took = 0, n = 0;
    while (took < seconds) {
        double start = now();
        RTC_CHECK(rtc_put(rtc, &v, &refs[0]));
        took += now() - start;
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
        double start = now();
        RTC_CHECK(rtc_get(rtc, refs[0], RTC_FOREVER, &v));
        took[i] = (now() - start) * 1e6;
    }
    RTC_CHECK(rtc_release(rtc, refs[0]));
    return median(took, 10000);
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
    double start = now(), n = 0;
    for (; now() - start < seconds; n++) {
        const rtc_ref *inside;
        size_t count;
        RTC_CHECK(rtc_get(rtc, holder, RTC_FOREVER, &v));
        RTC_CHECK(rtc_value_refs(&v, &inside, &count));
        for (size_t i = 0; i < count; i++) /* each one is looked at */
            sum += inside[i].seq;
    }
    n /= now() - start;
    __asm__ volatile("" : : "r"(sum));
    RTC_CHECK(rtc_release(rtc, holder));
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return n;
}

static double wait_1k(void)
{
    double start = now(), n = 0;
    for (; now() - start < seconds; n++) {
        size_t left = 1000, ready, count;
        for (size_t i = 0; i < left; i++)
            RTC_CHECK(rtc_submit(rtc, "noop", NULL, NULL, &refs[i]));
        for (; left; left--) {
            RTC_CHECK(rtc_wait(rtc, refs, left, 1, RTC_S(60), &ready, &count));
            RTC_CHECK(rtc_release(rtc, refs[ready]));
            memmove(&refs[ready], &refs[ready + 1], (left - ready - 1) * sizeof(*refs));
        }
    }
    return n / (now() - start);
}

static double args_10k(void)
{
    rtc_ref ref;
    put_10k();
    struct rtc_args args = {values, 10000};
    double start = now();
    RTC_CHECK(rtc_submit(rtc, "count_args", &args, NULL, &ref));
    int64_t n = 0;
    RTC_CHECK(rtc_get_i64(rtc, ref, RTC_S(60), &n));
    double took = (now() - start) * 1e3;
    RTC_CHECK(rtc_release(rtc, ref));
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return n == 10000 ? took : NAN;
}

static double returns_3k(void)
{
    double start = now();
    RTC_CHECK(rtc_submit(rtc, "returns_many", NULL, RTC_OPTIONS(.returns = 3000), refs));
    RTC_CHECK(rtc_get_many(rtc, refs, 3000, RTC_S(60), NULL));
    double took = (now() - start) * 1e3;
    RTC_CHECK(rtc_release_many(rtc, refs, 3000));
    return took;
}

static double get_10k(void)
{
    put_10k();
    double start = now();
    RTC_CHECK(rtc_get_many(rtc, refs, 10000, RTC_S(60), NULL));
    double took = (now() - start) * 1e3;
    RTC_CHECK(rtc_release_many(rtc, refs, 10000));
    return took;
}

static double fault_executor(void)
{
    double start = now();
    one("die_once");
    return (now() - start) * 1e3;
}

static double fault_head(void)
{
    char *json = NULL;
    RTC_CHECK(rtc_query(rtc, "status", &json));
    const char *at = strstr(json, "\"pid\":");
    long pid = at ? strtol(at + 6, NULL, 10) : 0;
    free(json);
    double start = now();
    if (pid <= 0 || kill((pid_t)pid, SIGKILL))
        return NAN;
    one("noop");
    return (now() - start) * 1e3;
}

static const struct row {
    const char *name, *unit;
    double (*run)(void);
} rows[] = {
    {"tasks_sync", "us", tasks_sync},
    {"tasks_async", "1/s", tasks_async},
    {"tasks_bulk", "1/s", tasks_bulk},
    {"tasks_drain_1m", "s", tasks_drain_1m},
    {"tasks_command", "1/s", tasks_command},
    {"get_small", "1/s", get_small},
    {"put_small", "1/s", put_small},
    {"memcpy_warm", "GB/s", memcpy_warm},
    {"put_large", "GB/s", put_large},
    {"get_large", "us", get_large},
    {"get_10k_refs", "1/s", get_10k_refs},
    {"wait_1k", "1/s", wait_1k},
    {"args_10k", "ms", args_10k},
    {"returns_3k", "ms", returns_3k},
    {"get_10k", "ms", get_10k},
    {"fault_executor", "ms", fault_executor},
    {"fault_head", "ms", fault_head},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void run_row(const struct row *row, bool json)
{
    double v[ROUNDS];
    row->run(); /* warm-up */
    for (int i = 0; i < ROUNDS; i++)
        v[i] = row->run();
    double mid = median(v, ROUNDS);
    if (json)
        printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"min\":%.6g,\"max\":%.6g,"
               "\"rounds\":%d}\n",
               row->name, mid, row->unit, v[0], v[ROUNDS - 1], ROUNDS);
    else
        printf("%-16s %14.6g %-5s  (%.6g to %.6g)\n", row->name, mid, row->unit, v[0],
               v[ROUNDS - 1]);
    fflush(stdout);
}

static int usage(FILE *out, int rc)
{
    fprintf(out, "usage: rtc bench [NAME…] [--list] [--json] [--seconds S] [--address A]\n");
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"list", 0, NULL, 'l'},    {"json", 0, NULL, 'j'},
                                            {"seconds", 1, NULL, 's'}, {"address", 1, NULL, 'a'},
                                            {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    struct rtc_config config = {.address = "embedded", .name = "bench"};
    bool json = false;
    for (int c;
         !getenv("RTC_EXECUTOR") && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l') {
            for (size_t i = 0; i < N_ROWS; i++)
                printf("%-16s %s\n", rows[i].name, rows[i].unit);
            return 0;
        } else if (c == 'h') {
            return usage(stdout, 0);
        } else if (c == '?') {
            return usage(stderr, 2);
        }
        json |= c == 'j';
        if (c == 's')
            seconds = strtod(optarg, NULL);
        if (c == 'a')
            config.address = optarg;
    }
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    from = malloc(LARGE);
    to = malloc(LARGE);
    if (!from || !to)
        return 1;
    memset(from, 1, LARGE);
    memset(to, 1, LARGE);
    bool any = false;
    for (size_t i = 0; i < N_ROWS; i++) {
        bool wanted = optind >= argc;
        for (int a = optind; a < argc; a++)
            wanted |= !strcmp(argv[a], rows[i].name);
        if (wanted)
            run_row(&rows[i], json);
        any |= wanted;
    }
    rtc_shutdown(&rtc);
    if (!any)
        fprintf(stderr, "rtc bench: no row of that name; `rtc bench --list` prints them\n");
    return any ? 0 : 2;
}
