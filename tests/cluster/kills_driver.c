/* The drivers of check_kills.py: calls of many kinds whose every trace can be counted.
 *
 *   make FILE NODE…    creates the actors, from then on as `call`; when stdin ends it asks for sums
 *   call FILE WHO      finds them, and calls them as stdin says: by itself, by
 * relays, which are actors, and by tasks. Then every outcome is held against the marks that the
 * calls left in FILE, which all processes of the test map.
 *
 * A *line* is what one driver has one target called in one way. Results are lines `key value`. */
#include <poll.h>

#include "tests/cluster/kills_actors.h"

/* ---- The driver ---- */

/* LOST: of who was to make the call nobody knows how far it came. */
enum outcome { NONE, DONE, NOT_RUN, HAS_RUN, UNKNOWN, LOST, OUTCOMES };
static const char *const outcome_name[] = {"none", "done", "not_run", "has_run", "unknown", "lost"};
struct line {
    int64_t number, made, got;
    int64_t granted;
    int64_t step;   /* calls of one reference */
    int64_t window; /* references at once */
    enum route route;
    rtc_ref refs[WINDOW];
    uint8_t outcome[PER_LINE];
};
struct driver {
    struct rtc *rtc;
    struct book *book;
    rtc_actor target[TARGETS], relay[RELAYS], echo[2];
    struct line line[ROUTES * TARGETS];
    int64_t wrong_values, calls, lies, twice, silent, done[2], maybe[2];
    char story[600];
};

static enum kind kind_of_line(const struct line *line)
{
    return kind_of(line->number % TARGETS);
}

static void note(struct driver *d, struct line *line, int64_t n, int64_t value)
{
    uint8_t *out = &line->outcome[n];
    int64_t target = line->number % TARGETS;
    if (value < 0) {
        int64_t ran = -1 - value;
        *out = ran == RTC_RAN_NO ? NOT_RUN : ran == RTC_RAN_YES ? HAS_RUN : UNKNOWN;
        return;
    }
    *out = DONE;
    if (kind_of_line(line) != SAVED) {
        d->wrong_values += value != 3 * n;
    } else if (value < 1 || value >= (int64_t)sizeof(d->book->total[0])) {
        d->wrong_values++;
    } else if (__atomic_fetch_add(&d->book->total[target % 2][value], 1, __ATOMIC_SEQ_CST)) {
        d->wrong_values++; /* it was somebody's answer before */
        snprintf(d->story, sizeof(d->story), "line %" PRId64 " call %" PRId64 ": a second %" PRId64,
                 line->number, n, value);
    }
}

static bool take(struct driver *d, struct line *line)
{
    rtc_ref ref = line->refs[line->got / line->step % line->window];
    struct rtc_value value;
    struct rtc_failure failure = {.ran = RTC_RAN_UNKNOWN};
    const void *data = NULL;
    size_t size = 0;
    int rc = rtc_get(d->rtc, ref, 0, &value);
    if (rc) {
        if (!d->story[0])
            snprintf(d->story, sizeof(d->story), "%s to %s, call %" PRId64 ": %.400s",
                     route_name[line->route], kind_name[kind_of_line(line)], line->got,
                     rtc_last_error());
        (void)!rtc_failure_of(d->rtc, ref, &failure);
    } else if (line->route == TASK && rtc_value_bytes(&value, &data, &size) == 0 &&
               size != BATCH * sizeof(int64_t)) {
        return false;
    }
    for (int64_t i = 0; i < line->step; i++, line->got++) {
        if (rc == 0)
            note(d, line, line->got, data ? ((const int64_t *)data)[i] : value.as.i);
        else if (line->route == SELF)
            note(d, line, line->got, -1 - (int64_t)failure.ran);
        else
            line->outcome[line->got] =
                line->route == RELAY && failure.ran == RTC_RAN_NO ? NOT_RUN : LOST;
    }
    return rtc_release(d->rtc, ref) == 0;
}

static int make(struct driver *d, struct line *line)
{
    rtc_ref *ret = &line->refs[line->made / line->step % line->window];
    rtc_actor target = d->target[line->number % TARGETS];
    struct rtc_value number = rtc_i64(line->number), n = rtc_i64(line->made);
    int rc;
    if (line->route == SELF)
        rc = rtc_actor_call(d->rtc, target, "mark", RTC_ARGS(number, n), NULL, ret);
    else if (line->route == RELAY)
        rc = rtc_actor_call(d->rtc, d->relay[line->number % RELAYS], "pass", RTC_ARGS(number, n),
                            NULL, ret);
    else
        rc = rtc_submit(d->rtc, "batch", RTC_ARGS(rtc_of_actor(target), number, n),
                        RTC_OPTIONS(.retries = RTC_NO_RETRY, .cpus = 0.25), ret);
    if (rc == 0)
        line->made += line->step;
    return rc;
}

static void tell_pending(const struct driver *d)
{
    fprintf(stderr, "no answer yet to");
    for (int i = 0; i < ROUTES * TARGETS; i++) {
        const struct line *line = &d->line[i];
        if (line->got < line->made)
            fprintf(stderr, " %s-%s%" PRId64 ":%" PRId64 "+%" PRId64, route_name[line->route],
                    kind_name[kind_of_line(line)], line->number, line->got, line->made - line->got);
    }
    fprintf(stderr, "\n");
}

/* Each `g` on stdin lets every line make some more calls, at `s` it says what is pending, `e` is
 * the end. */
static bool hear(struct driver *d, bool more)
{
    static const int64_t grant[] = {40, 8, BATCH};
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char byte;
    while (more && poll(&in, 1, 0) > 0) {
        if (read(0, &byte, 1) != 1 || byte == 'e')
            return false;
        if (byte == 's') {
            tell_pending(d);
            continue;
        }
        for (int i = 0; i < ROUTES * TARGETS; i++)
            d->line[i].granted += grant[d->line[i].route];
    }
    return more;
}

/* Fills its window, and takes what has come. */
static int turn(struct driver *d, struct line *line, bool more)
{
    while (more && line->made + line->step <= line->granted && line->made < PER_LINE - BATCH &&
           line->made - line->got < line->window * line->step) {
        int rc = make(d, line);
        if (rc) {
            fprintf(stderr, "%s to %s: %s\n", route_name[line->route],
                    kind_name[kind_of_line(line)], rtc_last_error());
            return rc;
        }
    }
    while (line->got < line->made) {
        size_t ready, n = 0;
        int rc = rtc_wait(d->rtc, &line->refs[line->got / line->step % line->window], 1, 1, 0,
                          &ready, &n);
        if (rc || !n)
            return rc == RTC_E_TIMEOUT ? 0 : rc;
        if (!take(d, line))
            return RTC_E_INVALID;
    }
    return 0;
}

static bool work(struct driver *d)
{
    bool more = true;
    int64_t told = 0, idle = 0;
    for (;;) {
        rtc_ref first[ROUTES * TARGETS];
        size_t n = 0, ready, n_ready;
        int64_t got = 0;
        more = hear(d, more);
        for (int i = 0; i < ROUTES * TARGETS; i++) {
            struct line *line = &d->line[i];
            if (turn(d, line, more))
                return false;
            got += line->got;
            if (line->got < line->made)
                first[n++] = line->refs[line->got / line->step % line->window];
        }
        if (got - told >= 100 || (!n && got != told)) {
            told = got;
            printf("got %" PRId64 "\n", got);
            fflush(stdout);
        }
        if (!n && !more)
            return true;
        int rc = n ? rtc_wait(d->rtc, first, n, 1, RTC_MS(50), &ready, &n_ready)
                   : rtc_poll(d->rtc, RTC_MS(50));
        idle = rc == RTC_E_TIMEOUT && n ? idle + RTC_MS(50) : 0;
        if (idle >= PATIENCE) {
            tell_pending(d);
            return false;
        }
    }
}

/* ---- Is it true? ---- */

static bool is_lie(const struct line *line, enum outcome outcome, int begun)
{
    enum kind kind = kind_of_line(line);
    if (outcome == NONE || (outcome == DONE && !begun) || (outcome == NOT_RUN && begun))
        return true;
    return (kind == ALWAYS || kind == SAVED) && outcome != DONE && outcome != LOST &&
           (line->route == SELF || outcome != NOT_RUN);
}

static void judge(struct driver *d, const struct line *line, int64_t *n)
{
    enum kind kind = kind_of_line(line);
    int most = kind == ONCE ? 1 : kind == FEW ? 3 : 255;
    for (int64_t k = 0; k < line->made; k++) {
        enum outcome o = line->outcome[k];
        int begun = d->book->begun[line->number][k];
        n[o]++;
        bool lie = is_lie(line, o, begun);
        d->lies += lie;
        d->twice += begun > most;
        d->silent += o == HAS_RUN && !begun;
        if (lie || begun > most)
            fprintf(stderr, "%s to %s%" PRId64 ", call %" PRId64 " is %s and began %d times\n",
                    route_name[line->route], kind_name[kind], line->number, k, outcome_name[o],
                    begun);
        if (kind == SAVED) {
            d->done[line->number % 2] += o == DONE;
            d->maybe[line->number % 2] += o == LOST;
        }
    }
    d->calls += line->made;
}

static int count(struct driver *d)
{
    int64_t n[OUTCOMES] = {0}, order = 0, incarnations = 0;
    for (int i = 0; i < ROUTES * TARGETS; i++) {
        judge(d, &d->line[i], n);
        const struct trace *t = &d->book->trace[d->line[i].number];
        if (d->line[i].route != SELF || !t->disorder)
            continue; /* those of other routes have several callers */
        order += t->disorder;
        fprintf(stderr,
                "line %" PRId64 " (%s): %" PRId64 " of incarnation %u after %" PRId64 " of %u\n",
                d->line[i].number, kind_name[kind_of_line(&d->line[i])], t->is, t->are, t->was,
                t->were);
    }
    for (int i = 0; i < TARGETS; i++)
        incarnations += d->book->newest[i];
    for (int o = 0; o < OUTCOMES; o++)
        printf("%s %" PRId64 "\n", outcome_name[o], n[o]);
    printf("calls %" PRId64 "\nlies %" PRId64 "\ntwice %" PRId64 "\norder %" PRId64 "\n", d->calls,
           d->lies, d->twice, order);
    printf("wrong_values %" PRId64 "\nsilent %" PRId64 "\nghosts %u\nincarnations %" PRId64 "\n",
           d->wrong_values, d->silent, d->book->ghosts, incarnations);
    for (int i = 0; i < 2; i++)
        printf("saved_done%d %" PRId64 "\nsaved_maybe%d %" PRId64 "\n", i, d->done[i], i,
               d->maybe[i]);
    if (d->story[0])
        printf("story %s\n", d->story);
    return 0;
}

/* ---- Its beginning ---- */

static bool need(int rc, const char *what)
{
    if (rc)
        fprintf(stderr, "%s: %s\n", what, rtc_last_error());
    return rc == 0;
}

static bool create(struct driver *d, const char *path, char **nodes, int n_nodes)
{
    static const int retries[] = {0, 2, RTC_RETRY_FOREVER, RTC_RETRY_FOREVER};
    struct rtc_options needs = {.cpus = RTC_NONE, .place = RTC_PLACE_NODE_SOFT};
    struct rtc_actor_options options = {
        .max_restarts = RTC_RETRY_FOREVER, .needs = &needs, .save_every = 20};
    struct rtc_value all[TARGETS];
    char name[32];
    options.name = name;
    options.call_retries = RTC_RETRY_FOREVER;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "echo%d", i);
        needs.node = (uint32_t)atoi(nodes[(i + 1) % n_nodes]);
        if (!need(rtc_actor_create(d->rtc, "echo", NULL, &options, &d->echo[i]), name))
            return false;
    }
    for (int i = 0; i < TARGETS; i++) {
        snprintf(name, sizeof(name), "target%d", i);
        needs.node = (uint32_t)atoi(nodes[i % n_nodes]);
        options.call_retries = retries[kind_of(i)];
        bool saved = kind_of(i) == SAVED;
        const struct rtc_value values[] = {rtc_str(path), rtc_i64(i), rtc_of_actor(d->echo[i % 2])};
        const struct rtc_args args = {values, saved ? 3 : 2};
        if (!need(rtc_actor_create(d->rtc, saved ? "saved" : "target", &args, &options,
                                   &d->target[i]),
                  name))
            return false;
        all[i] = rtc_of_actor(d->target[i]);
    }
    options.call_retries = 0;
    for (int i = 0; i < RELAYS; i++) {
        snprintf(name, sizeof(name), "relay%d", i);
        needs.node = (uint32_t)atoi(nodes[i % n_nodes]);
        const struct rtc_args args = {all, TARGETS};
        if (!need(rtc_actor_create(d->rtc, "relay", &args, &options, &d->relay[i]), name))
            return false;
    }
    return true;
}

static bool find(struct driver *d)
{
    for (int i = 0; i < TARGETS + RELAYS; i++) {
        char name[32];
        snprintf(name, sizeof(name), i < TARGETS ? "target%d" : "relay%d", i % TARGETS);
        rtc_actor *actor = i < TARGETS ? &d->target[i] : &d->relay[i - TARGETS];
        if (!need(rtc_actor_find(d->rtc, NULL, name, PATIENCE, actor), name))
            return false;
    }
    return true;
}

static void draw_lines(struct driver *d, int64_t who)
{
    static const int64_t window[] = {48, 3, 1};
    for (int i = 0; i < ROUTES * TARGETS; i++) {
        enum route route = (enum route)(i / TARGETS);
        d->line[i].route = route;
        d->line[i].number = who * ROUTES * TARGETS + i;
        d->line[i].window = window[route];
        d->line[i].step = route == TASK ? BATCH : 1;
    }
}

static bool ask(struct driver *d, rtc_actor actor, const char *method, int64_t *ret_x)
{
    rtc_ref ref;
    return need(rtc_actor_call(d->rtc, actor, method, NULL, NULL, &ref), method) &&
           need(rtc_get_i64(d->rtc, ref, PATIENCE, ret_x), method) &&
           need(rtc_release(d->rtc, ref), method);
}

/* When both drivers have said that they are done: the sums of those that save, and what these told
 * others of them, which may be on its way. */
static bool sums(struct driver *d)
{
    for (int i = 0; i < 2; i++) {
        int64_t sum, echoed = 0, wrong = 0;
        if (!ask(d, d->target[2 * SAVED + i], "total", &sum))
            return false;
        for (int tries = 0; echoed < sum && tries < 100000; tries++) {
            if (!ask(d, d->echo[i], "last", &echoed))
                return false;
        }
        if (!ask(d, d->echo[i], "wrong", &wrong))
            return false;
        printf("sum%d %" PRId64 "\nechoed%d %" PRId64 "\nmisheard%d %" PRId64 "\n", i, sum, i,
               echoed, i, wrong);
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct driver d;
    struct rtc_config config = {.name = "kills-driver", .space = "test"};
    if (!need(rtc_init(&argc, &argv, &config, &d.rtc), "init"))
        return 1;
    bool makes = argc > 3 && !strcmp(argv[1], "make");
    if (!makes && (argc != 4 || strcmp(argv[1], "call") != 0))
        return 2;
    d.book = map(argv[2]);
    if (!d.book || !(makes ? create(&d, argv[2], argv + 3, argc - 3) : find(&d)))
        return 1;
    draw_lines(&d, makes ? 0 : atoi(argv[3]));
    bool ok = work(&d) && count(&d) == 0;
    printf("ended\n");
    fflush(stdout);
    while (ok && makes && getchar() != EOF) {
    }
    ok = ok && (!makes || sums(&d));
    fflush(stdout);
    rtc_shutdown(&d.rtc);
    return !ok;
}
