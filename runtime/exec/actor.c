/* The life of an actor in its process: constructor, calls, end. */
#include "runtime/exec/actor.h"
#include "runtime/base/clock.h"

#include "runtime/exec/light_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void rtci_host_exit(struct host *host, const char *why)
{
    (void)host;
    if (why)
        fprintf(stderr, "rtc executor: %s\n", why);
    exit(why ? 1 : 0);
}

/* ---- Beginning ---- */

static const char *text_of(const struct rtc_call *call)
{
    return call->fail_text;
}

static void say_failed(struct host *host, const struct rtc_call *call)
{
    const char *text = text_of(call);
    size_t len = strlen(text);
    char buf[sizeof(struct rtci_actor_failed) + RTCI_ERROR_TEXT_MAX + 8] = {0};
    struct rtci_actor_failed *out = (struct rtci_actor_failed *)(void *)buf;
    len = len < RTCI_ERROR_TEXT_MAX ? len : RTCI_ERROR_TEXT_MAX;
    *out = (struct rtci_actor_failed){
        .rec = {(uint32_t)(sizeof(*out) + RTCI_ALIGN8(len)), RTCI_R_ACTOR_FAILED, 0},
        .id = host->id,
        .incarnation = host->incarnation,
        .code = call->fail_code < 0 ? call->fail_code : RTC_E_TASK_FAILED,
        .user_code = call->user_code,
        .text_len = (uint32_t)len};
    memcpy(out + 1, text, len);
    if (rtci_send_record(host->rtc, out) < 0)
        rtci_host_exit(host, rtc_last_error());
}

static void say_up(struct host *host)
{
    struct rtci_actor_up up = {.rec = {sizeof(up), RTCI_R_ACTOR_UP, 0},
                               .id = host->id,
                               .incarnation = host->incarnation,
                               .pid = (uint32_t)getpid()};
    host->up = true;
    if (rtci_send_record(host->rtc, &up) < 0)
        rtci_host_exit(host, rtc_last_error());
}

/* From what was saved, or by the constructor. */
static int make_state(struct host *host, struct rtc_call *call)
{
    bool loaded = false;
    if (rtci_host_class(host)->save)
        RTCI_TRY(rtci_host_load(host, call, &loaded));
    if (host->own && !loaded)
        return rtci_host_special(host, call, host->start, host->own->name, rtci_light_own_begin);
    if (loaded || !host->def->init)
        return 0;
    return rtci_host_special(host, call, host->start, host->def->name, host->def->init);
}

#define LEASE_LOOK_NS (2 * RTCI_NS_PER_MS)

/* The node's daemon stops the process, or ends it, or says that there is more time; while it does
 * not get to that, so long. */
void rtci_host_leased(const struct host *host)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(host->rtc->chan);
    const struct timespec pause = {0, LEASE_LOOK_NS};
    uint64_t until;
    while (host->restarts && (until = __atomic_load_n(&info->leased_ns, __ATOMIC_RELAXED)) &&
           rtci_clock_boot_ns() >= until)
        nanosleep(&pause, NULL);
}

static void construct(struct host *host)
{
    struct rtc_call call = {.rtc = host->rtc, .host = host};
    int rc = 0;
    rtci_host_leased(host);
    host->state = calloc(1, host->def && host->def->state_size ? host->def->state_size : 1);
    if (!host->def)
        rc = rtci_call_fail(&call, RTC_E_UNKNOWN_ACTOR, 0,
                            "the program that runs it (%s) has no actor with the hash %016llx: it "
                            "is not the one that created it, or registers it only sometimes",
                            host->rtc->name, (unsigned long long)host->start->function);
    else if (!host->state)
        rc = rtci_call_fail(&call, RTC_E_NOMEM, 0, "out of memory for %zu bytes of state",
                            host->def->state_size);
    else
        rc = make_state(host, &call);
    if (rc == 0)
        say_up(host);
    else
        say_failed(host, &call);
    host->failed = rc != 0; /* and is going to be killed */
    rtci_call_fini(&call);
}

/* ---- End ---- */

static void on_end(struct rtc *rtc, const struct rtci_actor_end *end)
{
    struct host *host = rtc->host;
    if (!rtci_id_equal(end->id, host->id) || end->incarnation != host->incarnation)
        return;
    host->stopping = true;
    rtc->changes++;
    pthread_cond_broadcast(&host->work);
}

/* Everything that was in the mailbox is done, or nothing more is to be begun. */
static bool may_end(const struct host *host)
{
    return host->stopping && host->n_running == 0 && rtci_host_saved(host) && !host->kept_bytes &&
           (host->leaving || host->failed || host->n_waiting == 0);
}

static void end(struct host *host)
{
    struct rtc *rtc = host->rtc;
    if (host->def && host->def->drop && !host->failed) {
        pthread_mutex_unlock(&rtc->lock);
        host->def->drop(host->state);
        pthread_mutex_lock(&rtc->lock);
    }
    if (host->own && !host->failed)
        rtci_light_own_end(host);
    rtci_flush_releases(rtc);
    rtci_send(rtc);
    rtci_host_exit(host, NULL);
}

/* ---- Going on ---- */

static void check_rc(struct host *host, int rc)
{
    if (rc == 0 || rc == RTC_E_TIMEOUT)
        return;
    if (rc == RTC_E_DISCONNECTED || rc == RTC_E_JOB_ENDED)
        rtci_host_exit(host, NULL);
    rtci_host_exit(host, rtc_last_error());
}

static struct message *next_of_any(struct host *host)
{
    struct message *message = NULL;
    for (uint32_t i = 0; i < host->n_groups && !message; i++)
        message = rtci_host_next(host, &host->groups[i]);
    return message;
}

static void refuse_all(struct host *host)
{
    struct message *message;
    while ((message = host->refused.first)) {
        host->refused.first = message->next;
        if (!message->next)
            host->refused.last = &host->refused.first;
        rtci_host_refuse(host, message);
    }
}

/* A thread of a group. */
struct worker {
    struct host *host;
    struct group *group;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct host *host = worker->host;
    pthread_mutex_lock(&host->rtc->lock);
    for (;;) {
        struct message *message = rtci_host_next(host, worker->group);
        if (message) {
            rtci_host_execute(host, message);
            if (host->stopping || host->leaving)
                rtci_chan_kick(host->rtc->chan); /* the first thread looks whether that was all */
        } else {
            pthread_cond_wait(&host->work, &host->rtc->lock);
        }
    }
    return NULL;
}

static int start_workers(struct host *host)
{
    for (uint32_t g = 0; g < host->n_groups; g++) {
        for (uint32_t i = 0; i < host->threads; i++) {
            struct worker *worker = malloc(sizeof(*worker));
            pthread_t thread;
            if (!worker)
                return RTC_E_NOMEM;
            *worker = (struct worker){host, &host->groups[g]};
            if (pthread_create(&thread, NULL, work, worker))
                return RTC_E_OS;
            pthread_detach(thread);
        }
    }
    return 0;
}

static void loop(struct host *host)
{
    struct rtc *rtc = host->rtc;
    volatile struct rtci_chan_info *info = rtci_chan_info(rtc->chan);
    bool lights = host->lights, alone = lights || host->threads * host->n_groups == 1;
    if (!alone && start_workers(host) < 0)
        rtci_host_exit(host, "the threads of an actor could not be started");
    for (;;) {
        check_rc(host, rtci_drain(rtc));
        uint64_t due = rtci_host_timers(host);
        struct message *message = alone && !rtci_host_holds(host) ? next_of_any(host) : NULL;
        if (message && lights)
            rtci_light_dispatch(host, message);
        else if (message)
            rtci_host_execute(host, message);
        bool idle = !message || host->leaving;
        uint64_t look = rtci_host_keep(host, idle);
        due = look < due ? look : due;
        if (host->refused.first)
            refuse_all(host);
        if (lights) {
            rtci_light_sweep();
            uint64_t again = rtci_streams_flush(host);
            due = again < due ? again : due;
        }
        bool called = rtci_callbacks_due(rtc);
        if (called) {
            rtci_host_leased(host);
            rtci_run_callbacks(rtc);
        }
        if (may_end(host) || rtc->shut || info->stop)
            end(host);
        if (message || (called && host->keeping)) /* what they said is to be saved */
            continue;
        check_rc(host, rtci_block(rtc, 0, due));
    }
}

static void prepare(struct host *host, const struct rtci_spec *start, size_t size)
{
    struct rtc *rtc = host->rtc;
    const struct rtci_actor_options *options = rtci_spec_options(start);
    host->start = malloc(size);
    if (!host->start)
        rtci_host_exit(host, "out of memory for an actor");
    memcpy(host->start, start, size);
    host->id = (struct rtci_id){start->seq, start->client, 0};
    host->incarnation = start->attempt;
    host->def = rtci_actor_def_by_hash(start->function);
    if (host->def && options->flags & RTCI_ACTOR_LIGHT) {
        host->own = host->def;
        host->def = rtci_actor_def_by_name(RTCI_LIGHT_HOST);
    }
    host->mailbox = options->mailbox ? options->mailbox : RTCI_ACTOR_MAILBOX;
    host->restarts = options->max_restarts != 0;
    host->mailbox_fail = options->flags & RTCI_ACTOR_MAILBOX_FAIL;
    host->threads = options->threads ? options->threads : 1;
    host->save_every = options->save_every ? options->save_every : 1;
    host->save_after_ns = options->save_after_ms * RTCI_NS_PER_MS;
    pthread_cond_init(&host->work, NULL);
    rtci_host_mail_init(host);
    rtc->host = host;
    rtc->self = host->id;
    host->stopping = rtci_id_equal(rtc->early_end, host->id);
    rtc->self_single = host->threads * host->n_groups == 1;
    rtc->n_threads = host->threads * host->n_groups;
    rtc->on_call = rtci_host_on_call;
    rtc->on_end = on_end;
    rtc->on_held = rtci_host_on_held;
    rtc->on_read = rtci_host_on_read;
    rtc->on_reader_gone = rtci_host_on_reader_gone;
    rtci_lanes_listen(rtc);
    rtci_free_running(rtc, options->max_restarts ? RTCI_CHAN_ACTOR_RESTARTS : RTCI_CHAN_ACTOR);
    rtci_consume_finished(rtc);
}

void rtci_host_run(struct rtc *rtc, const struct rtci_spec *start, size_t size)
{
    static struct host host;
    host.rtc = rtc;
    prepare(&host, start, size);
    rtci_light_host_begin(&host);
    construct(&host);
    loop(&host);
    __builtin_unreachable();
}
