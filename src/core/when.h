/* SPDX-License-Identifier: MIT
 * The condition of a job that waits for its origin: what to ask the origin, and which answer shows
 * that it has the new version. As JSON:
 *
 *     {"url": "https://origin.example.com/version", "header": "x-version", "at_least": 17}
 *
 * `status` (default 200) must be the status of the answer. `header` comes with one of `equals`,
 * `at_least` (a whole number) and `contains`. Without `header`, `contains` looks into the first
 * WHEN_BODY_MAX_BYTES of the body. `within` says for how many milliseconds the job may wait. */
#pragma once

#include "buf.h"
#include "config.h"
#include "error.h"
#include "span.h"

#define WHEN_MAX_BYTES 4096 /* of the JSON */
#define WHEN_URL_MAX_BYTES 2048
#define WHEN_HEADER_MAX_BYTES 128 /* of its name */
#define WHEN_VALUE_MAX_BYTES 1024 /* of `equals` and `contains` */
#define WHEN_BODY_MAX_BYTES 65536
#define WHEN_WITHIN_MS 600000u /* ten minutes, if the job does not say */
#define WHEN_WITHIN_MIN_MS 1000u
#define WHEN_WITHIN_MAX_MS (24u * 3600u * 1000u)
#define WHEN_REASON_MAX 640 /* with the NUL */

#define WHEN_2XX 2 /* as a status: any from 200 to 299 */

enum when_test { WHEN_STATUS, WHEN_EQUALS, WHEN_AT_LEAST, WHEN_CONTAINS };

struct when {
    char url[WHEN_URL_MAX_BYTES + 1];
    char header[WHEN_HEADER_MAX_BYTES + 1]; /* "" = none */
    char value[WHEN_VALUE_MAX_BYTES + 1];   /* of `equals` and `contains`; else "" */
    uint64_t at_least;
    enum when_test test;
    int status;
    uint32_t within_ms;
};

/* 0, or -EINVAL with a sentence that starts with "when: ". */
must_use int when_parse(struct span json, struct when *out, struct error *err);

/* The condition that the URL answers with 2xx at all. */
void when_answers(const char *url, struct when *out);

/* Whether the account's `origins` allow asking this URL. 0, or -EINVAL with a sentence. */
must_use int when_check_origin(const struct config_words *origins, const struct when *w,
                               struct error *err);
/* Whether one of the words ("origin.example.com", "*.example.com:8443", "http://10.0.0.5:8080")
 * allows the URL. A word without "http://" means https only, one without a port the port that is
 * usual for its scheme. A pattern never matches an address. */
bool when_origin_fits(const struct config_words *origins, struct span url);

/* Appends what identifies the question. Jobs with the same question share its answers; `within` is
 * no part of it. */
void when_put_question(const struct when *w, struct buf *out);

/* The last answer of an origin. */
struct when_seen {
    int status; /* 0: there was no answer */
    bool has_header;
    struct span header; /* value of the header that was asked for */
    struct span body;   /* its first WHEN_BODY_MAX_BYTES */
    const char *error;  /* why there was no answer */
};
bool when_shown(const struct when *w, const struct when_seen *seen);
/* Writes what was seen, for operators and producers: "https://o.example/v still answers x-version:
 * 16 (wanted at least 17)". Without the URL's query and the body, which may be private. */
void when_describe(const struct when *w, const struct when_seen *seen, char *out, size_t room);
