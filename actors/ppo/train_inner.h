/* What the sources of the driver's loop share. */
#ifndef ACTORS_PPO_TRAIN_INNER_H
#define ACTORS_PPO_TRAIN_INNER_H

#include "actors/ppo/batch.h"
#include "actors/ppo/collect.h"
#include "actors/ppo/team.h"
#include "actors/ppo/train.h"
#include "actors/rollout/rollout.h"

#define TRAIN_WHY_MAX 1024

struct runner {
    rtc_actor actor;
    uint64_t fragments; /* that came */
    uint64_t opens;
    int64_t policy_ns, env_ns, lost;
    uint32_t failures; /* in a row */
    uint32_t waits;    /* so often in a row it had no place */
    bool away;         /* others make its fragments: it has no place, or */
    bool retired;      /* was let go */
};

struct train {
    struct rtc *rtc;
    struct train_options options;
    struct rtc_env_spec *spec;
    struct ppo *ppo;
    struct team *team; /* NULL: the driver learns alone */
    struct train_batch batch;
    struct runner *runners;
    rtc_ref *calls;   /* of the iterations that are out, in turn: rounds × actors each */
    uint32_t *owners; /* of the calls: which actor */
    bool lent;        /* some were moved to another, whose fragments then come in disorder */
    struct rtc_env_config env_config;
    uint32_t lowered;         /* times */
    uint64_t episodes_before; /* the run was resumed */
    uint64_t asked, done;     /* iterations: whose calls are out; that were learnt from */
    rtc_ref *open;            /* of each actor: where its episodes are, behind iteration `done` */
    rtc_ref weights;          /* of version `done` */
    bool has_weights;
    struct train_progress progress;
    double returns[TRAIN_EPISODES], lengths[TRAIN_EPISODES];
    double *infos, *info_means; /* TRAIN_EPISODES × n_infos; n_infos */
    char why[TRAIN_WHY_MAX];
};

/* Keep the sentence; return the code. */
__attribute__((format(printf, 3, 4))) int train_fail(struct train *t, int rc, const char *fmt, ...);
int train_fail_rtc(struct train *t, int rc); /* that of rtc, when it is one */
__attribute__((format(printf, 2, 3))) void train_note(struct train *t, const char *fmt, ...);

#define TRAIN_FAILURES_MAX 20 /* of an actor in a row; then the run ends */

int train_start_actor(struct train *t, uint32_t i);
void train_end_actor(struct train *t, uint32_t i);
int train_publish(struct train *t); /* the weights as an object: once for all actors of a version */
/* The actor whose turn it is, or, while that one has no place, the next that has. */
uint32_t train_owner(const struct train *t, uint32_t k);
/* What is out of that actor, or of all of them, is asked for anew. */
int train_ask_anew(struct train *t, uint32_t actor, bool all);

/* While it is learnt, actors tell where their episodes are. */
int train_ask_open(struct train *t);
void train_drop_open(struct train *t);

#endif
