/* SPDX-License-Identifier: MIT
 * Builds a job from command-line targets, a line or a JSON object, field by field, until it can be
 * added to a stream. */
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
    bool takes_account; /* accept "account" in JSON: it selects the stream and is not a field of the
                           job */
    struct span account; /* p == NULL: not named */
    bool takes_by;       /* accept "by" in JSON: who writes it may say who pushes the job */
    char **owned;        /* strings that the fields point to */
    size_t owned_count, owned_room;
};

enum jobform_kind {
    JOBFORM_GUESS, /* a URL if it contains "://", otherwise keys */
    JOBFORM_KEY,
    JOBFORM_URL,
};

void jobform_init(struct jobform *f, enum lane lane);
void jobform_clear(struct jobform *f, enum lane lane); /* keeps the memory */
void jobform_deinit(struct jobform *f);

void jobform_put(struct jobform *f, const char *name, struct span value); /* copies the value */

/* Adds a target, or several keys separated by spaces. 0, or -EINVAL with a message and the form
 * unchanged. */
must_use int jobform_add_targets(struct jobform *f, enum jobform_kind kind, struct span text,
                                 struct error *err);

/* Adds one key. A key that contains a space is refused. 0, or -EINVAL with a message. */
must_use int jobform_add_key(struct jobform *f, struct span key, struct error *err);
must_use int jobform_add_url(struct jobform *f, struct span url, struct error *err);
/* Adds a service that the job is for, at most JOB_SERVICES_MAX. */
must_use int jobform_add_service(struct jobform *f, struct span service, struct error *err);

/* Adds the fields of a JSON object, named as in the wire contract: "keys", "url", "urls" and
 * "service" are a list or a string, flags are true or 1, numbers are numbers, "when" is an object,
 * "verify" a flag or an object. "lane" is also accepted, and "account" if takes_account is set. 0,
 * or -EINVAL with a message. */
must_use int jobform_add_json(struct jobform *f, struct span text, struct error *err);
/* The same in two steps, so that the text can be freed before its copy is made. The first step
 * returns the object, which the caller owns, or NULL with a message. */
struct json_t *jobform_load(struct span text, struct error *err);
must_use int jobform_add_object(struct jobform *f, struct json_t *object, struct error *err);

/* Copies every field of `from` whose name this form does not have yet. */
void jobform_add_missing(struct jobform *f, const struct jobform *from);

/* Notes who pushes the job instead of what the form said of that. Copies the name. One that does
 * not pass job_by_ok is not noted. */
void jobform_sign(struct jobform *f, struct span by);

/* The complete list of fields, valid until the form changes. */
const struct span *jobform_fields(struct jobform *f, size_t *count);
