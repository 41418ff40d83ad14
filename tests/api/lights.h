/* Light actors of test_light_actor.c: run in its executors. */
#ifndef TESTS_API_LIGHTS_H
#define TESTS_API_LIGHTS_H

#include <rtc/actor.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/api/tally.h"

struct lamp {
    int64_t total, seen;
    bool has_friend;
    rtc_actor friend;
    struct tally *tally;
    int64_t drop_at;
    struct rtc *rtc;
    struct rtc_promise *promise;
    int64_t monitor_cause;
    uint64_t monitor;
};

/* (total, path of the tally, where it counts its end); a total of -1 fails. */
static int lamp_init(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    const char *path;
    self->rtc = rtc_call_rtc(call);
    if (rtc_arg_count(call) > 0)
        RTC_TRY(rtc_arg_i64(call, 0, &self->total));
    if (rtc_arg_count(call) > 1) {
        RTC_TRY(rtc_arg_str(call, 1, &path, NULL));
        self->tally = tally_map(path);
    }
    if (rtc_arg_count(call) > 2)
        RTC_TRY(rtc_arg_i64(call, 2, &self->drop_at));
    if (self->total == -1)
        return rtc_fail(call, -77, "no lamp for minus one");
    return 0;
}

static void lamp_drop(void *state)
{
    struct lamp *self = state;
    if (self->tally) {
        __atomic_add_fetch(&self->tally->count[self->drop_at], 1, __ATOMIC_SEQ_CST);
        munmap(self->tally, sizeof(*self->tally));
    }
}

static int add(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, self->total += x);
}

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct lamp *)rtc_self(call))->total);
}

/* Its argument is how many came before it. */
static int in_turn(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    if (x != self->seen)
        return rtc_fail(call, -3, "call %lld came as number %lld", (long long)x,
                        (long long)self->seen);
    return rtc_return_i64(call, self->seen++);
}

static int echo(struct rtc_call *call)
{
    struct rtc_value v;
    RTC_TRY(rtc_arg(call, 0, &v));
    return rtc_return(call, &v);
}

static int three(struct rtc_call *call)
{
    for (int i = 0; i < 3; i++)
        RTC_TRY(rtc_return_i64(call, i));
    return 0;
}

static int fails(struct rtc_call *call)
{
    return rtc_fail(call, -9, "the lamp is broken");
}

static int silent(struct rtc_call *call)
{
    (void)call;
    return 0;
}

static int mark(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    if (self->tally)
        __atomic_add_fetch(&self->tally->count[i], 1, __ATOMIC_SEQ_CST);
    return rtc_return_i64(call, i);
}

static int process_id(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

static int who(struct rtc_call *call)
{
    struct rtc_value self = rtc_of_actor(rtc_self_actor(call));
    return rtc_return(call, &self);
}

static int leave(struct rtc_call *call)
{
    RTC_TRY(rtc_self_stop(call));
    return rtc_return_i64(call, 1);
}

static int befriend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->friend));
    RTC_TRY(rtc_actor_retain(self->rtc, self->friend));
    self->has_friend = true;
    return rtc_return_i64(call, 1);
}

static int unfriend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    RTC_TRY(rtc_actor_release(self->rtc, self->friend));
    self->has_friend = false;
    return rtc_return_i64(call, 1);
}

/* What the friend answers is the answer. */
static void pass_on(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct rtc_promise *promise = arg;
    struct rtc_value v;
    int rc = rtc_get(rtc, ref, 0, &v);
    if (rc < 0)
        rtc_promise_fail(promise, rc, rtc_last_error());
    else
        rtc_promise_return(promise, &v);
}

/* (method, arguments …) of the friend. */
static int ask_friend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc_promise *promise;
    const char *method;
    struct rtc_value args[8];
    size_t n = rtc_arg_count(call) - 1;
    rtc_ref ref;
    RTC_TRY(rtc_arg_str(call, 0, &method, NULL));
    for (size_t i = 0; i < n; i++)
        RTC_TRY(rtc_arg(call, i + 1, &args[i]));
    struct rtc_args list = {args, n};
    RTC_TRY(rtc_actor_call(self->rtc, self->friend, method, &list, NULL, &ref));
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(self->rtc, ref, pass_on, promise));
    return rtc_release(self->rtc, ref);
}

/* The same for a task. */
static int ask_task(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc_promise *promise;
    static const struct rtc_options no_cpus = {.cpus = RTC_NONE};
    rtc_ref ref;
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    RTC_TRY(rtc_submit(self->rtc, "light_square", RTC_ARGS(rtc_i64(x)), &no_cpus, &ref));
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(self->rtc, ref, pass_on, promise));
    return rtc_release(self->rtc, ref);
}

/* Everything that would wait is refused, and nothing is lost by that. */
static int impatient(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc_promise *promise;
    struct rtc *rtc = self->rtc;
    static const struct rtc_options no_cpus = {.cpus = RTC_NONE};
    rtc_ref ref, task;
    struct rtc_value v;
    size_t ready, n;
    int64_t score = 0;
    RTC_TRY(rtc_actor_call(rtc, self->friend, "total", NULL, NULL, &ref));
    RTC_TRY(rtc_submit(rtc, "light_square", RTC_ARGS(rtc_i64(3)), &no_cpus, &task));
    score += rtc_get(rtc, ref, RTC_S(5), &v) == RTC_E_UNSUPPORTED &&
             strstr(rtc_last_error(), "rtc_then") != NULL;
    score += rtc_get(rtc, task, RTC_S(5), &v) == RTC_E_UNSUPPORTED;
    score += rtc_get(rtc, ref, 0, &v) == RTC_E_TIMEOUT;
    score += rtc_wait(rtc, &task, 1, 1, RTC_S(5), &ready, &n) == RTC_E_UNSUPPORTED;
    RTC_TRY(rtc_release(rtc, task));
    score += rtc_get_many(rtc, &ref, 1, RTC_S(5), &v) == RTC_E_UNSUPPORTED;
    score += rtc_actor_ready(rtc, self->friend, RTC_S(5)) == RTC_E_UNSUPPORTED;
    score += rtc_poll(rtc, RTC_S(5)) == RTC_E_UNSUPPORTED;
    score += rtc_flush(rtc, RTC_S(5)) == RTC_E_UNSUPPORTED;
    score += rtc_actor_find(rtc, NULL, "nobody", RTC_S(5), &(rtc_actor){0}) == RTC_E_UNSUPPORTED;
    score += rtc_newest(rtc, "nothing", 0, RTC_S(5), &task, NULL) == RTC_E_UNSUPPORTED;
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(rtc, ref, pass_on, promise));
    self->total = score;
    return rtc_release(rtc, ref);
}

static int misuse(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc *rtc = self->rtc;
    struct rtc_value v;
    rtc_ref ref, twice;
    int64_t score = 0;
    RTC_TRY(rtc_actor_call(rtc, self->friend, "total", NULL, NULL, &ref));
    twice = ref;
    score += rtc_actor_call(rtc, self->friend, "echo", RTC_ARGS(rtc_of_ref(ref)), NULL, NULL) ==
             RTC_E_INVALID;
    RTC_TRY(rtc_release(rtc, ref));
    score += rtc_release(rtc, twice) == RTC_E_RELEASED;
    score += rtc_get(rtc, (rtc_ref){1, 0xfffffffeu, 7}, 0, &v) == RTC_E_RELEASED;
    score += rtc_actor_call(rtc, self->friend, "totall", NULL, NULL, NULL) == RTC_E_UNKNOWN_METHOD;
    score += rtc_actor_call(rtc, self->friend, "declared", RTC_ARGS(rtc_i64(1)), NULL, NULL) ==
             RTC_E_TYPE;
    score += rtc_actor_call(rtc, self->friend, "total", NULL, RTC_CALL_OPTIONS(.stream = true),
                            &ref) == RTC_E_UNSUPPORTED;
    score += rtc_actor_create(rtc, "lampe", NULL, RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT),
                              &(rtc_actor){0}) == RTC_E_UNKNOWN_ACTOR;
    score += rtc_yield(call, &(struct rtc_value){0}) == RTC_E_INVALID;
    return rtc_return_i64(call, score);
}

static int declared(struct rtc_call *call)
{
    return rtc_return_str(call, "fine");
}

/* Answers none of them until it is told to. */
static int later(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    if (self->promise)
        return rtc_fail(call, -4, "one call waits already");
    return rtc_defer(call, &self->promise);
}

static int now(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc_value v = rtc_i64(42);
    if (self->promise)
        rtc_promise_return(self->promise, &v);
    self->promise = NULL;
    return rtc_return_i64(call, 1);
}

static int tick(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    int64_t left;
    RTC_TRY(rtc_arg_i64(call, 0, &left));
    self->total++;
    return left > 0 ? rtc_self_later(call, RTC_MS(1), "tick", RTC_ARGS(rtc_i64(left - 1))) : 0;
}

static int tick_text(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    const char *text;
    RTC_TRY(rtc_arg_str(call, 0, &text, NULL));
    self->total += strcmp(text, "a text that does not fit a message of sixty-four bytes") == 0;
    return rtc_return_i64(call, self->total);
}

static int tick_later(struct rtc_call *call)
{
    RTC_TRY(rtc_self_later(
        call, 0, "tick_text",
        RTC_ARGS(rtc_str("a text that does not fit a message of sixty-four bytes"))));
    return rtc_return_i64(call, 1);
}

/* One of its kind in its host, for whoever asks. */
static int bear(struct rtc_call *call)
{
    rtc_actor child;
    int64_t from;
    RTC_TRY(rtc_arg_i64(call, 0, &from));
    RTC_TRY(rtc_actor_create(rtc_call_rtc(call), "lamp", RTC_ARGS(rtc_i64(from)),
                             RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &child));
    struct rtc_value v = rtc_of_actor(child);
    return rtc_return(call, &v);
}

/* Others of its kind in its host: n of them, all asked, summed when all have answered. */
struct sum {
    struct rtc_promise *promise;
    int64_t left, sum;
};
static void sum_up(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct sum *sum = arg;
    int64_t x;
    if (rtc_get_i64(rtc, ref, 0, &x) == 0)
        sum->sum += x;
    if (--sum->left)
        return;
    struct rtc_value v = rtc_i64(sum->sum);
    rtc_promise_return(sum->promise, &v);
    free(sum);
}
static int children(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc *rtc = self->rtc;
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    struct sum *sum = malloc(sizeof(*sum));
    *sum = (struct sum){NULL, n, 0};
    RTC_TRY(rtc_defer(call, &sum->promise));
    for (int64_t i = 0; i < n; i++) {
        rtc_actor child;
        rtc_ref ref;
        RTC_TRY(rtc_actor_create(rtc, "lamp", RTC_ARGS(rtc_i64(i)),
                                 RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &child));
        RTC_TRY(rtc_actor_call(rtc, child, "total", NULL, NULL, &ref));
        RTC_TRY(rtc_then(rtc, ref, sum_up, sum));
        RTC_TRY(rtc_release(rtc, ref));
        RTC_TRY(rtc_actor_release(rtc, child));
    }
    return 0;
}

static int flood(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    int64_t n, refused = 0;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    for (int64_t i = 0; i < n; i++) {
        int rc = rtc_actor_call(self->rtc, self->friend, "add", RTC_ARGS(rtc_i64(1)), NULL, NULL);
        if (rc == RTC_E_AGAIN)
            refused++;
        else
            RTC_TRY(rc);
    }
    return rtc_return_i64(call, refused);
}

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg)
{
    struct lamp *self = arg;
    (void)rtc;
    self->monitor_cause = down->info.cause;
    self->seen++;
}

static int watch_friend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    RTC_TRY(rtc_monitor(self->rtc, self->friend, on_down, self, &self->monitor));
    return rtc_return_i64(call, 1);
}

static int unwatch_friend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    return rtc_return_i64(call, rtc_demonitor(self->rtc, self->monitor));
}

static int cause(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct lamp *)rtc_self(call))->monitor_cause);
}

static int link_friend(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    RTC_TRY(rtc_link(self->rtc, rtc_self_actor(call), self->friend));
    return rtc_return_i64(call, 1);
}

/* A call that never gets an answer, with a deadline. */
static int hurry(struct rtc_call *call)
{
    struct lamp *self = rtc_self(call);
    struct rtc_promise *promise;
    rtc_ref ref;
    RTC_TRY(rtc_actor_call(self->rtc, self->friend, "later", NULL,
                           RTC_CALL_OPTIONS(.deadline = RTC_MS(20)), &ref));
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(self->rtc, ref, pass_on, promise));
    return rtc_release(self->rtc, ref);
}

static int crash(struct rtc_call *call)
{
    (void)call;
    kill(getpid(), SIGKILL);
    return 0;
}

RTC_ACTOR(lamp, struct lamp, .init = lamp_init, .drop = lamp_drop,
          .methods = {RTC_METHOD(add),          RTC_METHOD(total),
                      RTC_METHOD(in_turn),      RTC_METHOD(echo),
                      RTC_METHOD(three),        RTC_METHOD(fails),
                      RTC_METHOD(silent),       RTC_METHOD(mark),
                      RTC_METHOD(process_id),   RTC_METHOD(who),
                      RTC_METHOD(leave),        RTC_METHOD(befriend),
                      RTC_METHOD(unfriend),     RTC_METHOD(ask_friend),
                      RTC_METHOD(ask_task),     RTC_METHOD(impatient),
                      RTC_METHOD(misuse),       RTC_METHOD_SIGNATURE(declared, "str->str"),
                      RTC_METHOD(later),        RTC_METHOD(now),
                      RTC_METHOD(tick),         RTC_METHOD(tick_text),
                      RTC_METHOD(tick_later),   RTC_METHOD(children),
                      RTC_METHOD(bear),         RTC_METHOD(flood),
                      RTC_METHOD(watch_friend), RTC_METHOD(unwatch_friend),
                      RTC_METHOD(cause),        RTC_METHOD(link_friend),
                      RTC_METHOD(hurry),        RTC_METHOD(crash)});

/* No constructor: alive at once. */
static int plus(struct rtc_call *call)
{
    int64_t *self = rtc_self(call);
    return rtc_return_i64(call, ++*self);
}
RTC_ACTOR(bare, int64_t, .methods = {RTC_METHOD(plus)});

/* What light actors cannot be. */
static int none(struct rtc_call *call)
{
    (void)call;
    return 0;
}
RTC_ACTOR(keeper, int64_t, .save = none, .load = none, .methods = {RTC_METHOD(plus)});
RTC_ACTOR(grouped, int64_t, .methods = {{.name = "plus", .run = plus, .group = "one"}});

RTC_TASK(light_square)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, x * x);
}

/* A task that calls a light actor, and keeps no handle of it. */
RTC_TASK(light_user)
{
    rtc_actor actor;
    rtc_ref ref;
    int64_t x;
    struct rtc *rtc = rtc_call_rtc(call);
    RTC_TRY(rtc_arg_actor(call, 0, &actor));
    RTC_TRY(rtc_actor_retain(rtc, actor));
    RTC_TRY(rtc_actor_call(rtc, actor, "add", RTC_ARGS(rtc_i64(100)), NULL, &ref));
    RTC_TRY(rtc_get_i64(rtc, ref, RTC_S(20), &x));
    RTC_TRY(rtc_release(rtc, ref));
    RTC_TRY(rtc_actor_release(rtc, actor));
    return rtc_return_i64(call, x);
}

/* A task that makes one, whose handle is its result. */
RTC_TASK(light_maker)
{
    rtc_actor actor;
    RTC_TRY(rtc_actor_create(rtc_call_rtc(call), "lamp", RTC_ARGS(rtc_i64(7)),
                             RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &actor));
    struct rtc_value v = rtc_of_actor(actor);
    return rtc_return(call, &v);
}

#endif
