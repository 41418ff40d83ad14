/* Sentences of failed calls, and options as texts. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/env/inner.h"

static _Thread_local char sentence[1024];

const char *rtc_env_error(void)
{
    return sentence;
}

int rtc_env_fail(int code, const char *fmt, ...)
{
    char text[sizeof(sentence)]; /* an argument may be the sentence itself */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(sentence, text, sizeof(text));
    return code;
}

int rtci_env_blame(int code, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return rtc_env_fail(code, "%s: %s", text, sentence);
}

const char *rtc_env_option(const struct rtc_env_config *config, const char *key)
{
    for (size_t i = 0; i < config->n_options; i++) {
        if (!strcmp(config->options[i].key, key))
            return config->options[i].value;
    }
    return NULL;
}

static int refuse(const char *key, const char *text, const char *want)
{
    return rtc_env_fail(RTC_E_INVALID, "option %s is \"%s\"; it must be %s", key, text ? text : "",
                        want);
}

int rtc_env_option_f64(const struct rtc_env_config *config, const char *key, double low,
                       double high, double *ret_x)
{
    const char *text = rtc_env_option(config, key);
    char *end = NULL, want[96];
    double x = text ? strtod(text, &end) : NAN;
    if (!text || end == text || *end || !(x >= low && x <= high)) {
        snprintf(want, sizeof(want), "a number from %g to %g", low, high);
        return refuse(key, text, want);
    }
    *ret_x = x;
    return 0;
}

int rtc_env_option_i64(const struct rtc_env_config *config, const char *key, int64_t low,
                       int64_t high, int64_t *ret_x)
{
    const char *text = rtc_env_option(config, key);
    char *end = NULL, want[96];
    errno = 0;
    long long x = text ? strtoll(text, &end, 10) : 0;
    if (!text || end == text || *end || errno || x < low || x > high) {
        snprintf(want, sizeof(want), "a whole number from %lld to %lld", (long long)low,
                 (long long)high);
        return refuse(key, text, want);
    }
    *ret_x = x;
    return 0;
}

int rtc_env_option_bool(const struct rtc_env_config *config, const char *key, bool *ret_x)
{
    const char *text = rtc_env_option(config, key);
    bool yes = text && (!strcmp(text, "true") || !strcmp(text, "1"));
    if (!yes && (!text || (strcmp(text, "false") && strcmp(text, "0"))))
        return refuse(key, text, "true or false");
    *ret_x = yes;
    return 0;
}

static bool has(const struct rtc_env_option *options, const char *key)
{
    for (; options && options->key; options++) {
        if (!strcmp(options->key, key))
            return true;
    }
    return false;
}

/* "a, b, c" of the options there are. */
static void list(const struct env_entry *entry, char *ret_text, size_t size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    if (entry->single)
        used = (size_t)snprintf(ret_text, size, "max_episode_steps");
    for (const struct rtc_env_option *o = entry->options; o && o->key && used < size; o++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", used ? ", " : "", o->key);
    if (!used)
        snprintf(ret_text, size, "none");
}

int rtci_env_merge(const struct env_entry *entry, const struct rtc_env_config *config,
                   struct rtc_env_config *ret_config)
{
    size_t n = 1, given = config ? config->n_options : 0;
    for (const struct rtc_env_option *o = entry->options; o && o->key; o++)
        n++;
    for (size_t i = 0; i < given; i++) {
        const struct rtc_env_option *o = &config->options[i];
        char known[512];
        if (!o->key || !o->value)
            return rtc_env_fail(RTC_E_INVALID, "option %zu of %s has no key or no value", i,
                                entry->name);
        if (has(entry->options, o->key) || (entry->single && !strcmp(o->key, "max_episode_steps")))
            continue;
        list(entry, known, sizeof(known));
        return rtc_env_fail(RTC_E_NOT_FOUND, "%s has no option %s; its options: %s", entry->name,
                            o->key, known);
    }
    const size_t digits = 16; /* of the limit, behind the table */
    struct rtc_env_option *all = calloc(1, (given + n) * sizeof(*all) + digits);
    if (!all)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for the options of %s", entry->name);
    size_t k = 0;
    for (; k < given; k++) /* the first of a key counts, the last one given comes first */
        all[k] = config->options[given - 1 - k];
    for (const struct rtc_env_option *o = entry->options; o && o->key; o++)
        all[k++] = *o;
    if (entry->single && !has(entry->options, "max_episode_steps")) {
        char *limit = (char *)(all + given + n);
        snprintf(limit, digits, "%u", entry->single->max_episode_steps);
        all[k++] = (struct rtc_env_option){.key = "max_episode_steps", .value = limit};
    }
    *ret_config = (struct rtc_env_config){
        .slots = config && config->slots ? config->slots : 1, .options = all, .n_options = k};
    return 0;
}
