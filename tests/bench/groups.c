/* Placement groups. */
#include <rtc/placement.h>

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
