/* SPDX-License-Identifier: MIT
 * Checks what HTTP forbids in a head but libmicrohttpd accepts (0.9.75 accepts much of it, 1.0
 * little): everything that two readers could interpret as different requests. RFC 9110 section 5,
 * RFC 9112 sections 5 and 6. */
#include <string.h>
#include <strings.h>

#include "httpd_internal.h"

/* The first version of libmicrohttpd that parses heads strictly. */
#define STRICT_VERSION "0.9.77"

bool httpd_is_lenient(void)
{
    return strverscmp(MHD_get_version(), STRICT_VERSION) < 0;
}

/* Cuts off the query before libmicrohttpd parses it. Every parameter takes memory in the
 * connection's pool, 72 bytes for "a&", so a URL of 4 KiB could use up 64 KiB. If the pool is full,
 * a newer libmicrohttpd answers 431; an old one answers with an error, continues to read and
 * answers again, and then spins or uses freed memory. `uri` is libmicrohttpd's own buffer, which it
 * parses next. */
void httpd_head_hide_query(const char *uri)
{
    char *mark = strchr((char *)uri, '?');

    if (mark)
        mark[1] = '\0';
}

/* Each part that libmicrohttpd passes on lies in its buffer as it was received, after the head.
 * Bytes directly before the part are the line with the chunk's size, and before that the end of the
 * previous chunk. An old libmicrohttpd accepts a lone LF as the end of these lines; 1.0 treats the
 * LF after a chunk extension as the first byte of the chunk. */
bool httpd_head_is_chunk_sound(const struct visit *v, const char *part)
{
    const char *begin = v->method + v->head_bytes;

    if (!v->chunked || part < begin + 2 || part > begin + POOL_BYTES)
        return true;
    if (part[-2] != '\r' || part[-1] != '\n')
        return false;
    for (part -= 2; part > begin && part[-1] != '\n';)
        part--;
    return part < begin + 2 || part[-2] == '\r';
}

struct head_scan {
    unsigned lengths, codings, hosts;
    bool chunked;
    const char *flaw;
};

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((p[i] < '0' || p[i] > '9') && (p[i] < 'A' || p[i] > 'Z') &&
            (p[i] < 'a' || p[i] > 'z') && (!p[i] || !strchr("!#$%&'*+-.^_`|~", p[i])))
            return false;
    return n > 0;
}

static bool has_control(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return true;
    return false;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t n,
                                 const char *value, size_t value_bytes)
{
    struct head_scan *l = cls;

    (void)kind;
    if (!is_token(name, n))
        l->flaw = "invalid header name";
    else if (value && has_control(value, value_bytes))
        l->flaw = "a header contains a control character";
    else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
        l->lengths++;
    else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0)
        l->hosts++;
    else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        l->codings++;
        l->chunked = value && strcasecmp(value, "chunked") == 0;
    }
    return l->flaw ? MHD_NO : MHD_YES;
}

static const char *framing_flaw(const struct head_scan *l, const char *version)
{
    if (l->hosts > 1)
        return "more than one Host header";
    if (l->lengths > 1)
        return "more than one Content-Length header";
    if (l->codings > 1 || (l->codings && !l->chunked))
        return "the only supported transfer coding is chunked";
    if (l->codings && l->lengths)
        return "both Content-Length and Transfer-Encoding are present";
    if (l->codings && strcmp(version, "HTTP/1.0") == 0)
        return "HTTP/1.0 has no transfer codings";
    return NULL;
}

/* Finds what an old libmicrohttpd accepts: a lone LF as the end of a line, folded lines, and a NUL
 * in a name or value, which it cuts there. The head is still in the buffer, with a NUL in place of
 * every CR, LF and colon (and of more in the target), so each line must be name NUL value NUL
 * NUL. */
static bool is_sound_as_read(const char *head, size_t n, const struct visit *v, const char *version)
{
    const char *p = head + strlen(head) + 1 + v->target_bytes + 1, *end = head + n;

    if (p != version)
        return false;
    p += strlen(version);
    while (end - p > 4 && !p[0] && !p[1]) {
        p += 2;
        p += strnlen(p, (size_t)(end - p));
        if (p == end)
            return false;
        p++;
        p += strnlen(p, (size_t)(end - p));
    }
    return end - p == 4 && !p[0] && !p[1] && !p[2] && !p[3];
}

const char *httpd_head_flaw(const struct visit *v, const char *method, const char *version)
{
    struct head_scan l = {0};

    if (!is_token(method, strlen(method)))
        return "invalid method";
    if (has_control(v->target, v->target_bytes) || memchr(v->target, '\t', v->target_bytes))
        return "the request target contains a control character";
    if (httpd_is_lenient() && !is_sound_as_read(method, v->head_bytes, v, version))
        return "a line of the head does not end with CRLF, or contains a NUL";
    MHD_get_connection_values_n(v->mhd, MHD_HEADER_KIND, on_header, &l);
    return l.flaw ? l.flaw : framing_flaw(&l, version);
}
