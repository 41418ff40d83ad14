/* The run's YAML file. */
#ifndef ACTORS_DE_CONFIG_H
#define ACTORS_DE_CONFIG_H

#include <rtc/de.h>

struct de_config;

struct de_watch {                  /* what the run tells of itself, beside its progress */
    bool tensorboard, plots, disp; /* disp: a line for each generation, as SciPy's */
    const char *notify;            /* a command; NULL: none */
};
/* Ownership: what ret_options and ret_watch point to is the config's, which is freed with
 * de_config_free(). Returns 0, or -1 with the sentence in `why`. Keys that are not known are
 * ignored and told to `note`, once each; those that look like a slip of a known one are refused. */
int de_config_load(const char *path, struct de_config **ret_config,
                   struct rtc_de_options *ret_options, struct de_watch *ret_watch,
                   void (*note)(const char *sentence), char *why, size_t size);
void de_config_free(struct de_config *config);

/* schema.c: the file as it is written; what is absent is 0 or NULL. */
struct de_parameter {
    char *name;
    double low, high, *x0;
    bool integer;
};
struct de_objective_text {
    char *function, *library, *command, *persistent, *input, *value, *version;
};
struct de_moments_text {
    char *field;
    double *targets, *weights, *matrix; /* matrix: the weights, row by row */
    unsigned n_targets, n_weights, n_matrix;
    bool relative;
};
struct de_constraint_text {
    double *linear;
    unsigned n_linear, n_low, n_high;
    double *low, *high;
    char *command;
};
struct de_settings { /* optimization.options */
    uint64_t *popsize, *population, *maxiter, *maxfun, *budget, *seed, *generator, *stall;
    int64_t *workers;
    double *tol, *atol, *recombination, *max_time, *target, *one_mutation, *mutation;
    unsigned n_mutation;
    char *strategy, *updating, *init, *compat;
    bool *polish, async, disp, *reuse, *second_copies;
};
struct de_optimization {
    char *method;
    struct de_settings *options;
};
struct de_evaluation_text {
    double cpus, deadline, *penalty;
    char *mem, *on_failure;
    uint64_t *retries;
    bool *affinity;
};
struct de_watch_text {
    bool *tensorboard, *plots;
    char *notify;
};
struct de_config {
    char *name;
    struct de_parameter *parameters;
    unsigned n_parameters, n_constraints;
    struct de_objective_text objective;
    struct de_moments_text *moments;
    struct de_constraint_text *constraints;
    struct de_optimization optimization;
    struct de_evaluation_text *evaluation;
    struct de_watch_text *watch;
    /* made of it */
    bool scalar_mutation;
    char run[64], folder[4096];
    double *lower, *upper, *x0, *points;
    const char **names;
    bool *integrality;
    struct rtc_de_constraint *made;
    struct de_command_constraint {
        const char *command;
        uint32_t m;
    } * commands;
    char *library;
};
/* 0, or -1 with a sentence. */
int de_schema_load(const char *path, struct de_config **ret_config,
                   void (*note)(const char *sentence), char *why, size_t size);
void de_schema_free(struct de_config *config);

#endif
