/* The evaluations of a run, durable in the key-value store, numbered in the order in which they
 * counted: under de/NAME/NUMBER stand those that came together, the number is the first one's. */
#ifndef ACTORS_DE_JOURNAL_H
#define ACTORS_DE_JOURNAL_H

#include <rtc/de.h>

struct de_entry { /* as it is stored; the point and then the moments follow */
    double value, seconds, time;
    uint64_t objective; /* digest of it: another objective's values mean nothing */
    uint64_t settings;  /* digest of the method and its options */
    uint64_t id,
        asked; /* the method's trial; how many it had asked for when it was told this one */
    uint32_t n, n_moments, failed, counts; /* counts: of the method's, not of polishing */
    char node[32];
};
struct de_journal {
    struct rtc *rtc;
    char prefix[80];
    uint32_t n;
    uint64_t objective, settings, next_number;
    struct de_entry **table, **order; /* by the hash of their points; in the order of the store */
    size_t cap_table, n_table, n_order, cap_order;
    size_t n_pending, pending_size; /* the last ones of the order wait to be put */
};

/* Reads what is stored. RTC_E_EXISTS: it is of another number of parameters. */
int de_journal_open(struct de_journal *journal, struct rtc *rtc, const char *name, uint32_t n,
                    uint64_t objective, uint64_t settings);
void de_journal_close(struct de_journal *journal);
static inline const double *de_entry_x(const struct de_entry *entry)
{
    return (const double *)(entry + 1);
}
static inline const double *de_entry_moments(const struct de_entry *entry)
{
    return (const double *)(entry + 1) + entry->n;
}
/* The evaluation of this objective at exactly this point, or NULL. */
const struct de_entry *de_journal_find(const struct de_journal *journal, const double *x);
/* Adds one; it is found at once, and durable after de_journal_flush(). `entry` needs no digests. */
int de_journal_add(struct de_journal *journal, const struct de_entry *entry, const double *x,
                   const double *moments);
/* How many workers a run under these settings began with, since that may decide its first
 * population: *workers is written down when it begins, and read when it goes on elsewhere. */
int de_journal_begin(struct de_journal *journal, uint32_t *workers);
/* Blocks: until all that was added is in the store. */
int de_journal_flush(struct de_journal *journal);
/* What the keys of a run begin with. */
void de_journal_prefix(const char *name, char *out, size_t size);

#endif
