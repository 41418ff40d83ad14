/* Rows that are whole processes: a head of their own, drivers of their own. */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <rtc/rtc.h>

#include "tests/bench/bench.h"

#define CLIENTS      4
#define CLIENT_TASKS 10000

struct head {
    pid_t pid;
    char dir[64], socket[96], state[96], address[128];
};

static pid_t start(const char *const *argv, const char *address, int in, int out)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (address)
        setenv("RTC_ADDRESS", address, 1);
    if (in >= 0)
        dup2(in, 0);
    if (out >= 0)
        dup2(out, 1);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

static const char *rtc_bin(void)
{
    const char *bin = getenv("RTC_BIN");
    if (!bin)
        fprintf(stderr, "rtc-bench: run it as `rtc bench`, or set RTC_BIN to the program rtc\n");
    return bin;
}

static bool answers(const struct head *head)
{
    int null[2], status;
    const char *const argv[] = {rtc_bin(), "status", NULL};
    if (pipe(null))
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(null[1], 1);
        dup2(null[1], 2);
        setenv("RTC_ADDRESS", head->address, 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    close(null[0]);
    close(null[1]);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Returns the seconds until it answered, or NAN. */
static double head_start(struct head *head)
{
    strcpy(head->dir, "/tmp/rtc-bench-XXXXXX");
    if (!rtc_bin() || !mkdtemp(head->dir))
        return NAN;
    snprintf(head->socket, sizeof(head->socket), "%s/socket", head->dir);
    snprintf(head->state, sizeof(head->state), "%s/state", head->dir);
    snprintf(head->address, sizeof(head->address), "unix:%s", head->socket);
    const char *const argv[] = {rtc_bin(),     "head",      "--socket", head->socket,
                                "--state-dir", head->state, NULL};
    double begin = bench_now();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    head->pid = start(argv, NULL, -1, null);
    close(null);
    while (!answers(head)) {
        if (bench_now() - begin > 20)
            return NAN;
    }
    return bench_now() - begin;
}

void bench_remove(const char *dir)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command))
        fprintf(stderr, "rtc-bench: %s is left behind\n", dir);
}

static void head_stop(struct head *head)
{
    kill(head->pid, SIGTERM);
    waitpid(head->pid, NULL, 0);
    bench_remove(head->dir);
}

double bench_head_ready(void)
{
    struct head head;
    double took = head_start(&head);
    if (!isnan(took))
        head_stop(&head);
    return took * 1e3;
}

/* ---- Drivers ---- */

static pid_t start_self(const char *what, const char *address, int in, int out)
{
    const char *const argv[] = {"/proc/self/exe", "--as", what, NULL};
    return start(argv, address, in, out);
}

static bool heard(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&pfd, 1, 60000) == 1 && read(fd, &byte, 1) == 1;
}

static void say(void)
{
    if (write(1, "x", 1) != 1)
        exit(1);
}

int bench_as(struct rtc *rtc, const char *what)
{
    static rtc_ref refs[CLIENT_TASKS];
    bool client = strcmp(what, "client") == 0, idle = strcmp(what, "idle") == 0;
    size_t n = client ? CLIENT_TASKS : idle ? 2 : 1;
    if (client)
        say();
    if (client && !heard(0))
        return 1;
    for (size_t i = 0; i < n; i++)
        RTC_CHECK(rtc_submit(rtc, idle ? "nap" : "noop", NULL, NULL, &refs[i]));
    RTC_CHECK(rtc_get_many(rtc, refs, n, RTC_S(60), NULL));
    say();
    if (idle)
        heard(0);
    RTC_CHECK(rtc_release_many(rtc, refs, n));
    return 0;
}

double bench_first_task(void)
{
    int out[2], status;
    if (!rtc_bin() || pipe(out))
        return NAN;
    double begin = bench_now();
    pid_t pid = start_self("first", "embedded", -1, out[1]);
    bool ok = heard(out[0]);
    double took = (bench_now() - begin) * 1e3;
    waitpid(pid, &status, 0);
    close(out[0]);
    close(out[1]);
    return ok && status == 0 ? took : NAN;
}

double bench_tasks_clients(void)
{
    struct head head;
    int in[2], out[2], status;
    pid_t pids[CLIENTS];
    bool ok = true;
    if (isnan(head_start(&head)) || pipe(in) || pipe(out))
        return NAN;
    for (int i = 0; i < CLIENTS; i++)
        pids[i] = start_self("client", head.address, in[0], out[1]);
    for (int i = 0; i < CLIENTS && ok; i++)
        ok = heard(out[0]);
    double begin = bench_now();
    ok = ok && write(in[1], "gggg", CLIENTS) == CLIENTS;
    for (int i = 0; i < CLIENTS && ok; i++)
        ok = heard(out[0]);
    double took = bench_now() - begin;
    for (int i = 0; i < CLIENTS; i++) {
        waitpid(pids[i], &status, 0);
        ok = ok && status == 0;
    }
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    head_stop(&head);
    return ok ? CLIENTS * CLIENT_TASKS / took : NAN;
}

/* ---- Memory ---- */

size_t bench_children(int pid, int *ret_pids, size_t cap)
{
    char path[64];
    size_t n = 0;
    int child;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "re");
    while (file && n < cap && fscanf(file, "%d", &child) == 1) {
        ret_pids[n++] = child;
        n += bench_children(child, ret_pids + n, cap - n);
    }
    if (file)
        fclose(file);
    return n;
}

double bench_pss_mb(int pid)
{
    char path[64], line[256];
    double kb = 0;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "Pss: %lf", &kb) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kb * 1024 / 1e6;
}

double bench_idle_memory(void)
{
    struct head head;
    int in[2], out[2], pids[64];
    struct timespec five = {.tv_sec = 5};
    if (isnan(head_start(&head)) || pipe(in) || pipe(out))
        return NAN;
    pid_t driver = start_self("idle", head.address, in[0], out[1]);
    bool ok = heard(out[0]);
    nanosleep(&five, NULL);
    double sum = bench_pss_mb(head.pid);
    size_t n = bench_children(head.pid, pids, 64);
    for (size_t i = 0; i < n; i++)
        sum += bench_pss_mb(pids[i]);
    ok = ok && n >= 3 && write(in[1], "x", 1) == 1;
    waitpid(driver, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    head_stop(&head);
    return ok ? sum : NAN;
}

/* ---- The simulator ---- */

double bench_sim_10k(void)
{
    char self[4000] = "", command[4200];
    double us = NAN;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    snprintf(command, sizeof(command), "%s/../sim/rtc-sim --profile --json%s", self,
             bench_seconds < 1 ? " --tasks 1000000" : "");
    FILE *file = popen(command, "r");
    if (!file || fscanf(file, "{\"head_us_per_task\":%lf", &us) != 1)
        fprintf(stderr, "rtc-bench: sim_10k needs rtc-sim of the build folder\n");
    if (file) {
        while (fgetc(file) != EOF)
            ;
        pclose(file);
    }
    return us;
}
