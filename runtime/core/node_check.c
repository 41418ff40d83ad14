/* Recomputes what the node core keeps twice. For tests and the simulator; O(state). */
#include "runtime/core/node.h"

static void check_procs(const struct rtci_node_core *core)
{
    uint32_t execs = 0, numbered = 0, cancels = 0;
    for (uint32_t token = 1; token < core->n_procs; token++) {
        const struct proc *proc = &core->procs[token];
        if (proc->state == PROC_FREE) {
            RTCI_ASSERT(!proc->holds && !proc->objects && !proc->slot);
            continue;
        }
        bool exec = proc->role == RTCI_ROLE_EXECUTOR;
        execs += exec;
        cancels += proc->n_cancels;
        if (proc->number) {
            numbered++;
            RTCI_ASSERT(node_proc_number(core, proc->number) == token);
        }
        RTCI_IMPLIES(proc->slot, exec && !proc->idle && core->slots[proc->slot].proc == token);
        RTCI_IMPLIES(exec && !proc->slot, proc->idle || proc->state == PROC_ENDING || proc->ending);
        RTCI_IMPLIES(!exec, proc->state == PROC_NUMBERING || proc->state == PROC_ATTACHED);
    }
    RTCI_ASSERT(execs == core->n_execs && numbered == core->proc_by_number.n);
    RTCI_ASSERT(cancels == core->n_cancels);
}

static void check_slots(const struct rtci_node_core *core)
{
    uint32_t waiting = 0, used = 0;
    for (uint32_t i = 1; i < core->n_slots; i++) {
        const struct slot *slot = &core->slots[i];
        if (!slot->number) {
            RTCI_ASSERT(!slot->proc && !slot->tasks.len);
            continue;
        }
        used++;
        waiting += !slot->proc;
        const uint32_t *known = rtci_map_find(&core->slot_by_number, slot->number, 0);
        RTCI_ASSERT(known && *known == i);
        RTCI_IMPLIES(slot->proc, core->procs[slot->proc].slot == i);
        uint32_t records = 0;
        for (size_t at = 0; at < slot->pending.len; records++)
            at += ((const struct rtci_rec *)(slot->pending.data + at))->size;
        bool ready = slot->proc && core->procs[slot->proc].state == PROC_READY;
        RTCI_ASSERT(ready ? records == 0 : records <= slot->tasks.len);
    }
    RTCI_ASSERT(waiting == core->n_waiting && used == core->slot_by_number.n);
}

static void check_jobs(const struct rtci_node_core *core)
{
    uint32_t used = 0;
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        const struct job *job = &core->jobs[i];
        if (!job->number)
            continue;
        used++;
        uint32_t idle = 0, execs = 0;
        for (uint32_t at = job->idle, prev = 0; at; prev = at, at = core->procs[at].next) {
            const struct proc *proc = &core->procs[at];
            RTCI_ASSERT(proc->idle && proc->job == job->number && proc->prev == prev);
            RTCI_ASSERT(proc->next || job->idle_last == at);
            idle++;
        }
        for (uint32_t token = RTCI_TOKEN_EXEC; token < core->n_procs; token++)
            execs += core->procs[token].state != PROC_FREE && core->procs[token].job == job->number;
        RTCI_ASSERT(idle == job->n_idle && execs == job->n_execs);
        RTCI_ASSERT(job->driver || execs);
    }
    RTCI_ASSERT(used == core->job_by_number.n);
}

static void check_gpus(const struct rtci_node_core *core)
{
    uint64_t taken[NODE_GPUS_MAX] = {0};
    for (uint32_t i = 1; i < core->n_slots; i++) {
        const struct slot *slot = &core->slots[i];
        for (uint32_t gpu = 0; slot->proc && gpu < core->config.n_gpus; gpu++) {
            if (slot->gpus >> gpu & 1)
                taken[gpu] += slot->gpu < 10000 ? slot->gpu : 10000;
        }
    }
    for (uint32_t gpu = 0; gpu < core->config.n_gpus; gpu++)
        RTCI_ASSERT(core->gpu_free[gpu] == (taken[gpu] < 10000 ? 10000 - taken[gpu] : 0));
}

void rtci_node_core_check(const struct rtci_node_core *core)
{
    check_procs(core);
    check_slots(core);
    check_jobs(core);
    check_gpus(core);
    node_refs_check(core);
    node_arena_check(core);
    node_pull_check(core);
}
