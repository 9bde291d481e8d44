/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "foreign_list.h"
#include "foreign_look.h"
#include "foreign_stream.h"
#include "json_text.h"
#include "redis_config.h"
#include "source.h"

/* -- where -- */

/* Errors about redis_tls and redis_auth are about settings that the consumer has itself. */
static int rename_setting(int rc, struct error *err)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"redis_tls.", "tls."}, {"redis_auth.", ""}, {"redis: ", "url: "}};

    for (size_t i = 0; i < array_len(names); i++)
        if (strncmp(err->text, names[i].theirs, strlen(names[i].theirs)) == 0)
            return error_set(err, rc, "%s%s", names[i].ours, err->text + strlen(names[i].theirs));
    return rc;
}

static int address_of(const struct config *config, const struct config_consumer *c,
                      struct redis_address *out, struct error *err)
{
    const struct config theirs = {
        .redis_tls = c->tls,
        .redis_auth = {.user = c->user,
                       .password_file = c->password_file,
                       .password_env = c->password_env,
                       .sentinel_user = (char *)"",
                       .sentinel_password_file = (char *)"",
                       .sentinel_password_env = (char *)""},
    };
    int rc = *c->url ? redis_config_address_at(&theirs, c->url, out, err)
                     : redis_config_address(config, out, err);

    if (rc < 0)
        return rename_setting(rc, err);
    out->replicas = 0; /* what a failover loses there, the queue delivers again */
    return 0;
}

/* -- lists -- */

static int list_open(const struct config *config, const struct config_consumer *c, void **out,
                     struct error *err)
{
    struct redis_address address;
    struct foreign_list *list;
    int rc = address_of(config, c, &address, err);

    if (rc < 0)
        return rc;
    rc = foreign_list_open(&address, c->topic,
                           c->take == CONSUMER_LEFT ? FOREIGN_LIST_LEFT : FOREIGN_LIST_RIGHT,
                           c->name, &list, err);
    redis_address_deinit(&address);
    if (rc == 0)
        *out = list;
    return rc;
}

static int list_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                      struct error *err)
{
    struct span bodies[FOREIGN_LIST_BATCH];
    int n = foreign_list_fetch(source, stop_fd, max, bodies, err);

    for (int i = 0; i < n; i++)
        out[i] = (struct source_message){.body = bodies[i]};
    return n;
}

static int list_commit(void *source, uint32_t count, struct error *err)
{
    return foreign_list_done(source, count, err);
}

static void list_close(void *source)
{
    foreign_list_close(source);
}

static int list_look(const struct config *config, const struct config_consumer *c,
                     struct error *note, struct error *err)
{
    struct redis_address address;
    int rc = address_of(config, c, &address, err);

    note->text[0] = '\0';
    if (rc < 0)
        return rc;
    rc = foreign_list_look(&address, c->topic, c->name, err);
    redis_address_deinit(&address);
    return rc;
}

static int list_lag(void *source, struct source_lag *out, struct error *err)
{
    int rc = foreign_list_waiting(source, &out->messages, err);

    out->messages_known = rc == 0;
    return rc;
}

const struct message_source source_redis_list = {"redis-list", list_open, list_fetch, list_commit,
                                                 list_close,   list_look, list_lag,   NULL};

/* -- streams -- */

struct stream_source {
    struct foreign_stream *stream;
    char *field; /* holds the message; "": all fields together */
    struct foreign_entry entries[FOREIGN_STREAM_BATCH];
    char *bodies[FOREIGN_STREAM_BATCH]; /* that were made of fields; or NULL */
    char *no_field;                     /* the flaw of an entry without the field */
};

/* The name is stable, so that what we have read is ours after a restart. */
static char *member_name(const struct config_consumer *c)
{
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    return alloc_printf("purgeline-%s-%s", c->name, host);
}

static int stream_open(const struct config *config, const struct config_consumer *c, void **out,
                       struct error *err)
{
    struct redis_address address;
    struct foreign_stream *stream;
    struct stream_source *s;
    char *member;
    int rc = address_of(config, c, &address, err);

    if (rc < 0)
        return rc;
    member = member_name(c);
    rc = foreign_stream_open(&address, c->topic, c->group, member,
                             (uint64_t)c->claim_after_s * 1000, &stream, err);
    free(member);
    redis_address_deinit(&address);
    if (rc < 0)
        return rc;
    s = alloc_zeroed(1, sizeof(*s));
    s->stream = stream;
    s->field = alloc_str(c->field);
    s->no_field = alloc_printf("the entry has no field '%s'", c->field);
    *out = s;
    return 0;
}

static void forget_bodies(struct stream_source *s)
{
    for (size_t i = 0; i < FOREIGN_STREAM_BATCH; i++) {
        free(s->bodies[i]);
        s->bodies[i] = NULL;
    }
}

/* {"name": "value", ...}; a field that is repeated becomes a list of its values. */
static char *json_of_fields(const struct foreign_entry *e)
{
    json_t *o = json_object();
    char *text;

    for (size_t i = 0; i < e->fields_count; i += 2) {
        char *name = alloc_copy(e->fields[i].p, e->fields[i].n);
        json_t *value = json_text(e->fields[i + 1]), *old = json_object_get(o, name);

        if (!old)
            json_object_set_new(o, name, value);
        else if (json_is_array(old))
            json_array_append_new(old, value);
        else
            json_object_set_new(o, name, json_pack("[Oo]", old, value));
        free(name);
    }
    text = json_text_line(o);
    json_decref(o);
    return text;
}

static struct source_message read_entry(struct stream_source *s, size_t nth)
{
    const struct foreign_entry *e = &s->entries[nth];
    struct source_message m = {.offset = e->id, .body = SPAN("")};

    if (!*s->field) {
        s->bodies[nth] = json_of_fields(e);
        m.body = span_str(s->bodies[nth]);
        return m;
    }
    for (size_t i = 0; i < e->fields_count; i += 2) {
        if (span_is(e->fields[i], s->field)) {
            m.body = e->fields[i + 1];
            return m;
        }
    }
    m.flaw = s->no_field;
    return m;
}

static int stream_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                        struct error *err)
{
    struct stream_source *s = source;
    int n;

    forget_bodies(s);
    n = foreign_stream_fetch(s->stream, stop_fd, max, s->entries, err);
    for (int i = 0; i < n; i++)
        out[i] = read_entry(s, (size_t)i);
    return n;
}

static int stream_commit(void *source, uint32_t count, struct error *err)
{
    struct stream_source *s = source;

    return foreign_stream_done(s->stream, count, err);
}

static void stream_close(void *source)
{
    struct stream_source *s = source;

    if (!s)
        return;
    forget_bodies(s);
    foreign_stream_close(s->stream);
    free(s->field);
    free(s->no_field);
    free(s);
}

static int stream_look(const struct config *config, const struct config_consumer *c,
                       struct error *note, struct error *err)
{
    struct redis_address address;
    enum foreign_group group;
    int rc = address_of(config, c, &address, err);

    note->text[0] = '\0';
    if (rc < 0)
        return rc;
    rc = foreign_stream_look(&address, c->topic, c->group, &group, err);
    redis_address_deinit(&address);
    if (rc == 0 && group == FOREIGN_STREAM_MISSING)
        (void)error_set(note, -ENOENT,
                        "the stream does not exist; it and the group %s will be created at the "
                        "first start",
                        c->group);
    else if (rc == 0 && group == FOREIGN_GROUP_MISSING)
        (void)error_set(note, -ENOENT, "the group %s will be created at the first start", c->group);
    return rc;
}

static int stream_lag(void *source, struct source_lag *out, struct error *err)
{
    struct stream_source *s = source;
    int rc = foreign_stream_waiting(s->stream, &out->messages, err);

    out->messages_known = rc > 0;
    return rc < 0 ? rc : 0;
}

const struct message_source source_redis_stream = {"redis-stream", stream_open,  stream_fetch,
                                                   stream_commit,  stream_close, stream_look,
                                                   stream_lag,     NULL};
