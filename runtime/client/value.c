#include "runtime/client/value.h"

#include <math.h>
#include <rtc/rtc.h>
#include <stdatomic.h>
#include <string.h>

#include "runtime/client/error.h"
#include "runtime/client/light.h"

/* Walking a list forwards is cheap because each thread remembers where it was in the last one. The
 * memory of a freed list may be reused by another: then the epoch differs and the walk starts over.
 */
static _Atomic uint64_t walk_epoch;
#define WALKS 4 /* lists within lists are walked together */
struct walk {
    const void *at;
    uint64_t epoch;
    size_t next;
    struct nested_reader reader;
};
static _Thread_local struct walk walks[WALKS];
static _Thread_local unsigned walk_victim;

void rtci_value_forget(void)
{
    atomic_fetch_add_explicit(&walk_epoch, 1, memory_order_relaxed);
}

size_t rtc_dtype_size(enum rtc_dtype dtype)
{
    static const uint8_t size[] = {
        [RTC_U8] = 1,  [RTC_I8] = 1,  [RTC_U16] = 2, [RTC_I16] = 2,  [RTC_U32] = 4, [RTC_I32] = 4,
        [RTC_U64] = 8, [RTC_I64] = 8, [RTC_F16] = 2, [RTC_BF16] = 2, [RTC_F32] = 4, [RTC_F64] = 8};
    return (unsigned)dtype < sizeof(size) ? size[dtype] : 0;
}

const char *rtc_type_name(enum rtc_type type)
{
    static const char *const names[] = {"nil",   "bool",  "i64",  "u64", "f64", "str",
                                        "bytes", "array", "list", "map", "ref"};
    return (unsigned)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

static int wrong_type(const struct rtc_value *value, const char *wanted)
{
    return rtci_error(RTC_E_TYPE, "the value is of type %s, not %s", rtc_type_name(value->type),
                      wanted);
}

static int view_array(const uint8_t *data, uint64_t size, struct rtc_array *ret_array)
{
    struct rtc_array a = {.dtype = data[1], .ndim = data[2]};
    uint32_t offset;
    uint64_t bytes;
    memcpy(&offset, data + 4, sizeof(offset));
    memcpy(&bytes, data + 8, sizeof(bytes));
    uint64_t want = rtc_dtype_size(a.dtype);
    if (want == 0 || a.ndim > RTC_NDIM_MAX || offset < 16 + 8u * a.ndim || offset > size ||
        bytes != size - offset)
        return RTC_E_PROTOCOL;
    memcpy(a.shape, data + 16, 8u * a.ndim);
    for (int i = 0; i < a.ndim; i++) {
        if (a.shape[i] < 0 || __builtin_mul_overflow(want, (uint64_t)a.shape[i], &want))
            return RTC_E_PROTOCOL;
    }
    if (want != bytes)
        return RTC_E_PROTOCOL;
    a.data = data + offset;
    a.size = bytes;
    *ret_array = a;
    return 0;
}

static int view_nested(const uint8_t *data, uint64_t size, struct rtc_value *v)
{
    uint32_t n_refs;
    memcpy(&n_refs, data + 4, sizeof(n_refs));
    if ((uint64_t)n_refs * sizeof(struct rtci_id) > size - 8)
        return RTC_E_PROTOCOL;
    const uint8_t *end = data + size - n_refs * sizeof(struct rtci_id);
    if (((uintptr_t)end & 7u) != 0)
        return RTC_E_PROTOCOL;
    v->is_packed = 1;
    v->as.packed.at = data;
    v->as.packed.size = size;
    v->as.packed.n = n_refs;
    struct nested_reader r;
    uint8_t type;
    uint32_t n;
    if (rtci_nested_open(v, &r, &type, &n) < 0 || type != v->type)
        return RTC_E_PROTOCOL;
    return 0;
}

static int view(const uint8_t *data, uint64_t size, struct rtc_value *v)
{
    if (size < 16)
        return RTC_E_PROTOCOL;
    uint64_t word;
    memcpy(&word, data + 8, sizeof(word));
    v->type = data[0];
    struct rtc_array array;
    switch (v->type) {
    case RTC_NIL: return 0;
    case RTC_BOOL: v->as.b = word != 0; return 0;
    case RTC_INT:
    case RTC_UINT:
    case RTC_FLOAT: v->as.u = word; return 0;
    case RTC_STRING:
    case RTC_BYTES:
        if (size < 17 || word != size - 17 || (v->type == RTC_STRING && data[size - 1] != 0))
            return RTC_E_PROTOCOL;
        v->as.bytes.data = data + 16;
        v->as.bytes.size = word;
        return 0;
    case RTC_ARRAY:
        v->is_packed = 1;
        v->as.packed.at = data;
        v->as.packed.size = size;
        return view_array(data, size, &array);
    case RTC_LIST:
    case RTC_MAP: return view_nested(data, size, v);
    case RTC_REF:
        if (size == 24) {
            memcpy(&v->as.ref, data + 8, sizeof(v->as.ref));
            return 0;
        }
        if (size != RTCI_LIGHT_VALUE)
            return RTC_E_PROTOCOL;
        v->as.actor.light = word;
        memcpy(&v->as.actor.host, data + 16, sizeof(v->as.actor.host));
        return v->as.ref.index == RTCI_HANDLE && rtci_light_ok(word) ? 0 : RTC_E_PROTOCOL;
    default: return RTC_E_PROTOCOL;
    }
}

int rtci_value_view(const void *data, uint64_t size, struct rtc_value *ret_value)
{
    struct rtc_value v = rtc_nil();
    if (view(data, size, &v) < 0)
        return rtci_error(RTC_E_PROTOCOL,
                          "a value of %llu bytes is malformed: its writer has another "
                          "version of rtc, or overwrote its memory",
                          (unsigned long long)size);
    *ret_value = v;
    return 0;
}

int rtc_value_i64(const struct rtc_value *value, int64_t *ret_x)
{
    if (value->type == RTC_UINT && value->as.u > INT64_MAX)
        return rtci_error(RTC_E_RANGE, "%llu does not fit an i64", (unsigned long long)value->as.u);
    if (value->type != RTC_INT && value->type != RTC_UINT)
        return wrong_type(value, "i64");
    *ret_x = value->as.i;
    return 0;
}

int rtc_value_u64(const struct rtc_value *value, uint64_t *ret_x)
{
    if (value->type == RTC_INT && value->as.i < 0)
        return rtci_error(RTC_E_RANGE, "%lld does not fit a u64", (long long)value->as.i);
    if (value->type != RTC_INT && value->type != RTC_UINT)
        return wrong_type(value, "u64");
    *ret_x = value->as.u;
    return 0;
}

int rtc_value_f64(const struct rtc_value *value, double *ret_x)
{
    if (value->type == RTC_FLOAT)
        *ret_x = value->as.f;
    else if (value->type == RTC_INT)
        *ret_x = (double)value->as.i;
    else if (value->type == RTC_UINT)
        *ret_x = (double)value->as.u;
    else
        return wrong_type(value, "f64");
    return 0;
}

int rtc_value_bool(const struct rtc_value *value, bool *ret_x)
{
    if (value->type != RTC_BOOL)
        return wrong_type(value, "bool");
    *ret_x = value->as.b;
    return 0;
}

int rtc_value_bytes(const struct rtc_value *value, const void **ret_data, size_t *ret_size)
{
    if (value->type != RTC_BYTES)
        return wrong_type(value, "bytes");
    *ret_data = value->as.bytes.data;
    *ret_size = value->as.bytes.size;
    return 0;
}

int rtc_value_str(const struct rtc_value *value, const char **ret_text, size_t *ret_len)
{
    if (value->type != RTC_STRING)
        return wrong_type(value, "str");
    *ret_text = value->as.bytes.data;
    if (ret_len)
        *ret_len = value->as.bytes.size;
    return 0;
}

int rtc_value_array(const struct rtc_value *value, struct rtc_array *ret_array)
{
    if (value->type != RTC_ARRAY)
        return wrong_type(value, "array");
    int rc = 0;
    if (value->is_packed == 0)
        *ret_array = *value->as.array;
    else if (value->is_packed == 1)
        rc = view_array(value->as.packed.at, value->as.packed.size, ret_array);
    else
        rc = rtci_nested_array(value->as.packed.at, value->as.packed.size, ret_array);
    return rc < 0 ? rtci_error(rc, "the array is malformed") : 0;
}

int rtc_value_ref(const struct rtc_value *value, rtc_ref *ret_ref)
{
    if (value->type != RTC_REF)
        return wrong_type(value, "ref");
    if (value->as.ref.index == RTCI_HANDLE)
        return rtci_error(RTC_E_TYPE, "the value is an actor, not a reference: rtc_value_actor()");
    *ret_ref = value->as.ref;
    return 0;
}

int rtc_value_refs(const struct rtc_value *value, const rtc_ref **ret_refs, size_t *ret_n)
{
    *ret_refs = NULL;
    *ret_n = 0;
    if (value->type == RTC_REF) {
        *ret_refs = &value->as.ref;
        *ret_n = 1;
    } else if ((value->type == RTC_LIST || value->type == RTC_MAP) && value->is_packed) {
        const uint8_t *end = (const uint8_t *)value->as.packed.at + value->as.packed.size;
        *ret_n = value->as.packed.n;
        *ret_refs = (const rtc_ref *)end - value->as.packed.n;
    } else if (value->type == RTC_LIST || value->type == RTC_MAP) {
        return rtci_error(RTC_E_TYPE, "the value was not got from the runtime: its references are "
                                      "where you put them");
    }
    return 0;
}

size_t rtc_value_len(const struct rtc_value *value)
{
    if (value->type != RTC_LIST && value->type != RTC_MAP)
        return 0;
    if (!value->is_packed)
        return value->as.list.n;
    struct nested_reader r;
    uint8_t type;
    uint32_t n;
    return rtci_nested_open(value, &r, &type, &n) < 0 ? 0 : n;
}

/* Where this thread is in the list, if not beyond item i; else a walk from its start. */
static int walk_of(const struct rtc_value *value, size_t i, struct walk **ret_walk)
{
    uint64_t epoch = atomic_load_explicit(&walk_epoch, memory_order_relaxed);
    for (unsigned k = 0; k < WALKS; k++) {
        struct walk *w = &walks[k];
        if (w->at == value->as.packed.at && w->epoch == epoch && w->next <= i) {
            *ret_walk = w;
            return 0;
        }
    }
    struct walk *w = &walks[walk_victim++ % WALKS];
    uint8_t type;
    uint32_t count;
    w->at = NULL;
    RTCI_TRY(rtci_nested_open(value, &w->reader, &type, &count));
    w->next = 0;
    w->epoch = epoch;
    w->at = value->as.packed.at;
    *ret_walk = w;
    return 0;
}

int rtc_value_at(const struct rtc_value *value, size_t i, struct rtc_value *ret_item)
{
    if (value->type != RTC_LIST && value->type != RTC_MAP)
        return wrong_type(value, "list or map");
    size_t len = rtc_value_len(value);
    size_t n = value->type == RTC_MAP ? 2 * len : len;
    if (i >= n)
        return rtci_error(RTC_E_NOT_FOUND, "item %zu of a %s of %zu", i, rtc_type_name(value->type),
                          len);
    if (!value->is_packed) {
        *ret_item = value->as.list.items[i];
        return 0;
    }
    struct walk *w;
    RTCI_TRY(walk_of(value, i, &w));
    for (; w->next <= i; w->next++) {
        int rc = rtci_nested_next(&w->reader, ret_item);
        if (rc < 0) {
            w->at = NULL;
            return rtci_error(rc, "item %zu of the %s is malformed", w->next,
                              rtc_type_name(value->type));
        }
    }
    return 0;
}

int rtc_value_find(const struct rtc_value *map, const char *key, struct rtc_value *ret_item)
{
    if (map->type != RTC_MAP)
        return wrong_type(map, "map");
    size_t key_len = strlen(key), n = rtc_value_len(map);
    for (size_t i = 0; i < n; i++) {
        struct rtc_value item;
        RTCI_TRY(rtc_value_at(map, 2 * i, &item));
        if (item.type == RTC_STRING && item.as.bytes.size == key_len &&
            memcmp(item.as.bytes.data, key, key_len) == 0)
            return rtc_value_at(map, 2 * i + 1, ret_item);
    }
    return rtci_error(RTC_E_NOT_FOUND, "the map has no key \"%s\"", key);
}
