/* The plugin "hparams" reads three values without steps: which parameters and metrics there are,
 * what they were in this run, and how it ended. Each is a message within the metadata of its
 * summary. */
#include <errno.h>
#include <string.h>

#include "actors/report/record.h"

/* Summary.Value: metadata { plugin_data { plugin_name, content } }, tensor (an empty float). What
 * was put is the HParamsPluginData without its version. */
static int end_plugin(struct report_tb *tb, const char *tag, size_t content_end, size_t value_end,
                      double wall_time)
{
    tb_wrap(tb, 2, content_end); /* content */
    tb_put_string(tb, 1, "hparams");
    tb_wrap(tb, 1, value_end);
    tb_wrap(tb, 9, value_end);
    size_t tensor_end = tb->at;
    tb_put_int(tb, 1, 1); /* DT_FLOAT */
    tb_wrap(tb, 8, tensor_end);
    return tb_end_value(tb, tag, 0, wall_time);
}

static void put_metric(struct report_tb *tb, const char *tag)
{
    size_t end = tb->at;
    tb_put_string(tb, 2, tag);
    tb_wrap(tb, 1, end);
    tb_wrap(tb, 5, end);
}

/* HParamInfo; types: 1 string, 2 bool, 3 float64. */
static void put_info(struct report_tb *tb, const struct report_tb_hparam *h)
{
    static const uint64_t types[] = {3, 1, 2};
    size_t end = tb->at;
    tb_put_int(tb, 4, types[h->kind]);
    tb_put_string(tb, 1, h->name);
    tb_wrap(tb, 4, end);
}

/* An entry of map<string, google.protobuf.Value>. */
static void put_value(struct report_tb *tb, const struct report_tb_hparam *h)
{
    size_t end = tb->at;
    if (h->kind == REPORT_TB_NUMBER)
        tb_put_double(tb, 2, h->number);
    else if (h->kind == REPORT_TB_STRING)
        tb_put_string(tb, 3, h->string);
    else
        tb_put_int(tb, 4, h->number != 0);
    tb_wrap(tb, 2, end);
    tb_put_string(tb, 1, h->name);
    tb_wrap(tb, 1, end);
}

static int experiment(struct report_tb *tb, double wall_time, size_t payload,
                      const struct report_tb_hparam *hparams, size_t n, const char *const *metrics,
                      size_t n_metrics)
{
    static const char tag[] = "_hparams_/experiment";
    int r = tb_begin_value(tb, tag, payload);
    if (r < 0)
        return r;
    size_t end = tb->at;
    for (size_t i = n_metrics; i-- > 0;)
        put_metric(tb, metrics[i]);
    for (size_t i = n; i-- > 0;)
        put_info(tb, &hparams[i]);
    tb_put_double(tb, 3, wall_time);
    tb_wrap(tb, 2, end);
    return end_plugin(tb, tag, end, end, wall_time);
}

static int session(struct report_tb *tb, double wall_time, size_t payload,
                   const struct report_tb_hparam *hparams, size_t n)
{
    static const char tag[] = "_hparams_/session_start_info";
    int r = tb_begin_value(tb, tag, payload);
    if (r < 0)
        return r;
    size_t end = tb->at;
    tb_put_double(tb, 5, wall_time);
    for (size_t i = n; i-- > 0;)
        put_value(tb, &hparams[i]);
    tb_wrap(tb, 3, end);
    return end_plugin(tb, tag, end, end, wall_time);
}

int report_tb_hparams(struct report_tb *tb, double wall_time,
                      const struct report_tb_hparam *hparams, size_t n, const char *const *metrics,
                      size_t n_metrics)
{
    size_t payload = 0; /* 64: keys, lengths and numbers of one */
    for (size_t i = 0; i < n; i++)
        payload += 64 + strlen(hparams[i].name) +
                   (hparams[i].kind == REPORT_TB_STRING ? strlen(hparams[i].string) : 0);
    for (size_t i = 0; i < n_metrics; i++)
        payload += 64 + strlen(metrics[i]);
    if (payload > REPORT_TB_TEXT_MAX)
        return -EMSGSIZE;
    int r = experiment(tb, wall_time, payload, hparams, n, metrics, n_metrics);
    return r < 0 ? r : session(tb, wall_time, payload, hparams, n);
}

int report_tb_hparams_end(struct report_tb *tb, double wall_time, int ok)
{
    static const char tag[] = "_hparams_/session_end_info";
    int r = tb_begin_value(tb, tag, 0);
    if (r < 0)
        return r;
    size_t end = tb->at;
    tb_put_double(tb, 2, wall_time);
    tb_put_int(tb, 1, ok ? 1 : 2); /* STATUS_SUCCESS, STATUS_FAILURE */
    tb_wrap(tb, 4, end);
    return end_plugin(tb, tag, end, end, wall_time);
}
