#include "runtime/client/error.h"

#include <rtc/rtc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_error[1536];

void rtci_error_set(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(last_error, sizeof(last_error), fmt, args);
    va_end(args);
}

void rtci_error_prefix(const char *fmt, ...)
{
    char old[sizeof(last_error)];
    memcpy(old, last_error, sizeof(old));
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(last_error, sizeof(last_error), fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(last_error))
        snprintf(last_error + n, sizeof(last_error) - (size_t)n, ": %.1400s", old);
}

void rtci_error_clear(void)
{
    last_error[0] = '\0';
}

const char *rtc_last_error(void)
{
    return last_error;
}

const char *rtc_error_name(int code)
{
    switch (code) {
    case RTC_OK: return "RTC_OK";
#define X(number, name, text) \
    case -(number): return "RTC_E_" #name;
        RTC_ERROR_MAP(X)
#undef X
    default: return "RTC_E_?";
    }
}

const char *rtc_error_text(int code)
{
    switch (code) {
    case RTC_OK: return "no error";
#define X(number, name, text) \
    case -(number): return text;
        RTC_ERROR_MAP(X)
#undef X
    default: return "an error code of the program's own";
    }
}

void rtc_check_(int rc, const char *expr, const char *file, int line)
{
    if (rc >= 0)
        return;
    const char *sentence = last_error[0] ? last_error : rtc_error_text(rc);
    fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, expr, rtc_error_name(rc), sentence);
    exit(1);
}
