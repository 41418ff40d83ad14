#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/bounds.h"
#include "runtime/store/internal.h"
#include <rtc/error.h>

#define MAP_BYTES      (64 * RTCI_GIB)
#define MAP_BYTES_LOW  RTCI_GIB        /* where address space is limited */
#define IN_PLACE_BYTES (16 * RTCI_MIB) /* at first: the file is as long as its map */
#define RESERVE_BYTES  RTCI_MIB
#define PAGE           4096u
#define SPARE_PAGES    64u /* more than a turn touches besides its record */

struct record {
    uint32_t magic;
    uint32_t len;
    uint64_t sum; /* of the body, seeded with the record's number */
    uint8_t body[];
};
_Static_assert(sizeof(struct record) == 16, "bodies stay 8-aligned");

/* Pages that are written in place cost no system call, where five of them were a third of a turn.
 * On a full disk they would cost the process its life (SIGBUS): they are reserved before they are
 * touched, and this is done only where the file system keeps such a promise. */
static bool can_reserve(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RESERVE_BYTES) < 0)
        return false;
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
           fs.f_type == TMPFS_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* Room for a turn of so many bytes: 0 or an errno, and then nothing was touched. */
static int reserve(struct rtci_file *file, size_t len)
{
    MDB_envinfo info;
    int fd, rc = mdb_env_info(file->env, &info);
    rc = rc ? rc : mdb_env_get_fd(file->env, &fd);
    if (rc)
        return rc;
    uint64_t need = (info.me_last_pgno + 1 + len / PAGE + SPARE_PAGES) * PAGE;
    if (need <= file->reserved)
        return 0;
    uint64_t want = (need + RESERVE_BYTES - 1) / RESERVE_BYTES * RESERVE_BYTES;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)want) == 0) {
        file->reserved = want;
        return 0;
    }
    if (errno == ENOSPC && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)need) == 0) {
        file->reserved = need;
        return 0;
    }
    return errno;
}

static int open_env(struct rtci_file *file, enum rtci_file_mode mode)
{
    /* No locks: one process owns the directory (flock), and one thread each file. */
    unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOMEMINIT | MDB_NOTLS;
    if (mode != RTCI_FILE_SYNCED)
        flags |= MDB_NOSYNC | MDB_NOMETASYNC;
    if (mode == RTCI_FILE_READ)
        flags |= MDB_RDONLY;
    if (file->in_place)
        flags |= MDB_WRITEMAP;
    int rc = mdb_env_create(&file->env);
    if (rc)
        return rc;
    rc = mdb_env_set_mapsize(file->env, file->map_bytes);
    if (rc == 0)
        rc = mdb_env_open(file->env, file->path, flags, 0600);
    if (rc) {
        mdb_env_close(file->env);
        file->env = NULL;
    }
    return rc;
}

static bool choose_in_place(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool yes = fd >= 0 && can_reserve(fd);
    if (fd >= 0)
        close(fd);
    return yes;
}

int rtci_file_open(struct rtci_file *file, const char *path, uint64_t map_bytes,
                   enum rtci_file_mode mode)
{
    struct stat st;
    size_t len = strlen(path);
    if (len >= sizeof(file->path))
        return ENAMETOOLONG;
    memcpy(file->path, path, len + 1);
    file->reserved = 0;
    file->in_place = mode == RTCI_FILE_IN_PLACE && choose_in_place(path);
    file->map_bytes = map_bytes ? map_bytes : file->in_place ? IN_PLACE_BYTES : MAP_BYTES;
    /* A map smaller than the file would be refused. One in place is as long as its map was. */
    if (stat(path, &st) == 0 && (uint64_t)st.st_size > file->map_bytes)
        file->map_bytes = (uint64_t)st.st_size * (file->in_place ? 1 : 2);
    int rc = rtci_file_mend(path);
    rc = rc ? rc : open_env(file, mode);
    if (rc == ENOMEM && map_bytes == 0) {
        file->map_bytes = MAP_BYTES_LOW;
        rc = open_env(file, mode);
    }
    if (rc)
        return rc;
    MDB_txn *txn;
    rc = mdb_txn_begin(file->env, NULL, mode == RTCI_FILE_READ ? MDB_RDONLY : 0, &txn);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &file->dbi);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    if (rc)
        rtci_file_close(file);
    return rc;
}

void rtci_file_close(struct rtci_file *file)
{
    if (file->env)
        mdb_env_close(file->env);
    file->env = NULL;
}

int rtci_file_append(struct rtci_file *file, MDB_txn *txn, uint64_t number, const void *data,
                     size_t len)
{
    if (len > UINT32_MAX - sizeof(struct record))
        return EFBIG;
    MDB_val key = {sizeof(number), &number};
    MDB_val value = {sizeof(struct record) + len, NULL};
    int rc = mdb_put(txn, file->dbi, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc)
        return rc;
    struct record record = {RTCI_STORE_MAGIC, (uint32_t)len,
                            XXH3_64bits_withSeed(data, len, number)};
    memcpy(value.mv_data, &record, sizeof(record));
    if (len)
        memcpy((uint8_t *)value.mv_data + sizeof(record), data, len);
    return 0;
}

int rtci_file_grow(struct rtci_file *file)
{
    int rc = mdb_env_set_mapsize(file->env, file->map_bytes * 2);
    if (rc == 0)
        file->map_bytes *= 2;
    return rc;
}

int rtci_file_commit(struct rtci_file *file, uint64_t number, const void *data, size_t len)
{
    for (;;) {
        MDB_txn *txn;
        int rc = file->in_place ? reserve(file, len) : 0;
        rc = rc ? rc : mdb_txn_begin(file->env, NULL, 0, &txn);
        if (rc)
            return rc;
        rc = rtci_file_append(file, txn, number, data, len);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
        if (rc != MDB_MAP_FULL)
            return rc;
        rc = rtci_file_grow(file);
        if (rc)
            return rc;
    }
}

/* What is wrong with a record, or NULL. */
static const char *check_record(const MDB_val *key, const MDB_val *value, uint64_t *ret_number,
                                struct record *ret_record)
{
    if (key->mv_size != sizeof(*ret_number))
        return "its key is malformed";
    memcpy(ret_number, key->mv_data, sizeof(*ret_number));
    if (value->mv_size < sizeof(*ret_record))
        return "it is cut short";
    memcpy(ret_record, value->mv_data, sizeof(*ret_record));
    if (ret_record->magic != RTCI_STORE_MAGIC)
        return "it is not a record of this version";
    if (ret_record->len != value->mv_size - sizeof(*ret_record))
        return "its length is wrong";
    if (ret_record->sum != XXH3_64bits_withSeed((uint8_t *)value->mv_data + sizeof(*ret_record),
                                                ret_record->len, *ret_number))
        return "its checksum differs";
    return NULL;
}

int rtci_file_head(struct rtci_file *file, enum rtci_file_kind kind, struct rtci_file_head *ret)
{
    MDB_txn *txn;
    uint64_t number = 0;
    struct record record;
    MDB_val key = {sizeof(number), &number}, value;
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    rc = mdb_get(txn, file->dbi, &key, &value);
    if (rc == MDB_NOTFOUND)
        rc = MDB_CORRUPTED;
    if (rc == 0 && value.mv_size >= sizeof(record)) {
        memcpy(&record, value.mv_data, sizeof(record));
        if (record.magic != RTCI_STORE_MAGIC && record.magic >> 8 == RTCI_STORE_MAGIC >> 8)
            rc = MDB_VERSION_MISMATCH;
        else if (check_record(&key, &value, &number, &record) || record.len != sizeof(*ret))
            rc = MDB_CORRUPTED;
    } else if (rc == 0) {
        rc = MDB_CORRUPTED;
    }
    if (rc == 0) {
        memcpy(ret, (uint8_t *)value.mv_data + sizeof(record), sizeof(*ret));
        if (ret->kind != (uint32_t)kind)
            rc = MDB_CORRUPTED;
        ret->boot[RTCI_BOOT_LEN - 1] = 0;
    }
    mdb_txn_abort(txn);
    return rc;
}

int rtci_file_last(struct rtci_file *file, uint64_t *ret_number)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    rc = mdb_cursor_open(txn, file->dbi, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
        mdb_cursor_close(cursor);
    }
    if (rc == 0 && key.mv_size == sizeof(*ret_number))
        memcpy(ret_number, key.mv_data, sizeof(*ret_number));
    else if (rc == 0 || rc == MDB_NOTFOUND)
        rc = MDB_CORRUPTED; /* at least record 0 is there */
    mdb_txn_abort(txn);
    return rc;
}

/* LMDB aligns values to 2 bytes only; records that are read in place need 8. */
static const void *aligned(struct rtci_file_walk *walk, const void *data, size_t len)
{
    if (((uintptr_t)data & 7) == 0)
        return data;
    if (walk->scratch_size < len) {
        void *scratch = realloc(walk->scratch, len * 2);
        if (!scratch)
            return NULL;
        walk->scratch = scratch;
        walk->scratch_size = len * 2;
    }
    memcpy(walk->scratch, data, len);
    return walk->scratch;
}

/* True to go on. */
static bool visit(struct rtci_file_walk *walk, const MDB_val *key, const MDB_val *value)
{
    uint64_t number = 0;
    struct record record;
    const char *damage = check_record(key, value, &number, &record);
    if (!damage && number >= walk->until)
        return false;
    if (!damage && number != walk->next)
        damage = "it is missing";
    if (damage) {
        walk->damage = damage;
        return false;
    }
    if (walk->fn) {
        const void *body = aligned(walk, (uint8_t *)value->mv_data + sizeof(record), record.len);
        walk->fn_rc = body ? walk->fn(walk->arg, body, record.len) : RTC_E_NOMEM;
        if (walk->fn_rc)
            return false;
    }
    walk->next = number + 1;
    walk->bytes += value->mv_size;
    if (walk->mark)
        walk->mark(walk->arg, walk->next);
    return true;
}

int rtci_file_walk(struct rtci_file *file, struct rtci_file_walk *walk)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    uint64_t from = walk->from;
    MDB_val key = {sizeof(from), &from}, value;
    walk->next = from;
    walk->damage = NULL;
    walk->fn_rc = 0;
    if (walk->from >= walk->until)
        return 0;
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    rc = mdb_cursor_open(txn, file->dbi, &cursor);
    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        /* Stops before it looks past `until`: what lies there may be damaged. */
        while (rc == 0 && visit(walk, &key, &value) && walk->next < walk->until)
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    free(walk->scratch);
    walk->scratch = NULL;
    walk->scratch_size = 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}
