/* SPDX-License-Identifier: MIT */
#include "edge_check.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"

#define HEAD_MAX_BYTES EDGE_CHECK_MAX_BYTES
/* Around "amsterdam-nl", in place of a hash: https://github.com/fastly/fastly-js, ContentApi.md */
#define TIMEOUT_HASH "error-timeout-"
#define TOO_LARGE_HASH "warning-too-large-"

const char *const edge_check_answer_names[EDGE_CHECK_ANSWERS_N] = {
    [EDGE_CHECK_CONTENT] = "content",
    [EDGE_CHECK_TOO_LARGE] = "too large",
    [EDGE_CHECK_TIMEOUT] = "timeout"};

/* -- the request -- */

/* RFC 3986 section 2.3: the bytes that need no escape anywhere. */
static bool is_unreserved(char c)
{
    return byte_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

char *edge_check_path(const char *url)
{
    struct buf path;

    buf_init(&path, sizeof("/content/edge_check?url=") + 3 * strlen(url));
    buf_put(&path, SPAN("/content/edge_check?url="));
    for (const char *c = url; *c; c++) {
        if (is_unreserved(*c))
            buf_putc(&path, *c);
        else
            buf_printf(&path, "%%%02X", (unsigned char)*c);
    }
    return buf_take(&path);
}

/* -- the head of a POP's reply -- */

/* A line break in a value would begin another header. */
static bool is_one_line(const char *text)
{
    return text[strcspn(text, "\r\n")] == '\0';
}

/* False if there is no more room. */
static bool put_pop_header(struct buf *head, const char *name, const json_t *value)
{
    char number[32];
    const char *text = json_string_value(value);

    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    }
    if (!text || !is_one_line(text) || !is_one_line(name) || strchr(name, ':'))
        return true;
    return buf_try_put(head, span_str(name)) == 0 && buf_try_put(head, SPAN(": ")) == 0 &&
           buf_try_put(head, span_str(text)) == 0 && buf_try_put(head, SPAN("\r\n")) == 0;
}

/* A header that came several times is a list of values. */
static void put_headers(struct buf *head, const json_t *headers)
{
    const char *name;
    const json_t *value, *one;
    size_t i;

    json_object_foreach((json_t *)headers, name, value)
    {
        if (!json_is_array(value) && !put_pop_header(head, name, value))
            return;
        json_array_foreach(value, i, one) if (!put_pop_header(head, name, one)) return;
    }
}

static int status_of(const json_t *status)
{
    const char *text = json_string_value(status);
    json_int_t n = text ? strtol(text, NULL, 10) : json_integer_value(status);

    return n >= 100 && n <= 999 ? (int)n : 0;
}

static char *head_of(const json_t *response)
{
    struct buf head;

    buf_init(&head, HEAD_MAX_BYTES);
    buf_printf(&head, "HTTP/1.1 %d\r\n", status_of(json_object_get(response, "status")));
    put_headers(&head, json_object_get(response, "headers"));
    return buf_take(&head);
}

/* -- entries -- */

static enum edge_check_answer answer_of(const char *hash)
{
    if (strncmp(hash, TIMEOUT_HASH, sizeof(TIMEOUT_HASH) - 1) == 0)
        return EDGE_CHECK_TIMEOUT;
    if (strncmp(hash, TOO_LARGE_HASH, sizeof(TOO_LARGE_HASH) - 1) == 0)
        return EDGE_CHECK_TOO_LARGE;
    return *hash ? EDGE_CHECK_CONTENT : EDGE_CHECK_TIMEOUT;
}

static char *entry_text(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));

    return alloc_str(text ? text : "");
}

static void take_entry(struct edge_check *e, const json_t *entry)
{
    struct edge_check_pop *p = &e->pops[e->count];
    const char *name = json_string_value(json_object_get(entry, "pop"));

    if (!name || !*name || e->count == EDGE_CHECK_POPS_MAX) {
        e->left_out++;
        return;
    }
    e->count++;
    p->name = alloc_str(name);
    p->server = entry_text(entry, "server");
    p->hash = entry_text(entry, "hash");
    p->answer = answer_of(p->hash);
    if (p->answer != EDGE_CHECK_CONTENT)
        *p->hash = '\0';
    p->head = head_of(json_object_get(entry, "response"));
    sighting_read(&p->seen, span_str(p->head));
}

/* -- order -- */

static void count_peers(struct edge_check *e)
{
    for (size_t i = 0; i < e->count; i++) {
        bool first = *e->pops[i].hash != '\0';

        for (size_t j = 0; j < e->count; j++) {
            if (!*e->pops[i].hash || strcmp(e->pops[i].hash, e->pops[j].hash) != 0)
                continue;
            e->pops[i].peers++;
            first &= j >= i;
        }
        e->contents += first;
    }
}

static int by_content(const void *a, const void *b)
{
    const struct edge_check_pop *x = a, *y = b;
    int rc;

    if (x->answer != y->answer)
        return x->answer < y->answer ? -1 : 1;
    if (x->peers != y->peers)
        return x->peers > y->peers ? -1 : 1;
    rc = strcmp(x->hash, y->hash);
    return rc ? rc : strcmp(x->name, y->name);
}

int edge_check_read(struct edge_check *e, struct span body, struct error *err)
{
    json_error_t at;
    json_t *doc = json_loadb(body.n ? body.p : "", body.n, 0, &at);
    const json_t *entry;
    size_t i;

    if (!json_is_array(doc)) {
        json_decref(doc);
        return error_set(err, -EINVAL, "the answer is not a list of POPs");
    }
    *e = (struct edge_check){0};
    e->pops = alloc_zeroed(EDGE_CHECK_POPS_MAX + 1, sizeof(*e->pops));
    json_array_foreach(doc, i, entry) take_entry(e, entry);
    json_decref(doc);
    count_peers(e);
    qsort(e->pops, e->count, sizeof(*e->pops), by_content);
    return 0;
}

void edge_check_deinit(struct edge_check *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->pops[i].name);
        free(e->pops[i].server);
        free(e->pops[i].hash);
        free(e->pops[i].head);
    }
    free(e->pops);
    *e = (struct edge_check){0};
}
