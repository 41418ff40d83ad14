/* Reading the channel and waiting on it: one thread polls for all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "runtime/client/client.h"
#include "runtime/client/lanes.h"
#include "runtime/client/route.h"
#include "runtime/wire/actor.h"

/* The daemon gets credit back when it looks; after this much it is woken to look. */
#define READ_RING_BYTES (512u * 1024)

/* ---- Requests ---- */
static int send_copy(struct rtc *rtc, const void *record, size_t size)
{
    void *at;
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
    memcpy(at, record, size);
    rtci_send(rtc);
    return 0;
}

int rtci_send_record(struct rtc *rtc, const void *record)
{
    return send_copy(rtc, record, ((const struct rtci_rec *)record)->size);
}

static void on_reply(struct rtc *rtc, const struct rtci_reply *reply)
{
    for (struct request *q = rtc->requests; q; q = q->next) {
        if (q->kind != REQUEST_REPLY || q->number != reply->request || q->done)
            continue;
        q->reply = *reply;
        q->status = reply->status;
        if (reply->size && !(q->data = malloc(reply->size)))
            q->status = RTC_E_NOMEM;
        else if (reply->size)
            memcpy(q->data, reply + 1, reply->size);
        q->done = true;
        return;
    }
    /* Its caller gave up: what was held for it is not wanted. Another answer with the same object
     * may be on its way. */
    if (reply->status == 0 && reply->id.client != 0)
        RTCI_IGNORE(rtci_send_ids(rtc, RTCI_R_DROP, &reply->id, 1, 1 | RTCI_DROP_REPLY));
}

static void on_grant(struct rtc *rtc, const struct rtci_grant *grant)
{
    for (struct request *q = rtc->requests; q; q = q->next) {
        if (q->kind != REQUEST_GRANT || !rtci_id_equal(q->id, grant->id) || q->done)
            continue;
        q->grant = *grant;
        q->status = grant->status;
        q->done = true;
        return;
    }
}

int rtci_request(struct rtc *rtc, struct request *request, uint64_t deadline_ns)
{
    request->next = rtc->requests;
    rtc->requests = request;
    int rc = send_copy(rtc, request->record, request->size);
    while (rc == 0 && !request->done)
        rc = rtci_block(rtc, 0, deadline_ns);
    struct request **at = &rtc->requests;
    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
    if (rc < 0) {
        free(request->data);
        request->data = NULL;
    }
    return rc;
}

/* ---- A restarted daemon: everything unanswered is asked again ---- */
static void repeat_requests(struct rtc *rtc)
{
    for (struct request *q = rtc->requests; q; q = q->next) {
        if (q->done)
            continue;
        /* The head takes a value that stands there already for this very request's. */
        ((struct rtci_rec *)(uintptr_t)q->record)->flags |= RTCI_REC_REPEATED;
        if (send_copy(rtc, q->record, q->size) < 0)
            return;
    }
    rtci_actors_repeat(rtc);
    for (uint32_t i = 0; i < rtc->borrowed.cap; i++) {
        for (struct borrowed *b = rtc->borrowed.bucket[i]; b; b = b->next) {
            if (b->pulled && b->slot.state == SLOT_PENDING &&
                rtci_send_ids(rtc, RTCI_R_WANT, &b->id, 1, 0) < 0)
                return;
        }
    }
    rtci_placements_repeat(rtc);
    if (rtc->blocked_told)
        RTCI_IGNORE(rtci_blocked_tell(rtc));
}

const char rtci_overwritten[] =
    "the memory that this process shares with the daemon holds nonsense: this program, or a "
    "library in it, writes where it must not";

static void check_daemon(struct rtc *rtc)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    if (RTCI_UNLIKELY(info->closed != 0)) {
        uint32_t closed = info->closed;
        int code = closed < RTC_ERROR_COUNT_ ? -(int)closed : RTC_E_PROTOCOL;
        rtci_die(rtc, code == RTC_E_PROTOCOL || code == RTC_E_JOB_ENDED ? code : RTC_E_DISCONNECTED,
                 "the daemon closed this connection: %s",
                 code == RTC_E_PROTOCOL ? rtci_overwritten
                 : code == RTC_E_AGAIN  ? "this process does not read what is sent to it"
                                        : rtc_error_text(code));
        return;
    }
    if (RTCI_UNLIKELY(info->daemon_epoch != rtc->epoch)) {
        rtc->epoch = info->daemon_epoch;
        repeat_requests(rtc);
    }
}

/* EOF on the socket is the end of the host's keeper: nobody will restart the daemon any more.
 * Unless the daemon closed it, which it says before: then check_daemon() knows why. */
static void check_host(struct rtc *rtc)
{
    if (rtc->sock < 0)
        return;
    char byte;
    ssize_t n = recv(rtc->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    bool ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != EWOULDBLOCK);
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    if (ended && info->closed == 0)
        rtci_die(
            rtc, RTC_E_DISCONNECTED,
            "the cluster's process on this host is gone (stopped or killed): start it again and "
            "call rtc_init() again");
}

/* ---- Records ---- */
static void on_task(struct rtc *rtc, void *record, uint64_t position)
{
    if (rtc->queue_len == rtc->queue_cap) {
        uint32_t cap = rtc->queue_cap ? rtc->queue_cap * 2 : 512;
        struct queued *queue = malloc(cap * sizeof(*queue));
        if (!queue) {
            rtci_die(rtc, RTC_E_NOMEM, "out of memory for the queue of tasks");
            return;
        }
        for (uint32_t i = 0; i < rtc->queue_len; i++)
            queue[i] = rtc->queue[(rtc->queue_head + i) & (rtc->queue_cap - 1)];
        free(rtc->queue);
        rtc->queue = queue;
        rtc->queue_cap = cap;
        rtc->queue_head = 0;
    }
    rtc->queue[(rtc->queue_head + rtc->queue_len++) & (rtc->queue_cap - 1)] =
        (struct queued){record, position, ((const struct rtci_rec *)record)->size};
}

static void on_record(struct rtc *rtc, const struct rtci_rec *rec, uint64_t position)
{
    switch (rec->type) {
    case RTCI_R_RESULT: rtci_on_result(rtc, (const struct rtci_done *)rec); break;
    case RTCI_R_TASK:
    case RTCI_R_ACTOR_START:
        if (rtc->executor)
            on_task(rtc, (void *)(uintptr_t)rec, position);
        break;
    case RTCI_R_GROUP_IS: rtci_on_group(rtc, (const struct rtci_group_is *)rec); break;
    case RTCI_R_GRANT: on_grant(rtc, (const struct rtci_grant *)rec); break;
    case RTCI_R_REPLY: on_reply(rtc, (const struct rtci_reply *)rec); break;
    case RTCI_R_NOTICE:
    case RTCI_R_LOG: rtci_on_notice(rtc, (const struct rtci_notice *)rec); break;
    case RTCI_R_PROGRESS: rtci_on_progress(rtc, (const struct rtci_progress *)rec); break;
    case RTCI_R_ACTOR_CALL:
    case RTCI_R_ACTOR_REPLY: rtci_route_record(rtc, rec); break;
    case RTCI_R_ACTOR_IS: rtci_on_actor_is(rtc, (const struct rtci_actor_is *)rec); break;
    case RTCI_R_ACTOR_DOWN: rtci_on_actor_down(rtc, (const struct rtci_actor_down *)rec); break;
    case RTCI_R_ACTOR_STOP:
        if (rtc->on_end)
            rtc->on_end(rtc, (const struct rtci_actor_end *)rec);
        else /* its start stands before it, and has not been begun */
            rtc->early_end = ((const struct rtci_actor_end *)rec)->id;
        break;
    case RTCI_R_SHUTDOWN: rtc->shut = true; break;
    default: break; /* a newer daemon's: not for us */
    }
}

static struct queued *front(struct rtc *rtc)
{
    return &rtc->queue[rtc->queue_head & (rtc->queue_cap - 1)];
}

static void pop(struct rtc *rtc)
{
    rtc->queue_head++;
    rtc->queue_len--;
}

/* Results that the running task waits for come behind its record: when they fill the ring, the
 * record is freed before the task's end, and the channel's header names the task instead, so that
 * it is found if we or the daemon die. (The task itself was copied out before it began.) */
void rtci_free_running(struct rtc *rtc, uint32_t actor)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    info->running_seq = rtc->running.id.seq;
    info->running_attempt = rtc->running.attempt;
    info->running_slot = rtc->running.slot;
    info->running_actor = actor;
    __atomic_store_n(&info->running_client, rtc->running.id.client, __ATOMIC_RELEASE);
    rtc->run_in_ring = false;
    rtc->run_told = true;
    pop(rtc);
}

void rtci_consume_finished(struct rtc *rtc)
{
    uint64_t position = rtci_chan_position(rtc->chan);
    if (rtc->queue_len && rtc->run_in_ring && position - front(rtc)->position > RTCI_RING_BYTES / 4)
        rtci_free_running(rtc, RTCI_CHAN_NO_ACTOR);
    while (rtc->queue_len && !rtc->run_in_ring &&
           ((volatile struct rtci_rec *)front(rtc)->record)->flags == RTCI_CLAIM_RECALLED)
        pop(rtc);
    rtci_chan_consume_to(rtc->chan, rtc->queue_len ? front(rtc)->position : position);
}

static int drain_span(struct rtc *rtc, size_t *ret_len)
{
    const void *span;
    size_t len;
    RTCI_TRY(rtci_chan_peek(rtc->chan, &span, &len));
    *ret_len = len;
    if (rtc->lanes) /* what a process sent before its end comes before the news of that */
        rtci_lanes_drain(rtc);
    uint64_t position = rtci_chan_position(rtc->chan);
    for (size_t off = 0; off < len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)span + off);
        int64_t size = rtci_wire_check(rec, len - off);
        if (size < 0)
            return RTC_E_PROTOCOL;
        on_record(rtc, rec, position + off);
        off += (size_t)size;
    }
    rtci_chan_advance(rtc->chan, len);
    return 0;
}

int rtci_drain(struct rtc *rtc)
{
    if (rtc->polling || rtc->draining)
        return 0;
    size_t len;
    do {
        rtc->draining = true;
        int rc = drain_span(rtc, &len);
        rtc->draining = false;
        if (rc < 0)
            return rtci_die(rtc, RTC_E_PROTOCOL, "%s", rtci_overwritten);
        if (len == 0)
            break;
        rtci_consume_finished(rtc);
        rtc->changes++;
        rtc->read_since_ring += len;
        if (rtc->read_since_ring >= READ_RING_BYTES) {
            rtc->read_since_ring = 0;
            rtci_chan_ring(rtc->chan);
        }
    } while (rtci_chan_readable(rtc->chan) && rtc->dead == 0 &&
             rtci_chan_info(rtc->chan)->closed == 0);
    rtci_actors_tick(rtc);
    /* After reading: an answer that the old daemon still wrote is not asked for again. */
    check_daemon(rtc);
    return rtc->dead;
}

/* ---- Waiting ---- */
static int wait_for_poller(struct rtc *rtc, size_t room, uint64_t deadline_ns)
{
    if (room > rtc->want_room) {
        rtc->want_room = room;
        rtci_chan_kick(rtc->chan); /* it must sleep for room as well */
    }
    /* The poller wakes the others whenever it drained, and when it leaves. */
    uint64_t limit = rtci_now_ns() + RTCI_NS_PER_S;
    uint64_t until = deadline_ns < limit ? deadline_ns : limit;
    struct timespec t = {.tv_sec = (time_t)(until / RTCI_NS_PER_S),
                         .tv_nsec = (long)(until % RTCI_NS_PER_S)};
    rtc->waiters++;
    int rc = pthread_cond_timedwait(&rtc->cond, &rtc->lock, &t);
    rtc->waiters--;
    if (room)
        rtc->want_room = 0;
    if (rtc->dead < 0)
        return rtci_die(rtc, rtc->dead, "%s", rtc->dead_text);
    return rc == ETIMEDOUT && until == deadline_ns ? RTC_E_TIMEOUT : 0;
}

static int block_until(struct rtc *rtc, size_t room, uint64_t deadline_ns)
{
    if (rtc->polling)
        return wait_for_poller(rtc, room, deadline_ns);
    uint64_t changes = rtc->changes;
    RTCI_TRY(rtci_drain(rtc));
    if (rtc->changes != changes)
        return 0;
    rtc->polling = true;
    room = room > rtc->want_room ? room : rtc->want_room;
    pthread_mutex_unlock(&rtc->lock);
    int rc = rtci_chan_wait(rtc->chan, room, deadline_ns);
    uint64_t now = rtci_now_ns();
    pthread_mutex_lock(&rtc->lock);
    rtc->polling = false;
    if (now - rtc->host_seen_ns > RTCI_NS_PER_S / 2) { /* also when every wait is a short one */
        rtc->host_seen_ns = now;
        check_host(rtc);
    }
    int drained = rtci_drain(rtc);
    if (rtc->waiters)
        pthread_cond_broadcast(&rtc->cond);
    if (drained < 0)
        return drained;
    return rc == RTC_E_TIMEOUT && rtc->changes == changes ? RTC_E_TIMEOUT : 0;
}

int rtci_block(struct rtc *rtc, size_t room, uint64_t deadline_ns)
{
    rtci_flush_releases(rtc);
    uint64_t changes = rtc->changes;
    struct rtci_due due = rtci_actors_tick(rtc);
    if (rtc->changes != changes)
        return 0;
    bool sooner = due.at_ns < deadline_ns;
    int rc = block_until(rtc, room > due.room ? room : due.room, sooner ? due.at_ns : deadline_ns);
    return rc == RTC_E_TIMEOUT && sooner ? 0 : rc;
}

/* ---- Sending ---- */
void rtci_send(struct rtc *rtc)
{
    rtci_chan_publish(rtc->chan);
    rtci_chan_ring(rtc->chan);
    rtc->told = rtci_chan_written(rtc->chan);
}

int rtci_reserve(struct rtc *rtc, size_t size, uint64_t deadline_ns, void **ret_record)
{
    RTCI_ASSERT(size % 8 == 0 && size <= RTCI_RECORD_MAX);
    void *at = rtci_chan_reserve(rtc->chan, size);
    if (RTCI_LIKELY(at != NULL)) {
        *ret_record = at;
        return 0;
    }
    /* The ring is full: the daemon has more to do than it can take. While waiting, results are
     * read, so that it never waits for us in turn. */
    rtci_send(rtc);
    for (;;) {
        at = rtci_chan_reserve(rtc->chan, size);
        if (at) {
            *ret_record = at;
            return 0;
        }
        int rc = rtci_block(rtc, size, deadline_ns);
        if (rc == RTC_E_TIMEOUT)
            return rtci_error(RTC_E_AGAIN,
                              "too much is in flight: the daemon has not taken the last "
                              "%llu KiB yet; get some results first, or raise "
                              "submit_timeout",
                              (unsigned long long)(RTCI_RING_BYTES / RTCI_KIB));
        if (rc < 0)
            return rc;
    }
}
