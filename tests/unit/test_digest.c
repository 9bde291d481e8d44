/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "digest.h"

static const char *hex(const uint8_t *digest, size_t n)
{
    static char text[DIGEST_TEXT_ROOM];

    return digest_text(digest, n, HOOK_HEX, text).p;
}

static const char *hmac(enum digest_kind kind, const char *key, size_t key_bytes, const char *text)
{
    uint8_t digest[DIGEST_MAX_BYTES];
    struct span part = span_str(text);
    size_t n = digest_hmac(kind, span_of(key, key_bytes), &part, 1, digest);

    return hex(digest, n);
}

/* Examples from NIST for FIPS 180-4. */
static void sha256_is_that_of_the_standard(void **state)
{
    uint8_t digest[DIGEST_SHA256_BYTES];

    digest_sha256(SPAN("abc"), digest);
    assert_string_equal(hex(digest, sizeof(digest)),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_sha256(SPAN(""), digest);
    assert_string_equal(hex(digest, sizeof(digest)),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    (void)state;
}

/* Test cases from RFC 4231 sections 4.2, 4.3 and 4.7, and RFC 2202 section 3, test case 2. */
static void hmac_is_that_of_the_standard(void **state)
{
    char key[131];

    memset(key, 0x0b, 20);
    assert_string_equal(hmac(DIGEST_SHA256, key, 20, "Hi There"),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_string_equal(hmac(DIGEST_SHA256, "Jefe", 4, "what do ya want for nothing?"),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    assert_string_equal(hmac(DIGEST_SHA256, key, sizeof(key),
                             "Test Using Larger Than Block-Size Key - Hash Key First"),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_string_equal(hmac(DIGEST_SHA1, "Jefe", 4, "what do ya want for nothing?"),
                        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    (void)state;
}

static void parts_are_digested_as_if_they_were_one(void **state)
{
    struct span parts[] = {SPAN("what do "), SPAN(""), SPAN("ya want"), SPAN(" for nothing?")};
    uint8_t digest[DIGEST_MAX_BYTES];
    size_t n = digest_hmac(DIGEST_SHA256, SPAN("Jefe"), parts, array_len(parts), digest);

    assert_string_equal(hex(digest, n),
                        hmac(DIGEST_SHA256, "Jefe", 4, "what do ya want for nothing?"));
    (void)state;
}

static void base64_has_no_padding_and_a_form_for_urls(void **state)
{
    static const uint8_t bytes[] = {0xfb, 0xff, 0xbf, 0x01};
    char text[DIGEST_TEXT_ROOM];

    assert_string_equal(digest_text(bytes, 4, HOOK_BASE64, text).p, "+/+/AQ");
    assert_string_equal(digest_text(bytes, 4, HOOK_BASE64URL, text).p, "-_-_AQ");
    assert_string_equal(digest_text(bytes, 3, HOOK_BASE64, text).p, "+/+/");
    assert_int_equal(digest_text(bytes, 0, HOOK_BASE64, text).n, 0);
    (void)state;
}

static void same_means_every_byte_and_the_length(void **state)
{
    char long_one[100] = {0}, other[100] = {0};

    assert_true(digest_same(SPAN("abc"), SPAN("abc")));
    assert_false(digest_same(SPAN("abc"), SPAN("abd")));
    assert_false(digest_same(SPAN("abc"), SPAN("abcd")));
    assert_true(digest_same(SPAN(""), SPAN("")));
    for (size_t i = 0; i < sizeof(other); i++) {
        other[i] = 1;
        assert_false(digest_same(span_of(long_one, 100), span_of(other, 100)));
        assert_false(digest_same_secret(span_of(long_one, 100), span_of(other, 100)));
        other[i] = 0;
    }
    assert_true(digest_same_secret(span_of(long_one, 100), span_of(other, 100)));
    assert_false(digest_same_secret(span_of(long_one, 100), span_of(other, 99)));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_that_of_the_standard),
        cmocka_unit_test(hmac_is_that_of_the_standard),
        cmocka_unit_test(parts_are_digested_as_if_they_were_one),
        cmocka_unit_test(base64_has_no_padding_and_a_form_for_urls),
        cmocka_unit_test(same_means_every_byte_and_the_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
