#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/report/tensorboard.h"
#include "actors/run/file.h"
#include "actors/run/tensors_inner.h"

#define ALIGN 8u

int run_tensors_fail(char *why, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, RUN_WHY_MAX, fmt, args);
    va_end(args);
    return -1;
}

bool run_tensors_size(const struct run_tensor *t, uint64_t *ret_bytes)
{
    uint64_t bytes = run_type_size(t->type);
    for (uint32_t i = 0; i < t->ndim; i++) {
        if (__builtin_mul_overflow(bytes, t->shape[i], &bytes))
            return false;
    }
    *ret_bytes = bytes;
    return bytes <= INT64_MAX;
}

struct writing {
    const struct run_tensor *tensors;
    size_t n;
    uint32_t *order; /* larger elements first, so that all are aligned */
    json_t *root;
    uint64_t data; /* bytes */
};

static int sort_by_type(struct writing *w)
{
    size_t at = 0;
    w->order = malloc((w->n + 1) * sizeof(*w->order));
    for (int type = 0; w->order && type < RUN_TYPES; type++) {
        for (size_t i = 0; i < w->n; i++) {
            if ((int)w->tensors[i].type == type)
                w->order[at++] = (uint32_t)i;
        }
    }
    return w->order && at == w->n ? 0 : -1;
}

static int add_tensor(struct writing *w, const struct run_tensor *t, char *why)
{
    uint64_t bytes;
    json_t *shape = json_array();
    if (!t->name || !*t->name || !strcmp(t->name, "__metadata__") || t->ndim > RUN_NDIM_MAX ||
        json_object_get(w->root, t->name) || !run_tensors_size(t, &bytes) ||
        w->data + bytes > INT64_MAX || (bytes && !t->data)) {
        json_decref(shape);
        return run_tensors_fail(why,
                                "the tensor \"%.80s\" cannot be written: its name is taken or "
                                "empty, or its shape impossible",
                                t->name ? t->name : "");
    }
    for (uint32_t i = 0; i < t->ndim; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    json_t *one = json_pack("{s:s, s:o, s:[I, I]}", "dtype", run_type_name(t->type), "shape", shape,
                            "data_offsets", (json_int_t)w->data, (json_int_t)(w->data + bytes));
    w->data += bytes;
    if (!one || json_object_set_new(w->root, t->name, one))
        return run_tensors_fail(why, "the name of a tensor is not UTF-8: %.80s", t->name);
    return 0;
}

static uint32_t sum_all(const struct writing *w)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct run_tensor *t = &w->tensors[w->order[i]];
        uint64_t bytes = 0;
        run_tensors_size(t, &bytes);
        if (bytes)
            sum = report_crc32c_more(sum, t->data, bytes);
    }
    return sum;
}

static int make_header(struct writing *w, const struct run_text *texts, size_t n_texts, char *why)
{
    char sum[16];
    json_t *metadata = json_object();
    w->root = json_object();
    if (!metadata || !w->root || json_object_set_new(w->root, "__metadata__", metadata))
        return run_tensors_fail(why, "no memory");
    for (size_t i = 0; i < n_texts; i++) {
        if (json_object_get(metadata, texts[i].key) ||
            json_object_set_new(metadata, texts[i].key, json_string(texts[i].value)))
            return run_tensors_fail(why, "the text \"%.80s\" is there twice, or is not UTF-8",
                                    texts[i].key);
    }
    for (size_t i = 0; i < w->n; i++) {
        if (add_tensor(w, &w->tensors[w->order[i]], why))
            return -1;
    }
    snprintf(sum, sizeof(sum), "%08x", sum_all(w));
    json_object_set_new(metadata, RUN_SUM_KEY, json_string(sum));
    return 0;
}

static void put_all(const struct writing *w, const char *header, struct run_file *file)
{
    uint64_t size = strlen(header), padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(padded >> 8 * i);
    run_file_put(file, length, sizeof(length));
    run_file_put(file, header, size);
    run_file_put(file, "        ", padded - size);
    for (size_t i = 0; i < w->n; i++) {
        const struct run_tensor *t = &w->tensors[w->order[i]];
        uint64_t bytes = 0;
        run_tensors_size(t, &bytes);
        run_file_put(file, t->data, bytes);
    }
}

int run_tensors_write(const char *path, const struct run_tensor *tensors, size_t n,
                      const struct run_text *texts, size_t n_texts, char *why)
{
    struct writing w = {.tensors = tensors, .n = n};
    struct run_file file;
    char *header = NULL;
    int rc = -1;
    if (n > RUN_TENSORS_MAX || sort_by_type(&w))
        run_tensors_fail(why, "too many tensors, of an unknown type, or no memory");
    else
        rc = make_header(&w, texts, n_texts, why);
    if (rc == 0)
        header = json_dumps(w.root, JSON_COMPACT);
    if (rc == 0 && (!header || strlen(header) + ALIGN > RUN_HEADER_MAX))
        rc = run_tensors_fail(why, "the names and texts are more than %u bytes", RUN_HEADER_MAX);
    if (rc == 0) {
        run_file_begin(&file, path);
        put_all(&w, header, &file);
        int error = run_file_commit(&file);
        if (error)
            rc = run_tensors_fail(why, "%.300s cannot be written: %s", path, strerror(-error));
    }
    free(header);
    json_decref(w.root);
    free(w.order);
    return rc;
}
