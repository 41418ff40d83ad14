/* What is minimised: a function of this program, or a command. Evaluated in executors. */
#ifndef ACTORS_DE_OBJECTIVE_H
#define ACTORS_DE_OBJECTIVE_H

#include <stddef.h>
#include <stdint.h>

enum de_objective_kind {
    DE_FUNCTION,   /* a built-in test function by name */
    DE_COMMAND,    /* a shell command for each evaluation: the parameters are "$1", "$2", …; the value
                      is the last line of its output */
    DE_PERSISTENT, /* one process for each executor: a line of parameters in, a line with the value
                      out */
};

/* Sets *ret_value and returns 0, or returns -1 with a sentence in `why`. */
int de_objective_value(enum de_objective_kind kind, const char *text, const double *x, uint32_t n,
                       double *ret_value, char *why, size_t size);
/* NULL when there is a built-in function of that name, else a sentence. */
const char *de_objective_check(enum de_objective_kind kind, const char *text);

#endif
