/* The head's durable state: two LMDB environments in the state directory.
 *
 *   journal/  NOSYNC, no WRITEMAP, no locks (one process owns it): one record per loop turn. What was
 *             appended before a kill -9 is there afterwards.
 *   tables/   what was alive at the last fold, synced.
 *
 * A record is {u32 magic+version, u32 length, u64 XXH3 of the body, body}. Key: turn number.
 * A fold writes the state as it is (snapshot chunks of generation g) into tables/, syncs it on a
 * background thread, then drops the journal before it. Opening replays the newest complete
 * generation, then the turns after it.
 */
#ifndef RTCI_STORE_STORE_H
#define RTCI_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

struct rtci_store;

struct rtci_store_config {
    const char *dir;      /* created when absent, 0700 */
    bool sync_each;       /* durability: disk (fsync every commit) */
    uint64_t map_bytes;   /* 0 = 64 GiB of address space, grown on demand */
};

/* Opens (and locks, flock on dir/lock) the state. RTC_E_BUSY: another head runs there (its pid is in
 * reterr); RTC_E_DISK: cannot be written or full; RTC_E_CORRUPT never: a journal that fails its
 * checks is cut at the first bad turn and said so in reterr with return value 0. */
int rtci_store_open(const struct rtci_store_config *config, struct rtci_store **ret_store,
                    char *reterr, size_t reterr_size) RTCI_MUST_USE;
/* Calls fn with every chunk of the newest snapshot, then every turn after it, in order. */
int rtci_store_replay(struct rtci_store *store,
                      int (*fn)(void *arg, const void *data, size_t len), void *arg, char *reterr,
                      size_t reterr_size) RTCI_MUST_USE;
/* Commits one turn. Blocks for the write (some µs). On failure (disk full) nothing of it is stored
 * and the caller must not let its effects out; it may try again. */
int rtci_store_commit(struct rtci_store *store, const void *data, size_t len) RTCI_MUST_USE;
/* Fold: begin, any number of chunks, end. `end` commits the chunks and starts the sync on a thread;
 * the journal before `begin` is dropped by a later rtci_store_poll once the sync is done. */
int rtci_store_fold_begin(struct rtci_store *store) RTCI_MUST_USE;
int rtci_store_fold_chunk(void *store, const void *data, size_t len) RTCI_MUST_USE;
int rtci_store_fold_end(struct rtci_store *store) RTCI_MUST_USE;
int rtci_store_poll(struct rtci_store *store) RTCI_MUST_USE; /* 1 = a fold became complete */
uint64_t rtci_store_turns(const struct rtci_store *store);         /* ever committed */
uint64_t rtci_store_journal_bytes(const struct rtci_store *store); /* since the last fold began */
/* Counts starts of the head: read and written durably at open. */
uint64_t rtci_store_epoch(const struct rtci_store *store);
void rtci_store_close(struct rtci_store *store);

#endif
