/* Plots as PNG files, drawn by the program gnuplot. No shell is involved, and nothing that a user
 * can name - titles, labels, paths - is ever a command of gnuplot's.
 *
 * The functions return NULL, or a sentence that is valid until the thread's next call. Without
 * gnuplot they return that sentence once in the life of the program and "" from then on, so that
 * who prints what is not empty says it once. The file is replaced as a whole or not at all. */
#ifndef ACTORS_REPORT_PLOT_H
#define ACTORS_REPORT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#define REPORT_PANELS_MAX 25u
#define REPORT_SERIES_MAX 64u /* of a panel */

/* What is infinite or no number is a gap, and so is y <= 0 on a logarithmic axis. Of more than
 * 20,000, a line keeps the least and the greatest of each run of neighbours, and points are thinned
 * evenly. */
struct report_series {
    const char *label; /* NULL or "": not in the legend */
    const double *x, *y;
    size_t n;
    bool points; /* else a line */
};
struct report_panel {
    const char *title, *x_label, *y_label; /* each may be NULL */
    bool log_y;
    const struct report_series *series;
    size_t n;
};

const char *report_plot(const char *path_png, const char *title, const char *x_label,
                        const char *y_label, bool log_y, const struct report_series *series,
                        size_t n);
/* Several panels in one picture, row by row. */
const char *report_plot_grid(const char *path_png, const char *title,
                             const struct report_panel *panels, size_t n_panels);
/* How long gnuplot may take before it is killed: 30 s. Tests wait less. */
void report_plot_set_limit(unsigned milliseconds);

#endif
