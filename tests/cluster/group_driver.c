/* group_driver SECONDS NODE…: the driver is rank 0 of a group, a task on each of the nodes another
 * member. They all-reduce, now little, now much, and hold what they get against what it must be,
 * until the input ends. Prints how far they are, then how much was wrong. */
#include <fcntl.h>
#include <rtc/group.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST ((size_t)1 << 19)

/* Element 0 says whether rank 0 wants to go on. */
static int64_t work(struct rtc_group *group, int64_t seconds, int64_t *ret_wrong)
{
    static float x[MOST];
    uint32_t rank = rtc_group_rank(group), size = rtc_group_size(group);
    int64_t made = 0;
    float more = 1;
    char byte;
    while (more > 0) {
        size_t n = made % 8 == 7 ? MOST : 100;
        for (size_t i = 1; i < n; i++)
            x[i] = (float)((i + (size_t)made) % 100 * (rank + 1));
        x[0] = rank == 0 && read(0, &byte, 1) == 0 ? 0 : rank == 0;
        if (rtc_group_all_reduce(group, x, x, n, RTC_F32, RTC_SUM, RTC_S(seconds)) < 0) {
            fprintf(stderr, "rank %u, call %lld: %s\n", rank, (long long)made, rtc_last_error());
            return -1;
        }
        more = x[0];
        for (size_t i = 1; i < n; i++)
            *ret_wrong += x[i] != (float)((i + (size_t)made) % 100 * (size * (size + 1) / 2));
        made++;
        if (rank == 0 && made % 64 == 0)
            printf("got %lld\n", (long long)made);
    }
    return made;
}

/* rank, size, seconds -> how much was wrong. */
RTC_TASK(member)
{
    int64_t rank, size, seconds, wrong = 0;
    struct rtc_group *group;
    RTC_TRY(rtc_arg_i64(call, 0, &rank));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    RTC_TRY(rtc_arg_i64(call, 2, &seconds));
    RTC_TRY(rtc_group_join(rtc_call_rtc(call), "hosts", (uint32_t)rank, (uint32_t)size, RTC_S(60),
                           &group));
    int64_t made = work(group, seconds, &wrong);
    if (made < 0)
        return rtc_fail(call, RTC_E_CANCELLED, "%s", rtc_last_error());
    RTC_TRY(rtc_group_leave(&group));
    return rtc_return_i64(call, wrong);
}

int main(int argc, char **argv)
{
    struct rtc *rtc = NULL;
    struct rtc_group *group = NULL;
    struct rtc_config config = {.name = "group driver"};
    rtc_ref refs[8];
    int64_t wrong = 0, theirs;
    if (rtc_init(&argc, &argv, &config, &rtc) < 0 || argc < 3 || argc > 10) {
        fprintf(stderr, "group_driver: %s\n", rtc ? "SECONDS NODE…" : rtc_last_error());
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    fcntl(0, F_SETFL, O_NONBLOCK);
    int n = argc - 2, failed = 0;
    int64_t seconds = strtoll(argv[1], NULL, 10);
    for (int i = 0; i < n; i++) {
        struct rtc_options there = {.place = RTC_PLACE_NODE,
                                    .node = (uint32_t)strtoul(argv[2 + i], NULL, 10),
                                    .retries = RTC_NO_RETRY};
        RTC_CHECK(rtc_submit(rtc, "member",
                             RTC_ARGS(rtc_i64(i + 1), rtc_i64(n + 1), rtc_i64(seconds)), &there,
                             &refs[i]));
    }
    int64_t made = -1;
    if (rtc_group_join(rtc, "hosts", 0, (uint32_t)n + 1, RTC_S(60), &group) == 0)
        made = work(group, seconds, &wrong);
    else
        fprintf(stderr, "%s\n", rtc_last_error());
    for (int i = 0; i < n && made >= 0; i++) {
        if (rtc_get_i64(rtc, refs[i], RTC_S(60), &theirs) < 0) {
            fprintf(stderr, "%s\n", rtc_last_error());
            failed = 1;
        }
        wrong += theirs;
    }
    printf("calls %lld\nwrong %lld\n", (long long)(made > 0 ? made : 0), (long long)wrong);
    rtc_group_leave(&group);
    rtc_shutdown(&rtc);
    return failed || made < 0;
}
