#include "actors/de/digest.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX                                                                    \
    (64 << 20) /* larger files are data, and known by size and time of change alone \
                */

/* FNV-1a, 64 bits: a mark to tell things apart, not a defence. */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return text ? mix(hash, text, strlen(text) + 1) : mix(hash, "\1", 1);
}

static uint64_t mix_numbers(uint64_t hash, const double *numbers, size_t n)
{
    hash = mix(hash, &n, sizeof(n));
    return numbers ? mix(hash, numbers, n * sizeof(double)) : hash;
}

static uint64_t mix_file(uint64_t hash, const char *path)
{
    char block[1 << 16];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return hash;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return hash;
    }
    hash = mix(hash, &st.st_size, sizeof(st.st_size));
    if (st.st_size > FILE_MAX)
        hash = mix(hash, &st.st_mtim, sizeof(st.st_mtim));
    for (ssize_t n; st.st_size <= FILE_MAX && (n = read(fd, block, sizeof(block))) > 0;)
        hash = mix(hash, block, (size_t)n);
    close(fd);
    return hash;
}

/* The words of a command that are files. */
static uint64_t mix_words(uint64_t hash, const char *command)
{
    char word[1024];
    for (const char *at = command; *at;) {
        at += strspn(at, " \t\n;|&<>()'\"`");
        size_t len = strcspn(at, " \t\n;|&<>()'\"`");
        if (len && len < sizeof(word)) {
            memcpy(word, at, len);
            word[len] = 0;
            if (word[0] != '$')
                hash = mix_file(hash, word);
        }
        at += len;
    }
    return hash;
}

uint64_t de_digest_objective(const struct rtc_de_options *o)
{
    uint64_t hash = mix(0xcbf29ce484222325u, &o->kind, sizeof(o->kind));
    hash = mix(hash, &o->input, sizeof(o->input));
    const char *const texts[] = {o->objective, o->value_field, o->moments_field, o->version};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        hash = mix_text(hash, texts[i]);
    if (o->version)
        return hash;
    char path[1024];
    switch (o->kind) {
    case RTC_DE_TASK: return mix_file(hash, "/proc/self/exe");
    case RTC_DE_COMMAND:
    case RTC_DE_PERSISTENT: return mix_words(hash, o->objective);
    case RTC_DE_LIBRARY:
        snprintf(path, sizeof(path), "%s", o->objective);
        if (strrchr(path, ':'))
            *strrchr(path, ':') = 0;
        return mix_file(hash, path);
    default: return hash;
    }
}

uint64_t de_digest_settings(const struct rtc_de_options *o)
{
    const uint32_t words[] = {o->method,
                              o->async,
                              o->population,
                              o->popsize,
                              o->compat,
                              o->max_generations,
                              o->immediate,
                              o->vectorized,
                              o->init,
                              o->full_weights,
                              o->relative,
                              o->n,
                              o->n_moments,
                              o->n_init,
                              o->polish,
                              o->n_constraints,
                              o->strategy_fn != NULL};
    const double numbers[] = {o->tol,           o->atol,
                              o->mutation[0],   o->mutation[1],
                              o->recombination, o->penalty ? *o->penalty : INFINITY};
    uint64_t hash = mix(0xcbf29ce484222325u, words, sizeof(words));
    hash = mix(hash, &o->seed, sizeof(o->seed));
    hash = mix(hash, &o->max_evaluations,
               o->method == RTC_DE_CLASSIC ? 0 : sizeof(o->max_evaluations));
    hash = mix(hash, numbers, sizeof(numbers));
    hash = mix_text(hash, o->strategy);
    hash = mix_numbers(hash, o->lower, o->n);
    hash = mix_numbers(hash, o->upper, o->n);
    hash = mix_numbers(hash, o->x0, o->x0 ? o->n : 0);
    hash = mix_numbers(hash, o->init_points, o->init_points ? (size_t)o->n_init * o->n : 0);
    hash = mix_numbers(hash, o->targets, o->targets ? o->n_moments : 0);
    size_t weights = o->full_weights ? (size_t)o->n_moments * o->n_moments : o->n_moments;
    hash = mix_numbers(hash, o->weights, o->weights ? weights : 0);
    for (uint32_t i = 0; i < o->n && o->integrality; i++)
        hash = mix(hash, &o->integrality[i], sizeof(bool));
    for (uint32_t i = 0; i < o->n_constraints; i++) {
        const struct rtc_de_constraint *c = &o->constraints[i];
        hash = mix_numbers(hash, c->matrix, c->matrix ? (size_t)c->m * o->n : 0);
        hash = mix_text(hash, c->text);
        hash = mix_numbers(hash, c->lower, c->lower ? c->m : 0);
        hash = mix_numbers(hash, c->upper, c->upper ? c->m : 0);
    }
    return hash;
}

double de_value_of(const struct rtc_de_options *o, double own, const double *moments,
                   uint32_t n_moments)
{
    if (!o->targets)
        return own;
    if (n_moments != o->n_moments)
        return NAN;
    double sum = 0;
    for (uint32_t i = 0; i < n_moments; i++) {
        double gap = moments[i] - o->targets[i], row = 0;
        gap = o->relative ? gap / o->targets[i] : gap;
        if (!o->full_weights) {
            sum += (o->weights ? o->weights[i] : 1) * gap * gap;
            continue;
        }
        for (uint32_t k = 0; k < n_moments; k++) {
            double other = moments[k] - o->targets[k];
            other = o->relative ? other / o->targets[k] : other;
            row += o->weights[(size_t)i * n_moments + k] * other;
        }
        sum += gap * row;
    }
    return sum;
}
