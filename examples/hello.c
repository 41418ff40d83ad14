/* The smallest program: a task, a future, a result. Runs alone or on a running `rtc head`. */
#include <rtc/rtc.h>
#include <stdio.h>

RTC_TASK(square)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, x * x);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    rtc_ref ref;
    int64_t x;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    RTC_CHECK(rtc_submit(rtc, "square", RTC_ARGS(rtc_i64(12)), NULL, &ref));
    RTC_CHECK(rtc_get_i64(rtc, ref, RTC_FOREVER, &x));
    printf("12 squared is %lld\n", (long long)x);
    return rtc_shutdown(&rtc) < 0;
}
