/* Checkpoints in a run's folder "checkpoints": iteration-00000120.safetensors. What each is stands in
 * it, so that a folder that was copied, or from which some were deleted, is what it looks like. */
#ifndef ACTORS_RUN_CHECKPOINT_H
#define ACTORS_RUN_CHECKPOINT_H

#include "actors/run/file.h"
#include "actors/run/tensors.h"

struct run_checkpoint {
    char path[RUN_PATH_MAX];
    uint64_t iteration, bytes;
    double score; /* not a number: it has none */
    bool final;   /* written when the run ended */
    bool best;    /* of the list: the highest score, the latest of equal ones */
};

struct run_keep {
    uint64_t last_n;   /* 0: all */
    bool lower_is_better;
};

/* Writes the checkpoint of an iteration, over one of the same, and then removes what is not to be
 * kept: of the last n, the best and the latest final one each stay. `texts` are the caller's: counters,
 * the state of random generators.
 * Errors: -1 with a sentence (RUN_WHY_MAX bytes); nothing is removed then. Blocks on the disk. */
int run_checkpoint_write(const char *folder, uint64_t iteration, double score, bool final,
                         const struct run_tensor *tensors, size_t n, const struct run_text *texts,
                         size_t n_texts, const struct run_keep *keep, char *why);

/* All that can be read, in the order of their iterations; their headers are looked at. Ownership:
 * free(). -1 with a sentence when there is no such folder. */
int run_checkpoint_list(const char *folder, bool lower_is_better, struct run_checkpoint **ret,
                        size_t *ret_n, char *why);

/* Reads the one that is wanted: "latest" (also NULL), "best", "final", the number of an iteration, or
 * the path of a file. Where the latest one is damaged the one before it is taken, and `note`, of
 * RUN_WHY_MAX bytes, says so; else it is "".
 * Ownership: run_tensors_free(). -1 with a sentence that says which there are. */
int run_checkpoint_read(const char *folder, const char *wanted, bool lower_is_better,
                        struct run_checkpoint *ret_checkpoint, struct run_tensors **ret_tensors,
                        char *note, char *why);

#endif
