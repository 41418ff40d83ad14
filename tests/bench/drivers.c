/* Rows of the drivers: whole runs of their programs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
            "  options: {popsize: 32, maxiter: %d, tol: 0, updating: deferred}\n",
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
