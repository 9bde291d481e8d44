/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting_value.h"

static const char *const url_modes[] = {[URL_MODE_API] = "api", [URL_MODE_DIRECT] = "direct"};
static const char *const key_forms[] = {[KEY_FORM_HEADER] = "header", [KEY_FORM_JSON] = "json"};
static const char *const batch_costs[] = {
    [BATCH_COST_KEY] = "key", [BATCH_COST_REQUEST] = "request"};
static const char *const receipt_kinds[] = {
    [RECEIPTS_NONE] = "none", [RECEIPTS_FAILED] = "failed", [RECEIPTS_ALL] = "all"};

#define IN(scope_, type_, member)                                                                  \
    .scope = (scope_), .offset = offsetof(struct type_, member),                                   \
    .size = sizeof(((struct type_ *)NULL)->member)
#define GLOBAL(member) IN(SETTING_GLOBAL, config, member)
#define ACCOUNT(member) IN(SETTING_ACCOUNT, config_account, member)
#define GROUP(name_) .name = (name_), .scope = SETTING_ACCOUNT, .type = SETTING_GROUP
#define TEXT(form_) .type = SETTING_TEXT, .form = (form_)
#define NUMBER(min_, max_) .type = SETTING_NUMBER, .min = (min_), .max = (max_)
#define CHOICE(names) .type = SETTING_CHOICE, .choices = (names), .choices_count = array_len(names)

#define UNITS_MAX UINT64_C(1000000000000)

static const struct setting table[] = {
    {.name = "redis",
     GLOBAL(redis),
     TEXT(SETTING_FORM_REDIS),
     .fallback = "embedded",
     .secret = true,
     .sentence = "Where jobs are kept. embedded: purgeline run starts its own redis-server."},
    {.name = "data_dir",
     GLOBAL(data_dir),
     TEXT(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "Folder of the embedded Redis. Empty: /var/lib/purgeline for root, otherwise\n"
                 "$XDG_STATE_HOME/purgeline or ~/.local/state/purgeline."},
    {.name = "senders",
     GLOBAL(senders),
     NUMBER(0, 256),
     .fallback = "0",
     .sentence = "Threads that talk to Fastly; 0 = one per core."},
    {.name = "window",
     GLOBAL(window),
     NUMBER(1, 100000000),
     .fallback = "1000000",
     .sentence = "Pending targets held in memory; what is beyond them waits in Redis."},
    {.name = "listen",
     GLOBAL(listen),
     TEXT(SETTING_FORM_LISTEN),
     .fallback = "127.0.0.1:8126",
     .sentence = "Address of the HTTP endpoint. Empty: no HTTP."},
    {.name = "shutdown_grace_s",
     GLOBAL(shutdown_grace_s),
     NUMBER(0, 3600),
     .fallback = "30",
     .sentence = "Seconds that requests on the wire get to finish when told to stop."},

    {.name = "name",
     ACCOUNT(name),
     TEXT(SETTING_FORM_ACCOUNT),
     .fallback = "main",
     .sentence = "Part of every Redis key of the account."},
    {.name = "api",
     ACCOUNT(api),
     TEXT(SETTING_FORM_API),
     .fallback = "https://api.fastly.com",
     .sentence = "Base URL of the API."},
    {.name = "ca_file",
     ACCOUNT(ca_file),
     TEXT(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "Certificates to trust for it. Empty: the system's."},
    {.name = "token_file",
     ACCOUNT(token_file),
     TEXT(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "File that holds the API token, read again on SIGHUP. Empty: token_env counts."},
    {.name = "token_env",
     ACCOUNT(token_env),
     TEXT(SETTING_FORM_ENV),
     .fallback = "FASTLY_API_TOKEN",
     .sentence =
         "Environment variable that holds the API token. Never write the token itself here."},
    {.name = "services",
     ACCOUNT(services),
     .type = SETTING_SERVICES,
     .fallback = "",
     .sentence =
         "The Fastly services that may be purged: [{id: SU1Z0isxPaozGVKXdv0eY, name: news}]\n"
         "Empty: the one in the environment variable FASTLY_SERVICE_ID."},
    {.name = "default_service",
     ACCOUNT(default_service),
     TEXT(SETTING_FORM_SERVICE),
     .fallback = "",
     .sentence = "For jobs that name no service. Empty: the only one, if there is one."},
    {.name = "allow_purge_all",
     ACCOUNT(allow_purge_all),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "Whether jobs may purge everything of a service."},
    {.name = "url_mode",
     ACCOUNT(url_mode),
     CHOICE(url_modes),
     .fallback = "api",
     .sentence = "URLs go to the API, or as PURGE requests directly to the site."},
    {.name = "direct_hosts",
     ACCOUNT(direct_hosts),
     .type = SETTING_HOSTS,
     .fallback = "",
     .sentence = "The only hosts that url_mode: direct may contact: [www.example.com]"},
    {.name = "key_form",
     ACCOUNT(key_form),
     CHOICE(key_forms),
     .fallback = "header",
     .sentence = "How a batch of keys travels: in a Surrogate-Key header or as a JSON body."},
    {GROUP("budget"),
     .sentence = "Purges of URLs and keys. Fastly's is 100,000 per hour and customer."},
    {.name = "budget.purges",
     ACCOUNT(budget.purges),
     NUMBER(1, UNITS_MAX),
     .fallback = "100000",
     .sentence = "Cost units per window."},
    {.name = "budget.per_s",
     ACCOUNT(budget.per_s),
     NUMBER(1, 86400),
     .fallback = "3600",
     .sentence = "Length of the window in seconds."},
    {.name = "budget.burst",
     ACCOUNT(budget.burst),
     NUMBER(0, UNITS_MAX),
     .fallback = "0",
     .sentence = "The most that may be spent at once; 0 = 5 % of purges."},
    {.name = "budget.headroom",
     ACCOUNT(budget.headroom),
     NUMBER(0, UNITS_MAX),
     .fallback = "0",
     .sentence = "Left for people and tools that purge by other means."},
    {.name = "budget.batch_cost",
     ACCOUNT(budget.batch_cost),
     CHOICE(batch_costs),
     .fallback = "key",
     .sentence = "What a batch costs: one unit per key, or one per request."},
    {.name = "budget.separate",
     ACCOUNT(budget.separate),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "true: URLs and keys have a budget of this size each."},
    {GROUP("writes"), .sentence = "Purge-alls count as writes. Fastly's limit is 1,000 per hour."},
    {.name = "writes.requests",
     ACCOUNT(writes.requests),
     NUMBER(1, 1000000000),
     .fallback = "1000",
     .sentence = "Requests per window."},
    {.name = "writes.per_s",
     ACCOUNT(writes.per_s),
     NUMBER(1, 86400),
     .fallback = "3600",
     .sentence = "Length of the window in seconds."},
    {GROUP("lanes"), .sentence = "How long a key waits for others to share its request."},
    {GROUP("lanes.urgent")},
    {.name = "lanes.urgent.linger_ms",
     ACCOUNT(urgent.linger_ms),
     NUMBER(0, 60000),
     .fallback = "0"},
    {GROUP("lanes.normal")},
    {.name = "lanes.normal.linger_ms",
     ACCOUNT(normal.linger_ms),
     NUMBER(0, 60000),
     .fallback = "5"},
    {GROUP("lanes.bulk")},
    {.name = "lanes.bulk.linger_ms", ACCOUNT(bulk.linger_ms), NUMBER(0, 60000), .fallback = "100"},
    {.name = "max_in_flight",
     ACCOUNT(max_in_flight),
     NUMBER(1, 10000),
     .fallback = "64",
     .sentence = "Requests on the wire at once."},
    {.name = "connect_timeout_ms",
     ACCOUNT(connect_timeout_ms),
     NUMBER(1, 600000),
     .fallback = "3000",
     .sentence = "Longest wait for a connection."},
    {.name = "timeout_ms",
     ACCOUNT(timeout_ms),
     NUMBER(1, 600000),
     .fallback = "10000",
     .sentence = "Longest wait for an answer."},
    {.name = "attempts",
     ACCOUNT(attempts),
     NUMBER(1, 1000),
     .fallback = "10",
     .sentence = "Tries before a target is given up on and its job is a dead letter."},
    {.name = "receipts",
     ACCOUNT(receipts),
     CHOICE(receipt_kinds),
     .fallback = "all",
     .sentence = "Whose end is written down for producers to look up."},
    {.name = "receipt_ttl_s",
     ACCOUNT(receipt_ttl_s),
     NUMBER(1, 2592000),
     .fallback = "86400",
     .sentence = "Seconds that a receipt is kept."},
};

const struct setting *setting_table(size_t *count)
{
    *count = array_len(table);
    return table;
}

const struct setting *setting_find(enum setting_scope scope, const char *name)
{
    for (size_t i = 0; i < array_len(table); i++)
        if (table[i].scope == scope && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static const char *const form_expects[] = {
    [SETTING_FORM_ANY] = "text",
    [SETTING_FORM_REDIS] = "embedded, redis://[user:password@]host:port/db, rediss://... or "
                           "unix:///path",
    [SETTING_FORM_LISTEN] = "an address as 127.0.0.1:8126, or nothing",
    [SETTING_FORM_PATH] = "a path that starts with /, or nothing",
    [SETTING_FORM_ACCOUNT] = "1 to 64 of a-z, 0-9, _ and -",
    [SETTING_FORM_API] = "https://host, or http:// to this machine's own loopback",
    [SETTING_FORM_ENV] = "the name of an environment variable, or nothing",
    [SETTING_FORM_SERVICE] = "a service's id or name, or nothing",
};

void setting_expects(const struct setting *s, struct buf *out)
{
    switch (s->type) {
    case SETTING_GROUP:
        buf_printf(out, "settings below it");
        break;
    case SETTING_TEXT:
        buf_printf(out, "%s", form_expects[s->form]);
        break;
    case SETTING_NUMBER:
        buf_printf(out, "a number from %llu to %llu", (unsigned long long)s->min,
                   (unsigned long long)s->max);
        break;
    case SETTING_FLAG:
        buf_printf(out, "true or false");
        break;
    case SETTING_CHOICE:
        for (size_t i = 0; i < s->choices_count; i++)
            buf_printf(out, "%s%s",
                       i == 0                     ? ""
                       : i + 1 < s->choices_count ? ", "
                                                  : " or ",
                       s->choices[i]);
        break;
    case SETTING_SERVICES:
        buf_printf(out, "up to %d services with an id of at most 64 letters and digits",
                   CONFIG_SERVICES_MAX);
        break;
    case SETTING_HOSTS:
        buf_printf(out, "up to %d host names", SETTING_HOSTS_MAX);
        break;
    }
}

int setting_set(const struct setting *s, void *base, const char *text, char *err, size_t err_room)
{
    struct buf expects;
    int rc = setting_value_set(s, (char *)base + s->offset, base, text);

    if (rc == 0)
        return 0;
    buf_init(&expects, 4096);
    setting_expects(s, &expects);
    if (s->secret || !*text)
        snprintf(err, err_room, "expected %s%s", expects.p, *text ? "" : ", found nothing");
    else
        snprintf(err, err_room, "expected %s, found '%.80s'%s", expects.p, text,
                 strlen(text) > 80 ? "..." : "");
    buf_deinit(&expects);
    return rc;
}

void setting_env_name(const struct setting *s, char *out, size_t room)
{
    int n = snprintf(out, room, "PURGELINE_%s", s->name);

    must(n > 0 && (size_t)n < room);
    for (char *c = out; *c; c++)
        *c = *c == '.' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}

void setting_set_defaults(enum setting_scope scope, void *base)
{
    char err[256];

    for (size_t i = 0; i < array_len(table); i++) {
        int rc = 0;

        if (table[i].scope == scope && table[i].type != SETTING_GROUP)
            rc = setting_set(&table[i], base, table[i].fallback, err, sizeof(err));
        must(rc == 0);
    }
}
