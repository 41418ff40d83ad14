/* What the tests that repeat a golden file line by line share. */
#ifndef TESTS_DE_GOLDEN_H
#define TESTS_DE_GOLDEN_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static inline uint64_t golden_digest(uint64_t state, const double *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, &numbers[i], sizeof(word));
        state = (state ^ word) * 0x9e3779b97f4a7c15u;
        state ^= state >> 29;
    }
    return state;
}

static inline double golden_rosen(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100.0 * (a * a) + b * b;
    }
    return sum;
}

/* run() writes what a line should be. Returns how many are not; *ret_lines: of how many. */
static inline int golden_compare(const char *path,
                                 void (*run)(const char *line, char *out, size_t size),
                                 int *ret_lines)
{
    char line[256], mine[256];
    int wrong = 0;
    FILE *file = fopen(path, "r");
    *ret_lines = 0;
    for (; file && fgets(line, sizeof(line), file); (*ret_lines)++) {
        line[strcspn(line, "\n")] = 0;
        run(line, mine, sizeof(mine));
        if (strcmp(line, mine) != 0 && wrong++ < 10)
            printf("SciPy: %s\nhere:  %s\n", line, mine);
    }
    if (file)
        fclose(file);
    printf("%d of %d lines are SciPy's\n", *ret_lines - wrong, *ret_lines);
    return wrong;
}

#endif
