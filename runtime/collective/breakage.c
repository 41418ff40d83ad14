/* How a group ends for all of its members, and what they are told. */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "runtime/collective/hosts.h"

#define PATIENCE 200000u /* looks for what another member is writing */

bool note_end(struct rtci_collective *c, enum breakage_kind kind, uint32_t rank, uint32_t other,
              const char *text)
{
    struct breakage *b = &c->segment->breakage;
    uint32_t whole = 0;
    if (!atomic_compare_exchange_strong(&b->state, &whole, 1))
        return false;
    b->kind = kind;
    b->rank = rank;
    b->other = other;
    snprintf(b->text, sizeof(b->text), "%s", text ? text : "");
    atomic_store(&b->state, 2);
    wake_everybody(c);
    return true;
}

int break_group(struct rtci_collective *c, enum breakage_kind kind, uint32_t rank, uint32_t other,
                const char *text)
{
    if (note_end(c, kind, rank, other, text))
        hosts_tell_end(c, &c->segment->breakage);
    return breakage_code(c);
}

/* Who breaks a group writes down why, which takes a moment of its own: unless it dies over that. */
static uint32_t settled(const struct breakage *b)
{
    uint32_t state;
    for (uint32_t i = 0; (state = atomic_load(&b->state)) == 1 && i < PATIENCE; i++)
        sched_yield();
    return state;
}

int breakage_code(const struct rtci_collective *c)
{
    const struct breakage *b = &c->segment->breakage;
    if (settled(b) != 2)
        return RTC_E_CANCELLED;
    switch (b->kind) {
    case BROKEN_DEATH: return RTC_E_CRASHED;
    case BROKEN_TIMEOUT: return b->rank == rank_of(c, c->rank) ? RTC_E_TIMEOUT : RTC_E_CANCELLED;
    case BROKEN_MISMATCH: return RTC_E_INVALID;
    default: return RTC_E_CANCELLED;
    }
}

void rtci_collective_abort(struct rtci_collective *c, const char *why)
{
    uint32_t self = rank_of(c, c->rank);
    RTCI_IGNORE(break_group(c, BROKEN_ABORT, self, self, why));
}

/* ---- Who is still there ---- */
static bool is_dead(const struct rtci_collective *c, uint32_t rank)
{
    struct pollfd poll_fd = {.fd = c->pidfds[rank], .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

int check_others(struct rtci_collective *c, enum counter_kind kind, uint32_t target)
{
    if (is_broken(c))
        return breakage_code(c);
    for (uint32_t i = 0; i < c->size; i++) {
        struct member *member = &c->segment->members[i];
        if (i == c->rank)
            continue;
        bool left = atomic_load(&member->left), dead = !left && is_dead(c, i);
        /* What it had counted before it went counts. */
        bool needed = (int32_t)(atomic_load(&member->counters[kind].value) - target) < 0;
        if (needed && (left || dead))
            return break_group(c, left ? BROKEN_LEAVE : BROKEN_DEATH, rank_of(c, i),
                               rank_of(c, c->rank), NULL);
    }
    return 0;
}

/* ---- Words ---- */
void rtci_collective_why(const struct rtci_collective *c, char *text, size_t size)
{
    const struct breakage *b = &c->segment->breakage;
    uint32_t n = size_of_group(c);
    text[0] = 0;
    uint32_t state = settled(b);
    if (state != 2 || b->rank >= n || b->other >= n) {
        snprintf(text, size, "%s", state ? "another member gave it up" : "");
        return;
    }
    uint32_t pid = pid_of(c, b->rank);
    switch (b->kind) {
    case BROKEN_DEATH:
        snprintf(text, size, "rank %u (pid %u) died%s%.190s", b->rank, pid, b->text[0] ? ": " : "",
                 b->text);
        break;
    case BROKEN_LEAVE: snprintf(text, size, "rank %u (pid %u) left", b->rank, pid); break;
    case BROKEN_ABORT:
        snprintf(text, size, "rank %u (pid %u) aborted%s%.190s", b->rank, pid,
                 b->text[0] ? ": " : "", b->text);
        break;
    case BROKEN_TIMEOUT:
        snprintf(text, size, "rank %u (pid %u) did not come before the timeout of rank %u",
                 b->other, pid_of(c, b->other), b->rank);
        break;
    default: snprintf(text, size, "%.191s", b->text); break;
    }
}
