/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "json_text.h"
#include "keys.h"
#include "redis_error.h"
#include "scripts.h"

void control_clean(char *why)
{
    for (char *c = why; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

/* The plain command comes first. The script succeeds even when Redis is out of memory, but it needs
 * the right to HDEL, which Redis users set up for older versions may lack. */
static int set_fields(struct client *c, const char *key, const char *const *f)
{
    struct redisReply *reply;
    int rc = client_ask_words(
        c, (const char *const[]){"HSET", key, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], NULL},
        &reply);

    if (rc == -EIO && redis_error_of(client_error(c)) == REDIS_ERROR_OOM)
        rc = client_ask_words(c,
                              (const char *const[]){"EVAL", scripts[SCRIPT_WRITE_HASH].text, "1",
                                                    key, "HSET", f[0], f[1], f[2], f[3], f[4], f[5],
                                                    f[6], f[7], NULL},
                              &reply);
    return rc;
}

static json_t *line_of(const struct actor *who, enum control_state state, const char *why)
{
    json_t *line = act_line(who, state == CONTROL_PAUSED ? "pause" : "resume");

    if (*why)
        json_object_set_new(line, "why", json_text_of(why));
    return line;
}

int control_set(struct client *c, const struct actor *who, enum control_state state,
                const char *why)
{
    char *key = redis_key(who->account->name, "control"), at[32];
    const char *const fields[] = {
        "paused", state == CONTROL_PAUSED ? "1" : "0", "why", why, "by", who->by, "at", at, NULL};
    int rc = -EIO;

    snprintf(at, sizeof(at), "%" PRIu64, clock_wall_ms());
    if (act_is_noted(who))
        rc = act_set(c, who, line_of(who, state, why), key, fields);
    if (rc == -EIO)
        rc = set_fields(c, key, fields);
    free(key);
    return rc;
}

int control_get(struct client *c, const char *account, enum control_state *out)
{
    char *key = redis_key(account, "control");
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"HGET", key, "paused", NULL}, &reply);

    free(key);
    if (rc == 0)
        *out = reply_number(reply) == 1 ? CONTROL_PAUSED : CONTROL_GOES_ON;
    return rc;
}

int control_confirm(struct client *c, const char *account)
{
    char *key = redis_key(account, "control");
    struct redisReply *reply;
    int rc = 0;

    if (client_waits(c))
        rc =
            client_ask_words(c, (const char *const[]){"HSET", key, "confirmed", "1", NULL}, &reply);
    free(key);
    return rc;
}

/* -- waiting until a pause holds -- */

#define LOOK_EVERY_MS 50

static int ask_for(struct client *c, const char *account, const char *what,
                   struct redisReply **reply)
{
    char *key = redis_key(account, what);
    int rc = client_ask_words(c, (const char *const[]){"GET", key, NULL}, reply);

    free(key);
    return rc;
}

/* The leader's report when it was last read. */
struct leader {
    char name[160];   /* "": no instance leads */
    int64_t renewals; /* each publishes a status written before it */
    int64_t first;    /* its renewals when it was first seen */
    int64_t in_flight;
    bool paused;
};

static int64_t status_number(const json_t *status, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(status, name));
}

static int look_at_leader(struct client *c, const char *account, struct leader *l)
{
    struct redisReply *reply;
    char name[sizeof(l->name)];
    struct span text;
    json_t *status;
    int rc = ask_for(c, account, "lease", &reply);

    if (rc < 0)
        return rc;
    text = reply_text(reply);
    snprintf(name, sizeof(name), "%.*s", (int)text.n, text.p);
    rc = ask_for(c, account, "status", &reply);
    if (rc < 0)
        return rc;
    text = reply_text(reply);
    status = json_loadb(text.p, text.n, 0, NULL);
    l->renewals = status_number(status, "renewals");
    l->in_flight = status_number(status, "in_flight");
    l->paused = status_number(status, "paused") == 1;
    if (strcmp(name, l->name) != 0)
        l->first = l->renewals;
    memcpy(l->name, name, sizeof(name));
    json_decref(status);
    return 0;
}

/* The first renewal after the pause reads it from Redis. Only the status published with the renewal
 * after that was written by a leader that knows of the pause. */
static enum control_held held_by(const struct leader *l)
{
    if (!l->name[0])
        return CONTROL_NOBODY;
    return l->paused && l->in_flight == 0 && l->renewals >= l->first + 2 ? CONTROL_HELD
                                                                         : CONTROL_SENDING;
}

int control_await_held(struct client *c, const char *account, uint32_t wait_ms,
                       enum control_held *held, uint64_t *in_flight)
{
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * (long)NS_PER_MS};
    uint64_t until_ns = clock_mono_ns() + wait_ms * NS_PER_MS;
    struct leader l = {.name = "?"};
    int rc;

    while ((rc = look_at_leader(c, account, &l)) == 0 && held_by(&l) == CONTROL_SENDING &&
           clock_mono_ns() < until_ns)
        nanosleep(&pause, NULL);
    *held = held_by(&l);
    *in_flight = (uint64_t)l.in_flight;
    return rc;
}

json_t *control_json(const char *account, enum control_state state, const char *why)
{
    return json_pack("{sosbso}", "account", json_text_of(account), "paused",
                     (int)(state == CONTROL_PAUSED), "why", json_text_of(why));
}
