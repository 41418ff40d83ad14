/* The driver of check_hosts.py: work whose every trace can be counted.
 *
 *   many N FILE MICROSECONDS   at least N tasks, and more until stdin ends; each leaves a mark
 *   forever N FILE MICROSECONDS  the same, with retries without end
 *   once N FILE MICROSECONDS   the same without retries: no mark may be there twice
 *   objects N SIZE             results of SIZE bytes, read here and by other tasks, again and again
 *   node NODE                  runs one task on a node
 *   latency SECONDS NODE SIZE  round trips of tasks there while objects of SIZE come from there
 *   deadline NODE              tasks that do and do not meet their deadline
 *
 * Results are lines `key value`. Which host ran a task is told by the number of its network
 * namespace, for the hosts of the test share everything else. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rtc/rtc.h>

#ifdef HOST_LIB
int host_lib_answer(void);
#endif

#define WINDOW   5000 /* tasks that are not done at a time */
#define PATIENCE RTC_S(60)
#define HOSTS    16
#define TASKS    4000000

struct mark {
    int64_t task;
    uint64_t host;
};

static uint64_t host_here(void)
{
    struct stat st;
    return stat("/proc/self/ns/net", &st) ? 0 : (uint64_t)st.st_ino;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- Tasks ---- */

RTC_TASK(mark)
{
    static int fd = -1;
    struct mark mark = {.host = host_here()};
    int64_t us;
    const char *path;
    RTC_TRY(rtc_arg_i64(call, 0, &mark.task));
    RTC_TRY(rtc_arg_str(call, 1, &path, NULL));
    RTC_TRY(rtc_arg_i64(call, 2, &us));
    if (fd < 0)
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (write(fd, &mark, sizeof(mark)) != (ssize_t)sizeof(mark))
        return rtc_fail(call, RTC_E_OS, "writing %s", path);
    struct timespec wait = {us / 1000000, us % 1000000 * 1000};
    if (us)
        ppoll(NULL, 0, &wait, NULL);
    return rtc_return_i64(call, mark.task * 3);
}

RTC_TASK(where)
{
#ifdef HOST_LIB
    if (host_lib_answer() != 42)
        return rtc_fail(call, -1, "the library is another one");
#endif
    return rtc_return_i64(call, (int64_t)host_here());
}

static unsigned char letter(int64_t seed, size_t at)
{
    return (unsigned char)((uint64_t)(seed + 1) * 2654435761u + at * 31 + (at >> 12));
}

RTC_TASK(make)
{
    int64_t seed, size;
    RTC_TRY(rtc_arg_i64(call, 0, &seed));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    unsigned char *data = malloc((size_t)size + 1);
    for (size_t i = 0; data && i < (size_t)size; i++)
        data[i] = letter(seed, i);
    int rc = data ? rtc_return_bytes(call, data, (size_t)size) : RTC_E_NOMEM;
    free(data);
    return rc;
}

static bool right(int64_t seed, const unsigned char *data, size_t size, size_t expected)
{
    if (size != expected)
        return false;
    for (size_t i = 0; i < size; i++)
        if (data[i] != letter(seed, i))
            return false;
    return true;
}

RTC_TASK(check)
{
    int64_t seed, expected;
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_i64(call, 0, &seed));
    RTC_TRY(rtc_arg_i64(call, 1, &expected));
    RTC_TRY(rtc_arg_bytes(call, 2, &data, &size));
    return rtc_return_i64(call, right(seed, data, size, (size_t)expected));
}

RTC_TASK(until_told)
{
    while (!rtc_cancelled(call))
        poll(NULL, 0, 1);
    return rtc_fail(call, RTC_E_CANCELLED, "told to stop");
}

/* ---- Marks ---- */

struct run {
    struct rtc *rtc;
    const char *path;
    int64_t us, submitted, got, lost;
    bool once;
    unsigned char *failed; /* by number of the task */
    rtc_ref refs[WINDOW];  /* a ring */
    char story[512];
};

static bool more_wanted(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char byte;
    return poll(&in, 1, 0) == 0 || read(0, &byte, 1) > 0;
}

static int complain(struct run *run, int64_t task, int rc)
{
    char why[512] = "";
    printf("failed task %" PRId64 ": %s: %s\n", task, rtc_error_name(rc), rtc_last_error());
    if (rc == RTC_E_TIMEOUT && rtc_why(run->rtc, run->refs[task % WINDOW], why, sizeof(why)) == 0)
        printf("why %s\n", why);
    return 1;
}

static int take_one(struct run *run)
{
    int64_t task = run->got, x = -1;
    rtc_ref ref = run->refs[task % WINDOW];
    int rc = rtc_get_i64(run->rtc, ref, PATIENCE, &x);
    if (run->once && rc == RTC_E_NODE_LOST) {
        struct rtc_failure failure;
        if (rtc_failure_of(run->rtc, ref, &failure) == 0)
            snprintf(run->story, sizeof(run->story), "%s", failure.text);
        run->failed[task] = 1;
        run->lost++;
    } else if (rc || x != task * 3) {
        return rc ? complain(run, task, rc) : (printf("wrong result of %" PRId64 "\n", task), 1);
    }
    rtc_release(run->rtc, ref);
    run->got++;
    if (run->got % 1000 == 0)
        printf("got %" PRId64 "\n", run->got);
    return 0;
}

static void count_host(uint64_t *hosts, int64_t *counts, uint64_t host)
{
    for (int i = 0; i < HOSTS; i++) {
        if (hosts[i] && hosts[i] != host)
            continue;
        hosts[i] = host;
        counts[i]++;
        return;
    }
}

static int count_marks(struct run *run)
{
    unsigned char *seen = calloc((size_t)run->submitted + 1, 1);
    uint64_t hosts[HOSTS] = {0};
    int64_t counts[HOSTS] = {0}, twice = 0, missing = 0;
    struct mark mark;
    FILE *file = fopen(run->path, "re");
    if (!file || !seen)
        return printf("no marks\n"), 1;
    while (fread(&mark, sizeof(mark), 1, file) == 1) {
        if (mark.task < 0 || mark.task >= run->submitted)
            return printf("a mark of no task\n"), 1;
        twice += seen[mark.task] == 1;
        seen[mark.task] += seen[mark.task] < 2;
        count_host(hosts, counts, mark.host);
    }
    fclose(file);
    for (int64_t i = 0; i < run->submitted; i++)
        missing += !seen[i] && !run->failed[i];
    free(seen);
    for (int i = 0; i < HOSTS && hosts[i]; i++)
        printf("host %" PRIu64 " %" PRId64 "\n", hosts[i], counts[i]);
    printf("tasks %" PRId64 "\nlost %" PRId64 "\ntwice %" PRId64 "\nmissing %" PRId64 "\n",
           run->submitted, run->lost, twice, missing);
    if (run->lost)
        printf("story %s\n", run->story);
    return missing || (run->once && twice);
}

static int marks(struct rtc *rtc, int retries, int64_t n, const char *path, int64_t us)
{
    static struct run run;
    run = (struct run){.rtc = rtc, .path = path, .us = us, .once = retries == RTC_NO_RETRY};
    run.failed = calloc(TASKS, 1);
    const struct rtc_options options = {.retries = retries};
    bool more = true;
    while (run.got < run.submitted || run.submitted < n || more) {
        more = more && run.submitted < TASKS && more_wanted();
        while (run.submitted - run.got < WINDOW && (run.submitted < n || more) &&
               run.submitted < TASKS) {
            rtc_ref *ref = &run.refs[run.submitted % WINDOW];
            int rc = rtc_submit(rtc, "mark",
                                RTC_ARGS(rtc_i64(run.submitted), rtc_str(path), rtc_i64(us)),
                                &options, ref);
            if (rc)
                return complain(&run, run.submitted, rc);
            run.submitted++;
        }
        for (int i = 0; i < 1000 && run.got < run.submitted; i++)
            if (take_one(&run))
                return 1;
    }
    return count_marks(&run);
}

/* ---- Objects ---- */

/* What a dead host alone had may be lost, with a story; anything else is an error. */
static bool is_lost(int rc)
{
    if (rc == RTC_E_LOST || rc == RTC_E_DEPENDENCY || rc == RTC_E_NODE_LOST)
        printf("story %s: %s\n", rtc_error_name(rc), rtc_last_error());
    else if (rc)
        printf("failed: %s: %s\n", rtc_error_name(rc), rtc_last_error());
    return rc == RTC_E_LOST || rc == RTC_E_DEPENDENCY || rc == RTC_E_NODE_LOST;
}

static int look(struct rtc *rtc, int64_t i, rtc_ref made, rtc_ref checked, int64_t size,
                bool *ret_lost)
{
    struct rtc_value value;
    const void *data;
    size_t bytes;
    int64_t good;
    int rc = rtc_get(rtc, made, PATIENCE, &value);
    if (!rc) {
        RTC_CHECK(rtc_value_bytes(&value, &data, &bytes));
        if (!right(i, data, bytes, (size_t)size))
            return printf("object %" PRId64 " is wrong here\n", i), 1;
    } else if (!(*ret_lost = is_lost(rc))) {
        return 1;
    }
    rc = rtc_get_i64(rtc, checked, PATIENCE, &good);
    if (rc)
        return is_lost(rc) ? (*ret_lost = true, 0) : 1;
    return good ? 0 : (printf("object %" PRId64 " is wrong at a task\n", i), 1);
}

static int round_of_objects(struct rtc *rtc, int64_t n, int64_t size, int64_t *ret_lost)
{
    rtc_ref *made = calloc((size_t)n, sizeof(*made)), *checked = calloc((size_t)n, sizeof(*made));
    const struct rtc_options *spread = RTC_OPTIONS(.place = RTC_PLACE_SPREAD);
    if (!made || !checked)
        return 1;
    for (int64_t i = 0; i < n; i++)
        RTC_CHECK(rtc_submit(rtc, "make", RTC_ARGS(rtc_i64(i), rtc_i64(size)), spread, &made[i]));
    for (int64_t i = 0; i < n; i++)
        RTC_CHECK(rtc_submit(rtc, "check", RTC_ARGS(rtc_i64(i), rtc_i64(size), rtc_of_ref(made[i])),
                             spread, &checked[i]));
    for (int64_t i = 0; i < n; i++) {
        bool lost = false;
        int rc = look(rtc, i, made[i], checked[i], size, &lost);
        if (rc)
            return rc;
        *ret_lost += lost;
        RTC_CHECK(rtc_release(rtc, made[i]));
        RTC_CHECK(rtc_release(rtc, checked[i]));
    }
    free(made);
    free(checked);
    return 0;
}

static int objects(struct rtc *rtc, int64_t n, int64_t size)
{
    int rc;
    int64_t got = 0, lost = 0;
    do {
        rc = round_of_objects(rtc, n, size, &lost);
        printf("got %" PRId64 "\n", got += n);
    } while (!rc && more_wanted());
    printf("lost %" PRId64 "\n", lost);
    return rc;
}

struct transfers {
    struct rtc *rtc;
    const struct rtc_options *options;
    int64_t size, done;
    atomic_bool end;
};

static void *transfer(void *arg)
{
    struct transfers *t = arg;
    for (int64_t i = 0; !t->end; i++) {
        rtc_ref ref;
        struct rtc_value value;
        const void *data;
        size_t bytes;
        RTC_CHECK(
            rtc_submit(t->rtc, "make", RTC_ARGS(rtc_i64(i), rtc_i64(t->size)), t->options, &ref));
        RTC_CHECK(rtc_get(t->rtc, ref, PATIENCE, &value));
        RTC_CHECK(rtc_value_bytes(&value, &data, &bytes));
        if (!right(i, data, bytes, (size_t)t->size))
            exit(4);
        RTC_CHECK(rtc_release(t->rtc, ref));
        t->done++;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int latency(struct rtc *rtc, int64_t seconds, uint32_t node, int64_t size)
{
    enum { MAX = 100000 };
    struct rtc_options options = {.place = RTC_PLACE_NODE, .node = node, .cpus = 0.1};
    struct transfers t = {.rtc = rtc, .options = &options, .size = size};
    int64_t *spent = calloc(MAX, sizeof(*spent)), begin = now_ns();
    size_t n = 0;
    pthread_t thread;
    if (!spent || (size && pthread_create(&thread, NULL, transfer, &t)))
        return 1;
    while (n < MAX && (now_ns() - begin < seconds * 1000000000 || (size && !t.done && n < 60000))) {
        rtc_ref ref;
        int64_t x, at = now_ns();
        RTC_CHECK(rtc_submit(rtc, "where", NULL, &options, &ref));
        RTC_CHECK(rtc_get_i64(rtc, ref, PATIENCE, &x));
        RTC_CHECK(rtc_release(rtc, ref));
        spent[n++] = now_ns() - at;
    }
    t.end = true;
    if (size)
        pthread_join(thread, NULL);
    qsort(spent, n, sizeof(*spent), by_size);
    printf("p50_us %" PRId64 "\np99_us %" PRId64 "\nmax_us %" PRId64 "\ntransfers %" PRId64 "\n",
           spent[n / 2] / 1000, spent[n * 99 / 100] / 1000, spent[n - 1] / 1000, t.done);
    free(spent);
    return 0;
}

/* ---- One task ---- */

static int deadline(struct rtc *rtc, uint32_t node)
{
    rtc_ref ref;
    int64_t x, begin = now_ns();
    RTC_CHECK(rtc_submit(
        rtc, "until_told", NULL,
        RTC_OPTIONS(.place = RTC_PLACE_NODE, .node = node, .deadline = RTC_MS(500)), &ref));
    int rc = rtc_get(rtc, ref, RTC_S(20), NULL);
    printf("missed %s after_ms %" PRId64 "\n", rtc_error_name(rc), (now_ns() - begin) / 1000000);
    rtc_release(rtc, ref);
    if (rc != RTC_E_DEADLINE)
        return 1;
    RTC_CHECK(rtc_submit(rtc, "where", NULL,
                         RTC_OPTIONS(.place = RTC_PLACE_NODE, .node = node, .deadline = RTC_S(30)),
                         &ref));
    RTC_CHECK(rtc_get_i64(rtc, ref, PATIENCE, &x));
    return 0;
}

static int node(struct rtc *rtc, uint32_t number)
{
    rtc_ref ref;
    int64_t x;
    RTC_CHECK(rtc_submit(
        rtc, "where", NULL,
        RTC_OPTIONS(.place = RTC_PLACE_NODE, .node = number, .retries = RTC_NO_RETRY), &ref));
    RTC_CHECK(rtc_get_i64(rtc, ref, PATIENCE, &x));
    printf("host %" PRId64 " 1\n", x);
    return 0;
}

static long long number_of(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    setvbuf(stdout, NULL, _IOLBF, 0);
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    const char *mode = argc > 2 ? argv[1] : "", *third = argc > 3 ? argv[3] : NULL;
    const char *fourth = argc > 4 ? argv[4] : NULL;
    int rc = 2;
    int retries = !strcmp(mode, "many")   ? 0
                  : !strcmp(mode, "once") ? RTC_NO_RETRY
                                          : RTC_RETRY_FOREVER;
    if ((!strcmp(mode, "forever") || retries != RTC_RETRY_FOREVER) && third)
        rc = marks(rtc, retries, number_of(argv[2]), third, number_of(fourth));
    else if (!strcmp(mode, "objects"))
        rc = objects(rtc, number_of(argv[2]), number_of(third));
    else if (!strcmp(mode, "latency"))
        rc = latency(rtc, number_of(argv[2]), (uint32_t)number_of(third), number_of(fourth));
    else if (!strcmp(mode, "deadline"))
        rc = deadline(rtc, (uint32_t)number_of(argv[2]));
    else if (!strcmp(mode, "node"))
        rc = node(rtc, (uint32_t)number_of(argv[2]));
    else
        fprintf(stderr, "usage: host_driver MODE …: its first comment has them\n");
    RTC_CHECK(rtc_shutdown(&rtc));
    return rc;
}
