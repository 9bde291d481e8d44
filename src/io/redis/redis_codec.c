/* SPDX-License-Identifier: MIT */
#include "redis_codec.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "reply.h"

/* -- commands -- */

static char *put_number(char *at, char sign, size_t value)
{
    char digits[20];
    size_t n = 0;

    *at++ = sign;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10));
    while (n)
        *at++ = digits[--n];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* What has been sent is cut off only if that is at least half of the buffer's contents, so that
 * each byte is moved once on average. */
static char *room_for(struct redis_text *t, size_t n)
{
    size_t kept = t->to - t->from;

    if (t->room - t->to >= n)
        return t->p + t->to;
    if (t->from >= kept && t->from > 0) {
        memmove(t->p, t->p + t->from, kept);
        t->from = 0;
        t->to = kept;
    }
    if (t->room - t->to < n) {
        t->room = t->to + n + (t->to + n) / 2;
        t->p = alloc_grow(t->p, t->room, 1);
    }
    return t->p + t->to;
}

void redis_format(struct redis_text *t, size_t argc, const struct span *argv)
{
    size_t most = 25 * (argc + 1); /* per argument: a sign, a number, and two CR LF */
    char *at;

    for (size_t i = 0; i < argc; i++)
        most += argv[i].n;
    at = put_number(room_for(t, most), '*', argc);
    for (size_t i = 0; i < argc; i++) {
        at = put_number(at, '$', argv[i].n);
        if (argv[i].n)
            memcpy(at, argv[i].p, argv[i].n);
        at += argv[i].n;
        *at++ = '\r';
        *at++ = '\n';
    }
    t->to = (size_t)(at - t->p);
}

void redis_text_add(struct redis_text *t, struct span formatted)
{
    memcpy(room_for(t, formatted.n), formatted.p, formatted.n);
    t->to += formatted.n;
}

/* Connections of idle accounts send scripts at first, and hardly anything afterwards. */
#define IDLE_TIMES 8

void redis_text_sent(struct redis_text *t, size_t n)
{
    must(n <= t->to - t->from);
    t->from += n;
    if (t->from < t->to)
        return;
    t->idle = t->room > REDIS_IDLE_BYTES && t->to < t->room / 8 ? t->idle + 1 : 0;
    t->from = t->to = 0;
    if (t->room <= REDIS_KEPT_BYTES && t->idle < IDLE_TIMES)
        return;
    free(t->p);
    *t = (struct redis_text){0};
}

/* -- replies -- */

#define CHUNK_BYTES ((size_t)64 * 1024)

struct chunk {
    struct chunk *older;
    size_t room, used;
    _Alignas(max_align_t) char bytes[];
};

#define ELEMENTS_MAX                                                                               \
    ((size_t)1 << 24) /* in all arrays of a reply together; more than any entry or page has */

struct redis_reader {
    redisReader *hiredis;
    bool lent;            /* the memory holds the reply that was returned last */
    struct chunk *newest; /* memory for one reply, because a connection has only one at a time */
    size_t elements;      /* number announced so far in the current reply */
    redis_part_cb *judge; /* NULL: everything is accepted */
    void *ctx;
};

struct held { /* a reply with its owner, because hiredis passes only the reply when freeing it */
    struct redis_reader *owner;
    redisReply reply;
};

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void *take(struct redis_reader *m, size_t n)
{
    struct chunk *c = m->newest;
    void *at;

    n = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (!c || c->room - c->used < n) {
        size_t room = c ? CHUNK_BYTES : REDIS_IDLE_BYTES;

        room = n > room ? n : room;
        c = alloc_bytes(sizeof(*c) + room);
        *c = (struct chunk){.older = m->newest, .room = room};
        m->newest = c;
    }
    at = c->bytes + c->used;
    c->used += n;
    return at;
}

/* Frees all chunks except a first one of the usual size. */
static void take_all_back(struct redis_reader *m)
{
    struct chunk *kept = NULL;

    m->elements = 0;
    while (m->newest) {
        struct chunk *c = m->newest;

        m->newest = c->older;
        if (c->room > REDIS_IDLE_BYTES)
            free(c);
        else
            kept = c;
    }
    if (kept)
        *kept = (struct chunk){.room = kept->room};
    m->newest = kept;
}

static enum redis_part_kind kind_of(int type)
{
    switch (type) {
    case REDIS_REPLY_STRING:
        return REDIS_PART_STRING;
    case REDIS_REPLY_ARRAY:
        return REDIS_PART_ARRAY;
    case REDIS_REPLY_ERROR:
        return REDIS_PART_ERROR;
    default:
        return REDIS_PART_OTHER;
    }
}

static unsigned level_of(const redisReadTask *task)
{
    unsigned level = 0;

    while ((task = task->parent))
        level++;
    return level;
}

/* Returns NULL if the part is not accepted; hiredis then stops reading. */
static redisReply *new_reply(const redisReadTask *task, size_t count, struct span text)
{
    struct redis_reader *m = task->privdata;
    struct redis_part part = {kind_of(task->type), level_of(task), (size_t)task->idx, count, text};
    struct held *h;

    if (m->judge && !m->judge(m->ctx, &part))
        return NULL;
    h = take(m, sizeof(*h));
    *h = (struct held){.owner = task->privdata, .reply = {.type = task->type}};
    if (task->parent) {
        redisReply *parent = task->parent->obj;

        parent->element[task->idx] = &h->reply;
    }
    return &h->reply;
}

static void *new_string(const redisReadTask *task, char *p, size_t n)
{
    redisReply *r = new_reply(task, 0, span_of(p, n));

    if (!r)
        return NULL;
    r->str = take(task->privdata, n + 1);
    memcpy(r->str, p, n);
    r->str[n] = '\0';
    r->len = (__typeof__(r->len))n;
    return r;
}

/* The server announces the number of elements before it sends them, so the number is limited: a few
 * bytes must not make us allocate much memory. NULL is treated as out of memory and ends the
 * connection. */
static void *new_array(const redisReadTask *task, element_count count)
{
    struct redis_reader *m = task->privdata;
    size_t bytes = (size_t)count * sizeof(redisReply *);
    redisReply *r;

    if ((size_t)count > ELEMENTS_MAX - m->elements)
        return NULL;
    r = new_reply(task, (size_t)count, SPAN(""));
    if (!r)
        return NULL;
    m->elements += (size_t)count;
    if (bytes) {
        r->element = take(task->privdata, bytes);
        memset(r->element, 0, bytes);
    }
    r->elements = (size_t)count;
    return r;
}

static void *new_integer(const redisReadTask *task, long long value)
{
    redisReply *r = new_reply(task, 0, SPAN(""));

    if (r)
        r->integer = value;
    return r;
}

#if HIREDIS_MAJOR >= 1
/* We never request RESP3. But if a server uses it and there is no function for a type, hiredis
 * returns a number instead of a pointer. */
static void *new_double(const redisReadTask *task, double value, char *p, size_t n)
{
    (void)value;
    return new_string(task, p, n);
}

static void *new_bool(const redisReadTask *task, int value)
{
    return new_integer(task, value);
}
#endif

/* Sets the type to nil, because task->type is the type of the missing value. */
static void *new_nil(const redisReadTask *task)
{
    redisReply *r = new_reply(task, 0, SPAN(""));

    if (r)
        r->type = REDIS_REPLY_NIL;
    return r;
}

/* hiredis calls this for a reply that it cannot complete. */
static void give_back(void *reply)
{
    if (reply)
        take_all_back(container_of(reply, struct held, reply)->owner);
}

struct redis_reader *redis_reader_new(redis_part_cb *judge, void *ctx)
{
    static redisReplyObjectFunctions functions = {
        .createString = new_string,
        .createArray = new_array,
        .createInteger = new_integer,
        .createNil = new_nil,
#if HIREDIS_MAJOR >= 1
        .createDouble = new_double,
        .createBool = new_bool,
#endif
        .freeObject = give_back
    };
    struct redis_reader *r = alloc_zeroed(1, sizeof(*r));

    r->judge = judge;
    r->ctx = ctx;
    r->hiredis = redisReaderCreate();
    must(r->hiredis);
    r->hiredis->maxbuf = REDIS_IDLE_BYTES;
    r->hiredis->fn = &functions;
    r->hiredis->privdata = r;
    return r;
}

void redis_reader_free(struct redis_reader *r)
{
    if (!r)
        return;
    redisReaderFree(r->hiredis);
    take_all_back(r);
    free(r->newest);
    free(r);
}

void redis_reader_feed(struct redis_reader *r, const char *p, size_t n)
{
    (void)redisReaderFeed(r->hiredis, p, n); /* an error remains, and _next returns it */
}

int redis_reader_next(struct redis_reader *r, struct redisReply **out, const char **why)
{
    void *reply = NULL;

    if (r->lent)
        take_all_back(r);
    r->lent = false;
    if (redisReaderGetReply(r->hiredis, &reply) != REDIS_OK) {
        *why = r->hiredis->errstr;
        return -EPROTO;
    }
    r->lent = reply != NULL;
    *out = reply;
    return reply != NULL;
}

struct redisReply *redis_reply_of(const char *text)
{
    struct redis_reader *r = redis_reader_new(NULL, NULL);
    struct redisReply *reply = NULL, *copy;
    const char *why;

    redis_reader_feed(r, text, strlen(text));
    must(redis_reader_next(r, &reply, &why) == 1);
    copy = reply_duplicate(reply);
    redis_reader_free(r);
    return copy;
}
