/* SPDX-License-Identifier: MIT
 * A canary: a page of a service that is purged by key and by URL in turn and then looked at, which
 * shows whether purges have an effect at Fastly, and if not, why. It decides what to do next and
 * what the results mean; the owner purges and fetches.
 *
 *   IDLE ──▶ BEFORE ──▶ PURGE ──▶ AFTER ──▶ IDLE (the other kind of purge is next)
 *                         ▲         │
 *                         └─────────┘ the page is still old: purged a second time */
#pragma once

#include "fastly.h"
#include "sighting.h"

/* What the last try with each kind of purge says together. */
enum canary_state {
    CANARY_UNKNOWN,       /* not tried yet */
    CANARY_OK,            /* both kinds of purge refresh the page */
    CANARY_TOKEN,         /* Fastly refuses the token */
    CANARY_SERVICE,       /* Fastly does not know the service, or the token may not purge it */
    CANARY_KEY,           /* the page does not carry the key */
    CANARY_OTHER_SERVICE, /* it does, but only a purge of its URL refreshes it */
    CANARY_VCL,           /* the purge of the URL is refused */
    CANARY_URL,           /* only a purge of its key refreshes it */
    CANARY_STALE,         /* no purge refreshes it */
    CANARY_ORIGIN,        /* the reply is an error of the origin */
    CANARY_PAGE,          /* there is no reply */
    CANARY_BLIND,         /* the reply does not show the age of the copy, or there is none */
    CANARY_API,           /* the purge failed for a reason that should pass */
    CANARY_STATE_N
};
extern const char *const canary_state_names[CANARY_STATE_N]; /* "unknown", "ok", "token" ... */

enum canary_kind { CANARY_BY_KEY, CANARY_BY_URL, CANARY_KIND_N };

/* The result of a try. */
enum canary_result {
    CANARY_UNTRIED,
    CANARY_REFRESHED,
    CANARY_REFUSED, /* by Fastly or VCL */
    CANARY_KEPT,    /* the old copy is still there */
    CANARY_MARRED,  /* by something that concerns both kinds: see canary.common */
};

enum canary_step { CANARY_IDLE, CANARY_BEFORE, CANARY_PURGE, CANARY_AFTER };

struct canary {
    /* for the owner to read */
    enum canary_state state;
    uint64_t since_ns; /* when the state began */
    bool changed;      /* the state is new: the owner tells it and clears this */
    char said[192];    /* what led to the state, in the words of Fastly, VCL or the connection */
    uint64_t tries[CANARY_KIND_N], failures[CANARY_KIND_N];

    /* inside */
    enum canary_result results[CANARY_KIND_N];
    enum canary_state common; /* of the last try, if it was marred */
    char reason[192];         /* what led to the result of the last try; "" if nothing */
    bool key_missing;         /* Fastly-Debug has an effect, and the page does not carry the key */
    enum canary_step step;
    enum canary_kind kind; /* of the try under way, or of the next one */
    uint64_t period_ns;    /* for one try of each kind */
    uint64_t due_ns;       /* of the next act */
    uint64_t next_try_ns;
    uint64_t began_ns, ended_ns; /* of the last purge */
    uint32_t looks, purges;      /* in this step; in this try */
    bool at_work;                /* the owner has begun the next act */
};

/* The first try is due at once. */
void canary_init(struct canary *c, uint64_t period_ns, uint64_t now_ns);

enum canary_act {
    CANARY_WAIT,
    CANARY_LOOK, /* fetch the page, with Fastly-Debug; then call canary_looked */
    CANARY_SEND, /* purge the page by c->kind, hard; then call canary_purged */
};
/* What to do now. With CANARY_WAIT, *when_ns is the time to ask again, or NEVER while the owner is
 * at work. */
enum canary_act canary_next(const struct canary *c, uint64_t now_ns, uint64_t *when_ns);
void canary_begin(struct canary *c, uint64_t now_ns); /* the owner does it */

struct canary_look {
    const struct sighting *seen; /* NULL: the page could not be fetched */
    bool has_key;                /* it carries the canary's key */
    const char *why;             /* it could not be fetched */
    uint64_t began_ns, ended_ns;
};
void canary_looked(struct canary *c, const struct canary_look *l);

struct canary_purge {
    const struct fastly_judgement *judgement;
    int status; /* 0: no answer */
    uint64_t began_ns, ended_ns;
};
void canary_purged(struct canary *c, const struct canary_purge *p);

/* The try under way has no result, because the owner cannot go on; the next one is due later. */
void canary_abandon(struct canary *c, uint64_t now_ns);
/* The account's token is refused, so a try would say nothing else. */
void canary_token_refused(struct canary *c, const char *reason, uint64_t now_ns);

/* What the state means, for people. */
struct canary_subject {
    const char *service; /* its name, or its id */
    const char *url, *key;
};
struct canary_words {
    char what[1200];    /* a sentence */
    const char *advice; /* what to do; "" for nothing */
};
void canary_explain(const struct canary *c, const struct canary_subject *s,
                    struct canary_words *out);
