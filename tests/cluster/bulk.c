/* bulk direct|relayed [COMMAND]: a task on node 2 makes 16 MiB, one on node 3 reads them, over and
 * over until some rounds passed without the head (direct), or once, and they passed the head
 * (relayed). The command, of the shell, is run when the bytes of the first round are there. */
#include <rtc/rtc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE   (16 << 20)
#define ROUNDS 1000

RTC_TASK(make_bytes)
{
    int64_t with;
    RTC_TRY(rtc_arg_i64(call, 0, &with));
    char *data = malloc(SIZE);
    if (!data)
        return RTC_E_NOMEM;
    memset(data, (int)with, SIZE);
    int rc = rtc_return_bytes(call, data, SIZE);
    free(data);
    return rc;
}

RTC_TASK(count_bytes)
{
    const char *data;
    size_t size;
    int64_t with, n = 0;
    RTC_TRY(rtc_arg_bytes(call, 0, (const void **)&data, &size));
    RTC_TRY(rtc_arg_i64(call, 1, &with));
    for (size_t i = 0; i < size; i++)
        n += data[i] == (char)with;
    return rtc_return_i64(call, n);
}

static unsigned long long relayed(struct rtc *rtc)
{
    static const char key[] = "\"relayed_bytes\":";
    char *json;
    RTC_CHECK(rtc_query(rtc, "status", &json));
    const char *at = strstr(json, key);
    unsigned long long n = at ? strtoull(at + strlen(key), NULL, 10) : 0;
    free(json);
    return n;
}

static void one_round(struct rtc *rtc, int64_t with, const char *command)
{
    rtc_ref bytes, count;
    int64_t n;
    RTC_CHECK(rtc_submit(rtc, "make_bytes", RTC_ARGS(rtc_i64(with)),
                         RTC_OPTIONS(.place = RTC_PLACE_NODE, .node = 2), &bytes));
    if (command) {
        size_t ready, n_ready;
        RTC_CHECK(rtc_wait(rtc, &bytes, 1, 1, RTC_S(60), &ready, &n_ready));
        if (system(command) != 0)
            exit(1);
    }
    RTC_CHECK(rtc_submit(rtc, "count_bytes", RTC_ARGS(rtc_of_ref(bytes), rtc_i64(with)),
                         RTC_OPTIONS(.place = RTC_PLACE_NODE, .node = 3), &count));
    RTC_CHECK(rtc_get_i64(rtc, count, RTC_S(60), &n));
    if (n != SIZE) {
        fprintf(stderr, "round %lld: %lld bytes are right\n", (long long)with, (long long)n);
        exit(1);
    }
    RTC_CHECK(rtc_release(rtc, bytes));
    RTC_CHECK(rtc_release(rtc, count));
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    bool direct = argc > 1 && strcmp(argv[1], "direct") == 0, ok = false;
    int calm =
        0; /* rounds in a row that the head was not seen to relay; its count is somewhat old */
    for (int64_t k = 1; !ok && k <= (direct ? ROUNDS : 1); k++) {
        unsigned long long before = relayed(rtc);
        one_round(rtc, k, k == 1 && argc > 2 ? argv[2] : NULL);
        for (int again = 0; again < 20 && !direct && relayed(rtc) - before < SIZE; again++)
            one_round(rtc, k, NULL);
        unsigned long long grown = relayed(rtc) - before;
        calm = grown < SIZE / 16 ? calm + 1 : 0;
        ok = direct ? calm == 4 : grown >= SIZE;
    }
    if (!ok)
        fprintf(stderr, "it is not %s\n", direct ? "direct" : "relayed");
    rtc_shutdown(&rtc);
    return !ok;
}
