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

#define AHEAD (SLOTS - 1) /* rounds between staging one and taking what came of it */

/* ---- What lies where ---- */
struct span hosts_span_of(const struct job *job, size_t k)
{
    size_t begin = k * job->block, left = job->count - begin;
    return (struct span){begin, left < job->block ? left : job->block};
}

/* Elements that a member gives in a round. */
size_t hosts_given(const struct rtci_collective *c, enum call_kind kind, size_t n)
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
void hosts_take_out(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
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
const char *hosts_gift(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                       size_t k, uint32_t rank)
{
    if (rank == c->hosts->self && kind != CALL_SCATTER)
        return job->send + hosts_span_of(job, k).begin * job->element;
    return slot_at(c, c->hosts->locals[rank], job->base + (uint32_t)k);
}

void hosts_open_slot(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                     size_t k)
{
    bool own =
        leads(c) ? kind == CALL_SCATTER : kind != CALL_BROADCAST || c->hosts->self == job->root;
    if (own)
        pack(c, job, kind, hosts_span_of(job, k), slot_at(c, c->rank, job->base + (uint32_t)k));
    counter_add(c, STAGED);
}

/* ---- Members that are not leaders ---- */
static int follow(struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    int rc = 0;
    for (size_t t = 0; rc == 0 && t < job->n_rounds + AHEAD; t++) {
        uint32_t round = job->base + (uint32_t)t;
        if (t < job->n_rounds && (rc = wait_slot(c, round)) == 0) {
            hosts_open_slot(c, job, kind, t);
            counter_add(c, REDUCED); /* others do not wait for it */
        }
        if (rc < 0 || t < AHEAD)
            continue;
        rc = wait_one(c, 0, REDUCED, round - AHEAD + 1);
        if (rc < 0)
            return rc;
        hosts_take_out(c, job, kind, hosts_span_of(job, t - AHEAD), slot_at(c, 0, round - AHEAD));
        counter_add(c, DONE);
    }
    return rc;
}

/* ---- All are there ---- */
/* Told to the others; with what the members of this host give, when all of it is small. */
int hosts_enter_call(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                     bool small)
{
    const struct hosts *h = c->hosts;
    size_t bytes = small ? hosts_given(c, kind, job->count) * job->element : 0;
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
            memcpy(to, hosts_gift(c, job, kind, 0, h->ranks[i]), bytes);
    }
    for (uint32_t i = 0; rc == 0 && i < h->n; i++) {
        if (i != h->own)
            rc = hosts_send(c, i, LETTER_ENTER, 0, h->own, parcel);
    }
    h->config.bridge->release(h->config.arg, parcel);
    return rc;
}

/* The host's members are in this call; in the same one? */
int hosts_compare_entry(struct rtci_collective *c, const struct rtci_letter *letter, size_t bytes,
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
    int rc = hosts_compare_entry(c, letter, bytes, host);
    if (rc == 0)
        *ret = (const char *)letter->parcel->data + sizeof(struct call);
    return rc;
}

static int lead_small(struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    const struct hosts *h = c->hosts;
    const char *entries[RTCI_COLLECTIVE_RANKS_MAX] = {0};
    const void *gifts[RTCI_COLLECTIVE_RANKS_MAX];
    size_t bytes = hosts_given(c, kind, job->count) * job->element;
    int rc = wait_slot(c, job->base);
    if (rc < 0)
        return rc;
    hosts_open_slot(c, job, kind, 0);
    rc = wait_all(c, STAGED, job->base + 1);
    rc = rc == 0 ? hosts_enter_call(c, job, kind, true) : rc;
    for (uint32_t host = 0; rc == 0 && host < h->n; host++) {
        if (host != h->own)
            rc = await_entry(c, host, bytes, &entries[host]);
    }
    if (rc < 0)
        return rc;
    for (uint32_t rank = 0; rank < h->size; rank++) {
        const char *entry = entries[h->config.members[rank].host];
        gifts[rank] = entry ? entry + bytes * h->locals[rank] : hosts_gift(c, job, kind, 0, rank);
    }
    work_out(c, job, kind, gifts);
    counter_add(c, REDUCED);
    hosts_take_out(c, job, kind, hosts_span_of(job, 0), slot_at(c, c->rank, job->base));
    counter_add(c, DONE);
    return 0;
}

/* ---- Calls ---- */
/* All hosts find the same. */
static bool is_small(const struct rtci_collective *c, const struct job *job, enum call_kind kind)
{
    const struct hosts *h = c->hosts;
    size_t most = 0, bytes = hosts_given(c, kind, job->count) * job->element;
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
    return small ? lead_small(c, job, kind) : hosts_lead_large(c, job, kind);
}
