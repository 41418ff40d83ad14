/* Streams: values that a method gives before it ends.
 *
 * So many of each stream are on their way and unread. Beyond them the method of a process actor
 * waits for its reader. That of a light actor does not wait: values are kept here, and the call's
 * answer behind them, until the reader has room; not of one whose state is saved: a crash would
 * lose values of a call that has been answered. A reader that died says nothing: who waits asks for
 * it. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/actor.h"
#include "runtime/exec/light_host.h"
#include "runtime/exec/outbox.h"

#define PROBE_NS RTCI_NS_PER_S /* a reader that does not read is asked for so often */

/* A value, or the answer, of a light actor. */
struct kept {
    struct kept *next;
    size_t bytes; /* with the object that the record names */
    _Alignas(8) uint8_t record[];
};

static const struct rtci_done *done_of(const struct kept *kept)
{
    return (const struct rtci_done *)kept->record;
}

static bool is_value(const struct rtci_done *done)
{
    return done->rec.flags & RTCI_REPLY_MORE;
}

static struct yields *find(const struct host *host, struct rtci_id call)
{
    struct yields *y = host->yields;
    while (y && !rtci_id_equal(y->call, call))
        y = y->next;
    return y;
}

/* ---- Kept ---- */

static bool waits(const struct yields *y)
{
    return y->first || y->sending;
}

bool rtci_stream_waits(const struct host *host, struct rtci_id call)
{
    const struct yields *y = host->yields ? find(host, call) : NULL;
    return y && waits(y);
}

static bool wanting(const struct yields *y)
{
    return !y->unlimited && (waits(y) || y->unread >= RTCI_YIELDS_MAX);
}

/* The readers that others wait for: are they there? */
static void probe_readers(struct host *host)
{
    uint64_t now = rtci_now_ns();
    if (now - host->probed_ns < PROBE_NS)
        return;
    host->probed_ns = now;
    for (const struct yields *y = host->yields; y; y = y->next) {
        if (wanting(y))
            rtci_route_probe(host->rtc, y->peer->node, y->peer->client,
                             RTCI_PROBE | RTCI_PROBE_READER | y->peer->client);
    }
}

/* As values of this stream and of all may wait. */
static int check_room(const struct rtc_call *call, const struct yields *y)
{
    struct host *host = call->host;
    bool keeps = rtci_host_keeps(host, call->cell);
    if (keeps || y->bytes >= RTCI_STREAM_KEPT || host->kept_bytes >= RTCI_STREAMS_KEPT)
        probe_readers(host);
    if (keeps)
        return rtci_error(RTC_E_AGAIN,
                          "the stream of method \"%s\" is full: %u values are unread, a light "
                          "actor does not wait for its reader, and with `save` in its class no "
                          "more are kept",
                          call->def->name, RTCI_YIELDS_MAX);
    if (y->bytes >= RTCI_STREAM_KEPT || host->kept_bytes >= RTCI_STREAMS_KEPT)
        return rtci_error(RTC_E_AGAIN,
                          "the stream of method \"%s\" is full: a light actor does not wait for "
                          "its reader; %llu KiB are kept for it (of at most %llu), %llu for all "
                          "readers of this host (of %llu)",
                          call->def->name, y->bytes / RTCI_KIB, RTCI_STREAM_KEPT / RTCI_KIB,
                          host->kept_bytes / RTCI_KIB, RTCI_STREAMS_KEPT / RTCI_KIB);
    return 0;
}

/* The object that is the value, where it is one; client 0: none. */
static struct rtci_id object_of(const struct rtci_done *done)
{
    const struct rtci_resolved *row = rtci_done_returns(done);
    struct rtci_id id = {0};
    if (is_value(done) && row->kind == RTCI_KIND_ABSENT)
        memcpy(&id, (const char *)done + row->offset, sizeof(id));
    return id;
}

static size_t bytes_of(struct rtc *rtc, const struct rtci_done *done)
{
    int rc = 0;
    struct rtci_id id = object_of(done);
    const struct slot *slot = id.client ? rtci_find(rtc, rtci_ref_of(id), false, &rc) : NULL;
    return done->rec.size + (slot ? slot->size : 0);
}

bool rtci_stream_keep(struct rtc_call *call, const struct rtci_done *done, int *ret)
{
    struct yields *y = call->yields;
    bool full = is_value(done) && y->unread >= RTCI_YIELDS_MAX && !y->unlimited;
    if (!waits(y) && !full)
        return false;
    struct kept *kept = malloc(sizeof(*kept) + done->rec.size);
    *ret = kept ? 0 : rtci_error(RTC_E_NOMEM, "out of memory for a stream");
    if (!kept)
        return true;
    kept->next = NULL;
    kept->bytes = bytes_of(call->rtc, done);
    memcpy(kept->record, done, done->rec.size);
    *y->last = kept;
    y->last = &kept->next;
    y->bytes += kept->bytes;
    call->host->kept_bytes += kept->bytes;
    return true;
}

static struct kept *take_first(struct host *host, struct yields *y)
{
    struct kept *kept = y->first;
    y->first = kept->next;
    if (!y->first)
        y->last = &y->first;
    y->bytes -= kept->bytes;
    host->kept_bytes -= kept->bytes;
    return kept;
}

static void drop_value(struct host *host, const struct rtci_done *done)
{
    struct rtci_id id = object_of(done);
    if (id.client)
        rtci_host_on_held(host->rtc, id); /* nobody will hold the object */
}

/* ---- Sent ---- */

static void forget(struct host *host, struct yields *y)
{
    struct yields **at = &host->yields;
    while (*at != y)
        at = &(*at)->next;
    *at = y->next;
    free(y);
}

/* Waiting for the ring gives the lock away: the stream stays, because it is `sending`. */
static void send(struct host *host, struct yields *y, const struct rtci_done *done)
{
    void *at;
    if (rtci_route_reserve_reply(host->rtc, y->peer, done->rec.size, &y->by_daemon, &at) < 0)
        rtci_host_exit(host, rtc_last_error());
    memcpy(at, done, done->rec.size);
    rtci_route_send(host->rtc, y->peer);
    y->unread += is_value(done);
}

/* As many as there is room for. True: some, and the list may have changed. */
static bool send_some(struct host *host, struct yields *y)
{
    bool any = false, ended = false;
    while (y->first && !ended) {
        bool value = is_value(done_of(y->first));
        if (value && y->unread >= RTCI_YIELDS_MAX && !y->unlimited)
            break;
        struct kept *kept = take_first(host, y);
        y->sending = any = true;
        if (value && y->unlimited)
            drop_value(host, done_of(kept));
        else
            send(host, y, done_of(kept));
        y->sending = false;
        ended = !value;
        free(kept);
    }
    if (ended)
        forget(host, y);
    return any;
}

uint64_t rtci_streams_flush(struct host *host)
{
    if (host->stopping && host->kept_bytes) /* it ends when they are read, or nobody reads them */
        probe_readers(host);
    while (host->streams_due) {
        struct yields *y = host->yields;
        host->streams_due = false;
        while (y)
            y = send_some(host, y) ? host->yields : y->next;
    }
    return host->stopping && host->kept_bytes ? host->probed_ns + PROBE_NS : UINT64_MAX;
}

void rtci_host_on_read(struct rtc *rtc, struct rtci_id call, uint32_t n)
{
    struct host *host = rtc->host;
    struct yields *y = find(host, call);
    if (!y)
        return;
    y->unlimited |= n == UINT32_MAX;
    y->unread -= n < y->unread ? n : y->unread;
    rtc->changes++;
    if (!y->first)
        return;
    host->streams_due = true;
    rtci_chan_kick(rtc->chan); /* the first thread sends: not here, where records are read */
}

void rtci_host_on_reader_gone(struct rtc *rtc, uint32_t client)
{
    for (const struct yields *y = rtc->host->yields; y; y = y->next) {
        if (y->peer->client == client)
            rtci_host_on_read(rtc, y->call, UINT32_MAX);
    }
}

/* ---- Given ---- */

static struct yields *yields_of(struct rtc_call *call)
{
    struct yields *y = call->yields;
    if (y)
        return y;
    y = calloc(1, sizeof(*y));
    if (!y)
        return NULL;
    *y = (struct yields){.next = call->host->yields,
                         .call = {call->spec->seq, call->spec->client, 0},
                         .peer = call->peer};
    y->last = &y->first;
    call->host->yields = call->yields = y;
    return y;
}

void rtci_stream_ends(struct rtc_call *call)
{
    call->by_daemon = call->yields->by_daemon;
}

void rtci_stream_ended(struct rtc_call *call)
{
    struct yields *y = call->yields;
    call->yields = NULL;
    if (!waits(y))
        forget(call->host, y);
}

/* Before a wait, or what refers to a task that the head does not know yet. */
static int speak(struct rtc *rtc, const struct yields *y, const struct rtc_value *value)
{
    struct value_plan plan;
    bool full = y->unread >= RTCI_YIELDS_MAX && !y->unlimited;
    if (!full && (rtci_value_plan(value, &plan) < 0 || !plan.n_refs))
        return 0;
    return rtci_speak(rtc, UINT64_MAX);
}

static int yield_locked(struct rtc_call *call, const struct rtc_value *value)
{
    struct yields *y = yields_of(call);
    if (!y)
        return rtci_error(RTC_E_NOMEM, "out of memory for a stream");
    if (RTCI_UNLIKELY(call->rtc->withheld != NULL))
        RTCI_TRY(speak(call->rtc, y, value));
    while (!call->cell && wanting(y)) {
        int rc = rtci_block(call->rtc, 0, rtci_now_ns() + PROBE_NS);
        if (rc != RTC_E_TIMEOUT)
            RTCI_TRY(rc);
        probe_readers(call->host);
    }
    if (y->unlimited)
        return 0; /* nobody reads it any more */
    if (waits(y) || y->unread >= RTCI_YIELDS_MAX)
        RTCI_TRY(check_room(call, y));
    struct rtc_task_def def = {.name =
                                   call->def->name}; /* its signature speaks of the last value */
    struct rtc_call part = {.rtc = call->rtc,
                            .host = call->host,
                            .peer = call->peer,
                            .caller_node = call->caller_node,
                            .spec = call->spec,
                            .def = &def,
                            .what = call->what,
                            .yields = y};
    rtci_call_begin_one(&part);
    part.by_daemon = y->by_daemon;
    int rc = rtci_call_return(&part, value);
    if (rc == 0)
        rc = rtci_call_yield(&part);
    y->by_daemon |= part.by_daemon;
    rtci_call_fini(&part);
    y->unread += !waits(y);
    return rc;
}

int rtc_yield(struct rtc_call *call, const struct rtc_value *value)
{
    if (!value)
        return rtci_error(RTC_E_INVALID, "value is NULL");
    if (!call->host)
        return rtci_error(RTC_E_INVALID, "rtc_yield() is for methods of actors: this is a task");
    if (!(call->spec->flags & RTCI_SPEC_STREAM))
        return rtci_error(RTC_E_INVALID,
                          "method \"%s\" yields a value, but was not called with options.stream",
                          call->def->name);
    RTCI_TRY(rtci_enter(call->rtc));
    int rc = yield_locked(call, value);
    rtci_leave(call->rtc);
    return rc;
}
