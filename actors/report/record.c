/* A record is built from its end: the size of a message is known before its length is put in front
 * of it, so nothing is measured twice, and the record is one piece when it is written. Fields are
 * therefore put in descending order. */
#include "actors/report/record.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/report/text.h"

#define AROUND   1024u /* of a record: frame, keys, lengths, numbers, bins */
#define CRC_SIZE 4u

/* ---- Numbers and messages, from behind ---- */

#ifdef __x86_64__
/* By the instruction: checkpoints are large. */
__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t c, const uint8_t *at,
                                                           size_t size)
{
    uint64_t wide = c, eight;
    for (; size >= sizeof(eight); at += sizeof(eight), size -= sizeof(eight)) {
        memcpy(&eight, at, sizeof(eight));
        wide = __builtin_ia32_crc32di(wide, eight);
    }
    for (c = (uint32_t)wide; size; size--)
        c = __builtin_ia32_crc32qi(c, *at++);
    return c;
}
#endif

static uint32_t crc_plain(uint32_t c, const uint8_t *bytes, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    for (size_t i = 0; i < size; i++) {
        c ^= bytes[i];
        c = table[c & 15] ^ (c >> 4);
        c = table[c & 15] ^ (c >> 4);
    }
    return c;
}

uint32_t report_crc32c_plain(uint32_t sum, const void *data, size_t size)
{
    return ~crc_plain(~sum, data, size);
}

uint32_t report_crc32c_more(uint32_t sum, const void *data, size_t size)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_fast(~sum, data, size);
#endif
    return report_crc32c_plain(sum, data, size);
}

uint32_t report_crc32c(const void *data, size_t size)
{
    return report_crc32c_more(0, data, size);
}

/* Sums of sums are weak; the format wants them masked. */
static uint32_t masked_crc(const void *data, size_t size)
{
    uint32_t c = report_crc32c(data, size);
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

void tb_put(struct report_tb *tb, const void *data, size_t size)
{
    assert(size <= tb->at);
    tb->at -= size;
    memcpy(tb->buffer + tb->at, data, size);
}

void tb_put_32(struct report_tb *tb, uint32_t value)
{
    value = htole32(value);
    tb_put(tb, &value, sizeof(value));
}

void tb_put_64(struct report_tb *tb, uint64_t value)
{
    value = htole64(value);
    tb_put(tb, &value, sizeof(value));
}

void tb_put_raw_double(struct report_tb *tb, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    tb_put_64(tb, bits);
}

void tb_put_varint(struct report_tb *tb, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    tb_put(tb, bytes, n);
}

void tb_put_key(struct report_tb *tb, uint32_t field, uint32_t type)
{
    tb_put_varint(tb, field << 3 | type);
}

void tb_put_int(struct report_tb *tb, uint32_t field, uint64_t value)
{
    tb_put_varint(tb, value);
    tb_put_key(tb, field, VARINT);
}

void tb_put_double(struct report_tb *tb, uint32_t field, double value)
{
    tb_put_raw_double(tb, value);
    tb_put_key(tb, field, FIXED64);
}

/* All from here up to `end` becomes one field. */
void tb_wrap(struct report_tb *tb, uint32_t field, size_t end)
{
    tb_put_varint(tb, end - tb->at);
    tb_put_key(tb, field, BYTES);
}

/* Readers give up at a string that is not UTF-8, so none is written. */
void tb_put_string(struct report_tb *tb, uint32_t field, const char *text)
{
    size_t end = tb->at, size = strlen(text);
    tb_put(tb, text, size);
    report_text_clean((char *)tb->buffer + tb->at, size);
    tb_wrap(tb, field, end);
}

/* ---- Records ---- */

size_t tb_data_end(const struct report_tb *tb)
{
    return tb->capacity - CRC_SIZE;
}

int tb_begin(struct report_tb *tb, size_t payload)
{
    if (payload + AROUND > tb->capacity) {
        uint8_t *buffer = malloc(payload + AROUND);
        if (!buffer)
            return -ENOMEM;
        free(tb->buffer);
        tb->buffer = buffer;
        tb->capacity = payload + AROUND;
    }
    tb->at = tb_data_end(tb);
    return tb->error;
}

int tb_begin_value(struct report_tb *tb, const char *tag, size_t payload)
{
    size_t size = strnlen(tag, REPORT_TB_TAG_MAX + 1);
    if (!size)
        return -EINVAL;
    return size > REPORT_TB_TAG_MAX ? -EMSGSIZE : tb_begin(tb, size + payload);
}

/* Length, its sum, the data, their sum. */
int tb_write_record(struct report_tb *tb)
{
    size_t size = tb_data_end(tb) - tb->at;
    uint64_t length = htole64(size);
    uint32_t sum = htole32(masked_crc(tb->buffer + tb->at, size));
    memcpy(tb->buffer + tb_data_end(tb), &sum, sizeof(sum));
    tb_put_32(tb, masked_crc(&length, sizeof(length)));
    tb_put_64(tb, size);
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

int tb_end_event(struct report_tb *tb, int64_t step, double wall_time)
{
    if (step)
        tb_put_int(tb, 2, (uint64_t)step);
    tb_put_double(tb, 1, wall_time);
    return tb_write_record(tb);
}

/* What was put are the fields of a Summary.Value after its tag. */
int tb_end_value(struct report_tb *tb, const char *tag, int64_t step, double wall_time)
{
    tb_put_string(tb, 1, tag);
    tb_wrap(tb, 1, tb_data_end(tb));
    tb_wrap(tb, 5, tb_data_end(tb));
    return tb_end_event(tb, step, wall_time);
}
