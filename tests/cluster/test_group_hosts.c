/* Groups whose members are on several nodes: a head and two workers on this machine. Members are
 * tasks, and the driver, which is on the head's node. Every operation against a plain computation
 * in the order of ranks, to the bit; then what is said when somebody dies, leaves, aborts, or is
 * late. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <poll.h>
#include <rtc/group.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

static char dir[] = "/tmp/rtc-group-hosts-XXXXXX", address[160];
static struct rtc *rtc;

/* ---- Numbers ---- */
enum { DTYPES = 4 };
static const enum rtc_dtype dtypes[DTYPES] = {RTC_F32, RTC_F64, RTC_F16, RTC_BF16};

static size_t width(enum rtc_dtype dtype)
{
    return dtype == RTC_F64 ? 8 : dtype == RTC_F32 ? 4 : 2;
}

/* f16 and bf16: small multiples of a half, whose sums they have exactly. Others round. */
static double number(enum rtc_dtype dtype, uint32_t rank, size_t i)
{
    uint64_t x = (i * 2654435761u + rank * 40503u) ^ (i >> 7);
    if (dtype == RTC_F16 || dtype == RTC_BF16)
        return (double)(x % 16) / 2;
    return ((double)(x % 1000003) - 500000) / 7.0 * (rank % 2 ? 1e-4 : 1.0);
}

static uint16_t half_of(enum rtc_dtype dtype, double x)
{
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (dtype == RTC_BF16)
        return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    if (f == 0)
        return 0;
    uint32_t kept = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
    return (uint16_t)(sign | ((kept - (112u << 23) + 0xfff + (kept >> 13 & 1)) >> 13));
}

static void put(enum rtc_dtype dtype, void *at, size_t i, double x)
{
    if (dtype == RTC_F64)
        ((double *)at)[i] = x;
    else if (dtype == RTC_F32)
        ((float *)at)[i] = (float)x;
    else
        ((uint16_t *)at)[i] = half_of(dtype, x);
}

/* Element i of all ranks, in their order, rounded as it is to be. */
static void reduced(enum rtc_dtype dtype, enum rtc_reduction op, uint32_t size, size_t i, void *to,
                    size_t at)
{
    double d = number(dtype, 0, i);
    float f = (float)d;
    for (uint32_t r = 1; r < size; r++) {
        double y = number(dtype, r, i);
        d = op == RTC_MAX ? fmax(d, y) : d + y;
        f = op == RTC_MAX ? fmaxf(f, (float)y) : f + (float)y;
    }
    d = op == RTC_MEAN ? d / size : d;
    f = op == RTC_MEAN ? f / (float)size : f;
    put(dtype, to, at, dtype == RTC_F64 ? d : (double)f);
}

struct numbers {
    struct rtc_group *group;
    enum rtc_dtype dtype;
    size_t n;
    char *send, *recv, *want;
};

static char why_wrong[400];

static int fail_at(const char *what, const struct numbers *x, int op, int rc)
{
    snprintf(why_wrong, sizeof(why_wrong), "%s of %zu, dtype %d, op %d: %.200s", what, x->n,
             (int)x->dtype, op, rc < 0 ? rtc_last_error() : "wrong numbers");
    return -1000;
}

static int check_reductions(struct numbers *x, enum rtc_reduction op)
{
    uint32_t rank = rtc_group_rank(x->group), size = rtc_group_size(x->group);
    size_t w = width(x->dtype), n = x->n, part = n / size;
    for (size_t i = 0; i < n; i++)
        put(x->dtype, x->send, i, number(x->dtype, rank, i));
    for (size_t i = 0; i < n; i++)
        reduced(x->dtype, op, size, i, x->want, i);
    int rc = rtc_group_all_reduce(x->group, x->send, x->recv, n, x->dtype, op, RTC_S(60));
    if (rc < 0 || memcmp(x->recv, x->want, n * w) != 0)
        return fail_at("all-reduce", x, (int)op, rc);
    rc = rtc_group_reduce_scatter(x->group, x->send, x->recv, part, x->dtype, op, RTC_S(60));
    if (rc < 0 || memcmp(x->recv, x->want + rank * part * w, part * w) != 0)
        return fail_at("reduce-scatter", x, (int)op, rc);
    memcpy(x->recv, x->send, n * w); /* in place */
    char *own = x->recv + rank * part * w;
    rc = rtc_group_reduce_scatter(x->group, x->recv, own, part, x->dtype, op, RTC_S(60));
    if (rc < 0 || memcmp(own, x->want + rank * part * w, part * w) != 0)
        return fail_at("reduce-scatter in place", x, (int)op, rc);
    rc = rtc_group_all_reduce(x->group, x->send, x->send, n, x->dtype, op, RTC_S(60));
    if (rc < 0 || memcmp(x->send, x->want, n * w) != 0)
        return fail_at("all-reduce in place", x, (int)op, rc);
    return 0;
}

static int check_moves(struct numbers *x)
{
    uint32_t rank = rtc_group_rank(x->group), size = rtc_group_size(x->group);
    size_t w = width(x->dtype), part = x->n / size;
    for (uint32_t r = 0; r < size; r++) {
        for (size_t i = 0; i < part; i++)
            put(x->dtype, x->want, r * part + i, number(x->dtype, r, i));
    }
    memcpy(x->send, x->want + rank * part * w, part * w);
    int rc = rtc_group_all_gather(x->group, x->send, x->recv, part, x->dtype, RTC_S(60));
    if (rc < 0 || memcmp(x->recv, x->want, part * size * w) != 0)
        return fail_at("all-gather", x, 0, rc);
    memset(x->recv, 0, x->n * w);
    memcpy(x->recv + rank * part * w, x->send, part * w);
    rc = rtc_group_all_gather(x->group, x->recv + rank * part * w, x->recv, part, x->dtype,
                              RTC_S(60));
    if (rc < 0 || memcmp(x->recv, x->want, part * size * w) != 0)
        return fail_at("all-gather in place", x, 0, rc);
    for (uint32_t root = 0; root < size; root++) {
        for (size_t i = 0; i < x->n; i++) {
            put(x->dtype, x->want, i, number(x->dtype, root + 50, i));
            put(x->dtype, x->recv, i, number(x->dtype, rank + 50, i));
        }
        rc = rtc_group_broadcast(x->group, x->recv, x->n, x->dtype, root, RTC_S(60));
        if (rc < 0 || memcmp(x->recv, x->want, x->n * w) != 0)
            return fail_at("broadcast", x, (int)root, rc);
    }
    rc = rtc_group_barrier(x->group, RTC_S(60));
    return rc < 0 ? fail_at("barrier", x, 0, rc) : 0;
}

static int check_numbers(struct rtc_group *group, size_t n, int types)
{
    for (int d = 0; d < types; d++) {
        struct numbers x = {.group = group, .dtype = dtypes[d], .n = n};
        size_t bytes = (n + 1) * width(x.dtype);
        x.send = malloc(bytes), x.recv = malloc(bytes), x.want = malloc(bytes);
        int rc = x.send && x.recv && x.want ? 0 : RTC_E_NOMEM;
        for (int op = RTC_SUM; op <= RTC_MAX && rc == 0; op++)
            rc = check_reductions(&x, (enum rtc_reduction)op);
        rc = rc == 0 ? check_moves(&x) : rc;
        free(x.send), free(x.recv), free(x.want);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- Members ---- */
/* Until somebody stops it: all-reduces, after which `path` exists. */
static int go_on(struct rtc_group *group, const char *path, size_t n)
{
    float *x = calloc(n, sizeof(*x));
    int rc = x ? 0 : RTC_E_NOMEM;
    for (int i = 0; rc == 0; i++) {
        rc = rtc_group_all_reduce(group, x, x, n, RTC_F32, RTC_SUM, RTC_S(40));
        if (i == 1)
            close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    free(x);
    return rc;
}

static int do_it(struct rtc_group *group, const char *what, int64_t n, const char *path)
{
    uint32_t rank = rtc_group_rank(group);
    if (!strcmp(what, "numbers"))
        return check_numbers(group, (size_t)n, n > 1000000 ? 1 : DTYPES);
    if (!strcmp(what, "end"))
        return 0;
    if (!strcmp(what, "go on"))
        return go_on(group, path, (size_t)n);
    while (!strcmp(what, "fall")) { /* the keeper, and with it all processes of the host */
        kill(getppid(), SIGKILL);
        pause();
    }
    if (!strcmp(what, "abort"))
        return rtc_group_abort(group, "no more data");
    if (!strcmp(what, "barrier"))
        return rtc_group_barrier(group, RTC_S(30));
    if (!strcmp(what, "hurry"))
        return rtc_group_barrier(group, RTC_MS(1500));
    if (!strcmp(what, "sleep")) {
        while (access(path, F_OK) != 0)
            poll(NULL, 0, 1);
        return 0;
    }
    float x[8] = {0};
    return rtc_group_broadcast(group, x, 1 + rank % 2, RTC_F32, 0, RTC_S(30)); /* "differ" */
}

/* name, rank, size, what, n, path -> the sentence of what went wrong; "" = nothing. */
RTC_TASK(member)
{
    const char *name, *what, *path;
    int64_t rank, size, n;
    struct rtc_group *group = NULL;
    RTC_TRY(rtc_arg_str(call, 0, &name, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &rank));
    RTC_TRY(rtc_arg_i64(call, 2, &size));
    RTC_TRY(rtc_arg_str(call, 3, &what, NULL));
    RTC_TRY(rtc_arg_i64(call, 4, &n));
    RTC_TRY(rtc_arg_str(call, 5, &path, NULL));
    char text[600] = "", pid[32];
    snprintf(text, sizeof(text), "%s.%lld", path, (long long)rank);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    int fd = open(text, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, pid, strlen(pid)) < 0)
        return RTC_E_OS;
    close(fd);
    text[0] = 0;
    int rc = rtc_group_join(rtc_call_rtc(call), name, (uint32_t)rank, (uint32_t)size,
                            strcmp(what, "late") ? RTC_S(60) : RTC_MS(1500 + 2000 * rank), &group);
    if (rc == 0)
        rc = do_it(group, what, n, path);
    if (rc < 0)
        snprintf(text, sizeof(text), "%s: %s", rtc_error_name(rc),
                 rc == -1000 ? why_wrong : rtc_last_error());
    RTC_TRY(rtc_group_leave(&group));
    return rtc_return_str(call, text);
}

/* ---- A cluster ---- */
static pid_t head, workers[3];

static pid_t spawn(const char *const *argv)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void start_worker(int i)
{
    char line[96], state[96], name[16], label[32];
    snprintf(line, sizeof(line), "@%s/head/join", dir);
    snprintf(state, sizeof(state), "%s/w%d", dir, i);
    snprintf(name, sizeof(name), "w%d", i);
    snprintf(label, sizeof(label), "worker=w%d", i);
    const char *const argv[] = {getenv("RTC_BIN"), "worker", "--join",  line,  "--cpus",      "8",
                                "--name",          name,     "--label", label, "--state-dir", state,
                                "--store",         "512M",   NULL};
    workers[i] = spawn(argv);
}

static int set_up(void **state)
{
    (void)state;
    char socket[96], home[96], join[96];
    assert_non_null(getenv("RTC_BIN"));
    assert_non_null(mkdtemp(dir));
    snprintf(socket, sizeof(socket), "%s/socket", dir);
    snprintf(home, sizeof(home), "%s/head", dir);
    snprintf(join, sizeof(join), "%s/head/join", dir);
    snprintf(address, sizeof(address), "unix:%s", socket);
    const char *const argv[] = {
        getenv("RTC_BIN"), "head",   "--socket", socket,    "--state-dir", home, "--address",
        "127.0.0.1",       "--cpus", "8",        "--store", "512M",        NULL};
    head = spawn(argv);
    struct rtc_config config = {.address = address, .name = "groups", .quiet = true};
    while (access(join, F_OK) != 0 || rtc_init(NULL, NULL, &config, &rtc) != 0)
        poll(NULL, 0, 1);
    start_worker(1);
    start_worker(2);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    rtc_shutdown(&rtc);
    for (int i = 1; i < 3; i++) {
        kill(workers[i], SIGTERM);
        waitpid(workers[i], NULL, 0);
    }
    kill(head, SIGTERM);
    waitpid(head, NULL, 0);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* ---- A crew: where each rank is: 'h' the head's node, '1', '2' the workers', 'd' the driver ----
 */
#define MEMBERS 8
struct crew {
    char name[32], path[96];
    uint32_t size;
    rtc_ref refs[MEMBERS];
};

static void send_member(struct crew *crew, uint32_t rank, char where, const char *what, int64_t n)
{
    char worker[8];
    snprintf(worker, sizeof(worker), "w%c", where);
    const struct rtc_pair label = {"worker", worker};
    struct rtc_options options = {.labels = &label, .n_labels = 1, .retries = RTC_NO_RETRY};
    if (where == 'h')
        options = (struct rtc_options){.place = RTC_PLACE_NODE, .node = 1, .retries = RTC_NO_RETRY};
    if (rtc_submit(rtc, "member",
                   RTC_ARGS(rtc_str(crew->name), rtc_i64(rank), rtc_i64(crew->size), rtc_str(what),
                            rtc_i64(n), rtc_str(crew->path)),
                   &options, &crew->refs[rank]))
        fail_msg("%s", rtc_last_error());
}

static struct crew new_crew(uint32_t size)
{
    static int crews;
    struct crew crew = {.size = size};
    snprintf(crew.name, sizeof(crew.name), "crew%d", ++crews);
    snprintf(crew.path, sizeof(crew.path), "%s/crew%d", dir, crews);
    return crew;
}

static struct crew gather(const char *where, const char *what, int64_t n)
{
    struct crew crew = new_crew((uint32_t)strlen(where));
    for (uint32_t i = 0; i < crew.size; i++) {
        crew.refs[i] = (rtc_ref){0};
        if (where[i] != 'd')
            send_member(&crew, i, where[i], what, n);
    }
    return crew;
}

static void expect(struct crew *crew, uint32_t rank, const char *words)
{
    const char *text = NULL;
    struct rtc_value value;
    if (rtc_get(rtc, crew->refs[rank], RTC_S(100), &value))
        fail_msg("rank %u: %s", rank, rtc_last_error());
    text = value.as.bytes.data;
    if (words[0] ? !strstr(text, words) : text[0])
        fail_msg("rank %u says \"%s\", wanted \"%s\"", rank, text, words);
    assert_int_equal(rtc_release(rtc, crew->refs[rank]), 0);
}

static void all_say(struct crew *crew, const char *words)
{
    for (uint32_t i = 0; i < crew->size; i++) {
        if (crew->refs[i].client)
            expect(crew, i, words);
    }
}

static pid_t pid_of(const struct crew *crew, uint32_t rank)
{
    char path[128], text[32] = "";
    snprintf(path, sizeof(path), "%s.%u", crew->path, rank);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static void wait_for(const char *path)
{
    while (access(path, F_OK) != 0)
        poll(NULL, 0, 1);
}

/* ---- Tests ---- */
static void test_numbers(void **state)
{
    (void)state;
    static const char *const places[] = {"12", "1222", "1212", "1112", "h12", "2h1h21"};
    static const int64_t sizes[] = {0, 1, 7, 1000, 3001, 40007, 300001};
    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct crew crew = gather(places[p], "numbers", sizes[s]);
            all_say(&crew, "");
        }
    }
}

static void test_large(void **state)
{
    (void)state;
    struct crew crew = gather("1222", "numbers", (16 << 20) + 3); /* 64 MiB of f32 */
    all_say(&crew, "");
}

static void test_driver(void **state)
{
    (void)state;
    struct crew crew = gather("1d2", "numbers", 40007);
    struct rtc_group *group = NULL;
    if (rtc_group_join(rtc, crew.name, 1, 3, RTC_S(60), &group))
        fail_msg("%s", rtc_last_error());
    assert_int_equal(rtc_group_size(group), 3);
    assert_int_equal(check_numbers(group, 40007, DTYPES), 0);
    assert_int_equal(rtc_group_leave(&group), 0);
    all_say(&crew, "");
}

/* A member dies while all are at work: the others say who, wherever he was; then there is a new
 * group. */
static void death(const char *where, uint32_t victim, int64_t n)
{
    struct crew crew = gather(where, "go on", n);
    char words[64];
    wait_for(crew.path);
    pid_t pid = pid_of(&crew, victim);
    snprintf(words, sizeof(words), "rank %u (pid %d) died", victim, (int)pid);
    assert_int_equal(kill(pid, SIGKILL), 0);
    for (uint32_t i = 0; i < crew.size; i++) {
        if (i != victim)
            expect(&crew, i, words);
    }
    assert_int_equal(rtc_get(rtc, crew.refs[victim], RTC_S(60), NULL), RTC_E_CRASHED);
    assert_int_equal(rtc_release(rtc, crew.refs[victim]), 0);
    unlink(crew.path);
    for (uint32_t i = 0; i < crew.size; i++)
        send_member(&crew, i, where[i], "numbers", 1000);
    all_say(&crew, "");
}

static void test_deaths(void **state)
{
    (void)state;
    death("1122", 1, 10);      /* not a leader */
    death("1122", 2, 10);      /* a leader */
    death("1122", 3, 2000000); /* while large things are under way */
    death("12", 0, 2000000);
    death("h12", 2, 2000000);
}

static void test_worker_killed(void **state)
{
    (void)state;
    struct crew crew = gather("122", "go on", 300000);
    wait_for(crew.path);
    kill(workers[2], SIGKILL); /* the keeper: daemon and executors die with it */
    waitpid(workers[2], NULL, 0);
    expect(&crew, 0, "died");
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(rtc_get(rtc, crew.refs[i], RTC_S(60), NULL) < 0, 1);
        assert_int_equal(rtc_release(rtc, crew.refs[i]), 0);
    }
    start_worker(2);
    struct crew again = gather("122", "numbers", 1000);
    all_say(&again, "");
}

/* Nothing is heard of a host; its lease ends later than the timeout of the call. */
static void test_worker_silent(void **state)
{
    (void)state;
    struct crew crew = new_crew(2);
    send_member(&crew, 0, '1', "hurry", 0);
    send_member(&crew, 1, '2', "fall", 0);
    expect(&crew, 0, "did not come before the timeout of rank 0");
    waitpid(workers[2], NULL, 0);
    assert_true(rtc_get(rtc, crew.refs[1], RTC_S(60), NULL) < 0);
    assert_int_equal(rtc_release(rtc, crew.refs[1]), 0);
    start_worker(2);
}

static void test_abort(void **state)
{
    (void)state;
    struct crew crew = new_crew(4);
    send_member(&crew, 0, '1', "barrier", 0);
    send_member(&crew, 1, '1', "barrier", 0);
    send_member(&crew, 2, '2', "barrier", 0);
    send_member(&crew, 3, '2', "abort", 0);
    for (uint32_t i = 0; i < 3; i++)
        expect(&crew, i, "aborted: no more data");
    expect(&crew, 3, "");
}

static void test_leave(void **state)
{
    (void)state;
    struct crew crew = new_crew(4);
    send_member(&crew, 0, '1', "barrier", 0);
    send_member(&crew, 1, '1', "end", 0);
    send_member(&crew, 2, '2', "barrier", 0);
    send_member(&crew, 3, '2', "barrier", 0);
    for (uint32_t i = 0; i < 4; i++)
        expect(&crew, i, i == 1 ? "" : "rank 1 (pid ");
}

static void test_differ(void **state)
{
    (void)state;
    struct crew crew = gather("12", "differ", 0);
    all_say(&crew, "called a broadcast");
    struct crew mixed = new_crew(3);
    send_member(&mixed, 0, '1', "barrier", 0);
    send_member(&mixed, 1, '2', "differ", 0);
    send_member(&mixed, 2, '2', "differ", 0);
    all_say(&mixed, "called a b");
}

/* Who is late is named, though it is his host's leader that others hear of. */
static void test_late(void **state)
{
    (void)state;
    struct crew crew = new_crew(4);
    send_member(&crew, 0, '1', "hurry", 0);
    send_member(&crew, 1, '1', "hurry", 0);
    send_member(&crew, 2, '2', "hurry", 0);
    send_member(&crew, 3, '2', "sleep", 0);
    for (uint32_t i = 0; i < 3; i++)
        expect(&crew, i, "rank 3 (pid ");
    close(open(crew.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    expect(&crew, 3, "");
}

static void test_joins(void **state)
{
    (void)state;
    struct crew crew = new_crew(3);
    send_member(&crew, 0, '1', "late", 0);
    send_member(&crew, 1, '2', "late", 0);
    expect(&crew, 0, "rank 2 did not come");
    expect(&crew, 1, "rank 2 did not come");
    struct crew odd = new_crew(2);
    send_member(&odd, 0, '1', "barrier", 0);
    struct crew other = odd;
    other.size = 3;
    send_member(&other, 1, '2', "barrier", 0);
    expect(&other, 1, "rank 0 says that the group has 2 members, rank 1 says 3");
    send_member(&odd, 1, 'h', "barrier", 0);
    all_say(&odd, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_large),
        cmocka_unit_test(test_driver),        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_worker_killed), cmocka_unit_test(test_worker_silent),
        cmocka_unit_test(test_abort),         cmocka_unit_test(test_leave),
        cmocka_unit_test(test_differ),        cmocka_unit_test(test_late),
        cmocka_unit_test(test_joins),
    };
    /* In executors this never returns. */
    struct rtc *none = NULL;
    if (getenv("RTC_EXECUTOR"))
        return rtc_init(NULL, NULL, NULL, &none);
    return cmocka_run_group_tests_name("groups on several nodes", tests, set_up, tear_down);
}
