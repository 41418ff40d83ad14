/* The baselines' functions, in a library that is loaded when one is wanted: what they link (ZeroMQ,
 * OpenBLAS) would be loaded by every executor of the bench too. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/baselines.h"

static double call(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen("librtc-bench-baselines.so", RTLD_NOW | RTLD_LOCAL);
    double (*function)(void) = NULL;
    if (library)
        *(void **)&function = dlsym(library, name);
    if (!function) {
        fprintf(stderr, "rtc bench: %s\n", dlerror());
        exit(1);
    }
    return function();
}

#define BASELINE(name)              \
    double bench_##name(void)       \
    {                               \
        return call("base_" #name); \
    }
BASELINE(ring_path_sync)
BASELINE(ring_path)
BASELINE(lane_rtt)
BASELINE(lane_path)
BASELINE(futex_rtt)
BASELINE(spin_rtt)
BASELINE(uds_rtt)
BASELINE(lmdb_put)
BASELINE(spawn)
BASELINE(zmq_tcp_rtt)
BASELINE(zmq_curve_rtt)
BASELINE(zmq_tcp_msgs)
BASELINE(zmq_curve)
BASELINE(sgemm)
