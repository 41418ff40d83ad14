/* Which backend is used, and what is said when one cannot be. test_choice WORKER OLD_WORKER; the
 * second was built for a SUMO that nobody has. Without arguments: there is no libsumo here. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sumo/nets.h"

static const char *worker, *old_worker;
static struct net nets[NETS_MAX];
static char why[SUMO_WHY_MAX];

static void says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static struct sumo_options choose(enum sumo_backend backend, const char *binary)
{
    struct sumo_options options = net_options(&nets[0], backend, 1);
    options.worker_binary = binary;
    return options;
}

static void check_choice(struct sumo_options options, enum sumo_backend want, const char *report)
{
    struct sumo_sim *sim;
    if (sumo_sim_open(&options, &sim, why) != 0)
        fail_msg("%s", why);
    assert_int_equal(sumo_sim_backend(sim), want);
    says(sumo_sim_report(sim), report);
    assert_int_equal(sumo_sim_step(sim, 0), 0);
    sumo_sim_close(&sim);
}

static void takes_libsumo_where_it_fits(void **state)
{
    (void)state;
    if (!worker)
        skip();
    check_choice(choose(SUMO_AUTO, worker), SUMO_LIBSUMO, "backend libsumo, SUMO ");
    check_choice(choose(SUMO_TRACI, worker), SUMO_TRACI, "not libsumo: asked for");
}

static void refuses_another_version(void **state)
{
    (void)state;
    struct sumo_sim *sim;
    if (!old_worker)
        skip();
    struct sumo_options options = choose(SUMO_LIBSUMO, old_worker);
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_UNSUPPORTED);
    says(why, "SUMO 0.0.1");
    says(why, "traci");
    check_choice(choose(SUMO_AUTO, old_worker), SUMO_TRACI, "built for 'SUMO 0.0.1'");
    check_choice(choose(SUMO_AUTO, worker), SUMO_LIBSUMO,
                 "backend libsumo"); /* the other one still will do */
}

static void does_without_a_worker(void **state)
{
    (void)state;
    struct sumo_sim *sim;
    struct sumo_options options = choose(SUMO_LIBSUMO, "/nonexistent/worker");
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_UNSUPPORTED);
    says(why, "/nonexistent/worker");
    says(why, "traci");
    check_choice(choose(SUMO_AUTO, "/nonexistent/worker"), SUMO_TRACI, "/nonexistent/worker");
    options.worker_binary = "/bin/false"; /* is one, but not ours */
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_UNSUPPORTED);
    says(why, "/bin/false");
    says(why, "ended with status 1");
}

static void says_that_sumo_is_missing(void **state)
{
    (void)state;
    struct sumo_sim *sim;
    struct sumo_options options = choose(SUMO_TRACI, NULL);
    options.sumo_binary = "/nonexistent/sumo";
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_NOT_FOUND);
    says(why, "/nonexistent/sumo");
    says(why, "install SUMO");
    options.sumo_binary = "/bin/true"; /* is not SUMO */
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_CRASHED);
    says(why, "ended with status 0");
    options = choose(SUMO_LIBSUMO, worker);
    options.gui = true;
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_INVALID);
    says(why, "no window");
}

/* A window is sumo-gui's, over TraCI. There is none here: what is said of that, and a stand-in that
 * does not mind what only sumo-gui is told. */
static void opens_a_window(void **state)
{
    (void)state;
    struct sumo_sim *sim;
    struct sumo_options options = choose(SUMO_AUTO, worker);
    options.gui = true;
    setenv("RTC_SUMO_GUI_BINARY", "/nonexistent/sumo-gui", 1);
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_NOT_FOUND);
    says(why, "/nonexistent/sumo-gui");
    says(why, "RTC_SUMO_GUI_BINARY");
    const char *stand_in =
        test_file("sumo-gui", "#!/bin/sh\n"
                              "for a; do shift; case $a in\n"
                              "--start|--quit-on-end) skip=1;;\n"
                              "*) [ \"$skip\" ] || set -- \"$@\" \"$a\"; skip=;;\n"
                              "esac; done\nexec sumo \"$@\"\n");
    assert_int_equal(chmod(stand_in, 0700), 0);
    setenv("RTC_SUMO_GUI_BINARY", stand_in, 1);
    check_choice(options, SUMO_TRACI, "not libsumo: a window is wanted");
    stand_in = test_file("sumo-gui", "#!/bin/sh\n"
                                     "echo 'FXApp::openDisplay: unable to open display :77' >&2\n"
                                     "exit 1\n");
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_COMMAND);
    says(why, "set DISPLAY");
    says(why, nets[0].sumocfg);
    unsetenv("RTC_SUMO_GUI_BINARY");
}

/* The worker's server is this process's child of that name. */
static pid_t server_pid(void)
{
    char line[4096] = "", name[64];
    FILE *pids = popen("ps -o pid=,ppid=,comm= -A", "r");
    pid_t found = 0;
    while (pids && fgets(line, sizeof(line), pids)) {
        int pid, parent;
        if (sscanf(line, "%d %d %63s", &pid, &parent, name) == 3 && parent == getpid() &&
            strcmp(name, "rtc-sumo-worker") == 0)
            found = pid;
    }
    if (pids)
        pclose(pids);
    return found;
}

static void survives_the_death_of_its_server(void **state)
{
    (void)state;
    struct sumo_options options = choose(SUMO_LIBSUMO, worker);
    struct sumo_sim *one, *two;
    if (!worker)
        skip();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sumo_sim_open(&options, &one, why), 0);
        pid_t server = server_pid();
        assert_true(server > 0 && server != sumo_sim_pid(one));
        assert_int_equal(kill(server, SIGKILL), 0);
        assert_int_equal(sumo_sim_step(one, 0), 0);
        if (sumo_sim_open(&options, &two, why) != 0)
            fail_msg("%s", why);
        assert_int_equal(sumo_sim_step(one, 0), 0);
        assert_int_equal(sumo_sim_step(two, 0), 0);
        sumo_sim_close(&one);
        sumo_sim_close(&two);
        assert_true(kill(server, 0) != 0 && errno == ESRCH);
    }
    assert_int_equal(simulators_left(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_libsumo_where_it_fits),
        cmocka_unit_test(refuses_another_version),
        cmocka_unit_test(does_without_a_worker),
        cmocka_unit_test(says_that_sumo_is_missing),
        cmocka_unit_test(opens_a_window),
        cmocka_unit_test(survives_the_death_of_its_server),
    };
    unsetenv("SUMO_HOME");
    const char *missing = backend_missing(SUMO_TRACI);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    worker = argc > 1 ? argv[1] : NULL;
    old_worker = argc > 2 ? argv[2] : NULL;
    nets_find(nets);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
