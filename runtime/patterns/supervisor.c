/* A supervisor: monitors on its children, and what is done when one goes down. All of it happens in
 * the callbacks of monitors, so in rtc calls of the process that has the supervisor.
 *
 * Restart intensity is OTP's: more than `intensity` restarts within `period` and it gives up. */
#include <rtc/patterns.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/client/error.h"

#define PERIOD RTC_S(5)
#define KILLED RTC_S(10) /* for the news of a kill to come back */

struct child {
    struct rtc_supervisor *supervisor;
    struct rtc_child spec;
    rtc_actor actor;
    uint64_t monitor;
    bool alive, over; /* over: not to be started again */
};
struct rtc_supervisor {
    struct rtc *rtc;
    struct rtc_supervisor_options options;
    struct child *children;
    size_t n, ending;  /* ending: of one-for-all, those that are still to go down */
    int64_t *restarts; /* when the last `intensity` of them were; a ring */
    uint64_t n_restarts;
    struct rtc_down why; /* of one-for-all: what began it */
    bool gave_up, stopping;
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * RTC_S(1) + t.tv_nsec;
}

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg);

static int start(struct child *c)
{
    struct rtc *rtc = c->supervisor->rtc;
    RTC_TRY(rtc_actor_create(rtc, c->spec.actor, c->spec.args, c->spec.options, &c->actor));
    int rc = rtc_monitor(rtc, c->actor, on_down, c, &c->monitor);
    if (rc < 0) {
        (void)rtc_actor_kill(rtc, c->actor, 0);
        (void)rtc_actor_release(rtc, c->actor);
        return rc;
    }
    c->alive = true;
    return 0;
}

static void give_up(struct rtc_supervisor *s, size_t who, const struct rtc_down *why)
{
    s->gave_up = true;
    for (size_t i = s->n; i-- > 0;) {
        if (s->children[i].alive)
            (void)rtc_actor_kill(s->rtc, s->children[i].actor, 0);
    }
    if (s->options.on_give_up)
        s->options.on_give_up(s->options.arg, who, why);
}

/* False: this one would be one too many. */
static bool may_restart(struct rtc_supervisor *s)
{
    uint32_t most = s->options.intensity;
    int64_t *oldest = &s->restarts[s->n_restarts % most], at = now();
    if (s->n_restarts >= most && at - *oldest < s->options.period)
        return false;
    *oldest = at;
    s->n_restarts++;
    return true;
}

static void restart(struct rtc_supervisor *s, size_t i, const struct rtc_down *why)
{
    struct child *c = &s->children[i];
    if (start(c) < 0) {
        give_up(s, i, why);
        return;
    }
    if (s->options.on_restart)
        s->options.on_restart(s->options.arg, i, c->actor, why);
}

static void restart_all(struct rtc_supervisor *s)
{
    for (size_t i = 0; i < s->n && !s->gave_up; i++) {
        if (!s->children[i].alive && !s->children[i].over)
            restart(s, i, &s->why);
    }
}

static void kill_others(struct rtc_supervisor *s, const struct rtc_down *down)
{
    s->why = *down;
    for (size_t k = s->n; k-- > 0;) {
        if (!s->children[k].alive)
            continue;
        (void)rtc_actor_kill(s->rtc, s->children[k].actor, 0);
        s->ending++;
    }
    if (s->ending == 0)
        restart_all(s);
}

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg)
{
    struct child *c = arg;
    struct rtc_supervisor *s = c->supervisor;
    size_t i = (size_t)(c - s->children);
    bool asked = down->info.cause == RTC_CAUSE_STOPPED || down->info.cause == RTC_CAUSE_HANDLES;
    c->alive = false;
    (void)rtc_actor_release(rtc, c->actor);
    if (s->stopping || s->gave_up)
        return;
    if (s->ending) {
        if (--s->ending == 0)
            restart_all(s);
        return;
    }
    if (c->spec.restart == RTC_TEMPORARY || (c->spec.restart == RTC_TRANSIENT && asked)) {
        c->over = true;
        return;
    }
    if (!may_restart(s))
        give_up(s, i, down);
    else if (s->options.strategy == RTC_ONE_FOR_ONE)
        restart(s, i, down);
    else
        kill_others(s, down);
}

int rtc_supervisor_start(struct rtc *rtc, const struct rtc_child *children, size_t n,
                         const struct rtc_supervisor_options *options,
                         struct rtc_supervisor **ret_supervisor)
{
    if (!rtc || !children || !n || !ret_supervisor)
        return rtci_error(RTC_E_INVALID, "a supervisor needs a handle and at least one child");
    struct rtc_supervisor *s = calloc(1, sizeof(*s));
    if (!s)
        return rtci_error(RTC_E_NOMEM, "out of memory for a supervisor");
    s->rtc = rtc;
    if (options)
        s->options = *options;
    if (!s->options.intensity)
        s->options.intensity = 1;
    if (!s->options.period)
        s->options.period = PERIOD;
    s->children = calloc(n, sizeof(*s->children));
    s->restarts = calloc(s->options.intensity, sizeof(*s->restarts));
    int rc =
        s->children && s->restarts ? 0 : rtci_error(RTC_E_NOMEM, "out of memory for a supervisor");
    for (; rc == 0 && s->n < n; s->n++) {
        s->children[s->n] = (struct child){.supervisor = s, .spec = children[s->n]};
        rc = start(&s->children[s->n]);
    }
    if (rc < 0) {
        (void)rtc_supervisor_stop(&s, 0);
        return rc;
    }
    *ret_supervisor = s;
    return 0;
}

int rtc_supervisor_child(struct rtc_supervisor *s, size_t i, rtc_actor *ret_actor)
{
    if (!s || i >= s->n || !ret_actor)
        return rtci_error(RTC_E_INVALID, "there is no child %zu", i);
    if (!s->children[i].alive && (s->children[i].over || s->gave_up))
        return rtci_error(RTC_E_ACTOR_DEAD, "child %zu is not started again: %s", i,
                          s->gave_up ? "the supervisor gave up" : "it ended as it may");
    if (!s->children[i].alive)
        return rtci_error(RTC_E_AGAIN, "child %zu is being started again", i);
    *ret_actor = s->children[i].actor;
    return 0;
}

static bool any_alive(const struct rtc_supervisor *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i].alive)
            return true;
    }
    return false;
}

static int await_all(struct rtc_supervisor *s, int64_t timeout)
{
    int64_t until = now() + timeout, left;
    while (any_alive(s)) {
        if ((left = until - now()) <= 0)
            return RTC_E_TIMEOUT;
        int rc = rtc_poll(s->rtc, left);
        if (rc < 0 && rc != RTC_E_TIMEOUT)
            return rc;
    }
    return 0;
}

int rtc_supervisor_stop(struct rtc_supervisor **supervisor, int64_t timeout)
{
    if (!supervisor || !*supervisor)
        return 0;
    struct rtc_supervisor *s = *supervisor;
    *supervisor = NULL;
    s->stopping = true;
    for (size_t i = s->n; i-- > 0;) {
        if (s->children[i].alive && timeout > 0)
            (void)rtc_actor_stop(s->rtc, s->children[i].actor);
    }
    int rc = await_all(s, timeout);
    for (size_t i = s->n; rc == RTC_E_TIMEOUT && i-- > 0;) {
        if (s->children[i].alive)
            (void)rtc_actor_kill(s->rtc, s->children[i].actor, 0);
    }
    rc = rc == RTC_E_TIMEOUT ? await_all(s, KILLED) : rc;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->children[i].alive)
            continue;
        (void)rtc_demonitor(s->rtc, s->children[i].monitor);
        (void)rtc_actor_release(s->rtc, s->children[i].actor);
    }
    free(s->children);
    free(s->restarts);
    free(s);
    return rc;
}
