/* What an actor that saves its state says to others (actor_outbox.c), and what such actors say to this
 * one (actor_sources.c). Everything here needs the lock. */
#ifndef RTCI_EXEC_OUTBOX_H
#define RTCI_EXEC_OUTBOX_H

#include "runtime/client/withheld.h"
#include "runtime/exec/actor.h"

/* ---- actor_outbox.c ---- */
/* From now on what this process says waits for saves. `settle`: see struct withheld. */
int rtci_outbox_open(struct host *host,
                     int (*settle)(struct rtc *rtc, uint64_t deadline_ns)) RTCI_MUST_USE;
/* A save begins: what it covers, as it is saved, in at most `room` bytes. */
void rtci_outbox_save(struct host *host, struct rtci_buf *buf, size_t room);
#define RTCI_OUTBOX_LEAST 16u /* bytes of an empty one */
/* It is committed: its calls leave. */
void rtci_outbox_saved(struct host *host);
/* Something stands in the last save that was answered since. */
bool rtci_outbox_stale(struct host *host);
/* What a dead incarnation left is said again. False: it cannot be read. */
bool rtci_outbox_load(struct host *host, const uint8_t **at, const uint8_t *end);

/* ---- actor_save.c ---- */
enum rtci_save_step {
    RTCI_SAVE_READY,     /* it is written, and not sent */
    RTCI_SAVE_SENT,      /* … with the tasks that it covers */
    RTCI_SAVE_COMMITTED, /* its calls are to be sent */
    RTCI_SAVE_SAID       /* they were; its answers are to be sent */
};
/* For tests that end the process in the middle of it; else NULL. */
extern void (*rtci_save_step)(enum rtci_save_step step);

/* ---- actor_sources.c: calls that have a number ---- */
bool rtci_source_seen(const struct host *host, const struct rtci_spec *spec);
void rtci_source_came(struct host *host, const struct rtci_spec *spec);
void rtci_source_ran(struct host *host, const struct rtci_spec *spec);
size_t rtci_sources_size(const struct host *host);
void rtci_sources_save(const struct host *host, struct rtci_buf *buf);
bool rtci_sources_load(struct host *host, const uint8_t **at, const uint8_t *end);

#endif
