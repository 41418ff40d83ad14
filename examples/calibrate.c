/* Calibrates the two parameters of a decay to "measured" data, on every core. Kill it and start it
 * again: it goes on where it was (with RTC_ADDRESS of a cluster that outlives it). */
#include <math.h>
#include <stdio.h>

#include <rtc/de.h>

/* An evaluation: the model, and how far it is from the data. Runs in other processes. */
RTC_DE_OBJECTIVE(misfit)
{
    (void)n;
    for (int t = 0; t < 50; t++) {
        double measured = 3 * exp(-0.25 * t), model = x[0] * exp(-x[1] * t);
        answer->value += (model - measured) * (model - measured);
    }
    return 0; /* negative: it failed, answer->why says why */
}

static enum rtc_de_verdict show(void *arg, const struct rtc_de_progress *p)
{
    (void)arg;
    if (p->generation_done && p->generation % 20 == 0)
        printf("generation %u: %.3g at amplitude %.4f, rate %.4f\n", p->generation, p->best,
               p->x[0], p->x[1]);
    return RTC_DE_GO_ON;
}

int main(int argc, char **argv)
{
    static const double low[2] = {0, 0}, high[2] = {10, 1};
    struct rtc_de_options options = {.name = "calibrate",
                                     .n = 2,
                                     .lower = low,
                                     .upper = high,
                                     .objective = "misfit",
                                     .max_evaluations = 2000,
                                     .callback = show};
    struct rtc_de_result result;
    struct rtc *rtc;
    if (rtc_init(&argc, &argv, NULL, &rtc) < 0) {
        fprintf(stderr, "%s\n", rtc_last_error());
        return 1;
    }
    int rc = rtc_de_run(rtc, &options, &result);
    if (rc == 0) {
        printf("amplitude %.6f, rate %.6f, misfit %.3g after %llu evaluations\n", result.x[0],
               result.x[1], result.value, (unsigned long long)result.evaluations);
        rtc_de_result_free(&result);
    } else {
        fprintf(stderr, "%s\n", rtc_de_error());
    }
    rtc_shutdown(&rtc);
    return rc < 0;
}
