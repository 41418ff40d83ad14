/* A run of `rtc ppo`: training from its first or last checkpoint to its end, and what is left
 * behind. */
#ifndef ACTORS_PPO_RUN_H
#define ACTORS_PPO_RUN_H

#include <signal.h>

#include "actors/ppo/settings.h"
#include "actors/run/folder.h"
#include "actors/run/progress.h"
#include "actors/run/tensors.h"

struct ppo_run {
    const struct ppo_loaded *loaded;
    const struct ppo_plan *plan;
    struct train_settings *settings;
    struct run_folder *folder;
    struct run_line line;
    bool resume;
    const volatile sig_atomic_t *stop;
};

/* Joins the cluster, or starts a private one with its state in the run's folder; trains; writes
 * rows, checkpoints, curves. Returns the program's exit status; what went wrong was said. */
int ppo_run(struct ppo_run *run);

/* Only evaluates: episodes with the best actions of a checkpoint ("best", "latest", "final", a
 * number, or a file's path; NULL: the best). */
int ppo_evaluate(struct ppo_run *run, const char *checkpoint, uint32_t episodes);

/* ---- compare.c ---- */
/* After the training: the table of the learnt controller and those that need no learning, on seeds
 * that it has not seen. */
void ppo_compare(struct ppo_run *run, struct train *train);

/* ---- checkpoint.c ---- */
struct ppo_saved {
    struct train_counts counts;
    double seconds, best;
};
int ppo_checkpoint_save(const struct ppo_run *run, struct train *train,
                        const struct ppo_saved *saved, double score, bool final, char *why);
/* ret_episodes: NULL: only the learner is restored. Else the training is to go on: also in the
 * midst of its episodes, or false. 1: there is none. -1: a sentence in `why`. */
int ppo_checkpoint_restore(const struct ppo_run *run, struct train *train, const char *wanted,
                           struct ppo_saved *ret_saved, bool *ret_episodes, char *why);

#endif
