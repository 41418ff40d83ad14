/* The error of the calling thread: a code and a sentence that says what happened and what to do. */
#ifndef RTCI_CLIENT_ERROR_H
#define RTCI_CLIENT_ERROR_H

#include <rtc/error.h>

#include "runtime/base/assert.h"

void rtci_error_set(const char *fmt, ...) RTCI_PRINTF(1, 2);
void rtci_error_prefix(const char *fmt, ...) RTCI_PRINTF(1, 2);
void rtci_error_clear(void);
static inline int rtci_error_code(int code)
{
    return code;
}

/* Sets the sentence of this thread; its value is `code`. A macro, so that the compiler sees that
 * nothing was returned. */
#define rtci_error(code, ...) (rtci_error_set(__VA_ARGS__), rtci_error_code(code))
/* Puts "what: " in front of the sentence that is set. */
#define rtci_error_within(code, ...) (rtci_error_prefix(__VA_ARGS__), rtci_error_code(code))

/* Hands a negative code on to the caller. */
#define RTCI_TRY(expr)                    \
    do {                                  \
        int rtci_try_ = (expr);           \
        if (RTCI_UNLIKELY(rtci_try_ < 0)) \
            return rtci_try_;             \
    } while (0)

#endif
