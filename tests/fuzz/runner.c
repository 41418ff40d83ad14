/* Runs a fuzz target without libFuzzer:
 *   fuzz_x [--runs N] [--seed S] [FILE…]     N inputs from seeds S, S+1, …, then the files
 *   fuzz_x --write DIR N                     writes N made inputs as the start of a corpus
 * When it dies, the seed it printed last, or the file, is the reproducer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/records.h"

static volatile uint64_t running;

static void on_crash(int sig)
{
    char line[64];
    int n =
        snprintf(line, sizeof(line), "\nSEED=%llu signal=%d\n", (unsigned long long)running, sig);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        _exit(1);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* The target gets a copy that ends where the input ends, so that a read behind it is seen. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t make(uint64_t seed, uint8_t *at)
{
    struct rng rng = {seed};
    size_t size = fuzz_make(&rng, at);
    if (rng_below(&rng, 8) != 0) /* every eighth stays as it was made */
        record_mutate(&rng, at, size);
    if (rng_below(&rng, 16) == 0)
        size = rng_below(&rng, (uint32_t)size + 1);
    return size;
}

static int run_file(const char *path, uint8_t *at)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(at, 1, FUZZ_INPUT_MAX, file);
    fclose(file);
    run_one(at, size);
    return 0;
}

static int write_corpus(const char *dir, uint64_t n, uint8_t *at)
{
    for (uint64_t seed = 1; seed <= n; seed++) {
        struct rng rng = {seed};
        char path[4096];
        snprintf(path, sizeof(path), "%s/seed-%llu", dir, (unsigned long long)seed);
        FILE *file = fopen(path, "wb");
        if (!file) {
            perror(path);
            return 1;
        }
        size_t size = fuzz_make(&rng, at);
        size_t written = fwrite(at, 1, size, file);
        if (fclose(file) != 0 || written != size)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t runs = 3000, seed = 1;
    uint8_t *at = aligned_alloc(64, FUZZ_INPUT_MAX);
    int rc = 0, arg = 1;
    if (!at)
        return 1;
    if (argc == 4 && strcmp(argv[1], "--write") == 0) {
        rc = write_corpus(argv[2], strtoull(argv[3], NULL, 10), at);
        free(at);
        return rc;
    }
    for (; arg + 1 < argc && strncmp(argv[arg], "--", 2) == 0; arg += 2) {
        uint64_t value = strtoull(argv[arg + 1], NULL, 10);
        if (strcmp(argv[arg], "--runs") == 0)
            runs = value;
        else if (strcmp(argv[arg], "--seed") == 0)
            seed = value;
    }
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    for (running = seed; running < seed + runs; running++)
        run_one(at, make(running, at));
    for (; arg < argc; arg++)
        rc |= run_file(argv[arg], at);
    free(at);
    if (rc == 0)
        printf("%llu inputs from seed %llu\n", (unsigned long long)runs, (unsigned long long)seed);
    return rc;
}
