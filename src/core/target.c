/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "octets.h"

const char *const target_kind_names[] = {
    [TARGET_KEY] = "key", [TARGET_URL] = "url", [TARGET_ALL] = "all"};

static uint64_t no_key_byte(uint64_t w)
{
    return (w & OCTETS(0x80)) | octets_blank(w);
}

static uint64_t no_url_byte(uint64_t w)
{
    return octets_blank(w) | octets_equal(w, '#');
}

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return -EINVAL;
}

int key_check(struct span key, const char **why)
{
    if (key.n == 0)
        return refuse(why, "the key is empty");
    if (key.n > KEY_MAX_BYTES)
        return refuse(why, "the key is longer than 1024 bytes");
    if (octets_any(key, no_key_byte))
        return refuse(why, "a key may only have the bytes 0x21 to 0x7E");
    return 0;
}

/* -- URLs -- */

static struct span span_from(struct span s, size_t at)
{
    return span_of(s.p + at, s.n - at);
}

struct span url_without_scheme(struct span url)
{
    if (span_starts_nocase(url, "http://"))
        return span_from(url, 7);
    if (span_starts_nocase(url, "https://"))
        return span_from(url, 8);
    return url;
}

struct span url_without_query(struct span url)
{
    const char *mark = url.n ? memchr(url.p, '?', url.n) : NULL;

    return mark ? span_of(url.p, (size_t)(mark - url.p)) : url;
}

void url_split(struct span url, struct span *host, struct span *rest)
{
    struct span s = url_without_scheme(url);
    const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
    size_t n = slash ? (size_t)(slash - s.p) : s.n;
    const char *query = n ? memchr(s.p, '?', n) : NULL;

    if (query)
        n = (size_t)(query - s.p);
    *host = span_of(s.p, n);
    *rest = span_from(s, n);
}

struct span host_name(struct span host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;

    if (colon && !memchr(colon, ']', (size_t)(host.p + host.n - colon)))
        host.n = (size_t)(colon - host.p);
    return host;
}

bool host_is_address(struct span host)
{
    struct span name = host_name(host);
    bool v6 = name.n > 2 && *name.p == '[' && name.p[name.n - 1] == ']';
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (v6)
        name = span_of(name.p + 1, name.n - 2);
    if (name.n >= sizeof(text))
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, &address) == 1;
}

/* ".", ".." and "a..b" are not valid names, and the first two would be path segments in the URL of
 * the API. */
static int name_check(struct span name, const char **why)
{
    char before = '.';

    if (name.n == 0)
        return refuse(why, "the URL has no host");
    if (name.n > HOST_MAX_BYTES)
        return refuse(why, "the host is longer than 253 bytes");
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!byte_is_alnum(c) && c != '.' && c != '-' && c != '_')
            return refuse(why, "the host has a byte other than A-Z a-z 0-9 . _ -");
        if (c == '.' && before == '.')
            return refuse(why, "the host has an empty label");
        before = c;
    }
    return 0;
}

static int ipv6_check(struct span address, const char **why)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;

    if (address.n < sizeof(text) && !memchr(address.p, '\0', address.n)) {
        memcpy(text, address.p, address.n);
        text[address.n] = '\0';
        if (inet_pton(AF_INET6, text, &ignored) == 1)
            return 0;
    }
    return refuse(why, "there is no IPv6 address between the brackets");
}

/* `after` is the text after the name: empty, or ":port". */
static int port_check(struct span after, const char **why)
{
    uint64_t port;

    if (after.n == 0)
        return 0;
    if (after.p[0] != ':' || after.n > 6 || span_to_u64(span_from(after, 1), &port) < 0 ||
        port < 1 || port > 65535)
        return refuse(why, "the port is not a number from 1 to 65535");
    return 0;
}

static int host_check(struct span host, const char **why)
{
    bool bracket = host.n && host.p[0] == '[';
    const char *end = host.n ? memchr(host.p, bracket ? ']' : ':', host.n) : NULL;
    size_t n = end ? (size_t)(end - host.p) : host.n;
    int err;

    if (host.n && memchr(host.p, '@', host.n))
        return refuse(why, "user info (user@host) is not supported");
    if (bracket && !end)
        return refuse(why, "the bracket before the host is not closed");
    err =
        bracket ? ipv6_check(span_of(host.p + 1, n - 1), why) : name_check(span_of(host.p, n), why);
    return err < 0 ? err : port_check(span_from(host, bracket ? n + 1 : n), why);
}

static bool is_byte(struct span path, size_t at, const char *hex)
{
    return path.n - at >= 2 && path.p[at] == hex[0] && (path.p[at + 1] | 0x20) == hex[1];
}

/* Returns one byte of a path as the most lenient server would decode it: %2e is a dot, %2f a slash,
 * %5c a backslash, %3b a semicolon, and %25 a percent sign that may start another of these
 * escapes. */
static char path_byte(struct span path, size_t *at)
{
    static const struct {
        const char *hex;
        char byte;
    } codes[] = {{"2e", '.'}, {"2f", '/'}, {"5c", '\\'}, {"3b", ';'}};
    size_t i = *at + 1;
    char c = path.p[*at];

    *at += 1;
    if (c != '%')
        return c;
    while (path.n - i >= 2 && path.p[i] == '2' && path.p[i + 1] == '5')
        i += 2;
    for (size_t k = 0; k < array_len(codes); k++) {
        if (!is_byte(path, i, codes[k].hex))
            continue;
        *at = i + 2;
        return codes[k].byte;
    }
    return c;
}

/* Whether the path has a ".." segment. Clients request "/b" rather than "/a/../b", so nothing is
 * cached under such a path. But "h/../../service/x/purge_all" appended to
 * https://api.fastly.com/purge/ could become a different request. Some servers, mainly on Windows,
 * treat a backslash as a slash, and Java servers drop what follows a semicolon in a segment, so
 * that "/..;x/" means "/../". */
static bool climbs(struct span path)
{
    size_t at = 0, length = 0, dots = 0;
    bool parameters = false;

    while (at < path.n) {
        char c = path_byte(path, &at);

        if (c == '/' || c == '\\') {
            if (length == 2 && dots == 2)
                return true;
            length = dots = 0;
            parameters = false;
        } else if (c == ';' || parameters) {
            parameters = true;
        } else {
            length++;
            dots += c == '.';
        }
    }
    return length == 2 && dots == 2;
}

/* A fast check: most URLs have neither a percent sign nor two dots in a row. */
static bool may_climb(struct span rest)
{
    const char *dot = rest.p, *end = rest.p + rest.n;

    if (rest.n == 0)
        return false;
    if (memchr(rest.p, '%', rest.n))
        return true;
    while ((dot = memchr(dot, '.', (size_t)(end - dot))) && ++dot < end)
        if (*dot == '.')
            return true;
    return false;
}

static struct span path_of(struct span rest)
{
    const char *query = memchr(rest.p, '?', rest.n);

    return span_of(rest.p, query ? (size_t)(query - rest.p) : rest.n);
}

int url_check(struct span url, const char **why)
{
    struct span host, rest;
    int err;

    if (url.n == 0)
        return refuse(why, "the URL is empty");
    if (url.n > URL_MAX_BYTES)
        return refuse(why, "the URL is longer than 8192 bytes");
    if (octets_any(url, no_url_byte))
        return refuse(why, memchr(url.p, '#', url.n)
                               ? "a fragment (#) is never sent to a server: remove it"
                               : "the URL has a space or a control byte");
    if (url.p[0] == '/')
        return refuse(why, "the URL starts with a slash: a host must come first");
    url_split(url, &host, &rest);
    if (host.n && host.p[host.n - 1] == ':' && rest.n >= 2 && memcmp(rest.p, "//", 2) == 0)
        return refuse(why, "the only schemes are http:// and https://, and a URL has at most one");
    err = host_check(host, why);
    if (err < 0)
        return err;
    if (may_climb(rest) && climbs(path_of(rest)))
        return refuse(why, "the path has a \"..\" segment");
    return 0;
}

bool service_id_ok(struct span id)
{
    if (id.n == 0 || id.n > SERVICE_ID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (!byte_is_alnum(id.p[i]))
            return false;
    return true;
}

/* -- identity -- */

/* SipHash-1-3 (Aumasson, Bernstein, https://www.aumasson.jp/siphash/siphash.pdf): designed for hash
 * tables whose keys come from untrusted input, and about as fast as anything on the 10 to 100 bytes
 * we see. */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t sip_key = UINT64_C(0x70757267656c696e);

void target_hash_seed(uint64_t seed)
{
    sip_key = seed;
}

static inline uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t w)
{
    s->v3 ^= w;
    sip_round(s);
    s->v0 ^= w;
}

static inline uint64_t as_is(uint64_t w)
{
    return w;
}

/* Converts A-Z to a-z in eight bytes at once. */
static inline uint64_t in_lower_case(uint64_t w)
{
    uint64_t low = w & ~OCTETS(0x80);
    uint64_t from_a = low + OCTETS(0x80 - 'A'), above_z = low + OCTETS(0x7f - 'Z');

    return w | ((from_a & ~above_z & ~w & OCTETS(0x80)) >> 2);
}

/* Hashes the bytes and then their number, so that "ab","c" and "a","bc" differ. */
static inline void sip_put(struct sip *s, struct span bytes, uint64_t map(uint64_t))
{
    uint64_t w = 0, n = bytes.n;

    for (; bytes.n >= 8; bytes.p += 8, bytes.n -= 8)
        sip_word(s, map(octets_load(bytes.p)));
    if (bytes.n)
        memcpy(&w, bytes.p, bytes.n);
    sip_word(s, map(w) ^ n << 56);
}

static inline uint32_t sip_end(struct sip *s)
{
    s->v2 ^= 0xff;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return (uint32_t)(s->v0 ^ s->v1 ^ s->v2 ^ s->v3);
}

/* Skips the first slash of a URL's path, because "" and "/" are the same, and so are "?q" and
 * "/?q". */
static struct span past_slash(struct span rest)
{
    return rest.n && rest.p[0] == '/' ? span_from(rest, 1) : rest;
}

uint32_t target_hash(enum target_kind kind, uint16_t service, struct span bytes)
{
    uint64_t k0 = sip_key, k1 = sip_key * UINT64_C(0x9E3779B97F4A7C15) + 1;
    struct sip s = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                    k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    struct span host, rest;

    if (kind == TARGET_URL) {
        url_split(bytes, &host, &rest);
        sip_word(&s, TARGET_URL);
        sip_put(&s, host, in_lower_case);
        sip_put(&s, past_slash(rest), as_is);
        return sip_end(&s);
    }
    sip_word(&s, (uint64_t)kind | (uint64_t)service << 8);
    if (kind == TARGET_KEY)
        sip_put(&s, bytes, as_is);
    return sip_end(&s);
}

bool target_same(enum target_kind kind, struct span a, struct span b)
{
    struct span host_a, rest_a, host_b, rest_b;

    if (kind == TARGET_ALL)
        return true;
    if (kind == TARGET_KEY)
        return span_eq(a, b);
    url_split(a, &host_a, &rest_a);
    url_split(b, &host_b, &rest_b);
    return span_eq_nocase(host_a, host_b) && span_eq(past_slash(rest_a), past_slash(rest_b));
}
