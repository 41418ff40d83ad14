/* Logging of the daemons: level and subsystem masks, key=value tail, one line to stderr.
 * RTC_LOG=error|warn|info|debug and RTC_LOG_SUBSYS=head,node,store,... choose what is written.
 * Library functions (client, wire, core, shm, store) log at debug only and return errors. */
#ifndef RTCI_BASE_LOG_H
#define RTCI_BASE_LOG_H

#include "runtime/base/assert.h"

enum rtci_log_level { RTCI_LOG_ERROR, RTCI_LOG_WARN, RTCI_LOG_INFO, RTCI_LOG_DEBUG };
enum rtci_log_subsys {
    RTCI_LOG_BASE, RTCI_LOG_WIRE, RTCI_LOG_CORE, RTCI_LOG_SHM, RTCI_LOG_STORE, RTCI_LOG_NET,
    RTCI_LOG_CLIENT, RTCI_LOG_EXEC, RTCI_LOG_KEEPER, RTCI_LOG_NODE, RTCI_LOG_HEAD, RTCI_LOG_CLI,
    RTCI_LOG_SUBSYS_COUNT,
};

/* Reads RTC_LOG and RTC_LOG_SUBSYS. Not thread-safe: call at the start of main. */
void rtci_log_init(const char *program);
int rtci_log_enabled(enum rtci_log_level level, enum rtci_log_subsys subsys);
void rtci_log_write(enum rtci_log_level level, enum rtci_log_subsys subsys, const char *fmt, ...)
    RTCI_PRINTF(3, 4);

/* RTCI_LOG(WARN, NODE, "executor died pid=%d signal=%d", pid, sig): arguments are not evaluated
 * when the level or the subsystem is masked. */
#define RTCI_LOG(level, subsys, ...)                                                               \
    do {                                                                                           \
        if (rtci_log_enabled(RTCI_LOG_##level, RTCI_LOG_##subsys))                                 \
            rtci_log_write(RTCI_LOG_##level, RTCI_LOG_##subsys, __VA_ARGS__);                      \
    } while (0)

#endif
