/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "hook.h"
#include "job.h"
#include "network.h"
#include "setting.h"
#include "target.h"

/* struct sockaddr_un holds 108 bytes with the NUL: unix(7). */
#define UNIX_PATH_MAX_BYTES 107

struct complaint {
    const struct config *config;
    struct error *err;
    enum setting_scope scope; /* scope of the item being checked */
    uint32_t index;           /* index of that item */
};

static int complain(const struct complaint *c, const char *setting, const char *fmt, ...)
    print_like(3, 4);

static int complain(const struct complaint *c, const char *setting, const char *fmt, ...)
{
    const struct setting_list *list = setting_list(c->scope);
    char place[64] = "";
    va_list ap;

    if (list)
        snprintf(place, sizeof(place), "%s[%u].", list->name, c->index);
    va_start(ap, fmt);
    error_vset(c->err, -EINVAL, fmt, ap);
    va_end(ap);
    return error_set(c->err, -EINVAL, "%s%s: %s", place, setting, c->err->text);
}

static bool has_service(const struct config_account *a, const char *word)
{
    for (uint32_t i = 0; i < a->services_count; i++)
        if (strcmp(word, a->services[i].id) == 0 || strcmp(word, a->services[i].name) == 0)
            return true;
    return false;
}

/* -- accounts -- */

/* One word must mean one service, whether it is an id or a name. */
static int check_services(const struct complaint *c, const struct config_account *a)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];

        for (uint32_t k = 0; k < i; k++) {
            const struct config_service *t = &a->services[k];

            if (strcmp(s->id, t->id) == 0 || strcmp(s->id, t->name) == 0)
                return complain(c, "services", "'%s' stands there twice", s->id);
            if (*s->name && (strcmp(s->name, t->name) == 0 || strcmp(s->name, t->id) == 0))
                return complain(c, "services", "'%s' stands there twice", s->name);
        }
    }
    return 0;
}

static int check_budget(const struct complaint *c, const struct config_account *a)
{
    const struct config_budget *b = &a->budget;

    if (b->headroom >= b->purges)
        return complain(c, "budget.headroom", "expected less than purges (%llu), found %llu",
                        (unsigned long long)b->purges, (unsigned long long)b->headroom);
    if (b->burst > b->purges)
        return complain(c, "budget.burst", "expected at most purges (%llu), found %llu",
                        (unsigned long long)b->purges, (unsigned long long)b->burst);
    return 0;
}

static int check_proxy(const struct complaint *c, const struct config_account *a)
{
    bool fixed = *a->api_proxy && strcmp(a->api_proxy, "env") != 0;

    if (*a->api_proxy && !span_starts_nocase(span_str(a->api), "https://"))
        return complain(c, "api_proxy",
                        "through a proxy only an https API is asked: it would see "
                        "the token");
    if (*a->api_proxy_auth_file && !fixed)
        return complain(c, "api_proxy_auth_file", "it belongs to an api_proxy with a URL");
    if (*a->api_proxy_ca_file && !span_starts_nocase(span_str(a->api_proxy), "https://"))
        return complain(c, "api_proxy_ca_file", "it belongs to an api_proxy with https://");
    return 0;
}

static int check_account(const struct complaint *c, const struct config_account *a)
{
    int rc = check_services(c, a);

    if (rc == 0)
        rc = check_proxy(c, a);
    if (rc < 0)
        return rc;
    if (*a->default_service && !has_service(a, a->default_service))
        return complain(c, "default_service", "'%s' is not among the services", a->default_service);
    rc = check_budget(c, a);
    if (rc < 0)
        return rc;
    if (a->receipts_in == RECEIPTS_IN_HISTORY && a->history_jobs == 0)
        return complain(c, "receipts_in", "history_jobs: 0 means that there is no history");
    if (a->url_mode == URL_MODE_DIRECT && a->direct_hosts.count == 0)
        return complain(c, "direct_hosts", "url_mode: direct needs the hosts it may contact");
    for (uint32_t i = 0; i < a->direct_token_hosts.count; i++)
        if (!config_words_have_host(&a->direct_hosts, span_str(a->direct_token_hosts.at[i])))
            return complain(c, "direct_token_hosts", "'%s' is not among the direct_hosts",
                            a->direct_token_hosts.at[i]);
    if (!*a->token_file && !*a->token_env &&
        (a->url_mode == URL_MODE_API || a->direct_token_hosts.count))
        return complain(c, "token_env",
                        "one of token_file and token_env must say where the token is");
    return 0;
}

/* -- producers -- */

static bool may_use(const struct config_producer *p, const struct config_account *a)
{
    for (uint32_t i = 0; i < p->accounts.count; i++)
        if (strcmp(p->accounts.at[i], a->name) == 0)
            return true;
    return p->accounts.count == 0;
}

static int check_known(const struct complaint *c, const struct config_producer *p)
{
    if (!*p->token_sha256 && p->from.count == 0 && !*p->certificate)
        return complain(c, "token_sha256",
                        "missing: a producer is known by it, by `from` or by `certificate`");
    if (*p->certificate && !*c->config->http.tls_client_ca_file)
        return complain(c, "certificate",
                        "clients show certificates only where http.tls_client_ca_file is set");
    for (uint32_t i = 0; *p->certificate && i < c->index; i++)
        if (span_eq_nocase(span_str(p->certificate), span_str(c->config->producers[i].certificate)))
            return complain(c, "certificate", "it is that of producers[%u] already", i);
    return 0;
}

/* Networks of two producers must not overlap, or a client could belong to both. */
static int check_from(const struct complaint *c, const struct config_producer *p)
{
    struct network mine, other;
    char place[64];

    for (uint32_t k = 0; k < p->from.count; k++) {
        if (network_parse(span_str(p->from.at[k]), &mine) < 0)
            continue;
        for (uint32_t i = 0; i < c->index; i++) {
            const struct config_words *w = &c->config->producers[i].from;

            for (uint32_t n = 0; n < w->count; n++) {
                if (network_parse(span_str(w->at[n]), &other) < 0 ||
                    !network_overlap(&mine, &other))
                    continue;
                snprintf(place, sizeof(place), "from[%u]", k);
                return complain(c, place,
                                "'%s' meets '%s' of producers[%u]: an address must mean one "
                                "producer",
                                p->from.at[k], w->at[n], i);
            }
        }
    }
    return 0;
}

static int check_producer(const struct complaint *c, const struct config_producer *p)
{
    char place[64];
    int rc = check_known(c, p);

    if (rc == 0)
        rc = check_from(c, p);
    if (rc < 0)
        return rc;

    for (uint32_t i = 0; i < p->accounts.count; i++) {
        if (config_account(c->config, p->accounts.at[i]))
            continue;
        snprintf(place, sizeof(place), "accounts[%u]", i);
        return complain(c, place, "there is no account '%s'", p->accounts.at[i]);
    }
    for (uint32_t i = 0; i < p->services.count; i++) {
        bool found = false;

        for (uint32_t k = 0; !found && k < c->config->accounts_count; k++)
            found = may_use(p, &c->config->accounts[k]) &&
                    has_service(&c->config->accounts[k], p->services.at[i]);
        if (found)
            continue;
        snprintf(place, sizeof(place), "services[%u]", i);
        return complain(c, place, "'%s' is not among the services of its accounts",
                        p->services.at[i]);
    }
    return 0;
}

/* -- hooks -- */

static int check_services_of_hook(const struct complaint *c, const struct config_hook *h,
                                  const struct config_account *a)
{
    char place[32] = "service";

    for (uint32_t i = 0; i < h->services.count; i++) {
        const char *name = h->services.at[i];

        if (has_service(a, name))
            continue;
        if (h->services.count > 1)
            snprintf(place, sizeof(place), "service[%u]", i);
        return complain(c, place, "'%s' is not among the services of account %s", name, a->name);
    }
    return 0;
}

/* Also for the account of a consumer. */
static int check_hook_account(const struct complaint *c, const struct config_hook *h)
{
    const struct config_account *a = config_account(c->config, *h->account ? h->account : NULL);

    if (!a && !*h->account)
        return complain(c, "account", "there are %u accounts; one must be named",
                        c->config->accounts_count);
    if (!a)
        return complain(c, "account", "there is no account '%s'", h->account);
    if (check_services_of_hook(c, h, a) < 0)
        return -EINVAL;
    if (h->services.count * (uint64_t)h->max_targets > JOB_TARGETS_MAX)
        return complain(c, "max_targets", "%u targets for each of %u services are more than %d",
                        h->max_targets, h->services.count, JOB_TARGETS_MAX);
    if (h->keys.count && !h->services.count && !*a->default_service && a->services_count != 1)
        return complain(c, "service", "keys need one, and account %s has %s", a->name,
                        a->services_count ? "no default_service" : "no services");
    return 0;
}

static bool mentions(const struct config_signature *s, const char *what)
{
    return strstr(s->signs, what) || strstr(s->value, what);
}

/* Checks that the request contains everything that is signed. */
static int check_signed_parts(const struct complaint *c, const struct config_signature *s)
{
    if (!strstr(s->value, "{digest}"))
        return complain(c, "signature.value", "expected {digest} in it");
    if (strstr(s->signs, "{time}") && !strstr(s->value, "{time}") && !*s->time_header)
        return complain(c, "signature.time_header",
                        "{time} is signed, and neither value nor this header holds it");
    if (mentions(s, "{headers}") && !*s->headers_header)
        return complain(c, "signature.headers_header",
                        "{headers} are signed, and no header names them");
    return 0;
}

static int check_signature(const struct complaint *c, const struct config_hook *h)
{
    const struct config_signature *s = &h->signature;
    struct span open = config_listens_beyond(c->config);

    if (s->scheme == HOOK_UNSIGNED)
        return !open.p ? 0
                       : complain(c, "signature.scheme",
                                  "unsigned lets anybody purge who reaches %.*s: have requests "
                                  "signed, or listen on 127.0.0.1 or [::1]",
                                  (int)open.n, open.p);
    if (!*h->secret_file && !*h->secret_env)
        return complain(c, "secret_env",
                        "one of secret_file and secret_env must say where the secret is");
    if (!*s->header)
        return complain(c, "signature.header", "expected the header that holds the %s",
                        s->scheme == HOOK_TOKEN ? "secret" : "digest");
    return s->scheme == HOOK_TOKEN ? 0 : check_signed_parts(c, s);
}

/* Checks templates, conditions and signature by compiling the hook. The hook's error message starts
 * with the setting. */
static int check_compiles(const struct complaint *c, const struct config_hook *h)
{
    struct error sentence;
    struct hook *compiled = hook_new(h, &sentence);
    char *colon;

    hook_free(compiled);
    if (compiled)
        return 0;
    colon = strstr(sentence.text, ": ");
    must(colon);
    *colon = '\0';
    return complain(c, sentence.text, "%s", colon + 2);
}

/* Whether there are targets. */
static int check_targets(const struct complaint *c, const struct config_hook *h)
{
    return h->keys.count || h->urls.count
               ? 0
               : complain(c, "keys", "with neither keys nor urls there is nothing to purge");
}

static int check_hook(const struct complaint *c, const struct config_hook *h)
{
    int rc = check_hook_account(c, h);

    if (rc == 0)
        rc = check_targets(c, h);
    if (rc == 0)
        rc = check_signature(c, h);
    return rc < 0 ? rc : check_compiles(c, h);
}

/* -- consumers -- */

/* The rest of the URL is checked by whoever connects. */
static int check_source_url(const struct complaint *c, const struct config_consumer *s)
{
    static const struct {
        const char *schemes[5];
        const char *example;
    } urls[] = {
        [CONSUMER_REDIS_LIST] = {{"redis://", "rediss://", "redis+", "rediss+", "unix://"},
                                 "redis://host:6379/0, or nothing"},
        [CONSUMER_REDIS_STREAM] = {{"redis://", "rediss://", "redis+", "rediss+", "unix://"},
                                   "redis://host:6379/0, or nothing"},
        [CONSUMER_POSTGRES] = {{"postgresql://", "postgres://"}, "postgresql://host:5432/database"},
        [CONSUMER_AMQP] = {{"amqps://", "amqp://"}, "amqps://host:5671/vhost"},
        [CONSUMER_NATS] = {{"nats://", "tls://"}, "tls://host:4222"},
        [CONSUMER_KAFKA] = {{"kafkas://", "kafka://"}, "kafkas://host1:9093,host2:9093"},
    };

    if (!*s->url && s->source < CONSUMER_POSTGRES)
        return 0;
    for (size_t i = 0; i < array_len(urls->schemes) && urls[s->source].schemes[i]; i++)
        if (span_starts_nocase(span_str(s->url), urls[s->source].schemes[i]))
            return 0;
    return complain(c, "url", "expected a URL like %s", urls[s->source].example);
}

static int check_source_login(const struct complaint *c, const struct config_consumer *s)
{
    bool given = *s->password_file || *s->password_env;

    if (*s->password_file && *s->password_env)
        return complain(c, "password_env", "password_file is set, too; only one of them may be");
    if (*s->credentials_file && s->source != CONSUMER_NATS)
        return complain(c, "credentials_file", "only `source: nats` has one");
    if (*s->credentials_file && given)
        return complain(c, "credentials_file", "a password is set, too; only one of them may be");
    if (*s->user && !given && !*s->credentials_file)
        return complain(c, "user", "a user needs a password: set password_file or password_env");
    if (!*s->url && (given || *s->tls.ca_file || *s->tls.cert_file || *s->tls.key_file))
        return complain(c, "url",
                        "a login and TLS files are only for another server than purgeline's own");
    return 0;
}

/* Where the brokers' names are given to librdkafka as they are. */
static int check_kafka(const struct complaint *c, const struct config_consumer *s)
{
    bool tls = span_starts_nocase(span_str(s->url), "kafkas://");
    bool login = *s->password_file || *s->password_env;
    static const char topic_bytes[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *brokers = strstr(s->url, "://");

    must(brokers); /* check_source_url has found it */
    brokers += 3;
    /* librdkafka takes a name that begins with ^ for a pattern of several topics. */
    if (s->topic[strspn(s->topic, topic_bytes)] || strlen(s->topic) > 249)
        return complain(c, "topic", "expected 1 to 249 letters, digits, '.', '_' and '-'");
    if (strchr(brokers, '@'))
        return complain(c, "url", "a login belongs into user and password_file");
    if (!*brokers || strpbrk(brokers, "/?#; ") || strstr(brokers, ",,") || *brokers == ',' ||
        brokers[strlen(brokers) - 1] == ',')
        return complain(c, "url", "expected a URL like kafkas://host1:9093,host2:9093");
    if (!tls && (*s->tls.ca_file || *s->tls.cert_file || *s->tls.key_file))
        return complain(c, "url",
                        "kafka:// is without TLS, but there are settings of tls; "
                        "expected kafkas://");
    if (login && !*s->user)
        return complain(c, "user", "a password needs a user");
    if (s->sasl != CONSUMER_PLAIN && !*s->user)
        return complain(c, "sasl", "a mechanism needs a login: set user and password_file");
    return 0;
}

static int check_consumer(const struct complaint *c, const struct config_consumer *s)
{
    const struct config_hook *h = &s->mapping;
    int rc = check_source_url(c, s);

    if (rc == 0)
        rc = check_source_login(c, s);
    if (rc == 0 && s->source == CONSUMER_KAFKA)
        rc = check_kafka(c, s);
    if (rc == 0)
        rc = check_hook_account(c, h);
    if (rc == 0 && s->job == CONSUMER_JSON && (h->when.count || h->keys.count || h->urls.count))
        rc = complain(c, "job", "when, keys and urls are only for `job: mapped`");
    if (rc == 0 && s->job == CONSUMER_MAPPED)
        rc = check_targets(c, h);
    return rc == 0 && s->job == CONSUMER_MAPPED ? check_compiles(c, h) : rc;
}

/* -- canaries -- */

static int check_canary(const struct complaint *c, const struct config_canary *k)
{
    const struct config_account *a = config_account(c->config, *k->account ? k->account : NULL);
    struct span host, rest;

    if (!a && !*k->account)
        return complain(c, "account", "there are %u accounts; one must be named",
                        c->config->accounts_count);
    if (!a)
        return complain(c, "account", "there is no account '%s'", k->account);
    if (!config_service(a, k->service))
        return complain(c, "service", "expected one of the services of account %s", a->name);
    url_split(span_str(k->url), &host, &rest);
    if (a->url_mode == URL_MODE_DIRECT && !config_words_have_host(&a->direct_hosts, host))
        return complain(c, "url", "'%.*s' is not among the direct_hosts of account %s", (int)host.n,
                        host.p, a->name);
    return 0;
}

/* -- the whole configuration -- */

static int check_listen(const struct complaint *c)
{
    struct span rest = span_str(c->config->listen), one;
    struct span open = config_listens_beyond(c->config);

    while (setting_listen_next(&rest, &one)) {
        struct span before = span_of(c->config->listen, (size_t)(one.p - c->config->listen)), other;

        while (setting_listen_next(&before, &other))
            if (span_eq(one, other))
                return complain(c, "listen", "'%.*s' stands there twice", (int)one.n, one.p);
    }
    if (c->config->producers_count == 0 && open.p)
        return complain(c, "listen",
                        "without producers anybody who reaches %.*s may purge: name them under "
                        "producers, or listen on 127.0.0.1 or [::1]",
                        (int)open.n, open.p);
    return 0;
}

static int check_http(const struct complaint *c)
{
    const struct config_http *h = &c->config->http;

    if (*h->tls_cert_file && !*h->tls_key_file)
        return complain(c, "http.tls_key_file", "tls_cert_file needs the key that belongs to it");
    if (*h->tls_key_file && !*h->tls_cert_file)
        return complain(c, "http.tls_cert_file",
                        "tls_key_file needs the certificate that belongs to it");
    if (*h->tls_client_ca_file && !*h->tls_cert_file)
        return complain(c, "http.tls_client_ca_file",
                        "clients show certificates only where tls_cert_file and tls_key_file are");
    return check_listen(c);
}

/* The value of a text setting of an item. */
static const char *text_at(const struct complaint *c, const struct setting *s, uint32_t index)
{
    return *(char **)((char *)setting_list_at(c->scope, c->config, index) + s->offset);
}

/* Compares all pairs. There are at most 1,024 items, so this takes milliseconds. */
static bool stands_twice(struct complaint *c, const char *setting, const char **text,
                         uint32_t *before)
{
    const struct setting *s = setting_find(c->scope, setting);
    uint32_t count = setting_list_count(c->scope, c->config);

    for (c->index = 0; c->index < count; c->index++) {
        *text = text_at(c, s, c->index);
        for (*before = 0; *before < c->index; (*before)++)
            if (**text && strcmp(*text, text_at(c, s, *before)) == 0)
                return true;
    }
    return false;
}

static int check_unique(struct complaint c)
{
    const char *text;
    uint32_t before;

    for (c.scope = SETTING_ACCOUNT; c.scope < SETTING_SCOPE_N; c.scope++)
        if (stands_twice(&c, "name", &text, &before))
            return complain(&c, "name", "'%s' is the name of %s[%u] already", text,
                            setting_list(c.scope)->name, before);
    c.scope = SETTING_PRODUCER;
    if (stands_twice(&c, "token_sha256", &text, &before))
        return complain(&c, "token_sha256", "it is that of producers[%u] already", before);
    return 0;
}

static int check_data_dir(const struct complaint *c)
{
    size_t max = UNIX_PATH_MAX_BYTES - strlen(CONFIG_SOCKET_NAME);

    if (!config_redis_embedded(c->config) || strlen(c->config->data_dir) <= max)
        return 0;
    return complain(c, "data_dir",
                    "expected at most %zu bytes, as the path of a socket in it must not be longer",
                    max);
}

static int check_replicas(const struct complaint *c)
{
    if (c->config->redis_replicas == 0 || !config_redis_embedded(c->config))
        return 0;
    return complain(c, "redis_replicas", "the embedded Redis has no replicas: expected 0");
}

static int check_items(struct complaint c)
{
    int rc = 0;

    c.scope = SETTING_ACCOUNT;
    for (c.index = 0; rc == 0 && c.index < c.config->accounts_count; c.index++)
        rc = check_account(&c, &c.config->accounts[c.index]);
    c.scope = SETTING_PRODUCER;
    for (c.index = 0; rc == 0 && c.index < c.config->producers_count; c.index++)
        rc = check_producer(&c, &c.config->producers[c.index]);
    c.scope = SETTING_HOOK;
    for (c.index = 0; rc == 0 && c.index < c.config->hooks_count; c.index++)
        rc = check_hook(&c, &c.config->hooks[c.index]);
    c.scope = SETTING_CONSUMER;
    for (c.index = 0; rc == 0 && c.index < c.config->consumers_count; c.index++)
        rc = check_consumer(&c, &c.config->consumers[c.index]);
    c.scope = SETTING_CANARY;
    for (c.index = 0; rc == 0 && c.index < c.config->canaries_count; c.index++)
        rc = check_canary(&c, &c.config->canaries[c.index]);
    return rc;
}

int config_validate(const struct config *config, struct error *err)
{
    struct complaint c = {.config = config, .err = err};
    int rc;

    if (config->accounts_count < 1 || config->accounts_count > CONFIG_ACCOUNTS_MAX)
        return complain(&c, "accounts", "expected 1 to %d accounts, found %u", CONFIG_ACCOUNTS_MAX,
                        config->accounts_count);
    rc = check_data_dir(&c);
    if (rc == 0)
        rc = check_replicas(&c);
    if (rc == 0)
        rc = check_unique(c);
    if (rc == 0)
        rc = check_items(c);
    return rc < 0 ? rc : check_http(&c);
}
