/* SPDX-License-Identifier: MIT
 * The configuration as plain values, and the checks that involve more than one setting.
 * config/config_file reads the YAML file. */
#pragma once

#include "base.h"
#include "error.h"
#include "span.h"

enum lane { LANE_URGENT, LANE_NORMAL, LANE_BULK, LANE_N };
enum url_mode { URL_MODE_API, URL_MODE_DIRECT };
enum key_form { KEY_FORM_HEADER, KEY_FORM_JSON };
enum batch_cost { BATCH_COST_KEY, BATCH_COST_REQUEST };
enum receipts { RECEIPTS_NONE, RECEIPTS_FAILED, RECEIPTS_ALL };
enum receipts_in { RECEIPTS_IN_KEYS, RECEIPTS_IN_HISTORY };

extern const char *const lane_names[LANE_N];               /* "urgent", "normal", "bulk" */
must_use int lane_parse(struct span name, enum lane *out); /* 0 or -EINVAL */

#define CONFIG_WINDOW_MAX 100000000
#define CONFIG_ATTEMPTS_MAX 1000
#define CONFIG_SERVICES_MAX 1024
#define CONFIG_ACCOUNTS_MAX 1024
#define CONFIG_PRODUCERS_MAX 1024
#define CONFIG_HOOKS_MAX 256
#define CONFIG_CONSUMERS_MAX 256
#define CONFIG_CANARIES_MAX 256
#define CONFIG_WORDS_MAX 256 /* in one list */
#define CONFIG_REPLICAS_MAX 5
#define CONFIG_VERIFY_ROUNDS_MAX 7
#define CONFIG_SOCKET_NAME "/redis.sock" /* of the embedded Redis, in data_dir */

/* A list of words, each malloc'ed. */
struct config_words {
    char **at;
    uint32_t count;
};

struct config_service {
    char *id;   /* Fastly's, [A-Za-z0-9]{1,64} */
    char *name; /* name in the configuration; may be empty */
};

struct config_budget {
    uint64_t purges;   /* cost units per window */
    uint32_t per_s;    /* the window; 3600 is Fastly's hour */
    uint64_t burst;    /* token bucket capacity; 0 = half of purges */
    uint64_t headroom; /* reserved for people and tools that purge without purgeline */
    enum batch_cost batch_cost;
    bool separate; /* URLs and keys each have their own budget of this size */
};

struct config_writes {
    uint64_t requests;
    uint32_t per_s;
};

/* The part of Fastly's limits for requests that only read its API: core/reads.h. */
struct config_reads {
    uint32_t per_minute;
    uint32_t edge_checks;        /* per hour */
    uint32_t purge_alls_every_s; /* 0: Fastly's event log is not asked for those of others */
};

/* Looks at pages after their purges. */
struct config_verify {
    uint32_t share;      /* of URL purges that no job asks to verify, in thousandths; 0 = none */
    uint32_t after_ms;   /* from the answer to a purge to the first look */
    uint32_t rounds;     /* of looks and further purges, at most */
    uint32_t per_minute; /* looks */
    struct config_words probes; /* POPs to look at, "192.0.2.1:443"; empty = the nearest one */
};

struct config_lane {
    uint32_t linger_ms;
    uint32_t burst_leaves; /* what a burst leaves of the budget for the rest of the window, in
                              percent */
};

struct config_account {
    char *name; /* [a-z0-9_-]{1,64}; part of every Redis key */
    char *api;
    char *ca_file;
    char *api_proxy; /* "" = none, "env", or its URL */
    char *api_proxy_auth_file;
    char *api_proxy_ca_file;
    char *token_file;
    char *token_env;
    struct config_service *services;
    uint32_t services_count;
    char *default_service;
    bool allow_purge_all;
    char *purge_all_needs; /* URL that must answer before a purge-all is sent; "" = none */
    enum url_mode url_mode;
    struct config_words direct_hosts;
    struct config_words direct_token_hosts; /* which direct hosts get the API token */
    struct config_words origins;            /* that jobs may ask: core/when.h */
    char *origin_ca_file;
    uint32_t origin_asks_per_s; /* of one host */
    enum key_form key_form;
    struct config_budget budget;
    struct config_writes writes;
    struct config_reads reads;
    struct config_lane urgent, normal, bulk; /* under `lanes:` in the file */
    uint32_t max_in_flight;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    uint32_t attempts;
    enum receipts receipts;
    uint32_t receipt_ttl_s;
    enum receipts_in receipts_in;
    uint32_t history_jobs; /* limit of jobs in the history; 0 = there is none */
    uint32_t history_ttl_s;
    struct config_verify verify;
};

/* Limits and TLS of the HTTP endpoint. */
struct config_http {
    uint32_t connections;    /* open at once */
    uint32_t per_address;    /* connections from one address; 0 = no limit */
    uint32_t idle_s;         /* idle time after which a connection is closed */
    uint32_t request_s;      /* time limit for receiving head and body of a request */
    uint64_t body_max_bytes; /* of a body that is not streamed */
    uint64_t results_max;    /* total bytes of answers to bulk pushes, kept in temporary files */
    uint32_t event_streams;  /* of GET /v1/events, open at once */
    uint64_t backlog_max; /* waiting jobs per account, beyond which pushes get 503; 0 = no limit */
    char *unix_mode;      /* permissions of Unix sockets, octal; see config_unix_mode */
    char *unix_group;     /* group of Unix sockets; "" = the process's group */
    char *tls_cert_file;  /* "" = plain HTTP */
    char *tls_key_file;
    char *tls_client_ca_file; /* "" = clients need no certificate */
    bool console;             /* serves the page for operators at /console */
};

/* Bits of config_producer.kinds. */
enum { PRODUCER_URL = 1 << 0, PRODUCER_KEY = 1 << 1, PRODUCER_ALL = 1 << 2 };

/* A client that may push over HTTP, and what it may push. An empty list allows everything; sets are
 * never empty. */
struct config_producer {
    char *name;
    char *token_sha256; /* SHA-256 of the producer's token, 64 lower-case hex digits; "" = none */
    struct config_words from; /* identifies a producer without a token: networks, "unix" */
    char *certificate; /* identifies a producer without a token: a name in its client certificate;
                          "" = none */
    struct config_words accounts;
    struct config_words services; /* ids or names */
    struct config_words hosts;    /* of URLs: "www.example.com", "*.example.com" */
    struct config_words origins;  /* that its jobs may ask: core/when.h */
    uint32_t kinds;               /* PRODUCER_* */
    uint32_t lanes;               /* bit n is enum lane n */
    uint32_t jobs_per_minute;     /* 0 = no limit */
    bool admin; /* may use dead letters, pause and resume, and jobs of other producers */
};

enum hook_scheme {
    HOOK_HMAC_SHA256,
    HOOK_HMAC_SHA1,
    HOOK_TOKEN, /* the header holds the secret itself */
    HOOK_UNSIGNED,
};
enum hook_encoding { HOOK_HEX, HOOK_BASE64, HOOK_BASE64URL };

/* How requests of a publishing system are authenticated. */
struct config_signature {
    enum hook_scheme scheme;
    enum hook_encoding encoding; /* of the digest */
    char *header;                /* header that contains the digest */
    char *value;          /* header's form: "{digest}", "sha256={digest}", "t={time},v1={digest}" */
    char *signs;          /* the signed bytes: {body} {time} {method} {path} {headers} and text */
    char *time_header;    /* holds {time} when `value` does not; "" = none */
    char *headers_header; /* header that lists the names of {headers}; "" = none */
    uint32_t tolerance_s; /* how far {time} may be from now; 0 = not checked */
};

/* How the JSON that a publishing system posts becomes a job. */
struct config_hook {
    char *name;                   /* in POST /hooks/<name> */
    char *account;                /* "" = the only account */
    struct config_words services; /* ids or names; empty = the account's default */
    enum lane lane;
    bool soft;
    char *secret_file, *secret_env;
    struct config_signature signature;
    struct config_words when; /* conditions, all must hold: "path=value", "header:name=value" */
    struct config_words keys, urls;   /* templates */
    uint32_t max_targets;             /* maximum per request; a request with more is refused */
    uint32_t repeat_after_ms;         /* 0 = once */
#define CONFIG_REPEAT_AUTO UINT32_MAX /* ... after a time that is learnt */
};

/* TLS of a connection that we make, to Redis or to a message queue. */
/* A page by which it is seen whether purges of a service have an effect. */
struct config_canary {
    char *name;
    char *account, *service; /* "" = the only account, its default service */
    char *url, *key;
    uint32_t every_s; /* one purge by key and one by URL */
};

/* For rediss:// */
struct config_redis_tls {
    char *ca_file; /* "" = the system's */
    char *cert_file, *key_file;
};

/* The login, if it is not in the URL. All may be "". */
struct config_redis_auth {
    char *user;
    char *password_file, *password_env;
    char *sentinel_user, *sentinel_password_file, *sentinel_password_env;
};

enum consumer_source {
    CONSUMER_REDIS_LIST,
    CONSUMER_REDIS_STREAM,
    CONSUMER_POSTGRES, /* this and the following ones are plugins: source_plugin.h */
    CONSUMER_AMQP,
    CONSUMER_NATS,
    CONSUMER_KAFKA,
};
enum consumer_end { CONSUMER_LEFT, CONSUMER_RIGHT };
enum consumer_sasl { CONSUMER_PLAIN, CONSUMER_SCRAM_SHA_256, CONSUMER_SCRAM_SHA_512 };
enum consumer_job {
    CONSUMER_MAPPED, /* templates make a job of the message */
    CONSUMER_JSON,   /* the message is a job */
};

enum consumer_while_paused { CONSUMER_CONTINUE, CONSUMER_STOP };

/* A message queue whose messages become jobs. */
struct config_consumer {
    char *name;
    bool run; /* by the daemon */
    enum consumer_source source;
    char *url;   /* "" = the Redis that purgeline uses */
    char *topic; /* the list, stream, table, queue or topic */
    char *group; /* of a stream's or topic's consumers; of NATS: the durable consumer */
    char *field; /* of a stream's entry: holds the message; "" = all fields are the message */
    enum consumer_end take; /* the end of a list where the oldest message is */
    uint32_t claim_after_s; /* messages of a stream that others hold for longer are taken over */
    uint32_t session_timeout_s; /* of a group of Kafka */
    char *user, *password_file, *password_env;
    char *credentials_file;  /* of NATS */
    enum consumer_sasl sasl; /* how to log in to Kafka */
    struct config_redis_tls tls;
    enum consumer_while_paused while_paused; /* while the account is paused */
    enum consumer_job job;
    /* What makes a job of a message: account, service, lane, soft, when, keys, urls, max_targets
     * and repeat_after_ms. Everything else is NULL or 0. */
    struct config_hook mapping;
};

struct config {
    char *redis;
    struct config_redis_tls redis_tls;
    struct config_redis_auth redis_auth;
    uint32_t redis_replicas;
    char *data_dir;
    uint32_t senders;
    uint32_t window;
    uint64_t memory_max; /* in bytes, for jobs and requests */
    char *listen;        /* comma-separated addresses; setting_listen_next splits them */
    uint32_t shutdown_grace_s;
    struct config_http http;
    struct config_account *accounts;
    uint32_t accounts_count;
    struct config_producer *producers;
    uint32_t producers_count;
    struct config_hook *hooks;
    uint32_t hooks_count;
    struct config_consumer *consumers;
    uint32_t consumers_count;
    struct config_canary *canaries;
    uint32_t canaries_count;
};

/* Initialize a struct with the defaults of the table in core/setting. The memory must not hold
 * earlier values. */
void config_init(struct config *c); /* no accounts, producers, hooks, consumers */
void config_account_init(struct config_account *a);
void config_producer_init(struct config_producer *p); /* name and token_sha256 are "" */
void config_hook_init(struct config_hook *h);         /* name is "" */
void config_consumer_init(struct config_consumer *c); /* name and topic are "" */

/* For an account without services. */
#define CONFIG_NO_SERVICE                                                                          \
    "no service is configured: only URLs can be purged, and jobs with keys become dead letters"
#define CONFIG_NO_SERVICE_REMEDY "name them under services, or set FASTLY_SERVICE_ID"

/* Sets the services of an account. 0, or -EINVAL: too many, or invalid. */
must_use int config_services_add(struct config_account *a, struct span id, struct span name);
void config_services_free(struct config_account *a);

/* 0, or -EINVAL: too many words. The setting checks the form of the words. */
must_use int config_words_add(struct config_words *w, struct span word);
void config_words_free(struct config_words *w);
bool config_words_have_host(const struct config_words *w, struct span host); /* with its port */

/* The URL of Redis: the configured one, or unix://<data_dir>/redis.sock when embedded.
 * malloc'ed. */
char *config_redis_url(const struct config *c);
bool config_redis_embedded(const struct config *c);

/* How memory_max is shared out: half is for jobs read from Redis, a quarter for HTTP requests in
 * progress, an eighth for HTTP connections and request heads. The last eighth is for the second
 * copy of one job while it is decoded. */
uint64_t config_jobs_max_bytes(const struct config *c);
uint64_t config_visits_max_bytes(const struct config *c);
uint64_t config_heads_max_bytes(const struct config *c);

/* The largest job the dispatcher can hold: an eighth of memory_max, in bytes as job_bytes counts
 * them. Larger jobs must be refused when they are pushed. */
uint64_t config_job_max_bytes(const struct config *c);

/* The effective burst: the configured one or half of the purges, at least 1. */
uint64_t config_burst(const struct config_budget *b);

/* The first address that other machines can reach; p == NULL if there is none. */
struct span config_listens_beyond(const struct config *c);
uint32_t config_unix_mode(const struct config *c); /* permission bits */

/* The checks that need more than one setting: unique names, a default service that exists, a token
 * source, headroom below the budget, direct hosts for direct mode, accounts and services that
 * producers and hooks name ... 0, or -EINVAL with a sentence naming the setting by its path
 * ("accounts[0].budget.headroom: ...") in err. */
must_use int config_validate(const struct config *c, struct error *err);

/* The account of that name, or NULL. NULL name: the only account, if there is one. */
const struct config_account *config_account(const struct config *c, const char *name);
/* The service of that id or name, or for "" the default or only one; NULL if there is none. */
const struct config_service *config_service(const struct config_account *a, const char *word);
/* Writes what the operator should do when Fastly refuses the account's token. The text works after
 * "; " and alone. */
void config_token_remedy(const struct config_account *a, char *out, size_t room);
/* The consumer of that name, or NULL. */
const struct config_consumer *config_consumer(const struct config *c, const char *name);
const struct config_lane *config_lane(const struct config_account *a, enum lane lane);
void config_deinit(struct config *c); /* all pointers in it must be malloc'ed */

/* -- a reference-counted configuration, shared by threads until a reload replaces it -- */

/* Moves *c into a shared, reference-counted configuration; the caller holds the only reference, and
 * *c is then empty. */
const struct config *config_share(struct config *c);
/* Adds a reference to a shared configuration, from any thread. Returns NULL for NULL. */
const struct config *config_hold(const struct config *c);
void config_drop(const struct config *c); /* the last drop frees it */
uint64_t config_shared(void);             /* number of shared configurations in existence */
