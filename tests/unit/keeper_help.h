/* The keeper with a daemon that is the test program again: it hands whatever the keeper says to the
 * test and whatever the test says to the keeper, over the descriptor that the keeper holds under
 * RTCI_KEY_FIRST, which also shows that this one survives every death of the daemon. */
#ifndef TESTS_UNIT_KEEPER_HELP_H
#define TESTS_UNIT_KEEPER_HELP_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/keeper/keeper.h"
#include <rtc/error.h>

#define ORDER_EXIT 1000 /* test -> daemon: _exit(value) */
#define WAIT_MS    20000

struct world {
    pid_t keeper, daemon;
    int control, notify;
    struct rtci_keeper_msg msg; /* last received */
    int fds[RTCI_KEEPER_FDS];
    uint32_t n_fds;
    uint8_t blob[RTCI_KEEPER_BLOB_MAX];
};

/* The daemon ------------------------------------------------------------------------------- */

static uint8_t relay_blob[RTCI_KEEPER_BLOB_MAX];

static __attribute__((unused)) int relay(int from, int to)
{
    struct rtci_keeper_msg msg;
    int fds[RTCI_KEEPER_FDS];
    uint32_t n_fds;
    int rc = rtci_keeper_recv(from, &msg, relay_blob, sizeof(relay_blob), fds, &n_fds, true);
    if (rc < 0)
        return rc;
    if (msg.type == ORDER_EXIT)
        _exit(msg.value);
    if (msg.type == RTCI_KM_BEGIN)
        msg.pid = getpid();
    rc = rtci_keeper_send(to, &msg, relay_blob, fds, n_fds);
    for (uint32_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return rc;
}

static __attribute__((unused)) int daemon_main(int argc, char **argv)
{
    int keeper = atoi(getenv(RTCI_KEEPER_ENV));
    int control = -1;
    if (argc > 2 && strcmp(argv[2], "exit") == 0)
        return atoi(argv[3]);
    if (argc > 2 && strcmp(argv[2], "abort") == 0)
        raise(SIGKILL);
    while (control < 0) { /* what comes before, the listening socket, is not of interest */
        struct rtci_keeper_msg msg;
        uint32_t n_fds;
        int fds[RTCI_KEEPER_FDS];
        if (rtci_keeper_recv(keeper, &msg, relay_blob, sizeof(relay_blob), fds, &n_fds, true) < 0)
            return 9;
        if (msg.type != RTCI_KM_RESTORE || msg.key != RTCI_KEY_FIRST)
            continue;
        control = fds[0];
        if (rtci_keeper_send(control, &msg, relay_blob, fds, n_fds) < 0)
            return 9;
    }
    for (;;) {
        struct pollfd pfds[2] = {{.fd = keeper, .events = POLLIN},
                                 {.fd = control, .events = POLLIN}};
        if (poll(pfds, 2, -1) < 0)
            continue;
        if (pfds[0].revents && relay(keeper, control) < 0)
            return 9;
        if (pfds[1].revents && relay(control, keeper) < 0)
            return 9;
    }
}

/* The test's side --------------------------------------------------------------------------- */

static __attribute__((unused)) void start_with(struct world *world, const char *const *argv,
                                               const char *socket_path)
{
    int pair[2], notify[2];
    memset(world, 0, sizeof(*world));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(notify, O_CLOEXEC), 0);
    world->keeper = fork();
    assert_true(world->keeper >= 0);
    if (world->keeper == 0) {
        close(pair[0]);
        close(notify[0]);
        struct rtci_keeper_config config = {
            .daemon_argv = (char *const *)(uintptr_t)argv,
            .notify_fd = notify[1],
            .socket_path = socket_path,
            .first_fd = pair[1],
        };
        _exit(rtci_keeper_run(&config));
    }
    close(pair[1]);
    close(notify[1]);
    world->control = pair[0];
    world->notify = notify[0];
}

static __attribute__((unused)) void receive(struct world *world, uint32_t type)
{
    struct pollfd pfd = {.fd = world->control, .events = POLLIN};
    for (uint32_t i = 0; i < world->n_fds; i++)
        close(world->fds[i]);
    world->n_fds = 0;
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
    assert_int_equal(rtci_keeper_recv(world->control, &world->msg, world->blob, sizeof(world->blob),
                                      world->fds, &world->n_fds, true),
                     0);
    assert_int_equal(world->msg.type, type);
}

static __attribute__((unused)) void receive_begin(struct world *world)
{
    receive(world, RTCI_KM_BEGIN);
    world->daemon = world->msg.pid;
}

static __attribute__((unused)) void start(struct world *world)
{
    static const char *const argv[] = {"test_keeper", "daemon", NULL};
    start_with(world, argv, NULL);
    receive(world, RTCI_KM_RESTORE);
    assert_int_equal(world->msg.key, RTCI_KEY_FIRST);
    receive_begin(world);
    assert_int_equal(world->msg.value, 1);
}

static __attribute__((unused)) void order(struct world *world, uint32_t type, uint64_t key,
                                          int32_t value, uint32_t flags)
{
    struct rtci_keeper_msg msg = {.type = type, .key = key, .value = value, .flags = flags};
    assert_int_equal(rtci_keeper_send(world->control, &msg, NULL, NULL, 0), 0);
}

static __attribute__((unused)) int finish(struct world *world)
{
    int status;
    assert_int_equal(waitpid(world->keeper, &status, 0), world->keeper);
    for (uint32_t i = 0; i < world->n_fds; i++)
        close(world->fds[i]);
    close(world->control);
    close(world->notify);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static __attribute__((unused)) void quit(struct world *world)
{
    order(world, RTCI_KM_QUIT, 0, 7, 0);
    order(world, ORDER_EXIT, 0, 0, 0);
    assert_int_equal(finish(world), 7);
}

static __attribute__((unused)) size_t add(char *blob, size_t at, const char *text)
{
    memcpy(blob + at, text, strlen(text) + 1);
    return at + strlen(text) + 1;
}

/* Runs `path` with sh-like arguments; stdout is a pipe of which the read end is returned. */
static __attribute__((unused)) int spawn_file(struct world *world, uint64_t tag, const char *path,
                                              const char *cwd, const char *arg1, const char *arg2)
{
    char blob[8192];
    int out[2], in = open("/dev/null", O_RDWR | O_CLOEXEC), exe = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(exe >= 0 && in >= 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    size_t len = add(blob, 0, cwd);
    len = add(blob, len, path);
    len = add(blob, len, "program");
    if (arg1)
        len = add(blob, len, arg1);
    if (arg2)
        len = add(blob, len, arg2);
    len = add(blob, len, "");
    len = add(blob, len, "PATH=/usr/bin:/bin");
    len = add(blob, len, "WORD=hello");
    len = add(blob, len, "");
    struct rtci_keeper_msg msg = {.type = RTCI_KM_SPAWN, .key = tag, .blob_len = (uint32_t)len};
    int fds[6] = {exe, in, out[1], STDERR_FILENO, in, out[1]};
    assert_int_equal(rtci_keeper_send(world->control, &msg, blob, fds, 6), 0);
    close(exe);
    close(in);
    close(out[1]);
    return out[0];
}

static __attribute__((unused)) int spawn(struct world *world, uint64_t tag, const char *script)
{
    return spawn_file(world, tag, "/bin/sh", "/", "-c", script);
}

static __attribute__((unused)) void read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len + 1 < size && (n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fd);
}

/* True once the process is gone or a zombie; waits for that, through a pidfd. */
static __attribute__((unused)) bool wait_gone(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH;
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int n = poll(&pfd, 1, WAIT_MS);
    close(fd);
    return n == 1;
}

#endif
