/* An executor: claims what stands in its ring, in order, and does what its argument says. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void sim_exec_clear(struct vproc *proc)
{
    for (uint32_t i = 0; i < proc->n_tasks; i++)
        free(proc->tasks[i].spec);
    proc->n_tasks = 0;
}

static void write_done(struct sim *sim, struct vproc *proc, int32_t status)
{
    struct run *run = &proc->run;
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    size_t body = status ? sizeof(struct rtci_fail) : 16;
    bool arena = !status && run->script.kind == DO_LARGE;
    struct rtci_done *done = sim_write(sim, proc, RTCI_R_DONE, arena ? head : head + body);
    done->seq = run->id.seq;
    done->client = run->id.client;
    done->attempt = run->attempt;
    done->status = status;
    done->n_returns = 1;
    done->run_ns = run->script.run_ns;
    struct rtci_resolved *row = (struct rtci_resolved *)(done + 1);
    row->kind = status ? RTCI_KIND_ERROR : arena ? RTCI_KIND_ARENA : RTCI_KIND_INLINE;
    row->size = arena ? proc->alloc_size : body;
    row->offset = arena ? proc->grant_offset : head;
    if (status) {
        struct rtci_fail *fail = (struct rtci_fail *)(row + 1);
        fail->code = status;
        fail->exit_status = -1;
        fail->origin = run->id;
    } else if (!arena) {
        uint64_t value = sim_value(run->id);
        memcpy(row + 1, &value, sizeof(value));
    }
    run->active = false;
}

/* ---- Beginning ---- */

/* What runs on a node fits it. A task that takes its CPUs back after waiting overdraws them, until
 * other slots have ended. */
#define OVERDRAFT_NS (100 * SIM_MS)

static void check_cpus(struct sim *sim, const struct vproc *proc)
{
    const struct vnode *node = &sim->nodes[proc->node];
    uint64_t used = 0;
    if (node->unblocked_ns && sim->now_ns - node->unblocked_ns < OVERDRAFT_NS)
        return;
    for (uint32_t i = 0; i < node->n_procs; i++) {
        const struct run *run = &node->procs[i]->run;
        const struct vact *act = &node->procs[i]->act;
        const struct known *actor = act->id.client ? sim_known(sim, act->id) : NULL;
        if (actor && node->procs[i]->alive && !act->failed && !actor->creator_dead)
            used += actor->cpu;
        if (node->procs[i]->alive && run->active && !run->blocked && !run->was_blocked &&
            sim->known[run->task - 1].attempt == run->attempt && !sim->known[run->task - 1].result)
            used += run->cpu;
    }
    SIM_CHECK(sim, used <= node->config.cpu, "node %u has %llu cpu and runs %llu", proc->node,
              (unsigned long long)node->config.cpu, (unsigned long long)used);
}

static void begin(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec)
{
    struct rtci_id id = {spec->seq, spec->client, 0};
    struct known *known = sim_known(sim, id);
    SIM_CHECK(sim, known && !known->put, "a task nobody submitted: %u:%llu", id.client,
              (unsigned long long)id.seq);
    SIM_CHECK(sim, !known->result || sim->n_suspects,
              "%u:%llu runs again after its result was seen", id.client,
              (unsigned long long)id.seq);
    /* Leases are not journalled: a head that was started again cannot know what a host had begun
     * that died meanwhile. */
    bool unknown = known->epoch != sim->head_epoch && known->life != sim->nodes[known->node].life;
    SIM_CHECK(sim, !known->begun || known->retries || unknown, "%u:%llu runs twice, and must not",
              id.client, (unsigned long long)id.seq);
    SIM_CHECK(sim, spec->attempt > 0, "attempt 0");
    struct run *run = &proc->run;
    *run = (struct run){.active = true,
                        .task = (uint32_t)(known - sim->known) + 1,
                        .id = id,
                        .attempt = spec->attempt,
                        .slot = spec->slot,
                        .depth = spec->depth,
                        .cpu = known->cpu};
    const struct rtci_arg *args = rtci_spec_args(spec);
    SIM_CHECK(sim, spec->n_args && args[0].size == sizeof(run->script), "the argument changed");
    memcpy(&run->script, rtci_spec_data(spec) + args[0].offset, sizeof(run->script));
    SIM_CHECK(sim, !memcmp(&run->script, &known->script, sizeof(run->script)),
              "the argument changed");
    const struct rtci_resolved *rows = rtci_task_resolved(spec);
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        SIM_CHECK(sim, rows[i].kind != RTCI_KIND_ERROR, "an argument that failed was passed");
        if (rows[i].kind == RTCI_KIND_INLINE) {
            uint64_t value;
            memcpy(&value,
                   (const char *)spec + rows[i].offset + rows[i].n_refs * sizeof(struct rtci_id),
                   sizeof(value));
            SIM_CHECK(sim, value == sim_value(rtci_spec_refs(spec)[i]), "a wrong argument");
        }
        if (run->n_refs < 4)
            run->refs[run->n_refs++] = rtci_spec_refs(spec)[i];
    }
    run->until_ns = sim->now_ns + run->script.run_ns;
    known->begun++;
    known->attempt = spec->attempt;
    known->node = proc->node;
    known->life = sim->nodes[proc->node].life;
    known->epoch = sim->head_epoch;
    sim->n_runs++;
    sim_say(sim, "process %u begins %u:%llu attempt %u slot %u cpu %u kind %u", proc->index,
            id.client, (unsigned long long)id.seq, spec->attempt, spec->slot, run->cpu,
            run->script.kind);
    check_cpus(sim, proc);
}

static bool claim(struct sim *sim, struct vproc *proc)
{
    while (proc->n_tasks) {
        struct vtask task = proc->tasks[0];
        proc->n_tasks--;
        memmove(proc->tasks, proc->tasks + 1, proc->n_tasks * sizeof(*proc->tasks));
        if (!task.recalled)
            begin(sim, proc, task.spec);
        free(task.spec);
        if (!task.recalled)
            return true;
    }
    return false;
}

/* ---- Doing ---- */

static void submit_children(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    run->first_child = proc->next_seq;
    run->n_children = run->script.children;
    for (uint32_t i = 0; i < run->n_children; i++) {
        struct script script;
        sim_draw_script(sim, &script, run->depth + 1);
        uint32_t index =
            sim_submit(sim, proc, &script, &sim->known[run->task - 1], run->depth + 1, NULL, 0);
        sim_live(proc, index);
    }
}

static bool children_done(struct sim *sim, struct vproc *proc)
{
    for (uint32_t i = 0; i < proc->run.n_children; i++) {
        struct rtci_id id = {proc->run.first_child + i, proc->number, 0};
        if (!sim_known(sim, id)->result)
            return false;
    }
    return true;
}

static void release_live(struct sim *sim, struct vproc *proc)
{
    while (proc->n_live)
        sim_release(sim, proc, proc->live[0]);
}

/* True when the task has ended. */
static bool nest(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    if (run->phase == 0) {
        submit_children(sim, proc);
        run->phase = 1;
    }
    bool done = children_done(sim, proc);
    if (run->phase == 1 && !done) {
        struct rtci_id ids[8];
        for (uint32_t i = 0; i < run->n_children; i++)
            ids[i] = (struct rtci_id){run->first_child + i, proc->number, 0};
        sim_write_ids(sim, proc, RTCI_R_BLOCKED, ids, run->n_children, run->n_children);
        run->blocked = run->was_blocked = true;
        run->phase = 2;
        sim->n_blocked++;
    }
    if (!done)
        return false;
    if (run->blocked) {
        run->blocked = false;
        sim->nodes[proc->node].unblocked_ns = sim->now_ns;
        sim_write_ids(sim, proc, RTCI_R_UNBLOCKED, NULL, 0, 0);
    }
    release_live(sim, proc);
    return true;
}

static void hold_refs(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    for (uint32_t i = 0; i < run->n_refs; i++) {
        bool known = run->refs[i].client == proc->number;
        for (uint32_t k = 0; k < proc->n_holds; k++)
            known |= rtci_id_equal(proc->holds[k].id, run->refs[i]);
        if (known)
            continue;
        sim_grow(&proc->holds, &proc->cap_holds, proc->n_holds, sizeof(*proc->holds));
        proc->holds[proc->n_holds++] =
            (struct vhold){run->refs[i], sim->now_ns + sim_between(sim, 0, 20 * SIM_MS), false};
        sim_write_ids(sim, proc, RTCI_R_HOLD, &run->refs[i], 1, 0);
        sim->n_holds++;
    }
}

/* What was held for a while is read, then dropped. */
static void tend_holds(struct sim *sim, struct vproc *proc)
{
    for (uint32_t i = 0; i < proc->n_holds;) {
        struct vhold *hold = &proc->holds[i];
        if (hold->drop_ns > sim->now_ns) {
            sim_proc_wake(sim, proc, hold->drop_ns - sim->now_ns);
            i++;
        } else if (hold->drop_ns) {
            hold->drop_ns = 0;
            hold->wanted = true;
            sim_write_ids(sim, proc, RTCI_R_WANT, &hold->id, 1, 0);
            i++;
        } else if (!hold->wanted) {
            sim_write_ids(sim, proc, RTCI_R_DROP, &hold->id, 1, 0);
            *hold = proc->holds[--proc->n_holds];
        } else {
            i++;
        }
    }
}

/* True when the value is in the arena, or cannot be. */
static bool write_large(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    if (run->phase == 0) {
        run->phase = 1;
        sim_alloc(sim, proc, run->id, 110 * RTCI_KIB + run->script.seed % (2 * RTCI_MIB));
    }
    if (proc->alloc_state == 1)
        return false;
    if (proc->alloc_state == 2)
        sim_seal(sim, proc);
    return true;
}

static void finish(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    bool crash =
        run->script.kind == DO_CRASH && sim->known[run->task - 1].begun <= run->script.crashes;
    if (crash) {
        sim_proc_kill(sim, proc, 11);
        return;
    }
    if (run->script.kind == DO_LARGE && proc->alloc_state == 3) {
        proc->alloc_state = 0;
        write_done(sim, proc, RTC_E_STORE_FULL);
        return;
    }
    write_done(sim, proc, run->script.kind == DO_FAIL ? RTC_E_TASK_FAILED : 0);
}

/* One look at the running task. True when it has ended. */
static bool work(struct sim *sim, struct vproc *proc)
{
    struct run *run = &proc->run;
    if (run->cancel && !run->script.stubborn && proc->alloc_state != 1) {
        if (run->blocked)
            sim_write_ids(sim, proc, RTCI_R_UNBLOCKED, NULL, 0, 0);
        sim->nodes[proc->node].unblocked_ns = sim->now_ns;
        release_live(sim, proc);
        proc->alloc_state = 0;
        write_done(sim, proc, RTC_E_CANCELLED);
        return true;
    }
    if (run->until_ns > sim->now_ns) {
        sim_proc_wake(sim, proc, run->until_ns - sim->now_ns);
        return false;
    }
    if (run->script.kind == DO_NEST && !nest(sim, proc))
        return false;
    if (run->script.kind == DO_LARGE && !write_large(sim, proc))
        return false;
    if (run->script.kind == DO_HOLD)
        hold_refs(sim, proc);
    if (run->script.kind == DO_SPAWN) { /* children that nobody waits for */
        submit_children(sim, proc);
        release_live(sim, proc);
    }
    finish(sim, proc);
    return proc->alive;
}

void sim_exec_step(struct sim *sim, struct vproc *proc)
{
    tend_holds(sim, proc);
    if (sim_actor_step(sim, proc))
        return;
    if (proc->run.active && !work(sim, proc))
        return;
    if (!proc->alive)
        return;
    if (claim(sim, proc)) {
        sim_proc_wake(sim, proc, proc->run.script.run_ns ? proc->run.script.run_ns : 1);
        return;
    }
    if (proc->stop) {
        proc->alive = false;
        sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, 100 * SIM_US), EV_EXIT, proc->index,
               (uint32_t)RTC_E_CRASHED, NULL);
    }
}
