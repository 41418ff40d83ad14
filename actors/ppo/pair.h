/* A second learner on a thread of its own, for a trainer in one process: where policy and value have
 * no parameters in common, one core learns the one and another core the other (share.h). The bits
 * are those of one learner; so where two take longer, because others have the cores, one does it for
 * a while.
 *
 * Thread: one at a time, the caller's. */
#ifndef ACTORS_PPO_PAIR_H
#define ACTORS_PPO_PAIR_H

#include "actors/ppo/ppo.h"

struct ppo_pair;

/* Does nothing, and *ret_pair is NULL, where that would not help: one CPU, or common parameters.
 * Ownership: `first` stays the caller's; the pair is closed before it. Errors: RTC_E_NOMEM,
 * RTC_E_OS. */
int ppo_pair_open(struct ppo *first, struct ppo_pair **ret_pair);
void ppo_pair_close(struct ppo_pair **pair); /* NULL is fine */
/* An update is coming within some 100 µs: the thread wakes up. */
void ppo_pair_ready(struct ppo_pair *pair);
/* ppo_update() of `first`. */
int ppo_pair_update(struct ppo_pair *pair, const struct ppo_batch *batch, double progress,
                    struct ppo_stats *ret_stats);

#endif
