/* SPDX-License-Identifier: MIT
 * Messages from an outbox: a table of PostgreSQL into which the application writes in the same
 * transaction as its change (deploy/outbox.sql). The plugin reads rows inside a transaction that
 * stays open until their jobs are in Redis, and deletes them in it:
 *
 *     BEGIN ─▶ SELECT ... FOR UPDATE SKIP LOCKED ─▶ (push) ─▶ DELETE ─▶ COMMIT
 *
 * If the connection is lost before the COMMIT, the rows are there again. LISTEN tells of new rows;
 * without a trigger that notifies, the table is looked at every few seconds. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "secret.h"
#include "source_plugin.h"

#define CONNECT_S "10"
#define ANSWER_NS (30 * NS_PER_S)
/* Without a notification, the table is looked at after this time. */
#define LOOK_MS 5000
/* A longer message becomes a dead letter without being read. */
#define BODY_MAX "16777216"
/* Of one fetch: it ends with the row that reaches this. */
#define ENOUGH_BYTES "4194304"
/* When few rows come, each would have its own COMMIT wait for the disk of the application's server.
 * Without that wait, a crash of the server brings back the rows that were deleted in its last
 * moments: https://www.postgresql.org/docs/current/wal-async-commit.html */
#define COMMIT_LATER "SET LOCAL synchronous_commit = off; COMMIT"

struct outbox {
    PGconn *connection;
    char *table;                    /* quoted */
    char *select, *listen, *oldest; /* SQL; oldest: NULL if no column tells it */
    PGresult *rows;                 /* of the open transaction; NULL: none is open */
    bool announced;                 /* a notification has come, so there is a trigger */
    bool empty;                     /* wait for a notification before the next look */
    bool full;                      /* the last look found as many rows as it may take */
    uint32_t most;                  /* rows of the next look: few while they are large */
};

/* -- errors -- */

/* libpq's messages have several lines. */
static int pg_failed(struct outbox *o, int rc, const char *message, struct error *err)
{
    char *text = alloc_str(*message ? message : "the connection was lost");
    size_t n = strlen(text);

    (void)o;
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        text[--n] = '\0';
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    error_set(err, rc, "%s", text);
    free(text);
    return rc;
}

/* -- one command -- */

/* Waits until the socket is readable, or writable too. 1; 0: time is over; -EAGAIN: `stop_fd` is
 * readable. */
static int await(struct outbox *o, short events, int stop_fd, uint64_t ms)
{
    struct pollfd fds[] = {{.fd = PQsocket(o->connection), .events = events},
                           {.fd = stop_fd, .events = POLLIN}};
    int rc;

    do
        rc = poll(fds, array_len(fds), (int)ms);
    while (rc < 0 && errno == EINTR);
    if (fds[1].revents)
        return -EAGAIN;
    return rc > 0;
}

static int await_answer(struct outbox *o, struct error *err)
{
    uint64_t deadline_ns = clock_mono_ns() + ANSWER_NS, now_ns;
    int unsent;

    for (;;) {
        unsent = PQflush(o->connection);
        if (unsent < 0 || !PQconsumeInput(o->connection))
            return pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
        if (!unsent && !PQisBusy(o->connection))
            return 0;
        now_ns = clock_mono_ns();
        if (now_ns >= deadline_ns)
            return error_set(err, -ETIMEDOUT, "no answer within 30 s");
        (void)await(o, unsent ? POLLIN | POLLOUT : POLLIN, -1,
                    (deadline_ns - now_ns) / NS_PER_MS + 1);
    }
}

/* What is wrong with the command, without the lines that show the command itself. */
static int refused(struct outbox *o, const PGresult *result, struct error *err)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    char *text;

    if (!message)
        return pg_failed(o, -EIO, PQerrorMessage(o->connection), err);
    text = alloc_printf("%s%s%s", message, detail ? ": " : "", detail ? detail : "");
    (void)pg_failed(o, -EIO, text, err);
    free(text);
    return -EIO;
}

/* Runs one command; without an argument, it may be several with semicolons. The result, of the last
 * one, must be cleared. */
static int run(struct outbox *o, const char *sql, const char *argument, PGresult **out,
               struct error *err)
{
    const char *const values[] = {argument};
    PGresult *result = NULL, *next;
    ExecStatusType status;
    int rc;

    if (!(argument ? PQsendQueryParams(o->connection, sql, 1, NULL, values, NULL, NULL, 0)
                   : PQsendQuery(o->connection, sql)))
        return pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
    do {
        rc = await_answer(o, err);
        if (rc < 0) {
            PQclear(result);
            return rc;
        }
        next = PQgetResult(o->connection);
        if (next) {
            PQclear(result);
            result = next;
        }
    } while (next);
    status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        *out = result;
        return 0;
    }
    rc = refused(o, result, err);
    PQclear(result);
    return rc;
}

static int run_plain(struct outbox *o, const char *sql, struct error *err)
{
    PGresult *result;
    int rc = run(o, sql, NULL, &result, err);

    if (rc == 0)
        PQclear(result);
    return rc;
}

/* -- opening -- */

static int read_password(const struct config_consumer *c, char **out, struct error *err)
{
    *out = NULL;
    if (*c->password_file)
        return secret_from_file(c->password_file, "password", secret_is_text_byte, out, err);
    if (*c->password_env)
        return secret_from_env(c->password_env, "password", secret_is_text_byte, out, err);
    return 0;
}

/* libpq quotes what it does not understand, which can be a part of a password. */
static int check_url_part(const PQconninfoOption *o, struct error *err)
{
    if (!o->val)
        return 0;
    if (strcmp(o->keyword, "host") == 0 && strchr(o->val, '@'))
        return error_set(err, -EINVAL, "url: in a password, @ must be written as %%40");
    if (strcmp(o->keyword, "port") == 0 && o->val[strspn(o->val, "0123456789,")])
        return error_set(err, -EINVAL,
                         "url: the port is not a number; in a password, / must be written as %%2F");
    return 0;
}

static int check_url(const char *url, struct error *err)
{
    char *why = NULL, *quoted;
    PQconninfoOption *parts = PQconninfoParse(url, &why);
    int rc = 0;

    if (!parts) {
        quoted = why ? strstr(why, ": \"") : NULL;
        rc = error_set(err, -EINVAL,
                       "url: %.*s; special characters in a password must be written as %%XX",
                       quoted ? (int)(quoted - why) : 17, quoted ? why : "it cannot be read");
    }
    for (const PQconninfoOption *o = parts; o && rc == 0 && o->keyword; o++)
        rc = check_url_part(o, err);
    PQconninfoFree(parts);
    PQfreemem(why);
    return rc;
}

/* A database that does not know the encoding of its texts has bytes that are not UTF-8, too. With
 * another encoding than its own, it would refuse to send all rows because of one. */
static int set_encoding(struct outbox *o, struct error *err)
{
    const char *theirs = PQparameterStatus(o->connection, "server_encoding");

    if (!theirs || strcmp(theirs, "SQL_ASCII") != 0 ||
        PQsetClientEncoding(o->connection, "SQL_ASCII") == 0)
        return 0;
    return pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
}

/* Parameters after `dbname`, which is the URL, take precedence over it:
 * https://www.postgresql.org/docs/current/libpq-connect.html */
static int connect_to(struct outbox *o, const struct config_consumer *c, struct error *err)
{
    const char *names[12], *values[12];
    size_t n = 0;
    char *password;
    int rc = read_password(c, &password, err);
    const struct {
        const char *name, *value;
    } given[] = {{"dbname", c->url},
                 {"user", c->user},
                 {"password", password},
                 {"sslrootcert", c->tls.ca_file},
                 {"sslmode", *c->tls.ca_file ? "verify-full" : NULL},
                 {"sslcert", c->tls.cert_file},
                 {"sslkey", c->tls.key_file},
                 {"application_name", "purgeline"},
                 {"connect_timeout", CONNECT_S},
                 {"client_encoding", "UTF8"}};

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < array_len(given); i++) {
        if (!given[i].value || !*given[i].value)
            continue;
        names[n] = given[i].name;
        values[n++] = given[i].value;
    }
    names[n] = values[n] = NULL;
    o->connection = PQconnectdbParams(names, values, 1);
    secret_free(password);
    if (PQstatus(o->connection) != CONNECTION_OK)
        return pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
    return set_encoding(o, err);
}

/* "schema"."table", or "table"; and in *last, unless NULL, the name of the table alone. malloc'ed.
 */
static char *quote_table(struct outbox *o, const char *topic, char **last)
{
    const char *dot = strchr(topic, '.');
    char *schema = dot ? PQescapeIdentifier(o->connection, topic, (size_t)(dot - topic)) : NULL;
    const char *name = dot ? dot + 1 : topic;
    char *table = PQescapeIdentifier(o->connection, name, strlen(name)), *both = NULL;

    if (table && (schema || !dot)) {
        both = alloc_printf("%s%s%s", schema ? schema : "", schema ? "." : "", table);
        if (last)
            *last = alloc_str(table);
    }
    PQfreemem(schema);
    PQfreemem(table);
    return both;
}

static int write_sql(struct outbox *o, const char *topic, struct error *err)
{
    char *channel, *table = quote_table(o, topic, &channel);

    if (!table)
        return pg_failed(o, -EINVAL, PQerrorMessage(o->connection), err);
    o->select = alloc_printf("WITH locked AS (SELECT id, message FROM %s WHERE id IS NOT NULL "
                             "ORDER BY id FOR UPDATE SKIP LOCKED LIMIT ",
                             table);
    o->listen = alloc_printf("LISTEN %s", channel);
    o->oldest =
        alloc_printf("SELECT greatest(1, extract(epoch FROM clock_timestamp() - created_at) "
                     "* 1000)::bigint FROM %s ORDER BY id LIMIT 1",
                     table);
    o->table = table;
    free(channel);
    return 0;
}

static void outbox_close(void *source)
{
    struct outbox *o = source;

    if (!o)
        return;
    PQclear(o->rows);
    PQfinish(o->connection);
    free(o->table);
    free(o->select);
    free(o->listen);
    free(o->oldest);
    free(o);
}

/* Tables made before there was the column created_at do not have it. */
static int find_created_at(struct outbox *o, const char *topic, struct error *err)
{
    char *table = quote_table(o, topic, NULL);
    PGresult *there;
    int rc = run(o,
                 "SELECT FROM pg_attribute WHERE attrelid = $1::regclass AND "
                 "attname = 'created_at' AND NOT attisdropped",
                 table, &there, err);

    free(table);
    if (rc < 0)
        return rc;
    if (PQntuples(there) == 0) {
        free(o->oldest);
        o->oldest = NULL;
    }
    PQclear(there);
    return 0;
}

/* Of the locked rows, those that are enough: first by what they take on the disk, which PostgreSQL
 * knows without reading them, then by their text. The last column is how many were locked. */
#define SELECT_ENOUGH                                                                              \
    ") SELECT id, CASE WHEN bytes <= " BODY_MAX " THEN message::text END, "                        \
    "(SELECT count(*) FROM locked) FROM (SELECT id, message, bytes, sum(bytes) OVER before AS "    \
    "sum "                                                                                         \
    "FROM (SELECT id, message, octet_length(message::text) AS bytes "                              \
    "FROM (SELECT id, message, sum(pg_column_size(message)) OVER before AS sum FROM locked "       \
    "WINDOW before AS (" BEFORE ")) AS stored WHERE coalesce(sum, 0) < " ENOUGH_BYTES              \
    ") AS texts WINDOW before AS (" BEFORE ")) AS enough "                                         \
    "WHERE coalesce(sum, 0) < " ENOUGH_BYTES " ORDER BY id"
#define BEFORE "ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"

static int select_rows(struct outbox *o, const char *before, uint32_t max, PGresult **out,
                       struct error *err)
{
    char *sql = alloc_printf("%s%s%u%s", before, o->select, max, SELECT_ENOUGH);
    int rc = run(o, sql, NULL, out, err);

    free(sql);
    return rc;
}

/* Whether rows could be deleted: otherwise the same ones would be pushed again and again. EXPLAIN
 * checks the permission and the type of id, and deletes nothing. */
static int may_delete(struct outbox *o, struct error *err)
{
    char *sql = alloc_printf("EXPLAIN DELETE FROM %s WHERE id = ANY('{}'::bigint[])", o->table);
    struct error why;
    int rc = run_plain(o, sql, &why);

    free(sql);
    return rc < 0 ? error_set(err, rc, "rows cannot be deleted by their id, a bigint: %s", why.text)
                  : 0;
}

static int outbox_open(const struct config *config, const struct config_consumer *c, void **out,
                       struct error *err)
{
    struct outbox *o = alloc_zeroed(1, sizeof(*o));
    int rc = check_url(c->url, err);
    PGresult *rows;

    (void)config;
    o->most = SOURCE_BATCH;
    if (rc == 0)
        rc = connect_to(o, c, err);
    if (rc == 0)
        rc = write_sql(o, c->topic, err);
    if (rc == 0 && PQsetnonblocking(o->connection, 1) != 0)
        rc = pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
    if (rc == 0)
        rc = run_plain(o, o->listen, err); /* before the first look, so that nothing is missed */
    if (rc == 0)
        rc = select_rows(o, "", 0, &rows, err); /* is there such a table, and may we use it? */
    if (rc == 0) {
        PQclear(rows);
        rc = may_delete(o, err);
    }
    if (rc == 0)
        rc = find_created_at(o, c->topic, err);
    if (rc == 0)
        *out = o;
    else
        outbox_close(o);
    return rc;
}

/* -- rows -- */

static bool notified(struct outbox *o)
{
    PGnotify *n;
    bool any = false;

    while ((n = PQnotifies(o->connection))) {
        PQfreemem(n);
        any = o->announced = true;
    }
    return any;
}

/* Waits for a notification, or until it is time for a look. Returns whether to look. */
static int await_rows(struct outbox *o, int stop_fd, struct error *err)
{
    uint64_t until_ns = clock_mono_ns() + LOOK_MS * NS_PER_MS, now_ns;

    while (!notified(o) && (now_ns = clock_mono_ns()) < until_ns) {
        int rc = await(o, POLLIN, stop_fd, (until_ns - now_ns) / NS_PER_MS + 1);

        if (rc == -EAGAIN)
            return 0;
        if (rc > 0 && !PQconsumeInput(o->connection))
            return pg_failed(o, -ENOTCONN, PQerrorMessage(o->connection), err);
    }
    return 1;
}

/* Locks rows in a transaction. Without rows the transaction is ended at once. */
static int look(struct outbox *o, uint32_t max, struct error *err)
{
    PGresult *rows;
    uint64_t locked;
    bool large;
    int rc;

    max = (uint32_t)min_u64(max, o->most);
    rc = select_rows(o, "BEGIN; ", max, &rows, err);
    if (rc < 0)
        return rc;
    locked = PQntuples(rows) ? strtoull(PQgetvalue(rows, 0, 2), NULL, 10) : 0;
    large = (uint64_t)PQntuples(rows) < locked;
    o->most =
        (uint32_t)min_u64(2 * (uint64_t)(large ? PQntuples(rows) : (int)o->most), SOURCE_BATCH);
    o->full = large || locked == max;
    o->empty = PQntuples(rows) == 0 || (!o->full && o->announced);
    if (PQntuples(rows) == 0) {
        PQclear(rows);
        return run_plain(o, "ROLLBACK", err);
    }
    o->rows = rows;
    return PQntuples(rows);
}

static int outbox_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                        struct error *err)
{
    struct outbox *o = source;
    int n = o->empty ? await_rows(o, stop_fd, err) : 1;

    if (n <= 0)
        return n;
    n = look(o, max, err);
    for (int i = 0; i < n; i++) {
        out[i] = (struct source_message){
            .offset = span_str(PQgetvalue(o->rows, i, 0)),
            .body = span_of(PQgetvalue(o->rows, i, 1), (size_t)PQgetlength(o->rows, i, 1)),
            .flaw =
                PQgetisnull(o->rows, i, 1) ? "the message is null, or longer than 16 MiB" : NULL};
    }
    return n;
}

/* "{1,2,3}": an array of bigint */
static char *ids_of(const struct outbox *o, uint32_t count)
{
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    buf_putc(&b, '{');
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&b, "%s%s", i ? "," : "", PQgetvalue(o->rows, (int)i, 0));
    buf_putc(&b, '}');
    return buf_take(&b);
}

/* A rule, a trigger or row-level security can keep rows without an error. Where ids are not unique,
 * other rows would go unread. */
static int check_deleted(const PGresult *deleted, uint32_t count, struct error *err)
{
    const char *told = PQcmdTuples((PGresult *)deleted);

    return strtoull(told, NULL, 10) == count
               ? 0
               : error_set(err, -EIO,
                           "%s rows instead of %u would be deleted: is there a trigger, a rule or "
                           "row-level security, or are ids not unique?",
                           told, count);
}

static int delete_rows(struct outbox *o, uint32_t count, struct error *err)
{
    char *ids = ids_of(o, count);
    char *sql = alloc_printf("DELETE FROM %s WHERE id = ANY($1::bigint[])", o->table);
    PGresult *deleted;
    int rc = run(o, sql, ids, &deleted, err);

    free(sql);
    free(ids);
    if (rc < 0)
        return rc;
    rc = check_deleted(deleted, count, err);
    PQclear(deleted);
    return rc;
}

static int outbox_commit(void *source, uint32_t count, struct error *err)
{
    struct outbox *o = source;
    int rc = count ? delete_rows(o, count, err) : 0;

    if (rc == 0)
        rc = run_plain(o, o->full ? "COMMIT" : COMMIT_LATER, err);
    PQclear(o->rows);
    o->rows = NULL;
    return rc;
}

/* Opening it changes nothing. */
static int outbox_look(const struct config *config, const struct config_consumer *c,
                       struct error *note, struct error *err)
{
    void *opened;
    int rc = outbox_open(config, c, &opened, err);

    note->text[0] = '\0';
    if (rc == 0)
        outbox_close(opened);
    return rc;
}

/* The rows are not counted: PostgreSQL would have to read all of them. */
static int outbox_lag(void *source, struct source_lag *out, struct error *err)
{
    struct outbox *o = source;
    PGresult *row;
    int rc;

    if (!o->oldest)
        return 0;
    rc = run(o, o->oldest, NULL, &row, err);
    if (rc < 0)
        return rc;
    out->oldest_known = true;
    if (PQntuples(row) == 1)
        out->oldest_ms = strtoull(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return 0;
}

static const struct message_source outbox = {"postgres",   outbox_open, outbox_fetch, outbox_commit,
                                             outbox_close, outbox_look, outbox_lag,   NULL};

const struct source_plugin purgeline_source = SOURCE_PLUGIN(&outbox);
