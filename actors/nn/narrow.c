/* Products with one side of up to four: the heads of policies, and layers that see little. Blocks
 * of gemm.c would mostly be empty there. */
#include "actors/nn/kernels.h"

#define NARROW 4u
#define DEPTH  1024u /* of a sum, at most */

static inline vec load(const real *from)
{
    return *(const vec *)(const void *)from;
}

/* Neighbours are added, then pairs of neighbours, and so on. */
static inline real sum_of(vec x)
{
    real parts[LANES];
    memcpy(parts, &x, sizeof(x));
    for (size_t n = LANES / 2; n > 0; n /= 2) {
        for (size_t i = 0; i < n; i++)
            parts[i] = parts[2 * i] + parts[2 * i + 1];
    }
    return parts[0];
}

/* Rows of a times n columns of b: products along the sum. */
static inline __attribute__((always_inline)) void along(const struct nn_gemm *g, const size_t n)
{
    real columns[NARROW * DEPTH] __attribute__((aligned(64)));
    size_t whole = g->k / LANES * LANES;
    for (size_t j = 0; j < n; j++) {
        for (size_t p = 0; p < g->k; p++)
            columns[j * DEPTH + p] = ((const real *)g->b)[p * g->b_row + j * g->b_col];
    }
    for (size_t i = 0; i < g->m; i++) {
        const real *a = (const real *)g->a + i * g->a_row;
        real *c = (real *)g->c + i * g->c_row;
        vec sum[NARROW];
        for (size_t j = 0; j < n; j++)
            sum[j] = vec_of(0);
        for (size_t p = 0; p < whole; p += LANES) {
            vec left = load(a + p);
            for (size_t j = 0; j < n; j++)
                sum[j] += left * load(columns + j * DEPTH + p);
        }
        for (size_t j = 0; j < n; j++) {
            real x = sum_of(sum[j]);
            for (size_t p = whole; p < g->k; p++)
                x += a[p] * columns[j * DEPTH + p];
            c[j] = g->add ? c[j] + x : x;
        }
    }
}

/* Columns of a, which lie together, times n columns of b: registers across the rows of c. */
static inline __attribute__((always_inline)) void across(const struct nn_gemm *g, const size_t n,
                                                         const size_t registers)
{
    size_t block = registers * LANES;
    for (size_t i = 0; i < g->m; i += block) {
        const real *a = (const real *)g->a + i, *b = g->b;
        real out[4 * LANES];
        vec sum[NARROW][4];
        for (size_t j = 0; j < n; j++) {
            for (size_t v = 0; v < registers; v++)
                sum[j][v] = vec_of(0);
        }
        for (size_t p = 0; p < g->k; p++, a += g->a_col, b += g->b_row) {
            for (size_t v = 0; v < registers; v++) {
                vec left = load(a + v * LANES);
                for (size_t j = 0; j < n; j++)
                    sum[j][v] += left * vec_of(b[j * g->b_col]);
            }
        }
        for (size_t j = 0; j < n; j++) {
            memcpy(out, sum[j], sizeof(vec) * registers);
            for (size_t r = 0; r < block; r++) {
                real *c = (real *)g->c + (i + r) * g->c_row + j;
                *c = g->add ? *c + out[r] : out[r];
            }
        }
    }
}

/* Sums of k: two registers of each of b's rows stay for all rows of a. */
static inline __attribute__((always_inline)) void outer(const struct nn_gemm *g, const size_t k,
                                                        const size_t registers)
{
    for (size_t j = 0; j < g->n; j += registers * LANES) {
        real rows[NARROW][2 * LANES];
        vec right[NARROW][2];
        for (size_t p = 0; p < k; p++) {
            for (size_t e = 0; e < registers * LANES; e++)
                rows[p][e] = ((const real *)g->b)[p * g->b_row + (j + e) * g->b_col];
            for (size_t v = 0; v < registers; v++)
                right[p][v] = load(rows[p] + v * LANES);
        }
        const real *a = g->a;
        real *c = (real *)g->c + j;
        const size_t m = g->m, a_row = g->a_row, a_col = g->a_col, c_row = g->c_row;
        const bool add = g->add;
        for (size_t i = 0; i < m; i++, a += a_row, c += c_row) {
            vec sum[2];
            for (size_t v = 0; v < registers; v++)
                sum[v] = add ? load(c + v * LANES) : vec_of(0);
            for (size_t p = 0; p < k; p++) {
                vec left = vec_of(a[p * a_col]);
                for (size_t v = 0; v < registers; v++)
                    sum[v] += left * right[p][v];
            }
            for (size_t v = 0; v < registers; v++)
                *(vec *)(void *)(c + v * LANES) = sum[v];
        }
    }
}

/* n is a constant in each of the calls. */
#define BY_SIZE(call)           \
    switch (narrow) {           \
    case 1: call(g, 1); break;  \
    case 2: call(g, 2); break;  \
    case 3: call(g, 3); break;  \
    default: call(g, 4); break; \
    }
#define ACROSS_4(g, n) across(g, n, 4)
#define ACROSS_1(g, n) across(g, n, 1)
#define OUTER_2(g, n)  outer(g, n, 2)
#define OUTER_1(g, n)  outer(g, n, 1)

bool NN(gemm_narrow)(const struct nn_gemm *g)
{
    size_t narrow = g->n < g->k ? g->n : g->k;
    if (narrow > NARROW || narrow == 0 || g->m == 0)
        return false;
    if (g->k == narrow && g->n % LANES == 0) {
        if (g->n % (2 * LANES) == 0) {
            BY_SIZE(OUTER_2)
        } else {
            BY_SIZE(OUTER_1)
        }
        return true;
    }
    if (g->n == narrow && g->a_row == 1 && g->m % LANES == 0) {
        if (g->m % (4 * LANES) == 0 && narrow <= 2) {
            BY_SIZE(ACROSS_4)
        } else {
            BY_SIZE(ACROSS_1)
        }
        return true;
    }
    if (g->n == narrow && g->a_col == 1 && g->k <= DEPTH) {
        BY_SIZE(along)
        return true;
    }
    return false;
}
