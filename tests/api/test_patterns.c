/* Pool, queue, barrier, supervisor and late answers, against an embedded cluster, as a user's
 * program. */
#include <rtc/patterns.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"

static struct rtc *rtc;

static const struct rtc_options no_cpu = {.cpus = RTC_NONE};
static const struct rtc_actor_options small = {.needs = &no_cpu};

/* ---- The actors ---- */

struct desk {
    struct rtc_promise *held[8];
    int n;
};

static int square(struct rtc_call *call)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    if (x < 0)
        return rtc_fail(call, -7, "%lld is negative", (long long)x);
    return rtc_return_i64(call, x * x);
}

static int die(struct rtc_call *call)
{
    (void)call;
    kill(getpid(), SIGKILL);
    return 0;
}

static int later(struct rtc_call *call)
{
    struct desk *self = rtc_self(call);
    return rtc_defer(call, &self->held[self->n++]);
}

static int answer_all(struct rtc_call *call)
{
    struct desk *self = rtc_self(call);
    for (int i = 0; i < self->n; i++) {
        struct rtc_value value = rtc_i64(i);
        RTC_TRY(i % 2 ? rtc_promise_fail(self->held[i], -9, "not you")
                      : rtc_promise_return(self->held[i], &value));
    }
    self->n = 0;
    return rtc_return_i64(call, 0);
}

static int both(struct rtc_call *call)
{
    struct rtc_promise *promise;
    struct rtc_value value = rtc_i64(1);
    RTC_TRY(rtc_defer(call, &promise));
    return rtc_promise_return(promise, &value);
}

RTC_ACTOR(desk, struct desk,
          .methods = {RTC_METHOD(square), RTC_METHOD(die), RTC_METHOD(later),
                      RTC_METHOD(answer_all), RTC_METHOD(both)});

static int no_init(struct rtc_call *call)
{
    return rtc_fail(call, -3, "as it is meant to");
}

RTC_ACTOR(broken, int, .init = no_init, .methods = {RTC_METHOD(square)});

static rtc_actor new_desk(void)
{
    rtc_actor actor;
    OK(rtc_actor_create(rtc, "desk", NULL, &small, &actor));
    return actor;
}

/* ---- Late answers ---- */

static void promises(void **state)
{
    (void)state;
    rtc_actor desk = new_desk();
    rtc_ref refs[4], end;
    for (int i = 0; i < 4; i++)
        OK(rtc_actor_call(rtc, desk, "later", NULL, NULL, &refs[i]));
    OK(rtc_actor_call(rtc, desk, "answer_all", NULL, NULL, &end));
    for (int i = 0; i < 4; i++) {
        int64_t x = -1;
        if (i % 2)
            FAILS(rtc_get_i64(rtc, refs[i], RTC_S(20), &x), RTC_E_TASK_FAILED, "not you");
        else
            OK(rtc_get_i64(rtc, refs[i], RTC_S(20), &x));
        assert_int_equal(x, i % 2 ? -1 : i);
        OK(rtc_release(rtc, refs[i]));
    }
    OK(rtc_release(rtc, end));
    OK(rtc_actor_call(rtc, desk, "both", NULL, NULL, &end));
    FAILS(rtc_get(rtc, end, RTC_S(20), NULL), RTC_E_TASK_FAILED, "cannot answer it itself");
    OK(rtc_release(rtc, end));
    /* One that it owes when it dies. */
    OK(rtc_actor_call(rtc, desk, "later", NULL, NULL, &refs[0]));
    OK(rtc_actor_call(rtc, desk, "die", NULL, NULL, NULL));
    FAILS(rtc_get(rtc, refs[0], RTC_S(20), NULL), RTC_E_ACTOR_DEAD, "killed by signal 9");
    OK(rtc_release(rtc, refs[0]));
    OK(rtc_actor_release(rtc, desk));
}

/* ---- Pool ---- */

static struct rtc_pool *new_pool(rtc_actor *desks, size_t n)
{
    struct rtc_pool *pool;
    for (size_t i = 0; i < n; i++)
        desks[i] = new_desk();
    OK(rtc_pool_create(rtc, desks, n, 0, &pool));
    return pool;
}

static void end_pool(struct rtc_pool *pool, const rtc_actor *desks, size_t n)
{
    rtc_pool_free(pool);
    for (size_t i = 0; i < n; i++)
        OK(rtc_actor_release(rtc, desks[i]));
}

static int sum_in_order(void *arg, size_t i, const struct rtc_value *value)
{
    int64_t x, *sum = arg;
    assert_int_equal(rtc_value_i64(value, &x), 0);
    assert_int_equal(x, i * i);
    *sum += x;
    return i == 90 ? 5 : 0;
}

static void pool(void **state)
{
    (void)state;
    rtc_actor desks[2];
    struct rtc_pool *pool = new_pool(desks, 2);
    struct rtc_value value, numbers[100];
    struct rtc_args args[100];
    int64_t x, sum = 0;
    size_t at;
    for (int i = 0; i < 100; i++) {
        numbers[i] = rtc_i64(i);
        args[i] = (struct rtc_args){&numbers[i], 1};
        OK(rtc_pool_submit(pool, "square", &args[i]));
    }
    for (int i = 0; i < 50; i++) {
        OK(rtc_pool_next(pool, RTC_S(20), &value));
        OK(rtc_value_i64(&value, &x));
        assert_int_equal(x, i * i);
    }
    for (int i = 50; i < 100; i++) {
        OK(rtc_pool_next_unordered(pool, RTC_S(20), &at, &value));
        OK(rtc_value_i64(&value, &x));
        assert_int_equal(x, at * at);
        sum += (int64_t)at;
    }
    assert_int_equal(sum, (50 + 99) * 25);
    FAILS(rtc_pool_next(pool, 0, &value), RTC_E_END, "nothing was submitted");
    sum = 0;
    OK(rtc_pool_map(pool, "square", args, 90, sum_in_order, &sum));
    assert_int_equal(sum, 89 * 90 * 179 / 6);
    OK(rtc_pool_map_unordered(pool, "square", args, 90, sum_in_order, &sum));
    assert_int_equal(rtc_pool_map(pool, "square", args, 100, sum_in_order, &sum), 5);
    end_pool(pool, desks, 2);
}

/* A failure is one call's; the death of an actor those at it; the rest goes on with the others. */
static void pool_with_losses(void **state)
{
    (void)state;
    rtc_actor desks[2];
    struct rtc_pool *pool = new_pool(desks, 2);
    struct rtc_value value;
    int lost = 0;
    OK(rtc_pool_submit(pool, "square", RTC_ARGS(rtc_i64(-1))));
    FAILS(rtc_pool_next(pool, RTC_S(20), &value), RTC_E_TASK_FAILED, "is negative");
    OK(rtc_pool_submit(pool, "die", NULL));
    for (int i = 0; i < 30; i++)
        OK(rtc_pool_submit(pool, "square", RTC_ARGS(rtc_i64(i))));
    for (int i = 0; i < 31; i++) {
        int rc = rtc_pool_next(pool, RTC_S(20), &value);
        assert_true(rc == 0 || rc == RTC_E_ACTOR_DEAD);
        lost += rc != 0;
    }
    assert_true(lost >= 1 && lost <= 2); /* and the one behind it */
    OK(rtc_pool_submit(pool, "die", NULL));
    assert_int_equal(rtc_pool_next(pool, RTC_S(20), &value), RTC_E_ACTOR_DEAD);
    FAILS(rtc_pool_submit(pool, "square", RTC_ARGS(rtc_i64(1))), RTC_E_ACTOR_DEAD, "all 2 actors");
    end_pool(pool, desks, 2);
    FAILS(rtc_pool_create(rtc, desks, 0, 0, &pool), RTC_E_INVALID, "at least one actor");
}

/* ---- Queue ---- */

RTC_TASK(put_ten)
{
    rtc_actor queue;
    RTC_TRY(rtc_arg_actor(call, 0, &queue));
    for (int i = 0; i < 10; i++) {
        struct rtc_value item = rtc_i64(i);
        RTC_TRY(rtc_queue_put(rtc_call_rtc(call), queue, &item, RTC_S(20)));
    }
    return rtc_return_i64(call, 10);
}

static void queue(void **state)
{
    (void)state;
    rtc_actor queue;
    rtc_ref ref, task;
    struct rtc_value item = rtc_i64(7);
    uint64_t size;
    int64_t x;
    OK(rtc_queue_create(rtc, 3, &small, &queue));
    FAILS(rtc_queue_get(rtc, queue, 0, &ref, &item), RTC_E_TIMEOUT, "was empty");
    FAILS(rtc_queue_get(rtc, queue, RTC_MS(5), &ref, &item), RTC_E_TIMEOUT, "was empty");
    item = rtc_i64(7);
    for (int i = 0; i < 3; i++)
        OK(rtc_queue_put(rtc, queue, &item, 0));
    OK(rtc_queue_size(rtc, queue, &size));
    assert_int_equal(size, 3);
    FAILS(rtc_queue_put(rtc, queue, &item, 0), RTC_E_TIMEOUT, "was full");
    FAILS(rtc_queue_put(rtc, queue, &item, RTC_MS(5)), RTC_E_TIMEOUT, "was full");
    /* Its first puts wait for room, our gets for items; the order stays. */
    OK(rtc_submit(rtc, "put_ten", RTC_ARGS(rtc_of_actor(queue)), NULL, &task));
    for (int i = 0; i < 13; i++) {
        OK(rtc_queue_get(rtc, queue, RTC_S(20), &ref, &item));
        OK(rtc_value_i64(&item, &x));
        assert_int_equal(x, i < 3 ? 7 : i - 3);
        OK(rtc_release(rtc, ref));
    }
    OK(rtc_get(rtc, task, RTC_S(20), NULL));
    OK(rtc_release(rtc, task));
    static char large[200000];
    memset(large, 'x', sizeof(large));
    item = rtc_bytes(large, sizeof(large));
    OK(rtc_queue_put(rtc, queue, &item, RTC_S(20)));
    OK(rtc_queue_get(rtc, queue, RTC_S(20), &ref, &item));
    const void *data;
    size_t n;
    OK(rtc_value_bytes(&item, &data, &n));
    assert_int_equal(n, sizeof(large));
    assert_memory_equal(data, large, sizeof(large));
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_release(rtc, queue));
}

/* ---- Barrier ---- */

RTC_TASK(meet)
{
    rtc_actor barrier;
    uint64_t round = 0;
    RTC_TRY(rtc_arg_actor(call, 0, &barrier));
    for (int i = 0; i < 5; i++)
        RTC_TRY(rtc_barrier_wait(rtc_call_rtc(call), barrier, RTC_S(20), &round));
    return rtc_return_i64(call, (int64_t)round);
}

static void barrier(void **state)
{
    (void)state;
    rtc_actor barrier;
    rtc_ref tasks[2];
    uint64_t round;
    int64_t x;
    OK(rtc_barrier_create(rtc, 3, &small, &barrier));
    FAILS(rtc_barrier_wait(rtc, barrier, RTC_MS(5), &round), RTC_E_TIMEOUT, "not all had come");
    for (int i = 0; i < 2; i++)
        OK(rtc_submit(rtc, "meet", RTC_ARGS(rtc_of_actor(barrier)), &no_cpu, &tasks[i]));
    for (uint64_t i = 0; i < 5; i++) {
        OK(rtc_barrier_wait(rtc, barrier, RTC_S(20), &round));
        assert_int_equal(round, i);
    }
    for (int i = 0; i < 2; i++) {
        OK(rtc_get_i64(rtc, tasks[i], RTC_S(20), &x));
        assert_int_equal(x, 4);
        OK(rtc_release(rtc, tasks[i]));
    }
    OK(rtc_actor_release(rtc, barrier));
    OK(rtc_barrier_create(rtc, 0, &small, &barrier));
    FAILS(rtc_actor_ready(rtc, barrier, RTC_S(20)), RTC_E_TASK_FAILED, "a barrier for 0");
    OK(rtc_actor_release(rtc, barrier));
}

/* ---- Supervisor ---- */

struct news {
    int restarts[3], gave_up;
    enum rtc_cause cause;
};

static void on_restart(void *arg, size_t child, rtc_actor actor, const struct rtc_down *why)
{
    struct news *news = arg;
    (void)actor;
    news->restarts[child]++;
    news->cause = why->info.cause;
}

static void on_give_up(void *arg, size_t child, const struct rtc_down *why)
{
    (void)child, (void)why;
    ((struct news *)arg)->gave_up++;
}

#define UNTIL(cond)                                    \
    do {                                               \
        for (int n_ = 0; n_ < 2000; n_++) {            \
            if (cond)                                  \
                break;                                 \
            int rc_ = rtc_poll(rtc, RTC_MS(10));       \
            assert_true(!rc_ || rc_ == RTC_E_TIMEOUT); \
        }                                              \
        assert_true(cond);                             \
    } while (0)

static void kill_child(struct rtc_supervisor *s, size_t i)
{
    rtc_actor actor;
    OK(rtc_supervisor_child(s, i, &actor));
    OK(rtc_actor_call(rtc, actor, "die", NULL, NULL, NULL));
}

static void one_for_one(void **state)
{
    (void)state;
    struct news news = {0};
    struct rtc_child children[] = {{.actor = "desk", .options = &small},
                                   {.actor = "desk", .options = &small, .restart = RTC_TRANSIENT},
                                   {.actor = "desk", .options = &small, .restart = RTC_TEMPORARY}};
    struct rtc_supervisor *s;
    rtc_actor actor;
    OK(rtc_supervisor_start(rtc, children, 3,
                            &(struct rtc_supervisor_options){.intensity = 3,
                                                             .period = RTC_S(3600),
                                                             .on_restart = on_restart,
                                                             .on_give_up = on_give_up,
                                                             .arg = &news},
                            &s));
    kill_child(s, 0);
    UNTIL(news.restarts[0] == 1);
    assert_int_equal(news.cause, RTC_CAUSE_SIGNAL);
    kill_child(s, 1);
    UNTIL(news.restarts[1] == 1);
    kill_child(s, 2);
    UNTIL(rtc_supervisor_child(s, 2, &actor) == RTC_E_ACTOR_DEAD);
    OK(rtc_supervisor_child(s, 1, &actor));
    OK(rtc_actor_stop(rtc, actor));
    UNTIL(rtc_supervisor_child(s, 1, &actor) == RTC_E_ACTOR_DEAD);
    kill_child(s, 0);
    UNTIL(news.restarts[0] == 2);
    kill_child(s, 0); /* the fourth within the hour */
    UNTIL(news.gave_up);
    FAILS(rtc_supervisor_child(s, 0, &actor), RTC_E_ACTOR_DEAD, "gave up");
    assert_int_equal(news.restarts[0] + news.restarts[1] + news.restarts[2], 3);
    OK(rtc_supervisor_stop(&s, RTC_S(20)));
    assert_null(s);
}

static void one_for_all(void **state)
{
    (void)state;
    struct news news = {0};
    struct rtc_actor_options named[3];
    struct rtc_child children[3];
    const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        named[i] = small;
        named[i].name = names[i]; /* so the old one must be gone before the new one comes */
        children[i] = (struct rtc_child){.actor = "desk", .options = &named[i]};
    }
    struct rtc_supervisor *s;
    OK(rtc_supervisor_start(
        rtc, children, 3,
        &(struct rtc_supervisor_options){
            .strategy = RTC_ONE_FOR_ALL, .intensity = 2, .on_restart = on_restart, .arg = &news},
        &s));
    kill_child(s, 1);
    UNTIL(news.restarts[0] == 1 && news.restarts[1] == 1 && news.restarts[2] == 1);
    for (size_t i = 0; i < 3; i++) {
        rtc_actor actor;
        OK(rtc_supervisor_child(s, i, &actor));
        OK(rtc_actor_ready(rtc, actor, RTC_S(20)));
    }
    OK(rtc_supervisor_stop(&s, RTC_S(20)));
}

static void bad_children(void **state)
{
    (void)state;
    struct news news = {0};
    struct rtc_supervisor *s;
    struct rtc_child child = {.actor = "broken", .options = &small};
    OK(rtc_supervisor_start(
        rtc, &child, 1,
        &(struct rtc_supervisor_options){.intensity = 2, .on_give_up = on_give_up, .arg = &news},
        &s));
    UNTIL(news.gave_up);
    OK(rtc_supervisor_stop(&s, RTC_S(20)));
    child.actor = "nobody";
    FAILS(rtc_supervisor_start(rtc, &child, 1, NULL, &s), RTC_E_UNKNOWN_ACTOR, "nobody");
    FAILS(rtc_supervisor_start(rtc, &child, 0, NULL, &s), RTC_E_INVALID, "at least one child");
}

/* ---- Progress ---- */

RTC_TASK(count_up)
{
    for (int i = 1; i <= 1000; i++)
        RTC_TRY(rtc_progress_every(call, RTC_S(3600), i / 1000.0, NULL));
    return rtc_return_i64(call, 0);
}

static void count_progress(void *arg, rtc_ref task, double fraction, const char *text)
{
    (void)task, (void)text;
    int *n = arg;
    *n += fraction == 1 ? 100 : 1;
}

static void progress(void **state)
{
    (void)state;
    int n = 0;
    rtc_ref ref;
    OK(rtc_on_progress(rtc, count_progress, &n));
    OK(rtc_submit(rtc, "count_up", NULL, NULL, &ref));
    OK(rtc_get(rtc, ref, RTC_S(20), NULL));
    UNTIL(n >= 100);
    assert_int_equal(n, 101); /* the first and the last */
    OK(rtc_on_progress(rtc, NULL, NULL));
    OK(rtc_release(rtc, ref));
}

int main(int argc, char **argv)
{
    const struct rtc_config config = {.address = "embedded", .quiet = true, .cpus = 4};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises),    cmocka_unit_test(pool),
        cmocka_unit_test(queue),       cmocka_unit_test(pool_with_losses),
        cmocka_unit_test(barrier),     cmocka_unit_test(one_for_one),
        cmocka_unit_test(one_for_all), cmocka_unit_test(bad_children),
        cmocka_unit_test(progress),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    RTC_CHECK(rtc_shutdown(&rtc));
    return failed;
}
