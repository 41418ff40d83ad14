/* Connecting: finding the daemon of this host, or starting a private one, and the handshake. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/client/client.h"
#include "runtime/client/lanes.h"
#include "runtime/client/open.h"
#include "runtime/shm/fds.h"
#include "runtime/shm/local.h"

#define CONNECT_TIMEOUT RTC_S(10)
#define TRIES_MAX       3 /* with a daemon that is killed in the handshake */

/* ---- The socket ---- */
static int connect_path(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return rtci_error(RTC_E_INVALID, "the address \"unix:%s\" is longer than %zu bytes", path,
                          sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return rtci_error(RTC_E_OS, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int rc = rtci_error(RTC_E_NO_CLUSTER,
                            "no rtc daemon answers at unix:%s (%s): start one with "
                            "`rtc head`",
                            path, strerror(errno));
        close(fd);
        return rc;
    }
    return fd;
}

/* This user's daemon, if one listens: a head, or a worker. */
static int connect_default(void)
{
    static const char *const names[] = {"head", "worker"};
    char path[108];
    const char *dir = getenv("XDG_RUNTIME_DIR");
    int fd = -1;
    for (size_t i = 0; fd < 0 && i < 2; i++) {
        if (dir && dir[0] &&
            (size_t)snprintf(path, sizeof(path), "%s/rtc/%s.sock", dir, names[i]) < sizeof(path))
            fd = connect_path(path);
        if (fd >= 0)
            break;
        snprintf(path, sizeof(path), "/tmp/rtc-%u/%s.sock", (unsigned)getuid(), names[i]);
        fd = connect_path(path);
    }
    return fd;
}

static int connect_somewhere(const struct rtc_config *config, uint32_t role, int *ret_sock,
                             int *ret_pid)
{
    const char *address = config->address;
    *ret_pid = 0;
    if (!address || !address[0]) {
        address = getenv("RTC_ADDRESS");
        if (address && !address[0])
            address = NULL;
    }
    if (address && strncmp(address, "unix:", 5) == 0) {
        *ret_sock = connect_path(address + 5);
        return *ret_sock < 0 ? *ret_sock : 0;
    }
    if (address && strncmp(address, "rtc1:", 5) == 0)
        return rtci_remote_start(address, ret_sock, ret_pid);
    if (address && strcmp(address, "embedded") != 0)
        return rtci_error(RTC_E_INVALID,
                          "the address \"%s\" is not understood: \"embedded\", "
                          "\"unix:/path/of/head.sock\" or a join line (rtc1:…) are possible",
                          address);
    if (!address) {
        *ret_sock = connect_default();
        if (*ret_sock >= 0)
            return 0;
    }
    if (role == RTCI_ROLE_TOOL)
        return rtci_error(RTC_E_NO_CLUSTER,
                          "no rtc daemon of this user runs on this host: start one with "
                          "`rtc head`, or set RTC_ADDRESS");
    return rtci_embedded_start(config, ret_sock, ret_pid);
}

/* ---- The handshake ---- */
static void fill_hello(struct rtc *rtc, uint32_t role, struct rtci_local_hello *hello)
{
    *hello = (struct rtci_local_hello){.magic = RTCI_LOCAL_MAGIC,
                                       .version = RTCI_WIRE_VERSION,
                                       .role = role,
                                       .pid = (uint32_t)getpid()};
    uint64_t id[2] = {rtci_now_ns(), (uint64_t)getpid()};
    RTCI_IGNORE(getrandom(id, sizeof(id), 0));
    hello->job_hi = id[0];
    hello->job_lo = id[1];
    snprintf(hello->release, sizeof(hello->release), "%s", RTC_VERSION_STRING);
    snprintf(hello->name, sizeof(hello->name), "%s", rtc->name);
    snprintf(hello->ns, sizeof(hello->ns), "%s", rtc->space);
    ssize_t n = readlink("/proc/self/exe", hello->exe, sizeof(hello->exe) - 1);
    hello->exe[n > 0 ? n : 0] = '\0';
    if (!getcwd(hello->cwd, sizeof(hello->cwd)))
        snprintf(hello->cwd, sizeof(hello->cwd), "/");
}

static int await_welcome(int sock, int64_t timeout, struct rtci_local_welcome *welcome, int *fds,
                         uint32_t *n_fds)
{
    uint64_t deadline = rtci_deadline(timeout);
    for (;;) {
        uint64_t now = rtci_now_ns();
        int ms = now >= deadline ? 0 : (int)((deadline - now) / RTCI_NS_PER_MS) + 1;
        struct pollfd p = {.fd = sock, .events = POLLIN};
        int n = poll(&p, 1, ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rtci_error(RTC_E_OS, "poll: %s", strerror(errno));
        if (n == 0)
            return rtci_error(RTC_E_TIMEOUT, "the daemon did not answer within %lld ms",
                              (long long)(timeout / 1000000));
        int rc = rtci_fds_recv(sock, welcome, sizeof(*welcome), fds, 2, n_fds);
        if (rc == RTC_E_DISCONNECTED)
            return rtci_error(
                rc, "the daemon closed the connection in the handshake: its own output says "
                    "why");
        if (rc < 0)
            return rtci_error(
                rc,
                "the daemon's answer is of another size: it has another version of rtc "
                "than this program (%s)",
                RTC_VERSION_STRING);
        return 0;
    }
}

static int check_welcome(const struct rtci_local_welcome *w, uint32_t n_fds)
{
    char release[sizeof(w->release)], text[sizeof(w->text)];
    snprintf(release, sizeof(release), "%.*s", (int)sizeof(release) - 1, w->release);
    snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, w->text);
    if (w->magic != RTCI_LOCAL_MAGIC)
        return rtci_error(RTC_E_PROTOCOL, "what answers there is not an rtc daemon");
    if (w->version != RTCI_WIRE_VERSION)
        return rtci_error(
            RTC_E_VERSION,
            "the daemon is rtc %s (protocol %u), this program was built with rtc %s (protocol "
            "%u): use the same version",
            release, w->version, RTC_VERSION_STRING, RTCI_WIRE_VERSION);
    if (w->status < 0)
        return rtci_error(w->status, "the daemon refused: %s",
                          text[0] ? text : rtc_error_text(w->status));
    if (n_fds != 2 || w->client == 0)
        return rtci_error(RTC_E_PROTOCOL, "the daemon's answer is incomplete");
    return 0;
}

static int handshake(struct rtc *rtc, uint32_t role, int64_t timeout)
{
    struct rtci_local_hello hello;
    struct rtci_local_welcome welcome = {0};
    fill_hello(rtc, role, &hello);
    int chan_fd = rtci_chan_create(RTCI_RING_BYTES);
    if (chan_fd < 0)
        return rtci_error(chan_fd, "creating the memory of a channel: %s", strerror(errno));
    int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    rtc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fds[2] = {-1, -1}, rc = 0;
    uint32_t n_fds = 0;
    if (exe < 0 || rtc->wake_fd < 0)
        rc = rtci_error(RTC_E_OS, "opening this program's file or an eventfd: %s", strerror(errno));
    else if (rtci_fds_send(rtc->sock, &hello, sizeof(hello), (int[]){chan_fd, rtc->wake_fd, exe},
                           3) < 0)
        rc =
            rtci_error(RTC_E_DISCONNECTED, "the daemon closed the connection: %s", strerror(errno));
    if (rc == 0)
        rc = await_welcome(rtc->sock, timeout, &welcome, fds, &n_fds);
    if (rc == 0)
        rc = check_welcome(&welcome, n_fds);
    if (rc == 0)
        rc = rtci_arena_map(rtc, fds[0], welcome.arena_bytes);
    if (rc == 0) {
        rtc->bell_fd = fds[1];
        fds[1] = -1;
        rc = rtci_chan_open(chan_fd, RTCI_CHAN_CLIENT, rtc->bell_fd, rtc->wake_fd, &rtc->chan);
        if (rc < 0)
            rc = rtci_error(rc, "mapping the channel: %s", strerror(errno));
    }
    if (rc == 0)
        rtci_chan_watch(rtc->chan, rtci_lanes_want, rtc);
    rtc->client = welcome.client;
    rtc->job = welcome.job;
    rtc->node = welcome.node;
    rtc->chan_fd = chan_fd;
    int all[] = {exe, fds[0], fds[1]};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] >= 0)
            close(all[i]);
    }
    return rc;
}

/* A daemon that is killed in the middle of it is started again by its keeper, which holds the
 * socket that it listens on: the next one answers there. */
static int connect_and_greet(struct rtc *rtc, const struct rtc_config *config, uint32_t role,
                             int *ret_pid)
{
    int64_t timeout = config->connect_timeout > 0 ? config->connect_timeout : CONNECT_TIMEOUT;
    for (int tries = 0;; tries++) {
        RTCI_TRY(connect_somewhere(config, role, &rtc->sock, ret_pid));
        int rc = handshake(rtc, role, timeout);
        if (rc != RTC_E_DISCONNECTED || *ret_pid || tries == TRIES_MAX)
            return rc;
        int all[] = {rtc->sock, rtc->wake_fd, rtc->chan_fd};
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
            if (all[i] >= 0)
                close(all[i]);
        }
        rtc->sock = rtc->wake_fd = rtc->chan_fd = -1;
    }
}

static int copy_name(char *dst, size_t size, const char *src, const char *what)
{
    if (strlen(src) >= size)
        return rtci_error(RTC_E_TOO_LARGE, "the %s \"%.80s\" is longer than %zu bytes", what, src,
                          size - 1);
    memcpy(dst, src, strlen(src) + 1);
    return 0;
}

int rtci_client_open(const struct rtc_config *config, uint32_t role, struct rtc **ret_rtc)
{
    static const struct rtc_config defaults;
    const struct rtc_config *c = config ? config : &defaults;
    struct rtc *rtc = rtci_client_create();
    if (!rtc)
        return rtci_error(RTC_E_NOMEM, "out of memory");
    rtc->quiet = c->quiet;
    int pid = 0;
    int rc = copy_name(rtc->name, sizeof(rtc->name),
                       c->name ? c->name : program_invocation_short_name, "name of the job");
    if (rc == 0)
        rc = copy_name(rtc->space, sizeof(rtc->space),
                       c->space && c->space[0] ? c->space : "default", "name of the space");
    if (rc == 0)
        rc = connect_and_greet(rtc, c, role, &pid);
    if (rc < 0) {
        rtci_client_destroy(rtc);
        int status = pid > 0 ? rtci_embedded_stop(pid) : 0;
        if (pid > 0 && rc == RTC_E_DISCONNECTED)
            rc =
                rtci_error(RTC_E_NO_CLUSTER,
                           "the embedded cluster ended at once (%s %d): what it printed to stderr, "
                           "\"rtc head: …\", says why",
                           WIFSIGNALED(status) ? "signal" : "status",
                           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return rc;
    }
    rtc->daemon_pid = pid;
    rtc->epoch = rtci_chan_info(rtc->chan)->daemon_epoch;
    *ret_rtc = rtc;
    return 0;
}

int rtci_client_adopt(struct rtc **ret_rtc)
{
    struct stat st;
    struct rtc *rtc = rtci_client_create();
    if (!rtc)
        return rtci_error(RTC_E_NOMEM, "out of memory");
    /* Programs that a task starts must not take themselves for executors. */
    unsetenv(RTCI_EXEC_ENV);
    for (int fd = RTCI_EXEC_FD_CHAN; fd <= RTCI_EXEC_FD_BELL; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    rtc->executor = true;
    rtc->bell_fd = RTCI_EXEC_FD_BELL;
    snprintf(rtc->name, sizeof(rtc->name), "%s", program_invocation_short_name);
    int rc = 0;
    if (fstat(RTCI_EXEC_FD_ARENA, &st) < 0)
        rc = rtci_error(RTC_E_OS, "the inherited descriptors are not there: %s", strerror(errno));
    if (rc == 0)
        rc = rtci_arena_map(rtc, RTCI_EXEC_FD_ARENA, (uint64_t)st.st_size);
    if (rc == 0)
        rc = rtci_chan_open(RTCI_EXEC_FD_CHAN, RTCI_CHAN_CLIENT, RTCI_EXEC_FD_BELL, -1, &rtc->chan);
    if (rc < 0) {
        rtci_client_destroy(rtc);
        return rc;
    }
    rtc->chan_fd = RTCI_EXEC_FD_CHAN;
    close(RTCI_EXEC_FD_ARENA);
    rtci_chan_watch(rtc->chan, rtci_lanes_want, rtc);
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    rtc->client = info->client;
    rtc->job = info->job;
    rtc->epoch = info->daemon_epoch;
    *ret_rtc = rtc;
    return 0;
}

int rtci_client_stop(struct rtc *rtc, bool now, int64_t timeout)
{
    RTCI_TRY(rtci_enter(rtc));
    struct rtci_slot_msg stop = {.rec = {.size = sizeof(stop), .type = RTCI_R_STOP}, .op = now};
    int rc = rtci_send_record(rtc, &stop);
    rtci_leave(rtc);
    uint64_t deadline = rtci_deadline(timeout);
    while (rc == 0) {
        uint64_t at = rtci_now_ns();
        if (at >= deadline)
            return rtci_error(RTC_E_TIMEOUT,
                              "the daemon still runs: the timeout of the call passed");
        struct pollfd p = {.fd = rtc->sock, .events = POLLIN | POLLHUP};
        int n = poll(&p, 1,
                     deadline == UINT64_MAX ? 1000 : (int)((deadline - at) / RTCI_NS_PER_MS) + 1);
        char byte;
        if (n > 0 && recv(rtc->sock, &byte, 1, MSG_DONTWAIT) == 0)
            return 0;
        if (n > 0 && (p.revents & (POLLHUP | POLLERR)))
            return 0;
    }
    return rc;
}
