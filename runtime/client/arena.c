/* Large objects: room in the arena is asked of the node, written through our own mapping, sealed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/client/client.h"
#include "runtime/client/withheld.h"

#define CHUNK_BITS 21 /* page tables are filled in runs of 2 MiB */

int rtci_arena_map(struct rtc *rtc, int fd, uint64_t bytes)
{
    struct stat st;
    bool known = fstat(fd, &st) == 0;
    rtc->arena_inode = known ? st.st_ino : 0;
    if (bytes == 0)
        return 0;
    if (!known || (uint64_t)st.st_size < bytes)
        return rtci_error(RTC_E_PROTOCOL, "the daemon's arena is smaller than it says");
    void *rw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (rw == MAP_FAILED)
        return rtci_error(RTC_E_OS, "mapping the object store of %llu MiB: %s",
                          (unsigned long long)(bytes / RTCI_MIB), strerror(errno));
    void *ro = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    uint64_t words = (bytes >> CHUNK_BITS) / 64 + 1;
    rtc->populated = calloc(words, sizeof(uint64_t));
    if (ro == MAP_FAILED || !rtc->populated) {
        munmap(rw, bytes);
        if (ro != MAP_FAILED)
            munmap(ro, bytes);
        free(rtc->populated);
        rtc->populated = NULL;
        return rtci_error(RTC_E_OS, "mapping the object store of %llu MiB: %s",
                          (unsigned long long)(bytes / RTCI_MIB), strerror(errno));
    }
    madvise(rw, bytes, MADV_DONTFORK);
    madvise(ro, bytes, MADV_DONTFORK);
    rtc->arena = rw;
    rtc->arena_ro = ro;
    rtc->arena_bytes = bytes;
    return 0;
}

void rtci_arena_unmap(struct rtc *rtc)
{
    if (rtc->arena) {
        munmap(rtc->arena, rtc->arena_bytes);
        munmap((void *)(uintptr_t)rtc->arena_ro, rtc->arena_bytes);
    }
    free(rtc->populated);
    rtc->populated = NULL;
    rtc->arena = NULL;
    rtc->arena_ro = NULL;
}

/* Fills the page tables of the range in a few system calls instead of a fault per page. Only the
 * first time: pages that are there stay there. */
static void populate(struct rtc *rtc, uint64_t offset, uint64_t size)
{
    uint64_t first = offset >> CHUNK_BITS, last = (offset + size - 1) >> CHUNK_BITS;
    for (uint64_t c = first; c <= last;) {
        uint64_t run = c;
        while (run <= last && !(rtc->populated[run / 64] >> (run % 64) & 1)) {
            rtc->populated[run / 64] |= 1ull << (run % 64);
            run++;
        }
        if (run > c) {
            uint64_t begin = c << CHUNK_BITS, end = run << CHUNK_BITS;
            uint64_t object_end = (offset + size + 4095) & ~4095ull;
            begin = begin < offset ? offset & ~4095ull : begin;
            end = end > object_end ? object_end : end;
            end = end > rtc->arena_bytes ? rtc->arena_bytes : end;
#ifdef MADV_POPULATE_WRITE
            madvise(rtc->arena + begin, end - begin, MADV_POPULATE_WRITE);
#endif
        }
        c = run > c ? run : c + 1;
    }
}

int rtci_arena_alloc(struct rtc *rtc, struct rtci_id id, uint64_t size, uint64_t *ret_offset)
{
    if (size > rtc->arena_bytes)
        return rtci_error(
            RTC_E_STORE_FULL,
            "an object of %llu bytes does not fit the object store of %llu MiB: start the "
            "cluster with a larger store (--store)",
            (unsigned long long)size, (unsigned long long)(rtc->arena_bytes / RTCI_MIB));
    struct rtci_alloc alloc = {
        .rec = {.size = sizeof(alloc), .type = RTCI_R_ALLOC}, .id = id, .size = size};
    struct request request = {
        .kind = REQUEST_GRANT, .id = id, .record = &alloc, .size = sizeof(alloc)};
    RTCI_TRY(rtci_request(rtc, &request, UINT64_MAX));
    if (request.status < 0)
        return rtci_error(
            request.status,
            "an object of %llu bytes does not fit what is free of the object store of %llu "
            "MiB: release some, or start the cluster with a larger store (--store)",
            (unsigned long long)size, (unsigned long long)(rtc->arena_bytes / RTCI_MIB));
    uint64_t offset = request.grant.offset;
    if (request.grant.size < size || offset > rtc->arena_bytes ||
        size > rtc->arena_bytes - offset || offset % 64 != 0)
        return rtci_error(RTC_E_PROTOCOL, "the daemon granted room outside of the object store");
    if (request.grant.cools != rtc->cools)
        memset(rtc->populated, 0, ((rtc->arena_bytes >> CHUNK_BITS) / 64 + 1) * sizeof(uint64_t));
    rtc->cools = request.grant.cools;
    if (size >= (1u << CHUNK_BITS))
        populate(rtc, offset, size);
    *ret_offset = offset;
    return 0;
}

int rtci_arena_seal(struct rtc *rtc, struct rtci_id id, uint64_t offset, uint64_t size,
                    const struct rtci_id *ids, uint32_t n_ids)
{
    size_t bytes = sizeof(struct rtci_put) + n_ids * sizeof(struct rtci_id);
    if (bytes > RTCI_RECORD_MAX)
        return rtci_error(RTC_E_TOO_LARGE,
                          "a value contains %u references; at most %llu are possible", n_ids,
                          (unsigned long long)((RTCI_RECORD_MAX - sizeof(struct rtci_put)) / 16));
    void *at;
    if (RTCI_UNLIKELY(rtci_unsaid(rtc, ids, n_ids))) /* the head pins them */
        RTCI_TRY(rtci_speak(rtc, UINT64_MAX));
    RTCI_TRY(rtci_reserve(rtc, bytes, UINT64_MAX, &at));
    struct rtci_put *put = at;
    *put = (struct rtci_put){.rec = {.size = (uint32_t)bytes, .type = RTCI_R_SEAL},
                             .id = id,
                             .kind = RTCI_KIND_ARENA,
                             .n_refs = n_ids,
                             .size = size,
                             .offset = offset};
    if (n_ids)
        memcpy(put + 1, ids, n_ids * sizeof(*ids));
    rtci_send(rtc);
    return 0;
}

/* Gives room back that will not be sealed. */
static void arena_abort(struct rtc *rtc, struct rtci_id id, uint64_t size)
{
    void *at;
    if (rtci_reserve(rtc, sizeof(struct rtci_alloc), UINT64_MAX, &at) < 0)
        return; /* the daemon is gone, and takes the room back with this process */
    *(struct rtci_alloc *)at = (struct rtci_alloc){
        .rec = {.size = sizeof(struct rtci_alloc), .type = RTCI_R_ABORT}, .id = id, .size = size};
    rtci_send(rtc);
}

int rtci_arena_write(struct rtc *rtc, struct rtci_id id, const struct rtc_value *value,
                     const struct value_plan *plan, uint64_t *ret_offset)
{
    uint64_t offset;
    if (sizeof(struct rtci_put) + plan->n_refs * sizeof(struct rtci_id) > RTCI_RECORD_MAX)
        return rtci_error(RTC_E_TOO_LARGE,
                          "a value contains %u references; at most %llu are possible", plan->n_refs,
                          (unsigned long long)((RTCI_RECORD_MAX - sizeof(struct rtci_put)) / 16));
    RTCI_TRY(rtci_arena_alloc(rtc, id, plan->size, &offset));
    uint8_t *at = rtc->arena + offset;
    /* The room is ours alone until the seal: other threads may use the handle while we copy. */
    bool unlock = plan->size >= RTCI_MIB;
    if (unlock)
        pthread_mutex_unlock(&rtc->lock);
    rtci_value_write(value, plan, at);
    if (unlock)
        pthread_mutex_lock(&rtc->lock);
    const struct rtci_id *ids = (const struct rtci_id *)(at + plan->ids_at);
    int rc = rtci_publish_contained(rtc, ids, plan->n_refs);
    if (rc == 0)
        rc = rtci_arena_seal(rtc, id, offset, plan->size, ids, plan->n_refs);
    if (rc < 0)
        arena_abort(rtc, id, plan->size);
    *ret_offset = offset;
    return rc;
}
