/* A daemon played by a thread of the test, and executors by children of it: enough of the protocol
 * to try the client library and the task loop by themselves. One driver; tasks go round robin;
 * tasks with unresolved references are held until what they need is done. */
#ifndef TESTS_API_FAKE_H
#define TESTS_API_FAKE_H

#include <stdint.h>

struct fake;

/* Listens at *ret_address ("unix:…") and starts executors: this very program with RTC_EXECUTOR=1.
 */
struct fake *fake_start(unsigned n_executors, const char **ret_address);
void fake_stop(struct fake *fake);
/* As if the daemon had been restarted: bumps the epoch of every channel. */
void fake_restart(struct fake *fake);
/* While set, records of the driver stay in its ring. */
void fake_pause(struct fake *fake, int on);
unsigned fake_executors(const struct fake *fake);
/* While set, the first executor gets tasks of the driver only, the others only those of tasks. */
void fake_reserve(struct fake *fake, int on);
uint64_t fake_count(const struct fake *fake, unsigned record_type);

#endif
