/* SPDX-License-Identifier: MIT
 * The inside of a fake queue: its operations while they are under way. */
#pragma once

#include "engine.h"
#include "fake_redis.h"
#include "fault.h"

enum op_kind {
    OP_SERVER,
    OP_LEAD,
    OP_RELEASE,
    OP_READ,
    OP_DEPTH,
    OP_SETTLE,
    OP_DUE,
    OP_SPEND,
    OP_RESTORE,
    OP_EXAMINE,
    OP_N
};

struct queue {
    struct list link; /* of all queues */
    struct fake_account *account;
    char owner[160];
    int instance;
    struct queue_callbacks cb;
    void *ctx;
    bool up, said_down, dead, closing;
    char why[64];
    struct event *connecting, *breaking;
    struct list ops; /* called and not answered */
    uint64_t arrive_ns[2],
        reply_ns[2]; /* of the last one on the writer, the reader: order is kept */
    loop_cb *closed;
    void *closed_ctx;
    /* what the real one remembers, too */
    struct entry_id seen[LANE_N];
    uint64_t told; /* cancelled jobs */
    uint64_t seq, booked[LEDGER_N];
    uint32_t epoch[LEDGER_N];
    uint64_t receipts_skipped;
    char refusal[64];
    bool refused[OP_N]; /* the last answer was a refusal */
    bool reading;
    size_t reading_bytes;
};

extern const char *const op_names[OP_N];

struct op {
    struct list link;
    struct queue *q;
    enum op_kind kind;
    enum fault fault;
    bool on_reader, done;
    struct event *event; /* its arrival, then its answer */
    struct waiter *waiter;
    void *cb, *ctx;
    int err;
    union {
        struct {
            uint64_t ttl_ms;
            char usurp[160];
            char *status;
            struct queue_clock clock;
            uint64_t told;
            struct queue_lease answer;
        } lead;
        struct queue_server server;
        struct {
            struct queue_read how;
            struct entry_id seen[LANE_N];
            struct queue_entry *entries;
            struct fields **fields;
            size_t n;
            bool all;
        } read;
        struct {
            struct entry_id seen[LANE_N];
            struct queue_depth answer[LANE_N];
        } depth;
        struct {
            struct queue_settle *items;
            size_t count;
            uint32_t ttl_s;
            uint64_t wall_ms, skipped;
        } settle;
        struct {
            uint64_t wall_ms, next_ms;
            uint32_t limit, moved;
        } due;
        struct {
            struct queue_spend spend;
            uint64_t seq, booked;
            uint32_t epoch;
        } spend;
        struct {
            struct queue_restore how;
            uint64_t seq;
            struct store_window answer;
        } restore;
        struct {
            struct queue_fault faults[1];
            size_t count;
        } examine;
    } u;
};

void op_perform(struct op *op);         /* at Redis, all at once */
void op_answer(struct op *op, int err); /* to the caller */
void op_free(struct op *op);

/* fake_queue.c */
void fake_queue_send(struct op *op);  /* takes op */
void fake_queue_reply(struct op *op); /* a waiting one is done */
void fake_queue_break(struct queue *q, const char *why);
