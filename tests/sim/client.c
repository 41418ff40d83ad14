/* What drivers and executors say as clients, and the book of what they said: every task has one
 * outcome, and one that its story allows. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static const uint32_t shape_cpu[3] = {10000, 5000, 20000};

void *sim_write(struct sim *sim, struct vproc *proc, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(&proc->up, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    sim_node_wake(sim, proc->node, sim->now_ns + sim_between(sim, 1, 10 * SIM_US));
    return rec;
}

void sim_write_ids(struct sim *sim, struct vproc *proc, uint16_t type, const struct rtci_id *ids,
                   uint32_t n, uint32_t arg)
{
    struct rtci_ids *rec = sim_write(sim, proc, type, sizeof(*rec) + n * sizeof(*ids));
    rec->n = n;
    rec->arg = arg;
    if (n)
        memcpy(rec + 1, ids, n * sizeof(*ids));
}

void sim_declare(struct sim *sim, struct vproc *proc)
{
    if (proc->declared)
        return;
    proc->declared = true;
    for (uint32_t i = 0; i < 3; i++) {
        struct rtci_shape *shape = sim_write(sim, proc, RTCI_R_SHAPE, sizeof(*shape));
        shape->number = i;
        shape->cpu = shape_cpu[i];
    }
    struct rtci_function *function = sim_write(sim, proc, RTCI_R_FUNCTION, sizeof(*function) + 8);
    function->hash = 77;
    function->name_len = 8;
    memcpy(function + 1, "simulate", 8);
}

/* ---- The book ---- */

static uint64_t key_b(struct rtci_id id)
{
    return (uint64_t)id.client << 32;
}

struct known *sim_known(struct sim *sim, struct rtci_id id)
{
    const uint32_t *index = rtci_map_find(&sim->known_by_id, id.seq, key_b(id));
    return index ? &sim->known[*index] : NULL;
}

uint32_t sim_known_new(struct sim *sim, struct rtci_id id)
{
    sim_grow(&sim->known, &sim->cap_known, sim->n_known, sizeof(*sim->known));
    sim->known[sim->n_known] = (struct known){.id = id};
    RTCI_ASSERT(rtci_map_set(&sim->known_by_id, id.seq, key_b(id), sim->n_known));
    return sim->n_known++;
}

void sim_live(struct vproc *proc, uint32_t index)
{
    sim_grow(&proc->live, &proc->cap_live, proc->n_live, sizeof(*proc->live));
    proc->live[proc->n_live++] = index;
}

uint64_t sim_value(struct rtci_id id)
{
    struct rng rng = {id.seq * 31 + id.client};
    return rng_next(&rng);
}

void sim_draw_script(struct sim *sim, struct script *script, uint32_t depth)
{
    *script =
        (struct script){.run_ns = sim_chance(sim, 300) ? 0 : sim_between(sim, 0, sim->swarm.run_ns),
                        .seed = sim_between(sim, 0, UINT32_MAX),
                        .stubborn = sim_chance(sim, sim->swarm.p_stubborn)};
    for (uint32_t kind = 1; kind < DO_KINDS; kind++) {
        if (sim_chance(sim, sim->swarm.p_kind[kind]))
            script->kind = kind;
    }
    if (depth >= 3 && (script->kind == DO_NEST || script->kind == DO_SPAWN))
        script->kind = DO_PLAIN;
    script->children = 1 + (uint32_t)sim_between(sim, 0, 3);
    script->crashes = (uint32_t)sim_between(sim, 1, 3);
}

uint32_t sim_submit(struct sim *sim, struct vproc *proc, const struct script *script,
                    const struct known *parent, uint32_t depth, const uint32_t *deps,
                    uint32_t n_deps)
{
    struct rtci_id parent_id = parent ? parent->id : (struct rtci_id){0, 0, 0};
    uint32_t parent_index = parent ? (uint32_t)(parent - sim->known) + 1 : 0;
    sim_declare(sim, proc);
    struct rtci_id id = {proc->next_seq++, proc->number, 0};
    size_t size = sizeof(struct rtci_spec) + n_deps * (sizeof(id) + sizeof(struct rtci_arg)) +
                  sizeof(struct rtci_arg) + sizeof(*script);
    struct rtci_spec *spec = sim_write(sim, proc, RTCI_R_SUBMIT, size);
    spec->seq = id.seq;
    spec->client = id.client;
    spec->function = 77;
    spec->parent_seq = parent_id.seq;
    spec->parent_client = parent_id.client;
    spec->n_returns = 1;
    spec->depth = depth;
    spec->retries = (int32_t)sim_between(sim, 0, 4);
    spec->priority = sim_chance(sim, sim->swarm.p_priority) ? (int32_t)sim_between(sim, 0, 4) : 0;
    spec->flags =
        (uint16_t)((sim_chance(sim, sim->swarm.p_retry_on_error) ? RTCI_SPEC_RETRY_ON_ERROR : 0u) |
                   (sim_chance(sim, sim->swarm.p_detached) ? RTCI_SPEC_DETACHED : 0u));
    spec->shape = (uint32_t)sim_between(sim, 0, sim->swarm.cpus > 1 ? 2 : 1);
    if (sim_chance(sim, sim->swarm.p_deadline))
        spec->deadline_ns = sim->now_ns + sim_between(sim, 0, 20 * SIM_MS);
    spec->n_refs = n_deps;
    spec->n_args = n_deps + 1;
    spec->data_size = sizeof(*script);
    struct rtci_id *refs = (struct rtci_id *)(spec + 1);
    struct rtci_arg *args = (struct rtci_arg *)(refs + n_deps);
    args[0] = (struct rtci_arg){sizeof(*script), 0};
    uint32_t index = sim_known_new(sim, id);
    struct known *known = &sim->known[index];
    for (uint32_t i = 0; i < n_deps; i++) {
        refs[i] = sim->known[deps[i]].id;
        args[i + 1] = (struct rtci_arg){RTCI_ARG_REF, i};
        known->deps[i] = deps[i] + 1;
    }
    memcpy(args + n_deps + 1, script, sizeof(*script));
    known->n_deps = n_deps;
    known->script = *script;
    known->parent = parent_index;
    known->cpu = shape_cpu[spec->shape];
    known->retries = spec->retries;
    known->deadline = spec->deadline_ns != 0;
    return index;
}

/* A small object, perhaps with references in it. */
uint32_t sim_put(struct sim *sim, struct vproc *proc, const uint32_t *contained, uint32_t n)
{
    sim_declare(sim, proc);
    struct rtci_id id = {proc->next_seq++, proc->number, 0};
    struct rtci_put *put = sim_write(sim, proc, RTCI_R_PUT, sizeof(*put) + n * sizeof(id) + 16);
    put->id = id;
    put->kind = RTCI_KIND_INLINE;
    put->n_refs = n;
    put->size = 16;
    struct rtci_id *ids = (struct rtci_id *)(put + 1);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = sim->known[contained[i]].id;
    uint64_t value = sim_value(id);
    memcpy(ids + n, &value, sizeof(value));
    uint32_t index = sim_known_new(sim, id);
    sim->known[index].put = true;
    return index;
}

void sim_alloc(struct sim *sim, struct vproc *proc, struct rtci_id id, uint64_t size)
{
    struct rtci_alloc *alloc = sim_write(sim, proc, RTCI_R_ALLOC, sizeof(*alloc));
    alloc->id = proc->alloc_id = id;
    alloc->size = proc->alloc_size = size;
    proc->alloc_state = 1;
}

void sim_seal(struct sim *sim, struct vproc *proc)
{
    struct rtci_put *put = sim_write(sim, proc, RTCI_R_SEAL, sizeof(*put));
    put->id = proc->alloc_id;
    put->kind = RTCI_KIND_ARENA;
    put->size = proc->alloc_size;
    put->offset = proc->grant_offset;
    proc->alloc_state = 0;
}

void sim_release(struct sim *sim, struct vproc *proc, uint32_t index)
{
    struct known *known = &sim->known[index];
    struct rtci_range *range = sim_write(sim, proc, RTCI_R_RELEASE, sizeof(*range));
    range->seq = known->id.seq;
    range->count = 1;
    range->client = proc->number;
    range->index = known->put ? 0 : RTCI_ALL_RETURNS;
    known->released = true;
    for (uint32_t i = 0; i < proc->n_live; i++) {
        if (proc->live[i] == index)
            proc->live[i] = proc->live[--proc->n_live];
    }
}

/* ---- Outcomes ---- */

static bool chaotic(const struct sim *sim)
{
    const struct swarm *swarm = &sim->swarm;
    return swarm->kill_exec || swarm->kill_node || swarm->kill_head || swarm->kill_daemon ||
           swarm->drain || swarm->no_register || swarm->spawn_fails || swarm->p_cancel ||
           swarm->p_deadline || swarm->p_kind[DO_CRASH] || swarm->kill_driver;
}

static bool may_fail(const struct sim *sim, const struct known *known)
{
    if (chaotic(sim) || known->script.kind == DO_FAIL)
        return true;
    for (uint32_t i = 0; i < known->n_deps; i++) {
        if (may_fail(sim, &sim->known[known->deps[i] - 1]))
            return true;
    }
    return known->parent && may_fail(sim, &sim->known[known->parent - 1]);
}

static bool deadlines(const struct sim *sim, const struct known *known)
{
    return known->deadline || (known->parent && deadlines(sim, &sim->known[known->parent - 1]));
}

/* May this be how it ended? */
static bool legitimate(const struct sim *sim, const struct known *known, int32_t status)
{
    bool deps_fail = false;
    for (uint32_t i = 0; i < known->n_deps; i++)
        deps_fail |= may_fail(sim, &sim->known[known->deps[i] - 1]);
    switch (status) {
    case 0:
        return known->script.kind != DO_FAIL &&
               (known->script.kind != DO_CRASH || known->put || sim->swarm.chaos_ns ||
                (int32_t)known->script.crashes <= known->retries);
    case RTC_E_TASK_FAILED: return known->script.kind == DO_FAIL;
    case RTC_E_STORE_FULL: return known->script.kind == DO_LARGE;
    case RTC_E_CRASHED: return chaotic(sim);
    case RTC_E_CANCELLED: return known->cancelled || known->parent != 0;
    case RTC_E_DEADLINE: return deadlines(sim, known);
    case RTC_E_DEPENDENCY: return deps_fail;
    case RTC_E_NODE_LOST: return sim->swarm.kill_node || sim->swarm.drain;
    case RTC_E_NO_REGISTER: return sim->swarm.no_register != 0;
    case RTC_E_OS: return sim->swarm.spawn_fails != 0;
    case RTC_E_LOST: return sim->swarm.kill_node || sim->swarm.drain;
    default: return false;
    }
}

static void check_value(struct sim *sim, const struct rtci_done *done)
{
    const struct rtci_resolved *row = rtci_done_returns(done);
    struct rtci_id id = {done->seq, done->client, 0};
    bool elsewhere = row->kind == RTCI_KIND_REMOTE && done->rec.flags & RTCI_RESULT_LAZY;
    if (done->status || row->kind == RTCI_KIND_ARENA || elsewhere)
        return;
    uint64_t value = 0;
    SIM_CHECK(sim, row->kind == RTCI_KIND_INLINE && row->size == 16, "a value of kind %u size %llu",
              row->kind, (unsigned long long)row->size);
    memcpy(&value, (const char *)done + row->offset + row->n_refs * sizeof(id), sizeof(value));
    SIM_CHECK(sim, value == sim_value(id), "%u:%llu has another value", id.client,
              (unsigned long long)id.seq);
}

/* With its driver a job's objects go, whoever of the job still holds them. */
static bool job_ended(const struct sim *sim, uint32_t job)
{
    for (uint32_t i = 0; i < sim->n_procs; i++) {
        const struct vproc *proc = sim->procs[i];
        if (proc && proc->role == RTCI_ROLE_DRIVER && proc->job == job)
            return !proc->alive;
    }
    return true;
}

void sim_on_result(struct sim *sim, struct vproc *proc, const struct rtci_done *done)
{
    struct rtci_id id = {done->seq, done->client, 0};
    struct known *known = sim_known(sim, id);
    SIM_CHECK(sim, known, "the result of an unknown task");
    sim->n_results++;
    check_value(sim, done);
    for (uint32_t i = 0; i < proc->n_holds; i++) {
        struct vhold *hold = &proc->holds[i];
        if (hold->wanted && rtci_id_equal(hold->id, id)) {
            hold->wanted = false;
            SIM_CHECK(sim,
                      done->status != RTC_E_LOST || sim->swarm.kill_node || sim->swarm.drain ||
                          sim->n_suspects || /* held by an attempt that another has overtaken */
                          job_ended(sim, proc->job),
                      "%u:%llu is lost though it is held", id.client, (unsigned long long)id.seq);
        }
    }
    if (id.client != proc->number || known->released)
        return;
    if (known->results++) {
        bool lost = done->status == RTC_E_LOST && known->script.kind == DO_LARGE;
        SIM_CHECK(sim, known->status == done->status || lost, "%u:%llu ended with %d, now with %d",
                  id.client, (unsigned long long)id.seq, known->status, done->status);
        return;
    }
    known->result = true;
    known->status = done->status;
    sim->n_failed[done->status < 0 && done->status > -64 ? -done->status : 0]++;
    SIM_CHECK(sim, legitimate(sim, known, done->status), "%u:%llu (kind %u) ended with %d",
              id.client, (unsigned long long)id.seq, known->script.kind, done->status);
    if (proc->role == RTCI_ROLE_DRIVER && proc->open)
        proc->open--;
    if (rtci_done_returns(done)->kind == RTCI_KIND_REMOTE && sim_chance(sim, 500))
        sim_write_ids(sim, proc, RTCI_R_WANT, &id, 1, 0);
}
