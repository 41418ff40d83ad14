/* Tables of numbers: a header and rows, empty cells for what is not a number. */
#ifndef ACTORS_RUN_CSV_H
#define ACTORS_RUN_CSV_H

#include <stddef.h>

/* A line, its end included; what does not fit is left out. Returns its size. */
size_t run_csv_header(const char *const *names, size_t n, char *line, size_t size);
size_t run_csv_row(const double *values, size_t n, char *line, size_t size);
/* See run_rows_load(). A last line that is not whole is left out, and lines that are no numbers. */
int run_csv_load(const char *path, const char *const *names, size_t n_names, double **ret_values,
                 size_t *ret_n, char *why);

#endif
