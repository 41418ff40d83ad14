/* `rtc token list|new|revoke`: what lets hosts and drivers join. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rtc/rtc.h>

#include "runtime/cli/cli.h"
#include "runtime/client/client.h"
#include "runtime/client/open.h"
#include "runtime/head/members.h"
#include "runtime/net/net.h"

static int fail(void)
{
    fprintf(stderr, "rtc token: %s\n", rtc_last_error());
    return 1;
}

static int open_space(const char *space, struct rtc **ret_rtc)
{
    struct rtc_config config = {.name = "rtc", .quiet = true, .space = space};
    return rtci_client_open(&config, RTCI_ROLE_TOOL, ret_rtc);
}

static int print_one(void *arg, const char *key, const void *value, size_t size)
{
    (void)arg;
    struct rtci_token_kept kept;
    if (size != sizeof(kept))
        return 0;
    memcpy(&kept, value, sizeof(kept));
    time_t made = (time_t)kept.made_s;
    struct tm tm;
    char text[40] = "";
    if (localtime_r(&made, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    printf("%-10s %s\n", key, text);
    return 0;
}

static int list(void)
{
    struct rtc *rtc;
    if (open_space(RTCI_NS_TOKENS, &rtc) < 0)
        return fail();
    printf("%-10s %s\n", "token", "made");
    int rc = rtc_kv_list(rtc, "", print_one, NULL);
    rc = rc < 0 ? fail() : 0;
    rtc_shutdown(&rtc);
    return rc;
}

static int make(void)
{
    struct rtc *tokens, *cluster;
    struct rtci_token_kept kept = {.made_s = (uint64_t)time(NULL)};
    char token[RTCI_TOKEN_MAX], id[16];
    void *line;
    size_t size;
    if (open_space(RTCI_NS_CLUSTER, &cluster) < 0)
        return fail();
    int rc = rtc_kv_get(cluster, "join", &line, &size);
    rtc_shutdown(&cluster);
    if (rc == RTC_E_NOT_FOUND) {
        fprintf(stderr, "rtc token: this cluster is private to one driver: nobody can join it\n");
        return 1;
    }
    if (rc < 0 || open_space(RTCI_NS_TOKENS, &tokens) < 0)
        return fail();
    rtci_token_new(token);
    RTCI_ASSERT(rtci_token_split(token, id, kept.hash));
    rc = rtc_kv_put(tokens, id, &kept, sizeof(kept));
    if (rc >= 0)
        printf("%.*s:%s\n", (int)size, (char *)line, token);
    rc = rc < 0 ? fail() : 0;
    free(line);
    rtc_shutdown(&tokens);
    return rc;
}

static int revoke(const char *id)
{
    struct rtc *rtc;
    if (open_space(RTCI_NS_TOKENS, &rtc) < 0)
        return fail();
    int rc = rtc_kv_delete(rtc, id);
    if (rc == RTC_E_NOT_FOUND)
        fprintf(stderr, "rtc token: there is no token %s: `rtc token list` prints them\n", id);
    else if (rc < 0)
        fail();
    rtc_shutdown(&rtc);
    return rc < 0;
}

int rtci_cli_token(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "list") && argc == 2)
        return list();
    if (!strcmp(what, "new") && argc == 2)
        return make();
    if (!strcmp(what, "revoke") && argc == 3)
        return revoke(argv[2]);
    bool help = !strcmp(what, "--help");
    fprintf(help ? stdout : stderr,
            "usage: rtc token list         the tokens with which hosts and drivers may join\n"
            "       rtc token new          makes one, and prints its join line\n"
            "       rtc token revoke ID    nobody joins with it any more; who has joined stays\n");
    return help ? 0 : 2;
}
