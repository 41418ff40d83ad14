/* Where large objects lie, and what becomes of them when nodes go.
 *
 * The values of a task lie on the node that ran it, a put on the node of its process: its home, on
 * which alone the offset in its row means something. Copies are edges in `copies` of the entry, one
 * for each return and node. After a restart of the head the homes of results are not known until
 * their nodes have told what they hold: what they tell are copies too, and a node finds its own by
 * the id. A value is lost when no living node has it; that is found when it is asked for, so a node
 * that comes back late makes it whole again. One that comes back with a new session was not away.
 */
#include <stdio.h>

#include "runtime/core/head_internal.h"

/* One that begins a new session has what it had: it only has not said its hello yet. */
static bool is_alive(struct rtci_head_core *core, uint32_t number)
{
    const struct node *node = head_node(core, number);
    return number && node && node->state != RTCI_NODE_DEAD && node->known;
}

static uint32_t *copy_find(struct rtci_head_core *core, struct entry *entry, uint32_t kind,
                           uint32_t node, uint32_t ret)
{
    uint32_t *at = &entry->copies;
    while (*at && (core->edges[*at].kind != kind || core->edges[*at].who != node ||
                   core->edges[*at].generation != ret))
        at = &core->edges[*at].next;
    return at;
}

static void copy_add(struct rtci_head_core *core, uint32_t index, uint32_t kind, uint32_t node,
                     uint32_t ret)
{
    struct entry *entry = head_entry(core, index);
    if (*copy_find(core, entry, kind, node, ret))
        return;
    head_edge_add(core, &entry->copies, kind, node);
    core->edges[entry->copies].generation = ret;
}

static void edge_remove(struct rtci_head_core *core, uint32_t *at)
{
    uint32_t index = *at;
    *at = core->edges[index].next;
    core->edges[index] = (struct edge){.next = core->free_edge};
    core->free_edge = index;
}

static void copy_remove(struct rtci_head_core *core, struct entry *entry, uint32_t kind,
                        uint32_t node, uint32_t ret)
{
    uint32_t *at = copy_find(core, entry, kind, node, ret);
    if (*at)
        edge_remove(core, at);
}

/* The node that has the value at the offset of its row; 0 = none is known. */
static uint32_t home_of(struct rtci_head_core *core, struct entry *entry, uint32_t ret)
{
    if (!(entry->flags & EF_HOME) || *copy_find(core, entry, EDGE_GONE, entry->node, ret))
        return 0;
    return entry->node;
}

/* How many living nodes have the value; *ret_node is the one of them whose turn it is. */
static uint32_t holders(struct rtci_head_core *core, struct entry *entry, uint32_t ret,
                        uint32_t turn, uint32_t *ret_node)
{
    uint32_t n = 0, home = home_of(core, entry, ret);
    *ret_node = 0;
    if (is_alive(core, home) && n++ == turn)
        *ret_node = home;
    for (uint32_t at = entry->copies; at; at = core->edges[at].next) {
        const struct edge *edge = &core->edges[at];
        if (edge->kind == EDGE_COPY && edge->generation == ret && is_alive(core, edge->who) &&
            n++ == turn)
            *ret_node = edge->who;
    }
    return n;
}

static bool lies_on(struct rtci_head_core *core, struct entry *entry, uint32_t ret, uint32_t node)
{
    return home_of(core, entry, ret) == node || *copy_find(core, entry, EDGE_COPY, node, ret);
}

static uint32_t n_values(const struct entry *entry)
{
    return entry->put ? 1 : entry->result && !entry->result->status ? entry->result->n_returns : 0;
}

/* Size of a value that lies in an arena; false when it does not. */
static bool in_arena(const struct entry *entry, uint32_t ret, uint64_t *ret_size)
{
    if (ret >= n_values(entry))
        return false;
    *ret_size = entry->put ? entry->put->size : rtci_done_returns(entry->result)[ret].size;
    uint32_t kind = entry->put ? entry->put->kind : rtci_done_returns(entry->result)[ret].kind;
    return kind == RTCI_KIND_ARENA;
}

/* ---- What is told ---- */

void head_copies_row(struct rtci_head_core *core, struct entry *entry, uint32_t ret, uint32_t node,
                     struct rtci_resolved *row)
{
    if (RTCI_LIKELY(row->kind != RTCI_KIND_ARENA) || home_of(core, entry, ret) == node)
        return;
    uint32_t source = node, none;
    if (!lies_on(core, entry, ret, node)) {
        uint32_t n = holders(core, entry, ret, UINT32_MAX, &none);
        holders(core, entry, ret, n ? core->copy_turn++ % n : 0, &source);
    }
    row->kind = RTCI_KIND_REMOTE;
    row->offset = source ? source : node; /* which has not got it, and will say so */
}

bool head_copies_lost(struct rtci_head_core *core, struct entry *entry, uint32_t ret)
{
    uint64_t size;
    uint32_t none;
    return !core->recovering && in_arena(entry, ret, &size) &&
           !holders(core, entry, ret, UINT32_MAX, &none);
}

bool head_copies_any_lost(struct rtci_head_core *core, struct entry *entry)
{
    for (uint32_t i = 0; i < n_values(entry); i++) {
        if (head_copies_lost(core, entry, i))
            return true;
    }
    return false;
}

void head_copies_story(struct rtci_head_core *core, const struct entry *entry, char *text,
                       size_t size)
{
    const struct node *node = head_node(core, entry->node);
    if (!entry->node || !node)
        snprintf(text, size,
                 "the node on which the object lay has not come back since the head "
                 "was started again");
    else if (node->state == RTCI_NODE_DEAD)
        snprintf(text, size, "the object lay on node %u (%s), which was lost: %s", entry->node,
                 node->name, node->cause);
    else
        snprintf(text, size, "the object lay on node %u (%s), from which it could not be had",
                 entry->node, node->name);
}

/* Until all nodes have told what they hold, a result may wait for the one that has its value. */
bool head_copies_wait(struct rtci_head_core *core, const struct client *client, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    uint64_t size;
    uint32_t none;
    if (RTCI_LIKELY(!core->recovering))
        return false;
    for (uint32_t i = 0; i < n_values(entry); i++) {
        if (!in_arena(entry, i, &size) || holders(core, entry, i, UINT32_MAX, &none))
            continue;
        HEAD_GROW(core->late_results, core->cap_late_results, core->n_late_results);
        core->late_results[core->n_late_results++] =
            (struct late_result){client->number, index, entry->generation};
        return true;
    }
    return false;
}

uint64_t head_bytes_at(struct rtci_head_core *core, const struct rtci_spec *spec, uint32_t node)
{
    uint64_t bytes = 0, size;
    for (uint32_t i = 0; i < spec->n_refs && i < 64; i++) {
        struct rtci_id id = rtci_spec_refs(spec)[i];
        uint32_t index = head_find(core, id);
        struct entry *entry = index ? head_entry(core, index) : NULL;
        if (entry && in_arena(entry, id.index, &size) && lies_on(core, entry, id.index, node))
            bytes += size;
    }
    return bytes;
}

/* ---- What changes ---- */

void head_copies_home(struct rtci_head_core *core, uint32_t index, uint32_t node)
{
    struct entry *entry = head_entry(core, index);
    entry->node = node;
    entry->flags |= EF_HOME;
    /* What another attempt left elsewhere is of no use: its size may be another. */
    while (entry->copies) {
        struct edge edge = core->edges[entry->copies];
        edge_remove(core, &entry->copies);
        if (edge.who != node)
            head_free_copy(core, edge.who,
                           (struct rtci_id){entry->seq, entry->client, edge.generation});
    }
}

/* Large values of a completion that came second are of no use, unless they are those of the first.
 * Where these lie is not known after a restart, but of which attempt they are; and a node has one
 * value of an id, so that what it told of may be the first's. */
bool head_copies_second(struct rtci_head_core *core, struct entry *entry, uint32_t node,
                        const struct rtci_done *done)
{
    if (entry->result->status || entry->flags & EF_HOME)
        return entry->result->status || entry->node != node;
    bool told = false;
    for (uint32_t i = 0; i < n_values(entry); i++)
        told |= lies_on(core, entry, i, node);
    return !told && done->attempt != entry->result->attempt;
}

/* Every node that has values of the entry deletes them. `node`: if nothing is known of a home. */
void head_copies_free(struct rtci_head_core *core, struct entry *entry, uint32_t node)
{
    uint64_t size;
    for (uint32_t i = 0; i < n_values(entry); i++) {
        if (in_arena(entry, i, &size))
            head_free_copy(core, entry->node ? entry->node : node,
                           (struct rtci_id){entry->seq, entry->client, i});
    }
    while (entry->copies) {
        struct edge edge = core->edges[entry->copies];
        edge_remove(core, &entry->copies);
        if (edge.who != entry->node)
            head_free_copy(core, edge.who,
                           (struct rtci_id){entry->seq, entry->client, edge.generation});
    }
}

void head_copies_held(struct rtci_head_core *core, uint32_t node, struct rtci_id id)
{
    uint32_t index = head_find(core, id);
    if (!index)
        return;
    struct entry *entry = head_entry(core, index);
    if (!entry->node)
        entry->node = node; /* the first that has a part of it: for those who look */
    copy_remove(core, entry, EDGE_GONE, node, id.index);
    if (!(entry->flags & EF_HOME) || entry->node != node)
        copy_add(core, index, EDGE_COPY, node, id.index);
}

void head_copies_drop(struct rtci_head_core *core, uint32_t node, struct rtci_id id)
{
    uint32_t index = head_find(core, id);
    if (index)
        copy_remove(core, head_entry(core, index), EDGE_COPY, node, id.index);
}

void head_pulled(struct rtci_head_core *core, uint32_t node, const struct rtci_ids *ids)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = head_find(core, id[i]);
        struct entry *entry = index ? head_entry(core, index) : NULL;
        uint64_t size;
        if (!entry || (head_terminal(entry) && !in_arena(entry, id[i].index, &size)))
            head_free_copy(core, node, id[i]); /* released while it was on its way */
        else if (head_terminal(entry))
            head_copies_held(core, node, id[i]);
    }
}

/* Fails what is ready to run and needs a value that is lost. What runs or waits on a node has its
 * own copy of it, or comes back. */
static void sweep(struct rtci_head_core *core)
{
    core->losses = true;
    for (uint32_t i = 1; i < core->n_entries; i++) {
        const struct entry *entry = &core->entries[i];
        if (entry->kind && entry->kind != ENTRY_PUT && entry->state == RTCI_TASK_READY &&
            entry->spec->n_refs)
            head_fail_if_lost(core, i);
    }
}

/* It fits into no arena of that node: a task there would be given back and sent again for ever. */
static void too_large(struct rtci_head_core *core, uint32_t number, struct rtci_id id, int code)
{
    char text[160];
    snprintf(text, sizeof(text),
             "an argument (%u:%llu) is larger than the whole object store of node %u (%s)",
             id.client, (unsigned long long)id.seq, number, core->nodes[number].name);
    for (uint32_t i = 1; i < core->n_entries; i++) {
        const struct entry *entry = &core->entries[i];
        if (!entry->kind || entry->kind == ENTRY_PUT || !entry->slot ||
            core->slots[entry->slot].node != number || entry->state != RTCI_TASK_LEASED)
            continue;
        uint32_t ref = 0;
        while (ref < entry->spec->n_refs && !rtci_id_equal(rtci_spec_refs(entry->spec)[ref], id))
            ref++;
        if (ref < entry->spec->n_refs)
            head_fail_simple(core, i, RTCI_TASK_FAILED, code, text);
    }
}

void head_pull_failed(struct rtci_head_core *core, uint32_t node, const struct rtci_cancel *rec)
{
    uint32_t index = head_find(core, rec->id);
    if (!index)
        return;
    if (rec->mode == (uint32_t)-RTC_E_TIMEOUT)
        return; /* it was silent: whether it is dead its session will tell */
    if (rec->mode) {
        too_large(core, node, rec->id, RTC_E_TOO_LARGE);
        return;
    }
    if (!rec->slot || !lies_on(core, head_entry(core, index), rec->id.index, rec->slot))
        return;
    copy_remove(core, head_entry(core, index), EDGE_COPY, rec->slot, rec->id.index);
    copy_add(core, index, EDGE_GONE, rec->slot, rec->id.index); /* it may be there all the same */
    core->losses = true;
    if (head_copies_lost(core, head_entry(core, index), rec->id.index))
        sweep(core);
}

void head_copies_end(struct rtci_head_core *core, uint32_t node)
{
    for (uint32_t i = 1; i < core->n_entries; i++) {
        uint32_t *at = &core->entries[i].copies;
        while (core->entries[i].kind && *at) {
            if (core->edges[*at].who == node)
                edge_remove(core, at);
            else
                at = &core->edges[*at].next;
        }
    }
    if (!core->recovering)
        sweep(core);
}

/* All nodes have told what they hold, or had the time to. */
void head_copies_settle(struct rtci_head_core *core)
{
    if (RTCI_LIKELY(core->settled) || core->recovering)
        return;
    core->settled = true;
    if (core->n_entries > 1)
        sweep(core);
    for (uint32_t i = 0; i < core->n_late_results; i++) {
        struct late_result late = core->late_results[i];
        struct client *client = head_client(core, late.client);
        if (head_entry(core, late.index)->generation == late.generation && client->alive)
            head_push_to(core, client, late.index, false);
    }
    core->n_late_results = 0;
}
