/* SPDX-License-Identifier: MIT
 * Redis checks the permission for a command first, then, at the latest, its arguments, and only
 * then carries it out. So each command that writes is sent with an argument that is invalid: it
 * changes nothing, and any error other than NOPERM means that it is permitted. The order is that of
 * Redis' src/server.c (processCommand), src/t_list.c and src/t_stream.c. */
#include "foreign_look.h"

#include <stdlib.h>
#include <string.h>

#include "foreign_list.h"
#include "redis_error.h"

#define INVALID "invalid"

/* Sends a command. 0: Redis has answered; its error, if it was one, is client_error. Negative errno
 * with a sentence if the connection is lost, or if Redis says that the user may not do this or that
 * the key has another type. */
static int probe(struct client *c, const char *const *words, bool *refused, struct error *err)
{
    struct redisReply *reply;
    int rc = client_ask_words(c, words, &reply);
    enum redis_error e = rc < 0 ? redis_error_of(client_error(c)) : REDIS_ERROR_OTHER;

    *refused = rc == -EIO;
    if (rc < 0 && (!*refused || e != REDIS_ERROR_OTHER))
        return error_set(err, rc, "%s", redis_error_shown(client_error(c)));
    return 0;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* -- lists -- */

int foreign_list_look(const struct redis_address *a, const char *list, const char *consumer,
                      struct error *err)
{
    char *ours = foreign_list_ours(list, consumer);
    struct client *c = NULL;
    bool refused;
    int rc = client_open(a, &c, err);

    if (rc == 0)
        rc = probe(c, WORDS("LLEN", list), &refused, err);
    if (rc == 0)
        rc = probe(c, WORDS("LRANGE", ours, "0", "0"), &refused, err);
    if (rc == 0)
        rc = probe(c, WORDS("LMOVE", list, ours, INVALID, INVALID), &refused, err);
    if (rc == 0)
        rc = probe(c, WORDS("BLMOVE", list, ours, INVALID, INVALID, "1"), &refused, err);
    if (rc == 0)
        rc = probe(c, WORDS("LREM", ours, INVALID, ""), &refused, err);
    client_close(c);
    free(ours);
    return rc;
}

/* -- streams -- */

/* What XREADGROUP says if there is no such stream or no such group is known by its code; of the two
 * only XGROUP says which, in words. */
static int find_group(struct client *c, const char *stream, const char *group,
                      enum foreign_group *out, struct error *err)
{
    bool refused;
    int rc = probe(
        c,
        WORDS("XREADGROUP", "GROUP", group, "purgeline", "COUNT", "1", "STREAMS", stream, INVALID),
        &refused, err);

    *out = FOREIGN_GROUP_EXISTS;
    if (rc < 0 || !refused || strncmp(client_error(c), "NOGROUP", 7) != 0)
        return rc;
    rc = probe(c, WORDS("XGROUP", "CREATE", stream, group, INVALID), &refused, err);
    *out = refused && strstr(client_error(c), "requires the key to exist") ? FOREIGN_STREAM_MISSING
                                                                           : FOREIGN_GROUP_MISSING;
    return rc;
}

int foreign_stream_look(const struct redis_address *a, const char *stream, const char *group,
                        enum foreign_group *out, struct error *err)
{
    struct client *c = NULL;
    bool refused;
    int rc = client_open(a, &c, err);

    if (rc == 0)
        rc = find_group(c, stream, group, out, err);
    if (rc == 0)
        rc = probe(c, WORDS("XACK", stream, group, INVALID), &refused, err);
    if (rc == 0)
        rc = probe(c, WORDS("XAUTOCLAIM", stream, group, "purgeline", INVALID, "0"), &refused, err);
    client_close(c);
    return rc;
}
