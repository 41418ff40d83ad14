/* What the drivers of check_kills.py call, and the book in which each call leaves a mark. */
#ifndef TESTS_CLUSTER_KILLS_ACTORS_H
#define TESTS_CLUSTER_KILLS_ACTORS_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rtc/actor.h>

#define DRIVERS  2
#define TARGETS  8
#define ROUTES   3
#define LINES    (DRIVERS * ROUTES * TARGETS)
#define PER_LINE 200000
#define RELAYS   3
#define BATCH    16
#define WINDOW   64
#define PATIENCE RTC_S(120)

enum kind { ONCE, FEW, ALWAYS, SAVED }; /* of a target: call_retries 0, 2, for ever, and `save` */
enum route { SELF, RELAY, TASK };
static const char *const kind_name[] = {"once", "few", "always", "saved"};
static const char *const route_name[] = {"self", "relay", "task"};
static enum kind kind_of(int64_t target)
{
    return (enum kind)(target / 2);
}

/* ---- What all processes see ---- */

struct trace {             /* of the calls of a line, at its target */
    int64_t next, was, is; /* … of the first disorder: one after the other */
    uint32_t incarnation, disorder, were, are;
};
struct book {
    uint32_t newest[TARGETS]; /* incarnation */
    uint32_t ghosts;          /* an older one ran something after a newer had begun */
    struct trace trace[LINES];
    uint8_t total[2][DRIVERS * ROUTES * PER_LINE]; /* of the saved: how often each was an answer */
    uint8_t begun[LINES][PER_LINE];
};

static struct book *map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct book)) == 0)
        at = mmap(NULL, sizeof(struct book), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return at == MAP_FAILED ? NULL : at;
}

/* ---- The targets ---- */

struct target {
    char path[200];
    struct book *book;
    int64_t number, total;
    rtc_actor echo; /* of one that saves */
};

static int target_init(struct rtc_call *call)
{
    struct target *self = rtc_self(call);
    const char *path;
    RTC_TRY(rtc_arg_str(call, 0, &path, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &self->number));
    if (rtc_arg_count(call) > 2)
        RTC_TRY(rtc_arg_actor(call, 2, &self->echo));
    snprintf(self->path, sizeof(self->path), "%s", path);
    return 0;
}

static int mark(struct rtc_call *call)
{
    struct target *self = rtc_self(call);
    int64_t line, n;
    RTC_TRY(rtc_arg_i64(call, 0, &line));
    RTC_TRY(rtc_arg_i64(call, 1, &n));
    if (!self->book && !(self->book = map(self->path)))
        return rtc_fail(call, RTC_E_OS, "%s cannot be mapped", self->path);
    struct book *book = self->book;
    uint32_t incarnation = rtc_self_incarnation(call), *newest = &book->newest[self->number];
    __atomic_fetch_add(&book->begun[line][n], 1, __ATOMIC_SEQ_CST);
    if (incarnation < *newest)
        __atomic_fetch_add(&book->ghosts, 1, __ATOMIC_SEQ_CST);
    *newest = incarnation > *newest ? incarnation : *newest;
    struct trace *trace = &book->trace[line];
    bool again = trace->incarnation != incarnation && kind_of(self->number) != ONCE;
    if (n < trace->next && !again && !trace->disorder++) {
        trace->was = trace->next - 1;
        trace->is = n;
        trace->were = trace->incarnation;
        trace->are = incarnation;
    }
    trace->next = n + 1;
    trace->incarnation = incarnation;
    for (volatile int k = 0; k < 5000; k++) { /* so that it is in here that it is killed */
    }
    if (kind_of(self->number) != SAVED)
        return rtc_return_i64(call, 3 * n);
    self->total++;
    RTC_TRY(rtc_actor_call(rtc_call_rtc(call), self->echo, "add", RTC_ARGS(rtc_i64(self->total)),
                           NULL, NULL));
    return rtc_return_i64(call, self->total);
}

static int target_save(struct rtc_call *call)
{
    return rtc_return_bytes(call, rtc_self(call), sizeof(struct target));
}

static int target_load(struct rtc_call *call)
{
    struct target *self = rtc_self(call);
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    memcpy(self, data, size < sizeof(*self) ? size : sizeof(*self));
    self->book = NULL;
    return 0;
}

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct target *)rtc_self(call))->total);
}

RTC_ACTOR(target, struct target, .init = target_init,
          .methods = {RTC_METHOD(mark), RTC_METHOD(total)});
RTC_ACTOR(saved, struct target, .init = target_init, .save = target_save, .load = target_load,
          .methods = {RTC_METHOD(mark), RTC_METHOD(total)});

/* What each saved one says to: every total once, one after the other. */
struct echo {
    int64_t last, wrong;
};

static int echo_save(struct rtc_call *call)
{
    return rtc_return_bytes(call, rtc_self(call), sizeof(struct echo));
}

static int echo_load(struct rtc_call *call)
{
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    memcpy(rtc_self(call), data, size < sizeof(struct echo) ? size : sizeof(struct echo));
    return 0;
}

static int add(struct rtc_call *call)
{
    struct echo *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    if (x != self->last + 1 && !self->wrong++)
        fprintf(stderr, "echo: %" PRId64 " after %" PRId64 "\n", x, self->last);
    self->last = x;
    return 0;
}

static int last(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct echo *)rtc_self(call))->last);
}

static int wrong(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct echo *)rtc_self(call))->wrong);
}

RTC_ACTOR(echo, struct echo, .save = echo_save, .load = echo_load,
          .methods = {RTC_METHOD(add), RTC_METHOD(last), RTC_METHOD(wrong)});

/* ---- Those between ---- */

/* What became of a call: its value, or -1 - enum rtc_ran. */
static int outcome_of(struct rtc *rtc, int64_t line, rtc_ref ref, int64_t *ret_outcome)
{
    struct rtc_failure failure = {.ran = RTC_RAN_UNKNOWN};
    struct rtc_value value;
    int rc = rtc_get(rtc, ref, PATIENCE, &value);
    if (rc == RTC_E_TIMEOUT)
        return rc;
    if (rc)
        (void)!rtc_failure_of(rtc, ref, &failure);
    if (rc && line % TARGETS >= 2 * ALWAYS)
        fprintf(stderr, "line %" PRId64 ": %s\n", line, failure.text);
    *ret_outcome = rc ? -1 - (int64_t)failure.ran : value.as.i;
    return rtc_release(rtc, ref);
}

struct relay {
    rtc_actor target[TARGETS];
};

static int relay_init(struct rtc_call *call)
{
    struct relay *self = rtc_self(call);
    for (size_t i = 0; i < TARGETS; i++) {
        RTC_TRY(rtc_arg_actor(call, i, &self->target[i]));
        RTC_TRY(rtc_actor_retain(rtc_call_rtc(call), self->target[i]));
    }
    return 0;
}

static int pass(struct rtc_call *call)
{
    struct relay *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    int64_t line, n, outcome;
    rtc_ref ref;
    RTC_TRY(rtc_arg_i64(call, 0, &line));
    RTC_TRY(rtc_arg_i64(call, 1, &n));
    RTC_TRY(rtc_actor_call(rtc, self->target[line % TARGETS], "mark",
                           RTC_ARGS(rtc_i64(line), rtc_i64(n)), NULL, &ref));
    RTC_TRY(outcome_of(rtc, line, ref, &outcome));
    return rtc_return_i64(call, outcome);
}
RTC_ACTOR(relay, struct relay, .init = relay_init, .methods = {RTC_METHOD(pass)});

/* Calls the target so many times at once. */
RTC_TASK(batch)
{
    struct rtc *rtc = rtc_call_rtc(call);
    int64_t line, n, outcome[BATCH];
    rtc_ref ref[BATCH];
    rtc_actor target;
    RTC_TRY(rtc_arg_actor(call, 0, &target));
    RTC_TRY(rtc_arg_i64(call, 1, &line));
    RTC_TRY(rtc_arg_i64(call, 2, &n));
    for (int i = 0; i < BATCH; i++)
        RTC_TRY(rtc_actor_call(rtc, target, "mark", RTC_ARGS(rtc_i64(line), rtc_i64(n + i)), NULL,
                               &ref[i]));
    for (int i = 0; i < BATCH; i++)
        RTC_TRY(outcome_of(rtc, line, ref[i], &outcome[i]));
    return rtc_return_bytes(call, outcome, sizeof(outcome));
}

#endif
