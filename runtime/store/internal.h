/* The store's own parts. On disk:
 *
 *   lock                  flock of the head, holding its pid
 *   epoch                 starts of the head, and the boot of the machine that wrote it
 *   opening               exists from open to the end of replay: found at open, the last one died
 *   journal/GEN.mdb       the turns from fold GEN on (GEN 0: from the beginning)
 *   tables/GEN.mdb        the state as it was when fold GEN began
 *
 * Each generation has files of its own. So a journal is only ever appended to: what LMDB is slow
 * at (searching a long free list for room, deleting much at once) never happens, and dropping a
 * generation is unlink(2) on the fold's thread. Both kinds are made under another name and renamed
 * when whole: a GEN.mdb is complete.
 *
 * A journal names its first turn. If a later one begins with turn n, then what earlier ones have
 * from n on does not count: that is how a damaged end is cut off without writing to a damaged file.
 */
#ifndef RTCI_STORE_INTERNAL_H
#define RTCI_STORE_INTERNAL_H

#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "runtime/store/store.h"

#define RTCI_STORE_PATH  (PATH_MAX + 64)
#define RTCI_STORE_MAGIC 0x4a435401u /* "TCJ", version 1 */
#define RTCI_BOOT_LEN    40

typedef int (*rtci_store_fn)(void *arg, const void *data, size_t len);

/* lmdb.c: one file as one LMDB environment with one table of numbered, checksummed records --- */

struct rtci_file {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t map_bytes;
    uint64_t reserved; /* in place: so much of it the file system has promised */
    bool in_place;     /* its pages are written through the map */
    char path[RTCI_STORE_PATH];
};
enum rtci_file_mode {
    RTCI_FILE_READ,
    RTCI_FILE_WRITE,    /* what was committed survives the process */
    RTCI_FILE_SYNCED,   /* … and the machine */
    RTCI_FILE_IN_PLACE, /* as WRITE, for many small commits: without system calls where it can be */
};
struct rtci_file_head { /* record 0 */
    uint32_t magic;
    uint32_t kind; /* enum rtci_file_kind */
    uint64_t gen;
    uint64_t first; /* journal: number of its first turn */
    uint64_t cut;   /* journal: 1 = made because an earlier one is damaged */
    char boot[RTCI_BOOT_LEN];
};
enum rtci_file_kind { RTCI_FILE_JOURNAL = 1, RTCI_FILE_TABLES };
struct rtci_file_walk {
    uint64_t from, until; /* record numbers: from ≤ n < until */
    rtci_store_fn fn;     /* NULL = only check */
    void *arg;
    int fn_rc;      /* what fn returned when it stopped the walk */
    uint64_t next;  /* after the last good record */
    uint64_t bytes; /* of good records */
    void *scratch;
    size_t scratch_size;
    const char *damage;                     /* NULL, or what is wrong with record `next` */
    void (*mark)(void *arg, uint64_t next); /* progress, may be NULL */
};

/* All return 0, an errno or an MDB_* code. */
/* mend.c: before a file is opened. */
int rtci_file_mend(const char *path);
int rtci_file_open(struct rtci_file *file, const char *path, uint64_t map_bytes,
                   enum rtci_file_mode mode);
void rtci_file_close(struct rtci_file *file);
int rtci_file_append(struct rtci_file *file, MDB_txn *txn, uint64_t number, const void *data,
                     size_t len);
int rtci_file_commit(struct rtci_file *file, uint64_t number, const void *data, size_t len);
int rtci_file_grow(struct rtci_file *file);
/* Reads record 0. MDB_CORRUPTED: damaged; MDB_VERSION_MISMATCH: of another version of rtc. */
int rtci_file_head(struct rtci_file *file, enum rtci_file_kind kind, struct rtci_file_head *ret);
int rtci_file_last(struct rtci_file *file, uint64_t *ret_number);
int rtci_file_walk(struct rtci_file *file, struct rtci_file_walk *walk);

/* state.c: the directory ----------------------------------------------------------------- */

struct rtci_gens {
    uint64_t *gens; /* ascending */
    size_t count;
};
int rtci_state_open(const char *dir, int *ret_lock, char *reterr, size_t reterr_size);
int rtci_state_epoch(const char *dir, uint64_t *ret_epoch, bool *ret_rebooted, char *reterr,
                     size_t reterr_size);
/* Removes unfinished files on the way. 0 or -errno. */
int rtci_state_list(const char *dir, const char *kind, struct rtci_gens *ret_gens);
void rtci_state_path(char *path, const char *dir, const char *kind, uint64_t gen);
int rtci_state_sync_dir(const char *dir, const char *kind);
void rtci_state_boot(char *boot); /* of RTCI_BOOT_LEN */
/* LMDB calls a short write EIO; on a full disk, which the caller must not have cleaned up yet, it
 * is ENOSPC. Everything else stays. */
int rtci_state_reason(const char *dir, int rc);
/* Writes the sentence for a failure `rc` (errno or MDB_*) while doing `what`; returns RTC_E_*. */
int rtci_state_say(const char *dir, const char *what, int rc, char *text, size_t size);

/* check.c --------------------------------------------------------------------------------- */

struct rtci_check_result {
    bool readable; /* the file could be opened and its head read */
    bool whole;    /* it was read to its end */
    uint64_t next; /* number after the last good record */
};
/* Reads a file that may be damaged in a process of its own: LMDB trusts its pages and may crash.
 * Returns 0 or errno of fork. */
int rtci_check(const char *path, uint64_t map_bytes, enum rtci_file_kind kind, int lock,
               struct rtci_check_result *ret_result);

/* fold.c ---------------------------------------------------------------------------------- */

enum rtci_fold_state { RTCI_FOLD_NONE, RTCI_FOLD_OPEN, RTCI_FOLD_ENDED, RTCI_FOLD_DONE };
struct rtci_fold_chunk {
    struct rtci_fold_chunk *next;
    size_t len;
    uint8_t data[];
};
struct rtci_fold {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    /* loop thread only */
    enum rtci_fold_state state;
    char dir[PATH_MAX];
    uint64_t gen, map_bytes;
    struct rtci_file old; /* the journal before; closing a large map takes milliseconds */
    /* under lock */
    struct rtci_fold_chunk *first, **last;
    size_t queued;
    bool ended, abandoned;
    /* written by the thread before `finished`, read after it */
    int rc;
    atomic_bool finished;
};
/* The thread closes `old`, also when it cannot be started. */
int rtci_fold_start(struct rtci_fold *fold, const char *dir, uint64_t gen, uint64_t map_bytes,
                    struct rtci_file *old);
int rtci_fold_add(struct rtci_fold *fold, const void *data, size_t len);
void rtci_fold_finish(struct rtci_fold *fold);
void rtci_fold_join(struct rtci_fold *fold, bool abandon);

/* store.c --------------------------------------------------------------------------------- */

struct rtci_store {
    char dir[PATH_MAX];
    int lock;
    bool sync_each;
    bool rebooted; /* since the last start: what was not synced may be torn */
    bool careful;  /* rebooted, or the last head died while it replayed: LMDB may crash */
    bool replayed;
    uint64_t map_bytes;
    uint64_t epoch;
    struct rtci_file journal; /* open for writing once replayed */
    uint64_t gen;             /* of it */
    uint64_t next;            /* turn */
    uint64_t bytes;        /* of turns since the newest fold began */
    uint64_t tables;       /* of that fold's chunks */
    uint64_t fold_instead; /* what was to be read at a start before it began */
    struct rtci_fold fold;
    char error[512];
};
/* Continues in a new file, from turn store->next on. 0, errno or MDB_*; the old one stays then. */
int rtci_store_new_journal(struct rtci_store *store, uint64_t gen, bool cut,
                           struct rtci_file *ret_old);
enum rtci_file_mode rtci_store_mode(const struct rtci_store *store);
void rtci_store_marker(const struct rtci_store *store, char *path);

#endif
