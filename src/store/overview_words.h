/* SPDX-License-Identifier: MIT
 * How an account stands, in one sentence for people. */
#pragma once

#include "overview.h"

enum overview_mood {
    OVERVIEW_GOOD,    /* nothing to do */
    OVERVIEW_SLOWED,  /* it goes on by itself; look again later */
    OVERVIEW_TROUBLE, /* it will not, or not soon, without somebody */
};

#define OVERVIEW_WORDS_MAX 800

/* Printable, whatever strangers wrote into Redis; `room` is OVERVIEW_WORDS_MAX. */
enum overview_mood overview_words(const struct overview *o, char *out, size_t room);

/* What the leader last got wrong from Fastly: "status 503: ..." with its age; false: nothing. */
bool overview_last_error(const struct overview *o, char *out, size_t room, uint64_t *age_ms);
/* Whether the leader knows no service: jobs with keys become dead letters. */
bool overview_no_service(const struct overview *o);
/* Why the leader's HTTP endpoint does not listen although it should; false: it does. */
bool overview_http(const struct overview *o, char *out, size_t room);
/* Settings whose new values wait for a restart of the leader: "senders, window"; false: none. */
bool overview_needs_restart(const struct overview *o, char *out, size_t room);
