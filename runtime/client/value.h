/* Values on the wire. Head and nodes never look inside them; they see only the list of contained
 * references, which travels beside the bytes.
 *
 *   scalar      u8 type, u8[7] zero, 8 bytes
 *   string,     u8 type, u8[7] zero, u64 length, the bytes, a NUL
 *   bytes
 *   array       u8 type, u8 dtype, u8 ndim, u8 zero, u32 offset of the data, u64 bytes of data,
 *               i64 shape[ndim], padding, data (aligned to 64 from 4 KiB on, else to 8)
 *   list, map   u8 type, u8[3] zero, u32 n_refs, msgpack, padding to 8, struct rtci_id[n_refs]
 *   reference   u8 type, u8[3] zero, u32 1, struct rtci_id
 *   light actor u8 type, u8[3] zero, u32 1, u64 which, struct rtci_id of its host
 *
 * Inside msgpack an array is ext 1: u8 dtype, u8 ndim, u8 padding, u8[5] zero, i64 shape[ndim],
 * padding, data (aligned to 8 from the start of the value); a reference is ext 2: u32 index into
 * the ids at the end, for a light actor then u64 which.
 */
#ifndef RTCI_CLIENT_VALUE_H
#define RTCI_CLIENT_VALUE_H

#include <rtc/value.h>

#include "runtime/base/assert.h"
#include "runtime/wire/wire.h"

#define RTCI_VALUE_DEPTH_MAX 64
#define RTCI_EXT_ARRAY       1
#define RTCI_EXT_REF         2

_Static_assert(sizeof(struct rtc_ref) == sizeof(struct rtci_id), "a reference is an id");

static inline struct rtci_id rtci_id_of(rtc_ref ref)
{
    return (struct rtci_id){ref.seq, ref.client, ref.index};
}
static inline rtc_ref rtci_ref_of(struct rtci_id id)
{
    return (rtc_ref){id.seq, id.client, id.index};
}

/* What writing a value takes, found by rtci_value_plan. */
struct value_plan {
    uint64_t size;   /* bytes */
    uint64_t ids_at; /* where the ids begin; they end the value */
    uint32_t n_refs;
    uint32_t n_lights; /* of these, handles of light actors */
};
/* RTC_E_TYPE, RTC_E_INVALID, RTC_E_TOO_LARGE with a sentence when the value cannot be written. */
int rtci_value_plan(const struct rtc_value *value, struct value_plan *ret_plan) RTCI_MUST_USE;
/* Writes exactly plan->size bytes at dst, which is 8-aligned. */
void rtci_value_write(const struct rtc_value *value, const struct value_plan *plan, void *dst);
/* A view of written bytes: validated, so that every reader is safe on it. */
int rtci_value_view(const void *data, uint64_t size, struct rtc_value *ret_value) RTCI_MUST_USE;
static inline bool rtci_value_is_scalar(const struct rtc_value *value)
{
    return value->type <= RTC_FLOAT;
}
#define RTCI_SCALAR_SIZE 16u
#define RTCI_LIGHT_VALUE 32u /* bytes of a value that is the handle of a light actor */
static inline uint64_t rtci_value_light(const struct rtc_value *value)
{
    return value->type == RTC_REF && value->as.ref.index == RTCI_HANDLE ? value->as.actor.light : 0;
}
static inline void rtci_scalar_write(const struct rtc_value *value, void *dst)
{
    uint64_t payload = value->type == RTC_NIL    ? 0
                       : value->type == RTC_BOOL ? value->as.b
                                                 : value->as.u;
    uint64_t *words = (uint64_t *)dst;
    words[0] = value->type;
    words[1] = payload;
}

/* Values of lists and maps were freed: what walkers remember about them is void. */
void rtci_value_forget(void);

/* ---- value_nested.c ---- */
/* One msgpack item at [at, end): its view, and where the next begins. RTC_E_PROTOCOL if malformed.
 * ids/n_ids: the references of the whole value. */
struct nested_reader {
    const uint8_t *at, *end;
    const struct rtci_id *ids;
    uint32_t n_ids;
};
int rtci_nested_next(struct nested_reader *reader, struct rtc_value *ret_value) RTCI_MUST_USE;
int rtci_nested_open(const struct rtc_value *value, struct nested_reader *ret_reader,
                     uint8_t *ret_type, uint32_t *ret_n) RTCI_MUST_USE;
/* RTC_E_PROTOCOL unless [at, end) is one well-formed item nested no deeper than the limit. */
int rtci_nested_check(const uint8_t *at, const uint8_t *end, uint32_t n_ids) RTCI_MUST_USE;
/* Fills an array from ext 1's payload. */
int rtci_nested_array(const uint8_t *at, size_t size, struct rtc_array *ret_array) RTCI_MUST_USE;

#endif
