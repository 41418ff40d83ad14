/* Which kernels this machine can run. */
#include <stdbool.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "runtime/collective/kernels.h"

extern const struct rtci_kernels rtci_kernels_base;
#if defined(__x86_64__)
extern const struct rtci_kernels rtci_kernels_avx2, rtci_kernels_avx512;

static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

const struct rtci_kernels *rtci_kernels_at(uint32_t i)
{
    if (i == 0)
        return &rtci_kernels_base;
#if defined(__x86_64__)
    if (i == 1 && has_avx2())
        return &rtci_kernels_avx2;
    if (i == 2 && has_avx512())
        return &rtci_kernels_avx512;
#endif
    return NULL;
}

const struct rtci_kernels *rtci_kernels_best(void)
{
    uint32_t i = 0;
    while (rtci_kernels_at(i + 1))
        i++;
    return rtci_kernels_at(i);
}
