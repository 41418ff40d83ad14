/* Getting and waiting. */
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/withheld.h"

#define BLOCKED_IDS_MAX 1024u
#define BRIEFLY_NS      (RTCI_NS_PER_MS / 2)

int rtci_blocked_tell(struct rtc *rtc)
{
    const struct rtci_id *ids = (const struct rtci_id *)rtc->blocked_ids.data;
    uint32_t n = (uint32_t)(rtc->blocked_ids.len / sizeof(*ids));
    struct rtci_ids none = {.rec = {.size = sizeof(none), .type = RTCI_R_BLOCKED}};
    return n ? rtci_send_ids(rtc, RTCI_R_BLOCKED, ids, n, rtc->blocked_wanted)
             : rtci_send_record(rtc, &none); /* for something that no reference stands for */
}

void rtci_blocked_begin(struct rtc *rtc, const struct rtci_id *ids, uint32_t n, uint32_t wanted)
{
    if (!rtc->executor || rtc->running.id.client == 0 || ++rtc->n_blocked != rtc->n_threads)
        return;
    rtci_buf_clear(&rtc->blocked_ids);
    rtci_buf_put(&rtc->blocked_ids, ids, n * sizeof(*ids));
    rtc->blocked_wanted = wanted;
    uint64_t told = rtc->told; /* what nobody else can come to know does not hold up lanes */
    rtc->blocked_told = rtci_blocked_tell(rtc) == 0;
    rtc->told = told;
}

void rtci_blocked_end(struct rtc *rtc)
{
    if (!rtc->executor || rtc->running.id.client == 0 || rtc->n_blocked-- != rtc->n_threads ||
        !rtc->blocked_told)
        return;
    rtc->blocked_told = false;
    void *at;
    if (rtci_reserve(rtc, sizeof(struct rtci_ids), UINT64_MAX, &at) < 0)
        return;
    *(struct rtci_ids *)at =
        (struct rtci_ids){.rec = {.size = sizeof(struct rtci_ids), .type = RTCI_R_UNBLOCKED}};
    uint64_t told = rtc->told;
    rtci_send(rtc);
    rtc->told = told;
}

int rtci_fail_error(const struct rtci_fail *fail, const char *what)
{
    const char *function = (const char *)(fail + 1), *text = function + fail->function_len;
    int code = fail->code < 0 ? fail->code : RTC_E_TASK_FAILED;
    const char *says = fail->text_len ? text : rtc_error_text(code);
    int says_len = fail->text_len ? fail->text_len : (int)strlen(says);
    if (fail->function_len)
        return rtci_error(code, "%s \"%.*s\": %.*s", what, fail->function_len, function, says_len,
                          says);
    return rtci_error(code, "%.*s", says_len, says);
}

int rtci_slot_failure(const struct slot *slot)
{
    if (slot->where == WHERE_ALIAS)
        return rtci_slot_failure(&slot->u.alias->slot);
    if (slot->where == WHERE_SHARED || slot->size < sizeof(struct rtci_fail))
        return rtci_error(RTC_E_NOMEM, "out of memory for the failure of the task");
    const struct rtci_fail *fail =
        slot->where == WHERE_HEAP ? slot->u.heap : (const void *)slot->u.bytes;
    return rtci_fail_error(fail, slot->flags & SLOT_CALL ? "method" : "task");
}

int rtci_slot_value(struct rtc *rtc, const struct slot *slot, struct rtc_value *ret_value)
{
    if (RTCI_UNLIKELY(slot->state == SLOT_FAILED))
        return rtci_slot_failure(slot);
    return rtci_value_view(rtci_slot_bytes(rtc, slot), slot->size, ret_value);
}

static int timed_out(size_t n_done, size_t n)
{
    if (n == 1)
        return rtci_error(RTC_E_TIMEOUT, "the task is not done yet: the timeout of the call passed "
                                         "(rtc_why() tells what it waits for)");
    return rtci_error(RTC_E_TIMEOUT, "%zu of %zu are done: the timeout of the call passed", n_done,
                      n);
}

/* Of a value that lies on another host: asked for once by each start of the daemon, or the head. */
static int fetch(struct rtc *rtc, struct slot *slot, struct rtci_id id)
{
    uint64_t asked = (uint64_t)rtc->epoch + 1;
    if (!rtci_slot_done(slot) || slot->where != WHERE_REMOTE || slot->u.offset == asked)
        return 0;
    slot->u.offset = asked;
    id.index = 0; /* the answer holds all returns of the task */
    return rtci_send_ids(rtc, RTCI_R_WANT, &id, 1, 0);
}

/* Most calls are answered before it is worth a word to anybody that an actor waits for one. */
static int wait_briefly(struct rtc *rtc, const struct slot *slot, uint64_t deadline_ns)
{
    if (!rtc->executor || !(slot->flags & SLOT_CALL))
        return 0;
    uint64_t until = rtci_now_ns() + BRIEFLY_NS;
    if (until >= deadline_ns)
        return 0;
    int rc = 0;
    while (rc == 0 && !rtci_slot_here(slot))
        rc = rtci_block(rtc, 0, until);
    return rc == RTC_E_TIMEOUT ? 0 : rc;
}

/* The CPUs are lent out meanwhile, and a wait that would never end is found. */
static int wait_blocked(struct rtc *rtc, struct slot *slot, rtc_ref ref, uint64_t deadline_ns)
{
    struct rtci_id id = rtci_id_of(ref);
    int rc = 0;
    rtci_blocked_begin(rtc, &id, 1, 1);
    if (slot->flags & SLOT_CALL)
        rc = rtci_circle_begin(rtc, &ref, 1, 0, deadline_ns == UINT64_MAX, false);
    while (rc == 0 && !rtci_slot_here(slot)) {
        rc = fetch(rtc, slot, id);
        rc = rc ? rc : rtci_block(rtc, 0, deadline_ns);
        if (RTCI_UNLIKELY(rtc->deadlock) && rc == 0 && !rtci_slot_here(slot))
            rc = rtci_deadlock_found(rtc);
    }
    rtci_circle_end(rtc);
    rtci_blocked_end(rtc);
    return rc;
}

int rtci_await(struct rtc *rtc, struct slot *slot, rtc_ref ref, uint64_t deadline_ns)
{
    if (RTCI_LIKELY(rtci_slot_here(slot)))
        return 0;
    if (slot->state == SLOT_WRITING)
        return rtci_error(RTC_E_INVALID,
                          "the object was created and not sealed: rtc_seal() it first");
    int rc = rtci_drain(rtc);
    if (rc < 0 || rtci_slot_here(slot))
        return rc;
    if (RTCI_UNLIKELY(rtc->light && rtc->light->inside()))
        return rtci_now_ns() < deadline_ns ? rtci_lights_waits(rtc, "waiting for a result")
                                           : timed_out(0, 1);
    slot->pins++;
    rc = rtci_speak_for(rtc, &ref, 1, deadline_ns);
    if (rc == 0 && !rtci_slot_here(slot))
        rc = wait_briefly(rtc, slot, deadline_ns);
    if (rc == 0 && !rtci_slot_here(slot))
        rc = wait_blocked(rtc, slot, ref, deadline_ns);
    if (rtci_slot_here(slot))
        rc = 0;
    else if (rc == RTC_E_TIMEOUT)
        rc = timed_out(0, 1);
    /* Released by another thread meanwhile: the view could not be handed out safely. */
    if (rc == 0 && (slot->flags & SLOT_RELEASED) && slot->pins == 1)
        rc = rtci_error(RTC_E_RELEASED, "another thread released the reference meanwhile");
    rtci_unpin(rtc, slot, ref);
    return rc;
}

static int get_locked(struct rtc *rtc, rtc_ref ref, uint64_t deadline_ns,
                      struct rtc_value *ret_value)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, true, &rc);
    if (!slot)
        return rc;
    RTCI_TRY(rtci_await(rtc, slot, ref, deadline_ns));
    return rtci_slot_value(rtc, slot, ret_value);
}

int rtc_get(struct rtc *rtc, rtc_ref ref, int64_t timeout, struct rtc_value *ret_value)
{
    struct rtc_value unused;
    if (RTCI_UNLIKELY(ref.client == RTCI_LIGHT_CLIENT && rtc && rtc->light)) {
        int got = rtc->light->get(rtc, ref, ret_value ? ret_value : &unused);
        return got == RTC_E_UNSUPPORTED && timeout == 0 ? timed_out(0, 1) : got;
    }
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, true, &rc);
    if (RTCI_LIKELY(slot && rtci_slot_here(slot)))
        rc = rtci_slot_value(rtc, slot, ret_value ? ret_value : &unused);
    else if (slot)
        rc = get_locked(rtc, ref, rtci_deadline(timeout), ret_value ? ret_value : &unused);
    rtci_leave(rtc);
    return rc;
}

/* Pending ones of the list, for BLOCKED; asks for those that are others', and for values that lie
 * on other hosts. */
static int collect_pending(struct rtc *rtc, const rtc_ref *refs, size_t n, bool values,
                           struct rtci_id *ids, uint32_t *ret_n)
{
    uint32_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        struct slot *slot = rtci_find(rtc, refs[i], true, &rc);
        if (!slot)
            return rtci_error_within(rc, "reference %zu of %zu", i, n);
        if (!rtci_slot_done(slot) && n_ids < BLOCKED_IDS_MAX)
            ids[n_ids++] = rtci_id_of(refs[i]);
        else if (values)
            RTCI_TRY(fetch(rtc, slot, rtci_id_of(refs[i])));
    }
    *ret_n = n_ids;
    return 0;
}

static int get_many_locked(struct rtc *rtc, const rtc_ref *refs, size_t n, uint64_t deadline_ns,
                           struct rtc_value *ret_values)
{
    struct rtci_id ids[BLOCKED_IDS_MAX];
    uint32_t n_ids = 0;
    RTCI_TRY(rtci_drain(rtc));
    RTCI_TRY(collect_pending(rtc, refs, n, true, ids, &n_ids));
    if (n_ids)
        rtci_blocked_begin(rtc, ids, n_ids, n_ids);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct slot *slot = rtci_find(rtc, refs[i], true, &rc);
        if (slot && !rtci_slot_here(slot))
            rc = rtci_await(rtc, slot, refs[i], deadline_ns);
    }
    if (n_ids)
        rtci_blocked_end(rtc);
    RTCI_TRY(rc);
    for (size_t i = 0; i < n; i++) {
        struct rtc_value unused;
        struct slot *slot = rtci_find(rtc, refs[i], true, &rc);
        if (slot)
            rc = rtci_slot_value(rtc, slot, ret_values ? &ret_values[i] : &unused);
        if (rc < 0)
            return rtci_error_within(rc, "reference %zu of %zu", i, n);
    }
    return 0;
}

/* In a light actor: what is there. */
static int get_each(struct rtc *rtc, const rtc_ref *refs, size_t n, struct rtc_value *ret_values)
{
    for (size_t i = 0; i < n; i++) {
        int rc = rtc_get(rtc, refs[i], RTC_FOREVER, ret_values ? &ret_values[i] : NULL);
        if (rc < 0)
            return rtci_error_within(rc, "reference %zu of %zu", i, n);
    }
    return 0;
}

int rtc_get_many(struct rtc *rtc, const rtc_ref *refs, size_t n, int64_t timeout,
                 struct rtc_value *ret_values)
{
    if (!refs && n)
        return rtci_error(RTC_E_INVALID, "refs is NULL");
    if (RTCI_UNLIKELY(rtc && rtc->light && rtc->light->inside()))
        return get_each(rtc, refs, n, ret_values);
    RTCI_TRY(rtci_enter(rtc));
    int rc = get_many_locked(rtc, refs, n, rtci_deadline(timeout), ret_values);
    rtci_leave(rtc);
    return rc;
}

int rtc_get_i64(struct rtc *rtc, rtc_ref ref, int64_t timeout, int64_t *ret_x)
{
    struct rtc_value value;
    RTCI_TRY(rtc_get(rtc, ref, timeout, &value));
    return rtc_value_i64(&value, ret_x);
}

int rtc_get_f64(struct rtc *rtc, rtc_ref ref, int64_t timeout, double *ret_x)
{
    struct rtc_value value;
    RTCI_TRY(rtc_get(rtc, ref, timeout, &value));
    return rtc_value_f64(&value, ret_x);
}

static uint32_t next_stamp(struct rtc *rtc)
{
    if (RTCI_UNLIKELY(++rtc->stamp > MARK_STAMP_MASK)) {
        rtci_slots_clear_stamps(&rtc->slots);
        for (uint32_t i = 0; i < rtc->borrowed.cap; i++) {
            for (struct borrowed *b = rtc->borrowed.bucket[i]; b; b = b->next)
                b->slot.stamp = 0;
        }
        rtc->stamp = 1;
    }
    return rtc->stamp;
}

/* One of the list that has no mark: another's, one of several returns, or an error. */
static int scan_slow(struct rtc *rtc, rtc_ref ref, uint32_t stamp, bool *ret_twice, bool *ret_done)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, true, &rc);
    if (!slot)
        return rc;
    *ret_twice = stamp != 0 && slot->stamp == stamp;
    if (stamp)
        slot->stamp = stamp;
    *ret_done = rtci_slot_done(slot);
    return 0;
}

/* One pass over the list: counts the done ones and writes the first num_ready of them. The stamp
 * finds duplicates without a set: each pass that checks has a number of its own (else 0). */
static int scan(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready, uint32_t stamp,
                size_t *ret_ready, size_t *ret_n)
{
    size_t found = 0;
    uint32_t client = rtc->client;
    struct slot_page *page =
        NULL; /* of the last reference: stores to marks do not make it reload */
    uint64_t index = 0;
    for (size_t i = 0; i < n; i++) {
        bool twice = false, done = false;
        uint32_t *mark = NULL;
        uint64_t seq = refs[i].seq;
        if (RTCI_LIKELY(refs[i].client == client && refs[i].index == 0)) {
            if (RTCI_UNLIKELY(!page || seq >> SLOT_PAGE_BITS != index)) {
                page = rtci_slots_find_slow(&rtc->slots, seq) ? rtc->slots.last : NULL;
                index = seq >> SLOT_PAGE_BITS;
            }
            mark = page ? &page->mark[seq & (SLOT_PAGE - 1)] : NULL;
        }
        if (RTCI_LIKELY(mark && (*mark & MARK_ALIVE))) {
            twice = (*mark & MARK_STAMP_MASK) == stamp && stamp != 0;
            done = *mark & MARK_DONE;
            if (stamp)
                *mark = (*mark & ~MARK_STAMP_MASK) | stamp;
        } else {
            int rc = scan_slow(rtc, refs[i], stamp, &twice, &done);
            page = NULL; /* it may have waited: pages may have gone */
            if (rc < 0)
                return rtci_error_within(rc, "reference %zu of %zu", i, n);
        }
        if (RTCI_UNLIKELY(twice))
            return rtci_error(RTC_E_INVALID, "reference %zu of %zu stands in the list twice", i, n);
        if (done) {
            if (found < num_ready)
                ret_ready[found] = i;
            found++;
            if (!stamp && found >= num_ready)
                break;
        }
    }
    *ret_n = found < num_ready ? found : num_ready;
    return 0;
}

/* An actor that waits for ever tells so after a moment: see circle.c. */
static int wait_some(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready,
                     uint64_t deadline_ns, size_t *ret_ready, size_t *ret_n)
{
    bool for_ever = deadline_ns == UINT64_MAX;
    uint64_t until = rtc->self.client && for_ever ? rtci_now_ns() + BRIEFLY_NS : deadline_ns;
    int rc = 0;
    while (rc == 0 && *ret_n < num_ready) {
        uint64_t changes = rtc->changes;
        rc = rtci_block(rtc, 0, until);
        if (rtc->changes != changes || rc < 0) {
            int scanned = scan(rtc, refs, n, num_ready, 0, ret_ready, ret_n);
            rc = scanned < 0 ? scanned : rc;
        }
        if (*ret_n >= num_ready)
            break;
        if (rc == RTC_E_TIMEOUT && until != deadline_ns) {
            until = deadline_ns;
            rc = rtci_circle_begin(rtc, refs, n, n - num_ready, true, true);
        } else if (RTCI_UNLIKELY(rtc->deadlock) && rc == 0) {
            rc = rtci_deadlock_found(rtc);
        }
    }
    return rc;
}

static int wait_locked(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready,
                       uint64_t deadline_ns, size_t *ret_ready, size_t *ret_n)
{
    size_t found = 0;
    RTCI_TRY(rtci_drain(rtc));
    RTCI_TRY(scan(rtc, refs, n, num_ready, next_stamp(rtc), ret_ready, &found));
    if (RTCI_UNLIKELY(found < num_ready && rtc->light && rtc->light->inside() &&
                      rtci_now_ns() < deadline_ns))
        return rtci_lights_waits(rtc, "rtc_wait()");
    if (found < num_ready) {
        struct rtci_id ids[BLOCKED_IDS_MAX];
        uint32_t n_ids = 0;
        if (RTCI_UNLIKELY(rtc->withheld != NULL)) {
            RTCI_TRY(rtci_speak_for(rtc, refs, n, deadline_ns));
            RTCI_TRY(scan(rtc, refs, n, num_ready, 0, ret_ready, &found));
        }
        if (rtc->executor)
            RTCI_TRY(collect_pending(rtc, refs, n, false, ids, &n_ids));
        rtci_blocked_begin(rtc, ids, n_ids, (uint32_t)(num_ready - found));
        int rc = wait_some(rtc, refs, n, num_ready, deadline_ns, ret_ready, &found);
        rtci_circle_end(rtc);
        rtci_blocked_end(rtc);
        if (rc < 0 && rc != RTC_E_TIMEOUT)
            return rc;
    }
    *ret_n = found;
    return found < num_ready ? timed_out(found, n) : 0;
}

int rtc_wait(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready, int64_t timeout,
             size_t *ret_ready, size_t *ret_n)
{
    if (num_ready > n)
        return rtci_error(RTC_E_INVALID, "num_ready is %zu, but there are only %zu references",
                          num_ready, n);
    if ((!refs && n) || (!ret_ready && num_ready) || !ret_n)
        return rtci_error(RTC_E_INVALID, "refs, ret_ready or ret_n is NULL");
    RTCI_TRY(rtci_enter(rtc));
    int rc = wait_locked(rtc, refs, n, num_ready, rtci_deadline(timeout), ret_ready, ret_n);
    rtci_leave(rtc);
    return rc;
}

void rtci_fail_read(const struct rtci_fail *fail, uint8_t ran, struct rtc_failure *ret_failure)
{
    const char *function = (const char *)(fail + 1);
    const char *text = function + fail->function_len, *log = text + fail->text_len;
    struct rtc_failure *f = ret_failure;
    *f = (struct rtc_failure){.code = fail->code,
                              .user_code = fail->user_code,
                              .exit_status = fail->exit_status,
                              .signal = fail->signal,
                              .pid = fail->pid,
                              .node = fail->node,
                              .attempts = fail->attempts,
                              .ran = ran,
                              .origin = rtci_ref_of(fail->origin)};
    size_t n =
        fail->function_len < sizeof(f->function) ? fail->function_len : sizeof(f->function) - 1;
    memcpy(f->function, function, n);
    n = fail->text_len < sizeof(f->text) ? fail->text_len : sizeof(f->text) - 1;
    memcpy(f->text, text, n);
    n = fail->log_len < sizeof(f->log) ? fail->log_len : sizeof(f->log) - 1;
    memcpy(f->log, log + fail->log_len - n, n);
}

int rtc_failure_of(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure)
{
    if (RTCI_UNLIKELY(ref.client == RTCI_LIGHT_CLIENT && rtc && rtc->light))
        return rtc->light->failure(rtc, ref, ret_failure);
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_drain(rtc);
    struct slot *slot = rc < 0 ? NULL : rtci_find(rtc, ref, true, &rc);
    if (slot && slot->state != SLOT_FAILED)
        rc = rtci_error(RTC_E_NOT_FOUND, "the reference has not failed");
    else if (slot && (slot->where == WHERE_SHARED || slot->size < sizeof(struct rtci_fail)))
        rc = rtci_error(RTC_E_NOMEM, "the failure could not be kept: out of memory");
    if (slot && rc == 0) {
        rtci_fail_read(rtci_slot_bytes(rtc, slot), slot->ran, ret_failure);
    }
    rtci_leave(rtc);
    return rc;
}
