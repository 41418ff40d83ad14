/* Keeps a folder of files small: those that were not used for longest go when all together are too
 * much. */
#ifndef RTCI_NODE_PRUNE_H
#define RTCI_NODE_PRUNE_H

#include <stdint.h>

void rtci_prune(const char *dir, uint64_t most); /* bytes */

#endif
