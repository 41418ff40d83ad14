/* Commands as tasks, the driver's side: what to run travels as one map. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/submit.h"

static int check_command(const struct rtc_command *c)
{
    if (!c || !c->argv || !c->argv[0] || !c->argv[0][0])
        return rtci_error(RTC_E_INVALID, "the command has no argv[0]");
    if ((c->n_env && !c->env) || (c->n_files && !c->files) || (c->n_collect && !c->collect) ||
        (c->stdin_size && !c->stdin_data))
        return rtci_error(RTC_E_INVALID, "the command has a count without its array");
    if (c->n_files % 2 != 0)
        return rtci_error(RTC_E_INVALID,
                          "files are pairs of name and content, but there are %zu values",
                          c->n_files);
    for (size_t i = 0; i < c->n_files; i += 2) {
        if (c->files[i].type != RTC_STRING)
            return rtci_error(RTC_E_TYPE, "files[%zu] is the name of a file: it must be str", i);
    }
    for (size_t i = 0; i < c->n_env; i++) {
        if (!c->env[i].key || !c->env[i].key[0] || strchr(c->env[i].key, '='))
            return rtci_error(RTC_E_INVALID, "env[%zu] has no usable name", i);
    }
    return 0;
}

static struct rtc_value text_or_nil(const char *text)
{
    return text ? rtc_str(text) : rtc_nil();
}

static int submit_command(struct rtc *rtc, const struct rtc_command *c,
                          const struct rtc_options *options, struct rtc_value *items, size_t n_argv,
                          rtc_ref *ret_ref)
{
    struct rtc_value *argv = items, *env = argv + n_argv, *collect = env + 2 * c->n_env;
    for (size_t i = 0; i < n_argv; i++)
        argv[i] = rtc_str(c->argv[i]);
    for (size_t i = 0; i < c->n_env; i++) {
        env[2 * i] = rtc_str(c->env[i].key);
        env[2 * i + 1] = text_or_nil(c->env[i].value);
    }
    for (size_t i = 0; i < c->n_collect; i++)
        collect[i] = rtc_str(c->collect[i]);
    char here[4096];
    const char *cwd = c->cwd ? c->cwd : getcwd(here, sizeof(here));
    struct rtc_value pairs[] = {
        rtc_str("argv"),       rtc_list(argv, n_argv),
        rtc_str("env"),        rtc_map(env, c->n_env),
        rtc_str("cwd"),        text_or_nil(cwd),
        rtc_str("stdin"),      rtc_bytes(c->stdin_data, c->stdin_size),
        rtc_str("files"),      rtc_map(c->files, c->n_files / 2),
        rtc_str("collect"),    rtc_list(collect, c->n_collect),
        rtc_str("output_max"), rtc_u64(c->output_max),
        rtc_str("fail"),       rtc_bool(c->fail_on_status),
    };
    struct rtc_value map = rtc_map(pairs, sizeof(pairs) / sizeof(pairs[0]) / 2);
    struct rtc_args args = {&map, 1};
    struct job job;
    RTCI_TRY(rtci_job_of(rtc, options, &job));
    if (job.n_returns != 1)
        return rtci_error(RTC_E_INVALID,
                          "a command has one result, but the options say returns = %u",
                          job.n_returns);
    job.flags |= RTCI_SPEC_COMMAND;
    if (!job.name) { /* `rtc list tasks` shows what runs */
        const char *slash = strrchr(c->argv[0], '/');
        job.name = slash && slash[1] ? slash + 1 : c->argv[0];
        job.name_len = (uint32_t)strnlen(job.name, RTCI_NAME_MAX);
        job.flags |= RTCI_SPEC_NAMED;
    }
    RTCI_TRY(rtci_submit_one(rtc, &job, &args, ret_ref));
    rtci_send(rtc);
    return 0;
}

int rtc_submit_command(struct rtc *rtc, const struct rtc_command *command,
                       const struct rtc_options *options, rtc_ref *ret_ref)
{
    if (!ret_ref)
        return rtci_error(RTC_E_INVALID, "ret_ref is NULL");
    RTCI_TRY(check_command(command));
    size_t n_argv = 0;
    while (command->argv[n_argv])
        n_argv++;
    size_t n = n_argv + 2 * command->n_env + command->n_collect;
    struct rtc_value few[32], *items = few;
    if (n > sizeof(few) / sizeof(few[0]) && !(items = malloc(n * sizeof(*items))))
        return rtci_error(RTC_E_NOMEM, "out of memory for a command");
    int rc = rtci_enter(rtc);
    if (rc == 0) {
        rc = submit_command(rtc, command, options, items, n_argv, ret_ref);
        rtci_leave(rtc);
    }
    if (items != few)
        free(items);
    return rc;
}

static int output_of(const struct rtc_value *map, const char *key, const char **ret_data,
                     size_t *ret_size)
{
    struct rtc_value v;
    const void *data;
    RTCI_TRY(rtc_value_find(map, key, &v));
    RTCI_TRY(rtc_value_bytes(&v, &data, ret_size));
    *ret_data = data;
    return 0;
}

int rtc_command_result_of(const struct rtc_value *value, struct rtc_command_result *ret_result)
{
    struct rtc_command_result r = {0};
    struct rtc_value v;
    int64_t x;
    if (!value || value->type != RTC_MAP)
        return rtci_error(RTC_E_TYPE, "the value is not the result of a command");
    RTCI_TRY(rtc_value_find(value, "exit", &v));
    RTCI_TRY(rtc_value_i64(&v, &x));
    r.exit_status = (int)x;
    RTCI_TRY(rtc_value_find(value, "signal", &v));
    RTCI_TRY(rtc_value_i64(&v, &x));
    r.signal = (int)x;
    RTCI_TRY(rtc_value_find(value, "seconds", &v));
    RTCI_TRY(rtc_value_f64(&v, &r.seconds));
    RTCI_TRY(output_of(value, "out", &r.out, &r.out_size));
    RTCI_TRY(output_of(value, "err", &r.err, &r.err_size));
    RTCI_TRY(rtc_value_find(value, "files", &r.files));
    *ret_result = r;
    return 0;
}
