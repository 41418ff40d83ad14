/* What a person watches while a training goes on: one line that changes on a terminal, and a line for
 * each iteration anywhere else. */
#ifndef ACTORS_RUN_PROGRESS_H
#define ACTORS_RUN_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct run_progress { /* what is not a number is left out */
    uint64_t iteration, iterations, samples;
    double seconds; /* since it began or went on */
    double episode_return, best_return, length;
    double loss, lr, samples_per_second;
    double cpu;                       /* of the host, 0 to 1 */
    uint64_t memory, memory_total;    /* bytes in use on the host; 0: not known */
    uint32_t restarts;                /* environments and actors that had to be replaced */
    uint64_t first;                   /* the iteration it began behind: those before took no time */
    const char *doing;                /* "sampling", "learning": between iterations; NULL */
};

/* The line, without an end. On a terminal it has at most `width` columns. Pure. */
void run_progress_text(const struct run_progress *p, bool terminal, unsigned width, char *out,
                       size_t size);
/* Seconds that are left, or not a number when that cannot be said yet. Pure. */
double run_progress_eta(const struct run_progress *p);
/* "2 h 05 min", "40 s". */
void run_seconds_text(double seconds, char *out, size_t size);

struct run_line { /* zeroed at first, and `file` set */
    FILE *file;
    bool terminal, shown;
    unsigned width;
    uint64_t told; /* the iteration of the last plain line */
};
/* Looks whether the file is a terminal, and how wide. */
void run_line_open(struct run_line *line, FILE *file);
void run_line_show(struct run_line *line, const struct run_progress *p);
/* A sentence of its own, above the line that changes. */
void run_line_note(struct run_line *line, const char *sentence);
/* The last words: where what is, and "Training completed" (or what else it was, as "Training
 * stopped: …"). */
void run_line_end(struct run_line *line, const struct run_progress *p, const char *folder,
                  const char *stopped);

#endif
