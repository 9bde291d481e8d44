/* SPDX-License-Identifier: MIT */
#include "hook_signature.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"

#define HEADER_NAME_MAX 128

/* Times above this are in milliseconds: this number is the year 5138 in seconds, but 1973 in
 * milliseconds. */
#define SECONDS_MAX UINT64_C(100000000000)

/* Removes the text before the next comma from *rest, and returns it trimmed in *pair. */
static bool next_pair(struct span *rest, struct span *pair)
{
    if (!span_next_word(rest, ',', pair))
        return false;
    *pair = span_trim(*pair);
    return true;
}

/* -- the settings -- */

enum hole { HOLE_NONE, HOLE_DIGEST, HOLE_BODY, HOLE_TIME, HOLE_METHOD, HOLE_PATH, HOLE_HEADERS };

static const struct {
    struct span text;
    enum hole hole;
} holes[] = {
    {{"{digest}", 8}, HOLE_DIGEST}, {{"{body}", 6}, HOLE_BODY}, {{"{time}", 6}, HOLE_TIME},
    {{"{method}", 8}, HOLE_METHOD}, {{"{path}", 6}, HOLE_PATH}, {{"{headers}", 9}, HOLE_HEADERS},
};

/* Removes a placeholder, or the text up to the next placeholder, from *rest. */
static enum hole next_piece(struct span *rest, struct span *piece)
{
    const char *brace;

    for (unsigned i = 0; i < array_len(holes); i++) {
        size_t n = holes[i].text.n;

        if (rest->n >= n && memcmp(rest->p, holes[i].text.p, n) == 0) {
            *piece = span_of(rest->p, n);
            *rest = span_of(rest->p + n, rest->n - n);
            return holes[i].hole;
        }
    }
    brace = memchr(rest->p + 1, '{', rest->n - 1);
    *piece = span_of(rest->p, brace ? (size_t)(brace - rest->p) : rest->n);
    *rest = span_of(rest->p + piece->n, rest->n - piece->n);
    return HOLE_NONE;
}

/* Gets the placeholders of a setting as bits (1 << hole), and the number of pieces. Negative for a
 * stray brace. */
static int holes_of(struct span text, unsigned *set, unsigned *pieces)
{
    int count = 0;
    struct span piece;
    enum hole hole;

    *set = *pieces = 0;
    while (text.n) {
        hole = next_piece(&text, &piece);
        ++*pieces;
        count += hole != HOLE_NONE;
        if (hole == HOLE_NONE && memchr(piece.p, '{', piece.n))
            return -EINVAL;
        *set |= 1u << hole;
    }
    return count;
}

/* One pair of `value`: text, a placeholder, text. */
struct pair {
    struct span before, after;
    enum hole hole;
};

static struct pair pair_of(struct span text)
{
    struct pair p = {.hole = HOLE_NONE};
    struct span piece;

    while (text.n) {
        enum hole hole = next_piece(&text, &piece);

        if (hole != HOLE_NONE)
            p.hole = hole;
        else if (p.hole == HOLE_NONE)
            p.before = piece;
        else
            p.after = piece;
    }
    return p;
}

static int check_value(const struct config_signature *s, unsigned *set, struct error *err)
{
    struct span rest = span_str(s->value), pair;
    unsigned pieces, of_pair, pairs = 0, digests = 0, bare = 0;

    *set = 0;
    while (next_pair(&rest, &pair)) {
        if (holes_of(pair, &of_pair, &pieces) != 1 ||
            of_pair & ~(1u << HOLE_DIGEST | 1u << HOLE_TIME | 1u << HOLE_NONE))
            return error_set(err, -EINVAL, "value: each part wants {digest} or {time}, once");
        pairs++;
        digests += (of_pair >> HOLE_DIGEST) & 1;
        bare += pair_of(pair).before.n == 0;
        *set |= of_pair;
    }
    if (digests != 1)
        return error_set(err, -EINVAL, "value: {digest} is not in it once");
    if (pairs > 2 || (pairs == 2 && !(*set & 1u << HOLE_TIME)))
        return error_set(err, -EINVAL, "value: {time} is in it more than once");
    if (pairs == 2 && bare)
        return error_set(err, -EINVAL, "value: both {digest} and {time} want a name before them");
    return 0;
}

static int check_signs(const struct config_signature *s, unsigned in_value, struct error *err)
{
    unsigned set, pieces;
    bool time_in_value = in_value & 1u << HOLE_TIME;
    bool timed = time_in_value || *s->time_header;
    /* The signed headers may include time_header, but not the header with the digest. */
    unsigned covered = 1u << HOLE_TIME | (time_in_value ? 0 : 1u << HOLE_HEADERS);

    if (holes_of(span_str(s->signs), &set, &pieces) < 0 || set & 1u << HOLE_DIGEST)
        return error_set(err, -EINVAL,
                         "signs: it may have {body} {time} {method} {path} {headers}");
    if (pieces > HOOK_SIGNS_MAX)
        return error_set(err, -EINVAL, "signs: more than %d parts", HOOK_SIGNS_MAX);
    if (!(set & 1u << HOLE_BODY))
        return error_set(err, -EINVAL, "signs: without {body} anything could be sent");
    if (set & 1u << HOLE_TIME && !timed)
        return error_set(err, -EINVAL, "signs: {time} is neither in value nor in a time_header");
    if (set & 1u << HOLE_HEADERS && !*s->headers_header)
        return error_set(err, -EINVAL, "headers_header: missing, and signs has {headers}");
    if (s->tolerance_s && timed && !(set & covered))
        return error_set(err, -EINVAL, "signs: without {time} an old request could be sent again");
    return 0;
}

int hook_signature_check(const struct config_signature *s, struct error *err)
{
    unsigned set;

    if (s->scheme == HOOK_UNSIGNED)
        return 0;
    if (!*s->header)
        return error_set(err, -EINVAL, "header: missing");
    if (check_value(s, &set, err) < 0)
        return -EINVAL;
    if (s->scheme != HOOK_TOKEN)
        return check_signs(s, set, err);
    if (set & 1u << HOLE_TIME)
        return error_set(err, -EINVAL, "value: a token has no {time}");
    return 0;
}

/* -- the header -- */

static bool pair_takes(const struct pair *p, struct span sent, struct span *content)
{
    size_t around = p->before.n + p->after.n;

    if (sent.n <= around || !span_eq(span_of(sent.p, p->before.n), p->before) ||
        !span_eq(span_of(sent.p + sent.n - p->after.n, p->after.n), p->after))
        return false;
    *content = span_of(sent.p + p->before.n, sent.n - around);
    return true;
}

static void take_pair(const struct config_signature *s, struct span sent,
                      struct hook_signature *out)
{
    struct span rest = span_str(s->value), form, content;

    while (next_pair(&rest, &form)) {
        struct pair p = pair_of(form);

        if (!pair_takes(&p, sent, &content))
            continue;
        if (p.hole == HOLE_TIME && !out->time.n)
            out->time = content;
        else if (p.hole == HOLE_DIGEST && out->digests_count < HOOK_DIGESTS_MAX)
            out->digests[out->digests_count++] = content;
        return;
    }
}

int hook_signature_parse(const struct config_signature *s, struct span sent,
                         struct hook_signature *out)
{
    struct hook_signature found = {.time = SPAN("")};
    struct span rest = sent, pair;
    bool timed = strstr(s->value, "{time}");

    if (s->scheme == HOOK_TOKEN) /* a token may contain commas */
        take_pair(s, span_trim(sent), &found);
    else
        while (next_pair(&rest, &pair))
            take_pair(s, pair, &found);
    if (found.digests_count == 0 || (timed && !found.time.n))
        return -EINVAL;
    *out = found;
    return 0;
}

int hook_signature_time(const struct config_signature *s, struct span time, uint64_t wall_ms,
                        struct error *err)
{
    uint64_t sent_ms, apart_ms;

    if (span_to_u64(time, &sent_ms) < 0)
        return error_set(err, -EINVAL, "%s: the time is no number", s->header);
    if (sent_ms < SECONDS_MAX)
        sent_ms *= 1000;
    apart_ms = sent_ms > wall_ms ? sent_ms - wall_ms : wall_ms - sent_ms;
    if (s->tolerance_s && apart_ms > (uint64_t)s->tolerance_s * 1000)
        return error_set(err, -EINVAL, "%s: signed %llu s %s, and only %u are allowed", s->header,
                         (unsigned long long)apart_ms / 1000,
                         sent_ms > wall_ms ? "in the future" : "ago", s->tolerance_s);
    return 0;
}

/* -- the signed bytes -- */

static int compare_names(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int c = memcmp(x->p, y->p, min_u64(x->n, y->n));

    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Gets the names in lower case, sorted and without duplicates. Their bytes are stored in `room`. */
static int sorted_names(struct span list, struct buf *room, struct span *names, size_t *count)
{
    struct span rest, name;
    size_t n = 0, kept = 0;

    if (buf_try_put(room, list) < 0)
        return -EINVAL;
    for (size_t i = 0; i < room->n; i++)
        if (room->p[i] >= 'A' && room->p[i] <= 'Z')
            room->p[i] = (char)(room->p[i] + ('a' - 'A'));
    rest = buf_span(room);
    while (next_pair(&rest, &name)) {
        if (n == HOOK_SIGNED_HEADERS || name.n == 0 || name.n > HEADER_NAME_MAX)
            return -EINVAL;
        names[n++] = name;
    }
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !span_eq(names[i], names[kept - 1]))
            names[kept++] = names[i];
    *count = kept;
    return 0;
}

static int put_header(const struct config_signature *s, const struct hook_request *r,
                      struct span name, struct buf *out, struct error *err)
{
    char text[HEADER_NAME_MAX + 1], shown[HEADER_NAME_MAX + 32];
    struct span value;

    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    if (memchr(name.p, '\0', name.n) || !hook_request_header(r, text, &value))
        return error_set(err, -EINVAL, "%s: names %s, which the request does not have",
                         s->headers_header, log_quote(shown, sizeof(shown), name.p, name.n));
    if ((out->n && buf_try_put(out, SPAN(";")) < 0) || buf_try_put(out, name) < 0 ||
        buf_try_put(out, SPAN(":")) < 0 || buf_try_put(out, span_trim(value)) < 0)
        return error_set(err, -EINVAL, "%s: the signed headers are longer than %d bytes",
                         s->headers_header, HOOK_SIGNED_MAX_BYTES);
    return 0;
}

/* Whether the names include time_header. Only then is the time covered by the signature. */
static bool covers_time(const struct config_signature *s, const struct span *names, size_t count)
{
    if (!s->tolerance_s || !*s->time_header || strstr(s->signs, "{time}"))
        return true;
    for (size_t i = 0; i < count; i++)
        if (span_eq_nocase(names[i], span_str(s->time_header)))
            return true;
    return false;
}

static int put_headers(const struct config_signature *s, const struct hook_request *r,
                       struct buf *out, struct error *err)
{
    struct span list, names[HOOK_SIGNED_HEADERS];
    struct buf room;
    size_t count = 0;
    int e = 0;

    if (!hook_request_header(r, s->headers_header, &list))
        return error_set(err, -EINVAL, "%s: missing", s->headers_header);
    buf_init(&room, HOOK_SIGNED_HEADERS * (HEADER_NAME_MAX + 1));
    if (sorted_names(list, &room, names, &count) < 0)
        e = error_set(err, -EINVAL, "%s: not a list of up to %d names of headers",
                      s->headers_header, HOOK_SIGNED_HEADERS);
    else if (!covers_time(s, names, count))
        e = error_set(err, -EINVAL, "%s: %s is not signed", s->headers_header, s->time_header);
    for (size_t i = 0; i < count && e == 0; i++)
        e = put_header(s, r, names[i], out, err);
    buf_deinit(&room);
    return e;
}

static struct span hole_content(enum hole hole, const struct hook_request *r, struct span time,
                                const struct buf *headers, struct span piece)
{
    switch (hole) {
    case HOLE_BODY:
        return r->body;
    case HOLE_TIME:
        return time;
    case HOLE_METHOD:
        return r->method;
    case HOLE_PATH:
        return r->path;
    case HOLE_HEADERS:
        return buf_span(headers);
    default:
        return piece;
    }
}

int hook_signature_text(const struct config_signature *s, const struct hook_request *r,
                        struct span time, struct hook_signed *out, struct error *err)
{
    struct span rest = span_str(s->signs), piece;
    int e = 0;

    out->parts_count = 0;
    buf_init(&out->headers, HOOK_SIGNED_MAX_BYTES);
    if (strstr(s->signs, "{headers}"))
        e = put_headers(s, r, &out->headers, err);
    while (e == 0 && rest.n && out->parts_count < HOOK_SIGNS_MAX) {
        enum hole hole = next_piece(&rest, &piece);

        out->parts[out->parts_count++] = hole_content(hole, r, time, &out->headers, piece);
    }
    if (e < 0)
        hook_signed_deinit(out);
    return e;
}

void hook_signed_deinit(struct hook_signed *t)
{
    buf_deinit(&t->headers);
    t->parts_count = 0;
}
