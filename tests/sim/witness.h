/* SPDX-License-Identifier: MIT
 * The promises, checked from the outside: by what producers pushed, what Fastly saw and what Redis
 * was told. It knows nothing of how the daemon works. The first broken promise fails the run
 * (engine_fail).
 *
 *   P1  every accepted job ends exactly once, and has one receipt
 *   P2  no sliding window holds more cost than the budget
 *   P3  a job ends as purged only when each of its targets was confirmed by an answer to a request
 *       that started after the job was accepted
 *   P5  only who asked for something bad ends dead for a refusal
 *   P6  Fastly is asked only for what somebody pushed, byte for byte, and hard only if asked so
 *   P7  the ceilings of targets, jobs and bytes hold, by what the leader publishes */
#pragma once

#include "config.h"
#include "fastly_fake.h"
#include "queue.h"

enum witness_scope {
    WITNESS_ALL,
    WITNESS_COST, /* of long runs: P2 and the sums only */
};

void witness_begin(const struct config *c, enum witness_scope scope);
void witness_end(void);
void witness_configure(const struct config *c); /* after a reload */

/* A producer was told yes. */
void witness_pushed(const char *account, enum lane lane, struct entry_id id,
                    const struct span *fields, size_t count);
/* A producer deleted the entry: whatever becomes of it is right. */
void witness_cancelled(const char *account, enum lane lane, struct entry_id id);

/* The same by the job's id; and that Redis has said so to the producer. */
void witness_cancelled_job(const char *account, const char *job);
void witness_cancellation_told(const char *account, const char *job);
/* Whether Redis cannot have forgotten that accepted job. */
bool witness_must_know(const char *account, const char *job);
/* Dead letters are taken away in between. */
enum witness_letters { LETTERS_BEFORE, LETTERS_AFTER };
void witness_letters(const char *account, enum witness_letters when);

/* A client was told that Redis has it. With redis_replicas, no failure may lose it then. */
void witness_accepted(const char *account, const char *job);
/* Redis has lost all but the first so many commands (journal.h). What they did is undone. */
void witness_rolled_back(uint64_t commands);
bool witness_lost(const char *account, const char *job); /* by that */
/* A master is cut off together with some instances (FAKE_REDIS_WITH), until the network is whole
 * again. What is done on it is not looked at, for it will be gone. With redis_replicas, P2 holds
 * all the same. Without, it holds for the leader on each side, with what both knew before. */
void witness_split(uint32_t with);
void witness_joined(void);
void witness_pushed_cut_off(const char *account, const struct span *fields, size_t count);

extern uint64_t witness_checks; /* pages that wait to be looked at, by the last status */
#define WITNESS_STATUS_ROOM 16384
extern char witness_status[WITNESS_STATUS_ROOM]; /* the last status of any leader, or its start */
uint64_t witness_open(void);                     /* jobs that have not ended */
void witness_at_end(void);                       /* nothing more will come: all must have ended */

struct witness_sums {
    uint64_t requests, cost; /* that arrived, all accounts */
    uint64_t canaries;       /* of these, of canaries */
    uint64_t window_max;     /* the most cost in any window of the purge budget */
    uint64_t jobs, purged, dead, expired, cancelled;
    uint64_t lost; /* jobs that a failure of Redis has lost */
};
const struct witness_sums *witness_sums(void);
