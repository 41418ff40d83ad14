/* Calls that may be made twice: an actor that saves its state makes those again, after a crash, of
 * which it does not know whether they were made. They have numbers that rise (rtci_call_number),
 * and come in that order from whichever incarnation makes them: so the last number that was seen of
 * each such actor says which ones are to be dropped. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/actor.h"
#include "runtime/exec/outbox.h"

#define SOURCES_MAX 4096u /* those that called last */

struct source {
    struct rtci_id id;
    uint64_t seen; /* in the mailbox, or behind it */
    uint64_t ran;  /* the state knows of those up to it */
    uint64_t used;
};
struct saved_source {
    struct rtci_id id;
    uint64_t ran;
};

struct sources {
    struct rtci_map by_id;
    struct source *at;
    uint32_t n, cap;
    uint64_t n_used;
};

static struct source *find(const struct host *host, struct rtci_id id)
{
    const uint32_t *at =
        host->sources ? rtci_map_find(&host->sources->by_id, id.seq, id.client) : NULL;
    return at ? &host->sources->at[*at] : NULL;
}

/* The place of the one that has not called for the longest time, or a new one. */
static struct source *place(struct sources *s)
{
    uint32_t oldest = 0;
    if (s->n < SOURCES_MAX && s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 16;
        struct source *at = realloc(s->at, cap * sizeof(*at));
        if (!at)
            return NULL;
        s->at = at;
        s->cap = cap;
    }
    if (s->n < SOURCES_MAX)
        return &s->at[s->n++];
    for (uint32_t i = 1; i < s->n; i++)
        oldest = s->at[i].used < s->at[oldest].used ? i : oldest;
    rtci_map_remove(&s->by_id, s->at[oldest].id.seq, s->at[oldest].id.client);
    return &s->at[oldest];
}

static struct source *source_of(struct host *host, struct rtci_id id)
{
    struct source *source = find(host, id);
    if (source)
        return source;
    if (!host->sources)
        host->sources = calloc(1, sizeof(*host->sources));
    source = host->sources ? place(host->sources) : NULL;
    if (!source)
        return NULL;
    *source = (struct source){.id = id};
    uint32_t index = (uint32_t)(source - host->sources->at);
    return rtci_map_set(&host->sources->by_id, id.seq, id.client, index) ? source : NULL;
}

static struct rtci_id maker_of(const struct rtci_spec *spec)
{
    return (struct rtci_id){spec->parent_seq, spec->parent_client, 0};
}

bool rtci_source_seen(const struct host *host, const struct rtci_spec *spec)
{
    const struct source *source = find(host, maker_of(spec));
    return source && rtci_call_number(spec) <= source->seen;
}

void rtci_source_came(struct host *host, const struct rtci_spec *spec)
{
    struct source *source = source_of(host, maker_of(spec));
    if (!source)
        rtci_host_exit(host, "out of memory for a call");
    source->seen = rtci_call_number(spec);
    source->used = ++host->sources->n_used;
}

void rtci_source_ran(struct host *host, const struct rtci_spec *spec)
{
    struct source *source = find(host, maker_of(spec));
    uint64_t number = rtci_call_number(spec);
    if (source && number > source->ran)
        source->ran = number;
}

/* ---- Saved with the state ---- */

size_t rtci_sources_size(const struct host *host)
{
    uint32_t n = host->sources ? host->sources->n : 0;
    return sizeof(uint64_t) + n * sizeof(struct saved_source);
}

void rtci_sources_save(const struct host *host, struct rtci_buf *buf)
{
    uint64_t n = host->sources ? host->sources->n : 0;
    rtci_buf_put(buf, &n, sizeof(n));
    for (uint64_t i = 0; i < n; i++) {
        const struct source *source = &host->sources->at[i];
        struct saved_source row = {source->id, source->ran};
        rtci_buf_put(buf, &row, sizeof(row));
    }
}

bool rtci_sources_load(struct host *host, const uint8_t **at, const uint8_t *end)
{
    uint64_t n;
    if ((size_t)(end - *at) < sizeof(n))
        return false;
    memcpy(&n, *at, sizeof(n));
    *at += sizeof(n);
    if (n > SOURCES_MAX || (size_t)(end - *at) < n * sizeof(struct saved_source))
        return false;
    for (uint64_t i = 0; i < n; i++) {
        struct saved_source row;
        memcpy(&row, *at, sizeof(row));
        *at += sizeof(row);
        struct source *source = source_of(host, row.id);
        if (!source)
            return false;
        source->seen = source->ran = row.ran;
        source->used = ++host->sources->n_used;
    }
    return true;
}
