/* The mailbox: calls in the order of each caller, each once.
 *
 * A call that comes before its turn waits for those that are missing: they may come another way, or
 * again. One that came before is dropped, unless it has ended: then its answer may have been lost
 * with the daemon. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_host.h"
#include "runtime/exec/outbox.h"

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){.last = &queue->first};
}

static void push(struct queue *queue, struct message *message)
{
    message->next = NULL;
    *queue->last = message;
    queue->last = &message->next;
    queue->n++;
}

static uint32_t group_named(struct host *host, const char *name)
{
    for (uint32_t i = 1; i < host->n_groups; i++) {
        if (strcmp(host->groups[i].name, name) == 0)
            return i;
    }
    if (host->n_groups == HOST_GROUPS_MAX)
        return 0;
    host->groups[host->n_groups].name = name;
    return host->n_groups++;
}

void rtci_host_mail_init(struct host *host)
{
    host->n_groups = 1;
    for (uint32_t i = 0; host->def && i < RTC_METHODS_MAX && host->def->methods[i].name; i++) {
        const struct rtc_method_def *method = &host->def->methods[i];
        host->methods[i] = (struct rtc_task_def){
            .name = method->name, .run = method->run, .signature = method->signature};
        host->group_of[i] = method->group ? group_named(host, method->group) : 0;
    }
    for (uint32_t i = 0; i < HOST_GROUPS_MAX; i++)
        queue_init(&host->groups[i].queue);
    queue_init(&host->refused);
}

/* ---- Callers ---- */

struct from *rtci_host_from(struct host *host, uint32_t client, uint32_t node)
{
    const uint32_t *known = rtci_map_find(&host->from_by_client, client, 0);
    if (RTCI_LIKELY(known != NULL)) {
        struct from *from = host->from[*known];
        if (node && from->node != node) { /* one that was read from a saved state, or moved */
            from->node = node;
            rtci_peer_get(host->rtc, node, client);
        }
        return from;
    }
    if (host->n_from == host->cap_from) {
        uint32_t cap = host->cap_from ? host->cap_from * 2 : 16;
        struct from **all = realloc(host->from, cap * sizeof(struct from *));
        if (!all)
            return NULL;
        host->from = all;
        host->cap_from = cap;
    }
    struct from *from = calloc(1, sizeof(*from));
    if (!from || !rtci_map_set(&host->from_by_client, client, 0, host->n_from)) {
        free(from);
        return NULL;
    }
    *from = (struct from){
        .client = client, .node = node, .peer = rtci_peer_get(host->rtc, node, client)};
    if (from->peer)
        rtci_route_begun(host->rtc, from->peer, 0);
    host->from[host->n_from++] = from;
    return from;
}

/* ---- Messages ---- */

struct message *rtci_message_new(const struct rtci_spec *spec, size_t size)
{
    size_t rows = spec->n_refs * sizeof(struct rtci_resolved);
    struct message *message = malloc(sizeof(*message) + size + rows);
    if (!message)
        return NULL;
    *message = (struct message){.spec = (struct rtci_spec *)message->record};
    memcpy(message->record, spec, size);
    struct rtci_resolved *resolved = (struct rtci_resolved *)(message->record + size);
    for (uint32_t i = 0; i < spec->n_refs; i++)
        resolved[i] = (struct rtci_resolved){.kind = RTCI_KIND_ABSENT};
    return message;
}

static void refuse(struct host *host, struct message *message, int code, const char *why)
{
    message->refuse = code;
    message->why = why;
    push(&host->refused, message);
    host->rtc->changes++;
}

static struct group *group_of(struct host *host, const struct message *message)
{
    return &host->groups[message->method < 0 ? 0 : host->group_of[message->method]];
}

void rtci_host_enqueue(struct host *host, struct message *message)
{
    message->method = host->def ? rtci_method_by_hash(host->def, message->spec->function) : -1;
    push(&group_of(host, message)->queue, message);
    host->n_waiting++;
    host->rtc->changes++;
    if (!host->rtc->self_single)
        pthread_cond_broadcast(&host->work);
}

/* An actor that saves its state makes it again, after a crash. One that saves too answers behind
 * the first, so that what is answered is saved. False: it has not come before. */
static bool came_before(struct host *host, struct message *message)
{
    if (!rtci_source_seen(host, message->spec))
        return false;
    if (host->keeping && !host->lights) {
        message->again = true;
        rtci_host_enqueue(host, message);
    } else {
        const struct rtci_call *call = rtci_spec_call(message->spec);
        if (!host->rtc->self_single || message->from->finished == call->after)
            rtci_host_passed(host, message->from, call);
        refuse(host, message, RTC_E_LOST, "the call ran, when it was made before");
    }
    return true;
}

static void accept_call(struct host *host, struct message *message)
{
    bool numbered = rtci_call_number(message->spec) != 0;
    if (host->keeping) {
        rtci_host_answered(host, message->from, rtci_spec_call(message->spec)->answered);
        if (message->spec->seq <= message->from->saved_seq &&
            rtci_host_saves(host, message->spec)) {
            rtci_host_passed(host, message->from, rtci_spec_call(message->spec));
            refuse(host, message, RTC_E_LOST, "the call ran, and its answer was not kept");
            return;
        }
    }
    if (RTCI_UNLIKELY(numbered) && came_before(host, message))
        return;
    if (host->n_waiting >= host->mailbox && host->mailbox_fail) {
        refuse(host, message, RTC_E_AGAIN, "the actor's mailbox is full");
        return;
    }
    if (RTCI_UNLIKELY(numbered))
        rtci_source_came(host, message->spec);
    rtci_host_enqueue(host, message);
}

static void put_aside(struct from *from, struct message *message)
{
    struct message **at = &from->ahead;
    uint64_t order = rtci_spec_call(message->spec)->order;
    while (*at && rtci_spec_call((*at)->spec)->order < order)
        at = &(*at)->next;
    if (*at && rtci_spec_call((*at)->spec)->order == order) {
        free(message); /* a second time */
        return;
    }
    message->next = *at;
    *at = message;
}

static bool has_ended(const struct from *from, uint64_t order)
{
    const struct ended *e = from->ended;
    while (e && e->order < order)
        e = e->next;
    return order <= from->finished || (e && e->order == order);
}

void rtci_host_on_call(struct rtc *rtc, const struct rtci_spec *spec)
{
    struct host *host = rtc->host;
    const struct rtci_call *call = rtci_spec_call(spec);
    struct from *from = rtci_host_from(host, spec->client, call->caller_node);
    struct message *message = from && from->peer ? rtci_message_new(spec, spec->rec.size) : NULL;
    if (!message) {
        rtci_die(rtc, RTC_E_NOMEM, "out of memory for a call");
        return;
    }
    message->from = from;
    if (!rtci_id_equal(call->actor, host->id) || call->incarnation != host->incarnation) {
        refuse(host, message, RTC_E_CRASHED, "the actor is not here any more");
        return;
    }
    if (call->order <= from->last) {
        if (has_ended(from, call->order) && !rtci_host_withheld(host, from, spec->seq) &&
            !rtci_stream_waits(host, (struct rtci_id){spec->seq, spec->client, 0}))
            refuse(host, message, RTC_E_LOST,
                   "the call ran, and its answer was lost when the daemon was killed");
        else
            free(message); /* it is under way, or its answer is */
        return;
    }
    if (call->after && call->after != from->last) {
        put_aside(from, message);
        return;
    }
    from->last = call->order;
    accept_call(host, message);
    while (from->ahead && rtci_spec_call(from->ahead->spec)->after == from->last) {
        message = from->ahead;
        from->ahead = message->next;
        from->last = rtci_spec_call(message->spec)->order;
        accept_call(host, message);
    }
}

struct message *rtci_host_next(struct host *host, struct group *group)
{
    struct queue *queue = &group->queue;
    struct message *message = queue->first;
    if (!message || host->leaving || !host->up || group->running >= host->threads)
        return NULL;
    rtci_host_leased(host);
    queue->first = message->next;
    if (!message->next)
        queue->last = &queue->first;
    queue->n--;
    host->n_waiting--;
    host->n_running++;
    group->running++;
    if (message->from)
        rtci_route_begun(host->rtc, message->from->peer, rtci_spec_call(message->spec)->order);
    return message;
}

/* Put aside until those before it have ended, which are few: at most what is in flight. */
static void put_ended(struct from *from, uint64_t order, uint64_t after)
{
    bool last = !from->ended || from->ended_last->order < order;
    struct ended **at = last && from->ended ? &from->ended_last->next : &from->ended;
    while (*at && (*at)->order < order)
        at = &(*at)->next;
    if (*at && (*at)->order == order)
        return;
    struct ended *e = malloc(sizeof(*e));
    if (!e)
        return; /* then it is taken to run still */
    *e = (struct ended){*at, order, after};
    *at = e;
    if (last)
        from->ended_last = e;
}

void rtci_host_passed(struct host *host, struct from *from, const struct rtci_call *call)
{
    struct ended *e;
    if (call->order <= from->finished)
        return;
    /* With several at a time an earlier one may still run. */
    if (!host->rtc->self_single && call->after > from->finished) {
        put_ended(from, call->order, call->after);
        return;
    }
    from->finished = call->order;
    while ((e = from->ended) && e->after <= from->finished) {
        from->finished = e->order > from->finished ? e->order : from->finished;
        from->ended = e->next;
        free(e);
    }
}

void rtci_host_finished(struct host *host, const struct message *message)
{
    group_of(host, message)->running--;
    host->n_running--;
    if (message->from)
        rtci_host_passed(host, message->from, rtci_spec_call(message->spec));
}

/* ---- The actor's own calls, later ---- */

uint64_t rtci_host_timers(struct host *host)
{
    if (RTCI_LIKELY(!host->timers))
        return UINT64_MAX;
    uint64_t now = rtci_now_ns();
    while (host->timers && host->timers->due_ns <= now) {
        struct message *message = host->timers;
        host->timers = message->next;
        rtci_host_enqueue(host, message);
    }
    return host->timers ? host->timers->due_ns : UINT64_MAX;
}
