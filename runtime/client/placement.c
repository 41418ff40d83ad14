/* Placement groups of this process. Asking for one needs no round trip: its number is of the
 * sequence of tasks, and the head answers when it is ready, or why it cannot be. A row is kept of
 * each until it is removed; of groups that others created the head is asked each time. */
#include <rtc/placement.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/submit.h"
#include "runtime/client/withheld.h"
#include "runtime/core/core.h"
#include "runtime/wire/actor.h"

_Static_assert(RTC_BUNDLES_MAX == RTCI_BUNDLES_MAX, "the header promises what the head holds");
_Static_assert(sizeof(struct rtci_group_create) +
                       RTCI_BUNDLES_MAX * (sizeof(struct rtci_bundle) +
                                           RTCI_CUSTOM_MAX * sizeof(struct rtci_custom)) <=
                   RTCI_RECORD_MAX,
               "the largest group is one record");

/* ---- Rows ---- */
static struct placement *find_row(struct rtc *rtc, uint64_t seq)
{
    const uint32_t *at = rtci_map_find(&rtc->placements.by_seq, seq, 0);
    return at ? &rtc->placements.rows[*at] : NULL;
}

static struct placement *add_row(struct rtc *rtc, uint64_t seq)
{
    struct placements *all = &rtc->placements;
    uint32_t at = all->free;
    if (!at && all->n + 1 >= all->cap) {
        uint32_t cap = all->cap ? all->cap * 2 : 16;
        struct placement *rows = realloc(all->rows, cap * sizeof(*rows));
        if (!rows)
            return NULL;
        all->rows = rows;
        all->cap = cap;
    }
    if (!rtci_map_set(&all->by_seq, seq, 0, at ? at : all->n + 1))
        return NULL;
    if (at)
        all->free = all->rows[at].next_free;
    else
        at = ++all->n;
    all->rows[at] = (struct placement){.seq = seq, .request = rtc->next_request++};
    return &all->rows[at];
}

static void drop_row(struct rtc *rtc, struct placement *row)
{
    struct placements *all = &rtc->placements;
    (void)rtci_map_remove(&all->by_seq, row->seq, 0);
    *row = (struct placement){.next_free = all->free};
    all->free = (uint32_t)(row - all->rows);
    rtc->has_last = false; /* its options may be those that are remembered */
}

void rtci_placements_fini(struct rtc *rtc)
{
    rtci_map_fini(&rtc->placements.by_seq);
    free(rtc->placements.rows);
}

void rtci_on_group(struct rtc *rtc, const struct rtci_group_is *is)
{
    for (struct request *q = rtc->requests; q; q = q->next) {
        if (q->kind != REQUEST_GROUP || q->number != is->request || q->done)
            continue;
        q->status = is->status;
        q->data = malloc(is->rec.size);
        if (q->data)
            memcpy(q->data, is, is->rec.size);
        else
            q->status = RTC_E_NOMEM;
        q->done = true;
        return;
    }
    struct placement *row = is->id.client == rtc->client ? find_row(rtc, is->id.seq) : NULL;
    if (!row || row->request != is->request)
        return;
    row->ready = is->status == 0;
    row->status = is->status;
    memcpy(row->why, is->text, sizeof(row->why));
}

static void fill_where(struct rtci_group_remove *rec, uint16_t type, rtc_placement placement,
                       uint64_t request, uint32_t flags)
{
    *rec = (struct rtci_group_remove){.rec = {.size = sizeof(*rec), .type = type},
                                      .request = request,
                                      .id = {placement.seq, placement.client, 0},
                                      .flags = flags};
}

void rtci_placements_repeat(struct rtc *rtc)
{
    for (uint32_t i = 1; i <= rtc->placements.n; i++) {
        const struct placement *row = &rtc->placements.rows[i];
        struct rtci_group_remove where;
        if (!row->seq || row->ready)
            continue;
        fill_where(&where, RTCI_R_GROUP_WHERE, (rtc_placement){row->seq, rtc->client, 0},
                   row->request, 0);
        if (rtci_send_record(rtc, &where) < 0)
            return;
    }
}

/* ---- Creation ---- */
static int fill_customs(const struct rtc_bundle *bundle, struct rtci_custom *custom)
{
    for (size_t i = 0; i < bundle->n_resources; i++) {
        const char *name = bundle->resources[i].name;
        memset(&custom[i], 0, sizeof(custom[i]));
        if (!name || !name[0] || strlen(name) >= sizeof(custom[i].name))
            return rtci_error(RTC_E_INVALID, "a custom resource needs a name of 1 to %zu bytes",
                              sizeof(custom[i].name) - 1);
        RTCI_TRY(
            rtci_amount_of(name, bundle->resources[i].amount, UINT64_MAX / 16, &custom[i].amount));
        memcpy(custom[i].name, name, strlen(name));
    }
    return 0;
}

static int fill_bundle(const struct rtc_bundle *bundle, struct rtci_bundle *need,
                       struct rtci_custom *custom)
{
    uint64_t cpu, gpu;
    if (bundle->n_resources > RTCI_CUSTOM_MAX || (bundle->n_resources && !bundle->resources))
        return rtci_error(RTC_E_INVALID, "%zu resources, of which at most %d are possible%s",
                          bundle->n_resources, RTCI_CUSTOM_MAX,
                          bundle->resources ? "" : ", and resources is NULL");
    if (bundle->mem > INT64_MAX || bundle->gpu_mem > INT64_MAX)
        return rtci_error(RTC_E_INVALID, "mem or gpu_mem is more than any node can have");
    RTCI_TRY(rtci_amount_of("cpus", bundle->cpus, UINT32_MAX, &cpu));
    RTCI_TRY(rtci_amount_of("gpus", bundle->gpus, UINT32_MAX, &gpu));
    *need = (struct rtci_bundle){.cpu = (uint32_t)cpu,
                                 .gpu = (uint32_t)gpu,
                                 .gpu_mem = bundle->gpu_mem,
                                 .mem = bundle->mem,
                                 .n_custom = (uint32_t)bundle->n_resources};
    if (!cpu && !gpu && !need->mem && !need->gpu_mem && !need->n_custom)
        return rtci_error(RTC_E_INVALID, "it asks for nothing: give it some cpus, or another "
                                         "resource");
    return fill_customs(bundle, custom);
}

static int fill_create(const struct rtc_bundle *bundles, size_t n, struct rtci_group_create *rec)
{
    struct rtci_bundle *need = (struct rtci_bundle *)(rec + 1);
    struct rtci_custom *custom = (struct rtci_custom *)(need + n);
    for (size_t i = 0; i < n; i++) {
        int rc = fill_bundle(&bundles[i], &need[i], custom);
        if (rc < 0)
            return rtci_error_within(rc, "bundle %zu", i);
        custom += bundles[i].n_resources;
    }
    return 0;
}

static int create_locked(struct rtc *rtc, struct rtci_group_create *rec,
                         rtc_placement *ret_placement)
{
    void *at;
    RTCI_TRY(rtci_reserve(rtc, rec->rec.size, UINT64_MAX, &at));
    uint64_t seq = rtc->next_seq; /* after the wait for room: others submit meanwhile */
    struct slot *slot = rtci_slots_add(&rtc->slots, seq);
    struct placement *row = slot ? add_row(rtc, seq) : NULL;
    if (slot) { /* the number is taken, and no reference has it */
        slot->state = SLOT_GONE;
        rtci_slots_gone(&rtc->slots, seq);
        rtc->next_seq++;
    }
    if (!row) {
        rtci_chan_unreserve(rtc->chan, rec->rec.size);
        return rtci_error(RTC_E_NOMEM, "out of memory for a placement group");
    }
    row->n = rec->n_bundles;
    rec->request = row->request;
    rec->id = (struct rtci_id){seq, rtc->client, 0};
    memcpy(at, rec, rec->rec.size);
    rtci_send(rtc);
    *ret_placement = (rtc_placement){.seq = seq, .client = rtc->client};
    return 0;
}

int rtc_placement_create(struct rtc *rtc, const struct rtc_bundle *bundles, size_t n,
                         enum rtc_strategy strategy, rtc_placement *ret_placement)
{
    if ((!bundles && n) || !ret_placement)
        return rtci_error(RTC_E_INVALID, "bundles or ret_placement is NULL");
    if (n == 0)
        return rtci_error(RTC_E_INVALID, "a placement group needs at least one bundle");
    if (n > RTC_BUNDLES_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "%zu bundles; at most %d are possible", n,
                          RTC_BUNDLES_MAX);
    if ((unsigned)strategy > RTC_STRICT_SPREAD)
        return rtci_error(RTC_E_INVALID, "strategy = %d is unknown", (int)strategy);
    size_t customs = 0;
    for (size_t i = 0; i < n; i++)
        customs +=
            bundles[i].n_resources < RTCI_CUSTOM_MAX ? bundles[i].n_resources : RTCI_CUSTOM_MAX;
    size_t size = sizeof(struct rtci_group_create) + n * sizeof(struct rtci_bundle) +
                  customs * sizeof(struct rtci_custom);
    struct rtci_group_create *rec = calloc(1, size);
    if (!rec)
        return rtci_error(RTC_E_NOMEM, "out of memory for a placement group");
    rec->rec = (struct rtci_rec){.size = (uint32_t)size, .type = RTCI_R_GROUP_CREATE};
    rec->strategy = (uint32_t)strategy;
    rec->n_bundles = (uint32_t)n;
    int rc = fill_create(bundles, n, rec);
    if (rc == 0)
        rc = rtci_enter(rtc);
    if (rc == 0) {
        rc = create_locked(rtc, rec, ret_placement);
        rtci_leave(rtc);
    }
    free(rec);
    return rc;
}

/* ---- Use ---- */
static int gone_error(void)
{
    return rtci_error(RTC_E_NOT_FOUND, "there is no such placement group (any more): it was "
                                       "removed, or its job has ended");
}

/* `ret_row`: of one of our own; NULL of another's. */
static int find(struct rtc *rtc, rtc_placement placement, struct placement **ret_row)
{
    *ret_row = NULL;
    if (placement.client == 0)
        return rtci_error(RTC_E_INVALID, "the placement group is \"none\" (all zero)");
    if (placement.client != rtc->client)
        return 0;
    *ret_row = find_row(rtc, placement.seq);
    return *ret_row ? 0 : gone_error();
}

int rtci_placement_check(struct rtc *rtc, const struct rtc_options *o)
{
    struct placement *row;
    if (o->placement.client == 0)
        return !o->bundle ? 0
                          : rtci_error(RTC_E_INVALID,
                                       "bundle = RTC_BUNDLE(%u), but placement is "
                                       "not set",
                                       o->bundle - 1);
    if (o->place != RTC_PLACE_DEFAULT || o->n_labels)
        return rtci_error(RTC_E_INVALID, "place and labels cannot be chosen beside a placement "
                                         "group: its bundles have their nodes");
    RTCI_TRY(find(rtc, o->placement, &row));
    if (row && o->bundle > row->n)
        return rtci_error(RTC_E_INVALID,
                          "the placement group has %u bundles, counted from 0: there is no "
                          "bundle %u",
                          row->n, o->bundle - 1);
    return 0;
}

/* One question to the head; *ret_is is the caller's to free. */
static int ask(struct rtc *rtc, uint16_t type, rtc_placement placement, uint32_t flags,
               uint64_t deadline_ns, struct rtci_group_is **ret_is)
{
    struct rtci_group_remove rec;
    fill_where(&rec, type, placement, rtc->next_request++, flags);
    struct request q = {
        .kind = REQUEST_GROUP, .number = rec.request, .record = &rec, .size = sizeof(rec)};
    int rc = rtci_request(rtc, &q, deadline_ns);
    if (rc == 0 && !q.data)
        rc = rtci_error(RTC_E_NOMEM, "out of memory for an answer");
    if (rc < 0)
        return rc;
    struct rtci_group_is *is = q.data;
    if (is->status < 0) {
        rc = rtci_error(is->status, "%s", is->text[0] ? is->text : rtc_error_text(is->status));
        free(is);
        return rc;
    }
    *ret_is = is;
    return 0;
}

/* One of our own, for the first time: its answer comes by itself. */
static int await_row(struct rtc *rtc, uint64_t seq, uint64_t deadline_ns)
{
    for (;;) {
        struct placement *row = find_row(rtc, seq); /* rows move when there are more of them */
        if (!row)
            return rtci_error(RTC_E_CANCELLED, "the placement group was removed meanwhile");
        if (row->ready) {
            row->told = true;
            return 0;
        }
        if (row->status == RTC_E_CANCELLED)
            return rtci_error(row->status, "the placement group was removed by another process");
        if (row->status < 0)
            return rtci_error(row->status, "%s",
                              row->why[0] ? row->why : rtc_error_text(row->status));
        RTCI_TRY(rtci_block(rtc, 0, deadline_ns));
    }
}

static int wait_locked(struct rtc *rtc, rtc_placement placement, int64_t timeout)
{
    struct placement *row;
    struct rtci_group_is *is = NULL;
    RTCI_TRY(find(rtc, placement, &row));
    if (row && !row->told)
        return await_row(rtc, placement.seq, rtci_deadline(timeout));
    /* Since it was ready a node may have been lost. Not waiting is the head's to know: the answer
     * itself takes a moment. */
    RTCI_TRY(ask(rtc, RTCI_R_GROUP_WHERE, placement, timeout == 0 ? RTCI_WHERE_NOWAIT : 0,
                 timeout == 0 ? UINT64_MAX : rtci_deadline(timeout), &is));
    bool ready = is->state == RTCI_GROUP_READY;
    free(is);
    return ready ? 0 : RTC_E_TIMEOUT;
}

int rtc_placement_wait(struct rtc *rtc, rtc_placement placement, int64_t timeout)
{
    if (timeout != 0 && rtc && rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "rtc_placement_wait() with a timeout");
    RTCI_TRY(rtci_enter(rtc));
    const struct rtci_id none = {0};
    int rc = rtci_drain(rtc);
    if (rc == 0 && timeout != 0)
        rc = rtci_speak(rtc, rtci_deadline(timeout));
    const struct placement *row =
        placement.client == rtc->client ? find_row(rtc, placement.seq) : NULL;
    bool sleeps = rc == 0 && timeout != 0 && !(row && row->ready && !row->told);
    if (sleeps)
        rtci_blocked_begin(rtc, &none, 0, 0);
    if (rc == 0)
        rc = wait_locked(rtc, placement, timeout);
    if (sleeps)
        rtci_blocked_end(rtc);
    if (rc == RTC_E_TIMEOUT)
        rc = rtci_error(rc, "the placement group %u:%llu is not ready yet", placement.client,
                        (unsigned long long)placement.seq);
    rtci_leave(rtc);
    return rc;
}

/* A task that nobody runs: the head ends it. It needs nothing, so it is of any bundle. */
static int ready_ref_locked(struct rtc *rtc, rtc_placement placement, rtc_ref *ret_ref)
{
    static const char name[] = "placement_ready";
    const struct rtc_options options = {.cpus = RTC_NONE, .placement = placement};
    const struct rtc_value handle = rtc_bytes(&placement, sizeof(placement));
    const struct rtc_args args = {&handle, 1};
    struct job job;
    if (placement.client == 0)
        return rtci_error(RTC_E_INVALID, "the placement group is \"none\" (all zero)");
    RTCI_TRY(rtci_job_of(rtc, &options, &job));
    job.flags |= RTCI_SPEC_READY | RTCI_SPEC_NAMED;
    job.name = name;
    job.name_len = sizeof(name) - 1;
    RTCI_TRY(rtci_submit_one(rtc, &job, &args, ret_ref));
    rtci_send(rtc);
    return 0;
}

int rtc_placement_ready_ref(struct rtc *rtc, rtc_placement placement, rtc_ref *ret_ref)
{
    if (!ret_ref)
        return rtci_error(RTC_E_INVALID, "ret_ref is NULL");
    RTCI_TRY(rtci_enter(rtc));
    int rc = ready_ref_locked(rtc, placement, ret_ref);
    rtci_leave(rtc);
    return rc;
}

int rtc_placement_info(struct rtc *rtc, rtc_placement placement,
                       struct rtc_placement_info *ret_info, uint32_t *ret_nodes, size_t cap)
{
    if (!ret_info || (!ret_nodes && cap))
        return rtci_error(RTC_E_INVALID, "ret_info or ret_nodes is NULL");
    RTCI_TRY(rtci_enter(rtc));
    struct placement *row;
    struct rtci_group_is *is = NULL;
    int rc = find(rtc, placement, &row);
    if (rc == 0)
        rc = ask(rtc, RTCI_R_GROUP_WHERE, placement, RTCI_WHERE_NOWAIT, UINT64_MAX, &is);
    rtci_leave(rtc);
    if (rc < 0)
        return rc;
    *ret_info = (struct rtc_placement_info){.n_bundles = is->n};
    ret_info->state = is->state == RTCI_GROUP_READY ? RTC_PLACEMENT_READY : RTC_PLACEMENT_PENDING;
    memcpy(ret_info->why, is->text, sizeof(ret_info->why));
    const uint32_t *nodes = (const uint32_t *)(is + 1);
    for (size_t i = 0; i < cap && i < is->n; i++)
        ret_nodes[i] = nodes[i];
    free(is);
    return 0;
}

/* Nobody waits for the answer: there is nothing that the head could have against it. */
static int remove_own(struct rtc *rtc, rtc_placement placement)
{
    struct placement *row = find_row(rtc, placement.seq);
    struct rtci_group_remove rec;
    if (!row && placement.seq >= rtc->next_seq)
        return rtci_error(RTC_E_INVALID, "it was never given out");
    if (!row)
        return 0;
    drop_row(rtc, row);
    if (rtc->waiters)
        pthread_cond_broadcast(&rtc->cond); /* those that wait for it */
    fill_where(&rec, RTCI_R_GROUP_REMOVE, placement, 0, 0);
    return rtci_send_record(rtc, &rec);
}

int rtc_placement_remove(struct rtc *rtc, rtc_placement placement)
{
    if (placement.client == 0)
        return rtci_error(RTC_E_INVALID, "the placement group is \"none\" (all zero)");
    RTCI_TRY(rtci_enter(rtc));
    struct rtci_group_is *is = NULL;
    int rc = placement.client == rtc->client
                 ? remove_own(rtc, placement)
                 : ask(rtc, RTCI_R_GROUP_REMOVE, placement, 0, UINT64_MAX, &is);
    free(is);
    rtci_leave(rtc);
    return rc;
}
