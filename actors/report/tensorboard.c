/* Event files and the values in them. */
#include "actors/report/tensorboard.h"

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

#include "actors/report/folders.h"
#include "actors/report/record.h"

#define SECONDS_MAX 9999999999ull /* ten digits in the name */
#define NAMES_MAX   1000u         /* tried for a new file */
#define PREFIX      "events.out.tfevents."

/* ---- Values ---- */

int report_tb_scalar(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                     double value)
{
    int r = tb_begin_value(tb, tag, 0);
    float narrow = (float)value;
    uint32_t bits;
    if (r < 0)
        return r;
    memcpy(&bits, &narrow, sizeof(bits));
    tb_put_32(tb, bits);
    tb_put_key(tb, 2, FIXED32);
    return tb_end_value(tb, tag, step, wall_time);
}

int report_tb_text(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                   const char *text)
{
    size_t size = strnlen(text, REPORT_TB_TEXT_MAX + 1), end;
    int r = size > REPORT_TB_TEXT_MAX ? -EMSGSIZE : tb_begin_value(tb, tag, size);
    if (r < 0)
        return r;
    end = tb->at; /* the metadata: plugin "text", class tensor */
    tb_put_int(tb, 4, 2);
    size_t plugin_end = tb->at;
    tb_put_string(tb, 1, "text");
    tb_wrap(tb, 1, plugin_end);
    tb_wrap(tb, 9, end);
    end = tb->at; /* a tensor of one string */
    tb_put_string(tb, 8, text);
    size_t shape_end = tb->at;
    tb_put_int(tb, 1, 1);
    tb_wrap(tb, 2, shape_end);
    tb_wrap(tb, 2, shape_end);
    tb_put_int(tb, 1, 7);
    tb_wrap(tb, 8, end);
    return tb_end_value(tb, tag, step, wall_time);
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
    int r = tb_begin_value(tb, tag, 0);
    if (r < 0)
        return r;
    count(&h, values, n);
    uint32_t bins = !h.n ? 0 : h.max > h.min ? REPORT_TB_BINS : 1; /* equal values need but one */
    size_t message_end = tb->at, end = tb->at;
    for (uint32_t i = bins; i-- > 0;)
        tb_put_raw_double(tb, (double)h.bins[i]);
    tb_wrap(tb, 7, end);
    end = tb->at;
    for (uint32_t i = bins; i-- > 0;) { /* right edges */
        double part = (i + 1.0) / REPORT_TB_BINS;
        tb_put_raw_double(tb, i + 1 == bins ? h.max : h.min * (1 - part) + h.max * part);
    }
    tb_wrap(tb, 6, end);
    tb_put_double(tb, 5, h.squares);
    tb_put_double(tb, 4, h.sum);
    tb_put_double(tb, 3, (double)h.n);
    tb_put_double(tb, 2, h.n ? h.max : 0);
    tb_put_double(tb, 1, h.n ? h.min : 0);
    tb_wrap(tb, 5, message_end);
    return tb_end_value(tb, tag, step, wall_time);
}

int report_tb_image(struct report_tb *tb, const char *tag, int64_t step, double wall_time,
                    const void *png, size_t size)
{
    static const uint8_t magic[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    static const uint8_t channels[] = {1, 0, 3, 3, 2, 0, 4}; /* by PNG's type of colour */
    const uint8_t *bytes = png;
    if (size < 33 || memcmp(png, magic, sizeof(magic) - 1) || bytes[25] >= sizeof(channels))
        return -EINVAL;
    int r = size > REPORT_TB_IMAGE_MAX ? -EMSGSIZE : tb_begin_value(tb, tag, size);
    if (r < 0)
        return r;
    size_t end = tb->at;
    uint32_t width, height;
    memcpy(&width, bytes + 16, sizeof(width));
    memcpy(&height, bytes + 20, sizeof(height));
    tb_put(tb, png, size);
    tb_wrap(tb, 4, end);
    tb_put_int(tb, 3, channels[bytes[25]]);
    tb_put_int(tb, 2, be32toh(width));
    tb_put_int(tb, 1, be32toh(height));
    tb_wrap(tb, 4, end);
    return tb_end_value(tb, tag, step, wall_time);
}

int report_tb_restart(struct report_tb *tb, int64_t step, double wall_time)
{
    int r = tb_begin(tb, 0);
    if (r < 0)
        return r;
    tb_put_int(tb, 1, 1); /* SessionLog.START */
    tb_wrap(tb, 7, tb_data_end(tb));
    return tb_end_event(tb, step, wall_time);
}

/* ---- Files ---- */

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
    int r = report_make_folders(folder), fd = -1;
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
    int r = tb->fd < 0 ? tb->fd : tb_begin(tb, 0);
    if (r == 0) {
        tb_put_string(tb, 3, "brain.Event:2");
        r = tb_end_event(tb, 0, wall_time);
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
