/* What the run's file may hold, for libcyaml. */
#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/config/text.h"
#include "actors/de/config.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define POINTER  (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR)
#define STRING(type, field)                                                                  \
    CYAML_FIELD_STRING_PTR(#field, CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, type, field, 0, \
                           CYAML_UNLIMITED)
#define NUMBERS(key, type, field, count)                                                          \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, type, field, count, \
                               &number_schema, 0, 100000000)

static const cyaml_schema_value_t number_schema = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

#define PARAMETER struct de_parameter
static const cyaml_schema_field_t parameter_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, PARAMETER, name, 1, 64),
    CYAML_FIELD_FLOAT("low", CYAML_FLAG_DEFAULT, PARAMETER, low),
    CYAML_FIELD_FLOAT("high", CYAML_FLAG_DEFAULT, PARAMETER, high),
    CYAML_FIELD_FLOAT_PTR("x0", POINTER, PARAMETER, x0),
    CYAML_FIELD_BOOL("integer", OPTIONAL, PARAMETER, integer),
    CYAML_FIELD_END};
static const cyaml_schema_value_t parameter_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, PARAMETER, parameter_fields)};

#define OBJECTIVE struct de_objective_text
static const cyaml_schema_field_t objective_fields[] = {
    STRING(OBJECTIVE, function), STRING(OBJECTIVE, library),
    STRING(OBJECTIVE, command),  STRING(OBJECTIVE, persistent),
    STRING(OBJECTIVE, input),    STRING(OBJECTIVE, value),
    STRING(OBJECTIVE, version),  CYAML_FIELD_END};

#define MOMENTS struct de_moments_text
static const cyaml_schema_field_t moments_fields[] = {
    STRING(MOMENTS, field),
    NUMBERS("targets", MOMENTS, targets, n_targets),
    NUMBERS("weights", MOMENTS, weights, n_weights),
    NUMBERS("matrix", MOMENTS, matrix, n_matrix),
    CYAML_FIELD_BOOL("relative", OPTIONAL, MOMENTS, relative),
    CYAML_FIELD_END};

#define CONSTRAINT struct de_constraint_text
static const cyaml_schema_field_t constraint_fields[] = {
    NUMBERS("linear", CONSTRAINT, linear, n_linear), NUMBERS("low", CONSTRAINT, low, n_low),
    NUMBERS("high", CONSTRAINT, high, n_high), STRING(CONSTRAINT, command), CYAML_FIELD_END};
static const cyaml_schema_value_t constraint_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, CONSTRAINT, constraint_fields)};

#define SETTINGS      struct de_settings
#define COUNT(field)  CYAML_FIELD_UINT_PTR(#field, POINTER, SETTINGS, field)
#define NUMBER(field) CYAML_FIELD_FLOAT_PTR(#field, POINTER, SETTINGS, field)
#define LIST_MUTATION NUMBERS("mutation", SETTINGS, mutation, n_mutation)
#define ONE_MUTATION  CYAML_FIELD_FLOAT_PTR("mutation", POINTER, SETTINGS, one_mutation)
#define SETTINGS_FIELDS(mutation_field)                                                            \
    {                                                                                              \
        mutation_field, COUNT(popsize), COUNT(population), COUNT(maxiter), COUNT(maxfun),          \
            COUNT(budget), COUNT(seed), COUNT(generator), COUNT(stall),                            \
            CYAML_FIELD_INT_PTR("workers", POINTER, SETTINGS, workers), NUMBER(tol), NUMBER(atol), \
            NUMBER(recombination), NUMBER(max_time), NUMBER(target), STRING(SETTINGS, strategy),   \
            STRING(SETTINGS, updating), STRING(SETTINGS, init), STRING(SETTINGS, compat),          \
            CYAML_FIELD_BOOL_PTR("polish", POINTER, SETTINGS, polish),                             \
            CYAML_FIELD_BOOL("async", OPTIONAL, SETTINGS, async),                                  \
            CYAML_FIELD_BOOL("disp", OPTIONAL, SETTINGS, disp),                                    \
            CYAML_FIELD_BOOL_PTR("reuse", POINTER, SETTINGS, reuse),                               \
            CYAML_FIELD_BOOL_PTR("second_copies", POINTER, SETTINGS, second_copies),               \
            CYAML_FIELD_END                                                                        \
    }
/* SciPy's mutation is a number or a pair of them: two schemas, tried in turn. */
static const cyaml_schema_field_t settings_fields[] = SETTINGS_FIELDS(LIST_MUTATION);
static const cyaml_schema_field_t scalar_fields[] = SETTINGS_FIELDS(ONE_MUTATION);

#define EVALUATION struct de_evaluation_text
static const cyaml_schema_field_t evaluation_fields[] = {
    CYAML_FIELD_FLOAT("cpus", OPTIONAL, EVALUATION, cpus),
    CYAML_FIELD_FLOAT("deadline", OPTIONAL, EVALUATION, deadline),
    CYAML_FIELD_FLOAT_PTR("penalty", POINTER, EVALUATION, penalty),
    STRING(EVALUATION, mem),
    STRING(EVALUATION, on_failure),
    CYAML_FIELD_UINT_PTR("retries", POINTER, EVALUATION, retries),
    CYAML_FIELD_BOOL_PTR("affinity", POINTER, EVALUATION, affinity),
    CYAML_FIELD_END};

#define WATCH struct de_watch_text
static const cyaml_schema_field_t watch_fields[] = {
    CYAML_FIELD_BOOL_PTR("tensorboard", POINTER, WATCH, tensorboard),
    CYAML_FIELD_BOOL_PTR("plots", POINTER, WATCH, plots), STRING(WATCH, notify), CYAML_FIELD_END};

#define OPTIMIZATION struct de_optimization
#define OPTIMIZATION_FIELDS(fields)                                                      \
    {                                                                                    \
        STRING(OPTIMIZATION, method),                                                    \
            CYAML_FIELD_MAPPING_PTR("options", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, \
                                    OPTIMIZATION, options, fields),                      \
            CYAML_FIELD_END                                                              \
    }
static const cyaml_schema_field_t optimization_fields[] = OPTIMIZATION_FIELDS(settings_fields);
static const cyaml_schema_field_t scalar_optimization[] = OPTIMIZATION_FIELDS(scalar_fields);

#define CONFIG struct de_config
#define TOP_FIELDS(fields)                                                                        \
    {                                                                                             \
        STRING(CONFIG, name),                                                                     \
            CYAML_FIELD_SEQUENCE_COUNT("parameters", CYAML_FLAG_POINTER, CONFIG, parameters,      \
                                       n_parameters, &parameter_schema, 1, 50000),                \
            CYAML_FIELD_MAPPING("objective", CYAML_FLAG_DEFAULT, CONFIG, objective,               \
                                objective_fields),                                                \
            CYAML_FIELD_MAPPING_PTR("moments", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, CONFIG,  \
                                    moments, moments_fields),                                     \
            CYAML_FIELD_SEQUENCE_COUNT("constraints", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER,   \
                                       CONFIG, constraints, n_constraints, &constraint_schema, 0, \
                                       10000),                                                    \
            CYAML_FIELD_MAPPING("optimization", OPTIONAL, CONFIG, optimization, fields),          \
            CYAML_FIELD_MAPPING_PTR("evaluation", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER,       \
                                    CONFIG, evaluation, evaluation_fields),                       \
            CYAML_FIELD_MAPPING_PTR("watch", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, CONFIG,    \
                                    watch, watch_fields),                                         \
            CYAML_FIELD_END                                                                       \
    }
static const cyaml_schema_field_t top_fields[] = TOP_FIELDS(optimization_fields);
static const cyaml_schema_field_t scalar_top[] = TOP_FIELDS(scalar_optimization);
static const cyaml_schema_value_t schemas[2] = {
    {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, CONFIG, top_fields)},
    {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, CONFIG, scalar_top)}};

/* ---- Loading ---- */

#define UNKNOWN_MAX 16

struct log { /* what cyaml says while it loads */
    char *text;
    size_t size;
    char unknown[UNKNOWN_MAX][64];
    unsigned n_unknown;
};

/* The known key that is most like it. */
static const char *nearest(const char *key)
{
    static const cyaml_schema_field_t *const all[] = {
        top_fields,        objective_fields,  moments_fields,
        constraint_fields, settings_fields,   optimization_fields,
        watch_fields,      evaluation_fields, parameter_fields};
    struct config_nearest near = config_nearest(key);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (const cyaml_schema_field_t *f = all[i]; f->key; f++)
            config_nearest_try(&near, f->key);
    }
    return near.found;
}

static void on_unknown(struct log *log, const char *key)
{
    const char *meant = nearest(key);
    if (meant && !log->text[0])
        snprintf(log->text, log->size, "there is no key \"%s\": was %s meant?", key, meant);
    else if (!meant && log->n_unknown < UNKNOWN_MAX)
        snprintf(log->unknown[log->n_unknown++], sizeof(log->unknown[0]), "%s", key);
}

static void tell_unknown(const struct log *log, void (*note)(const char *sentence))
{
    char sentence[128];
    for (unsigned i = 0; i < log->n_unknown && note; i++) {
        snprintf(sentence, sizeof(sentence), "the key \"%s\" is not known, and ignored",
                 log->unknown[i]);
        note(sentence);
    }
}

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct log *log = ctx;
    char line[512];
    vsnprintf(line, sizeof(line), fmt, args);
    line[strcspn(line, "\n")] = 0;
    const char *key = strstr(line, "key: ");
    if (strstr(line, "Ignoring") && key)
        on_unknown(log, key + 5);
    size_t len = strlen(log->text);
    if (level >= CYAML_LOG_ERROR && len + 1 < log->size)
        snprintf(log->text + len, log->size - len, "%s%s", len ? " " : "", line);
}

static void settings_for(cyaml_config_t *config, struct log *log)
{
    *config = (cyaml_config_t){.log_fn = on_log,
                               .log_ctx = log,
                               .mem_fn = cyaml_mem,
                               .log_level = CYAML_LOG_DEBUG,
                               .flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS};
}

int de_schema_load(const char *path, struct de_config **ret_config,
                   void (*note)(const char *sentence), char *why, size_t size)
{
    cyaml_config_t config;
    why[0] = 0;
    *ret_config = NULL;
    if (access(path, R_OK)) {
        snprintf(why, size, "%s cannot be read", path);
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        struct log log = {.text = why, .size = size};
        settings_for(&config, &log);
        cyaml_err_t err =
            cyaml_load_file(path, &config, &schemas[i], (cyaml_data_t **)ret_config, NULL);
        if (err == CYAML_OK) {
            (*ret_config)->scalar_mutation = i;
            if (!why[0]) {
                tell_unknown(&log, note);
                return 0;
            }
            de_schema_free(*ret_config);
            *ret_config = NULL;
            return -1;
        }
        if (!why[0])
            snprintf(why, size, "%s: %s", path, cyaml_strerror(err));
        if (i || !strstr(why, "mutation"))
            return -1;
        why[0] = 0;
    }
    return -1;
}

void de_schema_free(struct de_config *config)
{
    char text[8] = "";
    struct log log = {.text = text, .size = sizeof(text)};
    cyaml_config_t settings;
    settings_for(&settings, &log);
    cyaml_free(&settings, &schemas[config->scalar_mutation], config, 0);
}
