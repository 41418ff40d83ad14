/* From files to state: the newest tables, then the journals from their generation on. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/store/internal.h"
#include <rtc/error.h>

struct source { /* one journal file */
    uint64_t gen, first;
    uint64_t good; /* no record from here on may be looked at */
    bool readable;
};
struct replay {
    struct rtci_store *store;
    rtci_store_fn fn;
    void *arg;
    struct source *sources;
    size_t count;
    bool have_tables;
    uint64_t base; /* generation of the tables */
    bool cut;
    char *reterr;
    size_t reterr_size;
};

static int say(struct replay *replay, const char *what, int rc)
{
    if (rc == MDB_VERSION_MISMATCH) {
        snprintf(replay->reterr, replay->reterr_size,
                 "the state directory %s was written by another version of rtc; use that version, "
                 "or another state directory",
                 replay->store->dir);
        return RTC_E_VERSION;
    }
    return rtci_state_say(replay->store->dir, what, rc, replay->reterr, replay->reterr_size);
}

static void say_cut(struct replay *replay, uint64_t turn, const char *why)
{
    if (!replay->cut)
        snprintf(replay->reterr, replay->reterr_size,
                 "the journal in %s/journal is damaged at turn %" PRIu64
                 " (%s): that turn and what "
                 "came after it are lost; the head starts from what stood before",
                 replay->store->dir, turn, why);
    replay->cut = true;
}

static int say_corrupt(struct replay *replay, const char *path, const char *why)
{
    snprintf(replay->reterr, replay->reterr_size,
             "the stored state cannot be used: %s: %s; restore the state directory %s from a copy, "
             "or move it away to start with nothing",
             path, why, replay->store->dir);
    return RTC_E_CORRUPT;
}

struct tables_arg {
    struct replay *replay;
    bool ended; /* the empty last record was seen */
};

static int tables_chunk(void *arg, const void *data, size_t len)
{
    struct tables_arg *tables = arg;
    tables->ended = len == 0;
    return len ? tables->replay->fn(tables->replay->arg, data, len) : 0;
}

static int walk_tables(struct replay *replay, struct rtci_file *file, const char *path)
{
    struct rtci_file_head head;
    struct tables_arg arg = {replay, false};
    struct rtci_file_walk walk = {.from = 1, .until = UINT64_MAX, .fn = tables_chunk, .arg = &arg};
    int rc = rtci_file_head(file, RTCI_FILE_TABLES, &head);
    if (rc == 0)
        rc = rtci_file_walk(file, &walk);
    if (rc == MDB_VERSION_MISMATCH)
        return say(replay, "", rc);
    if (rc)
        return say_corrupt(replay, path, mdb_strerror(rc));
    replay->store->tables = walk.bytes;
    if (walk.fn_rc)
        return walk.fn_rc;
    if (walk.damage || !arg.ended)
        return say_corrupt(replay, path, walk.damage ? walk.damage : "its end is missing");
    return 0;
}

static int replay_tables(struct replay *replay)
{
    char path[RTCI_STORE_PATH];
    struct rtci_store *store = replay->store;
    struct rtci_check_result result;
    struct rtci_file file = {0};
    if (!replay->have_tables)
        return 0;
    rtci_state_path(path, store->dir, "tables", replay->base);
    if (store->careful) {
        int rc = rtci_check(path, store->map_bytes, RTCI_FILE_TABLES, store->lock, &result);
        if (rc)
            return say(replay, "check the tables", rc);
        if (result.readable && !result.whole)
            return say_corrupt(replay, path, "it is damaged");
    }
    int rc = rtci_file_open(&file, path, store->map_bytes, RTCI_FILE_READ);
    if (rc == MDB_INVALID || rc == MDB_CORRUPTED)
        return say_corrupt(replay, path, mdb_strerror(rc));
    if (rc)
        return say(replay, "open the tables", rc);
    rc = walk_tables(replay, &file, path);
    rtci_file_close(&file);
    return rc;
}

/* What of a journal can be used. Other failures than damage (memory, permissions) are errors. */
static int survey_one(struct replay *replay, struct source *source, bool *careful)
{
    char path[RTCI_STORE_PATH];
    struct rtci_store *store = replay->store;
    struct rtci_check_result result = {.readable = true, .whole = true};
    struct rtci_file file = {0};
    struct rtci_file_head head = {0};
    int rc = 0;
    rtci_state_path(path, store->dir, "journal", source->gen);
    if (*careful)
        rc = rtci_check(path, store->map_bytes, RTCI_FILE_JOURNAL, store->lock, &result);
    if (rc)
        return say(replay, "check the journal", rc);
    source->good = result.whole ? UINT64_MAX : result.next;
    rc = rtci_file_open(&file, path, store->map_bytes, RTCI_FILE_READ);
    /* What crashed the check is not touched; its failure to open is found here again. */
    if (rc == 0 && result.readable)
        rc = rtci_file_head(&file, RTCI_FILE_JOURNAL, &head);
    rtci_file_close(&file);
    source->readable = rc == 0 && result.readable && head.gen == source->gen;
    if (source->readable)
        source->first = head.first;
    *careful |= head.cut != 0; /* an earlier one is damaged: see to it that it harms no one */
    if (rc && rc != MDB_INVALID && rc != MDB_CORRUPTED && rc != MDB_PAGE_NOTFOUND)
        return say(replay, "open the journal", rc);
    return 0;
}

static int survey(struct replay *replay)
{
    struct rtci_store *store = replay->store;
    struct rtci_gens tables = {0}, journals = {0};
    int rc = rtci_state_list(store->dir, "tables", &tables);
    if (rc == 0)
        rc = rtci_state_list(store->dir, "journal", &journals);
    replay->have_tables = tables.count > 0;
    replay->base = tables.count ? tables.gens[tables.count - 1] : 0;
    free(tables.gens);
    if (rc)
        return say(replay, "read what is there", rc);
    replay->sources = calloc(journals.count + 1, sizeof(*replay->sources));
    if (!replay->sources)
        rc = say(replay, "read what is there", ENOMEM);
    for (size_t i = 0; rc == 0 && i < journals.count; i++) {
        /* Earlier ones are still there when the thread that removes them was cut short. */
        if (journals.gens[i] >= replay->base)
            replay->sources[replay->count++].gen = journals.gens[i];
    }
    bool careful = store->careful;
    for (size_t i = replay->count; rc == 0 && i > 0; i--)
        rc = survey_one(replay, &replay->sources[i - 1], &careful);
    free(journals.gens);
    if (rc)
        return rc;
    if (replay->count ? replay->sources[0].gen != replay->base : replay->have_tables) {
        char path[RTCI_STORE_PATH];
        rtci_state_path(path, store->dir, "journal", replay->base);
        return say_corrupt(replay, path, "this file is missing");
    }
    return 0;
}

/* One journal, from store->next up to `until`. */
static int replay_journal(struct replay *replay, const struct source *source, uint64_t until)
{
    char path[RTCI_STORE_PATH];
    struct rtci_store *store = replay->store;
    struct rtci_file file = {0};
    struct rtci_file_walk walk = {
        .from = store->next,
        .until = until < source->good ? until : source->good,
        .fn = replay->fn,
        .arg = replay->arg,
    };
    rtci_state_path(path, store->dir, "journal", source->gen);
    int rc = rtci_file_open(&file, path, store->map_bytes, RTCI_FILE_READ);
    if (rc)
        return say(replay, "open the journal", rc);
    rc = rtci_file_walk(&file, &walk);
    rtci_file_close(&file);
    store->next = walk.next;
    store->bytes += walk.bytes;
    if (walk.fn_rc)
        return walk.fn_rc;
    if (rc)
        say_cut(replay, walk.next, mdb_strerror(rc));
    else if (walk.damage)
        say_cut(replay, walk.next, walk.damage);
    else if (source->good != UINT64_MAX && walk.next >= source->good && until > source->good)
        say_cut(replay, walk.next, "the file cannot be read there");
    else if (until != UINT64_MAX && walk.next < until)
        say_cut(replay, walk.next, "it is missing");
    return 0;
}

static int replay_journals(struct replay *replay)
{
    struct rtci_store *store = replay->store;
    store->next = 1;
    for (size_t i = 0; i < replay->count && !replay->cut; i++) {
        const struct source *source = &replay->sources[i];
        uint64_t until = UINT64_MAX;
        for (size_t k = i + 1; k < replay->count; k++) {
            const struct source *later = &replay->sources[k];
            if (later->readable && later->first < until)
                until = later->first;
        }
        if (!source->readable) {
            /* Harmless when the next one begins just where the one before ended. */
            if (i == 0 && until != UINT64_MAX)
                store->next = until; /* nothing of it counts, as was decided at an earlier start */
            if (until != store->next)
                say_cut(replay, store->next, "its file cannot be read");
            continue;
        }
        if (source->first >= until)
            continue; /* cut off by a later one */
        if (i == 0)
            store->next = source->first;
        if (source->first != store->next) {
            say_cut(replay, store->next, "it is missing");
            break;
        }
        int rc = replay_journal(replay, source, until);
        if (rc)
            return rc;
    }
    return 0;
}

static int open_for_writing(struct replay *replay)
{
    struct rtci_store *store = replay->store;
    char path[RTCI_STORE_PATH];
    int rc;
    store->gen = replay->count ? replay->sources[replay->count - 1].gen : replay->base;
    /* A file of an earlier boot reads well, but what LMDB would reuse in it may be torn. */
    if (replay->count == 0 || replay->cut || store->rebooted) {
        struct rtci_file none;
        rc = rtci_store_new_journal(store, replay->count ? store->gen + 1 : store->gen, replay->cut,
                                    &none);
    } else {
        rtci_state_path(path, store->dir, "journal", store->gen);
        rc = rtci_file_open(&store->journal, path, store->map_bytes, rtci_store_mode(store));
    }
    return rc ? say(replay, "write the journal", rc) : 0;
}

int rtci_store_replay(struct rtci_store *store, rtci_store_fn fn, void *arg, char *reterr,
                      size_t reterr_size)
{
    char path[RTCI_STORE_PATH];
    struct replay replay = {
        .store = store, .fn = fn, .arg = arg, .reterr = reterr, .reterr_size = reterr_size};
    RTCI_ASSERT(!store->replayed && reterr_size > 0);
    reterr[0] = 0;
    int rc = survey(&replay);
    if (rc == 0)
        rc = replay_tables(&replay);
    if (rc == 0)
        rc = replay_journals(&replay);
    if (rc == 0)
        rc = open_for_writing(&replay);
    free(replay.sources);
    /* Whatever came out, nothing crashed. */
    rtci_store_marker(store, path);
    unlink(path);
    store->replayed = rc == 0;
    return rc;
}
