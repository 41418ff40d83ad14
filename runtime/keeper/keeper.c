#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/keeper/internal.h"
#include <rtc/error.h>

#define DAEMON_FD        3             /* its end of the pair */
#define FAILURES_MAX     20            /* deaths in a row before READY: given up */
#define FAILURES_AT_ONCE 3             /* so many are restarted without a pause */
#define QUICK_NS         RTCI_NS_PER_S /* dead so soon after READY: a crash loop? */
#define QUICK_AT_ONCE    20
#define PAUSE_MAX_NS     (200 * RTCI_NS_PER_MS)
#define STOP_AGAIN_NS    (RTCI_NS_PER_S / 2) /* a second signal so much later means: now */
#define QUIT_GRACE_NS    (5 * RTCI_NS_PER_S) /* for the daemon to exit after it said QUIT */

uint64_t rtci_keeper_now(void)
{
    return rtci_clock_ns();
}

/* The keeper's environment with RTC_KEEPER_FD. The strings are borrowed but for the new one. */
static char **daemon_env(char *number, size_t size)
{
    const size_t name_len = sizeof(RTCI_KEEPER_ENV "=") - 1;
    size_t n = 0, out = 0;
    while (environ && environ[n])
        n++;
    char **env = calloc(n + 2, sizeof(*env));
    if (!env)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], RTCI_KEEPER_ENV "=", name_len) != 0)
            env[out++] = environ[i];
    }
    snprintf(number, size, RTCI_KEEPER_ENV "=%d", DAEMON_FD);
    env[out] = number;
    return env;
}

static int start_daemon(struct rtci_keeper *keeper)
{
    int pair[2];
    char number[sizeof(RTCI_KEEPER_ENV) + 16];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    char **env = daemon_env(number, sizeof(number));
    int fds[DAEMON_FD + 1] = {0, 1, 2, pair[1]};
    struct rtci_spawn what = {
        .exe = keeper->self_exe,
        .argv = keeper->config.daemon_argv,
        .env = env,
        .fds = fds,
        .n_fds = DAEMON_FD + 1,
        .keeper = keeper->self,
        .reset = &keeper->reset,
    };
    bool cwd_failed;
    pid_t pid = env ? rtci_spawn(&what, &cwd_failed) : -ENOMEM;
    free(env);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return pid;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    keeper->sock = pair[0];
    keeper->daemon = pid;
    keeper->phase = RTCI_PHASE_HELD;
    keeper->held_at = TAILQ_FIRST(&keeper->held);
    keeper->child_at = NULL;
    keeper->ready = false;
    keeper->starts++;
    RTCI_LOG(INFO, KEEPER, "daemon started pid=%d start=%d", (int)pid, keeper->starts);
    return 0;
}

/* When to start the next daemon: at once, but for one that dies again and again. */
static void plan_start(struct rtci_keeper *keeper)
{
    uint32_t n = 0;
    if (keeper->failures > FAILURES_AT_ONCE)
        n = keeper->failures - FAILURES_AT_ONCE;
    else if (keeper->quick > QUICK_AT_ONCE)
        n = keeper->quick - QUICK_AT_ONCE;
    uint64_t pause = n == 0 ? 0 : n > 5 ? PAUSE_MAX_NS : (5 * RTCI_NS_PER_MS) << n;
    keeper->start_ns = rtci_keeper_now() + (pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause);
}

static int exit_code(int32_t status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void finish(struct rtci_keeper *keeper, int status)
{
    keeper->done = true;
    keeper->status = status;
}

static void count_death(struct rtci_keeper *keeper, int32_t status)
{
    char how[64];
    if (WIFEXITED(status))
        snprintf(how, sizeof(how), "exited with status %d", WEXITSTATUS(status));
    else
        snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    if (!keeper->ready)
        keeper->failures++;
    bool quick = keeper->ready && rtci_keeper_now() - keeper->ready_ns < QUICK_NS;
    keeper->quick = quick ? keeper->quick + 1 : 0;
    RTCI_LOG(WARN, KEEPER, "the daemon %s; it is started again pid=%d", how, (int)keeper->daemon);
    if (keeper->failures < FAILURES_MAX)
        return;
    fprintf(stderr,
            "rtc: the daemon %s %d times in a row before it could serve; giving up. Its own "
            "messages stand above; RTC_LOG=debug shows more\n",
            how, FAILURES_MAX);
    finish(keeper, WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

static bool drain(struct rtci_keeper *keeper);

static void hang_up(struct rtci_keeper *keeper)
{
    if (keeper->sock >= 0)
        close(keeper->sock);
    keeper->sock = -1;
}

static void daemon_exited(struct rtci_keeper *keeper, int32_t status)
{
    if (keeper->sock >= 0)
        RTCI_IGNORE(drain(keeper)); /* what it said before it died counts */
    hang_up(keeper);
    rtci_child_undue(keeper);
    if (keeper->quitting) {
        keeper->done = true; /* with the status that QUIT carried */
    } else if (keeper->stopping) {
        finish(keeper, exit_code(status));
    } else if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || !keeper->ever_ready)) {
        finish(keeper, WEXITSTATUS(status)); /* its decision; it told the reason itself */
    } else {
        count_death(keeper, status);
        plan_start(keeper);
    }
    keeper->daemon = 0;
}

/* The zombie still holds its process group's number, so what remains of the group can be killed
 * without meeting a stranger. */
static void reap(struct rtci_keeper *keeper)
{
    for (;;) {
        siginfo_t info = {0};
        int status;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        pid_t pid = info.si_pid;
        if (pid != keeper->daemon && getpgid(pid) == pid)
            kill(-pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid)
            continue;
        if (pid == keeper->daemon)
            daemon_exited(keeper, status);
        else
            rtci_child_exited(keeper, pid, status);
    }
}

static void ready(struct rtci_keeper *keeper)
{
    if (!keeper->ever_ready && keeper->config.on_ready)
        keeper->config.on_ready(keeper->config.on_ready_arg);
    keeper->ready = keeper->ever_ready = true;
    keeper->ready_ns = rtci_keeper_now();
    keeper->failures = 0;
    if (keeper->config.notify_fd >= 0) {
        char byte = 1;
        ssize_t ignored = write(keeper->config.notify_fd, &byte, 1);
        (void)ignored; /* nobody may be waiting any more */
        close(keeper->config.notify_fd);
        keeper->config.notify_fd = -1;
    }
}

static void kill_child(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg)
{
    struct rtci_child *child = rtci_child_find(keeper, msg->key);
    if (child && !child->exited && msg->value > 0 && msg->value < NSIG)
        kill(msg->flags & 1 ? -child->pid : child->pid, msg->value);
}

void rtci_keeper_handle(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg,
                        const int *fds, uint32_t n_fds)
{
    bool taken = false;
    switch (msg->type) {
    case RTCI_KM_STORE:
        taken = true;
        if (rtci_held_store(&keeper->held, msg->key, keeper->blob, msg->blob_len, fds, n_fds) < 0)
            RTCI_LOG(ERROR, KEEPER, "out of memory: not kept key=0x%llx",
                     (unsigned long long)msg->key);
        break;
    case RTCI_KM_UNSTORE: rtci_held_drop(&keeper->held, msg->key, &keeper->held_at); break;
    case RTCI_KM_SPAWN: rtci_child_spawn(keeper, msg, fds, n_fds); break;
    case RTCI_KM_KILL: kill_child(keeper, msg); break;
    case RTCI_KM_FORGET: rtci_child_forget(keeper, msg->key); break;
    case RTCI_KM_READY: ready(keeper); break;
    case RTCI_KM_QUIT:
        keeper->quitting = true;
        keeper->status = msg->value;
        keeper->quit_ns = rtci_keeper_now();
        break;
    default: RTCI_LOG(ERROR, KEEPER, "unknown request type=%u", msg->type); break;
    }
    for (uint32_t i = 0; i < n_fds && !taken; i++)
        close(fds[i]);
}

/* Takes what the daemon asks. True when its end is closed. */
static bool drain(struct rtci_keeper *keeper)
{
    for (;;) {
        struct rtci_keeper_msg msg;
        int fds[RTCI_KEEPER_FDS];
        uint32_t n_fds;
        int rc = rtci_keeper_recv(keeper->sock, &msg, keeper->blob, sizeof(keeper->blob), fds,
                                  &n_fds, false);
        if (rc == RTC_E_PROTOCOL) {
            RTCI_LOG(ERROR, KEEPER, "a request was malformed, or descriptors ran out");
            continue;
        }
        if (rc < 0)
            return rc != RTC_E_AGAIN;
        rtci_keeper_handle(keeper, &msg, fds, n_fds);
    }
}

static void take_signals(struct rtci_keeper *keeper)
{
    struct signalfd_siginfo info[8];
    ssize_t n = read(keeper->signals, info, sizeof(info));
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++) {
        if (info[i].ssi_signo == SIGCHLD)
            continue;
        uint64_t now = rtci_keeper_now();
        bool again = keeper->stopping && now - keeper->stop_ns > STOP_AGAIN_NS;
        if (!keeper->stopping)
            keeper->stop_ns = now;
        keeper->stopping = true;
        if (keeper->daemon)
            kill(keeper->daemon, again ? SIGKILL : SIGTERM);
        else
            finish(keeper, 128 + (int)info[i].ssi_signo);
    }
    reap(keeper);
}

static int wait_ms(const struct rtci_keeper *keeper)
{
    uint64_t until;
    if (!keeper->daemon)
        until = keeper->start_ns;
    else if (keeper->quitting)
        until = keeper->quit_ns + QUIT_GRACE_NS;
    else
        return -1;
    uint64_t now = rtci_keeper_now();
    return now >= until ? 0 : (int)((until - now + RTCI_NS_PER_MS - 1) / RTCI_NS_PER_MS);
}

static void turn(struct rtci_keeper *keeper)
{
    if (!keeper->daemon && rtci_keeper_now() >= keeper->start_ns) {
        int rc = start_daemon(keeper);
        if (rc < 0) {
            fprintf(stderr, "rtc: cannot start the daemon: %s\n", strerror(-rc));
            if (++keeper->failures >= FAILURES_MAX || !keeper->ever_ready) {
                finish(keeper, 1);
                return;
            }
            plan_start(keeper);
        }
    }
    bool full = rtci_child_pump(keeper);
    struct pollfd pfds[2] = {
        {.fd = keeper->signals, .events = POLLIN},
        {.fd = keeper->sock, .events = (short)(POLLIN | (full ? POLLOUT : 0))},
    };
    int n = poll(pfds, 2, wait_ms(keeper));
    if (n == 0 && keeper->quitting && keeper->daemon)
        kill(keeper->daemon, SIGKILL);
    /* Requests first: the exit of a child must not overtake what its daemon asked before. */
    if (n > 0 && pfds[1].revents && drain(keeper)) {
        /* Its end is closed: it is on its way out, or of no use any more; make sure of it. */
        hang_up(keeper);
        if (!keeper->quitting && !keeper->stopping)
            kill(keeper->daemon, SIGKILL);
    }
    if (n > 0 && (pfds[0].revents & POLLIN))
        take_signals(keeper);
}

/* Descriptors 0 to 2 are open from here on, so that what is received later is above them. */
static void open_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

static int setup_signals(struct rtci_keeper *keeper)
{
    struct sigaction old, action = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&set);
    sigemptyset(&keeper->reset);
    for (int sig = 1; sig < NSIG; sig++) {
        /* Children get default actions, but for the SIGHUP that nohup ignores on purpose. */
        if (sig != SIGHUP && sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            sigaddset(&keeper->reset, sig);
    }
    sigaddset(&keeper->reset, SIGPIPE);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    sigaction(SIGCHLD, &action, NULL); /* ignored, it would reap by itself and lose statuses */
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    keeper->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signals < 0 ? -errno : 0;
}

static void raise_fd_limit(struct rtci_keeper *keeper)
{
    if (getrlimit(RLIMIT_NOFILE, &keeper->nofile) < 0)
        keeper->nofile = (struct rlimit){1024, 1024};
    struct rlimit raised = {keeper->nofile.rlim_max, keeper->nofile.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised); /* it holds several for each client */
}

static int setup(struct rtci_keeper *keeper)
{
    open_standard_fds();
    /* Whatever the one who started the keeper left open is not for daemon and executors. */
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    raise_fd_limit(keeper);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    keeper->self_exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (keeper->self_exe < 0 || setup_signals(keeper) < 0) {
        fprintf(stderr, "rtc: cannot set up the keeper: %s\n", strerror(errno));
        return RTC_E_OS;
    }
    int rc = 0;
    if (keeper->config.socket_path) {
        rc = rtci_listen_open(keeper->config.socket_path, &keeper->listen);
        if (rc < 0)
            return rc;
        rc = rtci_held_store(&keeper->held, RTCI_KEY_LISTEN, NULL, 0, &keeper->listen.fd, 1);
    }
    if (rc == 0 && keeper->config.first_fd >= 0)
        rc = rtci_held_store(&keeper->held, RTCI_KEY_FIRST, NULL, 0, &keeper->config.first_fd, 1);
    if (rc < 0)
        fprintf(stderr, "rtc: out of memory\n");
    return rc;
}

/* The daemon first: its executors must not be seen dying by a daemon that would replace them. */
static void teardown(struct rtci_keeper *keeper)
{
    if (keeper->daemon > 0) {
        kill(keeper->daemon, SIGKILL);
        while (waitpid(keeper->daemon, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    rtci_child_end(keeper);
    rtci_held_clear(&keeper->held);
    if (keeper->config.socket_path && keeper->listen.fd >= 0)
        unlink(keeper->config.socket_path);
    int fds[] = {keeper->sock, keeper->signals, keeper->self_exe, keeper->listen.lock,
                 keeper->config.notify_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

int rtci_keeper_run(const struct rtci_keeper_config *config)
{
    struct rtci_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return 1;
    keeper->config = *config;
    keeper->self = getpid();
    keeper->sock = keeper->signals = keeper->self_exe = -1;
    keeper->listen = (struct rtci_listen){-1, -1};
    TAILQ_INIT(&keeper->held);
    TAILQ_INIT(&keeper->children);
    TAILQ_INIT(&keeper->due);
    if (setup(keeper) < 0)
        finish(keeper, 1);
    while (!keeper->done)
        turn(keeper);
    teardown(keeper);
    int status = keeper->status;
    free(keeper);
    return status;
}
