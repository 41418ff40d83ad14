/* `rtc status`, `list`, `why`, `cordon`, `stop`: clients of the daemon with the role of a tool. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rtc/rtc.h>

#include "runtime/cli/cli.h"
#include "runtime/client/client.h"
#include "runtime/client/open.h"
#include "runtime/wire/wire.h"

static int fail(const char *command)
{
    fprintf(stderr, "rtc %s: %s\n", command, rtc_last_error());
    return 1;
}

static void print_cell(const json_t *value, int width)
{
    char text[64];
    if (json_is_string(value))
        snprintf(text, sizeof(text), "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, sizeof(text), "%g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, sizeof(text), "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(text, sizeof(text), "-");
    printf("%-*s ", width, text);
}

static void print_table(const json_t *rows)
{
    size_t i;
    const char *key;
    json_t *row, *value;
    json_array_foreach(rows, i, row)
    {
        if (!i) {
            json_object_foreach(row, key, value)
                printf("%-*s ", strlen(key) > 12 ? (int)strlen(key) : 12, key);
            printf("\n");
        }
        json_object_foreach(row, key, value)
            print_cell(value, strlen(key) > 12 ? (int)strlen(key) : 12);
        printf("\n");
    }
}

static void print_object(const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        printf("%-22s ", key);
        print_cell(value, 0);
        printf("\n");
    }
}

static int query(struct rtc *rtc, const char *what, bool json)
{
    char *text = NULL;
    if (rtc_query(rtc, what, &text) < 0)
        return fail(what);
    if (json) {
        printf("%s\n", text);
        free(text);
        return 0;
    }
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    free(text);
    if (json_is_array(root))
        print_table(root);
    else if (json_is_object(root))
        print_object(root);
    json_decref(root);
    return 0;
}

static int cordon(struct rtc *rtc, uint32_t node, uint32_t op)
{
    struct rtci_slot_msg msg = {.rec = {sizeof(msg), RTCI_R_CORDON, 0}, .slot = node, .op = op};
    int rc = rtci_enter(rtc);
    if (!rc) {
        rc = rtci_send_record(rtc, &msg.rec);
        rtci_leave(rtc);
    }
    return rc < 0 ? rc : rtc_flush(rtc, RTC_S(10));
}

static int usage(const char *command)
{
    if (!strcmp(command, "list"))
        printf("usage: rtc list nodes|tasks|objects|jobs|actors|groups [--json]\n");
    else if (!strcmp(command, "why"))
        printf("usage: rtc why CLIENT.SEQ   (as `rtc list tasks|actors|groups` prints them)\n");
    else if (!strcmp(command, "stop"))
        printf("usage: rtc stop [--now]   (waits up to 10 s for running tasks, unless --now)\n");
    else if (!strcmp(command, "status"))
        printf("usage: rtc status [--json]\n");
    else
        printf("usage: rtc %s NODE   (the number that `rtc list nodes` prints)\n", command);
    return 0;
}

static int why(struct rtc *rtc, const char *arg)
{
    unsigned client;
    unsigned long long seq;
    char text[512];
    if (!arg || sscanf(arg, "%u%*[.:]%llu", &client, &seq) != 2)
        return usage("why"), 2;
    if (rtc_why(rtc, (rtc_ref){.seq = seq, .client = client}, text, sizeof(text)) < 0)
        return fail("why");
    printf("%s\n", text);
    return 0;
}

int rtci_cli_tool(int argc, char **argv)
{
    const char *command = argv[0], *arg = NULL;
    bool json = false, now = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--now"))
            now = true;
        else if (!strcmp(argv[i], "--help"))
            return usage(command);
        else if (argv[i][0] == '-' || arg) {
            fprintf(stderr, "rtc %s: \"%s\" is not understood\n", command, argv[i]);
            return 2;
        } else
            arg = argv[i];
    }
    if (!strcmp(command, "list") && !arg)
        return usage(command), 2;
    struct rtc *rtc;
    struct rtc_config config = {.name = "rtc", .quiet = true};
    int opened = rtci_client_open(&config, RTCI_ROLE_TOOL, &rtc);
    if (opened == RTC_E_DISCONNECTED && !strcmp(command, "stop"))
        return rtci_cli_stop_keeper();
    if (opened < 0)
        return fail(command);
    int rc = 0;
    if (!strcmp(command, "status"))
        rc = query(rtc, "status", json);
    else if (!strcmp(command, "list"))
        rc = query(rtc, arg, json);
    else if (!strcmp(command, "why"))
        rc = why(rtc, arg);
    else if (!strcmp(command, "stop"))
        return rtci_cli_stop(rtc, now);
    else {
        uint32_t op = !strcmp(command, "drain") ? 2 : !strcmp(command, "cordon");
        rc = arg ? cordon(rtc, (uint32_t)strtoul(arg, NULL, 10), op) : -1;
        rc = rc < 0 ? fail(command) : 0;
    }
    rtc_shutdown(&rtc);
    return rc;
}
