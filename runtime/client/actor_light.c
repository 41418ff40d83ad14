/* Light actors of other processes: where they are created, and what is told their hosts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

#define RESERVE_FIRST 8u
#define RESERVE_MAX   1024u

/* Handles that the host has set aside for this process: those that it creates are known at once. */
struct pool {
    struct pool *next;
    uint64_t class;
    uint32_t n, want;
    uint64_t light[2 * RESERVE_MAX];
};
struct light_host {
    struct light_host *next;
    struct rtci_id id;
    uint64_t key; /* of what it needs; 0: others made it, and here it is only watched */
    struct pool *pools;
};
struct rtci_light_hosts {
    struct light_host *first;
};

int rtci_lights_waits(struct rtc *rtc, const char *what)
{
    (void)rtc;
    return rtci_error(RTC_E_UNSUPPORTED,
                      "%s would make a light actor wait, and with it a thread that runs many: let "
                      "rtc_then() go on when the result is there",
                      what);
}

/* ---- Hosts ---- */

static void free_host(struct light_host *host)
{
    for (struct pool *p = host->pools, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(host);
}

void rtci_light_hosts_free(struct rtc *rtc)
{
    struct light_host *host = rtc->light_hosts ? rtc->light_hosts->first : NULL;
    for (struct light_host *next; host; host = next) {
        next = host->next;
        free_host(host);
    }
    free(rtc->light_hosts);
    rtc->light_hosts = NULL;
}

static bool host_dead(struct rtc *rtc, const struct light_host *host)
{
    const struct actor *actor = rtci_actor_find(rtc, host->id);
    return actor && rtci_actor_meant((struct actor *)(uintptr_t)actor)->dead;
}

static void forget_host(struct rtc *rtc, struct light_host *host)
{
    struct light_host **at = &rtc->light_hosts->first;
    while (*at != host)
        at = &(*at)->next;
    *at = host->next;
    RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(host->id)));
    free_host(host);
}

/* One for each job and kind of needs: whoever asks first makes it. */
static int start_host(struct rtc *rtc, const struct rtc_options *needs, uint64_t key,
                      struct rtci_id *ret_id)
{
    static const struct rtc_args none;
    char name[48];
    rtc_actor own;
    struct actor *actor;
    snprintf(name, sizeof(name), "%u/%016llx", rtc->job, (unsigned long long)key);
    struct rtc_actor_options o = {
        .name = name, .space = RTCI_LIGHT_HOST, .get_if_exists = true, .needs = needs};
    RTCI_TRY(rtci_actor_create_locked(rtc, RTCI_LIGHT_HOST, &none, &o, &own));
    int rc = rtci_actor_of(rtc, own, &actor);
    if (rc == 0)
        rc = rtci_actor_await(rtc, actor, UINT64_MAX);
    struct actor *meant = rc == 0 ? rtci_actor_meant(actor) : NULL;
    if (meant && meant->dead)
        rc = rtci_actor_dead(meant);
    if (rc == 0)
        *ret_id = meant->id;
    if (rc == 0 && meant->id.seq > RTCI_LIGHT_SEQ_MAX)
        rc =
            rtci_error(RTC_E_UNSUPPORTED, "this process has made too many tasks for a light actor");
    if (rc == 0 && meant != actor) /* others' host: the own handle is not needed */
        rc = rtci_retain_locked(rtc, rtci_ref_of(meant->id));
    if (actor)
        rtci_actor_unpin(rtc, actor);
    if (rc < 0 || !rtci_id_equal(*ret_id, rtci_actor_id(own)))
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(rtci_actor_id(own))));
    return rc;
}

static struct light_host *add_host(struct rtc *rtc, struct rtci_id id, uint64_t key)
{
    if (!rtc->light_hosts)
        rtc->light_hosts = calloc(1, sizeof(*rtc->light_hosts));
    struct light_host *host = rtc->light_hosts ? calloc(1, sizeof(*host)) : NULL;
    if (!host)
        return NULL;
    *host = (struct light_host){.next = rtc->light_hosts->first, .id = id, .key = key};
    rtc->light_hosts->first = host;
    return host;
}

static int host_for(struct rtc *rtc, const struct rtc_options *needs, struct light_host **ret_host)
{
    static const struct rtc_options no_cpu = {.cpus = RTC_NONE};
    uint32_t shape;
    struct rtci_id id = {0};
    needs = needs ? needs : &no_cpu;
    RTCI_TRY(rtci_shape_of(rtc, needs, &shape));
    uint64_t key = rtc->shapes[shape].hash;
    key = key ? key : 1;
    struct light_host *host = rtc->light_hosts ? rtc->light_hosts->first : NULL;
    while (host && host->key != key)
        host = host->next;
    if (host && !host_dead(rtc, host)) {
        *ret_host = host;
        return 0;
    }
    if (host)
        forget_host(rtc, host);
    RTCI_TRY(start_host(rtc, needs, key, &id));
    for (host = rtc->light_hosts ? rtc->light_hosts->first : NULL; host; host = host->next) {
        if (host->key != key) /* another thread was faster */
            continue;
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(id)));
        *ret_host = host;
        return 0;
    }
    *ret_host = add_host(rtc, id, key);
    return *ret_host ? 0 : rtci_error(RTC_E_NOMEM, "out of memory for a host of light actors");
}

/* ---- Asking a host ---- */

/* A call that is waited for. Its value is valid until the reference is released. */
static int ask(struct rtc *rtc, rtc_actor actor, const char *op, const struct rtc_args *args,
               uint64_t deadline_ns, rtc_ref *ret_ref, struct rtc_value *ret_value)
{
    static const struct rtc_args none;
    if (rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "asking another host of light actors");
    RTCI_TRY(rtci_actor_call_locked(rtc, actor, op, args ? args : &none, 0, ret_ref));
    int rc = 0;
    struct slot *slot = rtci_find(rtc, *ret_ref, false, &rc);
    rc = slot ? rtci_await(rtc, slot, *ret_ref, deadline_ns) : rc;
    if (rc == 0)
        rc = rtci_slot_value(rtc, slot, ret_value);
    if (rc < 0)
        RTCI_IGNORE(rtci_release_locked(rtc, *ret_ref));
    return rc;
}

/* Another thread may do the same meanwhile. */
static int reserve(struct rtc *rtc, struct light_host *host, uint64_t class)
{
    struct rtc_value value;
    rtc_ref ref;
    const void *data;
    size_t size;
    struct pool *pool = host->pools;
    while (pool && pool->class != class)
        pool = pool->next;
    uint32_t want = pool ? pool->want : RESERVE_FIRST;
    struct rtci_id id = host->id;
    RTCI_TRY(ask(rtc, rtci_light_handle(id, 0), "rtc.reserve",
                 RTC_ARGS(rtc_i64((int64_t) class), rtc_i64(want)), UINT64_MAX, &ref, &value));
    int rc = rtc_value_bytes(&value, &data, &size);
    host = rtc->light_hosts ? rtc->light_hosts->first : NULL;
    while (host && !rtci_id_equal(host->id, id))
        host = host->next;
    pool = host ? host->pools : NULL;
    while (pool && pool->class != class)
        pool = pool->next;
    if (rc == 0 && host && !pool && (pool = calloc(1, sizeof(*pool)))) {
        pool->class = class;
        pool->next = host->pools;
        host->pools = pool;
    }
    if (rc == 0 && pool) {
        for (size_t i = size / 8; i-- > 0 && pool->n < 2 * RESERVE_MAX;)
            memcpy(&pool->light[pool->n++], (const char *)data + 8 * i, 8);
        pool->want = want * 4 < RESERVE_MAX ? want * 4 : RESERVE_MAX;
    }
    RTCI_IGNORE(rtci_release_locked(rtc, ref));
    return rc;
}

static int take(struct rtc *rtc, struct light_host *host, uint64_t class, uint64_t *ret_light)
{
    for (int tries = 0; tries < 100; tries++) {
        struct pool *pool = host->pools;
        while (pool && pool->class != class)
            pool = pool->next;
        if (pool && pool->n) {
            *ret_light = pool->light[--pool->n];
            return 0;
        }
        RTCI_TRY(reserve(rtc, host, class));
        if (host_dead(rtc, host))
            return RTC_E_ACTOR_DEAD;
    }
    return rtci_error(RTC_E_NOMEM, "the host of light actors has no room for more");
}

/* ---- Creation ---- */

static int create(struct rtc *rtc, const struct rtc_actor_def *def, const struct rtc_args *args,
                  const struct rtc_actor_options *o, rtc_actor *ret_actor)
{
    struct light_host *host;
    uint64_t light, class = rtci_function_hash(def->name, strlen(def->name));
    RTCI_TRY(host_for(rtc, o->needs, &host));
    RTCI_TRY(take(rtc, host, class, &light));
    rtc_actor actor = rtci_light_handle(host->id, light);
    RTCI_TRY(rtci_lights_creation(rtc, actor, args, o));
    *ret_actor = actor;
    return 0;
}

int rtci_lights_create(struct rtc *rtc, const struct rtc_actor_def *def,
                       const struct rtc_args *args, const struct rtc_actor_options *o,
                       rtc_actor *ret_actor)
{
    int rc = create(rtc, def, args, o, ret_actor);
    if (rc == RTC_E_ACTOR_DEAD) /* it crashed meanwhile: another takes its place */
        rc = create(rtc, def, args, o, ret_actor);
    return rc;
}

/* ---- Orders ---- */

int rtci_lights_order(struct rtc *rtc, rtc_actor actor, const char *op)
{
    static const struct rtc_args none;
    struct rtc_value value;
    rtc_ref ref;
    if (rtc && rtc->light) {
        int here = rtc->light->order(rtc, actor, op);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    RTCI_TRY(rtci_enter(rtc));
    bool retain = strcmp(op, "rtc.retain") == 0;
    int rc = retain ? ask(rtc, actor, op, NULL, UINT64_MAX, &ref, &value)
                    : rtci_actor_call_locked(rtc, actor, op, &none, 0, NULL);
    if (retain && rc == 0)
        RTCI_IGNORE(rtci_release_locked(rtc, ref));
    if (!retain && rc == RTC_E_ACTOR_DEAD)
        rc = 0; /* with its host */
    rtci_leave(rtc);
    return rc;
}

int rtci_lights_ready(struct rtc *rtc, rtc_actor actor, int64_t timeout)
{
    struct rtc_value value;
    rtc_ref ref;
    RTCI_TRY(rtci_enter(rtc));
    int rc = ask(rtc, actor, "rtc.ready", NULL, rtci_deadline(timeout), &ref, &value);
    if (rc == 0)
        RTCI_IGNORE(rtci_release_locked(rtc, ref));
    rtci_leave(rtc);
    return rc;
}

static int64_t item_i64(const struct rtc_value *list, size_t i)
{
    struct rtc_value v;
    int64_t x = 0;
    if (rtc_value_at(list, i, &v) == 0)
        RTCI_IGNORE(rtc_value_i64(&v, &x));
    return x;
}

void rtci_lights_read_info(const struct rtc_value *list, struct rtc_actor_info *info)
{
    struct rtc_value v;
    const char *text;
    size_t len;
    *info = (struct rtc_actor_info){.state = (enum rtc_actor_state)item_i64(list, 0),
                                    .cause = (enum rtc_cause)item_i64(list, 1),
                                    .code = (int)item_i64(list, 2),
                                    .user_code = (int)item_i64(list, 3),
                                    .exit_status = -1,
                                    .node = (uint32_t)item_i64(list, 4),
                                    .pid = (uint32_t)item_i64(list, 5),
                                    .incarnation = 1};
    if (rtc_value_at(list, 6, &v) == 0 && rtc_value_str(&v, &text, &len) == 0)
        snprintf(info->text, sizeof(info->text), "%.*s", (int)len, text);
}

/* It died with its host. */
void rtci_lights_host_info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *info)
{
    struct actor *host = rtci_actor_find(rtc, rtci_actor_id(actor));
    struct rtci_cause unknown = {.kind = RTCI_CAUSE_UNKNOWN,
                                 .exit_status = -1,
                                 .text = "the host of light actors is not known any more"};
    char why[224];
    *info = (struct rtc_actor_info){.incarnation = 1};
    const struct rtci_cause *cause =
        host && host->cause.kind != RTCI_CAUSE_NONE ? &host->cause : &unknown;
    rtci_actor_info_of(info, cause);
    rtci_cause_text(cause, why, sizeof(why));
    snprintf(info->text, sizeof(info->text), "the host of this light actor is dead: %.200s", why);
    info->state = RTC_ACTOR_DEAD;
    info->code = RTC_E_ACTOR_DEAD;
}

int rtci_lights_info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *ret_info)
{
    struct rtc_value value;
    rtc_ref ref;
    if (rtc && rtc->light) {
        int here = rtc->light->info(rtc, actor, ret_info);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    RTCI_TRY(rtci_enter(rtc));
    int rc = ask(rtc, actor, "rtc.info", NULL, UINT64_MAX, &ref, &value);
    if (rc == 0) {
        const struct actor *host = rtci_actor_find(rtc, rtci_actor_id(actor));
        rtci_lights_read_info(&value, ret_info);
        ret_info->node = host ? host->node : ret_info->node; /* where we found it */
        RTCI_IGNORE(rtci_release_locked(rtc, ref));
    } else if (rc == RTC_E_ACTOR_DEAD) {
        rtci_lights_host_info(rtc, actor, ret_info);
        rc = 0;
    }
    rtci_leave(rtc);
    return rc;
}

int rtci_lights_link(struct rtc *rtc, rtc_actor a, rtc_actor b, bool on)
{
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    if (!a.pad || !b.pad || !rtci_id_equal(rtci_actor_id(a), rtci_actor_id(b)))
        rc = rtci_error(RTC_E_UNSUPPORTED,
                        "only light actors of one host can be linked: watch the other with "
                        "rtc_monitor(), and end this one when it is told");
    else if (rtci_light_of(a) == rtci_light_of(b))
        rc = rtci_error(RTC_E_INVALID, "an actor cannot be linked to itself");
    rtci_leave(rtc);
    RTCI_TRY(rc);
    if (rtc->light) {
        int here = rtc->light->link(rtc, a, b, on);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    RTCI_TRY(rtci_enter(rtc));
    rc = rtci_actor_call_locked(rtc, a, on ? "rtc.link" : "rtc.unlink",
                                RTC_ARGS(rtc_i64((int64_t)rtci_light_of(b))), 0, NULL);
    rtci_leave(rtc);
    return rc;
}

/* ---- Handles that go elsewhere ---- */

void rtci_lights_given(struct rtc *rtc, const struct rtc_value *value, struct rtci_id to)
{
    static const struct rtc_args none;
    uint64_t light = rtci_value_light(value);
    if (light) {
        struct rtci_id host = {value->as.ref.seq, value->as.ref.client, 0};
        if (rtci_id_equal(host, to))
            return;
        if (rtc->light && rtci_id_equal(host, rtc->self))
            rtc->light->given(rtc, light);
        else
            RTCI_IGNORE(rtci_actor_call_locked(rtc, rtci_light_handle(host, light), "rtc.retain",
                                               &none, 0, NULL));
        return;
    }
    if (value->type != RTC_LIST && value->type != RTC_MAP)
        return;
    size_t n = rtc_value_len(value) * (value->type == RTC_MAP ? 2 : 1);
    for (size_t i = 0; i < n; i++) {
        struct rtc_value item;
        if (rtc_value_at(value, i, &item) == 0)
            rtci_lights_given(rtc, &item, to);
    }
}
