/* SPDX-License-Identifier: MIT
 * The Lua scripts that run inside Redis, for operations that must be atomic. Each script is a file
 * in scripts/, whose head says what it takes and answers; the build makes the table of them.
 *
 * Rules that all of them keep:
 *
 * - Keys come as KEYS, all under one hash tag. Receipt keys, whose names hold a job id that may be
 *   known only from the entry, are put together from a prefix that comes as a key, too: same tag,
 *   same slot.
 * - Out of memory must not stop the dispatch, which is what frees memory. Redis refuses commands
 *   that may need memory (denyoom) only until a script has written something: "this is the first
 *   write in the context of this script, otherwise we can't stop in the middle" (redis,
 *   src/script.c, scriptVerifyOOM; the same in 6.2, src/scripting.c). HDEL, XDEL and PEXPIRE are
 *   writes and not denyoom; on something that does not exist they change nothing. So a script that
 *   must go through begins with one of them. A disk that is full (MISCONF) refuses those as well,
 *   and so the whole script.
 * - The clock is Redis' own.
 * - Somebody may be told "done" for what a script writes, and that waits for redis_replicas
 *   (io/redis/redis_reads.h). A script for which this is never so says in its head: "A question".
 * - What is moved is written at its new place before it is removed at the old: a script that fails
 *   in the middle is not rolled back. */
#pragma once

enum script {
    /* Those of the queue, which it loads when it connects. */
    SCRIPT_LANES,      /* can the lanes be read? */
    SCRIPT_DEPTH,      /* length of the lanes */
    SCRIPT_LEAD,       /* take or renew the lease, read control, publish status */
    SCRIPT_RELEASE,    /* drop the lease */
    SCRIPT_DROP,       /* the end of plain purged jobs, no receipts */
    SCRIPT_PURGED,     /* the end of plain purged jobs, with receipts */
    SCRIPT_SETTLE,     /* the end of any job that is not large, one entry looked up at a time */
    SCRIPT_END_LARGE,  /* the last step of a large job's end */
    SCRIPT_OVERSIZED,  /* the end of an entry that is too large to look at */
    SCRIPT_WRITE,      /* a stream command that must succeed without free memory */
    SCRIPT_WRITE_HASH, /* a hash command that must succeed without free memory */
    SCRIPT_DUE,        /* moves due jobs from postponed back to the lanes */
    SCRIPT_RETURNED,   /* the last step of a large job's way back */
    SCRIPT_ADOPT,      /* moves what version 0.1.0 postponed */
    SCRIPT_SPEND,      /* reserves budget: the durable half of a ledger */
    SCRIPT_RESTORE,    /* reads a ledger after a take-over */
    SCRIPT_EXAMINE,    /* finds keys of the wrong type and values that are no numbers */
    SCRIPT_TAKE_READ,  /* counts a request that reads Fastly's API */
    SCRIPT_HOLD_READS, /* sends none for a while, after a 429 */
    SCRIPT_QUEUE_N,

    /* Those of the endpoint and the commands. */
    SCRIPT_PUT_ONCE = SCRIPT_QUEUE_N, /* add a job and its idempotency key */
    SCRIPT_BEGIN_ONCE,                /* the same for a large job: the step before its XADD */
    SCRIPT_END_ONCE,                  /* the same for a large job: the step after its XADD */
    SCRIPT_FIND_JOB,                  /* where a job is */
    SCRIPT_CANCEL_JOB,                /* take a job back */
    SCRIPT_CONFIRM_END,               /* the receipt of a job that has ended, for WAIT */
    SCRIPT_RECEIPTS,                  /* receipts, also those that are lines of the history */
    SCRIPT_OVERVIEW,                  /* the state of an account */
    SCRIPT_SNAPSHOT,                  /* the state of an account, with all that its status shows */
    SCRIPT_LOOK_READS,                /* how many were sent */
    SCRIPT_LOOK_HISTORY,              /* how far back the history reaches */
    SCRIPT_ACT,                       /* note what somebody does; set a hash, too */
    SCRIPT_RETRY_DEAD,                /* from the dead letters back to the lanes */
    SCRIPT_DROP_LETTER,               /* the last step of a large dead letter's way back */
    SCRIPT_BOOK_ALL,                  /* book a whole budget as spent */
    SCRIPT_LOWER_LAST_ID,             /* undo an entry id from a clock that was ahead */
    SCRIPT_N
};

struct script_text {
    const char *name, *text;
};

extern const struct script_text scripts[SCRIPT_N];

/* Larger commands than these are sent without a script: it would hold Redis too long (and Lua
 * passes on at most some 8,000 arguments: LUAI_MAXCSTACK). */
#define SCRIPT_ARGS_MAX 2000
#define SCRIPT_BYTES_MAX (256 * 1024)
