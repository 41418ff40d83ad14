/* The folder of a run:
 *   config.yaml      what it was told, all defaults included
 *   progress.csv     result.json  tensorboard/  learning.png      (rows.h)
 *   checkpoints/                                                  (checkpoint.h)
 *   state/           the private cluster's */
#ifndef ACTORS_RUN_FOLDER_H
#define ACTORS_RUN_FOLDER_H

#include <stdbool.h>

#include "actors/config/ppo.h"
#include "actors/run/file.h"
#include "actors/run/rows.h"

struct run_folder {
    char path[RUN_PATH_MAX];
    int lock;    /* held while it is open */
    bool resume; /* there is a run in it */
};

/* Opens `path`, or where that is NULL a new folder PARENT/NAME-1, -2 …, of `name` with what no file
 * name should have replaced by "_"; it is made where it is missing. One process at a time has it.
 * Ownership: run_folder_close(). Errors: -1 with a sentence (RUN_WHY_MAX bytes): another driver has it,
 * or it cannot be written. */
int run_folder_open(const char *path, const char *parent, const char *name, struct run_folder *ret,
                    char *why);
void run_folder_close(struct run_folder *folder);
/* PATH/NAME; room for RUN_PATH_MAX bytes. */
const char *run_folder_in(const struct run_folder *folder, const char *name, char *path);

/* config.yaml: the settings with where they come from. Read again by ppo_settings_load(), it is the
 * same run. */
int run_folder_write_config(const struct run_folder *folder, const struct ppo_loaded *loaded,
                            char *why);
/* The settings as hparams, beside the scalars named in `metrics`. 0 or a negative errno. */
int run_write_hparams(struct report_tb *tb, double wall_time, const struct ppo_settings *config,
                      const char *const *metrics, size_t n_metrics);

#endif
