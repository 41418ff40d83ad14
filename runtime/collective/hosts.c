/* Groups on several hosts: who is where, letters, who is still there. */
#include "runtime/collective/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BYTES_MAX   (1 * RTCI_MIB)
#define SLOT_BYTES_TOTAL (32 * RTCI_MIB)
#define SLICE_NS         (20 * RTCI_NS_PER_MS)
#define BESIDE_NS        200000u /* between looks at both: members here, and letters */
#define PROBE_NS         (200 * RTCI_NS_PER_MS)
#define LATE_NS          (100 * RTCI_NS_PER_MS) /* then others are told for whom one waits */
#define GONE             2u /* answers: what a process said before its end may come behind one */

uint64_t rtci_collective_hosts_slot(uint32_t members)
{
    uint64_t bytes = SLOT_BYTES_TOTAL / SLOTS / members;
    return (bytes < SLOT_BYTES_MAX ? bytes : SLOT_BYTES_MAX) / 4096 * 4096;
}

static void find_runs(struct hosts *h)
{
    for (uint32_t rank = 0; rank < h->size; rank++) {
        uint32_t host = h->config.members[rank].host;
        if (h->n_runs && h->runs[h->n_runs - 1].host == host)
            h->runs[h->n_runs - 1].n++;
        else
            h->runs[h->n_runs++] = (struct run){host, rank, 1};
    }
}

int rtci_collective_join_hosts(struct rtci_collective *c, const struct rtci_hosts *config)
{
    struct hosts *h = calloc(1, sizeof(*h));
    if (!h)
        return RTC_E_NOMEM;
    h->config = *config;
    h->self = config->rank;
    h->size = config->size;
    h->own = config->members[h->self].host;
    for (uint32_t rank = 0; rank < h->size; rank++) {
        uint32_t host = config->members[rank].host;
        if (host >= h->n) {
            h->leaders[host] = rank;
            h->n = host + 1;
        }
        h->locals[rank] = h->counts[host]++;
        if (host == h->own)
            h->ranks[h->locals[rank]] = rank;
    }
    RTCI_ASSERT(h->counts[h->own] == c->size && h->locals[h->self] == c->rank);
    find_runs(h);
    c->hosts = h;
    return 0;
}

/* ---- Letters ---- */
int hosts_failed(struct rtci_collective *c, int rc)
{
    char text[192];
    const struct rtci_hosts *config = &c->hosts->config;
    snprintf(text, sizeof(text), "it cannot speak with other hosts: %.150s",
             rc == RTC_E_NOMEM ? "out of memory" : config->bridge->why(config->arg));
    return break_group(c, BROKEN_ABORT, c->hosts->self, c->hosts->self, text);
}

int hosts_parcel(struct rtci_collective *c, size_t size, struct rtci_parcel **ret)
{
    const struct rtci_hosts *config = &c->hosts->config;
    int rc = config->bridge->parcel(config->arg, size, ret);
    return rc < 0 ? hosts_failed(c, rc) : 0;
}

int hosts_send(struct rtci_collective *c, uint32_t host, enum letter_kind kind, uint64_t round,
               uint32_t index, struct rtci_parcel *parcel)
{
    const struct rtci_hosts *config = &c->hosts->config;
    const struct rtci_letter letter = {.kind = kind,
                                       .from = c->hosts->self,
                                       .index = index,
                                       .call = c->n_calls,
                                       .round = round,
                                       .parcel = parcel};
    int rc = config->bridge->send(config->arg, c->hosts->leaders[host], &letter);
    return rc < 0 ? hosts_failed(c, rc) : 0;
}

/* To all members of other hosts; those who cannot be told find out. */
static void send_everybody(struct rtci_collective *c, struct rtci_letter *letter)
{
    const struct hosts *h = c->hosts;
    letter->from = h->self;
    for (uint32_t rank = 0; rank < h->size; rank++) {
        if (h->config.members[rank].host != h->own)
            RTCI_IGNORE(h->config.bridge->send(h->config.arg, rank, letter));
    }
}

void hosts_tell_end(struct rtci_collective *c, const struct breakage *b)
{
    struct rtci_parcel *parcel;
    if (!c->hosts)
        return;
    const struct rtci_hosts *config = &c->hosts->config;
    if (config->bridge->parcel(config->arg, sizeof(struct ending), &parcel) < 0)
        return;
    struct ending *ending = parcel->data;
    *ending = (struct ending){.kind = b->kind, .rank = b->rank, .other = b->other};
    memcpy(ending->text, b->text, sizeof(ending->text));
    struct rtci_letter letter = {.kind = LETTER_BREAK, .parcel = parcel};
    send_everybody(c, &letter);
    config->bridge->release(config->arg, parcel);
}

void hosts_leave(struct rtci_collective *c)
{
    struct hosts *h = c->hosts;
    if (!h)
        return;
    struct rtci_letter letter = {.kind = LETTER_LEFT, .call = c->n_calls + 1};
    send_everybody(c, &letter);
    while (h->n_letters)
        hosts_throw(c, &h->letters[h->n_letters - 1]);
    free(h->letters);
    free(h);
    c->hosts = NULL;
}

void hosts_throw(struct rtci_collective *c, struct rtci_letter *letter)
{
    struct hosts *h = c->hosts;
    if (letter->parcel)
        h->config.bridge->release(h->config.arg, letter->parcel);
    *letter = h->letters[--h->n_letters];
}

struct rtci_letter *hosts_find(struct rtci_collective *c, enum letter_kind kind, uint64_t round,
                               uint32_t index)
{
    struct hosts *h = c->hosts;
    for (uint32_t i = 0; i < h->n_letters; i++) {
        struct rtci_letter *l = &h->letters[i];
        if (l->kind == (uint32_t)kind && l->call == c->n_calls && l->round == round &&
            l->index == index)
            return l;
    }
    return NULL;
}

static int keep(struct rtci_collective *c, const struct rtci_letter *letter)
{
    struct hosts *h = c->hosts;
    if (h->n_letters == h->cap_letters) {
        uint32_t cap = h->cap_letters ? 2 * h->cap_letters : 32;
        struct rtci_letter *letters = realloc(h->letters, cap * sizeof(*letters));
        if (!letters)
            return hosts_failed(c, RTC_E_NOMEM);
        h->letters = letters;
        h->cap_letters = cap;
    }
    h->letters[h->n_letters++] = *letter;
    return 0;
}

static void end_by(struct rtci_collective *c, const struct rtci_letter *letter)
{
    struct ending ending;
    if (!letter->parcel || letter->parcel->size != sizeof(ending))
        return;
    memcpy(&ending, letter->parcel->data, sizeof(ending));
    ending.text[sizeof(ending.text) - 1] = 0;
    if (ending.kind > WHOLE && ending.kind <= BROKEN_MISMATCH && ending.rank < c->hosts->size &&
        ending.other < c->hosts->size)
        note_end(c, ending.kind, ending.rank, ending.other, ending.text);
}

/* Uses it at once, or keeps it. */
static int take_in(struct rtci_collective *c, const struct rtci_letter *letter)
{
    struct hosts *h = c->hosts;
    struct elsewhere *e = &c->segment->elsewhere;
    uint32_t host = h->config.members[letter->from].host;
    switch (letter->kind) {
    case LETTER_BREAK: end_by(c, letter); break;
    case LETTER_LEFT: atomic_store(&e->left[letter->from], letter->call); break;
    case LETTER_LATE:
        if (letter->index < h->size) {
            h->late[host] = letter->index;
            h->late_in[host] = letter->call;
        }
        break;
    default:
        if (letter->call < c->n_calls || letter->from != h->leaders[host])
            break;
        if (letter->kind == LETTER_ENTER)
            atomic_store(&e->entered[host], letter->call);
        return keep(c, letter);
    }
    if (letter->parcel)
        h->config.bridge->release(h->config.arg, letter->parcel);
    return 0;
}

int hosts_read(struct rtci_collective *c)
{
    const struct rtci_hosts *config = &c->hosts->config;
    struct rtci_letter letter;
    int rc;
    while ((rc = config->bridge->receive(config->arg, &letter)) > 0) {
        if (letter.from >= c->hosts->size) {
            if (letter.parcel)
                config->bridge->release(config->arg, letter.parcel);
            continue;
        }
        rc = take_in(c, &letter);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return hosts_failed(c, rc);
    return is_broken(c) ? breakage_code(c) : 0;
}

/* ---- Who is there ---- */
static void probe(struct rtci_collective *c, uint64_t now)
{
    const struct hosts *h = c->hosts;
    struct elsewhere *e = &c->segment->elsewhere;
    uint64_t last = atomic_load(&e->probed_ns);
    if (now - last < PROBE_NS || !atomic_compare_exchange_strong(&e->probed_ns, &last, now))
        return; /* another member does */
    for (uint32_t rank = 0; rank < h->size; rank++) {
        if (h->config.members[rank].host != h->own)
            h->config.bridge->probe(h->config.arg, rank);
    }
}

/* A member of another host is needed until all of that host are in the call; its leader is until
 * the end of the call, unless it has left since. */
static int judge(struct rtci_collective *c, uint32_t rank, const char *why)
{
    const struct hosts *h = c->hosts;
    struct elsewhere *e = &c->segment->elsewhere;
    uint32_t host = h->config.members[rank].host;
    bool entered = atomic_load(&e->entered[host]) >= c->n_calls;
    uint64_t left = atomic_load(&e->left[rank]);
    if (left && left <= c->n_calls)
        return break_group(c, BROKEN_LEAVE, rank, h->self, NULL);
    bool needed = !entered || (leads(c) && rank == h->leaders[host] && !left);
    if (needed && atomic_load(&e->gone[rank]) >= GONE)
        return break_group(c, BROKEN_DEATH, rank, h->self, why);
    return 0;
}

static int look_at_others(struct rtci_collective *c)
{
    const struct hosts *h = c->hosts;
    for (uint32_t rank = 0; rank < h->size; rank++) {
        char why[128] = "";
        if (h->config.members[rank].host == h->own)
            continue;
        if (h->config.bridge->gone(h->config.arg, rank, why, sizeof(why)))
            atomic_fetch_add(&c->segment->elsewhere.gone[rank], 1);
        int rc = judge(c, rank, why);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Who keeps this call from going on, as far as is known here. */
static uint32_t find_late(const struct rtci_collective *c)
{
    const struct hosts *h = c->hosts;
    uint32_t late = ABSENT;
    for (uint32_t i = 0; i < h->n; i++) {
        if (i == h->own)
            continue;
        bool known = h->late_in[i] == c->n_calls;
        if (atomic_load(&c->segment->elsewhere.entered[i]) < c->n_calls)
            return known ? h->late[i] : h->leaders[i];
        if (late == ABSENT || known)
            late = known ? h->late[i] : h->leaders[i];
    }
    return late;
}

static void tell_late(struct rtci_collective *c, uint32_t awaited, uint64_t now)
{
    struct hosts *h = c->hosts;
    atomic_store(&c->segment->elsewhere.awaited, awaited + 1);
    if (h->told || now - h->began_ns < LATE_NS)
        return;
    h->told = true;
    for (uint32_t i = 0; i < h->n; i++) {
        if (i != h->own)
            RTCI_IGNORE(hosts_send(c, i, LETTER_LATE, 0, awaited, NULL));
    }
}

int hosts_look(struct rtci_collective *c, uint32_t awaited)
{
    uint64_t now = segment_now_ns();
    c->hosts->looked_ns = now;
    int rc = hosts_read(c);
    if (rc < 0)
        return rc;
    if (leads(c))
        tell_late(c, awaited, now);
    probe(c, now);
    return look_at_others(c);
}

int hosts_wait(struct rtci_collective *c, bool local)
{
    const struct rtci_hosts *config = &c->hosts->config;
    uint64_t now = segment_now_ns(), until = now + (local ? BESIDE_NS : SLICE_NS);
    if (is_broken(c))
        return breakage_code(c);
    if (now >= c->deadline_ns)
        return break_group(c, BROKEN_TIMEOUT, c->hosts->self, find_late(c), NULL);
    if (now - c->hosts->looked_ns >= SLICE_NS) {
        int rc = hosts_look(c, find_late(c));
        if (rc < 0)
            return rc;
    }
    int rc = config->bridge->wait(config->arg, until < c->deadline_ns ? until : c->deadline_ns);
    return rc < 0 ? hosts_failed(c, rc) : 0;
}
