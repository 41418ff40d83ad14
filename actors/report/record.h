/* Records of event files, put together from their end; of this folder alone. */
#ifndef ACTORS_REPORT_RECORD_H
#define ACTORS_REPORT_RECORD_H

#include "actors/report/tensorboard.h"

enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; /* wire types */

struct report_tb {
    int fd;
    int error;     /* once a torn record could not be taken back: nothing after it would be read */
    uint64_t size; /* of the whole records in the file */
    uint8_t *buffer;
    size_t capacity, at; /* what is put stands at `at` */
};

/* report_crc32c_more() on a processor without the instruction. */
uint32_t report_crc32c_plain(uint32_t sum, const void *data, size_t size);

/* Room for a record with `payload` bytes of the caller's; with a tag, which is checked. */
int tb_begin(struct report_tb *tb, size_t payload);
int tb_begin_value(struct report_tb *tb, const char *tag, size_t payload);

void tb_put(struct report_tb *tb, const void *data, size_t size);
void tb_put_32(struct report_tb *tb, uint32_t value);
void tb_put_64(struct report_tb *tb, uint64_t value);
void tb_put_raw_double(struct report_tb *tb, double value);
void tb_put_varint(struct report_tb *tb, uint64_t value);
void tb_put_key(struct report_tb *tb, uint32_t field, uint32_t type);
void tb_put_int(struct report_tb *tb, uint32_t field, uint64_t value);
void tb_put_double(struct report_tb *tb, uint32_t field, double value);
void tb_put_string(struct report_tb *tb, uint32_t field, const char *text);
/* All from here up to `end`, a former `at`, becomes one field. */
void tb_wrap(struct report_tb *tb, uint32_t field, size_t end);

/* Where the record ends, for tb_wrap(). */
size_t tb_data_end(const struct report_tb *tb);
int tb_write_record(struct report_tb *tb);
int tb_end_event(struct report_tb *tb, int64_t step, double wall_time);
/* What was put are the fields of a Summary.Value after its tag. */
int tb_end_value(struct report_tb *tb, const char *tag, int64_t step, double wall_time);

#endif
