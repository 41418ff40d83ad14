/* The asking side of transfers; transfer_serve.c has the other.
 *
 * A pull asks for its chunks in order; those on their way are its pieces. Every chunk below `next`
 * is here or a piece, so what comes is judged by the pieces and the bitmap. A piece that did not
 * come in time waits to be asked for again, of another node where there is one. Of a node no more
 * is asked at once than its window: that grows while chunks come quickly, so that a slow link is
 * not flooded.
 */
#include "runtime/node/transfer.h"

#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "runtime/base/map.h"
#include "runtime/node/transfer_serve.h"

#define WINDOW_FIRST    4u
#define WINDOW_MIN      2u
#define QUICK_NS        (250 * RTCI_NS_PER_MS)
#define SLOW_NS         RTCI_NS_PER_S
#define TIMEOUT_MIN     (200 * RTCI_NS_PER_MS)
#define TIMEOUT_UNKNOWN (500 * RTCI_NS_PER_MS) /* before the first chunk came */
#define AGAIN_NS        (2 * RTCI_NS_PER_MS)
#define UNREACHABLE_NS  (50 * RTCI_NS_PER_MS)

struct peer {
    uint32_t node;
    uint32_t window, asked; /* chunks */
    uint64_t mean_ns;       /* from an ask to its chunk; 0 = unknown */
    uint64_t since_ns;      /* since when it was asked and sent nothing; 0 = nothing is asked */
    uint64_t shrunk_ns;
    bool down; /* there is no connection now: since_ns counts that */
};
struct piece {
    uint64_t chunk, asked_ns;
    uint32_t peer;  /* index of whom it was asked last */
    uint32_t tries; /* 0: never */
    bool waiting;   /* to be asked for */
};
struct pull {
    uint64_t number, n_chunks, next, n_have;
    struct rtci_blob blob;
    uint8_t *dst;
    uint64_t *have; /* bit per chunk */
    uint32_t place; /* in transfer->pulls */
    uint32_t n_sources, turn, n_pieces;
    uint32_t sources[RTCI_TRANSFER_SOURCES]; /* indexes of peers */
    struct piece pieces[RTCI_TRANSFER_PULL];
    struct pull *next_ended;
    int status;
};
struct rtci_transfer {
    struct rtci_transfer_ops ops;
    void *arg;
    struct pull **pulls;
    uint32_t n_pulls, cap_pulls, turn;
    uint32_t n_pieces, n_waiting; /* of all pulls */
    struct pull *ended, **ended_last;
    struct peer *peers; /* by first use; never fewer */
    uint32_t n_peers, cap_peers;
    struct rtci_map pull_by_number, peer_by_node;
    uint64_t next_number, retry_ns; /* retry: when a socket that was full is tried again */
    struct rtci_serve serve;
    struct rtci_transfer_counts counts;
};

/* ---- Life ---- */

struct rtci_transfer *rtci_transfer_create(const struct rtci_transfer_ops *ops, void *arg,
                                           uint64_t first)
{
    struct rtci_transfer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->ops = *ops;
    t->arg = arg;
    t->next_number = first ? first : 1;
    t->ended_last = &t->ended;
    t->retry_ns = UINT64_MAX;
    t->serve.ops = &t->ops;
    t->serve.arg = arg;
    return t;
}

static void pull_free(struct pull *pull)
{
    free(pull->have);
    free(pull);
}

void rtci_transfer_free(struct rtci_transfer *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_pulls; i++)
        pull_free(t->pulls[i]);
    for (struct pull *pull = t->ended, *next; pull; pull = next) {
        next = pull->next_ended;
        pull_free(pull);
    }
    rtci_serve_fini(&t->serve);
    rtci_map_fini(&t->pull_by_number);
    rtci_map_fini(&t->peer_by_node);
    free(t->pulls);
    free(t->peers);
    free(t);
}

static uint32_t peer_of(struct rtci_transfer *t, uint32_t node)
{
    const uint32_t *known = rtci_map_find(&t->peer_by_node, node, 0);
    if (known)
        return *known;
    if (t->n_peers == t->cap_peers) {
        t->cap_peers = t->cap_peers ? t->cap_peers * 2 : 8;
        t->peers = realloc(t->peers, t->cap_peers * sizeof(*t->peers));
        RTCI_ASSERT(t->peers);
    }
    t->peers[t->n_peers] = (struct peer){.node = node, .window = WINDOW_FIRST};
    RTCI_ASSERT(rtci_map_set(&t->peer_by_node, node, 0, t->n_peers));
    return t->n_peers++;
}

/* ---- Pieces ---- */

/* It is not on its way from its peer any more: it came, or is given up. */
static void piece_back(struct rtci_transfer *t, struct piece *piece)
{
    if (piece->waiting) {
        t->n_waiting--;
    } else {
        t->peers[piece->peer].asked--;
    }
    piece->waiting = false;
}

static void piece_remove(struct rtci_transfer *t, struct pull *pull, uint32_t i)
{
    piece_back(t, &pull->pieces[i]);
    pull->pieces[i] = pull->pieces[--pull->n_pieces];
    t->n_pieces--;
}

static void piece_again(struct rtci_transfer *t, struct piece *piece)
{
    if (piece->waiting)
        return;
    piece_back(t, piece);
    piece->waiting = true;
    t->n_waiting++;
    t->counts.asked_again++;
}

/* Four times the mean, but not so long that a chunk lost twice counts as silence. */
static uint64_t patience(const struct peer *peer)
{
    uint64_t mean = peer->mean_ns, most = 2 * mean > SLOW_NS ? 2 * mean : SLOW_NS;
    if (!mean)
        return TIMEOUT_UNKNOWN;
    return mean * 4 < TIMEOUT_MIN ? TIMEOUT_MIN : mean * 4 < most ? mean * 4 : most;
}

static uint64_t timeout_of(const struct rtci_transfer *t, const struct piece *piece)
{
    uint64_t ns = patience(&t->peers[piece->peer]);
    return piece->tries > 1 && ns < SLOW_NS / 2 ? ns * 2 : ns;
}

/* ---- Ends ---- */

static void unlink_pull(struct rtci_transfer *t, struct pull *pull)
{
    while (pull->n_pieces)
        piece_remove(t, pull, pull->n_pieces - 1);
    for (uint32_t i = 0; i < pull->n_sources; i++) {
        struct peer *peer = &t->peers[pull->sources[i]];
        if (!peer->asked)
            peer->since_ns = 0;
    }
    rtci_map_remove(&t->pull_by_number, pull->number, 0);
    struct pull *last = t->pulls[--t->n_pulls];
    if (last == pull)
        return;
    t->pulls[pull->place] = last;
    last->place = pull->place;
    RTCI_ASSERT(rtci_map_set(&t->pull_by_number, last->number, 0, last->place));
}

static void finish(struct rtci_transfer *t, struct pull *pull, int status)
{
    unlink_pull(t, pull);
    pull->status = status;
    pull->next_ended = NULL;
    *t->ended_last = pull;
    t->ended_last = &pull->next_ended;
}

/* At the end of a call: what is told may begin and stop pulls. */
static void report(struct rtci_transfer *t)
{
    while (t->ended) {
        struct pull *pull = t->ended;
        t->ended = pull->next_ended;
        if (!t->ended)
            t->ended_last = &t->ended;
        t->ops.done(t->arg, pull->number, pull->status);
        pull_free(pull);
    }
}

/* `why`: how the pull ends when it was the last one. */
static void source_drop(struct rtci_transfer *t, struct pull *pull, uint32_t peer, int why)
{
    uint32_t i = 0;
    while (i < pull->n_sources && pull->sources[i] != peer)
        i++;
    if (i == pull->n_sources)
        return;
    pull->sources[i] = pull->sources[--pull->n_sources];
    for (uint32_t k = 0; k < pull->n_pieces; k++) {
        if (pull->pieces[k].peer == peer)
            piece_again(t, &pull->pieces[k]);
    }
    if (!t->peers[peer].asked)
        t->peers[peer].since_ns = 0;
    if (!pull->n_sources)
        finish(t, pull, why);
}

static void source_drop_all(struct rtci_transfer *t, uint32_t peer, int why)
{
    for (uint32_t i = t->n_pulls; i-- > 0;)
        source_drop(t, t->pulls[i], peer, why);
    t->peers[peer] = (struct peer){.node = t->peers[peer].node, .window = WINDOW_FIRST};
}

/* ---- Asking ---- */

/* The source that is asked for least; not the one that did not answer, where there is a choice.
 * UINT32_MAX: all are busy. */
static uint32_t choose(struct rtci_transfer *t, struct pull *pull, const struct piece *piece)
{
    uint32_t best = UINT32_MAX, first = pull->turn++;
    for (uint32_t i = 0; i < pull->n_sources; i++) {
        uint32_t at = pull->sources[(first + i) % pull->n_sources];
        const struct peer *peer = &t->peers[at];
        if (peer->asked >= peer->window ||
            (piece && piece->tries && pull->n_sources > 1 && at == piece->peer))
            continue;
        if (best == UINT32_MAX || peer->asked < t->peers[best].asked)
            best = at;
    }
    return best;
}

static bool ask(struct rtci_transfer *t, uint64_t now_ns, struct pull *pull, uint32_t at,
                uint64_t chunk, uint64_t n)
{
    struct rtci_bulk_ask frame = {.head = {.magic = RTCI_BULK_MAGIC,
                                           .kind = RTCI_BULK_ASK,
                                           .pull = pull->number,
                                           .offset = chunk * RTCI_CHUNK_BYTES},
                                  .blob = pull->blob};
    uint64_t left = pull->blob.size - frame.head.offset;
    frame.head.size = n * RTCI_CHUNK_BYTES < left ? n * RTCI_CHUNK_BYTES : left;
    struct peer *peer = &t->peers[at];
    int rc = t->ops.send(t->arg, peer->node, &frame, sizeof(frame), NULL, 0);
    bool down = rc != 0 && rc != RTC_E_AGAIN;
    if (rc != RTC_E_AGAIN && (!peer->since_ns || peer->down != down)) {
        peer->since_ns = now_ns | 1;
        peer->down = down;
    }
    if (rc == 0)
        return true;
    uint64_t retry_ns = now_ns + (rc == RTC_E_AGAIN ? AGAIN_NS : UNREACHABLE_NS);
    if (retry_ns < t->retry_ns)
        t->retry_ns = retry_ns;
    return false;
}

static void asked(struct rtci_transfer *t, uint64_t now_ns, struct piece *piece, uint32_t peer)
{
    piece->peer = peer;
    piece->tries++;
    piece->asked_ns = now_ns;
    piece->waiting = false;
    t->peers[peer].asked++;
}

static void ask_again(struct rtci_transfer *t, uint64_t now_ns, struct pull *pull)
{
    for (uint32_t i = 0; i < pull->n_pieces && t->n_waiting; i++) {
        struct piece *piece = &pull->pieces[i];
        uint32_t at = piece->waiting ? choose(t, pull, piece) : UINT32_MAX;
        if (at == UINT32_MAX || !ask(t, now_ns, pull, at, piece->chunk, 1))
            continue;
        t->n_waiting--;
        asked(t, now_ns, piece, at);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Asks for as much as the pull's share of what may be on the way. */
static void fill(struct rtci_transfer *t, uint64_t now_ns, struct pull *pull)
{
    ask_again(t, now_ns, pull);
    uint32_t share = RTCI_TRANSFER_ALL / t->n_pulls;
    share = share < 1 ? 1 : share > RTCI_TRANSFER_PULL ? RTCI_TRANSFER_PULL : share;
    while (pull->next < pull->n_chunks && pull->n_pieces < share &&
           t->n_pieces < RTCI_TRANSFER_ALL) {
        uint32_t at = choose(t, pull, NULL);
        if (at == UINT32_MAX)
            return;
        uint64_t n = least(share - pull->n_pieces, RTCI_TRANSFER_ALL - t->n_pieces);
        n = least(n, t->peers[at].window - t->peers[at].asked);
        n = least(n, pull->n_chunks - pull->next);
        if (!ask(t, now_ns, pull, at, pull->next, n))
            return;
        for (uint64_t i = 0; i < n; i++) {
            struct piece *piece = &pull->pieces[pull->n_pieces++];
            *piece = (struct piece){.chunk = pull->next++};
            asked(t, now_ns, piece, at);
            t->n_pieces++;
        }
    }
}

static void pump(struct rtci_transfer *t, uint64_t now_ns)
{
    if (t->n_pieces >= RTCI_TRANSFER_ALL && !t->n_waiting)
        return;
    t->turn++;
    for (uint32_t i = 0; i < t->n_pulls; i++)
        fill(t, now_ns, t->pulls[(t->turn + i) % t->n_pulls]);
}

uint64_t rtci_transfer_pull(struct rtci_transfer *t, uint64_t now_ns, const struct rtci_blob *blob,
                            void *dst, const uint32_t *sources, uint32_t n_sources)
{
    struct pull *pull = calloc(1, sizeof(*pull));
    RTCI_ASSERT(pull && blob->size <= INT64_MAX);
    pull->number = t->next_number++;
    pull->blob = *blob;
    pull->blob.pad = 0;
    pull->dst = dst;
    pull->n_chunks = (blob->size + RTCI_CHUNK_BYTES - 1) / RTCI_CHUNK_BYTES;
    pull->have = calloc(pull->n_chunks / 64 + 1, sizeof(*pull->have));
    RTCI_ASSERT(pull->have);
    for (uint32_t i = 0; i < n_sources && pull->n_sources < RTCI_TRANSFER_SOURCES; i++) {
        uint32_t at = peer_of(t, sources[i]), k = 0;
        while (k < pull->n_sources && pull->sources[k] != at)
            k++;
        if (k == pull->n_sources)
            pull->sources[pull->n_sources++] = at;
    }
    if (t->n_pulls == t->cap_pulls) {
        t->cap_pulls = t->cap_pulls ? t->cap_pulls * 2 : 16;
        t->pulls = realloc(t->pulls, t->cap_pulls * sizeof(struct pull *));
        RTCI_ASSERT(t->pulls);
    }
    uint64_t number = pull->number;
    pull->place = t->n_pulls;
    t->pulls[t->n_pulls++] = pull;
    RTCI_ASSERT(rtci_map_set(&t->pull_by_number, number, 0, pull->place));
    if (!pull->n_chunks || !pull->n_sources)
        finish(t, pull, pull->n_sources ? 0 : RTC_E_LOST);
    pump(t, now_ns);
    return number;
}

static struct pull *pull_find(const struct rtci_transfer *t, uint64_t number)
{
    const uint32_t *place = rtci_map_find(&t->pull_by_number, number, 0);
    return place ? t->pulls[*place] : NULL;
}

void rtci_transfer_stop(struct rtci_transfer *t, uint64_t number)
{
    struct pull *pull = pull_find(t, number);
    if (pull) {
        unlink_pull(t, pull);
        pull_free(pull);
        return;
    }
    for (struct pull **at = &t->ended; *at; at = &(*at)->next_ended) {
        if ((*at)->number != number)
            continue;
        pull = *at;
        *at = pull->next_ended;
        if (!*at)
            t->ended_last = at;
        pull_free(pull);
        return;
    }
}

/* ---- What comes ---- */

static void measure(struct rtci_transfer *t, uint64_t now_ns, const struct piece *piece)
{
    struct peer *peer = &t->peers[piece->peer];
    if (piece->waiting || piece->tries != 1)
        return; /* which ask this answers is not known */
    uint64_t took = now_ns - piece->asked_ns;
    peer->mean_ns = (peer->mean_ns ? (peer->mean_ns * 7 + took) / 8 : took) | 1;
    if (took < QUICK_NS && peer->window < RTCI_TRANSFER_ALL)
        peer->window++;
    else if (took > SLOW_NS && peer->window > WINDOW_MIN)
        peer->window--;
}

/* False when the frame makes no sense. */
static bool on_chunk(struct rtci_transfer *t, uint64_t now_ns, uint32_t node,
                     const struct rtci_bulk *head, const void *data, size_t size)
{
    struct pull *pull = pull_find(t, head->pull);
    uint64_t chunk = head->offset / RTCI_CHUNK_BYTES;
    uint32_t at = peer_of(t, node), source = 0, i = 0;
    if (t->peers[at].since_ns) /* it sends, if not what it was asked for last */
        t->peers[at].since_ns = now_ns | 1;
    if (!pull)
        return head->size == size; /* it ended, or was stopped */
    if (head->offset % RTCI_CHUNK_BYTES || chunk >= pull->next || head->size != size ||
        size != least(RTCI_CHUNK_BYTES, pull->blob.size - head->offset))
        return false;
    while (source < pull->n_sources && pull->sources[source] != at)
        source++;
    if (source == pull->n_sources)
        return false; /* nobody asked this node */
    if (pull->have[chunk / 64] >> chunk % 64 & 1) {
        t->counts.double_++;
        return true;
    }
    while (i < pull->n_pieces && pull->pieces[i].chunk != chunk)
        i++;
    RTCI_ASSERT(i < pull->n_pieces);
    memcpy(pull->dst + head->offset, data, size);
    pull->have[chunk / 64] |= 1ull << chunk % 64;
    pull->n_have++;
    t->counts.received += size;
    measure(t, now_ns, &pull->pieces[i]);
    piece_remove(t, pull, i);
    if (!t->peers[at].asked)
        t->peers[at].since_ns = 0;
    if (pull->n_have == pull->n_chunks)
        finish(t, pull, 0);
    return true;
}

static bool on_frame(struct rtci_transfer *t, uint64_t now_ns, uint32_t node, const void *data,
                     size_t size)
{
    struct rtci_bulk_ask frame; /* of any alignment outside */
    if (size < sizeof(frame.head))
        return false;
    memcpy(&frame.head, data, sizeof(frame.head));
    if (frame.head.magic != RTCI_BULK_MAGIC)
        return false;
    switch (frame.head.kind) {
    case RTCI_BULK_ASK:
        if (size != sizeof(frame))
            return false;
        memcpy(&frame, data, sizeof(frame));
        return rtci_serve_ask(&t->serve, node, &frame);
    case RTCI_BULK_CHUNK:
        return on_chunk(t, now_ns, node, &frame.head, (const char *)data + sizeof(frame.head),
                        size - sizeof(frame.head));
    case RTCI_BULK_GONE: {
        struct pull *pull = pull_find(t, frame.head.pull);
        if (size != sizeof(frame.head))
            return false;
        if (pull)
            source_drop(t, pull, peer_of(t, node), RTC_E_LOST);
        return true;
    }
    default: return false;
    }
}

static void kept(struct rtci_transfer *t, uint64_t now_ns)
{
    if (t->serve.n_peers && now_ns + AGAIN_NS < t->retry_ns)
        t->retry_ns = now_ns + AGAIN_NS;
}

void rtci_transfer_frame(struct rtci_transfer *t, uint64_t now_ns, uint32_t node, const void *data,
                         size_t size)
{
    t->counts.garbage += !on_frame(t, now_ns, node, data, size);
    pump(t, now_ns);
    kept(t, now_ns);
    report(t);
}

/* ---- Time ---- */

static uint64_t silent_until(const struct peer *peer)
{
    uint64_t ns = 4 * patience(peer);
    return peer->since_ns + (peer->down                    ? RTCI_TRANSFER_DOWN_NS
                             : ns > RTCI_TRANSFER_STALL_NS ? ns
                                                           : RTCI_TRANSFER_STALL_NS);
}

static void timeouts(struct rtci_transfer *t, uint64_t now_ns, struct pull *pull)
{
    for (uint32_t i = 0; i < pull->n_pieces; i++) {
        struct piece *piece = &pull->pieces[i];
        struct peer *peer = &t->peers[piece->peer];
        uint64_t ns = piece->waiting ? 0 : timeout_of(t, piece);
        if (!ns || now_ns < piece->asked_ns + ns)
            continue;
        piece_again(t, piece);
        if (now_ns - peer->shrunk_ns >= ns) { /* once for all that were lost together */
            peer->window = peer->window / 2 > WINDOW_MIN ? peer->window / 2 : WINDOW_MIN;
            peer->shrunk_ns = now_ns;
        }
    }
}

void rtci_transfer_tick(struct rtci_transfer *t, uint64_t now_ns)
{
    t->retry_ns = UINT64_MAX;
    for (uint32_t i = 0; i < t->n_peers; i++) {
        struct peer *peer = &t->peers[i];
        if (!peer->since_ns || now_ns < silent_until(peer))
            continue;
        if (peer->asked || peer->down)
            source_drop_all(t, i, RTC_E_TIMEOUT);
        else
            peer->since_ns = 0; /* others were asked instead, and nothing is wanted of it */
    }
    for (uint32_t i = 0; i < t->n_pulls; i++)
        timeouts(t, now_ns, t->pulls[i]);
    pump(t, now_ns); /* before what is served, which may fill the socket */
    rtci_serve_more(&t->serve);
    kept(t, now_ns);
    report(t);
}

uint64_t rtci_transfer_deadline(const struct rtci_transfer *t)
{
    uint64_t at = t->ended ? 0 : t->retry_ns;
    for (uint32_t i = 0; i < t->n_peers; i++) {
        if (t->peers[i].since_ns)
            at = least(at, silent_until(&t->peers[i]));
    }
    for (uint32_t i = 0; i < t->n_pulls; i++) {
        const struct pull *pull = t->pulls[i];
        for (uint32_t k = 0; k < pull->n_pieces; k++) {
            if (!pull->pieces[k].waiting)
                at = least(at, pull->pieces[k].asked_ns + timeout_of(t, &pull->pieces[k]));
        }
    }
    return at;
}

void rtci_transfer_retry(struct rtci_transfer *t, uint64_t now_ns, uint32_t node)
{
    for (uint32_t i = 0; i < t->n_peers; i++) {
        if (t->peers[i].since_ns && (!node || t->peers[i].node == node))
            t->peers[i].since_ns = now_ns | 1;
    }
    for (uint32_t i = 0; i < t->n_pulls; i++) {
        struct pull *pull = t->pulls[i];
        for (uint32_t k = 0; k < pull->n_pieces; k++) {
            if (!node || t->peers[pull->pieces[k].peer].node == node)
                piece_again(t, &pull->pieces[k]);
        }
    }
    pump(t, now_ns);
}

void rtci_transfer_node_gone(struct rtci_transfer *t, uint64_t now_ns, uint32_t node)
{
    rtci_serve_node_gone(&t->serve, node);
    const uint32_t *peer = rtci_map_find(&t->peer_by_node, node, 0);
    if (peer)
        source_drop_all(t, *peer, RTC_E_LOST);
    pump(t, now_ns);
    report(t);
}

void rtci_transfer_counts(const struct rtci_transfer *t, struct rtci_transfer_counts *ret_counts)
{
    *ret_counts = t->counts;
    ret_counts->pulls = t->n_pulls;
    ret_counts->on_the_way = t->n_pieces;
    ret_counts->sent = t->serve.sent;
    for (uint32_t i = 0; i < t->serve.n_peers; i++)
        ret_counts->kept += t->serve.peers[i]->n;
}
