/* Outcomes of tasks and objects coming in: copied out of the ring into their slots. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"

/* Copies bytes into the slot; false when memory is out. */
static bool keep_bytes(struct slot *slot, const void *data, uint64_t size)
{
    void *at = slot->u.bytes;
    slot->where = WHERE_INLINE;
    if (size > SLOT_INLINE_BYTES) {
        at = malloc(size);
        if (!at)
            return false;
        slot->u.heap = at;
        slot->where = WHERE_HEAP;
    }
    slot->size = size;
    memcpy(at, data, size);
    return true;
}

/* A failure made up here: there was no memory to keep the real outcome, and the like. */
static void fail_slot(struct slot *slot, int code, const char *text)
{
    slot->state = SLOT_FAILED;
    struct rtci_fail *fail = calloc(1, sizeof(*fail) + strlen(text));
    if (!fail) {
        slot->where = WHERE_SHARED;
        slot->size = 0;
        return;
    }
    fail->code = code;
    fail->exit_status = -1;
    fail->text_len = (uint16_t)strlen(text);
    memcpy(fail + 1, text, fail->text_len);
    slot->where = WHERE_HEAP;
    slot->u.heap = fail;
    slot->size = sizeof(*fail) + fail->text_len;
}

void rtci_slot_set(struct rtc *rtc, struct slot *slot, const struct rtci_done *done,
                   const struct rtci_resolved *row, rtc_ref ref)
{
    const char *rec = (const char *)done;
    if (rtci_slot_here(slot) || slot->state == SLOT_GONE ||
        (rtci_slot_done(slot) && row->kind == RTCI_KIND_REMOTE))
        return; /* told twice, after a restart of the daemon */
    if (row->kind == RTCI_KIND_ERROR) {
        if (keep_bytes(slot, rec + row->offset, row->size)) {
            slot->state = SLOT_FAILED;
        } else {
            fail_slot(slot, RTC_E_NOMEM, "out of memory for the failure of the task");
        }
    } else if (row->kind == RTCI_KIND_ARENA && row->size <= rtc->arena_bytes &&
               row->offset <= rtc->arena_bytes - row->size) {
        slot->where = WHERE_ARENA;
        slot->u.offset = row->offset;
        slot->size = row->size;
        slot->state = SLOT_READY;
    } else if (row->kind == RTCI_KIND_REMOTE) {
        slot->where = WHERE_REMOTE;
        slot->u.offset = 0;
        slot->size = row->size;
        slot->state = SLOT_READY;
    } else if (row->kind == RTCI_KIND_INLINE) {
        uint64_t ids = (uint64_t)row->n_refs * sizeof(struct rtci_id);
        if (keep_bytes(slot, rec + row->offset + ids, row->size))
            slot->state = SLOT_READY;
        else
            fail_slot(slot, RTC_E_NOMEM, "out of memory for the result of the task");
    } else {
        fail_slot(slot, RTC_E_PROTOCOL, "the daemon announced a result that is not there");
    }
    if (slot->state == SLOT_READY && row->n_refs && slot->where != WHERE_REMOTE) {
        slot->flags |= SLOT_CONTAINS;
        rtci_pin_contained(rtc, slot);
    }
    if (slot->flags & SLOT_THEN)
        rtci_on_done_slot(rtc, ref);
    if (slot->flags & SLOT_BORROWED && rtci_slot_here(slot)) {
        struct borrowed *b = RTCI_CONTAINER(slot, struct borrowed, slot);
        if (b->alias)
            rtci_alias_done(rtc, b);
    }
}

static void set_multi(struct rtc *rtc, struct slot *parent, const struct rtci_done *done,
                      const struct rtci_resolved *rows)
{
    struct multi *multi = parent->u.multi;
    if (parent->state != SLOT_PENDING && parent->state != SLOT_READY)
        return;
    parent->state = SLOT_READY;
    for (uint32_t i = 0; i < multi->n; i++) {
        const struct rtci_resolved *row = done->status != 0 ? rows : &rows[i];
        if (done->status == 0 && i >= done->n_returns)
            break;
        rtci_slot_set(rtc, &multi->slot[i], done, row, (rtc_ref){done->seq, done->client, i});
    }
}

void rtci_on_result(struct rtc *rtc, const struct rtci_done *done)
{
    const struct rtci_resolved *rows = rtci_done_returns(done);
    if (done->n_returns == 0)
        return;
    if (done->client == rtc->client) {
        struct slot *slot =
            done->seq < rtc->next_seq ? rtci_slots_find(&rtc->slots, done->seq) : NULL;
        bool alive = slot && slot->state != SLOT_NONE && slot->state != SLOT_GONE;
        if (alive && slot->where == WHERE_MULTI) {
            set_multi(rtc, slot, done, rows);
        } else if (alive) {
            rtci_slots_done(&rtc->slots, done->seq);
            rtci_slot_set(rtc, slot, done, rows, (rtc_ref){done->seq, done->client, 0});
        }
        if (alive)
            return;
    } /* released, unless it was got back by its name: then it is as others' */
    if (rtc->borrowed.n == 0)
        return;
    if (done->status != 0) { /* one row stands for all returns: whoever of them is awaited */
        for (uint32_t i = 0; i < rtc->borrowed.cap; i++) {
            for (struct borrowed *b = rtc->borrowed.bucket[i]; b; b = b->next) {
                if (b->id.seq == done->seq && b->id.client == done->client)
                    rtci_slot_set(rtc, &b->slot, done, rows, rtci_ref_of(b->id));
            }
        }
        return;
    }
    for (uint32_t i = 0; i < done->n_returns; i++) {
        struct borrowed *b =
            rtci_borrowed_find(&rtc->borrowed, (struct rtci_id){done->seq, done->client, i});
        if (b)
            rtci_slot_set(rtc, &b->slot, done, &rows[i], rtci_ref_of(b->id));
    }
}
