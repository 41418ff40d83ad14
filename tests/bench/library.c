#include "tests/bench/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

double bench_call(void **library, const char *file, const char *function)
{
    if (!*library)
        *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    double (*call)(void) = NULL;
    if (*library)
        *(void **)&call = dlsym(*library, function);
    if (!call) {
        fprintf(stderr, "rtc bench: %s\n", dlerror());
        exit(1);
    }
    return call();
}
