/* SPDX-License-Identifier: MIT
 * Checks JSON before it is parsed, because jansson parses nested values by recursion, allocates a
 * table for each empty object and keeps the whole document in memory: three bytes from a client can
 * take three hundred. */
#include <stdint.h>

#include "http_internal.h"

/* Approximately what jansson allocates on 64-bit machines for an object with its first table, for
 * an array, and for any other value, including its entry in the array or object. */
#define OBJECT_BYTES 320u
#define ARRAY_BYTES 120u
#define VALUE_BYTES 80u
/* Jansson's buffer for the text that it is reading has up to twice its length. */
#define TOKEN_FACTOR 2u
#define FREE_BYTES ((size_t)4 * 1024 * 1024)

/* Returns the index after the closing quote of the text that begins at `i`. */
static size_t skip_text(struct span s, size_t i)
{
    while (i < s.n && s.p[i] != '"')
        i += s.p[i] == '\\' ? 2 : 1;
    return i + 1;
}

/* `most` limits the memory in addition to the bytes of the texts. Jansson stops after one value and
 * the token behind it, so the rest is not counted. `needed` may be NULL. */
static const char *flaw(struct span s, int depth_max, size_t most, uint64_t *needed)
{
    size_t bytes = 0, i = 0, texts = 0, longest = 0;
    int depth = 0;
    bool ended = false;

    while (i < s.n && bytes <= most) {
        char c = s.p[i++];
        size_t from = i;

        if (c == '"') {
            i = skip_text(s, i);
            texts += i - from;
            longest = max_u64(longest, i - from);
        }
        if (ended && c > ' ')
            break;
        if (c == '{' || c == '[') {
            bytes += c == '{' ? OBJECT_BYTES : ARRAY_BYTES;
            if (++depth > depth_max)
                return "it is nested too deeply";
        } else if (c == '}' || c == ']') {
            ended = --depth <= 0;
        } else if (c == ',' || c == ':') {
            bytes += VALUE_BYTES;
        }
    }
    if (needed)
        *needed = bytes + texts + TOKEN_FACTOR * longest;
    return bytes > most ? "it holds too many values" : NULL;
}

const char *api_json_flaw(struct span s, int depth_max, uint64_t *needed)
{
    return flaw(s, depth_max, FREE_BYTES + 2 * s.n, needed);
}

/* A job has 10,000 targets at most, so its length is mostly that of its texts. */
const char *api_json_job_flaw(struct span s, int depth_max)
{
    return flaw(s, depth_max, FREE_BYTES + s.n / 2, NULL);
}
