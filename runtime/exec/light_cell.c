/* A light actor's life and turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_host.h"

_Thread_local struct run *rtci_run_now;

/* ---- The thread ---- */

static struct run *run_of_thread(void)
{
    if (RTCI_LIKELY(rtci_run_now != NULL))
        return rtci_run_now;
    struct run *run = calloc(1, sizeof(*run));
    RTCI_ASSERT(run);
    run->call.rtc = rtci_lights.rtc;
    run->call.host = rtci_lights.host;
    run->call.local = true;
    run->call.spec = &run->spec;
    /* Never that of a cancelled task. */
    run->spec = (struct rtci_spec){.seq = UINT64_MAX, .n_returns = 1, .attempt = 1};
    rtci_run_now = run;
    return run;
}

/* ---- What few have ---- */

struct extra *rtci_cell_extra(struct cell *cell)
{
    if (!cell->extra && (cell->extra = calloc(1, sizeof(*cell->extra))))
        cell->extra->stash_end = &cell->extra->stash;
    return cell->extra;
}

/* ---- Beginning ---- */

int rtci_cell_init(void *state, const void *arg)
{
    struct cell *cell = state;
    cell->kind = arg;
    cell->flags = cell->kind->def->init ? 0 : CELL_UP;
    return 0;
}

static int begin_with(struct rtc_call *call, int (*begin)(struct rtc_call *call))
{
    struct cell *cell = call->cell;
    const struct rtc_task_def *def = call->def;
    const char *what = call->what;
    cell->flags |= CELL_UP;
    if (!begin)
        return 0;
    call->def = &cell->kind->init;
    call->what = "actor";
    rtci_error_clear();
    int rc = begin(call);
    if (rc < 0 || call->fail_code) {
        struct extra *extra = rtci_cell_extra(cell);
        const char *text = call->fail_code ? call->fail_text : rtc_last_error();
        cell->flags |= CELL_FAILED;
        if (extra) {
            extra->code = RTC_E_TASK_FAILED;
            extra->user_code = call->fail_code ? call->user_code : rc;
            extra->text = strdup(text[0] ? text : "it returned an error");
        }
        rc = rc < 0 ? rc : call->fail_code;
    }
    call->def = def;
    call->what = what;
    return rc < 0 ? rc : 0;
}

int rtci_cell_construct(struct rtc_call *call)
{
    return begin_with(call, call->cell->kind->def->init);
}

int rtci_cell_load(struct rtc_call *call)
{
    return begin_with(call, call->cell->kind->def->load);
}

/* ---- Turns ---- */

struct run *rtci_cell_enter(struct rtci_light_ctx *ctx, struct cell *cell)
{
    struct run *run = run_of_thread();
    run->ctx = ctx;
    run->cell = cell;
    run->deadline_ns = 0;
    return run;
}

static void run_outer(struct run *run, struct message *message)
{
    struct host *host = rtci_lights.host;
    const struct kind *kind = run->cell->kind;
    struct rtc_task_def *methods = host->methods;
    const char *class = host->def->name;
    rtci_light_id held[8];
    uint32_t n_held = 0;
    const struct rtci_spec *spec = message->spec;
    const struct rtci_arg *rows = rtci_spec_args(spec);
    /* They are kept until it ended; the message is freed before. More than these are kept for good.
     */
    for (uint32_t i = 0; RTCI_UNLIKELY(spec->n_refs) && i < spec->n_args && n_held < 8; i++) {
        struct rtc_value v;
        rtc_actor actor;
        if (rows[i].size == RTCI_LIGHT_VALUE &&
            rtci_value_view(rtci_spec_data(spec) + rows[i].offset, rows[i].size, &v) == 0 &&
            rtc_value_actor(&v, &actor) == 0 && rtci_light_here(actor))
            held[n_held++] = rtci_light_id_of_handle(actor);
    }
    struct rtc *rtc = rtci_lights.rtc;
    pthread_mutex_lock(&rtc->lock);
    run->deadline_ns = spec->deadline_ns;
    if (message->method < 0) {
        methods = (struct rtc_task_def *)(uintptr_t)kind->methods;
        class = kind->def->name;
        message->method = rtci_method_by_hash(kind->def, spec->function);
    }
    rtci_host_leased(host); /* a turn that began with others may be long */
    rtci_host_execute_as(host, message, class, methods, run->cell);
    if (host->stopping || host->keeping)
        rtci_chan_kick(rtc->chan); /* the first thread looks whether that was all, or to be saved */
    if (RTCI_UNLIKELY(rtci_callbacks_due(rtc)) && !rtc->in_callbacks)
        rtci_run_callbacks(rtc);
    pthread_mutex_unlock(&rtc->lock);
    for (uint32_t i = 0; i < n_held; i++)
        RTCI_IGNORE(rtci_light_release(run->ctx, held[i]));
}

static void on_down(struct run *run, const struct rtci_light_down *why, uint32_t token)
{
    struct near_monitor **at = run->cell->extra ? &run->cell->extra->monitors : NULL, *m = NULL;
    while (at && (m = *at) && m->token != token)
        at = &m->next;
    if (!m)
        return; /* not wanted any more */
    *at = m->next;
    struct rtc_down down = {.monitor = RTCI_LIGHT_MONITOR | 1ull << 62 | token, .actor = m->actor};
    rtci_grave_info(why->who, &down.info);
    m->fn(rtci_lights.rtc, &down, m->arg);
    free(m);
}

/* Of a turn by itself, so that no call is half done. */
static void save(struct cell *cell)
{
    struct rtc *rtc = rtci_lights.rtc;
    pthread_mutex_lock(&rtc->lock);
    rtci_host_save(rtci_lights.host, cell);
    pthread_mutex_unlock(&rtc->lock);
}

static int handle(struct run *run, struct rtci_light_msg *msg)
{
    struct cell *cell = run->cell;
    rtci_light_id id;
    if (msg->kind == RTCI_LIGHT_DOWN) {
        on_down(run, &msg->down, msg->token);
        return rtci_cell_outcome(cell);
    }
    switch (msg->tag) {
    case TAG_INIT: rtci_local_run(run, NULL, msg); break;
    case TAG_OUTER: run_outer(run, rtci_light_take_block(msg)); return rtci_cell_ends(cell);
    case TAG_OWN: rtci_light_own_construct(cell); return rtci_cell_ends(cell);
    case TAG_SAVE: save(cell); return rtci_cell_ends(cell);
    case TAG_FAR: rtci_far_run(rtci_light_take_block(msg)); break;
    case TAG_LINK:
    case TAG_UNLINK:
        memcpy(&id, msg->data, sizeof(id));
        RTCI_IGNORE(msg->tag == TAG_LINK ? rtci_light_link(run->ctx, id)
                                         : rtci_light_unlink(run->ctx, id));
        break;
    default: rtci_local_run(run, &cell->kind->methods[msg->tag], msg);
    }
    return rtci_cell_outcome(cell);
}

static bool begins(const struct rtci_light_msg *msg)
{
    return msg->tag == TAG_INIT || msg->tag == TAG_OWN ||
           (msg->tag == TAG_OUTER && ((const struct message *)msg->block)->method == OP_CREATE);
}

/* Somebody has the handle before the constructor's call is here. */
static void put_aside(struct run *run, struct rtci_light_msg *msg)
{
    struct extra *extra = rtci_cell_extra(run->cell);
    struct stash *stash = extra ? malloc(sizeof(*stash)) : NULL;
    RTCI_ASSERT(stash); /* whoever waits must not wait for ever */
    stash->next = NULL;
    memcpy(&stash->msg, msg, sizeof(*msg));
    stash->reply = rtci_light_take_reply(run->ctx);
    if (msg->size == RTCI_LIGHT_BLOCK)
        rtci_light_take_block(msg);
    *extra->stash_end = stash;
    extra->stash_end = &stash->next;
}

static int work_off(struct run *run)
{
    struct extra *extra = run->cell->extra;
    struct stash *stash;
    int rc = 0;
    while (rc == 0 && (stash = extra->stash)) {
        extra->stash = stash->next;
        if (!extra->stash)
            extra->stash_end = &extra->stash;
        run->call.reply = stash->reply;
        rc = handle(run, &stash->msg);
        if (stash->msg.size == RTCI_LIGHT_BLOCK)
            stash->msg.block_drop(stash->msg.block);
        free(stash);
    }
    return rc;
}

int rtci_cell_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct cell *cell = state;
    struct run *run = rtci_cell_enter(ctx, cell);
    int rc = 0;
    if (RTCI_UNLIKELY(!cell->id.gen))
        cell->id = rtci_light_self(ctx);
    if (RTCI_UNLIKELY(!(cell->flags & CELL_UP)) && !begins(msg)) {
        put_aside(run, msg);
        run->cell = NULL;
        return 0;
    }
    run->call.reply = rtci_light_take_reply(ctx);
    rc = handle(run, msg);
    if (RTCI_UNLIKELY(rc == 0 && cell->extra && cell->extra->stash))
        rc = work_off(run);
    run->cell = NULL;
    return rc;
}

/* ---- Promises ---- */

void rtci_promise_keep(struct rtc_promise *promise, struct cell *cell)
{
    promise->next = cell->promises;
    promise->link = &cell->promises;
    if (promise->next)
        promise->next->link = &promise->next;
    cell->promises = promise;
}

void rtci_promise_forget(struct rtc_promise *promise)
{
    if (!promise->link)
        return;
    *promise->link = promise->next;
    if (promise->next)
        promise->next->link = promise->link;
    promise->link = NULL;
}

/* ---- Monitors of others here ---- */

int rtci_cell_monitor(struct run *run, rtc_actor actor,
                      void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg),
                      void *arg, uint64_t *ret_monitor)
{
    struct extra *extra = rtci_cell_extra(run->cell);
    struct near_monitor *m = extra ? malloc(sizeof(*m)) : NULL;
    if (!m)
        return rtci_error(RTC_E_NOMEM, "out of memory for a monitor");
    *m = (struct near_monitor){extra->monitors, ++extra->next_token, actor, fn, arg};
    extra->monitors = m;
    int rc = rtci_light_watch(run->ctx, rtci_light_id_of_handle(actor), m->token);
    if (rc < 0) {
        extra->monitors = m->next;
        free(m);
        return rtci_error(rc, "out of memory for a monitor");
    }
    if (ret_monitor)
        *ret_monitor = RTCI_LIGHT_MONITOR | 1ull << 62 | m->token;
    return 0;
}

int rtci_cell_demonitor(struct run *run, uint32_t token)
{
    struct near_monitor **at = run->cell->extra ? &run->cell->extra->monitors : NULL, *m = NULL;
    while (at && (m = *at) && m->token != token)
        at = &m->next;
    if (!m)
        return rtci_error(RTC_E_NOT_FOUND,
                          "there is no such monitor: it was called back, or ended before");
    *at = m->next;
    rtci_light_id id = rtci_light_id_of_handle(m->actor);
    free(m);
    return rtci_light_unwatch(run->ctx, id, token);
}

/* ---- End ---- */

static void break_promises(struct cell *cell)
{
    struct rtc *rtc = rtci_lights.rtc;
    if (!cell->promises)
        return;
    rtci_light_is_dead(cell->id);
    pthread_mutex_lock(&rtc->lock);
    while (cell->promises) {
        struct rtc_promise *promise = cell->promises;
        RTCI_IGNORE(rtci_call_fail(promise->call, RTC_E_ACTOR_DEAD, 0, "%s", rtc_last_error()));
        RTCI_IGNORE(rtci_promise_finish(promise, RTC_E_ACTOR_DEAD));
    }
    pthread_mutex_unlock(&rtc->lock);
}

static void drop_stash(struct rtci_light_ctx *ctx, struct extra *extra)
{
    while (extra->stash) {
        struct stash *stash = extra->stash;
        extra->stash = stash->next;
        rtci_light_reply_later(ctx, &stash->reply, RTC_E_NOT_FOUND, NULL, 0);
        if (stash->msg.size == RTCI_LIGHT_BLOCK)
            stash->msg.block_drop(stash->msg.block);
        free(stash);
    }
}

void rtci_cell_died(struct rtci_light_ctx *ctx, void *state, const struct rtci_light_down *why)
{
    struct cell *cell = state;
    struct extra *extra = cell->extra;
    cell->id = why->who;
    rtci_grave_dig(cell->id, cell->kind, why, extra);
    bool gently = why->reason == RTCI_LIGHT_NORMAL || why->reason == RTCI_LIGHT_NOBODY;
    if (gently && cell->flags & CELL_UP && cell->kind->def->drop)
        cell->kind->def->drop(rtci_cell_state(cell));
    break_promises(cell);
    rtci_futures_free(cell);
    if (rtci_is_own(cell->id))
        rtci_light_own_died(why);
    if (!extra)
        return;
    drop_stash(ctx, extra);
    for (struct near_monitor *m = extra->monitors, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(extra->text);
    free(extra);
    cell->extra = NULL;
}
