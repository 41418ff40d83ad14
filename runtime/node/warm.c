/* Touches memory of the arena ahead of its use, on a thread that runs when nothing else does. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/node/daemon.h"

#define QUEUE_MAX 8u /* what does not fit is touched by its writer */
#define STEP      (2 * RTCI_MIB)

struct range {
    uint64_t offset, size;
};
static struct { /* one daemon in a process */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool started;
    int fd;
    struct range queue[QUEUE_MAX];
    uint32_t head, len;
} warm = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

/* In steps, through a mapping of its own each: what is not mapped is not counted as the daemon's.
 */
static void touch(int fd, struct range range)
{
#ifdef MADV_POPULATE_WRITE
    for (uint64_t at = 0; at < range.size; at += STEP) {
        size_t len = range.size - at < STEP ? range.size - at : STEP;
        void *map =
            mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(range.offset + at));
        if (map == MAP_FAILED)
            return;
        int rc = madvise(map, len, MADV_POPULATE_WRITE);
        munmap(map, len);
        if (rc)
            return; /* no memory is left, or the kernel is too old: its writer will see */
    }
#else
    (void)fd, (void)range;
#endif
}

static void *warm_main(void *arg)
{
    (void)arg;
    struct sched_param param = {0};
    RTCI_IGNORE(sched_setscheduler(0, SCHED_IDLE, &param)); /* of this thread alone */
    for (;;) {
        pthread_mutex_lock(&warm.lock);
        while (!warm.len)
            pthread_cond_wait(&warm.cond, &warm.lock);
        struct range range = warm.queue[warm.head++ % QUEUE_MAX];
        warm.len--;
        pthread_mutex_unlock(&warm.lock);
        touch(warm.fd, range);
    }
    return NULL;
}

static bool start(int fd)
{
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attr;
    warm.fd = fd;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 64 * RTCI_KIB);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    warm.started = pthread_create(&thread, &attr, warm_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return warm.started;
}

void rtci_daemon_warm(struct rtci_daemon *daemon, uint64_t offset, uint64_t size)
{
    if (!warm.started && !start(daemon->arena_fd))
        return;
    pthread_mutex_lock(&warm.lock);
    if (warm.len < QUEUE_MAX)
        warm.queue[(warm.head + warm.len++) % QUEUE_MAX] = (struct range){offset, size};
    pthread_cond_signal(&warm.cond);
    pthread_mutex_unlock(&warm.lock);
}
