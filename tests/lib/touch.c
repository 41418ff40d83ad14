/* Reads everything that a checked record promises to hold: what ASan objects to here is a hole in
 * rtci_wire_check. */
#include <string.h>

#include "tests/lib/records.h"

static uint64_t sum(const void *data, uint64_t size)
{
    uint64_t total = 0;
    const uint8_t *bytes = data;
    for (uint64_t i = 0; i < size; i++)
        total += bytes[i];
    return total;
}

static uint64_t touch_row(const char *record, const struct rtci_resolved *row)
{
    if (row->kind == RTCI_KIND_INLINE)
        return sum(record + row->offset, row->n_refs * sizeof(struct rtci_id) + row->size);
    if (row->kind != RTCI_KIND_ERROR)
        return 0;
    const struct rtci_fail *fail = (const struct rtci_fail *)(record + row->offset);
    return sum(fail + 1, (uint64_t)fail->function_len + fail->text_len + fail->log_len);
}

static uint64_t touch_spec(const struct rtci_spec *spec)
{
    const uint8_t *data = rtci_spec_data(spec);
    uint64_t total = sum(rtci_spec_name(spec), spec->name_len);
    total += sum(rtci_spec_refs(spec), spec->n_refs * sizeof(struct rtci_id));
    for (uint32_t i = 0; i < spec->n_args; i++) {
        struct rtci_arg arg = rtci_spec_args(spec)[i];
        if (arg.size == RTCI_ARG_REF)
            total += rtci_spec_refs(spec)[arg.offset].seq;
        else
            total += sum(data + arg.offset, arg.size);
    }
    bool resolved = spec->rec.type == RTCI_R_TASK || spec->rec.type == RTCI_R_ACTOR_START;
    for (uint32_t i = 0; resolved && i < spec->n_refs; i++)
        total += touch_row((const char *)spec, &rtci_task_resolved(spec)[i]);
    return total;
}

uint64_t record_touch(const void *record)
{
    const struct rtci_rec *rec = record;
    uint64_t total = sum(record, rec->size);
    switch (rec->type) {
    case RTCI_R_SUBMIT:
    case RTCI_R_TASK: return total + touch_spec(record);
    case RTCI_R_ACTOR_CALL:
        return total + touch_spec(record) + rtci_spec_call(record)->actor.client;
    case RTCI_R_ACTOR_CREATE:
    case RTCI_R_ACTOR_START: {
        const struct rtci_actor_options *options = rtci_spec_options(record);
        return total + touch_spec(record) + sum(rtci_options_ns(options), options->ns_len) +
               sum(rtci_options_name(options), options->name_len);
    }
    case RTCI_R_ACTOR_IS: return total + strlen(((const struct rtci_actor_is *)record)->cause.text);
    case RTCI_R_ACTOR_DOWN:
        return total + strlen(((const struct rtci_actor_down *)record)->cause.text);
    case RTCI_R_GROUP_CREATE: {
        const struct rtci_group_create *group = record;
        const struct rtci_bundle *bundles = (const struct rtci_bundle *)(group + 1);
        const struct rtci_custom *custom = (const struct rtci_custom *)(bundles + group->n_bundles);
        for (uint32_t i = 0; i < group->n_bundles; i++)
            for (uint32_t k = 0; k < bundles[i].n_custom; k++)
                total += strlen((custom++)->name);
        return total;
    }
    case RTCI_R_ACTOR_REPLY:
    case RTCI_R_DONE:
    case RTCI_R_RESULT: {
        const struct rtci_done *done = record;
        for (uint32_t i = 0; i < done->n_returns; i++)
            total += touch_row(record, &rtci_done_returns(done)[i]);
        return total;
    }
    case RTCI_R_PUT:
    case RTCI_R_SEAL:
    case RTCI_R_OBJECT_HELD: {
        const struct rtci_put *put = record;
        total += sum(put + 1, put->n_refs * sizeof(struct rtci_id));
        if (put->kind == RTCI_KIND_INLINE)
            total += sum((const struct rtci_id *)(put + 1) + put->n_refs, put->size);
        return total;
    }
    case RTCI_R_KV: {
        const struct rtci_kv *kv = record;
        return total + sum(kv + 1, (uint64_t)kv->ns_len + kv->key_len + kv->value_len);
    }
    case RTCI_R_SHAPE: {
        const struct rtci_shape *shape = record;
        const struct rtci_custom *custom = (const struct rtci_custom *)(shape + 1);
        for (uint32_t i = 0; i < shape->n_custom; i++)
            total += strlen(custom[i].name);
        const struct rtci_label *labels = (const struct rtci_label *)(custom + shape->n_custom);
        for (uint32_t i = 0; i < shape->n_labels; i++)
            total += strlen(labels[i].key) + strlen(labels[i].value);
        return total;
    }
    case RTCI_R_FROM_CLIENT:
    case RTCI_R_TO_CLIENT:
        for (size_t at = sizeof(struct rtci_wrap); at < rec->size;) {
            const struct rtci_rec *inner = (const struct rtci_rec *)((const char *)record + at);
            total += record_touch(inner);
            at += inner->size;
        }
        return total;
    default: return total;
    }
}
