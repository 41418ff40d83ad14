/* The journal: state changes as records, replay, snapshot.
 *
 * A journal record is {u32 size, u16 type, u16 pad, u32 client, u32 arg} and a body. Bodies of
 * SUBMIT, DONE, RELEASE, PUT, SHAPE and FUNCTION are the wire's records, verbatim. Replaying one
 * twice changes nothing the second time.
 */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

enum jtype {
    J_WIRE = 1,
    J_CLIENT,
    J_CLIENT_GONE,
    J_JOB,
    J_ATTEMPT,
    J_NAMED,
    J_KV,
    J_HOLD,
    J_CANCEL,
    J_ACTOR,
    J_MONITOR,
    J_LINK
};

struct jrec {
    uint32_t size;
    uint16_t type, arg16;
    uint32_t client, arg;
};
struct jclient {
    uint32_t number, node, job, role, pid, pad;
    uint64_t last_seq;
    char name[64];
};
struct jjob {
    uint32_t number, driver, node, origin;
    uint64_t id_hi, id_lo, started_ns;
    char name[64], ns[64];
};
struct jattempt {
    uint64_t seq;
    uint32_t failures, attempt;
};
struct jnamed {
    struct rtci_id id;
    uint64_t version;
    uint32_t job, len;
};

static void *jput(struct rtci_buf *buf, uint16_t type, uint32_t client, uint32_t arg, size_t body)
{
    size_t size = RTCI_ALIGN8(sizeof(struct jrec) + body);
    struct jrec *rec = rtci_buf_add(buf, size);
    RTCI_ASSERT(rec);
    memset((char *)rec + size - 8, 0, 8);
    *rec = (struct jrec){(uint32_t)size, type, 0, client, arg};
    return rec + 1;
}

static struct rtci_buf *journal(struct rtci_head_core *core)
{
    return core->replaying || !core->actions ? NULL : &core->actions->persist;
}

static void put_client(struct rtci_buf *buf, const struct client *client)
{
    struct jclient at = {client->number,   client->node, client->job, client->role, client->pid, 0,
                         client->last_seq, {0}};
    memcpy(at.name, client->name, sizeof(at.name));
    memcpy(jput(buf, J_CLIENT, client->number, 0, sizeof(at)), &at, sizeof(at));
}

static void put_job(struct rtci_buf *buf, const struct job *job)
{
    struct jjob at = {job->number, job->driver,     job->node, job->origin, job->id_hi,
                      job->id_lo,  job->started_ns, {0},       {0}};
    memcpy(at.name, job->name, sizeof(at.name));
    memcpy(at.ns, job->ns, sizeof(at.ns));
    memcpy(jput(buf, J_JOB, 0, 0, sizeof(at)), &at, sizeof(at));
}

static void put_attempt(struct rtci_buf *buf, const struct entry *entry)
{
    struct jattempt at = {entry->seq, entry->failures, entry->attempt};
    memcpy(jput(buf, J_ATTEMPT, entry->client, 0, sizeof(at)), &at, sizeof(at));
}

static void put_cancel(struct rtci_buf *buf, const struct entry *entry)
{
    uint32_t mode = (entry->flags & EF_FORCE ? RTCI_CANCEL_FORCE : 0) |
                    (entry->flags & EF_DEADLINE ? RTCI_CANCEL_DEADLINE : 0);
    memcpy(jput(buf, J_CANCEL, entry->client, mode, sizeof(entry->seq)), &entry->seq,
           sizeof(entry->seq));
}

static void put_named(struct rtci_buf *buf, const struct named *named)
{
    struct jnamed at = {named->id, named->version, named->job, named->len};
    char *out = jput(buf, J_NAMED, 0, 0, sizeof(at) + named->len);
    memcpy(out, &at, sizeof(at));
    memcpy(out + sizeof(at), named->name, named->len);
}

static void put_actor(struct rtci_head_core *core, struct rtci_buf *buf, const struct actor *actor)
{
    const struct entry *entry = head_entry(core, actor->entry);
    struct jactor at = {.seq = entry->seq,
                        .created_ns = actor->created_ns,
                        .incarnation = entry->attempt,
                        .restarts = actor->restarts,
                        .failures = actor->failures,
                        .node = actor->node,
                        .job = actor->job,
                        .state = actor->state,
                        .ends = actor->ends,
                        .named = actor->named,
                        .client = actor->client,
                        .pid = actor->pid,
                        .cause = actor->cause};
    memcpy(jput(buf, J_ACTOR, entry->client, 0, sizeof(at)), &at, sizeof(at));
}

static void put_monitor(struct rtci_buf *buf, const struct monitor *monitor)
{
    memcpy(jput(buf, J_MONITOR, monitor->client, 0, sizeof(*monitor)), monitor, sizeof(*monitor));
}

static void put_link(struct rtci_buf *buf, const struct link *link, bool on)
{
    memcpy(jput(buf, J_LINK, 0, on, sizeof(*link)), link, sizeof(*link));
}

static void put_kv(struct rtci_buf *buf, const struct kv *kv, bool present)
{
    uint32_t lens[4] = {kv->key_len, kv->ns_len, present ? kv->size : 0, present};
    char *out = jput(buf, J_KV, 0, 0, sizeof(lens) + kv->key_len + lens[2]);
    memcpy(out, lens, sizeof(lens));
    memcpy(out + sizeof(lens), kv->key, kv->key_len);
    if (lens[2])
        memcpy(out + sizeof(lens) + kv->key_len, kv->value, lens[2]);
}

void head_j_client(struct rtci_head_core *core, const struct client *client)
{
    if (journal(core))
        put_client(journal(core), client);
}

void head_j_client_gone(struct rtci_head_core *core, uint32_t number)
{
    if (journal(core))
        jput(journal(core), J_CLIENT_GONE, number, 0, 0);
}

void head_j_job(struct rtci_head_core *core, const struct job *job)
{
    if (journal(core))
        put_job(journal(core), job);
}

void head_j_record(struct rtci_head_core *core, uint32_t client, const struct rtci_rec *rec)
{
    if (journal(core))
        memcpy(jput(journal(core), J_WIRE, client, 0, rec->size), rec, rec->size);
}

void head_j_attempt(struct rtci_head_core *core, const struct entry *entry)
{
    if (journal(core))
        put_attempt(journal(core), entry);
}

void head_j_cancel(struct rtci_head_core *core, const struct entry *entry)
{
    if (journal(core))
        put_cancel(journal(core), entry);
}

void head_j_named(struct rtci_head_core *core, const struct named *named)
{
    if (journal(core))
        put_named(journal(core), named);
}

void head_j_kv(struct rtci_head_core *core, const struct kv *kv, bool present)
{
    if (journal(core))
        put_kv(journal(core), kv, present);
}

void head_j_actor(struct rtci_head_core *core, const struct actor *actor)
{
    if (journal(core))
        put_actor(core, journal(core), actor);
}

void head_j_monitor(struct rtci_head_core *core, const struct monitor *monitor)
{
    if (journal(core))
        put_monitor(journal(core), monitor);
}

void head_j_link(struct rtci_head_core *core, const struct link *link, bool on)
{
    if (journal(core))
        put_link(journal(core), link, on);
}

void head_j_node_hold(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids,
                      bool hold)
{
    if (journal(core))
        memcpy(jput(journal(core), J_HOLD, node, hold, ids->rec.size), ids, ids->rec.size);
}

/* ---- Replay ---- */

static void replay_wire(struct rtci_head_core *core, uint32_t number, const struct rtci_rec *rec)
{
    struct client *client = head_client(core, number);
    const void *at = rec;
    if (rec->type == RTCI_R_FUNCTION) {
        head_function(core, at);
        return;
    }
    if (!client)
        return;
    switch (rec->type) {
    case RTCI_R_SUBMIT: head_submit(core, client, at); break;
    case RTCI_R_ACTOR_CREATE: head_actor_create(core, client, at); break;
    case RTCI_R_RELEASE: head_release(core, client, at); break;
    case RTCI_R_SHAPE: head_shape(core, client, at); break;
    case RTCI_R_PUT:
    case RTCI_R_SEAL:
    case RTCI_R_OBJECT_HELD: head_put(core, client, at); break;
    case RTCI_R_DONE:
    case RTCI_R_RESULT: {
        const struct rtci_done *done = at;
        uint32_t index = head_find(core, (struct rtci_id){done->seq, done->client, 0});
        if (index)
            head_done(core, index, done, 0);
        break;
    }
    default: break;
    }
}

static void replay_client(struct rtci_head_core *core, const struct jclient *at)
{
    struct client *client = head_client_make(core, at->number);
    if (!client->alive)
        core->stats.clients++;
    client->node = at->node;
    client->job = at->job;
    if (core->n_jobs <= at->job) { /* an ended one's number is not given out while it has clients */
        HEAD_GROW(core->jobs, core->cap_jobs, at->job);
        core->n_jobs = at->job + 1;
    }
    client->role = at->role;
    client->pid = at->pid;
    client->alive = true;
    if (at->last_seq > client->last_seq)
        client->last_seq = at->last_seq;
    memcpy(client->name, at->name, sizeof(client->name));
}

static void replay_job(struct rtci_head_core *core, const struct jjob *at)
{
    uint32_t number = head_job_make(core, at->number);
    struct job *job = &core->jobs[number];
    job->driver = at->driver;
    job->node = at->node;
    if (at->origin && at->origin != number && at->origin < core->n_jobs && !job->origin) {
        job->origin = at->origin;
        core->jobs[at->origin].detached += job->alive;
    }
    job->id_hi = at->id_hi;
    job->id_lo = at->id_lo;
    job->started_ns = at->started_ns;
    memcpy(job->name, at->name, sizeof(job->name));
    memcpy(job->ns, at->ns, sizeof(job->ns));
}

/* Whoever runs it is told again, once it is back. */
static void replay_cancel(struct rtci_head_core *core, struct rtci_id id, uint32_t mode)
{
    uint32_t index = head_find(core, id);
    if (!index || head_entry(core, index)->kind != ENTRY_TASK)
        return;
    head_entry(core, index)->flags |=
        (uint16_t)(EF_CANCEL | (mode & RTCI_CANCEL_FORCE ? EF_FORCE : 0) |
                   (mode & RTCI_CANCEL_DEADLINE ? EF_DEADLINE : 0));
    head_cancel_later(core, index, mode & (RTCI_CANCEL_FORCE | RTCI_CANCEL_DEADLINE));
}

/* Records of actors have a fixed length. */
static int replay_actors(struct rtci_head_core *core, const struct jrec *rec, size_t len)
{
    struct jactor actor;
    struct monitor monitor;
    struct rtci_actor_link link = {.op = rec->arg};
    switch (rec->type) {
    case J_ACTOR:
        if (len < sizeof(actor))
            return RTC_E_CORRUPT;
        memcpy(&actor, rec + 1, sizeof(actor));
        head_actor_replay(core, rec->client, &actor);
        return 0;
    case J_MONITOR:
        if (len < sizeof(monitor))
            return RTC_E_CORRUPT;
        memcpy(&monitor, rec + 1, sizeof(monitor));
        monitor.client = rec->client;
        head_monitor_set(core, &monitor);
        return 0;
    case J_LINK:
        if (len < sizeof(struct link))
            return RTC_E_CORRUPT;
        memcpy(&link.a, rec + 1, sizeof(link.a) + sizeof(link.b));
        head_link(core, &link);
        return 0;
    default: return RTC_E_CORRUPT;
    }
}

static int replay_one(struct rtci_head_core *core, const struct jrec *rec)
{
    const char *body = (const char *)(rec + 1);
    size_t len = rec->size - sizeof(*rec);
    switch (rec->type) {
    case J_WIRE:
        if (rtci_wire_check(body, len) < 0)
            return RTC_E_CORRUPT;
        replay_wire(core, rec->client, (const struct rtci_rec *)body);
        return 0;
    case J_CLIENT:
        if (len < sizeof(struct jclient))
            return RTC_E_CORRUPT;
        replay_client(core, (const struct jclient *)body);
        return 0;
    case J_CLIENT_GONE: {
        struct client *client = head_client(core, rec->client);
        if (client && client->alive)
            head_client_gone(core, rec->client);
        return 0;
    }
    case J_JOB:
        if (len < sizeof(struct jjob))
            return RTC_E_CORRUPT;
        replay_job(core, (const struct jjob *)body);
        return 0;
    case J_ATTEMPT: {
        const struct jattempt *at = (const struct jattempt *)body;
        uint32_t index =
            len < sizeof(*at) ? 0 : head_find(core, (struct rtci_id){at->seq, rec->client, 0});
        if (index) {
            head_entry(core, index)->failures = at->failures;
            head_entry(core, index)->attempt = at->attempt;
        }
        return 0;
    }
    case J_CANCEL:
        if (len < sizeof(uint64_t))
            return RTC_E_CORRUPT;
        replay_cancel(core, (struct rtci_id){*(const uint64_t *)body, rec->client, 0}, rec->arg);
        return 0;
    case J_NAMED: {
        const struct jnamed *at = (const struct jnamed *)body;
        if (len < sizeof(*at) || len - sizeof(*at) < at->len)
            return RTC_E_CORRUPT;
        head_named_set(core, (const char *)(at + 1), at->len, at->job, at->version, at->id);
        return 0;
    }
    case J_KV: {
        uint32_t lens[4];
        if (len < sizeof(lens))
            return RTC_E_CORRUPT;
        memcpy(lens, body, sizeof(lens));
        if (len - sizeof(lens) < (uint64_t)lens[0] + lens[2])
            return RTC_E_CORRUPT;
        head_kv_set(core, body + sizeof(lens), lens[0], lens[1], body + sizeof(lens) + lens[0],
                    lens[2], lens[3]);
        return 0;
    }
    case J_HOLD:
        if (rtci_wire_check(body, len) < 0)
            return RTC_E_CORRUPT;
        head_hold(core, rec->client, NULL, (const struct rtci_ids *)body, rec->arg);
        return 0;
    default: return replay_actors(core, rec, len);
    }
}

int rtci_head_core_replay(struct rtci_head_core *core, const void *data, size_t len,
                          const char **reterr)
{
    core->replaying = core->replayed = true;
    for (size_t at = 0; at < len;) {
        const struct jrec *rec = (const struct jrec *)((const char *)data + at);
        int rc = len - at < sizeof(*rec) || rec->size < sizeof(*rec) || rec->size > len - at ||
                         rec->size % 8
                     ? RTC_E_CORRUPT
                     : replay_one(core, rec);
        if (rc) {
            if (reterr)
                *reterr = "a journal record is malformed";
            return rc;
        }
        at += rec->size;
    }
    return 0;
}

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
    char *out = jput(&snap->buf, J_WIRE, client, 0, rec->size);
    memcpy(out, rec, rec->size);
    ((struct rtci_rec *)out)->type = type;
    flush(snap, RTCI_MIB / 2);
}

static void put_entry(struct rtci_head_core *core, struct snap *snap, const struct entry *entry)
{
    if (entry->kind == ENTRY_ACTOR) {
        put_wire(snap, entry->client, &entry->spec->rec, RTCI_R_ACTOR_CREATE);
        put_actor(core, &snap->buf, &core->actors[entry->parent]);
        return;
    }
    if (entry->put)
        put_wire(snap, entry->client, &entry->put->rec,
                 entry->put->kind == RTCI_KIND_ARENA ? RTCI_R_SEAL : RTCI_R_PUT);
    if (entry->spec) {
        put_wire(snap, entry->client, &entry->spec->rec, RTCI_R_SUBMIT);
        put_attempt(&snap->buf, entry);
        if (entry->flags & EF_CANCEL)
            put_cancel(&snap->buf, entry);
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
            put_job(&snap->buf, &core->jobs[i]);
    }
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (!client)
            continue;
        bool needed = client->alive || client->n_pages;
        if (!needed && i + 1 < core->n_clients)
            continue; /* the last one stays: its number must not be given out again */
        struct client copy = *client;
        copy.last_seq = 0; /* SUBMITs follow; the true value comes after them */
        put_client(&snap->buf, &copy);
        for (size_t at = 0; at < client->shape_recs.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(client->shape_recs.data + at);
            put_wire(snap, i, rec, RTCI_R_SHAPE);
            at += rec->size;
        }
        flush(snap, RTCI_MIB / 2);
    }
}

static void snapshot_watch(struct rtci_head_core *core, struct snap *snap)
{
    for (uint32_t i = 1; i < core->n_monitors; i++) {
        if (core->monitors[i].used)
            put_monitor(&snap->buf, &core->monitors[i]);
        flush(snap, RTCI_MIB / 2);
    }
    for (uint32_t i = 0; i < core->n_links; i++)
        put_link(&snap->buf, &core->links[i], true);
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
            put_kv(&snap.buf, &core->kv_blocks[b]->kv[i], true);
            flush(&snap, RTCI_MIB / 2);
        }
    }
    for (uint32_t i = 0; i < core->n_nameds; i++)
        put_named(&snap.buf, &core->nameds[i]);
    for (uint32_t i = 0; i < n && !snap.rc; i++) {
        for (uint32_t at = order[i]->ext_edges; at; at = core->edges[at].next) {
            struct rtci_ids ids[2] = {{{sizeof(ids), RTCI_R_HOLD, 0}, 1, 0}, {{0}, 0, 0}};
            struct rtci_id id = {order[i]->seq, order[i]->client, 0};
            memcpy(&ids[1], &id, sizeof(id));
            memcpy(jput(&snap.buf, J_HOLD, core->edges[at].who, 1, sizeof(ids)), ids, sizeof(ids));
        }
        put_release(&snap, order[i]);
    }
    for (uint32_t i = 1; i < core->n_clients; i++) {
        struct client *client = core->clients[i];
        if (!client || (!client->alive && !client->n_pages && i + 1 < core->n_clients))
            continue;
        put_client(&snap.buf, client);
        if (!client->alive)
            jput(&snap.buf, J_CLIENT_GONE, i, 0, 0);
        flush(&snap, RTCI_MIB / 2);
    }
    snapshot_watch(core, &snap);
    flush(&snap, 0);
    rtci_buf_fini(&snap.buf);
    free(order);
    return snap.rc;
}
