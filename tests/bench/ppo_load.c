/* Calls into the library that ppo.c is. */
#include "tests/bench/ppo.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static double call(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen("librtc-bench-ppo.so", RTLD_NOW | RTLD_LOCAL);
    double (*function)(void) = NULL;
    if (library)
        *(void **)&function = dlsym(library, name);
    if (!function) {
        fprintf(stderr, "rtc bench: %s\n", dlerror());
        exit(1);
    }
    return function();
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
