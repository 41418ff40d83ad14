/* Submitting: the spec is built in the ring itself. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/args.h"
#include "runtime/client/client.h"
#include "runtime/client/submit.h"
#include "runtime/client/withheld.h"

#define PUBLISH_EVERY 64

/* ---- What is the same for all tasks of a call ---- */
int rtci_job_of(struct rtc *rtc, const struct rtc_options *options, struct job *ret_job)
{
    static const struct rtc_options defaults;
    const struct rtc_options *o = options ? options : &defaults;
    struct job job = {.priority = o->priority, .n_returns = o->returns ? o->returns : 1};
    RTCI_TRY(rtci_shape_of(rtc, o, &job.shape));
    job.retries = o->retries == 0 ? 3 : o->retries == RTC_NO_RETRY ? 0 : o->retries;
    job.flags =
        (uint16_t)((o->retry_on_error ? RTCI_SPEC_RETRY_ON_ERROR : 0) |
                   (o->detached ? RTCI_SPEC_DETACHED : 0) | (o->name ? RTCI_SPEC_NAMED : 0));
    job.name = o->name;
    job.name_len = o->name ? (uint32_t)strlen(o->name) : 0;
    job.deadline_ns = rtc->running.deadline_ns;
    if (o->deadline > 0) {
        uint64_t own = rtci_deadline(o->deadline);
        if (job.deadline_ns == 0 || own < job.deadline_ns)
            job.deadline_ns = own;
    }
    job.submit_deadline_ns = o->submit_timeout == RTC_NO_WAIT ? 0
                             : o->submit_timeout == 0         ? UINT64_MAX
                                                              : rtci_deadline(o->submit_timeout);
    *ret_job = job;
    return 0;
}

/* ---- Writing ---- */
static void write_head(struct rtc *rtc, const struct job *job, struct rtci_spec *spec, size_t size,
                       uint32_t n_args, uint32_t n_refs, uint64_t data_size)
{
    *spec = (struct rtci_spec){
        .rec = {.size = (uint32_t)size, .type = RTCI_R_SUBMIT},
        .seq = rtc->next_seq,
        .client = rtc->client,
        .shape = job->shape,
        .function = job->function,
        .parent_seq = rtc->running.id.seq,
        .parent_client = rtc->running.id.client,
        .n_returns = (uint16_t)job->n_returns,
        .flags = job->flags,
        .priority = job->priority,
        .retries = job->retries,
        .deadline_ns = job->deadline_ns,
        .depth = rtc->running.id.client ? rtc->running.depth + 1 : 0,
        .n_refs = n_refs,
        .n_args = n_args,
        .data_size = (uint32_t)data_size,
        .name_len = job->name_len,
    };
}

static void write_name(const struct job *job, uint8_t *at)
{
    if (job->name_len == 0)
        return;
    memset(at + RTCI_ALIGN8(job->name_len) - 8, 0, 8);
    memcpy(at, job->name, job->name_len);
}

/* Makes the futures of the task that is about to be written. */
static int new_futures(struct rtc *rtc, const struct job *job, rtc_ref *ret_refs)
{
    struct multi *multi = NULL;
    if (RTCI_UNLIKELY(job->n_returns > 1)) {
        multi = calloc(1, sizeof(*multi) + job->n_returns * sizeof(struct slot));
        if (!multi)
            return rtci_error(RTC_E_NOMEM, "out of memory for %u futures", job->n_returns);
        multi->n = job->n_returns;
    }
    struct slot *slot = rtci_slots_add(&rtc->slots, rtc->next_seq);
    if (!slot) {
        free(multi);
        return rtci_error(RTC_E_NOMEM, "out of memory for a future");
    }
    slot->state = SLOT_PENDING;
    slot->flags = SLOT_AT_HEAD;
    for (uint32_t i = 0; i < job->n_returns; i++)
        ret_refs[i] = (rtc_ref){rtc->next_seq, rtc->client, i};
    if (multi) {
        *rtci_slots_mark(&rtc->slots, rtc->next_seq) = 0;
        slot->where = WHERE_MULTI;
        slot->u.multi = multi;
        for (uint32_t i = 0; i < multi->n; i++) {
            multi->slot[i].state = SLOT_PENDING;
            multi->slot[i].flags = SLOT_AT_HEAD;
        }
    }
    return 0;
}

/* In the ring; an actor that saves its state: in its memory. */
static int room_for(struct rtc *rtc, const struct job *job, size_t size, void **ret_record)
{
    if (RTCI_UNLIKELY(rtc->withheld != NULL))
        return rtci_withhold_room(rtc, size, ret_record);
    return rtci_reserve(rtc, size, job->submit_deadline_ns, ret_record);
}

static void give_back(struct rtc *rtc, size_t size)
{
    if (RTCI_UNLIKELY(rtc->withheld != NULL))
        rtci_withhold_unroom(rtc, size);
    else
        rtci_chan_unreserve(rtc->chan, size);
}

static void written(struct rtc *rtc, const struct job *job)
{
    uint64_t seq = rtc->next_seq++;
    if (RTCI_UNLIKELY(rtc->withheld != NULL))
        rtci_withhold_task(rtc, seq, job->n_returns);
}

static int submit_planned(struct rtc *rtc, const struct job *job, const struct task_plan *task,
                          rtc_ref *ret_refs)
{
    uint64_t size = sizeof(struct rtci_spec) + task->n_refs * sizeof(struct rtci_id) +
                    task->n_args * sizeof(struct rtci_arg) + task->data_size +
                    RTCI_ALIGN8(job->name_len);
    if (size > RTCI_RECORD_MAX)
        return rtci_error(
            RTC_E_TOO_LARGE,
            "the arguments make %llu bytes beside the large objects; at most %llu are "
            "possible: put some into a list or an array",
            (unsigned long long)size, (unsigned long long)RTCI_RECORD_MAX);
    void *at;
    RTCI_TRY(room_for(rtc, job, size, &at));
    int rc = new_futures(rtc, job, ret_refs);
    if (rc < 0) {
        give_back(rtc, size);
        return rc;
    }
    write_head(rtc, job, at, size, (uint32_t)task->n_args, task->n_refs, task->data_size);
    rtci_args_write(task, at);
    write_name(job, (uint8_t *)at + size - RTCI_ALIGN8(job->name_len));
    written(rtc, job);
    return 0;
}

static int submit_scalars(struct rtc *rtc, const struct job *job, const struct rtc_args *args,
                          rtc_ref *ret_refs)
{
    uint32_t n = (uint32_t)args->n;
    size_t data_size = n * RTCI_SCALAR_SIZE;
    size_t size = sizeof(struct rtci_spec) + n * sizeof(struct rtci_arg) + data_size +
                  RTCI_ALIGN8(job->name_len);
    void *at;
    RTCI_TRY(room_for(rtc, job, size, &at));
    int rc = new_futures(rtc, job, ret_refs);
    if (RTCI_UNLIKELY(rc < 0)) {
        give_back(rtc, size);
        return rc;
    }
    write_head(rtc, job, at, size, n, 0, data_size);
    rtci_args_write_scalars(args, at);
    write_name(job, (uint8_t *)at + size - RTCI_ALIGN8(job->name_len));
    written(rtc, job);
    return 0;
}

int rtci_submit_one(struct rtc *rtc, const struct job *job, const struct rtc_args *args,
                    rtc_ref *ret_refs)
{
    static const struct rtc_args none;
    const struct rtc_args *a = args ? args : &none;
    if (RTCI_LIKELY(rtci_args_scalar(a)))
        return submit_scalars(rtc, job, a, ret_refs);
    struct arg_plan few[RTCI_ARGS_FEW];
    struct task_plan task = {0};
    RTCI_TRY(rtci_args_begin(a, few, &task));
    int rc = rtci_args_plan(rtc, job->def ? job->def->signature : NULL, a, &task);
    if (rc == 0 && RTCI_UNLIKELY(rtc->withheld != NULL))
        rtci_withhold_args(rtc, &task, true); /* until it leaves */
    if (rc == 0) {
        rc = submit_planned(rtc, job, &task, ret_refs);
        if (RTCI_UNLIKELY(rc < 0 && rtc->withheld))
            rtci_withhold_args(rtc, &task, false);
    }
    rtci_args_end(rtc, few, &task);
    return rc;
}

static int check_args(const struct job *job, const struct rtc_args *args)
{
    if (args && !args->items && args->n)
        return rtci_error(RTC_E_INVALID, "args has %zu items, but items is NULL", args->n);
    if (!job->def->signature)
        return 0;
    return rtci_signature_check(job->def, args ? args->items : NULL, args ? args->n : 0,
                                job->n_returns);
}

static int job_of_task(struct rtc *rtc, const char *task, const struct rtc_options *options,
                       struct job *ret_job)
{
    const struct function *function;
    RTCI_TRY(rtci_function_of(rtc, task, &function));
    uint64_t hash = function->hash;
    const struct rtc_task_def *def = function->def;
    RTCI_TRY(rtci_job_of(rtc, options, ret_job));
    ret_job->function = hash;
    ret_job->def = def;
    return 0;
}

int rtc_submit(struct rtc *rtc, const char *task, const struct rtc_args *args,
               const struct rtc_options *options, rtc_ref *ret_refs)
{
    if (RTCI_UNLIKELY(!ret_refs))
        return rtci_error(RTC_E_INVALID, "ret_refs is NULL");
    RTCI_TRY(rtci_enter(rtc));
    struct job job;
    int rc = job_of_task(rtc, task, options, &job);
    if (RTCI_LIKELY(rc == 0))
        rc = check_args(&job, args);
    if (RTCI_LIKELY(rc == 0))
        rc = rtci_submit_one(rtc, &job, args, ret_refs);
    if (RTCI_LIKELY(rc == 0))
        rtci_send(rtc);
    rtci_leave(rtc);
    return rc;
}

/* Everything that can be wrong with the arguments, before the first task is sent. */
static int check_all(struct rtc *rtc, const struct job *job, const struct rtc_args *args, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        const struct rtc_args *a = args ? &args[t] : NULL;
        int rc = check_args(job, a);
        for (size_t i = 0; rc == 0 && a && i < a->n; i++) {
            struct value_plan plan;
            if (a->items[i].type == RTC_REF)
                RTCI_IGNORE(rtci_find(rtc, a->items[i].as.ref, false, &rc));
            else if (!rtci_value_is_scalar(&a->items[i]))
                rc = rtci_value_plan(&a->items[i], &plan);
        }
        if (rc < 0)
            return rtci_error_within(rc, "task %zu of %zu", t, n);
    }
    return 0;
}

/* None was sent, or all will be: only the wait for the first room has the caller's timeout. */
static void undo(struct rtc *rtc, const struct job *job, const rtc_ref *refs, size_t n)
{
    char why[256];
    strncpy(why, rtc_last_error(), sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    for (size_t t = 0; t < n && rtc->dead == 0; t++) {
        RTCI_IGNORE(rtci_cancel_locked(rtc, refs[t * job->n_returns], 0));
        for (uint32_t i = 0; i < job->n_returns; i++)
            RTCI_IGNORE(rtci_release_locked(rtc, refs[t * job->n_returns + i]));
    }
    rtci_error(0, "%s", why);
}

static int submit_many_locked(struct rtc *rtc, struct job *job, const struct rtc_args *args,
                              size_t n, rtc_ref *ret_refs)
{
    if (args)
        RTCI_TRY(check_all(rtc, job, args, n));
    else if (job->def->signature)
        RTCI_TRY(check_args(job, NULL));
    for (size_t t = 0; t < n; t++) {
        int rc = rtci_submit_one(rtc, job, args ? &args[t] : NULL, &ret_refs[t * job->n_returns]);
        if (RTCI_UNLIKELY(rc < 0)) {
            undo(rtc, job, ret_refs, t);
            return rtci_error_within(rc, "task %zu of %zu", t, n);
        }
        job->submit_deadline_ns = UINT64_MAX;
        if (t % PUBLISH_EVERY == PUBLISH_EVERY - 1)
            rtci_send(rtc);
    }
    rtci_send(rtc);
    return 0;
}

int rtc_submit_many(struct rtc *rtc, const char *task, const struct rtc_args *args, size_t n,
                    const struct rtc_options *options, rtc_ref *ret_refs)
{
    if (!ret_refs && n)
        return rtci_error(RTC_E_INVALID, "ret_refs is NULL");
    RTCI_TRY(rtci_enter(rtc));
    struct job job;
    int rc = job_of_task(rtc, task, options, &job);
    if (rc == 0)
        rc = submit_many_locked(rtc, &job, args, n, ret_refs);
    rtci_leave(rtc);
    return rc;
}
