/* Chance for initial weights, actions and the order of samples: SplitMix64 (Steele, Lea & Flood
 * 2014). */
#ifndef ACTORS_NN_RANDOM_H
#define ACTORS_NN_RANDOM_H

#include <math.h>
#include <stdint.h>

static inline uint64_t nn_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
/* Streams of one seed that have nothing to do with each other. */
static inline uint64_t nn_stream(uint64_t seed, uint64_t number)
{
    uint64_t state = seed ^ (number + 1) * UINT64_C(0xd1342543de82ef95);
    return nn_random(&state);
}
static inline double nn_uniform(uint64_t *state) /* [0, 1) */
{
    return (double)(nn_random(state) >> 11) * (1.0 / 9007199254740992.0);
}
static inline uint32_t nn_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(((nn_random(state) >> 32) * n) >> 32);
}
/* Box & Muller 1958. */
static inline double nn_normal(uint64_t *state)
{
    double u = 1 - nn_uniform(state), v = nn_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

#endif
