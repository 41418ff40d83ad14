/* Programs that travel: the executable of a driver on another host, named by its contents.
 *
 * A node that is to start an executor for such a job asks the head which program that is, fetches it
 * from the driver's host unless it has it already, checks its contents against its name, and keeps
 * it. The driver's host reads its own program once, to name it, when somebody asks first. */
#ifndef RTCI_NODE_PROGRAMS_H
#define RTCI_NODE_PROGRAMS_H

#include "runtime/node/daemon.h"

struct rtci_programs;

struct rtci_programs *rtci_programs_create(struct rtci_daemon *daemon); /* NULL: no memory */

/* What runs the job's tasks: a descriptor to execute, the driver's path and working directory, valid
 * until the next call; false: not here yet, and the executor `token` is started or given up later,
 * through rtci_daemon_start_program or rtci_daemon_not_started. */
struct rtci_program_found {
    int fd;
    const char *path, *cwd;
};
bool rtci_programs_find(struct rtci_programs *programs, uint32_t job,
                        const struct rtci_node_action *act, struct rtci_program_found *ret);
void rtci_programs_job_end(struct rtci_programs *programs, uint32_t job);
/* PROGRAM and PROGRAM_WANT from the head. */
void rtci_programs_record(struct rtci_programs *programs, const struct rtci_rec *rec);
/* Some work that takes long is done in parts: true while there is more. */
bool rtci_programs_step(struct rtci_programs *programs);
uint64_t rtci_programs_deadline(const struct rtci_programs *programs);

/* For transfers: the contents by their name; NULL when they are not here. */
const void *rtci_programs_contents(struct rtci_programs *programs, const uint8_t hash[32],
                                   uint64_t *ret_size);
/* The transfer of this program ended. */
void rtci_programs_fetched(struct rtci_programs *programs, uint64_t pull, int status);

#endif
