/* SPDX-License-Identifier: MIT */
#include "replicas.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "reply.h"

void replicas_wait(struct replicas_wait *w, uint32_t want)
{
    snprintf(w->want, sizeof(w->want), "%" PRIu32, want);
    snprintf(w->ms, sizeof(w->ms), "%u", REPLICAS_WAIT_MS);
    w->argv[0] = SPAN("WAIT");
    w->argv[1] = span_str(w->want);
    w->argv[2] = span_str(w->ms);
}

bool replicas_have(const struct redisReply *reply, uint32_t want, struct replicas_few *few)
{
    uint64_t have = reply_is_integer(reply) ? reply_u64(reply) : 0;

    if (have >= want)
        return true;
    *few = (struct replicas_few){(uint32_t)have, want,
                                 reply_refused(reply) ? reply_text(reply).p
                                 : !reply_is_integer(reply)
                                     ? "the answer to WAIT is no number: is it Redis?"
                                     : NULL};
    return false;
}

void replicas_few_say(const struct replicas_few *few, const char *what, char out[REPLICAS_FEW_ROOM])
{
    snprintf(out, REPLICAS_FEW_ROOM, "%u of %u replicas have %s%s%.120s", few->have, few->want,
             what, few->refusal ? ": " : "", few->refusal ? few->refusal : "");
}

void replicas_few_explain(const struct replicas_few *few, char out[REPLICAS_FEW_ROOM])
{
    size_t n;

    replicas_few_say(few, "this", out);
    n = strlen(out);
    snprintf(out + n, REPLICAS_FEW_ROOM - n,
             ": it is not confirmed, though it may take effect; repeat it");
}
