/* Groups of processes: the calls. How members find each other is in group_join.c, what they do in
 * runtime/collective. */
#include "runtime/exec/group.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)RTC_SUM == RTCI_REDUCE_SUM && (int)RTC_MEAN == RTCI_REDUCE_MEAN &&
                   (int)RTC_MAX == RTCI_REDUCE_MAX,
               "reductions are numbered alike");

static int check_group(const struct rtc_group *group)
{
    if (!group)
        return rtci_error(RTC_E_CLOSED, "the group is NULL: it was not joined, or left");
    if (group->fork_generation != rtci_fork_generation())
        return rtci_error(RTC_E_FORKED, "group \"%s\": this process was forked from the member",
                          group->name);
    return 0;
}

static int enter_group(struct rtc_group *group)
{
    RTCI_TRY(check_group(group));
    if (atomic_exchange(&group->busy, true))
        return rtci_error(RTC_E_BUSY, "group \"%s\": another thread is in a call with it",
                          group->name);
    return 0;
}

static int leave_call(struct rtc_group *group, int rc)
{
    char why[256];
    if (rc < 0) {
        rtci_collective_why(group->c, why, sizeof(why));
        rtci_error_set("group \"%s\": %s", group->name,
                       why[0] ? why : "its buffers overlap and are not the same");
    }
    atomic_store(&group->busy, false);
    return rc;
}

static int check_buffers(const struct rtc_group *group, const void *a, const void *b, size_t count,
                         enum rtc_dtype dtype)
{
    size_t element = rtc_dtype_size(dtype);
    RTCI_TRY(check_group(group));
    if (count && (!a || !b))
        return rtci_error(RTC_E_INVALID, "group \"%s\": a buffer is NULL", group->name);
    if (!element)
        return rtci_error(RTC_E_INVALID, "group \"%s\": dtype = %d is none", group->name,
                          (int)dtype);
    if (count > SIZE_MAX / 2 / element / RTC_GROUP_SIZE_MAX)
        return rtci_error(RTC_E_INVALID, "group \"%s\": count = %zu is more than there is memory",
                          group->name, count);
    return 0;
}

static int check_reduction(const struct rtc_group *group, enum rtc_dtype dtype,
                           enum rtc_reduction op)
{
    if (dtype != RTC_F16 && dtype != RTC_BF16 && dtype != RTC_F32 && dtype != RTC_F64)
        return rtci_error(RTC_E_INVALID,
                          "group \"%s\": dtype = %d: f16, bf16, f32 and f64 can be reduced",
                          group->name, (int)dtype);
    if ((unsigned)op > RTC_MAX)
        return rtci_error(RTC_E_INVALID, "group \"%s\": op = %d is unknown", group->name, (int)op);
    return 0;
}

int rtc_group_all_reduce(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(check_reduction(group, dtype, op));
    RTCI_TRY(enter_group(group));
    return leave_call(group,
                      rtci_collective_all_reduce(group->c, send, recv, count, dtype,
                                                 (enum rtci_reduction)op, rtci_deadline(timeout)));
}

int rtc_group_reduce_scatter(struct rtc_group *group, const void *send, void *recv, size_t count,
                             enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(check_reduction(group, dtype, op));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_reduce_scatter(group->c, send, recv, count, dtype,
                                                            (enum rtci_reduction)op,
                                                            rtci_deadline(timeout)));
}

int rtc_group_all_gather(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_all_gather(group->c, send, recv, count, dtype,
                                                        rtci_deadline(timeout)));
}

int rtc_group_broadcast(struct rtc_group *group, void *buffer, size_t count, enum rtc_dtype dtype,
                        uint32_t root, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, buffer, buffer, count, dtype));
    if (root >= rtc_group_size(group))
        return rtci_error(RTC_E_INVALID, "group \"%s\": root = %u: it has %u members", group->name,
                          root, rtc_group_size(group));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_broadcast(group->c, buffer, count, dtype, root,
                                                       rtci_deadline(timeout)));
}

int rtc_group_barrier(struct rtc_group *group, int64_t timeout)
{
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_barrier(group->c, rtci_deadline(timeout)));
}

int rtc_group_abort(struct rtc_group *group, const char *why)
{
    RTCI_TRY(check_group(group));
    rtci_collective_abort(group->c, why);
    return 0;
}

int rtc_group_leave(struct rtc_group **group)
{
    if (!group || !*group)
        return 0;
    struct rtc_group *own = *group;
    RTCI_TRY(check_group(own));
    if (atomic_load(&own->busy))
        return rtci_error(RTC_E_BUSY, "group \"%s\": another thread is in a call with it",
                          own->name);
    *group = NULL;
    rtci_collective_leave(own->c);
    rtci_bridge_close(own->bridge);
    free(own);
    return 0;
}

uint32_t rtc_group_rank(const struct rtc_group *group)
{
    return group ? rtci_collective_rank(group->c) : 0;
}

uint32_t rtc_group_size(const struct rtc_group *group)
{
    return group ? rtci_collective_size(group->c) : 0;
}

uint64_t rtc_group_epoch(const struct rtc_group *group)
{
    return group ? rtci_collective_epoch(group->c) : 0;
}
