/* SPDX-License-Identifier: MIT */
#include "redis_error.h"

#include <stddef.h>
#include <string.h>

#include "base.h"

enum { FULL = 1, UNFIT = 2, PASSES = 4 };

#define PERMIT                                                                                     \
    "give purgeline's Redis user the rules in deploy/redis-acl.conf; purgeline check says which "  \
    "are missing"

#define NAME_THE_MASTER                                                                            \
    "this Redis is a replica: if it stays one, name its master in its place, or its sentinels"

static const struct {
    const char *word; /* that the error begins with */
    unsigned traits;
    const char *advice;
} errors[REDIS_ERROR_N] = {
    [REDIS_ERROR_OTHER] = {NULL, 0, ""},
    [REDIS_ERROR_OOM] = {"OOM", FULL | PASSES,
                         "raise maxmemory of Redis or free memory: redis-cli INFO memory"},
    [REDIS_ERROR_MISCONF] = {"MISCONF", FULL | PASSES,
                             "free space on the disk of Redis; the log of Redis has details"},
    [REDIS_ERROR_NOREPLICAS] = {"NOREPLICAS", FULL | PASSES,
                                "bring the replicas of Redis back, or lower min-replicas-to-write"},
    [REDIS_ERROR_UNREPLICATED] = {"UNREPLICATED", FULL | PASSES,
                                  "bring the replicas of Redis back, or lower redis_replicas"},
    [REDIS_ERROR_BUSY] = {"BUSY", PASSES, "a script blocks Redis; redis-cli SCRIPT KILL ends it"},
    [REDIS_ERROR_LOADING] = {"LOADING", UNFIT | PASSES,
                             "it has just started: try again when it has read its data"},
    [REDIS_ERROR_READONLY] = {"READONLY", UNFIT | PASSES, NAME_THE_MASTER},
    [REDIS_ERROR_MASTERDOWN] = {"MASTERDOWN", UNFIT | PASSES, NAME_THE_MASTER},
    [REDIS_ERROR_CLUSTERDOWN] = {"CLUSTERDOWN", UNFIT | PASSES,
                                 "bring the missing nodes of the Cluster back: redis-cli --cluster "
                                 "check HOST:PORT names the slots that no node has"},
    [REDIS_ERROR_MOVED] = {"MOVED", UNFIT,
                           "this Redis belongs to a Cluster: name it with redis+cluster://"},
    [REDIS_ERROR_ASK] = {"ASK", 0, ""},
    [REDIS_ERROR_TRYAGAIN] = {"TRYAGAIN", PASSES,
                              "keys move to another node of the Cluster: try again"},
    [REDIS_ERROR_CLIENTS] = {"ERR max number of clients", 0,
                             "raise maxclients of Redis, or close connections: redis-cli CLIENT "
                             "LIST names them"},
    [REDIS_ERROR_NOAUTH] = {"NOAUTH", UNFIT,
                            "Redis wants a password (NOAUTH): name it in its URL, "
                            "redis://:PASSWORD@HOST:PORT or with a user "
                            "redis://USER:PASSWORD@HOST:PORT"},
    [REDIS_ERROR_NOPERM] = {"NOPERM", 0, PERMIT},
    [REDIS_ERROR_WRONGTYPE] = {"WRONGTYPE", 0,
                               "purgeline check names the key, and purgeline check --repair "
                               "repairs it"},
    [REDIS_ERROR_NOSCRIPT] = {"NOSCRIPT", 0, ""},
};

const char redis_became_replica[] = "this Redis has become a replica: if it stays one, name its "
                                    "master in its place, or its sentinels";

const char redis_cluster_moving[] =
    "TRYAGAIN the account's keys are being moved to another node of the Cluster, and this does not "
    "end: redis-cli --cluster check shows it, --cluster fix ends it";
const char redis_cluster_disagrees[] =
    "MOVED the nodes of the Cluster do not agree which of them has the account's keys: redis-cli "
    "--cluster check shows it";
const char redis_cluster_unconfirmed[] =
    "-UNREPLICATED the account's keys have moved to another node before replicas have confirmed "
    "what was written\r\n";

const char redis_is_no_cluster[] =
    "this Redis is no Cluster: name it with redis:// or rediss:// instead of redis+cluster://";
const char redis_is_no_sentinel[] =
    "it is no sentinel but a Redis that keeps data: name it with redis:// or rediss://, or a "
    "Cluster with redis+cluster://";
const char redis_is_sentinel[] =
    "this is a sentinel, not a Redis that keeps data: name it with "
    "redis+sentinel://HOST:PORT/MASTER, where MASTER is the name that the sentinels have for it";

bool redis_role_is_of_data(struct span role)
{
    return span_is(role, "master") || span_is(role, "slave");
}

bool redis_error_is_other_kind(const char *words)
{
    return strstr(words, redis_is_no_cluster) || strstr(words, redis_is_no_sentinel) ||
           strstr(words, redis_is_sentinel);
}

bool redis_error_is_no_cluster(const char *words)
{
    return strstr(words, "cluster support disabled") != NULL;
}

/* Whether the text at `p` is this word and not the beginning of another, like BUSY of BUSYGROUP. */
static bool is_word(const char *p, const char *word)
{
    size_t n = strlen(word);

    return strncmp(p, word, n) == 0 && (p[n] == ' ' || p[n] == '\0');
}

/* Redis 6 wraps the error of a script's command: "ERR Error running script (...): @user_script:1:
 * -OOM command not allowed ...", for some errors without the '-'. */
static bool is_wrapped(const char *text, const char *word)
{
    const char *at = strncmp(text, "ERR ", 4) == 0 ? strstr(text, word) : NULL;

    while (at && !(at > text && (at[-1] == '-' || at[-1] == ' ') && is_word(at, word)))
        at = strstr(at + 1, word);
    return at != NULL;
}

/* Redis 7.0 and 8.0; they do not say which command it was. */
static bool is_forbidden_in_script(const char *words)
{
    return strstr(words, "The user executing the script") || strstr(words, "ACL failure in script");
}

enum redis_error redis_error_of(const char *words)
{
    for (int e = REDIS_ERROR_OTHER + 1; e < REDIS_ERROR_N; e++)
        if (is_word(words, errors[e].word))
            return (enum redis_error)e;
    if (is_forbidden_in_script(words))
        return REDIS_ERROR_NOPERM;
    for (int e = REDIS_ERROR_OTHER + 1; e < REDIS_ERROR_N; e++)
        if (is_wrapped(words, errors[e].word))
            return (enum redis_error)e;
    return REDIS_ERROR_OTHER;
}

const char *redis_error_advice(enum redis_error e)
{
    return errors[e].advice;
}

const char *redis_error_shown(const char *words)
{
    enum redis_error e = redis_error_of(words);

    if (e == REDIS_ERROR_NOPERM && is_forbidden_in_script(words))
        return "NOPERM this user may not run a command that a script of purgeline needs";
    return e == REDIS_ERROR_NOAUTH || e == REDIS_ERROR_MOVED ? errors[e].advice : words;
}

bool redis_error_is_full(enum redis_error e)
{
    return errors[e].traits & FULL;
}

bool redis_error_is_unfit(enum redis_error e)
{
    return errors[e].traits & UNFIT;
}

bool redis_error_passes(enum redis_error e)
{
    return errors[e].traits & PASSES;
}

bool redis_says(const char *words)
{
    size_t n = strspn(words, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    return redis_error_is_other_kind(words) ||
           (n > 2 && (words[n] == ' ' || strncmp(words, "TLS: ", 5) == 0));
}
