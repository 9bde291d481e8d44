/* SPDX-License-Identifier: MIT
 * The page that a job names to be looked at after its purge, as JSON:
 *
 *     {"url": "https://www.example.com/page", "at_least": {"header": "x-version", "number": 17}}
 *
 * Without `at_least`, the age of the copy decides. Without `url`, the page is that of the job's
 * only target. */
#pragma once

#include "error.h"
#include "span.h"

#define VERIFY_PAGE_MAX_BYTES 4096 /* of the JSON */
#define VERIFY_PAGE_URL_MAX_BYTES 2048
#define VERIFY_PAGE_HEADER_MAX_BYTES 128 /* of its name */

struct verify_page {
    char url[VERIFY_PAGE_URL_MAX_BYTES + 1];       /* "": the job's own */
    char header[VERIFY_PAGE_HEADER_MAX_BYTES + 1]; /* of at_least; "": none */
    uint64_t at_least;
};

/* 0, or -EINVAL with a sentence that starts with "verify: ". */
must_use int verify_page_parse(struct span json, struct verify_page *out, struct error *err);
