/* Results of calls between light actors of one host. Each actor has a table of those that it waits
 * for or has not released; nobody else can use them, so there is no lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_host.h"

#define SLOT_BITS 16u /* of ref.index; above them, which of several values */
#define NONE      UINT32_MAX

enum { FUTURE_FREE, FUTURE_PENDING, FUTURE_READY, FUTURE_FAILED };
struct future {
    uint64_t seq; /* of its references: a count, and the actor's index */
    uint64_t value;
    struct rtci_done *done; /* NULL: a plain value, or a failure that is `code` alone */
    void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg);
    void *arg;
    uint32_t ref_index; /* of the reference that fn is for */
    uint32_t live;      /* references not released; of a free one: the next free */
    int16_t code;
    uint16_t returns;
    uint8_t state, type;
};
struct futures {
    uint32_t cap, free, count;
    struct future at[];
};

static bool grow(struct cell *cell)
{
    uint32_t n = cell->futures ? cell->futures->cap : 0, cap = n ? n * 2 : 2;
    if (cap > 1u << SLOT_BITS)
        return false;
    struct futures *futures =
        realloc(cell->futures, sizeof(*futures) + cap * sizeof(futures->at[0]));
    if (!futures)
        return false;
    if (!n)
        futures->count = 0;
    for (uint32_t i = n; i < cap; i++)
        futures->at[i] = (struct future){.live = i + 1 < cap ? i + 1 : NONE};
    futures->cap = cap;
    futures->free = n;
    cell->futures = futures;
    return true;
}

int rtci_future_new(struct run *run, uint32_t returns, uint32_t *ret_slot, rtc_ref *ret_refs)
{
    struct cell *cell = run->cell;
    if (RTCI_UNLIKELY(!cell->futures || cell->futures->free == NONE) && !grow(cell))
        return cell->futures && cell->futures->cap >= 1u << SLOT_BITS ? RTC_E_AGAIN : RTC_E_NOMEM;
    struct futures *futures = cell->futures;
    uint32_t i = futures->free;
    struct future *f = &futures->at[i];
    futures->free = f->live;
    *f = (struct future){.seq = (uint64_t)++futures->count << 32 | cell->id.index,
                         .live = returns,
                         .returns = (uint16_t)returns,
                         .state = FUTURE_PENDING};
    for (uint32_t k = 0; k < returns; k++)
        ret_refs[k] = (rtc_ref){f->seq, RTCI_LIGHT_CLIENT, i | k << SLOT_BITS};
    *ret_slot = i;
    return 0;
}

static void release_value(struct future *f)
{
    if (f->done)
        rtci_done_drop(f->done);
    else if (RTCI_UNLIKELY(f->state == FUTURE_READY && f->type == RTC_REF))
        RTCI_IGNORE(rtci_light_release(rtci_light_ctx_now(), rtci_light_id_at(f->value)));
    f->done = NULL;
}

static void free_future(struct futures *futures, uint32_t i)
{
    struct future *f = &futures->at[i];
    release_value(f);
    f->state = FUTURE_FREE;
    f->seq = 0;
    f->live = futures->free;
    futures->free = i;
}

void rtci_future_undo(struct run *run, uint32_t slot)
{
    free_future(run->cell->futures, slot);
}

void rtci_futures_free(struct cell *cell)
{
    for (uint32_t i = 0; cell->futures && i < cell->futures->cap; i++) {
        if (cell->futures->at[i].state != FUTURE_FREE)
            release_value(&cell->futures->at[i]);
    }
    free(cell->futures);
    cell->futures = NULL;
}

/* ---- What is let go ---- */

/* References that its values contain were retained by whoever made it. They are released by the
 * first thread: an answer whose reader is dead is dropped where the lock may be held. */
struct trash {
    struct trash *next;
    struct rtci_done *done;
};
static struct trash *_Atomic trash;

static bool contains(const struct rtci_done *done)
{
    const struct rtci_resolved *rows = rtci_done_returns(done);
    for (uint32_t i = 0; i < done->n_returns; i++) {
        if (rows[i].kind == RTCI_KIND_INLINE && rows[i].n_refs)
            return true;
    }
    return false;
}

void rtci_done_drop(void *arg)
{
    struct trash *t = contains(arg) ? malloc(sizeof(*t)) : NULL;
    if (!t) { /* out of memory: they stay until the process ends */
        rtci_value_forget();
        free(arg);
        return;
    }
    t->done = arg;
    t->next = atomic_load(&trash);
    while (!atomic_compare_exchange_weak(&trash, &t->next, t))
        ;
    rtci_chan_kick(rtci_lights.rtc->chan);
}

void rtci_light_sweep(void)
{
    struct rtc *rtc = rtci_lights.rtc;
    struct trash *t = atomic_load(&trash) ? atomic_exchange(&trash, NULL) : NULL;
    for (struct trash *next; t; t = next) {
        next = t->next;
        const struct rtci_resolved *rows = rtci_done_returns(t->done);
        for (uint32_t i = 0; i < t->done->n_returns; i++) {
            const struct rtci_id *ids =
                (const struct rtci_id *)(const void *)((const char *)t->done + rows[i].offset);
            uint32_t n = rows[i].kind == RTCI_KIND_INLINE ? rows[i].n_refs : 0;
            for (uint32_t k = 0; k < n; k++)
                RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(ids[k])));
        }
        rtci_value_forget();
        free(t->done);
        free(t);
    }
}

/* ---- Answers ---- */

static void set(struct future *f, struct rtci_light_msg *reply)
{
    f->state = reply->code ? FUTURE_FAILED : FUTURE_READY;
    f->code = reply->code;
    f->done = rtci_light_take_block(reply);
    if (f->done || reply->size != RTCI_SMALL_REPLY)
        return;
    uint64_t answer[2];
    memcpy(answer, reply->data, sizeof(answer));
    f->value = answer[0];
    f->type = (uint8_t)answer[1];
}

/* In the turn of the actor that called. */
int rtci_future_reply(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                      void *arg)
{
    struct cell *cell = state;
    uint32_t i = (uint32_t)(uintptr_t)arg;
    struct future *f = &cell->futures->at[i];
    set(f, reply);
    void (*fn)(struct rtc * rtc, rtc_ref ref, void *arg) = f->fn;
    if (RTCI_LIKELY(fn != NULL)) {
        rtc_ref ref = {f->seq, RTCI_LIGHT_CLIENT, f->ref_index};
        void *fn_arg = f->arg;
        struct run *run = rtci_cell_enter(ctx, cell);
        fn(rtci_lights.rtc, ref, fn_arg);
        run->cell = NULL;
        f = &cell->futures->at[i]; /* the table may have grown */
        f->fn = NULL;
    }
    if (f->live == 0)
        free_future(cell->futures, i);
    return rtci_cell_outcome(cell);
}

/* ---- Use ---- */

static struct future *find(struct run *run, rtc_ref ref, uint32_t *ret_slot)
{
    uint32_t i = ref.index & ((1u << SLOT_BITS) - 1);
    struct futures *futures = run ? run->cell->futures : NULL;
    if (futures && i < futures->cap && futures->at[i].seq == ref.seq && ref.seq &&
        ref.index >> SLOT_BITS < futures->at[i].returns) {
        *ret_slot = i;
        return &futures->at[i];
    }
    rtci_error(RTC_E_RELEASED,
               "the reference {%llu,%u,%u} is the result of a call between light actors, and was "
               "released before, or is another actor's: only who called can use it",
               (unsigned long long)ref.seq, ref.client, ref.index);
    return NULL;
}

static int failed(const struct future *f)
{
    if (f->done) {
        const struct rtci_resolved *row = rtci_done_returns(f->done);
        return rtci_fail_error(
            (const struct rtci_fail *)(const void *)((const char *)f->done + row->offset),
            "method");
    }
    if (f->code == RTC_E_NOT_FOUND)
        return rtci_error(RTC_E_ACTOR_DEAD,
                          "the light actor is dead: it died before it had begun the call");
    if (f->code == RTC_E_TIMEOUT)
        return rtci_error(RTC_E_DEADLINE,
                          "the deadline of the call passed; whether it ran is not known");
    return rtci_error(f->code, "the call failed: %s", rtc_error_text(f->code));
}

int rtci_future_get(struct rtc *rtc, rtc_ref ref, struct rtc_value *ret_value)
{
    uint32_t slot;
    struct future *f = find(rtci_running(), ref, &slot);
    if (!f)
        return RTC_E_RELEASED;
    if (f->state == FUTURE_PENDING)
        return rtci_lights_waits(rtc, "rtc_get()");
    if (f->state == FUTURE_FAILED)
        return failed(f);
    if (!f->done) {
        struct rtci_few few = {.v = {f->value}, .type = {f->type}, .n = 1};
        *ret_value = rtci_few_value(&few, 0);
        return 0;
    }
    const struct rtci_resolved *row = &rtci_done_returns(f->done)[ref.index >> SLOT_BITS];
    if (row->kind != RTCI_KIND_INLINE)
        return rtci_error(RTC_E_PROTOCOL, "the value is not there");
    return rtci_value_view((const char *)f->done + row->offset +
                               row->n_refs * sizeof(struct rtci_id),
                           row->size, ret_value);
}

int rtci_future_failure(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure)
{
    uint32_t slot;
    struct future *f = find(rtci_running(), ref, &slot);
    (void)rtc;
    if (!f)
        return RTC_E_RELEASED;
    if (f->state != FUTURE_FAILED)
        return rtci_error(RTC_E_NOT_FOUND, "the reference has not failed");
    if (f->done) {
        const struct rtci_resolved *row = rtci_done_returns(f->done);
        bool never = f->done->rec.flags & RTCI_REPLY_NEVER_RAN;
        rtci_fail_read(
            (const struct rtci_fail *)(const void *)((const char *)f->done + row->offset),
            never ? RTC_RAN_NO : RTC_RAN_YES, ret_failure);
        return 0;
    }
    *ret_failure = (struct rtc_failure){
        .exit_status = -1, .ran = f->code == RTC_E_NOT_FOUND ? RTC_RAN_NO : RTC_RAN_UNKNOWN};
    ret_failure->code = failed(f);
    snprintf(ret_failure->text, sizeof(ret_failure->text), "%s", rtc_last_error());
    return 0;
}

int rtci_future_count(struct rtc *rtc, rtc_ref ref, int n)
{
    struct run *run = rtci_running();
    uint32_t slot;
    struct future *f = find(run, ref, &slot);
    (void)rtc;
    if (!f)
        return RTC_E_RELEASED;
    if (f->live == 0)
        return rtci_error(RTC_E_RELEASED, "the reference {%llu,%u,%u} was released before",
                          (unsigned long long)ref.seq, ref.client, ref.index);
    f->live = (uint32_t)((int64_t)f->live + n);
    /* One that is awaited goes when its answer is there, after its callback. */
    if (f->live == 0 && f->state != FUTURE_PENDING && !f->fn)
        free_future(run->cell->futures, slot);
    return 0;
}

int rtci_future_then(struct run *run, rtc_ref ref,
                     void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg), void *arg)
{
    uint32_t slot;
    struct future *f = find(run, ref, &slot);
    if (!f)
        return RTC_E_RELEASED;
    if (f->fn)
        return rtci_error(RTC_E_EXISTS,
                          "the result of a call between light actors is waited for by "
                          "one rtc_then() at most, and this one is");
    f->fn = fn;
    f->arg = arg;
    f->ref_index = ref.index;
    if (f->state == FUTURE_PENDING)
        return 0;
    fn(rtci_lights.rtc, ref, arg);
    f = &run->cell->futures->at[slot];
    f->fn = NULL;
    if (f->live == 0)
        free_future(run->cell->futures, slot);
    return 0;
}
