/* The inner loops of reductions, of every instruction set that this machine has: rounding of f16
 * and bf16 against a reference in exact arithmetic, and the same bits from all of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* needs the four above */
#include <cmocka.h>

#include "runtime/collective/kernels.h"
#include "tests/lib/rng.h"

#define ALL 65536u

/* ---- The reference ---- */
/* Of a format with so many bits of fraction, smallest normal exponent and bias. */
struct format {
    enum rtc_dtype dtype;
    int fraction, least, bias;
};
static const struct format formats[] = {{RTC_F16, 10, -14, 15}, {RTC_BF16, 7, -126, 127}};

static double value_of(const struct format *f, uint16_t bits)
{
    int exponent = (bits & 0x7fff) >> f->fraction, most = 2 * f->bias + 1;
    double fraction = bits & ((1 << f->fraction) - 1), x;
    if (exponent == most)
        x = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        x = ldexp(fraction, f->least - f->fraction);
    else
        x = ldexp(fraction + (1 << f->fraction), exponent - f->bias - f->fraction);
    return bits & 0x8000 ? -x : x;
}

/* To the nearest that the format has, of two equally near the even one. */
static uint16_t bits_of(const struct format *f, double x)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    int exponent, most = 2 * f->bias + 1;
    x = fabs(x);
    if (x == 0)
        return sign;
    frexp(x, &exponent);
    exponent = exponent - 1 > f->least ? exponent - 1 : f->least;
    double steps = rint(ldexp(x, f->fraction - exponent)); /* exact but for this rounding */
    if (isinf(x) || ldexp(steps, exponent - f->fraction) >= ldexp(1, most - f->bias))
        return (uint16_t)(sign | most << f->fraction);
    if (steps < ldexp(1, f->fraction))
        return (uint16_t)(sign | (int)steps);
    /* A fraction that was rounded up to the next power of two carries into the exponent. */
    return (uint16_t)(sign | (((exponent + f->bias - 1) << f->fraction) + (int)steps));
}

static bool is_nan(const struct format *f, uint16_t bits)
{
    return isnan(value_of(f, bits));
}

/* ---- Rounding ---- */
static void identity(void **state)
{
    (void)state;
    static uint16_t in[ALL], out[ALL];
    const void *srcs[] = {in};
    for (uint32_t i = 0; i < ALL; i++)
        in[i] = (uint16_t)i;
    for (uint32_t k = 0; rtci_kernels_at(k); k++) {
        for (int f = 0; f < 2; f++) {
            rtci_kernels_at(k)->reduce(formats[f].dtype, RTCI_REDUCE_SUM, srcs, 1, out, NULL, ALL);
            for (uint32_t i = 0; i < ALL; i++) {
                uint16_t quiet = (uint16_t)(1u << (formats[f].fraction - 1));
                assert_int_equal(out[i], is_nan(&formats[f], in[i]) ? in[i] | quiet : in[i]);
                assert_int_equal(is_nan(&formats[f], in[i]) ||
                                     bits_of(&formats[f], value_of(&formats[f], in[i])) == in[i],
                                 1); /* so the reference is right as well */
            }
        }
    }
}

static uint16_t expect(const struct format *f, enum rtci_reduction op, const uint16_t *x,
                       uint32_t n)
{
    float acc = (float)value_of(f, x[0]);
    for (uint32_t i = 1; i < n; i++) {
        float y = (float)value_of(f, x[i]);
        if (op == RTCI_REDUCE_MAX)
            acc = y > acc || isnan(y) ? y : acc;
        else
            acc += y;
    }
    return isnan(acc) ? 0xffff : bits_of(f, op == RTCI_REDUCE_MEAN ? acc / (float)n : acc);
}

static void rounds_once(const struct rtci_kernels *kernels, const struct format *f,
                        enum rtci_reduction op, uint32_t n, struct rng *rng)
{
    static uint16_t in[5][ALL], out[ALL], copy[ALL];
    const void *srcs[] = {in[0], in[1], in[2], in[3], in[4]};
    uint32_t count = 40000 + rng_below(rng, 16);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t s = 0; s < n; s++) /* half of them near each other: ties and cancellation */
            in[s][i] = (uint16_t)(s && i & 1 ? in[0][i] ^ (rng_next(rng) & 0x83ff) : rng_next(rng));
    }
    kernels->reduce(f->dtype, op, srcs, n, out, copy, count);
    assert_memory_equal(out, copy, count * sizeof(*out));
    for (uint32_t i = 0; i < count; i++) {
        uint16_t x[5];
        for (uint32_t s = 0; s < n; s++)
            x[s] = in[s][i];
        uint16_t want = expect(f, op, x, n);
        if (want == 0xffff)
            assert_true(is_nan(f, out[i]));
        else
            assert_int_equal(out[i], want);
    }
}

static void rounding(void **state)
{
    (void)state;
    struct rng rng = {12345};
    for (uint32_t k = 0; rtci_kernels_at(k); k++) {
        for (int f = 0; f < 2; f++) {
            for (enum rtci_reduction op = RTCI_REDUCE_SUM; op <= RTCI_REDUCE_MAX; op++) {
                for (uint32_t n = 2; n <= 5; n++)
                    rounds_once(rtci_kernels_at(k), &formats[f], op, n, &rng);
            }
        }
    }
}

/* ---- f32, f64 ---- */
static void same_bits(void **state)
{
    (void)state;
    enum { N = 5003 };
    static double in[4][N], base[N], out[N], copy[N];
    struct rng rng = {99};
    for (uint32_t round = 0; round < 50; round++) {
        uint32_t n = 1 + rng_below(&rng, 4), count = rng_below(&rng, N);
        enum rtci_reduction op = rng_below(&rng, 3);
        bool twice = rng_below(&rng, 2), narrow = rng_below(&rng, 2), place = rng_below(&rng, 2);
        size_t bytes = count * (narrow ? sizeof(float) : sizeof(double));
        const void *srcs[] = {in[0], in[1], in[2], in[3]};
        for (uint32_t s = 0; s < n; s++) {
            for (uint32_t i = 0; i < N; i++) {
                double x = (double)(int64_t)rng_next(&rng);
                float y[2] = {(float)x, (float)(1 / x)};
                memcpy(&in[s][i], narrow ? (void *)y : (void *)&x, sizeof(x));
            }
        }
        enum rtc_dtype dtype = narrow ? RTC_F32 : RTC_F64;
        rtci_kernels_at(0)->reduce(dtype, op, srcs, n, base, NULL, count);
        for (uint32_t k = 0; rtci_kernels_at(k); k++) {
            memset(out, 0, sizeof(out));
            rtci_kernels_at(k)->reduce(dtype, op, srcs, n, out, twice ? copy : NULL, count);
            assert_memory_equal(out, base, bytes);
            if (twice)
                assert_memory_equal(copy, base, bytes);
        }
        uint32_t at = rng_below(&rng, n); /* into one of the sources */
        rtci_kernels_best()->reduce(dtype, op, srcs, n, place ? in[at] : out, NULL, count);
        assert_memory_equal(place ? in[at] : out, base, bytes);
    }
}

/* Reduced in one place or, from run to run, in several: the same bits. */
static void chains(void **state)
{
    (void)state;
    enum { N = 3001, SRCS = 6 };
    static const enum rtc_dtype dtypes[] = {RTC_F16, RTC_BF16, RTC_F32, RTC_F64};
    static double in[SRCS][N], partial[N], want[N], out[N];
    struct rng rng = {77};
    for (uint32_t round = 0; round < 200; round++) {
        enum rtc_dtype dtype = dtypes[round % 4];
        enum rtci_reduction op = rng_below(&rng, 3);
        uint32_t n = 1 + rng_below(&rng, SRCS), count = rng_below(&rng, N);
        size_t width = dtype == RTC_F64 ? 8 : dtype == RTC_F32 ? 4 : 2;
        const void *srcs[SRCS];
        for (uint32_t s = 0; s < n; s++) {
            srcs[s] = in[s];
            for (uint32_t i = 0; i < N; i++) {
                float x = (float)(int32_t)rng_next(&rng) / 3e4f;
                uint16_t half = (uint16_t)(rng_next(&rng) & 0xbbff); /* a number */
                double y = x;
                memcpy((char *)in[s] + i * width,
                       width == 8   ? (void *)&y
                       : width == 4 ? (void *)&x
                                    : (void *)&half,
                       width);
            }
        }
        rtci_kernels_at(0)->reduce(dtype, op, srcs, n, want, NULL, count);
        for (uint32_t k = 0; rtci_kernels_at(k); k++) {
            for (uint32_t from = 0, run; from < n; from += run) {
                run = 1 + rng_below(&rng, n - from);
                bool last = from + run == n;
                rtci_kernels_at(k)->chain(dtype, op, from ? partial : NULL, srcs + from, run,
                                          last ? n : 0, last ? out : partial, count);
            }
            assert_memory_equal(out, want, count * width);
        }
    }
}

static void special(void **state)
{
    (void)state;
    const float a[] = {1, NAN, 2, -INFINITY, INFINITY, -0.0f, 0},
                b[] = {NAN, 1, 3, 5, NAN, 0, -0.0f};
    const void *srcs[] = {a, b};
    for (uint32_t k = 0; rtci_kernels_at(k); k++) {
        float out[7];
        rtci_kernels_at(k)->reduce(RTC_F32, RTCI_REDUCE_MAX, srcs, 2, out, NULL, 7);
        assert_true(isnan(out[0]) && isnan(out[1]) && isnan(out[4]));
        assert_true(out[2] == 3 && out[3] == 5);
        assert_true(signbit(out[5]) && !signbit(out[6])); /* of equals the first */
    }
}

static void streams(void **state)
{
    (void)state;
    static char from[4096], to[4096];
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (char)(i * 31);
    for (uint32_t k = 0; rtci_kernels_at(k); k++) {
        for (size_t offset = 0; offset < 70; offset += 3) {
            for (size_t size = 0; size < 600; size += 37) {
                memset(to, 1, sizeof(to));
                rtci_kernels_at(k)->stream(to + offset, from + 5, size);
                assert_memory_equal(to + offset, from + 5, size);
                assert_true(to[offset + size] == 1 && (!offset || to[offset - 1] == 1));
            }
        }
    }
}

int main(void)
{
    for (uint32_t k = 0; rtci_kernels_at(k); k++)
        print_message("%s%s", k ? ", " : "kernels: ", rtci_kernels_at(k)->name);
    print_message("\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity), cmocka_unit_test(rounding), cmocka_unit_test(same_bits),
        cmocka_unit_test(special),  cmocka_unit_test(streams),  cmocka_unit_test(chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
