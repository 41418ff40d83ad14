/* rtc/value.h: values as arguments, returns and objects.
 *
 * A struct rtc_value is a small description, passed and copied freely; it owns nothing. Built by
 * the functions below it borrows what it points to until the call it is passed to returns. Read
 * from the runtime it points into memory of the runtime (or of the object store, without a copy)
 * and is valid until the reference it came from is released, or, for arguments, until the task
 * returns.
 */
#ifndef RTC_VALUE_H
#define RTC_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rtc/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Names a future, a task's result, or an object. A plain number: copying it adds no reference.
 * Each one got from a call is released once, with rtc_release(). {0} is "none". */
typedef struct rtc_ref {
    uint64_t seq;
    uint32_t client;
    uint32_t index;
} rtc_ref;

enum rtc_type {
    RTC_NIL,
    RTC_BOOL,
    RTC_INT,    /* int64_t */
    RTC_UINT,   /* uint64_t above INT64_MAX */
    RTC_FLOAT,  /* double */
    RTC_STRING, /* UTF-8, length-counted; also NUL-terminated when it was got from the runtime as an
                   argument made by rtc_str() */
    RTC_BYTES,
    RTC_ARRAY, /* n-d array: dtype, shape, data */
    RTC_LIST,  /* values, nested */
    RTC_MAP,   /* pairs, keys are any value, usually strings */
    RTC_REF    /* a reference */
};

enum rtc_dtype {
    RTC_U8,
    RTC_I8,
    RTC_U16,
    RTC_I16,
    RTC_U32,
    RTC_I32,
    RTC_U64,
    RTC_I64,
    RTC_F16,
    RTC_BF16,
    RTC_F32,
    RTC_F64
};
#define RTC_NDIM_MAX 8

/* An n-d array, C order (last dimension fastest). */
struct rtc_array {
    const void *data; /* 64-byte aligned in the object store, 8 elsewhere */
    size_t size;      /* bytes */
    int64_t shape[RTC_NDIM_MAX];
    uint8_t ndim;  /* 0 = a scalar */
    uint8_t dtype; /* enum rtc_dtype */
};

struct rtc_value {
    uint8_t type; /* enum rtc_type */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        struct {
            const void *data;
            size_t size;
        } bytes;                       /* STRING, BYTES */
        const struct rtc_array *array; /* when building */
        struct {
            const struct rtc_value *items;
            size_t n;
        } list; /* LIST: n items; MAP: 2n items, key
then value; when building */
        rtc_ref ref;
        struct {
            rtc_ref host;
            uint64_t light;
        } actor; /* REF that is a handle: rtc_of_actor(), rtc_value_actor() */
        struct {
            const void *at;
            size_t size;
            uint32_t n;
        } packed; /* LIST, MAP, ARRAY as got from the
runtime: use the rtc_value_* readers */
    } as;
    uint8_t is_packed;
};

/* Element size in bytes; 0 for an unknown dtype. */
size_t rtc_dtype_size(enum rtc_dtype dtype);

static inline struct rtc_value rtc_nil(void)
{
    struct rtc_value v;
    memset(&v, 0, sizeof(v));
    return v;
}
static inline struct rtc_value rtc_bool(bool x)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_BOOL;
    v.as.b = x;
    return v;
}
static inline struct rtc_value rtc_i64(int64_t x)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_INT;
    v.as.i = x;
    return v;
}
static inline struct rtc_value rtc_u64(uint64_t x)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_UINT;
    v.as.u = x;
    return v;
}
static inline struct rtc_value rtc_f64(double x)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_FLOAT;
    v.as.f = x;
    return v;
}
static inline struct rtc_value rtc_bytes(const void *data, size_t size)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_BYTES;
    v.as.bytes.data = data;
    v.as.bytes.size = size;
    return v;
}
static inline struct rtc_value rtc_str_n(const char *text, size_t len)
{
    struct rtc_value v = rtc_bytes(text, len);
    v.type = RTC_STRING;
    return v;
}
static inline struct rtc_value rtc_str(const char *text)
{
    return rtc_str_n(text, strlen(text));
}
static inline struct rtc_value rtc_nd(const struct rtc_array *array)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_ARRAY;
    v.as.array = array;
    return v;
}
static inline struct rtc_value rtc_list(const struct rtc_value *items, size_t n)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_LIST;
    v.as.list.items = items;
    v.as.list.n = n;
    return v;
}
/* 2n items: key, value, key, value, … */
static inline struct rtc_value rtc_map(const struct rtc_value *items, size_t n)
{
    struct rtc_value v = rtc_list(items, n);
    v.type = RTC_MAP;
    return v;
}
static inline struct rtc_value rtc_of_ref(rtc_ref ref)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_REF;
    v.as.ref = ref;
    return v;
}

/* ---- Readers ----
 * Pure functions: any thread, nothing blocks, nothing is owned. Each takes a value that was built
 * here or got from the runtime. Errors of all: RTC_E_TYPE another type; RTC_E_PROTOCOL the bytes
 * are malformed. What is pointed to is valid as long as the value is. */

/* Errors: RTC_E_RANGE a u64 above INT64_MAX. */
int rtc_value_i64(const struct rtc_value *value, int64_t *ret_x);
/* Errors: RTC_E_RANGE a negative number. */
int rtc_value_u64(const struct rtc_value *value, uint64_t *ret_x);
/* Integers too, rounded. */
int rtc_value_f64(const struct rtc_value *value, double *ret_x);
int rtc_value_bool(const struct rtc_value *value, bool *ret_x);
int rtc_value_bytes(const struct rtc_value *value, const void **ret_data, size_t *ret_size);
/* UTF-8, not NUL-terminated if it stands in a list or map; ret_len may be NULL. */
int rtc_value_str(const struct rtc_value *value, const char **ret_text, size_t *ret_len);
/* The data is read in place. */
int rtc_value_array(const struct rtc_value *value, struct rtc_array *ret_array);
int rtc_value_ref(const struct rtc_value *value, rtc_ref *ret_ref);
/* Number of items of a list, of pairs of a map; 0 for anything else. */
size_t rtc_value_len(const struct rtc_value *value);
/* Item i of a list; for a map, items 2i and 2i+1 are key and value. Walking forwards is cheap,
 * going back walks from the start. Errors: RTC_E_NOT_FOUND there are fewer. */
int rtc_value_at(const struct rtc_value *value, size_t i, struct rtc_value *ret_item);
/* The value under a string key of a map; walks it. Errors: RTC_E_NOT_FOUND. */
int rtc_value_find(const struct rtc_value *map, const char *key, struct rtc_value *ret_item);
/* "i64", "str", … as in signatures; "?" for what is none. */
const char *rtc_type_name(enum rtc_type type);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
