/* Several learners that make one update together, each in a process of its own.
 *
 * All have the same networks, seed and batch, and so draw the same minibatches. Where policy and
 * value have no parameters in common, the first of two learners takes the policy and the second the
 * value: only the squares of their gradients are added up for each minibatch, and the bits are
 * those of one learner alone. Else each takes so many rows of each minibatch, and gradients are
 * summed. Means and deviations of advantages, and the norm that gradients are clipped by, are
 * always those of the whole.
 *
 * When a sum fails, so does the update, and what the learner then is is not said: load a state. */
#ifndef ACTORS_PPO_SHARE_H
#define ACTORS_PPO_SHARE_H

#include "actors/ppo/ppo.h"

struct ppo_share {
    uint32_t rank, size; /* size 0 or 1: alone */
    bool by_rows;        /* also where the networks could be parted */
    /* data = the sum of all learners', n numbers of `element` bytes, float or double: in the order
     * of ranks, the same bits for all. Returns 0, or negative. */
    int (*sum)(void *arg, void *data, size_t n, size_t element);
    /* data = that of the learner `root`. */
    int (*spread)(void *arg, void *data, size_t bytes, uint32_t root);
    void *arg;
};
/* For the updates from now on; copied. The backend's memory must be the host's. */
void ppo_share(struct ppo *ppo, const struct ppo_share *share);

/* Policy and value have no parameters in common: two learners can take one each. */
bool ppo_apart(const struct ppo *ppo);

/* ---- For the update ---- */

/* What of n rows is this learner's. */
struct ppo_part {
    size_t first, n;
    bool policy, value;
    uint64_t nodes; /* whose parameters it moves */
};
struct ppo_part ppo_part_of(const struct ppo *ppo, size_t n);
/* From the gradients of the parts to the squares of each node's, of the whole. */
int ppo_join_gradients(struct ppo *ppo, const struct ppo_part *part, double *ret_squares);
int ppo_join_numbers(struct ppo *ppo, double *numbers, size_t n);
/* Elements of the backend's: each learner has filled some, and has 0 in place of the others'. */
int ppo_join_elements(struct ppo *ppo, void *data, size_t n);
/* Behind the last minibatch: everybody has all parameters and moments again. */
int ppo_join_parts(struct ppo *ppo);

#endif
