/* The fold's thread: takes the chunks of a snapshot from the loop, writes and syncs them, and then
 * removes the generations before. The loop pays a copy of memory for each chunk, no more. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/store/internal.h"

#define QUEUED_MAX (256 * RTCI_MIB) /* then the loop waits for the disk */
#define TXN_BYTES  (32 * RTCI_MIB)

static struct rtci_fold_chunk *take(struct rtci_fold *fold, bool *ret_abandoned)
{
    pthread_mutex_lock(&fold->lock);
    while (!fold->first && !fold->ended && !fold->abandoned)
        pthread_cond_wait(&fold->cond, &fold->lock);
    struct rtci_fold_chunk *chunk = fold->first;
    if (chunk) {
        fold->first = chunk->next;
        if (!fold->first)
            fold->last = &fold->first;
        fold->queued -= chunk->len;
        pthread_cond_broadcast(&fold->cond);
    }
    *ret_abandoned = fold->abandoned;
    pthread_mutex_unlock(&fold->lock);
    return chunk;
}

static int write_head(struct rtci_fold *fold, struct rtci_file *file)
{
    struct rtci_file_head head = {
        .magic = RTCI_STORE_MAGIC, .kind = RTCI_FILE_TABLES, .gen = fold->gen, .first = 1};
    rtci_state_boot(head.boot);
    return rtci_file_commit(file, 0, &head, sizeof(head));
}

/* All chunks into the file, in transactions of bounded size. The last record is empty: it says
 * that nothing is missing at the end. */
static int write_chunks(struct rtci_fold *fold, struct rtci_file *file)
{
    MDB_txn *txn = NULL;
    uint64_t number = 0;
    size_t bytes = 0;
    int rc = 0;
    bool abandoned = false;
    for (bool end = false; rc == 0 && !end;) {
        struct rtci_fold_chunk *chunk = take(fold, &abandoned);
        end = !chunk;
        if (abandoned)
            rc = ECANCELED;
        if (rc == 0 && !txn)
            rc = mdb_txn_begin(file->env, NULL, 0, &txn);
        if (rc == 0)
            rc = rtci_file_append(file, txn, ++number, chunk ? chunk->data : NULL,
                                  chunk ? chunk->len : 0);
        bytes += chunk ? chunk->len : 0;
        free(chunk);
        if (rc == 0 && (end || bytes > TXN_BYTES)) {
            rc = mdb_txn_commit(txn);
            txn = NULL;
            bytes = 0;
        }
    }
    if (txn)
        mdb_txn_abort(txn);
    return rc;
}

static void remove_older(struct rtci_fold *fold, const char *kind)
{
    struct rtci_gens gens;
    char path[RTCI_STORE_PATH];
    if (rtci_state_list(fold->dir, kind, &gens))
        return; /* they are in nobody's way but the disk's; the next fold removes them */
    for (size_t i = 0; i < gens.count && gens.gens[i] < fold->gen; i++) {
        rtci_state_path(path, fold->dir, kind, gens.gens[i]);
        unlink(path);
    }
    free(gens.gens);
}

static int write_tables(struct rtci_fold *fold)
{
    char path[RTCI_STORE_PATH], tmp[RTCI_STORE_PATH + 8];
    struct rtci_file file = {0};
    rtci_state_path(path, fold->dir, "tables", fold->gen);
    snprintf(tmp, sizeof(tmp), "%.*s.new", (int)strlen(path) - 4, path);
    int rc = rtci_file_open(&file, tmp, fold->map_bytes, RTCI_FILE_WRITE);
    if (rc == 0)
        rc = write_head(fold, &file);
    if (rc == 0)
        rc = write_chunks(fold, &file);
    if (rc == 0)
        rc = mdb_env_sync(file.env, 1);
    rtci_file_close(&file);
    if (rc == 0 && rename(tmp, path) < 0)
        rc = errno;
    if (rc == 0)
        rc = rtci_state_sync_dir(fold->dir, "tables");
    rc = rtci_state_reason(fold->dir, rc);
    if (rc)
        unlink(tmp);
    return rc;
}

/* After a failure the loop may still bring chunks. */
static void discard(struct rtci_fold *fold)
{
    bool abandoned;
    struct rtci_fold_chunk *chunk;
    while ((chunk = take(fold, &abandoned)))
        free(chunk);
}

static void *fold_main(void *arg)
{
    struct rtci_fold *fold = arg;
    rtci_file_close(&fold->old);
    fold->rc = write_tables(fold);
    if (fold->rc == 0) {
        remove_older(fold, "journal");
        remove_older(fold, "tables");
    } else {
        discard(fold);
    }
    atomic_store(&fold->finished, true);
    return NULL;
}

int rtci_fold_start(struct rtci_fold *fold, const char *dir, uint64_t gen, uint64_t map_bytes,
                    struct rtci_file *old)
{
    memset(fold, 0, sizeof(*fold));
    snprintf(fold->dir, sizeof(fold->dir), "%s", dir);
    fold->gen = gen;
    fold->map_bytes = map_bytes;
    fold->old = *old;
    fold->last = &fold->first;
    pthread_mutex_init(&fold->lock, NULL);
    pthread_cond_init(&fold->cond, NULL);
    sigset_t all, before;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&fold->thread, NULL, fold_main, fold);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        rtci_file_close(&fold->old);
    fold->state = rc ? RTCI_FOLD_NONE : RTCI_FOLD_OPEN;
    return rc;
}

int rtci_fold_add(struct rtci_fold *fold, const void *data, size_t len)
{
    struct rtci_fold_chunk *chunk = malloc(sizeof(*chunk) + len);
    if (!chunk)
        return ENOMEM;
    chunk->next = NULL;
    chunk->len = len;
    memcpy(chunk->data, data, len);
    pthread_mutex_lock(&fold->lock);
    while (fold->queued && fold->queued + len > QUEUED_MAX)
        pthread_cond_wait(&fold->cond, &fold->lock);
    *fold->last = chunk;
    fold->last = &chunk->next;
    fold->queued += len;
    pthread_cond_broadcast(&fold->cond);
    pthread_mutex_unlock(&fold->lock);
    return 0;
}

void rtci_fold_finish(struct rtci_fold *fold)
{
    pthread_mutex_lock(&fold->lock);
    fold->ended = true;
    pthread_cond_broadcast(&fold->cond);
    pthread_mutex_unlock(&fold->lock);
    fold->state = RTCI_FOLD_ENDED;
}

void rtci_fold_join(struct rtci_fold *fold, bool abandon)
{
    pthread_mutex_lock(&fold->lock);
    fold->abandoned = abandon;
    pthread_cond_broadcast(&fold->cond);
    pthread_mutex_unlock(&fold->lock);
    pthread_join(fold->thread, NULL);
    while (fold->first) {
        struct rtci_fold_chunk *chunk = fold->first;
        fold->first = chunk->next;
        free(chunk);
    }
    pthread_mutex_destroy(&fold->lock);
    pthread_cond_destroy(&fold->cond);
    fold->state = RTCI_FOLD_DONE;
}
