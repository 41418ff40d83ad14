/* The head's durable state: LMDB files in the state directory.
 *
 *   journal/  one record per loop turn; NOSYNC, no locks (one process owns it); through the map
 *             where the file system can promise the room, without system calls then.
 *             What was appended before a kill -9 is there afterwards.
 *   tables/   what was alive at the last fold, synced.
 *
 * A record is {u32 magic+version, u32 length, u64 XXH3 of the body, body}. Key: turn number.
 * A fold writes the state as it is (snapshot chunks of generation g) into a file of tables/ on a
 * background thread, syncs it, and then removes the files of the generations before; turns
 * committed since fold g began go to a journal file of their own. Replay reads the newest complete
 * tables, then the turns after them.
 *
 * Sequence: open, replay (also when new), then commits, folds and polls, from one thread.
 */
#ifndef RTCI_STORE_STORE_H
#define RTCI_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

struct rtci_store;

struct rtci_store_config {
    const char *dir;    /* created when absent, 0700 */
    bool sync_each;     /* durability: disk (fsync every commit) */
    uint64_t map_bytes; /* 0 = 64 GiB of address space, grown on demand */
};

/* Opens (and locks, flock on dir/lock) the state. RTC_E_BUSY: another head runs there (its pid is
 * in reterr); RTC_E_DISK: cannot be written or full. reterr always holds a sentence then. */
int rtci_store_open(const struct rtci_store_config *config, struct rtci_store **ret_store,
                    char *reterr, size_t reterr_size) RTCI_MUST_USE;
/* Calls fn with every chunk of the newest snapshot, then every turn after it, in order; each
 * 8-aligned, valid during the call. When fn returns other than 0, so does replay. A journal that
 * fails its checks is cut at the first bad turn: replay returns 0 with a sentence about it in
 * reterr, which is "" otherwise. RTC_E_CORRUPT: tables that were synced fail their checks, or files
 * are missing, which nothing but a person can decide about; RTC_E_VERSION: written by another
 * version of rtc. */
int rtci_store_replay(struct rtci_store *store, int (*fn)(void *arg, const void *data, size_t len),
                      void *arg, char *reterr, size_t reterr_size) RTCI_MUST_USE;
/* Commits one turn. Blocks for the write (some µs). On failure (disk full) nothing of it is stored
 * and the caller must not let its effects out; it may try again. */
int rtci_store_commit(struct rtci_store *store, const void *data, size_t len) RTCI_MUST_USE;
/* Fold: begin, any number of chunks, end. The chunks are copied, and written by a thread, which
 * after `end` syncs them and drops what was before `begin`. RTC_E_BUSY: the last fold still goes
 * on. The chunks together must hold the state as it was at `begin`, or later if turns may be
 * repeated. */
int rtci_store_fold_begin(struct rtci_store *store) RTCI_MUST_USE;
int rtci_store_fold_chunk(void *store, const void *data, size_t len) RTCI_MUST_USE;
int rtci_store_fold_end(struct rtci_store *store) RTCI_MUST_USE;
/* 1 = a fold became complete; 0 = nothing new; RTC_E_DISK once when a fold failed: nothing is lost,
 * the journal goes on, another fold may be begun later. */
int rtci_store_poll(struct rtci_store *store) RTCI_MUST_USE;
/* The sentence about the last failure of commit, fold_* or poll. */
const char *rtci_store_error(const struct rtci_store *store);
uint64_t rtci_store_turns(const struct rtci_store *store);         /* ever committed */
uint64_t rtci_store_journal_bytes(const struct rtci_store *store); /* since the last fold began */
uint64_t rtci_store_replay_bytes(const struct rtci_store *store);  /* that a restart would read */
/* Counts starts of the head: read and written at open. Always larger than before, also after a
 * power failure (it skips numbers when the machine was booted). */
uint64_t rtci_store_epoch(const struct rtci_store *store);
void rtci_store_close(struct rtci_store *store);

#endif
