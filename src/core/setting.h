/* SPDX-License-Identifier: MIT
 * The one table of settings: name, default, range, sentence. The file's schema, the environment's
 * names, the checks, the sample and the printed configuration are all derived from it. */
#pragma once

#include "buf.h"
#include "config.h"

enum setting_scope { SETTING_GLOBAL, SETTING_ACCOUNT, SETTING_SCOPE_N };

enum setting_type {
    SETTING_GROUP, /* no value: the settings whose names start with "<name>." are inside */
    SETTING_TEXT,
    SETTING_NUMBER,
    SETTING_FLAG,
    SETTING_CHOICE,
    SETTING_SERVICES, /* in one line of text: "id", "id=name", comma-separated */
    SETTING_HOSTS,    /* in one line of text: comma-separated */
};

/* What a text must look like. */
enum setting_form {
    SETTING_FORM_ANY,
    SETTING_FORM_REDIS,   /* embedded or a Redis URL */
    SETTING_FORM_LISTEN,  /* host:port or empty */
    SETTING_FORM_PATH,    /* absolute or empty */
    SETTING_FORM_ACCOUNT, /* what may stand in a Redis key */
    SETTING_FORM_API,     /* https://, or http:// to this machine */
    SETTING_FORM_ENV,     /* a variable's name or empty */
    SETTING_FORM_SERVICE, /* a service's id, its name, or empty */
};

#define SETTING_TEXT_MAX_BYTES 1024
#define SETTING_HOSTS_MAX 256

struct setting {
    const char *name; /* "budget.purges": dots for groups, without the account */
    enum setting_scope scope;
    enum setting_type type;
    size_t offset, size; /* in struct config or struct config_account */
    uint64_t min, max;   /* numbers */
    const char *const *choices;
    size_t choices_count;
    const char *fallback;   /* the default, in the words of the file */
    enum setting_form form; /* texts */
    const char *sentence;   /* lines for people, separated by \n */
    bool secret;            /* may hold a password: printed without it */
};

const struct setting *setting_table(size_t *count);
const struct setting *setting_find(enum setting_scope scope, const char *name); /* or NULL */

/* "a number from 1 to 1000", "one of none, failed, all" ... */
void setting_expects(const struct setting *s, struct buf *out);

/* Sets the value inside *base (a struct config or a struct config_account, by scope) from text.
 * 0, or -EINVAL with "expected ..., found ..." in err and *base as it was. */
must_use int setting_set(const struct setting *s, void *base, const char *text, char *err,
                         size_t err_room);

/* The environment variable: PURGELINE_BUDGET_PURGES. */
void setting_env_name(const struct setting *s, char *out, size_t room);

/* All values of the scope as the table has them; for memory that is zero or was set before. */
void setting_set_defaults(enum setting_scope scope, void *base);
