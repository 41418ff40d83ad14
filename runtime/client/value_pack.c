/* Writing values: once into nothing, to know their size, then into the ring or the arena. Both
 * passes run the same code, so they cannot disagree. */
#include <msgpack/pack.h>
#include <string.h>

#include "runtime/client/error.h"
#include "runtime/client/value.h"

#define VALUE_SIZE_MAX (1ull << 40)

struct sink {
    uint8_t *base; /* NULL: only measure */
    uint64_t off;
    uint64_t ids_at;
    uint32_t n_refs, n_lights;
};

static int sink_write(void *arg, const char *data, size_t size)
{
    struct sink *s = arg;
    if (s->base && size)
        memcpy(s->base + s->off, data, size);
    s->off += size;
    return 0;
}

static void sink_zero(struct sink *s, size_t size)
{
    if (s->base)
        memset(s->base + s->off, 0, size);
    s->off += size;
}

static int array_check(const struct rtc_array *a)
{
    size_t width = rtc_dtype_size(a->dtype);
    if (width == 0)
        return rtci_error(RTC_E_INVALID, "the array has an unknown dtype %u", a->dtype);
    if (a->ndim > RTC_NDIM_MAX)
        return rtci_error(RTC_E_INVALID, "the array has %u dimensions; at most %d are possible",
                          a->ndim, RTC_NDIM_MAX);
    uint64_t bytes = width;
    for (int i = 0; i < a->ndim; i++) {
        if (a->shape[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)a->shape[i], &bytes))
            return rtci_error(RTC_E_INVALID, "the array's shape[%d] = %lld is impossible", i,
                              (long long)a->shape[i]);
    }
    if (bytes != a->size)
        return rtci_error(RTC_E_INVALID, "the array says %zu bytes, its shape and dtype make %llu",
                          a->size, (unsigned long long)bytes);
    if (bytes > VALUE_SIZE_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "an array of %llu bytes is too large",
                          (unsigned long long)bytes);
    if (!a->data && bytes)
        return rtci_error(RTC_E_INVALID, "the array has no data");
    return 0;
}

static int array_of(const struct rtc_value *value, struct rtc_array *ret_array)
{
    if (value->is_packed)
        return rtc_value_array(value, ret_array);
    if (!value->as.array)
        return rtci_error(RTC_E_INVALID, "rtc_nd(NULL) is no array");
    *ret_array = *value->as.array;
    return array_check(ret_array);
}

static int bytes_check(const struct rtc_value *value)
{
    if (!value->as.bytes.data && value->as.bytes.size)
        return rtci_error(RTC_E_INVALID, "a %s of %zu bytes without data",
                          rtc_type_name(value->type), value->as.bytes.size);
    if (value->as.bytes.size > VALUE_SIZE_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "a %s of %zu bytes is too large",
                          rtc_type_name(value->type), value->as.bytes.size);
    return 0;
}

/* ---- Nested ---- */
static int pack_item(struct sink *s, msgpack_packer *pk, const struct rtc_value *v, int depth);

static int pack_array(struct sink *s, const struct rtc_value *v)
{
    struct rtc_array a;
    RTCI_TRY(array_of(v, &a));
    /* ext 32 always, so that the padding does not change the length of the head. */
    uint64_t data_at = s->off + 6 + 8 + 8 * (uint64_t)a.ndim;
    uint8_t pad = (uint8_t)(-data_at & 7u);
    uint64_t size = 8 + 8 * (uint64_t)a.ndim + pad + a.size;
    if (size > UINT32_MAX)
        return rtci_error(RTC_E_TOO_LARGE,
                          "an array of %zu bytes inside a list or map is too large (4 GiB): put it "
                          "by itself and pass its reference",
                          a.size);
    uint8_t head[14] = {0xc9,
                        (uint8_t)(size >> 24),
                        (uint8_t)(size >> 16),
                        (uint8_t)(size >> 8),
                        (uint8_t)size,
                        RTCI_EXT_ARRAY,
                        a.dtype,
                        a.ndim,
                        pad};
    sink_write(s, (const char *)head, sizeof(head));
    sink_write(s, (const char *)a.shape, 8 * (size_t)a.ndim);
    sink_zero(s, pad);
    sink_write(s, a.data, a.size);
    return 0;
}

static int pack_ref(struct sink *s, const struct rtc_value *v)
{
    rtc_ref ref = v->as.ref;
    uint64_t light = rtci_value_light(v);
    if (ref.client == 0)
        return rtci_error(RTC_E_INVALID, "the value contains the reference \"none\" (all zero)");
    uint32_t i = s->n_refs++;
    uint8_t number[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    uint8_t item[2] = {0xd6, RTCI_EXT_REF}, long_item[3] = {0xc7, 12, RTCI_EXT_REF};
    if (s->base) {
        struct rtci_id id = rtci_id_of(ref);
        memcpy(s->base + s->ids_at + i * sizeof(id), &id, sizeof(id));
    }
    if (light)
        sink_write(s, (const char *)long_item, sizeof(long_item));
    else
        sink_write(s, (const char *)item, sizeof(item));
    sink_write(s, (const char *)number, sizeof(number));
    if (light) {
        sink_write(s, (const char *)&light, sizeof(light));
        s->n_lights++;
    }
    return 0;
}

static int pack_packed(struct sink *s, msgpack_packer *pk, const struct rtc_value *v, int depth)
{
    struct nested_reader r;
    uint8_t type;
    uint32_t n;
    RTCI_TRY(rtci_nested_open(v, &r, &type, &n));
    if (type == RTC_LIST)
        msgpack_pack_array(pk, n);
    else
        msgpack_pack_map(pk, n);
    for (uint64_t i = 0; i < (type == RTC_MAP ? 2ull * n : n); i++) {
        struct rtc_value item;
        RTCI_TRY(rtci_nested_next(&r, &item));
        RTCI_TRY(pack_item(s, pk, &item, depth + 1));
    }
    return 0;
}

static int pack_items(struct sink *s, msgpack_packer *pk, const struct rtc_value *v, int depth)
{
    if (depth >= RTCI_VALUE_DEPTH_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "lists and maps are nested deeper than %d",
                          RTCI_VALUE_DEPTH_MAX);
    if (v->is_packed)
        return pack_packed(s, pk, v, depth);
    size_t n = v->as.list.n;
    if (n > UINT32_MAX / 2 || (!v->as.list.items && n))
        return rtci_error(RTC_E_INVALID, "a %s of %zu items is impossible", rtc_type_name(v->type),
                          n);
    if (v->type == RTC_LIST)
        msgpack_pack_array(pk, n);
    else
        msgpack_pack_map(pk, n);
    for (size_t i = 0; i < (v->type == RTC_MAP ? 2 * n : n); i++)
        RTCI_TRY(pack_item(s, pk, &v->as.list.items[i], depth + 1));
    return 0;
}

static int pack_item(struct sink *s, msgpack_packer *pk, const struct rtc_value *v, int depth)
{
    switch (v->type) {
    case RTC_NIL: msgpack_pack_nil(pk); return 0;
    case RTC_BOOL:
        if (v->as.b)
            msgpack_pack_true(pk);
        else
            msgpack_pack_false(pk);
        return 0;
    case RTC_INT: msgpack_pack_int64(pk, v->as.i); return 0;
    case RTC_UINT: msgpack_pack_uint64(pk, v->as.u); return 0;
    case RTC_FLOAT: msgpack_pack_double(pk, v->as.f); return 0;
    case RTC_STRING:
    case RTC_BYTES:
        RTCI_TRY(bytes_check(v));
        if (v->as.bytes.size > UINT32_MAX)
            return rtci_error(RTC_E_TOO_LARGE,
                              "a %s of %zu bytes inside a list or map is too large",
                              rtc_type_name(v->type), v->as.bytes.size);
        if (v->type == RTC_STRING)
            msgpack_pack_str(pk, v->as.bytes.size);
        else
            msgpack_pack_bin(pk, v->as.bytes.size);
        return sink_write(s, v->as.bytes.data, v->as.bytes.size);
    case RTC_ARRAY: return pack_array(s, v);
    case RTC_LIST:
    case RTC_MAP: return pack_items(s, pk, v, depth);
    case RTC_REF: return pack_ref(s, v);
    default: return rtci_error(RTC_E_TYPE, "a value has the unknown type %u", v->type);
    }
}

/* ---- Top ---- */
static uint64_t array_data_at(const struct rtc_array *a)
{
    uint64_t at = 16 + 8 * (uint64_t)a->ndim;
    return a->size >= 4096 ? (at + 63) & ~63ull : at;
}

static int emit_array(struct sink *s, const struct rtc_value *v)
{
    struct rtc_array a;
    RTCI_TRY(array_of(v, &a));
    uint64_t data_at = array_data_at(&a);
    uint8_t head[8] = {RTC_ARRAY, a.dtype, a.ndim};
    uint32_t offset = (uint32_t)data_at;
    uint64_t size = a.size;
    memcpy(head + 4, &offset, sizeof(offset));
    sink_write(s, (const char *)head, sizeof(head));
    sink_write(s, (const char *)&size, sizeof(size));
    sink_write(s, (const char *)a.shape, 8 * (size_t)a.ndim);
    sink_zero(s, data_at - s->off);
    return sink_write(s, a.data, a.size);
}

static int emit(struct sink *s, const struct rtc_value *v)
{
    uint64_t word = v->type;
    switch (v->type) {
    case RTC_NIL:
    case RTC_BOOL:
    case RTC_INT:
    case RTC_UINT:
    case RTC_FLOAT:
        if (s->base)
            rtci_scalar_write(v, s->base);
        s->off = RTCI_SCALAR_SIZE;
        return 0;
    case RTC_STRING:
    case RTC_BYTES: {
        RTCI_TRY(bytes_check(v));
        uint64_t size = v->as.bytes.size;
        sink_write(s, (const char *)&word, 8);
        sink_write(s, (const char *)&size, 8);
        sink_write(s, v->as.bytes.data, v->as.bytes.size);
        sink_zero(s, 1);
        return 0;
    }
    case RTC_ARRAY: return emit_array(s, v);
    case RTC_REF:
        if (v->as.ref.client == 0)
            return rtci_error(RTC_E_INVALID, "the value is the reference \"none\" (all zero)");
        word |= 1ull << 32;
        sink_write(s, (const char *)&word, 8);
        s->n_refs = 1;
        if (rtci_value_light(v)) {
            sink_write(s, (const char *)&v->as.actor.light, sizeof(v->as.actor.light));
            s->n_lights = 1;
        }
        s->ids_at = s->off;
        return sink_write(s, (const char *)&v->as.ref, sizeof(v->as.ref));
    case RTC_LIST:
    case RTC_MAP: {
        sink_zero(s, 8);
        msgpack_packer pk;
        msgpack_packer_init(&pk, s, sink_write);
        RTCI_TRY(pack_items(s, &pk, v, 0));
        sink_zero(s, -s->off & 7u);
        if (s->base) {
            word |= (uint64_t)s->n_refs << 32;
            memcpy(s->base, &word, sizeof(word));
        }
        s->ids_at = s->off;
        s->off += s->n_refs * sizeof(struct rtci_id);
        return 0;
    }
    default: return rtci_error(RTC_E_TYPE, "a value has the unknown type %u", v->type);
    }
}

int rtci_value_plan(const struct rtc_value *value, struct value_plan *ret_plan)
{
    if (RTCI_LIKELY(rtci_value_is_scalar(value))) {
        *ret_plan = (struct value_plan){.size = RTCI_SCALAR_SIZE};
        return 0;
    }
    struct sink s = {0};
    RTCI_TRY(emit(&s, value));
    *ret_plan = (struct value_plan){
        .size = s.off, .ids_at = s.ids_at, .n_refs = s.n_refs, .n_lights = s.n_lights};
    return 0;
}

void rtci_value_write(const struct rtc_value *value, const struct value_plan *plan, void *dst)
{
    if (RTCI_LIKELY(rtci_value_is_scalar(value))) {
        rtci_scalar_write(value, dst);
        return;
    }
    struct sink s = {.base = dst, .ids_at = plan->ids_at};
    int rc = emit(&s, value);
    RTCI_ASSERT(rc == 0 && s.off == plan->size);
}
