/* rtc_init and rtc_shutdown: the same program is a driver or, when its node started it so, an
 * executor. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/open.h"
#include "runtime/exec/bridge.h"
#include "runtime/exec/exec.h"
#include "runtime/shm/local.h"

static bool is_executor;

static bool env_says_executor(void)
{
    const char *role = getenv(RTCI_EXEC_ENV);
    return role && strcmp(role, "1") == 0;
}

int rtc_init(int *argc, char ***argv, const struct rtc_config *config, struct rtc **ret_rtc)
{
    if (env_says_executor() && !is_executor) {
        is_executor = true;
        rtci_exec_main();
    }
    if (is_executor)
        return rtci_error(RTC_E_INVALID,
                          "this process runs tasks: inside one, use rtc_call_rtc(call)");
    if (!ret_rtc)
        return rtci_error(RTC_E_INVALID, "ret_rtc is NULL");
    RTCI_TRY(rtci_task_registry_check());
    RTCI_TRY(rtci_actor_registry_check());
    struct rtc_config c = config ? *config : (struct rtc_config){0};
    if (!c.name && argc && argv && *argc > 0 && *argv && (*argv)[0]) {
        const char *slash = strrchr((*argv)[0], '/');
        c.name = slash ? slash + 1 : (*argv)[0];
    }
    return rtci_client_open(&c, RTCI_ROLE_DRIVER, ret_rtc);
}

int rtc_shutdown(struct rtc **rtc)
{
    if (!rtc || !*rtc)
        return 0;
    struct rtc *r = *rtc;
    if (r->executor)
        return rtci_error(RTC_E_INVALID,
                          "the handle of a task is the executor's: it is not shut down by "
                          "the task");
    *rtc = NULL;
    int rc = rtci_enter(r);
    if (rc == RTC_E_FORKED)
        return rc; /* the memory is the parent's business */
    if (rc == 0) {
        /* The daemon drops what this job still holds; only then the callbacks' memory goes. */
        struct rtci_rec bye = {.size = sizeof(bye), .type = RTCI_R_BYE};
        RTCI_IGNORE(rtci_send_record(r, &bye));
        rtci_leave(r);
    }
    int pid = r->daemon_pid;
    rtci_bridges_close(r);
    rtci_client_destroy(r);
    if (pid > 0)
        rtci_embedded_stop(pid);
    return 0;
}
