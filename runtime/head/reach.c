#include "runtime/head/reach.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/bounds.h"

#define AT_ONCE 32                    /* descriptors; the others wait */
#define WAIT_NS RTCI_NS_PER_S         /* for an answer */
#define LOOK_NS (20 * RTCI_NS_PER_MS) /* joins are rare: it is looked at so often meanwhile */

struct
try {
    uint32_t node;
    int fd; /* -1: not begun */
    uint64_t until_ns;
    char address[64];
};
struct rtci_reach {
    struct try *tries; /* in the order of their beginning */
    uint32_t n, cap;
};

struct rtci_reach *rtci_reach_create(void)
{
    return calloc(1, sizeof(struct rtci_reach));
}

void rtci_reach_free(struct rtci_reach *reach)
{
    for (uint32_t i = 0; reach && i < reach->n; i++) {
        if (reach->tries[i].fd >= 0)
            close(reach->tries[i].fd);
    }
    if (reach)
        free(reach->tries);
    free(reach);
}

static void end(struct rtci_reach *reach, uint32_t i)
{
    if (reach->tries[i].fd >= 0)
        close(reach->tries[i].fd);
    reach->n--;
    memmove(&reach->tries[i], &reach->tries[i + 1], (reach->n - i) * sizeof(*reach->tries));
}

void rtci_reach_begin(struct rtci_reach *reach, uint32_t node, const char *address)
{
    for (uint32_t i = 0; i < reach->n; i++) {
        if (reach->tries[i].node == node)
            end(reach, i--);
    }
    if (!address[0])
        return;
    if (reach->n == reach->cap) {
        uint32_t cap = reach->cap ? 2 * reach->cap : 16;
        struct try *tries = realloc(reach->tries, cap * sizeof(*tries));
        if (!tries)
            return;
        reach->tries = tries;
        reach->cap = cap;
    }
    struct try *t = &reach->tries[reach->n++];
    *t = (struct try){.node = node, .fd = -1};
    snprintf(t->address, sizeof(t->address), "%.63s", address);
}

enum { NO, YES, NOT_YET };

/* A name is not looked up, which could take long: somebody gave it by hand, and is believed. */
static int dial(struct try *t, uint64_t now_ns)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    char host[64];
    snprintf(host, sizeof(host), "%s", t->address);
    char *port = strrchr(host, ':'), *name = host;
    if (!port)
        return NO;
    *port++ = 0;
    if (*name == '[') {
        name++;
        name[strcspn(name, "]")] = 0;
    }
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return YES;
    t->until_ns = now_ns + WAIT_NS;
    t->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = t->fd >= 0 ? connect(t->fd, found->ai_addr, found->ai_addrlen) : -1;
    int why = rc == 0 ? 0 : errno;
    freeaddrinfo(found);
    return rc == 0 ? YES : t->fd >= 0 && why == EINPROGRESS ? NOT_YET : NO;
}

static int look(struct try *t, uint64_t now_ns)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at), n = sizeof(int);
    int why = 0;
    if (t->fd < 0)
        return dial(t, now_ns);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &why, &n) == 0 && why != 0)
        return NO;
    if (getpeername(t->fd, (struct sockaddr *)&at, &size) == 0)
        return YES;
    return now_ns >= t->until_ns ? NO : NOT_YET;
}

bool rtci_reach_take(struct rtci_reach *reach, uint64_t now_ns, uint32_t *ret_node, bool *ret_yes)
{
    for (uint32_t i = 0; i < reach->n && i < AT_ONCE; i++) {
        int found = look(&reach->tries[i], now_ns);
        if (found == NOT_YET)
            continue;
        *ret_node = reach->tries[i].node;
        *ret_yes = found == YES;
        end(reach, i);
        return true;
    }
    return false;
}

uint64_t rtci_reach_deadline(const struct rtci_reach *reach, uint64_t now_ns)
{
    return reach->n ? now_ns + LOOK_NS : UINT64_MAX;
}
