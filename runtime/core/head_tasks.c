/* The task table: entries, states, dependencies, ends. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

struct entry *head_entry(struct rtci_head_core *core, uint32_t index)
{
    RTCI_ASSERT(index && index < core->n_entries);
    return &core->entries[index];
}

bool head_terminal(const struct entry *entry)
{
    return entry->state >= RTCI_TASK_DONE;
}

/* Where the page table says which entry has this sequence number; NULL when there is no page. */
static uint32_t *seq_at(struct client *client, uint64_t seq)
{
    uint64_t page = seq >> PAGE_SHIFT;
    if (page < client->first_page || page - client->first_page >= client->n_pages)
        return NULL;
    struct page *at = client->pages[page - client->first_page];
    return at ? &at->at[seq & (PAGE_SIZE - 1)] : NULL;
}

uint32_t head_find(struct rtci_head_core *core, struct rtci_id id)
{
    struct client *client = head_client(core, id.client);
    uint32_t *at = client ? seq_at(client, id.seq) : NULL;
    return at ? *at : 0;
}

static void seq_set(struct client *client, uint64_t seq, uint32_t index)
{
    uint64_t page = seq >> PAGE_SHIFT;
    if (!client->n_pages)
        client->first_page = page;
    if (page < client->first_page) { /* only after a replay out of order: rare */
        uint32_t shift = (uint32_t)(client->first_page - page);
        HEAD_GROW(client->pages, client->cap_pages, client->n_pages + shift);
        memmove(client->pages + shift, client->pages, client->n_pages * sizeof(void *));
        memset(client->pages, 0, shift * sizeof(void *));
        client->n_pages += shift;
        client->first_page = page;
    }
    uint32_t at = (uint32_t)(page - client->first_page);
    HEAD_GROW(client->pages, client->cap_pages, at);
    while (client->n_pages <= at)
        client->pages[client->n_pages++] = NULL;
    if (!client->pages[at]) {
        client->pages[at] = calloc(1, sizeof(struct page));
        RTCI_ASSERT(client->pages[at]);
    }
    client->pages[at]->at[seq & (PAGE_SIZE - 1)] = index;
    client->pages[at]->used++;
}

static void seq_clear(struct client *client, uint64_t seq)
{
    uint32_t *slot = seq_at(client, seq);
    RTCI_ASSERT(slot && *slot);
    *slot = 0;
    uint32_t at = (uint32_t)((seq >> PAGE_SHIFT) - client->first_page);
    if (--client->pages[at]->used)
        return;
    free(client->pages[at]);
    client->pages[at] = NULL;
    uint32_t lead = 0;
    while (lead < client->n_pages && !client->pages[lead])
        lead++;
    if (lead == client->n_pages || lead * 2 > client->n_pages) {
        memmove(client->pages, client->pages + lead, (client->n_pages - lead) * sizeof(void *));
        client->n_pages -= lead;
        client->first_page += lead;
    }
}

uint32_t head_entry_new(struct rtci_head_core *core, struct client *client, uint64_t seq, int kind)
{
    uint32_t index = core->free_entry;
    if (index) {
        core->free_entry = core->entries[index].next;
        core->entries[index] = (struct entry){.generation = core->entries[index].generation};
    } else {
        index = core->n_entries;
        HEAD_GROW(core->entries, core->cap_entries, index);
        core->n_entries++;
    }
    struct entry *entry = &core->entries[index];
    entry->seq = seq;
    entry->client = client->number;
    entry->kind = (uint8_t)kind;
    entry->submitted_ns = core->now_ns;
    seq_set(client, seq, index);
    if (kind == ENTRY_TASK)
        core->stats.tasks_alive++;
    else if (kind == ENTRY_PUT)
        core->stats.objects++;
    return index;
}

void head_free_copy(struct rtci_head_core *core, uint32_t node, struct rtci_id id)
{
    struct rtci_ids *out = head_out(core, node, RTCI_R_OBJECT_FREE, sizeof(*out) + sizeof(id));
    if (!out)
        return;
    out->n = 1;
    memcpy(out + 1, &id, sizeof(id));
}

/* An entry goes when nobody can ask for it any more. */
void head_entry_try_free(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    if (RTCI_UNLIKELY(entry->kind == ENTRY_ACTOR) && !head_actor_unused(core, index))
        return;
    if (!entry->kind || !head_terminal(entry) || entry->holds || entry->pins || entry->ext ||
        entry->flags & EF_UNDELIVERED)
        return;
    head_edges_free(core, &entry->edges);
    head_edges_free(core, &entry->ext_edges);
    if (entry->kind == ENTRY_TASK)
        core->stats.tasks_alive--;
    else if (entry->kind == ENTRY_PUT)
        core->stats.objects--;
    else
        head_actor_free(core, index);
    struct client *client = head_client(core, entry->client);
    seq_clear(client, entry->seq);
    head_copies_free(core, entry, client->node);
    head_pin_contained(core, index, false);
    entry = head_entry(core, index);
    if (entry->spec)
        core->stats.bytes_alive -= entry->spec->rec.size;
    if (entry->result)
        core->stats.bytes_alive -= entry->result->rec.size;
    if (entry->put)
        core->stats.bytes_alive -= entry->put->rec.size;
    free(entry->spec);
    free(entry->result);
    free(entry->put);
    *entry = (struct entry){.next = core->free_entry, .generation = entry->generation + 1};
    core->free_entry = index;
}

void head_move(struct rtci_head_core *core, uint32_t index, uint32_t state)
{
    static const uint32_t allowed[] = {
#define X(name, text, next) next,
        RTCI_TASK_STATE_MAP(X)
#undef X
    };
    struct entry *entry = head_entry(core, index);
    RTCI_ASSERT(allowed[entry->state] & (1u << state));
    if (core->actions && core->actions->trace_on)
        head_trace(core, "task %u:%llu %s -> %s", entry->client, (unsigned long long)entry->seq,
                   rtci_task_state_name(entry->state), rtci_task_state_name(state));
    entry->state = (uint8_t)state;
}

const char *head_function_name(struct rtci_head_core *core, const struct entry *entry, size_t *len)
{
    *len = 0;
    if (!entry->spec)
        return "";
    if (entry->spec->flags & RTCI_SPEC_NAMED) {
        *len = entry->spec->name_len;
        return rtci_spec_name(entry->spec);
    }
    if (entry->spec->flags & RTCI_SPEC_COMMAND) {
        *len = 7;
        return "command";
    }
    for (uint32_t i = 0; i < core->n_functions; i++) {
        if (core->functions[i].hash == entry->spec->function) {
            *len = strlen(core->functions[i].name);
            return core->functions[i].name;
        }
    }
    return "";
}

/* ---- Submit ---- */

static void link_parent(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    const struct rtci_spec *spec = entry->spec;
    if (!spec->parent_client || spec->flags & RTCI_SPEC_DETACHED)
        return;
    uint32_t parent = head_find(core, (struct rtci_id){spec->parent_seq, spec->parent_client, 0});
    if (!parent || head_terminal(head_entry(core, parent)))
        return;
    struct entry *up = head_entry(core, parent);
    entry->parent = parent;
    entry->sib_next = up->child;
    if (up->child)
        head_entry(core, up->child)->sib_prev = index;
    up->child = index;
    if (up->deadline_ns && (!entry->deadline_ns || up->deadline_ns < entry->deadline_ns))
        entry->deadline_ns = up->deadline_ns;
}

static void unlink_parent(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    if (!entry->parent)
        return;
    if (entry->sib_prev)
        head_entry(core, entry->sib_prev)->sib_next = entry->sib_next;
    else
        head_entry(core, entry->parent)->child = entry->sib_next;
    if (entry->sib_next)
        head_entry(core, entry->sib_next)->sib_prev = entry->sib_prev;
    entry->parent = entry->sib_next = entry->sib_prev = 0;
}

/* Whether the argument failed: then so does the task, with the story of the first failure. */
static const struct rtci_fail *failure_of(const struct entry *entry)
{
    if (!entry->result || !entry->result->status)
        return NULL;
    const struct rtci_resolved *ret = rtci_done_returns(entry->result);
    if (ret->kind != RTCI_KIND_ERROR)
        return NULL;
    return (const struct rtci_fail *)((const char *)entry->result + ret->offset);
}

void head_fail_dependant(struct rtci_head_core *core, uint32_t index, uint32_t dep)
{
    const struct rtci_fail *first = failure_of(head_entry(core, dep));
    char text[RTCI_ERROR_TEXT_MAX];
    if (!first) {
        int n =
            snprintf(text, sizeof(text), "it needed the value of %u:%llu, which is lost: ",
                     head_entry(core, dep)->client, (unsigned long long)head_entry(core, dep)->seq);
        head_copies_story(core, head_entry(core, dep), text + n, sizeof(text) - (size_t)n);
        head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_LOST, text);
        return;
    }
    const char *function = (const char *)(first + 1);
    if (first->code == RTC_E_DEPENDENCY)
        snprintf(text, sizeof(text), "%.*s", (int)first->text_len, function + first->function_len);
    else
        snprintf(text, sizeof(text), "it needed the result of '%.*s' (%u:%llu), which failed: %.*s",
                 (int)first->function_len, function, first->origin.client,
                 (unsigned long long)first->origin.seq, (int)first->text_len,
                 function + first->function_len);
    struct rtci_fail fail = *first;
    fail.code = RTC_E_DEPENDENCY;
    head_fail(core, index, RTCI_TASK_FAILED, &fail, text,
              function + first->function_len + first->text_len, first->log_len);
}

bool head_fail_if_lost(struct rtci_head_core *core, uint32_t index)
{
    const struct rtci_spec *spec = head_entry(core, index)->spec;
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        struct rtci_id id = rtci_spec_refs(spec)[i];
        uint32_t dep = head_find(core, id);
        if (!dep || !head_copies_lost(core, head_entry(core, dep), id.index))
            continue;
        head_fail_dependant(core, index, dep);
        return true;
    }
    return false;
}

void head_make_ready(struct rtci_head_core *core, uint32_t index, bool front)
{
    struct entry *entry = head_entry(core, index);
    if (RTCI_UNLIKELY(core->losses) && !core->replaying && entry->spec->n_refs &&
        head_fail_if_lost(core, index))
        return;
    if (entry->state != RTCI_TASK_READY)
        head_move(core, index, RTCI_TASK_READY);
    head_ready_push(core, index, front);
    if (RTCI_UNLIKELY(entry->kind == ENTRY_ACTOR))
        head_actor_ready(core, index, front);
}

/* Handles of actors go anywhere, and are there already. */
static void bad_ref(struct rtci_head_core *core, uint32_t index, bool foreign)
{
    if (head_entry(core, index)->kind != ENTRY_TASK)
        return;
    head_fail_simple(core, index, RTCI_TASK_FAILED, foreign ? RTC_E_FOREIGN : RTC_E_LOST,
                     foreign ? "an argument is a reference of another job; pass its value, or "
                               "publish it by name"
                             : "an argument refers to an object that does not exist (any more)");
}

uint32_t head_submit_refs(struct rtci_head_core *core, const struct client *client, uint32_t index,
                          bool *ret_bad)
{
    struct entry *entry = head_entry(core, index);
    const struct rtci_id *refs = rtci_spec_refs(entry->spec);
    uint32_t failed = 0, n = entry->spec->n_refs;
    head_pin(core, refs, n);
    entry->flags |= EF_PINNED_DEPS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dep = head_find(core, refs[i]);
        if (dep && head_entry(core, dep)->kind == ENTRY_ACTOR)
            continue;
        struct client *owner = head_client(core, refs[i].client);
        if (!dep && core->replaying)
            continue; /* it had been there: the task ended, or the object is lost with its host */
        if (!dep || !owner || owner->job != client->job) {
            *ret_bad = true;
            bad_ref(core, index, owner && owner->job != client->job);
            return 0;
        }
        struct entry *on = head_entry(core, dep);
        if (!head_terminal(on)) {
            entry->deps++;
            head_edge_add(core, &on->edges, EDGE_DEP, index);
        } else if (failure_of(on) && !failed) {
            failed = dep;
        }
    }
    return failed;
}

void head_submit(struct rtci_head_core *core, struct client *client, const struct rtci_spec *spec)
{
    if (spec->seq <= client->last_submit)
        return; /* seen before */
    if (!core->replaying && !core->jobs[client->job].alive)
        return; /* an executor that has not heard yet that its job ended */
    client->last_submit = spec->seq;
    if (spec->seq > client->last_seq)
        client->last_seq = spec->seq;
    head_j_record(core, client->number, &spec->rec);
    uint32_t index = head_entry_new(core, client, spec->seq, ENTRY_TASK);
    struct entry *entry = head_entry(core, index);
    size_t size = rtci_spec_size(spec);
    entry->spec = malloc(size);
    RTCI_ASSERT(entry->spec);
    memcpy(entry->spec, spec, size);
    entry->spec->client = client->number;
    entry->spec->rec.size = (uint32_t)size;
    entry->spec->rec.flags = 0;
    core->stats.bytes_alive += size;
    if (!entry->spec->n_returns)
        entry->spec->n_returns = 1;
    entry->holds = entry->spec->n_returns;
    entry->deadline_ns = spec->deadline_ns;
    bool shape_ok = spec->shape < client->n_shapes && client->shapes[spec->shape];
    entry->cls = shape_ok ? client->shapes[spec->shape] : 0;
    if (entry->cls && spec->flags & RTCI_SPEC_COMMAND)
        entry->cls = head_command_class(core, entry->cls);
    if (entry->cls && spec->flags & RTCI_SPEC_READY)
        entry->cls = head_ready_class(core, entry->cls);
    entry->state = RTCI_TASK_WAITING;
    link_parent(core, index);
    if (entry->deadline_ns)
        head_deadline_add(core, index);
    if (!shape_ok) {
        head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_PROTOCOL,
                         "its resource shape was never declared");
        return;
    }
    bool bad = false;
    uint32_t failed = head_submit_refs(core, client, index, &bad);
    if (bad)
        return;
    if (failed && !core->replaying)
        head_fail_dependant(core, index, failed);
    else if (!head_entry(core, index)->deps)
        head_make_ready(core, index, false);
}

/* ---- Ends ---- */

/* Children outlive a parent that ended well. */
void head_children_leave(struct rtci_head_core *core, uint32_t index)
{
    while (head_entry(core, index)->child)
        unlink_parent(core, head_entry(core, index)->child);
}

static void on_terminal(struct rtci_head_core *core, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    entry->ended_ns = core->now_ns;
    head_deadline_remove(core, index);
    head_ghost_stop(core, index);
    unlink_parent(core, index);
    if (entry->flags & EF_PINNED_DEPS) {
        entry->flags &= (uint16_t)~EF_PINNED_DEPS;
        head_unpin(core, rtci_spec_refs(entry->spec), entry->spec->n_refs);
        entry = head_entry(core, index);
    }
    head_children_leave(core, index);
    if (entry->state == RTCI_TASK_DONE) {
        core->stats.tasks_done_total++;
        core->jobs[head_client(core, entry->client)->job].done++;
    } else {
        core->stats.tasks_failed_total++;
        core->jobs[head_client(core, entry->client)->job].failed++;
    }
    entry->pins++; /* of this function: dependants that fail at once must not free it */
    head_push(core, index);
    uint32_t edges = head_entry(core, index)->edges;
    head_entry(core, index)->edges = 0;
    for (uint32_t at = edges; at; at = core->edges[at].next) {
        struct edge edge = core->edges[at];
        if (edge.kind == EDGE_WANT) {
            struct client *client = head_client(core, edge.who);
            if (client && client->alive && !core->replaying)
                head_push_to(core, client, index, false);
            continue;
        }
        struct entry *waiter = head_entry(core, edge.who);
        if (waiter->generation != edge.generation || !waiter->kind || waiter->kind == ENTRY_PUT ||
            waiter->state != RTCI_TASK_WAITING || !waiter->deps)
            continue;
        waiter->deps--;
        if (failure_of(head_entry(core, index)) && core->replaying)
            continue; /* how it ended is in the journal too */
        if (failure_of(head_entry(core, index)))
            head_fail_dependant(core, edge.who, index);
        else if (!waiter->deps)
            head_make_ready(core, edge.who, false);
    }
    head_edges_free(core, &edges);
    head_entry(core, index)->pins--;
    head_entry_try_free(core, index);
}

static void store_result(struct rtci_head_core *core, uint32_t index, const struct rtci_done *done)
{
    struct entry *entry = head_entry(core, index);
    RTCI_ASSERT(!entry->result);
    entry->result = malloc(done->rec.size);
    RTCI_ASSERT(entry->result);
    memcpy(entry->result, done, done->rec.size);
    entry->result->rec.type = RTCI_R_RESULT;
    entry->result->rec.flags = 0;
    core->stats.bytes_alive += done->rec.size;
    head_pin_contained(core, index, true);
}

void head_done(struct rtci_head_core *core, uint32_t index, const struct rtci_done *done,
               uint32_t node)
{
    struct entry *entry = head_entry(core, index);
    if (entry->kind != ENTRY_TASK || head_terminal(entry))
        return; /* the result was seen before: it stands */
    /* Of an attempt that was given up? After a restart the head does not know the last attempt of
     * what it has not placed again: leases are not journalled. */
    bool unplaced = !entry->slot && done->attempt > entry->attempt;
    bool ghost = head_ghost_is(entry, node, done->attempt);
    if (!core->replaying && entry->attempt != done->attempt && !unplaced && !ghost)
        return;
    if (unplaced)
        entry->attempt = done->attempt;
    if (!core->replaying && !done->attempt)
        return; /* of a task that never began: nonsense */
    bool stopped = done->status == RTC_E_CANCELLED;
    bool late =
        entry->flags & EF_DEADLINE || (entry->deadline_ns && entry->deadline_ns <= core->now_ns);
    if (stopped && late && !core->replaying) { /* its executor knows only that it was to stop */
        head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_DEADLINE,
                         "its deadline passed before it ended");
        return;
    }
    bool retry = done->status && !stopped && entry->spec->flags & RTCI_SPEC_RETRY_ON_ERROR &&
                 entry->state != RTCI_TASK_CANCELLING && !core->replaying &&
                 (entry->spec->retries < 0 || entry->failures < (uint32_t)entry->spec->retries);
    uint32_t slot = entry->slot;
    if (ghost)
        head_ghost_clear(core, index);
    if (ghost && done->status && !stopped && entry->spec->flags & RTCI_SPEC_RETRY_ON_ERROR &&
        entry->state != RTCI_TASK_CANCELLING)
        return;                                         /* its retry is under way */
    if (slot && node && core->slots[slot].node != node) /* another attempt was first */
        head_tell_cancel(core, index, slot, entry->attempt, 0);
    if (slot && done->run_ns) {
        struct cls *cls = core->classes[entry->cls - 1];
        cls->mean_ns = cls->mean_ns ? (cls->mean_ns * 7 + done->run_ns) / 8 : done->run_ns;
    }
    if (entry->state == RTCI_TASK_READY)
        head_ready_remove(core, index); /* requeued while its completion was on the way */
    head_slot_take(core, index);
    if (node && !retry)
        head_copies_home(core, index, node);
    if (retry) {
        if (entry->state != RTCI_TASK_READY)
            head_move(core, index, RTCI_TASK_RETRYING);
        entry->failures++;
        core->stats.tasks_retried_total++;
        head_cancel_children(core, index, 0);
        head_j_attempt(core, head_entry(core, index));
        head_make_ready(core, index, true);
    } else {
        bool cancelled = stopped || (entry->state == RTCI_TASK_CANCELLING && done->status);
        head_j_record(core, entry->client, &done->rec);
        store_result(core, index, done);
        entry = head_entry(core, index);
        entry->state =
            (uint8_t)(entry->state == RTCI_TASK_WAITING ? RTCI_TASK_READY : entry->state);
        head_move(core, index,
                  !done->status ? RTCI_TASK_DONE
                  : cancelled   ? RTCI_TASK_CANCELLED
                                : RTCI_TASK_FAILED);
        if (done->status)
            head_cancel_children(core, index, 0);
        on_terminal(core, index);
    }
    if (slot)
        head_slot_check(core, slot);
}

void head_fail(struct rtci_head_core *core, uint32_t index, uint32_t state,
               const struct rtci_fail *fail, const char *text, const char *log, size_t log_len)
{
    struct entry *entry = head_entry(core, index);
    RTCI_ASSERT(!head_terminal(entry));
    if (entry->kind == ENTRY_ACTOR) {
        head_actor_fails(core, index, fail, text);
        return;
    }
    size_t function_len, text_len = strlen(text);
    const char *function = head_function_name(core, entry, &function_len);
    if (log_len > RTCI_ERROR_LOG_MAX) {
        log += log_len - RTCI_ERROR_LOG_MAX;
        log_len = RTCI_ERROR_LOG_MAX;
    }
    if (text_len > RTCI_ERROR_TEXT_MAX)
        text_len = RTCI_ERROR_TEXT_MAX;
    if (function_len > RTCI_NAME_MAX)
        function_len = RTCI_NAME_MAX;
    size_t body = sizeof(*fail) + function_len + text_len + log_len;
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    size_t size = RTCI_ALIGN8(head + body);
    char *at = calloc(1, size);
    RTCI_ASSERT(at);
    struct rtci_done *done = (struct rtci_done *)at;
    *done = (struct rtci_done){.rec = {(uint32_t)size, RTCI_R_DONE, 0},
                               .seq = entry->seq,
                               .client = entry->client,
                               .attempt = entry->attempt,
                               .status = fail->code,
                               .n_returns = 1};
    struct rtci_resolved *ret = (struct rtci_resolved *)(done + 1);
    *ret = (struct rtci_resolved){.kind = RTCI_KIND_ERROR, .size = body, .offset = head};
    struct rtci_fail *out = (struct rtci_fail *)(at + head);
    *out = *fail;
    if (!out->origin.client)
        out->origin = (struct rtci_id){entry->seq, entry->client, 0};
    out->function_len = (uint16_t)function_len;
    out->text_len = (uint16_t)text_len;
    out->log_len = (uint16_t)log_len;
    out->attempts = (uint16_t)(entry->failures + 1);
    memcpy(out + 1, function, function_len);
    memcpy((char *)(out + 1) + function_len, text, text_len);
    if (log_len)
        memcpy((char *)(out + 1) + function_len + text_len, log, log_len);
    uint32_t slot = entry->slot;
    if (entry->state == RTCI_TASK_READY)
        head_ready_remove(core, index);
    head_slot_take(core, index);
    head_j_record(core, entry->client, &done->rec);
    store_result(core, index, done);
    free(at);
    head_move(core, index, state);
    head_cancel_children(core, index, 0);
    on_terminal(core, index);
    if (slot)
        head_slot_check(core, slot);
}

void head_fail_simple(struct rtci_head_core *core, uint32_t index, uint32_t state, int code,
                      const char *text)
{
    struct rtci_fail fail = {.code = code, .exit_status = -1};
    head_fail(core, index, state, &fail, text, NULL, 0);
}
