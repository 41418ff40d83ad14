/* Fragments: what the slots of an environment did in a number of steps, as one block of memory,
 * made in the object store by who collects and read there by who learns.
 *
 * A *row* is what one agent saw at one time. The rows of one step of one group of slots stand
 * together, in the order of rtc/env.h; groups and steps follow one another. Rows from `acted` on
 * are the last ones: they were seen, and are acted on in the next fragment; only TABLE,
 * OBSERVATIONS, MASKS and VALUES are there for them. */
#ifndef ACTORS_ROLLOUT_FRAGMENT_H
#define ACTORS_ROLLOUT_FRAGMENT_H

#include <rtc/env.h>

/* X(NAME, name, type, bytes a row) */
#define FRAGMENT_MAP(X)                                                                          \
    X(TABLE, table, struct rtc_env_row, sizeof(struct rtc_env_row))                              \
    X(OBSERVATIONS, observations, void, shape->observation_size)                                 \
    X(MASKS, masks, uint8_t, shape->mask_size)                                                   \
    X(ACTIONS, actions, void, shape->action_size)                                                \
    X(DISTS, dists, void, shape->dist_size)                                                      \
    X(LOG_PROBS, log_probs, float, sizeof(float))                                                \
    X(VALUES, values, float, sizeof(float))                                                      \
    X(BOOTSTRAPS, bootstraps, float, sizeof(float)) /* value of the last observation of one that \
                                                       was truncated; else 0 */                  \
    X(REWARDS, rewards, float, sizeof(float))                                                    \
    X(ENDS, ends, uint8_t, 1) /* enum rtc_env_ends */                                            \
    X(NEXT, next, uint32_t,                                                                      \
      sizeof(uint32_t)) /* the row where it goes on; RTC_ENV_NONE: it ended */                   \
    X(VERSIONS, versions, uint32_t, sizeof(uint32_t)) /* of the policy that acted */

#define X(NAME, name, type, size) FRAGMENT_##NAME,
enum fragment_column { FRAGMENT_MAP(X) FRAGMENT_COLUMNS };
#undef X

struct fragment_shape {
    uint32_t steps, slots;
    uint32_t cap;                                                 /* rows */
    uint32_t observation_size, mask_size, action_size, dist_size; /* bytes */
};

struct fragment_head {
    uint64_t magic, size; /* of the block, bytes */
    struct fragment_shape shape;
    uint32_t acted, rows;
    uint32_t version;              /* of the policy */
    uint64_t number;               /* of this collector's fragments, from 0 */
    uint64_t at[FRAGMENT_COLUMNS]; /* bytes from the beginning of the block, multiples of 64 */
};

/* A block with its columns found. Columns of no bytes are NULL. */
struct fragment {
    struct fragment_head *head;
#define X(NAME, name, type, size) type *name;
    FRAGMENT_MAP(X)
#undef X
};

/* Of the environment: a fragment of so many steps with room for every row there can be. */
struct fragment_shape fragment_shape_of(const struct rtc_env_spec *spec, size_t dist_size,
                                        uint32_t steps);
/* 0: more than can be. */
size_t fragment_size(const struct fragment_shape *shape);
/* An empty one, in a block of that size that is aligned to 64. */
void fragment_make(void *block, const struct fragment_shape *shape, struct fragment *ret);
/* Checks all that is needed to index without looking: sizes, columns, and every number in NEXT,
 * TABLE and ENDS. The block is only read. Errors: RTC_E_INVALID, with the sentence of
 * rtc_env_error(). */
int fragment_read(const void *block, size_t size, struct fragment *ret);

#endif
