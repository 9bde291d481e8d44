/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define set(easy, option, value)                                                                   \
    do {                                                                                           \
        CURLcode set_code = curl_easy_setopt((easy), (option), (value));                           \
        must(set_code == CURLE_OK);                                                                \
    } while (0)

/* Builds the header (RFC 7617) here, because CURLOPT_PROXYUSERPWD treats "%" as the start of an
 * escape. */
static struct curl_slist *auth_header(const char *auth)
{
    static const char name[] = "Proxy-Authorization: Basic ";
    size_t n = strlen(auth), room = sizeof(name) + 4 * ((n + 2) / 3);
    struct curl_slist *line = alloc_zeroed(1, sizeof(*line));

    line->data = alloc_zeroed(1, room);
    memcpy(line->data, name, sizeof(name));
    EVP_EncodeBlock((unsigned char *)line->data + sizeof(name) - 1, (const unsigned char *)auth,
                    (int)n);
    return line;
}

void proxy_init(struct proxy *p, const char *url, const char *ca_file, const char *auth)
{
    p->url = alloc_str(url);
    p->ca_file = alloc_str(ca_file);
    p->headers = *auth ? auth_header(auth) : NULL;
}

void proxy_deinit(struct proxy *p)
{
    free(p->url);
    free(p->ca_file);
    if (p->headers) {
        OPENSSL_cleanse(p->headers->data, strlen(p->headers->data));
        free(p->headers->data);
    }
    free(p->headers);
}

bool proxy_is_used(const struct proxy *p)
{
    return *p->url;
}

static const char *auth_of(const struct proxy *p)
{
    return p->headers ? p->headers->data : "";
}

bool proxy_same(const struct proxy *a, const struct proxy *b)
{
    return strcmp(a->url, b->url) == 0 && strcmp(a->ca_file, b->ca_file) == 0 &&
           strcmp(auth_of(a), auth_of(b)) == 0;
}

/* Headers for the proxy and for the API are kept separate, because the proxy must not see the
 * token. */
void proxy_apply(void *easy, const struct proxy *p)
{
    bool env = p && strcmp(p->url, "env") == 0;

    set(easy, CURLOPT_PROXY, !p ? "" : env ? NULL : p->url);
    set(easy, CURLOPT_NOPROXY, !p ? "*" : env ? NULL : "");
    set(easy, CURLOPT_HTTPPROXYTUNNEL, p ? 1L : 0L);
    set(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    set(easy, CURLOPT_PROXYHEADER, p ? p->headers : NULL);
    set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    set(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    set(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (p && *p->ca_file)
        set(easy, CURLOPT_PROXY_CAINFO, p->ca_file);
}

void proxy_explain(void *easy, const struct proxy *p, const char *curl_words, struct error *out)
{
    const char *what = strcmp(p->url, "env") == 0 ? "of the environment, if any" : p->url;
    long code = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &code);
    if (code == 407 || code == 401) /* tinyproxy answers 401 to a wrong password */
        error_set(out, -EACCES,
                  "the proxy %.60s wants a user and password that it knows (%ld): see "
                  "api_proxy_auth_file",
                  what, code);
    else if (code && code / 100 != 2)
        error_set(out, -EACCES, "the proxy %.60s refuses to connect to the API: status %ld", what,
                  code);
    else if (code)
        error_set(out, -EIO, "%s", curl_words); /* the tunnel existed: not the proxy's fault */
    else
        error_set(out, -EIO, "by the proxy %.60s: %.80s", what, curl_words);
}
