/* Monitors and links. A monitor is said again after a restart of the daemon, and its DOWN may be
 * too: what is called back is forgotten first, and answered. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

static void say(struct rtc *rtc, uint16_t type, uint64_t number, struct rtci_id id)
{
    struct rtci_actor_monitor rec = {.rec = {sizeof(rec), type, 0}, .monitor = number, .id = id};
    rtci_outbox(rtc, &rec);
}

void rtci_monitors_repeat(struct rtc *rtc)
{
    for (struct monitor *m = rtc->actors->monitors; m; m = m->next)
        say(rtc, RTCI_R_ACTOR_MONITOR, m->number, m->id);
}

void rtci_on_actor_down(struct rtc *rtc, const struct rtci_actor_down *down)
{
    struct monitor **at = &rtc->actors->monitors, *m;
    say(rtc, RTCI_R_ACTOR_DEMONITOR, down->monitor, down->id);
    while ((m = *at) && m->number != down->monitor)
        at = &m->next;
    if (!m)
        return; /* heard before, or not wanted any more */
    *at = m->next;
    m->next = NULL;
    m->down.monitor = m->number;
    m->down.actor = m->actor;
    rtci_actor_info_of(&m->down.info, &down->cause);
    m->down.info.state = RTC_ACTOR_DEAD;
    m->down.info.incarnation = down->incarnation;
    m->down.info.code = RTC_E_ACTOR_DEAD;
    *rtc->actors->downs_tail = m;
    rtc->actors->downs_tail = &m->next;
    rtc->downs_ready = true;
}

bool rtci_run_down(struct rtc *rtc)
{
    struct monitor *m = rtc->actors->downs;
    if (!m)
        return false;
    rtc->actors->downs = m->next;
    if (!m->next)
        rtc->actors->downs_tail = &rtc->actors->downs;
    rtc->downs_ready = m->next != NULL;
    pthread_mutex_unlock(&rtc->lock);
    m->fn(rtc, &m->down, m->arg);
    pthread_mutex_lock(&rtc->lock);
    free(m);
    return true;
}

/* Whom the handle means: of one that may stand for another, when that is known. */
static int target_of(struct rtc *rtc, rtc_actor handle, struct rtci_id *ret_id)
{
    struct actor *actor;
    int rc = rtci_actor_of(rtc, handle, &actor);
    if (rc == 0 && actor->get_if_exists && !actor->known && !actor->dead) {
        rc = rtci_actor_await(rtc, actor, UINT64_MAX);
        *ret_id = rtci_actor_meant(actor)->id;
        rtci_actor_unpin(rtc, actor);
        return rc;
    }
    if (rc == 0)
        *ret_id = actor->id;
    return rc;
}

int rtc_monitor(struct rtc *rtc, rtc_actor actor,
                void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                uint64_t *ret_monitor)
{
    if (!fn)
        return rtci_error(RTC_E_INVALID, "fn is NULL");
    if (rtc && rtc->light) {
        int here = rtc->light->monitor(rtc, actor, fn, arg, ret_monitor);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    if (actor.pad)
        return rtci_lights_monitor(rtc, actor, fn, arg, ret_monitor);
    RTCI_TRY(rtci_enter(rtc));
    struct rtci_id id;
    int rc = target_of(rtc, actor, &id);
    struct monitor *m = rc == 0 ? calloc(1, sizeof(*m)) : NULL;
    if (rc == 0 && !m)
        rc = rtci_error(RTC_E_NOMEM, "out of memory for a monitor");
    if (m) {
        *m = (struct monitor){.next = rtc->actors->monitors,
                              .number = rtc->next_request++,
                              .id = id,
                              .actor = actor,
                              .fn = fn,
                              .arg = arg};
        rtc->actors->monitors = m;
        say(rtc, RTCI_R_ACTOR_MONITOR, m->number, id);
        if (ret_monitor)
            *ret_monitor = m->number;
    }
    rtci_leave(rtc);
    return rc;
}

static struct monitor *take(struct monitor **at, uint64_t number)
{
    struct monitor *m;
    while ((m = *at) && m->number != number)
        at = &m->next;
    if (m)
        *at = m->next;
    return m;
}

int rtc_demonitor(struct rtc *rtc, uint64_t monitor)
{
    if (rtc && rtc->light) {
        int here = rtc->light->demonitor(rtc, monitor);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    if (monitor & RTCI_LIGHT_MONITOR)
        return rtci_lights_demonitor(rtc, monitor);
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    struct monitor *m = take(&rtc->actors->monitors, monitor);
    if (m) {
        say(rtc, RTCI_R_ACTOR_DEMONITOR, m->number, m->id);
    } else if ((m = take(&rtc->actors->downs, monitor))) {
        struct monitor **end = &rtc->actors->downs;
        while (*end)
            end = &(*end)->next;
        rtc->actors->downs_tail = end;
        rtc->downs_ready = rtc->actors->downs != NULL;
    } else {
        rc = rtci_error(RTC_E_NOT_FOUND,
                        "there is no monitor %llu: it was called back, or ended before",
                        (unsigned long long)monitor);
    }
    free(m);
    rtci_leave(rtc);
    return rc;
}

/* ---- Links ---- */

static int link_two(struct rtc *rtc, rtc_actor a, rtc_actor b, uint32_t op)
{
    if (a.pad || b.pad)
        return rtci_lights_link(rtc, a, b, op == 1);
    RTCI_TRY(rtci_enter(rtc));
    struct rtci_actor_link link = {.rec = {sizeof(link), RTCI_R_ACTOR_LINK, 0}, .op = op};
    int rc = target_of(rtc, a, &link.a);
    if (rc == 0)
        rc = target_of(rtc, b, &link.b);
    if (rc == 0 && rtci_id_equal(link.a, link.b))
        rc = rtci_error(RTC_E_INVALID, "an actor cannot be linked to itself");
    if (rc == 0)
        rc = rtci_send_record(rtc, &link);
    rtci_leave(rtc);
    return rc;
}

int rtc_link(struct rtc *rtc, rtc_actor a, rtc_actor b)
{
    return link_two(rtc, a, b, 1);
}

int rtc_unlink(struct rtc *rtc, rtc_actor a, rtc_actor b)
{
    return link_two(rtc, a, b, 0);
}
