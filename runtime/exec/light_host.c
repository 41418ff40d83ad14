/* The process of a host: classes, orders from other processes, and calls on their way to mailboxes.
 */
#include "runtime/exec/light_host.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ACTORS_MAX  (16u << 20)
#define THREADS_MAX 64
/* Handles of one incarnation mean nobody in the next ones: a block has few lives in each. */
#define LIVES_EACH 65536u
#define LIVES      2048u

struct lights rtci_lights = {.kinds_lock = PTHREAD_MUTEX_INITIALIZER};

struct rtci_light_ctx *rtci_light_ctx_now(void)
{
    struct run *run = rtci_running();
    return run ? run->ctx : rtci_light_outside(rtci_lights.engine);
}

/* ---- Classes ---- */

static struct kind *find_kind(const struct rtc_actor_def *def)
{
    uint32_t n = atomic_load_explicit(&rtci_lights.n_kinds, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        struct kind *kind = atomic_load_explicit(&rtci_lights.kinds[i], memory_order_relaxed);
        if (kind->def == def)
            return kind;
    }
    return NULL;
}

static struct kind *new_kind(const struct rtc_actor_def *def)
{
    struct kind *kind = calloc(1, sizeof(*kind));
    if (!kind)
        return NULL;
    kind->def = def;
    kind->hash = rtci_function_hash(def->name, strlen(def->name));
    kind->init = (struct rtc_task_def){.name = def->name, .run = def->init};
    for (uint32_t i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++)
        kind->methods[i] = (struct rtc_task_def){.name = def->methods[i].name,
                                                 .run = def->methods[i].run,
                                                 .signature = def->methods[i].signature};
    kind->engine = (struct rtci_light_class){.name = def->name,
                                             .state_size = CELL_SIZE + def->state_size,
                                             .init = rtci_cell_init,
                                             .receive = rtci_cell_receive,
                                             .died = rtci_cell_died};
    return kind;
}

struct kind *rtci_kind_of(const struct rtc_actor_def *def)
{
    struct kind *kind = find_kind(def);
    if (RTCI_LIKELY(kind != NULL))
        return kind;
    pthread_mutex_lock(&rtci_lights.kinds_lock);
    kind = find_kind(def);
    uint32_t n = atomic_load(&rtci_lights.n_kinds);
    if (!kind && n < RTCI_LIGHT_KINDS && (kind = new_kind(def))) {
        kind->number = n + 1;
        atomic_store(&rtci_lights.kinds[n], kind);
        atomic_store(&rtci_lights.n_kinds, n + 1);
    }
    pthread_mutex_unlock(&rtci_lights.kinds_lock);
    if (!kind)
        rtci_error(RTC_E_NOMEM, "no room for the class \"%s\" of light actors (at most %u)",
                   def->name, RTCI_LIGHT_KINDS);
    return kind;
}

struct kind *rtci_kind_at(rtci_light_id id, uint32_t *ret_flags)
{
    uint32_t entry = id.index < ACTORS_MAX ? atomic_load_explicit(&rtci_lights.kind_of[id.index],
                                                                  memory_order_relaxed)
                                           : 0;
    *ret_flags = entry & ~KIND_NUMBER;
    if (RTCI_LIKELY(entry != 0))
        return atomic_load_explicit(&rtci_lights.kinds[(entry & KIND_NUMBER) - 1],
                                    memory_order_relaxed);
    rtci_light_is_dead(id);
    return NULL;
}

/* Whoever sends to an id of the life before is refused by the engine, whatever it read here. */
int rtci_light_make(struct rtci_light_ctx *ctx, struct kind *kind, uint32_t flags,
                    rtci_light_id *ret_id)
{
    int rc = rtci_light_create(ctx, &kind->engine, kind, ret_id);
    if (rc < 0)
        return rtci_error(RTC_E_NOMEM, "no room for another light actor in this host");
    atomic_store_explicit(&rtci_lights.kind_of[ret_id->index], kind->number | flags,
                          memory_order_relaxed);
    return 0;
}

/* ---- Orders ---- */

static rtci_light_id target_of(const struct rtc_call *call)
{
    return rtci_light_id_at(rtci_light_called(call->spec));
}

static int op_reserve(struct rtc_call *call)
{
    int64_t class, n;
    RTC_TRY(rtc_arg_i64(call, 0, &class));
    RTC_TRY(rtc_arg_i64(call, 1, &n));
    const struct rtc_actor_def *def = rtci_actor_def_by_hash((uint64_t) class);
    if (!def)
        return rtc_fail(call, RTC_E_UNKNOWN_ACTOR,
                        "the program that runs the light actors has not the class that was asked "
                        "for: it is not the one that asks, or registers it only sometimes");
    struct kind *kind = rtci_kind_of(def);
    if (!kind || n < 1 || n > 4096)
        return RTC_E_NOMEM;
    uint64_t *lights = calloc((size_t)n, sizeof(*lights));
    struct rtci_light_ctx *ctx = rtci_light_outside(rtci_lights.engine);
    int rc = lights ? 0 : RTC_E_NOMEM, got = 0;
    for (rtci_light_id id; rc == 0 && got < n; got++) {
        rc = rtci_light_make(ctx, kind, 0, &id);
        if (rc < 0)
            break;
        lights[got] = rtci_light_number(id);
    }
    rc = got ? rtc_return_bytes(call, lights, (size_t)got * sizeof(*lights)) : rc;
    free(lights);
    return rc;
}

static int nothing(struct rtc_call *call)
{
    struct rtc_value nil = rtc_nil();
    return rtc_return(call, &nil);
}

static int op_retain(struct rtc_call *call)
{
    rtci_light_id id = target_of(call);
    if (rtci_light_retain(rtci_light_outside(rtci_lights.engine), id) < 0)
        return rtci_call_fail(call, RTC_E_ACTOR_DEAD, 0, "%s",
                              (rtci_light_is_dead(id), rtc_last_error()));
    return nothing(call);
}

static int op_release(struct rtc_call *call)
{
    RTCI_IGNORE(rtci_light_release(rtci_light_outside(rtci_lights.engine), target_of(call)));
    return nothing(call);
}

static int op_stop(struct rtc_call *call)
{
    RTCI_IGNORE(rtci_light_stop(rtci_light_outside(rtci_lights.engine), target_of(call)));
    return nothing(call);
}

static int op_kill(struct rtc_call *call)
{
    RTCI_IGNORE(rtci_light_kill(rtci_light_outside(rtci_lights.engine), target_of(call)));
    return nothing(call);
}

/* ---- Orders that wait in the mailbox for their turn ---- */

static int op_link(struct rtc_call *call, bool on)
{
    int64_t light;
    RTC_TRY(rtc_arg_i64(call, 0, &light));
    struct run *run = rtci_running();
    if (!run || !rtci_light_ok((uint64_t)light))
        return RTC_E_INVALID;
    rtci_light_id id = rtci_light_id_at((uint64_t)light);
    int rc = on ? rtci_light_link(run->ctx, id) : rtci_light_unlink(run->ctx, id);
    return rc < 0 ? rc : nothing(call);
}

static int op_link_on(struct rtc_call *call)
{
    return op_link(call, true);
}

static int op_link_off(struct rtc_call *call)
{
    return op_link(call, false);
}

static int op_create(struct rtc_call *call)
{
    const struct rtci_spec *spec = call->spec;
    struct run *run = rtci_running();
    if (!run || (run->cell->flags & CELL_UP && run->cell->kind->def->init))
        return RTC_E_EXISTS;
    if (spec->priority)
        RTCI_IGNORE(rtci_light_bound(run->ctx, run->cell->id, (uint32_t)spec->priority));
    if (spec->depth)
        atomic_fetch_or(&rtci_lights.kind_of[run->cell->id.index], KIND_FAILS);
    int rc = rtci_cell_construct(call);
    return rc < 0 ? rc : call->n_returned ? 0 : nothing(call);
}

/* The orders of actors' own turns come first, by their numbers. */
static const struct rtc_actor_def host_def = {
    .name = RTCI_LIGHT_HOST,
    .state_size = 1,
    .file = __FILE__,
    .line = __LINE__,
    .methods = {{.name = "rtc.create", .run = op_create},
                {.name = "rtc.ready", .run = nothing},
                {.name = "rtc.link", .run = op_link_on},
                {.name = "rtc.unlink", .run = op_link_off},
                {.name = "rtc.reserve", .run = op_reserve},
                {.name = "rtc.retain", .run = op_retain},
                {.name = "rtc.release", .run = op_release},
                {.name = "rtc.stop", .run = op_stop},
                {.name = "rtc.kill", .run = op_kill},
                {.name = "rtc.info", .run = rtci_op_info},
                {.name = "rtc.watch", .run = rtci_op_watch},
                {.name = "rtc.unwatch", .run = rtci_op_unwatch},
                {.name = "rtc.news", .run = rtci_op_news}}};

__attribute__((constructor)) static void register_host(void)
{
    RTCI_IGNORE(rtc_actor_register(&host_def));
}

/* ---- Calls from other processes ---- */

void rtci_spec_lights(const struct rtci_spec *spec,
                      int (*fn)(struct rtci_light_ctx *ctx, rtci_light_id id))
{
    const struct rtci_arg *rows = rtci_spec_args(spec);
    for (uint32_t i = 0; spec->n_refs && i < spec->n_args; i++) {
        struct rtc_value v;
        rtc_actor actor;
        if (rows[i].size == RTCI_LIGHT_VALUE &&
            rtci_value_view(rtci_spec_data(spec) + rows[i].offset, rows[i].size, &v) == 0 &&
            rtc_value_actor(&v, &actor) == 0 && rtci_light_here(actor))
            RTCI_IGNORE(fn(rtci_light_ctx_now(), rtci_light_id_of_handle(actor)));
    }
}

/* The lock is held. */
static void refuse(struct host *host, struct message *message, int code, const char *why)
{
    message->refuse = code;
    message->why = why;
    rtci_host_finished(host, message);
    rtci_host_refuse(host, message);
    rtci_chan_kick(host->rtc->chan);
}

static void refuse_dead(struct host *host, struct message *message)
{
    uint64_t light = rtci_light_called(message->spec);
    rtci_light_id id = light ? rtci_light_id_at(light) : rtci_lights.own;
    char why[RTCI_ERROR_TEXT_MAX];
    struct rtc_actor_info info;
    int code = rtci_light_is_dead(id);
    snprintf(why, sizeof(why), "%s", rtc_last_error());
    rtci_grave_info(id, &info);
    if (message->method == OP_READY && info.cause == RTC_CAUSE_CONSTRUCTOR)
        code = RTC_E_TASK_FAILED;
    rtci_spec_lights(message->spec, rtci_light_release);
    refuse(host, message, code, why);
}

void rtci_outer_drop(void *arg)
{
    pthread_mutex_lock(&rtci_lights.rtc->lock);
    refuse_dead(rtci_lights.host, arg);
    pthread_mutex_unlock(&rtci_lights.rtc->lock);
}

void rtci_light_dispatch(struct host *host, struct message *message)
{
    uint64_t light = rtci_light_called(message->spec);
    if (!light && host->own && message->method < 0)
        light = rtci_light_number(rtci_lights.own);
    if (!rtci_light_ok(light) || message->method >= OPS_OF_CELLS) {
        rtci_host_execute(host, message);
        rtci_news_flush();
        return;
    }
    rtci_light_id id = rtci_light_id_at(light);
    struct rtci_light_ctx *ctx = rtci_light_outside(rtci_lights.engine);
    uint32_t flags;
    if (rtci_kind_at(id, &flags) && flags & KIND_FAILS && message->method < 0 &&
        rtci_light_full(ctx, id)) {
        refuse(host, message, RTC_E_AGAIN, "the actor's mailbox is full");
        return;
    }
    rtci_spec_lights(message->spec, rtci_light_retain);
    int rc = rtci_light_push_block(ctx, id, TAG_OUTER, message, 0, rtci_outer_drop);
    if (rc == RTC_E_NOT_FOUND) {
        refuse_dead(host, message);
    } else if (rc < 0) {
        rtci_spec_lights(message->spec, rtci_light_release);
        refuse(host, message, RTC_E_AGAIN, "the actor's mailbox is full");
    }
}

/* ---- The process ---- */

static uint32_t n_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (uint32_t)n;
}

static void make_own(struct host *host)
{
    struct rtci_light_ctx *ctx = rtci_light_outside(rtci_lights.engine);
    const struct rtci_actor_options *options = rtci_spec_options(host->start);
    struct kind *kind = rtci_kind_of(host->own);
    if (!kind ||
        rtci_light_make(ctx, kind, host->mailbox_fail ? KIND_FAILS : 0, &rtci_lights.own) < 0)
        rtci_host_exit(host, "out of memory for light actors");
    if (options->mailbox)
        RTCI_IGNORE(rtci_light_bound(ctx, rtci_lights.own, options->mailbox));
}

void rtci_light_host_begin(struct host *host)
{
    if (!host->def || strcmp(host->def->name, RTCI_LIGHT_HOST) != 0)
        return;
    struct rtc *rtc = host->rtc;
    void *table = mmap(NULL, ACTORS_MAX * sizeof(_Atomic uint32_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        rtci_host_exit(host, "out of memory for light actors");
    rtci_lights.rtc = rtc;
    rtci_lights.host = host;
    rtci_lights.id = host->id;
    rtci_lights.kind_of = table;
    host->lights = true;
    host->threads = UINT32_MAX; /* calls at a time */
    rtc->self_single = false;
    rtc->n_threads = UINT32_MAX;
    rtc->light = &rtci_light_ops;
    struct rtci_light_config config = {.threads = n_threads(),
                                       .lives = (host->incarnation - 1) % LIVES * LIVES_EACH};
    if (rtci_light_start(&config, &rtci_lights.engine))
        rtci_host_exit(host, "the threads of light actors could not be started");
    if (host->own)
        make_own(host);
}

/* ---- A named one ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done, ended, loads;
    int failed;
    struct rtc_call *call; /* of the constructor, or of what was saved */
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void tell_own(bool *what)
{
    pthread_mutex_lock(&own.lock);
    *what = true;
    pthread_cond_broadcast(&own.cond);
    pthread_mutex_unlock(&own.lock);
}

static void wait_own(const bool *what)
{
    pthread_mutex_lock(&own.lock);
    while (!*what)
        pthread_cond_wait(&own.cond, &own.lock);
    pthread_mutex_unlock(&own.lock);
}

/* In the actor's own turn, with the host's call. */
void rtci_light_own_construct(struct cell *cell)
{
    own.call->cell = cell;
    own.failed = own.loads ? rtci_cell_load(own.call) : rtci_cell_construct(own.call);
    if (own.failed && !own.call->fail_code) /* the sentence is this thread's */
        RTCI_IGNORE(
            rtci_call_fail(own.call, RTC_E_TASK_FAILED, own.failed, "%s",
                           rtc_last_error()[0] ? rtc_last_error() : rtc_error_text(own.failed)));
    own.call->cell = NULL;
    if (rtci_lights.host->keeping)
        cell->flags |= CELL_SAVES;
    tell_own(&own.done);
}

int rtci_light_own_begin(struct rtc_call *call)
{
    own.call = call;
    int rc =
        rtci_light_tell(rtci_light_outside(rtci_lights.engine), rtci_lights.own, TAG_OWN, NULL, 0);
    if (rc < 0)
        return rc;
    wait_own(&own.done);
    return call->fail_code ? call->fail_code : own.failed;
}

int rtci_light_own_load(struct rtc_call *call)
{
    own.loads = true;
    return rtci_light_own_begin(call);
}

bool rtci_light_own_save(void)
{
    return rtci_light_push_block(rtci_light_outside(rtci_lights.engine), rtci_lights.own, TAG_SAVE,
                                 NULL, 0, NULL) == 0;
}

void rtci_light_own_ran(void)
{
    struct host *host = rtci_lights.host;
    pthread_mutex_lock(&host->rtc->lock);
    rtci_host_ran(host, NULL, 0);
    rtci_chan_kick(host->rtc->chan);
    pthread_mutex_unlock(&host->rtc->lock);
}

/* It has been told to stop, after what is in its mailbox. */
void rtci_light_own_end(struct host *host)
{
    struct rtc *rtc = host->rtc;
    pthread_mutex_unlock(&rtc->lock);
    if (rtci_light_stop(rtci_light_outside(rtci_lights.engine), rtci_lights.own) == 0)
        wait_own(&own.ended);
    pthread_mutex_lock(&rtc->lock);
}

void rtci_light_own_died(const struct rtci_light_down *why)
{
    struct host *host = rtci_lights.host;
    struct rtci_actor_end end = {
        .rec = {sizeof(end), RTCI_R_ACTOR_KILL, 0}, .id = host->id, .flags = RTCI_END_NO_RESTART};
    if (why->reason == RTCI_LIGHT_LINKED || why->reason == RTCI_LIGHT_KILLED) {
        pthread_mutex_lock(&host->rtc->lock);
        RTCI_IGNORE(rtci_send_record(host->rtc, &end));
        pthread_mutex_unlock(&host->rtc->lock);
    }
    tell_own(&own.ended);
}
