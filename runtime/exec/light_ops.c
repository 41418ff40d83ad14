/* What public functions do in the turn of a light actor. */
#include <string.h>

#include "runtime/exec/light_host.h"

static bool inside(void)
{
    const struct run *run = rtci_running();
    return run && !run->may_wait;
}

static int then(struct rtc *rtc, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
                void *arg)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run)
        return RTCI_ELSEWHERE;
    return ref.client == RTCI_LIGHT_CLIENT ? rtci_future_then(run, ref, fn, arg)
                                           : rtci_far_then(run, ref, fn, arg);
}

static int order(struct rtc *rtc, rtc_actor actor, const char *op)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run || !rtci_light_here(actor))
        return RTCI_ELSEWHERE;
    rtci_light_id id = rtci_light_id_of_handle(actor);
    bool retain = strcmp(op, "rtc.retain") == 0;
    int rc = retain                           ? rtci_light_retain(run->ctx, id)
             : strcmp(op, "rtc.release") == 0 ? rtci_light_release(run->ctx, id)
             : strcmp(op, "rtc.stop") == 0    ? rtci_light_stop(run->ctx, id)
                                              : rtci_light_kill(run->ctx, id);
    if (rc == RTC_E_RELEASED)
        return rtci_error(rc, "the handle of the light actor was released before");
    if (rc == RTC_E_NOT_FOUND && retain)
        return rtci_light_is_dead(id);
    return 0; /* dead already, or done */
}

static int info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *ret_info)
{
    (void)rtc;
    if (!rtci_running() || !rtci_light_here(actor))
        return RTCI_ELSEWHERE;
    rtci_light_info_here(rtci_light_id_of_handle(actor), ret_info);
    return 0;
}

static int monitor(struct rtc *rtc, rtc_actor actor,
                   void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                   uint64_t *ret_monitor)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run || run->plainly)
        return RTCI_ELSEWHERE;
    return actor.pad && rtci_light_here(actor) ? rtci_cell_monitor(run, actor, fn, arg, ret_monitor)
                                               : rtci_far_monitor(run, actor, fn, arg, ret_monitor);
}

static int demonitor(struct rtc *rtc, uint64_t number)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run || run->plainly)
        return RTCI_ELSEWHERE;
    return number >> 62 == 3 ? rtci_cell_demonitor(run, (uint32_t)number)
                             : rtci_far_demonitor(run, number);
}

static int link(struct rtc *rtc, rtc_actor a, rtc_actor b, bool on)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run || !rtci_light_here(a))
        return RTCI_ELSEWHERE;
    rtci_light_id x = rtci_light_id_of_handle(a), y = rtci_light_id_of_handle(b);
    if (y.index == run->cell->id.index && y.gen == run->cell->id.gen) {
        y = x;
        x = run->cell->id;
    }
    if (x.index != run->cell->id.index || x.gen != run->cell->id.gen)
        return rtci_light_refused(
            x, rtci_light_tell(run->ctx, x, on ? TAG_LINK : TAG_UNLINK, &y, sizeof(y)));
    int rc = on ? rtci_light_link(run->ctx, y) : rtci_light_unlink(run->ctx, y);
    return rc ? rtci_light_refused(y, rc) : 0;
}

static void given(struct rtc *rtc, uint64_t light)
{
    (void)rtc;
    RTCI_IGNORE(rtci_light_retain(rtci_light_ctx_now(), rtci_light_id_at(light)));
}

const struct rtci_light_ops rtci_light_ops = {.inside = inside,
                                              .create = rtci_local_create,
                                              .call = rtci_local_call,
                                              .get = rtci_future_get,
                                              .failure = rtci_future_failure,
                                              .count = rtci_future_count,
                                              .then = then,
                                              .order = order,
                                              .info = info,
                                              .monitor = monitor,
                                              .demonitor = demonitor,
                                              .link = link,
                                              .given = given};
