/* Real processes, an embedded cluster, and kill -9 at moments that the work itself chooses: after
 * so many results came back. Each task leaves a mark in a file, so that what ran how often is
 * known. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rtc/rtc.h>

#define TASKS 100000
#define KILLS 10

RTC_TASK(mark)
{
    static int fd = -1;
    int64_t x;
    const char *path;
    size_t len;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    RTC_TRY(rtc_arg_str(call, 1, &path, &len));
    if (fd < 0)
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (write(fd, &x, sizeof(x)) != (ssize_t)sizeof(x))
        return rtc_fail(call, RTC_E_OS, "writing %s", path);
    return rtc_return_i64(call, x * 3);
}

RTC_TASK(die)
{
    int64_t how;
    RTC_TRY(rtc_arg_i64(call, 0, &how));
    if (how == 0)
        _exit(7);
    if (how == 1)
        abort();
    raise(SIGKILL);
    return 0;
}

RTC_TASK(die_once)
{
    if (rtc_call_attempt(call) == 1)
        raise(SIGKILL);
    return rtc_return_i64(call, rtc_call_attempt(call));
}

RTC_TASK(my_pid)
{
    return rtc_return_i64(call, getpid());
}

RTC_TASK(for_ever)
{
    while (!rtc_cancelled(call))
        pause();
    return rtc_fail(call, RTC_E_CANCELLED, "stopped");
}

static struct rtc *start(double cpus)
{
    struct rtc *rtc = NULL;
    struct rtc_config config = {.address = "embedded", .cpus = cpus, .quiet = true};
    assert_int_equal(rtc_init(NULL, NULL, &config, &rtc), 0);
    return rtc;
}

static long daemon_pid(struct rtc *rtc)
{
    char *json = NULL;
    assert_int_equal(rtc_query(rtc, "status", &json), 0);
    const char *at = strstr(json, "\"pid\":");
    assert_non_null(at);
    long pid = strtol(at + 6, NULL, 10);
    free(json);
    return pid;
}

/* Marks by number of task; returns how many there are in all. */
static long read_marks(const char *path, unsigned char *seen)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int64_t x;
    long total = 0;
    while (fread(&x, sizeof(x), 1, file) == 1) {
        assert_true(x >= 0 && x < TASKS);
        seen[x]++;
        total++;
    }
    fclose(file);
    return total;
}

static long run_marked(void (*strike)(struct rtc *rtc), unsigned char *seen)
{
    char path[] = "/tmp/rtc-marks-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct rtc *rtc = start(2);
    rtc_ref *refs = calloc(TASKS, sizeof(*refs));
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(rtc_submit(rtc, "mark", RTC_ARGS(rtc_i64(i), rtc_str(path)),
                                    RTC_OPTIONS(.retries = RTC_RETRY_FOREVER), &refs[i]),
                         0);
    for (int i = 0; i < TASKS; i++) {
        int64_t x = -1;
        int rc = rtc_get_i64(rtc, refs[i], RTC_S(60), &x);
        if (rc)
            print_error("task %d: %s\n", i, rtc_last_error());
        assert_int_equal(rc, 0);
        assert_int_equal(x, 3 * (int64_t)i);
        if (i % (TASKS / KILLS) == TASKS / KILLS / 2)
            strike(rtc);
    }
    assert_int_equal(rtc_release_many(rtc, refs, TASKS), 0);
    free(refs);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    long total = read_marks(path, seen);
    unlink(path);
    return total;
}

static void kill_daemon(struct rtc *rtc)
{
    kill((pid_t)daemon_pid(rtc), SIGKILL);
}

static void kill_executor(struct rtc *rtc)
{
    rtc_ref ref;
    int64_t pid;
    assert_int_equal(rtc_submit(rtc, "my_pid", NULL, NULL, &ref), 0);
    assert_int_equal(rtc_get_i64(rtc, ref, RTC_S(60), &pid), 0);
    assert_int_equal(rtc_release(rtc, ref), 0);
    kill((pid_t)pid, SIGKILL);
}

/* Nothing is lost and nothing that had finished runs again. */
static void daemon_killed_again_and_again(void **state)
{
    (void)state;
    unsigned char *seen = calloc(TASKS, 1);
    assert_int_equal(run_marked(kill_daemon, seen), TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(seen[i], 1);
    free(seen);
}

/* At least once: a task that had left its mark when it was killed may leave another. */
static void executors_killed(void **state)
{
    (void)state;
    unsigned char *seen = calloc(TASKS, 1);
    long total = run_marked(kill_executor, seen);
    assert_in_range(total, TASKS, TASKS + KILLS);
    for (int i = 0; i < TASKS; i++)
        assert_true(seen[i] >= 1);
    free(seen);
}

static void a_death_has_a_cause(void **state)
{
    (void)state;
    struct rtc *rtc = start(1);
    static const int signals[] = {0, SIGABRT, SIGKILL};
    for (int how = 0; how < 3; how++) {
        rtc_ref ref;
        struct rtc_failure failure;
        assert_int_equal(rtc_submit(rtc, "die", RTC_ARGS(rtc_i64(how)),
                                    RTC_OPTIONS(.retries = RTC_NO_RETRY), &ref),
                         0);
        assert_int_equal(rtc_get(rtc, ref, RTC_S(60), NULL), RTC_E_CRASHED);
        assert_int_equal(rtc_failure_of(rtc, ref, &failure), 0);
        assert_int_equal(failure.signal, signals[how]);
        if (how == 0)
            assert_int_equal(failure.exit_status, 7);
        assert_string_equal(failure.function, "die");
        assert_true(failure.pid > 0);
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

static void a_crash_is_retried(void **state)
{
    (void)state;
    struct rtc *rtc = start(1);
    rtc_ref ref;
    int64_t attempt;
    assert_int_equal(rtc_submit(rtc, "die_once", NULL, NULL, &ref), 0);
    assert_int_equal(rtc_get_i64(rtc, ref, RTC_S(60), &attempt), 0);
    assert_int_equal(attempt, 2);
    assert_int_equal(rtc_release(rtc, ref), 0);
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

static void what_never_returns_meets_its_deadline(void **state)
{
    (void)state;
    struct rtc *rtc = start(1);
    rtc_ref ref;
    assert_int_equal(rtc_submit(rtc, "for_ever", NULL, RTC_OPTIONS(.deadline = RTC_MS(200)), &ref),
                     0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(60), NULL), RTC_E_DEADLINE);
    assert_int_equal(rtc_release(rtc, ref), 0);
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

/* The driver dies; its cluster, daemon, keeper and executors, goes with it. */
static void a_dead_driver_leaves_nothing(void **state)
{
    (void)state;
    int pipes[2];
    long pids[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct rtc *rtc = start(1);
        rtc_ref ref;
        int64_t pid = 0;
        if (rtc_submit(rtc, "my_pid", NULL, NULL, &ref) || rtc_get_i64(rtc, ref, RTC_S(60), &pid) ||
            rtc_submit(rtc, "for_ever", NULL, NULL, &ref))
            _exit(1);
        pids[0] = daemon_pid(rtc);
        pids[1] = (long)pid;
        if (write(pipes[1], pids, sizeof(pids)) != (ssize_t)sizeof(pids))
            _exit(1);
        pause();
    }
    assert_int_equal(read(pipes[0], pids, sizeof(pids)), sizeof(pids));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 2; i++) {
        /* Not our children: wait until the kernel says they are gone. */
        for (long turns = 0; kill((pid_t)pids[i], 0) == 0; turns++) {
            assert_true(turns < 200000000);
            sched_yield();
        }
        assert_int_equal(errno, ESRCH);
    }
}

/* The keeper dies, and with it the cluster: a driver that waits in short steps hears of it too. */
static void a_dead_cluster_is_noticed(void **state)
{
    (void)state;
    struct rtc *rtc = start(1);
    rtc_ref ref;
    char path[64], line[512] = "";
    assert_int_equal(rtc_submit(rtc, "for_ever", NULL, NULL, &ref), 0);
    snprintf(path, sizeof(path), "/proc/%ld/stat", daemon_pid(rtc));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    long keeper = strtol(strrchr(line, ')') + 4, NULL, 10); /* ") S PPID" */
    assert_true(keeper > 1);
    kill((pid_t)keeper, SIGKILL);
    int rc = 0;
    for (int i = 0; i < 1000 && (rc == 0 || rc == RTC_E_TIMEOUT); i++)
        rc = rtc_poll(rtc, RTC_MS(20));
    assert_int_equal(rc, RTC_E_DISCONNECTED);
    rtc_shutdown(&rtc);
}

int main(int argc, char **argv)
{
    /* Executors are this program again. */
    if (getenv("RTC_EXECUTOR")) {
        struct rtc *rtc;
        return rtc_init(&argc, &argv, NULL, &rtc) ? 1 : 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_has_a_cause),
        cmocka_unit_test(a_crash_is_retried),
        cmocka_unit_test(what_never_returns_meets_its_deadline),
        cmocka_unit_test(a_dead_driver_leaves_nothing),
        cmocka_unit_test(a_dead_cluster_is_noticed),
        cmocka_unit_test(executors_killed),
        cmocka_unit_test(daemon_killed_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
