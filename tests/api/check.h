/* What tests of the public API are made with. After cmocka's own headers. */
#ifndef TESTS_API_CHECK_H
#define TESTS_API_CHECK_H

#include <rtc/rtc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* needs the ones above */
#include <cmocka.h>

#define OK(expr)                                                                         \
    do {                                                                                 \
        int rc_ = (expr);                                                                \
        if (rc_ < 0)                                                                     \
            print_message("%s: %s: %s\n", #expr, rtc_error_name(rc_), rtc_last_error()); \
        assert_int_equal(rc_, 0);                                                        \
    } while (0)
/* Fails with the code, and the sentence contains the words. */
#define FAILS(expr, code, words)                                                         \
    do {                                                                                 \
        int rc_ = (expr);                                                                \
        if (rc_ != (code) || !strstr(rtc_last_error(), words))                           \
            print_message("%s: %s: %s\n", #expr, rtc_error_name(rc_), rtc_last_error()); \
        assert_int_equal(rc_, code);                                                     \
        assert_non_null(strstr(rtc_last_error(), words));                                \
    } while (0)

#endif
