/* SPDX-License-Identifier: MIT */
#include "deadletter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "control.h"
#include "keys.h"
#include "page_guard.h"
#include "scripts.h"

#define AT_ONCE 64 /* letters in one command */
/* A page should have this size. How many letters that is, is estimated from the page before,
 * because letters can be large. */
#define PAGE_BYTES ((size_t)1024 * 1024)
#define PAGE_FIRST 8

/* Letters beyond these limits are moved by plain commands: converting them into Lua strings would
 * hold Redis too long. */
#define SMALL_FIELDS 40
#define SMALL_BYTES 8192

bool deadletter_id_ok(struct span id)
{
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    size_t before = dash ? (size_t)(dash - id.p) : 0;
    uint64_t n;

    return dash && span_to_plain_u64(span_of(id.p, before), &n) == 0 &&
           span_to_plain_u64(span_of(dash + 1, id.n - before - 1), &n) == 0;
}

bool deadletter_added(struct span name)
{
    return name.n > 5 && memcmp(name.p, "dead_", 5) == 0;
}

static size_t bytes_of_fields(const struct redisReply *fields)
{
    size_t bytes = 0;

    for (size_t i = 0; i < reply_count(fields); i++)
        bytes += reply_text(reply_at(fields, i)).n;
    return bytes;
}

/* -- listing -- */

static struct span *fields_of(const struct redisReply *fields, size_t count)
{
    struct span *out = alloc_zeroed(max_u64(count, 1), sizeof(*out));

    for (size_t i = 0; i < count; i++)
        out[i] = reply_text(reply_at(fields, i));
    return out;
}

/* The spans point into the entry. Release the letter with letter_deinit. */
static void letter_read(const struct redisReply *entry, struct deadletter *out)
{
    const struct redisReply *reply = reply_at(entry, 1);
    size_t count = reply_count(reply) / 2 * 2;
    struct span *fields = fields_of(reply, count);
    uint64_t at;

    *out = (struct deadletter){.id = reply_text(reply_at(entry, 0)),
                               .fields = fields,
                               .fields_count = count,
                               .bytes = bytes_of_fields(reply)};
    for (size_t i = 0; i < count; i += 2) {
        struct span name = fields[i], value = fields[i + 1];

        if (span_is(name, "dead_job"))
            out->job = value;
        else if (span_is(name, "dead_reason"))
            out->reason = value;
        else if (span_is(name, "dead_target"))
            out->target = value;
        else if (span_is(name, "dead_message"))
            out->message = value;
        else if (span_is(name, "dead_at") && span_to_u64(value, &at) == 0)
            out->at_ms = at;
    }
}

static void letter_deinit(struct deadletter *letter)
{
    free((void *)letter->fields);
}

static int show(const struct redisReply *entries, deadletter_cb *cb, void *ctx)
{
    struct deadletter letter;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < reply_count(entries); i++) {
        letter_read(reply_at(entries, i), &letter);
        rc = cb(ctx, &letter);
        letter_deinit(&letter);
    }
    return rc;
}

/* Sends XREVRANGE dead <from> - COUNT <n>. */
static int read_back(struct client *c, const char *account, const char *from, uint64_t n,
                     struct redisReply **out)
{
    char *key = redis_key(account, "dead");
    char *count = alloc_printf("%llu", (unsigned long long)n);
    int rc = client_ask_words(
        c, (const char *const[]){"XREVRANGE", key, from, "-", "COUNT", count, NULL}, out);

    free(key);
    free(count);
    return rc;
}

static size_t bytes_of(const struct redisReply *entries)
{
    size_t bytes = 0;

    for (size_t i = 0; i < reply_count(entries); i++)
        bytes += bytes_of_fields(reply_at(reply_at(entries, i), 1));
    return bytes;
}

/* Size of the page after a page of n letters, in letters. */
static uint64_t letters_per_page(uint64_t n, size_t bytes)
{
    return max_u64(1, min_u64(PAGE_BYTES / max_u64(bytes / n, 1), min_u64(n * 4, AT_ONCE)));
}

int deadletter_list(struct client *c, const char *account, uint64_t limit, deadletter_cb *cb,
                    void *ctx)
{
    char *from = alloc_str("+");
    uint64_t page = PAGE_FIRST;
    struct redisReply *entries;
    int rc = 0;

    while (limit > 0) {
        uint64_t n = min_u64(limit, page);
        struct span last;

        rc = read_back(c, account, from, n, &entries);
        if (rc < 0 || show(entries, cb, ctx) != 0 || reply_count(entries) < n)
            break;
        limit -= n;
        page = letters_per_page(n, bytes_of(entries));
        last = reply_text(reply_at(reply_at(entries, n - 1), 0));
        free(from);
        from = alloc_printf("(%.*s", (int)last.n, last.p);
    }
    free(from);
    return rc;
}

/* -- adding -- */

int deadletter_add(struct client *c, const char *account, const struct deadletter_message *m)
{
    char *key = redis_key(account, "dead");
    char *at = alloc_printf("%llu", (unsigned long long)m->at_ms);
    const struct span argv[] = {
        SPAN("XADD"),
        span_str(key),
        SPAN("*"),
        SPAN("dead_reason"),
        span_str(m->reason),
        SPAN("dead_job"),
        SPAN(""),
        SPAN("dead_at"),
        span_str(at),
        SPAN("dead_target"),
        m->where,
        SPAN("dead_message"),
        span_of(m->body.p, min_u64(m->body.n, DEADLETTER_BODY_MAX_BYTES)),
    };
    struct redisReply *reply;
    int rc = client_ask(c, array_len(argv), argv, &reply);

    free(key);
    free(at);
    return rc;
}

/* -- a letter too large for the script is moved by a transaction -- */

#define TRIES_MAX 20

/* Queues XADD <lane> * <own fields> and the removal of the letter inside MULTI. False if the letter
 * has no field of its own. */
static bool send_move(struct client *c, const char *stream, const char *dead,
                      const struct deadletter *letter)
{
    const struct span drop[] = {SPAN("EVAL"),     span_str(scripts[SCRIPT_DROP_LETTER].text),
                                SPAN("2"),        span_str(dead),
                                span_str(stream), letter->id};
    size_t n = 3;
    struct span *argv = alloc_zeroed(letter->fields_count + 3, sizeof(*argv));

    argv[0] = SPAN("XADD");
    argv[1] = span_str(stream);
    argv[2] = SPAN("*");
    for (size_t i = 0; i < letter->fields_count; i += 2) {
        struct span name = letter->fields[i];

        if (deadletter_added(name) || span_is(name, "job"))
            continue;
        argv[n++] = name;
        argv[n++] = letter->fields[i + 1];
    }
    if (n > 3) {
        client_send(c, 1, (struct span[]){SPAN("MULTI")});
        client_send(c, n, argv);
        client_send(c, array_len(drop), drop);
        client_send(c, 1, (struct span[]){SPAN("EXEC")});
    }
    free(argv);
    return n > 3;
}

static char *stream_of(const char *account, const struct deadletter *letter)
{
    struct span job = letter->job, name;
    enum lane lane = LANE_NORMAL;

    if (span_next_word(&job, '-', &name) && lane_parse(name, &lane) < 0)
        lane = LANE_NORMAL;
    return redis_key_lane(account, lane);
}

/* Reads the replies to the four commands of send_move. Returns the same as move_once. EXEC does not
 * say why a part of it failed, so the lane is asked. */
static int receive_move(struct client *c, const char *stream)
{
    struct redisReply *reply;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 4; i++) /* OK, QUEUED, QUEUED, and the reply of EXEC */
        rc = client_receive(c, &reply);
    if (rc < 0)
        return rc;
    if (reply_nil(reply))
        return -EAGAIN;
    if (reply_refused(reply))
        return -EIO;
    if (!reply_refused(reply_at(reply, 0))) {
        rc = client_confirm(c);
        return rc < 0 ? rc : 1;
    }
    rc = client_ask_words(c, (const char *const[]){"XLEN", stream, NULL}, &reply);
    return rc < 0 ? rc : -EAGAIN;
}

/* Returns 1: moved; 0: there is no such letter; -EAGAIN: somebody changed the stream meanwhile. */
static int move_once(struct client *c, const char *account, const char *dead, const char *id)
{
    struct deadletter letter;
    struct redisReply *reply;
    char *stream;
    int rc = client_ask_words(c, (const char *const[]){"WATCH", dead, NULL}, &reply);

    if (rc == 0)
        rc = client_ask_words(c, (const char *const[]){"XRANGE", dead, id, id, NULL}, &reply);
    if (rc < 0 || reply_count(reply) == 0)
        return rc;
    letter_read(reply_at(reply, 0), &letter);
    stream = stream_of(account, &letter);
    if (send_move(c, stream, dead, &letter))
        rc = receive_move(c, stream);
    letter_deinit(&letter);
    free(stream);
    return rc;
}

static int move_large(struct client *c, const char *account, const char *dead, const char *id,
                      uint64_t *done)
{
    int rc = -EAGAIN;

    for (int i = 0; rc == -EAGAIN && i < TRIES_MAX; i++)
        rc = move_once(c, account, dead, id);
    if (rc > 0)
        (*done)++;
    return rc > 0 ? 0 : rc;
}

/* -- retry and drop -- */

enum act { ACT_RETRY, ACT_DROP };

struct letter_id {
    char *id;
    bool large;
};

static struct letter_id letter_id_of(const struct redisReply *entry)
{
    const struct redisReply *fields = reply_at(entry, 1);
    struct span id = reply_text(reply_at(entry, 0));

    return (struct letter_id){alloc_copy(id.p, id.n), reply_count(fields) / 2 > SMALL_FIELDS ||
                                                          bytes_of_fields(fields) > SMALL_BYTES};
}

/* Handles all these letters (at most AT_ONCE) with one command. */
static int act_together(struct client *c, const char *account, enum act act, const struct span *ids,
                        size_t count, uint64_t *done)
{
    struct span argv[AT_ONCE + 7];
    char *keys[1 + LANE_N] = {redis_key(account, "dead")};
    struct redisReply *reply;
    size_t n = 0;
    int rc;

    for (int lane = 0; lane < LANE_N; lane++)
        keys[1 + lane] = redis_key_lane(account, (enum lane)lane);
    if (act == ACT_RETRY) {
        argv[n++] = SPAN("EVAL");
        argv[n++] = span_str(scripts[SCRIPT_RETRY_DEAD].text);
        argv[n++] = SPAN("4");
        for (size_t i = 0; i < array_len(keys); i++)
            argv[n++] = span_str(keys[i]);
    } else {
        argv[n++] = SPAN("XDEL");
        argv[n++] = span_str(keys[0]);
    }
    memcpy(argv + n, ids, count * sizeof(*ids));
    rc = client_ask(c, n + count, argv, &reply);
    if (rc == 0)
        *done += (uint64_t)reply_number(reply);
    for (size_t i = 0; i < array_len(keys); i++)
        free(keys[i]);
    return rc;
}

/* Handles at most AT_ONCE letters. */
static int act_some(struct client *c, const char *account, enum act act,
                    const struct letter_id *ids, size_t count, uint64_t *done)
{
    struct span together[AT_ONCE];
    char *dead = redis_key(account, "dead");
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < count; i++)
        if (act == ACT_DROP || !ids[i].large)
            together[n++] = span_str(ids[i].id);
    if (n)
        rc = act_together(c, account, act, together, n, done);
    for (size_t i = 0; rc == 0 && i < count && act == ACT_RETRY; i++)
        if (ids[i].large)
            rc = move_large(c, account, dead, ids[i].id, done);
    free(dead);
    return rc;
}

static void free_ids(const struct letter_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ids[i].id);
}

/* Finds those of the named letters that exist, and whether they are large. */
static int look_at_ids(struct client *c, const char *account, const char *const *names,
                       size_t count, struct letter_id *out, size_t *found)
{
    char *dead = redis_key(account, "dead");
    struct redisReply *r;
    int rc = 0;

    *found = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = client_ask_words(c, (const char *const[]){"XRANGE", dead, names[i], names[i], NULL},
                              &r);
        if (rc == 0 && reply_count(r))
            out[(*found)++] = letter_id_of(reply_at(r, 0));
    }
    free(dead);
    return rc;
}

static int act_each(struct client *c, const char *account, enum act act, const char *const *ids,
                    size_t count, uint64_t *done)
{
    struct letter_id some[AT_ONCE];
    int rc = 0;

    *done = 0;
    for (size_t at = 0; rc == 0 && at < count; at += AT_ONCE) {
        size_t found;

        rc = look_at_ids(c, account, ids + at, min_u64(AT_ONCE, count - at), some, &found);
        if (rc == 0)
            rc = act_some(c, account, act, some, found, done);
        free_ids(some, found);
    }
    return rc == 0 && *done == 0 ? control_confirm(c, account) : rc;
}

int deadletter_retry(struct client *c, const char *account, const char *const *ids, size_t count,
                     uint64_t *done)
{
    return act_each(c, account, ACT_RETRY, ids, count, done);
}

int deadletter_drop(struct client *c, const char *account, const char *const *ids, size_t count,
                    uint64_t *done)
{
    return act_each(c, account, ACT_DROP, ids, count, done);
}

/* Handles letters from the oldest to `last`. Letters that are added meanwhile are newer and stay.
 */
static int act_page(struct client *c, const char *account, enum act act, uint64_t *page,
                    const char *from, const char *last, struct page_guard *guard, char **next,
                    uint64_t *done)
{
    char *key = redis_key(account, "dead"), *most = alloc_printf("%llu", (unsigned long long)*page);
    struct letter_id ids[AT_ONCE] = {0};
    struct redisReply *entries;
    size_t n;
    int rc = client_ask_words(
        c, (const char *const[]){"XRANGE", key, from, last, "COUNT", most, NULL}, &entries);

    free(key);
    free(most);
    *next = NULL;
    if (rc == 0)
        rc = page_guard_check(guard, c, entries);
    if (rc < 0 || reply_count(entries) == 0)
        return rc;
    n = reply_count(entries);
    if (n > AT_ONCE)
        return client_distrust(c);
    for (size_t i = 0; i < n; i++) /* the next command frees the entries */
        ids[i] = letter_id_of(reply_at(entries, i));
    *page = letters_per_page(n, bytes_of(entries));
    rc = act_some(c, account, act, ids, n, done);
    must(ids[n - 1].id);
    *next = alloc_printf("(%s", ids[n - 1].id);
    free_ids(ids, n);
    return rc;
}

static int act_all(struct client *c, const char *account, enum act act, uint64_t *done)
{
    struct redisReply *newest;
    char *key = redis_key(account, "dead"), *from, *last, *next;
    struct page_guard guard;
    uint64_t page = PAGE_FIRST;
    struct span id;
    int rc;

    *done = 0;
    rc = page_guard_begin(&guard, c, key);
    free(key);
    if (rc == 0)
        rc = read_back(c, account, "+", 1, &newest);
    if (rc == 0 && reply_count(newest) == 0)
        return control_confirm(c, account);
    if (rc < 0)
        return rc;
    id = reply_text(reply_at(reply_at(newest, 0), 0));
    last = alloc_copy(id.p, id.n);
    from = alloc_str("-");
    do {
        rc = act_page(c, account, act, &page, from, last, &guard, &next, done);
        free(from);
        from = next;
    } while (rc == 0 && next);
    free(from);
    free(last);
    return rc;
}

int deadletter_retry_all(struct client *c, const char *account, uint64_t *done)
{
    return act_all(c, account, ACT_RETRY, done);
}

int deadletter_drop_all(struct client *c, const char *account, uint64_t *done)
{
    return act_all(c, account, ACT_DROP, done);
}
