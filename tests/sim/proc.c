/* Virtual processes: their rings, their lives, and what outlives a daemon. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

struct vproc *sim_proc_new(struct sim *sim, uint32_t node, uint32_t token, uint32_t role)
{
    struct vproc *proc = calloc(1, sizeof(*proc));
    RTCI_ASSERT(proc);
    sim_grow(&sim->procs, &sim->cap_procs, sim->n_procs, sizeof(*sim->procs));
    proc->index = sim->n_procs;
    sim->procs[sim->n_procs++] = proc;
    proc->node = node;
    proc->token = token;
    proc->role = role;
    proc->alive = true;
    proc->next_seq = 1;
    proc->stepping_ns = UINT64_MAX;
    proc->started_ns = sim->now_ns;
    struct vnode *at = &sim->nodes[node];
    sim_grow(&at->procs, &at->cap_procs, at->n_procs, sizeof(*at->procs));
    at->procs[at->n_procs++] = proc;
    return proc;
}

void sim_proc_free(struct vproc *proc)
{
    sim_exec_clear(proc);
    rtci_buf_fini(&proc->up);
    free(proc->live);
    free(proc->holds);
    free(proc->tasks);
    free(proc->callers);
    free(proc->callees);
    free(proc);
}

void sim_proc_wake(struct sim *sim, struct vproc *proc, uint64_t delay_ns)
{
    uint64_t at = sim->now_ns + delay_ns;
    if (at >= proc->stepping_ns)
        return;
    proc->stepping_ns = at;
    sim_at(sim, at, EV_PROC, proc->index, 0, NULL);
}

void sim_proc_step(struct sim *sim, struct vproc *proc)
{
    if (proc->stepping_ns != sim->now_ns)
        return; /* an earlier one was planned since */
    proc->stepping_ns = UINT64_MAX;
    if (!proc->alive || !proc->attached)
        return;
    if (proc->role == RTCI_ROLE_DRIVER)
        sim_driver_step(sim, proc);
    else
        sim_exec_step(sim, proc);
}

void sim_proc_kill(struct sim *sim, struct vproc *proc, int signal)
{
    if (!proc->alive || (signal == 15 && proc->run.active && proc->run.script.stubborn))
        return;
    sim_say(sim, "process %u (client %u) dies: %d", proc->index, proc->number, signal);
    proc->alive = false;
    proc->signal = signal;
    sim->n_kills++;
    sim->drivers_left -= proc->role == RTCI_ROLE_DRIVER;
    for (uint32_t i = 0; i < sim->n_known; i++)
        sim->known[i].creator_dead |= sim->known[i].id.client == proc->number;
    sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, SIM_MS), EV_EXIT, proc->index,
           (uint32_t)RTC_E_CRASHED, NULL);
}

/* ---- What the daemon writes to it ---- */

static void on_task(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec)
{
    SIM_CHECK(sim, proc->attached, "a task came before its executor was there");
    sim_grow(&proc->tasks, &proc->cap_tasks, proc->n_tasks, sizeof(*proc->tasks));
    struct vtask *task = &proc->tasks[proc->n_tasks++];
    *task = (struct vtask){.spec = malloc(spec->rec.size)};
    RTCI_ASSERT(task->spec);
    memcpy(task->spec, spec, spec->rec.size);
}

void sim_proc_record(struct sim *sim, struct vproc *proc, const struct rtci_rec *rec)
{
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_TASK: on_task(sim, proc, at); break;
    case RTCI_R_RESULT: sim_on_result(sim, proc, at); break;
    case RTCI_R_CANCEL: {
        const struct rtci_cancel *cancel = at;
        if (proc->run.active && rtci_id_equal(proc->run.id, cancel->id))
            proc->run.cancel = true;
        break;
    }
    case RTCI_R_SHUTDOWN: proc->stop = true; break;
    case RTCI_R_ACTOR_START: sim_actor_start(sim, proc, at); break;
    case RTCI_R_ACTOR_CALL:
    case RTCI_R_ACTOR_REPLY: sim_call_record(sim, proc, rec); break;
    case RTCI_R_ACTOR_IS: sim_call_is(sim, proc, at); break;
    case RTCI_R_ACTOR_STOP: proc->act.stop = true; break;
    case RTCI_R_ACTOR_DOWN: sim_actor_down(sim, proc, at); break;
    case RTCI_R_GRANT: {
        const struct rtci_grant *grant = at;
        sim->n_grants++;
        if (proc->alloc_state != 1 || !rtci_id_equal(grant->id, proc->alloc_id))
            break; /* of a request that was repeated */
        proc->alloc_state = grant->status == 0 ? 2 : 3;
        proc->grant_offset = grant->offset;
        break;
    }
    case RTCI_R_REPLY:
    case RTCI_R_NOTICE: break;
    case RTCI_R_GROUP_IS: sim_actor_group(sim, proc, at); break;
    default: SIM_FAIL(sim, "a client was told %s", rtci_wire_name(rec->type));
    }
    sim_proc_wake(sim, proc, sim_between(sim, 0, 5 * SIM_US));
}

/* The daemon takes back what was not begun, from the newest. */
uint32_t sim_proc_recall(struct sim *sim, struct vproc *proc, uint32_t most,
                         struct rtci_held *ret_held, uint32_t cap)
{
    uint32_t n = 0;
    for (uint32_t i = proc->n_tasks; i-- > 0 && (!most || n < most);) {
        struct vtask *task = &proc->tasks[i];
        if (task->recalled)
            continue;
        SIM_CHECK(sim, n < cap, "more tasks than a ring holds");
        task->recalled = true;
        ret_held[n++] =
            (struct rtci_held){{task->spec->seq, task->spec->client, 0}, task->spec->attempt, 0};
    }
    return n;
}

uint32_t sim_proc_held(const struct vproc *proc, struct rtci_held *ret_held, uint32_t cap,
                       uint32_t *ret_slot)
{
    uint32_t n = 0;
    *ret_slot = 0;
    if (proc->act.id.client) {
        ret_held[n++] = (struct rtci_held){proc->act.id, proc->act.incarnation, 1};
        *ret_slot = proc->act.slot;
        return n;
    }
    if (proc->run.active) {
        ret_held[n++] = (struct rtci_held){proc->run.id, proc->run.attempt, 1};
        *ret_slot = proc->run.slot;
    }
    for (uint32_t i = 0; i < proc->n_tasks && n < cap; i++) {
        const struct rtci_spec *spec = proc->tasks[i].spec;
        if (proc->tasks[i].recalled)
            continue;
        ret_held[n++] = (struct rtci_held){{spec->seq, spec->client, 0}, spec->attempt, 0};
        *ret_slot = spec->slot;
    }
    return n;
}

/* Its daemon was started again: everything unanswered is asked again, everything held is said. */
void sim_proc_epoch(struct sim *sim, struct vproc *proc)
{
    if (!proc->alive || !proc->number)
        return;
    for (uint32_t i = 0; i < proc->n_holds; i++) {
        sim_write_ids(sim, proc, RTCI_R_HOLD, &proc->holds[i].id, 1, 0);
        if (proc->holds[i].wanted)
            sim_write_ids(sim, proc, RTCI_R_WANT, &proc->holds[i].id, 1, 0);
    }
    if (proc->alloc_state == 1) {
        proc->alloc_state = 0;
        sim_alloc(sim, proc, proc->alloc_id, proc->alloc_size);
    }
    sim_call_epoch(sim, proc);
    if (proc->run.active && proc->run.blocked) {
        struct rtci_id ids[8];
        uint32_t n = 0;
        for (uint32_t i = 0; i < proc->run.n_children && n < 8; i++)
            ids[n++] = (struct rtci_id){proc->run.first_child + i, proc->number, 0};
        sim_write_ids(sim, proc, RTCI_R_BLOCKED, ids, n, n);
    }
}
