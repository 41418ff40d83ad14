#include "tests/sumo/nets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GAME "/usr/share/sumo/tools/game"

static bool there(const char *path)
{
    return access(path, R_OK) == 0;
}

static size_t add_game(struct net *nets, size_t n, const char *name)
{
    struct net *net = &nets[n];
    *net = (struct net){.name = name};
    snprintf(net->net, sizeof(net->net), GAME "/%s/%s.net.xml", name, name);
    snprintf(net->routes, sizeof(net->routes), GAME "/%s/%s.rou.xml", name, name);
    return there(net->net) && there(net->routes) ? n + 1 : n;
}

static size_t add_data(struct net *nets, size_t n, const char *name, const char *file)
{
    struct net *net = &nets[n];
    const char *folder = getenv("RTC_SUMO_DATA");
    *net = (struct net){.name = name};
    snprintf(net->sumocfg, sizeof(net->sumocfg), "%s/%s/%s.sumocfg", folder ? folder : "", name,
             file);
    return folder && there(net->sumocfg) ? n + 1 : n;
}

size_t nets_find(struct net *nets)
{
    size_t n = 0;
    n = add_game(nets, n, "cross");
    n = add_game(nets, n, "square");
    n = add_game(nets, n, "grid6");
    n = add_data(nets, n, "cologne1", "cologne1");
    n = add_data(nets, n, "cologne3", "cologne3");
    n = add_data(nets, n, "ingolstadt1", "ingolstadt1");
    n = add_data(nets, n, "single-intersection", "single-intersection");
    n = add_data(nets, n, "4x4-Lucas", "4x4");
    nets[n] = (struct net){0}; /* the last one tried may not be there */
    return n;
}

struct sumo_options net_options(const struct net *net, enum sumo_backend backend, unsigned seed)
{
    struct sumo_options options = {.backend = backend, .seed = seed};
    if (net->sumocfg[0]) {
        options.sumocfg_file = net->sumocfg;
    } else {
        options.net_file = net->net;
        options.route_files = net->routes;
    }
    return options;
}

const char *backend_missing(enum sumo_backend backend)
{
    struct net nets[NETS_MAX];
    struct sumo_sim *sim;
    static char why[SUMO_WHY_MAX];
    if (nets_find(nets) == 0)
        return "no networks: SUMO is not installed, and RTC_SUMO_DATA names no folder of them";
    struct sumo_options options = net_options(&nets[0], backend, 1);
    if (sumo_sim_open(&options, &sim, why) != 0)
        return why;
    sumo_sim_close(&sim);
    return NULL;
}

static char folder[64];

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    (void)!system(command);
}

const char *test_folder(void)
{
    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "/tmp/rtc-test-sumo-XXXXXX");
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    return folder;
}

const char *test_file(const char *name, const char *text)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", test_folder(), name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
    return path;
}

bool make_plain_net(struct net *net)
{
    char command[1024];
    const char *at = test_folder();
    test_file("plain.nod.xml",
              "<nodes><node id=\"a\" x=\"0\" y=\"0\"/><node id=\"b\" x=\"300\" y=\"0\"/>"
              "<node id=\"c\" x=\"300\" y=\"300\"/></nodes>");
    test_file("plain.edg.xml", "<edges><edge id=\"ab\" from=\"a\" to=\"b\" numLanes=\"2\"/>"
                               "<edge id=\"bc\" from=\"b\" to=\"c\" numLanes=\"2\"/></edges>");
    test_file("plain.rou.xml",
              "<routes><route id=\"r\" edges=\"ab bc\"/>"
              "<flow id=\"f\" route=\"r\" begin=\"0\" end=\"100\" period=\"5\"/></routes>");
    snprintf(command, sizeof(command),
             "netconvert -n %s/plain.nod.xml -e %s/plain.edg.xml -o %s/plain.net.xml "
             "--xml-validation never >/dev/null 2>&1",
             at, at, at);
    *net = (struct net){.name = "plain"};
    snprintf(net->net, sizeof(net->net), "%s/plain.net.xml", at);
    snprintf(net->routes, sizeof(net->routes), "%s/plain.rou.xml", at);
    return system(command) == 0;
}

bool make_red_net(struct net *net)
{
    char command[1024], made[512];
    const char *at = test_folder();
    test_file("red.nod.xml",
              "<nodes><node id=\"a\" x=\"0\" y=\"0\"/><node id=\"b\" x=\"400\" y=\"0\"/>"
              "<node id=\"m\" x=\"200\" y=\"0\" type=\"traffic_light\"/>"
              "<node id=\"c\" x=\"200\" y=\"200\"/><node id=\"d\" x=\"200\" y=\"-200\"/></nodes>");
    test_file("red.edg.xml",
              "<edges><edge id=\"am\" from=\"a\" to=\"m\"/>"
              "<edge id=\"mb\" from=\"m\" to=\"b\"/><edge id=\"cm\" from=\"c\" to=\"m\"/>"
              "<edge id=\"md\" from=\"m\" to=\"d\"/></edges>");
    snprintf(command, sizeof(command),
             "netconvert -n %s/red.nod.xml -e %s/red.edg.xml -o %s/green.net.xml --xml-validation "
             "never >/dev/null 2>&1",
             at, at, at);
    if (system(command) != 0)
        return false;
    *net = (struct net){.name = "red"};
    snprintf(net->net, sizeof(net->net), "%s/red.net.xml", at);
    snprintf(made, sizeof(made), "%s/green.net.xml", at);
    FILE *from = fopen(made, "r"), *to = fopen(net->net, "w");
    char line[4096];
    while (from && to && fgets(line, sizeof(line), from)) {
        char *state = strstr(line, "<phase ") ? strstr(line, "state=\"") : NULL;
        for (state = state ? state + 7 : NULL; state && *state && *state != '"'; state++)
            *state = 'r';
        fputs(line, to);
    }
    bool good = from && to && fclose(to) == 0;
    if (from)
        fclose(from);
    return good;
}

unsigned simulators_left(void)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    unsigned n = 0;
    while (proc && (entry = readdir(proc))) {
        char path[300], name[64] = "";
        int parent = 0;
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fscanf(file, "%*d (%63[^)]) %*c %d", name, &parent) == 2 && parent == getpid() &&
            strncmp(name, "sumo", 4) == 0)
            n++;
        fclose(file);
    }
    if (proc)
        closedir(proc);
    return n;
}
