/* Points that are being evaluated on the cluster: in tasks of one or, when evaluations are short,
 * of several; again when they failed and may be; twice when one straggles and cores are idle. */
#ifndef ACTORS_DE_POOL_H
#define ACTORS_DE_POOL_H

#include <rtc/de.h>

struct de_pool;

struct de_done { /* valid until the next call */
    uint64_t id;
    const double *x, *moments;
    uint32_t n_moments;
    double value, seconds; /* value: NaN when it failed */
    bool failed;
    const char *node;
};
struct de_pool_counts {
    uint32_t points, tasks; /* that are out, or came back and were not taken yet */
    uint32_t ready;         /* points that came back */
    uint64_t failed, copies;
    double busy_seconds;
    bool overcommitted; /* evaluations use more cores than they were given */
};

struct de_pool *de_pool_create(struct rtc *rtc, const struct rtc_de_options *options);
void de_pool_free(struct de_pool *pool);
/* Forgets what is out: it is cancelled, and never comes back. */
int de_pool_clear(struct de_pool *pool);
/* Adds a point; it is sent with others, at the latest by de_pool_send(). */
int de_pool_add(struct de_pool *pool, uint64_t id, const double *x);
int de_pool_send(struct de_pool *pool);
/* How many points go into a task: as many as make one worth its while. Those of a generation of
 * `together` points are spread over at least twice as many tasks as there are workers. */
void de_pool_set_batch(struct de_pool *pool, uint32_t together, uint32_t workers);
/* Blocks: until something came back, at most timeout. RTC_E_TIMEOUT is no error. RTC_E_TASK_FAILED:
 * an evaluation failed and that is fatal; rtc_de_error() has the sentence. */
int de_pool_wait(struct de_pool *pool, int64_t timeout);
/* What ended it: an evaluation that failed and is fatal, or the cluster. 0: nothing did. */
int de_pool_error(const struct de_pool *pool);
bool de_pool_next(struct de_pool *pool, struct de_done *ret_done);
/* Nothing more can be sent now and `idle` cores have nothing to do. */
int de_pool_second_copies(struct de_pool *pool, uint32_t idle);
/* Why an evaluation that is out waits, or "". */
void de_pool_why(struct de_pool *pool, char *text, size_t size);
void de_pool_counts(const struct de_pool *pool, struct de_pool_counts *ret_counts);

/* run.c */
int de_fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
