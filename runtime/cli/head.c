/* `rtc head` and `rtc worker`: each becomes the keeper, which runs the daemon with the same
 * options. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/cli/cli.h"
#include "runtime/cli/options.h"
#include "runtime/head/head.h"
#include "runtime/net/net.h"
#include "runtime/node/worker.h"

#define JOIN_WAIT_MS 10000 /* `--detach` returns, joined or not */

/* The join line is kept in the state directory: it is given once, and `ps` shows it no longer than
 * needed. */
static int kept_line(struct rtci_cli_options *p, bool write_it)
{
    char path[320];
    if (p->o.embedded || !p->o.state_dir)
        return 0;
    snprintf(path, sizeof(path), "%s/join", p->o.state_dir);
    if (p->o.join && !write_it)
        return 0;
    if (p->o.join) {
        mkdir(p->o.state_dir, 0700);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        bool ok = fd >= 0 && dprintf(fd, "%s\n", p->o.join) > 0;
        if (!ok)
            fprintf(stderr, "rtc worker: %s cannot be written: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ok ? 0 : 2;
    }
    if (rtci_join_read(path, true, p->join, sizeof(p->join)) || !p->join[0]) {
        fprintf(stderr, "rtc worker: --join LINE is needed; `rtc head` prints the line, and "
                        "`rtc token new` on the head's host\n");
        return 2;
    }
    p->o.join = p->join;
    return 0;
}

int rtci_cli_daemon(int argc, char **argv)
{
    static struct rtci_cli_options p;
    bool worker = !strcmp(argv[0], "worker-daemon");
    int rc = rtci_cli_parse(argc, argv, worker, &p);
    if (!rc && worker)
        rc = kept_line(&p, false);
    if (rc)
        return rc;
    return worker ? rtci_worker_run(&p.o) : rtci_head_run(&p.o);
}

/* ---- Telling that it serves ---- */

/* To systemd, when it started us. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!path || !path[0] || strlen(path) >= sizeof(addr.sun_path))
        return;
    memcpy(addr.sun_path, path, strlen(path));
    if (path[0] == '@')
        addr.sun_path[0] = 0; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    RTCI_IGNORE(sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, len));
    close(fd);
}

static void announce_head(const struct rtci_cli_options *p)
{
    char path[320], line[1024] = "";
    snprintf(path, sizeof(path), "%s/join", p->o.state_dir);
    RTCI_IGNORE(rtci_join_read(path, true, line, sizeof(line)));
    printf("rtc head serves at unix:%s\n  state in %s\n  run a program against it: ./program"
           "\n  look at it: rtc status; stop it: rtc stop\n"
           "  another host joins with:\n    rtc worker --join %s\n",
           p->o.socket_path, p->o.state_dir, line);
}

static void announce(void *arg)
{
    const struct rtci_cli_options *p = arg;
    if (p->worker)
        printf("rtc worker joined the cluster\n  state in %s\n  programs of this host find it at "
               "unix:%s\n",
               p->o.state_dir, p->o.socket_path);
    else
        announce_head(p);
    fflush(stdout);
    notify("READY=1");
}

/* Forks the keeper away; returns when it serves. */
static int detach(struct rtci_cli_options *p, const struct rtci_keeper_config *config)
{
    int pipes[2];
    char byte;
    if (pipe2(pipes, O_CLOEXEC))
        return 1;
    pid_t pid = fork();
    if (pid < 0)
        return 1;
    if (!pid) {
        struct rtci_keeper_config c = *config;
        char path[320];
        setsid();
        snprintf(path, sizeof(path), "%s.log", p->o.state_dir);
        int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(log >= 0 ? log : null, 1);
        if (log >= 0 && getenv("RTC_LOG"))
            dup2(log, 2);
        c.notify_fd = pipes[1];
        _exit(rtci_keeper_run(&c));
    }
    close(pipes[1]);
    struct pollfd ready = {.fd = pipes[0], .events = POLLIN};
    if (p->worker && poll(&ready, 1, JOIN_WAIT_MS) == 0) {
        fprintf(stderr, "rtc worker: it has not joined yet, and goes on trying (pid %d)\n",
                (int)pid);
        return 1;
    }
    if (read(pipes[0], &byte, 1) != 1) {
        fprintf(stderr, "rtc %s: it did not start\n", p->worker ? "worker" : "head");
        return 1;
    }
    announce(p);
    return 0;
}

static int run(int argc, char **argv, bool worker)
{
    static struct rtci_cli_options p;
    int rc = rtci_cli_parse(argc, argv, worker, &p);
    if (!rc && worker)
        rc = kept_line(&p, true);
    if (rc)
        return rc == 1 ? 0 : rc;
    char *daemon_argv[128];
    int n = 0;
    daemon_argv[n++] = (char[]){"rtc"};
    daemon_argv[n++] = worker ? (char[]){"worker-daemon"} : (char[]){"daemon"};
    for (int i = 1; i < argc && n < 127; i++) {
        if (worker && !p.o.embedded && !strncmp(argv[i], "--join", 6)) {
            i += !strcmp(argv[i], "--join");
            continue;
        }
        daemon_argv[n++] = argv[i];
    }
    daemon_argv[n] = NULL;
    struct rtci_keeper_config config = {.daemon_argv = daemon_argv,
                                        .notify_fd = -1,
                                        .socket_path = p.o.socket_path,
                                        .first_fd = p.driver_fd};
    if (p.detach)
        return detach(&p, &config);
    if (!p.o.embedded) {
        config.on_ready = announce;
        config.on_ready_arg = &p;
    }
    return rtci_keeper_run(&config);
}

int rtci_cli_head(int argc, char **argv)
{
    return run(argc, argv, false);
}

int rtci_cli_worker(int argc, char **argv)
{
    return run(argc, argv, true);
}
