/* Generalised advantage estimation, over rows that name the ones they go on in. */
#include <assert.h>

#include <rtc/env.h>

#include "actors/ppo/ppo.h"

void ppo_advantages(const struct ppo_steps *steps, double gamma, double lambda, bool bootstrap,
                    float *advantages, float *returns)
{
    float g = (float)gamma, gl = (float)(gamma * lambda);
    for (size_t i = steps->n; i-- > 0;) {
        uint32_t next = steps->next[i];
        uint8_t ends = steps->ends[i];
        float after = 0, behind = 0; /* the next value; the next advantage */
        assert(next > i);
        if (ends & RTC_ENV_LOST) {
            advantages[i] = 0;
            returns[i] = steps->values[i];
            continue;
        }
        bool ended = ends & RTC_ENV_TERMINATED || (ends && !bootstrap);
        if (!ended && next == RTC_ENV_NONE) {
            after = steps->last[i];
        } else if (!ended) {
            after = steps->values[next];
            behind = next < steps->n ? advantages[next] : 0;
        }
        float delta = steps->rewards[i] + g * after - steps->values[i];
        advantages[i] = delta + gl * behind;
        returns[i] = advantages[i] + steps->values[i];
    }
}
