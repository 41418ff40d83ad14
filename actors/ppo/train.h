/* Training on a cluster: rollout actors sample, the driver learns, alone or with learner actors
 * (team.h), and weights go out as objects.
 *
 * An iteration's samples are `rounds` fragments of each actor. With a lag of 0 they are all by the
 * policy that the update before has made, and the run is the same bits for the same seed (and
 * instruction set): fragments are taken in the order of actors and rounds, however they come. With
 * a lag of n the samples of n further iterations are being made while an update runs.
 *
 * Actors that die start again with other episodes; simulations that fail are opened again; an update
 * in which a learner dies is made again. What that cost is told by on_note.
 * While an actor that died has no place in the cluster the others make its fragments.
 *
 * Thread: one at a time, that of the handle of rtc. Errors: those of rtc, with a sentence in
 * train_error(). */
#ifndef ACTORS_PPO_TRAIN_H
#define ACTORS_PPO_TRAIN_H

#include <rtc/env.h>
#include <rtc/rtc.h>

#include "actors/ppo/ppo.h"

#define TRAIN_EPISODES   100 /* of which means are kept, at most */
#define TRAIN_ACTORS_MAX 1024

struct train_options {
    const char *env;
    const struct rtc_env_config *env_config; /* slots: of each actor */
    uint32_t actors, groups;
    uint32_t fragment,
        rounds; /* steps of a slot in a fragment; fragments of an actor an iteration */
    uint32_t lag;
    uint64_t iterations; /* for the schedules */
    uint64_t seed;
    uint32_t window;       /* episodes that means are of; 0 = TRAIN_EPISODES */
    double cpus;           /* of each actor; 0 = 1 */
    uint32_t learners;     /* the driver's counts; 0 = 1 */
    double learner_cpus;   /* of each of the others; 0: they take turns with the actors */
    bool learners_always;  /* also where the driver's alone would be as good and faster (team.h) */
    struct ppo_config ppo; /* what is seen and done, and batch_max, are filled here */
    void (*on_note)(void *arg, const char *sentence);
    void *arg;
};

struct train_progress {
    uint64_t iteration; /* that are done */
    uint64_t samples;   /* steps of agents, all so far */
    uint64_t episodes;
    double mean_return, mean_length; /* of the window's episodes; NAN: none yet */
    double min_return, max_return;
    uint32_t iteration_samples, iteration_episodes;
    double wait_s, update_s, iteration_s; /* of this iteration; wait: for samples */
    double policy_s, env_s;               /* of all actors together, in it */
    double lag;                           /* mean: updates since the samples' policy was made */
    uint64_t lost, restarts, opens_again; /* episodes, actors, environments; all so far */
    struct ppo_stats stats;
};

struct train_evaluation {
    uint32_t episodes;
    double mean_return, deviation, min_return, max_return, mean_length;
    /* Of the caller, or NULL: the environment's sums of each episode, spec->n_infos numbers for each
     * that is asked for. */
    double *sums;
};
/* What a resumed run goes on from. */
struct train_counts {
    uint64_t iterations, samples, episodes;
};

struct train;

/* Starts the actors and waits until the first has opened its environment. */
int train_open(struct rtc *rtc, const struct train_options *options, struct train **ret_train);
void train_close(struct train **train);
const char *train_error(const struct train *train);
/* Sums that the environment keeps of an episode: "return", "length", then its own. */
const struct rtc_env_spec *train_spec(const struct train *train);
struct ppo *train_ppo(struct train *train);
/* Before the first iteration. */
void train_go_on(struct train *train, const struct train_counts *counts);
/* Where the episodes of an actor were when the last iteration ended: bytes, valid until the next one.
 * Only without lag: else samples of later iterations are under way already.
 * Errors: RTC_E_NOT_FOUND that is not known. */
int train_episodes(struct train *train, uint32_t actor, const void **ret_data, size_t *ret_size);
/* Behind train_go_on(): the actors' episodes go on there, each with bytes of train_episodes(). Actors
 * work side by side. Returns how many could not; each was told by on_note, and has new episodes. */
uint32_t train_go_on_in(struct train *train, const void *const *data, const size_t *sizes);
/* The sums of the episodes that means are of: n numbers, to be kept and put back behind
 * train_go_on(). */
double *train_window(struct train *train, size_t *ret_n);
void train_window_is_back(struct train *train);
/* Samples and an update. stop, where it is not NULL: looked at while samples are waited for; once
 * it is true RTC_E_CANCELLED is returned; then, as after any error, there are no further
 * iterations. */
int train_iterate(struct train *train, const volatile int *stop,
                  struct train_progress *ret_progress);
/* Gives memory back that is only kept: here, and in the actors behind what they are at. */
int train_trim(struct train *train);
uint32_t train_environments(const struct train *train); /* of all actors */
/* Goes on with at most so many, one at least: actors with fewer of them and longer fragments, then
 * fewer actors, whose fragments the others make; so an iteration has as many samples as before.
 * Between iterations. Episodes begin anew. */
int train_lower(struct train *train, uint32_t environments);
/* With the policy's best actions, on all actors. Between iterations. Keeps what `sums` points to. */
int train_evaluate(struct train *train, uint32_t episodes, uint64_t seed,
                   struct train_evaluation *ret_evaluation);
/* Means of the sums of the window's episodes: spec->n_infos numbers. Valid until the
 * next call. NULL: there were none. */
const double *train_infos(const struct train *train);

#endif
