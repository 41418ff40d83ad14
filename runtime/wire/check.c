/* The one place that looks at bytes of a peer before they are believed.
 *
 * Invariants that a record has after rtci_wire_check() returned its size:
 *   I1  the record lies wholly inside what was passed, is aligned to 8 and a multiple of 8 long;
 *   I2  its length is exactly what its counts say: no byte of it is unaccounted for, but the bytes
 *       behind a DONE's and TASK's rows, each range of which is inside;
 *   I3  every offset of an inline value or travelling error points behind the rows and inside;
 *   I4  fixed strings end with a NUL, enumerations have a listed value;
 *   I5  FROM_CLIENT and TO_CLIENT hold whole checked records, and no further wrapping.
 * What a field *means* (does that id exist, is that slot its own?) is for the machines to judge.
 *
 * All sums are 64-bit over 32-bit fields, so none can wrap; 64-bit fields are compared by
 * subtraction.
 */
#include <rtc/error.h>

#include "runtime/base/bounds.h"
#include "runtime/wire/actor.h"

#define PADDED(n) (((uint64_t)(n) + 7u) & ~(uint64_t)7u)

/* Offset and size in the arena: which arena and how large it is, the caller knows. */
static bool arena_range_ok(uint64_t offset, uint64_t size)
{
    return offset <= INT64_MAX && size <= INT64_MAX - offset;
}

static bool fail_ok(const char *record, uint64_t offset, uint64_t size)
{
    const struct rtci_fail *fail = (const struct rtci_fail *)(record + offset);
    if (size < sizeof(*fail))
        return false;
    return sizeof(*fail) + (uint64_t)fail->function_len + fail->text_len + fail->log_len <= size;
}

/* One row of a DONE, RESULT or TASK; bytes of values may stand in [begin, rec->size). */
static bool row_ok(const struct rtci_rec *rec, const struct rtci_resolved *row, uint64_t begin)
{
    uint64_t ids = (uint64_t)row->n_refs * sizeof(struct rtci_id);
    switch (row->kind) {
    case RTCI_KIND_INLINE:
    case RTCI_KIND_ERROR:
        if (row->offset < begin || row->offset > rec->size || row->offset % 8 != 0)
            return false;
        if (ids > rec->size - row->offset || row->size > rec->size - row->offset - ids)
            return false;
        if (row->kind == RTCI_KIND_INLINE)
            return true;
        return row->n_refs == 0 && fail_ok((const char *)rec, row->offset, row->size);
    case RTCI_KIND_ARENA: /* the ids inside do not stand here: done_ok() */
        return rec->type != RTCI_R_ACTOR_REPLY && arena_range_ok(row->offset, row->size);
    case RTCI_KIND_ABSENT:
        if (rec->type != RTCI_R_ACTOR_REPLY)
            return true;
        return row->n_refs == 1 && row->offset >= begin && row->offset % 8 == 0 &&
               row->offset <= rec->size && ids <= rec->size - row->offset;
    case RTCI_KIND_REMOTE: /* only the head says it, in a RESULT, TASK or ACTOR_START */
        return rec->type != RTCI_R_DONE && rec->type != RTCI_R_ACTOR_REPLY && row->offset &&
               row->offset <= RTCI_NODES_MAX && row->size <= INT64_MAX;
    default: return false;
    }
}

static bool args_ok(const struct rtci_spec *spec)
{
    const struct rtci_arg *args = rtci_spec_args(spec);
    for (uint32_t i = 0; i < spec->n_args; i++) {
        if (args[i].size == RTCI_ARG_REF) {
            if (args[i].offset >= spec->n_refs)
                return false;
        } else if (args[i].offset % 8 != 0 ||
                   (uint64_t)args[i].offset + args[i].size > spec->data_size) {
            return false;
        }
    }
    return true;
}

/* In line where it comes once per task, with what it is told there. */
static inline __attribute__((always_inline)) bool spec_ok(const struct rtci_rec *rec,
                                                          uint32_t name_max, bool resolved)
{
    const struct rtci_spec *spec = (const struct rtci_spec *)rec;
    if (rec->size < sizeof(*spec))
        return false;
    if (spec->n_refs > RTCI_REFS_MAX || spec->n_args > RTCI_ARGS_MAX ||
        spec->data_size > RTCI_RECORD_MAX || spec->name_len > name_max ||
        spec->n_returns > RTCI_RETURNS_MAX || spec->retries < -1)
        return false;
    /* The counts are small now: the sum fits. */
    size_t size = rtci_spec_size(spec);
    if (!resolved)
        return size == rec->size && args_ok(spec);
    uint64_t begin = size + (uint64_t)spec->n_refs * sizeof(struct rtci_resolved);
    if (begin > rec->size || !args_ok(spec))
        return false;
    const struct rtci_resolved *rows = rtci_task_resolved(spec);
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        if (!row_ok(rec, &rows[i], begin))
            return false;
    }
    return true;
}

bool rtci_check_spec(const struct rtci_rec *rec, uint32_t name_max, bool resolved)
{
    return spec_ok(rec, name_max, resolved);
}

static bool done_ok(const struct rtci_rec *rec)
{
    const struct rtci_done *done = (const struct rtci_done *)rec;
    if (rec->size < sizeof(*done) || done->n_returns == 0 || done->n_returns > RTCI_RETURNS_MAX)
        return false;
    uint64_t begin = sizeof(*done) + (uint64_t)done->n_returns * sizeof(struct rtci_resolved);
    if (begin > rec->size)
        return false;
    const struct rtci_resolved *rows = rtci_done_returns(done);
    if (done->status != 0)
        return done->status < 0 && done->n_returns == 1 && rows[0].kind == RTCI_KIND_ERROR &&
               row_ok(rec, &rows[0], begin);
    for (uint32_t i = 0; i < done->n_returns; i++) {
        if (rows[i].kind == RTCI_KIND_ERROR || !row_ok(rec, &rows[i], begin))
            return false;
    }
    return rtci_done_arena_refs(done) <= (rec->size - begin) / sizeof(struct rtci_id);
}

static bool shape_tail_ok(const void *tail, uint32_t n_custom, uint32_t n_labels)
{
    const struct rtci_custom *custom = tail;
    for (uint32_t i = 0; i < n_custom; i++) {
        if (custom[i].name[sizeof(custom[i].name) - 1] != 0)
            return false;
    }
    const struct rtci_label *labels = (const struct rtci_label *)(custom + n_custom);
    for (uint32_t i = 0; i < n_labels; i++) {
        if (labels[i].key[sizeof(labels[i].key) - 1] != 0 ||
            labels[i].value[sizeof(labels[i].value) - 1] != 0)
            return false;
    }
    return true;
}

static bool shape_ok(const struct rtci_rec *rec)
{
    const struct rtci_shape *shape = (const struct rtci_shape *)rec;
    if (rec->size < sizeof(*shape) || shape->n_custom > RTCI_CUSTOM_MAX ||
        shape->n_labels > RTCI_LABELS_MAX || shape->placement > RTCI_PLACE_NODE_SOFT)
        return false;
    if (rec->size != sizeof(*shape) + shape->n_custom * sizeof(struct rtci_custom) +
                         shape->n_labels * sizeof(struct rtci_label))
        return false;
    return shape_tail_ok(shape + 1, shape->n_custom, shape->n_labels);
}

static bool hello_ok(const struct rtci_rec *rec)
{
    const struct rtci_node_hello *hello = (const struct rtci_node_hello *)rec;
    if (rec->size < sizeof(*hello) || hello->n_custom > RTCI_CUSTOM_MAX ||
        hello->n_labels > RTCI_LABELS_MAX || hello->name[sizeof(hello->name) - 1] != 0 ||
        hello->address[sizeof(hello->address) - 1] != 0 ||
        hello->arch[sizeof(hello->arch) - 1] != 0)
        return false;
    if (rec->size != sizeof(*hello) + hello->n_custom * sizeof(struct rtci_custom) +
                         hello->n_labels * sizeof(struct rtci_label))
        return false;
    return shape_tail_ok(hello + 1, hello->n_custom, hello->n_labels);
}

static bool program_ok(const struct rtci_rec *rec)
{
    const struct rtci_program *program = (const struct rtci_program *)rec;
    return rec->size == sizeof(*program) && program->status <= 0 &&
           program->arch[sizeof(program->arch) - 1] == 0 &&
           program->path[sizeof(program->path) - 1] == 0 &&
           program->cwd[sizeof(program->cwd) - 1] == 0;
}

static bool peer_ok(const struct rtci_rec *rec)
{
    const struct rtci_peer_at *peer = (const struct rtci_peer_at *)rec;
    return rec->size == sizeof(*peer) && peer->node && peer->node <= RTCI_NODES_MAX &&
           peer->address[sizeof(peer->address) - 1] == 0;
}

static bool client_new_ok(const struct rtci_rec *rec)
{
    const struct rtci_client_new *client = (const struct rtci_client_new *)rec;
    return rec->size == sizeof(*client) && client->role >= RTCI_ROLE_DRIVER &&
           client->role <= RTCI_ROLE_TOOL && client->name[sizeof(client->name) - 1] == 0 &&
           client->ns[sizeof(client->ns) - 1] == 0;
}

static bool function_ok(const struct rtci_rec *rec)
{
    const struct rtci_function *function = (const struct rtci_function *)rec;
    return rec->size >= sizeof(*function) && function->name_len != 0 &&
           function->name_len <= RTCI_NAME_MAX &&
           rec->size == PADDED(sizeof(*function) + (uint64_t)function->name_len);
}

static bool range_ok(const struct rtci_rec *rec)
{
    const struct rtci_range *range = (const struct rtci_range *)rec;
    return rec->size == sizeof(*range) && range->seq != 0 && range->count != 0 &&
           range->count <= UINT64_MAX - range->seq &&
           (range->index == RTCI_ALL_RETURNS || range->index < RTCI_RETURNS_MAX);
}

static bool put_ok(const struct rtci_rec *rec)
{
    const struct rtci_put *put = (const struct rtci_put *)rec;
    if (rec->size < sizeof(*put))
        return false;
    uint64_t size = sizeof(*put) + (uint64_t)put->n_refs * sizeof(struct rtci_id);
    if (put->kind == RTCI_KIND_ARENA)
        return rec->type != RTCI_R_PUT && size == rec->size &&
               arena_range_ok(put->offset, put->size);
    return put->kind == RTCI_KIND_INLINE && rec->type == RTCI_R_PUT &&
           put->size <= RTCI_RECORD_MAX && PADDED(size + put->size) == rec->size;
}

static bool kv_ok(const struct rtci_rec *rec)
{
    const struct rtci_kv *kv = (const struct rtci_kv *)rec;
    return rec->size >= sizeof(*kv) && kv->op >= RTCI_KV_PUT && kv->op <= RTCI_KV_PUT_NEW &&
           kv->ns_len <= RTCI_NAME_MAX && kv->key_len <= RTCI_KV_KEY_MAX &&
           kv->value_len <= RTCI_KV_VALUE_MAX &&
           rec->size == PADDED(sizeof(*kv) + (uint64_t)kv->ns_len + kv->key_len + kv->value_len);
}

static bool query_ok(const struct rtci_rec *rec)
{
    const struct rtci_query *query = (const struct rtci_query *)rec;
    return rec->size == sizeof(*query) && query->what >= RTCI_Q_STATUS &&
           query->what <= RTCI_Q_LAST;
}

static bool named_ok(const struct rtci_rec *rec)
{
    const struct rtci_named *named = (const struct rtci_named *)rec;
    return rec->size >= sizeof(*named) && named->ns_len <= RTCI_NAME_MAX &&
           named->name_len <= RTCI_NAME_MAX &&
           rec->size == PADDED(sizeof(*named) + (uint64_t)named->ns_len + named->name_len);
}

/* A struct of `head` bytes whose tail is `n` items of `each` bytes, padded. `n` is read only after
 * the head was seen to be inside. */
#define TAIL_OK(type, field, each)       \
    (rec->size >= sizeof(struct type) && \
     rec->size ==                        \
         PADDED(sizeof(struct type) + (uint64_t)((const struct type *)rec)->field * (each)))

/* Records whose whole length is that of their struct. */
static uint32_t fixed_size(uint16_t type)
{
    switch (type) {
    case RTCI_R_CANCEL:
    case RTCI_R_PULL_FAILED:
    case RTCI_R_STARTED: return sizeof(struct rtci_cancel);
    case RTCI_R_ALLOC:
    case RTCI_R_ABORT: return sizeof(struct rtci_alloc);
    case RTCI_R_GRANT: return sizeof(struct rtci_grant);
    case RTCI_R_BYE:
    case RTCI_R_SHUTDOWN:
    case RTCI_R_LEAVE:
    case RTCI_R_NODE_READY: return sizeof(struct rtci_rec);
    case RTCI_R_CLIENT_ID: return sizeof(struct rtci_client_id);
    case RTCI_R_CLIENT_GONE: return sizeof(struct rtci_client_gone);
    case RTCI_R_PROGRAM_WANT:
    case RTCI_R_JOB_END: return sizeof(struct rtci_job_end);
    case RTCI_R_LIFE: return sizeof(struct rtci_life);
    case RTCI_R_SLOT_FREE:
    case RTCI_R_RECALL:
    case RTCI_R_SLOT_BLOCKED:
    case RTCI_R_CORDON:
    case RTCI_R_PEER_WANT:
    case RTCI_R_STOP: return sizeof(struct rtci_slot_msg);
    case RTCI_R_CREDIT: return sizeof(struct rtci_credit);
    case RTCI_R_SLOT_OPEN: return sizeof(struct rtci_slot_open);
    default: return 0;
    }
}

static bool fixed_ok(const struct rtci_rec *rec)
{
    if (rec->size != fixed_size(rec->type))
        return false;
    if (rec->type != RTCI_R_GRANT)
        return true;
    const struct rtci_grant *grant = (const struct rtci_grant *)rec;
    return arena_range_ok(grant->offset, grant->size);
}

static bool progress_ok(const struct rtci_rec *rec)
{
    const struct rtci_progress *progress = (const struct rtci_progress *)rec;
    return TAIL_OK(rtci_progress, text_len, 1) && progress->fraction >= 0 &&
           progress->fraction <= 1; /* not a NaN either */
}

/* Out of line, these two: what comes once per task keeps its registers. */
__attribute__((noinline)) static bool wrap_ok(const struct rtci_rec *rec)
{
    if (rec->size < sizeof(struct rtci_wrap))
        return false;
    const char *at = (const char *)rec + sizeof(struct rtci_wrap);
    size_t left = rec->size - sizeof(struct rtci_wrap);
    while (left) {
        if (left < sizeof(struct rtci_rec))
            return false;
        uint16_t type = ((const struct rtci_rec *)at)->type;
        if (type == RTCI_R_FROM_CLIENT || type == RTCI_R_TO_CLIENT)
            return false;
        int64_t size = rtci_wire_check(at, left);
        if (size < 0)
            return false;
        at += size;
        left -= (size_t)size;
    }
    return true;
}

/* Everything that does not come once per task. */
__attribute__((noinline)) static bool other_ok(const struct rtci_rec *rec)
{
    switch (rec->type) {
    case RTCI_R_SHAPE: return shape_ok(rec);
    case RTCI_R_FUNCTION: return function_ok(rec);
    case RTCI_R_RELEASE: return range_ok(rec);
    case RTCI_R_WANT:
    case RTCI_R_HOLD:
    case RTCI_R_DROP:
    case RTCI_R_BLOCKED:
    case RTCI_R_UNBLOCKED:
    case RTCI_R_PULLED:
    case RTCI_R_OBJECT_FREE: return TAIL_OK(rtci_ids, n, sizeof(struct rtci_id));
    case RTCI_R_PUT:
    case RTCI_R_SEAL:
    case RTCI_R_OBJECT_HELD: return put_ok(rec);
    case RTCI_R_PROGRESS: return progress_ok(rec);
    case RTCI_R_KV: return kv_ok(rec);
    case RTCI_R_QUERY: return query_ok(rec);
    case RTCI_R_PUBLISH:
    case RTCI_R_SUBSCRIBE: return named_ok(rec);
    case RTCI_R_REPLY: return TAIL_OK(rtci_reply, size, 1);
    case RTCI_R_NOTICE:
    case RTCI_R_LOG: return TAIL_OK(rtci_notice, text_len, 1);
    case RTCI_R_CLIENT_NEW: return client_new_ok(rec);
    case RTCI_R_NODE_HELLO: return hello_ok(rec);
    case RTCI_R_PROGRAM: return program_ok(rec);
    case RTCI_R_PEER: return peer_ok(rec);
    case RTCI_R_SLOT_HELD: return TAIL_OK(rtci_slot_held, n, sizeof(struct rtci_held));
    case RTCI_R_RETURNED: return TAIL_OK(rtci_returned, n, sizeof(struct rtci_held));
    case RTCI_R_SLOT_LOST: return TAIL_OK(rtci_slot_lost, log_len, 1);
    case RTCI_R_ACTOR_REPLY: return done_ok(rec);
    default:
        if (rec->type >= RTCI_R_ACTOR_CREATE && rec->type <= RTCI_R_GROUP_IS)
            return rtci_check_actor(rec);
        return fixed_ok(rec);
    }
}

int64_t rtci_wire_check(const void *data, size_t len)
{
    const struct rtci_rec *rec = data;
    bool ok;
    if (((uintptr_t)data & 7u) != 0 || len < sizeof(*rec) || rec->size < sizeof(*rec) ||
        rec->size > len || (rec->size & 7u) != 0)
        return RTC_E_PROTOCOL;
    if (rec->type == RTCI_R_FROM_CLIENT || rec->type == RTCI_R_TO_CLIENT) {
        ok = wrap_ok(rec); /* as long as a turn; each record inside is bounded */
    } else if (RTCI_UNLIKELY(rec->size > RTCI_RECORD_MAX)) {
        ok = false;
    } else if (rec->type == RTCI_R_SUBMIT || rec->type == RTCI_R_TASK) {
        ok = spec_ok(rec, RTCI_NAME_MAX, rec->type == RTCI_R_TASK);
    } else if (rec->type == RTCI_R_DONE || rec->type == RTCI_R_RESULT) {
        ok = done_ok(rec);
    } else {
        ok = other_ok(rec);
    }
    return RTCI_LIKELY(ok) ? (int64_t)rec->size : RTC_E_PROTOCOL;
}
