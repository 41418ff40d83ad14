/* The head core: life, dispatch of records, output. head_internal.h has the picture. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

int rtci_head_core_create(const struct rtci_head_config *config, struct rtci_head_core **ret_core)
{
    struct rtci_head_core *core = calloc(1, sizeof(*core));
    if (!core)
        return RTC_E_NOMEM;
    core->config = *config;
    if (!core->config.tasks_max)
        core->config.tasks_max = RTCI_TASKS_MAX;
    core->now_ns = config->now_ns;
    core->n_entries = core->n_edges = core->n_slots = core->n_clients = core->n_jobs = 1;
    core->n_nodes = core->n_actors = core->n_names = core->n_monitors = core->n_groups = 1;
    core->actors_due_ns = UINT64_MAX;
    core->unstick_ns = UINT64_MAX;
    HEAD_GROW(core->entries, core->cap_entries, 1);
    HEAD_GROW(core->edges, core->cap_edges, 1);
    HEAD_GROW(core->slots, core->cap_slots, 1);
    HEAD_GROW(core->clients, core->cap_clients, 1);
    HEAD_GROW(core->jobs, core->cap_jobs, 1);
    HEAD_GROW(core->nodes, core->cap_nodes, 1);
    HEAD_GROW(core->actors, core->cap_actors, 1);
    HEAD_GROW(core->names, core->cap_names, 1);
    HEAD_GROW(core->groups, core->cap_groups, 1);
    HEAD_GROW(core->monitors, core->cap_monitors, 1);
    *ret_core = core;
    return 0;
}

static void free_client(struct client *client)
{
    if (!client)
        return;
    for (uint32_t i = 0; i < client->n_pages; i++)
        free(client->pages[i]);
    free(client->pages);
    free(client->shapes);
    rtci_buf_fini(&client->shape_recs);
    free(client);
}

void rtci_head_core_destroy(struct rtci_head_core *core)
{
    if (!core)
        return;
    for (uint32_t i = 0; i < core->n_entries; i++) {
        free(core->entries[i].spec);
        free(core->entries[i].result);
        free(core->entries[i].put);
    }
    for (uint32_t i = 0; i < core->n_clients; i++)
        free_client(core->clients[i]);
    for (uint32_t i = 0; i < core->n_classes; i++) {
        free(core->classes[i]->buckets);
        free(core->classes[i]);
    }
    for (uint32_t i = 0; i < core->n_jobs; i++)
        head_program_forget(&core->jobs[i]);
    for (uint32_t i = 0; i < core->n_functions; i++)
        free(core->functions[i].name);
    for (uint32_t b = 0; b < core->n_kv_blocks; b++) {
        for (uint32_t i = 0; i < core->kv_blocks[b]->n; i++) {
            free(core->kv_blocks[b]->kv[i].key);
            free(core->kv_blocks[b]->kv[i].value);
        }
        free(core->kv_blocks[b]);
    }
    for (uint32_t i = 0; i < core->n_nameds; i++) {
        free(core->nameds[i].name);
        free(core->nameds[i].subs);
    }
    head_actor_names_fini(core);
    head_groups_fini(core);
    free(core->entries);
    free(core->edges);
    free(core->clients);
    free(core->classes);
    free(core->active);
    free(core->slots);
    free(core->nodes);
    free(core->dirty);
    free(core->jobs);
    free(core->functions);
    free(core->kv_blocks);
    free(core->nameds);
    free(core->heap);
    free(core->waited);
    free(core->strays);
    free(core->late_cancels);
    free(core->late_results);
    free(core);
}

/* ---- Output ---- */

static struct rtci_buf *out_of(struct rtci_head_core *core, uint32_t number)
{
    struct node *node = head_node(core, number);
    struct rtci_head_actions *actions = core->actions;
    if (!node || !actions || node->state == RTCI_NODE_DEAD || !node->hello)
        return NULL;
    if (node->out && node->out <= actions->n_out && actions->out[node->out - 1].node == number)
        return &actions->out[node->out - 1].buf;
    /* Cleared entries keep their buffers: reuse the memory. */
    HEAD_GROW(actions->out, actions->cap_out, actions->n_out);
    struct rtci_out *out = &actions->out[actions->n_out++];
    out->node = number;
    rtci_buf_clear(&out->buf);
    node->out = actions->n_out;
    return &out->buf;
}

void *head_out(struct rtci_head_core *core, uint32_t node, uint16_t type, size_t size)
{
    struct rtci_buf *buf = out_of(core, node);
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = buf ? rtci_buf_add(buf, size) : NULL;
    if (!rec)
        return NULL;
    memset(rec, 0, size < 128 ? size : 128);
    memset((char *)rec + size - 8, 0, 8); /* no byte of padding is left undefined */
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

void *head_out_client(struct rtci_head_core *core, const struct client *client, uint16_t type,
                      size_t size)
{
    if (!client || !client->alive)
        return NULL;
    struct rtci_wrap *wrap = head_out(core, client->node, RTCI_R_TO_CLIENT, sizeof(*wrap));
    if (!wrap)
        return NULL;
    wrap->client = client->number;
    struct rtci_buf *buf = out_of(core, client->node);
    size_t at = (size_t)((uint8_t *)wrap - buf->data);
    void *rec = head_out(core, client->node, type, size);
    if (rec) {
        wrap = (struct rtci_wrap *)(buf->data + at);
        wrap->rec.size += ((struct rtci_rec *)rec)->size;
    }
    return rec;
}

void head_trace(struct rtci_head_core *core, const char *fmt, ...)
{
    char line[256];
    if (!core->actions || !core->actions->trace_on)
        return;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n] = '\n';
    rtci_buf_put(&core->actions->trace, line, (size_t)n + 1);
}

/* ---- Dispatch ---- */

/* Some task waits for these: beyond the bound of executors only such are started. */
static void on_blocked(struct rtci_head_core *core, const struct rtci_ids *ids)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = head_find(core, id[i]);
        struct entry *entry = index ? head_entry(core, index) : NULL;
        if (!entry || head_terminal(entry) || entry->flags & EF_WAITED)
            continue;
        entry->flags |= EF_WAITED;
        if (entry->state == RTCI_TASK_READY) {
            HEAD_GROW(core->waited, core->cap_waited, core->n_waited);
            core->waited[core->n_waited++] = index;
        }
    }
}

static void drop_values(struct rtci_head_core *core, uint32_t node, const struct rtci_done *done)
{
    for (uint32_t i = 0; i < done->n_returns; i++) {
        if (rtci_done_returns(done)[i].kind == RTCI_KIND_ARENA)
            head_free_copy(core, node, (struct rtci_id){done->seq, done->client, i});
    }
}

static void on_done(struct rtci_head_core *core, uint32_t node, const struct rtci_done *done)
{
    uint32_t index = head_find(core, (struct rtci_id){done->seq, done->client, 0});
    struct entry *entry = index ? head_entry(core, index) : NULL;
    if (!entry)
        drop_values(core, node, done);
    else if (!head_terminal(entry))
        head_done(core, index, done, node);
    else if (entry->kind == ENTRY_TASK && head_copies_second(core, entry, node, done))
        drop_values(core, node, done);
}

/* What clients say of actors. */
static void on_actor_record(struct rtci_head_core *core, struct client *client,
                            const struct rtci_rec *rec)
{
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_ACTOR_CREATE: head_actor_create(core, client, at); break;
    case RTCI_R_ACTOR_WHERE: head_actor_where(core, client, at); break;
    case RTCI_R_ACTOR_UP: head_actor_up(core, client, at); break;
    case RTCI_R_ACTOR_FAILED: head_actor_failed(core, client, at); break;
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL: head_actor_end(core, client, at); break;
    case RTCI_R_ACTOR_MONITOR: head_monitor(core, client, at); break;
    case RTCI_R_ACTOR_DEMONITOR: head_demonitor(core, client, at); break;
    case RTCI_R_ACTOR_LINK: head_link(core, at); break;
    case RTCI_R_GROUP_CREATE: head_group_create(core, client, at); break;
    case RTCI_R_GROUP_REMOVE: head_group_remove(core, client, at); break;
    case RTCI_R_GROUP_WHERE: head_group_where(core, client, at); break;
    default: break;
    }
}

static void on_client_record(struct rtci_head_core *core, uint32_t node, uint32_t number,
                             const struct rtci_rec *rec)
{
    struct client *client = head_client(core, number);
    if (!client || !client->alive || client->node != node)
        return; /* a client that was declared gone: fenced */
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_SUBMIT: head_submit(core, client, at); break;
    case RTCI_R_RELEASE: head_release(core, client, at); break;
    case RTCI_R_SHAPE: head_shape(core, client, at); break;
    case RTCI_R_FUNCTION: head_function(core, at); break;
    case RTCI_R_WANT: head_want(core, client, at); break;
    case RTCI_R_PUT:
    case RTCI_R_SEAL: head_put(core, client, at); break;
    case RTCI_R_KV: head_kv(core, client, at); break;
    case RTCI_R_QUERY: head_query(core, client, at); break;
    case RTCI_R_PUBLISH: head_publish(core, client, at); break;
    case RTCI_R_SUBSCRIBE: head_subscribe(core, client, at); break;
    case RTCI_R_HOLD: head_hold(core, node, client, at, true); break;
    case RTCI_R_DROP: head_hold(core, node, client, at, false); break;
    case RTCI_R_DONE: on_done(core, node, at); break;
    case RTCI_R_CANCEL: {
        const struct rtci_cancel *cancel = at;
        uint32_t index = head_find(core, cancel->id);
        struct client *owner = head_client(core, cancel->id.client);
        if (index && owner && owner->job == client->job)
            head_cancel(core, index, cancel->mode & ~RTCI_CANCEL_DEADLINE);
        break;
    }
    case RTCI_R_BLOCKED: on_blocked(core, at); break;
    case RTCI_R_PROGRESS: {
        const struct rtci_progress *progress = at;
        uint32_t index = head_find(core, progress->id);
        if (!index || head_terminal(head_entry(core, index)))
            break;
        head_entry(core, index)->progress = progress->fraction;
        void *out = head_out_client(core, head_client(core, progress->id.client), RTCI_R_PROGRESS,
                                    rec->size);
        if (out)
            memcpy(out, rec, rec->size);
        break;
    }
    case RTCI_R_CORDON: {
        const struct rtci_slot_msg *msg = at;
        head_cordon(core, msg->slot, msg->op);
        break;
    }
    default: on_actor_record(core, client, rec); break; /* and what the node handles */
    }
}

static void on_node_record(struct rtci_head_core *core, uint32_t node, const struct rtci_rec *rec)
{
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_NODE_HELLO: head_hello(core, node, at); break;
    case RTCI_R_NODE_READY: head_ready(core, node); break;
    case RTCI_R_CORDON: /* a node that is to end asks to be drained */
        if (((const struct rtci_slot_msg *)at)->slot == node)
            head_cordon(core, node, ((const struct rtci_slot_msg *)at)->op);
        break;
    case RTCI_R_LEAVE: head_node_end(core, node, "it left", true); break;
    case RTCI_R_CLIENT_NEW: head_client_new(core, node, at); break;
    case RTCI_R_CLIENT_GONE: {
        uint32_t number = ((const struct rtci_client_gone *)at)->client;
        struct client *client = head_client(core, number);
        if (client && client->alive && client->node == node)
            head_client_gone(core, number);
        break;
    }
    case RTCI_R_SLOT_HELD: head_slot_held(core, node, at); break;
    case RTCI_R_SLOT_LOST: head_slot_lost(core, node, at); break;
    case RTCI_R_RETURNED: head_returned(core, node, at); break;
    case RTCI_R_OBJECT_HELD: head_object_held(core, node, at); break;
    case RTCI_R_PULLED: head_pulled(core, node, at); break;
    case RTCI_R_PULL_FAILED: head_pull_failed(core, node, at); break;
    case RTCI_R_HOLD: head_hold(core, node, NULL, at, true); break;
    case RTCI_R_DROP: head_hold(core, node, NULL, at, false); break;
    case RTCI_R_PROGRAM_WANT: head_program_want(core, node, at); break;
    case RTCI_R_PROGRAM: head_program(core, node, at); break;
    case RTCI_R_LOG: head_log(core, at); break;
    case RTCI_R_SLOT_BLOCKED: {
        const struct rtci_slot_msg *msg = at;
        if (msg->slot && msg->slot < core->n_slots && core->slots[msg->slot].used &&
            core->slots[msg->slot].node == node)
            head_slot_blocked(core, msg->slot, msg->op);
        break;
    }
    case RTCI_R_STARTED: {
        const struct rtci_cancel *started = at;
        uint32_t index = head_find(core, started->id);
        struct entry *entry = index ? head_entry(core, index) : NULL;
        if (entry && entry->kind == ENTRY_TASK && entry->state == RTCI_TASK_LEASED &&
            entry->attempt == started->attempt) {
            head_move(core, index, RTCI_TASK_RUNNING);
            entry->started_ns = core->now_ns;
        }
        break;
    }
    case RTCI_R_CREDIT: {
        const struct rtci_credit *credit = at;
        struct client *client = head_client(core, credit->client);
        if (client && client->alive) {
            client->credit += (int64_t)credit->bytes;
            if (client->credit > (int64_t)RTCI_CREDIT_BYTES)
                client->credit = (int64_t)RTCI_CREDIT_BYTES;
            head_flush_undelivered(core, client);
        }
        break;
    }
    default: break;
    }
}

void head_begin(struct rtci_head_core *core, uint64_t now_ns, struct rtci_head_actions *actions)
{
    if (now_ns > core->now_ns)
        core->now_ns = now_ns;
    core->actions = actions;
}

void head_finish(struct rtci_head_core *core)
{
    core->actions = NULL;
    if (core->config.check && core->stats.tasks_alive < 1000)
        rtci_head_core_check(core);
}

void rtci_head_core_receive(struct rtci_head_core *core, uint64_t now_ns, uint32_t number,
                            uint64_t incarnation, const void *span, size_t len,
                            struct rtci_head_actions *actions)
{
    struct node *node = head_node(core, number);
    if (!number || !node || node->state == RTCI_NODE_DEAD || node->incarnation != incarnation)
        return; /* fenced */
    head_begin(core, now_ns, actions);
    for (size_t at = 0; at + sizeof(struct rtci_rec) <= len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + at);
        if (rec->type == RTCI_R_FROM_CLIENT) {
            const struct rtci_wrap *wrap = (const struct rtci_wrap *)rec;
            for (size_t in = sizeof(*wrap); in + sizeof(*rec) <= rec->size;) {
                const struct rtci_rec *inner = (const struct rtci_rec *)((const char *)rec + in);
                on_client_record(core, number, wrap->client, inner);
                in += inner->size;
            }
        } else {
            on_node_record(core, number, rec);
        }
        at += rec->size;
        if (core->nodes[number].state == RTCI_NODE_DEAD)
            break; /* it left */
    }
    head_finish(core);
}

void rtci_head_core_tick(struct rtci_head_core *core, uint64_t now_ns,
                         struct rtci_head_actions *actions)
{
    head_begin(core, now_ns, actions);
    if (core->sweep)
        head_sweep_ended(core);
    if (core->recovering && core->now_ns >= core->hold_until_ns) {
        core->recovering = false;
        head_doubts_over(core);
    }
    actions->deadline_ns = core->recovering ? core->hold_until_ns : UINT64_MAX;
    head_deadlines(core);
    head_actors_tick(core);
    head_groups_adrift(core);
    head_strays(core);
    head_copies_settle(core);
    if (!core->recovering) {
        head_late_cancels(core);
        head_drained(core);
        head_place(core);
    }
    if (core->n_heap && core->entries[core->heap[0]].deadline_ns < actions->deadline_ns)
        actions->deadline_ns = core->entries[core->heap[0]].deadline_ns;
    head_finish(core);
}

void rtci_head_core_stats(const struct rtci_head_core *core, struct rtci_head_stats *ret_stats)
{
    *ret_stats = core->stats;
    ret_stats->kv_keys = core->n_kvs;
}

void rtci_head_core_set_info(struct rtci_head_core *core, const struct rtci_row_status *info)
{
    core->info = *info;
}

void rtci_head_core_recovered(struct rtci_head_core *core, uint64_t now_ns, uint64_t hold_ns)
{
    core->now_ns = now_ns;
    core->replaying = false;
    core->recovering = core->sweep = true;
    core->hold_until_ns = now_ns + hold_ns;
    head_actors_recovered(core);
    head_programs_recovered(core);
}
