/* Light actors, seen by those who call them: they live in a host, an actor of class RTCI_LIGHT_HOST,
 * and a call to one is a call to its host that says which one is meant. The head knows hosts only.
 *
 * A handle is the id of the host and 52 bits that name the actor there: 1 + its index in the lower
 * 24, half of its generation in the others. In an rtc_actor they are `pad` and the upper bits of
 * `seq`, in a value they stand beside the host's handle, in a call they are `slot` and `job` of the
 * spec. */
#ifndef RTCI_CLIENT_LIGHT_H
#define RTCI_CLIENT_LIGHT_H

#include <rtc/actor.h>

#include "runtime/wire/wire.h"

#define RTCI_LIGHT_HOST     "rtc.light" /* class of hosts, and the space of their names */
#define RTCI_LIGHT_SEQ_BITS 44u
#define RTCI_LIGHT_SEQ_MAX  ((1ull << RTCI_LIGHT_SEQ_BITS) - 1)
#define RTCI_LIGHT_WHICH    0xffffffu
/* `client` of a future of a call between light actors of one host: only the caller knows of it. */
#define RTCI_LIGHT_CLIENT 0xfffffffeu
#define RTCI_LIGHT_MONITOR (1ull << 63) /* in the number of a monitor: of a light actor */

static inline bool rtci_light_ok(uint64_t light)
{
    return light >> 52 == 0 && (light & RTCI_LIGHT_WHICH);
}
static inline uint64_t rtci_light_of(rtc_actor actor)
{
    return RTCI_UNLIKELY(actor.pad) ? actor.seq >> RTCI_LIGHT_SEQ_BITS << 32 | actor.pad : 0;
}
/* `light` 0: of the host itself. */
static inline rtc_actor rtci_light_handle(struct rtci_id host, uint64_t light)
{
    return (rtc_actor){.seq = host.seq | light >> 32 << RTCI_LIGHT_SEQ_BITS,
                       .client = host.client,
                       .pad = (uint32_t)light};
}
static inline uint64_t rtci_light_called(const struct rtci_spec *call)
{
    return (uint64_t)call->job << 32 | call->slot;
}

/* What an actor's process does of these functions when it is a host, for threads that are in the turn
 * of a light actor. Those that return RTCI_ELSEWHERE leave it to the caller. None needs the lock. */
#define RTCI_ELSEWHERE 1
struct rtci_light_ops {
    bool (*inside)(void);
    int (*create)(struct rtc *rtc, const struct rtc_actor_def *def, const struct rtc_args *args,
                  const struct rtc_actor_options *options, rtc_actor *ret_actor);
    int (*call)(struct rtc *rtc, rtc_actor actor, const char *method, const struct rtc_args *args,
                const struct rtc_call_options *options, rtc_ref *ret_refs);
    int (*get)(struct rtc *rtc, rtc_ref ref, struct rtc_value *ret_value);
    int (*failure)(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure);
    int (*count)(struct rtc *rtc, rtc_ref ref, int n); /* retain 1, release -1 */
    int (*then)(struct rtc *rtc, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
                void *arg);
    int (*order)(struct rtc *rtc, rtc_actor actor, const char *op); /* as rtci_lights_order() */
    int (*info)(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *ret_info);
    int (*monitor)(struct rtc *rtc, rtc_actor actor,
                   void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                   uint64_t *ret_monitor);
    int (*demonitor)(struct rtc *rtc, uint64_t monitor);
    int (*link)(struct rtc *rtc, rtc_actor a, rtc_actor b, bool on);
    void (*given)(struct rtc *rtc, uint64_t light); /* one more handle, for good */
};

struct rtci_light_hosts;

/* ---- actor_light.c: from processes that are not the host ---- */
int rtci_lights_create(struct rtc *rtc, const struct rtc_actor_def *def, const struct rtc_args *args,
                      const struct rtc_actor_options *options, rtc_actor *ret_actor) RTCI_MUST_USE;
/* actor_call.c: the constructor of a handle that was set aside. The lock is held. */
int rtci_lights_creation(struct rtc *rtc, rtc_actor actor, const struct rtc_args *args,
                        const struct rtc_actor_options *options) RTCI_MUST_USE;
/* "rtc.stop", "rtc.kill", "rtc.release", "rtc.retain" (which waits until it is done). */
int rtci_lights_order(struct rtc *rtc, rtc_actor actor, const char *op) RTCI_MUST_USE;
int rtci_lights_ready(struct rtc *rtc, rtc_actor actor, int64_t timeout) RTCI_MUST_USE;
int rtci_lights_info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *ret_info) RTCI_MUST_USE;
void rtci_lights_read_info(const struct rtc_value *list, struct rtc_actor_info *info);
/* Of one that died with its host. */
void rtci_lights_host_info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *info);
/* ---- light_monitor.c ---- */
int rtci_lights_monitor(struct rtc *rtc, rtc_actor actor,
                       void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg),
                       void *arg, uint64_t *ret_monitor) RTCI_MUST_USE;
int rtci_lights_demonitor(struct rtc *rtc, uint64_t monitor);
void rtci_light_news_free(struct rtc *rtc);
/* ---- actor_light.c again ---- */
int rtci_lights_link(struct rtc *rtc, rtc_actor a, rtc_actor b, bool on) RTCI_MUST_USE;
/* Handles in a value that leaves this process: its reader may keep them, and they are not counted any
 * more. `to`: the host that the value goes to; its own ones it counts itself. The lock is held. */
void rtci_lights_given(struct rtc *rtc, const struct rtc_value *value, struct rtci_id to);
void rtci_light_hosts_free(struct rtc *rtc);

/* A light actor's method would wait, and with it a thread of all of them: not done. */
int rtci_lights_waits(struct rtc *rtc, const char *what);

#endif
