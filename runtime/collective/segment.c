/* The segment: its layout, its counters, and waiting for them. */
#include "runtime/collective/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"

/* All slots together should stay in the caches of a few cores. */
#define SLOT_BYTES_MAX   (128 * RTCI_KIB)
#define SLOT_BYTES_TOTAL (8 * RTCI_MIB)
#define SLOT_BLOCK_MIN   (4 * RTCI_KIB) /* of one member */
/* A sleeper looks after the others, and at the clock, as often. */
#define SLICE_NS  (20 * RTCI_NS_PER_MS)
#define SPINS_MIN 64u
#define SPINS_MAX 1024u /* some 25 us: about twice the cost of going to sleep and being woken */
#define SHORT_NS  50000u

uint64_t segment_now_ns(void)
{
    return rtci_clock_ns();
}

static uint64_t round_up(uint64_t x, uint64_t to)
{
    return (x + to - 1) / to * to;
}

static uint64_t slot_bytes(uint32_t size)
{
    uint64_t bytes = SLOT_BYTES_TOTAL / (SLOTS * size);
    bytes = bytes < SLOT_BYTES_MAX ? bytes : SLOT_BYTES_MAX;
    bytes = bytes > SLOT_BLOCK_MIN * size ? bytes : SLOT_BLOCK_MIN * size;
    return round_up(bytes, 4096);
}

int segment_create(uint32_t size, uint64_t epoch, const uint32_t *pids, uint64_t slot_size)
{
    uint64_t begin = round_up(sizeof(struct segment) + size * sizeof(struct member), 4096);
    uint64_t slot = slot_size ? slot_size : slot_bytes(size), bytes = begin + slot * SLOTS * size;
    int fd = memfd_create("rtc-group", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Memory that is not there shall be an error now, not a signal later. */
    struct segment *s = MAP_FAILED;
    if (ftruncate(fd, (off_t)bytes) == 0 && (errno = posix_fallocate(fd, 0, (off_t)bytes)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        s = mmap(NULL, begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }
    s->magic = COLLECTIVE_MAGIC;
    s->size = size;
    s->epoch = epoch;
    s->bytes = bytes;
    s->slot_bytes = slot;
    s->slots_offset = begin;
    for (uint32_t i = 0; i < size; i++)
        s->members[i].pid = pids[i];
    munmap(s, begin);
    return fd;
}

static uint32_t cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

struct rtci_collective *segment_map(int fd, uint32_t rank, uint32_t size, const int *pidfds)
{
    struct stat st;
    struct rtci_collective *c = calloc(1, sizeof(*c));
    if (!c || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(struct segment)) {
        free(c);
        errno = c ? EPROTO : ENOMEM;
        return NULL;
    }
    c->segment =
        mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (c->segment == MAP_FAILED) {
        free(c);
        return NULL;
    }
    const struct segment *s = c->segment;
    if (s->magic != COLLECTIVE_MAGIC || s->size != size || s->bytes != (uint64_t)st.st_size) {
        munmap(c->segment, (size_t)st.st_size);
        free(c);
        errno = EPROTO;
        return NULL;
    }
    c->rank = rank;
    c->size = size;
    c->kernels = rtci_kernels_best();
    /* With fewer CPUs than members, who looks keeps the one it waits for from running. */
    c->spins_max = cpus() >= size ? SPINS_MAX : 0;
    c->spins = c->spins_max;
    memcpy(c->pidfds, pidfds, size * sizeof(*pidfds));
    return c;
}

uint32_t rtci_collective_rank(const struct rtci_collective *c)
{
    return rank_of(c, c->rank);
}

uint32_t rtci_collective_size(const struct rtci_collective *c)
{
    return size_of_group(c);
}

uint64_t rtci_collective_epoch(const struct rtci_collective *c)
{
    return c->segment->epoch;
}

void rtci_collective_leave(struct rtci_collective *c)
{
    if (!c)
        return;
    atomic_store(&c->segment->members[c->rank].left, 1);
    wake_everybody(c);
    hosts_leave(c);
    for (uint32_t i = 0; i < c->size; i++) {
        if (c->pidfds[i] >= 0)
            close(c->pidfds[i]);
    }
    munmap(c->segment, c->segment->bytes);
    free(c);
}

/* ---- Counters ---- */
static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void counter_add(struct rtci_collective *c, enum counter_kind kind)
{
    struct member *member = &c->segment->members[c->rank];
    struct counter *counter = &member->counters[kind];
    uint32_t cpu = (uint32_t)sched_getcpu();
    if (RTCI_UNLIKELY(atomic_load_explicit(&member->cpu, memory_order_relaxed) != cpu))
        atomic_store_explicit(&member->cpu, cpu, memory_order_relaxed);
    atomic_fetch_add(&counter->value, 1);
    if (RTCI_UNLIKELY(atomic_load(&counter->sleepers)) && atomic_exchange(&counter->sleepers, 0))
        futex_wake(&counter->value);
}

void wake_everybody(struct rtci_collective *c)
{
    for (uint32_t i = 0; i < c->size; i++) {
        for (uint32_t k = 0; k < COUNTERS; k++)
            futex_wake(&c->segment->members[i].counters[k].value);
    }
}

static bool has_counted(const struct counter *counter, uint32_t target)
{
    uint32_t value = atomic_load_explicit(&counter->value, memory_order_acquire);
    return (int32_t)(value - target) >= 0;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool spin(const struct rtci_collective *c, const struct counter *counter, uint32_t target)
{
    for (uint32_t i = 0; i < c->spins; i++) {
        if (has_counted(counter, target))
            return true;
        relax();
    }
    return false;
}

/* Looking for longer pays where the sleep was hardly longer than it takes to wake up. */
static void adapt(struct rtci_collective *c, uint64_t slept_ns)
{
    c->spins = slept_ns < SHORT_NS ? c->spins * 2 : c->spins / 2;
    c->spins = c->spins > SPINS_MIN ? c->spins : SPINS_MIN;
    c->spins = c->spins < c->spins_max ? c->spins : c->spins_max;
}

/* Who looks keeps one that was last seen on the same CPU from running. */
static bool is_beside(const struct rtci_collective *c, uint32_t rank)
{
    return (uint32_t)sched_getcpu() !=
           atomic_load_explicit(&c->segment->members[rank].cpu, memory_order_relaxed);
}

static int sleep_for(struct rtci_collective *c, enum counter_kind kind, struct counter *counter,
                     uint32_t rank, uint32_t target)
{
    while (!has_counted(counter, target)) {
        if (is_broken(c))
            return breakage_code(c);
        uint64_t now = segment_now_ns();
        if (now >= c->deadline_ns)
            return break_group(c, BROKEN_TIMEOUT, rank_of(c, c->rank), late_of(c, rank), NULL);
        uint64_t ns = c->deadline_ns - now < SLICE_NS ? c->deadline_ns - now : SLICE_NS;
        struct timespec slice = {.tv_nsec = (long)ns};
        atomic_store(&counter->sleepers, 1);
        uint32_t seen = atomic_load(&counter->value);
        if ((int32_t)(seen - target) >= 0)
            break;
        if (syscall(SYS_futex, &counter->value, FUTEX_WAIT, seen, &slice, NULL, 0) < 0 &&
            errno == ETIMEDOUT) {
            int rc = check_others(c, kind, target);
            rc = rc == 0 && c->hosts ? hosts_look(c, rank_of(c, rank)) : rc;
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int wait_one(struct rtci_collective *c, uint32_t rank, enum counter_kind kind, uint32_t target)
{
    struct counter *counter = &c->segment->members[rank].counters[kind];
    if (RTCI_LIKELY(has_counted(counter, target)))
        return 0;
    bool beside = is_beside(c, rank);
    if (beside && spin(c, counter, target))
        return 0;
    uint64_t before = segment_now_ns();
    int rc = check_others(c, kind, target); /* those who are gone are not slept for */
    if (rc == 0)
        rc = sleep_for(c, kind, counter, rank, target);
    if (beside)
        adapt(c, segment_now_ns() - before);
    return rc;
}

int wait_all(struct rtci_collective *c, enum counter_kind kind, uint32_t target)
{
    for (uint32_t i = 1; i < c->size; i++) {
        uint32_t rank = c->rank + i < c->size ? c->rank + i : c->rank + i - c->size;
        int rc = wait_one(c, rank, kind, target);
        if (RTCI_UNLIKELY(rc < 0))
            return rc;
    }
    return 0;
}

bool all_counted(const struct rtci_collective *c, enum counter_kind kind, uint32_t target)
{
    for (uint32_t i = 0; i < c->size; i++) {
        if (i != c->rank && !has_counted(&c->segment->members[i].counters[kind], target))
            return false;
    }
    return true;
}
