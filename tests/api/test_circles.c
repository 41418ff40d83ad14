/* Actors that wait for each other with rtc_wait(): who would wait for ever is told, and nobody
 * else. */
#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* needs the four above */
#include <cmocka.h>

#include <rtc/actor.h>

#include "tests/api/check.h"

#define FRIENDS 4

/* ---- In the actors ---- */

struct waiter {
    int64_t total;
};

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ++((struct waiter *)rtc_self(call))->total);
}

/* Asks the actor for its total, and waits for that with rtc_get(). */
static int call_back(struct rtc_call *call)
{
    struct rtc *rtc = rtc_call_rtc(call);
    rtc_actor actor;
    rtc_ref ref;
    int64_t x;
    RTC_TRY(rtc_arg_actor(call, 0, &actor));
    RTC_TRY(rtc_actor_call(rtc, actor, "total", NULL, NULL, &ref));
    int rc = rtc_get_i64(rtc, ref, RTC_FOREVER, &x);
    (void)!rtc_release(rtc, ref);
    return rc < 0 ? rc : rtc_return_i64(call, x);
}

/* Waits for so many, for so long (0: for ever), of pairs method, actor; returns how many were
 * ready. The methods are given this actor's handle. */
static int wait_for(struct rtc_call *call)
{
    struct rtc *rtc = rtc_call_rtc(call);
    int64_t wanted, timeout;
    size_t n = (rtc_arg_count(call) - 2) / 2, ready[FRIENDS], n_ready = 0;
    rtc_ref ref[FRIENDS];
    RTC_TRY(rtc_arg_i64(call, 0, &wanted));
    RTC_TRY(rtc_arg_i64(call, 1, &timeout));
    for (size_t i = 0; i < n; i++) {
        const char *method;
        rtc_actor actor;
        RTC_TRY(rtc_arg_str(call, 2 + 2 * i, &method, NULL));
        RTC_TRY(rtc_arg_actor(call, 3 + 2 * i, &actor));
        RTC_TRY(rtc_actor_call(rtc, actor, method, RTC_ARGS(rtc_of_actor(rtc_self_actor(call))),
                               NULL, &ref[i]));
    }
    int rc =
        rtc_wait(rtc, ref, n, (size_t)wanted, timeout ? timeout : RTC_FOREVER, ready, &n_ready);
    (void)!rtc_release_many(rtc, ref, n);
    return rc < 0 && rc != RTC_E_TIMEOUT ? rc : rtc_return_i64(call, (int64_t)n_ready);
}

RTC_ACTOR(waiter, struct waiter,
          .methods = {RTC_METHOD(total), RTC_METHOD(call_back), RTC_METHOD(wait_for)});

/* ---- The driver ---- */

static struct rtc *rtc;
static rtc_actor a, b, c;

static int begin(void **state)
{
    (void)state;
    rtc_actor *all[] = {&a, &b, &c};
    static const struct rtc_options none = {.cpus = RTC_NONE};
    for (int i = 0; i < 3; i++) {
        OK(rtc_actor_create(rtc, "waiter", NULL, RTC_ACTOR_OPTIONS(.needs = &none), all[i]));
        OK(rtc_actor_ready(rtc, *all[i], RTC_S(60)));
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    OK(rtc_actor_release(rtc, a));
    OK(rtc_actor_release(rtc, b));
    OK(rtc_actor_release(rtc, c));
    return 0;
}

static int outcome(rtc_ref ref, int64_t *ret_x)
{
    struct rtc_failure failure;
    int rc = rtc_get_i64(rtc, ref, RTC_S(60), ret_x);
    if (rc == RTC_E_TASK_FAILED && rtc_failure_of(rtc, ref, &failure) == 0)
        rc = failure.user_code;
    char text[512];
    snprintf(text, sizeof(text), "%s", rtc_last_error());
    OK(rtc_release(rtc, ref));
    if (rc == RTC_E_DEADLOCK && !strstr(text, "would wait for itself for ever"))
        fail_msg("%s", text);
    return rc;
}

static rtc_ref start(rtc_actor actor, int64_t wanted, int64_t timeout, const char *first,
                     rtc_actor first_of, const char *second, rtc_actor second_of)
{
    rtc_ref ref;
    const struct rtc_value values[] = {rtc_i64(wanted),
                                       rtc_i64(timeout),
                                       rtc_str(first),
                                       rtc_of_actor(first_of),
                                       rtc_str(second ? second : ""),
                                       rtc_of_actor(second_of)};
    const struct rtc_args args = {values, second ? 6 : 4};
    OK(rtc_actor_call(rtc, actor, "wait_for", &args, NULL, &ref));
    return ref;
}

/* Whoever comes first would be enough, and none ever comes. */
static void any_of_all_stuck(void **state)
{
    (void)state;
    int64_t x;
    for (int i = 0; i < 20; i++)
        assert_int_equal(outcome(start(a, 1, 0, "call_back", b, "call_back", c), &x),
                         RTC_E_DEADLOCK);
}

/* One is stuck for as long as this waits, and the other is enough. */
static void any_of_one_free(void **state)
{
    (void)state;
    int64_t x = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(outcome(start(a, 1, 0, "call_back", b, "total", c), &x), 0);
        assert_int_equal(x, 1);
    }
}

/* All are wanted, and one is stuck: that one is told, or who waits for all. */
static void all_of_one_stuck(void **state)
{
    (void)state;
    int told = 0;
    for (int tries = 0; told == 0 && tries < 1000; tries++) {
        int64_t x = 0;
        int rc = outcome(start(a, 2, 0, "call_back", b, "total", c), &x);
        told += rc == RTC_E_DEADLOCK;
        assert_true(rc == RTC_E_DEADLOCK || (rc == 0 && x == 2));
    }
    assert_true(told > 0);
}

/* Two that wait for all of theirs, with rtc_wait() on both sides. */
static void each_for_the_other(void **state)
{
    (void)state;
    int told = 0;
    for (int tries = 0; told == 0 && tries < 1000; tries++) {
        int64_t x = 0;
        rtc_ref other = start(b, 2, 0, "total", a, "total", c);
        rtc_ref ref = start(a, 2, 0, "total", b, "total", c);
        told += outcome(ref, &x) == RTC_E_DEADLOCK;
        told += outcome(other, &x) == RTC_E_DEADLOCK;
    }
    assert_true(told > 0);
}

/* A wait that ends by itself is none for ever: nobody is told, and the other gets its answer. */
static void for_a_while(void **state)
{
    (void)state;
    int64_t x = -1;
    assert_int_equal(outcome(start(a, 1, RTC_MS(30), "call_back", b, NULL, b), &x), 0);
    assert_int_equal(x, 0);
    rtc_ref ref; /* b goes on when a has waited long enough */
    OK(rtc_actor_call(rtc, b, "total", NULL, NULL, &ref));
    assert_int_equal(outcome(ref, &x), 0);
}

static void for_itself(void **state)
{
    (void)state;
    int64_t x = 0;
    assert_int_equal(outcome(start(a, 1, 0, "total", a, NULL, a), &x), RTC_E_DEADLOCK);
    assert_int_equal(outcome(start(a, 2, 0, "total", a, "total", b), &x), RTC_E_DEADLOCK);
    assert_int_equal(outcome(start(a, 1, 0, "total", a, "total", b), &x), 0);
    assert_int_equal(x, 1);
    assert_int_equal(outcome(start(a, 1, 0, "total", a, "call_back", b), &x), RTC_E_DEADLOCK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_of_all_stuck, begin, end),
        cmocka_unit_test_setup_teardown(any_of_one_free, begin, end),
        cmocka_unit_test_setup_teardown(all_of_one_stuck, begin, end),
        cmocka_unit_test_setup_teardown(each_for_the_other, begin, end),
        cmocka_unit_test_setup_teardown(for_a_while, begin, end),
        cmocka_unit_test_setup_teardown(for_itself, begin, end),
    };
    struct rtc_config config = {.address = "embedded", .cpus = 2, .quiet = true};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
