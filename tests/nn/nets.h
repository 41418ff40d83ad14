/* What tests of networks share: numbers from a seed, and derivatives by differences. */
#ifndef TESTS_NN_NETS_H
#define TESTS_NN_NETS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/nn/nn.h"
#include "actors/nn/random.h"

static inline double *nets_normals(size_t n, uint64_t seed)
{
    double *x = calloc(n + 1, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = nn_normal(&seed);
    return x;
}

/* Numbers of either element. */
static inline double nets_get(const struct nn_backend *b, const void *data, size_t i)
{
    return b->element == 8 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}
static inline void nets_set(const struct nn_backend *b, void *data, size_t i, double x)
{
    if (b->element == 8)
        ((double *)data)[i] = x;
    else
        ((float *)data)[i] = (float)x;
}

/* Holds the derivatives of loss() by the n numbers at x against what stands at dx. */
static inline void nets_differences(double (*loss)(void *arg), void *arg, double *x,
                                    const double *dx, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        const double keep = x[i], h = 1e-5;
        x[i] = keep + h;
        double up = loss(arg);
        x[i] = keep - h;
        double down = loss(arg);
        x[i] = keep;
        double want = (up - down) / (2 * h);
        if (fabs(want - dx[i]) > 1e-6 * (1 + fabs(want)))
            fail_msg("%s: derivative %zu is %.10g, by differences %.10g", what, i, dx[i], want);
    }
}

#endif
