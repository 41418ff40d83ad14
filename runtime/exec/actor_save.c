/* Actors that save their state: what they answer was saved before.
 *
 * Answers are withheld until the state that they tell of stands in the journal. With it stand, for
 * each caller, the last of its calls that it has seen, and the answers that it may not have: so a
 * call that is made again after a crash is answered again, and not run again.
 *
 * The state is saved when enough calls came, after a time, and whenever there is nothing else to
 * do; while a save is on its way, calls go on, and wait for the next one.
 *
 * Answers that were given are kept as far as there is room: callers die without a word, so those of
 * who has called for the longest time ago go first, and of more than so many callers nothing is
 * kept.
 *
 * What methods say to others waits for the same save: actor_outbox.c.
 *
 * A saved state: struct saved_head; for each caller, by who called last, struct saved_from and its
 * answers, whole records; sources and outbox (outbox.h); then the value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_host.h"
#include "runtime/exec/outbox.h"

#define SPACE     "rtc/actor" /* of the key-value store; the key is the actor's id */
#define MAGIC_OLD 0x31415352u /* without sources and outbox */
#define MAGIC     0x32415352u

#define CALLERS_MAX 4096u /* a saved state knows of so many, those that called last */
#define UNSENT_NS   (2 * RTCI_NS_PER_S)
#define STALE_NS    RTCI_NS_PER_S /* after this what was answered is taken out of the saved state */

void (*rtci_save_step)(enum rtci_save_step step);

static void step(enum rtci_save_step at)
{
    if (RTCI_UNLIKELY(rtci_save_step != NULL))
        rtci_save_step(at);
}

struct saved_head {
    uint32_t magic, n_from;
    uint64_t value_size;
};
struct saved_from {
    uint32_t client, n_replies;
    uint64_t seq;
};

/* An answer: withheld, or kept because the caller may ask for it again. */
struct saved {
    struct saved *next;
    struct from *from;
    bool by_daemon; /* as the values of its stream */
    _Alignas(8) uint8_t record[];
};

struct keeping {
    struct saved *withheld, **withheld_tail;
    struct saved *committing;
    size_t reply_bytes; /* of all callers' replies */
    uint64_t n_ran;     /* calls, of anybody; with the last save that began: */
    uint64_t n_ran_saved;
    uint32_t n_unsaved;    /* calls since the last save began */
    uint64_t since_ns;     /* the first of them ended */
    uint64_t saved_ns;     /* the last save was committed */
    bool under_way, asked; /* asked: a light actor, to begin it in a turn of its own */
    bool finishing;        /* a thread lets go what the last one covered */
    struct request request;
    struct rtci_buf record; /* of the request: sent again after a restart of the daemon */
};

/* ---- Answers ---- */

static const struct rtci_done *answer_of(const struct saved *saved)
{
    return (const struct rtci_done *)saved->record;
}

int rtci_host_withhold(struct rtc_call *call, const struct rtci_done *done)
{
    struct keeping *k = call->host->keeping;
    struct saved *saved = malloc(sizeof(*saved) + done->rec.size);
    if (!saved)
        return rtci_error(RTC_E_NOMEM, "out of memory for an answer");
    saved->next = NULL;
    saved->from = call->from;
    saved->by_daemon = call->by_daemon;
    memcpy(saved->record, done, done->rec.size);
    *k->withheld_tail = saved;
    k->withheld_tail = &saved->next;
    return 0;
}

static void send_answer(struct host *host, const struct saved *saved)
{
    const struct rtci_done *done = answer_of(saved);
    bool by_daemon = saved->by_daemon;
    void *at;
    if (rtci_route_reserve_reply(host->rtc, saved->from->peer, done->rec.size, &by_daemon, &at) < 0)
        rtci_host_exit(host, rtc_last_error());
    memcpy(at, done, done->rec.size);
    ((struct rtci_done *)at)->attempt = saved->from->node;
    rtci_route_send(host->rtc, saved->from->peer);
}

bool rtci_host_replay(struct host *host, struct from *from, uint64_t seq)
{
    for (struct saved *saved = from->replies; saved; saved = saved->next) {
        if (answer_of(saved)->seq != seq)
            continue;
        send_answer(host, saved);
        return true;
    }
    return false;
}

static bool holds(const struct saved *saved, const struct from *from, uint64_t seq)
{
    while (saved && (saved->from != from || answer_of(saved)->seq != seq))
        saved = saved->next;
    return saved != NULL;
}

bool rtci_host_withheld(const struct host *host, const struct from *from, uint64_t seq)
{
    const struct keeping *k = host->keeping;
    return k && (holds(k->withheld, from, seq) || holds(k->committing, from, seq));
}

/* The caller has the answers to its calls up to this one. */
void rtci_host_answered(struct host *host, struct from *from, uint64_t seq)
{
    while (from->replies && answer_of(from->replies)->seq <= seq) {
        struct saved *saved = from->replies;
        from->replies = saved->next;
        host->keeping->reply_bytes -= answer_of(saved)->rec.size;
        free(saved);
    }
}

/* Those who have called for the longest time ago are most likely dead, and have their answers
 * otherwise. To half of it: else there would be some to be found with each save. */
static void make_room(struct host *host, struct from **by_time, uint32_t n, size_t budget)
{
    if (host->keeping->reply_bytes <= budget)
        return;
    for (uint32_t i = 0; i < n && host->keeping->reply_bytes > budget / 2; i++)
        rtci_host_answered(host, by_time[i], UINT64_MAX);
}

/* ---- Saving ---- */

static void put_answers(struct rtci_buf *buf, const struct saved *saved, const struct from *from,
                        uint32_t *n)
{
    for (; saved; saved = saved->next) {
        if (from && saved->from != from)
            continue;
        rtci_buf_put(buf, saved->record, answer_of(saved)->rec.size);
        ++*n;
    }
}

static void put_from(struct host *host, struct rtci_buf *buf, const struct from *from)
{
    size_t at = buf->len;
    uint32_t n = 0;
    rtci_buf_add(buf, sizeof(struct saved_from));
    put_answers(buf, from->replies, NULL, &n);
    put_answers(buf, host->keeping->committing, from, &n);
    if (!buf->failed)
        *(struct saved_from *)(buf->data + at) = (struct saved_from){from->client, n, from->seen};
}

/* The state as a value, written by the class. NULL: it could not be, and why is the sentence. */
static int value_of(struct host *host, struct rtc_call *call)
{
    static const struct rtci_spec spec = {.n_returns = 1};
    const struct rtc_actor_def *def = rtci_host_class(host);
    int rc = rtci_host_special(host, call, &spec, def->name, def->save);
    if (rc < 0)
        return rc;
    if (call->n_returned != 1)
        return rtci_error(RTC_E_RETURNS, "save of actor \"%s\" returned %u values, not 1",
                          def->name, call->n_returned);
    return 0;
}

static size_t value_size(const struct rtc_call *call)
{
    return rtci_done_returns((const struct rtci_done *)call->done.data)->size;
}

static void put_value(struct rtci_buf *buf, const struct rtc_call *call, size_t head)
{
    const struct rtci_resolved *row = rtci_done_returns((const struct rtci_done *)call->done.data);
    rtci_buf_put(buf, call->done.data + row->offset, row->size);
    if (!buf->failed)
        ((struct saved_head *)(buf->data + head))->value_size = row->size;
    static const uint8_t zero[8];
    rtci_buf_put(buf, zero, -buf->len & 7u);
}

static void kv_head(struct host *host, struct rtci_buf *buf, uint32_t op, uint64_t request)
{
    struct rtci_kv kv = {.rec = {.type = RTCI_R_KV},
                         .request = request,
                         .op = op,
                         .ns_len = sizeof(SPACE) - 1,
                         .key_len = sizeof(host->id)};
    rtci_buf_clear(buf);
    rtci_buf_put(buf, &kv, sizeof(kv));
    rtci_buf_put(buf, SPACE, sizeof(SPACE) - 1);
    rtci_buf_put(buf, &host->id, sizeof(host->id));
}

static bool kv_end(struct rtci_buf *buf, const struct rtci_buf *value)
{
    static const uint8_t zero[8];
    uint32_t size = value ? (uint32_t)value->len : 0;
    if (value)
        rtci_buf_put(buf, value->data, value->len);
    rtci_buf_put(buf, zero, -buf->len & 7u);
    if (buf->failed)
        return false;
    struct rtci_kv *kv = (struct rtci_kv *)(void *)buf->data;
    kv->value_len = size;
    kv->rec.size = (uint32_t)buf->len;
    return true;
}

__attribute__((noreturn)) static void cannot_save(struct host *host, const char *why)
{
    char text[700];
    snprintf(text, sizeof(text), "the state of actor \"%s\" could not be saved: %s",
             rtci_host_class(host)->name, why);
    rtci_host_exit(host, text);
}

static int by_time(const void *a, const void *b)
{
    const struct from *x = *(struct from *const *)a, *y = *(struct from *const *)b;
    return x->ran < y->ran ? -1 : x->ran > y->ran;
}

/* All that is saved beside the value, which goes behind it. */
static void put_others(struct host *host, struct rtci_buf *state, size_t value_size)
{
    uint32_t n = host->n_from, first = n > CALLERS_MAX ? n - CALLERS_MAX : 0;
    struct saved_head head = {.magic = MAGIC};
    struct from **order = malloc((n + 1) * sizeof(*order));
    size_t fixed = sizeof(head) + n * sizeof(struct saved_from) + RTCI_ALIGN8(value_size) +
                   rtci_sources_size(host);
    struct rtci_buf outbox = {0};
    if (!order)
        cannot_save(host, "out of memory");
    memcpy(order, host->from, n * sizeof(*order));
    qsort(order, n, sizeof(*order), by_time);
    while (first && order[first - 1]->ran > host->keeping->n_ran_saved)
        first--; /* it is told of with this save */
    head.n_from = n - first;
    for (const struct saved *s = host->keeping->committing; s; s = s->next)
        fixed += answer_of(s)->rec.size;
    rtci_outbox_save(host, &outbox, fixed < RTCI_KV_VALUE_MAX ? RTCI_KV_VALUE_MAX - fixed : 0);
    fixed += outbox.len;
    make_room(host, order, first, 0);
    make_room(host, order, n, fixed < RTCI_KV_VALUE_MAX ? RTCI_KV_VALUE_MAX - fixed : 0);
    rtci_buf_put(state, &head, sizeof(head));
    for (uint32_t i = first; i < n; i++)
        put_from(host, state, order[i]);
    free(order);
    rtci_sources_save(host, state);
    rtci_buf_put(state, outbox.data, outbox.len);
    state->failed |= outbox.failed;
    rtci_buf_fini(&outbox);
}

static void begin(struct host *host, struct cell *cell)
{
    struct keeping *k = host->keeping;
    struct rtc *rtc = host->rtc;
    struct rtc_call call = {.rtc = rtc, .keep = true, .cell = cell};
    struct rtci_buf state = {0};
    if (value_of(host, &call) < 0)
        cannot_save(host, rtc_last_error());
    /* First: were it repeated after a restart of the daemon, it would go without its tasks. */
    if (!host->own && rtci_withheld_room(rtc) < 0)
        rtci_host_exit(host, rtc_last_error());
    k->committing = k->withheld;
    k->withheld = NULL;
    k->withheld_tail = &k->withheld;
    put_others(host, &state, value_size(&call));
    put_value(&state, &call, 0);
    rtci_call_fini(&call);
    if (state.len > RTCI_KV_VALUE_MAX)
        cannot_save(host, "with the answers that are to be given now it is larger than 512 KiB: "
                          "keep what is large in objects, and references to them here");
    uint64_t request = rtc->next_request++;
    kv_head(host, &k->record, RTCI_KV_PUT, request);
    bool ok = !state.failed && kv_end(&k->record, &state);
    rtci_buf_fini(&state);
    if (!ok)
        cannot_save(host, "out of memory");
    k->request = (struct request){.next = rtc->requests,
                                  .kind = REQUEST_REPLY,
                                  .number = request,
                                  .record = k->record.data,
                                  .size = k->record.len};
    rtc->requests = &k->request;
    k->under_way = true;
    k->n_unsaved = 0;
    k->n_ran_saved = k->n_ran;
    step(RTCI_SAVE_READY);
    if ((host->own ? rtci_send_record(rtc, k->record.data)
                   : rtci_withheld_send(rtc, k->record.data, true)) < 0)
        rtci_host_exit(host, rtc_last_error());
    step(RTCI_SAVE_SENT);
}

static void answer_saved(struct host *host)
{
    struct keeping *k = host->keeping;
    while (k->committing) {
        struct saved *saved = k->committing;
        k->committing = saved->next;
        saved->next = NULL;
        send_answer(host, saved);
        k->reply_bytes += answer_of(saved)->rec.size;
        struct saved **end = &saved->from->replies;
        while (*end)
            end = &(*end)->next;
        *end = saved;
    }
}

/* Any thread: another may wait for something (settle). It gives the lock away where there is no
 * room, and no save begins before it is through. */
static void finish(struct host *host)
{
    struct keeping *k = host->keeping;
    k->finishing = true;
    struct request **at = &host->rtc->requests;
    while (*at != &k->request)
        at = &(*at)->next;
    *at = k->request.next;
    k->under_way = false;
    if (k->request.status < 0)
        cannot_save(host, rtc_error_text(k->request.status));
    k->saved_ns = rtci_now_ns();
    step(RTCI_SAVE_COMMITTED);
    rtci_outbox_saved(host); /* before the answers: it was said before */
    step(RTCI_SAVE_SAID);
    answer_saved(host);
    k->finishing = false;
    rtci_withheld_wake(host->rtc);
}

/* Before a wait in a method: what the save under way covers can leave only now. */
static int settle(struct rtc *rtc, uint64_t deadline_ns)
{
    struct keeping *k = rtc->host->keeping;
    while (k->finishing || (k->under_way && !k->request.done))
        RTCI_TRY(rtci_block(rtc, 0, deadline_ns));
    if (k->under_way)
        finish(rtc->host);
    return 0;
}

/* What the last save let go may wait for an address: for a moment, since it may wait for room that
 * this actor takes. */
static bool unsent(const struct host *host)
{
    return !host->own && rtci_actors_queued(host->rtc) &&
           rtci_now_ns() < host->keeping->saved_ns + UNSENT_NS;
}

bool rtci_host_saved(const struct host *host)
{
    const struct keeping *k = host->keeping;
    return !k || (!k->under_way && !k->finishing && !k->n_unsaved &&
                  !rtci_withheld_any(host->rtc) && !unsent(host));
}

bool rtci_host_holds(const struct host *host)
{
    return host->keeping && host->keeping->under_way && rtci_withheld_much(host->rtc);
}

void rtci_host_ran(struct host *host, struct from *from, const struct rtci_spec *spec)
{
    struct keeping *k = host->keeping;
    if (from) {
        from->seen = spec->seq;
        from->ran = ++k->n_ran;
        if (RTCI_UNLIKELY(rtci_call_number(spec)))
            rtci_source_ran(host, spec);
    }
    if (k->n_unsaved++ == 0)
        k->since_ns = rtci_now_ns();
}

/* Begins and ends saves as it is time. */
uint64_t rtci_host_keep(struct host *host, bool idle)
{
    struct keeping *k = host->keeping;
    if (!k || k->finishing)
        return UINT64_MAX;
    if (k->under_way && k->request.done)
        finish(host);
    if (k->under_way)
        return UINT64_MAX;
    if (!k->n_unsaved && !rtci_withheld_any(host->rtc)) { /* else it is of a callback */
        uint64_t clean = k->saved_ns + STALE_NS;
        if (host->stopping && unsent(host))
            return k->saved_ns + UNSENT_NS;
        if (!idle || !rtci_outbox_stale(host))
            return UINT64_MAX;
        if (rtci_now_ns() >= clean)
            begin(host, NULL);
        return clean;
    }
    uint64_t after =
        host->save_after_ns && k->n_unsaved ? k->since_ns + host->save_after_ns : UINT64_MAX;
    if (!idle && k->n_unsaved < host->save_every && rtci_now_ns() < after &&
        !rtci_withheld_much(host->rtc))
        return after;
    if (!host->own)
        begin(host, NULL);
    else if (!k->asked)
        k->asked = rtci_light_own_save();
    return UINT64_MAX;
}

void rtci_host_save(struct host *host, struct cell *cell)
{
    if (!host->keeping->under_way && host->keeping->n_unsaved)
        begin(host, cell);
    host->keeping->asked = false;
}

/* ---- Coming back ---- */

static bool read_from(struct host *host, const uint8_t **at, const uint8_t *end)
{
    struct saved_from head;
    if ((size_t)(end - *at) < sizeof(head))
        return false;
    memcpy(&head, *at, sizeof(head));
    *at += sizeof(head);
    struct from *from = rtci_host_from(host, head.client, 0);
    struct saved **tail = from ? &from->replies : NULL;
    for (uint32_t i = 0; from && i < head.n_replies; i++) {
        int64_t size = rtci_wire_check(*at, (size_t)(end - *at));
        struct saved *saved = size > 0 ? malloc(sizeof(*saved) + (size_t)size) : NULL;
        if (!saved)
            return false;
        *saved = (struct saved){.from = from};
        memcpy(saved->record, *at, (size_t)size);
        *tail = saved;
        tail = &saved->next;
        *at += size;
        host->keeping->reply_bytes += (size_t)size;
    }
    if (from) {
        from->seen = from->saved_seq = head.seq;
        from->ran = ++host->keeping->n_ran;
    }
    return from != NULL;
}

static int load_from(struct host *host, struct rtc_call *call, const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    struct saved_head head;
    if (size < sizeof(head))
        return rtci_call_fail(call, RTC_E_CORRUPT, 0, "its saved state is too short");
    memcpy(&head, at, sizeof(head));
    at += sizeof(head);
    bool ok = head.magic == MAGIC || head.magic == MAGIC_OLD;
    for (uint32_t i = 0; ok && i < head.n_from; i++)
        ok = read_from(host, &at, end);
    if (head.magic == MAGIC)
        ok = ok && rtci_sources_load(host, &at, end) && rtci_outbox_load(host, &at, end);
    if (!ok || head.value_size > (size_t)(end - at))
        return rtci_call_fail(call, RTC_E_CORRUPT, 0, "its saved state cannot be read");
    size_t data_size = RTCI_ALIGN8(head.value_size);
    struct rtci_spec *spec = calloc(1, sizeof(*spec) + sizeof(struct rtci_arg) + data_size);
    if (!spec)
        return rtci_call_fail(call, RTC_E_NOMEM, 0, "out of memory for its saved state");
    *spec = (struct rtci_spec){.n_returns = 1, .n_args = 1, .data_size = (uint32_t)data_size};
    struct rtci_arg *row = (struct rtci_arg *)(spec + 1);
    *row = (struct rtci_arg){(uint32_t)head.value_size, 0};
    memcpy(row + 1, at, head.value_size);
    const struct rtc_actor_def *def = rtci_host_class(host);
    int rc =
        rtci_host_special(host, call, spec, def->name, host->own ? rtci_light_own_load : def->load);
    call->spec = host->start;
    free(spec);
    return rc;
}

int rtci_host_load(struct host *host, struct rtc_call *call, bool *ret_loaded)
{
    struct rtc *rtc = host->rtc;
    struct keeping *k = calloc(1, sizeof(*k));
    *ret_loaded = false;
    if (!k)
        return rtci_call_fail(call, RTC_E_NOMEM, 0, "out of memory for its saved state");
    host->keeping = k;
    k->withheld_tail = &k->withheld;
    if (rtci_outbox_open(host, settle) < 0)
        return rtci_call_fail(call, RTC_E_NOMEM, 0, "out of memory for its saved state");
    uint64_t number = rtc->next_request++;
    kv_head(host, &k->record, RTCI_KV_GET, number);
    if (!kv_end(&k->record, NULL))
        return rtci_call_fail(call, RTC_E_NOMEM, 0, "out of memory for its saved state");
    struct request request = {
        .kind = REQUEST_REPLY, .number = number, .record = k->record.data, .size = k->record.len};
    int rc = rtci_request(rtc, &request, UINT64_MAX);
    rc = rc ? rc : request.status;
    if (rc == RTC_E_NOT_FOUND)
        return 0; /* it never saved anything */
    if (rc < 0) {
        free(request.data);
        return rtci_call_fail(call, rc, 0, "its saved state could not be read: %s",
                              rtc_error_text(rc));
    }
    *ret_loaded = true;
    rc = load_from(host, call, request.data, request.reply.size);
    free(request.data);
    return rc;
}
