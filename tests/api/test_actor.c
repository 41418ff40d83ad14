/* Actors, against an embedded cluster: every function of rtc/actor.h, and what is said of each bad
 * input. Built as a user's program: librtc and include/rtc/ alone. */
#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/actors.h"
#include "tests/api/check.h"

static struct rtc *rtc;
static char tally_path[64];
static struct tally *tally;

/* No CPUs: as many of them as the tests like, on a machine of two. */
static const struct rtc_options no_cpu = {.cpus = RTC_NONE};
#define NEEDS .needs = &no_cpu

static rtc_actor counter(int64_t from)
{
    rtc_actor actor;
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(from)), RTC_ACTOR_OPTIONS(NEEDS), &actor));
    return actor;
}

static rtc_actor counter_with(struct rtc_actor_options *options)
{
    rtc_actor actor;
    memset(tally, 0, sizeof(*tally));
    options->needs = &no_cpu;
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(0), rtc_str(tally_path)), options,
                        &actor));
    return actor;
}
#define COUNTER(...) counter_with(&(struct rtc_actor_options){__VA_ARGS__})

static int64_t got_at(rtc_ref ref, int line)
{
    int64_t x = -1;
    int rc = rtc_get_i64(rtc, ref, RTC_S(20), &x);
    if (rc < 0)
        print_message("line %d:\n", line);
    OK(rc);
    OK(rtc_release(rtc, ref));
    return x;
}

static rtc_ref call(rtc_actor actor, const char *method, const struct rtc_args *args)
{
    rtc_ref ref = {0};
    OK(rtc_actor_call(rtc, actor, method, args, NULL, &ref));
    return ref;
}
#define got(ref)                 got_at(ref, __LINE__)
#define CALL(actor, method, ...) call(actor, method, RTC_ARGS(__VA_ARGS__))
#define ASK(actor, method)       got(call(actor, method, NULL))

static int outcome(rtc_ref ref)
{
    struct rtc_value v;
    return rtc_get(rtc, ref, RTC_S(20), &v);
}

static struct rtc_actor_info wait_dead(rtc_actor actor)
{
    struct rtc_actor_info info;
    for (;;) {
        OK(rtc_actor_info(rtc, actor, &info));
        if (info.state == RTC_ACTOR_DEAD)
            return info;
        rtc_poll(rtc, RTC_MS(1));
    }
}

static void wait_tally(int i)
{
    while (__atomic_load_n(&tally->count[i], __ATOMIC_SEQ_CST) == 0)
        rtc_poll(rtc, RTC_MS(1)); /* what is under way goes on in calls of rtc */
}

/* ---- Calls ---- */
static void test_calls(void **state)
{
    (void)state;
    rtc_actor a = counter(10);
    assert_int_equal(got(CALL(a, "add", rtc_i64(5))), 15); /* before it lives */
    OK(rtc_actor_ready(rtc, a, RTC_S(20)));
    assert_int_equal(got(CALL(a, "add", rtc_i64(7))), 22);
    assert_int_equal(ASK(a, "total"), 22);
    enum { N = 3000 };
    rtc_ref refs[N];
    for (int i = 0; i < N; i++)
        refs[i] = CALL(a, "in_turn", rtc_i64(i));
    for (int i = 0; i < N; i++)
        assert_int_equal(got(refs[i]), i);
    rtc_ref r[3];
    OK(rtc_actor_call(rtc, a, "three", NULL, RTC_CALL_OPTIONS(.returns = 3), r));
    assert_int_equal(got(r[2]), 2);
    assert_int_equal(got(r[0]), 0);
    assert_int_equal(got(r[1]), 1);
    for (int i = 0; i < 100; i++) /* nobody wants to know */
        OK(rtc_actor_call(rtc, a, "add", RTC_ARGS(rtc_i64(1)), NULL, NULL));
    assert_int_equal(ASK(a, "total"), 122);
    rtc_ref early = CALL(a, "add", rtc_i64(1)); /* released before it is there */
    OK(rtc_release(rtc, early));
    assert_int_equal(ASK(a, "total"), 123);
    OK(rtc_actor_release(rtc, a));
}

/* More processes at once than the keeper's socket takes orders for. */
static void test_crowd(void **state)
{
    (void)state;
    enum { N = 80 };
    rtc_actor actors[N];
    rtc_ref refs[N];
    for (int i = 0; i < N; i++) {
        actors[i] = counter(i);
        refs[i] = call(actors[i], "total", NULL);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(got(refs[i]), i);
        OK(rtc_actor_release(rtc, actors[i]));
    }
}

static void test_many(void **state)
{
    (void)state;
    enum { N = 4, R = 50 };
    rtc_actor actors[N];
    rtc_ref refs[N];
    for (int i = 0; i < N; i++)
        actors[i] = counter(i);
    for (int k = 0; k < R; k++) {
        OK(rtc_actor_call_many(rtc, actors, N, "add", RTC_ARGS(rtc_i64(1)), NULL, refs));
        for (int i = 0; i < N; i++)
            assert_int_equal(got(refs[i]), i + k + 1);
    }
    OK(rtc_actor_call_many(rtc, actors, N, "add", RTC_ARGS(rtc_i64(1)), NULL, NULL));
    for (int i = 0; i < N; i++) {
        assert_int_equal(ASK(actors[i], "total"), i + R + 1);
        OK(rtc_actor_release(rtc, actors[i]));
    }
}

/* ---- Values ---- */
static void test_values(void **state)
{
    (void)state;
    rtc_actor a = counter(0);
    struct rtc_value v;
    const void *data;
    size_t size;
    rtc_ref big = CALL(a, "large", rtc_i64(3 << 20), rtc_i64(7)); /* an object of the actor */
    OK(rtc_get(rtc, big, RTC_S(20), &v));
    OK(rtc_value_bytes(&v, &data, &size));
    assert_int_equal(size, 3 << 20);
    assert_int_equal(((const uint8_t *)data)[size - 1], 7);
    /* … passed on: to the actor, to another, to a task */
    rtc_actor b = counter(0);
    assert_int_equal(got(CALL(a, "sum_bytes", rtc_of_ref(big))), 7ll * (3 << 20));
    assert_int_equal(got(CALL(b, "sum_bytes", rtc_of_ref(big))), 7ll * (3 << 20));
    OK(rtc_release(rtc, big));
    /* before it is there */
    big = CALL(a, "large", rtc_i64(1 << 20), rtc_i64(1));
    rtc_ref sum = CALL(b, "sum_bytes", rtc_of_ref(big));
    OK(rtc_release(rtc, big));
    assert_int_equal(got(sum), 1 << 20);
    rtc_ref small = CALL(a, "add", rtc_i64(5)), again = CALL(b, "add", rtc_of_ref(small)), squared;
    OK(rtc_submit(rtc, "actor_square", RTC_ARGS(rtc_of_ref(small)), NULL, &squared));
    OK(rtc_release(rtc, small));
    assert_int_equal(got(again), 5);
    assert_int_equal(got(squared), 25);
    /* a large argument */
    static uint8_t block[400000];
    memset(block, 2, sizeof(block));
    assert_int_equal(got(CALL(a, "sum_bytes", rtc_bytes(block, sizeof(block)))), 800000);
    struct rtc_value bytes = rtc_bytes(block, sizeof(block));
    rtc_ref put;
    OK(rtc_put(rtc, &bytes, &put));
    assert_int_equal(got(CALL(a, "sum_bytes", rtc_of_ref(put))), 800000);
    assert_int_equal(got(CALL(a, "keep", rtc_of_ref(put))), 1);
    OK(rtc_release(rtc, put));
    assert_int_equal(ASK(a, "kept_size"), 400000);
    /* a value that contains a reference, and one that is inside of another */
    struct rtc_value five = rtc_i64(5);
    OK(rtc_put(rtc, &five, &put));
    struct rtc_value items[] = {rtc_of_ref(put), rtc_i64(3)};
    rtc_ref list = CALL(a, "echo", rtc_list(items, 2));
    OK(rtc_get(rtc, list, RTC_S(20), &v));
    struct rtc_value item;
    rtc_ref inside;
    OK(rtc_value_at(&v, 0, &item));
    OK(rtc_value_ref(&item, &inside));
    int64_t x;
    OK(rtc_get_i64(rtc, inside, RTC_S(20), &x));
    assert_int_equal(x, 5);
    OK(rtc_release(rtc, put));
    OK(rtc_release(rtc, list));
    rtc_ref r[3];
    OK(rtc_actor_call(rtc, a, "three", NULL, RTC_CALL_OPTIONS(.returns = 3), r));
    assert_int_equal(got(CALL(b, "add", rtc_of_ref(r[2]))), 7);
    OK(rtc_release_many(rtc, r, 3));
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, b));
}

/* An argument that is not there yet holds this call and later ones. */
static void test_held(void **state)
{
    (void)state;
    rtc_actor a = counter(0);
    rtc_ref slow, refs[6];
    tally->count[97] = 0;
    OK(rtc_submit(rtc, "actor_slow", RTC_ARGS(rtc_i64(0), rtc_str(tally_path), rtc_i64(97)), NULL,
                  &slow));
    refs[0] = CALL(a, "in_turn", rtc_of_ref(slow));
    for (int i = 1; i < 6; i++)
        refs[i] = CALL(a, "in_turn", rtc_i64(i));
    FAILS(rtc_get(rtc, refs[1], RTC_MS(10), NULL), RTC_E_TIMEOUT, "not done yet");
    tally->count[97] = 1;
    for (int i = 0; i < 6; i++)
        assert_int_equal(got(refs[i]), i);
    OK(rtc_release(rtc, slow));
    rtc_ref fails;
    OK(rtc_submit(rtc, "actor_fails", NULL, RTC_OPTIONS(.retries = RTC_NO_RETRY), &fails));
    rtc_ref held = CALL(a, "add", rtc_of_ref(fails)), after = call(a, "total", NULL);
    FAILS(outcome(held), RTC_E_DEPENDENCY, "no such luck");
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, held, &f));
    assert_int_equal(f.ran, RTC_RAN_NO);
    assert_int_equal(got(after), 0);
    OK(rtc_release(rtc, held));
    OK(rtc_release(rtc, fails));
    OK(rtc_actor_release(rtc, a));
}

static void test_streams(void **state)
{
    (void)state;
    rtc_actor a = counter(0);
    rtc_ref ref;
    struct rtc_value v;
    int64_t x;
    OK(rtc_actor_call(rtc, a, "count_up", RTC_ARGS(rtc_i64(1000)), RTC_CALL_OPTIONS(.stream = true),
                      &ref));
    for (int i = 0; i < 1000; i++) {
        OK(rtc_next(rtc, ref, RTC_S(20), &v));
        OK(rtc_value_i64(&v, &x));
        assert_int_equal(x, i);
    }
    FAILS(rtc_next(rtc, ref, RTC_S(20), &v), RTC_E_END, "has ended");
    OK(rtc_release(rtc, ref));
    /* nobody reads: the actor goes on */
    OK(rtc_actor_call(rtc, a, "count_up", RTC_ARGS(rtc_i64(5000)), RTC_CALL_OPTIONS(.stream = true),
                      &ref));
    OK(rtc_next(rtc, ref, RTC_S(20), &v));
    OK(rtc_release(rtc, ref));
    assert_int_equal(ASK(a, "total"), 0);
    ref = CALL(a, "count_up", rtc_i64(1));
    FAILS(outcome(ref), RTC_E_TASK_FAILED, "was not called with options.stream");
    FAILS(rtc_next(rtc, ref, 0, &v), RTC_E_INVALID, "not that of a call with options.stream");
    OK(rtc_release(rtc, ref));
    FAILS(rtc_actor_call(rtc, a, "count_up", RTC_ARGS(rtc_i64(1)), RTC_CALL_OPTIONS(.stream = true),
                         NULL),
          RTC_E_INVALID, "could not be read");
    OK(rtc_actor_release(rtc, a));
}

/* ---- Handles ---- */
static void test_handles(void **state)
{
    (void)state;
    rtc_actor a = counter(0), b = counter(3), child;
    rtc_ref ref;
    assert_int_equal(got(CALL(a, "befriend", rtc_of_actor(b))), 1);
    OK(rtc_actor_release(rtc, b)); /* its friend has a handle */
    assert_int_equal(ASK(a, "ask_friend"), 3);
    assert_int_equal(ASK(a, "unfriend"), 1);
    OK(rtc_submit(rtc, "use_actor", RTC_ARGS(rtc_of_actor(a)), NULL, &ref)); /* in a task */
    assert_int_equal(got(ref), 100);
    ref = call(a, "hand_out", NULL); /* made by an actor, returned by it */
    struct rtc_value v;
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &child));
    OK(rtc_actor_retain(rtc, child));
    OK(rtc_release(rtc, ref));
    assert_int_equal(got(CALL(child, "add", rtc_i64(1))), 6);
    OK(rtc_actor_release(rtc, child));
    FAILS(rtc_actor_release(rtc, child), RTC_E_RELEASED, "not this process's to release");
    assert_int_equal(got(CALL(a, "spread", rtc_i64(20))), 2470);
    struct rtc_value handle = rtc_of_actor(a);
    rtc_ref as_ref;
    FAILS(rtc_value_ref(&handle, &as_ref), RTC_E_TYPE, "an actor");
    OK(rtc_actor_retain(rtc, a));
    OK(rtc_actor_release(rtc, a));
    assert_int_equal(ASK(a, "total"), 100);
    OK(rtc_actor_release(rtc, a));
    FAILS(rtc_actor_call(rtc, a, "total", NULL, NULL, NULL), RTC_E_RELEASED, "released before");
}

static void test_last_handle(void **state)
{
    (void)state;
    rtc_actor a = COUNTER(.name = "fleeting");
    for (int i = 10; i < 30; i++)
        OK(rtc_actor_call(rtc, a, "mark", RTC_ARGS(rtc_i64(i)), NULL, NULL));
    OK(rtc_actor_release(rtc, a));
    wait_tally(1); /* dropped, after all of its calls */
    for (int i = 10; i < 30; i++)
        assert_int_equal(tally->count[i], 1);
}

static void test_names(void **state)
{
    (void)state;
    rtc_actor a = COUNTER(.name = "clerk"), b, c;
    assert_int_equal(got(CALL(a, "add", rtc_i64(9))), 9);
    OK(rtc_actor_find(rtc, NULL, "clerk", 0, &b));
    assert_int_equal(ASK(b, "total"), 9);
    OK(rtc_actor_release(rtc, b));
    FAILS(rtc_actor_find(rtc, NULL, "nobody", 0, &b), RTC_E_NOT_FOUND, "no actor has the name");
    FAILS(rtc_actor_find(rtc, NULL, "nobody", RTC_MS(30), &b), RTC_E_TIMEOUT, "yet");
    FAILS(rtc_actor_find(rtc, "elsewhere", "clerk", 0, &b), RTC_E_NOT_FOUND, "elsewhere");
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(0)),
                        RTC_ACTOR_OPTIONS(NEEDS, .name = "clerk"), &b));
    FAILS(rtc_actor_ready(rtc, b, RTC_S(20)), RTC_E_EXISTS, "is taken by actor");
    FAILS(rtc_actor_call(rtc, b, "total", NULL, NULL, NULL), RTC_E_ACTOR_DEAD, "is taken by actor");
    OK(rtc_actor_release(rtc, b));
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(0)),
                        RTC_ACTOR_OPTIONS(NEEDS, .name = "clerk", .get_if_exists = true), &c));
    assert_int_equal(got(CALL(c, "add", rtc_i64(1))), 10);
    OK(rtc_actor_release(rtc, a));
    assert_int_equal(ASK(c, "total"), 10); /* the other handle keeps it */
    OK(rtc_actor_stop(rtc, c));
    wait_tally(1);
    OK(rtc_actor_release(rtc, c));
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(4)),
                        RTC_ACTOR_OPTIONS(NEEDS, .name = "clerk", .space = "other"), &a));
    OK(rtc_actor_find(rtc, "other", "clerk", RTC_S(20), &b));
    assert_int_equal(ASK(b, "total"), 4);
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, b));
}

/* It outlives its handles and is found again; its program is the driver's. */
static void test_detached(void **state)
{
    (void)state;
    rtc_actor a = COUNTER(.name = "lasting", .detached = true), b;
    assert_int_equal(got(CALL(a, "add", rtc_i64(3))), 3);
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_find(rtc, NULL, "lasting", RTC_S(20), &b));
    assert_int_equal(got(CALL(b, "add", rtc_i64(3))), 6);
    assert_int_equal(tally->count[0], 1);
    rtc_ref big = CALL(b, "large", rtc_i64(1 << 20), rtc_i64(1)); /* of another job, so to speak */
    assert_int_equal(got(CALL(b, "sum_bytes", rtc_of_ref(big))), 1 << 20);
    OK(rtc_release(rtc, big));
    OK(rtc_actor_stop(rtc, b));
    wait_dead(b);
    FAILS(rtc_actor_find(rtc, NULL, "lasting", 0, &a), RTC_E_NOT_FOUND, "lasting");
    OK(rtc_actor_release(rtc, b));
}

/* ---- Ends ---- */
static void test_constructor(void **state)
{
    (void)state;
    rtc_actor a = counter(-5), b;
    rtc_ref early = CALL(a, "add", rtc_i64(1));
    FAILS(rtc_actor_ready(rtc, a, RTC_S(20)), RTC_E_TASK_FAILED, "cannot begin below 0");
    FAILS(outcome(early), RTC_E_ACTOR_DEAD, "cannot begin below 0");
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, early, &f));
    assert_int_equal(f.ran, RTC_RAN_NO);
    struct rtc_actor_info info;
    OK(rtc_actor_info(rtc, a, &info));
    assert_int_equal(info.state, RTC_ACTOR_DEAD);
    assert_int_equal(info.cause, RTC_CAUSE_CONSTRUCTOR);
    assert_int_equal(info.user_code, -77);
    OK(rtc_release(rtc, early));
    OK(rtc_actor_release(rtc, a));
    rtc_ref fails;
    OK(rtc_submit(rtc, "actor_fails", NULL, RTC_OPTIONS(.retries = RTC_NO_RETRY), &fails));
    OK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_of_ref(fails)), RTC_ACTOR_OPTIONS(NEEDS), &b));
    assert_true(rtc_actor_ready(rtc, b, RTC_S(20)) < 0);
    OK(rtc_release(rtc, fails));
    OK(rtc_actor_release(rtc, b));
}

static void test_stop_kill(void **state)
{
    (void)state;
    struct rtc_actor_info info;
    rtc_actor a = COUNTER(.name = NULL);
    rtc_ref refs[5];
    for (int i = 0; i < 5; i++)
        refs[i] = CALL(a, "mark", rtc_i64(10 + i));
    OK(rtc_actor_stop(rtc, a)); /* after what is in the mailbox */
    for (int i = 0; i < 5; i++)
        assert_int_equal(got(refs[i]), 10 + i);
    wait_tally(1);
    wait_dead(a);
    FAILS(rtc_actor_ready(rtc, a, RTC_S(20)), RTC_E_ACTOR_DEAD, "told to stop by client");
    FAILS(rtc_actor_call(rtc, a, "total", NULL, NULL, &refs[0]), RTC_E_ACTOR_DEAD, "is dead");
    OK(rtc_actor_info(rtc, a, &info));
    assert_int_equal(info.cause, RTC_CAUSE_STOPPED);
    OK(rtc_actor_release(rtc, a));

    a = COUNTER(.max_restarts = 3);
    OK(rtc_actor_ready(rtc, a, RTC_S(20)));
    rtc_ref blocked = CALL(a, "wait_mark", rtc_i64(99), rtc_i64(98)),
            waiting = call(a, "total", NULL);
    wait_tally(98);
    OK(rtc_actor_kill(rtc, a, 0));
    FAILS(outcome(blocked), RTC_E_ACTOR_DEAD, "was killed by client");
    FAILS(outcome(waiting), RTC_E_ACTOR_DEAD, "was killed by client");
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, blocked, &f));
    assert_int_equal(f.ran, RTC_RAN_YES);
    OK(rtc_failure_of(rtc, waiting, &f));
    assert_int_equal(f.ran, RTC_RAN_NO);
    OK(rtc_actor_info(rtc, a, &info));
    assert_int_equal(info.state, RTC_ACTOR_DEAD);
    assert_int_equal(info.cause, RTC_CAUSE_KILLED);
    assert_int_equal(info.signal, SIGKILL);
    OK(rtc_release(rtc, blocked));
    OK(rtc_release(rtc, waiting));
    OK(rtc_actor_release(rtc, a));

    a = counter(0);
    assert_int_equal(ASK(a, "leave"), 1);
    wait_dead(a);
    FAILS(rtc_actor_ready(rtc, a, RTC_S(20)), RTC_E_ACTOR_DEAD, "it ended itself");
    OK(rtc_actor_release(rtc, a));
}

/* Told to stop at any moment of its beginning. */
static void test_stop_early(void **state)
{
    (void)state;
    enum { N = 24 };
    rtc_actor actors[N];
    for (int i = 0; i < N; i++) {
        actors[i] = counter(0);
        if (i % 3)
            rtc_actor_ready(rtc, actors[i], RTC_MS(i)); /* some live by then, some do not */
        OK(rtc_actor_stop(rtc, actors[i]));
    }
    for (int i = 0; i < N; i++) {
        wait_dead(actors[i]);
        OK(rtc_actor_release(rtc, actors[i]));
    }
}

static void test_restarts(void **state)
{
    (void)state;
    struct rtc_failure f;
    struct rtc_actor_info info;
    rtc_actor a = COUNTER(.max_restarts = 2);
    assert_int_equal(got(CALL(a, "add", rtc_i64(5))), 5);
    assert_int_equal(ASK(a, "incarnation"), 1);
    rtc_ref dies = call(a, "die", NULL), refs[20];
    for (int i = 0; i < 20; i++) /* never run by the first: by the next, in their order */
        refs[i] = CALL(a, "in_turn", rtc_i64(i));
    FAILS(outcome(dies), RTC_E_ACTOR_DEAD, "killed by signal 9 (Killed), node");
    OK(rtc_failure_of(rtc, dies, &f));
    assert_int_equal(f.ran, RTC_RAN_YES);
    assert_int_equal(f.signal, SIGKILL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(got(refs[i]), i);
    OK(rtc_release(rtc, dies));
    assert_int_equal(ASK(a, "total"), 0);
    assert_int_equal(ASK(a, "incarnation"), 2);
    OK(rtc_actor_kill(rtc, a, RTC_KILL_RESTART));
    for (int64_t x = 0; x != 3;) { /* a call that the kill interrupts says so */
        rtc_ref ref = call(a, "incarnation", NULL);
        int rc = rtc_get_i64(rtc, ref, RTC_S(20), &x);
        assert_true(rc == 0 || rc == RTC_E_ACTOR_DEAD);
        OK(rtc_release(rtc, ref));
    }
    OK(rtc_actor_info(rtc, a, &info));
    assert_int_equal(info.state, RTC_ACTOR_ALIVE);
    assert_int_equal(info.incarnation, 3);
    assert_int_equal(info.cause, RTC_CAUSE_KILLED);
    assert_int_equal(info.pid, ASK(a, "pid"));
    dies = CALL(a, "quit", rtc_i64(7));
    rtc_ref never = CALL(a, "add", rtc_i64(1));
    FAILS(outcome(dies), RTC_E_ACTOR_DEAD, "exited with status 7");
    FAILS(outcome(never), RTC_E_ACTOR_DEAD, "is dead: its process exited with status 7");
    OK(rtc_failure_of(rtc, never, &f));
    assert_int_equal(f.ran, RTC_RAN_NO);
    OK(rtc_release(rtc, dies));
    OK(rtc_release(rtc, never));
    OK(rtc_actor_release(rtc, a));

    a = COUNTER(.max_restarts = 5, .call_retries = 1); /* at least once */
    dies = call(a, "die", NULL);
    rtc_ref after = CALL(a, "mark", rtc_i64(50));
    FAILS(outcome(dies), RTC_E_ACTOR_DEAD, "killed by signal 9");
    OK(rtc_failure_of(rtc, dies, &f));
    assert_int_equal(f.attempts, 1);
    assert_int_equal(got(after), 50);
    assert_int_equal(tally->count[50], 1);
    assert_int_equal(ASK(a, "incarnation"), 3);
    OK(rtc_release(rtc, dies));
    OK(rtc_actor_release(rtc, a));
}

/* ---- Supervision ---- */
static struct rtc_down downs[8];
static int n_downs;
static void on_down(struct rtc *r, const struct rtc_down *down, void *arg)
{
    assert_ptr_equal(r, rtc);
    assert_int_equal(*(int *)arg, 17);
    downs[n_downs++] = *down;
}

static void wait_downs(int n)
{
    while (n_downs < n)
        OK(rtc_poll(rtc, RTC_S(60)));
}

static void test_monitors(void **state)
{
    (void)state;
    int arg = 17;
    uint64_t first, second, third;
    n_downs = 0;
    rtc_actor a = counter(0), b = counter(0);
    OK(rtc_monitor(rtc, a, on_down, &arg, &first));
    OK(rtc_monitor(rtc, a, on_down, &arg, &second));
    OK(rtc_monitor(rtc, b, on_down, &arg, &third));
    OK(rtc_demonitor(rtc, second));
    FAILS(rtc_demonitor(rtc, second), RTC_E_NOT_FOUND, "no monitor");
    OK(rtc_actor_call(rtc, a, "die", NULL, NULL, NULL));
    wait_downs(1);
    assert_int_equal(downs[0].monitor, first);
    assert_int_equal(downs[0].info.state, RTC_ACTOR_DEAD);
    assert_int_equal(downs[0].info.cause, RTC_CAUSE_SIGNAL);
    assert_int_equal(downs[0].info.signal, SIGKILL);
    assert_non_null(strstr(downs[0].info.text, "killed by signal 9 (Killed)"));
    OK(rtc_monitor(rtc, a, on_down, &arg, &first)); /* of one that is dead already */
    wait_downs(2);
    OK(rtc_actor_stop(rtc, b));
    wait_downs(3);
    assert_int_equal(downs[2].monitor, third);
    assert_int_equal(downs[2].info.cause, RTC_CAUSE_STOPPED);
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, b));

    n_downs = 0; /* links */
    rtc_actor c[3] = {counter(0), counter(0), counter(0)};
    for (int i = 0; i < 3; i++) {
        OK(rtc_actor_ready(rtc, c[i], RTC_S(20)));
        OK(rtc_monitor(rtc, c[i], on_down, &arg, NULL));
    }
    OK(rtc_link(rtc, c[0], c[1]));
    OK(rtc_link(rtc, c[1], c[2]));
    OK(rtc_unlink(rtc, c[1], c[2]));
    FAILS(rtc_link(rtc, c[0], c[0]), RTC_E_INVALID, "linked to itself");
    OK(rtc_actor_kill(rtc, c[0], 0));
    wait_downs(2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(downs[i].info.cause,
                         downs[i].actor.seq == c[0].seq ? RTC_CAUSE_KILLED : RTC_CAUSE_LINK);
    assert_int_equal(ASK(c[2], "total"), 0);
    for (int i = 0; i < 3; i++)
        OK(rtc_actor_release(rtc, c[i]));
    wait_downs(3);
    assert_int_equal(downs[2].info.cause, RTC_CAUSE_HANDLES);
}

/* ---- Inside ---- */
static void test_inside(void **state)
{
    (void)state;
    rtc_actor a = counter(0);
    assert_int_equal(got(CALL(a, "tick", rtc_i64(5))), 1);
    while (ASK(a, "fired") < 6) {
    }
    assert_int_equal(ASK(a, "fired"), 6);
    OK(rtc_actor_release(rtc, a));
}

static void test_threads(void **state)
{
    (void)state;
    rtc_actor a;
    rtc_ref refs[8];
    OK(rtc_actor_create(rtc, "crowd", NULL, RTC_ACTOR_OPTIONS(NEEDS, .threads = 3), &a));
    for (int i = 0; i < 3; i++)
        refs[i] = CALL(a, "meet", rtc_i64(3));
    int64_t sum = 0;
    for (int i = 0; i < 3; i++)
        sum += got(refs[i]);
    assert_int_equal(sum, 6);
    for (int i = 0; i < 3; i++)
        refs[i] = call(a, "hold_open", NULL);
    assert_int_equal(ASK(a, "apart"), 2); /* a group of its own is never behind the others */
    for (int i = 0; i < 3; i++)
        assert_int_equal(got(refs[i]), 1);
    for (int i = 0; i < 8; i++)
        refs[i] = CALL(a, "squares", rtc_i64(20));
    for (int i = 0; i < 8; i++)
        assert_int_equal(got(refs[i]), 2470);
    OK(rtc_actor_stop(rtc, a));
    wait_dead(a);
    OK(rtc_actor_release(rtc, a));
}

static void test_saved(void **state)
{
    (void)state;
    rtc_actor a;
    OK(rtc_actor_create(rtc, "diary", NULL,
                        RTC_ACTOR_OPTIONS(NEEDS, .max_restarts = 3, .call_retries = 1), &a));
    assert_int_equal(got(CALL(a, "note", rtc_i64(5))), 5);
    assert_int_equal(got(CALL(a, "note", rtc_i64(6))), 11);
    OK(rtc_actor_call(rtc, a, "die", NULL, NULL, NULL));
    assert_int_equal(got(CALL(a, "note", rtc_i64(7))), 18);
    assert_int_equal(ASK(a, "loads"), 1);
    OK(rtc_actor_kill(rtc, a, RTC_KILL_RESTART));
    assert_int_equal(got(CALL(a, "note", rtc_i64(1))), 19);
    OK(rtc_actor_release(rtc, a));
    FAILS(rtc_actor_create(rtc, "diary", NULL, RTC_ACTOR_OPTIONS(NEEDS, .threads = 2), &a),
          RTC_E_INVALID, "runs one at a time");
}

/* Those who called and died never say that they have their answers: which are not kept for ever. */
static void test_saved_for_the_dead(void **state)
{
    (void)state;
    rtc_actor a;
    OK(rtc_actor_create(rtc, "diary", NULL,
                        RTC_ACTOR_OPTIONS(NEEDS, .max_restarts = 3, .call_retries = 1), &a));
    for (int i = 0; i < 6; i++) {
        rtc_actor reader = counter(0);
        assert_int_equal(got(CALL(reader, "befriend", rtc_of_actor(a))), 1);
        assert_int_equal(ASK(reader, "read_friend"), 30);
        OK(rtc_actor_kill(rtc, reader, 0));
        OK(rtc_actor_release(rtc, reader));
        assert_int_equal(got(CALL(a, "note", rtc_i64(1))), i + 1);
    }
    assert_int_equal(ASK(a, "loads"), 0);
    OK(rtc_actor_kill(rtc, a, RTC_KILL_RESTART));
    assert_int_equal(got(CALL(a, "note", rtc_i64(1))), 7);
    OK(rtc_actor_release(rtc, a));
}

static void test_deadlocks(void **state)
{
    (void)state;
    rtc_actor a = counter(1), b = counter(2), c = counter(3);
    rtc_ref ref = call(a, "ask_self", NULL);
    FAILS(outcome(ref), RTC_E_TASK_FAILED, "would wait for itself for ever");
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, ref, &f));
    assert_int_equal(f.user_code, RTC_E_DEADLOCK);
    OK(rtc_release(rtc, ref));
    assert_int_equal(got(CALL(a, "befriend", rtc_of_actor(b))), 1);
    assert_int_equal(got(CALL(b, "befriend", rtc_of_actor(c))), 1);
    assert_int_equal(got(CALL(c, "befriend", rtc_of_actor(a))), 1);
    assert_int_equal(ASK(a, "ask_friend"), 2);
    /* a asks b, which asks c, which asks a */
    ref = CALL(b, "befriend", rtc_of_actor(c));
    assert_int_equal(got(ref), 1);
    /* At least one of them is told, and none waits for ever. When they run one after another, which
     * the machine is free to do, there is no circle. */
    int n_deadlocks = 0;
    for (int tries = 0; n_deadlocks == 0 && tries < 1000; tries++) {
        rtc_ref round[3] = {CALL(a, "ask_friend", rtc_str("ask_friend")),
                            CALL(b, "ask_friend", rtc_str("ask_friend")),
                            CALL(c, "ask_friend", rtc_str("ask_friend"))};
        for (int i = 0; i < 3; i++) {
            if (outcome(round[i]) < 0 && strstr(rtc_last_error(), "would wait for itself for ever"))
                n_deadlocks++;
            OK(rtc_release(rtc, round[i]));
        }
    }
    assert_true(n_deadlocks > 0);
    assert_int_equal(ASK(a, "total"), 1);
    rtc_actor all[3] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ASK(all[i], "unfriend"), 1);
        OK(rtc_actor_release(rtc, all[i]));
    }
}

/* ---- Limits ---- */
static void test_limits(void **state)
{
    (void)state;
    rtc_ref refs[10], one;
    rtc_actor a = COUNTER(.mailbox = 3, .mailbox_fail = true);
    OK(rtc_actor_ready(rtc, a, RTC_S(20)));
    refs[0] = CALL(a, "wait_mark", rtc_i64(99));
    refs[1] = call(a, "total", NULL);
    refs[2] = call(a, "total", NULL);
    FAILS(rtc_actor_call(rtc, a, "total", NULL, NULL, &one), RTC_E_AGAIN, "mailbox");
    tally->count[99] = 1;
    for (int i = 0; i < 3; i++)
        outcome(refs[i]);
    OK(rtc_release_many(rtc, refs, 3));
    assert_int_equal(ASK(a, "total"), 0);
    OK(rtc_actor_release(rtc, a));

    a = COUNTER(.mailbox = 2);
    refs[0] = CALL(a, "wait_mark", rtc_i64(99));
    refs[1] = call(a, "total", NULL);
    FAILS(rtc_actor_call(rtc, a, "total", NULL, RTC_CALL_OPTIONS(.submit_timeout = RTC_NO_WAIT),
                         &one),
          RTC_E_AGAIN, "submit_timeout");
    FAILS(
        rtc_actor_call(rtc, a, "total", NULL, RTC_CALL_OPTIONS(.submit_timeout = RTC_MS(20)), &one),
        RTC_E_AGAIN, "submit_timeout");
    tally->count[99] = 1;
    assert_int_equal(ASK(a, "total"), 0); /* waits for room */
    OK(rtc_release_many(rtc, refs, 2));
    tally->count[99] = 0;
    refs[0] = CALL(a, "wait_mark", rtc_i64(99));
    OK(rtc_actor_call(rtc, a, "mark", RTC_ARGS(rtc_i64(60)),
                      RTC_CALL_OPTIONS(.deadline = RTC_MS(20)), &refs[1]));
    FAILS(outcome(refs[1]), RTC_E_DEADLINE, "deadline of the call");
    tally->count[99] = 1;
    assert_int_equal(got(refs[0]), 99);
    assert_int_equal(ASK(a, "total"), 0);
    assert_int_equal(tally->count[60], 0); /* it was dropped from the mailbox */
    OK(rtc_release(rtc, refs[1]));
    OK(rtc_actor_release(rtc, a));
}

static void test_bad_input(void **state)
{
    (void)state;
    rtc_actor a = counter(0), none = {0}, x;
    rtc_ref ref, task;
    FAILS(rtc_actor_create(rtc, "countre", NULL, NULL, &x), RTC_E_UNKNOWN_ACTOR,
          "did you mean \"counter\"");
    FAILS(rtc_actor_create(rtc, "zzz", NULL, NULL, &x), RTC_E_UNKNOWN_ACTOR, "RTC_ACTOR(zzz");
    FAILS(rtc_actor_create(rtc, "counter", NULL, RTC_ACTOR_OPTIONS(.detached = true), &x),
          RTC_E_INVALID, "a detached actor needs a name");
    FAILS(rtc_actor_create(rtc, "counter", NULL, RTC_ACTOR_OPTIONS(.get_if_exists = true), &x),
          RTC_E_INVALID, "get_if_exists needs a name");
    FAILS(rtc_actor_create(rtc, "counter", NULL, RTC_ACTOR_OPTIONS(.max_restarts = -2), &x),
          RTC_E_INVALID, "max_restarts = -2");
    FAILS(rtc_actor_call(rtc, a, "totl", NULL, NULL, &ref), RTC_E_UNKNOWN_METHOD,
          "did you mean \"total\"");
    FAILS(rtc_actor_call(rtc, a, NULL, NULL, NULL, &ref), RTC_E_INVALID, "name of the method");
    FAILS(rtc_actor_call(rtc, a, "add", NULL, NULL, &ref), RTC_E_TYPE, "got only 0 arguments");
    FAILS(rtc_actor_call(rtc, a, "add", RTC_ARGS(rtc_str("five")), NULL, &ref), RTC_E_TYPE,
          "must be i64, but is str");
    FAILS(rtc_actor_call(rtc, a, "add", RTC_ARGS(rtc_i64(1)), RTC_CALL_OPTIONS(.returns = 2), &ref),
          RTC_E_RETURNS, "returns = 2");
    FAILS(rtc_actor_call(rtc, none, "add", RTC_ARGS(rtc_i64(1)), NULL, &ref), RTC_E_INVALID,
          "\"none\" (all zero)");
    OK(rtc_submit(rtc, "actor_square", RTC_ARGS(rtc_i64(2)), NULL, &task));
    FAILS(rtc_actor_call(rtc, (rtc_actor){.seq = task.seq, .client = task.client}, "add",
                         RTC_ARGS(rtc_i64(1)), NULL, &ref),
          RTC_E_INVALID, "not an actor");
    assert_int_equal(got(task), 4);
    ref = call(a, "fail_with", NULL);
    FAILS(outcome(ref), RTC_E_TASK_FAILED, "method \"fail_with\": as it was told");
    struct rtc_failure f;
    OK(rtc_failure_of(rtc, ref, &f));
    assert_int_equal(f.user_code, -42);
    assert_int_equal(f.ran, RTC_RAN_YES);
    assert_string_equal(f.function, "fail_with");
    OK(rtc_release(rtc, ref));
    ref = call(a, "nothing", NULL);
    FAILS(outcome(ref), RTC_E_RETURNS, "0 of the 1 values");
    OK(rtc_release(rtc, ref));
    struct rtc_actor_info info;
    rtc_actor unknown = {.seq = 9999, .client = 77777};
    FAILS(rtc_actor_info(rtc, unknown, &info), RTC_E_NOT_FOUND, "no such actor");
    ref = CALL(unknown, "add", rtc_i64(1));
    FAILS(outcome(ref), RTC_E_ACTOR_DEAD, "no such actor");
    OK(rtc_release(rtc, ref));
    assert_int_equal(ASK(a, "total"), 0);
    OK(rtc_actor_release(rtc, a));
}

/* More calls than may be in flight, with answers that are objects, to a caller that does not read:
 * all of them come. */
static void test_flood(void **state)
{
    (void)state;
    enum { A = 3, N = 4000 };
    static rtc_ref refs[A][N];
    rtc_actor actors[A];
    for (int a = 0; a < A; a++)
        actors[a] = COUNTER(.max_restarts = 0);
    for (int i = 0; i < N; i++) {
        for (int a = 0; a < A; a++) {
            if (i % 8 == 0)
                refs[a][i] = CALL(actors[a], "large", rtc_i64(20000), rtc_i64(1));
            else
                refs[a][i] = CALL(actors[a], "add", rtc_i64(1));
        }
    }
    for (int a = 0; a < A; a++) {
        for (int i = 0; i < N; i++) {
            OK(outcome(refs[a][i]));
            OK(rtc_release(rtc, refs[a][i]));
        }
        assert_int_equal(ASK(actors[a], "total"), N - N / 8);
        OK(rtc_actor_release(rtc, actors[a]));
    }
}

static int setup(void **state)
{
    (void)state;
    snprintf(tally_path, sizeof(tally_path), "/tmp/rtc-test-actor-%d", (int)getpid());
    tally = tally_map(tally_path);
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
    assert_null(rtc);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* nothing is left behind */
    munmap(tally, sizeof(*tally));
    unlink(tally_path);
    return 0;
}

int main(int argc, char **argv)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_last_handle),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_detached),
        cmocka_unit_test(test_constructor),
        cmocka_unit_test(test_stop_kill),
        cmocka_unit_test(test_stop_early),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_monitors),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_saved_for_the_dead),
        cmocka_unit_test(test_deadlocks),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_flood),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
