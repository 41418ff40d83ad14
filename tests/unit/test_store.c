/* The store in good times: what was committed is there again, folds drop what was before.
 * `test_store bench [DIR]` measures. */
#include <time.h>

#include "rtc/error.h"
#include "tests/unit/store_help.h"

/* Tests ------------------------------------------------------------------------------------- */

static void test_commit_and_replay(void **state)
{
    (void)state;
    struct seen seen;
    const size_t lens[] = {8, 16, 200, 2000, 2100, 4080, 5000, 100000, 1 << 20, BODY_MAX};
    struct rtci_store *store = open_store(&seen);
    assert_int_equal(seen.count, 0);
    assert_string_equal(text, "");
    assert_int_equal(rtci_store_epoch(store), 1);
    for (uint64_t i = 1; i <= 300; i++)
        commit(store, i, i % 40 ? lens[i % 8] : lens[8 + (i / 40) % 2]);
    assert_int_equal(rtci_store_turns(store), 300);
    assert_true(rtci_store_journal_bytes(store) > 300 * 200);
    rtci_store_close(store);
    for (uint64_t round = 0; round < 3; round++) {
        store = open_store(&seen);
        assert_int_equal(seen.first, 1);
        assert_int_equal(seen.last, 300 + round);
        assert_int_equal(rtci_store_turns(store), 300 + round);
        assert_int_equal(rtci_store_epoch(store), 2 + round);
        commit(store, 301 + round, 64);
        rtci_store_close(store);
    }
}

static int refuse(void *arg, const void *data, size_t len)
{
    (void)arg, (void)data, (void)len;
    return RTC_E_NOMEM;
}

static void test_replay_stops(void **state)
{
    (void)state;
    struct seen seen;
    struct rtci_store *store = open_store(&seen);
    commit(store, 1, 64);
    rtci_store_close(store);
    store = open_only();
    assert_int_equal(rtci_store_replay(store, refuse, NULL, text, sizeof(text)), RTC_E_NOMEM);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.count, 1);
    rtci_store_close(store);
}

/* The chunks take numbers of their own, so that they and the turns after them go on by one. */
static void test_fold(void **state)
{
    (void)state;
    struct seen seen;
    char path[256];
    struct rtci_store *store = open_store(&seen);
    for (uint64_t i = 1; i <= 100; i++)
        commit(store, i, 100);
    fold(store, 91, 100, 3000);
    assert_int_equal(rtci_store_fold_begin(store), RTC_E_BUSY);
    for (uint64_t i = 101; i <= 150; i++) /* the loop goes on meanwhile */
        commit(store, i, 100);
    finish_fold(store);
    assert_int_equal(rtci_store_turns(store), 150);
    file_of(path, "journal", 0);
    assert_int_equal(access(path, F_OK), -1);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.first, 91);
    assert_int_equal(seen.last, 150);
    assert_int_equal(rtci_store_turns(store), 150);
    assert_int_equal(rtci_store_journal_bytes(store), 50 * 116);
    assert_int_equal(rtci_store_replay_bytes(store), 10 * 3016 + 16 + 50 * 116); /* 16: the end */
    /* Big chunks, more than one transaction of the thread holds; and an empty state. */
    fold(store, 131, 150, BODY_MAX);
    finish_fold(store);
    file_of(path, "tables", 1);
    assert_int_equal(access(path, F_OK), -1);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.first, 131);
    assert_int_equal(seen.last, 150);
    fold(store, 1, 0, 8);
    finish_fold(store);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.count, 0);
    assert_int_equal(rtci_store_turns(store), 150);
    rtci_store_close(store);
}

/* A fold that does not come to its end: nothing is lost, and the next one cleans up. */
static void test_fold_abandoned(void **state)
{
    (void)state;
    struct seen seen;
    struct rtci_store *store = open_store(&seen);
    for (uint64_t n = 1; n <= 50; n += 10) {
        for (uint64_t i = n; i < n + 10; i++)
            commit(store, i, 100);
        assert_int_equal(rtci_store_fold_begin(store), 0);
        assert_int_equal(rtci_store_fold_chunk(store, body, fill(1, 5000)), 0);
        rtci_store_close(store);
        store = open_store(&seen);
        assert_int_equal(seen.first, 1);
        assert_int_equal(seen.last, n + 9);
    }
    fold(store, 50, 50, 8);
    finish_fold(store);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.first, 50);
    assert_int_equal(seen.count, 1);
    rtci_store_close(store);
    char path[256];
    for (unsigned gen = 0; gen < 6; gen++) {
        file_of(path, "journal", gen);
        assert_int_equal(access(path, F_OK), -1);
    }
}

/* Files do not grow with the number of turns ever committed. */
static void test_no_growth(void **state)
{
    (void)state;
    struct seen seen;
    struct rtci_store *store = open_store(&seen);
    uint64_t number = 0, first = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 500; i++)
            commit(store, ++number, i % 50 ? 300 : 200000);
        fold(store, number, number, 64);
        finish_fold(store);
        if (round == 0)
            first = disk_use();
    }
    assert_true(disk_use() <= first + 65536);
    rtci_store_close(store);
}

static void test_map_grows(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct rtci_store *store;
    struct rtci_store_config config = {.dir = base, .map_bytes = 1 << 20};
    for (int round = 1; round <= 2; round++) {
        assert_int_equal(rtci_store_open(&config, &store, text, sizeof(text)), 0);
        memset(&seen, 0, sizeof(seen));
        assert_int_equal(rtci_store_replay(store, see, &seen, text, sizeof(text)), 0);
        assert_int_equal(seen.last, (round - 1) * 200);
        for (uint64_t i = 1; i <= 200; i++)
            commit(store, seen.last + i, 100000);
        rtci_store_close(store);
    }
    assert_int_equal(rtci_store_open(&config, &store, text, sizeof(text)), 0);
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(rtci_store_replay(store, see, &seen, text, sizeof(text)), 0);
    assert_int_equal(seen.last, 400);
    rtci_store_close(store);
}

static void test_durable(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct rtci_store *store;
    struct rtci_store_config config = {.dir = base, .sync_each = true, .map_bytes = map_bytes()};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rtci_store_open(&config, &store, text, sizeof(text)), 0);
        memset(&seen, 0, sizeof(seen));
        assert_int_equal(rtci_store_replay(store, see, &seen, text, sizeof(text)), 0);
        assert_int_equal(seen.last, round * 20);
        for (uint64_t i = 1; i <= 20; i++)
            commit(store, seen.last + i, 200);
        rtci_store_close(store);
    }
}

/* Measuring ---------------------------------------------------------------------------------- */

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measure(struct rtci_store *store, size_t len, int count)
{
    double worst = 0, begin = now_us();
    memset(body, 3, len);
    for (int i = 0; i < count; i++) {
        double before = now_us();
        if (rtci_store_commit(store, body, len))
            fail_msg("%s", rtci_store_error(store));
        double took = now_us() - before;
        worst = took > worst ? took : worst;
    }
    double us = (now_us() - begin) / count;
    printf("%8zu B: %8.2f us per commit, worst %8.1f us, %8.1f MB/s\n", len, us, worst,
           (double)len / us);
}

static int count_chunk(void *arg, const void *data, size_t len)
{
    (void)data;
    *(uint64_t *)arg += len;
    return 0;
}

static int bench(const char *dir)
{
    struct rtci_store *store;
    struct rtci_store_config config = {.dir = dir};
    uint64_t bytes = 0;
    if (rtci_store_open(&config, &store, text, sizeof(text)) ||
        rtci_store_replay(store, count_chunk, &bytes, text, sizeof(text)))
        fail_msg("%s", text);
    for (int round = 0; round < 3; round++) {
        measure(store, 200, 100000);
        measure(store, 2000, 50000);
        measure(store, 20000, 10000);
        measure(store, 1 << 20, 500);
        double begin = now_us();
        if (rtci_store_fold_begin(store))
            fail_msg("%s", rtci_store_error(store));
        printf("fold_begin %.1f us, ", now_us() - begin);
        for (int i = 0; i < 100; i++)
            RTCI_IGNORE(rtci_store_fold_chunk(store, body, 1 << 20));
        RTCI_IGNORE(rtci_store_fold_end(store));
        printf("fold of 100 MiB: the loop %.1f us, ", now_us() - begin);
        while (rtci_store_poll(store) == 0)
            ;
        printf("the thread %.1f us\n", now_us() - begin);
    }
    measure(store, 200, 200000);
    rtci_store_close(store);
    double begin = now_us();
    if (rtci_store_open(&config, &store, text, sizeof(text)))
        fail_msg("%s", text);
    printf("open %.1f us", now_us() - begin);
    if (rtci_store_replay(store, count_chunk, &bytes, text, sizeof(text)))
        fail_msg("%s", text);
    printf(", with replay of %.1f MB: %.1f us\n", (double)bytes / 1e6, now_us() - begin);
    rtci_store_close(store);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        if (argc > 2)
            return bench(argv[2]);
        setup(NULL);
        int rc = bench(base);
        teardown(NULL);
        return rc;
    }
    const struct CMUnitTest tests[] = {
        TEST(test_commit_and_replay), TEST(test_replay_stops), TEST(test_fold),
        TEST(test_fold_abandoned),    TEST(test_no_growth),    TEST(test_map_grows),
        TEST(test_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
