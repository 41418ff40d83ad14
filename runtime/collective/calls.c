/* The calls of a group on several hosts.
 *
 * Elements are reduced in the order of ranks here as well: from run to run of neighbouring ranks
 * that are on one host, what was reduced so far is handed on in the type of the computation; the
 * last one has the result, which goes round from host to host. While one round is reduced, others
 * are on their way.
 *
 * What is small goes along with the letter that says that all of a host are there: then each leader
 * has it all. */
#include <string.h>

#include "runtime/collective/hosts.h"

#define AHEAD    (SLOTS - 1) /* rounds between staging one and taking what came of it */
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

/* ---- What lies where ---- */
static struct span span_of(const struct job *job, size_t k)
{
    size_t begin = k * job->block, left = job->count - begin;
    return (struct span){begin, left < job->block ? left : job->block};
}

/* Elements that a member gives in a round. */
static size_t given(const struct rtci_collective *c, enum call_kind kind, size_t n)
{
    return kind == CALL_SCATTER ? n * c->hosts->size : n;
}

/* Packs what this member gives. */
static void pack(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                 struct span span, char *to)
{
    uint32_t parts = kind == CALL_SCATTER ? c->hosts->size : 1;
    for (uint32_t i = 0; i < parts && span.n; i++)
        memcpy(to + i * span.n * job->element,
               job->send + (i * job->count + span.begin) * job->element, span.n * job->element);
}

/* What came of a round, out of the leader's slot or whatever has the same. */
static void take_out(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                     struct span span, const char *from)
{
    const struct hosts *h = c->hosts;
    size_t bytes = span.n * job->element;
    char *to = job->recv + span.begin * job->element;
    if (bytes == 0 || (kind == CALL_BROADCAST && h->self == job->root))
        return;
    if (kind == CALL_SCATTER) {
        memcpy(to, from + h->self * bytes, bytes);
    } else if (kind == CALL_GATHER) {
        for (uint32_t i = 0; i < h->size; i++)
            memcpy(to + i * job->count * job->element, from + i * bytes, bytes);
    } else {
        memcpy(to, from, bytes);
    }
}

/* What a member of this host gives in a round. */
static const char *gift(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                        size_t k, uint32_t rank)
{
    if (rank == c->hosts->self && kind != CALL_SCATTER)
        return job->send + span_of(job, k).begin * job->element;
    return slot_at(c, c->hosts->locals[rank], job->base + (uint32_t)k);
}

static void open_slot(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                      size_t k)
{
    bool own =
        leads(c) ? kind == CALL_SCATTER : kind != CALL_BROADCAST || c->hosts->self == job->root;
    if (own)
        pack(c, job, kind, span_of(job, k), slot_at(c, c->rank, job->base + (uint32_t)k));
    counter_add(c, STAGED);
}

/* ---- Members that are not leaders ---- */
static int follow(struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    int rc = 0;
    for (size_t t = 0; rc == 0 && t < job->n_rounds + AHEAD; t++) {
        uint32_t round = job->base + (uint32_t)t;
        if (t < job->n_rounds && (rc = wait_slot(c, round)) == 0) {
            open_slot(c, job, kind, t);
            counter_add(c, REDUCED); /* others do not wait for it */
        }
        if (rc < 0 || t < AHEAD)
            continue;
        rc = wait_one(c, 0, REDUCED, round - AHEAD + 1);
        if (rc < 0)
            return rc;
        take_out(c, job, kind, span_of(job, t - AHEAD), slot_at(c, 0, round - AHEAD));
        counter_add(c, DONE);
    }
    return rc;
}

/* ---- All are there ---- */
/* Told to the others; with what the members of this host give, when all of it is small. */
static int enter_call(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                      bool small)
{
    const struct hosts *h = c->hosts;
    size_t bytes = small ? given(c, kind, job->count) * job->element : 0;
    struct rtci_parcel *parcel;
    int rc = compare_calls(c);
    rc = rc == 0 ? hosts_parcel(c, sizeof(struct call) + bytes * c->size, &parcel) : rc;
    if (rc < 0)
        return rc;
    char *to = parcel->data;
    memcpy(to, &c->segment->members[c->rank].calls[c->n_calls & (CALLS - 1)], sizeof(struct call));
    to += sizeof(struct call);
    memset(to, 0, bytes * c->size);
    for (uint32_t i = 0; i < c->size && bytes; i++, to += bytes) {
        if (kind != CALL_BROADCAST || h->ranks[i] == job->root)
            memcpy(to, gift(c, job, kind, 0, h->ranks[i]), bytes);
    }
    for (uint32_t i = 0; rc == 0 && i < h->n; i++) {
        if (i != h->own)
            rc = hosts_send(c, i, LETTER_ENTER, 0, h->own, parcel);
    }
    h->config.bridge->release(h->config.arg, parcel);
    return rc;
}

/* The host's members are in this call; in the same one? */
static int compare_entry(struct rtci_collective *c, const struct rtci_letter *letter, size_t bytes,
                         uint32_t host)
{
    const struct call *mine = &c->segment->members[c->rank].calls[c->n_calls & (CALLS - 1)];
    struct call theirs = {0};
    if (letter->parcel && letter->parcel->size >= sizeof(theirs))
        memcpy(&theirs, letter->parcel->data, sizeof(theirs));
    if (memcmp(mine, &theirs, sizeof(theirs)) != 0 ||
        letter->parcel->size != sizeof(theirs) + bytes * c->hosts->counts[host])
        return tell_mismatch(c, c->hosts->leaders[host], mine, &theirs);
    return 0;
}

/* ---- Small calls ---- */
static void work_out(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                     const void *const *gifts)
{
    const struct hosts *h = c->hosts;
    char *out = slot_at(c, c->rank, job->base);
    size_t bytes = job->count * job->element;
    const void *srcs[RTCI_COLLECTIVE_RANKS_MAX];
    if (bytes == 0)
        return;
    if (kind == CALL_BROADCAST)
        memcpy(out, gifts[job->root], bytes);
    else if (kind == CALL_REDUCE)
        c->kernels->reduce(job->dtype, job->op, gifts, h->size, out, NULL, job->count);
    for (uint32_t i = 0; i < h->size; i++) {
        if (kind == CALL_GATHER)
            memcpy(out + i * bytes, gifts[i], bytes);
        if (kind != CALL_SCATTER || h->config.members[i].host != h->own)
            continue;
        for (uint32_t s = 0; s < h->size; s++)
            srcs[s] = (const char *)gifts[s] + i * bytes;
        c->kernels->reduce(job->dtype, job->op, srcs, h->size, out + i * bytes, NULL, job->count);
    }
}

/* Waits for that host; what its members give, in the order of their ranks. */
static int await_entry(struct rtci_collective *c, uint32_t host, size_t bytes, const char **ret)
{
    const struct rtci_letter *letter;
    while (!(letter = hosts_find(c, LETTER_ENTER, 0, host))) {
        int rc = hosts_read(c);
        if (rc == 0 && !hosts_find(c, LETTER_ENTER, 0, host))
            rc = hosts_wait(c, false);
        if (rc < 0)
            return rc;
    }
    int rc = compare_entry(c, letter, bytes, host);
    if (rc == 0)
        *ret = (const char *)letter->parcel->data + sizeof(struct call);
    return rc;
}

static int lead_small(struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    const struct hosts *h = c->hosts;
    const char *entries[RTCI_COLLECTIVE_RANKS_MAX] = {0};
    const void *gifts[RTCI_COLLECTIVE_RANKS_MAX];
    size_t bytes = given(c, kind, job->count) * job->element;
    int rc = wait_slot(c, job->base);
    if (rc < 0)
        return rc;
    open_slot(c, job, kind, 0);
    rc = wait_all(c, STAGED, job->base + 1);
    rc = rc == 0 ? enter_call(c, job, kind, true) : rc;
    for (uint32_t host = 0; rc == 0 && host < h->n; host++) {
        if (host != h->own)
            rc = await_entry(c, host, bytes, &entries[host]);
    }
    if (rc < 0)
        return rc;
    for (uint32_t rank = 0; rank < h->size; rank++) {
        const char *entry = entries[h->config.members[rank].host];
        gifts[rank] = entry ? entry + bytes * h->locals[rank] : gift(c, job, kind, 0, rank);
    }
    work_out(c, job, kind, gifts);
    counter_add(c, REDUCED);
    take_out(c, job, kind, span_of(job, 0), slot_at(c, c->rank, job->base));
    counter_add(c, DONE);
    return 0;
}

/* ---- Large ones: rounds on their way ---- */
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
    struct span span = span_of(f->job, k);
    if (c->size > 1)
        memcpy(slot_at(c, c->rank, f->job->base + (uint32_t)k), data, span.n * f->job->element);
    take_out(c, f->job, f->kind, span, data);
}

/* A round's reduce-scatter is in this leader's slot: the others are given their parts. */
static int share_parts(struct flow *f, size_t k)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    struct span span = span_of(f->job, k);
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
    take_out(c, f->job, f->kind, span, all);
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
    size_t n = given(c, f->kind, span_of(job, k).n);
    size_t element = last || job->element > sizeof(float) ? job->element : sizeof(float);
    struct rtci_parcel *parcel = NULL;
    for (uint32_t i = 0; i < run->n; i++)
        gifts[i] = gift(c, job, f->kind, k, run->first + i);
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
    size_t bytes = span_of(f->job, k).n * f->job->element;
    uint32_t n = f->kind == CALL_GATHER ? c->size : 1;
    char *all = slot_at(c, c->rank, f->job->base + (uint32_t)k);
    struct rtci_parcel *parcel;
    int rc = hosts_parcel(c, bytes * n, &parcel);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rank = f->kind == CALL_GATHER ? h->ranks[i] : f->job->root;
        memcpy((char *)parcel->data + i * bytes, gift(c, f->job, f->kind, k, rank), bytes);
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
    open_slot(f->c, f->job, f->kind, k);
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
    size_t k = letter->round, bytes = span_of(f->job, k).n * f->job->element;
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
        take_out(c, f->job, f->kind, span_of(f->job, k), all);
    return 0;
}

static int on_result(struct flow *f, const struct rtci_letter *letter)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t k = letter->round, bytes = span_of(f->job, k).n * f->job->element;
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
    take_out(c, f->job, f->kind, span_of(f->job, k), all);
    return 0;
}

static int on_partial(struct flow *f, const struct rtci_letter *letter)
{
    struct rtci_collective *c = f->c;
    const struct hosts *h = c->hosts;
    size_t element = f->job->element > sizeof(float) ? f->job->element : sizeof(float);
    if (letter->index == 0 || letter->index >= h->n_runs || h->runs[letter->index].host != h->own)
        return hosts_failed(c, RTC_E_PROTOCOL);
    int rc = expect(f, letter, given(c, f->kind, span_of(f->job, letter->round).n) * element);
    return rc == 0 ? step(f, letter->round, letter->index, letter->parcel->data) : rc;
}

static int handle(struct flow *f, const struct rtci_letter *letter)
{
    bool reduces = f->kind == CALL_REDUCE || f->kind == CALL_SCATTER;
    if (letter->kind == LETTER_ENTER) {
        f->entered++;
        return compare_entry(f->c, letter, 0, letter->index);
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
        rc = f->opened ? 0 : enter_call(c, f->job, f->kind, false);
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

static int lead_large(struct rtci_collective *c, const struct job *job, enum call_kind kind)
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

/* ---- Calls ---- */
/* All hosts find the same. */
static bool is_small(const struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    const struct hosts *h = c->hosts;
    size_t most = 0, bytes = given(c, kind, job->count) * job->element;
    for (uint32_t i = 0; i < h->n; i++)
        most = h->counts[i] > most ? h->counts[i] : most;
    size_t out = kind == CALL_GATHER ? bytes * h->size : bytes;
    return bytes <= h->config.small && sizeof(struct call) + bytes * most <= h->config.small &&
           out <= c->segment->slot_bytes;
}

int hosts_call(struct rtci_collective *c, enum call_kind kind, struct job *job,
               uint64_t deadline_ns)
{
    struct hosts *h = c->hosts;
    size_t parts = kind == CALL_SCATTER || kind == CALL_GATHER ? h->size : 1;
    bool small = is_small(c, job, kind);
    job->block = small ? job->count : c->segment->slot_bytes / parts / LINE * LINE / job->element;
    job->n_rounds = small ? 1 : (job->count + job->block - 1) / job->block;
    int rc = begin_call(c, kind, job, deadline_ns);
    if (rc < 0)
        return rc;
    h->told = false;
    h->began_ns = h->looked_ns = segment_now_ns();
    if (!leads(c))
        return follow(c, job, kind);
    atomic_store(&c->segment->elsewhere.awaited, 0);
    for (uint32_t i = h->n_letters; i-- > 0;) {
        if (h->letters[i].call < c->n_calls)
            hosts_throw(c, &h->letters[i]);
    }
    return small ? lead_small(c, job, kind) : lead_large(c, job, kind);
}
