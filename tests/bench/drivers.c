/* Rows of the drivers: whole runs of their programs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rtc/de.h>

#include "tests/bench/bench.h"

#define GENERATIONS 250

/* A five-dimensional sphere, SciPy's popsize 32, deferred: what a run costs beyond the objective,
 * the journal included. */
double bench_de_overhead(void)
{
    char dir[] = "/tmp/rtc-bench-XXXXXX", path[64], command[4400], line[256];
    const char *rtc = getenv("RTC_BIN");
    unsigned long long n = 0;
    double seconds = 0;
    if (!rtc || !mkdtemp(dir))
        return NAN;
    snprintf(path, sizeof(path), "%s/run.yaml", dir);
    FILE *file = fopen(path, "we");
    if (!file)
        return NAN;
    fputs("objective: {function: sphere}\nparameters:\n", file);
    for (char name = 'a'; name <= 'e'; name++)
        fprintf(file, "  - {name: %c, low: -100, high: 100}\n", name);
    fprintf(file,
            "optimization:\n  method: differential_evolution\n"
            "  options: {popsize: 32, maxiter: %d, tol: 0, atol: 0, updating: "
            "deferred, polish: false}\n"
            "watch: {plots: false}\n",
            GENERATIONS);
    fclose(file);
    snprintf(command, sizeof(command), "RTC_ADDRESS=embedded '%s' de --config %s --quiet", rtc,
             path);
    file = popen(command, "re");
    while (file && fgets(line, sizeof(line), file)) {
        const char *last = strrchr(line, ',');
        if (sscanf(line, "%llu evaluations", &n) == 1 && last)
            sscanf(last, ", %lf s", &seconds);
    }
    if (file && pclose(file))
        n = 0;
    bench_remove(dir);
    return n && seconds > 0 ? seconds * 1e6 / (double)n : NAN;
}

/* ---- Utilisation ---- */

#define NAPPERS     32
#define NAPS        10000
#define NAP_SECONDS 0.05 /* the mean */

/* Sleeps for a time that is log-normal with a coefficient of variation of 1, a function of x. */
RTC_DE_OBJECTIVE(bench_nap)
{
    uint64_t bits = 0x9e3779b97f4a7c15u, word;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&word, &x[i], sizeof(word));
        bits = (bits ^ word) * 0xbf58476d1ce4e5b9u;
        bits ^= bits >> 31;
        answer->value += x[i] * x[i];
    }
    double u = (double)((bits >> 32) + 1) / 4294967297.0;
    double v = (double)(bits & 0xffffffffu) / 4294967296.0;
    double normal = sqrt(-2 * log(u)) * cos(2 * M_PI * v), sigma2 = log(2);
    double seconds = NAP_SECONDS * exp(sqrt(sigma2) * normal - sigma2 / 2);
    struct timespec t = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    nanosleep(&t, NULL);
    return 0;
}

/* How much of what 32 workers have an asynchronous run uses, from its first evaluation to its end;
 * they only sleep, so that a small machine has as many. */
double bench_de_utilisation(void)
{
    static const double low[5] = {-1, -1, -1, -1, -1}, high[5] = {1, 1, 1, 1, 1};
    struct rtc_config config = {.address = "embedded", .cpus = NAPPERS, .quiet = true};
    struct rtc_de_options o = {.n = 5,
                               .lower = low,
                               .upper = high,
                               .objective = "bench_nap",
                               .async = true,
                               .max_evaluations = NAPS,
                               .no_affinity = true};
    struct rtc_de_result result;
    struct rtc *rtc;
    if (rtc_init(NULL, NULL, &config, &rtc) < 0)
        return NAN;
    double used = NAN;
    if (rtc_de_run(rtc, &o, &result) == 0) {
        used = result.busy_seconds / result.seconds / NAPPERS;
        rtc_de_result_free(&result);
    }
    rtc_shutdown(&rtc);
    return used;
}
