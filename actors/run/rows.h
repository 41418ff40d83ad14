/* The numbers of each iteration: a line of progress.csv, a line of result.json (one JSON object
 * each), and scalars for TensorBoard. */
#ifndef ACTORS_RUN_ROWS_H
#define ACTORS_RUN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_COLUMNS_MAX 256u

struct run_rows;
struct report_tb;

struct run_rows_options {
    const char *folder;         /* there, or made */
    const char *const *columns; /* names, beside those below; borrowed until it is closed */
    size_t n_columns;
    /* Goes on behind this iteration: rows of later ones, which a run that was killed had written after
     * its checkpoint, are cut off. Not set: the files begin anew. */
    bool resume;
    uint64_t iteration, samples;
    bool tensorboard;
};

struct run_row {
    uint64_t iteration, samples; /* training_iteration, timesteps_total */
    double seconds;              /* time_total_s: of training */
    double wall_time;            /* timestamp: s since 1970 */
    const double *values;        /* one a column; not a number: it has none this time */
};

/* Ownership: run_rows_close(). One thread at a time. Errors: -1 with a sentence (RUN_WHY_MAX bytes). */
int run_rows_open(const struct run_rows_options *options, struct run_rows **ret, char *why);
/* Each line is one write. An error does not end it: what can be written is, and the next row is tried
 * again; -1 with a sentence, once for each kind of error. */
int run_rows_add(struct run_rows *rows, const struct run_row *row, char *why);
/* For what is no scalar; NULL: none is written. Borrowed. */
struct report_tb *run_rows_tensorboard(struct run_rows *rows);
void run_rows_close(struct run_rows **rows);

/* Columns of a progress.csv by name, as arrays of `*ret_n`; not a number where a cell is empty, or
 * where there is no such column. Ownership: free() of *ret_values, in which they stand one behind the
 * other. -1 with a sentence. */
int run_rows_load(const char *folder, const char *const *names, size_t n_names, double **ret_values,
                  size_t *ret_n, char *why);

/* The learning curve, learning.png in the folder: returns, losses, entropy and KL, samples a second,
 * of progress.csv. NULL, or a sentence as of report_plot(). */
const char *run_rows_plot(const char *folder, const char *title);

#endif
