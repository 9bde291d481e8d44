/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "digest.h"
#include "hook_auth.h"
#include "hook_signature.h"

#define SECRET "s3cret, with a comma"
#define WALL_MS UINT64_C(1756794994000)
#define NOW_S "1756794994"
#define NOW_MS "1756794994000"
#define BODY "{\"id\":1}"

static struct config_signature config;
static struct error err;

/* The request's headers: name, value, name, value ... */
static const char *headers[16];

static bool find_header(void *context, const char *name, struct span *value)
{
    for (unsigned i = 0; i + 1 < array_len(headers) && headers[i]; i += 2) {
        if (!span_eq_nocase(span_str(headers[i]), span_str(name)))
            continue;
        *value = span_str(headers[i + 1]);
        return true;
    }
    (void)context;
    return false;
}

static int set_up(void **state)
{
    static char header[] = "x-signature", value[] = "{digest}", signs[] = "{body}", none[] = "";

    config = (struct config_signature){.header = header,
                                       .value = value,
                                       .signs = signs,
                                       .time_header = none,
                                       .headers_header = none,
                                       .tolerance_s = 300};
    memset(headers, 0, sizeof(headers));
    (void)state;
    return 0;
}

/* The digest of the text, computed with OpenSSL, in the configured encoding. */
static const char *sign(const char *text)
{
    static char out[DIGEST_TEXT_ROOM];
    enum digest_kind kind = config.scheme == HOOK_HMAC_SHA1 ? DIGEST_SHA1 : DIGEST_SHA256;
    uint8_t digest[DIGEST_MAX_BYTES];
    struct span part = span_str(text);
    size_t n = digest_hmac(kind, SPAN(SECRET), &part, 1, digest);

    return digest_text(digest, n, config.encoding, out).p;
}

static int check_body(const char *body)
{
    struct hook_request request = {SPAN("POST"), SPAN("/hooks/cms"), span_str(body), find_header,
                                   NULL};

    *err.text = '\0';
    if (hook_signature_check(&config, &err) < 0)
        fail_msg("%s", err.text);
    return hook_auth_check(&config, SPAN(SECRET), &request, WALL_MS, &err);
}

/* `form` with its star replaced by the digest. */
static const char *filled(const char *form, const char *digest)
{
    static char value[512];
    const char *star = strchr(form, '*');

    assert_non_null(star);
    snprintf(value, sizeof(value), "%.*s%s%s", (int)(star - form), form, digest, star + 1);
    return value;
}

static void lets_in(const char *form, const char *digest)
{
    const char *value = filled(form, digest);

    headers[0] = config.header;
    headers[1] = value;
    if (check_body(BODY) < 0)
        fail_msg("%s: %s", value, err.text);
    assert_int_equal(check_body("{\"id\":2}"), -EACCES);
}

static void keeps_out(const char *form, const char *digest, const char *about)
{
    const char *value = filled(form, digest);

    headers[0] = config.header;
    headers[1] = value;
    if (check_body(BODY) != -EACCES || !strstr(err.text, about))
        fail_msg("%s: \"%s\" says nothing of \"%s\"", value, err.text, about);
    assert_null(strstr(err.text, SECRET));
}

static void a_digest_of_the_body_lets_in(void **state)
{
    lets_in("*", sign(BODY));
    lets_in(" * ", sign(BODY));
    config.value = (char[]){"sha256={digest}"};
    lets_in("sha256=*", sign(BODY));
    keeps_out("*", sign(BODY), "does not have the configured");
    keeps_out("sha1=*", sign(BODY), "does not have the configured");
    keeps_out("sha256=*", "", "does not have the configured");
    keeps_out("sha256=*", "00", "does not match");
    keeps_out("*", "", "does not have the configured");
    (void)state;
}

static void every_bit_of_the_digest_counts(void **state)
{
    char digest[DIGEST_TEXT_ROOM];

    strcpy(digest, sign(BODY));
    for (size_t i = 0; digest[i]; i++) {
        digest[i] ^= 1;
        keeps_out("*", digest, "does not match");
        digest[i] ^= 1;
    }
    digest[63] = '\0';
    keeps_out("*", digest, "does not match");
    keeps_out("*0", sign(BODY), "does not match");
    (void)state;
}

static void digests_come_in_three_encodings(void **state)
{
    char upper[DIGEST_TEXT_ROOM];

    strcpy(upper, sign(BODY));
    for (char *c = upper; *c; c++)
        *c = *c >= 'a' ? (char)(*c - 32) : *c;
    lets_in("*", upper);
    config.encoding = HOOK_BASE64;
    lets_in("*=", sign(BODY));
    lets_in("*", sign(BODY));
    keeps_out("*", upper, "does not match");
    config.encoding = HOOK_BASE64URL;
    lets_in("*", sign(BODY));
    config.scheme = HOOK_HMAC_SHA1;
    lets_in("*=", sign(BODY));
    (void)state;
}

static void sha1_is_not_taken_for_sha256(void **state)
{
    const char *digest;

    config.scheme = HOOK_HMAC_SHA1;
    digest = sign(BODY);
    lets_in("*", digest);
    config.scheme = HOOK_HMAC_SHA256;
    keeps_out("*", digest, "does not match");
    (void)state;
}

static void a_header_that_is_missing_keeps_out(void **state)
{
    assert_int_equal(check_body(BODY), -EACCES);
    assert_string_equal(err.text, "x-signature: missing");
    (void)state;
}

static void an_empty_secret_keeps_out(void **state)
{
    struct hook_request request = {SPAN("POST"), SPAN("/"), SPAN(""), find_header, NULL};

    headers[0] = config.header;
    headers[1] = "";
    config.scheme = HOOK_TOKEN;
    assert_int_equal(hook_auth_check(&config, SPAN(""), &request, WALL_MS, &err), -EACCES);
    assert_string_equal(err.text, "secret: the hook's secret is empty");
    (void)state;
}

static void pairs_may_come_in_any_order(void **state)
{
    config.value = (char[]){"sha256={digest}, t={time}"};
    config.signs = (char[]){"{time}.{body}"};
    lets_in("sha256=*, t=" NOW_S, sign(NOW_S "." BODY));
    lets_in("t=" NOW_S ",sha256=*", sign(NOW_S "." BODY));
    lets_in("t=" NOW_S " ,\tsha256=*", sign(NOW_S "." BODY));
    lets_in("v0=old,t=" NOW_S ",sha256=*,x=", sign(NOW_S "." BODY));
    keeps_out("sha256=*", sign(NOW_S "." BODY), "does not have the configured");
    keeps_out("t=" NOW_S ",sha1=*", sign(NOW_S "." BODY), "does not have the configured");
    keeps_out("t=1756794995,sha256=*", sign(NOW_S "." BODY), "does not match");
    (void)state;
}

static void one_of_several_digests_suffices(void **state)
{
    config.value = (char[]){"t={time},v1={digest}"};
    config.signs = (char[]){"{time}.{body}"};
    lets_in("t=" NOW_S ",v1=00,v1=*", sign(NOW_S "." BODY));
    lets_in("t=" NOW_S ",v1=*,v1=00", sign(NOW_S "." BODY));
    keeps_out("t=" NOW_S ",v1=1,v1=2,v1=3,v1=4,v1=*", sign(NOW_S "." BODY), "does not match");
    (void)state;
}

static void at(const char *time, const char *wanted)
{
    char text[128], form[64];

    snprintf(text, sizeof(text), "%s.%s", time, BODY);
    snprintf(form, sizeof(form), "t=%s,v1=*", time);
    if (wanted)
        keeps_out(form, sign(text), wanted);
    else
        lets_in(form, sign(text));
}

static void an_old_or_a_coming_time_keeps_out(void **state)
{
    config.value = (char[]){"t={time},v1={digest}"};
    config.signs = (char[]){"{time}.{body}"};
    at("1756794694", NULL);
    at("1756794693", "signed 301 s ago, and only 300 are allowed");
    at("1756795294", NULL);
    at("1756795295", "signed 301 s in the future");
    at("1756794694000", NULL);
    at("1756794693999", "ago");
    at("1756795294000", NULL);
    at("1756795294001", "in the future");
    at("99999999999", "in the future");
    at("18446744073709551615", "in the future");
    at("18446744073709551616", "no number");
    at("2025-09-02", "no number");
    config.tolerance_s = 0;
    at("1", NULL);
    at("now", "no number");
    (void)state;
}

static void the_time_may_have_its_own_header(void **state)
{
    config.time_header = (char[]){"x-time"};
    config.signs = (char[]){"v0:{time}:{body}"};
    headers[2] = "X-Time";
    headers[3] = NOW_S;
    lets_in("*", sign("v0:" NOW_S ":" BODY));
    headers[3] = "1756794600";
    keeps_out("*", sign("v0:1756794600:" BODY), "ago");
    headers[3] = "";
    keeps_out("*", sign("v0::" BODY), "no number");
    headers[2] = NULL;
    keeps_out("*", sign("v0::" BODY), "x-time: missing");
    (void)state;
}

static void be_contentful(void)
{
    static char signs[] = "{method}\n{path}\n{headers}\n{body}";
    static char time_header[] = "x-time", headers_header[] = "x-signed";

    config.signs = signs;
    config.time_header = time_header;
    config.headers_header = headers_header;
    headers[2] = "X-Time";
    headers[3] = NOW_MS;
    headers[4] = "X-Signed";
    headers[5] = "x-signed,x-time";
    headers[6] = "Content-Type";
    headers[7] = " text/json ";
}

static void a_canonical_request_covers_method_path_and_headers(void **state)
{
    be_contentful();
    lets_in("*", sign("POST\n/hooks/cms\nx-signed:x-signed,x-time;x-time:" NOW_MS "\n" BODY));
    headers[5] = "X-Time, x-signed ,Content-TYPE,x-time";
    lets_in("*", sign("POST\n/hooks/cms\ncontent-type:text/json;"
                      "x-signed:X-Time, x-signed ,Content-TYPE,x-time;x-time:" NOW_MS "\n" BODY));
    headers[7] = "text/xml";
    keeps_out("*",
              sign("POST\n/hooks/cms\ncontent-type:text/json;"
                   "x-signed:X-Time, x-signed ,Content-TYPE,x-time;x-time:" NOW_MS "\n" BODY),
              "does not match");
    (void)state;
}

static void a_time_that_is_not_among_the_signed_headers_is_worth_nothing(void **state)
{
    be_contentful();
    headers[5] = "x-signed";
    keeps_out("*", sign("POST\n/hooks/cms\nx-signed:x-signed\n" BODY), "x-time is not signed");
    (void)state;
}

static void signed_headers_must_be_there_and_few(void **state)
{
    char many[1024] = "x-time";

    be_contentful();
    headers[5] = "x-time,x-none";
    keeps_out("*", "00", "names x-none, which the request does not have");
    headers[5] = "x-time,,x-none";
    keeps_out("*", "00", "x-none");
    headers[5] = "x-time, ,x-signed";
    keeps_out("*", "00", "not a list");
    for (int i = 1; i < 64; i++)
        strcat(many, ",x-time");
    headers[5] = many;
    keeps_out("*", "00", "does not match");
    strcat(many, ",x-time");
    keeps_out("*", "00", "not a list");
    headers[4] = NULL;
    keeps_out("*", "00", "x-signed: missing");
    (void)state;
}

static void a_token_is_the_secret_itself(void **state)
{
    config.scheme = HOOK_TOKEN;
    config.value = (char[]){"Bearer {digest}"};
    headers[0] = config.header;
    headers[1] = "Bearer " SECRET;
    assert_int_equal(check_body(BODY), 0);
    keeps_out("Bearer *", SECRET "x", "wrong token");
    keeps_out("Bearer *", "s3cret", "wrong token");
    keeps_out("*", SECRET, "does not have the configured");
    keeps_out("Bearer *", "", "does not have the configured");
    (void)state;
}

static void unsigned_means_everybody(void **state)
{
    config.scheme = HOOK_UNSIGNED;
    assert_int_equal(check_body(BODY), 0);
    (void)state;
}

static void refuses(char *value, char *signs, const char *about)
{
    config.value = value;
    config.signs = signs;
    if (hook_signature_check(&config, &err) != -EINVAL || !strstr(err.text, about))
        fail_msg("%s, %s: \"%s\" says nothing of \"%s\"", value, signs, err.text, about);
}

static void a_signature_that_protects_nothing_is_refused(void **state)
{
    static char digest[] = "{digest}", timed[] = "t={time},v1={digest}", body[] = "{body}";

    refuses((char[]){""}, body, "value: {digest}");
    refuses((char[]){"sha256="}, body, "value: each part");
    refuses((char[]){"{digest}{digest}"}, body, "value: each part");
    refuses((char[]){"{body}"}, body, "value: each part");
    refuses((char[]){"{dijest}"}, body, "value: each part");
    refuses((char[]){"a={digest},b={digest}"}, body, "value: {digest}");
    refuses((char[]){"a={digest},b={time},c={time}"}, body, "more than once");
    refuses((char[]){"{digest},t={time}"}, body, "want a name");
    refuses(digest, (char[]){""}, "signs: without {body}");
    refuses(digest, (char[]){"{method}{path}"}, "signs: without {body}");
    refuses(digest, (char[]){"{digest}{body}"}, "signs: it may have");
    refuses(digest, (char[]){"{body}{bodies}"}, "signs: it may have");
    refuses(digest, (char[]){"{time}{body}"}, "neither in value");
    refuses(digest, (char[]){"{headers}{body}"}, "headers_header: missing");
    refuses(timed, body, "without {time}");
    config.headers_header = (char[]){"x-signed"};
    refuses(timed, (char[]){"{headers}{body}"}, "without {time}");
    config.time_header = (char[]){"x-time"};
    refuses(digest, body, "without {time}");
    refuses(timed, (char[]){"{headers}{body}"}, "without {time}");
    config.time_header = config.headers_header = (char[]){""};
    refuses(digest, (char[]){"{body}.{body}.{body}.{body}.{body}.{body}.{body}.{body}.{body}"},
            "more than 16");
    config.scheme = HOOK_TOKEN;
    refuses(timed, body, "a token has no {time}");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_digest_of_the_body_lets_in, set_up),
        cmocka_unit_test_setup(every_bit_of_the_digest_counts, set_up),
        cmocka_unit_test_setup(digests_come_in_three_encodings, set_up),
        cmocka_unit_test_setup(sha1_is_not_taken_for_sha256, set_up),
        cmocka_unit_test_setup(a_header_that_is_missing_keeps_out, set_up),
        cmocka_unit_test_setup(an_empty_secret_keeps_out, set_up),
        cmocka_unit_test_setup(pairs_may_come_in_any_order, set_up),
        cmocka_unit_test_setup(one_of_several_digests_suffices, set_up),
        cmocka_unit_test_setup(an_old_or_a_coming_time_keeps_out, set_up),
        cmocka_unit_test_setup(the_time_may_have_its_own_header, set_up),
        cmocka_unit_test_setup(a_canonical_request_covers_method_path_and_headers, set_up),
        cmocka_unit_test_setup(a_time_that_is_not_among_the_signed_headers_is_worth_nothing,
                               set_up),
        cmocka_unit_test_setup(signed_headers_must_be_there_and_few, set_up),
        cmocka_unit_test_setup(a_token_is_the_secret_itself, set_up),
        cmocka_unit_test_setup(unsigned_means_everybody, set_up),
        cmocka_unit_test_setup(a_signature_that_protects_nothing_is_refused, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
