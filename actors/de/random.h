/* Random numbers of the optimisers: the two generators of numpy that SciPy's differential evolution
 * runs on, draw for draw, and a counter-based one for our own methods.
 *
 *   MT19937  numpy's RandomState(seed): Matsumoto & Nishimura 1998
 *   PCG64    numpy's default_rng(seed): O'Neill 2014, PCG XSL-RR 128/64, seeded by SeedSequence
 *   Philox   4x32-10, Salmon et al. 2011: any draw is a function of (seed, generation, index), so
 * that what a trial gets does not depend on the order in which trials are made
 */
#ifndef ACTORS_DE_RANDOM_H
#define ACTORS_DE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

enum de_generator { DE_MT19937, DE_PCG64, DE_PHILOX };

struct de_random {
    enum de_generator generator;
    union {
        struct {
            uint32_t key[624];
            uint32_t at;
        } mt;
        struct {
            unsigned __int128 state, inc;
            uint32_t high; /* the unused half of the last 64 bits asked for as 32 */
            bool has_high;
        } pcg;
        struct {
            uint32_t key[2], counter[4], block[4];
            uint32_t used; /* of the block */
        } philox;
    } u;
};

/* As numpy.random.RandomState(seed) and numpy.random.default_rng(seed). */
void de_random_mt19937(struct de_random *random, uint32_t seed);
void de_random_pcg64(struct de_random *random, uint64_t seed);
/* The stream of one index of one generation. */
void de_random_philox(struct de_random *random, uint64_t seed, uint32_t generation, uint32_t index);

uint32_t de_random_u32(struct de_random *random);
/* Uniform on [0, 1), 53 bits. */
double de_random_double(struct de_random *random);
/* Uniform on [low, high), as numpy's uniform(). */
double de_random_uniform(struct de_random *random, double low, double high);
/* Uniform on 0..n-1, n ≥ 1, as numpy's choice(n): nothing is drawn when n is 1. */
uint32_t de_random_choice(struct de_random *random, uint32_t n);
/* As numpy's shuffle() and permutation(). */
void de_random_shuffle(struct de_random *random, uint32_t *items, uint32_t n);
/* Box-Muller and the inverse of Cauchy's distribution, for our own methods. */
double de_random_normal(struct de_random *random, double mean, double deviation);
double de_random_cauchy(struct de_random *random, double location, double scale);

#endif
