/* SPDX-License-Identifier: MIT */
#include "origin_fake.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "engine.h"
#include "play.h"

struct origin_fake origin_fake;

void origin_fake_begin(void)
{
    origin_fake = (struct origin_fake){.version = 1, .highest = 1, .status = 200};
}

void origin_fake_answer(struct exchange *x)
{
    struct exchange_look *look = x->look;

    x->status = origin_fake.status;
    look->found = strcasecmp(look->header, "x-version") == 0;
    snprintf(look->value, sizeof(look->value), "%" PRIu64, look->found ? origin_fake.version : 0);
    buf_printf(&x->reply, "version %" PRIu64 "\n", origin_fake.version);
}

void play_origin(struct play *p)
{
    const char *what = play_word(p, 1);
    uint64_t n = 0;

    if (strcmp(what, "shows") == 0 && text_number(play_word(p, 2), &n) == 0) {
        origin_fake.version = n;
        origin_fake.highest = max_u64(origin_fake.highest, n);
    } else if (strcmp(what, "status") == 0 && text_number(play_word(p, 2), &n) == 0) {
        origin_fake.status = (int)n;
    } else if (strcmp(what, "refuses") == 0 || strcmp(what, "accepts") == 0) {
        origin_fake.refuses = strcmp(what, "refuses") == 0;
    } else if (strcmp(what, "silent") == 0 || strcmp(what, "answers") == 0) {
        origin_fake.silent = strcmp(what, "silent") == 0;
    } else {
        play_fail(p, "an origin does not \"%s\"", what);
    }
}
