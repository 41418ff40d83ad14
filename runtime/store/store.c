#include "runtime/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/store/internal.h"
#include <rtc/error.h>

void rtci_store_marker(const struct rtci_store *store, char *path)
{
    snprintf(path, RTCI_STORE_PATH, "%s/opening", store->dir);
}

/* Leaves a trace of this attempt, for the next one should this one crash on a damaged file. */
static int set_marker(struct rtci_store *store)
{
    char path[RTCI_STORE_PATH];
    rtci_store_marker(store, path);
    store->careful = store->rebooted || access(path, F_OK) == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

int rtci_store_open(const struct rtci_store_config *config, struct rtci_store **ret_store,
                    char *reterr, size_t reterr_size)
{
    if (strlen(config->dir) >= PATH_MAX || !*config->dir) {
        snprintf(reterr, reterr_size, "the name of the state directory is empty or too long");
        return RTC_E_INVALID;
    }
    struct rtci_store *store = calloc(1, sizeof(*store));
    if (!store) {
        snprintf(reterr, reterr_size, "out of memory");
        return RTC_E_NOMEM;
    }
    snprintf(store->dir, sizeof(store->dir), "%s", config->dir);
    store->sync_each = config->sync_each;
    store->map_bytes = config->map_bytes;
    store->lock = -1;
    int rc = rtci_state_open(store->dir, &store->lock, reterr, reterr_size);
    if (rc == 0)
        rc = rtci_state_epoch(store->dir, &store->epoch, &store->rebooted, reterr, reterr_size);
    if (rc == 0) {
        int err = set_marker(store);
        if (err)
            rc = rtci_state_say(store->dir, "create a file", err, reterr, reterr_size);
    }
    if (rc < 0) {
        rtci_store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

enum rtci_file_mode rtci_store_mode(const struct rtci_store *store)
{
    return store->sync_each ? RTCI_FILE_SYNCED : RTCI_FILE_IN_PLACE;
}

int rtci_store_new_journal(struct rtci_store *store, uint64_t gen, bool cut,
                           struct rtci_file *ret_old)
{
    char path[RTCI_STORE_PATH], tmp[RTCI_STORE_PATH + 8];
    struct rtci_file file = {0};
    struct rtci_file_head head = {.magic = RTCI_STORE_MAGIC,
                                  .kind = RTCI_FILE_JOURNAL,
                                  .gen = gen,
                                  .first = store->next,
                                  .cut = cut};
    rtci_state_boot(head.boot);
    rtci_state_path(path, store->dir, "journal", gen);
    snprintf(tmp, sizeof(tmp), "%.*s.new", (int)strlen(path) - 4, path);
    unlink(tmp);
    int rc = rtci_file_open(&file, tmp, store->map_bytes, rtci_store_mode(store));
    if (rc == 0)
        rc = rtci_file_commit(&file, 0, &head, sizeof(head));
    if (rc == 0 && rename(tmp, path) < 0)
        rc = errno;
    if (rc == 0 && store->sync_each)
        rc = rtci_state_sync_dir(store->dir, "journal");
    if (rc) {
        rc = rtci_state_reason(store->dir, rc);
        rtci_file_close(&file);
        unlink(tmp);
        return rc;
    }
    *ret_old = store->journal;
    store->journal = file;
    store->gen = gen;
    return 0;
}

static int fail(struct rtci_store *store, const char *what, int rc)
{
    return rtci_state_say(store->dir, what, rc, store->error, sizeof(store->error));
}

/* LMDB gives an environment up when it could not even write its meta page. The file is then as
 * after a crash: open it anew, and see which of the two turns is the last one. */
static int reopen(struct rtci_store *store)
{
    char path[RTCI_STORE_PATH];
    uint64_t last;
    rtci_file_close(&store->journal);
    rtci_state_path(path, store->dir, "journal", store->gen);
    int rc = rtci_file_open(&store->journal, path, store->map_bytes, rtci_store_mode(store));
    if (rc == 0)
        rc = rtci_file_last(&store->journal, &last);
    if (rc)
        rtci_file_close(&store->journal);
    else if (last == store->next)
        store->next++;
    return rc;
}

int rtci_store_commit(struct rtci_store *store, const void *data, size_t len)
{
    RTCI_ASSERT(store->replayed);
    uint64_t turn = store->next;
    int rc = store->journal.env ? 0 : reopen(store);
    if (rc == 0)
        rc = rtci_file_commit(&store->journal, store->next, data, len);
    if (RTCI_LIKELY(rc == 0)) {
        store->next++;
    } else {
        int first = rc;
        if (!store->journal.env || rc == MDB_PANIC || rc == EIO)
            rc = reopen(store);
        if (rc || store->next == turn)
            return fail(store, "write the journal", first);
    }
    store->bytes += len;
    return 0;
}

int rtci_store_fold_begin(struct rtci_store *store)
{
    RTCI_ASSERT(store->replayed);
    if (store->fold.state != RTCI_FOLD_NONE) {
        snprintf(store->error, sizeof(store->error), "the last fold of the journal still goes on");
        return RTC_E_BUSY;
    }
    struct rtci_file old;
    int rc = rtci_store_new_journal(store, store->gen + 1, false, &old);
    if (rc)
        return fail(store, "begin a new journal", rc);
    store->fold_instead = store->bytes + store->tables;
    store->bytes = store->tables = 0;
    rc = rtci_fold_start(&store->fold, store->dir, store->gen, store->map_bytes, &old);
    return rc ? fail(store, "start a thread for the files", rc) : 0;
}

int rtci_store_fold_chunk(void *arg, const void *data, size_t len)
{
    struct rtci_store *store = arg;
    if (store->fold.state != RTCI_FOLD_OPEN)
        return RTC_E_INVALID;
    int rc = len ? rtci_fold_add(&store->fold, data, len) : 0;
    store->tables += len;
    return rc ? fail(store, "queue a piece of the tables", rc) : 0;
}

int rtci_store_fold_end(struct rtci_store *store)
{
    if (store->fold.state != RTCI_FOLD_OPEN)
        return RTC_E_INVALID;
    rtci_fold_finish(&store->fold);
    return 0;
}

int rtci_store_poll(struct rtci_store *store)
{
    struct rtci_fold *fold = &store->fold;
    if (fold->state != RTCI_FOLD_ENDED || !atomic_load(&fold->finished))
        return 0;
    rtci_fold_join(fold, false);
    fold->state = RTCI_FOLD_NONE;
    if (fold->rc) {
        store->tables = store->fold_instead; /* it was dropped: all before it stays */
        return fail(store, "write the tables", fold->rc);
    }
    return 1;
}

const char *rtci_store_error(const struct rtci_store *store)
{
    return store->error;
}

uint64_t rtci_store_turns(const struct rtci_store *store)
{
    return store->next ? store->next - 1 : 0;
}

uint64_t rtci_store_journal_bytes(const struct rtci_store *store)
{
    return store->bytes;
}

uint64_t rtci_store_replay_bytes(const struct rtci_store *store)
{
    return store->tables + store->bytes;
}

uint64_t rtci_store_epoch(const struct rtci_store *store)
{
    return store->epoch;
}

void rtci_store_close(struct rtci_store *store)
{
    if (!store)
        return;
    /* A snapshot that is whole is worth waiting for, one that is not is worth nothing. */
    if (store->fold.state == RTCI_FOLD_OPEN || store->fold.state == RTCI_FOLD_ENDED)
        rtci_fold_join(&store->fold, store->fold.state == RTCI_FOLD_OPEN);
    rtci_file_close(&store->journal);
    if (store->lock >= 0)
        close(store->lock);
    free(store);
}
