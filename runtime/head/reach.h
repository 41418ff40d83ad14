/* Can other hosts reach a node at the address it told? The head tries: a TCP connection, no more.
 */
#ifndef RTCI_HEAD_REACH_H
#define RTCI_HEAD_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

struct rtci_reach;

struct rtci_reach *rtci_reach_create(void); /* NULL: out of memory */
void rtci_reach_free(struct rtci_reach *reach);
/* Begins to try "host:port"; what was begun for that node before is given up. */
void rtci_reach_begin(struct rtci_reach *reach, uint32_t node, const char *address);
/* True: one was found out. Called until it is false, at the latest at the deadline. */
bool rtci_reach_take(struct rtci_reach *reach, uint64_t now_ns, uint32_t *ret_node, bool *ret_yes);
uint64_t rtci_reach_deadline(const struct rtci_reach *reach, uint64_t now_ns);

#endif
