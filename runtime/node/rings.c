/* Rings: private copies of what clients wrote, and what is written to them. */
#include <rtc/error.h>
#include <sys/socket.h>

#include "runtime/base/log.h"
#include "runtime/node/calling.h"

#define LATER_MAX (16 * RTCI_MIB) /* owed to a client that does not read; then it is let go */

void rtci_daemon_disconnect(struct rtci_daemon *daemon, uint32_t token, int code)
{
    struct rtci_process *p = &daemon->process[token];
    if (p->gone)
        return;
    bool executor = p->blob.role == RTCI_ROLE_EXECUTOR;
    RTCI_LOG(WARN, NODE, "%s %s; it is %s pid=%u name=%s", executor ? "an executor" : "a driver",
             code == RTC_E_AGAIN ? "does not read what is sent to it"
             : code == RTC_E_JOB_ENDED
                 ? "is of a job that has ended for the head"
                 : "wrote nonsense into the memory that it shares with the daemon",
             executor ? "killed" : "disconnected", p->pid, p->blob.name);
    p->gone = true;
    p->bad = code == RTC_E_PROTOCOL;
    rtci_chan_info(p->chan)->closed = (uint32_t)-code;
    p->wrote = true;
    if (executor)
        rtci_daemon_kill(daemon, token, 9); /* its exit is the end of it */
    else
        shutdown(p->conn_fd, SHUT_RDWR); /* its EOF is */
}

bool rtci_daemon_read(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_process *p = &daemon->process[token];
    const void *span;
    size_t len;
    if (!p->chan || p->gone)
        return false;
    int rc = rtci_chan_peek(p->chan, &span, &len);
    if (rc) {
        rtci_daemon_disconnect(daemon, token, rc);
        return false;
    }
    if (!len)
        return false;
    if (len > RTCI_TURN_BYTES_MAX)
        len = RTCI_TURN_BYTES_MAX;
    /* Copied first: what is checked cannot change afterwards. */
    rtci_buf_clear(&daemon->turn);
    rtci_buf_put(&daemon->turn, span, len);
    size_t at = 0;
    while (at < len) {
        if (len - at >= sizeof(struct rtci_rec) && len == RTCI_TURN_BYTES_MAX && at) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(daemon->turn.data + at);
            if (rec->size > len - at && rec->size <= RTCI_RECORD_MAX)
                break; /* cut by our own limit: next turn */
        }
        int64_t size = rtci_wire_check(daemon->turn.data + at, len - at);
        if (size < 0) {
            rtci_daemon_disconnect(daemon, token, RTC_E_PROTOCOL);
            return false;
        }
        at += (size_t)size;
    }
    size_t waiting = rtci_calling_waiting(daemon);
    rtci_node_core_client_span(daemon->node, daemon->now_ns, token, daemon->turn.data, at,
                               &daemon->actions);
    p->called |= rtci_calling_waiting(daemon) != waiting;
    rtci_chan_advance(p->chan, at);
    return true;
}

/* True when it was written; what the executor's info words carry is not a record of the ring. */
static bool write_record(struct rtci_process *p, const struct rtci_rec *rec)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(p->chan);
    if (rec->type == RTCI_R_CANCEL) {
        const struct rtci_cancel *cancel = (const struct rtci_cancel *)rec;
        info->cancel_client = cancel->id.client;
        info->cancel_seq = cancel->id.seq;
        return true;
    }
    if (rec->type == RTCI_R_SHUTDOWN)
        info->stop = 1;
    void *at = rtci_chan_reserve(p->chan, rec->size);
    if (!at)
        return false;
    memcpy(at, rec, rec->size);
    return true;
}

static void write_span(struct rtci_daemon *daemon, uint32_t token, const uint8_t *data, size_t len)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    if (!p || !p->chan || p->gone || !len)
        return;
    size_t at = 0;
    while (!p->later.len && at < len) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(data + at);
        if (!write_record(p, rec))
            break;
        at += rec->size;
    }
    rtci_chan_publish(p->chan);
    p->wrote = true;
    if (at == len)
        return;
    if (p->later.len + len - at > LATER_MAX) {
        rtci_daemon_disconnect(daemon, token, RTC_E_AGAIN);
        return;
    }
    rtci_buf_put(&p->later, data + at, len - at);
}

/* What stands before the loop's own doings with a ring: a task on its way is in it before others
 * are taken back from it. */
void rtci_daemon_write_out(struct rtci_daemon *daemon, uint32_t token)
{
    for (uint32_t i = 0; i < daemon->actions.n_out; i++) {
        struct rtci_client_out *out = &daemon->actions.out[i];
        if (out->token != token || !out->buf.len)
            continue;
        write_span(daemon, token, out->buf.data, out->buf.len);
        rtci_buf_clear(&out->buf);
    }
}

static void write_later(struct rtci_process *p)
{
    size_t at = 0;
    while (at < p->later.len) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(p->later.data + at);
        if (!write_record(p, rec))
            break;
        at += rec->size;
    }
    if (!at)
        return;
    rtci_chan_publish(p->chan);
    p->wrote = true;
    memmove(p->later.data, p->later.data + at, p->later.len - at);
    p->later.len -= at;
}

/* After the commit: everything out, then the inputs that caused it are acknowledged (by a worker:
 * when the head has committed them). */
void rtci_daemon_flush(struct rtci_daemon *daemon)
{
    for (uint32_t i = 0; i < daemon->actions.n_out; i++) {
        struct rtci_client_out *out = &daemon->actions.out[i];
        write_span(daemon, out->token, out->buf.data, out->buf.len);
    }
    uint64_t settled = daemon->remote ? 0 : rtci_calling_settled(daemon);
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        struct rtci_process *p = &daemon->process[daemon->tokens[i]];
        if (!p->chan)
            continue;
        if (p->later.len && !p->gone)
            write_later(p);
        if (!daemon->remote)
            rtci_calling_consume(daemon, p, settled);
        if (p->wrote)
            rtci_chan_ring(p->chan);
        p->wrote = false;
        /* Credit goes back when half of what a client may owe was read, or all. */
        uint64_t read = rtci_chan_consumed(p->chan);
        if (p->blob.role && read != p->read_seen &&
            (read - p->read_seen > RTCI_CREDIT_BYTES / 4 || read == rtci_chan_written(p->chan))) {
            rtci_node_core_client_read(daemon->node, daemon->tokens[i], read - p->read_seen,
                                       &daemon->actions);
            p->read_seen = read;
        }
    }
}

/* Announces sleep on every channel. True when something came meanwhile. */
bool rtci_daemon_pending(struct rtci_daemon *daemon)
{
    bool any = false;
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        struct rtci_process *p = &daemon->process[daemon->tokens[i]];
        if (p->chan && !p->gone && rtci_chan_arm(p->chan))
            any = true;
    }
    return any;
}
