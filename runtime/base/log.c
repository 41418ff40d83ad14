#include "runtime/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const subsys_names[] = {"base",   "wire", "core",   "shm",  "store", "net",
                                           "client", "exec", "keeper", "node", "head",  "cli"};

static int log_level = RTCI_LOG_WARN;
static unsigned log_mask = ~0u;
static const char *log_program = "rtc";

void rtci_log_init(const char *program)
{
    log_program = program;
    const char *level = getenv("RTC_LOG");
    for (int i = 0; level && i < 4; i++) {
        if (strcmp(level, level_names[i]) == 0)
            log_level = i;
    }
    const char *subsys = getenv("RTC_LOG_SUBSYS");
    if (!subsys || !*subsys)
        return;
    log_mask = 0;
    for (const char *at = subsys; *at;) {
        size_t len = strcspn(at, ",");
        for (unsigned i = 0; i < RTCI_LOG_SUBSYS_COUNT; i++) {
            if (strlen(subsys_names[i]) == len && strncmp(at, subsys_names[i], len) == 0)
                log_mask |= 1u << i;
        }
        at += len + (at[len] == ',');
    }
}

int rtci_log_enabled(enum rtci_log_level level, enum rtci_log_subsys subsys)
{
    return (int)level <= log_level && (log_mask >> subsys & 1);
}

void rtci_log_write(enum rtci_log_level level, enum rtci_log_subsys subsys, const char *fmt, ...)
{
    char line[1024];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    int n = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s[%d] %s %s: ", tm.tm_hour,
                     tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, log_program, (int)getpid(),
                     level_names[level], subsys_names[subsys]);
    va_list args;
    va_start(args, fmt);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, args);
    va_end(args);
    n = m < 0 ? n : n + m;
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n] = '\n';
    /* One write, so that lines of several processes do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)n + 1);
    (void)ignored;
}
