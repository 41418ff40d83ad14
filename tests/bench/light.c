/* Light actors through the public API: Savina's ping-pong, counting actor and fork-join create with
 * their default sizes, and many idle ones. All of it happens in their host, which has a thread for
 * each core; this program only says begin. */
#include <math.h>
#include <rtc/actor.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define PINGS     40000
#define COUNTS    1000000
#define FORKS     40000
#define IDLE      100000
#define IDLE_SIZE 64

#define LIGHT RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT)

/* ---- Ping-pong: a call and its answer ---- */
struct ping {
    struct rtc *rtc;
    rtc_actor pong;
    struct rtc_promise *promise;
    int64_t left;
};

static int64_t failed; /* rounds that went wrong are no result */

static void end(struct rtc_promise *promise)
{
    struct rtc_value v = rtc_i64(failed);
    rtc_promise_return(promise, &v);
}

static void on_pong(struct rtc *rtc, rtc_ref ref, void *arg);

static int ping_once(struct ping *self)
{
    rtc_ref ref;
    RTC_TRY(rtc_actor_call(self->rtc, self->pong, "hit", NULL, NULL, &ref));
    RTC_TRY(rtc_then(self->rtc, ref, on_pong, self));
    return rtc_release(self->rtc, ref);
}

static void on_pong(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct ping *self = arg;
    int64_t n;
    if (rtc_get_i64(rtc, ref, 0, &n) < 0)
        failed = 1;
    if (--self->left > 0 && !failed) {
        if (ping_once(self) == 0)
            return;
        failed = 1;
    }
    end(self->promise);
}

static int begin_ping(struct rtc_call *call)
{
    struct ping *self = rtc_self(call);
    self->rtc = rtc_call_rtc(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->pong));
    self->left = PINGS;
    RTC_TRY(rtc_defer(call, &self->promise));
    return ping_once(self);
}

static int hit(struct rtc_call *call)
{
    return rtc_return_i64(call, ++*(int64_t *)rtc_self(call));
}

RTC_ACTOR(bench_ping, struct ping, .methods = {RTC_METHOD(begin_ping)});
RTC_ACTOR(bench_pong, int64_t, .methods = {RTC_METHOD(hit)});

/* ---- Counting: calls that nobody waits for, and one at the end ---- */
static void on_count(struct rtc *rtc, rtc_ref ref, void *arg)
{
    int64_t n;
    if (rtc_get_i64(rtc, ref, 0, &n) < 0 || n != COUNTS)
        failed = 1;
    end(*(struct rtc_promise **)arg);
}

static int begin_count(struct rtc_call *call)
{
    struct rtc_promise **promise = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    rtc_actor counter;
    rtc_ref ref;
    RTC_TRY(rtc_arg_actor(call, 0, &counter));
    for (int i = 0; i < COUNTS; i++)
        RTC_TRY(rtc_actor_call(rtc, counter, "increment", NULL, NULL, NULL));
    RTC_TRY(rtc_actor_call(rtc, counter, "retrieve", NULL, NULL, &ref));
    RTC_TRY(rtc_then(rtc, ref, on_count, promise));
    RTC_TRY(rtc_release(rtc, ref));
    return rtc_defer(call, promise);
}

static int increment(struct rtc_call *call)
{
    ++*(int64_t *)rtc_self(call);
    return 0;
}

static int retrieve(struct rtc_call *call)
{
    int64_t *self = rtc_self(call), n = *self;
    *self = 0;
    return rtc_return_i64(call, n);
}

RTC_ACTOR(bench_producer, struct rtc_promise *, .methods = {RTC_METHOD(begin_count)});
RTC_ACTOR(bench_counter, int64_t, .methods = {RTC_METHOD(increment), RTC_METHOD(retrieve)});

/* ---- Fork-join: made, one message, gone; the last one tells ---- */
struct forker {
    struct rtc_promise *promise;
};
static _Atomic int64_t left;
static rtc_actor join_at;

static void one_less(struct rtc_call *call)
{
    if (atomic_fetch_sub(&left, 1) == 1)
        (void)rtc_actor_call(rtc_call_rtc(call), join_at, "joined", NULL, NULL, NULL);
}

static int begin_many(struct rtc_call *call, const char *class, int n, bool release)
{
    struct forker *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    atomic_store(&left, n);
    join_at = rtc_self_actor(call);
    for (int i = 0; i < n; i++) {
        rtc_actor actor;
        RTC_TRY(rtc_actor_create(rtc, class, NULL, LIGHT, &actor));
        RTC_TRY(rtc_actor_call(rtc, actor, "work", NULL, NULL, NULL));
        if (release)
            RTC_TRY(rtc_actor_release(rtc, actor));
    }
    return rtc_defer(call, &self->promise);
}

static int begin_forks(struct rtc_call *call)
{
    return begin_many(call, "bench_fork", FORKS, true);
}

static int begin_idle(struct rtc_call *call)
{
    return begin_many(call, "bench_idle", IDLE, false);
}

static int joined(struct rtc_call *call)
{
    struct forker *self = rtc_self(call);
    end(self->promise);
    return 0;
}

static int where(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

RTC_ACTOR(bench_forker, struct forker,
          .methods = {RTC_METHOD(begin_forks), RTC_METHOD(begin_idle), RTC_METHOD(joined),
                      RTC_METHOD(where)});

static int work(struct rtc_call *call)
{
    volatile double theta = 37.2;
    double s = sin(theta);
    *(double *)rtc_self(call) = s * s;
    one_less(call);
    return 0;
}
RTC_ACTOR(bench_fork, double, .methods = {RTC_METHOD(work)});

struct idle {
    char state[IDLE_SIZE];
};
static int touch(struct rtc_call *call)
{
    memset(rtc_self(call), 1, IDLE_SIZE);
    one_less(call);
    return 0;
}
RTC_ACTOR(bench_idle, struct idle, .methods = {{.name = "work", .run = touch}});

/* ---- The rows ---- */

static rtc_actor make(struct rtc *rtc, const char *class)
{
    rtc_actor actor;
    RTC_CHECK(rtc_actor_create(rtc, class, NULL, LIGHT, &actor));
    RTC_CHECK(rtc_actor_ready(rtc, actor, RTC_S(60)));
    return actor;
}

static int64_t ask(struct rtc *rtc, rtc_actor actor, const char *method, const rtc_actor *with)
{
    rtc_ref ref;
    int64_t x;
    struct rtc_value value = rtc_nil();
    if (with)
        value = rtc_of_actor(*with);
    struct rtc_args args = {&value, with ? 1 : 0};
    RTC_CHECK(rtc_actor_call(rtc, actor, method, &args, NULL, &ref));
    RTC_CHECK(rtc_get_i64(rtc, ref, RTC_S(600), &x));
    RTC_CHECK(rtc_release(rtc, ref));
    return x;
}

/* How long one of n takes, in s. */
static double row(struct rtc *rtc, const char *class, const char *other, const char *method, int n)
{
    rtc_actor a = make(rtc, class), b = a;
    if (other)
        b = make(rtc, other);
    int64_t wrong = ask(rtc, a, method, other ? &b : NULL); /* the first one makes room */
    double begin = bench_now(), done = 0;
    for (; bench_now() - begin < bench_seconds && !wrong; done += n)
        wrong = ask(rtc, a, method, other ? &b : NULL);
    double took = bench_now() - begin;
    RTC_CHECK(rtc_actor_release(rtc, a));
    if (other)
        RTC_CHECK(rtc_actor_release(rtc, b));
    return wrong ? NAN : took / done;
}

double bench_light_pingpong(void)
{
    return row(bench_rtc(), "bench_ping", "bench_pong", "begin_ping", PINGS) * 1e9;
}

double bench_light_count(void)
{
    return 1 / row(bench_rtc(), "bench_producer", "bench_counter", "begin_count", COUNTS);
}

double bench_light_create(void)
{
    return 1 / row(bench_rtc(), "bench_forker", NULL, "begin_forks", FORKS);
}

/* Each has got one message; beyond their own state. A host keeps its memory: another each time. */
double bench_light_memory(void)
{
    struct rtc *rtc = bench_rtc();
    rtc_actor forker = make(rtc, "bench_forker");
    struct rtc_actor_info info;
    (void)kill((int)ask(rtc, forker, "where", NULL), SIGKILL);
    do
        RTC_CHECK(rtc_actor_info(rtc, forker, &info));
    while (info.state != RTC_ACTOR_DEAD);
    RTC_CHECK(rtc_actor_release(rtc, forker));
    forker = make(rtc, "bench_forker");
    int host = (int)ask(rtc, forker, "where", NULL);
    double before = bench_pss_mb(host);
    int64_t wrong = ask(rtc, forker, "begin_idle", NULL);
    double mb = bench_pss_mb(host) - before;
    RTC_CHECK(rtc_actor_release(rtc, forker));
    return wrong ? NAN : mb * 1e6 / IDLE - IDLE_SIZE;
}
