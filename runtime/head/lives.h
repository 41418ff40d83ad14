/* Which nodes want to know when another is lost, and telling them: when it is committed, since a head
 * that was started again would have that node alive. */
#ifndef RTCI_HEAD_LIVES_H
#define RTCI_HEAD_LIVES_H

#include <stdint.h>

struct rtci_lives;

struct rtci_lives *rtci_lives_create(void); /* NULL: out of memory */
void rtci_lives_free(struct rtci_lives *lives); /* NULL is fine */
void rtci_lives_watch(struct rtci_lives *lives, uint32_t node, uint32_t watched);
/* That life of the node, and all before, have ended. */
void rtci_lives_end(struct rtci_lives *lives, uint32_t node, uint64_t life);
/* Calls fn for each who watched one that has ended since, and for the head's own node. */
void rtci_lives_tell(struct rtci_lives *lives,
                     void (*fn)(void *arg, uint32_t to, uint32_t about, uint64_t life), void *arg);

#endif
