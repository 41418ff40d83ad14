/* Bad surroundings and bad peers, against a real `rtc head`: each time somebody is told what
 * happened, and whoever did nothing wrong goes on. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rtc/rtc.h>

extern char **environ;
static char dir[] = "/tmp/rtc-peers-XXXXXX", address[180];

/* ---- What tasks and drivers do to the memory that they share with the daemon ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

enum how { EVERYWHERE, IN_RINGS, A_FEW_WORDS, AS_RECORDS, HOWS };

/* Writes garbage over the rings of this process: also over the words that say how far each side is,
 * or only into the rings, or there and says that it is so many bytes more. */
static void scribble(int64_t how, uint64_t seed)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    unsigned long from, to, offset;
    while (maps && fgets(line, sizeof(line), maps)) {
        if (!strstr(line, "rtc-channel") ||
            sscanf(line, "%lx-%lx %7s %lx", &from, &to, rights, &offset) != 4 || rights[1] != 'w')
            continue;
        volatile uint64_t *word = (uint64_t *)from;
        size_t n = (to - from) / 8, step = how == A_FEW_WORDS ? 97 : 1;
        for (size_t i = how != EVERYWHERE && offset == 0 ? 512 : 0; i < n; i += step)
            word[i] = next_random(&seed);
        for (size_t i = 0; how == AS_RECORDS && offset == 0 && i < 512; i++)
            word[i] += word[i] && word[i] < 1u << 30 && word[i] % 8 == 0 ? 512 : 0;
    }
    if (maps)
        fclose(maps);
}

RTC_TASK(add)
{
    int64_t a, b;
    RTC_TRY(rtc_arg_i64(call, 0, &a));
    RTC_TRY(rtc_arg_i64(call, 1, &b));
    return rtc_return_i64(call, a + b);
}

/* What its environment says of the resources it holds: threads, then devices. */
RTC_TASK(environment)
{
    static const char *const threads[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                          "MKL_NUM_THREADS"};
    const char *devices = getenv("CUDA_VISIBLE_DEVICES");
    char text[128];
    for (int i = 1; i < 3; i++) {
        if (!getenv(threads[i]) || strcmp(getenv(threads[i]), getenv(threads[0])) != 0)
            return rtc_fail(call, -1, "%s differs", threads[i]);
    }
    snprintf(text, sizeof(text), "%s;%s", getenv(threads[0]), devices ? devices : "unset");
    return rtc_return_str(call, text);
}

RTC_TASK(scribbles)
{
    int64_t how, seed;
    RTC_TRY(rtc_arg_i64(call, 0, &how));
    RTC_TRY(rtc_arg_i64(call, 1, &seed));
    scribble(how, (uint64_t)seed);
    while (how == EVERYWHERE || how == AS_RECORDS)
        pause(); /* the daemon ends this */
    return rtc_return_i64(call, 1);
}

RTC_TASK(waits)
{
    while (!rtc_cancelled(call))
        pause();
    return 0;
}

/* ---- Heads ---- */

struct head {
    pid_t pid;
    char errors[160]; /* the file of its stderr */
};

/* Returns when it serves, at `address` from then on. */
static void start_head(struct head *head, const char *name)
{
    char socket[160], state[160];
    const char *rtc = getenv("RTC_BIN");
    int out[2];
    assert_non_null(rtc);
    snprintf(socket, sizeof(socket), "%s/%s.sock", dir, name);
    snprintf(state, sizeof(state), "%s/%s", dir, name);
    snprintf(address, sizeof(address), "unix:%s", socket);
    static int number;
    snprintf(head->errors, sizeof(head->errors), "%s/err%d", dir, number++);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    head->pid = fork();
    assert_true(head->pid >= 0);
    if (!head->pid) {
        int err = open(head->errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(out[1], 1);
        dup2(err, 2);
        execl(rtc, rtc, "head", "--cpus", "2", "--gpus", "2", "--socket", socket, "--state-dir",
              state, NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *lines = fdopen(out[0], "r");
    char line[512];
    bool serves = false;
    while (!serves && fgets(line, sizeof(line), lines))
        serves = strstr(line, "serves at") != NULL;
    fclose(lines);
    assert_true(serves);
}

static void stop_head(struct head *head)
{
    int status;
    kill(head->pid, SIGTERM);
    assert_int_equal(waitpid(head->pid, &status, 0), head->pid);
}

static bool says(const char *path, const char *words)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[n] = 0;
    if (file)
        fclose(file);
    return strstr(text, words) != NULL;
}

static struct rtc *join(void)
{
    struct rtc *rtc = NULL;
    int rc = rtc_init(NULL, NULL, RTC_CONFIG(.address = address, .quiet = true), &rtc);
    if (rc)
        fail_msg("%s", rtc_last_error());
    return rtc;
}

static void check_sane(struct rtc *rtc)
{
    rtc_ref refs[50];
    int64_t x;
    for (int i = 0; i < 50; i++)
        assert_int_equal(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(1)), NULL, &refs[i]),
                         0);
    for (int i = 0; i < 50; i++) {
        if (rtc_get_i64(rtc, refs[i], RTC_S(30), &x))
            fail_msg("%s", rtc_last_error());
        assert_int_equal(x, i + 1);
    }
    assert_int_equal(rtc_release_many(rtc, refs, 50), 0);
}

enum verdict { WAS_TOLD, WAS_SPARED, WAS_LEFT_WAITING, COULD_NOT };

/* As another process: submits, writes over its rings, and goes on until it is told. */
static int bad_driver(int how, uint64_t seed)
{
    struct rtc *rtc = NULL;
    rtc_ref ref;
    int verdict = WAS_SPARED;
    if (rtc_init(NULL, NULL, RTC_CONFIG(.address = address, .quiet = true), &rtc))
        return COULD_NOT;
    for (int i = 0; i < 100; i++)
        (void)!rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(1)), NULL, &ref);
    scribble(how, seed);
    /* It reads and says nothing for a while: what stands in its rings is what the daemon finds. */
    int rc = RTC_E_TIMEOUT;
    for (int i = 0; i < 30 && rc == RTC_E_TIMEOUT; i++)
        rc = rtc_poll(rtc, RTC_MS(10));
    /* The first answers may be among what was overwritten; then one has to come. */
    for (int i = 0; i < 2000; i++) {
        rc = rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(1)), NULL, &ref);
        if (rc == 0)
            rc = rtc_get(rtc, ref, i <= 20 ? RTC_MS(100) : RTC_S(30), NULL);
        if (rc && rc != RTC_E_TIMEOUT) {
            verdict = strstr(rtc_last_error(), "writes where it must not") ? WAS_TOLD : COULD_NOT;
            if (verdict == COULD_NOT)
                fprintf(stderr, "%s: %s\n", rtc_error_name(rc), rtc_last_error());
            break;
        }
        if (rc == RTC_E_TIMEOUT && i > 20) {
            verdict = WAS_LEFT_WAITING;
            break;
        }
    }
    (void)!rtc_shutdown(&rtc); /* ends in any case */
    return verdict;
}

/* ---- Tests ---- */

static void a_reference_of_another_job(void **state)
{
    (void)state;
    struct rtc *mine = join(), *other = join();
    struct rtc_value v = rtc_i64(7), got;
    rtc_ref ref, sum;
    assert_int_equal(rtc_put(other, &v, &ref), 0);
    assert_int_equal(rtc_get(mine, ref, RTC_S(10), &got), RTC_E_FOREIGN);
    assert_non_null(strstr(rtc_last_error(), "another job"));
    int rc = rtc_submit(mine, "add", RTC_ARGS(rtc_of_ref(ref), rtc_i64(1)), NULL, &sum);
    if (rc == 0)
        rc = rtc_get(mine, sum, RTC_S(10), &got);
    assert_true(rc == RTC_E_FOREIGN || rc == RTC_E_DEPENDENCY);
    assert_non_null(strstr(rtc_last_error(), "another job"));
    assert_int_equal(rtc_get(other, ref, 0, &got), 0);
    check_sane(mine);
    check_sane(other);
    assert_int_equal(rtc_shutdown(&mine), 0);
    assert_int_equal(rtc_shutdown(&other), 0);
}

static void a_task_sees_what_it_holds(void **state)
{
    (void)state;
    struct rtc *rtc = join();
    static const struct {
        double cpus, gpus;
        const char *text[2];
    } cases[] = {{1, 0, {"1;", "1;"}},
                 {2, 0, {"2;", "2;"}},
                 {0.5, 0, {"1;", "1;"}},
                 {1, 1, {"1;0", "1;1"}},
                 {2, 2, {"2;0,1", "2;0,1"}}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rtc_ref ref;
        struct rtc_value v;
        assert_int_equal(rtc_submit(rtc, "environment", NULL,
                                    RTC_OPTIONS(.cpus = cases[i].cpus, .gpus = cases[i].gpus),
                                    &ref),
                         0);
        if (rtc_get(rtc, ref, RTC_S(20), &v))
            fail_msg("%s", rtc_last_error());
        char text[128];
        snprintf(text, sizeof(text), "%.*s", (int)v.as.bytes.size, (const char *)v.as.bytes.data);
        if (strcmp(text, cases[i].text[0]) != 0 && strcmp(text, cases[i].text[1]) != 0)
            fail_msg("case %zu: %s", i, text);
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

static void an_executor_writes_garbage(void **state)
{
    (void)state;
    struct rtc *rtc = join();
    for (int how = 0; how < HOWS; how++) {
        for (int seed = 1; seed <= 4; seed++) {
            rtc_ref ref;
            assert_int_equal(rtc_submit(rtc, "scribbles", RTC_ARGS(rtc_i64(how), rtc_i64(seed)),
                                        RTC_OPTIONS(.retries = RTC_NO_RETRY), &ref),
                             0);
            /* Others' tasks go on meanwhile, and wake the daemon, which finds out. */
            bool found = how == EVERYWHERE || how == AS_RECORDS;
            int rc = RTC_E_TIMEOUT;
            for (; found && rc == RTC_E_TIMEOUT; rc = rtc_get(rtc, ref, 0, NULL))
                check_sane(rtc);
            if (!found)
                rc = rtc_get(rtc, ref, RTC_S(30), NULL);
            assert_int_equal(rc, found ? RTC_E_CRASHED : 0);
            if (found)
                assert_non_null(strstr(rtc_last_error(), "writes where it must not"));
            assert_int_equal(rtc_release(rtc, ref), 0);
            check_sane(rtc);
        }
    }
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

static void a_driver_writes_garbage(void **state)
{
    (void)state;
    struct rtc *rtc = join();
    for (int how = 0; how < HOWS; how++) {
        for (int seed = 1; seed <= 3; seed++) {
            char hows[8], seeds[8];
            snprintf(hows, sizeof(hows), "%d", how);
            snprintf(seeds, sizeof(seeds), "%d", seed);
            char name[] = "test_peers", role[] = "bad-driver";
            char *const argv[] = {name, role, hows, seeds, address, NULL};
            pid_t pid;
            int status;
            assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
            do
                check_sane(rtc);
            while (waitpid(pid, &status, WNOHANG) != pid);
            assert_true(WIFEXITED(status));
            if (how == EVERYWHERE || how == AS_RECORDS)
                assert_int_equal(WEXITSTATUS(status), WAS_TOLD);
            else
                assert_in_range(WEXITSTATUS(status), WAS_TOLD, WAS_SPARED);
            check_sane(rtc);
        }
    }
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

/* Mounts a file system of so many bytes, which no other process sees. */
static bool mount_small(const char *at, const char *options)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("rtc", at, "tmpfs", 0, options) < 0) {
        print_message("no tmpfs can be mounted here: %s\n", strerror(errno));
        return false;
    }
    return true;
}

/* What had been acknowledged stays, what comes then waits, and goes on when there is room. */
static void the_disk_is_full(void **state)
{
    (void)state;
    struct head head;
    char small[160], ballast[176];
    enum { N = 20000 };
    static rtc_ref refs[N];
    snprintf(small, sizeof(small), "%s/small", dir);
    snprintf(ballast, sizeof(ballast), "%s/ballast", small);
    assert_int_equal(mkdir(small, 0700), 0);
    if (!mount_small(small, "size=8m"))
        skip();
    start_head(&head, "small/state");
    struct rtc *rtc = join();
    check_sane(rtc);
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char bytes[65536];
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
    for (int i = 0; i < N; i++)
        assert_int_equal(rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(i), rtc_i64(1)), NULL, &refs[i]),
                         0);
    assert_int_equal(rtc_flush(rtc, RTC_MS(300)), RTC_E_TIMEOUT);
    while (!says(head.errors, "nothing goes on until this is mended"))
        sched_yield();
    assert_true(says(head.errors, "disk is full"));
    assert_true(says(head.errors, small));
    unlink(ballast);
    for (int i = 0; i < N; i++) {
        int64_t x;
        assert_int_equal(rtc_get_i64(rtc, refs[i], RTC_S(30), &x), 0);
        assert_int_equal(x, i + 1);
    }
    assert_int_equal(rtc_release_many(rtc, refs, N), 0);
    check_sane(rtc);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    stop_head(&head);
    umount2(small, MNT_DETACH);
}

static void note_loss(struct rtc *rtc, rtc_ref ref, void *arg)
{
    assert_true(rtc_get(rtc, ref, 0, NULL) < 0);
    ++*(int *)arg;
}

/* Nobody waits for ever for what nobody will bring: callbacks run, once, in the call that finds
 * out. */
static void the_cluster_is_lost(void **state)
{
    (void)state;
    struct head head;
    rtc_ref ref;
    int told = 0, rc = 0, status;
    start_head(&head, "lost");
    struct rtc *rtc = join();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rtc_submit(rtc, "waits", NULL, NULL, &ref), 0);
        assert_int_equal(rtc_then(rtc, ref, note_loss, &told), 0);
        if (i % 2)
            assert_int_equal(rtc_release(rtc, ref), 0);
    }
    assert_int_equal(rtc_flush(rtc, RTC_S(30)), 0);
    kill(head.pid, SIGKILL);
    assert_int_equal(waitpid(head.pid, &status, 0), head.pid);
    while (rc == 0 || rc == RTC_E_TIMEOUT) {
        assert_int_equal(told, 0);
        rc = rtc_poll(rtc, RTC_S(30));
    }
    assert_int_equal(told, 20);
    (void)!rtc_shutdown(&rtc);
    assert_int_equal(told, 20);
}

/* Private clusters name their folders by process numbers, which come again. */
static void a_folder_was_left_behind(void **state)
{
    (void)state;
    char path[200];
    struct rtc *rtc = NULL;
    const char *before = getenv("XDG_RUNTIME_DIR");
    char *kept = before ? strdup(before) : NULL;
    for (int i = 1; i < 2000; i++) { /* the next numbers: one of them will be the keeper's */
        snprintf(path, sizeof(path), "%s/rtc-embedded-%d", dir, (int)getpid() + i);
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/journal"); /* no folder: what is left cannot be used */
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    setenv("XDG_RUNTIME_DIR", dir, 1);
    if (rtc_init(NULL, NULL, RTC_CONFIG(.address = "embedded", .cpus = 1, .quiet = true), &rtc))
        fail_msg("%s", rtc_last_error());
    check_sane(rtc);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    if (kept)
        setenv("XDG_RUNTIME_DIR", kept, 1);
    else
        unsetenv("XDG_RUNTIME_DIR");
    free(kept);
}

/* Objects do not live there: containers often give it 64 MiB or less. */
static void dev_shm_is_small(void **state)
{
    (void)state;
    struct head head;
    if (!mount_small("/dev/shm", "size=64k"))
        skip();
    start_head(&head, "shm");
    struct rtc *rtc = join();
    size_t size = 32 << 20;
    char *data = malloc(size);
    memset(data, 5, size);
    struct rtc_value v = rtc_bytes(data, size), got;
    rtc_ref ref;
    assert_int_equal(rtc_put(rtc, &v, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(10), &got), 0);
    assert_memory_equal(got.as.bytes.data, data, size);
    assert_int_equal(rtc_release(rtc, ref), 0);
    check_sane(rtc);
    free(data);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    stop_head(&head);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct head head;
    if (getenv("RTC_EXECUTOR")) { /* executors are this program again */
        struct rtc *rtc;
        return rtc_init(&argc, &argv, NULL, &rtc) ? 1 : 0;
    }
    if (argc == 5 && !strcmp(argv[1], "bad-driver")) {
        snprintf(address, sizeof(address), "%s", argv[4]);
        return bad_driver(atoi(argv[2]), strtoull(argv[3], NULL, 10));
    }
    if (!mkdtemp(dir))
        return 1;
    start_head(&head, "head");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_of_another_job), cmocka_unit_test(a_task_sees_what_it_holds),
        cmocka_unit_test(an_executor_writes_garbage), cmocka_unit_test(a_driver_writes_garbage),
        cmocka_unit_test(the_cluster_is_lost),        cmocka_unit_test(a_folder_was_left_behind),
        cmocka_unit_test(the_disk_is_full),           cmocka_unit_test(dev_shm_is_small),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_head(&head);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
