/* Placement groups: two workers that must start together, side by side on one node, or not at all.
 *
 *   placement [CPUS-PER-WORKER] */
#include <rtc/placement.h>
#include <stdio.h>
#include <stdlib.h>

RTC_TASK_SIGNATURE(work, "i64->i64")
{
    int64_t half, sum = 0;
    RTC_TRY(rtc_arg_i64(call, 0, &half));
    for (int64_t i = half; i < 2000000; i += 2)
        sum += i;
    return rtc_return_i64(call, sum);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    rtc_placement placement;
    struct rtc_placement_info info;
    uint32_t nodes[2];
    rtc_ref refs[2];
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    double cpus = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    struct rtc_bundle bundles[2] = {{.cpus = cpus}, {.cpus = cpus}};
    RTC_CHECK(rtc_placement_create(rtc, bundles, 2, RTC_STRICT_PACK, &placement));
    if (rtc_placement_wait(rtc, placement, RTC_S(10)) < 0) {
        fprintf(stderr, "no room for both: %s\n", rtc_last_error());
        return rtc_shutdown(&rtc), 1;
    }
    RTC_CHECK(rtc_placement_info(rtc, placement, &info, nodes, 2));
    printf("%zu bundles, on nodes %u and %u\n", info.n_bundles, nodes[0], nodes[1]);
    int64_t sum = 0;
    for (int i = 0; i < 2; i++)
        RTC_CHECK(rtc_submit(
            rtc, "work", RTC_ARGS(rtc_i64(i)),
            RTC_OPTIONS(.cpus = cpus, .placement = placement, .bundle = RTC_BUNDLE(i)), &refs[i]));
    for (int i = 0; i < 2; i++) {
        int64_t x;
        RTC_CHECK(rtc_get_i64(rtc, refs[i], RTC_FOREVER, &x));
        sum += x;
    }
    RTC_CHECK(rtc_release_many(rtc, refs, 2));
    RTC_CHECK(rtc_placement_remove(rtc, placement));
    printf("the sum of the numbers below two million is %lld\n", (long long)sum);
    return rtc_shutdown(&rtc) < 0;
}
