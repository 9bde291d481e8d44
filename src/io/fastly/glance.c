/* SPDX-License-Identifier: MIT */
#include "glance.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define CONNECT_TIMEOUT_MS 10000L

struct glancer {
    CURL *easy;
    struct curl_slist *headers;
    struct glance *now; /* what the request under way fills in */
    bool head_too_long;
    char error[CURL_ERROR_SIZE];
};

/* Called for each line. A reply that is followed by another one (100, a redirect) is forgotten. */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct glancer *g = ctx;

    if (size * n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        buf_clear(&g->now->head);
        g->now->body_bytes = 0;
    }
    g->head_too_long = buf_try_put(&g->now->head, span_of(p, size * n)) < 0;
    return g->head_too_long ? 0 : size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct glancer *g = ctx;

    (void)p;
    g->now->body_bytes += size * n;
    g->now->body_cut = g->now->body_bytes > GLANCE_BODY_MAX_BYTES;
    return g->now->body_cut ? 0 : size * n;
}

struct glancer *glancer_new(const char *url, enum glance_redirects redirects, uint32_t timeout_ms)
{
    struct glancer *g = alloc_zeroed(1, sizeof(*g));

    g->easy = curl_easy_init();
    g->headers = curl_slist_append(NULL, "Fastly-Debug: 1");
    must(g->easy && g->headers);
    curl_easy_setopt(g->easy, CURLOPT_URL, url);
    curl_easy_setopt(g->easy, CURLOPT_HTTPHEADER, g->headers);
    curl_easy_setopt(g->easy, CURLOPT_USERAGENT, "purgeline/" PURGELINE_VERSION);
    curl_easy_setopt(g->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(g->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(g->easy, CURLOPT_FOLLOWLOCATION, redirects == GLANCE_FOLLOW ? 1L : 0L);
    curl_easy_setopt(g->easy, CURLOPT_MAXREDIRS, (long)GLANCE_REDIRECTS_MAX);
    curl_easy_setopt(g->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(g->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(g->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(g->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(g->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(g->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(g->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(g->easy, CURLOPT_HEADERDATA, g);
    curl_easy_setopt(g->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(g->easy, CURLOPT_WRITEDATA, g);
    curl_easy_setopt(g->easy, CURLOPT_ERRORBUFFER, g->error);
    return g;
}

void glancer_free(struct glancer *g)
{
    if (!g)
        return;
    curl_easy_cleanup(g->easy);
    curl_slist_free_all(g->headers);
    free(g);
}

static char *text_info(CURL *easy, CURLINFO what)
{
    char *text = NULL;

    curl_easy_getinfo(easy, what, &text);
    return alloc_str(text ? text : "");
}

static void fill_in(CURL *easy, struct glance *out)
{
    char *ip = text_info(easy, CURLINFO_PRIMARY_IP);
    long status = 0, port = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port);
    out->status = (int)status;
    snprintf(out->address, sizeof(out->address), strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
    out->url = text_info(easy, CURLINFO_EFFECTIVE_URL);
    out->redirect = text_info(easy, CURLINFO_REDIRECT_URL);
    free(ip);
}

int glance(struct glancer *g, struct glance *out, struct error *err)
{
    CURLcode rc;

    *out = (struct glance){0};
    buf_init(&out->head, GLANCE_HEAD_MAX_BYTES);
    g->now = out;
    g->head_too_long = false;
    *g->error = '\0';
    rc = curl_easy_perform(g->easy);
    g->now = NULL;
    if (rc == CURLE_OK || out->body_cut) {
        fill_in(g->easy, out);
        return 0;
    }
    buf_deinit(&out->head);
    if (g->head_too_long)
        return error_set(err, -EIO, "the headers of the reply have more than %d bytes",
                         GLANCE_HEAD_MAX_BYTES);
    return error_set(err, -EIO, "%s", *g->error ? g->error : curl_easy_strerror(rc));
}

void glance_deinit(struct glance *l)
{
    buf_deinit(&l->head);
    free(l->url);
    free(l->redirect);
}
