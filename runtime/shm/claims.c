/* Claims: which of the executor and the daemon has a task that stands in the ring. See chan.h. */
#include <string.h>

#include "runtime/shm/internal.h"
#include "runtime/wire/actor.h"
#include <rtc/error.h>

static _Atomic uint16_t *claim_word(void *rec)
{
    return (_Atomic uint16_t *)&((struct rtci_rec *)rec)->flags;
}

bool rtci_chan_claim(struct rtci_chan *chan, const void *rec)
{
    (void)chan;
    uint16_t expect = RTCI_CLAIM_QUEUED;
    return atomic_compare_exchange_strong(claim_word((void *)(uintptr_t)rec), &expect,
                                          RTCI_CLAIM_CLAIMED);
}

/* What an ACTOR_START in the ring says of restarts: it was checked when it was written, but may
 * have been written over since. */
static uint32_t start_of(const uint8_t *at, const struct rtci_spec *spec)
{
    struct rtci_actor_options options;
    uint64_t offset = sizeof(*spec) + (uint64_t)spec->n_refs * sizeof(struct rtci_id) +
                      (uint64_t)spec->n_args * sizeof(struct rtci_arg) +
                      RTCI_ALIGN8((uint64_t)spec->data_size);
    if (offset + sizeof(options) > spec->rec.size)
        return RTCI_CHAN_ACTOR;
    memcpy(&options, at + offset, sizeof(options));
    return options.max_restarts ? RTCI_CHAN_ACTOR_RESTARTS : RTCI_CHAN_ACTOR;
}

/* The header of the record at *at, which moves behind it: true; false at the end, or with *ret_rc.
 * Its size is checked as it was read here: whoever reads it again reads what may have changed. */
static bool next_record(const struct rtci_chan *chan, uint64_t *at, struct rtci_rec *ret_rec,
                        uint8_t **ret_at, int *ret_rc)
{
    uint64_t left = chan->out_published - *at;
    if (!left)
        return false;
    *ret_at = chan->out + (*at & (chan->cap - 1));
    memcpy(ret_rec, *ret_at, sizeof(*ret_rec));
    if (ret_rec->size < sizeof(*ret_rec) || ret_rec->size % 8 || ret_rec->size > left) {
        *ret_rc = RTC_E_PROTOCOL;
        return false;
    }
    *at += ret_rec->size;
    return true;
}

int rtci_chan_tasks(struct rtci_chan *chan, struct rtci_chan_task *ret_tasks, uint32_t cap)
{
    RTCI_ASSERT(chan->end == RTCI_CHAN_DAEMON);
    uint64_t at = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    if (chan->out_published - at > chan->cap || at % 8)
        return RTC_E_PROTOCOL;
    uint32_t n = 0;
    volatile struct rtci_chan_info *info = &chan->hdr->info;
    uint32_t running = info->running_client;
    atomic_thread_fence(memory_order_acquire); /* written last by the executor */
    if (running != 0) {
        if (n < cap)
            ret_tasks[n] = (struct rtci_chan_task){.position = at,
                                                   .seq = info->running_seq,
                                                   .client = running,
                                                   .attempt = info->running_attempt,
                                                   .slot = info->running_slot,
                                                   .actor = info->running_actor,
                                                   .state = RTCI_CLAIM_CLAIMED};
        n++;
    }
    struct rtci_rec rec;
    uint8_t *rec_at;
    int rc = 0;
    while (next_record(chan, &at, &rec, &rec_at, &rc)) {
        struct rtci_spec spec;
        bool start = rec.type == RTCI_R_ACTOR_START;
        if ((rec.type != RTCI_R_TASK && !start) || rec.size < sizeof(spec))
            continue;
        memcpy(&spec, rec_at, sizeof(spec));
        spec.rec = rec;
        if (n < cap) {
            uint16_t state = atomic_load(claim_word(rec_at));
            ret_tasks[n] = (struct rtci_chan_task){at - rec.size,
                                                   spec.seq,
                                                   spec.client,
                                                   spec.attempt,
                                                   spec.slot,
                                                   state,
                                                   start ? start_of(rec_at, &spec) : 0};
        }
        n++;
    }
    return rc ? rc : (int)n;
}

static bool among(const struct rtci_chan_caller *callers, uint32_t n, uint32_t client)
{
    while (n-- > 0) {
        if (callers[n].client == client)
            return true;
    }
    return false;
}

int rtci_chan_callers(struct rtci_chan *chan, struct rtci_chan_caller *ret_callers, uint32_t cap)
{
    volatile struct rtci_chan_info *info = &chan->hdr->info;
    uint32_t n = 0;
    for (uint32_t i = 0; i < RTCI_CHAN_CALLERS && n < cap; i++) {
        struct rtci_chan_caller caller = {.client = info->callers[i].client};
        atomic_thread_fence(memory_order_acquire); /* written last by the executor */
        caller.node = info->callers[i].node;
        caller.begun = info->callers[i].begun;
        if (caller.client)
            ret_callers[n++] = caller;
    }
    if (info->more_callers)
        return (int)n; /* of whom nothing is known */
    uint64_t at = atomic_load_explicit(&chan->out_words->tail, memory_order_acquire);
    if (chan->out_published - at > chan->cap || at % 8)
        return RTC_E_PROTOCOL;
    struct rtci_rec rec;
    uint8_t *rec_at;
    int rc = 0;
    while (n < cap && next_record(chan, &at, &rec, &rec_at, &rc)) {
        struct rtci_spec spec;
        struct rtci_call call;
        if (rec.type != RTCI_R_ACTOR_CALL || rec.size < sizeof(spec) + sizeof(call))
            continue;
        memcpy(&spec, rec_at, sizeof(spec));
        memcpy(&call, rec_at + rec.size - sizeof(call), sizeof(call)); /* it ends the record */
        if (call.order && !among(ret_callers, n, spec.client))
            ret_callers[n++] = (struct rtci_chan_caller){spec.client, call.caller_node, 0};
    }
    return rc ? rc : (int)n;
}

bool rtci_chan_recall(struct rtci_chan *chan, const struct rtci_chan_task *task)
{
    uint16_t expect = RTCI_CLAIM_QUEUED;
    return atomic_compare_exchange_strong(
        claim_word(chan->out + (task->position & (chan->cap - 1))), &expect, RTCI_CLAIM_RECALLED);
}
