/* References: who may still ask for an entry, and telling those who wait for it. */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

void head_edge_add(struct rtci_head_core *core, uint32_t *list, uint32_t kind, uint32_t who)
{
    uint32_t first = *list; /* the edge table never holds `list`, so growing it is safe */
    uint32_t index = core->free_edge;
    if (index) {
        core->free_edge = core->edges[index].next;
    } else {
        index = core->n_edges;
        HEAD_GROW(core->edges, core->cap_edges, index);
        core->n_edges++;
    }
    core->edges[index] = (struct edge){.next = first, .who = who, .kind = kind};
    if (kind == EDGE_DEP)
        core->edges[index].generation = head_entry(core, who)->generation;
    *list = index;
}

void head_edges_free(struct rtci_head_core *core, uint32_t *list)
{
    while (*list) {
        uint32_t index = *list;
        *list = core->edges[index].next;
        core->edges[index] = (struct edge){.next = core->free_edge};
        core->free_edge = index;
    }
}

void head_pin(struct rtci_head_core *core, const struct rtci_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = head_find(core, ids[i]);
        if (index)
            head_entry(core, index)->pins++;
    }
}

void head_unpin(struct rtci_head_core *core, const struct rtci_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = head_find(core, ids[i]);
        if (!index)
            continue;
        struct entry *entry = head_entry(core, index);
        if (entry->pins) {
            entry->pins--;
            head_entry_try_free(core, index);
        }
    }
}

/* Pins or unpins the references that stand in the values of an entry. Returns how many. */
uint32_t head_pin_contained(struct rtci_head_core *core, uint32_t index, bool pin)
{
    struct entry *entry = head_entry(core, index);
    uint32_t total = 0;
    if (entry->put && entry->put->n_refs) {
        const struct rtci_id *ids = (const struct rtci_id *)(entry->put + 1);
        total = entry->put->n_refs;
        (pin ? head_pin : head_unpin)(core, ids, total);
    }
    entry = head_entry(core, index);
    const struct rtci_done *result = entry->result;
    uint32_t in_arena = result ? (uint32_t)rtci_done_arena_refs(result) : 0;
    for (uint32_t i = 0; result && i < result->n_returns; i++) {
        const struct rtci_resolved *ret = &rtci_done_returns(result)[i];
        if (!ret->n_refs || ret->kind != RTCI_KIND_INLINE)
            continue;
        total += ret->n_refs;
        (pin ? head_pin : head_unpin)(
            core, (const struct rtci_id *)((const char *)result + ret->offset), ret->n_refs);
    }
    if (in_arena)
        (pin ? head_pin : head_unpin)(
            core, (const struct rtci_id *)((const char *)result + result->rec.size) - in_arena,
            in_arena);
    return total + in_arena;
}

static void release_one(struct rtci_head_core *core, struct client *client, uint64_t seq,
                        uint32_t which)
{
    uint32_t index = head_find(core, (struct rtci_id){seq, client->number, 0});
    if (!index)
        return;
    struct entry *entry = head_entry(core, index);
    if (which == RTCI_ALL_RETURNS)
        entry->holds = 0;
    else if (entry->holds)
        entry->holds--;
    if (entry->holds)
        return;
    entry->flags |= EF_RELEASED;
    if (entry->kind != ENTRY_TASK || head_terminal(entry))
        head_entry_try_free(core, index);
}

void head_release(struct rtci_head_core *core, struct client *client,
                  const struct rtci_range *range)
{
    head_j_record(core, client->number, &range->rec);
    uint64_t end = range->seq + range->count;
    if (end < range->seq || end > client->last_seq + 1)
        end = client->last_seq + 1;
    for (uint64_t seq = range->seq; seq < end; seq++) {
        if (seq >> PAGE_SHIFT < client->first_page) { /* long gone: skip whole pages */
            seq = (client->first_page << PAGE_SHIFT) - 1;
            continue;
        }
        release_one(core, client, seq, range->index);
    }
}

void head_put(struct rtci_head_core *core, struct client *client, const struct rtci_put *put)
{
    if (put->id.client != client->number || head_find(core, put->id))
        return;
    head_j_record(core, client->number, &put->rec);
    if (put->id.seq > client->last_seq)
        client->last_seq = put->id.seq;
    uint32_t index = head_entry_new(core, client, put->id.seq, ENTRY_PUT);
    struct entry *entry = head_entry(core, index);
    entry->state = RTCI_TASK_DONE;
    entry->holds = 1;
    entry->put = malloc(put->rec.size);
    RTCI_ASSERT(entry->put);
    memcpy(entry->put, put, put->rec.size);
    core->stats.bytes_alive += put->rec.size;
    head_copies_home(core, index, client->node);
    head_pin_contained(core, index, true);
}

/* ---- Telling ---- */

/* A put looks to a reader like a task with one return. */
static void write_put_result(const struct rtci_put *put, struct rtci_done *out, uint32_t size)
{
    out->rec.size = size;
    out->seq = put->id.seq;
    out->client = put->id.client;
    out->attempt = 0;
    out->status = 0;
    out->n_returns = 1;
    out->run_ns = 0;
    struct rtci_resolved *ret = (struct rtci_resolved *)(out + 1);
    *ret = (struct rtci_resolved){.kind = put->kind, .size = put->size};
    size_t body = put->rec.size - sizeof(*put);
    if (put->kind == RTCI_KIND_ARENA) {
        ret->offset = put->offset; /* ids of an arena object are read from the object itself */
        return;
    }
    ret->n_refs = put->n_refs;
    ret->offset = sizeof(*out) + sizeof(*ret);
    memcpy(ret + 1, put + 1, body);
}

static size_t result_size(const struct entry *entry)
{
    if (entry->result)
        return entry->result->rec.size;
    size_t size = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    if (entry->put->kind == RTCI_KIND_INLINE)
        size += entry->put->rec.size - sizeof(*entry->put);
    return RTCI_ALIGN8(size);
}

static void answer_error(struct rtci_head_core *core, struct client *client, struct rtci_id id,
                         int code, const char *text)
{
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    size_t body = sizeof(struct rtci_fail) + strlen(text);
    struct rtci_done *out = head_out_client(core, client, RTCI_R_RESULT, head + body);
    if (!out)
        return;
    out->seq = id.seq;
    out->client = id.client;
    out->attempt = 0;
    out->run_ns = 0;
    out->status = code;
    out->n_returns = 1;
    struct rtci_resolved *ret = (struct rtci_resolved *)(out + 1);
    *ret = (struct rtci_resolved){.kind = RTCI_KIND_ERROR, .size = body, .offset = head};
    struct rtci_fail *fail = (struct rtci_fail *)(ret + 1);
    *fail = (struct rtci_fail){
        .code = code, .exit_status = -1, .origin = id, .text_len = (uint16_t)strlen(text)};
    memcpy(fail + 1, text, strlen(text));
    client->credit -= (int64_t)out->rec.size;
}

void head_push_to(struct rtci_head_core *core, struct client *client, uint32_t index, bool lazy)
{
    struct entry *entry = head_entry(core, index);
    if (RTCI_UNLIKELY(head_copies_wait(core, client, index)))
        return;
    if (RTCI_UNLIKELY(core->losses) && head_copies_any_lost(core, entry)) {
        char text[RTCI_ERROR_TEXT_MAX];
        head_copies_story(core, entry, text, sizeof(text));
        answer_error(core, client, (struct rtci_id){entry->seq, entry->client, 0}, RTC_E_LOST,
                     text);
        return;
    }
    size_t size = result_size(entry);
    struct rtci_done *out = head_out_client(core, client, RTCI_R_RESULT, size);
    client->credit -= (int64_t)size;
    if (!out)
        return;
    if (entry->result) {
        memcpy(out, entry->result, size);
        out->rec.type = RTCI_R_RESULT;
    } else {
        write_put_result(entry->put, out, (uint32_t)size);
    }
    out->rec.flags = lazy ? RTCI_RESULT_LAZY : 0;
    struct rtci_resolved *rows = (struct rtci_resolved *)(out + 1);
    for (uint32_t i = 0; i < out->n_returns; i++)
        head_copies_row(core, entry, i, client->node, &rows[i]);
}

/* Tells the creator, now or when it has credit again. */
void head_push(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    struct client *client = head_client(core, entry->client);
    if (!entry->holds || !client->alive || entry->kind != ENTRY_TASK || core->replaying)
        return;
    if (client->credit > 0 && !client->und_head) {
        head_push_to(core, client, index, true);
        return;
    }
    entry->flags |= EF_UNDELIVERED;
    entry->und_next = 0;
    if (client->und_tail)
        head_entry(core, client->und_tail)->und_next = index;
    else
        client->und_head = index;
    client->und_tail = index;
}

void head_flush_undelivered(struct rtci_head_core *core, struct client *client)
{
    while (client->und_head && client->credit > 0) {
        uint32_t index = client->und_head;
        struct entry *entry = head_entry(core, index);
        client->und_head = entry->und_next;
        if (!client->und_head)
            client->und_tail = 0;
        entry->flags &= (uint16_t)~EF_UNDELIVERED;
        if (entry->holds && client->alive)
            head_push_to(core, client, index, true);
        head_entry_try_free(core, index);
    }
}

/* Of another job, and not got by its name either: then the node of the reader holds it. */
static bool is_foreign(struct rtci_head_core *core, const struct client *client, struct rtci_id id)
{
    const struct client *owner = head_client(core, id.client);
    if (RTCI_LIKELY(!owner || owner->job == client->job))
        return false;
    uint32_t index = head_find(core, id), at = index ? head_entry(core, index)->ext_edges : 0;
    while (at && core->edges[at].who != client->node)
        at = core->edges[at].next;
    return !at;
}

static void answer_without(struct rtci_head_core *core, struct client *client, struct rtci_id id,
                           int code)
{
    answer_error(core, client, id, code,
                 code == RTC_E_FOREIGN
                     ? "the reference is one of another job: that job may publish the object by a "
                       "name, or store its value under a key"
                     : "the object does not exist (any more): its last reference was released, or "
                       "the host that held it is gone");
}

void head_want(struct rtci_head_core *core, struct client *client, const struct rtci_ids *ids)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = head_find(core, id[i]);
        if (RTCI_UNLIKELY(is_foreign(core, client, id[i])))
            answer_without(core, client, id[i], RTC_E_FOREIGN);
        else if (!index || head_entry(core, index)->kind == ENTRY_ACTOR)
            answer_without(core, client, id[i], RTC_E_LOST);
        else if (head_terminal(head_entry(core, index)))
            head_push_to(core, client, index, false);
        else
            head_edge_add(core, &head_entry(core, index)->edges, EDGE_WANT, client->number);
    }
}

/* HOLD and DROP of a node for one of its processes: the head keeps one bit per node. */
static struct edge *node_edge(struct rtci_head_core *core, uint32_t node, struct rtci_id id)
{
    uint32_t index = head_find(core, id), at = index ? head_entry(core, index)->ext_edges : 0;
    while (at && core->edges[at].who != node)
        at = core->edges[at].next;
    return at ? &core->edges[at] : NULL;
}

void head_hold_answered(struct rtci_head_core *core, uint32_t node, struct rtci_id id)
{
    struct edge *edge = node_edge(core, node, id);
    if (edge)
        edge->generation++;
}

/* A node that drops an object while an answer with it is on its way to it does not drop that. */
static bool crossed(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids)
{
    struct rtci_id id;
    if (ids->n != 1)
        return false;
    memcpy(&id, ids + 1, sizeof(id));
    struct edge *edge = node_edge(core, node, id);
    if (!edge)
        return false;
    edge->generation -= ids->arg < edge->generation ? ids->arg : edge->generation;
    return edge->generation > 0;
}

void head_hold(struct rtci_head_core *core, uint32_t node, struct client *client,
               const struct rtci_ids *ids, bool hold)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    (void)client;
    if (!hold && !core->replaying && crossed(core, node, ids))
        return;
    head_j_node_hold(core, node, ids, hold);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = head_find(core, id[i]);
        if (!index)
            continue;
        struct entry *entry = head_entry(core, index);
        if (hold && !core->replaying && entry->kind != ENTRY_ACTOR &&
            !core->jobs[head_client(core, entry->client)->job].alive)
            continue;
        uint32_t *at = &entry->ext_edges;
        while (*at && core->edges[*at].who != node)
            at = &core->edges[*at].next;
        if (hold && !*at) {
            head_edge_add(core, &entry->ext_edges, EDGE_NODE, node);
            entry->ext++;
        } else if (hold) {
            core->edges[*at].kind = EDGE_NODE; /* of a node that came back */
        } else if (!hold && *at) {
            uint32_t edge = *at;
            *at = core->edges[edge].next;
            core->edges[edge] = (struct edge){.next = core->free_edge};
            core->free_edge = edge;
            entry->ext--;
            head_entry_try_free(core, index);
        }
    }
}

void head_holds_end(struct rtci_head_core *core, uint32_t node, bool stale)
{
    for (uint32_t i = 1; i < core->n_entries; i++) {
        uint32_t at = core->entries[i].kind ? core->entries[i].ext_edges : 0;
        while (at &&
               (core->edges[at].who != node || (stale && core->edges[at].kind != EDGE_NODE_STALE)))
            at = core->edges[at].next;
        if (!at)
            continue;
        struct {
            struct rtci_ids ids;
            struct rtci_id id;
        } drop = {{{sizeof(drop), RTCI_R_DROP, 0}, 1, UINT32_MAX},
                  {core->entries[i].seq, core->entries[i].client, 0}};
        head_hold(core, node, NULL, &drop.ids, false);
    }
}

/* ---- Objects that outlived a daemon ---- */

/* Is this copy the one that the entry means? */
static bool wanted(const struct entry *entry, uint32_t index)
{
    if (entry->kind == ENTRY_PUT || !head_terminal(entry))
        return true; /* the attempt that wrote it may still end */
    const struct rtci_done *result = entry->result;
    return result && !result->status && index < result->n_returns &&
           rtci_done_returns(result)[index].kind == RTCI_KIND_ARENA;
}

/* The record that makes an object known may stand in a ring that is read only after this. */
#define STRAY_NS RTCI_NS_PER_S

void head_object_held(struct rtci_head_core *core, uint32_t node, const struct rtci_put *put)
{
    HEAD_GROW(core->strays, core->cap_strays, core->n_strays);
    core->strays[core->n_strays++] = (struct stray){node, put->id};
    core->strays_ns = core->now_ns + STRAY_NS;
    head_copies_held(core, node, put->id);
}

void head_strays(struct rtci_head_core *core)
{
    if (!core->n_strays)
        return;
    if (core->now_ns < core->strays_ns) {
        if (core->strays_ns < core->actions->deadline_ns)
            core->actions->deadline_ns = core->strays_ns;
        return;
    }
    for (uint32_t i = 0; i < core->n_strays; i++) {
        const struct stray *stray = &core->strays[i];
        uint32_t index = head_find(core, stray->id);
        if (index && wanted(head_entry(core, index), stray->id.index))
            continue;
        head_copies_drop(core, stray->node, stray->id);
        head_free_copy(core, stray->node, stray->id);
    }
    core->n_strays = 0;
}
