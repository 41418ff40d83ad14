/* Placement groups; operations among processes. */
#include <rtc/actor.h>
#include <rtc/group.h>
#include <rtc/placement.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

/* A hundred groups of one bundle are asked for, waited for, and given back. */
double bench_placement_group(void)
{
    enum { GROUPS = 100 };
    struct rtc *rtc = bench_rtc();
    rtc_placement placements[GROUPS];
    struct rtc_bundle bundle = {.cpus = 0.001};
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += GROUPS) {
        for (int i = 0; i < GROUPS; i++)
            RTC_CHECK(rtc_placement_create(rtc, &bundle, 1, RTC_PACK, &placements[i]));
        for (int i = 0; i < GROUPS; i++)
            RTC_CHECK(rtc_placement_wait(rtc, placements[i], RTC_S(60)));
        for (int i = 0; i < GROUPS; i++)
            RTC_CHECK(rtc_placement_remove(rtc, placements[i]));
    }
    RTC_CHECK(rtc_flush(rtc, RTC_S(60)));
    return n / (bench_now() - start);
}

/* ---- All-reduce, between two actors ---- */

/* rank, seconds, elements -> how many a second; all members stop after the same one. */
static int all_reduce(struct rtc_call *call)
{
    int64_t rank, elements;
    double seconds;
    struct rtc_group *group;
    RTC_TRY(rtc_arg_i64(call, 0, &rank));
    RTC_TRY(rtc_arg_f64(call, 1, &seconds));
    RTC_TRY(rtc_arg_i64(call, 2, &elements));
    RTC_TRY(rtc_group_join(rtc_call_rtc(call), "all_reduce", (uint32_t)rank, 2, RTC_S(60), &group));
    size_t count = (size_t)elements;
    float *x = malloc(count * sizeof(*x)), more = 1;
    for (size_t i = 0; x && i < count; i++)
        x[i] = (float)(i % 3);
    int rc = x ? rtc_group_barrier(group, RTC_S(60)) : RTC_E_NOMEM;
    double start = bench_now(), n = 0, took = 1;
    for (; rc == 0 && more > 0; n++) {
        /* Small ones: so many between two questions that those do not count. */
        for (int i = 0; i < (count < 1000 ? 20 : 1) && rc == 0; i++)
            rc = rtc_group_all_reduce(group, x, x, count, RTC_F32, RTC_MAX, RTC_S(60));
        took = bench_now() - start;
        more = took < seconds;
        rc = rc < 0 ? rc : rtc_group_broadcast(group, &more, 1, RTC_F32, 0, RTC_S(60));
    }
    free(x);
    RTC_TRY(rc);
    RTC_TRY(rtc_group_leave(&group));
    return rtc_return_f64(call, n * (count < 1000 ? 20 : 1) / took);
}

RTC_ACTOR(bench_member, char, .methods = {RTC_METHOD(all_reduce)});

double bench_all_reduces(struct rtc *rtc, const struct rtc_options *where, size_t elements)
{
    rtc_actor members[2];
    rtc_ref refs[2];
    double speed[2] = {0};
    for (int i = 0; i < 2; i++)
        RTC_CHECK(rtc_actor_create(rtc, "bench_member", NULL, RTC_ACTOR_OPTIONS(.needs = &where[i]),
                                   &members[i]));
    for (int i = 0; i < 2; i++)
        RTC_CHECK(
            rtc_actor_call(rtc, members[i], "all_reduce",
                           RTC_ARGS(rtc_i64(i), rtc_f64(bench_seconds), rtc_i64((int64_t)elements)),
                           NULL, &refs[i]));
    for (int i = 0; i < 2; i++)
        RTC_CHECK(rtc_get_f64(rtc, refs[i], RTC_S(120), &speed[i]));
    RTC_CHECK(rtc_release_many(rtc, refs, 2));
    for (int i = 0; i < 2; i++)
        RTC_CHECK(rtc_actor_release(rtc, members[i]));
    return speed[0];
}

double bench_allreduce_64m(void)
{
    struct rtc_options where[2] = {{.cpus = RTC_NONE}, {.cpus = RTC_NONE}};
    return bench_all_reduces(bench_rtc(), where, BENCH_64M) * BENCH_64M * sizeof(float) / 1e9;
}
