/* exp, log, tanh and the logistic function as straight lines of arithmetic, which compilers make into
 * vectors. For float: polynomials fitted for the smallest relative error, without branches; at most
 * 2.5 units in the last place from the exact value (tests/nn holds them against libm); exp is 0
 * below -87.3. For double: libm's. */
#ifndef ACTORS_NN_FUNCTIONS_H
#define ACTORS_NN_FUNCTIONS_H

#include <math.h>

#include "actors/nn/real.h"

#if NN_F64
static inline real real_exp(real x)
{
    return exp(x);
}
static inline real real_log(real x)
{
    return log(x);
}
static inline real real_tanh(real x)
{
    return tanh(x);
}
static inline real real_sqrt(real x)
{
    return sqrt(x);
}
#else
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
/* 2^n e^r with |r| <= ln 2 / 2. Adding 1.5 × 2^23 rounds to the next whole number, and leaves it in
 * the lowest bits. */
static inline real real_exp(real x)
{
    float low = x < -87.3f ? -87.3f : x, inside = low > 88.0f ? 88.0f : low;
    float shifted = inside * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    float r = inside - n * 0.693359375f + n * 2.12194440e-4f;
    float q = 0.00019790248188655823f;
    q = q * r + 0.0013944759266451001f;
    q = q * r + 0.008333497680723667f;
    q = q * r + 0.04166629537940025f;
    q = q * r + 0.1666666567325592f;
    q = q * r + 0.5f;
    float y = (q * (r * r) + r) + 1.0f;
    float power = from_bits((to_bits(shifted) << 23) + 0x3f800000u);
    y = x < -87.3f ? 0.0f : y * power;
    y = x > 88.0f ? x * 3e38f : y;
    return x != x ? x : y;
}
/* x = 2^n (1 + f), 1 + f between the roots of 1/2 and of 2. For normal numbers. */
static inline real real_log(real x)
{
    uint32_t bits = to_bits(x) - 0x3f3504f3u;
    float n = (float)((int32_t)bits >> 23);
    float f = from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    float q = 0.06746601313352585f;
    q = q * f - 0.11675640940666199f;
    q = q * f + 0.11888174712657928f;
    q = q * f - 0.12405591458082199f;
    q = q * f + 0.14219550788402557f;
    q = q * f - 0.1666799634695053f;
    q = q * f + 0.2000211924314499f;
    q = q * f - 0.25000008940696716f;
    q = q * f + 0.3333331346511841f;
    float low = q * (f * f * f) - n * 2.12194440e-4f;
    return (low - 0.5f * (f * f) + f) + n * 0.693359375f;
}
/* (e^2x - 1) / (e^2x + 1), the exponential less 1 as 2^n (e^r - 1) + (2^n - 1), so that nothing is lost
 * near 0. From 9.1 on it is 1. ln 2 is one number here: what it lacks does not show in the result. */
static inline real real_tanh(real x)
{
    float size = from_bits(to_bits(x) & 0x7fffffffu);
    float capped = size > 9.1f ? 9.1f : size;
    float shifted = capped * 2.88539008f + 12582912.0f, n = shifted - 12582912.0f;
    float r = capped * 2.0f - n * 0.693147181f;
    float q = 0.001381446490995586f;
    q = q * r + 0.008368780836462975f;
    q = q * r + 0.04166839271783829f;
    q = q * r + 0.1666651964187622f;
    q = q * r + 0.4999999403953552f;
    float power = from_bits((to_bits(shifted) << 23) + 0x3f800000u);
    float less = (q * (r * r) + r) * power + (power - 1.0f);
    return from_bits(to_bits(less / (less + 2.0f)) | (to_bits(x) & 0x80000000u));
}
static inline real real_sqrt(real x)
{
    return sqrtf(x);
}
#endif

static inline real real_sigmoid(real x)
{
    return 1 / (1 + real_exp(-x));
}

#endif
