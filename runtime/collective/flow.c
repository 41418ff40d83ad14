/* Large calls of a group on several hosts, at a leader.
 *
 * Elements are reduced in the order of ranks here as well: from run to run of neighbouring ranks
 * that are on one host, what was reduced so far is handed on in the type of the computation; the
 * last one has the result, which goes round from host to host. While one round is reduced, others
 * are on their way. */
#include <string.h>

#include "runtime/collective/hosts.h"

#define POSTED   (2 * SLOTS) /* parcels on their way */
#define CHECK_NS (10 * RTCI_NS_PER_MS)

struct flow { /* a call, at a leader */
    struct rtci_collective *c;
    const struct job *job;
    enum call_kind kind;
    size_t opened, finished; /* rounds */
    uint32_t left[SLOTS];    /* what is still to be done of a round here */
    uint32_t entered;        /* hosts of which all have come */
};

static uint32_t next_host(const struct hosts *h)
{
    return h->own + 1 < h->n ? h->own + 1 : 0;
}

/* Where a result, or what the root gives, begins its way round. */
static uint32_t source_of(const struct flow *f)
{
    const struct hosts *h = f->c->hosts;
    return f->kind == CALL_BROADCAST ? h->config.members[f->job->root].host
                                     : h->runs[h->n_runs - 1].host;
}

/* The same for all members of this host. */
static void deliver(struct flow *f, size_t k, const char *data)
{
    struct rtci_collective *c = f->c;
    struct span span = hosts_span_of(f->job, k);
    if (c->size > 1)
        memcpy(slot_at(c, c->rank, f->job->base + (uint32_t)k), data, span.n * f->job->element);
    hosts_take_out(c, f->job, f->kind, span, data);
}

/* A round's reduce-scatter is in this leader's slot: the others are given their parts. */
static int share_parts(struct flow *f, size_t k)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    struct span span = hosts_span_of(f->job, k);
    size_t bytes = span.n * f->job->element;
    const char *all = slot_at(c, c->rank, f->job->base + (uint32_t)k);
    int rc = 0;
    for (uint32_t host = 0; rc == 0 && host < h->n; host++) {
        struct rtci_parcel *parcel;
        if (host == h->own)
            continue;
        rc = hosts_parcel(c, bytes * h->counts[host], &parcel);
        if (rc < 0)
            return rc;
        for (uint32_t rank = 0; rank < h->size; rank++) {
            if (h->config.members[rank].host == host)
                memcpy((char *)parcel->data + bytes * h->locals[rank], all + bytes * rank, bytes);
        }
        rc = hosts_send(c, host, LETTER_RESULT, k, 0, parcel);
        h->config.bridge->release(h->config.arg, parcel);
    }
    hosts_take_out(c, f->job, f->kind, span, all);
    return rc;
}

/* Reduces the members of a run, behind those before it. */
static int step(struct flow *f, size_t k, uint32_t at, const void *partial)
{
    struct rtci_collective *c = f->c;
    const struct job *job = f->job;
    const struct hosts *h = c->hosts;
    const struct run *run = &h->runs[at];
    const void *gifts[RTCI_COLLECTIVE_RANKS_MAX];
    bool last = at + 1 == h->n_runs;
    size_t n = hosts_given(c, f->kind, hosts_span_of(job, k).n);
    size_t element = last || job->element > sizeof(float) ? job->element : sizeof(float);
    struct rtci_parcel *parcel = NULL;
    for (uint32_t i = 0; i < run->n; i++)
        gifts[i] = hosts_gift(c, job, f->kind, k, run->first + i);
    f->left[k & (SLOTS - 1)]--;
    if (last && f->kind == CALL_SCATTER) {
        c->kernels->chain(job->dtype, job->op, partial, gifts, run->n, h->size,
                          slot_at(c, c->rank, job->base + (uint32_t)k), n);
        return share_parts(f, k);
    }
    int rc = hosts_parcel(c, n * element, &parcel);
    if (rc < 0)
        return rc;
    c->kernels->chain(job->dtype, job->op, partial, gifts, run->n, last ? h->size : 0, parcel->data,
                      n);
    if (last)
        rc = hosts_send(c, next_host(h), LETTER_RESULT, k, 0, parcel);
    else
        rc = hosts_send(c, h->runs[at + 1].host, LETTER_PARTIAL, k, at + 1, parcel);
    if (last && rc == 0)
        deliver(f, k, parcel->data);
    h->config.bridge->release(h->config.arg, parcel);
    return rc;
}

/* What the members of this host give goes on its way round; in an all-gather, to be put together.
 */
static int give(struct flow *f, size_t k)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t bytes = hosts_span_of(f->job, k).n * f->job->element;
    uint32_t n = f->kind == CALL_GATHER ? c->size : 1;
    char *all = slot_at(c, c->rank, f->job->base + (uint32_t)k);
    struct rtci_parcel *parcel;
    int rc = hosts_parcel(c, bytes * n, &parcel);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rank = f->kind == CALL_GATHER ? h->ranks[i] : f->job->root;
        memcpy((char *)parcel->data + i * bytes, hosts_gift(c, f->job, f->kind, k, rank), bytes);
        if (f->kind == CALL_GATHER)
            memcpy(all + rank * bytes, (char *)parcel->data + i * bytes, bytes);
    }
    rc = hosts_send(c, next_host(h), LETTER_PIECE, k, h->own, parcel);
    if (rc == 0 && f->kind == CALL_BROADCAST)
        deliver(f, k, parcel->data);
    h->config.bridge->release(h->config.arg, parcel);
    return rc;
}

static int open_round(struct flow *f, size_t k)
{
    const struct hosts *h = f->c->hosts;
    uint32_t *left = &f->left[k & (SLOTS - 1)];
    hosts_open_slot(f->c, f->job, f->kind, k);
    if (f->kind == CALL_GATHER) {
        *left = h->n - 1;
        return give(f, k);
    }
    *left = h->own != source_of(f);
    if (f->kind == CALL_BROADCAST)
        return *left ? 0 : give(f, k);
    for (uint32_t i = 0; i < h->n_runs; i++)
        *left += h->runs[i].host == h->own;
    return h->runs[0].host == h->own ? step(f, k, 0, NULL) : 0;
}

/* What was expected has come: is it as large as it must be? */
static int expect(struct flow *f, const struct rtci_letter *letter, size_t size)
{
    if (letter->parcel && letter->parcel->size == size)
        return 0;
    return break_group(f->c, BROKEN_ABORT, letter->from, f->c->hosts->self,
                       "it sent less or more than was expected");
}

static int on_piece(struct flow *f, const struct rtci_letter *letter)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t k = letter->round, bytes = hosts_span_of(f->job, k).n * f->job->element;
    uint32_t host = letter->index, next = next_host(h);
    char *all = slot_at(c, c->rank, f->job->base + (uint32_t)k);
    int rc = host < h->n ? expect(f, letter, bytes * (f->kind == CALL_GATHER ? h->counts[host] : 1))
                         : hosts_failed(c, RTC_E_PROTOCOL);
    if (rc == 0 && next != host)
        rc = hosts_send(c, next, LETTER_PIECE, k, host, letter->parcel);
    if (rc < 0)
        return rc;
    f->left[k & (SLOTS - 1)]--;
    if (f->kind == CALL_BROADCAST) {
        deliver(f, k, letter->parcel->data);
        return 0;
    }
    for (uint32_t rank = 0; rank < h->size; rank++) {
        if (h->config.members[rank].host == host)
            memcpy(all + rank * bytes, (const char *)letter->parcel->data + bytes * h->locals[rank],
                   bytes);
    }
    if (f->left[k & (SLOTS - 1)] == 0)
        hosts_take_out(c, f->job, f->kind, hosts_span_of(f->job, k), all);
    return 0;
}

static int on_result(struct flow *f, const struct rtci_letter *letter)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t k = letter->round, bytes = hosts_span_of(f->job, k).n * f->job->element;
    uint32_t next = next_host(h);
    int rc = expect(f, letter, bytes * (f->kind == CALL_SCATTER ? c->size : 1));
    if (rc == 0 && f->kind == CALL_REDUCE && next != source_of(f))
        rc = hosts_send(c, next, LETTER_RESULT, k, 0, letter->parcel);
    if (rc < 0)
        return rc;
    f->left[k & (SLOTS - 1)]--;
    if (f->kind == CALL_REDUCE) {
        deliver(f, k, letter->parcel->data);
        return 0;
    }
    char *all = slot_at(c, c->rank, f->job->base + (uint32_t)k);
    for (uint32_t i = 0; i < c->size; i++)
        memcpy(all + h->ranks[i] * bytes, (const char *)letter->parcel->data + i * bytes, bytes);
    hosts_take_out(c, f->job, f->kind, hosts_span_of(f->job, k), all);
    return 0;
}

static int on_partial(struct flow *f, const struct rtci_letter *letter)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t element = f->job->element > sizeof(float) ? f->job->element : sizeof(float);
    if (letter->index == 0 || letter->index >= h->n_runs || h->runs[letter->index].host != h->own)
        return hosts_failed(c, RTC_E_PROTOCOL);
    int rc = expect(f, letter,
                    hosts_given(c, f->kind, hosts_span_of(f->job, letter->round).n) * element);
    return rc == 0 ? step(f, letter->round, letter->index, letter->parcel->data) : rc;
}

static int handle(struct flow *f, const struct rtci_letter *letter)
{
    bool reduces = f->kind == CALL_REDUCE || f->kind == CALL_SCATTER;
    if (letter->kind == LETTER_ENTER) {
        f->entered++;
        return hosts_compare_entry(f->c, letter, 0, letter->index);
    }
    if (letter->kind == LETTER_PARTIAL && reduces)
        return on_partial(f, letter);
    if (letter->kind == LETTER_RESULT && reduces)
        return on_result(f, letter);
    if (letter->kind == LETTER_PIECE && !reduces)
        return on_piece(f, letter);
    return hosts_failed(f->c, RTC_E_PROTOCOL);
}

/* One of those that can be used now: an earlier round first. */
static struct rtci_letter *usable(const struct flow *f)
{
    const struct hosts *h = f->c->hosts;
    struct rtci_letter *best = NULL;
    for (uint32_t i = 0; i < h->n_letters; i++) {
        struct rtci_letter *l = &h->letters[i];
        bool entry = l->kind == LETTER_ENTER;
        if (l->call != f->c->n_calls ||
            (!entry && (l->round >= f->opened || l->round < f->finished)))
            continue;
        if (f->opened && (!best || l->round < best->round))
            best = l;
    }
    return best;
}

static bool can_open(const struct flow *f)
{
    const struct rtci_collective *c = f->c;
    uint32_t round = f->job->base + (uint32_t)f->opened;
    return f->opened < f->job->n_rounds && f->opened - f->finished < SLOTS &&
           c->hosts->config.bridge->unanswered(c->hosts->config.arg) < POSTED &&
           all_counted(c, DONE, round - SLOTS + 1) && all_counted(c, STAGED, round + 1);
}

/* Whatever can be done: 1, or 0: nothing can. */
static int advance(struct flow *f)
{
    struct rtci_collective *c = f->c;
    int moved = 0, rc = hosts_read(c);
    for (; rc == 0 && can_open(f); moved = 1) {
        rc = f->opened ? 0 : hosts_enter_call(c, f->job, f->kind, false);
        if (rc == 0)
            rc = open_round(f, f->opened++);
    }
    for (struct rtci_letter *letter; rc == 0 && (letter = usable(f)); moved = 1) {
        rc = handle(f, letter);
        if (rc == 0)
            hosts_throw(c, letter);
    }
    for (; rc == 0 && f->finished < f->opened && !f->left[f->finished & (SLOTS - 1)]; moved = 1) {
        counter_add(c, REDUCED);
        counter_add(c, DONE);
        f->finished++;
    }
    return rc < 0 ? rc : moved;
}

int hosts_lead_large(struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    const struct rtci_hosts *config = &c->hosts->config;
    struct flow f = {.c = c, .job = job, .kind = kind};
    for (;;) {
        int rc = advance(&f);
        if (rc < 0)
            return rc;
        if (f.finished == job->n_rounds && f.entered == c->hosts->n - 1 &&
            config->bridge->unanswered(config->arg) == 0)
            return 0;
        if (rc)
            continue;
        bool local = c->size > 1 && f.opened < job->n_rounds && f.opened - f.finished < SLOTS;
        uint32_t round = job->base + (uint32_t)f.opened;
        if (local && segment_now_ns() - c->hosts->looked_ns > CHECK_NS)
            rc = check_others(c, STAGED, round + 1);
        rc = rc < 0 ? rc : hosts_wait(c, local);
        if (rc < 0)
            return rc;
    }
}
