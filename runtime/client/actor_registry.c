/* Classes of actors of this program, by name: as tasks in functions.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

struct class
{
    uint64_t hash;
    const struct rtc_actor_def *def;
    uint32_t n_methods;
    uint64_t methods[RTC_METHODS_MAX];
};
static struct class **classes; /* few: searched one after the other */
static uint32_t n_classes;
static char trouble[512]; /* what went wrong at registration, told at rtc_init() */

static int complain(int rc)
{
    if (!trouble[0])
        snprintf(trouble, sizeof(trouble), "%s", rtc_last_error());
    return rc;
}

static int check_methods(const struct rtc_actor_def *def, struct class *class)
{
    for (uint32_t i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++) {
        const char *name = def->methods[i].name;
        if (!def->methods[i].run || !name[0] || strlen(name) > RTCI_NAME_MAX)
            return rtci_error(RTC_E_INVALID,
                              "method %u of actor \"%s\" needs a function and a name of 1 to %d "
                              "bytes",
                              i, def->name, RTCI_NAME_MAX);
        class->methods[i] = rtci_function_hash(name, strlen(name));
        class->n_methods = i + 1;
        for (uint32_t k = 0; k < i; k++) {
            if (class->methods[k] == class->methods[i])
                return rtci_error(RTC_E_EXISTS,
                                  "two methods of actor \"%s\" (%s:%d) are named "
                                  "\"%s\"",
                                  def->name, def->file ? def->file : "?", def->line, name);
        }
    }
    return 0;
}

int rtc_actor_register(const struct rtc_actor_def *def)
{
    if (!def || !def->name || !def->name[0] || strlen(def->name) > RTCI_NAME_MAX)
        return rtci_error(RTC_E_INVALID, "an actor needs a name of 1 to %d bytes", RTCI_NAME_MAX);
    if (!def->save != !def->load)
        return complain(rtci_error(RTC_E_INVALID,
                                   "actor \"%s\" (%s:%d) has %s without %s: it needs both, or none",
                                   def->name, def->file ? def->file : "?", def->line,
                                   def->save ? "save" : "load", def->save ? "load" : "save"));
    uint64_t hash = rtci_function_hash(def->name, strlen(def->name));
    for (uint32_t i = 0; i < n_classes; i++) {
        const struct rtc_actor_def *other = classes[i]->def;
        if (other == def)
            return 0;
        if (classes[i]->hash == hash)
            return complain(rtci_error(RTC_E_EXISTS,
                                       "two actors are named \"%s\": %s:%d and %s:%d; rename one",
                                       def->name, other->file ? other->file : "?", other->line,
                                       def->file ? def->file : "?", def->line));
    }
    struct class *class = calloc(1, sizeof(*class));
    struct class **all = class ? realloc(classes, (n_classes + 1) * sizeof(*all)) : NULL;
    if (!all) {
        free(class);
        return complain(rtci_error(RTC_E_NOMEM, "out of memory for the actor \"%s\"", def->name));
    }
    classes = all;
    *class = (struct class){.hash = hash, .def = def};
    int rc = check_methods(def, class);
    if (rc < 0) {
        free(class);
        return complain(rc);
    }
    classes[n_classes++] = class;
    return 0;
}

int rtci_actor_registry_check(void)
{
    return trouble[0] ? rtci_error(RTC_E_EXISTS, "%s", trouble) : 0;
}

const struct rtc_actor_def *rtci_actor_def_by_hash(uint64_t hash)
{
    for (uint32_t i = 0; i < n_classes; i++) {
        if (classes[i]->hash == hash)
            return classes[i]->def;
    }
    return NULL;
}

/* How many bytes at both ends of the two names are the same. */
static size_t likeness(const char *a, const char *b)
{
    size_t head = 0, tail = 0, na = strlen(a), nb = strlen(b);
    while (head < na && head < nb && a[head] == b[head])
        head++;
    while (tail < na - head && tail < nb - head && a[na - 1 - tail] == b[nb - 1 - tail])
        tail++;
    return head + tail;
}

const struct rtc_actor_def *rtci_actor_def_by_name(const char *name)
{
    const char *nearest = NULL;
    size_t best = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_classes; i++) {
        if (strcmp(classes[i]->def->name, name) == 0)
            return classes[i]->def;
    }
    for (uint32_t i = 0; i < n_classes; i++) {
        if (strncmp(classes[i]->def->name, "rtc.", 4) == 0)
            continue; /* the runtime's own */
        n++;
        size_t like = likeness(name, classes[i]->def->name);
        if (like > best) {
            best = like;
            nearest = classes[i]->def->name;
        }
    }
    if (nearest && best * 2 >= strlen(name))
        rtci_error(RTC_E_UNKNOWN_ACTOR,
                   "no actor \"%.255s\" is registered in this program; did you mean \"%s\"?", name,
                   nearest);
    else
        rtci_error(RTC_E_UNKNOWN_ACTOR,
                   "no actor \"%.255s\" is registered in this program (%u are): define it with "
                   "RTC_ACTOR(%.255s, …) or rtc_actor_register() before rtc_init()",
                   name, n, name);
    return NULL;
}

static const struct class *class_of(const struct rtc_actor_def *def)
{
    uint32_t i = 0;
    while (classes[i]->def != def)
        i++;
    return classes[i];
}

int rtci_method_by_hash(const struct rtc_actor_def *def, uint64_t hash)
{
    const struct class *class = class_of(def);
    for (uint32_t i = 0; i < class->n_methods; i++) {
        if (class->methods[i] == hash)
            return (int)i;
    }
    return -1;
}

uint64_t rtci_method_hash(const struct rtc_actor_def *def, int method)
{
    return class_of(def)->methods[method];
}

int rtci_method_of(const struct rtc_actor_def *def, const char *name)
{
    const char *nearest = NULL;
    size_t best = 0;
    for (int i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++) {
        if (def->methods[i].name == name) /* the same literal, mostly */
            return i;
    }
    for (int i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++) {
        if (strcmp(def->methods[i].name, name) == 0)
            return i;
    }
    for (int i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++) {
        const char *other = def->methods[i].name;
        size_t like = likeness(name, other);
        if (like > best) {
            best = like;
            nearest = other;
        }
    }
    if (nearest && best * 2 >= strlen(name))
        return rtci_error(RTC_E_UNKNOWN_METHOD,
                          "actor \"%s\" has no method \"%.255s\"; did you mean \"%s\"?", def->name,
                          name, nearest);
    return rtci_error(RTC_E_UNKNOWN_METHOD,
                      "actor \"%s\" has no method \"%.255s\": add "
                      "RTC_METHOD(%.255s) to its methods",
                      def->name, name, name);
}
