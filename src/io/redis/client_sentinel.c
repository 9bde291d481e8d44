/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "client_internal.h"
#include "clock.h"
#include "redis_error.h"

/* Nobody waits long for a sentinel that is frozen, or for a master that is: a sentinel's news may
 * be old. The others are asked first, and all once more with more time if that may help. */
static const struct patience {
    uint32_t sentinel_ms, master_ms;
} rounds[] = {{300, 2000}, {2000, 2000}, {2000, 10000}};

#define PATIENT_MS rounds[1].sentinel_ms

/* Who has taken so long in a round that more time may help. */
struct slow {
    bool sentinel, master;
};

static int ask_role(struct client *c, const char *role, struct error *err)
{
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"ROLE", NULL}, &reply);

    if (rc == 0 && span_is(reply_text(reply_at(reply, 0)), role))
        return 0;
    if (rc == 0 && strcmp(role, "sentinel") == 0 &&
        redis_role_is_of_data(reply_text(reply_at(reply, 0))))
        return error_set(err, -ENOTCONN, "%s", redis_is_no_sentinel);
    if (rc == 0)
        return error_set(err, -ENOTCONN, "it is no %s", role);
    rc = client_timed_out(c)                                     ? -ETIMEDOUT
         : redis_error_of(client_error(c)) == REDIS_ERROR_NOAUTH ? -EACCES
                                                                 : -ENOTCONN;
    return error_set(err, rc, "it does not say that it is a %s: %s", role, client_error(c));
}

/* Connects and checks that the server says of itself that it is this. */
static int open_role(const struct redis_address *a, const char *role, uint32_t answer_ms,
                     struct client **out, struct error *err)
{
    struct client *c;
    int rc = client_open_at(a, answer_ms, &c, err);

    if (rc < 0)
        return rc;
    rc = ask_role(c, role, err);
    if (rc < 0)
        client_close(c);
    else
        *out = c;
    return rc;
}

static int ask_master(struct client *c, const char *master, struct redis_place *out,
                      struct error *err)
{
    const char *const words[] = {"SENTINEL", "get-master-addr-by-name", master, NULL};
    struct redisReply *reply;
    int rc;

    rc = client_ask_words(c, words, &reply);
    if (rc < 0)
        return error_set(err, rc, "%s", client_error(c));
    if (reply_nil(reply))
        return error_set(err, -ENOENT, "it knows no master of this name");
    if (!redis_place_parse(reply_text(reply_at(reply, 0)), reply_text(reply_at(reply, 1)), out))
        return error_set(err, -EIO, "its answer makes no sense");
    return 0;
}

/* Asks the first of the address's sentinels. The error begins with its name. */
static int ask_first(const struct redis_address *a, uint32_t answer_ms, struct redis_place *out,
                     struct error *err)
{
    struct redis_address sentinel;
    struct client *c;
    struct error why;
    char name[300];
    int rc;

    redis_address_first_sentinel(a, &sentinel);
    redis_address_name(&sentinel, name, sizeof(name));
    rc = redis_address_refresh(&sentinel, &why);
    if (rc == 0)
        rc = open_role(&sentinel, "sentinel", answer_ms, &c, &why);
    redis_address_deinit(&sentinel);
    if (rc == 0) {
        rc = ask_master(c, a->master, out, &why);
        client_close(c);
    }
    if (rc == -EACCES)
        error_set(&why, rc, "%s", REDIS_SENTINEL_NOAUTH);
    return rc < 0 ? error_set(err, rc, "%s: %s", name, why.text) : 0;
}

/* -- opening -- */

static int open_master(struct redis_address *a, uint32_t answer_ms, struct client **out,
                       struct error *err)
{
    struct error why;
    int rc = open_role(a, "master", answer_ms, out, &why);

    return rc < 0 ? error_set(err, rc, "Sentinel names %s:%u as the master: %s", a->host, a->port,
                              why.text)
                  : 0;
}

/* The same, and whether it took so long that more time may help. */
static int ask_in_time(const struct redis_address *a, uint32_t answer_ms, struct redis_place *out,
                       bool *slow, struct error *err)
{
    uint64_t begun_ns = clock_mono_ns();
    int rc = ask_first(a, answer_ms, out, err);

    *slow |= rc < 0 && clock_mono_ns() - begun_ns >= answer_ms * NS_PER_MS;
    return rc;
}

/* Tries the master that each sentinel names, as the news of the first one may be old. */
static int open_by_sentinels(struct redis_address *a, const struct patience *p, struct client **out,
                             struct slow *slow, struct error *err)
{
    struct redis_place at;
    char *all = alloc_str(""), *more;
    struct error why;
    bool named = false;
    int rc = -ENOTCONN;

    for (uint32_t i = 0; i < a->sentinels_count; i++, redis_address_next_sentinel(a)) {
        if (ask_in_time(a, p->sentinel_ms, &at, &slow->sentinel, &why) < 0) {
            more = alloc_printf("%s%s%s", all, *all ? "; " : "", why.text);
            free(all);
            all = more;
            continue;
        }
        if (!named || !redis_place_is(&at, a->host, a->port)) {
            redis_address_set_place(a, &at);
            rc = open_master(a, p->master_ms, out, err);
            slow->master |= rc == -ETIMEDOUT;
        }
        named = true;
        free(at.host);
        if (rc == 0 || rc == -EACCES)
            break;
    }
    if (!named)
        error_set(err, rc, "none of the %u sentinels can say which server is %s: %s",
                  a->sentinels_count, a->master, all);
    free(all);
    return rc;
}

static int open_master_of(struct redis_address *a, struct client **out, struct error *err)
{
    struct slow slow = {false, false};
    int rc = open_by_sentinels(a, &rounds[0], out, &slow, err);

    if (rc < 0 && rc != -EACCES && slow.sentinel)
        rc = open_by_sentinels(a, &rounds[1], out, &slow, err);
    if (rc < 0 && rc != -EACCES && slow.master)
        rc = open_by_sentinels(a, &rounds[2], out, &slow, err);
    if (rc < 0)
        return rc;
    (*out)->answer_ms = CLIENT_ANSWER_MS;
    client_set_named(*out, a);
    return 0;
}

void client_remember_sentinel(const struct client *c, struct redis_address *a)
{
    const struct redis_place *good = c->named ? &c->named->sentinels[0] : NULL;

    for (uint32_t i = 0; good && i < a->sentinels_count; i++) {
        if (redis_place_is(good, a->sentinels[0].host, a->sentinels[0].port))
            return;
        redis_address_next_sentinel(a);
    }
}

int client_open(const struct redis_address *a, struct client **out, struct error *err)
{
    struct redis_address now; /* with the current password */
    int rc;

    redis_address_copy(a, &now);
    rc = redis_address_refresh(&now, err);
    if (rc < 0)
        rc = -ENOTCONN;
    else if (now.master)
        rc = open_master_of(&now, out, err);
    else if (now.cluster)
        rc = client_open_cluster(&now, out, err);
    else
        rc = client_open_at(&now, CLIENT_ANSWER_MS, out, err);
    redis_address_deinit(&now);
    if (rc == 0)
        (*out)->replicas = a->replicas;
    return rc == -ETIMEDOUT ? -ENOTCONN : rc;
}

void client_ask_sentinels(const struct redis_address *a, client_sentinel_cb *cb, void *ctx)
{
    struct redis_address now;

    redis_address_copy(a, &now);
    for (uint32_t i = 0; i < now.sentinels_count; i++) {
        struct redis_place at = {0};
        struct error why;

        if (ask_first(&now, PATIENT_MS, &at, &why) < 0)
            cb(ctx, NULL, why.text);
        else
            cb(ctx, &at, NULL);
        free(at.host);
        redis_address_next_sentinel(&now);
    }
    redis_address_deinit(&now);
}
