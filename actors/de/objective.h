/* What is minimised: a function of this program, of a library, or a command. In executors. */
#ifndef ACTORS_DE_OBJECTIVE_H
#define ACTORS_DE_OBJECTIVE_H

#include "actors/de/evaluation.h"

/* 0, or -1 with a sentence in answer->why. */
int de_objective_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer);
/* Whether the objective can be at all, before anything starts. NULL, or a sentence in `why`. */
const char *de_objective_check(enum rtc_de_kind kind, const char *text, char *why, size_t size);

/* command.c: a process for each evaluation, or one that stays. As de_objective_answer. */
int de_command_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer);
int de_persistent_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer);

/* answer.c: reads what a command printed; `line` is its last line, `whole` all of it or NULL. */
int de_answer_read(const struct de_spec *spec, const char *line, const char *whole,
                   struct rtc_de_answer *answer);
/* The parameters as a JSON object, a line; malloc'ed. */
char *de_parameters_json(const struct de_spec *spec, const double *x);

#endif
