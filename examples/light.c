/* Light actors: 100,000 cells on a ring, all in one process. Each knows its neighbour; a token goes
 * around, once past every cell, and the program waits for its return. A light actor never waits:
 * the one that sent the token out answers when it comes back. */
#include <rtc/actor.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct cell {
    rtc_actor next;
    struct rtc_promise *promise; /* of the one that began */
};

static int meet(struct rtc_call *call)
{
    struct cell *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->next));
    return rtc_actor_retain(rtc_call_rtc(call), self->next);
}

/* How many cells it has passed. Nobody waits for an answer to this. */
static int pass(struct rtc_call *call)
{
    struct cell *self = rtc_self(call);
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    if (self->promise) {
        struct rtc_value passed = rtc_i64(n);
        return rtc_promise_return(self->promise, &passed);
    }
    return rtc_actor_call(rtc_call_rtc(call), self->next, "pass", RTC_ARGS(rtc_i64(n + 1)), NULL,
                          NULL);
}

static int begin(struct rtc_call *call)
{
    struct cell *self = rtc_self(call);
    RTC_TRY(rtc_defer(call, &self->promise));
    return rtc_actor_call(rtc_call_rtc(call), self->next, "pass", RTC_ARGS(rtc_i64(1)), NULL, NULL);
}

RTC_ACTOR(cell, struct cell, .methods = {RTC_METHOD(meet), RTC_METHOD(pass), RTC_METHOD(begin)});

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    rtc_ref done;
    int64_t passed;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    rtc_actor *cells = n > 1 ? calloc(n, sizeof(*cells)) : NULL;
    if (!cells) {
        fprintf(stderr, "light: how many cells? At least 2\n");
        return 2;
    }

    double start = seconds();
    for (size_t i = 0; i < n; i++)
        RTC_CHECK(rtc_actor_create(rtc, "cell", NULL, RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT),
                                   &cells[i]));
    for (size_t i = 0; i < n; i++)
        RTC_CHECK(rtc_actor_call(rtc, cells[i], "meet", RTC_ARGS(rtc_of_actor(cells[(i + 1) % n])),
                                 NULL, NULL));
    RTC_CHECK(rtc_actor_ready(rtc, cells[n - 1], RTC_FOREVER));
    printf("%zu cells in %.2f s\n", n, seconds() - start);

    start = seconds();
    RTC_CHECK(rtc_actor_call(rtc, cells[0], "begin", NULL, NULL, &done));
    RTC_CHECK(rtc_get_i64(rtc, done, RTC_FOREVER, &passed));
    printf("a token passed %lld of them in %.3f s\n", (long long)passed, seconds() - start);

    free(cells);
    RTC_CHECK(rtc_release(rtc, done));
    return rtc_shutdown(&rtc) < 0;
}
