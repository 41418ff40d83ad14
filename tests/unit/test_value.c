/* Values written and read back; read also by msgpack-c itself, and damaged in every byte. */
#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

/* needs the four above */
#include <cmocka.h>
#include <msgpack.h>

#include "runtime/client/light.h"
#include "runtime/client/value.h"

/* Writes the value into fresh 8-aligned memory of exactly its size, so that ASan sees any step
 * beyond. */
static void *write_value(const struct rtc_value *value, struct value_plan *plan)
{
    assert_int_equal(rtci_value_plan(value, plan), 0);
    void *bytes = malloc(plan->size);
    rtci_value_write(value, plan, bytes);
    return bytes;
}

static void check_same(const struct rtc_value *a, const struct rtc_value *b);

static void check_items(const struct rtc_value *a, const struct rtc_value *b)
{
    size_t n = rtc_value_len(a);
    assert_int_equal(n, rtc_value_len(b));
    for (size_t i = 0; i < (a->type == RTC_MAP ? 2 * n : n); i++) {
        struct rtc_value x, y;
        assert_int_equal(rtc_value_at(a, i, &x), 0);
        assert_int_equal(rtc_value_at(b, i, &y), 0);
        check_same(&x, &y);
    }
    struct rtc_value end;
    assert_int_equal(rtc_value_at(b, a->type == RTC_MAP ? 2 * n : n, &end), RTC_E_NOT_FOUND);
}

static void check_same(const struct rtc_value *a, const struct rtc_value *b)
{
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case RTC_NIL: break;
    case RTC_BOOL: assert_int_equal(a->as.b, b->as.b); break;
    case RTC_INT:
    case RTC_UINT:
    case RTC_FLOAT: assert_memory_equal(&a->as.u, &b->as.u, 8); break;
    case RTC_STRING:
    case RTC_BYTES:
        assert_int_equal(a->as.bytes.size, b->as.bytes.size);
        if (a->as.bytes.size)
            assert_memory_equal(a->as.bytes.data, b->as.bytes.data, a->as.bytes.size);
        break;
    case RTC_REF: assert_memory_equal(&a->as.ref, &b->as.ref, sizeof(a->as.ref)); break;
    case RTC_ARRAY: {
        struct rtc_array x, y;
        assert_int_equal(rtc_value_array(a, &x), 0);
        assert_int_equal(rtc_value_array(b, &y), 0);
        assert_int_equal(x.dtype, y.dtype);
        assert_int_equal(x.ndim, y.ndim);
        assert_memory_equal(x.shape, y.shape, sizeof(x.shape));
        assert_int_equal((uintptr_t)y.data % 8, 0);
        assert_int_equal(x.size, y.size);
        if (x.size)
            assert_memory_equal(x.data, y.data, x.size);
        break;
    }
    default: check_items(a, b); break;
    }
}

static void check_round_trip(const struct rtc_value *value)
{
    struct value_plan plan, again;
    struct rtc_value back, twice;
    void *bytes = write_value(value, &plan), *copy;
    assert_int_equal(rtci_value_view(bytes, plan.size, &back), 0);
    check_same(value, &back);
    if ((back.type == RTC_LIST || back.type == RTC_MAP) && back.is_packed == 1) {
        struct nested_reader r = {0};
        uint8_t type;
        uint32_t n;
        assert_int_equal(rtci_nested_open(&back, &r, &type, &n), 0);
        assert_int_equal(rtci_nested_check((uint8_t *)bytes + 8, r.end, r.n_ids), 0);
    }
    /* What was got may be passed on, alone and inside another value. */
    copy = write_value(&back, &again);
    assert_int_equal(again.size, plan.size);
    assert_int_equal(rtci_value_view(copy, again.size, &twice), 0);
    check_same(value, &twice);
    free(copy);
    struct rtc_value items[] = {rtc_str("pushes what follows off its place"), back},
                     list = rtc_list(items, 2);
    copy = write_value(&list, &again);
    assert_int_equal(rtci_value_view(copy, again.size, &twice), 0);
    check_same(&list, &twice);
    free(copy);
    free(bytes);
}

static const double numbers[] = {1, 2, 3, 4, 5, 6};
static const struct rtc_array array = {
    .data = numbers, .size = sizeof(numbers), .shape = {2, 3}, .ndim = 2, .dtype = RTC_F64};
static const struct rtc_array scalar_array = {
    .data = numbers, .size = 8, .ndim = 0, .dtype = RTC_F64};
static const struct rtc_array empty_array = {.shape = {0, 5}, .ndim = 2, .dtype = RTC_U8};

static void test_round_trips(void **state)
{
    (void)state;
    const int64_t ints[] = {0,          1,          -1,        31,       -32,       -33,
                            127,        128,        255,       256,      -128,      -129,
                            65535,      65536,      -32768,    -32769,   INT32_MAX, INT32_MIN,
                            4294967295, 4294967296, INT64_MAX, INT64_MIN};
    struct rtc_value v;
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        v = rtc_i64(ints[i]);
        check_round_trip(&v);
    }
    char text[70000];
    memset(text, 'a', sizeof(text));
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        v = rtc_str_n(text, lengths[i]);
        check_round_trip(&v);
        v = rtc_bytes(text, lengths[i]);
        check_round_trip(&v);
    }
    struct rtc_value ref = rtc_of_ref((rtc_ref){7, 3, 1});
    struct rtc_value inner[] = {rtc_nd(&array), ref, rtc_u64(UINT64_MAX), rtc_f64(-0.5)};
    struct rtc_value all[] = {rtc_nil(),
                              rtc_bool(true),
                              rtc_bool(false),
                              rtc_f64(1e300),
                              rtc_u64(UINT64_MAX),
                              rtc_nd(&array),
                              ref,
                              rtc_nd(&scalar_array),
                              rtc_nd(&empty_array),
                              rtc_list(inner, 4),
                              rtc_map(inner, 2),
                              rtc_list(NULL, 0)};
    enum { N = sizeof(all) / sizeof(all[0]) };
    for (size_t i = 0; i < N; i++)
        check_round_trip(&all[i]);
    v = rtc_list(all, N);
    check_round_trip(&v);
    v = rtc_map(all, N / 2);
    check_round_trip(&v);
}

static void test_text_is_terminated(void **state)
{
    (void)state;
    struct value_plan plan;
    struct rtc_value v = rtc_str("grüße"), back;
    void *bytes = write_value(&v, &plan);
    assert_int_equal(rtci_value_view(bytes, plan.size, &back), 0);
    assert_string_equal(back.as.bytes.data, "grüße");
    free(bytes);
}

/* A handle is what it was, also of a light actor, and the ids beside it are what the head knows. */
static void test_actors(void **state)
{
    (void)state;
    const rtc_actor actors[] = {
        rtci_light_handle((struct rtci_id){77, 3, 0}, 0),
        rtci_light_handle((struct rtci_id){77, 3, 0}, 1),
        rtci_light_handle((struct rtci_id){RTCI_LIGHT_SEQ_MAX, 9, 0}, (1ull << 52) - 1)};
    struct rtc_value items[3], list, back, item;
    rtc_actor actor;
    struct value_plan plan;
    for (size_t i = 0; i < 3; i++) {
        items[i] = rtc_of_actor(actors[i]);
        void *bytes = write_value(&items[i], &plan);
        assert_int_equal(plan.n_refs, 1);
        assert_int_equal(plan.n_lights, i > 0);
        const struct rtci_id *id = (const struct rtci_id *)(void *)((char *)bytes + plan.ids_at);
        assert_int_equal(id->index, RTCI_HANDLE);
        assert_int_equal(id->seq, i < 2 ? 77 : RTCI_LIGHT_SEQ_MAX);
        assert_int_equal(rtci_value_view(bytes, plan.size, &back), 0);
        assert_int_equal(rtc_value_actor(&back, &actor), 0);
        assert_memory_equal(&actor, &actors[i], sizeof(actor));
        free(bytes);
    }
    list = rtc_list(items, 3);
    void *bytes = write_value(&list, &plan);
    assert_int_equal(plan.n_refs, 3);
    assert_int_equal(plan.n_lights, 2);
    assert_int_equal(rtci_value_view(bytes, plan.size, &back), 0);
    for (size_t i = 3; i-- > 0;) {
        assert_int_equal(rtc_value_at(&back, i, &item), 0);
        assert_int_equal(rtc_value_actor(&item, &actor), 0);
        assert_memory_equal(&actor, &actors[i], sizeof(actor));
    }
    void *again = write_value(&back, &plan); /* what was got can be passed on */
    assert_int_equal(plan.n_lights, 2);
    free(again);
    free(bytes);
}

static void test_refs(void **state)
{
    (void)state;
    struct rtc_value items[300], back;
    struct value_plan plan;
    for (uint32_t i = 0; i < 300; i++)
        items[i] = rtc_of_ref((rtc_ref){i + 1, 2, 0});
    struct rtc_value list = rtc_list(items, 300);
    void *bytes = write_value(&list, &plan);
    assert_int_equal(plan.n_refs, 300);
    assert_int_equal(rtci_value_view(bytes, plan.size, &back), 0);
    const rtc_ref *refs;
    size_t n;
    assert_int_equal(rtc_value_refs(&back, &refs, &n), 0);
    assert_int_equal(n, 300);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(refs[i].seq, i + 1);
    free(bytes);
}

static void test_refusals(void **state)
{
    (void)state;
    struct value_plan plan;
    struct rtc_array bad = array;
    struct rtc_value v = rtc_nd(&bad), deep[RTCI_VALUE_DEPTH_MAX + 2];
    bad.dtype = 99;
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    bad = array;
    bad.size--;
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    bad = array;
    bad.shape[0] = -2;
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    bad = array;
    bad.ndim = 9;
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    v = rtc_nd(NULL);
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    v = rtc_of_ref((rtc_ref){0});
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    v = rtc_bytes(NULL, 5);
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_INVALID);
    v.type = 200;
    assert_int_equal(rtci_value_plan(&v, &plan), RTC_E_TYPE);
    deep[0] = rtc_nil();
    for (int i = 1; i < RTCI_VALUE_DEPTH_MAX + 2; i++)
        deep[i] = rtc_list(&deep[i - 1], 1);
    assert_int_equal(rtci_value_plan(&deep[RTCI_VALUE_DEPTH_MAX], &plan), 0);
    assert_int_equal(rtci_value_plan(&deep[RTCI_VALUE_DEPTH_MAX + 1], &plan), RTC_E_TOO_LARGE);
    int64_t x;
    uint64_t u;
    double f;
    v = rtc_u64(UINT64_MAX);
    assert_int_equal(rtc_value_i64(&v, &x), RTC_E_RANGE);
    v = rtc_i64(-1);
    assert_int_equal(rtc_value_u64(&v, &u), RTC_E_RANGE);
    assert_int_equal(rtc_value_f64(&v, &f), 0);
    v = rtc_str("1");
    assert_int_equal(rtc_value_i64(&v, &x), RTC_E_TYPE);
}

/* msgpack-c agrees with what we wrote. */
static void test_msgpack_reads_it(void **state)
{
    (void)state;
    struct rtc_value pairs[] = {rtc_str("a"),   rtc_i64(-7),  rtc_str("b"),
                                rtc_nd(&array), rtc_str("c"), rtc_of_ref((rtc_ref){1, 1, 0})};
    struct rtc_value map = rtc_map(pairs, 3);
    struct value_plan plan;
    uint8_t *bytes = write_value(&map, &plan);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t off = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (char *)bytes + 8, plan.ids_at - 8, &off),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_MAP);
    const msgpack_object_kv *kv = unpacked.data.via.map.ptr;
    assert_int_equal(unpacked.data.via.map.size, 3);
    assert_int_equal(kv[0].val.via.i64, -7);
    assert_int_equal(kv[1].val.type, MSGPACK_OBJECT_EXT);
    assert_int_equal(kv[1].val.via.ext.type, RTCI_EXT_ARRAY);
    assert_int_equal(kv[2].val.via.ext.type, RTCI_EXT_REF);
    msgpack_unpacked_destroy(&unpacked);
    free(bytes);
}

static void walk(const struct rtc_value *v, int depth)
{
    struct rtc_array a;
    if (v->type == RTC_ARRAY && rtc_value_array(v, &a) == 0 && a.size) {
        volatile uint8_t last = ((const uint8_t *)a.data)[a.size - 1];
        (void)last;
    }
    if ((v->type == RTC_STRING || v->type == RTC_BYTES) && v->as.bytes.size) {
        volatile uint8_t last = ((const uint8_t *)v->as.bytes.data)[v->as.bytes.size - 1];
        (void)last;
    }
    size_t n = rtc_value_len(v), n_refs;
    const rtc_ref *refs;
    if (v->type == RTC_MAP)
        n *= 2;
    if (rtc_value_refs(v, &refs, &n_refs) == 0 && n_refs) {
        volatile uint64_t last = refs[n_refs - 1].seq;
        (void)last;
    }
    for (size_t i = 0; i < n && depth < RTCI_VALUE_DEPTH_MAX; i++) {
        struct rtc_value item;
        if (rtc_value_at(v, i, &item) < 0)
            return;
        walk(&item, depth + 1);
    }
}

/* Any byte changed, any length cut: an error or another value, never a step outside. */
static void test_damage(void **state)
{
    (void)state;
    struct rtc_value inner[] = {rtc_nd(&array), rtc_of_ref((rtc_ref){7, 3, 1}), rtc_str("text"),
                                rtc_of_actor(rtci_light_handle((struct rtci_id){7, 3, 0}, 99))};
    struct rtc_value items[] = {rtc_list(inner, 4), rtc_map(inner, 2), rtc_bytes("xyz", 3)};
    struct rtc_value values[] = {rtc_list(items, 3), rtc_nd(&array), rtc_str("hello"),
                                 rtc_of_ref((rtc_ref){7, 3, 1}), inner[3]};
    for (size_t k = 0; k < 5; k++) {
        struct value_plan plan;
        struct rtc_value back;
        uint8_t *bytes = write_value(&values[k], &plan);
        for (size_t i = 0; i < plan.size; i++) {
            uint8_t old = bytes[i];
            for (int x = 1; x < 256; x += k == 0 ? 7 : 1) {
                bytes[i] = (uint8_t)(old ^ x);
                rtci_value_forget();
                if (rtci_value_view(bytes, plan.size, &back) == 0)
                    walk(&back, 0);
            }
            bytes[i] = old;
        }
        for (size_t size = 0; size < plan.size; size++) {
            uint8_t *cut = malloc(size + 1);
            memcpy(cut, bytes, size);
            rtci_value_forget();
            if (rtci_value_view(cut, size, &back) == 0)
                walk(&back, 0);
            free(cut);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_text_is_terminated),
        cmocka_unit_test(test_refs),        cmocka_unit_test(test_actors),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_msgpack_reads_it),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
