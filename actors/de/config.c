/* What the file means. */
#include "actors/de/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "actors/config/text.h"
#include "actors/de/objective.h"

struct load {
    struct de_config *c;
    struct rtc_de_options *o;
    void (*note)(const char *sentence);
    char *why;
    size_t size;
};

static int bad(const struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(const struct load *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->why, l->size, fmt, args);
    va_end(args);
    return -1;
}

/* The index of a word in a list that NULL ends, or -1. */
static int find(const char *word, const char *const *list)
{
    for (int i = 0; list[i]; i++) {
        if (!strcasecmp(word, list[i]))
            return i;
    }
    return -1;
}

/* ---- Parameters ---- */

static int take_parameters(struct load *l)
{
    struct de_config *c = l->c;
    uint32_t n = c->n_parameters, integers = 0, begins = 0;
    c->lower = calloc(n, sizeof(double));
    c->upper = calloc(n, sizeof(double));
    c->x0 = calloc(n, sizeof(double));
    c->names = calloc(n, sizeof(char *));
    c->integrality = calloc(n, sizeof(bool));
    if (!c->lower || !c->upper || !c->x0 || !c->names || !c->integrality)
        return bad(l, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        const struct de_parameter *p = &c->parameters[i];
        if (!isfinite(p->low) || !isfinite(p->high) || p->low > p->high)
            return bad(l, "parameter %s: low %g and high %g are not a finite interval", p->name,
                       p->low, p->high);
        for (uint32_t k = 0; k < i; k++) {
            if (!strcmp(p->name, c->names[k]))
                return bad(l, "there are two parameters of the name %s", p->name);
        }
        c->lower[i] = p->low;
        c->upper[i] = p->high;
        c->names[i] = p->name;
        c->integrality[i] = p->integer;
        integers += p->integer;
        begins += p->x0 != NULL;
        c->x0[i] = p->x0 ? *p->x0 : 0.5 * (p->low + p->high);
        if (c->x0[i] < p->low || c->x0[i] > p->high)
            return bad(l, "parameter %s: x0 %g lies outside of its bounds", p->name, c->x0[i]);
    }
    l->o->n = n;
    l->o->lower = c->lower;
    l->o->upper = c->upper;
    l->o->names = c->names;
    l->o->integrality = integers ? c->integrality : NULL;
    l->o->x0 = begins ? c->x0 : NULL;
    return 0;
}

/* ---- Objective and moments ---- */

/* A library beside the file, or beside this program; else the dynamic linker looks for it. */
static int find_library(struct load *l, const char *text)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    /* The last two: in a build tree, and where it is installed. */
    const char *const places[] = {l->c->folder, "", "/../../examples/mfg", "/../libexec/rtc"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !strchr(text, '/'); i++) {
        char *path = NULL;
        int rc = asprintf(&path, "%s%s/%s", i ? self : "", places[i], text);
        if (rc < 0)
            return bad(l, "out of memory");
        char *colon = strrchr(path, ':');
        if (colon)
            *colon = 0;
        bool there = !access(path, R_OK);
        if (colon)
            *colon = ':';
        if (there) {
            l->c->library = path;
            l->o->objective = path;
            return 0;
        }
        free(path);
    }
    return 0;
}

/* A shell's variable, and none that the command may need. */
static int check_variable(const struct load *l, const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (!name[0] || name[len] || isdigit((unsigned char)name[0]))
        return bad(l, "parameter %s: that is no name of a variable, as input: environment needs it",
                   name);
    if (getenv(name))
        return bad(l,
                   "parameter %s: your environment has a variable of that name, which input: "
                   "environment would hide",
                   name);
    return 0;
}

static int take_objective(struct load *l)
{
    static const char *const inputs[] = {"arguments", "environment", "json", "file", NULL};
    const struct de_objective_text *text = &l->c->objective;
    const char *const kinds[] = {text->function, text->library, text->command, text->persistent};
    int found = 0;
    for (int i = 0; i < 4; i++) {
        if (!kinds[i])
            continue;
        l->o->kind = (enum rtc_de_kind)(RTC_DE_FUNCTION + i);
        l->o->objective = kinds[i];
        found++;
    }
    if (found != 1)
        return bad(l, "objective: exactly one of function, library, command and persistent");
    int input = text->input ? find(text->input, inputs) : RTC_DE_ARGUMENTS;
    if (input < 0)
        return bad(l, "objective.input: \"%s\" is not arguments, environment, json or file",
                   text->input);
    l->o->input = (enum rtc_de_input)input;
    if (input == RTC_DE_ENVIRONMENT && l->o->kind == RTC_DE_PERSISTENT)
        return bad(l, "a persistent process gets its parameters on its input: objective.input is "
                      "arguments (a line of numbers), json or file");
    for (uint32_t i = 0; i < l->o->n && input == RTC_DE_ENVIRONMENT; i++) {
        if (check_variable(l, l->o->names[i]))
            return -1;
    }
    l->o->value_field = text->value;
    l->o->version = text->version;
    if (l->o->kind == RTC_DE_LIBRARY && find_library(l, l->o->objective))
        return -1;
    return de_objective_check(l->o->kind, l->o->objective, l->why, l->size) ? -1 : 0;
}

static int take_moments(struct load *l)
{
    const struct de_moments_text *m = l->c->moments;
    if (!m)
        return 0;
    if (!m->n_targets)
        return bad(l, "moments: targets are needed, a number for each");
    if (m->n_weights && m->n_matrix)
        return bad(l, "moments: either weights or a matrix of them");
    if (m->n_weights && m->n_weights != m->n_targets)
        return bad(l, "moments: there are %u targets and %u weights", m->n_targets, m->n_weights);
    if (m->n_matrix && m->n_matrix != m->n_targets * m->n_targets)
        return bad(l, "moments: a matrix for %u targets has %u numbers, not %u", m->n_targets,
                   m->n_targets * m->n_targets, m->n_matrix);
    l->o->n_moments = m->n_targets;
    l->o->targets = m->targets;
    l->o->full_weights = m->n_matrix != 0;
    l->o->weights = m->n_matrix ? m->matrix : m->n_weights ? m->weights : NULL;
    l->o->relative = m->relative;
    l->o->moments_field = m->field;
    return 0;
}

/* ---- Constraints ---- */

/* A command, as the objective may be one: its last line has a number for each component. */
static int run_constraint(void *arg, const double *x, uint32_t n, double *ret_components)
{
    static double numbers[RTC_DE_MOMENTS_MAX];
    const struct de_command_constraint *c = arg;
    struct rtc_de_answer answer = {.moments = numbers};
    struct de_spec spec = {.kind = RTC_DE_COMMAND,
                           .want_moments = true,
                           .n = n,
                           .objective = c->command,
                           .value_field = "",
                           .moments_field = ""};
    int rc = de_command_answer(&spec, x, &answer);
    if (rc || answer.n_moments != c->m)
        return -1;
    memcpy(ret_components, numbers, c->m * sizeof(double));
    return 0;
}

static int take_constraint(struct load *l, uint32_t i)
{
    const struct de_constraint_text *text = &l->c->constraints[i];
    struct rtc_de_constraint *c = &l->c->made[i];
    if (!text->n_linear == !text->command)
        return bad(l, "constraint %u: either linear (a coefficient for each parameter) or command",
                   i + 1);
    if (text->n_linear && text->n_linear != l->o->n)
        return bad(l, "constraint %u: there are %u parameters and %u coefficients", i + 1, l->o->n,
                   text->n_linear);
    c->m = text->n_linear ? 1 : text->n_low ? text->n_low : text->n_high;
    if (!c->m || (text->n_low && text->n_low != c->m) || (text->n_high && text->n_high != c->m))
        return bad(l, "constraint %u: low and high are lists, a number for each component", i + 1);
    c->matrix = text->n_linear ? text->linear : NULL;
    c->text = text->command;
    if (text->command) {
        l->c->commands[i] = (struct de_command_constraint){text->command, c->m};
        c->fn = run_constraint;
        c->arg = &l->c->commands[i];
    }
    c->lower = text->n_low ? text->low : NULL;
    c->upper = text->n_high ? text->high : NULL;
    return 0;
}

static int take_constraints(struct load *l)
{
    uint32_t n = l->c->n_constraints;
    l->c->made = calloc(n + 1, sizeof(*l->c->made));
    l->c->commands = calloc(n + 1, sizeof(*l->c->commands));
    if (!l->c->made || !l->c->commands)
        return bad(l, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        if (take_constraint(l, i))
            return -1;
    }
    l->o->constraints = l->c->made;
    l->o->n_constraints = n;
    return 0;
}

/* ---- Method ---- */

static int take_method(struct load *l)
{
    static const char *const names[] = {"lshade",      "differential_evolution",
                                        "neldermead",  "tiktak",
                                        "async",       "lshade-async",
                                        "de",          "de-async",
                                        "nelder-mead", NULL};
    static const enum rtc_de_method methods[] = {RTC_DE_LSHADE,  RTC_DE_CLASSIC, RTC_DE_NELDERMEAD,
                                                 RTC_DE_TIKTAK,  RTC_DE_LSHADE,  RTC_DE_LSHADE,
                                                 RTC_DE_CLASSIC, RTC_DE_CLASSIC, RTC_DE_NELDERMEAD};
    const char *name = l->c->optimization.method ? l->c->optimization.method : names[0];
    int at = find(name, names);
    if (at < 0)
        return bad(l,
                   "optimization.method: \"%s\" is not lshade, differential_evolution, neldermead "
                   "or tiktak",
                   name);
    l->o->method = methods[at];
    l->o->async = strstr(names[at], "async") != NULL;
    return 0;
}

/* A line for each point, a number for each parameter; n columns or it is told which line is not. */
static int read_points(struct load *l, const char *name)
{
    char *path = NULL, *line = NULL;
    size_t cap = 0, n = 0, room = 0;
    if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : l->c->folder, name[0] == '/' ? "" : "/",
                 name) < 0)
        return bad(l, "out of memory");
    FILE *file = fopen(path, "re");
    free(path);
    if (!file)
        return bad(l,
                   "options.init: \"%s\" is neither latinhypercube, sobol, halton or random, nor "
                   "a file with points",
                   name);
    int rc = 0;
    while (rc == 0 && getline(&line, &cap, file) > 0) {
        uint32_t found = 0;
        if (n == room) {
            room = 2 * room + 64;
            double *grown = realloc(l->c->points, room * l->o->n * sizeof(double));
            if (!grown)
                rc = bad(l, "out of memory");
            l->c->points = grown ? grown : l->c->points;
        }
        for (char *at = line + strspn(line, " \t,;\r\n"), *end; rc == 0 && *at;) {
            double x = strtod(at, &end);
            if (end == at)
                rc = bad(l, "options.init: line %zu of %s is not a list of numbers", n + 1, name);
            if (rc == 0 && found < l->o->n)
                l->c->points[n * l->o->n + found] = x;
            found++;
            at = end + strspn(end, " \t,;\r\n");
        }
        if (rc == 0 && found && found != l->o->n)
            rc = bad(l, "options.init: line %zu of %s has %u numbers, and there are %u parameters",
                     n + 1, name, found, l->o->n);
        n += found != 0;
    }
    free(line);
    fclose(file);
    if (rc == 0 && n < 5)
        rc = bad(l, "options.init: %s has %zu points, and at least 5 are needed", name, n);
    l->o->init = RTC_DE_ARRAY;
    l->o->init_points = l->c->points;
    l->o->n_init = (uint32_t)n;
    return rc;
}

static int take_init(struct load *l, const char *name)
{
    static const char *const names[] = {"latinhypercube", "sobol", "halton", "random", NULL};
    int at = find(name, names);
    if (at < 0)
        return read_points(l, name);
    l->o->init = (enum rtc_de_init)at;
    return 0;
}

static double number(const double *given)
{
    return !given ? 0 : *given > 0 || *given < 0 ? *given : RTC_NONE;
}

static int take_scipy(struct load *l, const struct de_settings *s)
{
    struct rtc_de_options *o = l->o;
    o->popsize = s->popsize ? (uint32_t)*s->popsize : 0;
    o->max_generations =
        s->maxiter ? *s->maxiter ? (uint32_t)*s->maxiter : RTC_DE_NO_GENERATION : 0;
    o->strategy = s->strategy;
    if (s->n_mutation > 2)
        return bad(l, "options.mutation is a number, or a pair of them, low and high");
    for (unsigned i = 0; i < 2 && (s->one_mutation || s->n_mutation); i++)
        o->mutation[i] =
            s->one_mutation ? *s->one_mutation : s->mutation[i < s->n_mutation ? i : 0];
    if ((s->one_mutation || s->n_mutation) && o->mutation[0] == 0 && o->mutation[1] == 0)
        return bad(l, "options.mutation: 0 would make copies of what is there");
    o->recombination = number(s->recombination);
    o->polish = !s->polish || *s->polish;
    bool immediate = s->updating && !strcasecmp(s->updating, "immediate");
    if (s->updating && !immediate && strcasecmp(s->updating, "deferred") != 0)
        return bad(l, "options.updating is immediate or deferred");
    o->immediate = o->workers == 1 && !o->async && (!s->updating || immediate);
    if (immediate && !o->immediate && l->note)
        l->note("with more than one worker updating is deferred, as in SciPy");
    if (s->compat && strcasecmp(s->compat, "scipy-1.10") != 0)
        return bad(l, "options.compat: scipy-1.10 is possible");
    if (s->generator && !s->compat)
        return bad(l, "options.generator goes with compat: scipy-1.10");
    o->compat = !s->compat     ? RTC_DE_NATIVE
                : s->generator ? RTC_DE_SCIPY_GENERATOR
                               : RTC_DE_SCIPY_SEED;
    o->seed = s->generator ? *s->generator : o->seed;
    if (o->compat == RTC_DE_SCIPY_SEED && o->seed > UINT32_MAX)
        return bad(l, "options.seed: SciPy's are below 4294967296");
    return 0;
}

static int take_settings(struct load *l)
{
    static struct de_settings none;
    const struct de_settings *s = l->c->optimization.options ? l->c->optimization.options : &none;
    struct rtc_de_options *o = l->o;
    if ((s->popsize && *s->popsize > 1000000) || (s->population && *s->population > 1000000) ||
        (s->maxiter && *s->maxiter > 4000000000u))
        return bad(l, "popsize, population or maxiter is too large");
    o->async |= s->async;
    o->seed = s->seed ? *s->seed : 0;
    o->workers = s->workers ? (int)*s->workers : 0;
    o->max_evaluations = s->budget ? *s->budget : s->maxfun ? *s->maxfun : 0;
    o->max_seconds = s->max_time ? *s->max_time : 0;
    o->target = s->target;
    o->stall = s->stall ? *s->stall : 0;
    o->tol = number(s->tol);
    o->atol = s->atol ? *s->atol : 0;
    o->population = s->population ? (uint32_t)*s->population : 0;
    o->polish = s->polish && *s->polish;
    o->no_reuse = s->reuse && !*s->reuse;
    o->no_second_copies = s->second_copies && !*s->second_copies;
    if (s->init && take_init(l, s->init))
        return -1;
    if (o->method == RTC_DE_CLASSIC)
        return take_scipy(l, s);
    if (s->strategy || s->n_mutation || s->one_mutation || s->recombination || s->updating ||
        s->popsize || s->maxiter || s->compat || s->generator)
        return bad(l, "popsize, maxiter, strategy, mutation, recombination, updating, compat and "
                      "generator are options of differential_evolution; the others take population "
                      "and budget");
    if (o->method == RTC_DE_LSHADE && (s->tol || s->atol))
        return bad(l,
                   "lshade does not converge by tol and atol: it ends with its budget, a target, "
                   "a stall or its time");
    return 0;
}

/* ---- The rest ---- */

static int take_evaluation(struct load *l)
{
    static const char *const policies[] = {"penalise", "retry", "fatal", "penalize", NULL};
    const struct de_evaluation_text *e = l->c->evaluation;
    if (!e)
        return 0;
    int policy = e->on_failure ? find(e->on_failure, policies) : 0;
    if (policy < 0)
        return bad(l, "evaluation.on_failure: \"%s\" is not penalise, retry or fatal",
                   e->on_failure);
    if (e->cpus < 0 || e->deadline < 0 || (e->retries && *e->retries > 1000))
        return bad(l, "evaluation: cpus and deadline cannot be negative, retries be 1000 at most");
    l->o->on_failure = (enum rtc_de_failure)(policy % 3);
    l->o->cpus = e->cpus;
    l->o->deadline = e->deadline;
    l->o->retries = !e->retries ? 0 : *e->retries ? (int)*e->retries : RTC_NO_RETRY;
    l->o->penalty = e->penalty;
    l->o->no_affinity = e->affinity && !*e->affinity;
    if (e->mem && !config_bytes(e->mem, &l->o->mem))
        return bad(l, "evaluation.mem: \"%s\" is not an amount of memory, as 800M or 4GiB", e->mem);
    return 0;
}

static void find_folder(struct de_config *c, const char *path)
{
    const char *base = strrchr(path, '/');
    snprintf(c->folder, sizeof(c->folder), "%.*s", base ? (int)(base - path) : 1,
             base ? path : ".");
    snprintf(c->run, sizeof(c->run), "%.60s", c->name ? c->name : base ? base + 1 : path);
}

int de_config_load(const char *path, struct de_config **ret_config,
                   struct rtc_de_options *ret_options, struct de_watch *ret_watch,
                   void (*note)(const char *sentence), char *why, size_t size)
{
    struct load l = {.o = ret_options, .note = note, .why = why, .size = size};
    *ret_options = (struct rtc_de_options){0};
    if (de_schema_load(path, ret_config, note, why, size))
        return -1;
    l.c = *ret_config;
    find_folder(l.c, path);
    ret_options->name = l.c->run;
    const struct de_watch_text *w = l.c->watch;
    *ret_watch =
        (struct de_watch){.tensorboard = !w || !w->tensorboard || *w->tensorboard,
                          .plots = !w || !w->plots || *w->plots,
                          .disp = l.c->optimization.options && l.c->optimization.options->disp,
                          .notify = w ? w->notify : NULL};
    if (take_parameters(&l) || take_method(&l) || take_objective(&l) || take_moments(&l) ||
        take_constraints(&l) || take_settings(&l) || take_evaluation(&l)) {
        de_config_free(l.c);
        *ret_config = NULL;
        return -1;
    }
    return 0;
}

void de_config_free(struct de_config *config)
{
    if (!config)
        return;
    void *const parts[] = {config->lower,  config->upper,    config->x0,
                           config->points, config->names,    config->integrality,
                           config->made,   config->commands, config->library};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    de_schema_free(config);
}
