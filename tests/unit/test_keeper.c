/* The keeper: spawning, holding, restarting, ending. `test_keeper bench` measures. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "tests/unit/keeper_help.h"

/* Tests ------------------------------------------------------------------------------------- */

static void test_ready_and_quit(void **state)
{
    (void)state;
    struct world world;
    char bytes[4];
    start(&world);
    order(&world, RTCI_KM_READY, 0, 0, 0);
    assert_int_equal(read(world.notify, bytes, sizeof(bytes)), 1);
    assert_int_equal(read(world.notify, bytes, sizeof(bytes)), 0); /* closed after it */
    quit(&world);
}

static void test_spawn_and_exit(void **state)
{
    (void)state;
    struct world world;
    char text[512];
    start(&world);
    int out = spawn(&world, 5,
                    "echo $WORD; pwd; echo fds $(ls /proc/self/fd | tr '\\n' ' '); "
                    "readlink /proc/$$/fd/4 | sed 's/:.*//'; "
                    "test $(ps -o pgid= -p $$) = $$ && echo group; "
                    "grep -c 'SigBlk:.*0000000000000000' /proc/self/status; exit 3");
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.key, 5);
    assert_true(world.msg.pid > 0);
    pid_t pid = world.msg.pid;
    read_all(out, text, sizeof(text));
    /* 0 to 4 as asked (5 is the directory that ls reads), nothing of the keeper's. */
    assert_non_null(strstr(text, "hello\n/\nfds 0 1 2 3 4 5\npipe\ngroup\n1\n"));
    receive(&world, RTCI_KM_EXITED);
    assert_int_equal(world.msg.key, 5);
    assert_int_equal(world.msg.pid, pid);
    assert_int_equal(WEXITSTATUS(world.msg.value), 3);
    quit(&world);
}

static void test_script_by_descriptor(void **state)
{
    (void)state;
    struct world world;
    char name[] = "/tmp/rtc-keeper-XXXXXX", text[64];
    const char *script = "#!/bin/sh\necho script $1\n";
    int fd = mkstemp(name);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    fchmod(fd, 0700);
    close(fd);
    start(&world);
    int out = spawn_file(&world, 1, name, "", "word", NULL);
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.value, 0);
    read_all(out, text, sizeof(text));
    assert_string_equal(text, "script word\n");
    receive(&world, RTCI_KM_EXITED);
    quit(&world);
    unlink(name);
}

static void test_spawn_failures(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    close(spawn_file(&world, 1, "/etc/passwd", "/", NULL, NULL));
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.pid, 0);
    assert_int_equal(world.msg.value, EACCES);
    assert_int_equal(world.msg.flags, 0);
    close(spawn_file(&world, 1, "/bin/true", "/no/such", NULL, NULL));
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.pid, 0);
    assert_int_equal(world.msg.value, ENOENT);
    assert_int_equal(world.msg.flags, 1);
    /* Malformed: no descriptors; no argv. */
    order(&world, RTCI_KM_SPAWN, 2, 0, 0);
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.value, EINVAL);
    struct rtci_keeper_msg msg = {.type = RTCI_KM_SPAWN, .key = 3, .blob_len = 5};
    int fds[4] = {0, 0, 1, 2};
    assert_int_equal(rtci_keeper_send(world.control, &msg, "a\0\0\0", fds, 4), 0);
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.value, EINVAL);
    /* A tag in use. */
    close(spawn(&world, 4, "exec cat /dev/zero > /dev/null"));
    receive(&world, RTCI_KM_SPAWNED);
    assert_true(world.msg.pid > 0);
    close(spawn(&world, 4, "true"));
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(world.msg.value, EEXIST);
    quit(&world);
}

/* Kill to the group; what an exiting process leaves in its group dies with it. */
static void test_groups(void **state)
{
    (void)state;
    struct world world;
    char text[64];
    start(&world);
    int out = spawn(&world, 1, "sleep 1000 & echo; wait");
    receive(&world, RTCI_KM_SPAWNED);
    assert_int_equal(read(out, text, 1), 1);
    order(&world, RTCI_KM_KILL, 1, SIGTERM, 1);
    receive(&world, RTCI_KM_EXITED);
    assert_int_equal(WTERMSIG(world.msg.value), SIGTERM);
    read_all(out, text, sizeof(text)); /* EOF: sleep is gone too */
    out = spawn(&world, 2, "sleep 1000 & exit 0");
    receive(&world, RTCI_KM_SPAWNED);
    receive(&world, RTCI_KM_EXITED);
    read_all(out, text, sizeof(text));
    quit(&world);
}

static void test_daemon_restart(void **state)
{
    (void)state;
    struct world world;
    char text[16];
    int mem = memfd_create("kept", MFD_CLOEXEC);
    assert_int_equal(write(mem, "kept", 4), 4);
    start(&world);
    order(&world, RTCI_KM_READY, 0, 0, 0);
    static uint8_t big[RTCI_KEEPER_BLOB_MAX];
    struct rtci_keeper_msg store = {
        .type = RTCI_KM_STORE, .key = RTCI_KEY_CLIENT + 9, .blob_len = sizeof(big)};
    int both[2] = {mem, mem};
    assert_int_equal(rtci_keeper_send(world.control, &store, big, both, 0), 0);
    memset(big, 0x5a, sizeof(big)); /* replaces what was stored first */
    assert_int_equal(rtci_keeper_send(world.control, &store, big, both, 2), 0);
    store.key++;
    assert_int_equal(rtci_keeper_send(world.control, &store, big, both, 1), 0);
    order(&world, RTCI_KM_UNSTORE, RTCI_KEY_CLIENT + 10, 0, 0);
    int out = spawn(&world, 1, "read x; exit 4"), gone = spawn(&world, 2, "exit 5");
    int forgotten = spawn(&world, 3, "exit 6");
    for (int i = 0, exits = 0; exits < 3; i++) {
        struct pollfd pfd = {.fd = world.control, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
        assert_int_equal(rtci_keeper_recv(world.control, &world.msg, world.blob, sizeof(world.blob),
                                          world.fds, &world.n_fds, true),
                         0);
        exits += world.msg.type == RTCI_KM_EXITED;
    }
    order(&world, RTCI_KM_FORGET, 3, 0, 0);
    int living = spawn(&world, 4, "exec sleep 1000");
    receive(&world, RTCI_KM_SPAWNED);
    pid_t pid = world.msg.pid;
    kill(world.daemon, SIGKILL);

    receive(&world, RTCI_KM_RESTORE);
    assert_int_equal(world.msg.key, RTCI_KEY_FIRST);
    receive(&world, RTCI_KM_RESTORE);
    assert_int_equal(world.msg.key, RTCI_KEY_CLIENT + 9);
    assert_int_equal(world.msg.blob_len, sizeof(big));
    assert_memory_equal(world.blob, big, sizeof(big));
    assert_int_equal(world.n_fds, 2);
    assert_int_equal(pread(world.fds[1], text, sizeof(text), 0), 4);
    int32_t status[5] = {0}, flags[5] = {0};
    for (int i = 0; i < 3; i++) {
        receive(&world, RTCI_KM_CHILD);
        assert_true(world.msg.key >= 1 && world.msg.key <= 4 && world.msg.key != 3);
        status[world.msg.key] = world.msg.value;
        flags[world.msg.key] = (int32_t)world.msg.flags;
        if (world.msg.key == 4)
            assert_int_equal(world.msg.pid, pid);
    }
    assert_int_equal(WEXITSTATUS(status[1]), 4);
    assert_int_equal(WEXITSTATUS(status[2]), 5);
    assert_true(flags[1] && flags[2] && !flags[4]);
    receive_begin(&world);
    assert_int_equal(world.msg.value, 2);
    order(&world, RTCI_KM_KILL, 4, SIGKILL, 0);
    receive(&world, RTCI_KM_EXITED);
    assert_int_equal(world.msg.key, 4);
    int fds[] = {out, gone, forgotten, living, mem};
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    quit(&world);
}

/* A daemon that exits with an error after it served is started again, one killed at random too. */
static void test_restarts(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    for (int i = 0; i < 40; i++) {
        order(&world, RTCI_KM_READY, 0, 0, 0);
        /* Something that comes back shows that READY has arrived. */
        uint64_t tag = (uint64_t)i + 1; /* a FORGET may die with the daemon that passes it on */
        close(spawn(&world, tag, "true"));
        receive(&world, RTCI_KM_SPAWNED);
        receive(&world, RTCI_KM_EXITED);
        order(&world, RTCI_KM_FORGET, tag, 0, 0);
        if (i % 2)
            order(&world, ORDER_EXIT, 0, 1, 0);
        else
            kill(world.daemon, SIGKILL);
        do {
            struct pollfd pfd = {.fd = world.control, .events = POLLIN};
            assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
            assert_int_equal(rtci_keeper_recv(world.control, &world.msg, world.blob,
                                              sizeof(world.blob), world.fds, &world.n_fds, true),
                             0);
        } while (world.msg.type != RTCI_KM_BEGIN);
        world.daemon = world.msg.pid;
        assert_int_equal(world.msg.value, i + 2);
    }
    quit(&world);
}

static void test_exit_codes(void **state)
{
    (void)state;
    struct world world;
    const char *const refuses[] = {"test_keeper", "daemon", "exit", "12", NULL};
    const char *const loops[] = {"test_keeper", "daemon", "abort", NULL};
    start_with(&world, refuses, NULL); /* fails to start: its status, no restart */
    assert_int_equal(finish(&world), 12);
    start_with(&world, loops, NULL); /* a crash loop ends */
    assert_int_equal(finish(&world), 1);
    start(&world); /* a deliberate end */
    order(&world, RTCI_KM_READY, 0, 0, 0);
    order(&world, ORDER_EXIT, 0, 0, 0);
    assert_int_equal(finish(&world), 0);
}

static void test_signal_ends(void **state)
{
    (void)state;
    struct world world;
    int signals[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        start(&world);
        close(spawn(&world, 1, "exec sleep 1000"));
        receive(&world, RTCI_KM_SPAWNED);
        pid_t pid = world.msg.pid;
        kill(world.keeper, signals[i]);
        /* The daemon of this test does not catch SIGTERM. */
        assert_int_equal(finish(&world), 128 + SIGTERM);
        assert_int_equal(kill(pid, 0), -1);
    }
}

/* What left its group and its parent is still found at the end. */
static void test_quit_kills_orphans(void **state)
{
    (void)state;
    struct world world;
    char text[64] = "";
    start(&world);
    int out =
        spawn(&world, 1, "x=$(setsid sh -c 'echo $$; exec sleep 1000 > /dev/null' &); echo $x");
    receive(&world, RTCI_KM_SPAWNED);
    receive(&world, RTCI_KM_EXITED);
    assert_true(read(out, text, sizeof(text) - 1) > 0);
    pid_t orphan = atoi(text);
    assert_int_equal(kill(orphan, 0), 0);
    quit(&world);
    assert_true(wait_gone(orphan));
    close(out);
}

static void test_keeper_death_ends_all(void **state)
{
    (void)state;
    struct world world;
    start(&world);
    close(spawn(&world, 1, "exec sleep 1000"));
    receive(&world, RTCI_KM_SPAWNED);
    pid_t pid = world.msg.pid;
    int status;
    kill(world.keeper, SIGKILL);
    assert_int_equal(waitpid(world.keeper, &status, 0), world.keeper);
    assert_true(wait_gone(pid));
    assert_true(wait_gone(world.daemon));
    close(world.control);
    close(world.notify);
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void test_listen(void **state)
{
    (void)state;
    struct world world, second;
    char dir[] = "/tmp/rtc-keeper-XXXXXX", path[128], sub[64], lock[160];
    static const char *const argv[] = {"test_keeper", "daemon", NULL};
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof(sub), "%s/a", dir);
    snprintf(path, sizeof(path), "%s/a/b/sock", dir);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    for (int round = 0; round < 2; round++) { /* the second finds the first's stale socket */
        start_with(&world, argv, path);
        receive(&world, RTCI_KM_RESTORE);
        receive_begin(&world);
        int fd = connect_to(path);
        assert_true(fd >= 0);
        close(fd);
        start_with(&second, argv, path); /* busy */
        assert_int_equal(finish(&second), 1);
        assert_int_equal(stat(sub, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        if (round == 1) {
            quit(&world);
            break;
        }
        kill(world.keeper, SIGKILL);
        assert_int_equal(waitpid(world.keeper, NULL, 0), world.keeper);
        assert_true(wait_gone(world.daemon));
        close(world.control);
        close(world.notify);
    }
    assert_int_equal(stat(path, &st), -1); /* removed at the orderly end */
    unlink(lock);
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* `test_keeper bench`: how long spawning takes, asked and answered. */
static int bench(void)
{
    struct world world;
    start(&world);
    double begin = now_us(), restart;
    const int count = 500;
    for (int i = 0; i < count; i++) {
        close(spawn_file(&world, (uint64_t)i, "/bin/true", "/", NULL, NULL));
        do
            assert_int_equal(rtci_keeper_recv(world.control, &world.msg, world.blob,
                                              sizeof(world.blob), world.fds, &world.n_fds, true),
                             0);
        while (world.msg.type != RTCI_KM_SPAWNED);
    }
    printf("spawn to SPAWNED: %.1f us\n", (now_us() - begin) / count);
    order(&world, RTCI_KM_READY, 0, 0, 0);
    restart = now_us();
    kill(world.daemon, SIGKILL);
    do
        assert_int_equal(rtci_keeper_recv(world.control, &world.msg, world.blob, sizeof(world.blob),
                                          world.fds, &world.n_fds, true),
                         0);
    while (world.msg.type != RTCI_KM_BEGIN);
    printf("kill -9 to BEGIN of the next daemon: %.1f us\n", now_us() - restart);
    quit(&world);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "daemon") == 0)
        return daemon_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return bench();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_and_quit),
        cmocka_unit_test(test_spawn_and_exit),
        cmocka_unit_test(test_script_by_descriptor),
        cmocka_unit_test(test_spawn_failures),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_daemon_restart),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_signal_ends),
        cmocka_unit_test(test_quit_kills_orphans),
        cmocka_unit_test(test_keeper_death_ends_all),
        cmocka_unit_test(test_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
