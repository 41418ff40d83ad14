/* Copies of objects that lie on other nodes, and the records that wait for them.
 *
 * A RESULT or TASK with rows of kind REMOTE is parked until all that it needs is here: each thing
 * missing is a pull, on which any number of records wait. A pull waits in the queue until the arena
 * has room, then the loop fetches it (RTCI_NA_PULL) and says how that ended. When a pull fails the
 * head hears of it first, and then is asked again: WANT for a result, RETURNED for a task.
 *
 * Invariants: a pull stands in pull_by_id; it has an entry in the arena, in state 1 without an
 * owner, or stands in the queue. `missing` of a parked record counts its waits; one that nobody
 * wants any more has no bytes and goes with its last wait. A parked task is marked so in its slot.
 */
#include <stdlib.h>

#include "runtime/core/node.h"

static bool is_spec(const struct rtci_rec *rec)
{
    return rec->type == RTCI_R_TASK || rec->type == RTCI_R_ACTOR_START;
}

static uint64_t key_b(struct rtci_id id)
{
    return (uint64_t)id.client << 32 | id.index;
}

/* ---- Rows ---- */

static struct rtci_resolved *rows_of(const struct rtci_rec *rec, uint32_t *ret_n)
{
    const void *at = rec;
    const struct rtci_spec *spec = at;
    const struct rtci_done *done = at;
    *ret_n = is_spec(rec) ? spec->n_refs : done->n_returns;
    return (struct rtci_resolved *)(is_spec(rec) ? rtci_task_resolved(spec)
                                                 : rtci_done_returns(done));
}

static struct rtci_id row_id(const struct rtci_rec *rec, uint32_t i)
{
    const void *at = rec;
    const struct rtci_done *done = at;
    return is_spec(rec) ? rtci_spec_refs(at)[i] : (struct rtci_id){done->seq, done->client, i};
}

bool node_has_remote(const struct rtci_rec *rec)
{
    uint32_t n;
    const struct rtci_resolved *rows = rows_of(rec, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].kind == RTCI_KIND_REMOTE)
            return true;
    }
    return false;
}

/* ---- Tables ---- */

static uint32_t pull_find(const struct rtci_node_core *core, struct rtci_id id)
{
    const uint32_t *known = rtci_map_find(&core->pull_by_id, id.seq, key_b(id));
    return known ? *known : 0;
}

static uint32_t pull_of(struct rtci_node_core *core, struct rtci_id id,
                        const struct rtci_resolved *row)
{
    uint32_t index = pull_find(core, id);
    if (index)
        return index;
    index = core->free_pull;
    if (index) {
        core->free_pull = core->pulls[index].next_free;
    } else {
        NODE_GROW(core->pulls, core->cap_pulls, core->n_pulls);
        index = core->n_pulls++;
    }
    core->pulls[index] =
        (struct pull){.id = id, .used = true, .size = row->size, .source = (uint32_t)row->offset};
    node_map_set(&core->pull_by_id, id.seq, key_b(id), index);
    NODE_GROW(core->pull_queue, core->cap_pull_queue, core->n_pull_queue);
    core->pull_queue[core->n_pull_queue++] = index;
    core->pull_retry = true;
    return index;
}

static void wait_add(struct rtci_node_core *core, uint32_t pull, uint32_t parked)
{
    uint32_t index = core->free_wait;
    if (index) {
        core->free_wait = core->waits[index].next;
    } else {
        NODE_GROW(core->waits, core->cap_waits, core->n_waits);
        index = core->n_waits++;
    }
    core->waits[index] = (struct wait){.parked = parked, .next = core->pulls[pull].waits};
    core->pulls[pull].waits = index;
    core->parked[parked].missing++;
}

static uint32_t parked_new(struct rtci_node_core *core, const struct rtci_rec *rec)
{
    uint32_t index = core->free_parked;
    if (index) {
        core->free_parked = core->parked[index].next_free;
    } else {
        NODE_GROW(core->parked, core->cap_parked, core->n_parked);
        index = core->n_parked++;
    }
    struct rtci_rec *copy = malloc(rec->size);
    RTCI_ASSERT(copy);
    memcpy(copy, rec, rec->size);
    core->parked[index] = (struct parked){.rec = copy};
    core->parked_alive++;
    return index;
}

/* Nobody wants it any more. */
static void parked_drop(struct rtci_node_core *core, uint32_t index)
{
    struct parked *parked = &core->parked[index];
    if (parked->rec)
        core->parked_alive--;
    free(parked->rec);
    parked->rec = NULL;
    if (parked->missing)
        return;
    *parked = (struct parked){.next_free = core->free_parked};
    core->free_parked = index;
}

/* ---- Parking ---- */

static void deliver(struct rtci_node_core *core, uint64_t now_ns, uint32_t index,
                    struct rtci_node_actions *actions)
{
    struct parked parked = core->parked[index];
    core->parked[index].rec = NULL;
    core->parked_alive--;
    parked_drop(core, index);
    if (parked.slot) {
        node_task_unpark(core, now_ns, (const struct rtci_spec *)parked.rec, actions);
    } else {
        uint32_t token = node_proc_number(core, parked.client);
        if (token) {
            void *at = rtci_buf_add(node_out(core, token, actions), parked.rec->size);
            RTCI_ASSERT(at);
            memcpy(at, parked.rec, parked.rec->size);
        }
    }
    free(parked.rec);
}

/* Starts the pulls of what is not here; when all is here, the record goes on. */
static void settle(struct rtci_node_core *core, uint64_t now_ns, uint32_t index,
                   struct rtci_node_actions *actions)
{
    struct rtci_rec *rec = core->parked[index].rec;
    uint32_t n;
    struct rtci_resolved *rows = rows_of(rec, &n);
    uint64_t offset, size;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].kind == RTCI_KIND_REMOTE &&
            !rtci_node_core_object(core, row_id(rec, i), &offset, &size))
            wait_add(core, pull_of(core, row_id(rec, i), &rows[i]), index);
    }
    if (core->parked[index].missing)
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].kind != RTCI_KIND_REMOTE)
            continue;
        RTCI_ASSERT(rtci_node_core_object(core, row_id(rec, i), &offset, &size));
        rows[i].kind = RTCI_KIND_ARENA;
        rows[i].offset = offset;
        rows[i].size = size;
    }
    deliver(core, now_ns, index, actions);
}

void node_park_result(struct rtci_node_core *core, uint64_t now_ns, uint32_t client,
                      const struct rtci_done *done, struct rtci_node_actions *actions)
{
    uint32_t index = parked_new(core, &done->rec);
    core->parked[index].client = client;
    settle(core, now_ns, index, actions);
}

void node_lazy_result(struct rtci_node_core *core, uint32_t token, const struct rtci_rec *rec,
                      struct rtci_node_actions *actions)
{
    struct rtci_rec *out = rtci_buf_add(node_out(core, token, actions), rec->size);
    RTCI_ASSERT(out);
    memcpy(out, rec, rec->size);
    uint32_t n;
    struct rtci_resolved *rows = rows_of(out, &n);
    uint64_t offset, size;
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].kind != RTCI_KIND_REMOTE ||
            !rtci_node_core_object(core, row_id(out, i), &offset, &size))
            continue;
        rows[i].kind = RTCI_KIND_ARENA;
        rows[i].offset = offset;
        rows[i].size = size;
    }
}

void node_park_task(struct rtci_node_core *core, uint64_t now_ns, const struct rtci_spec *spec,
                    struct rtci_node_actions *actions)
{
    uint32_t index = parked_new(core, &spec->rec);
    core->parked[index].slot = spec->slot;
    settle(core, now_ns, index, actions);
}

void node_parked_client_gone(struct rtci_node_core *core, uint32_t client)
{
    for (uint32_t i = 1; core->parked_alive && i < core->n_parked; i++) {
        if (core->parked[i].rec && core->parked[i].client == client)
            parked_drop(core, i);
    }
}

void node_parked_task_gone(struct rtci_node_core *core, uint32_t slot, const struct rtci_id *id)
{
    for (uint32_t i = 1; core->parked_alive && i < core->n_parked; i++) {
        const struct rtci_spec *spec = (const struct rtci_spec *)core->parked[i].rec;
        if (spec && core->parked[i].slot == slot &&
            (!id || (spec->seq == id->seq && spec->client == id->client)))
            parked_drop(core, i);
    }
}

/* ---- Ends ---- */

static void tell_too_large(struct rtci_node_core *core, uint32_t token, struct rtci_id id,
                           struct rtci_node_actions *actions)
{
    static const char text[] = "the object is larger than the whole object store of this node";
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    size_t body = sizeof(struct rtci_fail) + sizeof(text) - 1;
    struct rtci_done *out = node_tell(core, token, RTCI_R_RESULT, head + body, actions);
    out->seq = id.seq;
    out->client = id.client;
    out->status = RTC_E_TOO_LARGE;
    out->n_returns = 1;
    struct rtci_resolved *row = (struct rtci_resolved *)(out + 1);
    *row = (struct rtci_resolved){.kind = RTCI_KIND_ERROR, .size = body, .offset = head};
    struct rtci_fail *fail = (struct rtci_fail *)(row + 1);
    *fail = (struct rtci_fail){
        .code = RTC_E_TOO_LARGE, .exit_status = -1, .origin = id, .text_len = sizeof(text) - 1};
    memcpy(fail + 1, text, sizeof(text) - 1);
}

/* Of what it waited for, something is not to be had: the head decides anew. */
static void give_up(struct rtci_node_core *core, uint32_t index, int status,
                    struct rtci_node_actions *actions)
{
    struct parked *parked = &core->parked[index];
    const void *at = parked->rec;
    if (parked->slot) {
        node_task_return(core, at, actions);
        parked_drop(core, index);
        return;
    }
    const struct rtci_done *done = at;
    struct rtci_id id = {done->seq, done->client, 0};
    uint32_t client = parked->client, token = node_proc_number(core, client);
    uint64_t bytes = parked->rec->size;
    parked_drop(core, index);
    if (!token)
        return;
    if (status == RTC_E_TOO_LARGE) {
        tell_too_large(core, token, id, actions);
    } else {
        size_t size = sizeof(struct rtci_ids) + sizeof(id);
        struct rtci_wrap *wrap = node_say(actions, RTCI_R_FROM_CLIENT, sizeof(*wrap) + size);
        wrap->client = client;
        struct rtci_ids *want = (struct rtci_ids *)(wrap + 1);
        *want = (struct rtci_ids){{(uint32_t)size, RTCI_R_WANT, 0}, 1, 0};
        memcpy(want + 1, &id, sizeof(id));
    }
    rtci_node_core_client_read(core, token, bytes, actions); /* it never comes to the ring */
}

static void pull_end(struct rtci_node_core *core, uint64_t now_ns, uint32_t index, int status,
                     struct rtci_node_actions *actions)
{
    struct pull pull = core->pulls[index];
    rtci_map_remove(&core->pull_by_id, pull.id.seq, key_b(pull.id));
    core->pulls[index] = (struct pull){.next_free = core->free_pull};
    core->free_pull = index;
    for (uint32_t at = pull.waits, next; at; at = next) {
        next = core->waits[at].next;
        uint32_t parked = core->waits[at].parked;
        core->waits[at] = (struct wait){.next = core->free_wait};
        core->free_wait = at;
        core->parked[parked].missing--;
        if (!core->parked[parked].rec)
            parked_drop(core, parked);
        else if (status)
            give_up(core, parked, status, actions);
        else if (!core->parked[parked].missing)
            settle(core, now_ns, parked, actions);
    }
}

static void say_failed(const struct pull *pull, int code, struct rtci_node_actions *actions)
{
    struct rtci_cancel *failed = node_say(actions, RTCI_R_PULL_FAILED, sizeof(*failed));
    failed->id = pull->id;
    failed->slot = pull->source;
    failed->mode = (uint32_t)-code;
}

/* ---- Room ---- */

static bool is_wanted(const struct rtci_node_core *core, const struct pull *pull)
{
    uint32_t at = pull->waits;
    while (at && !core->parked[core->waits[at].parked].rec)
        at = core->waits[at].next;
    return at != 0;
}

/* True when the pull need not stand in the queue any more. */
static bool place(struct rtci_node_core *core, uint64_t now_ns, uint32_t index,
                  struct rtci_node_actions *actions)
{
    struct pull *pull = &core->pulls[index];
    uint64_t offset, size;
    bool here = rtci_node_core_object(core, pull->id, &offset, &size);
    if (here || !is_wanted(core, pull)) {
        pull_end(core, now_ns, index, here ? 0 : RTC_E_CANCELLED, actions);
        return true;
    }
    uint32_t entry;
    int status = node_arena_reserve(core, now_ns, pull->id, pull->size, &entry, actions);
    if (status == RTC_E_STORE_FULL)
        return false;
    if (status) {
        say_failed(pull, status, actions);
        pull_end(core, now_ns, index, status, actions);
        return true;
    }
    core->arena.objects[entry].pull = index;
    pull->entry = entry + 1;
    struct rtci_node_action *act = node_act(actions, RTCI_NA_PULL, 0);
    act->id = pull->id;
    act->offset = core->arena.entries[entry].offset;
    act->size = pull->size;
    act->source = pull->source;
    return true;
}

void node_pull_place(struct rtci_node_core *core, uint64_t now_ns,
                     struct rtci_node_actions *actions)
{
    while (core->pull_retry) {
        core->pull_retry = false;
        uint32_t n = core->n_pull_queue, kept = 0;
        for (uint32_t i = 0; i < n; i++) { /* what ends here may begin others, behind these */
            if (core->pull_queue[i] && place(core, now_ns, core->pull_queue[i], actions))
                core->pull_queue[i] = 0;
        }
        for (uint32_t i = 0; i < core->n_pull_queue; i++) {
            if (core->pull_queue[i])
                core->pull_queue[kept++] = core->pull_queue[i];
        }
        core->n_pull_queue = kept;
    }
}

void rtci_node_core_pulled(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                           int status, struct rtci_node_actions *actions)
{
    uint32_t index = pull_find(core, id);
    struct pull *pull = &core->pulls[index];
    if (!index || !pull->entry)
        return;
    uint32_t entry = pull->entry - 1;
    core->arena.objects[entry].pull = 0;
    if (status == 0 && !pull->stopping) {
        node_arena_seal(core, entry, actions);
        node_say_ids(actions, RTCI_R_PULLED, &id, 1);
    } else {
        if (!pull->stopping)
            say_failed(pull, status == RTC_E_TIMEOUT ? status : 0, actions);
        status = pull->stopping || !status ? RTC_E_CANCELLED : RTC_E_LOST;
        node_arena_free(core, entry, actions);
    }
    pull_end(core, now_ns, index, status, actions);
    node_pull_place(core, now_ns, actions);
    node_deadline(core, actions);
}

/* The head deletes the object. The loop may be writing it: then it goes when the loop has stopped.
 * False when it is no pull. */
bool node_pull_stop(struct rtci_node_core *core, uint64_t now_ns, struct rtci_id id,
                    struct rtci_node_actions *actions)
{
    uint32_t index = pull_find(core, id);
    if (!index)
        return false;
    struct pull *pull = &core->pulls[index];
    if (!pull->entry) {
        for (uint32_t i = 0; i < core->n_pull_queue; i++) {
            if (core->pull_queue[i] == index)
                core->pull_queue[i] = 0;
        }
        pull_end(core, now_ns, index, RTC_E_CANCELLED, actions);
        return false; /* some process here may be writing one of that name */
    }
    if (!pull->stopping)
        node_act(actions, RTCI_NA_PULL_STOP, 0)->id = id;
    pull->stopping = true;
    return true;
}

void node_pull_fini(struct rtci_node_core *core)
{
    for (uint32_t i = 1; i < core->n_parked; i++)
        free(core->parked[i].rec);
    free(core->parked);
    free(core->pulls);
    free(core->waits);
    free(core->pull_queue);
    rtci_map_fini(&core->pull_by_id);
}

void node_pull_check(const struct rtci_node_core *core)
{
    uint32_t pulls = 0, missing = 0, alive = 0, placed = 0, queued = 0;
    for (uint32_t i = 1; i < core->n_pulls; i++) {
        const struct pull *pull = &core->pulls[i];
        if (!pull->used)
            continue;
        pulls++;
        RTCI_ASSERT(pull_find(core, pull->id) == i);
        placed += pull->entry != 0;
        if (pull->entry) {
            const struct rtci_arena_entry *entry = &core->arena.entries[pull->entry - 1];
            RTCI_ASSERT(entry->state == 1 && rtci_id_equal(entry->id, pull->id));
            RTCI_ASSERT(core->arena.objects[pull->entry - 1].pull == i);
        }
        for (uint32_t at = pull->waits; at; at = core->waits[at].next)
            missing++;
    }
    for (uint32_t i = 0; i < core->n_pull_queue; i++) {
        queued += core->pull_queue[i] != 0;
        RTCI_IMPLIES(core->pull_queue[i], core->pulls[core->pull_queue[i]].used);
    }
    RTCI_ASSERT(pulls == core->pull_by_id.n && queued == pulls - placed);
    for (uint32_t i = 1; i < core->n_parked; i++) {
        const struct parked *parked = &core->parked[i];
        missing -= parked->missing;
        alive += parked->rec != NULL;
        RTCI_IMPLIES(parked->rec, parked->missing);
        if (!parked->rec || !parked->slot)
            continue;
        const struct rtci_spec *spec = (const struct rtci_spec *)parked->rec;
        RTCI_ASSERT(node_task_is_parked(core, spec));
    }
    RTCI_ASSERT(!missing && alive == core->parked_alive);
}
