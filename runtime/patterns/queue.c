/* The queue and the barrier: actors whose methods answer later (rtc_defer), so that thousands wait
 * in one that runs one call at a time. A wait's end is the actor's to say: were it the caller's, an
 * item could be on its way to somebody who has left. */
#include <rtc/patterns.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/error.h"

#define LARGE 65536 /* of these the object travels, not the bytes */

/* Somebody who waits for an answer; first come, first served. */
struct waiter {
    struct waiter *next;
    uint64_t number;
    struct rtc_promise *promise;
    rtc_ref item; /* of a put: what is to be put */
};
struct line {
    struct waiter *first, **last;
    uint64_t numbers;
};

static void line_init(struct line *line)
{
    line->last = &line->first;
}

static struct waiter *line_take(struct line *line, struct waiter **at)
{
    struct waiter *w = *at;
    *at = w->next;
    if (!*at)
        line->last = at;
    return w;
}

/* The one with the number, or NULL: it has its answer already. */
static struct waiter *line_find(struct line *line, uint64_t number)
{
    for (struct waiter **at = &line->first; *at; at = &(*at)->next) {
        if ((*at)->number == number)
            return line_take(line, at);
    }
    return NULL;
}

/* The running call waits in the line; `method` is called with its number when its time is over. */
static int line_wait(struct line *line, struct rtc_call *call, int64_t timeout, const char *method,
                     struct waiter **ret_waiter)
{
    struct waiter *w = calloc(1, sizeof(*w));
    if (!w)
        return rtci_error(RTC_E_NOMEM, "out of memory for a queue");
    w->number = ++line->numbers;
    int rc = timeout < 0 ? 0 : rtc_self_later(call, timeout, method, RTC_ARGS(rtc_u64(w->number)));
    if (rc == 0)
        rc = rtc_defer(call, &w->promise);
    if (rc < 0) {
        free(w);
        return rc;
    }
    *line->last = w;
    line->last = &w->next;
    *ret_waiter = w;
    return 0;
}

static int answer(struct waiter *w, const struct rtc_value *value)
{
    int rc = rtc_promise_return(w->promise, value);
    free(w);
    return rc;
}

static int answer_bool(struct waiter *w, bool yes)
{
    struct rtc_value value = rtc_bool(yes);
    return answer(w, &value);
}

static int expired(struct rtc_call *call, struct line *line, struct waiter **ret_waiter)
{
    int64_t number;
    RTC_TRY(rtc_arg_i64(call, 0, &number));
    *ret_waiter = line_find(line, (uint64_t)number);
    return 0;
}

/* ---- Queue ---- */

struct queue {
    rtc_ref *items; /* a ring */
    size_t head, n, cap;
    uint64_t most; /* 0 = no bound */
    struct line getters, putters;
};

static int queue_init(struct rtc_call *call)
{
    struct queue *q = rtc_self(call);
    int64_t most;
    RTC_TRY(rtc_arg_i64(call, 0, &most));
    q->most = (uint64_t)most;
    line_init(&q->getters);
    line_init(&q->putters);
    return 0;
}

static int queue_push(struct queue *q, rtc_ref item)
{
    if (q->n == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 64;
        rtc_ref *items = calloc(cap, sizeof(*items));
        if (!items)
            return rtci_error(RTC_E_NOMEM, "out of memory for a queue");
        for (size_t i = 0; i < q->n; i++)
            items[i] = q->items[(q->head + i) & (q->cap - 1)];
        free(q->items);
        q->items = items;
        q->cap = cap;
        q->head = 0;
    }
    q->items[(q->head + q->n++) & (q->cap - 1)] = item;
    return 0;
}

static rtc_ref queue_pop(struct queue *q)
{
    rtc_ref item = q->items[q->head++ & (q->cap - 1)];
    q->n--;
    return item;
}

/* To the first who waits for one, else into the queue. Takes the reference. */
static int queue_add(struct rtc *rtc, struct queue *q, rtc_ref item)
{
    struct rtc_value value;
    if (!q->getters.first)
        return queue_push(q, item);
    int rc = rtc_get(rtc, item, 0, &value);
    if (rc == 0)
        rc = answer(line_take(&q->getters, &q->getters.first), &value);
    (void)rtc_release(rtc, item);
    return rc;
}

/* put(item, timeout): true when it is in */
static int queue_put(struct rtc_call *call)
{
    struct queue *q = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    struct rtc_value item;
    int64_t timeout;
    rtc_ref ref;
    struct waiter *w;
    RTC_TRY(rtc_arg(call, 0, &item));
    RTC_TRY(rtc_arg_i64(call, 1, &timeout));
    bool full = q->most && q->n >= q->most;
    struct rtc_value in = rtc_bool(!full);
    if (full && timeout == 0)
        return rtc_return(call, &in);
    RTC_TRY(rtc_put(rtc, &item, &ref));
    int rc = full ? line_wait(&q->putters, call, timeout, "put_late", &w) : queue_add(rtc, q, ref);
    if (rc < 0) {
        (void)rtc_release(rtc, ref);
        return rc;
    }
    if (!full)
        return rtc_return(call, &in);
    w->item = ref;
    return 0;
}

static int queue_put_late(struct rtc_call *call)
{
    struct queue *q = rtc_self(call);
    struct waiter *w;
    RTC_TRY(expired(call, &q->putters, &w));
    if (w) {
        (void)rtc_release(rtc_call_rtc(call), w->item);
        RTC_TRY(answer_bool(w, false));
    }
    return rtc_return_i64(call, 0);
}

/* get(timeout): the item, or nil */
static int queue_get(struct rtc_call *call)
{
    struct queue *q = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    struct rtc_value item = rtc_nil();
    int64_t timeout;
    struct waiter *w;
    RTC_TRY(rtc_arg_i64(call, 0, &timeout));
    if (q->n == 0)
        return timeout == 0 ? rtc_return(call, &item)
                            : line_wait(&q->getters, call, timeout, "get_late", &w);
    rtc_ref ref = queue_pop(q);
    int rc = rtc_get(rtc, ref, 0, &item);
    rc = rc < 0 ? rc : rtc_return(call, &item);
    (void)rtc_release(rtc, ref);
    if (rc == 0 && q->putters.first) { /* there is room for one more */
        w = line_take(&q->putters, &q->putters.first);
        rc = queue_push(q, w->item);
        rc = rc < 0 ? rc : answer_bool(w, true);
    }
    return rc;
}

static int queue_get_late(struct rtc_call *call)
{
    struct queue *q = rtc_self(call);
    struct rtc_value none = rtc_nil();
    struct waiter *w;
    RTC_TRY(expired(call, &q->getters, &w));
    if (w)
        RTC_TRY(answer(w, &none));
    return rtc_return_i64(call, 0);
}

static int queue_size(struct rtc_call *call)
{
    const struct queue *q = rtc_self(call);
    return rtc_return_i64(call, (int64_t)q->n);
}

static void queue_drop(void *state)
{
    struct queue *q = state;
    free(q->items); /* the items themselves go with the process */
}

static const struct rtc_actor_def queue_def = {
    .name = "rtc.queue",
    .state_size = sizeof(struct queue),
    .init = queue_init,
    .drop = queue_drop,
    .methods = {{.name = "put", .run = queue_put},
                {.name = "get", .run = queue_get},
                {.name = "size", .run = queue_size},
                {.name = "put_late", .run = queue_put_late},
                {.name = "get_late", .run = queue_get_late}},
};

int rtc_queue_create(struct rtc *rtc, uint64_t most, const struct rtc_actor_options *options,
                     rtc_actor *ret_queue)
{
    return rtc_actor_create(rtc, queue_def.name, RTC_ARGS(rtc_u64(most)), options, ret_queue);
}

static bool is_large(const struct rtc_value *item)
{
    switch (item->type) {
    case RTC_STRING:
    case RTC_BYTES: return item->as.bytes.size > LARGE;
    case RTC_ARRAY:
        return item->is_packed ? item->as.packed.size > LARGE : item->as.array->size > LARGE;
    default: return false;
    }
}

int rtc_queue_put(struct rtc *rtc, rtc_actor queue, const struct rtc_value *item, int64_t timeout)
{
    rtc_ref ref, large = {0};
    bool in = false;
    struct rtc_value one = *item, value;
    int rc = 0;
    if (is_large(item)) {
        rc = rtc_put(rtc, item, &large);
        one = rtc_of_ref(large);
    }
    /* In a list: a reference there is passed on as it is. */
    if (rc == 0)
        rc = rtc_actor_call(rtc, queue, "put", RTC_ARGS(rtc_list(&one, 1), rtc_i64(timeout)), NULL,
                            &ref);
    if (large.client)
        (void)rtc_release(rtc, large);
    if (rc < 0)
        return rc;
    rc = rtc_get(rtc, ref, RTC_FOREVER, &value);
    rc = rc < 0 ? rc : rtc_value_bool(&value, &in);
    (void)rtc_release(rtc, ref);
    if (rc == 0 && !in)
        rc = rtci_error(RTC_E_TIMEOUT, "the queue was full until the timeout passed");
    return rc;
}

int rtc_queue_get(struct rtc *rtc, rtc_actor queue, int64_t timeout, rtc_ref *ret_ref,
                  struct rtc_value *ret_item)
{
    rtc_ref ref, inner;
    struct rtc_value list, item;
    RTC_TRY(rtc_actor_call(rtc, queue, "get", RTC_ARGS(rtc_i64(timeout)), NULL, &ref));
    int rc = rtc_get(rtc, ref, RTC_FOREVER, &list);
    if (rc == 0)
        rc = list.type == RTC_LIST
                 ? rtc_value_at(&list, 0, &item)
                 : rtci_error(RTC_E_TIMEOUT, "the queue was empty until the timeout passed");
    if (rc == 0 && item.type == RTC_REF) {
        rc = rtc_value_ref(&item, &inner);
        rc = rc < 0 ? rc : rtc_retain(rtc, inner);
        (void)rtc_release(rtc, ref);
        ref = inner;
        rc = rc < 0 ? rc : rtc_get(rtc, ref, RTC_FOREVER, &item);
    }
    if (rc < 0) {
        (void)rtc_release(rtc, ref);
        return rc;
    }
    *ret_ref = ref;
    *ret_item = item;
    return 0;
}

int rtc_queue_size(struct rtc *rtc, rtc_actor queue, uint64_t *ret_size)
{
    rtc_ref ref;
    int64_t n = 0;
    RTC_TRY(rtc_actor_call(rtc, queue, "size", NULL, NULL, &ref));
    int rc = rtc_get_i64(rtc, ref, RTC_FOREVER, &n);
    (void)rtc_release(rtc, ref);
    *ret_size = (uint64_t)n;
    return rc;
}

/* ---- Barrier ---- */

struct barrier {
    uint32_t n, here;
    uint64_t round;
    struct line line;
};

static int barrier_init(struct rtc_call *call)
{
    struct barrier *b = rtc_self(call);
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    if (n < 1)
        return rtc_fail(call, RTC_E_INVALID, "a barrier for %lld", (long long)n);
    b->n = (uint32_t)n;
    line_init(&b->line);
    return 0;
}

/* wait(timeout): the round's number, or -1 */
static int barrier_wait(struct rtc_call *call)
{
    struct barrier *b = rtc_self(call);
    int64_t timeout;
    struct waiter *w;
    RTC_TRY(rtc_arg_i64(call, 0, &timeout));
    if (b->here + 1 < b->n) {
        if (timeout == 0)
            return rtc_return_i64(call, -1);
        RTC_TRY(line_wait(&b->line, call, timeout, "late", &w));
        b->here++;
        return 0;
    }
    struct rtc_value round = rtc_i64((int64_t)b->round++);
    b->here = 0;
    while (b->line.first)
        RTC_TRY(answer(line_take(&b->line, &b->line.first), &round));
    return rtc_return(call, &round);
}

static int barrier_late(struct rtc_call *call)
{
    struct barrier *b = rtc_self(call);
    struct rtc_value none = rtc_i64(-1);
    struct waiter *w;
    RTC_TRY(expired(call, &b->line, &w));
    if (w) {
        b->here--;
        RTC_TRY(answer(w, &none));
    }
    return rtc_return_i64(call, 0);
}

static const struct rtc_actor_def barrier_def = {
    .name = "rtc.barrier",
    .state_size = sizeof(struct barrier),
    .init = barrier_init,
    .methods = {{.name = "wait", .run = barrier_wait}, {.name = "late", .run = barrier_late}},
};

int rtc_barrier_create(struct rtc *rtc, uint32_t n, const struct rtc_actor_options *options,
                       rtc_actor *ret_barrier)
{
    return rtc_actor_create(rtc, barrier_def.name, RTC_ARGS(rtc_i64(n)), options, ret_barrier);
}

int rtc_barrier_wait(struct rtc *rtc, rtc_actor barrier, int64_t timeout, uint64_t *ret_round)
{
    rtc_ref ref;
    int64_t round = -1;
    RTC_TRY(rtc_actor_call(rtc, barrier, "wait", RTC_ARGS(rtc_i64(timeout)), NULL, &ref));
    int rc = rtc_get_i64(rtc, ref, RTC_FOREVER, &round);
    (void)rtc_release(rtc, ref);
    if (rc < 0)
        return rc;
    if (ret_round && round >= 0)
        *ret_round = (uint64_t)round;
    return round >= 0 ? 0
                      : rtci_error(RTC_E_TIMEOUT, "not all had come to the barrier when the "
                                                  "timeout passed");
}

__attribute__((constructor)) static void register_classes(void)
{
    (void)rtc_actor_register(&queue_def);
    (void)rtc_actor_register(&barrier_def);
}
