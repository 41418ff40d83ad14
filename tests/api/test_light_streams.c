/* Streams of light actors, against an embedded cluster: what they yield, to readers in other
 * processes, without waiting for them. Built as a user's program. */
#include <rtc/actor.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"

static struct rtc *rtc;
static const struct rtc_options no_cpu = {.cpus = RTC_NONE};

/* ---- In executors ---- */

struct spring {
    rtc_actor other;
};

/* (n, size): n values, numbers or bytes of that size, as many as there is room for. Its answer says
 * how many. */
static int pour(struct rtc_call *call)
{
    static char bytes[200 << 10];
    int64_t n, size, given = 0;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    for (; given < n; given++) {
        memcpy(bytes, &given, sizeof(given));
        struct rtc_value v = size ? rtc_bytes(bytes, (size_t)size) : rtc_i64(given);
        int rc = rtc_yield(call, &v);
        if (rc == RTC_E_AGAIN && strstr(rtc_last_error(), "is full"))
            break;
        RTC_TRY(rc);
    }
    return rtc_return_i64(call, given);
}

static int pour_and_fail(struct rtc_call *call)
{
    for (int i = 0; i < 400; i++) {
        struct rtc_value v = rtc_i64(i);
        RTC_TRY(rtc_yield(call, &v));
    }
    return rtc_fail(call, -5, "the spring is dry");
}

static int pour_and_crash(struct rtc_call *call)
{
    struct rtc_value v = rtc_i64(1);
    RTC_TRY(rtc_yield(call, &v));
    kill(getpid(), SIGKILL);
    return 0;
}

static int ping(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

static int befriend(struct rtc_call *call)
{
    struct spring *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->other));
    RTC_TRY(rtc_actor_retain(rtc_call_rtc(call), self->other));
    return rtc_return_i64(call, 1);
}

/* Reads a stream without waiting: what is there when it has ended. */
static void drink(struct rtc *r, rtc_ref ref, void *arg)
{
    struct rtc_promise *promise = arg;
    struct rtc_value v;
    int64_t x, sum = 0;
    int rc;
    while ((rc = rtc_next(r, ref, 0, &v)) == 0)
        sum += rtc_value_i64(&v, &x) == 0 ? x : -1000000;
    v = rtc_i64(sum);
    if (rc == RTC_E_END)
        rtc_promise_return(promise, &v);
    else
        rtc_promise_fail(promise, rc, rtc_last_error());
}

static int sip(struct rtc_call *call)
{
    struct spring *self = rtc_self(call);
    struct rtc *r = rtc_call_rtc(call);
    struct rtc_promise *promise;
    struct rtc_value v;
    int64_t n;
    rtc_ref ref;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    RTC_TRY(rtc_actor_call(r, self->other, "pour", RTC_ARGS(rtc_i64(n), rtc_i64(0)),
                           RTC_CALL_OPTIONS(.stream = true), &ref));
    int rc = rtc_next(r, ref, 0, &v);
    if (rc != RTC_E_TIMEOUT && rc != 0)
        return rtc_fail(call, -1, "rtc_next() without time: %s", rtc_last_error());
    while (rc == 0) /* those that are there already */
        rc = rtc_next(r, ref, 0, NULL);
    rc = rc == RTC_E_TIMEOUT ? rtc_next(r, ref, RTC_S(20), &v) : RTC_E_UNSUPPORTED;
    if (rc != RTC_E_UNSUPPORTED && rc != 0)
        return rtc_fail(call, -2, "rtc_next() with time: %s", rtc_last_error());
    RTC_TRY(rtc_release(r, ref));
    RTC_TRY(rtc_actor_call(r, self->other, "pour", RTC_ARGS(rtc_i64(n), rtc_i64(0)),
                           RTC_CALL_OPTIONS(.stream = true), &ref));
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(r, ref, drink, promise));
    return rtc_release(r, ref);
}

/* (n, size): calls for a stream, and reads nothing of it. */
static int turn_on(struct rtc_call *call)
{
    struct spring *self = rtc_self(call);
    int64_t n, size;
    rtc_ref ref;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    RTC_TRY(rtc_actor_call(rtc_call_rtc(call), self->other, "pour",
                           RTC_ARGS(rtc_i64(n), rtc_i64(size)), RTC_CALL_OPTIONS(.stream = true),
                           &ref));
    return rtc_return_i64(call, 1);
}

static int refused_here(struct rtc_call *call)
{
    rtc_actor other;
    rtc_ref ref;
    struct rtc *r = rtc_call_rtc(call);
    RTC_TRY(rtc_actor_create(r, "spring", NULL, RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &other));
    int rc = rtc_actor_call(r, other, "pour", RTC_ARGS(rtc_i64(1), rtc_i64(0)),
                            RTC_CALL_OPTIONS(.stream = true), &ref);
    bool said = strstr(rtc_last_error(), "same host") != NULL;
    RTC_TRY(rtc_actor_release(r, other));
    return rtc_return_i64(call, rc == RTC_E_UNSUPPORTED && said);
}

RTC_ACTOR(spring, struct spring,
          .methods = {RTC_METHOD(pour), RTC_METHOD(pour_and_fail), RTC_METHOD(pour_and_crash),
                      RTC_METHOD(ping), RTC_METHOD(befriend), RTC_METHOD(sip), RTC_METHOD(turn_on),
                      RTC_METHOD(refused_here)});

/* Reads n values in their order, and then the end. */
static int read_all(struct rtc *r, rtc_ref ref, int64_t n)
{
    struct rtc_value v;
    int64_t x;
    for (int64_t i = 0; i < n; i++) {
        RTC_TRY(rtc_next(r, ref, RTC_S(20), &v));
        RTC_TRY(rtc_value_i64(&v, &x));
        if (x != i)
            return RTC_E_RANGE;
    }
    int rc = rtc_next(r, ref, RTC_S(20), &v);
    return rc == RTC_E_END ? 0 : rc < 0 ? rc : RTC_E_RANGE;
}

RTC_TASK(spring_reader)
{
    rtc_actor actor;
    rtc_ref ref;
    struct rtc *r = rtc_call_rtc(call);
    RTC_TRY(rtc_arg_actor(call, 0, &actor));
    RTC_TRY(rtc_actor_call(r, actor, "pour", RTC_ARGS(rtc_i64(3000), rtc_i64(0)),
                           RTC_CALL_OPTIONS(.stream = true), &ref));
    RTC_TRY(read_all(r, ref, 3000));
    RTC_TRY(rtc_release(r, ref));
    return rtc_return_i64(call, 3000);
}

/* ---- In the driver ---- */

static rtc_actor spring(const char *name)
{
    rtc_actor actor;
    OK(rtc_actor_create(rtc, "spring", NULL,
                        RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT, .name = name), &actor));
    return actor;
}

static rtc_ref stream(rtc_actor actor, const char *method, int64_t n, int64_t size)
{
    rtc_ref ref = {0};
    OK(rtc_actor_call(rtc, actor, method, RTC_ARGS(rtc_i64(n), rtc_i64(size)),
                      RTC_CALL_OPTIONS(.stream = true), &ref));
    return ref;
}

static int64_t ask(rtc_actor actor, const char *method, const struct rtc_args *args)
{
    rtc_ref ref;
    int64_t x = -1;
    OK(rtc_actor_call(rtc, actor, method, args, NULL, &ref));
    OK(rtc_get_i64(rtc, ref, RTC_S(20), &x));
    OK(rtc_release(rtc, ref));
    return x;
}
#define ASK(actor, method, ...) ask(actor, method, RTC_ARGS(__VA_ARGS__))

static int64_t answer(rtc_ref ref)
{
    int64_t x = -1;
    OK(rtc_get_i64(rtc, ref, RTC_S(20), &x));
    return x;
}

static void test_streams(void **state)
{
    static const char *const names[] = {NULL, "well"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        rtc_actor a = spring(names[i]);
        rtc_ref refs[4], ref = stream(a, "pour", 1000, 0);
        OK(read_all(rtc, ref, 1000));
        assert_int_equal(answer(ref), 1000);
        OK(rtc_release(rtc, ref));
        /* It waits for none of its readers. */
        for (int k = 0; k < 4; k++)
            refs[k] = stream(a, "pour", 10000 + k, 0);
        assert_true(ASK(a, "ping", rtc_nil()) > 0);
        for (int k = 3; k >= 0; k--) {
            OK(read_all(rtc, refs[k], 10000 + k));
            assert_int_equal(answer(refs[k]), 10000 + k);
            OK(rtc_release(rtc, refs[k]));
        }
        ref = stream(a, "pour", 0, 0);
        OK(read_all(rtc, ref, 0));
        OK(rtc_release(rtc, ref));
        OK(rtc_actor_release(rtc, a));
    }
}

static void test_readers(void **state)
{
    (void)state;
    rtc_actor a = spring(NULL), p, named = spring("source");
    rtc_ref ref;
    OK(rtc_submit(rtc, "spring_reader", RTC_ARGS(rtc_of_actor(a)), &no_cpu, &ref));
    assert_int_equal(answer(ref), 3000);
    OK(rtc_release(rtc, ref));
    /* A light actor reads what is there: of others that do not wait, all. */
    assert_int_equal(ASK(a, "befriend", rtc_of_actor(named)), 1);
    assert_int_equal(ASK(a, "sip", rtc_i64(200)), 199 * 100);
    OK(rtc_actor_create(rtc, "spring", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &p));
    assert_int_equal(ASK(named, "befriend", rtc_of_actor(p)), 1);
    assert_int_equal(ASK(named, "sip", rtc_i64(200)), 199 * 100);
    assert_int_equal(ASK(a, "refused_here", rtc_nil()), 1);
    OK(rtc_actor_release(rtc, p));
    OK(rtc_actor_release(rtc, named));
    OK(rtc_actor_stop(rtc, a));
    OK(rtc_actor_release(rtc, a));
}

static uint64_t store_used(void)
{
    struct rtc_node_info node;
    size_t n;
    OK(rtc_nodes(rtc, &node, 1, &n));
    return node.store_used;
}

static void test_room(void **state)
{
    enum { SIZE = 6000, LARGE = 200000, MANY = 320 };
    (void)state;
    rtc_actor a = spring(NULL);
    struct rtc_value v;
    const void *data;
    size_t size;
    rtc_ref ref = stream(a, "pour", 1000000, SIZE), other = stream(a, "pour", 10, 0);
    assert_true(ASK(a, "ping", rtc_nil()) > 0);
    OK(read_all(rtc, other, 10)); /* the room is that of each stream */
    OK(rtc_release(rtc, other));
    int64_t n = 0, number;
    int rc;
    for (; (rc = rtc_next(rtc, ref, RTC_S(20), &v)) == 0; n++) {
        OK(rtc_value_bytes(&v, &data, &size));
        memcpy(&number, data, sizeof(number));
        assert_true(size == SIZE && number == n);
    }
    assert_int_equal(rc, RTC_E_END);
    assert_true(n > (4 << 20) / SIZE && n < 256 + (5 << 20) / SIZE);
    assert_int_equal(answer(ref), n);
    OK(rtc_release(rtc, ref));
    /* Objects that nobody reads are let go. */
    for (int i = 0; i < 4; i++) {
        ref = stream(a, "pour", MANY, LARGE);
        assert_true(ASK(a, "ping", rtc_nil()) > 0); /* some wait for us */
        OK(rtc_next(rtc, ref, RTC_S(20), &v));
        OK(rtc_value_bytes(&v, &data, &size));
        assert_int_equal(size, LARGE);
        OK(rtc_release(rtc, ref));
    }
    for (int i = 0; i < 2000 && store_used() > 10 * LARGE; i++)
        rtc_poll(rtc, RTC_MS(10));
    assert_true(store_used() <= 10 * LARGE);
    ref = stream(a, "pour", MANY, LARGE);
    for (n = 0; (rc = rtc_next(rtc, ref, RTC_S(20), &v)) == 0; n++)
        ;
    assert_int_equal(rc, RTC_E_END);
    assert_true(n >= 256); /* more, as we are quick: objects count for what they are */
    assert_int_equal(answer(ref), n);
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_release(rtc, a));
}

static void test_ends(void **state)
{
    (void)state;
    rtc_actor a = spring(NULL), b = spring("brook");
    struct rtc_value v;
    rtc_ref ref = stream(a, "pour_and_fail", 0, 0);
    for (int i = 0; i < 400; i++)
        OK(rtc_next(rtc, ref, RTC_S(20), &v));
    FAILS(rtc_next(rtc, ref, RTC_S(20), &v), RTC_E_TASK_FAILED, "the spring is dry");
    OK(rtc_release(rtc, ref));
    /* What it has given outlives it. */
    ref = stream(a, "pour", 2000, 0);
    assert_true(ASK(a, "ping", rtc_nil()) > 0);
    OK(rtc_actor_kill(rtc, a, 0));
    OK(read_all(rtc, ref, 2000));
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_release(rtc, a));
    ref = stream(b, "pour", 2000, 0);
    assert_true(ASK(b, "ping", rtc_nil()) > 0);
    OK(rtc_actor_stop(rtc, b));
    OK(read_all(rtc, ref, 2000));
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_release(rtc, b));
    a = spring(NULL);
    ref = stream(a, "pour_and_crash", 0, 0);
    OK(rtc_next(rtc, ref, RTC_S(20), &v));
    FAILS(rtc_next(rtc, ref, RTC_S(20), &v), RTC_E_ACTOR_DEAD, "signal 9");
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_release(rtc, a));
}

/* How many of 400 values it has room for. */
static int64_t poured(rtc_actor a)
{
    struct rtc_value v;
    int64_t n = 0;
    int rc;
    rtc_ref ref = stream(a, "pour", 400, 0);
    while ((rc = rtc_next(rtc, ref, RTC_S(20), &v)) == 0)
        n++;
    assert_int_equal(rc, RTC_E_END);
    OK(rtc_release(rtc, ref));
    return n;
}

/* Who waits for a reader that has died does not wait for ever: the method of a process actor ends,
 * and what a host has kept for it makes room for others. */
static void test_reader_dies(void **state)
{
    enum { READERS = 18, SIZE = 60000 }; /* 4 MiB for each, of 64 */
    (void)state;
    for (int light = 0; light < 2; light++) {
        rtc_actor a, readers[READERS];
        size_t n = light ? READERS : 1;
        OK(rtc_actor_create(
            rtc, "spring", NULL,
            RTC_ACTOR_OPTIONS(.isolation = light ? RTC_LIGHT : RTC_PROCESS, .needs = &no_cpu), &a));
        for (size_t i = 0; i < n; i++) {
            OK(rtc_actor_create(rtc, "spring", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu),
                                &readers[i]));
            assert_int_equal(ASK(readers[i], "befriend", rtc_of_actor(a)), 1);
            assert_int_equal(ASK(readers[i], "turn_on", rtc_i64(2000), rtc_i64(SIZE)), 1);
        }
        while (light && poured(a) == 400)
            ;
        for (size_t i = 0; i < n; i++) {
            OK(rtc_actor_kill(rtc, readers[i], 0));
            OK(rtc_actor_release(rtc, readers[i]));
        }
        while (poured(a) < 400)
            ;
        OK(rtc_actor_release(rtc, a));
    }
}

static void on_down(struct rtc *r, const struct rtc_down *down, void *arg)
{
    (void)r;
    *(enum rtc_cause *)arg = down->info.cause;
}

/* An actor that is stopped ends when what it has given is read, or nobody reads it any more. */
static void test_stops_without_reader(void **state)
{
    (void)state;
    rtc_actor a = spring("pond"), reader;
    enum rtc_cause cause = 0;
    OK(rtc_actor_create(rtc, "spring", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &reader));
    assert_int_equal(ASK(reader, "befriend", rtc_of_actor(a)), 1);
    assert_int_equal(ASK(reader, "turn_on", rtc_i64(400), rtc_i64(0)), 1);
    assert_true(ASK(a, "ping", rtc_nil()) > 0);
    OK(rtc_monitor(rtc, a, on_down, &cause, NULL));
    OK(rtc_actor_kill(rtc, reader, 0));
    OK(rtc_actor_stop(rtc, a));
    for (int i = 0; i < 2000 && !cause; i++)
        rtc_poll(rtc, RTC_MS(10));
    assert_int_equal(cause, RTC_CAUSE_STOPPED);
    OK(rtc_actor_release(rtc, reader));
    OK(rtc_actor_release(rtc, a));
}

static int setup(void **state)
{
    (void)state;
    OK(rtc_init(
        NULL, NULL,
        RTC_CONFIG(.cpus = 2, .store_bytes = 256u << 20, .address = "embedded", .quiet = true),
        &rtc));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OK(rtc_shutdown(&rtc));
    return 0;
}

int main(int argc, char **argv)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),     cmocka_unit_test(test_readers),
        cmocka_unit_test(test_room),        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_reader_dies), cmocka_unit_test(test_stops_without_reader),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
