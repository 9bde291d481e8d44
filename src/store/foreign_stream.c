/* SPDX-License-Identifier: MIT */
#include "foreign_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "foreign_wait.h"
#include "redis_error.h"

/* The number of entries of one command is so that about this many bytes are read. */
#define ENOUGH_BYTES ((size_t)4 << 20)
#define FIRST_COUNT 8 /* before their size is known */

struct foreign_stream {
    struct client *client;
    char *stream, *group, *member;
    uint64_t claim_after_ms, claim_at_ns;
    char *cursor;            /* of XAUTOCLAIM; NULL: nothing is being claimed */
    bool own_left;           /* we may have entries from earlier that are not acknowledged */
    bool reading;            /* an XREADGROUP has no answer yet */
    struct redisReply *kept; /* the reply that the entries are in */
    struct span ids[FOREIGN_STREAM_BATCH];
    struct span *fields; /* of all entries, one after the other */
    size_t fields_room;
    uint32_t count;
    uint32_t most; /* entries of the next command */
};

static int stream_failed(const struct foreign_stream *s, int rc, struct error *err)
{
    return error_set(err, rc, "%s", redis_error_shown(client_error(s->client)));
}

static int distrust_stream(struct foreign_stream *s, struct error *err)
{
    return stream_failed(s, client_distrust(s->client), err);
}

/* -- opening -- */

/* An existing group is refused with the word BUSYGROUP, and stays as it is:
 * https://redis.io/docs/latest/commands/xgroup-create/ */
static int make_group(struct foreign_stream *s, struct error *err)
{
    struct redisReply *reply;
    int rc = client_ask_words(
        s->client,
        (const char *const[]){"XGROUP", "CREATE", s->stream, s->group, "0", "MKSTREAM", NULL},
        &reply);

    if (rc == -EIO && strncmp(client_error(s->client), "BUSYGROUP", 9) == 0)
        return 0;
    return rc < 0 ? stream_failed(s, rc, err) : 0;
}

int foreign_stream_open(const struct redis_address *a, const char *stream, const char *group,
                        const char *member, uint64_t claim_after_ms, struct foreign_stream **out,
                        struct error *err)
{
    struct client *client;
    struct foreign_stream *s;
    int rc = client_open(a, &client, err);

    if (rc < 0)
        return rc;
    s = alloc_zeroed(1, sizeof(*s));
    s->client = client;
    s->stream = alloc_str(stream);
    s->group = alloc_str(group);
    s->member = alloc_str(member);
    s->claim_after_ms = claim_after_ms;
    s->cursor = alloc_str("0-0");
    s->own_left = true;
    s->most = FIRST_COUNT;
    rc = make_group(s, err);
    if (rc == 0)
        *out = s;
    else
        foreign_stream_close(s);
    return rc;
}

void foreign_stream_close(struct foreign_stream *s)
{
    if (!s)
        return;
    reply_free_duplicate(s->kept);
    client_close(s->client);
    free(s->stream);
    free(s->group);
    free(s->member);
    free(s->cursor);
    free(s->fields);
    free(s);
}

/* -- entries -- */

static int acknowledge(struct foreign_stream *s, const struct span *ids, uint32_t count,
                       struct error *err)
{
    struct span argv[3 + FOREIGN_STREAM_BATCH];
    struct redisReply *reply;
    int rc;

    if (count == 0)
        return 0;
    argv[0] = SPAN("XACK");
    argv[1] = span_str(s->stream);
    argv[2] = span_str(s->group);
    memcpy(argv + 3, ids, count * sizeof(*ids));
    rc = client_ask(s->client, 3 + count, argv, &reply);
    return rc < 0 ? stream_failed(s, rc, err) : 0;
}

static size_t count_fields(const struct redisReply *entries)
{
    size_t n = 0;

    for (size_t i = 0; i < reply_count(entries); i++)
        n += reply_count(reply_at(reply_at(entries, i), 1));
    return n;
}

/* Takes the entries of a reply, which `kept` owns. Entries that were deleted from the stream while
 * they were pending have no fields: they are acknowledged here, for there is nothing to read. */
static int take_entries(struct foreign_stream *s, const struct redisReply *entries,
                        struct foreign_entry *out, struct error *err)
{
    struct span gone[FOREIGN_STREAM_BATCH];
    uint32_t gone_count = 0;
    size_t n = count_fields(entries), at = 0;

    if (reply_count(entries) > FOREIGN_STREAM_BATCH)
        return distrust_stream(s, err);
    if (n > s->fields_room) {
        s->fields = alloc_grow(s->fields, n, sizeof(*s->fields));
        s->fields_room = n;
    }
    for (size_t i = 0; i < reply_count(entries); i++) {
        const struct redisReply *entry = reply_at(entries, i), *fields = reply_at(entry, 1);
        struct span id = reply_text(reply_at(entry, 0));

        if (id.n == 0)
            continue;
        if (!reply_is_array(fields)) {
            gone[gone_count++] = id;
            continue;
        }
        out[s->count] = (struct foreign_entry){id, s->fields + at, reply_count(fields) / 2 * 2};
        s->ids[s->count++] = id;
        for (size_t k = 0; k < reply_count(fields); k++)
            s->fields[at++] = reply_text(reply_at(fields, k));
    }
    return acknowledge(s, gone, gone_count, err);
}

/* Redis has no limit of bytes. */
static void find_pace(struct foreign_stream *s, const struct foreign_entry *entries)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < entries[i].fields_count; k++)
            bytes += entries[i].fields[k].n;
    if (bytes > ENOUGH_BYTES)
        s->most = (uint32_t)max_u64(s->count * ENOUGH_BYTES / bytes, 1);
    else if (s->count >= s->most)
        s->most = (uint32_t)min_u64((uint64_t)s->most * 2, FOREIGN_STREAM_BATCH);
}

/* The reply must outlive the next command. */
static const struct redisReply *keep_reply(struct foreign_stream *s, const struct redisReply *reply)
{
    reply_free_duplicate(s->kept);
    s->kept = reply_duplicate(reply);
    return s->kept;
}

/* Takes the answer to XREADGROUP: nil, or [[stream, entries]]. */
static int take_read(struct foreign_stream *s, const struct redisReply *reply,
                     struct foreign_entry *out, struct error *err)
{
    if (reply_nil(reply))
        return 0;
    reply = keep_reply(s, reply);
    if (!reply_is_array(reply_at(reply_at(reply, 0), 1)))
        return distrust_stream(s, err);
    return take_entries(s, reply_at(reply_at(reply, 0), 1), out, err);
}

/* -- reading -- */

/* Reads what we have read before and not acknowledged. */
static int fetch_own(struct foreign_stream *s, const char *count, struct foreign_entry *out,
                     struct error *err)
{
    const char *const words[] = {"XREADGROUP", "GROUP",   s->group,  s->member, "COUNT",
                                 count,        "STREAMS", s->stream, "0",       NULL};
    struct redisReply *reply;
    int rc = client_ask_words(s->client, words, &reply);

    if (rc < 0)
        return stream_failed(s, rc, err);
    s->own_left = reply_count(reply_at(reply_at(reply, 0), 1)) > 0;
    return take_read(s, reply, out, err);
}

/* Claims a part of what others have left. Answer: [cursor, entries, ids of deleted entries]. */
static int claim(struct foreign_stream *s, const char *count, struct foreign_entry *out,
                 struct error *err)
{
    char idle[24];
    struct redisReply *reply;
    const struct redisReply *kept;
    struct span cursor;
    int rc;

    snprintf(idle, sizeof(idle), "%llu", (unsigned long long)s->claim_after_ms);
    rc = client_ask_words(s->client,
                          (const char *const[]){"XAUTOCLAIM", s->stream, s->group, s->member, idle,
                                                s->cursor, "COUNT", count, NULL},
                          &reply);
    if (rc < 0)
        return stream_failed(s, rc, err);
    kept = keep_reply(s, reply);
    cursor = reply_text(reply_at(kept, 0));
    if (cursor.n == 0 || !reply_is_array(reply_at(kept, 1)))
        return distrust_stream(s, err);
    free(s->cursor);
    s->cursor = span_is(cursor, "0-0") ? NULL : alloc_copy(cursor.p, cursor.n);
    if (!s->cursor)
        s->claim_at_ns = clock_mono_ns() + s->claim_after_ms * NS_PER_MS;
    return take_entries(s, reply_at(kept, 1), out, err);
}

static int fetch_left(struct foreign_stream *s, const char *count, struct foreign_entry *out,
                      struct error *err)
{
    int rc = 0;

    if (!s->cursor && clock_mono_ns() >= s->claim_at_ns)
        s->cursor = alloc_str("0-0");
    while (rc == 0 && s->count == 0 && s->cursor)
        rc = claim(s, count, out, err);
    return rc;
}

/* Reads new entries, and waits for them inside Redis. If we are asked to stop, the command stays
 * under way; what it still reads is not acknowledged, and found later. */
static int fetch_new(struct foreign_stream *s, int stop_fd, const char *count,
                     struct foreign_entry *out, struct error *err)
{
    const struct span argv[] = {SPAN("XREADGROUP"), SPAN("GROUP"),
                                span_str(s->group), span_str(s->member),
                                SPAN("COUNT"),      span_str(count),
                                SPAN("BLOCK"),      SPAN(digits_of(FOREIGN_BLOCK_S) "000"),
                                SPAN("STREAMS"),    span_str(s->stream),
                                SPAN(">")};
    struct redisReply *reply;
    int rc;

    if (!s->reading)
        client_send(s->client, array_len(argv), argv);
    s->reading = true;
    rc = foreign_wait(s->client, stop_fd, &reply);
    if (rc == -EAGAIN)
        return 0;
    s->reading = false;
    if (rc == 0 && reply_refused(reply))
        rc = -EIO;
    return rc < 0 ? stream_failed(s, rc, err) : take_read(s, reply, out, err);
}

int foreign_stream_fetch(struct foreign_stream *s, int stop_fd, uint32_t max,
                         struct foreign_entry *entries, struct error *err)
{
    char count[16];
    int rc = 0;

    snprintf(count, sizeof(count), "%u", (unsigned)min_u64(max, s->most));
    s->count = 0;
    while (rc == 0 && s->count == 0 && s->own_left)
        rc = fetch_own(s, count, entries, err);
    if (rc == 0 && s->count == 0 && !s->reading)
        rc = fetch_left(s, count, entries, err);
    if (rc == 0 && s->count == 0)
        rc = fetch_new(s, stop_fd, count, entries, err);
    if (rc < 0)
        return rc;
    find_pace(s, entries);
    return (int)s->count;
}

int foreign_stream_done(struct foreign_stream *s, uint32_t count, struct error *err)
{
    must(count <= s->count);
    return acknowledge(s, s->ids, count, err);
}

/* -- how much waits -- */

static const struct redisReply *value_of(const struct redisReply *pairs, const char *name)
{
    for (size_t i = 0; i + 1 < reply_count(pairs); i += 2)
        if (span_is(reply_text(reply_at(pairs, i)), name))
            return reply_at(pairs, i + 1);
    return NULL;
}

/* https://redis.io/docs/latest/commands/xinfo-groups/: lag is an integer, or nil. */
int foreign_stream_waiting(struct foreign_stream *s, uint64_t *out, struct error *err)
{
    struct redisReply *reply;
    int rc;

    *out = 0;
    if (s->reading)
        return 1; /* XREADGROUP waits while there is no new entry */
    rc = client_ask_words(s->client, (const char *const[]){"XINFO", "GROUPS", s->stream, NULL},
                          &reply);
    if (rc == -EIO && redis_error_of(client_error(s->client)) == REDIS_ERROR_NOPERM)
        return 0;
    if (rc < 0)
        return stream_failed(s, rc, err);
    for (size_t i = 0; i < reply_count(reply); i++) {
        const struct redisReply *group = reply_at(reply, i), *lag = value_of(group, "lag");

        if (!span_is(reply_text(value_of(group, "name")), s->group) || !reply_is_integer(lag))
            continue;
        *out = reply_u64(lag) + reply_u64(value_of(group, "pending"));
        return 1;
    }
    return 0;
}
