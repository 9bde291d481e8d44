/* SPDX-License-Identifier: MIT
 * The condition of a job that waits for its origin. Input: a line with the JSON, a line with a word
 * of `origins`, a line with a header's value, and the body. What is accepted must be usable. */
#include "fuzz.h"
#include "target.h"
#include "when.h"

static void check_question(const struct when *w)
{
    struct buf question;

    buf_init(&question, 2 * WHEN_MAX_BYTES);
    when_put_question(w, &question);
    must(question.n > 0);
    buf_deinit(&question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size), json = fuzz_line(&rest);
    struct span origin = fuzz_line(&rest), header = fuzz_line(&rest);
    struct when_seen seen = {.status = 200, .has_header = true, .header = header, .body = rest};
    char word[128] = "", *words = word, text[WHEN_REASON_MAX] = "";
    const struct config_words origins = {&words, 1};
    struct error err = {""};
    struct when w;
    const char *why;

    if (origin.n && origin.n < sizeof(word))
        memcpy(word, origin.p, origin.n);
    if (when_parse(json, &w, &err) < 0) {
        must(memcmp(err.text, "when: ", 6) == 0);
        return 0;
    }
    must(url_check(span_str(w.url), &why) == 0);
    must(w.within_ms >= WHEN_WITHIN_MIN_MS && w.within_ms <= WHEN_WITHIN_MAX_MS);
    must(w.test == WHEN_STATUS || w.test == WHEN_CONTAINS || *w.header);
    (void)when_origin_fits(&origins, span_str(w.url));
    check_question(&w);
    if (!when_shown(&w, &seen)) {
        when_describe(&w, &seen, text, sizeof(text));
        must(*text);
    }
    return 0;
}
