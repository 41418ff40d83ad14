/* Objects: small ones are an entry of this process until something else needs them; large ones are
 * written into the arena. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/withheld.h"

static int new_slot(struct rtc *rtc, struct slot **ret_slot, rtc_ref *ret_ref)
{
    struct slot *slot = rtci_slots_add(&rtc->slots, rtc->next_seq);
    if (!slot)
        return rtci_error(RTC_E_NOMEM, "out of memory for a reference");
    *ret_ref = (rtc_ref){rtc->next_seq++, rtc->client, 0};
    slot->flags = SLOT_PUT;
    slot->state = SLOT_WRITING;
    *ret_slot = slot;
    return 0;
}

static void drop_slot(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    if (slot->where == WHERE_HEAP)
        free(slot->u.heap);
    slot->where = WHERE_INLINE;
    slot->state = SLOT_GONE;
    rtci_slots_gone(&rtc->slots, ref.seq);
}

static int fill_large(struct rtc *rtc, struct slot *slot, rtc_ref ref,
                      const struct rtc_value *value, const struct value_plan *plan)
{
    uint64_t offset;
    RTCI_TRY(rtci_arena_write(rtc, rtci_id_of(ref), value, plan, &offset));
    slot->where = WHERE_ARENA;
    slot->u.offset = offset;
    slot->flags |= SLOT_AT_HEAD;
    return 0;
}

static int fill_small(struct slot *slot, const struct rtc_value *value,
                      const struct value_plan *plan)
{
    void *at = slot->u.bytes;
    slot->where = WHERE_INLINE;
    if (plan->size > SLOT_INLINE_BYTES) {
        at = malloc(plan->size);
        if (!at)
            return rtci_error(RTC_E_NOMEM, "out of memory for a value of %llu bytes",
                              (unsigned long long)plan->size);
        slot->u.heap = at;
        slot->where = WHERE_HEAP;
    }
    rtci_value_write(value, plan, at);
    return 0;
}

/* What a value contains of others is kept by the head alone, which has to know the value for that.
 */
static int keep_foreign(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    const struct rtci_id *ids;
    size_t n, i = 0;
    rtci_slot_contained(rtc, slot, &ids, &n);
    while (i < n && ids[i].client == rtc->client)
        i++;
    if (i == n)
        return 0;
    int rc = rtci_publish(rtc, slot, ref);
    if (rc < 0)
        RTCI_IGNORE(rtci_release_locked(rtc, ref));
    return rc;
}

int rtci_put_locked(struct rtc *rtc, const struct rtc_value *value, rtc_ref *ret_ref)
{
    struct value_plan plan;
    struct slot *slot;
    rtc_ref ref;
    RTCI_TRY(rtci_value_plan(value, &plan));
    RTCI_TRY(new_slot(rtc, &slot, &ref));
    int rc = plan.size > RTCI_INLINE_MAX ? fill_large(rtc, slot, ref, value, &plan)
                                         : fill_small(slot, value, &plan);
    if (rc < 0) {
        drop_slot(rtc, slot, ref);
        return rc;
    }
    slot->size = plan.size;
    slot->state = SLOT_READY;
    rtci_slots_done(&rtc->slots, ref.seq);
    if (RTCI_UNLIKELY(plan.n_lights))
        rtci_lights_given(rtc, value, (struct rtci_id){0});
    if (plan.n_refs) {
        slot->flags |= SLOT_CONTAINS;
        rtci_pin_contained(rtc, slot);
    }
    *ret_ref = ref;
    return keep_foreign(rtc, slot, ref);
}

int rtc_put(struct rtc *rtc, const struct rtc_value *value, rtc_ref *ret_ref)
{
    if (RTCI_UNLIKELY(!value || !ret_ref))
        return rtci_error(RTC_E_INVALID, "value or ret_ref is NULL");
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_put_locked(rtc, value, ret_ref);
    rtci_leave(rtc);
    return rc;
}

/* ---- Escape ---- */
int rtci_publish_contained(struct rtc *rtc, const struct rtci_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int rc = 0;
        if (ids[i].client != rtc->client)
            continue; /* whoever handed it to us has published it */
        struct slot *slot = rtci_find(rtc, rtci_ref_of(ids[i]), false, &rc);
        if (!slot)
            return rtci_error_within(rc, "a reference contained in the value");
        RTCI_TRY(rtci_publish(rtc, slot, rtci_ref_of(ids[i])));
    }
    return 0;
}

int rtci_publish(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    if (RTCI_LIKELY(slot->flags & SLOT_AT_HEAD))
        return 0;
    if (slot->flags & SLOT_CALL) {
        RTCI_TRY(rtci_call_result_ready(rtc, slot, ref));
        if (slot->flags & SLOT_AT_HEAD)
            return 0;
    }
    if (slot->state == SLOT_WRITING)
        return rtci_error(RTC_E_INVALID,
                          "the object was created and not sealed: rtc_seal() it first");
    /* Set before descending: a value cannot contain itself, but two may share an item. */
    slot->flags |= SLOT_AT_HEAD;
    slot->pins++;
    const struct rtci_id *ids;
    size_t n;
    rtci_slot_contained(rtc, slot, &ids, &n);
    int rc = rtci_publish_contained(rtc, ids, (uint32_t)n);
    bool late = rtci_unsaid(rtc, ids, n); /* the head pins them: it has to know them before */
    size_t bytes = sizeof(struct rtci_put) + n * sizeof(*ids) + RTCI_ALIGN8(slot->size);
    void *at = NULL;
    if (rc == 0)
        rc = late ? rtci_withhold_room(rtc, bytes, &at) : rtci_reserve(rtc, bytes, UINT64_MAX, &at);
    if (rc == 0) {
        struct rtci_put *put = at;
        *put = (struct rtci_put){.rec = {.size = (uint32_t)bytes, .type = RTCI_R_PUT},
                                 .id = rtci_id_of(ref),
                                 .kind = RTCI_KIND_INLINE,
                                 .n_refs = (uint32_t)n,
                                 .size = slot->size};
        put->offset = sizeof(*put) + n * sizeof(*ids);
        if (n)
            memcpy(put + 1, ids, n * sizeof(*ids));
        uint8_t *value = (uint8_t *)(put + 1) + n * sizeof(*ids);
        memcpy(value, rtci_slot_bytes(rtc, slot), slot->size);
        memset(value + slot->size, 0, RTCI_ALIGN8(slot->size) - slot->size);
        if (RTCI_UNLIKELY(late)) { /* the pin stays until it leaves */
            slot->ran = SLOT_UNSAID;
            return 0;
        }
        rtci_chan_publish(rtc->chan); /* rung with what follows it */
        rtc->told = rtci_chan_written(rtc->chan);
    } else {
        slot->flags &= (uint8_t)~SLOT_AT_HEAD;
    }
    rtci_unpin(rtc, slot, ref);
    return rc;
}

/* ---- Create in place ---- */
static int create_locked(struct rtc *rtc, const struct rtc_array *array, void **ret_data,
                         rtc_ref *ret_ref)
{
    /* The head of the array as it will stand in the store; its data is not read. */
    uint64_t data_at = (16 + 8 * (uint64_t)array->ndim + 63) & ~63ull;
    uint64_t size = data_at + array->size;
    struct slot *slot;
    rtc_ref ref;
    RTCI_TRY(new_slot(rtc, &slot, &ref));
    uint8_t *at;
    if (size > RTCI_INLINE_MAX) {
        uint64_t offset;
        int rc = rtci_arena_alloc(rtc, rtci_id_of(ref), size, &offset);
        if (rc < 0) {
            drop_slot(rtc, slot, ref);
            return rc;
        }
        slot->where = WHERE_ARENA;
        slot->u.offset = offset;
        at = rtc->arena + offset;
    } else {
        at = aligned_alloc(64, (size + 63) & ~63ull);
        if (!at) {
            drop_slot(rtc, slot, ref);
            return rtci_error(RTC_E_NOMEM, "out of memory for an array of %zu bytes", array->size);
        }
        slot->where = WHERE_HEAP;
        slot->u.heap = at;
    }
    uint8_t head[8] = {RTC_ARRAY, array->dtype, array->ndim};
    uint32_t offset32 = (uint32_t)data_at;
    uint64_t bytes = array->size;
    memcpy(head + 4, &offset32, sizeof(offset32));
    memcpy(at, head, sizeof(head));
    memcpy(at + 8, &bytes, sizeof(bytes));
    memcpy(at + 16, array->shape, 8u * array->ndim);
    memset(at + 16 + 8u * array->ndim, 0, data_at - 16 - 8u * array->ndim);
    slot->size = size;
    *ret_data = at + data_at;
    *ret_ref = ref;
    return 0;
}

int rtc_create(struct rtc *rtc, enum rtc_dtype dtype, const int64_t *shape, int ndim,
               void **ret_data, rtc_ref *ret_ref)
{
    size_t width = rtc_dtype_size(dtype);
    if (width == 0 || ndim < 0 || ndim > RTC_NDIM_MAX || (!shape && ndim) || !ret_data || !ret_ref)
        return rtci_error(RTC_E_INVALID, "rtc_create(): unknown dtype %d, or %d dimensions (0..%d)",
                          (int)dtype, ndim, RTC_NDIM_MAX);
    struct rtc_array array = {.dtype = (uint8_t)dtype, .ndim = (uint8_t)ndim};
    uint64_t bytes = width;
    for (int i = 0; i < ndim; i++) {
        array.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)shape[i], &bytes) ||
            bytes > 1ull << 40)
            return rtci_error(RTC_E_INVALID, "rtc_create(): shape[%d] = %lld is impossible", i,
                              (long long)shape[i]);
    }
    array.size = bytes;
    RTCI_TRY(rtci_enter(rtc));
    int rc = create_locked(rtc, &array, ret_data, ret_ref);
    rtci_leave(rtc);
    return rc;
}

int rtc_seal(struct rtc *rtc, rtc_ref ref)
{
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (slot && slot->state != SLOT_WRITING)
        rc = rtci_error(RTC_E_INVALID,
                        "the object is sealed already, or was not made by rtc_create()");
    if (slot && rc == 0 && slot->where == WHERE_ARENA) {
        rc = rtci_arena_seal(rtc, rtci_id_of(ref), slot->u.offset, slot->size, NULL, 0);
        slot->flags |= SLOT_AT_HEAD;
    }
    if (slot && rc == 0) {
        slot->state = SLOT_READY;
        rtci_slots_done(&rtc->slots, ref.seq);
        rtc->changes++;
        if (rtc->waiters)
            pthread_cond_broadcast(&rtc->cond);
        if (slot->flags & SLOT_THEN)
            rtci_on_done_slot(rtc, ref);
    }
    rtci_leave(rtc);
    return rc;
}
