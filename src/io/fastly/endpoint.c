/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define LINES_MAX 20

/* Adds a header line in front of `next`. curl_slist_append is not used, because it would make
 * copies of the token that are never wiped, and its lists cannot share tails. */
static struct curl_slist *add_line(struct endpoint *e, char *text, struct curl_slist *next)
{
    struct curl_slist *line = &e->lines[e->lines_count++];

    must(e->lines_count <= LINES_MAX);
    line->data = text;
    line->next = next;
    return line;
}

/* An empty POST is a request without a body for curl, which then adds no Content-Length
 * (transfer.c). Expect needs no line that suppresses it: curl adds it only to bodies above 1 MiB,
 * which is the limit of exchange_new (https://everything.curl.dev/http/post/expect100). curl scans
 * every line ten times per request. */
static void build_set(struct endpoint *e, const struct endpoint_options *o, struct curl_slist *tail,
                      struct curl_slist *set[ENDPOINT_BODY_N][ENDPOINT_SOFT_N])
{
    if (*o->user_agent)
        tail = add_line(e, alloc_printf("User-Agent: %s", o->user_agent), tail);
    tail =
        add_line(e, alloc_printf("Accept: %s", o->accept ? o->accept : "application/json"), tail);
    set[ENDPOINT_PLAIN][ENDPOINT_HARD] = tail;
    set[ENDPOINT_EMPTY][ENDPOINT_HARD] = add_line(e, alloc_str("Content-Length: 0"), tail);
    set[ENDPOINT_JSON][ENDPOINT_HARD] =
        add_line(e, alloc_str("Content-Type: application/json"), tail);
    for (int body = 0; body < ENDPOINT_BODY_N; body++)
        set[body][ENDPOINT_SOFT] =
            add_line(e, alloc_str("Fastly-Soft-Purge: 1"), set[body][ENDPOINT_HARD]);
}

/* Like a browser's, so that the copy that visitors get is looked at: Fastly keeps another one for
 * clients that do not take compressed pages. Fastly-Debug makes it tell about its caches:
 * https://www.fastly.com/documentation/reference/http/http-headers/Fastly-Debug/ */
static struct curl_slist *build_page(struct endpoint *e, const struct endpoint_options *o)
{
    struct curl_slist *tail = NULL;

    if (*o->user_agent)
        tail = add_line(e, alloc_printf("User-Agent: %s", o->user_agent), NULL);
    tail = add_line(e, alloc_str("Accept-Encoding: gzip"), tail);
    return add_line(e, alloc_str("Fastly-Debug: 1"), tail);
}

static void build_headers(struct endpoint *e, const struct endpoint_options *o)
{
    struct curl_slist *token = NULL;

    e->page = build_page(e, o);
    build_set(e, o, NULL, e->headers[ENDPOINT_WITHOUT_TOKEN]);
    if (*o->token)
        token = add_line(e, alloc_printf("Fastly-Key: %s", o->token), NULL);
    build_set(e, o, token, e->headers[ENDPOINT_WITH_TOKEN]);
}

struct endpoint *endpoint_new(const struct endpoint_options *o)
{
    static uint64_t numbers;
    struct endpoint *e = alloc_zeroed(1, sizeof(*e));

    must(strpbrk(o->token, "\r\n") == NULL && strpbrk(o->user_agent, "\r\n") == NULL);
    e->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    e->holds = 1;
    e->api = alloc_str(o->api);
    e->ca_file = alloc_str(o->ca_file);
    e->fault = alloc_str(o->fault);
    proxy_init(&e->proxy, o->proxy, o->proxy_ca_file, o->proxy_auth);
    e->connect_timeout_ms = o->connect_timeout_ms;
    e->timeout_ms = o->timeout_ms;
    e->lines = alloc_zeroed(LINES_MAX, sizeof(*e->lines));
    build_headers(e, o);
    return e;
}

const char *endpoint_fault(const struct endpoint *e)
{
    return e->fault;
}

struct endpoint *endpoint_hold(struct endpoint *e)
{
    __atomic_add_fetch(&e->holds, 1, __ATOMIC_RELAXED);
    return e;
}

/* The token's line is the last of its list. Without a token, the last line is not secret. */
static const char *token_line(const struct endpoint *e)
{
    const struct curl_slist *l = e->headers[ENDPOINT_WITH_TOKEN][ENDPOINT_PLAIN][ENDPOINT_HARD];

    while (l->next)
        l = l->next;
    return l->data;
}

void endpoint_hide_token(const struct endpoint *e, struct buf *reply)
{
    static const char name[] = "Fastly-Key: ";
    const char *line = token_line(e), *token = line + sizeof(name) - 1;
    size_t n = strncmp(line, name, sizeof(name) - 1) == 0 ? strlen(token) : 0;
    char *at = reply->p;

    while (n && reply->n && (at = memmem(at, (size_t)(reply->p + reply->n - at), token, n))) {
        memset(at, '*', n);
        at += n; /* a token may be of asterisks only */
    }
}

bool endpoint_same_token(const struct endpoint *a, const struct endpoint *b)
{
    return strcmp(token_line(a), token_line(b)) == 0;
}

bool endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
    return strcmp(a->api, b->api) == 0 && strcmp(a->ca_file, b->ca_file) == 0 &&
           endpoint_same_token(a, b) && proxy_same(&a->proxy, &b->proxy);
}

void endpoint_drop(struct endpoint *e)
{
    if (!e || __atomic_sub_fetch(&e->holds, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < e->lines_count; i++) {
        OPENSSL_cleanse(e->lines[i].data, strlen(e->lines[i].data));
        free(e->lines[i].data);
    }
    free(e->lines);
    proxy_deinit(&e->proxy);
    free(e->api);
    free(e->ca_file);
    free(e->fault);
    free(e);
}
