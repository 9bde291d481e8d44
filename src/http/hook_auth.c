/* SPDX-License-Identifier: MIT */
#include "hook_auth.h"

#include <errno.h>

#include "digest.h"
#include "hook_signature.h"

static int refuse_delivery(struct error *err, const char *setting, const char *why)
{
    return error_set(err, -EACCES, "%s: %s", setting, why);
}

/* Normalises a digest: removes the padding of Base64, makes hexadecimal lower case. A text longer
 * than any digest is returned unchanged, because it matches none. */
static struct span plain(struct span sent, enum hook_encoding encoding, char room[DIGEST_TEXT_ROOM])
{
    if (sent.n >= DIGEST_TEXT_ROOM)
        return sent;
    memcpy(room, sent.p, sent.n);
    if (encoding == HOOK_HEX) {
        for (size_t i = 0; i < sent.n; i++)
            if (room[i] >= 'A' && room[i] <= 'F')
                room[i] = (char)(room[i] + ('a' - 'A'));
    } else {
        for (int i = 0; i < 2 && sent.n && room[sent.n - 1] == '='; i++)
            sent.n--;
    }
    return span_of(room, sent.n);
}

static int check_digest(const struct config_signature *s, struct span secret,
                        const struct hook_signed *text, const struct hook_signature *sent,
                        struct error *err)
{
    enum digest_kind kind = s->scheme == HOOK_HMAC_SHA1 ? DIGEST_SHA1 : DIGEST_SHA256;
    char ours_room[DIGEST_TEXT_ROOM], theirs_room[DIGEST_TEXT_ROOM];
    uint8_t digest[DIGEST_MAX_BYTES];
    size_t n = digest_hmac(kind, secret, text->parts, text->parts_count, digest);
    struct span ours = digest_text(digest, n, s->encoding, ours_room);
    bool same = false;

    for (uint32_t i = 0; i < sent->digests_count; i++)
        same |= digest_same(ours, plain(sent->digests[i], s->encoding, theirs_room));
    return same ? 0 : refuse_delivery(err, s->header, "the signature does not match");
}

static int find_time(const struct config_signature *s, const struct hook_request *request,
                     uint64_t wall_ms, struct span *time, struct error *err)
{
    if (!time->n && !*s->time_header)
        return 0;
    if (!time->n && !hook_request_header(request, s->time_header, time))
        return refuse_delivery(err, s->time_header, "missing");
    return hook_signature_time(s, *time, wall_ms, err) < 0 ? -EACCES : 0;
}

static int check_hmac(const struct config_signature *s, struct span secret,
                      const struct hook_request *request, struct hook_signature *sent,
                      uint64_t wall_ms, struct error *err)
{
    struct hook_signed text;
    int e = find_time(s, request, wall_ms, &sent->time, err);

    if (e < 0)
        return e;
    if (hook_signature_text(s, request, sent->time, &text, err) < 0)
        return -EACCES;
    e = check_digest(s, secret, &text, sent, err);
    hook_signed_deinit(&text);
    return e;
}

int hook_auth_check(const struct config_signature *s, struct span secret,
                    const struct hook_request *request, uint64_t wall_ms, struct error *err)
{
    struct hook_signature sent;
    struct span value;

    if (s->scheme == HOOK_UNSIGNED)
        return 0;
    if (secret.n == 0)
        return refuse_delivery(err, "secret", "the hook's secret is empty");
    if (!hook_request_header(request, s->header, &value))
        return refuse_delivery(err, s->header, "missing");
    if (hook_signature_parse(s, value, &sent) < 0)
        return refuse_delivery(err, s->header, "does not have the configured format");
    if (s->scheme == HOOK_TOKEN)
        return digest_same_secret(sent.digests[0], secret)
                   ? 0
                   : refuse_delivery(err, s->header, "wrong token");
    return check_hmac(s, secret, request, &sent, wall_ms, err);
}
