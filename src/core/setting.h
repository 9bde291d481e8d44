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
    SETTING_CONSUMER,
    SETTING_CANARY,
    SETTING_SCOPE_N,
};

enum setting_type {
    SETTING_GROUP, /* has no value; contains the settings whose names start with "<name>." */
    SETTING_TEXT,
    SETTING_NUMBER,
    SETTING_BYTES, /* a uint64_t; may be written as 256MiB */
    SETTING_FLAG,
    SETTING_CHOICE,
    SETTING_SET,   /* at least one of the choices; bit n is choice n */
    SETTING_WORDS, /* a list of words, each of the form; comma-separated when given as one line */
    SETTING_SERVICES, /* when given as one line: "id" or "id=name", comma-separated */
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
    SETTING_FORM_NAME,         /* characters allowed in a Redis key and a URL */
    SETTING_FORM_ACCOUNT,      /* the name of an account */
    SETTING_FORM_API,          /* https://, or http:// to this machine */
    SETTING_FORM_WEB,          /* any URL with http:// or https:// */
    SETTING_FORM_PROXY,        /* env, or http(s)://host:port */
    SETTING_FORM_ENV,          /* a variable's name */
    SETTING_FORM_SERVICE,      /* a service's id or its name */
    SETTING_FORM_SHA256,       /* 64 hex digits */
    SETTING_FORM_HEADER,       /* a header's name */
    SETTING_FORM_HOST,         /* as in a URL, including the port */
    SETTING_FORM_HOST_PATTERN, /* a host, or "*." followed by a domain */
    SETTING_FORM_ORIGIN,       /* a host pattern, perhaps with http:// and a port */
    SETTING_FORM_CONDITION,    /* path=value, header:name=value */
    SETTING_FORM_URL,          /* of a page, with its scheme */
    SETTING_FORM_KEY,          /* a surrogate key */
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
    uint64_t min, max;   /* numbers and bytes; max: also of words, how many; 0: CONFIG_WORDS_MAX */
    const char *word;    /* may stand for a number of 32 bits, which is then UINT32_MAX; or NULL */
    const char *const *choices;
    size_t choices_count;
    const char *fallback; /* the default, written as in the file; NULL: the setting is required */
    const char
        *example; /* shown in the sample, for a producer, hook or consumer; NULL: the default */
    enum setting_form form; /* texts and words */
    bool may_be_empty;      /* texts */
    bool may_be_list;       /* global texts: a list in the file is joined with commas */
    bool may_be_text;       /* words: in the file, a single one may stand there without a list */
    enum setting_reload reload;
    bool guarded;         /* a path that other users should not read and must not change */
    const char *sentence; /* description for users; lines are separated by \n */
    bool
        secret; /* may contain a secret: never quoted in errors, and printed without the password */
};

const struct setting *setting_table(size_t *count);
const struct setting *setting_find(enum setting_scope scope, const char *name); /* or NULL */

/* "a number from 1 to 1000", "one of none, failed, all" ... */
void setting_expects(const struct setting *s, struct buf *out);

/* Sets the value inside *base (a struct config, a struct config_account ... by scope) from text.
 * 0, or -EINVAL with "expected ..., found ..." in err and *base as it was. */
must_use int setting_set(const struct setting *s, void *base, const char *text, struct error *err);

/* The same for a set or a list of words given one by one; *wrong is the index of the word that err
 * is about. */
must_use int setting_set_words(const struct setting *s, void *base, char *const *words,
                               uint32_t count, uint32_t *wrong, struct error *err);

uint32_t setting_words_max(const struct setting *s); /* how many words a list of words may have */

/* Whether two structs of the same scope have the same value for this setting. */
bool setting_same(const struct setting *s, const void *a, const void *b);
/* Copies the value of this setting from *from to *to. Only for texts, numbers, flags and
 * choices. */
void setting_copy(const struct setting *s, void *to, const void *from);

/* The environment variable of a setting: PURGELINE_BUDGET_PURGES. False if it has none; settings
 * inside lists have none. */
bool setting_env_name(const struct setting *s, char *out, size_t room);

/* Sets all settings of the scope to their defaults ("" for required ones). The memory must be zero
 * or have been set before. */
void setting_set_defaults(enum setting_scope scope, void *base);
void setting_set_examples(enum setting_scope scope, void *base); /* for settings that have one */
void setting_free(enum setting_scope scope, void *base);         /* all texts and lists */

#define SETTING_UNIX "unix:" /* before the path of a socket in `listen` */

/* Gets the next address of `listen`, without surrounding spaces. False if there are no more. */
bool setting_listen_next(struct span *rest, struct span *one);
bool setting_listen_is_unix(struct span one); /* not host:port */

/* Whether the host always means this machine: "localhost", "127.0.0.1", "[::1]" ... */
bool setting_host_is_loopback(struct span host);

/* -- the lists in a configuration -- */

struct setting_list {
    const char *name, *one; /* "accounts", "an account" */
    uint32_t max;
    size_t offset, count_offset, item_size; /* the offsets are within struct config */
    const char *sentence;                   /* NULL: none */
};

const struct setting_list *setting_list(enum setting_scope scope); /* NULL for SETTING_GLOBAL */
uint32_t setting_list_count(enum setting_scope scope, const struct config *c);
void *setting_list_at(enum setting_scope scope, const struct config *c, uint32_t index);
void *setting_list_add(enum setting_scope scope, struct config *c); /* one more, with defaults */
