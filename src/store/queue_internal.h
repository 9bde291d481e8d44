/* SPDX-License-Identifier: MIT
 * What the files of the queue share: its inside, and how a script is called. */
#pragma once

#include "list.h"
#include "queue.h"
#include "redis_entries.h"
#include "reply.h"
#include "scripts.h"

/* Items per script call: bounds how long Redis is held. */
#define SETTLE_CHUNK 256
#define SETTLE_CHUNK_LOOKED 64         /* the same where entries are looked at */
#define SETTLE_CHUNK_BYTES (64 * 1024) /* ... or reasons are long */
#define DUE_CHUNK 64                   /* what one script brings back */

/* A job's id: "<lane>-<ms>-<seq>", and "+r" for a repeat; written by hand, up to 128 bytes. */
#define QUEUE_JOB_MAX 132
#define QUEUE_NAME_MAX (QUEUE_JOB_MAX + 80) /* of something postponed: its job, "@<lane>-<id>" */

/* Arguments of one command, kept in one run of bytes until its reply: a script that Redis has
 * forgotten is sent again. */
struct queue_args {
    char *bytes;
    size_t n, room;
    struct arg {
        size_t offset, n;
    } * at;
    size_t count, at_room;
    size_t keys; /* how many of them are keys */
};

void queue_args_init(struct queue_args *a);
void queue_args_deinit(struct queue_args *a);
void queue_arg(struct queue_args *a, struct span s);
void queue_arg_u64(struct queue_args *a, uint64_t value);
void queue_arg_id(struct queue_args *a, struct entry_id id); /* ms-seq */
void queue_key(struct queue_args *a, const char *key); /* all keys before the other arguments */
struct span queue_arg_at(const struct queue_args *a, size_t i); /* until the next one is added */

/* err as in queue.h; the reply is NULL unless err is 0, and lent. */
typedef void queue_reply_cb(struct queue *q, void *ctx, int err, struct redisReply *reply);

/* Sends a script on the writer's connection. Takes the contents of *a. */
void queue_call_script(struct queue *q, enum script script, struct queue_args *a,
                       queue_reply_cb *cb, void *ctx);
/* Sends a plain command on either connection. */
void queue_call(struct queue *q, struct redis *r, size_t argc, const struct span *argv,
                queue_reply_cb *cb, void *ctx);

struct redis_entries *queue_entries_new(struct queue *q); /* in queue_read.c */

/* The same for what may be refused without harm: a name, a script that is sent whole otherwise. */
void queue_call_courtesy(struct queue *q, struct redis *r, size_t argc, const struct span *argv,
                         queue_reply_cb *cb, void *ctx);

/* 0 or what the error means. NULL: -ENOTCONN. Every reply goes
 * through here, and so every refusal is reported; `doing` NULL: it need not be. */
int queue_judge(struct queue *q, uint64_t question, const char *doing,
                const struct redisReply *reply);
/* The same for a reply of which only the words of a refusal are there; NULL: it is none. */
int queue_judge_words(struct queue *q, uint64_t question, const char *doing, const char *words);
/* Scripts and commands have larger numbers. */
#define QUEUE_QUESTION_READ 1
#define QUEUE_QUESTION_LANES 2 /* of the set-up */
/* For an answer of another form than its command or script gives: -EIO. */
must_use int queue_distrust(struct queue *q);
bool queue_reply_is(const struct redisReply *reply, const char *word); /* an error of that kind */

enum queue_key {
    KEY_JOBS, /* one per lane, in the order of enum lane */
    KEY_DEAD = LANE_N,
    KEY_LATER,
    KEY_POSTPONED,
    KEY_POSTPONED_JOBS,
    KEY_PLACES,
    KEY_LEASE,
    KEY_BUDGET,
    KEY_SPENT,                          /* one per ledger */
    KEY_RECEIPT = KEY_SPENT + LEDGER_N, /* a prefix */
    KEY_CONTROL,
    KEY_STATUS,
    KEY_SETTLED,
    KEY_CANCELLED,
    KEY_N
};

struct queue_ledger {
    uint64_t booked; /* in all since we took over, as the caller sees it */
    uint32_t epoch;  /* counts restores: an operation from before one changes nothing after it */
};

struct queue_lane {
    struct entry_id seen; /* the last one handed out */
    uint64_t got;         /* by the read under way */
    struct entry_id end;  /* the newest id when the lane was last counted ... */
    bool read_since;      /* ... and everything up to it was handed out since */
};

struct queue_reading { /* the read under way */
    bool busy;
    struct queue_read how;
    void *ctx;
    enum lane lane; /* whose entries are arriving */
    bool refused;   /* there was no room for one: it will be read again */
};

struct queue {
    struct loop *loop;
    char *account, *owner;
    struct queue_callbacks cb;
    void *ctx;
    struct redis *writer;
    struct redis *reader; /* NULL once closed; then reads fail on the writer's closing connection */
    char *keys[KEY_N];
    char sha[SCRIPT_QUEUE_N][41]; /* "" until Redis has told */
    struct timer *retry;          /* the set-up was refused */
    bool writer_ready, reader_ready;
    bool up;      /* said */
    bool down;    /* said, and up was not since */
    uint64_t seq; /* of budget operations */
    uint64_t receipts_skipped;
    uint64_t refused[32]; /* questions whose last answer was a refusal; 0: free */
    char why_down[256];   /* as said last ... */
    uint64_t down_ns;     /* ... and when */
    struct queue_ledger ledgers[LEDGER_N];
    struct queue_lane lanes[LANE_N];
    struct queue_reading reading;
    struct list large; /* that stand in line */
    bool large_busy;   /* one is under way */
    bool adopted;      /* nothing that 0.1.0 postponed is left */
    uint32_t adopt_page;
    size_t told;          /* names of cancelled jobs that Redis may forget ... */
    char told_digest[41]; /* ... and how it knows them */
    struct redis_entries *entries;
    loop_cb *closed;
    void *closed_ctx;
    char error[256];
};

typedef void queue_step_cb(struct queue *q, void *ctx, int err);
/* What is too large for a script (scripts.h). Everything is copied. Done one at a time; one
 * step after the other, the new place before the old is given up, so a crash in between leaves two
 * of it, never none. */
void queue_end_large(struct queue *q, const struct queue_settle *item, uint32_t ttl_s,
                     queue_step_cb *cb, void *ctx);
void queue_return_large(struct queue *q, struct span name, queue_step_cb *cb, void *ctx);
void queue_adopt_large(struct queue *q, struct span score, struct span member, queue_step_cb *cb,
                       void *ctx);
/* What SCRIPT_SETTLE wants before its items. */
void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane, uint32_t ttl_s);
must_use int queue_parse_id(struct span s, struct entry_id *out);
