/* SPDX-License-Identifier: MIT
 * What an error of Redis means. This is the only place that knows the words of these errors, which
 * are from Redis' src/server.c (createSharedObjects), src/script_lua.c and src/acl.c. */
#pragma once

#include <stdbool.h>

#include "span.h"

enum redis_error {
    REDIS_ERROR_OTHER,
    REDIS_ERROR_OOM,          /* the memory is full: refuses commands that need some */
    REDIS_ERROR_MISCONF,      /* the disk is full or broken: refuses writes */
    REDIS_ERROR_NOREPLICAS,   /* too few replicas: refuses writes */
    REDIS_ERROR_UNREPLICATED, /* our own word: too few replicas confirmed what was written */
    REDIS_ERROR_BUSY,         /* a script runs for too long */
    REDIS_ERROR_LOADING,      /* it has started and still reads its data */
    REDIS_ERROR_READONLY,     /* it is a replica */
    REDIS_ERROR_MASTERDOWN,   /* it is a replica without its primary */
    REDIS_ERROR_CLUSTERDOWN,  /* a part of the cluster is missing */
    REDIS_ERROR_MOVED,        /* another server of the cluster has the key */
    REDIS_ERROR_ASK,          /* the same for this command only: keys are on their way there */
    REDIS_ERROR_TRYAGAIN,     /* keys are on their way to another server of the cluster */
    REDIS_ERROR_CLIENTS,      /* too many connections */
    REDIS_ERROR_NOAUTH,       /* it wants a password */
    REDIS_ERROR_NOPERM,       /* the user may not do this */
    REDIS_ERROR_WRONGTYPE,    /* the key holds something else */
    REDIS_ERROR_NOSCRIPT,     /* it does not know the script by this digest */
    REDIS_ERROR_N
};

/* `words`: as received. Errors inside scripts are recognized, too. */
enum redis_error redis_error_of(const char *words);
/* What the operator can do about it; "": nothing that we know. */
const char *redis_error_advice(enum redis_error e);
#define REDIS_SENTINEL_NOAUTH                                                                      \
    "it wants a password, or another one: name it with redis_auth.sentinel_password_file"

extern const char redis_became_replica[]; /* our own words for READONLY */

/* Our own words about a Cluster, when its redirects lead nowhere. */
extern const char redis_cluster_moving[];      /* TRYAGAIN does not end */
extern const char redis_cluster_disagrees[];   /* MOVED leads in a circle */
extern const char redis_cluster_unconfirmed[]; /* in place of a reply to WAIT, in wire format */

/* What to say if the server is of another kind than its URL promises. */
extern const char redis_is_no_cluster[];
bool redis_error_is_no_cluster(const char *words); /* the answer to CLUSTER of a Redis alone */
extern const char redis_is_no_sentinel[];
extern const char redis_is_sentinel[];
bool redis_role_is_of_data(struct span role); /* the first word of its ROLE: it is no sentinel */
bool redis_error_is_other_kind(const char *words); /* it contains one of these */

/* What to show a person: the words, or a sentence that says what to do about them. */
const char *redis_error_shown(const char *words);

/* Redis, or we for its replicas, refuse new data until somebody makes room or repairs something. */
bool redis_error_is_full(enum redis_error e);
/* The server as a whole cannot be used now: the connection should be made anew. */
bool redis_error_is_unfit(enum redis_error e);
/* The same command may succeed later. */
bool redis_error_passes(enum redis_error e);
/* Whether the message shows that Redis can be reached but refuses us, unlike "Connection refused":
 * an error of Redis, which is a code in capitals and a sentence, or one of TLS. */
bool redis_says(const char *words);
