/* Arguments of tasks and calls. */
#ifndef RTCI_CLIENT_ARGS_H
#define RTCI_CLIENT_ARGS_H

#include "runtime/client/client.h"

/* How one argument travels. */
struct arg_plan {
    const struct rtc_value *value; /* written by rtci_value_write; NULL: from bytes, or a reference */
    const void *bytes;             /* an own small put: its bytes are copied */
    struct value_plan plan;
    rtc_ref ref;
    bool is_ref;
    bool handle;    /* … of an actor: nothing to wait for */
    bool light;     /* the handle of a light actor: a value, and a reference to its host beside it */
    bool temporary; /* the reference was made for this task: released when it is submitted */
};
struct task_plan {
    struct arg_plan *args;
    size_t n_args;
    uint64_t data_size;
    uint32_t n_refs;
    uint32_t n_temporary;
    struct rtci_id to; /* a call: the actor */
    bool may_wait; /* a call: references to what is not there yet hold it back, not the caller */
};

#define RTCI_ARGS_FEW 32 /* fit the caller's stack */
/* Memory for the plan: `few`, or more. Errors: RTC_E_TOO_LARGE, RTC_E_NOMEM. */
int rtci_args_begin(const struct rtc_args *args, struct arg_plan few[RTCI_ARGS_FEW],
                    struct task_plan *task) RTCI_MUST_USE;
/* Decides for each argument; what travels by reference is known to the head afterwards. */
int rtci_args_plan(struct rtc *rtc, const char *signature, const struct rtc_args *args,
                   struct task_plan *task) RTCI_MUST_USE;
/* Writes references, rows and data behind the spec's head. */
void rtci_args_write(const struct task_plan *task, struct rtci_spec *spec);
/* After rtci_args_begin(): what was made for the plan goes. */
void rtci_args_end(struct rtc *rtc, struct arg_plan few[RTCI_ARGS_FEW], struct task_plan *task);
/* The common case: few arguments, all scalars. They need no plan. */
bool rtci_args_scalar(const struct rtc_args *args);
void rtci_args_write_scalars(const struct rtc_args *args, struct rtci_spec *spec);

#endif
