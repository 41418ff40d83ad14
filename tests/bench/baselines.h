/* What the machine can do without rtc: the limits that rows are compared with. Each function is one
 * round of `seconds`, or of a fixed count where that says more. */
#ifndef TESTS_BENCH_BASELINES_H
#define TESTS_BENCH_BASELINES_H

#include "tests/bench/bench.h"

/* The whole task path, bare: driver, daemon and executor processes, rings and doorbells of
 * runtime/shm, one LMDB record for each of two turns of the daemon. Driver and executor on CPU 0,
 * daemon on CPU 1 for the round trip; two executors and 1,000 in flight for the rate. */
#define EXPORTED __attribute__((visibility("default")))
double bench_ring_path_sync(void); /* us */
double bench_ring_path(void);      /* 1/s */
/* The whole path of a call between two processes, bare: a lane. */
double bench_lane_rtt(void);       /* us */
double bench_lane_path(void);      /* 1/s, 1,000 in flight */
double bench_futex_rtt(void);      /* us, 64 bytes both ways */
double bench_spin_rtt(void);
double bench_uds_rtt(void);
double bench_lmdb_put(void); /* us, 100 bytes, a transaction each */
double bench_spawn(void);    /* us, /bin/true spawned and reaped */
double bench_zmq_tcp_rtt(void);
double bench_zmq_curve_rtt(void);
double bench_zmq_tcp_msgs(void); /* 1/s, 64 bytes one frame each */
double bench_zmq_curve(void);    /* GB/s, messages of 1 MiB */
double bench_sgemm(void);        /* GFLOP/s, 128 x 256 x 256, one thread */

/* baselines.c, ring_path.c: the same, in the library that baselines_load.c loads. */
EXPORTED double base_ring_path_sync(void);
EXPORTED double base_ring_path(void);
EXPORTED double base_futex_rtt(void);
EXPORTED double base_spin_rtt(void);
EXPORTED double base_uds_rtt(void);
EXPORTED double base_lmdb_put(void);
EXPORTED double base_spawn(void);
EXPORTED double base_zmq_tcp_rtt(void);
EXPORTED double base_zmq_curve_rtt(void);
EXPORTED double base_zmq_tcp_msgs(void);
EXPORTED double base_zmq_curve(void);
EXPORTED double base_sgemm(void);
EXPORTED double base_lane_rtt(void);
EXPORTED double base_lane_path(void);

#endif
