/* References: finding, releasing, retaining, and telling the daemon about it lazily. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"

const void *rtci_slot_bytes(const struct rtc *rtc, const struct slot *slot)
{
    if (slot->where == WHERE_INLINE)
        return slot->u.bytes;
    if (slot->where == WHERE_ALIAS)
        return rtci_slot_bytes(rtc, &slot->u.alias->slot);
    return slot->where == WHERE_ARENA ? (const void *)(rtc->arena_ro + slot->u.offset)
                                      : slot->u.heap;
}

void rtci_slot_contained(struct rtc *rtc, const struct slot *slot, const struct rtci_id **ret_ids,
                         size_t *ret_n)
{
    struct rtc_value value;
    *ret_ids = NULL;
    *ret_n = 0;
    if (slot->state != SLOT_READY || !(slot->flags & SLOT_CONTAINS) || slot->where == WHERE_REMOTE)
        return;
    const uint8_t *bytes = rtci_slot_bytes(rtc, slot);
    if (rtci_value_view(bytes, slot->size, &value) < 0)
        return;
    const rtc_ref *refs;
    if (value.type == RTC_REF) {
        *ret_ids = (const struct rtci_id *)(bytes + slot->size - sizeof(struct rtci_id));
        *ret_n = 1;
    } else if (rtc_value_refs(&value, &refs, ret_n) == 0) {
        *ret_ids = (const struct rtci_id *)refs;
    }
}

static struct slot *own_if_alive(struct rtc *rtc, struct rtci_id id)
{
    if (id.client != rtc->client || id.seq >= rtc->next_seq)
        return NULL;
    struct slot *slot = rtci_slots_find(&rtc->slots, id.seq);
    if (slot && slot->where == WHERE_MULTI)
        slot = id.index < slot->u.multi->n ? &slot->u.multi->slot[id.index] : NULL;
    return slot && slot->state != SLOT_NONE && slot->state != SLOT_GONE ? slot : NULL;
}

void rtci_pin_contained(struct rtc *rtc, const struct slot *slot)
{
    const struct rtci_id *ids;
    size_t n;
    rtci_slot_contained(rtc, slot, &ids, &n);
    for (size_t i = 0; i < n; i++) {
        struct slot *own = own_if_alive(rtc, ids[i]);
        if (own)
            own->pins++;
        else if (ids[i].client == rtc->client && !rtci_borrowed_find(&rtc->borrowed, ids[i]))
            RTCI_IGNORE(rtci_borrowed_add(&rtc->borrowed, ids[i])); /* others have kept it */
    }
}

static void unpin_contained(struct rtc *rtc, const struct slot *slot)
{
    const struct rtci_id *ids;
    size_t n;
    rtci_slot_contained(rtc, slot, &ids, &n);
    for (size_t i = 0; i < n; i++) {
        struct slot *own = own_if_alive(rtc, ids[i]);
        if (own && own->pins > 0)
            rtci_unpin(rtc, own, rtci_ref_of(ids[i]));
        struct borrowed *b = rtci_borrowed_find(&rtc->borrowed, ids[i]);
        if (b && b->holds == 0 && !b->argument && b->slot.pins == 0) {
            rtci_slot_clear(rtc, &b->slot);
            rtci_borrowed_remove(&rtc->borrowed, b);
        }
    }
}

void rtci_slot_clear(struct rtc *rtc, struct slot *slot)
{
    if (slot->state == SLOT_READY && (slot->flags & SLOT_CONTAINS))
        unpin_contained(rtc, slot);
    if (slot->state == SLOT_READY && slot->size > RTCI_SCALAR_SIZE)
        rtci_value_forget();
    if (slot->where == WHERE_HEAP)
        free(slot->u.heap);
    if (slot->where == WHERE_ALIAS)
        rtci_alias_drop(rtc, slot);
    slot->where = WHERE_INLINE;
}

/* ---- Telling the daemon ---- */
void rtci_flush_releases(struct rtc *rtc)
{
    if (RTCI_LIKELY(rtc->n_ranges == 0))
        return;
    uint32_t done = 0;
    for (; done < rtc->n_ranges; done++) {
        struct rtci_range *range = rtci_chan_reserve(rtc->chan, sizeof(*range));
        if (!range)
            break; /* later: nothing waits for a release */
        *range = rtc->ranges[done];
    }
    rtc->n_ranges -= done;
    memmove(rtc->ranges, rtc->ranges + done, rtc->n_ranges * sizeof(rtc->ranges[0]));
    rtc->n_lazy = 0;
    rtci_chan_publish(rtc->chan);
}

static void tell_release(struct rtc *rtc, uint64_t seq, uint32_t index, bool soon)
{
    struct rtci_range *last = rtc->n_ranges ? &rtc->ranges[rtc->n_ranges - 1] : NULL;
    rtc->n_lazy++;
    if (last && last->index == index && last->seq + last->count == seq) {
        last->count++;
    } else if (last && last->index == index && seq + 1 == last->seq) {
        last->seq--;
        last->count++;
    } else {
        while (rtc->n_ranges == RTCI_RELEASE_RANGES) {
            rtci_flush_releases(rtc);
            if (rtc->n_ranges == RTCI_RELEASE_RANGES && rtci_block(rtc, 4096, UINT64_MAX) < 0)
                return; /* the connection is over: the daemon drops everything anyhow */
        }
        rtc->ranges[rtc->n_ranges++] =
            (struct rtci_range){.rec = {.size = sizeof(struct rtci_range), .type = RTCI_R_RELEASE},
                                .seq = seq,
                                .count = 1,
                                .client = rtc->client,
                                .index = index};
    }
    if (soon || rtc->n_lazy >= RTCI_RELEASE_LAZY) {
        rtci_flush_releases(rtc);
        if (soon)
            rtci_chan_ring(rtc->chan); /* room in the arena */
    }
}

int rtci_send_ids(struct rtc *rtc, uint16_t type, const struct rtci_id *ids, uint32_t n,
                  uint32_t arg)
{
    while (n > 0) {
        uint32_t part = n < RTCI_REFS_MAX ? n : RTCI_REFS_MAX;
        size_t size = sizeof(struct rtci_ids) + part * sizeof(*ids);
        void *at;
        RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
        struct rtci_ids *rec = at;
        *rec =
            (struct rtci_ids){.rec = {.size = (uint32_t)size, .type = type}, .n = part, .arg = arg};
        memcpy(rec + 1, ids, part * sizeof(*ids));
        rtci_send(rtc);
        ids += part;
        n -= part;
    }
    return 0;
}

/* ---- Finding ---- */
static struct slot *find_own(struct rtc *rtc, rtc_ref ref, int *ret_rc)
{
    struct slot *slot = NULL;
    if (ref.seq == 0 || ref.seq >= rtc->next_seq) {
        *ret_rc = rtci_error(RTC_E_INVALID, "the reference {%llu,%u,%u} was never given out",
                             (unsigned long long)ref.seq, ref.client, ref.index);
        return NULL;
    }
    slot = rtci_slots_find(&rtc->slots, ref.seq);
    if (slot && slot->where == WHERE_MULTI && slot->state != SLOT_GONE) {
        if (ref.index >= slot->u.multi->n)
            slot = NULL;
        else
            slot = &slot->u.multi->slot[ref.index];
    } else if (slot && ref.index != 0) {
        slot = NULL;
    } else if (!slot || slot->state == SLOT_GONE) {
        slot = NULL;
        *ret_rc = rtci_error(RTC_E_RELEASED, "the reference {%llu,%u,%u} was released before",
                             (unsigned long long)ref.seq, ref.client, ref.index);
        return NULL;
    }
    if (!slot || slot->state == SLOT_NONE) {
        *ret_rc = rtci_error(RTC_E_INVALID, "the task of reference {%llu,%u,%u} has no such return",
                             (unsigned long long)ref.seq, ref.client, ref.index);
        return NULL;
    }
    if (slot->state == SLOT_GONE) {
        *ret_rc = rtci_error(RTC_E_RELEASED, "the reference {%llu,%u,%u} was released before",
                             (unsigned long long)ref.seq, ref.client, ref.index);
        return NULL;
    }
    return slot;
}

struct slot *rtci_find(struct rtc *rtc, rtc_ref ref, bool want, int *ret_rc)
{
    if (RTCI_UNLIKELY(ref.index == RTCI_HANDLE)) {
        ref.index = 0;
        want = false; /* there is nothing to be had but the handle */
    }
    if (RTCI_LIKELY(ref.client == rtc->client && ref.client != 0)) {
        if (RTCI_LIKELY(ref.seq < rtc->next_seq && ref.index == 0)) {
            struct slot *slot = rtci_slots_find(&rtc->slots, ref.seq);
            if (slot && slot->where != WHERE_MULTI && slot->state != SLOT_GONE &&
                slot->state != SLOT_NONE)
                return slot;
        }
        struct slot *slot = find_own(rtc, ref, ret_rc);
        if (slot || *ret_rc != RTC_E_RELEASED ||
            !rtci_borrowed_find(&rtc->borrowed, rtci_id_of(ref)))
            return slot;
        *ret_rc = 0; /* released, and got back from elsewhere: by its name */
    }
    if (ref.client == 0) {
        *ret_rc =
            rtci_error(RTC_E_INVALID, "the reference is \"none\" (all zero): it was not got from "
                                      "a call");
        return NULL;
    }
    if (RTCI_UNLIKELY(ref.client == RTCI_LIGHT_CLIENT)) {
        *ret_rc = rtci_error(RTC_E_INVALID,
                             "the reference {%llu,%u,%u} is the result of a call between two light "
                             "actors: only its caller can use it, with rtc_then(), rtc_get() and "
                             "rtc_release()",
                             (unsigned long long)ref.seq, ref.client, ref.index);
        return NULL;
    }
    struct rtci_id id = rtci_id_of(ref);
    struct borrowed *b = rtci_borrowed_find(&rtc->borrowed, id);
    if (!b && !(b = rtci_borrowed_add(&rtc->borrowed, id))) {
        *ret_rc = rtci_error(RTC_E_NOMEM, "out of memory for a reference");
        return NULL;
    }
    if (want && b->slot.state == SLOT_PENDING && !b->pulled) {
        *ret_rc = rtci_send_ids(rtc, RTCI_R_WANT, &id, 1, 0);
        if (*ret_rc < 0)
            return NULL;
        b = rtci_borrowed_find(&rtc->borrowed, id); /* the lock may have been dropped */
        if (!b) {
            *ret_rc = rtci_error(RTC_E_RELEASED, "another thread released the reference meanwhile");
            return NULL;
        }
        b->pulled = true;
    }
    return &b->slot;
}

/* ---- Releasing ---- */
static void own_gone(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    struct slot *parent = rtci_slots_find(&rtc->slots, ref.seq);
    bool soon = slot->state == SLOT_READY && slot->where == WHERE_ARENA;
    bool at_head = slot->flags & SLOT_AT_HEAD;
    if (RTCI_UNLIKELY(rtc->streams))
        rtci_stream_drop(rtc, ref);
    rtci_slot_clear(rtc, slot);
    slot->state = SLOT_GONE;
    if (parent != slot) {
        struct multi *multi = parent->u.multi;
        if (++multi->n_gone < multi->n) {
            if (soon && at_head) /* small ones wait until all are released: one record for all */
                tell_release(rtc, ref.seq, ref.index, true);
            return;
        }
        free(multi);
        at_head = parent->flags & SLOT_AT_HEAD;
        parent->u.multi = NULL;
        parent->where = WHERE_INLINE;
        parent->state = SLOT_GONE;
    }
    rtci_slots_gone(&rtc->slots, ref.seq);
    if (at_head)
        tell_release(rtc, ref.seq, RTCI_ALL_RETURNS, soon);
}

void rtci_unpin(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    RTCI_ASSERT(slot->pins > 0);
    if (--slot->pins == 0 && (slot->flags & SLOT_RELEASED)) {
        if (slot->flags & SLOT_BORROWED) {
            struct borrowed *b = RTCI_CONTAINER(slot, struct borrowed, slot);
            rtci_slot_clear(rtc, slot);
            rtci_borrowed_remove(&rtc->borrowed, b);
        } else {
            own_gone(rtc, slot, ref);
        }
    }
}

static int release_borrowed(struct rtc *rtc, rtc_ref ref)
{
    ref.index = ref.index == RTCI_HANDLE ? 0 : ref.index;
    struct borrowed *b = rtci_borrowed_find(&rtc->borrowed, rtci_id_of(ref));
    if (!b || b->holds == 0)
        return rtci_error(RTC_E_RELEASED,
                          "the reference {%llu,%u,%u} is not this process's to release: "
                          "it was not retained with rtc_retain(), or released before",
                          (unsigned long long)ref.seq, ref.client, ref.index);
    if (--b->holds > 0)
        return 0;
    struct rtci_id id = b->id;
    uint32_t replies = b->replies;
    b->replies = 0;
    if (b->slot.pins > 0) {
        b->slot.flags |= SLOT_RELEASED;
    } else if (!b->argument) {
        rtci_slot_clear(rtc, &b->slot);
        rtci_borrowed_remove(&rtc->borrowed, b);
    }
    return rtci_send_ids(rtc, RTCI_R_DROP, &id, 1, replies);
}

int rtci_release_locked(struct rtc *rtc, rtc_ref ref)
{
    if (ref.client != rtc->client && ref.client != 0)
        return release_borrowed(rtc, ref);
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (!slot)
        return rc;
    if (slot->flags & SLOT_BORROWED)
        return release_borrowed(rtc, ref);
    if (slot->state == SLOT_WRITING)
        return rtci_error(RTC_E_INVALID,
                          "the object was created and not sealed: rtc_seal() it first");
    if (slot->retains > 0) {
        slot->retains--;
        rtci_unpin(rtc, slot, ref);
        return 0;
    }
    if (slot->flags & SLOT_RELEASED)
        return rtci_error(RTC_E_RELEASED, "the reference {%llu,%u,%u} was released before",
                          (unsigned long long)ref.seq, ref.client, ref.index);
    slot->flags |= SLOT_RELEASED;
    if (RTCI_UNLIKELY(rtc->streams))
        rtci_stream_release(rtc, ref);
    if (slot->pins == 0)
        own_gone(rtc, slot, ref);
    return 0;
}

int rtc_release(struct rtc *rtc, rtc_ref ref)
{
    if (RTCI_UNLIKELY(ref.client == RTCI_LIGHT_CLIENT && rtc && rtc->light))
        return rtc->light->count(rtc, ref, -1);
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_release_locked(rtc, ref);
    rtci_leave(rtc);
    return rc;
}

int rtc_release_many(struct rtc *rtc, const rtc_ref *refs, size_t n)
{
    if (!refs && n)
        return rtci_error(RTC_E_INVALID, "refs is NULL");
    RTCI_TRY(rtci_enter(rtc));
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        bool light = refs[i].client == RTCI_LIGHT_CLIENT && rtc->light;
        int rc = light ? rtc->light->count(rtc, refs[i], -1) : rtci_release_locked(rtc, refs[i]);
        if (rc < 0 && first == 0)
            first = rtci_error_within(rc, "reference %zu of %zu", i, n);
    }
    rtci_leave(rtc);
    return first;
}

int rtci_retain_locked(struct rtc *rtc, rtc_ref ref)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (!slot)
        return rc;
    if (!(slot->flags & SLOT_BORROWED)) {
        if (slot->flags & SLOT_RELEASED) { /* got out of a container that kept it alive */
            slot->flags &= (uint8_t)~SLOT_RELEASED;
        } else {
            slot->retains++;
            slot->pins++;
        }
        return 0;
    }
    struct borrowed *b = RTCI_CONTAINER(slot, struct borrowed, slot);
    b->slot.flags &= (uint8_t)~SLOT_RELEASED;
    if (b->holds++ > 0)
        return 0;
    struct rtci_id id = b->id;
    return rtci_send_ids(rtc, RTCI_R_HOLD, &id, 1, 0);
}

int rtc_retain(struct rtc *rtc, rtc_ref ref)
{
    if (RTCI_UNLIKELY(ref.client == RTCI_LIGHT_CLIENT && rtc && rtc->light))
        return rtc->light->count(rtc, ref, 1);
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_retain_locked(rtc, ref);
    rtci_leave(rtc);
    return rc;
}

void rtci_drop_borrowed(struct rtc *rtc)
{
    if (RTCI_LIKELY(rtc->borrowed.n == 0))
        return;
    for (uint32_t i = 0; i < rtc->borrowed.cap; i++) {
        for (struct borrowed *b = rtc->borrowed.bucket[i], *next; b; b = next) {
            next = b->next;
            b->argument = false;
            if (b->holds > 0 || b->slot.pins > 0)
                continue;
            /* Contained ones may be later in this very chain: clearing must not free them. */
            b->slot.flags &= (uint8_t)~SLOT_CONTAINS;
            rtci_slot_clear(rtc, &b->slot);
            rtci_borrowed_remove(&rtc->borrowed, b);
        }
    }
}
