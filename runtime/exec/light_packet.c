/* Packets: calls between two light actors of one host with values that do not fit a message. Each
 * is the spec that a call to another process would have, and keeps what it refers to. */
#include <stdlib.h>

#include "runtime/client/args.h"
#include "runtime/exec/light_host.h"

void rtci_packet_drop(void *arg)
{
    struct rtc *rtc = rtci_lights.rtc;
    struct rtci_spec *spec = arg;
    const struct rtci_id *refs = rtci_spec_refs(spec);
    if (spec->n_refs) {
        rtci_spec_lights(spec, rtci_light_release);
        pthread_mutex_lock(&rtc->lock);
        for (uint32_t i = 0; i < spec->n_refs; i++)
            RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(refs[i])));
        pthread_mutex_unlock(&rtc->lock);
    }
    free(spec);
}

/* What is referred to has to be here: nothing waits for it in this host. */
static int keep_refs(struct rtc *rtc, const struct rtci_spec *spec)
{
    const struct rtci_id *refs = rtci_spec_refs(spec);
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        int rc = 0;
        rtc_ref ref = rtci_ref_of(refs[i]);
        struct slot *slot = refs[i].index == RTCI_HANDLE ? NULL : rtci_find(rtc, ref, true, &rc);
        if (slot && !rtci_slot_here(slot))
            rc = rtci_error(RTC_E_UNSUPPORTED,
                            "an argument is a reference to what is not here yet, and between light "
                            "actors nothing waits for it: call from rtc_then() of that reference");
        else if (rc == 0)
            rc = rtci_retain_locked(rtc, ref);
        for (uint32_t k = 0; rc < 0 && k < i; k++)
            RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(refs[k])));
        RTCI_TRY(rc);
    }
    rtci_spec_lights(spec, rtci_light_retain);
    return 0;
}

static int make_packet(struct rtc *rtc, const struct task_plan *task, uint32_t returns,
                       uint64_t deadline_ns, struct rtci_spec **ret_spec)
{
    size_t size = sizeof(struct rtci_spec) + task->n_refs * sizeof(struct rtci_id) +
                  task->n_args * sizeof(struct rtci_arg) + task->data_size +
                  sizeof(struct rtci_call);
    struct rtci_spec *spec = calloc(1, size + task->n_refs * sizeof(struct rtci_resolved));
    if (!spec)
        return rtci_error(RTC_E_NOMEM, "out of memory for a call");
    *spec = (struct rtci_spec){.rec = {(uint32_t)size, RTCI_R_ACTOR_CALL, 0},
                               .seq = UINT64_MAX,
                               .attempt = 1,
                               .n_returns = (uint16_t)returns,
                               .flags = RTCI_SPEC_CALL,
                               .deadline_ns = deadline_ns,
                               .n_refs = task->n_refs,
                               .n_args = (uint32_t)task->n_args,
                               .data_size = (uint32_t)task->data_size,
                               .name_len = sizeof(struct rtci_call)};
    rtci_args_write(task, spec);
    struct rtci_resolved *rows = (struct rtci_resolved *)((char *)spec + size);
    for (uint32_t i = 0; i < task->n_refs; i++)
        rows[i] = (struct rtci_resolved){.kind = RTCI_KIND_ABSENT};
    int rc = keep_refs(rtc, spec);
    if (rc < 0) {
        free(spec);
        return rc;
    }
    *ret_spec = spec;
    return 0;
}

int rtci_packet_of(const struct rtc_task_def *def, const struct rtc_args *args, uint32_t returns,
                   uint64_t deadline_ns, struct rtci_spec **ret_spec)
{
    struct rtc *rtc = rtci_lights.rtc;
    struct arg_plan few[RTCI_ARGS_FEW];
    struct task_plan task = {.may_wait = true, .to = rtci_lights.id};
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_args_begin(args, few, &task);
    if (rc == 0) {
        rc = rtci_args_plan(rtc, def->signature, args, &task);
        if (rc == 0)
            rc = make_packet(rtc, &task, returns, deadline_ns, ret_spec);
        rtci_args_end(rtc, few, &task);
    }
    rtci_leave(rtc);
    return rc;
}
