/* What the parts of rtc-bench share. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

struct rtc;
struct rtc_options;

/* Also for the baselines, which are a library of their own. */
#pragma GCC visibility push(default)
extern double bench_seconds; /* of a round, at least */
double bench_now(void);      /* s */
double bench_median(double *v, size_t n);
/* Pins a process (0 = this thread) to one CPU; -1 = to all of them again. */
void bench_pin(int pid, int cpu);

/* Ends the program, with errno in words, when it is not so. */
void bench_need(bool ok, const char *what);
#pragma GCC visibility pop

/* outside.c: rows that are whole processes. NAN: not possible here, and why is on stderr. */
double bench_tasks_clients(void);   /* 1/s */
double bench_head_ready(void);      /* ms */
double bench_first_task(void);      /* ms */
double bench_idle_memory(void);     /* MB */
double bench_sim_10k(void);         /* us */
void bench_remove(const char *dir); /* a folder of ours, with all that is in it */
double bench_de_overhead(void);     /* us */
double bench_de_utilisation(void);  /* 1 = all of it */
/* The children of a process, recursively. Returns how many. */
size_t bench_children(int pid, int *ret_pids, size_t cap);
double bench_pss_mb(int pid); /* proportional share of its memory */
/* cluster.c: a head and workers. NAN as above. */
double bench_tasks_remote(void);     /* 1/s */
double bench_task_remote_sync(void); /* us */
double bench_actor_remote_sync(void);  /* us */
double bench_actor_remote_async(void); /* 1/s */
double bench_transfer_256m(void);    /* GB/s */
double bench_allreduce_hosts_64m(void);  /* GB/s */
double bench_allreduce_hosts_sync(void); /* us */
double bench_worker_join(void);      /* ms */
double bench_worker_program(void);   /* ms: a driver of 5 MB, to a node that has not seen it */
double bench_worker_memory(void);    /* MB: keeper and daemon of a worker without executors */
double bench_fault_node(void);       /* ms */
int bench_daemon_pid(struct rtc *rtc);
/* actors.c: actors in processes of their own, of the cluster of the bench itself. */
double bench_actor_sync(struct rtc *rtc);   /* us */
double bench_actor_async(struct rtc *rtc);  /* 1/s */
double bench_actor_nn(struct rtc *rtc);     /* 1/s */
double bench_actor_arg(struct rtc *rtc);    /* 1/s */
double bench_actor_create(struct rtc *rtc); /* 1/s */
/* light.c: light actors, by the public API. */
double bench_light_pingpong(void); /* ns */
double bench_light_count(void);    /* 1/s */
double bench_light_create(void);   /* 1/s */
double bench_light_memory(void);   /* B */
/* sumo.c: traffic simulations; NAN without SUMO, or the network cologne1. */
double bench_sumo_one_a(void);   /* 1/s: decisions of one environment, over libsumo */
double bench_sumo_one_b(void);   /* over TraCI */
double bench_sumo_all(void);     /* two environments for each core */
double bench_sumo_step01(void);  /* steps of 0.1 s */
double bench_sumo_reset_a(void); /* ms */
double bench_sumo_reset_b(void);
double bench_sumo_bare(void);    /* 1/s: bare loops on libsumo that take the same actions */
double bench_sumo_bare_all(void);
double bench_sumo_bare01(void);
/* engine.c: their engine alone, in this process. */
double bench_engine_pingpong(void); /* ns */
double bench_engine_count(void);    /* 1/s */
double bench_engine_create(void);   /* 1/s */
double bench_engine_memory(void);   /* B */
/* groups.c */
double bench_placement_group(void); /* 1/s */
double bench_allreduce_64m(void);   /* GB/s */
#define BENCH_64M ((size_t)16 << 20) /* floats */
/* How many a second two members make, each where it is said. */
double bench_all_reduces(struct rtc *rtc, const struct rtc_options *where, size_t elements);
struct rtc *bench_rtc(void);        /* what this program is connected to */
int bench_as_stranger(struct rtc *rtc);
/* The programs that these rows start: `rtc-bench --as first|client|idle|stranger`. */
int bench_as(struct rtc *rtc, const char *what);

#endif
