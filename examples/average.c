/* A group of tasks that average what each of them found: Monte-Carlo estimates of e, all-reduced.
 *
 *   average [TASKS] */
#include <rtc/group.h>
#include <stdio.h>
#include <stdlib.h>

/* How many uniform draws until their sum exceeds 1: on average, e. */
static double estimate(uint64_t state, int64_t n)
{
    int64_t draws = 0;
    for (int64_t i = 0; i < n; i++) {
        for (double sum = 0; sum <= 1; draws++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sum += (double)(state >> 11) / 9007199254740992.0;
        }
    }
    return (double)draws / (double)n;
}

RTC_TASK_SIGNATURE(worker, "i64,i64->f64")
{
    int64_t rank, size;
    double x;
    struct rtc_group *group;
    RTC_TRY(rtc_arg_i64(call, 0, &rank));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    RTC_TRY(rtc_group_join(rtc_call_rtc(call), "average", (uint32_t)rank, (uint32_t)size, RTC_S(30),
                           &group));
    x = estimate((uint64_t)rank + 1, 200000);
    RTC_TRY(rtc_group_all_reduce(group, &x, &x, 1, RTC_F64, RTC_MEAN, RTC_S(30)));
    RTC_TRY(rtc_group_leave(&group));
    return rtc_return_f64(call, x);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    int64_t size = argc > 1 ? strtoll(argv[1], NULL, 10) : 4;
    if (size < 1 || size > RTC_GROUP_SIZE_MAX) {
        fprintf(stderr, "usage: average [TASKS]   (1 to %d)\n", RTC_GROUP_SIZE_MAX);
        return rtc_shutdown(&rtc), 2;
    }
    rtc_ref refs[RTC_GROUP_SIZE_MAX];
    double x = 0;
    for (int64_t i = 0; i < size; i++)
        RTC_CHECK(rtc_submit(rtc, "worker", RTC_ARGS(rtc_i64(i), rtc_i64(size)), NULL, &refs[i]));
    for (int64_t i = 0; i < size; i++) /* the same bits from each */
        RTC_CHECK(rtc_get_f64(rtc, refs[i], RTC_FOREVER, &x));
    RTC_CHECK(rtc_release_many(rtc, refs, (size_t)size));
    printf("the mean of %lld estimates is %.5f\n", (long long)size, x);
    return rtc_shutdown(&rtc) < 0;
}
