/* learn ENVIRONMENT SEEDS STEPS FLOOR [FIRST]: PPO with CleanRL's settings, a run for each seed
 * from FIRST (1) on; the mean over the runs of the mean return of the last 100 episodes has to
 * reach FLOOR. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "actors/ppo/trainer.h"

static double run(const char *environment, uint64_t steps, uint64_t seed)
{
    char why[256];
    struct ppo_trainer *trainer;
    struct ppo_training training = {
        .environment = environment, .slots = 4, .steps = 128, .total = steps};
    struct ppo_progress progress = {.mean_return = NAN};
    ppo_defaults(PPO_CLEANRL, &training.config);
    training.config.seed = seed;
    if (ppo_trainer_create(&training, &trainer, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    double collect = 0, update = 0;
    while (!ppo_trainer_done(trainer)) {
        if (ppo_trainer_iterate(trainer, &progress, why, sizeof(why)) < 0) {
            fprintf(stderr, "%s\n", why);
            exit(1);
        }
        collect += progress.collect_s;
        update += progress.update_s;
    }
    printf("%s seed %llu: %.2f after %llu steps, %llu episodes; %.0f steps/s (%.2f s steps, %.2f s "
           "updates)\n",
           environment, (unsigned long long)seed, progress.mean_return,
           (unsigned long long)progress.steps, (unsigned long long)progress.episodes,
           (double)progress.steps / (collect + update), collect, update);
    fflush(stdout);
    ppo_trainer_destroy(&trainer);
    return progress.mean_return;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: learn ENVIRONMENT SEEDS STEPS FLOOR [FIRST]\n");
        return 2;
    }
    uint64_t seeds = strtoull(argv[2], NULL, 10), steps = strtoull(argv[3], NULL, 10);
    uint64_t first = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
    double floor = strtod(argv[4], NULL), sum = 0, squares = 0;
    for (uint64_t i = 0; i < seeds; i++) {
        double x = run(argv[1], steps, first + i);
        sum += x;
        squares += x * x;
    }
    double mean = sum / (double)seeds;
    printf("%s: %.2f ± %.2f over %llu seeds, at least %.2f is wanted\n", argv[1], mean,
           sqrt(fmax(0, squares / (double)seeds - mean * mean)), (unsigned long long)seeds, floor);
    return mean >= floor ? 0 : 1;
}
