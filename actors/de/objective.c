#include "actors/de/objective.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Built-in functions ---- */

static double sphere(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static double rosen(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100.0 * (a * a) + b * b;
    }
    return sum;
}

static double rastrigin(const double *x, uint32_t n)
{
    double sum = 10.0 * n;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i] - 10 * cos(2 * M_PI * x[i]);
    return sum;
}

static double ackley(const double *x, uint32_t n)
{
    double squares = 0, waves = 0;
    for (uint32_t i = 0; i < n; i++) {
        squares += x[i] * x[i] / n;
        waves += cos(2 * M_PI * x[i]) / n;
    }
    return 20 + M_E - 20 * exp(-0.2 * sqrt(squares)) - exp(waves);
}

static const struct {
    const char *name;
    double (*fn)(const double *x, uint32_t n);
} functions[] = {
    {"sphere", sphere}, {"rosen", rosen}, {"rastrigin", rastrigin}, {"ackley", ackley}};

static double (*find(const char *name))(const double *, uint32_t)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (!strcmp(functions[i].name, name))
            return functions[i].fn;
    }
    return NULL;
}

/* ---- Libraries ---- */

/* "FILE.so" or "FILE.so:SYMBOL"; loaded once for each process. */
static rtc_de_objective load(const char *text, char *why, size_t size)
{
    static rtc_de_objective loaded;
    static char of[1024];
    char path[1024];
    if (loaded && !strcmp(of, text))
        return loaded;
    snprintf(path, sizeof(path), "%s", text);
    char *colon = strrchr(path, ':');
    const char *symbol = "rtc_de_objective";
    if (colon && !strchr(colon, '/')) {
        *colon = 0;
        symbol = colon + 1;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    loaded = library ? (rtc_de_objective)(uintptr_t)dlsym(library, symbol) : NULL;
    if (!library)
        snprintf(why, size, "the library cannot be loaded: %s", dlerror());
    else if (!loaded)
        snprintf(why, size, "%s has no function %s", path, symbol);
    snprintf(of, sizeof(of), "%s", text);
    return loaded;
}

/* ---- All kinds ---- */

const char *de_objective_check(enum rtc_de_kind kind, const char *text, char *why, size_t size)
{
    if (!text || !text[0])
        return "an objective is needed";
    if (kind == RTC_DE_FUNCTION && !find(text)) {
        snprintf(
            why, size,
            "there is no function \"%.100s\": sphere, rosen, rastrigin and ackley are built in",
            text);
        return why;
    }
    if (kind == RTC_DE_LIBRARY && !load(text, why, size))
        return why;
    return NULL;
}

int de_objective_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer)
{
    double (*fn)(const double *, uint32_t);
    rtc_de_objective loaded;
    switch (spec->kind) {
    case RTC_DE_COMMAND: return de_command_answer(spec, x, answer);
    case RTC_DE_PERSISTENT: return de_persistent_answer(spec, x, answer);
    case RTC_DE_LIBRARY:
        loaded = load(spec->objective, answer->why, sizeof(answer->why));
        return loaded ? loaded(x, spec->n, answer) : -1;
    default:
        fn = find(spec->objective);
        if (!fn)
            snprintf(answer->why, sizeof(answer->why), "there is no function \"%.100s\"",
                     spec->objective);
        else
            answer->value = fn(x, spec->n);
        return fn ? 0 : -1;
    }
}
