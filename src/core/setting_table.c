/* SPDX-License-Identifier: MIT */
#include "job.h"
#include "setting.h"

static const char *const url_modes[] = {[URL_MODE_API] = "api", [URL_MODE_DIRECT] = "direct"};
static const char *const key_forms[] = {[KEY_FORM_HEADER] = "header", [KEY_FORM_JSON] = "json"};
static const char *const batch_costs[] = {
    [BATCH_COST_KEY] = "key", [BATCH_COST_REQUEST] = "request"};
static const char *const receipt_kinds[] = {
    [RECEIPTS_NONE] = "none", [RECEIPTS_FAILED] = "failed", [RECEIPTS_ALL] = "all"};

static const char *const producer_kinds[] = {"url", "key", "all"}; /* bits: PRODUCER_URL ... */
static const char *const hook_schemes[] = {[HOOK_HMAC_SHA256] = "hmac-sha256",
                                           [HOOK_HMAC_SHA1] = "hmac-sha1",
                                           [HOOK_TOKEN] = "token",
                                           [HOOK_UNSIGNED] = "unsigned"};
static const char *const hook_encodings[] = {
    [HOOK_HEX] = "hex", [HOOK_BASE64] = "base64", [HOOK_BASE64URL] = "base64url"};

#define IN(scope_, type_, member)                                                                  \
    .scope = (scope_), .offset = offsetof(struct type_, member),                                   \
    .size = sizeof(((struct type_ *)NULL)->member)
#define GLOBAL(member) IN(SETTING_GLOBAL, config, member)
#define ACCOUNT(member) IN(SETTING_ACCOUNT, config_account, member)
#define PRODUCER(member) IN(SETTING_PRODUCER, config_producer, member)
#define HOOK(member) IN(SETTING_HOOK, config_hook, member)
#define GROUP(scope_, name_) .name = (name_), .scope = (scope_), .type = SETTING_GROUP
#define TEXT(form_) .type = SETTING_TEXT, .form = (form_)
#define TEXT_OR_NONE(form_) TEXT(form_), .may_be_empty = true
#define OF_REDIS(member, form_)                                                                    \
    .name = #member, GLOBAL(member), .reload = SETTING_RESTART, TEXT_OR_NONE(form_), .fallback = ""
#define WORDS(form_) .type = SETTING_WORDS, .form = (form_)
#define SET(names) .type = SETTING_SET, .choices = (names), .choices_count = array_len(names)
#define NUMBER(min_, max_) .type = SETTING_NUMBER, .min = (min_), .max = (max_)
#define BYTES(min_, max_) .type = SETTING_BYTES, .min = (min_), .max = (max_)
#define CHOICE(names) .type = SETTING_CHOICE, .choices = (names), .choices_count = array_len(names)

#define UNITS_MAX UINT64_C(1000000000000)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

static const struct setting table[] = {
    {.name = "redis",
     GLOBAL(redis),
     .reload = SETTING_RESTART,
     TEXT(SETTING_FORM_REDIS),
     .fallback = "embedded",
     .secret = true,
     .sentence = "Where jobs are kept. embedded: purgeline run starts its own redis-server."},
    {GROUP(SETTING_GLOBAL, "redis_tls"),
     .sentence = "TLS of rediss://. The files are read at each connection."},
    {OF_REDIS(redis_tls.ca_file, SETTING_FORM_PATH),
     .sentence = "PEM file with the CA certificates to trust. Empty: the system's."},
    {OF_REDIS(redis_tls.cert_file, SETTING_FORM_PATH),
     .sentence = "PEM file with the certificate that Redis asks of its clients. Empty: none."},
    {OF_REDIS(redis_tls.key_file, SETTING_FORM_PATH), .guarded = true,
     .sentence = "PEM file with the private key of that certificate."},
    {GROUP(SETTING_GLOBAL, "redis_auth"),
     .sentence = "The login, if the URL has none. Passwords are read at each connection, so a new "
                 "one needs\n"
                 "neither a restart nor a reload."},
    {OF_REDIS(redis_auth.user, SETTING_FORM_ANY), .sentence = "Empty: Redis' default user."},
    {OF_REDIS(redis_auth.password_file, SETTING_FORM_PATH), .guarded = true, .secret = true,
     .sentence = "File that holds the password. Empty: password_env is used."},
    {OF_REDIS(redis_auth.password_env, SETTING_FORM_ENV), .secret = true,
     .sentence = "Environment variable that holds the password."},
    {OF_REDIS(redis_auth.sentinel_user, SETTING_FORM_ANY),
     .sentence = "Empty: the default user of the sentinels."},
    {OF_REDIS(redis_auth.sentinel_password_file, SETTING_FORM_PATH), .guarded = true,
     .secret = true, .sentence = "File that holds the password, if the sentinels want one."},
    {OF_REDIS(redis_auth.sentinel_password_env, SETTING_FORM_ENV), .secret = true,
     .sentence = "Environment variable that holds it."},
    {.name = "redis_replicas",
     GLOBAL(redis_replicas),
     .reload = SETTING_RESTART,
     NUMBER(0, CONFIG_REPLICAS_MAX),
     .fallback = "0",
     .sentence =
         "A job is accepted, budget reserved and a lease held only when this many replicas "
         "of Redis\n"
         "have it, so that a failover loses nothing. Redis waits for them for up to 1 s. 0: "
         "a failover\n"
         "may lose what was written in the last moments."},
    {.name = "data_dir",
     GLOBAL(data_dir),
     .guarded = true,
     .reload = SETTING_RESTART,
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "Folder of the embedded Redis. Empty: /var/lib/purgeline for root, otherwise\n"
                 "$XDG_STATE_HOME/purgeline or ~/.local/state/purgeline."},
    {.name = "senders",
     GLOBAL(senders),
     .reload = SETTING_RESTART,
     NUMBER(0, 256),
     .fallback = "0",
     .sentence = "Threads that talk to Fastly; 0 = one per core."},
    {.name = "window",
     GLOBAL(window),
     .reload = SETTING_RESTART,
     NUMBER(1, CONFIG_WINDOW_MAX),
     .fallback = "1000000",
     .sentence = "Maximum number of pending targets held in memory; all others wait in Redis."},
    {.name = "memory_max",
     GLOBAL(memory_max),
     .reload = SETTING_RESTART,
     BYTES(32 * MIB, TIB),
     .fallback = "256MiB",
     .sentence =
         "Memory limit for jobs and requests. Half of it is for jobs read from Redis, shared by "
         "all\n"
         "accounts; further jobs wait in Redis. A quarter is for HTTP requests in progress and an\n"
         "eighth for HTTP connections; beyond that, clients get 503. A single job may use an "
         "eighth."},
    {.name = "listen",
     GLOBAL(listen),
     TEXT_OR_NONE(SETTING_FORM_LISTEN),
     .may_be_list = true,
     .fallback = "127.0.0.1:8126",
     .sentence = "Addresses of the HTTP endpoint: [\"127.0.0.1:8126\", \"[::1]:8126\",\n"
                 "\"unix:/run/purgeline/http.sock\"]. Unix sockets always speak plain HTTP, and "
                 "their clients are\n"
                 "treated as local. Empty: no HTTP."},
    {GROUP(SETTING_GLOBAL, "http"), .sentence = "Limits and TLS of the HTTP endpoint."},
    {.name = "http.connections",
     GLOBAL(http.connections),
     NUMBER(1, 1000000),
     .fallback = "10000",
     .sentence = "Maximum number of open connections. A connection that has made a request, or "
                 "sends a request\n"
                 "head of more than 4 KiB, uses up to 88 KiB in addition to its body. When "
                 "connections use\n"
                 "more than an eighth of memory_max, the oldest one that has shown no valid token "
                 "is closed,\n"
                 "then idle ones; if all have a request in progress, new connections get 503."},
    {.name = "http.per_address",
     GLOBAL(http.per_address),
     NUMBER(0, 1000000),
     .fallback = "1000",
     .sentence = "Maximum number of connections from one IPv4 address or IPv6 network (/64). Does "
                 "not apply\n"
                 "to 127.0.0.1, ::1 and Unix sockets. 0 = no limit per address."},
    {.name = "http.unix_mode",
     GLOBAL(http.unix_mode),
     TEXT(SETTING_FORM_MODE),
     .fallback = "0660",
     .sentence =
         "Permissions of the Unix sockets in `listen`. Users who may write to a socket may push."},
    {.name = "http.unix_group",
     GLOBAL(http.unix_group),
     TEXT_OR_NONE(SETTING_FORM_GROUP),
     .fallback = "",
     .sentence = "Group of the Unix sockets; purgeline's user must be a member. Empty: group of "
                 "the process."},
    {.name = "http.idle_s",
     GLOBAL(http.idle_s),
     NUMBER(1, 3600),
     .fallback = "60",
     .sentence = "Seconds after which an idle connection is closed."},
    {.name = "http.request_s",
     GLOBAL(http.request_s),
     NUMBER(1, 3600),
     .fallback = "30",
     .sentence = "Seconds within which a client must send its complete request, head and body."},
    {.name = "http.body_max_bytes",
     GLOBAL(http.body_max_bytes),
     NUMBER(1024, 1073741824),
     .fallback = "8388608",
     .sentence = "Maximum size of a request body. Bulk pushes, which are streamed line by line, "
                 "may be larger."},
    {.name = "http.results_max",
     GLOBAL(http.results_max),
     BYTES(MIB, TIB),
     .fallback = "512MiB",
     .sentence = "Maximum total size of the temporary files that hold the results of bulk pushes. "
                 "When it is\n"
                 "reached, a bulk push is ended early."},
    {.name = "http.backlog_max",
     GLOBAL(http.backlog_max),
     NUMBER(0, UNITS_MAX),
     .fallback = "0",
     .sentence = "Maximum number of waiting jobs per account; further jobs are refused with 503. 0 "
                 "= no limit."},
    {.name = "http.tls_cert_file",
     GLOBAL(http.tls_cert_file),
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence =
         "PEM file with the server certificate and its intermediate certificates. Empty: no TLS."},
    {.name = "http.tls_key_file",
     GLOBAL(http.tls_key_file),
     .guarded = true,
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "PEM file with the private key of the server certificate."},
    {.name = "http.tls_client_ca_file",
     GLOBAL(http.tls_client_ca_file),
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence =
         "CA that must have signed client certificates. Empty: clients need no certificate."},
    {.name = "shutdown_grace_s",
     GLOBAL(shutdown_grace_s),
     NUMBER(0, 3600),
     .fallback = "30",
     .sentence = "Seconds that requests in flight get to finish when purgeline is told to stop."},

    {.name = "name",
     ACCOUNT(name),
     .reload = SETTING_RESTART,
     TEXT(SETTING_FORM_NAME),
     .fallback = "main",
     .sentence = "Part of every Redis key of the account."},
    {.name = "api",
     ACCOUNT(api),
     TEXT(SETTING_FORM_API),
     .fallback = "https://api.fastly.com",
     .sentence = "Base URL of the API."},
    {.name = "ca_file",
     ACCOUNT(ca_file),
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "CA certificates to trust for the API. Empty: the system's."},
    {.name = "api_proxy",
     ACCOUNT(api_proxy),
     TEXT_OR_NONE(SETTING_FORM_PROXY),
     .fallback = "",
     .sentence = "Egress proxy for the API (CONNECT). env: use https_proxy and no_proxy of the "
                 "environment.\n"
                 "Empty: no proxy, whatever the environment says. Direct purges never go through "
                 "the proxy."},
    {.name = "api_proxy_auth_file",
     ACCOUNT(api_proxy_auth_file),
     .guarded = true,
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .secret = true,
     .sentence =
         "File with user:password for the proxy, read again on SIGHUP. Empty: no authentication."},
    {.name = "api_proxy_ca_file",
     ACCOUNT(api_proxy_ca_file),
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .sentence = "CA certificates to trust for an https:// proxy. Empty: the system's."},
    {.name = "token_file",
     ACCOUNT(token_file),
     .guarded = true,
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .secret = true,
     .sentence = "File that holds the API token, read again on SIGHUP. Empty: token_env is used."},
    {.name = "token_env",
     ACCOUNT(token_env),
     TEXT_OR_NONE(SETTING_FORM_ENV),
     .fallback = "FASTLY_API_TOKEN",
     .secret = true,
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
     TEXT_OR_NONE(SETTING_FORM_SERVICE),
     .fallback = "",
     .sentence = "Service for jobs that name none. Empty: the only service, if there is just one."},
    {.name = "allow_purge_all",
     ACCOUNT(allow_purge_all),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "Whether jobs may purge all content of a service (purge-all)."},
    {.name = "url_mode",
     ACCOUNT(url_mode),
     CHOICE(url_modes),
     .fallback = "api",
     .sentence =
         "api: send URL purges to the API. direct: send PURGE requests directly to the site."},
    {.name = "direct_hosts",
     ACCOUNT(direct_hosts),
     WORDS(SETTING_FORM_HOST),
     .fallback = "",
     .sentence = "The only hosts that url_mode: direct may contact: [www.example.com]\n"
                 "Names that resolve to private addresses are refused, unless that address is "
                 "listed here."},
    {.name = "direct_token_hosts",
     ACCOUNT(direct_token_hosts),
     WORDS(SETTING_FORM_HOST),
     .fallback = "",
     .sentence = "Hosts of direct_hosts that are sent the API token, over https only; http:// URLs "
                 "of these\n"
                 "hosts are refused. All other hosts are purged without the token."},
    {.name = "key_form",
     ACCOUNT(key_form),
     CHOICE(key_forms),
     .fallback = "header",
     .sentence = "How a batch of keys is sent: in a Surrogate-Key header or as a JSON body."},
    {GROUP(SETTING_ACCOUNT, "budget"),
     .sentence =
         "Budget for purges of URLs and keys. Fastly's limit is 100,000 per hour and customer."},
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
     .sentence = "Maximum number of units that may be spent at once; 0 = half of purges."},
    {.name = "budget.headroom",
     ACCOUNT(budget.headroom),
     NUMBER(0, UNITS_MAX),
     .fallback = "0",
     .sentence = "Units of the budget reserved for people and tools that purge without purgeline."},
    {.name = "budget.batch_cost",
     ACCOUNT(budget.batch_cost),
     CHOICE(batch_costs),
     .fallback = "key",
     .sentence = "What a batch costs: one unit per key, or one per request."},
    {.name = "budget.separate",
     ACCOUNT(budget.separate),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "true: URLs and keys have separate budgets, each of this size."},
    {GROUP(SETTING_ACCOUNT, "writes"),
     .sentence =
         "Budget for purge-alls, which count as API writes. Fastly's limit is 1,000 per hour."},
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
    {GROUP(SETTING_ACCOUNT, "lanes"),
     .sentence =
         "For each lane: how long a key waits for other keys to share its request, and what "
         "a burst leaves\n"
         "of the budget for the rest of the window, in percent. With 50, half of an unused "
         "budget may be\n"
         "spent at once, and the other half lasts until the first half counts no more."},
    {GROUP(SETTING_ACCOUNT, "lanes.urgent")},
    {.name = "lanes.urgent.linger_ms",
     ACCOUNT(urgent.linger_ms),
     NUMBER(0, 60000),
     .fallback = "0"},
    {.name = "lanes.urgent.burst_leaves",
     ACCOUNT(urgent.burst_leaves),
     NUMBER(0, 100),
     .fallback = "20"},
    {GROUP(SETTING_ACCOUNT, "lanes.normal")},
    {.name = "lanes.normal.linger_ms",
     ACCOUNT(normal.linger_ms),
     NUMBER(0, 60000),
     .fallback = "5"},
    {.name = "lanes.normal.burst_leaves",
     ACCOUNT(normal.burst_leaves),
     NUMBER(0, 100),
     .fallback = "50"},
    {GROUP(SETTING_ACCOUNT, "lanes.bulk")},
    {.name = "lanes.bulk.linger_ms", ACCOUNT(bulk.linger_ms), NUMBER(0, 60000), .fallback = "100"},
    {.name = "lanes.bulk.burst_leaves",
     ACCOUNT(bulk.burst_leaves),
     NUMBER(0, 100),
     .fallback = "75"},
    {.name = "max_in_flight",
     ACCOUNT(max_in_flight),
     NUMBER(1, 10000),
     .fallback = "64",
     .sentence = "Maximum number of requests in flight. One place in 16 is for the urgent lane."},
    {.name = "connect_timeout_ms",
     ACCOUNT(connect_timeout_ms),
     NUMBER(1, 600000),
     .fallback = "3000",
     .sentence = "Timeout for connecting, in milliseconds."},
    {.name = "timeout_ms",
     ACCOUNT(timeout_ms),
     NUMBER(1, 600000),
     .fallback = "10000",
     .sentence = "Timeout for a reply, in milliseconds."},
    {.name = "attempts",
     ACCOUNT(attempts),
     NUMBER(1, CONFIG_ATTEMPTS_MAX),
     .fallback = "10",
     .sentence =
         "Number of attempts before a target is given up and its job becomes a dead letter."},
    {.name = "receipts",
     ACCOUNT(receipts),
     CHOICE(receipt_kinds),
     .fallback = "all",
     .sentence = "Which outcomes get a receipt."},
    {.name = "receipt_ttl_s",
     ACCOUNT(receipt_ttl_s),
     NUMBER(1, 2592000),
     .fallback = "86400",
     .sentence = "Seconds for which receipts are kept."},

    {.name = "name",
     PRODUCER(name),
     TEXT(SETTING_FORM_NAME),
     .example = "cms",
     .sentence = "Name of the producer in the log."},
    {.name = "token_sha256",
     PRODUCER(token_sha256),
     TEXT_OR_NONE(SETTING_FORM_SHA256),
     .fallback = "",
     .example = "0000000000000000000000000000000000000000000000000000000000000000",
     .secret = true,
     .sentence = "SHA-256 of the producer's token, in hex: printf %s \"$TOKEN\" | sha256sum. Never "
                 "write the\n"
                 "token itself here. A request with a wrong token is refused, even if `from` or "
                 "`certificate` match."},
    {.name = "from",
     PRODUCER(from),
     WORDS(SETTING_FORM_NETWORK),
     .fallback = "",
     .sentence = "Clients without a token that connect from these networks are this producer:\n"
                 "[10.1.0.0/16, \"fd00::/8\", unix]. The address of the connection decides: behind "
                 "a proxy that\n"
                 "is the proxy's address. X-Forwarded-For is ignored."},
    {.name = "certificate",
     PRODUCER(certificate),
     TEXT_OR_NONE(SETTING_FORM_ANY),
     .fallback = "",
     .sentence = "Clients without a token whose certificate has this name (its CN, or a DNS name) "
                 "are this\n"
                 "producer. http.tls_client_ca_file verifies the certificate."},
    {.name = "accounts",
     PRODUCER(accounts),
     WORDS(SETTING_FORM_ACCOUNT),
     .fallback = "",
     .sentence = "Accounts the producer may push to. Empty: all."},
    {.name = "services",
     PRODUCER(services),
     WORDS(SETTING_FORM_SERVICE),
     .fallback = "",
     .sentence = "Services the producer may purge. Empty: all."},
    {.name = "hosts",
     PRODUCER(hosts),
     WORDS(SETTING_FORM_HOST_PATTERN),
     .fallback = "",
     .sentence = "Hosts whose URLs the producer may purge: [www.example.com, \"*.example.net\"]. "
                 "Empty: all."},
    {.name = "kinds",
     PRODUCER(kinds),
     SET(producer_kinds),
     .fallback = "url,key",
     .sentence = "What the producer may purge. `all` (all content of a service) must be listed "
                 "explicitly."},
    {.name = "lanes",
     PRODUCER(lanes),
     SET(lane_names),
     .fallback = "urgent,normal,bulk",
     .sentence = "Lanes the producer may push to."},
    {.name = "jobs_per_minute",
     PRODUCER(jobs_per_minute),
     NUMBER(0, 1000000000),
     .fallback = "0",
     .sentence = "Jobs the producer may push, look up or cancel per minute; 0 = no limit."},
    {.name = "admin",
     PRODUCER(admin),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "Whether the producer may pause and resume accounts, and manage dead letters and "
                 "the jobs of\n"
                 "other producers."},

    {.name = "name",
     HOOK(name),
     TEXT(SETTING_FORM_NAME),
     .example = "contentful",
     .sentence = "The hook receives POST requests at /hooks/<name>."},
    {.name = "account",
     HOOK(account),
     TEXT_OR_NONE(SETTING_FORM_ACCOUNT),
     .fallback = "",
     .sentence = "Account for the hook's jobs. Empty: the only account."},
    {.name = "service",
     HOOK(service),
     TEXT_OR_NONE(SETTING_FORM_SERVICE),
     .fallback = "",
     .sentence = "Service for the hook's jobs. Empty: the account's default."},
    {.name = "lane",
     HOOK(lane),
     CHOICE(lane_names),
     .fallback = "normal",
     .sentence = "Lane for the hook's jobs."},
    {.name = "soft",
     HOOK(soft),
     .type = SETTING_FLAG,
     .fallback = "false",
     .sentence = "true: soft purges, which only mark content as stale."},
    {.name = "secret_file",
     HOOK(secret_file),
     .guarded = true,
     TEXT_OR_NONE(SETTING_FORM_PATH),
     .fallback = "",
     .secret = true,
     .sentence = "File that holds the secret shared with the sender. Empty: secret_env is used."},
    {.name = "secret_env",
     HOOK(secret_env),
     TEXT_OR_NONE(SETTING_FORM_ENV),
     .fallback = "",
     .example = "CONTENTFUL_SECRET",
     .secret = true,
     .sentence = "Environment variable that holds the secret. Never write the secret itself here."},
    {GROUP(SETTING_HOOK, "signature"), .sentence = "How the sender's requests are authenticated."},
    {.name = "signature.scheme",
     HOOK(signature.scheme),
     CHOICE(hook_schemes),
     .fallback = "hmac-sha256",
     .sentence =
         "token: the header holds the secret itself. unsigned: no authentication; only for an\n"
         "endpoint that can be reached from this machine alone."},
    {.name = "signature.encoding",
     HOOK(signature.encoding),
     CHOICE(hook_encodings),
     .fallback = "hex",
     .sentence = "Encoding of the digest."},
    {.name = "signature.header",
     HOOK(signature.header),
     TEXT_OR_NONE(SETTING_FORM_HEADER),
     .fallback = "",
     .example = "x-contentful-signature",
     .sentence = "Header that holds the digest."},
    {.name = "signature.value",
     HOOK(signature.value),
     TEXT(SETTING_FORM_ANY),
     .fallback = "{digest}",
     .sentence = "Format of the header's value, for example \"sha256={digest}\" or "
                 "\"t={time},v1={digest}\"."},
    {.name = "signature.signs",
     HOOK(signature.signs),
     TEXT(SETTING_FORM_LINES),
     .fallback = "{body}",
     .example = "{method}\n"
                "{path}\n"
                "{headers}\n"
                "{body}",
     .sentence =
         "Text that is signed, made of {body} {time} {method} {path} {headers} and literal text."},
    {.name = "signature.time_header",
     HOOK(signature.time_header),
     TEXT_OR_NONE(SETTING_FORM_HEADER),
     .fallback = "",
     .example = "x-contentful-timestamp",
     .sentence = "Header that holds {time}, unless signature.value contains it."},
    {.name = "signature.headers_header",
     HOOK(signature.headers_header),
     TEXT_OR_NONE(SETTING_FORM_HEADER),
     .fallback = "",
     .example = "x-contentful-signed-headers",
     .sentence = "Header that lists the names of the {headers}, separated by commas."},
    {.name = "signature.tolerance_s",
     HOOK(signature.tolerance_s),
     NUMBER(0, 86400),
     .fallback = "300",
     .sentence = "Seconds that {time} may differ from this machine's clock; 0 = not checked."},
    {.name = "when",
     HOOK(when),
     WORDS(SETTING_FORM_CONDITION),
     .fallback = "",
     .sentence =
         "Purge only if all these conditions hold: [sys.type=Entry, \"header:x-topic=publish\"]."},
    {.name = "keys",
     HOOK(keys),
     WORDS(SETTING_FORM_TEMPLATE),
     .fallback = "",
     .example = "{sys.id}",
     .sentence = "Keys to purge; {path} stands for the value at that path in the posted JSON."},
    {.name = "urls",
     HOOK(urls),
     WORDS(SETTING_FORM_TEMPLATE),
     .fallback = "",
     .sentence = "URLs to purge; {path} stands for the value at that path in the posted JSON."},
    {.name = "max_targets",
     HOOK(max_targets),
     NUMBER(1, JOB_TARGETS_MAX),
     .fallback = "256",
     .sentence = "Maximum number of targets per request; a request with more is refused."},
    {.name = "repeat_after_ms",
     HOOK(repeat_after_ms),
     NUMBER(0, JOB_REPEAT_MAX_MS),
     .fallback = "0",
     .sentence = "Purge once more this many milliseconds after success; 0 = purge once only."},
};

const struct setting *setting_table(size_t *count)
{
    *count = array_len(table);
    return table;
}
