/* rtc/de.h: minimisation of an expensive function on every core of a cluster, by differential
 * evolution and its relatives. Link with librtc-de and librtc; `rtc de` is the same as a command.
 *
 * Every evaluation is durable in the cluster's key-value store before it counts: a run that was
 * killed, or is started again with other weights, evaluates nothing twice. Conventions as in
 * rtc/rtc.h; points are n doubles in the parameters' own units. */
#ifndef RTC_DE_H
#define RTC_DE_H

#include <rtc/rtc.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_DE_MOMENTS_MAX 1024

/* ---- The objective ---- */

struct rtc_de_answer {
    double value;     /* infinite or NaN: as bad as can be */
    double *moments;  /* room for RTC_DE_MOMENTS_MAX, to be filled as far as there are any */
    size_t n_moments; /* 0 before */
    char why[512];    /* a sentence, when the evaluation failed */
};
/* Returns 0, or negative: failed, with a sentence in `why`. Thread: the executor's only one. */
typedef int (*rtc_de_objective)(const double *x, uint32_t n, struct rtc_de_answer *answer);

/* An objective as a task, to be named in rtc_de_options.objective:
 *
 *   RTC_DE_OBJECTIVE(bowl)
 *   {
 *       for (uint32_t i = 0; i < n; i++)
 *           answer->value += x[i] * x[i];
 *       return 0;
 *   } */
#define RTC_DE_OBJECTIVE(task_name)                                                              \
    static int rtc_de_fn_##task_name(const double *x, uint32_t n, struct rtc_de_answer *answer); \
    RTC_TASK(task_name)                                                                          \
    {                                                                                            \
        return rtc_de_call(call, rtc_de_fn_##task_name);                                         \
    }                                                                                            \
    static int rtc_de_fn_##task_name(const double *x, uint32_t n, struct rtc_de_answer *answer)
/* What such a task does: reads the points of the call, evaluates them, returns what came out.
 * Blocks: as long as the objective. */
int rtc_de_call(struct rtc_call *call, rtc_de_objective objective);

/* A vectorized objective, all points of a generation at once (count × n); see
 * rtc_de_options.vectorized. Writes count values. */
typedef int (*rtc_de_vector_objective)(const double *points, uint32_t count, uint32_t n,
                                       double *ret_values);
/* As RTC_DE_OBJECTIVE; points, count, n and ret_values stand in the body. */
#define RTC_DE_VECTOR_OBJECTIVE(task_name)                                             \
    static int rtc_de_fn_##task_name(const double *points, uint32_t count, uint32_t n, \
                                     double *ret_values);                              \
    RTC_TASK(task_name)                                                                \
    {                                                                                  \
        return rtc_de_call_vector(call, rtc_de_fn_##task_name);                        \
    }                                                                                  \
    static int rtc_de_fn_##task_name(const double *points, uint32_t count, uint32_t n, \
                                     double *ret_values)
int rtc_de_call_vector(struct rtc_call *call, rtc_de_vector_objective objective);

enum rtc_de_kind {
    RTC_DE_TASK,     /* `objective` names an RTC_DE_OBJECTIVE of this program */
    RTC_DE_FUNCTION, /* a built-in test function: sphere, rosen, rastrigin, ackley */
    RTC_DE_LIBRARY,  /* FILE.so or FILE.so:SYMBOL, an rtc_de_objective; default rtc_de_objective */
    RTC_DE_COMMAND,  /* a shell command for each evaluation; its last line is the answer */
    RTC_DE_PERSISTENT, /* a process for each executor: a line of parameters in, a line out */
};
enum rtc_de_input { /* how commands get the parameters; persistent ones on their input */
                    RTC_DE_ARGUMENTS,   /* "$1", "$2", …; persistent: separated by spaces */
                    RTC_DE_ENVIRONMENT, /* each under its name (commands only) */
                    RTC_DE_JSON,        /* an object on the input, a line */
                    RTC_DE_FILE, /* "$1" is a file with that object; persistent: the line is its
                                    path */
};

/* ---- Constraints ---- */

/* lower ≤ c(x) ≤ upper in every component, by Lampinen's rule (2002). */
struct rtc_de_constraint {
    /* Writes m numbers; 0, or negative: violated as badly as can be. NULL: linear. Runs in the
     * driver. */
    int (*fn)(void *arg, const double *x, uint32_t n, double *ret_components);
    void *arg;
    const double *matrix; /* linear: m × n, c(x) = matrix × x */
    const char *text;     /* what fn is: another text makes other settings; NULL: always the same */
    uint32_t m;           /* components, at least 1 */
    const double *lower, *upper; /* m of each; NULL: unbounded */
};

/* ---- Options ---- */

enum rtc_de_method {
    RTC_DE_LSHADE,     /* L-SHADE: Tanabe & Fukunaga 2014, sized by its budget */
    RTC_DE_CLASSIC,    /* Storn & Price 1997, exactly as SciPy's differential_evolution */
    RTC_DE_NELDERMEAD, /* Nelder & Mead 1965, started again from new points */
    RTC_DE_TIKTAK,     /* Arnoud, Guvenen & Kleineberg 2019: Sobol points, then local searches */
};
enum rtc_de_init {
    RTC_DE_LATIN_HYPERCUBE,
    RTC_DE_SOBOL, /* the population is rounded up to a power of two */
    RTC_DE_HALTON,
    RTC_DE_RANDOM,
    RTC_DE_ARRAY, /* init_points; the population is as many */
};
enum rtc_de_compat {
    RTC_DE_NATIVE,         /* numbers of PCG64 by seed */
    RTC_DE_SCIPY_SEED,     /* SciPy 1.10 with seed=int: RandomState (MT19937) */
    RTC_DE_SCIPY_GENERATOR /* SciPy 1.10 with seed=default_rng(int): PCG64 */
};
enum rtc_de_failure {
    RTC_DE_PENALISE, /* counts as `penalty` */
    RTC_DE_RETRY,    /* tried `retries` times more, then as PENALISE */
    RTC_DE_FATAL     /* tried `retries` times more, then the run ends with RTC_E_TASK_FAILED */
};

enum rtc_de_verdict {
    RTC_DE_GO_ON,
    RTC_DE_STOP, /* as SciPy: polishing still runs */
    RTC_DE_ABORT /* at once; the result so far is given */
};

struct rtc_de_progress;

/* Zero is the default of everything but n, lower, upper and objective. All is borrowed until
 * rtc_de_run() returns. */
struct rtc_de_options {
    const char *name; /* of the run: evaluations are stored under it; NULL = "run" */
    uint32_t n;       /* parameters */
    const double *lower, *upper;
    const char *const *names; /* of the parameters; NULL: x0, x1, … */
    const bool *integrality;  /* parameters that are integers; NULL: none */
    const struct rtc_de_constraint *constraints;
    uint32_t n_constraints;

    enum rtc_de_kind kind;
    const char *objective; /* see enum rtc_de_kind */
    /* Stored evaluations of another version do not count. NULL: the contents of the program, the
     * library, or the files that the command names decide. */
    const char *version;
    enum rtc_de_input input;
    const char *value_field;   /* the answer is a JSON object, the value this field; "a.b" nests */
    const char *moments_field; /* … and the moments this array, or object of numbers */
    /* With targets the value is (m - t)' W (m - t) of the moments m; the objective's own is
     * ignored, and a command's last line is the moments. */
    uint32_t n_moments;
    const double *targets;
    const double *weights; /* W: n_moments of them (diagonal) or n_moments², see full_weights */
    bool full_weights;
    bool relative; /* gaps are divided by their targets first */

    enum rtc_de_method method;
    bool async; /* nobody waits for a straggler; LSHADE and CLASSIC */
    uint64_t seed;
    uint32_t population;      /* evaluations a generation; 0: the method's own */
    uint32_t popsize;         /* CLASSIC: times the number of parameters; 0: 15 */
    int workers;              /* evaluations in flight at most; 0 and -1: what the cluster has */
    uint64_t max_evaluations; /* 0: CLASSIC none, others 1,000 × n */
    double max_seconds;       /* 0: none */
    const double *target;     /* a value that is good enough; NULL: none */
    uint64_t stall;           /* ends after so many evaluations without a better one; 0: never */

    enum rtc_de_compat compat; /* CLASSIC; the rest too: */
    const char *strategy;      /* NULL: best1bin */
    uint32_t max_generations;  /* 0: 1,000; RTC_DE_NO_GENERATION: the first population alone */
    double tol, atol;          /* 0: 0.01 and 0; RTC_NONE: 0. Also when local searches end */
    double mutation[2];        /* [low, high) drawn for each generation; 0, 0: 0.5, 1 */
    double recombination;      /* 0: 0.7; RTC_NONE: 0 */
    bool immediate;            /* updating; one evaluation at a time */
    bool vectorized;           /* a generation is one call of the objective, and counts as one */
    bool polish;               /* at the end: L-BFGS-B; with constraints SLSQP */
    enum rtc_de_init init;     /* LSHADE knows LATIN_HYPERCUBE and ARRAY */
    const double *init_points; /* n_init × n */
    uint32_t n_init;
    const double *x0; /* becomes the first member; or where NELDERMEAD begins; not for TIKTAK */
    /* A strategy of one's own: writes the trial of a candidate, in the parameters' units, from
     * the population (np × n, the best first). Draws are uniform on [0, 1). NULL: by name. */
    void (*strategy_fn)(void *arg, uint32_t candidate, const double *population, uint32_t np,
                        uint32_t n, double (*draw)(void *state), void *state, double *ret_trial);

    double cpus;     /* of one evaluation; 0: 1 */
    uint64_t mem;    /* bytes of one evaluation; fewer run at once where it is scarce */
    double deadline; /* of one evaluation, seconds, without its wait; 0: none */
    enum rtc_de_failure on_failure;
    int retries;           /* of failures; 0: 2, RTC_NO_RETRY: none. Hosts that die do not count */
    const double *penalty; /* of a failed evaluation; NULL: infinite */
    bool no_second_copies; /* of stragglers, on idle cores */
    bool no_affinity;      /* do not bind evaluations to cores */
    bool no_reuse;         /* evaluations of the run under other settings do not seed it */
    bool replay;           /* evaluate all again, told in the order of the journal */
    const char *workers_file; /* a number in it replaces `workers` while the run goes on */

    /* Called after each generation and about twice a second, in the thread of rtc_de_run(). */
    enum rtc_de_verdict (*callback)(void *arg, const struct rtc_de_progress *progress);
    /* Told of each evaluation that failed. */
    void (*failed)(void *arg, const double *x, const char *why);
    void (*strange)(void *arg, const char *sentence); /* what should be known, once each */
    void *arg;                                        /* of all of them */
};
#define RTC_DE_NO_GENERATION UINT32_MAX

/* ---- Results ---- */

struct rtc_de_progress { /* borrowed, until the callback returns */
    uint32_t generation;
    bool generation_done;                       /* this call is that of a new generation */
    uint64_t evaluations;                       /* as the method counts them */
    uint64_t evaluated, reused, failed, copies; /* reused: from the journal; copies: second ones */
    double best;                                /* the lowest value */
    const double *x;                            /* its point */
    double convergence;       /* deviation of the values over |mean|, as SciPy's */
    double mean;              /* of the finite values */
    const double *population; /* np × n, scaled to [0, 1] */
    const double *values;     /* np */
    uint32_t np, n;
    double seconds, busy_seconds; /* busy: of all evaluations together */
    double utilisation;           /* busy_seconds over what the workers had, of late */
    uint32_t in_flight, workers;
    double eta; /* seconds; negative: unknown */
};

struct rtc_de_result {
    double *x;            /* n */
    double value;         /* SciPy's fun */
    uint32_t generations; /* nit */
    uint64_t evaluations; /* nfev */
    bool success;
    char message[160];           /* SciPy's where it has one */
    double *population, *values; /* np × n in the parameters' units, np */
    uint32_t np, n;
    double *jacobian;   /* n, when polishing found something better; else NULL */
    double *violations; /* of each constraint component; NULL without constraints */
    uint32_t n_violations;
    double worst_violation; /* maxcv */
    double *moments;        /* of x; NULL when there are none */
    uint32_t n_moments;
    uint64_t evaluated, reused, failed, copies;
    double seconds, busy_seconds;
};

/* Whether the options can be at all, without a cluster.
 * Errors: RTC_E_INVALID, with the sentence in rtc_de_error(). */
int rtc_de_check(const struct rtc_de_options *options);
/* Runs to the end.
 * Ownership: *ret_result is freed with rtc_de_result_free(); it is written on success only.
 * Thread: one run at a time on a handle. Blocks: until the run ends.
 * Errors: RTC_E_INVALID, with the sentence in rtc_de_error(): options that cannot be; RTC_E_EXISTS
 * the run's evaluations are of another number of parameters; RTC_E_TASK_FAILED an evaluation, with
 * RTC_DE_FATAL; those of rtc_submit(). */
int rtc_de_run(struct rtc *rtc, const struct rtc_de_options *options,
               struct rtc_de_result *ret_result);
void rtc_de_result_free(struct rtc_de_result *result);
/* The sentence of the last rtc_de_run() of this thread that failed.
 * Valid until: the next rtc_de_* call of this thread. */
const char *rtc_de_error(void);

/* One stored evaluation. Valid until: fn returns. */
struct rtc_de_evaluation {
    uint64_t number;             /* in the order in which they counted */
    uint64_t objective;          /* digest of it */
    double value, seconds, time; /* time: seconds since 1970 */
    bool failed;
    const char *node; /* its host */
    uint32_t n, n_moments;
    const double *x, *moments;
};
/* All evaluations of a run, in their order; fn returning non-zero stops. Blocks: for the store. */
int rtc_de_evaluations(struct rtc *rtc, const char *name,
                       int (*fn)(void *arg, const struct rtc_de_evaluation *evaluation), void *arg);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
