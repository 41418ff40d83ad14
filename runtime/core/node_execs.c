/* Executors and jobs: which process runs a slot's tasks, and when processes begin and end.
 *
 * Invariants: an executor without a slot, unless it is ending, stands in the idle list of its job;
 * GPU shares are taken while an executor has a slot with them; n_execs counts executors from the
 * moment a number is asked for until their gone().
 */
#include "runtime/core/node.h"

/* ---- Jobs ---- */

struct job *node_job(struct rtci_node_core *core, uint32_t number, bool make)
{
    const uint32_t *known = rtci_map_find(&core->job_by_number, number, 0);
    if (known)
        return &core->jobs[*known];
    if (!make)
        return NULL;
    uint32_t index = core->free_job;
    if (index) {
        core->free_job = core->jobs[index].next_free;
    } else {
        NODE_GROW(core->jobs, core->cap_jobs, core->n_jobs);
        index = core->n_jobs++;
    }
    core->jobs[index] = (struct job){.number = number};
    node_map_set(&core->job_by_number, number, 0, index);
    return &core->jobs[index];
}

void node_job_try_free(struct rtci_node_core *core, uint32_t number)
{
    const uint32_t *known = rtci_map_find(&core->job_by_number, number, 0);
    if (!known || core->jobs[*known].driver || core->jobs[*known].n_execs)
        return;
    uint32_t index = *known;
    rtci_map_remove(&core->job_by_number, number, 0);
    core->jobs[index] = (struct job){.next_free = core->free_job};
    core->free_job = index;
}

/* ---- GPUs ---- */

static uint32_t share_of(uint32_t gpu)
{
    return gpu < 10000 ? gpu : 10000;
}

void node_gpus_take(struct rtci_node_core *core, uint32_t gpu, uint64_t mask, int sign)
{
    for (uint32_t i = 0; gpu && i < core->config.n_gpus; i++) {
        if (!(mask >> i & 1))
            continue;
        /* After a restart shares are only known roughly: never below none or above all. */
        int64_t left = (int64_t)core->gpu_free[i] - sign * (int64_t)share_of(gpu);
        core->gpu_free[i] = left < 0 ? 0 : left > 10000 ? 10000 : (uint32_t)left;
    }
}

static bool gpus_fit(const struct rtci_node_core *core, uint32_t gpu, uint64_t mask)
{
    for (uint32_t i = 0; i < core->config.n_gpus; i++) {
        if (mask >> i & 1 && core->gpu_free[i] < share_of(gpu))
            return false;
    }
    return true;
}

/* A fraction goes where the least is left over; whole ones go to free devices, lowest first. */
static uint64_t gpus_choose(const struct rtci_node_core *core, uint32_t gpu)
{
    uint64_t mask = 0;
    for (uint32_t want = (gpu + 9999) / 10000; want > 0; want--) {
        uint32_t best = NODE_GPUS_MAX;
        for (uint32_t i = 0; i < core->config.n_gpus; i++) {
            if (mask >> i & 1 || core->gpu_free[i] < share_of(gpu))
                continue;
            if (best == NODE_GPUS_MAX || core->gpu_free[i] < core->gpu_free[best])
                best = i;
        }
        if (best == NODE_GPUS_MAX)
            break;
        mask |= 1ull << best;
    }
    return mask;
}

/* ---- Idle executors ---- */

void node_exec_idle(struct rtci_node_core *core, uint64_t now_ns, uint32_t token)
{
    struct proc *proc = &core->procs[token];
    RTCI_ASSERT(!proc->idle && !proc->slot);
    if (proc->state == PROC_ENDING || proc->ending)
        return;
    struct job *job = node_job(core, proc->job, true);
    proc->idle = true;
    proc->since_ns = now_ns;
    proc->prev = 0;
    proc->next = job->idle;
    *(job->idle ? &core->procs[job->idle].prev : &job->idle_last) = token;
    job->idle = token;
    job->n_idle++;
    if (job->n_idle > core->prestart)
        node_wake(core, now_ns + RTCI_EXEC_IDLE_NS);
}

void node_exec_unidle(struct rtci_node_core *core, uint32_t token)
{
    struct proc *proc = &core->procs[token];
    if (!proc->idle)
        return;
    struct job *job = node_job(core, proc->job, false);
    *(proc->prev ? &core->procs[proc->prev].next : &job->idle) = proc->next;
    *(proc->next ? &core->procs[proc->next].prev : &job->idle_last) = proc->prev;
    proc->next = proc->prev = 0;
    proc->idle = false;
    job->n_idle--;
}

/* ---- Beginning ---- */

/* The lowest; or, where what was closed is kept for a while under its token, each in its turn. */
static uint32_t free_token(struct rtci_node_core *core)
{
    const uint32_t n = RTCI_CLIENTS_MAX - RTCI_TOKEN_EXEC;
    uint32_t from = core->config.tokens_rest ? core->last_token + 1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t token = RTCI_TOKEN_EXEC + (from + i) % n;
        if (core->procs[token].state != PROC_FREE)
            continue;
        core->last_token = token - RTCI_TOKEN_EXEC;
        return token;
    }
    return 0;
}

/* Asks the head for a number; SPAWN follows when it comes. 0 when there is no token left. */
static uint32_t begin(struct rtci_node_core *core, uint64_t now_ns, uint32_t job,
                      const struct proc *profile, struct rtci_node_actions *actions)
{
    uint32_t token = free_token(core);
    if (!token)
        return 0;
    if (core->n_procs <= token)
        core->n_procs = token + 1;
    struct proc *proc = &core->procs[token];
    *proc = *profile;
    proc->state = PROC_NUMBERING;
    proc->role = RTCI_ROLE_EXECUTOR;
    proc->job = job;
    proc->since_ns = now_ns;
    core->n_execs++;
    struct job *at = node_job(core, job, true);
    at->n_execs++;
    if (at->driver) {
        memcpy(proc->name, core->procs[at->driver].name, sizeof(proc->name));
        memcpy(proc->ns, core->procs[at->driver].ns, sizeof(proc->ns));
    }
    if (core->told)
        node_client_new(core, token, actions);
    return token;
}

void node_exec_numbered(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                        struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    if (proc->ending) {
        struct rtci_gone gone = {.token = token, .code = RTC_E_JOB_ENDED, .exit_status = -1};
        node_exec_gone(core, now_ns, &gone, actions);
        return;
    }
    proc->state = PROC_STARTING;
    struct job *job = node_job(core, proc->job, true);
    bool program = !proc->command && !job->driver;
    proc->started_ns = program ? NODE_NEVER - RTCI_EXEC_REGISTER_NS : now_ns;
    node_wake(core, proc->started_ns + RTCI_EXEC_REGISTER_NS);
    struct rtci_node_action *act = node_act(actions, RTCI_NA_SPAWN, token);
    act->client = proc->number;
    act->job = proc->job;
    act->profile_cpus = proc->cpus;
    act->profile_gpus = proc->gpus;
    act->driver_token = proc->command ? 0 : job->driver;
    act->program = program;
    act->far = !job->driver;
    node_trace(actions, "executor %u spawn job=%u", token, proc->job);
}

void rtci_node_core_begun(struct rtci_node_core *core, uint64_t now_ns, uint32_t token,
                          struct rtci_node_actions *actions)
{
    struct proc *proc = node_proc(core, token);
    if (!proc || proc->state != PROC_STARTING)
        return;
    proc->started_ns = now_ns;
    node_wake(core, now_ns + RTCI_EXEC_REGISTER_NS);
    node_deadline(core, actions);
}

void node_prestart(struct rtci_node_core *core, uint64_t now_ns, uint32_t job,
                   struct rtci_node_actions *actions)
{
    const struct proc profile = {.cpus = 1};
    for (uint32_t i = 0; i < core->prestart && core->n_execs < core->execs_max; i++) {
        uint32_t token = begin(core, now_ns, job, &profile, actions);
        if (!token)
            return;
        node_exec_idle(core, now_ns, token);
    }
}

/* ---- Slots get executors ---- */

/* One without a slot that fits: ready ones first, of those the last used. */
static uint32_t find_idle(const struct rtci_node_core *core, const struct job *job,
                          const struct slot *slot)
{
    uint32_t starting = 0;
    for (uint32_t at = job->idle; at; at = core->procs[at].next) {
        const struct proc *proc = &core->procs[at];
        if (proc->command != slot->command || proc->cpus != slot->cpus || proc->gpu != slot->gpu ||
            !gpus_fit(core, slot->gpu, proc->gpus))
            continue;
        if (proc->state == PROC_READY)
            return at;
        if (!starting)
            starting = at;
    }
    return starting;
}

static uint32_t longest_idle(const struct rtci_node_core *core)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        uint32_t at = core->jobs[i].idle_last;
        if (at && (!oldest || core->procs[at].since_ns < core->procs[oldest].since_ns))
            oldest = at;
    }
    return oldest;
}

void node_bind(struct rtci_node_core *core, uint64_t now_ns, struct slot *slot,
               struct rtci_node_actions *actions)
{
    struct job *job = node_job(core, slot->job, true);
    uint32_t token = find_idle(core, job, slot);
    if (token) {
        node_exec_unidle(core, token);
    } else {
        uint32_t surplus = core->n_execs >= core->execs_max ? longest_idle(core) : 0;
        if (surplus)
            node_exec_end(core, now_ns, surplus, 0, actions);
        const struct proc profile = {.cpus = slot->cpus,
                                     .gpu = slot->gpu,
                                     .gpus = gpus_choose(core, slot->gpu),
                                     .command = slot->command};
        token = begin(core, now_ns, slot->job, &profile, actions);
        if (!token)
            return; /* until some executor is gone */
    }
    struct proc *proc = &core->procs[token];
    proc->slot = (uint32_t)(slot - core->slots);
    slot->proc = token;
    slot->gpus = proc->gpus;
    core->n_waiting--;
    node_gpus_take(core, slot->gpu, slot->gpus, 1);
    if (proc->state == PROC_READY)
        node_slot_flush(core, now_ns, slot, actions);
    node_trace(actions, "slot %u executor %u", slot->number, token);
}

void node_bind_waiting(struct rtci_node_core *core, uint64_t now_ns,
                       struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_slots && core->n_waiting; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->number && !slot->proc && slot->decided)
            node_bind(core, now_ns, slot, actions);
    }
}

/* ---- Ending ---- */

void node_kill(uint32_t token, int signal, struct rtci_node_actions *actions)
{
    node_act(actions, RTCI_NA_KILL, token)->signal = signal;
}

/* Asks it to end after what it runs; with a signal, now. It is killed when it does not. */
void node_exec_end(struct rtci_node_core *core, uint64_t now_ns, uint32_t token, int signal,
                   struct rtci_node_actions *actions)
{
    struct proc *proc = &core->procs[token];
    node_exec_unidle(core, token);
    if (proc->state == PROC_NUMBERING) {
        proc->ending = true; /* it does not run yet */
        return;
    }
    if (proc->state != PROC_ENDING) {
        proc->state = PROC_ENDING;
        node_tell(core, token, RTCI_R_SHUTDOWN, sizeof(struct rtci_rec), actions);
        proc->kill_ns = now_ns + RTCI_CANCEL_GRACE_NS;
    }
    if (signal)
        node_kill(token, signal, actions);
    if (signal == 9)
        proc->kill_ns = NODE_NEVER;
    node_wake(core, proc->kill_ns);
    node_trace(actions, "executor %u ends signal=%d", token, signal);
}

void node_exec_gone(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_gone *gone,
                    struct rtci_node_actions *actions)
{
    uint32_t token = gone->token;
    struct proc *proc = &core->procs[token];
    uint32_t number = proc->job;
    proc->bye |= proc->state == PROC_ENDING && !proc->slot;
    if (proc->slot) {
        uint32_t index = proc->slot;
        if (core->slots[index].actor)
            node_actor_gone(core, &core->slots[index], gone, actions);
        node_slot_lost(core, &core->slots[index], gone, actions);
        node_slot_free(core, index);
    }
    node_exec_unidle(core, token);
    if (proc->n_cancels)
        node_cancels_forget(core, token, NULL);
    node_proc_forget(core, token, 0, actions);
    core->n_execs--;
    struct job *job = node_job(core, number, false);
    if (job && job->n_execs) {
        job->n_execs--;
        node_job_try_free(core, number);
    }
    if (core->n_waiting)
        node_bind_waiting(core, now_ns, actions);
}

void node_job_end(struct rtci_node_core *core, uint64_t now_ns, uint32_t number,
                  struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_slots; i++) { /* those that wait for an executor */
        if (core->slots[i].number && core->slots[i].job == number && !core->slots[i].proc)
            node_slot_free(core, i);
    }
    for (uint32_t token = RTCI_TOKEN_EXEC; token < core->n_procs; token++) {
        struct proc *proc = &core->procs[token];
        if (proc->state == PROC_FREE || proc->job != number || proc->role != RTCI_ROLE_EXECUTOR)
            continue;
        bool busy = proc->slot && node_tasks_running(&core->slots[proc->slot].tasks);
        node_exec_end(core, now_ns, token, busy ? 15 : 0, actions);
    }
}

/* ---- Timers ---- */

static void end_surplus(struct rtci_node_core *core, uint64_t now_ns, struct job *job,
                        struct rtci_node_actions *actions)
{
    while (job->n_idle > core->prestart) {
        uint32_t oldest = job->idle_last;
        uint64_t at_ns = core->procs[oldest].since_ns + RTCI_EXEC_IDLE_NS;
        if (at_ns > now_ns) {
            node_wake(core, at_ns);
            return;
        }
        node_exec_end(core, now_ns, oldest, 0, actions);
    }
}

void node_exec_timers(struct rtci_node_core *core, uint64_t now_ns,
                      struct rtci_node_actions *actions)
{
    for (uint32_t token = RTCI_TOKEN_EXEC; token < core->n_procs; token++) {
        struct proc *proc = &core->procs[token];
        if (proc->state == PROC_STARTING) {
            uint64_t at_ns = proc->started_ns + RTCI_EXEC_REGISTER_NS;
            if (at_ns <= now_ns) {
                proc->no_register = true;
                node_exec_unidle(core, token);
                node_kill(token, 9, actions);
                proc->state = PROC_ENDING;
                proc->kill_ns = NODE_NEVER;
            } else {
                node_wake(core, at_ns);
            }
        } else if (proc->state == PROC_ENDING) {
            if (proc->kill_ns <= now_ns) {
                node_kill(token, 9, actions);
                proc->kill_ns = NODE_NEVER;
            }
            node_wake(core, proc->kill_ns);
        }
    }
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        if (core->jobs[i].number)
            end_surplus(core, now_ns, &core->jobs[i], actions);
    }
}
