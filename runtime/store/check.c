#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/store/internal.h"

static void mark(void *arg, uint64_t next)
{
    volatile struct rtci_check_result *result = arg;
    result->next = next;
}

static void damaged(MDB_env *env, const char *message)
{
    (void)env, (void)message;
    _exit(1); /* instead of abort and a message on stderr */
}

static int look(const char *path, uint64_t map_bytes, enum rtci_file_kind kind,
                struct rtci_check_result *shared)
{
    struct rtci_file file = {0};
    struct rtci_file_head head;
    if (rtci_file_open(&file, path, map_bytes, RTCI_FILE_READ))
        return 1;
    mdb_env_set_assert(file.env, damaged);
    if (rtci_file_head(&file, kind, &head))
        return 1;
    shared->next = head.first;
    shared->readable = true;
    struct rtci_file_walk walk = {
        .from = head.first, .until = UINT64_MAX, .arg = shared, .mark = mark};
    return rtci_file_walk(&file, &walk) || walk.damage;
}

int rtci_check(const char *path, uint64_t map_bytes, enum rtci_file_kind kind, int lock,
               struct rtci_check_result *ret_result)
{
    struct rtci_check_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return errno;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        munmap(shared, sizeof(*shared));
        return errno;
    }
    if (pid == 0) {
        const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
        for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
            signal(crashes[i], SIG_DFL);
        prctl(PR_SET_DUMPABLE, 0); /* a crash here is an answer, not worth a core file */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(lock); /* must not outlive the head */
        _exit(look(path, map_bytes, kind, shared));
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *ret_result = *shared;
    ret_result->whole = status == 0;
    munmap(shared, sizeof(*shared));
    return 0;
}
