/* SPDX-License-Identifier: MIT
 * The single table of settings: name, default, range, description. The format of the file, the
 * environment variables, the checks, the sample and the printed configuration are all derived from
 * it. */
#pragma once

#include "buf.h"
#include "config.h"

enum setting_scope {
    SETTING_GLOBAL,
    SETTING_ACCOUNT, /* this scope and the following ones are lists */
    SETTING_PRODUCER,
    SETTING_HOOK,
    SETTING_SCOPE_N,
};

enum setting_type {
    SETTING_GROUP, /* no value: the settings whose names start with "<name>." are inside */
    SETTING_TEXT,
    SETTING_NUMBER,
    SETTING_BYTES, /* a uint64_t; may be written as 256MiB */
    SETTING_FLAG,
    SETTING_CHOICE,
    SETTING_SET,      /* of choices, at least one; bit n is the n-th */
    SETTING_WORDS,    /* each of the form; in one line of text: comma-separated */
    SETTING_SERVICES, /* in one line of text: "id", "id=name", comma-separated */
};

/* What a text, or each word of a list, must look like. */
enum setting_form {
    SETTING_FORM_ANY, /* one line */
    SETTING_FORM_LINES,
    SETTING_FORM_REDIS,        /* embedded or a Redis URL */
    SETTING_FORM_LISTEN,       /* host:port, unix:/path; many of them, comma-separated */
    SETTING_FORM_MODE,         /* of a file, in octal */
    SETTING_FORM_GROUP,        /* a group's name */
    SETTING_FORM_NETWORK,      /* an address, a network or "unix" */
    SETTING_FORM_PATH,         /* absolute */
    SETTING_FORM_NAME,         /* what may stand in a Redis key or a URL */
    SETTING_FORM_ACCOUNT,      /* the name of one */
    SETTING_FORM_API,          /* https://, or http:// to this machine */
    SETTING_FORM_PROXY,        /* env, or http(s)://host:port */
    SETTING_FORM_ENV,          /* a variable's name */
    SETTING_FORM_SERVICE,      /* a service's id or its name */
    SETTING_FORM_SHA256,       /* in hex */
    SETTING_FORM_HEADER,       /* a header's name */
    SETTING_FORM_HOST,         /* as in a URL, with its port */
    SETTING_FORM_HOST_PATTERN, /* a host, or "*." and a domain */
    SETTING_FORM_CONDITION,    /* path=value, header:name=value */
    SETTING_FORM_TEMPLATE,     /* checked by the code that uses it */
};

/* What a running daemon does with a new value (SIGHUP). */
enum setting_reload {
    SETTING_TAKEN,   /* the new value takes effect at once or with the next request */
    SETTING_RESTART, /* the old value stays in effect until the next start, and the log says so */
};

#define SETTING_TEXT_MAX_BYTES 1024 /* of a text, or a word of a list */

struct setting {
    const char *name; /* "budget.purges": dots for groups, without the account */
    enum setting_scope scope;
    enum setting_type type;
    size_t offset, size; /* in struct config, struct config_account ... by scope */
    uint64_t min, max;   /* numbers and bytes */
    const char *const *choices;
    size_t choices_count;
    const char *fallback;   /* the default, in the words of the file; NULL: it must be given */
    const char *example;    /* in the sample's example of a producer or hook; NULL: the default */
    enum setting_form form; /* texts and words */
    bool may_be_empty;      /* texts */
    bool may_be_list;       /* global texts: a list in the file is joined with commas */
    enum setting_reload reload;
    bool guarded; /* path of a file or folder that no other user should read, and that none may
                     change */
    const char *sentence; /* lines for people, separated by \n */
    bool
        secret; /* may contain a secret: never quoted in errors, and printed without the password */
};

const struct setting *setting_table(size_t *count);
const struct setting *setting_find(enum setting_scope scope, const char *name); /* or NULL */

/* "a number from 1 to 1000", "one of none, failed, all" ... */
void setting_expects(const struct setting *s, struct buf *out);

/* Sets the value inside *base (a struct config, a struct config_account ... by scope) from text.
 * 0, or -EINVAL with "expected ..., found ..." in err and *base as it was. */
must_use int setting_set(const struct setting *s, void *base, const char *text, char *err,
                         size_t err_room);

/* The same for a set or words, which stand one by one in the file; *wrong is the one that err is
 * about. */
must_use int setting_set_words(const struct setting *s, void *base, char *const *words,
                               uint32_t count, uint32_t *wrong, char *err, size_t err_room);

/* Whether two of the same scope have the same value there. */
bool setting_same(const struct setting *s, const void *a, const void *b);
/* Makes *to have the value that *from has: of texts, numbers, flags and choices. */
void setting_copy(const struct setting *s, void *to, const void *from);

/* The environment variable of a setting: PURGELINE_BUDGET_PURGES. False: it has none, like all
 * settings in lists. */
bool setting_env_name(const struct setting *s, char *out, size_t room);

/* All values of the scope as the table has them ("" for what must be given); for memory that is
 * zero or was set before. */
void setting_set_defaults(enum setting_scope scope, void *base);
void setting_set_examples(enum setting_scope scope, void *base); /* those that there are */
void setting_free(enum setting_scope scope, void *base);         /* all texts and lists */

#define SETTING_UNIX "unix:" /* before the path of a socket in `listen` */

/* The next address of `listen`, without spaces around it. False: there is none. */
bool setting_listen_next(struct span *rest, struct span *one);
bool setting_listen_is_unix(struct span one); /* and not host:port */

/* Whether the host always means this machine: "localhost", "127.0.0.1", "[::1]" ... */
bool setting_host_is_loopback(struct span host);

/* -- the lists in a configuration -- */

struct setting_list {
    const char *name, *one; /* "accounts", "an account" */
    uint32_t max;
    size_t offset, count_offset, item_size; /* in struct config; of an item */
    const char *sentence;                   /* NULL: none */
};

const struct setting_list *setting_list(enum setting_scope scope); /* NULL for SETTING_GLOBAL */
uint32_t setting_list_count(enum setting_scope scope, const struct config *c);
void *setting_list_at(enum setting_scope scope, const struct config *c, uint32_t index);
void *setting_list_add(enum setting_scope scope, struct config *c); /* one more, with defaults */
