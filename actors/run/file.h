/* Files that are replaced as a whole or not at all, whatever happens in between. */
#ifndef ACTORS_RUN_FILE_H
#define ACTORS_RUN_FILE_H

#include <stddef.h>

#define RUN_PATH_MAX 4096u

struct run_file {
    int fd, error; /* error: the first one, negative errno */
    char path[RUN_PATH_MAX], temp[RUN_PATH_MAX];
};

/* Begins PATH.tmp, over one that was left behind; one writer at a time for each path. Errors of this
 * and of run_file_put() are kept, and told by the end. */
void run_file_begin(struct run_file *file, const char *path);
void run_file_put(struct run_file *file, const void *data, size_t size);
/* Onto the disk, then under its name. Returns 0 or a negative errno: then the old file is there as it
 * was, and the new one is gone. Blocks on the disk. */
int run_file_commit(struct run_file *file);
void run_file_abandon(struct run_file *file);

#endif
