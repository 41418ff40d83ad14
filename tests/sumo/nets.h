/* Networks for the tests: SUMO's own, where it is installed, and those of a folder that
 * RTC_SUMO_DATA names. A test that finds none is skipped, and says why. */
#ifndef TESTS_SUMO_NETS_H
#define TESTS_SUMO_NETS_H

#include <stdbool.h>
#include <stddef.h>

#include "actors/sumo/sim.h"

#define NETS_MAX 16

struct net {
    const char *name;
    char sumocfg[512], net[512], routes[512]; /* a sumocfg, or the other two */
};

/* Those that there are. */
size_t nets_find(struct net *nets);
struct sumo_options net_options(const struct net *net, enum sumo_backend backend, unsigned seed);
/* NULL: both can be used here; else why not. */
const char *backend_missing(enum sumo_backend backend);
/* A folder of its own for a test. */
const char *test_folder(void);
const char *test_file(const char *name, const char *text);
/* A net with a bend and no signal, and a route through it; made by netconvert. */
bool make_plain_net(struct net *net);
/* A crossing whose signal, 'm', shows red in all phases; no routes. */
bool make_red_net(struct net *net);
/* How many processes of this name have this process above them; zombies too. */
unsigned simulators_left(void);

#endif
