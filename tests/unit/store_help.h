/* What the tests of the store share. Turns are numbered bodies of which every byte follows from
 * number and length, so that a reader can check them. */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

#include <ftw.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/store/store.h"

#define BODY_MAX (4 * 1024 * 1024)

static char base[64]; /* directory of one test */
static char text[1024];
static uint8_t body[BODY_MAX];

static __attribute__((unused)) size_t fill(uint64_t number, size_t len)
{
    uint64_t x = number * 0x9e3779b97f4a7c15u + len;
    for (size_t i = 0; i + 8 <= len || i == 0; i += 8) {
        uint64_t word = i == 0 ? number : (x += 0x2545f4914f6cdd1du);
        memcpy(body + i, &word, sizeof(word));
    }
    return len;
}

/* Replays into this: the numbers seen must go on by one. */
struct seen {
    uint64_t first, last, count;
    bool wrong;
};

static __attribute__((unused)) int see(void *arg, const void *data, size_t len)
{
    struct seen *seen = arg;
    uint64_t number;
    assert_int_equal((uintptr_t)data & 7, 0);
    memcpy(&number, data, sizeof(number));
    fill(number, len);
    if (memcmp(data, body, len - len % 8) != 0 || (seen->count && number != seen->last + 1))
        seen->wrong = true;
    if (!seen->count)
        seen->first = number;
    seen->last = number;
    seen->count++;
    return 0;
}

/* Valgrind has no room for the usual 64 GiB. */
static uint64_t map_bytes(void)
{
    const char *given = getenv("RTC_TEST_MAP_BYTES");
    return given ? strtoull(given, NULL, 10) : 0;
}

static __attribute__((unused)) struct rtci_store *open_only(void)
{
    struct rtci_store *store = NULL;
    struct rtci_store_config config = {.dir = base, .map_bytes = map_bytes()};
    int rc = rtci_store_open(&config, &store, text, sizeof(text));
    if (rc)
        fail_msg("%d: %s", rc, text);
    return store;
}

static __attribute__((unused)) struct rtci_store *open_store(struct seen *seen)
{
    struct rtci_store *store = open_only();
    memset(seen, 0, sizeof(*seen));
    int rc = rtci_store_replay(store, see, seen, text, sizeof(text));
    if (rc)
        fail_msg("%d: %s", rc, text);
    assert_false(seen->wrong);
    return store;
}

static __attribute__((unused)) void commit(struct rtci_store *store, uint64_t number, size_t len)
{
    int rc = rtci_store_commit(store, body, fill(number, len));
    if (rc)
        fail_msg("%d: %s", rc, rtci_store_error(store));
}

static __attribute__((unused)) void finish_fold(struct rtci_store *store)
{
    int rc;
    while ((rc = rtci_store_poll(store)) == 0)
        sched_yield();
    if (rc != 1)
        fail_msg("%d: %s", rc, rtci_store_error(store));
}

static __attribute__((unused)) int remove_one(const char *path, const struct stat *st, int type,
                                              struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static __attribute__((unused)) int setup(void **state)
{
    (void)state;
    snprintf(base, sizeof(base), "/tmp/rtc-store-XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static __attribute__((unused)) int teardown(void **state)
{
    (void)state;
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static __attribute__((unused)) void file_of(char *path, const char *kind, unsigned gen)
{
    snprintf(path, 256, "%s/%s/%012u.mdb", base, kind, gen);
}

static uint64_t bytes_on_disk;
static __attribute__((unused)) int add_bytes(const char *path, const struct stat *st, int type,
                                             struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (type == FTW_F)
        bytes_on_disk += (uint64_t)st->st_blocks * 512;
    return 0;
}

static __attribute__((unused)) uint64_t disk_use(void)
{
    bytes_on_disk = 0;
    nftw(base, add_bytes, 16, FTW_PHYS);
    return bytes_on_disk;
}

static __attribute__((unused)) void fold(struct rtci_store *store, uint64_t from, uint64_t to,
                                         size_t len)
{
    assert_int_equal(rtci_store_fold_begin(store), 0);
    for (uint64_t i = from; i <= to; i++)
        assert_int_equal(rtci_store_fold_chunk(store, body, fill(i, len)), 0);
    assert_int_equal(rtci_store_fold_end(store), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
