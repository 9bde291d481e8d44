/* SPDX-License-Identifier: MIT
 * Plays a story: does what its lines say when they say it, and checks what they expect. */
#pragma once

#include "fault.h"
#include "story.h"
#include "witness.h"

enum play_how {
    PLAY_WITH_EXPECTATIONS,
    PLAY_PROMISES_ONLY, /* something was made to go wrong: only what always holds is checked */
};

struct play_options {
    enum play_how how;
    /* Asked at each operation, as in fault.h. Only where one went wrong is the story played to its
     * quiet end then. */
    fault_branch_cb *branch;
    bool verbose;                        /* everything that happens, on stderr */
    bool silent;                         /* no trace when it fails */
    void (*failed)(const char *message); /* instead of the trace, which it may show; or NULL */
    /* Told before the world is taken apart: a process that ends then need not do that. Or NULL. */
    void (*over)(bool passed);
};

struct play_result {
    bool passed;
    char message[700]; /* file:line, expected, seen */
    uint64_t operations;
    struct witness_sums sums;
    uint64_t took_ns; /* of virtual time */
};

void play_story(const struct story *s, const struct play_options *o, struct play_result *out);

/* -- for the files that know the verbs -- */

struct pushed {
    char account[72];
    enum lane lane;
    struct entry_id id;
};

struct play {
    const struct story *story;
    const struct step *step;
    enum play_how how;
    struct pushed last;
    uint64_t acked_before, dead_looked;
    uint64_t dead_seen[CONFIG_ACCOUNTS_MAX]; /* letters looked at */
};

/* The story went otherwise than it says: file:line and the sentence. */
void play_fail(struct play *p, const char *fmt, ...) print_like(2, 3);
/* The value of the option "name=..." among the words from `from` on, or NULL. */
const char *play_option(const struct play *p, const char *name);
bool play_flag(const struct play *p, const char *name); /* the bare word */
const char *play_word(const struct play *p, size_t i);  /* "" behind the last */

int64_t play_jump_ms(struct play *p, const char *by); /* "+1h", "-10s" */

typedef void play_verb(struct play *p);
play_verb play_push, play_cancel, play_post, play_get, play_delete, play_dead; /* push.c */
play_verb play_redis, play_http, play_fastly, play_reply, play_fail_request;   /* weather_verbs.c */
play_verb play_origin;                                                         /* origin_fake.c */
play_verb play_expect, play_quiet;                                             /* expect.c */

/* Ends this process with SIGPROF when it has used so much CPU time from now on: a play that does
 * not end. A play waits for nothing, so the time that others take from it does not count. */
void play_limit(unsigned cpu_s);
