/* SPDX-License-Identifier: MIT
 * The internals of the source of event streams, shared by its files: feed.c has the streams and
 * their clock, feed_state.c the state of accounts, feed_jobs.c the ends of jobs. */
#pragma once

#include "feed.h"

struct ends_watch;
struct snapshot;

#define FEED_TICK_NS NS_PER_S
#define FEED_JOBS_MAX 20u      /* job events of one account in a second */
#define FEED_JOBS_ALL_MAX 40u  /* of all accounts */
#define FEED_LOOKS_MAX 256u    /* receipts that are being read, of all accounts */
#define FEED_SNAPSHOTS_MAX 32u /* accounts whose state is asked in one second */
#define FEED_STATUS_BYTES 6000 /* of status events a second for one reader */
#define FEED_STATUS_BURST 65536

/* What all streams share of one account. */
struct feed_account {
    struct feed *feed;
    char *name;
    uint32_t listeners;
    /* -- feed_state.c -- */
    bool asked;               /* Redis has not answered yet */
    bool known;               /* the rest is of its last answer */
    struct feed_frame *whole; /* the status for operators; NULL: not known yet */
    struct feed_frame *reduced;
    uint32_t whole_version, reduced_version; /* 0: none */
    uint64_t whole_hash, reduced_hash;
    uint64_t whole_ns; /* when it was made */
    bool paused;
    uint64_t reloaded_ms; /* the last reload that the leader reports; 0: none */
    uint64_t dead;
    char dead_id[48]; /* of the newest dead letter */
    /* -- feed_jobs.c: of this second -- */
    uint32_t ended, shown;
};

struct feed {
    struct http_server *in;
    struct timer *tick;
    struct feed_account *accounts;
    uint32_t accounts_count;
    uint32_t turn; /* the account whose state is asked next */
    struct list streams;
    uint32_t streams_count;
    struct ends_watch *watch; /* NULL: no stream */
    bool was_active;          /* the watch has heard of ends since it exists */
    uint32_t watches_closing;
    uint32_t shown; /* job events of this second, of all accounts */
    uint32_t looks; /* receipts that are being read */
    bool away;      /* Redis, by the last tick */
    bool stopping;
    uint64_t second_ns; /* when the present second of counting began */
    uint64_t started_ms, events;
    struct feed_frame *comment;
    loop_cb *closed;
    void *closed_ctx;
};

struct feed_stream {
    struct list link;
    struct feed *feed;
    struct request *request;
    const char *only; /* the feed's name of the account; NULL: all */
    unsigned kinds;
    bool *sees;     /* for each account: the producer may see it */
    uint32_t *seen; /* for each account: the version of the status that it got */
    uint32_t next;  /* the account whose status may be next */
    struct feed_queue queue;
    double allowance; /* bytes of status that may be sent now */
    uint64_t allowed_ns;
    uint64_t sent_ns; /* when bytes were last taken */
    bool comment_due;
    bool ending;
    struct feed_frame *last; /* the event that ends it, after all others; NULL: it was sent */
};

/* feed.c */
/* A new event with the next id. Takes the JSON. */
struct feed_frame *feed_event(struct feed *f, const char *name, struct json_t *j);
bool feed_wants(const struct feed_stream *s, const struct feed_account *a, enum feed_kind kind);
void feed_put(struct feed_stream *s, struct feed_frame *f); /* wakes its reader */
void feed_wake(struct feed_stream *s);
const struct config_account *feed_config_of(const struct feed_account *a);

/* feed_state.c */
void feed_state_ask(struct feed *f);
void feed_state_forget(struct feed_account *a);
struct feed_frame *feed_state_next(void *ctx); /* feed_pull_cb of a stream */

/* feed_jobs.c */
void feed_jobs_begin(struct feed *f);
void feed_jobs_end(struct feed *f);  /* the last stream has left */
void feed_jobs_tick(struct feed *f); /* a second is over */
