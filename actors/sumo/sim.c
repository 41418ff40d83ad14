/* The life of a simulation, and one message with its answer. */
#include "actors/sumo/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/sumo/internal.h"
#include "actors/sumo/libsumo.h"

int sumo_fail(struct sumo_sim *sim, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->error, sizeof(sim->error), format, arguments);
    va_end(arguments);
    return code;
}

/* ---- The end of a simulator ---- */

static void end_process(struct sumo_sim *sim, uint64_t deadline_ms)
{
    sumo_process_end(&sim->process, deadline_ms);
    sim->transport->stop(sim);
    sim->dead = true;
    sim->stepping = false;
}

void sumo_end(struct sumo_sim *sim)
{
    end_process(sim, 0);
}

/* One that died by itself is about to be a zombie: a moment is left for it, so that its own status
 * is what is told, and its log is complete. */
#define LAST_BREATH_MS 200

int sumo_dead(struct sumo_sim *sim, int code, const char *doing)
{
    char story[128], reason[512];
    if (code == RTC_E_CRASHED)
        sumo_process_end(&sim->process, sumo_now_ms() + LAST_BREATH_MS);
    end_process(sim, 0);
    sumo_process_story(&sim->process, story, sizeof(story));
    sumo_log_reason(sim->log_fd, reason, sizeof(reason));
    return sumo_fail(sim, code, "the simulation of '%s' %s %s%s%s", sumo_input_name(sim), story,
                     doing, *reason ? ": " : "; it said nothing", reason);
}

int sumo_stuck(struct sumo_sim *sim, const char *doing, uint64_t waited_ms)
{
    end_process(sim, 0);
    return sumo_fail(
        sim, RTC_E_TIMEOUT,
        "the simulation of '%s' was killed: it was %s for more than %llu ms; raise the "
        "timeout if it may take that long",
        sumo_input_name(sim), doing, (unsigned long long)waited_ms);
}

int sumo_malformed(struct sumo_sim *sim)
{
    end_process(sim, 0);
    return sumo_fail(
        sim, RTC_E_PROTOCOL,
        "the simulation of '%s' was killed: it answered something malformed; SUMO 1.14 "
        "or later is needed, this says it is '%s'",
        sumo_input_name(sim), sim->version);
}

/* There is a simulator, but no simulation: the log knows why. Else `sim->error` stays. */
static int refused(struct sumo_sim *sim, int code)
{
    char reason[512];
    end_process(sim, 0);
    if (!sumo_log_reason(sim->log_fd, reason, sizeof(reason)))
        return code;
    return sumo_fail(sim, RTC_E_INVALID, "SUMO cannot simulate '%s': %s", sumo_input_name(sim),
                     reason);
}

/* ---- Messages ---- */

void sumo_message(struct sumo_sim *sim)
{
    sim->out.size = 0;
    sim->out.failed = false;
    traci_i32(&sim->out, 0);
    sim->queue = (struct sumo_queue){0};
}

/* Of the message that begins there and ends here. */
void sumo_set_length(struct sumo_sim *sim, size_t begun)
{
    uint32_t size = __builtin_bswap32((uint32_t)(sim->out.size - begun));
    if (!sim->out.failed)
        memcpy(sim->out.at + begun, &size, SUMO_PREFIX);
}

int sumo_send(struct sumo_sim *sim)
{
    if (sim->out.failed) {
        sumo_message(sim);
        return sumo_fail(sim, RTC_E_TOO_LARGE,
                         "too much is queued for one message; step more often");
    }
    sumo_set_length(sim, sim->queue.begun);
    return sim->transport->send(sim);
}

int sumo_ask_until(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer)
{
    int rc = sumo_send(sim);
    if (rc == 0)
        rc = sim->transport->receive(sim, deadline_ms, ret_answer);
    sumo_message(sim);
    return rc;
}

int sumo_ask(struct sumo_sim *sim, struct traci_in *ret_answer)
{
    return sumo_ask_until(sim, sumo_now_ms() + sim->options.step_timeout_ms, ret_answer);
}

int sumo_ready(struct sumo_sim *sim)
{
    if (sim->dead) /* the sentence of its death stays */
        return RTC_E_CLOSED;
    if (sim->stepping)
        return sumo_fail(sim, RTC_E_BUSY, "a step was begun; call sumo_sim_step_end() first");
    return 0;
}

/* ---- Beginning ---- */

static int start_process(struct sumo_sim *sim, uint64_t deadline_ms)
{
    sumo_log_trim(sim->log_fd, true);
    sim->process = (struct sumo_process){0};
    sim->error[0] = '\0';
    int rc = sim->transport->start(sim, deadline_ms);
    if (rc != 0) {
        end_process(sim, 0);
        return rc == RTC_E_CRASHED ? refused(sim, rc) : rc;
    }
    sim->dead = false;
    sumo_message(sim);
    return 0;
}

/* While SUMO reads its files it answers nothing; a file that it refuses is the end of the process.
 */
static int begin(struct sumo_sim *sim, uint64_t deadline_ms)
{
    int rc = sumo_net_greet(sim, deadline_ms);
    if (rc == RTC_E_CRASHED)
        return refused(sim, rc);
    names_clear(&sim->vehicles);
    sim->stepping = false;
    return rc ? rc : sumo_subscribe_again(sim);
}

static int start(struct sumo_sim *sim, uint64_t deadline_ms)
{
    int rc = start_process(sim, deadline_ms);
    if (rc == 0)
        rc = begin(sim, deadline_ms);
    if (rc == 0 && (rc = sumo_lives_begin(sim)) != 0)
        end_process(sim, 0);
    return rc;
}

static int take_load(struct sumo_sim *sim, struct traci_in *answer)
{
    struct traci_result result = traci_in_status(answer);
    if (answer->bad)
        return sumo_malformed(sim);
    if (result.result == 0)
        return 0;
    sumo_fail(sim, RTC_E_INVALID, "SUMO cannot simulate '%s': %.*s", sumo_input_name(sim),
              (int)(result.text.size < SUMO_WHY_MAX ? result.text.size : SUMO_WHY_MAX),
              result.text.at);
    return refused(sim, RTC_E_INVALID);
}

int sumo_load(struct sumo_sim *sim, uint64_t deadline_ms)
{
    struct traci_in answer;
    sumo_message(sim);
    traci_load(&sim->out, (const char *const *)sim->arguments, sim->n_arguments);
    int rc = sumo_ask_until(sim, deadline_ms, &answer);
    return rc ? rc : take_load(sim, &answer);
}

/* Output files are finished by a simulator that is asked to end. */
static void close_kindly(struct sumo_sim *sim)
{
    if (sim->dead || sim->stepping)
        return;
    sumo_message(sim);
    traci_end(&sim->out, traci_begin(&sim->out, TRACI_CLOSE));
    if (sumo_send(sim) == 0)
        sumo_process_end(&sim->process, sumo_now_ms() + SUMO_CLOSE_MS);
}

int sumo_sim_reset(struct sumo_sim *sim, uint32_t seed, const char *const *extra, uint32_t n_extra)
{
    uint64_t deadline_ms = sumo_now_ms() + sim->options.start_timeout_ms;
    int rc;
    if (sim->stepping && !sim->dead)
        end_process(sim, 0); /* nobody knows how far it is */
    sim->options.seed = seed;
    rc = extra ? sumo_make_arguments(sim, extra, n_extra)
               : sumo_make_arguments(sim, sim->options.extra, sim->options.n_extra);
    if (rc != 0)
        return rc;
    if (!sim->dead && sumo_lives_over(sim)) {
        close_kindly(sim); /* its files are finished */
        end_process(sim, 0);
    }
    if (sim->dead)
        return start(sim, deadline_ms);
    sumo_log_trim(sim->log_fd, true);
    rc = sumo_load(sim, deadline_ms);
    return rc ? rc : begin(sim, deadline_ms);
}

static char *copy(const char *text, bool *failed)
{
    char *made = text && *text ? strdup(text) : NULL;
    if (text && *text && !made)
        *failed = true;
    return made;
}

static bool copy_options(struct sumo_sim *sim, const struct sumo_options *options)
{
    bool failed = false;
    struct sumo_options *o = &sim->options;
    *o = *options;
    o->sumocfg_file = copy(options->sumocfg_file, &failed);
    o->net_file = copy(options->net_file, &failed);
    o->route_files = copy(options->route_files, &failed);
    o->additional_files = copy(options->additional_files, &failed);
    o->sumo_binary = copy(options->sumo_binary, &failed);
    o->worker_binary = copy(options->worker_binary, &failed);
    char **extra = calloc(options->n_extra + 1, sizeof(*extra));
    for (uint32_t i = 0; extra && i < options->n_extra; i++) {
        extra[i] = strdup(options->extra[i]);
        failed = failed || !extra[i];
    }
    o->extra = (const char *const *)extra;
    if (o->start_timeout_ms == 0)
        o->start_timeout_ms = SUMO_TIMEOUT_MS;
    if (o->recycle_episodes == 0)
        o->recycle_episodes = SUMO_RECYCLE;
    if (o->step_timeout_ms == 0)
        o->step_timeout_ms = SUMO_TIMEOUT_MS;
    return extra && !failed;
}

static void free_text(const char *text)
{
    free((void *)(uintptr_t)text);
}

static void free_sim(struct sumo_sim *sim)
{
    struct sumo_options *o = &sim->options;
    for (uint32_t i = 0; o->extra && i < o->n_extra; i++)
        free_text(o->extra[i]);
    free((void *)(uintptr_t)o->extra);
    free_text(o->sumocfg_file);
    free_text(o->net_file);
    free_text(o->route_files);
    free_text(o->additional_files);
    free_text(o->sumo_binary);
    free_text(o->worker_binary);
    free((void *)(uintptr_t)sim->wants.lanes);
    free((void *)(uintptr_t)sim->wants.signals);
    sumo_free_arguments(sim);
    sumo_view_free(sim);
    names_free(&sim->signals);
    names_free(&sim->lanes);
    names_free(&sim->vehicles);
    names_free(&sim->types);
    free(sim->signal_size);
    free(sim->in);
    traci_out_free(&sim->out);
    if (sim->log_fd >= 0)
        close(sim->log_fd);
    free(sim);
}

static int choose_backend(struct sumo_sim *sim)
{
    const struct sumo_options *o = &sim->options;
    if (o->backend == SUMO_TRACI || (o->backend == SUMO_AUTO && o->gui)) {
        sim->transport = &sumo_over_socket;
        snprintf(sim->why_not, sizeof(sim->why_not), "%s",
                 o->gui ? "a window is wanted" : "asked for");
        return 0;
    }
    bool works = sumo_libsumo_usable(o->worker_binary, sim->why_not, sizeof(sim->why_not));
    sim->transport = works ? &sumo_over_memory : &sumo_over_socket;
    if (!works && o->backend == SUMO_LIBSUMO)
        return sumo_fail(sim, RTC_E_UNSUPPORTED,
                         "the backend libsumo cannot be used: %s; the backend traci works with any "
                         "SUMO from 1.14 on",
                         sim->why_not);
    return 0;
}

static int open_sim(struct sumo_sim *sim, const struct sumo_options *options)
{
    uint64_t deadline_ms;
    int rc;
    sim->transport = &sumo_over_socket;
    if (!copy_options(sim, options))
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    deadline_ms = sumo_now_ms() + sim->options.start_timeout_ms;
    if ((rc = sumo_check_options(sim)) || (rc = choose_backend(sim)))
        return rc;
    if ((sim->log_fd = sumo_log_open()) < 0)
        return sumo_fail(sim, RTC_E_OS, "no memory file for what SUMO prints could be made");
    if ((rc = sumo_make_arguments(sim, sim->options.extra, sim->options.n_extra)) ||
        (rc = sumo_view_prepare(sim)) || (rc = start(sim, deadline_ms)))
        return rc;
    snprintf(sim->report, sizeof(sim->report), "backend %s, %s%s%.150s", sim->transport->name,
             sim->version, sim->transport == &sumo_over_socket ? "; not libsumo: " : "",
             sim->transport == &sumo_over_socket ? sim->why_not : "");
    return 0;
}

int sumo_sim_open(const struct sumo_options *options, struct sumo_sim **ret_sim, char *why)
{
    struct sumo_sim *sim = calloc(1, sizeof(*sim));
    if (!sim) {
        snprintf(why, SUMO_WHY_MAX, "out of memory");
        return RTC_E_NOMEM;
    }
    sim->socket = sim->log_fd = -1;
    sim->dead = true;
    int rc = open_sim(sim, options);
    if (rc != 0) {
        snprintf(why, SUMO_WHY_MAX, "%s", sim->error);
        sumo_sim_close(&sim);
        return rc;
    }
    *ret_sim = sim;
    return 0;
}

void sumo_sim_close(struct sumo_sim **at)
{
    struct sumo_sim *sim = at ? *at : NULL;
    if (!sim)
        return;
    *at = NULL;
    close_kindly(sim);
    end_process(sim, 0);
    free_sim(sim);
}

/* ---- What is known ---- */

const char *sumo_sim_error(const struct sumo_sim *sim)
{
    return sim->error;
}

enum sumo_backend sumo_sim_backend(const struct sumo_sim *sim)
{
    return sim->transport == &sumo_over_socket ? SUMO_TRACI : SUMO_LIBSUMO;
}

const char *sumo_sim_report(const struct sumo_sim *sim)
{
    return sim->report;
}

const char *sumo_sim_log(struct sumo_sim *sim)
{
    sumo_log_tail(sim->log_fd, sim->log, sizeof(sim->log));
    return sim->log;
}

pid_t sumo_sim_pid(const struct sumo_sim *sim)
{
    return sim->dead ? 0 : sim->process.pid;
}

double sumo_sim_time(const struct sumo_sim *sim)
{
    return sim->time;
}

double sumo_sim_step_length(const struct sumo_sim *sim)
{
    return sim->step_length;
}
