/* The key-value store in the head: any order of sets and deletions leaves the keys in order, each
 * with its last value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/core/head_internal.h"

#define KEYS 3000u

static uint32_t expected[KEYS]; /* value of each key; 0 = not there */

static void set(struct rtci_head_core *core, uint32_t key, uint32_t value)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "n%c%06u", 0, key);
    head_kv_set(core, text, (uint32_t)len, 1, &value, sizeof(value), value != 0);
    expected[key] = value;
}

static void check_all(const struct rtci_head_core *core)
{
    uint32_t block = 0, at = 0, n = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        if (!expected[key])
            continue;
        assert_true(block < core->n_kv_blocks);
        const struct kv *kv = &core->kv_blocks[block]->kv[at];
        uint32_t value;
        assert_int_equal(strtoul(kv->key + 2, NULL, 10), key);
        memcpy(&value, kv->value, sizeof(value));
        assert_int_equal(value, expected[key]);
        n++;
        if (++at == core->kv_blocks[block]->n) {
            block++;
            at = 0;
        }
    }
    assert_int_equal(block, core->n_kv_blocks);
    assert_int_equal(n, core->n_kvs);
}

static void any_order(void **state)
{
    (void)state;
    struct rtci_head_config config = {.epoch = 1, .now_ns = 1};
    struct rtci_head_core *core;
    uint64_t seed = 5;
    assert_int_equal(rtci_head_core_create(&config, &core), 0);
    for (uint32_t i = 1; i <= 60000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t key = (uint32_t)(seed >> 33) % KEYS;
        bool fills = i / 10000 % 2 == 0; /* it grows, it shrinks, it grows … */
        set(core, key, (seed >> 60) < (fills ? 12u : 4u) ? i : 0);
        if (i % 1000 == 0)
            check_all(core);
    }
    for (uint32_t key = 0; key < KEYS; key++)
        set(core, key, 0);
    assert_int_equal(core->n_kv_blocks, 0);
    for (uint32_t key = 0; key < KEYS; key++) /* in order: full blocks */
        set(core, key, key + 1);
    check_all(core);
    assert_int_equal(core->n_kv_blocks, (KEYS + KV_BLOCK - 1) / KV_BLOCK);
    for (uint32_t key = KEYS; key-- > 0;)
        set(core, key, 0);
    for (uint32_t key = KEYS; key-- > 0;)
        set(core, key, key + 1);
    check_all(core);
    rtci_head_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
