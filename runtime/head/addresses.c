/* The join line: where this host can be reached, the head's key, a token. */
#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/head/members.h"
#include "runtime/net/net.h"

bool rtci_token_good(struct rtci_head_core *core, const char *token)
{
    char id[16];
    uint8_t hash[32];
    const void *value;
    uint32_t size;
    if (!rtci_token_split(token, id, hash) ||
        rtci_head_core_kv_get(core, RTCI_NS_TOKENS, id, &value, &size) ||
        size != sizeof(struct rtci_token_kept))
        return false;
    uint8_t differ = 0;
    for (size_t i = 0; i < sizeof(hash); i++) /* in constant time, though it is a hash */
        differ |= (uint8_t)(hash[i] ^ ((const uint8_t *)value)[i]);
    return !differ;
}

static bool read_line(const char *path, struct rtci_join *ret)
{
    char line[1024], text[RTCI_TEXT_MAX];
    return !rtci_join_read(path, true, line, sizeof(line)) &&
           !rtci_join_parse(line, ret, text, sizeof(text));
}

static int write_line(const char *path, const char *line)
{
    char part[320];
    snprintf(part, sizeof(part), "%s.new", path);
    unlink(part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && dprintf(fd, "%s\n", line) > 0;
    if (fd >= 0)
        close(fd);
    if (ok && !rename(part, path))
        return 0;
    fprintf(stderr, "rtc head: the join line cannot be written to %s: %s\n", path, strerror(errno));
    return RTC_E_DISK;
}

int rtci_join_line(struct rtci_daemon *daemon, struct rtci_head_core *core,
                   struct rtci_head_actions *actions, const uint8_t key[32], uint16_t port)
{
    struct rtci_join join = {.token = ""}, before;
    char path[300], line[1024];
    uint32_t number = port;
    snprintf(path, sizeof(path), "%s/join", daemon->state_dir);
    if (read_line(path, &before) && rtci_token_good(core, before.token))
        memcpy(join.token, before.token, sizeof(join.token));
    memcpy(join.server, key, sizeof(join.server));
    rtci_addresses(daemon->options.address, port, join.addresses, sizeof(join.addresses));
    if (!join.token[0]) {
        struct rtci_token_kept kept = {.made_s = (uint64_t)time(NULL)};
        char id[16];
        rtci_token_new(join.token);
        RTCI_ASSERT(rtci_token_split(join.token, id, kept.hash));
        rtci_head_core_kv_put(core, daemon->now_ns, RTCI_NS_TOKENS, id, &kept, sizeof(kept),
                              actions);
    }
    rtci_head_core_kv_put(core, daemon->now_ns, RTCI_NS_CLUSTER, "port", &number, sizeof(number),
                          actions);
    rtci_join_format(&join, line, sizeof(line));
    char *token = strrchr(line, ':');
    rtci_head_core_kv_put(core, daemon->now_ns, RTCI_NS_CLUSTER, "join", line,
                          (uint32_t)(token - line), actions);
    return write_line(path, line);
}
