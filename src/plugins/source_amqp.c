/* SPDX-License-Identifier: MIT
 * Messages from a queue of a broker that speaks AMQP 0-9-1, such as RabbitMQ. The broker sends up
 * to PREFETCH messages ahead. Those that are not acknowledged when the connection ends are
 * delivered again. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* Since 0.12 the headers have a folder of their own, and warn in their old place. */
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#include "alloc.h"
#include "secret.h"
#include "source_plugin.h"

#define CHANNEL 1
#define QUESTIONS 2                 /* a channel */
#define PREFETCH (2 * SOURCE_BATCH) /* so that the next batch is on its way */
#define FRAME_MAX_BYTES 131072
#define HEARTBEAT_S 30
#define LOOK_MS 10000 /* more often than heartbeats are due */
#define ENOUGH_BYTES ((size_t)4 << 20)
#define HEADERS_MAX 32
#define NUMBER_ROOM 24                               /* for 64 bits in decimal */
#define CA_FILE "/etc/ssl/certs/ca-certificates.crt" /* Debian's */

static const struct timeval patience = {.tv_sec = 10}, at_once = {0};

struct broker {
    amqp_connection_state_t connection;
    const char *queue;                       /* from the configuration */
    amqp_envelope_t envelopes[SOURCE_BATCH]; /* of the last fetch */
    struct source_header headers[SOURCE_BATCH][HEADERS_MAX];
    char numbers[SOURCE_BATCH][HEADERS_MAX][NUMBER_ROOM];
    uint32_t count;
};

static struct span span_of_bytes(amqp_bytes_t b)
{
    return span_of(b.len ? b.bytes : "", b.len);
}

/* -- errors -- */

/* What the broker says when it closes the channel or the connection: "NOT_FOUND - no queue 'x'". */
static int broker_says(amqp_method_t method, struct error *err)
{
    struct span text = SPAN("the broker sent something unexpected");

    if (method.id == AMQP_CHANNEL_CLOSE_METHOD)
        text = span_of_bytes(((amqp_channel_close_t *)method.decoded)->reply_text);
    else if (method.id == AMQP_CONNECTION_CLOSE_METHOD)
        text = span_of_bytes(((amqp_connection_close_t *)method.decoded)->reply_text);
    else if (method.id == AMQP_BASIC_CANCEL_METHOD)
        text = SPAN("the broker ended the subscription: was the queue deleted?");
    return error_set(err, -EIO, "%.*s", (int)text.n, text.p);
}

static int check_status(int status, const char *what, struct error *err)
{
    return status == AMQP_STATUS_OK
               ? 0
               : error_set(err, -ENOTCONN, "%s: %s", what, amqp_error_string2(status));
}

static int check_reply(amqp_rpc_reply_t r, const char *what, struct error *err)
{
    switch (r.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return 0;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        return broker_says(r.reply, err);
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return check_status(r.library_error, what, err);
    default:
        return error_set(err, -ENOTCONN, "%s: no reply", what);
    }
}

/* -- opening -- */

static int set_tls(amqp_socket_t *s, const struct config_consumer *c, struct error *err)
{
    int rc = amqp_ssl_socket_set_cacert(s, *c->tls.ca_file ? c->tls.ca_file : CA_FILE);

    amqp_ssl_socket_set_verify_peer(s, 1);
    amqp_ssl_socket_set_verify_hostname(s, 1);
    if (rc == AMQP_STATUS_OK)
        rc = amqp_ssl_socket_set_ssl_versions(s, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    if (rc == AMQP_STATUS_OK && *c->tls.cert_file)
        rc = amqp_ssl_socket_set_key(s, c->tls.cert_file, c->tls.key_file);
    return check_status(rc, "tls", err);
}

static int connect_to(struct broker *b, const struct config_consumer *c,
                      const struct amqp_connection_info *at, struct error *err)
{
    amqp_socket_t *s =
        at->ssl ? amqp_ssl_socket_new(b->connection) : amqp_tcp_socket_new(b->connection);
    int rc;

    if (!s)
        return error_set(err, -ENOMEM, "no socket");
    rc = at->ssl ? set_tls(s, c, err) : 0;
    if (rc < 0)
        return rc;
    return check_status(amqp_socket_open_noblock(s, at->host, at->port, &patience), "connecting",
                        err);
}

static amqp_table_entry_t text_entry(const char *name, const char *text)
{
    amqp_table_entry_t e = {.key = amqp_cstring_bytes(name),
                            .value = {.kind = AMQP_FIELD_KIND_UTF8}};

    e.value.value.bytes = amqp_cstring_bytes(text);
    return e;
}

static amqp_table_entry_t table_entry(const char *name, amqp_table_t table)
{
    amqp_table_entry_t e = {.key = amqp_cstring_bytes(name),
                            .value = {.kind = AMQP_FIELD_KIND_TABLE}};

    e.value.value.table = table;
    return e;
}

/* Says who we are, and that we want to be told when a queue is deleted or moves:
 * https://www.rabbitmq.com/docs/consumer-cancel#capabilities */
static amqp_rpc_reply_t introduce(struct broker *b, const struct amqp_connection_info *at,
                                  const char *user, const char *password)
{
    amqp_table_entry_t cancel = {.key = amqp_cstring_bytes("consumer_cancel_notify"),
                                 .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, {.boolean = 1}}};
    amqp_table_entry_t all[] = {text_entry("connection_name", "purgeline"),
                                table_entry("capabilities", (amqp_table_t){1, &cancel})};
    amqp_table_t properties = {array_len(all), all};

    return amqp_login_with_properties(b->connection, at->vhost, 0, FRAME_MAX_BYTES, HEARTBEAT_S,
                                      &properties, AMQP_SASL_METHOD_PLAIN, user, password);
}

/* Without a password of the consumer's own, the URL's is used. */
static int log_in(struct broker *b, const struct config_consumer *c,
                  const struct amqp_connection_info *at, struct error *err)
{
    char *password = NULL;
    int rc = 0;

    if (*c->password_file)
        rc = secret_from_file(c->password_file, "password", secret_is_text_byte, &password, err);
    else if (*c->password_env)
        rc = secret_from_env(c->password_env, "password", secret_is_text_byte, &password, err);
    if (rc == 0)
        rc = check_reply(
            introduce(b, at, *c->user ? c->user : at->user, password ? password : at->password),
            "login", err);
    secret_free(password);
    return rc;
}

static int subscribe(struct broker *b, const struct config_consumer *c, struct error *err)
{
    int rc;

    amqp_basic_qos(b->connection, CHANNEL, 0, PREFETCH, 0);
    rc = check_reply(amqp_get_rpc_reply(b->connection), "prefetch", err);
    if (rc < 0)
        return rc;
    amqp_basic_consume(b->connection, CHANNEL, amqp_cstring_bytes(c->topic), amqp_empty_bytes, 0, 0,
                       0, amqp_empty_table);
    return check_reply(amqp_get_rpc_reply(b->connection), "subscribing", err);
}

static void forget(struct broker *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        amqp_destroy_envelope(&b->envelopes[i]);
    b->count = 0;
    amqp_maybe_release_buffers(b->connection);
}

static void broker_close(void *source)
{
    struct broker *b = source;

    if (!b)
        return;
    forget(b);
    amqp_destroy_connection(b->connection); /* just closes the socket: nothing waits */
    free(b);
}

/* Opens a connection and a channel. */
static int broker_connect(const struct config_consumer *c, struct broker **out, struct error *err)
{
    struct broker *b = alloc_zeroed(1, sizeof(*b));
    char *url = alloc_str(c->url); /* amqp_parse_url cuts it into pieces */
    struct amqp_connection_info at;
    int rc = 0;

    b->connection = amqp_new_connection();
    must(b->connection);
    amqp_set_rpc_timeout(b->connection, &patience);
    amqp_set_handshake_timeout(b->connection, &patience);
    if (amqp_parse_url(url, &at) != AMQP_STATUS_OK)
        rc = error_set(err, -EINVAL, "url: expected amqp://host:5672/vhost");
    if (rc == 0)
        rc = connect_to(b, c, &at, err);
    if (rc == 0)
        rc = log_in(b, c, &at, err);
    if (rc == 0) {
        amqp_channel_open(b->connection, CHANNEL);
        rc = check_reply(amqp_get_rpc_reply(b->connection), "channel", err);
    }
    explicit_bzero(url, strlen(c->url));
    free(url);
    if (rc == 0)
        *out = b;
    else
        broker_close(b);
    return rc;
}

/* -- streams -- */

static void server_property(struct broker *b, const char *name, char *out, size_t room)
{
    const amqp_table_t *all = amqp_get_server_properties(b->connection);

    out[0] = '\0';
    for (int i = 0; i < all->num_entries; i++) {
        const amqp_table_entry_t *e = &all->entries[i];
        struct span value = span_of_bytes(e->value.value.bytes);

        if (span_is(span_of_bytes(e->key), name) && e->value.kind == AMQP_FIELD_KIND_UTF8)
            snprintf(out, room, "%.*s", (int)value.n, value.p);
    }
}

/* Since RabbitMQ 3.9. A broker that does not know the argument would subscribe us. */
static bool has_streams(struct broker *b)
{
    char product[16], version[16];
    unsigned major = 0, minor = 0;

    server_property(b, "product", product, sizeof(product));
    server_property(b, "version", version, sizeof(version));
    (void)sscanf(version, "%u.%u", &major, &minor);
    return strcmp(product, "RabbitMQ") == 0 && (major > 3 || (major == 3 && minor >= 9));
}

/* Tries to subscribe with an argument that only streams take, and without a prefetch count, which
 * streams refuse: so nothing is ever sent. */
static amqp_rpc_reply_t ask_for_offset(struct broker *b)
{
    amqp_table_entry_t offset = text_entry("x-stream-offset", "next");
    amqp_rpc_reply_t r;

    amqp_channel_open(b->connection, QUESTIONS);
    r = amqp_get_rpc_reply(b->connection);
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        return r;
    amqp_basic_consume(b->connection, QUESTIONS, amqp_cstring_bytes(b->queue), amqp_empty_bytes, 0,
                       0, 0, (amqp_table_t){1, &offset});
    return amqp_get_rpc_reply(b->connection);
}

static bool is_precondition(amqp_rpc_reply_t r)
{
    return r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
           r.reply.id == AMQP_CHANNEL_CLOSE_METHOD &&
           ((amqp_channel_close_t *)r.reply.decoded)->reply_code == AMQP_PRECONDITION_FAILED;
}

/* A subscription to a stream begins at its end, and an acknowledgement is not remembered:
 * https://www.rabbitmq.com/docs/streams#consuming. Returns 0; 1: it is no stream, but the broker
 * has subscribed us, so another connection is needed; or negative errno. */
static int refuse_stream(struct broker *b, struct error *err)
{
    amqp_channel_close_ok_t ok = {0};
    amqp_rpc_reply_t r;
    int rc;

    if (!has_streams(b))
        return 0;
    r = ask_for_offset(b);
    rc = check_reply(r, "asking what the queue is", err);
    if (rc == 0)
        return 1;
    if (!is_precondition(r))
        return rc;
    if (strstr(err->text, "consumer prefetch count is not set"))
        return error_set(err, -EINVAL,
                         "%s is a stream, which does not remember what was read: use a classic or "
                         "a quorum queue",
                         b->queue);
    return check_status(
        amqp_send_method(b->connection, QUESTIONS, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok),
        "asking what the queue is", err);
}

/* A connection to a broker whose queue is not a stream. */
static int broker_connect_to_queue(const struct config_consumer *c, struct broker **out,
                                   struct error *err)
{
    int rc = broker_connect(c, out, err);

    if (rc < 0)
        return rc;
    (*out)->queue = c->topic;
    rc = refuse_stream(*out, err);
    if (rc == 0)
        return 0;
    broker_close(*out);
    return rc < 0 ? rc : broker_connect(c, out, err);
}

static int broker_open(const struct config *config, const struct config_consumer *c, void **out,
                       struct error *err)
{
    struct broker *b;
    int rc = broker_connect_to_queue(c, &b, err);

    (void)config;
    if (rc < 0)
        return rc;
    b->queue = c->topic;
    rc = subscribe(b, c, err);
    if (rc == 0)
        *out = b;
    else
        broker_close(b);
    return rc;
}

/* A passive declaration creates nothing, and needs no permission. The answer counts the messages
 * that were not sent to anybody: https://www.rabbitmq.com/amqp-0-9-1-reference#queue.declare-ok */
static int ask_ready(struct broker *b, uint32_t *out, struct error *err)
{
    const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
        b->connection, CHANNEL, amqp_cstring_bytes(b->queue), 1, 0, 0, 0, amqp_empty_table);

    *out = ok ? ok->message_count : 0;
    return check_reply(amqp_get_rpc_reply(b->connection), "the queue", err);
}

/* Subscribing would take messages from those who read the queue, and mark them as delivered before.
 * So the subscription has an argument that RabbitMQ refuses after it has checked the permission: a
 * priority that is no number, https://www.rabbitmq.com/docs/consumer-priority */
static int may_subscribe(struct broker *b, const struct config_consumer *c, struct error *err)
{
    amqp_table_entry_t priority = {.key = amqp_cstring_bytes("x-priority"),
                                   .value = {.kind = AMQP_FIELD_KIND_UTF8}};
    amqp_table_t arguments = {.num_entries = 1, .entries = &priority};
    amqp_rpc_reply_t r;

    priority.value.value.bytes = amqp_cstring_bytes("none");
    amqp_basic_consume(b->connection, CHANNEL, amqp_cstring_bytes(c->topic), amqp_empty_bytes, 0, 0,
                       0, arguments);
    r = amqp_get_rpc_reply(b->connection);
    return is_precondition(r) ? 0 : check_reply(r, "subscribing", err);
}

static int broker_look(const struct config *config, const struct config_consumer *c,
                       struct error *note, struct error *err)
{
    struct broker *b;
    uint32_t ready;
    int rc = broker_connect_to_queue(c, &b, err);

    (void)config;
    note->text[0] = '\0';
    if (rc < 0)
        return rc;
    b->queue = c->topic;
    rc = ask_ready(b, &ready, err);
    if (rc == 0)
        rc = may_subscribe(b, c, err);
    broker_close(b);
    return rc;
}

/* -- messages -- */

/* Texts, and numbers and flags as texts, for which there is room. False: something else. */
static bool read_value(const amqp_field_value_t *v, char *room, struct span *out)
{
    switch (v->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        *out = span_of_bytes(v->value.bytes);
        return true;
    case AMQP_FIELD_KIND_BOOLEAN:
        *out = v->value.boolean ? SPAN("true") : SPAN("false");
        return true;
    case AMQP_FIELD_KIND_I8:
        snprintf(room, NUMBER_ROOM, "%d", v->value.i8);
        break;
    case AMQP_FIELD_KIND_I16:
        snprintf(room, NUMBER_ROOM, "%d", v->value.i16);
        break;
    case AMQP_FIELD_KIND_I32:
        snprintf(room, NUMBER_ROOM, "%" PRId32, v->value.i32);
        break;
    case AMQP_FIELD_KIND_I64:
        snprintf(room, NUMBER_ROOM, "%" PRId64, v->value.i64);
        break;
    default:
        return false;
    }
    *out = span_str(room);
    return true;
}

static size_t read_headers(const amqp_basic_properties_t *p, struct source_header *out,
                           char numbers[HEADERS_MAX][NUMBER_ROOM])
{
    size_t n = 0;

    if (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
        out[n++] = (struct source_header){SPAN("content-type"), span_of_bytes(p->content_type)};
    if (p->_flags & AMQP_BASIC_TYPE_FLAG)
        out[n++] = (struct source_header){SPAN("type"), span_of_bytes(p->type)};
    if (!(p->_flags & AMQP_BASIC_HEADERS_FLAG))
        return n;
    for (int i = 0; i < p->headers.num_entries && n < HEADERS_MAX; i++) {
        const amqp_table_entry_t *e = &p->headers.entries[i];

        out[n].name = span_of_bytes(e->key);
        n += read_value(&e->value, numbers[n], &out[n].value);
    }
    return n;
}

static struct source_message read_message(struct broker *b, uint32_t nth)
{
    const amqp_envelope_t *e = &b->envelopes[nth];
    const amqp_basic_properties_t *p = &e->message.properties;
    struct source_message m = {.body = span_of_bytes(e->message.body),
                               .headers = b->headers[nth],
                               .headers_count = read_headers(p, b->headers[nth], b->numbers[nth])};

    if (p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
        m.offset = span_of_bytes(p->message_id);
    return m;
}

/* Something other than a message: usually the broker says why it ends the channel. */
static int take_other(struct broker *b, struct error *err)
{
    amqp_frame_t frame;
    int rc = check_status(amqp_simple_wait_frame_noblock(b->connection, &frame, &at_once),
                          "reading", err);

    if (rc < 0)
        return rc;
    return frame.frame_type == AMQP_FRAME_METHOD ? broker_says(frame.payload.method, err) : 0;
}

/* Takes a message that has arrived. 1; 0: there is none. */
static int take_one(struct broker *b, struct error *err)
{
    amqp_rpc_reply_t r = amqp_consume_message(b->connection, &b->envelopes[b->count], &at_once, 0);

    if (r.reply_type == AMQP_RESPONSE_NORMAL) {
        b->count++;
        return 1;
    }
    if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && r.library_error == AMQP_STATUS_TIMEOUT)
        return 0;
    if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
        r.library_error == AMQP_STATUS_UNEXPECTED_STATE)
        return take_other(b, err);
    return check_reply(r, "reading", err);
}

static int broker_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                        struct error *err)
{
    struct broker *b = source;
    size_t bytes = 0;
    int rc;

    forget(b);
    rc = take_one(b, err);
    if (rc == 0) {
        struct pollfd fds[] = {{.fd = amqp_get_sockfd(b->connection), .events = POLLIN},
                               {.fd = stop_fd, .events = POLLIN}};

        (void)poll(fds, array_len(fds), LOOK_MS);
        if (!fds[1].revents)
            rc = take_one(b, err); /* also after the time is over: it sends heartbeats */
    }
    while (rc > 0 && b->count < max && bytes < ENOUGH_BYTES) {
        bytes += b->envelopes[b->count - 1].message.body.len;
        rc = take_one(b, err);
    }
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < b->count; i++)
        out[i] = read_message(b, i);
    return (int)b->count;
}

/* Acknowledges all messages up to this one with one frame. */
static int broker_commit(void *source, uint32_t count, struct error *err)
{
    struct broker *b = source;

    if (count == 0)
        return 0;
    return check_status(
        amqp_basic_ack(b->connection, CHANNEL, b->envelopes[count - 1].delivery_tag, 1),
        "acknowledging", err);
}

static int broker_lag(void *source, struct source_lag *out, struct error *err)
{
    uint32_t ready;
    int rc = ask_ready(source, &ready, err);

    out->messages_known = rc == 0;
    out->messages = ready;
    return rc;
}

static const struct message_source broker = {"amqp",       broker_open, broker_fetch, broker_commit,
                                             broker_close, broker_look, broker_lag,   NULL};

const struct source_plugin purgeline_source = SOURCE_PLUGIN(&broker);
