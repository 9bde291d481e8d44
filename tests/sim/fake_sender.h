/* SPDX-License-Identifier: MIT
 * The way to Fastly and back: what an instance's senders do, without sockets. The instance's side
 * stands in io/fastly/sender.h. */
#pragma once

#include "fastly_fake.h"
#include "sender.h"

struct fake_wire { /* one way, for all */
    uint64_t latency_min_ns, latency_max_ns;
    bool refuses; /* no connection is to be had */
};
extern struct fake_wire fake_wire;
uint64_t fake_wire_delay(void); /* some latency within that */

struct senders *fake_senders_new(int instance, senders_cb *cb, void *ctx);
void fake_senders_free(struct senders *s);
/* Its process is dead: what is on the wire arrives all the same, and nobody waits for the answer.
 */
void fake_senders_bury(struct senders *s);
void fake_senders_answer_dead(struct senders *s);

/* For the fake Fastly: the answer to a request, or an error in its place. */
void fake_wire_answer(struct request *r, const struct answer *a);
