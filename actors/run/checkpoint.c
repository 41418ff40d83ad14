#include "actors/run/checkpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/report/folders.h"
#include "actors/run/tensors_inner.h"

#define PREFIX    "iteration-"
#define SUFFIX    ".safetensors"
#define TEXTS_MAX 4096u
#define LIST_MAX  100000u

/* ---- One ---- */

static int take_texts(const struct run_tensors *t, struct run_checkpoint *ret)
{
    const char *iteration = run_tensors_text(t, "rtc.iteration");
    const char *score = run_tensors_text(t, "rtc.score"), *final = run_tensors_text(t, "rtc.final");
    char *end = NULL;
    errno = 0;
    ret->iteration =
        iteration && isdigit((unsigned char)*iteration) ? strtoull(iteration, &end, 10) : 0;
    if (!end || *end || errno)
        return -1;
    ret->score = score ? strtod(score, &end) : NAN;
    if (score && (end == score || *end))
        return -1;
    ret->final = final && !strcmp(final, "true");
    ret->best = false;
    return 0;
}

static int look_at(const char *path, struct run_checkpoint *ret, char *why)
{
    struct run_tensors *t = NULL;
    struct stat st;
    snprintf(ret->path, sizeof(ret->path), "%s", path);
    if (run_tensors_read_header(path, &t, why))
        return -1;
    int rc = take_texts(t, ret);
    run_tensors_free(&t);
    ret->bytes = stat(path, &st) ? 0 : (uint64_t)st.st_size;
    return rc ? run_tensors_fail(why, "%.300s is no checkpoint: it does not say its iteration",
                                 path)
              : 0;
}

/* ---- All ---- */

static int by_iteration(const void *a, const void *b)
{
    const struct run_checkpoint *x = a, *y = b;
    if (x->iteration != y->iteration)
        return x->iteration < y->iteration ? -1 : 1;
    return strcmp(x->path, y->path);
}

static bool is_checkpoint(const char *name)
{
    size_t n = strlen(name), suffix = strlen(SUFFIX);
    return n > suffix && !strncmp(name, PREFIX, strlen(PREFIX)) &&
           !strcmp(name + n - suffix, SUFFIX);
}

static void mark_best(struct run_checkpoint *all, size_t n, bool lower)
{
    struct run_checkpoint *best = NULL;
    for (size_t i = 0; i < n; i++) {
        double sign = lower ? -1 : 1;
        if (!isnan(all[i].score) && (!best || sign * all[i].score >= sign * best->score))
            best = &all[i];
    }
    if (best)
        best->best = true;
}

int run_checkpoint_list(const char *folder, bool lower_is_better, struct run_checkpoint **ret,
                        size_t *ret_n, char *why)
{
    struct run_checkpoint *all = NULL;
    size_t n = 0, cap = 0;
    char path[RUN_PATH_MAX], ignored[RUN_WHY_MAX];
    DIR *files = opendir(folder);
    if (!files)
        return run_tensors_fail(why, "the folder of checkpoints %.300s: %s", folder,
                                strerror(errno));
    for (struct dirent *file; (file = readdir(files)) && n < LIST_MAX;) {
        if (!is_checkpoint(file->d_name) ||
            snprintf(path, sizeof(path), "%s/%s", folder, file->d_name) >= (int)sizeof(path))
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 16;
            struct run_checkpoint *grown = realloc(all, cap * sizeof(*all));
            if (!grown)
                break;
            all = grown;
        }
        n += look_at(path, &all[n], ignored) == 0;
    }
    closedir(files);
    if (n)
        qsort(all, n, sizeof(*all), by_iteration);
    mark_best(all, n, lower_is_better);
    *ret = all;
    *ret_n = n;
    return 0;
}

/* ---- Writing ---- */

static void remove_others(const char *folder, const struct run_keep *keep)
{
    struct run_checkpoint *all;
    size_t n, final = SIZE_MAX;
    char ignored[RUN_WHY_MAX];
    if (!keep->last_n || run_checkpoint_list(folder, keep->lower_is_better, &all, &n, ignored))
        return;
    for (size_t i = 0; i < n; i++)
        final = all[i].final ? i : final;
    for (size_t i = 0; i + keep->last_n < n; i++) {
        if (!all[i].best && i != final)
            unlink(all[i].path);
    }
    free(all);
}

int run_checkpoint_write(const char *folder, uint64_t iteration, double score, bool final,
                         const struct run_tensor *tensors, size_t n, const struct run_text *texts,
                         size_t n_texts, const struct run_keep *keep, char *why)
{
    char path[RUN_PATH_MAX], number[24], points[40];
    struct run_text *all = n_texts < TEXTS_MAX ? malloc((n_texts + 3) * sizeof(*all)) : NULL;
    if (!all)
        return run_tensors_fail(why, "more than %u texts, or no memory", TEXTS_MAX);
    int error = report_make_folders(folder);
    if (error || snprintf(path, sizeof(path), "%s/" PREFIX "%08llu" SUFFIX, folder,
                          (unsigned long long)iteration) >= (int)sizeof(path)) {
        free(all);
        return run_tensors_fail(why, "the folder of checkpoints %.300s: %s", folder,
                                strerror(error ? -error : ENAMETOOLONG));
    }
    if (n_texts)
        memcpy(all, texts, n_texts * sizeof(*all));
    snprintf(number, sizeof(number), "%llu", (unsigned long long)iteration);
    snprintf(points, sizeof(points), "%.17g", score);
    all[n_texts++] = (struct run_text){"rtc.iteration", number};
    all[n_texts++] = (struct run_text){"rtc.final", final ? "true" : "false"};
    if (!isnan(score))
        all[n_texts++] = (struct run_text){"rtc.score", points};
    int rc = run_tensors_write(path, tensors, n, all, n_texts, why);
    free(all);
    if (rc == 0)
        remove_others(folder, keep);
    return rc;
}

/* ---- Reading ---- */

static int none_such(const struct run_checkpoint *all, size_t n, const char *folder,
                     const char *wanted, char *why)
{
    if (!n)
        return run_tensors_fail(why, "there is no checkpoint in %.300s", folder);
    return run_tensors_fail(
        why,
        "there is no checkpoint \"%.60s\" in %.250s: there are %zu, of iterations "
        "%llu to %llu (latest, best, final, a number, or a path)",
        wanted, folder, n, (unsigned long long)all[0].iteration,
        (unsigned long long)all[n - 1].iteration);
}

static const struct run_checkpoint *choose(const struct run_checkpoint *all, size_t n,
                                           const char *wanted)
{
    char *end;
    unsigned long long number = strtoull(wanted, &end, 10);
    bool is_number = isdigit((unsigned char)*wanted) && !*end;
    for (size_t i = n; i-- > 0;) {
        if ((is_number && all[i].iteration == number) || (!strcmp(wanted, "best") && all[i].best) ||
            (!strcmp(wanted, "final") && all[i].final))
            return &all[i];
    }
    return NULL;
}

/* Back from the latest to the first that is whole. */
static int read_latest(const struct run_checkpoint *all, size_t n, struct run_checkpoint *ret,
                       struct run_tensors **ret_tensors, char *note, char *why)
{
    char first[RUN_WHY_MAX] = "";
    for (size_t i = n; i-- > 0;) {
        if (run_tensors_read(all[i].path, ret_tensors, why) == 0) {
            *ret = all[i];
            if (first[0])
                run_tensors_fail(note, "%.380s; it goes on from iteration %llu", first,
                                 (unsigned long long)all[i].iteration);
            return 0;
        }
        if (!first[0])
            memcpy(first, why, sizeof(first));
    }
    return -1;
}

int run_checkpoint_read(const char *folder, const char *wanted, bool lower_is_better,
                        struct run_checkpoint *ret_checkpoint, struct run_tensors **ret_tensors,
                        char *note, char *why)
{
    struct run_checkpoint *all = NULL;
    size_t n = 0;
    note[0] = 0;
    if (wanted && strchr(wanted, '/')) {
        struct run_checkpoint one; /* `wanted` may be the path in the caller's */
        if (look_at(wanted, &one, why) || run_tensors_read(wanted, ret_tensors, why))
            return -1;
        *ret_checkpoint = one;
        return 0;
    }
    if (run_checkpoint_list(folder, lower_is_better, &all, &n, why))
        return -1;
    int rc = -1;
    if (n && (!wanted || !strcmp(wanted, "latest"))) {
        rc = read_latest(all, n, ret_checkpoint, ret_tensors, note, why);
    } else {
        const struct run_checkpoint *one = n ? choose(all, n, wanted) : NULL;
        rc = one ? run_tensors_read(one->path, ret_tensors, why)
                 : none_such(all, n, folder, wanted ? wanted : "latest", why);
        if (rc == 0)
            *ret_checkpoint = *one;
    }
    free(all);
    return rc;
}
