/* Starting, watching and reaping simulators. */
#ifndef ACTORS_SUMO_PROCESS_H
#define ACTORS_SUMO_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sumo_process {
    pid_t pid; /* 0: none */
    int pidfd; /* readable when it is dead */
    int status; /* of waitpid(), once `reaped` */
    bool reaped;
};

struct sumo_start {
    const char *binary; /* a path */
    char *const *argv;
    char *const *env;
    int log_fd;    /* its standard output and error */
    int extra_fd;  /* becomes descriptor 3; -1: none */
    bool pin;
    uint32_t cpu;
};

uint64_t sumo_now_ms(void);
/* Until the descriptor is ready for the events of poll(). 0, RTC_E_TIMEOUT, or RTC_E_OS. */
int sumo_wait_fd(int fd, short events, uint64_t deadline_ms);

/* Runs until this process ends, and not only the thread that asks for it. 0, or an errno. */
int sumo_process_start(const struct sumo_start *start, struct sumo_process *ret_process);
/* A child that somebody else started. 0, or an errno: then it was killed. */
int sumo_process_adopt(pid_t pid, struct sumo_process *ret_process);
/* False: it is dead, and was reaped. */
bool sumo_process_alive(struct sumo_process *process);
/* Gives it until `deadline_ms` to end by itself, then kills it; reaps it either way. */
void sumo_process_end(struct sumo_process *process, uint64_t deadline_ms);
/* "was killed by signal 9 (Killed)", "ended with status 1" */
void sumo_process_story(const struct sumo_process *process, char *text, size_t size);

/* The path of a program: what was configured, the environment variable, beside `near` (a path, may be
 * NULL), PATH. False: not there. */
bool sumo_find_program(const char *configured, const char *variable, const char *near, const char *name,
                       char *ret_path, size_t size);

/* A file without a name that takes what a simulator prints; bounded by sumo_log_trim(). */
int sumo_log_open(void);
void sumo_log_trim(int fd, bool all);
/* The end of it, at most size - 1 bytes. */
void sumo_log_tail(int fd, char *text, size_t size);
/* The first line that says "Error", without that word, and what it is about; else false, and the last
 * line. */
bool sumo_log_reason(int fd, char *text, size_t size);

#endif
