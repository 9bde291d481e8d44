/* SPDX-License-Identifier: MIT
 * What the files of the fake Redis know of each other. */
#pragma once

#include "fakeredis.h"
#include "list.h"
#include "map.h"

struct lua_State;

enum kind { KIND_STRING, KIND_LIST, KIND_HASH, KIND_ZSET, KIND_STREAM };

struct bytes { /* owned */
    char *p;
    size_t n;
};

struct rank { /* a member of a sorted set */
    double score;
    struct bytes name;
};

struct zset {
    struct rank **sorted;
    size_t count, room;
    struct map by_name; /* to struct rank */
};

struct texts { /* a list */
    struct bytes *items;
    size_t count, room;
};

struct stream_id {
    uint64_t ms, seq;
};

struct stream_item { /* in one piece of memory with the bytes of its fields */
    struct stream_id id;
    size_t count; /* names and values */
    struct span fields[];
};

struct group {
    struct bytes name;
    struct stream_id delivered;
    struct map consumers;
    struct stream_id *pending; /* claimed and not acknowledged, in order */
    size_t pending_count;
};

struct backlog {            /* entries that are not made yet, behind all others */
    uint64_t ms, next, end; /* ids */
    size_t fields;
    fakeredis_make_cb *make;
    void *ctx;
};

struct fstream {
    struct stream_item **items; /* sorted; the first one is items[head] */
    size_t head, count, room;
    struct stream_id last, deleted; /* the newest id ever, the highest that was deleted */
    struct group *groups;
    size_t groups_count;
    struct backlog backlog;
};

struct value {
    struct bytes name;
    enum kind kind;
    int node;            /* of a Cluster, that has it */
    uint64_t expires_ms; /* NEVER: it does not */
    union {
        struct bytes string;
        struct texts list;
        struct map hash; /* to struct bytes */
        struct zset zset;
        struct fstream stream;
    };
};

struct fakeredis {
    fakeredis_clock *now_us;
    void *clock_ctx;
    struct map keys; /* to struct value */
    struct list sessions;
    const char *full, *refusing, *policy, *fsync;
    uint64_t opened;     /* sessions */
    const char *history; /* master_replid */
    unsigned replicas_have, replicas;
    uint64_t all_have; /* `changes` that all replicas have */
    uint64_t changes;  /* counts them */
    struct fakeredis_watch watch;
    void *watch_ctx;
    struct lua_State *lua;
    struct lua_memory *lua_memory;
    struct fakeredis_cluster *cluster;       /* or NULL */
    const struct fakeredis_session *serving; /* whose command is under way; or NULL */
    struct buf called;                       /* the answer to the redis.call that is under way */
};

struct queued { /* a command between MULTI and EXEC */
    size_t argc;
    struct bytes *argv;
};

struct fakeredis_session {
    struct list link;
    uint64_t number;
    uint64_t written; /* `changes` after its last command that changed something */
    int node;         /* of a Cluster; or FAKEREDIS_NO_NODE */
    bool asking;      /* for the next command */
    enum fakeredis_role role;
    struct fakeredis *f;
    fakeredis_message_cb *message;
    void (*changed)(void *ctx);
    void *ctx;
    struct texts channels;
    struct texts watched;  /* keys */
    bool dirty;            /* one of them has changed */
    bool multi, spoilt;    /* after MULTI; one of its commands was refused */
    unsigned queued_flags; /* of all that are queued */
    struct queued *queued;
    size_t queued_count;
};

/* One command that is being carried out. */
struct ask {
    struct fakeredis *f;
    struct fakeredis_session *s;
    size_t argc;
    const struct span *argv;
    struct buf *out;
    const struct command *command;
    bool in_script;
};

enum { WRITES = 1, NEEDS_MEMORY = 2, NOT_IN_SCRIPTS = 4, AT_ONCE = 8 /* not queued by MULTI */ };

struct command {
    const char *name;
    int arity; /* with the name; negative: at least */
    unsigned flags;
    void (*run)(struct ask *a);
};

/* Ended by an entry without a name. */
extern const struct command fakeredis_keys[], fakeredis_strings[], fakeredis_lists[],
    fakeredis_hashes[], fakeredis_zsets[], fakeredis_streams[], fakeredis_groups[],
    fakeredis_server[], fakeredis_transactions[], fakeredis_scripts[], fakeredis_cluster_commands[];
/* Of "xgroup|create" the second part is the first argument. NULL: there is no such command. */
const struct command *fakeredis_command(size_t argc, const struct span *argv);
/* NULL, or the words with which Redis refuses a command of these flags as things are. */
const char *fakeredis_refusal(const struct fakeredis *f, unsigned flags);
bool fakeredis_arity_ok(const struct command *c, size_t argc);

/* -- bytes -- */
struct bytes bytes_copy(struct span s);
static inline struct span bytes_span(struct bytes b)
{
    return span_of(b.p ? b.p : "", b.n);
}

/* -- answers -- */
void say_status(struct ask *a, const char *words);
void say_error(struct ask *a, const char *fmt, ...) print_like(2, 3);
void say_number(struct ask *a, int64_t n);
size_t put_digits(char out[20], uint64_t n); /* without a NUL; returns how many */
void say_text(struct ask *a, struct span s);
void say_score(struct ask *a, double score);
void say_nil(struct ask *a);
void say_no_array(struct ask *a);
void say_array(struct ask *a, size_t count);
void say_wrong_arguments(struct ask *a); /* wrong number of arguments */
#define SYNTAX_ERROR "ERR syntax error"
#define NOT_AN_INTEGER "ERR value is not an integer or out of range"
#define NO_SUCH_KEY "ERR no such key"

/* -- arguments -- */
bool arg_is(const struct ask *a, size_t i, const char *word); /* also: there is one */
bool span_to_i64(struct span s, int64_t *out);
/* False: the answer is an error already. */
must_use bool arg_number(struct ask *a, size_t i, int64_t *out);
/* A range of positions as LRANGE and others take it, made positive. False: it is empty. */
bool clip_range(int64_t *from, int64_t *to, size_t count);

/* -- keys -- */
uint64_t fakeredis_now_ms(const struct fakeredis *f);
struct value *value_find(struct fakeredis *f, struct span name); /* NULL; expires what is due */
/* False: of another kind, and the answer is an error already. *out is NULL when there is none. */
must_use bool value_of(struct ask *a, size_t i, enum kind kind, struct value **out);
struct value *value_make(struct fakeredis *f, struct span name, enum kind kind);
void value_remove(struct fakeredis *f, struct value *v);
void value_changed(struct fakeredis *f,
                   struct value *v); /* an empty one, if no stream, is removed */
const char *kind_name(enum kind k);

void texts_push(struct texts *t, struct span s);
void texts_free(struct texts *t);
void zset_free(struct zset *z);
void hash_free(struct map *h);
void stream_free(struct fstream *s);

/* -- streams -- */
int stream_id_compare(struct stream_id a, struct stream_id b);
/* "5-1", "5" (then `seq`). */
bool stream_id_parse(struct span s, uint64_t seq, struct stream_id *out);
void say_stream_id(struct ask *a, struct stream_id id);
#define INVALID_STREAM_ID "ERR Invalid stream ID specified as stream command argument"
size_t stream_length(const struct fstream *s);
bool stream_has(const struct fstream *s, struct stream_id id);
/* The position of the first item that is not below `id`; s->count when all are. */
size_t stream_position(const struct fstream *s, struct stream_id id);
static inline struct stream_item *stream_at(const struct fstream *s, size_t i)
{
    return s->items[s->head + i];
}
struct group *stream_group(const struct fstream *s, struct span name);

/* -- sessions -- */
size_t fakeredis_publish(struct fakeredis *f, struct span channel, struct span text);
void session_forget(struct fakeredis_session *s); /* MULTI and WATCH */
/* A key has changed. */
void sessions_touch(struct fakeredis *f, struct span key);
/* Carries out one that has been checked. */
void fakeredis_carry_out(struct ask *a);

/* -- a Cluster -- */
/* True: this node does not carry it out, and the answer says why. */
must_use bool cluster_redirects(struct ask *a);
/* NULL, or the words with which a script is refused this command. */
const char *cluster_forbids(const struct ask *a);
/* Whether the command that is under way is at the node of the session. */
bool cluster_same_node(const struct fakeredis *f, const struct fakeredis_session *s);
/* Whether it is at the node whose command is under way. */
bool cluster_sees(const struct fakeredis *f, const struct value *v);
int cluster_place(const struct fakeredis *f, struct span key); /* of a key that is made now */
const char *cluster_history(const struct ask *a); /* master_replid, also without a Cluster */
void cluster_say_role(struct ask *a);             /* of a replica */
/* Whose scripts the session finds: those of its node, since that was started. */
uint64_t cluster_scripts(const struct fakeredis_session *s);

/* -- scripts -- */
void fakeredis_lua_open(struct fakeredis *f);
void fakeredis_lua_close(struct fakeredis *f);
void fakeredis_lua_pack_open(struct lua_State *L); /* cmsgpack */

/* -- their memory -- */
#define LUA_MEMORY_SMALL 256 /* bytes: what is larger comes from malloc */
struct lua_memory;
struct lua_memory *lua_memory_new(void);
void lua_memory_free(struct lua_memory *m);                            /* after lua_close */
void *lua_memory_change(void *ctx, void *old, size_t old_n, size_t n); /* lua_Alloc */
