/* The daemon's start: descriptors from the keeper, arena, bell, directories, resources. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <rtc/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/node/daemon.h"

static int first_conn = -1;

struct child {
    uint64_t key;
    int status;
};
static struct child *dead; /* executors that ended while no daemon ran */
static uint32_t n_dead;

static void keep(struct rtci_daemon *d, uint64_t key, const int *fds, uint32_t n)
{
    struct rtci_keeper_msg msg = {.type = RTCI_KM_STORE, .key = key};
    RTCI_IGNORE(rtci_keeper_send(d->keeper, &msg, NULL, fds, n));
}

static void restored(struct rtci_daemon *d, const struct rtci_keeper_msg *msg, const void *blob,
                     const int *fds, uint32_t n)
{
    if (msg->key == RTCI_KEY_LISTEN && n)
        d->listen_fd = fds[0];
    else if (msg->key == RTCI_KEY_FIRST && n)
        first_conn = fds[0];
    else if (msg->key == RTCI_KEY_BELL && n)
        d->bell = fds[0];
    else if (msg->key == RTCI_KEY_ARENA && n == 2) {
        d->arena_fd = fds[0];
        d->table_fd = fds[1];
    } else if (msg->key == RTCI_KEY_MEMBER) {
        /* What its processes said reaches it before the head does: whether that is for one of them
         * is to be seen. */
        d->was_member = true;
        struct rtci_member_blob member;
        if (msg->blob_len == sizeof(member)) {
            memcpy(&member, blob, sizeof(member));
            d->number = member.node;
            d->life = member.life;
        }
    } else if (msg->key < RTCI_KEY_CLIENT || !rtci_daemon_restore(d, msg, blob, fds, n)) {
        for (uint32_t i = 0; i < n; i++)
            close(fds[i]);
    }
}

static int take_over(struct rtci_daemon *d)
{
    static char blob[RTCI_KEEPER_BLOB_MAX];
    const char *env = getenv(RTCI_KEEPER_ENV);
    if (!env) {
        fprintf(stderr, "rtc daemon: it is started by `rtc head` and `rtc worker`, not by hand\n");
        return RTC_E_INVALID;
    }
    d->keeper = (int)strtol(env, NULL, 10);
    fcntl(d->keeper, F_SETFD, FD_CLOEXEC);
    for (;;) {
        struct rtci_keeper_msg msg;
        int fds[RTCI_KEEPER_FDS];
        uint32_t n = 0;
        int rc = rtci_keeper_recv(d->keeper, &msg, blob, sizeof(blob), fds, &n, true);
        if (rc)
            return rc;
        if (msg.type == RTCI_KM_RESTORE) {
            restored(d, &msg, blob, fds, n);
        } else if (msg.type == RTCI_KM_CHILD) {
            struct rtci_process *p = rtci_daemon_process(d, (uint32_t)(msg.key - RTCI_KEY_CLIENT));
            if (p)
                p->pid = (uint32_t)msg.pid;
            if (!(msg.flags & 1))
                continue;
            dead = realloc(dead, (n_dead + 1) * sizeof(*dead));
            RTCI_ASSERT(dead);
            dead[n_dead++] = (struct child){msg.key, msg.value};
        } else if (msg.type == RTCI_KM_BEGIN) {
            d->starts = (uint32_t)msg.value;
            return 0;
        }
    }
}

static int make_memory(struct rtci_daemon *d)
{
    size_t table = sizeof(struct rtci_arena_entry) * RTCI_ARENA_ENTRIES;
    if (d->bell < 0) {
        d->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        keep(d, RTCI_KEY_BELL, &d->bell, 1);
    }
    if (d->arena_fd < 0) {
        struct sysinfo info;
        sysinfo(&info);
        uint64_t bytes =
            d->options.store ? d->options.store : (uint64_t)info.totalram * info.mem_unit / 10 * 3;
        bytes = bytes / (2 * RTCI_MIB) * (2 * RTCI_MIB);
        bytes = bytes ? bytes : 2 * RTCI_MIB;
        d->arena_fd = memfd_create("rtc-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        d->table_fd = memfd_create("rtc-arena-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (d->arena_fd < 0 || d->table_fd < 0 || ftruncate(d->arena_fd, (off_t)bytes) ||
            ftruncate(d->table_fd, (off_t)table) ||
            fcntl(d->arena_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
            fprintf(stderr, "rtc: making the object store's memory: %s\n", strerror(errno));
            return RTC_E_OS;
        }
        keep(d, RTCI_KEY_ARENA, (int[]){d->arena_fd, d->table_fd}, 2);
    }
    struct stat st;
    fstat(d->arena_fd, &st);
    d->arena_bytes = (uint64_t)st.st_size;
    d->table = mmap(NULL, table, PROT_READ | PROT_WRITE, MAP_SHARED, d->table_fd, 0);
    return d->table == MAP_FAILED ? RTC_E_NOMEM : 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int make_dirs(struct rtci_daemon *d)
{
    if (d->options.state_dir) {
        snprintf(d->state_dir, sizeof(d->state_dir), "%s", d->options.state_dir);
        return 0;
    }
    const char *run = getenv("XDG_RUNTIME_DIR");
    snprintf(d->state_dir, sizeof(d->state_dir), "%s/rtc-embedded-%d",
             run && run[0] && !access(run, W_OK) ? run : "/tmp", (int)getppid());
    d->own_state = true;
    /* Who had the keeper's number before and was killed may have left it behind: that was
     * another's. */
    if (d->starts == 1)
        nftw(d->state_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(d->state_dir, 0700) && (errno != EEXIST || d->starts == 1)) {
        fprintf(stderr, "rtc: %s cannot be made: %s\n", d->state_dir, strerror(errno));
        return RTC_E_DISK;
    }
    return 0;
}

static int make_node(struct rtci_daemon *d)
{
    struct sysinfo info;
    sysinfo(&info);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double cpus = d->options.cpus >= 0 ? d->options.cpus : (double)(cores > 0 ? cores : 1);
    struct rtci_node_config config = {
        .now_ns = rtci_daemon_now(),
        .incarnation = d->starts,
        .number = d->number,
        .cpu = (uint64_t)(cpus * 10000 + 0.5),
        .gpu = (uint64_t)(d->options.gpus * 10000 + 0.5),
        .n_gpus = (uint32_t)d->options.gpus,
        .mem = d->options.mem ? d->options.mem : (uint64_t)info.totalram * info.mem_unit,
        .store = d->arena_bytes,
        .store_used = d->starts > 1,
        .anew = d->starts == 1,
        .tokens_rest = d->options.join != NULL,
        .n_custom = d->options.n_custom,
        .n_labels = d->options.n_labels};
    memcpy(config.custom, d->options.custom, sizeof(config.custom));
    memcpy(config.labels, d->options.labels, sizeof(config.labels));
    if (d->options.name)
        snprintf(config.name, sizeof(config.name), "%s", d->options.name);
    else
        gethostname(config.name, sizeof(config.name) - 1);
    struct utsname uts;
    uname(&uts);
    snprintf(config.arch, sizeof(config.arch), "%.15s", uts.machine);
    int rc = rtci_node_core_create(&config, &d->node);
    for (uint32_t i = 0; !rc && i < RTCI_ARENA_ENTRIES && d->starts > 1; i++) {
        if (d->table[i].state)
            rtci_node_core_arena_adopt(d->node, i, &d->table[i]);
    }
    return rc;
}

int rtci_daemon_prepare(struct rtci_daemon *d)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    d->listen_fd = d->arena_fd = d->table_fd = d->bell = -1;
    d->process = calloc(RTCI_CLIENTS_MAX, sizeof(*d->process));
    if (!d->process || rtci_daemon_loop_init(d))
        return RTC_E_NOMEM;
    int rc = take_over(d);
    if (!rc)
        rc = make_memory(d);
    if (!rc)
        rc = make_dirs(d);
    if (!rc)
        rc = make_node(d);
    if (rc)
        return rc;
    if (d->listen_fd >= 0)
        fcntl(d->listen_fd, F_SETFL, fcntl(d->listen_fd, F_GETFL) | O_NONBLOCK);
    if (first_conn >= 0 && d->starts == 1)
        rtci_daemon_adopt_conn(d, first_conn, true);
    for (uint32_t i = 1; first_conn >= 0 && d->starts > 1 && i < RTCI_CLIENTS_MAX; i++) {
        if (d->process[i].used && d->process[i].blob.role == RTCI_ROLE_DRIVER && !d->embedded_token)
            d->embedded_token = i; /* the first one is the embedding driver */
    }
    if (first_conn >= 0 && d->starts > 1 && !d->embedded_token)
        rtci_daemon_adopt_conn(d, first_conn, true);
    return 0;
}

/* Executors that died while no daemon ran: after hello, as if it happened now. */
void rtci_daemon_bury(struct rtci_daemon *d)
{
    for (uint32_t i = 0; i < n_dead; i++)
        rtci_daemon_exited(d, (uint32_t)(dead[i].key - RTCI_KEY_CLIENT), dead[i].status, 0);
    free(dead);
    dead = NULL;
    n_dead = 0;
}

void rtci_daemon_cleanup(struct rtci_daemon *d)
{
    if (d->own_state)
        nftw(d->state_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
