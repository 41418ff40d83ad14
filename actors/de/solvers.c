#include "actors/de/solvers.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static void *find(void *library, const char *name, bool *ok)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    *ok &= symbol != NULL;
    return symbol;
}

const struct de_solvers *de_solvers_load(const char **ret_error)
{
    static struct de_solvers solvers;
    static char why[256];
    static bool loaded;
    *ret_error = NULL;
    if (loaded)
        return &solvers;
    bool ok = true;
    void *lbfgsb = dlopen("liblbfgsb.so.0", RTLD_NOW | RTLD_LOCAL);
    void *nlopt = lbfgsb ? dlopen("libnlopt.so.0", RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!lbfgsb || !nlopt) {
        snprintf(why, sizeof(why), "its library is not installed: %s", dlerror());
        *ret_error = why;
        return NULL;
    }
    solvers.setulb = (de_setulb *)(uintptr_t)find(lbfgsb, "setulb_", &ok);
#define FIND(name) \
    solvers.name = (__typeof__(nlopt_##name) *)(uintptr_t)find(nlopt, "nlopt_" #name, &ok);
    DE_NLOPT(FIND)
#undef FIND
    loaded = ok;
    *ret_error = ok ? NULL : "its library is of a version that is not known";
    return ok ? &solvers : NULL;
}
