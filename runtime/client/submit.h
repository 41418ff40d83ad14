/* Between submit.c and command.c. */
#ifndef RTCI_CLIENT_SUBMIT_H
#define RTCI_CLIENT_SUBMIT_H

#include "runtime/client/client.h"

/* What is the same for all tasks of one call. */
struct job {
    const struct rtc_task_def *def; /* NULL for commands */
    uint64_t function;
    uint32_t shape;
    uint32_t n_returns;
    uint16_t flags;
    int32_t priority;
    int32_t retries;
    uint64_t deadline_ns;
    uint64_t submit_deadline_ns;
    const char *name;
    uint32_t name_len;
};
int rtci_job_of(struct rtc *rtc, const struct rtc_options *options,
                struct job *ret_job) RTCI_MUST_USE;
/* Writes the task into the ring, unpublished. */
int rtci_submit_one(struct rtc *rtc, const struct job *job, const struct rtc_args *args,
                    rtc_ref *ret_refs) RTCI_MUST_USE;
int rtci_cancel_locked(struct rtc *rtc, rtc_ref ref, unsigned flags) RTCI_MUST_USE;

#endif
