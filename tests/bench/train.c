/* Rows of `rtc ppo` as a user runs it: samples a second between its first iteration and its last,
 * and the memory of all its processes meanwhile. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/ppo.h"

#define ITERATIONS 4

struct training {
    char dir[64], folder[96];
    pid_t pid;
    FILE *lines;
};

static bool begin(struct training *t, const char *env, const char *sizes)
{
    const char *bin = getenv("RTC_BIN");
    char command[4096];
    int out[2];
    strcpy(t->dir, "/tmp/rtc-bench-XXXXXX");
    if (!bin || !mkdtemp(t->dir) || pipe(out))
        return false;
    snprintf(t->folder, sizeof(t->folder), "%s/run", t->dir);
    snprintf(command, sizeof(command),
             "exec '%s' ppo --folder %s %s %s --set num_iterations=1000 --set num_epochs=10 "
             "--set minibatch_size=128 --set 'fcnet_hiddens=[256, 256]' --set eval_interval=0 "
             "--set plots=false --set checkpoint_at_end=false 2>/dev/null",
             bin, t->folder, env, sizes);
    t->pid = fork();
    if (t->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("RTC_ADDRESS", "embedded", 1);
        dup2(out[1], 1);
        close(out[0]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    t->lines = fdopen(out[0], "r");
    return t->lines != NULL;
}

/* Until the line of that iteration. */
static bool reach(struct training *t, int iteration)
{
    char line[1024];
    int at;
    while (fgets(line, sizeof(line), t->lines)) {
        if (sscanf(line, "iteration %d/", &at) == 1 && at == iteration)
            return true;
    }
    return false;
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = 0;
    if (file)
        fclose(file);
    return parent;
}

/* Of it and all that descend from it, whichever thread has started them. */
static double memory_of(pid_t root)
{
    double sum = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        pid_t pid = atoi(e->d_name), at = pid;
        while (at > 1 && at != root)
            at = parent_of(at);
        if (at == root)
            sum += bench_pss_mb(pid);
    }
    if (proc)
        closedir(proc);
    return sum;
}

static double number_in(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key) + strspn(at + strlen(key), "\": "), NULL) : NAN;
}

/* Of result.json: the samples behind the first iteration over their seconds. */
static double rate_of(const struct training *t)
{
    char path[128], line[8192];
    double samples[2] = {NAN, NAN}, seconds[2] = {NAN, NAN};
    snprintf(path, sizeof(path), "%s/result.json", t->folder);
    FILE *file = fopen(path, "re");
    for (int n = 0; file && fgets(line, sizeof(line), file); n++) {
        samples[n > 0] = number_in(line, "timesteps_total");
        seconds[n > 0] = number_in(line, "time_total_s");
    }
    if (file)
        fclose(file);
    return (samples[1] - samples[0]) / (seconds[1] - seconds[0]);
}

/* What comes behind the last iteration is not measured. */
static void wait_for_end(struct training *t)
{
    if (t->pid > 0)
        kill(t->pid, SIGTERM);
    if (t->lines) {
        while (getc(t->lines) != EOF)
            ;
        fclose(t->lines);
    }
    if (t->pid > 0)
        waitpid(t->pid, NULL, 0);
}

/* Samples a second, and megabytes. NAN: it did not come to its end. */
static double train(const char *env, const char *sizes, double *ret_mb)
{
    struct training t = {0};
    bool ok = begin(&t, env, sizes) && reach(&t, ITERATIONS - 1);
    *ret_mb = ok ? memory_of(t.pid) : NAN;
    ok = ok && reach(&t, ITERATIONS);
    wait_for_end(&t);
    double rate = ok ? rate_of(&t) : NAN;
    if (t.dir[0])
        bench_remove(t.dir);
    return rate;
}

static double train_sumo(const char *actors, double *ret_mb)
{
    char env[4400], path[4096];
    const char *folder = getenv("RTC_SUMO_DATA");
    snprintf(path, sizeof(path), "%s/cologne1/cologne1.sumocfg", folder ? folder : "");
    *ret_mb = NAN;
    if (!folder || access(path, R_OK) != 0)
        return NAN;
    snprintf(env, sizeof(env),
             "--scenario '%s' --set env_config.definition=sumo-rl --set env_config.trips=false "
             "--set env_config.num_seconds=3600 --set max_concurrent_envs=12",
             path);
    return train(env, actors, ret_mb);
}

#define SAMPLES(n) \
    (bench_seconds < 0.5 ? " --set train_batch_size=256" : " --set train_batch_size=" n)
#define TWO "--set num_env_runners=2 --set num_envs_per_env_runner=1"
#define SIX "--set num_env_runners=6 --set num_envs_per_env_runner=2"

static double sumo_with(const char *actors, double *ret_mb)
{
    char sizes[256];
    snprintf(sizes, sizeof(sizes), "%s%s", actors, SAMPLES("4000"));
    return train_sumo(sizes, ret_mb);
}

double bench_ppo_cartpole_256(void)
{
    char sizes[256];
    double mb;
    snprintf(sizes, sizeof(sizes), "--set num_env_runners=2 --set num_envs_per_env_runner=2%s",
             SAMPLES("4000"));
    return train("--set env=CartPole-v1", sizes, &mb);
}

double bench_ppo_sumo(void)
{
    double mb;
    return sumo_with(TWO, &mb);
}

/* The command started, its first update done and told. */
double bench_ppo_first_update(void)
{
    struct training t = {0};
    double start = bench_now(), took = NAN;
    if (begin(&t, "--scenario cross", SAMPLES("1024")) && reach(&t, 1))
        took = bench_now() - start;
    wait_for_end(&t);
    if (t.dir[0])
        bench_remove(t.dir);
    return took;
}

double bench_ppo_memory(void)
{
    double mb;
    sumo_with(TWO, &mb);
    return mb;
}

double bench_ppo_memory_6x2(void)
{
    double mb;
    sumo_with(SIX, &mb);
    return mb;
}
