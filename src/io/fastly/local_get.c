/* SPDX-License-Identifier: MIT */
#include "local_get.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting.h"

struct local_place {
    char *url;
    char *socket; /* NULL: a TCP port */
};

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    return buf_try_put(ctx, span_of(p, size * n)) < 0 ? 0 : size * n;
}

/* Nobody can connect to a wildcard address, so loopback stands for it. */
static struct span reachable(struct span host)
{
    if (span_eq(host, SPAN("0.0.0.0")))
        return SPAN("127.0.0.1");
    return span_eq(host, SPAN("[::]")) ? SPAN("[::1]") : host;
}

static int find_place(const struct config *c, const char *path, struct local_place *out,
                      struct error *err)
{
    struct span rest = span_str(c->listen), one, host;
    const char *colon;

    *out = (struct local_place){0};
    if (!setting_listen_next(&rest, &one))
        return error_set(err, -EINVAL, "listen is empty");
    if (setting_listen_is_unix(one)) {
        size_t skip = strlen(SETTING_UNIX);

        out->socket = alloc_printf("%.*s", (int)(one.n - skip), one.p + skip);
        out->url = alloc_printf("http://localhost%s", path); /* sockets never speak TLS */
        return 0;
    }
    colon = memrchr(one.p, ':', one.n);
    must(colon != NULL); /* setting_form.c has checked it */
    host = reachable(span_of(one.p, (size_t)(colon - one.p)));
    one = span_of(colon + 1, one.n - (size_t)(colon + 1 - one.p));
    if (span_eq(one, SPAN("0")))
        return error_set(err, -EINVAL, "listen has port 0, so the port is not known");
    out->url = alloc_printf("http%s://%.*s:%.*s%s", *c->http.tls_cert_file ? "s" : "", (int)host.n,
                            host.p, (int)one.n, one.p, path);
    return 0;
}

static void set_up(CURL *easy, const struct local_place *place, uint64_t timeout_ms,
                   struct buf *body, char *curl_error)
{
    curl_easy_setopt(easy, CURLOPT_URL, place->url);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, place->socket);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "purgeline/" PURGELINE_VERSION);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
}

int local_get(const struct config *c, const char *path, uint64_t timeout_ms, int *status,
              struct buf *body, struct error *err)
{
    char curl_error[CURL_ERROR_SIZE] = "";
    struct local_place place;
    CURL *easy;
    CURLcode rc;
    long code = 0;
    int wrong = find_place(c, path, &place, err);

    if (wrong < 0)
        return wrong;
    easy = curl_easy_init();
    must(easy != NULL);
    buf_clear(body);
    set_up(easy, &place, timeout_ms, body, curl_error);
    rc = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    if (rc == CURLE_OK)
        *status = (int)code;
    else
        error_set(err, -EIO, "%s: %s", place.socket ? place.socket : place.url,
                  *curl_error ? curl_error : curl_easy_strerror(rc));
    curl_easy_cleanup(easy);
    free(place.url);
    free(place.socket);
    return rc == CURLE_OK ? 0 : -EIO;
}
