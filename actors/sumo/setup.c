/* Options that the environments of SUMO have in common. */
#include "actors/sumo/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MORE 1e9

const char *setup_text(const struct rtc_env_config *config, const char *key)
{
    const char *text = rtc_env_option(config, key);
    return text && *text ? text : NULL;
}

int setup_number(const struct rtc_env_config *config, const char *key, double low, double high,
                 double otherwise, double *ret_x)
{
    *ret_x = otherwise;
    return setup_text(config, key) ? rtc_env_option_f64(config, key, low, high, ret_x) : 0;
}

int setup_word(const struct rtc_env_config *config, const char *key, const char *const *words,
               int *ret_i)
{
    const char *text = rtc_env_option(config, key);
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_i = i;
            return 0;
        }
    }
    return rtc_env_fail(RTC_E_INVALID, "option %s is \"%s\"; it must be %s%s%s%s%s", key, text,
                        words[0], words[2] ? ", " : " or ", words[1], words[2] ? " or " : "",
                        words[2] ? words[2] : "");
}

int setup_argument(struct setup *s, const char *text)
{
    if (s->n_arguments + 8 > SETUP_ARGUMENTS_MAX)
        return rtc_env_fail(RTC_E_TOO_LARGE, "more than %u arguments for sumo",
                            SETUP_ARGUMENTS_MAX - 8);
    s->arguments[s->n_arguments++] = text;
    return 0;
}

bool setup_has(const struct setup *s, const char *option)
{
    size_t n = strlen(option);
    for (uint32_t i = 0; i < s->n_arguments; i++) {
        const char *a = s->arguments[i];
        if (strncmp(a, option, n) == 0 && (a[n] == '\0' || a[n] == '='))
            return true;
    }
    return false;
}

/* Words of "arguments", then what they did not set. */
static int read_arguments(struct setup *s, char *arguments, const struct rtc_env_config *config)
{
    static const char *const ours[][2] = {{"time_to_teleport", "--time-to-teleport"},
                                          {"max_depart_delay", "--max-depart-delay"},
                                          {"waiting_time_memory", "--waiting-time-memory"},
                                          {"begin", "--begin"}};
    int rc = 0;
    double x;
    for (char *save = NULL, *word = strtok_r(arguments, " \t\n", &save); word && !rc;
         word = strtok_r(NULL, " \t\n", &save))
        rc = setup_argument(s, word);
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours) && !rc; i++) {
        const char *text = setup_text(config, ours[i][0]);
        if (!text || setup_has(s, ours[i][1]))
            continue;
        if (!(rc = setup_number(config, ours[i][0], -1, MORE, 0, &x)) &&
            !(rc = setup_argument(s, ours[i][1])))
            rc = setup_argument(s, text);
    }
    return rc;
}

/* Copies a text behind the others; NULL stays NULL. */
static const char *keep(char **at, const char *text)
{
    char *kept = *at;
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    memcpy(kept, text, n);
    *at += n;
    return kept;
}

static int read_files(struct setup *s, const struct rtc_env_config *config)
{
    const char *scenario = setup_text(config, "scenario");
    char why[SUMO_WHY_MAX];
    int rc = scenario ? scenario_find(scenario, &s->scenario, why) : 0;
    if (rc < 0)
        return rtc_env_fail(rc, "%s", why);
    if (!scenario && !setup_text(config, "net_file"))
        return rtc_env_fail(RTC_E_INVALID,
                            "neither a scenario nor a net_file is given: there is nothing to "
                            "simulate");
    s->sim.sumocfg_file = scenario ? s->scenario.sumocfg : NULL;
    if (s->scenario.net[0] && !s->sim.net_file)
        s->sim.net_file = s->scenario.net;
    return 0;
}

static int read_backend(struct setup *s, const struct rtc_env_config *config)
{
    static const char *const backends[] = {"auto", "libsumo", "traci", NULL};
    double start = 0, step = 0, recycle = 0, memory = 0;
    int backend = 0, rc;
    if ((rc = setup_word(config, "backend", backends, &backend)) ||
        (rc = rtc_env_option_bool(config, "gui", &s->sim.gui)) ||
        (rc = rtc_env_option_bool(config, "pin", &s->sim.pin)) ||
        (rc = setup_number(config, "step_length", 0, 60, 0, &s->sim.step_length)) ||
        (rc = setup_number(config, "start_timeout", 0.001, 1e6, 60, &start)) ||
        (rc = setup_number(config, "step_timeout", 0.001, 1e6, 60, &step)) ||
        (rc = setup_number(config, "recycle_episodes", 1, MORE, 0, &recycle)) ||
        (rc = setup_number(config, "memory_limit", 1, MORE, 0, &memory)))
        return rc;
    s->sim.backend = (enum sumo_backend)backend;
    s->sim.start_timeout_ms = (uint32_t)(start * 1000);
    s->sim.step_timeout_ms = (uint32_t)(step * 1000);
    s->sim.recycle_episodes = (uint32_t)recycle;
    s->sim.memory_limit = (uint64_t)(memory * (1u << 20));
    return 0;
}

int setup_read(struct setup *s, struct rtc_env_config *config)
{
    size_t size = 1;
    for (size_t i = 0; i < config->n_options; i++)
        size += strlen(config->options[i].value) + 1;
    /* ours from here on, as they are needed as long as the environment is */
    struct rtc_env_option *options = calloc(config->n_options + 1, sizeof(*options));
    char *at = s->texts = malloc(size);
    if (!options || !at) {
        free(options);
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < config->n_options; i++) {
        options[i] = config->options[i];
        options[i].value = keep(&at, options[i].value);
    }
    config->options = options;
    s->sim.net_file = setup_text(config, "net_file");
    s->sim.route_files = setup_text(config, "route_files");
    s->sim.additional_files = setup_text(config, "additional_files");
    int rc = read_files(s, config);
    if (rc == 0)
        rc = read_backend(s, config);
    return rc ? rc
              : read_arguments(s, (char *)(uintptr_t)rtc_env_option(config, "arguments"), config);
}

void setup_free(struct setup *s)
{
    free(s->texts);
    s->texts = NULL;
}

int setup_start(const struct setup *s, uint32_t slot, uint32_t seed, const char *const *arguments,
                uint32_t n, struct sumo_sim **ret_sim)
{
    struct sumo_options options = s->sim;
    char why[SUMO_WHY_MAX];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    options.seed = seed;
    options.cpu = slot % (uint32_t)(cpus > 0 ? cpus : 1);
    options.extra = arguments;
    options.n_extra = n;
    int rc = sumo_sim_open(&options, ret_sim, why);
    return rc ? rtc_env_fail(rc, "%s", why) : 0;
}

const char *setup_name(const struct setup *s)
{
    return s->sim.sumocfg_file ? s->sim.sumocfg_file : s->sim.net_file;
}
