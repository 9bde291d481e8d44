/* SPDX-License-Identifier: MIT
 * What this process knows about all instances: which of them are there, and who leads which
 * account. From that it tells which instance should lead an account, so that each leads about
 * accounts / instances of them.
 *
 * Nobody coordinates the instances. Each of them hears, with every answer to its request for an
 * account's lease, who holds the lease and which other instances want it, and draws its own
 * conclusions:
 *
 * - An instance keeps what it leads, unless another one leads at least two accounts less than it
 *   should.
 * - An account without a leader belongs to the instance with the highest weight (rendezvous
 *   hashing) among those that do not lead their share yet. The weight depends on the names of
 *   account and instance alone, so instances that know the same come to the same conclusion, and
 *   the accounts of an instance that is gone are spread over all others.
 *
 * The lease decides, never this: where instances disagree, the account is led by whoever gets the
 * lease, at worst not by the one that should.
 *
 * An account that k instances are configured with counts 1/k towards the share of each of them. */
#pragma once

#include "queue.h"

struct instances;

/* `owner` is the name of this process in leases; copied. */
struct instances *instances_new(const char *owner, uint32_t accounts);
void instances_free(struct instances *s);

/* Takes an answer for the account with this number. */
void instances_heard(struct instances *s, uint32_t account, const struct queue_lease *lead,
                     uint64_t now_ns);
/* This instance has given the account's lease back, for `to`, which will take it. */
void instances_released(struct instances *s, uint32_t account, const char *to);

/* Whether this instance should take the account if nobody leads it. */
bool instances_prefer_us(const struct instances *s, uint32_t account, const char *name);
/* Who should lead the account instead of this instance, which stops. NULL: nobody is there. The
 * name is valid until instances_heard. */
const char *instances_successor(const struct instances *s, uint32_t account, const char *name);
/* To whom this instance should hand the account, because it leads more than its share. NULL: it
 * keeps the account. */
const char *instances_lighter(const struct instances *s, uint32_t account, const char *name,
                              uint64_t now_ns);

/* An account is being handed over, until instances_end_hand_over. False: too many others are.
 * A stopping instance may hand over more of them at once than one that only balances. */
#define INSTANCES_HAND_OVERS_STOPPING 32u
#define INSTANCES_HAND_OVERS_BALANCING 8u
enum hand_over_why { HAND_OVER_STOPPING, HAND_OVER_BALANCING };
must_use bool instances_begin_hand_over(struct instances *s, const char *to,
                                        enum hand_over_why why);
void instances_end_hand_over(struct instances *s, const char *to);

/* For reports. */
uint32_t instances_count(const struct instances *s, uint32_t account); /* of the account, with us */
uint32_t instances_led(const struct instances *s);                     /* accounts, by us */
uint32_t instances_accounts(const struct instances *s);
