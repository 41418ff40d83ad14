/* What a simulator is started with. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/sumo/internal.h"

const char *sumo_input_name(const struct sumo_sim *sim)
{
    return sim->options.sumocfg_file ? sim->options.sumocfg_file : sim->options.net_file;
}

/* A list with commas. */
static int check_files(struct sumo_sim *sim, const char *what, const char *list)
{
    char path[4096];
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, ",");
        at += strspn(at, " ");
        snprintf(path, sizeof(path), "%.*s", (int)(n < sizeof(path) ? n : sizeof(path) - 1), at);
        if (access(path, R_OK) != 0)
            return sumo_fail(sim, RTC_E_NOT_FOUND,
                             "cannot read the %s '%s': %s; give its path from the folder in which "
                             "the program runs, or an absolute one",
                             what, path, strerror(errno));
        at += strcspn(at, ",");
        at += *at == ',';
    }
    return 0;
}

int sumo_check_options(struct sumo_sim *sim)
{
    const struct sumo_options *o = &sim->options;
    int rc;
    if (!o->sumocfg_file && !o->net_file)
        return sumo_fail(
            sim, RTC_E_INVALID,
            "neither a sumocfg nor a net file is given; give sumocfg_file, or net_file "
            "and route_files");
    if (!isfinite(o->step_length) || (o->step_length != 0 && o->step_length < 0.001))
        return sumo_fail(sim, RTC_E_INVALID,
                         "a step length of %g s; SUMO counts milliseconds: give 0.001 or more, or "
                         "leave it out",
                         o->step_length);
    if (o->gui && o->backend == SUMO_LIBSUMO)
        return sumo_fail(sim, RTC_E_INVALID,
                         "libsumo has no window; to watch, use the backend traci or auto");
    if ((rc = check_files(sim, "sumocfg", o->sumocfg_file)) ||
        (rc = check_files(sim, "net file", o->net_file)) ||
        (rc = check_files(sim, "route file", o->route_files)) ||
        (rc = check_files(sim, "additional file", o->additional_files)))
        return rc;
    return 0;
}

static bool names_option(const char *argument, const char *option)
{
    size_t n = strlen(option);
    return strncmp(argument, option, n) == 0 && (argument[n] == '\0' || argument[n] == '=');
}

struct maker {
    struct sumo_sim *sim;
    const char *const *extra;
    uint32_t n_extra, room;
    bool failed;
};

static void add(struct maker *m, const char *text)
{
    struct sumo_sim *sim = m->sim;
    if (sim->n_arguments + 1 >= m->room) {
        uint32_t room = m->room ? m->room * 2 : 32;
        char **made = realloc(sim->arguments, room * sizeof(*made));
        if (!made) {
            m->failed = true;
            return;
        }
        sim->arguments = made;
        m->room = room;
    }
    char *copy = strdup(text);
    if (!copy) {
        m->failed = true;
        return;
    }
    sim->arguments[sim->n_arguments++] = copy;
    sim->arguments[sim->n_arguments] = NULL;
}

/* Unless the user gave it: SUMO refuses an option that is set twice. */
static void add_option(struct maker *m, const char *option, const char *short_option,
                       const char *value)
{
    for (uint32_t i = 0; i < m->n_extra; i++) {
        if (names_option(m->extra[i], option) ||
            (short_option && names_option(m->extra[i], short_option)))
            return;
    }
    add(m, option);
    add(m, value);
}

void sumo_free_arguments(struct sumo_sim *sim)
{
    for (uint32_t i = 0; i < sim->n_arguments; i++)
        free(sim->arguments[i]);
    free(sim->arguments);
    sim->arguments = NULL;
    sim->n_arguments = 0;
}

/* Schemas are not looked for: without SUMO_HOME they would come from the network, and the checks
 * cost up to a fifth of a run. Warnings stay on: under --no-warnings vehicles vanish without a
 * word. */
int sumo_make_arguments(struct sumo_sim *sim, const char *const *extra, uint32_t n_extra)
{
    const struct sumo_options *o = &sim->options;
    struct maker m = {.sim = sim, .extra = extra, .n_extra = n_extra};
    char number[64];
    sumo_free_arguments(sim);
    if (o->sumocfg_file)
        add_option(&m, "--configuration-file", "-c", o->sumocfg_file);
    if (o->net_file)
        add_option(&m, "--net-file", "-n", o->net_file);
    if (o->route_files)
        add_option(&m, "--route-files", "-r", o->route_files);
    if (o->additional_files)
        add_option(&m, "--additional-files", "-a", o->additional_files);
    if (o->step_length > 0) {
        snprintf(number, sizeof(number), "%.3f", o->step_length);
        add_option(&m, "--step-length", NULL, number);
    }
    snprintf(number, sizeof(number), "%u", o->seed & INT32_MAX); /* SUMO takes 31 bits */
    add_option(&m, "--seed", NULL, number);
    add_option(&m, "--no-step-log", NULL, "true");
    add_option(&m, "--duration-log.disable", NULL, "true");
    add_option(&m, "--xml-validation", "-X", "never");
    add_option(&m, "--xml-validation.net", NULL, "never");
    add_option(&m, "--xml-validation.routes", NULL, "never");
    if (o->gui) {
        add_option(&m, "--start", "-S", "true");
        add_option(&m, "--quit-on-end", "-Q", "true");
    }
    for (uint32_t i = 0; i < n_extra; i++)
        add(&m, extra[i]);
    return m.failed ? sumo_fail(sim, RTC_E_NOMEM, "out of memory") : 0;
}
