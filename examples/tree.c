/* A tree of tasks: each submits its children and waits for them. While it waits it lends its CPU
 * out, so that a tree deeper than the machine has CPUs does not stand still.
 *
 *   tree [DEPTH] */
#include <rtc/rtc.h>
#include <stdio.h>
#include <stdlib.h>

#define CHILDREN 2

RTC_TASK_SIGNATURE(grow, "i64->i64")
{
    struct rtc *rtc = rtc_call_rtc(call);
    int64_t depth, leaves = 0;
    rtc_ref children[CHILDREN];
    RTC_TRY(rtc_arg_i64(call, 0, &depth));
    if (depth == 0)
        return rtc_return_i64(call, 1);
    for (int i = 0; i < CHILDREN; i++)
        RTC_TRY(rtc_submit(rtc, "grow", RTC_ARGS(rtc_i64(depth - 1)), NULL, &children[i]));
    for (int i = 0; i < CHILDREN; i++) {
        int64_t x;
        RTC_TRY(rtc_get_i64(rtc, children[i], RTC_FOREVER, &x));
        leaves += x;
    }
    RTC_TRY(rtc_release_many(rtc, children, CHILDREN));
    return rtc_return_i64(call, leaves);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    rtc_ref root;
    int64_t leaves;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    int64_t depth = argc > 1 ? strtoll(argv[1], NULL, 10) : 5;
    if (depth < 0 || depth > 16) {
        fprintf(stderr, "usage: tree [DEPTH], from 0 to 16\n");
        return 2;
    }
    RTC_CHECK(rtc_submit(rtc, "grow", RTC_ARGS(rtc_i64(depth)), NULL, &root));
    RTC_CHECK(rtc_get_i64(rtc, root, RTC_FOREVER, &leaves));
    printf("a tree of depth %lld has %lld leaves\n", (long long)depth, (long long)leaves);
    return rtc_shutdown(&rtc) < 0;
}
