/* What the loops of a head and of a worker have in common: a look at every ring, and the wait for
 * the next thing to happen. */
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/node/daemon.h"

#define SPIN_NS    15000
#define SPIN_PAYS  64u
#define SPIN_PROBE 64u
#define LOGS_NS    (50 * RTCI_NS_PER_MS)

uint64_t rtci_daemon_now(void)
{
    return rtci_clock_ns();
}

bool rtci_daemon_read_all(struct rtci_daemon *d)
{
    bool any = false;
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        uint32_t token = d->tokens[i];
        struct rtci_process *p = &d->process[token];
        if (!p->chan)
            continue;
        if (!p->ready && p->blob.role == RTCI_ROLE_EXECUTOR && rtci_chan_info(p->chan)->attached) {
            p->ready = any = true;
            rtci_node_core_executor_ready(d->node, d->now_ns, token, rtci_chan_info(p->chan)->pid,
                                          &d->actions);
        }
        any |= rtci_daemon_read(d, token);
    }
    return any;
}

void rtci_daemon_read_rest(struct rtci_daemon *d)
{
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        while (rtci_daemon_read(d, d->tokens[i])) {
        }
    }
}

/* ---- Events ---- */

static void on_event(struct rtci_daemon *d, uint64_t tag)
{
    uint64_t rung;
    struct signalfd_siginfo info;
    d->now_ns = rtci_daemon_now();
    if (tag == RTCI_TAG_BELL) {
        RTCI_IGNORE(read(d->bell, &rung, sizeof(rung)));
    } else if (tag == RTCI_TAG_KEEPER) {
        rtci_daemon_keeper_event(d);
    } else if (tag == RTCI_TAG_LISTEN) {
        rtci_daemon_accept(d);
    } else if (tag == RTCI_TAG_SIGNAL) {
        if (read(d->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            d->stopping = true;
    } else if (tag >= RTCI_KEY_CLIENT) {
        rtci_daemon_conn_event(d, (uint32_t)(tag - RTCI_KEY_CLIENT));
    } else if (tag >= RTCI_TAG_DIRECT && tag < RTCI_TAG_LAST) {
        d->direct_event |= 1u << (tag - RTCI_TAG_DIRECT);
    } else if (tag >= RTCI_TAG_NET && tag < RTCI_TAG_DIRECT) {
        d->net_event |= 1u << (tag - RTCI_TAG_NET);
    }
}

bool rtci_daemon_watch_usual(struct rtci_daemon *d)
{
    d->on_event = on_event;
    return rtci_daemon_watch(d, d->keeper, RTCI_TAG_KEEPER) &&
           rtci_daemon_watch(d, d->bell, RTCI_TAG_BELL) &&
           rtci_daemon_watch(d, d->signal_fd, RTCI_TAG_SIGNAL) &&
           (d->listen_fd < 0 || rtci_daemon_watch(d, d->listen_fd, RTCI_TAG_LISTEN));
}

static uint64_t timeout_ms(const struct rtci_daemon *d, uint64_t deadline)
{
    bool executors = false, owed = false;
    deadline = d->actions.deadline_ns < deadline ? d->actions.deadline_ns : deadline;
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        const struct rtci_process *p = &d->process[d->tokens[i]];
        executors |= p->blob.role == RTCI_ROLE_EXECUTOR;
        /* A client that reads does not ring: while much is unread, look again soon. */
        owed |= p->chan && !p->gone &&
                (p->later.len || rtci_chan_written(p->chan) - p->read_seen > RTCI_CREDIT_BYTES / 4);
    }
    uint64_t now = rtci_daemon_now(), wait = deadline > now ? deadline - now : 0;
    uint64_t most = owed ? RTCI_NS_PER_MS : executors || d->stopping ? 2 * LOGS_NS : RTCI_NS_PER_S;
    wait = wait > most ? most : wait;
    return (wait + RTCI_NS_PER_MS - 1) / RTCI_NS_PER_MS;
}

static bool readable(const struct rtci_daemon *d)
{
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        const struct rtci_process *p = &d->process[d->tokens[i]];
        if (p->chan && !p->gone && rtci_chan_readable(p->chan))
            return true;
    }
    return false;
}

/* A short spin before sleeping, as long as it pays more often than not; else one sleep of many is
 * put off to see whether it pays now. What a process of this host was told is answered soon, what
 * went to another host is not: each has its own record. */
static bool spin(struct rtci_daemon *d)
{
    uint32_t *hits = &d->spin_hits[d->sent_far];
    if (*hits < SPIN_PAYS && ++d->spin_skipped % SPIN_PROBE)
        return false;
    uint64_t until = rtci_daemon_now() + SPIN_NS;
    do {
        for (int i = 0; i < 32; i++) {
            if (readable(d)) {
                *hits = *hits < SPIN_PAYS ? SPIN_PAYS : *hits < 4 * SPIN_PAYS ? *hits + 16 : *hits;
                return true;
            }
        }
    } while (rtci_daemon_now() < until);
    *hits -= (*hits + 3) / 4;
    return false;
}

bool rtci_daemon_sleep(struct rtci_daemon *d, bool busy, uint64_t deadline_ns)
{
    uint64_t timeout = 0;
    if (busy && ++d->busy_turns & 15)
        return false; /* sockets are looked at every few turns while rings are busy */
    if (!busy && !spin(d)) {
        timeout = timeout_ms(d, deadline_ns);
        if (rtci_daemon_pending(d))
            timeout = 0;
    }
    d->sent_far = false;
    rtci_daemon_wait(d, timeout);
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        if (d->process[d->tokens[i]].chan)
            rtci_chan_disarm(d->process[d->tokens[i]].chan);
    }
    d->now_ns = rtci_daemon_now();
    if (d->now_ns - d->logs_ns <= LOGS_NS)
        return false;
    d->logs_ns = d->now_ns;
    rtci_daemon_logs(d);
    return true;
}
