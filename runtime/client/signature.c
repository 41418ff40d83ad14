/* Signatures: "i64,f64->i64". Types are those of rtc_type_name() and "any"; "..." at the end of the
 * arguments lets any more follow. Without "->" the returns are not declared. */
#include <stdio.h>
#include <string.h>

#include "runtime/client/client.h"

/* The next type of a comma list that ends at `end`; false at its end. */
static bool next_type(const char **at_inout, const char *end, const char **ret_type,
                      size_t *ret_len)
{
    const char *at = *at_inout;
    while (at < end && (*at == ' ' || *at == ','))
        at++;
    if (at == end)
        return false;
    const char *begin = at;
    while (at < end && *at != ',' && *at != ' ')
        at++;
    *ret_type = begin;
    *ret_len = (size_t)(at - begin);
    *at_inout = at;
    return true;
}

static bool is(const char *type, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(type, name, len) == 0;
}

static bool fits(const char *type, size_t len, const struct rtc_value *value)
{
    if (is(type, len, "any") || is(type, len, rtc_type_name(value->type)))
        return true;
    if (is(type, len, "f64"))
        return value->type == RTC_INT || value->type == RTC_UINT;
    if (is(type, len, "u64"))
        return value->type == RTC_INT && value->as.i >= 0;
    return false;
}

static const char *arguments_end(const char *signature)
{
    const char *arrow = strstr(signature, "->");
    return arrow ? arrow : signature + strlen(signature);
}

int rtci_signature_returns(const char *signature)
{
    const char *arrow = signature ? strstr(signature, "->") : NULL;
    if (!arrow)
        return -1;
    const char *at = arrow + 2, *end = at + strlen(at), *type;
    size_t len;
    int n = 0;
    while (next_type(&at, end, &type, &len))
        n++;
    return n;
}

bool rtci_signature_wants_ref(const char *signature, size_t i)
{
    const char *at = signature, *end = arguments_end(signature), *type;
    size_t len;
    for (size_t k = 0; next_type(&at, end, &type, &len); k++) {
        if (k == i)
            return is(type, len, "ref");
    }
    return false;
}

int rtci_signature_check(const struct rtc_task_def *def, const struct rtc_value *args, size_t n,
                         uint32_t returns)
{
    if (!def->signature)
        return 0;
    const char *at = def->signature, *end = arguments_end(at), *type;
    size_t len, i = 0;
    bool more = false;
    for (; next_type(&at, end, &type, &len); i++) {
        if (is(type, len, "...")) {
            more = true;
            break;
        }
        if (i >= n)
            return rtci_error(RTC_E_TYPE, "\"%s\" is declared \"%s\", but got only %zu argument%s",
                              def->name, def->signature, n, n == 1 ? "" : "s");
        /* What a reference will resolve to is seen when the task reads it. */
        if (args[i].type != RTC_REF && !fits(type, len, &args[i]))
            return rtci_error(
                RTC_E_TYPE, "\"%s\" is declared \"%s\": argument %zu must be %.*s, but is %s",
                def->name, def->signature, i, (int)len, type, rtc_type_name(args[i].type));
    }
    if (!more && i < n)
        return rtci_error(RTC_E_TYPE, "\"%s\" is declared \"%s\", but got %zu arguments", def->name,
                          def->signature, n);
    int declared = rtci_signature_returns(def->signature);
    if (declared > 1 && (uint32_t)declared != returns)
        return rtci_error(RTC_E_RETURNS,
                          "\"%s\" is declared \"%s\": it returns %d values, but the options say "
                          "returns = %u",
                          def->name, def->signature, declared, returns);
    if (declared >= 0 && declared <= 1 && returns != 1)
        return rtci_error(RTC_E_RETURNS,
                          "\"%s\" is declared \"%s\", but the options say returns = %u", def->name,
                          def->signature, returns);
    return 0;
}

int rtci_signature_check_returns(const struct rtc_task_def *def, size_t i,
                                 const struct rtc_value *value)
{
    const char *arrow = def->signature ? strstr(def->signature, "->") : NULL;
    if (!arrow)
        return 0;
    const char *at = arrow + 2, *end = at + strlen(at), *type;
    size_t len;
    for (size_t k = 0; next_type(&at, end, &type, &len); k++) {
        if (k == i && !fits(type, len, value))
            return rtci_error(
                RTC_E_TYPE, "\"%s\" is declared \"%s\": return value %zu must be %.*s, but is %s",
                def->name, def->signature, i, (int)len, type, rtc_type_name(value->type));
    }
    return 0;
}
