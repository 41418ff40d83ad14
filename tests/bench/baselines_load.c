/* Calls into the library of the baselines. */
#include "tests/bench/baselines.h"

#include "tests/bench/library.h"

static double call(const char *name)
{
    static void *library;
    return bench_call(&library, "librtc-bench-baselines.so", name);
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
