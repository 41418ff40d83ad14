/* Files in the format "safetensors": named arrays of numbers, and texts beside them. Any library for
 * the format reads what is written here, and the other way round.
 *
 * A file has 8 bytes with the size of its header, the header (JSON), and the arrays. Nothing of a file
 * is believed: sizes, types, shapes and places are checked, arrays must fill their part without gaps
 * and overlaps, and where a sum of the arrays stands in the header it must be theirs. */
#ifndef ACTORS_RUN_TENSORS_H
#define ACTORS_RUN_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_NDIM_MAX    8u
#define RUN_HEADER_MAX  (16u * 1024 * 1024) /* bytes */
#define RUN_TENSORS_MAX 65536u
#define RUN_WHY_MAX     512u

/* X(name, bytes of an element) */
#define RUN_TYPE_MAP(X)                                                                             \
    X(F64, 8) X(I64, 8) X(U64, 8) X(F32, 4) X(I32, 4) X(U32, 4) X(F16, 2) X(BF16, 2) X(I16, 2)      \
    X(U16, 2) X(I8, 1) X(U8, 1) X(BOOL, 1)
#define X(name, size) RUN_##name,
enum run_type { RUN_TYPE_MAP(X) RUN_TYPES };
#undef X

struct run_tensor {
    const char *name;
    enum run_type type;
    uint32_t ndim; /* 0: one number */
    uint64_t shape[RUN_NDIM_MAX];
    const void *data; /* little endian, the last index the fastest; aligned as the file has it */
    uint64_t size;    /* bytes; filled in by readers */
};
struct run_text {
    const char *key, *value;
};

/* Writes a file as run_file_commit() does. Names and keys are UTF-8, not empty and different; those
 * that begin with "rtc." are for this library.
 * Errors: -1 with a sentence in `why` (RUN_WHY_MAX bytes). Blocks on the disk. */
int run_tensors_write(const char *path, const struct run_tensor *tensors, size_t n,
                      const struct run_text *texts, size_t n_texts, char *why);

struct json_t;
struct run_tensors { /* in the order of their data */
    const struct run_tensor *at;
    const struct run_text *texts;
    size_t n, n_texts;
    void *bytes; /* private, as what follows */
    struct run_tensor *made;
    struct run_text *made_texts;
    struct json_t *json;
};

/* Reads and checks a whole file. Ownership: run_tensors_free(). -1 with a sentence, which has the
 * path. */
int run_tensors_read(const char *path, struct run_tensors **ret, char *why);
/* Its header alone: `data` of the tensors is NULL. For lists; that the arrays are whole, their sum
 * apart, is known from the size of the file. */
int run_tensors_read_header(const char *path, struct run_tensors **ret, char *why);
/* Of bytes in memory, which are copied. */
int run_tensors_parse(const void *bytes, size_t size, struct run_tensors **ret, char *why);
void run_tensors_free(struct run_tensors **tensors);

const struct run_tensor *run_tensors_find(const struct run_tensors *tensors, const char *name);
const char *run_tensors_text(const struct run_tensors *tensors, const char *key); /* NULL: none */
/* The one of that name, type and shape, or NULL with a sentence: "policy.0.weight is not in it", "…
 * has the shape [64, 4] and not [64, 8]". */
const struct run_tensor *run_tensors_need(const struct run_tensors *tensors, const char *name,
                                          enum run_type type, uint32_t ndim, const uint64_t *shape,
                                          char *why);
uint32_t run_type_size(enum run_type type);

#endif
