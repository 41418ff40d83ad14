/* Opening clients: what rtc_init() of runtime/exec and the `rtc` program use. */
#ifndef RTCI_CLIENT_OPEN_H
#define RTCI_CLIENT_OPEN_H

#include <rtc/rtc.h>

#include "runtime/base/assert.h"

/* Connects as a driver (RTCI_ROLE_DRIVER) or a tool (RTCI_ROLE_TOOL, which never starts an embedded
 * cluster: RTC_E_NO_CLUSTER). Waits at most config->connect_timeout. */
int rtci_client_open(const struct rtc_config *config, uint32_t role,
                     struct rtc **ret_rtc) RTCI_MUST_USE;
/* An executor, over the inherited descriptors RTCI_EXEC_FD_*. */
int rtci_client_adopt(struct rtc **ret_rtc) RTCI_MUST_USE;
/* Rows of a query (enum rtci_query_what), all pages: fn gets each and may stop with non-zero.
 * row_size is checked against the answer. */
int rtci_query_rows(struct rtc *rtc, uint32_t what, struct rtc_ref ref, size_t row_size,
                    int (*fn)(void *arg, const void *row), void *arg) RTCI_MUST_USE;
/* Sends STOP to the daemon and waits until it is gone. */
int rtci_client_stop(struct rtc *rtc, bool now, int64_t timeout) RTCI_MUST_USE;
/* Text of the state of a struct rtci_row_task or rtci_row_object. */
const char *rtci_row_state_name(uint32_t state);
uint32_t rtci_client_number(const struct rtc *rtc);
const char *rtci_client_space(const struct rtc *rtc);

/* Allocates the empty handle; frees everything of a handle without saying goodbye. */
struct rtc *rtci_client_create(void);
void rtci_client_destroy(struct rtc *rtc);

/* embedded.c: starts a private cluster whose first client is us. *ret_sock is our end. */
int rtci_embedded_start(const struct rtc_config *config, int *ret_sock, int *ret_pid) RTCI_MUST_USE;
/* A private node of the cluster that a join line names, without CPUs. Likewise. */
int rtci_remote_start(const char *line, int *ret_sock, int *ret_pid) RTCI_MUST_USE;
/* Waits for it to end after the socket was closed; ends it by force when it does not. Returns its
 * wait status. */
int rtci_embedded_stop(int pid);
/* The `rtc` program: RTC_BIN, beside the library or the executable, PATH. */
int rtci_find_program(char *ret_path, size_t size) RTCI_MUST_USE;

#endif
