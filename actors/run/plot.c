/* The learning curve of a run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/report/plot.h"
#include "actors/run/csv.h"
#include "actors/run/file.h"
#include "actors/run/rows.h"
#include "actors/run/tensors.h"

struct curve {
    const char *column, *label;
    unsigned panel;
};
static const char *const titles[] = {"return", "loss", "policy", "samples a second"};
#define PANELS 4u
static const struct curve curves[] = {
    {"timesteps_total", NULL, PANELS}, /* the axis */
    {"episode_reward_mean", "mean", 0}, {"episode_reward_max", "max", 0},
    {"episode_reward_min", "min", 0},   {"evaluation/episode_reward_mean", "evaluation", 0},
    {"policy_loss", "policy", 1},       {"vf_loss", "value", 1},
    {"entropy", "entropy", 2},          {"kl", "KL", 2},
    {"clip_fraction", "clipped", 2},    {"samples_per_second", NULL, 3},
};
#define CURVES (sizeof(curves) / sizeof(curves[0]))

int run_rows_load(const char *folder, const char *const *names, size_t n_names, double **ret_values,
                  size_t *ret_n, char *why)
{
    char path[RUN_PATH_MAX];
    snprintf(path, sizeof(path), "%s/progress.csv", folder);
    return run_csv_load(path, names, n_names, ret_values, ret_n, why);
}

/* Lines do not go over gaps: of a curve that has a number now and then, only those. */
static size_t without_gaps(const double *x, const double *y, size_t n, double *out_x, double *out_y)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(y[i])) {
            out_x[k] = x[i];
            out_y[k++] = y[i];
        }
    }
    return k;
}

static const char *draw(const char *path, const char *title, const double *values, size_t n,
                        double *dense)
{
    struct report_series series[CURVES];
    struct report_panel panels[PANELS];
    size_t n_series = 0, n_panels = 0;
    for (unsigned panel = 0; panel < PANELS; panel++) {
        size_t first = n_series;
        for (size_t i = 1; i < CURVES; i++) {
            double *x = dense + 2 * i * n, *y = x + n;
            size_t k = curves[i].panel == panel ? without_gaps(values, values + i * n, n, x, y) : 0;
            if (k)
                series[n_series++] = (struct report_series){curves[i].label, x, y, k, k == 1};
        }
        if (n_series > first)
            panels[n_panels++] = (struct report_panel){titles[panel],  "samples",       NULL, false,
                                                       &series[first], n_series - first};
    }
    return n_panels ? report_plot_grid(path, title, panels, n_panels) : NULL;
}

const char *run_rows_plot(const char *folder, const char *title)
{
    static _Thread_local char why[RUN_WHY_MAX];
    const char *names[CURVES];
    char path[RUN_PATH_MAX];
    double *values;
    size_t n;
    for (size_t i = 0; i < CURVES; i++)
        names[i] = curves[i].column;
    if (run_rows_load(folder, names, CURVES, &values, &n, why))
        return why;
    double *dense = malloc((2 * CURVES * n + 1) * sizeof(double));
    if (snprintf(path, sizeof(path), "%s/learning.png", folder) >= (int)sizeof(path) || !dense) {
        free(values);
        free(dense);
        return "learning.png: no memory, or too long a path";
    }
    const char *sentence = draw(path, title, values, n, dense);
    free(values);
    free(dense);
    return sentence;
}
