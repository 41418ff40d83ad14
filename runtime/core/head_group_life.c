/* Placement groups: creation, removal, lost nodes, replay. head_groups.c has what they are. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

static void refuse(struct rtci_head_core *core, const struct client *client, struct rtci_id id,
                   uint64_t request, int status, const char *text)
{
    struct rtci_group_is *out = head_out_client(core, client, RTCI_R_GROUP_IS, sizeof(*out));
    if (!out)
        return;
    memset((char *)out + sizeof(out->rec), 0, sizeof(*out) - sizeof(out->rec));
    out->request = request;
    out->id = id;
    out->status = status;
    out->state = RTCI_GROUP_REMOVED;
    snprintf(out->text, sizeof(out->text), "%s", text);
}

/* ---- Creation ---- */

static struct group *group_new(struct rtci_head_core *core, const struct client *client,
                               const struct rtci_group_create *rec)
{
    uint32_t number = core->free_group, customs = 0;
    if (number) {
        core->free_group = core->groups[number].next_free;
    } else {
        number = core->n_groups;
        HEAD_GROW(core->groups, core->cap_groups, number);
        core->n_groups++;
    }
    struct group *group = &core->groups[number];
    bool queued = group->queued; /* it may stand in the queue since it was another */
    *group = (struct group){.id = {rec->id.seq, client->number, 0},
                            .used = true,
                            .queued = queued,
                            .strategy = rec->strategy,
                            .job = client->job,
                            .n = rec->n_bundles,
                            .created_ns = core->now_ns};
    group->bundles = calloc(group->n, sizeof(*group->bundles));
    RTCI_ASSERT(group->bundles);
    const struct rtci_bundle *need = (const struct rtci_bundle *)(rec + 1);
    for (uint32_t i = 0; i < group->n; i++) {
        group->bundles[i].need = need[i];
        group->bundles[i].custom = customs;
        customs += need[i].n_custom;
    }
    group->custom = calloc(customs + 1, sizeof(*group->custom));
    group->custom_free = calloc(customs + 1, sizeof(*group->custom_free));
    RTCI_ASSERT(group->custom && group->custom_free);
    memcpy(group->custom, need + group->n, customs * sizeof(*group->custom));
    group->n_customs = customs;
    for (uint32_t i = 0; i < group->n; i++)
        head_group_reset(group, i);
    RTCI_ASSERT(rtci_map_set(&core->group_by_id, group->id.seq, group->id.client, number));
    core->stats.groups++;
    return group;
}

static const char *nonsense(const struct rtci_group_create *rec)
{
    const struct rtci_bundle *need = (const struct rtci_bundle *)(rec + 1);
    if (!rec->n_bundles)
        return "a placement group needs at least one bundle";
    for (uint32_t i = 0; i < rec->n_bundles; i++) {
        if (!need[i].cpu && !need[i].gpu && !need[i].mem && !need[i].gpu_mem && !need[i].n_custom)
            return "a bundle of a placement group asks for nothing";
    }
    return NULL;
}

void head_group_create(struct rtci_head_core *core, struct client *client,
                       const struct rtci_group_create *rec)
{
    struct rtci_group_remove where = {.request = rec->request,
                                      .id = {rec->id.seq, client->number, 0}};
    if (core->replaying ? head_group(core, where.id) != NULL : rec->id.seq <= client->last_seq) {
        head_group_where(core, client, &where); /* asked again */
        return;
    }
    if (!core->replaying && !core->jobs[client->job].alive)
        return;
    if (rec->id.seq > client->last_seq)
        client->last_seq = rec->id.seq;
    const char *wrong = nonsense(rec);
    if (wrong) {
        refuse(core, client, where.id, rec->request, RTC_E_INVALID, wrong);
        return;
    }
    head_j_record(core, client->number, &rec->rec);
    struct group *group = group_new(core, client, rec);
    head_group_queue(core, group);
    head_group_where(core, client, &where);
}

void head_group_where(struct rtci_head_core *core, struct client *client,
                      const struct rtci_group_remove *rec)
{
    struct group *group = head_group(core, rec->id);
    struct sub sub = {client->number, rec->request, 0};
    if (core->replaying)
        return;
    if (!group || group->state == RTCI_GROUP_REMOVED) {
        refuse(core, client, rec->id, rec->request, RTC_E_NOT_FOUND,
               "there is no such placement group (any more)");
        return;
    }
    if (group->state == RTCI_GROUP_READY) {
        head_group_answer(core, group, &sub, 0, false);
        return;
    }
    if (rec->flags & RTCI_WHERE_NOWAIT) {
        head_group_answer(core, group, &sub, 0, true);
        return;
    }
    for (uint32_t i = 0; i < group->n_waits; i++) {
        if (group->waits[i].client == sub.client && group->waits[i].request == sub.request)
            return;
    }
    HEAD_GROW(group->waits, group->cap_waits, group->n_waits);
    group->waits[group->n_waits++] = sub;
    if (group->noticed)
        head_group_answer(core, group, &sub, RTC_E_INFEASIBLE, false);
}

/* ---- Those who wait, as tasks ---- */

/* Its argument is its result. */
static void done_as_said(struct rtci_head_core *core, uint32_t index)
{
    const struct entry *entry = head_entry(core, index);
    const struct rtci_spec *spec = entry->spec;
    uint64_t value = spec->n_args == 1 && spec->n_returns == 1 ? rtci_spec_args(spec)[0].size : 0;
    if (!value || value > RTCI_INLINE_MAX || value > spec->data_size) {
        head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_PROTOCOL,
                         "it waits for a placement group, and says no value");
        return;
    }
    size_t head = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    size_t size = RTCI_ALIGN8(head + value);
    struct rtci_done *done = calloc(1, size);
    RTCI_ASSERT(done);
    *done = (struct rtci_done){.rec = {(uint32_t)size, RTCI_R_DONE, 0},
                               .seq = entry->seq,
                               .client = entry->client,
                               .attempt = entry->attempt + 1,
                               .n_returns = 1};
    struct rtci_resolved *row = (struct rtci_resolved *)(done + 1);
    *row = (struct rtci_resolved){.kind = RTCI_KIND_INLINE, .size = value, .offset = head};
    memcpy((char *)done + head, rtci_spec_data(spec), value);
    head_done(core, index, done, 0);
    free(done);
}

void head_group_ready_tasks(struct rtci_head_core *core, uint32_t number)
{
    struct group *group = head_group(core, head_class(core, number)->shape.group);
    char text[RTCI_ERROR_TEXT_MAX];
    if (group && group->state == RTCI_GROUP_PENDING && !group->noticed)
        return;
    if (group)
        head_group_why(core, group, text, sizeof(text));
    while (head_class(core, number)->n_ready) {
        uint32_t index = head_ready_first(head_class(core, number));
        if (group && group->state == RTCI_GROUP_READY)
            done_as_said(core, index);
        else if (group && group->state == RTCI_GROUP_PENDING)
            head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_INFEASIBLE, text);
        else
            head_fail_simple(core, index, RTCI_TASK_FAILED, RTC_E_CANCELLED,
                             "its placement group was removed");
    }
}

/* ---- Removal ---- */

static bool is_of(const struct cls *cls, struct rtci_id id)
{
    return cls->shape.group.client == id.client && cls->shape.group.seq == id.seq;
}

static void kill_inside(struct rtci_head_core *core, uint32_t slot)
{
    struct rtci_cause cause;
    head_cause(&cause, RTCI_CAUSE_GROUP, RTC_E_CANCELLED, "its placement group was removed");
    core->slots[slot].draining = true;
    for (uint32_t at = core->slots[slot].tail, before; at; at = before) {
        before = head_entry(core, at)->prev;
        if (head_entry(core, at)->kind == ENTRY_ACTOR)
            head_actor_kill(core, at, &cause, AE_NO_RESTART);
        else
            head_cancel(core, at, RTCI_CANCEL_FORCE);
    }
}

static void remove_group(struct rtci_head_core *core, struct group *group)
{
    struct rtci_id id = group->id;
    group->state = RTCI_GROUP_REMOVED;
    core->stats.groups--;
    head_trace(core, "group %u:%llu removed", id.client, (unsigned long long)id.seq);
    head_j_group(core, group);
    head_group_tell_all(core, group, RTC_E_CANCELLED);
    group->n_slots++; /* of this function */
    for (uint32_t c = 0; c < core->n_classes && core->group_classes; c++) {
        struct cls *cls = core->classes[c];
        if (!is_of(cls, id))
            continue;
        while (cls->n_ready) /* and what waits behind it */
            head_fail_simple(core, head_ready_first(cls), RTCI_TASK_FAILED, RTC_E_CANCELLED,
                             "its placement group was removed");
        for (uint32_t at = cls->slot_head, next; at; at = next) {
            next = core->slots[at].cls_next;
            head_unhungry(core, at);
            kill_inside(core, at);
            if (core->slots[at].used && !core->slots[at].inflight)
                head_slot_release(core, at, true);
        }
    }
    head_group_let_go(core, group);
}

void head_group_remove(struct rtci_head_core *core, struct client *client,
                       const struct rtci_group_remove *rec)
{
    struct group *group = head_group(core, rec->id);
    if (group && group->job != client->job) {
        refuse(core, client, rec->id, rec->request, RTC_E_FOREIGN,
               "the placement group is of another job");
        return;
    }
    refuse(core, client, rec->id, rec->request, 0, "");
    if (group && group->state != RTCI_GROUP_REMOVED)
        remove_group(core, group);
}

void head_groups_job_end(struct rtci_head_core *core, uint32_t job)
{
    for (uint32_t i = 1; i < core->n_groups && core->stats.groups; i++) {
        struct group *group = &core->groups[i];
        if (group->used && group->job == job && group->state != RTCI_GROUP_REMOVED)
            remove_group(core, group);
    }
}

/* ---- Nodes ---- */

/* It is lost, and what ran on it has left: its bundles are placed again. */
void head_groups_node_end(struct rtci_head_core *core, uint32_t number)
{
    for (uint32_t g = 1; g < core->n_groups; g++) {
        struct group *group = &core->groups[g];
        bool lost = false;
        for (uint32_t i = 0; i < group->n; i++) {
            if (group->bundles[i].node != number)
                continue;
            group->bundles[i].node = 0;
            head_group_reset(group, i);
            lost = true;
        }
        if (!lost || group->state == RTCI_GROUP_REMOVED)
            continue;
        group->state = RTCI_GROUP_PENDING;
        head_j_group(core, group);
        head_group_queue(core, group);
    }
}

/* The time of those who were there before the head was restarted is over. */
void head_groups_adrift(struct rtci_head_core *core)
{
    if (!core->groups_adrift || core->now_ns < core->hold_until_ns) {
        if (core->groups_adrift && core->hold_until_ns < core->actions->deadline_ns)
            core->actions->deadline_ns = core->hold_until_ns;
        return;
    }
    core->groups_adrift = false;
    for (uint32_t g = 1; g < core->n_groups; g++) {
        for (uint32_t i = 0; i < core->groups[g].n; i++) {
            uint32_t number = core->groups[g].bundles[i].node;
            if (number && (number >= core->n_nodes || core->nodes[number].state == RTCI_NODE_DEAD ||
                           !core->nodes[number].hello))
                head_groups_node_end(core, number);
        }
    }
}

/* ---- Replay ---- */

void head_group_replay(struct rtci_head_core *core, struct rtci_id id, uint32_t state,
                       const uint32_t *nodes, uint32_t n)
{
    struct group *group = head_group(core, id);
    if (!group || n != group->n || group->state == RTCI_GROUP_REMOVED)
        return;
    if (state == RTCI_GROUP_REMOVED) {
        remove_group(core, group);
        return;
    }
    bool all = true;
    for (uint32_t i = 0; i < n; i++) {
        group->bundles[i].node = nodes[i] <= RTCI_NODES_MAX ? nodes[i] : 0;
        all &= group->bundles[i].node != 0;
    }
    group->state = all ? RTCI_GROUP_READY : RTCI_GROUP_PENDING;
    if (!all)
        head_group_queue(core, group);
    core->groups_adrift = true;
}

void head_groups_fini(struct rtci_head_core *core)
{
    for (uint32_t i = 0; i < core->n_groups; i++) {
        free(core->groups[i].bundles);
        free(core->groups[i].custom);
        free(core->groups[i].custom_free);
        free(core->groups[i].waits);
    }
    rtci_map_fini(&core->group_by_id);
    free(core->groups);
    free(core->group_queue);
}

/* ---- For people ---- */

int head_group_why_not(const struct group *group, const struct cls *cls, char *text, size_t size)
{
    const struct rtci_shape *shape = &cls->shape;
    unsigned long long seq = group->id.seq;
    if (shape->group.index != RTCI_ANY_BUNDLE && shape->group.index >= group->n)
        return snprintf(text, size,
                        "placement group %u:%llu has %u bundles, counted from 0: there is no "
                        "bundle %u",
                        group->id.client, seq, group->n, shape->group.index);
    if (shape->group.index == RTCI_ANY_BUNDLE && group->n > 1)
        return snprintf(text, size,
                        "it needs %g cpu, %g gpu, and what else it asks for; none of the %u "
                        "bundles of placement group %u:%llu has them",
                        shape->cpu / 1e4, shape->gpu / 1e4, group->n, group->id.client, seq);
    uint32_t at = shape->group.index == RTCI_ANY_BUNDLE ? 0 : shape->group.index;
    const struct rtci_bundle *has = &group->bundles[at].need;
    return snprintf(text, size,
                    "it needs %g cpu, %g gpu, and what else it asks for; bundle %u of placement "
                    "group %u:%llu has %g cpu, %g gpu: ask for less, or for larger bundles",
                    shape->cpu / 1e4, shape->gpu / 1e4, at, group->id.client, seq, has->cpu / 1e4,
                    has->gpu / 1e4);
}

void head_group_row(struct rtci_head_core *core, uint32_t number, struct rtci_row_group *row)
{
    const struct group *group = &core->groups[number];
    memset(row, 0, sizeof(*row));
    row->id = group->id;
    row->job = group->job;
    row->state = group->state;
    row->strategy = group->strategy;
    row->bundles = group->n;
    row->slots = group->n_slots;
    row->created_ns = group->created_ns;
    for (uint32_t i = 0; i < group->n; i++)
        row->placed += group->bundles[i].node != 0;
    head_group_why(core, group, row->why, sizeof(row->why));
}
