/* The commands of the `rtc` program. */
#ifndef RTCI_CLI_CLI_H
#define RTCI_CLI_CLI_H

int rtci_cli_head(int argc, char **argv);   /* rtc head … */
int rtci_cli_daemon(int argc, char **argv); /* what the keeper of `rtc head` runs */
int rtci_cli_attach(int argc, char **argv); /* rtc attach FOLDER */
int rtci_cli_tool(int argc, char **argv);   /* status, list, why, cordon, uncordon, stop */

#endif
