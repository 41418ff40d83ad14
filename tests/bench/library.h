/* Rows in libraries that are loaded when one is wanted: what they link (ZeroMQ, OpenBLAS) would be
 * loaded by every executor of the bench too. */
#ifndef TESTS_BENCH_LIBRARY_H
#define TESTS_BENCH_LIBRARY_H

/* Calls a function of a library, which is loaded into *library at first. Without it the bench ends.
 */
double bench_call(void **library, const char *file, const char *function);

#endif
