/* SPDX-License-Identifier: MIT
 * The internals of the HTTP endpoint, shared by the files that handle its requests. `struct
 * request` is an HTTP request together with its route, its producer and the operation that it waits
 * for. It outlives the HTTP visit until Redis has answered. */
#pragma once

#include "auth.h"
#include "clock.h"
#include "httpd.h"
#include "jobform.h"
#include "list.h"
#include "mailbox.h"
#include "quota.h"
#include "route.h"
#include "server.h"
#include "submit.h"

struct json_t;

struct http_server {
    struct http_server_options options;
    const struct config *config; /* in force; held */
    uint32_t accounts_count;     /* the same in every configuration: see config_change_possible */
    struct thread *thread;
    struct loop *loop;
    struct mailbox *mailbox;        /* to this thread */
    struct mailbox *dispatch_inbox; /* to the dispatch loop */
    struct httpd *httpd;
    struct submit *submit;
    struct overview_cache *overviews;
    struct job_watch *waiters;
    struct auth *auth;
    struct audit *audit;
    struct api_hooks *hooks;
    struct api_ips *ips;
    struct feed *feed;
    struct hour *hour;
    struct quota proven;   /* bytes of requests in progress of producers; see request_enter */
    struct quota unproven; /* bytes of requests in progress of clients without authentication */
    uint64_t full_said_ns; /* when full memory was last logged; 0: never */
    struct job_decoder decoder;
    struct jobform form;
    struct quota files;        /* bytes on disk of long replies */
    uint64_t metrics_bytes;    /* memory that the last text of /metrics needed; 0: none yet */
    struct list bulks_waiting; /* streams that wait for room */
    struct timer *room;        /* fires when memory was returned */
    struct timer *accept;      /* fires when connections are accepted without having tried Redis */
    struct list requests_list;
    uint32_t requests;   /* that exist */
    uint32_t asked;      /* letters to the dispatch loop that are not answered yet */
    char consumers[256]; /* which of them keeps ending, by the last vitals; "": none */
    uint32_t tasks;      /* running on other threads */
    uint32_t plans;      /* tasks of the kind TASK_PLAN */
    bool stopping, redis_closed;
    struct http_server_counts {
        uint64_t jobs;
        uint64_t full;         /* refused because memory ran out */
        uint64_t by_status[6]; /* 1xx .. 5xx */
    } counts;
    loop_cb *stopped;
    void *stopped_ctx;
};

struct request {
    struct list link; /* in the server's list of requests */
    struct http_server *in;
    struct visit *visit; /* NULL: the visit is over */
    const struct route *route;
    const struct config
        *config; /* reference to the configuration in effect when the request began; it contains the
                    producer, accounts and services that the request points to */
    const struct config_producer *who;
    bool by_token;     /* the client has sent a token */
    struct span path;  /* without query */
    struct span query; /* after the '?' */
    struct buf params; /* the same decoded (query.h), if the route has parameters */
    struct span parts[ROUTE_PARTS_MAX]; /* what the route's braces matched */
    uint32_t holds;
    bool answered;
    bool served;            /* the request is complete and the route handles it */
    const char *audited;    /* reason of a refusal for the log; NULL: the same as in the reply */
    struct quota_bill bill; /* its memory, until it ends */
    uint64_t put_bytes;     /* of the bill, for a job that Redis has not answered */
    submit_cb *pushed;      /* gets Redis' answer to the job */
    void *state;            /* belongs to the route */
    void (*late)(struct request *e); /* called when its time is up; must reply */
    void (*part)(struct request *e, struct span bytes, size_t *taken); /* for streamed bodies */
    /* After a reload. First: the client may continue, but its permissions may have changed. Second:
     * the client may not continue, and must get a reply; if NULL it is refused, unless it is
     * already being served. */
    void (*renewed)(struct request *e);
    void (*withdrawn)(struct request *e, int status, const char *why);
    void (*gone)(struct request *e); /* the visit is over; state may be freed in end */
    void (*end)(struct request *e);  /* frees state */
};

/* -- request.c -- */
struct request *request_hold(struct request *e);
void request_drop(struct request *e);
/* Switches the request to the configuration now in effect. It must not point to a producer or
 * account of the previous one. */
void request_renew(struct request *e);

/* Replies are dropped when the connection is gone. */
void request_answer(struct request *e, const struct answer *a);
void request_say(struct request *e, int status, const char *json_fmt, ...) print_like(3, 4);
void request_say_json(struct request *e, int status, struct json_t *j); /* takes j */
/* Like request_say_json, with headers; the last one has no name. */
void request_say_with(struct request *e, int status, struct json_t *j,
                      const struct answer_header *headers);
/* Logs a refusal; request_refuse does this itself. */
void request_audit(const struct request *e, int status, const char *sentence);
/* Replies with an error in the format of the route. Status 503 and 429 get Retry-After. */
void request_refuse(struct request *e, int status, const char *sentence);
void request_refuse_later(struct request *e, int status, uint64_t retry_ms, const char *sentence);

/* Opens the request's bill with the basic cost of a request; its body is counted on the bill, too.
 * False: there is no room, and the request was refused. A producer is one party for all its
 * addresses; a client without a producer is identified by its address. */
must_use bool request_enter(struct request *e);
/* Moves the bill of a client that has just authenticated to its producer. False: no room, and
 * refused. */
must_use bool request_prove(struct request *e, const struct config_producer *who,
                            const char *party);
/* Moves the bill to another party. False: no room, and refused. */
must_use bool request_move(struct request *e, const char *party);
/* Takes this many more bytes on the bill. False: refused, with 503 if there is no room now, and
 * with 413 if there never is. */
must_use bool request_take(struct request *e, uint64_t bytes);
/* The same for the bytes that a document needs when it is parsed. */
must_use bool request_take_parsed(struct request *e, uint64_t bytes);
/* Replies 503 because requests in progress use all their memory. Counted, and logged once a
 * minute. */
void request_refuse_full(struct request *e);

/* Whether the producer may see what another one wrote into a job, by the scope of its receipt, a
 * JSON list (store/queue.h, queue_settle): only if it could have pushed that job itself. */
bool request_may_see(const struct config_producer *who, const struct config_account *a,
                     enum lane lane, const struct json_t *scope);
/* Whether the producer itself pushed a job that says this of who pushed it (core/job.h); and the
 * job of this receipt, or of this line of the history. */
bool request_is_pusher(const struct config_producer *who, struct span by);
bool request_pushed(const struct config_producer *who, const struct json_t *j);
/* Takes `by`, who pushed the job, out of its receipt or its line of the history, unless it is the
 * producer itself. Others' names are for operators. */
void request_hide_pusher(const struct config_producer *who, struct json_t *j);

/* Whether the body is not compressed, which is not decoded: the bytes would be taken for what
 * they are not. False: the request was refused. RFC 9110 section 8.4. */
must_use bool request_body_is_plain(struct request *e);
/* Decodes the query, if the route has parameters. False: the request was refused. */
must_use bool request_read_query(struct request *e);
/* The decoded value of one of the query parameters of the route; p == NULL when it is not given. */
struct span request_query(const struct request *e, const char *name);
/* The named account (p == NULL: the only one the producer may use), or NULL; request_account then
 * also refuses the request. */
const struct config_account *request_find_account(const struct request *e, struct span name);
const struct config_account *request_account(struct request *e, struct span name);

/* -- api_bulk.c -- */
void api_bulk_room(struct http_server *in); /* called when memory was returned */

/* -- api_purge.c -- */
/* Replies if Redis has not confirmed a job in time. */
route_cb api_late_push;
/* NULL, or why no command about this account should be sent to Redis now. */
const char *api_redis_fault(const struct request *e, const struct config_account *a);
/* Checks the form against the account, the producer's scopes and its rate limit. 0, or the status
 * of the refusal with a message. */
must_use int api_check(struct request *e, const struct config_account *a, struct jobform *f,
                       struct job_spec *spec, uint64_t *retry_ms, struct error *err);
/* Like api_check, and also checks that Redis is connected; replies if a check fails. Every
 * purge-all is logged here. */
must_use bool api_admit(struct request *e, const struct config_account *a, struct jobform *f,
                        struct job_spec *spec);
/* Pushes an admitted job to Redis; its bytes are counted on the request's bill. The callback's
 * context is the request, which the callback must drop. If there is no room, the request is refused
 * and the callback is not called. */
void api_push(struct request *e, const struct config_account *a, struct jobform *f,
              const struct submit_once *once, submit_cb *cb);
/* The bytes to count for a job until Redis has answered. */
uint64_t api_put_bytes(struct jobform *f);
/* Like api_push, with a context of the caller, which must hold the request and have counted the
 * bytes. */
void api_put(struct request *e, const struct config_account *a, struct jobform *f, submit_cb *cb,
             void *ctx);
void api_audit_all(const struct request *e, const struct config_account *a,
                   const struct job_spec *spec);
/* The reply for a job that Redis did not store. */
void api_refuse_put(struct request *e, const struct submit_result *r);
/* Why this text must not be parsed, or NULL; and approximately how many bytes jansson needs for it,
 * unless `needed` is NULL. */
const char *api_json_flaw(struct span json, int depth_max, uint64_t *needed);
const char *api_json_job_flaw(struct span json, int depth_max); /* of a job; stricter */
/* Parses a job's JSON into in->form. 0, or -EINVAL with a message. */
must_use int api_read_form(struct http_server *in, struct span text, struct error *err);
uint64_t api_cost(const struct config_account *a, const struct job_spec *spec);

/* -- openmode.c: without configured producers only clients on this machine are served. 0, or the
 * status of the refusal with a message -- */
must_use int openmode_refuses(const struct request *e, const char **why);
bool openmode_is_of_a_page(struct visit *v); /* a browser sent the request for a web page */
/* The page is the console, which this machine has served under a name of its own: its requests are
 * those of the person in front of it. */
bool openmode_is_of_our_page(const struct request *e);

/* -- known.c: identifies the client. 0 with e->who where the route needs a producer, or the status
 * of the refusal with a message. -- */
must_use int known_authenticate(struct request *e, const char **why);
/* The producer identified by the client's certificate or address, or NULL. */
const struct config_producer *known_without_token(const struct request *e);
/* After a reload: the same producer in the new configuration, or NULL if it can no longer be
 * identified. */
const struct config_producer *known_still(const struct request *e);

/* -- withdraw.c: applies the permissions of a reload to requests in progress -- */
void withdraw_all(struct http_server *in);

/* -- api_fastly.c -- */
/* The account and the service named in the path. NULL: the request was refused, in the format of
 * Fastly's API. */
const struct config_account *api_fastly_account(struct request *e,
                                                const struct config_service **service);

/* -- api_fastly_ips.c: Fastly's list of addresses -- */
struct api_ips *api_ips_new(struct http_server *in);
void api_ips_free(struct api_ips *ips); /* no query may be in progress */

/* -- api_hook.c: the configured hooks with their secrets -- */
route_cb api_hook_head;
struct api_hooks *api_hooks_new(const struct config *c);
void api_hooks_free(struct api_hooks *h); /* NULL is fine */

/* -- api_admin.c -- */
/* Handles the head of operator requests: their body is limited to 1 MB. */
route_cb api_order_head;
/* Parses the body as an object; an empty body is an empty object. NULL: the request was refused,
 * because the body is not an object or has other members than these. */
struct json_t *api_read_order(struct request *e, const char *const *members);
/* The account named by the order's "account" or by the query. NULL: the request was refused. */
const struct config_account *api_order_account(struct request *e, const struct json_t *order);

/* -- the routes -- */
route_cb api_status_hour, api_events, api_purge, api_bulk_begin, api_bulk_end, api_job_get,
    api_job_cancel, api_status, api_history, api_dead_list, api_dead_retry, api_dead_drop, api_plan,
    api_pause, api_resume, api_hook, api_livez, api_readyz, api_metrics, api_fastly_keys,
    api_fastly_key, api_fastly_all, api_fastly_url, api_fastly_site, api_fastly_token,
    api_fastly_user, api_fastly_services, api_fastly_service, api_fastly_search,
    api_fastly_versions, api_fastly_ips, api_fastly_customer, api_fastly_verify, api_fastly_openid,
    api_self, api_console, api_console_slash, api_console_file;

/* -- renew.c -- */
struct httpd_options renew_options(const struct http_server *in);
/* Applies the new configuration. If a part of it is unusable, this is logged, and the old one stays
 * in use. `before`: the settings until now. */
void renew_httpd(struct http_server *in, const struct config_http *before);

/* -- server.c: asks the dispatch loop for its state. api_health is called with the answer, even
 * if the visit is over -- */
void http_server_ask_vitals(struct request *e, enum vitals_wanted wanted);
void api_health(struct request *e, const struct vitals *v);

/* -- server.c: asks the dispatch loop what it knows of a job; `ask` must be valid until `done` is
 * called, even if the visit is over. The view is lent -- */
typedef void job_viewed_cb(struct request *e, const struct job_view *v);
void http_server_ask_job(struct request *e, const struct job_view_ask *ask, job_viewed_cb *done);

/* -- server.c: called when a task ends, because stopping waits for the last one -- */
void http_server_task_over(struct http_server *in);
