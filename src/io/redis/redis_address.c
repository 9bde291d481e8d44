/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "redis.h"
#include "secret.h"

#define PORT_DEFAULT 6379
#define SENTINEL_PORT_DEFAULT 26379
#define MASTER_MAX 255
#define DB_MAX 65535 /* Redis itself refuses numbers above its `databases` setting */
#define HOST_MAX 253 /* RFC 1035, 2.3.4 */
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte encoded by %XX at s.p[i], or -1 if it is malformed or NUL. */
static int percent_byte(struct span s, size_t i)
{
    int high, low;

    if (s.n - i < 3)
        return -1;
    high = hex_digit(s.p[i + 1]);
    low = hex_digit(s.p[i + 2]);
    if (high < 0 || low < 0 || high + low == 0)
        return -1;
    return high * 16 + low;
}

/* Percent-decodes, so that a password may contain any byte except NUL. Returns NULL if
 * malformed. */
static char *decoded(struct span s)
{
    char *out = alloc_bytes(s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int byte = (unsigned char)s.p[i];

        if (byte == '%') {
            byte = percent_byte(s, i);
            i += 2;
        }
        if (byte <= 0) {
            free(out);
            return NULL;
        }
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    return out;
}

static size_t find_last(struct span s, char c)
{
    size_t i = s.n;

    while (i > 0 && s.p[i - 1] != c)
        i--;
    return i ? i - 1 : s.n;
}

static size_t find_first(struct span s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? (size_t)(at - s.p) : s.n;
}

static struct span from(struct span s, size_t i)
{
    return i < s.n ? span_of(s.p + i, s.n - i) : span_of("", 0);
}

static int parse_db(struct span s, struct redis_address *out, struct error *err)
{
    uint64_t db = 0;

    if (s.n && (span_to_u64(s, &db) < 0 || db > DB_MAX))
        return error_set(err, -EINVAL, "the database must be a number from 0 to %d", DB_MAX);
    out->db = (uint32_t)db;
    return 0;
}

/* Parses user:password or :password. A user without a password is refused, because Redis has no
 * such login. */
static int parse_login(struct span s, struct redis_address *out, struct error *err)
{
    size_t colon = find_first(s, ':');

    if (colon == s.n)
        return error_set(err, -EINVAL, "before the @ there must be user:password or :password");
    if (colon)
        out->user = decoded(span_of(s.p, colon));
    out->password = decoded(from(s, colon + 1));
    if ((colon && !out->user) || !out->password)
        return error_set(err, -EINVAL,
                         "a %% in user or password must be followed by two hex digits");
    if (!out->password[0])
        return error_set(err, -EINVAL, "the password is empty");
    return 0;
}

static int parse_port(struct span s, uint16_t fallback, uint16_t *out, struct error *err)
{
    uint64_t port = fallback;

    if (s.n && (span_to_u64(s, &port) < 0 || port == 0 || port > UINT16_MAX))
        return error_set(err, -EINVAL, "the port must be a number from 1 to 65535");
    *out = (uint16_t)port;
    return 0;
}

/* Parses host, host:port, [v6] or [v6]:port. */
static int parse_place(struct span s, uint16_t port_default, struct redis_place *out,
                       struct error *err)
{
    struct span host, port;

    if (s.n && s.p[0] == '[') {
        size_t end = find_first(s, ']');

        host = span_of(s.p + 1, end - 1);
        port = from(s, end + 1);
        if (end == s.n || (port.n && port.p[0] != ':'))
            return error_set(err, -EINVAL,
                             "an IPv6 address is written [address] or [address]:port");
        port = from(port, 1);
    } else {
        size_t colon = find_first(s, ':');

        host = span_of(s.p, colon);
        port = from(s, colon + 1);
    }
    if (host.n == 0 || host.n > HOST_MAX)
        return error_set(err, -EINVAL, "the host must have 1 to %d characters", HOST_MAX);
    if (parse_port(port, port_default, &out->port, err) < 0)
        return -EINVAL;
    out->host = alloc_copy(host.p, host.n);
    return 0;
}

/* Parses the login before the @, if there is one, and removes it from *s. */
static int take_login(struct span *s, struct redis_address *out, struct error *err)
{
    size_t at = find_last(*s, '@');
    struct span login = span_of(s->p, at);

    if (at == s->n)
        return 0;
    *s = from(*s, at + 1);
    return parse_login(login, out, err);
}

static int parse_network(struct span s, struct redis_address *out, struct error *err)
{
    struct redis_place place;
    int rc = take_login(&s, out, err);
    size_t slash = find_first(s, '/');

    if (rc == 0)
        rc = parse_place(span_of(s.p, slash), PORT_DEFAULT, &place, err);
    if (rc < 0)
        return rc;
    out->host = place.host;
    out->port = place.port;
    return parse_db(from(s, slash + 1), out, err);
}

/* The characters are those that sentinel.conf allows in the name of a master. */
static int parse_master(struct span s, struct redis_address *out, struct error *err)
{
    out->master = decoded(s);
    if (!out->master || s.n == 0 || s.n > MASTER_MAX ||
        strspn(out->master, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(out->master))
        return error_set(err, -EINVAL,
                         "after the sentinels there must be / and the name of the master: 1 to %d "
                         "letters, digits, '.', '-' and '_'",
                         MASTER_MAX);
    return 0;
}

/* Parses places separated by commas. `what` names them in messages. */
static int parse_places(struct span s, const char *what, uint32_t max, uint16_t port_default,
                        struct redis_place **out, uint32_t *count, struct error *err)
{
    *out = alloc_zeroed(max, sizeof(**out));
    do {
        size_t comma = find_first(s, ',');

        if (*count == max || comma + 1 == s.n)
            return error_set(err, -EINVAL, "expected 1 to %u %s, separated by commas", max, what);
        if (parse_place(span_of(s.p, comma), port_default, *out + *count, err) < 0)
            return -EINVAL;
        ++*count;
        s = from(s, comma + 1);
    } while (s.n);
    return 0;
}

static int parse_sentinels(struct span s, struct redis_address *out, struct error *err)
{
    int rc = take_login(&s, out, err);
    size_t slash = find_first(s, '/');
    struct span rest = from(s, slash + 1);

    if (rc == 0)
        rc = parse_places(span_of(s.p, slash), "sentinels", REDIS_SENTINELS_MAX,
                          SENTINEL_PORT_DEFAULT, &out->sentinels, &out->sentinels_count, err);
    slash = find_first(rest, '/');
    if (rc == 0)
        rc = parse_master(span_of(rest.p, slash), out, err);
    return rc < 0 ? rc : parse_db(from(rest, slash + 1), out, err);
}

static int parse_cluster(struct span s, struct redis_address *out, struct error *err)
{
    int rc = take_login(&s, out, err);
    size_t slash = find_first(s, '/');
    struct span db = from(s, slash + 1);

    out->cluster = true;
    if (rc == 0)
        rc = parse_places(span_of(s.p, slash), "nodes", REDIS_NODES_MAX, PORT_DEFAULT, &out->nodes,
                          &out->nodes_count, err);
    if (rc == 0 && db.n && !span_is(db, "0"))
        return error_set(err, -EINVAL,
                         "a Cluster has only database 0: after the nodes there must be nothing");
    return rc;
}

static int parse_unix(struct span s, struct redis_address *out, struct error *err)
{
    size_t question = find_first(s, '?');
    struct span query = from(s, question + 1);

    if (question == 0 || s.p[0] != '/' || question > UNIX_PATH_MAX)
        return error_set(err, -EINVAL, "unix:// takes an absolute path of at most %zu bytes",
                         UNIX_PATH_MAX);
    out->unix_path = alloc_copy(s.p, question);
    if (query.n == 0)
        return 0;
    if (!span_starts_nocase(query, "db="))
        return error_set(err, -EINVAL, "after the path of unix:// only ?db=N is known");
    return parse_db(from(query, 3), out, err);
}

static int parse_scheme(struct span url, struct redis_address *out, struct error *err)
{
    static const struct {
        const char *prefix;
        int (*parse)(struct span rest, struct redis_address *out, struct error *err);
        bool tls;
    } schemes[] = {{"redis://", parse_network, false},
                   {"rediss://", parse_network, true},
                   {"unix://", parse_unix, false},
                   {"redis+sentinel://", parse_sentinels, false},
                   {"rediss+sentinel://", parse_sentinels, true},
                   {"redis+cluster://", parse_cluster, false},
                   {"rediss+cluster://", parse_cluster, true}};

    for (size_t i = 0; i < array_len(schemes); i++) {
        if (!span_starts_nocase(url, schemes[i].prefix))
            continue;
        out->tls = schemes[i].tls;
        return schemes[i].parse(from(url, strlen(schemes[i].prefix)), out, err);
    }
    return error_set(err, -EINVAL,
                     "expected redis://, rediss://, unix://, redis+sentinel://, "
                     "rediss+sentinel://, redis+cluster:// or rediss+cluster://");
}

int redis_address_parse(const char *url, struct redis_address *out, struct error *err)
{
    struct redis_address a = {0};
    int rc = parse_scheme(span_str(url), &a, err);

    if (rc < 0) {
        redis_address_deinit(&a);
        return rc;
    }
    *out = a;
    return 0;
}

/* -- what is read at each connection -- */

static int read_password(const char *setting, const char *file, const char *env, char **password,
                         struct error *err)
{
    struct error why;
    char *fresh;
    int rc;

    if (!file && !env)
        return 0;
    if (file)
        rc = secret_from_file(file, "password", secret_is_text_byte, &fresh, &why);
    else
        rc = secret_from_env(env, "password", secret_is_text_byte, &fresh, &why);
    if (rc < 0)
        return error_set(err, rc, "redis_auth.%s_%s: %s", setting, file ? "file" : "env", why.text);
    secret_free(*password);
    *password = fresh;
    return 0;
}

static int try_file(const char *setting, const char *path, struct error *err)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (path && fd < 0)
        return error_set(err, -errno, "redis_tls.%s %s: %s", setting, path, strerror(errno));
    if (path)
        close(fd);
    return 0;
}

int redis_address_refresh(struct redis_address *a, struct error *err)
{
    int rc = read_password(a->is_sentinel ? "sentinel_password" : "password", a->password_file,
                           a->password_env, &a->password, err);

    if (rc == 0)
        rc = try_file("ca_file", a->ca_file, err);
    if (rc == 0)
        rc = try_file("cert_file", a->cert_file, err);
    return rc < 0 ? rc : try_file("key_file", a->key_file, err);
}

/* -- Sentinel -- */

static char *copy_or_null(const char *s)
{
    return s ? alloc_str(s) : NULL;
}

void redis_address_first_sentinel(const struct redis_address *a, struct redis_address *out)
{
    must(a->sentinels_count > 0);
    *out = (struct redis_address){
        .host = alloc_str(a->sentinels[0].host),
        .port = a->sentinels[0].port,
        .user = copy_or_null(a->sentinel_user),
        .password_file = copy_or_null(a->sentinel_password_file),
        .password_env = copy_or_null(a->sentinel_password_env),
        .tls = a->tls,
        .ca_file = copy_or_null(a->ca_file),
        .cert_file = copy_or_null(a->cert_file),
        .key_file = copy_or_null(a->key_file),
        .is_sentinel = true,
    };
}

void redis_address_next_sentinel(struct redis_address *a)
{
    struct redis_place first = a->sentinels[0];

    memmove(a->sentinels, a->sentinels + 1, (a->sentinels_count - 1) * sizeof(*a->sentinels));
    a->sentinels[a->sentinels_count - 1] = first;
}

bool redis_place_parse(struct span host, struct span port, struct redis_place *out)
{
    uint64_t number;

    if (host.n == 0 || host.n > HOST_MAX || memchr(host.p, '\0', host.n) ||
        span_to_u64(port, &number) < 0 || number == 0 || number > UINT16_MAX)
        return false;
    *out = (struct redis_place){alloc_copy(host.p, host.n), (uint16_t)number};
    return true;
}

bool redis_place_is(const struct redis_place *p, const char *host, uint16_t port)
{
    return p->host && host && p->port == port && strcmp(p->host, host) == 0;
}

void redis_address_set_place(struct redis_address *a, const struct redis_place *at)
{
    free(a->host);
    a->host = alloc_str(at->host);
    a->port = at->port;
}

/* -- whole addresses -- */

void redis_address_name(const struct redis_address *a, char *out, size_t room)
{
    if (a->unix_path)
        snprintf(out, room, "%s", a->unix_path);
    else if (a->master && !a->host)
        snprintf(out, room, "master %s of %u sentinels", a->master, a->sentinels_count);
    else if (a->cluster && !a->host && a->nodes_count == 1)
        snprintf(out, room, "a Cluster (%s:%u)", a->nodes[0].host, a->nodes[0].port);
    else if (a->cluster && !a->host)
        snprintf(out, room, "a Cluster (%s:%u and %u other node%s)", a->nodes[0].host,
                 a->nodes[0].port, a->nodes_count - 1, a->nodes_count == 2 ? "" : "s");
    else
        snprintf(out, room, "%s:%u", a->host, a->port);
}

static struct redis_place *copy_places(const struct redis_place *from, uint32_t count)
{
    struct redis_place *to = count ? alloc_zeroed(count, sizeof(*to)) : NULL;

    for (uint32_t i = 0; i < count; i++)
        to[i] = (struct redis_place){alloc_str(from[i].host), from[i].port};
    return to;
}

static void free_places(struct redis_place *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(places[i].host);
    free(places);
}

void redis_address_copy(const struct redis_address *from, struct redis_address *to)
{
    *to = *from;
    to->host = copy_or_null(from->host);
    to->unix_path = copy_or_null(from->unix_path);
    to->user = copy_or_null(from->user);
    to->password = copy_or_null(from->password);
    to->password_file = copy_or_null(from->password_file);
    to->password_env = copy_or_null(from->password_env);
    to->ca_file = copy_or_null(from->ca_file);
    to->cert_file = copy_or_null(from->cert_file);
    to->key_file = copy_or_null(from->key_file);
    to->master = copy_or_null(from->master);
    to->sentinels = copy_places(from->sentinels, from->sentinels_count);
    to->sentinel_user = copy_or_null(from->sentinel_user);
    to->sentinel_password_file = copy_or_null(from->sentinel_password_file);
    to->sentinel_password_env = copy_or_null(from->sentinel_password_env);
    to->nodes = copy_places(from->nodes, from->nodes_count);
    to->home = copy_or_null(from->home);
}

void redis_address_deinit(struct redis_address *a)
{
    secret_free(a->password);
    free(a->password_file);
    free(a->password_env);
    free(a->user);
    free(a->host);
    free(a->unix_path);
    free(a->ca_file);
    free(a->cert_file);
    free(a->key_file);
    free(a->master);
    free_places(a->sentinels, a->sentinels_count);
    free_places(a->nodes, a->nodes_count);
    free((char *)a->home);
    free(a->sentinel_user);
    free(a->sentinel_password_file);
    free(a->sentinel_password_env);
    *a = (struct redis_address){0};
}
