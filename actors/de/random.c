#include "actors/de/random.h"

#include <math.h>
#include <string.h>

/* ---- MT19937 ---- */

void de_random_mt19937(struct de_random *random, uint32_t seed)
{
    memset(random, 0, sizeof(*random));
    random->generator = DE_MT19937;
    uint32_t *key = random->u.mt.key;
    key[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        key[i] = 1812433253u * (key[i - 1] ^ key[i - 1] >> 30) + i;
    random->u.mt.at = 624;
}

static void mt_refill(uint32_t *key)
{
    for (uint32_t i = 0; i < 624; i++) {
        uint32_t y = (key[i] & 0x80000000u) | (key[(i + 1) % 624] & 0x7fffffffu);
        key[i] = key[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
}

static uint32_t mt_next(struct de_random *random)
{
    if (random->u.mt.at == 624) {
        mt_refill(random->u.mt.key);
        random->u.mt.at = 0;
    }
    uint32_t y = random->u.mt.key[random->u.mt.at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* ---- PCG64, seeded as numpy's SeedSequence does ---- */

#define POOL 4u

static uint32_t hash_a(uint32_t value, uint32_t *hash)
{
    value ^= *hash;
    *hash *= 0x931e8875u;
    value *= *hash;
    return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    uint32_t result = 0xca01f9ddu * x - 0x4973f715u * y;
    return result ^ result >> 16;
}

static void seed_sequence(uint64_t seed, uint64_t *ret_words)
{
    uint32_t entropy[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t n = entropy[1] ? 2 : 1, pool[POOL], hash = 0x43b0d7e5u, out[8];
    for (uint32_t i = 0; i < POOL; i++)
        pool[i] = hash_a(i < n ? entropy[i] : 0, &hash);
    for (uint32_t from = 0; from < POOL; from++) {
        for (uint32_t to = 0; to < POOL; to++) {
            if (from != to)
                pool[to] = mix(pool[to], hash_a(pool[from], &hash));
        }
    }
    hash = 0x8b51f9ddu;
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t value = pool[i % POOL] ^ hash;
        hash *= 0x58f38dedu;
        value *= hash;
        out[i] = value ^ value >> 16;
    }
    for (uint32_t i = 0; i < 4; i++)
        ret_words[i] = out[2 * i] | (uint64_t)out[2 * i + 1] << 32;
}

static void pcg_step(struct de_random *random)
{
    const unsigned __int128 multiplier =
        (unsigned __int128)0x2360ed051fc65da4u << 64 | 0x4385df649fccf645u;
    random->u.pcg.state = random->u.pcg.state * multiplier + random->u.pcg.inc;
}

static uint64_t pcg_next(struct de_random *random)
{
    pcg_step(random);
    uint64_t high = (uint64_t)(random->u.pcg.state >> 64), low = (uint64_t)random->u.pcg.state;
    uint64_t value = high ^ low;
    uint32_t turn = (uint32_t)(high >> 58);
    return value >> turn | value << (-turn & 63);
}

void de_random_pcg64(struct de_random *random, uint64_t seed)
{
    uint64_t words[4];
    memset(random, 0, sizeof(*random));
    random->generator = DE_PCG64;
    seed_sequence(seed, words);
    unsigned __int128 state = (unsigned __int128)words[0] << 64 | words[1];
    random->u.pcg.inc = ((unsigned __int128)words[2] << 64 | words[3]) << 1 | 1;
    pcg_step(random); /* from 0 */
    random->u.pcg.state += state;
    pcg_step(random);
}

/* ---- Philox 4x32-10 ---- */

static void philox_block(struct de_random *random)
{
    uint32_t *c = random->u.philox.block, key[2];
    memcpy(c, random->u.philox.counter, sizeof(random->u.philox.block));
    memcpy(key, random->u.philox.key, sizeof(key));
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ key[1], (uint32_t)a};
        memcpy(c, next, sizeof(next));
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    random->u.philox.counter[0]++; /* 2^34 draws for each stream are enough */
    random->u.philox.used = 0;
}

void de_random_philox(struct de_random *random, uint64_t seed, uint32_t generation, uint32_t index)
{
    memset(random, 0, sizeof(*random));
    random->generator = DE_PHILOX;
    random->u.philox.key[0] = (uint32_t)seed;
    random->u.philox.key[1] = (uint32_t)(seed >> 32);
    random->u.philox.counter[2] = index;
    random->u.philox.counter[3] = generation;
    random->u.philox.used = 4;
}

/* ---- What all give ---- */

uint32_t de_random_u32(struct de_random *random)
{
    if (random->generator == DE_MT19937)
        return mt_next(random);
    if (random->generator == DE_PHILOX) {
        if (random->u.philox.used == 4)
            philox_block(random);
        return random->u.philox.block[random->u.philox.used++];
    }
    if (random->u.pcg.has_high) {
        random->u.pcg.has_high = false;
        return random->u.pcg.high;
    }
    uint64_t next = pcg_next(random);
    random->u.pcg.high = (uint32_t)(next >> 32);
    random->u.pcg.has_high = true;
    return (uint32_t)next;
}

double de_random_double(struct de_random *random)
{
    if (random->generator == DE_PCG64)
        return (double)(pcg_next(random) >> 11) * 0x1p-53;
    uint32_t a = de_random_u32(random) >> 5, b = de_random_u32(random) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

double de_random_uniform(struct de_random *random, double low, double high)
{
    return low + (high - low) * de_random_double(random);
}

/* Uniform on 0..max by masked rejection. */
static uint32_t below_masked(struct de_random *random, uint32_t max)
{
    if (max == 0)
        return 0;
    uint32_t mask = UINT32_MAX >> __builtin_clz(max), value;
    do
        value = de_random_u32(random) & mask;
    while (value > max);
    return value;
}

/* Uniform on 0..max by Lemire's multiplication (2019). */
static uint32_t below_lemire(struct de_random *random, uint32_t max)
{
    if (max == 0)
        return 0;
    uint32_t n = max + 1;
    uint64_t product = (uint64_t)de_random_u32(random) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = (UINT32_MAX - max) % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)de_random_u32(random) * n;
    }
    return (uint32_t)(product >> 32);
}

uint32_t de_random_choice(struct de_random *random, uint32_t n)
{
    return random->generator == DE_MT19937 ? below_masked(random, n - 1)
                                           : below_lemire(random, n - 1);
}

void de_random_shuffle(struct de_random *random, uint32_t *items, uint32_t n)
{
    for (uint32_t i = n; i-- > 1;) {
        uint32_t k = below_masked(random, i), item = items[i];
        items[i] = items[k];
        items[k] = item;
    }
}

double de_random_normal(struct de_random *random, double mean, double deviation)
{
    double u = 1 - de_random_double(random), v = de_random_double(random); /* u in (0, 1] */
    return mean + deviation * sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

double de_random_cauchy(struct de_random *random, double location, double scale)
{
    return location + scale * tan(M_PI * (de_random_double(random) - 0.5));
}
