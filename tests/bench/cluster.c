/* Rows of a head and workers that joined it over TCP on loopback, encrypted as always. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rtc/actor.h>

#include "tests/bench/bench.h"

#define BATCH 1000
#define BIG   ((size_t)256 << 20)

RTC_TASK(make_256m)
{
    static char *data;
    if (!data) {
        data = malloc(BIG);
        if (!data)
            return rtc_fail(call, RTC_E_NOMEM, "no 256 MiB");
        memset(data, 7, BIG);
    }
    return rtc_return_bytes(call, data, BIG);
}

/* The first attempt never ends by itself. */
RTC_TASK(stay_once)
{
    const char *mark;
    size_t len;
    RTC_TRY(rtc_arg_str(call, 0, &mark, &len));
    close(open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    while (rtc_call_attempt(call) == 1)
        pause();
    return rtc_return_i64(call, rtc_call_attempt(call));
}

/* What is asked of an actor on the worker: nothing. */
static int answer(struct rtc_call *call)
{
    return rtc_return_i64(call, 1);
}
struct answerer {
    int unused;
};
RTC_ACTOR(bench_answerer, struct answerer, .methods = {RTC_METHOD(answer)});

struct worker {
    pid_t pid;
    char dir[96], name[32];
};
static struct cluster {
    pid_t head, owner;
    char dir[64], address[128], line[1024];
    struct rtc *rtc;
    struct worker worker; /* the one that stays */
    int n_workers;
} cluster;

static pid_t start(const char *const *argv)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

static bool worker_start(struct worker *w, const char *cpus)
{
    char label[64];
    snprintf(w->name, sizeof(w->name), "w%d", ++cluster.n_workers);
    snprintf(w->dir, sizeof(w->dir), "%s/%s", cluster.dir, w->name);
    snprintf(label, sizeof(label), "worker=%s", w->name);
    const char *const argv[] = {getenv("RTC_BIN"), "worker", "--join",      cluster.line,
                                "--cpus",          cpus,     "--state-dir", w->dir,
                                "--name",          w->name,  "--label",     label,
                                "--store",         "1G",     NULL};
    w->pid = start(argv);
    return w->pid > 0;
}

static void worker_end(struct worker *w, int signal)
{
    kill(w->pid, signal);
    waitpid(w->pid, NULL, 0);
}

static void stop(void)
{
    if (cluster.owner != getpid())
        return;
    rtc_shutdown(&cluster.rtc);
    worker_end(&cluster.worker, SIGTERM);
    kill(cluster.head, SIGTERM);
    waitpid(cluster.head, NULL, 0);
    bench_remove(cluster.dir);
}

static void read_line(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/state/join", cluster.dir);
    for (double end = bench_now() + 20; bench_now() < end && !cluster.line[0];) {
        FILE *file = fopen(path, "re");
        if (file && fgets(cluster.line, sizeof(cluster.line), file))
            cluster.line[strcspn(cluster.line, "\n")] = 0;
        if (file)
            fclose(file);
    }
}

/* A task that runs on that worker and nowhere else. */
static int submit_on(struct rtc *rtc, const char *task, const struct worker *w, rtc_ref *ret_ref)
{
    const struct rtc_pair label = {"worker", w->name};
    return rtc_submit(rtc, task, NULL, RTC_OPTIONS(.labels = &label, .n_labels = 1), ret_ref);
}

static bool run_on(struct rtc *rtc, const char *task, const struct worker *w)
{
    rtc_ref ref;
    struct rtc_value value;
    int rc = submit_on(rtc, task, w, &ref);
    rc = rc ? rc : rtc_get(rtc, ref, RTC_S(30), &value);
    if (rc)
        fprintf(stderr, "rtc-bench: %s\n", rtc_last_error());
    else
        RTC_CHECK(rtc_release(rtc, ref));
    return !rc;
}

/* A head whose own node does not take tasks, and one worker; for all rows. */
static bool up(void)
{
    if (cluster.rtc)
        return true;
    char socket[96], state[96];
    snprintf(cluster.dir, sizeof(cluster.dir), "/tmp/rtc-bench-XXXXXX");
    if (!getenv("RTC_BIN") || !mkdtemp(cluster.dir))
        return false;
    snprintf(socket, sizeof(socket), "%s/socket", cluster.dir);
    snprintf(state, sizeof(state), "%s/state", cluster.dir);
    const char *const argv[] = {getenv("RTC_BIN"), "head", "--socket",  socket,
                                "--state-dir",     state,  "--address", "127.0.0.1",
                                "--store",         "1G",   NULL};
    cluster.head = start(argv);
    read_line();
    snprintf(cluster.address, sizeof(cluster.address), "unix:%s", socket);
    struct rtc_config config = {.address = cluster.address, .name = "bench"};
    for (double end = bench_now() + 20; bench_now() < end && !cluster.rtc;)
        (void)!rtc_init(NULL, NULL, &config, &cluster.rtc);
    cluster.owner = getpid();
    atexit(stop);
    return cluster.rtc && worker_start(&cluster.worker, "2") &&
           run_on(cluster.rtc, "noop", &cluster.worker) && !rtc_cordon(cluster.rtc, 1, true);
}

double bench_tasks_remote(void)
{
    static rtc_ref refs[BATCH];
    size_t n = 0;
    if (!up())
        return NAN;
    double begin = bench_now(), end = begin + bench_seconds;
    for (; bench_now() < end; n += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            RTC_CHECK(rtc_submit(cluster.rtc, "noop", NULL, NULL, &refs[i]));
        RTC_CHECK(rtc_get_many(cluster.rtc, refs, BATCH, RTC_S(60), NULL));
        RTC_CHECK(rtc_release_many(cluster.rtc, refs, BATCH));
    }
    return (double)n / (bench_now() - begin);
}

double bench_task_remote_sync(void)
{
    static double took[100000];
    size_t n = 0;
    if (!up() || !run_on(cluster.rtc, "noop", &cluster.worker))
        return NAN;
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 100000; n++) {
        rtc_ref ref;
        struct rtc_value value;
        double begin = bench_now();
        RTC_CHECK(rtc_submit(cluster.rtc, "noop", NULL, NULL, &ref));
        RTC_CHECK(rtc_get(cluster.rtc, ref, RTC_S(60), &value));
        RTC_CHECK(rtc_release(cluster.rtc, ref));
        took[n] = (bench_now() - begin) * 1e6;
    }
    return bench_median(took, n);
}

static bool actor_on(const struct worker *w, rtc_actor *ret_actor)
{
    const struct rtc_pair label = {"worker", w->name};
    int rc = rtc_actor_create(
        cluster.rtc, "bench_answerer", NULL,
        RTC_ACTOR_OPTIONS(.needs = RTC_OPTIONS(.labels = &label, .n_labels = 1, .cpus = RTC_NONE)),
        ret_actor);
    rc = rc ? rc : rtc_actor_ready(cluster.rtc, *ret_actor, RTC_S(30));
    if (rc)
        fprintf(stderr, "rtc-bench: %s\n", rtc_last_error());
    return !rc;
}

double bench_actor_remote_sync(void)
{
    static double took[100000];
    static rtc_actor actor;
    size_t n = 0;
    if (!up() || (!actor.seq && !actor_on(&cluster.worker, &actor)))
        return NAN;
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 100000; n++) {
        rtc_ref ref;
        struct rtc_value value;
        double begin = bench_now();
        RTC_CHECK(rtc_actor_call(cluster.rtc, actor, "answer", NULL, NULL, &ref));
        RTC_CHECK(rtc_get(cluster.rtc, ref, RTC_S(60), &value));
        RTC_CHECK(rtc_release(cluster.rtc, ref));
        took[n] = (bench_now() - begin) * 1e6;
    }
    return bench_median(took, n);
}

double bench_actor_remote_async(void)
{
    static rtc_ref refs[BATCH];
    static rtc_actor actor;
    size_t n = 0;
    if (!up() || (!actor.seq && !actor_on(&cluster.worker, &actor)))
        return NAN;
    double begin = bench_now(), end = begin + bench_seconds;
    for (; bench_now() < end; n += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            RTC_CHECK(rtc_actor_call(cluster.rtc, actor, "answer", NULL, NULL, &refs[i]));
        RTC_CHECK(rtc_get_many(cluster.rtc, refs, BATCH, RTC_S(60), NULL));
        RTC_CHECK(rtc_release_many(cluster.rtc, refs, BATCH));
    }
    return (double)n / (bench_now() - begin);
}

double bench_transfer_256m(void)
{
    rtc_ref ref;
    struct rtc_value value;
    if (!up())
        return NAN;
    RTC_CHECK(submit_on(cluster.rtc, "make_256m", &cluster.worker, &ref));
    size_t ready, n_ready;
    RTC_CHECK(rtc_wait(cluster.rtc, &ref, 1, 1, RTC_S(60), &ready, &n_ready));
    double begin = bench_now();
    RTC_CHECK(rtc_get(cluster.rtc, ref, RTC_S(60), &value));
    double took = bench_now() - begin;
    RTC_CHECK(rtc_release(cluster.rtc, ref));
    return (double)BIG / took * 1e-9;
}

/* Between the worker that stays and another one. */
static double all_reduces(size_t elements)
{
    struct worker other;
    if (!up() || !worker_start(&other, "2") || !run_on(cluster.rtc, "noop", &other))
        return NAN;
    const struct rtc_pair labels[2] = {{"worker", cluster.worker.name}, {"worker", other.name}};
    struct rtc_options where[2];
    for (int i = 0; i < 2; i++)
        where[i] = (struct rtc_options){.cpus = RTC_NONE, .labels = &labels[i], .n_labels = 1};
    double speed = bench_all_reduces(cluster.rtc, where, elements);
    worker_end(&other, SIGTERM);
    return speed;
}

double bench_allreduce_hosts_64m(void)
{
    return all_reduces(BENCH_64M) * BENCH_64M * sizeof(float) / 1e9;
}

double bench_allreduce_hosts_sync(void)
{
    return 1e6 / all_reduces(8);
}

double bench_worker_join(void)
{
    struct worker w;
    if (!up())
        return NAN;
    double begin = bench_now();
    bool ok = worker_start(&w, "1") && run_on(cluster.rtc, "noop", &w);
    double took = (bench_now() - begin) * 1e3;
    worker_end(&w, SIGKILL);
    return ok ? took : NAN;
}

/* ---- A program of 5 MB ---- */

int bench_as_stranger(struct rtc *rtc)
{
    struct worker w = {0};
    snprintf(w.name, sizeof(w.name), "%s", getenv("BENCH_WORKER"));
    double begin = bench_now();
    bool ok = run_on(rtc, "noop", &w);
    printf("%.9g\n", ok ? (bench_now() - begin) * 1e3 : NAN);
    return !ok;
}

double bench_worker_program(void)
{
    struct worker w;
    char path[128], command[4500], self[4000] = "";
    double took = NAN;
    if (!up() || !worker_start(&w, "1"))
        return NAN;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    run_on(cluster.rtc, "noop", &w); /* it has joined */
    snprintf(path, sizeof(path), "%s/stranger", cluster.dir);
    char *slash = strrchr(self, '/'); /* where its library is found from */
    snprintf(
        command, sizeof(command),
        "cp '%s' %s && head -c 5000000 /dev/urandom >>%s && LD_LIBRARY_PATH=%.*s/../../runtime/"
        "exec:%.*s/../../actors/de BENCH_WORKER=%s RTC_ADDRESS=%s %s --as stranger",
        self, path, path, (int)(slash - self), self, (int)(slash - self), self, w.name,
        cluster.address, path);
    FILE *file = popen(command, "r");
    if (!file || fscanf(file, "%lf", &took) != 1)
        took = NAN;
    if (file)
        pclose(file);
    worker_end(&w, SIGKILL);
    return took;
}

double bench_worker_memory(void)
{
    struct worker w;
    int pids[64];
    if (!up() || !worker_start(&w, "1"))
        return NAN;
    for (double end = bench_now() + 20; bench_now() < end;) {
        char *json = NULL;
        RTC_CHECK(rtc_query(cluster.rtc, "nodes", &json));
        bool there = strstr(json, w.name) != NULL;
        free(json);
        if (there)
            break;
    }
    double sum = bench_pss_mb(w.pid);
    size_t n = bench_children(w.pid, pids, 64);
    for (size_t i = 0; i < n; i++)
        sum += bench_pss_mb(pids[i]);
    worker_end(&w, SIGKILL);
    return n ? sum : NAN;
}

/* The number of a worker, as the head lists it. */
static uint32_t number_of(const char *name)
{
    char *json = NULL, want[64];
    uint32_t number = 0;
    RTC_CHECK(rtc_query(cluster.rtc, "nodes", &json));
    snprintf(want, sizeof(want), "\"name\":\"%s\"", name);
    for (const char *at = json; (at = strstr(at, "\"node\":")); at++) {
        const char *end = strchr(at, '}'), *here = strstr(at, want);
        if (here && here < end)
            number = (uint32_t)strtoul(at + 7, NULL, 10);
    }
    free(json);
    return number;
}

/* It begins on the new worker, since the others take nothing; then that is killed, whole. */
double bench_fault_node(void)
{
    struct worker w;
    rtc_ref ref;
    struct rtc_value value;
    char mark[128];
    if (!up() || !worker_start(&w, "1") || !run_on(cluster.rtc, "noop", &w))
        return NAN;
    uint32_t stays = number_of(cluster.worker.name);
    snprintf(mark, sizeof(mark), "%s/began", cluster.dir);
    unlink(mark);
    RTC_CHECK(rtc_cordon(cluster.rtc, stays, true));
    RTC_CHECK(rtc_submit(cluster.rtc, "stay_once", RTC_ARGS(rtc_str(mark)), NULL, &ref));
    for (double end = bench_now() + 20; access(mark, F_OK) && bench_now() < end;) {
    }
    RTC_CHECK(rtc_cordon(cluster.rtc, stays, false));
    double begin = bench_now();
    worker_end(&w, SIGKILL);
    int rc = rtc_get(cluster.rtc, ref, RTC_S(60), &value);
    double took = (bench_now() - begin) * 1e3;
    if (rc)
        fprintf(stderr, "rtc-bench: %s\n", rtc_last_error());
    RTC_CHECK(rtc_release(cluster.rtc, ref));
    return rc ? NAN : took;
}
