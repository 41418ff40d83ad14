/* Files of make_fixtures.py. */
#ifndef TESTS_NN_FIXTURE_H
#define TESTS_NN_FIXTURE_H

#include "tests/nn/nets.h"

struct fixture {
    char *data;
    size_t size;
};

static inline struct fixture fixture_open(const char *folder, const char *name)
{
    struct fixture f = {0};
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.bin", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    f.data = malloc(1 << 22);
    assert_non_null(f.data);
    f.size = fread(f.data, 1, 1 << 22, file);
    fclose(file);
    assert_true(f.size > 8 && !memcmp(f.data, "RTCNN1\0", 8));
    return f;
}

/* An array, float or int32_t; NULL: there is none of that name. ret_n may be NULL. */
static inline const void *fixture_find(const struct fixture *f, const char *name, size_t *ret_n)
{
    for (size_t at = 8; at + 32 <= f->size;) {
        uint32_t n;
        memcpy(&n, f->data + at + 28, sizeof(n));
        if (!strncmp(f->data + at, name, 24)) {
            if (ret_n)
                *ret_n = n;
            return f->data + at + 32;
        }
        at += 32 + 4 * (size_t)n;
    }
    return NULL;
}

static inline const void *fixture_get(const struct fixture *f, const char *name, size_t *ret_n)
{
    const void *found = fixture_find(f, name, ret_n);
    if (!found)
        fail_msg("the fixture has no %s", name);
    return found;
}

static inline void fixture_compare(const float *got, const float *want, size_t n, double tolerance,
                                   const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * (1 + fabs((double)want[i]))))
            fail_msg("%s: %zu is %.9g, PyTorch's %.9g", what, i, (double)got[i], (double)want[i]);
    }
}

#endif
