/* SPDX-License-Identifier: MIT
 * The internals of the HTTP endpoint, shared by the files that handle its requests. An errand is a
 * request with its route, its producer and the operation that it waits for. It outlives the HTTP
 * visit until Redis has answered. */
#pragma once

#include "clock.h"
#include "gate.h"
#include "httpd.h"
#include "ingress.h"
#include "intray.h"
#include "jobform.h"
#include "list.h"
#include "mailbox.h"
#include "quota.h"
#include "route.h"

struct json_t;

struct ingress {
    struct ingress_options options;
    const struct config *config; /* in force; held */
    uint32_t accounts_count;     /* the same in every configuration: see config_change_possible */
    struct thread *thread;
    struct loop *loop;
    struct mailbox *mailbox;        /* to this thread */
    struct mailbox *dispatch_inbox; /* to the dispatch loop */
    struct httpd *httpd;
    struct intray *intray;
    struct standing *standing;
    struct waiters *waiters;
    struct gate *gate;
    struct audit *audit;
    struct desk_hooks *hooks;
    struct desk_ips *ips;
    struct quota proven;   /* bytes of requests in progress of producers; see errand_enter */
    struct quota unproven; /* bytes of requests in progress of clients without authentication */
    uint64_t full_said_ns; /* when full memory was last logged; 0: never */
    struct job_decoder decoder;
    struct jobform form;
    struct quota files;        /* bytes on disk of long replies */
    struct list bulks_waiting; /* streams that wait for room */
    struct timer *room;        /* fires when memory was returned */
    struct list errands_list;
    uint32_t errands;      /* that exist */
    uint32_t vitals_asked; /* vitals not answered yet */
    uint32_t chores;       /* running on other threads */
    uint32_t plans;        /* chores of the kind CHORE_PLAN */
    bool stopping, redis_closed;
    struct ingress_counts {
        uint64_t jobs;
        uint64_t full;         /* refused because memory ran out */
        uint64_t by_status[6]; /* 1xx .. 5xx */
    } counts;
    loop_cb *stopped;
    void *stopped_ctx;
};

struct errand {
    struct list link; /* in the ingress's list of errands */
    struct ingress *in;
    struct visit *visit; /* NULL: the visit is over */
    const struct route *route;
    const struct config
        *config; /* reference to the configuration in effect when the errand began; it contains the
                    producer, accounts and services that the errand points to */
    const struct config_producer *who;
    bool by_token;                      /* the client has sent a token */
    struct span path;                   /* without query */
    struct span query;                  /* after the '?' */
    struct span parts[ROUTE_PARTS_MAX]; /* what the route's braces matched */
    uint32_t holds;
    bool answered;
    bool served;            /* the request is complete and the route handles it */
    const char *audited;    /* reason of a refusal for the log; NULL: the same as in the reply */
    struct quota_bill bill; /* its memory, until it ends */
    uint64_t put_bytes;     /* of the bill, for a job that Redis has not answered */
    intray_cb *pushed;      /* gets Redis' answer to the job */
    void *state;            /* belongs to the route */
    void (*late)(struct errand *e); /* called when its time is up; must reply */
    void (*part)(struct errand *e, struct span bytes, size_t *taken); /* for streamed bodies */
    /* After a reload. First: the client may continue, but its permissions may have changed. Second:
     * the client may not continue, and must get a reply; if NULL it is refused, unless it is
     * already being served. */
    void (*renewed)(struct errand *e);
    void (*withdrawn)(struct errand *e, int status, const char *why);
    void (*gone)(struct errand *e); /* the visit is over; state may be freed in end */
    void (*end)(struct errand *e);  /* frees state */
};

/* -- errand.c -- */
struct errand *errand_hold(struct errand *e);
void errand_drop(struct errand *e);
/* Switches the errand to the configuration now in effect. It must not point to a producer or
 * account of the previous one. */
void errand_renew(struct errand *e);

/* Replies are dropped when the connection is gone. */
void errand_answer(struct errand *e, const struct answer *a);
void errand_say(struct errand *e, int status, const char *json_fmt, ...) print_like(3, 4);
void errand_say_json(struct errand *e, int status, struct json_t *j); /* takes j */
/* Like errand_say_json, with headers; the last one has no name. */
void errand_say_with(struct errand *e, int status, struct json_t *j,
                     const struct answer_header *headers);
/* Logs a refusal; errand_refuse does this itself. */
void errand_audit(const struct errand *e, int status, const char *sentence);
/* Replies with an error in the format of the route. Status 503 and 429 get Retry-After. */
void errand_refuse(struct errand *e, int status, const char *sentence);
void errand_refuse_later(struct errand *e, int status, uint64_t retry_ms, const char *sentence);

/* Opens the errand's bill with the basic cost of a request; its body is counted on the bill, too.
 * False: there is no room, and the request was refused. A producer is one party for all its
 * addresses; a client without a producer is identified by its address. */
must_use bool errand_enter(struct errand *e);
/* Moves the bill of a client that has just authenticated to its producer. False: no room, and
 * refused. */
must_use bool errand_prove(struct errand *e, const struct config_producer *who, const char *party);
/* Moves the bill to another party. False: no room, and refused. */
must_use bool errand_move(struct errand *e, const char *party);
/* Takes this many more bytes on the bill. False: no room, and refused. */
must_use bool errand_take(struct errand *e, uint64_t bytes);
/* Replies 503 because requests in progress use all their memory. Counted, and logged once a
 * minute. */
void errand_refuse_full(struct errand *e);

/* The value of a query parameter ("account=main"), not decoded; p == NULL when there is none. */
struct span errand_query(const struct errand *e, const char *name);
/* The named account (p == NULL: the only one the producer may use), or NULL; errand_account then
 * also refuses the request. */
const struct config_account *errand_find_account(const struct errand *e, struct span name);
const struct config_account *errand_account(struct errand *e, struct span name);

/* -- desk_bulk.c -- */
void desk_bulk_room(struct ingress *in); /* called when memory was returned */

/* -- desk_purge.c -- */
/* Replies if Redis has not confirmed a job in time. */
route_cb desk_late_push;
/* Checks the form against the account, the producer's scopes and its rate limit. 0, or the status
 * of the refusal with a message. */
must_use int desk_check(struct errand *e, const struct config_account *a, struct jobform *f,
                        struct job_spec *spec, uint64_t *retry_ms, char *err, size_t err_room);
/* Like desk_check, and also checks that Redis is connected; replies if a check fails. Every
 * purge-all is logged here. */
must_use bool desk_admit(struct errand *e, const struct config_account *a, struct jobform *f,
                         struct job_spec *spec);
/* Pushes an admitted job to Redis; its bytes are counted on the errand's bill. The callback's
 * context is the errand, which the callback must drop. If there is no room, the request is refused
 * and the callback is not called. */
void desk_push(struct errand *e, const struct config_account *a, struct jobform *f,
               const struct intray_once *once, intray_cb *cb);
/* The bytes to count for a job until Redis has answered. */
uint64_t desk_put_bytes(struct jobform *f);
/* Like desk_push, with a context of the caller, which must hold the errand and have counted the
 * bytes. */
void desk_put(struct errand *e, const struct config_account *a, struct jobform *f, intray_cb *cb,
              void *ctx);
void desk_audit_all(const struct errand *e, const struct config_account *a,
                    const struct job_spec *spec);
/* The reply for a job that Redis did not store. */
void desk_refuse_put(struct errand *e, const struct intray_result *r);
/* Why this text must not be parsed, or NULL. */
const char *desk_json_flaw(struct span json, int depth_max);
const char *desk_json_job_flaw(struct span json, int depth_max); /* of a job; stricter */
/* Parses a job's JSON into in->form. 0, or -EINVAL with a message. */
must_use int desk_read_form(struct ingress *in, struct span text, char *err, size_t err_room);
uint64_t desk_cost(const struct config_account *a, const struct job_spec *spec);

/* -- openmode.c: without configured producers only clients on this machine are served. 0, or the
 * status of the refusal with a message -- */
must_use int openmode_refuses(const struct errand *e, const char **why);
bool openmode_is_of_a_page(struct visit *v); /* a browser sent the request for a web page */

/* -- known.c: identifies the client. 0 with e->who where the route needs a producer, or the status
 * of the refusal with a message. -- */
must_use int known_authenticate(struct errand *e, const char **why);
/* The producer identified by the client's certificate or address, or NULL. */
const struct config_producer *known_without_token(const struct errand *e);
/* After a reload: the same producer in the new configuration, or NULL if it can no longer be
 * identified. */
const struct config_producer *known_still(const struct errand *e);

/* -- withdraw.c: applies the permissions of a reload to requests in progress -- */
void withdraw_all(struct ingress *in);

/* -- desk_fastly.c -- */
/* The account and the service named in the path. NULL: the request was refused, in the format of
 * Fastly's API. */
const struct config_account *desk_fastly_account(struct errand *e,
                                                 const struct config_service **service);
/* Decodes %XX. A '%' that does not begin an escape is kept. */
void desk_unescape(struct span s, struct buf *out);

/* -- desk_fastly_ips.c: Fastly's list of addresses -- */
struct desk_ips *desk_ips_new(struct ingress *in);
void desk_ips_free(struct desk_ips *ips); /* no query may be in progress */

/* -- desk_hook.c: the configured hooks with their secrets -- */
route_cb desk_hook_head;
struct desk_hooks *desk_hooks_new(const struct config *c);
void desk_hooks_free(struct desk_hooks *h); /* NULL is fine */

/* -- desk_admin.c -- */
/* Handles the head of operator requests: their body is limited to 1 MB. */
route_cb desk_order_head;
/* Parses the body as an object; an empty body is an empty object. NULL: the request was refused,
 * because the body is not an object or has other members than these. */
struct json_t *desk_read_order(struct errand *e, const char *const *members);
/* The account named by the order's "account" or by the query. NULL: the request was refused. */
const struct config_account *desk_order_account(struct errand *e, const struct json_t *order);

/* -- the routes -- */
route_cb desk_purge, desk_bulk_begin, desk_bulk_end, desk_job_get, desk_job_cancel, desk_status,
    desk_dead_list, desk_dead_retry, desk_dead_drop, desk_plan, desk_pause, desk_resume, desk_hook,
    desk_livez, desk_readyz, desk_metrics, desk_fastly_keys, desk_fastly_key, desk_fastly_all,
    desk_fastly_url, desk_fastly_site, desk_fastly_token, desk_fastly_user, desk_fastly_services,
    desk_fastly_service, desk_fastly_search, desk_fastly_versions, desk_fastly_ips,
    desk_fastly_customer, desk_fastly_verify, desk_fastly_openid;

/* -- ingress.c: asks the dispatch loop for its state. desk_vitals is called with the answer, even
 * if the visit is over -- */
void ingress_ask_vitals(struct errand *e, bool metrics);
void desk_vitals(struct errand *e, const struct vitals *v);

/* -- ingress.c: called when a chore ends, because stopping waits for the last one -- */
void ingress_chore_over(struct ingress *in);
