/* SPDX-License-Identifier: MIT
 * A job as a person or a file states it (targets, a line, a JSON object), filled in field by field
 * until it can be put into a stream. */
#pragma once

#include "buf.h"
#include "config.h"

struct json_t; /* jansson's */

struct jobform {
    struct span *fields; /* name, value, name, value ... */
    size_t count, room;
    enum lane lane;
    struct buf keys; /* becomes one field */
    size_t targets;
    bool takes_account;  /* "account" in JSON is a place for the job, not a field of it */
    struct span account; /* p == NULL: not named */
    char **owned;        /* what the fields point into */
    size_t owned_count, owned_room;
};

enum jobform_kind {
    JOBFORM_GUESS, /* a URL when it holds "://" */
    JOBFORM_KEY,
    JOBFORM_URL,
};

void jobform_init(struct jobform *f, enum lane lane);
void jobform_clear(struct jobform *f, enum lane lane); /* keeps the memory */
void jobform_deinit(struct jobform *f);

void jobform_put(struct jobform *f, const char *name, struct span value); /* copies the value */

/* A target, or several keys with spaces between them. 0, or -EINVAL with a sentence and the form as
 * it was. */
must_use int jobform_add_targets(struct jobform *f, enum jobform_kind kind, struct span text,
                                 char *err, size_t err_room);

/* One target: a key with a space in it is refused. 0, or -EINVAL with a sentence. */
must_use int jobform_add_key(struct jobform *f, struct span key, char *err, size_t err_room);
must_use int jobform_add_url(struct jobform *f, struct span url, char *err, size_t err_room);

/* A JSON object with the fields of the wire contract: "keys" a list or a text, "url" or "urls" a
 * list or a text, flags true or 1, numbers as numbers; "lane" besides, and "account" where
 * takes_account says so. 0, or -EINVAL with a sentence. */
must_use int jobform_add_json(struct jobform *f, struct span text, char *err, size_t err_room);
/* The same in two steps, so that the text can go before its copy comes. The first returns the
 * object, the caller's, or NULL with a sentence. */
struct json_t *jobform_load(struct span text, char *err, size_t err_room);
must_use int jobform_add_object(struct jobform *f, struct json_t *object, char *err,
                                size_t err_room);

/* Takes over every field of `from` whose name is not there yet. */
void jobform_add_missing(struct jobform *f, const struct jobform *from);

/* The fields, complete; valid until the form changes. */
const struct span *jobform_fields(struct jobform *f, size_t *count);
