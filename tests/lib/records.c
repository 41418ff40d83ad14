#include "tests/lib/records.h"

#include <string.h>

const uint16_t record_types[] = {
#define X(value, name, text) value,
    RTCI_REC_MAP(X)
#undef X
};
const size_t n_record_types = sizeof(record_types) / sizeof(record_types[0]);

static struct rtci_id make_id(struct rng *rng)
{
    return (struct rtci_id){.seq = 1 + rng_below(rng, 5000),
                            .client = 1 + rng_below(rng, 5),
                            .index = rng_below(rng, 3)};
}

static void fill(struct rng *rng, uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)('a' + rng_below(rng, 26));
}

/* Appends an inline value or an error to the record that ends at `end`; returns the new end. */
static size_t make_row(struct rng *rng, uint8_t *record, size_t end, struct rtci_resolved *row,
                       uint32_t kind)
{
    *row = (struct rtci_resolved){.kind = kind, .offset = end, .size = rng_below(rng, 100)};
    if (kind == RTCI_KIND_ERROR) {
        struct rtci_fail *fail = (struct rtci_fail *)(record + end);
        memset(fail, 0, sizeof(*fail));
        fail->code = -12;
        fail->function_len = (uint16_t)rng_below(rng, 20);
        fail->text_len = (uint16_t)rng_below(rng, 50);
        fail->log_len = (uint16_t)rng_below(rng, 90);
        row->size = sizeof(*fail) + fail->function_len + fail->text_len + fail->log_len;
        fill(rng, (uint8_t *)(fail + 1), row->size - sizeof(*fail));
        return end + RTCI_ALIGN8(row->size);
    }
    if (kind == RTCI_KIND_REMOTE)
        row->offset = 1 + rng_below(rng, 3);
    if (kind != RTCI_KIND_INLINE)
        return end;
    row->n_refs = rng_below(rng, 3);
    struct rtci_id *ids = (struct rtci_id *)(record + end);
    for (uint32_t i = 0; i < row->n_refs; i++)
        ids[i] = make_id(rng);
    fill(rng, (uint8_t *)(ids + row->n_refs), row->size);
    return end + RTCI_ALIGN8(row->n_refs * sizeof(*ids) + row->size);
}

static const uint32_t value_kinds[] = {RTCI_KIND_INLINE, RTCI_KIND_INLINE, RTCI_KIND_ARENA,
                                       RTCI_KIND_ABSENT, RTCI_KIND_REMOTE};

/* Only the head says that a value lies elsewhere. */
static uint32_t value_kind(struct rng *rng, uint16_t type)
{
    bool head = type == RTCI_R_TASK || type == RTCI_R_RESULT || type == RTCI_R_ACTOR_START;
    if (type == RTCI_R_ACTOR_REPLY)
        return RTCI_KIND_INLINE;
    return value_kinds[rng_below(rng, head ? 5 : 4)];
}

static size_t make_options(struct rng *rng, struct rtci_actor_options *options)
{
    memset(options, 0, sizeof(*options));
    options->max_restarts = (int32_t)rng_below(rng, 4) - 1;
    options->max_task_retries = (int32_t)rng_below(rng, 4) - 1;
    options->flags = rng_below(rng, 4);
    options->ns_len = (uint16_t)rng_below(rng, 3);
    options->name_len = (uint16_t)rng_below(rng, 3);
    fill(rng, (uint8_t *)(options + 1), options->ns_len + options->name_len);
    return sizeof(*options) + options->ns_len + options->name_len;
}

/* What stands in the place of the name: its size; written when `at` is given. */
static size_t make_tail(struct rng *rng, uint16_t type, void *at)
{
    struct {
        struct rtci_actor_options options;
        uint8_t strings[8];
    } options;
    struct rtci_call call = {.order = 1, .node = 1 + rng_below(rng, 3)};
    struct rng again = *rng;
    bool actor = type != RTCI_R_ACTOR_CALL;
    size_t size = actor ? make_options(&again, &options.options) : sizeof(call);
    if (!at)
        return size;
    call.actor = make_id(rng);
    call.client = 1 + rng_below(rng, 5);
    memcpy(at, actor ? (void *)&options : (void *)&call, size);
    return size;
}

static bool has_tail(uint16_t type)
{
    return type == RTCI_R_ACTOR_CREATE || type == RTCI_R_ACTOR_START || type == RTCI_R_ACTOR_CALL;
}

static size_t make_spec(struct rng *rng, uint16_t type, uint8_t *at)
{
    struct rtci_spec *spec = (struct rtci_spec *)at;
    spec->seq = 1 + rng_below(rng, 5000);
    spec->client = 1 + rng_below(rng, 5);
    spec->n_returns = (uint16_t)(1 + rng_below(rng, 3));
    spec->n_refs = rng_below(rng, 4);
    spec->n_args = rng_below(rng, 6);
    spec->data_size = 8 * rng_below(rng, 40);
    if (rng_below(rng, 4) == 0) {
        spec->flags = RTCI_SPEC_NAMED;
        spec->name_len = rng_below(rng, 40);
    }
    struct rng tail = {rng_next(rng)};
    if (has_tail(type)) {
        spec->flags = type == RTCI_R_ACTOR_CALL ? RTCI_SPEC_CALL : RTCI_SPEC_ACTOR;
        struct rng twice = tail;
        spec->name_len = (uint32_t)make_tail(&twice, type, NULL);
    }
    struct rtci_id *refs = (struct rtci_id *)(spec + 1);
    for (uint32_t i = 0; i < spec->n_refs; i++)
        refs[i] = make_id(rng);
    struct rtci_arg *args = (struct rtci_arg *)(refs + spec->n_refs);
    for (uint32_t i = 0; i < spec->n_args; i++) {
        if (spec->n_refs && rng_below(rng, 2)) {
            args[i] = (struct rtci_arg){RTCI_ARG_REF, rng_below(rng, spec->n_refs)};
        } else {
            uint32_t offset = 8 * rng_below(rng, spec->data_size / 8 + 1);
            args[i] = (struct rtci_arg){rng_below(rng, spec->data_size - offset + 1), offset};
        }
    }
    size_t end = rtci_spec_size(spec);
    fill(rng, (uint8_t *)(args + spec->n_args),
         end - (size_t)((uint8_t *)(args + spec->n_args) - at));
    if (has_tail(type))
        make_tail(&tail, type, (char *)rtci_spec_name(spec));
    if (type != RTCI_R_TASK && type != RTCI_R_ACTOR_START)
        return end;
    struct rtci_resolved *rows = (struct rtci_resolved *)(at + end);
    end += spec->n_refs * sizeof(*rows);
    for (uint32_t i = 0; i < spec->n_refs; i++)
        end = make_row(rng, at, end, &rows[i], value_kind(rng, type));
    return end;
}

static size_t make_done(struct rng *rng, uint8_t *at)
{
    struct rtci_done *done = (struct rtci_done *)at;
    done->seq = 1 + rng_below(rng, 5000);
    done->client = 1 + rng_below(rng, 5);
    done->status = rng_below(rng, 4) == 0 ? -12 : 0;
    done->n_returns = done->status ? 1 : 1 + rng_below(rng, 4);
    struct rtci_resolved *rows = (struct rtci_resolved *)(done + 1);
    size_t end = sizeof(*done) + done->n_returns * sizeof(*rows);
    for (uint32_t i = 0; i < done->n_returns; i++)
        end = make_row(rng, at, end, &rows[i],
                       done->status ? (uint32_t)RTCI_KIND_ERROR : value_kind(rng, done->rec.type));
    for (uint32_t i = 0; i < done->n_returns; i++) {
        if (rows[i].kind != RTCI_KIND_ARENA)
            continue;
        rows[i].n_refs = rng_below(rng, 3);
        for (uint32_t k = 0; k < rows[i].n_refs; k++, end += sizeof(struct rtci_id))
            *(struct rtci_id *)(at + end) = make_id(rng);
    }
    return end;
}

static size_t make_put(struct rng *rng, uint16_t type, uint8_t *at)
{
    struct rtci_put *put = (struct rtci_put *)at;
    put->id = make_id(rng);
    put->kind = type == RTCI_R_PUT ? RTCI_KIND_INLINE : RTCI_KIND_ARENA;
    put->n_refs = rng_below(rng, 4);
    put->size = rng_below(rng, 300);
    put->offset = put->kind == RTCI_KIND_ARENA ? 64 * rng_below(rng, 1000) : 0;
    struct rtci_id *ids = (struct rtci_id *)(put + 1);
    for (uint32_t i = 0; i < put->n_refs; i++)
        ids[i] = make_id(rng);
    size_t end = sizeof(*put) + put->n_refs * sizeof(*ids);
    if (put->kind == RTCI_KIND_ARENA)
        return end;
    fill(rng, at + end, put->size);
    return RTCI_ALIGN8(end + put->size);
}

static size_t make_resources(struct rng *rng, uint8_t *at, size_t end, uint32_t n_custom,
                             uint32_t n_labels)
{
    struct rtci_custom *custom = (struct rtci_custom *)(at + end);
    for (uint32_t i = 0; i < n_custom; i++) {
        fill(rng, (uint8_t *)custom[i].name, 1 + rng_below(rng, 22));
        custom[i].amount = rng_below(rng, 50000);
    }
    struct rtci_label *labels = (struct rtci_label *)(custom + n_custom);
    for (uint32_t i = 0; i < n_labels; i++) {
        fill(rng, (uint8_t *)labels[i].key, 1 + rng_below(rng, 22));
        fill(rng, (uint8_t *)labels[i].value, 1 + rng_below(rng, 38));
    }
    return end + n_custom * sizeof(*custom) + n_labels * sizeof(*labels);
}

static size_t make_shape(struct rng *rng, uint8_t *at)
{
    struct rtci_shape *shape = (struct rtci_shape *)at;
    shape->cpu = 5000 * rng_below(rng, 4);
    shape->n_custom = (uint16_t)rng_below(rng, 3);
    shape->n_labels = (uint16_t)rng_below(rng, 3);
    shape->placement = rng_below(rng, 4);
    if (!rng_below(rng, 4)) {
        shape->group = make_id(rng);
        shape->group.index = rng_below(rng, 2) ? RTCI_ANY_BUNDLE : rng_below(rng, 3);
    }
    return make_resources(rng, at, sizeof(*shape), shape->n_custom, shape->n_labels);
}

static size_t make_hello(struct rng *rng, uint8_t *at)
{
    struct rtci_node_hello *hello = (struct rtci_node_hello *)at;
    hello->incarnation = 1 + rng_below(rng, 3);
    hello->cpu = 10000 * rng_below(rng, 9);
    hello->store = 1u << 20;
    hello->n_custom = (uint16_t)rng_below(rng, 3);
    hello->n_labels = (uint16_t)rng_below(rng, 3);
    fill(rng, (uint8_t *)hello->name, rng_below(rng, 60));
    return make_resources(rng, at, sizeof(*hello), hello->n_custom, hello->n_labels);
}

static size_t make_text(struct rng *rng, uint8_t *at, size_t head, uint32_t len)
{
    fill(rng, at + head, len);
    return RTCI_ALIGN8(head + len);
}

static size_t make_strings(struct rng *rng, uint16_t type, uint8_t *at)
{
    uint32_t a = 1 + rng_below(rng, 40);
    uint32_t b = rng_below(rng, 40);
    switch (type) {
    case RTCI_R_FUNCTION:
        ((struct rtci_function *)at)->name_len = a;
        ((struct rtci_function *)at)->hash = rng_next(rng);
        return make_text(rng, at, sizeof(struct rtci_function), a);
    case RTCI_R_KV: {
        struct rtci_kv *kv = (struct rtci_kv *)at;
        *kv = (struct rtci_kv){.rec = kv->rec,
                               .request = rng_next(rng),
                               .op = RTCI_KV_PUT + rng_below(rng, 5),
                               .ns_len = (uint16_t)a,
                               .key_len = (uint16_t)b,
                               .value_len = 5};
        return make_text(rng, at, sizeof(*kv), a + b + 5);
    }
    case RTCI_R_PUBLISH:
    case RTCI_R_SUBSCRIBE:
        ((struct rtci_named *)at)->id = make_id(rng);
        ((struct rtci_named *)at)->ns_len = (uint16_t)a;
        ((struct rtci_named *)at)->name_len = (uint16_t)b;
        return make_text(rng, at, sizeof(struct rtci_named), a + b);
    case RTCI_R_REPLY:
        ((struct rtci_reply *)at)->request = rng_next(rng);
        ((struct rtci_reply *)at)->size = b;
        return make_text(rng, at, sizeof(struct rtci_reply), b);
    case RTCI_R_PROGRESS:
        ((struct rtci_progress *)at)->id = make_id(rng);
        ((struct rtci_progress *)at)->fraction = rng_below(rng, 101) / 100.0;
        ((struct rtci_progress *)at)->text_len = b;
        return make_text(rng, at, sizeof(struct rtci_progress), b);
    case RTCI_R_SLOT_LOST:
        ((struct rtci_slot_lost *)at)->slot = a;
        ((struct rtci_slot_lost *)at)->claimed = make_id(rng);
        ((struct rtci_slot_lost *)at)->log_len = b;
        return make_text(rng, at, sizeof(struct rtci_slot_lost), b);
    default: /* NOTICE, LOG */
        ((struct rtci_notice *)at)->text_len = b;
        return make_text(rng, at, sizeof(struct rtci_notice), b);
    }
}

static size_t make_held(struct rng *rng, struct rtci_held *held, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        held[i] = (struct rtci_held){make_id(rng), 1, rng_below(rng, 2)};
    return n * sizeof(*held);
}

static size_t make_lists(struct rng *rng, uint16_t type, uint8_t *at)
{
    uint32_t n = rng_below(rng, 6);
    if (type == RTCI_R_SLOT_HELD) {
        struct rtci_slot_held *held = (struct rtci_slot_held *)at;
        held->slot = 1 + rng_below(rng, 4);
        held->client = 1 + rng_below(rng, 5);
        held->n = n;
        return sizeof(*held) + make_held(rng, (struct rtci_held *)(held + 1), n);
    }
    if (type == RTCI_R_RETURNED) {
        struct rtci_returned *returned = (struct rtci_returned *)at;
        returned->slot = 1 + rng_below(rng, 4);
        returned->n = n;
        return sizeof(*returned) + make_held(rng, (struct rtci_held *)(returned + 1), n);
    }
    struct rtci_ids *ids = (struct rtci_ids *)at;
    ids->n = type == RTCI_R_UNBLOCKED ? 0 : n;
    for (uint32_t i = 0; i < ids->n; i++)
        ((struct rtci_id *)(ids + 1))[i] = make_id(rng);
    return sizeof(*ids) + ids->n * sizeof(struct rtci_id);
}

static size_t make_client(struct rng *rng, uint8_t *at)
{
    struct rtci_client_new *client = (struct rtci_client_new *)at;
    client->token = 1 + rng_below(rng, 10);
    client->role = RTCI_ROLE_DRIVER + rng_below(rng, 3);
    fill(rng, (uint8_t *)client->name, rng_below(rng, 60));
    fill(rng, (uint8_t *)client->ns, rng_below(rng, 60));
    return sizeof(*client);
}

static size_t make_range(struct rng *rng, uint8_t *at)
{
    struct rtci_range *range = (struct rtci_range *)at;
    range->seq = 1 + rng_below(rng, 5000);
    range->count = 1 + rng_below(rng, 50);
    range->client = 1 + rng_below(rng, 5);
    range->index = rng_below(rng, 2) ? RTCI_ALL_RETURNS : 0;
    return sizeof(*range);
}

/* Of the records of actors and groups, which are numbered as they came: who says them. */
static bool is_said(uint16_t type)
{
    return type < 32 ||
           (type >= RTCI_R_ACTOR_CREATE && type <= RTCI_R_GROUP_WHERE && type != RTCI_R_ACTOR_IS &&
            type != RTCI_R_ACTOR_START && type != RTCI_R_ACTOR_DOWN);
}

static bool is_told(uint16_t type)
{
    return (type >= 32 && type < 64) || type == RTCI_R_ACTOR_IS || type == RTCI_R_ACTOR_DOWN ||
           type == RTCI_R_GROUP_IS;
}

/* A type that this wrapping carries: what clients say, or what they are told. */
static uint16_t inner_type(struct rng *rng, uint16_t wrap)
{
    for (;;) {
        uint16_t type = record_types[rng_below(rng, (uint32_t)n_record_types)];
        if (wrap == RTCI_R_FROM_CLIENT ? is_said(type) : is_told(type))
            return type;
    }
}

static size_t make_wrap(struct rng *rng, uint16_t type, uint8_t *at)
{
    size_t end = sizeof(struct rtci_wrap);
    ((struct rtci_wrap *)at)->client = 1 + rng_below(rng, 5);
    for (uint32_t n = rng_below(rng, 4); n > 0; n--)
        end += record_make(rng, inner_type(rng, type), at + end);
    return end;
}

static size_t make_peer(struct rng *rng, void *at)
{
    struct rtci_peer_at *peer = at;
    peer->node = 1 + rng_below(rng, 9);
    fill(rng, (uint8_t *)peer->address, rng_below(rng, 60));
    return sizeof(*peer);
}

static size_t make_group(struct rng *rng, uint8_t *at)
{
    struct rtci_group_create *group = (struct rtci_group_create *)at;
    group->request = rng_next(rng);
    group->id = make_id(rng);
    group->strategy = rng_below(rng, 4);
    group->n_bundles = rng_below(rng, 5);
    struct rtci_bundle *bundles = (struct rtci_bundle *)(group + 1);
    uint32_t customs = 0;
    for (uint32_t i = 0; i < group->n_bundles; i++) {
        bundles[i] = (struct rtci_bundle){.cpu = 5000 * rng_below(rng, 4),
                                          .n_custom = rng_below(rng, 8) ? 0 : 1};
        customs += bundles[i].n_custom;
    }
    return make_resources(rng, at, sizeof(*group) + group->n_bundles * sizeof(*bundles), customs,
                          0);
}

static size_t make_life(struct rng *rng, void *at)
{
    struct rtci_life *life = at;
    life->node = 1 + rng_below(rng, 5);
    life->lives = rng_below(rng, 2);
    life->life = rng_below(rng, 100);
    return sizeof(*life);
}

static size_t make_actor(struct rng *rng, uint16_t type, uint8_t *at)
{
    switch (type) {
    case RTCI_R_LIFE: return make_life(rng, at);
    case RTCI_R_ACTOR_CREATE:
    case RTCI_R_ACTOR_START:
    case RTCI_R_ACTOR_CALL: return make_spec(rng, type, at);
    case RTCI_R_ACTOR_REPLY: return make_done(rng, at);
    case RTCI_R_ACTOR_WHERE: {
        struct rtci_actor_where *where = (struct rtci_actor_where *)at;
        where->request = rng_next(rng);
        where->id = make_id(rng);
        where->flags = rng_below(rng, 2);
        where->name_len = (uint16_t)rng_below(rng, 3);
        return make_text(rng, at, sizeof(*where), where->name_len);
    }
    case RTCI_R_ACTOR_IS:
        ((struct rtci_actor_is *)at)->id = make_id(rng);
        ((struct rtci_actor_is *)at)->flags = rng_below(rng, 2);
        return sizeof(struct rtci_actor_is);
    case RTCI_R_ACTOR_UP:
        ((struct rtci_actor_up *)at)->id = make_id(rng);
        ((struct rtci_actor_up *)at)->incarnation = 1;
        return sizeof(struct rtci_actor_up);
    case RTCI_R_ACTOR_FAILED:
        ((struct rtci_actor_failed *)at)->id = make_id(rng);
        ((struct rtci_actor_failed *)at)->incarnation = 1;
        ((struct rtci_actor_failed *)at)->code = -12;
        ((struct rtci_actor_failed *)at)->text_len = 9;
        return make_text(rng, at, sizeof(struct rtci_actor_failed), 9);
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL:
        ((struct rtci_actor_end *)at)->id = make_id(rng);
        ((struct rtci_actor_end *)at)->flags = rng_below(rng, 2);
        ((struct rtci_actor_end *)at)->slot = 1 + rng_below(rng, 5);
        return sizeof(struct rtci_actor_end);
    case RTCI_R_ACTOR_MONITOR:
    case RTCI_R_ACTOR_DEMONITOR:
        ((struct rtci_actor_monitor *)at)->monitor = rng_below(rng, 4);
        ((struct rtci_actor_monitor *)at)->id = make_id(rng);
        return sizeof(struct rtci_actor_monitor);
    case RTCI_R_ACTOR_LINK:
        ((struct rtci_actor_link *)at)->a = make_id(rng);
        ((struct rtci_actor_link *)at)->b = make_id(rng);
        ((struct rtci_actor_link *)at)->op = rng_below(rng, 2);
        return sizeof(struct rtci_actor_link);
    case RTCI_R_ACTOR_DOWN: return sizeof(struct rtci_actor_down);
    case RTCI_R_GROUP_CREATE: return make_group(rng, at);
    case RTCI_R_GROUP_REMOVE:
    case RTCI_R_GROUP_WHERE:
        ((struct rtci_group_remove *)at)->id = make_id(rng);
        return sizeof(struct rtci_group_remove);
    default: /* GROUP_IS */
        ((struct rtci_group_is *)at)->n = rng_below(rng, 5);
        return RTCI_ALIGN8(sizeof(struct rtci_group_is) + 4 * ((struct rtci_group_is *)at)->n);
    }
}

static size_t make_body(struct rng *rng, uint16_t type, uint8_t *at)
{
    if (type >= RTCI_R_ACTOR_CREATE)
        return make_actor(rng, type, at);
    switch (type) {
    case RTCI_R_SUBMIT:
    case RTCI_R_TASK: return make_spec(rng, type, at);
    case RTCI_R_DONE:
    case RTCI_R_RESULT: return make_done(rng, at);
    case RTCI_R_PUT:
    case RTCI_R_SEAL:
    case RTCI_R_OBJECT_HELD: return make_put(rng, type, at);
    case RTCI_R_SHAPE: return make_shape(rng, at);
    case RTCI_R_NODE_HELLO: return make_hello(rng, at);
    case RTCI_R_CLIENT_NEW: return make_client(rng, at);
    case RTCI_R_RELEASE: return make_range(rng, at);
    case RTCI_R_FROM_CLIENT:
    case RTCI_R_TO_CLIENT: return make_wrap(rng, type, at);
    case RTCI_R_CANCEL:
    case RTCI_R_PULL_FAILED:
    case RTCI_R_STARTED:
        ((struct rtci_cancel *)at)->id = make_id(rng);
        return sizeof(struct rtci_cancel);
    case RTCI_R_ALLOC:
    case RTCI_R_ABORT:
        ((struct rtci_alloc *)at)->id = make_id(rng);
        ((struct rtci_alloc *)at)->size = rng_below(rng, 1000000);
        return sizeof(struct rtci_alloc);
    case RTCI_R_GRANT: return sizeof(struct rtci_grant);
    case RTCI_R_QUERY:
        ((struct rtci_query *)at)->what = RTCI_Q_STATUS + rng_below(rng, RTCI_Q_LAST);
        ((struct rtci_query *)at)->limit = rng_below(rng, 100);
        return sizeof(struct rtci_query);
    case RTCI_R_CREDIT: return sizeof(struct rtci_credit);
    case RTCI_R_SLOT_OPEN:
        ((struct rtci_slot_open *)at)->slot = 1 + rng_below(rng, 5);
        ((struct rtci_slot_open *)at)->job = 1 + rng_below(rng, 3);
        ((struct rtci_slot_open *)at)->cpu = 10000;
        return sizeof(struct rtci_slot_open);
    case RTCI_R_CLIENT_ID: return sizeof(struct rtci_client_id);
    case RTCI_R_PROGRAM:
        ((struct rtci_program *)at)->job = 1 + rng_below(rng, 3);
        fill(rng, (uint8_t *)((struct rtci_program *)at)->path, rng_below(rng, 200));
        return sizeof(struct rtci_program);
    case RTCI_R_PEER: return make_peer(rng, at);
    case RTCI_R_CLIENT_GONE:
    case RTCI_R_JOB_END:
    case RTCI_R_PROGRAM_WANT:
    case RTCI_R_SLOT_FREE:
    case RTCI_R_RECALL:
    case RTCI_R_SLOT_BLOCKED:
    case RTCI_R_CORDON:
    case RTCI_R_PEER_WANT:
    case RTCI_R_STOP: /* all of two words: the first names a thing */
        ((struct rtci_slot_msg *)at)->slot = 1 + rng_below(rng, 5);
        ((struct rtci_slot_msg *)at)->op = rng_below(rng, 2);
        return sizeof(struct rtci_slot_msg);
    case RTCI_R_BYE:
    case RTCI_R_SHUTDOWN:
    case RTCI_R_LEAVE:
    case RTCI_R_NODE_READY: return sizeof(struct rtci_rec);
    case RTCI_R_WANT:
    case RTCI_R_HOLD:
    case RTCI_R_DROP:
    case RTCI_R_BLOCKED:
    case RTCI_R_UNBLOCKED:
    case RTCI_R_OBJECT_FREE:
    case RTCI_R_PULLED:
    case RTCI_R_SLOT_HELD:
    case RTCI_R_RETURNED: return make_lists(rng, type, at);
    default: return make_strings(rng, type, at);
    }
}

size_t record_make(struct rng *rng, uint16_t type, void *at)
{
    memset(at, 0, 1024);
    struct rtci_rec *rec = at;
    rec->type = type;
    rec->size = (uint32_t)make_body(rng, type, at);
    return rec->size;
}

void record_mutate(struct rng *rng, void *data, size_t len)
{
    static const uint64_t odd[] = {
        0,         1,          7,          8,          0x7f,        0xff,      0x7fff,
        0xffff,    0x7fffffff, 0xffffffff, 0xfffffff8, 0x100000000, INT64_MAX, UINT64_MAX - 7,
        UINT64_MAX};
    uint8_t *bytes = data;
    for (uint32_t n = 1 + rng_below(rng, 4); n > 0 && len >= 16; n--) {
        size_t width = (size_t)1 << rng_below(rng, 4);
        /* The headers hold the interesting fields: half of the changes go there. */
        size_t span = rng_below(rng, 2) && len > 128 ? 128 : len;
        size_t at = (size_t)(rng_next(rng) % span) & ~(width - 1);
        uint64_t value = rng_below(rng, 2) ? odd[rng_below(rng, sizeof(odd) / sizeof(odd[0]))]
                                           : rng_next(rng) >> rng_below(rng, 64);
        if (at + width <= len)
            memcpy(bytes + at, &value, width);
    }
}
