/* rtc/group.h: operations among a fixed set of processes: all-reduce and the like. Conventions as in
 * rtc/rtc.h.
 *
 *   struct rtc_group *group;                                  // in each of `size` tasks or actors
 *   RTC_TRY(rtc_group_join(rtc, "learners", rank, size, RTC_S(30), &group));
 *   RTC_TRY(rtc_group_all_reduce(group, gradient, gradient, n, RTC_F32, RTC_MEAN, RTC_S(10)));
 *   RTC_TRY(rtc_group_leave(&group));
 *
 * Every member makes the same calls in the same order, with the same count, dtype and so on; a call
 * returns when this member's part of it is done. Results are the same bits on all members and in
 * each run, wherever members are: elements are combined in the order of ranks, f16 and bf16 in f32 and
 * rounded once.
 *
 * Members are processes of any hosts of the cluster. On each host they share memory; between hosts the
 * member of the lowest rank there, its leader, speaks for the others, over the connections that the
 * nodes have with each other, or by way of the head. What was reduced so far goes from each run of
 * neighbouring ranks of one host to the next, f16 and bf16 in f32: so give neighbouring ranks to one
 * host. Then two hosts send each other the data of an all-reduce once, each of more hosts sends it
 * twice. What is large is in the hosts' object stores on its way: some 8 MiB of a group at a time.
 * Members of several hosts leave their group before they shut down the handle that they joined with.
 *
 * A group that failed is broken for all and for ever: when a member dies, leaves while it is needed,
 * aborts or does not come in time, the calls of all others end with a sentence that names it, and so
 * does every later call. Then leave and join again under the same name: that is a new group with a
 * higher epoch. What the buffers hold after a failed call is not said.
 *
 * Thread: any thread may join; one thread at a time may be inside a call with a group, but for
 * rtc_group_abort(). A group whose members are all on one host may outlive its struct rtc. A task that
 * ends without leaving keeps the others waiting until their timeouts, as long as its process lives.
 * A member of another host is found dead within a second; one whose host is lost when the head says so,
 * 10 s later: a timeout that is shorter names it as one who did not come. Buffers are in the memory of
 * the host. */
#ifndef RTC_GROUP_H
#define RTC_GROUP_H

#include <rtc/rtc.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_GROUP_SIZE_MAX 64

/* One member of a group. */
struct rtc_group;

enum rtc_reduction { RTC_SUM, RTC_MEAN, RTC_MAX }; /* RTC_MAX: of a NaN and a number it is NaN */

/* Waits for all members and makes the group. name: 1 to 200 bytes, for one group at a time in the
 * space of the handle (two runs of a program at a time want two names, or two spaces); rank: from
 * 0 to size - 1, each once. In a task it lends the task's CPUs out until all have come.
 * Ownership: *ret_group is ended with rtc_group_leave().
 * Blocks: at most timeout.
 * Errors: RTC_E_TIMEOUT, naming who did not come; RTC_E_EXISTS another process has the rank;
 * RTC_E_INVALID another size than that of rank 0; RTC_E_VERSION rank 0 has another version of rtc;
 * RTC_E_OS. */
int rtc_group_join(struct rtc *rtc, const char *name, uint32_t rank, uint32_t size, int64_t timeout,
                   struct rtc_group **ret_group);
/* Gives a member up, and sets *group to NULL. Calls that all have entered are not disturbed; others
 * that need it fail. NULL is fine. */
int rtc_group_leave(struct rtc_group **group);
uint32_t rtc_group_rank(const struct rtc_group *group);
uint32_t rtc_group_size(const struct rtc_group *group);
/* Grows from one group of a name to the next. */
uint64_t rtc_group_epoch(const struct rtc_group *group);

/* The operations. Buffers are aligned as their elements; they are the same or do not overlap.
 * Blocks: until all members have come, and their data; at most timeout, which breaks the group.
 * Errors, of all of them: RTC_E_CRASHED a member died; RTC_E_TIMEOUT; RTC_E_CANCELLED a member left,
 * aborted, ran into its timeout, or cannot speak with other hosts (its daemon is gone, its object store
 * is full); RTC_E_INVALID two members made different calls (that breaks the
 * group), or the arguments cannot be (that does not, but the others wait); RTC_E_BUSY another thread
 * is in a call with the group; RTC_E_CLOSED; RTC_E_FORKED. */

/* recv = the reduction of all members' send, `count` elements of RTC_F16, RTC_BF16, RTC_F32 or
 * RTC_F64. In place: recv = send. */
int rtc_group_all_reduce(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout);
/* send has size parts of `count` elements; recv = the reduction of all members' parts number rank.
 * In place: recv = that part of send. */
int rtc_group_reduce_scatter(struct rtc_group *group, const void *send, void *recv, size_t count,
                             enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout);
/* recv = the `count` elements of each member, in the order of ranks; of any dtype. In place: send =
 * the own part of recv. */
int rtc_group_all_gather(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, int64_t timeout);
/* buffer = that of the member root; of any dtype. */
int rtc_group_broadcast(struct rtc_group *group, void *buffer, size_t count, enum rtc_dtype dtype,
                        uint32_t root, int64_t timeout);
/* Returns when all members have called it. */
int rtc_group_barrier(struct rtc_group *group, int64_t timeout);

/* Breaks the group: what its members are in ends with RTC_E_CANCELLED, and `why` in their sentences
 * (at most 190 bytes; may be NULL). Thread: any, also while another is in a call with the group. */
int rtc_group_abort(struct rtc_group *group, const char *why);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
