/* SPDX-License-Identifier: MIT
 * The lines of an account's history, which say what became of jobs. An entry of the history holds
 * the lines of all jobs that ended in one write (store/scripts/shared/write_entry.lua). A line is a
 * JSON object: the members of the job's receipt except `at`, which is the same for the whole entry,
 * and `targets` if it is 1; and at the end `purge`, an object that says what was purged and how,
 * in `id` which id Fastly gave to the purge of the target that was settled last, if that is known,
 * and in `by` who pushed it, if the job says so. (What follows `purge` is not in the receipt. For
 * readers, history_match.h puts this `by` where acts have theirs. Receipts have it, too.)
 *
 * An act (store/act.h) is a line, too, alone in its entry:
 *   {"act":"pause"|"resume"|"dead_retry"|"dead_drop","by"[,"why"][,"count"][,"all"][,"filter"]}
 *   {"act":"reload","by","settings":[{"name"[,"from","to"]}]} (dispatch/reload.h)
 * `by` names who it was. `count` is the number of dead letters that were retried or dropped: all,
 * or those that pass the filter (reason, target, service, producer, since, until), or those with
 * certain ids.
 */
#pragma once

#include "buf.h"
#include "job.h"
#include "target.h"

#define HISTORY_TARGET_MAX 1024 /* bytes of a target that are kept */
#define HISTORY_PURGE_MAX 16384 /* bytes that history_put_purge writes */

/* What the dispatcher knows of an ended job. */
struct history_purge {
    bool named; /* the next three are given; if not, the script finds them in the job's entry */
    enum target_kind kind;
    struct span target; /* the one that was settled last; no bytes if it is all of the service */
    uint32_t more;      /* number of its other targets */
    bool soft;
    struct span service; /* name or id; empty: none, or not known */
    uint64_t sent_ms;    /* Unix time at which the request was sent; 0: not known */
    struct span id;      /* that Fastly gave to its purge (fastly.h); empty: not known */
    struct span by;      /* who pushed the job; empty: not known */
};

/* Appends at most HISTORY_PURGE_MAX bytes: the members of `purge`, separated by commas. */
void history_put_purge(struct buf *out, const struct history_purge *p);
/* Of these members, `"by":"..."`, which is the last; empty: there is none. */
struct span history_by_member(struct span purge);
