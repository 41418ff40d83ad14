/* What commands print: numbers, or JSON. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/objective.h"

#define FAIL(...) (snprintf(answer->why, sizeof(answer->why), __VA_ARGS__), -1)

/* "a.b.c" in nested objects. */
static json_t *field(json_t *object, const char *name)
{
    char part[256];
    while (object && *name) {
        size_t len = strcspn(name, ".");
        snprintf(part, sizeof(part), "%.*s", (int)len, name);
        object = json_object_get(object, part);
        name += len + (name[len] == '.');
    }
    return object;
}

static int read_moments(json_t *list, struct rtc_de_answer *answer)
{
    const char *key;
    json_t *item;
    size_t i;
    bool ok = json_is_array(list) || json_is_object(list);
    json_array_foreach(list, i, item)
    {
        ok &= json_is_number(item) && answer->n_moments < RTC_DE_MOMENTS_MAX;
        if (ok)
            answer->moments[answer->n_moments++] = json_number_value(item);
    }
    json_object_foreach(list, key, item)
    {
        ok &= json_is_number(item) && answer->n_moments < RTC_DE_MOMENTS_MAX;
        if (ok)
            answer->moments[answer->n_moments++] = json_number_value(item);
    }
    return ok ? 0 : -1;
}

static int read_json(const struct de_spec *spec, const char *line, const char *whole,
                     struct rtc_de_answer *answer)
{
    json_error_t error;
    json_t *root = json_loads(line, 0, &error);
    if (!root && whole)
        root = json_loads(whole, 0, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return FAIL("its last line is not a JSON object: \"%.200s\"", line);
    }
    int rc = 0;
    if (spec->value_field[0]) {
        json_t *value = field(root, spec->value_field);
        if (json_is_number(value))
            answer->value = json_number_value(value);
        else if (json_is_array(value))
            rc = FAIL("the field \"%s\" is a list, where a single number is the value",
                      spec->value_field);
        else
            rc = FAIL("the field \"%s\" is not there, or not a number", spec->value_field);
    }
    if (rc == 0 && spec->moments_field[0]) {
        rc = read_moments(field(root, spec->moments_field), answer);
        if (rc)
            rc = FAIL("the field \"%s\" is not a list of numbers", spec->moments_field);
    }
    json_decref(root);
    return rc;
}

int de_answer_read(const struct de_spec *spec, const char *line, const char *whole,
                   struct rtc_de_answer *answer)
{
    if (spec->value_field[0] || spec->moments_field[0])
        return read_json(spec, line, whole, answer);
    double numbers[2] = {0, 0};
    size_t n = 0;
    for (const char *at = line; *at;) {
        char *end;
        double x = strtod(at, &end);
        if (end == at || !strchr(" \t\r\n,;", *end))
            return FAIL("its last line is not a number: \"%.200s\"", line);
        if (spec->want_moments && n < RTC_DE_MOMENTS_MAX)
            answer->moments[n] = x;
        if (n == 0)
            numbers[0] = x;
        n++;
        at = end + strspn(end, " \t\r\n,;");
    }
    if (spec->want_moments) {
        answer->n_moments = n <= RTC_DE_MOMENTS_MAX ? n : RTC_DE_MOMENTS_MAX;
        return 0;
    }
    if (n != 1)
        return FAIL("it gave %zu numbers, where a single one is the value: \"%.200s\"", n, line);
    answer->value = numbers[0];
    return 0;
}

char *de_parameters_json(const struct de_spec *spec, const double *x)
{
    json_t *object = json_object();
    for (uint32_t i = 0; object && i < spec->n; i++)
        json_object_set_new(object, spec->names[i], json_real(x[i]));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(object);
    return text;
}
