/* The tasks of test_api.c, good ones and bad ones. */
#ifndef TESTS_API_TASKS_H
#define TESTS_API_TASKS_H

#include <poll.h>
#include <rtc/rtc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

RTC_TASK(noop)
{
    return rtc_return_i64(call, 0);
}
RTC_TASK(one)
{
    return rtc_return_i64(call, 1);
}
RTC_TASK_SIGNATURE(add, "i64,i64->i64")
{
    int64_t a, b;
    RTC_TRY(rtc_arg_i64(call, 0, &a));
    RTC_TRY(rtc_arg_i64(call, 1, &b));
    return rtc_return_i64(call, a + b);
}
RTC_TASK(sum)
{
    int64_t x, sum = 0;
    for (size_t i = 0; i < rtc_arg_count(call); i++) {
        RTC_TRY(rtc_arg_i64(call, i, &x));
        sum += x;
    }
    return rtc_return_i64(call, sum);
}
RTC_TASK(count)
{
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    for (int64_t i = 0; i < n; i++)
        RTC_TRY(rtc_return_i64(call, i));
    return 0;
}
RTC_TASK(await_name)
{
    int64_t x = 0;
    rtc_ref ref;
    RTC_TRY(rtc_newest(rtc_call_rtc(call), "said in a task", 0, RTC_S(15), &ref, NULL));
    RTC_TRY(rtc_get_i64(rtc_call_rtc(call), ref, RTC_S(15), &x));
    RTC_TRY(rtc_release(rtc_call_rtc(call), ref));
    return rtc_return_i64(call, x);
}
RTC_TASK(say_name)
{
    struct rtc_value v = rtc_i64(77);
    rtc_ref ref;
    RTC_TRY(rtc_put(rtc_call_rtc(call), &v, &ref));
    RTC_TRY(rtc_publish(rtc_call_rtc(call), "said in a task", ref, NULL));
    RTC_TRY(rtc_release(rtc_call_rtc(call), ref));
    return rtc_return_i64(call, 77);
}
RTC_TASK(tree)
{
    int64_t depth, x, leaves = 0;
    rtc_ref child[2];
    struct rtc *r = rtc_call_rtc(call);
    RTC_TRY(rtc_arg_i64(call, 0, &depth));
    if (depth == 0)
        return rtc_return_i64(call, 1);
    for (int i = 0; i < 2; i++)
        RTC_TRY(rtc_submit(r, "tree", RTC_ARGS(rtc_i64(depth - 1)), NULL, &child[i]));
    for (int i = 0; i < 2; i++) {
        RTC_TRY(rtc_get_i64(r, child[i], RTC_FOREVER, &x));
        leaves += x;
    }
    RTC_TRY(rtc_release_many(r, child, 2));
    return rtc_return_i64(call, leaves);
}
RTC_TASK(length)
{
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    return rtc_return_i64(call, (int64_t)size);
}
RTC_TASK(same)
{
    struct rtc_value v;
    RTC_TRY(rtc_arg(call, 0, &v));
    return rtc_return(call, &v);
}
/* Adds up what a list's references stand for: integers, and bytes by their length. */
RTC_TASK(open_list)
{
    struct rtc_value list, item, v;
    int64_t sum = 0;
    RTC_TRY(rtc_arg(call, 0, &list));
    for (size_t i = 0; i < rtc_value_len(&list); i++) {
        rtc_ref ref;
        RTC_TRY(rtc_value_at(&list, i, &item));
        RTC_TRY(rtc_value_ref(&item, &ref));
        RTC_TRY(rtc_get(rtc_call_rtc(call), ref, RTC_S(10), &v));
        sum += v.type == RTC_BYTES ? (int64_t)v.as.bytes.size : v.as.i;
    }
    return rtc_return_i64(call, sum);
}
/* Returns a list of references to objects and futures of its own, and so many bytes. */
RTC_TASK(give_refs)
{
    int64_t n, padding;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    RTC_TRY(rtc_arg_i64(call, 1, &padding));
    struct rtc_value items[17];
    for (int64_t i = 0; i < n && i < 16; i++) {
        rtc_ref ref;
        struct rtc_value v = rtc_i64(i);
        if (i % 2)
            RTC_TRY(rtc_submit(rtc_call_rtc(call), "same", RTC_ARGS(rtc_i64(i)), NULL, &ref));
        else
            RTC_TRY(rtc_put(rtc_call_rtc(call), &v, &ref));
        items[i] = rtc_of_ref(ref);
    }
    void *zeros = calloc(1, (size_t)padding + 1);
    items[n] = rtc_bytes(zeros, (size_t)padding);
    struct rtc_value list = rtc_list(items, (size_t)n + 1);
    int rc = rtc_return(call, &list);
    for (int64_t i = 0; i < n; i++) /* the list has them now */
        RTC_TRY(rtc_release(rtc_call_rtc(call), items[i].as.ref));
    if (padding) { /* room in the store is told at once, and what was released before with it */
        rtc_ref large;
        RTC_TRY(rtc_put(rtc_call_rtc(call), &items[n], &large));
        RTC_TRY(rtc_release(rtc_call_rtc(call), large));
    }
    free(zeros);
    return rc;
}
RTC_TASK(read_key)
{
    const char *key;
    void *data;
    size_t size;
    RTC_TRY(rtc_arg_str(call, 0, &key, NULL));
    RTC_TRY(rtc_kv_get(rtc_call_rtc(call), key, &data, &size));
    free(data);
    return rtc_return_i64(call, (int64_t)size);
}

/* ---- Bad ones ---- */
RTC_TASK(spin)
{
    while (!rtc_cancelled(call))
        poll(NULL, 0, 1);
    return rtc_fail(call, RTC_E_CANCELLED, "told to stop");
}
RTC_TASK(sleep_for_ever)
{
    for (;;)
        pause();
    return rtc_return_i64(call, 0);
}
RTC_TASK(exits)
{
    exit(3);
}
RTC_TASK(aborts)
{
    abort();
}
static volatile int deep;
static int descend(int n)
{
    volatile char frame[4096];
    frame[0] = (char)n;
    deep = n;
    if (deep < 0) /* never: but the compiler cannot know */
        return 0;
    return descend(n + 1) + frame[0];
}
RTC_TASK(overflows)
{
    return descend(0);
}
RTC_TASK(returns_nothing)
{
    return 0;
}
RTC_TASK(returns_twice)
{
    RTC_TRY(rtc_return_i64(call, 1));
    return rtc_return_i64(call, 2);
}
RTC_TASK(fails)
{
    return rtc_fail(call, -4242, "the %s is broken", "thing");
}
RTC_TASK(forks)
{
    rtc_ref ref;
    pid_t pid = fork();
    if (pid == 0) /* exit: runs handlers of the library too */
        exit(rtc_submit(rtc_call_rtc(call), "noop", NULL, NULL, &ref) == RTC_E_FORKED ? 7 : 1);
    int status;
    waitpid(pid, &status, 0);
    return rtc_return_i64(call, WEXITSTATUS(status));
}
RTC_TASK(crash_once)
{
    if (rtc_call_attempt(call) == 1)
        abort();
    return rtc_return_i64(call, rtc_call_attempt(call));
}
RTC_TASK(fail_once)
{
    if (rtc_call_attempt(call) == 1)
        return rtc_fail(call, -1, "the first time");
    return rtc_return_i64(call, rtc_call_attempt(call));
}

#endif
