/* Mapping and the two ring ends. See chan.h for the contract, internal.h for the layout. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/shm/internal.h"
#include "runtime/wire/wire.h"
#include <rtc/error.h>

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

int rtci_chan_check_file(int fd, uint64_t *ret_bytes)
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

static int writes_b(enum rtci_chan_end end)
{
    return end == RTCI_CHAN_DAEMON || end == RTCI_CHAN_CALLEE;
}

/* Where the two rings stand: as one who comes later, or again, finds them. */
static void take_positions(struct rtci_chan *chan)
{
    int out = writes_b(chan->end);
    chan->out_words = &chan->hdr->ring[out];
    chan->in_words = &chan->hdr->ring[!out];
    chan->out_reserved = chan->out_published = atomic_load(&chan->out_words->head);
    chan->out_tail = atomic_load(&chan->out_words->tail);
    if (chan->out_published - chan->out_tail > chan->cap)
        chan->out_tail = chan->out_published - chan->cap; /* a liar gets no room, and no more */
    chan->in_read = chan->in_consumed = chan->in_head = atomic_load(&chan->in_words->tail);
    chan->room_told = chan->in_consumed;
    chan->epoch = chan->hdr->info.daemon_epoch;
}

static int map_end(int fd, enum rtci_chan_end end, struct rtci_chan **ret_chan)
{
    uint64_t bytes;
    int rc = rtci_chan_check_file(fd, &bytes);
    if (rc)
        return rc;
    struct rtci_chan *chan = calloc(1, sizeof(*chan));
    if (!chan)
        return RTC_E_NOMEM;
    chan->end = end;
    chan->cap = bytes;
    int out = writes_b(end);
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

static int borrow_end(struct rtci_chan *chan, enum rtci_chan_end end, struct rtci_chan **ret_peer)
{
    struct rtci_chan *peer = malloc(sizeof(*peer));
    if (!peer)
        return RTC_E_NOMEM;
    *peer = (struct rtci_chan){
        .hdr = chan->hdr,
        .end = end,
        .borrows = true,
        .cap = chan->cap,
        .out = chan->in,
        .in = chan->out,
    };
    take_positions(peer);
    *ret_peer = peer;
    return 0;
}

int rtci_chan_open(int fd, enum rtci_chan_end end, int bell_fd, int wake_fd,
                   struct rtci_chan **ret_chan)
{
    RTCI_ASSERT(end == RTCI_CHAN_CLIENT || end == RTCI_CHAN_DAEMON);
    int rc = map_end(fd, end, ret_chan);
    if (rc)
        return rc;
    (*ret_chan)->bell_fd = bell_fd;
    (*ret_chan)->waker = (struct rtci_waker){&(*ret_chan)->hdr->wake, wake_fd};
    return 0;
}

int rtci_chan_open_peer(struct rtci_chan *chan, int bell_fd, int wake_fd,
                        struct rtci_chan **ret_peer)
{
    bool client = chan->end == RTCI_CHAN_CLIENT;
    int rc = borrow_end(chan, client ? RTCI_CHAN_DAEMON : RTCI_CHAN_CLIENT, ret_peer);
    if (rc)
        return rc;
    (*ret_peer)->bell_fd = bell_fd;
    (*ret_peer)->waker = (struct rtci_waker){&chan->hdr->wake, wake_fd};
    return 0;
}

int rtci_lane_open(int fd, enum rtci_chan_end end, const struct rtci_waker *peer,
                   struct rtci_chan **ret_lane)
{
    RTCI_ASSERT(end == RTCI_CHAN_CALLER || end == RTCI_CHAN_CALLEE);
    int rc = map_end(fd, end, ret_lane);
    if (rc)
        return rc;
    (*ret_lane)->bell_fd = -1;
    (*ret_lane)->waker = *peer;
    return 0;
}

int rtci_lane_open_peer(struct rtci_chan *lane, const struct rtci_waker *peer,
                        struct rtci_chan **ret_peer)
{
    bool caller = lane->end == RTCI_CHAN_CALLER;
    int rc = borrow_end(lane, caller ? RTCI_CHAN_CALLEE : RTCI_CHAN_CALLER, ret_peer);
    if (rc)
        return rc;
    (*ret_peer)->bell_fd = -1;
    (*ret_peer)->waker = *peer;
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
    /* Who waits for room looks without the lock. */
    __atomic_store_n(&chan->out_reserved, chan->out_reserved + size, __ATOMIC_RELAXED);
    return at;
}

void rtci_chan_unreserve(struct rtci_chan *chan, size_t size)
{
    RTCI_ASSERT(chan->out_reserved - chan->out_published >= size);
    __atomic_store_n(&chan->out_reserved, chan->out_reserved - size, __ATOMIC_RELAXED);
}

void rtci_chan_publish(struct rtci_chan *chan)
{
    __atomic_store_n(&chan->out_published, chan->out_reserved, __ATOMIC_RELAXED);
    atomic_store_explicit(&chan->out_words->head, chan->out_published, memory_order_release);
}

uint64_t rtci_chan_consumed(struct rtci_chan *chan)
{
    uint64_t tail = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    uint64_t published = __atomic_load_n(&chan->out_published, __ATOMIC_RELAXED);
    return tail > published ? published : tail;
}

uint64_t rtci_chan_written(struct rtci_chan *chan)
{
    return chan->out_published;
}

size_t rtci_chan_room(struct rtci_chan *chan)
{
    uint64_t used =
        __atomic_load_n(&chan->out_reserved, __ATOMIC_RELAXED) - rtci_chan_consumed(chan);
    return used > chan->cap ? 0 : chan->cap - used;
}

void rtci_lane_rewind(struct rtci_chan *lane)
{
    uint64_t at = lane->out_published & (lane->cap - 1);
    RTCI_ASSERT(lane->out_reserved == lane->out_published);
    if (at < RTCI_LANE_WARM ||
        atomic_load_explicit(&lane->out_words->tail, memory_order_acquire) != lane->out_published)
        return;
    lane->out_tail = lane->out_published;
    struct rtci_rec *skip = rtci_chan_reserve(lane, lane->cap - at);
    *skip = (struct rtci_rec){.size = (uint32_t)(lane->cap - at), .type = RTCI_LANE_SKIP};
}

size_t rtci_lane_capacity(const struct rtci_chan *lane)
{
    return lane->cap;
}

uint64_t rtci_lane_reserved(const struct rtci_chan *lane)
{
    return lane->out_reserved;
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

static void consumed(struct rtci_chan *chan)
{
    atomic_store_explicit(&chan->in_words->tail, chan->in_consumed, memory_order_release);
    if (chan->end == RTCI_CHAN_CLIENT)
        return; /* the daemon never sleeps for room of a ring */
    /* Of a lane each call is taken out by itself, so we do not look each time whether somebody
     * waits for room, but after an eighth of the ring, and when all that is known is taken out: who
     * takes on comes to one of the two. */
    if (chan->end != RTCI_CHAN_DAEMON && chan->in_consumed != chan->in_head &&
        chan->in_consumed - chan->room_told < chan->cap / 8)
        return;
    chan->room_told = chan->in_consumed;
    rtci_chan_tell_room(chan);
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
