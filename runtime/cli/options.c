#include "runtime/cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/net/net.h"

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
    OPT_LEASE,
    OPT_JOIN,
    OPT_ADDRESS,
    OPT_PORT,
    OPT_PEER_PORT,
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
                                             {"lease", 1, NULL, OPT_LEASE},
                                             {"join", 1, NULL, OPT_JOIN},
                                             {"address", 1, NULL, OPT_ADDRESS},
                                             {"port", 1, NULL, OPT_PORT},
                                             {"peer-port", 1, NULL, OPT_PEER_PORT},
                                             {"help", 0, NULL, OPT_HELP},
                                             {NULL, 0, NULL, 0}};

static void usage(bool worker)
{
    if (worker)
        printf(
            "usage: rtc worker --join LINE [OPTION…]\n\n"
            "Lets this host work for a cluster: a connection out to the head; and one port where\n"
            "other nodes fetch large objects directly, if they can reach it.\n\n"
            "  --join LINE          what `rtc head` or `rtc token new` printed, or @FILE; also\n"
            "                       from RTC_JOIN; kept, so that it is given once\n"
            "  --address HOST       where other nodes reach this one (default: the address of the\n"
            "                       interface that leads to the head)\n"
            "  --peer-port N        TCP port for other nodes (default: any that is free); `none`:\n"
            "                       no open port, what is large comes and goes through the head\n");
    else
        printf(
            "usage: rtc head [OPTION…]\n\n"
            "Runs the broker of a cluster, its journal, and a node that uses this machine.\n\n"
            "  --address HOST,…     where other hosts reach this one (default: the addresses of\n"
            "                       its interfaces); 127.0.0.1: only this host may join\n"
            "  --port N             TCP port for other hosts (default: 6380, or that of the last\n"
            "                       start; where 6380 is taken, any)\n"
            "  --durability WHAT    acknowledged work survives: the death of the daemon "
            "(`process`,\n"
            "                       the default), also a power failure (`disk`; a sync each "
            "turn)\n"
            "  --lease TIME         a node that is silent for so long is dead: what ran there "
            "fails, or\n"
            "                       runs elsewhere (default 10s; 2s to 1h; s, m and h are "
            "understood)\n");
    printf("  --cpus N             logical CPUs for tasks (default: those of the machine)\n"
           "  --gpus N             GPUs (default 0)\n"
           "  --mem BYTES          memory for tasks; K, M, G are understood (default: all)\n"
           "  --store BYTES        limit of the object store (default: 30 %% of the memory)\n"
           "  --resource NAME=N    a custom resource; may be repeated\n"
           "  --label KEY=VALUE    a label of this node; may be repeated\n"
           "  --name NAME          of this node (default: the host's)\n"
           "  --state-dir DIR      %s (default: $XDG_STATE_HOME/rtc/%s)\n"
           "  --socket PATH        where programs of this host find it\n"
           "  --detach             return when it serves\n",
           worker ? "its key, programs, logs" : "journal, keys, logs", worker ? "worker" : "head");
}

static const char *who(bool worker)
{
    return worker ? "rtc worker" : "rtc head";
}

static int bytes(bool worker, const char *text, uint64_t *ret)
{
    char *end;
    double x = strtod(text, &end);
    double unit = *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : *end == 'G' ? 1073741824.0 : 1;
    if (end == text || x < 0 || (unit > 1 ? end[1] : *end)) {
        fprintf(stderr, "%s: \"%s\" is not a number of bytes (100M, 2G, …)\n", who(worker), text);
        return 2;
    }
    *ret = (uint64_t)(x * unit);
    return 0;
}

static int number(bool worker, const char *name, const char *text, double *ret)
{
    char *end;
    *ret = strtod(text, &end);
    if (end == text || *end || *ret < 0 || *ret > 100000) {
        fprintf(stderr, "%s: --%s wants a number, not \"%s\"\n", who(worker), name, text);
        return 2;
    }
    return 0;
}

static int pair(bool worker, struct rtci_daemon_options *o, const char *text, bool label)
{
    const char *eq = strchr(text, '=');
    size_t len = eq ? (size_t)(eq - text) : 0;
    double amount = 0;
    if (!len || len > 23 || (label && strlen(eq + 1) > 39) ||
        (label ? o->n_labels : o->n_custom) >= 16) {
        fprintf(stderr, "%s: \"%s\": name=value is needed, names up to 23 characters, at most 16\n",
                who(worker), text);
        return 2;
    }
    if (label) {
        struct rtci_label *at = &o->labels[o->n_labels++];
        memcpy(at->key, text, len);
        memcpy(at->value, eq + 1, strlen(eq + 1));
        return 0;
    }
    if (number(worker, "resource", eq + 1, &amount))
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

/* Seconds, unless a unit says otherwise. */
static int lease(const char *text, uint64_t *ret_ns)
{
    char *end;
    double x = strtod(text, &end);
    double ns = x * RTCI_NS_PER_S * (*end == 'm' ? 60 : *end == 'h' ? 3600 : 1);
    bool unit = *end == 's' || *end == 'm' || *end == 'h';
    if (end != text && !end[unit] && ns >= RTCI_LEASE_MIN_NS && ns <= RTCI_LEASE_MAX_NS) {
        *ret_ns = (uint64_t)ns;
        return 0;
    }
    fprintf(stderr, "rtc head: --lease wants a time from 2s to 1h (10s, 1.5m, …), not \"%s\"\n",
            text);
    return 2;
}

static int port(const char *who, const char *text, int *ret)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > 65535) {
        fprintf(stderr, "%s wants 1 to 65535, not \"%s\"\n", who, text);
        return 2;
    }
    *ret = (int)n;
    return 0;
}

/* The line itself, or @FILE. */
static int join(struct rtci_cli_options *p, const char *text)
{
    snprintf(p->join, sizeof(p->join), "%s", text);
    if (text[0] == '@') {
        int rc = rtci_join_read(text + 1, false, p->join, sizeof(p->join));
        if (rc) {
            fprintf(stderr, "rtc worker: %s cannot be read: %s\n", text + 1, strerror(-rc));
            return 2;
        }
    }
    p->o.join = p->join;
    return 0;
}

static int option(struct rtci_cli_options *p, int c)
{
    bool w = p->worker;
    switch (c) {
    case OPT_STATE: p->o.state_dir = optarg; return 0;
    case OPT_CPUS: return number(w, "cpus", optarg, &p->o.cpus);
    case OPT_GPUS: return number(w, "gpus", optarg, &p->o.gpus);
    case OPT_MEM: return bytes(w, optarg, &p->o.mem);
    case OPT_STORE: return bytes(w, optarg, &p->o.store);
    case OPT_RESOURCE: return pair(w, &p->o, optarg, false);
    case OPT_LABEL: return pair(w, &p->o, optarg, true);
    case OPT_NAME: p->o.name = optarg; return 0;
    case OPT_SOCKET: p->o.socket_path = optarg; return 0;
    case OPT_EMBEDDED: p->o.embedded = true; return 0;
    case OPT_DRIVER_FD: p->driver_fd = (int)strtol(optarg, NULL, 10); return 0;
    case OPT_DETACH: p->detach = true; return 0;
    case OPT_HELP: usage(w); return 1;
    case OPT_DURABILITY:
        if (!w)
            return durability(optarg, &p->o.sync_each);
        break;
    case OPT_LEASE:
        if (!w)
            return lease(optarg, &p->o.lease_ns);
        break;
    case OPT_ADDRESS: p->o.address = optarg; return 0;
    case OPT_PORT:
        if (!w)
            return port("rtc head: --port", optarg, &p->o.port);
        break;
    case OPT_PEER_PORT:
        if (w && !strcmp(optarg, "none")) {
            p->o.peer_port = -1;
            return 0;
        }
        if (w)
            return port("rtc worker: --peer-port", optarg, &p->o.peer_port);
        break;
    case OPT_JOIN:
        if (w)
            return join(p, optarg);
        break;
    default: break;
    }
    fprintf(stderr, "%s: `%s --help` lists the options\n", who(w), who(w));
    return 2;
}

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

static void defaults(struct rtci_cli_options *p)
{
    const char *run = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME"), *what = p->worker ? "worker" : "head";
    if (p->o.embedded)
        return;
    if (!p->o.socket_path && p->worker && p->o.state_dir &&
        (size_t)snprintf(p->socket, sizeof(p->socket), "%s/worker.sock", p->o.state_dir) <
            sizeof(p->socket))
        p->o.socket_path = p->socket; /* several workers on one host have their own folders */
    if (!p->o.socket_path) {
        if (run && run[0])
            snprintf(p->socket, sizeof(p->socket), "%s/rtc/%s.sock", run, what);
        else
            snprintf(p->socket, sizeof(p->socket), "/tmp/rtc-%u/%s.sock", (unsigned)getuid(), what);
        p->o.socket_path = p->socket;
    }
    if (!p->o.state_dir) {
        if (state && state[0])
            snprintf(p->state, sizeof(p->state), "%s/rtc/%s", state, what);
        else
            snprintf(p->state, sizeof(p->state), "%s/.local/state/rtc/%s", home ? home : "/tmp",
                     what);
        p->o.state_dir = p->state;
    }
    make_parents(p->o.state_dir);
}

int rtci_cli_parse(int argc, char **argv, bool worker, struct rtci_cli_options *p)
{
    memset(p, 0, sizeof(*p));
    p->worker = worker;
    p->driver_fd = -1;
    p->o.cpus = -1;
    optind = 1;
    int rc = 0;
    for (int c; !rc && (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
        rc = option(p, c);
    if (!rc && optind < argc) {
        fprintf(stderr, "%s: \"%s\" is not understood; `%s --help`\n", who(worker), argv[optind],
                who(worker));
        rc = 2;
    }
    const char *line = getenv("RTC_JOIN");
    if (!rc && worker && !p->o.join && line && line[0])
        rc = join(p, line);
    if (!rc)
        defaults(p);
    return rc;
}
