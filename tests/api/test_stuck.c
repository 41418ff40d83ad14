/* One task that does not end, among many short ones: what waits behind it must go elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <rtc/rtc.h>

#define SHORT 500

static struct rtc *rtc;

RTC_TASK(maybe)
{
    bool stays = false;
    RTC_TRY(rtc_arg_bool(call, 0, &stays));
    while (stays)
        pause();
    return rtc_return_i64(call, 1);
}

static rtc_ref submit(bool stays)
{
    rtc_ref ref;
    assert_int_equal(rtc_submit(rtc, "maybe", RTC_ARGS(rtc_bool(stays)), NULL, &ref), 0);
    return ref;
}

static void short_ones_pass(void **state)
{
    (void)state;
    rtc_ref refs[SHORT];
    for (int round = 0; round < 3; round++) { /* the first one teaches how short they are */
        rtc_ref stays = {0};
        for (int i = 0; i < SHORT; i++) {
            if (round && i == SHORT / 10)
                stays = submit(true);
            refs[i] = submit(false);
        }
        assert_int_equal(rtc_get_many(rtc, refs, SHORT, RTC_S(60), NULL), 0);
        assert_int_equal(rtc_release_many(rtc, refs, SHORT), 0);
        if (round) {
            assert_int_equal(rtc_cancel(rtc, stays, RTC_CANCEL_FORCE), 0);
            assert_int_equal(rtc_get(rtc, stays, RTC_S(60), NULL), RTC_E_CANCELLED);
            assert_int_equal(rtc_release(rtc, stays), 0);
        }
    }
}

int main(int argc, char **argv)
{
    struct rtc_config config = {.address = "embedded", .cpus = 2, .quiet = true};
    if (rtc_init(&argc, &argv, &config, &rtc) < 0)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(short_ones_pass)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
