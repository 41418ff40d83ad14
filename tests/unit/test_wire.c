#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <rtc/error.h>

#include "tests/lib/records.h"

/* A copy that ends exactly where the record ends, so that ASan sees a read behind it. */
static void *exact(const void *data, size_t size)
{
    void *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, data, size);
    return copy;
}

static int64_t check_exact(const void *data, size_t size)
{
    void *copy = exact(data, size);
    int64_t rc = rtci_wire_check(copy, size);
    free(copy);
    return rc;
}

static void test_all_types(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[RECORD_CAP];
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rng rng = {seed};
        for (size_t i = 0; i < n_record_types; i++) {
            size_t size = record_make(&rng, record_types[i], at);
            assert_true(size <= sizeof(at));
            if (check_exact(at, size) != (int64_t)size)
                fail_msg("a valid %s of %zu bytes was refused, seed %d",
                         rtci_wire_name(record_types[i]), size, (int)seed);
            void *copy = exact(at, size);
            (void)record_touch(copy);
            free(copy);
        }
    }
}

static void test_truncated(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[RECORD_CAP];
    struct rng rng = {7};
    for (size_t i = 0; i < n_record_types; i++) {
        size_t size = record_make(&rng, record_types[i], at);
        for (size_t len = 0; len < size; len++)
            assert_int_equal(check_exact(at, len), RTC_E_PROTOCOL);
        /* A record that says it is shorter than its counts: never believed past its end. */
        for (uint32_t say = 0; say < size; say += 8) {
            void *copy = exact(at, size);
            ((struct rtci_rec *)copy)->size = say;
            if (rtci_wire_check(copy, size) > 0)
                (void)record_touch(copy);
            free(copy);
        }
    }
}

static void test_exact_length(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[RECORD_CAP];
    struct rng rng = {11};
    for (size_t i = 0; i < n_record_types; i++) {
        uint16_t type = record_types[i];
        size_t size = record_make(&rng, type, at);
        memset(at + size, 0, 8);
        ((struct rtci_rec *)at)->size += 8;
        int64_t rc = check_exact(at, size + 8);
        /* Rows name their bytes themselves; slack behind them is harmless. */
        if (type == RTCI_R_TASK || type == RTCI_R_DONE || type == RTCI_R_RESULT ||
            type == RTCI_R_ACTOR_START || type == RTCI_R_ACTOR_REPLY)
            assert_int_equal(rc, (int64_t)size + 8);
        else
            assert_int_equal(rc, RTC_E_PROTOCOL);
    }
}

static void test_header(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[64] = {0};
    struct rtci_rec *rec = (struct rtci_rec *)at;
    rec->size = 8;
    for (uint32_t type = 0; type <= UINT16_MAX; type++) {
        rec->type = (uint16_t)type;
        bool known = type == RTCI_R_BYE || type == RTCI_R_SHUTDOWN || type == RTCI_R_NODE_READY ||
                     type == RTCI_R_LEAVE;
        assert_int_equal(rtci_wire_check(at, sizeof(at)), known ? 8 : RTC_E_PROTOCOL);
    }
    rec->type = RTCI_R_BYE;
    assert_int_equal(rtci_wire_check(at, 8), 8);
    assert_int_equal(rtci_wire_check(at, 7), RTC_E_PROTOCOL);
    for (rec->size = 0; rec->size < 8; rec->size++)
        assert_int_equal(rtci_wire_check(at, sizeof(at)), RTC_E_PROTOCOL);
    rec->size = 12;
    assert_int_equal(rtci_wire_check(at, sizeof(at)), RTC_E_PROTOCOL);
    rec->size = 8;
    memmove(at + 4, at, 8); /* not aligned */
    assert_int_equal(rtci_wire_check(at + 4, 8), RTC_E_PROTOCOL);
}

/* Each field that counts or points, at values chosen to overflow the sums. */
static void test_overflows(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0xffffffff, 0xfffffff8, 0x80000000, 0x10000000,
                                      0x08000000, 0x0fffffff, 16385,      1000};
    _Alignas(8) uint8_t at[RECORD_CAP];
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct rng rng = {3};
        struct rtci_spec *spec = (struct rtci_spec *)at;
        record_make(&rng, RTCI_R_SUBMIT, at);
        spec->n_refs = counts[i];
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_TASK, at);
        spec->n_args = counts[i];
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_SUBMIT, at);
        spec->data_size = counts[i];
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_SUBMIT, at);
        spec->name_len = counts[i];
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        struct rtci_done *done = (struct rtci_done *)at;
        record_make(&rng, RTCI_R_DONE, at);
        done->n_returns = counts[i];
        assert_int_equal(check_exact(at, done->rec.size), RTC_E_PROTOCOL);
        struct rtci_ids *ids = (struct rtci_ids *)at;
        record_make(&rng, RTCI_R_WANT, at);
        ids->n = counts[i];
        assert_int_equal(check_exact(at, ids->rec.size), RTC_E_PROTOCOL);
        struct rtci_put *put = (struct rtci_put *)at;
        record_make(&rng, RTCI_R_PUT, at);
        put->n_refs = counts[i];
        assert_int_equal(check_exact(at, put->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_PUT, at);
        put->size = UINT64_MAX - counts[i] + 1;
        assert_int_equal(check_exact(at, put->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_ACTOR_CREATE, at);
        spec->name_len = counts[i];
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_ACTOR_CREATE, at);
        ((struct rtci_actor_options *)rtci_spec_name(spec))->name_len ^= (uint16_t)counts[i] | 1;
        assert_int_equal(check_exact(at, spec->rec.size), RTC_E_PROTOCOL);
        struct rtci_group_create *group = (struct rtci_group_create *)at;
        record_make(&rng, RTCI_R_GROUP_CREATE, at);
        group->n_bundles = counts[i];
        assert_int_equal(check_exact(at, group->rec.size), RTC_E_PROTOCOL);
        record_make(&rng, RTCI_R_GROUP_CREATE, at);
        group->n_bundles = 1;
        ((struct rtci_bundle *)(group + 1))->n_custom = counts[i];
        assert_int_equal(check_exact(at, group->rec.size), RTC_E_PROTOCOL);
    }
}

static void done_one(struct rtci_done *done, uint64_t offset, uint64_t size, uint32_t n_refs)
{
    memset(done, 0, 128);
    done->rec = (struct rtci_rec){.size = 128, .type = RTCI_R_DONE};
    done->n_returns = 1;
    struct rtci_resolved *row = (struct rtci_resolved *)(done + 1);
    *row = (struct rtci_resolved){
        .kind = RTCI_KIND_INLINE, .n_refs = n_refs, .size = size, .offset = offset};
}

static void test_done_rows(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[128];
    struct rtci_done *done = (struct rtci_done *)at;
    uint64_t begin = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    struct {
        uint64_t offset, size;
        uint32_t n_refs;
        bool ok;
    } rows[] = {
        {begin, 128 - begin, 0, true},
        {begin, 129 - begin, 0, false},
        {128, 0, 0, true},
        {128, 1, 0, false},
        {136, 0, 0, false},
        {begin - 8, 8, 0, false},
        {begin + 4, 8, 0, false},
        {begin, UINT64_MAX, 0, false},
        {UINT64_MAX - 7, 16, 0, false},
        {begin, 0, 3, true},
        {begin, 128 - begin - 48, 3, true},
        {begin, 129 - begin - 48, 3, false},
        {begin, 0, UINT32_MAX, false},
        {begin, 0, 0x10000000, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        done_one(done, rows[i].offset, rows[i].size, rows[i].n_refs);
        assert_int_equal(check_exact(at, 128), rows[i].ok ? 128 : RTC_E_PROTOCOL);
    }
    done_one(done, begin, 8, 0);
    done->status = RTC_E_CRASHED; /* needs an error row */
    assert_int_equal(check_exact(at, 128), RTC_E_PROTOCOL);
    struct rtci_resolved *row = (struct rtci_resolved *)(done + 1);
    row->kind = RTCI_KIND_ERROR;
    row->size = sizeof(struct rtci_fail) - 1;
    assert_int_equal(check_exact(at, 128), RTC_E_PROTOCOL);
    row->size = 128 - begin;
    assert_int_equal(check_exact(at, 128), 128);
    struct rtci_fail *fail = (struct rtci_fail *)(at + begin);
    fail->log_len = UINT16_MAX;
    assert_int_equal(check_exact(at, 128), RTC_E_PROTOCOL);
    fail->log_len = (uint16_t)(128 - begin - sizeof(*fail));
    assert_int_equal(check_exact(at, 128), 128);
    done->status = 12; /* a positive status is no error code */
    assert_int_equal(check_exact(at, 128), RTC_E_PROTOCOL);
}

static void test_wraps(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[RECORD_CAP];
    struct rng rng = {5};
    struct rtci_wrap *wrap = (struct rtci_wrap *)at;
    memset(wrap, 0, sizeof(*wrap));
    size_t inner = record_make(&rng, RTCI_R_SUBMIT, wrap + 1);
    wrap->rec = (struct rtci_rec){(uint32_t)(sizeof(*wrap) + inner), RTCI_R_FROM_CLIENT, 0};
    assert_int_equal(check_exact(at, wrap->rec.size), wrap->rec.size);
    ((struct rtci_rec *)(wrap + 1))->size += 8; /* reaches out of the wrapping */
    assert_int_equal(rtci_wire_check(at, sizeof(at)), RTC_E_PROTOCOL);
    inner = record_make(&rng, RTCI_R_TO_CLIENT, wrap + 1);
    wrap->rec.size = (uint32_t)(sizeof(*wrap) + inner);
    assert_int_equal(rtci_wire_check(at, sizeof(at)), RTC_E_PROTOCOL); /* no wraps in wraps */
}

/* Whatever is accepted is safe to read through the accessors, and nothing is modified. */
static void test_mutations(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[RECORD_CAP];
    uint64_t accepted = 0, sum = 0;
    for (uint64_t seed = 0; seed < 60000; seed++) {
        struct rng rng = {seed};
        size_t size = record_make(&rng, record_types[seed % n_record_types], at);
        record_mutate(&rng, at, size);
        void *copy = exact(at, size);
        int64_t rc = rtci_wire_check(copy, size);
        assert_memory_equal(copy, at, size);
        if (rc > 0) {
            assert_true((size_t)rc <= size && rc % 8 == 0);
            sum += record_touch(copy);
            accepted++;
        } else {
            assert_int_equal(rc, RTC_E_PROTOCOL);
        }
        free(copy);
    }
    assert_true(accepted > 1000 && sum > 0);
}

static void test_names_and_hash(void **state)
{
    (void)state;
    assert_string_equal(rtci_wire_name(RTCI_R_SUBMIT), "SUBMIT");
    assert_string_equal(rtci_wire_name(RTCI_R_STARTED), "STARTED");
    assert_string_equal(rtci_wire_name(0), "?");
    assert_string_equal(rtci_wire_name(UINT16_MAX), "?");
    assert_int_equal(rtci_function_hash("square", 6), rtci_function_hash("square", 6));
    assert_int_not_equal(rtci_function_hash("square", 6), rtci_function_hash("squarf", 6));
    assert_int_not_equal(rtci_function_hash("", 0), 0);
}

static double ns_per_check(const void *data, size_t len)
{
    struct timespec a, b;
    const int rounds = 200000;
    int64_t sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < rounds; i++) {
        const void *at = data;
        __asm__ volatile("" : "+r"(at) : : "memory"); /* checked anew each time */
        sum += rtci_wire_check(at, len);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_int_equal(sum, (int64_t)len * rounds);
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / rounds;
}

/* Prints the cost of the two records that come once per task; a machine under load may be slow, so
 * nothing is asserted about it. */
static void test_cost(void **state)
{
    (void)state;
    _Alignas(8) uint8_t at[128] = {0};
    struct rtci_spec *spec = (struct rtci_spec *)at;
    spec->n_returns = 1;
    spec->n_args = 1;
    spec->data_size = 16;
    ((struct rtci_arg *)(spec + 1))->size = 16;
    spec->rec = (struct rtci_rec){(uint32_t)rtci_spec_size(spec), RTCI_R_SUBMIT, 0};
    print_message("SUBMIT: %.1f ns\n", ns_per_check(at, spec->rec.size));
    done_one((struct rtci_done *)at, 72, 16, 0);
    print_message("DONE:   %.1f ns\n", ns_per_check(at, 128));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types),      cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_exact_length),   cmocka_unit_test(test_header),
        cmocka_unit_test(test_overflows),      cmocka_unit_test(test_done_rows),
        cmocka_unit_test(test_wraps),          cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_names_and_hash), cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
