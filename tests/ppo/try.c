#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ppo/train.h"
static void on_note(void *arg, const char *s) { (void)arg; fprintf(stderr, "note: %s\n", s); }
int main(int argc, char **argv)
{
    struct rtc *rtc; struct train *t; struct train_progress p; struct train_evaluation e;
    if (rtc_init(&argc, &argv, RTC_CONFIG(.cpus = 4, .quiet = true), &rtc) < 0) return fprintf(stderr, "%s\n", rtc_last_error());
    uint32_t actors = argc > 1 ? (uint32_t)atoi(argv[1]) : 2, slots = argc > 2 ? (uint32_t)atoi(argv[2]) : 2, lag = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
    struct rtc_env_config config = {.slots = slots};
    struct train_options o = {.env = argc > 4 ? argv[4] : "CartPole-v1", .env_config = &config, .actors = actors, .groups = 1, .fragment = 512 / (actors * slots), .rounds = 1, .lag = lag, .iterations = 200, .seed = 1, .on_note = on_note};
    ppo_defaults(PPO_CLEANRL, &o.ppo);
    int rc = train_open(rtc, &o, &t);
    for (int i = 0; rc == 0 && i < 200; i++) {
        rc = train_iterate(t, NULL, &p);
        if (i % 20 == 19) printf("%3llu samples %llu return %.2f length %.1f kl %.4f loss %.3f wait %.3f update %.3f lag %.1f\n", (unsigned long long)p.iteration, (unsigned long long)p.samples, p.mean_return, p.mean_length, p.stats.approx_kl, p.stats.loss, p.wait_s, p.update_s, p.lag);
    }
    if (rc == 0) rc = train_evaluate(t, 20, 99, &e);
    if (rc < 0) fprintf(stderr, "error: %s\n", train_error(t)); else printf("eval %u: %.2f +- %.2f\n", e.episodes, e.mean_return, e.deviation);
    train_close(&t); rtc_shutdown(&rtc); return rc < 0;
}
