/* Monte-Carlo pi: many tasks that report their progress while they run.
 *
 *   pi [TASKS [POINTS-PER-TASK]] */
#include <rtc/rtc.h>
#include <stdio.h>
#include <stdlib.h>

RTC_TASK_SIGNATURE(throw_darts, "i64,i64->i64")
{
    int64_t seed, n, inside = 0;
    RTC_TRY(rtc_arg_i64(call, 0, &seed));
    RTC_TRY(rtc_arg_i64(call, 1, &n));
    uint64_t state = (uint64_t)seed * 0x9e3779b97f4a7c15u + 1;
    for (int64_t i = 0; i < n; i++) {
        double at[2];
        for (int k = 0; k < 2; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            at[k] = (double)(state >> 11) / 9007199254740992.0;
        }
        inside += at[0] * at[0] + at[1] * at[1] < 1;
        if (i % (n / 4 + 1) == n / 4) {
            RTC_TRY(rtc_progress(call, (double)i / (double)n, NULL));
            if (rtc_cancelled(call))
                return rtc_fail(call, RTC_E_CANCELLED, "stopped after %lld darts", (long long)i);
        }
    }
    return rtc_return_i64(call, inside);
}

struct board {
    int reports;
};

static void on_progress(void *arg, rtc_ref task, double fraction, const char *text)
{
    struct board *board = arg;
    (void)task;
    (void)text;
    if (board->reports++ % 16 == 0)
        fprintf(stderr, "a task is at %.0f %%\n", fraction * 100);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    struct board board = {0};
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    size_t n_tasks = argc > 1 ? strtoul(argv[1], NULL, 10) : 16;
    int64_t points = argc > 2 ? strtoll(argv[2], NULL, 10) : 1000000, inside = 0;
    rtc_ref *refs = calloc(n_tasks, sizeof(*refs));
    if (!refs || n_tasks == 0 || points <= 0) {
        fprintf(stderr, "usage: pi [TASKS [POINTS-PER-TASK]]\n");
        return 2;
    }
    RTC_CHECK(rtc_on_progress(rtc, on_progress, &board));
    for (size_t i = 0; i < n_tasks; i++)
        RTC_CHECK(rtc_submit(rtc, "throw_darts", RTC_ARGS(rtc_i64((int64_t)i + 1), rtc_i64(points)),
                             NULL, &refs[i]));
    for (size_t i = 0; i < n_tasks; i++) {
        int64_t x;
        RTC_CHECK(rtc_get_i64(rtc, refs[i], RTC_FOREVER, &x));
        inside += x;
    }
    RTC_CHECK(rtc_release_many(rtc, refs, n_tasks));
    printf("pi is about %.5f (%d progress reports)\n",
           4.0 * (double)inside / ((double)points * (double)n_tasks), board.reports);
    free(refs);
    return rtc_shutdown(&rtc) < 0;
}
