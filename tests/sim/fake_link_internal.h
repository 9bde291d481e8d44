/* SPDX-License-Identifier: MIT
 * What the files of the connections to the fake Redis know of each other: fake_link.c, and
 * fake_link_wait.c for commands that wait at Redis. */
#pragma once

#include "fake_link.h"
#include "fake_redis.h"
#include "fault.h"
#include "list.h"

struct call {
    struct list link;
    struct fake_link *r;
    char name[FAKE_REDIS_NAME];
    enum fault fault;
    struct event *event; /* its arrival, then its answer */
    struct event *until; /* waits at Redis so long */
    bool done, waits;
    bool queued;          /* behind one that waits at Redis */
    uint64_t confirms;    /* WAIT: commands that the replica will have */
    bool on_its_way_back; /* the answer: a part of it arrives even if the connection breaks */
    redis_reply_cb *cb;   /* of these three, two are NULL */
    const struct redis_sink *sink;
    fake_link_bytes_cb *bytes;
    void *ctx;
    uint32_t block_ms;
    size_t argc;
    struct span *argv; /* a copy, in one piece with what it leads to */
    struct buf answer;
};

struct fake_link {
    struct list link; /* of all connections */
    struct loop *loop;
    int machine; /* of a Cluster; or FAKE_CLUSTER_NO_MACHINE */
    redis_up_cb *up;
    redis_down_cb *down;
    void *ctx;
    struct fakeredis_session *session; /* NULL: not connected */
    uint64_t
        written; /* commands of all, up to the last one of this connection that changed something */
    bool said_down, dead;
    char why[96];
    struct event *connecting, *breaking; /* the first of these two also when it closes */
    struct list calls;                   /* asked and not answered */
    uint64_t arrive_ns, reply_ns;        /* of the last one: order is kept */
    loop_cb *closed;
    void *closed_ctx;
};

extern struct list fake_links;

/* Its Redis is not that of most others. */
bool fake_link_is_cut_off(const struct fake_link *r);

/* -- fake_link.c -- */
void fake_link_carry_out(struct call *c);
void fake_link_arrive(void *ctx);     /* a call */
void fake_link_reply(struct call *c); /* sends the answer on its way */

/* -- fake_link_wait.c -- */
void fake_link_wait_for_replica(struct call *c);
/* XREAD with BLOCK that has found nothing is answered later. */
bool fake_link_waits_for_entry(struct call *c);
/* True: it has arrived behind a command that waits, and arrives once more after it. Answers that
 * are bytes have to be in order. */
bool fake_link_waits_behind(struct call *c);
void fake_link_go_on(struct fake_link *r); /* one that has waited is answered */
