/* SPDX-License-Identifier: MIT
 * Two URLs, one per line. If a URL is accepted, it has a valid host and is sent unchanged; two URLs
 * for the same target have the same hash. */
#include "fastly_buffers.h"
#include "fuzz.h"
#include "target.h"

static const char *why;

static bool ends_with(struct span s, struct span end)
{
    return s.n >= end.n && span_eq(span_of(s.p + s.n - end.n, end.n), end);
}

static void check_host(struct span host)
{
    must(host.n >= 1 && host.n <= HOST_MAX_BYTES + 6);
    for (size_t i = 0; i < host.n; i++)
        must(host.p[i] > 0x20 && host.p[i] < 0x7f && !strchr("/?#@\\%", host.p[i]));
    must(host.p[0] != '.');
}

static void check_request(struct span url, enum url_mode mode)
{
    struct fastly_ask ask = {
        .kind = TARGET_URL, .url_mode = mode, .targets = &url, .targets_count = 1};
    struct fastly_request r;

    fastly_request_init(&r);
    fastly_request_build(&r, "https://api.fastly.com", &ask);
    must(ends_with(buf_span(&r.url), url));
    must(span_starts_nocase(buf_span(&r.url), "http"));
    fastly_request_deinit(&r);
}

/* The same URL with the other scheme is the same target. */
static void check_scheme(struct span url, struct span host, struct span rest)
{
    struct buf other;

    buf_init(&other, 2 * URL_MAX_BYTES);
    buf_put(&other, SPAN("http://"));
    buf_put(&other, host);
    buf_put(&other, rest);
    must(target_same(TARGET_URL, url, buf_span(&other)));
    must(target_hash(TARGET_URL, 0, url) == target_hash(TARGET_URL, 1, buf_span(&other)));
    buf_deinit(&other);
}

static bool check_one(struct span url)
{
    struct span host, rest;

    why = NULL;
    if (url_check(url, &why) < 0) {
        must(why && *why);
        return false;
    }
    url_split(url, &host, &rest);
    must(host.p + host.n == rest.p && rest.p + rest.n == url.p + url.n);
    must(rest.n == 0 || rest.p[0] == '/' || rest.p[0] == '?');
    check_host(host);
    check_request(url, URL_MODE_API);
    check_request(url, URL_MODE_DIRECT);
    check_scheme(url, host, rest);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size);
    struct span a = fuzz_line(&rest), b = rest;
    bool good_a = check_one(a), good_b = check_one(b), same;

    if (key_check(a, &why) == 0)
        must(a.n >= 1 && a.n <= KEY_MAX_BYTES);
    if (!good_a || !good_b)
        return 0;
    same = target_same(TARGET_URL, a, b);
    must(same == target_same(TARGET_URL, b, a));
    must(!same || target_hash(TARGET_URL, 0, a) == target_hash(TARGET_URL, 0, b));
    return 0;
}
