/* What was done in the open episode of each slot, and the same done again elsewhere: so that a run goes
 * on in the midst of its episodes. An episode is a function of its seed and of the actions in it.
 *
 * Errors: those of rtc/env.h, with the sentence of rtc_env_error(). Thread: the environment's. */
#ifndef ACTORS_ROLLOUT_REPLAY_H
#define ACTORS_ROLLOUT_REPLAY_H

#include <rtc/env.h>

#define REPLAY_BYTES_MAX ((size_t)256 << 20) /* of actions; what has more begins its next episode */

struct replay_slot {
    uint64_t seed, number; /* as of rtc_env_reset_at() */
    char *actions;         /* of all its rows, in their order */
    size_t size, cap;
    uint64_t steps;
    bool open; /* all of them are there */
};
struct replay {
    struct replay_slot *slots;
    uint32_t n;
    size_t action_size, bytes;
};

int replay_init(struct replay *r, uint32_t slots, size_t action_size);
void replay_fini(struct replay *r);
/* The slot was reset with that seed. */
void replay_begin(struct replay *r, uint32_t slot, uint64_t seed);
/* A step of slots, and then the action of each of their rows; there may be none. */
void replay_step(struct replay *r, uint32_t first, uint32_t n);
void replay_act(struct replay *r, uint32_t slot, const void *action);
/* Its episode ended; the next one has begun. */
void replay_next(struct replay *r, uint32_t slot);

/* All of it as bytes, with a random state for each slot, and `opens`, which is the caller's.
 * Ownership: *ret_data is freed by the caller. */
int replay_pack(const struct replay *r, struct rtc_env *env, const uint64_t *random, uint64_t opens,
                void **ret_data, size_t *ret_size);
/* Brings an environment with as many slots to where another one was. Slots work side by side. What
 * it then sees is compared.
 * Errors: also RTC_E_INVALID: these are no such bytes, or another environment's; or the same actions
 * led elsewhere. The slots are then to be reset. */
int replay_unpack(struct replay *r, struct rtc_env *env, const void *data, size_t size,
                  uint64_t *random, uint64_t *ret_opens);

#endif
