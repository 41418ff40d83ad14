/* The head of sources that are compiled for float and double, and once more for each instruction set:
 * with NN_F64 0 or 1, NN_VECTOR the bytes of a register, NN_SUFFIX what names end with. */
#ifndef ACTORS_NN_REAL_H
#define ACTORS_NN_REAL_H

#include <stdint.h>
#include <string.h>

#include "actors/nn/backend.h"

#if NN_F64
typedef double real;
#else
typedef float real;
#endif

#define NN_JOIN_(a, b) a##_##b
#define NN_JOIN(a, b)  NN_JOIN_(a, b)
#define NN(name)       NN_JOIN(nn_##name, NN_SUFFIX) /* a name of this variant */

#define LANES (NN_VECTOR / sizeof(real))
/* A register; loaded from and stored to anywhere. */
typedef real vec __attribute__((vector_size(NN_VECTOR), aligned(sizeof(real)), may_alias));

static inline vec vec_of(real x)
{
    return x - (vec){0};
}

#endif
