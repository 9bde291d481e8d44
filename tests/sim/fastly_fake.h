/* SPDX-License-Identifier: MIT
 * A fake Fastly: reads requests as a server would, counts what they cost, answers as told. What it
 * saw is what the promises are checked against. */
#pragma once

#include "config.h"
#include "fault.h"
#include "fields.h"
#include "list.h"
#include "target.h"

struct parcel; /* an exchange under way */

struct request {
    struct list link; /* unanswered ones */
    struct list seen; /* those a story has not looked at yet */
    uint64_t number;
    int instance;
    struct parcel *parcel; /* NULL: nobody waits for the answer */
    char account[72], service[SERVICE_ID_MAX_BYTES + 1];
    enum target_kind kind;
    bool soft, unreadable;
    struct fields *targets;
    const struct config *config; /* held: its sender's, when it was handed over */
    uint64_t cost;
    uint64_t started_ns, arrived_ns;
    enum fault fault;
    uint32_t holds;
};

#define FAKE_PURGE_ID "108-1391560174-" /* what the ids of purges begin with */

struct answer {
    enum { ANSWER_STATUS, ANSWER_RESET, ANSWER_NEVER } how;
    bool effect; /* of a reset: it was purged all the same */
    int status;
    char retry_after[64];
    char reset_after_s[24]; /* as RateLimit-Reset, seconds from now; "" = no such header */
    char omit[1100];        /* a key left out of the reply; "" = none */
    uint32_t omit_count;    /* so many keys, the first ones, are left out */
    uint32_t keys_limit;    /* 400: "only supports up to N" */
    bool from_site;         /* 403, 404 of a URL: the site's VCL says so, not the API */
    bool garbled;           /* 200 with a body that is no JSON */
};

/* What it does by itself. */
struct fastly_weather {
    bool waits; /* answers only when a story says so */
    uint64_t think_min_ns, think_max_ns;
    bool token_refused;
    char unknown_service[SERVICE_ID_MAX_BYTES + 1];
    uint32_t keys_limit;     /* 400 for batches of more; 0: 256 */
    bool limit_untold;       /* ... without saying how many it takes */
    char poison[64];         /* 400 for what holds such a target: bytes it begins with; "" = none */
    uint64_t allows, per_ns; /* its own count, 429 beyond; 0: no such */
    uint32_t permille[FAULT_N]; /* requests lost or silent by chance */
    uint32_t permille_429, permille_503, permille_omit, permille_hint;
};
extern struct fastly_weather fastly_weather;

/* Told of every request that arrives, and of every target whose purge was confirmed by a 2xx that
 * names it: by whoever checks. */
struct fastly_watch {
    void (*arrived)(const struct request *r);
    void (*confirmed)(const struct request *r, size_t i); /* i of the targets; all: 0 */
    void (*refused)(const struct request *r); /* 4xx to what asked for this one target alone */
    /* Asked which number the id of a target's purge is to have. */
    uint64_t (*number)(const struct request *r, size_t i);
};
extern struct fastly_watch fastly_watch;

void fastly_fake_begin(void);
void fastly_fake_end(void);

/* Reads a request off the wire. `token` says whose it is, `c` was its sender's configuration. */
struct request *request_read(const char *method, struct span url, struct span header,
                             struct span body, bool soft, const char *token,
                             const struct config *c);
void request_drop(struct request *r);
void fastly_fake_receive(struct request *r); /* takes a hold */

/* -- for stories -- */
void fastly_fake_next(const struct answer *a, uint32_t times); /* the next ones are answered so */
struct request *fastly_fake_unanswered(void); /* the oldest that is waited for, or NULL */
void fastly_fake_answer(struct request *r, const struct answer *a);
void fastly_fake_answer_all(void);        /* those that wait, by the weather that holds now */
void fastly_fake_foreign(uint64_t cost);  /* somebody else spends from its own count */
struct request *fastly_fake_unseen(void); /* the oldest a story has not looked at, or NULL */
uint32_t fastly_fake_unseen_count(void);
void fastly_fake_look(struct request *r); /* now it has */
void fastly_fake_keep_unseen(bool keep);  /* no story looks: keep none */
