/* Any of the methods, asked for one trial at a time. Integers are integers here and constraints are
 * kept, whatever the method knows of them. */
#ifndef ACTORS_DE_MACHINE_H
#define ACTORS_DE_MACHINE_H

#include "actors/de/space.h"

struct de_machine;

/* seeds: n_seeds points that are to be among the first ones, as far as the method has room.
 * Returns NULL with *ret_error, a sentence, set. The options and the space are borrowed. */
struct de_machine *de_machine_create(const struct rtc_de_options *options,
                                     const struct de_space *space, uint32_t workers,
                                     const double *seeds, uint32_t n_seeds, const char **ret_error);
void de_machine_free(struct de_machine *machine);
/* x is valid until the next call. False: none before something is told, or the run is over. */
bool de_machine_ask(struct de_machine *machine, struct de_trial *ret_trial);
void de_machine_tell(struct de_machine *machine, uint64_t id, double value);
void de_machine_state(struct de_machine *machine, struct de_state *ret_state);
void de_machine_best(struct de_machine *machine, double *ret_x);
/* Polishing found a better point (x NULL: none), with so many evaluations. */
void de_machine_improve(struct de_machine *machine, const double *x, double value,
                        uint64_t evaluations);
/* How many trials were numbered by now, also those that were never given out. */
uint64_t de_machine_asked(const struct de_machine *machine);
/* Whether what a trial is depends on the order in which others were told. */
bool de_machine_ordered(const struct rtc_de_options *options);

#endif
