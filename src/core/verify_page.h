/* SPDX-License-Identifier: MIT
 * The page that a job names to be looked at after its purge, as JSON:
 *
 *     {"url": "https://www.example.com/page"} */
#pragma once

#include "error.h"
#include "span.h"

#define VERIFY_PAGE_MAX_BYTES 4096 /* of the JSON */
#define VERIFY_PAGE_URL_MAX_BYTES 2048

struct verify_page {
    char url[VERIFY_PAGE_URL_MAX_BYTES + 1];
};

/* 0, or -EINVAL with a sentence that starts with "verify: ". */
must_use int verify_page_parse(struct span json, struct verify_page *out, struct error *err);
