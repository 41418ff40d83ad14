/* An actor pool: items in a ring, in the order of submission; each is waiting, at an actor, or
 * done. */
#include <rtc/patterns.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/error.h"

#define WINDOW 2

enum item_state { ITEM_WAITING, ITEM_OUT, ITEM_TAKEN };
struct item {
    enum item_state state;
    uint32_t actor;
    char *method;  /* WAITING */
    rtc_ref *args; /* WAITING: each argument as an object */
    size_t n_args;
    rtc_ref ref; /* OUT */
};
struct member {
    rtc_actor actor;
    uint32_t out; /* calls at it */
    bool dead;
};
struct rtc_pool {
    struct rtc *rtc;
    struct member *members;
    size_t n_members, n_dead, turn;
    uint32_t window;
    struct item *items; /* a ring: numbers first … end are here */
    size_t first, waiting, end, cap;
    rtc_ref held; /* the last result, whose value the caller reads */
    bool holds;
    rtc_ref *refs;           /* scratch for rtc_wait(): of items that are out … */
    size_t *which, cap_refs; /* … and their numbers */
};

static struct item *item_at(struct rtc_pool *p, size_t number)
{
    return &p->items[number & (p->cap - 1)];
}

/* ---- Items that wait here ---- */

static void drop_args(struct rtc_pool *p, struct item *item)
{
    for (size_t i = 0; i < item->n_args; i++)
        (void)rtc_release(p->rtc, item->args[i]);
    free(item->args);
    free(item->method);
    item->args = NULL;
    item->method = NULL;
    item->n_args = 0;
}

static int keep_args(struct rtc_pool *p, struct item *item, const char *method,
                     const struct rtc_args *args)
{
    size_t n = args ? args->n : 0;
    item->method = strdup(method);
    item->args = calloc(n ? n : 1, sizeof(*item->args));
    if (!item->method || !item->args)
        return rtci_error(RTC_E_NOMEM, "out of memory for a pool");
    for (size_t i = 0; i < n; i++) {
        const struct rtc_value *v = &args->items[i];
        int rc;
        if (v->type == RTC_REF) {
            item->args[i] = v->as.ref;
            rc = rtc_retain(p->rtc, v->as.ref);
        } else {
            rc = rtc_put(p->rtc, v, &item->args[i]);
        }
        if (rc < 0)
            return rc;
        item->n_args++;
    }
    return 0;
}

/* ---- Calls ---- */

static struct member *free_member(struct rtc_pool *p)
{
    struct member *best = NULL;
    for (size_t i = 0; i < p->n_members; i++) {
        struct member *m = &p->members[(p->turn + i) % p->n_members];
        if (!m->dead && m->out < p->window && (!best || m->out < best->out))
            best = m;
    }
    if (best)
        p->turn = (size_t)(best - p->members) + 1;
    return best;
}

static void note_dead(struct rtc_pool *p, struct member *m, int rc)
{
    if (rc != RTC_E_ACTOR_DEAD || m->dead)
        return;
    m->dead = true;
    p->n_dead++;
}

static int send_item(struct rtc_pool *p, struct item *item, struct member *m, const char *method,
                     const struct rtc_args *args)
{
    int rc = rtc_actor_call(p->rtc, m->actor, method, args, NULL, &item->ref);
    note_dead(p, m, rc);
    if (rc < 0)
        return rc;
    m->out++;
    item->state = ITEM_OUT;
    item->actor = (uint32_t)(m - p->members);
    return 0;
}

static int send_waiting(struct rtc_pool *p, struct item *item, struct member *m)
{
    struct rtc_value *values = calloc(item->n_args ? item->n_args : 1, sizeof(*values));
    if (!values)
        return rtci_error(RTC_E_NOMEM, "out of memory for a pool");
    for (size_t i = 0; i < item->n_args; i++)
        values[i] = rtc_of_ref(item->args[i]);
    struct rtc_args args = {values, item->n_args};
    int rc = send_item(p, item, m, item->method, &args);
    free(values);
    if (rc == 0)
        drop_args(p, item);
    return rc;
}

static int all_dead(const struct rtc_pool *p)
{
    return rtci_error(RTC_E_ACTOR_DEAD, "all %zu actors of the pool are dead", p->n_members);
}

/* Gives what waits to who is free. A dead one is passed over. */
static int feed(struct rtc_pool *p)
{
    while (p->waiting < p->end) {
        struct member *m = free_member(p);
        if (!m)
            return p->n_dead == p->n_members ? all_dead(p) : 0;
        int rc = send_waiting(p, item_at(p, p->waiting), m);
        if (rc == RTC_E_ACTOR_DEAD)
            continue;
        if (rc < 0)
            return rc;
        p->waiting++;
    }
    return 0;
}

static int grow(struct rtc_pool *p)
{
    if (p->end - p->first < p->cap)
        return 0;
    size_t cap = p->cap ? p->cap * 2 : 64;
    struct item *items = calloc(cap, sizeof(*items));
    if (!items)
        return rtci_error(RTC_E_NOMEM, "out of memory for a pool");
    for (size_t i = p->first; i < p->end; i++)
        items[i & (cap - 1)] = *item_at(p, i);
    free(p->items);
    p->items = items;
    p->cap = cap;
    return 0;
}

int rtc_pool_submit(struct rtc_pool *p, const char *method, const struct rtc_args *args)
{
    if (!p || !method)
        return rtci_error(RTC_E_INVALID, "the pool, or the name of the method, is NULL");
    RTC_TRY(grow(p));
    struct item *item = item_at(p, p->end);
    *item = (struct item){0};
    for (;;) {
        struct member *m = p->waiting == p->end ? free_member(p) : NULL;
        if (!m)
            break;
        int rc = send_item(p, item, m, method, args);
        if (rc == 0) {
            p->end++;
            p->waiting++;
            return 0;
        }
        if (rc != RTC_E_ACTOR_DEAD)
            return rc;
    }
    if (p->n_dead == p->n_members)
        return all_dead(p);
    int rc = keep_args(p, item, method, args);
    if (rc < 0) {
        drop_args(p, item);
        return rc;
    }
    p->end++;
    return 0;
}

/* ---- Results ---- */

static void let_go(struct rtc_pool *p)
{
    if (p->holds)
        (void)rtc_release(p->rtc, p->held);
    p->holds = false;
}

/* The result of an item that is done; the item is over, however it ended. */
static int take(struct rtc_pool *p, size_t number, struct rtc_value *ret_value)
{
    struct item *item = item_at(p, number);
    struct member *m = &p->members[item->actor];
    int rc = rtc_get(p->rtc, item->ref, RTC_FOREVER, ret_value);
    note_dead(p, m, rc);
    m->out--;
    item->state = ITEM_TAKEN;
    p->held = item->ref;
    p->holds = true;
    while (p->first < p->waiting && item_at(p, p->first)->state == ITEM_TAKEN)
        p->first++;
    int fed = feed(p);
    return rc < 0 || fed == RTC_E_ACTOR_DEAD ? rc : fed;
}

int rtc_pool_next(struct rtc_pool *p, int64_t timeout, struct rtc_value *ret_value)
{
    if (!p)
        return rtci_error(RTC_E_INVALID, "the pool is NULL");
    let_go(p);
    RTC_TRY(feed(p));
    if (p->first == p->end)
        return rtci_error(RTC_E_END, "nothing was submitted to the pool that was not taken");
    size_t ready, n;
    RTC_TRY(rtc_wait(p->rtc, &item_at(p, p->first)->ref, 1, 1, timeout, &ready, &n));
    return take(p, p->first, ret_value);
}

static int list_out(struct rtc_pool *p, size_t *ret_n)
{
    if (p->cap_refs < p->cap) {
        rtc_ref *refs = realloc(p->refs, p->cap * sizeof(*refs));
        p->refs = refs ? refs : p->refs;
        size_t *which = realloc(p->which, p->cap * sizeof(*which));
        p->which = which ? which : p->which;
        if (!refs || !which)
            return rtci_error(RTC_E_NOMEM, "out of memory for a pool");
        p->cap_refs = p->cap;
    }
    size_t n = 0;
    for (size_t i = p->first; i < p->waiting; i++) {
        if (item_at(p, i)->state != ITEM_OUT)
            continue;
        p->refs[n] = item_at(p, i)->ref;
        p->which[n++] = i;
    }
    *ret_n = n;
    return 0;
}

int rtc_pool_next_unordered(struct rtc_pool *p, int64_t timeout, size_t *ret_index,
                            struct rtc_value *ret_value)
{
    if (!p)
        return rtci_error(RTC_E_INVALID, "the pool is NULL");
    let_go(p);
    RTC_TRY(feed(p));
    size_t n = 0, ready = 0, n_ready;
    if (p->first < p->end)
        RTC_TRY(list_out(p, &n));
    if (n == 0)
        return rtci_error(RTC_E_END, "nothing was submitted to the pool that was not taken");
    RTC_TRY(rtc_wait(p->rtc, p->refs, n, 1, timeout, &ready, &n_ready));
    if (ret_index)
        *ret_index = p->which[ready];
    return take(p, p->which[ready], ret_value);
}

static int map(struct rtc_pool *p, const char *method, const struct rtc_args *args, size_t n,
               bool ordered, int (*fn)(void *arg, size_t i, const struct rtc_value *value),
               void *arg)
{
    if (!p || !method || !fn)
        return rtci_error(RTC_E_INVALID, "the pool, the name of the method or fn is NULL");
    struct rtc_value value;
    while (p->first < p->end) /* those from before have nobody who waits for them */
        RTC_TRY(rtc_pool_next(p, RTC_FOREVER, &value));
    /* Submitted a window ahead: a million calls do not wait here with their arguments. */
    size_t begin = p->end, done = 0, ahead = p->n_members * p->window;
    while (done < n) {
        while (p->end - begin < n && p->end - p->first < ahead)
            RTC_TRY(rtc_pool_submit(p, method, args ? &args[p->end - begin] : NULL));
        size_t i = p->first;
        int rc = ordered ? rtc_pool_next(p, RTC_FOREVER, &value)
                         : rtc_pool_next_unordered(p, RTC_FOREVER, &i, &value);
        rc = rc ? rc : fn(arg, i - begin, &value);
        if (rc)
            return rc;
        done++;
    }
    return 0;
}

int rtc_pool_map(struct rtc_pool *p, const char *method, const struct rtc_args *args, size_t n,
                 int (*fn)(void *arg, size_t i, const struct rtc_value *value), void *arg)
{
    return map(p, method, args, n, true, fn, arg);
}

int rtc_pool_map_unordered(struct rtc_pool *p, const char *method, const struct rtc_args *args,
                           size_t n, int (*fn)(void *arg, size_t i, const struct rtc_value *value),
                           void *arg)
{
    return map(p, method, args, n, false, fn, arg);
}

/* ---- Life ---- */

int rtc_pool_create(struct rtc *rtc, const rtc_actor *actors, size_t n, uint32_t window,
                    struct rtc_pool **ret_pool)
{
    if (!rtc || !actors || !n || !ret_pool)
        return rtci_error(RTC_E_INVALID, "a pool needs a handle and at least one actor");
    struct rtc_pool *p = calloc(1, sizeof(*p));
    if (p)
        p->members = calloc(n, sizeof(*p->members));
    if (!p || !p->members) {
        free(p);
        return rtci_error(RTC_E_NOMEM, "out of memory for a pool");
    }
    p->rtc = rtc;
    p->window = window ? window : WINDOW;
    for (; p->n_members < n; p->n_members++) {
        int rc = rtc_actor_retain(rtc, actors[p->n_members]);
        if (rc < 0) {
            rtc_pool_free(p);
            return rc;
        }
        p->members[p->n_members].actor = actors[p->n_members];
    }
    *ret_pool = p;
    return 0;
}

void rtc_pool_free(struct rtc_pool *p)
{
    if (!p)
        return;
    let_go(p);
    for (size_t i = p->first; i < p->end; i++) {
        struct item *item = item_at(p, i);
        if (item->state == ITEM_OUT)
            (void)rtc_release(p->rtc, item->ref);
        else if (item->state == ITEM_WAITING)
            drop_args(p, item);
    }
    for (size_t i = 0; i < p->n_members; i++)
        (void)rtc_actor_release(p->rtc, p->members[i].actor);
    free(p->members);
    free(p->items);
    free(p->refs);
    free(p->which);
    free(p);
}
