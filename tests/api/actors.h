/* Actors of test_actor.c: run in its executors. */
#ifndef TESTS_API_ACTORS_H
#define TESTS_API_ACTORS_H

#include <fcntl.h>
#include <rtc/actor.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/api/tally.h"

struct counter {
    int64_t total;
    int n;
    rtc_ref kept;
    rtc_actor friend;
    bool has_friend;
    struct tally *tally;
    int64_t fired;
};

static int counter_init(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    if (rtc_arg_count(call) > 0)
        RTC_TRY(rtc_arg_i64(call, 0, &self->total));
    if (self->total < 0)
        return rtc_fail(call, -77, "a counter cannot begin below 0");
    if (rtc_arg_count(call) > 1) {
        const char *path;
        RTC_TRY(rtc_arg_str(call, 1, &path, NULL));
        self->tally = tally_map(path);
        __atomic_fetch_add(&self->tally->count[0], 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static void counter_drop(void *state)
{
    struct counter *self = state;
    if (self->tally)
        __atomic_fetch_add(&self->tally->count[1], 1, __ATOMIC_RELAXED);
}

static int add(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, self->total += x);
}

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct counter *)rtc_self(call))->total);
}

/* Returns how many calls came before, and says that each came in its turn. */
static int in_turn(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    if (i != self->n)
        return rtc_fail(call, -1, "call %lld came as number %d", (long long)i, self->n);
    return rtc_return_i64(call, self->n++);
}

static int echo(struct rtc_call *call)
{
    struct rtc_value v;
    RTC_TRY(rtc_arg(call, 0, &v));
    return rtc_return(call, &v);
}

static int three(struct rtc_call *call)
{
    for (int64_t i = 0; i < 3; i++)
        RTC_TRY(rtc_return_i64(call, i));
    return 0;
}

static int fail_with(struct rtc_call *call)
{
    return rtc_fail(call, -42, "as it was told");
}

static int nothing(struct rtc_call *call)
{
    (void)call;
    return 0;
}

/* An array of n bytes, each of them the argument. */
static int large(struct rtc_call *call)
{
    int64_t n, byte;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    RTC_TRY(rtc_arg_i64(call, 1, &byte));
    void *data = malloc((size_t)n);
    memset(data, (int)byte, (size_t)n);
    int rc = rtc_return_bytes(call, data, (size_t)n);
    free(data);
    return rc;
}

static int sum_bytes(struct rtc_call *call)
{
    const void *data;
    size_t size;
    int64_t sum = 0;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    for (size_t i = 0; i < size; i++)
        sum += ((const uint8_t *)data)[i];
    return rtc_return_i64(call, sum);
}

/* Tells where it is, and dies of it. */
static int die(struct rtc_call *call)
{
    (void)call;
    raise(SIGKILL);
    return 0;
}

static int quit(struct rtc_call *call)
{
    int64_t status;
    RTC_TRY(rtc_arg_i64(call, 0, &status));
    _exit((int)status);
}

static int pid(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

static int incarnation(struct rtc_call *call)
{
    return rtc_return_i64(call, rtc_self_incarnation(call));
}

static int leave(struct rtc_call *call)
{
    RTC_TRY(rtc_self_stop(call));
    return rtc_return_i64(call, 1);
}

/* Counts that it ran, in the file of the constructor. */
static int mark(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    __atomic_fetch_add(&self->tally->count[i], 1, __ATOMIC_SEQ_CST);
    return rtc_return_i64(call, i);
}

/* Waits until count[i] is not 0 any more. */
static int wait_mark(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    if (rtc_arg_count(call) > 1) {
        int64_t j;
        RTC_TRY(rtc_arg_i64(call, 1, &j));
        __atomic_fetch_add(&self->tally->count[j], 1, __ATOMIC_SEQ_CST);
    }
    while (__atomic_load_n(&self->tally->count[i], __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    return rtc_return_i64(call, i);
}

static int befriend(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->friend));
    RTC_TRY(rtc_actor_retain(rtc_call_rtc(call), self->friend));
    self->has_friend = true;
    return rtc_return_i64(call, 1);
}

static int unfriend(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    RTC_TRY(rtc_actor_release(rtc_call_rtc(call), self->friend));
    self->has_friend = false;
    return rtc_return_i64(call, 1);
}

/* Its friend's total, asked for and waited for. */
static int ask_friend(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    struct rtc *r = rtc_call_rtc(call);
    rtc_ref ref;
    int64_t x;
    const char *method = "total";
    if (rtc_arg_count(call) > 0)
        RTC_TRY(rtc_arg_str(call, 0, &method, NULL));
    RTC_TRY(rtc_actor_call(r, self->friend, method, NULL, NULL, &ref));
    int rc = rtc_get_i64(r, ref, RTC_FOREVER, &x);
    rtc_release(r, ref);
    return rc < 0 ? rc : rtc_return_i64(call, x);
}

/* Many essays of its friend, all asked for before the first has come. */
static int read_friend(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    struct rtc *r = rtc_call_rtc(call);
    rtc_ref refs[30];
    for (int i = 0; i < 30; i++)
        RTC_TRY(rtc_actor_call(r, self->friend, "essay", NULL, NULL, &refs[i]));
    RTC_TRY(rtc_get_many(r, refs, 30, RTC_FOREVER, NULL));
    RTC_TRY(rtc_release_many(r, refs, 30));
    return rtc_return_i64(call, 30);
}

static int ask_self(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    rtc_ref ref;
    int64_t x;
    RTC_TRY(rtc_actor_call(r, rtc_self_actor(call), "total", NULL, NULL, &ref));
    int rc = rtc_get_i64(r, ref, RTC_FOREVER, &x);
    rtc_release(r, ref);
    return rc < 0 ? rc : rtc_return_i64(call, x);
}

static int spread(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    int64_t n, sum = 0, x;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    rtc_ref refs[64];
    for (int64_t i = 0; i < n; i++)
        RTC_TRY(rtc_submit(r, "actor_square", RTC_ARGS(rtc_i64(i)), NULL, &refs[i]));
    for (int64_t i = 0; i < n; i++) {
        RTC_TRY(rtc_get_i64(r, refs[i], RTC_FOREVER, &x));
        sum += x;
        RTC_TRY(rtc_release(r, refs[i]));
    }
    return rtc_return_i64(call, sum);
}

static int hand_out(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    rtc_actor child;
    RTC_TRY(rtc_actor_create(r, "counter", RTC_ARGS(rtc_i64(5)), NULL, &child));
    struct rtc_value v = rtc_of_actor(child);
    int rc = rtc_return(call, &v);
    RTC_TRY(rtc_actor_release(r, child));
    return rc;
}

static int keep(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    RTC_TRY(rtc_arg_ref(call, 0, &self->kept));
    RTC_TRY(rtc_retain(rtc_call_rtc(call), self->kept));
    return rtc_return_i64(call, 1);
}

static int kept_size(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    struct rtc_value v;
    const void *data;
    size_t size;
    RTC_TRY(rtc_get(rtc_call_rtc(call), self->kept, RTC_FOREVER, &v));
    RTC_TRY(rtc_value_bytes(&v, &data, &size));
    return rtc_return_i64(call, (int64_t)size);
}

static int count_up(struct rtc_call *call)
{
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    for (int64_t i = 0; i < n; i++) {
        struct rtc_value v = rtc_i64(i);
        RTC_TRY(rtc_yield(call, &v));
    }
    return 0;
}

static int tick(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t left;
    RTC_TRY(rtc_arg_i64(call, 0, &left));
    self->fired++;
    if (left > 0)
        RTC_TRY(rtc_self_later(call, RTC_MS(1), "tick", RTC_ARGS(rtc_i64(left - 1))));
    return rtc_return_i64(call, self->fired);
}

static int fired(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct counter *)rtc_self(call))->fired);
}

RTC_ACTOR(counter, struct counter, .init = counter_init, .drop = counter_drop,
          .methods = {RTC_METHOD_SIGNATURE(add, "i64->i64"),
                      RTC_METHOD(total),
                      RTC_METHOD(in_turn),
                      RTC_METHOD(echo),
                      RTC_METHOD(three),
                      RTC_METHOD(fail_with),
                      RTC_METHOD(nothing),
                      RTC_METHOD(large),
                      RTC_METHOD(sum_bytes),
                      RTC_METHOD(die),
                      RTC_METHOD(quit),
                      RTC_METHOD(pid),
                      RTC_METHOD(incarnation),
                      RTC_METHOD(leave),
                      RTC_METHOD(mark),
                      RTC_METHOD(wait_mark),
                      RTC_METHOD(befriend),
                      RTC_METHOD(unfriend),
                      RTC_METHOD(ask_friend),
                      RTC_METHOD(read_friend),
                      RTC_METHOD(ask_self),
                      RTC_METHOD(spread),
                      RTC_METHOD(hand_out),
                      RTC_METHOD_SIGNATURE(keep, "ref"),
                      RTC_METHOD(kept_size),
                      RTC_METHOD(count_up),
                      RTC_METHOD(tick),
                      RTC_METHOD(fired)});

/* Several calls at a time: `meet` returns when as many as it says are inside; `apart` has a group
 * of its own, in which it runs while all of the others are busy. */
struct crowd {
    int inside;
    bool open;
};

static int meet(struct rtc_call *call)
{
    struct crowd *self = rtc_self(call);
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    int inside = __atomic_add_fetch(&self->inside, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&self->inside, __ATOMIC_SEQ_CST) < n)
        sched_yield();
    return rtc_return_i64(call, inside);
}

static int hold_open(struct rtc_call *call)
{
    struct crowd *self = rtc_self(call);
    while (!__atomic_load_n(&self->open, __ATOMIC_SEQ_CST))
        sched_yield();
    return rtc_return_i64(call, 1);
}

static int apart(struct rtc_call *call)
{
    struct crowd *self = rtc_self(call);
    __atomic_store_n(&self->open, true, __ATOMIC_SEQ_CST);
    return rtc_return_i64(call, 2);
}

/* Threads of an actor use rtc all at once. */
static int squares(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    int64_t n, sum = 0, x;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    for (int64_t i = 0; i < n; i++) {
        rtc_ref ref;
        RTC_TRY(rtc_submit(r, "actor_square", RTC_ARGS(rtc_i64(i)), NULL, &ref));
        RTC_TRY(rtc_get_i64(r, ref, RTC_FOREVER, &x));
        RTC_TRY(rtc_release(r, ref));
        sum += x;
    }
    return rtc_return_i64(call, sum);
}

RTC_ACTOR(crowd, struct crowd,
          .methods = {RTC_METHOD(meet),
                      RTC_METHOD(hold_open),
                      RTC_METHOD(squares),
                      {.name = "apart", .run = apart, .group = "control"}});

/* State that is saved: a number, and how often it was made of a saved one. */
struct diary {
    int64_t total, loads;
};

static int diary_save(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct diary *)rtc_self(call))->total);
}

static int diary_load(struct rtc_call *call)
{
    struct diary *self = rtc_self(call);
    self->loads = 1;
    return rtc_arg_i64(call, 0, &self->total);
}

static int note(struct rtc_call *call)
{
    struct diary *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, self->total += x);
}

static int loads(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct diary *)rtc_self(call))->loads);
}

/* Almost as large as an answer can be that is none of the objects. */
static int essay(struct rtc_call *call)
{
    static const char text[8000];
    return rtc_return_bytes(call, text, sizeof(text));
}

RTC_ACTOR(diary, struct diary, .save = diary_save, .load = diary_load,
          .methods = {RTC_METHOD(note), RTC_METHOD(loads), RTC_METHOD(essay), RTC_METHOD(die)});

RTC_TASK(actor_square)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, x * x);
}

/* Ends when count[i] of the file is not 0 any more, and returns x. */
RTC_TASK(actor_slow)
{
    int64_t x, i;
    const char *path;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    RTC_TRY(rtc_arg_str(call, 1, &path, NULL));
    RTC_TRY(rtc_arg_i64(call, 2, &i));
    struct tally *tally = tally_map(path);
    while (__atomic_load_n(&tally->count[i], __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    munmap(tally, sizeof(*tally));
    return rtc_return_i64(call, x);
}

RTC_TASK(actor_fails)
{
    return rtc_fail(call, -3, "no such luck");
}

RTC_TASK(use_actor)
{
    rtc_actor actor;
    rtc_ref ref;
    int64_t x;
    RTC_TRY(rtc_arg_actor(call, 0, &actor));
    RTC_TRY(rtc_actor_call(rtc_call_rtc(call), actor, "add", RTC_ARGS(rtc_i64(100)), NULL, &ref));
    RTC_TRY(rtc_get_i64(rtc_call_rtc(call), ref, RTC_FOREVER, &x));
    RTC_TRY(rtc_release(rtc_call_rtc(call), ref));
    return rtc_return_i64(call, x);
}

#endif
