/* Deadlines travel as absolute times of the monotonic clock of a host. Each host has its own, so
 * they are shifted by the difference to the head's where they cross the link. */
#include "runtime/node/worker.h"

static void shift_spec(struct rtci_rec *rec, int64_t shift)
{
    struct rtci_spec *spec = (struct rtci_spec *)rec;
    if (!spec->deadline_ns)
        return;
    uint64_t at = spec->deadline_ns + (uint64_t)shift;
    bool before = shift < 0 && spec->deadline_ns < (uint64_t)-shift;
    spec->deadline_ns = before || !at ? 1 : at; /* 0 would be: none */
}

void rtci_shift_deadlines(void *span, size_t len, int64_t shift)
{
    char *at = span;
    for (char *end = at + len; (size_t)(end - at) >= sizeof(struct rtci_rec);) {
        struct rtci_rec *rec = (struct rtci_rec *)at;
        bool wrap = rec->type == RTCI_R_FROM_CLIENT || rec->type == RTCI_R_TO_CLIENT;
        if (rec->type == RTCI_R_SUBMIT || rec->type == RTCI_R_TASK)
            shift_spec(rec, shift);
        at += wrap ? sizeof(struct rtci_wrap) : rec->size; /* on to what is inside */
    }
}
