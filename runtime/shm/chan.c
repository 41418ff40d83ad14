/* Mapping and the two ring ends. See chan.h for the contract.
 *
 * Layout of the memory file: one page of header, ring A (client to daemon), ring B (daemon to
 * client). Positions count bytes ever written or consumed; their difference is the fill. Each ring
 * is mapped twice in a row, so that a span never wraps.
 *
 * Sleeping is Dekker's handshake. Sleeper: store `sleeping`, full fence, look at the ring again.
 * Waker: store `head`, full fence, look at `sleeping`. One of the two sees the other.
 */
#include "runtime/shm/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/wire/actor.h"
#include <rtc/error.h>

#define CHAN_MAGIC  0x52544343u
#define HEADER_SIZE 4096u

/* ASLEEP waits for records, ASLEEP_ROOM also for the daemon to consume. */
enum { AWAKE = 0, ASLEEP = 1, ASLEEP_FD = 2, ASLEEP_ROOM = 3 };

struct ring_words {
    _Alignas(128) _Atomic uint64_t head; /* producer: bytes published; pairs with the peer's peek */
    _Alignas(128) _Atomic uint64_t tail; /* consumer: bytes consumed; pairs with reserve */
};

struct chan_header {
    uint32_t magic;
    uint32_t version;
    uint64_t bytes;
    _Alignas(128) struct rtci_chan_info info;
    struct ring_words ring[2]; /* 0: to the daemon, 1: to the client */
    _Alignas(128) _Atomic uint32_t daemon_sleeping;
    _Alignas(128) _Atomic uint32_t client_sleeping; /* futex word */
    _Atomic uint32_t kicks;
};
_Static_assert(sizeof(struct chan_header) <= HEADER_SIZE, "the header is one page");

struct rtci_chan {
    struct chan_header *hdr;
    enum rtci_chan_end end;
    bool borrows; /* the mapping is the other end's */
    int bell_fd, wake_fd;
    uint64_t cap;
    /* Producer's side, private. */
    uint8_t *out;
    struct ring_words *out_words;
    uint64_t out_reserved, out_published,
        out_tail; /* out_tail: last seen, never ahead of the truth */
    /* Consumer's side, private. */
    uint8_t *in;
    struct ring_words *in_words;
    uint64_t in_read, in_consumed, in_head;
    uint32_t epoch;   /* last seen daemon_epoch (CLIENT) */
    uint32_t spin_ns; /* how long spinning pays at present */
};

#define SPIN_MAX_NS 20000u

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

int rtci_chan_create(size_t bytes)
{
    if (bytes < 4096 || (bytes & (bytes - 1)))
        return RTC_E_INVALID;
    int fd = memfd_create("rtc-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return RTC_E_OS;
    struct chan_header first = {.magic = CHAN_MAGIC, .version = RTCI_WIRE_VERSION, .bytes = bytes};
    if (ftruncate(fd, (off_t)(HEADER_SIZE + 2 * bytes)) ||
        pwrite(fd, &first, sizeof(first), 0) != (ssize_t)sizeof(first) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        close(fd);
        return RTC_E_OS;
    }
    return fd;
}

/* Maps `bytes` of fd at `offset` twice in a row. */
static uint8_t *map_mirrored(int fd, off_t offset, size_t bytes)
{
    uint8_t *at =
        mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (mmap(at + (size_t)i * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                 offset) == MAP_FAILED) {
            munmap(at, 2 * bytes);
            return NULL;
        }
    }
    madvise(at, 2 * bytes, MADV_DONTFORK);
    return at;
}

/* The file is what rtci_chan_create made: sealed, so that it cannot shrink under us. */
static int check_file(int fd, uint64_t *ret_bytes)
{
    struct stat st;
    struct chan_header head;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st))
        return RTC_E_PROTOCOL;
    if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) || head.magic != CHAN_MAGIC)
        return RTC_E_PROTOCOL;
    if (head.version != RTCI_WIRE_VERSION)
        return RTC_E_VERSION;
    uint64_t bytes = head.bytes;
    if (bytes < 4096 || bytes > RTCI_RING_BYTES * 4 || (bytes & (bytes - 1)) ||
        (uint64_t)st.st_size < HEADER_SIZE + 2 * bytes)
        return RTC_E_PROTOCOL;
    *ret_bytes = bytes;
    return 0;
}

/* Where the two rings stand: as one who comes later, or again, finds them. */
static void take_positions(struct rtci_chan *chan)
{
    int out = chan->end == RTCI_CHAN_CLIENT ? 0 : 1;
    chan->out_words = &chan->hdr->ring[out];
    chan->in_words = &chan->hdr->ring[!out];
    chan->out_reserved = chan->out_published = atomic_load(&chan->out_words->head);
    chan->out_tail = atomic_load(&chan->out_words->tail);
    if (chan->out_published - chan->out_tail > chan->cap)
        chan->out_tail = chan->out_published - chan->cap; /* a liar gets no room, and no more */
    chan->in_read = chan->in_consumed = chan->in_head = atomic_load(&chan->in_words->tail);
    chan->epoch = chan->hdr->info.daemon_epoch;
}

int rtci_chan_open(int fd, enum rtci_chan_end end, int bell_fd, int wake_fd,
                   struct rtci_chan **ret_chan)
{
    uint64_t bytes;
    int rc = check_file(fd, &bytes);
    if (rc)
        return rc;
    struct rtci_chan *chan = calloc(1, sizeof(*chan));
    if (!chan)
        return RTC_E_NOMEM;
    chan->end = end;
    chan->bell_fd = bell_fd;
    chan->wake_fd = wake_fd;
    chan->cap = bytes;
    int out = end == RTCI_CHAN_CLIENT ? 0 : 1;
    void *hdr = mmap(NULL, HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    chan->hdr = hdr == MAP_FAILED ? NULL : hdr;
    chan->out = map_mirrored(fd, (off_t)(HEADER_SIZE + (uint64_t)out * bytes), bytes);
    chan->in = map_mirrored(fd, (off_t)(HEADER_SIZE + (uint64_t)!out * bytes), bytes);
    if (!chan->hdr || !chan->out || !chan->in) {
        rtci_chan_close(chan);
        return RTC_E_NOMEM;
    }
    madvise(hdr, HEADER_SIZE, MADV_DONTFORK);
    take_positions(chan);
    *ret_chan = chan;
    return 0;
}

int rtci_chan_open_peer(struct rtci_chan *chan, int bell_fd, int wake_fd,
                        struct rtci_chan **ret_peer)
{
    struct rtci_chan *peer = malloc(sizeof(*peer));
    if (!peer)
        return RTC_E_NOMEM;
    *peer = (struct rtci_chan){
        .hdr = chan->hdr,
        .end = chan->end == RTCI_CHAN_CLIENT ? RTCI_CHAN_DAEMON : RTCI_CHAN_CLIENT,
        .borrows = true,
        .bell_fd = bell_fd,
        .wake_fd = wake_fd,
        .cap = chan->cap,
        .out = chan->in,
        .in = chan->out,
    };
    take_positions(peer);
    *ret_peer = peer;
    return 0;
}

void rtci_chan_close(struct rtci_chan *chan)
{
    if (!chan)
        return;
    if (chan->hdr && !chan->borrows)
        munmap(chan->hdr, HEADER_SIZE);
    if (chan->out && !chan->borrows)
        munmap(chan->out, 2 * chan->cap);
    if (chan->in && !chan->borrows)
        munmap(chan->in, 2 * chan->cap);
    free(chan);
}

volatile struct rtci_chan_info *rtci_chan_info(struct rtci_chan *chan)
{
    return &chan->hdr->info;
}

/* ---- Producer ---- */

void *rtci_chan_reserve(struct rtci_chan *chan, size_t size)
{
    RTCI_ASSERT(size % 8 == 0 && size <= chan->cap);
    if (RTCI_UNLIKELY(chan->out_reserved + size - chan->out_tail > chan->cap)) {
        /* Acquire pairs with the consumer's release in consume: it is done with those bytes. */
        uint64_t tail = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
        if (tail - chan->out_tail <= chan->out_published - chan->out_tail)
            chan->out_tail = tail;
        if (chan->out_reserved + size - chan->out_tail > chan->cap)
            return NULL;
    }
    void *at = chan->out + (chan->out_reserved & (chan->cap - 1));
    chan->out_reserved += size;
    return at;
}

void rtci_chan_unreserve(struct rtci_chan *chan, size_t size)
{
    RTCI_ASSERT(chan->out_reserved - chan->out_published >= size);
    chan->out_reserved -= size;
}

void rtci_chan_publish(struct rtci_chan *chan)
{
    chan->out_published = chan->out_reserved;
    atomic_store_explicit(&chan->out_words->head, chan->out_published, memory_order_release);
}

static void write_event(int fd)
{
    uint64_t one = 1;
    if (fd >= 0)
        RTCI_IGNORE(write(fd, &one, sizeof(one)));
}

static void wake_client(struct rtci_chan *chan)
{
    uint32_t state = atomic_load_explicit(&chan->hdr->client_sleeping, memory_order_relaxed);
    if (state == AWAKE)
        return;
    state = atomic_exchange(&chan->hdr->client_sleeping, AWAKE);
    if (state == ASLEEP || state == ASLEEP_ROOM)
        futex(&chan->hdr->client_sleeping, FUTEX_WAKE, 1, NULL);
    else if (state == ASLEEP_FD)
        write_event(chan->wake_fd);
}

void rtci_chan_ring(struct rtci_chan *chan)
{
    atomic_thread_fence(memory_order_seq_cst); /* our head before their sleeping */
    if (chan->end == RTCI_CHAN_DAEMON) {
        wake_client(chan);
    } else if (atomic_load_explicit(&chan->hdr->daemon_sleeping, memory_order_relaxed)) {
        if (atomic_exchange(&chan->hdr->daemon_sleeping, 0))
            write_event(chan->bell_fd);
    }
}

uint64_t rtci_chan_consumed(struct rtci_chan *chan)
{
    uint64_t tail = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    return tail > chan->out_published ? chan->out_published : tail;
}

uint64_t rtci_chan_written(struct rtci_chan *chan)
{
    return chan->out_published;
}

size_t rtci_chan_room(struct rtci_chan *chan)
{
    uint64_t used = chan->out_reserved - rtci_chan_consumed(chan);
    return used > chan->cap ? 0 : chan->cap - used;
}

/* ---- Consumer ---- */

int rtci_chan_peek(struct rtci_chan *chan, const void **ret_span, size_t *ret_len)
{
    if (chan->in_head == chan->in_read) {
        uint64_t head = atomic_load_explicit(&chan->in_words->head, memory_order_acquire);
        if (head - chan->in_consumed > chan->cap ||
            head - chan->in_consumed < chan->in_read - chan->in_consumed || head % 8)
            return RTC_E_PROTOCOL;
        chan->in_head = head;
    }
    *ret_span = chan->in + (chan->in_read & (chan->cap - 1));
    *ret_len = chan->in_head - chan->in_read;
    return 0;
}

void rtci_chan_advance(struct rtci_chan *chan, size_t bytes)
{
    RTCI_ASSERT(bytes <= chan->in_head - chan->in_read);
    chan->in_read += bytes;
}

/* A producer that sleeps for room is woken; the daemon never sleeps for room of a ring. */
static void consumed(struct rtci_chan *chan)
{
    atomic_store_explicit(&chan->in_words->tail, chan->in_consumed, memory_order_release);
    if (chan->end == RTCI_CHAN_DAEMON) {
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&chan->hdr->client_sleeping, memory_order_relaxed) == ASLEEP_ROOM)
            wake_client(chan);
    }
}

void rtci_chan_consume(struct rtci_chan *chan)
{
    if (chan->in_consumed == chan->in_read)
        return;
    chan->in_consumed = chan->in_read;
    consumed(chan);
}

uint64_t rtci_chan_position(struct rtci_chan *chan)
{
    return chan->in_read;
}

void rtci_chan_consume_to(struct rtci_chan *chan, uint64_t position)
{
    if (position - chan->in_consumed > chan->in_read - chan->in_consumed ||
        position == chan->in_consumed)
        return;
    RTCI_ASSERT(position % 8 == 0);
    chan->in_consumed = position;
    consumed(chan);
}

bool rtci_chan_readable(struct rtci_chan *chan)
{
    if (chan->in_head != chan->in_read)
        return true;
    if (atomic_load_explicit(&chan->in_words->head, memory_order_acquire) != chan->in_read)
        return true;
    volatile struct rtci_chan_info *info = &chan->hdr->info;
    if (chan->end == RTCI_CHAN_CLIENT && (info->daemon_epoch != chan->epoch || info->closed)) {
        chan->epoch = info->daemon_epoch;
        return true;
    }
    return false;
}

static bool wanted(struct rtci_chan *chan, size_t room)
{
    return rtci_chan_readable(chan) || (room && rtci_chan_room(chan) >= room);
}

/* True when what was waited for came while spinning. Learns whether spinning pays. */
static bool spin(struct rtci_chan *chan, size_t room, uint64_t start)
{
    uint64_t until = start + (chan->spin_ns < 1000 ? 1000 : chan->spin_ns);
    do {
        for (int i = 0; i < 16; i++) {
            if (wanted(chan, room)) {
                if (chan->spin_ns < SPIN_MAX_NS)
                    chan->spin_ns += 1 + chan->spin_ns / 4 + 500;
                return true;
            }
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    } while (now_ns() < until);
    chan->spin_ns -= chan->spin_ns / 4;
    return false;
}

int rtci_chan_wait(struct rtci_chan *chan, size_t room, uint64_t deadline_ns)
{
    RTCI_ASSERT(chan->end == RTCI_CHAN_CLIENT);
    if (wanted(chan, room))
        return 0;
    uint64_t now = now_ns();
    if (now >= deadline_ns)
        return RTC_E_TIMEOUT;
    uint32_t kicks = atomic_load(&chan->hdr->kicks);
    if (spin(chan, room, now))
        return 0;
    uint32_t asleep = room ? ASLEEP_ROOM : ASLEEP;
    atomic_store(&chan->hdr->client_sleeping, asleep);
    atomic_thread_fence(memory_order_seq_cst);
    if (!wanted(chan, room) && kicks == atomic_load(&chan->hdr->kicks)) {
        now = now_ns();
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
        if (left > RTCI_NS_PER_S)
            left = RTCI_NS_PER_S;
        struct timespec t = {(time_t)(left / RTCI_NS_PER_S), (long)(left % RTCI_NS_PER_S)};
        futex(&chan->hdr->client_sleeping, FUTEX_WAIT, asleep, &t);
    }
    atomic_store_explicit(&chan->hdr->client_sleeping, AWAKE, memory_order_relaxed);
    if (wanted(chan, room) || now_ns() < deadline_ns)
        return 0;
    return RTC_E_TIMEOUT;
}

void rtci_chan_arm_fd(struct rtci_chan *chan)
{
    atomic_store(&chan->hdr->client_sleeping, ASLEEP_FD);
    atomic_thread_fence(memory_order_seq_cst);
    if (rtci_chan_readable(chan) &&
        atomic_exchange(&chan->hdr->client_sleeping, AWAKE) == ASLEEP_FD)
        write_event(chan->wake_fd);
}

void rtci_chan_kick(struct rtci_chan *chan)
{
    atomic_fetch_add(&chan->hdr->kicks, 1);
    wake_client(chan);
}

bool rtci_chan_arm(struct rtci_chan *chan)
{
    atomic_store_explicit(&chan->hdr->daemon_sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* our sleeping before their head */
    return atomic_load_explicit(&chan->in_words->head, memory_order_acquire) != chan->in_read;
}

void rtci_chan_disarm(struct rtci_chan *chan)
{
    atomic_store_explicit(&chan->hdr->daemon_sleeping, 0, memory_order_relaxed);
}

/* ---- Claims ---- */

static _Atomic uint16_t *claim_word(void *rec)
{
    return (_Atomic uint16_t *)&((struct rtci_rec *)rec)->flags;
}

bool rtci_chan_claim(struct rtci_chan *chan, const void *rec)
{
    (void)chan;
    uint16_t expect = RTCI_CLAIM_QUEUED;
    return atomic_compare_exchange_strong(claim_word((void *)(uintptr_t)rec), &expect,
                                          RTCI_CLAIM_CLAIMED);
}

/* What an ACTOR_START in the ring says of restarts: it was checked when it was written, but may
 * have been written over since. */
static uint32_t start_of(const uint8_t *at, const struct rtci_spec *spec)
{
    struct rtci_actor_options options;
    uint64_t offset = sizeof(*spec) + (uint64_t)spec->n_refs * sizeof(struct rtci_id) +
                      (uint64_t)spec->n_args * sizeof(struct rtci_arg) +
                      RTCI_ALIGN8((uint64_t)spec->data_size);
    if (offset + sizeof(options) > spec->rec.size)
        return RTCI_CHAN_ACTOR;
    memcpy(&options, at + offset, sizeof(options));
    return options.max_restarts ? RTCI_CHAN_ACTOR_RESTARTS : RTCI_CHAN_ACTOR;
}

int rtci_chan_tasks(struct rtci_chan *chan, struct rtci_chan_task *ret_tasks, uint32_t cap)
{
    RTCI_ASSERT(chan->end == RTCI_CHAN_DAEMON);
    uint64_t at = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    if (chan->out_published - at > chan->cap || at % 8)
        return RTC_E_PROTOCOL;
    uint32_t n = 0;
    volatile struct rtci_chan_info *info = &chan->hdr->info;
    uint32_t running = info->running_client;
    atomic_thread_fence(memory_order_acquire); /* written last by the executor */
    if (running != 0) {
        if (n < cap)
            ret_tasks[n] = (struct rtci_chan_task){.position = at,
                                                   .seq = info->running_seq,
                                                   .client = running,
                                                   .attempt = info->running_attempt,
                                                   .slot = info->running_slot,
                                                   .actor = info->running_actor,
                                                   .state = RTCI_CLAIM_CLAIMED};
        n++;
    }
    while (at != chan->out_published) {
        uint8_t *rec_at = chan->out + (at & (chan->cap - 1));
        struct rtci_spec spec;
        memcpy(&spec.rec, rec_at, sizeof(spec.rec));
        uint64_t left = chan->out_published - at;
        if (spec.rec.size < sizeof(spec.rec) || spec.rec.size % 8 || spec.rec.size > left)
            return RTC_E_PROTOCOL;
        bool start = spec.rec.type == RTCI_R_ACTOR_START;
        if ((spec.rec.type == RTCI_R_TASK || start) && spec.rec.size >= sizeof(spec)) {
            memcpy(&spec, rec_at, sizeof(spec));
            if (n < cap) {
                uint16_t state = atomic_load(claim_word(rec_at));
                ret_tasks[n] = (struct rtci_chan_task){at,
                                                       spec.seq,
                                                       spec.client,
                                                       spec.attempt,
                                                       spec.slot,
                                                       state,
                                                       start ? start_of(rec_at, &spec) : 0};
            }
            n++;
        }
        at += spec.rec.size;
    }
    return (int)n;
}

static bool among(const struct rtci_chan_caller *callers, uint32_t n, uint32_t client)
{
    while (n-- > 0) {
        if (callers[n].client == client)
            return true;
    }
    return false;
}

int rtci_chan_callers(struct rtci_chan *chan, struct rtci_chan_caller *ret_callers, uint32_t cap)
{
    volatile struct rtci_chan_info *info = &chan->hdr->info;
    uint32_t n = 0;
    for (uint32_t i = 0; i < RTCI_CHAN_CALLERS && n < cap; i++) {
        struct rtci_chan_caller caller = {.client = info->callers[i].client};
        atomic_thread_fence(memory_order_acquire); /* written last by the executor */
        caller.node = info->callers[i].node;
        caller.begun = info->callers[i].begun;
        if (caller.client)
            ret_callers[n++] = caller;
    }
    if (info->more_callers)
        return (int)n; /* of whom nothing is known */
    uint64_t at = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    if (chan->out_published - at > chan->cap || at % 8)
        return RTC_E_PROTOCOL;
    while (at != chan->out_published && n < cap) {
        const uint8_t *rec_at = chan->out + (at & (chan->cap - 1));
        struct rtci_spec spec;
        struct rtci_call call;
        memcpy(&spec.rec, rec_at, sizeof(spec.rec));
        if (spec.rec.size < sizeof(spec.rec) || spec.rec.size % 8 ||
            spec.rec.size > chan->out_published - at)
            return RTC_E_PROTOCOL;
        at += spec.rec.size;
        if (spec.rec.type != RTCI_R_ACTOR_CALL || spec.rec.size < sizeof(spec) + sizeof(call))
            continue;
        memcpy(&spec, rec_at, sizeof(spec));
        memcpy(&call, rec_at + spec.rec.size - sizeof(call), sizeof(call)); /* it ends the record */
        if (call.order && !among(ret_callers, n, spec.client))
            ret_callers[n++] = (struct rtci_chan_caller){spec.client, call.caller_node, 0};
    }
    return (int)n;
}

bool rtci_chan_recall(struct rtci_chan *chan, const struct rtci_chan_task *task)
{
    uint16_t expect = RTCI_CLAIM_QUEUED;
    return atomic_compare_exchange_strong(
        claim_word(chan->out + (task->position & (chan->cap - 1))), &expect, RTCI_CLAIM_RECALLED);
}
