#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/net/frames.h"
#include "runtime/net/sockets.h"

#define ID_DIGITS     8u
#define SECRET_DIGITS 32u

static bool digits(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)text[i])) /* the end, too */
            return false;
    return true;
}

static bool token_is_one(const char *token)
{
    return digits(token, ID_DIGITS) && token[ID_DIGITS] == '.' &&
           digits(token + ID_DIGITS + 1, SECRET_DIGITS) &&
           token[ID_DIGITS + 1 + SECRET_DIGITS] == '\0';
}

/* host:port, or [host]:port with an IPv6 host. */
static const char *address_wrong(const char *at, size_t size)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    char text[RTCI_ADDRESS_MAX];
    if (size >= sizeof(text))
        return "is too long";
    memcpy(text, at, size);
    text[size] = '\0';
    size_t host =
        text[0] == '[' ? strspn(text + 1, "0123456789abcdefABCDEF:.%") + 2 : strspn(text, name);
    bool bracket = text[0] == '[';
    if (bracket ? (host > size || text[host - 1] != ']' || host == 2) : host == 0)
        return "has no host";
    if (text[host] != ':')
        return host == size ? "has no port" : "has a host that is none";
    const char *port = text + host + 1;
    size_t n = strspn(port, "0123456789");
    unsigned long number = strtoul(port, NULL, 10);
    if (n == 0 || n > 5 || port[n] != '\0' || number < 1 || number > 65535)
        return "has a port that is none";
    return NULL;
}

static int parse_addresses(const char *at, size_t size, struct rtci_join *join, char *text,
                           size_t text_size)
{
    if (size >= sizeof(join->addresses))
        return rtci_net_sentence(text, text_size, RTC_E_INVALID,
                                 "its addresses are longer than %d characters",
                                 RTCI_ADDRESS_MAX - 1);
    for (const char *end; size > 0; at = end + 1) {
        end = memchr(at, ',', size);
        size_t n = end ? (size_t)(end - at) : size;
        const char *wrong = n ? address_wrong(at, n) : "is empty";
        if (!wrong && end && n + 1 == size)
            wrong = "is followed by nothing";
        if (wrong)
            return rtci_net_sentence(text, text_size, RTC_E_INVALID, "its address '%.*s' %s",
                                     (int)(n < 200 ? n : 200), at, wrong);
        size -= end ? n + 1 : n;
        if (!end)
            break;
    }
    return 0;
}

int rtci_join_parse(const char *line, struct rtci_join *ret_join, char *ret_text, size_t size)
{
    static const char prefix[] = "rtc1:";
    memset(ret_join, 0, sizeof(*ret_join));
    size_t n = strlen(line);
    while (n > 0 && isspace((unsigned char)line[n - 1])) /* of a line that was pasted */
        n--;
    if (n < sizeof(prefix) - 1 || memcmp(line, prefix, sizeof(prefix) - 1) != 0)
        return rtci_net_sentence(ret_text, size, RTC_E_INVALID, "it does not begin with '%s'",
                                 prefix);
    const char *begin = line + sizeof(prefix) - 1, *end = line + n;
    const char *token = memrchr(begin, ':', (size_t)(end - begin));
    const char *key = token ? memrchr(begin, ':', (size_t)(token - begin)) : NULL;
    if (!key || (size_t)(end - token) > RTCI_TOKEN_MAX)
        return rtci_net_sentence(ret_text, size, RTC_E_INVALID,
                                 "it is cut off: rtc1:HOST:PORT:KEY:TOKEN is wanted");
    memcpy(ret_join->token, token + 1, (size_t)(end - token) - 1);
    if (!token_is_one(ret_join->token))
        return rtci_net_sentence(ret_text, size, RTC_E_INVALID,
                                 "its end is no token (%u hexadecimal digits, a dot, %u more): it "
                                 "is cut off, or has a slip in it",
                                 ID_DIGITS, SECRET_DIGITS);
    size_t hex = (size_t)(token - key) - 1;
    if (hex != 2 * (size_t)RTCI_KEY_BYTES || !digits(key + 1, hex) ||
        sodium_hex2bin(ret_join->server, RTCI_KEY_BYTES, key + 1, hex, NULL, NULL, NULL) != 0)
        return rtci_net_sentence(ret_text, size, RTC_E_INVALID,
                                 "its key is not 64 hexadecimal digits");
    if (key == begin)
        return rtci_net_sentence(ret_text, size, RTC_E_INVALID, "it has no address");
    int rc = parse_addresses(begin, (size_t)(key - begin), ret_join, ret_text, size);
    if (rc == 0)
        memcpy(ret_join->addresses, begin, (size_t)(key - begin));
    return rc;
}

int rtci_join_read(const char *path, bool own, char *ret_line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (own ? O_NOFOLLOW : 0));
    ssize_t n = fd < 0 ? -1 : read(fd, ret_line, size - 1);
    int err = n < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    ret_line[n > 0 ? n : 0] = 0;
    ret_line[strcspn(ret_line, "\n")] = 0;
    return -err;
}

void rtci_join_format(const struct rtci_join *join, char *ret_line, size_t size)
{
    char key[65];
    rtci_key_text(join->server, key);
    snprintf(ret_line, size, "rtc1:%s:%s:%s", join->addresses, key, join->token);
}

void rtci_token_new(char ret_token[RTCI_TOKEN_MAX])
{
    uint8_t bytes[(ID_DIGITS + SECRET_DIGITS) / 2];
    char hex[sizeof(bytes) * 2 + 1];
    RTCI_ASSERT(sodium_init() >= 0);
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2hex(hex, sizeof(hex), bytes, sizeof(bytes));
    snprintf(ret_token, RTCI_TOKEN_MAX, "%.*s.%s", (int)ID_DIGITS, hex, hex + ID_DIGITS);
    sodium_memzero(bytes, sizeof(bytes));
    sodium_memzero(hex, sizeof(hex));
}

bool rtci_token_split(const char *token, char ret_id[16], uint8_t ret_hash[32])
{
    uint8_t secret[SECRET_DIGITS / 2];
    if (!token_is_one(token))
        return false;
    RTCI_ASSERT(sodium_init() >= 0);
    memset(ret_id, 0, 16);
    memcpy(ret_id, token, ID_DIGITS);
    bool ok = sodium_hex2bin(secret, sizeof(secret), token + ID_DIGITS + 1, SECRET_DIGITS, NULL,
                             NULL, NULL) == 0 &&
              crypto_generichash(ret_hash, 32, secret, sizeof(secret), NULL, 0) == 0;
    sodium_memzero(secret, sizeof(secret));
    return ok;
}
