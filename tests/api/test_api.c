/* The public API against an embedded cluster: what works, and what is said when it does not. Built
 * as a user's program: librtc and include/rtc/ alone. */
#include <pthread.h>
#include <rtc/rtc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"
#include "tests/api/tasks.h"

static struct rtc *rtc;

static int64_t get_int(rtc_ref ref)
{
    int64_t x = -1;
    OK(rtc_get_i64(rtc, ref, RTC_S(20), &x));
    return x;
}

static int get(rtc_ref ref)
{
    struct rtc_value v;
    return rtc_get(rtc, ref, RTC_S(20), &v);
}

/* ---- Tasks and futures ---- */
static void test_futures(void **state)
{
    (void)state;
    enum { N = 2000 };
    rtc_ref refs[N];
    for (int i = 0; i < N; i++)
        OK(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(i)), NULL, &refs[i]));
    for (int i = 0; i < N; i++)
        assert_int_equal(get_int(refs[i]), 2 * i);
    OK(rtc_release_many(rtc, refs, N));
    OK(rtc_submit_many(rtc, "noop", NULL, N, NULL, refs));
    OK(rtc_get_many(rtc, refs, N, RTC_S(30), NULL));
    OK(rtc_release_many(rtc, refs, N));
}

static void test_dependencies(void **state)
{
    (void)state;
    rtc_ref ref, next;
    OK(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(0), rtc_i64(1)), NULL, &ref));
    for (int i = 0; i < 200; i++) {
        OK(rtc_submit(rtc, "add", RTC_ARGS(rtc_of_ref(ref), rtc_i64(1)), NULL, &next));
        OK(rtc_release(rtc, ref));
        ref = next;
    }
    assert_int_equal(get_int(ref), 201);
    OK(rtc_release(rtc, ref));
}

static void test_many_args_returns(void **state)
{
    (void)state;
    enum { N = 10000, M = 3000 };
    rtc_ref *refs = calloc(N, sizeof(*refs)), sum;
    struct rtc_value *values = calloc(N, sizeof(*values));
    OK(rtc_submit_many(rtc, "one", NULL, N, NULL, refs));
    for (int i = 0; i < N; i++)
        values[i] = rtc_of_ref(refs[i]);
    OK(rtc_submit(rtc, "sum", &(struct rtc_args){values, N}, NULL, &sum));
    assert_int_equal(get_int(sum), N);
    OK(rtc_release(rtc, sum));
    OK(rtc_release_many(rtc, refs, N));
    OK(rtc_submit(rtc, "count", RTC_ARGS(rtc_i64(M)), RTC_OPTIONS(.returns = M), refs));
    for (int i = 0; i < M; i++)
        assert_int_equal(get_int(refs[i]), i);
    OK(rtc_release_many(rtc, refs, M));
    free(refs);
    free(values);
}

static void test_nested(void **state)
{
    (void)state;
    rtc_ref ref;
    OK(rtc_submit(rtc, "tree", RTC_ARGS(rtc_i64(6)), NULL, &ref)); /* deeper than CPUs */
    assert_int_equal(get_int(ref), 64);
    OK(rtc_release(rtc, ref));
}

static void test_objects(void **state)
{
    (void)state;
    size_t size = 8 << 20;
    char *data = malloc(size);
    memset(data, 7, size);
    struct rtc_value v = rtc_bytes(data, size), got;
    rtc_ref big, out, list;
    OK(rtc_put(rtc, &v, &big));
    OK(rtc_submit(rtc, "length", RTC_ARGS(rtc_of_ref(big)), NULL, &out));
    assert_int_equal(get_int(out), (int64_t)size);
    OK(rtc_release(rtc, out));
    OK(rtc_submit(rtc, "same", RTC_ARGS(rtc_of_ref(big)), NULL, &out));
    OK(rtc_get(rtc, out, RTC_S(20), &got));
    assert_int_equal(got.as.bytes.size, size);
    assert_memory_equal(got.as.bytes.data, data, size);
    OK(rtc_release(rtc, out));
    /* References in a list travel, and the task gets through them. */
    struct rtc_value items[2] = {rtc_of_ref(big), rtc_of_ref(big)};
    rtc_ref small;
    v = rtc_i64(5);
    OK(rtc_put(rtc, &v, &small));
    items[1] = rtc_of_ref(small);
    v = rtc_list(items, 2);
    OK(rtc_put(rtc, &v, &list));
    OK(rtc_submit(rtc, "open_list", RTC_ARGS(rtc_of_ref(list)), NULL, &out));
    OK(rtc_release(rtc, big));
    OK(rtc_release(rtc, small));
    assert_int_equal(get_int(out), (int64_t)size + 5);
    OK(rtc_release(rtc, out));
    OK(rtc_submit(rtc, "open_list", RTC_ARGS(rtc_list(items, 0)), NULL, &out));
    assert_int_equal(get_int(out), 0);
    OK(rtc_release(rtc, out));
    OK(rtc_release(rtc, list));
    free(data);
}

static void test_returned_refs(void **state)
{
    (void)state;
    rtc_ref ref, inner, after;
    struct rtc_value v, item;
    for (int large = 0; large < 2; large++) { /* in the message, in the arena */
        OK(rtc_submit(rtc, "give_refs", RTC_ARGS(rtc_i64(3), rtc_i64(large * 300000)), NULL, &ref));
        OK(rtc_get(rtc, ref, RTC_S(20), &v));
        /* Another task ran since: the one that made the references holds them no longer. */
        OK(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1), rtc_i64(1)), NULL, &after));
        assert_int_equal(get_int(after), 2);
        OK(rtc_release(rtc, after));
        assert_int_equal(rtc_value_len(&v), 4);
        OK(rtc_value_at(&v, 2, &item));
        OK(rtc_value_ref(&item, &inner));
        assert_int_equal(get_int(inner), 2);
        OK(rtc_retain(rtc, inner));
        OK(rtc_release(rtc, ref));
        assert_int_equal(get_int(inner), 2);
        OK(rtc_release(rtc, inner));
    }
}

/* ---- Options ---- */
static void test_options(void **state)
{
    (void)state;
    rtc_ref ref;
    char why[256];
    OK(rtc_submit(rtc, "noop", NULL, RTC_OPTIONS(.cpus = 0.5, .priority = 3, .name = "half"),
                  &ref));
    get_int(ref);
    OK(rtc_submit(rtc, "noop", NULL,
                  RTC_OPTIONS(.resources = &(struct rtc_amount){"chip", 1}, .n_resources = 1),
                  &ref));
    get_int(ref);
    OK(rtc_submit(rtc, "noop", NULL,
                  RTC_OPTIONS(.labels = &(struct rtc_pair){"disk", "fast"}, .n_labels = 1), &ref));
    get_int(ref);
    OK(rtc_submit(rtc, "noop", NULL, RTC_OPTIONS(.cpus = 1000, .fail_if_infeasible = true), &ref));
    assert_int_equal(get(ref), RTC_E_INFEASIBLE);
    OK(rtc_submit(rtc, "noop", NULL, RTC_OPTIONS(.cpus = 1000), &ref));
    struct rtc_value v;
    FAILS(rtc_get(rtc, ref, RTC_MS(50), &v), RTC_E_TIMEOUT, "not done yet");
    OK(rtc_why(rtc, ref, why, sizeof(why)));
    assert_true(strlen(why) > 0);
    OK(rtc_cancel(rtc, ref, 0));
    assert_int_equal(get(ref), RTC_E_CANCELLED);
    OK(rtc_submit(rtc, "spin", NULL, RTC_OPTIONS(.deadline = RTC_MS(100), .retries = RTC_NO_RETRY),
                  &ref));
    assert_int_equal(get(ref), RTC_E_DEADLINE);
    OK(rtc_submit(rtc, "fail_once", RTC_ARGS(rtc_i64(0)), RTC_OPTIONS(.retry_on_error = true),
                  &ref));
    assert_int_equal(get_int(ref), 2);
}

static void test_cancel(void **state)
{
    (void)state;
    rtc_ref ref;
    for (int force = 0; force < 2; force++) {
        OK(rtc_submit(rtc, force ? "sleep_for_ever" : "spin", NULL, NULL, &ref));
        struct rtc_value v;
        assert_int_equal(rtc_get(rtc, ref, RTC_MS(100), &v), RTC_E_TIMEOUT);
        OK(rtc_cancel(rtc, ref, force ? RTC_CANCEL_FORCE : 0));
        assert_int_equal(get(ref), RTC_E_CANCELLED);
        OK(rtc_cancel(rtc, ref, 0)); /* finished: nothing happens */
        OK(rtc_release(rtc, ref));
    }
}

/* ---- Bad tasks ---- */
static void test_bad_tasks(void **state)
{
    (void)state;
    rtc_ref ref, after;
    struct rtc_failure f;
    static const struct {
        const char *task;
        int code, exit_status, signal;
    } bad[] = {{"exits", RTC_E_CRASHED, 3, 0},
               {"aborts", RTC_E_CRASHED, -1, SIGABRT},
               {"overflows", RTC_E_CRASHED, -1, SIGSEGV},
               {"returns_nothing", RTC_E_RETURNS, -1, 0},
               {"returns_twice", RTC_E_RETURNS, -1, 0},
               {"fails", RTC_E_TASK_FAILED, -1, 0}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        OK(rtc_submit(rtc, bad[i].task, NULL, RTC_OPTIONS(.retries = RTC_NO_RETRY), &ref));
        assert_int_equal(get(ref), bad[i].code);
        assert_non_null(strstr(rtc_last_error(), bad[i].task));
        OK(rtc_failure_of(rtc, ref, &f));
        assert_int_equal(f.code, bad[i].code);
        assert_int_equal(f.signal, bad[i].signal);
        assert_int_equal(f.exit_status, bad[i].exit_status);
        assert_string_equal(f.function, bad[i].task);
        assert_true(f.pid > 0);
        /* It travels through what depends on it. */
        OK(rtc_submit(rtc, "add", RTC_ARGS(rtc_of_ref(ref), rtc_i64(1)), NULL, &after));
        assert_int_equal(get(after), RTC_E_DEPENDENCY);
        OK(rtc_failure_of(rtc, after, &f));
        assert_int_equal(f.origin.seq, ref.seq);
        OK(rtc_release(rtc, after));
        OK(rtc_release(rtc, ref));
    }
    OK(rtc_submit(rtc, "forks", NULL, NULL, &ref));
    assert_int_equal(get_int(ref), 7);
    /* A crash is retried: the second attempt lives. */
    OK(rtc_submit(rtc, "crash_once", NULL, NULL, &ref));
    assert_int_equal(get_int(ref), 2);
}

static void test_bad_calls(void **state)
{
    (void)state;
    rtc_ref ref, after, foreign = {1, 4000000, 0};
    struct rtc_value v;
    FAILS(rtc_submit(rtc, "addd", NULL, NULL, &ref), RTC_E_UNKNOWN_TASK, "did you mean \"add\"");
    FAILS(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1)), NULL, &ref), RTC_E_TYPE, "i64,i64->i64");
    FAILS(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1), rtc_str("1")), NULL, &ref), RTC_E_TYPE,
          "argument 1 must be i64");
    FAILS(rtc_get(rtc, (rtc_ref){0}, 0, &v), RTC_E_INVALID, "none");
    OK(rtc_submit(rtc, "noop", NULL, NULL, &ref));
    OK(rtc_release(rtc, ref));
    FAILS(rtc_release(rtc, ref), RTC_E_RELEASED, "released before");
    FAILS(rtc_get(rtc, ref, 0, &v), RTC_E_RELEASED, "released before");
    FAILS(rtc_submit(rtc, "noop", RTC_ARGS(rtc_of_ref(ref)), NULL, &after), RTC_E_RELEASED,
          "argument 0");
    int rc = rtc_get(rtc, foreign, RTC_S(5), &v);
    assert_true(rc == RTC_E_FOREIGN || rc == RTC_E_NOT_FOUND || rc == RTC_E_LOST);
    struct rtc *other;
    FAILS(rtc_init(NULL, NULL, RTC_CONFIG(.address = "tcp://nowhere"), &other), RTC_E_INVALID,
          "not understood");
    FAILS(rtc_init(NULL, NULL, RTC_CONFIG(.address = "unix:/nowhere/x.sock"), &other),
          RTC_E_NO_CLUSTER, "rtc head");
    FAILS(rtc_init(NULL, NULL, RTC_CONFIG(.address = "embedded", .state_dir = "/proc/nothing"),
                   &other),
          RTC_E_NO_CLUSTER, "rtc head");
    assert_string_equal(rtc_error_name(RTC_E_TIMEOUT), "RTC_E_TIMEOUT");
}

/* ---- Commands ---- */
static void test_commands(void **state)
{
    (void)state;
    rtc_ref ref;
    struct rtc_value v;
    struct rtc_command_result r;
    struct rtc_command c = {
        .argv =
            (const char *const[]){
                "sh", "-c", "cat; echo $WORD; cat in.txt; echo no >&2; echo made > out.txt; exit 3",
                NULL},
        .env = &(struct rtc_pair){"WORD", "hello"},
        .n_env = 1,
        .stdin_data = "from stdin\n",
        .stdin_size = 11,
        .files = (struct rtc_value[]){rtc_str("in.txt"), rtc_bytes("from file\n", 10)},
        .n_files = 2,
        .collect = (const char *const[]){"out.txt", "missing.txt"},
        .n_collect = 2};
    OK(rtc_submit_command(rtc, &c, NULL, &ref));
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_command_result_of(&v, &r));
    assert_int_equal(r.exit_status, 3);
    assert_int_equal(r.signal, 0);
    assert_true(r.seconds > 0 && r.seconds < 10);
    const char *want = "from stdin\nhello\nfrom file\n";
    assert_int_equal(r.out_size, strlen(want));
    assert_memory_equal(r.out, want, r.out_size);
    assert_int_equal(r.err_size, 3);
    assert_int_equal(rtc_value_len(&r.files), 1);
    OK(rtc_value_find(&r.files, "out.txt", &v));
    assert_memory_equal(v.as.bytes.data, "made\n", 5);
    OK(rtc_release(rtc, ref));
    c.fail_on_status = true;
    OK(rtc_submit_command(rtc, &c, RTC_OPTIONS(.retries = RTC_NO_RETRY), &ref));
    assert_int_equal(get(ref), RTC_E_TASK_FAILED);
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, ref, &f));
    assert_int_equal(f.exit_status, 3);
    assert_non_null(strstr(f.log, "no"));
    OK(rtc_release(rtc, ref));
    c = (struct rtc_command){.argv = (const char *const[]){"no-such-program-anywhere", NULL}};
    OK(rtc_submit_command(rtc, &c, NULL, &ref));
    assert_int_equal(get(ref), RTC_E_COMMAND);
    assert_non_null(strstr(rtc_last_error(), "no-such-program-anywhere"));
    c = (struct rtc_command){.argv = (const char *const[]){"sh", "-c", "seq 100000", NULL},
                             .output_max = 1000};
    OK(rtc_submit_command(rtc, &c, NULL, &ref));
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_command_result_of(&v, &r));
    assert_int_equal(r.out_size, 1000);
    assert_memory_equal(r.out + 1000 - 7, "100000\n", 7);
    c = (struct rtc_command){.argv = (const char *const[]){"sleep", "1000", NULL}};
    OK(rtc_submit_command(rtc, &c, NULL, &ref));
    assert_int_equal(rtc_get(rtc, ref, RTC_MS(100), &v), RTC_E_TIMEOUT);
    OK(rtc_cancel(rtc, ref, 0));
    assert_int_equal(get(ref), RTC_E_CANCELLED);
}

/* What overstays dies with all that it started. */
static void test_overstaying(void **state)
{
    (void)state;
    char path[] = "/tmp/rtc-child-XXXXXX", script[128], text[32] = "";
    rtc_ref ref;
    close(mkstemp(path));
    snprintf(script, sizeof(script), "sleep 1000 & echo $! > %s; wait", path);
    struct rtc_command c = {.argv = (const char *const[]){"sh", "-c", script, NULL}};
    OK(rtc_submit_command(rtc, &c, RTC_OPTIONS(.deadline = RTC_MS(300), .retries = RTC_NO_RETRY),
                          &ref));
    assert_int_equal(get(ref), RTC_E_DEADLINE);
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    unlink(path);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    assert_true(pid > 1);
    snprintf(script, sizeof(script), "/proc/%d/stat", (int)pid);
    for (bool alive = true; alive;) { /* the kernel takes a moment */
        char line[256] = "";
        file = fopen(script, "r");
        alive = file && fgets(line, sizeof(line), file) && !strstr(line, ") Z ");
        if (file)
            fclose(file);
    }
    OK(rtc_release(rtc, ref));
}

/* ---- Key-value store, names, queries ---- */
static int count_keys(void *arg, const char *key, const void *data, size_t size)
{
    (void)data;
    (void)size;
    assert_memory_equal(key, "list/", 5);
    return ++*(int *)arg == 500;
}

static void test_kv(void **state)
{
    (void)state;
    void *data;
    size_t size;
    rtc_ref ref;
    OK(rtc_kv_put(rtc, "a", "one", 3));
    FAILS(rtc_kv_put_new(rtc, "a", "two", 3), RTC_E_EXISTS, "\"a\"");
    OK(rtc_kv_get(rtc, "a", &data, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(data, "one", 3);
    free(data);
    /* A task sees the same namespace. */
    OK(rtc_submit(rtc, "read_key", RTC_ARGS(rtc_str("a")), NULL, &ref));
    assert_int_equal(get_int(ref), 3);
    OK(rtc_kv_delete(rtc, "a"));
    FAILS(rtc_kv_get(rtc, "a", &data, &size), RTC_E_NOT_FOUND, "\"a\"");
    struct rtc_kv_pair pairs[300];
    char keys[300][16];
    for (int i = 0; i < 300; i++) {
        snprintf(keys[i], sizeof(keys[i]), "list/%03d", i);
        pairs[i] = (struct rtc_kv_pair){keys[i], keys[i], 8};
    }
    OK(rtc_kv_put_many(rtc, pairs, 300));
    int n = 0;
    OK(rtc_kv_list(rtc, "list/", count_keys, &n));
    assert_int_equal(n, 300);
    FAILS(rtc_kv_put(rtc, "", "", 0), RTC_E_INVALID, "key");
}

static char topic[16];

static void *publisher(void *arg)
{
    rtc_ref ref;
    for (int64_t i = 1; i <= 20; i++) {
        struct rtc_value v = rtc_i64(i);
        if (rtc_put(arg, &v, &ref) < 0 || rtc_publish(arg, topic, ref, NULL) < 0 ||
            rtc_release(arg, ref) < 0)
            return arg;
    }
    return NULL;
}

/* The answer to a reader that gave up crosses with the next one's: what the first gives back is not
 * the second's. */
static void test_named(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        rtc_ref ref;
        uint64_t version = 0;
        pthread_t thread;
        snprintf(topic, sizeof(topic), "weights %d", round);
        FAILS(rtc_newest(rtc, topic, 0, 0, &ref, &version), RTC_E_NOT_FOUND, "weights");
        assert_int_equal(rtc_newest(rtc, topic, 0, RTC_MS(1), &ref, &version), RTC_E_TIMEOUT);
        assert_int_equal(pthread_create(&thread, NULL, publisher, rtc), 0);
        while (version < 20) {
            uint64_t before = version;
            OK(rtc_newest(rtc, topic, version, RTC_S(20), &ref, &version));
            assert_true(version > before);
            assert_int_equal(get_int(ref), (int64_t)version);
            OK(rtc_release(rtc, ref));
        }
        void *failed;
        pthread_join(thread, &failed);
        assert_null(failed);
    }
}

/* A task that waits for a name lends its CPUs, like one that waits for a result. */
static void test_named_lends(void **state)
{
    (void)state;
    struct rtc_node_info node;
    size_t n;
    rtc_ref waits, says;
    OK(rtc_nodes(rtc, &node, 1, &n));
    OK(rtc_submit(rtc, "await_name", NULL, RTC_OPTIONS(.cpus = node.cpus), &waits));
    OK(rtc_submit(rtc, "say_name", NULL, RTC_OPTIONS(.cpus = node.cpus), &says));
    assert_int_equal(get_int(waits), 77);
    assert_int_equal(get_int(says), 77);
    OK(rtc_release(rtc, waits));
    OK(rtc_release(rtc, says));
}

static void test_queries(void **state)
{
    (void)state;
    struct rtc_node_info nodes[4];
    size_t n;
    OK(rtc_nodes(rtc, nodes, 4, &n));
    assert_int_equal(n, 1);
    assert_true(nodes[0].cpus == 2);
    assert_string_equal(nodes[0].state, "alive");
    static const char *const what[] = {"status", "nodes", "tasks", "objects", "jobs"};
    for (size_t i = 0; i < 5; i++) {
        char *json;
        OK(rtc_query(rtc, what[i], &json));
        assert_true(json[0] == (i == 0 ? '{' : '['));
        free(json);
    }
    char *json;
    FAILS(rtc_query(rtc, "nonsense", &json), RTC_E_INVALID, "nonsense");
    rtc_ref ref;
    OK(rtc_cordon(rtc, nodes[0].node, true));
    OK(rtc_submit(rtc, "noop", NULL, NULL, &ref));
    struct rtc_value v;
    assert_int_equal(rtc_get(rtc, ref, RTC_MS(50), &v), RTC_E_TIMEOUT);
    OK(rtc_cordon(rtc, nodes[0].node, false));
    get_int(ref);
}

/* ---- Threads ---- */
static void *hammer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        rtc_ref refs[4];
        int64_t x;
        for (int k = 0; k < 4; k++) {
            if (rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(k)), NULL, &refs[k]) < 0)
                return arg;
        }
        for (int k = 3; k >= 0; k--) {
            if (rtc_get_i64(rtc, refs[k], RTC_S(30), &x) < 0 || x != i + k)
                return arg;
        }
        if (rtc_release_many(rtc, refs, 4) < 0)
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, threads), 0);
    for (int i = 0; i < 6; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static int setup(void **state)
{
    (void)state;
    static const char *const resources[] = {"chip=2", NULL}, *const labels[] = {"disk=fast", NULL};
    OK(rtc_init(NULL, NULL,
                RTC_CONFIG(.address = "embedded", .cpus = 2, .store_bytes = 256u << 20,
                           .quiet = true, .resources = resources, .labels = labels),
                &rtc));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OK(rtc_shutdown(&rtc));
    assert_null(rtc);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* nothing is left behind */
    return 0;
}

int main(int argc, char **argv)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_futures),
        cmocka_unit_test(test_dependencies),
        cmocka_unit_test(test_many_args_returns),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_returned_refs),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_bad_tasks),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_overstaying),
        cmocka_unit_test(test_kv),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_named_lends),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_threads),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
