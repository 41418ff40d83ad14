/* What both sides of a team have in common. */
#ifndef ACTORS_PPO_LEARNER_H
#define ACTORS_PPO_LEARNER_H

#include <rtc/group.h>

#include "actors/ppo/share.h"

/* For others in a call of the group: a death is seen at once; this is for one that is stopped. */
#define LEARNER_PATIENCE RTC_S(60)

struct ppo_share learner_share(struct rtc_group *group);

#endif
