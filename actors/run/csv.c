#include "actors/run/csv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/run/rows.h"
#include "actors/run/tensors_inner.h"

#define WIDTH_MAX (RUN_COLUMNS_MAX + 64u)
#define ROWS_MAX  10000000u

size_t run_csv_header(const char *const *names, size_t n, char *line, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        int k = snprintf(line + used, size - used, "%s%s", i ? "," : "", names[i]);
        if (k < 0 || (size_t)k + 2 > size - used)
            break;
        used += (size_t)k;
    }
    line[used++] = '\n';
    return used;
}

static int number(double x, char *text, size_t size)
{
    if (isnan(x))
        return 0;
    if (x == floor(x) && fabs(x) < 1e15)
        return snprintf(text, size, "%.0f", x);
    for (int digits = 6; digits < 17; digits++) {
        int n = snprintf(text, size, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            return n;
    }
    return snprintf(text, size, "%.17g", x);
}

size_t run_csv_row(const double *values, size_t n, char *line, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < n && used + 40 < size; i++) {
        if (i)
            line[used++] = ',';
        used += (size_t)number(values[i], line + used, size - used);
    }
    line[used++] = '\n';
    return used;
}

/* ---- Reading ---- */

struct table {
    int place[WIDTH_MAX]; /* of each cell of a line: which of the names, or -1 */
    size_t width, n_names;
    double *rows; /* row by row */
    size_t n, cap;
};

static void read_header(struct table *t, char *line, const char *const *names)
{
    for (char *cell; (cell = strsep(&line, ",\n")) && t->width < WIDTH_MAX;) {
        t->place[t->width] = -1;
        for (size_t i = 0; *cell && i < t->n_names; i++) {
            if (!strcmp(names[i], cell))
                t->place[t->width] = (int)i;
        }
        t->width++;
    }
}

static int read_row(struct table *t, char *line)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 256;
        double *grown = realloc(t->rows, cap * t->n_names * sizeof(double));
        if (!grown || t->n >= ROWS_MAX)
            return -1;
        t->rows = grown;
        t->cap = cap;
    }
    double *row = t->rows + t->n * t->n_names;
    for (size_t i = 0; i < t->n_names; i++)
        row[i] = NAN;
    size_t at = 0;
    for (char *cell, *end; (cell = strsep(&line, ",\n")) && at < t->width; at++) {
        double x = strtod(cell, &end);
        if (*end) /* not a number: the line is none of ours */
            return 0;
        if (end != cell && t->place[at] >= 0)
            row[t->place[at]] = x;
    }
    t->n++;
    return 0;
}

/* Row by row becomes name by name. */
static double *turn(const struct table *t)
{
    double *values = malloc((t->n * t->n_names + 1) * sizeof(double));
    for (size_t i = 0; values && i < t->n; i++) {
        for (size_t j = 0; j < t->n_names; j++)
            values[j * t->n + i] = t->rows[i * t->n_names + j];
    }
    return values;
}

int run_csv_load(const char *path, const char *const *names, size_t n_names, double **ret_values,
                 size_t *ret_n, char *why)
{
    struct table *t = calloc(1, sizeof(*t));
    char *line = NULL;
    size_t cap = 0;
    int rc = 0;
    FILE *in = t ? fopen(path, "re") : NULL;
    if (!in) {
        free(t);
        return run_tensors_fail(why, "%.300s: %s", path, strerror(errno));
    }
    t->n_names = n_names;
    for (ssize_t n; rc == 0 && (n = getline(&line, &cap, in)) > 0;) {
        if (line[n - 1] != '\n')
            break;
        if (!t->width)
            read_header(t, line, names);
        else
            rc = read_row(t, line);
    }
    free(line);
    fclose(in);
    *ret_values = rc == 0 ? turn(t) : NULL;
    *ret_n = t->n;
    free(t->rows);
    free(t);
    return *ret_values ? 0 : run_tensors_fail(why, "%.300s: no memory, or too many rows", path);
}
