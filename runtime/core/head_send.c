/* A task on its way to a node: its spec, and the values of its arguments. */
#include "runtime/core/head_internal.h"

static uint32_t which(const struct entry *entry, struct rtci_id id)
{
    return entry->result && id.index < entry->result->n_returns ? id.index : 0;
}

/* The value of an argument as it stands in its producer's result. Which return: id.index. */
static const struct rtci_resolved *value_of(struct rtci_head_core *core, struct rtci_id id,
                                            struct rtci_resolved *ret_row, const char **ret_base)
{
    uint32_t index = head_find(core, id);
    if (!index)
        return NULL;
    struct entry *entry = head_entry(core, index);
    if (entry->put) {
        *ret_row =
            (struct rtci_resolved){entry->put->kind, entry->put->n_refs, entry->put->size, 0};
        ret_row->offset =
            entry->put->kind == RTCI_KIND_ARENA ? entry->put->offset : sizeof(*entry->put);
        *ret_base = (const char *)entry->put;
        return ret_row;
    }
    if (!entry->result || !entry->result->n_returns)
        return NULL;
    *ret_row = rtci_done_returns(entry->result)[which(entry, id)];
    *ret_base = (const char *)entry->result;
    return ret_row;
}

static size_t row_bytes(const struct rtci_resolved *row)
{
    if (row->kind != RTCI_KIND_INLINE && row->kind != RTCI_KIND_ERROR)
        return 0;
    return RTCI_ALIGN8(row->n_refs * sizeof(struct rtci_id) + row->size);
}

static size_t resolved_size(struct rtci_head_core *core, const struct rtci_spec *spec)
{
    size_t bytes = 0;
    struct rtci_resolved row;
    const char *base;
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        if (value_of(core, rtci_spec_refs(spec)[i], &row, &base) &&
            bytes + row_bytes(&row) <= RTCI_INLINE_DEPS_MAX)
            bytes += row_bytes(&row);
    }
    return bytes + spec->n_refs * sizeof(row);
}

static void write_resolved(struct rtci_head_core *core, struct rtci_spec *out, uint32_t node)
{
    size_t bytes = 0, at = rtci_spec_size(out) + out->n_refs * sizeof(struct rtci_resolved);
    struct rtci_resolved *rows = (struct rtci_resolved *)((char *)out + rtci_spec_size(out));
    const char *base;
    for (uint32_t i = 0; i < out->n_refs; i++) {
        struct rtci_resolved row = {.kind = RTCI_KIND_ABSENT};
        bool have = value_of(core, rtci_spec_refs(out)[i], &row, &base);
        size_t size = have ? row_bytes(&row) : 0;
        if (have && row.kind != RTCI_KIND_ARENA && bytes + size > RTCI_INLINE_DEPS_MAX) {
            row = (struct rtci_resolved){.kind = RTCI_KIND_ABSENT};
        } else if (have && size) {
            memcpy((char *)out + at, base + row.offset,
                   row.n_refs * sizeof(struct rtci_id) + row.size);
            row.offset = at;
            at += size;
            bytes += size;
        } else if (have && row.kind != RTCI_KIND_ARENA) {
            row.offset = at;
        } else if (have) {
            struct rtci_id id = rtci_spec_refs(out)[i];
            struct entry *entry = head_entry(core, head_find(core, id));
            row.n_refs = 0;
            ((struct rtci_id *)rtci_spec_refs(out))[i].index = which(entry, id);
            head_copies_row(core, entry, which(entry, id), node, &row);
        }
        rows[i] = row;
    }
}

/* What the node needs to know of the resources to set up an executor: see struct rtci_spec. */
static uint32_t profile(const struct cls *cls)
{
    uint32_t cpus = (cls->shape.cpu + 9999) / 10000, gpus = (cls->shape.gpu + 9999) / 10000;
    return (cpus ? cpus & 0xffff : 1) | (gpus & 0xffff) << 16;
}

void head_send_task(struct rtci_head_core *core, uint32_t number, uint32_t index)
{
    struct entry *entry = head_entry(core, index);
    struct slot *slot = &core->slots[number];
    const struct rtci_spec *spec = entry->spec;
    size_t size = rtci_spec_size(spec);
    size_t extra = spec->n_refs ? resolved_size(core, spec) : 0;
    head_ready_remove(core, index);
    head_move(core, index, RTCI_TASK_LEASED);
    head_slot_add(core, number, index);
    entry->attempt++;
    entry->started_ns = core->now_ns;
    bool actor = entry->kind == ENTRY_ACTOR;
    uint16_t type = actor ? RTCI_R_ACTOR_START : RTCI_R_TASK;
    if (RTCI_UNLIKELY(actor))
        head_actor_sent(core, index, number);
    else if (RTCI_UNLIKELY(head_last_attempt(entry)))
        head_j_attempt(core, entry);
    struct rtci_spec *out = head_out(core, slot->node, type, size + extra);
    if (!out)
        return; /* the node is going: node_down takes the task back */
    uint32_t whole = out->rec.size;
    memcpy(out, spec, size);
    out->rec = (struct rtci_rec){whole, type, 0};
    out->attempt = entry->attempt;
    out->slot = number;
    out->job = actor ? head_actor(core, index)->job : head_class(core, slot->cls)->job;
    out->deadline_ns = entry->deadline_ns;
    out->shape = profile(head_class(core, slot->cls));
    if (spec->n_refs)
        write_resolved(core, out, slot->node);
}
