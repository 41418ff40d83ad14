/* Light actors, against an embedded cluster: the functions of rtc/actor.h as they are for them.
 * Built as a user's program: librtc and include/rtc/ alone. */
#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"
#include "tests/api/lights.h"

static struct rtc *rtc;
static char tally_path[64];
static struct tally *tally;
static int drop_at = 3000; /* where ends of this test's lamps are counted */

#define LIGHT .isolation = RTC_LIGHT
static const struct rtc_options no_cpu = {.cpus = RTC_NONE};

static rtc_actor lamp_with(struct rtc_actor_options *options, int64_t total)
{
    rtc_actor actor;
    options->isolation = RTC_LIGHT;
    OK(rtc_actor_create(rtc, "lamp",
                        RTC_ARGS(rtc_i64(total), rtc_str(tally_path), rtc_i64(drop_at)), options,
                        &actor));
    return actor;
}
#define LAMP(from, ...) lamp_with(&(struct rtc_actor_options){__VA_ARGS__}, from)

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

static void wait_tally(int i, int64_t n)
{
    while (__atomic_load_n(&tally->count[i], __ATOMIC_SEQ_CST) < n)
        rtc_poll(rtc, RTC_MS(1)); /* what is under way goes on in calls of rtc */
}

static void clear_tally(void)
{
    memset(tally, 0, sizeof(*tally));
    drop_at++; /* those of earlier tests may still be ending */
}

/* Two that know each other: the first asks the second. */
static void pair(rtc_actor *a, rtc_actor *b)
{
    *a = LAMP(1);
    *b = LAMP(2);
    assert_int_equal(got(CALL(*a, "befriend", rtc_of_actor(*b))), 1);
}

static void drop_pair(rtc_actor a, rtc_actor b)
{
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, b));
}

/* ---- Calls ---- */
static void test_calls(void **state)
{
    (void)state;
    rtc_actor a = LAMP(10);
    assert_int_equal(got(CALL(a, "add", rtc_i64(5))), 15); /* before it lives */
    OK(rtc_actor_ready(rtc, a, RTC_S(20)));
    enum { N = 3000 };
    static rtc_ref refs[N];
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
    assert_int_equal(ASK(a, "total"), 115);
    FAILS(outcome(CALL(a, "fails")), RTC_E_TASK_FAILED, "the lamp is broken");
    FAILS(outcome(CALL(a, "silent")), RTC_E_RETURNS, "0 of the 1 values");
    FAILS(outcome(CALL(a, "nothing")), RTC_E_UNKNOWN_METHOD, "lamp");
    rtc_actor b;
    OK(rtc_actor_create(rtc, "bare", NULL, RTC_ACTOR_OPTIONS(LIGHT), &b));
    assert_int_equal(ASK(b, "plus"), 1);
    drop_pair(a, b);
}

static void test_values(void **state)
{
    (void)state;
    rtc_actor a, b;
    pair(&a, &b);
    const struct rtc_value items[] = {rtc_i64(-5), rtc_f64(2.5),        rtc_bool(true),
                                      rtc_nil(),   rtc_u64(UINT64_MAX), rtc_str("a word")};
    for (size_t i = 0; i < 6; i++) { /* directly, and from one to the other */
        for (int far = 0; far < 2; far++) {
            struct rtc_value v;
            rtc_ref ref =
                far ? CALL(a, "ask_friend", rtc_str("echo"), items[i]) : CALL(a, "echo", items[i]);
            OK(rtc_get(rtc, ref, RTC_S(20), &v));
            assert_int_equal(v.type, items[i].type);
            if (v.type <= RTC_FLOAT && v.type > RTC_BOOL)
                assert_true(v.as.u == items[i].as.u);
            OK(rtc_release(rtc, ref));
        }
    }
    static double numbers[20000]; /* an object of the store */
    numbers[19999] = 7.5;
    struct rtc_array array = {
        .data = numbers, .size = sizeof(numbers), .shape = {20000}, .ndim = 1, .dtype = RTC_F64};
    struct rtc_value list[] = {rtc_str("x"), rtc_i64(3), rtc_of_actor(b)};
    const struct rtc_value large[] = {rtc_nd(&array), rtc_list(list, 3)};
    for (int i = 0; i < 2; i++) {
        struct rtc_value v, item;
        struct rtc_array back;
        rtc_ref ref = CALL(a, "ask_friend", rtc_str("echo"), large[i]);
        OK(rtc_get(rtc, ref, RTC_S(20), &v));
        if (i == 0) {
            OK(rtc_value_array(&v, &back));
            assert_true(back.shape[0] == 20000 && ((const double *)back.data)[19999] == 7.5);
        } else {
            rtc_actor inside;
            OK(rtc_value_at(&v, 2, &item));
            OK(rtc_value_actor(&item, &inside));
            assert_int_equal(ASK(inside, "total"), 2);
        }
        OK(rtc_release(rtc, ref));
    }
    rtc_ref put;
    struct rtc_value big = rtc_nd(&array), v;
    OK(rtc_put(rtc, &big, &put));
    rtc_ref ref = CALL(a, "echo", rtc_of_ref(put));
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    assert_int_equal(v.type, RTC_ARRAY);
    OK(rtc_release(rtc, ref));
    OK(rtc_release(rtc, put));
    drop_pair(a, b);
}

/* ---- Between two ---- */
static void test_between(void **state)
{
    (void)state;
    rtc_actor a, b;
    pair(&a, &b);
    assert_int_equal(got(CALL(a, "ask_friend", rtc_str("add"), rtc_i64(40))), 42);
    FAILS(outcome(CALL(a, "ask_friend", rtc_str("fails"))), RTC_E_TASK_FAILED, "broken");
    FAILS(outcome(CALL(a, "ask_friend", rtc_str("silent"))), RTC_E_TASK_FAILED, "0 of the 1");
    FAILS(outcome(CALL(a, "ask_friend", rtc_str("three"))), RTC_E_TASK_FAILED, "more than the 1");
    assert_int_equal(got(CALL(a, "ask_task", rtc_i64(9))), 81);
    assert_int_equal(got(CALL(a, "impatient")), 42);
    assert_int_equal(ASK(a, "total"), 10);
    assert_int_equal(ASK(a, "misuse"), 8);
    assert_int_equal(got(CALL(a, "children", rtc_i64(2000))), 1999 * 1000);
    FAILS(outcome(CALL(a, "hurry")), RTC_E_TASK_FAILED, "deadline");
    assert_int_equal(ASK(b, "now"), 1); /* too late, and nobody minds */
    assert_int_equal(ASK(b, "total"), 42);
    drop_pair(a, b);
}

/* To actors in processes of their own, and from them. */
static void test_elsewhere(void **state)
{
    (void)state;
    rtc_actor a = LAMP(1), p, q;
    struct rtc_actor_options own = {.needs = &no_cpu},
                             other = {LIGHT, .needs = &(struct rtc_options){.cpus = 0.5}};
    OK(rtc_actor_create(rtc, "lamp", RTC_ARGS(rtc_i64(30)), &own, &p));
    OK(rtc_actor_create(rtc, "lamp", RTC_ARGS(rtc_i64(60)), &other, &q));
    assert_true(ASK(a, "process_id") != ASK(q, "process_id"));
    assert_int_equal(got(CALL(a, "befriend", rtc_of_actor(p))), 1);
    assert_int_equal(got(CALL(a, "ask_friend", rtc_str("add"), rtc_i64(1))), 31);
    assert_int_equal(ASK(a, "watch_friend"), 1);
    OK(rtc_actor_kill(rtc, p, 0));
    while (ASK(a, "cause") != RTC_CAUSE_KILLED)
        ;
    OK(rtc_actor_release(rtc, p));
    /* Another host: its handle is not counted any more. */
    assert_int_equal(got(CALL(q, "add", rtc_i64(1))), 61);
    rtc_ref ref;
    OK(rtc_submit(rtc, "light_user", RTC_ARGS(rtc_of_actor(a)), &no_cpu, &ref));
    assert_int_equal(got(ref), 101);
    OK(rtc_submit(rtc, "light_maker", NULL, &no_cpu, &ref));
    struct rtc_value v;
    rtc_actor made;
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &made));
    assert_int_equal(ASK(made, "total"), 7);
    assert_int_equal(ASK(made, "process_id"), ASK(a, "process_id")); /* one host for a job */
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_stop(rtc, made));
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, q));
}

/* ---- Lives ---- */
static void test_lives(void **state)
{
    (void)state;
    clear_tally();
    rtc_actor a = LAMP(0), b = LAMP(0), c = LAMP(0), d = LAMP(0);
    for (int i = 10; i < 30; i++)
        OK(rtc_actor_call(rtc, a, "mark", RTC_ARGS(rtc_i64(i)), NULL, NULL));
    OK(rtc_actor_release(rtc, a)); /* the last handle: after all of its calls */
    wait_tally(drop_at, 1);
    for (int i = 10; i < 30; i++)
        assert_int_equal(tally->count[i], 1);
    FAILS(outcome(CALL(a, "total")), RTC_E_ACTOR_DEAD, "the last handle");
    rtc_ref last = CALL(b, "mark", rtc_i64(40));
    OK(rtc_actor_stop(rtc, b));
    assert_int_equal(got(last), 40);
    assert_int_equal(wait_dead(b).cause, RTC_CAUSE_STOPPED);
    wait_tally(drop_at, 2);
    rtc_ref after = CALL(b, "total");
    FAILS(outcome(after), RTC_E_ACTOR_DEAD, "it was stopped");
    struct rtc_failure failure;
    OK(rtc_failure_of(rtc, after, &failure));
    assert_int_equal(failure.ran, RTC_RAN_NO);
    OK(rtc_actor_ready(rtc, c, RTC_S(20)));
    OK(rtc_actor_kill(rtc, c, 0));
    assert_int_equal(wait_dead(c).cause, RTC_CAUSE_KILLED);
    FAILS(rtc_actor_ready(rtc, c, RTC_S(20)), RTC_E_ACTOR_DEAD, "killed");
    assert_int_equal(ASK(d, "leave"), 1);
    assert_int_equal(wait_dead(d).cause, RTC_CAUSE_STOPPED);
    wait_tally(drop_at, 3); /* a kill drops nothing */
    OK(rtc_actor_stop(rtc, d));
    OK(rtc_actor_kill(rtc, d, 0));
    OK(rtc_actor_release(rtc, d));
    OK(rtc_actor_release(rtc, c));
    OK(rtc_actor_release(rtc, b));
}

static void test_constructor(void **state)
{
    (void)state;
    rtc_actor a = LAMP(-1);
    rtc_ref early = CALL(a, "total");
    FAILS(rtc_actor_ready(rtc, a, RTC_S(20)), RTC_E_TASK_FAILED, "no lamp for minus one");
    FAILS(outcome(early), RTC_E_ACTOR_DEAD, "no lamp for minus one");
    struct rtc_actor_info info = wait_dead(a);
    assert_int_equal(info.cause, RTC_CAUSE_CONSTRUCTOR);
    assert_int_equal(info.user_code, -77);
    OK(rtc_actor_release(rtc, a));
}

static void test_handles(void **state)
{
    (void)state;
    rtc_actor a, b, self;
    pair(&a, &b);
    struct rtc_value v;
    rtc_ref ref = CALL(a, "who");
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &self));
    assert_memory_equal(&self, &a, sizeof(a));
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_retain(rtc, b));
    OK(rtc_actor_release(rtc, b));
    OK(rtc_actor_release(rtc, b)); /* the friend's is left */
    assert_int_equal(got(CALL(a, "ask_friend", rtc_str("total"))), 2);
    assert_int_equal(ASK(a, "unfriend"), 1);
    assert_int_equal(wait_dead(b).cause, RTC_CAUSE_HANDLES);
    FAILS(rtc_actor_retain(rtc, b), RTC_E_ACTOR_DEAD, "last handle");
    OK(rtc_actor_stop(rtc, a)); /* its handle was given out, and is not counted any more */
    assert_int_equal(wait_dead(a).cause, RTC_CAUSE_STOPPED);
}

static void test_later(void **state)
{
    (void)state;
    rtc_actor a = LAMP(0);
    rtc_ref waits = CALL(a, "later");
    assert_int_equal(ASK(a, "now"), 1);
    assert_int_equal(got(waits), 42);
    rtc_ref broken = CALL(a, "later");
    assert_int_equal(ASK(a, "total"), 0);
    OK(rtc_actor_call(rtc, a, "tick", RTC_ARGS(rtc_i64(20)), NULL, NULL));
    while (ASK(a, "total") < 21)
        ;
    assert_int_equal(ASK(a, "tick_later"), 1);
    while (ASK(a, "total") < 22)
        ;
    OK(rtc_actor_kill(rtc, a, 0));
    FAILS(outcome(broken), RTC_E_ACTOR_DEAD, "killed");
    struct rtc_failure failure;
    OK(rtc_failure_of(rtc, broken, &failure));
    assert_int_equal(failure.ran, RTC_RAN_YES);
    rtc_actor b, c;
    pair(&b, &c);
    rtc_ref asked = CALL(b, "ask_friend", rtc_str("later"));
    while (ASK(c, "total") != 2)
        ;
    OK(rtc_actor_kill(rtc, c, 0));
    FAILS(outcome(asked), RTC_E_TASK_FAILED, "dead");
    drop_pair(b, c);
    OK(rtc_actor_release(rtc, a));
}

/* ---- Supervision ---- */
struct told {
    int n;
    struct rtc_down down;
};

static void tell(struct rtc *r, const struct rtc_down *down, void *arg)
{
    struct told *told = arg;
    (void)r;
    told->n++;
    told->down = *down;
}

static void wait_told(struct told *told)
{
    while (!told->n)
        rtc_poll(rtc, RTC_MS(100));
}

static void test_monitors(void **state)
{
    (void)state;
    enum { N = 300 };
    static struct told told[N];
    static rtc_actor many[N];
    uint64_t number;
    memset(told, 0, sizeof(told));
    for (int i = 0; i < N; i++) {
        many[i] = LAMP(i);
        OK(rtc_monitor(rtc, many[i], tell, &told[i], &number));
        if (i % 3 == 2)
            OK(rtc_demonitor(rtc, number));
    }
    FAILS(rtc_demonitor(rtc, number), RTC_E_NOT_FOUND, "no monitor");
    for (int i = 0; i < N; i++)
        OK(i % 2 ? rtc_actor_kill(rtc, many[i], 0) : rtc_actor_stop(rtc, many[i]));
    for (int i = 0; i < N; i++) {
        if (i % 3 == 2)
            continue;
        wait_told(&told[i]);
        assert_int_equal(told[i].down.info.cause, i % 2 ? RTC_CAUSE_KILLED : RTC_CAUSE_STOPPED);
        assert_memory_equal(&told[i].down.actor, &many[i], sizeof(many[i]));
    }
    struct told late = {0};
    OK(rtc_monitor(rtc, many[1], tell, &late, NULL)); /* dead already */
    wait_told(&late);
    assert_int_equal(late.down.info.state, RTC_ACTOR_DEAD);
    for (int i = 0; i < N; i++) {
        assert_int_equal(told[i].n, i % 3 != 2);
        OK(rtc_actor_release(rtc, many[i]));
    }
    rtc_actor a, b;
    pair(&a, &b);
    assert_int_equal(ASK(a, "watch_friend"), 1);
    assert_int_equal(ASK(a, "unwatch_friend"), 0);
    assert_int_equal(ASK(a, "watch_friend"), 1);
    OK(rtc_actor_kill(rtc, b, 0));
    while (ASK(a, "cause") != RTC_CAUSE_KILLED)
        ;
    drop_pair(a, b);
}

static void test_links(void **state)
{
    (void)state;
    rtc_actor a, b, c = LAMP(0), d = LAMP(0), p;
    pair(&a, &b);
    assert_int_equal(ASK(a, "link_friend"), 1);
    OK(rtc_link(rtc, b, c));
    OK(rtc_link(rtc, c, d));
    assert_int_equal(ASK(c, "total"), 0);
    OK(rtc_unlink(rtc, c, d));
    assert_int_equal(ASK(c, "total"), 0);
    assert_int_equal(ASK(b, "total"), 2);
    OK(rtc_actor_kill(rtc, a, 0));
    assert_int_equal(wait_dead(a).cause, RTC_CAUSE_KILLED);
    assert_int_equal(wait_dead(b).cause, RTC_CAUSE_LINK);
    assert_int_equal(wait_dead(c).cause, RTC_CAUSE_LINK);
    assert_int_equal(ASK(d, "total"), 0);
    OK(rtc_actor_create(rtc, "lamp", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &p));
    FAILS(rtc_link(rtc, d, p), RTC_E_UNSUPPORTED, "one host");
    FAILS(rtc_link(rtc, d, d), RTC_E_INVALID, "itself");
    OK(rtc_actor_release(rtc, p));
    drop_pair(a, b);
    drop_pair(c, d);
}

static void test_mailbox(void **state)
{
    (void)state;
    rtc_actor a = LAMP(0), b = LAMP(0, .mailbox = 16),
              c = LAMP(0, .mailbox = 16, .mailbox_fail = true);
    enum { N = 20000 };
    assert_int_equal(got(CALL(a, "befriend", rtc_of_actor(b))), 1);
    assert_int_equal(got(CALL(a, "flood", rtc_i64(N))), 0); /* muted, not refused */
    while (ASK(b, "total") < N)
        ;
    assert_int_equal(ASK(b, "total"), N);
    assert_int_equal(ASK(a, "unfriend"), 1);
    assert_int_equal(got(CALL(a, "befriend", rtc_of_actor(c))), 1);
    int64_t refused = got(CALL(a, "flood", rtc_i64(N)));
    int64_t done = 0;
    do { /* it refuses us too */
        rtc_ref ref = call(c, "total", NULL);
        int rc = rtc_get_i64(rtc, ref, RTC_S(20), &done);
        assert_true(rc == 0 || rc == RTC_E_AGAIN);
        OK(rtc_release(rtc, ref));
    } while (done < N - refused);
    assert_int_equal(done, N - refused);
    OK(rtc_actor_release(rtc, c));
    drop_pair(a, b);
}

/* ---- Names ---- */
static void test_names(void **state)
{
    (void)state;
    clear_tally();
    rtc_actor a = LAMP(5, .name = "beacon", .max_restarts = 1), b, c, d, p;
    assert_int_equal(got(CALL(a, "add", rtc_i64(1))), 6);
    OK(rtc_actor_ready(rtc, a, RTC_S(20)));
    OK(rtc_actor_find(rtc, NULL, "beacon", 0, &b));
    assert_int_equal(ASK(b, "total"), 6);
    OK(rtc_actor_create(rtc, "lamp", NULL, RTC_ACTOR_OPTIONS(LIGHT, .name = "beacon"), &c));
    FAILS(rtc_actor_ready(rtc, c, RTC_S(20)), RTC_E_EXISTS, "beacon");
    OK(rtc_actor_release(rtc, c));
    OK(rtc_actor_create(rtc, "lamp", NULL, /* not of a process actor either */
                        RTC_ACTOR_OPTIONS(.name = "beacon", .needs = &no_cpu), &c));
    FAILS(rtc_actor_ready(rtc, c, RTC_S(20)), RTC_E_EXISTS, "beacon");
    OK(rtc_actor_release(rtc, c));
    OK(rtc_actor_create(rtc, "lamp", NULL,
                        RTC_ACTOR_OPTIONS(LIGHT, .name = "beacon", .get_if_exists = true), &c));
    assert_int_equal(ASK(c, "total"), 6);
    OK(rtc_actor_release(rtc, c));
    /* What it creates lives with it. */
    assert_int_equal(got(CALL(a, "children", rtc_i64(100))), 99 * 50);
    rtc_ref ref = CALL(a, "bear", rtc_i64(3));
    struct rtc_value v;
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &d));
    assert_int_equal(ASK(d, "process_id"), ASK(a, "process_id"));
    assert_int_equal(got(CALL(d, "befriend", rtc_of_actor(a))), 1);
    assert_int_equal(got(CALL(d, "ask_friend", rtc_str("add"), rtc_i64(4))), 10);
    OK(rtc_release(rtc, ref));
    /* It starts again, without them. */
    FAILS(outcome(CALL(a, "crash")), RTC_E_ACTOR_DEAD, "signal 9");
    assert_int_equal(ASK(a, "total"), 5);
    FAILS(outcome(CALL(d, "total")), RTC_E_ACTOR_DEAD, "");
    /* Linked and watched as a process actor is. */
    struct told told = {0};
    OK(rtc_actor_create(rtc, "lamp", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &p));
    rtc_actor e = LAMP(1, .name = "other");
    OK(rtc_actor_ready(rtc, e, RTC_S(20)));
    OK(rtc_link(rtc, p, e));
    OK(rtc_monitor(rtc, e, tell, &told, NULL));
    OK(rtc_actor_kill(rtc, p, 0));
    wait_told(&told);
    assert_int_equal(told.down.info.cause, RTC_CAUSE_LINK);
    OK(rtc_actor_release(rtc, p));
    OK(rtc_actor_release(rtc, e));
    assert_int_equal(tally->count[drop_at], 0);
    assert_int_equal(ASK(a, "leave"), 1); /* its drop runs, and the name is free */
    assert_int_equal(wait_dead(a).cause, RTC_CAUSE_STOPPED);
    wait_tally(drop_at, 1);
    c = LAMP(-1, .name = "beacon");
    FAILS(rtc_actor_ready(rtc, c, RTC_S(20)), RTC_E_TASK_FAILED, "no lamp for minus one");
    OK(rtc_actor_release(rtc, c));
    c = LAMP(8, .name = "beacon");
    assert_int_equal(ASK(c, "total"), 8);
    OK(rtc_actor_release(rtc, c)); /* the last handle ends it */
    wait_tally(drop_at, 2);
    OK(rtc_actor_release(rtc, b));
    OK(rtc_actor_release(rtc, a));
}

/* ---- The host's end ---- */
static void test_host_killed(void **state)
{
    (void)state;
    enum { N = 200, CALLS = 2000 };
    static rtc_actor many[N];
    static rtc_ref refs[CALLS];
    static struct told told[N];
    struct rtc_failure failure;
    int done = 0, dead = 0;
    clear_tally();
    memset(told, 0, sizeof(told));
    for (int i = 0; i < N; i++) {
        many[i] = LAMP(i);
        OK(rtc_monitor(rtc, many[i], tell, &told[i], NULL));
    }
    pid_t host = (pid_t)ASK(many[0], "process_id");
    for (int i = 0; i < CALLS; i++) {
        refs[i] = CALL(many[i % N], "mark", rtc_i64(100 + i));
        if (i == CALLS / 2)
            OK(kill(host, SIGKILL));
    }
    for (int i = 0; i < CALLS; i++) {
        int rc = outcome(refs[i]);
        int64_t ran = tally->count[100 + i];
        assert_true(ran <= 1);
        if (rc == 0) {
            assert_int_equal(ran, 1);
            done++;
        } else {
            assert_int_equal(rc, RTC_E_ACTOR_DEAD);
            assert_non_null(strstr(rtc_last_error(), "host of light actors"));
            assert_non_null(strstr(rtc_last_error(), "signal 9"));
            OK(rtc_failure_of(rtc, refs[i], &failure));
            assert_true(failure.ran == RTC_RAN_UNKNOWN || !ran);
            dead++;
        }
        OK(rtc_release(rtc, refs[i]));
    }
    assert_int_equal(done + dead, CALLS);
    assert_true(dead > 0);
    for (int i = 0; i < N; i++) {
        wait_told(&told[i]);
        assert_int_equal(told[i].n, 1);
        assert_int_equal(told[i].down.info.cause, RTC_CAUSE_SIGNAL);
        assert_int_equal(told[i].down.info.signal, SIGKILL);
        OK(rtc_actor_release(rtc, many[i]));
    }
    struct rtc_actor_info info = wait_dead(many[0]);
    assert_int_equal(info.signal, SIGKILL);
    rtc_actor again = LAMP(5); /* in another host */
    assert_int_equal(ASK(again, "total"), 5);
    assert_true(ASK(again, "process_id") != host);
    FAILS(outcome(CALL(again, "crash")), RTC_E_ACTOR_DEAD, "signal 9");
    rtc_actor third = LAMP(6);
    assert_int_equal(ASK(third, "total"), 6);
    OK(rtc_actor_release(rtc, third));
}

/* Everything at once, drawn from a seed: each call has its one outcome. */
static void test_storm(void **state)
{
    (void)state;
    enum { N = 50, STEPS = 4000 };
    static const char *const methods[] = {"total", "later", "now", "unfriend", "leave", "three"};
    static rtc_ref refs[STEPS];
    rtc_actor lamps[N];
    uint64_t seed = 7;
    int n = 0, outcomes[3] = {0};
    for (int i = 0; i < N; i++)
        lamps[i] = LAMP(i);
    for (int i = 0; i < STEPS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        rtc_actor *a = &lamps[(seed >> 33) % N], b = lamps[(seed >> 40) % N];
        switch ((seed >> 50) % 8) {
        case 0: refs[n++] = CALL(*a, "befriend", rtc_of_actor(b)); break;
        case 1: refs[n++] = CALL(*a, "ask_friend", rtc_str("add"), rtc_i64(i)); break;
        case 2: refs[n++] = CALL(*a, "ask_friend", rtc_str("echo"), rtc_str("a word")); break;
        case 3: refs[n++] = CALL(*a, "ask_friend", rtc_str("later")); break;
        case 4: refs[n++] = CALL(*a, "children", rtc_i64(5)); break;
        case 5: OK(rtc_link(rtc, *a, a == &lamps[0] ? lamps[1] : lamps[0])); break;
        case 6: refs[n++] = call(*a, methods[(seed >> 20) % 6], NULL); break;
        default:
            OK(rtc_actor_kill(rtc, *a, 0)); /* somebody killed may hold it, and would for good */
            OK(rtc_actor_release(rtc, *a));
            *a = LAMP(i);
        }
    }
    for (int i = 0; i < N; i++) {
        OK(rtc_actor_kill(rtc, lamps[i], 0));
        OK(rtc_actor_release(rtc, lamps[i]));
    }
    for (int i = 0; i < n; i++) {
        int rc = outcome(refs[i]);
        if (rc < 0 && rc != RTC_E_ACTOR_DEAD && rc != RTC_E_TASK_FAILED && rc != RTC_E_RETURNS)
            print_message("%s: %s\n", rtc_error_name(rc), rtc_last_error());
        assert_true(rc == 0 || rc == RTC_E_ACTOR_DEAD || rc == RTC_E_TASK_FAILED ||
                    rc == RTC_E_RETURNS);
        outcomes[rc == 0 ? 0 : rc == RTC_E_ACTOR_DEAD ? 1 : 2]++;
        OK(rtc_release(rtc, refs[i]));
    }
    assert_true(outcomes[0] > 0 && outcomes[1] > 0 && outcomes[2] > 0);
}

/* ---- Bad input ---- */
static void test_bad_input(void **state)
{
    (void)state;
    rtc_actor a;
    struct rtc_actor_options options[] = {{LIGHT, .name = "x", .threads = 2},
                                          {LIGHT, .max_restarts = 1},
                                          {LIGHT, .call_retries = 1},
                                          {LIGHT, .threads = 2}};
    for (size_t i = 0; i < 4; i++)
        FAILS(rtc_actor_create(rtc, "lamp", NULL, &options[i], &a), RTC_E_UNSUPPORTED,
              "cannot be a light one");
    FAILS(rtc_actor_create(rtc, "keeper", NULL, RTC_ACTOR_OPTIONS(LIGHT), &a), RTC_E_UNSUPPORTED,
          "`save` in its class and no name");
    FAILS(rtc_actor_create(rtc, "grouped", NULL, RTC_ACTOR_OPTIONS(LIGHT), &a), RTC_E_UNSUPPORTED,
          "groups");
    FAILS(rtc_actor_create(rtc, "lampp", NULL, RTC_ACTOR_OPTIONS(LIGHT), &a), RTC_E_UNKNOWN_ACTOR,
          "lamp");
    FAILS(rtc_actor_create(rtc, "rtc.light", NULL, RTC_ACTOR_OPTIONS(LIGHT), &a),
          RTC_E_UNKNOWN_ACTOR, "rtc.light");
    a = LAMP(3);
    rtc_ref ref;
    OK(rtc_actor_call(rtc, a, "total", NULL, RTC_CALL_OPTIONS(.stream = true), &ref));
    FAILS(rtc_next(rtc, ref, RTC_S(20), NULL), RTC_E_END, "ended"); /* it yields nothing */
    assert_int_equal(got(ref), 3);
    FAILS(outcome(CALL(a, "declared", rtc_i64(1))), RTC_E_TYPE, "str");
    rtc_actor forged = a; /* nobody has ever lived there */
    forged.pad += 900000;
    FAILS(outcome(call(forged, "total", NULL)), RTC_E_ACTOR_DEAD, "no such actor");
    FAILS(rtc_actor_ready(rtc, forged, RTC_S(20)), RTC_E_ACTOR_DEAD, "no such actor");
    struct rtc_actor_info info;
    OK(rtc_actor_info(rtc, forged, &info));
    assert_int_equal(info.cause, RTC_CAUSE_UNKNOWN);
    FAILS(rtc_actor_call(rtc, a, "rtc.reserve", NULL, NULL, &ref), RTC_E_UNKNOWN_METHOD, "rtc.");
    assert_int_equal(ASK(a, "total"), 3);
    OK(rtc_actor_release(rtc, a));
}

static int setup(void **state)
{
    (void)state;
    snprintf(tally_path, sizeof(tally_path), "/tmp/rtc-lights-%d", (int)getpid());
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
    unlink(tally_path);
    return 0;
}

int main(int argc, char **argv)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_between),  cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_lives),    cmocka_unit_test(test_constructor),
        cmocka_unit_test(test_handles),  cmocka_unit_test(test_later),
        cmocka_unit_test(test_monitors), cmocka_unit_test(test_links),
        cmocka_unit_test(test_mailbox),  cmocka_unit_test(test_host_killed),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_storm),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
