/* Of tensors_read.c and tensors_write.c. */
#ifndef ACTORS_RUN_TENSORS_INNER_H
#define ACTORS_RUN_TENSORS_INNER_H

#include "actors/run/tensors.h"

#define RUN_SUM_KEY "rtc.crc32c" /* of all arrays, in hexadecimal */

__attribute__((format(printf, 2, 3))) int run_tensors_fail(char *why, const char *fmt, ...);
/* False when it is more than there can be. */
bool run_tensors_size(const struct run_tensor *tensor, uint64_t *ret_bytes);
const char *run_type_name(enum run_type type);

#endif
