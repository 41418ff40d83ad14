#include "actors/de/evaluation.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "actors/de/affinity.h"
#include "actors/de/objective.h"
#include "actors/report/clock.h"

struct head { /* of an answer; moments and then the reason follow, padded to eight bytes */
    double value, seconds, cpu_seconds;
    uint32_t n_moments, why_size; /* why_size: with its NUL; 0: it did not fail */
    char node[32];
};

static size_t padded(size_t size)
{
    return (size + 7) / 8 * 8;
}

#define HEAD 7 /* words before the texts of a spec */

/* ---- In the driver ---- */

void *de_spec_pack(const struct rtc_de_options *o, size_t *ret_size)
{
    const char *empty = "", *texts[3] = {o->objective, o->value_field, o->moments_field};
    double ms = o->deadline > 4e6 ? 4e9 : ceil(o->deadline * 1e3);
    uint32_t head[HEAD] = {o->kind,         o->input, o->targets != NULL,
                           !o->no_affinity, o->n,     o->cpus < 1 ? 1 : (uint32_t)o->cpus,
                           (uint32_t)ms};
    size_t size = sizeof(head), at = sizeof(head);
    for (int i = 0; i < 3; i++)
        size += strlen(texts[i] ? texts[i] : empty) + 1;
    for (uint32_t i = 0; i < o->n; i++)
        size += o->names ? strlen(o->names[i]) + 1 : 16;
    char *data = calloc(1, size);
    if (!data)
        return NULL;
    memcpy(data, head, sizeof(head));
    for (int i = 0; i < 3; i++)
        at += (size_t)snprintf(data + at, size - at, "%s", texts[i] ? texts[i] : empty) + 1;
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->names)
            at += (size_t)snprintf(data + at, size - at, "%s", o->names[i]) + 1;
        else
            at += (size_t)snprintf(data + at, size - at, "x%u", i) + 1;
    }
    *ret_size = at;
    return data;
}

bool de_answer_next(const void *data, size_t size, size_t *at, struct de_answer *ret_answer)
{
    struct head head;
    const char *bytes = data;
    if (size - *at < sizeof(head))
        return false;
    memcpy(&head, bytes + *at, sizeof(head));
    size_t moments = head.n_moments * sizeof(double);
    size_t whole = sizeof(head) + moments + padded(head.why_size);
    if (head.n_moments > RTC_DE_MOMENTS_MAX || head.why_size > 1024 || size - *at < whole ||
        (head.why_size && bytes[*at + sizeof(head) + moments + head.why_size - 1]))
        return false;
    *ret_answer =
        (struct de_answer){.value = head.value,
                           .seconds = head.seconds,
                           .cpu_seconds = head.cpu_seconds,
                           .failed = head.why_size != 0,
                           .moments = (const double *)(bytes + *at + sizeof(head)),
                           .n_moments = head.n_moments,
                           .why = head.why_size ? bytes + *at + sizeof(head) + moments : NULL,
                           .node = bytes + *at + offsetof(struct head, node)};
    *at += whole;
    return memchr(head.node, 0, sizeof(head.node)) != NULL;
}

/* ---- In an executor ---- */

/* The spec of the task before is most often that of the next one. */
static const struct de_spec *spec_of(const void *data, size_t size)
{
    static struct de_spec spec;
    static char *copy;
    static size_t copied;
    uint32_t head[HEAD], parts = 0;
    if (copy && copied == size && !memcmp(copy, data, size))
        return &spec;
    free(copy);
    free(spec.names);
    spec.names = NULL;
    copied = 0;
    copy = size > sizeof(head) ? malloc(size) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, data, size);
    memcpy(head, data, sizeof(head));
    for (size_t i = sizeof(head); i < size; i++)
        parts += copy[i] == 0;
    spec = (struct de_spec){.kind = (enum rtc_de_kind)head[0],
                            .input = (enum rtc_de_input)head[1],
                            .want_moments = head[2],
                            .bind = head[3],
                            .n = head[4],
                            .cpus = head[5],
                            .deadline = head[6] * 1e-3};
    spec.names = head[4] <= 100000 ? calloc(head[4] + 1, sizeof(*spec.names)) : NULL;
    if (!spec.names || parts != 3 + head[4] || copy[size - 1])
        return NULL;
    const char *at = copy + sizeof(head);
    const char **const texts[3] = {&spec.objective, &spec.value_field, &spec.moments_field};
    for (uint32_t i = 0; i < 3 + head[4]; i++, at += strlen(at) + 1)
        *(i < 3 ? texts[i] : &spec.names[i - 3]) = at;
    copied = size;
    return &spec;
}

/* CPU time of this process and of those of its children that ended. */
static double cpu_time(void)
{
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    return report_now(CLOCK_PROCESS_CPUTIME_ID) + (double)children.ru_utime.tv_sec +
           (double)children.ru_utime.tv_usec * 1e-6;
}

struct writer {
    char *data;
    size_t size, cap;
};

static bool write_answer(struct writer *w, const struct rtc_de_answer *answer, bool failed,
                         double seconds, double cpu_seconds)
{
    static char node[32];
    struct head head = {answer->value, seconds, cpu_seconds, (uint32_t)answer->n_moments, 0, ""};
    if (!node[0] && (gethostname(node, sizeof(node) - 1) || !node[0]))
        snprintf(node, sizeof(node), "?");
    memcpy(head.node, node, sizeof(node));
    if (failed)
        head.why_size = (uint32_t)strlen(answer->why) + 1;
    size_t moments = head.n_moments * sizeof(double), whole;
    whole = sizeof(head) + moments + padded(head.why_size);
    if (w->size + whole > w->cap) {
        size_t cap = 2 * (w->size + whole) + 4096;
        char *grown = realloc(w->data, cap);
        if (!grown)
            return false;
        w->data = grown;
        w->cap = cap;
    }
    char *at = w->data + w->size;
    memset(at, 0, whole);
    memcpy(at, &head, sizeof(head));
    if (moments)
        memcpy(at + sizeof(head), answer->moments, moments);
    if (head.why_size)
        memcpy(at + sizeof(head) + moments, answer->why, head.why_size);
    w->size += whole;
    return true;
}

/* A function cannot be stopped but with its process; commands are watched by command.c. */
static void on_late(int sig)
{
    static const char text[] = "the evaluation did not end within its deadline\n";
    (void)sig;
    if (write(2, text, sizeof(text) - 1) < 0) {
        /* nobody is there to hear it */
    }
    _exit(DE_LATE);
}

static void set_alarm(double seconds)
{
    struct itimerval timer = {.it_value = {(time_t)seconds, (suseconds_t)(fmod(seconds, 1) * 1e6)}};
    signal(SIGALRM, on_late);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static int evaluate(const struct de_spec *spec, rtc_de_objective own, const double *x,
                    struct rtc_de_answer *answer)
{
    answer->value = 0;
    answer->n_moments = 0;
    answer->why[0] = 0;
    bool inside = own || spec->kind == RTC_DE_LIBRARY;
    if (spec->deadline > 0 && inside)
        set_alarm(spec->deadline);
    int rc = own ? own(x, spec->n, answer) : de_objective_answer(spec, x, answer);
    if (spec->deadline > 0 && inside)
        set_alarm(0);
    if (rc == 0 && answer->n_moments > RTC_DE_MOMENTS_MAX) {
        answer->n_moments = 0;
        snprintf(answer->why, sizeof(answer->why), "more than %d moments", RTC_DE_MOMENTS_MAX);
        rc = -1;
    }
    answer->why[sizeof(answer->why) - 1] = 0;
    if (rc && !answer->why[0])
        snprintf(answer->why, sizeof(answer->why), "the objective returned %d", rc);
    return rc;
}

static int read_call(struct rtc_call *call, const struct de_spec **ret_spec,
                     const void **ret_points, size_t *ret_size)
{
    const void *packed;
    size_t packed_size;
    RTC_TRY(rtc_arg_bytes(call, 0, ret_points, ret_size));
    RTC_TRY(rtc_arg_bytes(call, 1, &packed, &packed_size));
    const struct de_spec *spec = *ret_spec = spec_of(packed, packed_size);
    if (!spec || !spec->n || *ret_size % (spec->n * sizeof(double)))
        return rtc_fail(call, RTC_E_INVALID, "the evaluation came garbled");
    if (spec->bind)
        de_affinity_claim(spec->cpus);
    return 0;
}

/* n × count numbers, spec → the answers of all points */
static int evaluate_all(struct rtc_call *call, rtc_de_objective own)
{
    static double moments[RTC_DE_MOMENTS_MAX];
    const struct de_spec *spec;
    const void *points;
    size_t size;
    RTC_TRY(read_call(call, &spec, &points, &size));
    struct writer w = {0};
    double *x = malloc(spec->n * sizeof(double));
    bool ok = x != NULL;
    size_t one = spec->n * sizeof(double), last = 0;
    double cpu = cpu_time(), then = report_now(CLOCK_MONOTONIC);
    for (size_t at = 0; ok && at < size; at += one) {
        struct rtc_de_answer answer = {.moments = moments};
        memcpy(x, (const char *)points + at, one);
        int rc = evaluate(spec, own, x, &answer);
        double t = report_now(CLOCK_MONOTONIC);
        last = w.size;
        ok = write_answer(&w, &answer, rc != 0, t - then, 0);
        then = t;
    }
    if (ok && size) { /* the last one tells the CPU time of all: to ask for it takes a while */
        cpu = cpu_time() - cpu;
        memcpy(w.data + last + offsetof(struct head, cpu_seconds), &cpu, sizeof(cpu));
    }
    int rc =
        ok ? rtc_return_bytes(call, w.data, w.size) : rtc_fail(call, RTC_E_NOMEM, "out of memory");
    free(w.data);
    free(x);
    return rc;
}

int rtc_de_call_vector(struct rtc_call *call, rtc_de_vector_objective objective)
{
    const struct de_spec *spec;
    const void *points;
    size_t size;
    RTC_TRY(read_call(call, &spec, &points, &size));
    uint32_t count = (uint32_t)(size / (spec->n * sizeof(double)));
    struct writer w = {0};
    double *x = malloc(size + 1), *values = calloc(count + 1, sizeof(double));
    double began = report_now(CLOCK_MONOTONIC), cpu = cpu_time();
    bool ok = x && values;
    int rc = 0;
    if (ok) {
        if (spec->deadline > 0)
            set_alarm(spec->deadline);
        rc = objective(memcpy(x, points, size), count, spec->n, values);
        if (spec->deadline > 0)
            set_alarm(0);
    }
    double seconds = (report_now(CLOCK_MONOTONIC) - began) / (count ? count : 1);
    cpu = cpu_time() - cpu;
    for (uint32_t i = 0; ok && rc == 0 && i < count; i++) {
        struct rtc_de_answer answer = {.value = values[i]};
        ok = write_answer(&w, &answer, false, seconds, i + 1 == count ? cpu : 0);
    }
    if (rc)
        rc = rtc_fail(call, RTC_E_TASK_FAILED, "the objective returned %d", rc);
    else
        rc = ok ? rtc_return_bytes(call, w.data, w.size)
                : rtc_fail(call, RTC_E_NOMEM, "out of memory");
    free(w.data);
    free(x);
    free(values);
    return rc;
}

int rtc_de_call(struct rtc_call *call, rtc_de_objective objective)
{
    return evaluate_all(call, objective);
}

RTC_TASK(rtc_de_evaluate)
{
    return evaluate_all(call, NULL);
}
