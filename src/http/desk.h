/* SPDX-License-Identifier: MIT
 * The inside of the HTTP endpoint, shared by the files that serve its visitors. An errand is a
 * visit with a purpose: its route, who it is, and what is awaited for it. It outlives the visit
 * while Redis still owes an answer. */
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
    struct quota proven;   /* what producers have under way, in bytes; see errand_enter */
    struct quota unproven; /* the same of those who have shown nothing yet */
    uint64_t full_said_ns; /* that there was no room; 0: never */
    struct job_decoder decoder;
    struct jobform form;
    struct quota files;        /* on disk, with answers that are long */
    struct list bulks_waiting; /* streams that wait for room */
    struct timer *room;        /* runs when some was given back */
    struct list errands_list;
    uint32_t errands;      /* that exist */
    uint32_t vitals_asked; /* and not answered */
    uint32_t chores;       /* under way on other threads */
    uint32_t plans;        /* of them */
    bool stopping, redis_closed;
    struct ingress_counts {
        uint64_t jobs;
        uint64_t full;         /* refused for want of room */
        uint64_t by_status[6]; /* 1xx .. 5xx */
    } counts;
    loop_cb *stopped;
    void *stopped_ctx;
};

struct errand {
    struct list link; /* in the ingress's */
    struct ingress *in;
    struct visit *visit; /* NULL: gone */
    const struct route *route;
    const struct config *config; /* held: it was in force when the errand began, and has what the
                                    errand points to: producer, accounts, services */
    const struct config_producer *who;
    bool by_token;                      /* it has shown one */
    struct span path;                   /* without query */
    struct span query;                  /* behind the '?' */
    struct span parts[ROUTE_PARTS_MAX]; /* what the route's braces matched */
    uint32_t holds;
    bool answered;
    bool served;            /* the request is complete, and the route has it */
    const char *audited;    /* what the log says of a refusal; NULL: what the visitor is told */
    struct quota_bill bill; /* what it costs in memory, until it ends */
    uint64_t put_bytes;     /* of them, for a job that Redis has not answered */
    intray_cb *pushed;      /* who is told of the answer */
    void *state;            /* the route's */
    void (*late)(struct errand *e); /* what is true when it is late; must answer */
    void (*part)(struct errand *e, struct span bytes, size_t *taken); /* of streamed bodies */
    /* After a reload. The visitor may go on, but what it may do can be different; and: it may not
     * go on, must answer. Without the latter it is refused, unless it is served already. */
    void (*renewed)(struct errand *e);
    void (*withdrawn)(struct errand *e, int status, const char *why);
    void (*gone)(struct errand *e); /* the visit is over; state may be freed in end */
    void (*end)(struct errand *e);  /* frees state */
};

/* -- errand.c -- */
struct errand *errand_hold(struct errand *e);
void errand_drop(struct errand *e);
/* From here on by the configuration that is in force: for one that points to nothing of the one
 * before, neither to a producer nor to an account. */
void errand_renew(struct errand *e);

/* Answers are dropped when the visit is gone. */
void errand_answer(struct errand *e, const struct answer *a);
void errand_say(struct errand *e, int status, const char *json_fmt, ...) print_like(3, 4);
void errand_say_json(struct errand *e, int status, struct json_t *j); /* takes j */
/* The same with headers, up to one without a name. */
void errand_say_with(struct errand *e, int status, struct json_t *j,
                     const struct answer_header *headers);
/* A line of the log about a refusal; who answers by errand_refuse needs not. */
void errand_audit(const struct errand *e, int status, const char *sentence);
/* An error in the route's voice. A status of 503 or 429 gets Retry-After. */
void errand_refuse(struct errand *e, int status, const char *sentence);
void errand_refuse_later(struct errand *e, int status, uint64_t retry_ms, const char *sentence);

/* Opens the errand's bill with what any visit costs; its body comes on it, too. False, and refused:
 * there is no room for it. A producer is one party wherever it comes from, else an address is. */
must_use bool errand_enter(struct errand *e);
/* Who was unproven until now is this one: its bill is moved. False, and refused. */
must_use bool errand_prove(struct errand *e, const struct config_producer *who, const char *party);
/* It counts as another party's from now on. False, and refused. */
must_use bool errand_move(struct errand *e, const char *party);
/* Room for so many bytes more on the bill; false, and refused. */
must_use bool errand_take(struct errand *e, uint64_t bytes);
/* 503: the requests under way hold all memory there is for them. Counted; in the log once a minute.
 */
void errand_refuse_full(struct errand *e);

/* The value of a query parameter ("account=main"), not decoded; p == NULL when there is none. */
struct span errand_query(const struct errand *e, const char *name);
/* The account that was named (p == NULL: the only one the producer may use), or NULL; the second
 * refuses then. */
const struct config_account *errand_find_account(const struct errand *e, struct span name);
const struct config_account *errand_account(struct errand *e, struct span name);

/* -- desk_bulk.c -- */
void desk_bulk_room(struct ingress *in); /* there is some again */

/* -- desk_purge.c -- */
/* Late, with a job on its way to Redis. */
route_cb desk_late_push;
/* Checks the form against account and scopes, and its pace. 0, or the status of the refusal with a
 * sentence. */
must_use int desk_check(struct errand *e, const struct config_account *a, struct jobform *f,
                        struct job_spec *spec, uint64_t *retry_ms, char *err, size_t err_room);
/* The same, and that Redis is there; answered when it is not so. Every purge-all is audited here.
 */
must_use bool desk_admit(struct errand *e, const struct config_account *a, struct jobform *f,
                         struct job_spec *spec);
/* Puts an admitted job into Redis, its bytes on the errand's bill; the callback's context is the
 * errand, to be dropped there. When there is no room it is refused, and no callback comes. */
void desk_push(struct errand *e, const struct config_account *a, struct jobform *f,
               const struct intray_once *once, intray_cb *cb);
/* What the job costs until Redis has answered. */
uint64_t desk_put_bytes(struct jobform *f);
/* The same with a context of the caller's, who holds the errand and has counted the bytes. */
void desk_put(struct errand *e, const struct config_account *a, struct jobform *f, intray_cb *cb,
              void *ctx);
void desk_audit_all(const struct errand *e, const struct config_account *a,
                    const struct job_spec *spec);
/* The answer for a job that Redis does not have. */
void desk_refuse_put(struct errand *e, const struct intray_result *r);
/* Why this text must not be parsed, or NULL. */
const char *desk_json_flaw(struct span json, int depth_max);
const char *desk_json_job_flaw(struct span json, int depth_max); /* of a job; stricter */
/* A job's JSON into in->form. 0, or -EINVAL with a sentence. */
must_use int desk_read_form(struct ingress *in, struct span text, char *err, size_t err_room);
uint64_t desk_cost(const struct config_account *a, const struct job_spec *spec);

/* -- openmode.c: where no proof is needed only this machine is served. 0, or the status of the
 * refusal with a sentence -- */
must_use int openmode_refuses(const struct errand *e, const char **why);
bool openmode_is_of_a_page(struct visit *v); /* a browser sends it for one */

/* -- known.c: who the visitor is. 0 with e->who where the route needs one, or the status of the
 * refusal and a sentence. -- */
must_use int known_authenticate(struct errand *e, const char **why);
/* The producer of its certificate or its address; or NULL. */
const struct config_producer *known_without_token(const struct errand *e);
/* After a reload: the same as it is now, or NULL when what it was known by is gone. */
const struct config_producer *known_still(const struct errand *e);

/* -- withdraw.c: what a reload has taken away is refused to those who are under way -- */
void withdraw_all(struct ingress *in);

/* -- desk_fastly.c -- */
/* The account and its service that the path names, or NULL and refused in Fastly's words. */
const struct config_account *desk_fastly_account(struct errand *e,
                                                 const struct config_service **service);
/* Decodes %XX; what is no escape stays as it came. */
void desk_unescape(struct span s, struct buf *out);

/* -- desk_fastly_ips.c: what Fastly said of its addresses -- */
struct desk_ips *desk_ips_new(struct ingress *in);
void desk_ips_free(struct desk_ips *ips); /* nothing is asked any more */

/* -- desk_hook.c: the configured hooks with their secrets -- */
route_cb desk_hook_head;
struct desk_hooks *desk_hooks_new(const struct config *c);
void desk_hooks_free(struct desk_hooks *h); /* NULL is fine */

/* -- desk_admin.c -- */
/* A head for routes whose body is an order of an operator: a megabyte is plenty. */
route_cb desk_order_head;
/* The body as an object, empty when there is none. NULL and refused: it is no object, or has other
 * members than these. */
struct json_t *desk_read_order(struct errand *e, const char *const *members);
/* The account that the order's "account" or the query names; NULL and refused. */
const struct config_account *desk_order_account(struct errand *e, const struct json_t *order);

/* -- the routes -- */
route_cb desk_purge, desk_bulk_begin, desk_bulk_end, desk_job_get, desk_job_cancel, desk_status,
    desk_dead_list, desk_dead_retry, desk_dead_drop, desk_plan, desk_pause, desk_resume, desk_hook,
    desk_livez, desk_readyz, desk_metrics, desk_fastly_keys, desk_fastly_key, desk_fastly_all,
    desk_fastly_url, desk_fastly_site, desk_fastly_token, desk_fastly_user, desk_fastly_services,
    desk_fastly_service, desk_fastly_search, desk_fastly_versions, desk_fastly_ips,
    desk_fastly_customer, desk_fastly_verify, desk_fastly_openid;

/* -- ingress.c: asks the dispatch loop, which answers soon or is in trouble; then comes
 * desk_vitals, whether or not the visit is still there -- */
void ingress_ask_vitals(struct errand *e, bool metrics);
void desk_vitals(struct errand *e, const struct vitals *v);

/* -- ingress.c: the last chore may be what stopping waits for -- */
void ingress_chore_over(struct ingress *in);
