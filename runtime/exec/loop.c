/* The task loop. The ring may hold tasks ahead; each is claimed by compare-and-swap before it runs,
 * so that the node can take back what has not begun. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/open.h"
#include "runtime/exec/actor.h"
#include "runtime/exec/exec.h"
#include "runtime/shm/local.h"

static const struct rtc_task_def command_def = {.name = "command", .run = rtci_command_run};

__attribute__((noreturn)) static void leave_process(struct rtc *rtc, const char *why)
{
    if (why)
        fprintf(stderr, "rtc executor: %s\n", why);
    (void)rtc; /* the kernel frees it: nothing must be told, the node watches us end */
    exit(why ? 1 : 0);
}

static void wait_for_task(struct rtc *rtc)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    while (rtc->queue_len == 0) {
        if (rtc->shut || info->stop)
            leave_process(rtc, NULL);
        int rc = rtci_block(rtc, 0, UINT64_MAX);
        if (rc == RTC_E_DISCONNECTED || rc == RTC_E_JOB_ENDED)
            leave_process(rtc, NULL);
        if (rc < 0)
            leave_process(rtc, rtc_last_error());
    }
}

static int run(struct rtc_call *call)
{
    const struct rtci_spec *spec = call->spec;
    if (spec->flags & RTCI_SPEC_COMMAND)
        call->def = &command_def;
    else
        call->def = rtci_task_by_hash(spec->function);
    if (!call->def)
        return rtci_call_fail(
            call, RTC_E_UNKNOWN_TASK, 0,
            "the program that runs tasks (%s) has no task with the hash %016llx: it is "
            "not the one that submitted it, or registers it only sometimes",
            call->rtc->name, (unsigned long long)spec->function);
    int rc = rtci_call_fetch(call);
    if (rc < 0)
        return rtci_call_fail(call, rc, 0, "an argument could not be fetched: %s",
                              rtc_last_error());
    rtci_error_clear();
    pthread_mutex_unlock(&call->rtc->lock);
    rc = call->def->run(call);
    pthread_mutex_lock(&call->rtc->lock);
    return rc;
}

static void finish(struct rtc *rtc)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    rtc->running = (struct running){0};
    rtc->n_blocked = 0;
    if (rtc->run_told) {
        __atomic_store_n(&info->running_client, 0, __ATOMIC_RELEASE); /* the DONE is published */
        rtc->run_told = false;
    } else if (rtc->run_in_ring) {
        rtc->queue_head++;
        rtc->queue_len--;
        rtc->run_in_ring = false;
    }
    rtci_drop_borrowed(rtc);
    rtci_flush_releases(rtc);
    rtci_consume_finished(rtc);
}

/* Runs the first task of the queue, unless it was recalled. Returns the time at its end. */
static uint64_t run_first(struct rtc *rtc, struct rtc_call *call, struct rtci_buf *copy,
                          uint64_t start)
{
    struct queued *first = &rtc->queue[rtc->queue_head & (rtc->queue_cap - 1)];
    const struct rtci_spec *spec = first->record;
    rtc->run_in_ring = true;
    if (!rtci_chan_claim(rtc->chan, first->record)) {
        if (spec->rec.flags != RTCI_CLAIM_RECALLED)
            leave_process(rtc, rtci_overwritten);
        finish(rtc);
        return start;
    }
    rtci_buf_clear(copy);
    rtci_buf_put(copy, spec, first->size);
    if (copy->failed)
        leave_process(rtc, "out of memory for a task");
    call->spec = spec = (const struct rtci_spec *)copy->data;
    if (rtci_wire_check(spec, first->size) != first->size ||
        (spec->rec.type != RTCI_R_TASK && spec->rec.type != RTCI_R_ACTOR_START))
        leave_process(rtc, rtci_overwritten);
    rtc->running = (struct running){.id = {spec->seq, spec->client, 0},
                                    .slot = spec->slot,
                                    .deadline_ns = spec->deadline_ns,
                                    .depth = spec->depth,
                                    .attempt = spec->attempt};
    if (spec->rec.type == RTCI_R_ACTOR_START)
        rtci_host_run(rtc, spec, first->size);
    rtci_call_begin(call);
    int rc = run(call);
    uint64_t end = rtci_now_ns();
    if (rtci_call_end(call, rc, end - start) < 0)
        leave_process(rtc, rtc_last_error());
    finish(rtc);
    return end;
}

__attribute__((noreturn)) static void loop(void)
{
    struct rtc *rtc = NULL;
    if (rtci_client_adopt(&rtc) < 0)
        leave_process(rtc, rtc_last_error());
    if (rtci_task_registry_check() < 0 || rtci_actor_registry_check() < 0)
        leave_process(rtc, rtc_last_error());
    setvbuf(stdout, NULL, _IOLBF, 0); /* its reader is a person, though not a terminal */
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    info->pid = (uint32_t)getpid();
    __atomic_store_n(&info->attached, 1, __ATOMIC_RELEASE);
    rtci_chan_ring(rtc->chan);
    static struct rtc_call call;
    struct rtci_buf copy = {0};
    call.rtc = rtc;
    pthread_mutex_lock(&rtc->lock);
    for (;;) {
        uint64_t now = 0;
        wait_for_task(rtc);
        now = rtci_now_ns();
        while (rtc->queue_len) {
            now = run_first(rtc, &call, &copy, now);
            if (rtci_callbacks_due(rtc))
                rtci_run_callbacks(rtc);
            if (rtci_drain(rtc) < 0)
                leave_process(rtc, rtc_last_error());
        }
    }
}

void rtci_exec_main(void)
{
    loop();
}

int rtci_exec_command_main(void)
{
    const char *role = getenv(RTCI_EXEC_ENV);
    if (!role || strcmp(role, "1") != 0) {
        fprintf(stderr, "rtc executor: started by nodes, not by people\n");
        return 2;
    }
    loop();
}
