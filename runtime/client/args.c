/* Arguments of tasks and calls: how each one travels, and writing them into a spec. */
#include "runtime/client/args.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/client/light.h"

static void take_ref(rtc_ref ref, struct arg_plan *arg, struct task_plan *task)
{
    arg->is_ref = true;
    arg->ref = ref;
    task->n_refs++;
}

/* Too large for the spec, or containing references that must be pinned: travels as an object. */
static int plan_object(struct rtc *rtc, size_t i, const struct rtc_value *value,
                       struct arg_plan *arg, struct task_plan *task)
{
    int rc = rtci_put_locked(rtc, value, &arg->ref);
    if (rc < 0)
        return rtci_error_within(rc, "argument %zu", i);
    arg->temporary = true;
    task->n_temporary++;
    struct slot *slot = rtci_find(rtc, arg->ref, false, &rc);
    RTCI_ASSERT(slot);
    rc = rtci_publish(rtc, slot, arg->ref);
    if (rc < 0)
        return rtci_error_within(rc, "argument %zu", i);
    take_ref(arg->ref, arg, task);
    return 0;
}

/* The result of a call to an actor: only this process knows of it. Of one that is not there yet a
 * task cannot be told: then this waits for it. A call takes it as it is, and is held. */
static int plan_call_result(struct rtc *rtc, size_t i, struct slot *slot, rtc_ref ref,
                            struct arg_plan *arg, struct task_plan *task)
{
    if (!rtci_slot_done(slot) && !task->may_wait)
        RTCI_TRY(rtci_await(rtc, slot, ref, UINT64_MAX));
    if (slot->state == SLOT_FAILED) {
        rtci_slot_failure(slot);
        return rtci_error_within(RTC_E_DEPENDENCY, "argument %zu", i);
    }
    if (slot->state == SLOT_READY && rtci_slot_is_multi(rtc, ref)) { /* named by its call alone */
        struct rtc_value value;
        RTCI_TRY(rtci_slot_value(rtc, slot, &value));
        return plan_object(rtc, i, &value, arg, task);
    }
    if (slot->where == WHERE_ALIAS && slot->state == SLOT_READY)
        ref = rtci_alias_of(slot);
    else if (slot->state == SLOT_READY)
        RTCI_TRY(rtci_publish(rtc, slot, ref));
    take_ref(ref, arg, task);
    return 0;
}

static int plan_ref(struct rtc *rtc, const char *signature, size_t i, rtc_ref ref,
                    struct arg_plan *arg, struct task_plan *task)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (!slot)
        return rtci_error_within(rc, "argument %zu", i);
    if (ref.index == RTCI_HANDLE) {
        arg->handle = true;
        take_ref(ref, arg, task);
        return 0;
    }
    if (slot->state == SLOT_WRITING)
        return rtci_error(RTC_E_INVALID,
                          "argument %zu: the object was created and not sealed: rtc_seal() "
                          "it first",
                          i);
    if (slot->where == WHERE_ALIAS || slot->flags & SLOT_CALL)
        return plan_call_result(rtc, i, slot, ref, arg, task);
    bool small = (slot->flags & (SLOT_PUT | SLOT_CONTAINS | SLOT_AT_HEAD)) == SLOT_PUT &&
                 slot->state == SLOT_READY && slot->size <= RTCI_ARG_INLINE_MAX &&
                 task->data_size < RTCI_SPEC_INLINE_MAX;
    if (small && !(signature && rtci_signature_wants_ref(signature, i))) {
        arg->bytes = rtci_slot_bytes(rtc, slot);
        arg->plan.size = slot->size;
        task->data_size += RTCI_ALIGN8(slot->size);
        return 0;
    }
    RTCI_TRY(rtci_publish(rtc, slot, ref));
    take_ref(ref, arg, task);
    return 0;
}

static int plan_light(struct rtc *rtc, size_t i, const struct rtc_value *value,
                      struct arg_plan *arg, struct task_plan *task)
{
    int rc = rtci_value_plan(value, &arg->plan);
    if (rc < 0)
        return rtci_error_within(rc, "argument %zu", i);
    rtci_lights_given(rtc, value, task->to);
    arg->value = value;
    arg->light = true;
    task->data_size += arg->plan.size;
    task->n_refs++;
    return 0;
}

int rtci_args_begin(const struct rtc_args *args, struct arg_plan few[RTCI_ARGS_FEW],
                    struct task_plan *task)
{
    if (args->n > RTCI_ARGS_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "%zu arguments; at most %d are possible", args->n,
                          RTCI_ARGS_MAX);
    task->n_args = args->n;
    task->args = args->n > RTCI_ARGS_FEW ? malloc(args->n * sizeof(*task->args)) : few;
    if (!task->args)
        return rtci_error(RTC_E_NOMEM, "out of memory for %zu arguments", args->n);
    for (size_t i = 0; i < args->n; i++)
        task->args[i].temporary = false;
    return 0;
}

int rtci_args_plan(struct rtc *rtc, const char *signature, const struct rtc_args *args,
                   struct task_plan *task)
{
    for (size_t i = 0; i < task->n_args; i++) {
        const struct rtc_value *value = &args->items[i];
        struct arg_plan *arg = &task->args[i];
        arg->is_ref = arg->handle = arg->temporary = arg->light = false;
        arg->value = NULL;
        arg->bytes = NULL;
        if (rtci_value_light(value)) {
            RTCI_TRY(plan_light(rtc, i, value, arg, task));
            continue;
        }
        if (value->type == RTC_REF) {
            RTCI_TRY(plan_ref(rtc, signature, i, value->as.ref, arg, task));
            continue;
        }
        int rc = rtci_value_plan(value, &arg->plan);
        if (rc < 0)
            return rtci_error_within(rc, "argument %zu", i);
        bool crowded =
            task->data_size + arg->plan.size > RTCI_SPEC_INLINE_MAX && arg->plan.size > 1024;
        if (arg->plan.n_refs || arg->plan.size > RTCI_INLINE_MAX || crowded) {
            RTCI_TRY(plan_object(rtc, i, value, arg, task));
            continue;
        }
        arg->value = value;
        task->data_size += RTCI_ALIGN8(arg->plan.size);
    }
    return 0;
}

void rtci_args_end(struct rtc *rtc, struct arg_plan few[RTCI_ARGS_FEW], struct task_plan *task)
{
    for (size_t i = 0; task->n_temporary && i < task->n_args; i++) {
        if (task->args[i].temporary) {
            task->args[i].temporary = false;
            task->n_temporary--;
            RTCI_IGNORE(rtci_release_locked(rtc, task->args[i].ref));
        }
    }
    if (task->args != few)
        free(task->args);
}

void rtci_args_write(const struct task_plan *task, struct rtci_spec *spec)
{
    struct rtci_id *refs = (struct rtci_id *)(spec + 1);
    struct rtci_arg *rows = (struct rtci_arg *)(refs + task->n_refs);
    uint8_t *data = (uint8_t *)(rows + task->n_args);
    uint32_t ref = 0, off = 0;
    for (size_t i = 0; i < task->n_args; i++) {
        const struct arg_plan *arg = &task->args[i];
        if (arg->is_ref) {
            refs[ref] = rtci_id_of(arg->ref);
            rows[i] = (struct rtci_arg){RTCI_ARG_REF, ref++};
            continue;
        }
        if (arg->light)
            refs[ref++] = rtci_id_of(arg->value->as.ref);
        uint32_t size = (uint32_t)arg->plan.size;
        rows[i] = (struct rtci_arg){size, off};
        if (size & 7u)
            memset(data + off + (size & ~7u), 0, 8);
        if (arg->value)
            rtci_value_write(arg->value, &arg->plan, data + off);
        else
            memcpy(data + off, arg->bytes, size);
        off += RTCI_ALIGN8(size);
    }
}

/* The common case: few arguments, all scalars. */
bool rtci_args_scalar(const struct rtc_args *args)
{
    if (args->n > 16)
        return false;
    for (size_t i = 0; i < args->n; i++) {
        if (!rtci_value_is_scalar(&args->items[i]))
            return false;
    }
    return true;
}

void rtci_args_write_scalars(const struct rtc_args *args, struct rtci_spec *spec)
{
    struct rtci_arg *rows = (struct rtci_arg *)(spec + 1);
    uint8_t *data = (uint8_t *)(rows + args->n);
    for (uint32_t i = 0; i < args->n; i++) {
        rows[i] = (struct rtci_arg){RTCI_SCALAR_SIZE, i * RTCI_SCALAR_SIZE};
        rtci_scalar_write(&args->items[i], data + i * RTCI_SCALAR_SIZE);
    }
}
