/* A driver: submits, cancels, releases, waits for everything, leaves. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static uint32_t pick(struct sim *sim, const struct vproc *proc)
{
    return proc->live[sim_between(sim, 0, proc->n_live - 1)];
}

static void submit_one(struct sim *sim, struct vproc *proc)
{
    uint32_t deps[4], n = 0;
    while (n < 3 && proc->n_live && sim_chance(sim, sim->swarm.p_dep)) {
        uint32_t at = pick(sim, proc);
        bool twice = false;
        for (uint32_t i = 0; i < n; i++)
            twice |= deps[i] == at;
        if (!twice)
            deps[n++] = at;
        else
            break;
    }
    proc->to_submit--;
    if (sim_chance(sim, sim->swarm.p_put)) {
        sim_live(proc, sim_put(sim, proc, deps, sim_chance(sim, sim->swarm.p_contain) ? n : 0));
        return;
    }
    if (proc->alloc_state == 0 && sim_chance(sim, sim->swarm.p_large_put)) {
        sim_declare(sim, proc);
        struct rtci_id id = {proc->next_seq++, proc->number, 0};
        uint32_t index = sim_known_new(sim, id);
        sim->known[index].put = sim->known[index].large = true;
        sim_alloc(sim, proc, id, sim_between(sim, 200 * RTCI_KIB, 3 * RTCI_MIB));
        return;
    }
    struct script script;
    sim_draw_script(sim, &script, 0);
    uint32_t index = sim_submit(sim, proc, &script, NULL, 0, deps, n);
    sim_live(proc, index);
    proc->open++;
}

static void cancel_one(struct sim *sim, struct vproc *proc)
{
    struct known *known = &sim->known[pick(sim, proc)];
    if (known->put)
        return;
    struct rtci_cancel *cancel = sim_write(sim, proc, RTCI_R_CANCEL, sizeof(*cancel));
    cancel->id = known->id;
    cancel->mode = sim_chance(sim, 300) ? RTCI_CANCEL_FORCE : 0;
    known->cancelled = true;
    sim->n_cancels++;
}

static void release_one(struct sim *sim, struct vproc *proc)
{
    uint32_t index = pick(sim, proc);
    struct known *known = &sim->known[index];
    if (!known->put && !known->result)
        proc->open--; /* nobody waits for it any more */
    sim_release(sim, proc, index);
}

static void leave(struct sim *sim, struct vproc *proc)
{
    while (proc->n_live)
        sim_release(sim, proc, proc->live[0]);
    sim_write(sim, proc, RTCI_R_BYE, sizeof(struct rtci_rec));
    proc->bye = true;
    proc->alive = false;
    sim->drivers_left--;
    for (uint32_t i = 0; i < sim->n_known; i++)
        sim->known[i].creator_dead |= sim->known[i].id.client == proc->number;
    sim_say(sim, "driver %u leaves", proc->number);
    sim_at(sim, sim->now_ns + SIM_MS, EV_EXIT, proc->index, 0, NULL);
}

void sim_driver_step(struct sim *sim, struct vproc *proc)
{
    if (proc->alloc_state == 2) {
        sim_seal(sim, proc);
        const struct known *known = sim_known(sim, proc->alloc_id);
        sim_live(proc, (uint32_t)(known - sim->known));
    } else if (proc->alloc_state == 3) {
        proc->alloc_state = 0;
    }
    for (uint32_t i = (uint32_t)sim_between(sim, 1, 20); i > 0; i--) {
        if (proc->to_submit && proc->open < sim->swarm.window)
            submit_one(sim, proc);
        if (proc->n_live && sim_chance(sim, sim->swarm.p_cancel))
            cancel_one(sim, proc);
        if (proc->n_live && sim_chance(sim, sim->swarm.p_release))
            release_one(sim, proc);
    }
    bool last = !proc->to_submit && !proc->open && !proc->alloc_state;
    sim_actor_driver(sim, proc, last);
    sim_call_step(sim, proc);
    if (last && !proc->actors_left && !proc->actors_open && !proc->calls_open) {
        leave(sim, proc);
        return;
    }
    if (proc->to_submit && proc->open < sim->swarm.window)
        sim_proc_wake(sim, proc, sim_between(sim, SIM_US, 500 * SIM_US));
}
