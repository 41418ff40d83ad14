/* Monitors of light actors of other processes: each host is asked for news by one call that it
 * answers when there is some. What it said is acknowledged by the next question, so nothing is lost
 * when the daemon is killed; when the host itself dies, that is the news. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

struct light_monitor {
    struct light_monitor *next;
    uint64_t number;
    rtc_actor actor;
    void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg);
    void *arg;
};
struct rtci_light_news {
    struct rtci_light_news *next;
    struct rtci_id host; /* a handle of it is kept */
    uint64_t heard;      /* up to this number of its news */
    bool asked, dead;
    struct light_monitor *monitors;
};

static void ask_news(struct rtc *rtc, struct rtci_light_news *news);

static struct rtci_light_news *news_of(struct rtc *rtc, struct rtci_id host)
{
    struct rtci_light_news *news = rtc->light_news;
    while (news && !rtci_id_equal(news->host, host))
        news = news->next;
    return news;
}

static void free_news(struct rtci_light_news *news)
{
    for (struct light_monitor *m = news->monitors, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(news);
}

void rtci_light_news_free(struct rtc *rtc)
{
    for (struct rtci_light_news *news = rtc->light_news, *next; news; news = next) {
        next = news->next;
        free_news(news);
    }
    rtc->light_news = NULL;
}

static void call_back(struct rtc *rtc, struct light_monitor *m, const struct rtc_actor_info *info)
{
    struct rtc_down down = {.monitor = m->number, .actor = m->actor, .info = *info};
    pthread_mutex_unlock(&rtc->lock);
    m->fn(rtc, &down, m->arg);
    pthread_mutex_lock(&rtc->lock);
    free(m);
}

static struct light_monitor *take(struct rtci_light_news *news, uint64_t number)
{
    struct light_monitor **at = &news->monitors, *m;
    while ((m = *at) && m->number != number)
        at = &m->next;
    if (m)
        *at = m->next;
    return m;
}

/* Each item is a list: its number among the news, the monitor, then as rtc_actor_info(). */
static void hear(struct rtc *rtc, struct rtci_light_news *news, const struct rtc_value *list)
{
    size_t n = rtc_value_len(list);
    for (size_t i = 0; i < n; i++) {
        struct rtc_value item, part;
        int64_t at = 0, number = 0;
        struct rtc_actor_info info;
        if (rtc_value_at(list, i, &item) < 0 || rtc_value_at(&item, 0, &part) < 0 ||
            rtc_value_i64(&part, &at) < 0 || rtc_value_at(&item, 1, &part) < 0 ||
            rtc_value_i64(&part, &number) < 0 || rtc_value_at(&item, 2, &part) < 0)
            continue;
        if ((uint64_t)at <= news->heard)
            continue;
        news->heard = (uint64_t)at;
        rtci_lights_read_info(&part, &info);
        struct light_monitor *m = take(news, (uint64_t)number | RTCI_LIGHT_MONITOR);
        if (m)
            call_back(rtc, m, &info);
    }
}

static void on_news(struct rtc *rtc, rtc_ref ref, void *arg)
{
    struct rtci_light_news *news = arg;
    struct rtc_value list;
    int rc = rtc_get(rtc, ref, 0, &list);
    pthread_mutex_lock(&rtc->lock);
    news->asked = false;
    if (rc == 0 && !news->dead)
        hear(rtc, news, &list);
    else if (rc != RTC_E_LOST && rc != RTC_E_CRASHED) {
        struct rtc_actor_info info; /* of all that live in this incarnation */
        rtci_lights_host_info(rtc, rtci_light_handle(news->host, 0), &info);
        while (news->monitors) {
            struct light_monitor *m = news->monitors;
            news->monitors = m->next;
            call_back(rtc, m, &info);
        }
    }
    RTCI_IGNORE(rtci_release_locked(rtc, ref));
    if (news->monitors) {
        ask_news(rtc, news);
    } else if (!news->asked) {
        struct rtci_light_news **at = &rtc->light_news;
        while (*at != news)
            at = &(*at)->next;
        *at = news->next;
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(news->host)));
        free(news);
    }
    pthread_mutex_unlock(&rtc->lock);
}

static void ask_news(struct rtc *rtc, struct rtci_light_news *news)
{
    rtc_ref ref;
    if (news->asked)
        return;
    news->asked = true;
    int rc = rtci_actor_call_locked(rtc, rtci_light_handle(news->host, 0), "rtc.news",
                                    RTC_ARGS(rtc_i64((int64_t)news->heard)), 0, &ref);
    if (rc == 0)
        rc = rtci_then_locked(rtc, ref, on_news, news);
    if (rc == 0)
        return;
    news->asked = false;
    struct rtc_value nil = rtc_nil();
    news->dead = rc == RTC_E_ACTOR_DEAD; /* told by the callback, as ever */
    if (news->dead && rtci_put_locked(rtc, &nil, &ref) == 0)
        news->asked = rtci_then_locked(rtc, ref, on_news, news) == 0;
}

static int make_news(struct rtc *rtc, struct rtci_id host, struct rtci_light_news **ret_news)
{
    struct rtci_light_news *news = calloc(1, sizeof(*news));
    int rc = news ? rtci_retain_locked(rtc, rtci_ref_of(host))
                  : rtci_error(RTC_E_NOMEM, "out of memory for a monitor");
    if (rc < 0) {
        free(news);
        return rc;
    }
    *news = (struct rtci_light_news){.next = rtc->light_news, .host = host};
    *ret_news = rtc->light_news = news;
    return 0;
}

int rtci_lights_monitor(struct rtc *rtc, rtc_actor actor,
                        void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg),
                        void *arg, uint64_t *ret_monitor)
{
    RTCI_TRY(rtci_enter(rtc));
    struct rtci_id host = rtci_actor_id(actor);
    struct rtci_light_news *news = news_of(rtc, host);
    struct light_monitor *m = calloc(1, sizeof(*m));
    int rc = m ? 0 : rtci_error(RTC_E_NOMEM, "out of memory for a monitor");
    if (rc == 0 && !news)
        rc = make_news(rtc, host, &news);
    if (rc < 0) {
        free(m);
        rtci_leave(rtc);
        return rc;
    }
    *m = (struct light_monitor){.next = news->monitors,
                                .number = rtc->next_request++ | RTCI_LIGHT_MONITOR,
                                .actor = actor,
                                .fn = fn,
                                .arg = arg};
    news->monitors = m;
    if (ret_monitor)
        *ret_monitor = m->number;
    int64_t number = (int64_t)(m->number & ~RTCI_LIGHT_MONITOR);
    RTCI_IGNORE(
        rtci_actor_call_locked(rtc, actor, "rtc.watch", RTC_ARGS(rtc_i64(number)), 0, NULL));
    ask_news(rtc, news);
    rtci_leave(rtc);
    return 0;
}

int rtci_lights_demonitor(struct rtc *rtc, uint64_t monitor)
{
    RTCI_TRY(rtci_enter(rtc));
    struct light_monitor *m = NULL;
    struct rtci_light_news *news = rtc->light_news;
    while (news && !(m = take(news, monitor)))
        news = news->next;
    int64_t number = (int64_t)(monitor & ~RTCI_LIGHT_MONITOR);
    int rc = 0;
    if (m)
        RTCI_IGNORE(rtci_actor_call_locked(rtc, m->actor, "rtc.unwatch", RTC_ARGS(rtc_i64(number)),
                                           0, NULL));
    else
        rc = rtci_error(RTC_E_NOT_FOUND,
                        "there is no monitor %llu: it was called back, or ended before",
                        (unsigned long long)monitor);
    free(m);
    rtci_leave(rtc);
    return rc;
}
