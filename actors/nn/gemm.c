/* Products of the sizes of policies. Blocks of rows times panels of two registers' columns stay in
 * registers over the whole sum; a panel that does not lie so already is copied, 128 rows at a time,
 * to where all of it is in the nearest cache. Large products are OpenBLAS's. */
#include <cblas.h>

#include "actors/nn/kernels.h"
#include "actors/nn/real.h"

#define DEPTH 128u                      /* rows of a panel */
#define PANEL (2 * LANES)               /* its columns */
#define ROWS  (NN_VECTOR == 64 ? 8 : 6) /* of a block */
#define DIRECT                                                                        \
    64u /* rows of b not farther apart than this need no copy: they are in other sets \
         */
/* Multiplications from which on OpenBLAS is the faster one. It knows AVX2, not always AVX-512. */
#define LARGE ((size_t)1 << (NN_VECTOR == 64 ? 25 : NN_VECTOR == 32 ? 21 : 17))

struct block {
    size_t k;
    const real *a, *b;
    size_t a_row, a_col, b_row;
    real *c;
    size_t c_row;
    bool add;
};

/* rows and registers are constants wherever this is inlined. */
static inline __attribute__((always_inline)) void multiply(const struct block *s, const int rows,
                                                           const int registers)
{
    vec sum[8][2];
    const real *a = s->a, *b = s->b;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int j = 0; j < registers; j++)
            sum[i][j] =
                s->add ? ((const vec *)(const void *)(s->c + (size_t)i * s->c_row))[j] : vec_of(0);
    }
    for (size_t p = 0; p < s->k; p++, a += s->a_col, b += s->b_row) {
        vec right[2];
#pragma GCC unroll 2
        for (int j = 0; j < registers; j++)
            right[j] = ((const vec *)(const void *)b)[j];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            vec left = vec_of(a[(size_t)i * s->a_row]);
#pragma GCC unroll 2
            for (int j = 0; j < registers; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int j = 0; j < registers; j++)
            ((vec *)(void *)(s->c + (size_t)i * s->c_row))[j] = sum[i][j];
    }
}

#define CASE(rows, registers) \
    case rows * 2 + registers: multiply(s, rows, registers); break;
static void multiply_block(const struct block *s, size_t rows, size_t registers)
{
    switch (rows * 2 + registers) {
        CASE(1, 1)
        CASE(1, 2)
        CASE(2, 1)
        CASE(2, 2)
        CASE(3, 1)
        CASE(3, 2)
        CASE(4, 1)
        CASE(4, 2)
        CASE(5, 1)
        CASE(5, 2)
        CASE(6, 1)
        CASE(6, 2)
#if NN_VECTOR == 64
        CASE(7, 1)
        CASE(7, 2)
        CASE(8, 1)
        CASE(8, 2)
#endif
    }
}

/* A few elements: a loop costs less here than memcpy(). */
static inline void copy(real *restrict to, const real *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* Rows p0 to p0 + k of columns j0 to j0 + n, with zeros behind them up to `to`. */
static void pack(const struct nn_gemm *g, size_t p0, size_t k, size_t j0, size_t n, size_t to,
                 real *restrict panel)
{
    const real *b = (const real *)g->b + p0 * g->b_row + j0 * g->b_col;
    for (size_t p = 0; n < to && p < k; p++) {
        for (size_t j = n; j < to; j++)
            panel[p * to + j] = 0;
    }
    if (g->b_col == 1 && n == PANEL) {
        for (size_t p = 0; p < k; p++)
            memcpy(panel + p * PANEL, b + p * g->b_row, PANEL * sizeof(real));
    } else if (g->b_col == 1) {
        for (size_t p = 0; p < k; p++)
            copy(panel + p * to, b + p * g->b_row, n);
    } else {
        for (size_t j = 0; j < n; j++) {
            for (size_t p = 0; p < k; p++)
                panel[p * to + j] = b[j * g->b_col + p * g->b_row];
        }
    }
}

/* All rows of c times one panel; n columns of it count. */
static void multiply_panel(const struct nn_gemm *g, struct block s, size_t j0, size_t n,
                           size_t registers)
{
    real edge[8 * PANEL], *c = (real *)g->c + j0;
    size_t width = registers * LANES;
    for (size_t i = 0; i < g->m; i += ROWS) {
        size_t rows = g->m - i < ROWS ? g->m - i : ROWS;
        struct block block = s;
        block.a = s.a + i * s.a_row;
        block.c = c + i * g->c_row;
        block.c_row = g->c_row;
        if (n == width) {
            multiply_block(&block, rows, registers);
            continue;
        }
        block.c = edge;
        block.c_row = width;
        for (size_t r = 0; s.add && r < rows; r++)
            copy(edge + r * width, c + (i + r) * g->c_row, n);
        multiply_block(&block, rows, registers);
        for (size_t r = 0; r < rows; r++)
            copy(c + (i + r) * g->c_row, edge + r * width, n);
    }
}

static void blas(const struct nn_gemm *g)
{
    enum CBLAS_TRANSPOSE ta = g->a_col == 1 ? CblasNoTrans : CblasTrans;
    enum CBLAS_TRANSPOSE tb = g->b_col == 1 ? CblasNoTrans : CblasTrans;
    int lda = (int)(g->a_col == 1 ? g->a_row : g->a_col);
    int ldb = (int)(g->b_col == 1 ? g->b_row : g->b_col);
#if NN_F64
    cblas_dgemm
#else
    cblas_sgemm
#endif
        (CblasRowMajor, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1, g->a, lda, g->b, ldb, g->add,
         g->c, (int)g->c_row);
}

void NN(gemm)(const struct nn_gemm *g)
{
    real panel[DEPTH * PANEL] __attribute__((aligned(64)));
    if (NN(gemm_narrow)(g))
        return;
    if (g->m * g->n * g->k >= LARGE) {
        blas(g);
        return;
    }
    for (size_t j = 0, n; j < g->n; j += n) {
        n = g->n - j < PANEL ? g->n - j : PANEL;
        size_t registers = n <= LANES ? 1 : 2;
        for (size_t p = 0, k; p < g->k; p += k) {
            k = g->k - p < DEPTH ? g->k - p : DEPTH;
            struct block s = {.k = k,
                              .a = (const real *)g->a + p * g->a_col,
                              .a_row = g->a_row,
                              .a_col = g->a_col,
                              .b = (const real *)g->b + p * g->b_row + j,
                              .b_row = g->b_row,
                              .add = g->add || p > 0};
            if (g->b_col != 1 || g->b_row > DIRECT || n < registers * LANES) {
                pack(g, p, k, j, n, registers * LANES, panel);
                s.b = panel;
                s.b_row = registers * LANES;
            }
            multiply_panel(g, s, j, n, registers);
        }
    }
}
