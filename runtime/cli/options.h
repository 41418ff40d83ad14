/* Options that `rtc head`, `rtc worker` and the daemons of both understand. */
#ifndef RTCI_CLI_OPTIONS_H
#define RTCI_CLI_OPTIONS_H

#include "runtime/node/daemon.h"

struct rtci_cli_options {
    struct rtci_daemon_options o;
    bool worker, detach;
    int driver_fd;
    char socket[108], state[256], join[1024]; /* what o points to, where it is a default */
};
/* 0; 1: --help was asked for, and given; 2: a sentence is on stderr. Defaults are filled in. */
int rtci_cli_parse(int argc, char **argv, bool worker, struct rtci_cli_options *ret_options);

#endif
