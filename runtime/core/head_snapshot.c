/* The whole state as records of the journal, in an order in which it can be replayed. */
#include <stdlib.h>

#include "runtime/core/head_journal.h"

/* ---- Snapshot: parents before children, producers before consumers: by order of ids ---- */

struct snap {
    struct rtci_buf buf;
    int (*emit)(void *arg, const void *data, size_t len);
    void *arg;
    int rc;
};

static void flush(struct snap *snap, size_t above)
{
    if (snap->rc || snap->buf.len <= above)
        return;
    snap->rc = snap->emit(snap->arg, snap->buf.data, snap->buf.len);
    rtci_buf_clear(&snap->buf);
}

static void put_wire(struct snap *snap, uint32_t client, const struct rtci_rec *rec, uint16_t type)
{
    char *out = head_jput(&snap->buf, J_WIRE, client, 0, rec->size);
    memcpy(out, rec, rec->size);
    ((struct rtci_rec *)out)->type = type;
    flush(snap, RTCI_MIB / 2);
}

static void put_entry(struct rtci_head_core *core, struct snap *snap, const struct entry *entry)
{
    if (entry->kind == ENTRY_ACTOR) {
        put_wire(snap, entry->client, &entry->spec->rec, RTCI_R_ACTOR_CREATE);
        head_put_actor(core, &snap->buf, &core->actors[entry->parent]);
        return;
    }
    if (entry->put)
        put_wire(snap, entry->client, &entry->put->rec,
                 entry->put->kind == RTCI_KIND_ARENA ? RTCI_R_SEAL : RTCI_R_PUT);
    if (entry->spec) {
        put_wire(snap, entry->client, &entry->spec->rec, RTCI_R_SUBMIT);
        head_put_attempt(core, &snap->buf, entry);
        if (entry->flags & EF_CANCEL)
            head_put_cancel(&snap->buf, entry);
    }
}

static void put_result(struct snap *snap, const struct entry *entry)
{
    if (entry->result)
        put_wire(snap, entry->client, &entry->result->rec, RTCI_R_DONE);
}

/* What the creator dropped is dropped last: until then the entry is there to be referred to. */
static void put_release(struct snap *snap, const struct entry *entry)
{
    uint32_t had = entry->kind == ENTRY_PUT ? 1 : entry->spec->n_returns;
    struct rtci_range range = {.rec = {sizeof(range), RTCI_R_RELEASE, 0},
                               .seq = entry->seq,
                               .count = 1,
                               .client = entry->client,
                               .index = 0};
    if (entry->holds)
        for (uint32_t i = entry->holds; i < had; i++)
            put_wire(snap, entry->client, &range.rec, RTCI_R_RELEASE);
    range.index = RTCI_ALL_RETURNS;
    if (!entry->holds)
        put_wire(snap, entry->client, &range.rec, RTCI_R_RELEASE);
}

static int by_order(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    if (x->client != y->client)
        return x->client < y->client ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void snapshot_clients(struct rtci_head_core *core, struct snap *snap)
{
    for (uint32_t i = 0; i < core->n_functions; i++) {
        size_t len = strlen(core->functions[i].name);
        char *at = calloc(1, RTCI_ALIGN8(sizeof(struct rtci_function) + len));
        RTCI_ASSERT(at);
        struct rtci_function *rec = (struct rtci_function *)at;
        rec->rec.size = (uint32_t)RTCI_ALIGN8(sizeof(*rec) + len);
        rec->hash = core->functions[i].hash;
        rec->name_len = (uint32_t)len;
        memcpy(rec + 1, core->functions[i].name, len);
        put_wire(snap, 0, &rec->rec, RTCI_R_FUNCTION);
        free(at);
    }
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        if (core->jobs[i].alive)
            head_put_job(&snap->buf, &core->jobs[i]);
    }
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (!client)
            continue;
        bool needed = client->alive || client->n_pages;
        if (!needed && i + 1 < core->n_clients)
            continue; /* the last one stays: its number must not be given out again */
        struct client copy = *client;
        copy.last_seq = copy.last_submit = 0; /* SUBMITs follow; the true value comes after them */
        head_put_client(&snap->buf, &copy);
        for (size_t at = 0; at < client->shape_recs.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(client->shape_recs.data + at);
            put_wire(snap, i, rec, RTCI_R_SHAPE);
            at += rec->size;
        }
        flush(snap, RTCI_MIB / 2);
    }
}

static void snapshot_group(struct snap *snap, const struct group *group)
{
    size_t size = sizeof(struct rtci_group_create) + group->n * sizeof(struct rtci_bundle) +
                  group->n_customs * sizeof(struct rtci_custom);
    struct rtci_group_create *rec = calloc(1, size);
    RTCI_ASSERT(rec);
    rec->rec = (struct rtci_rec){(uint32_t)size, RTCI_R_GROUP_CREATE, 0};
    rec->id = group->id;
    rec->strategy = group->strategy;
    rec->n_bundles = group->n;
    struct rtci_bundle *need = (struct rtci_bundle *)(rec + 1);
    for (uint32_t i = 0; i < group->n; i++)
        need[i] = group->bundles[i].need;
    memcpy(need + group->n, group->custom, group->n_customs * sizeof(*group->custom));
    put_wire(snap, group->id.client, &rec->rec, RTCI_R_GROUP_CREATE);
    head_put_group(&snap->buf, group);
    free(rec);
}

static void snapshot_watch(struct rtci_head_core *core, struct snap *snap)
{
    for (uint32_t i = 1; i < core->n_monitors; i++) {
        if (core->monitors[i].used)
            head_put_monitor(&snap->buf, &core->monitors[i]);
        flush(snap, RTCI_MIB / 2);
    }
    for (uint32_t i = 1; i < core->n_groups; i++) {
        if (core->groups[i].used && core->groups[i].state != RTCI_GROUP_REMOVED)
            snapshot_group(snap, &core->groups[i]);
    }
    for (uint32_t i = 0; i < core->n_links; i++)
        head_put_link(&snap->buf, &core->links[i], true);
}

int rtci_head_core_snapshot(struct rtci_head_core *core,
                            int (*emit)(void *arg, const void *data, size_t len), void *arg)
{
    struct snap snap = {.emit = emit, .arg = arg};
    snapshot_clients(core, &snap);
    const struct entry **order = calloc(core->n_entries, sizeof(*order));
    if (!order)
        return RTC_E_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = 1; i < core->n_entries; i++) {
        if (core->entries[i].kind)
            order[n++] = &core->entries[i];
    }
    qsort(order, n, sizeof(*order), by_order);
    for (uint32_t i = 0; i < n && !snap.rc; i++)
        put_entry(core, &snap, order[i]);
    for (uint32_t i = 0; i < n && !snap.rc; i++)
        put_result(&snap, order[i]);
    for (uint32_t b = 0; b < core->n_kv_blocks; b++) {
        for (uint32_t i = 0; i < core->kv_blocks[b]->n && !snap.rc; i++) {
            head_put_kv(&snap.buf, &core->kv_blocks[b]->kv[i], true);
            flush(&snap, RTCI_MIB / 2);
        }
    }
    for (uint32_t i = 0; i < core->n_nameds; i++)
        head_put_named(&snap.buf, &core->nameds[i]);
    for (uint32_t i = 0; i < n && !snap.rc; i++) {
        for (uint32_t at = order[i]->ext_edges; at; at = core->edges[at].next) {
            struct rtci_ids ids[2] = {{{sizeof(ids), RTCI_R_HOLD, 0}, 1, 0}, {{0}, 0, 0}};
            struct rtci_id id = {order[i]->seq, order[i]->client, 0};
            memcpy(&ids[1], &id, sizeof(id));
            memcpy(head_jput(&snap.buf, J_HOLD, core->edges[at].who, 1, sizeof(ids)), ids,
                   sizeof(ids));
        }
        put_release(&snap, order[i]);
    }
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (!client || (!client->alive && !client->n_pages && i + 1 < core->n_clients))
            continue;
        head_put_client(&snap.buf, client);
        if (!client->alive)
            head_jput(&snap.buf, J_CLIENT_GONE, i, 0, 0);
        flush(&snap, RTCI_MIB / 2);
    }
    snapshot_watch(core, &snap);
    for (uint32_t i = 1; i < core->n_nodes; i++) {
        if (core->nodes[i].cordoned)
            head_put_cordon(&snap.buf, i, &core->nodes[i]);
    }
    flush(&snap, 0);
    rtci_buf_fini(&snap.buf);
    free(order);
    return snap.rc;
}
