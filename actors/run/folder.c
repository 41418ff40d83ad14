#include "actors/run/folder.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/report/folders.h"
#include "actors/report/tensorboard.h"
#include "actors/run/tensors_inner.h"

#define RUNS_MAX    1000000u
#define HPARAMS_MAX 128u

/* ---- Which folder ---- */

static void clean_name(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (; *name && n + 1 < size && n < 80; name++) {
        unsigned char c = (unsigned char)*name;
        out[n++] = c >= 0x80 || isalnum(c) || strchr("-_.", c) ? (char)c : '_';
    }
    out[n] = 0;
    if (!n || out[0] == '.')
        snprintf(out, size, "run");
}

/* The next number that is not there; mkdir() decides between two who ask at once. */
static int make_new(const char *parent, const char *name, struct run_folder *f, char *why)
{
    char base[128];
    clean_name(name, base, sizeof(base));
    int error = report_make_folders(parent);
    for (unsigned i = 1; !error && i < RUNS_MAX; i++) {
        if (snprintf(f->path, sizeof(f->path), "%s/%s-%u", parent, base, i) >= (int)sizeof(f->path))
            error = -ENAMETOOLONG;
        else if (mkdir(f->path, 0777) == 0)
            return 0;
        else if (errno != EEXIST)
            error = -errno;
    }
    return run_tensors_fail(why, "a folder for the run in %.300s: %s", parent,
                            strerror(error ? -error : EEXIST));
}

const char *run_folder_in(const struct run_folder *folder, const char *name, char *path)
{
    snprintf(path, RUN_PATH_MAX, "%.*s/%s", (int)(RUN_PATH_MAX - 64), folder->path, name);
    return path;
}

int run_folder_open(const char *path, const char *parent, const char *name, struct run_folder *ret,
                    char *why)
{
    char lock[RUN_PATH_MAX], config[RUN_PATH_MAX];
    struct run_folder f = {.lock = -1};
    if (path && strlen(path) >= RUN_PATH_MAX - 64)
        return run_tensors_fail(why, "the run's folder has too long a path: %.100s…", path);
    if (!path && make_new(parent, name, &f, why))
        return -1;
    if (path) {
        snprintf(f.path, sizeof(f.path), "%s", path);
        int error = report_make_folders(path);
        if (error)
            return run_tensors_fail(why, "the run's folder %.300s: %s", path, strerror(-error));
    }
    f.lock = open(run_folder_in(&f, "lock", lock), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f.lock < 0)
        return run_tensors_fail(why, "the run's folder %.300s: %s", f.path, strerror(errno));
    if (flock(f.lock, LOCK_EX | LOCK_NB)) {
        close(f.lock);
        return run_tensors_fail(
            why, "another driver trains in %.300s just now; --folder takes another one", f.path);
    }
    f.resume = access(run_folder_in(&f, "config.yaml", config), F_OK) == 0;
    *ret = f;
    return 0;
}

void run_folder_close(struct run_folder *folder)
{
    if (folder->lock >= 0)
        close(folder->lock);
    folder->lock = -1;
}

/* ---- Settings ---- */

int run_folder_write_config(const struct run_folder *folder, const struct ppo_loaded *loaded,
                            char *why)
{
    char path[RUN_PATH_MAX], *text = NULL;
    size_t size = 0;
    struct run_file file;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return run_tensors_fail(why, "no memory");
    fputs("# What this run was told, and what follows from it: who said it stands behind it.\n",
          out);
    config_write(&ppo_schema, &loaded->config, loaded->origins, out);
    if (fclose(out)) {
        free(text);
        return run_tensors_fail(why, "no memory");
    }
    run_file_begin(&file, run_folder_in(folder, "config.yaml", path));
    run_file_put(&file, text, size);
    int error = run_file_commit(&file);
    free(text);
    return error ? run_tensors_fail(why, "%.300s: %s", path, strerror(-error)) : 0;
}

struct hparams {
    struct report_tb_hparam all[HPARAMS_MAX];
    char *texts[HPARAMS_MAX];
    size_t n;
};

static void add(struct hparams *h, const struct config_key *key, const struct ppo_settings *config,
                char *text)
{
    const void *at = (const char *)config + key->offset;
    struct report_tb_hparam *one = &h->all[h->n];
    *one = (struct report_tb_hparam){.name = key->name, .kind = REPORT_TB_STRING};
    if (key->type == CONFIG_BOOL) {
        one->kind = REPORT_TB_BOOL;
        one->number = *(const bool *)at;
    } else if (key->type == CONFIG_NUMBER && isfinite(*(const double *)at)) {
        one->kind = REPORT_TB_NUMBER;
        one->number = *(const double *)at;
    } else if (key->type == CONFIG_INT && *(const int64_t *)at != CONFIG_NONE) {
        one->kind = REPORT_TB_NUMBER;
        one->number = (double)*(const int64_t *)at;
    } else {
        h->texts[h->n] = strdup(config_value(key, config, text));
        one->string = h->texts[h->n] ? h->texts[h->n] : "";
    }
    h->n++;
}

int run_write_hparams(struct report_tb *tb, double wall_time, const struct ppo_settings *config,
                      const char *const *metrics, size_t n_metrics)
{
    struct hparams *h = calloc(1, sizeof(*h));
    char *text = malloc(CONFIG_VALUE_MAX);
    int rc = h && text ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < ppo_schema.n && h->n < HPARAMS_MAX; i++) {
        bool sumo = !strncmp(ppo_schema.keys[i].name, "sumo.", 5);
        if (!sumo || config->has_sumo)
            add(h, &ppo_schema.keys[i], config, text);
    }
    if (rc == 0)
        rc = report_tb_hparams(tb, wall_time, h->all, h->n, metrics, n_metrics);
    for (size_t i = 0; h && i < h->n; i++)
        free(h->texts[i]);
    free(h);
    free(text);
    return rc;
}
