#include "actors/de/config.h"

#include <cyaml/cyaml.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parameter {
    char *name;
    double low, high;
};
struct objective {
    char *function, *command, *persistent;
};
struct settings { /* optimization.options; what is absent is 0 or NULL */
    uint32_t popsize, population, maxiter;
    uint64_t maxfun, budget, seed, *generator;
    int workers;
    double *tol, atol, *recombination, *mutation, deadline, max_time, *target;
    unsigned n_mutation;
    char *strategy, *updating, *init, *compat;
};
struct optimization {
    char *method;
    struct settings *options;
};
struct de_config {
    char *name;
    struct parameter *parameters;
    unsigned n_parameters;
    struct objective objective;
    struct optimization optimization;
    double *lower, *upper; /* made of the parameters */
    char **names;
    char run[64];
};

#define OPTIONAL_PTR (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
#define STRING(key, type, field) \
    CYAML_FIELD_STRING_PTR(key, OPTIONAL_PTR, type, field, 0, CYAML_UNLIMITED)

static const cyaml_schema_field_t parameter_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct parameter, name, 1, 64),
    CYAML_FIELD_FLOAT("low", CYAML_FLAG_DEFAULT, struct parameter, low),
    CYAML_FIELD_FLOAT("high", CYAML_FLAG_DEFAULT, struct parameter, high), CYAML_FIELD_END};
static const cyaml_schema_value_t parameter_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct parameter, parameter_fields)};

static const cyaml_schema_field_t objective_fields[] = {
    STRING("function", struct objective, function), STRING("command", struct objective, command),
    STRING("persistent", struct objective, persistent), CYAML_FIELD_END};

static const cyaml_schema_value_t number_schema = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

static const cyaml_schema_field_t settings_fields[] = {
    CYAML_FIELD_UINT("popsize", CYAML_FLAG_OPTIONAL, struct settings, popsize),
    CYAML_FIELD_UINT("population", CYAML_FLAG_OPTIONAL, struct settings, population),
    CYAML_FIELD_UINT("maxiter", CYAML_FLAG_OPTIONAL, struct settings, maxiter),
    CYAML_FIELD_UINT("maxfun", CYAML_FLAG_OPTIONAL, struct settings, maxfun),
    CYAML_FIELD_UINT("budget", CYAML_FLAG_OPTIONAL, struct settings, budget),
    CYAML_FIELD_UINT("seed", CYAML_FLAG_OPTIONAL, struct settings, seed),
    CYAML_FIELD_UINT_PTR("generator", OPTIONAL_PTR, struct settings, generator),
    CYAML_FIELD_INT("workers", CYAML_FLAG_OPTIONAL, struct settings, workers),
    CYAML_FIELD_FLOAT_PTR("tol", OPTIONAL_PTR, struct settings, tol),
    CYAML_FIELD_FLOAT("atol", CYAML_FLAG_OPTIONAL, struct settings, atol),
    CYAML_FIELD_FLOAT_PTR("recombination", OPTIONAL_PTR, struct settings, recombination),
    CYAML_FIELD_FLOAT("deadline", CYAML_FLAG_OPTIONAL, struct settings, deadline),
    CYAML_FIELD_FLOAT("max_time", CYAML_FLAG_OPTIONAL, struct settings, max_time),
    CYAML_FIELD_FLOAT_PTR("target", OPTIONAL_PTR, struct settings, target),
    CYAML_FIELD_SEQUENCE_COUNT("mutation", OPTIONAL_PTR, struct settings, mutation, n_mutation,
                               &number_schema, 1, 2),
    STRING("strategy", struct settings, strategy),
    STRING("updating", struct settings, updating),
    STRING("init", struct settings, init),
    STRING("compat", struct settings, compat),
    CYAML_FIELD_END};

static const cyaml_schema_field_t optimization_fields[] = {
    STRING("method", struct optimization, method),
    CYAML_FIELD_MAPPING_PTR("options", OPTIONAL_PTR, struct optimization, options, settings_fields),
    CYAML_FIELD_END};

static const cyaml_schema_field_t top_fields[] = {
    STRING("name", struct de_config, name),
    CYAML_FIELD_SEQUENCE_COUNT("parameters", CYAML_FLAG_POINTER, struct de_config, parameters,
                               n_parameters, &parameter_schema, 1, 100000),
    CYAML_FIELD_MAPPING("objective", CYAML_FLAG_DEFAULT, struct de_config, objective,
                        objective_fields),
    CYAML_FIELD_MAPPING("optimization", CYAML_FLAG_OPTIONAL, struct de_config, optimization,
                        optimization_fields),
    CYAML_FIELD_END};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct de_config, top_fields)};

struct log { /* what cyaml says while it loads */
    char *text;
    size_t size;
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct log *log = ctx;
    size_t len = strlen(log->text);
    if (level < CYAML_LOG_ERROR || len + 1 >= log->size)
        return;
    vsnprintf(log->text + len, log->size - len, fmt, args);
    for (char *at = log->text + len; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
}

static const cyaml_config_t *cyaml_settings(struct log *log)
{
    static cyaml_config_t config;
    config = (cyaml_config_t){
        .log_fn = on_log, .log_ctx = log, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    return &config;
}

static int bad(char *why, size_t size, const char *sentence)
{
    snprintf(why, size, "%s", sentence);
    return -1;
}

/* ---- Meaning ---- */

static int take_objective(const struct de_config *config, struct de_options *o, char *why,
                          size_t size)
{
    const struct objective *objective = &config->objective;
    const char *texts[] = {objective->function, objective->command, objective->persistent};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        if (!texts[i])
            continue;
        o->kind = (enum de_objective_kind)i;
        o->objective = texts[i];
        found++;
    }
    const char *error = found == 1 ? de_objective_check(o->kind, o->objective)
                                   : "objective: exactly one of function, command and persistent";
    return error ? bad(why, size, error) : 0;
}

static int take_bounds(struct de_config *config, struct de_options *o, char *why, size_t size)
{
    o->n = config->n_parameters;
    config->lower = calloc(o->n, sizeof(double));
    config->upper = calloc(o->n, sizeof(double));
    config->names = calloc(o->n, sizeof(char *));
    if (!config->lower || !config->upper || !config->names)
        return bad(why, size, "out of memory");
    for (uint32_t i = 0; i < o->n; i++) {
        const struct parameter *p = &config->parameters[i];
        if (!isfinite(p->low) || !isfinite(p->high) || p->low > p->high) {
            snprintf(why, size, "parameter %s: low %g and high %g are not a finite interval",
                     p->name, p->low, p->high);
            return -1;
        }
        config->lower[i] = p->low;
        config->upper[i] = p->high;
        config->names[i] = p->name;
    }
    o->lower = config->lower;
    o->upper = config->upper;
    o->names = config->names;
    return 0;
}

static int take_method(const char *name, struct de_options *o, char *why, size_t size)
{
    static const struct {
        const char *name;
        enum de_method method;
    } methods[] = {{"lshade", DE_LSHADE},
                   {"async", DE_LSHADE_ASYNC},
                   {"lshade-async", DE_LSHADE_ASYNC},
                   {"de", DE_SCIPY},
                   {"differential_evolution", DE_SCIPY}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (!strcmp(methods[i].name, name)) {
            o->method = methods[i].method;
            return 0;
        }
    }
    snprintf(why, size,
             "optimization.method: \"%s\" is not lshade, async or differential_evolution", name);
    return -1;
}

static int take_scipy(const struct settings *s, struct de_options *o, char *why, size_t size)
{
    struct de_classic_options *c = &o->classic;
    *c = (struct de_classic_options){.strategy = s->strategy,
                                     .max_generations = s->maxiter ? s->maxiter : 1000,
                                     .tol = s->tol ? *s->tol : 0.01,
                                     .atol = s->atol,
                                     .mutation = {0.5, 1},
                                     .recombination = s->recombination ? *s->recombination : 0.7,
                                     .deferred = o->workers != 1};
    for (unsigned i = 0; i < 2 && s->n_mutation; i++)
        c->mutation[i] = s->mutation[i < s->n_mutation ? i : 0];
    if (s->updating && strcmp(s->updating, "immediate") != 0 &&
        strcmp(s->updating, "deferred") != 0)
        return bad(why, size, "options.updating is immediate or deferred");
    if (s->updating && !strcmp(s->updating, "deferred"))
        c->deferred = true;
    if (s->init && !strcmp(s->init, "random"))
        c->init = DE_UNIFORM;
    else if (s->init && strcmp(s->init, "latinhypercube") != 0)
        return bad(why, size, "options.init: latinhypercube and random are possible");
    if (s->compat && strcmp(s->compat, "scipy-1.10") != 0)
        return bad(why, size, "options.compat: scipy-1.10 is possible");
    o->generator = s->generator || !s->compat ? DE_PCG64 : DE_MT19937;
    o->seed = s->generator ? *s->generator : s->seed;
    o->population = s->population ? s->population
                    : s->popsize  ? de_population(s->popsize, o->n)
                                  : de_population(15, o->n);
    if (o->population < 5)
        return bad(why, size, "options.population: at least 5 are needed");
    return 0;
}

static int take_settings(const struct settings *s, struct de_options *o, char *why, size_t size)
{
    o->seed = s->seed;
    o->workers = s->workers ? s->workers : -1;
    o->max_evaluations = s->budget ? s->budget : s->maxfun;
    o->deadline_s = s->deadline;
    o->max_seconds = s->max_time;
    o->target = s->target ? *s->target : -HUGE_VAL;
    if (o->method == DE_SCIPY)
        return take_scipy(s, o, why, size);
    if (s->strategy || s->mutation || s->recombination || s->updating || s->popsize || s->maxiter)
        return bad(why, size,
                   "popsize, maxiter, strategy, mutation, recombination and updating are "
                   "options of differential_evolution; lshade takes population and budget");
    o->population = s->population;
    if (!o->max_evaluations)
        o->max_evaluations = 1000ull * o->n;
    return 0;
}

int de_config_load(const char *path, struct de_config **ret_config, struct de_options *ret_options,
                   char *why, size_t size)
{
    static struct settings none;
    struct log log = {why, size};
    why[0] = 0;
    *ret_config = NULL;
    *ret_options = (struct de_options){.target = -HUGE_VAL};
    if (access(path, R_OK)) {
        snprintf(why, size, "%s cannot be read", path);
        return -1;
    }
    cyaml_err_t err =
        cyaml_load_file(path, cyaml_settings(&log), &top_schema, (cyaml_data_t **)ret_config, NULL);
    if (err != CYAML_OK) {
        if (!why[0])
            snprintf(why, size, "%s: %s", path, cyaml_strerror(err));
        return -1;
    }
    struct de_config *config = *ret_config;
    const struct optimization *opt = &config->optimization;
    const char *base = strrchr(path, '/');
    snprintf(config->run, sizeof(config->run), "%.60s",
             config->name ? config->name
             : base       ? base + 1
                          : path);
    ret_options->name = config->run;
    if (take_bounds(config, ret_options, why, size) ||
        take_objective(config, ret_options, why, size) ||
        take_method(opt->method ? opt->method : "lshade", ret_options, why, size) ||
        take_settings(opt->options ? opt->options : &none, ret_options, why, size)) {
        de_config_free(config);
        *ret_config = NULL;
        return -1;
    }
    return 0;
}

void de_config_free(struct de_config *config)
{
    char text[8] = "";
    struct log log = {text, sizeof(text)};
    if (!config)
        return;
    free(config->lower);
    free(config->upper);
    free(config->names);
    cyaml_free(cyaml_settings(&log), &top_schema, config, 0);
}
