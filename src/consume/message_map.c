/* SPDX-License-Identifier: MIT */
#include "message_map.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cloud_event.h"
#include "hook.h"
#include "job.h"
#include "jobform.h"

struct message_map {
    enum lane lane;
    struct hook *hook; /* NULL: the message is a job */
    struct hook_job job;
    struct jobform form;
    struct jobform defaults; /* fields for jobs that do not set them */
    char *by;                /* who pushes the jobs */
    struct span *fields;     /* with that */
    size_t fields_room;
};

static void set_defaults(struct jobform *f, const struct config_consumer *c)
{
    char text[24];

    jobform_init(f, c->mapping.lane);
    for (uint32_t i = 0; i < c->mapping.services.count; i++)
        jobform_put(f, "service", span_str(c->mapping.services.at[i]));
    if (c->mapping.soft)
        jobform_put(f, "soft", SPAN("1"));
    snprintf(text, sizeof(text), "%u", c->mapping.repeat_after_ms);
    if (c->mapping.repeat_after_ms)
        jobform_put(f, "repeat_after",
                    c->mapping.repeat_after_ms == CONFIG_REPEAT_AUTO ? SPAN(REPEAT_AUTO)
                                                                     : span_str(text));
}

struct message_map *message_map_new(const struct config_consumer *c, struct error *err)
{
    struct hook *hook = c->job == CONSUMER_MAPPED ? hook_new(&c->mapping, err) : NULL;
    struct message_map *m;

    if (c->job == CONSUMER_MAPPED && !hook)
        return NULL;
    m = alloc_zeroed(1, sizeof(*m));
    m->hook = hook;
    m->lane = c->mapping.lane;
    m->by = alloc_printf("consumer %.120s", c->name);
    hook_job_init(&m->job);
    jobform_init(&m->form, m->lane);
    set_defaults(&m->defaults, c);
    return m;
}

void message_map_free(struct message_map *m)
{
    if (!m)
        return;
    hook_free(m->hook);
    hook_job_deinit(&m->job);
    jobform_deinit(&m->form);
    jobform_deinit(&m->defaults);
    free(m->by);
    free(m->fields);
    free(m);
}

static bool find_header(void *context, const char *name, struct span *value)
{
    const struct source_message *message = context;

    for (size_t i = 0; i < message->headers_count; i++) {
        if (!span_eq_nocase(message->headers[i].name, span_str(name)))
            continue;
        *value = message->headers[i].value;
        return true;
    }
    return false;
}

static int map_templates(struct message_map *m, const struct source_message *message,
                         const json_t *document, struct mapped_job *out, struct error *err)
{
    const struct hook_request request = {
        .body = message->body, .header = find_header, .header_context = (void *)message};
    int rc = hook_apply(m->hook, document, &request, &m->job, err);

    if (rc == 0)
        *out = (struct mapped_job){m->lane, m->job.fields, m->job.fields_count};
    return rc;
}

/* The object that is the job: the document, or the data of a CloudEvent. */
static json_t *job_in(json_t *document)
{
    json_t *data = json_object_get(document, "data");

    return cloud_event_is(document) && json_is_object(data) ? data : document;
}

static int map_job(struct message_map *m, json_t *document, struct mapped_job *out,
                   struct error *err)
{
    jobform_clear(&m->form, m->lane);
    if (!json_is_object(document))
        return error_set(err, -EINVAL, "the message is not a JSON object");
    if (jobform_add_object(&m->form, job_in(document), err) < 0)
        return -EINVAL;
    jobform_add_missing(&m->form, &m->defaults);
    out->fields = jobform_fields(&m->form, &out->count);
    out->lane = m->form.lane;
    return 0;
}

/* Programs for Windows begin texts with this mark, which JSON does not have: RFC 8259, 8.1. */
static struct span without_mark(struct span text)
{
    return text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0 ? span_of(text.p + 3, text.n - 3)
                                                                 : text;
}

static json_t *parse(const struct message_map *m, struct span text, struct error *err)
{
    json_error_t where;
    json_t *document = json_loadb(text.p, text.n, m->hook ? 0 : JSON_REJECT_DUPLICATES, &where);

    if (!document && text.n >= 2 && memcmp(text.p, "\x1F\x8B", 2) == 0) /* RFC 1952, 2.3.1 */
        error_set(err, -EINVAL, "not JSON: the message is compressed with gzip");
    else if (!document)
        error_set(err, -EINVAL, "not JSON: %s", where.text);
    cloud_event_decode_data(document);
    return document;
}

/* NULL with a sentence. */
static json_t *read_document(const struct message_map *m, const struct source_message *message,
                             struct error *err)
{
    struct span text = without_mark(message->body);

    if (text.n > 0)
        return parse(m, text, err);
    /* What there is to know is in the headers. */
    if (m->hook && (message->absent || cloud_event_in_headers(message)))
        return json_object();
    error_set(err, message->absent ? -ENOENT : -EINVAL, "the message is empty");
    return NULL;
}

int message_map_apply(struct message_map *m, const struct source_message *message,
                      struct mapped_job *out, struct error *err)
{
    json_t *document;
    int rc;

    if (message->flaw)
        return error_set(err, -EINVAL, "%s", message->flaw);
    if (message->body.n > MESSAGE_BODY_MAX_BYTES)
        return error_set(err, -EMSGSIZE, "the message is longer than 16 MiB");
    document = read_document(m, message, err);
    if (!document)
        return message->absent ? -ENOENT : -EINVAL;
    rc = m->hook ? map_templates(m, message, document, out, err) : map_job(m, document, out, err);
    json_decref(document);
    return rc;
}

struct span message_map_by(const struct message_map *m)
{
    return span_str(m->by);
}

/* Whoever writes messages cannot choose a name. */
void message_map_sign(struct message_map *m, struct mapped_job *job)
{
    size_t n = 0;

    if (m->fields_room < job->count + 2) {
        m->fields_room = job->count + 2;
        m->fields = alloc_grow(m->fields, m->fields_room, sizeof(*m->fields));
    }
    for (size_t i = 0; i < job->count; i += 2) {
        if (span_is(job->fields[i], JOB_FIELD_BY))
            continue;
        m->fields[n++] = job->fields[i];
        m->fields[n++] = job->fields[i + 1];
    }
    m->fields[n++] = SPAN(JOB_FIELD_BY);
    m->fields[n++] = span_str(m->by);
    job->fields = m->fields;
    job->count = n;
}
