/* Which of the arena's memory is there, in chunks of 2 MiB.
 *
 * The first touch of a page costs several times the copy into it. So where the next object of the
 * last one's size would be placed is touched ahead, by a thread of the daemon; what was freed stays
 * for the next; and when no large object was made for a while, what is free goes back to the
 * system, but for a little. A free chunk's memory is taken by the loop itself, in this very turn:
 * later it might be another object's. */
#include <stdlib.h>

#include "runtime/core/node.h"

#define CHUNK        ARENA_LARGE_ALIGN
#define AHEAD_MAX    (128 * RTCI_MIB)
#define KEPT_CHUNKS  2u
#define START_NS     RTCI_NS_PER_S /* not while everything starts */
#define IDLE_NS      (5 * RTCI_NS_PER_S)
#define COOL_CHUNKS  16u /* at most so many in a turn: each costs the loop about 0.1 ms */
#define COOL_EACH_NS (5 * RTCI_NS_PER_MS)

static bool is_warm(const struct arena *arena, uint64_t chunk)
{
    return arena->warm[chunk / 8] >> chunk % 8 & 1;
}

static void set_warm(struct arena *arena, uint64_t chunk, bool warm)
{
    uint8_t bit = (uint8_t)(1u << chunk % 8);
    arena->warm[chunk / 8] =
        (uint8_t)(warm ? arena->warm[chunk / 8] | bit : arena->warm[chunk / 8] & ~bit);
}

void node_warm_init(struct rtci_node_core *core)
{
    struct arena *arena = &core->arena;
    uint64_t chunks = arena->size / CHUNK + 1;
    arena->warm = calloc(1, chunks / 8 + 1);
    RTCI_ASSERT(arena->warm);
    arena->cool_ns = NODE_NEVER;
    arena->warm_ns = core->config.now_ns + START_NS;
    node_wake(core, arena->warm_ns);
    if (!core->config.store_used)
        return;
    memset(arena->warm, 0xff, chunks / 8 + 1); /* a daemon before this one may have touched it */
    arena->cool_ns = core->config.now_ns + IDLE_NS;
    node_wake(core, arena->cool_ns);
}

/* Says WARM for what is cold of [offset, offset + size). */
static void touch(struct rtci_node_core *core, uint64_t offset, uint64_t size,
                  struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    uint64_t first = offset / CHUNK, last = (offset + size - 1) / CHUNK;
    for (uint64_t at = first; at <= last;) {
        uint64_t run = at;
        for (; run <= last && !is_warm(arena, run); run++)
            set_warm(arena, run, true);
        if (run > at) {
            struct rtci_node_action *act = node_act(actions, RTCI_NA_STORE_WARM, 0);
            act->offset = at * CHUNK;
            act->size = (run < arena->size / CHUNK ? run * CHUNK : arena->size) - act->offset;
        }
        at = run > at ? run : at + 1;
    }
}

/* An object was placed. Its writer touches its memory; where the next may be is touched meanwhile.
 */
void node_warm_placed(struct rtci_node_core *core, uint64_t now_ns, const struct extent *extent,
                      struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    uint64_t size = extent->size;
    for (uint64_t at = extent->offset / CHUNK; at <= (extent->offset + size - 1) / CHUNK; at++)
        set_warm(arena, at, true);
    if (size < CHUNK && extent->offset % CHUNK)
        return; /* of the small ones, the first in a chunk looks ahead */
    arena->cool_ns = now_ns + IDLE_NS;
    node_wake(core, arena->cool_ns);
    uint64_t next = node_arena_next(arena, size), ahead = size < AHEAD_MAX ? size : AHEAD_MAX;
    if (next != UINT64_MAX)
        touch(core, next, ahead, actions);
}

/* Gives memory of whole free chunks back. Returns true when there may be more. */
static bool cool(struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    uint32_t kept = 0, taken = 0;
    for (uint32_t i = NODE_FIRST_EXTENT; i; i = arena->extents[i].next) {
        const struct extent *extent = &arena->extents[i];
        if (extent->entry)
            continue;
        uint64_t at = (extent->offset + CHUNK - 1) / CHUNK;
        uint64_t end = (extent->offset + extent->size) / CHUNK;
        while (at < end) {
            uint64_t run = at;
            for (; run < end && is_warm(arena, run) && kept >= KEPT_CHUNKS && taken < COOL_CHUNKS;
                 run++, taken++)
                set_warm(arena, run, false);
            if (run > at) {
                struct rtci_node_action *act = node_act(actions, RTCI_NA_STORE_COOL, 0);
                act->offset = at * CHUNK;
                act->size = (run - at) * CHUNK;
                arena->cools++;
            }
            if (taken == COOL_CHUNKS)
                return true;
            at = run;
            kept += at < end && is_warm(arena, at);
            at += at < end;
        }
    }
    return false;
}

void node_warm_timers(struct rtci_node_core *core, uint64_t now_ns,
                      struct rtci_node_actions *actions)
{
    struct arena *arena = &core->arena;
    if (arena->warm_ns <= now_ns) {
        arena->warm_ns = NODE_NEVER;
        if (arena->size >= KEPT_CHUNKS * CHUNK)
            touch(core, 0, KEPT_CHUNKS * CHUNK, actions);
    }
    if (arena->warm_ns != NODE_NEVER)
        node_wake(core, arena->warm_ns);
    if (arena->cool_ns <= now_ns)
        arena->cool_ns = cool(core, actions) ? now_ns + COOL_EACH_NS : NODE_NEVER;
    if (arena->cool_ns != NODE_NEVER)
        node_wake(core, arena->cool_ns);
}

void node_warm_check(const struct rtci_node_core *core)
{
    const struct arena *arena = &core->arena;
    for (uint32_t i = NODE_FIRST_EXTENT; i; i = arena->extents[i].next) {
        const struct extent *extent = &arena->extents[i];
        uint64_t last = (extent->offset + extent->size - 1) / CHUNK;
        for (uint64_t at = extent->offset / CHUNK; extent->entry && at <= last; at++)
            RTCI_ASSERT(is_warm(arena, at));
    }
}
