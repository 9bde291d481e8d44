/* SPDX-License-Identifier: MIT */
#include "setting_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "target.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Every byte a letter, a digit or one of `more`, and 1 to `max` of them. */
static bool word_ok(struct span s, const char *more, size_t max)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr(more, s.p[i])))
            return false;
    return s.n >= 1 && s.n <= max;
}

static bool printable(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
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

/* host:port with the host an IPv4 address, a name or an IPv6 address in brackets. */
static bool listen_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    struct span host;

    if (!*text)
        return true;
    if (!colon || !port_ok(colon + 1))
        return false;
    host = span_of(text, (size_t)(colon - text));
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        return word_ok(span_of(host.p + 1, host.n - 2), ":.", 64);
    return word_ok(host, ".-", 255);
}

/* The numbers and names that always mean this machine. */
static bool loopback(struct span host)
{
    return span_is(host, "localhost") || span_is(host, "[::1]") ||
           (starts(host.p, "127.") && strspn(host.p, "0123456789.") >= host.n);
}

/* A base URL without user info, query or fragment: requests append to it. The token travels there,
 * so plain http is for this machine only. */
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
    return word_ok(name, ".-[]:", 255) && (!plain || loopback(name));
}

static bool redis_ok(const char *text)
{
    return strcmp(text, "embedded") == 0 || starts(text, "redis://") || starts(text, "rediss://") ||
           starts(text, "unix:///");
}

static bool account_ok(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            return false;
    return word_ok(span_str(text), "_-", 64);
}

static bool form_ok(enum setting_form form, const char *text)
{
    switch (form) {
    case SETTING_FORM_ANY:
        return true;
    case SETTING_FORM_REDIS:
        return redis_ok(text);
    case SETTING_FORM_LISTEN:
        return listen_ok(text);
    case SETTING_FORM_PATH:
        return !*text || *text == '/';
    case SETTING_FORM_ACCOUNT:
        return account_ok(text);
    case SETTING_FORM_API:
        return api_ok(text);
    case SETTING_FORM_ENV:
        return !*text || (word_ok(span_str(text), "_", 255) && (*text < '0' || *text > '9'));
    case SETTING_FORM_SERVICE:
        return strlen(text) <= 255;
    }
    return false;
}

static int set_text(const struct setting *s, char **at, const char *text)
{
    size_t n = strlen(text);

    if (n > SETTING_TEXT_MAX_BYTES || !printable(text) || !form_ok(s->form, text))
        return -EINVAL;
    while (s->form == SETTING_FORM_API && text[n - 1] == '/')
        n--; /* requests bring their own slash */
    free(*at);
    *at = alloc_copy(text, n);
    return 0;
}

static int set_number(const struct setting *s, void *at, const char *text)
{
    uint64_t v;

    if (span_to_u64(span_str(text), &v) < 0 || v < s->min || v > s->max)
        return -EINVAL;
    must(s->size == sizeof(uint32_t) || s->size == sizeof(uint64_t));
    if (s->size == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)v;
    else
        *(uint64_t *)at = v;
    return 0;
}

static int set_flag(bool *at, const char *text)
{
    bool yes = strcmp(text, "true") == 0, no = strcmp(text, "false") == 0;

    if (!yes && !no)
        return -EINVAL;
    *at = yes;
    return 0;
}

static int set_choice(const struct setting *s, void *at, const char *text)
{
    for (size_t i = 0; i < s->choices_count; i++) {
        unsigned value = (unsigned)i;

        if (strcmp(text, s->choices[i]) != 0)
            continue;
        must(s->size == sizeof(value));
        memcpy(at, &value, sizeof(value));
        return 0;
    }
    return -EINVAL;
}

void config_services_free(struct config_account *a)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        free(a->services[i].id);
        free(a->services[i].name);
    }
    free(a->services);
    a->services = NULL;
    a->services_count = 0;
}

void config_hosts_free(struct config_account *a)
{
    for (uint32_t i = 0; i < a->direct_hosts_count; i++)
        free(a->direct_hosts[i]);
    free(a->direct_hosts);
    a->direct_hosts = NULL;
    a->direct_hosts_count = 0;
}

int config_services_add(struct config_account *a, struct span id, struct span name)
{
    if (a->services_count == CONFIG_SERVICES_MAX || !service_id_ok(id) || name.n > 255)
        return -EINVAL;
    a->services = alloc_grow(a->services, a->services_count + 1, sizeof(*a->services));
    a->services[a->services_count].id = alloc_copy(id.p, id.n);
    a->services[a->services_count++].name = alloc_copy(name.p, name.n);
    return 0;
}

int config_hosts_add(struct config_account *a, struct span host)
{
    if (a->direct_hosts_count == SETTING_HOSTS_MAX || !word_ok(host, ".-:[]", 255))
        return -EINVAL;
    a->direct_hosts = alloc_grow(a->direct_hosts, a->direct_hosts_count + 1, sizeof(char *));
    a->direct_hosts[a->direct_hosts_count++] = alloc_copy(host.p, host.n);
    return 0;
}

static struct span trimmed(struct span s)
{
    while (s.n && *s.p == ' ') {
        s.p++;
        s.n--;
    }
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

static int add_item(enum setting_type type, struct config_account *a, struct span item)
{
    const char *eq = memchr(item.p, '=', item.n);
    size_t id_bytes = eq ? (size_t)(eq - item.p) : item.n;

    if (type == SETTING_HOSTS)
        return config_hosts_add(a, item);
    return config_services_add(a, trimmed(span_of(item.p, id_bytes)),
                               eq ? trimmed(span_of(eq + 1, item.n - id_bytes - 1)) : SPAN(""));
}

/* Builds the new list in an account of its own, so a bad item leaves the old one. */
static int set_list(enum setting_type type, struct config_account *a, const char *text)
{
    struct config_account fresh = {0};
    struct span rest = span_str(text), item;
    int rc = 0;

    while (rc == 0 && span_next_word(&rest, ',', &item))
        rc = add_item(type, &fresh, trimmed(item));
    if (rc < 0) {
        config_services_free(&fresh);
        config_hosts_free(&fresh);
    } else if (type == SETTING_HOSTS) {
        config_hosts_free(a);
        a->direct_hosts = fresh.direct_hosts;
        a->direct_hosts_count = fresh.direct_hosts_count;
    } else {
        config_services_free(a);
        a->services = fresh.services;
        a->services_count = fresh.services_count;
    }
    return rc;
}

int setting_value_set(const struct setting *s, void *at, void *base, const char *text)
{
    switch (s->type) {
    case SETTING_TEXT:
        return set_text(s, at, text);
    case SETTING_NUMBER:
        return set_number(s, at, text);
    case SETTING_FLAG:
        return set_flag(at, text);
    case SETTING_CHOICE:
        return set_choice(s, at, text);
    case SETTING_SERVICES:
    case SETTING_HOSTS:
        return set_list(s->type, base, text);
    case SETTING_GROUP:
        break;
    }
    return -EINVAL;
}

/* -- back to YAML -- */

/* Plain where YAML cannot misread it, else in double quotes. */
static void print_text(struct buf *out, const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off"};
    bool plain = word_ok(span_str(text), "_./@+-", SIZE_MAX) || starts(text, "https://") ||
                 starts(text, "redis://") || listen_ok(text);
    size_t digits = strspn(text, "0123456789.-+eE_x");

    for (size_t i = 0; i < array_len(words); i++)
        if (span_eq_nocase(span_str(text), span_str(words[i])))
            plain = false;
    if (strpbrk(text, "{}[],#\"\\ ") || !is_alnum(*text) || text[digits] == '\0')
        plain = *text == '/' && word_ok(span_str(text), "_./@+-", SIZE_MAX);
    if (plain) {
        buf_printf(out, "%s", text);
        return;
    }
    buf_putc(out, '"');
    for (const char *c = text; *c; c++)
        buf_printf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    buf_putc(out, '"');
}

/* redis://user:password@host/0 without the password. */
static void print_secret(struct buf *out, const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *at = strrchr(text, '@');
    const char *colon = scheme ? strchr(scheme + 3, ':') : NULL;
    char *masked;

    if (!at || !colon || colon > at) {
        print_text(out, text);
        return;
    }
    masked = alloc_printf("%.*s:***%s", (int)(colon - text), text, at);
    print_text(out, masked);
    free(masked);
}

static void print_services(struct buf *out, const struct config_account *a)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < a->services_count; i++) {
        buf_printf(out, "%s{id: ", i ? ", " : "");
        print_text(out, a->services[i].id);
        if (*a->services[i].name) {
            buf_printf(out, ", name: ");
            print_text(out, a->services[i].name);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void print_hosts(struct buf *out, const struct config_account *a)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < a->direct_hosts_count; i++) {
        buf_printf(out, "%s", i ? ", " : "");
        print_text(out, a->direct_hosts[i]);
    }
    buf_putc(out, ']');
}

static void print_number(const struct setting *s, const void *at, struct buf *out)
{
    uint64_t v = s->size == sizeof(uint32_t) ? *(const uint32_t *)at : *(const uint64_t *)at;

    buf_printf(out, "%llu", (unsigned long long)v);
}

void setting_value_print(const struct setting *s, const void *base, struct buf *out)
{
    const void *at = (const char *)base + s->offset;
    unsigned choice;

    switch (s->type) {
    case SETTING_TEXT:
        (s->secret ? print_secret : print_text)(out, *(char *const *)at);
        break;
    case SETTING_NUMBER:
        print_number(s, at, out);
        break;
    case SETTING_FLAG:
        buf_printf(out, "%s", *(const bool *)at ? "true" : "false");
        break;
    case SETTING_CHOICE:
        memcpy(&choice, at, sizeof(choice));
        buf_printf(out, "%s", s->choices[choice]);
        break;
    case SETTING_SERVICES:
        print_services(out, base);
        break;
    case SETTING_HOSTS:
        print_hosts(out, base);
        break;
    case SETTING_GROUP:
        break;
    }
}
