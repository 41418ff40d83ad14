#include "actors/run/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actors/report/folders.h"
#include "actors/report/tensorboard.h"
#include "actors/run/csv.h"
#include "actors/run/file.h"
#include "actors/run/tensors_inner.h"

#define LINE_MAX_BYTES (RUN_COLUMNS_MAX * 96u)

static const char *const own[] = {"training_iteration", "timesteps_total", "time_total_s",
                                  "timestamp"};
#define N_OWN 4u

struct run_rows {
    struct run_rows_options o;
    int csv, json;
    bool csv_told, json_told, tb_told;
    struct report_tb *tb;
    char line[LINE_MAX_BYTES];
};

/* ---- What was there ---- */

static uint64_t iteration_of_json(const char *line)
{
    json_t *row = json_loads(line, 0, NULL);
    const json_t *n = row ? json_object_get(row, own[0]) : NULL;
    uint64_t iteration = json_is_integer(n) ? (uint64_t)json_integer_value(n) : UINT64_MAX;
    json_decref(row);
    return iteration;
}

/* Lines that are whole and not later. */
static int cut_json(const char *path, uint64_t iteration)
{
    struct run_file out;
    char *line = NULL;
    size_t cap = 0;
    FILE *in = fopen(path, "re");
    if (!in)
        return errno == ENOENT ? 0 : -errno;
    run_file_begin(&out, path);
    for (ssize_t n; (n = getline(&line, &cap, in)) > 0;) {
        if (line[n - 1] == '\n' && iteration_of_json(line) <= iteration)
            run_file_put(&out, line, (size_t)n);
    }
    free(line);
    fclose(in);
    return run_file_commit(&out);
}

/* Under the names of today: an older version may have had others. */
static int cut_csv(struct run_rows *r, const char *path, char *why)
{
    const char *names[N_OWN + RUN_COLUMNS_MAX];
    double *values = NULL;
    size_t n = 0, width = N_OWN + r->o.n_columns;
    struct run_file out;
    memcpy(names, own, sizeof(own));
    memcpy(names + N_OWN, r->o.columns, r->o.n_columns * sizeof(*names));
    if (access(path, F_OK) == 0 && run_csv_load(path, names, width, &values, &n, why))
        return -1;
    run_file_begin(&out, path);
    size_t size = run_csv_header(names, width, r->line, sizeof(r->line));
    run_file_put(&out, r->line, size);
    for (size_t i = 0; i < n; i++) {
        double row[N_OWN + RUN_COLUMNS_MAX];
        for (size_t j = 0; j < width; j++)
            row[j] = values[j * n + i];
        if (!(row[0] <= (double)r->o.iteration) || !r->o.resume)
            continue;
        size = run_csv_row(row, width, r->line, sizeof(r->line));
        run_file_put(&out, r->line, size);
    }
    free(values);
    int error = run_file_commit(&out);
    return error ? run_tensors_fail(why, "%.300s: %s", path, strerror(-error)) : 0;
}

/* ---- Life ---- */

static double run_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int open_files(struct run_rows *r, char *why)
{
    char csv[RUN_PATH_MAX], json[RUN_PATH_MAX], tb[RUN_PATH_MAX];
    const char *folder = r->o.folder ? r->o.folder : ".";
    int error = report_make_folders(folder);
    if (snprintf(csv, sizeof(csv), "%s/progress.csv", folder) >= (int)sizeof(csv) - 16)
        error = -ENAMETOOLONG;
    if (error)
        return run_tensors_fail(why, "%.300s: %s", folder, strerror(-error));
    snprintf(json, sizeof(json), "%s/result.json", folder);
    snprintf(tb, sizeof(tb), "%s/tensorboard", folder);
    if (!r->o.resume)
        unlink(csv);
    if (cut_csv(r, csv, why))
        return -1;
    error = r->o.resume ? cut_json(json, r->o.iteration) : 0;
    int more = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    r->csv = open(csv, more, 0666);
    r->json = error ? -1 : open(json, more | (r->o.resume ? 0 : O_TRUNC), 0666);
    if (r->csv < 0 || r->json < 0)
        return run_tensors_fail(why, "%.300s: %s", r->csv < 0 ? csv : json,
                                strerror(error ? -error : errno));
    error = r->o.tensorboard ? report_tb_open(tb, &r->tb) : 0;
    if (r->tb && r->o.resume)
        error = report_tb_restart(r->tb, (int64_t)r->o.samples + 1, run_now());
    return error ? run_tensors_fail(why, "%.300s: %s", tb, strerror(-error)) : 0;
}

int run_rows_open(const struct run_rows_options *options, struct run_rows **ret, char *why)
{
    struct run_rows *r = calloc(1, sizeof(*r));
    if (!r || options->n_columns > RUN_COLUMNS_MAX) {
        free(r);
        return run_tensors_fail(why, "no memory, or more than %u columns", RUN_COLUMNS_MAX);
    }
    r->o = *options;
    r->csv = r->json = -1;
    if (open_files(r, why)) {
        run_rows_close(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

void run_rows_close(struct run_rows **rows)
{
    struct run_rows *r = *rows;
    if (!r)
        return;
    if (r->csv >= 0)
        close(r->csv);
    if (r->json >= 0)
        close(r->json);
    report_tb_close(r->tb);
    free(r);
    *rows = NULL;
}

struct report_tb *run_rows_tensorboard(struct run_rows *rows)
{
    return rows->tb;
}

/* ---- Adding ---- */

/* A torn line is taken back, so that the next one stands alone. */
static int append(int fd, const char *line, size_t size)
{
    off_t before = lseek(fd, 0, SEEK_END);
    ssize_t n;
    do
        n = write(fd, line, size);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)size)
        return 0;
    int error = n < 0 ? -errno : -ENOSPC;
    if (n > 0 && before >= 0 && ftruncate(fd, before))
        return error;
    return error;
}

static int add_csv(struct run_rows *r, const struct run_row *row)
{
    double all[N_OWN + RUN_COLUMNS_MAX] = {(double)row->iteration, (double)row->samples,
                                           row->seconds, row->wall_time};
    memcpy(all + N_OWN, row->values, r->o.n_columns * sizeof(double));
    return append(r->csv, r->line,
                  run_csv_row(all, N_OWN + r->o.n_columns, r->line, sizeof(r->line)));
}

static int add_json(struct run_rows *r, const struct run_row *row)
{
    json_t *one = json_pack("{s:I, s:I, s:f, s:f}", own[0], (json_int_t)row->iteration, own[1],
                            (json_int_t)row->samples, own[2], row->seconds, own[3], row->wall_time);
    for (size_t i = 0; one && i < r->o.n_columns; i++) /* JSON has no word for what is not finite */
        json_object_set_new(one, r->o.columns[i],
                            isfinite(row->values[i]) ? json_real(row->values[i]) : json_null());
    char *text = one ? json_dumps(one, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(one);
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    text[size++] = '\n'; /* in the place of the zero */
    int error = append(r->json, text, size);
    free(text);
    return error;
}

static int add_scalars(struct run_rows *r, const struct run_row *row)
{
    int error = 0;
    for (size_t i = 0; r->tb && i < r->o.n_columns && !error; i++) {
        if (!isnan(row->values[i]))
            error = report_tb_scalar(r->tb, r->o.columns[i], (int64_t)row->samples, row->wall_time,
                                     row->values[i]);
    }
    return error;
}

static int tell(bool *told, int error, const char *name, char *why)
{
    bool first = error && !*told;
    *told = error != 0;
    return first
               ? run_tensors_fail(why, "%s: %s; this row is missing in it", name, strerror(-error))
               : 0;
}

int run_rows_add(struct run_rows *r, const struct run_row *row, char *why)
{
    int csv = add_csv(r, row), json = add_json(r, row), tb = add_scalars(r, row);
    int rc = tell(&r->csv_told, csv, "progress.csv", why);
    rc |= tell(&r->json_told, json, "result.json", why);
    rc |= tell(&r->tb_told, tb, "TensorBoard's events", why);
    return rc;
}
