/* What learning costs, and what OpenBLAS needs for the products in it. */
#ifndef TESTS_BENCH_PPO_H
#define TESTS_BENCH_PPO_H

#include "tests/bench/bench.h"

double bench_ppo_update_64(void);    /* us */
double bench_ppo_update_256(void);   /* us */
double bench_ppo_products_64(void);  /* us, the baselines of these */
double bench_ppo_products_256(void); /* us */
double bench_ppo_cartpole_64(void);  /* 1/s */

/* train.c: `rtc ppo` itself; NAN without SUMO, or the network cologne1. */
double bench_ppo_cartpole_256(void); /* 1/s */
double bench_ppo_sumo(void);         /* 1/s */
double bench_ppo_first_update(void); /* s, of the quick preset on the crossing */
double bench_ppo_memory(void);       /* MB, during ppo_sumo */
double bench_ppo_memory_6x2(void);   /* MB */

/* The same, in the library that ppo_load.c loads. */
#pragma GCC visibility push(default)
double load_ppo_update_64(void);
double load_ppo_update_256(void);
double load_ppo_products_64(void);
double load_ppo_products_256(void);
double load_ppo_cartpole_64(void);
#pragma GCC visibility pop

#endif
