/* Which kernels this machine can run. */
#include <pthread.h>

#include <cblas.h>

#include "actors/nn/backend.h"

extern const struct nn_backend nn_backend_f32_base, nn_backend_f64_base;
#if defined(__x86_64__)
extern const struct nn_backend nn_backend_f32_avx2, nn_backend_f64_avx2;
extern const struct nn_backend nn_backend_f32_avx512, nn_backend_f64_avx512;

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

/* A learner is one thread; OpenBLAS's own would only get in the way of the other learners. */
static void one_thread(void)
{
    openblas_set_num_threads(1);
}

const struct nn_backend *nn_cpu_at(uint32_t i, bool f64)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, one_thread);
    if (i == 0)
        return f64 ? &nn_backend_f64_base : &nn_backend_f32_base;
#if defined(__x86_64__)
    if (i == 1 && has_avx2())
        return f64 ? &nn_backend_f64_avx2 : &nn_backend_f32_avx2;
    if (i == 2 && has_avx512())
        return f64 ? &nn_backend_f64_avx512 : &nn_backend_f32_avx512;
#endif
    return NULL;
}

static const struct nn_backend *best(bool f64)
{
    uint32_t i = 0;
    while (nn_cpu_at(i + 1, f64))
        i++;
    return nn_cpu_at(i, f64);
}

const struct nn_backend *nn_cpu_f32(void)
{
    return best(false);
}

const struct nn_backend *nn_cpu_f64(void)
{
    return best(true);
}
