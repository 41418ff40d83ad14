/* Settings as YAML: the resolved file of a run, and the list of keys. */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "actors/config/schema.h"
#include "actors/config/values.h"

struct out {
    char *text;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out->text + out->used, CONFIG_VALUE_MAX - out->used, fmt, args);
    va_end(args);
    assert(n >= 0 && out->used + (size_t)n < CONFIG_VALUE_MAX); /* the types have limits */
    out->used += (size_t)n;
}

/* The shortest that reads back as the same. */
static void put_number(struct out *out, double x)
{
    char text[40];
    if (!isfinite(x)) {
        put(out, "%s", isnan(x) ? "null" : x > 0 ? ".inf" : "-.inf");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    put(out, "%s", text);
}

/* The next character; what is no UTF-8 is a question mark, a byte long. */
static uint32_t next_character(const char **at)
{
    const unsigned char *c = (const unsigned char *)*at;
    unsigned n = *c < 0x80 ? 0 : *c < 0xc2 ? 9 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : *c < 0xf5 ? 3 : 9;
    uint32_t x = n == 0 ? *c : n == 9 ? '?' : *c & (0x3fu >> n);
    (*at)++;
    for (unsigned i = 1; n < 9 && i <= n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return '?';
        x = x << 6 | (c[i] & 0x3f);
    }
    *at += n < 9 ? n : 0;
    return x;
}

/* Readers take some characters for ends of lines, and refuse others. */
static bool is_plain(uint32_t x)
{
    return x >= ' ' && x != 0x7f && !(x >= 0x80 && x < 0xa0) && x != 0x2028 && x != 0x2029 &&
           x != 0xfeff && x != 0xfffe && x != 0xffff;
}

static void put_text(struct out *out, const char *text)
{
    put(out, "\"");
    for (const char *at = text, *from = at; *at; from = at) {
        uint32_t x = next_character(&at);
        if (x == '"' || x == '\\')
            put(out, "\\%c", (int)x);
        else if (!is_plain(x))
            put(out, "\\u%04x", x);
        else if (x == '?')
            put(out, "?");
        else
            put(out, "%.*s", (int)(at - from), from);
    }
    put(out, "\"");
}

static void put_int(struct out *out, const struct config_key *key, int64_t x)
{
    if (x == CONFIG_NONE)
        put(out, "%s", key->type == CONFIG_INT && key->choices ? key->choices : "null");
    else
        put(out, "%lld", (long long)x);
}

static void put_points(struct out *out, const struct config_points *points)
{
    if (!points->n) {
        put(out, "null");
        return;
    }
    put(out, "[");
    for (uint32_t i = 0; i < points->n; i++) {
        put(out, "%s[", i ? ", " : "");
        put_number(out, points->at[i][0]);
        put(out, ", ");
        put_number(out, points->at[i][1]);
        put(out, "]");
    }
    put(out, "]");
}

static void put_options(struct out *out, const struct config_options *options)
{
    put(out, "{");
    for (uint32_t i = 0; i < options->n; i++) {
        put(out, "%s", i ? ", " : "");
        put_text(out, options->at[i].key);
        put(out, ": ");
        put_text(out, options->at[i].value);
    }
    put(out, "}");
}

static void put_choice(struct out *out, const struct config_key *key, int which)
{
    const char *at = key->choices;
    for (; which > 0 && *at; which--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    put(out, "%.*s", (int)strcspn(at, " "), at);
}

const char *config_value(const struct config_key *key, const void *target, char *text)
{
    struct out out = {.text = text};
    const void *at = (const char *)target + key->offset;
    text[0] = 0;
    switch (key->type) {
    case CONFIG_BOOL: put(&out, "%s", *(const bool *)at ? "true" : "false"); break;
    case CONFIG_INT:
    case CONFIG_BYTES: put_int(&out, key, *(const int64_t *)at); break;
    case CONFIG_NUMBER: put_number(&out, *(const double *)at); break;
    case CONFIG_CHOICE: put_choice(&out, key, *(const int *)at); break;
    case CONFIG_POINTS: put_points(&out, at); break;
    case CONFIG_OPTIONS: put_options(&out, at); break;
    case CONFIG_TEXT:
        if (*(const char *)at || !key->none)
            put_text(&out, at);
        else
            put(&out, "null");
        break;
    case CONFIG_INTS: {
        const struct config_ints *ints = at;
        put(&out, "[");
        for (uint32_t i = 0; i < ints->n; i++)
            put(&out, "%s%lld", i ? ", " : "", (long long)ints->at[i]);
        put(&out, "]");
        break;
    }
    }
    return text;
}

static void put_origin(const struct config_origin *origin, FILE *file)
{
    if (!origin->layer)
        return;
    fputs("   # ", file);
    for (const char *at = origin->layer, *from = at; *at; from = at) {
        uint32_t x = next_character(&at);
        fprintf(file, "%.*s", x == '?' || !is_plain(x) ? 1 : (int)(at - from),
                x == '?' || !is_plain(x) ? "?" : from);
    }
    if (origin->line && strncmp(origin->layer, "--set", 5) != 0)
        fprintf(file, ", line %u", origin->line);
}

/* The part before the dot; 0: the key stands at the top. */
static int section_of(const struct config_key *key)
{
    const char *dot = strchr(key->name, '.');
    return dot ? (int)(dot - key->name) : 0;
}

static bool begins_section(const struct config_schema *schema, size_t i)
{
    int n = section_of(&schema->keys[i]);
    return n && (i == 0 || section_of(&schema->keys[i - 1]) != n ||
                 strncmp(schema->keys[i].name, schema->keys[i - 1].name, (size_t)n + 1) != 0);
}

void config_write(const struct config_schema *schema, const void *target,
                  const struct config_origin *origins, FILE *file)
{
    char *text = malloc(CONFIG_VALUE_MAX);
    for (size_t i = 0; text && i < schema->n; i++) {
        const struct config_key *key = &schema->keys[i];
        int section = section_of(key);
        if (begins_section(schema, i))
            fprintf(file, "%.*s:\n", section, key->name);
        fprintf(file, "%s%s: %s", section ? "  " : "", key->name + (section ? section + 1 : 0),
                config_value(key, target, text));
        if (origins)
            put_origin(&origins[i], file);
        fputc('\n', file);
    }
    free(text);
}

void config_help(const struct config_schema *schema, FILE *file)
{
    char want[256];
    for (size_t i = 0; i < schema->n; i++) {
        const struct config_key *key = &schema->keys[i];
        config_wanted(key, want, sizeof(want));
        fprintf(file, "%s: %s", key->name, key->usual[0]);
        if (key->usual[1] && strcmp(key->usual[0], key->usual[1]) != 0)
            fprintf(file, " (%s)", key->usual[1]);
        fprintf(file, "\n    %s; %s", key->about, want);
        if (key->also)
            fprintf(file, "\n    also: %s", key->also);
        fputc('\n', file);
    }
}
