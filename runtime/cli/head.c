/* `rtc head`: becomes the keeper, which runs `rtc daemon` with the same options. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/cli/cli.h"
#include "runtime/head/head.h"
#include "runtime/node/daemon.h"

enum {
    OPT_STATE = 256,
    OPT_CPUS,
    OPT_GPUS,
    OPT_MEM,
    OPT_STORE,
    OPT_RESOURCE,
    OPT_LABEL,
    OPT_NAME,
    OPT_SOCKET,
    OPT_EMBEDDED,
    OPT_DRIVER_FD,
    OPT_DETACH,
    OPT_DURABILITY,
    OPT_HELP
};

static const struct option long_options[] = {{"state-dir", 1, NULL, OPT_STATE},
                                             {"cpus", 1, NULL, OPT_CPUS},
                                             {"gpus", 1, NULL, OPT_GPUS},
                                             {"mem", 1, NULL, OPT_MEM},
                                             {"store", 1, NULL, OPT_STORE},
                                             {"resource", 1, NULL, OPT_RESOURCE},
                                             {"label", 1, NULL, OPT_LABEL},
                                             {"name", 1, NULL, OPT_NAME},
                                             {"socket", 1, NULL, OPT_SOCKET},
                                             {"embedded", 0, NULL, OPT_EMBEDDED},
                                             {"driver-fd", 1, NULL, OPT_DRIVER_FD},
                                             {"detach", 0, NULL, OPT_DETACH},
                                             {"durability", 1, NULL, OPT_DURABILITY},
                                             {"help", 0, NULL, OPT_HELP},
                                             {NULL, 0, NULL, 0}};

struct parsed {
    struct rtci_daemon_options o;
    bool detach;
    int driver_fd;
};

static void usage(void)
{
    printf(
        "usage: rtc head [OPTION…]\n\n"
        "Runs the broker of a cluster, its journal, and a node that uses this machine.\n\n"
        "  --cpus N             logical CPUs for tasks (default: those of the machine)\n"
        "  --gpus N             GPUs (default 0)\n"
        "  --mem BYTES          memory for tasks; K, M, G are understood (default: all)\n"
        "  --store BYTES        limit of the object store (default: 30 %% of the memory)\n"
        "  --resource NAME=N    a custom resource; may be repeated\n"
        "  --label KEY=VALUE    a label of this node; may be repeated\n"
        "  --name NAME          of this node (default: the host's)\n"
        "  --state-dir DIR      journal and logs (default: $XDG_STATE_HOME/rtc/head)\n"
        "  --socket PATH        where programs of this host find it\n"
        "  --durability WHAT    acknowledged work survives: the death of the daemon (`process`,\n"
        "                       the default), also a power failure (`disk`; a sync each turn)\n"
        "  --detach             return when it serves\n");
}

static int bytes(const char *text, uint64_t *ret)
{
    char *end;
    double x = strtod(text, &end);
    double unit = *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : *end == 'G' ? 1073741824.0 : 1;
    if (end == text || x < 0 || (unit > 1 ? end[1] : *end)) {
        fprintf(stderr, "rtc head: \"%s\" is not a number of bytes (100M, 2G, …)\n", text);
        return 2;
    }
    *ret = (uint64_t)(x * unit);
    return 0;
}

static int number(const char *name, const char *text, double *ret)
{
    char *end;
    *ret = strtod(text, &end);
    if (end == text || *end || *ret < 0 || *ret > 100000) {
        fprintf(stderr, "rtc head: --%s wants a number, not \"%s\"\n", name, text);
        return 2;
    }
    return 0;
}

static int pair(struct rtci_daemon_options *o, const char *text, bool label)
{
    const char *eq = strchr(text, '=');
    size_t len = eq ? (size_t)(eq - text) : 0;
    double amount = 0;
    if (!len || len > 23 || (label && strlen(eq + 1) > 39) ||
        (label ? o->n_labels : o->n_custom) >= 16) {
        fprintf(stderr,
                "rtc head: \"%s\": name=value is needed, names up to 23 characters, at most 16\n",
                text);
        return 2;
    }
    if (label) {
        struct rtci_label *at = &o->labels[o->n_labels++];
        memcpy(at->key, text, len);
        memcpy(at->value, eq + 1, strlen(eq + 1));
        return 0;
    }
    if (number("resource", eq + 1, &amount))
        return 2;
    memcpy(o->custom[o->n_custom].name, text, len);
    o->custom[o->n_custom++].amount = (uint64_t)(amount * 10000 + 0.5);
    return 0;
}

static int durability(const char *text, bool *ret_disk)
{
    *ret_disk = !strcmp(text, "disk");
    if (*ret_disk || !strcmp(text, "process"))
        return 0;
    fprintf(stderr, "rtc head: --durability is `process` or `disk`, not \"%s\"\n", text);
    return 2;
}

static int parse(int argc, char **argv, struct parsed *p)
{
    memset(p, 0, sizeof(*p));
    p->driver_fd = -1;
    p->o.cpus = -1;
    optind = 1;
    int rc = 0;
    for (int c; !rc && (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (c) {
        case OPT_STATE: p->o.state_dir = optarg; break;
        case OPT_CPUS: rc = number("cpus", optarg, &p->o.cpus); break;
        case OPT_GPUS: rc = number("gpus", optarg, &p->o.gpus); break;
        case OPT_MEM: rc = bytes(optarg, &p->o.mem); break;
        case OPT_STORE: rc = bytes(optarg, &p->o.store); break;
        case OPT_RESOURCE: rc = pair(&p->o, optarg, false); break;
        case OPT_LABEL: rc = pair(&p->o, optarg, true); break;
        case OPT_NAME: p->o.name = optarg; break;
        case OPT_SOCKET: p->o.socket_path = optarg; break;
        case OPT_EMBEDDED: p->o.embedded = true; break;
        case OPT_DRIVER_FD: p->driver_fd = (int)strtol(optarg, NULL, 10); break;
        case OPT_DETACH: p->detach = true; break;
        case OPT_DURABILITY: rc = durability(optarg, &p->o.sync_each); break;
        case OPT_HELP: usage(); return 1;
        default: fprintf(stderr, "rtc head: `rtc head --help` lists the options\n"); return 2;
        }
    }
    if (!rc && optind < argc) {
        fprintf(stderr, "rtc head: \"%s\" is not understood; `rtc head --help`\n", argv[optind]);
        rc = 2;
    }
    return rc;
}

static char socket_path[108], state_dir[256];

static void make_parents(const char *path)
{
    char part[300];
    for (const char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        mkdir(part, 0700);
    }
}

static void defaults(struct parsed *p)
{
    const char *run = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    if (p->o.embedded)
        return;
    if (!p->o.socket_path) {
        if (run && run[0])
            snprintf(socket_path, sizeof(socket_path), "%s/rtc/head.sock", run);
        else
            snprintf(socket_path, sizeof(socket_path), "/tmp/rtc-%u/head.sock", (unsigned)getuid());
        p->o.socket_path = socket_path;
    }
    if (!p->o.state_dir) {
        if (state && state[0])
            snprintf(state_dir, sizeof(state_dir), "%s/rtc/head", state);
        else
            snprintf(state_dir, sizeof(state_dir), "%s/.local/state/rtc/head",
                     home ? home : "/tmp");
        p->o.state_dir = state_dir;
    }
    make_parents(p->o.state_dir);
}

int rtci_cli_daemon(int argc, char **argv)
{
    struct parsed p;
    int rc = parse(argc, argv, &p);
    if (rc)
        return rc;
    defaults(&p);
    return rtci_head_run(&p.o);
}

static void announce(void *arg)
{
    const struct parsed *p = arg;
    printf("rtc head serves at unix:%s\n  state in %s\n  run a program against it: ./program"
           "\n  look at it: rtc status; stop it: rtc stop\n",
           p->o.socket_path, p->o.state_dir);
    fflush(stdout);
}

/* Forks the keeper away; returns when it serves. */
static int detach(struct parsed *p, const struct rtci_keeper_config *config)
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
    if (read(pipes[0], &byte, 1) != 1) {
        fprintf(stderr, "rtc head: it did not start\n");
        return 1;
    }
    announce(p);
    return 0;
}

int rtci_cli_head(int argc, char **argv)
{
    struct parsed p;
    int rc = parse(argc, argv, &p);
    if (rc)
        return rc == 1 ? 0 : rc;
    defaults(&p);
    char *daemon_argv[128];
    int n = 0;
    daemon_argv[n++] = (char[]){"rtc"};
    daemon_argv[n++] = (char[]){"daemon"};
    for (int i = 1; i < argc && n < 127; i++)
        daemon_argv[n++] = argv[i];
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
