/* Reading nested lists and maps in place. Everything is checked against the end of the value: the
 * bytes may come from any process of the job. Nothing is allocated and nothing is unpacked that is
 * not asked for, so that a list of 10,000 references costs nothing to get. */
#include <stdatomic.h>
#include <string.h>

#include "runtime/client/error.h"
#include "runtime/client/light.h"
#include "runtime/client/value.h"

/* The head of one msgpack item. */
struct head {
    uint8_t type; /* enum rtc_type */
    int8_t ext;   /* for extensions: their number, else 0 */
    uint64_t
        number;  /* scalar payload; length of strings, bytes, extensions; items of lists, maps */
    size_t size; /* bytes of the head itself */
};

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x = x << 8 | p[i];
    return x;
}

static bool head_set(struct head *h, uint8_t type, uint64_t number, size_t size)
{
    h->type = type;
    h->number = number;
    h->size = size;
    return true;
}

static bool number_head(const uint8_t *at, size_t n, struct head *h)
{
    uint8_t b = at[0];
    if (b == 0xca || b == 0xcb) {
        size_t width = b == 0xca ? 4 : 8;
        if (n < 1 + width)
            return false;
        uint64_t bits = big_endian(at + 1, width);
        if (b == 0xca) {
            uint32_t bits32 = (uint32_t)bits;
            float f;
            memcpy(&f, &bits32, sizeof(f));
            double d = (double)f;
            memcpy(&bits, &d, sizeof(bits));
        }
        return head_set(h, RTC_FLOAT, bits, 1 + width);
    }
    size_t width = (size_t)1 << ((b - 0xcc) & 3); /* cc..cf unsigned, d0..d3 signed */
    if (n < 1 + width)
        return false;
    uint64_t x = big_endian(at + 1, width);
    if (b >= 0xd0 && width < 8 && (x >> (width * 8 - 1)))
        x |= ~0ull << (width * 8);
    uint8_t type = b < 0xd0 && (x >> 63) ? RTC_UINT : RTC_INT;
    return head_set(h, type, x, 1 + width);
}

static bool sized_head(const uint8_t *at, size_t n, struct head *h)
{
    static const struct {
        uint8_t first, type, width[3];
    } kinds[] = {{0xc4, RTC_BYTES, {1, 2, 4}},
                 {0xc7, RTC_NIL, {1, 2, 4}},
                 {0xd9, RTC_STRING, {1, 2, 4}},
                 {0xdc, RTC_LIST, {2, 4, 0}},
                 {0xde, RTC_MAP, {2, 4, 0}}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        uint8_t i = (uint8_t)(at[0] - kinds[k].first);
        if (i > 2 || kinds[k].width[i] == 0)
            continue;
        size_t width = kinds[k].width[i];
        bool ext = kinds[k].first == 0xc7;
        if (n < 1 + width + ext)
            return false;
        h->ext = ext ? (int8_t)at[1 + width] : 0;
        return head_set(h, kinds[k].type, big_endian(at + 1, width), 1 + width + ext);
    }
    return false;
}

static bool head_of(const uint8_t *at, const uint8_t *end, struct head *h)
{
    size_t n = (size_t)(end - at);
    if (n == 0)
        return false;
    uint8_t b = at[0];
    h->ext = 0;
    if (b < 0x80)
        return head_set(h, RTC_INT, b, 1);
    if (b < 0x90)
        return head_set(h, RTC_MAP, b & 15u, 1);
    if (b < 0xa0)
        return head_set(h, RTC_LIST, b & 15u, 1);
    if (b < 0xc0)
        return head_set(h, RTC_STRING, b & 31u, 1);
    if (b >= 0xe0)
        return head_set(h, RTC_INT, (uint64_t)(int64_t)(int8_t)b, 1);
    if (b == 0xc0)
        return head_set(h, RTC_NIL, 0, 1);
    if (b == 0xc2 || b == 0xc3)
        return head_set(h, RTC_BOOL, b & 1u, 1);
    if (b >= 0xca && b <= 0xd3)
        return number_head(at, n, h);
    if (b >= 0xd4 && b <= 0xd8) { /* fixext 1, 2, 4, 8, 16 */
        if (n < 2)
            return false;
        h->ext = (int8_t)at[1];
        return head_set(h, RTC_NIL, 1ull << (b - 0xd4), 2);
    }
    return sized_head(at, n, h);
}

static bool has_payload(const struct head *h)
{
    return h->type == RTC_STRING || h->type == RTC_BYTES || h->ext != 0;
}

/* Of a light actor the number of its host is followed by which one it is. */
static bool ref_ok(const uint8_t *at, uint64_t size, uint32_t n_ids)
{
    uint64_t light;
    if ((size != 4 && size != 12) || big_endian(at, 4) >= n_ids)
        return false;
    if (size == 4)
        return true;
    memcpy(&light, at + 4, sizeof(light));
    return rtci_light_ok(light);
}

/* Steps over one whole item. Depth is bounded by counting what is still open on a small stack. */
static int skip(const uint8_t **at_inout, const uint8_t *end, uint32_t n_ids)
{
    const uint8_t *at = *at_inout;
    uint64_t open[RTCI_VALUE_DEPTH_MAX + 1];
    int depth = 0;
    open[0] = 1;
    while (depth >= 0) {
        if (open[depth] == 0) {
            depth--;
            continue;
        }
        open[depth]--;
        struct head h;
        if (!head_of(at, end, &h))
            return RTC_E_PROTOCOL;
        at += h.size;
        if (has_payload(&h)) {
            if (h.number > (uint64_t)(end - at))
                return RTC_E_PROTOCOL;
            struct rtc_array array;
            if (h.ext == RTCI_EXT_ARRAY && rtci_nested_array(at, h.number, &array) < 0)
                return RTC_E_PROTOCOL;
            if (h.ext == RTCI_EXT_REF && !ref_ok(at, h.number, n_ids))
                return RTC_E_PROTOCOL;
            at += h.number;
        } else if (h.type == RTC_LIST || h.type == RTC_MAP) {
            uint64_t items = h.type == RTC_MAP ? h.number * 2 : h.number;
            if (items > (uint64_t)(end - at) || depth == RTCI_VALUE_DEPTH_MAX)
                return RTC_E_PROTOCOL;
            open[++depth] = items;
        }
    }
    *at_inout = at;
    return 0;
}

int rtci_nested_check(const uint8_t *at, const uint8_t *end, uint32_t n_ids)
{
    RTCI_TRY(skip(&at, end, n_ids));
    return end - at < 8 ? 0 : RTC_E_PROTOCOL; /* only the padding may follow */
}

int rtci_nested_array(const uint8_t *at, size_t size, struct rtc_array *ret_array)
{
    if (size < 8 || at[1] > RTC_NDIM_MAX || rtc_dtype_size(at[0]) == 0)
        return RTC_E_PROTOCOL;
    struct rtc_array a = {.dtype = at[0], .ndim = at[1]};
    size_t data_at = 8 + 8 * (size_t)a.ndim + (at[2] & 7u);
    if (size < data_at)
        return RTC_E_PROTOCOL;
    memcpy(a.shape, at + 8, 8 * (size_t)a.ndim);
    uint64_t bytes = rtc_dtype_size(a.dtype);
    for (int i = 0; i < a.ndim; i++) {
        if (a.shape[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)a.shape[i], &bytes))
            return RTC_E_PROTOCOL;
    }
    if (bytes != size - data_at)
        return RTC_E_PROTOCOL;
    a.data = at + data_at;
    a.size = bytes;
    *ret_array = a;
    return 0;
}

static int ext_value(struct nested_reader *r, const struct head *h, const uint8_t *item,
                     struct rtc_value *v)
{
    if (h->ext == RTCI_EXT_REF) {
        if (!ref_ok(r->at, h->number, r->n_ids))
            return RTC_E_PROTOCOL;
        v->type = RTC_REF;
        v->as.ref = rtci_ref_of(r->ids[big_endian(r->at, 4)]);
        if (h->number == 12)
            memcpy(&v->as.actor.light, r->at + 4, sizeof(v->as.actor.light));
        return h->number == 4 || v->as.ref.index == RTCI_HANDLE ? 0 : RTC_E_PROTOCOL;
    }
    if (h->ext != RTCI_EXT_ARRAY)
        return RTC_E_PROTOCOL;
    v->type = RTC_ARRAY;
    v->is_packed = 2;
    v->as.packed.at = item + h->size;
    v->as.packed.size = h->number;
    return 0;
}

int rtci_nested_next(struct nested_reader *r, struct rtc_value *ret_value)
{
    const uint8_t *item = r->at;
    struct head h;
    if (!head_of(item, r->end, &h))
        return RTC_E_PROTOCOL;
    struct rtc_value v = rtc_nil();
    v.type = h.type;
    r->at += h.size;
    if (has_payload(&h)) {
        if (h.number > (uint64_t)(r->end - r->at))
            return RTC_E_PROTOCOL;
        if (h.ext)
            RTCI_TRY(ext_value(r, &h, item, &v));
        else
            v.as.bytes.data = r->at;
        if (!h.ext)
            v.as.bytes.size = h.number;
        r->at += h.number;
    } else if (h.type == RTC_LIST || h.type == RTC_MAP) {
        v.is_packed = 2;
        v.as.packed.at = item;
        v.as.packed.n = r->n_ids;
        v.as.packed.size = (size_t)((const uint8_t *)(r->ids + r->n_ids) - item);
        r->at = item;
        RTCI_TRY(skip(&r->at, r->end, r->n_ids));
    } else if (h.type == RTC_BOOL) {
        v.as.b = h.number != 0;
    } else {
        v.as.u = h.number;
    }
    *ret_value = v;
    return 0;
}

int rtci_nested_open(const struct rtc_value *value, struct nested_reader *ret_reader,
                     uint8_t *ret_type, uint32_t *ret_n)
{
    const uint8_t *begin = value->as.packed.at;
    uint32_t n_ids = value->as.packed.n;
    const uint8_t *end = begin + value->as.packed.size - n_ids * sizeof(struct rtci_id);
    struct nested_reader r = {.at = begin + (value->is_packed == 1 ? 8 : 0),
                              .end = end,
                              .ids = (const struct rtci_id *)end,
                              .n_ids = n_ids};
    struct head h;
    if (!head_of(r.at, r.end, &h) || (h.type != RTC_LIST && h.type != RTC_MAP))
        return RTC_E_PROTOCOL;
    r.at += h.size;
    *ret_reader = r;
    *ret_type = h.type;
    *ret_n = (uint32_t)h.number;
    return 0;
}
