/* The store in bad times: killed, torn, damaged, full, denied. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "rtc/error.h"
#include "tests/unit/store_help.h"

static uint64_t rng = 88172645463325252u;
static uint64_t next_random(uint64_t below)
{
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return rng % below;
}

/* Child: commits for ever, folds now and then; tells each number once it is committed. */
static void work(int out, bool folds)
{
    struct seen seen;
    struct rtci_store *store = open_store(&seen);
    bool folding = false;
    for (uint64_t n = seen.last + 1;; n++) {
        commit(store, n, 8 + next_random(n % 64 ? 600 : 300000));
        if (write(out, &n, sizeof(n)) != sizeof(n))
            _exit(1);
        if (!folds)
            continue;
        if (folding)
            folding = rtci_store_poll(store) == 0;
        else if (next_random(200) == 0) {
            fold(store, n - (n > 5 ? 5 : 0), n, 1 + next_random(20000) * 8 + 7);
            folding = true;
        }
    }
}

static void kill_rounds(int rounds, bool folds)
{
    struct seen seen;
    uint64_t acknowledged = 0;
    for (int round = 0; round < rounds; round++) {
        int out[2];
        rng += (uint64_t)round;
        uint64_t until = next_random(round % 4 ? 300 : 5), n;
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0)
            work(out[1], folds);
        close(out[1]);
        for (uint64_t i = 0; i < until && read(out[0], &n, sizeof(n)) == sizeof(n); i++)
            acknowledged = n;
        /* An arbitrary moment from here on: the child did not wait. */
        kill(pid, SIGKILL);
        while (read(out[0], &n, sizeof(n)) == sizeof(n))
            acknowledged = n;
        close(out[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct rtci_store *store = open_store(&seen);
        assert_string_equal(text, "");
        if (acknowledged && (seen.last < acknowledged || seen.last > acknowledged + 1))
            fail_msg("round %d: %" PRIu64 " were acknowledged, the last one there is %" PRIu64,
                     round, acknowledged, seen.last);
        acknowledged = seen.last;
        rtci_store_close(store);
    }
    assert_true(acknowledged > 100);
}

static void test_kill_loses_nothing(void **state)
{
    (void)state;
    kill_rounds(60, false);
}

static void test_kill_while_folding(void **state)
{
    (void)state;
    kill_rounds(60, true);
}

/* LMDB's page of its newest state is written in place, and a compiler may put the number that makes
 * it the newest before the last words of what it is about: Debian's does. A kill in between leaves
 * a page with the new number and the root and count of two commits before. */
static void test_kill_in_the_newest_page(void **state)
{
    (void)state;
    enum { PAGE = 4096, COUNT = 0x78, END = 0x88, TXNID = 0x90 }; /* count and root, up to END */
    struct seen seen;
    char path[256];
    uint8_t before[2 * PAGE], after[2 * PAGE];
    struct rtci_store *store = open_store(&seen);
    file_of(path, "journal", 0);
    for (uint64_t n = 1; n <= 41; n++)
        commit(store, n, 64);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (uint64_t n = 42; n < 62; n++) { /* each of the two pages in turn */
        assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
        commit(store, n, 64);
        commit(store, n + 1, 64); /* the kill comes before this one is acknowledged */
        rtci_store_close(store);
        assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
        uint64_t txnid[2];
        memcpy(&txnid[0], after + TXNID, 8);
        memcpy(&txnid[1], after + PAGE + TXNID, 8);
        size_t at = txnid[1] > txnid[0] ? PAGE : 0;
        assert_int_equal(pwrite(fd, before + at + COUNT, END - COUNT, (off_t)(at + COUNT)),
                         END - COUNT);
        store = open_store(&seen);
        assert_string_equal(text, "");
        assert_int_equal(seen.last, n);
    }
    close(fd);
    rtci_store_close(store);
}

static void overwrite(const char *path, off_t at, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, at), len);
    close(fd);
}

/* Damages `number`'s body, also its copies in pages that LMDB has left behind. */
static void damage(const char *path, uint64_t number)
{
    static uint8_t page[1 << 20];
    int fd = open(path, O_RDWR), hits = 0;
    ssize_t n;
    fill(number, 64);
    for (off_t at = 0; (n = pread(fd, page, sizeof(page), at)) >= 64; at += n - 63) {
        for (uint8_t *hit = page; (hit = memmem(hit, (size_t)(page + n - hit), body, 64)); hit++) {
            overwrite(path, at + (hit - page) + 20, "damage", 6);
            hits++;
        }
    }
    close(fd);
    assert_true(hits > 0);
}

static void test_torn_turn(void **state)
{
    (void)state;
    struct seen seen;
    char path[256];
    struct rtci_store *store = open_store(&seen);
    for (uint64_t i = 1; i <= 100; i++)
        commit(store, i, 64);
    rtci_store_close(store);
    file_of(path, "journal", 0);
    damage(path, 80);
    store = open_store(&seen);
    assert_non_null(strstr(text, "damaged at turn 80 (its checksum differs)"));
    assert_int_equal(seen.last, 79);
    for (uint64_t i = 80; i <= 90; i++)
        commit(store, i, 64);
    rtci_store_close(store);
    for (int round = 0; round < 2; round++) { /* said once; and it stays cut */
        store = open_store(&seen);
        assert_string_equal(text, "");
        assert_int_equal(seen.last, 90);
        rtci_store_close(store);
    }
    /* The second file of the chain now, in the middle, then go on from there. */
    file_of(path, "journal", 1);
    damage(path, 85);
    store = open_store(&seen);
    assert_non_null(strstr(text, "damaged at turn 85"));
    assert_int_equal(seen.last, 84);
    fold(store, 84, 84, 64);
    finish_fold(store);
    commit(store, 85, 64);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_string_equal(text, "");
    assert_int_equal(seen.first, 84);
    assert_int_equal(seen.last, 85);
    rtci_store_close(store);
}

static void mark_rebooted(void)
{
    char path[256];
    uint64_t epoch = 0;
    snprintf(path, sizeof(path), "%s/epoch", base);
    FILE *file = fopen(path, "r");
    assert_int_equal(fscanf(file, "%" SCNu64, &epoch), 1);
    fclose(file);
    file = fopen(path, "w");
    fprintf(file, "%" PRIu64 " another-boot\n", epoch);
    fclose(file);
}

/* Pages up to the last one that holds something: a file that is written in place is longer. */
static uint64_t used_pages(const char *path)
{
    static const uint8_t zero[4096];
    uint8_t page[4096];
    int fd = open(path, O_RDONLY);
    uint64_t used = 0;
    assert_true(fd >= 0);
    for (uint64_t i = 0; pread(fd, page, sizeof(page), (off_t)i * 4096) == sizeof(page); i++)
        used = memcmp(page, zero, sizeof(page)) ? i + 1 : used;
    close(fd);
    return used;
}

/* A power failure may leave any page as it was long ago, or full of zeros. Whatever is hit, the
 * head starts, with a prefix of what was there, and goes on from it. */
static void test_power_failure(void **state)
{
    (void)state;
    struct seen seen;
    char path[256];
    uint8_t *zero = calloc(1, 4096), *noise = calloc(1, 4096);
    for (int i = 0; i < 4096; i++)
        noise[i] = (uint8_t)next_random(256);
    int cut = 0;
    for (int round = 0; round < 60; round++) {
        struct rtci_store *store = open_store(&seen);
        uint64_t from = seen.last;
        fold(store, from, from + 1, 64);
        finish_fold(store);
        for (uint64_t i = from + 2; i <= from + 400; i++)
            commit(store, i, i % 50 ? 200 : 9000);
        rtci_store_close(store);
        for (unsigned gen = 0; gen < 300; gen++) { /* the newest */
            char name[256];
            file_of(name, "journal", gen);
            if (access(name, F_OK) == 0)
                memcpy(path, name, sizeof(path));
        }
        uint64_t used = used_pages(path);
        for (int i = 0; i < 3; i++) {
            off_t page = (off_t)next_random(used);
            overwrite(path, page * 4096, round % 2 ? zero : noise, 4096);
        }
        mark_rebooted();
        store = open_store(&seen);
        cut += text[0] != 0;
        assert_int_equal(seen.first, from);
        assert_true(seen.last >= from + 1 && seen.last <= from + 400);
        commit(store, seen.last + 1, 64);
        uint64_t last = seen.last + 1;
        rtci_store_close(store);
        store = open_store(&seen);
        assert_string_equal(text, "");
        assert_int_equal(seen.last, last);
        rtci_store_close(store);
    }
    assert_true(cut > 5);
    free(zero);
    free(noise);
}

static void test_damaged_tables(void **state)
{
    (void)state;
    struct seen seen;
    char path[256];
    struct rtci_store *store = open_store(&seen);
    commit(store, 1, 64);
    fold(store, 1, 5, 64);
    finish_fold(store);
    rtci_store_close(store);
    file_of(path, "tables", 1);
    damage(path, 3);
    store = open_only();
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(rtci_store_replay(store, see, &seen, text, sizeof(text)), RTC_E_CORRUPT);
    assert_non_null(strstr(text, path));
    rtci_store_close(store);
    file_of(path, "journal", 1);
    unlink(path);
    store = open_only();
    assert_int_equal(rtci_store_replay(store, see, &seen, text, sizeof(text)), RTC_E_CORRUPT);
    assert_non_null(strstr(text, "missing"));
    rtci_store_close(store);
}

static void test_bad_directories(void **state)
{
    (void)state;
    struct seen seen;
    struct rtci_store *store = open_store(&seen), *second = NULL;
    struct rtci_store_config config = {.dir = base, .map_bytes = map_bytes()};
    char pid[32], path[256];
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), RTC_E_BUSY);
    snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
    assert_non_null(strstr(text, pid));
    rtci_store_close(store);
    /* A file where a directory is to be. */
    snprintf(path, sizeof(path), "%s/epoch/sub", base);
    config.dir = path;
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), RTC_E_DISK);
    assert_non_null(strstr(text, "in the way"));
    config.dir = "";
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), RTC_E_INVALID);
    config.dir = "/proc/rtc";
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), RTC_E_DISK);
    /* Made with its parents. */
    snprintf(path, sizeof(path), "%s/a/b/c", base);
    config.dir = path;
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), 0);
    rtci_store_close(second);
    snprintf(path, sizeof(path), "%s/epoch", base);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "words\n", 6), 6);
    close(fd);
    config.dir = base;
    assert_int_equal(rtci_store_open(&config, &second, text, sizeof(text)), RTC_E_DISK);
    assert_non_null(strstr(text, "number of starts"));
}

static void test_denied(void **state)
{
    (void)state;
    struct rtci_store_config config = {.dir = base, .map_bytes = map_bytes()};
    pid_t pid = fork();
    if (pid == 0) { /* root may write anywhere: become nobody */
        struct rtci_store *store;
        char path[256];
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            chmod(base, 0500);
        else if (geteuid() != 65534)
            chmod(base, 0500);
        snprintf(path, sizeof(path), "%s/try", base);
        if (open(path, O_WRONLY | O_CREAT, 0600) >= 0)
            _exit(77);
        int rc = rtci_store_open(&config, &store, text, sizeof(text));
        _exit(rc != RTC_E_DISK || !strstr(text, "ermission") || !strstr(text, base));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    chmod(base, 0700);
    if (WEXITSTATUS(status) == 77) {
        print_message("nothing is denied to this user\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* On a tmpfs of 4 MiB, mounted over the test's directory where no other process sees it. */
static void test_full_disk(void **state)
{
    (void)state;
    struct seen seen;
    char ballast[256];
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("rtc", base, "tmpfs", 0, "size=4m") < 0) {
        print_message("no tmpfs can be mounted here: %s\n", strerror(errno));
        skip();
    }
    struct rtci_store *store = open_store(&seen);
    snprintf(ballast, sizeof(ballast), "%s/ballast", base);
    uint64_t n = 0;
    for (int round = 0; round < 3; round++) {
        int fd = open(ballast, O_WRONLY | O_CREAT, 0600), rc;
        memset(body, 1, 65536);
        while (write(fd, body, 65536) > 0)
            ;
        close(fd);
        /* Pages of the journal that are free may still take a few. */
        while ((rc = rtci_store_commit(store, body, fill(n + 1, 3000))) == 0)
            n++;
        assert_int_equal(rc, RTC_E_DISK);
        if (!strstr(rtci_store_error(store), "disk is full"))
            fail_msg("%s", rtci_store_error(store));
        assert_non_null(strstr(rtci_store_error(store), base));
        assert_int_equal(rtci_store_turns(store), n);
        rc = rtci_store_fold_begin(store);
        assert_int_equal(rc, RTC_E_DISK); /* the journal goes on in its old file */
        assert_int_equal(rtci_store_commit(store, body, fill(n + 1, 3000)), RTC_E_DISK);
        unlink(ballast);
        for (int i = 0; i < 20; i++)
            commit(store, ++n, 3000);
    }
    /* A fold that meets the full disk in its thread. */
    assert_int_equal(rtci_store_fold_begin(store), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rtci_store_fold_chunk(store, body, fill(1, 3 << 20)), 0);
    assert_int_equal(rtci_store_fold_end(store), 0);
    int rc;
    while ((rc = rtci_store_poll(store)) == 0)
        sched_yield();
    assert_int_equal(rc, RTC_E_DISK);
    assert_non_null(strstr(rtci_store_error(store), "disk is full"));
    commit(store, ++n, 3000);
    rtci_store_close(store);
    store = open_store(&seen);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.last, n);
    fold(store, n, n, 64);
    finish_fold(store);
    rtci_store_close(store);
    assert_int_equal(umount2(base, MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kill_loses_nothing),
        TEST(test_kill_while_folding),
        TEST(test_kill_in_the_newest_page),
        TEST(test_torn_turn),
        TEST(test_power_failure),
        TEST(test_damaged_tables),
        TEST(test_bad_directories),
        TEST(test_denied),
        TEST(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
