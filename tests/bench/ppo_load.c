/* Calls into the library that ppo.c is. */
#include "tests/bench/ppo.h"

#include "tests/bench/library.h"

static double call(const char *name)
{
    static void *library;
    return bench_call(&library, "librtc-bench-ppo.so", name);
}

#define LOADED(name)                \
    double bench_##name(void)       \
    {                               \
        return call("load_" #name); \
    }
LOADED(ppo_update_64)
LOADED(ppo_update_256)
LOADED(ppo_products_64)
LOADED(ppo_products_256)
LOADED(ppo_cartpole_64)
