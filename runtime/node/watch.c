/* Descriptors and the time to sleep, on libuv. Rings are not its business: they are looked at every
 * turn, and a peer that finds the daemon asleep writes the bell. */
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "runtime/node/daemon.h"

struct loop {
    uv_loop_t loop;
    uv_timer_t timer;
};
struct rtci_watch {
    uv_poll_t poll;
    struct rtci_daemon *daemon;
    uint64_t tag;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events; /* an error is found by whoever reads */
    struct rtci_watch *watch = poll->data;
    watch->daemon->on_event(watch->daemon, watch->tag);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timeout(uv_timer_t *timer)
{
    (void)timer; /* its only purpose is that uv_run() returns */
}

int rtci_daemon_loop_init(struct rtci_daemon *daemon)
{
    struct loop *made = calloc(1, sizeof(*made));
    if (!made || uv_loop_init(&made->loop)) {
        free(made);
        return -1;
    }
    RTCI_ASSERT(uv_timer_init(&made->loop, &made->timer) == 0); /* cannot fail */
    daemon->loop = &made->loop;
    daemon->timer = &made->timer;
    return 0;
}

struct rtci_watch *rtci_daemon_watch(struct rtci_daemon *daemon, int fd, uint64_t tag)
{
    struct rtci_watch *watch = calloc(1, sizeof(*watch));
    if (!watch || uv_poll_init(daemon->loop, &watch->poll, fd)) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->daemon = daemon;
    watch->tag = tag;
    RTCI_ASSERT(uv_poll_start(&watch->poll, UV_READABLE, on_readable) == 0); /* cannot fail */
    return watch;
}

void rtci_daemon_unwatch(struct rtci_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->poll, on_closed);
}

void rtci_daemon_wait(struct rtci_daemon *daemon, uint64_t timeout_ms)
{
    if (timeout_ms) {
        uv_update_time(daemon->loop); /* else the time counts from the last turn */
        uv_timer_start(daemon->timer, on_timeout, timeout_ms, 0);
    }
    uv_run(daemon->loop, timeout_ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}
