#include "actors/config/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actors/config/text.h"

#define WHOLE_MAX 9007199254740992.0 /* a double has all whole numbers up to it */

struct value {
    const struct config_key *key;
    const struct config_node *node;
    char *wrong;
    size_t size;
};

/* ---- Sentences ---- */

static void say_range(const struct config_key *key, char *out, size_t size)
{
    if (key->low == -INFINITY && key->high == INFINITY)
        out[0] = 0;
    else if (key->high == INFINITY || (key->type == CONFIG_INT && key->high >= WHOLE_MAX))
        snprintf(out, size, " that is not below %.10g", key->low);
    else
        snprintf(out, size, " from %.10g to %.10g", key->low, key->high);
}

void config_wanted(const struct config_key *key, char *out, size_t size)
{
    char range[64];
    say_range(key, range, sizeof(range));
    switch (key->type) {
    case CONFIG_BOOL: snprintf(out, size, "true or false"); break;
    case CONFIG_INT: snprintf(out, size, "a whole number%s", range); break;
    case CONFIG_NUMBER:
        snprintf(out, size, "a number%s%s", range,
                 key->schedule ? " (or a list of [step, value])" : "");
        break;
    case CONFIG_TEXT: snprintf(out, size, "a text"); break;
    case CONFIG_CHOICE: snprintf(out, size, "one of %s", key->choices); break;
    case CONFIG_BYTES: snprintf(out, size, "an amount of memory, as 800M or 4GiB"); break;
    case CONFIG_INTS: snprintf(out, size, "a list of whole numbers%s", range); break;
    case CONFIG_POINTS: snprintf(out, size, "a list of [step, value], the steps ascending"); break;
    case CONFIG_OPTIONS: snprintf(out, size, "a mapping of options"); break;
    }
    size_t used = strlen(out);
    if (key->none && used < size)
        snprintf(out + used, size - used, "%s%s, or None",
                 key->type == CONFIG_INT && key->choices ? ", " : "",
                 key->type == CONFIG_INT && key->choices ? key->choices : "");
}

static const char *kind_name(const struct config_node *node)
{
    return node->kind == CONFIG_LIST ? "a list" : node->kind == CONFIG_MAPPING ? "a mapping" : "";
}

static int refuse(const struct value *v)
{
    char want[256];
    config_wanted(v->key, want, sizeof(want));
    if (v->node->kind == CONFIG_MAPPING && config_node_find(v->node, "grid_search"))
        snprintf(v->wrong, v->size, "is a grid_search of Tune's: a training takes one value");
    else if (v->node->kind != CONFIG_SCALAR)
        snprintf(v->wrong, v->size, "must be %s, and is %s", want, kind_name(v->node));
    else if (config_node_is_null(v->node))
        snprintf(v->wrong, v->size, "must be %s, and is empty", want);
    else
        snprintf(v->wrong, v->size, "must be %s, and is \"%.100s\"%s", want, v->node->text,
                 v->node->quoted && v->key->type != CONFIG_CHOICE ? " in quotes" : "");
    return -1;
}

static int complain(const struct value *v, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->wrong, v->size, fmt, args);
    va_end(args);
    return -1;
}

/* ---- Scalars ---- */

/* 4_000 is 4000, as in Python. */
static bool without_underscores(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '_' && c > text && isdigit((unsigned char)c[-1]) && isdigit((unsigned char)c[1]))
            continue;
        if (n + 1 >= size)
            return false;
        out[n++] = *c;
    }
    out[n] = 0;
    return n > 0;
}

static bool number_of(const struct config_node *node, double *ret)
{
    char digits[64], *end;
    if (node->kind != CONFIG_SCALAR || node->quoted ||
        !without_underscores(node->text, digits, sizeof(digits)))
        return false;
    const char *bare = digits + strspn(digits, "+-");
    if (!strcasecmp(bare, ".inf") || !strcasecmp(bare, "inf")) {
        *ret = digits[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (bare - digits > 1 || !strchr("0123456789.", *bare) ||
        tolower((unsigned char)bare[1]) == 'x')
        return false;
    *ret = strtod(digits, &end);
    return end != digits && !*end && isfinite(*ret);
}

static bool in_range(const struct config_key *key, double x)
{
    return x >= key->low && x <= key->high;
}

static bool whole_of(const struct config_node *node, int64_t *ret)
{
    double x;
    char digits[64], *end;
    if (!number_of(node, &x) || x != floor(x) || fabs(x) > 9e18)
        return false;
    without_underscores(node->text, digits, sizeof(digits));
    errno = 0;
    long long exact = strtoll(digits, &end, 10); /* 1e6 is whole too */
    *ret = *end || errno ? (int64_t)x : exact;
    return true;
}

static int read_bool(const struct value *v, bool *ret)
{
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (size_t i = 0; v->node->kind == CONFIG_SCALAR && !v->node->quoted && i < 6; i++) {
        if (!strcasecmp(v->node->text, words[i])) {
            *ret = i < 3;
            return 0;
        }
    }
    return refuse(v);
}

static int read_choice(const struct value *v, int *ret)
{
    char words[8][CONFIG_WORD_MAX], meant[CONFIG_WORD_MAX] = "";
    int n = 0;
    if (v->node->kind != CONFIG_SCALAR)
        return refuse(v);
    struct config_nearest near = config_nearest(v->node->text);
    for (const char *at = v->key->choices; *at && n < 8; n++) {
        size_t len = strcspn(at, " ");
        snprintf(words[n], sizeof(words[n]), "%.*s", (int)len, at);
        at += len + strspn(at + len, " ");
        if (!strcasecmp(words[n], v->node->text)) {
            *ret = n;
            return 0;
        }
        config_nearest_try(&near, words[n]);
    }
    if (near.found)
        snprintf(meant, sizeof(meant), ": was %.40s meant?", near.found);
    return complain(v, "must be one of %s, and is \"%.100s\"%s", v->key->choices, v->node->text,
                    meant);
}

static int read_text(const struct value *v, char *text)
{
    if (v->node->kind != CONFIG_SCALAR)
        return refuse(v);
    if (strlen(v->node->text) >= CONFIG_TEXT_MAX)
        return complain(v, "is longer than %u bytes", CONFIG_TEXT_MAX - 1);
    memcpy(text, v->node->text, strlen(v->node->text) + 1);
    return 0;
}

static int read_bytes(const struct value *v, int64_t *ret)
{
    uint64_t bytes;
    int64_t whole;
    if (v->node->kind != CONFIG_SCALAR)
        return refuse(v);
    if (whole_of(v->node, &whole) && whole > 0)
        *ret = whole;
    else if (config_bytes(v->node->text, &bytes))
        *ret = (int64_t)bytes;
    else
        return refuse(v);
    return 0;
}

/* ---- Lists and mappings ---- */

static int read_ints(const struct value *v, struct config_ints *ret)
{
    struct config_ints ints = {0};
    if (v->node->kind != CONFIG_LIST)
        return refuse(v);
    if (v->node->n > CONFIG_INTS_MAX)
        return complain(v, "has %u numbers; at most %u are possible", v->node->n, CONFIG_INTS_MAX);
    for (const struct config_node *part = v->node->first; part; part = part->next) {
        struct value one = *v;
        one.node = part;
        if (!whole_of(part, &ints.at[ints.n]) || !in_range(v->key, (double)ints.at[ints.n]))
            return refuse(&one);
        ints.n++;
    }
    *ret = ints;
    return 0;
}

static int read_points(const struct value *v, struct config_points *ret)
{
    struct config_points points = {0};
    if (v->node->kind != CONFIG_LIST || !v->node->n)
        return refuse(v);
    if (v->node->n > CONFIG_POINTS_MAX)
        return complain(v, "has %u points; at most %u are possible", v->node->n, CONFIG_POINTS_MAX);
    for (const struct config_node *part = v->node->first; part; part = part->next) {
        double *at = points.at[points.n];
        if (part->kind != CONFIG_LIST || part->n != 2 || !number_of(part->first, &at[0]) ||
            !number_of(part->last, &at[1]))
            return complain(v, "must be %s (line %u is not)",
                            "a list of [step, value], as [[0, 3e-4], [1e6, 0]]", part->line);
        if (!in_range(v->key, at[1]) || !isfinite(at[1]))
            return complain(v, "has the value %g, which cannot be", at[1]);
        if (!(at[0] >= 0) || !isfinite(at[0]) ||
            (points.n && !(at[0] > points.at[points.n - 1][0])))
            return complain(
                v, "must have ascending steps, and %g does not come behind the one before", at[0]);
        points.n++;
    }
    *ret = points;
    return 0;
}

static int read_number(const struct value *v, void *target, double *ret)
{
    double x;
    if (v->key->schedule && v->node->kind == CONFIG_LIST) {
        struct config_points *points = (void *)((char *)target + v->key->schedule);
        if (read_points(v, points))
            return -1;
        *ret = points->at[0][1];
        return 0;
    }
    if (!number_of(v->node, &x) || !in_range(v->key, x))
        return refuse(v);
    *ret = x;
    return 0;
}

/* "a,b" of a list; false when it does not fit, or has lists in it. */
static bool option_text(const struct config_node *node, char *text, size_t size)
{
    int n = 0;
    text[0] = 0;
    if (node->kind == CONFIG_SCALAR)
        n = snprintf(text, size, "%s", config_node_is_null(node) ? "" : node->text);
    size_t used = 0;
    for (const struct config_node *part = node->first; part && used < size; part = part->next) {
        if (part->kind != CONFIG_SCALAR)
            return false;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "", part->text);
    }
    return n >= 0 && (size_t)n < size && used < size;
}

static int put_option(const struct value *v, struct config_options *o, const char *key,
                      const struct config_node *node)
{
    char value[sizeof(o->at[0].value)];
    uint32_t i = 0;
    if (strlen(key) >= sizeof(o->at[0].key) || !option_text(node, value, sizeof(value)))
        return complain(v, "has an option that is too long, or lists in lists: %.80s", key);
    while (i < o->n && strcmp(o->at[i].key, key) != 0)
        i++;
    if (i == CONFIG_OPTIONS_MAX)
        return complain(v, "has more than %u options", CONFIG_OPTIONS_MAX);
    memcpy(o->at[i].key, key, strlen(key) + 1);
    memcpy(o->at[i].value, value, strlen(value) + 1);
    o->n += i == o->n;
    return 0;
}

static int add_option(const struct value *v, struct config_options *o, const char *prefix,
                      const struct config_node *node, unsigned depth)
{
    char key[CONFIG_WORD_MAX];
    if (snprintf(key, sizeof(key), "%s%s", prefix, node->key) >= (int)sizeof(key) - 1)
        return complain(v, "has too long a name in it: %.80s", node->key);
    if (node->kind != CONFIG_MAPPING)
        return put_option(v, o, key, node);
    if (depth == 4)
        return complain(v, "has more than 4 levels");
    memcpy(key + strlen(key), ".", 2);
    for (const struct config_node *part = node->first; part; part = part->next) {
        if (add_option(v, o, key, part, depth + 1))
            return -1;
    }
    return 0;
}

int config_add_option(struct config_options *options, const struct config_node *node, char *wrong,
                      size_t size)
{
    static const struct config_key any = {.type = CONFIG_OPTIONS};
    const struct value v = {&any, node, wrong, size};
    return add_option(&v, options, "", node, 1);
}

static int read_options(const struct value *v, struct config_options *ret)
{
    if (v->node->kind != CONFIG_MAPPING)
        return refuse(v);
    for (const struct config_node *part = v->node->first; part; part = part->next) {
        if (add_option(v, ret, "", part, 1))
            return -1;
    }
    return 0;
}

/* ---- All types ---- */

static int read_none(const struct value *v, void *at)
{
    switch (v->key->type) {
    case CONFIG_INT:
    case CONFIG_BYTES: *(int64_t *)at = CONFIG_NONE; return 0;
    case CONFIG_NUMBER: *(double *)at = CONFIG_NONE_F64; return 0;
    case CONFIG_TEXT: *(char *)at = 0; return 0;
    case CONFIG_INTS: ((struct config_ints *)at)->n = 0; return 0;
    case CONFIG_POINTS: ((struct config_points *)at)->n = 0; return 0;
    case CONFIG_OPTIONS: ((struct config_options *)at)->n = 0; return 0;
    case CONFIG_BOOL:
    case CONFIG_CHOICE: break;
    }
    return refuse(v);
}

static int read_int(const struct value *v, int64_t *ret)
{
    int64_t whole;
    if (v->key->choices && v->node->kind == CONFIG_SCALAR &&
        !strcasecmp(v->node->text, v->key->choices)) {
        *ret = CONFIG_NONE;
        return 0;
    }
    if (!whole_of(v->node, &whole) || !in_range(v->key, (double)whole))
        return refuse(v);
    *ret = whole;
    return 0;
}

int config_read_value(const struct config_key *key, const struct config_node *node, void *target,
                      char *wrong, size_t size)
{
    const struct value v = {key, node, wrong, size};
    void *at = (char *)target + key->offset;
    if (config_node_is_null(node))
        return key->none ? read_none(&v, at) : refuse(&v);
    switch (key->type) {
    case CONFIG_BOOL: return read_bool(&v, at);
    case CONFIG_INT: return read_int(&v, at);
    case CONFIG_NUMBER: return read_number(&v, target, at);
    case CONFIG_TEXT: return read_text(&v, at);
    case CONFIG_CHOICE: return read_choice(&v, at);
    case CONFIG_BYTES: return read_bytes(&v, at);
    case CONFIG_INTS: return read_ints(&v, at);
    case CONFIG_POINTS: return read_points(&v, at);
    case CONFIG_OPTIONS: return read_options(&v, at);
    }
    return refuse(&v);
}
