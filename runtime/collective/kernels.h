/* The inner loops of reductions. The same source is compiled for several instruction sets; all of
 * them give the same bits: every element is a chain of operations in the order of the sources, in
 * f32 (f64 for f64), rounded once at the end, to nearest even. */
#ifndef RTCI_COLLECTIVE_KERNELS_H
#define RTCI_COLLECTIVE_KERNELS_H

#include <rtc/value.h>

enum rtci_reduction { RTCI_REDUCE_SUM, RTCI_REDUCE_MEAN, RTCI_REDUCE_MAX };

struct rtci_kernels {
    const char *name;
    /* dst[i] = srcs[0][i] op srcs[1][i] op …, n elements; also to `copy` unless it is NULL. dst may
     * be one of the sources. dtype: F16, BF16, F32 or F64. A NaN makes the result NaN. */
    void (*reduce)(enum rtc_dtype dtype, enum rtci_reduction op, const void *const *srcs,
                   uint32_t n_srcs, void *dst, void *copy, size_t n);
    /* A link of a chain of such: what comes before the sources is `partial` (NULL: nothing), in the
     * type of the computation. of != 0: it is the last of a chain of so many sources, and dst has
     * elements of dtype; else dst is what the next one calls `partial`. It overlaps none of the others,
     * or is one of those that has elements as large. */
    void (*chain)(enum rtc_dtype dtype, enum rtci_reduction op, const void *partial,
                  const void *const *srcs, uint32_t n_srcs, uint32_t of, void *dst, size_t n);
    /* memcpy past the caches, for what will not be read soon. */
    void (*stream)(void *dst, const void *src, size_t size);
};

/* The fastest that this machine can run. */
const struct rtci_kernels *rtci_kernels_best(void);
/* For tests: those that it can run, slowest first; NULL behind the last. */
const struct rtci_kernels *rtci_kernels_at(uint32_t i);

#endif
