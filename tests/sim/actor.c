/* Actors: drivers that create, watch, kill and stop them; executors that are one. The book: of each
 * at most one process lives, and its creator hears of its end once. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define NAMES 4u

/* ---- The driver ---- */

/* A group, and a shape that is in it; or the end of one, with whatever is inside. */
static void change_group(struct sim *sim, struct vproc *proc)
{
    sim_declare(sim, proc);
    if (proc->group) {
        struct rtci_group_remove *rec = sim_write(sim, proc, RTCI_R_GROUP_REMOVE, sizeof(*rec));
        rec->id = (struct rtci_id){proc->group, proc->number, 0};
        proc->group = 0;
        return;
    }
    uint32_t n = 1 + (uint32_t)sim_between(sim, 0, 3);
    proc->group = proc->next_seq++;
    struct rtci_group_create *rec =
        sim_write(sim, proc, RTCI_R_GROUP_CREATE, sizeof(*rec) + n * sizeof(struct rtci_bundle));
    rec->id = (struct rtci_id){proc->group, proc->number, 0};
    rec->strategy = (uint32_t)sim_between(sim, 0, 3);
    rec->n_bundles = n;
    for (uint32_t i = 0; i < n; i++)
        ((struct rtci_bundle *)(rec + 1))[i].cpu = sim_chance(sim, 500) ? 5000 : 10000;
    struct rtci_shape *shape = sim_write(sim, proc, RTCI_R_SHAPE, sizeof(*shape));
    proc->group_shape = proc->group_shape ? proc->group_shape + 1 : 3;
    shape->number = proc->group_shape;
    shape->cpu = 5000;
    shape->group = (struct rtci_id){proc->group, proc->number, 0};
    shape->group.index = sim_chance(sim, 500) ? RTCI_ANY_BUNDLE : 0;
}

/* It is ready: all of it, on nodes that there are. */
void sim_actor_group(struct sim *sim, struct vproc *proc, const struct rtci_group_is *is)
{
    const uint32_t *nodes = (const uint32_t *)(is + 1);
    sim->n_groups += is->state == RTCI_GROUP_READY;
    SIM_CHECK(sim, is->id.client == proc->number, "another's group");
    for (uint32_t i = 0; i < is->n; i++)
        SIM_CHECK(sim, nodes[i] && nodes[i] <= sim->swarm.nodes, "bundle %u is on node %u", i,
                  nodes[i]);
}

static void create(struct sim *sim, struct vproc *proc)
{
    sim_declare(sim, proc);
    struct rtci_id id = {proc->next_seq++, proc->number, 0};
    uint32_t name = sim_chance(sim, 300) ? 1 + (uint32_t)sim_between(sim, 0, NAMES - 1) : 0;
    size_t tail = sizeof(struct rtci_actor_options) + (name ? 1 : 0);
    struct rtci_spec *spec =
        sim_write(sim, proc, RTCI_R_ACTOR_CREATE, sizeof(*spec) + RTCI_ALIGN8(tail));
    spec->seq = id.seq;
    spec->client = id.client;
    spec->function = 77;
    spec->shape = (uint32_t)sim_between(sim, 0, 1);
    if (proc->group && sim_chance(sim, 500))
        spec->shape = proc->group_shape;
    spec->flags = RTCI_SPEC_ACTOR;
    spec->name_len = (uint32_t)tail;
    struct rtci_actor_options *options = (struct rtci_actor_options *)rtci_spec_options(spec);
    options->max_restarts = (int32_t)sim_between(sim, 0, 3) - 1;
    options->name_len = name ? 1 : 0;
    if (name)
        *(char *)(options + 1) = (char)('a' + name);
    uint32_t index = sim_known_new(sim, id);
    struct known *known = &sim->known[index];
    known->actor = true;
    known->name = name;
    known->retries = options->max_restarts;
    known->cpu = spec->shape ? 5000 : 10000;
    struct rtci_actor_monitor *monitor =
        sim_write(sim, proc, RTCI_R_ACTOR_MONITOR, sizeof(*monitor));
    monitor->monitor = id.seq;
    monitor->id = id;
    proc->actors_left--;
    proc->actors_open++;
    sim_call_callee(sim, proc, id);
}

static void end(struct sim *sim, struct vproc *proc, struct known *known, bool last)
{
    uint32_t how = last ? 0 : (uint32_t)sim_between(sim, 0, 3);
    if (how == 3) { /* the only handle */
        struct rtci_range *range = sim_write(sim, proc, RTCI_R_RELEASE, sizeof(*range));
        range->seq = known->id.seq;
        range->count = 1;
        range->client = proc->number;
        range->index = RTCI_ALL_RETURNS;
        known->released = known->cancelled = true;
        return;
    }
    struct rtci_actor_end *rec =
        sim_write(sim, proc, how ? RTCI_R_ACTOR_KILL : RTCI_R_ACTOR_STOP, sizeof(*rec));
    rec->id = known->id;
    rec->flags = how == 2 ? RTCI_END_NO_RESTART : 0;
    known->cancelled |= how != 1;
}

/* Some of its actors, one in `odds`; last: all that were not told to end. */
static void end_some(struct sim *sim, struct vproc *proc, bool last)
{
    for (uint32_t i = 0; i < sim->n_known; i++) {
        struct known *known = &sim->known[i];
        if (!known->actor || known->id.client != proc->number || known->results || known->cancelled)
            continue;
        if (last || sim_chance(sim, 4))
            end(sim, proc, known, last);
    }
}

void sim_actor_driver(struct sim *sim, struct vproc *proc, bool last)
{
    if (!proc->actors_left && !proc->actors_open) {
        if (proc->group)
            change_group(sim, proc);
        return;
    }
    if (sim_chance(sim, 50))
        change_group(sim, proc);
    if (proc->actors_left)
        create(sim, proc);
    last &= !proc->actors_left && sim->now_ns > proc->started_ns + 100 * SIM_MS;
    end_some(sim, proc, last);
    if (!last)
        sim_proc_wake(sim, proc, sim_between(sim, SIM_US, 5 * SIM_MS));
}

void sim_actor_down(struct sim *sim, struct vproc *proc, const struct rtci_actor_down *down)
{
    struct known *known = sim_known(sim, down->id);
    SIM_CHECK(sim, known && known->actor && down->monitor == down->id.seq, "DOWN of nobody");
    struct rtci_actor_monitor *heard = sim_write(sim, proc, RTCI_R_ACTOR_DEMONITOR, sizeof(*heard));
    heard->monitor = down->monitor;
    heard->id = down->id;
    if (known
            ->results++) { /* the head was restarted before it had the answer, or was asked again */
        SIM_CHECK(sim,
                  down->cause.kind == RTCI_CAUSE_UNKNOWN ||
                      known->status == (int32_t)down->cause.kind,
                  "%u:%llu died of %d, now of %u", known->id.client,
                  (unsigned long long)known->id.seq, known->status, down->cause.kind);
        return;
    }
    known->status = (int32_t)down->cause.kind;
    known->result = true;
    proc->actors_open--;
    sim->n_downs++;
    sim_say(sim, "actor %u:%llu is down: %s", known->id.client, (unsigned long long)known->id.seq,
            down->cause.text);
    SIM_CHECK(sim, down->cause.kind != RTCI_CAUSE_UNKNOWN || known->released,
              "an actor was never known");
    SIM_CHECK(sim, down->cause.kind != RTCI_CAUSE_NAME || known->name, "it has no name");
    for (uint32_t i = 0; i < sim->n_procs; i++) {
        const struct vproc *other = sim->procs[i];
        SIM_CHECK(sim,
                  !other->alive || !rtci_id_equal(other->act.id, down->id) || other->act.failed,
                  "%u:%llu is said to be dead and lives in process %u", down->id.client,
                  (unsigned long long)down->id.seq, other->index);
    }
}

/* ---- The executor ---- */

void sim_actor_start(struct sim *sim, struct vproc *proc, const struct rtci_spec *spec)
{
    struct rtci_id id = {spec->seq, spec->client, 0};
    struct known *known = sim_known(sim, id);
    SIM_CHECK(sim, known && known->actor, "an actor nobody created");
    SIM_CHECK(sim, !proc->act.id.client && !proc->run.active && !proc->n_tasks,
              "process %u has something else to do", proc->index);
    SIM_CHECK(sim, spec->attempt > known->attempt, "incarnation %u comes after %u", spec->attempt,
              known->attempt);
    SIM_CHECK(sim, !known->results, "it starts after it was said to be dead");
    for (uint32_t i = 0; i < sim->n_procs; i++) {
        const struct vproc *other = sim->procs[i];
        if (!other->alive || !other->act.id.client || other->act.failed)
            continue;
        SIM_CHECK(sim, !rtci_id_equal(other->act.id, id), "%u:%llu lives in process %u already",
                  id.client, (unsigned long long)id.seq, other->index);
        const struct known *theirs = sim_known(sim, other->act.id);
        SIM_CHECK(sim, !known->name || theirs->name != known->name || theirs->creator_dead,
                  "two have the name %u", known->name);
    }
    known->attempt = spec->attempt;
    proc->act = (struct vact){.id = id,
                              .incarnation = spec->attempt,
                              .slot = spec->slot,
                              .until_ns = sim->now_ns + sim_between(sim, 0, sim->swarm.run_ns)};
    sim->n_actor_starts++;
    sim_say(sim, "process %u is actor %u:%llu incarnation %u", proc->index, id.client,
            (unsigned long long)id.seq, spec->attempt);
}

static void say_up(struct sim *sim, struct vproc *proc)
{
    if (sim_chance(sim, 50)) {
        struct rtci_actor_failed *failed =
            sim_write(sim, proc, RTCI_R_ACTOR_FAILED, sizeof(*failed) + 8);
        failed->id = proc->act.id;
        failed->incarnation = proc->act.incarnation;
        failed->code = RTC_E_TASK_FAILED;
        failed->text_len = 4;
        memcpy(failed + 1, "oops", 4);
        proc->act.failed = true;
        return;
    }
    struct rtci_actor_up *up = sim_write(sim, proc, RTCI_R_ACTOR_UP, sizeof(*up));
    up->id = proc->act.id;
    up->incarnation = proc->act.incarnation;
    up->pid = proc->index;
}

/* True when it is an actor: it has no tasks. */
bool sim_actor_step(struct sim *sim, struct vproc *proc)
{
    struct vact *act = &proc->act;
    if (!act->id.client)
        return false;
    if (act->until_ns > sim->now_ns) {
        sim_proc_wake(sim, proc, act->until_ns - sim->now_ns);
        return true;
    }
    if (!act->said) {
        act->said = true;
        say_up(sim, proc);
        sim_proc_wake(sim, proc, sim_between(sim, SIM_US, 5 * SIM_MS));
        return true;
    }
    if (act->stop || proc->stop) {
        proc->alive = false;
        sim_at(sim, sim->now_ns + sim_between(sim, SIM_US, 100 * SIM_US), EV_EXIT, proc->index,
               (uint32_t)RTC_E_CRASHED, NULL);
    } else if (sim->now_ns < sim->end_chaos_ns && sim_chance(sim, 100)) {
        sim_proc_kill(sim, proc, 11);
    }
    return true;
}
