/* SPDX-License-Identifier: MIT
 * Acts: what people do to an account. The account's history has a line for each
 * (core/history_line.h), in an entry of its own. If it cannot be written, the act is done all the
 * same. */
#pragma once

#include "client.h"
#include "config.h"

struct json_t;

/* Somebody who acts on an account. Both are lent. */
struct actor {
    const struct config_account *account;
    const char *by; /* names the person, or the producer and its address */
};

bool act_is_noted(const struct actor *who); /* the account has a history */

/* A line that says who did what, to which the caller may add members. */
must_use struct json_t *act_line(const struct actor *who, const char *act);

/* Sets fields of a hash of the account and notes `line`, in one step, for which Redis needs no free
 * memory. `fields`: names and values, terminated by NULL, at most ACT_FIELDS_MAX. Takes the line. 0
 * or negative errno, see client_error; -EIO: nothing has changed, but a plain HSET may be
 * permitted to this user, who may not run scripts or not write the history. */
#define ACT_FIELDS_MAX 8
must_use int act_set(struct client *c, const struct actor *who, struct json_t *line,
                     const char *hash, const char *const *fields);

/* Notes `line` for what has been done already, unless the connection is lost. Does not wait for
 * replicas, because nobody is told that it is there. Takes the line. */
void act_note(struct client *c, const struct actor *who, struct json_t *line);
