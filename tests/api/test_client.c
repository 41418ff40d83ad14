/* The client library and the task loop against a daemon played by a thread (fake.h). */
#include <poll.h>
#include <pthread.h>
#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "runtime/wire/wire.h"
#include "tests/api/fake.h"

static struct fake *fake;
static struct rtc *rtc;

/* ---- Tasks ---- */
RTC_TASK(noop)
{
    return rtc_return_i64(call, 0);
}
RTC_TASK_SIGNATURE(add, "i64,i64->i64")
{
    int64_t a, b;
    RTC_TRY(rtc_arg_i64(call, 0, &a));
    RTC_TRY(rtc_arg_i64(call, 1, &b));
    return rtc_return_i64(call, a + b);
}
RTC_TASK(echo)
{
    for (size_t i = 0; i < rtc_arg_count(call); i++) {
        struct rtc_value v;
        RTC_TRY(rtc_arg(call, i, &v));
        RTC_TRY(rtc_return(call, &v));
    }
    return 0;
}
RTC_TASK(fib)
{
    int64_t n, a, b;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    if (n < 2)
        return rtc_return_i64(call, n);
    rtc_ref refs[2];
    struct rtc *r = rtc_call_rtc(call);
    RTC_TRY(rtc_submit(r, "fib", RTC_ARGS(rtc_i64(n - 1)), NULL, &refs[0]));
    a = 0;
    if (n > 2)
        RTC_TRY(rtc_submit(r, "noop", NULL, NULL, &refs[1]));
    else
        RTC_TRY(rtc_submit(r, "fib", RTC_ARGS(rtc_i64(n - 2)), NULL, &refs[1]));
    (void)b;
    return rtc_return(
        call, &(struct rtc_value){.type = RTC_LIST,
                                  .as.list = {(struct rtc_value[]){rtc_of_ref(refs[0]),
                                                                   rtc_of_ref(refs[1]), rtc_i64(a)},
                                              3}});
}
RTC_TASK(fails)
{
    return rtc_fail(call, -4242, "the %s is broken", "thing");
}
RTC_TASK(returns_nothing)
{
    return 0;
}
RTC_TASK(returns_twice)
{
    RTC_TRY(rtc_return_i64(call, 1));
    return rtc_return_i64(call, 2);
}
RTC_TASK(wrong_type)
{
    const char *text;
    RTC_TRY(rtc_arg_str(call, 0, &text, NULL));
    return rtc_return_str(call, text);
}
RTC_TASK(sum_array)
{
    struct rtc_array a;
    double sum = 0;
    RTC_TRY(rtc_arg_array(call, 0, &a));
    for (size_t i = 0; i < a.size / sizeof(double); i++)
        sum += ((const double *)a.data)[i];
    return rtc_return_f64(call, sum);
}
RTC_TASK(big_return)
{
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    char *data = malloc((size_t)n);
    memset(data, 'x', (size_t)n);
    int rc = rtc_return_bytes(call, data, (size_t)n);
    free(data);
    return rc;
}
RTC_TASK(forks)
{
    rtc_ref ref;
    pid_t pid = fork();
    if (pid == 0)
        _exit(rtc_submit(rtc_call_rtc(call), "noop", NULL, NULL, &ref) == RTC_E_FORKED ? 7 : 1);
    int status;
    waitpid(pid, &status, 0);
    return rtc_return_i64(call, WEXITSTATUS(status));
}
RTC_TASK(reports)
{
    RTC_TRY(rtc_progress(call, 0.25, "a quarter"));
    return rtc_return_i64(call, 1);
}
RTC_TASK(identity)
{
    struct rtc_value v;
    rtc_ref ref;
    RTC_TRY(rtc_arg(call, 0, &v));
    if (rtc_arg_ref(call, 0, &ref) == 0)
        return rtc_fail(call, -1, "a small put came as a reference");
    return rtc_return(call, &v);
}

static int64_t get_int(rtc_ref ref)
{
    int64_t x = -1;
    int rc = rtc_get_i64(rtc, ref, RTC_S(20), &x);
    if (rc < 0)
        print_message("%s: %s\n", rtc_error_name(rc), rtc_last_error());
    assert_int_equal(rc, 0);
    return x;
}

static void test_submit_get(void **state)
{
    (void)state;
    rtc_ref ref;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(1)), NULL, &ref), 0);
        assert_int_equal(get_int(ref), i + 1);
        assert_int_equal(rtc_release(rtc, ref), 0);
        assert_int_equal(rtc_release(rtc, ref), RTC_E_RELEASED);
        int64_t x;
        assert_int_equal(rtc_get_i64(rtc, ref, 0, &x), RTC_E_RELEASED);
    }
}

static void test_submit_errors(void **state)
{
    (void)state;
    rtc_ref ref;
    assert_int_equal(rtc_submit(rtc, "ad", NULL, NULL, &ref), RTC_E_UNKNOWN_TASK);
    assert_non_null(strstr(rtc_last_error(), "did you mean \"add\""));
    assert_int_equal(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1)), NULL, &ref), RTC_E_TYPE);
    assert_non_null(strstr(rtc_last_error(), "i64,i64->i64"));
    assert_int_equal(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1), rtc_str("x")), NULL, &ref),
                     RTC_E_TYPE);
    assert_non_null(strstr(rtc_last_error(), "argument 1 must be i64, but is str"));
    assert_int_equal(
        rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1), rtc_i64(1)), RTC_OPTIONS(.returns = 2), &ref),
        RTC_E_RETURNS);
    assert_int_equal(rtc_submit(rtc, "noop", NULL, RTC_OPTIONS(.cpus = -3), &ref), RTC_E_INVALID);
    assert_int_equal(rtc_submit(rtc, "noop", RTC_ARGS(rtc_of_ref((rtc_ref){0})), NULL, &ref),
                     RTC_E_INVALID);
    assert_int_equal(
        rtc_submit(rtc, "noop", RTC_ARGS(rtc_of_ref((rtc_ref){1u << 30, 1, 0})), NULL, &ref),
        RTC_E_INVALID);
    assert_int_equal(rtc_submit(NULL, "noop", NULL, NULL, &ref), RTC_E_CLOSED);
    struct rtc_args many[2] = {{(struct rtc_value[]){rtc_i64(1), rtc_i64(2)}, 2}, {NULL, 0}};
    rtc_ref refs[2];
    uint64_t before = fake_count(fake, RTCI_R_SUBMIT);
    assert_int_equal(rtc_submit_many(rtc, "add", many, 2, NULL, refs), RTC_E_TYPE);
    assert_int_equal(rtc_flush(rtc, RTC_S(10)), 0);
    assert_int_equal(fake_count(fake, RTCI_R_SUBMIT), before);
}

static void test_bulk(void **state)
{
    (void)state;
    enum { N = 10000 };
    rtc_ref *refs = calloc(N, sizeof(*refs));
    assert_int_equal(rtc_submit_many(rtc, "noop", NULL, N, NULL, refs), 0);
    assert_int_equal(rtc_get_many(rtc, refs, N, RTC_S(30), NULL), 0);
    assert_int_equal(rtc_release_many(rtc, refs, N), 0);
    free(refs);
}

static void test_values(void **state)
{
    (void)state;
    double numbers[600];
    for (int i = 0; i < 600; i++)
        numbers[i] = i;
    struct rtc_array array = {
        .data = numbers, .size = sizeof(numbers), .shape = {20, 30}, .ndim = 2, .dtype = RTC_F64};
    struct rtc_value inner[] = {rtc_str("k"), rtc_nd(&array), rtc_i64(-5), rtc_bytes("ab\0c", 4)};
    struct rtc_value values[] = {rtc_nil(),      rtc_bool(true),     rtc_u64(UINT64_MAX),
                                 rtc_f64(1.5),   rtc_str("grüße"),   rtc_bytes("x\0y", 3),
                                 rtc_nd(&array), rtc_list(inner, 4), rtc_map(inner, 2)};
    enum { N = sizeof(values) / sizeof(values[0]) };
    rtc_ref refs[N];
    struct rtc_value back[N], item;
    struct rtc_args args = {values, N};
    assert_int_equal(rtc_submit(rtc, "echo", &args, RTC_OPTIONS(.returns = N), refs), 0);
    assert_int_equal(rtc_get_many(rtc, refs, N, RTC_S(20), back), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(back[i].type, values[i].type);
    uint64_t u;
    assert_int_equal(rtc_value_u64(&back[2], &u), 0);
    assert_true(u == UINT64_MAX);
    int64_t x;
    assert_int_equal(rtc_value_i64(&back[2], &x), RTC_E_RANGE);
    const char *text;
    size_t len;
    assert_int_equal(rtc_value_str(&back[4], &text, &len), 0);
    assert_string_equal(text, "grüße");
    struct rtc_array got;
    assert_int_equal(rtc_value_array(&back[6], &got), 0);
    assert_int_equal(got.shape[1], 30);
    assert_memory_equal(got.data, numbers, sizeof(numbers));
    assert_int_equal((uintptr_t)got.data % 8, 0);
    assert_int_equal(rtc_value_len(&back[7]), 4);
    assert_int_equal(rtc_value_at(&back[7], 1, &item), 0);
    assert_int_equal(rtc_value_array(&item, &got), 0);
    assert_int_equal((uintptr_t)got.data % 8, 0);
    assert_memory_equal(got.data, numbers, sizeof(numbers));
    assert_int_equal(rtc_value_find(&back[8], "k", &item), 0);
    assert_int_equal(rtc_value_find(&back[8], "z", &item), RTC_E_NOT_FOUND);
    assert_int_equal(rtc_release_many(rtc, refs, N), 0);
}

static void test_failures(void **state)
{
    (void)state;
    rtc_ref ref;
    struct rtc_failure f;
    struct rtc_value v;
    assert_int_equal(rtc_submit(rtc, "fails", NULL, NULL, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_TASK_FAILED);
    assert_non_null(strstr(rtc_last_error(), "task \"fails\": the thing is broken"));
    assert_int_equal(rtc_failure_of(rtc, ref, &f), 0);
    assert_int_equal(f.user_code, -4242);
    assert_string_equal(f.function, "fails");
    assert_true(f.pid != 0 && f.attempts == 1);
    assert_int_equal(rtc_release(rtc, ref), 0);
    assert_int_equal(rtc_submit(rtc, "returns_nothing", NULL, NULL, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_RETURNS);
    assert_int_equal(rtc_submit(rtc, "returns_twice", NULL, NULL, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_RETURNS);
    assert_int_equal(rtc_submit(rtc, "wrong_type", RTC_ARGS(rtc_f64(1)), NULL, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_TASK_FAILED);
    assert_non_null(strstr(rtc_last_error(), "argument 0: the value is of type f64, not str"));
    assert_int_equal(rtc_failure_of(rtc, ref, &f), 0);
    assert_int_equal(f.user_code, RTC_E_TYPE);
    assert_int_equal(rtc_get(rtc, (rtc_ref){ref.seq, ref.client, 3}, 0, &v), RTC_E_INVALID);
}

static void test_wait(void **state)
{
    (void)state;
    enum { N = 300 };
    rtc_ref refs[N];
    size_t ready[N], n;
    assert_int_equal(rtc_submit_many(rtc, "noop", NULL, N, NULL, refs), 0);
    for (size_t left = N; left > 0;) {
        assert_int_equal(rtc_wait(rtc, refs, left, 1, RTC_S(20), ready, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(rtc_release(rtc, refs[ready[0]]), 0);
        refs[ready[0]] = refs[--left];
    }
    assert_int_equal(rtc_submit_many(rtc, "noop", NULL, 2, NULL, refs), 0);
    refs[2] = refs[0];
    assert_int_equal(rtc_wait(rtc, refs, 3, 1, 0, ready, &n), RTC_E_INVALID);
    assert_int_equal(rtc_wait(rtc, refs, 2, 3, 0, ready, &n), RTC_E_INVALID);
    assert_int_equal(rtc_wait(rtc, NULL, 0, 0, 0, NULL, &n), 0);
    assert_int_equal(rtc_wait(rtc, refs, 2, 2, RTC_S(20), ready, &n), 0);
    fake_pause(fake, 1);
    assert_int_equal(rtc_submit(rtc, "noop", NULL, NULL, &refs[2]), 0);
    assert_int_equal(rtc_wait(rtc, refs, 3, 3, RTC_MS(50), ready, &n), RTC_E_TIMEOUT);
    assert_int_equal(n, 2);
    struct rtc_value v;
    assert_int_equal(rtc_get(rtc, refs[2], RTC_MS(10), &v), RTC_E_TIMEOUT);
    assert_int_equal(rtc_flush(rtc, RTC_MS(10)), RTC_E_TIMEOUT);
    fake_pause(fake, 0);
    assert_int_equal(rtc_flush(rtc, RTC_S(20)), 0);
    assert_int_equal(rtc_wait(rtc, refs, 3, 3, RTC_S(20), ready, &n), 0);
}

static void test_put(void **state)
{
    (void)state;
    rtc_ref ref, out, list;
    struct rtc_value v = rtc_i64(77);
    uint64_t before = fake_count(fake, RTCI_R_PUT);
    assert_int_equal(rtc_put(rtc, &v, &ref), 0);
    assert_int_equal(get_int(ref), 77);
    assert_int_equal(rtc_submit(rtc, "identity", RTC_ARGS(rtc_of_ref(ref)), NULL, &out), 0);
    assert_int_equal(get_int(out), 77);
    assert_int_equal(fake_count(fake, RTCI_R_PUT), before);
    /* A list of references keeps them alive, here and at the head. */
    struct rtc_value items[] = {rtc_of_ref(ref), rtc_of_ref(out)};
    v = rtc_list(items, 2);
    assert_int_equal(rtc_put(rtc, &v, &list), 0);
    assert_int_equal(rtc_release(rtc, ref), 0);
    assert_int_equal(rtc_release(rtc, out), 0);
    struct rtc_value got, item;
    const rtc_ref *refs;
    size_t n;
    assert_int_equal(rtc_get(rtc, list, 0, &got), 0);
    assert_int_equal(rtc_value_refs(&got, &refs, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(get_int(refs[0]), 77);
    assert_int_equal(rtc_value_at(&got, 1, &item), 0);
    assert_int_equal(get_int(item.as.ref), 77);
    rtc_ref kept = refs[0];
    assert_int_equal(rtc_retain(rtc, kept), 0);
    assert_int_equal(rtc_release(rtc, list), 0);
    assert_int_equal(get_int(kept), 77);
    assert_int_equal(rtc_release(rtc, kept), 0);
    assert_int_equal(rtc_release(rtc, kept), RTC_E_RELEASED);
}

static void test_large(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    double *data = malloc(n * sizeof(double)), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += data[i] = (double)(i % 7);
    struct rtc_array array = {.data = data,
                              .size = n * sizeof(double),
                              .shape = {(int64_t)n},
                              .ndim = 1,
                              .dtype = RTC_F64};
    struct rtc_value v = rtc_nd(&array), got;
    rtc_ref ref, out;
    double x;
    assert_int_equal(rtc_put(rtc, &v, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, 0, &got), 0);
    struct rtc_array back;
    assert_int_equal(rtc_value_array(&got, &back), 0);
    assert_int_equal((uintptr_t)back.data % 64, 0);
    assert_memory_equal(back.data, data, array.size);
    assert_int_equal(rtc_submit(rtc, "sum_array", RTC_ARGS(rtc_of_ref(ref)), NULL, &out), 0);
    assert_int_equal(rtc_get_f64(rtc, out, RTC_S(20), &x), 0);
    assert_true(x == sum);
    assert_int_equal(rtc_submit(rtc, "sum_array", RTC_ARGS(rtc_nd(&array)), NULL, &out), 0);
    assert_int_equal(rtc_get_f64(rtc, out, RTC_S(20), &x), 0);
    assert_true(x == sum);
    void *at;
    assert_int_equal(rtc_create(rtc, RTC_F64, (int64_t[]){(int64_t)n}, 1, &at, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, 0, &got), RTC_E_INVALID);
    memcpy(at, data, array.size);
    assert_int_equal(rtc_seal(rtc, ref), 0);
    assert_int_equal(rtc_seal(rtc, ref), RTC_E_INVALID);
    assert_int_equal(rtc_submit(rtc, "sum_array", RTC_ARGS(rtc_of_ref(ref)), NULL, &out), 0);
    assert_int_equal(rtc_get_f64(rtc, out, RTC_S(20), &x), 0);
    assert_true(x == sum);
    assert_int_equal(rtc_submit(rtc, "big_return", RTC_ARGS(rtc_i64(3 << 20)), NULL, &out), 0);
    assert_int_equal(rtc_get(rtc, out, RTC_S(20), &got), 0);
    assert_int_equal(got.as.bytes.size, 3 << 20);
    assert_int_equal(((const char *)got.as.bytes.data)[(3 << 20) - 1], 'x');
    free(data);
}

static void test_nested(void **state)
{
    (void)state;
    rtc_ref ref;
    struct rtc_value v, item;
    assert_int_equal(rtc_submit(rtc, "fib", RTC_ARGS(rtc_i64(5)), NULL, &ref), 0);
    for (int depth = 5; depth > 1; depth--) { /* follows references contained in results */
        assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), 0);
        assert_int_equal(v.type, RTC_LIST);
        assert_int_equal(rtc_value_at(&v, 0, &item), 0);
        assert_int_equal(rtc_value_ref(&item, &ref), 0);
    }
    assert_int_equal(get_int(ref), 1);
}

static void test_fork(void **state)
{
    (void)state;
    rtc_ref ref;
    assert_int_equal(rtc_submit(rtc, "forks", NULL, NULL, &ref), 0);
    assert_int_equal(get_int(ref), 7);
    pid_t pid = fork();
    if (pid == 0)
        _exit(rtc_put(rtc, &(struct rtc_value){0}, &ref) == RTC_E_FORKED ? 0 : 1);
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void count_call(struct rtc *r, rtc_ref ref, void *arg)
{
    int64_t x;
    assert_int_equal(rtc_get_i64(r, ref, 0, &x), 0);
    ++*(int *)arg;
}

static void on_progress(void *arg, rtc_ref task, double fraction, const char *text)
{
    (void)task;
    if (fraction == 0.25 && strcmp(text, "a quarter") == 0)
        ++*(int *)arg;
}

static void test_callbacks(void **state)
{
    (void)state;
    rtc_ref ref, put;
    int called = 0, progressed = 0;
    assert_int_equal(rtc_on_progress(rtc, on_progress, &progressed), 0);
    int fd = rtc_fd(rtc);
    assert_true(fd >= 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rtc_submit(rtc, "reports", NULL, NULL, &ref), 0);
        assert_int_equal(rtc_then(rtc, ref, count_call, &called), 0);
        assert_int_equal(rtc_release(rtc, ref), 0);
        while (called == i) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, 20000), 1);
            assert_int_equal(rtc_poll(rtc, 0), 0);
        }
    }
    assert_int_equal(progressed, 100);
    struct rtc_value v = rtc_i64(1);
    assert_int_equal(rtc_put(rtc, &v, &put), 0);
    assert_int_equal(rtc_then(rtc, put, count_call, &called), 0);
    assert_int_equal(called, 101);
    assert_int_equal(rtc_release(rtc, put), 0);
    assert_int_equal(rtc_on_progress(rtc, NULL, NULL), 0);
}

static void test_back_pressure(void **state)
{
    (void)state;
    rtc_ref *refs = calloc(100000, sizeof(*refs));
    struct rtc_options no_wait = {.submit_timeout = RTC_NO_WAIT};
    size_t n = 0;
    fake_pause(fake, 1);
    int rc = 0;
    while (n < 100000 && (rc = rtc_submit(rtc, "noop", NULL, &no_wait, &refs[n])) == 0)
        n++;
    assert_int_equal(rc, RTC_E_AGAIN);
    assert_true(n > 1000);
    rtc_ref more[2];
    assert_int_equal(rtc_submit_many(rtc, "noop", NULL, 2, &no_wait, more), RTC_E_AGAIN);
    fake_pause(fake, 0);
    assert_int_equal(rtc_submit(rtc, "noop", NULL, NULL, &refs[n]), 0);
    assert_int_equal(rtc_get_many(rtc, refs, n + 1, RTC_S(60), NULL), 0);
    assert_int_equal(rtc_release_many(rtc, refs, n + 1), 0);
    free(refs);
}

static void test_restart(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        rtc_ref ref;
        struct rtc_value v;
        assert_int_equal(rtc_submit(rtc, "fib", RTC_ARGS(rtc_i64(3)), NULL, &ref), 0);
        fake_restart(fake);
        assert_int_equal(rtc_get(rtc, ref, RTC_S(20), &v), 0);
        const rtc_ref *refs;
        size_t n;
        assert_int_equal(rtc_value_refs(&v, &refs, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(get_int(refs[1]), 0); /* an executor's own: by WANT */
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
}

/* More results than the ring of its executor holds, for one running task. */
RTC_TASK(gather)
{
    enum { N = 200 };
    struct rtc *r = rtc_call_rtc(call);
    rtc_ref refs[N];
    int64_t sum = 0;
    const char *before;
    RTC_TRY(rtc_arg_str(call, 0, &before, NULL));
    for (int i = 0; i < N; i++)
        RTC_TRY(rtc_submit(r, "big_return", RTC_ARGS(rtc_i64(90000)), NULL, &refs[i]));
    for (int i = 0; i < N; i++) {
        struct rtc_value v;
        RTC_TRY(rtc_get(r, refs[i], RTC_S(60), &v));
        sum += (int64_t)v.as.bytes.size;
    }
    RTC_TRY(rtc_release_many(r, refs, N));
    if (strcmp(before, "still here") != 0) /* arguments outlive the record they came in */
        return rtc_fail(call, -1, "the argument changed");
    return rtc_return_i64(call, sum);
}

static void test_full_ring_in_task(void **state)
{
    (void)state;
    if (fake_executors(fake) < 2)
        skip();
    rtc_ref ref;
    /* Only one executor may run it: the other must be free for what it submits. */
    for (int i = 0; i < 3; i++) {
        fake_reserve(fake, 1);
        assert_int_equal(rtc_submit(rtc, "gather", RTC_ARGS(rtc_str("still here")), NULL, &ref), 0);
        assert_int_equal(get_int(ref), 200 * 90000);
        fake_reserve(fake, 0);
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
}

static void *hammer(void *arg)
{
    for (int i = 0; i < 200; i++) {
        rtc_ref refs[4], put;
        struct rtc_value v = rtc_i64(i);
        size_t ready[4], n;
        int64_t x;
        int rc = rtc_put(rtc, &v, &put);
        for (int k = 0; k < 4 && rc == 0; k++)
            rc = rtc_submit(rtc, "add", RTC_ARGS(rtc_of_ref(put), rtc_i64(k)), NULL, &refs[k]);
        if (rc == 0)
            rc = rtc_wait(rtc, refs, 4, 4, RTC_S(60), ready, &n);
        for (int k = 0; k < 4 && rc == 0; k++) {
            rc = rtc_get_i64(rtc, refs[k], RTC_S(60), &x);
            rc = rc == 0 && x != i + k ? -1 : rc;
        }
        if (rc == 0)
            rc = rtc_release_many(rtc, refs, 4);
        if (rc < 0 || rtc_release(rtc, put) < 0)
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, threads), 0);
    for (int i = 0; i < 5; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show(const char *name, double begin, double n)
{
    double s = seconds() - begin;
    print_message("%-12s %10.0f /s  %8.1f ns\n", name, n / s, s / n * 1e9);
}

/* Not a benchmark of the runtime: what the library itself costs, for whoever changes it. */
static void test_speed(void **state)
{
    (void)state;
    if (!getenv("RTC_TEST_SPEED"))
        skip();
    enum { N = 1000, ROUNDS = 300 };
    static rtc_ref refs[N];
    struct rtc_value v = rtc_i64(1), got;
    double begin = seconds();
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < N; i++)
            rtc_submit(rtc, "noop", NULL, NULL, &refs[i]);
        assert_int_equal(rtc_get_many(rtc, refs, N, RTC_S(20), NULL), 0);
        rtc_release_many(rtc, refs, N);
    }
    show("async", begin, (double)N * ROUNDS);
    begin = seconds();
    for (int r = 0; r < ROUNDS; r++) {
        rtc_submit_many(rtc, "noop", NULL, N, NULL, refs);
        assert_int_equal(rtc_get_many(rtc, refs, N, RTC_S(20), NULL), 0);
        rtc_release_many(rtc, refs, N);
    }
    show("bulk", begin, (double)N * ROUNDS);
    begin = seconds();
    for (int r = 0; r < 20000; r++) {
        rtc_submit(rtc, "noop", NULL, NULL, &refs[0]);
        rtc_get(rtc, refs[0], RTC_FOREVER, &got);
        rtc_release(rtc, refs[0]);
    }
    show("sync", begin, 20000);
    begin = seconds();
    for (int r = 0; r < 3000000; r++) {
        rtc_put(rtc, &v, &refs[0]);
        rtc_release(rtc, refs[0]);
    }
    show("put+release", begin, 3e6);
    rtc_put(rtc, &v, &refs[0]);
    begin = seconds();
    for (int r = 0; r < 3000000; r++)
        rtc_get(rtc, refs[0], RTC_FOREVER, &got);
    show("get", begin, 3e6);
    for (int i = 0; i < N; i++)
        rtc_put(rtc, &v, &refs[i]);
    size_t ready[1], n;
    begin = seconds();
    for (int left = N; left > 0; left--) {
        rtc_wait(rtc, refs, (size_t)left, 1, RTC_FOREVER, ready, &n);
        refs[ready[0]] = refs[left - 1];
    }
    show("wait_1k", begin, 1);
    static char buffer[64 << 20];
    memset(buffer, 1, sizeof(buffer));
    for (int i = 0; i < 4; i++) {
        v = rtc_bytes(buffer, sizeof(buffer));
        begin = seconds();
        assert_int_equal(rtc_put(rtc, &v, &refs[0]), 0);
        print_message("put 64 MiB: %.1f GB/s\n", 64.0 / 1024 / (seconds() - begin) * 1.073741824);
    }
}

static int setup(void **state)
{
    (void)state;
    const char *address;
    fake = fake_start(2, &address);
    int rc = rtc_init(NULL, NULL, RTC_CONFIG(.address = address), &rtc);
    if (rc < 0)
        print_message("%s\n", rtc_last_error());
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    int rc = rtc_shutdown(&rtc);
    fake_stop(fake);
    return rc;
}

int main(int argc, char **argv)
{
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit_get), cmocka_unit_test(test_submit_errors),
        cmocka_unit_test(test_bulk),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_wait),
        cmocka_unit_test(test_put),        cmocka_unit_test(test_large),
        cmocka_unit_test(test_nested),     cmocka_unit_test(test_fork),
        cmocka_unit_test(test_callbacks),  cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_restart),    cmocka_unit_test(test_full_ring_in_task),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
