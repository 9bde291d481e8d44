/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

void digest_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_BYTES])
{
    unsigned n = 0;

    must(EVP_Digest(bytes.p, bytes.n, out, &n, EVP_sha256(), NULL) == 1);
    must(n == DIGEST_SHA256_BYTES);
}

size_t digest_hmac(enum digest_kind kind, struct span key, const struct span *parts,
                   size_t parts_count, uint8_t out[DIGEST_MAX_BYTES])
{
    char name[] = "SHA256", older[] = "SHA1";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                            kind == DIGEST_SHA1 ? older : name, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t n = 0;

    must(key.n > 0 && ctx);
    must(EVP_MAC_init(ctx, (const unsigned char *)key.p, key.n, params) == 1);
    for (size_t i = 0; i < parts_count; i++)
        must(EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].n) == 1);
    must(EVP_MAC_final(ctx, out, &n, DIGEST_MAX_BYTES) == 1);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return n;
}

static size_t to_hex(const uint8_t *digest, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    return 2 * n;
}

static size_t to_base64(const uint8_t *digest, size_t n, char *out)
{
    int length = EVP_EncodeBlock((unsigned char *)out, digest, (int)n);

    while (length > 0 && out[length - 1] == '=')
        length--;
    return (size_t)length;
}

static void make_url_safe(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

struct span digest_text(const uint8_t *digest, size_t n, enum hook_encoding encoding,
                        char out[DIGEST_TEXT_ROOM])
{
    size_t length;

    must(n <= DIGEST_MAX_BYTES);
    length = encoding == HOOK_HEX ? to_hex(digest, n, out) : to_base64(digest, n, out);
    if (encoding == HOOK_BASE64URL)
        make_url_safe(out, length);
    out[length] = '\0';
    return span_of(out, length);
}

bool digest_same(struct span a, struct span b)
{
    return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

bool digest_same_secret(struct span a, struct span b)
{
    uint8_t of_a[DIGEST_SHA256_BYTES], of_b[DIGEST_SHA256_BYTES];

    digest_sha256(a, of_a);
    digest_sha256(b, of_b);
    return CRYPTO_memcmp(of_a, of_b, sizeof(of_a)) == 0;
}
