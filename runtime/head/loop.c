/* The daemon's loop. One turn: read rings → cores → commit → send → acknowledge.
 *
 * What a turn changes is one journal record, committed before any byte of the turn leaves and
 * before the rings' entries that caused it are taken out. A daemon killed at any instruction finds
 * them there again. */
#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/head/head.h"
#include "runtime/head/members.h"
#include "runtime/node/blobs.h"
#include "runtime/node/calling.h"
#include "runtime/node/daemon.h"

/* Head and node talk back and forth at most so often before rings are read again. */
#define ROUNDS_MAX   16
#define FOLD_BYTES   (16 * RTCI_MIB)
#define STOP_WAIT_NS (10 * RTCI_NS_PER_S)

struct head {
    struct rtci_daemon daemon;
    struct rtci_head_core *core;
    struct rtci_head_actions actions;
    struct rtci_store *store;
    struct rtci_members *members; /* NULL: nobody joins a private cluster */
    struct rtci_buf to_head;
    uint64_t info_ns;
    bool warned_disk;
};

/* ---- The turn ---- */

static void warn_disk(struct head *h)
{
    char text[640];
    snprintf(text, sizeof(text), "nothing goes on until this is mended: %s",
             rtci_store_error(h->store));
    RTCI_LOG(ERROR, HEAD, "%s", text);
    rtci_daemon_tell_drivers(&h->daemon, text);
}

/* Nothing of the turn leaves before this; on a full disk it stays here and tries again. */
static void commit(struct head *h)
{
    struct rtci_buf *persist = &h->actions.persist;
    RTCI_ASSERT(!persist->failed);
    while (persist->len && rtci_store_commit(h->store, persist->data, persist->len)) {
        if (!h->warned_disk)
            warn_disk(h);
        h->warned_disk = true;
        struct signalfd_siginfo info;
        struct timespec pause = {0, 20 * 1000 * 1000};
        if (h->daemon.stop_now ||
            read(h->daemon.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            exit(1);
        nanosleep(&pause, NULL);
    }
    if (h->warned_disk)
        rtci_daemon_tell_drivers(&h->daemon, "the state directory can be written: work goes on");
    h->warned_disk = false;
    rtci_buf_clear(persist);
}

static bool round_trip(struct head *h)
{
    struct rtci_daemon *d = &h->daemon;
    struct rtci_buf swap = h->to_head;
    h->to_head = d->actions.to_head;
    d->actions.to_head = swap;
    rtci_buf_clear(&d->actions.to_head);
    if (h->to_head.len)
        rtci_head_core_receive(h->core, d->now_ns, 1, 1, h->to_head.data, h->to_head.len,
                               &h->actions);
    rtci_head_core_tick(h->core, d->now_ns, &h->actions);
    commit(h);
    for (uint32_t i = 0; i < h->actions.n_out; i++) {
        if (h->actions.out[i].node != 1)
            rtci_members_send(h->members, &h->actions.out[i]);
        else
            rtci_node_core_head_span(d->node, d->now_ns, h->actions.out[i].buf.data,
                                     h->actions.out[i].buf.len, &d->actions);
    }
    rtci_head_actions_clear(&h->actions);
    rtci_daemon_perform(d);
    return d->actions.to_head.len != 0;
}

static bool turn(struct head *h)
{
    struct rtci_daemon *d = &h->daemon;
    d->now_ns = rtci_daemon_now();
    bool any = rtci_members_take(h->members);
    any |= rtci_daemon_read_all(d);
    rtci_node_core_tick(d->node, d->now_ns, &d->actions);
    rtci_daemon_perform(d);
    any |= d->actions.to_head.len != 0;
    for (int round = 0; round < ROUNDS_MAX && round_trip(h); round++) {
    }
    any |= rtci_daemon_cluster_step(d);
    rtci_calling_send(d);
    rtci_members_flush(h->members);
    uint64_t node_deadline = d->actions.deadline_ns;
    struct rtci_buf left = d->actions.to_head; /* what the rounds did not reach waits a turn */
    d->actions.to_head = (struct rtci_buf){0};
    rtci_daemon_flush(d);
    rtci_calling_commit(d);
    struct rtci_buf credits = d->actions.to_head;
    d->actions.to_head = left;
    rtci_buf_put(&d->actions.to_head, credits.data, credits.len);
    rtci_buf_fini(&credits);
    d->actions.n_out = 0;
    d->actions.deadline_ns = node_deadline;
    return any || d->actions.to_head.len;
}

/* ---- Between turns ---- */

static int emit(void *store, const void *data, size_t len)
{
    return rtci_store_fold_chunk(store, data, len);
}

/* A restart reads what stands in the files, so they may hold some times what is alive, no more:
 * that bounds the restart, and what a fold costs for each byte of the journal. */
static void fold(struct head *h)
{
    RTCI_IGNORE(rtci_store_poll(h->store));
    uint64_t bytes = rtci_store_replay_bytes(h->store);
    struct rtci_head_stats stats;
    rtci_head_core_stats(h->core, &stats);
    if (bytes < FOLD_BYTES || bytes < 3 * stats.bytes_alive || rtci_store_fold_begin(h->store))
        return;
    if (!rtci_head_core_snapshot(h->core, emit, h->store))
        RTCI_IGNORE(rtci_store_fold_end(h->store));
}

static void tell_info(struct head *h)
{
    struct rtci_row_status info = {.pid = (uint64_t)getpid(),
                                   .started_ns = h->info_ns,
                                   .relayed_bytes = rtci_members_relayed(h->members),
                                   .lease_ns = rtci_members_lease(&h->daemon.options),
                                   .journal_turns = rtci_store_turns(h->store),
                                   .journal_bytes = rtci_store_journal_bytes(h->store)};
    snprintf(info.state_dir, sizeof(info.state_dir), "%.127s", h->daemon.state_dir);
    snprintf(info.version, sizeof(info.version), "%s", RTC_VERSION_STRING);
    rtci_head_core_set_info(h->core, &info);
}

static void wait_events(struct head *h, bool busy)
{
    fold(h);
    uint64_t deadlines[] = {h->actions.deadline_ns, rtci_members_deadline(h->members),
                            rtci_daemon_cluster_deadline(&h->daemon)};
    for (int i = 1; i < 3; i++)
        deadlines[0] = deadlines[i] < deadlines[0] ? deadlines[i] : deadlines[0];
    if (rtci_daemon_sleep(&h->daemon, busy, deadlines[0]))
        tell_info(h);
}

static bool finished(struct head *h)
{
    struct rtci_daemon *d = &h->daemon;
    struct rtci_head_stats stats;
    if (!d->stopping)
        return false;
    if (!d->stop_ns)
        d->stop_ns = rtci_daemon_now();
    rtci_head_core_stats(h->core, &stats);
    return d->stop_now || !stats.tasks_leased || rtci_daemon_now() - d->stop_ns > STOP_WAIT_NS;
}

/* ---- Start ---- */

static int replay(void *arg, const void *data, size_t len)
{
    const char *text = NULL;
    return rtci_head_core_replay(arg, data, len, &text);
}

int rtci_head_open(const struct rtci_daemon *daemon, uint64_t now_ns, struct rtci_store **ret_store,
                   struct rtci_head_core **ret_core)
{
    char text[512] = "";
    const char *dir = daemon->state_dir;
    struct rtci_store_config config = {.dir = dir, .sync_each = daemon->options.sync_each};
    int rc = rtci_store_open(&config, ret_store, text, sizeof(text));
    if (rc) {
        fprintf(stderr, "rtc head: %s\n", text);
        return rc;
    }
    struct rtci_head_config head = {.epoch = rtci_store_epoch(*ret_store), .now_ns = now_ns};
    rc = rtci_head_core_create(&head, ret_core);
    if (!rc)
        rc = rtci_store_replay(*ret_store, replay, *ret_core, text, sizeof(text));
    if (rc && !text[0])
        snprintf(text, sizeof(text), "what is in the state directory %s is not understood (%d)",
                 dir, rc);
    if (text[0])
        fprintf(stderr, "rtc head: %s\n", text);
    if (!rc)
        rtci_head_core_recovered(*ret_core, now_ns, rtci_members_hold(*ret_core, &daemon->options));
    return rc;
}

static int run_loop(struct head *h)
{
    struct rtci_daemon *d = &h->daemon;
    struct rtci_keeper_msg ready = {.type = RTCI_KM_READY};
    d->now_ns = rtci_daemon_now();
    h->info_ns = d->now_ns;
    tell_info(h);
    rtci_head_core_node_up(h->core, d->now_ns, 1, 1, &h->actions);
    rtci_daemon_survivors(d);
    rtci_node_core_hello(d->node, d->now_ns, &d->actions);
    /* Completions that stand in rings come before any placement: read them in the same turn. */
    rtci_daemon_read_rest(d);
    rtci_daemon_bury(d);
    rtci_node_core_ready(d->node, &d->actions);
    bool busy = turn(h);
    RTCI_IGNORE(rtci_keeper_send(d->keeper, &ready, NULL, NULL, 0));
    while (!finished(h)) {
        wait_events(h, busy);
        busy = turn(h);
    }
    turn(h);
    rtci_daemon_logs(d);
    rtci_daemon_flush(d);
    return 0;
}

int rtci_head_run(const struct rtci_daemon_options *options)
{
    static struct head h;
    h.daemon.options = *options;
    int rc = rtci_daemon_prepare(&h.daemon);
    if (rc)
        return 2;
    if (rtci_head_open(&h.daemon, rtci_daemon_now(), &h.store, &h.core)) {
        rtci_daemon_cleanup(&h.daemon);
        return 2;
    }
    h.daemon.number = 1;
    h.daemon.epoch = rtci_store_epoch(h.store);
    bool ok = rtci_daemon_watch_usual(&h.daemon) && !rtci_blobs_open(&h.daemon);
    h.daemon.now_ns = rtci_daemon_now();
    rtci_node_core_set_number(h.daemon.node, 1);
    if (ok && !options->embedded)
        ok = !rtci_calling_open(&h.daemon) &&
             !rtci_members_open(&h.daemon, h.core, &h.actions, &h.members);
    if (ok)
        run_loop(&h);
    int status = ok ? 0 : 2;
    rtci_members_close(h.members);
    rtci_store_close(h.store);
    rtci_daemon_cleanup(&h.daemon);
    struct rtci_keeper_msg quit = {.type = RTCI_KM_QUIT, .value = status};
    RTCI_IGNORE(rtci_keeper_send(h.daemon.keeper, &quit, NULL, NULL, 0));
    return status;
}
