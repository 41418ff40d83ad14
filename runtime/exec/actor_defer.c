/* Calls that are answered later, by another call of the actor. */
#include <stdlib.h>

#include "runtime/exec/actor.h"
#include "runtime/exec/light_host.h"

int rtc_defer(struct rtc_call *call, struct rtc_promise **ret_promise)
{
    if (!ret_promise)
        return rtci_error(RTC_E_INVALID, "ret_promise is NULL");
    if (!call->host)
        return rtci_error(RTC_E_UNSUPPORTED,
                          "rtc_defer() is for methods of actors: this is a task");
    bool saves = call->cell ? call->cell->kind->def->save : call->host->def->save;
    if (call->spec->flags & RTCI_SPEC_STREAM || saves)
        return rtci_error(RTC_E_UNSUPPORTED, "method \"%s\" cannot answer later: %s",
                          call->def->name,
                          saves ? "its class has `save`, which covers whole calls"
                                : "it was called as a stream, whose end is the method's");
    if (call->promise)
        return rtci_error(RTC_E_INVALID, "method \"%s\" has deferred this call already",
                          call->def->name);
    call->promise = calloc(1, sizeof(*call->promise));
    if (!call->promise)
        return rtci_error(RTC_E_NOMEM, "out of memory for an answer that is given later");
    *ret_promise = call->promise;
    return 0;
}

bool rtci_host_deferred(struct rtc_call *call, struct message *message, int rc)
{
    struct rtc_promise *promise = call->promise;
    if (rc < 0 || call->fail_code) { /* it failed instead */
        free(promise);
        call->promise = NULL;
        return false;
    }
    *promise = (struct rtc_promise){call, message, NULL, NULL, NULL};
    if (call->cell)
        rtci_promise_keep(promise, call->cell);
    return true;
}

int rtci_promise_finish(struct rtc_promise *promise, int rc)
{
    struct rtc_call *call = promise->call;
    struct host *host = call->host;
    int sent = rtci_call_end(call, rc, 0);
    if (call->cell)
        rtci_promise_forget(promise);
    free(promise->message);
    free(promise);
    rtci_call_give(host, call);
    return sent;
}

static int check(struct rtc_promise *promise)
{
    if (!promise)
        return rtci_error(RTC_E_INVALID, "the promise is NULL");
    if (!promise->call)
        return rtci_error(RTC_E_INVALID, "a method that has deferred its call cannot answer it "
                                         "itself: it had better return the value");
    return rtci_enter(promise->call->rtc);
}

int rtc_promise_return(struct rtc_promise *promise, const struct rtc_value *value)
{
    if (!value)
        return rtci_error(RTC_E_INVALID, "value is NULL");
    RTCI_TRY(check(promise));
    struct rtc *rtc = promise->call->rtc;
    int rc = rtci_call_return(promise->call, value);
    int sent = rtci_promise_finish(promise, rc);
    rtci_leave(rtc);
    return rc < 0 ? rc : sent;
}

int rtc_promise_fail(struct rtc_promise *promise, int code, const char *text)
{
    RTCI_TRY(check(promise));
    struct rtc *rtc = promise->call->rtc;
    RTCI_IGNORE(rtci_call_fail(promise->call, RTC_E_TASK_FAILED,
                               code < 0 ? code : RTC_E_TASK_FAILED, "%s", text ? text : ""));
    int sent = rtci_promise_finish(promise, code);
    rtci_leave(rtc);
    return sent;
}
