/* What `rtc sumo` tells: tables, CSV files, a plot, the signals of a net. */
#ifndef ACTORS_SUMO_TELL_H
#define ACTORS_SUMO_TELL_H

#include "actors/sumo/evaluate.h"

struct telling;

/* scenario: as the user named it; out: a folder that there is. NULL: no memory. */
struct telling *tell_begin(const char *scenario, const char *out, bool quiet);
/* Evaluates e->controller, prints its table and writes its CSV. 0, or 1 and it was said why. */
int tell_controller(struct telling *t, struct evaluation *e);
/* The delays of all controllers that were told, each sorted. */
void tell_plot(struct telling *t);
void tell_end(struct telling *t); /* NULL is fine */

void tell_plan(struct sumo_sim *sim, const struct sumo_plan *plan);

#endif
