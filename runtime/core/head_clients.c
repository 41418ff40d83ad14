/* Clients (processes), jobs, and what clients declare: shapes and functions. */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

struct client *head_client(struct rtci_head_core *core, uint32_t number)
{
    return number < core->n_clients ? core->clients[number] : NULL;
}

struct client *head_client_make(struct rtci_head_core *core, uint32_t number)
{
    HEAD_GROW(core->clients, core->cap_clients, number);
    if (core->n_clients <= number)
        core->n_clients = number + 1;
    if (core->clients[number])
        return core->clients[number];
    struct client *client = calloc(1, sizeof(*client));
    RTCI_ASSERT(client);
    client->number = number;
    client->credit = (int64_t)RTCI_CREDIT_BYTES;
    core->clients[number] = client;
    return client;
}

uint32_t head_job_make(struct rtci_head_core *core, uint32_t number)
{
    if (!number)
        number = core->n_jobs;
    HEAD_GROW(core->jobs, core->cap_jobs, number);
    if (core->n_jobs <= number)
        core->n_jobs = number + 1;
    struct job *job = &core->jobs[number];
    if (!job->used) {
        job->used = job->alive = true;
        job->number = number;
        job->started_ns = core->now_ns;
        core->stats.jobs++;
    }
    return number;
}

static void answer(struct rtci_head_core *core, uint32_t node, uint32_t token, uint32_t client,
                   uint32_t job, int status)
{
    struct rtci_client_id *out = head_out(core, node, RTCI_R_CLIENT_ID, sizeof(*out));
    if (!out)
        return;
    out->token = token;
    out->client = client;
    out->job = job;
    out->status = status;
}

/* After a restart the head does not know which results reached the client: it pushes all again. */
static void push_again(struct rtci_head_core *core, struct client *client)
{
    for (uint32_t p = 0; p < client->n_pages; p++) {
        for (uint32_t i = 0; client->pages[p] && i < PAGE_SIZE; i++) {
            uint32_t index = client->pages[p]->at[i];
            if (index && head_entry(core, index)->kind == ENTRY_TASK &&
                head_terminal(head_entry(core, index)) &&
                !(head_entry(core, index)->flags & EF_UNDELIVERED))
                head_push(core, index);
        }
    }
}

static void on_survivor(struct rtci_head_core *core, uint32_t node,
                        const struct rtci_client_new *rec)
{
    struct client *client = head_client(core, rec->client);
    bool ended = client && (client->job >= core->n_jobs || !core->jobs[client->job].alive);
    if (client && client->alive && client->node == node)
        client->reported = true; /* its end is the node's to tell */
    if (!client || !client->alive || client->node != node || ended) {
        answer(core, node, rec->token, rec->client, rec->job, RTC_E_JOB_ENDED);
        return;
    }
    client->credit = (int64_t)RTCI_CREDIT_BYTES;
    answer(core, node, rec->token, client->number, client->job, 0);
    head_monitors_again(core, client);
    push_again(core, client);
    head_flush_undelivered(core,
                           client); /* no credit may come any more for what was pushed before */
}

void head_client_new(struct rtci_head_core *core, uint32_t node, const struct rtci_client_new *rec)
{
    if (rec->client) {
        on_survivor(core, node, rec);
        return;
    }
    uint32_t job = rec->job;
    if (rec->role == RTCI_ROLE_EXECUTOR &&
        (!job || job >= core->n_jobs || !core->jobs[job].alive)) {
        answer(core, node, rec->token, 0, job, RTC_E_JOB_ENDED);
        return;
    }
    uint32_t number = core->n_clients;
    struct client *client = head_client_make(core, number);
    if (rec->role != RTCI_ROLE_EXECUTOR)
        job = head_job_make(core, 0);
    client->node = node;
    client->job = job;
    client->role = rec->role;
    client->pid = rec->pid;
    client->alive = client->reported = true;
    memcpy(client->name, rec->name, sizeof(client->name));
    client->name[sizeof(client->name) - 1] = 0;
    core->stats.clients++;
    if (rec->role != RTCI_ROLE_EXECUTOR) {
        struct job *at = &core->jobs[job];
        at->driver = number;
        at->node = node;
        at->id_hi = rec->job_hi;
        at->id_lo = rec->job_lo;
        memcpy(at->name, client->name, sizeof(at->name));
        memcpy(at->ns, rec->ns, sizeof(at->ns));
        at->ns[sizeof(at->ns) - 1] = 0;
        head_j_job(core, at);
    }
    head_j_client(core, client);
    head_trace(core, "client %u new node=%u role=%u job=%u", number, node, rec->role, job);
    answer(core, node, rec->token, number, job, 0);
}

static void end_job(struct rtci_head_core *core, uint32_t number)
{
    struct job *job = &core->jobs[number];
    if (!job->alive)
        return;
    job->alive = false;
    core->stats.jobs--;
    struct job *origin = job->origin ? &core->jobs[job->origin] : NULL;
    if (origin && --origin->detached == 0 && !origin->alive)
        head_program_ended(core, job->origin);
    if (!job->detached)
        head_program_ended(core, number);
    head_named_job_end(core, number);
    for (uint32_t node = 1; node < core->n_nodes; node++) {
        struct rtci_job_end *out = head_out(core, node, RTCI_R_JOB_END, sizeof(*out));
        if (out)
            out->job = number;
    }
}

/* An actor ends with its job, unless it is detached: then it is a job of its own. */
static void end_actor(struct rtci_head_core *core, uint32_t index)
{
    struct rtci_cause cause;
    if (rtci_spec_options(head_entry(core, index)->spec)->flags & RTCI_ACTOR_DETACHED)
        return;
    head_cause(&cause, RTCI_CAUSE_JOB, RTC_E_JOB_ENDED, "its job ended");
    head_actor_dies(core, index, &cause);
}

/* Fails what has not ended and drops what the client held. */
static void drop_entries(struct rtci_head_core *core, struct client *client, bool cancel)
{
    uint64_t seq = client->first_page << PAGE_SHIFT;
    for (; client->n_pages && seq <= client->last_seq; seq++) {
        if (seq >> PAGE_SHIFT < client->first_page) {
            seq = (client->first_page << PAGE_SHIFT) - 1;
            continue;
        }
        struct rtci_id id = {seq, client->number, 0};
        uint32_t index = head_find(core, id);
        if (!index)
            continue;
        struct entry *entry = head_entry(core, index);
        bool detached = entry->kind == ENTRY_ACTOR && !head_terminal(entry) &&
                        rtci_spec_options(entry->spec)->flags & RTCI_ACTOR_DETACHED;
        entry->holds = 0;
        entry->flags &= (uint16_t)~EF_UNDELIVERED;
        if (cancel && !detached) { /* the job ends: nobody else's references keep what is its own */
            head_edges_free(core, &entry->ext_edges);
            entry->ext = 0;
        }
        if (entry->kind == ENTRY_TASK && !head_terminal(entry) && cancel)
            head_cancel(core, index, RTCI_CANCEL_FORCE | HEAD_CANCEL_NOW);
        else if (entry->kind == ENTRY_ACTOR && !head_terminal(entry) && cancel)
            end_actor(core, index);
        else
            head_entry_try_free(core, index);
    }
    client->und_head = client->und_tail = 0;
}

void head_client_gone(struct rtci_head_core *core, uint32_t number)
{
    struct client *client = head_client(core, number);
    head_j_client_gone(core, number);
    client->alive = false;
    core->stats.clients--;
    head_trace(core, "client %u gone", number);
    head_monitors_forget(core, client);
    if (client->role == RTCI_ROLE_EXECUTOR)
        drop_entries(core, client, false);
    else /* with those of all of its job */
        head_job_end(core, client->job);
}

void head_job_end(struct rtci_head_core *core, uint32_t job)
{
    for (uint32_t i = 1; i < core->n_clients; i++) { /* nested tasks of the job's executors */
        if (core->clients[i] && core->clients[i]->job == job)
            drop_entries(core, core->clients[i], true);
    }
    head_groups_job_end(core, job);
    end_job(core, job);
}

/* After a restart: what was being cancelled because its job ended is as if it had never run. */
void head_sweep_ended(struct rtci_head_core *core)
{
    for (uint32_t i = 1; i < core->n_clients; i++) {
        if (core->clients[i] && !core->jobs[core->clients[i]->job].alive)
            drop_entries(core, core->clients[i], true);
    }
    core->sweep = false;
}

/* ---- Declarations ---- */

static uint32_t class_of(struct rtci_head_core *core, uint32_t job, const struct rtci_shape *shape)
{
    struct cls want;
    memset(&want, 0, sizeof(want));
    want.job = job;
    want.shape = *shape;
    memset(&want.shape.rec, 0, sizeof(want.shape.rec));
    want.shape.number = 0;
    uint32_t n_custom = shape->n_custom < RTCI_CUSTOM_MAX ? shape->n_custom : RTCI_CUSTOM_MAX;
    uint32_t n_labels = shape->n_labels < RTCI_LABELS_MAX ? shape->n_labels : RTCI_LABELS_MAX;
    const struct rtci_custom *custom = (const struct rtci_custom *)(shape + 1);
    memcpy(want.custom, custom, n_custom * sizeof(*custom));
    memcpy(want.labels, custom + shape->n_custom, n_labels * sizeof(struct rtci_label));
    want.shape.n_custom = (uint16_t)n_custom;
    want.shape.n_labels = (uint16_t)n_labels;
    for (uint32_t i = 0; i < core->n_classes; i++) {
        struct cls *cls = core->classes[i];
        if (cls->job == job && !cls->command && !cls->actor && !cls->ready &&
            !memcmp(&cls->shape, &want.shape, sizeof(want.shape)) &&
            !memcmp(cls->custom, want.custom, sizeof(want.custom)) &&
            !memcmp(cls->labels, want.labels, sizeof(want.labels)))
            return i + 1;
    }
    HEAD_GROW(core->classes, core->cap_classes, core->n_classes);
    struct cls *cls = malloc(sizeof(*cls));
    RTCI_ASSERT(cls);
    *cls = want;
    core->classes[core->n_classes] = cls;
    core->group_classes += shape->group.client != 0;
    return ++core->n_classes;
}

/* The same shape, for what cannot share the slots of the class: made once. */
static uint32_t class_again(struct rtci_head_core *core, uint32_t number, enum twin twin)
{
    const struct cls *cls = core->classes[number - 1];
    if (cls->twins[twin])
        return cls->twins[twin];
    HEAD_GROW(core->classes, core->cap_classes, core->n_classes);
    struct cls *again = calloc(1, sizeof(*again));
    RTCI_ASSERT(again);
    again->job = cls->job;
    again->shape = cls->shape;
    memcpy(again->custom, cls->custom, sizeof(again->custom));
    memcpy(again->labels, cls->labels, sizeof(again->labels));
    again->shape_client = cls->shape_client;
    again->shape_number = cls->shape_number;
    again->command = twin == TWIN_COMMAND;
    again->actor = twin == TWIN_ACTOR;
    again->ready = twin == TWIN_READY;
    core->classes[core->n_classes] = again;
    return core->classes[number - 1]->twins[twin] = ++core->n_classes;
}

/* Commands run in another program. */
uint32_t head_command_class(struct rtci_head_core *core, uint32_t number)
{
    return core->classes[number - 1]->command ? number : class_again(core, number, TWIN_COMMAND);
}

/* An actor keeps its slot, and nothing else is put there. */
uint32_t head_actor_class(struct rtci_head_core *core, uint32_t number)
{
    return class_again(core, number, TWIN_ACTOR);
}

/* Nobody runs those that wait for their placement group. */
uint32_t head_ready_class(struct rtci_head_core *core, uint32_t number)
{
    return class_again(core, number, TWIN_READY);
}

void head_shape(struct rtci_head_core *core, struct client *client, const struct rtci_shape *shape)
{
    if (shape->number < client->n_shapes || shape->number > 65535)
        return; /* seen before */
    head_j_record(core, client->number, &shape->rec);
    rtci_buf_put(&client->shape_recs, shape, shape->rec.size);
    uint32_t cap = client->n_shapes; /* small and rare: grown one by one */
    uint32_t *shapes = realloc(client->shapes, (shape->number + 1) * sizeof(*shapes));
    RTCI_ASSERT(shapes);
    memset(shapes + cap, 0, (shape->number + 1 - cap) * sizeof(*shapes));
    client->shapes = shapes;
    client->n_shapes = shape->number + 1;
    uint32_t cls = class_of(core, client->job, shape);
    shapes[shape->number] = cls;
    core->classes[cls - 1]->shape_client = client->number;
    core->classes[cls - 1]->shape_number = shape->number;
}

void head_function(struct rtci_head_core *core, const struct rtci_function *function)
{
    for (uint32_t i = 0; i < core->n_functions; i++) {
        if (core->functions[i].hash == function->hash)
            return;
    }
    head_j_record(core, 0, &function->rec);
    HEAD_GROW(core->functions, core->cap_functions, core->n_functions);
    struct function *at = &core->functions[core->n_functions++];
    at->hash = function->hash;
    at->name = strndup((const char *)(function + 1), function->name_len);
    RTCI_ASSERT(at->name);
}
