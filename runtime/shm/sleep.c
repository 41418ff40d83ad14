/* Sleeping and waking.
 *
 * It is Dekker's handshake. Sleeper: store `sleeping`, full fence, look at the rings again. Waker:
 * store `head`, full fence, look at `sleeping`. One of the two sees the other. A process has one
 * word to sleep on, whatever it waits for: its daemon, and the peers of its lanes, wake it there.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/shm/internal.h"
#include <rtc/error.h>

#define SPIN_MIN_NS   1000u
#define SPIN_MAX_NS   20000u
#define SPIN_PROBE    128u   /* one wait of so many spins longer, to see whether that pays now */
#define SPIN_GAP_NS   50000u /* between two looks: somebody else had this core */
#define SPIN_PAUSE_NS 10000000u

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void write_event(int fd)
{
    uint64_t one = 1;
    if (fd >= 0)
        RTCI_IGNORE(write(fd, &one, sizeof(one)));
}

/* ---- Wakers ---- */
int rtci_waker_open(int chan_fd, int wake_fd, struct rtci_waker *ret_waker)
{
    uint64_t bytes;
    int rc = rtci_chan_check_file(chan_fd, &bytes);
    if (rc)
        return rc;
    void *at = mmap(NULL, WAKE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, chan_fd, WAKE_OFFSET);
    if (at == MAP_FAILED)
        return RTC_E_NOMEM;
    madvise(at, WAKE_SIZE, MADV_DONTFORK);
    *ret_waker = (struct rtci_waker){at, wake_fd};
    return 0;
}

struct rtci_waker rtci_waker_of(struct rtci_chan *chan)
{
    return chan->waker;
}

void rtci_waker_close(struct rtci_waker *waker)
{
    if (!waker->words)
        return;
    munmap(waker->words, WAKE_SIZE);
    if (waker->fd >= 0)
        close(waker->fd);
    *waker = (struct rtci_waker){NULL, -1};
}

/* After a full fence behind what was stored for it. */
static void wake(const struct rtci_waker *waker)
{
    struct rtci_wake_words *words = waker->words;
    uint32_t state = atomic_load_explicit(&words->sleeping, memory_order_relaxed);
    if (state == AWAKE)
        return;
    state = atomic_exchange(&words->sleeping, AWAKE);
    if (state == ASLEEP || state == ASLEEP_ROOM)
        futex(&words->sleeping, FUTEX_WAKE, 1, NULL);
    else if (state == ASLEEP_FD)
        write_event(waker->fd);
}

void rtci_chan_ring(struct rtci_chan *chan)
{
    atomic_thread_fence(memory_order_seq_cst); /* our head before their sleeping */
    if (chan->end != RTCI_CHAN_CLIENT) {
        wake(&chan->waker);
    } else if (atomic_load_explicit(&chan->hdr->daemon_sleeping, memory_order_relaxed)) {
        if (atomic_exchange(&chan->hdr->daemon_sleeping, 0))
            write_event(chan->bell_fd);
    }
}

void rtci_chan_tell_room(struct rtci_chan *chan)
{
    atomic_thread_fence(memory_order_seq_cst); /* our tail before their sleeping */
    if (atomic_load_explicit(&chan->waker.words->sleeping, memory_order_relaxed) == ASLEEP_ROOM)
        wake(&chan->waker);
}

void rtci_chan_kick(struct rtci_chan *chan)
{
    atomic_fetch_add(&chan->waker.words->kicks, 1);
    wake(&chan->waker);
}

/* ---- The client waits ---- */
void rtci_chan_watch(struct rtci_chan *chan, bool (*fn)(void *arg), void *arg)
{
    RTCI_ASSERT(chan->end == RTCI_CHAN_CLIENT);
    chan->also = fn;
    chan->also_arg = arg;
}

static bool wanted(struct rtci_chan *chan, size_t room)
{
    return rtci_chan_readable(chan) || (room && rtci_chan_room(chan) >= room) ||
           (chan->also && chan->also(chan->also_arg));
}

/* Spinning costs nobody anything but this core. Where others want it, they are let. */
static uint32_t spin_for(struct rtci_chan *chan, uint64_t now)
{
    if (now < chan->no_spin_until)
        return 0;
    if (++chan->waits % SPIN_PROBE == 0)
        return SPIN_MAX_NS;
    return chan->spin_ns < SPIN_MIN_NS ? SPIN_MIN_NS : chan->spin_ns;
}

/* True when what was waited for came while spinning. Learns whether spinning pays. */
static bool spin(struct rtci_chan *chan, size_t room, uint64_t start)
{
    uint32_t budget = spin_for(chan, start);
    uint64_t now = start, last;
    if (budget == 0)
        return false;
    do {
        for (int i = 0; i < 16; i++) {
            if (wanted(chan, room)) {
                uint64_t pays = 2 * (now - start) + SPIN_MIN_NS;
                if (pays > chan->spin_ns)
                    chan->spin_ns = pays < SPIN_MAX_NS ? (uint32_t)pays : SPIN_MAX_NS;
                return true;
            }
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        last = now;
        now = now_ns();
    } while (now - start < budget);
    chan->spin_ns -= chan->spin_ns / 4;
    if (now - last > SPIN_GAP_NS)
        chan->no_spin_until = now + SPIN_PAUSE_NS;
    return false;
}

/* Since the last wait. What it was about, the waiter looks at when it has returned. */
static bool kicked(struct rtci_chan *chan)
{
    uint32_t kicks = atomic_load(&chan->waker.words->kicks);
    bool news = kicks != chan->kicks;
    chan->kicks = kicks;
    return news;
}

int rtci_chan_wait(struct rtci_chan *chan, size_t room, uint64_t deadline_ns)
{
    RTCI_ASSERT(chan->end == RTCI_CHAN_CLIENT);
    if (wanted(chan, room))
        return 0;
    uint64_t now = now_ns();
    if (now >= deadline_ns)
        return RTC_E_TIMEOUT;
    struct rtci_wake_words *words = chan->waker.words;
    if (kicked(chan) || spin(chan, room, now))
        return 0;
    uint32_t asleep = room ? ASLEEP_ROOM : ASLEEP;
    atomic_store(&words->sleeping, asleep);
    atomic_thread_fence(memory_order_seq_cst);
    if (!wanted(chan, room) && chan->kicks == atomic_load(&words->kicks)) {
        now = now_ns();
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
        if (left > RTCI_NS_PER_S)
            left = RTCI_NS_PER_S;
        struct timespec t = {(time_t)(left / RTCI_NS_PER_S), (long)(left % RTCI_NS_PER_S)};
        futex(&words->sleeping, FUTEX_WAIT, asleep, &t);
    }
    atomic_store_explicit(&words->sleeping, AWAKE, memory_order_relaxed);
    if (kicked(chan))
        return 0;
    if (wanted(chan, room) || now_ns() < deadline_ns)
        return 0;
    return RTC_E_TIMEOUT;
}

void rtci_chan_arm_fd(struct rtci_chan *chan)
{
    atomic_store(&chan->waker.words->sleeping, ASLEEP_FD);
    atomic_thread_fence(memory_order_seq_cst);
    if (wanted(chan, 0) && atomic_exchange(&chan->waker.words->sleeping, AWAKE) == ASLEEP_FD)
        write_event(chan->waker.fd);
}

/* ---- The daemon waits, elsewhere ---- */
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
