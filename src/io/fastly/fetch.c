/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "fastly.h"
#include "proxy.h"

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    return buf_try_put(ctx, span_of(p, size * n)) < 0 ? 0 : size * n;
}

static struct curl_slist *headers_of(const char *token)
{
    char *key = token ? alloc_printf("Fastly-Key: %s", token) : NULL;
    struct curl_slist *list = key ? curl_slist_append(NULL, key) : NULL;

    if (!key)
        return NULL;
    explicit_bzero(key, strlen(key));
    free(key);
    must(list != NULL);
    return list;
}

static void wipe(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

static void set_up(CURL *easy, const struct config_account *a, const char *url,
                   struct curl_slist *headers, struct buf *body, char *curl_error)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "purgeline/" PURGELINE_VERSION);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)a->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
    if (*a->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, a->ca_file);
}

static void explain(CURL *easy, const struct proxy *p, const char *words, struct error *err)
{
    if (proxy_is_used(p))
        proxy_explain(easy, p, words, err);
    else
        error_set(err, -EIO, "%s", words);
}

static struct span header_of(CURL *easy, const char *name)
{
    struct curl_header *h;

    return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? span_str(h->value)
                                                                              : SPAN("");
}

static void take_answer(CURL *easy, struct fetch_answer *out)
{
    struct fastly_reply reply = {.retry_after = header_of(easy, "Retry-After")};
    long code = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    reply.status = (int)code;
    *out = (struct fetch_answer){.status = reply.status};
    if (code != 429)
        return;
    reply.rate_remaining = header_of(easy, "Fastly-RateLimit-Remaining");
    reply.rate_reset = header_of(easy, "Fastly-RateLimit-Reset");
    out->wait_ms = fastly_wait_hint(&reply, clock_wall_ms());
}

int fetch(const struct config_account *a, const struct fetch_secrets *s, const char *path,
          struct buf *body, struct fetch_answer *answer, struct error *err)
{
    struct curl_slist *headers = headers_of(s->token);
    struct proxy proxy;
    char *url = alloc_printf("%s%s", a->api, path), curl_error[CURL_ERROR_SIZE] = "";
    CURL *easy = curl_easy_init();
    CURLcode rc;

    must(easy != NULL);
    buf_clear(body);
    set_up(easy, a, url, headers, body, curl_error);
    proxy_init(&proxy, a->api_proxy, a->api_proxy_ca_file, s->proxy_auth);
    proxy_apply(easy, proxy_is_used(&proxy) ? &proxy : NULL);
    rc = curl_easy_perform(easy);
    if (rc == CURLE_OK)
        take_answer(easy, answer);
    else if (rc == CURLE_WRITE_ERROR)
        error_set(err, -EIO, "the answer has more than %zu bytes", body->max);
    else
        explain(easy, &proxy, *curl_error ? curl_error : curl_easy_strerror(rc), err);
    curl_easy_cleanup(easy);
    proxy_deinit(&proxy);
    wipe(headers);
    free(url);
    return rc == CURLE_OK ? 0 : -EIO;
}
