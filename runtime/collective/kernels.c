/* Compiled once for each instruction set, with KERNELS_NAME its name; kernels.h has the contract.
 * Tiles of a few KiB stay in the nearest cache between the passes over them. */
#include "runtime/collective/kernels.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define TILE 1024u

/* ---- 16-bit floats ---- */
static inline float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline float load_bf16(uint16_t h)
{
    return from_bits((uint32_t)h << 16);
}

static inline uint16_t store_bf16(float x)
{
    uint32_t bits = to_bits(x);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float load_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) /* infinite, or not a number: those become quiet ones */
        return from_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13 |
                         (rest > 0x7c00u ? 0x400000u : 0));
    if (rest >= 0x400u)
        return from_bits(sign | ((rest << 13) + (112u << 23)));
    /* Subnormal: the number of steps of 2^-24. */
    return from_bits(sign | to_bits((float)rest * 0x1p-24f));
}

static inline uint16_t store_f16(float x)
{
    uint32_t bits = to_bits(x), sign = (bits >> 16) & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((rest >> 13) & 0x3ffu));
    if (rest >= 0x477ff000u) /* rounds to beyond 65,504 */
        return (uint16_t)(sign | 0x7c00u);
    if (rest >= 0x38800000u)
        return (uint16_t)(sign | ((rest - (112u << 23) + 0xfffu + ((rest >> 13) & 1u)) >> 13));
    /* Subnormal or zero: adding 0.5 leaves the steps of 2^-24, rounded, in the lowest bits. */
    return (uint16_t)(sign | (to_bits(from_bits(rest) + 0.5f) - 0x3f000000u));
}

/* ---- Tiles: from the type of the elements to that of the computation, and back ---- */
static void load_tile_bf16(float *restrict to, const uint16_t *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = load_bf16(from[i]);
}

static void store_tile_bf16(uint16_t *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = store_bf16(from[i]);
}

static void load_tile_f16(float *restrict to, const uint16_t *restrict from, size_t n)
{
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(from + i))));
#endif
    for (; i < n; i++)
        to[i] = load_f16(from[i]);
}

static void store_tile_f16(uint16_t *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++)
        to[i] = store_f16(from[i]);
}

/* ---- Reductions ---- */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif
#define LARGER(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))

#define DEFINE_FOLD(T)                                                                             \
    static void fold_##T(enum rtci_reduction op, T *restrict acc, const T *restrict x, size_t n)   \
    {                                                                                              \
        if (op == RTCI_REDUCE_MAX) {                                                               \
            for (size_t i = 0; i < n; i++)                                                         \
                acc[i] = LARGER(acc[i], x[i]);                                                     \
        } else {                                                                                   \
            for (size_t i = 0; i < n; i++)                                                         \
                acc[i] += x[i];                                                                    \
        }                                                                                          \
    }                                                                                              \
    /* acc may be a or b. */                                                                       \
    static void first_##T(enum rtci_reduction op, T *acc, const T *a, const T *b, size_t n)        \
    {                                                                                              \
        if (op == RTCI_REDUCE_MAX) {                                                               \
            INDEPENDENT for (size_t i = 0; i < n; i++) acc[i] = LARGER(a[i], b[i]);                \
        } else {                                                                                   \
            INDEPENDENT for (size_t i = 0; i < n; i++) acc[i] = a[i] + b[i];                       \
        }                                                                                          \
    }                                                                                              \
    static void mean_##T(T *acc, uint32_t n_srcs, size_t n)                                        \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            acc[i] /= (T)n_srcs;                                                                   \
    }                                                                                              \
    /* Two sources, the usual case, in one pass. dst may be one of them: iterations do not depend  \
     * on each other. */                                                                           \
    static void both_##T(enum rtci_reduction op, const T *a, const T *b, T *dst, T *restrict copy, \
                         size_t n)                                                                 \
    {                                                                                              \
        if (op == RTCI_REDUCE_MAX) {                                                               \
            INDEPENDENT for (size_t i = 0; i < n; i++) copy[i] = dst[i] = LARGER(a[i], b[i]);      \
        } else if (op == RTCI_REDUCE_MEAN) {                                                       \
            INDEPENDENT for (size_t i = 0; i < n; i++) copy[i] = dst[i] = (a[i] + b[i]) / 2;       \
        } else {                                                                                   \
            INDEPENDENT for (size_t i = 0; i < n; i++) copy[i] = dst[i] = a[i] + b[i];             \
        }                                                                                          \
    }                                                                                              \
    /* Elements of the type of the computation: no conversion. */                                  \
    static void reduce_##T(enum rtci_reduction op, const void *const *srcs, uint32_t n_srcs,       \
                           T *dst, T *copy, size_t n)                                              \
    {                                                                                              \
        if (n_srcs == 2 && copy) {                                                                 \
            both_##T(op, srcs[0], srcs[1], dst, copy, n);                                          \
            return;                                                                                \
        }                                                                                          \
        T tile[TILE];                                                                              \
        for (size_t at = 0; at < n; at += TILE) {                                                  \
            size_t m = n - at < TILE ? n - at : TILE;                                              \
            /* Of more than two sources dst may be one that is still to come. */                   \
            T *acc = n_srcs == 2 ? dst + at : tile;                                                \
            if (n_srcs > 1)                                                                        \
                first_##T(op, acc, (const T *)srcs[0] + at, (const T *)srcs[1] + at, m);           \
            else                                                                                   \
                memcpy(acc, (const T *)srcs[0] + at, m * sizeof(T));                               \
            for (uint32_t s = 2; s < n_srcs; s++)                                                  \
                fold_##T(op, acc, (const T *)srcs[s] + at, m);                                     \
            if (op == RTCI_REDUCE_MEAN)                                                            \
                mean_##T(acc, n_srcs, m);                                                          \
            if (acc == tile)                                                                       \
                memcpy(dst + at, tile, m * sizeof(T));                                             \
            if (copy)                                                                              \
                memcpy(copy + at, acc, m * sizeof(T));                                             \
        }                                                                                          \
    }
DEFINE_FOLD(float)
DEFINE_FOLD(double)

#define DEFINE_CHAIN(T)                                                                      \
    static void chain_##T(enum rtci_reduction op, const T *partial, const void *const *srcs, \
                          uint32_t n_srcs, uint32_t of, T *dst, size_t n)                    \
    {                                                                                        \
        T acc[TILE];                                                                         \
        for (size_t at = 0; at < n; at += TILE) {                                            \
            size_t m = n - at < TILE ? n - at : TILE;                                        \
            memcpy(acc, (partial ? partial : (const T *)srcs[0]) + at, m * sizeof(T));       \
            for (uint32_t s = partial ? 0 : 1; s < n_srcs; s++)                              \
                fold_##T(op, acc, (const T *)srcs[s] + at, m);                               \
            if (of && op == RTCI_REDUCE_MEAN)                                                \
                mean_##T(acc, of, m);                                                        \
            memcpy(dst + at, acc, m * sizeof(T));                                            \
        }                                                                                    \
    }
DEFINE_CHAIN(float)
DEFINE_CHAIN(double)

typedef void load_fn(float *restrict to, const uint16_t *restrict from, size_t n);
typedef void store_fn(uint16_t *restrict to, const float *restrict from, size_t n);

static void reduce_half(load_fn *load, store_fn *store, enum rtci_reduction op,
                        const void *const *srcs, uint32_t n_srcs, uint16_t *dst, uint16_t *copy,
                        size_t n)
{
    float acc[TILE], x[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        size_t m = n - at < TILE ? n - at : TILE;
        load(acc, (const uint16_t *)srcs[0] + at, m);
        for (uint32_t s = 1; s < n_srcs; s++) {
            load(x, (const uint16_t *)srcs[s] + at, m);
            fold_float(op, acc, x, m);
        }
        if (op == RTCI_REDUCE_MEAN)
            mean_float(acc, n_srcs, m);
        store(dst + at, acc, m);
        if (copy)
            memcpy(copy + at, dst + at, m * sizeof(*dst));
    }
}

static void reduce(enum rtc_dtype dtype, enum rtci_reduction op, const void *const *srcs,
                   uint32_t n_srcs, void *dst, void *copy, size_t n)
{
    if (dtype == RTC_F32)
        reduce_float(op, srcs, n_srcs, dst, copy, n);
    else if (dtype == RTC_F64)
        reduce_double(op, srcs, n_srcs, dst, copy, n);
    else if (dtype == RTC_BF16)
        reduce_half(load_tile_bf16, store_tile_bf16, op, srcs, n_srcs, dst, copy, n);
    else
        reduce_half(load_tile_f16, store_tile_f16, op, srcs, n_srcs, dst, copy, n);
}

/* dst may be a source only where it has elements of the same size. */
static void chain_half(load_fn *load, store_fn *store, enum rtci_reduction op, const float *partial,
                       const void *const *srcs, uint32_t n_srcs, uint32_t of, void *dst, size_t n)
{
    float acc[TILE], x[TILE];
    for (size_t at = 0; at < n; at += TILE) {
        size_t m = n - at < TILE ? n - at : TILE;
        if (partial)
            memcpy(acc, partial + at, m * sizeof(*acc));
        else
            load(acc, (const uint16_t *)srcs[0] + at, m);
        for (uint32_t s = partial ? 0 : 1; s < n_srcs; s++) {
            load(x, (const uint16_t *)srcs[s] + at, m);
            fold_float(op, acc, x, m);
        }
        if (of && op == RTCI_REDUCE_MEAN)
            mean_float(acc, of, m);
        if (of)
            store((uint16_t *)dst + at, acc, m);
        else
            memcpy((float *)dst + at, acc, m * sizeof(*acc));
    }
}

static void chain(enum rtc_dtype dtype, enum rtci_reduction op, const void *partial,
                  const void *const *srcs, uint32_t n_srcs, uint32_t of, void *dst, size_t n)
{
    if (dtype == RTC_F32)
        chain_float(op, partial, srcs, n_srcs, of, dst, n);
    else if (dtype == RTC_F64)
        chain_double(op, partial, srcs, n_srcs, of, dst, n);
    else if (dtype == RTC_BF16)
        chain_half(load_tile_bf16, store_tile_bf16, op, partial, srcs, n_srcs, of, dst, n);
    else
        chain_half(load_tile_f16, store_tile_f16, op, partial, srcs, n_srcs, of, dst, n);
}

static void stream(void *dst, const void *src, size_t size)
{
    char *to = dst;
    const char *from = src;
#if defined(__AVX2__)
    size_t head = -(uintptr_t)to & 63u;
    head = head < size ? head : size;
    memcpy(to, from, head);
    to += head, from += head, size -= head;
    for (; size >= 64; size -= 64, to += 64, from += 64) {
        __m256i a = _mm256_loadu_si256((const void *)from);
        __m256i b = _mm256_loadu_si256((const void *)(from + 32));
        _mm256_stream_si256((void *)to, a);
        _mm256_stream_si256((void *)(to + 32), b);
    }
    _mm_sfence();
#endif
    memcpy(to, from, size);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)
extern const struct rtci_kernels JOIN(rtci_kernels_, KERNELS_NAME);
const struct rtci_kernels JOIN(rtci_kernels_, KERNELS_NAME) = {
    .name = TEXT(KERNELS_NAME), .reduce = reduce, .chain = chain, .stream = stream};
