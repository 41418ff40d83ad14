/* Products of the sizes of policies. Blocks of rows times panels of two registers' columns stay in
 * registers over the whole sum; a panel that does not lie so already is copied, 16 KiB at a time,
 * to where all of it is in the nearest cache. With a few rows of a that copy would cost more than
 * the product: there b is read as it lies. Large products are OpenBLAS's. Of the others each
 * element is the same sum in the same order, whatever the number of rows. */
#include <cblas.h>

#include "actors/nn/kernels.h"
#include "actors/nn/real.h"

#define DEPTH (8192u / NN_VECTOR)       /* rows of a panel: 16 KiB of it */
#define PANEL (2 * LANES)               /* its columns */
#define ROWS  (NN_VECTOR == 64 ? 8 : 6) /* of a block */
#define DIRECT                                                                        \
    64u /* rows of b not farther apart than this need no copy: they are in other sets \
         */
/* Multiplications from which on OpenBLAS is the faster one. It knows AVX2, not always AVX-512. */
#define LARGE ((size_t)1 << (NN_VECTOR == 64 ? 25 : NN_VECTOR == 32 ? 25 : 17))

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

#if NN_VECTOR == 32 && !NN_F64
#define SQUARES 1
/* Rows and columns of a square change places: elements, then pairs, then halves. */
static inline __attribute__((always_inline)) void transpose(const vec r[8], vec out[8])
{
    vec t[8], u[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
        for (int k = 0; k < 2; k++) {
            vec x = t[i + k], y = t[i + k + 2];
            u[i + 2 * k] = __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
            u[i + 2 * k + 1] = __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        out[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        out[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/* k rows of a panel, of which each column lies together; k is whole registers. */
static void pack_across(const real *b, size_t b_col, size_t k, real *restrict panel)
{
    for (size_t j = 0; j < PANEL; j += LANES) {
        for (size_t p = 0; p < k; p += LANES) {
            vec square[LANES], turned[LANES];
#pragma GCC unroll 8
            for (size_t i = 0; i < LANES; i++)
                square[i] = *(const vec *)(const void *)(b + (j + i) * b_col + p);
            transpose(square, turned);
#pragma GCC unroll 8
            for (size_t i = 0; i < LANES; i++)
                *(vec *)(void *)(panel + (p + i) * PANEL + j) = turned[i];
        }
    }
}
#else
#define SQUARES 0
#endif

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
#if SQUARES
    } else if (g->b_row == 1 && n == PANEL && k % LANES == 0) {
        pack_across(b, g->b_col, k, panel);
#endif
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
    for (size_t i = 0, rows; i < g->m; i += rows) {
        size_t left = g->m - i;
        /* Two blocks of middle size at the end: one of a row or two would wait for its sums. */
        rows = left <= ROWS ? left : left < ROWS + 4 ? (left + 1) / 2 : ROWS;
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
    /* Of an a that lies across, a line of the cache is read for each number of a column. */
    size_t depth = g->a_col == 1 ? DEPTH : DEPTH / 2;
    for (size_t j = 0, n; j < g->n; j += n) {
        n = g->n - j < PANEL ? g->n - j : PANEL;
        size_t registers = n <= LANES ? 1 : 2;
        for (size_t p = 0, k; p < g->k; p += k) {
            k = g->k - p < depth ? g->k - p : depth;
            struct block s = {.k = k,
                              .a = (const real *)g->a + p * g->a_col,
                              .a_row = g->a_row,
                              .a_col = g->a_col,
                              .b = (const real *)g->b + p * g->b_row + j,
                              .b_row = g->b_row,
                              .add = g->add || p > 0};
            bool far = g->b_row > DIRECT && g->m > ROWS; /* one block reads it but once */
            if (g->b_col != 1 || far || n < registers * LANES) {
                pack(g, p, k, j, n, registers * LANES, panel);
                s.b = panel;
                s.b_row = registers * LANES;
            }
            multiply_panel(g, s, j, n, registers);
        }
    }
}
