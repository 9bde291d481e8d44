/* SPDX-License-Identifier: MIT
 * Messages of a stream of NATS JetStream, by a durable pull consumer: the server sends only what
 * was asked for. The threads of libnats put it into an inbox, which this source waits for.
 * https://docs.nats.io/reference/reference-protocols/nats_api_reference */
#include <errno.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "nats_inbox.h"
#include "nats_login.h"
#include "source_plugin.h"

#define PATIENCE_MS 5000
#define GIVE_BACK_MS 2000
#define PULL_MS 10000 /* the server answers a pull after this time at the latest */
#define PULL_LOST_NS ((PULL_MS + PATIENCE_MS) * NS_PER_MS)
#define ENOUGH_BYTES ((int64_t)4 << 20)
#define HEADERS_MAX 32
#define AGAIN_MAX 65536u
#define SUBJECT_ROOM 1024
#define PLACE_ROOM 320
#define ACK_PREFIX "$JS.ACK."

struct server {
    const struct config_consumer *c;
    struct nats_inbox *inbox;
    natsConnection *connection;
    jsCtx *js;
    natsSubscription *subscription;
    natsInbox *address; /* answers to the n-th pull go to <address>.<n> */
    uint32_t pulls;
    uint32_t owed; /* messages that the last pull may still bring */
    uint64_t pulled_at_ns;
    bool alone; /* the next message is large: it is pulled without a limit of bytes */
    int64_t batch, expires_ns, bytes;
    natsMsg *messages[SOURCE_BATCH]; /* of the last fetch */
    struct source_header headers[SOURCE_BATCH][HEADERS_MAX];
    char places[SOURCE_BATCH][PLACE_ROOM];
    uint32_t count, committed;
};

/* -- errors -- */

/* What libnats or the server says about a call that failed. A missing permission is told before,
 * and the call itself just waits in vain. */
static int failed(const struct server *s, natsStatus status, const char *what, struct error *err)
{
    natsStatus last = NATS_OK;
    const char *text = nats_GetLastError(&last);
    struct error why;

    if (s->inbox && nats_inbox_check(s->inbox, &why) < 0)
        return error_set(err, -EIO, "%s: %s", what, why.text);
    if (status == NATS_NO_RESPONDERS)
        return error_set(err, -EIO, "%s: the server has no JetStream for this user", what);
    return error_set(err, -EIO, "%s: %s", what,
                     text && *text && last == status ? text : natsStatus_GetText(status));
}

/* -- connecting -- */

/* A connection that is lost is not made again by libnats, because the consumer opens the source
 * again, and says so. */
static natsStatus set_manners(natsOptions *o)
{
    natsStatus status = natsOptions_SetName(o, "purgeline");

    if (status == NATS_OK)
        status = natsOptions_SetTimeout(o, PATIENCE_MS);
    if (status == NATS_OK)
        status = natsOptions_SetWriteDeadline(o, PATIENCE_MS);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(o, PULL_MS);
    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(o, false);
    return status;
}

static int connect_with(struct server *s, natsOptions *o, struct error *err)
{
    natsStatus status;
    int rc;

    if (natsOptions_SetURL(o, s->c->url) != NATS_OK)
        return error_set(err, -EINVAL, "url: expected nats://host:4222, or several with commas");
    rc = nats_login(o, s->c, err);
    if (rc < 0)
        return rc;
    status = set_manners(o);
    if (status == NATS_OK)
        status = nats_inbox_connect(s->inbox, o, &s->connection);
    if (status == NATS_OK)
        status = natsConnection_JetStream(&s->js, s->connection, NULL);
    return status == NATS_OK ? 0 : failed(s, status, "connecting", err);
}

static void forget(struct server *s)
{
    while (s->count > 0)
        natsMsg_Destroy(s->messages[--s->count]);
    s->committed = 0;
}

static void answer(struct server *s, const natsMsg *msg, const char *word)
{
    const char *to = natsMsg_GetReply(msg);

    if (to && strncmp(to, ACK_PREFIX, strlen(ACK_PREFIX)) == 0)
        (void)natsConnection_PublishString(s->connection, to, word);
}

/* Has the server deliver at once what was not committed, in this order. First it must not send
 * more: otherwise it would send these to the pull that is still open. */
static void give_back(struct server *s)
{
    natsMsg *msg;

    if (natsSubscription_DrainTimeout(s->subscription, GIVE_BACK_MS) == NATS_OK)
        (void)natsSubscription_WaitForDrainCompletion(s->subscription, GIVE_BACK_MS);
    for (uint32_t i = s->committed; i < s->count; i++)
        answer(s, s->messages[i], "-NAK");
    while ((msg = nats_inbox_take(s->inbox))) {
        answer(s, msg, "-NAK");
        natsMsg_Destroy(msg);
    }
    (void)natsConnection_FlushTimeout(s->connection, GIVE_BACK_MS);
}

static void server_close(void *source)
{
    struct server *s = source;

    if (!s)
        return;
    if (s->subscription && !natsConnection_IsClosed(s->connection))
        give_back(s);
    forget(s);
    natsSubscription_Destroy(s->subscription);
    jsCtx_Destroy(s->js);
    natsConnection_Destroy(s->connection);
    natsInbox_Destroy(s->address);
    nats_inbox_release(s->inbox);
    free(s);
}

static int server_connect(const struct config_consumer *c, struct server **out, struct error *err)
{
    struct server *s = alloc_zeroed(1, sizeof(*s));
    natsOptions *o = NULL;
    int rc;

    s->c = c;
    s->inbox = nats_inbox_new();
    if (nats_inbox_fd(s->inbox) < 0)
        rc = error_set(err, -errno, "no file descriptor is left: %s", strerror(errno));
    else if (natsOptions_Create(&o) != NATS_OK)
        rc = error_set(err, -ENOMEM, "libnats cannot be used");
    else
        rc = connect_with(s, o, err);
    natsOptions_Destroy(o);
    if (rc == 0)
        *out = s;
    else
        server_close(s);
    return rc;
}

/* -- the consumer of the stream -- */

static int ask_consumer(struct server *s, jsConsumerInfo **out, jsErrCode *code, struct error *err)
{
    jsOptions patience;
    natsStatus status;

    *out = NULL;
    *code = 0;
    jsOptions_Init(&patience);
    patience.Wait = PATIENCE_MS;
    status = js_GetConsumerInfo(out, s->js, s->c->topic, s->c->group, &patience, code);
    if (*code == JSStreamNotFoundErr)
        return error_set(err, -ENOENT, "there is no stream %s", s->c->topic);
    if (*code == JSConsumerNotFoundErr || (status == NATS_NOT_FOUND && *code == 0))
        return error_set(err, -ENOENT, "the stream %s has no consumer %s", s->c->topic,
                         s->c->group);
    return status == NATS_OK ? 0 : failed(s, status, "asking for the consumer", err);
}

/* Those that were made by others may not be of use. */
static int check_consumer(const struct server *s, const jsConsumerInfo *info, struct error *err)
{
    const jsConsumerConfig *c = info->Config;
    const char *flaw = NULL;

    if (!c)
        return error_set(err, -EIO, "the server does not say what the consumer is like");
    if (c->DeliverSubject && *c->DeliverSubject)
        flaw = "is a push consumer; a pull consumer is needed";
    else if (c->AckPolicy != js_AckExplicit)
        flaw = "has not the ack policy explicit";
    else if (c->HeadersOnly)
        flaw = "delivers headers only";
    return flaw ? error_set(err, -EINVAL, "the consumer %s of the stream %s %s", s->c->group,
                            s->c->topic, flaw)
                : 0;
}

/* From the beginning of the stream. What is not set here is the server's default. Not by
 * js_AddConsumer: it depends on the version of libnats which permission that needs. */
static int create_consumer(struct server *s, struct error *err)
{
    char subject[SUBJECT_ROOM], text[SUBJECT_ROOM];
    natsMsg *reply = NULL;
    natsStatus status;

    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", s->c->topic,
             s->c->group);
    snprintf(text, sizeof(text),
             "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"%s\","
             "\"ack_policy\":\"explicit\",\"deliver_policy\":\"all\",\"max_deliver\":-1}}",
             s->c->topic, s->c->group);
    status = natsConnection_RequestString(&reply, s->connection, subject, text, PATIENCE_MS);
    if (status == NATS_OK && strstr(natsMsg_GetData(reply), "\"error\""))
        error_set(err, -EIO, "creating the consumer: %.*s", natsMsg_GetDataLength(reply),
                  natsMsg_GetData(reply));
    else if (status == NATS_OK)
        err->text[0] = '\0';
    else
        failed(s, status, "creating the consumer", err);
    natsMsg_Destroy(reply);
    return err->text[0] ? -EIO : 0;
}

static int64_t limit(int64_t wanted, int64_t most)
{
    return most > 0 && most < wanted ? most : wanted;
}

static int find_consumer(struct server *s, jsConsumerInfo **out, struct error *err)
{
    jsErrCode code;
    int rc = ask_consumer(s, out, &code, err);

    if (rc < 0 && code == JSConsumerNotFoundErr) {
        rc = create_consumer(s, err);
        if (rc == 0)
            rc = ask_consumer(s, out, &code, err);
    }
    if (rc == 0)
        rc = check_consumer(s, *out, err);
    if (rc < 0)
        return rc;
    s->batch = limit(SOURCE_BATCH, (*out)->Config->MaxRequestBatch);
    s->expires_ns = limit(PULL_MS * (int64_t)NS_PER_MS, (*out)->Config->MaxRequestExpires);
    s->bytes = limit(ENOUGH_BYTES, (*out)->Config->MaxRequestMaxBytes);
    return 0;
}

/* What was delivered and never acknowledged, because the reader was killed, the server delivers
 * again only when ack_wait is over, and later messages before. Refusing it now keeps the order. It
 * is among the last ones. The floor may be far behind them: a server that was killed may not move
 * it any more, and the messages between may be of other subjects. The server skips those that it
 * does not wait for. The subject has the place of the message, and parts that nobody looks at:
 * https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md */
static int ask_again(struct server *s, const jsConsumerInfo *info, struct error *err)
{
    uint64_t last = info->Delivered.Stream;
    uint64_t first = max_u64(info->AckFloor.Stream + 1, minus_u64(last + 1, AGAIN_MAX));
    char subject[SUBJECT_ROOM];
    natsStatus status = NATS_OK;

    if (info->NumAckPending == 0)
        return 0;
    for (uint64_t nth = first; status == NATS_OK && nth <= last; nth++) {
        snprintf(subject, sizeof(subject), ACK_PREFIX "%s.%s.1.%" PRIu64 ".%" PRIu64 ".0.0",
                 s->c->topic, s->c->group, nth, (uint64_t)info->Delivered.Consumer);
        status = natsConnection_PublishString(s->connection, subject, "-NAK");
    }
    return status == NATS_OK ? 0 : failed(s, status, "asking for messages again", err);
}

static int subscribe(struct server *s, struct error *err)
{
    char subject[SUBJECT_ROOM];
    natsStatus status = natsInbox_Create(&s->address);

    if (status == NATS_OK) {
        snprintf(subject, sizeof(subject), "%s.*", (const char *)s->address);
        status = nats_inbox_subscribe(s->inbox, s->connection, subject, &s->subscription);
    }
    return status == NATS_OK ? 0 : failed(s, status, "subscribing", err);
}

/* The names become parts of subjects, https://docs.nats.io/nats-concepts/subjects */
static int check_names(const struct config_consumer *c, struct error *err)
{
    static const char separators[] = " \t.*>/\\\"";

    if (strpbrk(c->topic, separators) || strlen(c->topic) > 255)
        return error_set(err, -EINVAL, "topic: '%s' cannot be the name of a stream", c->topic);
    if (strpbrk(c->group, separators) || strlen(c->group) > 255)
        return error_set(err, -EINVAL, "group: '%s' cannot be the name of a consumer", c->group);
    return 0;
}

static int server_open(const struct config *config, const struct config_consumer *c, void **out,
                       struct error *err)
{
    struct server *s;
    jsConsumerInfo *info = NULL;
    int rc = check_names(c, err);

    (void)config;
    if (rc == 0)
        rc = server_connect(c, &s, err);
    if (rc < 0)
        return rc;
    rc = find_consumer(s, &info, err);
    if (rc == 0)
        rc = ask_again(s, info, err);
    if (rc == 0)
        rc = subscribe(s, err);
    jsConsumerInfo_Destroy(info);
    if (rc == 0)
        *out = s;
    else
        server_close(s);
    return rc;
}

/* -- looking -- */

/* Whether the user may publish to a subject. The text must be one that changes nothing; what is
 * answered does not matter. A refused one is never answered. */
static int may_publish(struct server *s, const char *subject, const char *text, struct error *err)
{
    struct pollfd p = {.fd = nats_inbox_fd(s->inbox), .events = POLLIN};
    char reply[SUBJECT_ROOM];
    struct error why;
    natsStatus status;
    natsMsg *msg = NULL;

    snprintf(reply, sizeof(reply), "%s.look", (const char *)s->address);
    status = natsConnection_PublishRequestString(s->connection, subject, reply, text);
    while (status == NATS_OK && !(msg = nats_inbox_take(s->inbox)) &&
           nats_inbox_check(s->inbox, &why) == 0) {
        if (poll(&p, 1, PATIENCE_MS) == 0)
            status = NATS_TIMEOUT;
        else
            nats_inbox_hush(s->inbox);
    }
    natsMsg_Destroy(msg);
    return msg ? 0 : failed(s, status, subject, err);
}

/* "?" is not JSON, so the server refuses it: it creates no consumer, and delivers no message. */
static int look_at_api(struct server *s, const char *call, struct error *err)
{
    char subject[SUBJECT_ROOM];

    snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.%s.%s.%s", call, s->c->topic, s->c->group);
    return may_publish(s, subject, "{?", err);
}

/* That somebody still works on a message which was never delivered means nothing. */
static int look_at_acks(struct server *s, struct error *err)
{
    char subject[SUBJECT_ROOM];

    snprintf(subject, sizeof(subject), ACK_PREFIX "%s.%s.1.4611686018427387904.1.0.0", s->c->topic,
             s->c->group);
    return may_publish(s, subject, "+WPI", err);
}

static int look_at_consumer(struct server *s, const jsConsumerInfo *info, struct error *note,
                            struct error *err)
{
    int rc = check_consumer(s, info, err);

    if (rc == 0)
        rc = subscribe(s, err);
    if (rc == 0)
        rc = look_at_api(s, "MSG.NEXT", err);
    if (rc == 0)
        rc = look_at_acks(s, err);
    if (rc == 0 && info->Config->MaxDeliver > 0)
        error_set(note, -1,
                  "after %" PRId64 " deliveries the server gives up on a message (max_deliver)",
                  info->Config->MaxDeliver);
    return rc;
}

static int server_look(const struct config *config, const struct config_consumer *c,
                       struct error *note, struct error *err)
{
    struct server *s;
    jsConsumerInfo *info = NULL;
    jsErrCode code;
    int rc = check_names(c, err);

    (void)config;
    note->text[0] = '\0';
    if (rc == 0)
        rc = server_connect(c, &s, err);
    if (rc < 0)
        return rc;
    rc = ask_consumer(s, &info, &code, err);
    if (rc == 0) {
        rc = look_at_consumer(s, info, note, err);
    } else if (code == JSConsumerNotFoundErr) {
        rc = subscribe(s, err);
        if (rc == 0)
            rc = look_at_api(s, "DURABLE.CREATE", err);
        error_set(note, -1, "the consumer %s will be created at the first start", c->group);
    }
    jsConsumerInfo_Destroy(info);
    server_close(s);
    return rc;
}

/* -- messages -- */

static int pull(struct server *s, struct error *err)
{
    char to[SUBJECT_ROOM], reply[SUBJECT_ROOM], text[128];
    int64_t batch = s->alone ? 1 : s->batch;
    natsStatus status;

    snprintf(to, sizeof(to), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", s->c->topic, s->c->group);
    snprintf(reply, sizeof(reply), "%s.%" PRIu32, (const char *)s->address, ++s->pulls);
    if (s->alone)
        snprintf(text, sizeof(text), "{\"batch\":1,\"expires\":%" PRId64 "}", s->expires_ns);
    else
        snprintf(text, sizeof(text),
                 "{\"batch\":%" PRId64 ",\"expires\":%" PRId64 ",\"max_bytes\":%" PRId64 "}", batch,
                 s->expires_ns, s->bytes);
    status = natsConnection_PublishRequestString(s->connection, to, reply, text);
    s->owed = (uint32_t)batch;
    s->pulled_at_ns = clock_mono_ns();
    return status == NATS_OK ? 0 : failed(s, status, "asking for messages", err);
}

/* The end of a pull. 0: one may ask again. */
static int take_status(struct server *s, natsMsg *msg, struct error *err)
{
    const char *code = NULL, *text = NULL, *number = strrchr(natsMsg_GetSubject(msg), '.');

    if (!number || strtoul(number + 1, NULL, 10) != s->pulls)
        return 0; /* of an earlier pull */
    if (natsMsg_IsNoResponders(msg))
        return error_set(err, -EIO, "there is no stream %s, or it has no consumer %s", s->c->topic,
                         s->c->group);
    if (natsMsgHeader_Get(msg, "Status", &code) != NATS_OK)
        return 0;
    (void)natsMsgHeader_Get(msg, "Description", &text);
    if (strcmp(code, "100") == 0)
        return 0;
    /* It has brought as many bytes as it may: in the words of version 2.10, or of earlier ones. */
    if (strcmp(code, "409") == 0 && text &&
        (strstr(text, "Batch Completed") || (strstr(text, "MaxBytes") && !s->alone)))
        s->alone = s->owed == s->batch; /* not even one has fitted */
    else if (strcmp(code, "404") != 0 && strcmp(code, "408") != 0)
        return error_set(err, -EIO, "the server says: %s %s", code, text ? text : "");
    s->owed = 0;
    return 0;
}

/* Takes what has arrived. 0 or negative errno. */
static int take_all(struct server *s, uint32_t max, struct error *err)
{
    int64_t bytes = 0;
    natsMsg *msg;

    while (s->count < max && bytes < ENOUGH_BYTES && (msg = nats_inbox_take(s->inbox))) {
        const char *to = natsMsg_GetReply(msg);
        int rc;

        if (to && strncmp(to, ACK_PREFIX, strlen(ACK_PREFIX)) == 0) {
            bytes += natsMsg_GetDataLength(msg);
            s->messages[s->count++] = msg;
            s->owed -= s->owed > 0;
            s->alone = false;
            continue;
        }
        rc = take_status(s, msg, err);
        natsMsg_Destroy(msg);
        if (rc < 0)
            return rc;
    }
    return s->count ? 0 : nats_inbox_check(s->inbox, err);
}

static size_t read_headers(natsMsg *msg, struct source_header *out)
{
    const char **names = NULL, *value;
    int names_count = 0;
    size_t n = 0;

    if (natsMsgHeader_Keys(msg, &names, &names_count) != NATS_OK)
        return 0;
    for (int i = 0; i < names_count && n < HEADERS_MAX; i++)
        if (natsMsgHeader_Get(msg, names[i], &value) == NATS_OK && value)
            out[n++] = (struct source_header){span_str(names[i]), span_str(value)};
    free(names);
    return n;
}

static struct source_message read_message(struct server *s, uint32_t nth)
{
    natsMsg *msg = s->messages[nth];
    jsMsgMetaData *meta = NULL;
    uint64_t sequence = 0;

    if (natsMsg_GetMetaData(&meta, msg) == NATS_OK)
        sequence = meta->Sequence.Stream;
    jsMsgMetaData_Destroy(meta);
    snprintf(s->places[nth], PLACE_ROOM, "%" PRIu64 ", durable consumer %s", sequence, s->c->group);
    return (struct source_message){
        .body = span_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)),
        .offset = span_str(s->places[nth]),
        .headers = s->headers[nth],
        .headers_count = read_headers(msg, s->headers[nth])};
}

/* Waits until the inbox has been rung, `stop_fd` is readable, or the pull seems to be lost. Returns
 * whether it is worthwhile to look. */
static bool wait_for_mail(struct server *s, int stop_fd)
{
    struct pollfd fds[] = {{.fd = nats_inbox_fd(s->inbox), .events = POLLIN},
                           {.fd = stop_fd, .events = POLLIN}};
    uint64_t age_ns = clock_mono_ns() - s->pulled_at_ns;

    (void)poll(fds, array_len(fds), (int)(minus_u64(PULL_LOST_NS, age_ns) / NS_PER_MS) + 1);
    if (fds[0].revents)
        nats_inbox_hush(s->inbox);
    return fds[0].revents && !fds[1].revents;
}

static int server_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                        struct error *err)
{
    struct server *s = source;
    int rc;

    forget(s);
    do {
        rc = take_all(s, max, err);
        if (rc == 0 && (s->owed == 0 || clock_mono_ns() - s->pulled_at_ns >= PULL_LOST_NS))
            rc = pull(s, err);
    } while (rc == 0 && s->count == 0 && wait_for_mail(s, stop_fd));
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < s->count; i++)
        out[i] = read_message(s, i);
    return (int)s->count;
}

/* The server works on acknowledgements in their order, and answers to the last. */
static int server_commit(void *source, uint32_t count, struct error *err)
{
    struct server *s = source;
    natsMsg *reply = NULL;
    natsStatus status;

    if (count == 0)
        return 0;
    for (uint32_t i = 0; i < count - 1; i++)
        answer(s, s->messages[i], "+ACK");
    status = natsConnection_RequestString(
        &reply, s->connection, natsMsg_GetReply(s->messages[count - 1]), "+ACK", PATIENCE_MS);
    natsMsg_Destroy(reply);
    if (status != NATS_OK)
        return failed(s, status, "acknowledging", err);
    s->committed = count;
    return 0;
}

static int server_lag(void *source, struct source_lag *out, struct error *err)
{
    jsConsumerInfo *info;
    jsErrCode code;
    int rc = ask_consumer(source, &info, &code, err);

    if (rc < 0)
        return rc;
    out->messages_known = true;
    out->messages = info->NumPending + (uint64_t)info->NumAckPending;
    jsConsumerInfo_Destroy(info);
    return 0;
}

static const struct message_source server = {"nats",       server_open, server_fetch, server_commit,
                                             server_close, server_look, server_lag,   NULL};

const struct source_plugin purgeline_source = SOURCE_PLUGIN(&server);
