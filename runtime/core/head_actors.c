/* Actors: the table, creation, places, ends.
 *
 * An actor is an entry like a task: it waits for its arguments, stands in the queue of a class and
 * is placed in a slot by the same code. The slot is its own: nothing else goes into it, and it ends
 * with it. Each placement is an incarnation, the attempt of its entry, counted and journalled
 * before its node hears of it; what an older one says is not listened to. A new one is placed only
 * when the node has told that the process of the last is gone, or the node itself is declared dead:
 * at most one lives.
 *
 * Invariants: an actor is dead exactly when its entry is terminal; one that starts or lives is in a
 * slot, but after a restart of the head until its node has told; who waits to be told where it is
 * waits only while it is not alive, or until it is no more what it was; one that is dead has no
 * name, monitors, links or slot.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

struct actor *head_actor(struct rtci_head_core *core, uint32_t index)
{
    return &core->actors[core->entries[index].parent];
}

uint32_t head_actor_find(struct rtci_head_core *core, struct rtci_id id)
{
    uint32_t index = head_find(core, id);
    return index && head_entry(core, index)->kind == ENTRY_ACTOR ? index : 0;
}

static void move(struct rtci_head_core *core, uint32_t index, uint32_t state)
{
    static const uint32_t allowed[] = {
#define X(name, text, next) next,
        RTCI_ACTOR_STATE_MAP(X)
#undef X
    };
    struct actor *actor = head_actor(core, index);
    const struct entry *entry = head_entry(core, index);
    RTCI_ASSERT(allowed[actor->state] & (1u << state));
    head_trace(core, "actor %u:%llu %s -> %s (%u)", entry->client, (unsigned long long)entry->seq,
               rtci_actor_state_name(actor->state), rtci_actor_state_name(state), entry->attempt);
    actor->state = (uint8_t)state;
    actor->since_ns = core->now_ns;
}

void head_cause(struct rtci_cause *cause, uint32_t kind, int code, const char *text)
{
    *cause = (struct rtci_cause){.kind = kind, .code = code, .exit_status = -1};
    snprintf(cause->text, sizeof(cause->text), "%s", text);
}

/* ---- Creation ---- */

static uint32_t actor_new(struct rtci_head_core *core)
{
    uint32_t number = core->free_actor;
    if (number) {
        core->free_actor = core->actors[number].next_free;
    } else {
        number = core->n_actors;
        HEAD_GROW(core->actors, core->cap_actors, number);
        core->n_actors++;
    }
    core->actors[number] = (struct actor){.created_ns = core->now_ns, .since_ns = core->now_ns};
    core->stats.actors++;
    return number;
}

/* A detached actor is a job of its own: what it does outlives the driver as it does. */
static uint32_t own_job(struct rtci_head_core *core, const struct client *client)
{
    uint32_t origin = client->job;
    if (core->jobs[origin].origin)
        origin = core->jobs[origin].origin;
    uint32_t number = head_job_make(core, 0);
    struct job *job = &core->jobs[number];
    const struct job *from = &core->jobs[origin];
    job->origin = origin;
    job->node = from->node;
    job->id_hi = from->id_hi;
    job->id_lo = from->id_lo;
    memcpy(job->name, from->name, sizeof(job->name));
    memcpy(job->ns, from->ns, sizeof(job->ns));
    core->jobs[origin].detached++;
    head_j_job(core, job);
    head_program_keep(core, origin);
    return number;
}

static struct entry *entry_new(struct rtci_head_core *core, struct client *client,
                               const struct rtci_spec *spec, uint32_t *ret_index)
{
    uint32_t index = head_entry_new(core, client, spec->seq, ENTRY_ACTOR);
    struct entry *entry = head_entry(core, index);
    size_t size = rtci_spec_size(spec);
    entry->spec = malloc(size);
    RTCI_ASSERT(entry->spec);
    memcpy(entry->spec, spec, size);
    entry->spec->client = client->number;
    entry->spec->rec.size = (uint32_t)size;
    entry->spec->rec.flags = 0;
    entry->spec->n_returns = 1;
    core->stats.bytes_alive += size;
    entry->holds = 1;
    entry->state = RTCI_TASK_WAITING;
    entry->parent = actor_new(core);
    core->actors[entry->parent].entry = index;
    core->actors[entry->parent].job = client->job;
    *ret_index = index;
    return entry;
}

static void name_taken(struct rtci_head_core *core, uint32_t index, uint32_t holder)
{
    const struct entry *by = head_entry(core, holder);
    const struct rtci_actor_options *options = rtci_spec_options(head_entry(core, index)->spec);
    struct rtci_cause cause;
    char text[192];
    snprintf(text, sizeof(text), "the name '%.*s' is taken by actor %u:%llu of job %u",
             options->name_len > 64 ? 64 : options->name_len, rtci_options_name(options),
             by->client, (unsigned long long)by->seq, head_actor(core, holder)->job);
    head_cause(&cause, RTCI_CAUSE_NAME, RTC_E_EXISTS, text);
    cause.other = (struct rtci_id){by->seq, by->client, 0};
    head_actor_dies(core, index, &cause);
}

void head_actor_create(struct rtci_head_core *core, struct client *client,
                       const struct rtci_spec *spec)
{
    if (spec->seq <= client->last_seq || (!core->replaying && !core->jobs[client->job].alive))
        return; /* seen before; of a job that ended */
    client->last_seq = spec->seq;
    const struct rtci_actor_options *options = rtci_spec_options(spec);
    uint32_t index, job = 0;
    bool replaying = core->replaying;
    head_j_record(core, client->number, &spec->rec);
    struct entry *entry = entry_new(core, client, spec, &index);
    if (options->flags & RTCI_ACTOR_DETACHED && !replaying)
        job = own_job(core, client);
    if (job)
        head_actor(core, index)->job = job;
    uint32_t cls = spec->shape < client->n_shapes ? client->shapes[spec->shape] : 0;
    entry->cls = cls ? head_actor_class(core, cls) : 0;
    uint32_t holder = options->name_len && !replaying ? head_actor_name_holder(core, index) : 0;
    if (options->name_len && !replaying && !holder)
        head_actor_name_take(core, index);
    head_j_actor(core, head_actor(core, index));
    struct rtci_cause cause;
    bool bad = false;
    uint32_t failed = head_submit_refs(core, client, index, &bad);
    if (!cls || bad) {
        head_cause(&cause, RTCI_CAUSE_CONSTRUCTOR, cls ? RTC_E_LOST : RTC_E_PROTOCOL,
                   cls ? "an argument refers to an object that does not exist (any more)"
                       : "its resource shape was never declared");
        if (!replaying || !cls)
            head_actor_dies(core, index, &cause);
    } else if (holder) {
        name_taken(core, index, holder);
    } else if (failed && !replaying) {
        head_fail_dependant(core, index, failed);
    } else if (!head_entry(core, index)->deps) {
        head_make_ready(core, index, false);
    }
}

/* It stands in the queue now. */
void head_actor_ready(struct rtci_head_core *core, uint32_t index, bool front)
{
    (void)front;
    struct actor *actor = head_actor(core, index);
    if (actor->state == RTCI_ACTOR_CREATED)
        move(core, index, RTCI_ACTOR_PENDING);
}

/* ---- Places ---- */

void head_actor_sent(struct rtci_head_core *core, uint32_t index, uint32_t slot)
{
    struct actor *actor = head_actor(core, index);
    move(core, index, RTCI_ACTOR_STARTING);
    actor->node = core->slots[slot].node;
    actor->client = actor->pid = actor->pending = 0;
    head_j_actor(core, actor);
}

/* What an executor says of the actor that it is; NULL when it is not, or not any more. */
static struct actor *of_client(struct rtci_head_core *core, const struct client *client,
                               struct rtci_id id, uint32_t incarnation, uint32_t *ret_index)
{
    uint32_t index = *ret_index = head_actor_find(core, id);
    const struct entry *entry = index ? head_entry(core, index) : NULL;
    if (!entry || !entry->slot || entry->attempt != incarnation ||
        core->slots[entry->slot].node != client->node || client->role != RTCI_ROLE_EXECUTOR)
        return NULL;
    struct actor *actor = head_actor(core, index);
    return actor->client && actor->client != client->number ? NULL : actor;
}

bool head_actor_is(struct rtci_head_core *core, const struct client *client, struct rtci_id id)
{
    uint32_t index = head_actor_find(core, id);
    const struct entry *entry = index ? head_entry(core, index) : NULL;
    if (!entry || !entry->slot || core->slots[entry->slot].node != client->node ||
        client->role != RTCI_ROLE_EXECUTOR)
        return false;
    const struct actor *actor = head_actor(core, index);
    return !actor->client || actor->client == client->number;
}

void head_actor_up(struct rtci_head_core *core, const struct client *client,
                   const struct rtci_actor_up *up)
{
    uint32_t index;
    struct actor *actor = of_client(core, client, up->id, up->incarnation, &index);
    if (!actor)
        return;
    actor->pending = up->pending;
    if (actor->state != RTCI_ACTOR_STARTING)
        return;
    head_move(core, index, RTCI_TASK_RUNNING);
    move(core, index, RTCI_ACTOR_ALIVE);
    actor->client = client->number;
    actor->pid = up->pid;
    core->slots[head_entry(core, index)->slot].client = client->number;
    head_j_actor(core, actor);
    head_actor_tell(core, index);
}

void head_actor_failed(struct rtci_head_core *core, const struct client *client,
                       const struct rtci_actor_failed *failed)
{
    uint32_t index;
    struct actor *actor = of_client(core, client, failed->id, failed->incarnation, &index);
    if (!actor || actor->state != RTCI_ACTOR_STARTING)
        return;
    struct rtci_cause cause;
    char text[192];
    snprintf(text, sizeof(text), "%.*s",
             failed->text_len < sizeof(text) ? (int)failed->text_len : (int)sizeof(text) - 1,
             (const char *)(failed + 1));
    head_cause(&cause, RTCI_CAUSE_CONSTRUCTOR, failed->code, text);
    cause.user_code = failed->user_code;
    cause.node = client->node;
    cause.pid = client->pid;
    head_actor_dies(core, index, &cause);
}

/* ---- Ends ---- */

/* Out of its slot, which ends: its process is gone, or is to go. */
static void leave_slot(struct rtci_head_core *core, uint32_t index, bool tell)
{
    uint32_t slot = head_entry(core, index)->slot;
    if (!slot)
        return;
    head_slot_take(core, index);
    head_slot_release(core, slot, tell);
}

void head_actor_returned(struct rtci_head_core *core, uint32_t index)
{
    struct actor *actor = head_actor(core, index);
    if (actor->state != RTCI_ACTOR_STARTING) /* its node has lost it */
        return;
    leave_slot(core, index, true);
    if (actor->ends & (AE_STOP | AE_NO_RESTART)) {
        struct rtci_cause cause = actor->cause;
        head_actor_dies(core, index, &cause);
        return;
    }
    actor->ends = 0;
    move(core, index, RTCI_ACTOR_PENDING);
    head_j_actor(core, actor);
    head_make_ready(core, index, true);
}

static uint64_t backoff(uint32_t failures)
{
    uint64_t at = RTCI_ACTOR_BACKOFF_NS;
    for (uint32_t i = 1; i < failures && at < RTCI_ACTOR_BACKOFF_MAX_NS; i++)
        at *= 2;
    return at < RTCI_ACTOR_BACKOFF_MAX_NS ? at : RTCI_ACTOR_BACKOFF_MAX_NS;
}

static void restart(struct rtci_head_core *core, uint32_t index, bool moved)
{
    struct actor *actor = head_actor(core, index);
    bool lasted = actor->state == RTCI_ACTOR_ALIVE &&
                  core->now_ns - actor->since_ns >= RTCI_ACTOR_BACKOFF_MAX_NS;
    actor->ends = 0;
    actor->restarts += !moved;
    actor->failures = moved || lasted ? !moved : actor->failures + 1;
    head_cancel_children(core, index, RTCI_CANCEL_FORCE);
    head_move(core, index, RTCI_TASK_RETRYING);
    move(core, index, RTCI_ACTOR_RESTARTING);
    head_j_actor(core, actor);
    head_actor_tell(core, index);
    if (moved)
        head_make_ready(core, index, true);
    else
        head_actor_due(core, index, core->now_ns + backoff(actor->failures));
}

void head_actor_lost(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause)
{
    struct actor *actor = head_actor(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(head_entry(core, index)->spec);
    if (actor->state != RTCI_ACTOR_STARTING && actor->state != RTCI_ACTOR_ALIVE)
        return;
    leave_slot(core, index, false);
    bool wanted = actor->ends & (AE_STOP | AE_KILL);
    struct rtci_cause end = wanted ? actor->cause : *cause;
    if (wanted) { /* by whom stands there; how it went is added */
        end.exit_status = cause->exit_status;
        end.signal = cause->signal;
        end.pid = cause->pid;
        end.node = cause->node;
    }
    bool again = options->max_restarts < 0 || actor->restarts < (uint32_t)options->max_restarts;
    if (actor->ends & (AE_STOP | AE_NO_RESTART) || (!again && !(actor->ends & AE_MOVE))) {
        head_actor_dies(core, index, &end);
        return;
    }
    actor->cause = end;
    restart(core, index, actor->ends & AE_MOVE);
}

static bool is_detached(const struct entry *entry)
{
    return rtci_spec_options(entry->spec)->flags & RTCI_ACTOR_DETACHED;
}

void head_actor_dies(struct rtci_head_core *core, uint32_t index, const struct rtci_cause *cause)
{
    struct entry *entry = head_entry(core, index);
    struct actor *actor = head_actor(core, index);
    if (actor->state == RTCI_ACTOR_DEAD)
        return;
    actor->cause = *cause;
    if (entry->state == RTCI_TASK_READY)
        head_ready_remove(core, index);
    leave_slot(core, index, true);
    head_move(core, index, RTCI_TASK_FAILED);
    move(core, index, RTCI_ACTOR_DEAD);
    actor->ends = 0;
    core->stats.actors--;
    head_entry(core, index)->pins++; /* of this function */
    if (entry->flags & EF_PINNED_DEPS) {
        entry->flags &= (uint16_t)~EF_PINNED_DEPS;
        head_unpin(core, rtci_spec_refs(entry->spec), entry->spec->n_refs);
    }
    head_cancel_children(core, index, RTCI_CANCEL_FORCE);
    head_children_leave(core, index);
    head_actor_name_drop(core, index);
    if (!core->replaying && rtci_spec_options(entry->spec)->flags & RTCI_ACTOR_SAVES)
        head_kv_forget_actor(core, (struct rtci_id){entry->seq, entry->client, 0});
    head_j_actor(core, head_actor(core, index));
    head_actor_tell(core, index);
    head_monitors_fire(core, index);
    head_links_end(core, index);
    uint32_t job = head_actor(core, index)->job;
    entry = head_entry(core, index);
    if (is_detached(entry) && job && core->jobs[job].origin)
        head_job_end(core, job);
    head_entry(core, index)->pins--;
    head_entry_try_free(core, index);
}

void head_actor_fails(struct rtci_head_core *core, uint32_t index, const struct rtci_fail *fail,
                      const char *text)
{
    struct rtci_cause cause;
    bool early = fail->code == RTC_E_INFEASIBLE;
    head_cause(&cause, early ? RTCI_CAUSE_START : RTCI_CAUSE_CONSTRUCTOR, fail->code, text);
    cause.user_code = fail->user_code;
    head_actor_dies(core, index, &cause);
}

/* ---- Handles ---- */

/* Nobody has a handle: a dead one may go. One that lives is told to stop, by the next tick: a
 * handle may be dropped in the middle of anything. */
bool head_actor_unused(struct rtci_head_core *core, uint32_t index)
{
    const struct entry *entry = head_entry(core, index);
    struct actor *actor = head_actor(core, index);
    if (entry->holds || entry->pins || entry->ext)
        return false;
    if (actor->state == RTCI_ACTOR_DEAD)
        return true;
    if (!is_detached(entry) && !actor->idle) {
        HEAD_GROW(core->actors_idle, core->cap_actors_idle, core->n_actors_idle);
        core->actors_idle[core->n_actors_idle++] = entry->parent;
        actor->idle = true;
    }
    return false;
}

/* With its entry. The lists by which timers find it are cleared as they are read. */
void head_actor_free(struct rtci_head_core *core, uint32_t index)
{
    uint32_t number = head_entry(core, index)->parent;
    struct actor *actor = &core->actors[number];
    free(actor->waits);
    bool idle = actor->idle, due = actor->due;
    *actor = (struct actor){.idle = idle, .due = due};
    if (!idle && !due) {
        actor->next_free = core->free_actor;
        core->free_actor = number;
    }
}

/* ---- Replay ---- */

/* What it was when this was written. One that had a place has it still, as far as is known. */
void head_actor_replay(struct rtci_head_core *core, uint32_t client, const struct jactor *at)
{
    uint32_t index = head_actor_find(core, (struct rtci_id){at->seq, client, 0});
    if (!index || at->state >= RTCI_ACTOR_STATE_COUNT || at->job >= core->n_jobs)
        return;
    struct actor *actor = head_actor(core, index);
    struct entry *entry = head_entry(core, index);
    if (actor->state == RTCI_ACTOR_DEAD || at->incarnation < entry->attempt)
        return; /* seen before */
    if (at->job)
        actor->job = at->job;
    actor->created_ns = at->created_ns;
    entry->attempt = at->incarnation;
    actor->restarts = at->restarts;
    actor->failures = at->failures;
    actor->node = at->node;
    actor->client = at->client;
    actor->pid = at->pid;
    actor->cause = at->cause;
    actor->cause.text[sizeof(actor->cause.text) - 1] = 0;
    if (actor->cause.kind >= RTCI_CAUSE_COUNT)
        actor->cause.kind = RTCI_CAUSE_UNKNOWN;
    if (at->named && !actor->named && !head_actor_name_holder(core, index))
        head_actor_name_take(core, index);
    if (at->state == RTCI_ACTOR_DEAD) {
        struct rtci_cause cause = actor->cause;
        head_actor_dies(core, index, &cause);
        return;
    }
    bool placed = at->state == RTCI_ACTOR_STARTING || at->state == RTCI_ACTOR_ALIVE;
    actor->ends = placed ? at->ends & (AE_STOP | AE_KILL | AE_NO_RESTART | AE_MOVE) : 0;
    if (entry->state == RTCI_TASK_READY && placed)
        head_ready_remove(core, index);
    entry->deps = placed ? 0 : entry->deps;
    actor->state = at->state;
    if (placed) {
        entry->state = at->state == RTCI_ACTOR_ALIVE ? RTCI_TASK_RUNNING : RTCI_TASK_LEASED;
        return;
    }
    if (entry->state == RTCI_TASK_LEASED || entry->state == RTCI_TASK_RUNNING) {
        entry->state = RTCI_TASK_RETRYING;
        head_make_ready(core, index, true);
    }
    if (entry->state == RTCI_TASK_WAITING)
        actor->state = RTCI_ACTOR_CREATED;
    else if (actor->state == RTCI_ACTOR_CREATED)
        actor->state = RTCI_ACTOR_PENDING;
}
