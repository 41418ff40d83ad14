#include "actors/sumo/scenario.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENDING    ".sumocfg"
#define NAME_MAX_ 128

extern char **environ;

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where this code lies tells where its scenarios do. */
static bool find_folder(char *ret_folder)
{
    static const char *const places[] = {"../share/rtc/sumo", "../../share/rtc/sumo",
                                         "../../configs/sumo"};
    const char *named = getenv("RTC_SUMO_SCENARIOS");
    char here[SCENARIO_PATH_MAX];
    Dl_info info;
    if (named && *named) {
        snprintf(ret_folder, SCENARIO_PATH_MAX, "%s", named);
        return is_folder(ret_folder);
    }
    if (dladdr((void *)(uintptr_t)&scenario_find, &info) == 0 || !realpath(info.dli_fname, here)) {
        ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
        here[n > 0 ? n : 0] = '\0';
    }
    char *slash = strrchr(here, '/');
    if (!slash)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        if (snprintf(ret_folder, SCENARIO_PATH_MAX, "%s/%s", here, places[i]) < SCENARIO_PATH_MAX &&
            is_folder(ret_folder))
            return true;
    }
    return false;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

static int is_scenario(const struct dirent *entry)
{
    return ends_with(entry->d_name, ENDING) && strlen(entry->d_name) < NAME_MAX_;
}

/* What stands between the first <!-- and -->. */
static void first_comment(const char *path, char *text, size_t size)
{
    char head[1024];
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(head, 1, sizeof(head) - 1, file) : 0;
    if (file)
        fclose(file);
    head[n] = '\0';
    char *from = strstr(head, "<!--"), *to = from ? strstr(from, "-->") : NULL;
    snprintf(text, size, "%.*s", to ? (int)(to - from - 4) : 0, from ? from + 4 : "");
}

int scenario_list(void (*fn)(void *arg, const char *name, const char *about), void *arg)
{
    char folder[SCENARIO_PATH_MAX], path[SCENARIO_PATH_MAX + 256], about[256];
    struct dirent **entries;
    int n = find_folder(folder) ? scandir(folder, &entries, is_scenario, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        char name[NAME_MAX_];
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        first_comment(path, about, sizeof(about));
        snprintf(name, sizeof(name), "%.*s", (int)(strlen(entries[i]->d_name) - strlen(ENDING)),
                 entries[i]->d_name);
        fn(arg, name, about);
        free(entries[i]);
    }
    if (n > 0)
        free(entries);
    return n < 0 ? RTC_E_OS : 0;
}

/* ---- Nets that are made ---- */

static bool is_newer(const char *a, const char *b)
{
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_mtime >= of_b.st_mtime;
}

static bool cache_folder(char *ret_folder)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *root = cache && *cache ? cache : home && *home ? home : "/tmp";
    int n = snprintf(ret_folder, SCENARIO_PATH_MAX, "%s%s/rtc/sumo", root,
                     root == home ? "/.cache" : "");
    if (n >= SCENARIO_PATH_MAX - NAME_MAX_)
        return false;
    for (char *at = ret_folder + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        (void)mkdir(ret_folder, 0755);
        *at = '/';
    }
    return mkdir(ret_folder, 0755) == 0 || errno == EEXIST;
}

/* Programs of SUMO that make nets, and the endings of what they are told. */
static const struct maker {
    const char *program, *ending;
} makers[] = {{"netgenerate", ".netgcfg"}, {"netconvert", ".netccfg"}};

static int run_maker(const struct maker *maker, const char *config, const char *net, char *why)
{
    const char *const argv[] = {maker->program,     "-c",    config, "-o", net,
                                "--xml-validation", "never", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    int error =
        posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    while (!error && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!error && status == 0)
        return 0;
    snprintf(why, SUMO_WHY_MAX, "the net of '%.300s' could not be made: %s %s; it is part of SUMO",
             config, maker->program, error ? strerror(error) : "failed, and said why above");
    return RTC_E_COMMAND;
}

/* Newer than the config, and than what netconvert reads beside it. */
static bool is_current(const char *net, const char *folder, const char *name, const char *config)
{
    static const char *const parts[] = {".nod.xml", ".edg.xml", ".con.xml"};
    char path[SCENARIO_PATH_MAX + 256];
    bool current = is_newer(net, config);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && current; i++) {
        snprintf(path, sizeof(path), "%s/%s%s", folder, name, parts[i]);
        current = access(path, F_OK) != 0 || is_newer(net, path);
    }
    return current;
}

/* Under another name first: two programs may do it at once. */
static int make_net(const struct maker *maker, const char *from, const char *config,
                    const char *name, char *ret_net, char *why)
{
    char folder[SCENARIO_PATH_MAX], path[SCENARIO_PATH_MAX + 256];
    if (!cache_folder(folder)) {
        snprintf(why, SUMO_WHY_MAX,
                 "no folder '%.300s' for the net of '%s': %s; name one in XDG_CACHE_HOME", folder,
                 name, strerror(errno));
        return RTC_E_OS;
    }
    snprintf(ret_net, SCENARIO_PATH_MAX, "%.*s/%s.net.xml", SCENARIO_PATH_MAX - 2 * NAME_MAX_,
             folder, name);
    if (is_current(ret_net, from, name, config))
        return 0;
    snprintf(path, sizeof(path), "%s.%d.xml", ret_net, (int)getpid());
    int rc = run_maker(maker, config, path, why);
    if (rc == 0 && rename(path, ret_net) != 0) {
        snprintf(why, SUMO_WHY_MAX, "cannot write '%.300s': %s", ret_net, strerror(errno));
        rc = RTC_E_OS;
    }
    (void)unlink(path);
    return rc;
}

/* ---- Finding ---- */

/* The number in <TAG value="…"/> of a sumocfg. */
static bool time_of(const char *text, const char *tag, double *ret_x)
{
    char what[32], *end;
    snprintf(what, sizeof(what), "<%s ", tag);
    const char *at = strstr(text, what), *stop = at ? strchr(at, '>') : NULL;
    const char *value = at ? strstr(at, "value=\"") : NULL;
    if (!value || !stop || value > stop)
        return false;
    *ret_x = strtod(value + 7, &end);
    return *end == '"';
}

static double seconds_of(const char *path)
{
    static const size_t most = 1 << 20;
    double begin = 0, end = 0;
    FILE *file = fopen(path, "re");
    char *text = calloc(1, most + 1);
    size_t n = file && text ? fread(text, 1, most, file) : 0;
    if (n > 0 && !time_of(text, "begin", &begin))
        begin = 0;
    if (n == 0 || !time_of(text, "end", &end))
        end = 0;
    if (file)
        fclose(file);
    free(text);
    return end > begin ? end - begin : 0;
}

struct known {
    char text[512];
    size_t used;
};

static void tell(void *arg, const char *name, const char *about)
{
    struct known *known = arg;
    (void)about;
    if (known->used < sizeof(known->text))
        known->used +=
            (size_t)snprintf(known->text + known->used, sizeof(known->text) - known->used, "%s%s",
                             known->used ? ", " : "", name);
}

static int unknown(const char *name, char *why)
{
    struct known known = {.text = ""};
    (void)scenario_list(tell, &known);
    snprintf(why, SUMO_WHY_MAX,
             "there is no scenario '%.200s'; there are: %s; or give the path of a .sumocfg", name,
             known.text[0] ? known.text : "none (RTC_SUMO_SCENARIOS names their folder)");
    return RTC_E_NOT_FOUND;
}

int scenario_find(const char *name, struct scenario *ret_scenario, char *why)
{
    struct scenario made = {.seconds = 0};
    char folder[SCENARIO_PATH_MAX], path[SCENARIO_PATH_MAX + 256];
    bool is_path = strchr(name, '/') || ends_with(name, ENDING);
    if (is_path) {
        snprintf(made.sumocfg, sizeof(made.sumocfg), "%s", name); /* sumo_sim_open() checks it */
    } else if (!*name || strlen(name) >= NAME_MAX_ || !find_folder(folder)) {
        return unknown(name, why);
    } else {
        snprintf(path, sizeof(path), "%s/%s" ENDING, folder, name);
        if (access(path, R_OK) != 0)
            return unknown(name, why);
        snprintf(made.sumocfg, sizeof(made.sumocfg), "%.*s", SCENARIO_PATH_MAX - 1, path);
        for (size_t i = 0; i < sizeof(makers) / sizeof(*makers); i++) {
            snprintf(path, sizeof(path), "%s/%s%s", folder, name, makers[i].ending);
            int rc = access(path, R_OK) == 0
                         ? make_net(&makers[i], folder, path, name, made.net, why)
                         : 0;
            if (rc != 0)
                return rc;
        }
    }
    made.seconds = seconds_of(made.sumocfg);
    *ret_scenario = made;
    return 0;
}
