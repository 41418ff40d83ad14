/* Running one call, and its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/exec/actor.h"
#include "runtime/exec/light_host.h"

/* ---- Arguments ---- */

/* The references of a call are its caller's until it is answered; here they are held besides,
 * because the caller may be of another job, or may end. */
static int hold(struct rtc *rtc, struct rtci_id id)
{
    int rc = rtci_retain_locked(rtc, rtci_ref_of(id));
    if (rc != RTC_E_RELEASED || id.client != rtc->client)
        return rc;
    /* Made here, released here, and kept by the caller: as if it were another's. */
    struct borrowed *b = rtci_borrowed_add(&rtc->borrowed, id);
    if (!b)
        return rtci_error(RTC_E_NOMEM, "out of memory for a reference");
    b->holds = 1;
    return rtci_send_ids(rtc, RTCI_R_HOLD, &id, 1, 0);
}

static int fetch(struct rtc_call *call)
{
    struct rtc *rtc = call->rtc;
    const struct rtci_id *refs = rtci_spec_refs(call->spec);
    for (uint32_t i = 0; i < call->spec->n_refs; i++)
        RTCI_TRY(hold(rtc, refs[i]));
    return rtci_call_fetch(call);
}

static void release(struct rtc_call *call)
{
    const struct rtci_id *refs = rtci_spec_refs(call->spec);
    for (uint32_t i = 0; i < call->spec->n_refs; i++)
        RTCI_IGNORE(rtci_release_locked(call->rtc, rtci_ref_of(refs[i])));
}

#define CHECKED_ARGS_MAX 64u
static int check_signature(struct rtc_call *call)
{
    struct rtc_value args[CHECKED_ARGS_MAX];
    uint32_t n = call->spec->n_args;
    if (!call->def->signature || n > CHECKED_ARGS_MAX)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        if (rtci_spec_args(call->spec)[i].size == RTCI_ARG_REF)
            args[i] = rtc_of_ref((rtc_ref){1, 1, 0}); /* seen when it is read */
        else
            RTCI_TRY(rtc_arg(call, i, &args[i]));
    }
    int rc = rtci_signature_check(call->def, args, n, call->n_rows);
    return rc < 0 ? rtci_call_fail(call, rc, 0, "%s", rtc_last_error()) : 0;
}

/* ---- Running ---- */

static int run_method(const char *class, const struct rtc_task_def *methods, struct rtc_call *call,
                      int method)
{
    const struct rtci_spec *spec = call->spec;
    if (method < 0) {
        call->never_ran = true;
        return rtci_call_fail(call, RTC_E_UNKNOWN_METHOD, 0,
                              "actor \"%s\" has no method with the hash %016llx: caller and actor "
                              "are not the same program",
                              class, (unsigned long long)spec->function);
    }
    call->def = &methods[method];
    if (spec->deadline_ns && rtci_now_ns() >= spec->deadline_ns) {
        call->never_ran = true;
        return rtci_call_fail(call, RTC_E_DEADLINE, 0,
                              "its deadline passed while it waited in the actor's mailbox");
    }
    call->never_ran = true;
    rtci_cell_may_wait(call, true);
    int rc = spec->n_refs ? fetch(call) : 0;
    rtci_cell_may_wait(call, false);
    if (rc < 0)
        return rtci_call_fail(call, rc, 0, "an argument could not be fetched: %s",
                              rtc_last_error());
    RTCI_TRY(check_signature(call));
    call->never_ran = false;
    rtci_error_clear();
    pthread_mutex_unlock(&call->rtc->lock);
    rc = call->def->run(call);
    pthread_mutex_lock(&call->rtc->lock);
    return rc;
}

static void tidy(struct host *host)
{
    struct rtc *rtc = host->rtc;
    if (host->n_running == 0)
        rtci_drop_borrowed(rtc);
    rtci_flush_releases(rtc);
    rtci_consume_finished(rtc);
}

/* One of them is used again and again: its buffers keep their memory. */
static struct rtc_call *call_take(struct host *host)
{
    struct rtc_call *call = host->spare_call;
    host->spare_call = NULL;
    return call ? call : calloc(1, sizeof(*call));
}

void rtci_call_give(struct host *host, struct rtc_call *call)
{
    if (!host->spare_call) {
        host->spare_call = call;
        return;
    }
    rtci_call_fini(call);
    free(call);
}

/* It ran when it was made before: who makes it again wants to know that it is saved. */
static void answer_again(struct host *host, struct message *message)
{
    struct rtc_call call = {.rtc = host->rtc,
                            .host = host,
                            .peer = message->from->peer,
                            .from = message->from,
                            .withhold = true,
                            .caller_node = message->from->node,
                            .spec = message->spec,
                            .what = "method"};
    rtci_call_begin(&call);
    int rc = rtci_call_fail(&call, RTC_E_LOST, 0, "the call ran, when it was made before");
    if (rtci_call_end(&call, rc, 0) < 0)
        rtci_host_exit(host, rtc_last_error());
    rtci_host_ran(host, message->from, message->spec);
    rtci_host_finished(host, message);
    rtci_call_fini(&call);
    free(message);
}

void rtci_host_execute(struct host *host, struct message *message)
{
    if (RTCI_UNLIKELY(message->again)) {
        answer_again(host, message);
        return;
    }
    rtci_host_execute_as(host, message, host->def->name, host->methods, NULL);
}

void rtci_host_execute_as(struct host *host, struct message *message, const char *class,
                          const struct rtc_task_def *methods, struct cell *cell)
{
    struct rtc *rtc = host->rtc;
    struct rtc_call *call = call_take(host);
    bool kept = rtci_host_keeps(host, cell);
    if (!call)
        rtci_host_exit(host, "out of memory for a call");
    call->rtc = rtc;
    call->host = host;
    call->peer = message->from ? message->from->peer : NULL;
    call->from = message->from;
    call->cell = cell;
    call->local = false;
    call->few = NULL;
    call->withhold = kept && message->from;
    call->caller_node = message->from ? message->from->node : 0;
    call->spec = message->spec;
    call->def = NULL;
    call->yields = NULL;
    call->what = "method";
    rtci_call_begin(call);
    if (rtc->self_single) /* what it calls and submits inherits it */
        rtc->running.deadline_ns = message->spec->deadline_ns;
    int rc = run_method(class, methods, call, message->method);
    rtc->running.deadline_ns = 0;
    bool later = call->promise && rtci_host_deferred(call, message, rc);
    if (call->yields)
        rtci_stream_ends(call);
    if (!later && rtci_call_end(call, rc, 0) < 0)
        rtci_host_exit(host, rtc_last_error());
    if (message->spec->n_refs)
        release(call);
    if (call->yields)
        rtci_stream_ended(call);
    if (kept)
        rtci_host_ran(host, message->from, message->spec);
    rtci_host_finished(host, message);
    tidy(host);
    if (later)
        return;
    free(message);
    rtci_call_give(host, call);
}

void rtci_host_refuse(struct host *host, struct message *message)
{
    if (message->refuse == RTC_E_LOST && host->keeping &&
        rtci_host_replay(host, message->from, message->spec->seq)) {
        free(message);
        return;
    }
    struct rtc_call call = {.rtc = host->rtc,
                            .host = host,
                            .peer = message->from->peer,
                            .caller_node = message->from->node,
                            .spec = message->spec,
                            .what = "method",
                            .never_ran = message->refuse != RTC_E_LOST};
    bool never = call.never_ran;
    rtci_call_begin(&call);
    call.never_ran = never;
    int rc = rtci_call_fail(&call, message->refuse, 0, "%s", message->why);
    if (rtci_call_end(&call, rc, 0) < 0)
        rtci_host_exit(host, rtc_last_error());
    /* A call that was refused for want of room has had its turn. */
    const struct rtci_call *said = rtci_spec_call(message->spec);
    if (message->refuse == RTC_E_AGAIN &&
        (!host->rtc->self_single || message->from->finished == said->after))
        rtci_host_passed(host, message->from, said);
    rtci_call_fini(&call);
    free(message);
}

int rtci_host_special(struct host *host, struct rtc_call *call, const struct rtci_spec *spec,
                      const char *name, int (*run)(struct rtc_call *call))
{
    struct rtc_task_def def = {.name = name, .run = run};
    call->rtc = host->rtc;
    call->host = host;
    call->spec = spec;
    call->def = &def;
    call->what = "actor";
    rtci_call_begin(call);
    int rc = rtci_call_fetch(call);
    if (rc < 0)
        return rtci_call_fail(call, rc, 0, "an argument could not be fetched: %s",
                              rtc_last_error());
    rtci_error_clear();
    pthread_mutex_unlock(&host->rtc->lock);
    rc = run(call);
    pthread_mutex_lock(&host->rtc->lock);
    call->n_rows = call->n_returned; /* it need not return anything */
    rtci_call_judge(call, rc);
    if (host->n_running == 0)
        rtci_drop_borrowed(host->rtc);
    call->def = NULL;
    return call->fail_code;
}

/* ---- Answers that are objects ---- */

int rtci_call_lend(struct rtc_call *call, rtc_ref ref)
{
    struct lent *lent = calloc(1, sizeof(*lent));
    if (!lent)
        return rtci_error(RTC_E_NOMEM, "out of memory for a return value");
    *lent = (struct lent){.next = call->host->lent, .ref = ref};
    call->host->lent = lent;
    return 0;
}

void rtci_host_on_held(struct rtc *rtc, struct rtci_id id)
{
    struct lent **at = &rtc->host->lent, *lent;
    while ((lent = *at) && !rtci_id_equal(rtci_id_of(lent->ref), id))
        at = &lent->next;
    if (!lent)
        return;
    *at = lent->next;
    RTCI_IGNORE(rtci_release_locked(rtc, lent->ref));
    free(lent);
}
