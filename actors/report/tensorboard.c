/* A record is built from its end: the size of a message is known before its length is put in front
 * of it, so nothing is measured twice, and the record is one piece when it is written. Fields are
 * therefore put in descending order. */
#include "actors/report/tensorboard.h"

#include <assert.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actors/report/text.h"

#define AROUND      1024u /* of a record: frame, keys, lengths, numbers, bins */
#define CRC_SIZE    4u
#define SECONDS_MAX 9999999999ull /* ten digits in the name */
#define NAMES_MAX   1000u         /* tried for a new file */
#define PREFIX      "events.out.tfevents."

enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; /* wire types */

struct report_tb {
    int fd;
    int error;     /* once a torn record could not be taken back: nothing after it would be read */
    uint64_t size; /* of the whole records in the file */
    uint8_t *buffer;
    size_t capacity, at;
};

/* ---- Numbers and messages, from behind ---- */

uint32_t report_crc32c(const void *data, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const uint8_t *bytes = data;
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        c ^= bytes[i];
        c = table[c & 15] ^ (c >> 4);
        c = table[c & 15] ^ (c >> 4);
    }
    return ~c;
}

/* Sums of sums are weak; the format wants them masked. */
static uint32_t masked_crc(const void *data, size_t size)
{
    uint32_t c = report_crc32c(data, size);
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

static void put(struct report_tb *tb, const void *data, size_t size)
{
    assert(size <= tb->at);
    tb->at -= size;
    memcpy(tb->buffer + tb->at, data, size);
}

static void put_32(struct report_tb *tb, uint32_t value)
{
    value = htole32(value);
    put(tb, &value, sizeof(value));
}

static void put_64(struct report_tb *tb, uint64_t value)
{
    value = htole64(value);
    put(tb, &value, sizeof(value));
}

static void put_raw_double(struct report_tb *tb, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_64(tb, bits);
}

static void put_varint(struct report_tb *tb, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    put(tb, bytes, n);
}

static void put_key(struct report_tb *tb, uint32_t field, uint32_t type)
{
    put_varint(tb, field << 3 | type);
}

static void put_int(struct report_tb *tb, uint32_t field, uint64_t value)
{
    put_varint(tb, value);
    put_key(tb, field, VARINT);
}

static void put_double(struct report_tb *tb, uint32_t field, double value)
{
    put_raw_double(tb, value);
    put_key(tb, field, FIXED64);
}

/* All from here up to `end` becomes one field. */
static void wrap(struct report_tb *tb, uint32_t field, size_t end)
{
    put_varint(tb, end - tb->at);
    put_key(tb, field, BYTES);
}

/* Readers give up at a string that is not UTF-8, so none is written. */
static void put_string(struct report_tb *tb, uint32_t field, const char *text)
{
    size_t end = tb->at, size = strlen(text);
    put(tb, text, size);
    report_text_clean((char *)tb->buffer + tb->at, size);
    wrap(tb, field, end);
}

/* ---- Records ---- */

static size_t data_end(const struct report_tb *tb)
{
    return tb->capacity - CRC_SIZE;
}

static int begin(struct report_tb *tb, size_t payload)
{
    if (payload + AROUND > tb->capacity) {
        uint8_t *buffer = malloc(payload + AROUND);
        if (!buffer)
            return -ENOMEM;
        free(tb->buffer);
        tb->buffer = buffer;
        tb->capacity = payload + AROUND;
    }
    tb->at = data_end(tb);
    return tb->error;
}

static int begin_value(struct report_tb *tb, const char *tag, size_t payload)
{
    size_t size = strnlen(tag, REPORT_TB_TAG_MAX + 1);
    if (!size)
        return -EINVAL;
    return size > REPORT_TB_TAG_MAX ? -EMSGSIZE : begin(tb, size + payload);
}

/* Length, its sum, the data, their sum. */
static int write_record(struct report_tb *tb)
{
    size_t size = data_end(tb) - tb->at;
    uint64_t length = htole64(size);
    uint32_t sum = htole32(masked_crc(tb->buffer + tb->at, size));
    memcpy(tb->buffer + data_end(tb), &sum, sizeof(sum));
    put_32(tb, masked_crc(&length, sizeof(length)));
    put_64(tb, size);
    size = tb->capacity - tb->at;
    ssize_t n;
    do
        n = write(tb->fd, tb->buffer + tb->at, size);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)size) {
        tb->size += size;
        return 0;
    }
    int error = n < 0 ? -errno : -ENOSPC;
    if (n > 0 && ftruncate(tb->fd, (off_t)tb->size))
        tb->error = error;
    return error;
}

static int end_event(struct report_tb *tb, int64_t step, double wall_time)
{
    if (step)
        put_int(tb, 2, (uint64_t)step);
    put_double(tb, 1, wall_time);
    return write_record(tb);
}

/* What was put are the fields of a Summary.Value after its tag. */
static int end_value(struct report_tb *tb, const char *tag, int64_t step, double wall_time)
{
    put_string(tb, 1, tag);
    wrap(tb, 1, data_end(tb));
    wrap(tb, 5, data_end(tb));
    return end_event(tb, step, wall_time);
}

/* ---- Values ---- */

int report_tb_scalar(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                     double value)
{
    int r = begin_value(tb, tag, 0);
    float narrow = (float)value;
    uint32_t bits;
    if (r < 0)
        return r;
    memcpy(&bits, &narrow, sizeof(bits));
    put_32(tb, bits);
    put_key(tb, 2, FIXED32);
    return end_value(tb, tag, step, wall_time);
}

int report_tb_text(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                   const char *text)
{
    size_t size = strnlen(text, REPORT_TB_TEXT_MAX + 1), end;
    int r = size > REPORT_TB_TEXT_MAX ? -EMSGSIZE : begin_value(tb, tag, size);
    if (r < 0)
        return r;
    end = tb->at; /* the metadata: plugin "text", class tensor */
    put_int(tb, 4, 2);
    size_t plugin_end = tb->at;
    put_string(tb, 1, "text");
    wrap(tb, 1, plugin_end);
    wrap(tb, 9, end);
    end = tb->at; /* a tensor of one string */
    put_string(tb, 8, text);
    size_t shape_end = tb->at;
    put_int(tb, 1, 1);
    wrap(tb, 2, shape_end);
    wrap(tb, 2, shape_end);
    put_int(tb, 1, 7);
    wrap(tb, 8, end);
    return end_value(tb, tag, step, wall_time);
}

struct histogram {
    double min, max, sum, squares;
    uint64_t n, bins[REPORT_TB_BINS];
};

/* Halves, since the width of a range of finite numbers may be infinite. */
static void count(struct histogram *h, const double *values, size_t n)
{
    *h = (struct histogram){.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        h->min = values[i] < h->min ? values[i] : h->min;
        h->max = values[i] > h->max ? values[i] : h->max;
        h->sum += values[i];
        h->squares += values[i] * values[i];
        h->n++;
    }
    double half = h->max / 2 - h->min / 2;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            continue;
        double at = half > 0 ? (values[i] / 2 - h->min / 2) / half * REPORT_TB_BINS : 0;
        h->bins[at >= REPORT_TB_BINS ? REPORT_TB_BINS - 1 : (uint32_t)at]++;
    }
}

int report_tb_histogram(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                        const double *values, size_t n)
{
    struct histogram h;
    int r = begin_value(tb, tag, 0);
    if (r < 0)
        return r;
    count(&h, values, n);
    uint32_t bins = !h.n ? 0 : h.max > h.min ? REPORT_TB_BINS : 1; /* equal values need but one */
    size_t message_end = tb->at, end = tb->at;
    for (uint32_t i = bins; i-- > 0;)
        put_raw_double(tb, (double)h.bins[i]);
    wrap(tb, 7, end);
    end = tb->at;
    for (uint32_t i = bins; i-- > 0;) { /* right edges */
        double part = (i + 1.0) / REPORT_TB_BINS;
        put_raw_double(tb, i + 1 == bins ? h.max : h.min * (1 - part) + h.max * part);
    }
    wrap(tb, 6, end);
    put_double(tb, 5, h.squares);
    put_double(tb, 4, h.sum);
    put_double(tb, 3, (double)h.n);
    put_double(tb, 2, h.n ? h.max : 0);
    put_double(tb, 1, h.n ? h.min : 0);
    wrap(tb, 5, message_end);
    return end_value(tb, tag, step, wall_time);
}

int report_tb_image(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                    const void *png, size_t size)
{
    static const uint8_t magic[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    static const uint8_t channels[] = {1, 0, 3, 3, 2, 0, 4}; /* by PNG's type of colour */
    const uint8_t *bytes = png;
    if (size < 33 || memcmp(png, magic, sizeof(magic) - 1) || bytes[25] >= sizeof(channels))
        return -EINVAL;
    int r = size > REPORT_TB_IMAGE_MAX ? -EMSGSIZE : begin_value(tb, tag, size);
    if (r < 0)
        return r;
    size_t end = tb->at;
    uint32_t width, height;
    memcpy(&width, bytes + 16, sizeof(width));
    memcpy(&height, bytes + 20, sizeof(height));
    put(tb, png, size);
    wrap(tb, 4, end);
    put_int(tb, 3, channels[bytes[25]]);
    put_int(tb, 2, be32toh(width));
    put_int(tb, 1, be32toh(height));
    wrap(tb, 4, end);
    return end_value(tb, tag, step, wall_time);
}

/* ---- Files ---- */

static int make_folders(const char *folder)
{
    char path[PATH_MAX];
    size_t size = strnlen(folder, sizeof(path));
    if (!size || size == sizeof(path))
        return size ? -ENAMETOOLONG : -ENOENT;
    memcpy(path, folder, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] && path[i] != '/')
            continue;
        char was = path[i];
        path[i] = 0;
        if (mkdir(path, 0777) && errno != EEXIST)
            return -errno;
        path[i] = was;
    }
    return 0;
}

/* Readers go through the files in the order of their names. A new file must not come before those
 * that are there, even when it is made in the same second or the clock was set back. */
static int seconds_of_name(const char *folder, double wall_time, uint64_t *ret_seconds)
{
    uint64_t seconds = (uint64_t)wall_time;
    DIR *files = opendir(folder);
    if (!files)
        return -errno;
    for (struct dirent *file; (file = readdir(files));) {
        if (strncmp(file->d_name, PREFIX, strlen(PREFIX)))
            continue;
        char *end;
        unsigned long long other = strtoull(file->d_name + strlen(PREFIX), &end, 10);
        if (*end == '.' && other >= seconds && other < SECONDS_MAX)
            seconds = other + 1;
    }
    closedir(files);
    *ret_seconds = seconds;
    return 0;
}

static int create_file(const char *folder, double wall_time)
{
    char host[64], path[PATH_MAX];
    uint64_t seconds = 0;
    int r = make_folders(folder), fd = -1;
    if (r == 0)
        r = seconds_of_name(folder, wall_time, &seconds);
    if (r < 0)
        return r;
    if (gethostname(host, sizeof(host)) || !host[0])
        memcpy(host, "host", sizeof("host"));
    host[sizeof(host) - 1] = 0;
    for (char *c = host; *c; c++) {
        if (*c == '/' || *c < '-')
            *c = '_';
    }
    for (uint32_t n = 0; n < NAMES_MAX && fd < 0; n++) {
        int size = snprintf(path, sizeof(path), "%s/" PREFIX "%010llu.%s.%d.%u", folder,
                            (unsigned long long)seconds, host, (int)getpid(), n);
        if (size >= (int)sizeof(path))
            return -ENAMETOOLONG;
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            return -errno;
    }
    return fd < 0 ? -EEXIST : fd;
}

int report_tb_open_at(const char *folder, double wall_time, struct report_tb **ret)
{
    if (!(wall_time >= 0 && wall_time < (double)SECONDS_MAX))
        return -EINVAL;
    struct report_tb *tb = calloc(1, sizeof(*tb));
    if (!tb)
        return -ENOMEM;
    tb->fd = create_file(folder, wall_time);
    int r = tb->fd < 0 ? tb->fd : begin(tb, 0);
    if (r == 0) {
        put_string(tb, 3, "brain.Event:2");
        r = end_event(tb, 0, wall_time);
    }
    if (r < 0) {
        report_tb_close(tb);
        return r;
    }
    *ret = tb;
    return 0;
}

int report_tb_open(const char *folder, struct report_tb **ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return report_tb_open_at(folder, (double)now.tv_sec + (double)now.tv_nsec * 1e-9, ret);
}

int report_tb_flush(struct report_tb *tb)
{
    return fdatasync(tb->fd) ? -errno : 0;
}

int report_tb_close(struct report_tb *tb)
{
    if (!tb)
        return 0;
    int r = tb->fd >= 0 && close(tb->fd) ? -errno : 0;
    free(tb->buffer);
    free(tb);
    return r;
}
