#include "runtime/node/programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/node/blobs.h"

#define ASK_AGAIN_NS (2 * RTCI_NS_PER_S)
#define STEP         (1 * RTCI_MIB)
#define TEXT         400
#define CACHE_BYTES  (2 * RTCI_GIB)
#define CACHE_FILES  512

struct cached {
    char path[400];
    uint64_t size;
    int64_t used_s;
};

enum state {
    ASKED,    /* the head, or of an own driver: nothing yet */
    FETCHING, /* from the driver's host, into a new file */
    READING,  /* what is there: its contents must be what its name says */
    THERE,
    FAILED
};
/* Of a job: fetched (own == 0), or a driver's of this host that others want. */
struct entry {
    struct entry *next;
    enum state state;
    uint32_t job, own; /* own: token of the driver */
    struct rtci_program program;
    int fd;
    const uint8_t *map; /* of program.size bytes, while it is needed */
    crypto_generichash_state hash;
    uint64_t read, pull, ask_ns;
    struct rtci_node_action *waiting; /* executors to be started with it */
    uint32_t n_waiting, cap_waiting;
    bool ended;      /* its job, while it was being fetched */
    char text[TEXT]; /* FAILED: why */
};
struct rtci_programs {
    struct rtci_daemon *daemon;
    struct entry *first;
};

struct rtci_programs *rtci_programs_create(struct rtci_daemon *daemon)
{
    struct rtci_programs *programs = calloc(1, sizeof(*programs));
    if (programs)
        programs->daemon = daemon;
    return programs;
}

static struct entry *find(struct rtci_programs *programs, uint32_t job, bool own)
{
    struct entry *e = programs->first;
    while (e && (e->job != job || (e->own != 0) != own))
        e = e->next;
    return e;
}

static struct entry *add(struct rtci_programs *programs, uint32_t job, uint32_t own)
{
    struct entry *e = calloc(1, sizeof(*e));
    RTCI_ASSERT(e);
    *e = (struct entry){.next = programs->first, .job = job, .own = own, .fd = -1};
    e->program.job = job;
    programs->first = e;
    return e;
}

static void unmap(struct entry *e)
{
    if (e->map)
        munmap((void *)(uintptr_t)e->map, e->program.size);
    e->map = NULL;
}

/* No process of these executors will end by itself. */
static void end_waiting(struct rtci_programs *programs, struct entry *e)
{
    uint32_t n = e->n_waiting;
    e->ended = true;
    e->n_waiting = 0;
    for (uint32_t i = 0; i < n; i++)
        rtci_daemon_not_started(programs->daemon, e->waiting[i].token, "its job has ended");
}

void rtci_programs_job_end(struct rtci_programs *programs, uint32_t job)
{
    for (struct entry **at = &programs->first, *e; (e = *at);) {
        if (e->job != job || e->state == FETCHING) {
            if (e->job == job)
                end_waiting(programs, e);
            at = &e->next;
            continue;
        }
        *at = e->next;
        unmap(e);
        if (e->fd >= 0)
            close(e->fd);
        end_waiting(programs, e);
        free(e->waiting);
        free(e);
    }
}

/* ---- Files ---- */

static void path_of(const struct rtci_programs *programs, const struct entry *e, const char *end,
                    char *ret, size_t size)
{
    char hex[65], part[24] = "";
    sodium_bin2hex(hex, sizeof(hex), e->program.hash, sizeof(e->program.hash));
    if (end[0]) /* two jobs may fetch one program at a time */
        snprintf(part, sizeof(part), ".%u", e->job);
    snprintf(ret, size, "%s/programs/%s%s%s", programs->daemon->state_dir, hex, part, end);
}

static bool map_file(struct entry *e, int protection)
{
    void *map = mmap(NULL, e->program.size, protection, MAP_SHARED, e->fd, 0);
    e->map = map == MAP_FAILED ? NULL : map;
    return e->map != NULL;
}

static void begin_reading(struct entry *e)
{
    crypto_generichash_init(&e->hash, NULL, 0, sizeof(e->program.hash));
    e->read = 0;
    e->state = READING;
}

/* ---- Ends ---- */

static void fail(struct rtci_programs *programs, struct entry *e, const char *text)
{
    RTCI_LOG(WARN, NODE, "%s", text);
    snprintf(e->text, sizeof(e->text), "%s", text);
    e->state = FAILED;
    unmap(e);
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
    uint32_t n = e->n_waiting;
    e->n_waiting = 0;
    for (uint32_t i = 0; i < n; i++)
        rtci_daemon_not_started(programs->daemon, e->waiting[i].token, text);
    e->ask_ns = programs->daemon->now_ns + ASK_AGAIN_NS; /* later it may be better */
}

static void there(struct rtci_programs *programs, struct entry *e)
{
    unmap(e);
    e->state = THERE;
    uint32_t n = e->n_waiting;
    e->n_waiting = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_node_action act = e->waiting[i];
        rtci_daemon_start_program(programs->daemon, &act);
    }
}

/* ---- Fetching ---- */

static bool open_cached(struct rtci_programs *programs, struct entry *e)
{
    char path[512];
    struct stat st;
    path_of(programs, e, "", path, sizeof(path));
    e->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (e->fd < 0)
        return false;
    if (fstat(e->fd, &st) || (uint64_t)st.st_size != e->program.size || !map_file(e, PROT_READ)) {
        close(e->fd);
        e->fd = -1;
        unlink(path);
        return false;
    }
    begin_reading(e);
    return true;
}

static int older(const void *a, const void *b)
{
    const struct cached *x = a, *y = b;
    return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

/* Those that were not used for longest go when all together are too much. */
static void prune(const char *dir)
{
    static struct cached all[CACHE_FILES];
    char path[sizeof(all[0].path)];
    uint64_t sum = 0;
    size_t n = 0;
    struct dirent *entry;
    struct stat st;
    DIR *folder = opendir(dir);
    while (folder && n < CACHE_FILES && (entry = readdir(folder))) {
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= sizeof(path) ||
            lstat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        memcpy(all[n].path, path, sizeof(path));
        all[n].size = (uint64_t)st.st_size;
        all[n++].used_s = st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime;
        sum += (uint64_t)st.st_size;
    }
    if (folder)
        closedir(folder);
    qsort(all, n, sizeof(all[0]), older);
    for (size_t i = 0; i < n && (sum > CACHE_BYTES || n - i >= CACHE_FILES); i++) {
        unlink(all[i].path);
        sum -= all[i].size;
    }
}

static void begin_fetching(struct rtci_programs *programs, struct entry *e)
{
    char path[512], text[TEXT];
    snprintf(path, sizeof(path), "%s/programs", programs->daemon->state_dir);
    mkdir(path, 0700);
    prune(path);
    path_of(programs, e, ".part", path, sizeof(path));
    unlink(path);
    e->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err = e->fd < 0 ? errno : posix_fallocate(e->fd, 0, (off_t)e->program.size);
    if (!err && !map_file(e, PROT_READ | PROT_WRITE))
        err = errno;
    if (err) {
        unlink(path);
        snprintf(text, sizeof(text), "the program %.200s cannot be kept on node %u: %.80s: %s",
                 e->program.path, programs->daemon->number, path, strerror(err));
        fail(programs, e, text);
        return;
    }
    uint64_t size;
    const void *own = rtci_programs_contents(programs, e->program.hash, &size);
    if (own && size == e->program.size) { /* of a driver here, which a detached actor outlives */
        memcpy((void *)(uintptr_t)e->map, own, size);
        begin_reading(e);
        return;
    }
    struct rtci_blob blob = {.kind = RTCI_BLOB_PROGRAM, .size = e->program.size};
    memcpy(blob.hash, e->program.hash, sizeof(blob.hash));
    e->state = FETCHING;
    e->pull =
        rtci_blobs_pull(programs->daemon->blobs, &blob, (void *)(uintptr_t)e->map, e->program.node);
}

void rtci_programs_fetched(struct rtci_programs *programs, uint64_t pull, int status)
{
    char text[TEXT];
    struct entry *e = programs->first;
    while (e && (e->state != FETCHING || e->pull != pull))
        e = e->next;
    if (!e)
        return;
    if (e->ended) {
        uint32_t job = e->job;
        e->state = FAILED;
        rtci_programs_job_end(programs, job);
        return;
    }
    if (!status) {
        begin_reading(e);
        return;
    }
    if (status ==
        RTC_E_TIMEOUT) { /* the driver's host is silent: its job goes on until it is dead */
        unmap(e);
        close(e->fd);
        begin_fetching(programs, e);
        return;
    }
    snprintf(text, sizeof(text),
             "the program %.200s could not be had from the driver's host (node %u)",
             e->program.path, e->program.node);
    fail(programs, e, text);
}

static void on_program(struct rtci_programs *programs, const struct rtci_program *rec)
{
    char text[TEXT];
    struct utsname uts;
    struct entry *e = find(programs, rec->job, false);
    if (!e || e->state != ASKED)
        return;
    e->program = *rec;
    uname(&uts);
    if (rec->status || !rec->size) {
        snprintf(text, sizeof(text), "the program of the job is not to be had: its driver is gone");
        fail(programs, e, text);
    } else if (strcmp(rec->arch, uts.machine) != 0) {
        snprintf(
            text, sizeof(text),
            "the program %.200s was built for %.15s, this node is %.15s: build it for both and "
            "give the nodes labels",
            rec->path, rec->arch, uts.machine);
        fail(programs, e, text);
    } else if (!open_cached(programs, e)) {
        begin_fetching(programs, e);
    }
}

static void ask(struct rtci_programs *programs, struct entry *e)
{
    struct rtci_job_end want = {{sizeof(want), RTCI_R_PROGRAM_WANT, 0}, e->job, 0};
    rtci_buf_put(&programs->daemon->actions.to_head, &want, sizeof(want));
    e->state = ASKED;
    e->ask_ns = programs->daemon->now_ns + ASK_AGAIN_NS;
}

bool rtci_programs_find(struct rtci_programs *programs, uint32_t job,
                        const struct rtci_node_action *act, struct rtci_program_found *ret)
{
    struct entry *e = find(programs, job, false);
    if (e && e->state == THERE) {
        *ret = (struct rtci_program_found){e->fd, e->program.path, e->program.cwd};
        return true;
    }
    if (!e || (e->state == FAILED && programs->daemon->now_ns >= e->ask_ns)) {
        e = e ? e : add(programs, job, 0);
        ask(programs, e);
    }
    if (e->n_waiting == e->cap_waiting) {
        e->cap_waiting = e->cap_waiting ? 2 * e->cap_waiting : 8;
        e->waiting = realloc(e->waiting, e->cap_waiting * sizeof(*e->waiting));
        RTCI_ASSERT(e->waiting);
    }
    e->waiting[e->n_waiting++] = *act;
    if (e->state == FAILED)
        fail(programs, e, e->text);
    return false;
}

/* ---- A driver's program of this host ---- */

static void say_program(struct rtci_programs *programs, struct entry *e)
{
    e->program.rec = (struct rtci_rec){sizeof(e->program), RTCI_R_PROGRAM, 0};
    e->program.node = programs->daemon->number;
    rtci_buf_put(&programs->daemon->actions.to_head, &e->program, sizeof(e->program));
}

static void on_want(struct rtci_programs *programs, uint32_t job)
{
    struct rtci_daemon *d = programs->daemon;
    struct entry *e = find(programs, job, true);
    struct stat st;
    struct utsname uts;
    if (e && e->state == THERE) {
        say_program(programs, e);
        return;
    }
    for (uint32_t i = 0; !e && i < d->n_tokens; i++) {
        struct rtci_process *p = &d->process[d->tokens[i]];
        if (p->blob.role != RTCI_ROLE_DRIVER || !p->chan || rtci_chan_info(p->chan)->job != job ||
            fstat(p->exe_fd, &st))
            continue;
        e = add(programs, job, d->tokens[i]);
        e->program.size = (uint64_t)st.st_size;
        e->fd = fcntl(p->exe_fd, F_DUPFD_CLOEXEC, 0);
        memcpy(e->program.path, p->blob.exe, sizeof(e->program.path));
        memcpy(e->program.cwd, p->blob.cwd, sizeof(e->program.cwd));
        uname(&uts);
        snprintf(e->program.arch, sizeof(e->program.arch), "%.15s", uts.machine);
        if (e->fd >= 0 && map_file(e, PROT_READ))
            begin_reading(e);
    }
    if (e && e->map)
        return; /* it is told when it was read */
    struct rtci_program none = {{sizeof(none), RTCI_R_PROGRAM, 0}, .job = job};
    none.status = RTC_E_NOT_FOUND;
    rtci_buf_put(&d->actions.to_head, &none, sizeof(none));
}

void rtci_programs_record(struct rtci_programs *programs, const struct rtci_rec *rec)
{
    if (rec->type == RTCI_R_PROGRAM)
        on_program(programs, (const struct rtci_program *)rec);
    else if (rec->type == RTCI_R_PROGRAM_WANT)
        on_want(programs, ((const struct rtci_job_end *)rec)->job);
    else if (rec->type == RTCI_R_JOB_END)
        rtci_programs_job_end(programs, ((const struct rtci_job_end *)rec)->job);
}

const void *rtci_programs_contents(struct rtci_programs *programs, const uint8_t hash[32],
                                   uint64_t *ret_size)
{
    for (struct entry *e = programs->first; e; e = e->next) {
        if (!e->own || e->state != THERE || memcmp(e->program.hash, hash, 32) != 0)
            continue;
        *ret_size = e->program.size;
        return e->map;
    }
    return NULL;
}

/* ---- Reading, a part at a time ---- */

static void read_through(struct rtci_programs *programs, struct entry *e)
{
    uint8_t hash[32];
    char path[512], part[512];
    crypto_generichash_final(&e->hash, hash, sizeof(hash));
    if (e->own) {
        memcpy(e->program.hash, hash, sizeof(hash));
        e->state = THERE; /* the map stays: others read it */
        say_program(programs, e);
        return;
    }
    path_of(programs, e, "", path, sizeof(path));
    path_of(programs, e, ".part", part, sizeof(part));
    if (memcmp(hash, e->program.hash, sizeof(hash)) != 0) {
        unlink(part);
        unlink(path);
        fail(programs, e,
             "the program that was fetched is not what its name says: it is fetched anew "
             "when it is needed next");
        return;
    }
    /* Executed by a descriptor that nobody can write through. */
    unmap(e);
    if (!access(part, F_OK) && (fchmod(e->fd, 0500) || rename(part, path)))
        RTCI_LOG(WARN, NODE, "%s cannot be renamed: %s", part, strerror(errno));
    close(e->fd);
    e->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (e->fd < 0)
        fail(programs, e, "the program that was fetched is gone from the disk");
    else
        there(programs, e);
}

bool rtci_programs_step(struct rtci_programs *programs)
{
    bool more = false;
    for (struct entry *e = programs->first; e; e = e->next) {
        if (e->state == ASKED && !e->own && programs->daemon->now_ns >= e->ask_ns)
            ask(programs, e);
        if (e->state != READING)
            continue;
        uint64_t n = e->program.size - e->read < STEP ? e->program.size - e->read : STEP;
        crypto_generichash_update(&e->hash, e->map + e->read, n);
        e->read += n;
        if (e->read == e->program.size)
            read_through(programs, e);
        else
            more = true;
    }
    return more;
}

uint64_t rtci_programs_deadline(const struct rtci_programs *programs)
{
    uint64_t at = UINT64_MAX;
    for (const struct entry *e = programs->first; e; e = e->next) {
        if (e->state == ASKED && !e->own && e->ask_ns < at)
            at = e->ask_ns;
        if (e->state == READING)
            at = 0;
    }
    return at;
}
