/* SPDX-License-Identifier: MIT
 * The internals of the queue, shared by the files that implement it, and the calling of scripts. */
#pragma once

#include "connections_internal.h"
#include "list.h"
#include "queue.h"
#include "reply.h"

/* Items per script call. This limits how long Redis is held. */
#define SETTLE_CHUNK 256
#define SETTLE_CHUNK_LOOKED 64         /* the same if entries are looked at */
#define SETTLE_CHUNK_BYTES (64 * 1024) /* of reasons and targets per call */
#define DUE_CHUNK 64                   /* jobs that one script moves back */

/* A job id is "<lane>-<ms>-<seq>", with "+r" for a repeat. An id written by hand has up to 128
 * bytes. */
#define QUEUE_JOB_MAX 132
#define QUEUE_NAME_MAX (QUEUE_JOB_MAX + 80) /* a postponed job: its id, "@<lane>-<id>" */

/* Arguments of one command, kept in one piece of memory until its reply, because a script that
 * Redis has forgotten is sent again. */
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
void queue_key(struct queue_args *a, const char *key); /* keys come before all other arguments */
struct span queue_arg_at(const struct queue_args *a, size_t i); /* valid until the next is added */

/* err is as in queue.h. The reply is lent, and NULL unless err is 0. */
typedef void queue_reply_cb(struct queue *q, void *ctx, int err, struct redisReply *reply);

/* Sends a script on the writer's connection. Takes the contents of *a. */
void queue_call_script(struct queue *q, enum script script, struct queue_args *a,
                       queue_reply_cb *cb, void *ctx);
/* Sends a plain command. */
void queue_call(struct queue *q, size_t argc, const struct span *argv, queue_reply_cb *cb,
                void *ctx);

struct redis_entries *queue_entries_new(struct queue *q); /* in queue_read.c */

/* Extracts the faults from the reply of SCRIPT_EXAMINE. Returns their number. */
size_t queue_faults(const struct redisReply *reply, struct queue_fault out[QUEUE_FAULTS_MAX]);

/* Like queue_call, for commands whose refusal does no harm. */
void queue_call_courtesy(struct queue *q, size_t argc, const struct span *argv, queue_reply_cb *cb,
                         void *ctx);

/* Returns 0, or the error that the reply stands for; -ENOTCONN if the reply is NULL. Every reply
 * goes through here, so that every refusal is reported. `doing` NULL: refusals are not reported. */
int queue_judge(struct queue *q, uint64_t question, const char *doing,
                const struct redisReply *reply);
/* The same if only the text of a refusal is known; NULL: Redis did not refuse. */
int queue_judge_words(struct queue *q, uint64_t question, const char *doing, const char *words);
/* Numbers of questions. Scripts and other commands have larger ones. */
#define QUEUE_QUESTION_READ 1
#define QUEUE_QUESTION_LANES 2 /* of the set-up */
/* For a reply in another form than its command or script gives. Returns -EIO. */
must_use int queue_distrust(struct queue *q);

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
    KEY_HISTORY,
    KEY_CONTROL,
    KEY_STATUS,
    KEY_SETTLED,
    KEY_CANCELLED,
    KEY_INSTANCES,
    KEY_READS,
    KEY_N
};

struct queue_ledger {
    uint64_t booked;  /* total since we took over, as the caller sees it */
    char history[48]; /* in which it was restored, if that was frail; or "" */
    uint32_t epoch;   /* counts restores: an older operation changes nothing after one */
};

struct queue_bulky { /* large entries that were handed out and have not ended (queue_front.c) */
    struct entry_id at[8];
    size_t count;
    bool more; /* there were more than that; until the lane is empty, or is read anew */
};

struct queue_lane {
    struct entry_id seen; /* id of the last entry handed out */
    uint64_t got;         /* entries in the read under way */
    struct entry_id end;  /* newest id when the lane was last counted */
    bool read_since;      /* everything up to `end` was handed out since then */
    struct queue_bulky bulky;
};

struct queue_reading { /* the read under way */
    bool busy;
    struct queue_read how;
    void *ctx;
    enum lane lane; /* whose entries are arriving */
    bool refused;   /* there was no room for an entry; it will be read again */
};

struct queue {
    char *account, *owner;
    struct queue_callbacks cb;
    void *ctx;
    struct connections *connections;
    struct queue_writer *writer;
    struct list writer_link;  /* in its `queues` */
    struct list leaving_link; /* in the connections' `leaving` */
    struct list calls;        /* without an answer */
    enum queue_place place;   /* of a read on shared connections, as are the next four */
    struct list place_link;
    struct heap_node wait_until; /* in the connections' `waiting` */
    uint64_t read_until_ns;
    bool watched[LANE_N];
    char *keys[KEY_N];
    struct timer *retry; /* repeats a refused set-up */
    bool writer_ready, reader_ready;
    bool up;      /* reported as up */
    bool down;    /* reported as down, and not as up since */
    uint64_t seq; /* number of budget operations */
    uint64_t receipts_skipped, history_skipped;
    uint64_t refused[32]; /* questions whose last answer was a refusal; 0: free */
    char why_down[256];   /* the reason that was last reported */
    uint64_t down_ns;     /* when it was reported */
    struct queue_ledger ledgers[LEDGER_N];
    struct queue_lane lanes[LANE_N];
    struct queue_reading reading;
    struct list large; /* waiting for their turn */
    bool large_busy;   /* one is being handled */
    bool adopted;      /* no job postponed by 0.1.0 is left */
    uint32_t adopt_page;
    bool frail;           /* queue_frail */
    char led_in[48];      /* the history in which we had the lease last, if it was frail; or "" */
    char withheld[48];    /* the history for which the lease is withheld; "": it is not */
    uint64_t withheld_ns; /* since when */
    size_t told;          /* names of cancelled jobs that Redis may forget */
    char told_digest[41]; /* by which Redis recognizes these names */
    struct redis_entries *entries;
    loop_cb *closed;
    void *closed_ctx;
    char error[256];
};

typedef void queue_step_cb(struct queue *q, void *ctx, int err);
/* For jobs too large for a script (scripts.h). Everything is copied. Jobs are handled one at a time
 * and step by step: the new place is written before the old one is given up, so a crash in between
 * leaves the job twice, never lost. */
void queue_end_large(struct queue *q, const struct queue_settle *item,
                     const struct queue_keep *keep, queue_step_cb *cb, void *ctx);
void queue_return_large(struct queue *q, struct span name, queue_step_cb *cb, void *ctx);
void queue_adopt_large(struct queue *q, struct span score, struct span member, queue_step_cb *cb,
                       void *ctx);
/* Adds the arguments that SCRIPT_SETTLE expects before its items. */
void queue_begin_settle(struct queue *q, struct queue_args *a, enum lane lane,
                        const struct queue_keep *keep);
/* Takes what these scripts answer: how much was left out. */
void queue_count_skipped(struct queue *q, const struct redisReply *reply);
must_use int queue_parse_id(struct span s, struct entry_id *out);

static inline int queue_id_compare(struct entry_id a, struct entry_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

/* -- the front of a lane (queue_front.c) -- */

void queue_front_saw(struct queue_lane *lane, const struct queue_entry *e);
/* Whether a script may read the entries up to `last`: all of them were handed out, and none that is
 * left is large. */
bool queue_front_may_be_read(const struct queue_lane *lane, struct entry_id last);
/* No entry was left when the newest id that the lane ever had was `newest`. */
void queue_front_emptied(struct queue_lane *lane, struct entry_id newest);

/* The large entries among those that a call ends. */
struct queue_leaving {
    size_t count;
    struct queue_left {
        enum lane lane;
        struct entry_id id;
    } at[];
};
/* NULL: none. */
struct queue_leaving *queue_leaving_new(const struct queue *q, const struct queue_settle *items,
                                        size_t count);
/* The call has been answered: err as in queue.h. Frees l. */
void queue_leaving_end(struct queue *q, struct queue_leaving *l, int err);
