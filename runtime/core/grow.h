/* What both machines use for their tables. */
#ifndef RTCI_CORE_GROW_H
#define RTCI_CORE_GROW_H

#include <stddef.h>
#include <stdint.h>

/* Grows the array behind the pointer at `array` from *cap elements of `size` bytes so that index `n`
 * exists, new memory zeroed. Out of memory ends the process: the bounds keep the tables far below any
 * memory rtc runs on, and the daemon's keeper starts it again. */
void core_grow(void *array, uint32_t *cap, uint32_t n, size_t size);

#endif
