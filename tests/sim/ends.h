/* SPDX-License-Identifier: MIT
 * Sees jobs end: looks at what the daemon's commands to Redis do to the lanes and to the receipts.
 */
#pragma once

#include "fakeredis.h"
#include "fields.h"
#include "queue.h"

struct ended {
    const char *account;
    struct span job;
    enum outcome outcome; /* never OUTCOME_LATER */
    struct span reason;
    bool repeats; /* it left a job "<job>+r" in postponed */
};
/* Who asks; and whether it asks a master that is cut off, on which nothing lasts. */
enum ends_asker { ENDS_DAEMON, ENDS_API, ENDS_DAEMON_CUT_OFF, ENDS_API_CUT_OFF };
typedef void ends_added_cb(const char *account, enum lane lane, struct entry_id id,
                           const struct fields *f);
/* `ended` and `added` are told when the command that did it is over. Everything is lent. */
struct ends_watch {
    void (*ended)(const struct ended *e);
    /* The endpoint, not the daemon, has added a job to a lane, and not removed it at once. */
    ends_added_cb *added;
    ends_added_cb *added_cut_off; /* to a master that is cut off */
    void (*receipt)(const char *account, struct span job, struct span json);
    void (*status)(const char *account, struct span json); /* what the leader says of itself */
    void (*history)(const char *account, const struct fakeredis_entry *e);
};
extern struct ends_watch ends_watch; /* any of them may be NULL */

void ends_begin_all(struct fakeredis *f);
void ends_look_at(struct fakeredis *f); /* this one has taken its place */
/* Around a command; `name`: of its script, or of itself. All is lent. */
void ends_begin(const char *name, enum ends_asker asker, size_t argc, const struct span *argv);
void ends_finish(void);
