/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "json_text.h"
#include "rediskey.h"

void control_clean(char *why)
{
    for (char *c = why; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

int control_set(struct client *c, const char *account, enum control_state state, const char *why,
                const char *by)
{
    const char *paused = state == CONTROL_PAUSED ? "1" : "0";
    char *key = rediskey(account, "control"), at[32];
    struct redisReply *reply;
    int rc;

    snprintf(at, sizeof(at), "%" PRIu64, clock_wall_ms());
    rc = client_ask_words(
        c,
        (const char *const[]){"HSET", key, "paused", paused, "why", why, "by", by, "at", at, NULL},
        &reply);
    free(key);
    return rc;
}

json_t *control_json(const char *account, enum control_state state, const char *why)
{
    return json_pack("{sosbso}", "account", json_text_of(account), "paused",
                     (int)(state == CONTROL_PAUSED), "why", json_text_of(why));
}
