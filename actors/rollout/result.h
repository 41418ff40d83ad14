/* How results travel. */
#ifndef ACTORS_ROLLOUT_RESULT_H
#define ACTORS_ROLLOUT_RESULT_H

#include "actors/rollout/rollout.h"

/* As what the method returns. */
int rollout_return(struct rtc_call *call, const struct rollout_result *result);

#endif
