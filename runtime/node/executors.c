/* Executors: starting, output, ends, and what their rings tell after a death. */
#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/node/blobs.h"
#include "runtime/node/programs.h"

#ifdef __aarch64__
#define RTC_LIBRARIES "/../lib/aarch64-linux-gnu"
#else
#define RTC_LIBRARIES "/../lib/x86_64-linux-gnu"
#endif
#define LOGS_FAR_MAX RTCI_MIB /* more than this waits for the head: output is the lesser */

extern char **environ;

static void put_text(struct rtci_buf *buf, const char *text)
{
    rtci_buf_put(buf, text, strlen(text) + 1);
}

static bool overridden(const char *variable)
{
    static const char *const names[] = {"RTC_EXECUTOR=",        "RTC_ADDRESS=",
                                        "RTC_KEEPER_FD=",       "RTC_JOIN=",
                                        "OMP_NUM_THREADS=",     "OPENBLAS_NUM_THREADS=",
                                        "MKL_NUM_THREADS=",     "NUMEXPR_NUM_THREADS=",
                                        "NUMBA_NUM_THREADS=",   "VECLIB_MAXIMUM_THREADS=",
                                        "CUDA_VISIBLE_DEVICES="};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strncmp(variable, names[i], strlen(names[i])))
            return true;
    }
    return false;
}

static bool holds(const char *dir, const char *library)
{
    char file[400];
    snprintf(file, sizeof(file), "%s/%s", dir, library);
    return !access(file, R_OK);
}

/* A program that came from elsewhere looks for rtc's libraries where it was linked; here they lie
 * beside this `rtc`: installed, or in a build tree. */
static void put_library_path(struct rtci_buf *blob)
{
    static const char *const places[] = {"/../lib", RTC_LIBRARIES, "/../exec", "/../../actors/de"};
    char self[256], dir[300], text[2048];
    const char *given = getenv("LD_LIBRARY_PATH");
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    size_t len =
        (size_t)snprintf(text, sizeof(text), "LD_LIBRARY_PATH=%.1000s", given ? given : "");
    size_t empty = sizeof("LD_LIBRARY_PATH=") - 1;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(dir, sizeof(dir), "%s%s", self, places[i]);
        if (holds(dir, "librtc.so.0") || holds(dir, "librtc-de.so.0"))
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > empty ? ":" : "",
                                    dir);
    }
    if (len > empty)
        put_text(blob, text);
}

static void put_env(struct rtci_daemon *daemon, struct rtci_buf *blob,
                    const struct rtci_node_action *act)
{
    static const char *const threads[] = {"OMP_NUM_THREADS",   "OPENBLAS_NUM_THREADS",
                                          "MKL_NUM_THREADS",   "NUMEXPR_NUM_THREADS",
                                          "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"};
    char text[512];
    for (char **at = environ; *at; at++) {
        bool library = act->program && !strncmp(*at, "LD_LIBRARY_PATH=", 16);
        if (**at && !library && !overridden(*at))
            put_text(blob, *at);
    }
    if (act->program)
        put_library_path(blob);
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        snprintf(text, sizeof(text), "%s=%u", threads[i], act->profile_cpus);
        put_text(blob, text);
    }
    int n = snprintf(text, sizeof(text), "CUDA_VISIBLE_DEVICES=");
    for (uint32_t i = 0; i < 64; i++) {
        if (act->profile_gpus >> i & 1)
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%u", text[n - 1] == '=' ? "" : ",",
                          i);
    }
    put_text(blob, text);
    if (daemon->options.socket_path) {
        snprintf(text, sizeof(text), "RTC_ADDRESS=unix:%s", daemon->options.socket_path);
        put_text(blob, text);
    }
    put_text(blob, RTCI_EXEC_ENV "=1");
    put_text(blob, "");
}

static void log_path(const struct rtci_daemon *daemon, uint32_t client, char *path, size_t size)
{
    snprintf(path, size, "%s/logs/executor-%u.log", daemon->state_dir, client);
}

static int open_log(struct rtci_daemon *daemon, uint32_t client)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/logs", daemon->state_dir);
    mkdir(path, 0700);
    log_path(daemon, client, path, sizeof(path));
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);
}

/* Most executors never say anything: their files would fill the folder. */
static void remove_empty_log(const struct rtci_daemon *daemon, const struct rtci_process *p)
{
    struct stat st;
    char path[512];
    if (!p->chan || p->log_fd < 0 || fstat(p->log_fd, &st) || st.st_size)
        return;
    log_path(daemon, rtci_chan_info(p->chan)->client, path, sizeof(path));
    unlink(path);
}

static bool prepare(struct rtci_daemon *daemon, struct rtci_process *p,
                    const struct rtci_node_action *act)
{
    p->blob.role = RTCI_ROLE_EXECUTOR;
    p->driver = act->driver_token;
    p->far = act->far;
    p->hello = true;
    p->chan_fd = rtci_chan_create(RTCI_RING_BYTES);
    p->log_fd = open_log(daemon, act->client);
    if (p->chan_fd < 0 || p->log_fd < 0 ||
        rtci_chan_open(p->chan_fd, RTCI_CHAN_DAEMON, -1, -1, &p->chan))
        return false;
    volatile struct rtci_chan_info *info = rtci_chan_info(p->chan);
    info->role = RTCI_ROLE_EXECUTOR;
    info->client = act->client;
    info->job = act->job;
    info->node = daemon->number;
    info->profile_cpus = act->profile_cpus;
    info->profile_gpus = act->profile_gpus;
    info->driver_token = act->driver_token;
    info->program = act->program;
    info->far = act->far;
    info->daemon_epoch = daemon->starts;
    info->leased_ns = daemon->leased_ns;
    return true;
}

/* What an executor runs. */
struct image {
    int fd;
    const char *path, *cwd;
    bool command; /* it is `rtc` itself */
};

static void start(struct rtci_daemon *daemon, const struct rtci_node_action *act,
                  const struct image *image)
{
    struct rtci_process *p = rtci_daemon_process(daemon, act->token);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rtci_buf blob = {0};
    put_text(&blob, image->cwd);
    put_text(&blob, image->path);
    put_text(&blob, image->path);
    if (image->command)
        put_text(&blob, "executor");
    put_text(&blob, "");
    put_env(daemon, &blob, act);
    rtci_daemon_deposit(daemon, act->token);
    int fds[] = {image->fd, null, p->log_fd, p->log_fd, p->chan_fd, daemon->arena_fd, daemon->bell};
    struct rtci_keeper_msg msg = {
        .type = RTCI_KM_SPAWN, .key = RTCI_KEY_CLIENT + act->token, .blob_len = (uint32_t)blob.len};
    int rc = image->fd < 0 ? RTC_E_OS : rtci_daemon_keeper_send(daemon, &msg, blob.data, fds, 7);
    p->spawned = rc == 0;
    rtci_buf_fini(&blob);
    close(null);
    if (rc) {
        RTCI_LOG(WARN, NODE, "an executor could not be started token=%u errno=%d", act->token,
                 errno);
        rtci_daemon_exited(daemon, act->token, 0, errno ? errno : EIO);
    }
}

void rtci_daemon_start_program(struct rtci_daemon *daemon, const struct rtci_node_action *act)
{
    struct rtci_process *p = rtci_daemon_process(daemon, act->token);
    struct rtci_program_found found;
    if (!p || p->spawned || !rtci_programs_find(daemon->programs, act->job, act, &found))
        return;
    bool there = !access(found.cwd, X_OK);
    struct image image = {found.fd, found.path, there ? found.cwd : daemon->state_dir, false};
    rtci_node_core_begun(daemon->node, daemon->now_ns, act->token, &daemon->actions);
    start(daemon, act, &image);
}

void rtci_daemon_spawn(struct rtci_daemon *daemon, const struct rtci_node_action *act)
{
    struct rtci_process *p = rtci_daemon_process_new(daemon, act->token);
    struct rtci_process *driver = rtci_daemon_process(daemon, act->driver_token);
    bool ok = prepare(daemon, p, act) && (driver || !act->driver_token);
    if (ok && act->program) {
        rtci_daemon_start_program(daemon, act);
        return;
    }
    int self = act->driver_token || !ok ? -1 : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct image image = {driver && ok ? driver->exe_fd : self, driver ? driver->blob.exe : "rtc",
                          driver ? driver->blob.cwd : "/", !driver};
    start(daemon, act, &image);
    if (self >= 0)
        close(self);
}

void rtci_daemon_kill(struct rtci_daemon *daemon, uint32_t token, int sig)
{
    struct rtci_keeper_msg msg = {
        .type = RTCI_KM_KILL, .flags = 1, .key = RTCI_KEY_CLIENT + token, .value = sig};
    RTCI_IGNORE(rtci_daemon_keeper_send(daemon, &msg, NULL, NULL, 0));
}

/* The newest of the claimed ones runs; those before it have their completions in the other ring. */
static void running_of(struct rtci_process *p, const struct rtci_chan_task *tasks, uint32_t n,
                       struct rtci_held *ret, uint32_t *ret_slot)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(p->chan);
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < n; i++) {
        if (tasks[i].state != RTCI_CLAIM_CLAIMED)
            continue;
        *ret = (struct rtci_held){{tasks[i].seq, tasks[i].client, 0}, tasks[i].attempt, 1};
        *ret_slot = tasks[i].slot;
    }
    if (info->running_client) { /* its record was freed before its end */
        *ret = (struct rtci_held){
            {info->running_seq, info->running_client, 0}, info->running_attempt, 1};
        *ret_slot = info->running_slot;
    }
}

static uint32_t ring_tasks(struct rtci_process *p, struct rtci_chan_task **ret_tasks)
{
    uint32_t cap = 1024;
    *ret_tasks = calloc(cap, sizeof(**ret_tasks));
    int n = *ret_tasks ? rtci_chan_tasks(p->chan, *ret_tasks, cap) : 0;
    p->bad |= n < 0;
    n = n < 0 ? 0 : n > (int)cap ? (int)cap : n;
    for (int i = 0; i < n; i++)
        p->bad |= (*ret_tasks)[i].state > RTCI_CLAIM_RECALLED;
    return (uint32_t)n;
}

/* What an executor's ring holds: the running task first, then the unclaimed, oldest first. */
uint32_t rtci_daemon_held(struct rtci_daemon *daemon, uint32_t token, struct rtci_held **ret_held,
                          uint32_t *ret_slot, uint32_t *ret_actor)
{
    struct rtci_process *p = &daemon->process[token];
    struct rtci_chan_task *tasks;
    uint32_t n = ring_tasks(p, &tasks), out = 0;
    struct rtci_held running, *held = calloc(n + 1, sizeof(*held));
    *ret_slot = *ret_actor = 0;
    for (uint32_t i = 0; i < n; i++)
        *ret_actor |= tasks[i].actor;
    running_of(p, tasks, n, &running, ret_slot);
    if (held && running.id.client)
        held[out++] = running;
    for (uint32_t i = 0; held && i < n; i++) {
        if (tasks[i].state != RTCI_CLAIM_QUEUED)
            continue;
        held[out++] = (struct rtci_held){{tasks[i].seq, tasks[i].client, 0}, tasks[i].attempt, 0};
        *ret_slot = tasks[i].slot;
    }
    free(tasks);
    *ret_held = held;
    return out;
}

void rtci_daemon_recall(struct rtci_daemon *daemon, uint32_t token, uint32_t most)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    if (!p || !p->chan)
        return;
    rtci_daemon_write_out(daemon, token);
    struct rtci_chan_task *tasks;
    uint32_t n = ring_tasks(p, &tasks), out = 0;
    struct rtci_held *held = calloc(n + 1, sizeof(*held));
    for (uint32_t i = n; held && i-- > 0 && (!most || out < most);) { /* from the newest */
        if (tasks[i].state == RTCI_CLAIM_QUEUED && rtci_chan_recall(p->chan, &tasks[i]))
            held[n - ++out] =
                (struct rtci_held){{tasks[i].seq, tasks[i].client, 0}, tasks[i].attempt, 0};
    }
    rtci_node_core_recalled(daemon->node, daemon->now_ns, token, held ? held + n - out : NULL, out,
                            &daemon->actions);
    free(held);
    free(tasks);
}

static uint32_t last_lines(struct rtci_process *p, char *out, uint32_t size)
{
    struct stat st;
    if (p->log_fd < 0 || fstat(p->log_fd, &st) || !st.st_size)
        return 0;
    off_t from = st.st_size > (off_t)size ? st.st_size - (off_t)size : 0;
    ssize_t n = pread(p->log_fd, out, size, from);
    return n < 0 ? 0 : (uint32_t)n;
}

#define GONE_CALLERS 1024u

static void gone(struct rtci_daemon *daemon, uint32_t token, struct rtci_gone *how)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    struct rtci_held *held = NULL;
    uint32_t slot, actor = 0;
    uint32_t n = p->chan ? rtci_daemon_held(daemon, token, &held, &slot, &actor) : 0;
    struct rtci_chan_caller *callers = actor ? calloc(GONE_CALLERS, sizeof(*callers)) : NULL;
    int n_callers = callers ? rtci_chan_callers(p->chan, callers, GONE_CALLERS) : 0;
    bool running = n && held[0].claimed;
    how->token = token;
    how->unclaimed = held ? held + running : NULL;
    how->n_unclaimed = n - running;
    if (running)
        how->claimed = held[0];
    rtci_daemon_logs(daemon);
    if (!p->bad) /* else the number may be nonsense too */
        remove_empty_log(daemon, p);
    _Static_assert(sizeof(*callers) == sizeof(*how->callers), "the same, seen by two modules");
    how->callers = (const struct rtci_gone_caller *)(const void *)callers;
    how->n_callers = n_callers > 0 ? (uint32_t)n_callers : 0;
    rtci_node_core_gone(daemon->node, daemon->now_ns, how, &daemon->actions);
    free(callers);
    free(held);
}

void rtci_daemon_exited(struct rtci_daemon *daemon, uint32_t token, int status, int spawn_errno)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    if (!p)
        return;
    p->gone = p->bad; /* what it completed counts, however it ended */
    while (p->chan && rtci_daemon_read(daemon, token)) {
    }
    char log[RTCI_ERROR_LOG_MAX];
    struct rtci_gone how = {.code = spawn_errno ? RTC_E_OS
                                    : p->bad    ? RTC_E_PROTOCOL
                                                : RTC_E_CRASHED,
                            .exit_status = spawn_errno         ? spawn_errno
                                           : WIFEXITED(status) ? WEXITSTATUS(status)
                                                               : -1,
                            .signal = !spawn_errno && WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                            .log = log,
                            .log_len = last_lines(p, log, sizeof(log))};
    if (how.exit_status == 127 && !p->ready && p->chan && how.log_len)
        how.code = RTC_E_OS; /* the loader has said which library is missing */
    gone(daemon, token, &how);
}

void rtci_daemon_not_started(struct rtci_daemon *daemon, uint32_t token, const char *text)
{
    if (!rtci_daemon_process(daemon, token))
        return;
    struct rtci_gone how = {.code = RTC_E_OS, .log = text, .log_len = (uint32_t)strlen(text)};
    gone(daemon, token, &how);
}

/* ---- Output ---- */

static void fill_notice(struct rtci_notice *out, size_t size, const struct rtci_process *from,
                        const char *text, uint32_t len)
{
    memset(out, 0, size);
    out->rec = (struct rtci_rec){(uint32_t)size, from ? RTCI_R_LOG : RTCI_R_NOTICE, 0};
    out->pid = from ? from->pid : (uint32_t)getpid();
    out->stream = from ? 1 : 0;
    out->text_len = len;
    memcpy(out + 1, text, len);
}

/* The driver is on another host: the head knows where. */
static void forward_far(struct rtci_daemon *daemon, const struct rtci_process *from,
                        const char *text, uint32_t len)
{
    size_t size = RTCI_ALIGN8(sizeof(struct rtci_notice) + len);
    if (!from->chan || daemon->away_ns || daemon->actions.to_head.len > LOGS_FAR_MAX)
        return;
    struct rtci_notice *out = rtci_buf_add(&daemon->actions.to_head, size);
    RTCI_ASSERT(out);
    fill_notice(out, size, from, text, len);
    out->job = rtci_chan_info(from->chan)->job;
}

/* Onto the terminal of a driver: a line of its executor `from`, or of the daemon (NULL). */
static void forward(struct rtci_process *driver, const struct rtci_process *from, const char *text,
                    uint32_t len)
{
    if (!driver || !driver->chan || driver->gone || driver->later.len)
        return;
    size_t size = RTCI_ALIGN8(sizeof(struct rtci_notice) + len);
    struct rtci_notice *out = rtci_chan_reserve(driver->chan, size);
    if (!out)
        return; /* its ring is full of results: output is the lesser */
    fill_notice(out, size, from, text, len);
    rtci_chan_publish(driver->chan);
    driver->wrote = true;
}

void rtci_daemon_tell_drivers(struct rtci_daemon *daemon, const char *text)
{
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        struct rtci_process *p = &daemon->process[daemon->tokens[i]];
        if (p->blob.role != RTCI_ROLE_DRIVER)
            continue;
        forward(p, NULL, text, (uint32_t)strlen(text));
        if (p->chan)
            rtci_chan_ring(p->chan);
    }
}

static void forward_new(struct rtci_daemon *daemon, struct rtci_process *p)
{
    char text[8192];
    struct stat st;
    if (p->log_fd < 0 || fstat(p->log_fd, &st) || (uint64_t)st.st_size <= p->log_at)
        return;
    ssize_t n = pread(p->log_fd, text, sizeof(text), (off_t)p->log_at);
    if (n <= 0)
        return;
    ssize_t whole = n; /* whole lines, unless one is longer than all */
    while (whole && text[whole - 1] != '\n')
        whole--;
    n = whole ? whole : n;
    if (p->far)
        forward_far(daemon, p, text, (uint32_t)n);
    else
        forward(rtci_daemon_process(daemon, p->driver), p, text, (uint32_t)n);
    p->log_at += (uint64_t)n;
    if (p->log_at > RTCI_LOG_CAP && !ftruncate(p->log_fd, 0))
        p->log_at = 0;
}

void rtci_daemon_logs(struct rtci_daemon *daemon)
{
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        struct rtci_process *p = &daemon->process[daemon->tokens[i]];
        if (p->blob.role == RTCI_ROLE_EXECUTOR)
            forward_new(daemon, p);
    }
}

void rtci_daemon_keeper_event(struct rtci_daemon *daemon)
{
    static char blob[RTCI_KEEPER_BLOB_MAX];
    for (;;) {
        struct rtci_keeper_msg msg;
        int fds[RTCI_KEEPER_FDS];
        uint32_t n_fds = 0;
        int rc = rtci_keeper_recv(daemon->keeper, &msg, blob, sizeof(blob), fds, &n_fds, false);
        if (rc == RTC_E_DISCONNECTED)
            _exit(1); /* without the keeper nothing goes on */
        if (rc)
            return;
        for (uint32_t i = 0; i < n_fds; i++)
            close(fds[i]);
        uint32_t token = (uint32_t)(msg.key - RTCI_KEY_CLIENT);
        struct rtci_process *p = rtci_daemon_process(daemon, token);
        if (msg.type == RTCI_KM_SPAWNED && p && msg.pid)
            p->pid = (uint32_t)msg.pid;
        else if (msg.type == RTCI_KM_SPAWNED && p)
            rtci_daemon_exited(daemon, token, 0, msg.value ? msg.value : EIO);
        else if (msg.type == RTCI_KM_EXITED)
            rtci_daemon_exited(daemon, token, msg.value, 0);
    }
}

bool rtci_daemon_perform(struct rtci_daemon *daemon)
{
    bool any = daemon->actions.n_act != 0;
    /* Actions may add actions: the array can move. */
    for (uint32_t i = 0; i < daemon->actions.n_act; i++) {
        struct rtci_node_action act = daemon->actions.act[i];
        switch (act.type) {
        case RTCI_NA_WELCOME: rtci_daemon_welcome(daemon, &act); break;
        case RTCI_NA_SPAWN: rtci_daemon_spawn(daemon, &act); break;
        case RTCI_NA_KILL: rtci_daemon_kill(daemon, act.token, act.signal); break;
        case RTCI_NA_RECALL: rtci_daemon_recall(daemon, act.token, act.count); break;
        case RTCI_NA_CLOSE:
            if (act.status)
                rtci_daemon_disconnect(daemon, act.token, act.status);
            rtci_daemon_close(daemon, act.token);
            break;
        case RTCI_NA_STORE_SET: {
            const struct rtci_arena_entry *entry =
                rtci_node_core_arena_entry(daemon->node, act.object);
            struct rtci_arena_entry copy = *entry;
            copy.state = 0; /* a daemon killed in the middle leaves a free entry */
            daemon->table[act.object] = copy;
            __atomic_store_n(&daemon->table[act.object].state, entry->state, __ATOMIC_RELEASE);
            break;
        }
        case RTCI_NA_PULL:
        case RTCI_NA_PULL_STOP: rtci_blobs_action(daemon->blobs, &act); break;
        case RTCI_NA_STORE_WARM: rtci_daemon_warm(daemon, act.offset, act.size); break;
        case RTCI_NA_STORE_COOL:
            RTCI_IGNORE(fallocate(daemon->arena_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  (off_t)act.offset, (off_t)act.size));
            break;
        case RTCI_NA_STOP:
            daemon->stopping = true;
            daemon->stop_now |= act.status != 0;
            break;
        default: break;
        }
    }
    daemon->actions.n_act = 0;
    return any;
}
