/* Answers to QUERY: pages of fixed rows. */
#include <stdio.h>

#include "runtime/core/head_internal.h"

static void copy_name(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size)
        len = size - 1;
    memcpy(out, text, len);
    out[len] = 0;
}

static void why(struct rtci_head_core *core, uint32_t index, char *text, size_t size)
{
    const struct entry *entry = head_entry(core, index);
    text[0] = 0;
    switch (entry->state) {
    case RTCI_TASK_WAITING: {
        const struct rtci_id *refs = rtci_spec_refs(entry->spec);
        for (uint32_t i = 0; i < entry->spec->n_refs; i++) {
            uint32_t dep = head_find(core, refs[i]);
            if (!dep || head_terminal(head_entry(core, dep)))
                continue;
            snprintf(text, size, "it waits for %u of its %u arguments; the first is %u:%llu (%s)",
                     entry->deps, entry->spec->n_refs, refs[i].client,
                     (unsigned long long)refs[i].seq,
                     rtci_task_state_name(head_entry(core, dep)->state));
            return;
        }
        break;
    }
    case RTCI_TASK_READY: {
        const struct cls *cls = core->classes[entry->cls - 1];
        uint32_t before = 0;
        for (uint32_t at = entry->prev; at && before < 1000000; at = head_entry(core, at)->prev)
            before++;
        char need[112];
        head_why_class(core, cls, need, sizeof(need));
        snprintf(text, size, "%u before it in its queue; %s", before, need);
        break;
    }
    case RTCI_TASK_LEASED:
        snprintf(text, size, "it is queued at an executor of node %u",
                 core->slots[entry->slot].node);
        break;
    case RTCI_TASK_CANCELLING: snprintf(text, size, "it was told to stop"); break;
    default: break;
    }
}

static void task_row(struct rtci_head_core *core, uint32_t index, struct rtci_row_task *row)
{
    const struct entry *entry = head_entry(core, index);
    memset(row, 0, sizeof(*row));
    row->id = (struct rtci_id){entry->seq, entry->client, 0};
    if (entry->spec)
        row->parent = (struct rtci_id){entry->spec->parent_seq, entry->spec->parent_client, 0};
    row->job = head_client(core, entry->client)->job;
    row->node = entry->slot ? core->slots[entry->slot].node : 0;
    row->state = entry->state;
    /* Executors begin tasks of their queue by themselves: the oldest of a slot is what runs. */
    if (entry->state == RTCI_TASK_LEASED && core->slots[entry->slot].head == index)
        row->state = RTCI_TASK_RUNNING;
    row->attempt = entry->attempt;
    row->status = entry->result ? entry->result->status : 0;
    row->priority = entry->spec ? entry->spec->priority : 0;
    row->submitted_ns = entry->submitted_ns;
    row->started_ns = entry->started_ns;
    row->ended_ns = entry->ended_ns;
    row->progress = entry->progress;
    size_t len;
    const char *name = head_function_name(core, entry, &len);
    copy_name(row->name, sizeof(row->name), name, len);
    if (row->state != RTCI_TASK_RUNNING)
        why(core, index, row->why, sizeof(row->why));
}

static void object_row(struct rtci_head_core *core, uint32_t index, struct rtci_row_object *row)
{
    const struct entry *entry = head_entry(core, index);
    memset(row, 0, sizeof(*row));
    row->id = (struct rtci_id){entry->seq, entry->client, 0};
    row->job = head_client(core, entry->client)->job;
    row->holders = (entry->holds ? 1 : 0) + entry->ext;
    row->pins = entry->pins;
    row->state = entry->state;
    if (entry->put) {
        row->size = entry->put->size;
        row->node =
            entry->put->kind == RTCI_KIND_ARENA ? head_client(core, entry->client)->node : 0;
    }
    for (uint32_t i = 0; entry->result && i < entry->result->n_returns; i++) {
        row->size += rtci_done_returns(entry->result)[i].size;
        if (rtci_done_returns(entry->result)[i].kind == RTCI_KIND_ARENA)
            row->node = 1;
    }
}

static void node_row(struct rtci_head_core *core, uint32_t number, struct rtci_row_node *row)
{
    const struct node *node = &core->nodes[number];
    memset(row, 0, sizeof(*row));
    row->node = number;
    row->state = node->state;
    row->incarnation = node->incarnation;
    row->cpu_total = (uint64_t)node->cpu;
    row->cpu_used = (uint64_t)(node->cpu - node->cpu_free);
    row->gpu_total = (uint64_t)node->gpu;
    row->gpu_used = (uint64_t)(node->gpu - node->gpu_free);
    row->mem_total = (uint64_t)node->mem;
    row->mem_used = (uint64_t)(node->mem - node->mem_free);
    row->store_total = node->store;
    row->slots = node->n_slots;
    for (uint32_t at = node->slots; at; at = core->slots[at].node_next)
        row->running += core->slots[at].inflight != 0;
    for (uint32_t i = 1; i < core->n_clients; i++)
        row->clients +=
            core->clients[i] && core->clients[i]->alive && core->clients[i]->node == number;
    for (uint32_t i = 1; i < core->n_entries; i++) {
        const struct entry *entry = &core->entries[i];
        if (entry->kind == ENTRY_PUT && entry->put->kind == RTCI_KIND_ARENA &&
            head_client(core, entry->client)->node == number)
            row->store_used += entry->put->size;
    }
    copy_name(row->name, sizeof(row->name), node->name, strlen(node->name));
    row->path = node->path;
    if (node->path == RTCI_PATH_DIRECT)
        memcpy(row->address, node->address, sizeof(row->address));
}

static void job_row(struct rtci_head_core *core, uint32_t number, struct rtci_row_job *row)
{
    const struct job *job = &core->jobs[number];
    memset(row, 0, sizeof(*row));
    struct client *driver = head_client(core, job->driver);
    row->job = number;
    row->state = job->alive ? 1 : 2;
    row->driver_pid = driver ? driver->pid : 0;
    row->node = job->node;
    row->id_hi = job->id_hi;
    row->id_lo = job->id_lo;
    row->tasks_done = job->done;
    row->tasks_failed = job->failed;
    row->started_ns = job->started_ns;
    for (uint32_t i = 0; i < core->n_classes; i++) {
        if (core->classes[i]->job != number || core->classes[i]->actor)
            continue;
        row->tasks_waiting += core->classes[i]->n_ready;
        for (uint32_t at = core->classes[i]->slot_head; at; at = core->slots[at].cls_next)
            row->tasks_running += core->slots[at].inflight;
    }
    copy_name(row->name, sizeof(row->name), job->name, strlen(job->name));
}

static void status_row(struct rtci_head_core *core, struct rtci_row_status *row)
{
    *row = core->info;
    row->epoch = core->config.epoch;
    row->now_ns = core->now_ns;
    row->nodes = core->stats.nodes;
    row->clients = core->stats.clients;
    row->jobs = core->stats.jobs;
    row->tasks_alive = core->stats.tasks_alive;
    row->tasks_ready = core->stats.tasks_ready;
    row->tasks_running = core->stats.tasks_leased;
    for (uint32_t i = 0; i < core->n_classes; i++) {
        if (!core->classes[i]->actor)
            continue;
        row->tasks_ready -= core->classes[i]->n_ready; /* they are counted with the tasks */
        row->tasks_running -= core->classes[i]->n_slots;
    }
    row->tasks_done_total = core->stats.tasks_done_total;
    row->tasks_failed_total = core->stats.tasks_failed_total;
    row->tasks_retried_total = core->stats.tasks_retried_total;
    row->objects = core->stats.objects;
    row->kv_keys = core->n_kvs;
    row->kv_bytes = core->stats.kv_bytes;
}

/* Which table indexes have a row. */
static bool has_row(struct rtci_head_core *core, uint32_t what, uint32_t i)
{
    switch (what) {
    case RTCI_Q_NODES: return core->nodes[i].state != RTCI_NODE_DEAD && core->nodes[i].hello;
    case RTCI_Q_TASKS: return core->entries[i].kind == ENTRY_TASK;
    case RTCI_Q_ACTORS: return core->entries[i].kind == ENTRY_ACTOR;
    case RTCI_Q_GROUPS: return core->groups[i].used;
    case RTCI_Q_OBJECTS:
        return core->entries[i].kind == ENTRY_PUT ||
               (core->entries[i].kind == ENTRY_TASK && core->entries[i].state == RTCI_TASK_DONE);
    case RTCI_Q_JOBS: {
        const struct client *driver = head_client(core, core->jobs[i].driver);
        return core->jobs[i].used && driver && driver->role == RTCI_ROLE_DRIVER;
    }
    default: return false;
    }
}

static void put_row(struct rtci_head_core *core, uint32_t what, uint32_t i, struct rtci_buf *buf)
{
    union {
        struct rtci_row_node node;
        struct rtci_row_task task;
        struct rtci_row_object object;
        struct rtci_row_job job;
        struct rtci_row_actor actor;
        struct rtci_row_group group;
    } row;
    size_t size = 0;
    switch (what) {
    case RTCI_Q_NODES: node_row(core, i, &row.node), size = sizeof(row.node); break;
    case RTCI_Q_TASKS: task_row(core, i, &row.task), size = sizeof(row.task); break;
    case RTCI_Q_OBJECTS: object_row(core, i, &row.object), size = sizeof(row.object); break;
    case RTCI_Q_JOBS: job_row(core, i, &row.job), size = sizeof(row.job); break;
    case RTCI_Q_ACTORS: head_actor_row(core, i, &row.actor), size = sizeof(row.actor); break;
    case RTCI_Q_GROUPS: head_group_row(core, i, &row.group), size = sizeof(row.group); break;
    default: return;
    }
    rtci_buf_put(buf, &row, size);
}

#define QUERY_ROWS_MAX 1024u

static void pages(struct rtci_head_core *core, struct client *client,
                  const struct rtci_query *query)
{
    uint32_t total = query->what == RTCI_Q_NODES    ? core->n_nodes
                     : query->what == RTCI_Q_JOBS   ? core->n_jobs
                     : query->what == RTCI_Q_GROUPS ? core->n_groups
                                                    : core->n_entries;
    uint32_t limit = query->limit && query->limit < QUERY_ROWS_MAX ? query->limit : QUERY_ROWS_MAX;
    struct rtci_buf buf = {0};
    uint32_t n = 0, i = query->cursor ? (uint32_t)query->cursor : 1;
    for (; i < total && n < limit; i++) {
        if (!has_row(core, query->what, i))
            continue;
        put_row(core, query->what, i, &buf);
        n++;
    }
    head_reply(core, client, query->request, 0, n, i < total ? i : 0, (struct rtci_id){0}, buf.data,
               (uint32_t)buf.len);
    rtci_buf_fini(&buf);
}

/* Of actors and groups a sentence tells it. */
static bool why_other(struct rtci_head_core *core, struct client *client,
                      const struct rtci_query *query, uint32_t index)
{
    static const char *const states[] = {"pending", "ready", "removed"};
    char text[256];
    const struct group *group = index ? NULL : head_group(core, query->id);
    if (group) {
        struct rtci_row_group row;
        head_group_row(core, (uint32_t)(group - core->groups), &row);
        snprintf(text, sizeof(text), "the placement group is %s%s%s", states[row.state],
                 row.why[0] ? ": " : "", row.why);
    } else if (index && head_entry(core, index)->kind == ENTRY_ACTOR) {
        struct rtci_row_actor row;
        head_actor_row(core, index, &row);
        snprintf(text, sizeof(text), "the actor is %s%s%s", rtci_actor_state_name(row.state),
                 row.why[0] ? ": " : "", row.why);
    } else {
        return false;
    }
    head_reply(core, client, query->request, 0, 0, 0, (struct rtci_id){0}, text,
               (uint32_t)strlen(text));
    return true;
}

void head_query(struct rtci_head_core *core, struct client *client, const struct rtci_query *query)
{
    struct rtci_id none = {0};
    switch (query->what) {
    case RTCI_Q_STATUS: {
        struct rtci_row_status row;
        status_row(core, &row);
        head_reply(core, client, query->request, 0, 1, 0, none, &row, sizeof(row));
        break;
    }
    case RTCI_Q_NODES:
    case RTCI_Q_TASKS:
    case RTCI_Q_OBJECTS:
    case RTCI_Q_ACTORS:
    case RTCI_Q_GROUPS:
    case RTCI_Q_JOBS: pages(core, client, query); break;
    case RTCI_Q_WHY: {
        uint32_t index = head_find(core, query->id);
        if (why_other(core, client, query, index))
            break;
        if (!index || head_entry(core, index)->kind != ENTRY_TASK) {
            head_reply(core, client, query->request, RTC_E_NOT_FOUND, 0, 0, none, NULL, 0);
            break;
        }
        struct rtci_row_task row;
        task_row(core, index, &row);
        head_reply(core, client, query->request, 0, 1, 0, none, &row, sizeof(row));
        break;
    }
    case RTCI_Q_FLUSH: head_reply(core, client, query->request, 0, 0, 0, none, NULL, 0); break;
    default: head_reply(core, client, query->request, RTC_E_INVALID, 0, 0, none, NULL, 0); break;
    }
}
