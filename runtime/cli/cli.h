/* The commands of the `rtc` program. */
#ifndef RTCI_CLI_CLI_H
#define RTCI_CLI_CLI_H

#include <stdbool.h>

int rtci_cli_head(int argc, char **argv);   /* rtc head … */
int rtci_cli_worker(int argc, char **argv); /* rtc worker … */
int rtci_cli_daemon(int argc, char **argv); /* what the keeper of these two runs */
int rtci_cli_token(int argc, char **argv);  /* rtc token … */
int rtci_cli_attach(int argc, char **argv); /* rtc attach FOLDER */
struct rtc;
int rtci_cli_stop(struct rtc *rtc, bool now); /* rtc stop, through the daemon */
int rtci_cli_stop_keeper(void);               /* … where that does not reach its head */
int rtci_cli_tool(int argc, char **argv);   /* status, list, why, cordon, uncordon, stop */

#endif
