/* The node core: life, output, hello, and the dispatch of what the head says. node.h has the
 * picture.
 *
 * Invariants: a process in state ATTACHED or later (but NUMBERING) has a number, and is found by
 * it; what is said to the head about a process stands between its CLIENT_NEW and its CLIENT_GONE.
 */
#include "runtime/core/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void node_map_set(struct rtci_map *map, uint64_t a, uint64_t b, uint32_t value)
{
    RTCI_ASSERT(rtci_map_set(map, a, b, value));
}

/* ---- Life ---- */

static uint32_t whole_cpus(uint64_t cpu)
{
    uint64_t cpus = (cpu + 9999) / 10000;
    return cpus < RTCI_CLIENTS_MAX ? (uint32_t)cpus : RTCI_CLIENTS_MAX;
}

int rtci_node_core_create(const struct rtci_node_config *config, struct rtci_node_core **ret_core)
{
    struct rtci_node_core *core = calloc(1, sizeof(*core));
    if (!core)
        return RTC_E_NOMEM;
    core->config = *config;
    core->procs = calloc(RTCI_CLIENTS_MAX, sizeof(*core->procs));
    if (!core->procs) {
        free(core);
        return RTC_E_NOMEM;
    }
    if (core->config.n_gpus > NODE_GPUS_MAX)
        core->config.n_gpus = NODE_GPUS_MAX;
    for (uint32_t i = 0; i < core->config.n_gpus; i++)
        core->gpu_free[i] = 10000;
    uint32_t cpus = whole_cpus(config->cpu);
    core->prestart = config->prestart ? config->prestart : cpus;
    core->execs_max =
        cpus + (config->exec_extra_max ? config->exec_extra_max : RTCI_EXEC_EXTRA_MAX);
    core->n_procs = core->n_slots = core->n_jobs = core->n_holds = 1;
    core->n_pulls = core->n_waits = core->n_parked = 1;
    NODE_GROW(core->pulls, core->cap_pulls, 1);
    core->scan_ns = NODE_NEVER;
    node_arena_init(core);
    *ret_core = core;
    return 0;
}

void rtci_node_core_destroy(struct rtci_node_core *core)
{
    if (!core)
        return;
    for (uint32_t i = 0; i < core->cap_slots; i++) {
        free(core->slots[i].tasks.at);
        rtci_buf_fini(&core->slots[i].pending);
    }
    rtci_map_fini(&core->slot_by_number);
    rtci_map_fini(&core->job_by_number);
    rtci_map_fini(&core->proc_by_number);
    rtci_map_fini(&core->hold_by_id);
    node_arena_fini(core);
    node_pull_fini(core);
    free(core->procs);
    free(core->slots);
    free(core->jobs);
    free(core->holds);
    free(core->cancels);
    free(core->credit);
    free(core);
}

void rtci_node_core_set_address(struct rtci_node_core *core, const char *address)
{
    memset(core->config.address, 0, sizeof(core->config.address));
    memcpy(core->config.address, address, strnlen(address, sizeof(core->config.address) - 1));
}

void rtci_node_core_set_rtt(struct rtci_node_core *core, uint64_t rtt_ns)
{
    core->config.rtt_ns = rtt_ns;
}

const char *rtci_node_core_name(const struct rtci_node_core *core)
{
    return core->config.name;
}

/* ---- Actions ---- */

#define KEEP_BYTES (4 * RTCI_MIB) /* buffers that were once larger are given back */

static void clear_buf(struct rtci_buf *buf)
{
    if (buf->cap > KEEP_BYTES)
        rtci_buf_fini(buf);
    rtci_buf_clear(buf);
}

void rtci_node_actions_clear(struct rtci_node_actions *actions)
{
    clear_buf(&actions->to_head);
    for (uint32_t i = 0; i < actions->n_out; i++)
        clear_buf(&actions->out[i].buf);
    rtci_buf_clear(&actions->trace);
    rtci_buf_clear(&actions->loop);
    for (uint32_t i = 0; i < actions->n_to_nodes; i++)
        clear_buf(&actions->to_nodes[i].buf);
    actions->n_out = actions->n_to_nodes = 0;
    actions->n_act = 0;
}

void rtci_node_actions_fini(struct rtci_node_actions *actions)
{
    for (uint32_t i = 0; i < actions->cap_out; i++)
        rtci_buf_fini(&actions->out[i].buf);
    for (uint32_t i = 0; i < actions->cap_to_nodes; i++)
        rtci_buf_fini(&actions->to_nodes[i].buf);
    free(actions->to_nodes);
    free(actions->out);
    free(actions->act);
    rtci_buf_fini(&actions->to_head);
    rtci_buf_fini(&actions->loop);
    rtci_buf_fini(&actions->trace);
    *actions = (struct rtci_node_actions){0};
}

void *node_say(struct rtci_node_actions *actions, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(&actions->to_head, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

struct rtci_buf *node_out(struct rtci_node_core *core, uint32_t token,
                          struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    if (RTCI_LIKELY(proc->out < actions->n_out && actions->out[proc->out].token == token))
        return &actions->out[proc->out].buf;
    NODE_GROW(actions->out, actions->cap_out, actions->n_out);
    proc->out = actions->n_out++;
    struct rtci_client_out *out = &actions->out[proc->out];
    out->token = token;
    rtci_buf_clear(&out->buf);
    return &out->buf;
}

void *node_tell(struct rtci_node_core *core, uint32_t token, uint16_t type, size_t size,
                struct rtci_node_actions *actions)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(node_out(core, token, actions), size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

struct rtci_node_action *node_act(struct rtci_node_actions *actions, uint32_t type, uint32_t token)
{
    NODE_GROW(actions->act, actions->cap_act, actions->n_act);
    struct rtci_node_action *act = &actions->act[actions->n_act++];
    *act = (struct rtci_node_action){.type = (enum rtci_node_action_type)type, .token = token};
    return act;
}

void node_trace(struct rtci_node_actions *actions, const char *fmt, ...)
{
    if (RTCI_LIKELY(!actions->trace_on))
        return;
    char line[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;
    line[len] = '\n';
    rtci_buf_put(&actions->trace, line, len + 1);
}

void node_wake(struct rtci_node_core *core, uint64_t at_ns)
{
    if (at_ns < core->scan_ns)
        core->scan_ns = at_ns;
}

void node_deadline(const struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    actions->deadline_ns = core->n_credit || core->pull_retry ? 0 : core->scan_ns;
}

/* ---- Hello ---- */

static void say_hello(const struct rtci_node_core *core, bool again,
                      struct rtci_node_actions *actions)
{
    const struct rtci_node_config *config = &core->config;
    uint32_t n_custom = config->n_custom < 16 ? config->n_custom : 16;
    uint32_t n_labels = config->n_labels < 16 ? config->n_labels : 16;
    struct rtci_node_hello *hello =
        node_say(actions, RTCI_R_NODE_HELLO,
                 sizeof(*hello) + n_custom * sizeof(struct rtci_custom) +
                     n_labels * sizeof(struct rtci_label));
    hello->rec.flags = again ? RTCI_HELLO_AGAIN : config->anew ? RTCI_HELLO_ANEW : 0;
    hello->incarnation = config->incarnation;
    hello->cpu = config->cpu;
    hello->gpu = config->gpu;
    hello->mem = config->mem;
    hello->gpu_mem = config->gpu_mem;
    hello->store = config->store;
    hello->n_custom = (uint16_t)n_custom;
    hello->n_labels = (uint16_t)n_labels;
    hello->n_gpus = config->n_gpus;
    hello->rtt_ns = config->rtt_ns;
    memcpy(hello->name, config->name, sizeof(hello->name) - 1);
    memcpy(hello->address, config->address, sizeof(hello->address) - 1);
    memcpy(hello->arch, config->arch, sizeof(hello->arch) - 1);
    struct rtci_custom *custom = (struct rtci_custom *)(hello + 1);
    memcpy(custom, config->custom, n_custom * sizeof(*custom));
    memcpy(custom + n_custom, config->labels, n_labels * sizeof(struct rtci_label));
}

static void say_slot_held(const struct rtci_node_core *core, const struct slot *slot,
                          struct rtci_node_actions *actions)
{
    const struct tasks *tasks = &slot->tasks;
    struct rtci_slot_held *held =
        node_say(actions, RTCI_R_SLOT_HELD, sizeof(*held) + tasks->len * sizeof(struct rtci_held));
    held->slot = slot->number;
    held->client = slot->proc ? core->procs[slot->proc].number : 0;
    held->job = slot->job;
    held->n = tasks->len;
    held->blocked = slot->blocked;
    held->shape_client = slot->shape_client;
    held->shape = slot->shape;
    held->actor = slot->actor;
    struct rtci_held *rows = (struct rtci_held *)(held + 1);
    bool front = true;
    for (uint32_t i = 0; i < tasks->len; i++) {
        rows[i] = tasks->at[(tasks->head + i) & (tasks->cap - 1)];
        bool parked = rows[i].claimed & NODE_PARKED;
        rows[i].claimed &= 1;
        rows[i].claimed |= front && !parked && (slot->told || slot->blocked);
        front &= parked;
    }
}

/* Only slots with work are worth telling: the executors of the others wait for new slots. */
static void hello_slots(struct rtci_node_core *core, uint64_t now_ns,
                        struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (!slot->number)
            continue;
        slot->recall_asked = false;
        if (slot->tasks.len) {
            say_slot_held(core, slot, actions);
            continue;
        }
        uint32_t token = slot->proc;
        node_slot_free(core, i);
        if (token)
            node_exec_idle(core, now_ns, token);
    }
}

void rtci_node_core_hello(struct rtci_node_core *core, uint64_t now_ns,
                          struct rtci_node_actions *actions)
{
    say_hello(core, core->told, actions);
    core->told = true;
    for (uint32_t i = 0; i < core->n_credit; i++) {
        core->procs[core->credit[i]].read = 0; /* a new head counts from its own full credit */
        core->procs[core->credit[i]].credit_due = false;
    }
    core->n_credit = 0;
    for (uint32_t token = 1; token < core->n_procs; token++) {
        struct proc *proc = &core->procs[token];
        if (proc->state == PROC_FREE)
            continue;
        if (proc->gone)
            node_proc_forget(core, token, 0, actions); /* its number is not coming any more */
        else
            node_client_new(core, token, actions);
    }
    node_hello_holds(core, actions);
    hello_slots(core, now_ns, actions);
    node_hello_objects(core, actions);
    node_deadline(core, actions);
}

void rtci_node_core_ready(struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    RTCI_ASSERT(core->told);
    core->was_ready = true;
    node_say(actions, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
}

/* ---- What the head says ---- */

static void on_head(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_rec *rec,
                    struct rtci_node_actions *actions)
{
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_CLIENT_ID: node_client_id(core, now_ns, at, actions); break;
    case RTCI_R_JOB_END:
        node_job_end(core, now_ns, ((const struct rtci_job_end *)at)->job, actions);
        rtci_buf_put(&actions->loop, rec, rec->size);
        break;
    case RTCI_R_PROGRAM:
    case RTCI_R_PROGRAM_WANT:
    case RTCI_R_PEER:
    case RTCI_R_LEAVE: rtci_buf_put(&actions->loop, rec, rec->size); break;
    case RTCI_R_LIFE:
        node_life(core, at);
        rtci_buf_put(&actions->loop, rec, rec->size);
        break;
    case RTCI_R_SLOT_OPEN: node_slot_open(core, now_ns, at, actions); break;
    case RTCI_R_ACTOR_START: node_actor_start(core, now_ns, at, actions); break;
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL: node_actor_end(core, now_ns, at, actions); break;
    case RTCI_R_SLOT_FREE:
    case RTCI_R_RECALL: node_slot_msg(core, now_ns, at, actions); break;
    case RTCI_R_CANCEL: node_cancel(core, now_ns, at, actions); break;
    case RTCI_R_OBJECT_FREE: node_object_free(core, now_ns, at, actions); break;
    default: break; /* of a newer head: nothing for this node */
    }
}

void rtci_node_core_head_span(struct rtci_node_core *core, uint64_t now_ns, const void *span,
                              size_t len, struct rtci_node_actions *actions)
{
    for (size_t at = 0; at + sizeof(struct rtci_rec) <= len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + at);
        if (RTCI_LIKELY(rec->type == RTCI_R_TASK))
            node_task(core, now_ns, (const struct rtci_spec *)rec, actions);
        else if (RTCI_LIKELY(rec->type == RTCI_R_TO_CLIENT))
            node_to_client(core, now_ns, (const struct rtci_wrap *)rec, actions);
        else
            on_head(core, now_ns, rec, actions);
        at += rec->size;
    }
    node_pull_place(core, now_ns, actions);
    node_deadline(core, actions);
}

void rtci_node_core_tick(struct rtci_node_core *core, uint64_t now_ns,
                         struct rtci_node_actions *actions)
{
    if (now_ns >= core->scan_ns) {
        core->scan_ns = NODE_NEVER;
        node_exec_timers(core, now_ns, actions);
        node_cancel_timers(core, now_ns, actions);
        node_warm_timers(core, now_ns, actions);
    }
    node_pull_place(core, now_ns, actions);
    node_credits(core, actions);
    node_deadline(core, actions);
}
