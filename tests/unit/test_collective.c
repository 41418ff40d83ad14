/* Operations among processes: every operation, type, size and odd count, against sums that are
 * exact. */
#include <math.h>

#include "tests/unit/collective_help.h"

/* Small whole numbers: every type holds them, and their sums, exactly. */
static double value_at(uint32_t rank, size_t i)
{
    return (double)((i * 7 + rank * 13) % 31) - 15;
}

/* Of numbers that it holds exactly. */
static uint16_t to_f16(double x)
{
    int exponent;
    double fraction = frexp(fabs(x), &exponent);
    if (x == 0)
        return 0;
    return (uint16_t)((x < 0 ? 0x8000 : 0) | (exponent + 14) << 10 |
                      ((int)(fraction * 2048) & 0x3ff));
}

static void put(enum rtc_dtype dtype, void *at, size_t i, double x)
{
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    switch (dtype) {
    case RTC_F64: ((double *)at)[i] = x; break;
    case RTC_F32: ((float *)at)[i] = f; break;
    case RTC_F16: ((uint16_t *)at)[i] = to_f16(x); break;
    case RTC_BF16: ((uint16_t *)at)[i] = (uint16_t)(bits >> 16); break;
    default: ((uint8_t *)at)[i] = (uint8_t)(int)x; break;
    }
}

static size_t size_of(enum rtc_dtype dtype)
{
    return dtype == RTC_F64 ? 8 : dtype == RTC_F32 ? 4 : dtype == RTC_U8 ? 1 : 2;
}

static double reduced(enum rtci_reduction op, uint32_t size, size_t i)
{
    double x = value_at(0, i);
    for (uint32_t r = 1; r < size; r++) {
        double y = value_at(r, i);
        x = op == RTCI_REDUCE_MAX ? (x > y ? x : y) : x + y;
    }
    return op == RTCI_REDUCE_MEAN ? x / size : x;
}

struct what {
    enum rtc_dtype dtype;
    size_t count;
};

/* Whole sums, and means of 1, 2 and 4 of them, are exact; of 3 they are rounded once. */
static bool is_right(const struct what *what, const void *got, size_t at, enum rtci_reduction op,
                     uint32_t size, size_t i)
{
    uint64_t want = 0, is = 0;
    size_t bytes = size_of(what->dtype);
    if (op == RTCI_REDUCE_MEAN && size == 3) {
        float sum = (float)reduced(RTCI_REDUCE_SUM, size, i) / 3.0f;
        if (what->dtype != RTC_F32)
            return true;
        memcpy(&want, &sum, 4);
    } else {
        put(what->dtype, &want, 0, reduced(op, size, i));
    }
    memcpy(&is, (const char *)got + at * bytes, bytes);
    if (want == is || (op != RTCI_REDUCE_MAX && reduced(op, size, i) == 0))
        return true;
    fprintf(stderr, "element %zu of %zu is %llx, not %llx\n", i, what->count,
            (unsigned long long)is, (unsigned long long)want);
    return false;
}

static void *filled(const struct what *what, uint32_t rank, size_t n)
{
    char *at = calloc(n + 1, size_of(what->dtype));
    for (size_t i = 0; at && i < n; i++)
        put(what->dtype, at, i, value_at(rank, i));
    return at;
}

static int reductions(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    const struct what *what = arg;
    size_t n = what->count, bytes = size_of(what->dtype);
    for (enum rtci_reduction op = RTCI_REDUCE_SUM; op <= RTCI_REDUCE_MAX; op++) {
        void *send = filled(what, rank, n * size), *recv = calloc(n * size + 1, bytes);
        memset((char *)recv + n * bytes, 0x5a, bytes);
        CREW_NEED(rtci_collective_all_reduce(c, send, recv, n, what->dtype, op, SECONDS(60)) == 0);
        for (size_t i = 0; i < n; i++)
            CREW_NEED(is_right(what, recv, i, op, size, i));
        for (size_t i = 0; i < bytes; i++)
            CREW_NEED(((char *)recv)[n * bytes + i] == 0x5a); /* nothing behind the end */
        memset(recv, 0, n * bytes);
        CREW_NEED(rtci_collective_reduce_scatter(c, send, recv, n, what->dtype, op, SECONDS(60)) ==
                  0);
        for (size_t i = 0; i < n; i++)
            CREW_NEED(is_right(what, recv, i, op, size, rank * n + i));
        /* In place, both. */
        char *own = (char *)send + rank * n * bytes;
        CREW_NEED(rtci_collective_reduce_scatter(c, send, own, n, what->dtype, op, SECONDS(60)) ==
                  0);
        CREW_NEED(memcmp(own, recv, n * bytes) == 0);
        free(send);
        send = filled(what, rank, n);
        CREW_NEED(rtci_collective_all_reduce(c, send, send, n, what->dtype, op, SECONDS(60)) == 0);
        for (size_t i = 0; i < n; i++)
            CREW_NEED(is_right(what, send, i, op, size, i));
        free(send);
        free(recv);
    }
    return 0;
}

static int copies(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    const struct what *what = arg;
    size_t n = what->count, bytes = size_of(what->dtype);
    void *send = filled(what, rank, n);
    char *recv = calloc(n * size + 1, bytes);
    for (int in_place = 0; in_place < 2; in_place++) {
        memset(recv, 0, n * size * bytes);
        memcpy(recv + rank * n * bytes, send, in_place ? n * bytes : 0);
        CREW_NEED(rtci_collective_all_gather(c, in_place ? recv + rank * n * bytes : send, recv, n,
                                             what->dtype, SECONDS(60)) == 0);
        for (uint32_t r = 0; r < size; r++) {
            void *want = filled(what, r, n);
            CREW_NEED(memcmp(recv + r * n * bytes, want, n * bytes) == 0);
            free(want);
        }
    }
    for (uint32_t root = 0; root < size; root++) {
        void *buffer = filled(what, rank, n), *want = filled(what, root, n);
        CREW_NEED(rtci_collective_broadcast(c, buffer, n, what->dtype, root, SECONDS(60)) == 0);
        CREW_NEED(memcmp(buffer, want, n * bytes) == 0);
        free(buffer);
        free(want);
    }
    CREW_NEED(rtci_collective_barrier(c, SECONDS(60)) == 0);
    free(send);
    free(recv);
    return 0;
}

/* All counts around the borders of lines, blocks, slots and rounds. */
static const size_t counts[] = {0,    1,    2,    3,     15,    17,    63,    64,     65,    1000,
                                2049, 4095, 8191, 16385, 32768, 65537, 99991, 131072, 300007};

static void test_reductions(void **state)
{
    (void)state;
    static const enum rtc_dtype dtypes[] = {RTC_F16, RTC_BF16, RTC_F32, RTC_F64};
    for (uint32_t size = 1; size <= 4; size++) {
        for (size_t d = 0; d < 4; d++) {
            for (size_t i = d & 1; i < sizeof(counts) / sizeof(*counts); i += 2) {
                struct what what = {dtypes[d], counts[i]};
                crew_all_fine(size, reductions, &what);
            }
        }
    }
}

static void test_copies(void **state)
{
    (void)state;
    static const enum rtc_dtype dtypes[] = {RTC_U8, RTC_F16, RTC_F32, RTC_F64};
    for (uint32_t size = 1; size <= 4; size++) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
            struct what what = {dtypes[i % 4], counts[i]};
            crew_all_fine(size, copies, &what);
        }
    }
}

/* More members than CPUs, up to as many as there can be. */
static void test_crowds(void **state)
{
    (void)state;
    struct what few = {RTC_F32, 3}, some = {RTC_BF16, 5001}, lots = {RTC_F32, 65537};
    crew_all_fine(16, reductions, &few);
    crew_all_fine(16, reductions, &lots);
    crew_all_fine(16, copies, &some);
    crew_all_fine(RTCI_COLLECTIVE_RANKS_MAX, reductions, &some);
    crew_all_fine(RTCI_COLLECTIVE_RANKS_MAX, copies, &few);
}

/* One group, many operations: counters and slots go round. */
static int many(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    (void)arg;
    CREW_NEED(rtci_collective_size(c) == size && rtci_collective_rank(c) == rank);
    CREW_NEED(rtci_collective_epoch(c) == 7);
    for (uint32_t k = 0; k < 3000; k++) {
        float x = (float)(rank + k), sum = 0, all[8];
        uint32_t root = k % size;
        CREW_NEED(
            rtci_collective_all_reduce(c, &x, &sum, 1, RTC_F32, RTCI_REDUCE_SUM, SECONDS(60)) == 0);
        CREW_NEED(sum == (float)(k * size + size * (size - 1) / 2));
        CREW_NEED(rtci_collective_all_gather(c, &x, all, 1, RTC_F32, SECONDS(60)) == 0);
        CREW_NEED(all[size - 1] == (float)(k + size - 1));
        CREW_NEED(rtci_collective_broadcast(c, &x, 1, RTC_F32, root, SECONDS(60)) == 0);
        CREW_NEED(x == (float)(root + k));
        if (k % 64 == 0)
            CREW_NEED(rtci_collective_barrier(c, SECONDS(60)) == 0);
    }
    return 0;
}

static void test_many(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 4; size++)
        crew_all_fine(size, many, NULL);
    crew_all_fine(8, many, NULL);
}

/* The same bits on all ranks and in each run, of sums that are rounded at every step. */
static uint64_t digest(const float *x, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        sum = (sum ^ bits) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

static int rounded(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    enum { N = 70001 };
    float *x = calloc(N, sizeof(*x));
    double all[8], own;
    for (size_t i = 0; i < N; i++)
        x[i] = 1.0f / (float)(i * size + rank + 1);
    CREW_NEED(rtci_collective_all_reduce(c, x, x, N, RTC_F32, RTCI_REDUCE_SUM, SECONDS(60)) == 0);
    /* In the order of ranks. */
    for (size_t i = 0; i < N; i++) {
        float want = 1.0f / (float)(i * size + 1);
        for (uint32_t r = 1; r < size; r++)
            want += 1.0f / (float)(i * size + r + 1);
        CREW_NEED(x[i] == want);
    }
    own = (double)(digest(x, N) >> 16);
    CREW_NEED(rtci_collective_all_gather(c, &own, all, 1, RTC_F64, SECONDS(60)) == 0);
    for (uint32_t r = 0; r < size; r++)
        CREW_NEED(all[r] == own);
    if (rank == 0)
        *(double *)arg = own;
    free(x);
    return 0;
}

static void test_same_bits(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 4; size++) {
        double first = 0, again = 1;
        crew_all_fine(size, rounded, &first);
        crew_all_fine(size, rounded, &again);
        assert_true(first == again);
    }
}

static int nonsense(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    float x[64] = {0};
    (void)arg;
    CREW_NEED(rtci_collective_all_reduce(c, x, x, 1, RTC_I32, RTCI_REDUCE_SUM, 0) == RTC_E_INVALID);
    CREW_NEED(rtci_collective_all_reduce(c, x, x, 1, RTC_F32, 9, 0) == RTC_E_INVALID);
    CREW_NEED(rtci_collective_all_reduce(c, x, x + 1, 8, RTC_F32, RTCI_REDUCE_SUM, 0) ==
              RTC_E_INVALID);
    CREW_NEED(rtci_collective_reduce_scatter(c, x, x + 1, 8, RTC_F32, RTCI_REDUCE_SUM, 0) ==
              RTC_E_INVALID);
    CREW_NEED(rtci_collective_all_gather(c, x + 1, x, 8, RTC_F32, 0) == RTC_E_INVALID);
    CREW_NEED(rtci_collective_all_gather(c, x, x + 32, 8, 99, 0) == RTC_E_INVALID);
    CREW_NEED(rtci_collective_broadcast(c, x, 8, RTC_F32, size, 0) == RTC_E_INVALID);
    CREW_NEED(rtci_collective_barrier(c, SECONDS(60)) == 0); /* the group is as it was */
    return 0;
}

static void test_bad_arguments(void **state)
{
    (void)state;
    crew_all_fine(2, nonsense, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_same_bits),  cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
