/* SPDX-License-Identifier: MIT
 * What the files of the queue share: its inside, and how a script is called. */
#pragma once

#include "list.h"
#include "queue.h"
#include "queue_scripts.h"
#include "redis_entries.h"

#define SETTLE_CHUNK 512                /* items per script call: bounds how long Redis is held */
#define SETTLE_CHUNK_BYTES (256 * 1024) /* the same, where reasons are long */

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
void queue_call_script(struct queue *q, enum queue_script script, struct queue_args *a,
                       queue_reply_cb *cb, void *ctx);
/* Sends a plain command on either connection. */
void queue_call(struct queue *q, struct redis *r, size_t argc, const struct span *argv,
                queue_reply_cb *cb, void *ctx);

struct redis_entries *queue_entries_new(struct queue *q); /* in queue_read.c */

/* What Redis' words of refusal mean; keeps them for queue_error. */
int queue_refusal_err(struct queue *q, const char *words);
/* 0 or what the error means. NULL: -ENOTCONN. */
int queue_reply_err(struct queue *q, const struct redisReply *reply);
bool queue_reply_is(const struct redisReply *reply, const char *word); /* an error of that kind */

enum queue_key {
    KEY_JOBS, /* one per lane, in the order of enum lane */
    KEY_DEAD = LANE_N,
    KEY_LATER,
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
    char sha[SCRIPT_N][41]; /* "" until Redis has told */
    struct timer *retry;    /* the set-up was refused */
    bool writer_ready, reader_ready;
    bool up;      /* said */
    bool down;    /* said, and up was not since */
    uint64_t seq; /* of budget operations */
    uint64_t receipts_skipped;
    struct queue_ledger ledgers[LEDGER_N];
    struct queue_lane lanes[LANE_N];
    struct queue_reading reading;
    struct redis_entries *entries;
    struct list burials; /* of large entries, the first is under way */
    struct queue_spent *spent;
    size_t spent_room;
    loop_cb *closed;
    void *closed_ctx;
    char error[256];
};

typedef void queue_step_cb(struct queue *q, void *ctx, int err);
/* Entries with more fields than Lua can hand to one command: `item` is what SCRIPT_SETTLE and
 * SCRIPT_DUE report of them. Copied; one step after the other, the new place before the old is
 * given up, so a crash in between leaves two of it, never none. */
void queue_bury_large(struct queue *q, enum lane lane, uint32_t ttl_s,
                      const struct redisReply *item, queue_step_cb *cb, void *ctx);
void queue_return_large(struct queue *q, const struct redisReply *item, queue_step_cb *cb,
                        void *ctx);
/* What SCRIPT_SETTLE wants before its items. */
void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane, uint32_t ttl_s);
must_use int queue_parse_id(struct span s, struct entry_id *out);
