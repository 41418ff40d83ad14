/* Fragments put together: what an update learns from. */
#ifndef ACTORS_PPO_BATCH_H
#define ACTORS_PPO_BATCH_H

#include "actors/ppo/ppo.h"
#include "actors/rollout/fragment.h"

struct train_batch {
    size_t cap, n;                    /* rows */
    size_t observation, mask, action; /* bytes a row */
    float *seen, *log_probs, *values, *advantages, *returns;
    uint8_t *masks, *active;
    char *actions;
};
/* For fragments of that environment, `cap` rows in all. Errors: RTC_E_NOMEM. */
int train_batch_init(struct train_batch *b, const struct rtc_env_spec *spec, size_t cap);
void train_batch_fini(struct train_batch *b);
/* Returns how many of its rows are to be learnt from. Errors: RTC_E_INVALID it is no fragment of
 * such an environment, or there is no room. */
int64_t train_batch_add(struct train_batch *b, const struct fragment *f,
                        const struct ppo_config *config);
struct ppo_batch train_batch_view(const struct train_batch *b);

#endif
