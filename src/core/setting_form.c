/* SPDX-License-Identifier: MIT */
#include "setting_form.h"

#include <string.h>

#include "network.h"
#include "target.h"
#include "when.h"

bool setting_word_ok(struct span s, const char *more, size_t max)
{
    for (size_t i = 0; i < s.n; i++)
        if (!byte_is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr(more, s.p[i])))
            return false;
    return s.n >= 1 && s.n <= max;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool port_ok(const char *text)
{
    uint64_t port;

    return span_to_u64(span_str(text), &port) == 0 && port <= UINT16_MAX;
}

/* host:port, where host is an IPv4 address, a name, or an IPv6 address in brackets. */
static bool listen_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    struct span host;

    if (!colon || !port_ok(colon + 1))
        return false;
    host = span_of(text, (size_t)(colon - text));
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        return setting_word_ok(span_of(host.p + 1, host.n - 2), ":.", 64);
    return setting_word_ok(host, ".-", 255);
}

/* The path goes into a struct sockaddr_un, which holds 108 bytes with the NUL: unix(7). */
static bool socket_ok(const char *text)
{
    const char *path = text + strlen(SETTING_UNIX);

    return *path == '/' && strlen(path) < 108 && path[strlen(path) - 1] != '/';
}

bool setting_listen_next(struct span *rest, struct span *one)
{
    do {
        if (!span_next_word(rest, ',', one))
            return false;
        while (one->n && *one->p == ' ')
            *one = span_of(one->p + 1, one->n - 1);
        while (one->n && one->p[one->n - 1] == ' ')
            one->n--;
    } while (one->n == 0);
    return true;
}

bool setting_listen_is_unix(struct span one)
{
    return one.n > strlen(SETTING_UNIX) && memcmp(one.p, SETTING_UNIX, strlen(SETTING_UNIX)) == 0;
}

static bool listens_ok(const char *text)
{
    struct span rest = span_str(text), one;
    char copy[SETTING_TEXT_MAX_BYTES + 1];
    unsigned count = 0;

    for (; setting_listen_next(&rest, &one); count++) {
        memcpy(copy, one.p, one.n);
        copy[one.n] = '\0';
        if (!(setting_listen_is_unix(one) ? socket_ok(copy) : listen_ok(copy)))
            return false;
    }
    return count > 0;
}

/* An octal number like "0660", as accepted by chmod(1). */
static bool mode_ok(const char *text)
{
    size_t n = strspn(text, "01234567");

    return text[n] == '\0' && (n == 3 || (n == 4 && *text == '0'));
}

bool setting_host_is_loopback(struct span host)
{
    return span_is(host, "localhost") || span_is(host, "[::1]") ||
           (starts(host.p, "127.") && strspn(host.p, "0123456789.") >= host.n);
}

static bool ends_in_port_zero(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    return colon && span_to_u64(span_str(colon + 1), &port) == 0 && port == 0;
}

/* A base URL without user info, query or fragment: requests append to it. The token is sent there,
 * so plain http is allowed only for this machine. */
static bool api_ok(const char *text)
{
    bool plain = starts(text, "http://");
    const char *host = text + (plain ? strlen("http://") : strlen("https://"));
    struct span authority, name;
    const char *port;

    if (!plain && !starts(text, "https://"))
        return false;
    if (strpbrk(text, "@?#\\ \"<>"))
        return false;
    authority = span_of(host, strcspn(host, "/"));
    name = authority;
    port = memrchr(authority.p, ':', authority.n);
    if (port && !memchr(port, ']', (size_t)(authority.p + authority.n - port)))
        name.n = (size_t)(port - name.p);
    if (name.n < authority.n) {
        uint64_t number;
        struct span digits = span_of(port + 1, authority.n - name.n - 1);

        if (span_to_u64(digits, &number) < 0 || number == 0 || number > UINT16_MAX)
            return false;
    }
    return setting_word_ok(name, ".-[]:", 255) && (!plain || setting_host_is_loopback(name));
}

/* A user and a password are not allowed, because they would appear in logs. */
static bool proxy_ok(const char *text)
{
    const char *authority = strstr(text, "://");

    if (strcmp(text, "env") == 0)
        return true;
    if (!authority || !(starts(text, "http://") || starts(text, "https://")))
        return false;
    authority += strlen("://");
    return !strchr(authority, '@') && listen_ok(authority) && !ends_in_port_zero(authority);
}

static bool redis_ok(const char *text)
{
    return strcmp(text, "embedded") == 0 || starts(text, "redis://") || starts(text, "rediss://") ||
           starts(text, "redis+sentinel://") || starts(text, "rediss+sentinel://") ||
           starts(text, "redis+cluster://") || starts(text, "rediss+cluster://") ||
           starts(text, "unix:///");
}

static bool name_ok(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            return false;
    return setting_word_ok(span_str(text), "_-", 64);
}

static bool env_ok(const char *text)
{
    return setting_word_ok(span_str(text), "_", 255) && (*text < '0' || *text > '9');
}

static bool sha256_ok(const char *text)
{
    return strlen(text) == 64 && text[strspn(text, "0123456789abcdefABCDEF")] == '\0';
}

static bool host_pattern_ok(const char *text)
{
    const char *host = starts(text, "*.") ? text + 2 : text;
    size_t n = strlen(host);

    return setting_word_ok(span_str(host), ".-_", HOST_MAX_BYTES) && host[0] != '.' &&
           host[n - 1] != '.' && !strstr(host, "..");
}

static bool web_ok(const char *text)
{
    const char *why;

    return (starts(text, "https://") || starts(text, "http://")) &&
           strlen(text) <= WHEN_URL_MAX_BYTES && url_check(span_str(text), &why) == 0;
}

/* A scheme (https:// is the default), a host pattern or an address, and a port: core/when.h. */
static bool origin_ok(const char *text)
{
    struct span url = span_str(text), host, name, rest;
    char pattern[HOST_MAX_BYTES + 1];
    const char *why;

    url_split(url, &host, &rest);
    name = host_name(host);
    if (rest.n || (strstr(text, "://") && !span_starts_nocase(url, "http://") &&
                   !span_starts_nocase(url, "https://")))
        return false;
    if (name.n < 3 || memcmp(name.p, "*.", 2) != 0)
        return url_check(url, &why) == 0;
    if (name.n > HOST_MAX_BYTES)
        return false;
    memcpy(pattern, name.p, name.n);
    pattern[name.n] = '\0';
    return host_pattern_ok(pattern) && (name.n == host.n || port_ok(name.p + name.n + 1));
}

/* There must be a "=" with something before it, also after "header:". */
static bool condition_ok(const char *text)
{
    const char *name = starts(text, "header:") ? text + strlen("header:") : text;

    return *name != '=' && strchr(name, '=');
}

static bool printable(enum setting_form form, const char *text)
{
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < 0x20 || *c == 0x7f) && !(*c == '\n' && form == SETTING_FORM_LINES))
            return false;
    return true;
}

static bool looks_right(enum setting_form form, const char *text)
{
    struct network network;
    const char *why;

    switch (form) {
    case SETTING_FORM_ANY:
    case SETTING_FORM_LINES:
    case SETTING_FORM_TEMPLATE:
        return true;
    case SETTING_FORM_URL:
        return (starts(text, "https://") || starts(text, "http://")) &&
               url_check(span_str(text), &why) == 0;
    case SETTING_FORM_KEY:
        return key_check(span_str(text), &why) == 0;
    case SETTING_FORM_REDIS:
        return redis_ok(text);
    case SETTING_FORM_LISTEN:
        return listens_ok(text);
    case SETTING_FORM_MODE:
        return mode_ok(text);
    case SETTING_FORM_GROUP:
        return setting_word_ok(span_str(text), "_.-", 64) && *text != '-';
    case SETTING_FORM_NETWORK:
        return !strchr(text, '%') && network_parse(span_str(text), &network) == 0;
    case SETTING_FORM_PATH:
        return *text == '/';
    case SETTING_FORM_NAME:
    case SETTING_FORM_ACCOUNT:
        return name_ok(text);
    case SETTING_FORM_API:
        return api_ok(text);
    case SETTING_FORM_WEB:
        return web_ok(text);
    case SETTING_FORM_PROXY:
        return proxy_ok(text);
    case SETTING_FORM_ENV:
        return env_ok(text);
    case SETTING_FORM_SERVICE:
        return strlen(text) <= SERVICE_NAME_MAX_BYTES;
    case SETTING_FORM_SHA256:
        return sha256_ok(text);
    case SETTING_FORM_HEADER: /* a token of RFC 9110, section 5.6.2 */
        return setting_word_ok(span_str(text), "!#$%&'*+-.^_`|~", 256);
    case SETTING_FORM_HOST:
        return setting_word_ok(span_str(text), ".-:[]", 255);
    case SETTING_FORM_HOST_PATTERN:
        return host_pattern_ok(text);
    case SETTING_FORM_ORIGIN:
        return origin_ok(text);
    case SETTING_FORM_CONDITION:
        return condition_ok(text);
    }
    return false;
}

bool setting_form_ok(enum setting_form form, const char *text)
{
    return *text && strlen(text) <= SETTING_TEXT_MAX_BYTES && printable(form, text) &&
           looks_right(form, text);
}

/* -- descriptions for users -- */

static const struct {
    const char *one, *many; /* NULL: no setting is a list of it */
} words[] = {
    [SETTING_FORM_ANY] = {"text", NULL},
    [SETTING_FORM_LINES] = {"text", NULL},
    [SETTING_FORM_REDIS] =
        {"embedded, redis://[user:password@]host:port/db, rediss://..., "
         "redis+sentinel://host:port,host:port/master, redis+cluster://host:port,host:port or "
         "unix:///path",
         NULL},
    [SETTING_FORM_LISTEN] = {"addresses like 127.0.0.1:8126, [::1]:8126 or unix:/path, "
                             "comma-separated or as a list",
                             NULL},
    [SETTING_FORM_MODE] = {"permissions in octal, like 0660", NULL},
    [SETTING_FORM_GROUP] = {"the name of a group", NULL},
    [SETTING_FORM_NETWORK] =
        {"an address like 10.1.2.3, a network like 10.1.0.0/16 or fd00::/8, or unix",
         "addresses, networks like 10.1.0.0/16 or fd00::/8, and unix"},
    [SETTING_FORM_PATH] = {"a path that starts with /", NULL},
    [SETTING_FORM_NAME] = {"1 to 64 of a-z, 0-9, _ and -", NULL},
    [SETTING_FORM_ACCOUNT] = {"the name of an account", "names of accounts"},
    [SETTING_FORM_API] = {"https://host, or http:// to this machine's own loopback", NULL},
    [SETTING_FORM_WEB] = {"a URL with https:// or http://", NULL},
    [SETTING_FORM_PROXY] = {"http://host:port or https://host:port without user and password, or "
                            "env",
                            NULL},
    [SETTING_FORM_ENV] = {"the name of an environment variable", NULL},
    [SETTING_FORM_SERVICE] = {"a service's id or name", "ids or names of services"},
    [SETTING_FORM_SHA256] = {"64 hex digits", NULL},
    [SETTING_FORM_HEADER] = {"the name of a header", NULL},
    [SETTING_FORM_HOST] = {"a host name", "host names"},
    [SETTING_FORM_HOST_PATTERN] = {"a host like www.example.com or *.example.com",
                                   "hosts like www.example.com or *.example.com"},
    [SETTING_FORM_ORIGIN] = {"a host like origin.example.com:8443, *.example.com or "
                             "http://10.0.0.5:8080",
                             "hosts like origin.example.com:8443, *.example.com or "
                             "http://10.0.0.5:8080"},
    [SETTING_FORM_CONDITION] = {"a condition like path=value or header:name=value",
                                "conditions like path=value or header:name=value"},
    [SETTING_FORM_URL] = {"a URL like https://www.example.com/page", NULL},
    [SETTING_FORM_KEY] = {"a surrogate key: up to 1024 bytes without spaces", NULL},
    [SETTING_FORM_TEMPLATE] = {"a template", "templates"},
};

const char *setting_form_one(enum setting_form form)
{
    return words[form].one;
}

const char *setting_form_many(enum setting_form form)
{
    must(words[form].many != NULL);
    return words[form].many;
}
