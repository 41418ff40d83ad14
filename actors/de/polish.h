/* A local search from the best point: L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995) of liblbfgsb, or,
 * with constraints, SLSQP (Kraft 1988) of NLopt. Gradients are forward differences, all of whose
 * points are evaluated at once. */
#ifndef ACTORS_DE_POLISH_H
#define ACTORS_DE_POLISH_H

#include "actors/de/space.h"

/* Writes the values of count points; 0, or negative: the search ends. */
typedef int (*de_evaluate_fn)(void *arg, const double *points, uint32_t count, double *ret_values);

struct de_polished {
    double *x, *jacobian; /* n each, the caller's */
    double value;
    uint64_t evaluations;
    bool success; /* the search ended by itself, inside of the bounds */
};

/* From x0; integers stay as they are. ret->x and ret->jacobian have room for n. NULL, or a
 * sentence. */
const char *de_polish(const struct de_space *space, const double *x0, de_evaluate_fn evaluate,
                      void *arg, struct de_polished *ret);

#endif
