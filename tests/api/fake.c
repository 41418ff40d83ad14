#include "tests/api/fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <rtc/rtc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/shm/chan.h"
#include "runtime/shm/local.h"
#include "runtime/wire/wire.h"

#define EXECS_MAX   4
#define ARENA_BYTES (512ull << 20)
#define DRIVER      1u
#define FIRST_EXEC  2u
#define IDS         (1u << 20)

/* What became of an object: of client c, number seq (folded), all returns. */
struct outcome {
    struct rtci_done *done;
    struct rtci_id id;
};
struct held {
    struct held *next;
    struct rtci_spec *spec;
};
struct want {
    struct want *next;
    unsigned who;
    struct rtci_id id;
};

struct fake {
    pthread_t thread;
    int listener, bell, arena_fd, sock;
    unsigned n_execs, next_exec;
    struct rtci_chan *chan[2 + EXECS_MAX]; /* by client number */
    pid_t pid[2 + EXECS_MAX];
    uint64_t arena_next;
    struct outcome *outcomes;
    struct held *held;
    struct want *wants;
    _Atomic int stop, paused, epochs, reserved;
    _Atomic uint64_t counts[128];
    char path[108], address[128];
};

static struct outcome *outcome_of(struct fake *f, struct rtci_id id)
{
    uint64_t h = (id.seq * 31 + id.client) % IDS;
    while (f->outcomes[h].id.client &&
           (f->outcomes[h].id.seq != id.seq || f->outcomes[h].id.client != id.client))
        h = (h + 1) % IDS;
    return &f->outcomes[h];
}

static void put_record(struct rtci_chan *chan, const void *rec)
{
    size_t size = ((const struct rtci_rec *)rec)->size;
    void *at;
    while (!(at = rtci_chan_reserve(chan, size))) {
        rtci_chan_publish(chan);
        rtci_chan_ring(chan);
    }
    memcpy(at, rec, size);
    rtci_chan_publish(chan);
}

/* A TASK: the spec, rows, inline values. */
static void give_task(struct fake *f, const struct rtci_spec *spec)
{
    size_t size = rtci_spec_size(spec), rows_at = size;
    static _Alignas(8) char buf[RTCI_RECORD_MAX]; /* of the one thread */
    memcpy(buf, spec, size);
    struct rtci_spec *task = (struct rtci_spec *)buf;
    size += spec->n_refs * sizeof(struct rtci_resolved);
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        struct rtci_id id = rtci_spec_refs(spec)[i];
        const struct rtci_done *done = outcome_of(f, id)->done;
        struct rtci_resolved row = rtci_done_returns(done)[done->status ? 0 : id.index];
        if (row.kind != RTCI_KIND_ARENA) {
            size_t bytes = row.size + row.n_refs * sizeof(struct rtci_id);
            memcpy(buf + size, (const char *)done + row.offset, bytes);
            row.offset = size;
            size += RTCI_ALIGN8(bytes);
        }
        memcpy(buf + rows_at + i * sizeof(row), &row, sizeof(row));
    }
    task->rec = (struct rtci_rec){.size = (uint32_t)size, .type = RTCI_R_TASK};
    task->attempt = 1;
    task->slot = 1;
    RTCI_ASSERT(rtci_wire_check(buf, size) == (int64_t)size);
    unsigned who = FIRST_EXEC + f->next_exec++ % f->n_execs;
    if (f->reserved)
        who =
            spec->client == DRIVER ? FIRST_EXEC : FIRST_EXEC + 1 + f->next_exec % (f->n_execs - 1);
    put_record(f->chan[who], buf);
    rtci_chan_ring(f->chan[who]);
}

static int is_ready(struct fake *f, const struct rtci_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        if (!outcome_of(f, rtci_spec_refs(spec)[i])->done)
            return 0;
    }
    return 1;
}

static void on_submit(struct fake *f, const struct rtci_spec *spec)
{
    if (is_ready(f, spec)) {
        give_task(f, spec);
        return;
    }
    struct held *h = malloc(sizeof(*h));
    h->spec = malloc(spec->rec.size);
    memcpy(h->spec, spec, spec->rec.size);
    h->next = f->held;
    f->held = h;
}

static void tell(struct fake *f, unsigned who, const struct rtci_done *done)
{
    struct rtci_done *copy = malloc(done->rec.size);
    memcpy(copy, done, done->rec.size);
    copy->rec.type = RTCI_R_RESULT;
    put_record(f->chan[who], copy);
    rtci_chan_ring(f->chan[who]);
    free(copy);
}

static void on_outcome(struct fake *f, const struct rtci_done *done)
{
    struct rtci_id id = {done->seq, done->client, 0};
    struct outcome *o = outcome_of(f, id);
    if (o->done)
        return;
    o->id = id;
    o->done = malloc(done->rec.size);
    memcpy(o->done, done, done->rec.size);
    for (struct want **at = &f->wants; *at;) {
        struct want *w = *at;
        if (w->id.seq != done->seq || w->id.client != done->client) {
            at = &w->next;
            continue;
        }
        tell(f, w->who, o->done);
        *at = w->next;
        free(w);
    }
    for (struct held **at = &f->held; *at;) {
        struct held *h = *at;
        if (!is_ready(f, h->spec)) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        give_task(f, h->spec);
        free(h->spec);
        free(h);
    }
}

static void on_put(struct fake *f, const struct rtci_put *put)
{
    size_t body = put->rec.size - sizeof(*put),
           rows = sizeof(struct rtci_done) + sizeof(struct rtci_resolved);
    struct rtci_done *done = calloc(1, rows + body);
    done->rec.size = (uint32_t)(rows + body);
    done->seq = put->id.seq;
    done->client = put->id.client;
    done->n_returns = 1;
    *(struct rtci_resolved *)(done + 1) =
        (struct rtci_resolved){.kind = put->kind,
                               .n_refs = put->n_refs,
                               .size = put->size,
                               .offset = put->kind == RTCI_KIND_ARENA ? put->offset : rows};
    memcpy((char *)done + rows, put + 1, body);
    if (put->id.index == 0 && put->id.client != 0)
        on_outcome(f, done);
    free(done);
}

static void on_want(struct fake *f, unsigned who, const struct rtci_ids *ids)
{
    for (uint32_t i = 0; i < ids->n; i++) {
        struct rtci_id id = ((const struct rtci_id *)(ids + 1))[i];
        struct outcome *o = outcome_of(f, id);
        if (o->done) {
            tell(f, who, o->done);
            continue;
        }
        struct want *w = malloc(sizeof(*w));
        *w = (struct want){f->wants, who, id};
        f->wants = w;
    }
}

static void on_alloc(struct fake *f, unsigned who, const struct rtci_alloc *alloc)
{
    struct rtci_grant grant = {.rec = {.size = sizeof(grant), .type = RTCI_R_GRANT},
                               .id = alloc->id,
                               .offset = f->arena_next,
                               .size = alloc->size};
    f->arena_next += (alloc->size + 4095) & ~4095ull;
    if (f->arena_next > ARENA_BYTES) {
        f->arena_next = grant.offset;
        grant.status = RTC_E_STORE_FULL;
    }
    put_record(f->chan[who], &grant);
    rtci_chan_ring(f->chan[who]);
}

static void on_record(struct fake *f, unsigned who, const struct rtci_rec *rec)
{
    f->counts[rec->type & 127]++;
    switch (rec->type) {
    case RTCI_R_SUBMIT: on_submit(f, (const struct rtci_spec *)rec); break;
    case RTCI_R_DONE: {
        const struct rtci_done *done = (const struct rtci_done *)rec;
        on_outcome(f, done);
        if (done->client < FIRST_EXEC + f->n_execs && f->chan[done->client])
            tell(f, done->client, done);
        break;
    }
    case RTCI_R_PUT: on_put(f, (const struct rtci_put *)rec); break;
    case RTCI_R_SEAL:
        if (((const struct rtci_put *)rec)->id.client == who)
            on_put(f, (const struct rtci_put *)rec);
        break;
    case RTCI_R_ALLOC: on_alloc(f, who, (const struct rtci_alloc *)rec); break;
    case RTCI_R_WANT: on_want(f, who, (const struct rtci_ids *)rec); break;
    case RTCI_R_PROGRESS: {
        const struct rtci_progress *p = (const struct rtci_progress *)rec;
        put_record(f->chan[p->id.client], p);
        rtci_chan_ring(f->chan[p->id.client]);
        break;
    }
    default: break;
    }
}

static int turn(struct fake *f)
{
    int busy = 0;
    for (unsigned c = DRIVER; c < FIRST_EXEC + f->n_execs; c++) {
        const void *span;
        size_t len;
        if (!f->chan[c] || (c == DRIVER && f->paused))
            continue;
        RTCI_ASSERT(rtci_chan_peek(f->chan[c], &span, &len) == 0);
        for (size_t off = 0; off < len;) {
            int64_t size = rtci_wire_check((const char *)span + off, len - off);
            RTCI_ASSERT(size > 0);
            on_record(f, c, (const struct rtci_rec *)((const char *)span + off));
            off += (size_t)size;
        }
        rtci_chan_advance(f->chan[c], len);
        rtci_chan_consume(f->chan[c]);
        busy |= len != 0;
    }
    return busy;
}

static void bump_epochs(struct fake *f)
{
    int n = atomic_exchange(&f->epochs, 0);
    for (unsigned c = DRIVER; n && c < FIRST_EXEC + f->n_execs; c++) {
        rtci_chan_info(f->chan[c])->daemon_epoch += (uint32_t)n;
        atomic_thread_fence(memory_order_seq_cst);
        rtci_chan_ring(f->chan[c]);
    }
}

/* As daemons do that are killed then: before the hello is read, and when it is. */
static void hang_up(struct fake *f)
{
    struct rtci_local_hello hello;
    for (int reads = 0; reads < 2; reads++) {
        int sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        RTCI_ASSERT(!reads || recv(sock, &hello, sizeof(hello), 0) == (ssize_t)sizeof(hello));
        close(sock);
    }
}

static void accept_driver(struct fake *f)
{
    struct rtci_local_hello hello;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    int fds[3];
    f->sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    struct iovec iov = {&hello, sizeof(hello)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    RTCI_ASSERT(recvmsg(f->sock, &msg, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof(hello));
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fds));
    RTCI_ASSERT(hello.magic == RTCI_LOCAL_MAGIC && hello.role == RTCI_ROLE_DRIVER);
    RTCI_ASSERT(rtci_chan_open(fds[0], RTCI_CHAN_DAEMON, f->bell, fds[1], &f->chan[DRIVER]) == 0);
    rtci_chan_info(f->chan[DRIVER])->client = DRIVER;
    close(fds[0]);
    close(fds[2]);
    struct rtci_local_welcome w = {.magic = RTCI_LOCAL_MAGIC,
                                   .version = RTCI_WIRE_VERSION,
                                   .client = DRIVER,
                                   .job = 1,
                                   .node = 1,
                                   .arena_bytes = ARENA_BYTES};
    int out[2] = {f->arena_fd, f->bell};
    iov = (struct iovec){&w, sizeof(w)};
    msg.msg_controllen = CMSG_SPACE(sizeof(out));
    CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(out));
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), out, sizeof(out));
    RTCI_ASSERT(sendmsg(f->sock, &msg, 0) == (ssize_t)sizeof(w));
}

static void *run(void *arg)
{
    struct fake *f = arg;
    hang_up(f);
    accept_driver(f);
    while (!f->stop) {
        bump_epochs(f);
        if (turn(f))
            continue;
        int pending = 0;
        for (unsigned c = DRIVER; c < FIRST_EXEC + f->n_execs; c++)
            pending |= rtci_chan_arm(f->chan[c]) && !(c == DRIVER && f->paused);
        if (!pending) {
            struct pollfd p = {.fd = f->bell, .events = POLLIN};
            uint64_t count;
            poll(&p, 1, 100);
            RTCI_IGNORE(read(f->bell, &count, sizeof(count)));
        }
        for (unsigned c = DRIVER; c < FIRST_EXEC + f->n_execs; c++)
            rtci_chan_disarm(f->chan[c]);
    }
    return NULL;
}

static void start_executor(struct fake *f, unsigned client)
{
    int fd = rtci_chan_create(RTCI_RING_BYTES);
    RTCI_ASSERT(fd >= 0);
    RTCI_ASSERT(rtci_chan_open(fd, RTCI_CHAN_DAEMON, f->bell, -1, &f->chan[client]) == 0);
    rtci_chan_info(f->chan[client])->client = client;
    rtci_chan_info(f->chan[client])->job = 1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fds[] = {fd, f->arena_fd, f->bell};
        for (int i = 0; i < 3; i++)
            fds[i] = fcntl(fds[i], F_DUPFD, 20);
        for (int i = 0; i < 3; i++)
            dup2(fds[i], RTCI_EXEC_FD_CHAN + i);
        for (int i = 0; i < 3; i++)
            close(fds[i]);
        setenv(RTCI_EXEC_ENV, "1", 1);
        execl("/proc/self/exe", "executor", (char *)NULL);
        _exit(127);
    }
    f->pid[client] = pid;
    close(fd);
}

struct fake *fake_start(unsigned n_executors, const char **ret_address)
{
    struct fake *f = calloc(1, sizeof(*f));
    RTCI_ASSERT(f && n_executors <= EXECS_MAX);
    f->outcomes = calloc(IDS, sizeof(*f->outcomes));
    f->n_execs = n_executors;
    f->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->arena_fd = memfd_create("arena", MFD_CLOEXEC);
    RTCI_ASSERT(ftruncate(f->arena_fd, (off_t)ARENA_BYTES) == 0);
    snprintf(f->path, sizeof(f->path), "/tmp/rtc-fake-%d.sock", (int)getpid());
    snprintf(f->address, sizeof(f->address), "unix:%s", f->path);
    unlink(f->path);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, f->path, sizeof(f->path));
    RTCI_ASSERT(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
                listen(f->listener, 4) == 0);
    for (unsigned i = 0; i < n_executors; i++)
        start_executor(f, FIRST_EXEC + i);
    RTCI_ASSERT(pthread_create(&f->thread, NULL, run, f) == 0);
    *ret_address = f->address;
    return f;
}

void fake_stop(struct fake *f)
{
    f->stop = 1;
    uint64_t one = 1;
    RTCI_IGNORE(write(f->bell, &one, sizeof(one)));
    pthread_join(f->thread, NULL);
    for (unsigned c = FIRST_EXEC; c < FIRST_EXEC + f->n_execs; c++) {
        struct rtci_rec end = {.size = sizeof(end), .type = RTCI_R_SHUTDOWN};
        put_record(f->chan[c], &end);
        rtci_chan_ring(f->chan[c]);
        int status = -1;
        waitpid(f->pid[c], &status, 0);
        RTCI_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    for (unsigned c = DRIVER; c < FIRST_EXEC + f->n_execs; c++)
        rtci_chan_close(f->chan[c]);
    for (uint32_t i = 0; i < IDS; i++)
        free(f->outcomes[i].done);
    free(f->outcomes);
    close(f->sock);
    close(f->listener);
    close(f->bell);
    close(f->arena_fd);
    unlink(f->path);
    free(f);
}

void fake_restart(struct fake *f)
{
    f->epochs++;
    uint64_t one = 1;
    RTCI_IGNORE(write(f->bell, &one, sizeof(one)));
}

void fake_pause(struct fake *f, int on)
{
    f->paused = on;
    uint64_t one = 1;
    RTCI_IGNORE(write(f->bell, &one, sizeof(one)));
}

unsigned fake_executors(const struct fake *f)
{
    return f->n_execs;
}

void fake_reserve(struct fake *f, int on)
{
    f->reserved = on;
}

uint64_t fake_count(const struct fake *f, unsigned record_type)
{
    return f->counts[record_type & 127];
}
