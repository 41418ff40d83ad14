/* The driver of check_actors.py: calls whose every trace can be counted.
 *
 *   calls FILE SINK_NODE RELAY_NODE RESTARTS RETRIES   until stdin ends: this process calls a sink,
 * and a relay that calls the sink; each call that runs leaves a mark in FILE. Then every outcome is
 * held against the marks: what was answered has run once, what is said not to have run has not, the
 * calls of one caller ran in their order. When it may call no more, it says `ended`.
 *   calls_kept …            … of a detached sink
 *   calls_moves …           … by a relay that is started again elsewhere
 *   calls_alone …           … by this process alone: many are under way
 *   detached FILE NODE      creates a detached actor with a name there, and ends
 *   find                    asks that actor for its incarnation, and stops it
 *
 * Results are lines `key value`. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rtc/actor.h>

#define WINDOW   500
#define CALLS    4000000
#define PATIENCE RTC_S(90)
#define RELAYED  1000000000 /* numbers of calls that the relay makes */

struct mark {
    int64_t number;
    uint32_t incarnation, pad;
    uint64_t host;
};

static uint64_t host_here(void)
{
    struct stat st;
    return stat("/proc/self/ns/net", &st) ? 0 : (uint64_t)st.st_ino;
}

/* ---- Actors ---- */

struct sink {
    int fd;
};
static int sink_init(struct rtc_call *call)
{
    struct sink *self = rtc_self(call);
    const char *path;
    RTC_TRY(rtc_arg_str(call, 0, &path, NULL));
    self->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return self->fd < 0 ? rtc_fail(call, RTC_E_OS, "opening %s", path) : 0;
}
static int mark(struct rtc_call *call)
{
    struct sink *self = rtc_self(call);
    struct mark at = {.incarnation = rtc_self_incarnation(call), .host = host_here()};
    RTC_TRY(rtc_arg_i64(call, 0, &at.number));
    if (write(self->fd, &at, sizeof(at)) != (ssize_t)sizeof(at))
        return rtc_fail(call, RTC_E_OS, "writing a mark");
    return rtc_return_i64(call, at.number * 3);
}
static int incarnation(struct rtc_call *call)
{
    return rtc_return_i64(call, rtc_self_incarnation(call));
}
RTC_ACTOR(sink, struct sink, .init = sink_init,
          .methods = {RTC_METHOD(mark), RTC_METHOD(incarnation)});

struct relay {
    rtc_actor sink;
};
static int relay_init(struct rtc_call *call)
{
    struct relay *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->sink));
    return rtc_actor_retain(rtc_call_rtc(call), self->sink);
}
/* Some have their number as an object, which nobody else knows yet. */
static int call_it(struct rtc *rtc, rtc_actor actor, const char *method, int64_t n, bool object,
                   rtc_ref *ret)
{
    rtc_ref number;
    const struct rtc_value value = rtc_i64(n);
    if (!object)
        return rtc_actor_call(rtc, actor, method, RTC_ARGS(rtc_i64(n)), NULL, ret);
    int rc = rtc_put(rtc, &value, &number);
    rc = rc ? rc : rtc_actor_call(rtc, actor, method, RTC_ARGS(rtc_of_ref(number)), NULL, ret);
    return rc ? rc : rtc_release(rtc, number);
}

/* The outcome of a call to the sink: its value, or -1 - enum rtc_ran. */
static int pass(struct rtc_call *call)
{
    struct relay *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    struct rtc_failure failure = {.ran = RTC_RAN_UNKNOWN};
    struct rtc_value value;
    int64_t number, out;
    rtc_ref ref;
    RTC_TRY(rtc_arg_i64(call, 0, &number));
    RTC_TRY(call_it(rtc, self->sink, "mark", number, number % 2, &ref));
    int rc = rtc_get(rtc, ref, PATIENCE, &value);
    if (rc == RTC_E_TIMEOUT)
        return rc;
    if (rc)
        (void)!rtc_failure_of(rtc, ref, &failure);
    out = rc ? -1 - (int64_t)failure.ran : value.as.i;
    RTC_TRY(rtc_release(rtc, ref));
    return rtc_return_i64(call, out);
}
RTC_ACTOR(relay, struct relay, .init = relay_init, .methods = {RTC_METHOD(pass)});

/* ---- The book ---- */

enum outcome { NONE, DONE, NOT_RUN, HAS_RUN, UNKNOWN, REFUSED };
struct line { /* of one caller's calls */
    rtc_actor actor;
    const char *method;
    int64_t base, made, got;
    bool again; /* one is made again when its actor was lost */
    uint8_t *outcome, *marks;
    rtc_ref refs[WINDOW];
};
struct book {
    struct rtc *rtc;
    struct line line[2];
    int n_lines;
    char story[600];
};

static enum outcome of_ran(int64_t ran)
{
    return ran == RTC_RAN_NO ? NOT_RUN : ran == RTC_RAN_YES ? HAS_RUN : UNKNOWN;
}

/* This process may call nobody any more; what it called before may still run. */
static void wait_for_end(void)
{
    char byte;
    printf("ended 1\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
}

static bool more_wanted(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char byte;
    return poll(&in, 1, 0) == 0 || read(0, &byte, 1) > 0;
}

static void tell_story(struct book *book, const struct line *line)
{
    if (!book->story[0])
        snprintf(book->story, sizeof(book->story), "%s %" PRId64 ": %.500s", line->method,
                 line->got, rtc_last_error());
}

static bool take(struct book *book, struct line *line)
{
    struct rtc_value value;
    struct rtc_failure failure = {.ran = RTC_RAN_UNKNOWN};
    rtc_ref ref = line->refs[line->got % WINDOW];
    int rc = rtc_get(book->rtc, ref, PATIENCE, &value);
    if (rc == RTC_E_TIMEOUT) {
        fprintf(stderr, "%s %" PRId64 " has no answer\n", line->method, line->got);
        return false;
    }
    uint8_t *out = &line->outcome[line->got];
    if (rc) {
        tell_story(book, line);
        (void)!rtc_failure_of(book->rtc, ref, &failure);
        *out =
            (uint8_t)(line->base ? REFUSED : of_ran(failure.ran)); /* the relay itself was lost */
    } else if (value.as.i < 0) {
        *out = (uint8_t)of_ran(-1 - value.as.i);
    } else {
        *out = value.as.i == (line->base + line->got) * 3 ? DONE : NONE;
    }
    line->got++;
    (void)!rtc_release(book->rtc, ref); /* it cannot when this process was let go */
    return true;
}

static bool make(struct book *book, struct line *line)
{
    rtc_ref *ret = &line->refs[line->made % WINDOW];
    int rc = call_it(book->rtc, line->actor, line->method, line->base + line->made,
                     line->made % 16 == 5, ret);
    if (rc) {
        fprintf(stderr, "%s %" PRId64 ": %s\n", line->method, line->made, rtc_last_error());
        return false;
    }
    line->made++;
    return true;
}

static bool work(struct book *book)
{
    bool more = true, ended = false;
    int64_t told = 0;
    while (more || book->line[0].got < book->line[0].made ||
           book->line[1].got < book->line[1].made) {
        more = more && more_wanted();
        for (int i = 0; i < book->n_lines; i++) {
            struct line *line = &book->line[i];
            if (more && line->made < CALLS && line->made - line->got < (i ? 20 : WINDOW) &&
                !make(book, line)) {
                ended = true;
                more = false;
            }
            if ((!more || line->made - line->got == (i ? 20 : WINDOW)) && line->got < line->made &&
                !take(book, line))
                return false;
        }
        if (book->line[0].got - told >= 200) {
            told = book->line[0].got;
            printf("got %" PRId64 "\n", told + book->line[1].got);
            fflush(stdout);
        }
    }
    if (ended)
        wait_for_end();
    return true;
}

/* Marks out of order, or beyond what was called. Late ones are of an incarnation after which
 * another has run calls already. */
static int64_t read_marks(struct book *book, const char *path)
{
    FILE *file = fopen(path, "re");
    struct mark at;
    int64_t bad = 0, late = 0, last[2] = {-1, -1};
    uint32_t of[2] = {0, 0}, incarnations = 0;
    while (file && fread(&at, sizeof(at), 1, file) == 1) {
        int i = at.number >= RELAYED;
        struct line *line = &book->line[i];
        int64_t n = at.number - line->base;
        if (n >= 0 && n < line->made && line->marks[n] < 255)
            line->marks[n]++;
        if (at.incarnation < incarnations) {
            late++;
            continue;
        }
        if (of[i] != at.incarnation)
            last[i] = -1;
        /* A relay that was started again may begin with what the last one had begun. */
        bad += n < 0 || n >= line->made || n < last[i] || (n == last[i] && !line->again);
        if (bad == 1 && !book->story[0])
            snprintf(book->story, sizeof(book->story),
                     "mark %" PRId64 " of incarnation %u after %" PRId64, at.number, at.incarnation,
                     last[i]);
        last[i] = n;
        of[i] = at.incarnation;
        incarnations = at.incarnation;
    }
    if (file)
        fclose(file);
    printf("incarnations %u\nlate %" PRId64 "\n", incarnations, late);
    return bad;
}

static int count(struct book *book, const char *path)
{
    static const char *const names[] = {"none", "done", "not_run", "has_run", "unknown", "refused"};
    int64_t n[6] = {0}, lies = 0, twice = 0, order = read_marks(book, path);
    for (int i = 0; i < 2; i++) {
        const struct line *line = &book->line[i];
        for (int64_t k = 0; k < line->made; k++) {
            enum outcome o = line->outcome[k];
            n[o]++;
            bool lie =
                o == NONE || (o == DONE && !line->marks[k]) || (o == NOT_RUN && line->marks[k]);
            lies += lie;
            if (lie)
                fprintf(stderr, "%s %" PRId64 " is %s and ran %u times\n", line->method, k,
                        names[o], line->marks[k]);
            twice += line->marks[k] > 1;
        }
    }
    for (int o = 0; o < 6; o++)
        printf("%s %" PRId64 "\n", names[o], n[o]);
    printf("calls %" PRId64 "\nlies %" PRId64 "\ntwice %" PRId64 "\norder %" PRId64 "\n",
           book->line[0].made + book->line[1].made, lies, twice, order);
    if (book->story[0])
        printf("story %s\n", book->story);
    return 0;
}

/* ---- Modes ---- */

static bool need(int rc, const char *what)
{
    if (rc)
        fprintf(stderr, "%s: %s\n", what, rtc_last_error());
    return rc == 0;
}

enum how { USUAL, KEPT, MOVES, ALONE };
static int calls(struct rtc *rtc, char **argv, enum how how)
{
    static struct book book;
    uint32_t sink_node = (uint32_t)atoi(argv[1]), relay_node = (uint32_t)atoi(argv[2]);
    int restarts = atoi(argv[3]), retries = atoi(argv[4]);
    bool moves = book.line[1].again = how == MOVES;
    enum rtc_place place = restarts ? RTC_PLACE_NODE_SOFT : RTC_PLACE_NODE;
    book.rtc = rtc;
    for (int i = 0; i < 2; i++) {
        book.line[i].outcome = calloc(CALLS, 1);
        book.line[i].marks = calloc(CALLS, 1);
        if (!book.line[i].outcome || !book.line[i].marks)
            return 1;
    }
    rtc_actor sink, relay = {0};
    book.n_lines = how == ALONE ? 1 : 2;
    if (!need(rtc_actor_create(
                  rtc, "sink", RTC_ARGS(rtc_str(argv[0])),
                  RTC_ACTOR_OPTIONS(.name = how == KEPT ? "kept" : NULL, .detached = how == KEPT,
                                    .max_restarts = restarts, .call_retries = retries,
                                    .needs = RTC_OPTIONS(.cpus = RTC_NONE, .place = place,
                                                         .node = sink_node)),
                  &sink),
              "sink") ||
        !need(rtc_actor_ready(rtc, sink, PATIENCE), "sink is not ready"))
        return 1;
    if (how != ALONE &&
        (!need(rtc_actor_create(
                   rtc, "relay", RTC_ARGS(rtc_of_actor(sink)),
                   RTC_ACTOR_OPTIONS(.max_restarts = moves ? -1 : 0, .call_retries = moves ? 5 : 0,
                                     .needs = RTC_OPTIONS(.cpus = RTC_NONE,
                                                          .place = moves ? RTC_PLACE_NODE_SOFT
                                                                         : RTC_PLACE_NODE,
                                                          .node = relay_node)),
                   &relay),
               "relay") ||
         !need(rtc_actor_ready(rtc, relay, PATIENCE), "relay is not ready")))
        return 1;
    book.line[0].actor = sink;
    book.line[0].method = "mark";
    book.line[1].actor = relay;
    book.line[1].method = "pass";
    book.line[1].base = RELAYED;
    if (!work(&book))
        return 1;
    return count(&book, argv[0]);
}

static int detached(struct rtc *rtc, char **argv)
{
    rtc_actor actor;
    return !need(rtc_actor_create(
                     rtc, "sink", RTC_ARGS(rtc_str(argv[0])),
                     RTC_ACTOR_OPTIONS(.name = "kept", .detached = true, .max_restarts = -1,
                                       .needs = RTC_OPTIONS(.cpus = RTC_NONE,
                                                            .place = RTC_PLACE_NODE_SOFT,
                                                            .node = (uint32_t)atoi(argv[1]))),
                     &actor),
                 "create") ||
           !need(rtc_actor_ready(rtc, actor, PATIENCE), "ready");
}

static int find(struct rtc *rtc)
{
    rtc_actor actor;
    rtc_ref ref;
    struct rtc_value value;
    struct rtc_actor_info info;
    if (!need(rtc_actor_find(rtc, NULL, "kept", PATIENCE, &actor), "find") ||
        !need(rtc_actor_call(rtc, actor, "incarnation", NULL, NULL, &ref), "call") ||
        !need(rtc_get(rtc, ref, PATIENCE, &value), "get") ||
        !need(rtc_actor_info(rtc, actor, &info), "info"))
        return 1;
    printf("incarnation %" PRId64 "\nnode %u\n", value.as.i, info.node);
    return !need(rtc_actor_stop(rtc, actor), "stop");
}

int main(int argc, char **argv)
{
    struct rtc *rtc = NULL;
    struct rtc_config config = {.name = "actor-driver", .space = "test"};
    if (!need(rtc_init(&argc, &argv, &config, &rtc), "init"))
        return 1;
    const char *mode = argc > 1 ? argv[1] : "";
    int status = 2;
    if (!strncmp(mode, "calls", 5) && argc == 7)
        status = calls(rtc, argv + 2,
                       !strcmp(mode, "calls_kept")    ? KEPT
                       : !strcmp(mode, "calls_moves") ? MOVES
                       : !strcmp(mode, "calls_alone") ? ALONE
                                                      : USUAL);
    else if (!strcmp(mode, "detached") && argc == 4)
        status = detached(rtc, argv + 2);
    else if (!strcmp(mode, "find") && argc == 2)
        status = find(rtc);
    fflush(stdout);
    rtc_shutdown(&rtc);
    return status;
}
