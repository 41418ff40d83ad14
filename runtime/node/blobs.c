#include "runtime/node/blobs.h"

#include <rtc/error.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/node/calling.h"
#include "runtime/node/peering.h"
#include "runtime/node/programs.h"

/* A pull of an object, until its end. */
struct pull {
    uint64_t number; /* 0: free */
    struct rtci_id id;
};
struct rtci_blobs {
    struct rtci_daemon *daemon;
    struct rtci_transfer *transfer;
    uint8_t *arena; /* mapped when the first object moves */
    struct pull *pulls;
    uint32_t n_pulls, cap_pulls;
    bool more;
};

static int send_frame(void *arg, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size)
{
    struct rtci_blobs *b = arg;
    if (!b->daemon->carry)
        return RTC_E_DISCONNECTED;
    return b->daemon->carry(b->daemon->carrier, node, head, head_size, data, size);
}

static uint8_t *arena_of(struct rtci_blobs *b)
{
    if (!b->arena) {
        void *map = mmap(NULL, b->daemon->arena_bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_NORESERVE, b->daemon->arena_fd, 0);
        b->arena = map == MAP_FAILED ? NULL : map;
    }
    return b->arena;
}

static bool find_blob(void *arg, const struct rtci_blob *blob, const void **ret_data,
                      uint64_t *ret_size)
{
    struct rtci_blobs *b = arg;
    uint64_t offset;
    if (blob->kind == RTCI_BLOB_PROGRAM) {
        *ret_data = rtci_programs_contents(b->daemon->programs, blob->hash, ret_size);
        return *ret_data != NULL;
    }
    if (!rtci_node_core_object(b->daemon->node, blob->id, &offset, ret_size) || !arena_of(b))
        return false;
    *ret_data = b->arena + offset;
    return true;
}

static void pull_done(void *arg, uint64_t number, int status)
{
    struct rtci_blobs *b = arg;
    for (uint32_t i = 0; i < b->n_pulls; i++) {
        if (b->pulls[i].number != number)
            continue;
        struct rtci_id id = b->pulls[i].id;
        b->pulls[i] = b->pulls[--b->n_pulls];
        rtci_node_core_pulled(b->daemon->node, b->daemon->now_ns, id, status, &b->daemon->actions);
        return;
    }
    rtci_programs_fetched(b->daemon->programs, number, status);
}

int rtci_blobs_open(struct rtci_daemon *daemon)
{
    static const struct rtci_transfer_ops ops = {
        .send = send_frame, .find = find_blob, .done = pull_done};
    struct rtci_blobs *b = calloc(1, sizeof(*b));
    daemon->programs = rtci_programs_create(daemon);
    if (!b || !daemon->programs) {
        free(b);
        return RTC_E_NOMEM;
    }
    b->daemon = daemon;
    b->transfer = rtci_transfer_create(&ops, b, rtci_daemon_now());
    daemon->blobs = b;
    return b->transfer ? 0 : RTC_E_NOMEM;
}

uint64_t rtci_blobs_pull(struct rtci_blobs *b, const struct rtci_blob *blob, void *dst,
                         const uint32_t *sources, uint32_t n_sources)
{
    return rtci_transfer_pull(b->transfer, b->daemon->now_ns, blob, dst, sources, n_sources);
}

static void pull_object(struct rtci_blobs *b, const struct rtci_node_action *act)
{
    struct rtci_blob blob = {.kind = RTCI_BLOB_OBJECT, .id = act->id, .size = act->size};
    uint64_t number = 0;
    if (b->n_pulls == b->cap_pulls) {
        b->cap_pulls = b->cap_pulls ? 2 * b->cap_pulls : 16;
        b->pulls = realloc(b->pulls, b->cap_pulls * sizeof(*b->pulls));
        RTCI_ASSERT(b->pulls);
    }
    if (arena_of(b))
        number = rtci_transfer_pull(b->transfer, b->daemon->now_ns, &blob, b->arena + act->offset,
                                    &act->source, 1);
    if (number)
        b->pulls[b->n_pulls++] = (struct pull){number, act->id};
    else
        rtci_node_core_pulled(b->daemon->node, b->daemon->now_ns, act->id, RTC_E_NOMEM,
                              &b->daemon->actions);
}

void rtci_blobs_action(struct rtci_blobs *b, const struct rtci_node_action *act)
{
    if (act->type == RTCI_NA_PULL) {
        pull_object(b, act);
        return;
    }
    for (uint32_t i = 0; i < b->n_pulls; i++) {
        if (!rtci_id_equal(b->pulls[i].id, act->id))
            continue;
        rtci_transfer_stop(b->transfer, b->pulls[i].number);
        b->pulls[i] = b->pulls[--b->n_pulls];
        rtci_node_core_pulled(b->daemon->node, b->daemon->now_ns, act->id, RTC_E_CANCELLED,
                              &b->daemon->actions);
        return;
    } /* else it ended meanwhile, and was told */
}

void rtci_daemon_bulk(struct rtci_daemon *daemon, uint32_t node, const void *data, size_t size)
{
    rtci_transfer_frame(daemon->blobs->transfer, daemon->now_ns, node, data, size);
}

void rtci_daemon_bulk_gone(struct rtci_daemon *daemon, uint32_t node)
{
    rtci_transfer_node_gone(daemon->blobs->transfer, daemon->now_ns, node);
}

void rtci_daemon_bulk_again(struct rtci_daemon *daemon, uint32_t node)
{
    rtci_transfer_retry(daemon->blobs->transfer, daemon->now_ns, node);
}

bool rtci_daemon_cluster_step(struct rtci_daemon *daemon)
{
    struct rtci_blobs *b = daemon->blobs;
    struct rtci_buf *loop = &daemon->actions.loop;
    for (size_t at = 0; at < loop->len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(loop->data + at);
        at += rec->size;
        if (rec->type == RTCI_R_LEAVE)
            daemon->leaving = true;
        else if (rec->type == RTCI_R_LIFE)
            rtci_calling_life(daemon, (const struct rtci_life *)rec);
        else if (rec->type == RTCI_R_PEER)
            rtci_peering_record(daemon->peering, rec);
        else
            rtci_programs_record(daemon->programs, rec);
    }
    rtci_buf_clear(loop);
    rtci_transfer_tick(b->transfer, daemon->now_ns);
    return rtci_programs_step(daemon->programs);
}

uint64_t rtci_daemon_cluster_deadline(const struct rtci_daemon *daemon)
{
    uint64_t a = rtci_transfer_deadline(daemon->blobs->transfer);
    uint64_t b = rtci_programs_deadline(daemon->programs);
    uint64_t c = daemon->calls ? rtci_calls_deadline(daemon->calls) : UINT64_MAX;
    a = a < b ? a : b;
    return a < c ? a : c;
}
