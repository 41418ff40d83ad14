/* Actors in processes of their own: BENCH rows actor_*. They declare 0 CPUs. */
#include <math.h>
#include <rtc/actor.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define CALLERS 2
#define TARGETS 2
#define NN      5000
#define CREATE  100
#define TRIPS   200

static int noop(struct rtc_call *call)
{
    return rtc_return_i64(call, 0);
}

static int take(struct rtc_call *call)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, x);
}

static int where(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

RTC_ACTOR(bench_target, char, .methods = {RTC_METHOD(noop), RTC_METHOD(take), RTC_METHOD(where)});

/* Calls all targets in turn, n each, and waits for all answers. With a reference as an argument, or
 * without. */
struct caller {
    rtc_actor target[TARGETS];
    rtc_ref *refs;
};

static int caller_init(struct rtc_call *call)
{
    struct caller *self = rtc_self(call);
    for (size_t i = 0; i < TARGETS; i++) {
        RTC_TRY(rtc_arg_actor(call, i, &self->target[i]));
        RTC_TRY(rtc_actor_retain(rtc_call_rtc(call), self->target[i]));
    }
    self->refs = calloc(TARGETS * NN, sizeof(*self->refs));
    return self->refs ? 0 : RTC_E_NOMEM;
}

static int run(struct rtc_call *call)
{
    struct caller *self = rtc_self(call);
    struct rtc *r = rtc_call_rtc(call);
    bool with_ref;
    rtc_ref put;
    struct rtc_value value = rtc_i64(7);
    RTC_TRY(rtc_arg_bool(call, 0, &with_ref));
    RTC_TRY(rtc_put(r, &value, &put));
    for (size_t i = 0; i < TARGETS * NN; i++) {
        struct rtc_args args = {(const struct rtc_value[]){rtc_of_ref(put)}, 1};
        RTC_TRY(rtc_actor_call(r, self->target[i % TARGETS], with_ref ? "take" : "noop",
                               with_ref ? &args : NULL, NULL, &self->refs[i]));
    }
    RTC_TRY(rtc_get_many(r, self->refs, TARGETS * NN, RTC_S(60), NULL));
    RTC_TRY(rtc_release_many(r, self->refs, TARGETS * NN));
    RTC_TRY(rtc_release(r, put));
    return rtc_return_i64(call, TARGETS * NN);
}

RTC_ACTOR(bench_caller, struct caller, .init = caller_init, .methods = {RTC_METHOD(run)});

static const struct rtc_options no_cpu = {.cpus = RTC_NONE};

static rtc_actor target(struct rtc *rtc)
{
    rtc_actor actor;
    RTC_CHECK(
        rtc_actor_create(rtc, "bench_target", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &actor));
    RTC_CHECK(rtc_actor_ready(rtc, actor, RTC_S(60)));
    return actor;
}

static int64_t ask(struct rtc *rtc, rtc_actor actor, const char *method)
{
    rtc_ref ref;
    int64_t x;
    RTC_CHECK(rtc_actor_call(rtc, actor, method, NULL, NULL, &ref));
    RTC_CHECK(rtc_get_i64(rtc, ref, RTC_S(60), &x));
    RTC_CHECK(rtc_release(rtc, ref));
    return x;
}

/* As the other round trips: caller and actor on one CPU, the daemon on the other. */
double bench_actor_sync(struct rtc *rtc)
{
    rtc_actor actor = target(rtc);
    static double times[1000000];
    size_t n = 0;
    bench_pin(0, 0);
    bench_pin((int)ask(rtc, actor, "where"), 0);
    bench_pin(bench_daemon_pid(rtc), 1);
    for (int i = 0; i < TRIPS; i++)
        ask(rtc, actor, "noop");
    double begin = bench_now(), at = begin;
    while (at - begin < bench_seconds && n < sizeof(times) / sizeof(times[0])) {
        ask(rtc, actor, "noop");
        double now = bench_now();
        times[n++] = now - at;
        at = now;
    }
    bench_pin(0, -1);
    bench_pin(bench_daemon_pid(rtc), -1);
    RTC_CHECK(rtc_actor_release(rtc, actor));
    return bench_median(times, n) * 1e6;
}

double bench_actor_async(struct rtc *rtc)
{
    enum { N = 1000 };
    static rtc_ref refs[N];
    rtc_actor actor = target(rtc);
    size_t n = 0;
    double begin = bench_now();
    while (bench_now() - begin < bench_seconds) {
        for (int i = 0; i < N; i++)
            RTC_CHECK(rtc_actor_call(rtc, actor, "noop", NULL, NULL, &refs[i]));
        RTC_CHECK(rtc_get_many(rtc, refs, N, RTC_S(60), NULL));
        RTC_CHECK(rtc_release_many(rtc, refs, N));
        n += N;
    }
    double rate = (double)n / (bench_now() - begin);
    RTC_CHECK(rtc_actor_release(rtc, actor));
    return rate;
}

static double all_to_all(struct rtc *rtc, bool with_ref)
{
    rtc_actor targets[TARGETS], callers[CALLERS];
    rtc_ref refs[CALLERS];
    struct rtc_value handles[TARGETS];
    for (int i = 0; i < TARGETS; i++) {
        targets[i] = target(rtc);
        handles[i] = rtc_of_actor(targets[i]);
    }
    for (int i = 0; i < CALLERS; i++) {
        struct rtc_args args = {handles, TARGETS};
        RTC_CHECK(rtc_actor_create(rtc, "bench_caller", &args, RTC_ACTOR_OPTIONS(.needs = &no_cpu),
                                   &callers[i]));
        RTC_CHECK(rtc_actor_ready(rtc, callers[i], RTC_S(60)));
    }
    size_t n = 0;
    double begin = bench_now();
    while (bench_now() - begin < bench_seconds) {
        RTC_CHECK(rtc_actor_call_many(rtc, callers, CALLERS, "run", RTC_ARGS(rtc_bool(with_ref)),
                                      NULL, refs));
        RTC_CHECK(rtc_get_many(rtc, refs, CALLERS, RTC_S(60), NULL));
        RTC_CHECK(rtc_release_many(rtc, refs, CALLERS));
        n += (size_t)CALLERS * TARGETS * NN;
    }
    double rate = (double)n / (bench_now() - begin);
    for (int i = 0; i < CALLERS; i++)
        RTC_CHECK(rtc_actor_release(rtc, callers[i]));
    for (int i = 0; i < TARGETS; i++)
        RTC_CHECK(rtc_actor_release(rtc, targets[i]));
    return rate;
}

double bench_actor_nn(struct rtc *rtc)
{
    return all_to_all(rtc, false);
}

double bench_actor_arg(struct rtc *rtc)
{
    return all_to_all(rtc, true);
}

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg)
{
    (void)rtc;
    (void)down;
    ++*(int *)arg;
}

/* Creates, and hears from each; that they end is not in the time. */
double bench_actor_create(struct rtc *rtc)
{
    rtc_actor actors[CREATE];
    rtc_ref refs[CREATE];
    int gone = 0;
    double begin = bench_now();
    for (int i = 0; i < CREATE; i++) {
        RTC_CHECK(rtc_actor_create(rtc, "bench_target", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu),
                                   &actors[i]));
        RTC_CHECK(rtc_actor_call(rtc, actors[i], "noop", NULL, NULL, &refs[i]));
    }
    RTC_CHECK(rtc_get_many(rtc, refs, CREATE, RTC_S(60), NULL));
    double rate = CREATE / (bench_now() - begin);
    RTC_CHECK(rtc_release_many(rtc, refs, CREATE));
    for (int i = 0; i < CREATE; i++) {
        RTC_CHECK(rtc_monitor(rtc, actors[i], on_down, &gone, NULL));
        RTC_CHECK(rtc_actor_release(rtc, actors[i]));
    }
    while (gone < CREATE)
        RTC_CHECK(rtc_poll(rtc, RTC_S(60)));
    return rate;
}
