/* The operations. collective.h has the protocol; here is what each of them does in a round.
 *
 * What is staged of round k is reduced while k + 1 is being staged, and taken a round later: so
 * what others have staged has had time to come, and members seldom wait. */
#include <stdio.h>
#include <string.h>

#include "runtime/collective/hosts.h"

/* Results beyond this will not be in a cache when they are read. */
#define STREAM_BYTES (8 * RTCI_MIB)
/* An all-reduce of so much is done by every member for itself: one wait instead of two. */
#define WHOLE_BYTES (8 * RTCI_KIB)

/* ---- What is the same for all ---- */
static size_t size_of(enum rtc_dtype dtype)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
    return (unsigned)dtype < sizeof(sizes) ? sizes[dtype] : 0;
}

static bool can_reduce(enum rtc_dtype dtype, enum rtci_reduction op)
{
    return dtype >= RTC_F16 && dtype <= RTC_F64 && (unsigned)op <= RTCI_REDUCE_MAX;
}

/* Neither apart nor, where that is allowed, the same place. */
static bool overlap(const void *a, size_t a_size, const void *b, size_t b_size)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return x < y + b_size && y < x + a_size;
}

static void name_call(const struct call *call, char *text, size_t size)
{
    static const char *const names[] = {"a barrier", "a broadcast", "an all-gather",
                                        "an all-reduce", "a reduce-scatter"};
    const char *name = names[call->kind <= CALL_SCATTER ? call->kind : 0];
    if (call->kind == CALL_BARRIER)
        snprintf(text, size, "%s", name);
    else
        snprintf(text, size, "%s (count %llu, dtype %u, op %u, root %u)", name,
                 (unsigned long long)call->count, call->dtype, call->op, call->root);
}

int tell_mismatch(struct rtci_collective *c, uint32_t rank, const struct call *mine,
                  const struct call *theirs)
{
    char a[88], b[88], text[192];
    name_call(mine, a, sizeof(a));
    name_call(theirs, b, sizeof(b));
    snprintf(text, sizeof(text), "rank %u called %.75s, rank %u %.75s", rank_of(c, c->rank), a,
             rank, b);
    return break_group(c, BROKEN_MISMATCH, rank_of(c, c->rank), rank, text);
}

/* All have come; do they call the same? */
int compare_calls(struct rtci_collective *c)
{
    uint32_t at = (uint32_t)c->n_calls & (CALLS - 1);
    const struct call *mine = &c->segment->members[c->rank].calls[at];
    for (uint32_t i = 0; i < c->size; i++) {
        const struct call *theirs = &c->segment->members[i].calls[at];
        if (RTCI_UNLIKELY(memcmp(mine, theirs, sizeof(*mine)) != 0))
            return tell_mismatch(c, rank_of(c, i), mine, theirs);
    }
    return 0;
}

int begin_call(struct rtci_collective *c, enum call_kind kind, struct job *job, uint64_t deadline)
{
    if (is_broken(c))
        return breakage_code(c);
    c->deadline_ns = deadline;
    c->n_calls++;
    c->segment->members[c->rank].calls[c->n_calls & (CALLS - 1)] =
        (struct call){.number = c->n_calls,
                      .count = job->count,
                      .kind = kind,
                      .dtype = (uint16_t)job->dtype,
                      .op = (uint16_t)job->op,
                      .root = job->root};
    job->base = c->round;
    c->round += (uint32_t)job->n_rounds;
    return 0;
}

int wait_slot(struct rtci_collective *c, uint32_t round)
{
    return wait_all(c, DONE, round - SLOTS + 1);
}

static int wait_staged(struct rtci_collective *c, const struct job *job, uint32_t round)
{
    int rc = wait_all(c, STAGED, round + 1);
    return rc < 0 || round != job->base ? rc : compare_calls(c);
}

static void take(const struct rtci_collective *c, const struct job *job, size_t to,
                 const void *from, size_t n)
{
    if (job->streams)
        c->kernels->stream(job->recv + to * job->element, from, n * job->element);
    else
        memcpy(job->recv + to * job->element, from, n * job->element);
}

static int call_hosts(struct rtci_collective *c, enum call_kind kind, struct job *job,
                      uint64_t deadline_ns)
{
    job->element = kind == CALL_BARRIER ? 1 : size_of(job->dtype);
    return hosts_call(c, kind, job, deadline_ns);
}

/* Rounds of blocks of equal size, of which each member has one. */
static void divide(const struct rtci_collective *c, struct job *job, size_t total, size_t parts)
{
    job->element = size_of(job->dtype);
    job->block = c->segment->slot_bytes / parts / LINE * LINE / job->element;
    size_t whole = job->block * parts;
    job->n_rounds = total ? (total + whole - 1) / whole : 1;
    job->streams = job->send != job->recv && total * job->element > STREAM_BYTES;
}

/* ---- All-reduce ---- */
/* What of the elements sent a member reduces in a round. */
typedef struct span piece_fn(const struct rtci_collective *c, const struct job *job, size_t k,
                             uint32_t rank);

/* The block of a member in a round, as elements of the whole. */
static struct span block_of(const struct rtci_collective *c, const struct job *job, size_t k,
                            uint32_t rank)
{
    size_t begin = k * job->block * c->size, left = job->count - begin, block = job->block;
    if (left < block * c->size) { /* the last round: each as much, in whole lines */
        size_t step = LINE / job->element;
        block = ((left + c->size - 1) / c->size + step - 1) / step * step;
    }
    size_t from = rank * block < left ? rank * block : left;
    return (struct span){begin + from, left - from < block ? left - from : block};
}

static char *block_at(const struct rtci_collective *c, const struct job *job, uint32_t owner,
                      uint32_t round, uint32_t block)
{
    return slot_at(c, owner, round) + block * job->block * job->element;
}

/* Stages what each of the others reduces. */
static int stage_pieces(struct rtci_collective *c, const struct job *job, size_t k, piece_fn *piece)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_slot(c, round);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < c->size; i++) {
        struct span span = piece(c, job, k, i);
        if (i != c->rank && span.n)
            memcpy(block_at(c, job, c->rank, round, i), job->send + span.begin * job->element,
                   span.n * job->element);
    }
    counter_add(c, STAGED);
    return 0;
}

/* When all have staged: what this member reduces of them. */
static int await_pieces(struct rtci_collective *c, const struct job *job, size_t k, piece_fn *piece,
                        const void **srcs)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_staged(c, job, round);
    struct span span = piece(c, job, k, c->rank);
    for (uint32_t i = 0; i < c->size; i++)
        srcs[i] = i == c->rank ? job->send + span.begin * job->element
                               : block_at(c, job, i, round, c->rank);
    return rc;
}

static int reduce_block(struct rtci_collective *c, const struct job *job, size_t k)
{
    const void *srcs[RTCI_COLLECTIVE_RANKS_MAX];
    int rc = await_pieces(c, job, k, block_of, srcs);
    if (rc < 0)
        return rc;
    struct span span = block_of(c, job, k, c->rank);
    char *result = block_at(c, job, c->rank, job->base + (uint32_t)k, c->rank);
    char *to = job->recv + span.begin * job->element;
    if (span.n && job->streams) {
        c->kernels->reduce(job->dtype, job->op, srcs, c->size, result, NULL, span.n);
        c->kernels->stream(to, result, span.n * job->element);
    } else if (span.n) {
        c->kernels->reduce(job->dtype, job->op, srcs, c->size, to, result, span.n);
    }
    counter_add(c, REDUCED);
    return 0;
}

static int take_blocks(struct rtci_collective *c, const struct job *job, size_t k)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_all(c, REDUCED, round + 1);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < c->size; i++) {
        struct span span = block_of(c, job, k, i);
        if (i != c->rank && span.n)
            take(c, job, span.begin, block_at(c, job, i, round, i), span.n);
    }
    counter_add(c, DONE);
    return 0;
}

static int all_reduce_whole(struct rtci_collective *c, const struct job *job)
{
    const void *srcs[RTCI_COLLECTIVE_RANKS_MAX];
    int rc = wait_slot(c, job->base);
    if (rc < 0)
        return rc;
    if (job->count) /* of nothing, buffers may be NULL */
        memcpy(slot_at(c, c->rank, job->base), job->send, job->count * job->element);
    counter_add(c, STAGED);
    rc = wait_staged(c, job, job->base);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < c->size; i++)
        srcs[i] = slot_at(c, i, job->base);
    if (job->count)
        c->kernels->reduce(job->dtype, job->op, srcs, c->size, job->recv, NULL, job->count);
    counter_add(c, REDUCED);
    counter_add(c, DONE);
    return 0;
}

int rtci_collective_all_reduce(struct rtci_collective *c, const void *send, void *recv,
                               size_t count, enum rtc_dtype dtype, enum rtci_reduction op,
                               uint64_t deadline_ns)
{
    struct job job = {.send = send, .recv = recv, .count = count, .dtype = dtype, .op = op};
    size_t bytes = count * size_of(dtype);
    if (!can_reduce(dtype, op) || (send != recv && overlap(send, bytes, recv, bytes)))
        return RTC_E_INVALID;
    if (c->hosts)
        return call_hosts(c, CALL_REDUCE, &job, deadline_ns);
    divide(c, &job, count, c->size);
    bool whole = bytes <= WHOLE_BYTES && bytes <= c->segment->slot_bytes;
    job.n_rounds = whole ? 1 : job.n_rounds;
    int rc = begin_call(c, CALL_REDUCE, &job, deadline_ns);
    if (rc == 0 && whole)
        return all_reduce_whole(c, &job);
    for (size_t t = 0; rc == 0 && t < job.n_rounds + 2; t++) {
        if (t < job.n_rounds)
            rc = stage_pieces(c, &job, t, block_of);
        if (rc == 0 && t >= 1 && t - 1 < job.n_rounds)
            rc = reduce_block(c, &job, t - 1);
        if (rc == 0 && t >= 2)
            rc = take_blocks(c, &job, t - 2);
    }
    return rc;
}

/* ---- Reduce-scatter ---- */
/* What of each member's part is in the round. */
static struct span part_of(const struct job *job, size_t k)
{
    size_t begin = k * job->block, left = job->count - begin;
    return (struct span){begin, left < job->block ? left : job->block};
}

static struct span part_for(const struct rtci_collective *c, const struct job *job, size_t k,
                            uint32_t rank)
{
    struct span span = part_of(job, k);
    (void)c;
    return (struct span){rank * job->count + span.begin, span.n};
}

static int reduce_part(struct rtci_collective *c, const struct job *job, size_t k)
{
    const void *srcs[RTCI_COLLECTIVE_RANKS_MAX];
    int rc = await_pieces(c, job, k, part_for, srcs);
    if (rc < 0)
        return rc;
    struct span span = part_of(job, k);
    if (span.n)
        c->kernels->reduce(job->dtype, job->op, srcs, c->size,
                           job->recv + span.begin * job->element, NULL, span.n);
    counter_add(c, REDUCED);
    counter_add(c, DONE);
    return 0;
}

int rtci_collective_reduce_scatter(struct rtci_collective *c, const void *send, void *recv,
                                   size_t count, enum rtc_dtype dtype, enum rtci_reduction op,
                                   uint64_t deadline_ns)
{
    struct job job = {.send = send, .recv = recv, .count = count, .dtype = dtype, .op = op};
    size_t bytes = count * size_of(dtype);
    if (!can_reduce(dtype, op) || (recv != (const char *)send + rank_of(c, c->rank) * bytes &&
                                   overlap(send, size_of_group(c) * bytes, recv, bytes)))
        return RTC_E_INVALID;
    if (c->hosts)
        return call_hosts(c, CALL_SCATTER, &job, deadline_ns);
    divide(c, &job, count * c->size, c->size);
    int rc = begin_call(c, CALL_SCATTER, &job, deadline_ns);
    for (size_t t = 0; rc == 0 && t < job.n_rounds + 1; t++) {
        if (t < job.n_rounds)
            rc = stage_pieces(c, &job, t, part_for);
        if (rc == 0 && t >= 1)
            rc = reduce_part(c, &job, t - 1);
    }
    return rc;
}

/* ---- All-gather, broadcast: whole slots ---- */
static int stage_slot(struct rtci_collective *c, const struct job *job, size_t k, bool has)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_slot(c, round);
    if (rc < 0)
        return rc;
    struct span span = part_of(job, k);
    if (has && span.n)
        memcpy(slot_at(c, c->rank, round), job->send + span.begin * job->element,
               span.n * job->element);
    counter_add(c, STAGED);
    return 0;
}

static int take_slots(struct rtci_collective *c, const struct job *job, size_t k)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_staged(c, job, round);
    if (rc < 0)
        return rc;
    struct span span = part_of(job, k);
    for (uint32_t i = 0; i < c->size && span.n; i++) {
        size_t to = i * job->count + span.begin;
        if (i != c->rank)
            take(c, job, to, slot_at(c, i, round), span.n);
        else if (job->recv + i * job->count * job->element != job->send)
            take(c, job, to, job->send + span.begin * job->element, span.n);
    }
    counter_add(c, REDUCED);
    counter_add(c, DONE);
    return 0;
}

int rtci_collective_all_gather(struct rtci_collective *c, const void *send, void *recv,
                               size_t count, enum rtc_dtype dtype, uint64_t deadline_ns)
{
    struct job job = {.send = send, .recv = recv, .count = count, .dtype = dtype};
    size_t bytes = count * size_of(dtype);
    if (!size_of(dtype) || (send != (char *)recv + rank_of(c, c->rank) * bytes &&
                            overlap(send, bytes, recv, size_of_group(c) * bytes)))
        return RTC_E_INVALID;
    if (c->hosts)
        return call_hosts(c, CALL_GATHER, &job, deadline_ns);
    divide(c, &job, count, 1);
    int rc = begin_call(c, CALL_GATHER, &job, deadline_ns);
    for (size_t t = 0; rc == 0 && t < job.n_rounds + 1; t++) {
        if (t < job.n_rounds)
            rc = stage_slot(c, &job, t, true);
        if (rc == 0 && t >= 1)
            rc = take_slots(c, &job, t - 1);
    }
    return rc;
}

/* The root waits for all as well: then all have come, or it is told who did not. */
static int take_root(struct rtci_collective *c, const struct job *job, size_t k)
{
    uint32_t round = job->base + (uint32_t)k;
    int rc = wait_staged(c, job, round);
    if (rc < 0)
        return rc;
    struct span span = part_of(job, k);
    if (c->rank != job->root && span.n)
        take(c, job, span.begin, slot_at(c, job->root, round), span.n);
    counter_add(c, REDUCED);
    counter_add(c, DONE);
    return 0;
}

int rtci_collective_broadcast(struct rtci_collective *c, void *buffer, size_t count,
                              enum rtc_dtype dtype, uint32_t root, uint64_t deadline_ns)
{
    struct job job = {.send = buffer, .recv = buffer, .count = count, .dtype = dtype, .root = root};
    if (!size_of(dtype) || root >= size_of_group(c))
        return RTC_E_INVALID;
    if (c->hosts)
        return call_hosts(c, CALL_BROADCAST, &job, deadline_ns);
    divide(c, &job, count, 1);
    int rc = begin_call(c, CALL_BROADCAST, &job, deadline_ns);
    for (size_t t = 0; rc == 0 && t < job.n_rounds + 1; t++) {
        if (t < job.n_rounds)
            rc = stage_slot(c, &job, t, c->rank == root);
        if (rc == 0 && t >= 1)
            rc = take_root(c, &job, t - 1);
    }
    return rc;
}

int rtci_collective_barrier(struct rtci_collective *c, uint64_t deadline_ns)
{
    struct job job = {.n_rounds = 1};
    if (c->hosts)
        return call_hosts(c, CALL_BARRIER, &job, deadline_ns);
    int rc = begin_call(c, CALL_BARRIER, &job, deadline_ns);
    if (rc < 0)
        return rc;
    counter_add(c, STAGED);
    rc = wait_staged(c, &job, job.base);
    counter_add(c, REDUCED);
    counter_add(c, DONE);
    return rc;
}
