/* The node core: local processes, what goes through between them and the head, output. */
#include <stdlib.h>

#include "runtime/core/host_internal.h"

bool node_grow(void *array, uint32_t *cap, uint32_t n, size_t size)
{
    if (n < *cap)
        return true;
    uint32_t want = *cap ? *cap : 16;
    while (want <= n)
        want *= 2;
    void *at;
    memcpy(&at, array, sizeof(at));
    at = realloc(at, want * size);
    RTCI_ASSERT(at);
    memset((char *)at + *cap * size, 0, (want - *cap) * size);
    memcpy(array, &at, sizeof(at));
    *cap = want;
    return true;
}

int rtci_node_core_create(const struct rtci_node_config *config, struct rtci_node_core **ret_core)
{
    struct rtci_node_core *core = calloc(1, sizeof(*core));
    if (!core)
        return RTC_E_NOMEM;
    core->config = *config;
    if (!core->config.prestart)
        core->config.prestart = (uint32_t)(config->cpu / 10000 ? config->cpu / 10000 : 1);
    if (core->config.prestart > 16)
        core->config.prestart = 16;
    core->now_ns = config->now_ns;
    NODE_GROW(core->locals, core->cap_locals, 1);
    core->n_locals = core->n_slots = core->n_entries = 1;
    NODE_GROW(core->slots, core->cap_slots, 1);
    NODE_GROW(core->entries, core->cap_entries, 1);
    node_arena_init(core);
    *ret_core = core;
    return 0;
}

void rtci_node_core_destroy(struct rtci_node_core *core)
{
    if (!core)
        return;
    for (uint32_t i = 0; i < core->n_locals; i++)
        free(core->locals[i].held);
    for (uint32_t i = 0; i < core->n_slots; i++)
        rtci_buf_fini(&core->slots[i].queue);
    free(core->locals);
    free(core->slots);
    free(core->holds);
    free(core->entries);
    free(core->extents);
    free(core);
}

struct local *node_local(struct rtci_node_core *core, uint32_t token)
{
    return token && token < core->n_locals && core->locals[token].state != LOCAL_FREE
               ? &core->locals[token]
               : NULL;
}

struct local *node_by_client(struct rtci_node_core *core, uint32_t client, uint32_t *ret_token)
{
    for (uint32_t i = 1; client && i < core->n_locals; i++) {
        if (core->locals[i].state != LOCAL_FREE && core->locals[i].client == client) {
            *ret_token = i;
            return &core->locals[i];
        }
    }
    return NULL;
}

/* ---- Output ---- */

void *node_to_head(struct rtci_node_core *core, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(&core->actions->to_head, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

static struct rtci_buf *out_of(struct rtci_node_core *core, uint32_t token)
{
    struct rtci_node_actions *actions = core->actions;
    struct local *local = &core->locals[token];
    if (local->out && local->out <= actions->n_out && actions->out[local->out - 1].token == token)
        return &actions->out[local->out - 1].buf;
    NODE_GROW(actions->out, actions->cap_out, actions->n_out);
    struct rtci_client_out *out = &actions->out[actions->n_out++];
    out->token = token;
    rtci_buf_clear(&out->buf);
    local->out = actions->n_out;
    return &out->buf;
}

void node_put_client(struct rtci_node_core *core, uint32_t token, const void *rec, size_t size)
{
    rtci_buf_put(out_of(core, token), rec, size);
}

void *node_to_client(struct rtci_node_core *core, uint32_t token, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(out_of(core, token), size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

struct rtci_node_action *node_act(struct rtci_node_core *core, enum rtci_node_action_type type,
                                  uint32_t token)
{
    struct rtci_node_actions *actions = core->actions;
    NODE_GROW(actions->act, actions->cap_act, actions->n_act);
    struct rtci_node_action *act = &actions->act[actions->n_act++];
    memset(act, 0, sizeof(*act));
    act->type = type;
    act->token = token;
    return act;
}

static void begin(struct rtci_node_core *core, uint64_t now_ns, struct rtci_node_actions *actions)
{
    if (now_ns > core->now_ns)
        core->now_ns = now_ns;
    core->actions = actions;
}

/* ---- Life of processes ---- */

static void tell_client_new(struct rtci_node_core *core, uint32_t token)
{
    struct local *local = &core->locals[token];
    struct rtci_client_new *out = node_to_head(core, RTCI_R_CLIENT_NEW, sizeof(*out));
    out->token = token;
    out->role = local->role;
    out->client = local->client;
    out->job = local->job;
    out->pid = local->pid;
    out->job_hi = local->job_hi;
    out->job_lo = local->job_lo;
    memcpy(out->name, local->name, sizeof(out->name));
    memcpy(out->ns, local->ns, sizeof(out->ns));
}

static void take_survivor(struct rtci_node_core *core, struct local *local,
                          const struct rtci_survivor *survivor)
{
    local->client = survivor->client;
    local->job = survivor->job;
    local->slot = survivor->slot;
    local->profile_cpus = survivor->profile_cpus;
    local->profile_gpus = survivor->profile_gpus;
    local->driver = survivor->driver_token;
    local->command = local->role == RTCI_ROLE_EXECUTOR && !survivor->driver_token;
    local->survivor = true;
    local->state =
        local->role == RTCI_ROLE_EXECUTOR && !survivor->attached ? LOCAL_STARTING : LOCAL_ALIVE;
    local->n_held = survivor->n_held;
    local->queued = survivor->n_held;
    local->held = calloc(survivor->n_held + 1, sizeof(*local->held));
    RTCI_ASSERT(local->held);
    if (survivor->n_held)
        memcpy(local->held, survivor->held, survivor->n_held * sizeof(*local->held));
    if (local->role == RTCI_ROLE_EXECUTOR)
        core->n_execs++;
    if (!local->slot)
        return;
    struct nslot *slot = node_slot(core, local->slot);
    slot->used = true;
    slot->job = local->job;
    slot->gpus = local->profile_gpus;
    core->gpus_busy |= slot->gpus;
}

void rtci_node_core_attach(struct rtci_node_core *core, uint64_t now_ns,
                           const struct rtci_attach *attach, const struct rtci_survivor *survivor,
                           struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    RTCI_ASSERT(attach->token && attach->token < RTCI_CLIENTS_MAX);
    NODE_GROW(core->locals, core->cap_locals, attach->token);
    if (core->n_locals <= attach->token)
        core->n_locals = attach->token + 1;
    struct local *local = &core->locals[attach->token];
    RTCI_ASSERT(local->state == LOCAL_FREE);
    memset(local, 0, sizeof(*local));
    local->state = LOCAL_ASKED;
    local->role = (uint8_t)attach->role;
    local->pid = attach->pid;
    local->job_hi = attach->job_hi;
    local->job_lo = attach->job_lo;
    local->since_ns = core->now_ns;
    memcpy(local->name, attach->name, sizeof(local->name));
    memcpy(local->ns, attach->ns, sizeof(local->ns));
    if (survivor) {
        take_survivor(core, local, survivor);
        if (local->slot)
            core->slots[local->slot].exec = attach->token;
    }
    if (core->said_hello)
        tell_client_new(core, attach->token);
}

static void tell_slot_held(struct rtci_node_core *core, uint32_t token)
{
    struct local *local = &core->locals[token];
    struct nslot *slot = &core->slots[local->slot];
    if (!local->n_held) { /* nothing in it: the slot ends, the executor is idle */
        core->gpus_busy &= ~slot->gpus;
        rtci_buf_fini(&slot->queue);
        memset(slot, 0, sizeof(*slot));
        local->slot = 0;
        return;
    }
    size_t rows = local->n_held * sizeof(struct rtci_held);
    struct rtci_slot_held *out = node_to_head(core, RTCI_R_SLOT_HELD, sizeof(*out) + rows);
    out->slot = local->slot;
    out->client = local->client;
    out->job = local->job;
    out->n = local->n_held;
    memcpy(out + 1, local->held, rows);
}

void rtci_node_core_hello(struct rtci_node_core *core, uint64_t now_ns,
                          struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    const struct rtci_node_config *config = &core->config;
    size_t custom = config->n_custom * sizeof(struct rtci_custom);
    size_t labels = config->n_labels * sizeof(struct rtci_label);
    struct rtci_node_hello *out =
        node_to_head(core, RTCI_R_NODE_HELLO, sizeof(*out) + custom + labels);
    out->incarnation = config->incarnation;
    out->cpu = config->cpu;
    out->gpu = config->gpu;
    out->mem = config->mem;
    out->gpu_mem = config->gpu_mem;
    out->store = config->store;
    out->n_custom = (uint16_t)config->n_custom;
    out->n_labels = (uint16_t)config->n_labels;
    out->n_gpus = config->n_gpus;
    memcpy(out->name, config->name, sizeof(out->name));
    memcpy(out + 1, config->custom, custom);
    memcpy((char *)(out + 1) + custom, config->labels, labels);
    for (uint32_t i = 1; i < core->n_locals; i++) {
        if (core->locals[i].state != LOCAL_FREE)
            tell_client_new(core, i);
    }
    for (uint32_t i = 1; i < core->n_locals; i++) {
        if (core->locals[i].state != LOCAL_FREE && core->locals[i].slot)
            tell_slot_held(core, i);
    }
    node_arena_hello(core);
    node_to_head(core, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
    core->said_hello = true;
}

void rtci_node_core_executor_ready(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                   uint32_t pid, struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    struct local *local = node_local(core, token);
    if (!local || local->state != LOCAL_STARTING)
        return;
    local->pid = pid;
    node_exec_ready(core, token);
}

void rtci_node_core_gone(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_gone *gone,
                         struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    struct local *local = node_local(core, gone->token);
    if (!local)
        return;
    if (local->role == RTCI_ROLE_EXECUTOR)
        node_exec_gone(core, gone);
    node_holds_gone(core, gone->token);
    node_arena_client_gone(core, local->client);
    if (local->client) {
        struct rtci_client_gone *out = node_to_head(core, RTCI_R_CLIENT_GONE, sizeof(*out));
        out->client = local->client;
        out->clean = local->state == LOCAL_ENDING;
    }
    node_act(core, RTCI_NA_CLOSE, gone->token);
    free(local->held);
    memset(local, 0, sizeof(*local));
}

/* ---- From clients ---- */

/* Handles what concerns the node; true when the head shall see the record too. */
static bool on_client_record(struct rtci_node_core *core, uint32_t token,
                             const struct rtci_rec *rec)
{
    struct local *local = &core->locals[token];
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_DONE:
        if (local->queued)
            local->queued--;
        return node_arena_result(core, at);
    case RTCI_R_ALLOC: node_on_alloc(core, token, at); return false;
    case RTCI_R_ABORT:
        node_on_abort(core, local->client, ((const struct rtci_alloc *)at)->id);
        return false;
    case RTCI_R_SEAL: return node_on_seal(core, local->client, at);
    case RTCI_R_PUT: return ((const struct rtci_put *)at)->id.client == local->client;
    case RTCI_R_BYE: local->state = LOCAL_ENDING; return false;
    case RTCI_R_STOP: {
        struct rtci_node_action *act = node_act(core, RTCI_NA_STOP, token);
        act->status = (int32_t)((const struct rtci_slot_msg *)at)->op;
        return false;
    }
    case RTCI_R_HOLD: node_on_hold(core, token, at, true); return false;
    case RTCI_R_DROP: node_on_hold(core, token, at, false); return false;
    case RTCI_R_BLOCKED: return true;
    case RTCI_R_UNBLOCKED: return false;
    default: return true;
    }
}

static bool from_client(uint16_t type)
{
    return (type >= RTCI_R_SUBMIT && type <= RTCI_R_DONE) || type == RTCI_R_CORDON ||
           type == RTCI_R_STOP;
}

static void forward(struct rtci_node_core *core, uint32_t client, const char *from, size_t len)
{
    if (!len)
        return;
    struct rtci_wrap *wrap = node_to_head(core, RTCI_R_FROM_CLIENT, sizeof(*wrap));
    wrap->client = client;
    wrap->rec.size += (uint32_t)len;
    rtci_buf_put(&core->actions->to_head, from, len);
}

void rtci_node_core_client_span(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                                const void *span, size_t len, struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    struct local *local = node_local(core, token);
    if (!local || !local->client)
        return;
    const char *run = span; /* of records that go to the head as they are */
    const char *end = (const char *)span + len;
    for (const char *at = span; at + sizeof(struct rtci_rec) <= end;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)at;
        bool blocking = rec->type == RTCI_R_BLOCKED || rec->type == RTCI_R_UNBLOCKED;
        if (rec->type == RTCI_R_SUBMIT || rec->type == RTCI_R_RELEASE) {
            at += rec->size; /* the two of the hot path: nothing to do here */
            continue;
        }
        if (!from_client(rec->type) || !on_client_record(core, token, rec) || blocking) {
            forward(core, local->client, run, (size_t)(at - run));
            if (rec->type == RTCI_R_BLOCKED)
                forward(core, local->client, at, rec->size);
            if (blocking)
                node_on_blocked(core, token, rec->type == RTCI_R_BLOCKED);
            run = at + rec->size;
            local = &core->locals[token];
        }
        at += rec->size;
    }
    forward(core, local->client, run, (size_t)(end - run));
}

void rtci_node_core_client_read(struct rtci_node_core *core, uint32_t token, uint64_t bytes,
                                struct rtci_node_actions *actions)
{
    struct local *local = node_local(core, token);
    if (!local || !bytes || local->role == RTCI_ROLE_EXECUTOR)
        if (!local || !bytes)
            return;
    begin(core, core->now_ns, actions);
    if (!local->client)
        return;
    struct rtci_credit *out = node_to_head(core, RTCI_R_CREDIT, sizeof(*out));
    out->client = local->client;
    out->bytes = bytes;
}

/* ---- From the head ---- */

static void on_to_client(struct rtci_node_core *core, const struct rtci_wrap *wrap)
{
    uint32_t token;
    struct local *local = node_by_client(core, wrap->client, &token);
    if (!local)
        return;
    for (size_t at = sizeof(*wrap); at < wrap->rec.size;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)wrap + at);
        const struct rtci_reply *reply = (const struct rtci_reply *)rec;
        if (rec->type == RTCI_R_REPLY && reply->id.client)
            node_hold_add(core, token, reply->id); /* the head holds it for this node already */
        at += rec->size;
    }
    node_put_client(core, token, wrap + 1, wrap->rec.size - sizeof(*wrap));
}

void rtci_node_core_head_span(struct rtci_node_core *core, uint64_t now_ns, const void *span,
                              size_t len, struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    for (size_t at = 0; at + sizeof(struct rtci_rec) <= len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + at);
        const void *body = rec;
        switch (rec->type) {
        case RTCI_R_TO_CLIENT: on_to_client(core, body); break;
        case RTCI_R_TASK: node_on_task(core, body); break;
        case RTCI_R_CLIENT_ID: node_on_client_id(core, body); break;
        case RTCI_R_SLOT_FREE:
            node_on_slot_free(core, ((const struct rtci_slot_msg *)body)->slot);
            break;
        case RTCI_R_RECALL: node_on_recall(core, body); break;
        case RTCI_R_CANCEL: node_on_cancel(core, body); break;
        case RTCI_R_JOB_END: node_on_job_end(core, ((const struct rtci_job_end *)body)->job); break;
        case RTCI_R_OBJECT_FREE: node_on_object_free(core, body); break;
        default: break;
        }
        at += rec->size;
    }
}

void rtci_node_core_tick(struct rtci_node_core *core, uint64_t now_ns,
                         struct rtci_node_actions *actions)
{
    begin(core, now_ns, actions);
    actions->deadline_ns = UINT64_MAX;
    node_exec_tick(core);
}

void rtci_node_core_check(const struct rtci_node_core *core)
{
    uint32_t execs = 0;
    for (uint32_t i = 1; i < core->n_locals; i++) {
        const struct local *local = &core->locals[i];
        if (local->state == LOCAL_FREE)
            continue;
        execs += local->role == RTCI_ROLE_EXECUTOR;
        if (local->slot) {
            RTCI_ASSERT(local->slot < core->n_slots && core->slots[local->slot].used);
            RTCI_ASSERT(core->slots[local->slot].exec == i);
        }
    }
    RTCI_ASSERT(execs == core->n_execs);
    uint64_t free_bytes = 0, used = 0;
    for (uint32_t i = 0; i < core->n_extents; i++) {
        RTCI_ASSERT(core->extents[i].size);
        RTCI_ASSERT(!i || core->extents[i - 1].offset + core->extents[i - 1].size <
                              core->extents[i].offset);
        free_bytes += core->extents[i].size;
    }
    for (uint32_t i = 1; i < core->n_entries; i++)
        used += core->entries[i].state ? core->entries[i].size : 0;
    RTCI_ASSERT(used <= core->config.store && free_bytes <= core->config.store);
}
