/* SPDX-License-Identifier: MIT
 * What a node of a Cluster says instead of carrying out a command, and which commands it may say it
 * to. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#pragma once

#include "redis.h"
#include "redis_codec.h"

enum redis_redirect_kind {
    REDIS_REDIRECT_NONE,
    REDIS_REDIRECT_AGAIN, /* TRYAGAIN: the keys are being moved; later, the same node */
    REDIS_REDIRECT_ASK,   /* ASK: this key is at another node already; this command only */
    REDIS_REDIRECT_MOVED, /* MOVED: the keys are at another node */
};

struct redis_redirect {
    enum redis_redirect_kind kind;
    uint32_t slot;         /* not of TRYAGAIN */
    struct redis_place at; /* the other node; host NULL: of TRYAGAIN, or the host is this one */
};

/* Reads an error of Redis. Such an error means that the command was not carried out. 1: it is one
 * of these, and out->at.host is to be freed; 0: it is another error; -EPROTO: a MOVED or ASK that
 * names no node. */
must_use int redis_redirect_parse(const char *words, struct redis_redirect *out);

/* Where the commands that were redirected have to go. All zero: nowhere. */
struct redis_course {
    enum redis_redirect_kind kind; /* MOVED is stronger than ASK, and ASK than TRYAGAIN */
    struct redis_place at;         /* of ASK; free at.host */
};
struct redis_nodes;

/* Reads an error like redis_redirect_parse, and sets the course. A node that MOVED names is the
 * next one to be chosen. `here` is who said it. Returns the kind, or -EPROTO. */
must_use int redis_course_set(struct redis_course *c, struct redis_nodes *nodes,
                              const struct redis_address *here, const char *words);

/* How long to wait before a command is sent again to the same node, after so many times. */
uint64_t redis_redirect_pause_ms(uint32_t times);

/* What matters about a command when a Cluster moves keys. */
enum redis_command_kind {
    REDIS_KEYED,   /* it has keys: a node carries it out only if it has these */
    REDIS_KEYLESS, /* any node carries it out, and it may be repeated */
    REDIS_WAIT,    /* the same, but the answer is about the earlier commands of the connection */
    REDIS_MULTI,   /* begins a transaction */
    REDIS_EXEC,    /* ends it */
};
enum redis_command_kind redis_command_kind_of(struct span name);
