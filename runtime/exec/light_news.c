/* What a host knows of its dead, and which processes it tells of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/exec/light_host.h"

/* ---- Graves: of each place the last few thousand that died there ---- */

#define GRAVES 8192u
struct grave {
    rtci_light_id id;
    const struct kind *kind;
    int32_t reason, code, user_code;
    char *text;
};
static struct grave graves[GRAVES];
static pthread_mutex_t graves_lock = PTHREAD_MUTEX_INITIALIZER;

void rtci_grave_dig(rtci_light_id id, const struct kind *kind, const struct rtci_light_down *why,
                    const struct extra *extra)
{
    struct grave grave = {.id = id, .kind = kind, .reason = why->reason, .code = why->code};
    if (extra && extra->text) {
        grave.text = strdup(extra->text);
        grave.code = extra->code;
        grave.user_code = extra->user_code;
    }
    pthread_mutex_lock(&graves_lock);
    char *old = graves[id.index % GRAVES].text;
    graves[id.index % GRAVES] = grave;
    pthread_mutex_unlock(&graves_lock);
    free(old);
}

static enum rtc_cause cause_of(int32_t reason)
{
    switch (reason) {
    case RTCI_LIGHT_NORMAL: return RTC_CAUSE_STOPPED;
    case RTCI_LIGHT_NOBODY: return RTC_CAUSE_HANDLES;
    case RTCI_LIGHT_FAILED: return RTC_CAUSE_CONSTRUCTOR;
    case RTCI_LIGHT_KILLED: return RTC_CAUSE_KILLED;
    case RTCI_LIGHT_LINKED: return RTC_CAUSE_LINK;
    case RTCI_LIGHT_SHUTDOWN: return RTC_CAUSE_JOB;
    default: return RTC_CAUSE_UNKNOWN;
    }
}

static const char *text_of(enum rtc_cause cause)
{
    switch (cause) {
    case RTC_CAUSE_STOPPED: return "it was stopped";
    case RTC_CAUSE_HANDLES: return "the last handle to it was released";
    case RTC_CAUSE_KILLED: return "it was killed";
    case RTC_CAUSE_LINK: return "an actor that it was linked to died";
    case RTC_CAUSE_JOB: return "its host ended";
    default: return "there is no such actor (any more)";
    }
}

static void inscription(rtci_light_id id, struct rtc_actor_info *info, char name[64])
{
    *info = (struct rtc_actor_info){.state = RTC_ACTOR_DEAD,
                                    .cause = RTC_CAUSE_UNKNOWN,
                                    .code = RTC_E_ACTOR_DEAD,
                                    .exit_status = -1,
                                    .node = rtci_lights.rtc->node,
                                    .pid = (uint32_t)getpid(),
                                    .incarnation = 1};
    name[0] = '\0';
    const char *text = NULL;
    pthread_mutex_lock(&graves_lock);
    const struct grave *grave = &graves[id.index % GRAVES];
    if (grave->id.index == id.index && grave->id.gen == id.gen) {
        info->cause = cause_of(grave->reason);
        info->user_code = grave->user_code;
        snprintf(name, 64, "%.63s", grave->kind->def->name);
        text = grave->text;
    }
    if (text && info->cause == RTC_CAUSE_CONSTRUCTOR)
        snprintf(info->text, sizeof(info->text), "its constructor failed: %.200s", text);
    else
        snprintf(info->text, sizeof(info->text), "%s", text_of(info->cause));
    pthread_mutex_unlock(&graves_lock);
}

void rtci_grave_info(rtci_light_id id, struct rtc_actor_info *ret_info)
{
    char name[64];
    inscription(id, ret_info, name);
}

int rtci_light_is_dead(rtci_light_id id)
{
    struct rtc_actor_info info;
    char name[64];
    inscription(id, &info, name);
    return rtci_error(RTC_E_ACTOR_DEAD, "the light actor%s%s is dead: %s", name[0] ? " " : "", name,
                      info.text);
}

void rtci_light_info_here(rtci_light_id id, struct rtc_actor_info *ret_info)
{
    if (!rtci_light_alive(rtci_light_ctx_now(), id)) {
        rtci_grave_info(id, ret_info);
        return;
    }
    *ret_info = (struct rtc_actor_info){.state = RTC_ACTOR_ALIVE,
                                        .exit_status = -1,
                                        .node = rtci_lights.rtc->node,
                                        .pid = (uint32_t)getpid(),
                                        .incarnation = 1};
}

/* ---- Told to other processes ---- */

static void info_items(const struct rtc_actor_info *info, struct rtc_value items[7])
{
    items[0] = rtc_i64(info->state);
    items[1] = rtc_i64(info->cause);
    items[2] = rtc_i64(info->code);
    items[3] = rtc_i64(info->user_code);
    items[4] = rtc_i64(info->node);
    items[5] = rtc_i64(info->pid);
    items[6] = rtc_str(info->text);
}

int rtci_op_info(struct rtc_call *call)
{
    struct rtc_actor_info info;
    struct rtc_value items[7];
    rtci_light_info_here(rtci_light_id_at(rtci_light_called(call->spec)), &info);
    info_items(&info, items);
    struct rtc_value list = rtc_list(items, 7);
    return rtc_return(call, &list);
}

struct watcher {
    struct watcher *next, **link;
    uint32_t client;
    int64_t number;
    bool cancelled;
};
struct item {
    struct item *next;
    uint64_t at;
    int64_t number;
    struct rtc_actor_info info;
};
/* A process that watches some. */
struct reader {
    struct reader *next;
    uint32_t client;
    uint64_t count; /* of its news; above 32 bits, of which incarnation */
    struct item *first, **last;
    struct rtc_promise *promise; /* its question, not answered yet */
};
/* All under rtc's lock. */
static struct watcher *watchers;
static struct reader *readers;

#define TOLD_MAX 64

static struct reader *reader_of(uint32_t client)
{
    struct reader *reader = readers;
    while (reader && reader->client != client)
        reader = reader->next;
    if (reader)
        return reader;
    reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    *reader = (struct reader){.next = readers,
                              .client = client,
                              .count = (uint64_t)rtci_lights.host->incarnation << 32,
                              .last = &reader->first};
    readers = reader;
    return reader;
}

/* The first of what it has not acknowledged. Returns how many. The lock is held; what the values
 * point to lives until the items are acknowledged, by the process that is told now. */
static size_t tell(struct reader *reader, struct rtc_value lists[TOLD_MAX],
                   struct rtc_value items[TOLD_MAX][3], struct rtc_value infos[TOLD_MAX][7])
{
    size_t n = 0;
    for (struct item *item = reader->first; item && n < TOLD_MAX; item = item->next, n++) {
        info_items(&item->info, infos[n]);
        items[n][0] = rtc_i64((int64_t)item->at);
        items[n][1] = rtc_i64(item->number);
        items[n][2] = rtc_list(infos[n], 7);
        lists[n] = rtc_list(items[n], 3);
    }
    return n;
}

static void answer(struct reader *reader, struct rtc_promise *promise)
{
    struct rtc_value lists[TOLD_MAX], items[TOLD_MAX][3], infos[TOLD_MAX][7];
    struct rtc_value list = rtc_list(lists, tell(reader, lists, items, infos));
    int rc = rtci_call_return(promise->call, &list);
    RTCI_IGNORE(rtci_promise_finish(promise, rc));
}

/* Not while the method that asks still runs. */
static void answer_news(struct reader *reader)
{
    struct rtc_promise *promise = reader->promise;
    if (!promise || !promise->call || !reader->first)
        return;
    reader->promise = NULL;
    answer(reader, promise);
}

void rtci_news_flush(void)
{
    for (struct reader *reader = readers; reader; reader = reader->next)
        answer_news(reader);
}

static void on_down(void *arg, const struct rtci_light_msg *msg)
{
    struct watcher *watcher = arg;
    struct rtc *rtc = rtci_lights.rtc;
    struct item *item = calloc(1, sizeof(*item));
    if (item)
        rtci_grave_info(msg->down.who, &item->info);
    pthread_mutex_lock(&rtc->lock);
    *watcher->link = watcher->next;
    if (watcher->next)
        watcher->next->link = watcher->link;
    struct reader *reader = watcher->cancelled ? NULL : reader_of(watcher->client);
    if (reader && item) {
        item->number = watcher->number;
        item->at = ++reader->count;
        *reader->last = item;
        reader->last = &item->next;
        item = NULL;
        answer_news(reader);
    }
    pthread_mutex_unlock(&rtc->lock);
    free(item);
    free(watcher);
}

int rtci_op_watch(struct rtc_call *call)
{
    struct rtc_value nil = rtc_nil();
    struct rtc *rtc = call->rtc;
    int64_t number;
    RTC_TRY(rtc_arg_i64(call, 0, &number));
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
        return RTC_E_NOMEM;
    pthread_mutex_lock(&rtc->lock);
    *watcher = (struct watcher){
        .next = watchers, .link = &watchers, .client = call->from->client, .number = number};
    if (watcher->next)
        watcher->next->link = &watcher->next;
    watchers = watcher;
    pthread_mutex_unlock(&rtc->lock);
    int rc =
        rtci_light_watch_outside(rtci_light_outside(rtci_lights.engine),
                                 rtci_light_id_at(rtci_light_called(call->spec)), on_down, watcher);
    if (rc < 0) {
        pthread_mutex_lock(&rtc->lock);
        *watcher->link = watcher->next;
        if (watcher->next)
            watcher->next->link = watcher->link;
        pthread_mutex_unlock(&rtc->lock);
        free(watcher);
        return rc;
    }
    return rtc_return(call, &nil);
}

int rtci_op_unwatch(struct rtc_call *call)
{
    struct rtc_value nil = rtc_nil();
    int64_t number;
    RTC_TRY(rtc_arg_i64(call, 0, &number));
    pthread_mutex_lock(&call->rtc->lock);
    for (struct watcher *w = watchers; w; w = w->next)
        w->cancelled |= w->client == call->from->client && w->number == number;
    pthread_mutex_unlock(&call->rtc->lock);
    return rtc_return(call, &nil);
}

/* What it has not heard yet, as soon as there is something. */
static int news_locked(struct rtc_call *call, uint64_t heard, struct rtc_promise *promise,
                       bool *ret_later)
{
    struct reader *reader = reader_of(call->from->client);
    if (!reader)
        return RTC_E_NOMEM;
    while (reader->first && reader->first->at <= heard) {
        struct item *item = reader->first;
        reader->first = item->next;
        if (!item->next)
            reader->last = &reader->first;
        free(item);
    }
    if (reader->promise) /* an older question, whose answer would be lost */
        answer(reader, reader->promise);
    reader->promise = NULL;
    *ret_later = !reader->first;
    if (!reader->first) {
        reader->promise = promise;
        return 0;
    }
    struct rtc_value lists[TOLD_MAX], items[TOLD_MAX][3], infos[TOLD_MAX][7];
    struct rtc_value list = rtc_list(lists, tell(reader, lists, items, infos));
    return rtci_call_return(call, &list);
}

int rtci_op_news(struct rtc_call *call)
{
    int64_t heard;
    bool later = false;
    struct rtc_promise *promise;
    RTC_TRY(rtc_arg_i64(call, 0, &heard));
    RTC_TRY(rtc_defer(call, &promise));
    pthread_mutex_lock(&call->rtc->lock);
    int rc = news_locked(call, (uint64_t)heard, promise, &later);
    pthread_mutex_unlock(&call->rtc->lock);
    if (!later) { /* answered at once */
        call->promise = NULL;
        free(promise);
    }
    return rc;
}
