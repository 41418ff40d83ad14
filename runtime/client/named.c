/* Versioned broadcast objects. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/withheld.h"

static int ask_named(struct rtc *rtc, uint16_t type, const char *name, rtc_ref ref,
                     uint64_t version, uint32_t flags, uint64_t deadline_ns, struct request *q)
{
    size_t ns_len = strlen(rtc->space), name_len = strlen(name);
    union {
        struct rtci_named named;
        char bytes[sizeof(struct rtci_named) + 64 + RTCI_NAME_MAX + 8];
    } u;
    memset(&u, 0, sizeof(u));
    size_t bytes = sizeof(u.named) + RTCI_ALIGN8(ns_len + name_len);
    u.named.rec = (struct rtci_rec){.size = (uint32_t)bytes, .type = type};
    u.named.request = rtc->next_request++;
    u.named.id = rtci_id_of(ref);
    u.named.version = version;
    u.named.ns_len = (uint16_t)ns_len;
    u.named.name_len = (uint16_t)name_len;
    u.named.flags = flags;
    memcpy(u.bytes + sizeof(u.named), rtc->space, ns_len);
    memcpy(u.bytes + sizeof(u.named) + ns_len, name, name_len);
    *q = (struct request){
        .kind = REQUEST_REPLY, .number = u.named.request, .record = &u, .size = bytes};
    RTCI_TRY(rtci_request(rtc, q, deadline_ns));
    free(q->data);
    return q->status;
}

static int check_name(const char *name)
{
    if (!name || !name[0] || strlen(name) > RTCI_NAME_MAX)
        return rtci_error(RTC_E_INVALID, "the name is NULL, empty or longer than %d bytes",
                          RTCI_NAME_MAX);
    return 0;
}

int rtc_publish(struct rtc *rtc, const char *name, rtc_ref ref, uint64_t *ret_version)
{
    RTCI_TRY(check_name(name));
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (slot)
        rc = rtci_publish(rtc, slot, ref);
    if (slot && rc == 0 && RTCI_UNLIKELY(slot->ran == SLOT_UNSAID))
        rc = rtci_speak(rtc, UINT64_MAX);
    if (slot && rc == 0) {
        struct request q = {0};
        rc = ask_named(rtc, RTCI_R_PUBLISH, name, ref, 0, 0, UINT64_MAX, &q);
        if (rc == 0 && ret_version)
            *ret_version = q.reply.cursor;
        else if (q.done && q.status < 0)
            rc = rtci_error(rc, "publishing \"%s\": %s", name, rtc_error_text(rc));
    }
    rtci_leave(rtc);
    return rc;
}

/* An answer came with a hold for us: it becomes a reference to be released. */
int rtci_take_held(struct rtc *rtc, struct rtci_id id)
{
    rtc_ref ref = rtci_ref_of(id);
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    if (!slot && rc == RTC_E_RELEASED) { /* our own, released here, kept by its name */
        struct borrowed *b = rtci_borrowed_add(&rtc->borrowed, id);
        if (!b)
            return rtci_error(RTC_E_NOMEM, "out of memory for a reference");
        slot = &b->slot;
    }
    if (!slot)
        return rc;
    if (slot->flags & SLOT_BORROWED) {
        struct borrowed *b = RTCI_CONTAINER(slot, struct borrowed, slot);
        b->slot.flags &= (uint8_t)~SLOT_RELEASED;
        b->holds++;
        b->replies++;
        return 0;
    }
    RTCI_TRY(rtci_retain_locked(rtc, ref)); /* our own, alive: that is hold enough */
    return rtci_send_ids(rtc, RTCI_R_DROP, &id, 1, 1 | RTCI_DROP_REPLY);
}

int rtc_newest(struct rtc *rtc, const char *name, uint64_t newer_than, int64_t timeout,
               rtc_ref *ret_ref, uint64_t *ret_version)
{
    RTCI_TRY(check_name(name));
    if (!ret_ref)
        return rtci_error(RTC_E_INVALID, "ret_ref is NULL");
    RTCI_TRY(rtci_enter(rtc));
    struct request q = {0};
    if (timeout != 0 && rtc->light && rtc->light->inside()) {
        rtci_leave(rtc);
        return rtci_lights_waits(rtc, "rtc_newest() with a timeout");
    }
    /* Not waiting is the head's to know: the answer itself takes a moment. */
    uint32_t flags = timeout == 0 ? RTCI_NAMED_NOWAIT : 0;
    uint64_t deadline = timeout == 0 ? UINT64_MAX : rtci_deadline(timeout);
    struct rtci_id none = {0};
    int rc = flags ? 0 : rtci_speak(rtc, deadline);
    if (!flags)
        rtci_blocked_begin(rtc, &none, 0, 0);
    rc = rc ? rc
            : ask_named(rtc, RTCI_R_SUBSCRIBE, name, (rtc_ref){0}, newer_than, flags, deadline, &q);
    if (!flags)
        rtci_blocked_end(rtc);
    if (rc == 0) {
        rc = rtci_take_held(rtc, q.reply.id);
        if (rc == 0)
            *ret_ref = rtci_ref_of(q.reply.id);
        if (rc == 0 && ret_version)
            *ret_version = q.reply.cursor;
    } else if (rc == RTC_E_TIMEOUT || rc == RTC_E_NOT_FOUND) {
        rc = rtci_error(rc, "there is no version of \"%s\" newer than %llu%s", name,
                        (unsigned long long)newer_than, rc == RTC_E_TIMEOUT ? " yet" : "");
    } else if (q.done) {
        rc = rtci_error(rc, "\"%s\": %s", name, rtc_error_text(rc));
    }
    rtci_leave(rtc);
    return rc;
}
