/* The key-value store in the head: any order of sets and deletions leaves the keys in order, each
 * with its last value. */
#include "tests/unit/head_help.h"

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

/* A request of a client; returns how it ended. */
static int request(struct play *p, uint32_t client, uint32_t op, const char *ns, const char *key)
{
    size_t at = play_from(p, client), ns_len = strlen(ns), key_len = strlen(key);
    struct rtci_kv *kv = play_say(p, RTCI_R_KV, sizeof(*kv) + ns_len + key_len);
    kv->op = op;
    kv->request = 1;
    kv->ns_len = (uint16_t)ns_len;
    kv->key_len = (uint16_t)key_len;
    memcpy((char *)(kv + 1), ns, ns_len);
    memcpy((char *)(kv + 1) + ns_len, key, key_len);
    play_wrapped(p, at);
    play_turn(p, 1);
    return -(int)play_told(p, 1, RTCI_R_REPLY, 0)->attempt;
}

static void count(void *arg, const char *key, uint32_t key_len, const void *value, uint32_t size)
{
    uint32_t *sum = arg;
    assert_int_equal(key_len, 1);
    assert_int_equal(size, 4);
    assert_true(!memcmp(value, "home", 4));
    *sum = *sum * 10 + (uint32_t)(key[0] - '0');
}

/* The loop's own keys: durable, in order, and only tools see them beside it. */
static void own_keys(void **state)
{
    (void)state;
    struct play p;
    const void *value;
    uint32_t size, sum = 0;
    play_begin(&p, 1);
    for (const char *key = "312"; *key; key++)
        rtci_head_core_kv_put(p.head, p.now_ns, "rtc/nodes", (char[]){*key, 0}, "home", 4,
                              &p.actions);
    rtci_head_core_kv_put(p.head, p.now_ns, "rtc/nodes", "2", NULL, 0, &p.actions);
    rtci_head_core_kv_put(p.head, p.now_ns, "rtc/nodes", "7", NULL, 0, &p.actions); /* not there */
    rtci_head_core_kv_put(p.head, p.now_ns, "rtc/nodes2", "4", "", 0, &p.actions);
    play_flush(&p);
    static const uint32_t ops[] = {RTCI_KV_PUT, RTCI_KV_GET, RTCI_KV_DELETE, RTCI_KV_LIST,
                                   RTCI_KV_PUT_NEW};
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(request(&p, DRIVER, ops[i], "rtc/nodes", "1"), RTC_E_DENIED);
    assert_int_equal(request(&p, DRIVER, RTCI_KV_PUT, "rtc", "1"), 0);
    uint32_t tool = play_client(&p, 1, RTCI_ROLE_TOOL, 0);
    assert_int_equal(request(&p, tool, RTCI_KV_GET, "rtc/nodes", "1"), 0);
    assert_int_equal(request(&p, tool, RTCI_KV_GET, "rtc/nodes", "2"), RTC_E_NOT_FOUND);
    play_restart(&p, 0);
    assert_int_equal(rtci_head_core_kv_get(p.head, "rtc/nodes", "1", &value, &size), 0);
    assert_int_equal(size, 4);
    assert_int_equal(rtci_head_core_kv_get(p.head, "rtc/nodes", "2", &value, &size),
                     RTC_E_NOT_FOUND);
    assert_int_equal(rtci_head_core_kv_each(p.head, "rtc/nodes", count, &sum), 2);
    assert_int_equal(sum, 13);
    play_end(&p);
}

static void named(struct play *p, uint16_t type, struct rtci_id id)
{
    struct rtci_named *rec = play_say(p, type, sizeof(*rec) + 4);
    rec->request = 1;
    rec->id = id;
    rec->name_len = 4;
    memcpy(rec + 1, "name", 4);
}

/* Whoever gets the newest version holds it: a head that is started again reads that, too. */
static void newest_is_held(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 1);
    const struct rtci_id id = {p.next_seq++, DRIVER, 0};
    size_t at = play_from(&p, DRIVER);
    struct rtci_put *put = play_say(&p, RTCI_R_PUT, sizeof(*put) + 8);
    put->id = id;
    put->size = 8;
    put->offset = sizeof(*put);
    named(&p, RTCI_R_PUBLISH, id);
    named(&p, RTCI_R_SUBSCRIBE, (struct rtci_id){0});
    play_wrapped(&p, at);
    play_turn(&p, 1);
    assert_int_equal(play_told(&p, 1, RTCI_R_REPLY, 0)->attempt, 0);
    play_restart(&p, 0); /* replays the journal */
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order), cmocka_unit_test(own_keys),
                                       cmocka_unit_test(newest_is_held)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
