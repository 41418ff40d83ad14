/* Both sequences are made a coordinate at a time, so that nothing but the points needs memory. What
 * is drawn, and in which order, is what SciPy 1.10 draws: other draws would be as good, but not the
 * same points. With Philox the draws are of the kind of PCG64's. */
#include "actors/de/sampling.h"

#include <stddef.h>

#include "actors/de/sobol_table.h"

#define BITS      30u /* of a coordinate of Sobol's */
#define PRIMES    DE_SOBOL_MAX
#define PRIME_MAX 1619u /* the 256th */

_Static_assert(sizeof(de_sobol_dimensions) / sizeof(de_sobol_dimensions[0]) == DE_SOBOL_MAX,
               "a line of the table for each dimension");

static const char *check(uint32_t n, uint32_t count)
{
    if (!n || n > DE_SOBOL_MAX)
        return "low-discrepancy points are possible for 1 to 256 parameters";
    if (!count || count > 1u << BITS)
        return "between 1 and 2^30 low-discrepancy points are possible";
    return NULL;
}

/* ---- Sobol ---- */

/* The columns of the generator matrix of one dimension, the first binary digit on top. */
static void direction_numbers(uint32_t dimension, uint32_t *ret_columns)
{
    const struct de_sobol_dimension *from = &de_sobol_dimensions[dimension];
    uint32_t degree = 31 - (uint32_t)__builtin_clz(from->polynomial), m[BITS];
    for (uint32_t i = 0; i < BITS; i++) {
        m[i] = i < degree ? from->m[i] : m[i - degree];
        for (uint32_t k = 1; i >= degree && k <= degree; k++) {
            if (from->polynomial >> (degree - k) & 1)
                m[i] ^= m[i - k] << k;
        }
        ret_columns[i] = m[i] << (BITS - 1 - i);
    }
}

/* Multiplies the matrix, from the left, by a random one: lower triangular with ones in the diagonal
 * (Matousek 1998). The upper half is drawn too, and thrown away, as SciPy does. */
static void scramble(struct de_random *random, uint32_t *columns)
{
    uint32_t scrambled[BITS] = {0};
    for (uint32_t row = 0; row < BITS; row++) {
        uint32_t bits = 0, here = 1u << (BITS - 1 - row);
        for (uint32_t column = 0; column < BITS; column++)
            bits = bits << 1 | de_random_choice(random, 2);
        bits = (bits & ~(here - 1)) | here;
        for (uint32_t i = 0; i < BITS; i++) {
            if (__builtin_parity(bits & columns[i]))
                scrambled[i] |= here;
        }
    }
    for (uint32_t i = 0; i < BITS; i++)
        columns[i] = scrambled[i];
}

const char *de_sample_sobol(struct de_random *random, uint32_t n, uint32_t count,
                            double *ret_points)
{
    const char *error = check(n, count);
    uint32_t shift[DE_SOBOL_MAX] = {0}, columns[BITS];
    if (error)
        return error;
    for (uint32_t j = 0; random && j < n; j++) { /* all are drawn before the first matrix */
        for (uint32_t i = 0; i < BITS; i++)
            shift[j] |= de_random_choice(random, 2) << i;
    }
    for (uint32_t j = 0; j < n; j++) {
        uint32_t point = shift[j];
        direction_numbers(j, columns);
        if (random)
            scramble(random, columns);
        for (uint32_t i = 0; i < count; i++) {
            ret_points[(size_t)i * n + j] = point * 0x1p-30;
            if (i + 1 < count)
                point ^= columns[__builtin_ctz(i + 1)]; /* in the order of the Gray code */
        }
    }
    return NULL;
}

/* ---- Halton ---- */

static bool is_prime(uint32_t candidate, const uint32_t *primes)
{
    for (uint32_t i = 0; primes[i] * primes[i] <= candidate; i++) {
        if (candidate % primes[i] == 0)
            return false;
    }
    return true;
}

static uint32_t next_prime(const uint32_t *primes, uint32_t found)
{
    if (!found)
        return 2;
    uint32_t candidate = primes[found - 1] + 1;
    while (!is_prime(candidate, primes))
        candidate++;
    return candidate;
}

/* The i-th number is i's digits, each through the permutation of its place, behind the point. There
 * are as many places as can be told apart from 1 - 2^-54: SciPy permutes the zeros in front too. */
static void van_der_corput(struct de_random *random, uint32_t base, uint32_t n, uint32_t count,
                           double *ret_column)
{
    uint32_t digits[PRIME_MAX];
    double weight = 1.0 / base;
    for (uint32_t i = 0; i < count; i++)
        ret_column[(size_t)i * n] = 0;
    for (uint64_t power = 1; power * base < 1ull << 54; power *= base, weight /= base) {
        for (uint32_t digit = 0; digit < base; digit++)
            digits[digit] = digit;
        if (random)
            de_random_shuffle(random, digits, base);
        for (uint32_t i = 0; i < count; i++)
            ret_column[(size_t)i * n] += digits[i / power % base] * weight;
    }
}

const char *de_sample_halton(struct de_random *random, uint32_t n, uint32_t count,
                             double *ret_points)
{
    const char *error = check(n, count);
    uint32_t primes[PRIMES];
    if (error)
        return error;
    for (uint32_t j = 0; j < n; j++) {
        /* SciPy gives each dimension a copy of the generator, which so stays where it was. */
        struct de_random copy;
        if (random)
            copy = *random;
        primes[j] = next_prime(primes, j);
        van_der_corput(random ? &copy : NULL, primes[j], n, count, ret_points + j);
    }
    return NULL;
}
