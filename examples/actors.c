/* Actors: state in a process of its own, called by methods. A counter; one with a name that
 * outlives its handles; and a monitor, which hears of an end. */
#include <rtc/actor.h>
#include <signal.h>
#include <stdio.h>

struct counter {
    int64_t total;
};

static int counter_init(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    return rtc_arg_i64(call, 0, &self->total);
}

static int add(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, self->total += x);
}

static int crash(struct rtc_call *call)
{
    (void)call;
    raise(SIGKILL);
    return 0;
}

RTC_ACTOR(counter, struct counter, .init = counter_init,
          .methods = {RTC_METHOD_SIGNATURE(add, "i64->i64"), RTC_METHOD(crash)});

static void on_down(struct rtc *rtc, const struct rtc_down *down, void *arg)
{
    (void)rtc;
    printf("it is dead: %s\n", down->info.text);
    *(bool *)arg = true;
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    rtc_actor counter, shared, again;
    rtc_ref sums[3];
    int64_t x;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));

    /* Calls of one caller run in the order in which they were made. */
    RTC_CHECK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(10)), NULL, &counter));
    for (int i = 0; i < 3; i++)
        RTC_CHECK(rtc_actor_call(rtc, counter, "add", RTC_ARGS(rtc_i64(i)), NULL, &sums[i]));
    for (int i = 0; i < 3; i++) {
        RTC_CHECK(rtc_get_i64(rtc, sums[i], RTC_FOREVER, &x));
        RTC_CHECK(rtc_release(rtc, sums[i]));
        printf("10 and what was added: %lld\n", (long long)x);
    }

    /* By its name it is found from anywhere. Detached, it lives until it is told to stop. */
    struct rtc_options no_cpu = {.cpus = RTC_NONE};
    RTC_CHECK(rtc_actor_create(rtc, "counter", RTC_ARGS(rtc_i64(0)),
                               RTC_ACTOR_OPTIONS(.name = "score", .detached = true,
                                                 .get_if_exists = true, .needs = &no_cpu),
                               &shared));
    RTC_CHECK(rtc_actor_ready(rtc, shared, RTC_FOREVER));
    RTC_CHECK(rtc_actor_release(rtc, shared));
    RTC_CHECK(rtc_actor_find(rtc, NULL, "score", RTC_FOREVER, &again));
    RTC_CHECK(rtc_actor_call(rtc, again, "add", RTC_ARGS(rtc_i64(7)), NULL, &sums[0]));
    RTC_CHECK(rtc_get_i64(rtc, sums[0], RTC_FOREVER, &x));
    RTC_CHECK(rtc_release(rtc, sums[0]));
    printf("the score is %lld\n", (long long)x);
    RTC_CHECK(rtc_actor_stop(rtc, again));
    RTC_CHECK(rtc_actor_release(rtc, again));

    /* Whoever monitors an actor hears of its end once, inside some later call of rtc. */
    bool dead = false;
    RTC_CHECK(rtc_monitor(rtc, counter, on_down, &dead, NULL));
    RTC_CHECK(rtc_actor_call(rtc, counter, "crash", NULL, NULL, NULL));
    while (!dead)
        RTC_CHECK(rtc_poll(rtc, RTC_FOREVER));
    RTC_CHECK(rtc_actor_release(rtc, counter));
    return rtc_shutdown(&rtc) < 0;
}
