/* `rtc`: one program; what it does not know it looks for as rtc-NAME, as git does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rtc/rtc.h>

#include "runtime/base/log.h"
#include "runtime/cli/cli.h"
#include "runtime/exec/exec.h"

static void usage(FILE *out)
{
    fprintf(
        out,
        "usage: rtc COMMAND [OPTION…]\n\n"
        "  head                 run the daemon of this host: broker, journal, a node\n"
        "  worker --join LINE   let this host work for a cluster\n"
        "  token WHAT           list, new or revoke ID: who may join\n"
        "  status               what the cluster does\n"
        "  list WHAT            nodes, tasks, objects, jobs, actors or groups\n"
        "  why CLIENT:SEQ       why a task waits, or what became of it\n"
        "  cordon NODE          no new tasks start there; uncordon NODE lifts it\n"
        "  drain NODE           it ends what it runs, takes nothing new, and leaves\n"
        "  stop [--now]         stop the daemon; running tasks are waited for, or not\n"
        "  bench [NAME…]        benchmarks\n"
        "  ppo                  train a policy by PPO: on traffic signals, on CartPole-v1, ...\n"
        "  de --config FILE     calibrate a model by differential evolution\n"
        "  sumo eval            traffic signals on SUMO under fixed times, MaxPressure, ...\n"
        "  attach FOLDER        follow a driver that was started with --detach\n\n"
        "`rtc COMMAND --help` says more. The daemon is found by RTC_ADDRESS\n"
        "(unix:/path, or a join line for one that is elsewhere), else it is this user's own on\n"
        "this host.\n");
}

/* rtc-NAME beside this program, in its libexec, in a build tree, or in PATH. */
static int run_other(char **argv)
{
    static const char *const places[] = {"", "../libexec/rtc/", "../../tests/bench/"};
    char self[4096], path[8192];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    setenv("RTC_BIN", self, 0);
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s%srtc-%s", self, places[i], argv[1]);
        if (!access(path, X_OK))
            execv(path, argv + 1);
    }
    snprintf(path, sizeof(path), "%s../../actors/%s/rtc-%s", self, argv[1], argv[1]);
    if (!access(path, X_OK))
        execv(path, argv + 1);
    snprintf(path, sizeof(path), "rtc-%s", argv[1]);
    execvp(path, argv + 1);
    fprintf(stderr,
            "rtc: there is no command \"%s\", nor a program rtc-%s; `rtc --help` lists them\n",
            argv[1], argv[1]);
    return 2;
}

int main(int argc, char **argv)
{
    rtci_log_init("rtc");
    const char *name = argc > 1 ? argv[1] : "--help";
    if (!strcmp(name, "head"))
        return rtci_cli_head(argc - 1, argv + 1);
    if (!strcmp(name, "worker"))
        return rtci_cli_worker(argc - 1, argv + 1);
    if (!strcmp(name, "token"))
        return rtci_cli_token(argc - 1, argv + 1);
    if (!strcmp(name, "daemon") || !strcmp(name, "worker-daemon"))
        return rtci_cli_daemon(argc - 1, argv + 1);
    if (!strcmp(name, "attach"))
        return rtci_cli_attach(argc - 1, argv + 1);
    if (!strcmp(name, "executor"))
        return rtci_exec_command_main();
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        printf("rtc %s\n", RTC_VERSION_STRING);
        return 0;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        usage(stdout);
        return argc > 1 ? 0 : 2;
    }
    static const char *const tools[] = {"status",   "list",  "why", "cordon",
                                        "uncordon", "drain", "stop"};
    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
        if (!strcmp(name, tools[i]))
            return rtci_cli_tool(argc - 1, argv + 1);
    }
    return run_other(argv);
}
