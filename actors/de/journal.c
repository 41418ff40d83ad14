#include "actors/de/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (256u << 10) /* of evaluations under one key: a key costs more than they do */
#define FLUSH_BYTES (900u << 10) /* a commit takes 1 MiB */
#define BLOCKS      (2 * FLUSH_BYTES / BLOCK_BYTES + 2) /* of a flush: two neighbours exceed one */

static uint64_t hash_point(const double *x, uint32_t n)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, &x[i], sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static size_t size_of(uint32_t n, uint32_t n_moments)
{
    return sizeof(struct de_entry) + ((size_t)n + n_moments) * sizeof(double);
}

/* A slash within the name would put one run's keys among another's. */
void de_journal_prefix(const char *name, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "de/");
    for (const char *c = name ? name : "run"; *c && at + 5 < size; c++) {
        if (*c == '/' || *c == '%')
            at += (size_t)snprintf(out + at, size - at, "%%%02x", (unsigned)*c);
        else
            out[at++] = *c;
    }
    snprintf(out + at, size - at, "/");
}

/* The newest evaluation of a point is the one that is found. */
static void index_entry(struct de_journal *j, struct de_entry *entry)
{
    size_t mask = j->cap_table - 1;
    uint64_t at = hash_point(de_entry_x(entry), j->n);
    while (j->table[at & mask] &&
           memcmp(de_entry_x(j->table[at & mask]), de_entry_x(entry), j->n * sizeof(double)) != 0)
        at++;
    j->n_table += !j->table[at & mask];
    j->table[at & mask] = entry;
}

static bool grow(struct de_journal *j)
{
    if (j->n_order == j->cap_order) {
        size_t cap = j->cap_order ? 2 * j->cap_order : 1024;
        struct de_entry **order = realloc(j->order, cap * sizeof(struct de_entry *));
        if (!order)
            return false;
        j->order = order;
        j->cap_order = cap;
    }
    if (2 * (j->n_table + 1) <= j->cap_table)
        return true;
    size_t cap = j->cap_table ? 2 * j->cap_table : 1024, old_cap = j->cap_table;
    struct de_entry **old = j->table, **table = calloc(cap, sizeof(struct de_entry *));
    if (!table)
        return false;
    j->table = table;
    j->cap_table = cap;
    j->n_table = 0;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i])
            index_entry(j, old[i]);
    }
    free(old);
    return true;
}

/* Takes a copy in; only those of this objective are found. */
static int take(struct de_journal *j, struct de_entry *copy)
{
    if (!grow(j)) {
        free(copy);
        return RTC_E_NOMEM;
    }
    j->order[j->n_order++] = copy;
    if (copy->objective == j->objective)
        index_entry(j, copy);
    return 0;
}

static bool well_formed(const struct de_entry *head, size_t size)
{
    return head->n_moments <= RTC_DE_MOMENTS_MAX && head->n <= 100000 &&
           size >= size_of(head->n, head->n_moments) &&
           memchr(head->node, 0, sizeof(head->node)) != NULL;
}

struct loading {
    struct de_journal *journal;
    int rc;
};

/* The evaluations of a block, one by one; false when it ends, or is garbage. */
static bool next_of(const void *data, size_t size, size_t *at, struct de_entry **ret_copy)
{
    struct de_entry head;
    const char *bytes = data;
    *ret_copy = NULL;
    if (size - *at < sizeof(head))
        return false;
    memcpy(&head, bytes + *at, sizeof(head)); /* it need not be aligned */
    if (!well_formed(&head, size - *at))
        return false;
    size_t whole = size_of(head.n, head.n_moments);
    *ret_copy = malloc(whole);
    if (*ret_copy)
        memcpy(*ret_copy, bytes + *at, whole);
    *at += whole;
    return true;
}

static int load_block(void *arg, const char *key, const void *data, size_t size)
{
    struct loading *loading = arg;
    struct de_journal *j = loading->journal;
    struct de_entry *copy;
    size_t at = 0;
    const char *number = strrchr(key, '/');
    if (number)
        j->next_number = strtoull(number + 1, NULL, 10); /* they come in order */
    while (loading->rc == 0 && next_of(data, size, &at, &copy)) {
        j->next_number++;
        if (copy && copy->n == j->n) {
            loading->rc = take(j, copy);
            continue;
        }
        loading->rc = copy ? RTC_E_EXISTS : RTC_E_NOMEM;
        free(copy);
    }
    return loading->rc;
}

int de_journal_open(struct de_journal *journal, struct rtc *rtc, const char *name, uint32_t n,
                    uint64_t objective, uint64_t settings)
{
    struct loading loading = {journal, 0};
    *journal =
        (struct de_journal){.rtc = rtc, .n = n, .objective = objective, .settings = settings};
    de_journal_prefix(name, journal->prefix, sizeof(journal->prefix));
    if (!grow(journal))
        return RTC_E_NOMEM;
    int rc = rtc_kv_list(rtc, journal->prefix, load_block, &loading);
    return rc < 0 ? rc : loading.rc;
}

int de_journal_begin(struct de_journal *journal, uint32_t *workers)
{
    char key[128];
    void *data = NULL;
    size_t size = 0;
    snprintf(key, sizeof(key), "de-run%s%016llx", journal->prefix + strlen("de"),
             (unsigned long long)(journal->settings ^ journal->objective));
    int rc = rtc_kv_get(journal->rtc, key, &data, &size);
    if (rc == RTC_E_NOT_FOUND)
        return rtc_kv_put(journal->rtc, key, workers, sizeof(*workers));
    if (rc == 0 && size == sizeof(*workers))
        memcpy(workers, data, sizeof(*workers));
    free(data);
    return rc;
}

void de_journal_close(struct de_journal *journal)
{
    for (size_t i = 0; i < journal->n_order; i++)
        free(journal->order[i]);
    free(journal->order);
    free(journal->table);
    *journal = (struct de_journal){0};
}

const struct de_entry *de_journal_find(const struct de_journal *j, const double *x)
{
    for (uint64_t at = hash_point(x, j->n); j->table[at & (j->cap_table - 1)]; at++) {
        const struct de_entry *entry = j->table[at & (j->cap_table - 1)];
        if (!memcmp(de_entry_x(entry), x, j->n * sizeof(double)))
            return entry;
    }
    return NULL;
}

int de_journal_add(struct de_journal *journal, const struct de_entry *entry, const double *x,
                   const double *moments)
{
    size_t size = size_of(entry->n, entry->n_moments);
    if (journal->pending_size + size > FLUSH_BYTES) {
        int rc = de_journal_flush(journal);
        if (rc < 0)
            return rc;
    }
    struct de_entry *copy = malloc(size);
    if (!copy)
        return RTC_E_NOMEM;
    *copy = *entry;
    copy->objective = journal->objective;
    copy->settings = journal->settings;
    memcpy(copy + 1, x, entry->n * sizeof(double));
    if (entry->n_moments)
        memcpy((double *)(copy + 1) + entry->n, moments, entry->n_moments * sizeof(double));
    int rc = take(journal, copy);
    journal->pending_size += rc == 0 ? size : 0;
    journal->n_pending += rc == 0;
    return rc;
}

int de_journal_flush(struct de_journal *journal)
{
    char keys[BLOCKS][104];
    struct rtc_kv_pair pairs[BLOCKS];
    size_t n = journal->n_pending, n_pairs = 0, begins = 0, at = 0;
    char *all = n ? malloc(journal->pending_size) : NULL;
    if (!all)
        return n ? RTC_E_NOMEM : 0;
    for (size_t i = 0; i < n; i++) {
        const struct de_entry *entry = journal->order[journal->n_order - n + i];
        size_t size = size_of(entry->n, entry->n_moments);
        if (i == 0 || at + size - begins > BLOCK_BYTES) {
            begins = at;
            snprintf(keys[n_pairs], sizeof(keys[0]), "%s%012llu", journal->prefix,
                     (unsigned long long)(journal->next_number + i));
            pairs[n_pairs] = (struct rtc_kv_pair){keys[n_pairs], all + at, 0};
            n_pairs++;
        }
        memcpy(all + at, entry, size);
        at += size;
        pairs[n_pairs - 1].size = at - begins;
    }
    journal->next_number += n;
    journal->n_pending = 0;
    journal->pending_size = 0;
    int rc = rtc_kv_put_many(journal->rtc, pairs, n_pairs);
    free(all);
    return rc;
}

/* ---- For others ---- */

struct reader {
    int (*fn)(void *arg, const struct rtc_de_evaluation *evaluation);
    void *arg;
};

static int read_block(void *arg, const char *key, const void *data, size_t size)
{
    struct reader *reader = arg;
    struct de_entry *e;
    size_t at = 0;
    int rc = 0;
    const char *text = strrchr(key, '/');
    uint64_t number = text ? strtoull(text + 1, NULL, 10) : 0;
    while (rc == 0 && next_of(data, size, &at, &e)) {
        if (!e)
            return RTC_E_NOMEM;
        struct rtc_de_evaluation evaluation = {.number = number++,
                                               .objective = e->objective,
                                               .value = e->value,
                                               .seconds = e->seconds,
                                               .time = e->time,
                                               .failed = e->failed,
                                               .node = e->node,
                                               .n = e->n,
                                               .n_moments = e->n_moments,
                                               .x = de_entry_x(e),
                                               .moments = de_entry_moments(e)};
        rc = reader->fn(reader->arg, &evaluation);
        free(e);
    }
    return rc;
}

int rtc_de_evaluations(struct rtc *rtc, const char *name,
                       int (*fn)(void *arg, const struct rtc_de_evaluation *evaluation), void *arg)
{
    char prefix[80];
    struct reader reader = {fn, arg};
    de_journal_prefix(name, prefix, sizeof(prefix));
    return rtc_kv_list(rtc, prefix, read_block, &reader);
}
