/* SPDX-License-Identifier: MIT
 * The internals of connections.h, shared by its two files and the queue: connections.c opens and
 * closes connections, connections_read.c gives readers and watchers to queues that read. */
#pragma once

#include "connections.h"
#include "heap.h"
#include "list.h"
#include "redis_entries.h"
#include "replicated.h"
#include "scripts.h"

struct queue;

struct queue_writer {
    struct connections *all;
    struct redis *redis;
    struct replicated *replicated; /* on this connection: for lease and budget */
    struct list queues;            /* that use it */
    char sha[SCRIPT_QUEUE_N][41];  /* "" until Redis has returned it */
    size_t loaded;                 /* how many scripts Redis was asked to load */
    bool ready;                    /* the scripts are loaded */
};

struct queue_reader { /* or a watcher */
    struct connections *all;
    struct redis *redis; /* NULL: closed */
    bool ready;          /* it has its name, and no other command is under way on it */
    /* -- a reader -- */
    struct queue *queue; /* whose lanes it reads; NULL: it is free */
    /* -- a watcher -- */
    bool watches;                  /* it waits inside Redis */
    struct list watched;           /* queues that still want to know */
    struct redis_entries *entries; /* parses the reply and keeps nothing; NULL: a reader */
};

struct connections {
    struct loop *loop;
    char *account, *owner; /* for the names of the connections */
    bool shared;  /* false: they belong to one queue, and nothing below `closing` is used */
    bool started; /* a connection was up or could not be made */
    bool closing;
    struct queue_writer *writers;
    struct queue_reader *readers; /* the watchers come after the readers */
    uint32_t writers_count, readers_count, all_readers_count;
    uint32_t readers_ready;        /* without the watchers */
    uint32_t users, joined;        /* queues */
    uint32_t open;                 /* connections that are being closed */
    struct queue *last;            /* whose end was the end of the connections */
    uint32_t watched;              /* queues */
    struct list queued, unwatched; /* queues that read */
    struct heap waiting;           /* those that wait for new entries, by the end of their time */
    struct list leaving;           /* queues that are being closed */
    struct timer *turn;            /* fires at the end of the loop's turn if something is to do */
    struct timer *due;             /* fires when a time in `waiting` is over */
};

enum queue_place {
    PLACE_NONE,      /* no read; or a private connection */
    PLACE_QUEUED,    /* waits for a reader. next: UNDER_WAY */
    PLACE_UNDER_WAY, /* a reader reads. next: NONE; or UNWATCHED, if nothing was there */
    PLACE_UNWATCHED, /* waits for a watcher. next: WATCHED; NONE, if its time is over */
    PLACE_WATCHED,   /* next: QUEUED, if there are new entries; UNWATCHED, when its watcher returns.
                        When its time is over, it is watched on, and the next read begins here */
};

/* -- connections.c -- */

/* For a single queue, whose keys are those of `home`. */
struct connections *connections_own(struct loop *l, const struct redis_address *a,
                                    const char *account, const char *home, const char *owner);
void connections_join(struct connections *c, struct queue *q);
/* The queue is closed: its commands and its read fail, then queue_left is called. */
void connections_leave(struct queue *q);
void connections_turn_soon(struct connections *c);

/* -- connections_read.c -- */

void connections_read_init(struct connections *c);
void connections_read_deinit(struct connections *c);
/* Starts the read that q->reading describes. */
void connections_read(struct queue *q);
/* A reader has ended the read. True: nothing was there, and it waits for new entries. */
must_use bool connections_read_ended(struct queue *q, int err, bool nothing);
/* The ids from which to read have changed. */
void connections_rewound(struct queue *q);
/* Ends a read that no reader is busy with. False: one is. */
must_use bool connections_give_up_read(struct queue *q);
/* Gives free connections to those that wait. Without any reader, all reads fail. */
void connections_read_turn(struct connections *c);

/* -- the queue's -- */

void queue_writer_ready(struct queue *q);
void queue_writer_down(struct queue *q, const char *why);
void queue_reader_ready(struct queue *q);
void queue_reader_down(struct queue *q, const char *why);
void queue_left(struct queue *q);
/* All calls without an answer get -ENOTCONN. */
void queue_fail_calls(struct queue *q);
/* Sends the command for the read that q->reading describes. */
void queue_send_read(struct queue *q, struct redis *r, uint32_t block_ms);
void queue_finish_read(struct queue *q, int err);
