/* rtc/placement.h: placement groups, bundles of resources reserved together. Conventions as in
 * rtc/rtc.h.
 *
 *   struct rtc_bundle bundles[] = {{.cpus = 1}, {.cpus = 1}};
 *   rtc_placement placement;
 *   RTC_CHECK(rtc_placement_create(rtc, bundles, 2, RTC_STRICT_PACK, &placement));
 *   RTC_CHECK(rtc_placement_wait(rtc, placement, RTC_S(10)));
 *   RTC_CHECK(rtc_submit(rtc, "train", NULL,
 *                        RTC_OPTIONS(.placement = placement, .bundle = RTC_BUNDLE(1)), &ref));
 *
 * All bundles of a group are reserved in one step or none is: groups that compete cannot block each
 * other. What runs in a bundle takes from it and not from its node. The bundles of a node that is
 * lost are placed again, the others stay; what ran in them is retried as their own options say.
 * A group ends with rtc_placement_remove(), or with its job. A handle is plain bytes: pass it to
 * tasks as rtc_bytes(&placement, sizeof(placement)). */
#ifndef RTC_PLACEMENT_H
#define RTC_PLACEMENT_H

#include <rtc/rtc.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_BUNDLES_MAX 1024 /* of one group */

/* Resources that are reserved on one node; at least one of them. */
struct rtc_bundle {
    double cpus, gpus;                  /* 0 = none */
    uint64_t gpu_mem, mem;              /* bytes; 0 = none */
    const struct rtc_amount *resources; /* custom, at most 16 */
    size_t n_resources;
};

enum rtc_strategy {
    RTC_PACK,         /* on as few nodes as possible */
    RTC_SPREAD,       /* on as many nodes as possible */
    RTC_STRICT_PACK,  /* on one node, or not at all */
    RTC_STRICT_SPREAD /* each on a node of its own, or not at all */
};

/* Asks for a group and gives its handle at once; tasks may be submitted into it right away, they
 * wait until it is ready. Ownership: bundles is borrowed until the call returns.
 * Errors: RTC_E_INVALID n is 0, or a bundle asks for nothing; RTC_E_TOO_LARGE more than
 * RTC_BUNDLES_MAX bundles. */
int rtc_placement_create(struct rtc *rtc, const struct rtc_bundle *bundles, size_t n,
                         enum rtc_strategy strategy, rtc_placement *ret_placement);

/* Waits until all bundles are reserved. In a task it lends the task's CPUs out meanwhile.
 * Blocks: at most timeout.
 * Errors: RTC_E_TIMEOUT; RTC_E_INFEASIBLE the nodes that are there can never hold it, and the
 * sentence says which bundle is too large (the group waits on for a node that can: call again);
 * RTC_E_NOT_FOUND, RTC_E_CANCELLED it was removed, before or meanwhile. */
int rtc_placement_wait(struct rtc *rtc, rtc_placement placement, int64_t timeout);

/* A reference that is ready when all bundles were reserved: for rtc_wait(), rtc_then(), or as an
 * argument of a task, which then waits for it. Its value is the handle, as bytes. It fails with what
 * rtc_placement_wait() says: RTC_E_INFEASIBLE, RTC_E_CANCELLED when the group was removed, before or
 * meanwhile. What becomes of the group later does not change it. Ownership: *ret_ref is to be
 * released. Blocks: as rtc_submit(). Errors: RTC_E_NOT_FOUND this process has removed it; those of
 * rtc_submit(). */
int rtc_placement_ready_ref(struct rtc *rtc, rtc_placement placement, rtc_ref *ret_ref);

enum rtc_placement_state {
    RTC_PLACEMENT_PENDING, /* not all of its bundles are reserved: none is, or a node was lost */
    RTC_PLACEMENT_READY
};
struct rtc_placement_info {
    enum rtc_placement_state state;
    size_t n_bundles;
    char why[192]; /* PENDING: what it waits for, a sentence */
};
/* How it stands, and where its bundles are. ret_nodes: room for cap node numbers, of the first cap
 * bundles in their order, 0 = not reserved; may be NULL with cap 0.
 * Blocks: for the answer of the head. Errors: RTC_E_NOT_FOUND it was removed. */
int rtc_placement_info(struct rtc *rtc, rtc_placement placement,
                       struct rtc_placement_info *ret_info, uint32_t *ret_nodes, size_t cap);

/* Kills what runs in it, cancels what waits for it, and gives its resources back: at once, or when
 * the last that ran in it is gone. Does nothing to one that was removed before.
 * Blocks: for the answer of the head, only where another process created it.
 * Errors: RTC_E_FOREIGN it is of another job. */
int rtc_placement_remove(struct rtc *rtc, rtc_placement placement);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
