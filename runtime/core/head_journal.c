/* The journal: state changes as records, replay, snapshot.
 *
 * A journal record is {u32 size, u16 type, u16 pad, u32 client, u32 arg} and a body. Bodies of
 * SUBMIT, DONE, RELEASE, PUT, SHAPE and FUNCTION are the wire's records, verbatim. Replaying one
 * twice changes nothing the second time.
 */
#include <stdlib.h>

#include "runtime/core/head_internal.h"
#include "runtime/core/head_journal.h"

void *head_jput(struct rtci_buf *buf, uint16_t type, uint32_t client, uint32_t arg, size_t body)
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

void head_put_client(struct rtci_buf *buf, const struct client *client)
{
    uint64_t behind = client->last_seq - client->last_submit;
    struct jclient at = {client->number,   client->node,
                         client->job,      client->role,
                         client->pid,      behind < UINT32_MAX ? (uint32_t)behind : UINT32_MAX,
                         client->last_seq, {0}};
    memcpy(at.name, client->name, sizeof(at.name));
    memcpy(head_jput(buf, J_CLIENT, client->number, 0, sizeof(at)), &at, sizeof(at));
}

void head_put_job(struct rtci_buf *buf, const struct job *job)
{
    struct jjob at = {job->number, job->driver,     job->node, job->origin, job->id_hi,
                      job->id_lo,  job->started_ns, {0},       {0}};
    memcpy(at.name, job->name, sizeof(at.name));
    memcpy(at.ns, job->ns, sizeof(at.ns));
    memcpy(head_jput(buf, J_JOB, 0, 0, sizeof(at)), &at, sizeof(at));
}

void head_put_attempt(const struct rtci_head_core *core, struct rtci_buf *buf,
                      const struct entry *entry)
{
    struct jattempt at = {entry->seq, entry->failures, entry->attempt};
    bool last = head_last_attempt(entry);
    uint32_t node = !last                     ? 0
                    : entry->slot             ? core->slots[entry->slot].node
                    : entry->flags & EF_DOUBT ? entry->node
                                              : 0;
    memcpy(head_jput(buf, J_ATTEMPT, entry->client, node, sizeof(at)), &at, sizeof(at));
}

void head_put_cancel(struct rtci_buf *buf, const struct entry *entry)
{
    uint32_t mode = (entry->flags & EF_FORCE ? RTCI_CANCEL_FORCE : 0) |
                    (entry->flags & EF_DEADLINE ? RTCI_CANCEL_DEADLINE : 0);
    memcpy(head_jput(buf, J_CANCEL, entry->client, mode, sizeof(entry->seq)), &entry->seq,
           sizeof(entry->seq));
}

void head_put_named(struct rtci_buf *buf, const struct named *named)
{
    struct jnamed at = {named->id, named->version, named->job, named->len};
    char *out = head_jput(buf, J_NAMED, 0, 0, sizeof(at) + named->len);
    memcpy(out, &at, sizeof(at));
    memcpy(out + sizeof(at), named->name, named->len);
}

void head_put_actor(struct rtci_head_core *core, struct rtci_buf *buf, const struct actor *actor)
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
    memcpy(head_jput(buf, J_ACTOR, entry->client, 0, sizeof(at)), &at, sizeof(at));
}

void head_put_monitor(struct rtci_buf *buf, const struct monitor *monitor)
{
    memcpy(head_jput(buf, J_MONITOR, monitor->client, 0, sizeof(*monitor)), monitor,
           sizeof(*monitor));
}

void head_put_group(struct rtci_buf *buf, const struct group *group)
{
    uint32_t *out = head_jput(buf, J_GROUP, group->id.client, group->state,
                              sizeof(group->id.seq) + group->n * sizeof(*out));
    memcpy(out, &group->id.seq, sizeof(group->id.seq));
    for (uint32_t i = 0; i < group->n; i++)
        out[2 + i] = group->bundles[i].node;
}

void head_put_link(struct rtci_buf *buf, const struct link *link, bool on)
{
    memcpy(head_jput(buf, J_LINK, 0, on, sizeof(*link)), link, sizeof(*link));
}

void head_put_kv(struct rtci_buf *buf, const struct kv *kv, bool present)
{
    uint32_t lens[4] = {kv->key_len, kv->ns_len, present ? kv->size : 0, present};
    char *out = head_jput(buf, J_KV, 0, 0, sizeof(lens) + kv->key_len + lens[2]);
    memcpy(out, lens, sizeof(lens));
    memcpy(out + sizeof(lens), kv->key, kv->key_len);
    if (lens[2])
        memcpy(out + sizeof(lens) + kv->key_len, kv->value, lens[2]);
}

void head_put_cordon(struct rtci_buf *buf, uint32_t number, const struct node *node)
{
    uint32_t op = node->draining   ? RTCI_CORDON_DRAIN
                  : node->cordoned ? RTCI_CORDON_ON
                                   : RTCI_CORDON_OFF;
    head_jput(buf, J_CORDON, number, op, 0);
}

void head_j_client(struct rtci_head_core *core, const struct client *client)
{
    if (journal(core))
        head_put_client(journal(core), client);
}

void head_j_client_gone(struct rtci_head_core *core, uint32_t number)
{
    if (journal(core))
        head_jput(journal(core), J_CLIENT_GONE, number, 0, 0);
}

void head_j_job(struct rtci_head_core *core, const struct job *job)
{
    if (journal(core))
        head_put_job(journal(core), job);
}

void head_j_record(struct rtci_head_core *core, uint32_t client, const struct rtci_rec *rec)
{
    if (journal(core))
        memcpy(head_jput(journal(core), J_WIRE, client, 0, rec->size), rec, rec->size);
}

void head_j_attempt(struct rtci_head_core *core, const struct entry *entry)
{
    if (journal(core))
        head_put_attempt(core, journal(core), entry);
}

void head_j_cancel(struct rtci_head_core *core, const struct entry *entry)
{
    if (journal(core))
        head_put_cancel(journal(core), entry);
}

void head_j_named(struct rtci_head_core *core, const struct named *named)
{
    if (journal(core))
        head_put_named(journal(core), named);
}

void head_j_kv(struct rtci_head_core *core, const struct kv *kv, bool present)
{
    if (journal(core))
        head_put_kv(journal(core), kv, present);
}

void head_j_actor(struct rtci_head_core *core, const struct actor *actor)
{
    if (journal(core))
        head_put_actor(core, journal(core), actor);
}

void head_j_monitor(struct rtci_head_core *core, const struct monitor *monitor)
{
    if (journal(core))
        head_put_monitor(journal(core), monitor);
}

void head_j_group(struct rtci_head_core *core, const struct group *group)
{
    if (journal(core))
        head_put_group(journal(core), group);
}

void head_j_link(struct rtci_head_core *core, const struct link *link, bool on)
{
    if (journal(core))
        head_put_link(journal(core), link, on);
}

void head_j_cordon(struct rtci_head_core *core, uint32_t number)
{
    if (journal(core))
        head_put_cordon(journal(core), number, &core->nodes[number]);
}

void head_j_node_hold(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids,
                      bool hold)
{
    if (journal(core))
        memcpy(head_jput(journal(core), J_HOLD, node, hold, ids->rec.size), ids, ids->rec.size);
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
    case RTCI_R_GROUP_CREATE: head_group_create(core, client, at); break;
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
    if (at->behind <= at->last_seq && at->last_seq - at->behind > client->last_submit)
        client->last_submit = at->last_seq - at->behind;
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

static int replay_group(struct rtci_head_core *core, const struct jrec *rec, size_t len)
{
    struct rtci_id id = {.client = rec->client};
    if (len < sizeof(id.seq))
        return RTC_E_CORRUPT;
    memcpy(&id.seq, rec + 1, sizeof(id.seq));
    const struct group *group = head_group(core, id);
    if (group && len < sizeof(id.seq) + group->n * sizeof(uint32_t))
        return RTC_E_CORRUPT;
    if (group)
        head_group_replay(core, id, rec->arg, (const uint32_t *)(rec + 1) + 2, group->n);
    return 0;
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
    case J_GROUP: return replay_group(core, rec, len);
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
            head_doubt(core, index, rec->arg);
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
    case J_CORDON:
        if (!rec->client || rec->client > RTCI_NODES_MAX)
            return RTC_E_CORRUPT;
        head_cordon_replay(core, rec->client, rec->arg);
        return 0;
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
