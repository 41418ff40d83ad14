/* Where this host can be reached. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/net/net.h"

static void add(char *list, size_t size, const char *host, uint16_t port)
{
    size_t len = strlen(list);
    bool v6 = strchr(host, ':') && host[0] != '[';
    snprintf(list + len, size - len, "%s%s%s%s:%u", len ? "," : "", v6 ? "[" : "", host,
             v6 ? "]" : "", port);
}

void rtci_addresses(const char *given, uint16_t port, char *ret_list, size_t size)
{
    char host[INET6_ADDRSTRLEN], rest[256];
    struct ifaddrs *all = NULL;
    ret_list[0] = 0;
    if (given) {
        snprintf(rest, sizeof(rest), "%s", given);
        char *save = NULL;
        for (char *at = strtok_r(rest, ",", &save); at; at = strtok_r(NULL, ",", &save))
            add(ret_list, size, at, port);
        return;
    }
    RTCI_IGNORE(getifaddrs(&all));
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || at->ifa_flags & IFF_LOOPBACK ||
            !(at->ifa_flags & IFF_UP))
            continue;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(void *)at->ifa_addr;
        if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)) && strlen(ret_list) < size - 64)
            add(ret_list, size, host, port);
    }
    freeifaddrs(all);
    if (!ret_list[0])
        add(ret_list, size, "127.0.0.1", port);
}

/* The kernel's choice for a datagram that is never sent. */
bool rtci_address_towards(const char *host, char *ret_host, size_t size)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *to = NULL;
    struct sockaddr_storage at;
    socklen_t length = sizeof(at);
    if (getaddrinfo(host, "9", &hints, &to) != 0)
        return false;
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &length) == 0 &&
              getnameinfo((struct sockaddr *)&at, length, ret_host, (socklen_t)size, NULL, 0,
                          NI_NUMERICHOST) == 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(to);
    size_t len = ok ? strlen(ret_host) : 0;
    if (len > 7 && !strncmp(ret_host, "::ffff:", 7) && strchr(ret_host, '.'))
        memmove(ret_host, ret_host + 7, len - 6); /* its NUL too */
    return ok;
}
