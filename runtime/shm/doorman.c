/* The doorman's thread, and what its owner asks of it. See doorman.h.
 *
 * Who may touch what: everything of a lane before it is OPEN or REFUSED, its socket, and the list
 * of all are the thread's; the ring from OPEN on is the owner's, until it retires the lane. The two
 * lists between them have a mutex.
 */
#include "runtime/shm/doorman.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/base/log.h"
#include "runtime/shm/fds.h"
#include "runtime/shm/internal.h"
#include "runtime/shm/meet.h"
#include "runtime/wire/wire.h"
#include <rtc/error.h>

#define STACK_BYTES (256u * 1024)
#define EVENTS      32
#define REST_NS     (100 * RTCI_NS_PER_MS) /* nothing is accepted for a while: no descriptors */

struct entry {
    struct rtci_lane lane;
    /* The thread's. */
    struct entry *next, **at; /* of all */
    int sock, file;           /* file: memory of the lane, until the answer */
    uint64_t until;           /* MEETING: the answer comes by then */
    struct rtci_waker waker;
    /* Under the mutex. */
    struct entry *next_todo, *next_come;
    bool todo, retired;
};

struct rtci_doorman {
    struct rtci_doorman_config config; /* descriptors: its own */
    pthread_t thread;
    int epoll, event;
    _Atomic bool news;
    /* The thread's. */
    struct entry *all;
    uint32_t meeting;
    uint64_t rest_until;
    /* Under the mutex. */
    pthread_mutex_t mutex;
    struct entry *todo, **todo_tail;
    struct entry *come, **come_tail;
    uint32_t n;
    int listener; /* -1; set once */
    bool stop;
};

static void tell(struct rtci_doorman *d)
{
    atomic_store(&d->news, true);
    rtci_chan_kick(d->config.chan);
}

static void set_state(struct rtci_doorman *d, struct entry *e, enum rtci_lane_state state)
{
    if (atomic_load_explicit(&e->lane.state, memory_order_relaxed) == RTCI_LANE_MEETING)
        d->meeting--;
    atomic_store_explicit(&e->lane.state, state, memory_order_release);
}

static int watch(struct rtci_doorman *d, int fd, void *ptr)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = ptr};
    return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? RTC_E_OS : 0;
}

static void unwatch(struct rtci_doorman *d, int fd)
{
    epoll_ctl(d->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- Lanes ---- */
static struct entry *new_entry(struct rtci_doorman *d, bool caller)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    pthread_mutex_lock(&d->mutex);
    bool full = d->n == RTCI_LANES_MAX;
    d->n += !full;
    pthread_mutex_unlock(&d->mutex);
    if (full) {
        free(e);
        return NULL;
    }
    e->sock = e->file = e->waker.fd = -1;
    e->lane.caller = caller;
    return e;
}

static void link_entry(struct rtci_doorman *d, struct entry *e)
{
    e->next = d->all;
    e->at = &d->all;
    if (d->all)
        d->all->at = &e->next;
    d->all = e;
    d->meeting++;
    e->until = now_ns() + RTCI_LANE_MEET_NS;
}

static void free_entry(struct rtci_doorman *d, struct entry *e)
{
    if (atomic_load_explicit(&e->lane.state, memory_order_relaxed) == RTCI_LANE_MEETING && e->at)
        d->meeting--;
    if (e->at)
        *e->at = e->next;
    if (e->next)
        e->next->at = e->at;
    rtci_chan_close(e->lane.ring);
    rtci_waker_close(&e->waker);
    rtci_fds_close((int[]){e->sock, e->file}, 2);
    free(e);
    pthread_mutex_lock(&d->mutex);
    d->n--;
    pthread_mutex_unlock(&d->mutex);
}

static int send_message(struct rtci_doorman *d, struct entry *e, const void *message, size_t size)
{
    int fds[3];
    uint32_t n = 0;
    if (e->file >= 0)
        fds[n++] = e->file;
    fds[n++] = d->config.chan_fd;
    if (d->config.wake_fd >= 0)
        fds[n++] = d->config.wake_fd;
    return rtci_fds_send(e->sock, message, size, fds, n);
}

static const char *text_of(int rc)
{
    return rc == RTC_E_DISCONNECTED ? "the other process closed the connection"
           : rc == RTC_E_VERSION    ? "the memory for the lane is of another version of rtc"
           : rc == RTC_E_NOMEM      ? "the memory for the lane could not be mapped"
                                    : "the memory or the message for the lane is not one";
}

/* Takes the other side's descriptors: lane, channel, wake eventfd. */
static int open_ring(struct entry *e, int lane_fd, int chan_fd, int *wake_fd)
{
    int rc = rtci_waker_open(chan_fd, *wake_fd, &e->waker);
    if (rc)
        return rc;
    *wake_fd = -1;
    return rtci_lane_open(lane_fd, e->lane.caller ? RTCI_CHAN_CALLER : RTCI_CHAN_CALLEE, &e->waker,
                          &e->lane.ring);
}

static void set_why(struct entry *e, const char *why)
{
    snprintf(e->lane.why, sizeof(e->lane.why), "%s", why);
}

/* ---- We call ---- */
static void refused(struct rtci_doorman *d, struct entry *e, const char *why)
{
    set_why(e, why);
    RTCI_LOG(DEBUG, SHM, "no lane to client %u: %s", e->lane.peer, why);
    if (e->sock >= 0)
        unwatch(d, e->sock);
    rtci_fds_close(&e->sock, 1);
    rtci_fds_close(&e->file, 1);
    set_state(d, e, RTCI_LANE_REFUSED);
    tell(d);
}

static void dial(struct rtci_doorman *d, struct entry *e)
{
    link_entry(d, e);
    struct rtci_lane_hello hello = {.magic = RTCI_LANE_MAGIC,
                                    .version = RTCI_WIRE_VERSION,
                                    .client = d->config.client,
                                    .callee = e->lane.peer,
                                    .arena = d->config.arena};
    e->sock = rtci_meet_dial(d->config.arena, e->lane.peer);
    if (e->sock < 0) {
        refused(d, e,
                e->sock == RTC_E_NOT_FOUND ? "no process of that number can be called on this host"
                : e->sock == RTC_E_AGAIN   ? "too many call it at once"
                                           : "its socket cannot be reached");
        return;
    }
    e->file = rtci_chan_create(RTCI_LANE_BYTES);
    if (rtci_meet_who(e->sock, &e->lane.pid) < 0)
        refused(d, e, "another user's process has the name of its socket");
    else if (e->file < 0 || watch(d, e->sock, e) < 0)
        refused(d, e, "no descriptors or memory for a lane");
    else if (send_message(d, e, &hello, sizeof(hello)) < 0)
        refused(d, e, "the greeting could not be sent");
}

static void on_answer(struct rtci_doorman *d, struct entry *e)
{
    struct rtci_lane_answer answer;
    int fds[2] = {-1, -1};
    uint32_t n = 0;
    char why[RTCI_LANE_WHY_MAX] = "";
    int rc = rtci_fds_recv(e->sock, &answer, sizeof(answer), fds, 2, &n);
    if (rc == RTC_E_AGAIN)
        return;
    if (rc == 0)
        rc = rtci_lane_answer_check(&answer, n, e->lane.peer, why);
    if (rc == 0)
        rc = open_ring(e, e->file, fds[0], &fds[1]);
    rtci_fds_close(fds, 2);
    if (rc < 0) {
        refused(d, e, why[0] ? why : text_of(rc));
        return;
    }
    rtci_fds_close(&e->file, 1);
    set_state(d, e, RTCI_LANE_OPEN);
    tell(d);
}

/* ---- We are called ---- */
static void on_hello(struct rtci_doorman *d, struct entry *e)
{
    struct rtci_lane_hello hello;
    struct rtci_lane_answer answer = {
        .magic = RTCI_LANE_MAGIC, .version = RTCI_WIRE_VERSION, .client = d->config.client};
    int fds[3] = {-1, -1, -1};
    uint32_t n = 0;
    int rc = rtci_fds_recv(e->sock, &hello, sizeof(hello), fds, 3, &n);
    if (rc == RTC_E_AGAIN)
        return;
    if (rc == 0)
        rc = rtci_lane_hello_check(&hello, n, d->config.arena, d->config.client, answer.why);
    if (rc == 0)
        rc = open_ring(e, fds[0], fds[1], &fds[2]);
    rtci_fds_close(fds, 3);
    answer.status = rc;
    if (rc < 0 && !answer.why[0])
        snprintf(answer.why, sizeof(answer.why), "%s", text_of(rc));
    int sent = send_message(d, e, &answer, sizeof(answer));
    if (rc < 0 || sent < 0) {
        if (rc < 0 && rc != RTC_E_DISCONNECTED)
            RTCI_LOG(DEBUG, SHM, "a process that wants to call was refused: %s", answer.why);
        free_entry(d, e);
        return;
    }
    e->lane.peer = hello.client;
    set_state(d, e, RTCI_LANE_OPEN);
    pthread_mutex_lock(&d->mutex);
    e->next_come = NULL;
    *d->come_tail = e;
    d->come_tail = &e->next_come;
    pthread_mutex_unlock(&d->mutex);
    tell(d);
}

/* True: go on. */
static bool accept_one(struct rtci_doorman *d)
{
    uint32_t pid;
    int sock = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock < 0 && (errno == EINTR || errno == ECONNABORTED))
        return true;
    if (sock < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        unwatch(d, d->listener); /* else it would be readable for ever */
        d->rest_until = now_ns() + REST_NS;
    }
    if (sock < 0)
        return false;
    struct entry *e = rtci_meet_who(sock, &pid) < 0 ? NULL : new_entry(d, false);
    if (!e || watch(d, sock, e) < 0) {
        close(sock);
        if (e)
            free_entry(d, e);
        return true;
    }
    e->sock = sock;
    e->lane.pid = pid;
    link_entry(d, e);
    return true;
}

/* ---- The thread ---- */

/* An open lane's socket is silent until its end. Only a close is the end: nothing is taken out by
 * the other side any more. What it sent instead ends the lane in order, so that this stays true:
 * the caller asks with a half-closed socket, the callee closes. */
static void on_end(struct rtci_doorman *d, struct entry *e, uint32_t events)
{
    struct epoll_event quiet = {.data.ptr = e};
    if (events & (EPOLLHUP | EPOLLERR)) {
        if (!e->lane.why[0])
            set_why(e, "the other process is gone, or has closed it");
        unwatch(d, e->sock);
        set_state(d, e, RTCI_LANE_DEAD);
    } else {
        set_why(e, events & EPOLLRDHUP ? "the other process wants it to end"
                                       : "the other process sent what nobody asked for");
        if (e->lane.caller)
            shutdown(e->sock, SHUT_WR);
        epoll_ctl(d->epoll, EPOLL_CTL_MOD, e->sock, &quiet);
        set_state(d, e, RTCI_LANE_CLOSING);
    }
    RTCI_LOG(DEBUG, SHM, "lane to client %u: %s", e->lane.peer, e->lane.why);
    tell(d);
}

static void on_event(struct rtci_doorman *d, void *ptr, uint32_t events)
{
    if (ptr == &d->event) {
        uint64_t count;
        RTCI_IGNORE(read(d->event, &count, sizeof(count)));
        return;
    }
    if (ptr == &d->listener) {
        for (int i = 0; i < EVENTS && accept_one(d); i++)
            ;
        return;
    }
    struct entry *e = ptr;
    int state = atomic_load_explicit(&e->lane.state, memory_order_relaxed);
    if (state == RTCI_LANE_OPEN || state == RTCI_LANE_CLOSING)
        on_end(d, e, events);
    else if (state == RTCI_LANE_MEETING && e->lane.caller)
        on_answer(d, e);
    else if (state == RTCI_LANE_MEETING)
        on_hello(d, e);
}

/* What the owner asked for. After the events: none of them names a lane that is freed here. */
static bool do_todo(struct rtci_doorman *d)
{
    for (;;) {
        pthread_mutex_lock(&d->mutex);
        struct entry *e = d->todo;
        if (e) {
            d->todo = e->next_todo;
            d->todo_tail = d->todo ? d->todo_tail : &d->todo;
            e->todo = false;
        }
        bool retired = e && e->retired, stop = d->stop;
        pthread_mutex_unlock(&d->mutex);
        if (!e)
            return stop;
        if (retired)
            free_entry(d, e);
        else
            dial(d, e);
    }
}

static void expire(struct rtci_doorman *d, uint64_t now)
{
    if (d->rest_until && now >= d->rest_until) {
        d->rest_until = 0;
        RTCI_IGNORE(watch(d, d->listener, &d->listener));
    }
    if (!d->meeting)
        return;
    for (struct entry *e = d->all, *next; e; e = next) {
        next = e->next;
        if (atomic_load_explicit(&e->lane.state, memory_order_relaxed) != RTCI_LANE_MEETING ||
            now < e->until)
            continue;
        if (e->lane.caller)
            refused(d, e, "its process does not answer");
        else
            free_entry(d, e);
    }
}

static void *doorman_main(void *arg)
{
    struct rtci_doorman *d = arg;
    struct epoll_event events[EVENTS];
    do {
        int n = epoll_wait(d->epoll, events, EVENTS, d->meeting || d->rest_until ? 100 : -1);
        for (int i = 0; i < n; i++)
            on_event(d, events[i].data.ptr, events[i].events);
        if (d->meeting || d->rest_until)
            expire(d, now_ns());
    } while (!do_todo(d));
    return NULL;
}

/* ---- For the owner ---- */
static void ask(struct rtci_doorman *d, struct entry *e, bool retire)
{
    uint64_t one = 1;
    pthread_mutex_lock(&d->mutex);
    if (retire) { /* in one step: whoever finds it retired frees it */
        RTCI_ASSERT(!e->retired);
        e->retired = true;
    }
    if (e && !e->todo) {
        e->todo = true;
        e->next_todo = NULL;
        *d->todo_tail = e;
        d->todo_tail = &e->next_todo;
    }
    pthread_mutex_unlock(&d->mutex);
    RTCI_IGNORE(write(d->event, &one, sizeof(one)));
}

struct rtci_lane *rtci_doorman_dial(struct rtci_doorman *d, uint32_t callee)
{
    struct entry *e = new_entry(d, true);
    if (!e)
        return NULL;
    e->lane.peer = callee;
    ask(d, e, false);
    return &e->lane;
}

void rtci_doorman_retire(struct rtci_doorman *d, struct rtci_lane *lane)
{
    ask(d, RTCI_CONTAINER(lane, struct entry, lane), true);
}

struct rtci_lane *rtci_doorman_next(struct rtci_doorman *d)
{
    pthread_mutex_lock(&d->mutex);
    struct entry *e = d->come;
    if (e) {
        d->come = e->next_come;
        if (!d->come)
            d->come_tail = &d->come;
    }
    pthread_mutex_unlock(&d->mutex);
    return e ? &e->lane : NULL;
}

bool rtci_doorman_news(struct rtci_doorman *d)
{
    return atomic_load_explicit(&d->news, memory_order_acquire);
}

void rtci_doorman_news_clear(struct rtci_doorman *d)
{
    atomic_store(&d->news, false);
}

int rtci_doorman_listen(struct rtci_doorman *d)
{
    int fd = rtci_meet_listen(d->config.arena, d->config.client);
    if (fd < 0)
        return fd;
    RTCI_ASSERT(d->listener < 0);
    d->listener = fd;
    return watch(d, fd, &d->listener);
}

static int start_thread(struct rtci_doorman *d)
{
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are the program's */
    int rc = pthread_create(&d->thread, &attr, doorman_main, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        pthread_setname_np(d->thread, "rtc-doorman");
    return rc == 0 ? 0 : RTC_E_OS;
}

static void close_all(struct rtci_doorman *d)
{
    int fds[] = {d->epoll, d->event, d->listener, d->config.chan_fd, d->config.wake_fd};
    rtci_fds_close(fds, sizeof(fds) / sizeof(fds[0]));
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

int rtci_doorman_start(const struct rtci_doorman_config *config, struct rtci_doorman **ret_doorman)
{
    struct rtci_doorman *d = calloc(1, sizeof(*d));
    if (!d)
        return RTC_E_NOMEM;
    d->config = *config;
    pthread_mutex_init(&d->mutex, NULL);
    d->listener = -1;
    d->todo_tail = &d->todo;
    d->come_tail = &d->come;
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    d->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->config.chan_fd = fcntl(config->chan_fd, F_DUPFD_CLOEXEC, 3);
    d->config.wake_fd = config->wake_fd < 0 ? -1 : fcntl(config->wake_fd, F_DUPFD_CLOEXEC, 3);
    if (d->epoll < 0 || d->event < 0 || d->config.chan_fd < 0 ||
        (config->wake_fd >= 0 && d->config.wake_fd < 0) || watch(d, d->event, &d->event) < 0 ||
        start_thread(d) < 0) {
        close_all(d);
        return RTC_E_OS;
    }
    *ret_doorman = d;
    return 0;
}

void rtci_doorman_stop(struct rtci_doorman *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_mutex_unlock(&d->mutex);
    ask(d, NULL, false);
    pthread_join(d->thread, NULL);
    do_todo(d);
    while (d->all)
        free_entry(d, d->all);
    close_all(d);
}
