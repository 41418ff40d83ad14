#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/report/tensorboard.h"
#include "actors/run/tensors_inner.h"

static const struct {
    const char *name;
    uint32_t size;
} types[] = {
#define X(name, size) {#name, size},
    RUN_TYPE_MAP(X)
#undef X
};

uint32_t run_type_size(enum run_type type)
{
    return types[type].size;
}

const char *run_type_name(enum run_type type)
{
    return types[type].name;
}

/* ---- The header ---- */

static int type_of(const char *name)
{
    for (int i = 0; name && i < RUN_TYPES; i++) {
        if (!strcmp(types[i].name, name))
            return i;
    }
    return -1;
}

static int take_shape(struct run_tensor *t, const json_t *shape)
{
    if (!json_is_array(shape) || json_array_size(shape) > RUN_NDIM_MAX)
        return -1;
    t->ndim = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < t->ndim; i++) {
        const json_t *n = json_array_get(shape, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return -1;
        t->shape[i] = (uint64_t)json_integer_value(n);
    }
    return 0;
}

/* `data` is the place in the arrays for now. */
static int take_tensor(struct run_tensor *t, const char *name, const json_t *one,
                       uint64_t data_size, char *why)
{
    const json_t *offsets = json_object_get(one, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    int type = type_of(json_string_value(json_object_get(one, "dtype")));
    uint64_t bytes;
    if (type < 0)
        return run_tensors_fail(why, "the tensor \"%.80s\" has a type that is not known", name);
    *t = (struct run_tensor){.name = name, .type = (enum run_type)type};
    if (take_shape(t, json_object_get(one, "shape")) || !run_tensors_size(t, &bytes))
        return run_tensors_fail(why, "the tensor \"%.80s\" has no shape that could be", name);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin) ||
        (uint64_t)json_integer_value(end) > data_size ||
        (uint64_t)(json_integer_value(end) - json_integer_value(begin)) != bytes)
        return run_tensors_fail(why, "the tensor \"%.80s\" is not where it says, or not as large",
                                name);
    t->size = bytes;
    t->data = (const void *)(uintptr_t)json_integer_value(begin);
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct run_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

static int check_places(struct run_tensors *t, uint64_t data_size, char *why)
{
    uint64_t at = 0;
    qsort(t->made, t->n, sizeof(*t->made), by_place);
    for (size_t i = 0; i < t->n; i++) {
        if ((uintptr_t)t->made[i].data != at)
            return run_tensors_fail(why, "there is a gap or an overlap before the tensor \"%.80s\"",
                                    t->made[i].name);
        at += t->made[i].size;
    }
    return at == data_size ? 0 : run_tensors_fail(why, "bytes follow the last tensor");
}

static int take_texts(struct run_tensors *t, json_t *metadata, char *why)
{
    const char *key;
    json_t *value;
    if (!metadata)
        return 0;
    if (!json_is_object(metadata))
        return run_tensors_fail(why, "__metadata__ is no object");
    t->made_texts = calloc(json_object_size(metadata) + 1, sizeof(*t->made_texts));
    if (!t->made_texts)
        return run_tensors_fail(why, "no memory");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return run_tensors_fail(why, "the text \"%.80s\" is none", key);
        t->made_texts[t->n_texts++] = (struct run_text){key, json_string_value(value)};
    }
    return 0;
}

static int take_header(struct run_tensors *t, const char *text, size_t size, uint64_t data_size,
                       char *why)
{
    json_error_t error;
    const char *key;
    json_t *one;
    if (size == 0 || text[0] != '{')
        return run_tensors_fail(why, "it is no file of tensors: there is no header");
    t->json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(t->json))
        return run_tensors_fail(why, "its header is damaged: %.100s", error.text);
    size_t n = json_object_size(t->json);
    if (n > RUN_TENSORS_MAX)
        return run_tensors_fail(why, "it has more than %u tensors", RUN_TENSORS_MAX);
    t->made = calloc(n + 1, sizeof(*t->made));
    if (!t->made)
        return run_tensors_fail(why, "no memory");
    json_object_foreach(t->json, key, one)
    {
        if (!strcmp(key, "__metadata__"))
            continue;
        if (take_tensor(&t->made[t->n], key, one, data_size, why))
            return -1;
        t->n++;
    }
    return take_texts(t, json_object_get(t->json, "__metadata__"), why) ||
                   check_places(t, data_size, why)
               ? -1
               : 0;
}

static int header_size(const uint8_t *bytes, uint64_t size, uint64_t *ret, char *why)
{
    uint64_t length = 0;
    for (int i = 0; size >= 8 && i < 8; i++)
        length |= (uint64_t)bytes[i] << 8 * i;
    if (size < 8 || length > RUN_HEADER_MAX || length > size - 8)
        return run_tensors_fail(why, "it is no file of tensors, or was cut off: %llu bytes",
                                (unsigned long long)size);
    *ret = length;
    return 0;
}

/* ---- Bytes ---- */

static int check_sum(const struct run_tensors *t, const void *data, uint64_t size, char *why)
{
    char sum[16];
    const char *said = run_tensors_text(t, RUN_SUM_KEY);
    snprintf(sum, sizeof(sum), "%08x", report_crc32c(data, size));
    if (said && strcmp(said, sum) != 0)
        return run_tensors_fail(why, "its arrays are damaged: the sum is %s, and %.20s was written",
                                sum, said);
    return 0;
}

/* Takes the bytes, also when it fails. */
static int parse(uint8_t *bytes, uint64_t size, struct run_tensors **ret, char *why)
{
    struct run_tensors *t = calloc(1, sizeof(*t));
    uint64_t header = 0;
    if (!t) {
        free(bytes);
        return run_tensors_fail(why, "no memory");
    }
    t->bytes = bytes;
    int rc = header_size(bytes, size, &header, why);
    if (rc == 0)
        rc = take_header(t, (const char *)bytes + 8, header, size - 8 - header, why);
    t->at = t->made;
    t->texts = t->made_texts;
    if (rc == 0)
        rc = check_sum(t, bytes + 8 + header, size - 8 - header, why);
    for (size_t i = 0; rc == 0 && i < t->n; i++)
        t->made[i].data = bytes + 8 + header + (uintptr_t)t->made[i].data;
    if (rc)
        run_tensors_free(&t);
    else
        *ret = t;
    return rc;
}

int run_tensors_parse(const void *bytes, size_t size, struct run_tensors **ret, char *why)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        return run_tensors_fail(why, "no memory");
    memcpy(copy, bytes, size);
    return parse(copy, size, ret, why);
}

/* ---- Files ---- */

static int read_all(int fd, void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, (char *)bytes + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return 0;
}

/* Its header alone; `size` is that of the file. */
static int read_header(int fd, uint64_t size, struct run_tensors **ret, char *why)
{
    uint8_t length[8] = {0};
    uint64_t header = 0;
    if (read_all(fd, length, size < 8 ? size : 8) || header_size(length, size, &header, why))
        return run_tensors_fail(why, "it is no file of tensors, or was cut off: %llu bytes",
                                (unsigned long long)size);
    struct run_tensors *t = calloc(1, sizeof(*t));
    char *text = t ? malloc(header + 1) : NULL;
    int rc = -1;
    if (!text || read_all(fd, text, header))
        run_tensors_fail(why, "no memory, or it cannot be read");
    else
        rc = take_header(t, text, header, size - 8 - header, why);
    free(text);
    if (rc) {
        if (t)
            run_tensors_free(&t);
        return -1;
    }
    t->at = t->made;
    t->texts = t->made_texts;
    for (size_t i = 0; i < t->n; i++)
        t->made[i].data = NULL;
    *ret = t;
    return 0;
}

static int read_file(const char *path, bool whole, struct run_tensors **ret, char *why)
{
    char inner[RUN_WHY_MAX] = "";
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;
    if (fd < 0 || fstat(fd, &st)) {
        run_tensors_fail(why, "%.300s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        run_tensors_fail(why, "%.300s: it is no file", path);
    } else if (!whole) {
        rc = read_header(fd, (uint64_t)st.st_size, ret, inner);
    } else {
        uint8_t *bytes = malloc((size_t)st.st_size + 1);
        if (!bytes || read_all(fd, bytes, (size_t)st.st_size)) {
            free(bytes);
            run_tensors_fail(inner, "no memory, or it cannot be read");
        } else {
            rc = parse(bytes, (uint64_t)st.st_size, ret, inner);
        }
    }
    if (inner[0])
        run_tensors_fail(why, "%.300s: %.200s", path, inner);
    if (fd >= 0)
        close(fd);
    return rc;
}

int run_tensors_read(const char *path, struct run_tensors **ret, char *why)
{
    return read_file(path, true, ret, why);
}

int run_tensors_read_header(const char *path, struct run_tensors **ret, char *why)
{
    return read_file(path, false, ret, why);
}

void run_tensors_free(struct run_tensors **tensors)
{
    if (!*tensors)
        return;
    json_decref((*tensors)->json);
    free((*tensors)->made);
    free((*tensors)->made_texts);
    free((*tensors)->bytes);
    free(*tensors);
    *tensors = NULL;
}

/* ---- Looking up ---- */

const struct run_tensor *run_tensors_find(const struct run_tensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->n; i++) {
        if (!strcmp(tensors->at[i].name, name))
            return &tensors->at[i];
    }
    return NULL;
}

const char *run_tensors_text(const struct run_tensors *tensors, const char *key)
{
    for (size_t i = 0; i < tensors->n_texts; i++) {
        if (!strcmp(tensors->texts[i].key, key))
            return tensors->texts[i].value;
    }
    return NULL;
}

static void say_shape(const uint64_t *shape, uint32_t ndim, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < ndim && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}

const struct run_tensor *run_tensors_need(const struct run_tensors *tensors, const char *name,
                                          enum run_type type, uint32_t ndim, const uint64_t *shape,
                                          char *why)
{
    char has[200], wants[200];
    const struct run_tensor *t = run_tensors_find(tensors, name);
    if (!t) {
        run_tensors_fail(why, "%.80s is not in it", name);
    } else if (t->type != type) {
        run_tensors_fail(why, "%.80s has the type %s and not %s", name, run_type_name(t->type),
                         run_type_name(type));
    } else if (t->ndim != ndim || (ndim && memcmp(t->shape, shape, ndim * sizeof(*shape)) != 0)) {
        say_shape(t->shape, t->ndim, has, sizeof(has));
        say_shape(shape, ndim, wants, sizeof(wants));
        run_tensors_fail(why, "%.60s has the shape %s and not %s", name, has, wants);
    } else {
        return t;
    }
    return NULL;
}
