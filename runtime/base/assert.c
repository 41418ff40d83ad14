#include "runtime/base/assert.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void rtci_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    void *frames[32];
    fprintf(stderr, "rtc: assertion failed: %s at %s:%d (%s) pid=%d\n", expr, file, line, func,
            (int)getpid());
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    abort();
}
